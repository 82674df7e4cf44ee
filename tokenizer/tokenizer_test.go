package tokenizer

import (
	"slices"
	"strings"
	"testing"
)

func encode(t *testing.T, tok *Tokenizer, text string, o Options) *Encoding {
	t.Helper()
	e := &Encoding{}
	if err := tok.Encode(e, text, o); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return e
}

func TestTokens(t *testing.T) {
	hf, google := smallVocab(t, DefaultConfig()), smallVocab(t, GoogleConfig(true))
	long := strings.Repeat("a", 150)
	for _, c := range []struct {
		text       string
		hf, google string // google: "" means the same as hf
	}{
		{"", "", ""},
		{" \t\r\n\u00a0", "", ""},
		{"The movie, UNWANTED!", "the movie , un ##want ##ed !", ""},
		{"runn\x00i\x01ng", "runn ##ing", ""},
		{"run\u200bning", "runn ##ing", ""},
		{"unwanted☃", "[UNK]", ""},
		{"Élève", "e ##l ##e ##v ##e", ""},
		{"a\u0301\u0327b", "a ##b", ""},
		{"电影很好看", "电 影 很 好 看", ""},
		{"\U0002b820a", "[UNK]", "[UNK] a"},
		{"a\ue000b", "a ##b", "[UNK]"},
		{"ΑΣ Σ", "α ##σ σ", "α ##ς σ"},
		{"[MASK]", "[MASK]", "[ m ##a ##s ##k ]"},
		{long, "[UNK]", "a" + strings.Repeat(" ##a", 149)},
		{long + long, "[UNK]", ""},
		{"\u2028a\u2029b", "a b", ""},
	} {
		if c.google == "" {
			c.google = c.hf
		}
		for _, m := range []struct {
			name string
			tok  *Tokenizer
			want string
		}{{"HF", hf, c.hf}, {"Google", google, c.google}} {
			e := encode(t, m.tok, c.text, Options{OmitSpecialTokens: true})
			got := strings.Join(m.tok.Tokens(e.IDs), " ")
			if got != m.want {
				t.Errorf("%s, %q: got %s, want %s", m.name, c.text, got, m.want)
			}
		}
	}
}

