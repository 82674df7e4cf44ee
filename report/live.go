package report

import (
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/report/draw"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/train"
)

// What is here is for readers whose browsers run scripts: the numbers by which figures.js draws curves against something else, with
// another smoothing or another scale, and matrices with other shares. The pictures of the page are complete without it.

//go:embed figures.js
var figuresScript string

// live is what the script reads of a figure: one of the two.
type live struct {
	Curves *liveCurves `json:"curves,omitempty"`
	Matrix *liveMatrix `json:"matrix,omitempty"`
}

// livePage is what the script reads of a page.
type livePage struct {
	Arrays  []string         `json:"arrays"`  // numbers as little-endian float32, in base64
	Figures map[string]*live `json:"figures"` // by the ids of their elements

	at       map[string]int // of arrays that are there
	matrices int
}

// The bounds of the arrays and the matrices of a page. Figures that have no room are pictures alone.
const (
	maxLiveBytes    = 2_000_000
	maxLiveMatrices = 4 // of up to 20 kB, with up to 0.5 MB of examples
)

// add adds what there is room for.
func (p *livePage) add(id string, l *live) {
	if c := l.Curves; c != nil {
		placed := *c // the figure may be on several pages
		placed.Curves = slices.Clone(c.Curves)
		before := len(p.Arrays)
		for i := range placed.Curves {
			curve := &placed.Curves[i]
			curve.Y, curve.X = p.array(curve.y), nil
			for _, x := range curve.x {
				curve.X = append(curve.X, p.array(x))
			}
		}
		bytes := 0
		for _, a := range p.Arrays {
			bytes += len(a)
		}
		if bytes > maxLiveBytes {
			for _, a := range p.Arrays[before:] {
				delete(p.at, a)
			}
			p.Arrays = p.Arrays[:before]
			return
		}
		l = &live{Curves: &placed}
	}
	if l.Matrix != nil {
		if p.matrices++; p.matrices > maxLiveMatrices {
			return
		}
	}
	if p.Figures == nil {
		p.Figures = make(map[string]*live)
	}
	p.Figures[id] = l
}

// array is the number of an array, which is there once.
func (p *livePage) array(values []float64) int {
	bytes := make([]byte, 0, 4*len(values))
	for _, v := range values {
		bytes = binary.LittleEndian.AppendUint32(bytes, math.Float32bits(float32(v)))
	}
	packed := base64.StdEncoding.EncodeToString(bytes)
	i, ok := p.at[packed]
	if !ok {
		if p.at == nil {
			p.at = make(map[string]int)
		}
		i, p.Arrays = len(p.Arrays), append(p.Arrays, packed)
		p.at[packed] = i
	}
	return i
}

// liveCurves is what the script reads of Curves.
type liveCurves struct {
	XTitle    string      `json:"xTitle"`
	YTitle    string      `json:"yTitle"`
	Axes      []string    `json:"axes"`      // along which the curves can be drawn; XTitle is one of them
	Smoothing float64     `json:"smoothing"` // 0: there is none
	Log       bool        `json:"log"`
	Zero      bool        `json:"zero"`
	Limit     *float64    `json:"limit"`
	Area      [4]float64  `json:"area"`   // of the plot: x, y, width, height
	Legend    int         `json:"legend"` // texts of the picture that are its legend
	Curves    []liveCurve `json:"curves"`
	Bands     [][]band    `json:"bands"` // by axis
	Room      float64     `json:"room"`  // bandRoom
	Marks     []liveMark  `json:"marks"`
}

type liveCurve struct {
	Name   string `json:"name"`
	X      []int  `json:"x"` // arrays, by axis
	Y      int    `json:"y"` // an array
	Points bool   `json:"points"`
	Best   int    `json:"best"`

	x [][]float64
	y []float64
}

// band is a chartBand; no end is open.
type band struct {
	Name string   `json:"name"`
	From *float64 `json:"from"`
	To   *float64 `json:"to"`
}

