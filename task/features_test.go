package task

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/tokenizer"
)

func tinySpec() Spec {
	return Spec{Task: "text", Labels: []string{"neg", "pos"}, Positive: "pos", MaxSeqLength: 16}
}

// someExamples are someTexts with labels.
func someExamples(n int) []data.Example {
	var examples []data.Example
	for i, in := range someTexts(n) {
		examples = append(examples, data.Example{Input: in, Label: []string{"neg", "pos", "pos"}[i%3], Source: data.Source{File: "a.csv", Line: i + 2}})
	}
	return examples
}

// A Dataset holds what the tokenizer makes of each text alone, however many processors made it.
func TestDataset(t *testing.T) {
	tok := tinyTokenizer(t)
	for _, n := range []int{1, 255, 256, 257, 1000} {
		for _, pairs := range []bool{false, true} {
			examples := someExamples(n)
			if !pairs {
				for i := range examples {
					examples[i].TextPair = ""
				}
			}
			d := tinySpec()
			data, err := NewDataset(t.Context(), tok, d, examples)
			if err != nil {
				t.Fatal(err)
			}
			if data.Len() != n || !data.Labelled() {
				t.Fatalf("%d examples, want %d", data.Len(), n)
			}
			want := Stats{Examples: n, PerLabel: make([]int, 2)}
			var (
				e     tokenizer.Encoding
				b     bert.Batch
				check bert.Batch
			)
			for i, x := range examples {
				if x.TextPair != "" {
					err = tok.EncodePair(&e, x.Text, x.TextPair, d.options())
				} else {
					err = tok.Encode(&e, x.Text, d.options())
				}
				if err != nil {
					t.Fatal(err)
				}
				if data.Length(i) != e.Len() || data.Source(i) != x.Source {
					t.Fatalf("example %d: %d tokens from %v, want %d from %v", i, data.Length(i), data.Source(i), e.Len(), x.Source)
				}
				check.Add(e.IDs, e.TypeIDs)
				check.Classes = append(check.Classes, int32(slices.Index(d.Labels, x.Label)))
				if err := data.Append(&b, i); err != nil {
					t.Fatal(err)
				}
				want.Tokens += e.Len()
				want.Longest = max(want.Longest, e.Len())
				want.Dropped += e.Truncated
				if e.Truncated > 0 {
					want.Truncated++
				}
				if x.Text == "" && x.TextPair == "" {
					want.Empty++
				}
				want.PerLabel[slices.Index(d.Labels, x.Label)]++
			}
			if !slices.Equal(b.IDs, check.IDs) || !slices.Equal(b.TypeIDs, check.TypeIDs) || !slices.Equal(b.Starts, check.Starts) || !slices.Equal(b.Classes, check.Classes) {
				t.Errorf("%d examples: another batch than the tokenizer's", n)
			}
			if len(b.Weights) != 0 {
				t.Errorf("%d weights, none were asked for", len(b.Weights))
			}
			if got := data.Stats(); fmt.Sprint(got) != fmt.Sprint(want) || !slices.Equal(got.PerLabel, want.PerLabel) {
				t.Errorf("%d examples: stats\n\t%+v\nwant\n\t%+v", n, got, want)
			}
			if !pairs && data.typeIDs != nil {
				t.Error("type ids are kept though all are 0")
			}
		}
	}
}

