package tokenizer

// Offset is a half-open range of bytes, [Start, End), in the original text of the token's own sequence.
type Offset struct{ Start, End int32 }

// Encoding is what a text becomes: T tokens, the special ones included. All slices but Overflowing have length T.
//
// An Encoding handed to Encode again is overwritten and keeps its memory, so one that is used for many texts stops
// allocating. Its zero value is ready to use.
type Encoding struct {
	// IDs are the rows of the word embedding, TypeIDs of the token type (segment) embedding.
	IDs     []int32
	TypeIDs []int32

	// Offsets say where in the original text each token stands, in bytes; 0,0 for the tokens that the template adds.
	// The second sequence of a pair counts from its own beginning. For EncodeWords they count from the beginning of
	// the word.
	Offsets []Offset

	// SpecialTokensMask is 1 for the tokens that the template adds ([CLS], [SEP]) and 0 for all others: a [MASK] or
	// [SEP] that stood in the text counts as text.
	SpecialTokensMask []uint8

	// SequenceIDs are 0 for tokens of the first text, 1 for tokens of the second, -1 for the tokens the template adds.
	SequenceIDs []int8

	// WordIDs number the words of each text from 0: what white space and punctuation separate, each punctuation mark
	// and each CJK ideograph being a word of its own. Tokens of one word share its number. EncodeWords numbers the
	// given words instead. It is -1 for the tokens that the template adds.
	WordIDs []int32

	// Overflowing holds the further windows, in order, where Options asked for them.
	Overflowing []Encoding

	// Truncated is the number of tokens of the texts that this encoding lacks because of truncation.
	Truncated int
}

// Len returns T, the number of tokens, special ones included.
func (e *Encoding) Len() int { return len(e.IDs) }

// Reset empties e and keeps its memory.
func (e *Encoding) Reset() { e.resize(0); e.Overflowing = e.Overflowing[:0]; e.Truncated = 0 }

// resize sets the length of every slice to n; what they held is lost if they have to grow.
func (e *Encoding) resize(n int) {
	e.IDs = grow(e.IDs, n)
	e.TypeIDs = grow(e.TypeIDs, n)
	e.Offsets = grow(e.Offsets, n)
	e.SpecialTokensMask = grow(e.SpecialTokensMask, n)
	e.SequenceIDs = grow(e.SequenceIDs, n)
	e.WordIDs = grow(e.WordIDs, n)
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}
