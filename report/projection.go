package report

import (
	"cmp"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert/explain"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/report/draw"
)

// Projection is a picture of points, and what is known of them.
//
// Legend: N points.
type Projection struct {
	*explain.Projection
	Dimensions int   // of the original space
	Of         int   // how many points there are, where N is a sample; 0: N
	Rows       []int // [N]: the points' numbers in the input; nil: from 0
	// Columns are what is known of the points, and Values their values, [N][len(Columns)]; nil: nothing.
	Columns []string
	Values  [][]string
	Text    int // the column that names a point; −1: none
	Color   int // the column of which each value has its colour and shape; −1: none
	Shape   int // the column of which each value has its shape instead; −1: that of Color
	// Drift is where the points were before; nil: there is no before.
	Drift *explain.Drift
}

const (
	// maxMapPoints is how many points a page shows: it then has less than 5 MB.
	maxMapPoints = 20_000
	// maxMapBytes is the most bytes of a page's picture, with what is known of the points as JSON.
	maxMapBytes = 4_700_000
	// falseBelow is the trustworthiness below which a point is marked: a picture drawn at random has about a half.
	falseBelow = 0.8
	// mapMarks is how many values have a mark of their own: five colours, each with five shapes.
	mapMarks = draw.SeriesColours * int(draw.Star)

	// maxArrows is how many arrows a drift has, those of the points that moved the farthest.
	maxArrows = 1000

	mapWidth, mapHeight = 900.0, 620.0
)

// thinned is the projection with at most maxMapPoints points, at equal distances in their order, and the place of each point of p in
// it, −1 where it has none.
func (p *Projection) thinned() (shown Projection, place []int) {
	n := p.Points.Rows
	place = make([]int, n)
	if n <= maxMapPoints {
		for i := range place {
			place[i] = i
		}
		return *p, place
	}
	shown = *p
	kept := make([]int, maxMapPoints)
	for i := range place {
		place[i] = -1
	}
	shown.Rows, shown.Values = nil, nil
	for c := range kept {
		i := int(int64(c) * int64(n) / maxMapPoints)
		kept[c], place[i] = i, c
		row := i
		if p.Rows != nil {
			row = p.Rows[i]
		}
		shown.Rows = append(shown.Rows, row)
		if p.Values != nil {
			shown.Values = append(shown.Values, p.Values[i])
		}
	}
	inner := *p.Projection
	inner.Points = p.Points.Select(kept)
	trust := *p.Trust
	trust.Points = make([]float64, len(kept))
	near := &explain.Neighbours{K: p.Neighbours.K}
	for c, i := range kept {
		trust.Points[c] = p.Trust.Points[i]
		near.Indices = append(near.Indices, p.Neighbours.Of(i)...)
	}
	inner.Trust, inner.Neighbours = &trust, near
	if p.Drift != nil {
		d := &explain.Drift{Before: p.Drift.Before.Select(kept), K: p.Drift.K}
		for _, i := range kept {
			d.Moved, d.Kept = append(d.Moved, p.Drift.Moved[i]), append(d.Kept, p.Drift.Kept[i])
		}
		shown.Drift = d
	}
	shown.Projection = &inner
	return shown, place
}

// name is what a point is called.
func (p *Projection) name(i int) string {
	if p.Text >= 0 && p.Values != nil {
		return p.Values[i][p.Text]
	}
	if p.Rows != nil {
		i = p.Rows[i]
	}
	return fmt.Sprintf("point %d", i)
}

// mapView is what is drawn of a projection.
type mapView struct {
	*Projection
	colours marking
	shapes  marking // of Projection.Shape; without one, colours has the shapes too
	falses  int
}

// marking is the values of a column that have a mark of their own, the most frequent ones.
type marking struct {
	names  []string
	at     []int // [N]: the mark of each point, −1 for those of other values; nil: there is no column
	others bool
}

