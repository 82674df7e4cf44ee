package tokenizer

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The tokens of a text's chunks are those of the text.
func TestChunks(t *testing.T) {
	list := modes(t)
	for _, added := range [][]AddedToken{
		{{Content: "[MASK]", LStrip: true}, {Content: "! ", RStrip: true}},
		{{Content: "new york", Normalized: true}, {Content: ".é", Normalized: true}, {Content: "[SEP]", SingleWord: true}},
		{{Content: "a b"}, {Content: ",,"}, {Content: "影电"}, {Content: "- É", Normalized: true}},
	} {
		c := DefaultConfig()
		c.AddedTokens = added
		list = append(list, mode{added[0].Content, smallVocab(t, c)})
	}
	more := []string{"! ", "!", " [MASK] ", "new york", "NEW", " ", "York", ".É", ".e\u0301", "[SEP]", "a b", ",,", ",", "影电", "影影", "- É", "a"}
	for _, m := range list {
		rapid.Check(t, func(r *rapid.T) {
			parts := rapid.SliceOfN(rapid.SampledFrom(slices.Concat(fragments, more, more)), 0, 40).Draw(r, "parts")
			text := strings.Join(parts, "")
			var whole, piece, all Encoding
			o := Options{OmitSpecialTokens: true}
			if err := m.tok.Encode(&whole, text, o); err != nil {
				r.Fatal(err)
			}
			at, word := int32(0), int32(0)
			for chunk := range m.tok.Chunks(text, rapid.IntRange(1, 20).Draw(r, "size")) {
				if err := m.tok.Encode(&piece, chunk, o); err != nil {
					r.Fatal(err)
				}
				next := word
				for i, id := range piece.IDs {
					all.IDs = append(all.IDs, id)
					all.Offsets = append(all.Offsets, Offset{piece.Offsets[i].Start + at, piece.Offsets[i].End + at})
					all.WordIDs = append(all.WordIDs, piece.WordIDs[i]+word)
					next = max(next, piece.WordIDs[i]+word+1)
				}
				at, word = at+int32(len(chunk)), next
			}
			if int(at) != len(text) || !slices.Equal(all.IDs, whole.IDs) || !slices.Equal(all.Offsets, whole.Offsets) || !slices.Equal(all.WordIDs, whole.WordIDs) {
				r.Fatalf("%s: %q\nchunks %v %v %v\n whole %v %v %v", m.name, text, all.IDs, all.Offsets, all.WordIDs, whole.IDs, whole.Offsets, whole.WordIDs)
			}
		})
	}
}

// Usual texts are cut into pieces of the size that was asked for.
func TestChunkSizes(t *testing.T) {
	tok := smallVocab(t, DefaultConfig())
	for name, text := range map[string]string{
		"words": strings.Repeat("the cat ", 1000), "marks": strings.Repeat("!", 8000), "lines": strings.Repeat("unwanted, running.\n", 400),
		"ideographs": strings.Repeat("电影", 1300),
	} {
		n := 0
		for chunk := range tok.Chunks(text, 100) {
			n++
			if len(chunk) > 120 {
				t.Errorf("%s: a chunk of %d bytes", name, len(chunk))
			}
		}
		if n < len(text)/120 {
			t.Errorf("%s: %d chunks of %d bytes", name, n, len(text))
		}
	}
}

// Windows that come one by one are those of Encode.
func TestWindowsOneByOne(t *testing.T) {
	tok := smallVocab(t, DefaultConfig())
	long := strings.Repeat("the unwanted, running é. 电影! ", 700)
	words := strings.Fields(long)
	for _, text := range []string{"", "the", long, strings.Repeat(" ", 9000), strings.Repeat(" ", 9000) + long} {
		for _, o := range []Options{
			{MaxLength: 20}, {MaxLength: 20, Stride: 7}, {MaxLength: 20, Stride: 17, Truncation: OnlyFirst}, {MaxLength: 30, Truncation: OnlySecond}, {},
			{MaxLength: 20, Stride: 3, Truncation: OnlyFirst, TruncateLeft: true}, {MaxLength: 20, Truncation: DoNotTruncate}, {MaxLength: 8000, Stride: 3, OmitSpecialTokens: true}, {MaxLength: 3, Stride: 1},
		} {
			o.Overflow = true
			for name, c := range map[string]struct {
				encode  func(e *Encoding) error
				windows func(visit func(*Encoding) error) error
			}{
				"text":   {func(e *Encoding) error { return tok.Encode(e, text, o) }, func(v func(*Encoding) error) error { return tok.Windows(text, o, v) }},
				"first":  {func(e *Encoding) error { return tok.EncodePair(e, text, "x.", o) }, func(v func(*Encoding) error) error { return tok.PairWindows(text, "x.", o, v) }},
				"second": {func(e *Encoding) error { return tok.EncodePair(e, "x.", text, o) }, func(v func(*Encoding) error) error { return tok.PairWindows("x.", text, o, v) }},
				"words":  {func(e *Encoding) error { return tok.EncodeWords(e, words, o) }, func(v func(*Encoding) error) error { return tok.WordWindows(words, o, v) }},
			} {
				var e Encoding
				wantErr := c.encode(&e)
				want := append([]Encoding{e}, e.Overflowing...)
				n := 0
				err := c.windows(func(got *Encoding) error {
					if wantErr != nil || n >= len(want) {
						t.Fatalf("%s of %d bytes, %+v: more than %d windows, or none (%v)", name, len(text), o, len(want), wantErr)
					}
					w := &want[n]
					if !slices.Equal(got.IDs, w.IDs) || !slices.Equal(got.TypeIDs, w.TypeIDs) || !slices.Equal(got.Offsets, w.Offsets) || !slices.Equal(got.WordIDs, w.WordIDs) ||
						!slices.Equal(got.SequenceIDs, w.SequenceIDs) || !slices.Equal(got.SpecialTokensMask, w.SpecialTokensMask) || got.Truncated != 0 {
						t.Fatalf("%s of %d bytes, %+v: window %d is\n%+v, want\n%+v", name, len(text), o, n, got, w)
					}
					n++
					return nil
				})
				if (err == nil) != (wantErr == nil) || err == nil && n != len(want) {
					t.Errorf("%s of %d bytes, %+v: %d windows, %v; want %d, %v", name, len(text), o, n, err, len(want), wantErr)
				}
			}
		}
	}
}
