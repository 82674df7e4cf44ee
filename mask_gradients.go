package bert

import (
	"github.com/go-bert/bert/internal/compute"
)

// MaskGradients are the gradients of a loss at masks: factors of 1 that what each head and each neuron gives is multiplied by (Michel, Levy
// and Neubig 2019, arXiv:1905.10650, §4.1). What a head gives is its part of the context, before the dense layer that follows; what a neuron
// of a feed-forward network gives is the value of its activation.
//
// Legend: L layers, A heads of a layer, I intermediate.
type MaskGradients struct {
	Heads   [][]float64 // [L,A]
	Neurons [][]float64 // [L,I]
	Loss    Loss
}

// MaskGradients runs a batch with labels forward and back, without dropout, and returns the gradients of its loss at masks. No parameter
// gets a gradient, and there need be no Trainer.
//
// Errors are those of Forward with Outputs.Loss, and ErrInferenceOnly.
func (s *Session) MaskGradients(b *Batch) (*MaskGradients, error) {
	m := s.m
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.done()
	if err := b.check(&m.config); err != nil {
		return nil, err
	}
	if err := b.checkLabels(&m.config, m.head); err != nil {
		return nil, err
	}
	w, err := s.backward()
	if err != nil {
		return nil, err
	}
	w.firstOnly = m.pooledOnly()
	if err := w.begin(b); err != nil {
		return nil, err
	}
	defer func() {
		w.neuronGrads = nil
		w.b, s.batch[0] = nil, nil
	}()
	s.batch[0] = b
	if err := w.expectLosses(s.batch[:]); err != nil {
		return nil, err
	}
	var (
		c      = &m.config
		out    = &MaskGradients{Heads: make([][]float64, c.NumHiddenLayers), Neurons: make([][]float64, c.NumHiddenLayers)}
		failed error
		x, dx  []float32
	)
	// sums adds up values times gradients, [rows, stride], by groups of columns of the given size.
	sums := func(values, gradients compute.Buffer, rows, stride, groups, size int) []float64 {
		x, dx = sized(x, rows*stride), sized(dx, rows*stride)
		for _, read := range []struct {
			to   []float32
			from compute.Buffer
		}{{x, values}, {dx, gradients}} {
			if failed == nil {
				failed = m.device.Read(read.to, read.from.Slice(0, len(read.to)))
			}
		}
		total := make([]float64, groups)
		for r := range rows {
			for g := range total {
				from := r*stride + g*size
				for i, v := range x[from:][:size] {
					total[g] += float64(v) * float64(dx[from+i])
				}
			}
		}
		return total
	}
	w.neuronGrads = func(layer int) {
		R, _ := w.blockRows(layer)
		out.Neurons[layer] = sums(w.inner, w.dInner, R, w.w.layers[layer].output.inStride, c.IntermediateSize, 1)
	}
	m.denominators(&s.denominators, s.batch[:])
	w.headForward(w.encode(nil))
	w.headLoss(&s.denominators, true)
	w.headBackward()
	w.encodeBackward(func(layer int) {
		R, _ := w.blockRows(layer)
		out.Heads[layer] = sums(w.layers[layer].context, w.dContext, R, c.AttentionWidth(layer), c.Heads(layer), c.HeadSize())
	})
	if failed != nil {
		return nil, failed
	}
	out.Loss, err = w.takeLoss(&s.denominators, s.batch[:])
	return out, err
}

// sized is a slice of n elements, in the memory of s if that is enough.
func sized(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}
