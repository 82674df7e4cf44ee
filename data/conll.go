package data

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/internal/textfile"
	"github.com/go-bert/bert/metric"
)

// This file reads the columns of the shared tasks of CoNLL: a word a line, its tag in the last column, and an empty line after
// each sentence.

// maxCoNLLColumns is the largest number of columns of which the last is the tag unless another is named: CoNLL-2003 has four.
// Formats with more, like CoNLL-U's ten, have something else there.
const maxCoNLLColumns = 4

// docStart is the word of the line between two documents. It is no sentence.
const docStart = "-DOCSTART-"

// CoNLL is the layout of a data set in columns, whose parts are published under several names.
var CoNLL = Layout{Tables: map[Split]Table{
	Train: conllTable("train.txt", "eng.train", "train.conll"),
	Dev:   conllTable("valid.txt", "dev.txt", "eng.testa", "valid.conll", "dev.conll"),
	Test:  conllTable("test.txt", "eng.testb", "test.conll"),
}}

func conllTable(name string, others ...string) Table {
	t := Table{File: name, ReadFile: ReadCoNLL}
	for _, other := range others {
		t.Alternatives = append(t.Alternatives, Table{File: other, ReadFile: ReadCoNLL})
	}
	return t
}

// ReadCoNLL reads sentences in columns: a word a line, 2 to 4 columns with blanks or tabs between them, the word in the first
// and its tag in the last, empty lines between sentences. o.Columns names others, by number from 1, as for the parts of
// speech or the phrases of CoNLL-2003. Lines that begin with -DOCSTART- separate documents and hold no word. Every line has as many
// columns as the first.
//
// Tags may be in IOB1, IOB2, IOE1, IOE2, IOBES, BILOU or BMEWO; they are rewritten in IOB2 with the same entities, as
// conlleval and seqeval find them (see metric.Entities), so that one model reads them all. Tags without a B-, I- or the like
// (parts of speech) stay as they are.
//
// Lines that begin with # and have another number of columns are comments, which some data sets have before each sentence; they are
// counted. A # that is a word has its line's columns.
//
// With o.Unlabelled a single column is enough, and the tags' column may hold anything. With o.SkipBad a sentence with
// a bad line is left out.
func ReadCoNLL(ctx context.Context, path string, o TableOptions) (*Set, error) {
	return readFile(ctx, path, o, readCoNLL, "sentence", "no sentence in it")
}

