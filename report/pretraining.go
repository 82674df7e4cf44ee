package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/pretrain"
	"github.com/go-bert/bert/report/draw"
)

// breakdownFigures are the accuracies of masked words of a pre-training, or of an evaluation of one, by what they are: those of the
// model, and how they came about.
func breakdownFigures(runs []*Run, o *Options) []*Figure {
	var figures []*Figure
	for _, r := range runs {
		d := r.pretrainDetails()
		if b := r.breakdown(d); b != nil {
			list := []*Figure{placesFigure(b), frequenciesFigure(b)}
			if b.Pieces != nil {
				list = append(list, piecesFigure(b))
			}
			for _, f := range list {
				f.Title = r.of(f.Title, runs)
			}
			figures = append(figures, list...)
		}
		figures = append(figures, breakdownCurves(r, runs, o, d)...)
	}
	return figures
}

// pretrainDetails are those of each evaluation of a run, nil where a line has none.
func (r *Run) pretrainDetails() []*pretrain.Details {
	if r.Events == nil {
		return nil
	}
	list := make([]*pretrain.Details, len(r.Events.Evaluations))
	for i, v := range r.Events.Evaluations {
		if d, err := pretrain.ParseDetails(v.Evaluation.Details); err == nil && (d.Breakdown != nil || d.Probes != nil) {
			list[i] = d
		}
	}
	return list
}

// breakdown is that of the model: of the last evaluation, where it is not there.
func (r *Run) breakdown(details []*pretrain.Details) *pretrain.Breakdown {
	if r.Pretrain != nil && r.Pretrain.Breakdown != nil {
		return r.Pretrain.Breakdown
	}
	for _, d := range slices.Backward(details) {
		if d != nil && d.Breakdown != nil {
			return d.Breakdown
		}
	}
	return nil
}

// countDots is a row for each group of masked tokens that isn't empty: the share that is predicted right, with its interval.
func countDots(d Dots, c *pretrain.Counts, name func(group int) string) Dots {
	d.XTitle, d.Series = "share that is predicted right", []string{"right"}
	d.Extra = append([]ExtraColumn{{Column: Column{Name: "masked tokens", Number: true}}}, d.Extra...)
	extra := d.Extra
	d.Extra = slices.Clone(extra)
	for k := range d.Extra {
		d.Extra[k].Cells = nil
	}
	for i, n := range c.Masked {
		if n == 0 {
			continue
		}
		w := metric.Wilson(c.Right[i], n)
		d.Rows = append(d.Rows, DotRow{name(i), []float64{float64(c.Right[i]) / float64(n)}, []*metric.Interval{&w}})
		d.Extra[0].Cells = append(d.Extra[0].Cells, strconv.Itoa(n))
		for k := 1; k < len(extra); k++ {
			d.Extra[k].Cells = append(d.Extra[k].Cells, extra[k].Cells[i])
		}
	}
	return d
}

// placesFigure is the accuracy by place in the sequence.
func placesFigure(b *pretrain.Breakdown) *Figure {
	d := countDots(Dots{Name: "masked-by-place", Title: "Masked words by their place in the sequence"}, &b.Places, func(i int) string {
		if b.Width == 1 {
			return fmt.Sprintf("place %d", i)
		}
		return fmt.Sprintf("places %d to %d", i*b.Width, (i+1)*b.Width-1)
	})
	d.Finding = "There are no masked tokens."
	if len(d.Rows) > 0 {
		low, high := extremeRows(d.Rows)
		d.Finding = fmt.Sprintf("Most are right at %s: %s; fewest at %s: %s.", high.Name, percent(high.Values[0]), low.Name, percent(low.Values[0]))
	}
	return DotsFigure(d)
}

func extremeRows(rows []DotRow) (low, high DotRow) {
	by := func(a, b DotRow) int { return cmp.Compare(a.Values[0], b.Values[0]) }
	return slices.MinFunc(rows, by), slices.MaxFunc(rows, by)
}

