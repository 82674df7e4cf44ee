package bert

import (
	"fmt"
	"slices"
)

// Head is what stands on top of the encoder.
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
	output       string // name of the final dense layer, "" for none
}

var heads = [...]headInfo{
	NoHead:                 {architecture: "BertModel", pooler: true},
	PreTraining:            {architecture: "BertForPreTraining", prefix: "bert.", pooler: true, maskedLM: true, nextSentence: true},
	MaskedLM:               {architecture: "BertForMaskedLM", prefix: "bert.", maskedLM: true},
	NextSentence:           {architecture: "BertForNextSentencePrediction", prefix: "bert.", pooler: true, nextSentence: true},
	SequenceClassification: {architecture: "BertForSequenceClassification", prefix: "bert.", pooler: true, output: "classifier"},
	TokenClassification:    {architecture: "BertForTokenClassification", prefix: "bert.", output: "classifier"},
	QuestionAnswering:      {architecture: "BertForQuestionAnswering", prefix: "bert.", output: "qa_outputs"},
	MultipleChoice:         {architecture: "BertForMultipleChoice", prefix: "bert.", pooler: true, output: "classifier"},
}

// String is the head's architecture in Hugging Face's terms.
func (h Head) String() string { return heads[h].architecture }

// HeadOf is the head that a configuration's architectures name. Without any, it is NoHead.
func HeadOf(c *Config) (Head, error) {
	if len(c.Architectures) == 0 {
		return NoHead, nil
	}
	name := c.Architectures[0]
	i := slices.IndexFunc(heads[:], func(h headInfo) bool { return h.architecture == name })
	if i < 0 {
		return 0, fmt.Errorf("architecture %q is no BERT with a head known here", name)
	}
	return Head(i), nil
}

// outputs is the width of the head's final dense layer.
func (h Head) outputs(c *Config) int {
	switch h {
	case SequenceClassification, TokenClassification:
		return len(c.Labels)
	case QuestionAnswering:
		return 2
	case MultipleChoice:
		return 1
	default:
		return 0
	}
}
