package explain

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

// start is where the t-SNE of testdata/make.py begins.
func start(n int) *Matrix {
	m := NewMatrix(n, 2)
	for i := range n {
		m.Row(i)[0], m.Row(i)[1] = 1e-4*math.Sin(0.7*float64(i)+1), 1e-4*math.Cos(1.3*float64(i))
	}
	return m
}

// The width of each point's Gaussian gives the perplexity that is asked for (scikit-learn's test_binary_search).
func TestPerplexity(t *testing.T) {
	x := normal(50, 5, 1)
	mean := 0.0
	for i := range x.Rows {
		var squares []float64
		for j := range x.Rows {
			if j != i {
				squares = append(squares, squaredDistance(x.Row(i), x.Row(j)))
			}
		}
		p := make([]float64, len(squares))
		conditional(p, squares, 25)
		entropy := 0.0
		for _, v := range p {
			entropy -= v * math.Log(max(v, 1e-300))
		}
		if s := sum(p); math.Abs(s-1) > 1e-12 {
			t.Errorf("point %d: probabilities sum to %.15f", i, s)
		}
		mean += math.Exp(entropy) / float64(x.Rows)
	}
	if math.Abs(mean-25) > 1e-3 {
		t.Errorf("mean perplexity %.6f, want 25", mean)
	}
	p := make([]float64, 4)
	conditional(p, []float64{3, 3, 3, 3}, 2)
	if !slices.Equal(p, []float64{.25, .25, .25, .25}) {
		t.Errorf("of equal distances: %v", p)
	}
}

func TestAffinitiesEqualScikitLearn(t *testing.T) {
	g := loadGoldens(t)
	x := digits(t)
	p := allAffinities(x, 30, 2)
	_, first := p.row(0)
	// scikit-learn's search ends at an entropy that is off by 1e-5.
	if off := differ(t, first[1:11], g.TSNE.Affinities.First); off > 1e-3 {
		t.Errorf("the first affinities differ by %g", off)
	}
	if s := sum(p.values); math.Abs(s-1) > 1e-12 {
		t.Errorf("affinities sum to %.15f", s)
	}
	squares := dot(p.values, p.values)
	if want := g.TSNE.Affinities.SumOfSquares; math.Abs(squares-want) > 1e-4*want {
		t.Errorf("sum of squares %g, want %g", squares, want)
	}
}

// slopeOf is a descent at y, and its gradient.
func slopeOf(p *affinities, r repulsion, y []float64) *descent {
	d := newDescent(p, r, y, 2)
	d.slope(1)
	return d
}

