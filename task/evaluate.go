package task

import (
	"context"
	"errors"

	"github.com/go-bert/bert"
)

// EvaluateOptions say how Evaluate runs. The zero value is good.
type EvaluateOptions struct {
	Tokens     int // the most tokens of a batch; 0: 4,096
	GlobalStep int // the training step of the model, for the report
	Skipped    int // bad records that were left out of the data, for the report
	// Outcomes keeps what the model says of each example, as Result.Outcomes.
	Outcomes bool
	// Progress, if not nil, is called after each batch with the number of sequences (examples, windows or choices of them) done and of all.
	// With Share it counts those of this process.
	Progress func(done, all int)
	// Share, if not nil, is who shares the work: each process computes the logits of some of the sequences, and all find the same Result,
	// that of one process, to the bit. All of them evaluate the same model on the same data.
	Share Share
}

// Evaluate measures a model on labelled data. The result doesn't depend on how the examples are put into batches. When ctx
// ends, Evaluate ends after the batch it is at with the cause.
func Evaluate(ctx context.Context, m *bert.Model, d *Dataset, o EvaluateOptions) (*Result, error) {
	if !d.Labelled() {
		return nil, errors.New("the data has no labels to evaluate against")
	}
	c := m.Config()
	if err := d.spec.checkModel(m.Head(), &c); err != nil {
		return nil, err
	}
	logits, err := sharedLogits(ctx, only(m.NewSession()), eachSequence{d}, m.Head(), o.Tokens, o.Progress, o.Share)
	if err != nil {
		return nil, err
	}
	r := &Result{
		Kind: d.spec.Kind, Official: d.spec.official(),
		Examples: d.Examples(), Windows: d.stats.Windows, Truncated: d.stats.Truncated, Skipped: o.Skipped, GlobalStep: o.GlobalStep,
	}
	r.Precision, _ = m.Precision()
	r.Report, r.Loss, err = d.kind().codec.measure(d, logits)
	if err != nil {
		return nil, err
	}
	if o.Outcomes {
		r.Outcomes = d.outcomes(logits)
		r.Outcomes.GlobalStep, r.Outcomes.Loss = r.GlobalStep, r.Loss
	}
	return r, nil
}
