package report

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/report/draw"
	"github.com/go-bert/bert/task"
)

// Score is a signed number with a name, such as how much a word adds to an answer.
type Score struct {
	Name  string
	Value float64
}

// Scores is what a chart of signed numbers shows.
type Scores struct {
	Name, Title string
	XTitle      string
	Scores      []Score
	Most        int    // bars that are drawn, those of the largest amounts; 0: 20
	Finding     string // "": which is the largest
}

// ScoresFigure draws bars to both sides of zero with their numbers, the largest amount first. The table keeps the order.
func ScoresFigure(s Scores) *Figure {
	s.Name, s.Title, s.XTitle, s.Most = cmp.Or(s.Name, "scores"), cmp.Or(s.Title, "Scores"), cmp.Or(s.XTitle, "score"), cmp.Or(s.Most, 20)
	t := Table{Columns: append(words(""), numbers(s.XTitle)...)}
	t.Columns[0].Text = true
	for _, x := range s.Scores {
		t.Rows = append(t.Rows, []string{x.Name, exactly(x.Value)})
	}
	if n := len(t.Rows); n > mostScoreRows {
		t.Page, t.Note = t.Rows[:mostScoreRows], fmt.Sprintf("The first %d of %s.", mostScoreRows, message.Thousands(n))
	}
	s.Scores = slices.Clone(s.Scores)
	slices.SortStableFunc(s.Scores, func(x, y Score) int { return cmp.Compare(math.Abs(y.Value), math.Abs(x.Value)) })
	if s.Finding == "" && len(s.Scores) > 0 {
		s.Finding = fmt.Sprintf("The largest is %s with %s.", shortName(s.Scores[0].Name), draw.Number(s.Scores[0].Value))
	}
	f := &Figure{Name: s.Name, Title: s.Title, Finding: cmp.Or(s.Finding, "There are no words."), Table: t, Width: figureWidth, Draw: s.draw}
	f.Height = max(90, 12+scoreHeight*float64(min(len(s.Scores), s.Most))+46)
	if len(s.Scores) > s.Most {
		f.Height += 18
	}
	return f
}

const (
	scoreHeight   = 22.0
	fontRoom      = 1.15 // how much wider a browser's own font may be than the one that is measured
	mostScoreRows = 200  // of the table in a page
)

func (s *Scores) draw(c draw.Canvas) {
	bars := s.Scores[:min(len(s.Scores), s.Most)]
	names, low, high := 30.0, 0.0, 0.0
	for _, x := range bars {
		names = max(names, fontRoom*draw.Width(draw.Fit(x.Name, textSize, 150), textSize, false))
		low, high = min(low, x.Value), max(high, x.Value)
	}
	if low == high {
		high = 1
	}
	const top, number = 12.0, 56.0
	area := draw.Rect{X: names + 24, Y: top, H: scoreHeight * float64(len(bars))}
	area.W = figureWidth - area.X - 12
	// Each side that has a bar has room for its number.
	x := draw.Scale{Min: low, Max: high, From: area.X, To: area.X + area.W}
	if low < 0 {
		x.From += number
	}
	if high > 0 {
		x.To -= number
	}
	for _, t := range x.Ticks(5) {
		at := x.At(t.Value)
		draw.Line(c, draw.Point{X: at, Y: area.Y}, draw.Point{X: at, Y: area.Y + area.H}, draw.Stroke{Paint: draw.Rule, Width: 1})
		c.Text(draw.Point{X: at, Y: area.Y + area.H + 16}, t.Label, draw.TextStyle{Size: smallSize, Anchor: draw.Middle, Paint: draw.Muted})
	}
	zero := x.At(0)
	for i, bar := range bars {
		from, to := min(zero, x.At(bar.Value)), max(zero, x.At(bar.Value))
		row := draw.Rect{X: from, Y: top + scoreHeight*float64(i) + 3, W: to - from, H: scoreHeight - 6}
		middle := row.Y + row.H/2
		paint, at, anchor := draw.Series(1), to+5, draw.Start
		if bar.Value < 0 {
			paint, at, anchor = draw.Series(0), from-5, draw.End
		}
		c.Text(draw.Point{X: area.X - 10, Y: middle}, draw.Fit(bar.Name, textSize, 150), draw.TextStyle{Anchor: draw.End, Centred: true})
		c.Rect(row, paint, draw.Stroke{})
		c.Text(draw.Point{X: at, Y: middle}, draw.Number(bar.Value), draw.TextStyle{Anchor: anchor, Centred: true})
	}
	draw.Line(c, draw.Point{X: zero, Y: area.Y}, draw.Point{X: zero, Y: area.Y + area.H}, draw.Stroke{Paint: draw.Muted, Width: 1.2})
	bottom := area.Y + area.H + 36
	c.Text(draw.Point{X: area.X + area.W/2, Y: bottom}, s.XTitle, draw.TextStyle{Anchor: draw.Middle})
	if n := len(s.Scores) - len(bars); n > 0 {
		c.Text(draw.Point{X: area.X + area.W/2, Y: bottom + 18}, fmt.Sprintf("and %d more, which the table has", n), draw.TextStyle{Size: smallSize, Anchor: draw.Middle, Paint: draw.Muted})
	}
}

