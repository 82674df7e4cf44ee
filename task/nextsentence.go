package task

import (
	"fmt"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/tokenizer"
)

// nextSentenceLabels are what a next-sentence head tells apart, in the order of its outputs: the second text follows the first, or
// is from elsewhere (google-research/bert run_pretraining.py, get_next_sentence_output; Hugging Face's
// BertForNextSentencePrediction).
var nextSentenceLabels = []string{"is_next", "not_next"}

// tellsNext reports whether a head has a next-sentence classifier, alone or beside the masked language model.
func tellsNext(head bert.Head) bool { return head == bert.NextSentence || head == bert.PreTraining }

// nextSentenceSpec is the Spec of a model that was pre-trained, and answers no other question.
func nextSentenceSpec(c *bert.Config, t *tokenizer.Tokenizer) (*Spec, error) {
	labelled := *c
	labelled.Labels = nextSentenceLabels
	return bareSpec(SingleLabel, &labelled, t, nil)
}

// checkPair reports an input that is no pair of texts.
func checkPair(head bert.Head, in *data.Input) error {
	if in.IDs != nil || in.TextPair != "" {
		return nil
	}
	return fmt.Errorf("a %v says whether a second text follows the first: want a pair of texts, or a model that is fine-tuned", head)
}
