package task

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/textfile"
	"github.com/go-bert/bert/tokenizer"
)

// These bound what stream puts into a batch of what has come in.
const (
	streamBatches = 8 // in token budgets: enough to put texts of like length together
	streamInputs  = 512
	streamBytes   = textfile.MaxRecord // of text, of which truncation may leave far less
	streamAhead   = 16                 // inputs read ahead
	// streamWait is how long a batch that could be larger waits for lines once there is none. A reader of a file is
	// quicker; at a terminal it isn't noticed.
	streamWait = 2 * time.Millisecond
)

// Item is an input of a stream and its place.
type Item struct {
	data.Input
	Source data.Source
}

// stream reads inputs, answers them and emits the answers in the inputs' order. A batch is answered as soon as no further input
// waits; under load, batches are larger. Memory is bounded by the constants above.
func stream[T any](ctx context.Context, w *work[T], in data.Inputs, emit func(Item, T) error) error {
	type line struct {
		Item
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A blocked read may not end with ctx; this goroutine then ends when it does.
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
		batch   []prepared
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
		p, err := w.prepare(&scratch, &l.Input)
		var noText *noTextError
		if errors.As(err, &noText) {
			failed = noText.error
			return false
		}
		if err != nil {
			failed = in.Skip(&data.SourceError{Source: l.Source, Err: err})
			return failed == nil
		}
		batch, items = append(batch, p), append(items, l.Item)
		tokens += p.weight()
		size += len(l.Text) + len(l.TextPair)
		return tokens < w.window && len(batch) < streamInputs && size < streamBytes
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
		// Lines before a bad one are answered before it is reported.
		if len(batch) > 0 {
			answers, err := w.answer(ctx, batch)
			if err = atInput(err, batch); err != nil {
				var e *InputError
				if errors.As(err, &e) {
					return &data.SourceError{Source: items[e.Index].Source, Err: e.Err}
				}
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
