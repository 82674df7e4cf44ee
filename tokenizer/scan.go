package tokenizer

import (
	"unicode/utf8"

	"github.com/go-bert/bert/tokenizer/internal/unidata"
)

// A piece is a token of a text before the template is applied.
type piece struct{ id, start, end, word int32 }

// The classes of bytes.
const (
	classWord  = iota // part of a word
	classSpace        // white space
	classPunct        // a word of its own
	classOther        // a control character that is dropped, or part of a longer code point
)

// scanner holds the working memory of one call. It reads the text once, word by word. Words of nothing but ASCII are processed in
// place; everything else is normalized, one code point at a time, into norm, together with the place in the text from which
// each byte came.
type scanner struct {
	t           *Tokenizer
	out         []piece
	word        int32 // the number of the next word
	given       bool  // the caller numbers the words (EncodeWords)
	spans       []span
	ascii       []byte     // the current word, lower-cased
	norm        normalized // the current word
	segmentText normalized // the current segment, if added tokens are matched in it
	runes       int        // code points of the word in norm
	whole       bool       // collect the whole normalized segment, white space included, instead of its words
	run         []combining
	sorted      []combining
	places      []Offset          // the places in the text from which the code points of run came
	place       Offset            // the last one used
	visit       func(word []byte) // receives the words instead of out; see words

	// failed is the first error of a text. Each text begins at begin in out.
	failed error
	begin  int

	aligned        aligned // of a pipeline: the current segment
	words0, words1 []bounds
}

// normalized is text after normalization; byte i stands for text[start[i]:end[i]].
type normalized struct {
	text       []byte
	start, end []int32
}

func (n *normalized) reset() { n.text, n.start, n.end = n.text[:0], n.start[:0], n.end[:0] }

func (n *normalized) append(r rune, from Offset) {
	before := len(n.text)
	n.text = utf8.AppendRune(n.text, r)
	for range len(n.text) - before {
		n.start = append(n.start, from.Start)
		n.end = append(n.end, from.End)
	}
}

// sequence appends the pieces of one text to s.out.
func (s *scanner) sequence(text string) {
	s.begin = len(s.out)
	if s.t.pipeline != nil {
		s.t.pipeline.sequence(s, text)
		return
	}
	if s.t.added == nil {
		s.segment(text, 0, len(text))
		return
	}
	added, at := s.t.added.in(text), 0
	for at < len(text) {
		m, ok := added.next(at)
		if !ok {
			break
		}
		s.segment(text, at, m.start)
		s.emitAdded(m.id, Offset{int32(m.start), int32(m.end)}, text[m.start:m.end], text)
		at = m.end
	}
	s.segment(text, at, len(text))
}

// emitAdded adds an added token: matched is the text that it was found as, in text or in the normalized text.
func (s *scanner) emitAdded(id int32, from Offset, matched, text string) {
	if s.t.trim != nil {
		from = s.t.trim.apply(from, matched, text, len(s.out) == s.begin)
	}
	s.emit(id, from.Start, from.End)
}

// invalidAt records that the text is not valid UTF-8 at a byte. Only the first such byte counts.
func (s *scanner) invalidAt(i int) {
	if s.failed == nil {
		s.failed = &UTF8Error{Offset: i}
	}
}

// emit adds a token that is a word of its own.
func (s *scanner) emit(id, start, end int32) {
	s.out = append(s.out, piece{id, start, end, s.word})
	s.nextWord()
}

func (s *scanner) nextWord() {
	if !s.given {
		s.word++
	}
}

// segment appends the pieces of text[i:end], which contains no added token that is matched in the text.
func (s *scanner) segment(text string, i, end int) {
	if i >= end {
		return
	}
	if s.t.addedNormalized != nil {
		s.normalizedSegment(text, i, end)
		return
	}
	if s.visit != nil {
		s.wordsOf(text, i, end)
		return
	}
	t, text := s.t, text[:end]
	classes, lower := &t.classes, t.config.LowerCase
	longest := min(maxPacked, t.maxWordChars)
	for i < len(text) {
		c := text[i]
		switch classes[c] {
		case classSpace:
			i++
		case classPunct:
			s.emit(t.asciiPieces[c&0x7F], int32(i), int32(i+1))
			i++
		case classWord:
			j := i + 1
			for j < len(text) && classes[text[j]] == classWord {
				j++
			}
			if j < len(text) && classes[text[j]] == classOther {
				i = s.normalize(text, i)
				continue
			}
			id := int32(-1)
			if j-i <= longest {
				k := packText(text, i, j-i)
				if lower {
					k = k.lower()
				}
				id = t.vocab.whole(k)
			}
			if id >= 0 {
				s.emit(id, int32(i), int32(j))
			} else {
				s.asciiWord(text, i, j)
			}
			i = j
		default:
			i = s.normalize(text, i)
		}
	}
}

