package task

import (
	"context"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/tokenizer"
)

// Predict gives the answers that a model was fine-tuned for, as its Spec says.
func Predict() Use[Prediction] {
	return Use[Prediction]{asked: Predicting, start: func(e *engine, d *Description) (*work[Prediction], error) {
		e.spec, e.options = d.Spec, d.Spec.options()
		p := &predictor{e, d.Spec.Kind.info(), d.Head}
		// Entities and answers are parts of the text, and choices are labels.
		byIDs := !p.kind.places && !p.kind.choices
		return &work[Prediction]{prepare: p.prepare, answer: p.answer, byIDs: byIDs}, nil
	}}
}

type predictor struct {
	*engine
	kind *kindInfo
	head bert.Head
}

func (p *predictor) prepare(scratch *tokenizer.Encoding, in *data.Input) (prepared, error) {
	if tellsNext(p.head) {
		if err := checkPair(p.head, in); err != nil {
			return prepared{}, err
		}
	}
	return p.prepareMany(in, p.kind.places, func(add func(*tokenizer.Encoding)) error {
		return p.kind.codec.encode(&p.featurizer, in, scratch, add)
	})
}

func (p *predictor) answer(ctx context.Context, inputs []prepared) ([]Prediction, error) {
	return p.answerMany(ctx, inputs, func(in *prepared) fold { return p.kind.codec.fold(p.spec, &in.input) },
		func(in *prepared, add func(*tokenizer.Encoding)) error {
			return p.kind.codec.encode(&p.featurizer, &in.input, new(tokenizer.Encoding), add)
		},
		func(in *prepared, answer *Prediction) {
			if !p.kind.choices && in.count > 1 {
				answer.Windows = in.count
			}
		})
}
