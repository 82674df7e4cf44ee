package task

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/jsonobject"
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

// MarshalJSON writes an object with a key for each label, and as many digits as float32 has: the rest is noise.
func (s Scores) MarshalJSON() ([]byte, error) {
	return jsonobject.Marshal(len(s), func(i int) (string, any) { return s[i].Label, finite32(s[i].Value) })
}

// newScores is a score for each label.
func newScores(labels []string, value func(i int) float64) Scores {
	s := make(Scores, len(labels))
	for i, label := range labels {
		s[i] = Score{label, value(i)}
	}
	return s
}

// Prediction is a model's answer to an input. Which fields it has depends on the model's Kind.
type Prediction struct {
	// Label is the most probable one, of several labels or of the input's choices.
	Label string `json:"label,omitempty"`
	// Labels are those with a probability above a half, of a multi-label classifier, or one for each of the input's Words;
	// not nil, but perhaps empty.
	Labels []string `json:"labels,omitzero"`
	// Value is the number of a regression.
	Value *float64 `json:"value,omitempty"`
	// Choice is the number of the most probable of the input's choices, from 0.
	Choice *int `json:"choice,omitempty"`
	// Entities are those that the labels of words spell, in the order of the text; not nil, but perhaps empty.
	Entities []Entity `json:"entities,omitzero"`

	// Answer is the answer to a question, NBest are the most probable candidates, the best first, and NullOdds is the score of
	// there being none minus that of the best candidate, where there may be none.
	Answer   *Answer  `json:"answer,omitempty"`
	NBest    []Answer `json:"n_best,omitempty"`
	NullOdds *float64 `json:"null_odds,omitempty"`
	best     string   // the best candidate, whether or not it is the answer

	Probabilities    Scores    `json:"probabilities,omitempty"`
	LogProbabilities Scores    `json:"log_probabilities,omitempty"` // natural logarithms
	Logits           []float32 `json:"logits,omitempty"`            // by label or choice; of several windows the mean

	// Truncated says that the input was longer than the model takes: the answer is about what was left of it after
	// DroppedTokens were cut.
	Truncated     bool `json:"truncated,omitempty"`
	DroppedTokens int  `json:"dropped_tokens,omitempty"`
	// Windows is the number of windows that a long input was read in; 0: in one piece.
	Windows int `json:"windows,omitempty"`
}

// Predictor answers texts with a fine-tuned model. It is safe for concurrent use.
type Predictor struct {
	*engine
	description Description
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
	if err := d.Validate(); err != nil {
		return nil, err
	}
	if err := d.checkModel(m.Head(), &c); err != nil {
		return nil, err
	}
	e, err := newEngine(m, t, d.options(), o)
	if err != nil {
		return nil, err
	}
	p := &Predictor{engine: e, description: d}
	e.description = &p.description
	return p, nil
}

// MaxSeqLength is the most tokens of a sequence.
func (p *Predictor) MaxSeqLength() int { return p.description.MaxSeqLength }

// Description says what the model was made for.
func (p *Predictor) Description() Description { return p.description }

func (p *Predictor) kind() *kindInfo { return &kinds[p.description.Kind] }

// Predict answers inputs; an answer is the same whatever inputs are beside it. A bad input fails all, with its index
// in the error. When ctx ends, Predict ends after the batch it is at, with the cause.
func (p *Predictor) Predict(ctx context.Context, inputs []data.Input) ([]Prediction, error) {
	all, err := prepareEach(inputs, p.prepare)
	if err != nil {
		return nil, err
	}
	return p.predict(ctx, all)
}

// Stream answers what in reads and hands inputs and predictions to emit in their order. An error of emit ends it.
// Inputs are answered as they come, and put together where many wait. Where one is bad, those before it are answered, and
// then it is the error; or it is left out, as in decides.
func (p *Predictor) Stream(ctx context.Context, in data.Inputs, emit func(Item, Prediction) error) error {
	return stream(ctx, p.engine, in, p.prepare, p.predict, emit)
}