func TestEncoding(t *testing.T) {
	tok := smallVocab(t, DefaultConfig())
	var e Encoding
	if err := tok.EncodePair(&e, "Unwanted [SEP]", "é, a", Options{}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(tok.Tokens(e.IDs), " "); got != "[CLS] un ##want ##ed [SEP] [SEP] e , a [SEP]" {
		t.Errorf("tokens %s", got)
	}
	for _, c := range []struct {
		what string
		ok   bool
	}{
		{"types", slices.Equal(e.TypeIDs, []int32{0, 0, 0, 0, 0, 0, 1, 1, 1, 1})},
		{"mask", slices.Equal(e.SpecialTokensMask, []uint8{1, 0, 0, 0, 0, 1, 0, 0, 0, 1})},
		{"sequences", slices.Equal(e.SequenceIDs, []int8{-1, 0, 0, 0, 0, -1, 1, 1, 1, -1})},
		{"words", slices.Equal(e.WordIDs, []int32{-1, 0, 0, 0, 1, -1, 0, 1, 2, -1})},
		{"offsets", slices.Equal(e.Offsets, []Offset{{}, {0, 2}, {2, 6}, {6, 8}, {9, 14}, {}, {0, 2}, {2, 3}, {4, 5}, {}})},
		{"length", e.Len() == 10},
	} {
		if !c.ok {
			t.Errorf("%s: %+v", c.what, e)
		}
	}
	e.Reset()
	if e.Len() != 0 || e.Truncated != 0 || len(e.Overflowing) != 0 {
		t.Errorf("after Reset: %+v", e)
	}
}

func TestEncodeWords(t *testing.T) {
	tok := smallVocab(t, DefaultConfig())
	var e Encoding
	if err := tok.EncodeWords(&e, []string{"Unwanted", "", "\x00", "it's", "电影", "[MASK]"}, Options{}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(tok.Tokens(e.IDs), " "); got != "[CLS] un ##want ##ed it ' s 电 影 [MASK] [SEP]" {
		t.Errorf("tokens %s", got)
	}
	if want := []int32{-1, 0, 0, 0, 3, 3, 3, 4, 4, 5, -1}; !slices.Equal(e.WordIDs, want) {
		t.Errorf("words %v, want %v", e.WordIDs, want)
	}
	if want := []Offset{{}, {0, 2}, {2, 6}, {6, 8}, {0, 2}, {2, 3}, {3, 4}, {0, 3}, {3, 6}, {0, 6}, {}}; !slices.Equal(e.Offsets, want) {
		t.Errorf("offsets %v, want %v", e.Offsets, want)
	}
	if err := tok.EncodeWords(&e, []string{"the", "movie", "unwanted"}, Options{MaxLength: 5}); err != nil {
		t.Fatal(err)
	}
	if e.Len() != 5 || e.Truncated != 2 || !slices.Equal(e.WordIDs, []int32{-1, 0, 1, 2, -1}) {
		t.Errorf("truncated: %+v", e)
	}
	if err := tok.EncodeWords(&e, nil, Options{}); err != nil || e.Len() != 2 {
		t.Errorf("no words: %v, %+v", err, e)
	}
}

func TestAddedTokens(t *testing.T) {
	c := DefaultConfig()
	c.AddedTokens = []AddedToken{
		{Content: "[MASK]", Special: true, LStrip: true},
		{Content: "[NAME]", RStrip: true},
		{Content: "[NA"},
		{Content: "Foo", SingleWord: true},
		{Content: "NEW York", Normalized: true},
	}
	tok := smallVocab(t, c)
	base := smallVocab(t, DefaultConfig()).VocabSize()
	if tok.VocabSize() != base+4 {
		t.Errorf("%d ids, want %d and 4", tok.VocabSize(), base)
	}
	if id, ok := tok.ID("Foo"); !ok || int(id) != base+2 {
		t.Errorf("Foo has id %d", id)
	}
	for _, c := range []struct {
		text, tokens string
		offsets      []Offset
	}{
		{"the  [MASK] a", "the [MASK] a", []Offset{{0, 3}, {3, 11}, {12, 13}}},
		{"[NAME] \u3000a", "[NAME] a", []Offset{{0, 10}, {10, 11}}},
		{"[NA[NAME]", "[NA [NAME]", []Offset{{0, 3}, {3, 9}}},
		{"Foo a", "Foo a", []Offset{{0, 3}, {4, 5}}},
		{"aFoo", "a ##f ##o ##o", []Offset{{0, 1}, {1, 2}, {2, 3}, {3, 4}}},
		{"Foo_", "f ##o ##o _", []Offset{{0, 1}, {1, 2}, {2, 3}, {3, 4}}},
		{"néw YORK's", "NEW York ' s", []Offset{{0, 9}, {9, 10}, {10, 11}}},
		{"anew york", "a NEW York", []Offset{{0, 1}, {1, 9}}},
	} {
		e := encode(t, tok, c.text, Options{OmitSpecialTokens: true})
		if got := strings.Join(tok.Tokens(e.IDs), " "); got != c.tokens || !slices.Equal(e.Offsets, c.offsets) {
			t.Errorf("%q: got %s %v, want %s %v", c.text, got, e.Offsets, c.tokens, c.offsets)
		}
	}
	if e := encode(t, tok, "New york", Options{OmitSpecialTokens: true}); tok.Decode(e.IDs, true) != "new york" {
		t.Errorf("decoded %q: HF writes the normalized text", tok.Decode(e.IDs, true))
	}
	if id, _ := tok.ID("[NAME]"); tok.IsSpecial(id) || !tok.IsSpecial(tok.MaskID()) || tok.IsSpecial(-1) {
		t.Error("only [MASK] is special")
	}
}

func TestTruncation(t *testing.T) {
	tok, google := smallVocab(t, DefaultConfig()), smallVocab(t, GoogleConfig(true))
	words := func(n int) string { return strings.Repeat("a ", n) }
	for _, c := range []struct {
		a, b, max int
		how       Truncation
		hf        [2]int
		google    [2]int
	}{
		{5, 5, 10, LongestFirst, [2]int{3, 4}, [2]int{4, 3}},
		{5, 5, 11, LongestFirst, [2]int{4, 4}, [2]int{4, 4}},
		{6, 5, 10, LongestFirst, [2]int{4, 3}, [2]int{4, 3}},
		{5, 6, 10, LongestFirst, [2]int{3, 4}, [2]int{4, 3}},
		{9, 2, 10, LongestFirst, [2]int{5, 2}, [2]int{5, 2}},
		{2, 9, 10, LongestFirst, [2]int{2, 5}, [2]int{2, 5}},
		{9, 2, 10, OnlyFirst, [2]int{5, 2}, [2]int{5, 2}},
		{2, 9, 10, OnlySecond, [2]int{2, 5}, [2]int{2, 5}},
		{2, 9, 10, DoNotTruncate, [2]int{2, 9}, [2]int{2, 9}},
		{2, 3, 10, OnlyFirst, [2]int{2, 3}, [2]int{2, 3}},
	} {
		for _, m := range []struct {
			tok  *Tokenizer
			want [2]int
		}{{tok, c.hf}, {google, c.google}} {
			var e Encoding
			if err := m.tok.EncodePair(&e, words(c.a), words(c.b), Options{MaxLength: c.max, Truncation: c.how}); err != nil {
				t.Fatal(err)
			}
			if k := kept(&e); k[0] != m.want[0] || k[1] != m.want[1] || e.Truncated != c.a+c.b-k[0]-k[1] {
				t.Errorf("%d and %d in %d, %v: got %v, %d truncated, want %v", c.a, c.b, c.max, c.how, k, e.Truncated, m.want)
			}
		}
	}
	// Google's rule is the result of its loop.
	for a := range 20 {
		for b := range 20 {
			for room := 1; room < a+b; room++ {
				x, y := a, b
				for x+y > room {
					if x > y {
						x--
					} else {
						y--
					}
				}
				if p, q := longestFirst(a, b, room, true); p != x || q != y {
					t.Fatalf("%d and %d in %d: got %d, %d, want %d, %d", a, b, room, p, q, x, y)
				}
			}
		}
	}
	e := encode(t, tok, "the movie is good", Options{MaxLength: 4, TruncateLeft: true})
	if got := strings.Join(tok.Tokens(e.IDs), " "); got != "[CLS] is good [SEP]" || e.Truncated != 2 {
		t.Errorf("left: %s, %d truncated", got, e.Truncated)
	}
}

func TestOptionErrors(t *testing.T) {
	tok := smallVocab(t, DefaultConfig())
	long := strings.Repeat("a ", 30)
	for _, c := range []struct {
		pair bool
		o    Options
		want string
	}{
		{false, Options{MaxLength: -1}, "MaxLength is -1"},
		{false, Options{Stride: -1}, "Stride is -1"},
		{false, Options{MaxLength: 2}, "leaves no room for text beside 2 special tokens; use at least 3"},
		{true, Options{MaxLength: 3}, "use at least 4"},
		{false, Options{MaxLength: 10, Stride: 8}, "use a stride below 8"},
		{false, Options{MaxLength: 10, Truncation: OnlySecond}, "there is no second text"},
		{false, Options{MaxLength: 10, Truncation: 9}, "Truncation(9)"},
		{true, Options{MaxLength: 10, Overflow: true}, "use only_first or only_second"},
		{true, Options{MaxLength: 20, Truncation: OnlySecond}, "only_second: the first text alone has 30 tokens"},
		{true, Options{MaxLength: 20, Truncation: OnlyFirst}, "only_first: the second text alone has 30 tokens"},
		{true, Options{MaxLength: 40, Truncation: OnlySecond, Stride: 10}, "use a stride below 7"},
	} {
		var e Encoding
		var err error
		if c.pair {
			err = tok.EncodePair(&e, long, long, c.o)
		} else {
			err = tok.Encode(&e, long, c.o)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %s", c.o, err, c.want)
		}
	}
	for _, name := range truncationNames {
		if v, err := ParseTruncation(name); err != nil || v.String() != name {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
	if _, err := ParseTruncation("longest"); err == nil {
		t.Error("longest is not the name of a truncation")
	}
}

func TestDecode(t *testing.T) {
	c := DefaultConfig()
	c.AddedTokens = []AddedToken{{Content: "[MASK]", Special: true}, {Content: "do not go . now"}}
	tok := smallVocab(t, c)
	for _, d := range []struct {
		text, want string
		skip       bool
	}{
		{"Unwanted, it's bad ! (the movie)", "[CLS] unwanted, it ' s bad! ( the movie ) [SEP]", false},
		{"the [MASK] movie", "the [MASK] movie", false},
		{"the [MASK] movie", "the movie", true},
		{"☃ the", "[UNK] the", false},
		{"a do not go . now b", "a don't go. now b", false},
		{"", "", true},
	} {
		e := encode(t, tok, d.text, Options{OmitSpecialTokens: !strings.HasPrefix(d.want, "[CLS]")})
		got := tok.Decode(e.IDs, d.skip)
		if got != d.want {
			t.Errorf("%q: got %q, want %q", d.text, got, d.want)
		}
	}
	if got := tok.Decode([]int32{-1, 1 << 30}, false); got != "" {
		t.Errorf("ids without a token: %q", got)
	}
	var s []string
	for _, token := range []string{"'s", "'ve", "n't", "...", "'x", "night"} {
		var b strings.Builder
		tok.decoder.write(&b, token, false)
		s = append(s, b.String())
	}
	if want := []string{"'s", "'ve", "n't", "...", " 'x", " night"}; !slices.Equal(s, want) {
		t.Errorf("got %q, want %q", s, want)
	}
}

func TestVocabulary(t *testing.T) {
	tok, err := New([]string{"[UNK]", "[CLS]", "a", "[SEP]", "", "a", "b", "##b"}, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if id, _ := tok.ID("a"); id != 5 || !slices.Equal(tok.Duplicates(), []string{"a"}) {
		t.Errorf("a has id %d, duplicates %q", id, tok.Duplicates())
	}
	if s, ok := tok.Token(2); s != "a" || !ok {
		t.Errorf("id 2 is %q", s)
	}
	if _, ok := tok.Token(4); ok {
		t.Error("id 4 has no token")
	}
	if tok.VocabSize() != 8 || tok.MaskID() != -1 || tok.PadID() != -1 || tok.UnknownID() != 0 || tok.ClassifierID() != 1 || tok.SeparatorID() != 3 {
		t.Error("special tokens")
	}
	if !tok.Continues(7) || tok.Continues(6) || tok.Continues(-1) {
		t.Error("only ##b continues a word")
	}
	for _, c := range []struct {
		vocab []string
		c     Config
		want  string
	}{
		{nil, DefaultConfig(), "empty"},
		{[]string{"[CLS]", "[SEP]"}, DefaultConfig(), "lacks the unknown token [UNK]"},
		{[]string{"[UNK]", "[SEP]"}, DefaultConfig(), "lacks the classifier token [CLS]"},
		{[]string{"[UNK]", "[CLS]"}, DefaultConfig(), "lacks the separator token [SEP]"},
		{[]string{"[UNK]", "[CLS]", "[SEP]", "\xff"}, DefaultConfig(), "id 3"},
		{[]string{"[UNK]", "[CLS]", "[SEP]"}, Config{MaxWordChars: -1}, "MaxWordChars is -1"},
		{[]string{"[UNK]", "[CLS]", "[SEP]"}, Config{ModelMaxLength: -1}, "model_max_length"},
		{[]string{"[UNK]", "[CLS]", "[SEP]"}, Config{Google: true, AddedTokens: []AddedToken{{Content: "x"}}}, "Google's tokenizer has no added tokens"},
		{[]string{"[UNK]", "[CLS]", "[SEP]"}, Config{AddedTokens: []AddedToken{{Content: "x"}, {Content: "x"}}}, "empty or duplicate"},
	} {
		if _, err := New(c.vocab, c.c); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.vocab, err, c.want)
		}
	}
}

// TestAllocations checks that reusing an Encoding does not allocate, on the fast and the slow path.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop items")
	}
	for _, m := range modes(t) {
		name, tok := m.name, m.tok
		var e Encoding
		text := strings.Join(fragments, " ") + strings.Join(fragments, "")
		n := testing.AllocsPerRun(50, func() {
			if err := tok.EncodePair(&e, "Unwanted?", text, Options{MaxLength: 64, Truncation: OnlySecond, Stride: 16}); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations a call", name, n)
		}
	}
}

// TestAppendIDs checks that AppendIDs appends the ids of Encode without special tokens.
func TestAppendIDs(t *testing.T) {
	tok, err := New([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b", "é", "."}, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", " ", "a ab. É x [MASK] a"} {
		var e Encoding
		if err := tok.Encode(&e, text, Options{OmitSpecialTokens: true}); err != nil {
			t.Fatal(err)
		}
		got, err := tok.AppendIDs([]int32{7}, text)
		if want := append([]int32{7}, e.IDs...); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
}

// TestDecodeTokens joins the tokens of ids as Decode joins the ids.
func TestDecodeTokens(t *testing.T) {
	tok, err := New([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##want", "##ed", ",", "it", "'", "s", "n't"}, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, ids := range [][]int32{{5, 6, 7, 8, 9}, {6, 7}, {9, 12}, {2, 9, 10, 11, 3}, {}} {
		if got, want := tok.DecodeTokens(tok.Tokens(ids)), tok.Decode(ids, false); got != want {
			t.Errorf("%v: %q, want %q", ids, got, want)
		}
	}
	if got := tok.DecodeTokens([]string{"zo", "##o", "it"}); got != "zoo it" {
		t.Errorf("%q, want zoo it", got)
	}
}
