package report

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/report/draw"
)

// DotRow is a row of a dot plot: a number of each series, and where it is with a confidence of 95 %.
type DotRow struct {
	Name      string
	Values    []float64          // by series; NaN: none
	Intervals []*metric.Interval // by series; nil: none
}

// Dots is what a dot plot shows.
type Dots struct {
	Name, Title, XTitle string
	Series              []string
	Rows                []DotRow
	Range               *Range // nil: of the numbers
	Finding             string
	// Extra are further columns of the table, with a cell for each row.
	Extra []ExtraColumn
}

// ExtraColumn is a column of a table.
type ExtraColumn struct {
	Column
	Cells []string
}

// DotsFigure draws a row of dots for each name, with lines for the intervals.
func DotsFigure(d Dots) *Figure {
	t := Table{Columns: words("")}
	t.Columns[0].Text = true
	for k, s := range d.Series {
		t.Columns = append(t.Columns, numbers(s)...)
		if d.hasIntervals(k) {
			t.Columns = append(t.Columns, numbers("low", "high")...)
		}
	}
	for _, x := range d.Extra {
		t.Columns = append(t.Columns, x.Column)
	}
	for i, r := range d.Rows {
		row := []string{r.Name}
		for k := range d.Series {
			row = append(row, exactly(r.Values[k]))
			if d.hasIntervals(k) {
				low, high := "", ""
				if v := r.interval(k); v != nil {
					low, high = exactly(v.Low), exactly(v.High)
				}
				row = append(row, low, high)
			}
		}
		for _, x := range d.Extra {
			row = append(row, x.Cells[i])
		}
		t.Rows = append(t.Rows, row)
	}
	f := &Figure{Name: d.Name, Title: d.Title, Finding: d.Finding, Table: t, Width: figureWidth, Draw: d.draw}
	f.Height = 12 + legendHeight(d.entries(), figureWidth-24) + d.rowHeight()*float64(len(d.Rows)) + 48
	return f
}

func (r *DotRow) interval(k int) *metric.Interval {
	if k < len(r.Intervals) {
		return r.Intervals[k]
	}
	return nil
}

func (d *Dots) hasIntervals(k int) bool {
	for i := range d.Rows {
		if d.Rows[i].interval(k) != nil {
			return true
		}
	}
	return false
}

func (d *Dots) rowHeight() float64 { return 12 + 9*float64(max(1, len(d.Series))) }

func (d *Dots) entries() []entry {
	var e []entry
	for k, name := range d.Series {
		e = append(e, entry{name: name, paint: draw.Series(k), mark: true, shape: draw.Shape(k % int(draw.Cross))})
	}
	return e
}

func (d *Dots) draw(c draw.Canvas) {
	names := 30.0
	for _, r := range d.Rows {
		names = max(names, draw.Width(draw.Fit(r.Name, textSize, 150), textSize, false))
	}
	legend(c, draw.Point{X: 12, Y: 4}, figureWidth-24, d.entries())
	top := 12 + legendHeight(d.entries(), figureWidth-24)
	area := draw.Rect{X: names + 24, Y: top, W: figureWidth - names - 44, H: d.rowHeight() * float64(len(d.Rows))}
	x := draw.Scale{From: area.X, To: area.X + area.W}
	if d.Range != nil {
		x.Min, x.Max = d.Range.Min, d.Range.Max
	} else {
		var all [][]float64
		for i := range d.Rows {
			all = append(all, d.Rows[i].Values)
			for k := range d.Series {
				if v := d.Rows[i].interval(k); v != nil {
					all = append(all, []float64{v.Low, v.High})
				}
			}
		}
		low, high, ok := span(all...)
		if !ok {
			low, high = 0, 1
		}
		x.Min, x.Max = around(low, high, 0.05)
	}
	for _, t := range x.Ticks(6) {
		at := x.At(t.Value)
		draw.Line(c, draw.Point{X: at, Y: area.Y}, draw.Point{X: at, Y: area.Y + area.H}, draw.Stroke{Paint: draw.Rule, Width: 1})
		c.Text(draw.Point{X: at, Y: area.Y + area.H + 16}, t.Label, draw.TextStyle{Size: smallSize, Anchor: draw.Middle, Paint: draw.Muted})
	}
	for i := range d.Rows {
		r := &d.Rows[i]
		y := area.Y + d.rowHeight()*float64(i)
		c.Text(draw.Point{X: area.X - 8, Y: y + d.rowHeight()/2}, draw.Fit(r.Name, textSize, 150), draw.TextStyle{Anchor: draw.End, Centred: true})
		draw.Line(c, draw.Point{X: area.X, Y: y + d.rowHeight()}, draw.Point{X: area.X + area.W, Y: y + d.rowHeight()}, draw.Stroke{Paint: draw.Rule, Width: 1})
		for k := range d.Series {
			if !finite(r.Values[k]) {
				continue
			}
			at := draw.Point{X: x.At(r.Values[k]), Y: y + 10 + 9*float64(k)}
			c.Group(fmt.Sprintf("%s, %s: %s", r.Name, d.Series[k], draw.Number(r.Values[k])), func() {
				if v := r.interval(k); v != nil {
					draw.Line(c, draw.Point{X: x.At(v.Low), Y: at.Y}, draw.Point{X: x.At(v.High), Y: at.Y}, draw.Stroke{Paint: draw.Series(k), Width: 1.4})
				}
				draw.Mark(c, draw.Shape(k%int(draw.Cross)), at, 4, draw.Series(k))
			})
		}
	}
	c.Text(draw.Point{X: area.X + area.W/2, Y: area.Y + area.H + 38}, d.XTitle, draw.TextStyle{Anchor: draw.Middle})
}

