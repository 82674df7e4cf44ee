package data

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/internal/textfile"
)

// SQuADVersion is a version of the Stanford Question Answering Dataset.
type SQuADVersion uint8

const (
	// SQuAD1 is version 1.1 (Rajpurkar et al. 2016, arXiv:1606.05250): each question has an answer in its context.
	SQuAD1 SQuADVersion = iota + 1
	// SQuAD2 is version 2.0 (Rajpurkar, Jia and Liang 2018, arXiv:1806.03822): some questions have none.
	SQuAD2
)

var squadVersions = [...]string{SQuAD1: "1.1", SQuAD2: "2.0"}

func (v SQuADVersion) String() string {
	if v == 0 || int(v) >= len(squadVersions) {
		return fmt.Sprintf("SQuADVersion(%d)", v)
	}
	return squadVersions[v]
}

// ParseSQuADVersion reads 1.1 or 2.0.
func ParseSQuADVersion(s string) (SQuADVersion, error) {
	if i := slices.Index(squadVersions[:], s); i > 0 {
		return SQuADVersion(i), nil
	}
	return 0, fmt.Errorf("version of SQuAD %s: want %v or %v", message.Quote(s), SQuAD1, SQuAD2)
}

// MarshalText writes String.
func (v SQuADVersion) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText is ParseSQuADVersion.
func (v *SQuADVersion) UnmarshalText(text []byte) (err error) {
	*v, err = ParseSQuADVersion(string(text))
	return err
}

// SQuAD is the layout of a version: a JSON file, or the folder of train-v1.1.json and dev-v1.1.json, or of those of version 2.0.
func SQuAD(version SQuADVersion) Layout {
	return Layout{ReadPart: func(ctx context.Context, path string, split Split) ([]Example, error) {
		if textfile.IsDir(path) {
			if split != Train && split != Dev {
				return nil, fmt.Errorf("%s: SQuAD has no split %q: want %s or %s, or name a file", path, split, Train, Dev)
			}
			path = filepath.Join(path, fmt.Sprintf("%s-v%v.json", split, version))
		}
		_, examples, err := ReadSQuAD(ctx, path)
		if err != nil || version == SQuAD2 {
			return examples, err
		}
		for i := range examples {
			if x := &examples[i]; x.Answers != nil && len(x.Answers) == 0 {
				return nil, &SourceError{x.Source, fmt.Errorf("a question without an answer, which version %v doesn't have: want %v", SQuAD1, SQuAD2)}
			}
		}
		return examples, nil
	}}
}

// Span is a part of a text, the bytes [Start, Start+len(Text)).
type Span struct {
	Text  string
	Start int
}

// squadFile is a file of SQuAD. A nil pointer is a missing key.
type squadFile struct {
	Version json.RawMessage `json:"version"`
	Data    *[]struct {
		Title      string `json:"title"`
		Paragraphs []struct {
			Context *string         `json:"context"`
			QAs     []squadQuestion `json:"qas"`
		} `json:"paragraphs"`
	} `json:"data"`
}

type squadQuestion struct {
	ID         *string        `json:"id"`
	Question   *string        `json:"question"`
	Answers    *[]squadAnswer `json:"answers"`
	Impossible *bool          `json:"is_impossible"`
}

type squadAnswer struct {
	Text  *string `json:"text"`
	Start *int    `json:"answer_start"` // counted in code points, as Python does
}

// ReadSQuAD reads a file of SQuAD in the JSON of either version, plain or compressed by gzip. A file is of the second if
// it has is_impossible anywhere. Each question is an Example with its answers, none if it is impossible, and the title of its article
// as Group; without the key answers it is unlabelled. An answer has to be in its context where the file says. An error
// names the article and the question.
func ReadSQuAD(ctx context.Context, path string) (version SQuADVersion, examples []Example, err error) {
	return readSQuAD(ctx, path, true)
}

// ReadSQuADAnswers is ReadSQuAD for scoring, which needs no positions of answers: they aren't checked, and Span.Start is −1.
func ReadSQuADAnswers(ctx context.Context, path string) (version SQuADVersion, examples []Example, err error) {
	return readSQuAD(ctx, path, false)
}

func readSQuAD(ctx context.Context, path string, places bool) (version SQuADVersion, examples []Example, err error) {
	f, err := textfile.Open(ctx, path)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	if f.IsDir() {
		return 0, nil, fmt.Errorf("%s: a folder, want a JSON file of SQuAD", path)
	}
	return parseSQuAD(f, path, places)
}

