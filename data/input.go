package data

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/internal/textfile"
)

// Inputs is a stream of inputs for a model. Stream calls Read from one goroutine and Skip from another.
type Inputs interface {
	// Read returns the next input and its place, io.EOF after the last.
	Read(ctx context.Context) (Input, Source, error)
	// Skip takes the error of an input that the model can't take. If it returns an error, that ends the stream.
	Skip(err error) error
}

// InputReader reads inputs for a model, one a line, in bounded memory. A line is a text; or, where it begins with a
// brace, a JSON object with the keys text and text_pair, question and context (other names for the same), text and choices,
// words, or ids and type_ids, and no others. A text_pair that is given and empty is a second text, null is none. An empty line is
// an empty text, so that there is an answer for each line.
type InputReader struct {
	r        io.Reader
	name     string
	encoding string
	lines    *textfile.Lines
	// before counts the lines before the first one, of a part of a text; nil: there are none.
	before func() (int, error)

	mu  sync.Mutex // Read and Skip are called from two goroutines
	bad badRecords
}

// InputOptions say how inputs are read. The zero value is good for text in UTF-8.
type InputOptions struct {
	// SkipBad leaves bad lines out and counts them. Without it the first one is an error.
	SkipBad bool
	// Encoding is the name of the text's encoding; "": UTF-8. See CheckEncoding.
	Encoding string
}

// NewInputReader reads from r, which errors call name. Nothing is read before the first Read.
func NewInputReader(r io.Reader, name string, o InputOptions) *InputReader {
	return &InputReader{r: r, name: name, encoding: o.Encoding, bad: badRecords{skip: o.SkipBad}}
}

// Read returns the next input and its place, io.EOF after the last. A bad line is a *SourceError, or is left out. A
// blocked read of the underlying reader isn't interrupted when ctx is done.
func (r *InputReader) Read(ctx context.Context) (Input, Source, error) {
	if r.lines == nil {
		b, err := textfile.New(r.r, r.name, r.encoding)
		if err != nil {
			return Input{}, Source{}, err
		}
		r.lines = textfile.NewLines(b)
	}
	for {
		if ctx.Err() != nil {
			return Input{}, Source{}, context.Cause(ctx)
		}
		line, err := r.lines.Next()
		if err == io.EOF {
			return Input{}, Source{}, io.EOF
		}
		source := Source{File: r.name, Line: r.lines.Number()}
		if err != nil && !textfile.BadLine(err) {
			source.Line++
			return Input{}, source, r.Locate(&SourceError{Source: source, Err: err})
		}
		var in Input
		if err == nil {
			in, err = ParseInput(line)
		}
		if err == nil {
			return in, source, nil
		}
		if err := r.Skip(&SourceError{Source: source, Err: err}); err != nil {
			return Input{}, source, err
		}
	}
}

// Skip counts a bad input and returns nil or, of a reader without skipBad, returns err. Stream calls it for an input that Read
// returned and the model can't take.
func (r *InputReader) Skip(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bad.add(r.Locate(err))
}

// Locate is an error about an input that Read returned, with the number of its line in the whole text. Only an InputPart's differs: what it
// reads doesn't say how many lines are before it, so that they are counted where a message needs their number. The errors of Read and
// what Skip keeps have been located.
func (r *InputReader) Locate(err error) error {
	var at *SourceError
	if r.before == nil || !errors.As(err, &at) || at.Source.Line == 0 {
		return err
	}
	n, failed := r.before()
	if failed != nil {
		return errors.Join(err, fmt.Errorf("%s: %w", r.name, failed))
	}
	located := *at
	located.Source.Line += n
	return &located
}

// Skipped is the number of bad lines left out so far, and what was wrong with the first.
func (r *InputReader) Skipped() (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bad.count, r.bad.first
}

// ParseInput reads a line as InputReader does.
func ParseInput(line []byte) (Input, error) {
	if !bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("{")) {
		return Input{Text: string(line)}, nil
	}
	var (
		in                   Input
		text, words, haveIDs bool
	)
	err := jsonobject.Parse(line, func(key string, value json.RawMessage) (err error) {
		switch key {
		case "text", "question":
			if text {
				return errors.New("both text and question")
			}
			text = true
			in.Text, err = jsonField(key, value, false)
		case "text_pair", "context":
			if in.Pair {
				return errors.New("both text_pair and context")
			}
			if string(value) != "null" {
				in.Pair = true
				in.TextPair, err = jsonField(key, value, false)
			}
		case "words":
			words = true
			in.Words, err = jsonTexts(key, value)
		case "choices":
			in.Choices, err = jsonTexts(key, value)
		case "ids":
			haveIDs = true
			in.IDs, err = jsonIDs(key, value)
		case "type_ids":
			if string(value) != "null" {
				in.TypeIDs, err = jsonIDs(key, value)
			}
		default:
			err = fmt.Errorf("key %s: want text and text_pair, question and context, text and choices, words, or ids and type_ids", message.Quote(key))
		}
		return err
	})
	if err != nil {
		return Input{}, err
	}
	switch {
	case text && haveIDs:
		return Input{}, errors.New("both text and ids")
	case words && (text || haveIDs):
		return Input{}, errors.New("words beside text or ids, want them alone")
	case !text && !words && !haveIDs:
		return Input{}, errors.New("neither text nor ids")
	case haveIDs && in.Pair:
		return Input{}, errors.New("text_pair beside ids, want it beside text")
	case in.TypeIDs != nil && !haveIDs:
		return Input{}, errors.New("type_ids without ids")
	case haveIDs && len(in.IDs) == 0:
		return Input{}, errors.New("ids is empty")
	case in.TypeIDs != nil && len(in.TypeIDs) != len(in.IDs):
		return Input{}, fmt.Errorf("%d type_ids for %d ids", len(in.TypeIDs), len(in.IDs))
	}
	return in, nil
}

// jsonTexts reads a list of strings.
func jsonTexts(key string, value json.RawMessage) ([]string, error) {
	texts := make([]string, 0, listLength(value))
	// A null in the list would be read as an empty text.
	if err := json.Unmarshal(value, &texts); err != nil || texts == nil || hasNull(value) {
		return nil, fmt.Errorf("%s is %s, want a list of strings", key, message.Quote(string(value[:min(len(value), quoted)])))
	}
	return texts, nil
}

func jsonIDs(key string, value json.RawMessage) ([]int32, error) {
	ids := make([]int32, 0, listLength(value))
	err := json.Unmarshal(value, &ids)
	if err != nil || ids == nil || hasNull(value) || slices.ContainsFunc(ids, func(id int32) bool { return id < 0 }) {
		return nil, fmt.Errorf("%s is %s, want a list of whole numbers from 0 to %d", key, message.Quote(string(value[:min(len(value), quoted)])), math.MaxInt32)
	}
	return ids, nil
}

// quoted is more than message.Quote shows of a value.
const quoted = 1 << 10

// listLength is the number of elements of a JSON list, or more, so that encoding/json need not grow a long one.
func listLength(value json.RawMessage) int { return bytes.Count(value, []byte(",")) + 1 }

// hasNull reports whether JSON has a null outside of its strings.
func hasNull(value json.RawMessage) bool {
	inString := false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '"':
			inString = !inString
		case c == '\\' && inString:
			i++
		case c == 'n' && !inString:
			return true
		}
	}
	return false
}
