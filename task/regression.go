package task

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/tokenizer"
)

// regressionLabel is the name of a regression's number in config.json, which names every output of a head.
const regressionLabel = "value"

// regression is the codec of texts that have a number, like the similarity of two sentences (GLUE's STS-B).
type regression struct{}

func (regression) encode(f *featurizer, in *data.Input, e *tokenizer.Encoding, add func(*tokenizer.Encoding)) error {
	return f.encodeLong(in, e, add)
}

// numberOf is an example's label.
func numberOf(x *data.Example) (float32, error) {
	if x.Label == "" {
		return 0, data.ErrNoLabel
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(x.Label), 32)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("label %s is no number", message.Quote(x.Label))
	}
	return float32(v), nil
}

func (regression) checkLabel(_ *Spec, x *data.Example) error {
	_, err := numberOf(x)
	return err
}

func (regression) target(_ *Spec, x *data.Example, _ []sequence, t *targets) error {
	v, err := numberOf(x)
	if err != nil {
		return err
	}
	t.values = append(t.values, v)
	return nil
}

func (regression) empty(*Spec) Report { return new(RegressionReport) }

func (regression) measure(d *Dataset, logits [][]float32) (Report, float64, error) {
	n := d.Examples()
	r := &RegressionReport{Labels: make([]float64, n), Predictions: make([]float64, n)}
	for i := range n {
		r.Labels[i], r.Predictions[i] = float64(d.targets.values[i]), d.spec.value(meanLogits(d.logits(logits, i))[0])
		off := r.Predictions[i] - r.Labels[i]
		r.MeanSquaredError += off * off / float64(n)
		r.MeanAbsoluteError += math.Abs(off) / float64(n)
	}
	var err error
	if r.Pearson, err = orNaN(metric.Pearson(r.Labels, r.Predictions)); err != nil {
		return nil, 0, err
	}
	if r.Spearman, err = orNaN(metric.Spearman(r.Labels, r.Predictions)); err != nil {
		return nil, 0, err
	}
	return r, r.MeanSquaredError, nil
}

// value is the answer of a regression by its logit.
func (d *Spec) value(logit float32) float64 { return float64(float32(d.Activation.Of(float64(logit)))) }

// orNaN is NaN for a metric that doesn't exist.
func orNaN(v float64, err error) (float64, error) {
	if errors.Is(err, metric.ErrUndefined) {
		return math.NaN(), nil
	}
	return v, err
}

func (regression) outcome(d *Dataset, i int, logits [][]float32, o *Outcome) {
	target, value := float64(d.targets.values[i]), d.spec.value(meanLogits(logits)[0])
	o.Target, o.Value, o.Loss = &target, &value, (value-target)*(value-target)
}

func (regression) aims(d *Spec, q *question, _ []sequence, logits [][]float32) ([]aim, error) {
	if q.quantity != Logit {
		return nil, fmt.Errorf("a %v of a number: want %v", q.quantity, Logit)
	}
	value, err := q.labelOf(d.Labels)
	if err != nil {
		return nil, err
	}
	value = max(value, 0)
	return []aim{{Target{Label: d.Labels[value]}, strongest(logits, value), []int{0}, linear(map[int]float32{value: 1})}}, nil
}

func (regression) fold(d *Spec, _ *data.Input) fold {
	return &gathered{finish: func(logits [][]float32) Prediction {
		mean := meanLogits(logits)
		if len(mean) > 1 && len(d.Labels) == len(mean) {
			return Prediction{Values: newScores(d.Labels, func(i int) float64 { return float64(mean[i]) }), Logits: mean}
		}
		value := d.value(mean[0])
		return Prediction{Value: &value, Logits: mean}
	}}
}

// RegressionReport is what an evaluation finds of a task that gives each example a number.
//
// Legend: N examples.
type RegressionReport struct {
	// Pearson and Spearman are the coefficients of correlation of labels and predictions, and of their ranks; NaN where all
	// labels or all predictions are the same.
	Pearson, Spearman                   float64
	MeanSquaredError, MeanAbsoluteError float64

	Labels, Predictions []float64 // in the order of the examples, [N]
}

// Metrics are the report's metrics by the names of eval_results.json.
func (r *RegressionReport) Metrics() metric.Metrics { return slices.Concat(r.figures()) }

func (r *RegressionReport) figures() (first, further metric.Metrics) {
	return metric.Metrics{
		{Name: "pearson", Value: r.Pearson}, {Name: "spearman", Value: r.Spearman},
		{Name: "mean_squared_error", Value: r.MeanSquaredError}, {Name: "mean_absolute_error", Value: r.MeanAbsoluteError},
	}, nil
}

func (r *RegressionReport) details() []entry { return nil }

func (r *RegressionReport) writeText(w *strings.Builder) {
	if len(r.Labels) == 0 {
		return
	}
	fmt.Fprintf(w, "mean squared error %.4f, mean absolute error %.4f; labels from %.4g to %.4g, predictions from %.4g to %.4g\n",
		r.MeanSquaredError, r.MeanAbsoluteError,
		slices.Min(r.Labels), slices.Max(r.Labels), slices.Min(r.Predictions), slices.Max(r.Predictions))
}
