package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/report"
	"github.com/go-bert/bert/task"
)

// A use is what a person can try of a model: a form, what it asks of the API, and how the answer looks. What has a row here has a form.
type use struct {
	Task          string // Hugging Face's name of the pipeline
	Title, Button string
	About         string
	Fields        []field
	// run asks and shows. An error is what the page says.
	run func(form url.Values, ask asker) (report.Section, error)
}

// field is a text of a form.
type field struct {
	Name, Label string
	Rows        int
	Example     string
}

// An asker sends a body, as JSON, to a route of the API. The error is the API's word.
type asker func(path string, body any) ([]byte, error)

var uses = []use{
	{
		Task: "text-classification", Title: "Label a text", Button: "Label",
		About:  "The probabilities of the labels, and how the first one changes when a word is left out.",
		Fields: []field{{"text", "Text", 3, "A joy from start to finish."}},
		run:    classify,
	},
	{
		Task: "token-classification", Title: "Find entities", Button: "Find",
		About:  "Names and other entities in a text, with their types.",
		Fields: []field{{"text", "Text", 3, "Jacob Devlin and his colleagues at Google wrote the paper in Mountain View."}},
		run:    findEntities,
	},
	{
		Task: "question-answering", Title: "Answer a question", Button: "Answer",
		About: "The parts of a context that may answer a question.",
		Fields: []field{
			{"question", "Question", 1, "Who wrote the paper?"},
			{"context", "Context", 5, "BERT was introduced in 2018. The paper was written by Jacob Devlin and his colleagues at Google."},
		},
		run: answerQuestion,
	},
	{
		Task: "fill-mask", Title: "Guess a hidden word", Button: "Guess",
		About:  "The most probable words in the place of [MASK].",
		Fields: []field{{"text", "Text with one [MASK]", 2, "It was a [MASK] film."}},
		run:    fillMask,
	},
	{
		Task: "zero-shot-classification", Title: "Choose from your own labels", Button: "Choose",
		About: "Labels that the model was never trained on.",
		Fields: []field{
			{"text", "Text", 3, "The match ended in a draw."},
			{"labels", "Labels, between commas", 1, "politics, sports, food"},
		},
		run: chooseLabel,
	},
	{
		Task: "sentence-similarity", Title: "Compare sentences", Button: "Compare",
		About:  "How alike the vectors of sentences are: the cosines of all pairs.",
		Fields: []field{{"text", "Sentences, one a line", 5, "A man is playing a guitar.\nSomebody makes music.\nThe stock market fell on Monday."}},
		run:    compare,
	},
	{
		Task: "text-ranking", Title: "Rank passages", Button: "Rank",
		About: "How well each passage answers a query.",
		Fields: []field{
			{"query", "Query", 1, "How tall is the Eiffel Tower?"},
			{"texts", "Passages, one a line", 5, "The tower is 330 metres tall.\nParis is the capital of France.\nIt was built for the fair of 1889."},
		},
		run: rank,
	},
}

func useNamed(name string) *use {
	if i := slices.IndexFunc(uses, func(u use) bool { return u.Task == name }); i >= 0 {
		return &uses[i]
	}
	return nil
}

// pipeline is the route of a pipeline of the form's model.
func pipeline(form url.Values) string {
	return "/models/" + form.Get("model") + "/pipeline/" + form.Get("task")
}

// scored is a label of an answer.
type scored struct {
	Label string  `json:"label"`
	Score float64 `json:"score"`
}

// mostWords is the number of words up to which each is left out once.
const mostWords = 40

// errStrange is an answer that is not as the route's has to be.
var errStrange = errors.New("the server's answer is not what the page expects")

