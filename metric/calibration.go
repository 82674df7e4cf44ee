package metric

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
)

// CalibrationBin is the examples whose confidence is in (From, To], in the first bin also From itself.
type CalibrationBin struct {
	From, To   float64
	Count      int
	Confidence float64 // the mean; NaN of an empty bin
	Accuracy   float64 // the share that is right; NaN of an empty bin
}

// Binning says how the range of confidence is cut into bins.
type Binning uint8

const (
	// UniformBins are of equal width.
	UniformBins Binning = iota
	// QuantileBins hold equal numbers of examples, as far as equal confidences allow: some may be empty.
	QuantileBins
)

// Calibration sorts examples into bins by confidence, the probability of what right says, as scikit-learn's calibration_curve
// does, but with the empty bins.
func Calibration(right []bool, confidence []float64, bins int, binning Binning) ([]CalibrationBin, error) {
	if err := probabilitiesOf(right, confidence); err != nil {
		return nil, err
	}
	if bins <= 0 {
		return nil, fmt.Errorf("%d bins", bins)
	}
	edges := make([]float64, bins+1)
	for i := range edges {
		edges[i] = float64(i) / float64(bins)
	}
	if binning == QuantileBins {
		sorted := slices.Sorted(slices.Values(confidence))
		for i := range edges {
			edges[i] = quantile(sorted, float64(i)/float64(bins))
		}
	}
	out := make([]CalibrationBin, len(edges)-1)
	for i := range out {
		out[i].From, out[i].To = edges[i], edges[i+1]
	}
	inner := edges[1 : len(edges)-1]
	for i, c := range confidence {
		b := &out[sort.SearchFloat64s(inner, c)]
		b.Count++
		b.Confidence += c
		if right[i] {
			b.Accuracy++
		}
	}
	for i := range out {
		b := &out[i]
		b.Confidence /= float64(b.Count)
		b.Accuracy /= float64(b.Count)
	}
	return out, nil
}

// CalibrationError is the mean distance of accuracy and confidence over the bins, weighted by their examples: the ECE.
func CalibrationError(bins []CalibrationBin) float64 {
	sum, n := 0.0, 0
	for _, b := range bins {
		if b.Count > 0 {
			sum += float64(b.Count) * math.Abs(b.Accuracy-b.Confidence)
			n += b.Count
		}
	}
	return sum / float64(n)
}

// Brier is the mean square of what the probabilities of an event are off (Brier 1950), as scikit-learn's brier_score_loss has it.
func Brier(happened []bool, probabilities []float64) (float64, error) {
	if err := probabilitiesOf(happened, probabilities); err != nil {
		return 0, err
	}
	sum := 0.0
	for i, p := range probabilities {
		if happened[i] {
			p = 1 - p
		}
		sum += p * p
	}
	return sum / float64(len(probabilities)), nil
}

func probabilitiesOf(events []bool, p []float64) error {
	switch {
	case len(events) != len(p):
		return fmt.Errorf("%d events but %d probabilities", len(events), len(p))
	case len(p) == 0:
		return errors.New("no examples")
	}
	for i, v := range p {
		if !(v >= 0 && v <= 1) {
			return fmt.Errorf("example %d: %g is not a probability", i, v)
		}
	}
	return nil
}

// quantile interpolates linearly in a sorted list, as NumPy does.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := min(int(at), len(sorted)-1)
	j := min(i+1, len(sorted)-1)
	return sorted[i] + (at-float64(i))*(sorted[j]-sorted[i])
}
