package tokenizer

import "fmt"

// Truncation says which text of a pair gives up tokens when both do not fit.
type Truncation int

const (
	// LongestFirst takes from the longer text. HF and Google share an odd place out differently; see Config.Google.
	LongestFirst Truncation = iota
	// OnlyFirst takes from the first text alone.
	OnlyFirst
	// OnlySecond takes from the second text alone: for a question and its context.
	OnlySecond
	// DoNotTruncate leaves texts as long as they are, whatever Options.MaxLength says.
	DoNotTruncate
)

var truncationNames = [...]string{"longest_first", "only_first", "only_second", "do_not_truncate"}

// String returns the name that HF uses: longest_first, only_first, only_second, do_not_truncate.
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
	// MaxLength is the most tokens an encoding may have, special ones included; 0 means no limit.
	MaxLength  int
	Truncation Truncation

	// Overflow asks for the rest of a text that is cut as further windows, in Encoding.Overflowing. Each has at most
	// MaxLength tokens and repeats the text that is not cut.
	Overflow bool

	// Stride is the number of tokens that a window repeats from the one before it: HF's sense of the word. (Google's
	// doc_stride is the step from one window to the next.) A stride above 0 implies Overflow.
	Stride int

	// TruncateLeft cuts the beginning of a text instead of its end; windows then run from the end to the beginning.
	TruncateLeft bool

	// OmitSpecialTokens leaves out what the template adds: no [CLS], no [SEP].
	OmitSpecialTokens bool
}
