package jsonobject

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/go-bert/bert/internal/message"
)

// maxDepth bounds lists in lists and objects in objects that are skipped.
const maxDepth = 1000

// ErrTooLong says that a string or a number of a stream is longer than its bound.
var ErrTooLong = errors.New("a value of more bytes than is sensible")

// Stream reads JSON value by value, so that a file needs no more memory than its longest string. Errors say what a value is and what
// is wanted, but not where: the callers know.
type Stream struct {
	b    *bufio.Reader
	most int    // bytes of a string or number
	raw  []byte // the last one
}

// NewStream reads from r strings of at most so many bytes each.
func NewStream(r io.Reader, most int) *Stream {
	return &Stream{b: bufio.NewReaderSize(r, 1<<16), most: most}
}

// peek is the next byte that isn't white space, which stays.
func (s *Stream) peek() (byte, error) {
	for {
		c, err := s.b.ReadByte()
		if err == io.EOF {
			return 0, Error(err)
		}
		if err != nil {
			return 0, err
		}
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c, s.b.UnreadByte()
		}
	}
}

// expect reads one of some bytes.
func (s *Stream) expect(want string) (byte, error) {
	c, err := s.peek()
	if err == nil && !bytes.ContainsRune([]byte(want), rune(c)) {
		err = s.unexpected(want)
	}
	if err != nil {
		return 0, err
	}
	_, err = s.b.Discard(1)
	return c, err
}

// unexpected is the error of the next byte.
func (s *Stream) unexpected(want string) error {
	head, _ := s.b.Peek(1)
	return fmt.Errorf("not JSON: %q where one of %s should be", head, want)
}

// quoted reads a string.
func (s *Stream) quoted() (string, error) {
	if _, err := s.b.Discard(1); err != nil {
		return "", err
	}
	s.raw = append(s.raw[:0], '"')
	if cap(s.raw) > 1<<20 {
		s.raw = []byte{'"'}
	}
	for escapes := false; ; {
		if s.b.Buffered() == 0 {
			if _, err := s.b.Peek(1); err == io.EOF {
				return "", Error(err)
			} else if err != nil {
				return "", err
			}
		}
		part, _ := s.b.Peek(s.b.Buffered())
		end := bytes.IndexByte(part, '"')
		escapes = escapes || bytes.IndexByte(part[:max(end, 0)], '\\') >= 0 || end < 0 && bytes.IndexByte(part, '\\') >= 0
		n := len(part)
		if end >= 0 {
			n = end + 1
		}
		need := len(s.raw) + n
		if need > s.most {
			return "", ErrTooLong
		}
		if need > cap(s.raw) {
			s.raw = append(make([]byte, 0, max(need, min(2*cap(s.raw), s.most))), s.raw...)
		}
		s.raw = append(s.raw, part[:n]...)
		if _, err := s.b.Discard(n); err != nil {
			return "", err
		}
		if end < 0 || escapes && odd(s.raw[:len(s.raw)-1]) {
			continue // or the quote is escaped
		}
		inner := s.raw[1 : len(s.raw)-1]
		if !escapes && utf8.Valid(inner) && !bytes.ContainsFunc(inner, func(r rune) bool { return r < ' ' }) {
			return string(inner), nil
		}
		var text string
		if err := json.Unmarshal(s.raw, &text); err != nil {
			return "", Error(err)
		}
		return text, nil
	}
}

