package data

import (
	"context"
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
	return Layout{ReadPart: func(ctx context.Context, path string, split Split, o TableOptions) (*Set, error) {
		if textfile.IsDir(path) {
			if split != Train && split != Dev {
				return nil, fmt.Errorf("%s: SQuAD has no split %q: want %s or %s, or name a file", path, split, Train, Dev)
			}
			path = filepath.Join(path, fmt.Sprintf("%s-v%v.json", split, version))
		}
		_, set, err := ReadSQuAD(ctx, path, o)
		if err != nil || version == SQuAD2 {
			return set, err
		}
		err = set.Check(func(x *Example) error {
			if x.Answers != nil && len(x.Answers) == 0 {
				return fmt.Errorf("a question without an answer, which version %v doesn't have: want %v", SQuAD1, SQuAD2)
			}
			return nil
		}, o.SkipBad)
		return set, err
	}}
}

// Span is a part of a text, the bytes [Start, Start+len(Text)).
type Span struct {
	Text  string
	Start int
}

// squadQuestion is a question of a file of SQuAD. A nil pointer is a missing key.
type squadQuestion struct {
	id, question *string
	answers      *[]squadAnswer // null is an empty list
	impossible   *bool
	bad          error // what else is wrong with it
}

type squadAnswer struct {
	text  *string
	start *int // counted in code points, as Python does
}

// ReadSQuAD reads a file of SQuAD in the JSON of either version, compressed or not. A file is of the second if it has is_impossible
// anywhere. Each question is an Example with its answers, in a list of objects or, as in Hugging Face's datasets, in an object of lists,
// and the title of its article as Group. A question has no answer where
// is_impossible is true, answers is empty or null, or, among others that have answers, there is no such key; in a file without any
// it is unlabelled. An answer has to be in its context where the file says. An error names the article and the question. Of o,
// Encoding and SkipBad matter: with SkipBad questions with such errors are left out and counted.
func ReadSQuAD(ctx context.Context, path string, o TableOptions) (SQuADVersion, *Set, error) {
	return readSQuAD(ctx, path, true, o)
}

// ReadSQuADAnswers is ReadSQuAD for scoring, which needs no positions of answers: they aren't checked, and Span.Start is −1.
func ReadSQuADAnswers(ctx context.Context, path string, o TableOptions) (SQuADVersion, *Set, error) {
	return readSQuAD(ctx, path, false, o)
}

func readSQuAD(ctx context.Context, path string, places bool, o TableOptions) (SQuADVersion, *Set, error) {
	f, path, err := o.open(ctx, path)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	if f.IsDir() {
		return 0, nil, fmt.Errorf("%s: a folder, want a JSON file of SQuAD", path)
	}
	return parseSQuAD(f, path, places, o)
}

// parseSQuAD reads from r, which errors call name.
func parseSQuAD(r io.Reader, name string, places bool, o TableOptions) (SQuADVersion, *Set, error) {
	b, err := textfile.New(r, name, o.Encoding)
	if err != nil {
		return 0, nil, err
	}
	defer b.Close()
	p := squadParser{
		name: name, places: places, json: jsonobject.NewStream(b.Whole(), textfile.MaxRecord), hold: b.Hold,
		version: SQuAD1, seen: make(map[string]bool), bad: badRecords{skip: o.SkipBad},
	}
	if err := p.file(); err != nil {
		var (
			at     *SourceError
			coding *textfile.EncodingError
		)
		switch {
		case errors.As(err, &at):
		case errors.As(err, &coding):
			err = &SourceError{Source: Source{File: name, Line: coding.Line}, Err: coding}
		default:
			err = fmt.Errorf("%s: %w", name, textfile.CutOff(err))
		}
		return 0, nil, err
	}
	set := &Set{Examples: p.list.all(), Skipped: p.bad.count, FirstSkipped: p.bad.first}
	if err := p.unanswered(set, o.SkipBad); err != nil {
		return 0, nil, err
	}
	return p.version, set, set.check(name, "question", "no questions")
}

// squadParser makes examples of a file of SQuAD as it reads it.
type squadParser struct {
	name   string
	places bool
	json   *jsonobject.Stream
	hold   func(bytes int) error // see textfile.Reader.Hold

	version  SQuADVersion
	list     exampleList
	examples []Example       // of the article
	seen     map[string]bool // ids of questions
	articles int
	answered bool            // some question has the key answers
	possible map[string]bool // ids of questions without it, of which is_impossible is false
	bad      badRecords
}

// unanswered decides what questions without the key answers are, where others have it.
func (p *squadParser) unanswered(set *Set, skipBad bool) error {
	if !p.answered {
		return nil
	}
	return set.Check(func(x *Example) error {
		switch {
		case x.Answers != nil:
		case p.possible[x.ID]:
			return errPossible
		default:
			x.Answers = []Span{}
		}
		return nil
	}, skipBad)
}

