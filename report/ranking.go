package report

import (
	"cmp"
	"fmt"
	"math"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/report/draw"
)

// Ranking is scores of a question with two answers, from which the ROC curve, the curve of precision and recall and the sweep of
// the threshold are drawn.
type Ranking struct {
	Positive string                  // what a high score says
	Points   []metric.OperatingPoint // as metric.OperatingPoints lists them
	// Used is the threshold that the model's answers have: the point where the score has to be above it. NaN: none.
	Used     float64
	Interval *metric.Interval // of the AUC; nil: none
	// Suffix ends the names of the figures, and Of their titles, where there are several; "": nothing.
	Suffix, Of string
}

func (r *Ranking) last() metric.OperatingPoint { return r.Points[len(r.Points)-1] }

// used is the point of the threshold in use: the last one that is above or at it.
func (r *Ranking) used() (p metric.OperatingPoint, ok bool) {
	if math.IsNaN(r.Used) || len(r.Points) == 0 {
		return p, false
	}
	p = r.Points[0]
	for _, q := range r.Points {
		if q.Threshold < r.Used {
			break
		}
		p = q
	}
	return p, true
}

// auc is the area under the ROC curve by trapezoids, which is that of metric.AUC; NaN without both answers.
func (r *Ranking) auc() float64 {
	last := r.last()
	if last.TP == 0 || last.FP == 0 {
		return math.NaN()
	}
	area := 0.0
	for i := 1; i < len(r.Points); i++ {
		a, b := r.Points[i-1], r.Points[i]
		area += float64(b.FP-a.FP) * float64(a.TP+b.TP) / 2
	}
	return area / (float64(last.TP) * float64(last.FP))
}

// usedMark marks the threshold in use.
func (r *Ranking) usedMark(x, y func(metric.OperatingPoint) float64) []chartMark {
	p, ok := r.used()
	if !ok {
		return nil
	}
	name := "threshold " + draw.Number(r.Used)
	return []chartMark{{name: name, legend: name, x: x(p), y: y(p), radius: 5, paint: draw.Series(1), shape: draw.Diamond}}
}

func recallOf(p metric.OperatingPoint) float64 { return p.Recall() }

// ROCFigure is the curve of the rates of true and false positives. It needs examples with both answers.
func ROCFigure(r Ranking) *Figure {
	x, y := make([]float64, len(r.Points)), make([]float64, len(r.Points))
	t := Table{Columns: numbers("threshold", "false positive rate", "true positive rate", "true positives", "false positives")}
	for i, p := range r.Points {
		x[i], y[i] = p.FalsePositiveRate(), p.Recall()
		t.Rows = append(t.Rows, []string{exactly(p.Threshold), exactly(x[i]), exactly(y[i]), fmt.Sprint(p.TP), fmt.Sprint(p.FP)})
	}
	t.sampled()
	auc := r.auc()
	tx, ty := thin(x, y, 1, 1)
	c := &chart{
		xTitle: "false positive rate", yTitle: "true positive rate", square: true,
		x: draw.Scale{Min: 0, Max: 1}, y: draw.Scale{Min: 0, Max: 1},
		lines: []chartLine{
			{"chance", []float64{0, 1}, []float64{0, 1}, draw.Stroke{Paint: draw.Muted, Width: 1.2, Dash: []float64{5, 4}}},
			{"AUC " + draw.Number(auc), tx, ty, draw.Stroke{Paint: draw.Series(0), Width: 2}},
		},
		marks: r.usedMark(metric.OperatingPoint.FalsePositiveRate, recallOf),
	}
	finding := fmt.Sprintf("The area under the curve is %s", draw.Number(auc))
	if r.Interval != nil {
		finding += fmt.Sprintf(" (95 %% between %s and %s)", draw.Number(r.Interval.Low), draw.Number(r.Interval.High))
	}
	finding += fmt.Sprintf("; positive is %s.", shortName(r.Positive))
	return r.figure("roc", "ROC curve", finding, c, t)
}

func (r *Ranking) figure(name, title, finding string, c *chart, t Table) *Figure {
	if r.Of != "" {
		title += ": " + r.Of
	}
	f := &Figure{Name: name + r.Suffix, Title: title, Finding: finding, Table: t, Draw: c.draw, Text: c.text}
	f.Width, f.Height = c.size()
	return f
}

