package metric

import (
	"errors"
	"math"
	"slices"
)

// TopProbabilities are the classes of the k largest logits [C], the largest first and of equal ones the first class, and their
// probabilities in a softmax over all of them. Only classes of which among says true are taken; nil: all are.
func TopProbabilities(logits []float32, k int, among func(class int) bool) (classes []int, probabilities []float64, err error) {
	most := math.Inf(-1)
	for _, x := range logits {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return nil, nil, errors.New("the logits are not finite")
		}
		most = max(most, float64(x))
	}
	sum := 0.0
	classes = make([]int, 0, k+1)
	for c, x := range logits {
		sum += math.Exp(float64(x) - most)
		if len(classes) == k && (k == 0 || x <= logits[classes[k-1]]) || among != nil && !among(c) {
			continue
		}
		// Behind the equal ones.
		at, _ := slices.BinarySearchFunc(classes, x, func(c int, x float32) int {
			if logits[c] >= x {
				return -1
			}
			return 1
		})
		classes = slices.Insert(classes, at, c)
		classes = classes[:min(len(classes), k)]
	}
	for _, c := range classes {
		probabilities = append(probabilities, math.Exp(float64(logits[c])-most)/sum)
	}
	return classes, probabilities, nil
}
