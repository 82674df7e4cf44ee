// Command _gen writes the Unicode tables of package tokenizer, internal/unidata/tables.go:
//
//	cd tokenizer/_gen && go run .
//
// Token ids must not change when Go is upgraded. Therefore the tables are committed, and this program refuses to run with any
// Unicode version other than the one it was written for. Its sources are Go's package unicode and golang.org/x/text, both of
// Unicode 15.0. The older tables of HF's Rust library can be derived from them, because Unicode never changes a decomposition,
// a combining class or a case pair once it is assigned: code points that were assigned later are excluded by age, and the few
// characters whose category did change are listed below.
package main

import (
	"bytes"
	"fmt"
	"go/format"
	"log"
	"os"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/unicode/rangetable"
)

const (
	unicodeVersion = "15.0.0"
	output         = "../internal/unidata/tables.go"

	maxRune   = unicode.MaxRune + 1
	blockBits = 7
	blockSize = 1 << blockBits
)

// The property bits; internal/unidata names them.
const (
	drop = 1 << iota
	space
	punct
	cjk
	mark
	decomposes
	lowers
	combines
)

// A source says which Unicode version each part of a tokenizer follows.
type source struct {
	category *unicode.RangeTable // the code points with a category other than "unassigned"
	normal   *unicode.RangeTable // the code points that NFD covers
	lower    map[rune]rune       // lower-casing that Unicode 15.0 lacks
	recast   map[rune]string     // the original categories of code points that a later version changed
	dropped  []string            // the categories that cleaning removes
	cjk      [][2]rune
}

// The ideographs of both tokenizers: CJK Unified Ideographs, Extensions A, B, C and D, Compatibility Ideographs and Supplement.
var ideographs = [][2]rune{{0x4E00, 0x9FFF}, {0x3400, 0x4DBF}, {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F},
	{0xF900, 0xFAFF}, {0x2F800, 0x2FA1F}}

// google-research/bert tokenization.py under a Python with Unicode 15.0 (3.12).
var google = source{
	category: rangetable.Assigned("15.0.0"),
	normal:   rangetable.Assigned("15.0.0"),
	dropped:  []string{"Cc", "Cf"},
	cjk:      append(ideographs[:len(ideographs):len(ideographs)], [2]rune{0x2B820, 0x2CEAF}),
}

// HF's tokenizers: categories from the crate unicode_categories (8.0), NFD from unicode_normalization_alignments (9.0),
// lower-casing from Rust's standard library (17.0). Its range of Extension E begins at 2B920, a mistake for 2B820.
var hf = source{
	category: rangetable.Assigned("8.0.0"),
	normal:   rangetable.Assigned("9.0.0"),
	lower:    laterCasePairs(),
	recast: map[rune]string{
		0x166D:  "Po", // CANADIAN SYLLABICS CHI SIGN: So since 12.0
		0x1734:  "Mn", // HANUNOO SIGN PAMUDPOD: Mc since 14.0
		0x1885:  "Lo", // MONGOLIAN LETTER ALI GALI BALUDA: Mn since 9.0
		0x1886:  "Lo", // MONGOLIAN LETTER ALI GALI THREE BALUDA: Mn since 9.0
		0xA9BD:  "Mc", // JAVANESE CONSONANT SIGN KERET: Mn since 11.0
		0x111C9: "Po", // SHARADA SANDHI MARK: Mn since 11.0
	},
	dropped: []string{"Cc", "Cf", "Co"},
	cjk:     append(ideographs[:len(ideographs):len(ideographs)], [2]rune{0x2B920, 0x2CEAF}),
}

// laterCasePairs returns the case pairs that Unicode 16.0 and 17.0 added.
func laterCasePairs() map[rune]rune {
	pairs := map[rune]rune{
		0x1C89: 0x1C8A,                                                                                               // Cyrillic
		0xA7CB: 0x264, 0xA7CC: 0xA7CD, 0xA7CE: 0xA7CF, 0xA7D2: 0xA7D3, 0xA7D4: 0xA7D5, 0xA7DA: 0xA7DB, 0xA7DC: 0x19B, // Latin
	}
	for i := range rune(22) { // Garay
		pairs[0x10D50+i] = 0x10D70 + i
	}
	for i := range rune(25) { // Beria Erfe
		pairs[0x16EA0+i] = 0x16EBB + i
	}
	return pairs
}

