package task

import "math"

// logProbabilities returns the logarithms of the classes' probabilities, those of several windows being the mean of
// theirs, and the class that has the largest, the first of equal ones.
func logProbabilities(windows [][]float32) (log []float64, best int) {
	if len(windows) == 1 {
		return logSoftmax(windows[0])
	}
	for _, logits := range windows {
		l, _ := logSoftmax(logits)
		if log == nil {
			log = make([]float64, len(l))
		}
		for i, x := range l {
			log[i] += math.Exp(x) / float64(len(windows))
		}
	}
	for i, p := range log {
		log[i] = math.Log(p)
		if log[i] > log[best] {
			best = i
		}
	}
	return log, best
}

// meanLogits are the logits of an input, those of several windows being the mean of theirs.
func meanLogits(windows [][]float32) []float32 {
	if len(windows) == 1 {
		return windows[0]
	}
	mean := make([]float32, len(windows[0]))
	for i := range mean {
		sum := 0.0
		for _, logits := range windows {
			sum += float64(logits[i])
		}
		mean[i] = float32(sum / float64(len(windows)))
	}
	return mean
}

// logSoftmax returns the logarithms of the classes' probabilities and the class that has the largest, the first of equal
// ones.
func logSoftmax(logits []float32) (logProbabilities []float64, best int) {
	for i, x := range logits {
		if x > logits[best] {
			best = i
		}
	}
	top := float64(logits[best])
	sum := 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x) - top)
	}
	logProbabilities = make([]float64, len(logits))
	for i, x := range logits {
		logProbabilities[i] = float64(x) - top - math.Log(sum)
	}
	return logProbabilities, best
}
