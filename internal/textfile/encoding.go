package textfile

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/go-bert/bert/internal/message"
)

// An Encoding is how characters are written as bytes. The zero Encoding is UTF-8.
type Encoding struct {
	name string
	of   encoding.Encoding // nil: UTF-8
}

// Encodings of text that a mark begins.
var (
	utf16LE = Encoding{"utf-16le", unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)}
	utf16BE = Encoding{"utf-16be", unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)}
)

// pythonNames are those of Python's names for encodings that neither index has.
var pythonNames = map[string]string{
	"utf8": "utf-8", "utf-8-sig": "utf-8", "utf16": "utf-16", "utf-16-le": "utf-16le", "utf-16-be": "utf-16be",
	"cp932": "shift_jis", "cp936": "gbk", "cp949": "euc-kr", "cp950": "big5", "mac-roman": "macintosh", "mac-cyrillic": "x-mac-cyrillic",
}

// codePages are those of DOS, which web pages never had and the standard lacks.
var codePages = map[string]*charmap.Charmap{
	"cp437": charmap.CodePage437, "cp850": charmap.CodePage850, "cp852": charmap.CodePage852, "cp855": charmap.CodePage855, "cp858": charmap.CodePage858,
	"cp860": charmap.CodePage860, "cp862": charmap.CodePage862, "cp863": charmap.CodePage863, "cp865": charmap.CodePage865,
}

// UnknownEncodingError is a name that no encoding has.
type UnknownEncodingError struct{ Name string }

func (e *UnknownEncodingError) Error() string {
	return fmt.Sprintf("encoding %s: want a name such as latin-1, windows-1251, utf-16, shift_jis, gb18030 or euc-kr", message.Quote(e.Name))
}

// FindEncoding finds an encoding by its name in the WHATWG's Encoding Standard, or a code page of DOS, such as cp437; names of
// Python are read too, such as latin-1 and cp1251. Case doesn't matter. As in the standard, latin-1 means windows-1252, which has
// letters where ISO 8859-1 has control characters. "" is UTF-8. Another name is an *UnknownEncodingError.
func FindEncoding(name string) (Encoding, error) {
	folded := strings.ToLower(strings.TrimSpace(name))
	hyphens := strings.ReplaceAll(folded, "_", "-")
	if python, ok := pythonNames[hyphens]; ok {
		folded, hyphens = python, python
	}
	switch hyphens {
	case "", "utf-8":
		return Encoding{}, nil
	case "utf-16", utf16LE.name:
		return utf16LE, nil
	case utf16BE.name:
		return utf16BE, nil
	}
	if page, ok := codePages[strings.Replace(hyphens, "ibm", "cp", 1)]; ok {
		return Encoding{hyphens, page}, nil
	}
	for _, n := range []string{folded, hyphens, strings.ReplaceAll(hyphens, "-", "")} {
		e, err := htmlindex.Get(n)
		if err != nil || e == encoding.Replacement {
			continue
		}
		n, err = htmlindex.Name(e)
		switch {
		case err != nil:
			continue
		case n == "utf-8":
			return Encoding{}, nil
		}
		return Encoding{n, e}, nil
	}
	return Encoding{}, &UnknownEncodingError{name}
}

// String is the encoding's name in the standard.
func (e Encoding) String() string {
	if e.of == nil {
		return "UTF-8"
	}
	return e.name
}

// EncodingError says that text is not in the encoding in which it was read.
type EncodingError struct {
	Encoding string // the name
	Line     int    // of the text, from 1; 0 where the caller knows
	Offset   int    // of the line, in UTF-8: the first byte, from 0, that is no character
}

func (e *EncodingError) Error() string {
	return fmt.Sprintf("not valid %s at byte %d: say which encoding the text has", e.Encoding, e.Offset)
}

