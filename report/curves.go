package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/go-bert/bert/report/draw"
)

// Curve is numbers along an axis, such as the loss against the steps.
type Curve struct {
	Name string
	X, Y []float64 // of the same length; what is no number is a gap
	// Points marks each number and joins them, as for evaluations, of which there are few; without it the curve is a faint line
	// with a smoothed one over it.
	Points bool
	// Best is the index of the number that gets a star, −1 for none. Without Points it plays no part.
	Best int

	axes []axis // along which it can be drawn, X among them; nil: along X alone
}

// Curves is what a figure of curves shows.
type Curves struct {
	Name, Title    string
	XTitle, YTitle string
	Curves         []Curve
	// Smoothing is the weight that the past has in the smoothed line, from 0 (which draws the numbers themselves) to below 1.
	Smoothing float64
	LogY      bool
	Zero      bool     // the axis begins at 0
	Limit     *float64 // a horizontal line, named LimitName
	LimitName string
	Finding   string // "": computed from the curves

	marks []chartMark // beside those of the curves
	bands []chartBand
	// bandsAlong are the bands by the names of axes.
	bandsAlong map[string][]chartBand
}

// Smooth is the exponential moving average of numbers without the bias of its beginning, as TensorBoard's: what is no number is
// left out of it, and is none in the result.
func Smooth(values []float64, weight float64) []float64 {
	out := make([]float64, len(values))
	mean, past := 0.0, 1.0
	for i, v := range values {
		if !finite(v) {
			out[i] = math.NaN()
			continue
		}
		mean = weight*mean + (1-weight)*v
		past *= weight
		out[i] = mean / (1 - past)
	}
	return out
}

// CurvesFigure draws curves over one another.
func CurvesFigure(c Curves) *Figure {
	c.Curves = slices.Clone(c.Curves)
	for i := range c.Curves {
		if curve := &c.Curves[i]; len(curve.X) == 1 && !curve.Points { // there is no line to draw
			curve.Points, curve.Best = true, -1
		}
	}
	s := c.chart()
	f := &Figure{Name: c.Name, Title: c.Title, Finding: cmp.Or(c.Finding, c.finding()), Table: c.table(), Draw: s.draw, Text: s.text, live: c.live(s)}
	f.Width, f.Height = s.size()
	return f
}

func (c *Curves) chart() *chart {
	s := &chart{xTitle: c.XTitle, yTitle: c.YTitle, bands: c.bands}
	var xs, ys [][]float64
	for i := range c.Curves {
		curve := &c.Curves[i]
		paint := draw.Series(i)
		if curve.Points {
			x, y := finitePairs(curve.X, curve.Y)
			s.lines = append(s.lines, chartLine{curve.Name, x, y, draw.Stroke{Paint: paint, Width: 1.6, Dash: draw.SeriesDash(i)}})
			for j := range curve.X {
				m := chartMark{
					name: fmt.Sprintf("%s: %s at %s", curve.Name, draw.Number(curve.Y[j]), draw.Number(curve.X[j])),
					x:    curve.X[j], y: curve.Y[j], radius: 3, paint: paint, shape: draw.SeriesShape(i),
				}
				if j == curve.Best {
					m.shape, m.radius, m.legend, m.label = draw.Star, 5.5, "best", draw.Number(curve.Y[j])
				}
				s.marks = append(s.marks, m)
			}
			xs, ys = append(xs, curve.X), append(ys, curve.Y)
			continue
		}
		smooth := curve.Y
		if c.Smoothing > 0 {
			smooth = Smooth(curve.Y, c.Smoothing) // before points are left out
			x, y := extremes(curve.X, curve.Y)
			s.lines = append(s.lines, chartLine{"", x, y, draw.Stroke{Paint: paint.Alpha(0.35), Width: 1}})
		}
		x, y := extremes(curve.X, smooth)
		s.lines = append(s.lines, chartLine{curve.Name, x, y, draw.Stroke{Paint: paint, Width: 1.8, Dash: draw.SeriesDash(i)}})
		xs, ys = append(xs, curve.X), append(ys, curve.Y)
	}
	s.marks = append(s.marks, c.marks...)
	if c.Limit != nil {
		ys = append(ys, []float64{*c.Limit})
	}
	s.x.Min, s.x.Max, _ = span(xs...)
	low, high, ok := span(ys...)
	if !ok {
		low, high, s.x.Min, s.x.Max = 0, 1, 0, 1
	}
	if s.x.Min == s.x.Max {
		s.x.Min, s.x.Max = around(s.x.Min, s.x.Max, 0)
	}
	s.y.Log = c.LogY && low > 0 && high > 1.5*low
	switch {
	case s.y.Log:
		s.y.Min, s.y.Max = low/1.1, high*1.1
	default:
		s.y.Min, s.y.Max = around(low, high, 0.05)
		if c.Zero {
			s.y.Min = min(0, low)
		}
	}
	if len(c.bands) > 0 { // room for their names
		if s.y.Log {
			s.y.Max *= math.Pow(s.y.Max/s.y.Min, bandRoom)
		} else {
			s.y.Max += bandRoom * (s.y.Max - s.y.Min)
		}
	}
	if c.Limit != nil {
		s.lines = append(s.lines, chartLine{
			c.LimitName, []float64{s.x.Min, s.x.Max}, []float64{*c.Limit, *c.Limit},
			draw.Stroke{Paint: draw.Muted, Width: 1.2, Dash: []float64{5, 4}},
		})
	}
	return s
}

