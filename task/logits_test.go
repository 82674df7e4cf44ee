package task

import (
	"math"
	"slices"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/tokenizer"
)

// TestLogits asks for the logits of ready-made ids, which are those that Predict answers from, beside any others.
func TestLogits(t *testing.T) {
	dir := tinyDir(t, bert.SequenceClassification, "a", "b")
	predict, err := Open(t.Context(), dir, Predict(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer predict.Close()
	logits, err := Open(t.Context(), dir, Logits(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer logits.Close()
	texts := data.Texts("the film was good", "bad", "joy .")
	want, err := predict.Do(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	inputs := make([]data.Input, len(texts))
	for i := range texts {
		var e tokenizer.Encoding
		if err := tok.Encode(&e, texts[i].Text, tokenizer.Options{}); err != nil {
			t.Fatal(err)
		}
		inputs[i] = data.Input{IDs: e.IDs, TypeIDs: e.TypeIDs}
	}
	got, err := logits.Do(t.Context(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if !slices.Equal(got[i], want[i].Logits) {
			t.Errorf("%d: %v, want %v", i, got[i], want[i].Logits)
		}
	}
	if _, err := logits.Do(t.Context(), []data.Input{{IDs: make([]int32, 1000)}}); err == nil {
		t.Error("1,000 ids are no error")
	}
	if _, err := Open(t.Context(), tinyDir(t, bert.MaskedLM), Logits(), Options{}); err == nil {
		t.Error("a masked LM answers")
	}
}

// TestSparse holds weights to the logits of the masked LM's head at all places.
func TestSparse(t *testing.T) {
	dir := tinyDir(t, bert.MaskedLM)
	sparse, err := Open(t.Context(), dir, Sparse(SparseOptions{}), Options{Tokens: 40})
	if err != nil {
		t.Fatal(err)
	}
	defer sparse.Close()
	texts := data.Texts("the film was good", "bad", "joy . dull ! bad film was the good joy")
	got, err := sparse.Do(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	m := sparse.Model()
	v := m.Config().VocabSize
	for i := range texts {
		var e tokenizer.Encoding
		if err := sparse.engine.tokenizer.Encode(&e, texts[i].Text, tokenizer.Options{}); err != nil {
			t.Fatal(err)
		}
		var b bert.Batch
		b.Add(e.IDs, e.TypeIDs)
		for j := range e.IDs {
			b.MaskedPositions = append(b.MaskedPositions, int32(j))
		}
		out, err := m.NewSession().Forward(&b, bert.Outputs{})
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for id := range v {
			x := float32(0)
			for j := range e.IDs {
				x = max(x, out.Logits[j*v+id])
			}
			if x == 0 {
				continue
			}
			if at == len(got[i]) || got[i][at] != (SparseWeight{int32(id), float32(math.Log1p(float64(x)))}) {
				t.Fatalf("%d: weight %d is not that of %d, %v", i, at, id, x)
			}
			at++
		}
		if at != len(got[i]) || at == 0 {
			t.Errorf("%d: %d weights, want %d", i, len(got[i]), at)
		}
	}
	if _, err := Open(t.Context(), dir, Sparse(SparseOptions{MaxLength: 1}), Options{}); err == nil {
		t.Error("a length of 1 is no error")
	}
}
