package finetune

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// Datasets shares data sets between jobs: recipes with the same data and features are read and tokenized once. It may be used
// from many goroutines. The zero value is ready for use.
//
// What a job needed stays for the next one. A caller that knows which jobs will come says so with Expect, so that data sets
// are dropped when the last of those jobs has been closed.
type Datasets struct {
	mu      sync.Mutex
	entries map[string]*sharedData
	made    int
}

// sharedData is data that is read, or will be. Its fields but data are guarded by Datasets.mu.
type sharedData struct {
	turn     chan struct{} // holds a token while nobody reads the data
	data     *data         // nil: not read yet; guarded by turn
	expected int           // jobs to come, or not closed yet
	counted  bool          // that Expect was called
}

// Expect says that a job of a recipe will be prepared and closed.
func (d *Datasets) Expect(r Recipe) error {
	key, err := r.dataKey()
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entry(key)
	e.expected++
	e.counted = true
	return nil
}

// Made is the number of times that data was read and tokenized.
func (d *Datasets) Made() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.made
}

func (d *Datasets) entry(key string) *sharedData {
	if d.entries == nil {
		d.entries = make(map[string]*sharedData)
	}
	e := d.entries[key]
	if e == nil {
		e = &sharedData{turn: make(chan struct{}, 1)}
		e.turn <- struct{}{}
		d.entries[key] = e
	}
	return e
}

// get gives the data of a key, which make makes unless it is there. release is for when the data is needed no more.
func (d *Datasets) get(ctx context.Context, key string, make func() (*data, error)) (_ *data, release func(), err error) {
	if d == nil {
		made, err := make()
		return made, func() {}, err
	}
	d.mu.Lock()
	e := d.entry(key)
	d.mu.Unlock()
	select {
	case <-e.turn:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	defer func() { e.turn <- struct{}{} }()
	if e.data == nil {
		if e.data, err = make(); err != nil {
			e.data = nil
			return nil, nil, err
		}
		d.mu.Lock()
		d.made++
		d.mu.Unlock()
	}
	return e.data, sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if e.expected--; e.counted && e.expected <= 0 {
			delete(d.entries, key)
		}
	}), nil
}

// data is what a run trains and evaluates on. It does not change once it is made.
type data struct {
	description task.Description
	train, eval *task.Dataset // eval is nil without data to evaluate on
	skipped     []Skipped
	// trainDigest and evalDigest hash the features, labels and weights.
	trainDigest, evalDigest string
}

// Skipped are bad records that were left out because of Data.SkipBad.
type Skipped struct {
	Path  string
	Count int
	First error // what was wrong with the first
}

// read reads the data of a recipe and makes the features.
func (r *Recipe) read(ctx context.Context, t *task.Task, c *bert.Config, tok *tokenizer.Tokenizer) (*data, error) {
	length, err := r.sequenceLength(t, c)
	if err != nil {
		return nil, err
	}
	d := new(data)
	training, held, err := r.examples(ctx, t, d)
	if err != nil {
		return nil, err
	}
	labels, err := r.labels(t, training, c)
	if err != nil {
		return nil, err
	}
	d.description = t.Describe(labels, length)
	d.description.Columns, d.description.DocStride = r.columns(), r.DocStride
	d.description.Long, d.description.Truncation = r.Long, r.Truncation
	if r.NullThreshold != nil {
		d.description.NullThreshold = *r.NullThreshold
	}
	if err := d.tokenize(tok, r, training, held); err != nil {
		return nil, err
	}
	return d, ctx.Err()
}

// examples reads the examples to train on and those to evaluate on, nil where there are none.
func (r *Recipe) examples(ctx context.Context, t *task.Task, d *data) (training, held []task.Example, err error) {
	seed := *r.Training.WithDefaults().Seed
	if training, err = r.part(ctx, t, r.Path, task.Train, d); err != nil {
		return nil, nil, err
	}
	switch {
	case r.ValidationShare > 0:
		n := int(r.ValidationShare * float64(len(training)))
		if n < 1 {
			return nil, nil, &recipe.Error{
				Key: "validation_share", Value: fmt.Sprint(r.ValidationShare),
				Reason: fmt.Sprintf("which of %d examples is less than one", len(training)), Want: "a larger share",
			}
		}
		training, held = task.SplitValidation(training, n, seed)
	case r.EvalPath != "":
		held, err = r.part(ctx, t, r.EvalPath, t.EvalSplit, d)
	case t.OnePart(r.Path):
	case t.EvalSplit != "":
		held, err = r.part(ctx, t, r.Path, t.EvalSplit, d)
	}
	if r.MaxEvalExamples > 0 && held != nil {
		held = task.Draw(held, r.MaxEvalExamples, seed)
	}
	if r.MaxTrainExamples > 0 {
		training = task.Draw(training, r.MaxTrainExamples, seed)
	}
	return training, held, err
}

// part reads a part of the data.
func (r *Recipe) part(ctx context.Context, t *task.Task, path string, split task.Split, d *data) ([]task.Example, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	read, err := t.Read(path, task.ReadOptions{
		Split: split, TableOptions: task.TableOptions{Format: r.Format, Columns: r.columns(), SkipBad: r.SkipBad},
	})
	if err != nil {
		return nil, err
	}
	if read.Skipped > 0 {
		d.skipped = append(d.skipped, Skipped{path, read.Skipped, read.FirstSkipped})
	}
	return read.Examples, nil
}

// labels gives the labels in the order of their ids: the task's, the recipe's, or those in the data; these in the order of the
// model, if it was made for the same ones.
func (r *Recipe) labels(t *task.Task, training []task.Example, c *bert.Config) ([]string, error) {
	wrong := func(format string, args ...any) error {
		err := recipe.Wrong(r, "labels", "")
		err.Reason = fmt.Sprintf(format, args...)
		return err
	}
	switch {
	case !t.HasLabels() && r.Labels != nil && t.Labels == nil:
		return nil, wrong("is for tasks that have labels; the answers of a %v have none", t.Kind)
	case !t.HasLabels() && t.Labels == nil:
		return nil, nil
	case t.Labels != nil && r.Labels != nil:
		return nil, wrong("is for data without labels of its own; those of task %s are %s", t.Name, strings.Join(t.Labels, ", "))
	case t.Labels != nil:
		return t.Labels, nil
	case r.Labels != nil:
		return r.Labels, task.CheckLabels(training, r.Labels)
	}
	labels, err := task.LabelsOf(training)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Path, err)
	}
	mine, models := slices.Sorted(slices.Values(labels)), slices.Sorted(slices.Values(c.Labels))
	if slices.Equal(mine, models) {
		return c.Labels, nil
	}
	return labels, nil
}

// tokenize makes the features.
func (d *data) tokenize(tok *tokenizer.Tokenizer, r *Recipe, training, held []task.Example) (err error) {
	if d.train, err = task.NewDataset(tok, d.description, training); err != nil {
		return err
	}
	weights, err := d.train.ClassWeights(r.ClassWeights)
	if err == nil {
		err = d.train.SetClassWeights(weights)
	}
	if err != nil {
		return &recipe.Error{Key: "class_weights", Err: err}
	}
	if d.trainDigest, err = digestOf(d.train); err != nil || held == nil {
		return err
	}
	if d.eval, err = task.NewDataset(tok, d.description, held); err != nil {
		return err
	}
	d.evalDigest, err = digestOf(d.eval)
	return err
}
