// Package prune makes smaller models of models by leaving things out: tokens that a corpus does not use, layers, heads of attention and
// neurons of the feed-forward networks that matter least for a task.
//
// [Run] writes a model directory, which bert.Load takes as any other. [Measure] says how much heads and neurons matter. [Evaluate] says what it
// costs to take them out.
package prune

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/convert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// Amount is how many of some things are taken out: a number, or a share of all.
type Amount struct {
	N     int
	Share float64 // in (0, 1); 0: N holds
}

// of is the number of all.
func (a Amount) of(all int) int {
	if a.Share > 0 {
		return int(a.Share*float64(all) + 0.5)
	}
	return a.N
}

// none says that nothing is taken out.
func (a Amount) none() bool { return a == Amount{} }

// Examples are a task's data.
type Examples struct {
	Spec task.Spec // of the model
	// Importance are labelled examples to measure the importance of heads and neurons on, such as some of the training data.
	Importance []data.Example
	// Evaluation, if there are any, are labelled examples to evaluate the model on, before and after.
	Evaluation []data.Example
}

// Options say what is left out. The zero value leaves everything as it is.
type Options struct {
	// Vocabulary says which tokens are kept; nil: all.
	Vocabulary *Vocabulary
	// Layers are those that are kept, in order; nil: all.
	Layers []int
	// Heads are taken out of all layers together, those that matter least; Neurons out of each layer, of which each loses as many. Both are measured
	// on Examples.Importance with the layers that are kept.
	Heads, Neurons Amount
	// Examples are needed for Heads and Neurons, and to evaluate; else they may be nil.
	Examples *Examples

	// MaxShardBytes, GELU, Base, Threads and Loaded are those of convert.Options.
	MaxShardBytes int64
	GELU          bert.GELU
	Base          string
	Threads       int
	Loaded        func(*bert.Model)
	// Progress, if not nil, is called now and then with what is done and how much of how much; all is 0 where that is not known.
	Progress func(stage Stage, done, all int)
}

// Stage is what Run is doing.
type Stage string

const (
	Counting   Stage = "counting the tokens of the texts"
	Measuring  Stage = "measuring importance"
	Evaluating Stage = "evaluating"
	Checking   Stage = "checking the texts with the new vocabulary"
)

// Size is how large a model is.
type Size struct {
	Parameters   int `json:"parameters"`
	Vocabulary   int `json:"vocabulary"`
	Layers       int `json:"layers"`
	Heads        int `json:"heads"` // of all layers
	Intermediate int `json:"intermediate"`
}

// SizeOf is the size of a model.
func SizeOf(m *bert.Model) Size {
	c := m.Config()
	s := Size{Vocabulary: c.VocabSize, Layers: c.NumHiddenLayers, Intermediate: c.IntermediateSize}
	for l := range c.NumHiddenLayers {
		s.Heads += c.Heads(l)
	}
	for _, p := range m.Params() {
		s.Parameters += p.Len()
	}
	return s
}

// Score is how good a model is on the examples of an evaluation, and how fast.
type Score struct {
	Metric string  `json:"metric"` // the task's main one
	Value  float64 `json:"value"`
	Loss   float64 `json:"loss"`
	// Seconds is the time that all examples took.
	Seconds float64 `json:"seconds"`
}

// Result is what Run did.
type Result struct {
	*convert.Result
	Before, After Size
	Vocabulary    *VocabularyResult // nil where the vocabulary stays
	Importances   *Importances      // nil where none were measured
	// PrunedHeads are the heads that were taken out, by the layers that are left and the numbers that they had.
	PrunedHeads map[int][]int
	// ScoreBefore and ScoreAfter are nil where there was nothing to evaluate on.
	ScoreBefore, ScoreAfter *Score
}

// ChangedError says that the tokens of the corpus would not be what they were, although all that it uses are kept. It is a mistake of this package.
type ChangedError struct{ Check CorpusCheck }

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%d of %d lines, line %d first, have other tokens with the new vocabulary, which has all that they use", e.Check.Changed, e.Check.Lines, e.Check.FirstChanged)
}

// Run reads the model in, any path that bert.Load takes, and writes what is kept of it to the folder out, which must be new or empty, with its
// tokenizer, its task and its pipeline. The folder appears whole or not at all. Weights keep their bits; int8 weights become the numbers that
// they mean.
//
// Where the vocabulary gets smaller, the written tokenizer is tried on the corpus. Where it must not make a difference and does, the error is
// a *ChangedError. Other errors are those of bert.Load, of the texts and of the model's task, and a *files.NotEmptyError.
func Run(ctx context.Context, in, out string, o Options) (*Result, error) {
	if (!o.Heads.none() || !o.Neurons.none()) && (o.Examples == nil || len(o.Examples.Importance) == 0) {
		return nil, errors.New("heads and neurons are chosen by labelled examples, and there are none")
	}
	p := pruning{options: &o}
	if o.Vocabulary != nil || o.Examples != nil {
		var err error
		if p.tokens, err = loadTokenizer(in, o.Base); err != nil {
			return nil, err
		}
	}
	r, err := convert.Run(ctx, in, out, convert.Options{
		Format: convert.HuggingFace, MaxShardBytes: o.MaxShardBytes, GELU: o.GELU, Base: o.Base, Threads: o.Threads, Loaded: o.Loaded,
		Change: func(m *bert.Model) (*bert.Model, *tokenizer.Tokenizer, error) { return p.change(ctx, m) },
		Check:  func(dir string) error { return p.check(ctx, dir) },
	})
	if err != nil {
		return nil, err
	}
	p.result.Result = r
	return &p.result, nil
}

