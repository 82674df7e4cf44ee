package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/metric"
)

// pull is an Objective that learns a vector beside the model: Σ (x−t)²/2 of the vector x and the mean t of a batch's logits, which are
// drawn to x in turn. It notes the order of its calls.
type pull struct {
	t     *bert.Trainer
	lead  int
	calls []string
	ahead map[int][]int32 // the ids that Ahead was given, by step
	fail  int             // the step that Ahead refuses; 0: none
	loss  float64
}

func (p *pull) Parameters() []bert.Param {
	return []bert.Param{{Name: "beside.x", Shape: []int{2}, Decay: true}}
}

func (p *pull) Begin(t *bert.Trainer) error {
	p.t, p.ahead = t, make(map[int][]int32)
	value, _ := p.values()
	return value.Write([]float32{1, -1})
}

func (p *pull) values() (value, gradient bert.Values) {
	for row, v := range p.t.Parameters() {
		if row.Name == "beside.x" {
			value = v
		}
	}
	for row, v := range p.t.Gradients() {
		if row.Name == "beside.x" {
			gradient = v
		}
	}
	return value, gradient
}

func (p *pull) Lead() int { return p.lead }

var errRefused = errors.New("refused")

func (p *pull) Ahead(step int, batches []*bert.Batch) error {
	p.calls = append(p.calls, fmt.Sprint("ahead ", step))
	if p.fail > 0 && step == p.fail {
		return errRefused
	}
	p.ahead[step] = slices.Clone(batches[0].IDs)
	return nil
}

func (p *pull) Pass(step int, batches []*bert.Batch, pass *bert.Pass) error {
	p.calls = append(p.calls, fmt.Sprint("pass ", step))
	if !slices.Equal(p.ahead[step], batches[0].IDs) {
		return fmt.Errorf("step %d has other batches than Ahead was given", step)
	}
	p.loss = 0
	pass.Between = func(_ int, a *bert.Activations) error {
		logits, err := a.Logits()
		if err != nil {
			return err
		}
		value, gradient := p.values()
		x, g := make([]float32, 2), make([]float32, 2)
		if err := errors.Join(value.Read(x), gradient.Read(g)); err != nil {
			return err
		}
		at := make([]float32, len(logits))
		rows := float32(len(logits) / 2)
		for i, z := range logits {
			d := x[i%2] - z
			p.loss += float64(d*d) / 2 / float64(rows)
			g[i%2] += d / rows
			at[i] = -d / rows
		}
		return errors.Join(gradient.Write(g), a.AddLogits(at))
	}
	return nil
}

func (p *pull) Terms() metric.Metrics { return metric.Metrics{{Name: "pull", Value: p.loss}} }

// TestObjectiveResumes: a run with an objective that is interrupted and resumed, on another number of threads, ends with the bits of one
// that was not, the parameters beside the model among them.
func TestObjectiveResumes(t *testing.T) {
	with := func(o *Options) { o.Objective = &pull{lead: 2} }
	whole, result := runTiny(t, 1, 0.1, with)
	alone, _ := runTiny(t, 1, 0.1, func(*Options) {})
	if bytes.Equal(read(t, whole, "model.safetensors"), read(t, alone, "model.safetensors")) {
		t.Error("the objective changes nothing")
	}

	dir := t.TempDir()
	for i, threads := range []int{2, 1, 3} {
		m, err := tinyModel(threads, 0.1)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		o := tinyOptions(dir, m)
		o.Objective, o.Resume = &pull{lead: 2}, true
		steps := 0
		o.Observer = func(e Event) {
			if s, ok := e.(Stepped); ok {
				if v, found := s.Terms.Get("pull"); !found || !(v > 0) || !(s.Loss > v) {
					t.Errorf("step %d: the terms are %v, the loss %v", s.Step, s.Terms, s.Loss)
				}
				if steps++; steps == 7 && i < 2 {
					cancel()
				}
			}
		}
		got, err := Run(ctx, m, tinyData{}, tinyEvaluator{}, o)
		cancel()
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		switch {
		case i < 2 && !errors.As(err, new(*InterruptedError)):
			t.Fatalf("interrupted: %v", err)
		case i == 2 && err != nil:
			t.Fatal(err)
		case i == 2 && got.Loss != result.Loss:
			t.Errorf("the loss is %v, want %v", got.Loss, result.Loss)
		}
	}
	last := filepath.Join("checkpoints", fmt.Sprint("step-", result.Steps), "state.safetensors")
	for _, name := range []string{"model.safetensors", last} {
		if !bytes.Equal(read(t, dir, name), read(t, whole, name)) {
			t.Errorf("%s differs", name)
		}
	}
	if text := read(t, whole, last); !bytes.Contains(text, []byte("adam_v/beside.x")) {
		t.Error("the checkpoint lacks the parameter beside the model")
	}
	if text := read(t, whole, "model.safetensors"); bytes.Contains(text, []byte("beside.x")) {
		t.Error("the model has the parameter beside it")
	}
	if text := read(t, whole, eventsName); !bytes.Contains(text, []byte(`"terms":{"pull":`)) {
		t.Error("the events lack the terms")
	}
	events, err := ReadEvents(whole)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := events.Logged[0].Terms.Get("pull"); !ok || !(v > 0) {
		t.Errorf("the terms that were read are %v", events.Logged[0].Terms)
	}
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestObjectiveLooksAhead: Ahead is called once for each step, in order, no more than Lead steps early; its error is one of its step.
func TestObjectiveLooksAhead(t *testing.T) {
	for _, lead := range []int{0, 2} {
		p := &pull{lead: lead}
		runTiny(t, 1, 0, func(o *Options) { o.Objective, o.MaxSteps = p, 5 })
		var want []string
		for step := range 5 {
			from := step + lead
			if step == 0 {
				from = 0
			}
			for s := from; s <= min(step+lead, 4); s++ {
				want = append(want, fmt.Sprint("ahead ", s))
			}
			want = append(want, fmt.Sprint("pass ", step))
		}
		if !slices.Equal(p.calls, want) {
			t.Errorf("with a lead of %d: %v, want %v", lead, p.calls, want)
		}
	}

	m, err := tinyModel(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	o := tinyOptions(t.TempDir(), m)
	p := &pull{lead: 2, fail: 4}
	o.Objective = p
	_, err = Run(context.Background(), m, tinyData{}, nil, func() Options { o.EvalSteps = 0; return o }())
	if !errors.Is(err, errRefused) || err.Error() != "step 5: refused" {
		t.Errorf("the error is %v", err)
	}
	if n := len(p.calls); n == 0 || !slices.Contains(p.calls, "pass 3") || slices.Contains(p.calls, "pass 4") {
		t.Errorf("the calls are %v", p.calls)
	}
}
