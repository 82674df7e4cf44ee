package metric

import (
	"math"
	"slices"
	"testing"
)

func TestTopProbabilities(t *testing.T) {
	logits := []float32{1, 3, -2, 3, 0}
	sum := 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x))
	}
	for k, want := range [][]int{{}, {1}, {1, 3}, {1, 3, 0}, {1, 3, 0, 4}, {1, 3, 0, 4, 2}, {1, 3, 0, 4, 2}} {
		classes, probabilities, err := TopProbabilities(logits, k, nil)
		if err != nil || !slices.Equal(classes, want) {
			t.Fatalf("the top %d are %v, %v, want %v", k, classes, err, want)
		}
		for i, c := range classes {
			if p := math.Exp(float64(logits[c])) / sum; math.Abs(probabilities[i]-p) > 1e-15 {
				t.Errorf("the probability of %d is %v, want %v", c, probabilities[i], p)
			}
		}
	}
	// Classes that are left out count in the sum all the same.
	classes, probabilities, err := TopProbabilities(logits, 2, func(c int) bool { return c != 1 })
	if p := math.Exp(3) / sum; err != nil || !slices.Equal(classes, []int{3, 0}) || math.Abs(probabilities[0]-p) > 1e-15 {
		t.Errorf("without class 1: %v %v, %v", classes, probabilities, err)
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		if _, _, err := TopProbabilities([]float32{0, float32(bad)}, 1, nil); err == nil {
			t.Errorf("a logit of %v is taken", bad)
		}
	}
}
