package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/report/draw"
)

// panels is a figure of small pictures of one sort beside one another: small multiples.
type panels struct {
	panels  []panel
	columns int
	height  float64 // of a panel below its title
	legend  []entry
	note    string // below all of them
}

// panel is one of them.
type panel struct {
	title string
	draw  func(c draw.Canvas, in draw.Rect)
}

const (
	panelTitle = 20.0
	panelGap   = 12.0
)

// size is that of the figure.
func (p *panels) size() (width, height float64) {
	rows := (len(p.panels) + p.columns - 1) / p.columns
	height = 12 + legendHeight(p.legend, figureWidth-24) + float64(rows)*(panelTitle+p.height+panelGap)
	if p.note != "" {
		height += 20
	}
	return figureWidth, height
}

func (p *panels) draw(c draw.Canvas) {
	_, height := p.size()
	legend(c, draw.Point{X: 12, Y: 4}, figureWidth-24, p.legend)
	top := 8 + legendHeight(p.legend, figureWidth-24)
	width := (figureWidth - 24 - panelGap*float64(p.columns-1)) / float64(p.columns)
	for i, x := range p.panels {
		in := draw.Rect{
			X: 12 + float64(i%p.columns)*(width+panelGap), Y: top + float64(i/p.columns)*(panelTitle+p.height+panelGap) + panelTitle,
			W: width, H: p.height,
		}
		title := draw.Fit(x.title, smallSize, width)
		c.Text(draw.Point{X: in.X + width/2, Y: in.Y - 6}, title, draw.TextStyle{Size: smallSize, Anchor: draw.Middle, Bold: true})
		c.Group(x.title, func() { x.draw(c, in) })
	}
	if p.note != "" {
		c.Text(draw.Point{X: figureWidth / 2, Y: height - 8}, draw.Fit(p.note, smallSize, figureWidth-24), draw.TextStyle{Size: smallSize, Anchor: draw.Middle, Paint: draw.Muted})
	}
}

// figure is the figure of the panels.
func (p *panels) figure(name, title, finding string, t Table) *Figure {
	f := &Figure{Name: name, Title: title, Finding: finding, Table: t, Draw: p.draw}
	f.Width, f.Height = p.size()
	return f
}

// smallPlot draws lines over two axes of which the ends alone have numbers.
func smallPlot(c draw.Canvas, in draw.Rect, x, y draw.Scale, lines []chartLine) {
	const left, bottom = 34, 16
	p := &plot{c: c, area: draw.Rect{X: in.X + left, Y: in.Y, W: in.W - left, H: in.H - bottom}}
	p.scales(x, y)
	a := p.area
	c.Polyline([]draw.Point{{X: a.X, Y: a.Y}, {X: a.X, Y: a.Y + a.H}, {X: a.X + a.W, Y: a.Y + a.H}}, draw.Stroke{Paint: draw.Muted, Width: 1})
	muted := func(at draw.Point, v float64, anchor draw.Anchor) {
		c.Text(at, draw.Number(v), draw.TextStyle{Size: smallSize, Anchor: anchor, Centred: true, Paint: draw.Muted})
	}
	muted(draw.Point{X: a.X - 4, Y: a.Y + 5}, y.Max, draw.End)
	muted(draw.Point{X: a.X - 4, Y: a.Y + a.H - 4}, y.Min, draw.End)
	muted(draw.Point{X: a.X, Y: a.Y + a.H + 9}, x.Min, draw.Start)
	muted(draw.Point{X: a.X + a.W, Y: a.Y + a.H + 9}, x.Max, draw.End)
	c.Clip(draw.Rect{X: a.X - 2, Y: a.Y - 2, W: a.W + 4, H: a.H + 4}, func() {
		for _, l := range lines {
			p.line(l.x, l.y, l.stroke)
			if len(l.x) == 1 && finite(l.y[0]) { // no line
				c.Circle(p.at(l.x[0], l.y[0]), 3, l.stroke.Paint, draw.Stroke{})
			}
		}
	})
}

// smallMatrix draws a confusion matrix coloured by the shares of its rows, with its counts where there is room.
func smallMatrix(c draw.Canvas, in draw.Rect, labels []string, m metric.ConfusionMatrix) {
	k := Confusion{Labels: labels, Columns: labels, Counts: m}
	cell := min(in.W, in.H) / float64(max(1, len(m)))
	left := in.X + (in.W-cell*float64(len(m)))/2
	c.Rect(draw.Rect{X: left, Y: in.Y, W: cell * float64(len(m)), H: cell * float64(len(m))}, draw.Fixed(draw.Sequential(0)), draw.Stroke{})
	for i, row := range k.shares() {
		for j, share := range row {
			if m[i][j] == 0 && cell < 18 {
				continue
			}
			colour := draw.Sequential(share)
			r := draw.Rect{X: left + cell*float64(j), Y: in.Y + cell*float64(i), W: cell, H: cell}
			c.Rect(r, draw.Fixed(colour), draw.Stroke{Paint: draw.Paper, Width: 0.5})
			count := message.Thousands(m[i][j])
			if size := min(11, (cell-4)/max(draw.Width(count, 1, false), 1)); size >= 7 {
				c.Text(draw.Point{X: r.X + cell/2, Y: r.Y + cell/2}, count, draw.TextStyle{Size: size, Anchor: draw.Middle, Centred: true, Paint: draw.On(colour)})
			}
		}
	}
}

// matrixNote says how to read small matrices of these labels.
func matrixNote(labels []string) string {
	text := "rows: true label, columns: predicted"
	for i, l := range labels {
		if i == 6 {
			return text + fmt.Sprintf(" and %d more", len(labels)-i)
		}
		text += map[bool]string{true: "; ", false: ", "}[i == 0] + shortName(l)
	}
	return text
}

// rightShare is the share of the examples of a matrix that are right.
func rightShare(m metric.ConfusionMatrix) float64 {
	right, all := 0, 0
	for i, row := range m {
		right += row[i]
		for _, n := range row {
			all += n
		}
	}
	if all == 0 {
		return math.NaN()
	}
	return float64(right) / float64(all)
}

// spread are the indices of at most n of so many, at equal distances: the first, the last, and must if it isn't negative. n is at least 3.
func spread(all, n, must int) []int {
	n = min(n, all)
	list := make([]int, n)
	for i := range list {
		list[i] = i * (all - 1) / max(1, n-1)
	}
	if must < 0 || must >= all || slices.Contains(list, must) {
		return list
	}
	// It takes the place of the nearest that is neither the first nor the last.
	at := 1
	for i := range list[1 : n-1] {
		if d := list[i+1] - must; max(d, -d) < max(list[at]-must, must-list[at]) {
			at = i + 1
		}
	}
	list[at] = must
	return list
}
