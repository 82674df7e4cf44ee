package task

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/jsonobject"
)

// Entity is a piece of a text that has a type, such as a name.
type Entity struct {
	Type string `json:"type"`
	Text string `json:"text"`
	// Start and End are its place in bytes: in the text or, for Words, in the words with a blank between each two.
	Start int `json:"start"`
	End   int `json:"end"`
	// FirstWord and LastWord are the numbers of its words, from 0.
	FirstWord int `json:"first_word"`
	LastWord  int `json:"last_word"`
	// Score is the mean of the probabilities of its words' labels.
	Score float64 `json:"score"`
}

// fold makes a prediction of an input whose sequences come one by one, in their order.
type fold interface {
	// add takes a sequence and its logits, which are not the fold's to keep. Only kinds with places look at the sequence.
	add(s *sequence, logits []float32)
	answer() Prediction
}

// foldAll folds all sequences of an input.
func foldAll(f fold, s []sequence, logits [][]float32) Prediction {
	for i := range s {
		f.add(&s[i], logits[i])
	}
	return f.answer()
}

// gathered is the fold of kinds whose answer is made of all logits: each is a row, of a window or a choice.
type gathered struct {
	rows   [][]float32
	finish func(rows [][]float32) Prediction
}

func (g *gathered) add(_ *sequence, logits []float32) { g.rows = append(g.rows, slices.Clone(logits)) }

func (g *gathered) answer() Prediction { return g.finish(g.rows) }

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

// UnmarshalJSON is the reverse of MarshalJSON; null is NaN.
func (s *Scores) UnmarshalJSON(data []byte) error {
	out := Scores{}
	err := jsonobject.Parse(data, func(key string, value json.RawMessage) error {
		x := Score{key, math.NaN()}
		if string(value) != "null" {
			if err := jsonobject.Field(key, value, &x.Value); err != nil {
				return err
			}
		}
		out = append(out, x)
		return nil
	})
	if err == nil {
		*s = out
	}
	return err
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
	// Value is the number of a regression, and Values are those of one with several.
	Value  *float64 `json:"value,omitempty"`
	Values Scores   `json:"values,omitempty"`
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

// String is the answer in short.
func (p Prediction) String() string {
	switch {
	case p.Answer != nil && p.Answer.Text == "":
		return fmt.Sprintf("(no answer) (%.4f)", p.Answer.Probability)
	case p.Answer != nil:
		return fmt.Sprintf("%s (%.4f)", p.Answer.Text, p.Answer.Probability)
	case p.Value != nil:
		return fmt.Sprintf("%.4f", *p.Value)
	case p.Values != nil:
		names := make([]string, len(p.Values))
		for i, s := range p.Values {
			names[i] = fmt.Sprintf("%s %.4f", s.Label, s.Value)
		}
		return strings.Join(names, ", ")
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

// finite32 is jsonobject.Number with as many digits as float32 has.
func finite32(v float64) any {
	return jsonobject.Number(float32(v))
}

// Answer is a part of a context that may answer a question, or with an empty Text that there is no answer.
type Answer struct {
	Text        string  `json:"text"`
	Start       int     `json:"start"` // bytes of the context, to before End
	End         int     `json:"end"`
	Probability float64 `json:"probability"` // among the n best
	StartLogit  float32 `json:"start_logit"`
	EndLogit    float32 `json:"end_logit"`
}

func (a *Answer) score() float64 { return float64(a.StartLogit) + float64(a.EndLogit) }

// choose makes the best candidate the answer, or none where NullOdds is above the threshold.
func (p *Prediction) choose(threshold float64) {
	answer := func(a Answer) bool { return a.Text != "" }
	if i := slices.IndexFunc(p.NBest, answer); i >= 0 && *p.NullOdds <= threshold {
		p.Answer = &p.NBest[i]
		return
	}
	p.Answer = &p.NBest[slices.IndexFunc(p.NBest, func(a Answer) bool { return !answer(a) })]
}
