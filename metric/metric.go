// Package metric turns labels, predictions and scores into the numbers that evaluations report, and lists them by name
// ([Metrics]).
//
// Labels and predicted labels are class numbers from 0. Where a formula is 0/0 the conventions are those of scikit-learn:
// precision, recall, F1 and the Matthews coefficient count as 0; a correlation, or an area under a curve, that does not
// exist is an error that wraps [ErrUndefined]. All sums over examples of whole numbers are exact.
//
// Dimensions: N examples, C classes.
package metric

import (
	"errors"
	"fmt"
	"math"
)

// ErrUndefined says that the input is well-formed but the metric has no value for it.
var ErrUndefined = errors.New("the metric is undefined")

// Accuracy is the share of the N examples whose prediction is the label.
func Accuracy(labels, predictions []int) (float64, error) {
	if err := sameLength(len(labels), len(predictions), "predictions"); err != nil {
		return 0, err
	}
	right := 0
	for i, label := range labels {
		if predictions[i] == label {
			right++
		}
	}
	return ratio(right, len(labels)), nil
}

// sameLength checks that there are labels, and as many of what.
func sameLength(labels, others int, what string) error {
	switch {
	case labels != others:
		return fmt.Errorf("%d labels but %d %s", labels, others, what)
	case labels == 0:
		return errors.New("no examples")
	}
	return nil
}

// inRange checks the class number of example i.
func inRange(i, class, classes int, what string) error {
	if class < 0 || class >= classes {
		return fmt.Errorf("example %d: %s %d is not one of the %d classes from 0", i, what, class, classes)
	}
	return nil
}

// notNaN checks the values of a list.
func notNaN(values []float64, what string) error {
	for i, v := range values {
		if math.IsNaN(v) {
			return fmt.Errorf("example %d: the %s is NaN", i, what)
		}
	}
	return nil
}

// ratio is a/b, and 0 for 0/0.
func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}
