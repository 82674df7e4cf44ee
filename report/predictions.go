package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/report/draw"
	"github.com/go-bert/bert/task"
)

// PredictionExample shows what a model says of an input: the probabilities of labels or choices as bars, entities and answers as
// marked text.
func PredictionExample(in *data.Input, p *task.Prediction) Example {
	e := Example{Head: "Text", Lines: inputLines(in, p)}
	if said := p.String(); p.Entities == nil {
		e.Lines = append(e.Lines, plain("predicted:", said))
	}
	if p.Truncated {
		e.Lines = append(e.Lines, plain("cut:", fmt.Sprintf("the model did not read the last %d tokens", p.DroppedTokens)))
	}
	e.Figure = predictionBars(p)
	return e
}

// predictionBars are the probabilities of a prediction; nil: it has none.
func predictionBars(p *task.Prediction) *Figure {
	var b Bars
	switch {
	case len(p.NBest) > 0:
		b.Title = "Answers"
		for i, a := range p.NBest {
			b.Bars = append(b.Bars, Bar{Name: cmp.Or(a.Text, "(no answer)"), Value: a.Probability, Predicted: p.Answer == &p.NBest[i] || p.Answer != nil && p.Answer.Start == a.Start && p.Answer.End == a.End})
		}
	case len(p.Probabilities) > 0:
		for _, s := range p.Probabilities {
			b.Bars = append(b.Bars, Bar{Name: s.Label, Value: s.Value, Predicted: s.Label == p.Label || slices.Contains(p.Labels, s.Label)})
		}
		if p.Labels != nil {
			b.Threshold = 0.5
		}
	case len(p.Entities) > 0:
		b.Name, b.Title, b.XTitle, b.Keep = "entities", "Entities", "mean probability of the labels", true
		for _, x := range p.Entities {
			b.Bars = append(b.Bars, Bar{Name: x.Type + "  " + x.Text, Value: x.Score, Predicted: true})
		}
	default:
		return nil
	}
	return BarsFigure(b)
}

// inputLines are the texts of an input, with what the prediction is about marked.
func inputLines(in *data.Input, p *task.Prediction) []MarkedLine {
	text := in.Text
	if in.Words != nil {
		text = joined(in.Words)
	}
	if in.IDs != nil {
		text = fmt.Sprintf("%d ids", len(in.IDs))
	}
	lines := []MarkedLine{{Marks: entityMarks(text, p.Entities)}}
	if in.TextPair == "" {
		return lines
	}
	if a := p.Answer; a != nil && a.Text != "" && a.Start >= 0 && a.End <= len(in.TextPair) && a.Start <= a.End {
		before, after := around500(in.TextPair, a.Start, a.End)
		return append(lines, MarkedLine{Marks: []Mark{{Text: before}, {Text: in.TextPair[a.Start:a.End], Label: "answer", Paint: draw.Series(0)}, {Text: after}}})
	}
	return append(lines, plain("", in.TextPair))
}

// around500 is some 500 bytes of a text before and after a part.
func around500(text string, start, end int) (before, after string) {
	const most = 500
	before, after = text[:start], text[end:]
	if len(before) > most {
		before = "… " + strings.ToValidUTF8(before[len(before)-most:], "")
	}
	if len(after) > most {
		after = strings.ToValidUTF8(after[:most], "") + " …"
	}
	return before, after
}

// entityMarks is a text with its entities marked. The type of an entity is also its colour.
func entityMarks(text string, entities []task.Entity) []Mark {
	var (
		marks []Mark
		types []string
		at    = 0
	)
	for _, e := range entities {
		if e.Start < at || e.End > len(text) || e.Start > e.End {
			continue
		}
		i := slices.Index(types, e.Type)
		if i < 0 {
			i, types = len(types), append(types, e.Type)
		}
		if e.Start > at {
			marks = append(marks, Mark{Text: text[at:e.Start]})
		}
		marks = append(marks, Mark{Text: text[e.Start:e.End], Label: e.Type, Paint: draw.Series(i)})
		at = e.End
	}
	return append(marks, Mark{Text: text[at:]})
}

// maxPredictions is how many predictions a page has.
const maxPredictions = 200

// Predictions gathers what a model says of inputs, for a page of the first 200 of them.
type Predictions struct {
	examples []Example
	n        int
}

// Add adds a prediction.
func (p *Predictions) Add(in *data.Input, answer *task.Prediction) {
	p.n++
	if p.n > maxPredictions {
		return
	}
	e := PredictionExample(in, answer)
	e.Head = fmt.Sprintf("%d.", p.n)
	p.examples = append(p.examples, e)
}

// Page is the page of what was added.
func (p *Predictions) Page(title, generator string) *Page {
	s := Section{Title: "Predictions", Examples: p.examples}
	if p.n > len(p.examples) {
		s.Text = fmt.Sprintf("The first %d of %d texts.", len(p.examples), p.n)
	}
	return &Page{Title: title, Generator: generator, Sections: []Section{s}}
}

// PredictionFigure is the picture of what a model says of input number n, from 1; nil where there is nothing to draw, as of a
// number.
func PredictionFigure(n int, in *data.Input, p *task.Prediction) *Figure {
	f := predictionBars(p)
	if f == nil {
		return nil
	}
	f.Name = fmt.Sprintf("text-%05d", n)
	if in.Text != "" {
		f.Title = short(in.Text)
	}
	return f
}
