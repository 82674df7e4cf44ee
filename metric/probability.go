package metric

import (
	"fmt"
	"math"
)

// maxSumError is how far the probabilities of an example may be from 1 in sum: wide enough for a softmax in bfloat16.
const maxSumError = 1e-2

// LogLoss is the mean over the examples of −ln of the probability of the label, the cross-entropy:
//
//	−1/N Σᵢ ln pᵢ[labelᵢ]
//
// probabilities holds C values for each of the N examples, [N,C]. As in scikit-learn they are first brought into
// [2⁻⁵², 1−2⁻⁵²], so that a certain error does not count as infinite, and then divided by their sum.
func LogLoss(labels []int, probabilities []float64, classes int) (float64, error) {
	if err := distributions(labels, probabilities, classes); err != nil {
		return 0, err
	}
	const eps = 0x1p-52
	clip := func(p float64) float64 { return max(eps, min(1-eps, p)) }
	loss := 0.0
	for i, label := range labels {
		row := probabilities[i*classes : (i+1)*classes]
		sum := 0.0
		for _, p := range row {
			sum += clip(p)
		}
		loss -= math.Log(clip(row[label]) / sum)
	}
	return loss / float64(len(labels)), nil
}

// ECE is the expected calibration error (Naeini et al. 2015; Guo et al. 2017, eq. 3): how far confidence and accuracy are
// apart. An example's confidence is its largest probability, its prediction the first class that has it. Of B bins of equal
// width, bin b = ⌈confidence·B⌉ holds the examples with a confidence in ((b−1)/B, b/B]; then
//
//	Σ_b |bin b|/N · |accuracy of bin b − mean confidence of bin b|
//
// probabilities holds C values for each of the N examples, [N,C]. Customary: 15 bins.
func ECE(labels []int, probabilities []float64, classes, bins int) (float64, error) {
	if err := distributions(labels, probabilities, classes); err != nil {
		return 0, err
	}
	if bins <= 0 {
		return 0, fmt.Errorf("%d bins", bins)
	}
	// |bin|·|accuracy − mean confidence| = |number right − sum of the confidences|.
	gaps := make([]float64, bins)
	for i, label := range labels {
		best := i * classes
		for j := best; j < (i+1)*classes; j++ {
			if probabilities[j] > probabilities[best] {
				best = j
			}
		}
		confidence := probabilities[best]
		bin := max(0, min(bins-1, int(math.Ceil(confidence*float64(bins)))-1))
		gaps[bin] -= confidence
		if best == i*classes+label {
			gaps[bin]++
		}
	}
	sum := 0.0
	for _, gap := range gaps {
		sum += math.Abs(gap)
	}
	return sum / float64(len(labels)), nil
}

// distributions checks the labels and the probabilities [N,C] of a metric.
func distributions(labels []int, probabilities []float64, classes int) error {
	if classes <= 0 {
		return fmt.Errorf("%d classes", classes)
	}
	if len(probabilities)%classes != 0 {
		return fmt.Errorf("%d probabilities are no whole number of rows of %d classes", len(probabilities), classes)
	}
	if err := sameLength(len(labels), len(probabilities)/classes, "rows of probabilities"); err != nil {
		return err
	}
	for i, label := range labels {
		if err := inRange(i, label, classes, "label"); err != nil {
			return err
		}
		sum := 0.0
		for _, p := range probabilities[i*classes : (i+1)*classes] {
			if !(p >= 0 && p <= 1) {
				return fmt.Errorf("example %d: %g is not a probability", i, p)
			}
			sum += p
		}
		if math.Abs(sum-1) > maxSumError {
			return fmt.Errorf("example %d: the probabilities sum to %g, not 1", i, sum)
		}
	}
	return nil
}
