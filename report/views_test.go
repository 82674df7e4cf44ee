package report

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/task"
)

// figureNames are those of a page's figures.
func figureNames(p *Page) []string {
	var names []string
	for _, f := range p.Figures() {
		names = append(names, f.Name)
	}
	return names
}

// A page has the parts that it is asked for.
func TestAttentionViews(t *testing.T) {
	page := func(views []AttentionView) *Page {
		p := Attentions{Views: views}
		a := attended(6, 2, 2)
		for l := range a.Layers {
			a.Layers[l].Rollout = &a.Layers[l].Heads[1].Rows
			for h := range a.Layers[l].Heads {
				head := &a.Layers[l].Heads[h]
				for i := range 6 {
					head.Queries, head.Keys = append(head.Queries, []float32{float32(i), -2}), append(head.Keys, []float32{1, float32(h)})
				}
			}
		}
		p.Add(&data.Input{Text: "a b"}, &a)
		return p.Page("", "")
	}
	for _, c := range []struct {
		views   []AttentionView
		figures []string
		neurons int
	}{
		{nil, []string{"attention-01", "atlas-01"}, 0},
		{[]AttentionView{HeadView}, []string{"attention-01"}, 0},
		{[]AttentionView{RolloutView, NeuronView}, []string{"attention-01", "rollout-01"}, 4},
	} {
		p := page(c.views)
		d := p.Data.(attentionData)
		if !slices.Equal(figureNames(p), c.figures) || len(d.Texts[0].Neurons) != c.neurons {
			t.Errorf("%v: figures %q, %d heads with queries; want %q, %d", c.views, figureNames(p), len(d.Texts[0].Neurons), c.figures, c.neurons)
		}
		if len(d.Texts[0].Maps) != 4 {
			t.Errorf("%v: %d maps", c.views, len(d.Texts[0].Maps))
		}
	}
	for _, name := range AttentionViews() {
		if v, err := ParseAttentionView(name); err != nil || v.String() != name {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
}

// What the script reads are the numbers to half a step of 127, and the last layers where there is no room for all.
func TestNeurons(t *testing.T) {
	h := task.AttendedHead{Head: 3, Queries: [][]float32{{1.5, -2}, {0, 0.3}}, Keys: [][]float32{{-0.1, 4}, {2, 2}}}
	m := newNeuronMap(7, &h)
	if m.Layer != 7 || m.Head != 3 || m.Width != 2 || m.Most != 4 {
		t.Errorf("%+v", m)
	}
	for text, want := range map[string][][]float32{m.Queries: h.Queries, m.Keys: h.Keys} {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range slices.Concat(want...) {
			if got := float64(int8(b[i])) / 127 * 4; math.Abs(got-float64(v)) > 0.51*4/127 {
				t.Errorf("number %d is %g, want %g", i, got, v)
			}
		}
	}
	var a task.Attended
	for l := range 3 {
		a.Layers = append(a.Layers, task.AttendedLayer{Layer: l, Heads: []task.AttendedHead{h}})
	}
	maps, left := neurons(&a, 2*(len(m.Queries)+len(m.Keys)))
	if len(maps) != 2 || left != 1 || maps[0].Layer != 1 || maps[1].Layer != 2 {
		t.Errorf("with room for two layers: %d, without %d", len(maps), left)
	}
}

// Texts of a model of many heads, with all views, are under 5 MB: further ones are left out, which the page says.
func TestManyTextsPageSize(t *testing.T) {
	p := Attentions{Views: []AttentionView{HeadView, ModelView, NeuronView, RolloutView, AtlasView}}
	a := attended(40, 1, 1)
	head := &a.Layers[0].Heads[0]
	for range 40 {
		head.Queries, head.Keys = append(head.Queries, make([]float32, 64)), append(head.Keys, make([]float32, 64))
	}
	a.Layers[0].Rollout = &head.Rows
	for len(a.Layers[0].Heads) < 4 {
		a.Layers[0].Heads = append(a.Layers[0].Heads, *head)
	}
	for len(a.Layers) < 12 {
		a.Layers = append(a.Layers, a.Layers[0])
	}
	for range maxAttentionTexts + 5 {
		p.Add(&data.Input{Text: "a"}, &a)
	}
	page := p.Page("", "")
	size := len(rendered(t, page))
	if n := len(page.Sections); size > 5_000_000 || size < 3_500_000 || n < 3 || !strings.Contains(page.Warnings[0], fmt.Sprintf("The page has the first %d of 25 texts.", n)) {
		t.Errorf("%d texts have %d bytes: %q", n, size, page.Warnings)
	}
}

// The means are of all numbers, also of those that have no pictures.
func TestMethodComparisonsPage(t *testing.T) {
	var p MethodComparisons
	for i := range maxComparedTargets + 2 {
		c := someComparison()
		if i == 0 {
			for s := range c.Targets[0].Removal.Random {
				c.Targets[0].Removal.Random[s] += 42
			}
			c.Targets[0].Removal.RandomFall = 43.375
		}
		p.Add(&data.Input{Text: fmt.Sprint("text ", i)}, c)
	}
	page := p.Page("", "")
	if len(page.Sections) != maxComparedTargets+1 || len(page.Warnings) != 1 || !strings.Contains(page.Warnings[0], "of 42 numbers") {
		t.Errorf("%d sections, warnings %q", len(page.Sections), page.Warnings)
	}
	removal := page.Sections[0].Figures[1]
	if want := "It falls by 1.6 on average with ig, and by 2.375 with words at random."; !strings.HasPrefix(removal.Finding, want) {
		t.Errorf("%q, want %q", removal.Finding, want)
	}
	if !strings.Contains(removal.Finding, "attention is no better than chance: 1.3") {
		t.Errorf("%q doesn't say that attention is no better", removal.Finding)
	}
	if row := page.Sections[0].Tables[0].Table.Rows[3]; row[0] != "at random" || row[1] != "2.375" {
		t.Errorf("the table has %q", row)
	}
	if finding := page.Sections[0].Figures[0].Finding; finding != "ig and occlusion agree the least: the ranks of their scores correlate by 0.93." {
		t.Errorf("%q", finding)
	}
}

// Long texts are under 5 MB: further ones are left out.
func TestMethodComparisonsPageSize(t *testing.T) {
	c := someComparison()
	c.Methods = make([]task.Method, 7)
	target := &c.Targets[0]
	target.Words = nil
	for i := range 500 {
		w := task.ComparedWord{Text: fmt.Sprint("word ", i)}
		for k := range c.Methods {
			c.Methods[k], w.Scores = task.Method(k), append(w.Scores, float32(wave(i+k)))
		}
		target.Words = append(target.Words, w)
	}
	target.Correlations = make([][]*float32, 7)
	for k := range target.Correlations {
		target.Correlations[k] = make([]*float32, 7)
	}
	target.Removal = task.RemovalCurves{}
	var p MethodComparisons
	for range 60 {
		p.Add(&data.Input{Text: "a"}, c)
	}
	page := p.Page("", "")
	if size := len(rendered(t, page)); size > 5_000_000 || size < 2_000_000 || len(page.Warnings) == 0 {
		t.Errorf("%d sections have %d bytes: %q", len(page.Sections), size, page.Warnings)
	}
}

func TestHeadChangesPage(t *testing.T) {
	heads := someChanges(2, 3)
	heads[4].Divergence = 0.6
	page := HeadChangesPage(heads, 99, "", "")
	f := page.Sections[0].Figures[0]
	if f.Finding != "Head 1 of layer 1 changed the most: a divergence of 0.6 nats, of at most 0.69. A cell is a head: layers go down, heads across." || len(f.Table.Rows) != 6 {
		t.Errorf("%q, %d rows", f.Finding, len(f.Table.Rows))
	}
	if row := page.Sections[0].Tables[0].Table.Rows[0]; row[0] != "1-1" {
		t.Errorf("the first of those that changed is %q", row)
	}
	if page.Figures()[1].Title != "Before" || page.Figures()[2].Title != "After" {
		t.Errorf("%q", figureNames(page))
	}
}

// A drift has arrows, those of the farthest where there are many, and what is known of it beside the points.
func TestDriftPage(t *testing.T) {
	p := drifted(t, 60)
	page := projectionPage(t, p)
	d := page.Data.(mapData)
	if !slices.Equal(d.Columns, []string{"text", "label", "year", "moved", "neighbours kept"}) || len(d.Values[3]) != 5 || d.Values[3][4] != "60 %" {
		t.Errorf("columns %q, values %q", d.Columns, d.Values[3])
	}
	if len(p.Columns) != 3 || len(p.Values[0]) != 3 {
		t.Error("the caller's columns have changed")
	}
	v := newMapView(&p)
	if n := len(v.arrows()); n != 60 {
		t.Errorf("%d arrows of 60 points", n)
	}
	if e := v.entries(); len(e) != 7 || e[4].name != "year: 2001" || e[0].shape != e[3].shape {
		t.Errorf("a legend of %d: %+v", len(e), e)
	}
	many := drifted(t, 3000)
	arrows := newMapView(&many).arrows()
	least := math.Inf(1)
	for _, i := range arrows {
		least = min(least, many.Drift.Moved[i])
	}
	farther := 0
	for _, m := range many.Drift.Moved {
		if m > least {
			farther++
		}
	}
	if len(arrows) != maxArrows || farther >= maxArrows || !slices.IsSorted(arrows) {
		t.Errorf("%d arrows, of which the shortest is shorter than %d", len(arrows), farther)
	}
	large := drifted(t, 20_000)
	if n := len(rendered(t, projectionPage(t, large))); n > 5_000_000 {
		t.Errorf("20,000 points that moved have %d bytes", n)
	}
	for i := range p.Trust.Points {
		p.Trust.Overall, p.Trust.Points[i] = 0.5, 0.5
	}
	if page = projectionPage(t, p); len(page.Warnings) != 1 || !strings.Contains(page.Warnings[0], "false neighbours all over") {
		t.Errorf("of no trust: %q", page.Warnings)
	}
}
