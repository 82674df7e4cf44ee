package tokenizer

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-bert/bert/tokenizer/internal/unidata"
)

// maxPattern limits the bytes of a pattern, or of what replaces a match.
const maxPattern = 1 << 10

// substring is a pattern of a fixed text, which is not empty.
type substring string

func (s substring) find(chars []char) []bounds {
	text := textOf(chars)
	var found []bounds
	at := counter{text: text}
	for from := 0; ; {
		i := strings.Index(text[from:], string(s))
		if i < 0 {
			return found
		}
		first := at.char(from + i)
		from += i + len(s)
		found = append(found, bounds{first, at.char(from)})
	}
}

// expression is a regular expression that matches no empty text.
type expression struct{ *regexp.Regexp }

func (e expression) find(chars []char) []bounds {
	text := textOf(chars)
	var found []bounds
	at := counter{text: text}
	for _, m := range e.FindAllStringIndex(text, -1) {
		first := at.char(m[0])
		found = append(found, bounds{first, at.char(m[1])})
	}
	return found
}

func textOf(chars []char) string {
	var b strings.Builder
	b.Grow(len(chars))
	for _, c := range chars {
		b.WriteRune(c.r)
	}
	return b.String()
}

// A counter converts places in a text from bytes to characters. They must be asked for in order.
type counter struct {
	text        string
	byte, chars int
}

func (c *counter) char(place int) int {
	c.chars += utf8.RuneCountInString(c.text[c.byte:place])
	c.byte = place
	return c.chars
}

// newExpression compiles a regular expression of HF's library, which has Oniguruma's syntax, if Go's regexp can match the same:
// characters, classes, groups, alternatives and repetitions. \s, \d, \w and \p{…} are replaced by the ranges of Unicode 16.0 that
// Oniguruma has, so that they don't change with the Go release.
func newExpression(text string) (expression, error) {
	fail := func(err error) (expression, error) {
		return expression{}, fmt.Errorf("regular expression %q: %w", clip(text), err)
	}
	if len(text) > maxPattern {
		return fail(fmt.Errorf("%d bytes, want at most %d", len(text), maxPattern))
	}
	t := translator{rest: text}
	if err := t.all(); err != nil {
		return fail(err)
	}
	tree, err := syntax.Parse(t.out.String(), syntax.Perl)
	if err != nil {
		return fail(errors.New("its syntax is not supported, or it is too large"))
	}
	if emptyMatch(tree) {
		return fail(errors.New("it matches the empty text, which is not supported"))
	}
	compiled, err := regexp.Compile(t.out.String())
	if err != nil {
		return fail(errors.New("it is too large"))
	}
	return expression{compiled}, nil
}

// emptyMatch reports whether a regular expression can match the empty text.
func emptyMatch(e *syntax.Regexp) bool {
	switch e.Op {
	case syntax.OpLiteral:
		return len(e.Rune) == 0
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL, syntax.OpNoMatch:
		return false
	case syntax.OpCapture, syntax.OpPlus:
		return emptyMatch(e.Sub[0])
	case syntax.OpRepeat:
		return e.Min == 0 || emptyMatch(e.Sub[0])
	case syntax.OpConcat:
		return !slices.ContainsFunc(e.Sub, func(e *syntax.Regexp) bool { return !emptyMatch(e) })
	case syntax.OpAlternate:
		return slices.ContainsFunc(e.Sub, emptyMatch)
	}
	return true
}

// A translator rewrites Oniguruma's syntax to Go's, and refuses what differs.
type translator struct {
	rest string
	out  strings.Builder
}

// next takes the next character.
func (t *translator) next() rune {
	r, size := utf8.DecodeRuneInString(t.rest)
	t.rest = t.rest[size:]
	return r
}