// laterWords are the word characters that Unicode 15.1 and 16.0 added.
var laterWords = &unicode.RangeTable{
	R16: []unicode.Range16{{0x897, 0x897, 1}, {0x1C89, 0x1C8A, 1}, {0xA7CB, 0xA7CD, 1}, {0xA7DA, 0xA7DC, 1}},
	R32: []unicode.Range32{
		{0x105C0, 0x105F3, 1}, {0x10D40, 0x10D65, 1}, {0x10D69, 0x10D6D, 1}, {0x10D6F, 0x10D85, 1},
		{0x10EC2, 0x10EC4, 1}, {0x10EFC, 0x10EFC, 1}, {0x11380, 0x11389, 1}, {0x1138B, 0x1138B, 1},
		{0x1138E, 0x1138E, 1}, {0x11390, 0x113B5, 1}, {0x113B7, 0x113C0, 1}, {0x113C2, 0x113C2, 1},
		{0x113C5, 0x113C5, 1}, {0x113C7, 0x113CA, 1}, {0x113CC, 0x113D3, 1}, {0x113E1, 0x113E2, 1},
		{0x116D0, 0x116E3, 1}, {0x11BC0, 0x11BE0, 1}, {0x11BF0, 0x11BF9, 1}, {0x11F5A, 0x11F5A, 1},
		{0x13460, 0x143FA, 1}, {0x16100, 0x16139, 1}, {0x16D40, 0x16D6C, 1}, {0x16D70, 0x16D79, 1},
		{0x18CFF, 0x18CFF, 1}, {0x1CCF0, 0x1CCF9, 1}, {0x1E5D0, 0x1E5FA, 1}, {0x2EBF0, 0x2EE5D, 1},
	},
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("_gen: ")
	source, err := generate()
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(output, source, 0o644); err != nil {
		log.Fatal(err)
	}
}

