package task

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/tokenizer"
)

// A second text that is given and empty is what the tokenizer makes of it, however long texts are treated: to Google's it is none.
func TestEmptyPair(t *testing.T) {
	google, err := tokenizer.New(tinyVocab(), tokenizer.GoogleConfig(true))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, tok := range []*tokenizer.Tokenizer{tinyTokenizer(t), google} {
		for _, text := range []string{"", "the film", randomText(r, 30)} {
			for _, long := range []LongText{TruncateLong, HeadTail, Windows} {
				d := tinySpec()
				d.Long, d.Truncation = long, tokenizer.OnlyFirst
				examples := []data.Example{
					{Input: data.Input{Text: text, Pair: true}, Label: "pos"}, {Input: data.Input{Text: text}, Label: "neg"},
				}
				sequences := func(x data.Example) (ids, types [][]int32) {
					set, err := NewDataset(t.Context(), tok, d, []data.Example{x})
					if err != nil {
						t.Fatal(err)
					}
					for i := range set.Len() {
						var b bert.Batch
						if err := set.Append(&b, i); err != nil {
							t.Fatal(err)
						}
						ids, types = append(ids, b.IDs), append(types, b.TypeIDs)
					}
					return ids, types
				}
				ids, types := sequences(examples[0])
				alone, _ := sequences(examples[1])
				if tok == google {
					if !slices.EqualFunc(ids, alone, slices.Equal) {
						t.Errorf("%v, Google, %q: %v, alone %v", long, text, ids, alone)
					}
					continue
				}
				sep := tok.SeparatorID()
				for i, s := range ids {
					if n := len(s); n > d.MaxSeqLength || s[n-1] != sep || s[n-2] != sep || types[i][n-1] != 1 || slices.Max(types[i][:n-1]) != 0 {
						t.Errorf("%v, %q: ids %v, types %v", long, text, s, types[i])
					}
				}
				if len(text) < 20 && len(ids[0]) != len(alone[0])+1 {
					t.Errorf("%v, %q: %v, alone %v", long, text, ids, alone)
				}
			}
		}
	}
}

