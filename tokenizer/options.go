package tokenizer

import "fmt"

// Truncation says which text of a pair is truncated if both do not fit.
type Truncation int

const (
	// LongestFirst truncates the longer text. HF and Google differ in who gets an odd place; see the package comment.
	LongestFirst Truncation = iota
	// OnlyFirst truncates only the first text.
	OnlyFirst
	// OnlySecond truncates only the second text, such as the context of a question.
	OnlySecond
	// DoNotTruncate truncates no text, whatever Options.MaxLength says.
	DoNotTruncate
)

var truncationNames = [...]string{"longest_first", "only_first", "only_second", "do_not_truncate"}

// String returns HF's name: longest_first, only_first, only_second or do_not_truncate.
func (t Truncation) String() string {
	if t < 0 || int(t) >= len(truncationNames) {
		return fmt.Sprintf("Truncation(%d)", int(t))
	}
	return truncationNames[t]
}

// ParseTruncation is the reverse of String.
func ParseTruncation(s string) (Truncation, error) {
	for i, name := range truncationNames {
		if s == name {
			return Truncation(i), nil
		}
	}
	return 0, fmt.Errorf("tokenizer: truncation %q: want longest_first, only_first, only_second or do_not_truncate", s)
}

// MarshalText writes String.
func (t Truncation) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads a name that ParseTruncation takes.
func (t *Truncation) UnmarshalText(text []byte) (err error) {
	*t, err = ParseTruncation(string(text))
	return err
}

// Options say how long an encoding may become and what happens to the rest.
type Options struct {
	// MaxLength is the maximal number of tokens, including special tokens; 0 means no limit.
	MaxLength  int
	Truncation Truncation

	// Overflow returns the rest of a truncated text as further windows, in Encoding.Overflowing. Each has at most MaxLength
	// tokens and repeats the text that is not truncated.
	Overflow bool

	// Stride is the number of tokens that a window repeats from the previous one, as in HF. (Google's doc_stride is the step
	// from one window to the next.) A stride above 0 implies Overflow.
	Stride int

	// TruncateLeft removes the beginning of a text instead of its end; windows then run from the end to the beginning.
	TruncateLeft bool

	// OmitSpecialTokens omits the tokens that the template adds, [CLS] and [SEP].
	OmitSpecialTokens bool
}
