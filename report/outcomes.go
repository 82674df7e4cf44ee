package report

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/report/draw"
	"github.com/go-bert/bert/squad"
	"github.com/go-bert/bert/task"
)

// kindDrawing is what is drawn of the outcomes of a kind of task.
type kindDrawing struct {
	kind    task.Kind
	figures func(o *task.Outcomes, options *Options) []*Figure
	// intervals adds those of metrics by their names; nil: there are none.
	intervals func(o *task.Outcomes, out map[string]*metric.Interval)
	// example is how an example is shown among those of the greatest loss.
	example func(o *task.Outcomes, x *task.Outcome) Example
	right   func(o *task.Outcomes, x *task.Outcome) (right, ok bool)
}

// kindDrawings has a row for each kind.
var kindDrawings = []kindDrawing{
	{task.SingleLabel, singleLabelFigures, singleLabelIntervals, classExample, classRight},
	{task.MultipleChoice, choiceFigures, nil, classExample, classRight},
	{task.MultiLabel, multiLabelFigures, multiLabelIntervals, multiLabelExample, multiLabelRight},
	{task.Regression, regressionFigures, regressionIntervals, regressionExample, nil},
	{task.TokenClassification, wordFigures, wordIntervals, wordExample, nil},
	{task.QuestionAnswering, answerFigures, answerIntervals, answerExample, answerRight},
}

func kindOf(k task.Kind) kindDrawing {
	i := slices.IndexFunc(kindDrawings, func(d kindDrawing) bool { return d.kind == k })
	if i < 0 {
		return kindDrawing{}
	}
	return kindDrawings[i]
}

func outcomeFigures(runs []*Run, o *Options) []*Figure {
	var figures []*Figure
	for _, r := range runs {
		if r.Outcomes == nil || len(r.Outcomes.Examples) == 0 {
			continue
		}
		k := kindOf(r.Outcomes.Kind)
		if k.figures == nil {
			continue
		}
		list := k.figures(r.Outcomes, o)
		if k.right != nil {
			list = append(list, lengthFigure(r.Outcomes, k.right)...)
			list = append(list, truncationFigure(r.Outcomes, k.right)...)
		}
		for _, f := range list {
			f.Title = r.of(f.Title, runs)
		}
		figures = append(figures, list...)
	}
	return figures
}

// predicted is the class with the largest probability, the first of equals, and that probability.
func predicted(x *task.Outcome) (class int, p float64) {
	for j, v := range x.LogProbabilities {
		if v > x.LogProbabilities[class] {
			class = j
		}
	}
	return class, math.Exp(float64(x.LogProbabilities[class]))
}

func classRight(_ *task.Outcomes, x *task.Outcome) (right, ok bool) {
	class, _ := predicted(x)
	return class == *x.Label, true
}

// multiLabelRight says whether all labels of an example are right.
func multiLabelRight(_ *task.Outcomes, x *task.Outcome) (right, ok bool) {
	for j, p := range x.Probabilities {
		if (p > 0.5) != slices.Contains(x.Labels, j) {
			return false, true
		}
	}
	return true, true
}

// truth are the right classes.
func truth(o *task.Outcomes) []int {
	out := make([]int, len(o.Examples))
	for i := range o.Examples {
		out[i] = *o.Examples[i].Label
	}
	return out
}

// probabilitiesOf are those of a class.
func probabilitiesOf(o *task.Outcomes, class int) []float64 {
	out := make([]float64, len(o.Examples))
	for i := range o.Examples {
		out[i] = math.Exp(float64(o.Examples[i].LogProbabilities[class]))
	}
	return out
}

// positiveOf is the number of the positive label: the last where none is named.
func positiveOf(o *task.Outcomes) int {
	if i := slices.Index(o.Labels, o.Positive); i >= 0 {
		return i
	}
	return len(o.Labels) - 1
}

