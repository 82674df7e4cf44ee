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
