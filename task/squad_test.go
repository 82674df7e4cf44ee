package task

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/squad"
	"github.com/go-bert/bert/tokenizer"
)

// Windows cover the context, and a token's window is the one that run_squad.py's _check_is_max_context says.
func TestSQuADWindows(t *testing.T) {
	tok := tinyTokenizer(t)
	words := strings.Fields(longText(31))
	words[20] = "bright"
	context := "é " + strings.Join(words, " ")
	at := strings.Index(context, "bright")
	d := Spec{Task: "made", Kind: QuestionAnswering, MaxSeqLength: 16, DocStride: 4}
	x := data.Example{Input: data.Input{Text: "is it", TextPair: context}, Answers: []data.Span{{Text: "bright", Start: at}}}
	dataset, err := NewDataset(t.Context(), tok, d, []data.Example{x})
	if err != nil {
		t.Fatal(err)
	}
	_, s := dataset.example(0)
	windows, offsets := windowsOf(&d, s)
	var e tokenizer.Encoding
	if err := tok.Encode(&e, context, tokenizer.Options{OmitSpecialTokens: true}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(offsets, e.Offsets) {
		t.Fatalf("places %v, want %v", offsets, e.Offsets)
	}
	found := 0
	for i, w := range windows {
		if !slices.Equal(s[i].ids[w.at:w.at+w.n], e.IDs[w.start:w.start+w.n]) {
			t.Errorf("window %d: %v", i, w)
		}
		from, to := dataset.targets.from[i], dataset.targets.to[i]
		if from == 0 {
			continue
		}
		found++
		if got := context[s[i].offsets[from].Start:s[i].offsets[to].End]; got != "bright" {
			t.Errorf("window %d is labelled %q", i, got)
		}
	}
	if len(windows) != 7 || found != 3 || dataset.Stats().Dropped != 0 {
		t.Errorf("%d windows, %d with the answer, %v", len(windows), found, dataset.Stats())
	}
	for position := range offsets {
		best, bestScore := -1, 0.0
		for i, w := range windows {
			end := w.start + w.n - 1
			if position < w.start || position > end {
				continue
			}
			score := float64(min(position-w.start, end-position)) + 0.01*float64(w.n)
			if best < 0 || score > bestScore {
				best, bestScore = i, score
			}
		}
		if got := maxContext(windows, position); got != best {
			t.Errorf("token %d: window %d, want %d", position, got, best)
		}
	}
	x.Text = longText(70)
	d.MaxSeqLength = 80
	if dataset, err = NewDataset(t.Context(), tok, d, []data.Example{x}); err != nil || dataset.Stats().Dropped != 6 {
		t.Errorf("%v, %v: want 6 tokens of the question dropped", dataset.Stats(), err)
	}
	_, err = NewDataset(t.Context(), tok, d, []data.Example{{Input: data.Input{Text: "is it"}}})
	wantError(t, err, "no context")
}

// The n best, the null score as the least of the windows', and the threshold.
func TestSQuADAnswer(t *testing.T) {
	tok := tinyTokenizer(t)
	d := Spec{Task: "made", Kind: QuestionAnswering, MaxSeqLength: 16, Unanswerable: true}
	in := data.Input{Text: "is it", TextPair: "good bad dull"}
	dataset, err := NewDataset(t.Context(), tok, d, []data.Example{{Input: in}})
	if err != nil {
		t.Fatal(err)
	}
	_, s := dataset.example(0)
	logits := make([]float32, 2*len(s[0].ids))
	logits[0], logits[1] = 1, 1 // [CLS]
	logits[2*4], logits[2*5+1], logits[2*6+1] = 3, 2, 1.5
	logits[2*1], logits[2*1+1] = 9, 9 // of the question: no answer
	p := foldAll(questionAnswering{}.fold(&d, &in), s, [][]float32{logits})
	sum := 0.0
	for _, a := range p.NBest {
		sum += a.Probability
	}
	if p.Answer.Text != "good bad" || p.Answer.Start != 0 || p.Answer.End != 8 || *p.NullOdds != 2-5 || math.Abs(sum-1) > 1e-9 || p.NBest[1].Text != "good bad dull" {
		t.Errorf("%+v, odds %v", p, *p.NullOdds)
	}
	d.NullThreshold = -4
	if p = foldAll(questionAnswering{}.fold(&d, &in), s, [][]float32{logits}); p.Answer.Text != "" || p.best != "good bad" {
		t.Errorf("%+v", p.Answer)
	}
	dir := t.TempDir()
	if err := SaveAnswers(dir, []string{"q"}, []Prediction{p}); err != nil {
		t.Fatal(err)
	}
	odds, err := squad.ReadNullOdds(filepath.Join(dir, "null_odds.json"))
	if err != nil || odds["q"] != -3 {
		t.Errorf("%v, %v", odds, err)
	}
	nbest, err := os.ReadFile(filepath.Join(dir, "nbest_predictions.json"))
	if err != nil || !json.Valid(nbest) {
		t.Errorf("%s, %v", nbest, err)
	}
}

// Predictions that are too few, or of another kind, are an error and no panic.
func TestSaveAnswersErrors(t *testing.T) {
	dir := t.TempDir()
	answer := Prediction{Answer: &Answer{Text: "the cat"}}
	odds := 1.5
	wantError(t, SaveAnswers(dir, []string{"1", "2"}, []Prediction{answer}), "1 predictions for 2 questions")
	wantError(t, SaveAnswers(dir, []string{"1", "2"}, []Prediction{answer, {Label: "x"}}), `the prediction for question "2" is no answer`)
	wantError(t, SaveAnswers(dir, []string{"1", "2"}, []Prediction{{Answer: answer.Answer, NullOdds: &odds}, answer}), `questions "1" and "2": only one has the odds`)
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("wrote %v, %v", files, err)
	}
	if err := SaveAnswers(dir, []string{"1"}, []Prediction{answer}); err != nil {
		t.Error(err)
	}
}