// PRFigure is the curve of precision and recall.
func PRFigure(r Ranking) *Figure {
	var x, y []float64
	t := Table{Columns: numbers("threshold", "recall", "precision", "true positives", "false positives")}
	for _, p := range r.Points {
		if p.TP+p.FP == 0 {
			continue // there is no precision of nothing
		}
		x, y = append(x, p.Recall()), append(y, p.Precision())
		t.Rows = append(t.Rows, []string{exactly(p.Threshold), exactly(p.Recall()), exactly(p.Precision()), fmt.Sprint(p.TP), fmt.Sprint(p.FP)})
	}
	t.sampled()
	last := r.last()
	prevalence := float64(last.TP) / float64(last.TP+last.FP)
	ap, err := metric.AveragePrecision(r.Points)
	if err != nil {
		ap = math.NaN()
	}
	tx, ty := thin(x, y, 1, 1)
	c := &chart{
		xTitle: "recall", yTitle: "precision", square: true,
		x: draw.Scale{Min: 0, Max: 1}, y: draw.Scale{Min: 0, Max: 1},
		lines: []chartLine{
			{"share of positives " + draw.Number(prevalence), []float64{0, 1}, []float64{prevalence, prevalence}, draw.Stroke{Paint: draw.Muted, Width: 1.2, Dash: []float64{5, 4}}},
			{"average precision " + draw.Number(ap), tx, ty, draw.Stroke{Paint: draw.Series(0), Width: 2}},
		},
		marks: r.usedMark(recallOf, func(p metric.OperatingPoint) float64 { return p.Precision() }),
	}
	finding := fmt.Sprintf("Average precision is %s, where guessing has %s; positive is %s.", draw.Number(ap), draw.Number(prevalence), shortName(r.Positive))
	return r.figure("pr", "Precision and recall", finding, c, t)
}

// thresholdMeasures are those that ThresholdFigure draws.
var thresholdMeasures = []struct {
	name string
	of   func(metric.OperatingPoint) float64
}{
	{"F1", func(p metric.OperatingPoint) float64 { return p.F1() }},
	{"precision", func(p metric.OperatingPoint) float64 { return p.Precision() }},
	{"recall", recallOf},
	{"Matthews", func(p metric.OperatingPoint) float64 { return p.Matthews() }},
}

// ThresholdFigure is precision, recall, F1 and the Matthews coefficient against the threshold, of scores that are probabilities.
func ThresholdFigure(r Ranking) *Figure {
	var (
		t     = Table{Columns: numbers("threshold")}
		c     = &chart{xTitle: "threshold", yTitle: "score", x: draw.Scale{Min: 0, Max: 1}, y: draw.Scale{Min: 0, Max: 1}}
		x     []float64
		ys    = make([][]float64, len(thresholdMeasures))
		bestY = math.Inf(-1)
		bestX = math.NaN()
	)
	for _, m := range thresholdMeasures {
		t.Columns = append(t.Columns, numbers(m.name)...)
	}
	for _, p := range r.Points {
		if math.IsInf(p.Threshold, 0) {
			continue
		}
		x = append(x, p.Threshold)
		row := []string{exactly(p.Threshold)}
		for k, m := range thresholdMeasures {
			v := m.of(p)
			ys[k] = append(ys[k], v)
			row = append(row, exactly(v))
		}
		t.Rows = append(t.Rows, row)
		if f1 := p.F1(); f1 > bestY {
			bestX, bestY = p.Threshold, f1
		}
	}
	t.sampled()
	for k, m := range thresholdMeasures {
		tx, ty := thin(x, ys[k], 1, 1)
		c.lines = append(c.lines, chartLine{m.name, tx, ty, draw.Stroke{Paint: draw.Series(k), Width: 1.8}})
		if low, _, ok := span(ys[k]); ok && low < c.y.Min {
			c.y.Min = max(-1, low)
		}
	}
	finding := "There are no scores."
	if len(x) > 0 {
		c.marks = []chartMark{{name: "best F1", legend: "best F1", x: bestX, y: bestY, shape: draw.Star, radius: 5.5, paint: draw.Series(0), label: draw.Number(bestY)}}
		finding = fmt.Sprintf("F1 is best at a threshold of %s: %s", draw.Number(bestX), draw.Number(bestY))
		if p, ok := r.used(); ok {
			c.lines = append(c.lines, chartLine{"threshold in use", []float64{r.Used, r.Used}, []float64{c.y.Min, 1}, draw.Stroke{Paint: draw.Muted, Width: 1.2, Dash: []float64{5, 4}}})
			finding += fmt.Sprintf("; at %s, which the model uses, it is %s", draw.Number(r.Used), draw.Number(p.F1()))
		}
		finding += "."
	}
	return r.figure("threshold", "Scores by threshold", finding, c, t)
}

