package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/go-bert/bert/report/draw"
)

// Bar is a number with a name.
type Bar struct {
	Name      string
	Value     float64
	Predicted bool // what the model says
	Gold      bool // what is right
}

// Bars is what a bar chart of shares shows, such as the probabilities of a sentence's labels.
type Bars struct {
	Name, Title string
	XTitle      string
	Bars        []Bar
	Threshold   float64 // a vertical line; 0: none
	Most        int     // bars that are drawn, the largest; 0: 30
	Keep        bool    // the order of the bars; else the largest is first
	Finding     string  // "": which is the largest
}

// BarsFigure draws horizontal bars from 0 to 1 with their numbers, the largest first.
func BarsFigure(b Bars) *Figure {
	b.Name, b.Title, b.XTitle, b.Most = cmp.Or(b.Name, "probabilities"), cmp.Or(b.Title, "Probabilities"), cmp.Or(b.XTitle, "probability"), cmp.Or(b.Most, 30)
	if !b.Keep {
		b.Bars = slices.Clone(b.Bars)
		slices.SortStableFunc(b.Bars, func(x, y Bar) int { return cmp.Compare(y.Value, x.Value) })
	}
	f := &Figure{Name: b.Name, Title: b.Title, Finding: cmp.Or(b.Finding, b.finding()), Table: b.table(), Width: figureWidth, Draw: b.draw, Text: b.text}
	f.Height = b.height()
	return f
}

const barHeight = 26.0

func (b *Bars) shown() []Bar { return b.Bars[:min(len(b.Bars), b.Most)] }

// entries are what the legend says.
func (b *Bars) entries() []entry {
	var e []entry
	if slices.ContainsFunc(b.shown(), func(x Bar) bool { return x.Predicted }) {
		e = append(e, entry{name: "predicted", paint: draw.Series(0), area: true})
	}
	if slices.ContainsFunc(b.shown(), func(x Bar) bool { return x.Gold }) {
		e = append(e, entry{name: "right label", paint: draw.Ink, mark: true, shape: draw.Star})
	}
	if b.Threshold > 0 {
		e = append(e, entry{name: "threshold " + draw.Number(b.Threshold), paint: draw.Series(1), dash: []float64{5, 3}})
	}
	return e
}

func (b *Bars) height() float64 {
	h := 12 + barHeight*float64(len(b.shown())) + 46
	if e := b.entries(); len(e) > 0 {
		h += legendHeight(e, figureWidth-24) + 2
	}
	if len(b.Bars) > b.Most {
		h += 18
	}
	return max(h, 90)
}

func (b *Bars) draw(c draw.Canvas) {
	bars := b.shown()
	names := 30.0
	for _, x := range bars {
		names = max(names, draw.Width(draw.Fit(x.Name, textSize, 170), textSize, x.Predicted)) // which are bold
	}
	const numbers = 56.0
	y := 12.0
	if e := b.entries(); len(e) > 0 {
		legend(c, draw.Point{X: 12, Y: 4}, figureWidth-24, e)
		y += legendHeight(e, figureWidth-24) + 2
	}
	area := draw.Rect{X: 12 + names + 24, Y: y, H: barHeight * float64(len(bars))}
	area.W = figureWidth - area.X - numbers
	x := draw.Scale{Min: 0, Max: 1, From: area.X, To: area.X + area.W}
	for _, t := range x.Ticks(5) {
		at := x.At(t.Value)
		draw.Line(c, draw.Point{X: at, Y: area.Y}, draw.Point{X: at, Y: area.Y + area.H}, draw.Stroke{Paint: draw.Rule, Width: 1})
		c.Text(draw.Point{X: at, Y: area.Y + area.H + 16}, t.Label, draw.TextStyle{Size: smallSize, Anchor: draw.Middle, Paint: draw.Muted})
	}
	for i, bar := range bars {
		row := draw.Rect{X: area.X, Y: y + barHeight*float64(i) + 3, W: area.W * max(0, min(1, bar.Value)), H: barHeight - 6}
		middle := row.Y + row.H/2
		paint := draw.Series(0).Alpha(0.45)
		if bar.Predicted {
			paint = draw.Series(0)
		}
		c.Group(fmt.Sprintf("%s: %s", bar.Name, draw.Number(bar.Value)), func() {
			if bar.Gold {
				draw.Mark(c, draw.Star, draw.Point{X: area.X - 12, Y: middle}, 4.5, draw.Ink)
			}
			c.Text(draw.Point{X: area.X - 22, Y: middle}, draw.Fit(bar.Name, textSize, 170), draw.TextStyle{Anchor: draw.End, Centred: true, Bold: bar.Predicted})
			c.Rect(row, paint, draw.Stroke{})
			c.Text(draw.Point{X: row.X + row.W + 5, Y: middle}, draw.Number(bar.Value), draw.TextStyle{Centred: true})
		})
	}
	if b.Threshold > 0 {
		at := x.At(b.Threshold)
		draw.Line(c, draw.Point{X: at, Y: area.Y}, draw.Point{X: at, Y: area.Y + area.H}, draw.Stroke{Paint: draw.Series(1), Width: 1.5, Dash: []float64{5, 3}})
	}
	bottom := area.Y + area.H + 36
	c.Text(draw.Point{X: area.X + area.W/2, Y: bottom}, b.XTitle, draw.TextStyle{Anchor: draw.Middle})
	if n := len(b.Bars) - len(bars); n > 0 {
		c.Text(draw.Point{X: area.X + area.W/2, Y: bottom + 18}, fmt.Sprintf("and %d more, which the table has", n), draw.TextStyle{Size: smallSize, Anchor: draw.Middle, Paint: draw.Muted})
	}
}

func (b *Bars) finding() string {
	if len(b.Bars) == 0 {
		return "There are no labels."
	}
	best := slices.MaxFunc(b.Bars, func(x, y Bar) int { return cmp.Compare(x.Value, y.Value) })
	text := fmt.Sprintf("The largest is %s with %s", shortName(best.Name), draw.Number(best.Value))
	if i := slices.IndexFunc(b.Bars, func(x Bar) bool { return x.Gold }); i >= 0 && !best.Gold {
		text += fmt.Sprintf("; right is %s with %s", shortName(b.Bars[i].Name), draw.Number(b.Bars[i].Value))
	}
	return text + "."
}

func (b *Bars) table() Table {
	t := Table{Columns: append(append(words("label"), numbers(b.XTitle)...), words("")...)}
	t.Columns[0].Text = true
	for _, x := range b.Bars {
		var notes []string
		if x.Predicted {
			notes = append(notes, "predicted")
		}
		if x.Gold {
			notes = append(notes, "right")
		}
		t.Rows = append(t.Rows, []string{x.Name, exactly(x.Value), strings.Join(notes, ", ")})
	}
	t.sampled()
	return t
}

func (b *Bars) text(columns int) string {
	var out strings.Builder
	names := 0
	for _, x := range b.shown() {
		names = max(names, len([]rune(cellName(x.Name))))
	}
	width := max(5, min(40, columns-names-14))
	for _, x := range b.shown() {
		mark := " "
		if x.Gold {
			mark = "★"
		}
		fmt.Fprintf(&out, "%s%s %7s  %s\n", padded(cellName(x.Name), names+1), mark, draw.Number(x.Value), blocks(x.Value, width))
	}
	return out.String()
}

// blocks is a share as a bar, to an eighth of a character.
func blocks(share float64, width int) string {
	if !(share > 0) {
		return ""
	}
	eighths := int(min(share, 1)*float64(8*width) + 0.5)
	out := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		out += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return out
}
