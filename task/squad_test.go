package task

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/tokenizer"
)

// The official figure of predictions of SQuAD 1.1.
func TestGoldenSQuADScore(t *testing.T) {
	_, examples, err := data.ReadSQuAD(t.Context(), golden.Shared(t, "data", "squad", "dev-v1.1.reconstructed.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		exact, f1 float64
	}{{"BERT-ensemble", 86.2062, 92.1956}, {"LogReg", 40.1419, 50.9815}} {
		predictions, err := ReadAnswers(golden.Path(t, "squad-predictions", "v1.1-"+c.name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		s, err := ScoreSQuAD(examples, predictions, SQuADScoring{Version: data.SQuAD1})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(s.Exact-c.exact) > 5e-5 || math.Abs(s.F1-c.f1) > 5e-5 {
			t.Errorf("%s: %v and %v, want %v and %v", c.name, s.Exact, s.F1, c.exact, c.f1)
		}
	}
}

func TestNormalizeAnswer(t *testing.T) {
	for s, want := range map[string]string{
		"The  Cat, an\u00a0Owl": "cat owl", "U.S.": "us", "a-the": "athe", "Ba the": "ba", "the–end": "–end", "naïve A": "naïve",
		"$5 + 3": "5 3", "ΟΔΟΣ": "οδος", "theatre": "theatre", "\x1ca\x1d": "",
	} {
		if s == "ΟΔΟΣ" {
			want = "οδο" + "ς"
		}
		if got := normalizeAnswer(s); got != want {
			t.Errorf("%q becomes %q, want %q", s, got, want)
		}
	}
}

// Windows cover the context, and a token's window is the one that run_squad.py's _check_is_max_context says.
func TestSQuADWindows(t *testing.T) {
	tok := tinyTokenizer(t)
	words := strings.Fields(longText(31))
	words[20] = "bright"
	context := "é " + strings.Join(words, " ")
	at := strings.Index(context, "bright")
	d := Spec{Task: "made", Kind: QuestionAnswering, MaxSeqLength: 16, DocStride: 4}
	x := data.Example{Input: data.Input{Text: "is it", TextPair: context}, Answers: []data.Span{{Text: "bright", Start: at}}}
	dataset, err := NewDataset(tok, d, []data.Example{x})
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
	if dataset, err = NewDataset(tok, d, []data.Example{x}); err != nil || dataset.Stats().Dropped != 6 {
		t.Errorf("%v, %v: want 6 tokens of the question dropped", dataset.Stats(), err)
	}
	_, err = NewDataset(tok, d, []data.Example{{Input: data.Input{Text: "is it"}}})
	wantError(t, err, "no context")
}

// The n best, the null score as the least of the windows', and the threshold.
func TestSQuADAnswer(t *testing.T) {
	tok := tinyTokenizer(t)
	d := Spec{Task: "made", Kind: QuestionAnswering, MaxSeqLength: 16, Unanswerable: true}
	in := data.Input{Text: "is it", TextPair: "good bad dull"}
	dataset, err := NewDataset(tok, d, []data.Example{{Input: in}})
	if err != nil {
		t.Fatal(err)
	}
	_, s := dataset.example(0)
	logits := make([]float32, 2*len(s[0].ids))
	logits[0], logits[1] = 1, 1 // [CLS]
	logits[2*4], logits[2*5+1], logits[2*6+1] = 3, 2, 1.5
	logits[2*1], logits[2*1+1] = 9, 9 // of the question: no answer
	p := questionAnswering{}.answer(&d, &in, s, [][]float32{logits})
	sum := 0.0
	for _, a := range p.NBest {
		sum += a.Probability
	}
	if p.Answer.Text != "good bad" || p.Answer.Start != 0 || p.Answer.End != 8 || *p.NullOdds != 2-5 || math.Abs(sum-1) > 1e-9 || p.NBest[1].Text != "good bad dull" {
		t.Errorf("%+v, odds %v", p, *p.NullOdds)
	}
	d.NullThreshold = -4
	if p = (questionAnswering{}).answer(&d, &in, s, [][]float32{logits}); p.Answer.Text != "" || p.best != "good bad" {
		t.Errorf("%+v", p.Answer)
	}
	dir := t.TempDir()
	if err := SaveAnswers(dir, []string{"q"}, []Prediction{p}); err != nil {
		t.Fatal(err)
	}
	odds, err := ReadNullOdds(filepath.Join(dir, "null_odds.json"))
	if err != nil || odds["q"] != -3 {
		t.Errorf("%v, %v", odds, err)
	}
	nbest, err := os.ReadFile(filepath.Join(dir, "nbest_predictions.json"))
	if err != nil || !json.Valid(nbest) {
		t.Errorf("%s, %v", nbest, err)
	}
}

func TestScoreSQuAD2(t *testing.T) {
	examples := []data.Example{{ID: "a", Answers: []data.Span{{Text: "the cat", Start: 0}}}, {ID: "b", Answers: []data.Span{}}, {ID: "c", Answers: []data.Span{{Text: "red dog"}}}}
	predictions := map[string]string{"a": "cat", "b": "owl", "c": "dog"}
	odds := map[string]float64{"a": 0.1, "b": 0.9, "c": 0.2}
	s, err := ScoreSQuAD(examples, predictions, SQuADScoring{Version: data.SQuAD2, NoAnswer: odds, Threshold: 1})
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(s)
	sum := 1.0 // of F1, added up as the script does
	sum += 2.0 / 3
	third, f1 := 100*1.0/3, "55.55555555555555"
	want := fmt.Sprintf(`{"exact":%v,"f1":%s,"total":3,"HasAns_exact":50,"HasAns_f1":%v,"HasAns_total":2,"NoAns_exact":0,"NoAns_f1":0,"NoAns_total":1,"best_exact":%v,"best_exact_thresh":0.1,"best_f1":%s,"best_f1_thresh":0.2}`,
		third, f1, 100*sum/2, 100*2.0/3, "88.88888888888887")
	if string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	delete(predictions, "c")
	_, err = ScoreSQuAD(examples, predictions, SQuADScoring{Version: data.SQuAD2})
	wantError(t, err, `no prediction for question "c"`)
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