func (t *translator) all() error {
	for t.rest != "" {
		switch r := t.next(); r {
		case '\\':
			if strings.HasPrefix(t.rest, "A") || strings.HasPrefix(t.rest, "z") { // the beginning and the end of the text
				t.out.WriteString(`\` + t.rest[:1])
				t.rest = t.rest[1:]
				continue
			}
			ranges, negated, err := t.escape(false)
			if err != nil {
				return err
			}
			writeClass(&t.out, ranges, negated)
		case '[':
			if err := t.class(); err != nil {
				return err
			}
		case '(':
			t.out.WriteByte('(')
			if strings.HasPrefix(t.rest, "?") {
				if !strings.HasPrefix(t.rest, "?:") {
					return fmt.Errorf("the group (%s is not supported", clipAt(t.rest, 3))
				}
				t.rest = t.rest[2:]
				t.out.WriteString("?:")
			}
		case '^':
			// A line begins after each newline, but for Oniguruma not after the last character of a text: what follows has to
			// match something, and so must begin the pattern.
			if before := t.out.String(); before != "" && !strings.HasSuffix(before, "(") && !strings.HasSuffix(before, "|") {
				return errors.New("^ after another part is not supported")
			}
			t.out.WriteString("(?m:^)")
		case '$':
			t.out.WriteString("(?m:$)")
		case '*', '+', '?', '}':
			t.out.WriteRune(r)
			// A + after a repetition is possessive or repeats it again, and a ? after a } differs; Go refuses what else there is.
			if strings.HasPrefix(t.rest, "+") || r == '}' && strings.HasPrefix(t.rest, "?") {
				return fmt.Errorf("the repetition %c%c is not supported", r, t.rest[0])
			}
		case '{':
			if strings.HasPrefix(t.rest, ",") {
				return errors.New("the repetition {, is not supported")
			}
			t.out.WriteByte('{')
		default:
			t.out.WriteRune(r)
		}
	}
	return nil
}

// class reads a class after its [.
func (t *translator) class() error {
	var ranges [][2]rune
	negated := strings.HasPrefix(t.rest, "^")
	if negated {
		t.rest = t.rest[1:]
	}
	if strings.HasPrefix(t.rest, "]") {
		return errors.New("the empty class is not supported")
	}
	// one reads a character or an escape; single says that a range may begin or end with it.
	one := func() (item [][2]rune, single bool, err error) {
		switch r := t.next(); r {
		case '[':
			return nil, false, errors.New("a class in a class is not supported")
		case '&':
			if strings.HasPrefix(t.rest, "&") {
				return nil, false, errors.New("the intersection of classes, &&, is not supported")
			}
			return [][2]rune{{r, r}}, true, nil
		case '\\':
			item, not, err := t.escape(true)
			if err == nil && not {
				item = complement(item)
			}
			return item, err == nil && len(item) == 1 && item[0][0] == item[0][1], err
		default:
			return [][2]rune{{r, r}}, true, nil
		}
	}
	for {
		if t.rest == "" {
			return errors.New("a class lacks its ]")
		}
		if strings.HasPrefix(t.rest, "]") {
			t.rest = t.rest[1:]
			break
		}
		item, single, err := one()
		if err != nil {
			return err
		}
		if strings.HasPrefix(t.rest, "-") && !strings.HasPrefix(t.rest, "-]") {
			if !single {
				return errors.New("a range in a class begins with another class")
			}
			t.rest = t.rest[1:]
			if t.rest == "" {
				return errors.New("a class lacks its ]")
			}
			end, ok, err := one()
			if err != nil {
				return err
			}
			if !ok || end[0][0] < item[0][0] {
				return errors.New("a range in a class has no end, or its end is before its beginning")
			}
			item = [][2]rune{{item[0][0], end[0][1]}}
		}
		ranges = append(ranges, item...)
	}
	writeClass(&t.out, ranges, negated)
	return nil
}

// escape reads an escape after its backslash: the characters that it matches, or doesn't match. inClass says that it is part of a
// class.
func (t *translator) escape(inClass bool) (ranges [][2]rune, negated bool, err error) {
	if t.rest == "" {
		return nil, false, errors.New("a backslash at the end")
	}
	one := func(r rune) ([][2]rune, bool, error) { return [][2]rune{{r, r}}, false, nil }
	switch r := t.next(); r {
	case 's', 'S':
		return spaceRanges[:], r == 'S', nil
	case 'd', 'D':
		return unidata.CategoryRanges("Nd"), r == 'D', nil
	case 'w', 'W':
		return unidata.WordRanges(!inClass), r == 'W', nil
	case 'p', 'P':
		name, rest, ok := strings.Cut(t.rest, "}")
		if !ok || !strings.HasPrefix(name, "{") {
			return nil, false, fmt.Errorf(`\%c without {…} is not supported`, r)
		}
		t.rest = rest
		name, not := strings.CutPrefix(name[1:], "^")
		ranges := unidata.CategoryRanges(name)
		if ranges == nil {
			ranges = unidata.ScriptRanges(name)
		}
		if ranges == nil {
			return nil, false, fmt.Errorf(`the property %q is not supported: want a category such as L or Nd, or Han, Hiragana, Katakana or Hangul`, clip(name))
		}
		return ranges, not != (r == 'P'), nil
	case 't':
		return one('\t')
	case 'n':
		return one('\n')
	case 'r':
		return one('\r')
	case 'f':
		return one('\f')
	case 'v':
		return one('\v')
	case 'u':
		if len(t.rest) >= 4 {
			if n, err := strconv.ParseUint(t.rest[:4], 16, 32); err == nil && utf8.ValidRune(rune(n)) {
				t.rest = t.rest[4:]
				return one(rune(n))
			}
		}
		return nil, false, errors.New(`\u without four hexadecimal digits`)
	case 'x':
		if digits, rest, ok := strings.Cut(t.rest, "}"); ok && strings.HasPrefix(digits, "{") {
			if n, err := strconv.ParseUint(digits[1:], 16, 32); err == nil && n <= utf8.MaxRune && utf8.ValidRune(rune(n)) {
				t.rest = rest
				return one(rune(n))
			}
		}
		if len(t.rest) >= 2 {
			if n, err := strconv.ParseUint(t.rest[:2], 16, 32); err == nil && n < utf8.RuneSelf {
				t.rest = t.rest[2:]
				return one(rune(n))
			}
		}
		return nil, false, errors.New(`\x without the number of a character`)
	default:
		if r >= utf8.RuneSelf || r == '_' || !isPunctuation(r) && !isSpace(r) {
			return nil, false, fmt.Errorf(`\%c is not supported`, r)
		}
		return one(r)
	}
}

// spaceRanges are the characters of \s: White_Space, which has not changed since Unicode 6.3.
var spaceRanges = [...][2]rune{{'\t', '\r'}, {' ', ' '}, {0x85, 0x85}, {0xA0, 0xA0}, {0x1680, 0x1680}, {0x2000, 0x200A},
	{0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}}

// writeClass writes a class of Go's syntax.
func writeClass(b *strings.Builder, ranges [][2]rune, negated bool) {
	b.WriteByte('[')
	if negated {
		b.WriteByte('^')
	}
	for _, r := range ranges {
		fmt.Fprintf(b, `\x{%X}-\x{%X}`, r[0], r[1])
	}
	b.WriteByte(']')
}

// complement returns the characters outside ranges.
func complement(ranges [][2]rune) [][2]rune {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(x, y [2]rune) int { return int(x[0] - y[0]) })
	var out [][2]rune
	next := rune(0)
	for _, r := range sorted {
		if r[0] > next {
			out = append(out, [2]rune{next, r[0] - 1})
		}
		next = max(next, r[1]+1)
	}
	if next <= utf8.MaxRune {
		out = append(out, [2]rune{next, utf8.MaxRune})
	}
	return out
}
