package serve

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-bert/bert/internal/message"
)

// maxDepth bounds how deep arrays and objects of a body may lie in one another.
const maxDepth = 64

// jsonReader reads a JSON text (RFC 8259) from memory, value by value, as the clients of several servers send it: a field that may
// be a text, a list of texts or a list of ids is read by what is there. It reports what is wrong with the place, such as inputs[3].
//
// What reads a value skips the white space before it. After an error the reader is of no use any more.
type jsonReader struct {
	data  []byte
	at    int
	depth int
}

// fieldError is what is wrong with a field of a body.
type fieldError struct {
	field string // such as inputs[3] or parameters.top_k; "": the body as a whole
	err   error
}

func (e *fieldError) Error() string {
	if e.field == "" {
		return e.err.Error()
	}
	return "`" + e.field + "`: " + e.err.Error()
}

func (e *fieldError) Unwrap() error { return e.err }

// syntaxError says where a body is no JSON.
type syntaxError struct {
	at   int
	what string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("byte %d of the body: %s", e.at, e.what) }

// inField adds the name of the field, or [i], that an error is about to its place.
func inField(name string, err error) error {
	if err == nil {
		return nil
	}
	var syntax *syntaxError
	if errors.As(err, &syntax) { // its place is the byte
		return err
	}
	inner, ok := err.(*fieldError)
	switch {
	case !ok:
		return &fieldError{name, err}
	case inner.field == "" || inner.field[0] == '[':
		return &fieldError{name + inner.field, inner.err}
	}
	return &fieldError{name + "." + inner.field, inner.err}
}

// readJSON reads a body that is one value.
func readJSON(body []byte, read func(*jsonReader) error) error {
	if !utf8.Valid(body) {
		return &syntaxError{invalidUTF8(body), "not valid UTF-8"}
	}
	d := &jsonReader{data: body}
	if err := read(d); err != nil {
		return err
	}
	if d.kind() != 0 || d.at < len(d.data) {
		return d.syntax("something follows the value")
	}
	return nil
}

func invalidUTF8(b []byte) int {
	at := 0
	for at < len(b) {
		r, n := utf8.DecodeRune(b[at:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		at += n
	}
	return at
}

// readObject reads a body that is an object: see object.
func readObject(body []byte, visit func(d *jsonReader, key string) error) error {
	return readJSON(body, func(d *jsonReader) error {
		return d.object(func(key string) error { return visit(d, key) })
	})
}

func (d *jsonReader) syntax(what string) error { return &syntaxError{d.at, what} }

// kind is the kind of the next value by how it begins: { [ " t f n, 0 for a number, and NUL where none begins.
func (d *jsonReader) kind() byte {
	for d.at < len(d.data) {
		switch c := d.data[d.at]; c {
		case ' ', '\t', '\n', '\r':
			d.at++
		case '{', '[', '"', 't', 'f', 'n':
			return c
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			return '0'
		default:
			return 0
		}
	}
	return 0
}

// want is the error of a value of another kind than the one that is wanted.
func (d *jsonReader) want(what string) error {
	have := ""
	switch d.kind() {
	case '{':
		have = "an object"
	case '[':
		have = "an array"
	case '"':
		have = "a string"
	case 't', 'f':
		have = "true or false"
	case 'n':
		have = "null"
	case '0':
		have = "a number"
	default:
		if d.at == len(d.data) {
			return d.syntax("unexpected end")
		}
		return d.syntax("no value begins with " + message.Quote(string(d.data[d.at:d.at+1])))
	}
	return &fieldError{err: fmt.Errorf("want %s, not %s", what, have)}
}

// next skips white space and returns the byte there, NUL at the end.
func (d *jsonReader) next() byte {
	d.kind()
	if d.at == len(d.data) {
		return 0
	}
	return d.data[d.at]
}

func (d *jsonReader) word(w string) error {
	if !bytes.HasPrefix(d.data[d.at:], []byte(w)) {
		return d.syntax("want " + w)
	}
	d.at += len(w)
	return nil
}

// null reads null, if it is next.
func (d *jsonReader) null() (bool, error) {
	if d.kind() != 'n' {
		return false, nil
	}
	return true, d.word("null")
}

func (d *jsonReader) boolean() (bool, error) {
	switch d.kind() {
	case 't':
		return true, d.word("true")
	case 'f':
		return false, d.word("false")
	}
	return false, d.want("true or false")
}

// literal reads a number as it is written.
func (d *jsonReader) literal() (string, error) {
	if d.kind() != '0' {
		return "", d.want("a number")
	}
	from := d.at
	digits := func() int {
		n := d.at
		for d.at < len(d.data) && d.data[d.at]-'0' <= 9 {
			d.at++
		}
		return d.at - n
	}
	is := func(set string) bool {
		if d.at < len(d.data) && bytes.IndexByte([]byte(set), d.data[d.at]) >= 0 {
			d.at++
			return true
		}
		return false
	}
	is("-")
	if !is("0") && digits() == 0 {
		return "", d.syntax("a number without digits")
	}
	if is(".") && digits() == 0 {
		return "", d.syntax("a number without digits after the point")
	}
	if is("eE") {
		is("+-")
		if digits() == 0 {
			return "", d.syntax("a number without digits in its exponent")
		}
	}
	if d.at < len(d.data) && (d.data[d.at]-'0' <= 9 || d.data[d.at] == '.') {
		return "", d.syntax("a number goes on in a wrong way")
	}
	return string(d.data[from:d.at]), nil
}

func (d *jsonReader) number() (float64, error) {
	s, err := d.literal()
	if err != nil {
		return 0, err
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) {
		return 0, &fieldError{err: fmt.Errorf("%s is too large", message.Cut(s))}
	}
	return f, nil
}

// integer reads a whole number from least to most. 3.0 is one, as some clients write it.
func (d *jsonReader) integer(least, most int) (int, error) {
	if d.kind() != '0' {
		return 0, d.want("a whole number")
	}
	s, err := d.literal()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			return 0, &fieldError{err: fmt.Errorf("%s is no whole number that it can be", message.Cut(s))}
		}
		n = int64(f)
	}
	switch {
	case n < int64(least):
		return 0, &fieldError{err: fmt.Errorf("%d is too small: want at least %d", n, least)}
	case n > int64(most):
		return 0, &fieldError{err: fmt.Errorf("%d is too large: want at most %d", n, most)}
	}
	return int(n), nil
}

