package data

import (
	"reflect"
	"strconv"

	"github.com/go-bert/bert/internal/message"
)

// Input is what a model reads: a text, a pair of texts, a text in words, a text with choices, or token ids that were made
// elsewhere.
type Input struct {
	Text string // of a question with its context, the question
	// TextPair is the second text of a pair. Pair says that there is one although it is empty, which Hugging Face's tokenizers and
	// google-research/bert treat differently: see tokenizer.Tokenizer.EncodePair.
	TextPair string
	Pair     bool

	// Words are a text that is split already, in place of Text, for a model that labels words.
	Words []string
	// Choices are possible continuations of Text (and TextPair), for a model of multiple choice.
	Choices []string

	// IDs are the ids of a whole sequence, [CLS] and [SEP] included, in place of a text. They are never truncated.
	IDs []int32
	// TypeIDs are the segments of IDs; nil for zeros.
	TypeIDs []int32

	// Target is the label or choice that an explanation is about; "": that of the answer. Nothing else looks at it.
	Target string
}

// IsPair reports whether there is a second text, empty or not.
func (in *Input) IsPair() bool { return in.Pair || in.TextPair != "" }

// Texts makes an Input of each text.
func Texts(texts ...string) []Input {
	inputs := make([]Input, len(texts))
	for i, text := range texts {
		inputs[i].Text = text
	}
	return inputs
}

// Example is an input of a data set with its label.
type Example struct {
	Input
	Label string // a label, a number, or the number of the right choice from 0, by the task's Kind; "" in unlabelled data
	// Labels are those of an example that can have several, or one for each of Words; nil in unlabelled data.
	Labels []string
	// Answers are the right answers to a question about TextPair, of which the first is trained on; empty where there is
	// none, nil in unlabelled data.
	Answers []Span
	Fields  []string // of further columns: see TableOptions
	Group   string   // of examples that SplitValidation keeps together, like an article's; "": none
	ID      string   // of the example in its data set; "" where it has none
	Source  Source
}

// size is the memory of the example in bytes.
func (x *Example) size() int {
	const header = 16 // of a string in a list
	n := int(exampleType.Size()) + len(x.Text) + len(x.TextPair) + len(x.Label) + len(x.ID) + len(x.Source.Member)
	for _, list := range [...][]string{x.Words, x.Choices, x.Labels, x.Fields} {
		for _, s := range list {
			n += header + len(s)
		}
	}
	for _, a := range x.Answers {
		n += header + 8 + len(a.Text)
	}
	return n
}

var exampleType = reflect.TypeFor[Example]()

// exampleList is examples whose number is not known yet. It grows without a copy, of which append would leave several behind.
type exampleList struct {
	full [][]Example
	last []Example
	n    int
}

func (l *exampleList) add(x Example) {
	if len(l.last) == cap(l.last) {
		if l.last != nil {
			l.full = append(l.full, l.last)
		}
		l.last = make([]Example, 0, min(max(16, 2*cap(l.last)), 4096))
	}
	l.last = append(l.last, x)
	l.n++
}

// all is the examples in one piece. The list is empty after it.
func (l *exampleList) all() []Example {
	if l.full == nil {
		return l.last
	}
	all := make([]Example, 0, l.n)
	for i, part := range l.full {
		all = append(all, part...)
		l.full[i] = nil
	}
	all = append(all, l.last...)
	*l = exampleList{}
	return all
}

// Labelled reports whether the example has a label, labels or answers.
func (x *Example) Labelled() bool { return x.Label != "" || x.Labels != nil || x.Answers != nil }

// Source is the place that an example or an input came from.
type Source struct {
	File   string
	Member string // of an archive; of SQuAD the article and the question
	Line   int    // from 1; 0: all of the file
}

// String is file:line, or file:member.
func (s Source) String() string {
	out := s.File
	if s.Member != "" {
		out += ":" + message.Cut(s.Member)
	}
	if s.Line > 0 {
		out += ":" + strconv.Itoa(s.Line)
	}
	return out
}

// SourceError says what is wrong with the record at Source.
type SourceError struct {
	Source Source
	Err    error
	// Skippable says that the record alone is bad, and would have been left out if the options had said so: see TableOptions.SkipBad
	// and InputOptions.SkipBad.
	Skippable bool
}

func (e *SourceError) Error() string { return e.Source.String() + ": " + e.Err.Error() }
func (e *SourceError) Unwrap() error { return e.Err }
