package textfile

import (
	"bufio"
	"bytes"
	"io"
	"unicode/utf8"
)

// checkedBytes is how far into a file is looked for what is no text.
const checkedBytes = 1 << 16

// checker is a reader that fails where its first bytes are no text. It looks at them as they come, so that it never waits for more of
// them than its reader does.
type checker struct {
	r        io.Reader
	encoding Encoding // that was decoded
	armed    bool     // before that the bytes pass unseen
	seen     int
	control  int    // control characters that texts don't have, of which NUL
	invalid  int    // bytes that are not UTF-8
	zeros    [2]int // NUL at even and odd places
	rest     []byte // of a code point that is not whole yet
	failed   error
}

func (c *checker) Read(p []byte) (int, error) {
	if c.failed != nil {
		return 0, c.failed
	}
	n, err := c.r.Read(p)
	if c.armed && c.seen < checkedBytes {
		if c.failed = c.look(p[:n]); c.failed != nil {
			return 0, c.failed
		}
	}
	return n, err
}

// fewest is the number of bytes below which nothing is concluded: a short text may well be of odd characters.
const fewest = 32

// look counts what is in text and says whether the bytes so far can be text. Some NULs are left to the tokenizer, which cleans them,
// and some bytes in another encoding to whoever reads the text line by line and can say which line it is.
func (c *checker) look(text []byte) error {
	text = text[:min(len(text), checkedBytes-c.seen)]
	for i, b := range text {
		switch {
		case b == 0:
			c.zeros[(c.seen+i)%2]++
			c.control++
		case b < '\t', b > '\r' && b < ' ' && b != 0x1b, b == 0x7f:
			c.control++
		}
	}
	c.seen += len(text)
	text = append(c.rest, text...)
	for len(text) > 0 && (utf8.FullRune(text) || len(text) >= utf8.UTFMax) {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 {
			c.invalid++
		}
		text = text[size:]
	}
	c.rest = append(c.rest[:0:0], text...)
	if c.seen < fewest {
		return nil
	}
	switch most := c.seen * 3 / 10; {
	case c.encoding.of == nil && max(c.zeros[0], c.zeros[1]) > most && min(c.zeros[0], c.zeros[1]) <= c.seen/20:
		return utf16Error("")
	case c.control+c.invalid > most:
		return &NotTextError{Is: "not text in " + c.encoding.String(), Advice: "want a text file, or to know which encoding it has", Undecoded: true}
	}
	return nil
}

// Check reports what is no text in UTF-8 as a *NotTextError, by its first bytes.
func Check(text []byte) error {
	b := bufio.NewReaderSize(bytes.NewReader(text), 16)
	if f := formatOf(b); f != nil {
		return &NotTextError{Is: "a compressed file", Advice: "decompress it first"}
	}
	for _, mark := range utf16Mark {
		if bytes.HasPrefix(text, mark) {
			return utf16Error("")
		}
	}
	return new(checker).look(text)
}

func utf16Error(name string) error {
	return &NotTextError{File: name, Is: "text in UTF-16", Advice: "say that its encoding is utf-16", Undecoded: true}
}