// bandRoom is the share of the range of the vertical axis that the names of bands take above it.
const bandRoom = 0.08

// finitePairs leaves out pairs of which one isn't a number.
func finitePairs(x, y []float64) (fx, fy []float64) {
	for i := range x {
		if finite(x[i]) && finite(y[i]) {
			fx, fy = append(fx, x[i]), append(fy, y[i])
		}
	}
	return fx, fy
}

// maxPoints is how many points a drawn line has.
const maxPoints = 1000

// extremes is a curve of at most maxPoints points: of each stretch of it the least and the greatest number, so that no peak is
// lost.
func extremes(x, y []float64) (ex, ey []float64) {
	if len(x) <= maxPoints {
		return x, y
	}
	const stretches = maxPoints / 2
	for s := range stretches {
		from, to := s*len(x)/stretches, (s+1)*len(x)/stretches
		low, high := from, from
		for i := from; i < to; i++ {
			if !finite(y[i]) {
				continue
			}
			if !finite(y[low]) || y[i] < y[low] {
				low = i
			}
			if !finite(y[high]) || y[i] > y[high] {
				high = i
			}
		}
		for _, i := range [2]int{min(low, high), max(low, high)} {
			ex, ey = append(ex, x[i]), append(ey, y[i])
		}
	}
	return ex, ey
}

// finding says where each curve ends, and where its best is.
func (c *Curves) finding() string {
	text := ""
	for i := range c.Curves {
		curve := &c.Curves[i]
		x, y := finitePairs(curve.X, curve.Y)
		if len(x) == 0 {
			continue
		}
		last := len(x) - 1
		if i == 3 {
			return text + fmt.Sprintf(" And %d more.", len(c.Curves)-i)
		}
		if text != "" {
			text += " "
		}
		if curve.Points && curve.Best >= 0 && curve.Best < len(curve.X) {
			text += fmt.Sprintf("%s: the best is %s at %s %s, the last %s.", curve.Name, draw.Number(curve.Y[curve.Best]), c.XTitle, draw.Number(curve.X[curve.Best]), draw.Number(y[last]))
			continue
		}
		text += fmt.Sprintf("%s: from %s to %s at %s %s.", curve.Name, draw.Number(y[0]), draw.Number(y[last]), c.XTitle, draw.Number(x[last]))
	}
	if text == "" {
		return "There are no numbers yet."
	}
	return text
}

func (c *Curves) table() Table {
	t := Table{Columns: append(words("curve"), numbers(c.XTitle, c.YTitle)...)}
	t.Columns[0].Text = true
	if c.Smoothing > 0 {
		t.Columns = append(t.Columns, numbers("smoothed")...)
	}
	for i := range c.Curves {
		curve := &c.Curves[i]
		var smooth []float64
		if c.Smoothing > 0 && !curve.Points {
			smooth = Smooth(curve.Y, c.Smoothing)
		}
		for j := range curve.X {
			row := []string{curve.Name, exactly(curve.X[j]), exactly(curve.Y[j])}
			switch {
			case smooth != nil:
				row = append(row, exactly(smooth[j]))
			case c.Smoothing > 0:
				row = append(row, "")
			}
			t.Rows = append(t.Rows, row)
		}
	}
	t.sampled()
	return t
}

// exactly is a number for a table that programs read: with seven digits, nothing for none.
func exactly(v float64) string {
	if !finite(v) {
		return ""
	}
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 7, 64)
}
