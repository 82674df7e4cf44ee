package explain

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/compute/cpu"
)

// Neighbours are the nearest other points of each point, by Euclidean distance.
//
// Legend: N points, K neighbours.
type Neighbours struct {
	K         int
	Indices   []int32   // [N,K]: the nearest first; of equally near ones the one with the lower index
	Distances []float64 // [N,K]
}

// Of is the neighbours of point i, in place.
func (n *Neighbours) Of(i int) []int32 { return n.Indices[i*n.K:][:n.K:n.K] }

// Nearest finds the k nearest neighbours of each point of x, at most N−1, exactly: products in float32 sift them, and distances in
// float64 decide. Errors are *TooFewError, *ValueError, and the cause of ctx's end.
func Nearest(ctx context.Context, x *Matrix, k, threads int) (*Neighbours, error) {
	if err := x.check(); err != nil {
		return nil, err
	}
	k = max(0, min(k, x.Rows-1))
	out := newNeighbours(x.Rows, k)
	if k == 0 {
		return out, nil
	}
	s, err := newSieve(x, threads)
	if err != nil {
		return nil, err
	}
	defer s.close()
	err = s.rows(ctx, func(i int, products []float32) {
		out.take(x, i, s.nearest(i, k, products))
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func newNeighbours(n, k int) *Neighbours {
	return &Neighbours{K: k, Indices: make([]int32, n*k), Distances: make([]float64, n*k)}
}

func (n *Neighbours) take(x *Matrix, i int, found []neighbour) {
	for c := range n.K {
		j := found[c].index
		n.Indices[i*n.K+c] = j
		n.Distances[i*n.K+c] = math.Sqrt(squaredDistance(x.Row(i), x.Row(int(j))))
	}
}

// neighbour is a point and its squared distance from another.
type neighbour struct {
	index    int32
	distance float64
}

func compareNeighbours(a, b neighbour) int {
	return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.index, b.index))
}

// sieve bounds the distances between points by products in float32, which the device computes a block of rows at a time. In units
// in which no number is larger than 1, |a−b|² = |a|² + |b|² − 2a·b is within
//
//	|a|²·(1±slack) + |b|²·(1±slack) − 2·product.
//
// Legend: N points, D dimensions.
type sieve struct {
	x         *Matrix
	threads   int
	device    *cpu.Device
	points    compute.Buffer // [N,D], centred, which makes the products small, and scaled
	packed    compute.Packed
	scale     float64   // of squared distances; a power of two
	low, high []float64 // [N]: |a|²·(1∓slack)
}

// sieveRows is the number of rows of products that are in memory at once.
const sieveRows = 128

func newSieve(x *Matrix, threads int) (*sieve, error) {
	var (
		n, d    = x.Rows, x.Columns
		s       = &sieve{x: x, threads: threadsOf(threads), low: make([]float64, n), high: make([]float64, n)}
		centre  = mean(x)
		largest = 0.0
	)
	for i := range n {
		for j, v := range x.Row(i) {
			largest = max(largest, v-centre[j], centre[j]-v)
		}
	}
	_, exponent := math.Frexp(largest)
	scale := math.Ldexp(1, -exponent)
	s.scale = scale * scale
	// A product of D terms errs by less than D·2⁻²⁴·|a|·|b| ≤ D·2⁻²⁵·(|a|²+|b|²), and what goes into it by 2⁻²⁴ a number.
	slack := float64(d+16) / (1 << 23)
	values := make([]float32, n*d)
	parallel(s.threads, n, func(from, to int) {
		for i := from; i < to; i++ {
			out, squares := values[i*d:][:d], 0.0
			for j, v := range x.Row(i) {
				out[j] = float32((v - centre[j]) * scale)
				squares += float64(out[j]) * float64(out[j])
			}
			s.low[i], s.high[i] = squares*(1-slack), squares*(1+slack)
		}
	})
	var err error
	if s.device, err = cpu.New(s.threads, compute.Float32); err != nil {
		return nil, err
	}
	if s.points, err = s.device.Wrap(values); err == nil {
		s.packed, err = s.device.Pack(n, d, s.points)
	}
	if err != nil {
		s.device.Close()
		return nil, err
	}
	return s, nil
}

func (s *sieve) close() { s.device.Close() }

// rows calls do for each point with its products with all points, [N].
func (s *sieve) rows(ctx context.Context, do func(i int, products []float32)) error {
	n, d := s.x.Rows, s.x.Columns
	y, err := s.device.Alloc(min(sieveRows, n) * n)
	if err != nil {
		return err
	}
	for from := 0; from < n; from += sieveRows {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rows := min(sieveRows, n-from)
		block := y.Slice(0, rows*n)
		s.device.Linear(&compute.Linear{
			Rows: rows, X: s.points.Slice(from*d, (from+rows)*d),
			W: compute.Matrix{Weight: s.points, Out: n, In: d, Packed: s.packed}, Y: block,
		})
		products, err := s.device.View(block)
		if err != nil {
			return err
		}
		parallel(s.threads, rows, func(a, b int) {
			for r := a; r < b; r++ {
				do(from+r, products[r*n:][:n])
			}
		})
	}
	return nil
}

// distance is the squared distance of two points in the sieve's units.
func (s *sieve) distance(i, j int) float64 { return squaredDistance(s.x.Row(i), s.x.Row(j)) * s.scale }

// nearest is the k nearest neighbours of point i, and perhaps more behind them.
func (s *sieve) nearest(i, k int, products []float32) []neighbour {
	// k points are no farther than the k-th smallest of the upper bounds. |i|² is left out on both sides.
	heap := make([]float64, 0, k) // the largest first
	for j, p := range products {
		bound := s.high[j] - 2*float64(p)
		if len(heap) == k && bound >= heap[0] || j == i {
			continue
		}
		heap = push(heap, k, bound)
	}
	farthest := heap[0] + s.high[i] - s.low[i]
	found := make([]neighbour, 0, k+k/4)
	for j, p := range products {
		if s.low[j]-2*float64(p) <= farthest && j != i {
			found = append(found, neighbour{int32(j), s.distance(i, j)})
		}
	}
	slices.SortFunc(found, compareNeighbours)
	return found
}

// push puts a value into a heap of the k smallest, of which the largest is the first.
func push(heap []float64, k int, value float64) []float64 {
	if len(heap) < k {
		heap = append(heap, value)
		for c := len(heap) - 1; c > 0; {
			parent := (c - 1) / 2
			if heap[parent] >= heap[c] {
				break
			}
			heap[parent], heap[c] = heap[c], heap[parent]
			c = parent
		}
		return heap
	}
	heap[0] = value
	for p := 0; ; {
		c := 2*p + 1
		if c >= k {
			return heap
		}
		if c+1 < k && heap[c+1] > heap[c] {
			c++
		}
		if heap[p] >= heap[c] {
			return heap
		}
		heap[p], heap[c] = heap[c], heap[p]
		p = c
	}
}

// ranksBeyond adds up, for the points in targets, by how much their ranks among the neighbours of point i are larger than k. The
// nearest has rank 1; of equally near ones the one with the lower index comes first.
func (s *sieve) ranksBeyond(i, k int, targets []int32, products []float32) float64 {
	wanted := make([]neighbour, len(targets))
	for t, j := range targets {
		wanted[t] = neighbour{j, s.distance(i, int(j))}
	}
	slices.SortFunc(wanted, compareNeighbours)
	// before[t] counts the points between wanted[t-1] and wanted[t].
	before := make([]int, len(wanted)+1)
	last := wanted[len(wanted)-1].distance
	for j, p := range products {
		product := 2 * float64(p)
		low := s.low[i] + s.low[j] - product
		if low > last || j == i {
			continue
		}
		high := s.high[i] + s.high[j] - product
		from := search(wanted, low)
		if from == len(wanted) || high < wanted[from].distance {
			before[from]++
			continue
		}
		// It may be on either side of one of them.
		at, _ := slices.BinarySearchFunc(wanted, neighbour{int32(j), s.distance(i, j)}, compareNeighbours)
		before[at]++
	}
	sum, rank := 0.0, 0
	for t := range wanted {
		rank += before[t] // itself is counted in before[t]
		sum += max(0, float64(rank-k))
	}
	return sum
}

// search is the first of neighbours whose distance is not below d.
func search(list []neighbour, d float64) int {
	at, _ := slices.BinarySearchFunc(list, d, func(n neighbour, d float64) int { return cmp.Compare(n.distance, d) })
	return at
}
