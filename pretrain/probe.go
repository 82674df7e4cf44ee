package pretrain

import (
	"encoding/json"
	"fmt"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/tokenizer"
)

// Details are what each evaluation of a pre-training records in its line of events.jsonl (train.Evaluation.Details).
type Details struct {
	Breakdown *Breakdown `json:"breakdown,omitempty"`
	Probes    []Probe    `json:"probes,omitempty"` // of Recipe.Probe
}

// Probe is what a model fills into a text with [MASK].
type Probe struct {
	Text  string        `json:"text"`
	Masks [][]Candidate `json:"masks"` // of each [MASK], the most probable tokens, the most probable first
}

// Candidate is a token with its probability.
type Candidate struct {
	Token       string  `json:"token"`
	Probability float64 `json:"probability"`
}

// The bounds of what an evaluation records of probes, which is a line of events.jsonl.
const (
	mostProbes = 20   // [MASK] in all texts together
	probeTop   = 5    // tokens of each
	probeBytes = 2000 // of a text
)

// ParseDetails reads the Details of a line of events.jsonl. There are none in a line of an earlier release, or of a fine-tuning.
func ParseDetails(text json.RawMessage) (*Details, error) {
	d := new(Details)
	if len(text) == 0 {
		return d, nil
	}
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("details: %w", err)
	}
	if d.Breakdown != nil {
		if err := d.Breakdown.check(); err != nil {
			return nil, fmt.Errorf("details: %w", err)
		}
	}
	for _, p := range d.Probes {
		for _, mask := range p.Masks {
			for _, c := range mask {
				if !(c.Probability >= 0 && c.Probability <= 1) {
					return nil, fmt.Errorf("details: %g is no probability", c.Probability)
				}
			}
		}
	}
	return d, nil
}

// probes are the texts of a recipe, encoded.
type probes struct {
	texts     []string
	ids       [][]int32
	types     [][]int32
	tokenizer *tokenizer.Tokenizer
}

// newProbes encodes the texts. One without [MASK], or that is longer than the model's positions, is a *recipe.Error.
func newProbes(r *Recipe, t *tokenizer.Tokenizer, positions int) (*probes, error) {
	p := &probes{texts: r.Probe, tokenizer: t}
	all := 0
	for _, text := range r.Probe {
		wrong := func(want string) error {
			return &recipe.Error{Key: "probe", Value: fmt.Sprintf("%q", text), Want: want}
		}
		if len(text) > probeBytes {
			return nil, &recipe.Error{Key: "probe", Value: fmt.Sprintf("%.40q…", text), Want: fmt.Sprintf("texts of at most %d bytes", probeBytes)}
		}
		if t.MaskID() < 0 {
			return nil, wrong("none: the vocabulary has no " + t.Config().MaskToken)
		}
		var e tokenizer.Encoding
		if err := t.Encode(&e, text, tokenizer.Options{Truncation: tokenizer.DoNotTruncate}); err != nil {
			return nil, fmt.Errorf("probe %q: %w", text, err)
		}
		masks := 0
		for _, id := range e.IDs {
			if id == t.MaskID() {
				masks++
			}
		}
		all += masks
		switch {
		case masks == 0:
			return nil, wrong("a text with a " + t.Config().MaskToken)
		case all > mostProbes:
			return nil, wrong(fmt.Sprintf("at most %d %s in all texts together", mostProbes, t.Config().MaskToken))
		case len(e.IDs) > positions:
			return nil, wrong(fmt.Sprintf("at most %d tokens, which are the model's positions", positions))
		}
		p.ids, p.types = append(p.ids, e.IDs), append(p.types, e.TypeIDs)
	}
	return p, nil
}

// fill asks the model for the most probable tokens of each text. Nil are no probes.
func (p *probes) fill(m *bert.Model) ([]Probe, error) {
	if p == nil || len(p.texts) == 0 {
		return nil, nil
	}
	var (
		b       bert.Batch
		answers []Probe
	)
	for i, ids := range p.ids {
		for at, id := range ids {
			if id == p.tokenizer.MaskID() {
				b.MaskedPositions = append(b.MaskedPositions, int32(b.Tokens()+at))
			}
		}
		b.Add(ids, p.types[i])
	}
	out, err := m.NewSession().Forward(&b, bert.Outputs{})
	if err != nil {
		return nil, fmt.Errorf("probes: %w", err)
	}
	vocabulary := len(out.Logits) / len(b.MaskedPositions)
	row := 0
	for i, text := range p.texts {
		answer := Probe{Text: text}
		_, to := b.Sequence(i)
		for ; row < len(b.MaskedPositions) && int(b.MaskedPositions[row]) < to; row++ {
			ids, probabilities, err := metric.TopProbabilities(out.Logits[row*vocabulary:][:vocabulary], probeTop, func(id int) bool {
				_, ok := p.tokenizer.Token(int32(id))
				return ok
			})
			if err != nil {
				return nil, fmt.Errorf("probe %q: %w", text, err)
			}
			var mask []Candidate
			for k, id := range ids {
				token, _ := p.tokenizer.Token(int32(id))
				mask = append(mask, Candidate{token, probabilities[k]})
			}
			answer.Masks = append(answer.Masks, mask)
		}
		answers = append(answers, answer)
	}
	return answers, nil
}