func singleLabelFigures(o *task.Outcomes, options *Options) []*Figure {
	var figures []*Figure
	labels := truth(o)
	if len(o.Labels) == 2 {
		p := positiveOf(o)
		scores := probabilitiesOf(o, p)
		points, err := metric.OperatingPoints(labels, scores, p)
		if last := len(points) - 1; err == nil && points[last].TP > 0 && points[last].FP > 0 {
			r := Ranking{Positive: o.Labels[p], Points: points, Used: 0.5}
			if i := aucInterval(labels, scores, p); finite(i.Low) {
				r.Interval = &i
			}
			figures = append(figures, ROCFigure(r), PRFigure(r), ThresholdFigure(r))
		}
		h := Histogram{Name: "scores", Title: "Scores by right label", XTitle: "probability of " + shortName(o.Labels[p]), Range: &Range{0, 1}, At: new(0.5), AtName: "threshold 0.5"}
		for c, name := range o.Labels {
			s := Sample{Name: name}
			for i, l := range labels {
				if l == c {
					s.Values = append(s.Values, scores[i])
				}
			}
			h.Samples = append(h.Samples, s)
		}
		figures = append(figures, HistogramFigure(h))
	} else if len(o.Labels) <= oneAgainstRest {
		figures = append(figures, againstRest(o.Labels, func(k int) ([]int, []float64) {
			is := make([]int, len(labels))
			for i, l := range labels {
				if l == k {
					is[i] = 1
				}
			}
			return is, probabilitiesOf(o, k)
		})...)
	}
	return append(figures, calibrationFigures(o, options.Bins)...)
}

// oneAgainstRest is the number of labels up to which each has a curve of precision and recall.
const oneAgainstRest = 12

// labelPR is precision and recall of a label against the rest.
type labelPR struct {
	name     string
	ap       float64 // average precision
	share    float64 // of the examples that have the label
	recall   []float64
	measured []float64 // precision
}

// labelPRs are those of the labels that some examples have and others haven't. of says of a label which examples have it, by 1, and its
// probabilities.
func labelPRs(labels []string, of func(label int) (has []int, probabilities []float64)) (list []labelPR, t Table, finding string) {
	t = Table{Columns: append(words("label"), numbers("average precision", "share of examples")...)}
	t.Columns[0].Text = true
	worst, low := "", math.Inf(1)
	for k, name := range labels {
		has, probabilities := of(k)
		points, err := metric.OperatingPoints(has, probabilities, 1)
		if err != nil {
			continue
		}
		ap, err := metric.AveragePrecision(points)
		if err != nil {
			continue
		}
		var x, y []float64
		for _, p := range points {
			if p.TP+p.FP > 0 {
				x, y = append(x, p.Recall()), append(y, p.Precision())
			}
		}
		x, y = thin(x, y, 1, 1)
		last := points[len(points)-1]
		list = append(list, labelPR{name, ap, float64(last.TP) / float64(last.TP+last.FP), x, y})
		t.Rows = append(t.Rows, []string{name, exactly(ap), exactly(list[len(list)-1].share)})
		if ap < low {
			worst, low = name, ap
		}
	}
	return list, t, fmt.Sprintf("Average precision is lowest for %s: %s.", shortName(worst), draw.Number(low))
}

// againstRest is a curve of precision and recall for each label, over one another.
func againstRest(labels []string, of func(label int) (has []int, probabilities []float64)) []*Figure {
	list, t, finding := labelPRs(labels, of)
	if len(list) == 0 {
		return nil
	}
	c := &chart{xTitle: "recall", yTitle: "precision", square: true, x: draw.Scale{Min: 0, Max: 1}, y: draw.Scale{Min: 0, Max: 1}}
	for k, l := range list {
		c.lines = append(c.lines, chartLine{l.name + " " + draw.Number(l.ap), l.recall, l.measured, draw.Stroke{Paint: draw.Series(k), Width: 1.8, Dash: draw.SeriesDash(k)}})
	}
	f := &Figure{Name: "pr-by-label", Title: "Precision and recall by label", Finding: finding, Table: t, Draw: c.draw, Text: c.text}
	f.Width, f.Height = c.size()
	return []*Figure{f}
}

// mostMultiples is the number of labels up to which each has a small picture of its own.
const mostMultiples = 24

// prMultiples is a small picture of precision and recall for each label, with the share of the examples that have it.
func prMultiples(labels []string, of func(label int) (has []int, probabilities []float64)) []*Figure {
	list, t, finding := labelPRs(labels, of)
	if len(list) == 0 {
		return nil
	}
	unit := draw.Scale{Min: 0, Max: 1}
	p := &panels{columns: 4, height: 96, legend: []entry{
		{name: "precision against recall", paint: draw.Series(0)}, {name: "share of examples with the label", paint: draw.Muted, dash: []float64{5, 4}},
	}}
	for _, l := range list {
		lines := []chartLine{
			{"", []float64{0, 1}, []float64{l.share, l.share}, draw.Stroke{Paint: draw.Muted, Width: 1, Dash: []float64{5, 4}}},
			{"", l.recall, l.measured, draw.Stroke{Paint: draw.Series(0), Width: 1.6}},
		}
		p.panels = append(p.panels, panel{l.name + " " + draw.Number(l.ap), func(c draw.Canvas, in draw.Rect) { smallPlot(c, in, unit, unit, lines) }})
	}
	return []*Figure{p.figure("pr-by-label", "Precision and recall by label", finding, t)}
}

