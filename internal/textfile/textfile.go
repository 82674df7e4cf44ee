// Package textfile reads text files as users have them: perhaps compressed, perhaps with a byte order mark, perhaps with a
// line that has no end.
package textfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/go-bert/bert/internal/atomicfile"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/message"
)

// MaxRecord bounds a line, or a record of several lines, in bytes. A longer one is an error, so that a file of another kind
// doesn't fill the memory.
const MaxRecord = 16 << 20

// ErrTooLong says that a line or a record is longer than MaxRecord.
var ErrTooLong = fmt.Errorf("a record of more than %s bytes", message.Thousands(MaxRecord))

// bufferSize is that of the readers.
const bufferSize = 1 << 16

// Compression is a way in which a file may be compressed.
type Compression struct {
	Name  string
	Magic []byte // how such a file begins
	// Open reads what r has compressed. The reader is closed when it is no longer needed, where it can be closed.
	Open func(r io.Reader) (io.Reader, error)
}

// Gzip is RFC 1952.
var Gzip = Compression{"gzip", []byte{0x1f, 0x8b}, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }}

var (
	utf8Mark  = []byte{0xef, 0xbb, 0xbf}
	utf16Mark = [][]byte{{0xff, 0xfe}, {0xfe, 0xff}}
)

// Reader is the plain content of a file.
type Reader struct {
	*bufio.Reader
	close func()
}

// Close frees the memory of the decompression. The file is the caller's.
func (r *Reader) Close() { r.close() }

// Decompress reads r through the decompression whose magic it begins with, if any. It reads no further than it must, so that
// lines typed at a terminal come at once. Errors call r name.
func Decompress(r io.Reader, name string, by ...Compression) (*Reader, error) {
	b := bufio.NewReaderSize(r, bufferSize)
	for _, c := range by {
		if !beginsWith(b, c.Magic) {
			continue
		}
		z, err := c.Open(b)
		if err != nil {
			return nil, fmt.Errorf("%s: no %s file: %w", name, c.Name, CutOff(err))
		}
		plain := &Reader{bufio.NewReaderSize(z, bufferSize), func() {}}
		switch z := z.(type) {
		case interface{ Close() error }:
			plain.close = func() { z.Close() }
		case interface{ Close() }:
			plain.close = z.Close
		}
		return plain, nil
	}
	return &Reader{b, func() {}}, nil
}

// beginsWith reports whether b begins with mark, waiting for each byte only after those before it.
func beginsWith(b *bufio.Reader, mark []byte) bool {
	for i := range mark {
		if head, err := b.Peek(i + 1); err != nil || head[i] != mark[i] {
			return false
		}
	}
	return true
}

// UTF8 drops a byte order mark of UTF-8 and refuses text in UTF-16.
func (r *Reader) UTF8(name string) error {
	for _, mark := range utf16Mark {
		if beginsWith(r.Reader, mark) {
			return fmt.Errorf("%s: text in UTF-16: convert it to UTF-8 first", name)
		}
	}
	if beginsWith(r.Reader, utf8Mark) {
		if _, err := r.Discard(len(utf8Mark)); err != nil {
			return err
		}
	}
	return nil
}

// New reads r as text in UTF-8, compressed by gzip or not.
func New(r io.Reader, name string) (*Reader, error) {
	t, err := Decompress(r, name, Gzip)
	if err != nil {
		return nil, err
	}
	if err := t.UTF8(name); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// TrimMark takes a byte order mark off text in UTF-8.
func TrimMark(text []byte) []byte { return bytes.TrimPrefix(text, utf8Mark) }

// Open opens a file whose reads end with the cause of ctx once it is done.
func Open(ctx context.Context, path string) (*File, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, files.PathError(err)
	}
	return &File{f, ctx}, nil
}

// File is a file that can be read until a context is done. It holds the context because readers of other packages, like gzip's,
// are between it and the caller that has one.
type File struct {
	file *os.File
	ctx  context.Context
}

func (f *File) Read(p []byte) (int, error) {
	if f.ctx.Err() != nil {
		return 0, context.Cause(f.ctx)
	}
	return f.file.Read(p)
}

// IsDir reports whether the file is a folder.
func (f *File) IsDir() bool {
	info, err := f.file.Stat()
	return err == nil && info.IsDir()
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// Lines gives the lines of a text, ended by LF or CRLF, the last one also by the end of the file.
type Lines struct {
	b      *bufio.Reader
	number int
	buf    []byte
}

// NewLines gives the lines of r.
func NewLines(r *Reader) *Lines { return &Lines{b: r.Reader} }

// Number is the number of the last line read, from 1.
func (l *Lines) Number() int { return l.number }

// Next returns the next line, without its end, good until the next call. io.EOF says that there is none; after
// ErrTooLong the reader is past the line that is too long.
func (l *Lines) Next() ([]byte, error) {
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
			return nil, CutOff(err)
		}
		l.number++
		line := bytes.TrimSuffix(l.buf, []byte("\n"))
		if len(line) < len(l.buf) {
			line = bytes.TrimSuffix(line, []byte("\r"))
		}
		if tooLong || len(line) > MaxRecord {
			return nil, ErrTooLong
		}
		return line, nil
	}
}

// ReadAll reads a file that is one text, of at most MaxRecord bytes.
func ReadAll(ctx context.Context, path string) ([]byte, error) {
	f, err := Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxRecord+1))
	if err != nil {
		return nil, files.PathError(err)
	}
	if len(text) > MaxRecord {
		return nil, fmt.Errorf("%s: a text of more than %s bytes", path, message.Thousands(MaxRecord))
	}
	return text, nil
}

// IsDir reports whether path is a folder.
func IsDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// IsPythonSpace reports whether Python's str.strip and str.split take r for white space, and with them Google's scripts.
func IsPythonSpace(r rune) bool {
	switch {
	case r >= '\t' && r <= '\r', r >= 0x1c && r <= ' ':
		return true
	case r < 0x85:
		return false
	}
	switch r {
	case 0x85, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000:
		return true
	}
	return r >= 0x2000 && r <= 0x200a
}

// Save writes a text to a file that is whole or not there.
func Save(path, text string) error {
	return files.PathError(atomicfile.WriteFile(path, 0o666, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}))
}

// CutOff says in words that a file ends too early, and takes the path off an error of the os package.
func CutOff(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the file is truncated: %w", err)
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
