package metric

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Pearson is the correlation coefficient of two lists of N finite values:
//
//	Σ (xᵢ−x̄)(yᵢ−ȳ) / √(Σ (xᵢ−x̄)² · Σ (yᵢ−ȳ)²)
//
// In [−1, 1]. It is undefined when all values of a list are equal, so also for N = 1.
func Pearson(x, y []float64) (float64, error) {
	if err := pairs(x, y); err != nil {
		return 0, err
	}
	for i := range x {
		if math.IsInf(x[i], 0) || math.IsInf(y[i], 0) {
			return 0, fmt.Errorf("example %d: (%g, %g) is not finite", i, x[i], y[i])
		}
	}
	return pearson(x, y)
}

// Spearman is the rank correlation coefficient of two lists of N values: Pearson's of their ranks, equal values having the
// mean of their ranks. In [−1, 1]. It is undefined when all values of a list are equal. Values may be infinite, but not NaN.
func Spearman(x, y []float64) (float64, error) {
	if err := pairs(x, y); err != nil {
		return 0, err
	}
	return pearson(ranks(x), ranks(y))
}

func pairs(x, y []float64) error {
	if len(x) != len(y) {
		return fmt.Errorf("lists of %d and %d values cannot be correlated", len(x), len(y))
	}
	if len(x) == 0 {
		return errors.New("no examples")
	}
	if err := notNaN(x, "first value"); err != nil {
		return err
	}
	return notNaN(y, "second value")
}

func pearson(x, y []float64) (float64, error) {
	x, err := direction(x)
	if err != nil {
		return 0, err
	}
	y, err = direction(y)
	if err != nil {
		return 0, err
	}
	dot := 0.0
	for i := range x {
		dot += x[i] * y[i]
	}
	return clamp(dot), nil
}

// direction is x − x̄ scaled to the length 1. On the way values are brought to about 1, so that no square overflows or
// vanishes, by powers of 2, which loses no digit of values far from zero.
func direction(x []float64) ([]float64, error) {
	if differs := slices.ContainsFunc(x, func(v float64) bool { return v != x[0] }); !differs {
		return nil, fmt.Errorf("a correlation needs values that differ, all %d are %g: %w", len(x), x[0], ErrUndefined)
	}
	d := slices.Clone(x)
	normalise(d)
	// Twice, because the first mean is rounded: of values that hardly differ the rest can be as large as they.
	centre(d)
	centre(d)
	normalise(d)
	squares := 0.0
	for _, v := range d {
		squares += v * v
	}
	length := math.Sqrt(squares)
	for i := range d {
		d[i] /= length
	}
	return d, nil
}

// normalise scales d by a power of 2, so that its largest magnitude is in [1/2, 1).
func normalise(d []float64) {
	largest := 0.0
	for _, v := range d {
		largest = max(largest, math.Abs(v))
	}
	_, exponent := math.Frexp(largest)
	for i, v := range d {
		d[i] = math.Ldexp(v, -exponent)
	}
}

func centre(d []float64) {
	mean := 0.0
	for _, v := range d {
		mean += v
	}
	mean /= float64(len(d))
	for i := range d {
		d[i] -= mean
	}
}
