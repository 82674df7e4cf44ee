package pretrain

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

// MaxLine is the maximal length of a line of a corpus in bytes, so that a file of another kind can't exhaust memory.
const MaxLine = 16 << 20

// The path that stands for standard input, and its name in messages.
const (
	stdinPath = "-"
	stdinName = "stdin"
)

// maxWindow limits the memory that a zstd file can demand to that of zstd's highest compression level.
const maxWindow = 128 << 20

// Corpus is text to learn from: files of documents separated by blank lines. The lines of a document are sentences or
// paragraphs. A file may be plain, gzip or zstd, recognised by its content, or the Large Movie Review Dataset (Maas et al. 2011),
// as the folder aclImdb or as the archive. Reading takes bounded memory, in the same order each time.
type Corpus struct {
	// Paths are the files in order; "-" is Stdin.
	Paths []string
	Stdin io.Reader
	// IMDBSplits are the splits of the Large Movie Review Dataset to read: "train", "unsup". nil means both. The test reviews are
	// never read, because models are evaluated on them.
	IMDBSplits []string

	read atomic.Int64 // bytes of the files
}

// Read returns the number of bytes of the files, as on disk, that all loops over Lines have read so far.
func (c *Corpus) Read() int64 { return c.read.Load() }

// Size returns the total size of the files on disk in bytes, or 0 if that is unknown because one is not a regular file.
func (c *Corpus) Size() int64 {
	total := int64(0)
	for _, path := range c.Paths {
		info, err := os.Stat(path)
		if path == stdinPath || err != nil || !info.Mode().IsRegular() {
			return 0
		}
		total += info.Size()
	}
	return total
}

// names returns the names of the files for a message.
func (c *Corpus) names() string {
	names := slices.Clone(c.Paths)
	for i, name := range names {
		if name == stdinPath {
			names[i] = stdinName
		}
	}
	return strings.Join(names, ", ")
}

// Lines yields the lines of all files, without surrounding white space. A line is valid until the next. An empty line ends a
// document, as does the end of a file; no document is empty. An error, which names the file and line, ends the loop.
func (c *Corpus) Lines() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		blank := true // avoids two empty lines in a row
		line := func(text []byte) bool {
			text = bytes.TrimFunc(text, isPythonSpace)
			if len(text) == 0 && blank {
				return true
			}
			blank = len(text) == 0
			return yield(text, nil)
		}
		for _, path := range c.Paths {
			more, err := c.file(path, line)
			if err != nil {
				yield(nil, err)
				return
			}
			if !more || !line(nil) {
				return
			}
		}
	}
}

// isPythonSpace reports whether Python's str.strip, which create_pretraining_data.py uses, removes r.
func isPythonSpace(r rune) bool {
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

// file calls line with the lines of a file until it returns false.
func (c *Corpus) file(path string, line func([]byte) bool) (more bool, err error) {
	name, in := path, c.Stdin
	if path == stdinPath {
		if name = stdinName; in == nil {
			return false, errors.New(stdinName + ": not available")
		}
	} else {
		info, err := os.Stat(path)
		if err != nil {
			return false, pathError(err)
		}
		if info.IsDir() {
			return c.imdbFolder(path, line)
		}
		f, err := os.Open(path)
		if err != nil {
			return false, pathError(err)
		}
		defer f.Close()
		in = f
	}
	plain, closePlain, err := decompress(&countingReader{in, &c.read}, name)
	if err != nil {
		return false, err
	}
	defer closePlain()
	if isTar(plain) {
		return c.imdbArchive(plain, name, line)
	}
	for _, mark := range [][]byte{{0xff, 0xfe}, {0xfe, 0xff}} {
		if head, _ := plain.Peek(2); bytes.Equal(head, mark) {
			return false, fmt.Errorf("%s: text in UTF-16: convert it to UTF-8 first", name)
		}
	}
	if head, _ := plain.Peek(3); string(head) == "\ufeff" {
		if _, err := plain.Discard(3); err != nil {
			return false, err
		}
	}
	return eachLine(plain, name, line)
}

// eachLine calls line with the lines of r. A lone CR is white space, not the end of a line, as in Google's reader.
func eachLine(r *bufio.Reader, name string, line func([]byte) bool) (more bool, err error) {
	var long []byte
	for number := 1; ; number++ {
		text, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			for long = long[:0]; errors.Is(err, bufio.ErrBufferFull) && len(long) <= MaxLine; text, err = r.ReadSlice('\n') {
				long = append(long, text...)
			}
			long = append(long, text...)
			text = long
			if len(text) > MaxLine {
				return false, fmt.Errorf("%s:%d: a line of more than %d MiB: want text with one sentence or paragraph per line", name, number, MaxLine>>20)
			}
		}
		if err != nil && err != io.EOF {
			return false, fmt.Errorf("%s:%d: %w", name, number, readError(err))
		}
		if !line(text) {
			return false, nil
		}
		if err == io.EOF {
			return true, nil
		}
	}
}