// odd reports whether text ends in an odd number of backslashes.
func odd(text []byte) bool { return (len(text)-len(bytes.TrimRight(text, `\`)))%2 == 1 }

// word reads a number, true, false or null.
func (s *Stream) word() ([]byte, error) {
	s.raw = s.raw[:0]
	for {
		c, err := s.b.ReadByte()
		if err != nil && err != io.EOF {
			return nil, err
		}
		if err == io.EOF || bytes.IndexByte([]byte(" \n\t\r,:]}[{\""), c) >= 0 {
			if err == nil {
				err = s.b.UnreadByte()
			} else {
				err = nil
			}
			if err == nil && !json.Valid(s.raw) {
				err = fmt.Errorf("not JSON: %s where a value should be", message.Quote(string(s.raw[:min(len(s.raw), 1<<10)])))
			}
			return s.raw, err
		}
		if s.raw = append(s.raw, c); len(s.raw) > s.most {
			return nil, ErrTooLong
		}
	}
}

// begin reads what a value begins with: the byte of a string, a list or an object, which stays; of another the word.
func (s *Stream) begin() (c byte, word []byte, err error) {
	if c, err = s.peek(); err != nil {
		return 0, nil, err
	}
	switch c {
	case '"', '[', '{':
		return c, nil, nil
	}
	word, err = s.word()
	return c, word, err
}

// other is the error of a value that begins so, nil of null.
func (s *Stream) other(c byte, word []byte, want string) error {
	is := message.Cut(string(word[:min(len(word), 1<<10)]))
	switch c {
	case 'n':
		return nil
	case '{':
		is = "an object"
	case '[':
		is = "a list"
	case '"':
		text, err := s.quoted()
		if err != nil {
			return err
		}
		is = message.Quote(text)
	}
	return fmt.Errorf("%s, want %s", is, want)
}

// Object reads an object and calls visit with each key, which has to read the value. Of null it calls nothing. A key that occurs
// twice is for visit to find.
func (s *Stream) Object(visit func(key string) error) error {
	_, err := s.all('{', "an object", func() error {
		c, err := s.peek()
		if err == nil && c != '"' {
			err = s.unexpected(`"}`)
		}
		if err != nil {
			return err
		}
		key, err := s.quoted()
		if err != nil {
			return err
		}
		if _, err := s.expect(":"); err != nil {
			return err
		}
		return visit(key)
	})
	return err
}

// List reads a list and calls visit for each element, which has to read it. Of null it calls nothing, and there is none.
func (s *Stream) List(visit func() error) (there bool, err error) { return s.all('[', "a list", visit) }

func (s *Stream) all(begin byte, want string, visit func() error) (there bool, err error) {
	c, word, err := s.begin()
	if err != nil {
		return false, err
	}
	if c != begin {
		return false, s.other(c, word, want)
	}
	end := begin + 2 // ] and }
	if _, err := s.b.Discard(1); err != nil {
		return false, err
	}
	if c, err = s.peek(); err == nil && c == end {
		_, err = s.b.Discard(1)
		return true, err
	}
	for err == nil {
		if err = visit(); err != nil {
			break
		}
		if c, err = s.expect("," + string(rune(end))); err == nil && c == end {
			return true, nil
		}
	}
	return false, err
}

// String reads a string, nil of null.
func (s *Stream) String() (*string, error) {
	c, word, err := s.begin()
	if err != nil {
		return nil, err
	}
	if c != '"' {
		return nil, s.other(c, word, "a string")
	}
	text, err := s.quoted()
	return &text, err
}

// Word reads a string, or a number as it is written; nil of null.
func (s *Stream) Word() (*string, error) {
	c, word, err := s.begin()
	switch {
	case err != nil:
		return nil, err
	case c == '"':
		text, err := s.quoted()
		return &text, err
	case c == '-' || c >= '0' && c <= '9':
		text := string(word)
		return &text, nil
	}
	return nil, s.other(c, word, "a string or a number")
}

// Begins reports whether the next value begins with a byte: { of an object, [ of a list.
func (s *Stream) Begins(with byte) bool {
	c, err := s.peek()
	return err == nil && c == with
}

// Int reads a whole number, nil of null.
func (s *Stream) Int() (*int, error) {
	c, word, err := s.begin()
	if err != nil {
		return nil, err
	}
	var n *int
	const longest = 20 // digits and sign of an int
	if word == nil || len(word) > longest || json.Unmarshal(word, &n) != nil {
		return nil, s.other(c, word, "a whole number")
	}
	return n, nil
}

// Bool reads true or false, nil of null.
func (s *Stream) Bool() (*bool, error) {
	c, word, err := s.begin()
	if err != nil {
		return nil, err
	}
	b := c == 't'
	if c != 't' && c != 'f' {
		return nil, s.other(c, word, "true or false")
	}
	return &b, nil
}

// Skip reads a value of whatever type.
func (s *Stream) Skip() error { return s.skip(0) }

func (s *Stream) skip(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("not JSON: lists or objects nested more than %d deep", maxDepth)
	}
	c, _, err := s.begin()
	if err != nil {
		return err
	}
	switch c {
	case '"':
		_, err = s.quoted()
	case '[':
		_, err = s.List(func() error { return s.skip(depth + 1) })
	case '{':
		err = s.Object(func(string) error { return s.skip(depth + 1) })
	}
	return err
}

// End is an error if anything but white space follows.
func (s *Stream) End() error {
	if _, err := s.peek(); err == nil {
		return errors.New("something follows the JSON object")
	}
	_, err := s.b.ReadByte()
	if err == io.EOF {
		return nil
	}
	return err
}
