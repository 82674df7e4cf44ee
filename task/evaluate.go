package task

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert"
)

// EvaluateOptions say how Evaluate runs. The zero value is good.
type EvaluateOptions struct {
	Tokens     int // the most tokens of a batch; 0: 4,096
	GlobalStep int // the training step of the model, for the report
	// Progress, if not nil, is called after each batch with the number of examples (or windows of them) done and of all.
	Progress func(done, all int)
}

// Evaluate measures a model on labelled data. The result doesn't depend on how the examples are put into batches. When ctx
// ends, Evaluate ends after the batch it is at with the cause.
func Evaluate(ctx context.Context, m *bert.Model, d *Dataset, o EvaluateOptions) (*Result, error) {
	if !d.Labelled() {
		return nil, errors.New("the data has no labels to evaluate against")
	}
	c := m.Config()
	if err := d.description.checkModel(m.Head(), &c); err != nil {
		return nil, err
	}
	logits, err := allLogits(ctx, only(m.NewSession()), d, m.Head(), o.Tokens, o.Progress)
	if err != nil {
		return nil, err
	}
	r := &Result{
		Kind: d.description.Kind, Official: d.description.official(),
		Examples: d.Examples(), Windows: d.stats.Windows, Truncated: d.stats.Truncated, GlobalStep: o.GlobalStep,
	}
	r.Report, r.Loss, err = d.kind().codec.measure(d, logits)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// items is features of which each is one sequence or several that belong together, like the choices of an example.
type items interface {
	features
	Sequences(i int) int
}

// allLogits returns the logits of all items: [C] of a sequence, [n,C] where each of its n tokens has logits, or one for
// each of several sequences.
func allLogits(ctx context.Context, with withSession, f items, head bert.Head, tokens int, progress func(done, all int)) ([][]float32, error) {
	if tokens <= 0 {
		tokens = defaultTokens
	}
	byToken := head == bert.TokenClassification || head == bert.QuestionAnswering
	logits := make([][]float32, f.Len())
	done := 0
	err := forward(ctx, with, f, tokens, bert.Outputs{}, func(indices []int, b *bert.Batch, out *bert.Output) error {
		values := slices.Clone(out.Logits)
		width := len(values) / b.Len()
		if byToken {
			width = len(values) / b.Tokens()
		}
		sequence := 0
		for _, at := range indices {
			from, to := sequence, sequence+f.Sequences(at)
			sequence = to
			if byToken {
				from, to = b.Starts[from], b.Starts[to]
			}
			row := values[from*width : to*width : to*width]
			for _, x := range row {
				if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
					return fmt.Errorf("the model's logits of number %d are %v: its weights are broken", at, row[:min(len(row), 8)])
				}
			}
			logits[at] = row
		}
		done += len(indices)
		if progress != nil {
			progress(done, f.Len())
		}
		return nil
	})
	return logits, err
}
