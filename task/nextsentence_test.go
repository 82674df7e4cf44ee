package task

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/tokenizer"
)

// TestNextSentence: a model with a next-sentence head gives the probabilities of its two outputs for a pair, and refuses what is
// none, and the data of a task.
func TestNextSentence(t *testing.T) {
	pairs := []data.Input{
		{Text: "the film", TextPair: "it was very good"}, {Text: "good", TextPair: "bad"}, {Text: "was it a film ?", TextPair: "a"},
	}
	for _, head := range []bert.Head{bert.NextSentence, bert.PreTraining} {
		m, tok := tinyModel(t, head), tinyTokenizer(t)
		p, err := NewRunner(m, tok, nil, Predict(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		answers, err := p.Do(t.Context(), pairs)
		if err != nil {
			t.Fatal(err)
		}
		for i, in := range pairs {
			var (
				e tokenizer.Encoding
				b bert.Batch
			)
			if err := tok.EncodePair(&e, in.Text, in.TextPair, tokenizer.Options{}); err != nil {
				t.Fatal(err)
			}
			b.Add(e.IDs, e.TypeIDs)
			out, err := m.NewSession().Forward(&b, bert.Outputs{})
			if err != nil {
				t.Fatal(err)
			}
			logits := out.Logits
			if head == bert.PreTraining {
				logits = out.NextSentenceLogits
			}
			want := 1 / (1 + math.Exp(float64(logits[1])-float64(logits[0])))
			got := answers[i]
			if !slices.Equal(got.Logits, logits) || math.Abs(got.Probabilities.Of("is_next")-want) > 1e-12 || math.Abs(got.Probabilities.Of("not_next")-(1-want)) > 1e-12 {
				t.Errorf("%v: %+v, want %v of %v", head, got, want, logits)
			}
			if label := nextSentenceLabels[0]; (got.Label == label) != (want > 0.5) {
				t.Errorf("%v: label %s with %v", head, got.Label, want)
			}
		}
		_, err = p.Do(t.Context(), append(slices.Clone(pairs), data.Input{Text: "alone"}))
		var bad *InputError
		if !errors.As(err, &bad) || bad.Index != len(pairs) {
			t.Errorf("%v is no *InputError of the last input", err)
		}
		wantError(t, err, "says whether a second text follows the first: want a pair of texts")
		row, err := Lookup("text")
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Description().For(row, nil)
		wantError(t, err, "answers no task's data: fine-tune it first, or evaluate it on instances")
		if _, err := NewRunner(m, tok, nil, ZeroShot(ZeroShotOptions{Labels: []string{"a", "b"}}), Options{}); err == nil {
			t.Errorf("%v answers zero-shot", head)
		}
	}
}
