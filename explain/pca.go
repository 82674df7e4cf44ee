package explain

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// PCA is the principal components of points: the directions in which they vary most, orthogonal to one another.
//
// Legend: N points, D dimensions, K components.
type PCA struct {
	Mean []float64 // [D]
	// Components are directions of length 1, a row each, [K,D]. The largest number of a row by amount is positive, as in scikit-learn
	// ≥ 1.5.
	Components *Matrix
	Variances  []float64 // [K]: of the points along each component, divided by N−1
	Ratios     []float64 // [K]: the shares of the variance in all dimensions; zeros where there is none
}

// NewPCA finds the first k principal components of x [N,D], at most the smaller of N and D. Errors are *TooFewError and
// *ValueError.
func NewPCA(x *Matrix, k, threads int) (*PCA, error) {
	if err := x.check(); err != nil {
		return nil, err
	}
	if k < 1 {
		return nil, fmt.Errorf("%d components, want at least 1", k)
	}
	threads = threadsOf(threads)
	k = min(k, x.Rows, x.Columns)
	p := &PCA{Mean: mean(x), Components: NewMatrix(k, x.Columns), Variances: make([]float64, k), Ratios: make([]float64, k)}
	centred := NewMatrix(x.Rows, x.Columns)
	parallel(threads, x.Rows, func(from, to int) {
		for i := from; i < to; i++ {
			row, out := x.Row(i), centred.Row(i)
			for j, m := range p.Mean {
				out[j] = row[j] - m
			}
		}
	})
	all := 0.0
	for _, v := range centred.Values {
		all += v * v
	}
	// The eigenvectors of the smaller of the two products of the points with themselves lead to the components of both.
	wide := x.Columns > x.Rows
	left := centred
	if !wide {
		left = transpose(centred)
	}
	values, vectors, err := eigen(gram(left, threads), k)
	if err != nil {
		return nil, err
	}
	for c := range k {
		p.Variances[c] = max(0, values[c]) / float64(x.Rows-1)
		if all > 0 {
			p.Ratios[c] = max(0, values[c]) / all
		}
		component := p.Components.Row(c)
		if !wide {
			copy(component, vectors.Row(c))
		} else {
			for i, u := range vectors.Row(c) {
				for j, v := range centred.Row(i) {
					component[j] += u * v
				}
			}
		}
	}
	orthonormalize(p.Components)
	for c := range k {
		positive(p.Components.Row(c))
	}
	return p, nil
}

// Transform is the places of points [N,D] along the components, [N,K].
func (p *PCA) Transform(x *Matrix, threads int) (*Matrix, error) {
	if x.Columns != len(p.Mean) {
		return nil, fmt.Errorf("points of %d dimensions, want %d", x.Columns, len(p.Mean))
	}
	out := NewMatrix(x.Rows, p.Components.Rows)
	parallel(threadsOf(threads), x.Rows, func(from, to int) {
		centred := make([]float64, x.Columns)
		for i := from; i < to; i++ {
			for j, v := range x.Row(i) {
				centred[j] = v - p.Mean[j]
			}
			for c := range out.Columns {
				out.Values[i*out.Columns+c] = dot(p.Components.Row(c), centred)
			}
		}
	})
	return out, nil
}

func mean(x *Matrix) []float64 {
	m := make([]float64, x.Columns)
	for i := range x.Rows {
		for j, v := range x.Row(i) {
			m[j] += v
		}
	}
	for j := range m {
		m[j] /= float64(x.Rows)
	}
	return m
}

func dot(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+3 < len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

func transpose(x *Matrix) *Matrix {
	out := NewMatrix(x.Columns, x.Rows)
	const tile = 32
	for i0 := 0; i0 < x.Rows; i0 += tile {
		for j0 := 0; j0 < x.Columns; j0 += tile {
			for i := i0; i < min(i0+tile, x.Rows); i++ {
				for j := j0; j < min(j0+tile, x.Columns); j++ {
					out.Values[j*x.Rows+i] = x.Values[i*x.Columns+j]
				}
			}
		}
	}
	return out
}

// gram is x·xᵀ, [N,N], of x [N,D]. A tile of rows at a time stays in the cache; each element is one sum over D.
func gram(x *Matrix, threads int) *Matrix {
	const (
		tile  = 16
		depth = 1024 // numbers of a row at a time
	)
	out := NewMatrix(x.Rows, x.Rows)
	tiles := (x.Rows + tile - 1) / tile
	parallel(threads, tiles, func(from, to int) {
		for t := from; t < to; t++ {
			i0, i1 := t*tile, min((t+1)*tile, x.Rows)
			for d := 0; d < x.Columns; d += depth {
				end := min(d+depth, x.Columns)
				for j := i0; j < x.Rows; j++ {
					b := x.Row(j)[d:end]
					for i := i0; i < min(i1, j+1); i++ {
						out.Values[i*x.Rows+j] += dot(x.Row(i)[d:end], b)
					}
				}
			}
		}
	})
	for i := range x.Rows {
		for j := range i {
			out.Values[i*x.Rows+j] = out.Values[j*x.Rows+i]
		}
	}
	return out
}

// eigen is the k largest eigenvalues of a symmetric matrix and their vectors, a row each.
func eigen(m *Matrix, k int) ([]float64, *Matrix, error) {
	var (
		n       = m.Rows
		e       mat.EigenSym
		vectors mat.Dense
	)
	if !e.Factorize(mat.NewSymDense(n, m.Values), true) {
		return nil, nil, errors.New("the principal components were not found: the eigenvalues don't converge")
	}
	rising := e.Values(nil)
	e.VectorsTo(&vectors)
	values, out := make([]float64, k), NewMatrix(k, n)
	for c := range k {
		values[c] = rising[n-1-c]
		for i := range n {
			out.Values[c*n+i] = vectors.At(i, n-1-c)
		}
	}
	return values, out, nil
}

// orthonormalize makes the rows of m, which are nearly so or zeros, orthogonal and of length 1, by Gram and Schmidt's process. In
// the place of a row that is nothing beside those before it, as where points vary in fewer dimensions, comes an axis that is
// orthogonal to them.
func orthonormalize(m *Matrix) {
	axis := 0
	for c := range m.Rows {
		row := m.Row(c)
		for {
			before := math.Sqrt(dot(row, row))
			for range 2 { // once more for what rounding left
				for d := range c {
					other := m.Row(d)
					along := dot(row, other)
					for j := range row {
						row[j] -= along * other[j]
					}
				}
			}
			if length := math.Sqrt(dot(row, row)); length > 1e-8*before && length > 1e-150 {
				for j := range row {
					row[j] /= length
				}
				break
			}
			clear(row)
			row[axis] = 1
			axis++
		}
	}
}

// positive turns a component so that its largest number by amount is positive; of equal ones the first.
func positive(row []float64) {
	most := 0
	for j, v := range row {
		if math.Abs(v) > math.Abs(row[most]) {
			most = j
		}
	}
	if row[most] >= 0 {
		return
	}
	for j := range row {
		row[j] = -row[j]
	}
}

// principalPlane places points by their first two components.
func principalPlane(x *Matrix, threads int) (*PCA, *Matrix, error) {
	p, err := NewPCA(x, 2, threads)
	if err != nil {
		return nil, nil, err
	}
	places, err := p.Transform(x, threads)
	return p, places, err
}