func TestGradientEqualsDifferences(t *testing.T) {
	x := normal(30, 4, 2)
	p, r := allAffinities(x, 8, 1), &allPairs{threads: 1}
	y := normal(30, 2, 3).Values
	d := slopeOf(p, r, y)
	divergence := func() float64 {
		z := r.at(y, make([]float64, len(y)))
		v, err := p.divergence(t.Context(), y, z, 1)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	const h = 1e-5
	for i := range y {
		at := y[i]
		y[i] = at + h
		up := divergence()
		y[i] = at - h
		down := divergence()
		y[i] = at
		if want := (up - down) / (2 * h); math.Abs(4*d.gradient[i]-want) > 1e-5*max(1e-2, math.Abs(want)) {
			t.Errorf("coordinate %d: %g, by differences %g", i, 4*d.gradient[i], want)
		}
	}
}

// Of two points P and Q are a half whichever way they lie: there is nothing to move.
func TestGradientOfTwoPoints(t *testing.T) {
	p := &affinities{n: 2, starts: []int{0, 2, 4}, values: []float64{0, .5, .5, 0}}
	for _, y := range [][]float64{{0, 0, 1, 2}, {3, 1, 3, 1.5}, {-1, 4, 100, 2}} {
		if g := slopeOf(p, &allPairs{threads: 1}, y).gradient; slices.ContainsFunc(g, func(v float64) bool { return math.Abs(v) > 1e-16 }) {
			t.Errorf("%v: gradient %v, want 0", y, g)
		}
	}
}

// With theta 0 no points are taken together, and all others are neighbours: then both ways are the same.
func TestBarnesHutOfThetaZeroIsExact(t *testing.T) {
	x := normal(200, 6, 4)
	near, err := Nearest(t.Context(), x, 199, 2)
	if err != nil {
		t.Fatal(err)
	}
	all, sparse := allAffinities(x, 20, 2), nearAffinities(near, 20, 2)
	for i := range x.Rows {
		_, row := all.row(i)
		indices, values := sparse.row(i)
		for c, j := range indices {
			if math.Abs(values[c]-row[j]) > 1e-5*row[j]+1e-15 {
				t.Fatalf("P of %d and %d: %g, of all pairs %g", i, j, values[c], row[j])
			}
		}
	}
	y := normal(200, 2, 5).Values
	exact, tree := slopeOf(all, &allPairs{threads: 2}, y), slopeOf(sparse, &barnesHut{theta: 1e-9, threads: 2}, y)
	if off := differ(t, tree.gradient, exact.gradient); off > 1e-10 {
		t.Errorf("the gradients differ by %g", off)
	}
}

func TestBarnesHutIsNear(t *testing.T) {
	for _, c := range []struct {
		name string
		y    []float64
		most float64
	}{
		{"one heap", normal(3000, 2, 6).Values, 0.03}, {"two heaps", heaps(3000), 0.03},
		{"a line", line(3000), 0.05}, // all of a square's points lie to one side
	} {
		y, n := c.y, len(c.y)
		exact, near := make([]float64, n), make([]float64, n)
		z := (&allPairs{threads: 2}).at(y, exact)
		got := (&barnesHut{theta: 0.5, threads: 2}).at(y, near)
		off, size := 0.0, 0.0
		for i := range exact {
			off += (exact[i] - near[i]) * (exact[i] - near[i])
			size += exact[i] * exact[i]
		}
		if share := math.Sqrt(off / size); share > c.most {
			t.Errorf("%s: the force is off by %.2f %%", c.name, 100*share)
		}
		if math.Abs(got-z) > 0.02*z {
			t.Errorf("%s: Z is %g, want %g", c.name, got, z)
		}
	}
}

func line(n int) []float64 {
	y := make([]float64, 2*n)
	for i := range n {
		y[2*i] = float64(i) / 50
	}
	return y
}

func heaps(n int) []float64 {
	y := normal(n, 2, 7).Values
	for i := range n / 2 {
		y[2*i] += 80
	}
	return y
}

// The first steps are scikit-learn's, from the same beginning.
func TestTSNEBeginsAsScikitLearn(t *testing.T) {
	g := loadGoldens(t)
	x := digits(t)
	d := newDescent(allAffinities(x, 30, 2), &allPairs{threads: 2}, start(x.Rows).Values, 2)
	o := TSNEOptions{}
	for range 10 {
		d.step(12, earlyMomentum, o.rate(x.Rows, 12))
	}
	norm := math.Sqrt(dot(d.y, d.y))
	if want := g.TSNE.After10Norm; math.Abs(norm-want) > 1e-3*want {
		t.Errorf("after 10 iterations the norm is %g, want %g", norm, want)
	}
	if off := differ(t, d.y[:2*len(g.TSNE.After10)], slices.Concat(g.TSNE.After10...)); off > 1e-3 {
		t.Errorf("after 10 iterations the points differ by %g of the farthest", off)
	}
}

// recall is the share of the k nearest neighbours that a picture keeps.
func recall(t *testing.T, x, y *Matrix, k int) float64 {
	t.Helper()
	a, err := Nearest(t.Context(), x, k, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Nearest(t.Context(), y, k, 0)
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for i := range x.Rows {
		for _, j := range a.Of(i) {
			if slices.Contains(b.Of(i), j) {
				kept++
			}
		}
	}
	return float64(kept) / float64(x.Rows*k)
}

// In the end the picture is no worse than scikit-learn's. Both divergences are over all pairs.
func TestTSNEIsAsGoodAsScikitLearn(t *testing.T) {
	g := loadGoldens(t)
	x := digits(t)
	m, err := TSNE(t.Context(), x, TSNEOptions{Init: start(x.Rows), Components: -1})
	if err != nil {
		t.Fatal(err)
	}
	y := m.Points.Values
	z := (&allPairs{threads: 2}).at(y, make([]float64, len(y)))
	all, err := allAffinities(x, 30, 2).divergence(t.Context(), y, z, 2)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := Trust(t.Context(), x, m.Points, 12, 0)
	if err != nil {
		t.Fatal(err)
	}
	kept := recall(t, x, m.Points, 10)
	want := g.TSNE.Exact
	t.Logf("KL %.4f (sparse %.4f), trustworthiness %.4f, recall %.4f; scikit-learn's: %+v", all, m.KL, trust.Overall, kept, want)
	if all > 1.02*want.KL || trust.Overall < want.Trustworthiness-0.005 || kept < want.Recall-0.01 {
		t.Errorf("worse than scikit-learn's")
	}
	if !m.Sparse || m.KL <= 0 || m.Perplexity != 30 || m.Components != 0 || len(m.Notes) != 0 {
		t.Errorf("KL %g, sparse %v, perplexity %g, components %d, notes %q", m.KL, m.Sparse, m.Perplexity, m.Components, m.Notes)
	}
}

// Points of a square grid stay a square grid (scikit-learn's test_uniform_grid).
func TestTSNEOfAGrid(t *testing.T) {
	x := NewMatrix(100, 2)
	for i := range x.Rows {
		x.Row(i)[0], x.Row(i)[1] = float64(i%10), float64(i/10)
	}
	m, err := TSNE(t.Context(), x, TSNEOptions{})
	if err != nil {
		t.Fatal(err)
	}
	near, err := Nearest(t.Context(), m.Points, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	mean := sum(near.Distances) / 100
	if low, high := slices.Min(near.Distances)/mean, slices.Max(near.Distances)/mean; low < 0.5 || high > 2 {
		t.Errorf("the nearest neighbours are %.2f to %.2f times as far as on average", low, high)
	}
}

// Irises of a species are together (openTSNE's test).
func TestTSNEOfIrises(t *testing.T) {
	x, species := load(t, "iris.csv")
	for _, exact := range []int{0, -1} {
		m, err := TSNE(t.Context(), x, TSNEOptions{Iterations: 250, ExactUpTo: exact})
		if err != nil {
			t.Fatal(err)
		}
		near, err := Nearest(t.Context(), m.Points, 10, 0)
		if err != nil {
			t.Fatal(err)
		}
		right := 0
		for i := range x.Rows {
			votes := make(map[string]int)
			for _, j := range near.Of(i) {
				votes[species[j]]++
			}
			best := ""
			for s, n := range votes {
				if best == "" || n > votes[best] || n == votes[best] && s < best {
					best = s
				}
			}
			if best == species[i] {
				right++
			}
		}
		if share := float64(right) / float64(x.Rows); share <= 0.95 {
			t.Errorf("exact up to %d: 10 neighbours are right in %.3f", exact, share)
		}
	}
}

func TestTSNEHasOneResult(t *testing.T) {
	for _, exact := range []int{0, -1} {
		var first *Map
		for _, threads := range []int{1, 3, 8} {
			m, err := TSNE(t.Context(), normal(400, 60, 8), TSNEOptions{Threads: threads, ExactUpTo: exact, EarlyIterations: 30, Iterations: 20, Seed: 5})
			if err != nil {
				t.Fatal(err)
			}
			if m.Components != 50 {
				t.Errorf("%d components, want 50", m.Components)
			}
			if first == nil {
				first = m
			} else if !slices.Equal(first.Points.Values, m.Points.Values) || first.KL != m.KL {
				t.Errorf("exact up to %d: %d threads have another picture", exact, threads)
			}
		}
		other, err := TSNE(t.Context(), normal(400, 60, 8), TSNEOptions{ExactUpTo: exact, EarlyIterations: 30, Iterations: 20, Seed: 6})
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(first.Points.Values, other.Points.Values) {
			t.Error("another seed has the same picture")
		}
	}
}

// Points of which some or all are equal have a picture, and few points a perplexity that fits.
func TestTSNEOfOddPoints(t *testing.T) {
	twice := normal(60, 3, 9)
	copy(twice.Values[90:], twice.Values[:90])
	for name, x := range map[string]*Matrix{"equal": NewMatrix(50, 3), "twice": twice, "few": normal(5, 3, 9)} {
		for _, exact := range []int{0, -1} {
			m, err := TSNE(t.Context(), x, TSNEOptions{ExactUpTo: exact})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if firstNotFinite(m.Points.Values) >= 0 || math.IsNaN(m.KL) || m.KL < -1e-9 {
				t.Errorf("%s: KL %g, points %v", name, m.KL, m.Points.Values[:4])
			}
			if most := float64(x.Rows-1) / 3; m.Perplexity != most || len(m.Notes) != 1 || !strings.Contains(m.Notes[0], "too large") {
				t.Errorf("%s: perplexity %g, notes %q, want %g and a note", name, m.Perplexity, m.Notes, most)
			}
		}
	}
}

func TestTSNERefuses(t *testing.T) {
	x := normal(20, 3, 1)
	for name, o := range map[string]TSNEOptions{
		"perplexity": {Perplexity: 1}, "infinity": {Perplexity: math.Inf(1)}, "exaggeration": {Exaggeration: 0.5}, "iterations": {Iterations: -1},
		"rate": {Rate: -1}, "theta": {Theta: 2}, "beginning": {Init: NewMatrix(19, 2)},
		"NaN": {Init: &Matrix{20, 2, append(make([]float64, 39), math.NaN())}},
	} {
		if _, err := TSNE(t.Context(), x, o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	var few *TooFewError
	if _, err := TSNE(t.Context(), normal(4, 3, 1), TSNEOptions{}); !errors.As(err, &few) {
		t.Errorf("4 points: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	calls := 0
	_, err := TSNE(ctx, x, TSNEOptions{Progress: func(done, all int) {
		if calls++; done == 3 {
			cancel(why)
		}
	}})
	if !errors.Is(err, why) || calls != 3 {
		t.Errorf("after %d iterations: %v", calls, err)
	}
}

// The keys are in order whatever the number of parts.
func TestKeysAreSorted(t *testing.T) {
	for _, n := range []int{0, 1, 5, 3000, 20_000} {
		for _, threads := range []int{1, 2, 3, 8} {
			r := &barnesHut{threads: threads, keys: make([]uint64, n)}
			for i, v := range Shuffled(n, 3, 0) {
				r.keys[i] = uint64(v)
			}
			r.sort()
			for i, key := range r.keys {
				if key != uint64(i) {
					t.Fatalf("%d keys on %d threads: key %d is %d", n, threads, i, key)
				}
			}
		}
	}
}
