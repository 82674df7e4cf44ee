package bert

import (
	"fmt"
	"slices"
	"strings"
)

// Head is what a model has on top of the encoder.
type Head uint8

const (
	// NoHead is the encoder with its pooler: hidden states and a vector for each sequence.
	NoHead Head = iota
	// PreTraining is the masked language model and the next-sentence classifier (paper §3.1).
	PreTraining
	// MaskedLM is the masked language model alone.
	MaskedLM
	// NextSentence is the next-sentence classifier alone.
	NextSentence
	// SequenceClassification is a dense layer over the pooled output: one class of several, several at once, or a
	// number, as Config.ProblemType says.
	SequenceClassification
	// TokenClassification is a dense layer over each token.
	TokenClassification
	// QuestionAnswering scores each token as the first and as the last of the answer.
	QuestionAnswering
	// MultipleChoice gives each choice one score; the choices of an example are consecutive sequences of the batch.
	MultipleChoice
)

// headInfo is a row of the table of heads.
type headInfo struct {
	architecture string // Hugging Face's class
	prefix       string // of the encoder's tensors in a model file
	pooler       bool   // Hugging Face's class has the pooler
	maskedLM     bool
	nextSentence bool
	// losses are the terms of the head's loss, rows of the table of losses; nil: it has none.
	losses func(ProblemType) []lossKind

	// Of a head with a final dense layer:
	output    string            // the layer's name, "" for none
	google    string            // what precedes "output_weights" in google-research/bert's names
	outputs   func(*Config) int // its width
	perToken  bool              // it takes each token's hidden state, not the pooled vector
	noDropout bool              // before it, as in run_squad.py
}

var heads = [...]headInfo{
	NoHead: {architecture: "BertModel", pooler: true},
	PreTraining: {
		architecture: "BertForPreTraining", prefix: "bert.", pooler: true, maskedLM: true, nextSentence: true,
		losses: always(preTrainingMaskedLoss, nextSentenceLoss),
	},
	MaskedLM: {
		architecture: "BertForMaskedLM", prefix: "bert.", maskedLM: true, losses: always(maskedLoss),
	},
	NextSentence: {
		architecture: "BertForNextSentencePrediction", prefix: "bert.", pooler: true, nextSentence: true,
		losses: always(nextSentenceLoss),
	},
	SequenceClassification: {
		architecture: "BertForSequenceClassification", prefix: "bert.", pooler: true, output: "classifier",
		outputs: (*Config).NumLabels, losses: func(p ProblemType) []lossKind { return problems[p].losses },
	},
	TokenClassification: {
		architecture: "BertForTokenClassification", prefix: "bert.", output: "classifier",
		outputs: (*Config).NumLabels, perToken: true, losses: always(tokenLoss),
	},
	QuestionAnswering: {
		architecture: "BertForQuestionAnswering", prefix: "bert.", output: "qa_outputs", google: "cls/squad/",
		outputs: func(*Config) int { return 2 }, perToken: true, noDropout: true, losses: always(startLoss, endLoss),
	},
	MultipleChoice: {
		architecture: "BertForMultipleChoice", prefix: "bert.", pooler: true, output: "classifier",
		outputs: func(*Config) int { return 1 }, losses: always(choiceLoss),
	},
}

// labels reports whether the head's layer has an output for each label.
func (h *headInfo) labels() bool {
	return h.output == "classifier" && h.architecture != "BertForMultipleChoice"
}

// always is a head's losses where they don't depend on the type of problem.
func always(kinds ...lossKind) func(ProblemType) []lossKind {
	return func(ProblemType) []lossKind { return kinds }
}

// String is the head's architecture in Hugging Face's terms.
func (h Head) String() string {
	if int(h) < len(heads) {
		return heads[h].architecture
	}
	return fmt.Sprintf("Head(%d)", uint8(h))
}