func TestDatasetTruncates(t *testing.T) {
	tok := tinyTokenizer(t)
	text := strings.Repeat("good ", 20)
	for _, c := range []struct {
		truncation tokenizer.Truncation
		left       bool
		want       string
	}{
		{tokenizer.LongestFirst, false, "[CLS] bad good good [SEP]"},
		{tokenizer.LongestFirst, true, "[CLS] good good good [SEP]"},
		{tokenizer.OnlyFirst, false, "[CLS] bad good good [SEP]"},
	} {
		d := tinySpec()
		d.MaxSeqLength, d.Truncation, d.TruncateLeft = 5, c.truncation, c.left
		dataset, err := NewDataset(t.Context(), tok, d, []data.Example{{Input: data.Input{Text: "bad " + text}, Label: "pos"}, {Label: "neg"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(tok.Tokens(dataset.ids[:5]), " "); got != c.want {
			t.Errorf("%v: %s, want %s", c.truncation, got, c.want)
		}
		want := "2 examples, 7 tokens (mean 3.5, longest 5); truncated: 1, of which 18 tokens were dropped; empty: 1"
		if got := dataset.Stats().String(); got != want {
			t.Errorf("%v: %s, want %s", c.truncation, got, want)
		}
	}
}

func TestDatasetErrors(t *testing.T) {
	tok := tinyTokenizer(t)
	d := tinySpec()
	at := func(line int, in data.Input, label string) data.Example {
		return data.Example{Input: in, Label: label, Source: data.Source{File: "a.csv", Line: line}}
	}
	good := at(2, data.Input{Text: "good"}, "pos")
	long := data.Input{Text: strings.Repeat("good ", 20)}
	refuse := d
	refuse.Truncation = tokenizer.DoNotTruncate
	one := d
	one.Labels, one.Positive = []string{"pos"}, ""
	short := d
	short.MaxSeqLength = 1
	for _, c := range []struct {
		name     string
		spec     Spec
		examples []data.Example
		want     string
	}{
		{"none", d, nil, "no examples"},
		{"unknown label", d, []data.Example{good, at(3, data.Input{}, "ps")}, `a.csv:3: label "ps" is not one of "neg", "pos"`},
		{"no label", d, []data.Example{good, at(3, data.Input{}, "")}, `a.csv:3: no label`},
		{"too long", refuse, []data.Example{good, at(3, long, "neg"), at(4, long, "neg")}, "a.csv:3: 22 tokens, want at most 16"},
		{"one label", one, []data.Example{good}, `a classifier needs two labels, the task has only "pos"`},
		{"ids", d, []data.Example{good, at(3, data.Input{IDs: []int32{2, 999, 3}}, "neg")}, "a.csv:3: id 999, the number 2, is not in the vocabulary of"},
		{"type ids", d, []data.Example{good, at(3, data.Input{IDs: []int32{2, 3}, TypeIDs: []int32{0, 256}}, "neg")}, "a.csv:3: type id 256"},
		{"long ids", d, []data.Example{good, at(3, data.Input{IDs: make([]int32, 17)}, "neg")}, "a.csv:3: 17 ids, want at most 16"},
		{"spec", short, []data.Example{good}, "max_seq_length is 1"},
	} {
		_, err := NewDataset(t.Context(), tok, c.spec, c.examples)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		wantError(t, err, c.want)
	}
	// Of several bad examples in several parts, the first is named.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	examples := slices.Repeat([]data.Example{good}, 5000)
	for i := 1700; i < len(examples); i += 100 {
		examples[i] = at(i, long, "neg")
	}
	for range 20 {
		_, err := NewDataset(t.Context(), tok, refuse, examples)
		wantError(t, err, "a.csv:1700: ")
	}
}

func TestUnlabelledDataset(t *testing.T) {
	dataset, err := NewDataset(t.Context(), tinyTokenizer(t), tinySpec(), []data.Example{{Input: data.Input{Text: "good"}}})
	if err != nil {
		t.Fatal(err)
	}
	var b bert.Batch
	if err := dataset.Append(&b, 0); err != nil || dataset.Labelled() || len(b.Classes) != 0 || b.Tokens() != 3 {
		t.Errorf("%+v, %v", b, err)
	}
	_, err = dataset.BalancedClassWeights()
	wantError(t, err, "balanced class weights need labelled examples")
}

func TestClassWeights(t *testing.T) {
	var examples []data.Example
	for i := range 10 {
		examples = append(examples, data.Example{Input: data.Input{Text: "good"}, Label: []string{"neg", "pos"}[min(i/8, 1)]})
	}
	dataset, err := NewDataset(t.Context(), tinyTokenizer(t), tinySpec(), examples)
	if err != nil {
		t.Fatal(err)
	}
	balanced, err := dataset.BalancedClassWeights()
	if err != nil || !slices.Equal(balanced, []float32{10.0 / (2 * 8), 10.0 / (2 * 2)}) {
		t.Errorf("balanced: %v, %v", balanced, err)
	}
	for _, weights := range [][]float32{nil, balanced, {1, 2.5}} {
		if err := dataset.SetClassWeights(weights); err != nil {
			t.Fatal(err)
		}
		var b bert.Batch
		for _, i := range []int{9, 0} {
			if err := dataset.Append(&b, i); err != nil {
				t.Fatal(err)
			}
		}
		var want []float32
		if weights != nil {
			want = []float32{weights[1], weights[0]}
		}
		if !slices.Equal(b.Weights, want) {
			t.Errorf("%v: the batch's weights are %v, want %v", weights, b.Weights, want)
		}
	}
	wantError(t, dataset.SetClassWeights([]float32{1}), `1 class weights for the labels "neg", "pos"`)
	for _, w := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		wantError(t, dataset.SetClassWeights([]float32{1, float32(w)}), `the class weight of "pos" is`, "want a positive number")
	}

	dataset, err = NewDataset(t.Context(), tinyTokenizer(t), tinySpec(), examples[:3])
	if err != nil {
		t.Fatal(err)
	}
	_, err = dataset.BalancedClassWeights()
	wantError(t, err, `there is none of "pos"`)
}

// Making features ends with the cause of its context.
func TestDatasetContext(t *testing.T) {
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if _, err := NewDataset(ctx, tinyTokenizer(t), tinySpec(), someExamples(600)); !errors.Is(err, stop) {
		t.Errorf("%v, want the cause", err)
	}
}
