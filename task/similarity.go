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

// Similarities compares the two texts of each input by their pooled vectors. Each text is encoded by itself.
func (e *Encoder) Similarities(ctx context.Context, pairs []data.Input) ([]Similarity, error) {
	all, err := prepareEach(pairs, e.prepareTexts)
	if err != nil {
		return nil, err
	}
	return e.compare(ctx, all)
}

// StreamSimilarities compares the pairs that in reads. See Predictor.Stream.
func (e *Encoder) StreamSimilarities(ctx context.Context, in data.Inputs, emit func(Item, Similarity) error) error {
	return stream(ctx, e.engine, in, e.prepareTexts, e.compare, emit)
}

// prepareTexts makes a sequence of each of two texts.
func (e *Encoder) prepareTexts(scratch *tokenizer.Encoding, in *data.Input) (prepared, error) {
	out := prepared{input: *in}
	switch {
	case e.options.Pooling == NoPooling:
		return out, errors.New("vectors of texts are needed to compare them: want a pooling")
	case in.IDs != nil || in.TextPair == "":
		return out, errors.New("want two texts to compare: text and text_pair")
	}
	for _, text := range data.Texts(in.Text, in.TextPair) {
		s, err := e.prepare(scratch, &text)
		if err != nil {
			return out, err
		}
		out.sequences = append(out.sequences, s)
	}
	return out, nil
}

func (e *Encoder) compare(ctx context.Context, pairs []prepared) ([]Similarity, error) {
	var texts []sequence
	for _, p := range pairs {
		texts = append(texts, p.sequences...)
	}
	encoded, err := e.encodeAll(ctx, texts)
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
