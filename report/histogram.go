package report

import (
	"cmp"
	"fmt"
	"math"
	"strings"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/report/draw"
)

// Sample is numbers of one sort.
type Sample struct {
	Name   string
	Values []float64 // what is no number is left out
}

// Histogram is what a figure of frequencies shows: samples over one another.
type Histogram struct {
	Name, Title, XTitle string
	Samples             []Sample
	Bins                int      // of equal width; 0: 30
	Range               *Range   // of the axis; nil: from the least to the greatest number
	At                  *float64 // a vertical line, named AtName
	AtName              string
	Whole               bool   // the numbers are whole, and so are those along the axis
	Finding             string // "": the means
}

// Range is where an axis begins and ends.
type Range struct{ Min, Max float64 }

// HistogramFigure counts samples in bins of equal width.
func HistogramFigure(h Histogram) *Figure {
	h.Bins = cmp.Or(max(h.Bins, 0), 30)
	var lists [][]float64
	for _, s := range h.Samples {
		lists = append(lists, s.Values)
	}
	low, high, ok := span(lists...)
	switch {
	case h.Range != nil:
		low, high = h.Range.Min, h.Range.Max
	case !ok:
		low, high = 0, 1
	case low == high:
		low, high = around(low, high, 0)
	}
	var (
		width  = (high - low) / float64(h.Bins)
		counts = make([][]int, len(h.Samples))
		most   = 1
		t      = Table{Columns: numbers("from", "to")}
		find   = ""
	)
	for k, s := range h.Samples {
		counts[k] = make([]int, h.Bins)
		sum, n := 0.0, 0
		for _, v := range s.Values {
			if !finite(v) {
				continue
			}
			i := max(0, min(h.Bins-1, int((v-low)/width)))
			counts[k][i]++
			most = max(most, counts[k][i])
			sum += v
			n++
		}
		t.Columns = append(t.Columns, numbers(s.Name)...)
		if n > 0 && k < 4 {
			find += fmt.Sprintf("%s: %s with a mean of %s. ", s.Name, message.Thousands(n), draw.Number(sum/float64(n)))
		}
	}
	for i := range h.Bins {
		row := []string{exactly(low + width*float64(i)), exactly(low + width*float64(i+1))}
		for k := range counts {
			row = append(row, fmt.Sprint(counts[k][i]))
		}
		t.Rows = append(t.Rows, row)
	}
	c := &chart{xTitle: h.XTitle, yTitle: "examples", x: draw.Scale{Min: low, Max: high}, y: draw.Scale{Min: 0, Max: float64(most) * 1.05}}
	for k, s := range h.Samples {
		x, y := []float64{low}, []float64{0}
		for i, n := range counts[k] {
			from, to := low+width*float64(i), low+width*float64(i+1)
			x, y = append(x, from, to), append(y, float64(n), float64(n))
		}
		x, y = append(x, high), append(y, 0)
		c.lines = append(c.lines, chartLine{s.Name, x, y, draw.Stroke{Paint: draw.Series(k), Width: 1.6, Dash: draw.SeriesDash(k)}})
	}
	if h.At != nil {
		c.lines = append(c.lines, chartLine{h.AtName, []float64{*h.At, *h.At}, []float64{0, c.y.Max}, draw.Stroke{Paint: draw.Muted, Width: 1.2, Dash: []float64{5, 4}}})
	}
	if h.Whole {
		for _, t := range c.x.Ticks(6) {
			if t.Value == math.Trunc(t.Value) {
				c.xTicks = append(c.xTicks, draw.Tick{Value: t.Value, Label: draw.Number(t.Value)})
			}
		}
	}
	f := &Figure{Name: h.Name, Title: h.Title, Finding: cmp.Or(h.Finding, strings.TrimSpace(find), "There are no numbers."), Table: t, Text: c.text}
	f.Width, f.Height = c.size()
	f.Draw = func(on draw.Canvas) {
		c.fillLines(on, len(h.Samples))
		c.draw(on)
	}
	return f
}

// fillLines fills the areas below the first n lines.
func (c *chart) fillLines(on draw.Canvas, n int) {
	p := c.plot(on)
	for _, l := range c.lines[:n] {
		points := make([]draw.Point, len(l.x))
		for i := range l.x {
			points[i] = p.at(l.x[i], l.y[i])
		}
		on.Polygon(points, l.stroke.Paint.Alpha(0.2))
	}
}

// Scatter is what a figure of pairs of numbers shows.
type Scatter struct {
	Name, Title    string
	XTitle, YTitle string
	X, Y           []float64
	Names          []string // where the pointer is; nil: none
	Identity       bool     // draws the line y = x, over equal axes
	Zero           bool     // draws the line y = 0
	Finding        string
}

// maxMarks is how many points a picture of pairs has.
const maxMarks = 3000

// ScatterFigure draws a point for each pair, at most 3,000, which are then at equal distances in the order of the pairs.
func ScatterFigure(s Scatter) *Figure {
	c := &chart{xTitle: s.XTitle, yTitle: s.YTitle, square: s.Identity}
	xl, xh, ok := span(s.X)
	yl, yh, _ := span(s.Y)
	if !ok {
		xl, xh, yl, yh = 0, 1, 0, 1
	}
	if s.Identity {
		xl, yl = min(xl, yl), min(xl, yl)
		xh, yh = max(xh, yh), max(xh, yh)
	}
	if s.Zero {
		yl, yh = min(yl, 0), max(yh, 0)
	}
	c.x.Min, c.x.Max = around(xl, xh, 0.03)
	c.y.Min, c.y.Max = around(yl, yh, 0.03)
	dashed := draw.Stroke{Paint: draw.Muted, Width: 1.2, Dash: []float64{5, 4}}
	if s.Identity {
		c.lines = append(c.lines, chartLine{"right", []float64{c.x.Min, c.x.Max}, []float64{c.x.Min, c.x.Max}, dashed})
	}
	if s.Zero {
		c.lines = append(c.lines, chartLine{"", []float64{c.x.Min, c.x.Max}, []float64{0, 0}, dashed})
	}
	t := Table{Columns: numbers(s.XTitle, s.YTitle)}
	if s.Names != nil {
		t.Columns = append(words("example"), t.Columns...)
		t.Columns[0].Text = true
	}
	step := math.Max(1, float64(len(s.X))/maxMarks)
	for i := range s.X {
		row := []string{exactly(s.X[i]), exactly(s.Y[i])}
		name := ""
		if s.Names != nil {
			name = s.Names[i]
			row = append([]string{name}, row...)
		}
		t.Rows = append(t.Rows, row)
		if next := math.Floor(float64(i) / step); i == 0 || next != math.Floor(float64(i-1)/step) {
			c.marks = append(c.marks, chartMark{name: name, x: s.X[i], y: s.Y[i], radius: 2.5, paint: draw.Series(0).Alpha(0.5)})
		}
	}
	t.sampled()
	f := &Figure{Name: s.Name, Title: s.Title, Finding: s.Finding, Table: t, Draw: c.draw}
	f.Width, f.Height = c.size()
	return f
}
