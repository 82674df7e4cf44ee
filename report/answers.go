package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/report/draw"
	"github.com/go-bert/bert/task"
)

// moreAnswerFigures are the curves of precision and recall, the scores by the words and windows of a question, and the lengths of
// answers.
func moreAnswerFigures(o *task.Outcomes) []*Figure {
	figures := answerCurves(o)
	if slices.ContainsFunc(o.Examples, func(x task.Outcome) bool { return x.Passage != nil }) {
		figures = append(figures, answerGroups(o, Dots{Name: "question-words", Title: "Scores by question word"}, questionWords, func(x *task.Outcome) int {
			if x.Passage == nil {
				return len(questionWords) - 1
			}
			return questionWord(x.Passage.Question)
		})...)
	}
	figures = append(figures, answerGroups(o, Dots{Name: "windows", Title: "Scores by windows of the context"}, windowCounts, func(x *task.Outcome) int {
		if x.Passage == nil {
			return 0
		}
		return min(max(x.Passage.Windows, 1), len(windowCounts)) - 1
	})...)
	return append(figures, answerLengthMatrix(o))
}

// answerCurves are precision and recall of exact matches and F1, as the official evaluation script of SQuAD 2.0 draws them: the
// questions are answered one by one, those first that are least likely to have no answer. Precision is the score per answered
// question, recall the score per question that has an answer. The last curve is that of a model whose every answer is right.
func answerCurves(o *task.Outcomes) []*Figure {
	type question struct {
		odds   float64
		scores [3]float64 // exact, F1, 1 where there is an answer
	}
	var (
		questions []question
		answered  = 0.0
	)
	for i := range o.Examples {
		x := &o.Examples[i]
		if x.NullOdds == nil {
			return nil
		}
		q := question{odds: *x.NullOdds}
		if len(x.Answers) > 0 {
			q.scores[0], q.scores[1] = answerScores(x, x.Best)
			q.scores[2] = 1
			answered++
		}
		questions = append(questions, q)
	}
	if answered == 0 || int(answered) == len(questions) {
		return nil
	}
	slices.SortStableFunc(questions, func(a, b question) int { return cmp.Compare(a.odds, b.odds) })
	names := [3]string{"exact", "F1", "if all answers were right"}
	c := &chart{xTitle: "recall", yTitle: "precision", square: true, x: draw.Scale{Min: 0, Max: 1}, y: draw.Scale{Min: 0, Max: 1}}
	t := Table{Columns: numbers("threshold", "questions answered")}
	var (
		sums      [3]float64
		x, y      [3][]float64
		precision [3]float64 // the averages
	)
	for k, name := range names {
		t.Columns = append(t.Columns, numbers("recall, "+name, "precision, "+name)...)
		x[k], y[k] = []float64{0}, []float64{1}
	}
	for i, q := range questions {
		for k := range sums {
			sums[k] += q.scores[k]
		}
		if i+1 < len(questions) && questions[i+1].odds == q.odds {
			continue
		}
		row := []string{exactly(q.odds), fmt.Sprint(i + 1)}
		for k, sum := range sums {
			p, r := sum/float64(i+1), sum/answered
			precision[k] += p * (r - x[k][len(x[k])-1])
			x[k], y[k] = append(x[k], r), append(y[k], p)
			row = append(row, exactly(r), exactly(p))
		}
		t.Rows = append(t.Rows, row)
	}
	t.sampled()
	for k, name := range names {
		tx, ty := thin(x[k], y[k], 1, 1)
		c.lines = append(c.lines, chartLine{name + " " + draw.Number(precision[k]), tx, ty, draw.Stroke{Paint: draw.Series(k), Width: 1.8, Dash: draw.SeriesDash(k)}})
	}
	f := &Figure{
		Name: "answer-pr", Title: "Precision and recall of answers", Table: t, Draw: c.draw, Text: c.text,
		Finding: fmt.Sprintf("Average precision is %s by exact matches and %s by F1; with right answers alone it would be %s.", draw.Number(precision[0]), draw.Number(precision[1]), draw.Number(precision[2])),
	}
	f.Width, f.Height = c.size()
	return []*Figure{f}
}