// frequenciesFigure is the accuracy by how frequent the masked token is.
func frequenciesFigure(b *pretrain.Breakdown) *Figure {
	d := Dots{Name: "masked-by-frequency", Title: "Masked words by how frequent they are", Extra: []ExtraColumn{{Column: Column{Name: "different tokens", Number: true}}}}
	for _, n := range b.Vocabulary {
		d.Extra[0].Cells = append(d.Extra[0].Cells, strconv.Itoa(n))
	}
	d = countDots(d, &b.Frequencies, func(i int) string { return frequencyNames[i] })
	d.Finding = "There are no masked tokens."
	if n := len(d.Rows); n > 0 {
		d.Finding = fmt.Sprintf("Of the most frequent tenth %s are right, of the rarest %s; a tenth of the masked tokens each, by the tokens' frequency in these instances.",
			percent(d.Rows[0].Values[0]), percent(d.Rows[n-1].Values[0]))
	}
	return DotsFigure(d)
}

// frequencyNames are the ten groups of pretrain.Breakdown.Frequencies.
var frequencyNames = []string{"most frequent", "2nd tenth", "3rd tenth", "4th tenth", "5th tenth", "6th tenth", "7th tenth", "8th tenth", "9th tenth", "rarest"}

// pieceNames are the two of Pieces.
var pieceNames = []string{"begins a word", "continues one (##)"}

// piecesFigure is the accuracy of pieces that begin a word and of those that continue one.
func piecesFigure(b *pretrain.Breakdown) *Figure {
	d := countDots(Dots{Name: "masked-by-piece", Title: "Masked words by their pieces"}, b.Pieces, func(i int) string { return pieceNames[i] })
	switch {
	case len(d.Rows) == 0:
		d.Finding = "There are no masked tokens."
	case len(d.Rows) == 1:
		d.Finding = fmt.Sprintf("All masked tokens are of one sort (%s): %s are right.", d.Rows[0].Name, percent(d.Rows[0].Values[0]))
	default:
		d.Finding = fmt.Sprintf("Of pieces that begin a word %s are right, of those that continue one %s.", percent(d.Rows[0].Values[0]), percent(d.Rows[1].Values[0]))
	}
	return DotsFigure(d)
}

// breakdownCurves are the accuracies of some groups along a training: of the pieces, and of the most frequent and the rarest tokens.
func breakdownCurves(r *Run, runs []*Run, o *Options, details []*pretrain.Details) []*Figure {
	var (
		series = []struct {
			name string
			of   func(b *pretrain.Breakdown) (right, masked int)
		}{
			{pieceNames[0], func(b *pretrain.Breakdown) (int, int) { return pieceCount(b, 0) }},
			{pieceNames[1], func(b *pretrain.Breakdown) (int, int) { return pieceCount(b, 1) }},
			{"the most frequent tenth", func(b *pretrain.Breakdown) (int, int) { return b.Frequencies.Right[0], b.Frequencies.Masked[0] }},
			{"the rarest tenth", func(b *pretrain.Breakdown) (int, int) {
				last := len(b.Frequencies.Masked) - 1
				return b.Frequencies.Right[last], b.Frequencies.Masked[last]
			}},
		}
		c = Curves{Name: "masked-along", Title: r.of("Masked words along the training", runs), XTitle: o.Against.String(), YTitle: "share that is right", Zero: true, bands: phaseBands(runs, o)}
		n = 0
	)
	for _, s := range series {
		c.Curves = append(c.Curves, Curve{Name: s.name, Points: true, Best: -1})
	}
	if len(details) == 0 {
		return nil
	}
	x := evaluationX(r.Events, o.Against)
	for i, d := range details {
		if d == nil || d.Breakdown == nil {
			continue
		}
		n++
		for k, s := range series {
			if right, masked := s.of(d.Breakdown); masked > 0 {
				curve := &c.Curves[k]
				curve.X, curve.Y = append(curve.X, x[i]), append(curve.Y, float64(right)/float64(masked))
			}
		}
	}
	c.Curves = slices.DeleteFunc(c.Curves, func(c Curve) bool { return len(c.X) == 0 })
	if n < 2 || len(c.Curves) == 0 {
		return nil
	}
	return []*Figure{CurvesFigure(c)}
}