// calibrationFigures is that of the predicted label.
func calibrationFigures(o *task.Outcomes, binning metric.Binning) []*Figure {
	right, confidence := make([]bool, len(o.Examples)), make([]float64, len(o.Examples))
	for i := range o.Examples {
		class, p := predicted(&o.Examples[i])
		right[i], confidence[i] = class == *o.Examples[i].Label, min(p, 1)
	}
	bins, err := metric.Calibration(right, confidence, 15, binning)
	if err != nil {
		return nil
	}
	brier, err := metric.Brier(right, confidence)
	if err != nil {
		return nil
	}
	return []*Figure{CalibrationFigure(Calibration{Bins: bins, ECE: metric.CalibrationError(bins), Brier: brier})}
}

// aucInterval draws examples in the order of their scores, so that nothing is sorted twice.
func aucInterval(labels []int, scores []float64, positive int) metric.Interval {
	order := make([]int, len(labels))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	return metric.Bootstrap(len(labels), bootstrapSeed, func(times []int) float64 {
		won, positives, negatives := 0.0, 0.0, 0.0
		for i := 0; i < len(order); {
			p, n, score := 0.0, 0.0, scores[order[i]]
			for ; i < len(order) && scores[order[i]] == score; i++ {
				if labels[order[i]] == positive {
					p += float64(times[order[i]])
				} else {
					n += float64(times[order[i]])
				}
			}
			won += p * (negatives + n/2)
			positives += p
			negatives += n
		}
		return won / (positives * negatives)
	})
}

func singleLabelIntervals(o *task.Outcomes, out map[string]*metric.Interval) {
	if len(o.Labels) == 2 {
		p := positiveOf(o)
		out["auc"] = new(aucInterval(truth(o), probabilitiesOf(o, p), p))
	}
}

// sums is the interval of a number that is computed from sums over the examples, of which each has a row.
func sums(rows [][]float64, of func(sums []float64) float64) *metric.Interval {
	if len(rows) == 0 {
		return nil
	}
	total := make([]float64, len(rows[0]))
	return new(metric.Bootstrap(len(rows), bootstrapSeed, func(times []int) float64 {
		clear(total)
		for i, n := range times {
			if n > 0 {
				for k, v := range rows[i] {
					total[k] += float64(n) * v
				}
			}
		}
		return of(total)
	}))
}

// f1Of is the F1 of sums of right, found and true ones.
func f1Of(s []float64) float64 { return 2 * s[0] / (s[1] + s[2]) }

// lengthEdges cuts lengths into some groups of like size: the last length of each.
func lengthEdges(lengths []int) []int {
	sorted := slices.Sorted(slices.Values(lengths))
	const groups = 6
	var edges []int
	for g := 1; g <= groups; g++ {
		edge := sorted[max(0, len(sorted)*g/groups-1)]
		if len(edges) == 0 || edge > edges[len(edges)-1] {
			edges = append(edges, edge)
		}
	}
	return edges
}

// lengthFigure is the share of right answers by the length of the text.
func lengthFigure(o *task.Outcomes, right func(*task.Outcomes, *task.Outcome) (bool, bool)) []*Figure {
	lengths := make([]int, len(o.Examples))
	for i := range o.Examples {
		lengths[i] = o.Examples[i].Tokens
	}
	edges := lengthEdges(lengths)
	if len(edges) < 2 {
		return nil
	}
	hits, all := make([]int, len(edges)), make([]int, len(edges))
	for i := range o.Examples {
		x := &o.Examples[i]
		b, _ := slices.BinarySearch(edges, x.Tokens)
		if ok, counts := right(o, x); counts {
			all[b]++
			if ok {
				hits[b]++
			}
		}
	}
	d := Dots{Name: "length", Title: "Right answers by length", XTitle: "share that is right", Series: []string{"right"}, Extra: []ExtraColumn{{Column: Column{Name: "examples", Number: true}}}}
	from := slices.Min(lengths)
	for b, edge := range edges {
		name := fmt.Sprintf("%d to %d tokens", from, edge)
		from = edge + 1
		i := metric.Wilson(hits[b], all[b])
		d.Rows = append(d.Rows, DotRow{name, []float64{float64(hits[b]) / float64(all[b])}, []*metric.Interval{&i}})
		d.Extra[0].Cells = append(d.Extra[0].Cells, fmt.Sprint(all[b]))
	}
	first, last := d.Rows[0].Values[0], d.Rows[len(d.Rows)-1].Values[0]
	d.Finding = fmt.Sprintf("Of the shortest texts %s are right, of the longest %s.", percent(first), percent(last))
	return []*Figure{DotsFigure(d)}
}

