package data

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/textfile"
	"github.com/go-bert/bert/parts"
)

// InputPart is the inputs of a part of a file: the lines that begin in one of several pieces of it that are equally long in bytes. The
// inputs of all parts, one after another, are those of the file. It has to be closed.
//
// The lines of the Sources that Read returns are counted from the part's beginning. InputReader.Locate has those of the file.
type InputPart struct {
	*InputReader
	text  *textfile.Part
	input parts.Input
	close func()
}

// OpenInputPart opens a part of the file at path, which is in UTF-8 or as o says, and perhaps compressed. The path "-" stands for stdin.
// Of a plain file in UTF-8 nothing but the part is read; what is compressed or in another encoding is read through up to the part's end,
// twice, and what is no regular file, as stdin, is copied to a temporary file.
func OpenInputPart(ctx context.Context, path string, stdin io.Reader, o InputOptions, p parts.Part) (_ *InputPart, err error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	name := path
	f, closing, err := regular(ctx, path, stdin)
	if path == "-" {
		name = "stdin"
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			closing()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, files.PathError(err)
	}
	in := &InputPart{input: parts.Input{Name: path, Bytes: info.Size()}}
	if in.input.SHA256, err = parts.Sample(f, info.Size()); err != nil {
		return nil, files.PathError(err)
	}
	if in.text, err = textfile.OpenPart(ctx, f, name, o.Encoding, p.Index, p.Count); err != nil {
		return nil, err
	}
	in.close = func() {
		in.text.Close()
		closing()
	}
	in.InputReader = NewInputReader(nil, name, o)
	in.lines = textfile.NewLines(in.text.Reader)
	in.before = sync.OnceValues(func() (int, error) { return in.text.Before(ctx) })
	return in, nil
}

// regular opens a file that can be read at any place: the one at path, or a copy of a stream.
func regular(ctx context.Context, path string, stdin io.Reader) (f *os.File, closing func(), err error) {
	from := textfile.From(ctx, stdin)
	if path != "-" {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			if f, err = files.Open(path); err != nil {
				return nil, nil, err
			}
			return f, func() { f.Close() }, nil
		}
		if from, err = textfile.Open(ctx, path); err != nil {
			return nil, nil, err
		}
		defer from.Close()
		if from.IsDir() {
			return nil, nil, fmt.Errorf("%s: a folder, want a file with a text a line", path)
		}
	}
	scratch, remove, err := files.Scratch("")
	if err != nil {
		return nil, nil, err
	}
	closing = func() {
		scratch.Close()
		remove()
	}
	if _, err := io.Copy(scratch, from); err != nil {
		closing()
		return nil, nil, fmt.Errorf("%s: %w", path, textfile.CutOff(err))
	}
	return scratch, closing, nil
}

// Input says what is divided.
func (in *InputPart) Input() parts.Input { return in.input }

// Done is what the part took of the file, once all of it has been read.
func (in *InputPart) Done() parts.Done {
	return parts.Done{From: in.text.From, To: in.text.End(), Input: in.text.SHA256()}
}

// Progress is how many of the part's bytes have been read. It may be called while the part is read.
func (in *InputPart) Progress() (done, all int64) { return in.text.Progress() }

// Discard reads what is left of the part, so that Done says what it is.
func (in *InputPart) Discard(ctx context.Context) error {
	_, err := io.Copy(io.Discard, textfile.From(ctx, in.text.Reader))
	if err != nil {
		return fmt.Errorf("%s: %w", in.name, textfile.CutOff(err))
	}
	return nil
}

// Close closes the file.
func (in *InputPart) Close() { in.close() }
