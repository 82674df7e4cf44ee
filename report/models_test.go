package report

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/explain"
	"github.com/go-bert/bert/task"
)

// mapped is a projection of n points of so many groups, with hostile texts. Its numbers are made up: points far out in the picture
// have false neighbours.
func mapped(t testing.TB, n, groups int) Projection {
	t.Helper()
	const k = 5
	r := &explain.Projection{
		Method: explain.ByTSNE, Points: explain.NewMatrix(n, 2), Map: &explain.Map{KL: 1.25, Perplexity: 30},
		Trust: &explain.Trustworthiness{K: k, Overall: 0.93, Points: make([]float64, n)}, Neighbours: &explain.Neighbours{K: k},
	}
	p := Projection{Projection: r, Dimensions: 50, Columns: []string{"text", "label"}, Color: 1, Shape: -1}
	for i := range n {
		x, y := 4*wave(i)-2, 4*wave(i+n)-2
		r.Points.Values[2*i], r.Points.Values[2*i+1] = x+float64(3*(i%groups)), y+float64((i%groups)%3)
		r.Trust.Points[i] = 1 - 0.05*(x*x+y*y)
		for j := range k {
			r.Neighbours.Indices = append(r.Neighbours.Indices, int32((i+j+1)%n))
		}
		p.Values = append(p.Values, []string{fmt.Sprint(i, " ", hostile[i%len(hostile)]), fmt.Sprint("group ", i%groups)})
	}
	return p
}

