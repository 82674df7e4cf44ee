package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/report/draw"
	"github.com/go-bert/bert/task"
)

func fieldsOf(text string) []string { return strings.Fields(text) }

const (
	worstExamples = 20 // that a page shows
	worstPictures = 5  // of which have a picture
)

// worst are the examples of the greatest loss: errors of the model, or labels that are wrong.
func worst(runs []*Run) []Section {
	var sections []Section
	for _, r := range runs {
		o := r.Outcomes
		if o == nil || len(o.Examples) == 0 {
			continue
		}
		k := kindOf(o.Kind)
		order := byLoss(o)
		s := Section{
			Title: r.of("Examples of the greatest loss", runs),
			Text:  "Here the model is wrong and sure, or the label is wrong: look at both. Texts are shown as the model reads them.",
		}
		if slices.ContainsFunc(o.Examples, func(x task.Outcome) bool { return x.Scored != nil }) {
			s.Text += " Words in orange speak for the predicted label, those in blue against it: the gradient of its logit times the words' embeddings."
		}
		for n, i := range order[:min(len(order), worstExamples)] {
			x := k.example(o, &o.Examples[i])
			x.Head = fmt.Sprintf("%d. %s (loss %s)", n+1, o.Examples[i].Source, draw.Number(o.Examples[i].Loss))
			if n >= worstPictures {
				x.Figure = nil
			}
			s.Examples = append(s.Examples, x)
		}
		if t, ok := suspects(o); ok {
			s.Tables = append(s.Tables, NamedTable{r.of("Labels that may be wrong", runs), t})
		}
		sections = append(sections, s)
	}
	return sections
}

// byLoss are the numbers of the examples, those of the greatest loss first.
func byLoss(o *task.Outcomes) []int {
	order := make([]int, len(o.Examples))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(o.Examples[b].Loss, o.Examples[a].Loss) })
	return order
}

// suspectBelow is the probability of the right label below which it may be wrong.
const suspectBelow = 0.05

// suspects lists the examples whose label the model holds for all but impossible, those that it is surest of first.
func suspects(o *task.Outcomes) (Table, bool) {
	t := Table{Columns: append(words("example", "right", "predicted"), numbers("probability of the right one")...)}
	t.Columns[0].Text, t.Columns[1].Text, t.Columns[2].Text = true, true, true
	var list []*task.Outcome
	for i := range o.Examples {
		if x := &o.Examples[i]; x.Label != nil && math.Exp(float64(x.LogProbabilities[*x.Label])) < suspectBelow {
			list = append(list, x)
		}
	}
	slices.SortStableFunc(list, func(a, b *task.Outcome) int { return cmp.Compare(b.Loss, a.Loss) })
	for _, x := range list[:min(len(list), pageRows)] {
		class, _ := predicted(x)
		t.Rows = append(t.Rows, []string{x.Source, className(o, *x.Label), className(o, class), exactly(math.Exp(float64(x.LogProbabilities[*x.Label])))})
	}
	t.Note = fmt.Sprintf("The model gives the right label of %s of %s examples a probability below %g.", message.Thousands(len(list)), message.Thousands(len(o.Examples)), suspectBelow)
	return t, len(list) > 0
}

// plain is a line of plain text.
func plain(name, text string) MarkedLine { return MarkedLine{name, []Mark{{Text: text}}} }

// className is the name of a class, or of a choice.
func className(o *task.Outcomes, class int) string {
	if class < len(o.Labels) {
		return o.Labels[class]
	}
	return fmt.Sprintf("choice %d", class+1)
}

func classExample(o *task.Outcomes, x *task.Outcome) Example {
	class, p := predicted(x)
	e := Example{Lines: []MarkedLine{
		plain("right:", className(o, *x.Label)),
		plain("predicted:", fmt.Sprintf("%s (%s)", className(o, class), draw.Number(p))),
	}}
	if x.Text != "" {
		e.Lines = append(e.Lines, plain("", x.Text))
	}
	b := Bars{Name: "example", Most: 10}
	for j, v := range x.LogProbabilities {
		b.Bars = append(b.Bars, Bar{Name: className(o, j), Value: math.Exp(float64(v)), Predicted: j == class, Gold: j == *x.Label})
	}
	e.Figure = BarsFigure(b)
	e.Body = scoredBody(x.Scored)
	return e
}

func multiLabelExample(o *task.Outcomes, x *task.Outcome) Example {
	b := Bars{Name: "example", Most: 10, Threshold: 0.5}
	var right, said []string
	for j, p := range x.Probabilities {
		bar := Bar{Name: o.Labels[j], Value: float64(p), Predicted: p > 0.5, Gold: slices.Contains(x.Labels, j)}
		if bar.Gold {
			right = append(right, bar.Name)
		}
		if bar.Predicted {
			said = append(said, bar.Name)
		}
		b.Bars = append(b.Bars, bar)
	}
	return Example{
		Lines:  []MarkedLine{plain("right:", strings.Join(right, ", ")), plain("predicted:", strings.Join(said, ", ")), plain("", x.Text)},
		Figure: BarsFigure(b),
	}
}

func regressionExample(_ *task.Outcomes, x *task.Outcome) Example {
	return Example{Lines: []MarkedLine{plain("right:", draw.Number(*x.Target)), plain("predicted:", draw.Number(*x.Value)), plain("", x.Text)}}
}

func wordExample(o *task.Outcomes, x *task.Outcome) Example {
	one := &task.Outcomes{Labels: o.Labels, Examples: []task.Outcome{*x}}
	types, sentences := tagged(one)
	return Example{Lines: []MarkedLine{
		{"right:", EntityText(types, x.Words, sentences[0].Gold)},
		{"predicted:", EntityText(types, x.Words, sentences[0].Found)},
	}}
}

func answerExample(_ *task.Outcomes, x *task.Outcome) Example {
	right := "(no answer)"
	if len(x.Answers) > 0 {
		right = strings.Join(x.Answers, " | ")
	}
	said := *x.Answer
	if said == "" {
		said = "(no answer)"
	}
	lines := []MarkedLine{plain("right:", right), plain("predicted:", said)}
	if x.Passage != nil {
		lines = append([]MarkedLine{plain("question:", x.Passage.Question)}, lines...)
	}
	switch {
	case x.Passage != nil && x.Passage.Context != "":
		lines = append(lines, contextLine(x))
	case x.Text != "":
		lines = append(lines, plain("", x.Text))
	}
	return Example{Lines: lines}
}
