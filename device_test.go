package bert

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/compute/computetest"
	"github.com/go-bert/bert/internal/compute/cpu"
)

// deferred is a device that does everything as late as it may, with views or with memory of its own. opened gets what it
// opens.
func deferred(views bool, opened **computetest.Deferred) *Device {
	return NewDevice(func(threads int, p Precision) (compute.Device, error) {
		d, err := cpu.New(threads, p)
		if err != nil {
			return nil, err
		}
		later := computetest.Defer(d)
		if opened != nil {
			*opened = later
		}
		if views {
			return computetest.DeferredView{Deferred: later}, nil
		}
		return later, nil
	})
}

// onDevice makes a model whose values are those of newTestModel.
func onDevice(t *testing.T, d *Device, c Config, h Head, p Precision) *Model {
	t.Helper()
	m, err := New(c, Options{Device: d, Head: h, Threads: 2, Precision: p, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	r := rand.New(rand.NewPCG(3, 4))
	for i := range m.params {
		p := &m.params[i]
		values := slices.Clone(m.host(p.value))
		for j := range values {
			values[j] += float32(r.NormFloat64() * 0.2)
		}
		m.device.Write(p.value, values)
	}
	return m
}

// lifeOf is all numbers that come out of a model: forward passes of a batch and of its sequences, steps of training in parts
// with losses and norms, gradients, a state that is written and read, and the files that it saves.
func lifeOf(t *testing.T, d *Device, h headCase, precision Precision) map[string]any {
	t.Helper()
	results := make(map[string]any)
	c := h.config()
	c.HiddenDropoutProb, c.AttentionProbsDropoutProb = 0.3, 0.2
	m := onDevice(t, d, c, h.head, precision)
	b := h.batch(9, 3, 24, 5)
	forward := func(name string, m *Model) {
		s := m.NewSession()
		for range 2 { // the second pass packs the weights
			out, err := s.Forward(b, Outputs{LastHidden: true, Hidden: true, Attentions: true, Pooled: heads[h.head].pooler, Loss: true})
			if err != nil {
				t.Fatal(err)
			}
			results[name] = [][]float32{
				slices.Clone(out.Logits), slices.Clone(out.NextSentenceLogits), slices.Clone(out.Pooled), slices.Clone(out.LastHidden),
				slices.Concat(out.Hidden...), slices.Concat(out.Attentions...),
			}
			results[name+" loss"] = out.Loss
		}
		out, err := s.Forward(&Batch{IDs: b.IDs[:9], TypeIDs: b.TypeIDs[:9], Starts: b.Starts[:2]}, Outputs{LastHidden: true})
		if err != nil {
			t.Fatal(err)
		}
		if H := c.HiddenSize; !slices.Equal(out.LastHidden, results[name].([][]float32)[3][:9*H]) {
			t.Errorf("%s: a sequence gives other bits alone than in a batch", name)
		}
	}
	forward("before", m)

	tr := newTrainer(t, m)
	weighed := h.batch(13, 2)
	b.Weights = nil
	h.weigh(b)
	h.weigh(weighed)
	step := func(key uint64) {
		loss := backward(t, tr, Pass{Key: key}, b, weighed)
		results["training loss"] = loss
		var grads []float32
		for _, v := range tr.Gradients() {
			g := make([]float32, v.Len())
			if err := v.Read(g); err != nil {
				t.Fatal(err)
			}
			grads = append(grads, g...)
		}
		results["gradients"] = grads
		norm := gradNorm(t, tr)
		results["norm"] = norm
		update(t, tr, Update{GradScale: 1 / norm, Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, StepSize: 1e-3, RootScale: 1, Decay: 1e-5, LAMB: key > 1, LayerRate: 0.1})
	}
	step(1)
	path := filepath.Join(t.TempDir(), "state")
	if err := tr.WriteState(path, nil); err != nil {
		t.Fatal(err)
	}
	step(2)
	if _, err := tr.ReadState(path); err != nil {
		t.Fatal(err)
	}
	step(2)
	tr.Close()
	b.Weights = nil
	forward("after", m)

	dir := t.TempDir()
	if err := m.Save(dir, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := m.ExportONNX(filepath.Join(dir, "model.onnx")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"model.safetensors", "model.onnx"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		results[name] = string(data)
	}
	forward("loaded", load(t, dir, Options{Device: d, Threads: 1, Precision: precision}))
	return results
}

// TestDeferredDevice compares a device that does everything as late as it may with the processor's, to the bit.
func TestDeferredDevice(t *testing.T) {
	if testing.Short() {
		t.Skip("what a device defers is the same on every processor")
	}
	for _, precision := range []Precision{Float32, BFloat16} {
		for _, h := range headCases {
			want := lifeOf(t, nil, h, precision)
			for _, views := range []bool{false, true} {
				got := lifeOf(t, deferred(views, nil), h, precision)
				for name := range want {
					if !sameNumbers(got[name], want[name]) {
						t.Errorf("%s, %v, views %v: %s has other bits", h.name, precision, views, name)
					}
				}
			}
		}
	}
}

func sameNumbers(a, b any) bool {
	switch a := a.(type) {
	case [][]float32:
		return slices.EqualFunc(a, b.([][]float32), slices.Equal[[]float32])
	case []float32:
		return slices.Equal(a, b.([]float32))
	default:
		return a == b
	}
}

// TestNothingWaits asserts that a step waits for the device only where numbers are asked for.
func TestNothingWaits(t *testing.T) {
	var d *computetest.Deferred
	h := headCases[0]
	m := onDevice(t, deferred(false, &d), h.config(), h.head, Float32)
	tr := newTrainer(t, m)
	if err := tr.ZeroGrad(); err != nil {
		t.Fatal(err)
	}
	before := d.Waiting()
	if before == 0 {
		t.Error("ZeroGrad waits")
	}
	at := -1
	backward(t, tr, Pass{Between: func(i int, _ *Activations) error {
		if n := d.Waiting(); n <= before || n <= at {
			t.Errorf("batch %d: %d operations wait, after %d", i, n, at)
		} else {
			at = n
		}
		return nil
	}}, h.batch(9, 3), h.batch(5, 2))
	if n := d.Waiting(); n != 0 {
		t.Errorf("the loss is there, and %d operations wait", n)
	}
	update(t, tr, Update{Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, RootScale: 1})
	if d.Waiting() == 0 {
		t.Error("Update waits")
	}
}

// TestDeviceFails lets allocations fail, which passes, and then the device, which doesn't.
func TestDeviceFails(t *testing.T) {
	noMemory, lost := errors.New("no memory"), errors.New("lost")
	if _, err := New(smallConfig(), Options{Device: NewDevice(func(int, Precision) (compute.Device, error) { return nil, lost })}); !errors.Is(err, lost) {
		t.Errorf("a device that can't be opened: %v", err)
	}
	var d *computetest.Deferred
	h := headCases[3]
	m := onDevice(t, deferred(false, &d), h.config(), h.head, Float32)
	s := m.NewSession()
	small, large := h.batch(9, 3), h.batch(24, 24, 24, 24)
	want, err := s.Forward(small, Outputs{})
	if err != nil {
		t.Fatal(err)
	}
	logits := slices.Clone(want.Logits)

	d.FailAlloc(noMemory)
	if _, err := s.Forward(large, Outputs{}); !errors.Is(err, noMemory) {
		t.Errorf("a pass without memory: %v", err)
	}
	if _, err := s.Forward(small, Outputs{Attentions: true}); !errors.Is(err, noMemory) {
		t.Errorf("attention without memory: %v", err)
	}
	if _, err := m.NewTrainer(); !errors.Is(err, noMemory) {
		t.Errorf("a trainer without memory: %v", err)
	}
	d.FailAlloc(nil)
	for range 2 {
		if got, err := s.Forward(small, Outputs{}); err != nil || !slices.Equal(got.Logits, logits) {
			t.Errorf("with memory again: %v", err)
		}
		if _, err := s.Forward(large, Outputs{}); err != nil {
			t.Error(err)
		}
	}
	tr := newTrainer(t, m)
	backward(t, tr, Pass{}, large)

	d.Fail(lost)
	for name, f := range map[string]func() error{
		"Forward":    func() error { _, err := s.Forward(small, Outputs{}); return err },
		"Backward":   func() error { _, err := tr.Backward([]*Batch{small}, Pass{}); return err },
		"GradNorm":   func() error { _, err := tr.GradNorm(); return err },
		"WriteState": func() error { return tr.WriteState(filepath.Join(t.TempDir(), "x"), nil) },
		"Save":       func() error { return m.Save(t.TempDir(), SaveOptions{}) },
		"ExportONNX": func() error { return m.ExportONNX(filepath.Join(t.TempDir(), "x")) },
		"Values":     func() error { _, err := m.Values(m.params[0].Name); return err },
		"Between": func() error {
			_, err := tr.Backward([]*Batch{small}, Pass{Between: func(_ int, a *Activations) error { _, err := a.Logits(); return err }})
			return err
		},
	} {
		if err := f(); !errors.Is(err, lost) {
			t.Errorf("%s on a lost device: %v", name, err)
		}
	}
}

// TestValues reads and writes parameters and gradients, in place and by copies.
func TestValues(t *testing.T) {
	h := headCases[3]
	for name, device := range map[string]*Device{"processor": nil, "deferred": deferred(true, nil), "of its own memory": deferred(false, nil)} {
		t.Run(name, func(t *testing.T) {
			m := onDevice(t, device, h.config(), h.head, Float32)
			tr := newTrainer(t, m)
			backward(t, tr, Pass{}, h.batch(9, 3))
			norm := gradNorm(t, tr)
			i := 0
			for p, v := range tr.Gradients() {
				if p.Name != m.params[i].Name || v.Len() != p.Len() {
					t.Fatalf("gradient %d is that of %s, %d values", i, p.Name, v.Len())
				}
				i++
				view, err := v.View()
				if errors.Is(err, errors.ErrUnsupported) && name == "of its own memory" {
					view = make([]float32, v.Len())
					if err := v.Read(view); err != nil {
						t.Fatal(err)
					}
				} else if err != nil || name == "of its own memory" {
					t.Fatalf("view: %v", err)
				}
				for j := range view {
					view[j] *= 2
				}
				if name == "of its own memory" {
					if err := v.Write(view); err != nil {
						t.Fatal(err)
					}
				}
			}
			if got := gradNorm(t, tr); i != len(m.params) || got != 2*norm {
				t.Errorf("%d gradients of %d; doubled, their norm is %v, was %v", i, len(m.params), got, norm)
			}
			b := h.batch(9, 3)
			s := m.NewSession()
			before, err := s.Forward(b, Outputs{Loss: true})
			if err != nil {
				t.Fatal(err)
			}
			loss := before.Loss
			for p, v := range tr.Parameters() {
				if p.Name != "classifier.bias" {
					continue
				}
				if err := v.Write([]float32{1, 2, 3}); err != nil {
					t.Fatal(err)
				}
				if err := v.Write([]float32{1, 2}); err == nil {
					t.Error("too few values are written")
				}
			}
			if got, err := m.Values("classifier.bias"); err != nil || !slices.Equal(got, []float32{1, 2, 3}) {
				t.Errorf("written 1, 2, 3; read %v, %v", got, err)
			}
			if after, err := s.Forward(b, Outputs{Loss: true}); err != nil || after.Loss == loss {
				t.Errorf("a session does not see what was written: %v", err)
			}
			if _, err := m.Values("no such"); err == nil {
				t.Error("a parameter that isn't there has values")
			}
		})
	}
}
