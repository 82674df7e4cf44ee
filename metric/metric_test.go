package metric

import (
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var (
	inf = math.Inf(1)
	nan = math.NaN()
)

// TestRefuses lists input that has no metric, with what the error must say.
func TestRefuses(t *testing.T) {
	one, two := []int{0}, []int{0, 1}
	only := func(_ any, err error) error { return err }
	for _, c := range []struct {
		err  error
		want string
	}{
		{only(Accuracy(two, one)), "2 labels but 1 predictions"},
		{only(Accuracy(nil, nil)), "no examples"},
		{only(Confusion(one, two, 2)), "1 labels but 2 predictions"},
		{only(Confusion(nil, nil, 2)), "no examples"},
		{only(Confusion(one, one, 0)), "0 classes"},
		{only(Confusion(two, []int{0, 2}, 2)), "example 1: prediction 2 is not one of the 2 classes from 0"},
		{only(Confusion([]int{-1}, one, 2)), "example 0: label -1 is not one of the 2 classes from 0"},
		{only(Binary(one, two, 1)), "1 labels but 2 predictions"},
		{only(Binary(nil, nil, 1)), "no examples"},
		{only(AUC(two, []float64{1}, 1)), "2 labels but 1 scores"},
		{only(AUC(nil, nil, 1)), "no examples"},
		{only(AUC(two, []float64{0, nan}, 1)), "example 1: the score is NaN"},
		{only(AUC([]int{0, 0}, []float64{1, 2}, 1)), "AUC needs both classes, none of the 2 examples is positive"},
		{only(AUC([]int{1, 1}, []float64{1, 2}, 1)), "AUC needs both classes, all 2 examples are positive"},
		{only(BinaryCounts{TN: 1, FP: 2}.HardAUC()), "AUC needs both classes, none of the 3 examples is positive"},
		{only(BinaryCounts{TP: 1}.HardAUC()), "AUC needs both classes, all 1 examples are positive"},
		{only(Pearson([]float64{1, 2}, []float64{1})), "lists of 2 and 1 values"},
		{only(Pearson(nil, nil)), "no examples"},
		{only(Pearson([]float64{1, nan}, []float64{1, 2})), "example 1: the first value is NaN"},
		{only(Spearman([]float64{1, 2}, []float64{nan, 2})), "example 0: the second value is NaN"},
		{only(Pearson([]float64{1, 2}, []float64{1, inf})), "example 1: (2, +Inf) is not finite"},
		{only(Pearson([]float64{1}, []float64{2})), "needs values that differ, all 1 are 1"},
		{only(Spearman([]float64{1, 2}, []float64{7, 7})), "needs values that differ, all 2 are 1.5"},
		{only(LogLoss(one, []float64{0.5, 0.5, 1}, 2)), "3 probabilities are no whole number of rows of 2 classes"},
		{only(LogLoss(two, []float64{0.5, 0.5}, 2)), "2 labels but 1 rows of probabilities"},
		{only(LogLoss(nil, nil, 2)), "no examples"},
		{only(LogLoss(one, []float64{1}, 0)), "0 classes"},
		{only(LogLoss([]int{2}, []float64{0.5, 0.5}, 2)), "example 0: label 2"},
		{only(LogLoss(one, []float64{1.5, -0.5}, 2)), "example 0: 1.5 is not a probability"},
		{only(LogLoss(one, []float64{nan, 1}, 2)), "example 0: NaN is not a probability"},
		{only(LogLoss(two, []float64{0.5, 0.5, 0.5, 0.4}, 2)), "example 1: the probabilities sum to 0.9, not 1"},
		{only(ECE(one, []float64{0.5, 0.5}, 2, 0)), "0 bins"},
		{only(ECE([]int{2}, []float64{0.5, 0.5}, 2, 10)), "example 0: label 2"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("error %v, want %q", c.err, c.want)
		}
		undefined := strings.Contains(c.want, "needs")
		if errors.Is(c.err, ErrUndefined) != undefined {
			t.Errorf("%v: is ErrUndefined: %t", c.err, !undefined)
		}
	}
}

// TestInfiniteValues is what the JSON of the goldens cannot say.
func TestInfiniteValues(t *testing.T) {
	auc, err := AUC([]int{0, 0, 1, 1}, []float64{-inf, inf, inf, 0}, 1)
	if err != nil || auc != 0.625 { // of four pairs two are won and one is a tie
		t.Errorf("AUC is %v, %v; want 0.625", auc, err)
	}
	r, err := Spearman([]float64{-inf, 0, inf}, []float64{5, 4, -inf})
	if err != nil || math.Abs(r+1) > tolerance {
		t.Errorf("Spearman is %v, %v; want -1", r, err)
	}
}

// TestPearsonOfNeighbours correlates values that differ in their last bit alone.
func TestPearsonOfNeighbours(t *testing.T) {
	for _, x := range []float64{1, 1.5, math.Nextafter(2, 0), 1e300, 0x1p-1074, -3} {
		up := math.Nextafter(x, inf)
		r, err := Pearson([]float64{x, up, x, up, x}, []float64{0, 1, 0, 1, 0})
		if err != nil || math.Abs(r-1) > tolerance {
			t.Errorf("Pearson next to %g is %v, %v; want 1", x, r, err)
		}
	}
}

// example is a drawn set of labels and what was said of them; scores have ties.
type example struct {
	classes             int
	labels, predictions []int
	scores              []float64
}

func draw(t *rapid.T) example {
	e := example{classes: rapid.IntRange(1, 6).Draw(t, "classes")}
	n := rapid.IntRange(1, 40).Draw(t, "n")
	class := rapid.IntRange(0, e.classes-1)
	e.labels = rapid.SliceOfN(class, n, n).Draw(t, "labels")
	e.predictions = rapid.SliceOfN(class, n, n).Draw(t, "predictions")
	e.scores = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) float64 { return float64(rapid.IntRange(-5, 5).Draw(t, "score")) / 4 }), n, n).Draw(t, "scores")
	return e
}

