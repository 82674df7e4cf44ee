package report

import (
	"bytes"
	"encoding/xml"
	"flag"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/report/draw"
)

var update = flag.Bool("update", false, "draw the golden pictures anew")

// wave is a number in [0, 1) that looks drawn at random and is the same each time.
func wave(i int) float64 {
	v := math.Sin(float64(i)*12.9898) * 43758.5453
	return v - math.Floor(v)
}

// ranked are labels and scores of a good classifier.
func ranked(n int) (labels []int, scores []float64) {
	for i := range n {
		label := i % 2
		labels = append(labels, label)
		scores = append(scores, max(0.001, min(0.999, 0.25+0.5*float64(label)+0.6*(wave(i)-0.5))))
	}
	return labels, scores
}

// examples are a figure of each kind.
func examples(t testing.TB) []*Figure {
	t.Helper()
	labels, scores := ranked(400)
	points, err := metric.OperatingPoints(labels, scores, 1)
	if err != nil {
		t.Fatal(err)
	}
	ranking := Ranking{Positive: "pos", Points: points, Used: 0.5, Interval: &metric.Interval{Low: 0.9, High: 0.97}}
	right := make([]bool, len(scores))
	for i := range right {
		right[i] = wave(i+7) < scores[i]
	}
	bins, err := metric.Calibration(right, scores, 10, metric.UniformBins)
	if err != nil {
		t.Fatal(err)
	}
	var loss, evaluation Curve
	for i := range 300 {
		loss.X, loss.Y = append(loss.X, float64(10*i)), append(loss.Y, 0.9*math.Exp(-float64(i)/90)+0.1*wave(i)+0.05)
	}
	loss.Name, loss.Best = "training", -1
	evaluation = Curve{Name: "evaluation", X: []float64{1000, 2000, 3000}, Y: []float64{0.41, 0.28, 0.31}, Points: true, Best: 1}
	many := make(metric.ConfusionMatrix, 30)
	names := make([]string, 30)
	for i := range many {
		many[i], names[i] = make([]int, 30), fmt.Sprintf("intent %d", i)
		many[i][i] = 40
		many[i][(i*7+3)%30] += int(20 * wave(i))
	}
	huge := make(metric.ConfusionMatrix, 250)
	hugeNames := make([]string, 250)
	for i := range huge {
		huge[i], hugeNames[i] = make([]int, 250), fmt.Sprint(i)
		huge[i][i], huge[i][(i*13+5)%250] = 20, 5
	}
	x, y := make([]float64, 200), make([]float64, 200)
	for i := range x {
		x[i] = 5 * wave(i)
		y[i] = x[i] + 1.5*(wave(i+1000)-0.5)
	}
	return append(EntityFigures([]string{"PER", "ORG", "LOC"}, []Tagged{
		{[]metric.Entity{{Type: 0, From: 0, To: 2}, {Type: 1, From: 3, To: 4}}, []metric.Entity{{Type: 0, From: 0, To: 2}, {Type: 2, From: 3, To: 4}}},
		{[]metric.Entity{{Type: 2, From: 0, To: 1}}, nil},
		{nil, []metric.Entity{{Type: 1, From: 2, To: 3}}},
	}),
		ConfusionFigure(Confusion{Labels: []string{"negative", "neutral", "positive", "never"}, Counts: metric.ConfusionMatrix{{812, 60, 9, 0}, {101, 340, 77, 0}, {4, 52, 1204, 0}, {0, 0, 0, 0}}}),
		ConfusionFigure(Confusion{Name: "confusion-counts", Labels: []string{"no", "yes"}, Counts: metric.ConfusionMatrix{{50, 3}, {7, 12}}, Normalization: NoShares}),
		ConfusionFigure(Confusion{Name: "confusion-many", Labels: names, Counts: many}),
		ConfusionFigure(Confusion{Name: "confusion-blocks", Labels: hugeNames, Counts: huge}),
		BarsFigure(Bars{Bars: []Bar{{Name: "neg", Value: 0.08}, {Name: "pos", Value: 0.87, Predicted: true}, {Name: "mixed", Value: 0.05, Gold: true}}, Threshold: 0.5}),
		CurvesFigure(Curves{Name: "loss", Title: "Loss", XTitle: "step", YTitle: "loss", Curves: []Curve{loss, evaluation}, Smoothing: 0.9, LogY: true}),
		ROCFigure(ranking), PRFigure(ranking), ThresholdFigure(ranking),
		CalibrationFigure(Calibration{Bins: bins, ECE: metric.CalibrationError(bins), Brier: 0.17}),
		HistogramFigure(Histogram{Name: "histogram", Title: "Scores by right label", XTitle: "probability", Range: &Range{0, 1}, Samples: []Sample{{"neg", scores[:100]}, {"pos", scores[100:]}}}),
		ScatterFigure(Scatter{Name: "scatter", Title: "Predicted and right numbers", XTitle: "right", YTitle: "predicted", X: x, Y: y, Identity: true, Finding: "They go together."}),
		ClassesFigure(Classes{Labels: []string{"negative", "neutral", "positive"}, Scores: []metric.Score{
			{Precision: 0.886, Recall: 0.922, F1: 0.903, Support: 881, Predicted: 917}, {Precision: 0.752, Recall: 0.656, F1: 0.701, Support: 518, Predicted: 452}, {Precision: 0.933, Recall: 0.956, F1: 0.944, Support: 1260, Predicted: 1290}},
			Averages: []Average{{"macro average", metric.Score{Precision: 0.857, Recall: 0.845, F1: 0.849, Support: 2659}}}}),
		HeatMapFigure(HeatMap{Name: "pairs", Title: "Mean by learning-rate and batch", RowTitle: "learning-rate", ColumnTitle: "batch", ValueTitle: "accuracy",
			Rows: []string{"2e-05", "5e-05"}, Columns: []string{"16", "32", "64"}, Values: [][]float64{{0.81, 0.83, math.NaN()}, {0.86, 0.79, 0.8}}}),
		CurvesFigure(Curves{
			Name: "loss-phases", Title: "Loss", XTitle: "step", YTitle: "loss", Curves: []Curve{loss, evaluation}, Smoothing: 0.9, LogY: true,
			bands: []chartBand{{"phase 1", math.Inf(-1), 1800}, {"phase 2", 1800, 3000}},
			marks: []chartMark{{name: "went on", legend: "went on after a pause", x: 1200, y: 0.35, shape: draw.Triangle, radius: 4.5, paint: draw.Ink}},
		}),
		CurvesFigure(Curves{
			Name: "loss-resumed", Title: "Loss", XTitle: "step", YTitle: "loss", Curves: []Curve{loss, evaluation}, Smoothing: 0.9, LogY: true,
			marks: []chartMark{
				{name: "resumed after step 1200", legend: "resumed", x: 1200, y: 0.35, shape: draw.Square, radius: 4.5, paint: draw.Ink},
				{name: "stopped early", legend: "stopped early", x: 3000, y: 0.31, shape: draw.Cross, radius: 6, paint: draw.Ink},
			},
		}),
		answerCurves(someQuestions(t))[0], nullThresholdFigure(someQuestions(t)), averagedThresholds(someLabels()),
		labelMultiples(t), togetherDifference([]string{"a", "b", "rare"}, [2]metric.ConfusionMatrix{{{20, 4, 1}, {4, 15, 0}, {1, 0, 1}}, {{25, 9, 0}, {9, 12, 0}, {0, 0, 0}}}),
		positionsFigure([]string{"choice 1", "choice 2", "choice 3"}, metric.ConfusionMatrix{{30, 2, 5}, {9, 20, 4}, {12, 3, 15}}),
		EvaluationsFigure([]string{"negative", "neutral", "<b>"}, someEvaluations(15)),
		placesFigure(someBreakdown()), frequenciesFigure(someBreakdown()), piecesFigure(someBreakdown()),
		instanceLengths("lengths", "Lengths of the instances", 8, []int{0, 3, 9, 14, 20, 31, 44, 210}),
		ProbeFigure("probe", "the capital of [MASK] is paris.", someFills()),
		diagnosticFigure(someCategories()), benchmarkRun().partMatrices(nil)[0], benchmarkRun().taskLosses(nil, &Options{})[0],
		HeatMapFigure(HeatMap{Name: "signed", Title: "Differences", RowTitle: "run", ColumnTitle: "task", ValueTitle: "difference", Diverging: true,
			Rows: []string{"a", "b"}, Columns: []string{"CoLA", "RTE"}, Values: [][]float64{{-3.1, 0}, {1.2, 0.4}}}),
		StripsFigure(Strips{Name: "strips", Title: "Runs by learning-rate", XTitle: "learning-rate", YTitle: "accuracy", Strips: []Strip{
			{"2e-05", []StripPoint{{"a", 0.81, RunEnded}, {"b", 0.83, RunEnded}, {"c", 0.8, RunEnded}, {"d", 0.84, RunEnded}, {"e", 0.82, RunEnded}}},
			{"5e-05", []StripPoint{{"f", 0.86, RunEnded}, {"g", 0.71, RunStopped}, {"h", math.NaN(), RunFailed}}},
		}}),
		ParallelFigure(Parallel{Name: "parallel", Title: "Settings and results", Axes: []string{"learning-rate", "batch"}, ResultTitle: "accuracy", Runs: []ParallelRun{
			{"a", []string{"2e-05", "16"}, 0.81}, {"b", []string{"2e-05", "32"}, 0.83}, {"c", []string{"5e-05", "16"}, 0.86}, {"d", []string{"5e-05", "32"}, 0.79}}}),
		ScoresFigure(Scores{Scores: []Score{{"It", -0.1855}, {"was", 0.355}, {"a", -0.0195}, {"dull", 1.2453}, {",", 0.0799}, {"film", 0}}}),
		ProjectionFigure(mapped(t, 150, 8)),
		AttentionFigure("attention", "Layer 11, head 3", strings.Fields("[CLS] a dull , boring film [SEP]"), attended(7, 1, 1).Layers[0].Heads[0].Rows.All),
		AtlasFigure("atlas", someHeads(12, 12)), HeadChangesFigure("changes", someChanges(3, 4)),
		MethodScoresFigure("methods", someComparison().Methods, someComparison().Targets[0].Words),
		AgreementFigure("agreement", someComparison().Methods, wideCorrelations(someComparison().Targets[0].Correlations)),
		RemovalFigure("removal", someComparison().Methods, &someComparison().Targets[0].Removal, false),
		ProjectionFigure(drifted(t, 60)),
	)
}

