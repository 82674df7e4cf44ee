package task

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/tokenizer"
)

// Options say how a model is run. The zero value is good.
type Options struct {
	// Model says how Open loads the model.
	Model bert.Options
	// Tokens is the most tokens of a batch; 0: 4,096.
	Tokens int
	// Sessions is the number of batches that may be computed at once, each with memory of its own; 0: 2. One batch keeps
	// all the model's threads busy, except while it is put together.
	Sessions int
	// Loaded, if not nil, is called by Open with what was read, before anything is computed.
	Loaded func(bert.LoadReport)
	// Turn, if not nil, is called before each batch is computed, which waits until it returns, so that a service can decide which of
	// several calls goes on. ctx is that of the call. done is called when the batch has been computed. An error of it is that of
	// the call.
	Turn func(ctx context.Context) (done func(), err error)
}

// Use is what a Runner does with inputs: [Predict], [Encode], [FillMask], [ZeroShot], [Compare], [Explain], [CompareMethods]
// or [Attend]. T is the answer to an input.
type Use[T any] struct {
	asked Capability
	// gradients says that it goes back through the model, which int8 can't.
	gradients bool
	// start makes the work for a model that can do it. It sets e.options.
	start func(e *engine, d *Description) (*work[T], error)
}

// work is a Use of one model.
type work[T any] struct {
	prepare func(scratch *tokenizer.Encoding, in *data.Input) (prepared, error)
	answer  func(ctx context.Context, inputs []prepared) ([]T, error)
	budget  int // tokens that Stream answers at once; 0: those of a batch
	// byIDs says that an answer depends on the ids of its sequences alone, and not on the text that they are of.
	byIDs bool
}

// Runner answers inputs with a model. It is safe for concurrent use.
type Runner[T any] struct {
	engine      *engine
	work        *work[T]
	description *Description
	shared      bool // the sessions are those of a Shared, which closes them
}

// Open loads the model directory dir for a use: config.json, the weights, the tokenizer's files, where it was fine-tuned here,
// task.json, and of a sentence-transformers folder the pipeline (see Description). Without a vocabulary, or with one that lacks a
// token that every text needs, Predict and Encode take ids alone, and a text is an error. A model that can't be used so is a
// *WrongTaskError. Close the Runner when it is no longer needed.
func Open[T any](ctx context.Context, dir string, use Use[T], o Options) (*Runner[T], error) {
	asked := use.asked
	o.Model.Dequantize = o.Model.Dequantize || use.gradients
	o.Model = asked.load(o.Model)
	d, m, untold, err := load(ctx, dir, o, asked.takesIDs(), func(d *Description) []string { return d.notes(asked) })
	if err != nil {
		return nil, err
	}
	l := newLender(m, o)
	r, err := newRunner(l, d, use, o)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	l.owned = true
	if untold != nil {
		r.work.onlyIDs(untold)
	}
	return r, nil
}

// load loads a model directory. Where ids will do, untold is what is wrong with the tokenizer, for the first text.
func load(ctx context.Context, dir string, o Options, idsWillDo bool, notes func(*Description) []string) (d *Description, m *bert.Model, untold, err error) {
	if ctx.Err() != nil {
		return nil, nil, nil, context.Cause(ctx)
	}
	// Both at once: to read a vocabulary takes as long as a short pass.
	var (
		t       *tokenizer.Tokenizer
		failed  error
		waiting sync.WaitGroup
	)
	encoder := sentence.EncoderDir(dir)
	waiting.Go(func() { t, failed = tokenizer.Load(bert.TokenizerDir(encoder, o.Model.Base)) })
	m, err = bert.Load(ctx, encoder, o.Model)
	if err == nil {
		if err = m.Prepare(); err != nil {
			err = errors.Join(err, m.Close())
		}
	}
	waiting.Wait()
	if errors.As(failed, new(*tokenizer.IncompleteError)) && idsWillDo {
		untold, failed = failed, nil
	}
	switch {
	case failed != nil && err == nil:
		return nil, nil, nil, errors.Join(failed, m.Close())
	case failed != nil:
		return nil, nil, nil, failed
	case err != nil:
		return nil, nil, nil, err
	}
	d = newDescription(dir, m.Head(), m.Config(), t, nil)
	if o.Loaded != nil {
		report := m.Report()
		report.Assumed = append(report.Assumed, notes(d)...)
		if t == nil {
			report.Assumed = append(report.Assumed, fmt.Sprintf("inputs have to be ids: %v", untold))
		}
		o.Loaded(report)
	}
	return d, m, untold, nil
}

// onlyIDs lets the work refuse inputs that are no ids, for want of a tokenizer.
func (w *work[T]) onlyIDs(err error) {
	prepare := w.prepare
	w.prepare = func(scratch *tokenizer.Encoding, in *data.Input) (prepared, error) {
		if in.IDs == nil {
			return prepared{}, &noTextError{err}
		}
		return prepare(scratch, in)
	}
}

// noTextError says why no text can be answered. It is no fault of the input.
type noTextError struct{ error }

func (e *noTextError) Unwrap() error { return e.error }