func projectionPage(t testing.TB, p Projection) *Page {
	t.Helper()
	page, err := ProjectionPage(p, "Map of "+hostile[0], "bert test")
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// explained is an explanation of a text's words, with scores that miss their sum by delta.
func explained(text string, delta float32) (data.Input, task.Explanation) {
	in := data.Input{Text: text}
	a := task.Attributed{Target: task.Target{Label: "<pos>"}, Value: 2.5, Points: 32}
	base, complete, sum := float32(0.5), true, float32(0)
	at := 0
	for i, word := range strings.Split(text, " ") {
		score := float32(wave(i)) - 0.4
		sum += score
		a.Words = append(a.Words, task.WordScore{Text: word, Start: at, End: at + len(word), Score: score})
		at += len(word) + 1
	}
	a.Value, a.BaselineValue, a.Delta, a.Complete = base+sum-delta, &base, &delta, &complete
	return in, task.Explanation{Targets: []task.Attributed{a, a}, Baseline: task.PadBaseline}
}

func explanationPage(t testing.TB) *Page {
	t.Helper()
	var e Explanations
	add := func(in data.Input, answer task.Explanation) {
		if err := e.Add(&in, &answer); err != nil {
			t.Fatal(err)
		}
	}
	add(explained("It was a dull , boring film .", 1e-5))
	add(explained("These scores are far from their sum .", 0.5))
	for _, text := range hostile {
		if len(text) < 1000 {
			add(explained("a "+text+" b", 0))
		}
	}
	in, answer := explained("Who wrote it?", 0)
	in.TextPair, in.Pair = "Ann wrote it.", true
	answer.Targets[0].Words = append(answer.Targets[0].Words, task.WordScore{Text: "Ann", End: 3, Pair: true, Score: 0.3})
	add(in, answer)
	add(data.Input{Text: "no entities"}, task.Explanation{})
	add(explained(strings.TrimSpace(hostile[10]), 0))
	add(explained("left out", 0))
	return e.Page("Explanations of "+hostile[0], "bert test")
}

// attended is what n tokens, some of them hostile, attend to in a model of so many layers and heads.
func attended(n, layers, heads int) task.Attended {
	a := task.Attended{RowError: 1e-7, Special: []int{0, n - 1}}
	for i := range n {
		a.Tokens = append(a.Tokens, hostile[i%len(hostile)])
	}
	a.Tokens[0], a.Tokens[n-1] = "[CLS]", "[SEP]"
	for l := range layers {
		layer := task.AttendedLayer{Layer: l, PaperLayer: l + 1}
		for h := range heads {
			rows := make([][]float32, n)
			for i := range rows {
				rows[i] = make([]float32, n)
				sum := float32(0)
				for j := range rows[i] {
					w := wave(i*n + j + 7*l + 13*h)
					rows[i][j] = float32(w * w * w * w)
					sum += rows[i][j]
				}
				for j := range rows[i] {
					rows[i][j] /= sum
				}
			}
			layer.Heads = append(layer.Heads, task.AttendedHead{Head: h, PaperHead: h + 1, Separators: float32(wave(l + 5*h)), Rows: task.AttendedRows{All: rows}})
		}
		a.Layers = append(a.Layers, layer)
	}
	return a
}

// neuronPage is a page with all views of a pair.
func neuronPage() *Page {
	p := Attentions{Views: []AttentionView{HeadView, ModelView, NeuronView, RolloutView, AtlasView}}
	a := attended(9, 2, 2)
	a.Second, a.Special = 5, []int{0, 4, 8}
	for l := range a.Layers {
		layer := &a.Layers[l]
		layer.Rollout = &layer.Heads[0].Rows
		for h := range layer.Heads {
			for i := range 9 {
				q, k := make([]float32, 4), make([]float32, 4)
				for d := range 4 {
					q[d], k[d] = float32(4*wave(i+10*d+100*h+l)-2), float32(4*wave(i+11*d+100*h+l)-2)
				}
				layer.Heads[h].Queries, layer.Heads[h].Keys = append(layer.Heads[h].Queries, q), append(layer.Heads[h].Keys, k)
			}
		}
	}
	p.Add(&data.Input{Text: "a b c", TextPair: "d e f", Pair: true}, &a)
	return p.Page("Attention of "+hostile[0], "bert test")
}

func attentionPage() *Page {
	var p Attentions
	for _, n := range []int{12, 50} {
		a := attended(n, 3, 4)
		p.Add(&data.Input{Text: hostile[0]}, &a)
	}
	a := attended(5, 2, 2)
	for i := range a.Layers {
		l := &a.Layers[i]
		l.Heads, l.Rollout = nil, &l.Heads[0].Rows
	}
	p.Add(&data.Input{Text: "a rollout"}, &a)
	return p.Page("Attention of "+hostile[0], "bert test")
}

// drifted is a projection of points that have moved, with shapes by a second column.
func drifted(t testing.TB, n int) Projection {
	t.Helper()
	p := mapped(t, n, 4)
	p.Shape = 2
	p.Columns = append(p.Columns, "year")
	d := &explain.Drift{Before: explain.NewMatrix(n, 2), K: 5}
	for i := range n {
		d.Before.Values[2*i], d.Before.Values[2*i+1] = p.Points.Values[2*i]+2*wave(3*i)-1, p.Points.Values[2*i+1]+2*wave(5*i)-1
		d.Moved, d.Kept = append(d.Moved, 3*wave(7*i)), append(d.Kept, float64(i%6)/5)
		p.Values[i] = append(p.Values[i], fmt.Sprint(2001+i%3))
	}
	p.Drift = d
	return p
}

// someHeads are what heads do on the whole.
func someHeads(layers, heads int) []AtlasHead {
	var out []AtlasHead
	for l := range layers {
		for h := range heads {
			w := func(k int) float32 { return float32(wave(31*l + 7*h + 1000*k)) }
			out = append(out, AtlasHead{l, h, task.HeadMeans{First: w(1) / 2, Separators: w(2), Self: w(3) / 5, Previous: w(4) / 3, Next: w(5) / 3, Entropy: 3 * w(6)}})
		}
	}
	return out
}

// someChanges are heads of two models.
func someChanges(layers, heads int) []task.HeadChange {
	var out []task.HeadChange
	before, after := someHeads(layers, heads), someHeads(layers+1, heads)[heads:]
	for i, b := range before {
		out = append(out, task.HeadChange{Layer: b.Layer, PaperLayer: b.Layer + 1, Head: b.Head, PaperHead: b.Head + 1, Before: b.HeadMeans, After: after[i].HeadMeans, Divergence: float32(wave(i)) / 2})
	}
	return out
}

// someComparison is of three methods: the last gives all words the same.
func someComparison() *task.MethodComparison {
	c := &task.MethodComparison{Methods: []task.Method{task.IntegratedGradients, task.Occlusion, task.LastAttention}}
	t := task.ComparedTarget{Target: task.Target{Label: "<neg>"}, Value: 2.5}
	for i, word := range strings.Fields("It was a dull , boring film .") {
		t.Words = append(t.Words, task.ComparedWord{Text: word, Scores: []float32{float32(wave(i)) - 0.4, float32(wave(i))/2 - 0.1, 0.25}})
	}
	one, near := float32(1), float32(0.93)
	t.Correlations = [][]*float32{{&one, &near, nil}, {&near, &one, nil}, {nil, nil, nil}}
	r := &t.Removal
	r.Methods = make([][]float32, 3)
	for s := range 11 {
		r.Words = append(r.Words, 2*s)
		for k := range r.Methods {
			r.Methods[k] = append(r.Methods[k], float32(2.5-float64(s)*0.25-[]float64{0.6, 0.4, -0.1}[k]*wave(s)*float64(s*(10-s))/25))
		}
		r.Random = append(r.Random, float32(2.5-float64(s)*0.25))
	}
	r.Falls, r.RandomFall = []float32{1.6, 1.5, 1.3}, 1.375
	c.Targets = []task.ComparedTarget{t}
	return c
}

func comparisonPage() *Page {
	var p MethodComparisons
	for range 2 {
		p.Add(&data.Input{Text: hostile[0]}, someComparison())
	}
	p.Add(&data.Input{Text: "no entities"}, &task.MethodComparison{Methods: someComparison().Methods})
	return p.Page("Methods of "+hostile[0], "bert test")
}

// modelPages are the pages of what looks into a model.
func modelPages(t testing.TB) map[string]*Page {
	t.Helper()
	return map[string]*Page{
		"explanation": explanationPage(t), "projection": projectionPage(t, mapped(t, 150, 8)), "attention": attentionPage(),
		"neuron": neuronPage(), "drift": projectionPage(t, drifted(t, 60)), "methods": comparisonPage(),
		"changes": HeadChangesPage(someChanges(4, 4), 1234, "Heads of "+hostile[0], "bert test"),
	}
}

func TestModelPages(t *testing.T) {
	again := modelPages(t)
	for name, p := range modelPages(t) {
		page := rendered(t, p)
		if page != rendered(t, again[name]) {
			t.Errorf("%s: the same page has other bytes the second time", name)
		}
		for _, bad := range []string{"\x00", "\x1b", "\xff", "ZgotmplZ", "<nil>", "NaN", "@import", "style=", "<script>alert", "%!"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: the page has %q", name, bad)
			}
		}
		if n := len(page); n > 5_000_000 {
			t.Errorf("%s: %d bytes, want less than 5 MB", name, n)
		}
		if n := len(pageScript) + len(p.Script); n > 30_000 {
			t.Errorf("%s: the script has %d bytes, want at most 30,000", name, n)
		}
		checkTags(t, page)
	}
}