// invalid is where a text stops being UTF-8; −1: nowhere.
func invalid(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	for i := 0; ; {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
}

// Check returns an *EncodingError for a line of the content that is not in its encoding.
func (r *Reader) Check(line []byte) error { return r.encoding.check(line) }

// check returns an *EncodingError for a line that is not UTF-8.
func (e Encoding) check(line []byte) error {
	if at := invalid(line); at >= 0 {
		return &EncodingError{Encoding: e.String(), Offset: at}
	}
	return nil
}

// marked is the encoding that the first bytes of a text say it has, and the length of the mark; 0 if there is none.
func marked(hasPrefix func(mark []byte) bool) (Encoding, int) {
	for _, m := range []struct {
		mark []byte
		is   Encoding
	}{{utf8Mark, Encoding{}}, {utf16Mark[0], utf16LE}, {utf16Mark[1], utf16BE}} {
		if hasPrefix(m.mark) {
			return m.is, len(m.mark)
		}
	}
	return Encoding{}, 0
}

// Decode is a text in UTF-8, without a mark. A mark at its beginning decides, whatever the encoding; UTF-16 is read where an encoding is
// given. Text that isn't in its encoding is an *EncodingError, which has the line, and what is no text a *NotTextError.
func (e Encoding) Decode(text []byte) ([]byte, error) {
	if e.of == nil {
		if err := Check(text); err != nil {
			return nil, err
		}
		text = TrimMark(text)
	} else {
		is, n := marked(func(mark []byte) bool { return bytes.HasPrefix(text, mark) })
		if n == 0 {
			is = e
		}
		if e, text = is, text[n:]; e.of != nil {
			var err error
			if text, _, err = transform.Bytes(e.decoder(), text); err != nil {
				return nil, err
			}
		}
		if err := (&checker{encoding: e}).look(text); err != nil {
			return nil, err
		}
	}
	if at := invalid(text); at >= 0 {
		line := bytes.LastIndexByte(text[:at], '\n') + 1
		return nil, &EncodingError{e.String(), 1 + bytes.Count(text[:at], []byte("\n")), at - line}
	}
	return text, nil
}

// decoder decodes text. What is no character of the encoding becomes bytes that are not UTF-8, so that whoever checks the text finds
// the place.
func (e Encoding) decoder() transform.Transformer { return &strict{e.of.NewDecoder(), e.of} }

func (e Encoding) reader(r io.Reader) io.Reader { return transform.NewReader(r, e.decoder()) }

type strict struct {
	*encoding.Decoder
	of encoding.Encoding
}

var (
	replacement = []byte("\ufffd")
	noUTF8      = []byte{0xff, 0xff, 0xff} // as long
)

func (s *strict) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	nDst, nSrc, err = s.Decoder.Transform(dst, src, atEOF)
	if !bytes.Contains(dst[:nDst], replacement) {
		return nDst, nSrc, err
	}
	// It may be in the text: that of UTF-16 and GB18030 can have it.
	if again, e := s.of.NewEncoder().Bytes(dst[:nDst]); e == nil && bytes.Equal(again, src[:nSrc]) {
		return nDst, nSrc, err
	}
	for rest := dst[:nDst]; ; {
		at := bytes.Index(rest, replacement)
		if at < 0 {
			return nDst, nSrc, err
		}
		copy(rest[at:], noUTF8)
		rest = rest[at+len(noUTF8):]
	}
}

// Whole gives the content to a reader that looks at no lines. Where it is not in its encoding, a read ends with an *EncodingError
// that has the line.
func (r *Reader) Whole() io.Reader { return &whole{r: r, line: 1} }

type whole struct {
	r      *Reader
	line   int
	at     int    // bytes of the line that are given
	rest   []byte // of a character that is not whole yet: it is given with the others, and checked then
	failed error
}

func (w *whole) Read(p []byte) (int, error) {
	if w.failed != nil {
		return 0, w.failed
	}
	n, err := w.r.Read(p)
	text := p[:n]
	if len(w.rest) > 0 {
		text = append(w.rest, text...)
	}
	end := len(text)
	if err == nil { // what follows may complete the last character
		for i := 1; i < utf8.UTFMax && i <= end; i++ {
			if utf8.RuneStart(text[end-i]) {
				if !utf8.FullRune(text[end-i:]) {
					end -= i
				}
				break
			}
		}
	}
	checked := text[:end]
	if at := invalid(checked); at >= 0 {
		w.count(checked[:at])
		w.failed = &EncodingError{w.r.encoding.String(), w.line, w.at}
		return 0, w.failed
	}
	w.count(checked)
	w.rest = append(w.rest[:0:0], text[end:]...)
	return n, err
}

// count counts the lines of what is in order.
func (w *whole) count(text []byte) {
	if i := bytes.LastIndexByte(text, '\n'); i >= 0 {
		w.line += bytes.Count(text, []byte("\n"))
		w.at, text = 0, text[i+1:]
	}
	w.at += len(text)
}
