package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
)

// ChangedError says that a file isn't what a page gives.
type ChangedError struct {
	Path string
	Line int // the first that differs, from 1
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s:%d: differs from what the run gives: another version wrote it, or with other options, or the files have changed since", e.Path, e.Line)
}

// maxReport bounds the files that Check reads.
const maxReport = 64 << 20

// Check compares the page with the file that Save or SaveAll wrote to path, and SummaryFile and the figures beside it with those of
// the page, where they are there. What differs is a ChangedError; a page that isn't there an fs.ErrNotExist. It writes nothing.
func (p *Page) Check(path string, o FileOptions) error {
	if err := sameFile(path, p.Write); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	optional := func(path string, write func(io.Writer) error) error {
		if err := sameFile(path, write); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := optional(filepath.Join(dir, SummaryFile), func(w io.Writer) error {
		text, err := jsonobject.Document(p.Summary())
		if err == nil {
			_, err = w.Write(text)
		}
		return err
	}); err != nil {
		return err
	}
	if o.Formats == nil {
		o.Formats = Formats()
	}
	for _, f := range p.Figures() {
		for _, format := range o.Formats {
			err := optional(figurePath(filepath.Join(dir, FiguresDir), f, format), func(w io.Writer) error { return f.write(w, format, o) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// sameFile compares the content of a file with what is written.
func sameFile(path string, write func(io.Writer) error) error {
	got, err := files.ReadFile(path, maxReport)
	if err != nil {
		return err
	}
	var want bytes.Buffer
	if err := write(&want); err != nil {
		return err
	}
	if bytes.Equal(got, want.Bytes()) {
		return nil
	}
	line := 1
	for i, c := range want.Bytes() {
		if i >= len(got) || got[i] != c {
			break
		}
		if c == '\n' {
			line++
		}
	}
	return &ChangedError{path, line}
}
