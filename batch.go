package bert

import (
	"fmt"
)

// Batch is a ragged batch: the token ids of all its sequences end to end, and where each begins. There is no padding
// and no mask; attention runs inside each sequence.
//
// Legend: B sequences, T tokens of all of them, C classes, M masked tokens.
//
// A Batch is filled by Add and used again after Reset. The labels are for the head that needs them; the others stay
// empty.
type Batch struct {
	IDs     []int32 // [T]
	TypeIDs []int32 // [T]: the segment of each token
	Starts  []int   // [B+1]: sequence b is the tokens Starts[b]…Starts[b+1]

	// Classes holds the class of each sequence, [B]; for multiple choice the right choice of each example, [B/Choices].
	Classes []int32
	// Values holds the targets of a regression, [B], or of a multi-label classifier, [B, C] of 0 and 1.
	Values []float32
	// Weights weighs the sequences' losses, [B]; empty for ones.
	Weights []float32
	// Choices is the number of choices of an example of multiple choice.
	Choices int
	// TokenClasses holds the class of each token, [T]; a negative one takes no part.
	TokenClasses []int32
	// From and To are the first and the last token of each sequence's answer, counted within the sequence, [B].
	From, To []int32
	// MaskedPositions says which tokens the masked language model predicts, as indices into IDs, [M], rising.
	MaskedPositions []int32
	// MaskedIDs are the ids that stood there, [M].
	MaskedIDs []int32
	// NextSentence is 0 where the second segment follows the first and 1 where it is a random one, [B].
	NextSentence []int32
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	*b = Batch{
		IDs: b.IDs[:0], TypeIDs: b.TypeIDs[:0], Starts: b.Starts[:0], Classes: b.Classes[:0], Values: b.Values[:0],
		Weights: b.Weights[:0], TokenClasses: b.TokenClasses[:0], From: b.From[:0], To: b.To[:0],
		MaskedPositions: b.MaskedPositions[:0], MaskedIDs: b.MaskedIDs[:0], NextSentence: b.NextSentence[:0],
	}
}

// Add appends a sequence. typeIDs may be nil for a single segment.
func (b *Batch) Add(ids, typeIDs []int32) {
	if len(b.Starts) == 0 {
		b.Starts = append(b.Starts, 0)
	}
	b.IDs = append(b.IDs, ids...)
	b.TypeIDs = append(b.TypeIDs, typeIDs...)
	for range len(ids) - len(typeIDs) {
		b.TypeIDs = append(b.TypeIDs, 0)
	}
	b.Starts = append(b.Starts, len(b.IDs))
}

// Len is B, the number of sequences.
func (b *Batch) Len() int { return max(0, len(b.Starts)-1) }

// Tokens is T, the number of tokens.
func (b *Batch) Tokens() int { return len(b.IDs) }

// Sequence is the range of sequence i in IDs.
func (b *Batch) Sequence(i int) (from, to int) { return b.Starts[i], b.Starts[i+1] }

// check reports the first thing in b that a model of configuration c can't take.
func (b *Batch) check(c *Config) error {
	if b.Len() == 0 {
		return fmt.Errorf("batch is empty")
	}
	if len(b.TypeIDs) != len(b.IDs) {
		return fmt.Errorf("batch has %d type ids for %d tokens", len(b.TypeIDs), len(b.IDs))
	}
	if b.Starts[0] != 0 || b.Starts[b.Len()] != len(b.IDs) {
		return fmt.Errorf("batch's sequences span %d to %d, want 0 to %d", b.Starts[0], b.Starts[b.Len()], len(b.IDs))
	}
	for i := range b.Len() {
		from, to := b.Sequence(i)
		switch n := to - from; {
		case n < 1:
			return fmt.Errorf("sequence %d of the batch has %d tokens, want at least 1", i, n)
		case n > c.MaxPositionEmbeddings:
			return fmt.Errorf("sequence %d of the batch has %d tokens, the model has %d positions: truncate it", i, n, c.MaxPositionEmbeddings)
		}
		for j := from; j < to; j++ {
			if id := b.IDs[j]; id < 0 || int(id) >= c.VocabSize {
				return fmt.Errorf("sequence %d of the batch, token %d: id %d is outside the model's vocabulary of %d", i, j-from, id, c.VocabSize)
			}
			if id := b.TypeIDs[j]; id < 0 || int(id) >= c.TypeVocabSize {
				return fmt.Errorf("sequence %d of the batch, token %d: type id %d is outside the model's %d types", i, j-from, id, c.TypeVocabSize)
			}
		}
	}
	return nil
}

// checkLabels reports the first thing in b's labels that the head can't take.
func (b *Batch) checkLabels(c *Config, head Head) error {
	count := func(what string, got, want int) error {
		if got != want {
			return fmt.Errorf("batch has %d %s, want %d", got, what, want)
		}
		return nil
	}
	classes := func(what string, labels []int32, n int) error {
		for i, l := range labels {
			if int(l) >= n {
				return fmt.Errorf("%s %d of the batch is %d, the model has %d classes", what, i, l, n)
			}
		}
		return nil
	}
	if len(b.Weights) != 0 {
		if err := count("weights", len(b.Weights), b.Len()); err != nil {
			return err
		}
	}
	switch head {
	case NoHead:
		return fmt.Errorf("a %v has no loss: give it a head", head)
	case PreTraining, MaskedLM, NextSentence:
		if heads[head].maskedLM {
			if err := count("masked ids", len(b.MaskedIDs), len(b.MaskedPositions)); err != nil {
				return err
			}
			if err := classes("masked id", b.MaskedIDs, c.VocabSize); err != nil {
				return err
			}
			if err := b.checkMaskedPositions(); err != nil {
				return err
			}
		}
		if heads[head].nextSentence {
			if err := count("next-sentence labels", len(b.NextSentence), b.Len()); err != nil {
				return err
			}
			return classes("next-sentence label", b.NextSentence, 2)
		}
		return nil
	case TokenClassification:
		if err := count("token classes", len(b.TokenClasses), len(b.IDs)); err != nil {
			return err
		}
		return classes("token class", b.TokenClasses, len(c.Labels))
	case QuestionAnswering:
		if err := count("answer starts", len(b.From), b.Len()); err != nil {
			return err
		}
		return count("answer ends", len(b.To), b.Len())
	case MultipleChoice:
		if err := b.checkChoices(); err != nil {
			return err
		}
		if err := count("right choices", len(b.Classes), b.Len()/b.Choices); err != nil {
			return err
		}
		return classes("right choice", b.Classes, b.Choices)
	}
	switch c.problemType() {
	case RegressionProblem:
		return count("values", len(b.Values), b.Len())
	case MultiLabelClassification:
		return count("values", len(b.Values), b.Len()*len(c.Labels))
	}
	if err := count("classes", len(b.Classes), b.Len()); err != nil {
		return err
	}
	return classes("class", b.Classes, len(c.Labels))
}

func (b *Batch) checkChoices() error {
	if b.Choices < 1 || b.Len()%b.Choices != 0 {
		return fmt.Errorf("batch has %d sequences of %d choices each, want a multiple", b.Len(), b.Choices)
	}
	return nil
}

func (b *Batch) checkMaskedPositions() error {
	for i, p := range b.MaskedPositions {
		if p < 0 || int(p) >= len(b.IDs) {
			return fmt.Errorf("masked position %d of the batch is token %d of %d", i, p, len(b.IDs))
		}
	}
	return nil
}