func choiceFigures(o *task.Outcomes, options *Options) []*Figure {
	most := 0
	for i := range o.Examples {
		most = max(most, len(o.Examples[i].LogProbabilities))
	}
	m, names := make(metric.ConfusionMatrix, most), make([]string, most)
	var margins Sample
	margins.Name = "examples"
	for i := range m {
		m[i], names[i] = make([]int, most), fmt.Sprintf("choice %d", i+1)
	}
	for i := range o.Examples {
		x := &o.Examples[i]
		class, p := predicted(x)
		m[*x.Label][class]++
		second := 0.0
		for j, v := range x.LogProbabilities {
			if j != class {
				second = max(second, math.Exp(float64(v)))
			}
		}
		margins.Values = append(margins.Values, p-second)
	}
	figures := []*Figure{
		withExamples(ConfusionFigure(Confusion{Name: "positions", Title: "Right and chosen position", Labels: names, Counts: m, RowTitle: "right choice", ColumnTitle: "chosen"}), o),
		HistogramFigure(Histogram{Name: "margins", Title: "How clear the choices are", XTitle: "probability of the choice minus that of the second", Samples: []Sample{margins}, Range: &Range{0, 1}}),
	}
	figures = append(figures, positionsFigure(names, m))
	return append(figures, calibrationFigures(o, options.Bins)...)
}

// positionsFigure compares how often each position is right with how often it is chosen: a model that prefers one is biased.
func positionsFigure(names []string, m metric.ConfusionMatrix) *Figure {
	all, right, chosen := 0, make([]int, len(m)), make([]int, len(m))
	for i, row := range m {
		for j, n := range row {
			right[i] += n
			chosen[j] += n
			all += n
		}
	}
	d := Dots{Name: "position-bias", Title: "How often positions are right and chosen", XTitle: "share of the examples", Series: []string{"right", "chosen"}}
	most := 0
	for i, name := range names {
		a, b := metric.Wilson(right[i], all), metric.Wilson(chosen[i], all)
		d.Rows = append(d.Rows, DotRow{name, []float64{float64(right[i]) / float64(all), float64(chosen[i]) / float64(all)}, []*metric.Interval{&a, &b}})
		if gap(right[i], chosen[i]) > gap(right[most], chosen[most]) {
			most = i
		}
	}
	d.Finding = fmt.Sprintf("The largest difference is at %s: right in %s of the examples, chosen in %s.", names[most], percent(d.Rows[most].Values[0]), percent(d.Rows[most].Values[1]))
	return DotsFigure(d)
}

func gap(a, b int) int { return max(a-b, b-a) }

func multiLabelFigures(o *task.Outcomes, _ *Options) []*Figure {
	c := len(o.Labels)
	var labels []int
	var scores []float64
	together := [2]metric.ConfusionMatrix{make(metric.ConfusionMatrix, c), make(metric.ConfusionMatrix, c)} // right and predicted
	for k := range together {
		for i := range c {
			together[k][i] = make([]int, c)
		}
	}
	var counts [2]Sample
	counts[0].Name, counts[1].Name = "right", "predicted"
	for i := range o.Examples {
		x := &o.Examples[i]
		var said []int
		for j, p := range x.Probabilities {
			scores = append(scores, float64(p))
			is := 0
			if slices.Contains(x.Labels, j) {
				is = 1
			}
			labels = append(labels, is)
			if p > 0.5 {
				said = append(said, j)
			}
		}
		for k, list := range [2][]int{x.Labels, said} {
			counts[k].Values = append(counts[k].Values, float64(len(list)))
			for _, a := range list {
				for _, b := range list {
					together[k][a][b]++
				}
			}
		}
	}
	var figures []*Figure
	points, err := metric.OperatingPoints(labels, scores, 1)
	if last := len(points) - 1; err == nil && points[last].TP > 0 && points[last].FP > 0 {
		r := Ranking{Positive: "that a text has a label", Points: points, Used: 0.5, Of: "all labels together"}
		figures = append(figures, PRFigure(r), ThresholdFigure(r), averagedThresholds(o))
	}
	if c <= mostMultiples {
		figures = append(figures, prMultiples(o.Labels, func(k int) ([]int, []float64) {
			has, p := make([]int, len(o.Examples)), make([]float64, len(o.Examples))
			for i := range o.Examples {
				has[i], p[i] = labels[i*c+k], scores[i*c+k]
			}
			return has, p
		})...)
	}
	for k, what := range []string{"right", "predicted"} {
		f := ConfusionFigure(Confusion{
			Name: what + "-together", Title: "Labels that occur together: " + what, Labels: o.Labels, Counts: together[k], RowTitle: "label", ColumnTitle: "together with",
			Normalization: NoShares,
		})
		f.Finding = fmt.Sprintf("The %s labels of %s examples; the diagonal counts each label.", what, message.Thousands(len(o.Examples)))
		figures = append(figures, f)
	}
	if c <= cellTexts {
		figures = append(figures, togetherDifference(o.Labels, together))
	}
	_, high, _ := span(counts[0].Values, counts[1].Values)
	figures = append(figures, HistogramFigure(Histogram{
		Name: "cardinality", Title: "Labels of an example", XTitle: "number of labels", Samples: counts[:], Range: &Range{-0.5, high + 0.5}, Bins: int(high) + 1, Whole: true,
	}))
	return figures
}

