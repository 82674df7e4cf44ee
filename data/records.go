package data

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/internal/textfile"
)

// Records are the rows of a table with all of their columns, as text.
type Records struct {
	Columns []string
	Rows    [][]string // as long as Columns; "" where JSON has no such key
	Lines   []int      // on which each row begins
	// Skipped is the number of bad records left out, FirstSkipped what was wrong with the first.
	Skipped      int
	FirstSkipped error
}

// Column is the index of a column, −1 for another name.
func (r *Records) Column(name string) int { return slices.Index(r.Columns, name) }

// ReadRecords reads a table with a header (.csv, .tsv), JSON objects a line (.jsonl) or, under any other name, texts a line, whose
// column is text; all of them also compressed. In JSON, columns are the keys in the order in which they first come; strings, numbers
// and truth values are kept, null is "", and lists and objects are left out. Of o, Format, Encoding, Stdin and SkipBad count. An
// error about a record is a *SourceError; a file without a record is an error.
func ReadRecords(ctx context.Context, path string, o TableOptions) (*Records, error) {
	f, name, err := o.open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.IsDir() {
		return nil, fmt.Errorf("%s: a folder, want a file", name)
	}
	return readRecords(ctx, f, name, o)
}

// readRecords reads the records of r, which errors call name.
func readRecords(ctx context.Context, r io.Reader, name string, o TableOptions) (*Records, error) {
	format := o.Format
	if format == ByExtension {
		format, _ = formatOf(name) // of another name they are texts
	}
	b, err := textfile.New(r, name, o.Encoding)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	out := &Records{}
	next, err := out.reader(b, name, format)
	if err != nil {
		return nil, err
	}
	bad := badRecords{skip: o.SkipBad}
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		fields, line, err := next()
		if err == io.EOF {
			break
		}
		source := Source{File: name, Line: line}
		var wrong *badRecord
		switch {
		case errors.As(err, &wrong):
			if err := bad.add(&SourceError{Source: source, Err: wrong.err}); err != nil {
				return nil, err
			}
			continue
		case err != nil:
			return nil, &SourceError{Source: source, Err: err}
		}
		row, size := make([]string, len(fields)), 0
		for i, f := range fields {
			row[i] = strings.Clone(f)
			size += len(f) + 16
		}
		if err := b.Hold(size + 32); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out.Rows, out.Lines = append(out.Rows, row), append(out.Lines, line)
	}
	for i, row := range out.Rows { // of JSON, keys may come later
		for len(row) < len(out.Columns) {
			row = append(row, "")
		}
		out.Rows[i] = row
	}
	out.Skipped, out.FirstSkipped = bad.count, bad.first
	if len(out.Rows) == 0 {
		if bad.count > 0 {
			return nil, fmt.Errorf("%s: no good record among %s; the first bad one: %w", name, message.Thousands(bad.count), bad.first)
		}
		return nil, fmt.Errorf("%s: no records", name)
	}
	return out, nil
}

// reader gives record after record, as recordFormat does, and sets the columns, of JSON as they come.
func (r *Records) reader(b *textfile.Reader, name string, format Format) (func() ([]string, int, error), error) {
	var table recordFormat
	lines := func() *textfile.Lines { return textfile.NewLines(b) }
	switch format {
	case CSV:
		table = newCSVFormat(b)
	case TSV:
		table = &tsvFormat{lines: lines()}
	case JSONL:
		l := lines()
		return func() ([]string, int, error) {
			line, err := nextRecord(l)
			if err != nil {
				return nil, l.Number(), err
			}
			fields, err := r.object(line)
			if err != nil {
				err = &badRecord{err}
			}
			return fields, l.Number(), err
		}, nil
	default:
		r.Columns = []string{"text"}
		l := lines()
		return func() ([]string, int, error) {
			line, err := nextRecord(l)
			return []string{string(line)}, l.Number(), err
		}, nil
	}
	header, line, err := table.next()
	if err == io.EOF {
		return nil, fmt.Errorf("%s: empty file", name)
	}
	if err != nil {
		return nil, &SourceError{Source: Source{File: name, Line: line}, Err: err}
	}
	for i, c := range header {
		if slices.Contains(header[:i], c) {
			return nil, fmt.Errorf("%s:%d: two columns are called %s", name, line, message.Quote(c))
		}
		r.Columns = append(r.Columns, strings.Clone(c))
	}
	return func() ([]string, int, error) {
		fields, line, err := table.next()
		if err == nil && len(fields) != len(r.Columns) {
			err = &badRecord{fmt.Errorf("%s, want %d as on the first line", columns(len(fields)), len(r.Columns))}
		}
		return fields, line, err
	}, nil
}

// object is the fields of a JSON object. New keys become columns.
func (r *Records) object(line []byte) ([]string, error) {
	fields := make([]string, len(r.Columns))
	added := len(r.Columns)
	err := jsonobject.Parse(line, func(key string, value json.RawMessage) error {
		if c := value[0]; c == '{' || c == '[' {
			return nil
		}
		at := r.Column(key)
		if at < 0 {
			if len(r.Columns) >= maxRecordKeys {
				return fmt.Errorf("more than %s different keys in all", message.Thousands(maxRecordKeys))
			}
			at = len(r.Columns)
			r.Columns, fields = append(r.Columns, strings.Clone(key)), append(fields, "")
		}
		if string(value) == "null" {
			return nil
		}
		var err error
		fields[at], err = jsonField(key, value, true)
		return err
	})
	if err != nil {
		r.Columns = r.Columns[:added]
	}
	return fields, err
}

// maxRecordKeys bounds the keys of all objects of a file together: each row has a place for each.
const maxRecordKeys = 1000
