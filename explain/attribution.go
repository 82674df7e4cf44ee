package explain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/integrate/quad"
)

// Function is a number that depends on points of D dimensions: for a model, a logit that depends on the embeddings of a text.
// A Function of a model puts the points of a call into batches.
type Function interface {
	// Values is the function at each of the points.
	Values(ctx context.Context, points [][]float64) ([]float64, error)
	// Gradients is Values and the gradient at each of the points, [D].
	Gradients(ctx context.Context, points [][]float64) (values []float64, gradients [][]float64, err error)
}

// Attribution says how much each coordinate of a point adds to a function.
//
// Legend: D dimensions.
type Attribution struct {
	Values []float64 // [D]
	// At and AtBaseline are the function at the point and at the baseline.
	At, AtBaseline float64

	// Of IntegratedGradients. Delta is Σ Values − (At − AtBaseline), which would be 0 if the integral were exact: then the values
	// completely account for the difference. Complete says that it is within the tolerance. Points is the number of points on the
	// path.
	Delta    float64
	Complete bool
	Points   int
}

// Missing is |Delta| as a share of |At − AtBaseline|; 0 where both are 0.
func (a *Attribution) Missing() float64 {
	if a.Delta == 0 {
		return 0
	}
	return math.Abs(a.Delta) / math.Abs(a.At-a.AtBaseline)
}

// IntegratedOptions say how exactly IntegratedGradients integrates. The zero value is good.
type IntegratedOptions struct {
	// Points is the number of points on the path at first; 0: 32. They are doubled, up to MaxPoints (0: 512), until |Delta| is at
	// most the larger of Relative·|At − AtBaseline| (0: 0.01) and Absolute (0: 0.001).
	Points, MaxPoints  int
	Relative, Absolute float64
}

// IntegratedGradients is (x−baseline)·∫ ∇f along the straight path from the baseline to x (Sundararajan, Taly and Yan 2017,
// arXiv:1703.01365), by Gauss and Legendre's points. Where no number of points is within the tolerance, the result is that with the
// smallest Delta. A coordinate that x and the baseline have in common gets exactly 0.
func IntegratedGradients(ctx context.Context, f Function, x, baseline []float64, o IntegratedOptions) (*Attribution, error) {
	o.Points, o.MaxPoints = cmp.Or(o.Points, 32), cmp.Or(o.MaxPoints, 512)
	o.Relative, o.Absolute = cmp.Or(o.Relative, 0.01), cmp.Or(o.Absolute, 1e-3)
	switch {
	case len(x) != len(baseline):
		return nil, fmt.Errorf("a point of %d dimensions and a baseline of %d", len(x), len(baseline))
	case o.Points < 1 || o.MaxPoints < o.Points:
		return nil, fmt.Errorf("%d to %d points on the path, want at least 1, and no fewer at the end", o.Points, o.MaxPoints)
	case !(o.Relative >= 0 && o.Absolute >= 0):
		return nil, fmt.Errorf("tolerances of %v and %v, want positive numbers", o.Relative, o.Absolute)
	}
	ends, err := f.Values(ctx, [][]float64{x, baseline})
	if err != nil {
		return nil, err
	}
	var best *Attribution
	for points := o.Points; ; points = min(2*points, o.MaxPoints) {
		values, err := integrate(ctx, f, x, baseline, points)
		if err != nil {
			return nil, err
		}
		a := &Attribution{Values: values, At: ends[0], AtBaseline: ends[1], Points: points}
		a.Delta = sum(values) - (a.At - a.AtBaseline)
		a.Complete = math.Abs(a.Delta) <= max(o.Relative*math.Abs(a.At-a.AtBaseline), o.Absolute)
		if best == nil || math.Abs(a.Delta) < math.Abs(best.Delta) {
			best = a
		}
		if best.Complete || points >= o.MaxPoints {
			return best, nil
		}
	}
}

// integrate is the attributions with so many points on the path.
func integrate(ctx context.Context, f Function, x, baseline []float64, points int) ([]float64, error) {
	alphas, weights := make([]float64, points), make([]float64, points)
	quad.Legendre{}.FixedLocations(alphas, weights, 0, 1)
	out := make([]float64, len(x))
	for from, chunk := 0, chunkOf(len(x)); from < points; from += chunk {
		path := make([][]float64, min(chunk, points-from))
		for i := range path {
			path[i] = make([]float64, len(x))
			for d, b := range baseline {
				path[i][d] = b + alphas[from+i]*(x[d]-b)
			}
		}
		_, gradients, err := f.Gradients(ctx, path)
		if err != nil {
			return nil, err
		}
		for i, g := range gradients {
			for d, v := range g {
				out[d] += weights[from+i] * v
			}
		}
	}
	for d := range out {
		out[d] *= x[d] - baseline[d]
	}
	return out, nil
}

// chunkOf is how many points of so many dimensions are asked about at once: 64 MB of them.
func chunkOf(dimensions int) int { return max(1, (1<<23)/max(1, dimensions)) }

// GradientTimesInput is x·∇f at x (Shrikumar et al. 2016, arXiv:1605.01713). It is exact for a linear function alone, and has no
// baseline.
func GradientTimesInput(ctx context.Context, f Function, x []float64) (*Attribution, error) {
	a, err := gradient(ctx, f, x)
	if err != nil {
		return nil, err
	}
	for d := range a.Values {
		a.Values[d] *= x[d]
	}
	return a, nil
}

// gradient is the gradient at x.
func gradient(ctx context.Context, f Function, x []float64) (*Attribution, error) {
	values, gradients, err := f.Gradients(ctx, [][]float64{x})
	if err != nil {
		return nil, err
	}
	return &Attribution{Values: slices.Clone(gradients[0]), At: values[0]}, nil
}

// GradientNorms is the length of the gradient at x in each of groups of coordinates (Li et al. 2016, arXiv:1506.01066): how much
// f reacts to the group, whichever way. The norms add up to nothing. Values is [groups].
func GradientNorms(ctx context.Context, f Function, x []float64, groups [][]int) (*Attribution, error) {
	a, err := gradient(ctx, f, x)
	if err != nil {
		return nil, err
	}
	norms := make([]float64, len(groups))
	for g, coordinates := range groups {
		squares := 0.0
		for _, d := range coordinates {
			squares += a.Values[d] * a.Values[d]
		}
		norms[g] = math.Sqrt(squares)
	}
	a.Values = norms
	return a, nil
}

// Occlusion is how much f falls where a group of coordinates takes the values of the baseline (Zeiler and Fergus 2014), for each
// group alone. Values is [groups].
func Occlusion(ctx context.Context, f Function, x, baseline []float64, groups [][]int) (*Attribution, error) {
	if len(x) != len(baseline) {
		return nil, errors.New("the point and the baseline differ in length")
	}
	var values []float64
	for from, chunk := 0, chunkOf(len(x)); from <= len(groups); from += chunk {
		var points [][]float64 // the first is x
		for g := from - 1; g < min(from-1+chunk, len(groups)); g++ {
			p := slices.Clone(x)
			if g >= 0 {
				for _, d := range groups[g] {
					p[d] = baseline[d]
				}
			}
			points = append(points, p)
		}
		some, err := f.Values(ctx, points)
		if err != nil {
			return nil, err
		}
		values = append(values, some...)
	}
	a := &Attribution{Values: make([]float64, len(groups)), At: values[0]}
	for g := range groups {
		a.Values[g] = values[0] - values[g+1]
	}
	return a, nil
}
