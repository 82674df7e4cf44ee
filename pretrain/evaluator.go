package pretrain

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/tokenizer"
)

// EvaluatorOptions say how an Evaluator measures. The zero value is good.
type EvaluatorOptions struct {
	// MaxInstances, if not 0, takes that many instances, at equal distances.
	MaxInstances int
	// Threads is the number of threads that compute; 0: as many as there are processors.
	Threads   int
	Precision bert.Precision
	// Dequantize is that of bert.Options.
	Dequantize bool
}

// An Evaluator is a model directory and a set of instances that belong together, to measure the one on the other. It holds the
// model and mapped files until Close.
type Evaluator struct {
	sets   *sets
	model  *bert.Model
	source Source
	step   int
}

// OpenEvaluator opens a model, by any path that bert.Load takes, and a set of instances, by any path that Open takes, and checks
// that they fit. Of a model with next-sentence prediction and instances that are no pairs, it measures the masked language
// model alone. The caller closes the evaluator.
func OpenEvaluator(ctx context.Context, model, instances string, o EvaluatorOptions) (_ *Evaluator, err error) {
	if o.MaxInstances < 0 {
		return nil, fmt.Errorf("the most instances to evaluate on are %d, want 0 or more", o.MaxInstances)
	}
	dir, err := bert.ModelDir(model)
	if err != nil {
		return nil, err
	}
	config, err := bert.LoadConfig(dir)
	if err != nil {
		return nil, err
	}
	e := new(Evaluator)
	if e.sets, err = openSets(ctx, nil, instances, dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if err := e.sets.check(&config); err != nil {
		return nil, err
	}
	head, err := bert.HeadOf(&config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", model, err)
	}
	if head == bert.PreTraining && !e.sets.held.Paired() {
		head = bert.MaskedLM
	}
	if e.model, err = bert.Load(ctx, model, bert.Options{Threads: o.Threads, Precision: o.Precision, Dequantize: o.Dequantize, Head: head}); err != nil {
		return nil, err
	}
	if err := e.model.CheckVocabulary(e.sets.tokenizer.VocabSize()); err != nil {
		return nil, fmt.Errorf("%s: %w", model, err)
	}
	if e.source = e.sets.held; o.MaxInstances > 0 {
		e.source = Spread(e.source, o.MaxInstances)
	}
	e.step, err = GlobalStep(dir)
	return e, err
}

// Notes are what a user should know about the tokenizer of the instances, and about how its vocabulary fits the model.
func (e *Evaluator) Notes() []tokenizer.Note { return e.sets.tokenizer.NotesFor(e.model) }

// Close lets go of the model and the instances.
func (e *Evaluator) Close() error {
	var err error
	if e.model != nil {
		err = e.model.Close()
	}
	err = errors.Join(err, e.sets.close())
	e.model, e.sets = nil, new(sets)
	return err
}

// Model is the model to measure; nil after Close.
func (e *Evaluator) Model() *bert.Model { return e.model }

// Set is the set of instances, of which MaxInstances may take a part; nil after Close.
func (e *Evaluator) Set() *Set { return e.sets.held }

// Evaluate measures the model. progress, if not nil, is called after each batch with the number of instances done and of all.
func (e *Evaluator) Evaluate(ctx context.Context, progress func(done, all int)) (*Evaluation, error) {
	if e.model == nil {
		return nil, fmt.Errorf("the evaluator is %w", bert.ErrClosed)
	}
	return Evaluate(ctx, e.model, e.source, EvaluateOptions{GlobalStep: e.step, Tokenizer: e.sets.tokenizer, Progress: progress})
}
