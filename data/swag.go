package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/internal/textfile"
)

// SWAG is the layout of SWAG's CSV files (Zellers et al. 2018).
var SWAG = Layout{Tables: map[Split]Table{
	Train: {File: "train.csv", ReadFile: ReadSWAG},
	Dev:   {File: "val.csv", Alternatives: []Table{{File: "dev.csv", ReadFile: ReadSWAG}}, ReadFile: ReadSWAG},
	Test:  {File: "test.csv", TableOptions: TableOptions{Unlabelled: true}, ReadFile: ReadSWAG},
}}

// ReadSWAG reads a CSV table with the columns of SWAG that matter: sent1, the sentence before; sent2, how the next one
// begins; ending0, ending1 and so on, at least two, how it may go on; and label, the number of the right one, unless
// o.Unlabelled. fold-ind, where it is, becomes the ID. Choice i is [CLS] sent1 [SEP]
// sent2 endingi [SEP], as Google's and Hugging Face's code for the task put it.
func ReadSWAG(ctx context.Context, path string, o TableOptions) (*Set, error) {
	return readFile(ctx, path, o, readSWAG, "record", onlyHeader)
}

// swagColumns are the indices of the columns that are read; −1: there is none.
type swagColumns struct {
	width               int
	first, begin, label int
	endings             []int
	fold                int
}

func newSWAGColumns(header []string, unlabelled bool) (swagColumns, error) {
	c := swagColumns{width: len(header), label: -1, fold: slices.Index(header, "fold-ind")}
	for _, w := range []struct {
		name string
		at   *int
		need bool
	}{{"sent1", &c.first, true}, {"sent2", &c.begin, true}, {"label", &c.label, !unlabelled}} {
		at := indexAll(header, w.name)
		switch {
		case len(at) > 1:
			return c, fmt.Errorf("%d columns are called %q", len(at), w.name)
		case len(at) == 0 && w.need:
			return c, fmt.Errorf("no column %q; the columns are %s", w.name, message.QuoteAll(header))
		case len(at) == 1 && w.need:
			*w.at = at[0]
		}
	}
	for {
		at := indexAll(header, "ending"+strconv.Itoa(len(c.endings)))
		if len(at) > 1 {
			return c, fmt.Errorf("%d columns are called %q", len(at), header[at[0]])
		}
		if len(at) == 0 {
			break
		}
		c.endings = append(c.endings, at[0])
	}
	if len(c.endings) < 2 {
		return c, fmt.Errorf("no columns ending0 and ending1; the columns are %s", message.QuoteAll(header))
	}
	return c, nil
}

func readSWAG(r io.Reader, name string, o TableOptions) (*Set, error) {
	if o.Columns != (Columns{}) || o.Format != ByExtension && o.Format != CSV {
		return nil, fmt.Errorf("%s: SWAG's CSV has columns of its own: there is neither a column nor a format to choose", name)
	}
	b, err := textfile.New(r, name, o.Encoding)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	var (
		table = newCSVFormat(b)
		bad   = badRecords{skip: o.SkipBad}
		data  Set
		list  exampleList
	)
	header, line, err := table.next()
	if err == io.EOF {
		return nil, fmt.Errorf("%s: empty file", name)
	}
	var c swagColumns
	if err == nil {
		c, err = newSWAGColumns(header, o.Unlabelled)
		line = 1
	}
	if err != nil {
		return nil, &SourceError{Source: Source{File: name, Line: line}, Err: err}
	}
	for {
		fields, line, err := table.next()
		if err == io.EOF {
			break
		}
		x := Example{Source: Source{File: name, Line: line}}
		if err == nil {
			err = c.read(fields, &x)
		}
		var record *badRecord
		if err != nil && errors.As(err, &record) {
			if err := bad.add(&SourceError{Source: x.Source, Err: record.err}); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, &SourceError{Source: x.Source, Err: err}
		}
		list.add(x)
		if err := b.Hold(x.size()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	data.Examples = list.all()
	data.Skipped, data.FirstSkipped = bad.count, bad.first
	return &data, nil
}

// read makes an example of a record.
func (c *swagColumns) read(fields []string, x *Example) error {
	if len(fields) != c.width {
		return &badRecord{fmt.Errorf("%s, want %d as on the first line", columns(len(fields)), c.width)}
	}
	// Copies, because the fields are one string that is overwritten, and most of it isn't kept.
	x.Text, x.TextPair, x.Pair = strings.Clone(fields[c.first]), strings.Clone(fields[c.begin]), true
	for _, at := range c.endings {
		x.Choices = append(x.Choices, strings.Clone(fields[at]))
	}
	if c.fold >= 0 {
		x.ID = strings.Clone(fields[c.fold])
	}
	if c.label < 0 {
		return nil
	}
	label := fields[c.label]
	n, err := strconv.Atoi(label)
	if err != nil || n < 0 || n >= len(c.endings) {
		return &badRecord{fmt.Errorf("label %s is not one of the endings 0 to %d", message.Quote(label), len(c.endings)-1)}
	}
	x.Label = strconv.Itoa(n)
	return nil
}
