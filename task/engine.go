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
	*lender
	tokens int                   // of a batch
	finish func(*sequence) error // checks and weighs an input further, or nil
}

// newEngine joins a model and a tokenizer, which is nil where inputs are ids alone. How long sequences may be is left open.
func newEngine(l *lender, t *tokenizer.Tokenizer, o Options) (*engine, error) {
	if t != nil {
		if err := l.model.CheckVocabulary(t.VocabSize()); err != nil {
			return nil, err
		}
	}
	c := l.model.Config()
	e := &engine{
		featurizer: featurizer{tokenizer: t, longest: c.MaxPositionEmbeddings, vocab: c.VocabSize, types: c.TypeVocabSize, longBytes: longBytes},
		lender:     l, tokens: o.Tokens,
	}
	if e.tokens <= 0 {
		e.tokens = defaultTokens
	}
	return e, nil
}

// lender lends the sessions of a model.
type lender struct {
	model    *bert.Model
	owned    bool // close closes the model
	turn     func(context.Context) (done func(), err error)
	sessions chan struct{}   // one for each session that may be lent
	mu       sync.Mutex      // of idle
	idle     []*bert.Session // those that were made and aren't lent
	closed   chan struct{}
	closing  sync.Once
	closeErr error
}

func newLender(m *bert.Model, o Options) *lender {
	n := o.Sessions
	if n <= 0 {
		n = 2
	}
	l := &lender{model: m, turn: o.Turn, sessions: make(chan struct{}, n), closed: make(chan struct{})}
	for range n {
		l.sessions <- struct{}{}
	}
	return l
}

// close waits for the batches that are being computed and closes a model that the lender owns.
func (l *lender) close() error {
	l.closing.Do(func() {
		close(l.closed)
		for range cap(l.sessions) {
			<-l.sessions
		}
		if l.owned {
			l.closeErr = l.model.Close()
		}
	})
	return l.closeErr
}

// withSession runs use with a session that no other call has, when one is free.
func (l *lender) withSession(ctx context.Context, use func(*bert.Session) error) error {
	select {
	case <-l.closed:
		return errClosed
	default:
	}
	if l.turn != nil {
		done, err := l.turn(ctx)
		if err != nil {
			return err
		}
		defer done()
	}
	select {
	case <-l.closed:
		return errClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.sessions:
		s := l.session()
		defer func() {
			l.mu.Lock()
			l.idle = append(l.idle, s)
			l.mu.Unlock()
			l.sessions <- struct{}{}
		}()
		return use(s)
	}
}

// session is the session that was used last of those that are idle, or a new one. So batches one after the other use the memory of
// one session, which is in the caches.
func (l *lender) session() *bert.Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := len(l.idle) - 1
	if last < 0 {
		return l.model.NewSession()
	}
	s := l.idle[last]
	l.idle = l.idle[:last]
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