// loadTokenizer is the tokenizer of a model.
func loadTokenizer(in, base string) (*tokenizer.Tokenizer, error) {
	return tokenizer.Load(bert.TokenizerDir(sentence.EncoderDir(in), base))
}

// pruning is a Run.
type pruning struct {
	options *Options
	tokens  *tokenizer.Tokenizer // of the model; nil where it isn't needed
	ids     []int32              // that are kept
	result  Result
}

func (p *pruning) progress(stage Stage) func(done, all int) {
	return func(done, all int) {
		if p.options.Progress != nil {
			p.options.Progress(stage, done, all)
		}
	}
}

// change makes the smaller model.
func (p *pruning) change(ctx context.Context, m *bert.Model) (_ *bert.Model, tokens *tokenizer.Tokenizer, err error) {
	var (
		o       = p.options
		r       = &p.result
		c       = m.Config()
		loading = bert.Options{Threads: o.Threads}
		keep    = bert.Pruning{Layers: o.Layers}
	)
	r.Before = SizeOf(m)
	if p.tokens != nil {
		if err := m.CheckVocabulary(p.tokens.VocabSize()); err != nil {
			return nil, nil, err
		}
	}
	if r.ScoreBefore, err = p.evaluate(ctx, m, p.tokens); err != nil {
		return nil, nil, err
	}
	if !o.Heads.none() || !o.Neurons.none() {
		if err := p.choose(ctx, m, &keep); err != nil {
			return nil, nil, err
		}
	}
	if v := o.Vocabulary; v != nil {
		lines := p.progress(Counting)
		if keep.Tokens, r.Vocabulary, err = v.choose(ctx, p.tokens, int32(c.PadTokenID), func(n int64) { lines(int(n), 0) }); err != nil {
			return nil, nil, err
		}
		p.ids = keep.Tokens
		if tokens, err = p.tokens.Keep(p.ids); err != nil {
			return nil, nil, err
		}
	}
	n, err := m.Prune(keep, loading)
	if err != nil {
		return nil, nil, err
	}
	after := n.Config()
	r.After, r.PrunedHeads = SizeOf(n), after.PrunedHeads
	tested := tokens
	if tested == nil {
		tested = p.tokens
	}
	if r.ScoreAfter, err = p.evaluate(ctx, n, tested); err != nil {
		return nil, nil, errors.Join(err, n.Close())
	}
	return n, tokens, nil
}

// choose adds the heads and neurons to keep.
func (p *pruning) choose(ctx context.Context, m *bert.Model, keep *bert.Pruning) error {
	o := p.options
	measured, layers := m, upTo(p.result.Before.Layers)
	if o.Layers != nil {
		n, err := m.Prune(bert.Pruning{Layers: o.Layers}, bert.Options{Threads: o.Threads})
		if err != nil {
			return err
		}
		defer n.Close()
		measured, layers = n, o.Layers
	}
	// What can't be is found before it is measured.
	size := SizeOf(measured)
	heads, neurons := o.Heads.of(size.Heads), o.Neurons.of(size.Intermediate)
	if most := size.Heads - size.Layers; heads < 0 || heads > most {
		return fmt.Errorf("%d heads to take out of %d, want 0 to %d: each of the %d layers keeps one", heads, size.Heads, most, size.Layers)
	}
	if neurons < 0 || neurons >= size.Intermediate {
		return fmt.Errorf("%d neurons to take out of %d of each layer, want 0 to %d", neurons, size.Intermediate, size.Intermediate-1)
	}
	d, err := task.NewDataset(ctx, p.tokens, o.Examples.Spec, o.Examples.Importance)
	if err != nil {
		return err
	}
	if p.result.Importances, err = Measure(ctx, measured, d, p.progress(Measuring)); err != nil {
		return err
	}
	spread := func(of [][]int) [][]int { // from the layers that are kept to all
		all := make([][]int, p.result.Before.Layers)
		for i, l := range layers {
			all[l] = of[i]
		}
		return all
	}
	if heads > 0 {
		left, err := p.result.Importances.LeastHeads(heads)
		if err != nil {
			return err
		}
		keep.Heads = spread(left)
	}
	if neurons > 0 {
		left, err := p.result.Importances.LeastNeurons(neurons)
		if err != nil {
			return err
		}
		keep.Neurons = spread(left)
	}
	return nil
}