// newMarking gives marks to the values of a column, at most so many.
func (p *Projection) newMarking(column, most int) marking {
	var m marking
	if column < 0 || p.Values == nil {
		return m
	}
	counts := make(map[string]int)
	for _, row := range p.Values {
		if counts[row[column]] == 0 {
			m.names = append(m.names, row[column])
		}
		counts[row[column]]++
	}
	slices.SortFunc(m.names, func(x, y string) int { return cmp.Or(cmp.Compare(counts[y], counts[x]), strings.Compare(x, y)) })
	m.others = len(m.names) > most
	m.names = m.names[:min(len(m.names), most)]
	at := make(map[string]int)
	for i, name := range m.names {
		at[name] = i
	}
	m.at = make([]int, len(p.Values))
	for i, row := range p.Values {
		var ok bool
		if m.at[i], ok = at[row[column]]; !ok {
			m.at[i] = -1
		}
	}
	return m
}

func newMapView(p *Projection) *mapView {
	v := &mapView{Projection: p}
	for _, t := range p.Trust.Points {
		if t < falseBelow {
			v.falses++
		}
	}
	colours := mapMarks
	if p.Shape >= 0 {
		colours = draw.SeriesColours
		v.shapes = p.newMarking(p.Shape, int(draw.Star))
	}
	v.colours = p.newMarking(p.Color, colours)
	return v
}

// mark is what point i is drawn as.
func (v *mapView) mark(i int) (draw.Paint, draw.Shape) {
	paint, shape := draw.Series(0), draw.Disc
	if v.colours.at != nil {
		s := v.colours.at[i]
		if paint = draw.Muted; s >= 0 {
			paint, shape = draw.Series(s), draw.SeriesShape(s)
		}
	}
	if v.shapes.at != nil {
		if shape = draw.Star; v.shapes.at[i] >= 0 {
			shape = draw.Shape(v.shapes.at[i])
		}
	}
	return paint, shape
}

func (v *mapView) entries() []entry {
	var e []entry
	add := func(name string, paint draw.Paint, shape draw.Shape) {
		e = append(e, entry{name: draw.Fit(cut(name), smallSize, 180), paint: paint, mark: true, shape: shape})
	}
	for i, name := range v.colours.names {
		add(name, draw.Series(i), draw.SeriesShape(i))
	}
	if v.colours.others {
		add("other values", draw.Muted, draw.Disc)
	}
	for i, name := range v.shapes.names {
		add(v.Columns[v.Shape]+": "+name, draw.Ink, draw.Shape(i))
	}
	if v.shapes.others {
		add(v.Columns[v.Shape]+": other values", draw.Ink, draw.Star)
	}
	return e
}

// places are those of the points in the picture, and of those before.
func (v *mapView) places() (now, before []draw.Point) {
	area := draw.Rect{X: 16, Y: 16, W: mapWidth - 32, H: mapHeight - 32}
	low, high := [2]float64{math.Inf(1), math.Inf(1)}, [2]float64{math.Inf(-1), math.Inf(-1)}
	all := []*explain.Matrix{v.Points}
	if v.Drift != nil {
		all = append(all, v.Drift.Before)
	}
	for _, points := range all {
		for i, x := range points.Values {
			low[i%2], high[i%2] = min(low[i%2], x), max(high[i%2], x)
		}
	}
	// One scale for both axes: a distance is the same in each direction.
	scale := min(area.W/max(high[0]-low[0], 1e-300), area.H/max(high[1]-low[1], 1e-300))
	if math.IsInf(scale, 0) || scale > 1e290 {
		scale = 1
	}
	var out [2][]draw.Point
	for a, points := range all {
		for i := range points.Rows {
			at := points.Row(i)
			out[a] = append(out[a], draw.Point{
				X: area.X + area.W/2 + scale*(at[0]-(low[0]+high[0])/2),
				Y: area.Y + area.H/2 - scale*(at[1]-(low[1]+high[1])/2),
			})
		}
	}
	return out[0], out[1]
}

