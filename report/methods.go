package report

import (
	"fmt"
	"math"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/report/draw"
	"github.com/go-bert/bert/task"
)

// Legend: K methods, S steps of a curve.

const (
	// maxComparedTargets is how many numbers a page of methods has: each has three pictures.
	maxComparedTargets = 40
	// maxComparedBytes is the most bytes of those pictures and their tables.
	maxComparedBytes = 4_200_000
	// maxComparedWords is how many words of a number have a row in the picture.
	maxComparedWords = 40
)

// MethodScoresFigure draws the scores of words by several methods, of each as shares of its largest.
func MethodScoresFigure(name string, methods []task.Method, words []task.ComparedWord) *Figure {
	h := HeatMap{
		Name: name, Title: "Words by method", RowTitle: "word", ColumnTitle: "method", ValueTitle: "The score", Diverging: true,
		Finding: "There are no words.",
	}
	most, best := make([]float64, len(methods)), make([]int, len(methods))
	for _, m := range methods {
		h.Columns = append(h.Columns, m.String())
	}
	for w, word := range words {
		for k, v := range word.Scores {
			if size := math.Abs(float64(v)); size > most[k] {
				most[k], best[k] = size, w
			}
		}
	}
	for _, word := range words[:min(len(words), maxComparedWords)] {
		row := make([]float64, len(methods))
		for k, v := range word.Scores {
			row[k] = float64(v) / max(most[k], 1e-300)
		}
		h.Rows, h.Values = append(h.Rows, word.Text), append(h.Values, row)
	}
	if len(words) > 0 {
		agree := 0
		for k := range methods {
			if best[k] == best[0] {
				agree++
			}
		}
		h.Finding = fmt.Sprintf("%d of %d methods have %s first. Each column is in shares of its largest score.", agree, len(methods), shortName(words[best[0]].Text))
		if n := len(words); n > maxComparedWords {
			h.Finding += fmt.Sprintf(" The picture has the first %d of %d words.", maxComparedWords, n)
		}
	}
	f := HeatMapFigure(h)
	t := Table{Columns: []Column{{Name: "word", Text: true}}}
	for _, m := range methods {
		t.Columns = append(t.Columns, Column{Name: m.String(), Number: true})
	}
	for _, word := range words {
		cells := []string{word.Text}
		for _, v := range word.Scores {
			cells = append(cells, exactly(float64(v)))
		}
		t.Rows = append(t.Rows, cells)
	}
	f.Table = t
	return f
}

// AgreementFigure draws the rank correlations of each two methods, [K,K]; NaN: none.
func AgreementFigure(name string, methods []task.Method, correlations [][]float64) *Figure {
	h := HeatMap{
		Name: name, Title: "How far methods agree", RowTitle: "method", ColumnTitle: "method", ValueTitle: "The correlation of ranks", Diverging: true,
		Values: correlations, Finding: "There is one method.",
	}
	least := math.Inf(1)
	for k, m := range methods {
		h.Rows, h.Columns = append(h.Rows, m.String()), append(h.Columns, m.String())
		for l := range k {
			if r := correlations[k][l]; finite(r) && r < least {
				least = r
				h.Finding = fmt.Sprintf("%s and %s agree the least: the ranks of their scores correlate by %s.", methods[l], m, draw.Number(r))
			}
		}
	}
	return HeatMapFigure(h)
}

