package tokenizer

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-bert/bert/tokenizer/internal/unidata"
)

// A normalizer changes a text before it is split. Each is a transcription of the normalizer of HF's library with the same name,
// which decides the offsets of what is inserted, moved or joined.
type normalizer interface{ normalize(*aligned) }

// bertNormalizer is BertNormalizer among others. Alone it is the scanner's work.
type bertNormalizer struct{ clean, ideographs, strip, lower bool }

func (n bertNormalizer) normalize(a *aligned) {
	properties := unidata.HF.Properties
	if n.clean {
		a.filter(func(r rune) bool { return properties(r)&unidata.Drop == 0 })
		for i, c := range a.chars {
			if isSpace(c.r) {
				a.chars[i].r = ' '
			}
		}
	}
	if n.ideographs {
		var changes []change
		for _, c := range a.chars {
			if properties(c.r)&unidata.CJK != 0 {
				changes = append(changes, change{' ', 0}, change{c.r, 1}, change{' ', 1})
			} else {
				changes = append(changes, change{c.r, 0})
			}
		}
		a.transform(changes, 0)
	}
	if n.strip && a.err == nil {
		normalForm{}.normalize(a)
		a.filter(func(r rune) bool { return properties(r)&unidata.Mark == 0 })
	}
	if n.lower && a.err == nil {
		lowercase{}.normalize(a)
	}
}

type lowercase struct{}

func (lowercase) normalize(a *aligned) {
	var changes []change
	for _, c := range a.chars {
		if unidata.HF.Properties(c.r)&unidata.Lowers == 0 {
			changes = append(changes, change{c.r, 0})
			continue
		}
		lower, dot := unidata.Lower(c.r)
		changes = append(changes, change{lower, 0})
		if dot {
			changes = append(changes, change{combiningDot, 1})
		}
	}
	a.transform(changes, 0)
}

// normalForm is NFD, NFC, NFKD or NFKC.
type normalForm struct{ compatible, compose bool }

func (f normalForm) normalize(a *aligned) {
	changes := f.decompose(a)
	if f.compose {
		changes = recompose(changes)
	}
	a.transform(changes, 0)
}

// decompose returns the decomposition, with the marks after each letter in canonical order. A mark that has been moved keeps its
// change, so that the places of the text stay in order.
func (f normalForm) decompose(a *aligned) []change {
	type part struct {
		change
		class uint8
	}
	var (
		changes []change
		run     []part
	)
	flush := func() {
		slices.SortStableFunc(run, func(x, y part) int { return int(x.class) - int(y.class) })
		for _, p := range run {
			changes = append(changes, p.change)
		}
		run = run[:0]
	}
	push := func(r rune, by int) {
		class := classOf(r)
		if class == 0 {
			flush()
			changes = append(changes, change{r, by})
			return
		}
		run = append(run, part{change{r, by}, class})
	}
	for _, c := range a.chars {
		if f.compatible {
			if d := unidata.DecomposeCompatible(c.r); d != nil {
				for k, r := range d {
					push(r, min(k, 1))
				}
				continue
			}
		}
		if unidata.HF.Properties(c.r)&unidata.Decomposes == 0 {
			push(c.r, 0)
			continue
		}
		d, n := unidata.Decompose(c.r)
		for k, r := range d[:n] {
			push(r, min(k, 1))
		}
	}
	flush()
	return changes
}

// classOf returns the canonical combining class.
func classOf(r rune) uint8 {
	if unidata.HF.Properties(r)&unidata.Combines == 0 {
		return 0
	}
	return unidata.CombiningClass(r)
}

// recompose composes each letter with the marks after it (The Unicode Standard, section 3.11, D117). What a letter takes in is
// removed from the text after it, even where other marks come first: the offsets of HF's library do not know better.
func recompose(changes []change) []change {
	var (
		out   []change
		marks []change // after the letter, and not composed with it
		last  uint8    // the class of the last of marks
	)
	letter := -1 // the place of the letter in out
	for _, c := range changes {
		class := classOf(c.r)
		if letter < 0 {
			if class == 0 {
				letter = len(out)
			}
			out = append(out, c)
			continue
		}
		if len(marks) == 0 || last < class {
			if r, ok := unidata.Compose(out[letter].r, c.r); ok {
				out[letter] = change{r, out[letter].by + c.by - 1}
				continue
			}
		}
		if class == 0 {
			out = append(append(out, marks...), c)
			letter, marks = len(out)-1, marks[:0]
			continue
		}
		marks, last = append(marks, c), class
	}
	return append(out, marks...)
}

