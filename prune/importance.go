package prune

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/task"
)

// This file says how much the heads and neurons of a model matter for a task: E|∂L/∂ξ|, the mean over examples of how strongly the loss
// depends on a mask ξ = 1 that what the head or neuron gives is multiplied by (Michel, Levy and Neubig 2019, arXiv:1905.10650, equation 2).
//
// Legend: L layers, A heads of a layer, I intermediate.

// Importances are how much the parts of a model matter.
type Importances struct {
	Examples int         `json:"examples"`
	Loss     float64     `json:"loss"`              // their mean
	Heads    [][]float64 `json:"heads"`             // [L,A]
	Neurons  [][]float64 `json:"neurons,omitempty"` // [L,I]
}

// Measure measures the importances by labelled examples. Each goes through the model alone, so that the mean is one over examples (over windows, where
// long ones have several). progress may be nil.
func Measure(ctx context.Context, m *bert.Model, d *task.Dataset, progress func(done, all int)) (*Importances, error) {
	if !d.Labelled() {
		return nil, fmt.Errorf("importance is measured on examples with labels, and these have none")
	}
	var (
		c     = m.Config()
		s     = m.NewSession()
		out   = &Importances{Examples: d.Len(), Heads: make([][]float64, c.NumHiddenLayers), Neurons: make([][]float64, c.NumHiddenLayers)}
		batch bert.Batch
	)
	for l := range c.NumHiddenLayers {
		out.Heads[l], out.Neurons[l] = make([]float64, c.Heads(l)), make([]float64, c.IntermediateSize)
	}
	for i := range d.Len() {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		batch.Reset()
		if err := d.Append(&batch, i); err != nil {
			return nil, err
		}
		g, err := s.MaskGradients(&batch)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", d.Source(i), err)
		}
		n := float64(d.Len())
		out.Loss += g.Loss.Total / n
		for l := range out.Heads {
			addMagnitudes(out.Heads[l], g.Heads[l], n)
			addMagnitudes(out.Neurons[l], g.Neurons[l], n)
		}
		if progress != nil {
			progress(i+1, d.Len())
		}
	}
	for l := range out.Heads {
		if slices.ContainsFunc(out.Heads[l], func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }) {
			return nil, fmt.Errorf("the gradients of layer %d are no finite numbers", l)
		}
	}
	return out, nil
}

// addMagnitudes adds |x|/n to sums.
func addMagnitudes(sums, x []float64, n float64) {
	for i, v := range x {
		sums[i] += math.Abs(v) / n
	}
}

// Normalized are the importances of the heads, each layer divided by its Euclidean norm, as in the code of the paper's authors: gradients differ from
// layer to layer in size.
func (i *Importances) Normalized() [][]float64 {
	out := make([][]float64, len(i.Heads))
	for l, layer := range i.Heads {
		squares := 0.0
		for _, x := range layer {
			squares += x * x
		}
		norm := math.Sqrt(squares)
		if norm == 0 {
			norm = 1
		}
		for _, x := range layer {
			out[l] = append(out[l], x/norm)
		}
	}
	return out
}

// LeastHeads takes n of the heads out, those of the least normalized importance, and returns the ones of each layer that are left. Every
// layer keeps one.
func (i *Importances) LeastHeads(n int) ([][]int, error) {
	type head struct {
		layer, head int
		importance  float64
	}
	var (
		order []head
		left  = make([]int, len(i.Heads))
	)
	for l, layer := range i.Normalized() {
		left[l] = len(layer)
		for h, x := range layer {
			order = append(order, head{l, h, x})
		}
	}
	if most := len(order) - len(left); n < 0 || n > most {
		return nil, fmt.Errorf("%d heads to take out of %d, want 0 to %d: each of the %d layers keeps one", n, len(order), most, len(left))
	}
	slices.SortStableFunc(order, func(a, b head) int { return cmp.Compare(a.importance, b.importance) })
	gone := make(map[[2]int]bool)
	for _, h := range order {
		if len(gone) < n && left[h.layer] > 1 {
			gone[[2]int{h.layer, h.head}] = true
			left[h.layer]--
		}
	}
	keep := make([][]int, len(left))
	for l, layer := range i.Heads {
		for h := range layer {
			if !gone[[2]int{l, h}] {
				keep[l] = append(keep[l], h)
			}
		}
	}
	return keep, nil
}

// LeastNeurons takes n neurons out of each feed-forward network, those of the least importance, and returns the ones that are left.
func (i *Importances) LeastNeurons(n int) ([][]int, error) {
	keep := make([][]int, len(i.Neurons))
	for l, layer := range i.Neurons {
		if n < 0 || n >= len(layer) {
			return nil, fmt.Errorf("%d neurons to take out of %d, want 0 to %d", n, len(layer), len(layer)-1)
		}
		order := make([]int, len(layer))
		for j := range order {
			order[j] = j
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(layer[b], layer[a]) })
		keep[l] = order[:len(layer)-n]
		slices.Sort(keep[l])
	}
	return keep, nil
}
