package tokenizer

import (
	"iter"
	"strings"
	"unicode/utf8"
)

// Chunks yields a text in pieces of about size bytes that can be encoded one after another: it is cut only where no token, no
// added token and no word goes across, so that the tokens of the pieces, without special tokens, are those of the text.
// Offsets and WordIDs count from each piece's beginning. A long text can so be encoded in little memory. Where a text has no
// such place, a piece is longer.
func (t *Tokenizer) Chunks(text string, size int) iter.Seq[string] {
	size = max(size, 1)
	return func(yield func(string) bool) {
		c := newCutter(t)
		from := 0
		for i := size; i < len(text); i++ {
			if i-from < size || !c.cut(text, i) {
				continue
			}
			if !yield(text[from:i]) {
				return
			}
			from, i = i, i+size-1
		}
		yield(text[from:])
	}
}

// cutter finds the places where a text can be cut.
type cutter struct {
	t          *Tokenizer
	pairs      map[[2]byte]bool // two bytes that follow one another in an added token
	word       bool             // an added token must not have a letter beside it
	blank      bool             // an added token takes the blanks beside it
	ideographs bool             // each is a word of its own, and none is in an added token
}

func newCutter(t *Tokenizer) *cutter {
	c := &cutter{t: t, pairs: make(map[[2]byte]bool), ideographs: t.config.HandleChineseChars}
	if t.config.Google {
		return c
	}
	for _, a := range t.config.AddedTokens {
		c.word = c.word || a.SingleWord
		c.blank = c.blank || a.LStrip || a.RStrip
		content := []string{a.Content}
		if a.Normalized {
			s := scanner{t: t, whole: true}
			s.normalize(a.Content, 0)
			content = append(content, string(s.norm.text))
		}
		for _, text := range content {
			for i := 1; i < len(text); i++ {
				c.pairs[[2]byte{foldASCII(text[i-1]), foldASCII(text[i])}] = true
				c.ideographs = c.ideographs && text[i] < utf8.RuneSelf
			}
			c.ideographs = c.ideographs && (text == "" || text[0] < utf8.RuneSelf)
		}
	}
	return c
}

// foldASCII makes the bytes alike that normalization may make alike: upper and lower case, and all white space.
func foldASCII(b byte) byte {
	switch {
	case 'A' <= b && b <= 'Z':
		return b + ('a' - 'A')
	case b >= '\t' && b <= '\r':
		return ' '
	}
	return b
}

// caseIgnorable are the marks across which Python's lower looks for the letter that makes a sigma the last of its word or not.
const caseIgnorable = "'.:^`"

// cut reports whether text can be cut before byte i.
func (c *cutter) cut(text string, i int) bool {
	a, b := text[i-1], text[i]
	if a >= utf8.RuneSelf || b >= utf8.RuneSelf {
		return c.ideographs && isIdeographAt(text, i)
	}
	left, right := c.t.classes[a], c.t.classes[b]
	switch {
	case left == classOther || right == classOther: // dropped: what is beside it is next to one another
		return false
	case left == classWord && right == classWord:
		return false
	case c.blank && (left == classSpace || right == classSpace):
		return false
	case left == classSpace || right == classSpace:
	case c.word:
		return false
	case c.t.config.Google && (strings.IndexByte(caseIgnorable, a) >= 0 || strings.IndexByte(caseIgnorable, b) >= 0):
		return false
	}
	return !c.pairs[[2]byte{foldASCII(a), foldASCII(b)}]
}

// isIdeographAt reports whether a common CJK ideograph ends before byte i and another begins there.
func isIdeographAt(text string, i int) bool {
	common := func(r rune) bool { return 0x4e00 <= r && r < 0xa000 }
	if !utf8.RuneStart(text[i]) {
		return false
	}
	r, _ := utf8.DecodeRuneInString(text[i:min(len(text), i+utf8.UTFMax)])
	l, _ := utf8.DecodeLastRuneInString(text[max(0, i-utf8.UTFMax):i])
	return common(l) && common(r) && strings.HasPrefix(text[i:], string(r))
}
