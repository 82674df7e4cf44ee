package metric

import (
	"errors"
	"fmt"
	"math"
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

// direction is x − x̄ scaled to the length 1, by way of values in [−1, 1] so that no square overflows or vanishes.
func direction(x []float64) ([]float64, error) {
	constant, largest := true, 0.0
	for _, v := range x {
		constant = constant && v == x[0]
		largest = max(largest, math.Abs(v))
	}
	if constant {
		return nil, fmt.Errorf("a correlation needs values that differ, all %d are %g: %w", len(x), x[0], ErrUndefined)
	}
	d := make([]float64, len(x))
	mean := 0.0
	for i, v := range x {
		d[i] = v / largest
		mean += d[i]
	}
	mean /= float64(len(x))
	spread := 0.0
	for i := range d {
		d[i] -= mean
		spread = max(spread, math.Abs(d[i]))
	}
	sum := 0.0
	for i := range d {
		d[i] /= spread
		sum += d[i] * d[i]
	}
	for i := range d {
		d[i] /= math.Sqrt(sum)
	}
	return d, nil
}
