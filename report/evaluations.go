package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/report/draw"
	"github.com/go-bert/bert/task"
)

// Evaluated is a confusion matrix of a training on the way.
type Evaluated struct {
	Step   int
	Best   bool // the best so far
	Counts metric.ConfusionMatrix
}

// shownMatrices is how many matrices a picture has.
const shownMatrices = 12

// EvaluationsFigure draws the confusion matrices of the evaluations of a training beside one another: at most twelve, the first, the
// last and the best among them. The table has all.
func EvaluationsFigure(labels []string, evaluations []Evaluated) *Figure {
	t := Table{Columns: append(append(numbers("step"), words("true label")...), numbers(labels...)...)}
	t.Columns[1].Text = true
	best := -1
	for i, e := range evaluations {
		if e.Best {
			best = i
		}
		for k, row := range e.Counts {
			cells := []string{strconv.Itoa(e.Step), labels[k]}
			for _, n := range row {
				cells = append(cells, strconv.Itoa(n))
			}
			t.Rows = append(t.Rows, cells)
		}
	}
	t.sampled()
	p := &panels{columns: 3, height: 150, note: matrixNote(labels)}
	for _, i := range spread(len(evaluations), shownMatrices, best) {
		e := evaluations[i]
		title := fmt.Sprintf("step %s: %s", message.Thousands(e.Step), percent(rightShare(e.Counts)))
		if i == best {
			title += ", best"
		}
		p.panels = append(p.panels, panel{title, func(c draw.Canvas, in draw.Rect) { smallMatrix(c, in, labels, e.Counts) }})
	}
	return p.figure("confusions", "Confusion matrices of the evaluations", evaluationsFinding(labels, evaluations), t)
}

// evaluationsFinding says how the matrices change, and which pair of labels gained most from the first to the last.
func evaluationsFinding(labels []string, evaluations []Evaluated) string {
	first, last := evaluations[0], evaluations[len(evaluations)-1]
	text := fmt.Sprintf("%s are right at step %s", percent(rightShare(first.Counts)), message.Thousands(first.Step))
	if len(evaluations) == 1 {
		return text + "."
	}
	text += fmt.Sprintf(", %s at step %s", percent(rightShare(last.Counts)), message.Thousands(last.Step))
	type change struct{ row, column, less int }
	var changes []change
	for i, row := range last.Counts {
		for j, n := range row {
			if i != j {
				changes = append(changes, change{i, j, first.Counts[i][j] - n})
			}
		}
	}
	if len(changes) == 0 {
		return text + "."
	}
	by := func(a, b change) int { return cmp.Compare(a.less, b.less) }
	tell := func(c change, n int, than string) {
		if n > 0 {
			are := map[bool]string{true: "is", false: "are"}[n == 1]
			text += fmt.Sprintf("; of %s %s %s %s taken for %s", shortName(labels[c.row]), message.Thousands(n), than, are, shortName(labels[c.column]))
		}
	}
	better, worse := slices.MaxFunc(changes, by), slices.MinFunc(changes, by)
	tell(better, better.less, "fewer")
	tell(worse, -worse.less, "more")
	return text + "."
}

// labelsOnTheWay are the confusion matrices of each run's evaluations, and the scores of its labels along the training.
func labelsOnTheWay(runs []*Run, o *Options) []*Figure {
	var figures []*Figure
	for _, r := range runs {
		if r.Events == nil {
			continue
		}
		var (
			labels []string
			list   []Evaluated
			c      = Curves{Name: "label-f1", Title: r.of("F1 by label along the training", runs), XTitle: o.Against.String(), YTitle: "F1"}
			xs     = evaluationX(r.Events, o.Against)
			n      = 0
		)
		for i, v := range r.Events.Evaluations {
			b, err := task.ParseBrief(v.Evaluation.Details)
			if err != nil || len(b.Labels) == 0 || labels != nil && !slices.Equal(labels, b.Labels) {
				continue
			}
			if labels == nil {
				labels = b.Labels
				for _, name := range labels {
					c.Curves = append(c.Curves, Curve{Name: name, Points: true, Best: -1})
				}
			}
			if b.Confusion != nil {
				list = append(list, Evaluated{v.Step, v.Best, b.Confusion})
			}
			for k, f1 := range b.LabelF1() {
				c.Curves[k].X, c.Curves[k].Y = append(c.Curves[k].X, xs[i]), append(c.Curves[k].Y, f1)
			}
			n++
		}
		if len(list) > 1 || len(list) == 1 && r.Result == nil { // one alone is that of the results
			f := EvaluationsFigure(labels, list)
			f.Title = r.of(f.Title, runs)
			figures = append(figures, f)
		}
		if n > 1 && len(labels) <= oneAgainstRest {
			low := slices.MinFunc(c.Curves, func(a, b Curve) int { return cmp.Compare(a.Y[n-1], b.Y[n-1]) })
			c.Finding = fmt.Sprintf("At the end F1 is lowest for %s: %s.", shortName(low.Name), draw.Number(low.Y[n-1]))
			figures = append(figures, CurvesFigure(c))
		}
	}
	return figures
}