// Calibration is what a diagram of reliability shows.
type Calibration struct {
	Bins  []metric.CalibrationBin
	ECE   float64 // expected calibration error
	Brier float64
	Of    string // what the confidence is in: "the predicted label"
}

// CalibrationFigure is accuracy against confidence, bin by bin, with the numbers of examples below.
func CalibrationFigure(k Calibration) *Figure {
	t := Table{Columns: numbers("from", "to", "examples", "mean confidence", "accuracy", "low", "high")}
	n, over := 0, 0.0
	for _, b := range k.Bins {
		row := []string{exactly(b.From), exactly(b.To), fmt.Sprint(b.Count), exactly(b.Confidence), exactly(b.Accuracy)}
		if b.Count > 0 {
			i := binInterval(b)
			row = append(row, exactly(i.Low), exactly(i.High))
			n += b.Count
			over += float64(b.Count) * (b.Confidence - b.Accuracy)
		} else {
			row = append(row, "", "")
		}
		t.Rows = append(t.Rows, row)
	}
	finding := fmt.Sprintf("The expected calibration error is %s, the Brier score %s", draw.Number(k.ECE), draw.Number(k.Brier))
	switch mean := over / float64(max(n, 1)); {
	case mean > 0.01:
		finding += fmt.Sprintf("; on average the model is too sure, by %s", percent(mean))
	case mean < -0.01:
		finding += fmt.Sprintf("; on average the model is not sure enough, by %s", percent(-mean))
	}
	const height = 500
	return &Figure{
		Name: "calibration", Title: "Calibration", Finding: finding + ".", Table: t, Width: figureWidth, Height: height,
		Draw: func(c draw.Canvas) { k.draw(c, height) },
	}
}

// binInterval is the interval of a bin's accuracy.
func binInterval(b metric.CalibrationBin) metric.Interval {
	return metric.Wilson(int(math.Round(b.Accuracy*float64(b.Count))), b.Count)
}

func (k *Calibration) draw(c draw.Canvas, height float64) {
	const counts = 90.0 // the height of the lower part
	p := newPlot(c, figureWidth, height-counts, "", "accuracy")
	e := []entry{
		{name: "as sure as right", paint: draw.Muted, dash: []float64{5, 4}},
		{name: "bins, with 95 % intervals", paint: draw.Series(0), mark: true},
	}
	legend(c, draw.Point{X: p.area.X, Y: 4}, p.area.W, e)
	p.area.Y += 18
	p.area.H -= 18
	p.scales(draw.Scale{Min: 0, Max: 1}, draw.Scale{Min: 0, Max: 1})
	p.frame()
	p.line([]float64{0, 1}, []float64{0, 1}, draw.Stroke{Paint: draw.Muted, Width: 1.2, Dash: []float64{5, 4}})
	var x, y []float64
	most := 1
	for _, b := range k.Bins {
		if b.Count > 0 {
			x, y = append(x, b.Confidence), append(y, b.Accuracy)
			most = max(most, b.Count)
		}
	}
	p.line(x, y, draw.Stroke{Paint: draw.Series(0), Width: 1.6})
	for _, b := range k.Bins {
		if b.Count == 0 {
			continue
		}
		i := binInterval(b)
		c.Group(fmt.Sprintf("confidence %s, accuracy %s, %s examples", draw.Number(b.Confidence), draw.Number(b.Accuracy), message.Thousands(b.Count)), func() {
			draw.Line(c, p.at(b.Confidence, i.Low), p.at(b.Confidence, i.High), draw.Stroke{Paint: draw.Series(0), Width: 1.2})
			draw.Mark(c, draw.Disc, p.at(b.Confidence, b.Accuracy), 4, draw.Series(0))
		})
	}
	low := newPlot(c, figureWidth, counts+46, "confidence in "+cmp.Or(k.Of, "the predicted label"), "examples")
	low.area.Y = height - counts - 14
	low.area.H = counts - 32
	low.scales(draw.Scale{Min: 0, Max: 1}, draw.Scale{Min: 0, Max: float64(most)})
	low.yTicks = low.y.Ticks(2)
	low.frame()
	for _, b := range k.Bins {
		from, to := low.at(b.From, float64(b.Count)), low.at(b.To, 0)
		c.Rect(draw.Rect{X: from.X + 0.5, Y: from.Y, W: max(1, to.X-from.X-1), H: to.Y - from.Y}, draw.Series(0), draw.Stroke{})
	}
}
