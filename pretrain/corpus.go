package pretrain

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/go-bert/bert/internal/textfile"
	"github.com/klauspost/compress/zstd"
)

// MaxLine bounds a line of a corpus in bytes, so that a file of another kind doesn't fill the memory.
const MaxLine = textfile.MaxRecord

// The path that means the standard input, and how messages call it.
const (
	stdinPath = "-"
	stdinName = "stdin"
)

// maxWindow bounds the memory that a zstd file may ask for: what zstd --ultra -22 asks for.
const maxWindow = 128 << 20

// Corpus is text to learn from: files of documents, which are lines (sentences, or paragraphs) with blank lines in between.
// A file may be plain, gzip or zstd, which its content tells, or the Large Movie Review Dataset (Maas et al. 2011), its
// folder aclImdb or the archive. Reading takes bounded memory and the same order each time.
type Corpus struct {
	// Paths are the files in order; "-" is Stdin.
	Paths []string
	Stdin io.Reader
	// IMDBSplits are the splits of the Large Movie Review Dataset that are read: "train", "unsup". nil: both. Its test
	// reviews are never read: a model must not have seen them.
	IMDBSplits []string

	read atomic.Int64 // bytes of the files
}

// Read is how many bytes of the files, as they are on disk, have been read so far, by all loops over Lines. Size is how
// many there are; 0 if that is not known.
func (c *Corpus) Read() int64 { return c.read.Load() }

// Size is how many bytes the files have on disk, 0 if that can't be known because one is no regular file.
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

// names are the files for a message.
func (c *Corpus) names() string {
	names := slices.Clone(c.Paths)
	for i, name := range names {
		if name == stdinPath {
			names[i] = stdinName
		}
	}
	return strings.Join(names, ", ")
}

// Lines are the lines of all files, white space around them dropped, good until the next. An empty line ends a document,
// as does the end of a file; no document is empty. An error, which names file and line, ends the loop.
func (c *Corpus) Lines() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		blank := true // no two ends of documents in a row
		line := func(text []byte) bool {
			text = bytes.TrimFunc(text, textfile.IsPythonSpace)
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

// file gives the lines of a file to line, until it returns false.
func (c *Corpus) file(path string, line func([]byte) bool) (more bool, err error) {
	name, in := path, c.Stdin
	if path == stdinPath {
		if name = stdinName; in == nil {
			return false, errors.New(stdinName + ": there is none")
		}
	} else {
		info, err := os.Stat(path)
		if err != nil {
			return false, textfile.PathError(err)
		}
		if info.IsDir() {
			return c.imdbFolder(path, line)
		}
		f, err := os.Open(path)
		if err != nil {
			return false, textfile.PathError(err)
		}
		defer f.Close()
		in = f
	}
	plain, err := textfile.Decompress(&countingReader{in, &c.read}, name, textfile.Gzip, zstdFormat)
	if err != nil {
		return false, err
	}
	defer plain.Close()
	if isTar(plain.Reader) {
		return c.imdbArchive(plain, name, line)
	}
	if err := plain.UTF8(name); err != nil {
		return false, err
	}
	return eachLine(plain.Reader, name, line)
}

// eachLine gives the lines of r to line. A lone CR is white space, not the end of a line, as for Google's reader.
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
				return false, fmt.Errorf("%s:%d: a line of more than %d MiB: want text with a sentence or paragraph a line", name, number, MaxLine>>20)
			}
		}
		if err != nil && err != io.EOF {
			return false, fmt.Errorf("%s:%d: %w", name, number, textfile.CutOff(err))
		}
		if !line(text) {
			return false, nil
		}
		if err == io.EOF {
			return true, nil
		}
	}
}

// zstdFormat is Zstandard (RFC 8878).
var zstdFormat = textfile.Compression{Name: "zstd", Magic: []byte{0x28, 0xb5, 0x2f, 0xfd}, Open: func(r io.Reader) (io.Reader, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
}}

// countingReader adds what is read to n.
type countingReader struct {
	io.Reader
	n *atomic.Int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n.Add(int64(n))
	return n, err
}

// group is a number of documents that are made into instances together.
type group struct {
	number int
	text   []byte // lines, each ended by a line feed; an empty one between documents
	// documents counts them; cut counts those that are the rest of one longer than a group.
	documents, cut int
}

// groups cuts a corpus into groups of about size bytes of text, by nothing but its lines, so that whoever reads it cuts it
// the same way. A group has size bytes or more, and at least two documents; the last has at least half as much, or else is
// one with the group before it. A document of more than size bytes is cut at the end of a line and goes on as another one.
func groups(lines iter.Seq2[[]byte, error], size int) iter.Seq2[*group, error] {
	return func(yield func(*group, error) bool) {
		var (
			g        = &group{}
			waiting  *group // the group before g, until g is big enough to stand alone
			document = 0    // bytes of the document under way
		)
		alone := func(g *group, least int) bool { return g.documents >= 2 && len(g.text) >= least }
		// endDocument is false when the loop is over.
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
				// All at once: growing little by little would copy it five times.
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
