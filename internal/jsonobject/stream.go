package jsonobject

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/go-bert/bert/internal/message"
)

// maxDepth bounds lists in lists, as encoding/json does.
const maxDepth = 1000

// ErrTooLong says that a string or a number of a stream is longer than its bound.
var ErrTooLong = errors.New("a value of more bytes than is sensible")

// Stream reads JSON piece by piece, so that a file needs no more memory than its longest value. Errors say what a value is and what
// is wanted, but not where: the methods' callers know.
type Stream struct {
	d     *json.Decoder
	limit *limited
}

// limited fails where more than most bytes are read between two calls of reset.
type limited struct {
	r          io.Reader
	most, left int
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, ErrTooLong
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// NewStream reads from r values of at most so many bytes each.
func NewStream(r io.Reader, most int) *Stream {
	limit := &limited{r: r, most: most}
	d := json.NewDecoder(limit)
	d.UseNumber()
	return &Stream{d, limit}
}

// next is the next token.
func (s *Stream) next() (json.Token, error) {
	s.limit.left = s.limit.most
	t, err := s.d.Token()
	if err != nil {
		return nil, streamError(err)
	}
	return t, nil
}

// streamError is Error, but for what the reader is at fault for.
func streamError(err error) error {
	var syntax *json.SyntaxError
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &syntax) {
		return Error(err)
	}
	return err
}

// typeError says what a token is.
func typeError(t json.Token, want string) error {
	is := "null"
	switch t := t.(type) {
	case json.Delim:
		is = map[json.Delim]string{'{': "an object", '[': "a list"}[t]
	case string:
		is = message.Quote(t)
	case json.Number:
		is = message.Cut(t.String())
	case bool:
		is = fmt.Sprint(t)
	}
	return fmt.Errorf("%s, want %s", is, want)
}

// Object reads an object and calls visit with each key, which has to read the value. Of null it calls nothing. A key that occurs
// twice is for visit to find.
func (s *Stream) Object(visit func(key string) error) error {
	_, err := s.all('{', "an object", func() error {
		key, err := s.next()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		return visit(name)
	})
	return err
}

// List reads a list and calls visit for each element, which has to read it. Of null it calls nothing, and there is none.
func (s *Stream) List(visit func() error) (there bool, err error) { return s.all('[', "a list", visit) }

func (s *Stream) all(begin json.Delim, want string, visit func() error) (there bool, err error) {
	t, err := s.next()
	if err != nil || t == nil {
		return false, err
	}
	if t != begin {
		return false, typeError(t, want)
	}
	for {
		s.limit.left = s.limit.most
		if !s.d.More() {
			break
		}
		if err := visit(); err != nil {
			return false, err
		}
	}
	_, err = s.next()
	return true, err
}

// String reads a string, nil of null.
func (s *Stream) String() (*string, error) {
	t, err := s.next()
	if err != nil || t == nil {
		return nil, err
	}
	text, ok := t.(string)
	if !ok {
		return nil, typeError(t, "a string")
	}
	return &text, nil
}

// Int reads a whole number, nil of null.
func (s *Stream) Int() (*int, error) {
	t, err := s.next()
	if err != nil || t == nil {
		return nil, err
	}
	if number, ok := t.(json.Number); ok {
		var n int
		if json.Unmarshal([]byte(number), &n) == nil {
			return &n, nil
		}
	}
	return nil, typeError(t, "a whole number")
}

// Bool reads true or false, nil of null.
func (s *Stream) Bool() (*bool, error) {
	t, err := s.next()
	if err != nil || t == nil {
		return nil, err
	}
	b, ok := t.(bool)
	if !ok {
		return nil, typeError(t, "true or false")
	}
	return &b, nil
}

// Skip reads a value of whatever type.
func (s *Stream) Skip() error {
	for depth := 0; ; {
		t, err := s.next()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		switch {
		case depth == 0:
			return nil
		case depth > maxDepth:
			return fmt.Errorf("not JSON: lists or objects nested more than %d deep", maxDepth)
		}
	}
}

// End is an error if anything but white space follows.
func (s *Stream) End() error {
	s.limit.left = s.limit.most
	if _, err := s.d.Token(); err != io.EOF {
		return errors.New("something follows the JSON object")
	}
	return nil
}
