package metric

import (
	"math"
	"slices"
)

// OperatingPoint counts the examples of a question whose answer is yes where a score is at least Threshold.
type OperatingPoint struct {
	Threshold float64
	BinaryCounts
}

// FalsePositiveRate is FP/(FP+TN), 0 if nothing is negative.
func (p OperatingPoint) FalsePositiveRate() float64 { return ratio(p.FP, p.FP+p.TN) }

// OperatingPoints are the points of the ROC curve and of the curve of precision and recall: one for each distinct score, the
// highest first, after one at +Inf that no example reaches. Scores may be infinite, but not NaN.
//
// The ROC curve goes through (FalsePositiveRate, Recall). Precision is 0/0 at the first point, which counts as 0 here and as 1 in
// scikit-learn's precision_recall_curve.
func OperatingPoints(labels []int, scores []float64, positive int) ([]OperatingPoint, error) {
	if err := sameLength(len(labels), len(scores), "scores"); err != nil {
		return nil, err
	}
	if err := notNaN(scores, "score"); err != nil {
		return nil, err
	}
	all := 0
	for _, label := range labels {
		if label == positive {
			all++
		}
	}
	at := BinaryCounts{TP: all, FP: len(labels) - all}
	var points []OperatingPoint
	ties(scores, func(tied []int) {
		points = append(points, OperatingPoint{scores[tied[0]], at})
		for _, i := range tied {
			if labels[i] == positive {
				at.TP--
				at.FN++
			} else {
				at.FP--
				at.TN++
			}
		}
	})
	points = append(points, OperatingPoint{math.Inf(1), at})
	slices.Reverse(points)
	return points, nil
}

// AveragePrecision is the area under the steps of the curve of precision and recall, as scikit-learn's average_precision_score:
//
//	Σₙ (Rₙ − Rₙ₋₁)·Pₙ
//
// over the points of OperatingPoints. It needs examples of both classes.
func AveragePrecision(points []OperatingPoint) (float64, error) {
	if len(points) == 0 {
		return 0, ErrUndefined
	}
	last := points[len(points)-1]
	if err := bothClasses(last.TP, last.FP); err != nil {
		return 0, err
	}
	area, before := 0.0, 0
	for _, p := range points {
		area += float64(p.TP-before) / float64(last.TP) * p.Precision()
		before = p.TP
	}
	return area, nil
}
