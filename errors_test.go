package bert

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-bert/bert/checkpoint"
)

// TestClosed asserts that what is used after Close gives ErrClosed.
func TestClosed(t *testing.T) {
	h := headCases[3]
	b := h.batch(9, 3)
	use := func(m *Model, s *Session, tr *Trainer) map[string]func() error {
		of := map[string]func() error{
			"Backward":   func() error { _, err := tr.Backward([]*Batch{b}, Pass{}); return err },
			"GradNorm":   func() error { _, err := tr.GradNorm(); return err },
			"Update":     func() error { return tr.Update(Update{}) },
			"ZeroGrad":   tr.ZeroGrad,
			"WriteState": func() error { return tr.WriteState(filepath.Join(t.TempDir(), "x"), nil) },
			"Hold":       tr.Hold, "AddHeld": func() error { return tr.AddHeld(0, Range{}) }, "RunSquares": func() error { return tr.RunSquares(nil) },
			"Directions": func() error { return tr.Directions(nil, Update{}) }, "Apply": func() error { return tr.Apply(Update{}, nil) },
			"WriteStateFrom": func() error { return tr.WriteStateFrom(filepath.Join(t.TempDir(), "x"), nil, nil) },
			"ReadStateTo":    func() error { _, err := tr.ReadStateTo(filepath.Join(t.TempDir(), "x"), nil); return err },
			"GradientRange":  func() error { return tr.GradientRange(Range{}).Read(nil) },
			"ParameterRange": func() error { return tr.ParameterRange(Range{}).Read(nil) },
			"ReadState":      func() error { _, err := tr.ReadState(filepath.Join(t.TempDir(), "x")); return err },
		}
		for name, all := range map[string]func(func(Param, Values) bool){"Gradients": tr.Gradients(), "Parameters": tr.Parameters()} {
			of[name+"'s View"] = func() (err error) {
				n := 0
				all(func(_ Param, v Values) bool { _, err = v.View(); n++; return true })
				if n != len(m.params) {
					t.Errorf("%s of a closed trainer has %d rows", name, n)
				}
				return err
			}
			of[name+"'s Read"] = func() (err error) {
				all(func(_ Param, v Values) bool { err = v.Read(make([]float32, v.Len())); return true })
				return err
			}
			of[name+"'s Write"] = func() (err error) {
				all(func(_ Param, v Values) bool { err = v.Write(make([]float32, v.Len())); return true })
				return err
			}
		}
		if s != nil {
			of["Forward"] = func() error { _, err := s.Forward(b, Outputs{}); return err }
			of["a new session's Forward"] = func() error { _, err := m.NewSession().Forward(b, Outputs{}); return err }
			of["NewTrainer"] = func() error { _, err := m.NewTrainer(); return err }
			of["Prepare"] = m.Prepare
			of["Save"] = func() error { return m.Save(t.TempDir(), SaveOptions{}) }
			of["ExportONNX"] = func() error { return m.ExportONNX(filepath.Join(t.TempDir(), "x")) }
			of["Values"] = func() error { _, err := m.Values(m.params[0].Name); return err }
		}
		return of
	}
	check := func(t *testing.T, of map[string]func() error) {
		t.Helper()
		for name, f := range of {
			if err := f(); !errors.Is(err, ErrClosed) {
				t.Errorf("%s: %v, want ErrClosed", name, err)
			}
		}
	}
	t.Run("trainer", func(t *testing.T) {
		m := newTestModel(t, h.config(), h.head, 1)
		tr := newTrainer(t, m)
		var kept Values
		for _, v := range tr.Gradients() {
			kept = v
		}
		tr.Close()
		tr.Close()
		check(t, use(m, nil, tr))
		if _, err := kept.View(); !errors.Is(err, ErrClosed) {
			t.Errorf("a gradient of a closed trainer: %v", err)
		}
		if _, err := m.NewSession().Forward(b, Outputs{}); err != nil {
			t.Errorf("the model of a closed trainer: %v", err)
		}
		newTrainer(t, m).Close()
	})
	t.Run("model", func(t *testing.T) {
		dir := t.TempDir()
		if err := newTestModel(t, h.config(), h.head, 1).Save(dir, SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		m := load(t, dir, Options{Threads: 2}) // mapped
		s := m.NewSession()
		if _, err := s.Forward(b, Outputs{}); err != nil {
			t.Fatal(err)
		}
		tr := newTrainer(t, m)
		if err := errors.Join(m.Close(), m.Close()); err != nil {
			t.Fatal(err)
		}
		check(t, use(m, s, tr))
		tr.Close()
		check(t, use(m, s, tr))
	})
	t.Run("during passes", func(t *testing.T) {
		m := newTestModel(t, h.config(), h.head, 2)
		var running sync.WaitGroup
		for range 4 {
			s := m.NewSession()
			running.Go(func() {
				for {
					if _, err := s.Forward(b, Outputs{}); err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		running.Wait()
	})
}

// TestColdSessions makes the first passes of a model from many goroutines at once, each with a new session: for the race
// detector.
func TestColdSessions(t *testing.T) {
	h := headCases[3]
	b := h.batch(9, 3)
	for range 4 {
		m := newTestModel(t, h.config(), h.head, 2)
		var running sync.WaitGroup
		for range 8 {
			running.Go(func() {
				for range 3 {
					if _, err := m.NewSession().Forward(b, Outputs{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		running.Wait()
	}
}

func TestSecondTrainer(t *testing.T) {
	m := newTestModel(t, smallConfig(), NoHead, 1)
	tr := newTrainer(t, m)
	if _, err := m.NewTrainer(); !errors.Is(err, ErrTrainerExists) {
		t.Errorf("a second trainer: %v", err)
	}
	tr.Close()
	newTrainer(t, m)
}

func TestTensorErrors(t *testing.T) {
	const (
		word   = "bert.embeddings.word_embeddings.weight"
		pooler = "bert.pooler.dense.weight"
	)
	m := newTestModel(t, smallConfig(), SequenceClassification, 1)
	for _, test := range []struct {
		name   string
		change func(map[string]checkpoint.Tensor)
		want   TensorError
	}{
		{"missing", func(x map[string]checkpoint.Tensor) { delete(x, pooler); delete(x, word) },
			TensorError{Name: word, Others: []string{pooler}, Reason: TensorMissing, Model: "BertForSequenceClassification"}},
		{"no head", func(x map[string]checkpoint.Tensor) { delete(x, "classifier.weight"); delete(x, "classifier.bias") },
			TensorError{Name: "classifier.weight", Others: []string{"classifier.bias"}, Reason: HeadMissing, Model: "BertForSequenceClassification"}},
		{"misshapen", func(x map[string]checkpoint.Tensor) {
			x[word] = checkpoint.Tensor{DType: checkpoint.F32, Shape: []int{2}, Data: make([]byte, 8)}
		}, TensorError{Name: word, Reason: TensorMisshapen, Got: []int{2}, Want: []int{53, 20}}},
		{"wrong type", func(x map[string]checkpoint.Tensor) {
			x["classifier.bias"] = checkpoint.Tensor{DType: checkpoint.I32, Shape: []int{3}, Data: make([]byte, 12)}
		}, TensorError{Name: "classifier.bias", Reason: TensorOfWrongType, Type: checkpoint.I32}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := saveTensors(t, m, test.change)
			_, err := Load(t.Context(), dir, Options{Threads: 1})
			var got *TensorError
			if !errors.As(err, &got) {
				t.Fatalf("error %v is no TensorError", err)
			}
			test.want.Path = dir
			if got.Error() != test.want.Error() || got.Name != test.want.Name || got.Reason != test.want.Reason ||
				!slices.Equal(got.Got, test.want.Got) || !slices.Equal(got.Want, test.want.Want) || !slices.Equal(got.Others, test.want.Others) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if strings.Contains(err.Error(), "--") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q names a flag or is no line", err)
			}
		})
	}
}

func TestLoadIsCancelled(t *testing.T) {
	dir := t.TempDir()
	if err := newTestModel(t, smallConfig(), NoHead, 1).Save(dir, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Load(ctx, dir, Options{Threads: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

// TestBatchErrors asserts where the errors of batches say that they are, and that none of them is a panic.
func TestBatchErrors(t *testing.T) {
	nan := float32(math.NaN())
	byName := make(map[string]headCase)
	for _, h := range headCases {
		byName[h.name] = h
	}
	for _, test := range []struct {
		name, head      string
		change          func(*Batch)
		sequence, token int
		text            string
		notFinite       bool
	}{
		{name: "bounds beyond the ids", head: "classes", change: func(b *Batch) { b.Starts = []int{0, 15, 12} }, sequence: 0, token: -1, text: "sequence 0 of the batch ends at token 15 of 12"},
		{name: "bounds that fall", head: "classes", change: func(b *Batch) { b.Starts = []int{0, 9, 7, 12} }, sequence: 1, token: -1, text: "has -2 tokens"},
		{name: "bounds below 0", head: "classes", change: func(b *Batch) { b.Starts = []int{0, -3, 12} }, sequence: 0, token: -1, text: "has -3 tokens"},
		{name: "id", head: "classes", change: func(b *Batch) { b.IDs[10] = 53 }, sequence: 1, token: 1, text: "id 53 is outside"},
		{name: "type id", head: "classes", change: func(b *Batch) { b.TypeIDs[3] = -1 }, sequence: 0, token: 3, text: "type id -1"},
		{name: "class", head: "classes", change: func(b *Batch) { b.Classes[1] = 3 }, sequence: 1, token: -1, text: "class 1 of the batch is 3"},
		{name: "token class", head: "tokens", change: func(b *Batch) { b.TokenClasses[11] = 3 }, sequence: 1, token: 2, text: "token class 11 of the batch is 3"},
		{name: "masked id", head: "masked LM", change: func(b *Batch) { b.MaskedIDs[1] = 53 }, sequence: 1, token: 1, text: "masked id 1 of the batch is 53"},
		{name: "masked position", head: "masked LM", change: func(b *Batch) { b.MaskedPositions[1] = 12 }, sequence: -1, token: -1, text: "masked position 1"},
		{name: "choice", head: "choices", change: func(b *Batch) { b.Classes[0] = 2 }, sequence: 0, token: -1, text: "right choice 0 of the batch is 2"},
		{name: "no choices", head: "choices", change: func(b *Batch) { b.Choices = 0 }, sequence: -1, token: -1, text: "of 0 choices each"},
		{name: "value", head: "regression", change: func(b *Batch) { b.Values[1] = nan }, sequence: 1, token: -1, text: "value 1 of the batch is NaN", notFinite: true},
		{name: "label value", head: "labels", change: func(b *Batch) { b.Values[4] = nan }, sequence: 1, token: -1, text: "value 4 of the batch is NaN", notFinite: true},
		{name: "weight", head: "tokens", change: func(b *Batch) { b.Weights = []float32{1, nan} }, sequence: 1, token: -1, text: "weight 1 of the batch is NaN", notFinite: true},
		{name: "negative weight", head: "answers", change: func(b *Batch) { b.Weights = []float32{-1, 1} }, sequence: 0, token: -1, text: "weight 0 of the batch is -1"},
		{name: "weights of choices", head: "choices", change: func(b *Batch) { b.Weights = []float32{1, 1} }, sequence: -1, token: -1, text: "2 weights, want 1"},
		{name: "weights", head: "pre-training", change: func(b *Batch) { b.Weights = []float32{1} }, sequence: -1, token: -1, text: "1 weights, want 2"},
		{name: "probability", head: "classes", change: func(b *Batch) { b.SoftClasses = []float32{1, 0, 0, 2, -1, 0} }, sequence: 1, token: -1, text: "probability 0 of class 1 of the batch is 2"},
		{name: "probabilities", head: "classes", change: func(b *Batch) { b.SoftClasses = []float32{1, 0, 0, 0.5, 0.2, 0} }, sequence: 1, token: -1, text: "add up to 0.7"},
		{name: "probability that is none", head: "tokens", change: func(b *Batch) { b.SoftClasses = make([]float32, 36); b.SoftClasses[28] = nan }, sequence: 1, token: 0, text: "probability 1 of token class 9 of the batch is NaN", notFinite: true},
		{name: "too few probabilities", head: "masked LM", change: func(b *Batch) { b.SoftMaskedIDs = make([]float32, 53) }, sequence: -1, token: -1, text: "53 probabilities of masked ids, want 106"},
		{name: "neither labels nor probabilities", head: "classes", change: func(b *Batch) { b.Classes = nil }, sequence: -1, token: -1, text: "0 classes, want 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := byName[test.head]
			b := h.batch(9, 3)
			test.change(b)
			m := newTestModel(t, h.config(), h.head, 1)
			tr := newTrainer(t, m)
			_, forward := m.NewSession().Forward(b, Outputs{Loss: true})
			_, backward := tr.Backward([]*Batch{h.batch(9, 3), b}, Pass{})
			_, denominators := m.Denominators(h.batch(9, 3), b)
			for i, err := range []error{forward, backward, denominators} {
				var e *BatchError
				if !errors.As(err, &e) {
					t.Fatalf("error %v is no BatchError", err)
				}
				if want := min(i, 1); e.Batch != want || e.Sequence != test.sequence || e.Token != test.token {
					t.Errorf("error %q is of batch %d, sequence %d, token %d, want %d, %d, %d", e, e.Batch, e.Sequence, e.Token, want, test.sequence, test.token)
				}
				if !strings.Contains(e.Error(), test.text) || errors.Is(err, ErrNotFinite) != test.notFinite {
					t.Errorf("error %q (not finite: %v), want one with %q", e, errors.Is(err, ErrNotFinite), test.text)
				}
			}
			if gradNorm(t, tr) != 0 {
				t.Error("a batch with an error has left gradients")
			}
		})
	}
}

// TestEnumerations writes and reads the closed sets as text, and what is in none of them.
func TestEnumerations(t *testing.T) {
	for h := range heads {
		head := Head(h)
		if got, err := ParseHead(head.String()); err != nil || got != head {
			t.Errorf("%v: parsed as %v, %v", head, got, err)
		}
	}
	for p := range problems {
		problem := ProblemType(p)
		if got, err := ParseProblemType(problem.String()); err != nil || got != problem {
			t.Errorf("%v: parsed as %v, %v", problem, got, err)
		}
	}
	type all struct {
		Head      Head
		Problem   ProblemType
		Precision Precision
	}
	in := all{QuestionAnswering, RegressionProblem, BFloat16}
	data, err := json.Marshal(in)
	if want := `{"Head":"BertForQuestionAnswering","Problem":"regression","Precision":"bf16"}`; err != nil || string(data) != want {
		t.Errorf("as JSON: %s, %v, want %s", data, err, want)
	}
	var out all
	if err := json.Unmarshal(data, &out); err != nil || out != in {
		t.Errorf("read back as %v, %v", out, err)
	}
	for _, x := range []any{Head(99), ProblemType(99), Precision(99)} {
		if _, err := json.Marshal(x); err == nil {
			t.Errorf("%v is written", x)
		}
	}
	if got := Head(99).String() + ProblemType(99).String(); got != "Head(99)ProblemType(99)" {
		t.Errorf("unknown ones are %q", got)
	}
	c := smallConfig()
	if _, err := New(c, Options{Head: Head(99)}); err == nil || !strings.Contains(err.Error(), "unknown head 99") {
		t.Errorf("a model with an unknown head: %v", err)
	}
	if Params(&c, Head(99)) != nil {
		t.Error("an unknown head has parameters")
	}
	if _, err := ParseHead("BertForNothing"); err == nil || !strings.Contains(err.Error(), "BertForQuestionAnswering") {
		t.Errorf("an unknown architecture: %v", err)
	}
}
