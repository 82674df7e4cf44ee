package task

import (
	"cmp"
	"context"
	"slices"

	"github.com/go-bert/bert"
)

// defaultTokens is the token budget of a batch. From about this size on, more tokens make a product no faster.
const defaultTokens = 4096

// features is what can be put into batches: a Dataset, or a few inputs.
type features interface {
	Len() int
	Length(i int) int // in tokens
	Append(b *bert.Batch, i int) error
}

// withSession lends a session for the duration of a call.
type withSession func(ctx context.Context, use func(*bert.Session) error) error

// only lends s.
func only(s *bert.Session) withSession {
	return func(_ context.Context, use func(*bert.Session) error) error { return use(s) }
}

// forward runs all features through the model in batches of at most tokens tokens (a longer example has one to itself),
// and calls each with the indices of a batch's examples and the model's output, which is good until it returns. Examples
// of like length go together, the longest first, so that the session's memory reaches its size at once and a batch that
// is too big for the machine fails before any work is done. The session is given back after each batch, so that a call
// with few inputs doesn't wait for one with many.
func forward(ctx context.Context, with withSession, f features, tokens int, want bert.Outputs,
	each func(indices []int, b *bert.Batch, out *bert.Output) error,
) error {
	order := make([]int, f.Len())
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(f.Length(b), f.Length(a)) })
	var b bert.Batch
	for len(order) > 0 {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		b.Reset()
		n, room := 0, tokens
		for n < len(order) && (n == 0 || f.Length(order[n]) <= room) {
			room -= f.Length(order[n])
			if err := f.Append(&b, order[n]); err != nil {
				return err
			}
			n++
		}
		err := with(ctx, func(s *bert.Session) error {
			out, err := s.Forward(&b, want)
			if err != nil {
				return brokenOutput(err, order[:n])
			}
			return each(order[:n], &b, out)
		})
		if err != nil {
			return err
		}
		order = order[n:]
	}
	return nil
}

// sequences are features without labels.
type sequences []sequence

func (s sequences) Len() int { return len(s) }

func (s sequences) Length(i int) int { return s[i].cost }

func (s sequences) Append(b *bert.Batch, i int) error {
	b.Add(s[i].ids, s[i].typeIDs)
	return nil
}

// allLogits returns the logits of all sequences: [C] of a sequence, or [n,C] where each of its n tokens has logits. Sequences that
// belong together, like the choices of an example, may be in several batches: an example may have more than fit in one.
func allLogits(ctx context.Context, with withSession, f features, head bert.Head, tokens int, progress func(done, all int)) ([][]float32, error) {
	if tokens <= 0 {
		tokens = defaultTokens
	}
	byToken := head == bert.TokenClassification || head == bert.QuestionAnswering
	logits := make([][]float32, f.Len())
	done := 0
	err := forward(ctx, with, f, tokens, bert.Outputs{}, func(indices []int, b *bert.Batch, out *bert.Output) error {
		values := slices.Clone(out.Logits)
		if head == bert.PreTraining {
			values = slices.Clone(out.NextSentenceLogits)
		}
		width := len(values) / b.Len()
		if byToken {
			width = len(values) / b.Tokens()
		}
		for i, at := range indices {
			from, to := i, i+1
			if byToken {
				from, to = b.Starts[from], b.Starts[to]
			}
			row := values[from*width : to*width : to*width]
			logits[at] = row
		}
		done += len(indices)
		if progress != nil {
			progress(done, f.Len())
		}
		return nil
	})
	return logits, err
}
