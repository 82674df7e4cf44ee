package pretrain

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/go-bert/bert"
)

// eachBatch calls do with the batches of an evaluation, which are the same whoever makes them: their number, the first of their instances and
// the first behind them.
func eachBatch(ctx context.Context, d *Data, tokens int, do func(b *bert.Batch, number, first, end int) error) error {
	var b bert.Batch
	for i, number := 0, 0; i < d.Len(); number++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b.Reset()
		first := i
		for ; i < d.Len() && (i == first || b.Tokens()+d.Length(i) <= tokens); i++ {
			if err := d.Append(&b, i); err != nil {
				return fmt.Errorf("instance %d: %w", i, err)
			}
		}
		if err := do(&b, number, first, i); err != nil {
			return fmt.Errorf("instances %d to %d: %w", first, i-1, err)
		}
	}
	return nil
}

// alone measures all batches.
func (e *measuring) alone(ctx context.Context, d *Data, o *EvaluateOptions) error {
	return eachBatch(ctx, d, o.Tokens, func(b *bert.Batch, _, _, end int) error {
		out, err := e.forward(b)
		if err != nil {
			return err
		}
		e.add(b, out)
		if o.Progress != nil {
			o.Progress(end, d.Len())
		}
		return nil
	})
}

// shared measures every Size-th batch, and adds up what all processes have found, batch by batch, as one process does.
func (e *measuring) shared(ctx context.Context, d *Data, o *EvaluateOptions) error {
	rank, size := o.Share.Rank(), o.Share.Size()
	var mine []byte
	failure := eachBatch(ctx, d, o.Tokens, func(b *bert.Batch, number, _, end int) error {
		if number%size != rank {
			return nil
		}
		out, err := e.forward(b)
		if err != nil {
			return err
		}
		mine = out.append(mine)
		if o.Progress != nil {
			o.Progress(end, d.Len())
		}
		return nil
	})
	if failure != nil {
		mine = nil // the others are told by its absence
	}
	all, err := o.Share.Gather(mine)
	switch {
	case failure != nil:
		return failure
	case err != nil:
		return err
	}
	return eachBatch(ctx, d, o.Tokens, func(b *bert.Batch, number, _, _ int) error {
		of := number % size
		if len(all[of]) == 0 {
			return fmt.Errorf("rank %d has not evaluated its share", of)
		}
		out := outcome{hits: e.parts.rows(len(b.MaskedIDs))}
		all[of] = out.take(all[of])
		e.add(b, out)
		return nil
	})
}

// append appends an outcome as bytes: the losses of the two tasks, how many next sentences are right, and a byte for each masked token.
func (o *outcome) append(b []byte) []byte {
	for _, v := range []float64{o.loss.MaskedLM, o.loss.NextSentence} {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(o.nextRight))
	for _, hit := range o.hits {
		right := byte(0)
		if hit {
			right = 1
		}
		b = append(b, right)
	}
	return b
}

// take reads an outcome, of as many hits as there is room for, and returns the rest.
func (o *outcome) take(b []byte) []byte {
	for i, v := range []*float64{&o.loss.MaskedLM, &o.loss.NextSentence} {
		*v = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	o.nextRight = int(binary.LittleEndian.Uint64(b[16:]))
	b = b[24:]
	for i := range o.hits {
		o.hits[i] = b[i] == 1
	}
	return b[len(o.hits):]
}
