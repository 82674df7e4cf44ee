package task

import (
	"context"
	"fmt"
	"math"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/tokenizer"
)

// Score is a number that a label has.
type Score struct {
	Label string
	Value float64
}

// Scores are the labels' numbers in the order of their ids. In JSON they are an object that keeps the order.
type Scores []Score

// Of is a label's number, NaN for another model's label.
func (s Scores) Of(label string) float64 {
	for _, x := range s {
		if x.Label == label {
			return x.Value
		}
	}
	return math.NaN()
}

// MarshalJSON writes an object with a key for each label.
func (s Scores) MarshalJSON() ([]byte, error) {
	return orderedObject(len(s), func(i int) (string, any) { return s[i].Label, s[i].Value })
}

// Prediction is a classifier's answer to an input.
type Prediction struct {
	Label            string    `json:"label"` // the most probable one
	Probabilities    Scores    `json:"probabilities"`
	LogProbabilities Scores    `json:"log_probabilities"` // natural logarithms
	Logits           []float32 `json:"logits"`            // by class id
	// Truncated says that the input was longer than the model takes: the answer is about what was left of it after
	// DroppedTokens were cut.
	Truncated     bool `json:"truncated,omitempty"`
	DroppedTokens int  `json:"dropped_tokens,omitempty"`
}

// Predictor classifies texts. It is safe for concurrent use.
type Predictor struct {
	*engine
	description Description
	labels      []string
}

// Open makes a Predictor of a model directory: config.json, the weights, the tokenizer's files and, where it was
// fine-tuned here, task.json. Without task.json the labels are config.json's, and texts are truncated to what the
// tokenizer's model_max_length or the model's positions allow. Close it when it is no longer needed.
func Open(dir string, o Options) (*Predictor, error) {
	return open(dir, o, func(m *bert.Model, t *tokenizer.Tokenizer) (*Predictor, error) {
		d, err := loadDescription(dir, m, t)
		if err != nil {
			return nil, err
		}
		p, err := NewPredictor(m, t, d, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		p.owned = true
		return p, nil
	})
}

// NewPredictor makes a Predictor of a model that somebody else closes. o.Model isn't used.
func NewPredictor(m *bert.Model, t *tokenizer.Tokenizer, d Description, o Options) (*Predictor, error) {
	c := m.Config()
	if err := checkClassifier(m.Head(), &c); err != nil {
		return nil, err
	}
	if err := d.Validate(); err != nil {
		return nil, err
	}
	if err := d.checkModel(&c); err != nil {
		return nil, err
	}
	e, err := newEngine(m, t, d.options(), o)
	if err != nil {
		return nil, err
	}
	return &Predictor{engine: e, description: d, labels: c.Labels}, nil
}

// Description says what the model was made for.
func (p *Predictor) Description() Description { return p.description }

// Predict classifies inputs; an answer is the same whatever inputs are beside it. A bad input fails all, with its index
// in the error. When ctx ends, Predict ends after the batch it is at, with the cause.
func (p *Predictor) Predict(ctx context.Context, inputs []Input) ([]Prediction, error) {
	s, err := p.prepareAll(inputs)
	if err != nil {
		return nil, err
	}
	return p.predict(ctx, s)
}

// Stream classifies what in reads and hands inputs and predictions to emit in their order. An error of emit ends it.
// Inputs are answered as they come, and put together where many wait. Where one is bad, those before it are answered, and
// then it is the error; or it is left out, as in decides.
func (p *Predictor) Stream(ctx context.Context, in Inputs, emit func(Item, Prediction) error) error {
	return stream(ctx, p.engine, in, p.predict, emit)
}

func (p *Predictor) predict(ctx context.Context, s sequences) ([]Prediction, error) {
	classes := len(p.labels)
	logits, err := classLogits(ctx, p.withSession, s, classes, p.tokens, nil)
	if err != nil {
		return nil, err
	}
	predictions := make([]Prediction, len(s))
	for i := range s {
		predictions[i] = p.prediction(logits[i*classes : (i+1)*classes : (i+1)*classes])
		predictions[i].Truncated = s[i].dropped > 0
		predictions[i].DroppedTokens = s[i].dropped
	}
	return predictions, nil
}

func (p *Predictor) prediction(logits []float32) Prediction {
	log, best := logSoftmax(logits)
	scores := func(value func(i int) float64) Scores {
		s := make(Scores, len(logits))
		for i, label := range p.labels {
			s[i] = Score{label, value(i)}
		}
		return s
	}
	return Prediction{
		Label:            p.labels[best],
		Probabilities:    scores(func(i int) float64 { return math.Exp(log[i]) }),
		LogProbabilities: scores(func(i int) float64 { return log[i] }),
		Logits:           logits,
	}
}

// String is the label with its probability.
func (p Prediction) String() string {
	return fmt.Sprintf("%s (%.4f)", p.Label, p.Probabilities.Of(p.Label))
}
