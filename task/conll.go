package task

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert/metric"
)

// This file reads and writes the columns of the shared tasks of CoNLL: a word a line, its tag in the last column, and an
// empty line behind each sentence.

// maxCoNLLColumns is the most columns of which the last is taken for the tag without being named: the format of
// CoNLL-2003. Others, like CoNLL-U's ten, have something else there.
const maxCoNLLColumns = 4

// docStart is the word of the line that parts documents. It is no sentence.
const docStart = "-DOCSTART-"

// conllTables are the parts of a data set in columns, by the names that they go by.
func conllTables() map[Split]Table {
	table := func(names ...string) Table {
		t := Table{File: names[0], read: ReadCoNLL}
		for _, name := range names[1:] {
			t.Layouts = append(t.Layouts, Table{File: name, read: ReadCoNLL})
		}
		return t
	}
	return map[Split]Table{
		Train: table("train.txt", "eng.train", "train.conll"),
		Dev:   table("valid.txt", "dev.txt", "eng.testa", "valid.conll", "dev.conll"),
		Test:  table("test.txt", "eng.testb", "test.conll"),
	}
}

// ReadCoNLL reads sentences in columns: a word a line, 2 to 4 columns with blanks or tabs between them, the word in the first
// and its tag in the last, empty lines between sentences. o.Columns names others, by number from 1, as for the parts of
// speech or the phrases of CoNLL-2003. Lines that begin with -DOCSTART- part documents and hold no word. Every line has as many
// columns as the first. Compression by gzip, a byte order mark and CR are taken off.
//
// Tags may be in IOB1, IOB2, IOE1, IOE2, IOBES, BILOU or BMEWO; they become IOB2 that spells the same entities, as
// conlleval and seqeval find them (see metric.Entities), so that one model reads them all. Tags without a B-, I- or the like
// (parts of speech) stay as they are.
//
// With o.Unlabelled a single column will do, and what stands in the tags' column need be none. With o.SkipBad a sentence with
// a bad line is left out.
func ReadCoNLL(path string, o TableOptions) (*Data, error) {
	return readFile(path, o, readCoNLL, "sentence", "no sentence in it")
}

func readCoNLL(r io.Reader, name string, o TableOptions) (*Data, error) {
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
	b, err := openText(r, name)
	if err != nil {
		return nil, err
	}
	lines := lineReader{b: b}
	for {
		line, err := lines.next()
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, errTooLong) {
			return nil, &SourceError{Source{File: name, Line: lines.line + 1}, err}
		}
		if err := c.line(line, lines.line, err); err != nil {
			return nil, err
		}
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	if err := c.toIOB2(); err != nil {
		return nil, err
	}
	return &Data{Examples: c.examples, Skipped: c.bad.count, FirstSkipped: c.bad.first}, nil
}

