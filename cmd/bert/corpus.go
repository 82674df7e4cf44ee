package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/go-bert/bert/task"
)

// corpus is text without labels: files, plain, gzip or zstd, or the unlabelled and training reviews of IMDB.
type corpus struct {
	paths []string // "-" is stdin
	stdin io.Reader
	read  atomic.Int64 // bytes of the files
}

// size is how many bytes the files have, 0 if that is not known.
func (c *corpus) size() int64 {
	total := int64(0)
	for _, path := range c.paths {
		info, err := os.Stat(path)
		if path == "-" || err != nil || !info.Mode().IsRegular() {
			return 0
		}
		total += info.Size()
	}
	return total
}

// lines are the lines of all files, each good until the next. An error names the file.
func (c *corpus) lines() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, path := range c.paths {
			more, err := c.file(path, yield)
			if err != nil {
				yield(nil, err)
				return
			}
			if !more {
				return
			}
		}
	}
}

func (c *corpus) file(path string, yield func([]byte, error) bool) (more bool, err error) {
	name, in := path, c.stdin
	if path == "-" {
		name = "stdin"
	} else {
		info, err := os.Stat(path)
		if err != nil {
			return false, pathError(err)
		}
		if info.IsDir() || strings.HasSuffix(path, ".tar.gz") {
			return imdbReviews(path, yield)
		}
		f, err := os.Open(path)
		if err != nil {
			return false, pathError(err)
		}
		defer f.Close()
		in = f
	}
	b := bufio.NewReaderSize(&countingReader{in, &c.read}, 1<<16)
	head, _ := b.Peek(4) // an error comes again
	var plain io.Reader = b
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return false, fmt.Errorf("%s: %w", name, err)
		}
		plain = z
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b)
		if err != nil {
			return false, fmt.Errorf("%s: %w", name, err)
		}
		defer z.Close()
		plain = z
	}
	const longest = 16 << 20
	s := bufio.NewScanner(plain)
	s.Buffer(make([]byte, 1<<16), longest)
	for number := 1; s.Scan(); number++ {
		if bytes.IndexByte(s.Bytes(), 0) >= 0 {
			return false, fmt.Errorf("%s:%d: a byte 0 in it: want text in UTF-8", name, number)
		}
		if !yield(s.Bytes(), nil) {
			return false, nil
		}
	}
	if err := s.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("a line of more than %d MiB", longest>>20)
		}
		return false, fmt.Errorf("%s: %w", name, pathError(err))
	}
	return true, nil
}

func imdbReviews(path string, yield func([]byte, error) bool) (more bool, err error) {
	for _, part := range []task.Split{task.Train, task.Unsupervised} {
		examples, err := task.ReadIMDB(path, part)
		if err != nil {
			return false, err
		}
		for _, e := range examples {
			if !yield([]byte(e.Text), nil) {
				return false, nil
			}
		}
	}
	return true, nil
}

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
