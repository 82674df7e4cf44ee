package task

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
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
	// Choices are the ways in which Text (and TextPair) may go on, for a model of multiple choice.
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
	ID      string // what the data set calls the example; "" where it has no name for it
	Source  Source
}

func (x *Example) labelled() bool { return x.Label != "" || x.Labels != nil || x.Answers != nil }

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
		out += ":" + s.Member
	}
	if s.Line > 0 {
		out += ":" + strconv.Itoa(s.Line)
	}
	return out
}

// SourceError is what is wrong with the record at Source.
type SourceError struct {
	Source Source
	Err    error
}

func (e *SourceError) Error() string { return e.Source.String() + ": " + e.Err.Error() }
func (e *SourceError) Unwrap() error { return e.Err }

// pathError turns the os package's "open x: reason" into "x: reason".
func pathError(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}

// LabelsOf lists the labels that examples have: as numbers if all are whole numbers, else by their bytes. A classifier that
// gives each example one needs two, so fewer are an error.
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
			return nil, &SourceError{e.Source, errNoLabel}
		default:
			add(e.Label)
		}
	}
	switch {
	case len(examples) == 0:
		return nil, errors.New("no examples")
	case len(labels) == 0:
		return nil, fmt.Errorf("none of %s examples has a label", thousands(len(examples)))
	case len(labels) == 1 && !several:
		return nil, fmt.Errorf("all %s examples have the label %q: a classifier needs two", thousands(len(examples)), labels[0])
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

var errNoLabel = errors.New("no label")

// CheckLabels reports the first example with a label that is not one of labels.
func CheckLabels(examples []Example, labels []string) error {
	for _, e := range examples {
		of := e.Labels
		if of == nil {
			of = []string{e.Label}
		}
		for _, label := range of {
			if !slices.Contains(labels, label) {
				return &SourceError{e.Source, unknownLabel(label, labels)}
			}
		}
	}
	return nil
}

func unknownLabel(label string, labels []string) error {
	if label == "" {
		return errNoLabel
	}
	return fmt.Errorf("label %s is not one of %s", quote(label), quoteAll(labels))
}

// quote shows a piece of a user's file in an error message.
func quote(s string) string {
	const most = 60
	if r := []rune(s[:min(len(s), 4*(most+1))]); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}

func quoteAll(names []string) string {
	const most = 20
	var b strings.Builder
	for i, name := range names[:min(len(names), most)] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(name))
	}
	if n := len(names) - most; n > 0 {
		fmt.Fprintf(&b, " and %d more", n)
	}
	return b.String()
}

// thousands writes n as 25,000.
func thousands[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
