package task

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/tokenizer"
)

// DefaultTemplate is the hypothesis of ZeroShot where none is given.
const DefaultTemplate = "This text is {}."

// ZeroShotOptions are the labels of ZeroShot and how it asks for them.
type ZeroShotOptions struct {
	Labels []string // at least one
	// Template makes a hypothesis of a label, which takes the place of {}; "": DefaultTemplate.
	Template string
	// MultiLabel decides for each label alone whether it holds. Otherwise exactly one holds, and the probabilities sum to 1.
	MultiLabel bool
}

// ZeroShot gives texts labels that no model was trained on, by natural language inference (Yin, Hay and Roth 2019,
// arXiv:1909.00161): the text is the premise, and each label a hypothesis that may follow from it. The model is one of natural
// language inference, like one fine-tuned on mnli: one of its labels is entailment, in upper or lower case.
func ZeroShot(o ZeroShotOptions) Use[Prediction] {
	return Use[Prediction]{asked: ZeroShotting, start: func(e *engine, d *Description) (*work[Prediction], error) {
		z := &zeroShot{engine: e, options: o, entailment: d.Spec.class(entailment), contradiction: d.Spec.class(contradiction)}
		z.options.Labels = slices.Clone(o.Labels)
		template := cmp.Or(o.Template, DefaultTemplate)
		switch {
		case len(o.Labels) == 0:
			return nil, errors.New("no labels to choose from")
		case strings.Count(template, "{}") != 1:
			return nil, fmt.Errorf("template %s: want {} in it, once, in the place of the label", message.Quote(template))
		}
		seen := make(map[string]bool, len(o.Labels))
		for _, label := range o.Labels {
			if label == "" || seen[label] {
				return nil, fmt.Errorf("labels %s: want different ones, none of them empty", message.QuoteAll(o.Labels))
			}
			seen[label] = true
			z.hypotheses = append(z.hypotheses, strings.Replace(template, "{}", label, 1))
		}
		// A long text is cut, never the hypothesis.
		e.options = tokenizer.Options{MaxLength: d.Spec.MaxSeqLength, Truncation: tokenizer.OnlyFirst}
		return &work[Prediction]{prepare: z.prepare, answer: z.predict, byIDs: true}, nil
	}}
}

type zeroShot struct {
	*engine
	options                   ZeroShotOptions
	hypotheses                []string
	entailment, contradiction int // class ids; contradiction −1 where the model knows none
}

func (z *zeroShot) prepare(scratch *tokenizer.Encoding, in *data.Input) (prepared, error) {
	if in.IsPair() || in.IDs != nil {
		return prepared{}, errors.New("want a single text: its second text is the label")
	}
	return z.prepareMany(in, false, func(add func(*tokenizer.Encoding)) error { return z.encodePairs(in, scratch, add) })
}

// encodePairs calls add with the text beside each hypothesis.
func (z *zeroShot) encodePairs(in *data.Input, e *tokenizer.Encoding, add func(*tokenizer.Encoding)) error {
	repeat, err := z.repeated(in.Text)
	if err != nil {
		return err
	}
	pair := *in
	pair.Pair = true
	for _, pair.TextPair = range z.hypotheses {
		if err := repeat.encode(e, &pair); err != nil {
			return err
		}
		add(e)
	}
	return nil
}

func (z *zeroShot) predict(ctx context.Context, inputs []prepared) ([]Prediction, error) {
	return z.answerMany(ctx, inputs, func(*prepared) fold { return &gathered{finish: z.answer} },
		func(in *prepared, add func(*tokenizer.Encoding)) error {
			return z.encodePairs(&in.input, new(tokenizer.Encoding), add)
		}, func(*prepared, *Prediction) {})
}

// answer makes of the logits for each hypothesis a prediction: one softmax over the entailments of all or, for labels that
// are asked for alone, one of each over entailment and contradiction (over all classes of a model without the latter).
func (z *zeroShot) answer(logits [][]float32) Prediction {
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
