package task

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
)

// at calls f from eight goroutines that begin together.
func at(t *testing.T, f func(i int) error) {
	t.Helper()
	var (
		begin = make(chan struct{})
		wait  sync.WaitGroup
	)
	for i := range 8 {
		wait.Go(func() {
			<-begin
			if err := f(i); err != nil {
				t.Errorf("goroutine %d: %v", i, err)
			}
		})
	}
	close(begin)
	wait.Wait()
}

// concurrently opens a model and uses it from eight goroutines at once, from its first call on. The answers are those of a Runner that
// answers one by one.
func concurrently[T any](t *testing.T, dir string, use Use[T], inputs []data.Input) {
	t.Helper()
	open := func(o Options) *Runner[T] {
		r, err := Open(t.Context(), dir, use, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
		return r
	}
	one := open(Options{Sessions: 1})
	var want []T
	for i := range inputs {
		answers, err := one.Do(t.Context(), inputs[i:i+1])
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, answers...)
	}
	for _, o := range []Options{{}, {Sessions: 8, Model: bert.Options{Threads: 2}}, {Sessions: 3, Tokens: 20}} {
		r := open(o)
		at(t, func(i int) error {
			if i%4 == 3 { // the others' calls go through Do
				n := 0
				return r.Stream(t.Context(), &queue{inputs: inputs}, func(_ Item, answer T) error {
					n++
					if !reflect.DeepEqual(answer, want[n-1]) {
						return fmt.Errorf("input %d of the stream: %+v, want %+v", n-1, answer, want[n-1])
					}
					return nil
				})
			}
			answers, err := r.Do(t.Context(), slices.Concat(inputs[i%len(inputs):], inputs[:i%len(inputs)]))
			if err != nil {
				return err
			}
			for j, answer := range answers {
				if k := (i + j) % len(inputs); !reflect.DeepEqual(answer, want[k]) {
					return fmt.Errorf("input %d: %+v, want %+v", k, answer, want[k])
				}
			}
			return nil
		})
	}
}

// queue is a few inputs.
type queue struct{ inputs []data.Input }

func (q *queue) Read(context.Context) (data.Input, data.Source, error) {
	if len(q.inputs) == 0 {
		return data.Input{}, data.Source{}, io.EOF
	}
	in := q.inputs[0]
	q.inputs = q.inputs[1:]
	return in, data.Source{}, nil
}

func (q *queue) Skip(err error) error { return err }

// Every use of a model is safe for concurrent use from the first call on, also of one that has computed nothing.
func TestConcurrentUse(t *testing.T) {
	nli := []string{"contradiction", "entailment", "neutral"}
	texts := data.Texts("the film is good", "a very bad film , and dull !", "not dull", "it was very very very bright .", "i", "bad good")
	classifier, tagger := tinyDir(t, bert.SequenceClassification, nli...), tinyDir(t, bert.TokenClassification, "O", "B-X", "I-X")
	masked := slices.Clone(texts)
	for i := range masked {
		masked[i].Text += " [MASK] film [MASK]"
	}
	pairs, questions, choices := slices.Clone(texts), slices.Clone(texts), slices.Clone(texts)
	for i := range texts {
		pairs[i].TextPair, questions[i].TextPair = "the film", "the film was very good and not dull"
		choices[i].Choices = []string{"good", "very bad", "i it"}[:2+i%2]
	}
	t.Run("classes", func(t *testing.T) { concurrently(t, classifier, Predict(), texts) })
	t.Run("entities", func(t *testing.T) { concurrently(t, tagger, Predict(), texts) })
	t.Run("answers", func(t *testing.T) { concurrently(t, tinyDir(t, bert.QuestionAnswering), Predict(), questions) })
	t.Run("choices", func(t *testing.T) { concurrently(t, tinyDir(t, bert.MultipleChoice), Predict(), choices) })
	t.Run("zero-shot", func(t *testing.T) {
		concurrently(t, classifier, ZeroShot(ZeroShotOptions{Labels: []string{"good", "bad", "dull"}}), texts)
	})
	t.Run("encode", func(t *testing.T) {
		concurrently(t, tagger, Encode(EncodeOptions{Layers: []int{0, 1, -1}, Pooling: MeanPooling, Attention: true}), texts)
	})
	t.Run("compare", func(t *testing.T) { concurrently(t, tagger, Compare(EncodeOptions{Pooling: CLSPooling}), pairs) })
	t.Run("fill-mask", func(t *testing.T) { concurrently(t, tinyDir(t, bert.MaskedLM), FillMask(4), masked) })
}

// Eight Runners open and use the same directory at once, and one of them may be closed while others answer.
func TestConcurrentOpen(t *testing.T) {
	dir := tinyDir(t, bert.SequenceClassification, "a", "b")
	at(t, func(i int) error {
		r, err := Open(t.Context(), dir, Predict(), Options{})
		if err != nil {
			return err
		}
		if _, err := r.Do(t.Context(), data.Texts("the film", "is bad")); err != nil {
			return err
		}
		return r.Close()
	})
}

// A Dataset may be made and read from many goroutines, and several models evaluate on one at once.
func TestConcurrentDataset(t *testing.T) {
	tok := tinyTokenizer(t)
	spec := Spec{Task: "made", Labels: []string{"a", "b"}, MaxSeqLength: 16, Long: Windows}
	var examples []data.Example
	for i, in := range someTexts(600) {
		in.TextPair = ""
		examples = append(examples, data.Example{Input: in, Label: spec.Labels[i%2]})
	}
	shared, err := NewDataset(t.Context(), tok, spec, examples)
	if err != nil {
		t.Fatal(err)
	}
	m := tinyModel(t, bert.SequenceClassification, spec.Labels...)
	losses := make([]float64, 8)
	at(t, func(i int) error {
		d := shared
		if i%2 == 1 { // with the same tokenizer
			var err error
			if d, err = NewDataset(t.Context(), tok, spec, examples); err != nil {
				return err
			}
		}
		r, err := Evaluate(t.Context(), m, d, EvaluateOptions{})
		if err == nil {
			losses[i] = r.Loss
		}
		return err
	})
	if slices.Min(losses) != slices.Max(losses) || losses[0] == 0 {
		t.Errorf("losses %v", losses)
	}
}

// Calls one after the other use one session, whose memory is that of the largest batch.
func TestSessionIsUsedAgain(t *testing.T) {
	p := tinyPredictor(t, tinySpec(), Options{Sessions: 4, Tokens: 20})
	for range 3 {
		if _, err := p.Do(t.Context(), someTexts(20)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.engine.idle); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
}
