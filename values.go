package bert

import (
	"errors"
	"fmt"
	"iter"

	"github.com/go-bert/bert/internal/compute"
)

// Values are the values of a parameter or its gradient, on the device of a Trainer's model, in the order of Param.Shape. Once
// the Trainer is closed, their methods give ErrClosed.
type Values struct {
	t *Trainer
	// buffer is of t.m.values or t.grads.
	buffer compute.Buffer
}

// Len is the number of values.
func (v Values) Len() int { return v.buffer.Len }

// View is the values in place, to be read and written, if the device has them in host memory, as the processor does. The slice
// may be used until the next call of a method of the Trainer or the model. On a device with memory of its own the error is
// errors.ErrUnsupported; use Read and Write there.
func (v Values) View() ([]float32, error) {
	if err := v.t.use(); err != nil {
		return nil, err
	}
	defer v.t.m.done()
	viewer, ok := v.t.m.device.(compute.Viewer)
	if !ok {
		return nil, fmt.Errorf("the device %s has memory of its own: use Read and Write: %w", v.t.m.device.Name(), errors.ErrUnsupported)
	}
	return viewer.View(v.buffer)
}

// Read copies the values to dst, which has Len elements.
func (v Values) Read(dst []float32) error {
	if err := v.check(len(dst)); err != nil {
		return err
	}
	defer v.t.m.done()
	return v.t.m.device.Read(dst, v.buffer)
}

// Write copies src, which has Len elements, to the values.
func (v Values) Write(src []float32) error {
	if err := v.check(len(src)); err != nil {
		return err
	}
	defer v.t.m.done()
	v.t.m.device.Write(v.buffer, src)
	return nil
}

// check begins the use of v for n elements.
func (v Values) check(n int) error {
	if n != v.buffer.Len {
		return fmt.Errorf("%d elements for %d values", n, v.buffer.Len)
	}
	return v.t.use()
}

// Gradients ranges over the parameters and their gradients, in the order of the table, those beside the model's last. Machines that share a step add up their
// gradients between Backward and GradNorm.
func (t *Trainer) Gradients() iter.Seq2[Param, Values] {
	return t.all(func(p *parameter) compute.Buffer { return p.grad })
}

// Parameters ranges over the parameters and their values, in the order of the table, those beside the model's last.
func (t *Trainer) Parameters() iter.Seq2[Param, Values] {
	return t.all(func(p *parameter) compute.Buffer { return p.value })
}

// all ranges over the parameters and a buffer of each. Once the trainer is closed, the gradients have none, and the methods of
// all Values say so.
func (t *Trainer) all(of func(*parameter) compute.Buffer) iter.Seq2[Param, Values] {
	return func(yield func(Param, Values) bool) {
		for p := range t.parameters() {
			if !yield(p.Param, Values{t, of(p)}) {
				return
			}
		}
	}
}

// Values is a copy of the values of a parameter, by its name in the table. A Trainer's Parameters give access to them.
func (m *Model) Values(name string) ([]float32, error) {
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.done()
	for i := range m.params {
		if p := &m.params[i]; p.Name == name {
			value, err := m.valueOf(p)
			if err != nil {
				return nil, err
			}
			values := make([]float32, p.Len())
			return values, m.device.Read(values, value)
		}
	}
	return nil, fmt.Errorf("a %v has no parameter %q", m.head, name)
}
