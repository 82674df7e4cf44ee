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

// multipleChoice is the codec of examples with choices of their own (paper §4.4). A choice is a pair of texts: Input.Text,
// and Input.TextPair followed by the choice. The choice of an example's label is counted from 0.
type multipleChoice struct{}

func (multipleChoice) encode(f *featurizer, in *data.Input, e *tokenizer.Encoding, add func(*tokenizer.Encoding)) error {
	if len(in.Choices) < 2 {
		return fmt.Errorf("%d choices, want at least 2", len(in.Choices))
	}
	if in.IDs != nil {
		return errors.New("both choices and ids")
	}
	repeat, err := f.repeated(in.Text)
	if err != nil {
		return err
	}
	for _, choice := range in.Choices {
		pair := data.Input{Text: in.Text, TextPair: choice, Pair: true}
		if in.TextPair != "" {
			pair.TextPair = in.TextPair + " " + choice
		}
		if err := repeat.encode(e, &pair); err != nil {
			return err
		}
		add(e)
	}
	return nil
}

func (multipleChoice) checkLabel(_ *Spec, x *data.Example) error {
	if x.Label == "" {
		return data.ErrNoLabel
	}
	return nil // the reader has counted the choices
}

func (multipleChoice) target(_ *Spec, x *data.Example, s []sequence, t *targets) error {
	if x.Label == "" {
		return data.ErrNoLabel
	}
	right, err := strconv.Atoi(x.Label)
	if err != nil || right < 0 || right >= len(s) {
		return fmt.Errorf("label %s is not one of the choices 0 to %d", message.Quote(x.Label), len(s)-1)
	}
	t.classes = append(t.classes, int32(right))
	return nil
}

func (multipleChoice) empty(*Spec) Report { return new(ChoiceReport) }

func (multipleChoice) measure(d *Dataset, logits [][]float32) (Report, float64, error) {
	var (
		n     = d.Examples()
		truth = make([]int, n)
		r     = &ChoiceReport{Predictions: make([]int, n)}
		loss  = 0.0
	)
	for i := range n {
		log, best := logSoftmax(slices.Concat(d.logits(logits, i)...))
		truth[i], r.Predictions[i] = int(d.targets.classes[i]), best
		loss -= log[truth[i]]
	}
	var err error
	r.Accuracy, err = metric.Accuracy(truth, r.Predictions)
	return r, loss / float64(n), err
}

func (multipleChoice) outcome(d *Dataset, i int, logits [][]float32, o *Outcome) {
	log, _ := logSoftmax(slices.Concat(logits...))
	o.class(int(d.targets.classes[i]), log)
}

// aims is the choice that was made. The logits of the others, which are other sequences, are taken as they are.
func (multipleChoice) aims(_ *Spec, q *question, _ []sequence, logits [][]float32) ([]aim, error) {
	choices := q.input.Choices
	chosen := slices.Index(choices, q.label)
	all := make([]float32, len(logits))
	for i, l := range logits {
		all[i] = l[0]
	}
	switch {
	case q.label != "" && chosen < 0:
		return nil, fmt.Errorf("%s is not one of the choices", message.Quote(q.label))
	case chosen < 0:
		_, chosen = logSoftmax(all)
	}
	of, rival, err := ofSoftmax(q.quantity, chosen, upTo(len(all)), all)
	if err != nil {
		return nil, err
	}
	t := Target{Quantity: q.quantity, Label: choices[chosen], Choice: &chosen}
	if rival >= 0 {
		t.Rival = choices[rival]
	}
	return []aim{{t, chosen, []int{0}, func(logits, d []float32) float64 {
		now := slices.Clone(all)
		now[chosen] = logits[0]
		if d == nil {
			return of(now, nil)
		}
		gradient := make([]float32, len(now))
		v := of(now, gradient)
		d[0] += gradient[chosen]
		return v
	}}}, nil
}

func (multipleChoice) fold(_ *Spec, in *data.Input) fold { return &choiceFold{choices: in.Choices} }

// choiceFold is the logits of choices, of which each sequence has one.
type choiceFold struct {
	choices []string
	logits  []float32
}

func (f *choiceFold) add(_ *sequence, logits []float32) { f.logits = append(f.logits, logits...) }

func (f *choiceFold) answer() Prediction {
	log, best := logSoftmax(f.logits)
	return Prediction{
		Label: f.choices[best], Choice: &best, Logits: f.logits,
		Probabilities:    newScores(f.choices, func(i int) float64 { return math.Exp(log[i]) }),
		LogProbabilities: newScores(f.choices, func(i int) float64 { return log[i] }),
	}
}

// ChoiceReport is what an evaluation finds of multiple choice.
type ChoiceReport struct {
	Accuracy    float64
	Predictions []int // the choice of each example, from 0
}

// Metrics are the report's metrics by the names of eval_results.json.
func (r *ChoiceReport) Metrics() metric.Metrics { return slices.Concat(r.figures()) }

func (r *ChoiceReport) figures() (first, further metric.Metrics) {
	return metric.Metrics{{Name: "eval_accuracy", Value: r.Accuracy}}, nil
}

func (r *ChoiceReport) details() []entry { return nil }

func (r *ChoiceReport) writeText(*strings.Builder) {}
