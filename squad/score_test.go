package squad

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/golden"
)

// The official figure of predictions of SQuAD 1.1.
func TestGoldenScore(t *testing.T) {
	_, set, err := data.ReadSQuAD(t.Context(), golden.Shared(t, "data", "squad", "dev-v1.1.reconstructed.json"), data.TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	examples := set.Examples
	for _, c := range []struct {
		name      string
		exact, f1 float64
	}{{"BERT-ensemble", 86.2062, 92.1956}, {"LogReg", 40.1419, 50.9815}} {
		predictions, err := ReadAnswers(golden.Path(t, "squad-predictions", "v1.1-"+c.name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		s, err := Evaluate(examples, predictions, Options{Version: data.SQuAD1})
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

func TestEvaluate2(t *testing.T) {
	examples := []data.Example{{ID: "a", Answers: []data.Span{{Text: "the cat", Start: 0}}}, {ID: "b", Answers: []data.Span{}}, {ID: "c", Answers: []data.Span{{Text: "red dog"}}}}
	predictions := map[string]string{"a": "cat", "b": "owl", "c": "dog"}
	odds := map[string]float64{"a": 0.1, "b": 0.9, "c": 0.2}
	s, err := Evaluate(examples, predictions, Options{Version: data.SQuAD2, NoAnswer: odds, Threshold: 1})
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
	_, err = Evaluate(examples, predictions, Options{Version: data.SQuAD2})
	if err == nil || !strings.Contains(err.Error(), `no prediction for question "c"`) {
		t.Error(err)
	}
}

func TestReadAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "predictions.json")
	for content, want := range map[string]string{
		`{"1": 2}`: `predictions.json: "1" is "2", want a string`, `{"1": null}`: `"1" is "null", want a string`, `[]`: "not a JSON object",
		`{"1": "a", "1": "b"}`: `key "1" twice`, `{"1": "a"`: "it ends too early",
	} {
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadAnswers(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", content, err, want)
		}
	}
	if err := os.WriteFile(path, []byte("\ufeff{\"1\": 0.5, \"b\": -3}"), 0o666); err != nil {
		t.Fatal(err)
	}
	if odds, err := ReadNullOdds(path); err != nil || len(odds) != 2 || odds["b"] != -3 {
		t.Errorf("%v, %v", odds, err)
	}
}

func FuzzParseByID(f *testing.F) {
	f.Add([]byte(`{"1": "a", "2": 0.5}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		answers, err := parseByID(content, parseAnswer)
		if odds, oddsErr := parseByID(content, parseOdds); err == nil && oddsErr == nil && len(answers)+len(odds) > 0 {
			t.Errorf("both answers %v and numbers %v", answers, odds)
		}
	})
}
