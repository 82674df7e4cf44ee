package pretrain

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/textfile"
)

// MaxLine bounds a line of a corpus in bytes, so that a file of another kind doesn't fill the memory.
const MaxLine = textfile.MaxRecord

// The path that stands for standard input, and its name in messages.
const (
	stdinPath = "-"
	stdinName = "stdin"
)

// maxWindow limits the memory that a zstd file can demand to that of zstd's highest compression level.
const maxWindow = 128 << 20

// Corpus is text to learn from: files of documents separated by blank lines. The lines of a document are sentences or
// paragraphs. A file may be plain, gzip, zstd, bzip2 or xz, recognised by its content, or the Large Movie Review Dataset (Maas et
// al. 2011), as the folder aclImdb or as the archive. Reading takes bounded memory, in the same order each time.
type Corpus struct {
	// Paths are the files in order; "-" is Stdin.
	Paths []string
	Stdin io.Reader
	// IMDBSplits are the splits of the Large Movie Review Dataset to read: "train", "unsup". nil means both. The test reviews are
	// never read, because models are evaluated on them.
	IMDBSplits []string
	// Encoding is the name of the text's encoding, as data.CheckEncoding has it; "": UTF-8. Text that is not in it is a
	// *data.EncodingError.
	Encoding string

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
// document, as does the end of a file; no document is empty. An error, which names the file and line, or the cause of ctx's end, ends
// the loop; a pipe that waits for its writer ends with ctx too.
func (c *Corpus) Lines(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		blank := true // avoids two empty lines in a row
		line := func(text []byte) bool {
			text = bytes.TrimFunc(text, textfile.IsPythonSpace)
			if len(text) == 0 && blank {
				return true
			}
			blank = len(text) == 0
			return yield(text, nil)
		}
		for _, path := range c.Paths {
			more, err := c.file(ctx, path, line)
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
func (c *Corpus) file(ctx context.Context, path string, line func([]byte) bool) (more bool, err error) {
	name, in := path, c.Stdin
	if path == stdinPath {
		if name = stdinName; in == nil {
			return false, errors.New(stdinName + ": not available")
		}
	} else {
		info, err := os.Stat(path)
		if err != nil {
			return false, files.PathError(err)
		}
		if info.IsDir() {
			return c.imdbFolder(path, line)
		}
		f, err := textfile.Open(ctx, path)
		if err != nil {
			return false, err
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
	encoding, err := textfile.FindEncoding(c.Encoding)
	if err != nil {
		return false, err
	}
	if err := plain.Text(name, encoding); err != nil {
		return false, err
	}
	return eachLine(plain, name, line)
}

// eachLine calls line with the lines of r. A lone CR is white space, not the end of a line, as in Google's reader.
func eachLine(r *textfile.Reader, name string, line func([]byte) bool) (more bool, err error) {
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
			return false, fmt.Errorf("%s:%d: %w", name, number, textfile.CutOff(err))
		}
		if err := r.Check(text); err != nil {
			return false, fmt.Errorf("%s:%d: %w", name, number, err)
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

// group is a number of documents that are made into instances together.
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
