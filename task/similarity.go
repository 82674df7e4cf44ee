package task

import (
	"context"
	"errors"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/tokenizer"
)

// Similarity is how alike two texts are.
type Similarity struct {
	Cosine float64 `json:"cosine"` // of the angle between their vectors
	// Value is the similarity by which a sentence-transformers folder compares vectors, and Function its name there; nil and ""
	// where that is the cosine.
	Value    *float64 `json:"similarity,omitempty"`
	Function string   `json:"similarity_fn_name,omitempty"`
	// Truncated says that a text was longer than MaxLength; DroppedTokens of both were cut.
	Truncated     bool `json:"truncated,omitempty"`
	DroppedTokens int  `json:"dropped_tokens,omitempty"`
}

// Of is the number to compare pairs by: Value or, without that, Cosine.
func (s *Similarity) Of() float64 {
	if s.Value != nil {
		return *s.Value
	}
	return s.Cosine
}

// Compare gives the similarity of the two texts of each input, by their vectors. Each text is encoded by itself. o.Pooling must not
// be NoPooling.
func Compare(o EncodeOptions) Use[Similarity] {
	return Use[Similarity]{asked: Comparing, start: func(e *engine, d *Description) (*work[Similarity], error) {
		if o.Pooling == NoPooling {
			return nil, errors.New("vectors of texts are needed to compare them: want a pooling")
		}
		x, err := newEncoder(e, d, o, MeanPooling)
		if err != nil {
			return nil, err
		}
		return &work[Similarity]{prepare: x.prepareTexts, answer: x.compare, byIDs: true}, nil
	}}
}

// prepareTexts makes a sequence of each of two texts.
func (e *encoder) prepareTexts(scratch *tokenizer.Encoding, in *data.Input) (prepared, error) {
	if in.IDs != nil || !in.IsPair() {
		return prepared{}, errors.New("want two texts to compare: text and text_pair")
	}
	texts := data.Texts(in.Text, in.TextPair)
	return e.prepare(scratch, in, *e.text(&texts[0]), *e.text(&texts[1]))
}

func (e *encoder) compare(ctx context.Context, pairs []prepared) ([]Similarity, error) {
	encoded, err := e.encodeAll(ctx, pairs)
	if err != nil {
		return nil, err
	}
	answers := make([]Similarity, len(pairs))
	for i := range answers {
		a, b := &encoded[2*i], &encoded[2*i+1]
		dropped := a.DroppedTokens + b.DroppedTokens
		answers[i] = Similarity{Cosine: Cosine(a.Pooled, b.Pooled), Truncated: dropped > 0, DroppedTokens: dropped}
		if p := e.pipeline; p != nil && p.Similarity != sentence.Cosine {
			value := p.Similarity.Of(a.Pooled, b.Pooled)
			answers[i].Value, answers[i].Function = &value, p.Similarity.String()
		}
	}
	return answers, nil
}

// Cosine is the cosine of the angle between two vectors, 0 where one of them has no length.
func Cosine(a, b []float32) float64 { return sentence.Cosine.Of(a, b) }