var errPossible = errors.New("is_impossible is false, but there is no answer")

// unfit says where a file differs from SQuAD's format: at a key whose value has another type.
func unfit(key string, err error) error {
	if err == nil || strings.HasPrefix(err.Error(), "not JSON") || strings.HasPrefix(err.Error(), "no file of SQuAD") {
		return err
	}
	var (
		at   *SourceError
		long = errors.Is(err, jsonobject.ErrTooLong)
	)
	if errors.As(err, &at) || !long && !strings.Contains(err.Error(), ", want ") {
		return err
	}
	return fmt.Errorf("no file of SQuAD: %s is %w", key, err)
}

func (p *squadParser) file() error {
	data := false
	err := p.json.Object(func(key string) (err error) {
		if key != "data" {
			return p.json.Skip()
		}
		if data {
			return jsonobject.Twice(key)
		}
		data, err = p.json.List(p.article)
		return unfit(key, err)
	})
	switch {
	case err != nil:
		return err
	case !data:
		return errors.New(`no file of SQuAD: it has no key "data"`)
	}
	return p.json.End()
}

func (p *squadParser) article() error {
	p.articles++
	var (
		title = fmt.Sprintf("article %d", p.articles)
		n     = 0
	)
	err := p.json.Object(func(key string) error {
		switch key {
		case "title":
			text, err := p.json.String()
			if err != nil || text == nil || *text == "" {
				return unfit(key, err)
			}
			title = *text
			for i := range p.examples { // of paragraphs before the title
				x := &p.examples[i]
				x.Group, x.Source.Member = title, title+"/"+x.ID
			}
			return nil
		case "paragraphs":
			_, err := p.json.List(func() error {
				n++
				return p.paragraph(title, n)
			})
			return unfit(key, err)
		}
		return p.json.Skip()
	})
	for _, x := range p.examples {
		p.list.add(x)
	}
	clear(p.examples)
	p.examples = p.examples[:0]
	return err
}

func (p *squadParser) paragraph(title string, number int) error {
	var (
		context   *string
		questions []squadQuestion
		n         = 0 // questions
		from      = Source{File: p.name, Member: title}
	)
	err := p.json.Object(func(key string) (err error) {
		switch key {
		case "context":
			context, err = p.json.String()
			return unfit(key, err)
		case "qas":
			_, err := p.json.List(func() error {
				q, err := p.question()
				if n++; err != nil && q.bad == nil {
					return err
				}
				if q.bad == nil && (q.id == nil || *q.id == "") {
					q.bad = errors.New("it has no id")
				}
				if q.bad != nil { // it is not kept: there may be any number
					return p.bad.add(&SourceError{Source: from, Err: fmt.Errorf("question %d of paragraph %d: %w", n, number, q.bad)})
				}
				questions = append(questions, q)
				return nil
			})
			return unfit(key, err)
		}
		return p.json.Skip()
	})
	if err != nil {
		return err
	}
	if context == nil {
		err := p.bad.add(&SourceError{Source: from, Err: fmt.Errorf(`paragraph %d has no key "context"`, number)})
		p.bad.count += max(0, len(questions)-1) // all are left out
		return err
	}
	at := newCodePoints(*context)
	if err := p.hold(len(*context)); err != nil {
		return err
	}
	for i := range questions {
		q := &questions[i]
		if q.impossible != nil {
			p.version = SQuAD2
		}
		source := Source{File: p.name, Member: title + "/" + *q.id}
		x, err := q.example(at, p.places)
		if err == nil && p.seen[x.ID] {
			err = errors.New("the id occurs in the file twice")
		}
		if err != nil {
			if err := p.bad.add(&SourceError{Source: source, Err: err}); err != nil {
				return err
			}
			continue
		}
		switch {
		case q.answers != nil:
			p.answered = true
		case q.impossible != nil && !*q.impossible:
			if p.possible == nil {
				p.possible = make(map[string]bool)
			}
			p.possible[x.ID] = true
		}
		p.seen[x.ID] = true
		x.Source, x.Group = source, title
		p.examples = append(p.examples, x)
		if err := p.hold(x.size() - len(x.TextPair)); err != nil {
			return err
		}
	}
	return nil
}

func (p *squadParser) question() (q squadQuestion, err error) {
	err = p.json.Object(func(key string) (err error) {
		switch key {
		case "id":
			q.id, err = p.json.Word()
		case "question":
			q.question, err = p.json.String()
		case "is_impossible":
			q.impossible, err = p.json.Bool()
		case "answers":
			answers, n := []squadAnswer{}, 0
			if q.answers = &answers; p.json.Begins('{') {
				if answers, err = p.answerLists(); errors.As(err, new(*unevenError)) {
					q.bad = err
					if p.bad.skip {
						err = nil
					}
				}
				return unfit(key, err)
			}
			_, err = p.json.List(func() error {
				a, err := p.answer()
				n++
				switch {
				case err != nil:
					return err
				case a.text == nil: // it is not kept: there may be any number
					if q.bad == nil {
						q.bad = fmt.Errorf("answer %d has no text", n)
					}
					if !p.bad.skip {
						return q.bad
					}
					return nil
				}
				answers = append(answers, a)
				return nil
			})
		default:
			return p.json.Skip()
		}
		return unfit(key, err)
	})
	return q, err
}