// ParseHead is the head of an architecture, as String returns it.
func ParseHead(architecture string) (Head, error) {
	i := slices.IndexFunc(heads[:], func(h headInfo) bool { return h.architecture == architecture })
	if i < 0 {
		names := make([]string, len(heads))
		for i := range heads {
			names[i] = heads[i].architecture
		}
		return 0, fmt.Errorf("unknown architecture %q: want one of %s", architecture, strings.Join(names, ", "))
	}
	return Head(i), nil
}

// MarshalText is String; an unknown head is an error.
func (h Head) MarshalText() ([]byte, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	return []byte(h.String()), nil
}

// UnmarshalText is ParseHead.
func (h *Head) UnmarshalText(text []byte) (err error) {
	*h, err = ParseHead(string(text))
	return err
}

func (h Head) check() error {
	if int(h) >= len(heads) {
		return fmt.Errorf("unknown head %d", uint8(h))
	}
	return nil
}

// HeadOf is the head that a configuration's architectures name, those of TensorFlow and Flax too. Without any, it is NoHead. A
// class that is not one of Hugging Face's is an error: only the tensors of its file say which head it has.
func HeadOf(c *Config) (Head, error) {
	if len(c.Architectures) == 0 {
		return NoHead, nil
	}
	if head, ok := c.namedHead(); ok {
		return head, nil
	}
	return ParseHead(c.Architectures[0])
}

// namedHead is the head that the configuration's architectures name, if they do.
func (c *Config) namedHead() (Head, bool) {
	for _, name := range c.Architectures {
		for _, framework := range []string{"TF", "Flax"} {
			name = strings.TrimPrefix(name, framework)
		}
		if name == "BertLMHeadModel" { // the masked LM's tensors; is_decoder says that they predict the next token
			return MaskedLM, true
		}
		if i := slices.IndexFunc(heads[:], func(h headInfo) bool { return h.architecture == name }); i >= 0 {
			return Head(i), true
		}
	}
	return 0, false
}

// outputs is the width of the head's final dense layer, 0 without one.
func (h Head) outputs(c *Config) int {
	if heads[h].outputs == nil {
		return 0
	}
	return heads[h].outputs(c)
}

// losses are the terms of the head's loss.
func (h Head) losses(c *Config) []lossKind {
	if heads[h].losses == nil {
		return nil
	}
	return heads[h].losses(c.Problem())
}

// pooledOnly reports whether the head takes the pooled vectors alone, and so the first tokens' hidden states.
func (m *Model) pooledOnly() bool { return m.pooler && !heads[m.head].maskedLM }

// HeadChoice says which head a model gets: a [Head], [HeadOfTensors], or nil for the one that the configuration names or, where
// it names no class of Hugging Face's, the one whose tensors are in the file.
type HeadChoice interface {
	// choose is the head of a configuration, whose file has the tensors of found; found is nil where there is no file.
	choose(c *Config, found *Head) (Head, error)
}

func (h Head) choose(*Config, *Head) (Head, error) { return h, h.check() }

// HeadOfTensors chooses the head of pre-training whose tensors a file has, whichever of them the configuration names: so that
// nothing is left over of a checkpoint of both whose configuration says that it is a masked LM, as published ones do.
// For classifiers, whose tensors look alike, it is the configuration that counts.
var HeadOfTensors HeadChoice = headOfTensors{}

type headOfTensors struct{}

func (headOfTensors) choose(c *Config, found *Head) (Head, error) {
	named, err := headOfConfig{}.choose(c, found)
	if err != nil || found == nil || heads[named].output != "" || heads[*found].output != "" {
		return named, err
	}
	return *found, nil
}

// headOfConfig is the choice if none was made.
type headOfConfig struct{}

func (headOfConfig) choose(c *Config, found *Head) (Head, error) {
	if head, ok := c.namedHead(); !ok && found != nil {
		return *found, nil
	} else if ok {
		return head, nil
	}
	return HeadOf(c)
}

// headChoice is the choice of o.
func (o *Options) headChoice() HeadChoice {
	if o.Head == nil {
		return headOfConfig{}
	}
	return o.Head
}