// signLevels is how many shades of each sign a text is marked with.
const signLevels = 4

// signRules are the rules of CSS for the shades: n4, the darkest blue, to n1, and p1 to p4, the darkest orange.
func signRules() string {
	var b strings.Builder
	for _, sign := range []int{-1, 1} {
		for level := 1; level <= signLevels; level++ {
			colour := draw.Diverging(float64(sign*level) / signLevels)
			fmt.Fprintf(&b, ".%s{background:%s;color:%s}\n", signClass(sign*level), draw.Hex(colour), draw.Hex(draw.Light.Colour(draw.On(colour))))
		}
	}
	return b.String()
}

// signClass is the class of a shade from −signLevels to signLevels; "" of 0.
func signClass(level int) string {
	switch {
	case level < 0:
		return fmt.Sprintf("n%d", -level)
	case level > 0:
		return fmt.Sprintf("p%d", level)
	}
	return ""
}

// scoredPart is a part of a text, with the class of its score's shade.
type scoredPart struct{ Text, Class, Score string }

// scoredText is a text whose words are marked, the one with the score of the amount most in the darkest shade. Words are in the order
// of the text.
func scoredText(text string, words []task.WordScore, most float64) []scoredPart {
	var (
		parts []scoredPart
		at    = 0
		end   = len(text)
	)
	if len(words) > 0 && words[0].Start > maxText/4 && words[0].Start <= len(text) { // a window far into a text
		at = words[0].Start - maxText/8
		for at < end && !utf8.RuneStart(text[at]) {
			at++
		}
		parts = append(parts, scoredPart{Text: "… "})
	}
	cutAt := at
	for n := 0; cutAt < end && n < maxText; n++ {
		_, size := utf8.DecodeRuneInString(text[cutAt:])
		cutAt += size
	}
	for _, w := range words {
		if w.Start < at || w.End > cutAt || w.Start > w.End {
			continue
		}
		if w.Start > at {
			parts = append(parts, scoredPart{Text: text[at:w.Start]})
		}
		part := scoredPart{Text: text[w.Start:w.End]}
		if most > 0 {
			part.Class = signClass(int(math.Round(signLevels * float64(w.Score) / most)))
			part.Score = draw.Number(float64(w.Score))
		}
		parts = append(parts, part)
		at = w.End
	}
	parts = append(parts, scoredPart{Text: text[at:cutAt]})
	if cutAt < end {
		parts = append(parts, scoredPart{Text: fmt.Sprintf(" … (cut: %s characters in all)", message.Thousands(utf8.RuneCountInString(text)))})
	}
	return parts
}

var explanationTemplate = template.Must(template.New("explanation").Funcs(template.FuncMap{"cut": cut}).Parse(
	`<p class="name">{{.Facts}}{{if .Delta}}; <span{{if .Wrong}} class="wrong"{{end}}>{{.Delta}}</span>{{end}}</p>
{{range .Texts}}<p class="scored"><bdi dir="auto">{{range .}}{{if .Class}}<mark class="{{.Class}}" title="{{.Score}}">{{cut .Text}}</mark>{{else}}{{cut .Text}}{{end}}{{end}}</bdi></p>
{{end}}<p class="key name"><span>lowers</span>{{range .Shades}}<span class="{{.}}">&nbsp;&nbsp;</span>{{end}}<span>raises it; darkest: ±{{.Most}}</span></p>
`))

// explanationTarget shows the explanation of one number.
func explanationTarget(in *data.Input, t *task.Attributed) (Example, error) {
	most := 0.0
	scores := Scores{Title: "Words by score"}
	for _, w := range t.Words {
		most = max(most, math.Abs(float64(w.Score)))
		scores.Scores = append(scores.Scores, Score{w.Text, float64(w.Score)})
	}
	view := struct {
		Facts, Delta, Most string
		Wrong              bool
		Texts              [][]scoredPart
		Shades             []string
	}{Wrong: t.Wrong(), Most: draw.Number(most)}
	view.Facts = fmt.Sprintf("%s %s", t.Target.Quantity, draw.Number(float64(t.Value)))
	if t.Delta != nil {
		difference := float64(t.Value - *t.BaselineValue)
		view.Facts += fmt.Sprintf("; without words %s; the scores add up to %s of a difference of %s, with %d points",
			draw.Number(float64(*t.BaselineValue)), draw.Number(difference+float64(*t.Delta)), draw.Number(difference), t.Points)
		view.Delta = "δ = " + draw.Number(float64(*t.Delta))
		if difference != 0 {
			view.Delta += " (" + percent(math.Abs(float64(*t.Delta)/difference)) + ")"
		}
		if view.Wrong {
			view.Delta += ": the scores do not add up to the difference"
		}
	}
	for level := -signLevels; level <= signLevels; level++ {
		if class := signClass(level); class != "" {
			view.Shades = append(view.Shades, class)
		}
	}
	text := in.Text
	if in.Words != nil {
		text = joined(in.Words)
	}
	pair := in.TextPair
	if in.Choices != nil {
		pair = ""
		if c := t.Target.Choice; c != nil && *c < len(in.Choices) {
			pair = in.Choices[*c]
		}
	}
	var of [2][]task.WordScore
	for _, w := range t.Words {
		if w.Pair {
			of[1] = append(of[1], w)
		} else {
			of[0] = append(of[0], w)
		}
	}
	view.Texts = append(view.Texts, scoredText(text, of[0], most))
	if pair != "" {
		view.Texts = append(view.Texts, scoredText(pair, of[1], most))
	}
	var b strings.Builder
	if err := explanationTemplate.Execute(&b, view); err != nil {
		return Example{}, err
	}
	e := Example{Head: cmp.Or(t.Name(), "the number"), Body: template.HTML(b.String())}
	if len(t.Words) > 0 {
		e.Figure = ScoresFigure(scores)
	}
	return e, nil
}

