package main

import (
	"strings"
	"testing"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

func showVocab(t *testing.T) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.New(strings.Fields("[PAD] [UNK] [CLS] [SEP] [MASK] good bad film ! . very"), tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// Examples of every kind are shown with their labels.
func TestShowExamples(t *testing.T) {
	source := data.Source{File: "a.csv", Line: 2}
	for kind, c := range map[task.Kind]struct {
		labels  []string
		example data.Example
		want    string
	}{
		task.SingleLabel: {
			[]string{"neg", "pos"}, data.Example{Input: data.Input{Text: "Good film!", TextPair: "Very."}, Label: "pos"},
			"tokens: [CLS] good film ! [SEP] very . [SEP]\ninput_ids: 2 5 7 8 3 10 9 3\nsegment_ids: 0 0 0 0 0 1 1 1\nlabel: pos (id = 1)\n",
		},
		task.MultiLabel: {
			[]string{"x", "y"}, data.Example{Input: data.Input{Text: "bad"}, Labels: []string{"y"}},
			"tokens: [CLS] bad [SEP]\ninput_ids: 2 6 3\nsegment_ids: 0 0 0\nlabel: 0 1\n",
		},
		task.Regression: {
			[]string{"value"}, data.Example{Input: data.Input{Text: "bad"}, Label: "0.5"},
			"tokens: [CLS] bad [SEP]\ninput_ids: 2 6 3\nsegment_ids: 0 0 0\nlabel: 0.5\n",
		},
		task.TokenClassification: {
			[]string{"B-X", "O"}, data.Example{Input: data.Input{Words: []string{"bad", "film"}}, Labels: []string{"O", "B-X"}},
			"tokens: [CLS] bad film [SEP]\ninput_ids: 2 6 7 3\nsegment_ids: 0 0 0 0\nlabel_ids: -1 1 0 -1\n",
		},
		task.QuestionAnswering: {
			nil, data.Example{Input: data.Input{Text: "film", TextPair: "very good"}, Answers: []data.Span{{Text: "good", Start: 5}}},
			"tokens: [CLS] film [SEP] very good [SEP]\ninput_ids: 2 7 3 10 5 3\nsegment_ids: 0 0 0 1 1 1\nstart_position: 4\nend_position: 4\n",
		},
		task.MultipleChoice: {
			nil, data.Example{Input: data.Input{Text: "film", Choices: []string{"bad", "good"}}, Label: "1"},
			"tokens: [CLS] film [SEP] bad [SEP]\ninput_ids: 2 7 3 6 3\nsegment_ids: 0 0 0 1 1\n*** Example ***\nguid: a.csv:2\n" +
				"tokens: [CLS] film [SEP] good [SEP]\ninput_ids: 2 7 3 5 3\nsegment_ids: 0 0 0 1 1\nlabel: 1\n",
		},
	} {
		tok := showVocab(t)
		c.example.Source = source
		d, err := task.NewDataset(t.Context(), tok, task.Spec{Task: "made", Kind: kind, Labels: c.labels, MaxSeqLength: 16}, []data.Example{c.example, c.example})
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := showExamples(&out, d, tok, 1); err != nil {
			t.Fatal(err)
		}
		if want := "*** Example ***\nguid: a.csv:2\n" + c.want; out.String() != want {
			t.Errorf("%v: wrote\n%s\nwant\n%s", kind, out.String(), want)
		}
		if err := showExamples(&out, d, tok, 99); err != nil {
			t.Error(err)
		}
	}
}