// arrows are the points that have one, from where they were, in the order of the points.
func (v *mapView) arrows() []int {
	if v.Drift == nil {
		return nil
	}
	all := make([]int, v.Points.Rows)
	for i := range all {
		all[i] = i
	}
	slices.SortStableFunc(all, func(x, y int) int { return cmp.Compare(v.Drift.Moved[y], v.Drift.Moved[x]) })
	all = all[:min(len(all), maxArrows)]
	slices.Sort(all)
	return all
}

// arrow draws one that ends at the edge of a mark.
func arrow(c draw.Canvas, from, to draw.Point, radius float64) {
	length := math.Hypot(to.X-from.X, to.Y-from.Y)
	if length < radius+2 {
		return
	}
	dx, dy := (to.X-from.X)/length, (to.Y-from.Y)/length
	tip := draw.Point{X: to.X - dx*radius, Y: to.Y - dy*radius}
	head := min(6, length-radius)
	base := draw.Point{X: tip.X - dx*head, Y: tip.Y - dy*head}
	draw.Line(c, from, base, draw.Stroke{Paint: draw.Muted.Alpha(0.6), Width: 1})
	c.Polygon([]draw.Point{tip, {X: base.X - dy*head/3, Y: base.Y + dx*head/3}, {X: base.X + dy*head/3, Y: base.Y - dx*head/3}}, draw.Muted)
}

func (v *mapView) draw(c draw.Canvas) {
	radius := 4.0
	if n := v.Points.Rows; n > 500 {
		radius = max(1.6, 4-math.Log10(float64(n)/500))
	}
	places, before := v.places()
	c.Rect(draw.Rect{X: 1, Y: 1, W: mapWidth - 2, H: mapHeight - 2}, draw.None, draw.Stroke{Paint: draw.Rule, Width: 1})
	for _, i := range v.arrows() {
		arrow(c, before[i], places[i], radius+1)
	}
	for i, at := range places {
		paint, shape := v.mark(i)
		draw.Mark(c, shape, at, radius, paint)
		if v.Trust.Points[i] < falseBelow {
			c.Circle(at, radius+2, draw.None, draw.Stroke{Paint: draw.Ink, Width: 1})
		}
	}
	e := v.entries()
	if v.falses > 0 {
		e = append(e, entry{name: fmt.Sprintf("in a circle: false neighbours (%s)", message.Thousands(v.falses)), paint: draw.None, mark: true})
	}
	legend(c, draw.Point{X: 12, Y: mapHeight + 8}, mapWidth-24, e)
	if v.falses > 0 {
		rows := legendRows(e, mapWidth-24)
		last := rows[len(rows)-1]
		x := 12.0
		for _, before := range last[:len(last)-1] {
			x += legendSwatch + draw.Width(draw.Fit(before.name, smallSize, mapWidth-24-legendSwatch), smallSize, false) + legendGap
		}
		c.Circle(draw.Point{X: x + 9, Y: mapHeight + 8 + 18*float64(len(rows)-1) + 7}, 5, draw.None, draw.Stroke{Paint: draw.Ink, Width: 1})
	}
}

