package explain

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/go-bert/bert/internal/random"
)

// TSNEOptions say how TSNE makes its picture. The zero value is good.
type TSNEOptions struct {
	// Perplexity is about how many neighbours a point has; 0: 30. More than a third of the other points are too many: then it is
	// that third, and the result has a note.
	Perplexity float64
	// Components is the number of principal components that take the place of points of more dimensions; 0: 50; negative: none.
	Components int
	// Exaggeration multiplies the attraction in the first EarlyIterations; 0: 12 and 250. Iterations follow; 0: 750.
	Exaggeration                float64
	EarlyIterations, Iterations int
	// Rate is the learning rate in units in which the gradient has no factor 4: openTSNE's units, 4 times scikit-learn's; 0: N/12
	// at first and N then, but at least 200, as Belkina et al. 2019 and openTSNE have it.
	Rate float64
	// Theta is how wide a square of points that is taken as one may be, as a share of its distance; 0: 0.5.
	Theta float64
	// ExactUpTo is the number of points up to which all pairs are taken; 0: 1,500; negative: never.
	ExactUpTo int
	// Init is where points begin, [N,2]; nil: their first two principal components, scaled to a standard deviation of 1e-4, with
	// noise a hundredth of that, which takes equal points apart.
	Init *Matrix
	Seed uint64 // of the noise
	// Threads is the number of goroutines; 0: all processors. It changes no bit of the result.
	Threads int
	// Progress, if not nil, is called after each iteration.
	Progress func(done, all int)
}

// Map is a picture of points by TSNE.
type Map struct {
	Points *Matrix // [N,2]
	// KL is the Kullback–Leibler divergence of the picture from the original, in nats, computed anew at the end: over all pairs, or
	// with Sparse over the pairs of neighbours, as other programs with Barnes and Hut's approximation give it. Only like compares
	// with like.
	KL         float64
	Sparse     bool
	Perplexity float64 // that was used
	Components int     // principal components that the points were taken in; 0: all their dimensions
	Notes      []string
}

const (
	earlyMomentum, momentum = 0.5, 0.8
	gainUp, gainDown        = 0.2, 0.8
	minGain                 = 0.01
	initDeviation           = 1e-4
	neighboursPerPerplexity = 3
)

// TSNE makes a picture in which near points stay near (van der Maaten and Hinton 2008). Up to ExactUpTo points it takes all pairs;
// beyond them the nearest 3·Perplexity neighbours of each, and Barnes and Hut's approximation. Errors are *TooFewError, *ValueError
// and the cause of ctx's end.
func TSNE(ctx context.Context, x *Matrix, o TSNEOptions) (*Map, error) {
	if err := x.check(); err != nil {
		return nil, err
	}
	n := x.Rows
	if err := o.setDefaults(n); err != nil {
		return nil, err
	}
	m := &Map{Perplexity: o.Perplexity}
	if most := float64(n-1) / 3; o.Perplexity > most {
		m.Perplexity = most
		m.Notes = append(m.Notes, fmt.Sprintf("a perplexity of %.4g is too large for %d points: it is %.4g", o.Perplexity, n, most))
	}
	if o.Components > 0 && x.Columns > o.Components {
		p, err := NewPCA(x, o.Components, o.Threads)
		if err != nil {
			return nil, err
		}
		m.Components = p.Components.Rows
		if x, err = p.Transform(x, o.Threads); err != nil {
			return nil, err
		}
	}
	y, err := o.begin(x)
	if err != nil {
		return nil, err
	}
	var (
		p    *affinities
		push repulsion
	)
	if n <= o.ExactUpTo {
		p, push = allAffinities(x, m.Perplexity, o.Threads), &allPairs{threads: o.Threads}
	} else {
		// At least 1 neighbour more than a uniform distribution of this perplexity has.
		k := max(int(neighboursPerPerplexity*m.Perplexity), int(m.Perplexity)+1)
		near, err := Nearest(ctx, x, k, o.Threads)
		if err != nil {
			return nil, err
		}
		p, push = nearAffinities(near, m.Perplexity, o.Threads), &barnesHut{theta: o.Theta, threads: o.Threads}
		m.Sparse = true
	}
	d := newDescent(p, push, y, o.Threads)
	all := o.EarlyIterations + o.Iterations
	for i := range all {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if i < o.EarlyIterations {
			d.step(o.Exaggeration, earlyMomentum, o.rate(n, o.Exaggeration))
		} else {
			d.step(1, momentum, o.rate(n, 1))
		}
		if o.Progress != nil {
			o.Progress(i+1, all)
		}
	}
	z := (&allPairs{threads: o.Threads}).at(y, d.push)
	if m.KL, err = p.divergence(ctx, y, z, o.Threads); err != nil {
		return nil, err
	}
	m.Points = &Matrix{n, 2, y}
	for i, v := range y {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("the picture has no end at a learning rate of %v: point %d is nowhere", o.Rate, i/2)
		}
	}
	return m, nil
}

