package task

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/textfile"
	"github.com/go-bert/bert/tokenizer"
)

// A stream has three stages, each at work on a group of inputs of its own:
//
//	Read ─► lines ─► assemble: tokenizer ─► groups ─► answerGroups: model ─► answered ─► emit, in the caller's goroutine
//
// A group stays in the hands of a stage until the next one is free. So there are never more than three, of which two have answers.

// These bound a group, besides work.budget.
const (
	streamInputs = 512
	streamBytes  = textfile.MaxRecord / 4 // of text, of which truncation may leave far less
	streamAhead  = 16                     // inputs read ahead
	// streamWait is how long a group that could be larger waits for lines while the model has nothing to do. A reader of a
	// file is quicker; at a terminal it isn't noticed.
	streamWait = 2 * time.Millisecond
)

// Item is an input of a stream and its place.
type Item struct {
	data.Input
	Source data.Source
}

// line is an input as it was read, or the error that ends the stream.
type line struct {
	Item
	err error
}

// group is inputs that are answered together.
type group struct {
	items  []Item
	inputs []prepared // of the items
	err    error      // that follows them and ends the stream; io.EOF after the last input
}

// answers are those of a group.
type answers[T any] struct {
	items  []Item
	values []T // none if the group had no answer
	err    error
}

// stream reads inputs, answers them and emits the answers in the inputs' order. Errors keep that order too: all that comes before
// one is emitted, and nothing after it.
func stream[T any](ctx context.Context, w *work[T], in data.Inputs, emit func(Item, T) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var (
		lines    = make(chan line, streamAhead)
		groups   = make(chan group)
		answered = make(chan answers[T])
		emitted  = make(chan struct{}) // closed when nothing is emitted any more
		stages   sync.WaitGroup
	)
	defer stages.Wait()
	defer close(emitted)
	defer cancel()
	// A blocked read may not end with ctx. Its goroutine ends when it does, and isn't waited for.
	go readLines(ctx, in, lines)
	stages.Go(func() {
		defer close(groups)
		assemble(ctx, w, in, lines, groups)
	})
	stages.Go(func() {
		defer close(answered)
		answerGroups(ctx, w, in, groups, answered, emitted)
	})
	for a := range answered {
		for i, value := range a.values {
			if err := emit(a.items[i], value); err != nil {
				return err
			}
		}
		var panicked *panicError
		switch {
		case a.err == io.EOF:
			return nil
		case errors.As(a.err, &panicked):
			panic(panicked)
		case a.err != nil:
			return a.err
		}
	}
	return context.Cause(ctx)
}

// readLines sends what in reads, until its first error.
func readLines(ctx context.Context, in data.Inputs, lines chan<- line) {
	for {
		var l line
		l.err = calmly(func() (err error) {
			l.Input, l.Source, err = in.Read(ctx)
			return err
		})
		select {
		case lines <- l:
		case <-ctx.Done():
			return
		}
		if l.err != nil {
			return
		}
	}
}

// assembly is a group that is being put together.
type assembly struct {
	group
	tokens int
	size   int // bytes of text
}

func (a *assembly) add(i Item, p prepared) {
	a.items, a.inputs = append(a.items, i), append(a.inputs, p)
	a.tokens += p.weight()
	a.size += len(i.Text) + len(i.TextPair)
}

// assemble tokenizes lines and sends them in groups, until one has an error. While the model is busy, a group grows to its bounds;
// the model gets a smaller one when it has nothing to do and no line came for a moment.
func assemble[T any](ctx context.Context, w *work[T], in data.Inputs, lines <-chan line, groups chan<- group) {
	var (
		scratch tokenizer.Encoding
		a       assembly
		next    *assembly // begun by an input for which a has no room
		wait    <-chan time.Time
		waited  bool
	)
	take := func(l line) error {
		if l.err != nil {
			return l.err
		}
		p, err := w.prepare(&scratch, &l.Input)
		var noText *noTextError
		switch {
		case errors.As(err, &noText):
			return noText.error
		case err != nil:
			return in.Skip(&data.SourceError{Source: l.Source, Err: err})
		}
		to := &a
		if len(a.inputs) > 0 && a.tokens+p.weight() > w.budget {
			next = new(assembly)
			to = next
		}
		to.add(l.Item, p)
		return nil
	}
	for {
		more, ready := lines, groups
		switch {
		case a.err != nil || next != nil || a.tokens >= w.budget || len(a.inputs) >= streamInputs || a.size >= streamBytes:
			more = nil
		case len(a.inputs) == 0 || !waited:
			ready = nil
		}
		select {
		case <-ctx.Done():
			return
		case l := <-more:
			if len(a.inputs) == 0 {
				wait = time.After(streamWait)
			}
			a.err = calmly(func() error { return take(l) })
		case <-wait:
			waited, wait = true, nil
		case ready <- a.group:
			if a.err != nil {
				return
			}
			waited, wait = false, nil
			if a = (assembly{}); next != nil {
				a, next = *next, nil
				wait = time.After(streamWait)
			}
		}
	}
}

// answerGroups answers groups and sends the answers. An answer that there is is sent also after the end of ctx, unless nothing is
// emitted any more.
func answerGroups[T any](ctx context.Context, w *work[T], in data.Inputs, groups <-chan group, answered chan<- answers[T], emitted <-chan struct{}) {
	for one := range groups {
		a := answers[T]{items: one.items, err: one.err}
		if len(one.inputs) > 0 {
			err := calmly(func() (err error) {
				a.values, err = w.answer(ctx, one.inputs)
				return err
			})
			if err != nil {
				a.values, a.err = nil, one.atSource(err)
				if l, ok := in.(interface{ Locate(error) error }); ok {
					a.err = l.Locate(a.err)
				}
			}
		}
		select {
		case answered <- a:
		case <-emitted:
			return
		}
		if a.err != nil {
			return
		}
	}
}

// atSource names the place of the input that an error is about.
func (g *group) atSource(err error) error {
	err = atInput(err, g.inputs)
	var e *InputError
	if errors.As(err, &e) {
		return &data.SourceError{Source: g.items[e.Index].Source, Err: e.Err}
	}
	return err
}

// panicError is a panic on its way from a stage to the goroutine that called Stream, which panics with it.
type panicError struct {
	value any
	stack []byte
}

// Error has the stack, since that of the panic that a program dies of is another.
func (e *panicError) Error() string { return fmt.Sprintf("%v\n\n%s", e.value, e.stack) }

// Panic is what the stage panicked with, and where.
func (e *panicError) Panic() (value any, stack []byte) { return e.value, e.stack }

// calmly calls f and turns a panic into a *panicError.
func calmly(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p, debug.Stack()}
		}
	}()
	return f()
}