// togetherDifference is how much more often labels are predicted together than they belong together.
func togetherDifference(labels []string, together [2]metric.ConfusionMatrix) *Figure {
	h := HeatMap{
		Name: "together-difference", Title: "Labels that occur together: predicted minus right", RowTitle: "label", ColumnTitle: "together with", ValueTitle: "examples more",
		Rows: labels, Columns: labels, Diverging: true,
	}
	most, row, column := 0, -1, -1
	for i := range labels {
		values := make([]float64, len(labels))
		for j := range labels {
			d := together[1][i][j] - together[0][i][j]
			values[j] = float64(d)
			if j > i && max(d, -d) > most {
				most, row, column = max(d, -d), i, j
			}
		}
		h.Values = append(h.Values, values)
	}
	f := HeatMapFigure(h)
	f.Finding = "Pairs of labels are predicted together as often as they belong together."
	if row >= 0 {
		than := map[bool]string{true: "more", false: "fewer"}[together[1][row][column] > together[0][row][column]]
		f.Finding = fmt.Sprintf("%s and %s are predicted together in %s %s examples than they belong together in; the diagonal is about single labels.", shortName(labels[row]), shortName(labels[column]), message.Thousands(most), than)
	}
	return f
}

func multiLabelIntervals(o *task.Outcomes, out map[string]*metric.Interval) {
	rows := make([][]float64, len(o.Examples))
	for i := range o.Examples {
		x := &o.Examples[i]
		row := []float64{0, 0, float64(len(x.Labels))}
		for j, p := range x.Probabilities {
			if p > 0.5 {
				row[1]++
				if slices.Contains(x.Labels, j) {
					row[0]++
				}
			}
		}
		rows[i] = row
	}
	out["micro_f1"] = sums(rows, f1Of)
}

func regressionFigures(o *task.Outcomes, _ *Options) []*Figure {
	n := len(o.Examples)
	gold, said, off, names := make([]float64, n), make([]float64, n), make([]float64, n), make([]string, n)
	for i := range o.Examples {
		x := &o.Examples[i]
		gold[i], said[i], off[i], names[i] = *x.Target, *x.Value, *x.Value-*x.Target, x.Source
	}
	finding := "There is no correlation: all labels or all predictions are the same."
	if p, err := metric.Pearson(gold, said); err == nil {
		finding = fmt.Sprintf("Pearson's coefficient is %s", draw.Number(p))
		if s, err := metric.Spearman(gold, said); err == nil {
			finding += ", Spearman's " + draw.Number(s)
		}
		finding += "."
	}
	return []*Figure{
		ScatterFigure(Scatter{Name: "predictions", Title: "Predicted and right numbers", XTitle: "right", YTitle: "predicted", X: gold, Y: said, Names: names, Identity: true, Finding: finding}),
		HistogramFigure(Histogram{Name: "residuals", Title: "How far predictions are off", XTitle: "predicted minus right", Samples: []Sample{{"examples", off}}, At: new(0.0), AtName: "right"}),
		ScatterFigure(Scatter{Name: "residuals-by-label", Title: "How far predictions are off, by the right number", XTitle: "right", YTitle: "predicted minus right", X: gold, Y: off, Names: names, Zero: true, Finding: residualFinding(gold, off)}),
	}
}

