package task

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/tokenizer"
)

// multiLabel is the codec of texts that have any number of labels: each is a question of its own, answered yes where the
// probability, the logistic function of its logit, is above a half.
type multiLabel struct{}

func (multiLabel) encode(f *featurizer, in *data.Input, e *tokenizer.Encoding, add func(*tokenizer.Encoding)) error {
	return f.encodeLong(in, e, add)
}

func (multiLabel) checkLabel(d *Spec, x *data.Example) error {
	if x.Labels == nil {
		return data.ErrNoLabel
	}
	for _, label := range x.Labels {
		if _, err := data.LabelID(label, d.Labels); err != nil {
			return err
		}
	}
	return nil
}

func (multiLabel) target(d *Spec, x *data.Example, _ []sequence, t *targets) error {
	if x.Labels == nil {
		return data.ErrNoLabel
	}
	at := len(t.values)
	t.values = append(t.values, make([]float32, len(d.Labels))...)
	for _, label := range x.Labels {
		id, err := data.LabelID(label, d.Labels)
		if err != nil {
			return err
		}
		if t.values[at+id] != 0 {
			return fmt.Errorf("label %s twice", message.Quote(label))
		}
		t.values[at+id] = 1
	}
	return nil
}

// sigmoids returns the probabilities of the labels, those of several windows being the mean of theirs.
func sigmoids(windows [][]float32) []float64 {
	p := make([]float64, len(windows[0]))
	for _, logits := range windows {
		for i, x := range logits {
			p[i] += 1 / (1 + math.Exp(-float64(x))) / float64(len(windows))
		}
	}
	return p
}

func (multiLabel) empty(d *Spec) Report {
	return &MultiLabelReport{Labels: d.Labels, Scores: metric.MultiLabelReport{Classes: make([]metric.Score, len(d.Labels))}}
}

func (multiLabel) measure(d *Dataset, logits [][]float32) (Report, float64, error) {
	var (
		n, c  = d.Examples(), len(d.spec.Labels)
		truth = make([]bool, n*c)
		said  = make([]bool, n*c)
		score = make([]float64, n*c)
		loss  = 0.0
	)
	for i := range n {
		p := sigmoids(d.logits(logits, i))
		for j := range c {
			at := i*c + j
			truth[at], said[at], score[at] = d.targets.values[at] == 1, p[j] > 0.5, p[j]
			loss += crossEntropy(truth[at], p[j])
		}
	}
	scores, err := metric.MultiLabel(truth, said, c)
	if err != nil {
		return nil, 0, err
	}
	r := &MultiLabelReport{Labels: d.spec.Labels, Scores: scores, Predictions: make([][]int, n), AUC: make([]float64, c)}
	for i := range n {
		for j, yes := range said[i*c : (i+1)*c] {
			if yes {
				r.Predictions[i] = append(r.Predictions[i], j)
			}
		}
	}
	for j := range c {
		labels, column := make([]int, n), make([]float64, n)
		for i := range n {
			column[i] = score[i*c+j]
			if truth[i*c+j] {
				labels[i] = 1
			}
		}
		if r.AUC[j], err = metric.AUC(labels, column, 1); err != nil {
			if !errors.Is(err, metric.ErrUndefined) {
				return nil, 0, err
			}
			r.AUC[j] = math.NaN()
		}
	}
	return r, loss / float64(n*c), nil
}

// crossEntropy is that of a label's probability.
func crossEntropy(truth bool, p float64) float64 {
	if !truth {
		p = 1 - p
	}
	return -math.Log(max(p, math.SmallestNonzeroFloat64))
}

func (multiLabel) outcome(d *Dataset, i int, logits [][]float32, o *Outcome) {
	p := sigmoids(logits)
	o.Labels, o.Probabilities = []int{}, float32s(p)
	for j := range p {
		truth := d.targets.values[i*len(p)+j] == 1
		if truth {
			o.Labels = append(o.Labels, j)
		}
		o.Loss += crossEntropy(truth, p[j]) / float64(len(p))
	}
}

