package task

import (
	"fmt"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
)

// scoreJSON is a row of a report by label.
type scoreJSON struct {
	Label     string  `json:"label,omitempty"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
	Support   int     `json:"support"`
}

func newScoreJSON(label string, s metric.Score) scoreJSON {
	return scoreJSON{label, s.Precision, s.Recall, s.F1, s.Support}
}

func scoresJSON(labels []string, scores []metric.Score) []scoreJSON {
	rows := make([]scoreJSON, len(labels))
	for i, s := range scores {
		rows[i] = newScoreJSON(labels[i], s)
	}
	return rows
}

// average is a score of all labels together.
type average struct {
	name string
	metric.Score
}

// writeScores writes a table of precision, recall and F1 by label, and which of the numbers are 0 by convention only.
func writeScores(w *strings.Builder, labels []string, scores []metric.Score, averages []average) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\n\tprecision\trecall\tF1\tsupport\t\n")
	row := func(name string, s metric.Score) {
		fmt.Fprintf(t, "%s\t%.4f\t%.4f\t%.4f\t%s\t\n", cell(name), s.Precision, s.Recall, s.F1, message.Thousands(s.Support))
	}
	for i, s := range scores {
		row(labels[i], s)
	}
	for _, a := range averages {
		row(a.name, a.Score)
	}
	t.Flush()
	for i, s := range scores {
		switch {
		case s.Support == 0:
			fmt.Fprintf(w, "%q has no examples: its recall counts as 0.\n", cell(labels[i]))
		case s.Predicted == 0:
			fmt.Fprintf(w, "%q is never predicted: its precision counts as 0.\n", cell(labels[i]))
		}
	}
}

// ResultsFile is the name of an evaluation's Result in an output directory.
const ResultsFile = "eval_results.json"

// Report is what an evaluation found that is peculiar to a kind of task. Kinds are closed, and with them the types of reports:
// *ClassReport, *MultiLabelReport, *RegressionReport, *ChoiceReport, *EntityReport and *AnswerReport, whose fields are what was
// measured.
type Report interface {
	// Metrics are the metrics that only this kind has, by the names of eval_results.json.
	Metrics() metric.Metrics

	// figures are Metrics in two parts: those that Result.Metrics has before loss and step, and those that it has after.
	figures() (first, further metric.Metrics)
	// details is what follows the metrics in eval_results.json.
	details() []entry
	// writeText writes the report for people, beneath the line of the official metrics.
	writeText(w *strings.Builder)
}

// entry is a key of a JSON object with its value.
type entry struct {
	key   string
	value any
}

// figure is a metric with four places, or a dash where it doesn't exist.
func figure(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.4f", v)
}

// cell keeps a label from breaking a table.
func cell(label string) string {
	const most = 30
	label = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, label)
	if r := []rune(label); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return label
}