func residualFinding(gold, off []float64) string {
	r, err := metric.Pearson(gold, off)
	switch {
	case errors.Is(err, metric.ErrUndefined) || err != nil:
		return "The residuals don't depend on the right number."
	case r < -0.2:
		return fmt.Sprintf("Large numbers are predicted too small and small ones too large (correlation %s).", draw.Number(r))
	case r > 0.2:
		return fmt.Sprintf("Large numbers are predicted too large and small ones too small (correlation %s).", draw.Number(r))
	}
	return fmt.Sprintf("The residuals hardly depend on the right number (correlation %s).", draw.Number(r))
}

func regressionIntervals(o *task.Outcomes, out map[string]*metric.Interval) {
	rows := make([][]float64, len(o.Examples))
	for i := range o.Examples {
		x, y := *o.Examples[i].Target, *o.Examples[i].Value
		rows[i] = []float64{1, x, y, x * x, y * y, x * y}
	}
	out["pearson"] = sums(rows, func(s []float64) float64 {
		n := s[0]
		return (n*s[5] - s[1]*s[2]) / math.Sqrt((n*s[3]-s[1]*s[1])*(n*s[4]-s[2]*s[2]))
	})
	out["spearman"] = spearmanInterval(o)
}

// spearmanInterval draws examples in the orders of their numbers, so that nothing is sorted twice.
func spearmanInterval(o *task.Outcomes) *metric.Interval {
	n := len(o.Examples)
	of := [2]func(i int) float64{
		func(i int) float64 { return *o.Examples[i].Target },
		func(i int) float64 { return *o.Examples[i].Value },
	}
	var orders [2][]int
	var ranks [2][]float64
	for k := range orders {
		orders[k], ranks[k] = make([]int, n), make([]float64, n)
		for i := range orders[k] {
			orders[k][i] = i
		}
		slices.SortStableFunc(orders[k], func(a, b int) int { return cmp.Compare(of[k](a), of[k](b)) })
	}
	return new(metric.Bootstrap(n, bootstrapSeed, func(times []int) float64 {
		for k, order := range orders {
			before := 0.0
			for i := 0; i < n; {
				from, same := i, 0.0
				for ; i < n && of[k](order[i]) == of[k](order[from]); i++ {
					same += float64(times[order[i]])
				}
				for _, x := range order[from:max(i, from+1)] {
					ranks[k][x] = before + (same+1)/2 // the mean of equal ones
				}
				i = max(i, from+1)
				before += same
			}
		}
		var s [6]float64
		for i, t := range times {
			x, y, w := ranks[0][i], ranks[1][i], float64(t)
			for k, v := range [6]float64{1, x, y, x * x, y * y, x * y} {
				s[k] += w * v
			}
		}
		return (s[0]*s[5] - s[1]*s[2]) / math.Sqrt((s[0]*s[3]-s[1]*s[1])*(s[0]*s[4]-s[2]*s[2]))
	}))
}

// tagged are the sentences with their entities.
func tagged(o *task.Outcomes) (types []string, sentences []Tagged) {
	set := metric.NewTagSet(o.Labels)
	entities := func(ids []int) []metric.Entity {
		tags := make([]metric.Tag, len(ids))
		for i, id := range ids {
			tags[i] = set.Tag(o.Labels[id])
		}
		return metric.Entities(tags)
	}
	for i := range o.Examples {
		sentences = append(sentences, Tagged{entities(o.Examples[i].Tags), entities(o.Examples[i].Predicted)})
	}
	return set.Types, sentences
}

func wordFigures(o *task.Outcomes, _ *Options) []*Figure {
	types, sentences := tagged(o)
	return append(EntityFigures(types, sentences), entityLengthFigure(o, sentences)...)
}

// entityLengthFigure is F1 by the number of words of a sentence.
func entityLengthFigure(o *task.Outcomes, sentences []Tagged) []*Figure {
	lengths := make([]int, len(o.Examples))
	for i := range o.Examples {
		lengths[i] = len(o.Examples[i].Words)
	}
	edges := lengthEdges(lengths)
	if len(edges) < 2 {
		return nil
	}
	counts := make([][3]float64, len(edges)) // right, found and true entities
	for i, s := range sentences {
		g, _ := slices.BinarySearch(edges, lengths[i])
		for _, p := range metric.MatchEntities(s.Gold, s.Found) {
			if p.Error == metric.Exact {
				counts[g][0]++
			}
		}
		counts[g][1] += float64(len(s.Found))
		counts[g][2] += float64(len(s.Gold))
	}
	d := Dots{
		Name: "length", Title: "F1 by length of the sentence", XTitle: "F1", Series: []string{"F1"}, Range: &Range{0, 1},
		Extra: []ExtraColumn{{Column: Column{Name: "entities", Number: true}}},
	}
	from := slices.Min(lengths)
	for g, edge := range edges {
		d.Rows = append(d.Rows, DotRow{Name: fmt.Sprintf("%d to %d words", from, edge), Values: []float64{f1Of(counts[g][:])}})
		d.Extra[0].Cells = append(d.Extra[0].Cells, fmt.Sprint(int(counts[g][2])))
		from = edge + 1
	}
	d.Finding = fmt.Sprintf("In the shortest sentences F1 is %s, in the longest %s.", draw.Number(d.Rows[0].Values[0]), draw.Number(d.Rows[len(d.Rows)-1].Values[0]))
	return []*Figure{DotsFigure(d)}
}

