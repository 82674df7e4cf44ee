package data

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/internal/textfile"
)

// maxColumns bounds the columns of a table: a record of 16 MB that is all commas would take 30 times its size in fields.
const maxColumns = 1 << 16

var errColumns = fmt.Errorf("more than %s columns", message.Thousands(maxColumns))

// csvFormat reads CSV as encoding/csv does, which has no bound for the length of a record or the number of its fields: fields
// between commas; a field in quotes may hold commas, ends of lines and, written twice, quotes. Lines end in LF or CRLF, in fields
// too, where they become LF.
type csvFormat struct {
	lines  *textfile.Lines
	width  int    // bytes of the last line
	coding error  // of the record's first line that is not in the text's encoding
	at     int    // the number of that line
	text   []byte // of the record's fields, end to end
	ends   []int  // of each field in text
	fields []string
}

func newCSVFormat(b *textfile.Reader) *csvFormat { return &csvFormat{lines: textfile.NewLines(b)} }

func (f *csvFormat) next() ([]string, int, error) {
	var line []byte
	f.coding = nil
	for len(line) == 0 {
		var err error
		if line, err = f.line(); err != nil {
			return nil, f.lines.Number(), err
		}
	}
	start := f.lines.Number()
	if cap(f.text) > 1<<20 {
		f.text = nil
	}
	f.text, f.ends = f.text[:0], f.ends[:0]
	for more := true; more; {
		if len(f.ends) == maxColumns {
			return nil, start, &badRecord{errColumns}
		}
		var err error
		if len(line) > 0 && line[0] == '"' {
			line, more, err = f.quoted(line[1:], start)
		} else {
			line, more, err = f.plain(line)
		}
		if err != nil {
			return nil, start, err
		}
		f.ends = append(f.ends, len(f.text))
	}
	if f.coding != nil {
		return nil, f.at, &badRecord{f.coding}
	}
	// One string for all fields: a caller copies what it keeps.
	all, from := string(f.text), 0
	f.fields = f.fields[:0]
	for _, end := range f.ends {
		f.fields = append(f.fields, all[from:end])
		from = end
	}
	return f.fields, start, nil
}

// line is the next line, without a CR that the end of the file keeps from being the end of a line. One that is not in the text's
// encoding may be a part of a field in quotes, so it is for next to report when the record has ended.
func (f *csvFormat) line() ([]byte, error) {
	line, err := f.lines.Next()
	if err != nil && errors.As(err, new(*textfile.EncodingError)) {
		if f.coding == nil {
			f.coding, f.at = err, f.lines.Number()
		}
		err = nil
	}
	if err == nil && f.lines.Cut() {
		line = bytes.TrimSuffix(line, []byte("\r"))
	}
	f.width = len(line)
	return line, err
}

// plain takes a field without quotes from the beginning of line, and returns what follows it and whether that is another field.
func (f *csvFormat) plain(line []byte) (rest []byte, more bool, err error) {
	field, rest, more := bytes.Cut(line, []byte(","))
	if at := bytes.IndexByte(field, '"'); at >= 0 {
		return nil, false, &badRecord{fmt.Errorf(`column %d: a quote inside a field without quotes, want the field in quotes and ""`, f.width-len(line)+at+1)}
	}
	f.text = append(f.text, field...)
	return rest, more, nil
}

// quoted takes a field in quotes, of which line is what follows the first. It may go on in further lines.
func (f *csvFormat) quoted(line []byte, start int) (rest []byte, more bool, err error) {
	for {
		part, after, found := bytes.Cut(line, []byte(`"`))
		f.text = append(f.text, part...)
		switch {
		case !found:
			f.text = append(f.text, '\n')
			if len(f.text) > textfile.MaxRecord {
				return nil, false, textfile.ErrTooLong
			}
			end := f.width + 1
			if !f.lines.Cut() {
				end++
			}
			if line, err = f.line(); err == io.EOF {
				return nil, false, f.wrongQuote(start, end)
			} else if err != nil {
				return nil, false, err
			}
		case len(after) == 0:
			return nil, false, nil
		case after[0] == ',':
			return after[1:], true, nil
		case after[0] == '"':
			f.text = append(f.text, '"')
			line = after[1:]
		default:
			return nil, false, f.wrongQuote(start, f.width-len(after))
		}
	}
}

// wrongQuote is the error of a field in quotes that has no end or a wrong one. One that goes over several lines is nearly always a
// stray quote that took the lines after it for its field: not one bad record, but all to come.
func (f *csvFormat) wrongQuote(start, column int) error {
	if f.lines.Number() > start {
		return errors.New("a quoted field begins in this record and has no end, or a wrong one")
	}
	return &badRecord{fmt.Errorf(`column %d: a quoted field without an end, or with a quote in it that isn't ""`, column)}
}