func readCoNLL(r io.Reader, name string, o TableOptions) (*Set, error) {
	if o.Format != ByExtension || o.Columns.TextPair != "" {
		return nil, fmt.Errorf("%s: words in columns have no format to choose and no second text", name)
	}
	c := conllReader{name: name, unlabelled: o.Unlabelled, bad: badRecords{skip: o.SkipBad}}
	var err error
	if c.word, err = columnNumber(o.Columns.Text, "word", 1); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if c.tag, err = columnNumber(o.Columns.Label, "tag", 0); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	b, err := textfile.New(r, name, o.Encoding)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	c.hold = b.Hold
	lines := textfile.NewLines(b)
	for {
		line, err := lines.Next()
		if err == io.EOF {
			break
		}
		if err != nil && !textfile.BadLine(err) {
			return nil, &SourceError{Source: Source{File: name, Line: lines.Number() + 1}, Err: err}
		}
		if err := c.line(line, lines.Number(), err); err != nil {
			return nil, err
		}
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	c.comments += len(c.held) // nothing else is in the file
	c.examples = c.list.all()
	if err := c.toIOB2(); err != nil {
		return nil, err
	}
	return &Set{Examples: c.examples, Skipped: c.bad.count, FirstSkipped: c.bad.first, Comments: c.comments}, nil
}

// columnNumber reads a column's number, from 1; 0 is the last.
func columnNumber(s, what string, byDefault int) (int, error) {
	if s == "" {
		return byDefault, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > textfile.MaxRecord {
		return 0, fmt.Errorf("column %s for the %s: want its number, from 1", message.Quote(s), what)
	}
	return n, nil
}

// conllReader makes sentences of lines.
type conllReader struct {
	name       string
	word, tag  int // columns, from 1; of the tag 0: the last
	unlabelled bool
	width      int                   // columns of a line; 0: not known yet
	hold       func(bytes int) error // see textfile.Reader.Hold

	held      []heldLine // those that begin with # before the width is known
	heldBytes int
	comments  int

	current  Example
	failed   error // what is wrong with the sentence that is being read
	list     exampleList
	examples []Example // of list, at the end
	bad      badRecords
}

// heldLine is a line that may be a comment.
type heldLine struct {
	fields []string
	number int
	last   bool // of its sentence
}

// maxHeld is how many bytes of such lines are held. More of them are surely comments.
const maxHeld = 1 << 16

// line takes a line, or what is wrong with it.
func (c *conllReader) line(line []byte, number int, err error) error {
	// A stray CR too: at the end of a line it would become part of the line's end when it is written.
	blank := func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' }
	if err == nil && bytes.Count(line, []byte(" "))+bytes.Count(line, []byte("\t")) > maxColumns {
		// More than that many blanks, though perhaps not as many columns.
		err = errColumns
		line = nil
	}
	fields := strings.FieldsFunc(string(line), blank)
	if err == nil && (len(fields) == 0 || fields[0] == docStart) {
		return c.end()
	}
	if err == nil && fields[0][0] == '#' {
		switch {
		case c.width > 0 && c.isComment(fields):
			c.comments++
			return nil
		case c.width == 0 && c.heldBytes+len(line) > maxHeld:
			c.comments++
			return nil
		case c.width == 0:
			c.heldBytes += len(line)
			c.held = append(c.held, heldLine{fields: fields, number: number})
			return nil
		}
	}
	if err == nil {
		if err = c.check(len(fields)); err == nil {
			if err := c.release(); err != nil {
				return err
			}
		}
	}
	return c.add(fields, number, err)
}

// isComment reports whether a line that begins with # is a comment: it doesn't fit the columns, and something follows the #, at once
// only outside of sentences.
func (c *conllReader) isComment(fields []string) bool {
	return len(fields) != c.width && (strings.Trim(fields[0], "#") == "" || len(fields) > 1 && len(c.current.Words) == 0)
}

// release takes the lines that were held until the width was known.
func (c *conllReader) release() error {
	held := c.held
	c.held = nil
	for _, l := range held {
		if c.isComment(l.fields) {
			c.comments++
		} else if err := c.add(l.fields, l.number, c.check(len(l.fields))); err != nil {
			return err
		}
		if l.last {
			if err := c.end(); err != nil {
				return err
			}
		}
	}
	return nil
}

// add adds the word of a line to the sentence, or what is wrong with the line.
func (c *conllReader) add(fields []string, number int, err error) error {
	if c.current.Source.Line == 0 {
		c.current.Source = Source{File: c.name, Line: number}
	}
	if err != nil {
		if c.failed == nil {
			c.failed = &SourceError{Source: Source{File: c.name, Line: number}, Err: err}
		}
		if !c.bad.skip {
			return c.bad.add(c.failed)
		}
		return nil
	}
	c.current.Words = append(c.current.Words, fields[c.word-1])
	switch {
	case c.tag > 0 && c.tag <= len(fields):
		c.current.Labels = append(c.current.Labels, fields[c.tag-1])
	case c.tag == 0 && len(fields) > 1:
		c.current.Labels = append(c.current.Labels, fields[len(fields)-1])
	}
	return nil
}

// check checks the number of columns of a line.
func (c *conllReader) check(n int) error {
	if c.width == 0 {
		least := max(c.word, c.tag)
		if !c.unlabelled {
			least = max(least, 2)
		} else if c.tag > n {
			least = c.word
		}
		switch {
		case n < least:
			return fmt.Errorf("%s, want at least %d: a word and its tag, with blanks or tabs between them", columns(n), least)
		case n > maxCoNLLColumns && c.tag == 0:
			return fmt.Errorf("%s, want at most %d, or to know which has the tag", columns(n), maxCoNLLColumns)
		}
		c.width = n
	}
	if n != c.width {
		return fmt.Errorf("%s, want %d as on the first line", columns(n), c.width)
	}
	return nil
}

// end ends a sentence, if there is one.
func (c *conllReader) end() error {
	if n := len(c.held); n > 0 {
		c.held[n-1].last = true
	}
	x, err := c.current, c.failed
	c.current, c.failed = Example{}, nil
	switch {
	case err != nil:
		return c.bad.add(err)
	case len(x.Words) > 0:
		c.list.add(x)
		return c.hold(x.size())
	}
	return nil
}

// toIOB2 rewrites the tags in one scheme.
func (c *conllReader) toIOB2() error {
	var labels []string
	seen := make(map[string]bool)
	for _, x := range c.examples {
		for _, label := range x.Labels {
			if !seen[label] {
				seen[label] = true
				labels = append(labels, label)
			}
		}
	}
	s := metric.NewTagSet(labels)
	unknown := func(label string) bool { return !s.Known(label) }
	if s.Whole || c.unlabelled && slices.ContainsFunc(labels, unknown) {
		return nil
	}
	kept := c.examples[:0]
	for _, x := range c.examples {
		bad := slices.IndexFunc(x.Labels, unknown)
		if bad >= 0 {
			// A sentence is consecutive lines.
			err := &SourceError{
				Source: Source{File: c.name, Line: x.Source.Line + bad},
				Err:    fmt.Errorf("tag %s has no B- or I- before its type, unlike others", message.Quote(x.Labels[bad])),
			}
			if err := c.bad.add(err); err != nil {
				return err
			}
			continue
		}
		s.IOB2(x.Labels)
		kept = append(kept, x)
	}
	c.examples = kept
	return nil
}
