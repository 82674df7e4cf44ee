package tokenizer

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// A mode is a tokenizer for property tests.
type mode struct {
	name string
	tok  *Tokenizer
}

func modes(t testing.TB) []mode {
	yes, no := true, false
	var list []mode
	for _, m := range []struct {
		name string
		c    Config
	}{
		{"uncased", DefaultConfig()},
		{"cased", Config{CleanText: true, HandleChineseChars: true}},
		{"lower-accents", Config{LowerCase: true, StripAccents: &no, CleanText: true, HandleChineseChars: true}},
		{"cased-strip", Config{StripAccents: &yes, CleanText: true, HandleChineseChars: true}},
		{"raw", Config{}},
		{"raw-lower", Config{LowerCase: true}},
		{"short-words", Config{LowerCase: true, CleanText: true, MaxWordChars: 3}},
		{"google", GoogleConfig(true)},
		{"google-cased", GoogleConfig(false)},
		{"google-raw", Config{Google: true, LowerCase: true}},
	} {
		list = append(list, mode{m.name, smallVocab(t, m.c)})
	}
	return list
}

// fragments are the parts of random texts: one for each case that tokenization distinguishes.
var fragments = []string{
	" ", "  ", "\t", "\n", "\u00a0", "\u3000", "\u2028", "\x0b", "\x1c", "a", "b", "the", "unwanted", "Running", "UNwantéd", "x", "zq", "0", "42",
	",", ".", "'", "-", "—", "…", "$", "`", "[", "]", "[MASK]", "[SEP]", "[CLS", "[mask]", "##ing", "##",
	"é", "É", "ñ", "Å", "e\u0301", "e\u0301\u0323", "\u0301", "\u0327\u0301", "\u0323", "\u0344", "\u1e69", "ǖ", "\u0340",
	"\u302a", "\u302e", "\U0001d165", "\U0001d16d", "\u1b44", "\u1baa", "\u1bf2", "\U00010f4e", "\u0d3b", "\u09cb", "\u0345", "\U00011938",
	"İ", "ı", "ß", "ẞ", "ﬁ", "Σ", "σ", "ς", "ΑΣ", "ΣΑΣ.", "Σ'", "Ω", "\u037e", "\u1fef", "\u212a",
	"电", "影", "\U0002b820", "\U0002b920", "\uf900", "\U0002f800", "한", "각", "\u1100\u1161", "カ", "ｶ", "Ａ",
	"\x00", "\ufffd", "\u200b", "\u00ad", "\ue000", "\x7f", "\U000e0001", "😀", "\u0378", "\uffff",
	"aaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "internationalisation",
}

func textGen() *rapid.Generator[string] {
	piece := rapid.OneOf(rapid.SampledFrom(fragments), rapid.SampledFrom(fragments), rapid.StringN(0, 6, -1))
	return rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(piece, 0, 40).Draw(t, "parts"), "") })
}

// checkEncoding checks the invariants of an encoding of one text or of a pair.
func checkEncoding(tok *Tokenizer, e *Encoding, texts ...string) error {
	n := len(e.IDs)
	for _, l := range []int{len(e.TypeIDs), len(e.Offsets), len(e.SpecialTokensMask), len(e.SequenceIDs), len(e.WordIDs)} {
		if l != n {
			return fmt.Errorf("columns of %d and %d", n, l)
		}
	}
	last := [2]Offset{}
	word := [2]int32{-1, -1}
	for i, id := range e.IDs {
		if _, ok := tok.Token(id); !ok {
			return fmt.Errorf("token %d: id %d is out of range", i, id)
		}
		o, s := e.Offsets[i], e.SequenceIDs[i]
		if e.SpecialTokensMask[i] == 1 {
			if s != -1 || e.WordIDs[i] != -1 || o != (Offset{}) {
				return fmt.Errorf("token %d: special, but sequence %d, word %d, offset %v", i, s, e.WordIDs[i], o)
			}
			continue
		}
		if s < 0 || int(s) >= len(texts) {
			return fmt.Errorf("token %d: sequence %d", i, s)
		}
		if o.Start >= o.End || int(o.End) > len(texts[s]) || o.Start < last[s].Start || o.End < last[s].End {
			return fmt.Errorf("token %d: offset %v after %v in %d bytes", i, o, last[s], len(texts[s]))
		}
		if w := e.WordIDs[i]; w < word[s] || w > word[s]+1 && word[s] >= 0 {
			return fmt.Errorf("token %d: word %d after %d", i, w, word[s])
		}
		last[s], word[s] = o, e.WordIDs[i]
	}
	return nil
}

