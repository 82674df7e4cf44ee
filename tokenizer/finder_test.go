package tokenizer

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// The finder agrees with a search for each pattern at each place.
func TestFinder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	word := func(most int) string {
		b := make([]byte, 1+r.IntN(most))
		for i := range b {
			b[i] = 'a' + byte(r.IntN(2))
		}
		return string(b)
	}
	for range 500 {
		patterns := make([]string, 1+r.IntN(8))
		for i := range patterns {
			patterns[i] = word(6)
		}
		text := word(40)
		f, err := newFinder(patterns)
		if err != nil {
			t.Fatal(err)
		}
		var want []found
		for at := len(text) - 1; at >= 0; at-- {
			best := -1
			for i, p := range patterns {
				if strings.HasPrefix(text[at:], p) && (best < 0 || len(p) >= len(patterns[best])) {
					best = i
				}
			}
			if best >= 0 {
				want = append(want, found{int32(at), int32(best)})
			}
		}
		if got := find(f, nil, text); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q in %q: %v, want %v", patterns, text, got, want)
		}
	}
}

// Tokens and pieces around longPiece bytes, long ones among them, are found as the reference finds them.
func TestLongTokens(t *testing.T) {
	if testing.Short() {
		t.Skip("compares tokens, on one goroutine")
	}
	r := rand.New(rand.NewPCG(3, 4))
	run := func(n int) string {
		s := strings.Repeat("a", n)
		if r.IntN(3) == 0 {
			s += "b"
		}
		return s
	}
	for range 20 {
		vocab := []string{"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "a", "##a", "b", "##b"}
		seen := map[string]bool{}
		for range 6 {
			s := run(1 + r.IntN(2*longPiece))
			if r.IntN(2) == 0 {
				s = "##" + s
			}
			if !seen[s] {
				seen[s] = true
				vocab = append(vocab, s)
			}
		}
		c := DefaultConfig()
		c.MaxWordChars = 100 + r.IntN(1000)
		c.AddedTokens = []AddedToken{{Content: "[MASK]", Special: true}}
		for range 3 {
			content := run(longPiece-3+r.IntN(100)) + "!"
			if !seen[content] {
				seen[content] = true
				c.AddedTokens = append(c.AddedTokens, AddedToken{Content: content, Special: true})
			}
		}
		tok, err := New(vocab, c)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for range 6 {
			text.WriteString(run(r.IntN(400)) + []string{"", " ", "!", " é"}[r.IntN(4)])
		}
		var e Encoding
		if err := tok.Encode(&e, text.String(), Options{OmitSpecialTokens: true}); err != nil {
			t.Fatal(err)
		}
		want := reference(tok, text.String())
		if len(want) != len(e.IDs) {
			t.Fatalf("%d tokens, want %d", len(e.IDs), len(want))
		}
		for i, p := range want {
			id, _ := tok.ID(p.token)
			if e.IDs[i] != id || e.Offsets[i] != (Offset{p.start, p.end}) {
				t.Fatalf("token %d is %d at %v, want %q at %d to %d", i, e.IDs[i], e.Offsets[i], p.token, p.start, p.end)
			}
		}
	}
}

// The time to encode a text is linear, whatever the tokens: an added token or a piece of 100,000 a's and a b is looked for in
// 2 MB of a's.
func TestLongTokensTakeLinearTime(t *testing.T) {
	if testing.Short() {
		t.Skip("goes through long texts, on one goroutine")
	}
	long := strings.Repeat("a", 100_000) + "b"
	special := []string{"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "a", "##a"}
	text := strings.Repeat("a", 2_000_000)
	for _, test := range []struct {
		what   string
		vocab  []string
		change func(*Config)
	}{
		{"an added token", special, func(c *Config) { c.AddedTokens = []AddedToken{{Content: long}} }},
		{"a normalized added token", special, func(c *Config) { c.AddedTokens = []AddedToken{{Content: long, Normalized: true}} }},
		{"a single word", special, func(c *Config) { c.AddedTokens = []AddedToken{{Content: long[:90_000], SingleWord: true}} }},
		{"a piece", append(special, long, "##"+long), func(c *Config) { c.MaxWordChars = 1 << 30 }},
	} {
		t.Run(test.what, func(t *testing.T) {
			c := DefaultConfig()
			test.change(&c)
			tok, err := New(test.vocab, c)
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			ids, err := tok.AppendIDs(nil, text)
			if err != nil || len(ids) == 0 {
				t.Fatal(len(ids), err)
			}
			// A loop over both takes minutes.
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("%d bytes took %v", len(text), took)
			}
			t.Logf("%d tokens in %v", len(ids), time.Since(begin))
		})
	}
}
