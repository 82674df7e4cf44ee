package metric

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// goldens is testdata/goldens.json, which testdata/make_goldens.py writes with scikit-learn. A nil value is undefined.
type goldens struct {
	Classification []struct {
		Name                string
		Classes             int
		Labels, Predictions []int
		Accuracy            float64
		Confusion           [][]int
		Matthews            float64
		PerClass            struct {
			Precision, Recall, F1 []float64
			Support               []int
		} `json:"per_class"`
		Micro, Macro, Weighted struct{ Precision, Recall, F1 float64 }
	}
	Binary []struct {
		Name                                      string
		Labels, Predictions                       []int
		TP, TN, FP, FN                            int
		Precision, Recall, F1, Accuracy, Matthews float64
		AUCHard                                   *float64 `json:"auc_hard"`
	}
	Ranking []struct {
		Name   string
		Labels []int
		Scores []float64
		AUC    *float64
	}
	Correlation []struct {
		Name              string
		X, Y              []float64
		Pearson, Spearman *float64
	}
	Probability []struct {
		Name          string
		Classes       int
		Labels        []int
		Probabilities []float64
		LogLoss       float64 `json:"log_loss"`
		ECE           []struct {
			Bins  int
			Value float64
		}
	}
	MultiLabel []struct {
		Name                string
		Classes             int
		Labels, Predictions []bool
		PerClass            struct {
			Precision, Recall, F1 []float64
			Support               []int
		} `json:"per_class"`
		Micro, Macro, Weighted struct{ Precision, Recall, F1 float64 }
		SubsetAccuracy         float64 `json:"subset_accuracy"`
		HammingLoss            float64 `json:"hamming_loss"`
	}
}

func readGoldens(t *testing.T) goldens {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "goldens.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g goldens
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// tolerance is how far two float64 computations of a metric may be apart, relative to the larger of the value and 1.
const tolerance = 1e-12

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*max(1, math.Abs(want))) {
		t.Errorf("%s is %.17g, want %.17g", what, got, want)
	}
}

// nearOrUndefined takes nil as undefined.
func nearOrUndefined(t *testing.T, what string, got float64, err error, want *float64) {
	t.Helper()
	switch {
	case want == nil && !errors.Is(err, ErrUndefined):
		t.Errorf("%s is %v, %v; want it undefined", what, got, err)
	case want != nil && err != nil:
		t.Errorf("%s: %v", what, err)
	case want != nil:
		near(t, what, got, *want)
	}
}

func TestClassificationAgainstScikitLearn(t *testing.T) {
	for _, c := range readGoldens(t).Classification {
		t.Run(c.Name, func(t *testing.T) {
			accuracy, err := Accuracy(c.Labels, c.Predictions)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "accuracy", accuracy, c.Accuracy)
			m, err := Confusion(c.Labels, c.Predictions, c.Classes)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual([][]int(m), c.Confusion) {
				t.Errorf("confusion matrix %v, want %v", m, c.Confusion)
			}
			near(t, "Matthews", m.Matthews(), c.Matthews)
			r := m.Report()
			near(t, "accuracy of the report", r.Accuracy, c.Accuracy)
			if len(r.Classes) != c.Classes {
				t.Fatalf("%d classes, want %d", len(r.Classes), c.Classes)
			}
			zero := false
			for k, s := range r.Classes {
				near(t, "precision", s.Precision, c.PerClass.Precision[k])
				near(t, "recall", s.Recall, c.PerClass.Recall[k])
				near(t, "F1", s.F1, c.PerClass.F1[k])
				if s.Support != c.PerClass.Support[k] {
					t.Errorf("support %d, want %d", s.Support, c.PerClass.Support[k])
				}
				if s.ZeroDivision != (s.Support == 0 || s.Predicted == 0) {
					t.Errorf("class %d with support %d, predicted %d: ZeroDivision %t", k, s.Support, s.Predicted, s.ZeroDivision)
				}
				zero = zero || s.ZeroDivision
				if b := m.Binary(k); b.Score() != s {
					t.Errorf("class %d: %+v against the rest, %+v in the report", k, b.Score(), s)
				}
			}
			for _, average := range []struct {
				name string
				got  Score
				want struct{ Precision, Recall, F1 float64 }
				zero bool
			}{{"micro", r.Micro, c.Micro, false}, {"macro", r.Macro, c.Macro, zero}, {"weighted", r.Weighted, c.Weighted, zero}} {
				near(t, average.name+" precision", average.got.Precision, average.want.Precision)
				near(t, average.name+" recall", average.got.Recall, average.want.Recall)
				near(t, average.name+" F1", average.got.F1, average.want.F1)
				if n := len(c.Labels); average.got.Support != n || average.got.Predicted != n || average.got.ZeroDivision != average.zero {
					t.Errorf("%s average: %+v, want the support %d and ZeroDivision %t", average.name, average.got, n, average.zero)
				}
			}
		})
	}
}

