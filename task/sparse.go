package task

import (
	"context"
	"fmt"
	"math"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/tokenizer"
)

// SparseWeight is how much a token of the vocabulary says about a text.
type SparseWeight struct {
	ID     int32   `json:"id"`
	Weight float32 `json:"weight"`
}

// SparseOptions are those of Sparse. The zero value is good.
type SparseOptions struct {
	// MaxLength is the most tokens of a text, which is truncated to them; 0: what the tokenizer and the model take.
	MaxLength int
	// TruncateLeft cuts the beginning of a text in place of its end.
	TruncateLeft bool
}

// Sparse gives a text as weights of the vocabulary's tokens, by a masked language model that was trained for it: SPLADE with max
// pooling (Formal, Lassance, Piwowarski and Clinchant 2021, arXiv:2109.10086, §3.1). The weight of a token is the largest log(1+x) of
// its logits x > 0 at all places of the text; those of weight 0 are left out. The weights are in the order of the ids.
func Sparse(o SparseOptions) Use[[]SparseWeight] {
	return Use[[]SparseWeight]{asked: FillingMasks, start: func(e *engine, d *Description) (*work[[]SparseWeight], error) {
		longest := d.Config.MaxPositionEmbeddings
		if n := o.MaxLength; n != 0 && (n < minSeqLength || n > longest) {
			return nil, fmt.Errorf("the longest sequence is %d, want %d to %d", n, minSeqLength, longest)
		}
		if n := d.Tokenizer.Config().ModelMaxLength; n >= minSeqLength {
			longest = min(longest, n)
		}
		if o.MaxLength > 0 {
			longest = min(longest, o.MaxLength)
		}
		e.options = tokenizer.Options{MaxLength: longest, TruncateLeft: o.TruncateLeft}
		e.finish = func(s *sequence) error {
			s.cost += maskCost * len(s.ids) // every place has logits
			return nil
		}
		return &work[[]SparseWeight]{prepare: e.prepareOne, answer: e.sparse, byIDs: true}, nil
	}}
}

// everywhere is sequences of which the logits of all tokens are asked for.
type everywhere struct{ sequences }

func (s everywhere) Append(b *bert.Batch, i int) error {
	at := b.Tokens()
	for j := range s.sequences[i].ids {
		b.MaskedPositions = append(b.MaskedPositions, int32(at+j))
	}
	return s.sequences.Append(b, i)
}

func (e *engine) sparse(ctx context.Context, inputs []prepared) ([][]SparseWeight, error) {
	s := flatten(inputs)
	answers := make([][]SparseWeight, len(s))
	v := e.vocab
	highest := make([]float32, v)
	err := forward(ctx, e.withSession, everywhere{s}, e.tokens, bert.Outputs{}, func(indices []int, b *bert.Batch, out *bert.Output) error {
		for i, at := range indices {
			clear(highest)
			from, to := b.Sequence(i)
			for t := from; t < to; t++ {
				for id, x := range out.Logits[t*v : (t+1)*v] {
					highest[id] = max(highest[id], x)
				}
			}
			answers[at] = []SparseWeight{}
			for id, x := range highest {
				if x > 0 {
					answers[at] = append(answers[at], SparseWeight{int32(id), float32(math.Log1p(float64(x)))})
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answers, nil
}