func pieceCount(b *pretrain.Breakdown, piece int) (right, masked int) {
	if b.Pieces == nil {
		return 0, 0
	}
	return b.Pieces.Right[piece], b.Pieces.Masked[piece]
}

// lengthFigures are the lengths of the instances that a run trains on, of each phase, and of those that it is evaluated on.
func lengthFigures(runs []*Run, _ *Options) []*Figure {
	var figures []*Figure
	for _, r := range runs {
		for i, s := range r.TrainingSets {
			title := "Lengths of the instances"
			if len(r.TrainingSets) > 1 {
				title = fmt.Sprintf("Lengths of the instances of phase %d", i+1)
			}
			f := instanceLengths("lengths", r.of(title, runs), s.Width, s.Lengths)
			if s.Instances > 0 {
				f.Finding += fmt.Sprintf(" On average an instance has %s tokens.", draw.Number(float64(s.Tokens)/float64(s.Instances)))
			}
			figures = append(figures, f)
		}
		if b := r.breakdown(r.pretrainDetails()); b != nil {
			figures = append(figures, instanceLengths("lengths-evaluated", r.of("Lengths of the instances of the evaluation", runs), b.Width, b.Lengths))
		}
	}
	return figures
}

// instanceLengths is the share of the instances of each length.
func instanceLengths(name, title string, width int, counts []int) *Figure {
	all := 0
	for _, n := range counts {
		all += n
	}
	b := Bars{Name: name, Title: title, XTitle: "share of the instances", Keep: true}
	for i, n := range counts {
		b.Bars = append(b.Bars, Bar{Name: tokenRange(i*width+1, (i+1)*width), Value: float64(n) / float64(max(all, 1))})
	}
	most := slices.MaxFunc(b.Bars, func(x, y Bar) int { return cmp.Compare(x.Value, y.Value) })
	b.Finding = fmt.Sprintf("Of %s instances %s have %s.", message.Thousands(all), percent(most.Value), most.Name)
	f := BarsFigure(b)
	f.Table = Table{Columns: numbers("from", "to", "instances")}
	for i, n := range counts {
		f.Table.Rows = append(f.Table.Rows, []string{strconv.Itoa(i*width + 1), strconv.Itoa((i + 1) * width), strconv.Itoa(n)})
	}
	return f
}

func tokenRange(from, to int) string {
	if from == to {
		return fmt.Sprintf("%d tokens", from)
	}
	return fmt.Sprintf("%d to %d tokens", from, to)
}

// Filled is what a model fills into a text at a step of its training.
type Filled struct {
	Step       int
	Candidates []pretrain.Candidate // the most probable first
}

// shownFills is how many steps a picture of a probe has.
const shownFills = 6

// ProbeFigure draws what a model fills into a masked place of a text along a training: a column for each evaluation, of at most six,
// with its most probable tokens, coloured by their probabilities. The table has all evaluations.
func ProbeFigure(name, text string, filled []Filled) *Figure {
	t := Table{Columns: append(append(numbers("step", "rank"), words("token")...), numbers("probability")...)}
	t.Columns[2].Text = true
	rows := 1
	for _, f := range filled {
		rows = max(rows, len(f.Candidates))
		for k, c := range f.Candidates {
			t.Rows = append(t.Rows, []string{strconv.Itoa(f.Step), strconv.Itoa(k + 1), c.Token, exactly(c.Probability)})
		}
	}
	t.sampled()
	g := &probeGrid{rows: rows}
	for _, i := range spread(len(filled), shownFills, -1) {
		g.columns = append(g.columns, filled[i])
	}
	return &Figure{
		Name: name, Title: "Filled in: " + short(text), Finding: probeFinding(filled), Table: t,
		Width: figureWidth, Height: 44 + 30*float64(rows) + 30, Draw: g.draw,
	}
}

