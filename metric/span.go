package metric

import (
	"cmp"
	"math"
	"slices"
)

// Overlap is the number of words that two texts have in common, each as often as it occurs in both.
func Overlap[T comparable](a, b []T) int {
	times := make(map[T]int, len(a))
	for _, x := range a {
		times[x]++
	}
	n := 0
	for _, x := range b {
		if times[x] > 0 {
			times[x]--
			n++
		}
	}
	return n
}

// F1 is the harmonic mean of precision and recall, 0 where both are.
func F1(precision, recall float64) float64 {
	if precision+recall == 0 {
		return 0
	}
	return 2 * precision * recall / (precision + recall)
}

// BestNullThreshold finds the threshold on the odds of N questions having no answer that gives the best sum of scores:
// questions with odds up to it score what their answer scores, those above are said to have none, which is right of those
// that have none. none says of which questions the answer is already that there is none. It is find_best_thresh of
// SQuAD's evaluate-v2.0.py, with −Inf for the threshold that lets no question be answered. Of equal odds, as there, some may count as
// answered and others not.
func BestNullThreshold(scores []float64, answerable, none []bool, odds []float64) (best, threshold float64, err error) {
	for _, n := range []int{len(answerable), len(none), len(odds)} {
		if err := sameLength(len(scores), n, "odds or answers"); err != nil {
			return 0, 0, err
		}
	}
	if err := notNaN(odds, "odds"); err != nil {
		return 0, 0, err
	}
	order, sum := make([]int, len(scores)), 0.0
	for i := range order {
		order[i] = i
		if !answerable[i] {
			sum++
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(odds[a], odds[b]) })
	best, threshold = sum, math.Inf(-1)
	for _, i := range order {
		switch {
		case answerable[i]:
			sum += scores[i]
		case !none[i]:
			sum--
		}
		if sum > best {
			best, threshold = sum, odds[i]
		}
	}
	return best, threshold, nil
}