// setDefaults gives the fields that are zero their values, and reports the first that has none.
func (o *TSNEOptions) setDefaults(n int) error {
	o.Perplexity = cmp.Or(o.Perplexity, 30)
	o.Components = cmp.Or(o.Components, 50)
	o.Exaggeration = cmp.Or(o.Exaggeration, 12)
	o.EarlyIterations, o.Iterations = cmp.Or(o.EarlyIterations, 250), cmp.Or(o.Iterations, 750)
	o.Theta = cmp.Or(o.Theta, 0.5)
	o.ExactUpTo = cmp.Or(o.ExactUpTo, 1500)
	o.Threads = threadsOf(o.Threads)
	finite := func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
	switch {
	case !finite(o.Perplexity) || o.Perplexity <= 1:
		return fmt.Errorf("perplexity %v, want more than 1", o.Perplexity)
	case !finite(o.Exaggeration) || o.Exaggeration < 1:
		return fmt.Errorf("exaggeration %v, want at least 1", o.Exaggeration)
	case o.EarlyIterations < 0 || o.Iterations < 0:
		return fmt.Errorf("%d and %d iterations, want 0 or more", o.EarlyIterations, o.Iterations)
	case !finite(o.Rate) || o.Rate < 0:
		return fmt.Errorf("learning rate %v, want a positive number", o.Rate)
	case !finite(o.Theta) || o.Theta < 0 || o.Theta > 1:
		return fmt.Errorf("theta %v, want 0 to 1", o.Theta)
	case n > maxPoints:
		return fmt.Errorf("%d points, want at most %d", n, maxPoints)
	case o.Init != nil && (o.Init.Rows != n || o.Init.Columns != 2 || len(o.Init.Values) != 2*n):
		return fmt.Errorf("a beginning of [%d,%d], want [%d,2]", o.Init.Rows, o.Init.Columns, n)
	}
	return nil
}

// rate is the learning rate of a phase for a gradient without the factor 4.
func (o *TSNEOptions) rate(n int, exaggeration float64) float64 {
	if o.Rate > 0 {
		return o.Rate
	}
	return max(float64(n)/exaggeration, 200)
}

// begin is where the points begin, [N,2].
func (o *TSNEOptions) begin(x *Matrix) ([]float64, error) {
	if o.Init != nil {
		if i := firstNotFinite(o.Init.Values); i >= 0 {
			return nil, &ValueError{i / 2, i % 2, o.Init.Values[i]}
		}
		return append([]float64(nil), o.Init.Values...), nil
	}
	_, places, err := principalPlane(x, o.Threads)
	if err != nil {
		return nil, err
	}
	y := make([]float64, 2*x.Rows)
	first := 0.0
	for i := range x.Rows {
		v := places.Row(i)[0]
		first += v * v / float64(x.Rows) // they have a mean of 0
	}
	scale := 0.0
	if first > 0 {
		scale = initDeviation / math.Sqrt(first)
	}
	noise := newNormal(o.Seed)
	for i := range x.Rows {
		for c, v := range places.Row(i) {
			y[2*i+c] = v * scale
		}
		y[2*i] += noise() * initDeviation / 100
		y[2*i+1] += noise() * initDeviation / 100
	}
	return y, nil
}

// newNormal draws numbers of a standard normal distribution (Box and Muller 1958).
func newNormal(seed uint64) func() float64 {
	stream := random.New(seed, 'n')
	return func() float64 {
		return math.Sqrt(-2*math.Log(1-stream.Float64())) * math.Cos(2*math.Pi*stream.Float64())
	}
}

// firstNotFinite is the index of the first number that is none, −1 where all are.
func firstNotFinite(values []float64) int {
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return i
		}
	}
	return -1
}

// descent moves the points of a picture down the gradient of the divergence.
//
// Legend: N points.
type descent struct {
	p            *affinities
	repulsion    repulsion
	threads      int
	y            []float64 // [N,2]
	push, update []float64 // [N,2]
	gains        []float64 // [N,2]
	gradient     []float64 // [N,2]
}

func newDescent(p *affinities, r repulsion, y []float64, threads int) *descent {
	d := &descent{p: p, repulsion: r, threads: threads, y: y}
	d.push, d.update, d.gains, d.gradient = make([]float64, len(y)), make([]float64, len(y)), make([]float64, len(y)), make([]float64, len(y))
	for i := range d.gains {
		d.gains[i] = 1
	}
	return d
}

// slope computes the gradient, without its factor 4, at where the points are: Σⱼ (exaggeration·p − q/Z)·q·(yᵢ−yⱼ).
func (d *descent) slope(exaggeration float64) {
	z := d.repulsion.at(d.y, d.push)
	y := d.y
	parallel(d.threads, d.p.n, func(from, to int) {
		for i := from; i < to; i++ {
			indices, values := d.p.row(i)
			xi, yi := y[2*i], y[2*i+1]
			var gx, gy float64
			if indices == nil {
				for j, v := range values {
					dx, dy := xi-y[2*j], yi-y[2*j+1]
					v /= 1 + dx*dx + dy*dy
					gx += v * dx
					gy += v * dy
				}
			} else {
				for c, v := range values {
					j := indices[c]
					dx, dy := xi-y[2*j], yi-y[2*j+1]
					v /= 1 + dx*dx + dy*dy
					gx += v * dx
					gy += v * dy
				}
			}
			d.gradient[2*i] = exaggeration*gx - d.push[2*i]/z
			d.gradient[2*i+1] = exaggeration*gy - d.push[2*i+1]/z
		}
	})
}

// step moves the points, with momentum and a gain of its own for each coordinate (Jacobs 1988).
func (d *descent) step(exaggeration, momentum, rate float64) {
	d.slope(exaggeration)
	parallel(d.threads, len(d.gradient), func(from, to int) {
		for i := from; i < to; i++ {
			g := d.gradient[i]
			if d.update[i]*g < 0 {
				d.gains[i] += gainUp
			} else {
				d.gains[i] = max(d.gains[i]*gainDown, minGain)
			}
			d.update[i] = momentum*d.update[i] - rate*d.gains[i]*g
			d.y[i] += d.update[i]
		}
	})
}