// aims are the labels of the answer or, where it has none, the most probable one.
func (multiLabel) aims(d *Spec, q *question, _ []sequence, logits [][]float32) ([]aim, error) {
	class, err := q.labelOf(d.Labels)
	switch {
	case err != nil:
		return nil, err
	case q.quantity == Margin:
		return nil, fmt.Errorf("a margin needs labels that exclude each other: want %v or %v", Logit, Probability)
	}
	classes := []int{class}
	if class < 0 {
		classes = nil
		probabilities := sigmoids(logits)
		best := 0
		for i, p := range probabilities {
			if p > 0.5 {
				classes = append(classes, i)
			}
			if p > probabilities[best] {
				best = i
			}
		}
		if classes == nil {
			classes = []int{best}
		}
	}
	var out []aim
	for _, c := range classes {
		at := linear(map[int]float32{c: 1})
		if q.quantity == Probability {
			at = func(logits, d []float32) float64 {
				p := 1 / (1 + math.Exp(-float64(logits[c])))
				if d != nil {
					d[c] += float32(p * (1 - p))
				}
				return p
			}
		}
		out = append(out, aim{Target{Quantity: q.quantity, Label: d.Labels[c]}, strongest(logits, c), []int{0}, at})
	}
	return out, nil
}

func (multiLabel) fold(d *Spec, _ *data.Input) fold {
	return &gathered{finish: func(logits [][]float32) Prediction {
		probabilities := sigmoids(logits)
		p := Prediction{
			Labels:           []string{},
			Probabilities:    newScores(d.Labels, func(i int) float64 { return probabilities[i] }),
			LogProbabilities: newScores(d.Labels, func(i int) float64 { return math.Log(probabilities[i]) }),
			Logits:           meanLogits(logits),
		}
		for i, label := range d.Labels {
			if probabilities[i] > 0.5 {
				p.Labels = append(p.Labels, label)
			}
		}
		return p
	}}
}

// MultiLabelReport is what an evaluation finds of a task that gives each example any number of labels.
//
// Legend: N examples, C labels.
type MultiLabelReport struct {
	Labels []string // [C]
	Scores metric.MultiLabelReport
	// AUC is the area under the ROC curve of each label's probability, NaN where all examples have it or none, [C].
	AUC []float64

	Predictions [][]int // the ids of the labels with a probability above a half, in the order of the examples, [N]
}

// Metrics are the report's metrics by the names of eval_results.json.
func (r *MultiLabelReport) Metrics() metric.Metrics { return slices.Concat(r.figures()) }

func (r *MultiLabelReport) figures() (first, further metric.Metrics) {
	s := &r.Scores
	return metric.Metrics{
		{Name: "micro_f1", Value: s.Micro.F1}, {Name: "micro_precision", Value: s.Micro.Precision}, {Name: "micro_recall", Value: s.Micro.Recall},
		{Name: "macro_f1", Value: s.Macro.F1}, {Name: "macro_precision", Value: s.Macro.Precision}, {Name: "macro_recall", Value: s.Macro.Recall},
		{Name: "eval_accuracy", Value: s.SubsetAccuracy}, {Name: "macro_auc", Value: meanOf(r.AUC)},
	}, nil
}

// meanOf is the mean of what there is.
func meanOf(values []float64) float64 {
	sum, n := 0.0, 0
	for _, v := range values {
		if !math.IsNaN(v) {
			sum += v
			n++
		}
	}
	return sum / float64(n)
}

func (r *MultiLabelReport) details() []entry {
	auc := make([]any, len(r.AUC))
	for i, v := range r.AUC {
		auc[i] = jsonobject.Number(v)
	}
	return []entry{
		{"classes", scoresJSON(r.Labels, r.Scores.Classes)},
		{"micro_average", newScoreJSON("", r.Scores.Micro)},
		{"macro_average", newScoreJSON("", r.Scores.Macro)},
		{"labels", r.Labels},
		{"auc_by_label", auc},
	}
}

func (r *MultiLabelReport) writeText(w *strings.Builder) {
	fmt.Fprintf(w, "all labels right in %.2f %% of the examples\n", 100*r.Scores.SubsetAccuracy)
	writeScores(w, r.Labels, r.Scores.Classes, []average{{"micro average", r.Scores.Micro}, {"macro average", r.Scores.Macro}})
}
