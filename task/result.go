package task

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/internal/textfile"
	"github.com/go-bert/bert/metric"
)

// Result is what an evaluation found.
type Result struct {
	Kind       Kind
	Official   []string // names of the metrics to judge the task by, the main one first
	Examples   int
	Windows    int     // sequences of windows, where long texts have several; else 0
	Truncated  int     // examples that lost tokens
	Skipped    int     // bad records that were left out
	Loss       float64 // the mean, as in training: cross-entropies are in nats
	GlobalStep int
	Precision  bert.Precision // of the model's products

	Report Report // a *ClassReport, *EntityReport or the like, by Kind

	// Outcomes are what the model said of each example, if EvaluateOptions asked for them. They are no part of
	// eval_results.json.
	Outcomes *Outcomes
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
	return mainOf(r.Official, r.Metrics())
}

func mainOf(official []string, m metric.Metrics) (metric.Metric, bool) {
	if len(official) == 0 {
		return metric.Metric{}, false
	}
	value, ok := m.Get(official[0])
	return metric.Metric{Name: official[0], Value: value}, ok
}

// MarshalJSON writes the content of eval_results.json: the Metrics, then official_metrics, examples, skipped_records and windows (if
// there are any), truncated and compute_precision, and then what is peculiar to the kind, in this order:
//
//   - of one label: positive_label (of two labels), classes, macro_average, weighted_average, labels, confusion_matrix
//     [label][prediction];
//   - of several labels at once: classes, micro_average, macro_average, labels, auc_by_label;
//   - of words: words, entities, found, correct, types;
//   - of questions that may have no answer: best_exact, best_exact_thresh, best_f1, best_f1_thresh.
//
// A number that does not exist, or is infinite, is null. ReadResult is the reverse.
func (r *Result) MarshalJSON() ([]byte, error) {
	var entries []entry
	for _, m := range r.Metrics() {
		entries = append(entries, entry{m.Name, jsonobject.Number(m.Value)})
	}
	entries = append(entries, entry{officialKey, r.Official}, entry{"examples", r.Examples})
	if r.Skipped > 0 {
		entries = append(entries, entry{"skipped_records", r.Skipped})
	}
	if r.Windows > 0 {
		entries = append(entries, entry{"windows", r.Windows})
	}
	entries = append(entries, entry{"truncated", r.Truncated}, entry{"compute_precision", r.Precision.String()}) // "precision" is a metric
	entries = append(entries, r.Report.details()...)
	return jsonobject.Marshal(len(entries), func(i int) (string, any) { return entries[i].key, entries[i].value })
}

// officialKey is the key that ends the metrics.
const officialKey = "official_metrics"

// SavedResult is what eval_results.json says of an evaluation.
type SavedResult struct {
	Metrics                      metric.Metrics // NaN where the file has null
	Official                     []string       // names of the metrics to judge the task by, the main one first
	Examples, Windows, Truncated int
	Skipped                      int // bad records that were left out
	Precision                    bert.Precision

	// Details are the keys peculiar to the kind of task, in their order, and any that this version doesn't know. See
	// Result.MarshalJSON.
	Details []Detail
}

// Detail is a key of eval_results.json with its value.
type Detail struct {
	Key   string
	Value json.RawMessage
}

// maxResultsFile bounds eval_results.json. A confusion matrix of a thousand labels has 4 MB.
const maxResultsFile = 64 << 20

// ReadResult reads eval_results.json from dir, as Result.Save wrote it. Where there is none the error is an fs.ErrNotExist.
func ReadResult(dir string) (*SavedResult, error) {
	path := filepath.Join(dir, ResultsFile)
	content, err := files.ReadFile(path, maxResultsFile)
	if err != nil {
		return nil, err
	}
	r := new(SavedResult)
	if err := r.UnmarshalJSON(textfile.TrimMark(content)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// UnmarshalJSON reads the content of eval_results.json. A key that occurs twice is an error.
func (r *SavedResult) UnmarshalJSON(content []byte) error {
	var (
		out       SavedResult
		precision = bert.Float32.String()
		metrics   = true // until officialKey
	)
	fields := map[string]any{
		officialKey: &out.Official, "examples": &out.Examples, "windows": &out.Windows, "truncated": &out.Truncated,
		"skipped_records":   &out.Skipped,
		"compute_precision": &precision,
	}
	err := jsonobject.Parse(content, func(key string, value json.RawMessage) error {
		field, ok := fields[key]
		switch {
		case ok:
			metrics = metrics && key != officialKey
			return jsonobject.Field(key, value, field)
		case !metrics:
			out.Details = append(out.Details, Detail{key, slices.Clone(value)})
			return nil
		}
		v := math.NaN()
		if string(value) != "null" {
			if err := jsonobject.Field(key, value, &v); err != nil {
				return err
			}
		}
		out.Metrics = append(out.Metrics, metric.Metric{Name: key, Value: v})
		return nil
	})
	if err == nil && metrics {
		err = fmt.Errorf("no key %q: not the result of evaluating a task", officialKey)
	}
	if err == nil {
		out.Precision, err = bert.ParsePrecision(precision)
	}
	if err == nil {
		*r = out
	}
	return err
}

// Main is the metric to judge the task by. ok is false where the result has no such metric.
func (r *SavedResult) Main() (main metric.Metric, ok bool) { return mainOf(r.Official, r.Metrics) }

// Detail reads the value of a key of Details into v, a pointer, as json.Unmarshal does. ok is false where there is no such key.
func (r *SavedResult) Detail(key string, v any) (ok bool, err error) {
	for _, d := range r.Details {
		if d.Key == key {
			return true, jsonobject.Field(key, d.Value, v)
		}
	}
	return false, nil
}

// Save writes eval_results.json into dir, the Outcomes if there are any, and of questions the answers (SaveAnswers); a file is whole
// or not there.
func (r *Result) Save(dir string) error {
	if r.Outcomes != nil {
		if err := r.Outcomes.Save(dir); err != nil {
			return err
		}
	}
	if s, ok := r.Report.(interface{ save(dir string) error }); ok {
		if err := s.save(dir); err != nil {
			return err
		}
	}
	return jsonobject.Save(filepath.Join(dir, ResultsFile), r)
}

// ResultFiles are the names of the files that Result.Save writes for a model.
func ResultFiles(d *Spec) []string {
	names := []string{ResultsFile}
	if d.Kind == QuestionAnswering {
		names = append(names, d.Kind.PredictionsFile(), nbestFile)
		if d.Unanswerable {
			names = append(names, nullOddsFile)
		}
	}
	return names
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
