package report

import (
	"math"
	"strings"

	"github.com/go-bert/bert/report/draw"
)

// chart is lines and marks over two axes, with a legend above them.
type chart struct {
	xTitle, yTitle string
	x, y           draw.Scale // ranges
	square         bool
	bands          []chartBand
	lines          []chartLine
	marks          []chartMark
	xTicks         []draw.Tick // nil: those of x
}

// chartLine is a line of a chart.
type chartLine struct {
	name   string // in the legend; "": not there
	x, y   []float64
	stroke draw.Stroke
}

// chartMark is a point of a chart that stands out.
type chartMark struct {
	name   string // where the pointer is
	legend string // in the legend, once for each text; "": not there
	x, y   float64
	shape  draw.Shape
	radius float64
	paint  draw.Paint
	// label is a text beside it.
	label string
}

// size is that of the figure.
func (c *chart) size() (width, height float64) {
	height = 340
	if c.square {
		height = 470
	}
	if e := c.entries(); len(e) > 0 {
		height += legendHeight(e, figureWidth-76)
	}
	return figureWidth, height
}

func (c *chart) entries() []entry {
	var entries []entry
	for _, l := range c.lines {
		if l.name != "" {
			entries = append(entries, entry{name: l.name, paint: l.stroke.Paint, dash: l.stroke.Dash})
		}
	}
	seen := make(map[string]bool)
	for _, m := range c.marks {
		if m.legend != "" && !seen[m.legend] {
			seen[m.legend] = true
			entries = append(entries, entry{name: m.legend, paint: m.paint, shape: m.shape, mark: true})
		}
	}
	return entries
}

// plot is the area below the legend.
func (c *chart) plot(on draw.Canvas) *plot {
	width, height := c.size()
	p := newPlot(on, width, height, c.xTitle, c.yTitle)
	if e := c.entries(); len(e) > 0 {
		h := legendHeight(e, width-76)
		p.area.Y += h
		p.area.H -= h
	}
	// Long numbers need more room beside the vertical title than there is.
	widest := 0.0
	for _, t := range c.y.Ticks(6) {
		widest = max(widest, draw.Width(t.Label, smallSize, false))
	}
	more := max(0, widest-33)
	p.area.X += more
	p.area.W -= more
	if c.square {
		p.area.W = p.area.H
	}
	p.scales(c.x, c.y)
	p.xTicks = c.xTicks
	return p
}

func (c *chart) draw(on draw.Canvas) {
	p := c.plot(on)
	if e := c.entries(); len(e) > 0 {
		legend(on, draw.Point{X: plotLeft, Y: 4}, figureWidth-76, e)
	}
	p.drawBands(c.bands)
	p.frame()
	on.Clip(draw.Rect{X: p.area.X - 8, Y: p.area.Y - 8, W: p.area.W + 16, H: p.area.H + 16}, func() {
		for _, l := range c.lines {
			p.line(l.x, l.y, l.stroke)
		}
		for _, m := range c.marks {
			if !finite(m.x) || !finite(m.y) {
				continue
			}
			at := p.at(m.x, m.y)
			on.Group(m.name, func() {
				draw.Mark(on, m.shape, at, m.radius, m.paint)
				if m.label != "" {
					style := draw.TextStyle{Size: smallSize, Centred: true}
					x := at.X + 9
					if at.X > p.area.X+p.area.W*0.7 {
						style.Anchor, x = draw.End, at.X-9
					}
					on.Text(draw.Point{X: x, Y: at.Y + 12}, m.label, style)
				}
			})
		}
	})
}

// text draws the lines with Braille patterns, which have 2 × 4 dots each.
func (c *chart) text(columns int) string {
	const rows = 12
	columns = max(20, min(columns-11, 100))
	dots := make([]rune, rows*columns)
	x, y := c.x, c.y
	x.From, x.To = 0, float64(2*columns-1)
	y.From, y.To = float64(4*rows-1), 0
	dot := func(px, py float64) {
		i, j := int(math.Round(px)), int(math.Round(py))
		if i >= 0 && j >= 0 && i < 2*columns && j < 4*rows {
			dots[j/4*columns+i/2] |= rune([4][2]int{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}[j%4][i%2])
		}
	}
	for _, l := range c.lines {
		if l.stroke.Paint.Opacity() < 0.6 || l.stroke.Paint == draw.Muted {
			continue // what is drawn faintly, and lines to compare with
		}
		for i := range l.x {
			if !finite(l.x[i]) || !finite(l.y[i]) || y.Log && l.y[i] <= 0 {
				continue
			}
			bx, by := x.At(l.x[i]), y.At(l.y[i])
			ax, ay := bx, by
			if i > 0 && finite(l.y[i-1]) && finite(l.x[i-1]) && (!y.Log || l.y[i-1] > 0) {
				ax, ay = x.At(l.x[i-1]), y.At(l.y[i-1])
			}
			n := int(min(1000, math.Max(math.Abs(bx-ax), math.Abs(by-ay)))) + 1
			for k := 0; k <= n; k++ {
				t := float64(k) / float64(n)
				dot(ax+t*(bx-ax), ay+t*(by-ay))
			}
		}
	}
	var b strings.Builder
	b.WriteString(c.yTitle + "\n")
	for r := range rows {
		label := ""
		switch r {
		case 0:
			label = draw.Number(c.y.Max)
		case rows - 1:
			label = draw.Number(c.y.Min)
		}
		b.WriteString(strings.Repeat(" ", max(0, 8-len([]rune(label)))) + label + " │")
		for _, d := range dots[r*columns : (r+1)*columns] {
			if d == 0 {
				b.WriteByte(' ')
			} else {
				b.WriteRune(0x2800 + d)
			}
		}
		b.WriteByte('\n')
	}
	from, to := draw.Number(c.x.Min), draw.Number(c.x.Max)
	b.WriteString("         └" + strings.Repeat("─", columns) + "\n")
	gap := max(1, columns-len([]rune(from))-len([]rune(to))-len([]rune(c.xTitle)))
	b.WriteString("          " + from + strings.Repeat(" ", gap/2) + c.xTitle + strings.Repeat(" ", gap-gap/2) + to + "\n")
	return b.String()
}

// thin leaves out points of a line that are within a thousandth of the ranges from the one before that is kept.
func thin(x, y []float64, width, height float64) (tx, ty []float64) {
	for i := range x {
		if n := len(tx); i > 0 && i < len(x)-1 && math.Abs(x[i]-tx[n-1]) < width/1000 && math.Abs(y[i]-ty[n-1]) < height/1000 {
			continue
		}
		tx, ty = append(tx, x[i]), append(ty, y[i])
	}
	return tx, ty
}

// pageRows is how many rows of a table a page shows.
const pageRows = 100

// sampled gives a table of many rows for a page: rows at equal distances, the first and the last among them.
func (t *Table) sampled() {
	if len(t.Rows) <= pageRows {
		return
	}
	for i := range pageRows {
		t.Page = append(t.Page, t.Rows[i*(len(t.Rows)-1)/(pageRows-1)])
	}
	t.Note = "A sample of the rows; the CSV has all."
}
