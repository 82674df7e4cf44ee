package distill

import (
	"fmt"
	"hash/fnv"
	"math"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/random"
)

// projection is W·x + b, from the student's width to the teacher's. It is learnt beside the student, and is no part of it.
//
// Legend: R rows, S the student's width, D the teacher's.
type projection struct {
	name    string // of its term
	in, out int    // S, D

	weight, bias tensor // [D,S], [D]
}

// tensor is a parameter of a Trainer.
type tensor struct {
	values, gradient bert.Values
	memory           []float32 // of the values
}

// projectionFor is the projection of a term; nil where the widths are the same.
func projectionFor(term string, in, out int) *projection {
	if in == out {
		return nil
	}
	return &projection{name: term, in: in, out: out}
}

// params are the rows of the table of parameters.
func (p *projection) params() []bert.Param {
	name := "distill." + p.name
	return []bert.Param{
		{Name: name + ".weight", Shape: []int{p.out, p.in}, Init: bert.InitNormal, Decay: true},
		{Name: name + ".bias", Shape: []int{p.out}, Init: bert.InitZero},
	}
}

// begin connects the projection with its parameters and gives them their first values: the weights are normal numbers of variance
// 1/S, so that a projection begins with numbers as large as the student's.
func (p *projection) begin(t *bert.Trainer, seed uint64) error {
	found := make(map[string]*tensor)
	for i, row := range p.params() {
		found[row.Name] = []*tensor{&p.weight, &p.bias}[i]
	}
	for row, v := range t.Parameters() {
		if to := found[row.Name]; to != nil {
			to.values = v
		}
	}
	for row, v := range t.Gradients() {
		if to := found[row.Name]; to != nil {
			to.gradient = v
		}
	}
	for name, to := range found {
		if to.values.Len() == 0 {
			return fmt.Errorf("the trainer has no parameter %s", name)
		}
		to.memory = make([]float32, to.values.Len())
	}
	name := fnv.New64a()
	name.Write([]byte(p.name))
	draw := random.New(seed, forProjections, name.Sum64())
	for i := range p.weight.memory {
		p.weight.memory[i] = float32(normal(&draw) / math.Sqrt(float64(p.in)))
	}
	return p.weight.values.Write(p.weight.memory)
}

// normal is a normal number, by Box and Muller's method.
func normal(s *random.Stream) float64 {
	u, v := 1-s.Float64(), s.Float64()
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*v)
}

// add adds a gradient.
func (t *tensor) add(gradient []float32) error {
	if err := t.gradient.Read(t.memory); err != nil {
		return err
	}
	for i, g := range gradient {
		t.memory[i] += g
	}
	return t.gradient.Write(t.memory)
}

// compare lets f compare the projections y [R,D] of x [R,S] with what a teacher says, and adds the gradient at x that follows from the
// one at y, which f leaves in dy, to dx; unless dx is nil. Without a projection y is x. f returns the loss.
func (p *projection) compare(c *computing, x, dx []float32, rows, width int, f func(y, dy []float32) (float64, error)) (float64, error) {
	if p == nil {
		var dy []float32
		if dx != nil {
			dy = c.take(0, rows*width)
		}
		loss, err := f(x[:rows*width], dy)
		for i, g := range dy {
			dx[i] += g
		}
		return loss, err
	}
	y, dy := c.take(1, rows*p.out), []float32(nil)
	if dx != nil {
		dy = c.take(2, rows*p.out)
	}
	if err := p.weight.values.Read(p.weight.memory); err != nil {
		return 0, err
	}
	if err := p.bias.values.Read(p.bias.memory); err != nil {
		return 0, err
	}
	if err := c.matrices.linear(y, x, p.weight.memory, p.bias.memory, rows, p.out, p.in); err != nil {
		return 0, err
	}
	loss, err := f(y, dy)
	if err != nil || dx == nil {
		return loss, err
	}
	back := c.take(0, rows*p.in)
	if err := c.matrices.inputGrad(back, dy, p.weight.memory, rows, p.out, p.in); err != nil {
		return 0, err
	}
	for i, g := range back {
		dx[i] += g
	}
	dw, db := c.take(0, p.out*p.in), c.take(1, p.out)
	if err := c.matrices.weightGrad(dw, db, dy, x, rows, p.out, p.in); err != nil {
		return 0, err
	}
	if err := p.weight.add(dw); err != nil {
		return 0, err
	}
	return loss, p.bias.add(db)
}

// take is memory i, of n elements whose values are left over.
func (c *computing) take(i, n int) []float32 {
	if cap(c.memory[i]) < n {
		c.memory[i] = make([]float32, n+n/8)
	}
	return c.memory[i][:n]
}
