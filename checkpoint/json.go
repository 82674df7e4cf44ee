package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// A jsonReader reads the JSON of headers and indexes in place. It allocates the strings that it returns and nothing else;
// encoding/json would copy the text, and make a value of each token.
type jsonReader struct {
	text []byte
	at   int
}

// fail is the error for text that is no JSON.
func (r *jsonReader) fail(err error) error {
	return fmt.Errorf("not JSON at byte %d: %w", r.at, err)
}

// next skips white space and returns the byte after it, without consuming that.
func (r *jsonReader) next() (byte, error) {
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c, nil
		}
	}
	return 0, r.fail(io.ErrUnexpectedEOF)
}

// null reads null, and reports false where there is something else.
func (r *jsonReader) null() bool {
	if _, err := r.next(); err != nil || !bytes.HasPrefix(r.text[r.at:], []byte("null")) {
		return false
	}
	r.at += len("null")
	return true
}

// delim reads a delimiter.
func (r *jsonReader) delim(want byte) error {
	c, err := r.next()
	if err != nil {
		return err
	}
	if c != want {
		return r.wrong(string(rune(want)))
	}
	r.at++
	return nil
}

// wrong is the error for a value that is not what should be there.
func (r *jsonReader) wrong(what string) error {
	c, err := r.next()
	if err != nil {
		return err
	}
	is := ""
	switch rest := r.text[r.at:]; {
	case c == '"':
		s, err := r.string("")
		if err != nil {
			return err
		}
		is = clip(s)
	case c == '-' || '0' <= c && c <= '9':
		is = clip(string(r.number()))
	default:
		for _, literal := range []string{"null", "true", "false"} {
			if bytes.HasPrefix(rest, []byte(literal)) {
				is = literal
			}
		}
		if is == "" && bytes.IndexByte([]byte("{}[],:"), c) >= 0 {
			is = string(rune(c))
		}
	}
	if is == "" {
		return r.fail(fmt.Errorf("%q where %s should be", rune(c), what))
	}
	return fmt.Errorf("%s where %s should be", is, what)
}

// string reads a string; errors call it what.
func (r *jsonReader) string(what string) (string, error) {
	c, err := r.next()
	if err != nil {
		return "", err
	}
	if c != '"' {
		return "", r.wrong(what)
	}
	begin, plain := r.at, true
	for i := begin + 1; i < len(r.text); i++ {
		switch c := r.text[i]; {
		case c == '"':
			r.at = i + 1
			inner := r.text[begin+1 : i]
			if plain && utf8.Valid(inner) {
				return string(inner), nil
			}
			var s string
			if err := json.Unmarshal(r.text[begin:r.at], &s); err != nil {
				r.at = begin
				return "", r.fail(errors.New("a string has an invalid escape"))
			}
			return s, nil
		case c == '\\':
			plain = false
			i++
		case c < ' ':
			r.at = i
			return "", r.fail(fmt.Errorf("the control character %q in a string", rune(c)))
		}
	}
	r.at = len(r.text)
	return "", r.fail(io.ErrUnexpectedEOF)
}

// number returns the text of a number, which it does not check.
func (r *jsonReader) number() []byte {
	begin := r.at
	for r.at < len(r.text) && bytes.IndexByte([]byte("+-.0123456789eE"), r.text[r.at]) >= 0 {
		r.at++
	}
	return r.text[begin:r.at]
}

// object reads an object, calling member after each key to read its value. A duplicate key is an error: readers disagree on
// which one counts. isNew, if not nil, says whether a key is new, where the caller keeps them anyway.
func (r *jsonReader) object(isNew func(key string) bool, member func(key string) error) error {
	if err := r.delim('{'); err != nil {
		return err
	}
	if isNew == nil {
		seen := make(map[string]bool)
		isNew = func(key string) bool {
			before := len(seen)
			seen[key] = true
			return len(seen) > before
		}
	}
	for first := true; ; first = false {
		c, err := r.next()
		if err != nil {
			return err
		}
		if c == '}' && first {
			break
		}
		if !first {
			if c == '}' {
				break
			}
			if err := r.delim(','); err != nil {
				return err
			}
		}
		key, err := r.string("a key")
		if err != nil {
			return err
		}
		if !isNew(key) {
			return fmt.Errorf("the key %s appears twice", quoted(key))
		}
		if err := r.delim(':'); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
	}
	return r.delim('}')
}

// ints reads an array of at most most non-negative integers.
func (r *jsonReader) ints(most int) ([]int, error) {
	if err := r.delim('['); err != nil {
		return nil, err
	}
	list := []int{}
	for first := true; ; first = false {
		c, err := r.next()
		if err != nil {
			return nil, err
		}
		if c == ']' {
			break
		}
		if !first {
			if err := r.delim(','); err != nil {
				return nil, err
			}
			if c, err = r.next(); err != nil {
				return nil, err
			}
		}
		if c != '-' && (c < '0' || c > '9') {
			return nil, r.wrong("a number")
		}
		number := r.number()
		n, err := strconv.Atoi(string(number[:min(len(number), 32)]))
		if err != nil || n < 0 || len(number) > 32 || len(number) > 1 && number[0] == '0' {
			return nil, fmt.Errorf("%s is not a whole number from 0 to %d", clip(string(number[:min(len(number), 128)])), math.MaxInt)
		}
		if len(list) == most {
			return nil, fmt.Errorf("more than %d numbers", most)
		}
		list = append(list, n)
	}
	return list, r.delim(']')
}

// skip reads a value of any kind.
func (r *jsonReader) skip() error {
	if _, err := r.next(); err != nil {
		return err
	}
	begin, depth := r.at, 0
	for {
		c, err := r.next()
		if err != nil {
			return err
		}
		switch c {
		case '"':
			if _, err := r.string(""); err != nil {
				return err
			}
		case '{', '[':
			depth++
			r.at++
		case '}', ']':
			if depth--; depth < 0 {
				return r.wrong("a value")
			}
			r.at++
		case ',', ':':
			if depth == 0 {
				return r.wrong("a value")
			}
			r.at++
			continue
		default: // a number or a literal
			from := r.at
			for r.at < len(r.text) && bytes.IndexByte([]byte(" \t\r\n,:{}[]\""), r.text[r.at]) < 0 {
				r.at++
			}
			if r.at == from {
				return r.wrong("a value")
			}
		}
		if depth == 0 {
			break
		}
	}
	if !json.Valid(r.text[begin:r.at]) {
		r.at = begin
		return r.fail(errors.New("a malformed value"))
	}
	return nil
}

// end checks that only white space follows.
func (r *jsonReader) end() error {
	if rest := bytes.TrimLeft(r.text[r.at:], " \t\r\n"); len(rest) > 0 {
		return fmt.Errorf("%q after the end of the object", rest[:1])
	}
	return nil
}

// clip shortens a text from a file, for an error.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