// ProjectionFigure draws the points. Those with false neighbours, of a trustworthiness below 0.8, are in circles.
func ProjectionFigure(p Projection) *Figure {
	v := newMapView(&p)
	t := Table{Columns: append(words("point"), numbers("x", "y", "trustworthiness")...)}
	t.Columns[0].Text = true
	colour := p.Color >= 0 && p.Values != nil
	if colour {
		t.Columns = append(t.Columns, Column{Name: p.Columns[p.Color], Text: true})
	}
	if p.Drift != nil {
		t.Columns = append(t.Columns, numbers("x before", "y before", "moved", "neighbours kept")...)
	}
	for i := range p.Points.Rows {
		at := p.Points.Row(i)
		row := []string{short(p.name(i)), exactly(at[0]), exactly(at[1]), exactly(p.Trust.Points[i])}
		if colour {
			row = append(row, short(p.Values[i][p.Color]))
		}
		if d := p.Drift; d != nil {
			was := d.Before.Row(i)
			row = append(row, exactly(was[0]), exactly(was[1]), exactly(d.Moved[i]), exactly(d.Kept[i]))
		}
		t.Rows = append(t.Rows, row)
	}
	t.sampled()
	if t.Page != nil {
		t.Note = "A sample of the points."
	}
	f := &Figure{Name: "map", Title: "Map of the points", Table: t, Width: mapWidth, Draw: v.draw}
	f.Height = mapHeight + 12 + legendHeight(append(v.entries(), entry{name: strings.Repeat("x", 40)}), mapWidth-24)
	f.Finding = fmt.Sprintf("%s points; trustworthiness %s by %d neighbours. %s of them have false neighbours: below %s.",
		message.Thousands(p.Points.Rows), draw.Number(p.Trust.Overall), p.Trust.K, message.Thousands(v.falses), draw.Number(falseBelow))
	if v.falses == 0 {
		f.Finding = fmt.Sprintf("%s points; trustworthiness %s by %d neighbours.", message.Thousands(p.Points.Rows), draw.Number(p.Trust.Overall), p.Trust.K)
	}
	if d := p.Drift; d != nil {
		f.Name = "drift"
		f.Finding += fmt.Sprintf(" An arrow leads from where a point was before. Points have kept %s of their %d nearest neighbours.", percent(d.MeanKept()), d.K)
		if n := p.Points.Rows; n > maxArrows {
			f.Finding += fmt.Sprintf(" Those %s that moved the farthest have arrows.", message.Thousands(maxArrows))
		}
	}
	return f
}

//go:embed projection.js
var projectionScript string

// mapData is what the script reads. Numbers of 16 bits are in the order of little-endian bytes, as base64.
type mapData struct {
	X       string     `json:"x"`     // [N]: pixels of the picture times 64
	Y       string     `json:"y"`     // [N]
	Near    string     `json:"near"`  // [N,K]: nearest first; 65535 is a point that the page does not have
	Trust   string     `json:"trust"` // [N]: bytes, of 255
	K       int        `json:"k"`
	Text    int        `json:"text"`
	Numbers []int      `json:"numbers,omitempty"` // [N]
	Columns []string   `json:"columns"`
	Values  [][]string `json:"values"`
}

func words16[T any](list []T, value func(T) uint16) string {
	var b []byte
	for _, v := range list {
		b = binary.LittleEndian.AppendUint16(b, value(v))
	}
	return base64.StdEncoding.EncodeToString(b)
}

