package tokenizer

import (
	"unicode/utf8"

	"github.com/go-bert/bert/tokenizer/internal/unidata"
)

// Normalization, one code point at a time:
//
//	HF      clean · space out ideographs · decompose (NFD) and drop marks · lower-case
//	Google  clean · space out ideographs · lower-case · decompose and drop marks
//
// NFD sorts the marks after a letter by combining class, so a run of marks is buffered until the next letter. Offsets are those
// of HF: after sorting, the marks of a run get the places of the run in the order of the text, and a code point that comes from
// a decomposition shares the place of the one before it.

// combining is a mark of a run that is not sorted yet.
type combining struct {
	r     rune
	class uint8
	made  bool // it comes from a decomposition and has no place of its own
}

// normalize continues at text[i] up to an ASCII character between words, where segment can continue, and returns its index.
func (s *scanner) normalize(text string, i int) int {
	t := s.t
	clean, ideographs := t.config.CleanText, t.config.HandleChineseChars
	for i < len(text) {
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			// A byte that is not valid UTF-8 is decoded as U+FFFD.
			if r, size = utf8.DecodeRuneInString(text[i:]); r == utf8.RuneError && size == 1 {
				s.invalidAt(i)
			}
		} else if class := t.classes[r]; !s.whole && (class == classSpace || class == classPunct) {
			break
		}
		p := t.table.Properties(r)
		from := Offset{int32(i), int32(i + size)}
		i += size
		switch {
		case clean && p&unidata.Drop != 0:
		case p&unidata.Space != 0:
			if clean {
				r = ' '
			}
			s.flushRun()
			s.push(r, from)
		case ideographs && p&unidata.CJK != 0:
			s.flushRun()
			s.push(' ', from)
			s.transform(r, p, from, text, i)
			s.flushRun()
			s.push(' ', from)
		default:
			s.transform(r, p, from, text, i)
		}
	}
	s.flushRun()
	if !s.whole {
		s.normalizedWord()
	}
	return i
}

// transform strips accents from r and lower-cases it, in the order of the tokenizer. text[:next] ends with r.
func (s *scanner) transform(r rune, p unidata.Properties, from Offset, text string, next int) {
	t := s.t
	if !t.config.Google {
		if t.strip {
			s.decompose(r, p, from, true)
		} else {
			s.lower(r, p, from)
		}
		return
	}
	dot := false
	if t.config.LowerCase && p&unidata.Lowers != 0 {
		if r == 'Σ' && t.finalSigma(text, int(from.Start), next) {
			r = 'ς'
		} else {
			r, dot = unidata.Lower(r)
		}
		p = t.table.Properties(r)
	}
	if !t.strip {
		s.push(r, from)
		if dot {
			s.push(combiningDot, from)
		}
		return
	}
	s.decompose(r, p, from, true)
	if dot {
		s.decompose(combiningDot, t.table.Properties(combiningDot), from, false)
	}
}

// combiningDot follows the i in the lower case of U+0130.
const combiningDot = 0x307

// decompose passes the decomposition of r to order. first says that r has a place of its own.
func (s *scanner) decompose(r rune, p unidata.Properties, from Offset, first bool) {
	if p&unidata.Decomposes == 0 {
		s.order(r, p, from, first)
		return
	}
	d, n := unidata.Decompose(r)
	for k, r := range d[:n] {
		s.order(r, s.t.table.Properties(r), from, first && k == 0)
	}
}

// order implements the canonical ordering of NFD: a mark is added to the run, anything else ends it.
func (s *scanner) order(r rune, p unidata.Properties, from Offset, first bool) {
	if p&unidata.Combines != 0 {
		s.run = append(s.run, combining{r, unidata.CombiningClass(r), !first})
		if first {
			s.places = append(s.places, from)
		}
		return
	}
	s.flushRun()
	if first {
		s.place = from
	}
	s.stripped(r, p, s.place)
}

// flushRun sorts the run of marks and passes each on to stripped.
func (s *scanner) flushRun() {
	if len(s.run) == 0 {
		return
	}
	s.sortRun()
	used := 0
	for _, c := range s.run {
		if !c.made {
			s.place = s.places[used]
			used++
		}
		s.stripped(c.r, s.t.table.Properties(c.r), s.place)
	}
	s.run, s.places = s.run[:0], s.places[:0]
}

// sortRun sorts by combining class, stably. Long runs use a counting sort, so that even a text of nothing but marks takes linear
// time.
func (s *scanner) sortRun() {
	run := s.run
	if len(run) <= 16 {
		for i := 1; i < len(run); i++ {
			for j := i; j > 0 && run[j].class < run[j-1].class; j-- {
				run[j], run[j-1] = run[j-1], run[j]
			}
		}
		return
	}
	var next [257]int
	for _, c := range run {
		next[int(c.class)+1]++
	}
	for i := 1; i < len(next); i++ {
		next[i] += next[i-1]
	}
	s.sorted = grow(s.sorted, len(run))
	for _, c := range run {
		s.sorted[next[c.class]] = c
		next[c.class]++
	}
	s.run, s.sorted = s.sorted, run
}

// stripped drops r if it is a nonspacing mark, and passes it on otherwise.
func (s *scanner) stripped(r rune, p unidata.Properties, from Offset) {
	switch {
	case p&unidata.Mark != 0:
	case s.t.config.Google:
		s.push(r, from)
	default:
		s.lower(r, p, from)
	}
}

// lower implements HF's lower-casing, which sees one code point at a time.
func (s *scanner) lower(r rune, p unidata.Properties, from Offset) {
	if s.t.config.LowerCase && p&unidata.Lowers != 0 {
		lower, dot := unidata.Lower(r)
		s.push(lower, from)
		if dot {
			s.push(combiningDot, from)
		}
		return
	}
	s.push(r, from)
}

// finalSigma reports whether the capital sigma at text[at:next] ends a word in the sense of Python's str.lower: a cased letter
// precedes it and none follows, ignoring case-ignorable code points. Google's code calls str.lower for one white-space-separated
// word at a time. A search stops at the next sigma at the latest, so all searches of a text together read it at most twice.
func (t *Tokenizer) finalSigma(text string, at, next int) bool {
	before := false
	for i := at; i > 0; {
		r, size := utf8.DecodeLastRuneInString(text[:i])
		i -= size
		if seen, cased := t.caseContext(r); seen {
			before = cased
			break
		}
	}
	if !before {
		return false
	}
	for i := next; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		i += size
		if seen, cased := t.caseContext(r); seen {
			return !cased
		}
	}
	return true
}

// caseContext reports whether r ends the search of finalSigma and, if so, whether it is a cased letter.
func (t *Tokenizer) caseContext(r rune) (seen, cased bool) {
	p := t.table.Properties(r)
	switch {
	case t.config.CleanText && p&unidata.Drop != 0:
		return false, false
	case p&unidata.Space != 0, t.config.HandleChineseChars && p&unidata.CJK != 0:
		return true, false
	case unidata.IsCaseIgnorable(r):
		return false, false
	}
	return true, unidata.IsCased(r)
}
