package task

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/message"
)

// LongText says what becomes of a text that has more tokens than a sequence has room for.
type LongText uint8

const (
	// TruncateLong cuts it, as Spec.Truncation and TruncateLeft say.
	TruncateLong LongText = iota
	// HeadTail keeps its beginning and its end and leaves out what is between: of 510 tokens the first 128 and the last 382
	// (Sun, Qiu, Xu and Huang 2019, arXiv:1905.05583, §5.3.1), of fewer in proportion.
	HeadTail
	// Windows reads all of it, in windows that overlap. The answer is the mean of the windows' probabilities (of a
	// regression the mean of the numbers). In training each window is an example of its own and has the text's label.
	Windows
)

var longNames = [...]string{TruncateLong: "truncate", HeadTail: "head-tail", Windows: "windows"}

func (l LongText) String() string {
	if int(l) >= len(longNames) {
		return fmt.Sprintf("LongText(%d)", l)
	}
	return longNames[l]
}

// LongTexts lists what ParseLongText reads.
func LongTexts() []string { return slices.Clone(longNames[:]) }

// ParseLongText reads truncate, head-tail or windows.
func ParseLongText(name string) (LongText, error) {
	if i := slices.Index(longNames[:], name); i >= 0 {
		return LongText(i), nil
	}
	return 0, fmt.Errorf("long texts %s: want %s", message.Quote(name), strings.Join(longNames[:], ", "))
}

// MarshalText writes String.
func (l LongText) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText is ParseLongText.
func (l *LongText) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLongText(string(text))
	return err
}
