package pretrain

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sentences splits a paragraph into sentences, white space around them dropped, by a rule that needs no training and gives
// the same everywhere:
//
// A sentence ends behind one or more of . ! ? … ؟ ۔ । ॥ and the closing quotes and brackets that follow, if white space
// comes next and then, perhaps behind opening quotes and brackets, anything but a lower-case letter or another such mark. A
// single full stop ends none behind an abbreviation (Mr., e.g., a single letter as in J. R. R. Tolkien or U.S.). The ideographic 。！？｡ end
// a sentence without white space.
//
// Where a rule errs, two sentences stay one, or one becomes two; next-sentence prediction takes no harm, as segments are
// mostly several sentences.
func Sentences(paragraph string) iter.Seq[string] {
	return func(yield func(string) bool) {
		start := 0
		for i := 0; i < len(paragraph); {
			if c := paragraph[i]; c < utf8.RuneSelf && c != '.' && c != '!' && c != '?' {
				i++ // most of a text
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

// isClosing takes in ' and ", which close as well as open: here they stand right behind the end of a sentence.
func isClosing(r rune) bool {
	return r == '\'' || r == '"' || unicode.In(r, unicode.Pe, unicode.Pf)
}

// beginsSentence says whether what follows a full stop is white space and the beginning of a sentence.
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

// titles are English abbreviations that a name follows, or that stand within a sentence.
var titles = words("mr mrs ms dr prof rev hon st mt ft sr jr messrs mme mlle gen col maj capt lt sgt cmdr adm gov sen rep pres " +
	"vs cf viz eg e.g i.e al approx ca")

// counted are English abbreviations that a number follows: in "He said no." there is none.
var counted = words("no nos vol vols fig figs eq ch sec pp op ed jan feb mar apr jun jul aug sep sept oct nov dec")

func words(list string) map[string]bool {
	set := make(map[string]bool)
	for word := range strings.FieldsSeq(list) {
		set[word] = true
	}
	return set
}

// isAbbreviation says whether the text before a full stop ends in an abbreviation, given what comes after.
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
