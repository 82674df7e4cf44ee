package tokenizer

import (
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/go-bert/bert/tokenizer/internal/unidata"
)

// The reference is tokenization as the papers and programs describe it: a sequence of passes over a list of characters, with a
// map as the vocabulary. The scanner, which needs only one pass, is compared with it.

type refChar struct {
	r          rune
	start, end int32
}

type refPiece struct {
	token            string
	start, end, word int32
}

// reference returns the pieces of text. Of added tokens it matches only special ones that are not normalized.
func reference(t *Tokenizer, text string) []refPiece {
	var out []refPiece
	word := int32(0)
	plain := func(from, to int) {
		for _, w := range refWords(t, refDecode(text, from, to)) {
			for _, p := range refWordPiece(t, w) {
				p.word = word
				out = append(out, p)
			}
			word++
		}
	}
	from := 0
	for i := 0; i < len(text); {
		found := ""
		for _, a := range t.config.AddedTokens {
			if strings.HasPrefix(text[i:], a.Content) && len(a.Content) > len(found) {
				found = a.Content
			}
		}
		if found == "" {
			i++
			continue
		}
		plain(from, i)
		out = append(out, refPiece{found, int32(i), int32(i + len(found)), word})
		word++
		i += len(found)
		from = i
	}
	plain(from, len(text))
	return out
}

func refDecode(text string, from, to int) []refChar {
	var chars []refChar
	for i := from; i < to; {
		r, size := utf8.DecodeRuneInString(text[i:to])
		chars = append(chars, refChar{r, int32(i), int32(i + size)})
		i += size
	}
	return chars
}

func refWords(t *Tokenizer, chars []refChar) [][]refChar {
	has := func(r rune, p unidata.Properties) bool { return t.table.Properties(r)&p != 0 }
	if t.config.CleanText {
		chars = slices.DeleteFunc(chars, func(c refChar) bool { return has(c.r, unidata.Drop) })
		for i, c := range chars {
			if has(c.r, unidata.Space) {
				chars[i].r = ' '
			}
		}
	}
	if t.config.HandleChineseChars {
		var spaced []refChar
		for _, c := range chars {
			if has(c.r, unidata.CJK) {
				blank := refChar{' ', c.start, c.end}
				spaced = append(spaced, blank, c, blank)
			} else {
				spaced = append(spaced, c)
			}
		}
		chars = spaced
	}
	if !t.config.Google {
		if t.strip {
			chars = refStrip(t, chars)
		}
		if t.config.LowerCase {
			chars = refLower(t, chars, false)
		}
		return refPunct(t, chars)
	}
	var words [][]refChar
	for _, token := range refSplit(t, chars) {
		if t.config.LowerCase {
			token = refLower(t, token, true)
		}
		if t.strip {
			token = refStrip(t, token)
		}
		words = append(words, refPunct(t, token)...)
	}
	return words
}

func refSplit(t *Tokenizer, chars []refChar) [][]refChar {
	var words [][]refChar
	var word []refChar
	for _, c := range chars {
		if t.table.Properties(c.r)&unidata.Space == 0 {
			word = append(word, c)
			continue
		}
		if word != nil {
			words, word = append(words, word), nil
		}
	}
	if word != nil {
		words = append(words, word)
	}
	return words
}

func refPunct(t *Tokenizer, chars []refChar) [][]refChar {
	var words [][]refChar
	for _, run := range refSplit(t, chars) {
		var word []refChar
		for _, c := range run {
			if t.table.Properties(c.r)&unidata.Punct == 0 {
				word = append(word, c)
				continue
			}
			if word != nil {
				words, word = append(words, word), nil
			}
			words = append(words, []refChar{c})
		}
		if word != nil {
			words = append(words, word)
		}
	}
	return words
}

func refLower(t *Tokenizer, chars []refChar, sigma bool) []refChar {
	var out []refChar
	for i, c := range chars {
		switch {
		case t.table.Properties(c.r)&unidata.Lowers == 0:
			out = append(out, c)
		case sigma && c.r == 'Σ' && refFinal(chars, i):
			out = append(out, refChar{'ς', c.start, c.end})
		default:
			r, dot := unidata.Lower(c.r)
			out = append(out, refChar{r, c.start, c.end})
			if dot {
				out = append(out, refChar{0x307, c.start, c.end})
			}
		}
	}
	return out
}

func refFinal(chars []refChar, i int) bool {
	j := i - 1
	for j >= 0 && unidata.IsCaseIgnorable(chars[j].r) {
		j--
	}
	if j < 0 || !unidata.IsCased(chars[j].r) {
		return false
	}
	j = i + 1
	for j < len(chars) && unidata.IsCaseIgnorable(chars[j].r) {
		j++
	}
	return j == len(chars) || !unidata.IsCased(chars[j].r)
}

// refStrip returns the NFD without nonspacing marks. Characters of the input keep their places in order; those that come from a
// decomposition share the place of the character before.
func refStrip(t *Tokenizer, chars []refChar) []refChar {
	type mark struct {
		r     rune
		class uint8
		first bool
	}
	var marks []mark
	var places []refChar
	for i, c := range chars {
		d, n := [4]rune{c.r}, 1
		if t.table.Properties(c.r)&unidata.Decomposes != 0 {
			d, n = unidata.Decompose(c.r)
		}
		// The i and the dot in the lower case of U+0130 come from one character.
		shared := i > 0 && chars[i-1].start == c.start
		if !shared {
			places = append(places, c)
		}
		for k, r := range d[:n] {
			class := uint8(0)
			if t.table.Properties(r)&unidata.Combines != 0 {
				class = unidata.CombiningClass(r)
			}
			marks = append(marks, mark{r, class, k == 0 && !shared})
		}
	}
	for i := 0; i < len(marks); {
		j := i + 1
		for j < len(marks) && marks[j].class != 0 {
			j++
		}
		run := marks[i:j]
		sort.SliceStable(run, func(a, b int) bool { return run[a].class < run[b].class })
		i = j
	}
	var out []refChar
	at := -1
	for _, m := range marks {
		if m.first {
			at++
		}
		if t.table.Properties(m.r)&unidata.Mark == 0 {
			out = append(out, refChar{m.r, places[at].start, places[at].end})
		}
	}
	return out
}

func refWordPiece(t *Tokenizer, word []refChar) []refPiece {
	whole := refPiece{token: t.config.UnknownToken, start: word[0].start, end: word[len(word)-1].end}
	if len(word) > t.config.MaxWordChars {
		return []refPiece{whole}
	}
	var out []refPiece
	for from := 0; from < len(word); {
		to := len(word)
		for ; to > from; to-- {
			s := ""
			if from > 0 {
				s = t.config.Prefix
			}
			for _, c := range word[from:to] {
				s += string(c.r)
			}
			if id, ok := t.ids[s]; ok && !t.outside[id] {
				out = append(out, refPiece{token: s, start: word[from].start, end: word[to-1].end})
				break
			}
		}
		if to == from {
			return []refPiece{whole}
		}
		from = to
	}
	return out
}