// NewRunner runs a model that the caller closes, after the Runner. s says what its answers are and how texts become features;
// nil: as Description.Spec of a directory without task.json. o.Model and o.Loaded aren't used.
func NewRunner[T any](m *bert.Model, t *tokenizer.Tokenizer, s *Spec, use Use[T], o Options) (*Runner[T], error) {
	return newRunner(newLender(m, o), newDescription("", m.Head(), m.Config(), t, s), use, o)
}

func newRunner[T any](l *lender, d *Description, use Use[T], o Options) (*Runner[T], error) {
	if use.start == nil {
		return nil, errors.New("there is no use for the model: want one like Predict")
	}
	if err := d.Check(use.asked); err != nil {
		return nil, err
	}
	e, err := newEngine(l, d.Tokenizer, o)
	if err != nil {
		return nil, d.named(err)
	}
	w, err := use.start(e, d)
	if err != nil {
		return nil, d.named(err)
	}
	if w.budget <= 0 {
		w.budget = e.tokens
	}
	return &Runner[T]{engine: e, work: w, description: d}, nil
}

// InputError says what is wrong with one of several inputs.
type InputError struct {
	Index int // from 0
	Err   error
}

func (e *InputError) Error() string { return fmt.Sprintf("input %d: %v", e.Index, e.Err) }
func (e *InputError) Unwrap() error { return e.Err }

// Prepare tokenizes an input, so that it can be answered later, together with others. What it returns holds the input's texts.
func (r *Runner[T]) Prepare(in *data.Input) (Prepared, error) {
	scratch := scratches.Get().(*tokenizer.Encoding)
	defer scratches.Put(scratch)
	p, err := r.work.prepare(scratch, in)
	if err != nil {
		return Prepared{}, err
	}
	return Prepared{p, r.engine, r.work.byIDs}, nil
}

// scratches are encodings to tokenize with. Those of long texts are short, too: see shorten.go.
var scratches = sync.Pool{New: func() any { return new(tokenizer.Encoding) }}

// Answer answers inputs that Prepare of this Runner has prepared, as Do does: an answer is the same whatever inputs are beside it. They
// are computed together where they fit into a batch. An input whose answer is no finite number fails all with an *InputError.
func (r *Runner[T]) Answer(ctx context.Context, inputs []Prepared) ([]T, error) {
	all := make([]prepared, len(inputs))
	for i := range inputs {
		if inputs[i].by != r.engine {
			return nil, &InputError{i, errors.New("it was prepared by another Runner")}
		}
		all[i] = inputs[i].prepared
	}
	answers, err := r.work.answer(ctx, all)
	return answers, atInput(err, all)
}

// Do answers inputs. An answer is the same whatever inputs are beside it. A bad input fails all with an *InputError. When ctx
// ends, Do ends after the batch that is being computed, with the cause.
func (r *Runner[T]) Do(ctx context.Context, inputs []data.Input) ([]T, error) {
	var (
		all     = make([]prepared, len(inputs))
		scratch tokenizer.Encoding
		err     error
	)
	for i := range inputs {
		if all[i], err = r.work.prepare(&scratch, &inputs[i]); err != nil {
			return nil, &InputError{i, err}
		}
	}
	answers, err := r.work.answer(ctx, all)
	return answers, atInput(err, all)
}

// Stream answers what in reads and passes inputs and answers to emit, in their order and in the caller's goroutine. An error of emit
// ends it. Inputs are answered as they come, and put together where many wait. Where one is bad, those before it are answered, and
// then it is the error, a *data.SourceError; or it is left out, as in decides.
//
// Inputs are read and tokenized while others are computed and the answers to earlier ones are emitted, in bounded memory: at most
// three batches of inputs and two of answers are held. in is used from other goroutines. When ctx or emit ends Stream, it returns
// after the batch that is being computed; what was answered by the end of ctx is emitted. A Read that is blocked is left behind.
// A panic in another goroutine is one of the caller's, with an error whose method Panic gives its value and stack.
func (r *Runner[T]) Stream(ctx context.Context, in data.Inputs, emit func(Item, T) error) error {
	return stream(ctx, r.work, in, emit)
}

// MaxSeqLength is the most tokens of a sequence.
func (r *Runner[T]) MaxSeqLength() int { return r.engine.options.MaxLength }

// Description describes the model.
func (r *Runner[T]) Description() *Description { return r.description }

// Notes are what a user should know about the tokenizer's files and about how the vocabulary fits the model. A program is expected
// to show them.
func (r *Runner[T]) Notes() []tokenizer.Note {
	if r.engine.tokenizer == nil { // inputs are ids
		return nil
	}
	return r.engine.tokenizer.NotesFor(r.engine.model)
}

// Model is the model that answers.
func (r *Runner[T]) Model() *bert.Model { return r.engine.model }

// Close waits for the batches that are being computed and closes the model, if Open loaded it. Later calls of the other methods
// return bert.ErrClosed. Of a Runner of a [Shared] it does nothing.
func (r *Runner[T]) Close() error {
	if r.shared {
		return nil
	}
	return r.engine.close()
}
