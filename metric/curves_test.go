package metric

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// curveGolden is a case of testdata/curves.json, which testdata/make_curves.py writes with scikit-learn.
type curveGolden struct {
	Name                 string
	Labels               []int
	Scores               []float64
	FPR, TPR, Thresholds []*float64
	Precision, Recall    []float64
	PRThresholds         []float64 `json:"pr_thresholds"`
	AUC                  float64
	AveragePrecision     float64 `json:"average_precision"`
	Brier                *float64
	Uniform, Quantile    *struct{ Accuracy, Confidence []float64 }
}

func TestCurvesAgainstScikitLearn(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "curves.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []curveGolden
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) { checkCurves(t, &c) })
	}
}

func checkCurves(t *testing.T, c *curveGolden) {
	points, err := OperatingPoints(c.Labels, c.Scores, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(points) != len(c.FPR) {
		t.Fatalf("%d points, want %d", len(points), len(c.FPR))
	}
	for i, p := range points {
		near(t, "false positive rate", p.FalsePositiveRate(), *c.FPR[i])
		near(t, "true positive rate", p.Recall(), *c.TPR[i])
		if i == 0 && !math.IsInf(p.Threshold, 1) || i > 0 && p.Threshold != *c.Thresholds[i] {
			t.Errorf("threshold %d is %v", i, p.Threshold)
		}
	}
	// scikit-learn lists the points of precision and recall from the lowest threshold on, and ends with precision 1.
	for i, threshold := range c.PRThresholds {
		p := points[len(points)-1-i]
		if p.Threshold != threshold {
			t.Errorf("threshold %d of precision and recall is %v, want %v", i, p.Threshold, threshold)
		}
		near(t, "precision", p.Precision(), c.Precision[i])
		near(t, "recall", p.Recall(), c.Recall[i])
	}
	ap, err := AveragePrecision(points)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "average precision", ap, c.AveragePrecision)
	if c.Brier == nil {
		return
	}
	happened := make([]bool, len(c.Labels))
	for i, l := range c.Labels {
		happened[i] = l == 1
	}
	brier, err := Brier(happened, c.Scores)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "Brier score", brier, *c.Brier)
	for binning, want := range map[Binning]*struct{ Accuracy, Confidence []float64 }{UniformBins: c.Uniform, QuantileBins: c.Quantile} {
		bins, err := Calibration(happened, c.Scores, 7, binning)
		if err != nil {
			t.Fatal(err)
		}
		at, n := 0, 0
		for _, b := range bins {
			n += b.Count
			if b.Count == 0 { // scikit-learn leaves empty bins out
				continue
			}
			if at == len(want.Accuracy) {
				t.Fatalf("binning %d: more than %d bins have examples", binning, at)
			}
			near(t, "accuracy of a bin", b.Accuracy, want.Accuracy[at])
			near(t, "confidence of a bin", b.Confidence, want.Confidence[at])
			at++
		}
		if at != len(want.Accuracy) || n != len(c.Labels) {
			t.Errorf("binning %d: %d bins with %d examples, want %d with %d", binning, at, n, len(want.Accuracy), len(c.Labels))
		}
	}
}

// The area under the points is AUC, whatever the scores.
func TestOperatingPointsAgreeWithAUC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 40).Draw(t, "n")
		labels, scores := make([]int, n), make([]float64, n)
		for i := range labels {
			labels[i], scores[i] = rapid.IntRange(0, 1).Draw(t, "label"), float64(rapid.IntRange(-4, 4).Draw(t, "score"))
		}
		points, err := OperatingPoints(labels, scores, 1)
		if err != nil {
			t.Fatal(err)
		}
		area := 0.0
		for i, p := range points {
			if p.TP+p.FP+p.TN+p.FN != n {
				t.Fatalf("point %d counts %+v, want %d examples", i, p, n)
			}
			if i > 0 {
				area += float64(p.FP-points[i-1].FP) * float64(p.TP+points[i-1].TP) / 2
			}
		}
		last := points[len(points)-1]
		want, err := AUC(labels, scores, 1)
		if err != nil {
			return // examples of one class
		}
		if got := area / float64(last.TP) / float64(last.FP); math.Abs(got-want) > 1e-12 {
			t.Errorf("the area is %v, AUC %v", got, want)
		}
	})
}

// The error of calibration in bins is ECE.
func TestCalibrationErrorIsECE(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 50).Draw(t, "n")
		labels, p := make([]int, n), make([]float64, 2*n)
		right, confidence := make([]bool, n), make([]float64, n)
		for i := range labels {
			// In the middle between the edges of bins, so that rounding decides nothing.
			labels[i], p[2*i] = rapid.IntRange(0, 1).Draw(t, "label"), (float64(rapid.IntRange(0, 29).Draw(t, "share"))+0.25)/30
			p[2*i+1] = 1 - p[2*i]
			best := 0
			if p[2*i+1] > p[2*i] {
				best = 1
			}
			right[i], confidence[i] = best == labels[i], p[2*i+best]
		}
		want, err := ECE(labels, p, 2, 15)
		if err != nil {
			t.Fatal(err)
		}
		bins, err := Calibration(right, confidence, 15, UniformBins)
		if err != nil {
			t.Fatal(err)
		}
		if got := CalibrationError(bins); math.Abs(got-want) > 1e-12 {
			t.Errorf("the error is %v, ECE %v", got, want)
		}
	})
}