// evaluate measures a model on the examples of the evaluation; nil where there are none.
func (p *pruning) evaluate(ctx context.Context, m *bert.Model, t *tokenizer.Tokenizer) (*Score, error) {
	x := p.options.Examples
	if x == nil || len(x.Evaluation) == 0 {
		return nil, nil
	}
	return score(ctx, m, t, x, p.progress(Evaluating))
}

func score(ctx context.Context, m *bert.Model, t *tokenizer.Tokenizer, x *Examples, progress func(done, all int)) (*Score, error) {
	d, err := task.NewDataset(ctx, t, x.Spec, x.Evaluation)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	r, err := task.Evaluate(ctx, m, d, task.EvaluateOptions{Progress: progress})
	if err != nil {
		return nil, err
	}
	s := &Score{Loss: r.Loss, Seconds: time.Since(begun).Seconds()}
	main, ok := r.Main()
	if !ok {
		return nil, errors.New("the task has no metric")
	}
	s.Metric, s.Value = main.Name, main.Value
	return s, nil
}

// check tries the tokenizer of the folder on the corpus.
func (p *pruning) check(ctx context.Context, dir string) error {
	v := p.options.Vocabulary
	if v == nil {
		return nil
	}
	written, err := tokenizer.Load(dir)
	if err != nil {
		return err
	}
	lines := p.progress(Checking)
	check, err := v.check(ctx, p.tokens, written, p.ids, func(n int64) { lines(int(n), 0) })
	if err != nil {
		return err
	}
	p.result.Vocabulary.Corpus = *check
	if v.exact() && check.Changed > 0 {
		return &ChangedError{*check}
	}
	return nil
}

// Every lists every k-th of some layers, the first among them.
func Every(k, layers int) []int {
	var out []int
	for l := 0; l < layers; l += k {
		out = append(out, l)
	}
	return out
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// Cut is what a model is without some of its heads.
type Cut struct {
	Heads      int     `json:"heads"` // that were taken out
	Parameters int     `json:"parameters"`
	Score      Score   `json:"score"`
	Lost       float64 `json:"lost"` // of the metric, less than with all heads
}

// Evaluation is what it costs to take heads out.
type Evaluation struct {
	Size        Size         `json:"size"` // of the model
	Importances *Importances `json:"importances"`
	// Normalized are the importances of the heads by which they are taken out.
	Normalized [][]float64 `json:"normalized"`
	// Cuts begin with all heads.
	Cuts []Cut `json:"cuts"`
}

// Evaluate measures the importance of heads and neurons and, for each of the shares of heads, what the model loses without those that matter least. It
// writes nothing. progress, which may be nil, is called as Options.Progress is.
func Evaluate(ctx context.Context, in string, x *Examples, shares []float64, model bert.Options, progress func(stage Stage, done, all int)) (*Evaluation, error) {
	t, err := loadTokenizer(in, model.Base)
	if err != nil {
		return nil, err
	}
	model.Head, model.Dequantize = bert.HeadOfTensors, true
	m, err := bert.Load(ctx, sentence.EncoderDir(in), model)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if err := m.CheckVocabulary(t.VocabSize()); err != nil {
		return nil, err
	}
	at := func(stage Stage) func(done, all int) {
		return func(done, all int) {
			if progress != nil {
				progress(stage, done, all)
			}
		}
	}
	d, err := task.NewDataset(ctx, t, x.Spec, x.Importance)
	if err != nil {
		return nil, err
	}
	e := &Evaluation{Size: SizeOf(m)}
	if e.Importances, err = Measure(ctx, m, d, at(Measuring)); err != nil {
		return nil, err
	}
	e.Normalized = e.Importances.Normalized()
	cuts := []int{0}
	for _, share := range shares {
		n := min(Amount{Share: share}.of(e.Size.Heads), e.Size.Heads-e.Size.Layers)
		if !slices.Contains(cuts, n) {
			cuts = append(cuts, n)
		}
	}
	for _, n := range cuts {
		keep, err := e.Importances.LeastHeads(n)
		if err != nil {
			return nil, err
		}
		pruned, err := m.Prune(bert.Pruning{Heads: keep}, bert.Options{Threads: model.Threads, Precision: model.Precision})
		if err != nil {
			return nil, err
		}
		s, err := score(ctx, pruned, t, x, at(Evaluating))
		parameters := SizeOf(pruned).Parameters
		if err = errors.Join(err, pruned.Close()); err != nil {
			return nil, err
		}
		cut := Cut{Heads: n, Parameters: parameters, Score: *s}
		if len(e.Cuts) > 0 {
			cut.Lost = e.Cuts[0].Score.Value - s.Value
		}
		e.Cuts = append(e.Cuts, cut)
	}
	return e, nil
}
