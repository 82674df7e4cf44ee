package computetest

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-bert/bert/internal/compute"
)

// checkGradient compares grad with the central differences of f at x.
func checkGradient(t *testing.T, name string, f func() float64, x, grad []float64) {
	t.Helper()
	const step, bound = 1e-5, 1e-7
	largest := 1.0
	for _, g := range grad {
		largest = max(largest, math.Abs(g))
	}
	for i := range x {
		at := x[i]
		x[i] = at + step
		up := f()
		x[i] = at - step
		down := f()
		x[i] = at
		if got := (up - down) / (2 * step); !(math.Abs(got-grad[i]) <= bound*largest) {
			t.Errorf("%s: gradient at %d is %g, differences give %g", name, i, grad[i], got)
			return
		}
	}
}

func TestReferenceGradients(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []float64 {
		x := make([]float64, n)
		for i := range x {
			x[i] = rng.NormFloat64()
		}
		return x
	}

	t.Run("linear", func(t *testing.T) {
		const rows, in, out = 3, 4, 5
		x, w, bias, dy := random(rows*in), random(out*in), random(out), random(rows*out)
		f := func() float64 { return dot(dy, linear(x, w, bias, rows, in, out)) }
		checkGradient(t, "x", f, x, linearInputGrad(dy, w, rows, in, out))
		checkGradient(t, "w", f, w, linearWeightGrad(dy, x, rows, in, out))
		checkGradient(t, "bias", f, bias, columnSums(dy, rows, out))
	})
	t.Run("activate", func(t *testing.T) {
		x := random(20)
		for a := compute.Identity; a <= compute.SiLU; a++ {
			f := func() float64 {
				sum := 0.0
				for _, v := range x {
					sum += activate(a, v)
				}
				return sum
			}
			grad := make([]float64, len(x))
			for i, v := range x {
				grad[i] = slope(a, v)
			}
			checkGradient(t, "x", f, x, grad)
		}
	})
	t.Run("layerNorm", func(t *testing.T) {
		const rows, width, eps = 3, 7, 1e-3
		x, gamma, beta, dy := random(rows*width), random(width), random(width), random(rows*width)
		f := func() float64 {
			y, _, _ := layerNorm(x, gamma, beta, eps)
			return dot(dy, y)
		}
		dx, dgamma, dbeta := layerNormGrad(dy, x, gamma, eps)
		checkGradient(t, "x", f, x, dx)
		checkGradient(t, "gamma", f, gamma, dgamma)
		checkGradient(t, "beta", f, beta, dbeta)
	})
	t.Run("attention", func(t *testing.T) {
		s := heads{2, 3, []int{0, 4, 4, 5, 8}}
		qkv, dcontext := random(s.tokens()*3*6), random(s.tokens()*6)
		mask := make([]float64, 2*(16+1+9))
		for i := range mask {
			mask[i] = float64(rng.IntN(2)) * 1.25
		}
		for _, m := range [][]float64{nil, mask} {
			f := func() float64 {
				context, _, _ := attention(s, qkv, m)
				return dot(dcontext, context)
			}
			checkGradient(t, "qkv", f, qkv, attentionGrad(s, qkv, m, dcontext))
		}
	})
	t.Run("losses", func(t *testing.T) {
		x := random(12)
		total := func(losses, _ []float64) float64 {
			sum := 0.0
			for _, l := range losses {
				sum += l
			}
			return sum
		}
		labels, weights := []int32{2, -1, 0}, []float64{0.5, 1, 2}
		soft := []float64{0.1, 0.2, 0.3, 0.4, 0, 0, 0, 0, 0.5, 0, 0.25, 0.25}
		for _, targets := range [][]float64{nil, soft} {
			for _, labels := range [][]int32{nil, labels} {
				_, d := crossEntropy(x, labels, targets, weights, 3, 4)
				checkGradient(t, "crossEntropy", func() float64 { return total(crossEntropy(x, labels, targets, weights, 3, 4)) }, x, d)
			}
		}
		starts := []int{0, 2, 5, 6}
		for column, span := range [][]int32{{1, 7, 0}, {-1, 1, 0}} {
			_, d := spanLoss(x, starts, column, span, weights)
			checkGradient(t, "spanLoss", func() float64 { return total(spanLoss(x, starts, column, span, weights)) }, x, d)
		}
		targets := random(12)
		_, d := binaryCrossEntropy(x, targets, weights, 4)
		checkGradient(t, "binaryCrossEntropy", func() float64 { return total(binaryCrossEntropy(x, targets, weights, 4)) }, x, d)
		weights = random(12)
		_, d = squaredError(x, targets, weights)
		checkGradient(t, "squaredError", func() float64 { return total(squaredError(x, targets, weights)) }, x, d)
	})
}

// TestSteadyAllocations: memory that grows at first is none; an allocation now and then is one.
func TestSteadyAllocations(t *testing.T) {
	runs := 0
	var sink []byte
	at := func(allocates func(run int) bool) float64 {
		runs = 0
		return SteadyAllocations(func() {
			if runs++; allocates(runs) {
				sink = make([]byte, 64)
			}
		})
	}
	if got := at(func(run int) bool { return run < 70 }); got != 0 {
		t.Errorf("of memory that grows in 70 runs: %v", got)
	}
	if got := at(func(run int) bool { return run%15 == 0 }); got == 0 {
		t.Error("one allocation in 15 runs is taken for none")
	}
	_ = sink
}
