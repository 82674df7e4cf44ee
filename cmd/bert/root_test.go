package main

import (
	"os/exec"
	"testing"

	"pgregory.net/rapid"
)

// TestQuoteArgument: a shell reads back the argument.
func TestQuoteArgument(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh")
	}
	for _, arg := range []string{"", "plain-1.0", "two words", "it's", `a"b$c\d`, "*", "~", "é", "new\nline", "--flag=x y"} {
		out, err := exec.Command(sh, "-c", "printf %s "+quoteArgument(arg)).Output()
		if err != nil || string(out) != arg {
			t.Errorf("%q is quoted as %s, which sh reads as %q (%v)", arg, quoteArgument(arg), out, err)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"kitten", "sitting", 3}, {"modle", "model", 2}, {"abc", "abc", 0}} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("editDistance(%q, %q) is %d, want %d", c.a, c.b, got, c.want)
		}
	}
	word := rapid.StringMatching("[a-c]{0,6}")
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		ab := editDistance(a, b)
		if ab != editDistance(b, a) || (ab == 0) != (a == b) || ab > editDistance(a, c)+editDistance(c, b) {
			t.Fatalf("editDistance is no distance for %q, %q, %q", a, b, c)
		}
	})
}