// parseSQuAD reads from r, which errors call name.
func parseSQuAD(r io.Reader, name string, places bool) (version SQuADVersion, examples []Example, err error) {
	b, err := textfile.New(r, name)
	if err != nil {
		return 0, nil, err
	}
	var (
		file squadFile
		d    = json.NewDecoder(b)
	)
	if err := d.Decode(&file); err != nil {
		var t *json.UnmarshalTypeError
		if errors.As(err, &t) {
			return 0, nil, fmt.Errorf("%s: no file of SQuAD: %s is a %s (byte %d)", name, message.Quote(t.Field), t.Value, t.Offset)
		}
		return 0, nil, fmt.Errorf("%s: %w", name, jsonobject.Error(textfile.CutOff(err)))
	}
	if _, err := d.Token(); err != io.EOF {
		return 0, nil, fmt.Errorf("%s: something follows the JSON object", name)
	}
	if file.Data == nil {
		return 0, nil, fmt.Errorf(`%s: no file of SQuAD: it has no key "data"`, name)
	}
	version = SQuAD1
	seen := make(map[string]bool)
	for i, article := range *file.Data {
		title := article.Title
		if title == "" {
			title = fmt.Sprintf("article %d", i+1)
		}
		for j, paragraph := range article.Paragraphs {
			if paragraph.Context == nil {
				return 0, nil, &SourceError{Source{File: name, Member: title}, fmt.Errorf(`paragraph %d has no key "context"`, j+1)}
			}
			at := newCodePoints(*paragraph.Context)
			for k := range paragraph.QAs {
				q := &paragraph.QAs[k]
				if q.ID == nil || *q.ID == "" {
					return 0, nil, &SourceError{Source{File: name, Member: title}, fmt.Errorf("question %d of paragraph %d has no id", k+1, j+1)}
				}
				source := Source{File: name, Member: title + "/" + *q.ID}
				x, err := q.example(at, places)
				if err == nil && seen[x.ID] {
					err = errors.New("the id occurs in the file twice")
				}
				if err != nil {
					return 0, nil, &SourceError{source, err}
				}
				if q.Impossible != nil {
					version = SQuAD2
				}
				seen[x.ID] = true
				x.Source, x.Group = source, title
				examples = append(examples, x)
			}
		}
	}
	if len(examples) == 0 {
		return 0, nil, fmt.Errorf("%s: no questions", name)
	}
	return version, examples, nil
}

// example checks a question of a context.
func (q *squadQuestion) example(context *codePoints, places bool) (Example, error) {
	if q.Question == nil {
		return Example{}, errors.New(`no key "question"`)
	}
	x := Example{Input: Input{Text: *q.Question, TextPair: context.text}, ID: *q.ID}
	if q.Answers == nil {
		return x, nil
	}
	impossible := q.Impossible != nil && *q.Impossible
	switch n := len(*q.Answers); {
	case impossible && n > 0:
		return x, fmt.Errorf("is_impossible is true, but there %s", countAnswers(n))
	case q.Impossible != nil && !impossible && n == 0:
		return x, errors.New("is_impossible is false, but there is no answer")
	}
	x.Answers = []Span{}
	for i, a := range *q.Answers {
		if a.Text == nil || places && a.Start == nil {
			return x, fmt.Errorf("answer %d has no text or no answer_start", i+1)
		}
		span := Span{*a.Text, -1}
		if places {
			if span.Start = context.byte(*a.Start); span.Start < 0 {
				return x, fmt.Errorf("answer %s: answer_start is %d, the context has %d characters", message.Quote(*a.Text), *a.Start, context.len())
			}
			if !strings.HasPrefix(context.text[span.Start:], *a.Text) {
				return x, fmt.Errorf("answer %s is not at %d of its context, which has %s there", message.Quote(*a.Text), *a.Start,
					message.Quote(context.text[span.Start:min(len(context.text), span.Start+len(*a.Text))]))
			}
		}
		x.Answers = append(x.Answers, span)
	}
	return x, nil
}

func countAnswers(n int) string {
	if n == 1 {
		return "is an answer"
	}
	return fmt.Sprintf("are %d answers", n)
}

// codePoints finds the bytes of a text that Python counts in code points.
type codePoints struct {
	text  string
	bytes []int // where each code point begins; nil where all are ASCII
}

func newCodePoints(text string) *codePoints {
	c := &codePoints{text: text}
	if utf8.RuneCountInString(text) < len(text) {
		for i := range text {
			c.bytes = append(c.bytes, i)
		}
	}
	return c
}

func (c *codePoints) len() int {
	if c.bytes == nil {
		return len(c.text)
	}
	return len(c.bytes)
}

// byte is where code point i begins, −1 where there is none.
func (c *codePoints) byte(i int) int {
	switch {
	case i < 0 || i >= c.len():
		return -1
	case c.bytes == nil:
		return i
	}
	return c.bytes[i]
}
