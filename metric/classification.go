package metric

import (
	"fmt"
	"math"
)

// A ConfusionMatrix counts the N examples by label and prediction: m[label][prediction], [C,C].
type ConfusionMatrix [][]int

// Confusion counts labels and predictions, both in [0, classes).
func Confusion(labels, predictions []int, classes int) (ConfusionMatrix, error) {
	if err := sameLength(len(labels), len(predictions), "predictions"); err != nil {
		return nil, err
	}
	if classes <= 0 {
		return nil, fmt.Errorf("%d classes", classes)
	}
	m := make(ConfusionMatrix, classes)
	for i := range m {
		m[i] = make([]int, classes)
	}
	for i, label := range labels {
		if err := inRange(i, label, classes, "label"); err != nil {
			return nil, err
		}
		if err := inRange(i, predictions[i], classes, "prediction"); err != nil {
			return nil, err
		}
		m[label][predictions[i]]++
	}
	return m, nil
}

// sums returns the examples of each label and of each prediction [C], how many are right, and N.
func (m ConfusionMatrix) sums() (support, predicted []int, right, n int) {
	support, predicted = make([]int, len(m)), make([]int, len(m))
	for i, row := range m {
		for j, count := range row {
			support[i] += count
			predicted[j] += count
			n += count
		}
		right += row[i]
	}
	return support, predicted, right, n
}

// Binary counts the matrix as a question about one class, in [0, C): is an example of class positive or not?
func (m ConfusionMatrix) Binary(positive int) BinaryCounts {
	support, predicted, _, n := m.sums()
	tp := m[positive][positive]
	fn, fp := support[positive]-tp, predicted[positive]-tp
	return BinaryCounts{TP: tp, FP: fp, FN: fn, TN: n - tp - fp - fn}
}

// Matthews is the correlation of labels and predictions over C classes (Gorodkin 2004; for two classes Matthews 1975):
//
//	(c·N − Σ pₖtₖ) / √((N² − Σ pₖ²)(N² − Σ tₖ²))
//
// with c right predictions, tₖ examples of class k and pₖ predictions of class k. In [−1, 1]; 0 where the formula is 0/0:
// all labels, or all predictions, are of one class.
func (m ConfusionMatrix) Matthews() float64 {
	t, p, right, n := m.sums()
	N := float64(n)
	tp, tt, pp := float64(right)*N, N*N, N*N
	for k := range t {
		tp -= float64(t[k]) * float64(p[k])
		tt -= float64(t[k]) * float64(t[k])
		pp -= float64(p[k]) * float64(p[k])
	}
	if tt == 0 || pp == 0 {
		return 0
	}
	return clamp(tp / math.Sqrt(tt) / math.Sqrt(pp))
}

// A Score is how well a class, or an average class, is recognised.
type Score struct {
	Precision float64 // TP/(TP+FP): the share of right ones among those predicted
	Recall    float64 // TP/(TP+FN): the share of those found among those there
	F1        float64 // 2TP/(2TP+FP+FN): the harmonic mean of the two
	Support   int     // examples with this label: TP+FN; of an average N
	Predicted int     // examples with this prediction: TP+FP; of an average N

	// ZeroDivision is true when a value that is 0/0 was counted as 0: the class is never predicted (Predicted is 0: no
	// precision), has no example (Support is 0: no recall), or both (no F1). Of a macro or weighted average: in some class.
	ZeroDivision bool
}

// A Report is scikit-learn's classification_report over all C classes, those without examples included.
type Report struct {
	Classes  []Score // [C]
	Micro    Score   // of the counts of all classes together; with one label an example all three are the accuracy
	Macro    Score   // mean over the classes
	Weighted Score   // mean over the classes, weighted by Support
	Accuracy float64
}

// Report computes the scores of each class and their averages.
func (m ConfusionMatrix) Report() Report {
	support, predicted, right, n := m.sums()
	r := Report{
		Classes:  make([]Score, len(m)),
		Micro:    score(right, n, n),
		Macro:    Score{Support: n, Predicted: n},
		Weighted: Score{Support: n, Predicted: n},
		Accuracy: ratio(right, n),
	}
	for k := range m {
		s := score(m[k][k], support[k], predicted[k])
		r.Classes[k] = s
		r.Macro.add(s, 1/float64(len(m)))
		r.Weighted.add(s, ratio(s.Support, n))
	}
	return r
}

func score(tp, support, predicted int) Score {
	return Score{
		Precision:    ratio(tp, predicted),
		Recall:       ratio(tp, support),
		F1:           ratio(2*tp, support+predicted),
		Support:      support,
		Predicted:    predicted,
		ZeroDivision: support == 0 || predicted == 0,
	}
}

// add takes the score of a class into an average.
func (s *Score) add(class Score, weight float64) {
	s.Precision += weight * class.Precision
	s.Recall += weight * class.Recall
	s.F1 += weight * class.F1
	s.ZeroDivision = s.ZeroDivision || class.ZeroDivision
}

// BinaryCounts counts the N examples of a question with the answers positive and negative.
type BinaryCounts struct {
	TP int // positive, predicted positive
	TN int // negative, predicted negative
	FP int // negative, predicted positive
	FN int // positive, predicted negative
}

// Binary counts labels and predictions, where the class positive is one answer and every other class is the other.
func Binary(labels, predictions []int, positive int) (BinaryCounts, error) {
	var c BinaryCounts
	if err := sameLength(len(labels), len(predictions), "predictions"); err != nil {
		return c, err
	}
	for i, label := range labels {
		switch is, said := label == positive, predictions[i] == positive; {
		case is && said:
			c.TP++
		case is:
			c.FN++
		case said:
			c.FP++
		default:
			c.TN++
		}
	}
	return c, nil
}

// Score is the score of the positive class.
func (c BinaryCounts) Score() Score { return score(c.TP, c.TP+c.FN, c.TP+c.FP) }

// Precision is TP/(TP+FP), 0 if nothing was predicted positive.
func (c BinaryCounts) Precision() float64 { return c.Score().Precision }

// Recall is TP/(TP+FN), 0 if nothing is positive.
func (c BinaryCounts) Recall() float64 { return c.Score().Recall }

// F1 is 2TP/(2TP+FP+FN), 0 if nothing is positive nor was predicted so.
func (c BinaryCounts) F1() float64 { return c.Score().F1 }

// Accuracy is (TP+TN)/N, 0 without examples.
func (c BinaryCounts) Accuracy() float64 { return ratio(c.TP+c.TN, c.TP+c.TN+c.FP+c.FN) }

// Matthews is the Matthews correlation coefficient, as [ConfusionMatrix.Matthews].
func (c BinaryCounts) Matthews() float64 {
	return ConfusionMatrix{{c.TN, c.FP}, {c.FN, c.TP}}.Matthews()
}

// HardAUC is the area under the ROC curve when the predicted labels themselves, 0 and 1, are the scores:
//
//	(TP/(TP+FN) + TN/(TN+FP)) / 2
//
// the balanced accuracy. It needs examples of both classes.
func (c BinaryCounts) HardAUC() (float64, error) {
	if err := bothClasses(c.TP+c.FN, c.TN+c.FP); err != nil {
		return 0, err
	}
	return (ratio(c.TP, c.TP+c.FN) + ratio(c.TN, c.TN+c.FP)) / 2, nil
}

func clamp(r float64) float64 { return max(-1, min(1, r)) }