// TestConfusionProperties: the margins are the counts; nothing depends on the order of the examples or the names of the
// classes; scores lie in [0, 1] and Matthews in [−1, 1]; labels and predictions may change places in Matthews.
func TestConfusionProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := draw(t)
		n := len(e.labels)
		m, err := Confusion(e.labels, e.predictions, e.classes)
		if err != nil {
			t.Fatal(err)
		}
		r := m.Report()
		for _, s := range append(r.Classes, r.Micro, r.Macro, r.Weighted) {
			for _, v := range []float64{s.Precision, s.Recall, s.F1} {
				if !(v >= 0 && v <= 1+tolerance) {
					t.Errorf("score %+v is not in [0, 1]", s)
				}
			}
			if low, high := min(s.Precision, s.Recall), max(s.Precision, s.Recall); s.Support == s.Predicted && s.Support < n && math.Abs(low-high) > tolerance {
				t.Errorf("%+v: as many predicted as there are, but precision is not recall", s)
			}
		}
		if math.Abs(r.Weighted.Recall-r.Accuracy) > tolerance || r.Micro.F1 != r.Accuracy {
			t.Errorf("accuracy %v, weighted recall %v, micro F1 %v", r.Accuracy, r.Weighted.Recall, r.Micro.F1)
		}
		matthews := m.Matthews()
		if !(matthews >= -1 && matthews <= 1) {
			t.Errorf("Matthews is %v", matthews)
		}

		order := rapid.Permutation(indices(n)).Draw(t, "order")
		names := rapid.Permutation(indices(e.classes)).Draw(t, "names")
		labels, predictions := make([]int, n), make([]int, n)
		for i, j := range order {
			labels[i], predictions[i] = names[e.labels[j]], names[e.predictions[j]]
		}
		renamed, err := Confusion(labels, predictions, e.classes)
		if err != nil {
			t.Fatal(err)
		}
		swapped, err := Confusion(e.predictions, e.labels, e.classes)
		if err != nil {
			t.Fatal(err)
		}
		for i := range e.classes {
			for j := range e.classes {
				if m[i][j] != renamed[names[i]][names[j]] || m[i][j] != swapped[j][i] {
					t.Errorf("%v becomes %v with the names %v, and %v turned round", m, renamed, names, swapped)
				}
			}
		}
		for _, other := range []ConfusionMatrix{renamed, swapped} {
			if math.Abs(matthews-other.Matthews()) > tolerance {
				t.Errorf("Matthews %v of %v, but %v of %v", matthews, m, other.Matthews(), other)
			}
		}
	})
}

