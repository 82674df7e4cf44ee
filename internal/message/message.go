// Package message writes numbers and pieces of a user's files the way that error messages show them.
package message

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Quote quotes a piece of a user's file, cut to 60 characters.
func Quote(s string) string {
	const most = 60
	if r := []rune(s[:min(len(s), 4*(most+1))]); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}

// Cut is a name, such as that of a member of an archive, for an error of one line: control characters become blanks, and what is
// beyond 120 characters is left out.
func Cut(name string) string {
	const most = 120
	cut := name
	if r := []rune(name[:min(len(name), 4*(most+1))]); len(r) > most {
		cut = string(r[:most]) + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, cut)
}

// QuoteAll quotes names, the first 20 of them, with commas in between.
func QuoteAll(names []string) string {
	const most = 20
	var b strings.Builder
	for i, name := range names[:min(len(names), most)] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(Quote(name))
	}
	if n := len(names) - most; n > 0 {
		fmt.Fprintf(&b, " and %d more", n)
	}
	return b.String()
}

// Thousands writes n as 25,000.
func Thousands[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