func TestBinaryAgainstScikitLearn(t *testing.T) {
	for _, c := range readGoldens(t).Binary {
		t.Run(c.Name, func(t *testing.T) {
			b, err := Binary(c.Labels, c.Predictions, 1)
			if err != nil {
				t.Fatal(err)
			}
			if want := (BinaryCounts{TP: c.TP, TN: c.TN, FP: c.FP, FN: c.FN}); b != want {
				t.Errorf("counts %+v, want %+v", b, want)
			}
			near(t, "precision", b.Precision(), c.Precision)
			near(t, "recall", b.Recall(), c.Recall)
			near(t, "F1", b.F1(), c.F1)
			near(t, "accuracy", b.Accuracy(), c.Accuracy)
			near(t, "Matthews", b.Matthews(), c.Matthews)
			auc, err := b.HardAUC()
			nearOrUndefined(t, "AUC of the labels", auc, err, c.AUCHard)
		})
	}
}

func TestRankingAgainstScikitLearn(t *testing.T) {
	for _, c := range readGoldens(t).Ranking {
		t.Run(c.Name, func(t *testing.T) {
			auc, err := AUC(c.Labels, c.Scores, 1)
			nearOrUndefined(t, "AUC", auc, err, c.AUC)
		})
	}
}

func TestCorrelationAgainstSciPy(t *testing.T) {
	for _, c := range readGoldens(t).Correlation {
		t.Run(c.Name, func(t *testing.T) {
			r, err := Pearson(c.X, c.Y)
			nearOrUndefined(t, "Pearson", r, err, c.Pearson)
			r, err = Spearman(c.X, c.Y)
			nearOrUndefined(t, "Spearman", r, err, c.Spearman)
		})
	}
}

func TestProbabilityAgainstScikitLearn(t *testing.T) {
	for _, c := range readGoldens(t).Probability {
		t.Run(c.Name, func(t *testing.T) {
			loss, err := LogLoss(c.Labels, c.Probabilities, c.Classes)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "log loss", loss, c.LogLoss)
			for _, e := range c.ECE {
				ece, err := ECE(c.Labels, c.Probabilities, c.Classes, e.Bins)
				if err != nil {
					t.Fatal(err)
				}
				near(t, "ECE", ece, e.Value)
			}
		})
	}
}

func TestMultiLabelAgainstScikitLearn(t *testing.T) {
	cases := readGoldens(t).MultiLabel
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			r, err := MultiLabel(c.Labels, c.Predictions, c.Classes)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "subset accuracy", r.SubsetAccuracy, c.SubsetAccuracy)
			near(t, "Hamming loss", r.HammingLoss, c.HammingLoss)
			if len(r.Classes) != c.Classes {
				t.Fatalf("%d classes, want %d", len(r.Classes), c.Classes)
			}
			for k, s := range r.Classes {
				near(t, "precision", s.Precision, c.PerClass.Precision[k])
				near(t, "recall", s.Recall, c.PerClass.Recall[k])
				near(t, "F1", s.F1, c.PerClass.F1[k])
				if s.Support != c.PerClass.Support[k] {
					t.Errorf("support of %d is %d, want %d", k, s.Support, c.PerClass.Support[k])
				}
			}
			for _, average := range []struct {
				name string
				got  Score
				want struct{ Precision, Recall, F1 float64 }
			}{{"micro", r.Micro, c.Micro}, {"macro", r.Macro, c.Macro}, {"weighted", r.Weighted, c.Weighted}} {
				near(t, average.name+" precision", average.got.Precision, average.want.Precision)
				near(t, average.name+" recall", average.got.Recall, average.want.Recall)
				near(t, average.name+" F1", average.got.F1, average.want.F1)
			}
		})
	}
}

func TestMultiLabelRefuses(t *testing.T) {
	for _, c := range []struct{ labels, predictions, classes int }{{0, 0, 2}, {4, 4, 0}, {5, 5, 2}, {4, 2, 2}, {0, 0, -1}} {
		if r, err := MultiLabel(make([]bool, c.labels), make([]bool, c.predictions), c.classes); err == nil {
			t.Errorf("%+v: %+v, want an error", c, r)
		}
	}
}
