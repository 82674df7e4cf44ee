package tokenizer

// Offset is a half-open range of bytes, [Start, End), in the original text of the token's own sequence.
type Offset struct{ Start, End int32 }

// Encoding is an encoded text or pair of texts: T tokens, including special tokens. All slices except Overflowing have
// length T.
//
// The zero Encoding is ready to use. An Encoding passed to Encode again is overwritten but keeps its memory, so that reusing
// one for many texts avoids allocation.
type Encoding struct {
	// IDs index the word embedding, TypeIDs the token type (segment) embedding.
	IDs     []int32
	TypeIDs []int32

	// Offsets are the byte ranges of the tokens in the original text; 0,0 for tokens that the template adds. Offsets of the
	// second sequence of a pair count from its own beginning, those of EncodeWords from the beginning of the word.
	Offsets []Offset

	// SpecialTokensMask is 1 for tokens that the template adds ([CLS], [SEP]) and 0 for all others: a [MASK] or [SEP] in the
	// text counts as text.
	SpecialTokensMask []uint8

	// SequenceIDs are 0 for tokens of the first text, 1 for tokens of the second, -1 for tokens that the template adds.
	SequenceIDs []int8

	// WordIDs number the words of each text from 0. Words are separated by white space and punctuation; each punctuation mark
	// and each CJK ideograph is a word of its own. Tokens of one word share its number. EncodeWords numbers the given words
	// instead. Tokens that the template adds have -1.
	WordIDs []int32

	// Overflowing holds the further windows, in order, if Options asked for them.
	Overflowing []Encoding

	// Truncated is the number of tokens of the texts that this encoding lacks because of truncation.
	Truncated int
}

// Len returns T, the number of tokens, including special tokens.
func (e *Encoding) Len() int { return len(e.IDs) }

// Reset empties e and keeps its memory.
func (e *Encoding) Reset() { e.resize(0); e.Overflowing = e.Overflowing[:0]; e.Truncated = 0 }

// resize sets the length of every slice to n. Slices that must grow lose their contents.
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
