package task

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/tokenizer"
)

// errClosed is the error of a Runner after Close.
var errClosed = fmt.Errorf("the model is %w", bert.ErrClosed)

// engine is what all uses share: a model with its tokenizer, and sessions.
type engine struct {
	featurizer
	model    *bert.Model
	owned    bool                  // close closes the model
	tokens   int                   // of a batch
	finish   func(*sequence) error // checks and weighs an input further, or nil
	sessions chan struct{}         // one for each session that may be lent
	mu       sync.Mutex            // of idle
	idle     []*bert.Session       // those that were made and aren't lent
	closed   chan struct{}
	closing  sync.Once
	closeErr error
}

// newEngine joins a model and a tokenizer, which is nil where inputs are ids alone. How long sequences may be is left open.
func newEngine(m *bert.Model, t *tokenizer.Tokenizer, o Options) (*engine, error) {
	if t != nil {
		if err := m.CheckVocabulary(t.VocabSize()); err != nil {
			return nil, err
		}
	}
	c := m.Config()
	e := &engine{
		featurizer: featurizer{tokenizer: t, longest: c.MaxPositionEmbeddings, vocab: c.VocabSize, types: c.TypeVocabSize, longBytes: longBytes},
		model:      m, tokens: o.Tokens, closed: make(chan struct{}),
	}
	if e.tokens <= 0 {
		e.tokens = defaultTokens
	}
	n := o.Sessions
	if n <= 0 {
		n = 2
	}
	e.sessions = make(chan struct{}, n)
	for range n {
		e.sessions <- struct{}{}
	}
	return e, nil
}

// close waits for the batches that are being computed and closes a model that the engine owns.
func (e *engine) close() error {
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

// withSession runs use with a session that no other call has, when one is free.
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
	case <-e.sessions:
		s := e.session()
		defer func() {
			e.mu.Lock()
			e.idle = append(e.idle, s)
			e.mu.Unlock()
			e.sessions <- struct{}{}
		}()
		return use(s)
	}
}

// session is the session that was used last of those that are idle, or a new one. So batches one after the other use the memory of
// one session, which is in the caches.
func (e *engine) session() *bert.Session {
	e.mu.Lock()
	defer e.mu.Unlock()
	last := len(e.idle) - 1
	if last < 0 {
		return e.model.NewSession()
	}
	s := e.idle[last]
	e.idle = e.idle[:last]
	return s
}

// sequence turns an input into one sequence, by way of scratch.
func (e *engine) sequence(scratch *tokenizer.Encoding, in *data.Input) (sequence, error) {
	if err := e.encode(scratch, in); err != nil {
		return sequence{}, err
	}
	s := newSequence(scratch, false)
	if err := e.checkTypes(s.typeIDs); err != nil {
		return sequence{}, err
	}
	if e.finish != nil {
		return s, e.finish(&s)
	}
	return s, nil
}

// prepare turns each of inputs that belong together into a sequence.
func (e *engine) prepare(scratch *tokenizer.Encoding, in *data.Input, inputs ...data.Input) (prepared, error) {
	out := prepared{input: *in, sequences: make([]sequence, len(inputs))}
	var err error
	for i := range inputs {
		if out.sequences[i], err = e.sequence(scratch, &inputs[i]); err != nil {
			return out, err
		}
	}
	return out, nil
}

// prepareOne turns an input into one sequence.
func (e *engine) prepareOne(scratch *tokenizer.Encoding, in *data.Input) (prepared, error) {
	return e.prepare(scratch, in, *in)
}

// checkTypes reports a pair of texts for a model that has a single segment.
func (e *engine) checkTypes(typeIDs []int32) error {
	for _, id := range typeIDs {
		if int(id) >= e.types {
			return fmt.Errorf("a pair of texts, but the model has only %d segment: join the texts", e.types)
		}
	}
	return nil
}
