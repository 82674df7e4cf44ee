package tokenizer

import (
	"fmt"

	"github.com/go-bert/bert/tokenizer/internal/unidata"
)

// A splitter is a pre-tokenizer of HF's library: it splits a part of a text further.
type splitter interface {
	// split appends the parts of chars, of which empty ones don't count, to parts.
	split(parts []bounds, chars []char) []bounds
}

// bounds are the characters [from, to).
type bounds struct{ from, to int }

// behavior says what happens to what a splitter splits at.
type behavior uint8

const (
	removed behavior = iota
	isolated
	mergedWithPrevious
	mergedWithNext
	contiguous
)

var behaviorNames = [...]string{"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"}

func parseBehavior(s string) (behavior, error) {
	for i, name := range behaviorNames {
		if s == name {
			return behavior(i), nil
		}
	}
	return 0, fmt.Errorf("behavior %q: want Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous", clip(s))
}

// A pattern finds matches in a text, in order and without overlap.
type pattern interface {
	find(chars []char) []bounds
}

// splitAt splits at the matches of a pattern or, if invert is set, at what lies between them.
type splitAt struct {
	pattern  pattern
	behavior behavior
	invert   bool
}

func (s splitAt) split(parts []bounds, chars []char) []bounds {
	d := divider{parts: parts, first: len(parts), behavior: s.behavior}
	at := 0
	for _, m := range s.pattern.find(chars) {
		if at < m.from {
			d.add(bounds{at, m.from}, s.invert)
		}
		d.add(m, !s.invert)
		at = m.to
	}
	if at < len(chars) {
		d.add(bounds{at, len(chars)}, s.invert)
	}
	return d.parts
}

// A divider takes the matches of a text and what lies between them, one after the other.
type divider struct {
	parts    []bounds
	first    int // the parts of this text begin there
	behavior behavior
	matched  bool // the last one was a match
}

func (d *divider) add(b bounds, match bool) {
	join := false
	switch d.behavior {
	case removed:
		if match {
			return
		}
	case mergedWithPrevious:
		join = match && !d.matched
	case mergedWithNext:
		// Of several matches in a row, the last one is joined to what follows.
		join = !match && d.matched
	case contiguous:
		join = match == d.matched
	}
	if join && len(d.parts) > d.first {
		d.parts[len(d.parts)-1].to = b.to
	} else {
		d.parts = append(d.parts, b)
	}
	d.matched = match
}

// characters is a pattern that matches each character with a property.
type characters func(rune) bool

func (is characters) find(chars []char) []bounds {
	var found []bounds
	for i, c := range chars {
		if is(c.r) {
			found = append(found, bounds{i, i + 1})
		}
	}
	return found
}

func isPunctuation(r rune) bool { return unidata.HF.Properties(r)&unidata.Punct != 0 }

// wordsAndSymbols is the pattern \w+|[^\w\s]+ of the pre-tokenizer Whitespace.
type wordsAndSymbols struct{}

func (wordsAndSymbols) find(chars []char) []bounds {
	var found []bounds
	for i := 0; i < len(chars); {
		if isSpace(chars[i].r) {
			i++
			continue
		}
		word, j := unidata.IsWord(chars[i].r), i+1
		for j < len(chars) && !isSpace(chars[j].r) && unidata.IsWord(chars[j].r) == word {
			j++
		}
		found = append(found, bounds{i, j})
		i = j
	}
	return found
}
