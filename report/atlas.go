package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/report/draw"
	"github.com/go-bert/bert/task"
)

// AtlasHead is a head with what it does on the whole.
type AtlasHead struct {
	Layer, Head int // from 0
	task.HeadMeans
}

// headsOf are the heads of an answer.
func headsOf(a *task.Attended) []AtlasHead {
	var out []AtlasHead
	for _, l := range a.Layers {
		for _, h := range l.Heads {
			out = append(out, AtlasHead{l.Layer, h.Head, task.HeadMeans{
				First: h.First, Separators: h.Separators, Self: h.Self, Previous: h.Previous, Next: h.Next, Entropy: h.Entropy,
			}})
		}
	}
	return out
}

// atlasPanel is one map of an atlas: a number of each head.
type atlasPanel struct {
	name  string
	value func(m *task.HeadMeans) float64
}

// atlasPanels are the maps of an atlas. Shares are from 0 to 1; the entropy is in nats.
var atlasPanels = [...]atlasPanel{
	{"[CLS]", func(m *task.HeadMeans) float64 { return float64(m.First) }},
	{"[SEP]", func(m *task.HeadMeans) float64 { return float64(m.Separators) }},
	{"itself", func(m *task.HeadMeans) float64 { return float64(m.Self) }},
	{"previous", func(m *task.HeadMeans) float64 { return float64(m.Previous) }},
	{"next", func(m *task.HeadMeans) float64 { return float64(m.Next) }},
	{"entropy", func(m *task.HeadMeans) float64 { return float64(m.Entropy) }},
}

// atlas is maps of the heads: a cell for each layer, down, and head, across.
type atlas struct {
	layers, heads []int
	panels        []atlasMap
}

type atlasMap struct {
	name      string
	values    [][]float64 // [layers][heads]; NaN: none
	diverging bool
}

// newAtlas places numbers of heads. places are their layers and heads.
func newAtlas(places [][2]int) (*atlas, func(name string, diverging bool, value func(i int) float64)) {
	a := &atlas{}
	for _, p := range places {
		if !slices.Contains(a.layers, p[0]) {
			a.layers = append(a.layers, p[0])
		}
		if !slices.Contains(a.heads, p[1]) {
			a.heads = append(a.heads, p[1])
		}
	}
	slices.Sort(a.layers)
	slices.Sort(a.heads)
	return a, func(name string, diverging bool, value func(i int) float64) {
		m := atlasMap{name: name, diverging: diverging, values: make([][]float64, len(a.layers))}
		for l := range m.values {
			m.values[l] = make([]float64, len(a.heads))
			for h := range m.values[l] {
				m.values[l][h] = math.NaN()
			}
		}
		for i, p := range places {
			m.values[slices.Index(a.layers, p[0])][slices.Index(a.heads, p[1])] = value(i)
		}
		a.panels = append(a.panels, m)
	}
}

const (
	atlasCell   = 15.0
	atlasLeft   = 28.0
	atlasTop    = 40.0
	atlasGap    = 46.0
	atlasFoot   = 8.0
	atlasAcross = 3
)

func (a *atlas) size() (width, height float64) {
	across := min(atlasAcross, len(a.panels))
	down := (len(a.panels) + atlasAcross - 1) / atlasAcross
	panelW, panelH := a.panel()
	return float64(across) * panelW, float64(down) * panelH
}

// panel is the size of a map, with its frame.
func (a *atlas) panel() (width, height float64) {
	return max(130, atlasLeft+atlasCell*float64(len(a.heads))+atlasGap+12), atlasTop + atlasCell*float64(len(a.layers)) + atlasFoot
}

func (a *atlas) draw(c draw.Canvas) {
	panelW, panelH := a.panel()
	for i := range a.panels {
		a.drawPanel(c, &a.panels[i], draw.Point{X: panelW * float64(i%atlasAcross), Y: panelH * float64(i/atlasAcross)})
	}
}

