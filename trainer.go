package bert

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/compute"
)

// Trainer holds what training adds to a model: gradients, Adam's two moments, and the memory of a forward and a backward
// pass. A model has one Trainer at a time; sessions may run between its calls, and see its changes.
type Trainer struct {
	m     *Model
	space *workspace
	grads compute.Buffer // of all parameters, in the order of the table
	m1    compute.Buffer // the first moment, likewise
	m2    compute.Buffer // the second
}

// NewTrainer prepares a model for training. The parameters get memory of their own, if they were read from a file in
// place.
func (m *Model) NewTrainer() (*Trainer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return nil, errors.New("the model is closed")
	case m.trainer != nil:
		return nil, errors.New("the model has a trainer already")
	}
	m.own()
	t := &Trainer{m: m}
	t.grads, t.m1, t.m2 = m.device.Alloc(m.values.Len), m.device.Alloc(m.values.Len), m.device.Alloc(m.values.Len)
	at := 0
	for i := range m.params {
		p := &m.params[i]
		p.grad = t.grads.Slice(at, at+p.Len())
		at += p.Len()
	}
	m.trainer = t
	m.link(false)
	m.prepared = true
	t.space = newWorkspace(m, true)
	t.space.firstOnly = m.head.pooledOnly()
	return t, nil
}

// Close gives back the trainer's memory; the model keeps what it has learnt.
func (t *Trainer) Close() {
	m := t.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.trainer != t {
		return
	}
	for i := range m.params {
		m.params[i].grad = compute.Buffer{}
	}
	m.trainer, m.prepared, m.weights = nil, false, weights{}
	*t = Trainer{m: m}
}

// Backward runs the model forward and back over the batches and adds the gradient of their loss to the gradients. The loss
// is that of the batches taken together as one, so that a batch can be split to save memory. key decides what dropout
// drops; it should differ from step to step. The error is for what is wrong with a batch; the gradients are as they were.
func (t *Trainer) Backward(batches []*Batch, key uint64) (Loss, error) {
	m, w := t.m, t.space
	for _, b := range batches {
		if err := b.check(&m.config); err != nil {
			return Loss{}, err
		}
		if err := b.checkLabels(&m.config, m.head); err != nil {
			return Loss{}, err
		}
	}
	terms := m.lossTerms(batches)
	var sum Loss
	for i, b := range batches {
		w.key = mix(key, uint64(i))
		w.begin(b)
		w.headForward(w.encode(nil))
		loss := w.headLoss(terms, true)
		sum.Total += loss.Total
		sum.MaskedLM += loss.MaskedLM
		sum.NextSentence += loss.NextSentence
		w.headBackward()
		w.encodeBackward()
		w.b = nil
	}
	return sum, nil
}

// GradNorm is the global norm of the gradients: the root of the sum of all their squares.
func (t *Trainer) GradNorm() float64 { return math.Sqrt(t.m.device.SumSquares(t.grads)) }

// Update holds the constants of one step of Adam or LAMB. With g' = g·GradScale,
//
//	m = Beta1·m + (1−Beta1)·g',  v = Beta2·v + (1−Beta2)·g'²,  p = p − (Decay·p + StepSize·m/(√v·RootScale + Eps)).
//
// Decay holds for the parameters of which the table says so and is 0 for the others. Package train has the optimisers
// that are made of it.
type Update struct {
	GradScale    float64 // the factor of gradient clipping
	Beta1, Beta2 float64
	Eps          float64
	StepSize     float64 // the rate, with Adam's bias correction of the first moment if there is one
	RootScale    float64 // 1, or the root of the bias correction of the second moment
	Decay        float64 // the rate times the weight decay

	// LAMB multiplies what is taken off each parameter, called u, by LayerRate·‖p‖/‖u‖ (You et al. 2020, arXiv:1904.00962,
	// Algorithm 2), or by LayerRate alone where a norm is 0 and, as in the authors' code, for parameters without decay.
	// StepSize and Decay then leave the rate out.
	LAMB      bool
	LayerRate float64
}

