package data

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/internal/textfile"
)

// Format is the file format of a table.
type Format uint8

// The formats of tables.
const (
	// ByExtension takes the format from the file's name: .csv, .tsv, .jsonl, each also with .gz, .zst, .bz2 or .xz.
	ByExtension Format = iota
	// CSV is RFC 4180: fields between commas; a field in quotes may go over several lines.
	CSV
	// TSV has fields between tabs and one record a line; quotes are text. GLUE's files are TSV.
	TSV
	// JSONL has one JSON object a line.
	JSONL
)

var formatNames = [...]string{ByExtension: "by extension", CSV: "csv", TSV: "tsv", JSONL: "jsonl"}

func (f Format) String() string {
	if int(f) >= len(formatNames) {
		return fmt.Sprintf("Format(%d)", f)
	}
	return formatNames[f]
}

// ParseFormat reads csv, tsv or jsonl.
func ParseFormat(name string) (Format, error) {
	if i := slices.Index(formatNames[:], name); i > 0 {
		return Format(i), nil
	}
	return 0, fmt.Errorf("format %q: want csv, tsv or jsonl", name)
}

// MarshalText writes String; of ByExtension it is auto.
func (f Format) MarshalText() ([]byte, error) {
	if f == ByExtension {
		return []byte(autoFormat), nil
	}
	return []byte(f.String()), nil
}

// UnmarshalText reads csv, tsv, jsonl or, for ByExtension, auto or nothing.
func (f *Format) UnmarshalText(text []byte) (err error) {
	*f = ByExtension
	if name := string(text); name != "" && name != autoFormat {
		*f, err = ParseFormat(name)
	}
	return err
}

// autoFormat is the name of ByExtension where a name is wanted.
const autoFormat = "auto"

func formatOf(path string) (Format, error) {
	name := strings.ToLower(filepath.Base(path))
	for _, compressed := range []string{".gz", ".zst", ".bz2", ".xz"} {
		name = strings.TrimSuffix(name, compressed)
	}
	if f, err := ParseFormat(strings.TrimPrefix(filepath.Ext(name), ".")); err == nil {
		return f, nil
	}
	return 0, fmt.Errorf("%s: its name ends in none of .csv, .tsv, .jsonl (or these with .gz, .zst, .bz2 or .xz): say which format it has", path)
}

// Columns names a table's columns as in its header, or the keys of its JSON objects.
type Columns struct {
	Text     string `json:"text,omitempty"`      // "": text
	TextPair string `json:"text_pair,omitempty"` // "": text_pair where the table has one
	Label    string `json:"label,omitempty"`     // "": label
	// NoHeader says that the first line is a record already. The columns are then given by number, from 1 as cut and
	// awk count them.
	NoHeader bool `json:"no_header,omitempty"`
}

// TableOptions say how a table, or another file of a data set, is read. The zero value is good for a labelled table in UTF-8 and the
// format of its file's extension.
type TableOptions struct {
	Format  Format
	Columns Columns
	// Encoding is the name of the text's encoding; "": UTF-8. See CheckEncoding. A byte order mark decides all the same.
	Encoding string
	// Stdin, if not nil, is what the path "-" stands for.
	Stdin io.Reader
	// Unlabelled says that no label is needed; the label column, if there is one, isn't read.
	Unlabelled bool
	// MultiLabel says that a record has any number of labels: between commas, or in JSON in a list. Blanks around a label
	// are no part of it.
	MultiLabel bool
	// SkipBad leaves bad records out and counts them. Without it the first one is an error.
	SkipBad bool
	// Fields names further columns of a CSV or TSV table with a header, whose values Example.Fields has. One that isn't there is empty.
	Fields []string
	// SkipShort does so with records of fewer columns than the header has, as the readers of a data set do that is known to have some.
	SkipShort bool
}

// isStdin says that a path stands for Stdin.
func (o *TableOptions) isStdin(path string) bool { return path == "-" && o.Stdin != nil }

// open opens a file, and says what errors call it.
func (o *TableOptions) open(ctx context.Context, path string) (f *textfile.File, name string, err error) {
	if o.isStdin(path) {
		return textfile.From(ctx, o.Stdin), "stdin", nil
	}
	f, err = textfile.Open(ctx, path)
	return f, path, err
}

