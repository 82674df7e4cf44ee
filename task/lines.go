package task

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// MaxRecord bounds a line, or a CSV record of several lines, in bytes. A longer one is an error, so that a file of
// another kind doesn't fill the memory.
const MaxRecord = 16 << 20

var errTooLong = fmt.Errorf("a record of more than %s bytes", thousands(MaxRecord))

var (
	gzipMagic = []byte{0x1f, 0x8b}
	utf8Mark  = []byte{0xef, 0xbb, 0xbf}
	utf16Mark = [][]byte{{0xff, 0xfe}, {0xfe, 0xff}}
)

// decompress reads r through gzip if it begins like a gzip file. It reads no further than it must, so that lines typed
// at a terminal come at once.
func decompress(r io.Reader, name string) (*bufio.Reader, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	if !beginsWith(b, gzipMagic) {
		return b, nil
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("%s: no gzip file: %w", name, cutOff(err))
	}
	return bufio.NewReaderSize(z, 1<<16), nil
}

// beginsWith says whether b begins with mark, waiting for each byte only after those before it.
func beginsWith(b *bufio.Reader, mark []byte) bool {
	for i := range mark {
		if head, err := b.Peek(i + 1); err != nil || head[i] != mark[i] {
			return false
		}
	}
	return true
}

// openText is decompress for text in UTF-8: a byte order mark is dropped, UTF-16 is refused.
func openText(r io.Reader, name string) (*bufio.Reader, error) {
	b, err := decompress(r, name)
	if err != nil {
		return nil, err
	}
	for _, mark := range utf16Mark {
		if beginsWith(b, mark) {
			return nil, fmt.Errorf("%s: text in UTF-16: convert it to UTF-8 first", name)
		}
	}
	if beginsWith(b, utf8Mark) {
		if _, err := b.Discard(len(utf8Mark)); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// lineReader gives the lines of a text, ended by LF or CRLF, the last one also by the end of the file.
type lineReader struct {
	b    *bufio.Reader
	line int // the number of the last line read, from 1
	buf  []byte
}

// next returns the next line, without its end, good until the next call. io.EOF says that there is none; after
// errTooLong the reader stands behind the line that is too long.
func (l *lineReader) next() ([]byte, error) {
	l.buf = l.buf[:0]
	tooLong := false
	for {
		part, err := l.b.ReadSlice('\n')
		if len(l.buf)+len(part) > MaxRecord+len("\r\n") {
			tooLong = true
		}
		if !tooLong {
			l.buf = append(l.buf, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF && len(l.buf) == 0 && !tooLong:
			return nil, io.EOF
		case err != nil && err != io.EOF:
			return nil, cutOff(err)
		}
		l.line++
		line := bytes.TrimSuffix(l.buf, []byte("\n"))
		if len(line) < len(l.buf) {
			line = bytes.TrimSuffix(line, []byte("\r"))
		}
		if tooLong || len(line) > MaxRecord {
			return nil, errTooLong
		}
		return line, nil
	}
}
