package hub

import (
	"fmt"
	"regexp"
	"strings"
)

// A pattern of names is that of huggingface_hub's allow_patterns and ignore_patterns, which are Python's fnmatch: * is any text,
// also with slashes, ? a character, [abc], [a-c] and [!abc] one of some characters. What ends in a slash is a folder with all
// that is below it; a backslash is a slash.
type pattern struct{ *regexp.Regexp }

func parsePattern(s string) (pattern, error) {
	const most = 1 << 10
	if s == "" || len(s) > most {
		return pattern{}, fmt.Errorf("%.40q is no pattern of file names", s)
	}
	s = strings.ReplaceAll(s, `\`, "/")
	if strings.HasSuffix(s, "/") {
		s += "*"
	}
	var b strings.Builder
	b.WriteString("^(?s:")
	for rest := []rune(s); len(rest) > 0; {
		c := rest[0]
		rest = rest[1:]
		switch c {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteByte('.')
		case '[':
			if n := setLength(rest); n > 0 {
				writeSet(&b, rest[:n])
				rest = rest[n+1:]
				continue
			}
			fallthrough // a bracket that nothing closes is itself
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	b.WriteString(")$")
	re, err := regexp.Compile(b.String())
	return pattern{re}, err
}

// setLength is the length of a set's contents, after its opening bracket; 0 if nothing closes it. A closing bracket may be the
// first of the characters.
func setLength(s []rune) int {
	i := 0
	if i < len(s) && s[i] == '!' {
		i++
	}
	if i < len(s) && s[i] == ']' {
		i++
	}
	for ; i < len(s); i++ {
		if s[i] == ']' {
			return i
		}
	}
	return 0
}

// writeSet writes a set as a class of a regular expression.
func writeSet(b *strings.Builder, s []rune) {
	not := s[0] == '!'
	if not {
		s = s[1:]
	}
	var class strings.Builder
	for i := 0; i < len(s); i++ {
		from, to := s[i], s[i]
		if i+2 < len(s) && s[i+1] == '-' {
			to = s[i+2]
			i += 2
		}
		if from <= to { // a range that runs backwards is empty
			fmt.Fprintf(&class, `\x{%x}-\x{%x}`, from, to)
		}
	}
	const all = `\x{0}-\x{10ffff}`
	switch {
	case class.Len() == 0 && not:
		b.WriteByte('.')
	case class.Len() == 0:
		b.WriteString("[^" + all + "]")
	case not:
		b.WriteString("[^" + class.String() + "]")
	default:
		b.WriteString("[" + class.String() + "]")
	}
}

// A selection says which of a model's files are fetched.
type selection struct{ include, exclude []pattern }

func newSelection(o *PullOptions) (s selection, err error) {
	for _, side := range []struct {
		texts []string
		to    *[]pattern
	}{{o.Include, &s.include}, {o.Exclude, &s.exclude}} {
		for _, text := range side.texts {
			p, err := parsePattern(text)
			if err != nil {
				return s, err
			}
			*side.to = append(*side.to, p)
		}
	}
	return s, nil
}

// excludes reports whether a name is one of those to leave out.
func (s *selection) excludes(name string) bool { return matches(s.exclude, name) }

// includes reports whether a name is one of those to fetch.
func (s *selection) includes(name string) bool { return matches(s.include, name) && !s.excludes(name) }

func matches(patterns []pattern, name string) bool {
	name = strings.ReplaceAll(name, `\`, "/")
	for _, p := range patterns {
		if p.MatchString(name) {
			return true
		}
	}
	return false
}
