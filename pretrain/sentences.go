package pretrain

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sentences splits a paragraph into sentences, without surrounding white space, by a fixed rule that needs no training:
//
// A sentence ends after one or more of . ! ? … ؟ ۔ । ॥ and any closing quotes and brackets, if white space follows and then,
// possibly after opening quotes and brackets, anything other than a lower-case letter or another such mark. A single full stop
// after an abbreviation (Mr., e.g., a single letter as in J. R. R. Tolkien or U.S.) does not end a sentence. The ideographic
// 。！？｡ end a sentence even without white space.
//
// If the rule errs, two sentences are joined or one is split. That does not harm next-sentence prediction, since most segments
// consist of several sentences.
func Sentences(paragraph string) iter.Seq[string] {
	return func(yield func(string) bool) {
		start := 0
		for i := 0; i < len(paragraph); {
			if c := paragraph[i]; c < utf8.RuneSelf && c != '.' && c != '!' && c != '?' {
				i++ // the fast path, for most of a text
				continue
			}
			r, n := utf8.DecodeRuneInString(paragraph[i:])
			if !endsSentence(r) {
				i += n
				continue
			}
			mark := i
			wide := false
			marks := 0
			for i < len(paragraph) && endsSentence(r) {
				wide = wide || isIdeographicStop(r)
				marks++
				i += n
				r, n = utf8.DecodeRuneInString(paragraph[i:])
			}
			for i < len(paragraph) && isClosing(r) {
				i += n
				r, n = utf8.DecodeRuneInString(paragraph[i:])
			}
			fullStop := marks == 1 && paragraph[mark] == '.'
			if !wide && (!beginsSentence(paragraph[i:]) || fullStop && isAbbreviation(paragraph[start:mark], paragraph[i:])) {
				continue
			}
			if s := strings.TrimSpace(paragraph[start:i]); s != "" && !yield(s) {
				return
			}
			start = i
		}
		if s := strings.TrimSpace(paragraph[start:]); s != "" {
			yield(s)
		}
	}
}

func endsSentence(r rune) bool {
	switch r {
	case '.', '!', '?', '…', '؟', '۔', '।', '॥':
		return true
	}
	return isIdeographicStop(r)
}

func isIdeographicStop(r rune) bool { return r == '。' || r == '！' || r == '？' || r == '｡' }

// isClosing includes ' and ", which can open or close: directly after the end of a sentence they close.
func isClosing(r rune) bool {
	return r == '\'' || r == '"' || unicode.In(r, unicode.Pe, unicode.Pf)
}

// beginsSentence reports whether the text after a full stop is white space and the beginning of a sentence.
func beginsSentence(rest string) bool {
	after := strings.TrimLeftFunc(rest, unicode.IsSpace)
	if len(after) == len(rest) {
		return false
	}
	after = strings.TrimLeftFunc(after, func(r rune) bool {
		return r == '\'' || r == '"' || r == '-' || r == '*' || unicode.In(r, unicode.Ps, unicode.Pi, unicode.Pd)
	})
	r, _ := utf8.DecodeRuneInString(after)
	return after != "" && !unicode.IsLower(r) && !endsSentence(r)
}

// titles are English abbreviations that precede a name or occur within a sentence.
var titles = words("mr mrs ms dr prof rev hon st mt ft sr jr messrs mme mlle gen col maj capt lt sgt cmdr adm gov sen rep pres " +
	"vs cf viz eg e.g i.e al approx ca")

// counted are English words that are abbreviations only before a number: "no. 5", but not "He said no."
var counted = words("no nos vol vols fig figs eq ch sec pp op ed jan feb mar apr jun jul aug sep sept oct nov dec")

func words(list string) map[string]bool {
	set := make(map[string]bool)
	for word := range strings.FieldsSeq(list) {
		set[word] = true
	}
	return set
}

// isAbbreviation reports whether the text before a full stop ends in an abbreviation, given the text after it.
func isAbbreviation(before, after string) bool {
	word := before[strings.LastIndexFunc(before, func(r rune) bool {
		return r != '.' && !unicode.IsLetter(r)
	})+1:]
	if i := strings.IndexFunc(word, unicode.IsLetter); i > 0 {
		word = word[i:]
	}
	last := word[strings.LastIndexByte(word, '.')+1:]
	if r, n := utf8.DecodeRuneInString(last); n > 0 && n == len(last) && last != word || n == len(word) && unicode.IsUpper(r) && r != 'I' {
		return true // U.S., J. R. R. Tolkien; but not "you and I."
	}
	word = strings.ToLower(word)
	next, _ := utf8.DecodeRuneInString(strings.TrimLeftFunc(after, unicode.IsSpace))
	return titles[word] || counted[word] && unicode.IsDigit(next)
}