// What has two texts takes an empty one, and what has one refuses it.
func TestEmptyPairInputs(t *testing.T) {
	dir := tinyDir(t, bert.SequenceClassification, "neg", "pos")
	p, err := Open(t.Context(), dir, Predict(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	answers, err := p.Do(t.Context(), []data.Input{{Text: "the film"}, {Text: "the film", Pair: true}, {Text: "the film", TextPair: " "}})
	if err != nil || answers[0].Logits[0] == answers[1].Logits[0] || answers[1].Logits[0] != answers[2].Logits[0] {
		t.Errorf("%v, %v", answers, err)
	}
	if _, err = p.Do(t.Context(), []data.Input{{IDs: []int32{2, 3}, Pair: true}}); err == nil {
		t.Error("ids and a second text")
	}
	c, err := Open(t.Context(), dir, Compare(EncodeOptions{Pooling: MeanPooling}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if same, err := c.Do(t.Context(), []data.Input{{Pair: true}}); err != nil || same[0].Cosine < 0.9999 {
		t.Errorf("two empty texts: %v, %v", same, err)
	}
	_, err = c.Do(t.Context(), []data.Input{{Text: "the film"}})
	wantError(t, err, "want two texts to compare")
}

// Ids are answered without a tokenizer's files, as with them; a text is an error that is not the input's.
func TestOnlyIDs(t *testing.T) {
	dir := tinyDir(t, bert.SequenceClassification, "neg", "pos")
	ids := []data.Input{{IDs: []int32{2, 7, 9, 3}}, {IDs: []int32{2, 7, 3, 9, 3}, TypeIDs: []int32{0, 0, 0, 1, 1}}}
	answer := func() ([]Prediction, []Encoded) {
		t.Helper()
		p, err := Open(t.Context(), dir, Predict(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		answers, err := p.Do(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		e, err := Open(t.Context(), dir, Encode(EncodeOptions{Pooling: MeanPooling}), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		encoded, err := e.Do(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		return answers, encoded
	}
	want, wantEncoded := answer()
	for _, name := range []string{"vocab.txt", "tokenizer.json", "tokenizer_config.json"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		t.Helper()
		got, encoded := answer()
		for i := range got {
			if !slices.Equal(got[i].Logits, want[i].Logits) || !slices.Equal(encoded[i].Pooled, wantEncoded[i].Pooled) || len(encoded[i].Tokens) != len(ids[i].IDs) {
				t.Errorf("input %d: %v, want %v", i, got[i], want[i])
			}
		}
		p, err := Open(t.Context(), dir, Predict(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		var incomplete *tokenizer.IncompleteError
		if _, err := p.Do(t.Context(), []data.Input{ids[0], {Text: "the film"}}); !errors.As(err, &incomplete) {
			t.Errorf("a text: %v", err)
		}
		in := data.NewInputReader(strings.NewReader("{\"ids\":[2,7,3]}\nthe film\n"), "f", data.InputOptions{SkipBad: true})
		n := 0
		err = p.Stream(t.Context(), in, func(Item, Prediction) error { n++; return nil })
		if skipped, _ := in.Skipped(); !errors.As(err, &incomplete) || n != 1 || skipped != 0 {
			t.Errorf("%d answers, %d skipped, %v", n, skipped, err)
		}
		for _, asked := range []func() error{
			func() error { _, err := Open(t.Context(), dir, FillMask(1), Options{}); return err },
			func() error {
				_, err := Open(t.Context(), dir, Compare(EncodeOptions{Pooling: MeanPooling}), Options{})
				return err
			},
		} {
			if err := asked(); !errors.As(err, &incomplete) {
				t.Errorf("%v", err)
			}
		}
	}
	check()
	// A vocabulary without [UNK].
	vocab := tinyVocab()
	vocab[1] = "other"
	write(t, filepath.Join(dir, "vocab.txt"), strings.Join(vocab, "\n"))
	check()
	// One that is damaged is an error at once.
	write(t, filepath.Join(dir, "tokenizer.json"), "{")
	if _, err := Open(t.Context(), dir, Predict(), Options{}); err == nil {
		t.Error("no error of a damaged tokenizer.json")
	}
}

// Labels are checked by the kind of task, and only where there are some.
func TestSpecCheckLabels(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		x    []data.Example
		want string // of the second
	}{
		{SingleLabel, []data.Example{{Label: "pos"}, {Label: "-"}}, `label "-" is not one of "neg", "pos"`},
		{SingleLabel, []data.Example{{Label: "pos"}, {Label: "Pos"}}, `it differs from "pos" by letter case alone`},
		{SingleLabel, []data.Example{{Label: "pos"}, {}}, "no label"},
		{MultiLabel, []data.Example{{Labels: []string{}}, {Labels: []string{"pos", "neg "}}}, `label "neg " is not one of`},
		{MultiLabel, []data.Example{{Labels: []string{"pos"}}, {}}, "no label"},
		{Regression, []data.Example{{Label: "1.5"}, {Label: "1,5"}}, `label "1,5" is no number`},
		{TokenClassification, []data.Example{{Input: data.Input{Words: []string{"a"}}, Labels: []string{"pos"}}, {Input: data.Input{Words: []string{"b"}}, Labels: []string{"x"}}}, `word 1, "b": label "x"`},
		{QuestionAnswering, []data.Example{{Answers: []data.Span{}}, {}}, "no label"},
		{MultipleChoice, []data.Example{{Label: "0"}, {}}, "no label"},
	} {
		d := Spec{Kind: c.kind, Labels: []string{"neg", "pos"}}
		for i := range c.x {
			c.x[i].Source = data.Source{File: "f", Line: i + 1}
		}
		err := d.CheckLabels(&data.Set{Examples: slices.Clone(c.x)}, false)
		wantError(t, err, "f:2: ", c.want)
		if e := new(data.SourceError); !errors.As(err, &e) || !e.Skippable {
			t.Errorf("%v: %v can't be skipped", c.kind, err)
		}
		set := &data.Set{Examples: slices.Clone(c.x)}
		if err := d.CheckLabels(set, true); err != nil || len(set.Examples) != 1 || set.Skipped != 1 {
			t.Errorf("%v: %+v, %v", c.kind, set, err)
		}
		if err := d.CheckLabels(&data.Set{Examples: make([]data.Example, 2)}, false); err != nil {
			t.Errorf("%v: of data without labels: %v", c.kind, err)
		}
	}
}
