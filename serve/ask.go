package serve

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/task"
)

// ask has inputs answered: it tokenizes them in the goroutine of the call, lets the scheduler compute them, and sums up what became of
// them.
func ask[T any](c *call, m *model, key laneKey, inputs []data.Input, o *inputOptions) (*answers[T], error) {
	if len(inputs) == 0 {
		return nil, errorf(Empty, "there is no input")
	}
	if most := c.s.options.MaxInputs; len(inputs) > most {
		return nil, errorf(TooManyInputs, "%s inputs, want at most %s", message.Thousands(len(inputs)), message.Thousands(most))
	}
	truncate, asked := c.truncation(o)
	switch {
	case truncate == TruncateLeft:
		key.cut = task.CutLeft
	case truncate == TruncateRight && asked:
		key.cut = task.CutRight
	}
	key.maxTokens = m.spec.MaxTokens
	if n := o.maxTokens; n > 0 {
		key.maxTokens = min(n, m.maxTokens(key.use))
	}
	l, err := m.lanes.get(m, key)
	if err != nil {
		return nil, &Error{Kind: BadRequest, Message: err.Error(), Index: -1, Cause: err}
	}
	if e := c.s.scheduler.full(); e != nil && !o.stream {
		return nil, e
	}
	start := time.Now()
	var (
		out      = &answers[T]{model: m, values: make([]T, len(inputs)), facts: make([]facts, len(inputs))}
		requests = make([]request, 0, len(inputs))
		at       = make([]int, 0, len(inputs)) // of the requests
		tokens   = 0
	)
	for i := range inputs {
		if c.ctx.Err() != nil {
			return nil, context.Cause(c.ctx)
		}
		p, e := c.prepare(l, &inputs[i], truncate == TruncateNever)
		if e != nil {
			if !o.partial {
				return nil, e.atInput(i)
			}
			out.facts[i].err = e.atInput(i)
			continue
		}
		out.facts[i] = facts{tokens: p.Tokens(), dropped: p.DroppedTokens()}
		tokens += out.facts[i].tokens
		requests, at = append(requests, c.request(l, p)), append(at, i)
	}
	c.facts.tokenize += time.Since(start)
	if len(requests) > 0 {
		t, err := c.s.scheduler.submit(c.ctx, l, requests, submitOptions{bulk: c.isBulk(o, tokens), stream: o.stream, partial: o.partial})
		if err != nil {
			return nil, err
		}
		if err := t.wait(c.ctx); err != nil {
			var e *Error
			if errors.As(err, &e) && e.Index >= 0 {
				return nil, e.atInput(at[e.Index])
			}
			return nil, err
		}
		c.timed(t)
		for k, i := range at {
			r := &t.results[k]
			out.facts[i].cached = r.shared
			if r.err != nil {
				out.facts[i].err = asError(r.err).atInput(i)
				continue
			}
			out.values[i] = r.value.(T)
		}
	}
	c.sum(inputs, out.facts)
	c.answered = time.Now()
	return out, nil
}

// request is what the scheduler has to know of an input.
func (c *call) request(l *lane, p task.Prepared) request {
	r := request{input: &p, cost: p.Cost()}
	if c.s.options.CacheBytes < 0 && c.s.options.NoSharing {
		return r
	}
	key, ok := p.AppendKey(append(c.keys[:0], l.id[:]...))
	c.keys = key
	if ok {
		r.key, r.keyed = sha256.Sum256(key), true
	}
	return r
}

// isBulk says whether interactive requests go first.
func (c *call) isBulk(o *inputOptions, tokens int) bool {
	p := o.priority
	if p == PriorityDefault {
		switch strings.ToLower(c.r.Header.Get("X-Priority")) {
		case "interactive":
			p = Interactive
		case "bulk":
			p = Bulk
		}
	}
	if p == PriorityDefault {
		return o.stream || tokens >= c.s.options.BulkTokens
	}
	return p == Bulk
}

// timed notes how long the jobs of a ticket waited and were computed.
func (c *call) timed(t *ticket) {
	if t.ending.IsZero() { // all were cached
		return
	}
	started := t.submitted // shared with others that had begun before
	if t.firstStart.After(started) {
		started = t.firstStart
	}
	c.facts.queue += started.Sub(t.submitted)
	c.facts.compute += t.ending.Sub(started)
}

// truncation is what becomes of long inputs, and whether somebody asked for it. Otherwise a model may cut the end that it says.
func (c *call) truncation(o *inputOptions) (t Truncate, asked bool) {
	switch {
	case o.truncate != TruncateDefault:
		return o.truncate, true
	case c.s.options.Truncate != TruncateDefault:
		return c.s.options.Truncate, true
	case c.dialect != nil:
		return c.dialect.truncate, false
	}
	return TruncateDefault, false
}

// prepare tokenizes an input.
func (c *call) prepare(l *lane, in *data.Input, never bool) (task.Prepared, *Error) {
	p, err := l.prepare(in)
	if err != nil {
		e := asError(err)
		if e.Kind == Failed { // whatever the tokenizer says is about the input
			e = &Error{Kind: BadInput, Message: err.Error(), Index: -1, Cause: err}
		}
		return p, e
	}
	n := p.DroppedTokens()
	switch {
	case !never || n == 0:
		return p, nil
	case p.Sequences() > 1:
		return p, errorf(TooLong, "%s tokens of the input have no room: shorten it, or have it truncated", message.Thousands(n))
	}
	return p, errorf(TooLong, "the input has %s tokens, want at most %s: shorten it, or have it truncated",
		message.Thousands(p.Tokens()+n), message.Thousands(p.Tokens()))
}

// sum adds up what became of inputs.
func (c *call) sum(inputs []data.Input, of []facts) {
	f := &c.facts
	f.inputs += len(inputs)
	for i := range inputs {
		in := &inputs[i]
		f.characters += utf8.RuneCountInString(in.Text) + utf8.RuneCountInString(in.TextPair)
		for _, list := range [][]string{in.Words, in.Choices} {
			for _, s := range list {
				f.characters += utf8.RuneCountInString(s)
			}
		}
		f.tokens += of[i].tokens
		if of[i].dropped > 0 {
			f.truncated++
		}
		if of[i].cached {
			f.cached++
		}
	}
}

// Priority is who goes first where many wait.
type Priority uint8

const (
	// PriorityDefault is by the number of tokens: see Options.BulkTokens.
	PriorityDefault Priority = iota
	// Interactive requests go first, for as long as Options.BulkDelay.
	Interactive
	// Bulk requests wait for them.
	Bulk
)
