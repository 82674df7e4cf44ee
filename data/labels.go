package data

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert/internal/message"
)

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
			return nil, &SourceError{Source: e.Source, Err: ErrNoLabel, Skippable: true}
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
	return (&Set{Examples: examples}).Check(func(x *Example) error { return x.checkLabels(labels) }, false)
}

func (x *Example) checkLabels(labels []string) error {
	of := x.Labels
	if of == nil {
		of = []string{x.Label}
	}
	for _, label := range of {
		if _, err := LabelID(label, labels); err != nil {
			return err
		}
	}
	return nil
}

// CheckLabels reports the first example with a label that is not one of labels, such as the - of sentences on which SNLI's and MNLI's
// annotators did not agree. With skipBad such examples are left out and counted.
func (s *Set) CheckLabels(labels []string, skipBad bool) error {
	return s.Check(func(x *Example) error { return x.checkLabels(labels) }, skipBad)
}

// Check reports the first example that check has an error for, as a *SourceError. With skipBad such examples are left out and counted.
func (s *Set) Check(check func(*Example) error, skipBad bool) error {
	var (
		bad  = badRecords{skip: skipBad, count: s.Skipped, first: s.FirstSkipped}
		kept = 0
	)
	for i := range s.Examples {
		x := &s.Examples[i]
		if err := check(x); err != nil {
			if err := bad.add(&SourceError{Source: x.Source, Err: err}); err != nil {
				return err
			}
			continue
		}
		if kept < i {
			s.Examples[kept] = *x
		}
		kept++
	}
	if kept == len(s.Examples) {
		return nil
	}
	if kept == 0 {
		return fmt.Errorf("no good record among %s; the first bad one: %w", message.Thousands(bad.count), bad.first)
	}
	clear(s.Examples[kept:])
	s.Examples = s.Examples[:kept]
	s.Skipped, s.FirstSkipped = bad.count, bad.first
	return nil
}

// LabelID is the index of a label in labels. An empty label is ErrNoLabel.
func LabelID(label string, labels []string) (int, error) {
	switch id := slices.Index(labels, label); {
	case label == "":
		return -1, ErrNoLabel
	case id < 0:
		err := fmt.Errorf("label %s is not one of %s", message.Quote(label), message.QuoteAll(labels))
		for _, a := range AlikeLabels([]string{label}, labels) {
			return -1, fmt.Errorf("%w; it differs from %s by %s alone", err, message.Quote(a.Labels[1]), a.Difference)
		}
		return -1, err
	default:
		return id, nil
	}
}

// Alike are two labels that differ so little that they are probably one.
type Alike struct {
	Labels     [2]string
	Difference string // "blanks", "letter case", "blanks and letter case" or "the form of a number"
}

func (a Alike) String() string {
	return fmt.Sprintf("labels %s and %s differ by %s alone", message.Quote(a.Labels[0]), message.Quote(a.Labels[1]), a.Difference)
}

// AlikeLabels finds, for each of labels, one of others that differs from it only by blanks, by letter case, or as 1.0 does from 1. With
// nil for others it finds pairs among labels.
func AlikeLabels(labels, others []string) []Alike {
	var (
		alike []Alike
		first = make(map[string]string)
	)
	for _, label := range others {
		if key := plainLabel(label); first[key] == "" {
			first[key] = label
		}
	}
	for _, label := range labels {
		key := plainLabel(label)
		other, ok := first[key]
		switch {
		case others != nil && slices.Contains(others, label):
		case ok && other != label:
			alike = append(alike, Alike{[2]string{label, other}, difference(label, other)})
		case !ok && others == nil:
			first[key] = label
		}
	}
	return alike
}

// plainLabel is the same for labels that are alike.
func plainLabel(label string) string {
	s := strings.ToLower(oneBlank(label))
	if strings.Trim(s, "+-.0123456789") != "" || len(s) > 15 { // digits that a float64 has
		return s
	}
	// The zeros that a number may have before and after it.
	if v, err := strconv.ParseFloat(s, 64); err == nil {
		return strconv.FormatFloat(v+0, 'g', -1, 64)
	}
	return s
}

// oneBlank is a label with one blank for each white space, and none at its ends.
func oneBlank(label string) string { return strings.Join(strings.Fields(label), " ") }

func difference(a, b string) string {
	x, y := oneBlank(a), oneBlank(b)
	blanks, letters := x == y, strings.EqualFold(a, b)
	switch {
	case !strings.EqualFold(x, y):
		return "the form of a number"
	case blanks:
		return "blanks"
	case letters:
		return "letter case"
	}
	return "blanks and letter case"
}