// asciiWord splits text[i:j], an ASCII word that is not a piece.
func (s *scanner) asciiWord(text string, i, j int) {
	t := s.t
	if j-i > t.maxWordChars {
		s.emit(t.unknown, int32(i), int32(j))
		return
	}
	spans, ok := t.vocab.split(s.spans[:0], s.lowerASCII(text[i:j]))
	s.spans = spans
	if !ok {
		s.emit(t.unknown, int32(i), int32(j))
		return
	}
	for _, p := range spans {
		s.out = append(s.out, piece{p.id, int32(i) + p.start, int32(i) + p.end, s.word})
	}
	s.nextWord()
}

// normalizedWord ends the word in norm, if there is one, and splits it.
func (s *scanner) normalizedWord() {
	n := len(s.norm.text)
	if n == 0 {
		return
	}
	if s.visit != nil {
		word := s.norm.text
		if s.runes > s.t.maxWordChars {
			word = nil
		}
		s.visit(word)
		s.norm.reset()
		s.runes = 0
		return
	}
	t, start, end := s.t, s.norm.start[0], s.norm.end[n-1]
	id := int32(-1)
	switch {
	case s.runes > t.maxWordChars:
		id = t.unknown
	case n <= maxPacked:
		id = t.vocab.whole(packBytes(s.norm.text))
	}
	if id < 0 {
		spans, ok := t.vocab.split(s.spans[:0], s.norm.text)
		s.spans = spans
		if ok {
			for _, p := range spans {
				s.out = append(s.out, piece{p.id, s.norm.start[p.start], s.norm.end[p.end-1], s.word})
			}
		} else {
			id = t.unknown
		}
	}
	if id >= 0 {
		s.out = append(s.out, piece{id, start, end, s.word})
	}
	s.nextWord()
	s.norm.reset()
	s.runes = 0
}

// push adds a normalized code point to the current word, or ends the word.
func (s *scanner) push(r rune, from Offset) {
	if s.whole {
		s.norm.append(r, from)
		return
	}
	switch p := s.t.table.Properties(r); {
	case p&unidata.Space != 0:
		s.normalizedWord()
	case p&unidata.Punct != 0:
		s.normalizedWord()
		s.norm.append(r, from)
		s.runes = 1
		s.normalizedWord()
	case s.runes > s.t.maxWordChars:
		// The word is too long and so unknown: only its end matters.
		s.norm.end[len(s.norm.end)-1] = from.End
	default:
		s.norm.append(r, from)
		s.runes++
	}
}

// normalizedSegment is segment for tokenizers that match added tokens in the normalized text.
func (s *scanner) normalizedSegment(text string, i, end int) {
	s.whole = true
	s.norm.reset()
	s.normalize(text[:end], i)
	s.whole = false
	s.norm, s.segmentText = s.segmentText, s.norm // the words of the segment are built in norm
	s.norm.reset()
	s.runes = 0
	all := &s.segmentText
	content := string(all.text)
	words := func(from, to int) {
		for at := from; at < to; {
			r, size := utf8.DecodeRuneInString(content[at:to])
			s.push(r, Offset{all.start[at], all.end[at]})
			at += size
		}
		s.normalizedWord()
	}
	added, at := s.t.addedNormalized.in(content), 0
	for at < len(content) {
		m, ok := added.next(at)
		if !ok {
			break
		}
		words(at, m.start)
		s.emitAdded(m.id, Offset{all.start[m.start], all.end[m.end-1]}, content[m.start:m.end], text)
		at = m.end
	}
	words(at, len(content))
}

// words calls visit with each normalized word of a text, or nil for a word that is too long. visit must not keep the word. Added
// tokens in the text are not words.
func (s *scanner) words(text string) {
	s.sequence(text)
	s.out = s.out[:0] // the added tokens
}

// wordsOf is segment for words.
func (s *scanner) wordsOf(text string, i, end int) {
	t, text := s.t, text[:end]
	for i < len(text) {
		switch t.classes[text[i]] {
		case classSpace:
			i++
		case classPunct:
			s.ascii = append(s.ascii[:0], text[i])
			s.visit(s.ascii)
			i++
		case classWord:
			j := i + 1
			for j < len(text) && t.classes[text[j]] == classWord {
				j++
			}
			if j < len(text) && t.classes[text[j]] == classOther {
				i = s.normalize(text, i)
				continue
			}
			if j-i > t.maxWordChars {
				s.visit(nil)
			} else {
				s.visit(s.lowerASCII(text[i:j]))
			}
			i = j
		default:
			i = s.normalize(text, i)
		}
	}
}

// lowerASCII returns an ASCII word, lower-cased if the tokenizer does that.
func (s *scanner) lowerASCII(word string) []byte {
	s.ascii = append(s.ascii[:0], word...)
	if s.t.config.LowerCase {
		for i, c := range s.ascii {
			if 'A' <= c && c <= 'Z' {
				s.ascii[i] = c + ('a' - 'A')
			}
		}
	}
	return s.ascii
}
