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

// attentionData is what the script reads.
type attentionData struct {
	Texts []attentionText `json:"texts"`
}

type attentionText struct {
	Tokens  []string       `json:"tokens"`
	Special []int          `json:"special"` // the places of [CLS] and [SEP]
	Kept    int            `json:"kept"`    // K, or 0: all
	Maps    []attentionMap `json:"maps"`
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
		if l.Rollout != nil {
			maps = append(maps, weightMap{l.Layer, -1, l.Rollout})
		}
		for j := range l.Heads {
			maps = append(maps, weightMap{l.Layer, l.Heads[j].Head, &l.Heads[j].Rows})
		}
	}
	return maps
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
	sections []Section
	data     attentionData
	texts    int // that were added
	bytes    int // of weights on the page
	full     bool
	weights  task.AttentionWeights
	rowError float32
	reduced  int // texts of which weights or layers are left out
}

// Add adds what the tokens of an input attend to.
func (p *Attentions) Add(in *data.Input, a *task.Attended) {
	p.texts++
	p.weights = a.Weights
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
	if len(p.sections) > 0 && p.bytes+size > maxWeightBytes || len(p.sections) == maxAttentionTexts {
		p.full = true
		return
	}
	p.bytes += size
	p.rowError = max(p.rowError, a.RowError)
	text := attentionText{Tokens: make([]string, n), Kept: k, Special: []int{0}}
	for i, token := range a.Tokens {
		text.Tokens[i] = cut(firstOf(token, 40))
		if i > 0 && token == a.Tokens[n-1] { // a sequence ends with [SEP]
			text.Special = append(text.Special, i)
		}
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
	if len(notes) > 0 {
		p.reduced++
	}
	if a.Truncated {
		notes = append(notes, fmt.Sprintf("The model did not read the last %d tokens.", a.DroppedTokens))
	}
	s.Text = strings.Join(notes, " ")
	s.Figures = attentionFigures(a, len(p.sections)+1)
	s.Body = template.HTML(fmt.Sprintf(`<div class="attention" id="attention%d"></div>`, len(p.sections)))
	p.sections = append(p.sections, s)
	p.data.Texts = append(p.data.Texts, text)
}

// attentionFigures are the last layer, as the mean of its heads, and what each head does on the whole.
func attentionFigures(a *task.Attended, number int) []*Figure {
	last := &a.Layers[len(a.Layers)-1]
	n := len(a.Tokens)
	mean := make([][]float32, n)
	for i := range mean {
		mean[i] = make([]float32, n)
	}
	add := func(rows *task.AttendedRows, share float32) {
		for i, row := range rows.All {
			for j, w := range row {
				mean[i][j] += share * w
			}
		}
		for i, row := range rows.Top {
			for _, l := range row {
				mean[i][l.To] += share * l.Weight
			}
		}
	}
	name := fmt.Sprintf("attention-%02d", number)
	if last.Rollout != nil {
		add(last.Rollout, 1)
		return []*Figure{AttentionFigure(name, fmt.Sprintf("Rollout through layer %d", last.Layer), a.Tokens, mean)}
	}
	for i := range last.Heads {
		add(&last.Heads[i].Rows, 1/float32(len(last.Heads)))
	}
	figures := []*Figure{AttentionFigure(name, fmt.Sprintf("Layer %d, mean of %d heads", last.Layer, len(last.Heads)), a.Tokens, mean)}
	h := HeatMap{
		Name: fmt.Sprintf("heads-%02d", number), Title: "Attention to [SEP], by layer and head", RowTitle: "layer", ColumnTitle: "head", ValueTitle: "Attention to [SEP]",
	}
	for _, x := range last.Heads {
		h.Columns = append(h.Columns, fmt.Sprint(x.Head))
	}
	t := Table{Columns: append(words("layer-head"), numbers("[CLS]", "[SEP]", "itself", "previous", "next", "entropy")...)}
	for i := range a.Layers {
		l := &a.Layers[i]
		var row []float64
		for _, x := range l.Heads {
			row = append(row, float64(x.Separators))
			cells := []string{fmt.Sprintf("%d-%d", l.Layer, x.Head)}
			for _, v := range []float32{x.First, x.Separators, x.Self, x.Previous, x.Next, x.Entropy} {
				cells = append(cells, exactly(float64(v)))
			}
			t.Rows = append(t.Rows, cells)
		}
		h.Rows, h.Values = append(h.Rows, fmt.Sprint(l.Layer)), append(h.Values, row)
	}
	f := HeatMapFigure(h)
	f.Table = t
	return append(figures, f)
}

// Page is the page of what was added.
func (p *Attentions) Page(title, generator string) *Page {
	page := &Page{Title: title, Generator: generator, Sections: p.sections, NoMenu: true, Script: attentionScript, Data: p.data}
	page.Lead = "What the tokens of a text attend to. Attention says where a model looks, not why it answers. Layers and heads count from 0."
	page.Facts = []Fact{{Name: "weights", Value: p.weights.String()}, {Name: "texts", Value: message.Thousands(len(p.sections))},
		{Name: "sums of rows: farthest from 1", Value: draw.Number(float64(p.rowError))}}
	if n := p.texts - len(p.sections); n > 0 {
		page.Warnings = append(page.Warnings, fmt.Sprintf("The page has the first %s of %s texts.", message.Thousands(len(p.sections)), message.Thousands(p.texts)))
	}
	if p.reduced > 0 {
		page.Warnings = append(page.Warnings, fmt.Sprintf("Texts of which the page does not have all weights: %s. Each says how much is left out.", message.Thousands(p.reduced)))
	}
	return page
}
