package task

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/tokenizer"
)

// singleLabel is the codec of texts that have one label of several (google-research/bert run_classifier.py).
type singleLabel struct{}

func (singleLabel) encode(f *featurizer, in *data.Input, e *tokenizer.Encoding, add func(*tokenizer.Encoding)) error {
	return f.encodeLong(in, e, add)
}

func (singleLabel) checkLabel(d *Spec, x *data.Example) error {
	_, err := data.LabelID(x.Label, d.Labels)
	return err
}

func (singleLabel) target(d *Spec, x *data.Example, _ []sequence, t *targets) error {
	id, err := data.LabelID(x.Label, d.Labels)
	if err != nil {
		return err
	}
	t.classes = append(t.classes, int32(id))
	return nil
}

func (singleLabel) empty(d *Spec) Report {
	r := &ClassReport{Labels: d.Labels, Scores: metric.Report{Classes: make([]metric.Score, len(d.Labels))}}
	if len(d.Labels) == 2 {
		r.Binary = new(BinaryReport)
	}
	return r
}

func (singleLabel) measure(d *Dataset, logits [][]float32) (Report, float64, error) {
	log := make([][]float64, d.Examples())
	for i := range log {
		log[i], _ = logProbabilities(d.logits(logits, i))
	}
	return newClassReport(d.targets.classes, log, d.spec.Labels, d.spec.Positive)
}

func (singleLabel) outcome(d *Dataset, i int, logits [][]float32, o *Outcome) {
	log, _ := logProbabilities(logits)
	o.class(int(d.targets.classes[i]), log)
}

func (singleLabel) aims(d *Spec, q *question, _ []sequence, logits [][]float32) ([]aim, error) {
	class, err := q.labelOf(d.Labels)
	if err != nil {
		return nil, err
	}
	if class < 0 {
		_, class = logProbabilities(logits)
	}
	w := strongest(logits, class)
	at, rival, err := ofSoftmax(q.quantity, class, upTo(len(d.Labels)), logits[w])
	if err != nil {
		return nil, err
	}
	t := Target{Quantity: q.quantity, Label: d.Labels[class]}
	if rival >= 0 {
		t.Rival = d.Labels[rival]
	}
	return []aim{{t, w, []int{0}, at}}, nil
}

func (singleLabel) fold(d *Spec, _ *data.Input) fold {
	return &gathered{finish: func(logits [][]float32) Prediction {
		log, best := logProbabilities(logits)
		return Prediction{
			Label:            d.Labels[best],
			Probabilities:    newScores(d.Labels, func(i int) float64 { return math.Exp(log[i]) }),
			LogProbabilities: newScores(d.Labels, func(i int) float64 { return log[i] }),
			Logits:           meanLogits(logits),
		}
	}}
}

// ClassReport is what an evaluation finds of a task that gives each example one label.
//
// Legend: N examples, C labels.
type ClassReport struct {
	Labels    []string               // [C]
	Scores    metric.Report          // by label and averaged
	Confusion metric.ConfusionMatrix // [label][prediction], [C,C]
	Binary    *BinaryReport          // nil unless C is 2

	Predictions []int // class ids in the order of the examples, [N]
}

// BinaryReport is what a ClassReport of two labels has in addition.
type BinaryReport struct {
	Positive string // the label that it is about
	metric.BinaryCounts
	// AUC is the area under the ROC curve of the probability of Positive; AUCHard that of the predicted labels
	// taken for scores. NaN where the examples are all of one class.
	AUC, AUCHard float64
}

// newClassReport computes what there is to report of examples with these labels [N] and logarithms of probabilities [N,C],
// and their mean cross-entropy in nats.
func newClassReport(labels []int32, log [][]float64, names []string, positive string) (*ClassReport, float64, error) {
	var (
		n           = len(labels)
		classes     = len(names)
		truth       = make([]int, n)
		predictions = make([]int, n)
		scores      = make([]float64, n)
		p           = slices.Index(names, positive)
		loss        float64
	)
	if p < 0 {
		p = classes - 1
	}
	for i, label := range labels {
		best := 0
		for j, x := range log[i] {
			if x > log[i][best] {
				best = j
			}
		}
		truth[i], predictions[i] = int(label), best
		scores[i] = math.Exp(log[i][p])
		loss -= log[i][label]
	}
	loss /= float64(n)
	r := &ClassReport{Labels: names, Predictions: predictions}
	var err error
	if r.Confusion, err = metric.Confusion(truth, predictions, classes); err != nil {
		return nil, 0, err
	}
	r.Scores = r.Confusion.Report()
	if classes != 2 {
		return r, loss, nil
	}
	b := &BinaryReport{Positive: names[p], BinaryCounts: r.Confusion.Binary(p)}
	if b.AUC, err = metric.AUC(truth, scores, p); err != nil && !errors.Is(err, metric.ErrUndefined) {
		return nil, 0, err
	} else if err != nil {
		b.AUC = math.NaN()
	}
	if b.AUCHard, err = b.HardAUC(); err != nil {
		b.AUCHard = math.NaN()
	}
	r.Binary = b
	return r, loss, nil
}

