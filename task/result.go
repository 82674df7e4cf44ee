package task

import (
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/metric"
)

// ResultsFile is the name of an evaluation's Result in an output directory.
const ResultsFile = "eval_results.json"

// Result is what an evaluation found.
//
// Legend: N examples, C labels.
type Result struct {
	Labels     []string // [C]
	Examples   int      // N
	Truncated  int      // examples that were longer than the model's longest sequence
	Loss       float64  // mean cross-entropy, in nats
	GlobalStep int
	Precision  bert.Precision // of the model's products

	Report    metric.Report
	Confusion metric.ConfusionMatrix // [label][prediction], [C,C]
	Binary    *BinaryResult          // nil unless C is 2

	Predictions []int // class ids in the order of the examples, [N]
}

// BinaryResult is what two-class tasks report beside.
type BinaryResult struct {
	Positive string // the label that it is about
	metric.BinaryCounts
	// AUC is the area under the ROC curve of the probability of Positive; AUCHard that of the predicted labels, which is
	// what a metric gives that is handed labels for scores. NaN where the examples are all of one class.
	AUC, AUCHard float64
}

// Metrics are the numbers of the result by the names of eval_results.json. For two labels these are eval_accuracy,
// f1_score, auc, precision, recall, true_positives, true_negatives, false_positives, false_negatives, loss, global_step
// and auc_hard; for more, eval_accuracy, the macro and weighted averages, loss and global_step.
func (r *Result) Metrics() Metrics {
	m := Metrics{{"eval_accuracy", r.Report.Accuracy}}
	if b := r.Binary; b != nil {
		m = append(m, Metrics{
			{"f1_score", b.F1()},
			{"auc", b.AUC},
			{"precision", b.Precision()},
			{"recall", b.Recall()},
			{"true_positives", float64(b.TP)},
			{"true_negatives", float64(b.TN)},
			{"false_positives", float64(b.FP)},
			{"false_negatives", float64(b.FN)},
		}...)
	} else {
		m = append(m, Metrics{
			{"macro_f1", r.Report.Macro.F1},
			{"macro_precision", r.Report.Macro.Precision},
			{"macro_recall", r.Report.Macro.Recall},
			{"weighted_f1", r.Report.Weighted.F1},
			{"weighted_precision", r.Report.Weighted.Precision},
			{"weighted_recall", r.Report.Weighted.Recall},
			{"matthews", r.Confusion.Matthews()},
		}...)
	}
	m = append(m, Metric{"loss", r.Loss}, Metric{"global_step", float64(r.GlobalStep)})
	if b := r.Binary; b != nil {
		m = append(m, Metric{"auc_hard", b.AUCHard})
	}
	return m
}

// scoreJSON is a row of the per-class report.
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

// MarshalJSON writes the content of eval_results.json: the Metrics, then the report by class and the confusion matrix.
func (r *Result) MarshalJSON() ([]byte, error) {
	classes := make([]scoreJSON, len(r.Labels))
	for i, s := range r.Report.Classes {
		classes[i] = newScoreJSON(r.Labels[i], s)
	}
	type entry struct {
		key   string
		value any
	}
	var entries []entry
	for _, m := range r.Metrics() {
		entries = append(entries, entry{m.Name, finite(m.Value)})
	}
	entries = append(entries, entry{"examples", r.Examples}, entry{"truncated", r.Truncated},
		entry{"compute_precision", r.Precision.String()}) // "precision" is the metric
	if r.Binary != nil {
		entries = append(entries, entry{"positive_label", r.Binary.Positive})
	}
	entries = append(entries,
		entry{"classes", classes},
		entry{"macro_average", newScoreJSON("", r.Report.Macro)},
		entry{"weighted_average", newScoreJSON("", r.Report.Weighted)},
		entry{"labels", r.Labels},
		entry{"confusion_matrix", r.Confusion},
	)
	return orderedObject(len(entries), func(i int) (string, any) { return entries[i].key, entries[i].value })
}

// Save writes eval_results.json into dir; the file is whole or not there.
func (r *Result) Save(dir string) error { return writeJSON(filepath.Join(dir, ResultsFile), r) }

// maxMatrix is the number of labels up to which the text shows the confusion matrix.
const maxMatrix = 20

// WriteText writes String.
func (r *Result) WriteText(w io.Writer) error {
	_, err := io.WriteString(w, r.String())
	return err
}

// String is the result for people: the figures, the report by class, and the confusion matrix.
func (r *Result) String() string {
	w := new(strings.Builder) // to which writing doesn't fail
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s examples", thousands(r.Examples))
	if r.Truncated > 0 {
		fmt.Fprintf(w, " (%s truncated)", thousands(r.Truncated))
	}
	if r.GlobalStep > 0 {
		fmt.Fprintf(w, " at step %s", thousands(r.GlobalStep))
	}
	if r.Precision != bert.Float32 {
		fmt.Fprintf(w, " in %v", r.Precision)
	}
	fmt.Fprintf(w, ": accuracy %.4f, loss %.4f", r.Report.Accuracy, r.Loss)
	if b := r.Binary; b != nil {
		fmt.Fprintf(w, ", AUC %s (of the hard labels %s)\n", figure(b.AUC), figure(b.AUCHard))
		fmt.Fprintf(w, "positive is %q: %s true and %s false positives, %s true and %s false negatives\n",
			b.Positive, thousands(b.TP), thousands(b.FP), thousands(b.TN), thousands(b.FN))
	} else {
		fmt.Fprintf(w, ", Matthews %.4f\n", r.Confusion.Matthews())
	}

	fmt.Fprint(t, "\n\tprecision\trecall\tF1\tsupport\t\n")
	row := func(name string, s metric.Score) {
		fmt.Fprintf(t, "%s\t%.4f\t%.4f\t%.4f\t%s\t\n", cell(name), s.Precision, s.Recall, s.F1, thousands(s.Support))
	}
	for i, s := range r.Report.Classes {
		row(r.Labels[i], s)
	}
	row("macro average", r.Report.Macro)
	row("weighted average", r.Report.Weighted)
	t.Flush()
	for i, s := range r.Report.Classes {
		switch {
		case s.Support == 0:
			fmt.Fprintf(w, "%q has no examples: its recall counts as 0.\n", cell(r.Labels[i]))
		case s.Predicted == 0:
			fmt.Fprintf(w, "%q is never predicted: its precision counts as 0.\n", cell(r.Labels[i]))
		}
	}
	if len(r.Labels) > maxMatrix {
		fmt.Fprintf(w, "\nThe confusion matrix of %d labels is in %s.\n", len(r.Labels), ResultsFile)
		return w.String()
	}
	fmt.Fprint(t, "\nlabel \\ prediction\t")
	for _, name := range r.Labels {
		fmt.Fprintf(t, "%s\t", cell(name))
	}
	fmt.Fprintln(t)
	for i, counts := range r.Confusion {
		fmt.Fprintf(t, "%s\t", cell(r.Labels[i]))
		for _, n := range counts {
			fmt.Fprintf(t, "%s\t", thousands(n))
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	return w.String()
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
