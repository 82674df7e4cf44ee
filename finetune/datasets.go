package finetune

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
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

// sharedData is data that is read, or will be. Its fields but sets are guarded by Datasets.mu.
type sharedData struct {
	turn     chan struct{} // holds a token while nobody reads the data
	sets     *sets         // nil: not read yet; guarded by turn
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
func (d *Datasets) get(ctx context.Context, key string, make func() (*sets, error)) (_ *sets, release func(), err error) {
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
	if e.sets == nil {
		if e.sets, err = make(); err != nil {
			e.sets = nil
			return nil, nil, err
		}
		d.mu.Lock()
		d.made++
		d.mu.Unlock()
	}
	return e.sets, sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if e.expected--; e.counted && e.expected <= 0 {
			delete(d.entries, key)
		}
	}), nil
}

// sets is what a run trains and evaluates on. It does not change once it is made.
type sets struct {
	spec        task.Spec
	train, eval *task.Dataset // eval is nil without data to evaluate on
	skipped     []Skipped
	evalSkipped int // records of the data to evaluate on
	alike       []data.Alike
	// trainDigest and evalDigest hash the features, labels and weights.
	trainDigest, evalDigest string
	stdin                   io.Reader
	unlabelled              bool // the data to train on is read without labels
}

// Skipped are records of a file that were left out: bad ones because of Data.SkipBad, or because the task's own readers leave
// them out, and comments.
type Skipped struct {
	Path     string
	Count    int   // of bad records
	First    error // what was wrong with the first; nil: there is none
	Comments int   // lines
}

// read reads the data of a recipe and makes the features.
func (r *Recipe) read(ctx context.Context, t *task.Task, c *bert.Config, tok *tokenizer.Tokenizer, stdin io.Reader, unlabelled bool) (*sets, error) {
	length, err := r.sequenceLength(t, c)
	if err != nil {
		return nil, err
	}
	d := &sets{stdin: stdin, unlabelled: unlabelled}
	training, held, err := r.examples(ctx, t, d)
	if err != nil {
		return nil, err
	}
	labels, err := r.labels(t, training, c, d)
	if err != nil {
		return nil, err
	}
	d.spec = t.Spec(labels, length)
	d.spec.Columns, d.spec.DocStride = r.columns(), r.DocStride
	d.spec.Long, d.spec.Truncation = r.Long, r.Truncation
	if r.NullThreshold != nil {
		d.spec.NullThreshold = *r.NullThreshold
	}
	if training, err = d.check(r, r.Path, training); err != nil {
		return nil, err
	}
	if held != nil {
		before := len(held)
		if held, err = d.check(r, cmp.Or(r.EvalPath, r.Path), held); err != nil {
			return nil, err
		}
		d.evalSkipped += before - len(held)
	}
	if err := d.tokenize(ctx, tok, r, training, held); err != nil {
		return nil, err
	}
	return d, ctx.Err()
}

// check leaves out examples whose label the model will not have, or reports the first.
func (d *sets) check(r *Recipe, path string, examples []data.Example) ([]data.Example, error) {
	set := &data.Set{Examples: examples}
	if err := d.spec.CheckLabels(set, r.SkipBad); err != nil {
		return nil, err
	}
	d.skip(path, set)
	return set.Examples, nil
}

// skip takes note of what was left out of a file.
func (d *sets) skip(path string, set *data.Set) {
	if set.Skipped > 0 || set.Comments > 0 {
		d.skipped = append(d.skipped, Skipped{path, set.Skipped, set.FirstSkipped, set.Comments})
	}
}