func wordIntervals(o *task.Outcomes, out map[string]*metric.Interval) {
	_, sentences := tagged(o)
	rows := make([][]float64, len(sentences))
	for i, s := range sentences {
		right := 0.0
		for _, p := range metric.MatchEntities(s.Gold, s.Found) {
			if p.Error == metric.Exact {
				right++
			}
		}
		rows[i] = []float64{right, float64(len(s.Found)), float64(len(s.Gold))}
	}
	out["f1"] = sums(rows, f1Of)
}

// answerScores are the scores of a question's answer.
func answerScores(x *task.Outcome, answer string) (exact, f1 float64) {
	right := make([]data.Span, len(x.Answers))
	for i, a := range x.Answers {
		right[i].Text = a
	}
	return squad.ScoreAnswer(data.SQuAD2, right, answer)
}

func answerRight(_ *task.Outcomes, x *task.Outcome) (right, ok bool) {
	exact, _ := answerScores(x, *x.Answer)
	return exact == 1, true
}

func answerFigures(o *task.Outcomes, _ *Options) []*Figure {
	var (
		figures []*Figure
		odds    [2]Sample
		groups  = make(map[string][3]float64) // by length of the right answer: exact, F1, number
	)
	odds[0].Name, odds[1].Name = "there is an answer", "there is none"
	for i := range o.Examples {
		x := &o.Examples[i]
		k := 0
		if len(x.Answers) == 0 {
			k = 1
		}
		if x.NullOdds != nil {
			odds[k].Values = append(odds[k].Values, *x.NullOdds)
		}
		exact, f1 := answerScores(x, *x.Answer)
		name := "no answer"
		if len(x.Answers) > 0 {
			name = answerLengths[min(len(answerLengths)-1, answerLength(x.Answers[0]))]
		}
		g := groups[name]
		groups[name] = [3]float64{g[0] + exact, g[1] + f1, g[2] + 1}
	}
	if len(odds[0].Values) > 0 && len(odds[1].Values) > 0 {
		figures = append(figures, nullThresholdFigure(o))
		figures = append(figures, HistogramFigure(Histogram{Name: "null-odds", Title: "Odds of no answer", XTitle: "score of no answer minus that of the best answer", Samples: odds[:]}))
	}
	d := Dots{Name: "answers", Title: "Scores by length of the answer", XTitle: "share", Series: []string{"exact", "F1"}, Range: &Range{0, 1}, Extra: []ExtraColumn{{Column: Column{Name: "questions", Number: true}}}}
	for _, name := range append(slices.Clone(answerLengths), "no answer") {
		g := groups[name]
		if g[2] == 0 {
			continue
		}
		i := metric.Wilson(int(g[0]), int(g[2]))
		d.Rows = append(d.Rows, DotRow{name, []float64{g[0] / g[2], g[1] / g[2]}, []*metric.Interval{&i, nil}})
		d.Extra[0].Cells = append(d.Extra[0].Cells, fmt.Sprint(int(g[2])))
	}
	if len(d.Rows) > 0 {
		worst := slices.MinFunc(d.Rows, func(a, b DotRow) int { return cmp.Compare(a.Values[1], b.Values[1]) })
		d.Finding = fmt.Sprintf("F1 is lowest for: %s, with %s.", worst.Name, draw.Number(worst.Values[1]))
		figures = append(figures, DotsFigure(d))
	}
	return append(figures, moreAnswerFigures(o)...)
}

// answerLengths name the groups of right answers.
var answerLengths = []string{"1 word", "2 words", "3 to 5 words", "6 words and more"}

// answerLength is the group of an answer.
func answerLength(answer string) int {
	switch n := len(fieldsOf(answer)); {
	case n <= 1:
		return 0
	case n == 2:
		return 1
	case n <= 5:
		return 2
	}
	return 3
}

