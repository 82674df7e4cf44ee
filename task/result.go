package task

import (
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
)

// ResultsFile is the name of an evaluation's Result in an output directory.
const ResultsFile = "eval_results.json"

// Result is what an evaluation found.
type Result struct {
	Kind       Kind
	Official   []string // names of the metrics to judge the task by, the main one first
	Examples   int
	Windows    int     // sequences of windows, where long texts have several; else 0
	Truncated  int     // examples that were longer than what the model was given of them
	Loss       float64 // the mean, as in training: cross-entropies are in nats
	GlobalStep int
	Precision  bert.Precision // of the model's products

	Report Report // a *ClassReport, *EntityReport or the like, by Kind
}

// Report is what an evaluation found that is peculiar to a kind of task.
type Report interface {
	// figures are the metrics by the names of eval_results.json: those before loss and step, and those behind.
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

// Metrics are the numbers of the result by the names of eval_results.json.
//
// For two labels these are eval_accuracy, f1_score, auc, precision, recall, true_positives, true_negatives,
// false_positives, false_negatives, loss, global_step, auc_hard and matthews; for more, eval_accuracy, the macro and
// weighted averages, matthews, loss and global_step. For several labels at once micro_f1, micro_precision, micro_recall,
// macro_f1, eval_accuracy (of whole examples); for numbers pearson, spearman, mean_squared_error, mean_absolute_error; for
// choices eval_accuracy; for words f1, precision, recall (of entities, as conlleval has them), eval_accuracy (of words),
// macro_f1 and weighted_f1; for questions, in percent as SQuAD's scripts have them, exact, f1, HasAns_exact, HasAns_f1,
// NoAns_exact and NoAns_f1.
func (r *Result) Metrics() metric.Metrics {
	first, further := r.Report.figures()
	return slices.Concat(first, metric.Metrics{{Name: "loss", Value: r.Loss}, {Name: "global_step", Value: float64(r.GlobalStep)}}, further)
}

// Main is the metric to judge the task by. ok is false where the result has no such metric.
func (r *Result) Main() (main metric.Metric, ok bool) {
	if len(r.Official) == 0 {
		return metric.Metric{}, false
	}
	value, ok := r.Metrics().Get(r.Official[0])
	return metric.Metric{Name: r.Official[0], Value: value}, ok
}

// MarshalJSON writes the content of eval_results.json: the Metrics, then the report.
func (r *Result) MarshalJSON() ([]byte, error) {
	var entries []entry
	for _, m := range r.Metrics() {
		entries = append(entries, entry{m.Name, jsonobject.Number(m.Value)})
	}
	entries = append(entries, entry{"official_metrics", r.Official}, entry{"examples", r.Examples})
	if r.Windows > 0 {
		entries = append(entries, entry{"windows", r.Windows})
	}
	entries = append(entries, entry{"truncated", r.Truncated}, entry{"compute_precision", r.Precision.String()}) // "precision" is a metric
	entries = append(entries, r.Report.details()...)
	return jsonobject.Marshal(len(entries), func(i int) (string, any) { return entries[i].key, entries[i].value })
}

// Save writes eval_results.json into dir, and of questions the answers (SaveAnswers); a file is whole or not there.
func (r *Result) Save(dir string) error {
	if s, ok := r.Report.(interface{ save(dir string) error }); ok {
		if err := s.save(dir); err != nil {
			return err
		}
	}
	return writeJSON(filepath.Join(dir, ResultsFile), r)
}

// WriteText writes String.
func (r *Result) WriteText(w io.Writer) error {
	_, err := io.WriteString(w, r.String())
	return err
}

// String is the result for people: the official metrics, and the report.
func (r *Result) String() string {
	w := new(strings.Builder) // to which writing doesn't fail
	fmt.Fprintf(w, "%s examples", message.Thousands(r.Examples))
	if r.Windows > 0 {
		fmt.Fprintf(w, " in %s windows", message.Thousands(r.Windows))
	}
	if r.Truncated > 0 {
		fmt.Fprintf(w, " (%s truncated)", message.Thousands(r.Truncated))
	}
	if r.GlobalStep > 0 {
		fmt.Fprintf(w, " at step %s", message.Thousands(r.GlobalStep))
	}
	if r.Precision != bert.Float32 {
		fmt.Fprintf(w, " in %v", r.Precision)
	}
	m := r.Metrics()
	for i, name := range r.Official {
		value, ok := m.Get(name)
		if !ok {
			value = math.NaN()
		}
		fmt.Fprintf(w, "%s %s %s", [...]string{":", ","}[min(i, 1)], metric.Label(name), figure(value))
	}
	fmt.Fprintf(w, ", loss %s\n", figure(r.Loss))
	r.Report.writeText(w)
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