func TestWilson(t *testing.T) {
	// 8 of 10 give .490 to .943 (Wilson 1927, by statsmodels' proportion_confint).
	i := Wilson(8, 10)
	if math.Abs(i.Low-0.4901625) > 1e-7 || math.Abs(i.High-0.9433178) > 1e-7 {
		t.Errorf("8 of 10: %+v", i)
	}
	for _, c := range [][2]int{{0, 5}, {5, 5}, {1, 100}} {
		i, p := Wilson(c[0], c[1]), float64(c[0])/float64(c[1])
		if !(i.Low >= 0 && i.High <= 1 && i.Low <= p && p <= i.High && i.Low < i.High) {
			t.Errorf("%d of %d: %+v", c[0], c[1], i)
		}
	}
	if i := Wilson(0, 0); i != (Interval{0, 1}) {
		t.Errorf("of nothing: %+v", i)
	}
}

// The interval of a mean is about ±1.96 standard errors, is the same for the same seed, and there is none of what is never a
// number.
func TestBootstrap(t *testing.T) {
	const n = 400
	values := make([]float64, n)
	for i := range values {
		values[i] = float64(i % 10)
	}
	mean := func(times []int) float64 {
		sum, count := 0.0, 0
		for i, k := range times {
			sum += float64(k) * values[i]
			count += k
		}
		if count != n {
			t.Fatalf("%d examples were drawn, want %d", count, n)
		}
		return sum / n
	}
	i := Bootstrap(n, 1, mean)
	half := 1.96 * math.Sqrt(8.25/n) // the variance of 0 … 9 is 8.25
	if math.Abs(i.Low-(4.5-half)) > 0.05 || math.Abs(i.High-(4.5+half)) > 0.05 {
		t.Errorf("%+v, want 4.5 ± %.3f", i, half)
	}
	if again := Bootstrap(n, 1, mean); again != i {
		t.Errorf("the same seed gives %+v and %+v", i, again)
	}
	if none := Bootstrap(n, 1, func([]int) float64 { return math.NaN() }); !math.IsNaN(none.Low) {
		t.Errorf("of no numbers: %+v", none)
	}
}

// bestPairing is the value of the best pairing by trying all.
func bestPairing(gold, found []Entity) (exact, pairs int) {
	if len(gold) == 0 {
		return 0, 0
	}
	exact, pairs = bestPairing(gold[1:], found)
	for j, f := range found {
		if g := gold[0]; g.To <= f.From || f.To <= g.From {
			continue
		}
		rest := append(append([]Entity(nil), found[:j]...), found[j+1:]...)
		e, p := bestPairing(gold[1:], rest)
		if p++; gold[0] == f {
			e++
		}
		if e > exact || e == exact && p > pairs {
			exact, pairs = e, p
		}
	}
	return exact, pairs
}

// drawEntities draws entities apart from one another.
func drawEntities(t *rapid.T, label string) []Entity {
	var list []Entity
	for at := 0; at < 10; {
		at += rapid.IntRange(0, 2).Draw(t, label+" gap")
		n := rapid.IntRange(1, 4).Draw(t, label+" length")
		if rapid.Bool().Draw(t, label) {
			list = append(list, Entity{rapid.IntRange(0, 1).Draw(t, label+" type"), at, at + n})
		}
		at += n
	}
	return list
}

func TestMatchEntities(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gold, found := drawEntities(t, "gold"), drawEntities(t, "found")
		exact, pairs := 0, 0
		seen := make(map[[2]int]bool)
		for _, p := range MatchEntities(gold, found) {
			for side, i := range [2]int{p.Gold, p.Found} {
				if key := [2]int{side, i}; i >= 0 && seen[key] {
					t.Fatalf("entity %v is in two pairs", key)
				} else if i >= 0 {
					seen[key] = true
				}
			}
			if p.Gold >= 0 && p.Found >= 0 {
				pairs++
			}
			if p.Error == Exact {
				exact++
			}
		}
		if len(seen) != len(gold)+len(found) {
			t.Fatalf("%d entities are in pairs, want %d", len(seen), len(gold)+len(found))
		}
		if e, p := bestPairing(gold, found); e != exact || p != pairs {
			t.Errorf("%v and %v: %d exact of %d pairs, want %d of %d", gold, found, exact, pairs, e, p)
		}
	})
	for _, c := range []struct {
		gold, found Entity
		want        EntityError
	}{
		{Entity{0, 1, 3}, Entity{0, 1, 3}, Exact}, {Entity{0, 1, 3}, Entity{0, 2, 3}, WrongBoundary},
		{Entity{0, 1, 3}, Entity{1, 1, 3}, WrongType}, {Entity{0, 1, 3}, Entity{1, 2, 5}, Both},
	} {
		if got := MatchEntities([]Entity{c.gold}, []Entity{c.found}); len(got) != 1 || got[0].Error != c.want {
			t.Errorf("%v found as %v: %v, want %v", c.gold, c.found, got, c.want)
		}
	}
}