func (a *atlas) drawPanel(c draw.Canvas, m *atlasMap, at draw.Point) {
	low, high, ok := span(m.values...)
	switch {
	case !ok:
		low, high = 0, 1
	case m.diverging:
		high = max(math.Abs(low), math.Abs(high), 1e-300)
		low = -high
	default:
		low, high = 0, max(high, 1e-300)
	}
	colour := func(v float64) draw.Paint {
		if m.diverging {
			return draw.Fixed(draw.Diverging(v / high))
		}
		return draw.Fixed(draw.Sequential((v - low) / (high - low)))
	}
	c.Text(draw.Point{X: at.X + atlasLeft, Y: at.Y + 14}, m.name, draw.TextStyle{Bold: true})
	style := draw.TextStyle{Size: 9, Paint: draw.Muted, Centred: true}
	label := func(i, n int) bool { return n <= 12 || i%2 == 0 }
	for h, head := range a.heads {
		if label(h, len(a.heads)) {
			s := style
			s.Anchor = draw.Middle
			c.Text(draw.Point{X: at.X + atlasLeft + atlasCell*(float64(h)+0.5), Y: at.Y + atlasTop - 9}, fmt.Sprint(head), s)
		}
	}
	for l, layer := range a.layers {
		y := at.Y + atlasTop + atlasCell*float64(l)
		s := style
		s.Anchor = draw.End
		c.Text(draw.Point{X: at.X + atlasLeft - 5, Y: y + atlasCell/2}, fmt.Sprint(layer), s)
		for h, head := range a.heads {
			v := m.values[l][h]
			cell := draw.Rect{X: at.X + atlasLeft + atlasCell*float64(h), Y: y, W: atlasCell, H: atlasCell}
			if !finite(v) {
				c.Rect(cell, draw.Panel, draw.Stroke{})
				continue
			}
			c.Group(fmt.Sprintf("%d-%d, %s: %s", layer, head, m.name, draw.Number(v)), func() { c.Rect(cell, colour(v), draw.Stroke{}) })
		}
	}
	const steps = 12
	x, bottom := at.X+atlasLeft+atlasCell*float64(len(a.heads))+6, at.Y+atlasTop+atlasCell*float64(len(a.layers))
	height := atlasCell * float64(len(a.layers))
	for i := range steps {
		v := low + (high-low)*(float64(i)+0.5)/steps
		c.Rect(draw.Rect{X: x, Y: bottom - height*float64(i+1)/steps, W: 8, H: height/steps + 0.5}, colour(v), draw.Stroke{})
	}
	c.Text(draw.Point{X: x + 11, Y: at.Y + atlasTop + 5}, draw.Number(high), style)
	c.Text(draw.Point{X: x + 11, Y: bottom - 5}, draw.Number(low), style)
}

// AtlasFigure draws what all heads do on the whole, a map for each number: the shares of a head's attention that go to [CLS], to [SEP],
// to the token itself and to its neighbours, and its entropy.
func AtlasFigure(name string, heads []AtlasHead) *Figure {
	var places [][2]int
	t := Table{Columns: append(words("layer-head"), numbers("[CLS]", "[SEP]", "itself", "previous", "next", "entropy")...)}
	separators := 0
	for i := range heads {
		h := &heads[i]
		places = append(places, [2]int{h.Layer, h.Head})
		cells := []string{fmt.Sprintf("%d-%d", h.Layer, h.Head)}
		for _, p := range atlasPanels {
			cells = append(cells, exactly(p.value(&h.HeadMeans)))
		}
		t.Rows = append(t.Rows, cells)
		if h.Separators > 0.5 {
			separators++
		}
	}
	a, add := newAtlas(places)
	for _, p := range atlasPanels {
		add(p.name, false, func(i int) float64 { return p.value(&heads[i].HeadMeans) })
	}
	f := &Figure{Name: name, Title: "Atlas of the heads", Table: t, Draw: a.draw, Finding: "There are no heads."}
	if len(heads) > 0 {
		f.Finding = fmt.Sprintf("%d of %d heads give more than half of their attention to [SEP]. A cell is a head: layers go down, heads across.", separators, len(heads))
	}
	f.Width, f.Height = a.size()
	return f
}

