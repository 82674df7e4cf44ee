package report

import (
	"math"

	"github.com/go-bert/bert/report/draw"
)

// plot is the area of a figure with two axes.
type plot struct {
	c      draw.Canvas
	area   draw.Rect
	x, y   draw.Scale
	xTitle string
	yTitle string
	// xTicks and yTicks are drawn in place of those of the scales.
	xTicks, yTicks []draw.Tick
}

// newPlot is a plot in a figure of a size, with room for the titles of both axes and the numbers along them.
func newPlot(c draw.Canvas, width, height float64, xTitle, yTitle string) *plot {
	const right, top, bottom = 14, 12, 46
	return &plot{c: c, area: draw.Rect{X: plotLeft, Y: top, W: width - plotLeft - right, H: height - top - bottom}, xTitle: xTitle, yTitle: yTitle}
}

// plotLeft is where the area of a plot begins: left of it are the numbers and the title of the vertical axis.
const plotLeft = 62

// scales sets the ranges of the axes. It is called before anything is drawn.
func (p *plot) scales(x, y draw.Scale) {
	p.x, p.y = x, y
	p.x.From, p.x.To = p.area.X, p.area.X+p.area.W
	p.y.From, p.y.To = p.area.Y+p.area.H, p.area.Y
}

// at is the place of a pair of numbers.
func (p *plot) at(x, y float64) draw.Point { return draw.Point{X: p.x.At(x), Y: p.y.At(y)} }

// frame draws the grid, the axes, their numbers and their titles.
func (p *plot) frame() {
	rule := draw.Stroke{Paint: draw.Rule, Width: 1}
	a := p.area
	xs, ys := p.xTicks, p.yTicks
	if xs == nil {
		xs = p.x.Ticks(6)
	}
	if ys == nil {
		ys = p.y.Ticks(6)
	}
	title := 14.0 // the place of the vertical title, left of the numbers
	for _, t := range ys {
		title = min(title, a.X-7-draw.Width(t.Label, smallSize, false)-12)
		y := p.y.At(t.Value)
		draw.Line(p.c, draw.Point{X: a.X, Y: y}, draw.Point{X: a.X + a.W, Y: y}, rule)
		p.c.Text(draw.Point{X: a.X - 7, Y: y}, t.Label, draw.TextStyle{Size: smallSize, Anchor: draw.End, Centred: true, Paint: draw.Muted})
	}
	for _, t := range xs {
		x := p.x.At(t.Value)
		draw.Line(p.c, draw.Point{X: x, Y: a.Y}, draw.Point{X: x, Y: a.Y + a.H}, rule)
		p.c.Text(draw.Point{X: x, Y: a.Y + a.H + 17}, t.Label, draw.TextStyle{Size: smallSize, Anchor: draw.Middle, Paint: draw.Muted})
	}
	axis := draw.Stroke{Paint: draw.Muted, Width: 1}
	p.c.Polyline([]draw.Point{{X: a.X, Y: a.Y}, {X: a.X, Y: a.Y + a.H}, {X: a.X + a.W, Y: a.Y + a.H}}, axis)
	p.c.Text(draw.Point{X: a.X + a.W/2, Y: a.Y + a.H + 37}, p.xTitle, draw.TextStyle{Size: textSize, Anchor: draw.Middle})
	p.c.Text(draw.Point{X: max(title, 7), Y: a.Y + a.H/2}, p.yTitle, draw.TextStyle{Size: textSize, Anchor: draw.Middle, Rotate: -90, Centred: true})
}

// line draws a line through the pairs that are numbers; where one isn't, the line has a gap.
func (p *plot) line(xs, ys []float64, s draw.Stroke) {
	var points []draw.Point
	flush := func() {
		if len(points) > 1 {
			p.c.Polyline(points, s)
		}
		points = nil
	}
	for i := range xs {
		if !finite(xs[i]) || !finite(ys[i]) || p.y.Log && ys[i] <= 0 || p.x.Log && xs[i] <= 0 {
			flush()
			continue
		}
		points = append(points, p.at(xs[i], ys[i]))
	}
	flush()
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// entry is a line of a legend.
type entry struct {
	name  string
	paint draw.Paint
	dash  []float64
	mark  bool // a mark in place of a line
	shape draw.Shape
	area  bool // a filled square
}

// legendHeight is the height that a legend takes in a figure.
func legendHeight(c []entry, width float64) float64 { return 18 * float64(len(legendRows(c, width))) }

// legendRows puts entries side by side as far as there is room.
func legendRows(entries []entry, width float64) [][]entry {
	var (
		rows [][]entry
		used = math.Inf(1)
	)
	for _, e := range entries {
		w := legendSwatch + draw.Width(draw.Fit(e.name, smallSize, width-legendSwatch), smallSize, false) + legendGap
		if used+w-legendGap > width {
			rows = append(rows, nil)
			used = 0
		}
		used += w
		rows[len(rows)-1] = append(rows[len(rows)-1], e)
	}
	return rows
}

const (
	legendSwatch = 24.0
	legendGap    = 16.0
)

// legend draws entries from a place on to the right and downwards.
func legend(c draw.Canvas, at draw.Point, width float64, entries []entry) {
	for _, row := range legendRows(entries, width) {
		x := at.X
		for _, e := range row {
			mid := draw.Point{X: x + 9, Y: at.Y + 7}
			switch {
			case e.area:
				c.Rect(draw.Rect{X: mid.X - 6, Y: mid.Y - 6, W: 12, H: 12}, e.paint, draw.Stroke{})
			case e.mark:
				draw.Mark(c, e.shape, mid, 4.5, e.paint)
			default:
				draw.Line(c, draw.Point{X: x, Y: mid.Y}, draw.Point{X: x + 18, Y: mid.Y}, draw.Stroke{Paint: e.paint, Width: 2, Dash: e.dash})
			}
			name := draw.Fit(e.name, smallSize, width-legendSwatch)
			c.Text(draw.Point{X: x + legendSwatch, Y: mid.Y}, name, draw.TextStyle{Size: smallSize, Centred: true})
			x += legendSwatch + draw.Width(name, smallSize, false) + legendGap
		}
		at.Y += 18
	}
}

// span is the smallest and the largest of the numbers, and ok whether there is one.
func span(lists ...[]float64) (low, high float64, ok bool) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, list := range lists {
		for _, v := range list {
			if finite(v) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	return low, high, low <= high
}

// around widens a range by a share of it on both sides, so that no mark is on the edge. A range of one number gets a width.
func around(low, high, share float64) (float64, float64) {
	if low == high {
		w := max(math.Abs(low)*0.1, 1e-6)
		return low - w, high + w
	}
	w := (high - low) * share
	return low - w, high + w
}

// percent writes a share as 87.3 %.
func percent(share float64) string {
	if !finite(share) {
		return "–"
	}
	return draw.Number(math.Round(share*1000)/10) + " %"
}
