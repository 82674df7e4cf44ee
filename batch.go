package bert

// Batch is a ragged batch: the token ids of all its sequences end to end, and where each begins. There is no padding
// and no mask; attention runs inside each sequence.
//
// Legend: B sequences, T tokens of all of them, H hidden, C classes, M masked tokens.
//
// A Batch is filled by Add and used again after Reset. The labels are for the head that needs them; the others stay
// empty. A negative label takes no part in the loss.
//
// Beside labels there is a place for probabilities, as a teacher gives them. A row has one target: its label, if there are
// labels and it isn't negative; else its probabilities, if they are not all zero, which have to add up to 1; else none. So a
// batch may have rows of both kinds. Cross-entropy is linear in its target: a mixture of a label and a distribution is one
// distribution, α·label + (1−α)·probabilities. What is not a cross-entropy at temperature 1 is for [Pass.Between].
type Batch struct {
	IDs     []int32 // [T]
	TypeIDs []int32 // [T]: the segment of each token
	Starts  []int   // [B+1]: sequence b is the tokens Starts[b]…Starts[b+1]

	// Embeddings, if not empty, are rows in place of the word embeddings of all tokens, [T,H]; the embeddings of position and
	// type are added to them. IDs are then not looked up, and the word embedding gets no gradient from them.
	Embeddings []float32

	// Weights weighs the losses of each sequence, of multiple choice of each example, with any head: [B] or [B/Choices], 0 or
	// more; empty for ones. A token and a masked token have the weight of their sequence. Losses are divided by the sum of
	// the weights of what takes part: see [Denominators].
	Weights []float32

	// Classes holds the class of each sequence, [B]; for multiple choice the right choice of each example, [B/Choices].
	Classes []int32
	// SoftClasses holds probabilities of the classes in place of Classes or TokenClasses: of SequenceClassification [B, C], of
	// TokenClassification [T, C], of MultipleChoice [B/Choices, Choices].
	SoftClasses []float32
	// Values holds the targets of a regression, [B], or of a multi-label classifier, [B, C] in [0, 1].
	Values []float32
	// Choices is the number of choices of an example of multiple choice.
	Choices int
	// TokenClasses holds the class of each token, [T].
	TokenClasses []int32
	// From and To are the first and the last token of each sequence's answer, counted within the sequence, [B]. One that is
	// outside of its sequence takes no part.
	From, To []int32
	// MaskedPositions says which tokens the masked language model predicts, as indices into IDs, [M], rising.
	MaskedPositions []int32
	// MaskedIDs are the original ids there, [M].
	MaskedIDs []int32
	// SoftMaskedIDs holds probabilities of all ids in place of MaskedIDs, [M, V].
	SoftMaskedIDs []float32
	// NextSentence is 0 where the second segment follows the first and 1 where it is a random one, [B].
	NextSentence []int32
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	*b = Batch{
		IDs: b.IDs[:0], TypeIDs: b.TypeIDs[:0], Starts: b.Starts[:0], Classes: b.Classes[:0], Values: b.Values[:0],
		Weights: b.Weights[:0], TokenClasses: b.TokenClasses[:0], From: b.From[:0], To: b.To[:0],
		MaskedPositions: b.MaskedPositions[:0], MaskedIDs: b.MaskedIDs[:0], NextSentence: b.NextSentence[:0],
		Embeddings: b.Embeddings[:0], SoftClasses: b.SoftClasses[:0], SoftMaskedIDs: b.SoftMaskedIDs[:0],
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
		return badBatch("batch is empty")
	}
	if len(b.TypeIDs) != len(b.IDs) {
		return badBatch("batch has %d type ids for %d tokens", len(b.TypeIDs), len(b.IDs))
	}
	if n := len(b.Embeddings); n > 0 && n != len(b.IDs)*c.HiddenSize {
		return badBatch("batch has %d numbers in embeddings, want %d for each of %d tokens", n, c.HiddenSize, len(b.IDs))
	}
	if b.Starts[0] != 0 || b.Starts[b.Len()] != len(b.IDs) {
		return badBatch("batch's sequences span %d to %d, want 0 to %d", b.Starts[0], b.Starts[b.Len()], len(b.IDs))
	}
	for i := range b.Len() {
		from, to := b.Sequence(i)
		switch n := to - from; {
		case n < 1:
			return badSequence(i, "has %d tokens, want at least 1", n)
		case to > len(b.IDs): // one that follows ends before
			return badSequence(i, "ends at token %d of %d", to, len(b.IDs))
		case n > c.MaxPositionEmbeddings:
			return badSequence(i, "has %d tokens, the model has %d positions: truncate it", n, c.MaxPositionEmbeddings)
		}
		for j := from; j < to; j++ {
			if id := b.IDs[j]; id < 0 || int(id) >= c.VocabSize {
				return badToken(i, j-from, "id %d is outside the model's vocabulary of %d", id, c.VocabSize)
			}
			if id := b.TypeIDs[j]; id < 0 || int(id) >= c.TypeVocabSize {
				return badToken(i, j-from, "type id %d is outside the model's %d types", id, c.TypeVocabSize)
			}
		}
	}
	return nil
}