// ReadTable reads all examples of the file path; a table without any is an error.
func ReadTable(ctx context.Context, path string, o TableOptions) (*Set, error) {
	f, path, err := o.open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.IsDir() {
		return nil, fmt.Errorf("%s: a folder, want a CSV, TSV or JSONL file", path)
	}
	t, err := NewTableReader(f, path, o)
	if err != nil {
		return nil, err
	}
	defer t.text.Close()
	var (
		data Set
		list exampleList
	)
	for {
		e, err := t.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		list.add(e)
		if err := t.text.Hold(e.size()); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	data.Examples = list.all()
	data.Skipped, data.FirstSkipped = t.Skipped()
	none := "empty file"
	if t.header != nil {
		none = onlyHeader
	}
	return &data, data.check(path, "record", none)
}

// onlyHeader describes a table without a record.
const onlyHeader = "a header and no examples"

// check returns the error of a file without an example. what is the name of a record, none the error where there is no bad one
// either.
func (d *Set) check(path, what, none string) error {
	switch {
	case len(d.Examples) > 0:
		return nil
	case d.Skipped > 0:
		return fmt.Errorf("%s: no good %s among %s; the first bad one: %w", path, what, message.Thousands(d.Skipped), d.FirstSkipped)
	}
	return fmt.Errorf("%s: %s", path, none)
}

// readFile reads the file path. what and none are those of check.
func readFile(ctx context.Context, path string, o TableOptions, read func(io.Reader, string, TableOptions) (*Set, error), what, none string) (*Set, error) {
	f, path, err := o.open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := read(f, path, o)
	if err != nil {
		return nil, err
	}
	return data, data.check(path, what, none)
}

// TableReader reads the examples of a CSV, TSV or JSONL table one after another, in bounded memory. Lines end in LF or
// CRLF; blank lines hold no record; NUL is kept, for the tokenizer to clean. A line that is not in the table's encoding is bad.
//
// Every record of a CSV or TSV table has as many fields as the first line, and the text and label columns have to be
// there and the label not be empty. Other columns, and keys of a JSON object, are not looked at.
type TableReader struct {
	name    string
	text    *textfile.Reader
	options TableOptions
	format  recordFormat
	header  []string
	width   int // fields of a record; 0: not known yet
	// selected is the format of a table with columns; nil: there are none.
	selected *selected
	pair     func() bool // whether the last record had a second text, empty or not
	bad      badRecords
}

// recordFormat gives the fields of record after record and the line each begins on: text, text_pair, label and, of
// TableOptions.MultiLabel, the labels one by one.
type recordFormat interface {
	// next returns io.EOF at the end, a *badRecord where the next record can still be read, and any other error where
	// not. The fields are good until the next call.
	next() (fields []string, line int, err error)
}

type badRecord struct{ err error }

func (e *badRecord) Error() string { return e.err.Error() }

// shortRecord says that a record has too few columns.
type shortRecord struct{ error }

// badRecords counts what SkipBad leaves out.
type badRecords struct {
	skip  bool
	short bool // skip those that are short alone
	count int
	first error
}

// add returns err, or nil if it is counted instead.
func (b *badRecords) add(err error) error {
	if !b.skip && !(b.short && errors.As(err, new(shortRecord))) {
		var e *SourceError
		if errors.As(err, &e) {
			e.Skippable = true
		}
		return err
	}
	b.count++
	// A stream reads ahead of what the model refuses, so errors don't come in the order of the lines.
	var e, first *SourceError
	if b.first == nil || errors.As(err, &e) && errors.As(b.first, &first) && e.Source.Line < first.Source.Line {
		b.first = err
	}
	return nil
}

// NewTableReader reads a table from r. name is what errors call it; unless o gives the format, its extension
// does. The header is read at once.
func NewTableReader(r io.Reader, name string, o TableOptions) (*TableReader, error) {
	if o.Format == ByExtension {
		var err error
		if o.Format, err = formatOf(name); err != nil {
			return nil, err
		}
	}
	b, err := textfile.New(r, name, o.Encoding)
	if err != nil {
		return nil, err
	}
	t := &TableReader{name: name, text: b, options: o, bad: badRecords{skip: o.SkipBad, short: o.SkipShort}}
	switch o.Format {
	case CSV:
		t.format = newCSVFormat(b)
	case TSV:
		t.format = &tsvFormat{lines: textfile.NewLines(b)}
	case JSONL:
		f := newJSONFormat(b, o)
		t.format, t.pair = f, func() bool { return f.pair }
		return t, nil
	default:
		return nil, fmt.Errorf("%s: no format %v", name, o.Format)
	}
	columns, err := t.columns()
	if err != nil {
		return nil, err
	}
	of := &selected{format: t.format, columns: columns, table: t}
	for _, name := range o.Fields {
		of.further = append(of.further, slices.Index(t.header, name))
	}
	t.format, t.selected = of, of
	t.pair = func() bool { return columns[1] >= 0 }
	return t, nil
}

// columns reads the header and finds the indices of text, text_pair (-1: none) and label (-1: not asked for).
func (t *TableReader) columns() ([3]int, error) {
	c := t.options.Columns
	wanted := [3]struct {
		what, name, byDefault string
		optional              bool
	}{
		{what: "text", name: c.Text, byDefault: "text"},
		{what: "second text", name: c.TextPair, byDefault: "text_pair", optional: c.TextPair == ""},
		{what: "label", name: c.Label, byDefault: "label"},
	}
	if !c.NoHeader {
		header, line, err := t.format.next()
		if err == io.EOF {
			return [3]int{}, fmt.Errorf("%s: empty file", t.name)
		}
		if err != nil {
			return [3]int{}, &SourceError{Source: Source{File: t.name, Line: line}, Err: err}
		}
		t.header, t.width = slices.Clone(header), len(header)
	}
	indices := [3]int{-1, -1, -1}
	for i, w := range wanted {
		if i == 2 && t.options.Unlabelled {
			continue
		}
		if c.NoHeader {
			if w.name == "" && w.optional {
				continue
			}
			n, err := strconv.Atoi(w.name)
			if err != nil || n < 1 || n > textfile.MaxRecord {
				return indices, fmt.Errorf("%s: column %s for the %s: a file without a header needs the columns' numbers, from 1", t.name, message.Quote(w.name), w.what)
			}
			indices[i] = n - 1
			continue
		}
		name := w.name
		if name == "" {
			name = w.byDefault
		}
		switch at := indexAll(t.header, name); {
		case len(at) == 1:
			indices[i] = at[0]
		case len(at) > 1:
			return indices, fmt.Errorf("%s:1: %d columns are called %s", t.name, len(at), message.Quote(name))
		case !w.optional:
			return indices, fmt.Errorf("%s:1: no column %s for the %s; the columns are %s", t.name, message.Quote(name), w.what, message.QuoteAll(t.header))
		}
	}
	return indices, nil
}

func indexAll(names []string, name string) []int {
	var at []int
	for i, n := range names {
		if n == name {
			at = append(at, i)
		}
	}
	return at
}

// Read returns the next example, io.EOF after the last. A bad record is a *SourceError, or is left out and counted if the
// options say so.
func (t *TableReader) Read() (Example, error) {
	for {
		fields, line, err := t.format.next()
		if err == io.EOF {
			return Example{}, io.EOF
		}
		source := Source{File: t.name, Line: line}
		if err == nil && fields[2] == "" && !t.options.Unlabelled && !t.options.MultiLabel {
			err = &badRecord{ErrNoLabel}
		}
		if err == nil {
			x := Example{Input: Input{Text: fields[0], TextPair: fields[1], Pair: t.pair()}, Source: source}
			if t.selected != nil {
				x.Fields = slices.Clone(t.selected.values)
			}
			switch {
			case t.options.Unlabelled:
			case t.options.MultiLabel:
				x.Labels = slices.Clone(fields[3:])
				if x.Labels == nil {
					x.Labels = []string{}
				}
			default:
				x.Label = fields[2]
			}
			return x, nil
		}
		var bad *badRecord
		if errors.As(err, &bad) {
			if err = t.bad.add(&SourceError{Source: source, Err: bad.err}); err == nil {
				continue
			}
			return Example{}, err
		}
		return Example{}, &SourceError{Source: source, Err: err}
	}
}

// Skipped is the number of bad records left out so far, and what was wrong with the first.
func (t *TableReader) Skipped() (int, error) { return t.bad.count, t.bad.first }

// selected picks text, text_pair and label from the fields of a record.
type selected struct {
	format  recordFormat
	columns [3]int
	table   *TableReader
	// further are the columns of TableOptions.Fields, −1 where there is none, and values what the last record has in them.
	further []int
	values  []string
}

func (s *selected) next() ([]string, int, error) {
	fields, line, err := s.format.next()
	if err != nil {
		return nil, line, err
	}
	if s.table.width == 0 {
		if most := slices.Max(s.columns[:]); most >= len(fields) {
			return nil, line, fmt.Errorf("%s, want at least %d", columns(len(fields)), most+1)
		}
		s.table.width = len(fields)
	}
	if n := len(fields); n != s.table.width {
		err := fmt.Errorf("%s, want %d as on the first line", columns(n), s.table.width)
		if n < s.table.width {
			err = shortRecord{err}
		}
		return nil, line, &badRecord{err}
	}
	out := make([]string, 3)
	for i, c := range s.columns {
		if c >= 0 {
			// A copy, so that an example doesn't keep the rest of its record in memory.
			out[i] = strings.Clone(fields[c])
		}
	}
	s.values = s.values[:0]
	for _, c := range s.further {
		value := ""
		if c >= 0 {
			value = strings.Clone(fields[c])
		}
		s.values = append(s.values, value)
	}
	if s.table.options.MultiLabel {
		if strings.Count(out[2], ",") > maxColumns {
			return nil, line, &badRecord{fmt.Errorf("more than %s labels", message.Thousands(maxColumns))}
		}
		for label := range strings.SplitSeq(out[2], ",") {
			if label = strings.TrimSpace(label); label != "" {
				out = append(out, label)
			}
		}
	}
	return out, line, nil
}

func columns(n int) string {
	if n == 1 {
		return "1 column"
	}
	return message.Thousands(n) + " columns"
}

type tsvFormat struct {
	lines  *textfile.Lines
	fields []string
}

func (f *tsvFormat) next() ([]string, int, error) {
	line, err := nextRecord(f.lines)
	if err != nil {
		return nil, f.lines.Number(), err
	}
	f.fields = f.fields[:0]
	for field := range strings.SplitSeq(string(line), "\t") {
		if len(f.fields) == maxColumns {
			return nil, f.lines.Number(), &badRecord{errColumns}
		}
		f.fields = append(f.fields, field)
	}
	return f.fields, f.lines.Number(), nil
}

// nextRecord is the next line that isn't empty. (A line of white space can be a record of a TSV table.)
func nextRecord(l *textfile.Lines) ([]byte, error) {
	for {
		line, err := l.Next()
		if textfile.BadLine(err) {
			return nil, &badRecord{err}
		}
		if err != nil || len(line) > 0 {
			return line, err
		}
	}
}

type jsonFormat struct {
	lines  *textfile.Lines
	keys   [3]string
	must   [3]bool
	multi  bool // the label is a list
	pair   bool // the last record has a second text
	fields []string
}

func newJSONFormat(b *textfile.Reader, o TableOptions) *jsonFormat {
	f := &jsonFormat{
		lines: textfile.NewLines(b),
		multi: o.MultiLabel,
		keys:  [3]string{o.Columns.Text, o.Columns.TextPair, o.Columns.Label},
		must:  [3]bool{true, o.Columns.TextPair != "", !o.Unlabelled},
	}
	for i, name := range [3]string{"text", "text_pair", "label"} {
		if f.keys[i] == "" {
			f.keys[i] = name
		}
	}
	if o.Unlabelled {
		f.keys[2] = ""
	}
	return f
}

func (f *jsonFormat) next() ([]string, int, error) {
	line, err := nextRecord(f.lines)
	if err != nil {
		return nil, f.lines.Number(), err
	}
	if err := f.parse(line); err != nil {
		return nil, f.lines.Number(), &badRecord{err}
	}
	return f.fields, f.lines.Number(), nil
}

func (f *jsonFormat) parse(line []byte) error {
	f.fields = append(f.fields[:0], "", "", "")
	var found [3]bool
	err := jsonobject.Parse(line, func(key string, value json.RawMessage) error {
		// Two wanted fields may have the same key, so this doesn't stop at the first.
		for i, k := range f.keys {
			if k != key || k == "" || string(value) == "null" {
				continue
			}
			found[i] = true
			var err error
			if i == 2 && f.multi {
				var labels []string
				labels, err = jsonLabels(key, value)
				f.fields = append(f.fields, labels...)
			} else {
				f.fields[i], err = jsonField(key, value, i == 2)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.pair = found[1]
	for i, must := range f.must {
		if must && !found[i] {
			if i == 2 {
				return fmt.Errorf("no label: no key %s", message.Quote(f.keys[i]))
			}
			return fmt.Errorf("no key %s", message.Quote(f.keys[i]))
		}
	}
	return nil
}

// jsonField reads a string; a label can also be a number or a truth value, as it is written.
func jsonField(key string, value json.RawMessage, label bool) (string, error) {
	switch c := value[0]; {
	case c == '"':
		var s string
		err := json.Unmarshal(value, &s)
		return s, err
	case label && c != '{' && c != '[':
		return string(value), nil
	case label:
		return "", fmt.Errorf("%s is %s, want a string or a number", message.Cut(key), message.Quote(string(value)))
	default:
		return "", fmt.Errorf("%s is %s, want a string", message.Cut(key), message.Quote(string(value)))
	}
}

// jsonLabels reads a list of labels, or a single one; an empty one is none, as in an empty field of a table.
func jsonLabels(key string, value json.RawMessage) ([]string, error) {
	if value[0] != '[' {
		label, err := jsonField(key, value, true)
		if label = strings.TrimSpace(label); label == "" {
			return nil, err
		}
		return []string{label}, err
	}
	if listLength(value) > maxColumns {
		return nil, fmt.Errorf("%s: more than %s labels", message.Cut(key), message.Thousands(maxColumns))
	}
	var list []json.RawMessage
	if err := json.Unmarshal(value, &list); err != nil {
		return nil, err
	}
	labels := make([]string, len(list))
	for i, v := range list {
		var err error
		if labels[i], err = jsonField(key, v, true); err != nil {
			return nil, err
		}
		if labels[i] = strings.TrimSpace(labels[i]); labels[i] == "" || labels[i] == "null" && v[0] != '"' {
			return nil, fmt.Errorf("%s: number %d is empty", message.Cut(key), i+1)
		}
	}
	return labels, nil
}
