package report

import (
	"bytes"
	"html/template"
	"math"

	"github.com/go-bert/bert/report/draw"
	"github.com/go-bert/bert/task"
)

// scoredBody is a text whose words are marked by their scores, the largest of them the darkest; "" where there are none.
func scoredBody(words []task.ScoredWord) template.HTML {
	type mark struct{ Text, Class, Score string }
	most := 0.0
	for _, w := range words {
		if v := float64(w.Score); finite(v) {
			most = max(most, math.Abs(v))
		}
	}
	var marks []mark
	for _, w := range words {
		m := mark{Text: cut(w.Text), Score: draw.Number(float64(w.Score))}
		if v := float64(w.Score); finite(v) && most > 0 {
			m.Class = signClass(int(math.Round(v / most * signLevels)))
		}
		marks = append(marks, m)
	}
	if marks == nil {
		return ""
	}
	var b bytes.Buffer
	if err := scoredTemplate.Execute(&b, marks); err != nil {
		return "" // the template and what it is given are ours
	}
	return template.HTML(b.String())
}

var scoredTemplate = template.Must(template.New("scored").Parse(
	`<p class="marked"><span class="name">words for the predicted label:</span> <bdi dir="auto">{{range .}}{{if .Class}}<mark class="{{.Class}}" title="{{.Score}}">{{.Text}}</mark>{{else}}{{.Text}}{{end}} {{end}}</bdi></p>`))
