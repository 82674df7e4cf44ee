package unidata

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/golden"
)

// TestGoldenCodePoints compares every code point with the output of HF's Rust library.
func TestGoldenCodePoints(t *testing.T) {
	data, err := os.ReadFile(golden.Path(t, "tokenization", "rust-codepoints.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]struct{ Ranges, Map string }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	strip, lower := parseMap(t, file["strip_map"].Map), parseMap(t, file["lower_map"].Map)
	sets := map[string]map[rune]bool{}
	for name, set := range file {
		sets[name] = parseRanges(t, set.Ranges)
	}
	if len(strip) == 0 || len(lower) == 0 || len(sets["cjk_spaced"]) == 0 {
		t.Fatal("the file lacks its tables")
	}
	wrong := 0
	differ := func(r rune, what string, got, want any) {
		if wrong++; wrong <= 60 {
			t.Errorf("U+%04X %s: got %v, want %v", r, what, got, want)
		}
	}
	for r := rune(0); r <= 0x10FFFF; r++ {
		if 0xD800 <= r && r <= 0xDFFF {
			continue
		}
		p := HF.Properties(r)
		for _, c := range []struct {
			name string
			got  bool
		}{
			{"clean_removes", p&Drop != 0},
			{"clean_to_space", p&Space != 0 && p&Drop == 0 && r != ' '},
			{"cjk_spaced", p&CJK != 0},
			{"pre_white_space", p&Space != 0},
			{"pre_punctuation", p&Punct != 0},
		} {
			if want := sets[c.name][r]; c.got != want {
				differ(r, c.name, c.got, want)
			}
		}
		if 0xAC00 <= r && r <= 0xD7A3 {
			continue // not in the file; see TestHangul
		}
		d, n := [4]rune{r}, 1
		if p&Decomposes != 0 {
			d, n = Decompose(r)
		}
		got := ""
		for _, r := range d[:n] {
			if HF.Properties(r)&Mark == 0 {
				got += string(r)
			}
		}
		want := string(r)
		if s, ok := strip[r]; ok {
			want = s
		} else if sets["strip_removes"][r] {
			want = ""
		}
		if got != want {
			differ(r, "stripped", []rune(got), []rune(want))
		}
		got, want = string(r), string(r)
		if p&Lowers != 0 {
			l, dot := Lower(r)
			if got = string(l); dot {
				got += "\u0307"
			}
		}
		if s, ok := lower[r]; ok {
			want = s
		}
		if got != want {
			differ(r, "lower case", []rune(got), []rune(want))
		}
	}
	if wrong > 0 {
		t.Errorf("%d differences", wrong)
	}
}

func parseRanges(t *testing.T, s string) map[rune]bool {
	set := map[rune]bool{}
	for _, field := range strings.Fields(s) {
		first, last, ok := strings.Cut(field, "-")
		if !ok {
			last = first
		}
		for r := hex(t, first); r <= hex(t, last); r++ {
			set[r] = true
		}
	}
	return set
}

func parseMap(t *testing.T, s string) map[rune]string {
	m := map[rune]string{}
	for _, pair := range strings.Split(s, ", ") {
		from, to, ok := strings.Cut(pair, ":")
		if !ok {
			continue
		}
		text := ""
		for _, r := range strings.Fields(to) {
			text += string(hex(t, r))
		}
		m[hex(t, from)] = text
	}
	return m
}

func hex(t *testing.T, s string) rune {
	v, err := strconv.ParseUint(s, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	return rune(v)
}

func TestHangul(t *testing.T) {
	for _, c := range []struct {
		r    rune
		want string
	}{{'가', "\u1100\u1161"}, {'각', "\u1100\u1161\u11a8"}, {'힣', "\u1112\u1175\u11c2"}} {
		d, n := Decompose(c.r)
		if got := string(d[:n]); got != c.want || HF.Properties(c.r)&Decomposes == 0 || Google.Properties(c.r)&Decomposes == 0 {
			t.Errorf("%c: got %q, want %q", c.r, got, c.want)
		}
	}
}

// TestGoogle pins the differences between Google's tables and HF's.
func TestGoogle(t *testing.T) {
	for _, c := range []struct {
		r          rune
		bit        Properties
		hf, google bool
		why        string
	}{
		{0xE000, Drop, true, false, "private use is control to HF alone"},
		{0x2B820, CJK, false, true, "Extension E begins at 2B820"},
		{0x2B920, CJK, true, true, "Extension E begins at 2B820"},
		{0x166D, Punct, true, false, "a symbol since Unicode 12"},
		{0x1734, Mark, true, false, "a spacing mark since Unicode 14"},
		{0x1DF6, Mark, false, true, "assigned in Unicode 10"},
		{0x2E52, Punct, false, true, "assigned in Unicode 14"},
		{0x11938, Decomposes, false, true, "assigned in Unicode 13"},
		{0x1C89, Lowers, true, false, "assigned in Unicode 16"},
		{0x1F, Space, false, true, "str.split takes the separators"},
		{0x85, Drop, true, true, "a control character"},
		{0x2028, Space, true, true, "line separator"},
	} {
		if hf, google := HF.Properties(c.r)&c.bit != 0, Google.Properties(c.r)&c.bit != 0; hf != c.hf || google != c.google {
			t.Errorf("U+%04X: HF %v, Google %v, want %v, %v: %s", c.r, hf, google, c.hf, c.google, c.why)
		}
	}
}

func TestCase(t *testing.T) {
	for _, c := range []struct {
		r              rune
		cased, ignored bool
	}{{'a', true, false}, {'Σ', true, false}, {'\'', false, true}, {'.', false, true}, {0x301, false, true}, {'1', false, false}, {'中', false, false}, {0x345, true, true}} {
		if IsCased(c.r) != c.cased || IsCaseIgnorable(c.r) != c.ignored {
			t.Errorf("U+%04X: cased %v, ignorable %v", c.r, IsCased(c.r), IsCaseIgnorable(c.r))
		}
	}
	for r, want := range map[rune]bool{'a': true, '_': true, '9': true, 'é': true, 0x301: true, 0x200D: true, '-': false, ' ': false, '中': true, 0x897: true, 0x13460: true, 0x378: false} {
		if IsWord(r) != want {
			t.Errorf("IsWord(U+%04X) = %v", r, !want)
		}
	}
}