// TestGoldenPictures compares the pictures with those in testdata, which -update draws anew. A dot of a PNG may differ by two of
// 255 on other processors, whose products and sums are rounded otherwise.
func TestPictures(t *testing.T) {
	var all []string
	for _, f := range examples(t) {
		all = append(all, f.Name)
		t.Run(f.Name, func(t *testing.T) {
			for _, theme := range []draw.Theme{draw.Light, draw.Dark} {
				checkSVG(t, f, theme)
			}
			var b bytes.Buffer
			if err := f.WritePNG(&b, draw.ImageOptions{Scale: 0.5}); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", f.Name+".png")
			if *update {
				if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v (go test ./report -run TestPictures -update draws it)", err)
			}
			comparePNG(t, b.Bytes(), want)
		})
	}
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n != len(all) {
		t.Errorf("%d figures have %d names: %v", len(all), n, all)
	}
}

func checkSVG(t *testing.T, f *Figure, theme draw.Theme) {
	t.Helper()
	svg := f.SVG(theme)
	if again := f.SVG(theme); again != svg {
		t.Error("the same figure has other bytes the second time")
	}
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("not XML: %v", err)
		}
	}
	for _, bad := range []string{"NaN", "Inf", "style=", "class=", "href", "<script"} {
		if strings.Contains(svg, bad) {
			t.Errorf("the SVG has %s", bad)
		}
	}
	path := filepath.Join("testdata", f.Name+".svg")
	if theme == draw.Dark {
		return // the same but for the colours
	}
	if *update {
		if err := os.WriteFile(path, []byte(svg), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./report -run TestPictures -update draws it)", err)
	}
	if svg != string(want) {
		t.Errorf("%s has changed: look at it, and draw it anew with go test ./report -run TestPictures -update", path)
	}
}

func comparePNG(t *testing.T, got, want []byte) {
	t.Helper()
	a, err := png.Decode(bytes.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	b, err := png.Decode(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	if a.Bounds() != b.Bounds() {
		t.Fatalf("the picture is %v, want %v", a.Bounds(), b.Bounds())
	}
	most := 0
	if runtime.GOARCH != "amd64" {
		most = 2
	}
	differ := 0
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			if farther(a, b, x, y, most) {
				differ++
			}
		}
	}
	if differ > 0 {
		t.Errorf("%d dots have changed: look at the picture, and draw it anew with go test ./report -run TestPictures -update", differ)
	}
}

// farther says whether a dot differs by more than so many of 255.
func farther(a, b image.Image, x, y, most int) bool {
	r1, g1, b1, _ := a.At(x, y).RGBA()
	r2, g2, b2, _ := b.At(x, y).RGBA()
	for _, v := range [][2]uint32{{r1, r2}, {g1, g2}, {b1, b2}} {
		if d := int(v[0]>>8) - int(v[1]>>8); d > most || d < -most {
			return true
		}
	}
	return false
}
