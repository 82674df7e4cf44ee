package task

import (
	"context"
	"slices"

	"github.com/go-bert/bert/tokenizer"
)

// Logits gives the numbers of the head of a model that [Predict] can use, for a program that makes its own answers of them: [C] of a
// sequence or, of a model that labels or chooses tokens, [n,C] of its n tokens. An input is one sequence, best of ready-made ids: a text
// that is longer than the model takes is an error.
func Logits() Use[[]float32] {
	return Use[[]float32]{asked: Predicting, start: func(e *engine, d *Description) (*work[[]float32], error) {
		e.options = tokenizer.Options{MaxLength: d.Config.MaxPositionEmbeddings, Truncation: tokenizer.DoNotTruncate}
		answer := func(ctx context.Context, inputs []prepared) ([][]float32, error) {
			logits, err := allLogits(ctx, e.withSession, sequences(flatten(inputs)), d.Head, e.tokens, nil)
			for i := range logits { // each of its own, so that one that is kept doesn't keep the others
				logits[i] = slices.Clone(logits[i])
			}
			return logits, err
		}
		return &work[[]float32]{prepare: e.prepareOne, answer: answer, byIDs: true}, nil
	}}
}
