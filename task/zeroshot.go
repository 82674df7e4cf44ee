package task

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/tokenizer"
)

// DefaultTemplate is the hypothesis of a ZeroShot where none is given.
const DefaultTemplate = "This text is {}."

// ZeroShotOptions say what a ZeroShot asks.
type ZeroShotOptions struct {
	Labels []string // at least one
	// Template makes a hypothesis of a label, which takes the place of {}; "": DefaultTemplate.
	Template string
	// MultiLabel asks for each label alone whether it holds. Otherwise one of them does, and the probabilities sum to 1.
	MultiLabel bool
}

// ZeroShot gives texts labels that no model was trained on, by natural language inference (Yin, Hay and Roth 2019,
// arXiv:1909.00161): the text is the premise, and each label a hypothesis that may follow from it. It is safe for
// concurrent use.
type ZeroShot struct {
	*engine
	options                   ZeroShotOptions
	hypotheses                []string
	entailment, contradiction int // class ids; contradiction −1 where the model knows none
	maxLength                 int
}

// OpenZeroShot makes a ZeroShot of the directory of a model of natural language inference, like one fine-tuned on mnli.
// Close it when it is no longer needed.
func OpenZeroShot(dir string, zo ZeroShotOptions, o Options) (*ZeroShot, error) {
	return open(dir, o, func(m *bert.Model, t *tokenizer.Tokenizer) (*ZeroShot, error) {
		d, err := loadDescription(dir, m, t)
		if err != nil {
			return nil, err
		}
		z, err := NewZeroShot(m, t, d, zo, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		z.owned = true
		return z, nil
	})
}

// NewZeroShot makes a ZeroShot of a model that somebody else closes. One of d's labels has to be entailment, in upper or
// lower case.
func NewZeroShot(m *bert.Model, t *tokenizer.Tokenizer, d Description, zo ZeroShotOptions, o Options) (*ZeroShot, error) {
	c := m.Config()
	if err := d.Validate(); err != nil {
		return nil, err
	}
	if err := d.checkModel(m.Head(), &c); err != nil {
		return nil, err
	}
	class := func(name string) int {
		return slices.IndexFunc(d.Labels, func(l string) bool { return strings.EqualFold(l, name) })
	}
	z := &ZeroShot{options: zo, entailment: class("entailment"), contradiction: class("contradiction"), maxLength: d.MaxSeqLength}
	z.options.Labels = slices.Clone(zo.Labels)
	template := zo.Template
	if template == "" {
		template = DefaultTemplate
	}
	switch {
	case d.Kind != SingleLabel || z.entailment < 0:
		return nil, fmt.Errorf("its labels are %s, want a model of natural language inference, with the label entailment", message.QuoteAll(d.Labels))
	case len(zo.Labels) == 0:
		return nil, errors.New("no labels to choose from")
	case strings.Count(template, "{}") != 1:
		return nil, fmt.Errorf("template %s: want {} in it, once, in the place of the label", message.Quote(template))
	}
	for i, label := range zo.Labels {
		if label == "" || slices.Contains(zo.Labels[:i], label) {
			return nil, fmt.Errorf("labels %s: want different ones, none of them empty", message.QuoteAll(zo.Labels))
		}
		z.hypotheses = append(z.hypotheses, strings.Replace(template, "{}", label, 1))
	}
	// A long text is cut, never the hypothesis.
	var err error
	z.engine, err = newEngine(m, t, tokenizer.Options{MaxLength: d.MaxSeqLength, Truncation: tokenizer.OnlyFirst}, o)
	if err != nil {
		return nil, err
	}
	return z, nil
}

// MaxSeqLength is the most tokens of a text and a hypothesis.
func (z *ZeroShot) MaxSeqLength() int { return z.maxLength }

// Predict answers texts. See Predictor.Predict.
func (z *ZeroShot) Predict(ctx context.Context, inputs []data.Input) ([]Prediction, error) {
	all, err := prepareEach(inputs, z.prepare)
	if err != nil {
		return nil, err
	}
	return z.predict(ctx, all)
}

// Stream answers what in reads. See Predictor.Stream.
func (z *ZeroShot) Stream(ctx context.Context, in data.Inputs, emit func(Item, Prediction) error) error {
	return stream(ctx, z.engine, in, z.prepare, z.predict, emit)
}

func (z *ZeroShot) prepare(scratch *tokenizer.Encoding, in *data.Input) (prepared, error) {
	out := prepared{input: *in}
	if in.TextPair != "" || in.IDs != nil {
		return out, errors.New("want a single text: its second text is the label")
	}
	for _, hypothesis := range z.hypotheses {
		pair := *in
		pair.TextPair = hypothesis
		s, err := z.engine.prepare(scratch, &pair)
		if err != nil {
			return out, err
		}
		out.sequences = append(out.sequences, s)
	}
	return out, nil
}

func (z *ZeroShot) predict(ctx context.Context, inputs []prepared) ([]Prediction, error) {
	t := newItemised(inputs, false)
	logits, err := allLogits(ctx, z.withSession, t, z.model.Head(), z.tokens, nil)
	if err != nil {
		return nil, err
	}
	predictions := make([]Prediction, len(inputs))
	for i := range inputs {
		n := len(inputs[i].sequences)
		predictions[i] = z.answer(logits[:n])
		predictions[i].cut(inputs[i].sequences)
		logits = logits[n:]
	}
	return predictions, nil
}

// answer makes of the logits for each hypothesis a prediction: one softmax over the entailments of all or, for labels that
// are asked for alone, one of each over entailment and contradiction (over all classes of a model without the latter).
func (z *ZeroShot) answer(logits [][]float32) Prediction {
	entailment := make([]float32, len(logits))
	for i, l := range logits {
		entailment[i] = l[z.entailment]
	}
	log, best := logSoftmax(entailment)
	if z.options.MultiLabel {
		for i, l := range logits {
			if z.contradiction >= 0 {
				l = []float32{l[z.entailment], l[z.contradiction]}
				alone, _ := logSoftmax(l)
				log[i] = alone[0]
				continue
			}
			alone, _ := logSoftmax(l)
			log[i] = alone[z.entailment]
		}
	}
	p := Prediction{
		Probabilities:    newScores(z.options.Labels, func(i int) float64 { return math.Exp(log[i]) }),
		LogProbabilities: newScores(z.options.Labels, func(i int) float64 { return log[i] }),
		Logits:           entailment,
	}
	if !z.options.MultiLabel {
		p.Label = z.options.Labels[best]
		return p
	}
	p.Labels = []string{}
	for i, label := range z.options.Labels {
		if log[i] > -math.Ln2 {
			p.Labels = append(p.Labels, label)
		}
	}
	return p
}