// stripAccents removes all marks; it decomposes nothing.
type stripAccents struct{}

func (stripAccents) normalize(a *aligned) {
	a.filter(func(r rune) bool { return !unidata.IsCombiningMark(r) })
}

// strip removes white space at the ends.
type strip struct{ left, right bool }

func (n strip) normalize(a *aligned) {
	first, end := 0, len(a.chars)
	for n.left && first < end && isSpace(a.chars[first].r) {
		first++
	}
	for n.right && first < end && isSpace(a.chars[end-1].r) {
		end--
	}
	a.chars = append(a.chars[:0], a.chars[first:end]...)
}

// prepend puts text before a text that is not empty.
type prepend struct{ text string }

func (n prepend) normalize(a *aligned) {
	if len(a.chars) == 0 {
		return
	}
	if a.limit < len(a.chars)+len(n.text) {
		a.err = errExpansion
		return
	}
	first := a.chars[0]
	to := a.spare[:0]
	for _, r := range n.text {
		to = append(to, char{r, first.from})
	}
	if n.text == "" {
		first.from = Offset{a.base, a.base} // as in HF's library
	}
	to = append(append(to, first), a.chars[1:]...)
	a.chars, a.spare = to, a.chars
}

// replace replaces what a pattern matches. The new text has the offsets of the last character that it replaces.
type replace struct {
	pattern pattern
	content []rune
}

func (n replace) normalize(a *aligned) {
	to, last := a.spare[:0], 0
	for _, m := range n.pattern.find(a.chars) {
		to = append(to, a.chars[last:m.from]...)
		from := Offset{a.base, a.base}
		if m.to > 0 {
			from = a.chars[m.to-1].from
		}
		for _, r := range n.content {
			to = append(to, char{r, from})
		}
		if last = m.to; len(to) > a.limit {
			a.err = errExpansion
			return
		}
	}
	to = append(to, a.chars[last:]...)
	if a.chars, a.spare = to, a.chars; len(to) > a.limit {
		a.err = errExpansion
	}
}

// nmt is the cleaning of SentencePiece's nmt_nfkc.
type nmt struct{}

func (nmt) normalize(a *aligned) {
	a.filter(func(r rune) bool {
		return !(1 <= r && r <= 8 || r == 0xB || 0xE <= r && r <= 0x1F || r == 0x7F || r == 0x8F || r == 0x9F)
	})
	for i, c := range a.chars {
		switch r := c.r; {
		case r == '\t', r == '\n', r == '\f', r == '\r', r == 0x1680, 0x200B <= r && r <= 0x200F, r == 0x2028, r == 0x2029,
			r == 0x2581, r == 0xFEFF, r == utf8.RuneError:
			a.chars[i].r = ' '
		}
	}
}

// trimming is trim_offsets of RobertaProcessing and ByteLevel: the offsets of a token leave out the white space at its ends.
type trimming struct{ prefixSpace bool }

// apply returns the offsets of a token. first says that it is the first of its text.
func (t *trimming) apply(o Offset, token, text string, first bool) Offset {
	isBlank := func(r rune) bool { return r == 'Ġ' || isSpace(r) }
	left := utf8.RuneCountInString(token) - utf8.RuneCountInString(strings.TrimLeftFunc(token, isBlank))
	right := utf8.RuneCountInString(token) - utf8.RuneCountInString(strings.TrimRightFunc(token, isBlank))
	if left > 0 && t.prefixSpace && (first || o.Start == 0) {
		left--
	}
	for ; left > 0 && o.Start < o.End; left-- {
		_, size := utf8.DecodeRuneInString(text[o.Start:])
		o.Start += int32(size)
	}
	for ; right > 0 && o.Start < o.End; right-- {
		_, size := utf8.DecodeLastRuneInString(text[:o.End])
		o.End -= int32(size)
	}
	return o
}
