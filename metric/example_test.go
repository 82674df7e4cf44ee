package metric_test

import (
	"fmt"

	"github.com/go-bert/bert/metric"
)

func ExampleConfusionMatrix_Report() {
	labels := []int{0, 0, 0, 1, 1, 2}
	predictions := []int{0, 0, 1, 1, 1, 0}
	m, err := metric.Confusion(labels, predictions, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	r := m.Report()
	for class, s := range r.Classes {
		fmt.Printf("%d  precision %.3f  recall %.3f  F1 %.3f  of %d\n", class, s.Precision, s.Recall, s.F1, s.Support)
	}
	fmt.Printf("macro F1 %.3f, accuracy %.3f, Matthews %.3f\n", r.Macro.F1, r.Accuracy, m.Matthews())
	// Output:
	// 0  precision 0.667  recall 0.667  F1 0.667  of 3
	// 1  precision 0.667  recall 1.000  F1 0.800  of 2
	// 2  precision 0.000  recall 0.000  F1 0.000  of 1
	// macro F1 0.489, accuracy 0.667, Matthews 0.452
}

func ExampleAUC() {
	labels := []int{1, 0, 1, 0, 1}
	probabilities := []float64{0.9, 0.4, 0.6, 0.6, 0.3}
	auc, err := metric.AUC(labels, probabilities, 1)
	fmt.Printf("%.4f %v\n", auc, err)
	// Output: 0.5833 <nil>
}
