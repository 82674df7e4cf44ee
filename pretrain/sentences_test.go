package pretrain

import (
	"slices"
	"strings"
	"testing"
	"unicode"
)

// TestSentences marks the expected ends of sentences by ·.
func TestSentences(t *testing.T) {
	for _, want := range []string{
		"One.·Two!·Three?·Four…·Five",
		"“Stop!” he said.·“Why?”·She left. . .",
		`He said "Go."·Then he went.`,
		"Mr. and Mrs. Jones met Dr. Smith at St. Paul's.·It rained.",
		"J. R. R. Tolkien lived in the U.S. Army base, i.e. nowhere.·You and I.·We know.",
		"See No. 5 and vol. 2, pp. 3–4.·He said no.·Then 5 came.·On Oct. 3 he left.",
		"It is 3.14 or 1,000.5 m.p.h. and more.·2 is a number.",
		"He left (in 1990.)·(Then he came back.)·[Sic.]",
		"Really?!·Yes… no matter.",
		"他来了。·她走了！·「好。」·谁？",
		"यह पहला है।·यह दूसरा है।",
		"هل جئت؟·نعم.",
		"...·Then",
		"",
	} {
		text := strings.ReplaceAll(want, "·", " ")
		if strings.Contains(want, "他") {
			text = strings.ReplaceAll(want, "·", "")
		}
		got := slices.Collect(Sentences("  " + text + "\t"))
		if strings.Join(got, "·") != want {
			t.Errorf("%q\n\tis split into %q", text, got)
		}
	}
}

// FuzzSentences checks that only white space between sentences is lost, and that sentences have none at their ends.
func FuzzSentences(f *testing.F) {
	f.Add("Mr. A. went. “Yes!” 他来了。她走了 e.g. \xff. B")
	f.Fuzz(func(t *testing.T, text string) {
		var got strings.Builder
		for s := range Sentences(text) {
			if s == "" || s != strings.TrimSpace(s) {
				t.Fatalf("a sentence %q of %q", s, text)
			}
			got.WriteString(s)
		}
		bare := func(s string) string {
			return strings.Join(strings.FieldsFunc(s, unicode.IsSpace), "")
		}
		if bare(got.String()) != bare(text) {
			t.Fatalf("%q became %q", text, got.String())
		}
	})
}
