package task

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/testbound"
)

// What the outcomes of an evaluation say, one by one, is what its result says of all; and they can be read back.
func TestOutcomes(t *testing.T) {
	for _, c := range kindCases() {
		t.Run(c.kind.String(), func(t *testing.T) {
			m := c.model(t)
			dataset, err := NewDataset(context.Background(), tinyTokenizer(t), c.spec(), c.examples)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := Evaluate(context.Background(), m, dataset, EvaluateOptions{GlobalStep: 7})
			if err != nil {
				t.Fatal(err)
			}
			if plain.Outcomes != nil {
				t.Error("there are outcomes that nobody asked for")
			}
			r, err := Evaluate(context.Background(), m, dataset, EvaluateOptions{Outcomes: true, GlobalStep: 7})
			if err != nil {
				t.Fatal(err)
			}
			if r.Loss != plain.Loss || r.String() != plain.String() {
				t.Error("keeping the outcomes changes the result")
			}
			o := r.Outcomes
			if len(o.Examples) != len(c.examples) || o.GlobalStep != 7 || o.Loss != r.Loss {
				t.Fatalf("%d outcomes at step %d with a loss of %v", len(o.Examples), o.GlobalStep, o.Loss)
			}
			mean, right := 0.0, 0.0
			for i := range o.Examples {
				x := &o.Examples[i]
				mean += x.Loss / float64(len(o.Examples))
				if want := c.examples[i].Source.String(); x.Source != want || x.Tokens < 3 {
					t.Errorf("outcome %d is of %s, want %s; it has %d tokens", i, x.Source, want, x.Tokens)
				}
				if rightOutcome(x) {
					right++
				}
			}
			// A sentence of words has its own mean, and the loss of all is the mean over words: here they have the same number.
			if math.Abs(mean-r.Loss) > 1e-6*max(1, r.Loss) {
				t.Errorf("the mean loss of the outcomes is %v, that of the result %v", mean, r.Loss)
			}
			for _, metric := range []string{"eval_accuracy", "exact"} {
				v, ok := r.Metrics().Get(metric)
				if metric == "exact" {
					v /= 100
				}
				if ok && c.kind != TokenClassification && math.Abs(right/float64(len(o.Examples))-v) > 1e-9 {
					t.Errorf("%v of the outcomes are right, %s is %v", right/float64(len(o.Examples)), metric, v)
				}
			}
			o.AddTexts(dataset, tinyTokenizer(t))
			if c.kind != TokenClassification && !strings.Contains(o.Examples[0].Text, "film") {
				t.Errorf("the text of the first example is %q", o.Examples[0].Text)
			}
			if c.kind == QuestionAnswering {
				for i := range o.Examples {
					x, p := &o.Examples[i], o.Examples[i].Passage
					if p.Question == "" || p.BestAt == nil || p.Context[p.BestAt[0]:p.BestAt[1]] != x.Best {
						t.Errorf("the answer %q to %q is at %v of %q", x.Best, p.Question, p.BestAt, p.Context)
					}
					if p.RightAt != nil && p.Context[p.RightAt[0]:p.RightAt[1]] != x.Answers[0] {
						t.Errorf("the right answer %q is at %v of %q", x.Answers[0], p.RightAt, p.Context)
					}
				}
			}
			if err := o.AddExplanations(t.Context(), m, dataset, tinyTokenizer(t)); err != nil {
				t.Fatal(err)
			}
			checkExplained(t, &c, m, o)
			checkOutcomesFile(t, r)
		})
	}
}

