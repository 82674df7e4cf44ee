package metric

import "fmt"

// A MultiLabelReport is scikit-learn's classification_report of examples that may have any number of C labels.
type MultiLabelReport struct {
	Classes  []Score // of each label, [C]
	Micro    Score   // of the counts of all labels together
	Macro    Score   // mean over the labels
	Weighted Score   // mean over the labels, weighted by Support
	// SubsetAccuracy is the share of examples of which all labels are right; HammingLoss that of the N·C answers that are
	// wrong.
	SubsetAccuracy, HammingLoss float64
}

// MultiLabel compares labels with predictions, both [N,C]: whether example i has label k at i·C+k. The Support of an
// average is the number of labels that all examples have together, Predicted that of the predicted ones.
func MultiLabel(labels, predictions []bool, classes int) (MultiLabelReport, error) {
	var r MultiLabelReport
	if classes <= 0 {
		return r, fmt.Errorf("%d classes", classes)
	}
	if len(labels)%classes != 0 {
		return r, fmt.Errorf("%d labels are no whole number of rows of %d classes", len(labels), classes)
	}
	if err := sameLength(len(labels), len(predictions), "predictions"); err != nil {
		return r, err
	}
	var (
		tp, support, predicted = make([]int, classes), make([]int, classes), make([]int, classes)
		wrong, whole           int
	)
	for at := 0; at < len(labels); at += classes {
		before := wrong
		for k := range classes {
			is, said := labels[at+k], predictions[at+k]
			if is {
				support[k]++
			}
			if said {
				predicted[k]++
			}
			if is && said {
				tp[k]++
			}
			if is != said {
				wrong++
			}
		}
		if wrong == before {
			whole++
		}
	}
	sum := func(counts []int) (n int) {
		for _, c := range counts {
			n += c
		}
		return n
	}
	all, said := sum(support), sum(predicted)
	r = MultiLabelReport{
		Classes:        make([]Score, classes),
		Micro:          score(sum(tp), all, said),
		Macro:          Score{Support: all, Predicted: said},
		Weighted:       Score{Support: all, Predicted: said},
		SubsetAccuracy: ratio(whole, len(labels)/classes),
		HammingLoss:    ratio(wrong, len(labels)),
	}
	for k := range classes {
		s := score(tp[k], support[k], predicted[k])
		r.Classes[k] = s
		r.Macro.add(s, 1/float64(classes))
		r.Weighted.add(s, ratio(s.Support, all))
	}
	return r, nil
}
