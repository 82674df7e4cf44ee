package explain

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// affinities are how much points of the original space belong together: P of t-SNE, symmetric, with a sum of 1. They are sparse, or
// all pairs (indices nil).
//
// Legend: N points.
type affinities struct {
	n       int
	starts  []int     // [N+1]: point i has values[starts[i]:starts[i+1]]
	indices []int32   // of the other points
	values  []float64 // P
}

func (p *affinities) row(i int) ([]int32, []float64) {
	from, to := p.starts[i], p.starts[i+1]
	if p.indices == nil {
		return nil, p.values[from:to]
	}
	return p.indices[from:to], p.values[from:to]
}

// allAffinities are those of all pairs of points.
func allAffinities(x *Matrix, perplexity float64, threads int) *affinities {
	n := x.Rows
	p := &affinities{n: n, starts: make([]int, n+1), values: make([]float64, n*n)}
	parallel(threads, n, func(from, to int) {
		squares, row := make([]float64, n-1), make([]float64, n-1)
		for i := from; i < to; i++ {
			p.starts[i+1] = (i + 1) * n
			for j := range n {
				if j != i {
					squares[compact(j, i)] = squaredDistance(x.Row(i), x.Row(j))
				}
			}
			conditional(row, squares, perplexity)
			for j := range n {
				if j != i {
					p.values[i*n+j] = row[compact(j, i)]
				}
			}
		}
	})
	for i := range n {
		for j := range i {
			both := (p.values[i*n+j] + p.values[j*n+i]) / float64(2*n)
			p.values[i*n+j], p.values[j*n+i] = both, both
		}
	}
	return p
}

// compact is the place of j in a list without i.
func compact(j, i int) int {
	if j > i {
		return j - 1
	}
	return j
}

// nearAffinities are those of neighbours.
func nearAffinities(near *Neighbours, perplexity float64, threads int) *affinities {
	n, k := len(near.Indices)/near.K, near.K
	type entry struct {
		index int32
		value float64
	}
	values := make([]float64, n*k)
	parallel(threads, n, func(from, to int) {
		squares := make([]float64, k)
		for i := from; i < to; i++ {
			for c, d := range near.Distances[i*k : (i+1)*k] {
				squares[c] = d * d
			}
			conditional(values[i*k:(i+1)*k], squares, perplexity)
		}
	})
	// A point has its own neighbours, and those points whose neighbour it is.
	ends := make([]int, n+1) // ends[i+1]: of the entries of point i, as far as they are there
	for _, j := range near.Indices {
		ends[j+1]++
	}
	for i := range n {
		ends[i+1] += ends[i] + k
	}
	entries, next := make([]entry, 2*n*k), make([]int, n)
	for i := range n {
		next[i] = ends[i]
	}
	for i := range n {
		for c, j := range near.Of(i) {
			v := values[i*k+c] / float64(2*n)
			entries[next[i]], entries[next[j]] = entry{j, v}, entry{int32(i), v}
			next[i]++
			next[j]++
		}
	}
	// A pair that is in both rows of neighbours has two entries in each.
	p := &affinities{n: n, starts: make([]int, n+1)}
	parallel(threads, n, func(from, to int) {
		for i := from; i < to; i++ {
			row := entries[ends[i]:ends[i+1]]
			slices.SortFunc(row, func(a, b entry) int {
				if a.index != b.index {
					return int(a.index) - int(b.index)
				}
				return cmp.Compare(a.value, b.value)
			})
			out := row[:0]
			for _, e := range row {
				if last := len(out) - 1; last >= 0 && out[last].index == e.index {
					out[last].value += e.value
				} else {
					out = append(out, e)
				}
			}
			p.starts[i+1] = len(out)
		}
	})
	for i := range n {
		p.starts[i+1] += p.starts[i]
	}
	p.indices, p.values = make([]int32, p.starts[n]), make([]float64, p.starts[n])
	parallel(threads, n, func(from, to int) {
		for i := from; i < to; i++ {
			at := p.starts[i]
			for c, e := range entries[ends[i]:][:p.starts[i+1]-at] {
				p.indices[at+c], p.values[at+c] = e.index, e.value
			}
		}
	})
	return p
}

// conditional sets p to the probabilities of a Gaussian over squared distances whose width gives the perplexity: exp of the
// entropy in nats. Where no width does, as of points that are all equally far, it is the nearest that there is.
func conditional(p, squares []float64, perplexity float64) {
	const steps = 200 // of bisection, to the limits of float64
	var (
		want      = math.Log(perplexity)
		least     = slices.Min(squares)
		low, high = 0.0, math.Inf(1)
		precision = 1.0
	)
	// The first guess fits the scale of the distances.
	spread := 0.0
	for _, d := range squares {
		spread += (d - least) / float64(len(squares))
	}
	if spread > 0 {
		precision = 1 / spread
	}
	for range steps {
		sum, weighted := 0.0, 0.0
		for j, d := range squares {
			p[j] = math.Exp(-(d - least) * precision)
			sum += p[j]
			weighted += (d - least) * p[j]
		}
		off := math.Log(sum) + precision*weighted/sum - want
		for j := range p {
			p[j] /= sum
		}
		if math.Abs(off) < 1e-10 || spread == 0 {
			return
		}
		if off > 0 {
			low = precision
			if math.IsInf(high, 1) {
				precision *= 2
			} else {
				precision = (precision + high) / 2
			}
		} else {
			high = precision
			precision = (low + precision) / 2
		}
		if math.IsInf(precision, 1) || precision == low && precision == high {
			return
		}
	}
}

// divergence is the Kullback–Leibler divergence of Q from P in nats, Σ p·log(p/q), where q = 1/(1+|yᵢ−yⱼ|²)/z.
func (p *affinities) divergence(ctx context.Context, y []float64, z float64, threads int) (float64, error) {
	parts := make([]float64, p.n)
	parallel(threads, p.n, func(from, to int) {
		for i := from; i < to && ctx.Err() == nil; i++ {
			indices, values := p.row(i)
			for c, v := range values {
				j := c
				if indices != nil {
					j = int(indices[c])
				}
				if v > 0 {
					dx, dy := y[2*i]-y[2*j], y[2*i+1]-y[2*j+1]
					parts[i] += v * math.Log(v*z*(1+dx*dx+dy*dy))
				}
			}
		}
	})
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	return sum(parts), nil
}

func sum(values []float64) float64 {
	s := 0.0
	for _, v := range values {
		s += v
	}
	return s
}
