package tokenizer

import (
	"strings"
	"unicode/utf8"

	"github.com/go-bert/bert/tokenizer/internal/unidata"
)

// LowerCase lower-cases a text as the normalizer Lowercase of HF's library does, but for the added tokens in it, which are matched
// before any normalizer. It is for a tokenizer that keeps case, where the caller has to lower-case all the same. Bytes that are no
// UTF-8 stay.
func (t *Tokenizer) LowerCase(text string) string {
	if t.added == nil {
		return lowerCase(text)
	}
	var b strings.Builder
	added, at := t.added.in(text), 0
	for at < len(text) {
		m, ok := added.next(at)
		if !ok {
			break
		}
		b.WriteString(lowerCase(text[at:m.start]))
		b.WriteString(text[m.start:m.end])
		at = m.end
	}
	b.WriteString(lowerCase(text[at:]))
	return b.String()
}

func lowerCase(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteByte(text[i])
		case unidata.HF.Properties(r)&unidata.Lowers != 0:
			lower, dot := unidata.Lower(r)
			b.WriteRune(lower)
			if dot {
				b.WriteRune(combiningDot)
			}
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}
