// Package bench measures how fast things are here: runs of a function, the machine's own limits, the kernels at the sizes of
// a model. It is what the command bert bench stands on, which itself knows models and flags but neither devices nor
// instructions.
package bench

import (
	"math"
	"slices"
	"time"
)

// leastRuns is how many runs Time measures, however long they take.
const leastRuns = 3

// Samples are the durations of runs in seconds, the shortest first.
type Samples []float64

// Time runs f for about so long and returns the duration of each run. Runs before them, a tenth of the time and at least
// one, are not counted: they make memory and fill caches.
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
	for begun := time.Now(); len(s) < leastRuns || time.Since(begun) < limit; {
		from := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		s = append(s, time.Since(from).Seconds())
	}
	slices.Sort(s)
	return s, nil
}

// Median is the middle of the samples.
func (s Samples) Median() float64 { return s.Quantile(0.5) }

// Quantile is the value below which a share q of the samples lies, between two samples by a straight line (as in numpy and
// R, type 7). Of no samples it is NaN.
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

// ModelSizes are those of google-research/bert README ("smaller BERT models") and of the paper.
var ModelSizes = []ModelSize{
	{"tiny", 2, 128}, {"mini", 4, 256}, {"small", 4, 512}, {"medium", 8, 512}, {"base", 12, 768}, {"large", 24, 1024},
}

// Heads is the number of attention heads, each 64 wide.
func (s ModelSize) Heads() int { return s.Hidden / 64 }

// Intermediate is the width between the two products of a block.
func (s ModelSize) Intermediate() int { return 4 * s.Hidden }

// ForwardOperations counts the floating-point operations that the encoder needs for one sequence of n tokens that a head
// classifies: two for each multiply-add in the products of the layers and of attention. Of the last layer the head takes the
// first token's row alone, so that beside the keys and values of all tokens only that row counts. Activations, norms,
// embeddings, the pooler and the head are left out, being less than a hundredth. A backward pass has twice as many, two
// products for each of the forward pass.
func ForwardOperations(layers, hidden, intermediate, n int) float64 {
	l, h, i, t := float64(layers), float64(hidden), float64(intermediate), float64(n)
	row := 4*h*h + 2*h*i + 2*t*h // multiply-adds: query, key, value and output; the block's two products; scores and context
	return 2 * ((l-1)*t*row + (t-1)*2*h*h + row)
}