// examples reads the examples to train on and those to evaluate on, nil where there are none.
func (r *Recipe) examples(ctx context.Context, t *task.Task, d *sets) (training, held []data.Example, err error) {
	seed := *r.Training.WithDefaults().Seed
	if training, err = r.part(ctx, t, r.Path, data.Train, d, d.unlabelled); err != nil {
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
		training, held = data.SplitValidation(training, n, seed)
	case r.EvalPath != "":
		held, err = r.evaluated(ctx, t, r.EvalPath, d)
	case t.OnePart(r.Path):
	case t.EvalSplit != "":
		held, err = r.evaluated(ctx, t, r.Path, d)
	}
	if r.MaxEvalExamples > 0 && held != nil {
		held = data.Draw(held, r.MaxEvalExamples, seed)
	}
	if r.MaxTrainExamples > 0 {
		training = data.Draw(training, r.MaxTrainExamples, seed)
	}
	return training, held, err
}

// evaluated reads the part of the data to evaluate on.
func (r *Recipe) evaluated(ctx context.Context, t *task.Task, path string, d *sets) ([]data.Example, error) {
	before := len(d.skipped)
	held, err := r.part(ctx, t, path, t.EvalSplit, d, false)
	for _, s := range d.skipped[before:] {
		d.evalSkipped += s.Count
	}
	return held, err
}

// part reads a part of the data.
func (r *Recipe) part(ctx context.Context, t *task.Task, path string, split data.Split, d *sets, unlabelled bool) ([]data.Example, error) {
	read, err := t.Read(ctx, path, data.ReadOptions{
		Split: split, TableOptions: data.TableOptions{Format: r.Format, Columns: r.columns(), Encoding: r.Encoding, Stdin: d.stdin, SkipBad: r.SkipBad, Unlabelled: unlabelled},
	})
	if err != nil {
		return nil, err
	}
	d.skip(path, read)
	return read.Examples, nil
}

// labels gives the labels in the order of their ids: the task's, the recipe's, or those in the data; these in the order of the
// model, if it was made for the same ones.
func (r *Recipe) labels(t *task.Task, training []data.Example, c *bert.Config, d *sets) ([]string, error) {
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
		return r.Labels, nil
	}
	labels, err := data.LabelsOf(training)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Path, err)
	}
	mine, models := slices.Sorted(slices.Values(labels)), slices.Sorted(slices.Values(c.Labels))
	if slices.Equal(mine, models) {
		return c.Labels, nil
	}
	d.alike = data.AlikeLabels(labels, nil)
	for _, a := range data.AlikeLabels(labels, c.Labels) {
		if !slices.Contains(labels, a.Labels[1]) { // or the data alone shows it
			d.alike = append(d.alike, a)
		}
	}
	return labels, nil
}

// tokenize makes the features.
func (d *sets) tokenize(ctx context.Context, tok *tokenizer.Tokenizer, r *Recipe, training, held []data.Example) (err error) {
	if d.train, err = task.NewDataset(ctx, tok, d.spec, training); err != nil {
		return err
	}
	weights, err := classWeights(d.train, r.ClassWeights)
	if err == nil {
		err = d.train.SetClassWeights(weights)
	}
	if err != nil {
		return &recipe.Error{Key: "class_weights", Err: err}
	}
	if d.trainDigest, err = digestOf(d.train); err != nil || held == nil {
		return err
	}
	if d.eval, err = task.NewDataset(ctx, tok, d.spec, held); err != nil {
		return err
	}
	d.evalDigest, err = digestOf(d.eval)
	return err
}

// classWeights reads a choice of class weights: none, balanced, or a number for each label, between commas.
func classWeights(d *task.Dataset, choice string) ([]float32, error) {
	switch choice {
	case "", "none":
		return nil, nil
	case "balanced":
		return d.BalancedClassWeights()
	}
	labels := d.Spec().Labels
	fields := strings.Split(choice, ",")
	if len(labels) > 0 && len(fields) != len(labels) {
		return nil, fmt.Errorf("class weights %q: want none, balanced or %d numbers, for %s", choice, len(labels), strings.Join(labels, ", "))
	}
	weights := make([]float32, len(fields))
	for i, field := range fields {
		w, err := strconv.ParseFloat(strings.TrimSpace(field), 32)
		if err != nil {
			return nil, fmt.Errorf("class weights %q: %q is no positive number", choice, field)
		}
		weights[i] = float32(w)
	}
	return weights, nil
}
