package tokenizer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/go-bert/bert/internal/files"
)

// runs are counted words on disk, for texts with more distinct words than fit into memory. Each run is a temporary file of words
// sorted by their bytes: length, bytes and count, the numbers as unsigned varints.
type runs struct {
	dir     string
	mu      sync.Mutex
	files   []run
	written int64
}

// run is a temporary file.
type run struct {
	*os.File
	remove func() // to be called once it is closed
}

// maxRuns is the number of open files at which they are merged into one.
const maxRuns = 64

// add writes the words of a table to a new run and empties it.
func (r *runs) add(table *wordCounts) error {
	f, size, err := createRun(r.dir, table.eachSorted)
	if err != nil {
		return err
	}
	table.reset()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files = append(r.files, f)
	r.written += size
	if len(r.files) < maxRuns {
		return nil
	}
	f, size, err = createRun(r.dir, func(visit func([]byte, int64) error) error { return mergeRuns(r.files, visit) })
	if err != nil {
		return err
	}
	r.written += size
	closeAll(r.files)
	r.files = append(r.files[:0], f)
	return nil
}

// createRun writes a run of the words that each visits in sorted order, and returns its size in bytes.
func createRun(dir string, each func(visit func(word []byte, n int64) error) error) (f run, size int64, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("a temporary file for words: %w", err)
		}
	}()
	if f.File, f.remove, err = files.Scratch(dir); err != nil {
		return run{}, 0, err
	}
	defer func() {
		if err != nil {
			closeAll([]run{f})
		}
	}()
	// A file that has a name loses it now where the system removes open files: a process that is killed then leaves nothing.
	f.remove()
	w := bufio.NewWriterSize(f, 1<<16)
	var number [binary.MaxVarintLen64]byte
	err = each(func(word []byte, n int64) error {
		w.Write(number[:binary.PutUvarint(number[:], uint64(len(word)))])
		w.Write(word)
		_, err := w.Write(number[:binary.PutUvarint(number[:], uint64(n))])
		return err // bufio.Writer keeps the first error
	})
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return f, 0, err
	}
	size, err = f.Seek(0, io.SeekCurrent)
	return f, size, err
}

func closeAll(runs []run) {
	for _, f := range runs {
		f.Close()
		f.remove()
	}
}

func (r *runs) close() {
	closeAll(r.files)
	r.files = nil
}

// runReader reads a run.
type runReader struct {
	r    *bufio.Reader
	word []byte // the current word
	n    int64
}

// next reads the next word; it returns io.EOF after the last.
func (r *runReader) next() error {
	size, err := binary.ReadUvarint(r.r)
	if err != nil {
		return err
	}
	if uint64(cap(r.word)) < size {
		r.word = make([]byte, size)
	}
	r.word = r.word[:size]
	if _, err := io.ReadFull(r.r, r.word); err != nil {
		return noEOF(err)
	}
	n, err := binary.ReadUvarint(r.r)
	r.n = int64(n)
	return noEOF(err)
}

// noEOF turns io.EOF in the middle of a word into io.ErrUnexpectedEOF.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// mergeRuns visits every word of the runs once, sorted by bytes, with the sum of its counts.
func mergeRuns(runs []run, visit func(word []byte, n int64) error) error {
	var queue []*runReader // a heap
	less := func(i, j int) bool { return bytes.Compare(queue[i].word, queue[j].word) < 0 }
	sift := func(i int) {
		for {
			child := 2*i + 1
			if child >= len(queue) {
				return
			}
			if child+1 < len(queue) && less(child+1, child) {
				child++
			}
			if !less(child, i) {
				return
			}
			queue[i], queue[child] = queue[child], queue[i]
			i = child
		}
	}
	for _, f := range runs {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		r := &runReader{r: bufio.NewReaderSize(f, 1<<16)}
		switch err := r.next(); err {
		case nil:
			queue = append(queue, r)
		case io.EOF:
		default:
			return err
		}
	}
	for i := len(queue)/2 - 1; i >= 0; i-- {
		sift(i)
	}
	var (
		word []byte
		sum  int64
	)
	for len(queue) > 0 {
		r := queue[0]
		if sum > 0 && !bytes.Equal(r.word, word) {
			if err := visit(word, sum); err != nil {
				return err
			}
			sum = 0
		}
		word, sum = append(word[:0], r.word...), sum+r.n
		switch err := r.next(); err {
		case nil:
		case io.EOF:
			queue[0] = queue[len(queue)-1]
			queue = queue[:len(queue)-1]
		default:
			return err
		}
		sift(0)
	}
	if sum > 0 {
		return visit(word, sum)
	}
	return nil
}
