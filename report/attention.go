package report

import (
	"cmp"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/report/draw"
	"github.com/go-bert/bert/task"
)

// Legend: n tokens, K tokens that are kept of each row.

const (
	// maxDenseTokens is up to how many tokens a page has all weights of a text, if there is room.
	maxDenseTokens = 128
	// maxWeightBytes is the most bytes of base64 for the weights of a page: 12 heads of 12 layers have 3.2 MB at 128 tokens.
	maxWeightBytes = 3_300_000
	// minKept is how many weights of a row there are at least. Where there is no room for as many, layers are left out.
	minKept = 4
	// maxAttentionTexts is how many texts a page has.
	maxAttentionTexts = 20
	// maxVectorBytes is the same for queries and keys: those of a head have 22 kB at 128 tokens and a width of 64.
	maxVectorBytes = 1_000_000
	// maxAttentionBytes is the most bytes of all that, with pictures and tables: further texts are left out.
	maxAttentionBytes = 4_700_000
	// maxRowError is how far a row of probabilities may be from a sum of 1.
	maxRowError = 1e-5
	// maxMatrixTokens is how many tokens the picture of a matrix has.
	maxMatrixTokens = 40
)

// AttentionFigure draws how much each of the first 40 tokens, down, attends to each of them, across. The table has the three largest
// weights of each token. rows is [n,n].
func AttentionFigure(name, title string, tokens []string, rows [][]float32) *Figure {
	t := Table{Columns: words("token", "attends to")}
	t.Columns[0].Text, t.Columns[1].Text = true, true
	from, best := 0, task.Link{Weight: -1}
	for i, row := range rows {
		var parts []string
		top := topLinks(row, 3)
		for _, l := range top {
			parts = append(parts, fmt.Sprintf("%s %s", tokens[l.To], draw.Number(float64(l.Weight))))
		}
		if len(top) > 0 && top[0].Weight > best.Weight {
			from, best = i, top[0]
		}
		t.Rows = append(t.Rows, []string{tokens[i], strings.Join(parts, ", ")})
	}
	n := min(len(tokens), maxMatrixTokens)
	f := &Figure{Name: name, Title: title, Table: t, Finding: "There are no tokens."}
	if best.Weight >= 0 {
		f.Finding = fmt.Sprintf("The largest weight is that of %s for %s: %s.", shortName(tokens[from]), shortName(tokens[best.To]), draw.Number(float64(best.Weight)))
	}
	if n < len(tokens) {
		f.Finding += fmt.Sprintf(" The picture has the first %d of %d tokens.", n, len(tokens))
	}
	const cell, name1, bar = 14.0, 84.0, 70.0
	f.Width, f.Height = name1+cell*float64(n)+bar, name1+cell*float64(n)+14
	f.Draw = func(c draw.Canvas) {
		most := 0.0
		for _, row := range rows[:n] {
			for _, w := range row[:n] {
				most = max(most, float64(w))
			}
		}
		most = cmp.Or(most, 1)
		for i := range n {
			at := name1 + cell*(float64(i)+0.5)
			token := draw.Fit(tokens[i], smallSize, name1-12)
			c.Text(draw.Point{X: name1 - 6, Y: at}, token, draw.TextStyle{Size: smallSize, Anchor: draw.End, Centred: true})
			c.Text(draw.Point{X: at + 4, Y: name1 - 6}, token, draw.TextStyle{Size: smallSize, Rotate: -90})
			for j, w := range rows[i][:n] {
				c.Rect(draw.Rect{X: name1 + cell*float64(j), Y: name1 + cell*float64(i), W: cell, H: cell}, draw.Fixed(draw.Sequential(float64(w)/most)), draw.Stroke{})
			}
		}
		const steps = 20
		x, height := name1+cell*float64(n)+10, cell*float64(n)
		for i := range steps {
			c.Rect(draw.Rect{X: x, Y: name1 + height*float64(steps-1-i)/steps, W: 12, H: height/steps + 0.5}, draw.Fixed(draw.Sequential((float64(i)+0.5)/steps)), draw.Stroke{})
		}
		style := draw.TextStyle{Size: smallSize, Paint: draw.Muted, Centred: true}
		c.Text(draw.Point{X: x + 16, Y: name1 + 5}, draw.Number(most), style)
		c.Text(draw.Point{X: x + 16, Y: name1 + height - 5}, "0", style)
	}
	return f
}

// topLinks are the k largest weights of a row, the largest first; of equal ones that of the lower index.
func topLinks(row []float32, k int) []task.Link {
	all := make([]task.Link, len(row))
	for j, w := range row {
		all[j] = task.Link{To: j, Weight: w}
	}
	slices.SortStableFunc(all, func(x, y task.Link) int { return cmp.Compare(y.Weight, x.Weight) })
	return all[:min(k, len(all))]
}

