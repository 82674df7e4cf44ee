package data

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert/internal/message"
)

// Input is what a model reads: a text, a pair of texts, a text in words, a text with choices, or token ids that were made
// elsewhere.
type Input struct {
	Text string // of a question with its context, the question
	// TextPair is the second text of a pair. Empty means there is none, as in google-research/bert run_classifier.py:
	// an empty second text adds no [SEP].
	TextPair string

	// Words are a text that is split already, in place of Text, for a model that labels words.
	Words []string
	// Choices are possible continuations of Text (and TextPair), for a model of multiple choice.
	Choices []string

	// IDs are the ids of a whole sequence, [CLS] and [SEP] included, in place of a text. They are never truncated.
	IDs []int32
	// TypeIDs are the segments of IDs; nil for zeros.
	TypeIDs []int32
}

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
	Group   string // of examples that SplitValidation keeps together, like an article's; "": none
	ID      string // of the example in its data set; "" where it has none
	Source  Source
}

// size is the memory of the example in bytes.
func (x *Example) size() int {
	const header = 16 // of a string in a list
	n := int(exampleType.Size()) + len(x.Text) + len(x.TextPair) + len(x.Label) + len(x.ID) + len(x.Source.Member)
	for _, list := range [...][]string{x.Words, x.Choices, x.Labels} {
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
}

func (e *SourceError) Error() string { return e.Source.String() + ": " + e.Err.Error() }
func (e *SourceError) Unwrap() error { return e.Err }

// LabelsOf lists the labels that examples have, sorted as numbers if all are whole numbers, else by their bytes. Fewer than two are
// an error, unless examples have any number of labels.
func LabelsOf(examples []Example) ([]string, error) {
	seen := make(map[string]bool)
	numbers, several := true, false
	var labels []string
	add := func(label string) {
		if !seen[label] {
			seen[label] = true
			labels = append(labels, label)
			if _, err := strconv.Atoi(label); err != nil {
				numbers = false
			}
		}
	}
	for _, e := range examples {
		switch {
		case e.Labels != nil:
			several = true
			for _, label := range e.Labels {
				add(label)
			}
		case e.Label == "":
			return nil, &SourceError{e.Source, ErrNoLabel}
		default:
			add(e.Label)
		}
	}
	switch {
	case len(examples) == 0:
		return nil, errors.New("no examples")
	case len(labels) == 0:
		return nil, fmt.Errorf("none of %s examples has a label", message.Thousands(len(examples)))
	case len(labels) == 1 && !several:
		return nil, fmt.Errorf("all %s examples have the label %s: a classifier needs two", message.Thousands(len(examples)), message.Quote(labels[0]))
	}
	slices.SortFunc(labels, func(a, b string) int {
		if numbers {
			x, _ := strconv.Atoi(a)
			y, _ := strconv.Atoi(b)
			if x != y {
				return x - y
			}
		}
		return strings.Compare(a, b)
	})
	return labels, nil
}

// ErrNoLabel says that an example has no label where it needs one.
var ErrNoLabel = errors.New("no label")

// CheckLabels reports the first example with a label that is not one of labels.
func CheckLabels(examples []Example, labels []string) error {
	for _, e := range examples {
		of := e.Labels
		if of == nil {
			of = []string{e.Label}
		}
		for _, label := range of {
			if _, err := LabelID(label, labels); err != nil {
				return &SourceError{e.Source, err}
			}
		}
	}
	return nil
}

// LabelID is the index of a label in labels. An empty label is ErrNoLabel.
func LabelID(label string, labels []string) (int, error) {
	switch id := slices.Index(labels, label); {
	case label == "":
		return -1, ErrNoLabel
	case id < 0:
		return -1, fmt.Errorf("label %s is not one of %s", message.Quote(label), message.QuoteAll(labels))
	default:
		return id, nil
	}
}