func (d *jsonReader) text() (string, error) {
	if d.kind() != '"' {
		return "", d.want("a string")
	}
	d.at++
	from := d.at
	for d.at < len(d.data) {
		switch c := d.data[d.at]; {
		case c == '"':
			s := string(d.data[from:d.at])
			d.at++
			return s, nil
		case c == '\\':
			return d.escaped(from)
		case c < ' ':
			return "", d.syntax("a control character in a string")
		}
		d.at++
	}
	return "", d.syntax("a string without an end")
}

// escaped reads the rest of a string that begins at from and has its first escape here.
func (d *jsonReader) escaped(from int) (string, error) {
	s := append(make([]byte, 0, 2*(d.at-from)+16), d.data[from:d.at]...)
	for d.at < len(d.data) {
		c := d.data[d.at]
		switch {
		case c == '"':
			d.at++
			return string(s), nil
		case c < ' ':
			return "", d.syntax("a control character in a string")
		case c != '\\':
			s = append(s, c)
			d.at++
			continue
		}
		if d.at+1 == len(d.data) {
			break
		}
		switch c := d.data[d.at+1]; c {
		case '"', '\\', '/':
			s = append(s, c)
		case 'b':
			s = append(s, '\b')
		case 'f':
			s = append(s, '\f')
		case 'n':
			s = append(s, '\n')
		case 'r':
			s = append(s, '\r')
		case 't':
			s = append(s, '\t')
		case 'u':
			r, n, err := d.unicode()
			if err != nil {
				return "", err
			}
			s = utf8.AppendRune(s, r)
			d.at += n
			continue
		default:
			return "", d.syntax("no such escape in a string")
		}
		d.at += 2
	}
	return "", d.syntax("a string without an end")
}

// unicode reads the character of the \u here, or of two that are a surrogate pair, and the number of their bytes.
func (d *jsonReader) unicode() (rune, int, error) {
	hex := func(at int) rune {
		if at+6 > len(d.data) || d.data[at] != '\\' || d.data[at+1] != 'u' {
			return -1
		}
		n, err := strconv.ParseUint(string(d.data[at+2:at+6]), 16, 16)
		if err != nil {
			return -1
		}
		return rune(n)
	}
	r := hex(d.at)
	switch {
	case r < 0:
		return 0, 0, d.syntax(`a \u without four hexadecimal digits`)
	case !utf16.IsSurrogate(r):
		return r, 6, nil
	}
	if r = utf16.DecodeRune(r, hex(d.at+6)); r == utf8.RuneError {
		return 0, 0, d.syntax("half of a surrogate pair, which is no character")
	}
	return r, 12, nil
}

// enter reads the bracket that opens an array or an object.
func (d *jsonReader) enter() error {
	if d.depth++; d.depth > maxDepth {
		return d.syntax(fmt.Sprintf("arrays and objects in one another, deeper than %d", maxDepth))
	}
	d.at++
	return nil
}