//go:embed attention.js
var attentionScript string

//go:embed neuron.js
var neuronScript string

// attentionData is what the scripts read.
type attentionData struct {
	Views []AttentionView `json:"views"`
	Texts []attentionText `json:"texts"`
}

type attentionText struct {
	Tokens  []string       `json:"tokens"`
	Special []int          `json:"special"` // the places of [CLS] and [SEP]
	Second  int            `json:"second"`  // where the second text of a pair begins, or 0
	Kept    int            `json:"kept"`    // K, or 0: all
	Maps    []attentionMap `json:"maps"`
	Neurons []neuronMap    `json:"neurons,omitempty"`
}

// neuronMap is the queries and keys of a head: signed bytes, of which 127 is Most, as base64.
type neuronMap struct {
	Layer   int     `json:"layer"`
	Head    int     `json:"head"`
	Width   int     `json:"width"` // D
	Most    float32 `json:"most"`
	Queries string  `json:"queries"` // [n,D]
	Keys    string  `json:"keys"`    // [n,D]
}

// newNeuronMap packs the vectors of a head.
func newNeuronMap(layer int, h *task.AttendedHead) neuronMap {
	m := neuronMap{Layer: layer, Head: h.Head, Width: len(h.Queries[0])}
	for _, rows := range [][][]float32{h.Queries, h.Keys} {
		for _, row := range rows {
			for _, v := range row {
				m.Most = max(m.Most, v, -v)
			}
		}
	}
	pack := func(rows [][]float32) string {
		var b []byte
		for _, row := range rows {
			for _, v := range row {
				b = append(b, byte(int8(math.Round(127*float64(v)/max(float64(m.Most), 1e-30)))))
			}
		}
		return base64.StdEncoding.EncodeToString(b)
	}
	m.Queries, m.Keys = pack(h.Queries), pack(h.Keys)
	return m
}

// attentionMap is a head, or a rollout: weights are bytes, of which 255 is Most, as base64.
type attentionMap struct {
	Layer   int     `json:"layer"`
	Head    int     `json:"head"` // −1: a rollout, of all heads
	Most    float32 `json:"most"`
	Weights string  `json:"weights"`      // [n,n], or [n,K]
	To      string  `json:"to,omitempty"` // [n,K]: little-endian, 16 bits
}

// weightMap is a matrix of an answer.
type weightMap struct {
	layer, head int
	rows        *task.AttendedRows
}

func weightMaps(a *task.Attended) []weightMap {
	var maps []weightMap
	for i := range a.Layers {
		l := &a.Layers[i]
		if l.Heads == nil { // of all heads together
			maps = append(maps, weightMap{l.Layer, -1, l.Rollout})
		}
		for j := range l.Heads {
			maps = append(maps, weightMap{l.Layer, l.Heads[j].Head, &l.Heads[j].Rows})
		}
	}
	return maps
}

// neurons are the vectors of the last layers' heads, as many layers as there is room for; left says how many are left out.
func neurons(a *task.Attended, room int) (maps []neuronMap, left int) {
	for i := len(a.Layers) - 1; i >= 0; i-- {
		var layer []neuronMap
		size := 0
		for j := range a.Layers[i].Heads {
			if h := &a.Layers[i].Heads[j]; h.Queries != nil {
				layer = append(layer, newNeuronMap(a.Layers[i].Layer, h))
				size += len(layer[j].Queries) + len(layer[j].Keys)
			}
		}
		if size > room {
			return maps, i + 1
		}
		room -= size
		maps = append(layer, maps...)
	}
	return maps, 0
}