// compareReference compares an encoding without special tokens with the reference.
func compareReference(tok *Tokenizer, e *Encoding, text string) error {
	want := reference(tok, text)
	got := make([]refPiece, e.Len())
	for i, s := range tok.Tokens(e.IDs) {
		got[i] = refPiece{s, e.Offsets[i].Start, e.Offsets[i].End, e.WordIDs[i]}
	}
	if len(got) != len(want) || len(got) > 0 && !slices.Equal(got, want) {
		return fmt.Errorf("%q:\n got %v\nwant %v", text, got, want)
	}
	return nil
}

func TestReference(t *testing.T) {
	for _, m := range modes(t) {
		tok := m.tok
		t.Run(m.name, func(t *testing.T) {
			var e Encoding
			rapid.Check(t, func(t *rapid.T) {
				text := textGen().Draw(t, "text")
				if err := tok.Encode(&e, text, Options{OmitSpecialTokens: true}); err != nil {
					t.Fatal(err)
				}
				if err := checkEncoding(tok, &e, text); err != nil {
					t.Fatal(err)
				}
				if err := compareReference(tok, &e, text); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// TestReused checks that an Encoding does not depend on its earlier contents, or on earlier options and texts.
func TestReused(t *testing.T) {
	tok := smallVocab(t, DefaultConfig())
	var reused Encoding
	rapid.Check(t, func(t *rapid.T) {
		a, b := textGen().Draw(t, "a"), textGen().Draw(t, "b")
		o := Options{MaxLength: rapid.IntRange(0, 20).Draw(t, "length"), Stride: rapid.IntRange(0, 4).Draw(t, "stride"),
			Truncation: Truncation(rapid.IntRange(0, 3).Draw(t, "truncation")), TruncateLeft: rapid.Bool().Draw(t, "left"),
			OmitSpecialTokens: rapid.Bool().Draw(t, "omit")}
		var fresh Encoding
		pair := rapid.Bool().Draw(t, "pair")
		encode := func(e *Encoding) error {
			if pair {
				return tok.EncodePair(e, a, b, o)
			}
			return tok.Encode(e, a, o)
		}
		err, again := encode(&fresh), encode(&reused)
		if (err == nil) != (again == nil) {
			t.Fatal(err, again)
		}
		if err != nil {
			return
		}
		if err := sameEncoding(&fresh, &reused); err != nil {
			t.Fatal(err)
		}
		if o.MaxLength > 0 && o.Truncation != DoNotTruncate && fresh.Len() > o.MaxLength {
			t.Fatalf("%d tokens, at most %d wanted", fresh.Len(), o.MaxLength)
		}
	})
}

func sameEncoding(a, b *Encoding) error {
	columns := func(e *Encoding) []any {
		return []any{e.IDs, e.TypeIDs, e.Offsets, e.SpecialTokensMask, e.SequenceIDs, e.WordIDs}
	}
	for i, x := range columns(a) {
		y := columns(b)[i]
		if reflect.ValueOf(x).Len() != reflect.ValueOf(y).Len() || reflect.ValueOf(x).Len() > 0 && !reflect.DeepEqual(x, y) {
			return fmt.Errorf("column %d: %v and %v", i, x, y)
		}
	}
	if a.Truncated != b.Truncated || len(a.Overflowing) != len(b.Overflowing) {
		return fmt.Errorf("truncated %d and %d, windows %d and %d", a.Truncated, b.Truncated, len(a.Overflowing), len(b.Overflowing))
	}
	for i := range a.Overflowing {
		if err := sameEncoding(&a.Overflowing[i], &b.Overflowing[i]); err != nil {
			return fmt.Errorf("window %d: %w", i+1, err)
		}
	}
	return nil
}

// TestWindows checks that windows hold every token in order, repeat exactly Stride tokens, and count the tokens they lack.
func TestWindows(t *testing.T) {
	tok := smallVocab(t, DefaultConfig())
	rapid.Check(t, func(t *rapid.T) {
		a, b := textGen().Draw(t, "a"), textGen().Draw(t, "b")
		pair, second, left := rapid.Bool().Draw(t, "pair"), rapid.Bool().Draw(t, "second"), rapid.Bool().Draw(t, "left")
		o := Options{MaxLength: rapid.IntRange(4, 40).Draw(t, "length"), Overflow: true, Stride: rapid.IntRange(0, 8).Draw(t, "stride"),
			TruncateLeft: left, Truncation: OnlyFirst}
		if pair && second {
			o.Truncation = OnlySecond
		}
		encode := func(e *Encoding, o Options) error {
			if pair {
				return tok.EncodePair(e, a, b, o)
			}
			return tok.Encode(e, a, o)
		}
		var all, e Encoding
		if err := encode(&all, Options{}); err != nil {
			t.Fatal(err)
		}
		if encode(&e, o) != nil {
			return // no room: see TestOptionErrors
		}
		cut := int8(0)
		if o.Truncation == OnlySecond {
			cut = 1
		}
		ids := func(e *Encoding, s int8) []int32 {
			list := []int32{}
			for i, id := range e.IDs {
				if e.SequenceIDs[i] == s {
					list = append(list, id)
				}
			}
			return list
		}
		want, got := ids(&all, cut), []int32{}
		for i, w := range append([]Encoding{e}, e.Overflowing...) {
			part := ids(&w, cut)
			if w.Len() > o.MaxLength || w.Truncated != len(want)-len(part) || !slices.Equal(ids(&w, 1-cut), ids(&all, 1-cut)) {
				t.Fatalf("window %d: %d tokens, %d truncated", i, w.Len(), w.Truncated)
			}
			switch {
			case i == 0:
				got = part
			case left:
				got = append(slices.Clone(part[:len(part)-o.Stride]), got...)
			default:
				got = append(got, part[o.Stride:]...)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("windows give %v, want %v", got, want)
		}
	})
}

// TestPieces checks that every piece that can begin a word is encoded as one token and decoded to itself.
func TestPieces(t *testing.T) {
	tok := smallVocab(t, DefaultConfig())
	var e Encoding
	for id := range int32(tok.VocabSize()) {
		s, _ := tok.Token(id)
		if tok.Continues(id) {
			continue
		}
		if err := tok.Encode(&e, s, Options{OmitSpecialTokens: true}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(e.IDs, []int32{id}) || tok.Decode(e.IDs, false) != s || e.Offsets[0] != (Offset{0, int32(len(s))}) {
			t.Errorf("%q: ids %v, want %d; decoded %q", s, e.IDs, id, tok.Decode(e.IDs, false))
		}
	}
}

func TestConcurrent(t *testing.T) {
	for _, m := range modes(t) {
		name, tok := m.name, m.tok
		want := make([]Encoding, len(fragments))
		for i, s := range fragments {
			if err := tok.Encode(&want[i], s+fragments[(i*7)%len(fragments)], Options{}); err != nil {
				t.Fatal(err)
			}
		}
		var wait sync.WaitGroup
		for g := range 8 {
			wait.Go(func() {
				var e Encoding
				for k := range want {
					i := (k + g*11) % len(want)
					if err := tok.Encode(&e, fragments[i]+fragments[(i*7)%len(fragments)], Options{}); err != nil {
						t.Error(err)
					} else if err := sameEncoding(&e, &want[i]); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			})
		}
		wait.Wait()
	}
}
