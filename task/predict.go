package task

import (
	"context"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/tokenizer"
)

// Predict gives the answers that a model was fine-tuned for, as its Spec says.
func Predict() Use[Prediction] {
	return Use[Prediction]{Predicting, func(e *engine, d *Description) (*work[Prediction], error) {
		e.spec, e.options = d.Spec, d.Spec.options()
		p := &predictor{e, d.Spec.Kind.info()}
		return &work[Prediction]{prepare: p.prepare, answer: p.answer}, nil
	}}
}

type predictor struct {
	*engine
	kind *kindInfo
}

func (p *predictor) prepare(scratch *tokenizer.Encoding, in *data.Input) (prepared, error) {
	out := prepared{input: *in}
	err := p.kind.codec.encode(&p.featurizer, in, scratch, func(e *tokenizer.Encoding) {
		out.sequences = append(out.sequences, newSequence(e, p.kind.places))
	})
	for i := range out.sequences {
		if err == nil {
			err = p.checkTypes(&out.sequences[i])
		}
	}
	return out, err
}

func (p *predictor) answer(ctx context.Context, inputs []prepared) ([]Prediction, error) {
	logits, err := allLogits(ctx, p.withSession, newItemised(inputs, p.kind.choices), p.model.Head(), p.tokens, nil)
	if err != nil {
		return nil, err
	}
	predictions := make([]Prediction, len(inputs))
	for i := range inputs {
		in, n := &inputs[i], 1
		if !p.kind.choices {
			n = len(in.sequences)
		}
		answer := p.kind.codec.answer(p.spec, &in.input, in.sequences, logits[:n])
		logits = logits[n:]
		answer.cut(in.sequences)
		if !p.kind.choices && n > 1 {
			answer.Windows = n
		}
		predictions[i] = answer
	}
	return predictions, nil
}
