package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

// A pipeline is what a tokenizer.json may put around the model in place of BertNormalizer and BertPreTokenizer: any normalizers,
// any pre-tokenizers, WordPiece or WordLevel. The scanner is the one pass that serves BERT's own pipeline; this one takes a pass
// for each component, as HF's library does, and is several times slower.
type pipeline struct {
	normalizers []normalizer
	splitters   []splitter
	// wordLevel looks a word up whole instead of splitting it into pieces.
	wordLevel map[string]int32
	lower     bool // some normalizer lower-cases
}

// A char is a code point of the normalized text and the bytes of the original text that it stands for.
type char struct {
	r    rune
	from Offset
}

// aligned is a text between normalizers.
type aligned struct {
	chars []char
	spare []char
	// base is where the text begins in the original. A character inserted before all others belongs to the empty range there.
	base  int32
	limit int // the most characters that the text may grow to
	err   error
}

// expansion limits how many times longer normalizers may make a text. NFKD makes one character 18 at most; a Replace inside a
// Sequence could double the text at each step.
const expansion, shortText = 32, 1 << 12

var errExpansion = fmt.Errorf("the normalizers of tokenizer.json make the text more than %d times longer", expansion)

// A change is a character of a new text. by is 0 if it takes the place of the next character of the old text, -n if it takes that
// place and the n characters after it are removed, and positive if it is new.
type change struct {
	r  rune
	by int
}

// transform replaces the text, as NormalizedString::transform of HF's library does. The first skip characters of the old text are
// removed.
func (a *aligned) transform(changes []change, skip int) {
	if len(changes) > a.limit {
		a.err = errExpansion
		return
	}
	old, to, at := a.chars, a.spare[:0], skip
	for _, c := range changes {
		from := Offset{a.base, a.base}
		switch {
		case c.by > 0 && at > 0:
			from = old[min(at, len(old))-1].from
		case c.by <= 0 && at < len(old):
			from = old[at].from
			at += 1 - c.by
		}
		to = append(to, char{c.r, from})
	}
	a.chars, a.spare = to, old
}

// filter removes the characters for which keep is false.
func (a *aligned) filter(keep func(rune) bool) {
	kept := a.chars[:0]
	for _, c := range a.chars {
		if keep(c.r) {
			kept = append(kept, c)
		}
	}
	a.chars = kept
}

// sequence appends the pieces of a text to s.out.
func (p *pipeline) sequence(s *scanner, text string) {
	if s.t.added == nil {
		p.segment(s, text, 0, len(text))
		return
	}
	added, at := s.t.added.in(text), 0
	for at < len(text) {
		m, ok := added.next(at)
		if !ok {
			break
		}
		p.segment(s, text, at, m.start)
		s.emitAdded(m.id, Offset{int32(m.start), int32(m.end)}, text[m.start:m.end], text)
		at = m.end
	}
	p.segment(s, text, at, len(text))
}

// segment appends the pieces of text[from:to], which contains no added token that is matched in the text.
func (p *pipeline) segment(s *scanner, text string, from, to int) {
	if from >= to || s.failed != nil {
		return
	}
	a := &s.aligned
	if !a.read(text, from, to) {
		s.invalidAt(len(validPrefix(text)))
		return
	}
	p.normalize(a)
	if a.err != nil {
		s.failed = fmt.Errorf("tokenizer: %w", a.err)
		return
	}
	if s.t.addedNormalized == nil {
		p.words(s, a.chars, text)
		return
	}
	n := &s.segmentText
	n.reset()
	for _, c := range a.chars {
		n.append(c.r, c.from)
	}
	content := string(n.text)
	// char is the number of the character that begins at byte at of content; it only moves forward.
	at, k := 0, 0
	charAt := func(place int) int {
		for at < place {
			at += utf8.RuneLen(a.chars[k].r)
			k++
		}
		return k
	}
	added, next := s.t.addedNormalized.in(content), 0
	for next < len(content) {
		m, ok := added.next(next)
		if !ok {
			break
		}
		first := charAt(next)
		p.words(s, a.chars[first:charAt(m.start)], text)
		s.emitAdded(m.id, Offset{n.start[m.start], n.end[m.end-1]}, content[m.start:m.end], text)
		next = m.end
	}
	p.words(s, a.chars[charAt(next):], text)
}

// read makes a the characters of text[from:to], and reports whether these are valid UTF-8.
func (a *aligned) read(text string, from, to int) bool {
	a.chars, a.base, a.err = a.chars[:0], int32(from), nil
	for i := from; i < to; {
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			if r, size = utf8.DecodeRuneInString(text[i:to]); r == utf8.RuneError && size == 1 {
				return false
			}
		}
		a.chars = append(a.chars, char{r, Offset{int32(i), int32(i + size)}})
		i += size
	}
	a.limit = shortText + expansion*len(a.chars)
	return true
}

// validPrefix returns the longest beginning of a text that is valid UTF-8.
func validPrefix(text string) string {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 {
			return text[:i]
		}
		i += size
	}
	return text
}

func (p *pipeline) normalize(a *aligned) {
	for _, n := range p.normalizers {
		if n.normalize(a); a.err != nil {
			return
		}
	}
}

// words splits normalized text into words, and those into pieces.
func (p *pipeline) words(s *scanner, chars []char, text string) {
	if len(chars) == 0 {
		return
	}
	words := append(s.words0[:0], bounds{0, len(chars)})
	spare := s.words1
	for _, splitter := range p.splitters {
		spare = spare[:0]
		for _, w := range words {
			before := len(spare)
			spare = splitter.split(spare, chars[w.from:w.to])
			kept := spare[:before]
			for _, b := range spare[before:] {
				if b.from < b.to {
					kept = append(kept, bounds{w.from + b.from, w.from + b.to})
				}
			}
			spare = kept
		}
		words, spare = spare, words
	}
	for _, w := range words {
		p.word(s, chars[w.from:w.to], text)
	}
	s.words0, s.words1 = words, spare
}

func (p *pipeline) word(s *scanner, chars []char, text string) {
	first := len(s.out)
	for _, c := range chars {
		s.norm.append(c.r, c.from)
	}
	s.runes = len(chars)
	if p.wordLevel == nil || s.visit != nil {
		s.normalizedWord()
	} else {
		id, ok := p.wordLevel[string(s.norm.text)]
		if !ok {
			id = s.t.unknown
		}
		s.emit(id, chars[0].from.Start, chars[len(chars)-1].from.End)
		s.norm.reset()
		s.runes = 0
	}
	if s.t.trim != nil {
		for i := first; i < len(s.out); i++ {
			o := &s.out[i]
			token := s.t.tokens[o.id]
			from := s.t.trim.apply(Offset{o.start, o.end}, token, text, i == s.begin)
			o.start, o.end = from.Start, from.End
		}
	}
}

// normalizeToken returns what an added token becomes in the text that it is looked up in.
func (p *pipeline) normalizeToken(content string) (string, error) {
	var a aligned
	a.read(content, 0, len(content))
	if p.normalize(&a); a.err != nil {
		return "", a.err
	}
	var n normalized
	for _, c := range a.chars {
		n.append(c.r, c.from)
	}
	return string(n.text), nil
}
