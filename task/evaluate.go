package task

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/metric"
)

// EvaluateOptions say how Evaluate runs. The zero value is good.
type EvaluateOptions struct {
	Tokens     int // the most tokens of a batch; 0: 4,096
	GlobalStep int // the training step of the model, for the report
	// Progress, if not nil, is called after each batch with the number of examples done and of all.
	Progress func(done, all int)
}

// Evaluate measures a classifier on labelled data. The result doesn't depend on how the examples are put into batches.
// When ctx ends, Evaluate ends after the batch it is at with the cause.
func Evaluate(ctx context.Context, m *bert.Model, d *Dataset, o EvaluateOptions) (*Result, error) {
	if !d.Labelled() {
		return nil, errors.New("the data has no labels to evaluate against")
	}
	c := m.Config()
	if err := checkClassifier(m.Head(), &c); err != nil {
		return nil, err
	}
	if err := d.description.checkModel(&c); err != nil {
		return nil, err
	}
	logits, err := classLogits(ctx, only(m.NewSession()), d, len(c.Labels), o.Tokens, o.Progress)
	if err != nil {
		return nil, err
	}
	r, err := newResult(d.labels, logits, c.Labels, d.description.Positive)
	if err != nil {
		return nil, err
	}
	r.GlobalStep = o.GlobalStep
	r.Precision, _ = m.Precision()
	r.Truncated = d.stats.Truncated
	return r, nil
}

// checkClassifier reports whether a model gives one class of several.
func checkClassifier(head bert.Head, c *bert.Config) error {
	if head != bert.SequenceClassification {
		return fmt.Errorf("a %v is no classifier of texts: fine-tune it first", head)
	}
	switch {
	case c.ProblemType == bert.MultiLabelClassification, c.ProblemType == bert.RegressionProblem, len(c.Labels) < 2:
		problem := c.ProblemType
		if problem == "" {
			problem = bert.RegressionProblem
		}
		return fmt.Errorf("the model's problem_type is %s, only %s is supported", problem, bert.SingleLabelClassification)
	}
	return nil
}

// classLogits returns the logits [N,C] of all features.
func classLogits(ctx context.Context, with withSession, f features, classes, tokens int, progress func(done, all int)) ([]float32, error) {
	if tokens <= 0 {
		tokens = defaultTokens
	}
	logits := make([]float32, f.Len()*classes)
	done := 0
	err := forward(ctx, with, f, tokens, bert.Outputs{}, func(indices []int, _ *bert.Batch, out *bert.Output) error {
		for i, at := range indices {
			row := out.Logits[i*classes : (i+1)*classes]
			for _, x := range row {
				if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
					return fmt.Errorf("the model's logits of number %d are %v: its weights are broken", at, row)
				}
			}
			copy(logits[at*classes:], row)
		}
		done += len(indices)
		if progress != nil {
			progress(done, f.Len())
		}
		return nil
	})
	return logits, err
}

// logSoftmax returns the logarithms of the classes' probabilities and the class that has the largest, the first of equal
// ones.
func logSoftmax(logits []float32) (logProbabilities []float64, best int) {
	for i, x := range logits {
		if x > logits[best] {
			best = i
		}
	}
	top := float64(logits[best])
	sum := 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x) - top)
	}
	logProbabilities = make([]float64, len(logits))
	for i, x := range logits {
		logProbabilities[i] = float64(x) - top - math.Log(sum)
	}
	return logProbabilities, best
}

// newResult computes what there is to report of the logits [N,C] of examples with these labels [N].
func newResult(labels []int32, logits []float32, names []string, positive string) (*Result, error) {
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
		log, best := logSoftmax(logits[i*classes : (i+1)*classes])
		truth[i], predictions[i] = int(label), best
		scores[i] = math.Exp(log[p])
		loss -= log[label]
	}
	r := &Result{Labels: names, Examples: n, Loss: loss / float64(n), Predictions: predictions}
	var err error
	if r.Confusion, err = metric.Confusion(truth, predictions, classes); err != nil {
		return nil, err
	}
	r.Report = r.Confusion.Report()
	if classes != 2 {
		return r, nil
	}
	b := &BinaryResult{Positive: names[p], BinaryCounts: r.Confusion.Binary(p)}
	if b.AUC, err = metric.AUC(truth, scores, p); err != nil && !errors.Is(err, metric.ErrUndefined) {
		return nil, err
	} else if err != nil {
		b.AUC = math.NaN()
	}
	if b.AUCHard, err = b.HardAUC(); err != nil {
		b.AUCHard = math.NaN()
	}
	r.Binary = b
	return r, nil
}