// packed is a matrix for the script, with the largest k weights of each row, or all where k is 0. lost is the largest share of a row
// that is left out.
func (m *weightMap) packed(n, k int) (out attentionMap, lost float64) {
	out = attentionMap{Layer: m.layer, Head: m.head}
	lost = float64(m.rows.Dropped)
	links := m.rows.Top
	if k > 0 && links == nil {
		links = make([][]task.Link, n)
		for i, row := range m.rows.All {
			links[i] = topLinks(row, k)
		}
	}
	for i := range n {
		if links == nil {
			out.Most = max(out.Most, slices.Max(m.rows.All[i]))
		} else if len(links[i]) > 0 {
			out.Most = max(out.Most, links[i][0].Weight)
		}
	}
	quantized := func(w float32) byte {
		if out.Most <= 0 {
			return 0
		}
		return byte(math.Round(255 * float64(max(0, w)/out.Most)))
	}
	var (
		weights []byte
		to      []task.Link
	)
	for i := range n {
		if links == nil {
			for _, w := range m.rows.All[i] {
				weights = append(weights, quantized(w))
			}
			continue
		}
		kept := 0.0
		for c := range k {
			var l task.Link
			if c < len(links[i]) {
				l = links[i][c]
			}
			kept += float64(l.Weight)
			weights, to = append(weights, quantized(l.Weight)), append(to, l)
		}
		all := 0.0
		if m.rows.All != nil {
			for _, w := range m.rows.All[i] {
				all += float64(w)
			}
		} else {
			for _, l := range links[i] {
				all += float64(l.Weight)
			}
			all /= max(1e-9, 1-float64(m.rows.Dropped))
		}
		if all > 0 {
			lost = max(lost, 1-kept/all)
		}
	}
	out.Weights = base64.StdEncoding.EncodeToString(weights)
	if links != nil {
		out.To = words16(to, func(l task.Link) uint16 { return uint16(l.To) })
	}
	return out, lost
}

// Attentions gathers what tokens attend to, for a page. It has at most 20 texts, and as many as have room.
type Attentions struct {
	Views []AttentionView // of the page; nil: DefaultAttentionViews

	sections []Section
	data     attentionData
	texts    int // that were added
	bytes    int // of weights on the page
	vectors  int // bytes of queries and keys
	figures  int // bytes of pictures and tables
	full     bool
	weights  task.AttentionWeights
	bare     bool
	rowError float32
	reduced  int // texts of which weights or layers are left out
}

// has says that the page has a view.
func (p *Attentions) has(v AttentionView) bool { return slices.Contains(p.views(), v) }

func (p *Attentions) views() []AttentionView {
	if p.Views == nil {
		return DefaultAttentionViews()
	}
	return p.Views
}

// Add adds what the tokens of an input attend to.
func (p *Attentions) Add(in *data.Input, a *task.Attended) {
	p.texts++
	p.weights, p.bare = a.Weights, a.Bare
	maps, n := weightMaps(a), len(a.Tokens)
	if p.full || len(maps) == 0 || n == 0 {
		return
	}
	base64Size := func(bytes int) int { return (bytes + 2) / 3 * 4 }
	k, left := 0, 0 // weights of a row, and layers that are left out
	dense := len(maps) * base64Size(n*n)
	if top := maps[0].rows.Top; top != nil {
		k = len(top[0])
	} else if n > maxDenseTokens || dense > maxWeightBytes {
		k = n
	}
	size := dense
	if k > 0 {
		each := func(k int) int { return base64Size(n*k) + base64Size(2*n*k) }
		for k > minKept && len(maps)*each(k) > maxWeightBytes {
			k--
		}
		all := len(a.Layers)
		for perLayer := len(maps) / all; len(maps) > perLayer && len(maps)*each(k) > maxWeightBytes; left++ {
			maps = maps[perLayer:]
		}
		size = len(maps) * each(k)
	}
	figures := p.drawn(a, len(p.sections)+1)
	drawing := 0
	for _, f := range figures {
		drawing += f.pageBytes()
	}
	room := maxAttentionBytes - p.bytes - p.figures
	if p.has(NeuronView) {
		room -= maxVectorBytes
	}
	if len(p.sections) > 0 && (p.bytes+size > maxWeightBytes || size+drawing > room) || len(p.sections) == maxAttentionTexts {
		p.full = true
		return
	}
	p.figures += drawing
	p.bytes += size
	p.rowError = max(p.rowError, a.RowError)
	text := attentionText{Tokens: make([]string, n), Kept: k, Special: a.Special, Second: a.Second}
	for i, token := range a.Tokens {
		text.Tokens[i] = cut(firstOf(token, 40))
	}
	lost := 0.0
	for i := range maps {
		m, share := maps[i].packed(n, k)
		text.Maps = append(text.Maps, m)
		lost = max(lost, share)
	}
	s := Section{Title: numbered(p.texts, short(inputName(in)))}
	var notes []string
	if left > 0 {
		notes = append(notes, fmt.Sprintf("The first %d of %d layers are left out.", left, len(a.Layers)))
	}
	if k > 0 && k < n {
		notes = append(notes, fmt.Sprintf("Of each token's %s weights the page has the largest %d, which leaves out at most %s of a row.", message.Thousands(n), k, percent(lost)))
	}
	if p.has(NeuronView) {
		var without int
		if text.Neurons, without = neurons(a, maxVectorBytes-p.vectors); without > 0 {
			notes = append(notes, fmt.Sprintf("Queries and keys are those of the last %d of %d layers.", len(a.Layers)-without, len(a.Layers)))
		}
		for _, m := range text.Neurons {
			p.vectors += len(m.Queries) + len(m.Keys)
		}
	}
	if len(notes) > 0 {
		p.reduced++
	}
	if a.Target != nil {
		notes = append(notes, fmt.Sprintf("What raises the %v of %s.", a.Target.Quantity, short(a.Target.Name())))
	}
	if a.Truncated {
		notes = append(notes, fmt.Sprintf("The model did not read the last %d tokens.", a.DroppedTokens))
	}
	s.Text = strings.Join(notes, " ")
	s.Figures = figures
	s.Body = template.HTML(fmt.Sprintf(`<div class="attention" id="attention%d"></div>`, len(p.sections)))
	p.sections = append(p.sections, s)
	p.data.Texts = append(p.data.Texts, text)
}