// RemovalFigure draws how far a number falls where more and more words are removed, those first that a method scores highest.
func RemovalFigure(name string, methods []task.Method, r *task.RemovalCurves, shares bool) *Figure {
	c := Curves{Name: name, Title: "Without the words that a method puts first", XTitle: "words removed", YTitle: "number that is explained"}
	if shares {
		c.XTitle = "share of the words removed"
	}
	x := make([]float64, len(r.Words))
	for i, n := range r.Words {
		x[i] = float64(n)
		if shares {
			x[i] = float64(i) / float64(max(1, len(r.Words)-1))
		}
	}
	wide := func(y []float32) []float64 {
		out := make([]float64, len(y))
		for i, v := range y {
			out[i] = float64(v)
		}
		return out
	}
	best := -1
	for k, m := range methods {
		c.Curves = append(c.Curves, Curve{Name: m.String(), X: x, Y: wide(r.Methods[k]), Points: true, Best: -1})
		if best < 0 || r.Falls[k] > r.Falls[best] {
			best = k
		}
	}
	c.Curves = append(c.Curves, Curve{Name: "at random", X: x, Y: wide(r.Random), Points: true, Best: -1})
	c.Finding = "There are no words."
	if best >= 0 {
		c.Finding = fmt.Sprintf("It falls by %s on average with %s, and by %s with words at random.", draw.Number(float64(r.Falls[best])), methods[best], draw.Number(float64(r.RandomFall)))
		for k, m := range methods {
			if r.Falls[k] <= r.RandomFall {
				c.Finding += fmt.Sprintf(" %s is no better than chance: %s.", m, draw.Number(float64(r.Falls[k])))
			}
		}
	}
	return CurvesFigure(c)
}

// MethodComparisons gathers comparisons of methods, for a page: of the first numbers, at most 40, and of all of them together.
type MethodComparisons struct {
	methods  []task.Method
	sections []Section
	texts    int
	targets  int // of all texts
	shown    int
	bytes    int // of their pictures and tables
	full     bool
	cut      int

	// Of all targets.
	correlations, counts [][]float64 // [K,K]: sums, and of how many
	curves               [][]float64 // [K+1,S]: sums, the last is at random
	falls                []float64   // [K+1]
	curved               int         // targets with curves
}

// Texts is how many were added.
func (p *MethodComparisons) Texts() int { return p.texts }

// Add adds a comparison.
func (p *MethodComparisons) Add(in *data.Input, c *task.MethodComparison) {
	p.texts++
	p.methods = c.Methods
	if c.Truncated {
		p.cut++
	}
	s := Section{Title: fmt.Sprintf("%d. %s", p.texts, short(inputName(in)))}
	if len(c.Targets) == 0 {
		s.Text = "There is nothing to explain."
	}
	for i := range c.Targets {
		t := &c.Targets[i]
		p.targets++
		p.sum(t)
		if p.full {
			continue
		}
		name := fmt.Sprintf("%02d-%02d", p.texts, i+1)
		figures := []*Figure{
			MethodScoresFigure("words-"+name, c.Methods, t.Words), AgreementFigure("agreement-"+name, c.Methods, wideCorrelations(t.Correlations)),
		}
		if t.Removal.Words != nil {
			figures = append(figures, RemovalFigure("removal-"+name, c.Methods, &t.Removal, false))
		}
		bytes := 0
		for _, f := range figures {
			bytes += f.pageBytes()
		}
		if p.shown > 0 && p.bytes+bytes > maxComparedBytes || p.shown == maxComparedTargets {
			p.full = true
			continue
		}
		p.shown++
		p.bytes += bytes
		for _, f := range figures {
			f.Title = fmt.Sprintf("%s: %s", short(t.Target.Name()), f.Title)
		}
		s.Figures = append(s.Figures, figures...)
	}
	if len(s.Figures) > 0 || len(c.Targets) == 0 && !p.full {
		p.sections = append(p.sections, s)
	}
}

func wideCorrelations(of [][]*float32) [][]float64 {
	out := make([][]float64, len(of))
	for k, row := range of {
		for _, r := range row {
			v := math.NaN()
			if r != nil {
				v = float64(*r)
			}
			out[k] = append(out[k], v)
		}
	}
	return out
}

