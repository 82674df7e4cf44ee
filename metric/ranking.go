package metric

import (
	"cmp"
	"fmt"
	"slices"
)

// AUC is the area under the ROC curve: the probability that an example of class positive has a higher score than one of
// another class, ties counting half. From the rank statistic (Hanley & McNeil 1982), so exact, in O(N log N).
// It needs examples of both classes. Scores may be infinite, but not NaN.
func AUC(labels []int, scores []float64, positive int) (float64, error) {
	if err := sameLength(len(labels), len(scores), "scores"); err != nil {
		return 0, err
	}
	if err := notNaN(scores, "score"); err != nil {
		return 0, err
	}
	// won counts twice the pairs in which the positive example has the higher score, and once those in which they tie.
	positives, negatives, won := 0, 0, int64(0)
	ties(scores, func(tied []int) {
		p := 0
		for _, i := range tied {
			if labels[i] == positive {
				p++
			}
		}
		n := len(tied) - p
		won += int64(p) * int64(2*negatives+n)
		positives += p
		negatives += n
	})
	if err := bothClasses(positives, negatives); err != nil {
		return 0, err
	}
	return float64(won) / 2 / (float64(positives) * float64(negatives)), nil
}

func bothClasses(positives, negatives int) error {
	switch {
	case positives == 0:
		return fmt.Errorf("AUC needs both classes, none of the %d examples is positive: %w", negatives, ErrUndefined)
	case negatives == 0:
		return fmt.Errorf("AUC needs both classes, all %d examples are positive: %w", positives, ErrUndefined)
	}
	return nil
}

// ties calls group with the indices of each set of equal values, the smallest value first.
func ties(values []float64, group func(tied []int)) {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	for len(order) > 0 {
		n := 1
		for n < len(order) && values[order[n]] == values[order[0]] {
			n++
		}
		group(order[:n])
		order = order[n:]
	}
}

// ranks are the ranks of values from 1; equal values have the mean of their ranks.
func ranks(values []float64) []float64 {
	r := make([]float64, len(values))
	below := 0
	ties(values, func(tied []int) {
		for _, i := range tied {
			r[i] = float64(below) + float64(len(tied)+1)/2
		}
		below += len(tied)
	})
	return r
}