// pageBytes is about how many bytes a figure has on a page.
func (f *Figure) pageBytes() int {
	n := len(draw.SVG(f.Width, f.Height, draw.SVGOptions{Classes: true}, f.Draw))
	for _, row := range f.Table.Rows {
		for _, cell := range row {
			n += min(len(cell), maxText) + len(`<td class="n"><bdi dir="auto"></bdi></td>`)
		}
	}
	return n
}

// drawn is the last layer, as the mean of its heads, the rollout, and what each head does on the whole.
func (p *Attentions) drawn(a *task.Attended, number int) []*Figure {
	last := &a.Layers[len(a.Layers)-1]
	n := len(a.Tokens)
	mean := func(maps []*task.AttendedRows) [][]float32 {
		out := make([][]float32, n)
		for i := range out {
			out[i] = make([]float32, n)
		}
		for _, rows := range maps {
			for i, row := range rows.All {
				for j, w := range row {
					out[i][j] += w / float32(len(maps))
				}
			}
			for i, row := range rows.Top {
				for _, l := range row {
					out[i][l.To] += l.Weight / float32(len(maps))
				}
			}
		}
		return out
	}
	name := fmt.Sprintf("attention-%02d", number)
	rollout := func(name string) *Figure {
		title := fmt.Sprintf("Rollout through layer %d", last.Layer)
		if a.Weights == task.GradientWeights {
			title = fmt.Sprintf("What matters for the answer, through layer %d", last.Layer)
		}
		return AttentionFigure(name, title, a.Tokens, mean([]*task.AttendedRows{last.Rollout}))
	}
	if last.Heads == nil {
		return []*Figure{rollout(name)}
	}
	var rows []*task.AttendedRows
	for i := range last.Heads {
		rows = append(rows, &last.Heads[i].Rows)
	}
	figures := []*Figure{AttentionFigure(name, fmt.Sprintf("Layer %d, mean of %d heads", last.Layer, len(last.Heads)), a.Tokens, mean(rows))}
	if last.Rollout != nil && p.has(RolloutView) {
		figures = append(figures, rollout(fmt.Sprintf("rollout-%02d", number)))
	}
	if p.has(AtlasView) {
		figures = append(figures, AtlasFigure(fmt.Sprintf("atlas-%02d", number), headsOf(a)))
	}
	return figures
}

// Page is the page of what was added.
func (p *Attentions) Page(title, generator string) *Page {
	page := &Page{Title: title, Generator: generator, Sections: p.sections, NoMenu: true, Script: attentionScript + neuronScript, Data: attentionData{p.views(), p.data.Texts}}
	page.Lead = "What the tokens of a text attend to. Attention says where a model looks, not why it answers. Layers and heads count from 0."
	weights := p.weights.String()
	if p.bare {
		weights += ", without [CLS] and [SEP], rows renormalised"
	}
	page.Facts = []Fact{{Name: "weights", Value: weights}, {Name: "texts", Value: message.Thousands(len(p.sections))},
		{Name: "sums of rows: farthest from 1", Value: draw.Number(float64(p.rowError))}}
	if p.rowError > maxRowError {
		page.Warnings = append(page.Warnings, fmt.Sprintf("Something is wrong: a row of probabilities is %s from a sum of 1.", draw.Number(float64(p.rowError))))
	}
	if n := p.texts - len(p.sections); n > 0 {
		page.Warnings = append(page.Warnings, fmt.Sprintf("The page has the first %s of %s texts.", message.Thousands(len(p.sections)), message.Thousands(p.texts)))
	}
	if p.reduced > 0 {
		page.Warnings = append(page.Warnings, fmt.Sprintf("Texts of which the page does not have all weights: %s. Each says how much is left out.", message.Thousands(p.reduced)))
	}
	return page
}