// sum adds a target to what is known of all.
func (p *MethodComparisons) sum(t *task.ComparedTarget) {
	square := func() [][]float64 {
		out := make([][]float64, len(p.methods))
		for k := range out {
			out[k] = make([]float64, len(p.methods))
		}
		return out
	}
	if p.correlations == nil {
		p.correlations, p.counts = square(), square()
	}
	for k, row := range t.Correlations {
		for l, r := range row {
			if r != nil {
				p.correlations[k][l] += float64(*r)
				p.counts[k][l]++
			}
		}
	}
	r := &t.Removal
	if r.Words == nil {
		return
	}
	p.curved++
	curves, falls := append(r.Methods[:len(r.Methods):len(r.Methods)], r.Random), append(r.Falls[:len(r.Falls):len(r.Falls)], r.RandomFall)
	if p.curves == nil {
		p.curves, p.falls = make([][]float64, len(curves)), make([]float64, len(curves))
		for k := range p.curves {
			p.curves[k] = make([]float64, len(r.Words))
		}
	}
	for k, curve := range curves {
		p.falls[k] += float64(falls[k])
		for step, v := range curve {
			p.curves[k][step] += float64(v)
		}
	}
}

// overall is the section of all targets together.
func (p *MethodComparisons) overall() Section {
	s := Section{Title: "All texts", Text: fmt.Sprintf("Means over %s explained.", message.Thousands(p.targets))}
	if p.targets == 1 {
		s.Text = ""
	}
	correlations := make([][]float64, len(p.methods))
	for k := range correlations {
		for l := range p.methods {
			correlations[k] = append(correlations[k], p.correlations[k][l]/p.counts[k][l]) // NaN of none
		}
	}
	s.Figures = append(s.Figures, AgreementFigure("agreement", p.methods, correlations))
	if p.curved == 0 {
		return s
	}
	r := task.RemovalCurves{Words: make([]int, len(p.curves[0]))}
	for k, curve := range p.curves {
		mean := make([]float32, len(curve))
		for i, v := range curve {
			mean[i] = float32(v / float64(p.curved))
		}
		fall := float32(p.falls[k] / float64(p.curved))
		if k < len(p.methods) {
			r.Methods, r.Falls = append(r.Methods, mean), append(r.Falls, fall)
		} else {
			r.Random, r.RandomFall = mean, fall
		}
	}
	s.Figures = append(s.Figures, RemovalFigure("removal", p.methods, &r, true))
	t := Table{Columns: append(words("method"), numbers("falls by", "more than at random")...)}
	for k, m := range p.methods {
		t.Rows = append(t.Rows, []string{m.String(), exactly(float64(r.Falls[k])), exactly(float64(r.Falls[k] - r.RandomFall))})
	}
	t.Rows = append(t.Rows, []string{"at random", exactly(float64(r.RandomFall)), exactly(0)})
	s.Tables = []NamedTable{{Title: "How far the number falls", Table: t}}
	return s
}

// Page is the page of what was added.
func (p *MethodComparisons) Page(title, generator string) *Page {
	page := &Page{Title: title, Generator: generator, NoMenu: true}
	page.Lead = "Several explanations of the same answers. Where methods disagree, no single one should be believed; one whose words are no better than words at random explains nothing."
	page.Facts = []Fact{{Name: "methods", Value: message.Thousands(len(p.methods))}, {Name: "texts", Value: message.Thousands(p.texts)},
		{Name: "numbers explained", Value: message.Thousands(p.targets)}}
	if p.targets > 0 {
		page.Sections = append(page.Sections, p.overall())
	}
	page.Sections = append(page.Sections, p.sections...)
	if n := p.targets - p.shown; n > 0 {
		page.Warnings = append(page.Warnings, fmt.Sprintf("The page has pictures of the first %s of %s numbers; the means are of all.", message.Thousands(p.shown), message.Thousands(p.targets)))
	}
	if p.cut > 0 {
		page.Warnings = append(page.Warnings, fmt.Sprintf("Texts that were longer than the model reads: %s.", message.Thousands(p.cut)))
	}
	return page
}