// answerGroups are exact match and F1 of groups of questions. of gives the number of a question's group.
func answerGroups(o *task.Outcomes, d Dots, names []string, of func(*task.Outcome) int) []*Figure {
	groups := make([][3]float64, len(names)) // exact, F1, number
	for i := range o.Examples {
		x := &o.Examples[i]
		g := &groups[of(x)]
		exact, f1 := answerScores(x, *x.Answer)
		*g = [3]float64{g[0] + exact, g[1] + f1, g[2] + 1}
	}
	d.XTitle, d.Series, d.Range = "share", []string{"exact", "F1"}, &Range{0, 1}
	d.Extra = []ExtraColumn{{Column: Column{Name: "questions", Number: true}}}
	for k, g := range groups {
		if g[2] == 0 {
			continue
		}
		i := metric.Wilson(int(g[0]), int(g[2]))
		d.Rows = append(d.Rows, DotRow{names[k], []float64{g[0] / g[2], g[1] / g[2]}, []*metric.Interval{&i, nil}})
		d.Extra[0].Cells = append(d.Extra[0].Cells, fmt.Sprint(int(g[2])))
	}
	if len(d.Rows) < 2 {
		return nil
	}
	byF1 := func(a, b DotRow) int { return cmp.Compare(a.Values[1], b.Values[1]) }
	worst, best := slices.MinFunc(d.Rows, byF1), slices.MaxFunc(d.Rows, byF1)
	d.Finding = fmt.Sprintf("F1 is lowest for: %s, with %s, and highest for: %s, with %s.", worst.Name, draw.Number(worst.Values[1]), best.Name, draw.Number(best.Values[1]))
	return []*Figure{DotsFigure(d)}
}

// questionWords are the groups of questions. The last are those that have none of the words.
var questionWords = []string{"what", "who", "when", "where", "which", "why", "how many", "how", "other"}

// windowCounts are the groups of contexts.
var windowCounts = []string{"1 window", "2 windows", "3 windows", "4 windows and more"}

// questionWord is the number of the group of a question, by the first of its words that is a question word.
func questionWord(question string) int {
	words := strings.FieldsFunc(strings.ToLower(question), func(r rune) bool { return !unicode.IsLetter(r) })
	for i, w := range words {
		switch w {
		case "whom", "whose":
			w = "who"
		case "how":
			if i+1 < len(words) && (words[i+1] == "many" || words[i+1] == "much") {
				w = "how many"
			}
		}
		if k := slices.Index(questionWords[:len(questionWords)-1], w); k >= 0 {
			return k
		}
	}
	return len(questionWords) - 1
}

// answerLengthMatrix is the length of the right answer against that of the model's.
func answerLengthMatrix(o *task.Outcomes) *Figure {
	names := append(slices.Clone(answerLengths), "no answer")
	m := make(metric.ConfusionMatrix, len(names))
	for i := range m {
		m[i] = make([]int, len(names))
	}
	group := func(answer string) int {
		if answer == "" {
			return len(answerLengths)
		}
		return answerLength(answer)
	}
	longer, shorter := 0, 0
	for i := range o.Examples {
		x := &o.Examples[i]
		right := ""
		if len(x.Answers) > 0 {
			right = x.Answers[0]
		}
		m[group(right)][group(*x.Answer)]++
		if right == "" || *x.Answer == "" {
			continue
		}
		switch a, b := len(fieldsOf(*x.Answer)), len(fieldsOf(right)); {
		case a > b:
			longer++
		case a < b:
			shorter++
		}
	}
	f := ConfusionFigure(Confusion{Name: "answer-lengths", Title: "Lengths of answers", Labels: names, Counts: m, RowTitle: "right answer", ColumnTitle: "predicted answer"})
	f.Finding = fmt.Sprintf("Where both are answers, the model's is longer than the right one %s and shorter %s.", times(longer), times(shorter))
	return f
}

// contextLine is the context of a question with the right answer and the model's marked in it.
func contextLine(x *task.Outcome) MarkedLine {
	line := MarkedLine{Name: "context:"}
	p := x.Passage
	right, said := p.RightAt, p.BestAt
	if *x.Answer == "" {
		said = nil
	}
	within := func(at *[2]int, from, to int) bool { return at != nil && at[0] <= from && to <= at[1] }
	cuts := []int{0, len(p.Context)}
	for _, at := range []*[2]int{right, said} {
		if at != nil {
			cuts = append(cuts, at[0], at[1])
		}
	}
	slices.Sort(cuts)
	for i, from := range cuts[:len(cuts)-1] {
		to := cuts[i+1]
		if from == to {
			continue
		}
		m := Mark{Text: p.Context[from:to]}
		switch r, s := within(right, from, to), within(said, from, to); {
		case r && s:
			m.Label, m.Paint = "right, predicted", draw.Series(2)
		case r:
			m.Label, m.Paint = "right", draw.Series(0)
		case s:
			m.Label, m.Paint = "predicted", draw.Series(1)
		}
		line.Marks = append(line.Marks, m)
	}
	return line
}
