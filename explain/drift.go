package explain

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Drift is how the points of a picture moved from what they were before, as from one model to another that was made of it.
//
// Legend: N points, D dimensions, K neighbours.
type Drift struct {
	Before *Matrix   // [N,2]: where the points were, in the picture of those that they are
	Moved  []float64 // [N]: how far, in the original space
	Kept   []float64 // [N]: the share of its K nearest neighbours that a point has kept
	K      int
}

// MeanKept is the mean of Kept.
func (d *Drift) MeanKept() float64 { return sum(d.Kept) / float64(len(d.Kept)) }

// Align turns points [N,D] onto others, so that what remains between them is no rotation, mirror or shift of the whole: the
// orthogonal Procrustes problem (Schönemann 1966). Distances between the points stay.
func Align(points, onto *Matrix) (*Matrix, error) {
	if points.Rows != onto.Rows || points.Columns != onto.Columns {
		return nil, fmt.Errorf("points of shape [%d,%d] and [%d,%d], want the same", points.Rows, points.Columns, onto.Rows, onto.Columns)
	}
	from, to := mean(points), mean(onto)
	centred := func(x *Matrix, m []float64) *mat.Dense {
		c := mat.NewDense(x.Rows, x.Columns, slices.Clone(x.Values))
		for i := range x.Rows {
			row := c.RawRowView(i)
			for j := range row {
				row[j] -= m[j]
			}
		}
		return c
	}
	var (
		a, b          = centred(points, from), centred(onto, to)
		product, turn mat.Dense
		svd           mat.SVD
		u, v          mat.Dense
	)
	product.Mul(a.T(), b)
	if !svd.Factorize(&product, mat.SVDFull) {
		return nil, errors.New("points could not be turned onto others: the singular values don't converge")
	}
	svd.UTo(&u)
	svd.VTo(&v)
	turn.Mul(&u, v.T())
	var turned mat.Dense
	turned.Mul(a, &turn)
	out := NewMatrix(points.Rows, points.Columns)
	for i := range out.Rows {
		row := out.Row(i)
		copy(row, turned.RawRowView(i))
		for j := range row {
			row[j] += to[j]
		}
	}
	return out, nil
}

// ProjectDrift is Project of the points after, in a picture that also has those before, [N,D] both, turned onto them by Align.
func ProjectDrift(ctx context.Context, before, after *Matrix, o ProjectOptions) (*Projection, *Drift, error) {
	for _, x := range []*Matrix{before, after} {
		if err := x.check(); err != nil {
			return nil, nil, err
		}
	}
	turned, err := Align(before, after)
	if err != nil {
		return nil, nil, err
	}
	n := after.Rows
	both := NewMatrix(2*n, after.Columns)
	copy(both.Values, after.Values)
	copy(both.Values[len(after.Values):], turned.Values)
	p, err := place(ctx, both, o)
	if err != nil {
		return nil, nil, err
	}
	d := &Drift{Before: &Matrix{n, 2, p.Points.Values[2*n:]}, Moved: make([]float64, n), Kept: make([]float64, n)}
	p.Points = &Matrix{n, 2, p.Points.Values[: 2*n : 2*n]}
	if err := p.judge(ctx, after, o); err != nil {
		return nil, nil, err
	}
	d.K = p.Neighbours.K
	old, err := Nearest(ctx, before, d.K, o.Threads)
	if err != nil {
		return nil, nil, err
	}
	for i := range n {
		d.Moved[i] = math.Sqrt(squaredDistance(turned.Row(i), after.Row(i)))
		for _, j := range p.Neighbours.Of(i) {
			if slices.Contains(old.Of(i), j) {
				d.Kept[i] += 1 / float64(d.K)
			}
		}
	}
	return p, d, nil
}