func TestExplanationPage(t *testing.T) {
	p := explanationPage(t)
	page := rendered(t, p)
	for _, want := range []string{
		`<mark class="p4" title="0.5`,                           // the darkest word
		`class="wrong">δ = 0.5 (`, `: the scores do not add up`, // far from the sum
		`class="name">logit `, `There is nothing to explain.`, `<mark class="p`, `>Ann</mark> wrote it.`,
		"The page has the first ", "Further numbers of the last text are left out: 1.", "characters in all)",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := strings.Count(page, `class="wrong"`); n != 2 {
		t.Errorf("%d explanations are marked as wrong, want 2", n)
	}
	// Each text is there as it is, between its marks.
	words := []task.WordScore{{Text: "b", Start: 3, End: 4, Score: -1}, {Text: "out of it", Start: 90, End: 99}, {Text: "c", Start: 5, End: 6, Score: 0.5}}
	got := ""
	for _, part := range scoredText("a  b c\n", words, 1) {
		got += part.Text + "|" + part.Class + ";"
	}
	if want := "a  |;b|n4; |;c|p2;\n|;"; got != want {
		t.Errorf("the text is %q, want %q", got, want)
	}
}

func TestProjectionPage(t *testing.T) {
	p := mapped(t, 150, 30)
	page := projectionPage(t, p)
	text := rendered(t, page)
	for _, want := range []string{"KL divergence", "other values", "in a circle: false neighbours", "trustworthiness"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(text, "characters of each text") {
		t.Error("the page says that it cut texts, and there is room for all")
	}
	var d mapData
	encoded, err := json.Marshal(page.Data)
	if err == nil {
		err = json.Unmarshal(encoded, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	near, err := base64.StdEncoding.DecodeString(d.Near)
	if err != nil || len(near) != 2*150*d.K {
		t.Fatalf("%d bytes of neighbours: %v", len(near), err)
	}
	if got := int(near[2*d.K*7]) + int(near[2*d.K*7+1])<<8; got != 8 {
		t.Errorf("the nearest of point 7 is %d, want 8", got)
	}
	p.Rows = []int{1}
	if _, err := ProjectionPage(p, "", ""); err == nil || err.Error() != "1 numbers for 150 points" {
		t.Errorf("with a number for one point: %v", err)
	}
	// All points are in one place.
	for i := range p.Points.Values {
		p.Points.Values[i] = 3
	}
	p.Rows = nil
	places, _ := newMapView(&p).places()
	for _, at := range places {
		if math.Abs(at.X-mapWidth/2) > 1e-9 || math.Abs(at.Y-mapHeight/2) > 1e-9 {
			t.Fatalf("equal points are at %v", at)
		}
	}
}

// 20,000 points, each with false neighbours and a long text, are under 5 MB, and so are more.
func TestProjectionPageSize(t *testing.T) {
	for _, n := range []int{20_000, 30_000} {
		p := mapped(t, n, 20)
		for i := range n {
			p.Trust.Points[i] = 0.5
			p.Values[i][0] = strings.Repeat("<long> & ", 30)
		}
		page := projectionPage(t, p)
		if size := len(rendered(t, page)); size > 5_000_000 {
			t.Errorf("a page of %d points has %d bytes, want less than 5 MB", n, size)
		}
		warnings := strings.Join(page.Warnings, " ")
		if !strings.Contains(warnings, "characters of each text") || strings.Contains(warnings, "The page shows 20,000 of the 30,000 points") != (n > 20_000) {
			t.Errorf("of %d points the page warns of %q", n, page.Warnings)
		}
	}
}

// A page with all weights of 12 heads of 12 layers at 128 tokens has a few megabytes. More tokens, or more heads, leave out the
// smallest weights, and the page says how much that is.
func TestAttentionPageSize(t *testing.T) {
	for _, c := range []struct{ n, layers, heads, kept int }{{128, 12, 12, 0}, {129, 12, 12, 44}, {128, 24, 16, 16}, {512, 12, 12, 11}} {
		if testing.Short() && c.n > 129 {
			continue
		}
		var p Attentions
		a := attended(c.n, 1, 1)
		for len(a.Layers) < c.layers {
			a.Layers = append(a.Layers, a.Layers[0])
		}
		for i := range a.Layers {
			for len(a.Layers[i].Heads) < c.heads {
				a.Layers[i].Heads = append(a.Layers[i].Heads, a.Layers[0].Heads[0])
			}
		}
		in := data.Input{Text: "a"}
		p.Add(&in, &a)
		p.Add(&in, &a)
		page := p.Page("", "")
		if size := len(rendered(t, page)); size > 4_500_000 {
			t.Errorf("%+v: %d bytes, want at most 4.5 MB", c, size)
		}
		if got := p.data.Texts[0]; got.Kept != c.kept || len(got.Maps) != c.layers*c.heads {
			t.Errorf("%+v: %d matrices with %d weights of a row", c, len(got.Maps), got.Kept)
		}
		if said := page.Sections[0].Text; strings.Contains(said, "leaves out at most") != (c.kept > 0) {
			t.Errorf("%+v: the page says %q", c, said)
		}
	}
}

// What the script reads are the weights to half a step of 255.
func TestPackedWeights(t *testing.T) {
	a := attended(20, 1, 1)
	rows := a.Layers[0].Heads[0].Rows.All
	for _, k := range []int{0, 3} {
		m := weightMap{2, 1, &a.Layers[0].Heads[0].Rows}
		packed, lost := m.packed(20, k)
		weights, err := base64.StdEncoding.DecodeString(packed.Weights)
		if err != nil {
			t.Fatal(err)
		}
		to, err := base64.StdEncoding.DecodeString(packed.To)
		if err != nil {
			t.Fatal(err)
		}
		most := 0.0
		for i, row := range rows {
			kept, width := 0.0, k
			if k == 0 {
				width = 20
			}
			for c := range width {
				j := c
				if k > 0 {
					at := 2 * (i*k + c)
					j = int(to[at]) + int(to[at+1])<<8
				}
				kept += float64(row[j])
				got := float64(weights[i*width+c]) / 255 * float64(packed.Most)
				if math.Abs(got-float64(row[j])) > 0.51/255*float64(packed.Most) {
					t.Fatalf("of %d: the weight of %d for %d is %v, want %v", k, i, j, got, row[j])
				}
			}
			most = max(most, 1-kept)
		}
		if math.Abs(lost-most) > 1e-5 {
			t.Errorf("of %d: a row misses %v, want %v", k, lost, most)
		}
	}
}

// A number stays before a text from right to left.
func TestNumbered(t *testing.T) {
	if got := numbered(3, "a joy"); got != "3. a joy" {
		t.Errorf("%q", got)
	}
	if got, want := numbered(3, "עברית"), "\u200e3. \u2068עברית\u2069"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
