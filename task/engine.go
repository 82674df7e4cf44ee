package task

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/textfile"
	"github.com/go-bert/bert/tokenizer"
)

// Options say how a model directory is opened. The zero value is good.
type Options struct {
	Model bert.Options
	// Tokens is the most tokens of a batch; 0: 4,096.
	Tokens int
	// Sessions is the number of batches that may be computed at once, each with memory of its own; 0: 2. One batch keeps
	// all the model's threads busy but while it is put together.
	Sessions int
	// Loaded is told what was read, before anything is computed; nil: nobody.
	Loaded func(bert.LoadReport)
}

// engine is what a Predictor, a MaskFiller and an Encoder share: a model with its tokenizer, and sessions.
type engine struct {
	featurizer
	model    *bert.Model
	owned    bool                  // Close closes the model
	tokens   int                   // of a batch
	window   int                   // tokens that stream takes at once
	finish   func(*sequence) error // checks and weighs an input further, or nil
	sessions chan *bert.Session    // nil for one that isn't made yet
	closed   chan struct{}
	closing  sync.Once
	closeErr error
}

// newEngine joins a model and a tokenizer. limit is how long sequences may be.
func newEngine(m *bert.Model, t *tokenizer.Tokenizer, limit tokenizer.Options, o Options) (*engine, error) {
	if err := m.CheckVocabulary(t.VocabSize()); err != nil {
		return nil, err
	}
	c := m.Config()
	e := &engine{
		featurizer: featurizer{
			tokenizer: t, options: limit, longest: c.MaxPositionEmbeddings, vocab: c.VocabSize, types: c.TypeVocabSize,
		},
		model: m, tokens: o.Tokens, closed: make(chan struct{}),
	}
	if e.tokens <= 0 {
		e.tokens = defaultTokens
	}
	e.window = streamBatches * e.tokens
	n := o.Sessions
	if n <= 0 {
		n = 2
	}
	e.sessions = make(chan *bert.Session, n)
	for range n {
		e.sessions <- nil
	}
	return e, nil
}

// open loads the model and the tokenizer of a directory and hands them to use, which makes of them what owns the model.
// An error of use is to name the directory or a file.
func open[T any](dir string, o Options, use func(*bert.Model, *tokenizer.Tokenizer) (T, error)) (T, error) {
	var none T
	// Both at once: to read a vocabulary takes as long as a short pass.
	var (
		t       *tokenizer.Tokenizer
		failed  error
		waiting sync.WaitGroup
	)
	waiting.Go(func() { t, failed = tokenizer.Load(dir) })
	m, err := bert.Load(dir, o.Model)
	if err == nil {
		if err = m.Prepare(); err != nil {
			err = errors.Join(err, m.Close())
		}
	}
	waiting.Wait()
	switch {
	case failed != nil && err == nil:
		return none, errors.Join(failed, m.Close())
	case failed != nil:
		return none, failed
	case err != nil:
		return none, err
	}
	if o.Loaded != nil {
		o.Loaded(m.Report())
	}
	v, err := use(m, t)
	if err != nil {
		m.Close()
		return none, err
	}
	return v, nil
}

// loadDescription reads task.json, or says what holds without one.
func loadDescription(dir string, m *bert.Model, t *tokenizer.Tokenizer) (Description, error) {
	d, err := LoadDescription(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if d, err = describe(m.Head(), m.Config(), t); err != nil {
			err = fmt.Errorf("%s: %w", dir, err)
		}
	}
	return d, err
}

var errClosed = errors.New("the model is closed")

// Close waits for the batches that are being computed and lets go of the model, if this opened it. Whoever asks
// afterwards gets an error.
func (e *engine) Close() error {
	e.closing.Do(func() {
		close(e.closed)
		for range cap(e.sessions) {
			<-e.sessions
		}
		if e.owned {
			e.closeErr = e.model.Close()
		}
	})
	return e.closeErr
}

// Model is the model that answers.
func (e *engine) Model() *bert.Model { return e.model }

// Tokenizer is the model's.
func (e *engine) Tokenizer() *tokenizer.Tokenizer { return e.tokenizer }

// withSession runs use with a session that nobody else has, when one is free.
func (e *engine) withSession(ctx context.Context, use func(*bert.Session) error) error {
	select {
	case <-e.closed:
		return errClosed
	default:
	}
	select {
	case <-e.closed:
		return errClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	case s := <-e.sessions:
		if s == nil {
			s = e.model.NewSession()
		}
		defer func() { e.sessions <- s }()
		return use(s)
	}
}