// liveMark is a mark on a point of a curve.
type liveMark struct {
	Curve  int        `json:"curve"`
	Point  int        `json:"point"`
	Name   string     `json:"name"`
	Shape  draw.Shape `json:"shape"`
	Radius float64    `json:"radius"`
	Series int        `json:"series"` // its colour; −1: that of text
}

// axis is where the numbers of a curve are along something.
type axis struct {
	name string
	x    []float64
}

// axesOf are those along which a training can be drawn, of x against each: those that grow.
func axesOf(x func(Against) []float64) []axis {
	var axes []axis
	for a := range againstNames {
		v := x(Against(a))
		if n := len(v); n > 0 && !slices.ContainsFunc(v, func(v float64) bool { return !finite(v) }) && (n == 1 || v[n-1] > v[0]) {
			axes = append(axes, axis{Against(a).String(), v})
		}
	}
	return axes
}

func stepAxes(e *train.Events) []axis {
	return axesOf(func(a Against) []float64 { return stepX(e, a) })
}

func evaluationAxes(e *train.Events) []axis {
	return axesOf(func(a Against) []float64 { return evaluationX(e, a) })
}

// bandsAlong are the phases by the names of axes.
func bandsAlong(runs []*Run) map[string][]chartBand {
	out := make(map[string][]chartBand)
	for a := range againstNames {
		out[Against(a).String()] = phaseBands(runs, &Options{Against: Against(a)})
	}
	return out
}

// live is what the script reads; nil where nothing is drawn.
func (c *Curves) live(s *chart) *live {
	l := &liveCurves{XTitle: c.XTitle, YTitle: c.YTitle, Smoothing: c.Smoothing, Log: s.y.Log, Zero: c.Zero, Legend: len(s.entries()), Room: bandRoom}
	if c.Limit != nil {
		l.Limit = number(*c.Limit)
	}
	// The axes that all curves have.
	for i := range c.Curves {
		var names []string
		for _, a := range c.Curves[i].axes {
			names = append(names, a.name)
		}
		if i == 0 {
			l.Axes = names
			continue
		}
		l.Axes = slices.DeleteFunc(l.Axes, func(name string) bool { return !slices.Contains(names, name) })
	}
	if !slices.Contains(l.Axes, c.XTitle) {
		l.Axes = []string{c.XTitle}
	}
	some := false
	for i := range c.Curves {
		curve := &c.Curves[i]
		out := liveCurve{Name: short(curve.Name), Points: curve.Points, Best: curve.Best, y: curve.Y}
		for _, name := range l.Axes {
			x := curve.X
			if name != c.XTitle {
				x = curve.axes[slices.IndexFunc(curve.axes, func(a axis) bool { return a.name == name })].x
			}
			out.x = append(out.x, x)
		}
		fx, _ := finitePairs(curve.X, curve.Y)
		some = some || len(fx) > 0
		l.Curves = append(l.Curves, out)
	}
	if !some {
		return nil
	}
	for _, name := range l.Axes {
		bands := c.bandsAlong[name]
		if name == c.XTitle {
			bands = c.bands
		}
		list := []band{}
		for _, b := range bands {
			list = append(list, band{b.name, number(b.from), number(b.to)})
		}
		l.Bands = append(l.Bands, list)
	}
	for _, m := range c.marks {
		if mark, ok := c.liveMark(m); ok {
			l.Marks = append(l.Marks, mark)
		}
	}
	a := s.plot(nil).area
	l.Area = [4]float64{a.X, a.Y, a.W, a.H}
	return &live{Curves: l}
}

