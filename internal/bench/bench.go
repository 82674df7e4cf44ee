// Package bench measures the speed of functions, the limits of the machine, and the kernels at the sizes of a model. The command
// bert bench is built on it; that command deals with models and flags, but not with devices or instructions.
package bench

import (
	"math"
	"slices"
	"time"
)

// minRuns is the minimal number of runs that are measured, however long they take.
const minRuns = 3

// Samples are the durations of runs in seconds, the shortest first.
type Samples []float64

// Time runs f repeatedly, for about the time limit, and returns the duration of each run. Warm-up runs, for a tenth of the limit
// and at least one, are not counted: they allocate memory and fill caches.
func Time(limit time.Duration, f func() error) (Samples, error) {
	for begun := time.Now(); ; {
		if err := f(); err != nil {
			return nil, err
		}
		if time.Since(begun) >= limit/10 {
			break
		}
	}
	var s Samples
	for begun := time.Now(); len(s) < minRuns || time.Since(begun) < limit; {
		from := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		s = append(s, time.Since(from).Seconds())
	}
	slices.Sort(s)
	return s, nil
}

// Median returns the median of the samples.
func (s Samples) Median() float64 { return s.Quantile(0.5) }

// Quantile returns the q-quantile of the samples, interpolated linearly (as in numpy and R, type 7), or NaN if there are none.
func (s Samples) Quantile(q float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	at := min(max(q, 0), 1) * float64(len(s)-1)
	i := min(int(at), len(s)-1)
	j := min(i+1, len(s)-1)
	return s[i] + (at-float64(i))*(s[j]-s[i])
}

// ModelSize is a published size of the model.
type ModelSize struct {
	Name           string
	Layers, Hidden int
}

// ModelSizes are the sizes in the README of google-research/bert ("smaller BERT models") and in the paper.
var ModelSizes = []ModelSize{
	{"tiny", 2, 128}, {"mini", 4, 256}, {"small", 4, 512}, {"medium", 8, 512}, {"base", 12, 768}, {"large", 24, 1024},
}

// Heads returns the number of attention heads, each of width 64.
func (s ModelSize) Heads() int { return s.Hidden / 64 }

// Intermediate returns the width between the two products of a feed-forward network.
func (s ModelSize) Intermediate() int { return 4 * s.Hidden }

// ForwardOperations returns the number of floating-point operations of the encoder for classifying one sequence of n tokens: two
// for each multiply-add in the products of the layers and of attention. The head needs only the first row of the last layer, so
// that layer counts the keys and values of all tokens and otherwise only that row. Activations, norms, embeddings, the pooler and
// the head, which are less than a hundredth, are not counted. A backward pass takes twice as many: two products for each one of
// the forward pass.
// widths are those of the attention of each layer, of all its heads together.
func ForwardOperations(widths []int, hidden, intermediate, n int) float64 {
	h, i, t := float64(hidden), float64(intermediate), float64(n)
	sum := 0.0
	for l, width := range widths {
		w := float64(width)
		row := 4*h*w + 2*h*i + 2*t*w // multiply-adds: query, key, value and output; the block's two products; scores and context
		if l < len(widths)-1 {
			sum += t * row
		} else {
			sum += (t-1)*2*h*w + row
		}
	}
	return 2 * sum
}