// prepare turns an input into features, by way of scratch.
func (e *engine) prepare(scratch *tokenizer.Encoding, in *data.Input) (sequence, error) {
	if err := e.encode(scratch, in); err != nil {
		return sequence{}, err
	}
	s := newSequence(scratch, false)
	if err := e.checkTypes(&s); err != nil {
		return sequence{}, err
	}
	if e.finish != nil {
		return s, e.finish(&s)
	}
	return s, nil
}

// checkTypes reports a pair of texts for a model that has a single segment.
func (e *engine) checkTypes(s *sequence) error {
	for _, id := range s.typeIDs {
		if int(id) >= e.types {
			return fmt.Errorf("a pair of texts, but the model has only %d segment: join the texts", e.types)
		}
	}
	return nil
}

// prepareAll turns inputs into features.
func (e *engine) prepareAll(inputs []data.Input) (sequences, error) {
	var (
		all     = make(sequences, len(inputs))
		scratch tokenizer.Encoding
		err     error
	)
	for i := range inputs {
		if all[i], err = e.prepare(&scratch, &inputs[i]); err != nil {
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
	}
	return all, nil
}

// weight is the sequence's share of a batch's budget.
func (s sequence) weight() int { return s.cost }

// sequences are features without labels.
type sequences []sequence

func (s sequences) Len() int         { return len(s) }
func (s sequences) Length(i int) int { return s[i].cost }
func (s sequences) Append(b *bert.Batch, i int) error {
	b.Add(s[i].ids, s[i].typeIDs)
	return nil
}

// stream takes what has come in when a batch is put together, but no more than this.
const (
	streamBatches = 8 // in token budgets: enough to put texts of like length together
	streamInputs  = 512
	streamBytes   = textfile.MaxRecord // of text, which may be far longer than what is left of it when it is truncated
	streamAhead   = 16                 // inputs read ahead
	// streamWait is how long a batch that could be larger waits for lines once there is none. A reader of a file is
	// quicker; at a terminal nobody notices.
	streamWait = 2 * time.Millisecond
)

// Item is an input of a stream and its place.
type Item struct {
	data.Input
	Source data.Source
}

// stream reads inputs, answers them and emits the answers in the inputs' order. Answers come as soon as no further input
// waits; under load, inputs are put together. Memory is bounded by the constants above.
func stream[P interface{ weight() int }, T any](ctx context.Context, e *engine, in data.Inputs,
	prepare func(*tokenizer.Encoding, *data.Input) (P, error), answer func(context.Context, []P) ([]T, error), emit func(Item, T) error,
) error {
	type line struct {
		Item
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A read can't be interrupted: where ctx ends first, this goroutine ends with its read.
	lines := make(chan line, streamAhead)
	go func() {
		for {
			var l line
			l.Input, l.Source, l.err = in.Read(ctx)
			select {
			case lines <- l:
			case <-ctx.Done():
				return
			}
			if l.err != nil {
				return
			}
		}
	}()

	var (
		scratch tokenizer.Encoding
		batch   []P
		items   []Item
		tokens  int
		size    int // bytes of text
		failed  error
	)
	// take adds a line to the batch, and says whether there may be another.
	take := func(l line) bool {
		if failed = l.err; failed != nil {
			return false
		}
		p, err := prepare(&scratch, &l.Input)
		if err != nil {
			failed = in.Skip(&data.SourceError{Source: l.Source, Err: err})
			return failed == nil
		}
		batch, items = append(batch, p), append(items, l.Item)
		tokens += p.weight()
		size += len(l.Text) + len(l.TextPair)
		return tokens < e.window && len(batch) < streamInputs && size < streamBytes
	}
	for failed == nil {
		batch, items, tokens, size = batch[:0], items[:0], 0, 0
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case l := <-lines:
			var waited <-chan time.Time // from the first time that no line was there
			for more := take(l); more; {
				select {
				case l := <-lines:
					more = take(l)
					continue
				default:
				}
				if waited == nil {
					waited = time.After(streamWait)
				}
				select {
				case <-ctx.Done():
					return context.Cause(ctx)
				case l := <-lines:
					more = take(l)
				case <-waited:
					more = false
				}
			}
		}
		// What came before a bad line is answered before the line is reported.
		if len(batch) > 0 {
			answers, err := answer(ctx, batch)
			if err != nil {
				return err
			}
			for i, a := range answers {
				if err := emit(items[i], a); err != nil {
					return err
				}
			}
		}
	}
	if failed == io.EOF {
		return nil
	}
	return failed
}
