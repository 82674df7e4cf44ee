// Package textfile reads text files as users have them: perhaps compressed, perhaps in another encoding than UTF-8 or with a byte
// order mark, perhaps with a line that has no end.
package textfile

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"
	"unicode/utf8"

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

var (
	utf8Mark  = []byte{0xef, 0xbb, 0xbf}
	utf16Mark = [][]byte{{0xff, 0xfe}, {0xfe, 0xff}}
)

// Reader is the plain content of a file.
type Reader struct {
	*bufio.Reader
	check    *checker
	encoding Encoding
	close    func()
	from     *counter // of a compressed file, else nil
	held     int64
}

// freeMemory is what readers may keep of a compressed file, however small that is.
const freeMemory = 12 << 20

// Hold takes note of memory that the caller keeps of the content, for as long as it reads on. Where a compressed file makes it keep
// out of all proportion to its size the error is an *ExpansionError. Plain files have no such bound.
func (r *Reader) Hold(bytes int) error {
	r.held += int64(bytes)
	if r.from != nil && r.held > freeMemory+maxExpansion*r.from.n {
		return &ExpansionError{r.from.n, r.held}
	}
	return nil
}

// Close frees the memory of the decompression. The file is the caller's.
func (r *Reader) Close() { r.close() }

// Decompress reads r, decompressed if it is a file of gzip, zstd, bzip2, xz or of one of the further compressions. Another compressed
// file or an archive other than tar is a *NotTextError; content that is far longer than the file is an *ExpansionError of a
// later read. Decompress reads no further than it must, so that lines typed at a terminal come at once. Errors call r name.
func Decompress(r io.Reader, name string, further ...Compression) (*Reader, error) {
	from := &counter{r: r}
	b := bufio.NewReaderSize(from, bufferSize)
	var f *format
	for i := range further {
		if c := &further[i]; f == nil && beginsWith(b, c.Magic) {
			f = &format{name: c.Name, open: c.Open}
		}
	}
	if f == nil {
		f = formatOf(b)
	}
	switch {
	case f == nil:
		return newReader(b, func() {}), nil
	case f.open == nil:
		return nil, &NotTextError{File: name, Is: f.name, Advice: f.advice}
	}
	z, err := f.open(b)
	if err != nil {
		return nil, fmt.Errorf("%s: no %s file: %w", name, f.name, CutOff(err))
	}
	closing := func() {}
	switch z := z.(type) {
	case interface{ Close() error }:
		closing = func() { z.Close() }
	case interface{ Close() }:
		closing = z.Close
	}
	plain := newReader(&expanding{r: z, from: from}, closing)
	plain.from = from
	if f := formatOf(plain.Reader); f != nil {
		plain.Close()
		return nil, &NotTextError{File: name, Is: "a compressed file in a compressed file", Advice: "decompress it first"}
	}
	return plain, nil
}

func newReader(r io.Reader, closing func()) *Reader {
	c := &checker{r: r}
	return &Reader{Reader: bufio.NewReaderSize(c, bufferSize), check: c, close: closing}
}

// Text drops a byte order mark and decodes the content. Without an encoding it has to be UTF-8. With one a mark decides all the same:
// that of UTF-8, or of UTF-16. What is no text is a *NotTextError, at once or, where that shows in later bytes, by the error of a
// read. Single bytes that are no characters are for Lines and Whole to report.
func (r *Reader) Text(name string, e Encoding) error {
	is, n := marked(func(mark []byte) bool { return beginsWith(r.Reader, mark) })
	if n > 0 {
		if is.of != nil && e.of == nil {
			return utf16Error(name)
		}
		if _, err := r.Discard(n); err != nil {
			return err
		}
		e = is
	}
	if head, _ := r.Peek(r.Buffered()); len(head) >= tarMarkEnd && string(head[tarMarkEnd-len(tarMark):tarMarkEnd]) == tarMark {
		return &NotTextError{File: name, Is: "a tar archive", Advice: "extract the text first"}
	}
	if r.encoding = e; e.of != nil {
		r.check = &checker{r: e.reader(r.Reader), encoding: e}
		r.Reader = bufio.NewReaderSize(r.check, bufferSize)
	}
	r.check.armed = true
	head, _ := r.Peek(r.Buffered())
	err := r.check.look(head)
	var not *NotTextError
	if errors.As(err, &not) {
		named := *not
		named.File = name
		return &named
	}
	return err
}

// A tar archive has a mark in its first header.
const (
	tarMark    = "ustar"
	tarMarkEnd = 262
)