// liveMark finds the point of a mark: of those at its place along the axis, the one that is nearest.
func (c *Curves) liveMark(m chartMark) (mark liveMark, ok bool) {
	mark = liveMark{Name: m.name, Shape: m.shape, Radius: m.radius, Series: -1}
	least := math.Inf(1)
	for i := range c.Curves {
		y := c.Curves[i].Y
		if c.Smoothing > 0 && !c.Curves[i].Points {
			y = Smooth(y, c.Smoothing)
		}
		for at, x := range c.Curves[i].X {
			if far := math.Abs(y[at] - m.y); x == m.x && far < least {
				least, ok = far, true
				mark.Curve, mark.Point = i, at
			}
		}
	}
	for i := range draw.SeriesColours {
		if m.paint == draw.Series(i) {
			mark.Series = i
		}
	}
	return mark, ok
}

// number is a number of JSON: nil is none.
func number(v float64) *float64 {
	if !finite(v) {
		return nil
	}
	return &v
}

// liveMatrix is what the script reads of a confusion matrix.
type liveMatrix struct {
	Rows        []string               `json:"rows"`
	Columns     []string               `json:"columns"`
	RowTitle    string                 `json:"rowTitle"`
	ColumnTitle string                 `json:"columnTitle"`
	Counts      metric.ConfusionMatrix `json:"counts"`
	Shares      string                 `json:"shares"` // a Normalization
	Left        float64                `json:"left"`
	Top         float64                `json:"top"`
	Cell        float64                `json:"cell"`
	Texts       bool                   `json:"texts"`   // cells are groups with their numbers
	Colours     []string               `json:"colours"` // of shares from 0 to 1, at equal distances
	Black       float64                `json:"black"`   // the share from which on texts are black
	// Examples are those of cells, by "row,column", of a matrix of examples; nil: cells have none to show. Kept says that the run has any.
	Examples map[string][]liveExample `json:"examples"`
	Kept     bool                     `json:"kept"`
}

type liveExample struct {
	Source      string  `json:"source"`
	Text        string  `json:"text"`
	Probability float64 `json:"p"` // of the prediction
}

const (
	liveExamples = 400 // of a page's matrices
	liveOfCell   = 20
	liveText     = 400 // characters
	liveShades   = 10
)

// live is what the script reads; nil where cells of the picture stand for several labels.
func (h *heatMap) live() *live {
	if h.block > 1 || len(h.cells) == 0 {
		return nil
	}
	m := &liveMatrix{
		RowTitle: h.RowTitle, ColumnTitle: h.ColumnTitle, Counts: h.Counts, Shares: h.Normalization.String(),
		Left: h.left, Top: h.top, Cell: h.cell, Texts: h.texts(), Black: 1,
	}
	for i := range liveShades + 1 {
		m.Colours = append(m.Colours, draw.Hex(draw.Sequential(float64(i)/liveShades)))
	}
	for share := 1.0; share >= 0 && draw.On(draw.Sequential(share)) == draw.On(draw.Sequential(1)); share -= 0.005 {
		m.Black = share
	}
	for _, label := range h.Labels {
		m.Rows = append(m.Rows, short(label))
	}
	for _, label := range h.Columns {
		m.Columns = append(m.Columns, short(label))
	}
	return &live{Matrix: m}
}

// withExamples gives a matrix of labels the examples of its cells that an evaluation kept, those of the greatest loss first.
func withExamples(f *Figure, o *task.Outcomes) *Figure {
	if f.live == nil || f.live.Matrix == nil {
		return f
	}
	m := f.live.Matrix
	m.Examples = make(map[string][]liveExample)
	if o == nil {
		return f
	}
	m.Kept = true
	left := liveExamples
	for _, i := range byLoss(o) {
		x := &o.Examples[i]
		class, p := predicted(x)
		cell := fmt.Sprintf("%d,%d", *x.Label, class)
		if left == 0 {
			break
		}
		if len(m.Examples[cell]) == liveOfCell || *x.Label >= len(m.Rows) || class >= len(m.Columns) {
			continue
		}
		m.Examples[cell] = append(m.Examples[cell], liveExample{short(x.Source), firstOf(x.Text, liveText), math.Round(1e4*p) / 1e4})
		left--
	}
	return f
}
