package tokenizer

import (
	"strings"
	"unicode/utf8"

	"github.com/go-bert/bert/tokenizer/internal/unidata"
)

// AddedToken is a token that is matched before all other processing, so that it is never split: [MASK], or a token of the
// user's own. Its fields are those of "added_tokens" in tokenizer.json.
type AddedToken struct {
	Content string
	// SingleWord requires that no letter, mark, digit or underscore is next to the token.
	SingleWord bool
	// LStrip and RStrip include the white space to the left and right in the token.
	LStrip, RStrip bool
	// Normalized matches the token in the normalized text, so that, for example, case does not matter.
	Normalized bool
	// Special tokens are skipped by Decode on request.
	Special bool
}

// addedTokens finds the added tokens in a text: the leftmost match and, of those that begin there, the longest.
type addedTokens struct {
	trie     trie    // of those of at most longPiece bytes
	long     *finder // of the others; nil if there are none
	longNums []int32 // the numbers of its patterns
	content  []string
	tokens   []AddedToken // by number
	ids      []int32
	begins   [256]bool // the bytes that a token can begin with
	first    int       // the only such byte, or -1
}

// newAddedTokens returns nil for no tokens. content[i] is matched instead of tokens[i].Content.
func newAddedTokens(tokens []AddedToken, content []string, ids []int32) (*addedTokens, error) {
	if len(tokens) == 0 {
		return nil, nil
	}
	total := 0
	for _, c := range content {
		if len(c) <= longPiece {
			total += len(c)
		}
	}
	a := &addedTokens{trie: newTrie(total), content: content, tokens: tokens, ids: ids, first: -1}
	var long []string
	for i, c := range content {
		if c == "" {
			continue // normalization removes all of it, so it never matches
		}
		if len(c) > longPiece {
			long = append(long, c)
			a.longNums = append(a.longNums, int32(i))
		} else if err := a.trie.put(rootInitial, c, int32(i)); err != nil {
			return nil, err
		}
		a.begins[c[0]] = true
	}
	var err error
	if a.long, err = newFinder(long); err != nil {
		return nil, err
	}
	n := 0
	for b, ok := range a.begins {
		if ok {
			a.first = b
			n++
		}
	}
	if n != 1 {
		a.first = -1
	}
	return a, nil
}

// A match is an added token at [start, end) of a text.
type match struct {
	id         int32
	start, end int
}

// A search finds the matches of a text, one after the other.
type search struct {
	*addedTokens
	text  string
	found []found // the long tokens in what is left of the text
}

func (a *addedTokens) in(text string) search {
	s := search{addedTokens: a, text: text}
	if a.long != nil {
		s.found = find(a.long, nil, text)
	}
	return s
}

// next returns the first match at or after from, which must not be less than in the call before.
func (a *search) next(from int) (match, bool) {
	text := a.text
	for i := from; i < len(text); {
		if a.first >= 0 {
			skip := strings.IndexByte(text[i:], byte(a.first))
			if skip < 0 {
				break
			}
			i += skip
		} else if !a.begins[text[i]] {
			i++
			continue
		}
		k, n := int32(-1), 0
		if len(a.found) > 0 {
			if k, a.found = at(a.found, i); k >= 0 {
				k = a.longNums[k]
				n = len(a.content[k])
			}
		}
		if n == 0 {
			k, n = a.trie.longestString(rootInitial, text[i:])
		}
		if n == 0 {
			i++
			continue
		}
		start, end, token := i, i+n, &a.tokens[k]
		if token.SingleWord && (wordBefore(text[:start]) || wordAfter(text[end:])) {
			i = end
			continue
		}
		if token.LStrip {
			start = len(trimRightSpace(text[from:start])) + from
		}
		if token.RStrip {
			end = len(text) - len(trimLeftSpace(text[end:]))
		}
		return match{a.ids[k], start, end}, true
	}
	return match{}, false
}

func wordBefore(s string) bool {
	r, size := utf8.DecodeLastRuneInString(s)
	return size > 0 && unidata.IsWord(r)
}

func wordAfter(s string) bool {
	r, size := utf8.DecodeRuneInString(s)
	return size > 0 && unidata.IsWord(r)
}

func isSpace(r rune) bool { return unidata.HF.Properties(r)&unidata.Space != 0 }

func trimLeftSpace(s string) string {
	for i, r := range s {
		if !isSpace(r) {
			return s[i:]
		}
	}
	return ""
}

func trimRightSpace(s string) string {
	for len(s) > 0 {
		r, size := utf8.DecodeLastRuneInString(s)
		if !isSpace(r) {
			break
		}
		s = s[:len(s)-size]
	}
	return s
}