// HeadChangesFigure draws by how much the numbers of an atlas have changed from one model to another, and how far the heads of the two
// differ token by token.
func HeadChangesFigure(name string, heads []task.HeadChange) *Figure {
	var places [][2]int
	t := Table{Columns: append(words("layer-head"), numbers("divergence")...)}
	for _, p := range atlasPanels {
		t.Columns = append(t.Columns, numbers(p.name+" before", p.name+" after")...)
	}
	most := -1
	for i := range heads {
		h := &heads[i]
		places = append(places, [2]int{h.Layer, h.Head})
		cells := []string{fmt.Sprintf("%d-%d", h.Layer, h.Head), exactly(float64(h.Divergence))}
		for _, p := range atlasPanels {
			cells = append(cells, exactly(p.value(&h.Before)), exactly(p.value(&h.After)))
		}
		t.Rows = append(t.Rows, cells)
		if most < 0 || h.Divergence > heads[most].Divergence {
			most = i
		}
	}
	a, add := newAtlas(places)
	add("divergence", false, func(i int) float64 { return float64(heads[i].Divergence) })
	for _, p := range atlasPanels {
		add(p.name, true, func(i int) float64 { return p.value(&heads[i].After) - p.value(&heads[i].Before) })
	}
	f := &Figure{Name: name, Title: "What changed", Table: t, Draw: a.draw, Finding: "There are no heads."}
	if most >= 0 {
		h := &heads[most]
		f.Finding = fmt.Sprintf("Head %d of layer %d changed the most: a divergence of %s nats, of at most 0.69. A cell is a head: layers go down, heads across.", h.Head, h.Layer, draw.Number(float64(h.Divergence)))
	}
	f.Width, f.Height = a.size()
	return f
}

// HeadChangesPage is a page of what has become of the heads of a model, in texts of so many tokens.
func HeadChangesPage(heads []task.HeadChange, tokens int, title, generator string) *Page {
	page := &Page{Title: title, Generator: generator, NoMenu: true}
	page.Lead = "What the heads of a model do since another. Orange: more than before, blue: less. The divergence is how far both differ token by token: 0 where they are alike, 0.69 where they attend to other tokens altogether. Layers and heads count from 0."
	mean := 0.0
	var before, after []AtlasHead
	for _, h := range heads {
		mean += float64(h.Divergence) / float64(len(heads))
		before, after = append(before, AtlasHead{h.Layer, h.Head, h.Before}), append(after, AtlasHead{h.Layer, h.Head, h.After})
	}
	page.Facts = []Fact{{Name: "heads", Value: message.Thousands(len(heads))}, {Name: "tokens", Value: message.Thousands(tokens)},
		{Name: "mean divergence", Value: draw.Number(mean)}}
	sorted := slices.Clone(heads)
	slices.SortStableFunc(sorted, func(x, y task.HeadChange) int { return cmp.Compare(y.Divergence, x.Divergence) })
	top := Table{Columns: append(words("layer-head"), numbers("divergence", "[SEP] before", "[SEP] after", "entropy before", "entropy after")...)}
	for _, h := range sorted[:min(10, len(sorted))] {
		top.Rows = append(top.Rows, []string{
			fmt.Sprintf("%d-%d", h.Layer, h.Head), exactly(float64(h.Divergence)), exactly(float64(h.Before.Separators)), exactly(float64(h.After.Separators)),
			exactly(float64(h.Before.Entropy)), exactly(float64(h.After.Entropy)),
		})
	}
	named := func(f *Figure, title string) *Figure {
		f.Title = title
		return f
	}
	page.Sections = []Section{
		{Title: "Changes", Figures: []*Figure{HeadChangesFigure("changes", heads)}, Tables: []NamedTable{{Title: "Heads that changed the most", Table: top}}},
		{Title: "Both models", Figures: []*Figure{named(AtlasFigure("before", before), "Before"), named(AtlasFigure("after", after), "After")}},
	}
	return page
}