// generate returns the text of tables.go.
func generate() ([]byte, error) {
	if unicode.Version != unicodeVersion || norm.Version != unicodeVersion {
		return nil, fmt.Errorf("this Go has Unicode %s and golang.org/x/text %s, want %s: set GOTOOLCHAIN=go1.26.0",
			unicode.Version, norm.Version, unicodeVersion)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Code generated by tokenizer/_gen. DO NOT EDIT.\n\npackage unidata\n\nconst blockBits = %d\n\n", blockBits)

	var classes blocks[uint8]
	rust := classes.add(func(r rune) uint8 { return hf.properties(r) })
	python := classes.add(func(r rune) uint8 { return google.properties(r) })
	writeBytes(&b, "hfIndex", "the block in propertyBlocks of each run of code points, for HF", rust)
	writeBytes(&b, "googleIndex", "the same for Google", python)
	writeBytes(&b, "propertyBlocks", "the properties of each code point", classes.data)

	var ccc blocks[uint8]
	index := ccc.add(combiningClass)
	writeBytes(&b, "cccIndex", "the block in cccBlocks of each run of code points", index)
	writeBytes(&b, "cccBlocks", "canonical combining classes", ccc.data)

	var lower blocks[uint16]
	lowered := []rune{0}
	index = lower.add(func(r rune) uint16 {
		to := hf.lowerCase(r)
		if to == r {
			return 0
		}
		lowered = append(lowered, to)
		return uint16(len(lowered) - 1)
	})
	writeBytes(&b, "lowerIndex", "the block in lowerBlocks of each run of code points", index)
	writeNumbers(&b, "lowerBlocks", "uint16", "the index in lowered of the lower case of each code point; 0: none", lower.data)
	writeNumbers(&b, "lowered", "rune", "lower-case letters", lowered)

	var nfd blocks[uint16]
	parts := []rune{0}
	index = nfd.add(func(r rune) uint16 {
		d := decomposition(r)
		if d == nil {
			return 0
		}
		at := len(parts)<<2 | (len(d) - 1)
		parts = append(parts, d...)
		return uint16(at)
	})
	if len(parts)<<2 > 0xFFFF {
		return nil, fmt.Errorf("%d code points of decompositions do not fit 14 bits", len(parts))
	}
	writeBytes(&b, "nfdIndex", "the block in nfdBlocks of each run of code points", index)
	writeNumbers(&b, "nfdBlocks", "uint16", "the index in parts of the decomposition of each code point, times 4, plus its length minus 1; 0: none", nfd.data)
	writeNumbers(&b, "parts", "rune", "canonical decompositions", parts)

	writeRanges(&b, "wordRanges", `the characters that \w matches in Rust's regex (Unicode 16.0): Alphabetic, M, Nd, Pc, Join_Control`, laterWords,
		unicode.L, unicode.Nl, unicode.Other_Alphabetic, unicode.M, unicode.Nd, unicode.Pc, unicode.Join_Control)
	writeRanges(&b, "casedRanges", "the derived property Cased",
		unicode.Lu, unicode.Ll, unicode.Lt, unicode.Other_Lowercase, unicode.Other_Uppercase)
	writeRanges(&b, "caseIgnorableRanges", "the derived property Case_Ignorable: Mn, Me, Cf, Lm, Sk and the Word_Break values MidLetter, MidNumLet, Single_Quote",
		unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk,
		rangetable.New('\'', '.', ':', 0xB7, 0x387, 0x55F, 0x5F4, 0x2018, 0x2019, 0x2024, 0x2027, 0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A))
	if err := writePipeline(&b); err != nil {
		return nil, err
	}
	return format.Source(b.Bytes())
}

// properties returns the bits of one code point.
func (s *source) properties(r rune) uint8 {
	var p uint8
	is := func(categories ...string) bool {
		for _, c := range categories {
			if s.hasCategory(r, c) {
				return true
			}
		}
		return false
	}
	switch {
	case r == '\t' || r == '\n' || r == '\r':
	case r == 0 || r == utf8.RuneError || is(s.dropped...):
		p |= drop
	}
	// White_Space; Python's str.split also splits at the four information separators, unless cleaning has dropped them.
	if unicode.Is(unicode.White_Space, r) || s.python() && 0x1C <= r && r <= 0x1F {
		p |= space
	}
	if r < 0x80 && (33 <= r && r <= 47 || 58 <= r && r <= 64 || 91 <= r && r <= 96 || 123 <= r && r <= 126) || is("P") {
		p |= punct
	}
	for _, c := range s.cjk {
		if c[0] <= r && r <= c[1] {
			p |= cjk
		}
	}
	if is("Mn") {
		p |= mark
	}
	if unicode.Is(s.normal, r) {
		if decomposition(r) != nil || 0xAC00 <= r && r <= 0xD7A3 {
			p |= decomposes
		}
		if combiningClass(r) != 0 {
			p |= combines
		}
	}
	if s.lowerCase(r) != r {
		p |= lowers
	}
	return p
}

func (s *source) python() bool { return s == &google }

func (s *source) hasCategory(r rune, category string) bool {
	if !unicode.Is(s.category, r) {
		return false
	}
	if was, ok := s.recast[r]; ok {
		return was == category || was[:1] == category
	}
	return unicode.Is(unicode.Categories[category], r)
}

func (s *source) lowerCase(r rune) rune {
	if to, ok := s.lower[r]; ok {
		return to
	}
	return unicode.ToLower(r)
}

// decomposition returns the full canonical decomposition of r, or nil if it has none or is a Hangul syllable, which decomposes by
// arithmetic.
func decomposition(r rune) []rune {
	if 0xAC00 <= r && r <= 0xD7A3 || 0xD800 <= r && r <= 0xDFFF {
		return nil
	}
	d := norm.NFD.PropertiesString(string(r)).Decomposition()
	if d == nil {
		return nil
	}
	return bytes.Runes(d)
}

func combiningClass(r rune) uint8 {
	if 0xD800 <= r && r <= 0xDFFF {
		return 0
	}
	return norm.NFD.PropertiesString(string(r)).CCC()
}

// blocks is the second stage of two-stage tables that share their blocks.
type blocks[T uint8 | uint16] struct {
	data []T
	seen map[string]int
}

// add adds a table of f and returns its first stage.
func (b *blocks[T]) add(f func(rune) T) []uint8 {
	if b.seen == nil {
		b.seen = map[string]int{}
	}
	index := make([]uint8, 0, maxRune/blockSize)
	block := make([]T, blockSize)
	for first := rune(0); first < maxRune; first += blockSize {
		for i := range block {
			block[i] = f(first + rune(i))
		}
		key := fmt.Sprint(block)
		at, ok := b.seen[key]
		if !ok {
			at = len(b.data) / blockSize
			b.seen[key] = at
			b.data = append(b.data, block...)
		}
		if at > 0xFF {
			log.Fatalf("more than 256 blocks: enlarge blockBits")
		}
		index = append(index, uint8(at))
	}
	return index
}

func writeBytes(b *bytes.Buffer, name, comment string, data []uint8) {
	fmt.Fprintf(b, "// %s: %s.\nconst %s = \"\" +\n", name, comment, name)
	const line = 64
	for i := 0; i < len(data); i += line {
		b.WriteString("\t\"")
		for _, c := range data[i:min(i+line, len(data))] {
			fmt.Fprintf(b, `\x%02x`, c)
		}
		b.WriteString("\"")
		if i+line < len(data) {
			b.WriteString(" +")
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

func writeNumbers[T uint16 | rune](b *bytes.Buffer, name, kind, comment string, data []T) {
	fmt.Fprintf(b, "// %s: %s.\nvar %s = [%d]%s{", name, comment, name, len(data), kind)
	for i, v := range data {
		if i%16 == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(b, "%#x,", v)
	}
	b.WriteString("\n}\n\n")
}

func writeRanges(b *bytes.Buffer, name, comment string, tables ...*unicode.RangeTable) {
	all := rangetable.Merge(tables...)
	fmt.Fprintf(b, "// %s: %s.\nvar %s = [...][2]rune{", name, comment, name)
	n, first, last := 0, rune(-1), rune(-1)
	flush := func() {
		if first < 0 {
			return
		}
		if n%8 == 0 {
			b.WriteString("\n")
		}
		n++
		fmt.Fprintf(b, "{%#x, %#x},", first, last)
	}
	rangetable.Visit(all, func(r rune) {
		if r != last+1 || first < 0 {
			flush()
			first = r
		}
		last = r
	})
	flush()
	b.WriteString("\n}\n\n")
}