// ProjectionPage is the page of a projection. Of more than 20,000 points it shows as many, and texts are cut as far as their number
// needs it; the page then says so.
func ProjectionPage(p Projection, title, generator string) (*Page, error) {
	n := p.Points.Rows
	for what, got := range map[string]int{"numbers": len(p.Rows), "rows of values": len(p.Values)} {
		if got != 0 && got != n {
			return nil, fmt.Errorf("%d %s for %d points", got, what, n)
		}
	}
	if p.Drift != nil {
		p = p.withDrift()
	}
	shown, place := p.thinned()
	page := &Page{Title: title, Generator: generator, NoMenu: true, Script: projectionScript}
	fact := func(name, value string) { page.Facts = append(page.Facts, Fact{Name: name, Value: value}) }
	fact("method", p.Method.String())
	fact("points", message.Thousands(n))
	if p.Dimensions > 0 {
		fact("dimensions", message.Thousands(p.Dimensions))
	}
	if p.Ratios != nil {
		fact("variance across", percent(p.Ratios[0]))
		fact("variance up", percent(p.Ratios[1]))
	}
	if m := p.Map; m != nil {
		name := "KL divergence"
		if m.Sparse {
			name += " of neighbours"
		}
		fact(name, draw.Number(m.KL))
		fact("perplexity", draw.Number(m.Perplexity))
		page.Lead = "Near points are alike. Distances between far points and the sizes of groups mean little."
	} else {
		page.Lead = "The two directions in which the points vary most."
	}
	fact("trustworthiness", draw.Number(p.Trust.Overall))
	if p.Drift != nil {
		fact("neighbours kept since before", percent(p.Drift.MeanKept()))
	}
	if p.Trust.Overall < falseBelow {
		page.Warnings = append(page.Warnings, fmt.Sprintf("The picture shows false neighbours all over: its trustworthiness is %s. A picture drawn at random has about a half.", draw.Number(p.Trust.Overall)))
	}
	page.Warnings = append(page.Warnings, p.Notes...)
	if p.Of > n {
		page.Warnings = append(page.Warnings, fmt.Sprintf("A sample of %s of %s points.", message.Thousands(n), message.Thousands(p.Of)))
	}
	if m := shown.Points.Rows; m < n {
		page.Warnings = append(page.Warnings, fmt.Sprintf("The page shows %s of the %s points. The numbers above are of all.", message.Thousands(m), message.Thousands(n)))
	}
	d := mapData{K: p.Neighbours.K, Text: p.Text, Numbers: shown.Rows, Columns: shown.Columns}
	at, _ := newMapView(&shown).places()
	d.X = words16(at, func(p draw.Point) uint16 { return uint16(math.Round(64 * p.X)) })
	d.Y = words16(at, func(p draw.Point) uint16 { return uint16(math.Round(64 * p.Y)) })
	d.Near = words16(shown.Neighbours.Indices, func(j int32) uint16 { return uint16(place[j]) })
	trust := make([]byte, len(shown.Trust.Points))
	for i, t := range shown.Trust.Points {
		trust[i] = byte(math.Round(255 * max(0, min(1, t))))
	}
	d.Trust = base64.StdEncoding.EncodeToString(trust)
	var (
		most int
		err  error
	)
	figure := ProjectionFigure(shown)
	room := maxMapBytes - len(d.X) - len(d.Y) - len(d.Near) - len(d.Trust)
	room -= len(draw.SVG(figure.Width, figure.Height, draw.SVGOptions{Classes: true}, figure.Draw))
	if d.Values, most, err = shown.values(room); err != nil {
		return nil, err
	}
	if most < mapTextLengths[0] {
		page.Warnings = append(page.Warnings, fmt.Sprintf("The page has the first %d characters of each text.", most))
	}
	page.Data = d
	page.Sections = []Section{{Title: "Map", Figures: []*Figure{figure}}}
	return page, nil
}

// withDrift has what is known of the drift of a point among what is known of it.
func (p *Projection) withDrift() Projection {
	out := *p
	out.Columns = append(slices.Clip(p.Columns), "moved", "neighbours kept")
	out.Values = make([][]string, p.Points.Rows)
	for i := range out.Values {
		if p.Values != nil {
			out.Values[i] = slices.Clip(p.Values[i])
		}
		out.Values[i] = append(out.Values[i], draw.Number(p.Drift.Moved[i]), percent(p.Drift.Kept[i]))
	}
	return out
}

// mapTextLengths are how many characters of a value the page has: the largest number with which there is room for all.
var mapTextLengths = [...]int{300, 150, 80, 50, 30, 15, 5, 0}

// values are what is known of the points, as far as so many bytes of JSON have room for it. most is how many characters a value has at most.
func (p *Projection) values(room int) (values [][]string, most int, err error) {
	if p.Values == nil {
		return nil, mapTextLengths[0], nil
	}
	for _, most = range mapTextLengths {
		values = make([][]string, len(p.Values))
		for i, row := range p.Values {
			values[i] = make([]string, len(row))
			for c, value := range row {
				values[i][c] = firstOf(value, most)
			}
		}
		text, err := json.Marshal(values)
		if err != nil {
			return nil, 0, err
		}
		if len(text) <= room {
			return values, most, nil
		}
	}
	return nil, 0, nil // empty values of too many columns
}

// firstOf is the first characters of a text.
func firstOf(text string, most int) string {
	n := 0
	for i := range text {
		if n == most {
			return cut(text[:i]) + "…"
		}
		n++
	}
	return cut(text)
}