// columnNumber reads a column's number, from 1; 0 is the last.
func columnNumber(s, what string, byDefault int) (int, error) {
	if s == "" {
		return byDefault, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > MaxRecord {
		return 0, fmt.Errorf("column %s for the %s: want its number, from 1", quote(s), what)
	}
	return n, nil
}

// conllReader puts lines together to sentences.
type conllReader struct {
	name       string
	word, tag  int // columns, from 1; of the tag 0: the last
	unlabelled bool
	width      int // columns of a line; 0: not known yet

	current  Example
	failed   error // what is wrong with the sentence that is being read
	examples []Example
	bad      badRecords
}

// line takes a line, or what is wrong with it.
func (c *conllReader) line(line []byte, number int, err error) error {
	// A stray CR too, which at the end of a line that is written again would be taken for part of the line's end.
	blank := func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' }
	fields := strings.FieldsFunc(string(line), blank)
	if err == nil && (len(fields) == 0 || fields[0] == docStart) {
		return c.end()
	}
	if c.current.Source.Line == 0 {
		c.current.Source = Source{File: c.name, Line: number}
	}
	if err == nil {
		err = c.check(len(fields))
	}
	if err != nil {
		if c.failed == nil {
			c.failed = &SourceError{Source{File: c.name, Line: number}, err}
		}
		if !c.bad.skip {
			return c.failed
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
	x, err := c.current, c.failed
	c.current, c.failed = Example{}, nil
	switch {
	case err != nil:
		return c.bad.add(err)
	case len(x.Words) > 0:
		c.examples = append(c.examples, x)
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
	s := newTagSet(labels)
	unknown := func(label string) bool { return !s.known(label) }
	if s.whole || c.unlabelled && slices.ContainsFunc(labels, unknown) {
		return nil
	}
	kept := c.examples[:0]
	for _, x := range c.examples {
		tags := make([]metric.Tag, len(x.Labels))
		bad := slices.IndexFunc(x.Labels, unknown)
		if bad >= 0 {
			// A sentence is consecutive lines.
			err := &SourceError{Source{File: c.name, Line: x.Source.Line + bad},
				fmt.Errorf("tag %s has no B- or I- before its type, unlike others", quote(x.Labels[bad]))}
			if err := c.bad.add(err); err != nil {
				return err
			}
			continue
		}
		for i, label := range x.Labels {
			tags[i] = s.tag(label)
		}
		for i := range x.Labels {
			x.Labels[i] = outside
		}
		for _, e := range metric.Entities(tags) {
			for i := e.From; i < e.To; i++ {
				x.Labels[i] = s.label(i == e.From, e.Type)
			}
		}
		kept = append(kept, x)
	}
	c.examples = kept
	return nil
}

// outside is the tag of a word that is part of no entity.
const outside = "O"

// tagPlaces are what stands before the type in a tag: IOB's letters, and those of IOBES, BILOU and BMEWO.
var tagPlaces = map[string]metric.Place{
	"B": metric.Begin, "I": metric.Inside, "M": metric.Inside,
	"E": metric.End, "L": metric.End, "S": metric.Single, "U": metric.Single, "W": metric.Single,
}

// splitTag parts B-PER into the place and the type, at the first hyphen. ok is false for a label that has no place.
func splitTag(label string) (place metric.Place, typ string, ok bool) {
	if label == outside {
		return metric.Outside, "", true
	}
	letter, typ, _ := strings.Cut(label, "-")
	place, ok = tagPlaces[letter]
	return place, typ, ok
}

// tagSet is how the labels of words spell entities.
type tagSet struct {
	types []string // in the order of their names
	// whole says that labels are types themselves, like parts of speech: each word with one but O is an entity of its own, as
	// conlleval -r has it.
	whole bool
}

// newTagSet finds out how labels spell entities. They have places if one has a place and a type, like B-PER, or if all
// are places alone, like B, I and O.
func newTagSet(labels []string) tagSet {
	hyphen, bare := false, true
	for _, label := range labels {
		_, typ, ok := splitTag(label)
		hyphen = hyphen || ok && typ != ""
		bare = bare && ok && typ == ""
	}
	s := tagSet{whole: !hyphen && !(bare && slices.ContainsFunc(labels, func(l string) bool { return l == "B" || l == "I" }))}
	for _, label := range labels {
		if typ, ok := s.typeOf(label); ok && !slices.Contains(s.types, typ) {
			s.types = append(s.types, typ)
		}
	}
	slices.Sort(s.types)
	return s
}

// typeOf is the type of a label that is of an entity.
func (s *tagSet) typeOf(label string) (string, bool) {
	if s.whole {
		return label, label != outside
	}
	place, typ, ok := splitTag(label)
	return typ, ok && place != metric.Outside
}

// known says whether a label is one of the set's.
func (s *tagSet) known(label string) bool {
	typ, ok := s.typeOf(label)
	return label == outside || ok && slices.Contains(s.types, typ)
}

// tag is a label as numbers; one that isn't known is outside.
func (s *tagSet) tag(label string) metric.Tag {
	typ, ok := s.typeOf(label)
	if !ok || !s.known(label) {
		return metric.Tag{}
	}
	place := metric.Single
	if !s.whole {
		place, _, _ = splitTag(label)
	}
	return metric.Tag{Place: place, Type: slices.Index(s.types, typ)}
}

// label is the label of an entity's word in IOB2.
func (s *tagSet) label(first bool, typ int) string {
	letter := "I"
	if first {
		letter = "B"
	}
	if s.types[typ] == "" {
		return letter
	}
	return letter + "-" + s.types[typ]
}

// tagLabels adds to the labels of words in IOB2 those that tags of these types can be and the data happens not to have, so
// that an I- which is only in data to come has its class too.
func tagLabels(labels []string) []string {
	s := newTagSet(labels)
	if s.whole {
		return labels
	}
	all := slices.Clone(labels)
	for typ := range s.types {
		for _, label := range []string{s.label(true, typ), s.label(false, typ), outside} {
			if !slices.Contains(all, label) {
				all = append(all, label)
			}
		}
	}
	return all
}

func (tokenClassification) file() string { return "predictions.txt" }

func (c tokenClassification) save(dir string, examples []Example, predictions []Prediction) error {
	return saveFile(filepath.Join(dir, c.file()), func(w io.Writer) error { return WriteCoNLL(w, examples, predictions) })
}

// WriteCoNLL writes sentences with predictions as conlleval reads them: a line a word with the word, its tag unless the data
// has none, and the predicted tag, with blanks between them, and an empty line behind each sentence.
func WriteCoNLL(w io.Writer, examples []Example, predictions []Prediction) error {
	if len(examples) != len(predictions) {
		return fmt.Errorf("%d predictions for %d sentences", len(predictions), len(examples))
	}
	b := bufio.NewWriter(w)
	for i, x := range examples {
		if len(predictions[i].Labels) != len(x.Words) || x.Labels != nil && len(x.Labels) != len(x.Words) {
			return fmt.Errorf("%v: %d words, %d tags and %d predictions", x.Source, len(x.Words), len(x.Labels), len(predictions[i].Labels))
		}
		for j, word := range x.Words {
			b.WriteString(word)
			if x.Labels != nil {
				b.WriteString(" " + x.Labels[j])
			}
			b.WriteString(" " + predictions[i].Labels[j] + "\n")
		}
		b.WriteByte('\n')
	}
	return b.Flush()
}
