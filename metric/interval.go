package metric

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Interval is where a number is with a confidence of 95 %.
type Interval struct{ Low, High float64 }

// z95 is the quantile of the normal distribution at 0.975.
const z95 = 1.959963984540054

// Wilson is the interval of a share of which hits of n were seen (Wilson 1927): 8 of 10 give 0.490 to 0.943. Of nothing it is 0
// to 1.
func Wilson(hits, n int) Interval {
	if n <= 0 {
		return Interval{0, 1}
	}
	N, p := float64(n), max(0, min(1, float64(hits)/float64(n)))
	centre := (p + z95*z95/(2*N)) / (1 + z95*z95/N)
	half := z95 / (1 + z95*z95/N) * math.Sqrt(p*(1-p)/N+z95*z95/(4*N*N))
	return Interval{max(0, centre-half), min(1, centre+half)}
}

// Resamples is how often Bootstrap draws.
const Resamples = 1000

// Bootstrap is the interval of a number that is computed from n examples: the 2.5th to the 97.5th of 100 parts of what it is for
// Resamples draws of n examples with replacement (Efron 1979). of computes it; times[i] is how often example i was drawn. Draws for
// which it is NaN don't count; if that are more than half, the interval is NaN. The same seed draws the same.
func Bootstrap(n int, seed uint64, of func(times []int) float64) Interval {
	var (
		random = rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
		times  = make([]int, n)
		values []float64
	)
	for range Resamples {
		clear(times)
		for range n {
			times[random.IntN(n)]++
		}
		if v := of(times); !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	if 2*len(values) < Resamples {
		return Interval{math.NaN(), math.NaN()}
	}
	slices.Sort(values)
	return Interval{quantile(values, 0.025), quantile(values, 0.975)}
}