// Update changes the parameters by the gradients and zeroes these.
func (t *Trainer) Update(u Update) {
	var (
		m  = t.m
		op = &t.space.op
		at = 0
	)
	for i := range m.params {
		p := &m.params[i]
		to := at + p.Len()
		decay, stepSize := float32(0), u.StepSize
		if p.Decay {
			decay = float32(u.Decay)
		} else if u.LAMB {
			stepSize *= u.LayerRate
		}
		op.adam = compute.Adam{
			P: p.value, G: p.grad, M: t.m1.Slice(at, to), V: t.m2.Slice(at, to),
			GradScale: float32(u.GradScale), Beta1: float32(u.Beta1), Beta2: float32(u.Beta2), Decay: decay,
			StepSize: float32(stepSize), RootScale: float32(u.RootScale), Eps: float32(u.Eps),
		}
		if u.LAMB && p.Decay {
			op.lamb = compute.LAMB{Adam: op.adam, Rate: float32(u.LayerRate)}
			m.device.LAMB(&op.lamb)
		} else {
			m.device.Adam(&op.adam)
		}
		at = to
	}
	t.ZeroGrad()
}

// ZeroGrad forgets the gradients.
func (t *Trainer) ZeroGrad() { t.m.device.Zero(t.grads) }

// state lists what WriteState writes of a parameter: what the tensor's name gets in front, and where its values are.
func (t *Trainer) state() []struct {
	prefix string
	values compute.Buffer
} {
	return []struct {
		prefix string
		values compute.Buffer
	}{{"param/", t.m.values}, {"adam_m/", t.m1}, {"adam_v/", t.m2}}
}

// WriteState writes the parameters and the moments to one safetensors file, which takes its place when it is complete.
func (t *Trainer) WriteState(path string, metadata map[string]string) error {
	var tensors []checkpoint.Tensor
	for _, s := range t.state() {
		at := 0
		for i := range t.m.params {
			p := &t.m.params[i]
			tensor, err := t.m.tensor(s.prefix+p.Name, p.Shape, s.values.Slice(at, at+p.Len()), checkpoint.F32)
			if err != nil {
				return err
			}
			tensors = append(tensors, tensor)
			at += p.Len()
		}
	}
	return checkpoint.WriteSafetensors(path, tensors, metadata)
}

// ReadState reads back what WriteState wrote for the same model, and returns its metadata. After an error the trainer is
// as it was.
func (t *Trainer) ReadState(path string) (metadata map[string]string, err error) {
	file, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	if want, got := 3*len(t.m.params), len(file.Tensors()); got != want {
		return nil, fmt.Errorf("%s: %d tensors, want %d: it is another model's state", path, got, want)
	}
	find := func(prefix string, p *Param) (*checkpoint.Tensor, error) {
		tensor, ok := file.Lookup(prefix + p.Name)
		switch {
		case !ok:
			return nil, fmt.Errorf("%s: tensor %s is missing: it is another model's state", path, prefix+p.Name)
		case !slices.Equal(tensor.Shape, p.Shape):
			return nil, fmt.Errorf("%s: tensor %s has shape %v, want %v: it is another model's state", path, tensor.Name, tensor.Shape, p.Shape)
		case tensor.DType != checkpoint.F32:
			return nil, fmt.Errorf("%s: tensor %s has type %v, want F32", path, tensor.Name, tensor.DType)
		}
		return tensor, nil
	}
	for _, s := range t.state() {
		for i := range t.m.params {
			if _, err := find(s.prefix, &t.m.params[i].Param); err != nil {
				return nil, err
			}
		}
	}
	for _, s := range t.state() {
		at := 0
		for i := range t.m.params {
			p := &t.m.params[i]
			tensor, err := find(s.prefix, &p.Param)
			if err != nil {
				return nil, err
			}
			values := make([]float32, p.Len())
			if err := tensor.Float32(values); err != nil {
				return nil, err
			}
			t.m.device.Write(s.values.Slice(at, at+p.Len()), values)
			at += p.Len()
		}
	}
	return file.Metadata(), nil
}
