package task

import (
	"context"
	"errors"
	"math"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/tokenizer"
)

// Similarity is how alike two texts are.
type Similarity struct {
	Cosine float64 `json:"cosine"` // of the angle between their vectors
	// Truncated says that a text was longer than MaxLength; DroppedTokens of both were cut.
	Truncated     bool `json:"truncated,omitempty"`
	DroppedTokens int  `json:"dropped_tokens,omitempty"`
}

// Compare gives the similarity of the two texts of each input, by their pooled vectors. Each text is encoded by itself.
// o.Pooling must not be NoPooling.
func Compare(o EncodeOptions) Use[Similarity] {
	return Use[Similarity]{Comparing, func(e *engine, d *Description) (*work[Similarity], error) {
		if o.Pooling == NoPooling {
			return nil, errors.New("vectors of texts are needed to compare them: want a pooling")
		}
		x, err := newEncoder(e, d, o)
		if err != nil {
			return nil, err
		}
		return &work[Similarity]{prepare: x.prepareTexts, answer: x.compare, window: e.tokens}, nil
	}}
}

// prepareTexts makes a sequence of each of two texts.
func (e *encoder) prepareTexts(scratch *tokenizer.Encoding, in *data.Input) (prepared, error) {
	if in.IDs != nil || in.TextPair == "" {
		return prepared{}, errors.New("want two texts to compare: text and text_pair")
	}
	return e.prepare(scratch, in, data.Texts(in.Text, in.TextPair)...)
}

func (e *encoder) compare(ctx context.Context, pairs []prepared) ([]Similarity, error) {
	encoded, err := e.encodeAll(ctx, flatten(pairs))
	if err != nil {
		return nil, err
	}
	answers := make([]Similarity, len(pairs))
	for i := range answers {
		a, b := &encoded[2*i], &encoded[2*i+1]
		dropped := a.DroppedTokens + b.DroppedTokens
		answers[i] = Similarity{Cosine(a.Pooled, b.Pooled), dropped > 0, dropped}
	}
	return answers, nil
}

// Cosine is the cosine of the angle between two vectors, 0 where one of them has no length.
func Cosine(a, b []float32) float64 {
	dot, aa, bb := 0.0, 0.0, 0.0
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot += x * y
		aa += x * x
		bb += y * y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return max(-1, min(1, dot/math.Sqrt(aa)/math.Sqrt(bb)))
}