// maxExplainedWords is how many words the page of explanations has in all: it then has a few megabytes.
const maxExplainedWords = 6000

// Explanations gathers what answers come from, for a page. Texts are left out once the page has 6,000 words, of all that is explained.
type Explanations struct {
	sections []Section
	texts    int // that were added
	targets  int // of the texts on the page
	words    int
	dropped  int // numbers of the texts on the page that are left out
	wrong    int // on the page
	method   task.Method
	baseline task.Baseline
	cut      int // texts that were cut
}

// Add adds the explanation of an answer.
func (p *Explanations) Add(in *data.Input, e *task.Explanation) error {
	p.texts++
	p.method, p.baseline = e.Method, e.Baseline
	if p.words >= maxExplainedWords {
		return nil
	}
	s := Section{Title: numbered(p.texts, short(inputName(in)))}
	if e.Truncated {
		s.Text = fmt.Sprintf("The model did not read the last %d tokens.", e.DroppedTokens)
		p.cut++
	}
	if len(e.Targets) == 0 {
		s.Text = strings.TrimSpace("There is nothing to explain. " + s.Text)
	}
	for i := range e.Targets {
		t := &e.Targets[i]
		if i > 0 && p.words >= maxExplainedWords {
			p.dropped += len(e.Targets) - i
			break
		}
		example, err := explanationTarget(in, t)
		if err != nil {
			return err
		}
		s.Examples = append(s.Examples, example)
		p.words += len(t.Words) + 10 // the picture takes room too
		p.targets++
		if t.Wrong() {
			p.wrong++
		}
	}
	p.sections = append(p.sections, s)
	return nil
}

// numbered is a text with a number before it, which stays there before texts from right to left.
func numbered(n int, text string) string {
	if draw.RightToLeft(text) {
		return fmt.Sprintf("\u200e%d. %s", n, isolated(text)) // dir="auto" of HTML goes by the first strong character, isolates or not
	}
	return fmt.Sprintf("%d. %s", n, text)
}

// isolated keeps the direction of a text from moving what is beside it (Unicode Standard Annex 9).
func isolated(text string) string { return "\u2068" + text + "\u2069" }

// inputName is the beginning of an input's text.
func inputName(in *data.Input) string {
	if in.Words != nil {
		return joined(in.Words[:min(len(in.Words), 100)])
	}
	return in.Text
}

// Page is the page of what was added.
func (p *Explanations) Page(title, generator string) *Page {
	page := &Page{Title: title, Generator: generator, Sections: p.sections, NoMenu: true}
	page.Lead = "How much each word adds to what the model says: orange raises the number that is explained, blue lowers it."
	page.Facts = []Fact{{Name: "method", Value: p.method.String()}}
	if p.baseline != task.DefaultBaseline {
		page.Facts = append(page.Facts, Fact{Name: "in the place of words", Value: p.baseline.String()})
	}
	page.Facts = append(page.Facts, Fact{Name: "texts", Value: message.Thousands(len(p.sections))}, Fact{Name: "numbers explained", Value: message.Thousands(p.targets)})
	if p.method == task.IntegratedGradients {
		page.Facts = append(page.Facts, Fact{Name: "that do not add up", Value: message.Thousands(p.wrong)})
	} else {
		page.Lead += " The scores of this method do not add up to anything."
	}
	if n := p.texts - len(p.sections); n > 0 {
		page.Warnings = append(page.Warnings, fmt.Sprintf("The page has the first %s of %s texts.", message.Thousands(len(p.sections)), message.Thousands(p.texts)))
	}
	if p.dropped > 0 {
		page.Warnings = append(page.Warnings, fmt.Sprintf("Further numbers of the last text are left out: %s.", message.Thousands(p.dropped)))
	}
	if p.wrong > 0 {
		page.Warnings = append(page.Warnings, fmt.Sprintf("The scores of %s of %s explanations do not add up to the difference: see δ.", message.Thousands(p.wrong), message.Thousands(p.targets)))
	}
	if p.cut > 0 {
		page.Warnings = append(page.Warnings, fmt.Sprintf("Texts that were longer than the model reads: %s.", message.Thousands(p.cut)))
	}
	return page
}