func (p *squadParser) answer() (a squadAnswer, err error) {
	err = p.json.Object(func(key string) (err error) {
		switch key {
		case "text":
			a.text, err = p.json.String()
		case "answer_start":
			a.start, err = p.json.Int()
		default:
			return p.json.Skip()
		}
		return unfit(key, err)
	})
	return a, err
}

// unevenError says that lists of texts and of places have not the same length.
type unevenError struct{ texts, starts int }

func (e *unevenError) Error() string {
	return fmt.Sprintf("%d texts of answers and %d answer_start", e.texts, e.starts)
}

// maxAnswers is more answers than a question has in lists.
const maxAnswers = 1 << 12

// answerLists reads answers as Hugging Face's datasets have them: {"text": […], "answer_start": […]}.
func (p *squadParser) answerLists() ([]squadAnswer, error) {
	var (
		texts  []*string
		starts []*int
		many   = fmt.Errorf("a list of more than %s, want the answers to one question", message.Thousands(maxAnswers))
	)
	err := p.json.Object(func(key string) (err error) {
		switch key {
		case "text":
			_, err = p.json.List(func() error {
				text, err := p.json.String()
				if texts = append(texts, text); err == nil && len(texts) > maxAnswers {
					err = many
				}
				return err
			})
		case "answer_start":
			_, err = p.json.List(func() error {
				start, err := p.json.Int()
				if starts = append(starts, start); err == nil && len(starts) > maxAnswers {
					err = many
				}
				return err
			})
		default:
			return p.json.Skip()
		}
		return unfit(key, err)
	})
	if err != nil {
		return nil, err
	}
	if len(texts) != len(starts) && (p.places || len(starts) > 0) || slices.Contains(texts, nil) {
		return nil, &unevenError{len(texts), len(starts)}
	}
	answers := make([]squadAnswer, len(texts))
	for i := range texts {
		answers[i].text = texts[i]
		if i < len(starts) {
			answers[i].start = starts[i]
		}
	}
	return answers, nil
}

// example checks a question of a context.
func (q *squadQuestion) example(context *codePoints, places bool) (Example, error) {
	if q.question == nil {
		return Example{}, errors.New(`no key "question"`)
	}
	x := Example{Input: Input{Text: *q.question, TextPair: context.text, Pair: true}, ID: *q.id}
	impossible := q.impossible != nil && *q.impossible
	if q.answers == nil {
		if impossible {
			x.Answers = []Span{}
		}
		return x, nil
	}
	switch n := len(*q.answers); {
	case impossible && n > 0:
		return x, fmt.Errorf("is_impossible is true, but there %s", countAnswers(n))
	case q.impossible != nil && !impossible && n == 0:
		return x, errPossible
	}
	x.Answers = []Span{}
	for i, a := range *q.answers {
		if places && a.start == nil {
			return x, fmt.Errorf("answer %d has no answer_start", i+1)
		}
		span := Span{*a.text, -1}
		if places {
			if span.Start = context.byte(*a.start); span.Start < 0 {
				return x, fmt.Errorf("answer %s: answer_start is %d, the context has %d characters", message.Quote(*a.text), *a.start, context.len())
			}
			if !strings.HasPrefix(context.text[span.Start:], *a.text) {
				return x, fmt.Errorf("answer %s is not at %d of its context, which has %s there", message.Quote(*a.text), *a.start,
					message.Quote(context.text[span.Start:min(len(context.text), span.Start+len(*a.text))]))
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
	n     int
	every []int32 // where each hundredth or so code point begins; nil where all are ASCII
}

// codePointStep is the number of code points from one entry of codePoints.every to the next.
const codePointStep = 128

func newCodePoints(text string) *codePoints {
	c := &codePoints{text: text, n: utf8.RuneCountInString(text)}
	if c.n == len(text) {
		return c
	}
	at := 0
	for i := range text {
		if at%codePointStep == 0 {
			c.every = append(c.every, int32(i))
		}
		at++
	}
	return c
}

func (c *codePoints) len() int { return c.n }

// byte is where code point i begins, −1 where there is none.
func (c *codePoints) byte(i int) int {
	switch {
	case i < 0 || i >= c.n:
		return -1
	case c.every == nil:
		return i
	}
	from, left := int(c.every[i/codePointStep]), i%codePointStep
	for j := range c.text[from:] {
		if left == 0 {
			return from + j
		}
		left--
	}
	return -1
}
