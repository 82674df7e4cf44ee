package bert

import (
	"math"
	"path/filepath"
	"slices"
	"testing"
)

// scale is a parameter beside a model's: the loss below is that of the labels and Σ (scale−3)²/2.
var scale = Param{Name: "beside.scale", Shape: []int{2, 3}, Decay: true}

// learnScale is a pass that adds the gradient of the loss above.
func learnScale(t *testing.T, tr *Trainer) Pass {
	return Pass{Between: func(int, *Activations) error {
		value, gradient := besideOf(t, tr)
		x, g := make([]float32, value.Len()), make([]float32, value.Len())
		if err := value.Read(x); err != nil {
			return err
		}
		if err := gradient.Read(g); err != nil {
			return err
		}
		for i := range x {
			g[i] += x[i] - 3
		}
		return gradient.Write(g)
	}}
}

// besideOf is the parameter and its gradient.
func besideOf(t *testing.T, tr *Trainer) (value, gradient Values) {
	t.Helper()
	for p, v := range tr.Parameters() {
		if p.Name == scale.Name {
			value = v
		}
	}
	for p, v := range tr.Gradients() {
		if p.Name == scale.Name {
			gradient = v
		}
	}
	if value.Len() != 6 || gradient.Len() != 6 {
		t.Fatalf("the parameter beside has %d values and %d in its gradient, want 6", value.Len(), gradient.Len())
	}
	return value, gradient
}

// TestParametersBeside: a parameter that is not the model's is learnt as the model's are, is in the norm and in the state, and changes
// nothing of the model's but by the norm.
func TestParametersBeside(t *testing.T) {
	h := headCases[3]
	b := h.batch(9, 3)
	u := Update{GradScale: 1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, StepSize: 1e-1, RootScale: 1, Decay: 1e-3}
	run := func(steps int, tr *Trainer, p Pass) {
		for range steps {
			backward(t, tr, p, b)
			if err := tr.Update(u); err != nil {
				t.Fatal(err)
			}
		}
	}
	alone := newTestModel(t, h.config(), h.head, 1)
	run(3, newTrainer(t, alone), Pass{})

	m := newTestModel(t, h.config(), h.head, 1)
	tr, err := m.NewTrainer(scale)
	if err != nil {
		t.Fatal(err)
	}
	value, _ := besideOf(t, tr)
	x := make([]float32, 6)
	if err := value.Read(x); err != nil || slices.Max(x) != 0 || slices.Min(x) != 0 {
		t.Errorf("it begins as %v (%v), want zeros", x, err)
	}
	without := newTestModel(t, h.config(), h.head, 1)
	before := newTrainer(t, without)
	backward(t, before, Pass{}, b)
	norm := gradNorm(t, before)
	backward(t, tr, learnScale(t, tr), b)
	if got, want := gradNorm(t, tr), math.Sqrt(norm*norm+6*9); math.Abs(got-want) > 1e-6*want {
		t.Errorf("the norm with it is %v, want %v", got, want)
	}
	if err := tr.ZeroGrad(); err != nil {
		t.Fatal(err)
	}
	run(3, tr, learnScale(t, tr))
	if !slices.Equal(m.host(m.values), alone.host(alone.values)) {
		t.Error("the model's own parameters have other bits")
	}
	if err := value.Read(x); err != nil || !(slices.Min(x) > 0.1) {
		t.Errorf("after three steps it is %v (%v), want to have come nearer to 3", x, err)
	}

	// The state has it.
	path := filepath.Join(t.TempDir(), "state.safetensors")
	if err := tr.WriteState(path, nil); err != nil {
		t.Fatal(err)
	}
	run(2, tr, learnScale(t, tr))
	want := slices.Clone(x)
	if err := value.Read(want); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.ReadState(path); err != nil {
		t.Fatal(err)
	}
	run(2, tr, learnScale(t, tr))
	if err := value.Read(x); err != nil || !slices.Equal(x, want) {
		t.Errorf("after its state was read it becomes %v, want %v (%v)", x, want, err)
	}
	if _, err := before.ReadState(path); err == nil {
		t.Error("a trainer without it reads the state")
	}
	tr.Close()
	if err := value.Read(x); err == nil {
		t.Error("it can be read when the trainer is closed")
	}
	if m.head != h.head || len(m.Params()) != len(Params(&m.config, m.head)) {
		t.Error("the model has other parameters than before")
	}

	for _, name := range []string{"bert.pooler.dense.bias", scale.Name} {
		if _, err := newTestModel(t, h.config(), h.head, 1).NewTrainer(scale, Param{Name: name, Shape: []int{1}}); err == nil {
			t.Errorf("two parameters %s are accepted", name)
		}
	}
}