// Classes are the scores of classes.
type Classes struct {
	Labels []string
	Scores []metric.Score // by label; Predicted is negative where it isn't known
	What   string         // what a class is: "label", "type"; "": label
	// Averages follow the classes.
	Averages []Average
}

// Average is an average of the scores of classes.
type Average struct {
	Name string
	metric.Score
}

// mostClasses is how many classes a dot plot shows: those with the most examples.
const mostClasses = 40

// ClassesFigure draws precision, recall and F1 of each class, with their intervals. That of F1 is Wilson's of the share J of right
// examples among those that have the label or are predicted to have it, of which F1 is 2J/(1+J).
func ClassesFigure(k Classes) *Figure {
	what := cmp.Or(k.What, "label")
	d := Dots{
		Name: "classes", Title: "Scores by " + what, XTitle: "score", Series: []string{"precision", "recall", "F1"}, Range: &Range{0, 1},
		Extra: []ExtraColumn{{Column: Column{Name: "examples", Number: true}}, {Column: Column{Name: "predicted", Number: true}}},
	}
	if !slices.ContainsFunc(k.Scores, func(s metric.Score) bool { return s.Predicted >= 0 }) {
		d.Extra = d.Extra[:1]
	}
	worst := -1
	for i, s := range k.Scores {
		right := int(s.Recall*float64(s.Support) + 0.5)
		precision, recall := metric.Wilson(right, s.Predicted), metric.Wilson(right, s.Support)
		row := DotRow{Name: k.Labels[i], Values: []float64{s.Precision, s.Recall, s.F1}, Intervals: make([]*metric.Interval, 3)}
		if s.Predicted > 0 {
			row.Intervals[0] = &precision
		}
		if any := s.Support + s.Predicted - right; s.Predicted >= 0 && any > 0 {
			j := metric.Wilson(right, any)
			row.Intervals[2] = &metric.Interval{Low: 2 * j.Low / (1 + j.Low), High: 2 * j.High / (1 + j.High)}
		}
		if s.Support > 0 {
			row.Intervals[1] = &recall
			if worst < 0 || s.F1 < k.Scores[worst].F1 {
				worst = i
			}
		}
		d.Rows = append(d.Rows, row)
		d.Extra[0].Cells = append(d.Extra[0].Cells, fmt.Sprint(s.Support))
		if len(d.Extra) > 1 {
			predicted := ""
			if s.Predicted >= 0 {
				predicted = fmt.Sprint(s.Predicted)
			}
			d.Extra[1].Cells = append(d.Extra[1].Cells, predicted)
		}
	}
	for _, a := range k.Averages {
		d.Rows = append(d.Rows, DotRow{Name: a.Name, Values: []float64{a.Precision, a.Recall, a.F1}, Intervals: make([]*metric.Interval, 3)})
		d.Extra[0].Cells = append(d.Extra[0].Cells, fmt.Sprint(a.Support))
		if len(d.Extra) > 1 {
			d.Extra[1].Cells = append(d.Extra[1].Cells, "")
		}
	}
	d.Finding = "There are no examples."
	if worst >= 0 {
		d.Finding = fmt.Sprintf("F1 is lowest for %s: %s.", shortName(k.Labels[worst]), draw.Number(k.Scores[worst].F1))
	}
	f := DotsFigure(d)
	f.Table.Columns[0].Name = what
	if classes := len(k.Scores); classes > mostClasses {
		shown := d
		shown.Rows = slices.Concat(d.Rows[:mostClasses], d.Rows[classes:])
		f.Draw = shown.draw
		f.Height = DotsFigure(Dots{Series: d.Series, Rows: shown.Rows}).Height
		f.Finding += fmt.Sprintf(" The picture has the first %d of %d.", mostClasses, classes)
		f.Table.Page, f.Table.Note = f.Table.Rows[:mostClasses], "The first of them; the CSV has all."
	}
	return f
}