// nullThresholdFigure is F1 and exact match against the threshold of no answer.
func nullThresholdFigure(o *task.Outcomes) *Figure {
	type question struct{ odds, exact, f1, none float64 }
	questions := make([]question, 0, len(o.Examples))
	exact, f1 := 0.0, 0.0 // of answering nothing
	for i := range o.Examples {
		x := &o.Examples[i]
		if x.NullOdds == nil {
			continue
		}
		q := question{odds: *x.NullOdds}
		q.exact, q.f1 = answerScores(x, x.Best)
		if len(x.Answers) == 0 {
			q.none = 1
		}
		exact += q.none
		f1 += q.none
		questions = append(questions, q)
	}
	slices.SortFunc(questions, func(a, b question) int { return cmp.Compare(a.odds, b.odds) })
	n := float64(len(questions))
	t := Table{Columns: numbers("threshold", "exact", "F1")}
	var x, e, f []float64
	best := 0
	for i, q := range questions {
		exact += q.exact - q.none
		f1 += q.f1 - q.none
		if i+1 < len(questions) && questions[i+1].odds == q.odds {
			continue
		}
		x, e, f = append(x, q.odds), append(e, 100*exact/n), append(f, 100*f1/n)
		t.Rows = append(t.Rows, []string{exactly(q.odds), exactly(100 * exact / n), exactly(100 * f1 / n)})
		if f[len(f)-1] > f[best] {
			best = len(f) - 1
		}
	}
	t.sampled()
	c := &chart{xTitle: "threshold of no answer", yTitle: "score in percent"}
	c.x.Min, c.x.Max, _ = span(x)
	c.x.Min, c.x.Max = around(c.x.Min, c.x.Max, 0)
	low, high, _ := span(e, f)
	c.y.Min, c.y.Max = around(low, high, 0.05)
	ex, ey := thin(x, e, c.x.Max-c.x.Min, c.y.Max-c.y.Min)
	fx, fy := thin(x, f, c.x.Max-c.x.Min, c.y.Max-c.y.Min)
	c.lines = []chartLine{{"F1", fx, fy, draw.Stroke{Paint: draw.Series(0), Width: 1.8}}, {"exact", ex, ey, draw.Stroke{Paint: draw.Series(1), Width: 1.8}}}
	c.marks = []chartMark{{name: "best F1", legend: "best F1", x: x[best], y: f[best], shape: draw.Star, radius: 5.5, paint: draw.Series(0), label: draw.Number(f[best])}}
	fig := &Figure{
		Name: "null-threshold", Title: "Scores by threshold of no answer", Table: t, Draw: c.draw, Text: c.text,
		Finding: fmt.Sprintf("F1 is best at a threshold of %s: %s %%.", draw.Number(x[best]), draw.Number(f[best])),
	}
	// The threshold in use is that at which the last question is answered that the model answers.
	used := math.Inf(-1)
	for i := range o.Examples {
		if e := &o.Examples[i]; e.NullOdds != nil && *e.Answer != "" {
			used = max(used, *e.NullOdds)
		}
	}
	if at, ok := slices.BinarySearch(x, used); ok {
		c.marks = append(c.marks, chartMark{name: "in use", legend: "in use", x: x[at], y: f[at], shape: draw.Diamond, radius: 5, paint: draw.Series(1)})
		if at == best {
			fig.Finding += " It is the one in use."
		} else {
			fig.Finding += fmt.Sprintf(" With the one in use it is %s %%.", draw.Number(f[at]))
		}
	}
	fig.Width, fig.Height = c.size()
	return fig
}

func answerIntervals(o *task.Outcomes, out map[string]*metric.Interval) {
	rows := make([][]float64, len(o.Examples))
	for i := range o.Examples {
		exact, f1 := answerScores(&o.Examples[i], *o.Examples[i].Answer)
		rows[i] = []float64{1, 100 * exact, 100 * f1}
	}
	out["exact"] = sums(rows, func(s []float64) float64 { return s[1] / s[0] })
	out["f1"] = sums(rows, func(s []float64) float64 { return s[2] / s[0] })
	var parts [2][][]float64 // of questions with an answer, and without
	for i, row := range rows {
		k := 0
		if len(o.Examples[i].Answers) == 0 {
			k = 1
		}
		parts[k] = append(parts[k], row)
	}
	for k, name := range []string{"HasAns_f1", "NoAns_f1"} {
		out[name] = sums(parts[k], func(s []float64) float64 { return s[2] / s[0] })
	}
}