func indices(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// TestAUCProperties: the definition, pair by pair; turned scores give 1 − AUC, and so does the other class as the positive
// one of two; only the order of scores counts; predictions as scores give HardAUC.
func TestAUCProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := draw(t)
		auc, err := AUC(e.labels, e.scores, 0)
		won, pairs := 0.0, 0.0
		for i := range e.labels {
			for j := range e.labels {
				if e.labels[i] != 0 || e.labels[j] == 0 {
					continue
				}
				pairs++
				switch a, b := e.scores[i], e.scores[j]; {
				case a > b:
					won++
				case a == b:
					won += 0.5
				}
			}
		}
		if pairs == 0 {
			if !errors.Is(err, ErrUndefined) {
				t.Errorf("AUC of one class is %v, %v", auc, err)
			}
			return
		}
		if err != nil || auc != won/pairs {
			t.Fatalf("AUC is %v, %v; of the pairs %v", auc, err, won/pairs)
		}
		turned, monotone, binary, hard := make([]float64, len(e.scores)), make([]float64, len(e.scores)), make([]int, len(e.labels)), make([]float64, len(e.labels))
		for i, s := range e.scores {
			turned[i], monotone[i] = -s, math.Exp(7*s)
			if e.labels[i] != 0 {
				binary[i] = 1
			}
			if e.predictions[i] == 0 {
				hard[i] = 1
			}
		}
		near := func(what string, got float64, err error, want float64) {
			if err != nil || math.Abs(got-want) > tolerance {
				t.Errorf("%s: %v, %v; want %v", what, got, err, want)
			}
		}
		got, err := AUC(e.labels, turned, 0)
		near("turned scores", got, err, 1-auc)
		got, err = AUC(e.labels, monotone, 0)
		near("scores of the same order", got, err, auc)
		got, err = AUC(binary, e.scores, 1)
		near("the other class", got, err, 1-auc)
		counts, err := Binary(e.labels, e.predictions, 0)
		if err != nil {
			t.Fatal(err)
		}
		want, err := counts.HardAUC()
		if err != nil {
			t.Fatal(err)
		}
		got, err = AUC(e.labels, hard, 0)
		near("predictions as scores", got, err, want)
	})
}

// TestCorrelationProperties: symmetric, in [−1, 1], and the same up to the sign when a list is scaled and shifted.
func TestCorrelationProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := draw(t)
		x, y := e.scores, make([]float64, len(e.scores))
		for i := range y {
			y[i] = float64(e.labels[i])
		}
		for name, f := range map[string]func(x, y []float64) (float64, error){"Pearson": Pearson, "Spearman": Spearman} {
			r, err := f(x, y)
			turned, errTurned := f(y, x)
			if errors.Is(err, ErrUndefined) && errors.Is(errTurned, ErrUndefined) {
				continue
			}
			if err != nil || errTurned != nil || r != turned || !(r >= -1 && r <= 1) {
				t.Errorf("%s is %v, %v; turned round %v, %v", name, r, err, turned, errTurned)
			}
			scaled := make([]float64, len(x))
			for i := range x {
				scaled[i] = 3 - 0.5*x[i]
			}
			if got, err := f(scaled, y); err != nil || math.Abs(got+r) > tolerance {
				t.Errorf("%s of 3 − x/2 is %v, %v; want %v", name, got, err, -r)
			}
			if got, err := f(x, x); err != nil || math.Abs(got-1) > tolerance {
				t.Errorf("%s of a list with itself is %v, %v", name, got, err)
			}
		}
	})
}

// TestProbabilityProperties: of two classes with the probabilities p and 1−p, log loss and ECE are in bounds and are the
// same when the classes change names.
func TestProbabilityProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "n")
		labels := rapid.SliceOfN(rapid.IntRange(0, 1), n, n).Draw(t, "labels")
		bins := rapid.IntRange(1, 20).Draw(t, "bins")
		var p, renamed []float64
		var other []int
		largest := 0.0
		for i := range n {
			// Not ½: then the first class is the prediction, whatever it is called.
			q := rapid.Float64Range(0, 0.499).Draw(t, "p")
			p = append(p, q, 1-q)
			renamed = append(renamed, 1-q, q)
			other = append(other, 1-labels[i])
			largest = max(largest, -math.Log(max(0x1p-52, p[2*i+labels[i]])))
		}
		loss, err := LogLoss(labels, p, 2)
		if err != nil || !(loss >= 0 && loss <= largest+tolerance) {
			t.Errorf("log loss %v, %v; want it in [0, %v]", loss, err, largest)
		}
		if got, err := LogLoss(other, renamed, 2); err != nil || math.Abs(got-loss) > tolerance {
			t.Errorf("log loss %v, %v with other names, want %v", got, err, loss)
		}
		ece, err := ECE(labels, p, 2, bins)
		if err != nil || !(ece >= 0 && ece <= 1) {
			t.Errorf("ECE %v, %v; want it in [0, 1]", ece, err)
		}
		if got, err := ECE(other, renamed, 2, bins); err != nil || math.Abs(got-ece) > tolerance {
			t.Errorf("ECE %v, %v with other names, want %v", got, err, ece)
		}
		// One bin: the distance of two means, the least that any bins give.
		if got, err := ECE(labels, p, 2, 1); err != nil || got > ece+tolerance {
			t.Errorf("ECE %v, %v in one bin, %v in %d", got, err, ece, bins)
		}
	})
}
