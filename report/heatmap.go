package report

import (
	"fmt"
	"math"

	"github.com/go-bert/bert/report/draw"
)

// HeatMap is what a heat map of numbers shows, of which confusion matrices are another sort (Confusion).
type HeatMap struct {
	Name, Title           string
	RowTitle, ColumnTitle string
	ValueTitle            string
	Rows, Columns         []string
	Values                [][]float64 // [len(Rows)][len(Columns)]; NaN: none
	// Diverging colours numbers by their sign, about 0, in place of from the least to the greatest.
	Diverging bool
	Finding   string // "": where the greatest number is
}

// HeatMapFigure draws a coloured cell with its number for each pair of names.
func HeatMapFigure(h HeatMap) *Figure {
	t := Table{Columns: append(words(h.RowTitle+" \\ "+h.ColumnTitle), numbers(h.Columns...)...)}
	t.Columns[0].Text = true
	finding := "There are no numbers."
	best := math.Inf(-1)
	for i, row := range h.Values {
		cells := []string{h.Rows[i]}
		for j, v := range row {
			cells = append(cells, exactly(v))
			if finite(v) && v > best {
				best = v
				finding = fmt.Sprintf("%s is greatest, with %s, where %s is %s and %s is %s.", h.ValueTitle, draw.Number(v), h.RowTitle, h.Rows[i], h.ColumnTitle, h.Columns[j])
			}
		}
		t.Rows = append(t.Rows, cells)
	}
	t.sampled()
	if h.Finding != "" {
		finding = h.Finding
	}
	f := &Figure{Name: h.Name, Title: h.Title, Finding: finding, Table: t, Draw: h.draw}
	left, cell := h.layout()
	f.Width = left + cell.W*float64(len(h.Columns)) + 80
	f.Height = 2*h.top() - 14 + cell.H*float64(len(h.Rows)) + 54
	return f
}

// top is where the cells begin: the vertical title, which is centred on them, has room too.
func (h *HeatMap) top() float64 {
	_, cell := h.layout()
	title := 1.15 * draw.Width(h.RowTitle, textSize, false)
	return max(14, (title-cell.H*float64(len(h.Rows)))/2+4)
}

// layout is the place of the first cell and the size of all.
func (h *HeatMap) layout() (left float64, cell draw.Rect) {
	names := 20.0
	for _, name := range h.Rows {
		names = max(names, draw.Width(draw.Fit(name, smallSize, 120), smallSize, false))
	}
	columns := 40.0
	for _, name := range h.Columns {
		columns = max(columns, draw.Width(draw.Fit(name, smallSize, 90), smallSize, false)+8)
	}
	return names + 40, draw.Rect{W: columns, H: 34}
}

func (h *HeatMap) draw(c draw.Canvas) {
	left, cell := h.layout()
	low, high, ok := span(h.Values...)
	if !ok {
		low, high = 0, 1
	}
	if h.Diverging {
		high = max(math.Abs(low), math.Abs(high), 1e-300)
		low = -high
	}
	top := h.top()
	for i, row := range h.Values {
		c.Text(draw.Point{X: left - 6, Y: top + cell.H*(float64(i)+0.5)}, draw.Fit(h.Rows[i], smallSize, 120), draw.TextStyle{Size: smallSize, Anchor: draw.End, Centred: true})
		for j, v := range row {
			r := draw.Rect{X: left + cell.W*float64(j), Y: top + cell.H*float64(i), W: cell.W, H: cell.H}
			if !finite(v) {
				c.Rect(r, draw.Panel, draw.Stroke{Paint: draw.Paper, Width: 1})
				continue
			}
			share := 0.5
			if high > low {
				share = (v - low) / (high - low)
			}
			colour := draw.Sequential(share)
			if h.Diverging {
				colour = draw.Diverging(2*share - 1)
			}
			c.Group(fmt.Sprintf("%s, %s: %s", h.Rows[i], h.Columns[j], draw.Number(v)), func() {
				c.Rect(r, draw.Fixed(colour), draw.Stroke{Paint: draw.Paper, Width: 1})
				text := draw.Number(v)
				size := min(smallSize, (cell.W-4)/draw.Width(text, 1, false))
				c.Text(draw.Point{X: r.X + r.W/2, Y: r.Y + r.H/2}, text, draw.TextStyle{Size: size, Anchor: draw.Middle, Centred: true, Paint: draw.On(colour)})
			})
		}
	}
	bottom, width := top+cell.H*float64(len(h.Rows)), cell.W*float64(len(h.Columns))
	for j, name := range h.Columns {
		c.Text(draw.Point{X: left + cell.W*(float64(j)+0.5), Y: bottom + 16}, draw.Fit(name, smallSize, cell.W-4), draw.TextStyle{Size: smallSize, Anchor: draw.Middle})
	}
	c.Text(draw.Point{X: left + width/2, Y: bottom + 40}, h.ColumnTitle, draw.TextStyle{Anchor: draw.Middle})
	c.Text(draw.Point{X: 13, Y: top + (bottom-top)/2}, h.RowTitle, draw.TextStyle{Anchor: draw.Middle, Rotate: -90, Centred: true})
	const steps = 20
	for i := range steps {
		share := (float64(i) + 0.5) / steps
		colour := draw.Sequential(share)
		if h.Diverging {
			colour = draw.Diverging(2*share - 1)
		}
		step := (bottom - top) / steps
		c.Rect(draw.Rect{X: left + width + 12, Y: bottom - float64(i+1)*step, W: 12, H: step + 0.5}, draw.Fixed(colour), draw.Stroke{})
	}
	style := draw.TextStyle{Size: smallSize, Paint: draw.Muted, Centred: true}
	c.Text(draw.Point{X: left + width + 28, Y: top + 5}, draw.Number(high), style)
	c.Text(draw.Point{X: left + width + 28, Y: bottom - 5}, draw.Number(low), style)
}