// decompress decompresses r if its first bytes are those of gzip or zstd.
func decompress(r io.Reader, name string) (plain *bufio.Reader, closePlain func(), err error) {
	const size = 1 << 16
	b := bufio.NewReaderSize(r, size)
	head, err := b.Peek(4)
	if err != nil && err != io.EOF {
		return nil, nil, fmt.Errorf("%s: %w", name, readError(err))
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: not a valid gzip file: %w", name, readError(err))
		}
		return bufio.NewReaderSize(z, size), func() { z.Close() }, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("%s: not a valid zstd file: %w", name, err)
		}
		return bufio.NewReaderSize(z, size), z.Close, nil
	}
	return b, func() {}, nil
}

// A countingReader adds the number of bytes read to n.
type countingReader struct {
	io.Reader
	n *atomic.Int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n.Add(int64(n))
	return n, err
}

// pathError shortens the os package's "open x: reason" to "x: reason".
func pathError(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}

// readError explains an error of reading: a truncated file, or the system's error without the path.
func readError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the file is truncated: %w", err)
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// A group is a number of documents that are made into instances together.
type group struct {
	number int
	text   []byte // lines ended by line feeds, with an empty line between documents
	// documents is the number of documents, cut that of the continuations of documents longer than a group.
	documents, cut int
}

// groups divides a corpus into groups of about size bytes of text. The groups depend only on the lines, so every reader gets the
// same ones. A group has at least size bytes and at least two documents. The last one has at least half as many bytes, or else is
// merged with the previous one. A document of more than size bytes is split at the end of a line and continued as another one.
func groups(lines iter.Seq2[[]byte, error], size int) iter.Seq2[*group, error] {
	return func(yield func(*group, error) bool) {
		var (
			g        = &group{}
			waiting  *group // the group before g, until g is large enough on its own
			document = 0    // bytes of the current document
		)
		alone := func(g *group, least int) bool { return g.documents >= 2 && len(g.text) >= least }
		// endDocument returns false if the loop has ended.
		endDocument := func() bool {
			g.documents++
			document = 0
			if waiting != nil && alone(g, size/2) {
				if !yield(waiting, nil) {
					return false
				}
				waiting = nil
			}
			if alone(g, size) {
				waiting = g
				g = &group{number: waiting.number + 1}
			}
			return true
		}
		for line, err := range lines {
			if err != nil {
				yield(nil, err)
				return
			}
			if len(line) == 0 {
				if document > 0 && !endDocument() {
					return
				}
				continue
			}
			if document >= size {
				if !endDocument() {
					return
				}
				g.cut++
			}
			if document == 0 && len(g.text) > 0 {
				g.text = append(g.text, '\n')
			}
			if len(g.text)+len(line) >= cap(g.text) && len(g.text) >= 1<<16 {
				// Grow to the full size at once: growing step by step would copy the text five times.
				g.text = slices.Grow(g.text, len(line)+1+max(0, size+size/16-len(g.text)))
			}
			g.text = append(append(g.text, line...), '\n')
			document += len(line) + 1
		}
		if document > 0 {
			g.documents++
		}
		switch {
		case waiting == nil:
			waiting = g
		case alone(g, size/2):
			if !yield(waiting, nil) {
				return
			}
			waiting = g
		case g.documents > 0:
			waiting.text = append(append(waiting.text, '\n'), g.text...)
			waiting.documents += g.documents
			waiting.cut += g.cut
		}
		if waiting.documents > 0 {
			yield(waiting, nil)
		}
	}
}
