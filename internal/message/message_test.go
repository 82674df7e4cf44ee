package message

import (
	"strings"
	"testing"
)

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 25000: "25,000", -1234567: "-1,234,567", -100: "-100"} {
		if got := Thousands(n); got != want {
			t.Errorf("Thousands(%d) is %s, want %s", n, got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	if got, want := Quote("a\nb"), `"a\nb"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := Quote(strings.Repeat("é", 100)), `"`+strings.Repeat("é", 60)+`…"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	names := make([]string, 23)
	for i := range names {
		names[i] = "x"
	}
	if got := QuoteAll(names); !strings.HasSuffix(got, `"x" and 3 more`) || strings.Count(got, "x") != 20 {
		t.Error(got)
	}
}

func TestCut(t *testing.T) {
	for name, want := range map[string]string{
		"a/b.txt": "a/b.txt", "a\nb\x00c\u0085": "a b c ", strings.Repeat("é", 120): strings.Repeat("é", 120), strings.Repeat("é", 1<<20): strings.Repeat("é", 120) + "…",
	} {
		if got := Cut(name); got != want {
			t.Errorf("%.20q: %q, want %q", name, got, want)
		}
	}
}
