package main

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestBar(t *testing.T) {
	for _, c := range []struct {
		share float64
		want  string
	}{
		{0, "    "}, {1, "████"}, {2, "████"}, {-1, "    "}, {0.5, "██  "}, {1. / 32, "▏   "}, {0.75 - 1./32, "██▉ "},
	} {
		if got := bar(c.share, 4); got != c.want {
			t.Errorf("bar(%v, 4) is %q, want %q", c.share, got, c.want)
		}
	}
}

// TestFit: whatever the text, what is shown is as wide as asked for, and nothing in it moves a terminal's cursor.
func TestFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Not of all scripts: some have marks that join with the blank behind a cell.
		text := rapid.StringOf(rapid.OneOf(
			rapid.RuneFrom(nil, unicode.Latin, unicode.Greek, unicode.Han, unicode.Hiragana, unicode.Hangul, unicode.Cc),
			rapid.SampledFrom([]rune("a \x1b\t\n█…\u202e\u0301\u00a0")),
		)).Draw(t, "text")
		width := rapid.IntRange(1, 30).Draw(t, "width")
		shown := fit(visible(text), width)
		if got := cells(shown); got != width {
			t.Fatalf("fit(%q, %d) is %d cells wide", text, width, got)
		}
		if !utf8.ValidString(shown) {
			t.Fatalf("fit(%q, %d) is %q", text, width, shown)
		}
		for _, r := range shown {
			if r < ' ' || r == 0x7f || r == 0x202e {
				t.Fatalf("visible(%q) has %q", text, r)
			}
		}
	})
}

func TestTable(t *testing.T) {
	s := screen{width: 20}
	got := s.table([]column{{head: "n", right: true}, {head: "text"}}, [][]string{{"1", "中文"}, {"10", strings.Repeat("x", 40)}})
	want := " n  text\n 1  中文\n10  " + strings.Repeat("x", 15) + "…\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	s.color = true
	if got := s.style(red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("coloured: %q", got)
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 25000: "25,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) is %s, want %s", n, got, want)
		}
	}
}
