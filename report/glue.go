package report

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/glue"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/report/draw"
)

// GLUETask is what the folder of a task of the benchmark says.
type GLUETask struct {
	Name  string
	Parts []glue.Part
	Run   *Run // its training; nil: there is none, as of ax
	Page  bool // there is a page in the folder
}

// readGLUETask reads the folder of a task; nil where there is none.
func readGLUETask(dir, name string) (*GLUETask, error) {
	parts, err := glue.ReadParts(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t := &GLUETask{Name: name, Parts: parts}
	if t.Run, err = Open(dir); err != nil && !errors.As(err, new(*NoRunError)) {
		return nil, err
	}
	_, err = os.Stat(filepath.Join(dir, PageFile))
	t.Page = err == nil
	return t, nil
}

// part is a part of a task of a run; nil where its folder isn't there.
func (r *Run) part(task string, split data.Split) (*GLUETask, *glue.Part) {
	for i := range r.Tasks {
		if t := &r.Tasks[i]; t.Name == task {
			for k := range t.Parts {
				if t.Parts[k].Split == split {
					return t, &t.Parts[k]
				}
			}
		}
	}
	return nil, nil
}

// partInterval is that of a metric of a part, in percent; nil where the files don't have the numbers for it.
func (r *Run) partInterval(task string, split data.Split, name string) *metric.Interval {
	t, p := r.part(task, split)
	if p == nil {
		return nil
	}
	found := make(map[string]*metric.Interval)
	switch {
	case len(p.Confusion) > 0:
		positive := -1
		if len(p.Labels) == 2 {
			positive = 1
			if t.Run != nil && t.Run.Result != nil && t.Run.positive() >= 0 {
				positive = t.Run.positive()
			}
		}
		confusionIntervals(found, p.Confusion, positive)
	case t.Run != nil && t.Run.Result != nil && len(t.Parts) == 1:
		found = t.Run.intervals()
	}
	i := found[name]
	if i == nil || !finite(i.Low) {
		return nil
	}
	return &metric.Interval{Low: 100 * i.Low, High: 100 * i.High}
}

// paperScores are those of BERT-base on GLUE's test data (Devlin et al. 2018, table 1), by the names of the benchmark's table: F1
// of QQP and MRPC, Spearman's coefficient of STS-B, Matthews' of CoLA and accuracies.
var paperScores = []struct {
	name, metric string
	value        float64
}{
	{"CoLA", "matthews", 52.1}, {"SST-2", "eval_accuracy", 93.5}, {"MRPC", "f1_score", 88.9}, {"STS-B", "spearman", 85.8}, {"QQP", "f1_score", 71.2},
	{"MNLI-m", "eval_accuracy", 84.6}, {"MNLI-mm", "eval_accuracy", 83.4}, {"QNLI", "eval_accuracy", 90.5}, {"RTE", "eval_accuracy", 66.4},
}

// glueFigures is a row for each part of the benchmark.
func glueFigures(runs []*Run, _ *Options) []*Figure {
	d := Dots{Name: "glue", Title: "GLUE", XTitle: "score in percent"}
	var names []string
	for _, r := range runs {
		if r.GLUE == nil {
			continue
		}
		d.Series = append(d.Series, r.Name)
		for _, row := range r.GLUE.Rows {
			if !slices.Contains(names, row.Name) {
				names = append(names, row.Name)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	k := len(d.Series)
	d.Series = append(d.Series, "BERT-base in the paper, on the test data")
	ahead, compared := 0, 0
	for _, name := range names {
		row := DotRow{Name: name, Values: make([]float64, k+1), Intervals: make([]*metric.Interval, k+1)}
		for i := range row.Values {
			row.Values[i] = math.NaN()
		}
		by := ""
		for _, p := range paperScores {
			if p.name == name {
				by, row.Values[k] = p.metric, p.value
			}
		}
		at := 0
		for _, r := range runs {
			if r.GLUE == nil {
				continue
			}
			for _, part := range r.GLUE.Rows {
				if part.Name != name {
					continue
				}
				row.Values[at] = part.Score
				shown := by
				if len(part.Metrics) == 1 {
					shown = cmp.Or(by, part.Metrics[0].Name)
				}
				if v, ok := part.Metrics.Get(shown); ok {
					row.Values[at], row.Intervals[at] = v, r.partInterval(part.Task, part.Split, shown)
				}
				if finite(row.Values[k]) && at == 0 {
					compared++
					if row.Values[0] >= row.Values[k] {
						ahead++
					}
				}
			}
			at++
		}
		d.Rows = append(d.Rows, row)
	}
	d.Finding = fmt.Sprintf("%s on the development data is at or above the paper's BERT-base on the test data in %d of %d parts.", d.Series[0], ahead, compared)
	return append([]*Figure{DotsFigure(d)}, glueDifferences(runs, names)...)
}

// glueDifferences is what other runs of the benchmark have more or less than the first.
func glueDifferences(runs []*Run, names []string) []*Figure {
	runs = slices.DeleteFunc(slices.Clone(runs), func(r *Run) bool { return r.GLUE == nil })
	if len(runs) < 2 {
		return nil
	}
	score := func(r *Run, name string) float64 {
		for _, row := range r.GLUE.Rows {
			if row.Name == name {
				return row.Score
			}
		}
		return math.NaN()
	}
	h := HeatMap{
		Name: "glue-differences", Title: "GLUE: differences from " + runs[0].Name, RowTitle: "part", ColumnTitle: "run", ValueTitle: "points more than " + runs[0].Name,
		Rows: names, Diverging: true,
	}
	for _, r := range runs[1:] {
		h.Columns = append(h.Columns, r.Name)
	}
	up, down := 0, 0
	for _, name := range names {
		var row []float64
		for i, r := range runs[1:] {
			d := score(r, name) - score(runs[0], name)
			row = append(row, d)
			switch {
			case i > 0:
			case d > 0:
				up++
			case d < 0:
				down++
			}
		}
		h.Values = append(h.Values, row)
	}
	f := HeatMapFigure(h)
	f.Finding = fmt.Sprintf("%s is better than %s in %d parts, worse in %d", runs[1].Name, runs[0].Name, up, down)
	if d := runs[1].GLUE.Score - runs[0].GLUE.Score; finite(d) {
		f.Finding += fmt.Sprintf("; its mean is %s points %s", draw.Number(math.Abs(d)), map[bool]string{true: "lower", false: "higher"}[d < 0])
	}
	f.Finding += "."
	return []*Figure{f}
}

// glueMultiples are the confusion matrices of all parts, and the losses of all trainings, each beside one another.
func glueMultiples(runs []*Run, o *Options) []*Figure {
	var figures []*Figure
	for _, r := range runs {
		if r.GLUE == nil {
			continue
		}
		figures = append(figures, r.partMatrices(runs)...)
		figures = append(figures, r.taskLosses(runs, o)...)
	}
	return figures
}

// partMatrices are the confusion matrices of the parts that have labels.
func (r *Run) partMatrices(runs []*Run) []*Figure {
	p := &panels{columns: 3, height: 140, note: "rows: true label, columns: predicted; the table has the labels"}
	t := Table{Columns: append(words("part", "true label", "predicted label"), numbers("examples")...)}
	t.Columns[1].Text, t.Columns[2].Text = true, true
	worst, low := "", math.Inf(1)
	for _, row := range r.GLUE.Rows {
		_, part := r.part(row.Task, row.Split)
		if part == nil || len(part.Labels) == 0 || len(part.Labels) > cellTexts {
			continue
		}
		right := rightShare(part.Confusion)
		p.panels = append(p.panels, panel{row.Name + ": " + percent(right), func(c draw.Canvas, in draw.Rect) { smallMatrix(c, in, part.Labels, part.Confusion) }})
		for i, counts := range part.Confusion {
			for j, n := range counts {
				t.Rows = append(t.Rows, []string{row.Name, part.Labels[i], part.Labels[j], strconv.Itoa(n)})
			}
		}
		if right < low {
			worst, low = row.Name, right
		}
	}
	if len(p.panels) == 0 {
		return nil
	}
	t.sampled()
	finding := "No part has examples."
	if worst != "" {
		finding = fmt.Sprintf("The share of right answers is lowest on %s: %s.", worst, percent(low))
	}
	return []*Figure{p.figure("glue-confusions", r.of("Confusion matrices of the parts", runs), finding, t)}
}

// taskLosses are the smoothed losses of the trainings.
func (r *Run) taskLosses(runs []*Run, o *Options) []*Figure {
	p := &panels{columns: 3, height: 110, note: "the smoothed loss against the steps"}
	t := Table{Columns: append(words("task"), numbers("step", "loss", "smoothed")...)}
	finding, most := "", 0.0
	for _, task := range r.Tasks {
		if task.Run == nil || task.Run.Events == nil || len(task.Run.Events.Logged) == 0 {
			continue
		}
		e := task.Run.Events
		x, y := stepX(e, Steps), make([]float64, len(e.Logged))
		for i, s := range e.Logged {
			y[i] = s.Loss
		}
		smooth := Smooth(y, o.smoothing())
		for i := range x {
			t.Rows = append(t.Rows, []string{task.Name, exactly(x[i]), exactly(y[i]), exactly(smooth[i])})
		}
		low, high, ok := span(smooth)
		if !ok {
			continue
		}
		if first, last := smooth[0], smooth[len(smooth)-1]; first > 0 && (finding == "" || last/first > most) {
			most = last / first
			finding = fmt.Sprintf("The loss falls least on %s: from %s to %s.", task.Name, draw.Number(first), draw.Number(last))
		}
		lx, ly := extremes(x, smooth)
		xs, ys := draw.Scale{Min: 0, Max: x[len(x)-1]}, draw.Scale{Min: min(0, low), Max: high}
		if ys.Min == ys.Max {
			ys.Max++
		}
		lines := []chartLine{{"", lx, ly, draw.Stroke{Paint: draw.Series(0), Width: 1.6}}}
		p.panels = append(p.panels, panel{task.Name, func(c draw.Canvas, in draw.Rect) { smallPlot(c, in, xs, ys, lines) }})
	}
	if len(p.panels) < 2 {
		return nil
	}
	t.sampled()
	return []*Figure{p.figure("glue-losses", r.of("Losses of the trainings", runs), cmp.Or(finding, "There are no losses."), t)}
}

// diagnosticFigures are the scores of the diagnostic set by what its sentences are about: a figure for each field.
func diagnosticFigures(runs []*Run, _ *Options) []*Figure {
	var figures []*Figure
	for _, r := range runs {
		for _, task := range r.Tasks {
			for _, part := range task.Parts {
				for from := 0; from < len(part.Categories); {
					to := from + 1
					for to < len(part.Categories) && part.Categories[to].Field == part.Categories[from].Field {
						to++
					}
					f := diagnosticFigure(part.Categories[from:to])
					f.Title = r.of(f.Title, runs)
					figures = append(figures, f)
					from = to
				}
			}
		}
	}
	return figures
}

// diagnosticFigure is the Matthews coefficient of the categories of a field, as the benchmark's table has it, in percent.
func diagnosticFigure(categories []glue.Category) *Figure {
	field := categories[0].Field
	d := Dots{
		Name: "diagnostic-" + fileName(field), Title: "Diagnostic set: " + field, XTitle: "Matthews coefficient in percent", Series: []string{"Matthews"},
		Extra: []ExtraColumn{{Column: Column{Name: "accuracy", Number: true}}, {Column: Column{Name: "examples", Number: true}}},
	}
	worst, best := -1, -1
	for i, c := range categories {
		n := 0
		for _, row := range c.Confusion {
			for _, k := range row {
				n += k
			}
		}
		found := make(map[string]*metric.Interval)
		confusionIntervals(found, c.Confusion, -1)
		value := 100 * c.Confusion.Matthews()
		row := DotRow{Name: cmp.Or(c.Name, "all"), Values: []float64{value}, Intervals: make([]*metric.Interval, 1)}
		if v := found["matthews"]; v != nil && finite(v.Low) {
			row.Intervals[0] = &metric.Interval{Low: 100 * v.Low, High: 100 * v.High}
		}
		d.Rows = append(d.Rows, row)
		d.Extra[0].Cells = append(d.Extra[0].Cells, exactly(rightShare(c.Confusion)))
		d.Extra[1].Cells = append(d.Extra[1].Cells, strconv.Itoa(n))
		if c.Name != "" {
			if worst < 0 || value < d.Rows[worst].Values[0] {
				worst = i
			}
			if best < 0 || value > d.Rows[best].Values[0] {
				best = i
			}
		}
	}
	if worst >= 0 {
		d.Finding = fmt.Sprintf("The coefficient is highest for %s: %s, and lowest for %s: %s.", shortName(d.Rows[best].Name), draw.Number(d.Rows[best].Values[0]),
			shortName(d.Rows[worst].Name), draw.Number(d.Rows[worst].Values[0]))
	}
	if d.Rows[0].Name == "all" && categories[0].Name == "" {
		d.Finding = fmt.Sprintf("Of %s examples with %s it is %s. ", d.Extra[1].Cells[0], field, draw.Number(d.Rows[0].Values[0])) + d.Finding
	}
	return DotsFigure(d)
}

// taskPages is a table of all metrics of the tasks of runs of the benchmark, with links to their pages where the page is beside them.
func taskPages(runs []*Run, o *Options) (Section, bool) {
	t := Table{Columns: append(words("run", "task", "part", "metric"), numbers("value", "examples", "steps")...)}
	t.Columns[0].Text = true
	count := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	var links []string
	for _, r := range runs {
		for _, task := range r.Tasks {
			steps := ""
			if task.Run != nil && task.Run.Events != nil && task.Run.Events.Result != nil {
				steps = strconv.Itoa(task.Run.Events.Result.ModelStep)
			}
			for _, p := range task.Parts {
				for _, m := range p.Metrics {
					if m.Name != "global_step" {
						t.Rows = append(t.Rows, []string{r.Name, task.Name, string(p.Split), metric.Label(m.Name), exactly(m.Value), count(p.Examples), steps})
					}
				}
			}
			if task.Page && o.Beside && len(runs) == 1 {
				links = append(links, task.Name)
			}
		}
	}
	if len(t.Rows) == 0 {
		return Section{}, false
	}
	s := Section{Title: "Tasks", Tables: []NamedTable{{"All metrics of the tasks", t}}}
	if len(links) > 0 {
		var b bytes.Buffer
		if err := taskLinks.Execute(&b, links); err == nil { // the template and what it is given are ours
			s.Body = template.HTML(b.String())
		}
	}
	return s, true
}

var taskLinks = template.Must(template.New("links").Parse(`<p>Pages of the tasks:</p><ul class="links">{{range .}}<li><a href="{{.}}/` + PageFile + `">{{.}}</a></li>{{end}}</ul>`))