// Metrics are the report's metrics by the names of eval_results.json.
func (r *ClassReport) Metrics() metric.Metrics { return slices.Concat(r.figures()) }

func (r *ClassReport) figures() (first, further metric.Metrics) {
	first = metric.Metrics{{Name: "eval_accuracy", Value: r.Scores.Accuracy}}
	matthews := metric.Metric{Name: "matthews", Value: r.Confusion.Matthews()}
	b := r.Binary
	if b == nil {
		return append(first, metric.Metrics{
			{Name: "macro_f1", Value: r.Scores.Macro.F1},
			{Name: "macro_precision", Value: r.Scores.Macro.Precision},
			{Name: "macro_recall", Value: r.Scores.Macro.Recall},
			{Name: "weighted_f1", Value: r.Scores.Weighted.F1},
			{Name: "weighted_precision", Value: r.Scores.Weighted.Precision},
			{Name: "weighted_recall", Value: r.Scores.Weighted.Recall},
			matthews,
		}...), nil
	}
	first = append(first, metric.Metrics{
		{Name: "f1_score", Value: b.F1()},
		{Name: "auc", Value: b.AUC},
		{Name: "precision", Value: b.Precision()},
		{Name: "recall", Value: b.Recall()},
		{Name: "true_positives", Value: float64(b.TP)},
		{Name: "true_negatives", Value: float64(b.TN)},
		{Name: "false_positives", Value: float64(b.FP)},
		{Name: "false_negatives", Value: float64(b.FN)},
	}...)
	return first, metric.Metrics{{Name: "auc_hard", Value: b.AUCHard}, matthews}
}

func (r *ClassReport) details() []entry {
	var entries []entry
	if r.Binary != nil {
		entries = append(entries, entry{"positive_label", r.Binary.Positive})
	}
	return append(entries,
		entry{"classes", scoresJSON(r.Labels, r.Scores.Classes)},
		entry{"macro_average", newScoreJSON("", r.Scores.Macro)},
		entry{"weighted_average", newScoreJSON("", r.Scores.Weighted)},
		entry{"labels", r.Labels},
		entry{"confusion_matrix", r.Confusion},
	)
}

// maxMatrix is the number of labels up to which the text shows the confusion matrix.
const maxMatrix = 20

// writeText writes the report by label and the confusion matrix.
func (r *ClassReport) writeText(w *strings.Builder) {
	if b := r.Binary; b != nil {
		fmt.Fprintf(w, "AUC %s (of the hard labels %s); positive is %q: %s true and %s false positives, %s true and %s false negatives\n",
			figure(b.AUC), figure(b.AUCHard), b.Positive, message.Thousands(b.TP), message.Thousands(b.FP), message.Thousands(b.TN), message.Thousands(b.FN))
	}
	writeScores(w, r.Labels, r.Scores.Classes, []average{{"macro average", r.Scores.Macro}, {"weighted average", r.Scores.Weighted}})
	if len(r.Labels) > maxMatrix {
		fmt.Fprintf(w, "\nThe confusion matrix of %d labels is in %s.\n", len(r.Labels), ResultsFile)
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\nlabel \\ prediction\t")
	for _, name := range r.Labels {
		fmt.Fprintf(t, "%s\t", cell(name))
	}
	fmt.Fprintln(t)
	for i, counts := range r.Confusion {
		fmt.Fprintf(t, "%s\t", cell(r.Labels[i]))
		for _, n := range counts {
			fmt.Fprintf(t, "%s\t", message.Thousands(n))
		}
		fmt.Fprintln(t)
	}
	t.Flush()
}