// prepareEach prepares inputs. An error says which is bad.
func prepareEach(inputs []data.Input, prepare func(*tokenizer.Encoding, *data.Input) (prepared, error)) ([]prepared, error) {
	var (
		all     = make([]prepared, len(inputs))
		scratch tokenizer.Encoding
		err     error
	)
	for i := range inputs {
		if all[i], err = prepare(&scratch, &inputs[i]); err != nil {
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
	}
	return all, nil
}

// prepared is an input with its sequences.
type prepared struct {
	input     data.Input
	sequences []sequence
}

func (p prepared) weight() int {
	n := 0
	for _, s := range p.sequences {
		n += s.cost
	}
	return n
}

// prepare turns an input into features, by way of scratch.
func (p *Predictor) prepare(scratch *tokenizer.Encoding, in *data.Input) (prepared, error) {
	out := prepared{input: *in}
	err := p.kind().codec.encode(&p.featurizer, in, scratch, func(e *tokenizer.Encoding) {
		out.sequences = append(out.sequences, newSequence(e, p.kind().places))
	})
	for i := range out.sequences {
		if err == nil {
			err = p.checkTypes(&out.sequences[i])
		}
	}
	return out, err
}

// itemised is sequences in items: each one of its own, or the choices of an input together.
type itemised struct {
	sequences
	starts []int // of each item in the sequences, and the end
}

// newItemised makes an item of each sequence or, with together, of those of each input.
func newItemised(inputs []prepared, together bool) *itemised {
	t := &itemised{starts: []int{0}}
	for i := range inputs {
		before := len(t.sequences)
		t.sequences = append(t.sequences, inputs[i].sequences...)
		if together {
			before = len(t.sequences) - 1
		}
		for s := before; s < len(t.sequences); s++ {
			t.starts = append(t.starts, s+1)
		}
	}
	return t
}

func (t *itemised) Len() int            { return len(t.starts) - 1 }
func (t *itemised) Sequences(i int) int { return t.starts[i+1] - t.starts[i] }
func (t *itemised) Length(i int) int {
	return prepared{sequences: t.sequences[t.starts[i]:t.starts[i+1]]}.weight()
}

func (t *itemised) Append(b *bert.Batch, i int) error {
	for s := t.starts[i]; s < t.starts[i+1]; s++ {
		if err := t.sequences.Append(b, s); err != nil {
			return err
		}
	}
	return nil
}

func (p *Predictor) predict(ctx context.Context, inputs []prepared) ([]Prediction, error) {
	t := newItemised(inputs, p.kind().choices)
	logits, err := allLogits(ctx, p.withSession, t, p.model.Head(), p.tokens, nil)
	if err != nil {
		return nil, err
	}
	predictions := make([]Prediction, len(inputs))
	for i := range inputs {
		in, n := &inputs[i], 1
		if !p.kind().choices {
			n = len(in.sequences)
		}
		answer := p.kind().codec.answer(&p.description, &in.input, in.sequences, logits[:n])
		logits = logits[n:]
		answer.cut(in.sequences)
		if !p.kind().choices && n > 1 {
			answer.Windows = n
		}
		predictions[i] = answer
	}
	return predictions, nil
}

// cut says what was cut from the sequences that p is about.
func (p *Prediction) cut(s []sequence) {
	for i := range s {
		p.DroppedTokens += s[i].dropped
	}
	p.Truncated = p.DroppedTokens > 0
}

// String is the answer in short.
func (p Prediction) String() string {
	switch {
	case p.Answer != nil && p.Answer.Text == "":
		return fmt.Sprintf("(no answer) (%.4f)", p.Answer.Probability)
	case p.Answer != nil:
		return fmt.Sprintf("%s (%.4f)", p.Answer.Text, p.Answer.Probability)
	case p.Value != nil:
		return fmt.Sprintf("%.4f", *p.Value)
	case p.Entities != nil:
		names := make([]string, len(p.Entities))
		for i, e := range p.Entities {
			names[i] = fmt.Sprintf("%s: %s (%.4f)", e.Type, e.Text, e.Score)
		}
		return strings.Join(names, ", ")
	case p.Labels != nil:
		names := make([]string, len(p.Labels))
		for i, label := range p.Labels {
			names[i] = fmt.Sprintf("%s (%.4f)", label, p.Probabilities.Of(label))
		}
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s (%.4f)", p.Label, p.Probabilities.Of(p.Label))
}
