package task

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/tokenizer"
)

// Candidate is a token that fits a masked place.
type Candidate struct {
	Token       string  `json:"token"`
	Probability float64 `json:"probability"`
}

// Mask is a masked place with the tokens that fit it best.
type Mask struct {
	Position   int         `json:"position"` // index of the token in its sequence; [CLS] has 0
	Candidates []Candidate `json:"candidates"`
}

// FillMask gives the topK most probable tokens for each [MASK] of an input, in order. Where among has ids, only those tokens may be
// chosen; the probabilities are among all tokens nevertheless. An input without a [MASK] is an error, and so is one that is too long.
// The model needs a masked-LM head.
func FillMask(topK int, among ...int32) Use[[]Mask] {
	return Use[[]Mask]{asked: FillingMasks, start: func(e *engine, d *Description) (*work[[]Mask], error) {
		if topK < 1 {
			return nil, fmt.Errorf("the number of candidates is %d, want at least 1", topK)
		}
		t := d.Tokenizer
		e.options = tokenizer.Options{MaxLength: d.Config.MaxPositionEmbeddings, Truncation: tokenizer.DoNotTruncate}
		e.finish = func(s *sequence) error {
			masks := 0
			for _, id := range s.ids {
				if id == t.MaskID() {
					masks++
				}
			}
			if masks == 0 {
				return fmt.Errorf("no %s in it", t.Config().MaskToken)
			}
			s.cost += maskCost * masks
			return nil
		}
		f := &maskFiller{e, min(topK, t.VocabSize()), among}
		return &work[[]Mask]{prepare: e.prepareOne, answer: f.fill, byIDs: true}, nil
	}}
}

type maskFiller struct {
	*engine
	topK  int
	among []int32
}

// maskCost is the memory of a masked place in tokens: its logits over the vocabulary are larger than all that a token
// needs.
const maskCost = 4

// masked is sequences whose masked positions are asked for.
type masked struct {
	sequences
	mask int32
}

func (m masked) Append(b *bert.Batch, i int) error {
	at := b.Tokens()
	for j, id := range m.sequences[i].ids {
		if id == m.mask {
			b.MaskedPositions = append(b.MaskedPositions, int32(at+j))
		}
	}
	return m.sequences.Append(b, i)
}

func (f *maskFiller) fill(ctx context.Context, inputs []prepared) ([][]Mask, error) {
	s := flatten(inputs)
	answers := make([][]Mask, len(s))
	v := f.vocab
	err := forward(ctx, f.withSession, masked{s, f.tokenizer.MaskID()}, f.tokens, bert.Outputs{},
		func(indices []int, b *bert.Batch, out *bert.Output) error {
			row := 0
			for i, at := range indices {
				from, to := b.Sequence(i)
				for ; row < len(b.MaskedPositions) && int(b.MaskedPositions[row]) < to; row++ {
					candidates, err := f.candidates(out.Logits[row*v : (row+1)*v])
					if err != nil {
						return err
					}
					answers[at] = append(answers[at], Mask{int(b.MaskedPositions[row]) - from, candidates})
				}
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	return answers, nil
}

// candidates are the topK tokens of the largest logits [V], those of lower ids first among equal ones.
func (f *maskFiller) candidates(logits []float32) ([]Candidate, error) {
	// The embedding can have more rows than the vocabulary has tokens.
	ids, probabilities, err := metric.TopProbabilities(logits, f.topK, func(id int) bool {
		if len(f.among) > 0 && !slices.Contains(f.among, int32(id)) {
			return false
		}
		_, ok := f.tokenizer.Token(int32(id))
		return ok
	})
	if err != nil {
		return nil, errors.New("the model's logits are not finite: its weights are broken")
	}
	candidates := make([]Candidate, len(ids))
	for i, id := range ids {
		token, _ := f.tokenizer.Token(int32(id))
		candidates[i] = Candidate{token, probabilities[i]}
	}
	return candidates, nil
}