// more says whether another element follows, after the i that were read, or reads the bracket that closes them.
func (d *jsonReader) more(i int, closing byte) (bool, error) {
	switch c := d.next(); {
	case c == closing:
		d.at++
		d.depth--
		return false, nil
	case i == 0:
		return true, nil
	case c != ',':
		return false, d.syntax("want a comma or " + string(closing))
	}
	d.at++
	return true, nil
}

// object calls visit with each key, which reads the value or leaves it: a value that was not read is skipped. A key that occurs
// twice is visited twice.
func (d *jsonReader) object(visit func(key string) error) error {
	if d.kind() != '{' {
		return d.want("an object")
	}
	if err := d.enter(); err != nil {
		return err
	}
	for i := 0; ; i++ {
		switch more, err := d.more(i, '}'); {
		case err != nil || !more:
			return err
		case d.kind() != '"':
			return d.syntax("want a key, in double quotes")
		}
		key, err := d.text()
		if err != nil {
			return err
		}
		if d.next() != ':' {
			return d.syntax("want a colon after a key")
		}
		d.at++
		d.kind() // to the value
		from := d.at
		if err := visit(key); err != nil {
			return inField(message.Cut(key), err)
		}
		if d.at == from {
			if err := d.skip(); err != nil {
				return err
			}
		}
	}
}

// maxElements bounds an array of anything but numbers: no request may have nearly so many inputs.
const maxElements = 1 << 16

// array calls visit with the index of each element, which has to read it.
func (d *jsonReader) array(visit func(i int) error) error {
	return d.longArray(func(i int) error {
		if i == maxElements {
			return d.tooMany()
		}
		return visit(i)
	})
}

func (d *jsonReader) tooMany() error {
	return &fieldError{err: fmt.Errorf("more than %s elements", message.Thousands(maxElements))}
}

// longArray is array for any number of elements.
func (d *jsonReader) longArray(visit func(i int) error) error {
	if d.kind() != '[' {
		return d.want("an array")
	}
	if err := d.enter(); err != nil {
		return err
	}
	for i := 0; ; i++ {
		if more, err := d.more(i, ']'); err != nil || !more {
			return err
		}
		if err := visit(i); err != nil {
			return inField("["+strconv.Itoa(i)+"]", err)
		}
	}
}

// skip reads a value of any kind.
func (d *jsonReader) skip() (err error) {
	switch d.kind() {
	case '{':
		return d.object(func(string) error { return nil })
	case '[':
		return d.longArray(func(int) error { return d.skip() })
	case '"':
		_, err = d.text()
	case 't', 'f':
		_, err = d.boolean()
	case 'n':
		_, err = d.null()
	case '0':
		_, err = d.literal()
	default:
		err = d.want("a value")
	}
	return err
}

// raw reads a value of any kind and returns it as it is written.
func (d *jsonReader) raw() ([]byte, error) {
	d.kind()
	from := d.at
	err := d.skip()
	return d.data[from:d.at], err
}

// The following read a value into a variable. null leaves it as it is, which is what clients mean by it.

func (d *jsonReader) intoText(v *string) error {
	null, err := d.null()
	if err == nil && !null {
		*v, err = d.text()
	}
	return err
}

func (d *jsonReader) intoBool(v *bool) error {
	null, err := d.null()
	if err == nil && !null {
		*v, err = d.boolean()
	}
	return err
}

func (d *jsonReader) intoInt(v *int, least, most int) error {
	null, err := d.null()
	if err == nil && !null {
		*v, err = d.integer(least, most)
	}
	return err
}

// intoTexts reads an array of texts.
func (d *jsonReader) intoTexts(v *[]string) error {
	if null, err := d.null(); err != nil || null {
		return err
	}
	*v = []string{}
	return d.array(func(int) error {
		s, err := d.text()
		*v = append(*v, s)
		return err
	})
}

// intoChoice reads a text that is one of some names, and which one it is.
func (d *jsonReader) intoChoice(v *int, names ...string) error {
	if null, err := d.null(); err != nil || null {
		return err
	}
	s, err := d.text()
	if err != nil {
		return err
	}
	for i, name := range names {
		if s == name {
			*v = i
			return nil
		}
	}
	return &fieldError{err: fmt.Errorf("%s: want %s", message.Quote(s), message.QuoteAll(names))}
}

// orNull is object for a value that may be null.
func (d *jsonReader) orNull(visit func(key string) error) error {
	if null, err := d.null(); err != nil || null {
		return err
	}
	return d.object(visit)
}

func (d *jsonReader) intoOffsetUnit(u *OffsetUnit) error {
	unit := int(*u)
	err := d.intoChoice(&unit, offsetUnits[:]...)
	*u = OffsetUnit(unit)
	return err
}
