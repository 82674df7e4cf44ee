package task

import (
	"context"
	"errors"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/tokenizer"
)

// This file answers inputs that have any number of sequences: windows of a text, choices or hypotheses. Those of an input that has
// many are not held together: they are counted first, and made once more in groups, whose logits a fold makes an answer of.

// heldBatches is how many batches the sequences of an input may fill to be held.
const heldBatches = 8

// heldTokens is the same in tokens.
func (e *engine) heldTokens() int { return heldBatches * e.tokens }

// prepareMany prepares an input of which encode makes the sequences.
func (e *engine) prepareMany(in *data.Input, places bool, encode func(add func(*tokenizer.Encoding)) error) (prepared, error) {
	out := prepared{input: *in}
	var failed error
	err := encode(func(s *tokenizer.Encoding) {
		if failed != nil {
			return
		}
		failed = e.checkTypes(s.TypeIDs)
		out.count++
		out.tokens += s.Len()
		out.dropped = max(out.dropped, s.Truncated)
		if out.tokens > e.heldTokens() && out.count > 1 {
			out.long, out.sequences = true, nil
		}
		if !out.long {
			out.sequences = append(out.sequences, newSequence(s, places))
		}
	})
	if err == nil {
		err = failed
	}
	return out, err
}

// answerMany answers inputs: the sequences of all that are held go through the model together, those of the others by and by, by
// encode. finish completes an answer.
func (e *engine) answerMany(ctx context.Context, inputs []prepared, begin func(in *prepared) fold,
	encode func(in *prepared, add func(*tokenizer.Encoding)) error, finish func(in *prepared, answer *Prediction),
) ([]Prediction, error) {
	logits, err := allLogits(ctx, e.withSession, sequences(flatten(inputs)), e.model.Head(), e.tokens, nil)
	if err != nil {
		return nil, err
	}
	predictions := make([]Prediction, len(inputs))
	for i := range inputs {
		in, f := &inputs[i], begin(&inputs[i])
		if !in.long {
			n := len(in.sequences)
			predictions[i] = foldAll(f, in.sequences, logits[:n])
			logits = logits[n:]
		} else if predictions[i], err = e.answerLong(ctx, in, f, encode); err != nil {
			var broken *sequenceError
			if errors.As(err, &broken) {
				err = &InputError{i, broken.err} // the number of the sequence is that in a group
			}
			return nil, err
		}
		predictions[i].DroppedTokens = in.dropped
		predictions[i].Truncated = in.dropped > 0
		finish(in, &predictions[i])
	}
	return predictions, nil
}

// answerLong answers an input whose sequences are not held.
func (e *engine) answerLong(ctx context.Context, in *prepared, f fold, encode func(in *prepared, add func(*tokenizer.Encoding)) error) (Prediction, error) {
	var (
		group  sequences
		tokens int
		failed error
	)
	flush := func() {
		var logits [][]float32
		if logits, failed = allLogits(ctx, e.withSession, group, e.model.Head(), e.tokens, nil); failed != nil {
			return
		}
		for i := range group {
			f.add(&group[i], logits[i])
		}
		group, tokens = group[:0], 0
	}
	err := encode(in, func(s *tokenizer.Encoding) {
		if failed != nil {
			return
		}
		group = append(group, newSequence(s, true))
		if tokens += s.Len(); tokens >= e.heldTokens()/2 {
			flush()
		}
	})
	if err == nil && failed == nil {
		flush()
	}
	if err == nil {
		err = failed
	}
	if err != nil {
		return Prediction{}, err
	}
	return f.answer(), nil
}