// checkExplained compares the scores of words with those of Explain; only examples with one label each have some.
func checkExplained(t *testing.T, c *kindCase, m *bert.Model, o *Outcomes) {
	t.Helper()
	spec := c.spec()
	explained := 0
	r, err := NewRunner(m, tinyTokenizer(t), &spec, Explain(ExplainOptions{Method: GradientInput}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer func() {
		if want := min(explainedOutcomes, len(o.Examples)); c.kind == SingleLabel && explained != want {
			t.Errorf("%d outcomes are explained, want %d", explained, want)
		}
	}()
	for i := range o.Examples {
		x := &o.Examples[i]
		if x.Scored != nil {
			explained++
		} else if c.kind == SingleLabel {
			continue
		}
		if c.kind != SingleLabel {
			if x.Scored != nil {
				t.Errorf("outcome %d of a %v is explained", i, c.kind)
			}
			continue
		}
		want, err := r.Do(t.Context(), []data.Input{c.examples[i].Input})
		if err != nil {
			t.Fatal(err)
		}
		sum, all := 0.0, float32(0)
		for _, w := range want[0].Targets[0].Words {
			sum += float64(w.Score)
		}
		for _, w := range x.Scored {
			if w.Text != "[SEP]" {
				all += w.Score
			}
			if strings.HasPrefix(w.Text, "##") || w.Text == "[CLS]" {
				t.Errorf("%q is taken for a word", w.Text)
			}
		}
		if math.Abs(float64(all)-sum) > 1e-5*max(1, math.Abs(sum)) {
			t.Errorf("outcome %d: the scores %+v add up to %v, those of Explain to %v", i, x.Scored, all, sum)
		}
	}
}

// rightOutcome says whether the model's answer is right.
func rightOutcome(x *Outcome) bool {
	switch {
	case x.LogProbabilities != nil:
		best := 0
		for j, v := range x.LogProbabilities {
			if v > x.LogProbabilities[best] {
				best = j
			}
		}
		return best == *x.Label
	case x.Probabilities != nil:
		said := []int{}
		for j, p := range x.Probabilities {
			if p > 0.5 {
				said = append(said, j)
			}
		}
		return reflect.DeepEqual(said, x.Labels)
	case x.Answer != nil:
		for _, a := range x.Answers {
			if strings.EqualFold(a, *x.Answer) {
				return true
			}
		}
	}
	return false
}

func checkOutcomesFile(t *testing.T, r *Result) {
	t.Helper()
	dir := t.TempDir()
	if _, err := ReadOutcomes(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := ReadOutcomes(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r.Outcomes)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("read back as\n%s, written\n%s", a, b)
	}
}

func TestReadOutcomesRefuses(t *testing.T) {
	const head = `{"kind":"single_label_classification","labels":["a","b"],"loss":1,"examples":1}` + "\n"
	const words = `{"kind":"token_classification","labels":["O","B-X"],"loss":1,"examples":1}` + "\n"
	dir := t.TempDir()
	path := filepath.Join(dir, OutcomesFile)
	for text, want := range map[string]string{
		"":                          ":1: the file is empty",
		"{}\n":                      ":1: kind",
		`{"kind":"unknown"}` + "\n": ":1: kind \"unknown\"",
		`{"kind":"single_label_classification","labels":["a"],"examples":0}` + "\n": ":1: 1 labels, want at least 2",
		head:                        ":2: the file has 0 examples, want 1",
		head + `{"label":0}` + "\n": ":2: no label, or no log_probabilities",
		head + `{"label":2,"log_probabilities":[-1,-1]}` + "\n":       ":2: label: 2 is not one of 2 labels from 0",
		head + `{"label":0,"log_probabilities":[-1]}` + "\n":          ":2: 1 log_probabilities, want 2",
		head + `{"label":"x","log_probabilities":[-1,-1]}` + "\n":     ":2: label",
		head + `{"label":0,"label":0,"log_probabilities":[0]}` + "\n": `:2: key "label" twice`,
		head + "nonsense\n": ":2: not JSON",
		words + `{"words":["a","b"],"tags":[0],"predicted":[0]}` + "\n":                                                            ":2: 1 tags and 1 predicted for 2 words",
		`{"kind":"question_answering","examples":1}` + "\n" + `{"answer":"a","passage":{"context":"a b","right_at":[2,4]}}` + "\n": ":2: passage: right_at: 2 to 4 is not in a context of 3 bytes",
		words + `{"words":["a"],"tags":[0],"predicted":[-1]}` + "\n":                                                               ":2: predicted: -1 is not one of 2 labels",
	} {
		write(t, path, text)
		_, err := ReadOutcomes(dir)
		wantError(t, err, path+want)
		if strings.Contains(err.Error(), "unmarshal") {
			t.Errorf("the error has a word of Go: %v", err)
		}
	}
}

func FuzzParseOutcomes(f *testing.F) {
	f.Add([]byte(`{"kind":"single_label_classification","labels":["a","b"],"loss":1,"examples":1}` + "\n" + `{"label":0,"log_probabilities":[-1,-0.5]}` + "\n"))
	f.Add([]byte(`{"kind":"token_classification","labels":["O","B-X"],"examples":1}` + "\n" + `{"words":["a"],"tags":[0],"predicted":[1]}` + "\n"))
	f.Add([]byte(`{"kind":"question_answering","examples":1}` + "\n" + `{"answer":"x","answers":["x"],"null_odds":-2}` + "\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		o, _, err := parseOutcomes(bytes.NewReader(content))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := o.write(&b); err != nil {
			t.Fatal(err)
		}
		again, _, err := parseOutcomes(&b)
		if err != nil || len(again.Examples) != len(o.Examples) {
			t.Errorf("written and read again: %v", err)
		}
	})
}

// Outcomes of the shortest lines take no more than docs/security.md says.
func TestBoundOutcomes(t *testing.T) {
	for what, c := range map[string]struct{ head, line string }{
		"examples": {`{"kind":"question_answering","examples":1000000}`, `{"answer":""}`},
		"labels":   {`{"kind":"single_label_classification","labels":["a","b"],"examples":1}`, `{"label":0,"log_probabilities":[0,0]}`},
		"numbers":  {`{"kind":"single_label_classification","labels":["a","b"],"examples":1}`, `{"label":0,"log_probabilities":[` + strings.Repeat("0,", 2_000_000) + `0]}`},
	} {
		t.Run(what, func(t *testing.T) {
			bound := testbound.Default
			bound.PerByte += 100
			bound.PerHundred = 40 * time.Second
			testbound.Read(t, bound, func(dir string) (string, error) {
				content := c.head + "\n" + strings.Repeat(c.line+"\n", max(1, 3_000_000/len(c.line)))
				return dir, os.WriteFile(filepath.Join(dir, OutcomesFile), []byte(content), 0o666)
			}, func(path string) error {
				_, err := ReadOutcomes(path)
				return err
			})
		})
	}
}

// The part of a context around answers has them at the places that it says, at any length and in any script.
func TestOutcomeContext(t *testing.T) {
	long := strings.Repeat("ä", 3000)
	for what, c := range map[string]struct {
		text        string
		right, best string // parts of text that occur once; "": none
		without     bool   // best is too far away
	}{
		"short":     {"one two three", "two", "two three", false},
		"long":      {long + "one" + long, "one", "one", false},
		"far apart": {"one" + long + long + "two", "one", "two", true},
		"one":       {long + "two", "", "two", false},
		"the end":   {long + "two", "two", "two", false},
	} {
		place := func(part string) *[2]int {
			if part == "" {
				return nil
			}
			at := strings.Index(c.text, part)
			return &[2]int{at, at + len(part)}
		}
		o := Passage{right: place(c.right), best: place(c.best)}
		o.addContext(c.text)
		if !utf8.ValidString(o.Context) || len(o.Context) > contextMost+2*contextAround+20 {
			t.Errorf("%s: the context has %d bytes: %.40q", what, len(o.Context), o.Context)
		}
		if c.right != "" && (o.RightAt == nil || o.Context[o.RightAt[0]:o.RightAt[1]] != c.right) {
			t.Errorf("%s: the right answer is at %v", what, o.RightAt)
		}
		if c.without != (o.BestAt == nil) || o.BestAt != nil && o.Context[o.BestAt[0]:o.BestAt[1]] != c.best {
			t.Errorf("%s: the best answer is at %v", what, o.BestAt)
		}
	}
}