func classify(form url.Values, ask asker) (report.Section, error) {
	text := form.Get("text")
	words := strings.Fields(text)
	inputs := []string{text}
	if len(words) > 1 && len(words) <= mostWords {
		for i := range words {
			inputs = append(inputs, strings.Join(slices.Concat(words[:i], words[i+1:]), " "))
		}
	}
	body, err := ask(pipeline(form), map[string]any{"inputs": inputs, "parameters": map[string]any{"top_k": 1000}})
	if err != nil {
		return report.Section{}, err
	}
	var answers [][]scored
	if json.Unmarshal(body, &answers) != nil || len(answers) != len(inputs) || len(answers[0]) == 0 {
		return report.Section{}, errStrange
	}
	p := predictionOf(answers[0])
	e := report.PredictionExample(&data.Input{Text: text}, &p)
	s := example(e)
	if len(inputs) > 1 {
		first := answers[0][0]
		var scores []report.Score
		for i, word := range words {
			scores = append(scores, report.Score{Name: shortWord(word), Value: first.Score - scoreOf(answers[i+1], first.Label)})
		}
		s.Examples = append(s.Examples, report.Example{Head: "Words", Figure: report.ScoresFigure(report.Scores{
			Name: "words", Title: "What each word adds to “" + first.Label + "”", XTitle: "probability with the word minus that without it", Scores: scores,
		})})
	}
	return s, nil
}

// shortWord is a word as a picture has room for it.
func shortWord(word string) string {
	const most = 18
	if r := []rune(word); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return word
}

func scoreOf(list []scored, label string) float64 {
	for _, x := range list {
		if x.Label == label {
			return x.Score
		}
	}
	return 0
}

// predictionOf is a prediction with the probabilities of labels. They exclude each other where they add up to 1.
func predictionOf(list []scored) task.Prediction {
	var (
		p   task.Prediction
		sum float64
	)
	for _, x := range list {
		p.Probabilities = append(p.Probabilities, task.Score{Label: x.Label, Value: x.Score})
		sum += x.Score
	}
	if math.Abs(sum-1) < 1e-3 {
		p.Label = list[0].Label
		return p
	}
	p.Labels = []string{}
	for _, x := range list {
		if x.Score > 0.5 {
			p.Labels = append(p.Labels, x.Label)
		}
	}
	return p
}

func findEntities(form url.Values, ask asker) (report.Section, error) {
	text := form.Get("text")
	body, err := ask(pipeline(form), map[string]any{"inputs": text, "parameters": map[string]any{"aggregation_strategy": "simple"}})
	if err != nil {
		return report.Section{}, err
	}
	var found []struct {
		Group      string `json:"entity_group"`
		Score      float64
		Start, End int // in code points
	}
	if json.Unmarshal(body, &found) != nil {
		return report.Section{}, errStrange
	}
	p := task.Prediction{Entities: []task.Entity{}}
	for _, x := range found {
		start, end := byteOffset(text, x.Start), byteOffset(text, x.End)
		if start > end {
			return report.Section{}, errStrange
		}
		p.Entities = append(p.Entities, task.Entity{Type: x.Group, Text: text[start:end], Start: start, End: end, Score: x.Score})
	}
	return example(report.PredictionExample(&data.Input{Text: text}, &p)), nil
}

