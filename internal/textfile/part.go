package textfile

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/bits"
	"os"
	"sync/atomic"
)

// Part is the lines of a text that begin in one of several equally long pieces of it. A line belongs to one part, whole, so that the
// parts' lines one after another are those of the text.
type Part struct {
	// Reader is the part's content, without the byte order mark of the text.
	*Reader
	// From is where the part begins in the whole content, in bytes, decompressed and in UTF-8, without its mark.
	From int64

	limit  *limited
	before func(ctx context.Context) (int, error)
}

// OpenPart is part number i, from 0, of the n parts of a regular file, as New reads it. Of a plain file in UTF-8 nothing is read but the
// part and the line that it begins in. Another one, compressed or in another encoding, is read through twice, since what it holds has
// no places in it that are known.
func OpenPart(ctx context.Context, f *os.File, name, encoding string, i, n int) (*Part, error) {
	if n < 1 || i < 0 || i >= n {
		return nil, fmt.Errorf("part %d of %d: want 0 to %d", i, n, n-1)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, CutOff(err)
	}
	file := func(from, to int64) io.Reader { return &File{r: io.NewSectionReader(f, from, to-from), ctx: ctx} }
	whole, err := New(file(0, info.Size()), name, encoding)
	if err != nil {
		return nil, err
	}
	if whole.from != nil || whole.encoding.of != nil {
		defer whole.Close()
		size, err := io.Copy(io.Discard, whole.Reader)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, CutOff(err))
		}
		again, err := New(file(0, info.Size()), name, encoding)
		if err != nil {
			return nil, err
		}
		return skipTo(again, name, piece(size, i, n), piece(size, i+1, n))
	}
	whole.Close()
	var head [3]byte
	mark := int64(0)
	if k, _ := f.ReadAt(head[:], 0); bytes.HasPrefix(head[:k], utf8Mark) {
		mark = int64(len(utf8Mark))
	}
	size := info.Size() - mark
	from, err := lineFrom(file(mark+max(0, piece(size, i, n)-1), info.Size()), piece(size, i, n), size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	to, err := lineFrom(file(mark+max(0, piece(size, i+1, n)-1), info.Size()), piece(size, i+1, n), size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p := &Part{From: from, limit: newLimited(file(mark+from, mark+to), from, to)}
	p.Reader = newReader(p.limit, func() {})
	p.check.armed = from == 0 // what is no text shows in the first bytes of a file
	p.before = func(ctx context.Context) (int, error) {
		return countLines(&File{r: io.NewSectionReader(f, mark, from), ctx: ctx})
	}
	return p, nil
}

// piece is where piece i of n begins in so many bytes.
func piece(size int64, i, n int) int64 {
	high, low := bits.Mul64(uint64(size), uint64(i))
	at, _ := bits.Div64(high, low, uint64(n))
	return int64(at)
}

// lineFrom is where the first line begins at a place or after it: size, if there is none. r reads from the byte before that place on.
func lineFrom(r io.Reader, place, size int64) (int64, error) {
	if place == 0 {
		return 0, nil
	}
	buffer := make([]byte, 1<<12)
	for at := place - 1; ; {
		n, err := r.Read(buffer)
		if end := bytes.IndexByte(buffer[:n], '\n'); end >= 0 {
			return at + int64(end) + 1, nil
		}
		at += int64(n)
		if err == io.EOF {
			return size, nil
		}
		if err != nil {
			return 0, CutOff(err)
		}
	}
}

// countLines counts the line ends that r has.
func countLines(r io.Reader) (int, error) {
	buffer, lines := make([]byte, bufferSize), 0
	for {
		n, err := r.Read(buffer)
		lines += bytes.Count(buffer[:n], []byte("\n"))
		if err == io.EOF {
			return lines, nil
		}
		if err != nil {
			return 0, CutOff(err)
		}
	}
}

// skipTo makes a part of the content of r: the lines that begin in the piece from from to to.
func skipTo(r *Reader, name string, from, to int64) (_ *Part, err error) {
	defer func() {
		if err != nil {
			r.Close()
			err = fmt.Errorf("%s: %w", name, CutOff(err))
		}
	}()
	// The byte before the piece says whether a line begins with it.
	lines, err := countLines(io.LimitReader(r.Reader, max(0, from-1)))
	if err != nil {
		return nil, err
	}
	at := max(0, from-1)
	for in := from > 0; in; { // in the line that has that byte
		part, err := r.ReadSlice('\n')
		at += int64(len(part))
		switch {
		case err == nil:
			lines, in = lines+1, false
		case err == io.EOF:
			in = false
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
	p := &Part{From: at, limit: newLimited(r.Reader, at, to)}
	p.Reader = &Reader{Reader: bufio.NewReaderSize(p.limit, bufferSize), check: r.check, encoding: r.encoding, close: r.close, from: r.from}
	p.before = func(context.Context) (int, error) { return lines, nil }
	return p, nil
}

// Before is the number of lines of the text that are before the part. Of a plain file they are counted by this call.
func (p *Part) Before(ctx context.Context) (int, error) { return p.before(ctx) }

// SHA256 is the hash of the part's content, in hexadecimal digits, once it has been read to its end.
func (p *Part) SHA256() string { return hex.EncodeToString(p.limit.sum.Sum(nil)) }

// End is where the part ends in the whole content, once it has been read to its end.
func (p *Part) End() int64 { return p.limit.at.Load() }

// Progress is how many of the part's bytes have been read. It may be called while they are.
func (p *Part) Progress() (done, all int64) {
	return p.limit.at.Load() - p.From, max(0, p.limit.end-p.From)
}

// limited is a reader that ends with the line that has the byte before end, and computes the hash of what it reads.
type limited struct {
	r    io.Reader
	at   atomic.Int64
	end  int64
	done bool
	sum  hash.Hash
}

func newLimited(r io.Reader, at, end int64) *limited {
	l := &limited{r: r, end: end, done: at >= end, sum: sha256.New()}
	l.at.Store(at)
	return l
}

func (l *limited) Read(b []byte) (int, error) {
	if l.done {
		return 0, io.EOF
	}
	n, err := l.r.Read(b)
	if at := l.at.Load(); at+int64(n) >= l.end {
		last := int(max(0, l.end-1-at))
		if end := bytes.IndexByte(b[last:n], '\n'); end >= 0 {
			n, err, l.done = last+end+1, nil, true
		}
	}
	l.at.Add(int64(n))
	l.sum.Write(b[:n])
	return n, err
}