// New reads r as text, compressed or not, as Decompress and Text do. encoding is a name for FindEncoding; "": UTF-8.
func New(r io.Reader, name, encoding string) (*Reader, error) {
	e, err := FindEncoding(encoding)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	t, err := Decompress(r, name)
	if err != nil {
		return nil, err
	}
	if err := t.Text(name, e); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// TrimMark takes a byte order mark off text in UTF-8.
func TrimMark(text []byte) []byte { return bytes.TrimPrefix(text, utf8Mark) }

// Open opens a file, a folder or a pipe whose reads end with the cause of ctx once it is done. Devices and sockets are a
// *files.KindError.
func Open(ctx context.Context, path string) (*File, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, files.PathError(err)
	}
	switch mode := info.Mode(); {
	case mode&(fs.ModeDevice|fs.ModeSocket) != 0:
		return nil, &files.KindError{Path: path, Mode: mode}
	case mode&fs.ModeNamedPipe != 0:
		return openPipe(ctx, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, files.PathError(err)
	}
	return &File{r: f, file: f, ctx: ctx}, nil
}

// From is a file of what r reads, which Close leaves open.
func From(ctx context.Context, r io.Reader) *File { return &File{r: r, ctx: ctx} }

// openPipe opens a pipe, which may wait for its writer until ctx is done.
func openPipe(ctx context.Context, path string) (*File, error) {
	type opened struct {
		f   *os.File
		err error
	}
	done := make(chan opened, 1)
	go func() {
		f, err := os.Open(path)
		done <- opened{f, err}
	}()
	select {
	case <-ctx.Done():
		// The open that waits has to end now: later it would take the first writer away from another reader.
		for ended := false; !ended && wakeReader(path); {
			select {
			case o := <-done:
				ended = true
				if o.err == nil {
					o.f.Close()
				}
			case <-time.After(time.Millisecond):
			}
		}
		return nil, context.Cause(ctx)
	case o := <-done:
		if o.err != nil {
			return nil, files.PathError(o.err)
		}
		// A deadline in the past ends a read that waits. Where the system has none, the read ends with the writer.
		stop := context.AfterFunc(ctx, func() { _ = o.f.SetReadDeadline(time.Unix(1, 0)) })
		return &File{r: o.f, file: o.f, ctx: ctx, stop: stop}, nil
	}
}

// File is a file that can be read until a context is done. It holds the context because readers of other packages, like gzip's,
// are between it and the caller that has one.
type File struct {
	r    io.Reader
	file *os.File // r; nil: it is another reader
	ctx  context.Context
	stop func() bool // of a pipe, else nil
}

func (f *File) Read(p []byte) (int, error) {
	if f.ctx.Err() != nil {
		return 0, context.Cause(f.ctx)
	}
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF && f.ctx.Err() != nil {
		err = context.Cause(f.ctx)
	}
	return n, err
}

// IsDir reports whether the file is a folder.
func (f *File) IsDir() bool {
	if f.file == nil {
		return false
	}
	info, err := f.file.Stat()
	return err == nil && info.IsDir()
}

// Close closes the file.
func (f *File) Close() error {
	if f.stop != nil {
		f.stop()
	}
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}

// Lines gives the lines of a text, ended by LF or CRLF, the last one also by the end of the file.
type Lines struct {
	b       *bufio.Reader
	in      Encoding
	number  int
	buf     []byte
	tooLong bool // the rest of the last line has to be skipped
	cut     bool // the last line has no end
}

// NewLines gives the lines of r.
func NewLines(r *Reader) *Lines { return &Lines{b: r.Reader, in: r.encoding} }

// Number is the number of the last line read, from 1.
func (l *Lines) Number() int { return l.number }

// Cut reports whether the last line was ended by the end of the file and not by a line end.
func (l *Lines) Cut() bool { return l.cut }

// keepAtMost is the memory that Lines keeps from line to line.
const keepAtMost = 1 << 20

// BadLine reports whether an error is about one line, after which the next can be read: ErrTooLong or an *EncodingError.
func BadLine(err error) bool {
	return err != nil && (errors.Is(err, ErrTooLong) || errors.As(err, new(*EncodingError)))
}

// Next returns the next line, without its end, good until the next call. io.EOF says that there is none. ErrTooLong comes as soon as
// a line is too long; the next call goes on after its end. A line that is not in the text's encoding comes with an *EncodingError.
func (l *Lines) Next() ([]byte, error) {
	for l.tooLong {
		_, err := l.b.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil && err != io.EOF:
			return nil, CutOff(err)
		default:
			l.tooLong = false // of the end of the file the next read says so again
		}
	}
	if cap(l.buf) > keepAtMost {
		l.buf = nil
	}
	l.buf = l.buf[:0]
	for {
		part, err := l.b.ReadSlice('\n')
		full := errors.Is(err, bufio.ErrBufferFull)
		if len(l.buf)+len(part) > MaxRecord+len("\r\n") {
			l.number++
			l.tooLong = full
			return nil, ErrTooLong
		}
		if need := len(l.buf) + len(part); need > cap(l.buf) {
			// Twice as much, unlike append's quarter more: a long line then leaves as much garbage as it has bytes.
			l.buf = slices.Grow(l.buf, min(max(need, 2*cap(l.buf)), max(need, MaxRecord+len("\r\n")))-len(l.buf))
		}
		l.buf = append(l.buf, part...)
		switch {
		case full:
			continue
		case err == io.EOF && len(l.buf) == 0:
			return nil, io.EOF
		case err != nil && err != io.EOF:
			return nil, CutOff(err)
		}
		l.number++
		line := bytes.TrimSuffix(l.buf, []byte("\n"))
		if l.cut = len(line) == len(l.buf); !l.cut {
			line = bytes.TrimSuffix(line, []byte("\r"))
		}
		if len(line) > MaxRecord {
			return nil, ErrTooLong
		}
		if len(line) == 0 || utf8.Valid(line) {
			return line, nil
		}
		return line, l.in.check(line)
	}
}

// ReadAll reads a regular file that is one text, of at most MaxRecord bytes.
func ReadAll(ctx context.Context, path string) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	text, err := files.ReadFile(path, MaxRecord)
	var size *files.SizeError
	if errors.As(err, &size) {
		return nil, fmt.Errorf("%s: a text of more than %s bytes", path, message.Thousands(MaxRecord))
	}
	return text, err
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
	return files.PathError(files.WriteFile(path, 0o666, func(w io.Writer) error {
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