// byteOffset is where character n of a text begins.
func byteOffset(text string, n int) int {
	at := 0
	for ; n > 0 && at < len(text); n-- {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return at
}

func answerQuestion(form url.Values, ask asker) (report.Section, error) {
	question, context := form.Get("question"), form.Get("context")
	body, err := ask(pipeline(form), map[string]any{
		"inputs": map[string]string{"question": question, "context": context}, "parameters": map[string]any{"top_k": 5},
	})
	if err != nil {
		return report.Section{}, err
	}
	var answers []struct {
		Answer     string
		Score      float64
		Start, End int // in code points
	}
	if json.Unmarshal(body, &answers) != nil || len(answers) == 0 {
		return report.Section{}, errStrange
	}
	var p task.Prediction
	for _, a := range answers {
		p.NBest = append(p.NBest, task.Answer{Text: a.Answer, Probability: a.Score, Start: byteOffset(context, a.Start), End: byteOffset(context, a.End)})
	}
	p.Answer = &p.NBest[0]
	return example(report.PredictionExample(&data.Input{Text: question, TextPair: context}, &p)), nil
}

func fillMask(form url.Values, ask asker) (report.Section, error) {
	text := form.Get("text")
	body, err := ask(pipeline(form), map[string]any{"inputs": text, "parameters": map[string]any{"top_k": 10}})
	if err != nil {
		return report.Section{}, err
	}
	var found []struct {
		Token string `json:"token_str"`
		Score float64
	}
	if json.Unmarshal(body, &found) != nil || len(found) == 0 {
		return report.Section{}, fmt.Errorf("%w: want a text with one [MASK]", errStrange)
	}
	list := make([]scored, len(found))
	for i, x := range found {
		list[i] = scored{x.Token, x.Score}
	}
	return barsOf(text, list), nil
}

func chooseLabel(form url.Values, ask asker) (report.Section, error) {
	text := form.Get("text")
	var labels []string
	for label := range strings.SplitSeq(form.Get("labels"), ",") {
		if label = strings.TrimSpace(label); label != "" {
			labels = append(labels, label)
		}
	}
	body, err := ask(pipeline(form), map[string]any{"inputs": text, "parameters": map[string]any{"candidate_labels": labels}})
	if err != nil {
		return report.Section{}, err
	}
	var list []scored
	if json.Unmarshal(body, &list) != nil || len(list) == 0 {
		return report.Section{}, errStrange
	}
	return barsOf(text, list), nil
}

// barsOf shows a text with the probabilities of labels, of which the first is predicted.
func barsOf(text string, list []scored) report.Section {
	p := task.Prediction{Label: list[0].Label}
	for _, x := range list {
		p.Probabilities = append(p.Probabilities, task.Score{Label: x.Label, Value: x.Score})
	}
	return example(report.PredictionExample(&data.Input{Text: text}, &p))
}

// mostSentences is the number of sentences that are compared.
const mostSentences = 12

func compare(form url.Values, ask asker) (report.Section, error) {
	list, err := lines(form.Get("text"), 2, mostSentences)
	if err != nil {
		return report.Section{}, err
	}
	h := report.HeatMap{Name: "similarity", Title: "How alike they are", RowTitle: "sentence", ColumnTitle: "sentence", ValueTitle: "The cosine"}
	t := report.Table{Columns: []report.Column{{Name: "", Number: true}, {Name: "sentence", Text: true}}}
	best, most := [2]int{}, math.Inf(-1)
	for i, sentence := range list {
		body, err := ask(pipeline(form), map[string]any{"inputs": map[string]any{"source_sentence": sentence, "sentences": list}})
		if err != nil {
			return report.Section{}, err
		}
		var row []float64
		if json.Unmarshal(body, &row) != nil || len(row) != len(list) {
			return report.Section{}, errStrange
		}
		for k, x := range row {
			if k > i && x > most {
				best, most = [2]int{i, k}, x
			}
		}
		name := fmt.Sprint(i + 1)
		h.Rows, h.Columns, h.Values = append(h.Rows, name), append(h.Columns, name), append(h.Values, row)
		t.Rows = append(t.Rows, []string{name, sentence})
	}
	h.Finding = fmt.Sprintf("The most alike are sentences %d and %d, with a cosine of %.3f.", best[0]+1, best[1]+1, most)
	return report.Section{Figures: []*report.Figure{report.HeatMapFigure(h)}, Tables: []report.NamedTable{{Title: "The sentences", Table: t}}}, nil
}

// lines are those of a text that aren't blank.
func lines(text string, least, most int) ([]string, error) {
	var list []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	if len(list) < least || len(list) > most {
		return nil, fmt.Errorf("there are %d lines, want %d to %d", len(list), least, most)
	}
	return list, nil
}

// mostPassages is the number of passages that are ranked.
const mostPassages = 30

func rank(form url.Values, ask asker) (report.Section, error) {
	texts, err := lines(form.Get("texts"), 1, mostPassages)
	if err != nil {
		return report.Section{}, err
	}
	body, err := ask("/rerank", map[string]any{"model": form.Get("model"), "query": form.Get("query"), "texts": texts})
	if err != nil {
		return report.Section{}, err
	}
	var list []struct {
		Index int
		Score float64
	}
	if json.Unmarshal(body, &list) != nil || len(list) == 0 {
		return report.Section{}, errStrange
	}
	b := report.Bars{Name: "ranking", Title: "How well they answer", XTitle: "score"}
	for i, x := range list {
		if x.Index < 0 || x.Index >= len(texts) {
			return report.Section{}, errStrange
		}
		b.Bars = append(b.Bars, report.Bar{Name: texts[x.Index], Value: x.Score, Predicted: i == 0})
	}
	return report.Section{Figures: []*report.Figure{report.BarsFigure(b)}}, nil
}