func probeFinding(filled []Filled) string {
	first, last := filled[0], filled[len(filled)-1]
	if len(first.Candidates) == 0 || len(last.Candidates) == 0 {
		return "There are no candidates."
	}
	a, b := first.Candidates[0], last.Candidates[0]
	if len(filled) == 1 {
		return fmt.Sprintf("At step %s the model says %s (%s).", message.Thousands(last.Step), shortName(b.Token), percent(b.Probability))
	}
	text := fmt.Sprintf("At step %s the model says %s (%s), at step %s %s (%s)", message.Thousands(first.Step), shortName(a.Token), percent(a.Probability),
		message.Thousands(last.Step), shortName(b.Token), percent(b.Probability))
	for i, f := range slices.Backward(filled) {
		if len(f.Candidates) == 0 || f.Candidates[0].Token != b.Token {
			return text + fmt.Sprintf(", which comes first since step %s.", message.Thousands(filled[i+1].Step))
		}
	}
	return text + "; it comes first throughout."
}

// probeGrid is how a probe is laid out.
type probeGrid struct {
	columns []Filled
	rows    int
}

func (g *probeGrid) draw(c draw.Canvas) {
	const left, top, row = 34.0, 32.0, 30.0
	width := (figureWidth - left - 12) / float64(max(1, len(g.columns)))
	width = min(width, 160)
	c.Text(draw.Point{X: left + width*float64(len(g.columns))/2, Y: 13}, "step", draw.TextStyle{Size: smallSize, Anchor: draw.Middle, Paint: draw.Muted})
	for k := range g.rows {
		c.Text(draw.Point{X: left - 10, Y: top + row*(float64(k)+0.5)}, strconv.Itoa(k+1), draw.TextStyle{Size: smallSize, Anchor: draw.End, Centred: true, Paint: draw.Muted})
	}
	for i, f := range g.columns {
		x := left + width*float64(i)
		c.Text(draw.Point{X: x + width/2, Y: 28}, message.Thousands(f.Step), draw.TextStyle{Size: smallSize, Anchor: draw.Middle})
		for k, candidate := range f.Candidates {
			r := draw.Rect{X: x, Y: top + row*float64(k), W: width, H: row}
			colour := draw.Sequential(candidate.Probability)
			paint := draw.On(colour)
			c.Group(fmt.Sprintf("step %d, %d: %s (%s)", f.Step, k+1, candidate.Token, percent(candidate.Probability)), func() {
				c.Rect(r, draw.Fixed(colour), draw.Stroke{Paint: draw.Paper, Width: 1})
				middle := draw.Point{X: x + width/2, Y: r.Y + 10}
				c.Text(middle, draw.Fit(candidate.Token, smallSize, width-8), draw.TextStyle{Size: smallSize, Anchor: draw.Middle, Centred: true, Paint: paint, Bold: k == 0})
				middle.Y += 12
				c.Text(middle, percent(candidate.Probability), draw.TextStyle{Size: 10, Anchor: draw.Middle, Centred: true, Paint: paint})
			})
		}
	}
	bottom := top + row*float64(g.rows) + 14
	c.Text(draw.Point{X: left, Y: bottom}, "most probable tokens, the first on top; the colour is the probability", draw.TextStyle{Size: smallSize, Paint: draw.Muted})
}

// probeFigures are the probes of a pre-training, one figure for each masked place.
func probeFigures(runs []*Run, _ *Options) []*Figure {
	var figures []*Figure
	for _, r := range runs {
		type place struct {
			text string
			mask int
		}
		var (
			places []place
			filled = make(map[place][]Filled)
			masks  = make(map[string]int)
		)
		for i, d := range r.pretrainDetails() {
			if d == nil {
				continue
			}
			for _, p := range d.Probes {
				masks[p.Text] = max(masks[p.Text], len(p.Masks))
				for k, candidates := range p.Masks {
					at := place{p.Text, k}
					if filled[at] == nil {
						places = append(places, at)
					}
					filled[at] = append(filled[at], Filled{r.Events.Evaluations[i].Step, candidates})
				}
			}
		}
		for n, at := range places {
			f := ProbeFigure(fmt.Sprintf("probe-%d", n+1), at.text, filled[at])
			if masks[at.text] > 1 {
				f.Title += fmt.Sprintf(", mask %d", at.mask+1)
			}
			f.Title = r.of(f.Title, runs)
			figures = append(figures, f)
		}
	}
	return figures
}
