package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/unicode/rangetable"
)

// The tables of the general pipeline, ../pipeline.go. Its Unicode versions are those of HF's parts: normal forms of 9.0 from the
// crate unicode_normalization_alignments, char::is_numeric of 17.0 from Rust's standard library, and the classes of regular
// expressions of 16.0 from Oniguruma 6.9.10.

// laterNumbers are the characters of category N that Unicode 17.0 added.
var laterNumbers = ranges16and32(0x11DE0, 0x11DE9, 0x16FF4, 0x16FF6)

// laterCategories are the categories of the characters that Unicode 15.1 and 16.0 added, and of U+1171E, which changed.
var laterCategories = map[string]*unicode.RangeTable{
	"Lu": ranges16and32(0x1C89, 0x1C89, 0xA7CB, 0xA7CC, 0xA7DA, 0xA7DA, 0xA7DC, 0xA7DC, 0x10D50, 0x10D65),
	"Ll": ranges16and32(0x1C8A, 0x1C8A, 0xA7CD, 0xA7CD, 0xA7DB, 0xA7DB, 0x10D70, 0x10D85),
	"Lm": ranges16and32(0x10D4E, 0x10D4E, 0x10D6F, 0x10D6F, 0x16D40, 0x16D42, 0x16D6B, 0x16D6C),
	"Lo": ranges16and32(0x105C0, 0x105F3, 0x10D4A, 0x10D4D, 0x10D4F, 0x10D4F, 0x10EC2, 0x10EC4, 0x11380, 0x11389, 0x1138B, 0x1138B,
		0x1138E, 0x1138E, 0x11390, 0x113B5, 0x113B7, 0x113B7, 0x113D1, 0x113D1, 0x113D3, 0x113D3, 0x11BC0, 0x11BE0, 0x13460, 0x143FA,
		0x16100, 0x1611D, 0x16D43, 0x16D6A, 0x18CFF, 0x18CFF, 0x1E5D0, 0x1E5ED, 0x1E5F0, 0x1E5F0, 0x2EBF0, 0x2EE5D),
	"Mc": ranges16and32(0x113B8, 0x113BA, 0x113C2, 0x113C2, 0x113C5, 0x113C5, 0x113C7, 0x113CA, 0x113CC, 0x113CD, 0x113CF, 0x113CF,
		0x1171E, 0x1171E, 0x1612A, 0x1612C),
	"Mn": ranges16and32(0x897, 0x897, 0x10D69, 0x10D6D, 0x10EFC, 0x10EFC, 0x113BB, 0x113C0, 0x113CE, 0x113CE, 0x113D0, 0x113D0,
		0x113D2, 0x113D2, 0x113E1, 0x113E2, 0x11F5A, 0x11F5A, 0x1611E, 0x16129, 0x1612D, 0x1612F, 0x1E5EE, 0x1E5EF),
	"Nd": ranges16and32(0x10D40, 0x10D49, 0x116D0, 0x116E3, 0x11BF0, 0x11BF9, 0x16130, 0x16139, 0x16D70, 0x16D79, 0x1CCF0, 0x1CCF9,
		0x1E5F1, 0x1E5FA),
	"Pd": ranges16and32(0x10D6E, 0x10D6E),
	"Po": ranges16and32(0x1B4E, 0x1B4F, 0x1B7F, 0x1B7F, 0x113D4, 0x113D5, 0x113D7, 0x113D8, 0x11BE1, 0x11BE1, 0x16D6D, 0x16D6F,
		0x1E5FF, 0x1E5FF),
	"Sm": ranges16and32(0x10D8E, 0x10D8F),
	"So": ranges16and32(0x2427, 0x2429, 0x2FFC, 0x2FFF, 0x31E4, 0x31E5, 0x31EF, 0x31EF, 0x1CC00, 0x1CCEF, 0x1CD00, 0x1CEB3,
		0x1F8B2, 0x1F8BB, 0x1F8C0, 0x1F8C1, 0x1FA89, 0x1FA89, 0x1FA8F, 0x1FA8F, 0x1FABE, 0x1FABE, 0x1FAC6, 0x1FAC6, 0x1FADC, 0x1FADC,
		0x1FADF, 0x1FADF, 0x1FAE9, 0x1FAE9, 0x1FBCB, 0x1FBEF),
}

// ranges16and32 makes a table of pairs of bounds.
func ranges16and32(bounds ...rune) *unicode.RangeTable {
	var all []rune
	for i := 0; i < len(bounds); i += 2 {
		for r := bounds[i]; r <= bounds[i+1]; r++ {
			all = append(all, r)
		}
	}
	return rangetable.New(all...)
}

// category returns the two letters of the category of r in Unicode 16.0, or "" if it is unassigned or a surrogate.
func category(r rune) string {
	for name, t := range laterCategories {
		if unicode.Is(t, r) {
			return name
		}
	}
	for name, t := range unicode.Categories {
		if len(name) == 2 && name != "LC" && name != "Cn" && name != "Cs" && unicode.Is(t, r) {
			return name
		}
	}
	return ""
}

func writePipeline(b *bytes.Buffer) error {
	// Combining marks: U+1CF2 and U+1CF3 were marks until 12.0, and U+111C9 is one since 11.0.
	marks := map[rune]bool{0x1CF2: true, 0x1CF3: true}
	rangetable.Visit(unicode.M, func(r rune) {
		if unicode.Is(hf.normal, r) && r != 0x111C9 {
			marks[r] = true
		}
	})
	writeRanges(b, "markRanges", "the characters of category M in Unicode 9.0", rangetable.New(slices.Collect(maps.Keys(marks))...))
	writeRanges(b, "numericRanges", "the characters of category N in Unicode 17.0", unicode.N, laterCategories["Nd"], laterNumbers)

	// All categories in one list, in the order of the code points.
	fmt.Fprintf(b, "// categoryRanges: the categories of Unicode 16.0; what is missing is unassigned.\nvar categoryRanges = [...]struct{first, last rune; category string}{")
	n, first, was := 0, rune(0), category(0)
	for r := rune(1); r <= maxRune; r++ {
		is := ""
		if r < maxRune {
			is = category(r)
		}
		if is == was {
			continue
		}
		if was != "" {
			if n%6 == 0 {
				b.WriteString("\n")
			}
			n++
			fmt.Fprintf(b, "{%#x, %#x, %q},", first, r-1, was)
		}
		first, was = r, is
	}
	b.WriteString("\n}\n\n")
	writeRanges(b, "hanRanges", "the script Han in Unicode 16.0", unicode.Han, ranges16and32(0x2EBF0, 0x2EE5D))
	writeRanges(b, "hiraganaRanges", "the script Hiragana in Unicode 16.0", unicode.Hiragana)
	writeRanges(b, "katakanaRanges", "the script Katakana in Unicode 16.0", unicode.Katakana)
	writeRanges(b, "hangulRanges", "the script Hangul in Unicode 16.0", unicode.Hangul)

	var nfkd blocks[uint16]
	parts := []rune{0}
	seen := map[string]uint16{}
	index := nfkd.add(func(r rune) uint16 {
		if !unicode.Is(hf.normal, r) || 0xAC00 <= r && r <= 0xD7A3 {
			return 0
		}
		d := norm.NFKD.String(string(r))
		if d == norm.NFD.String(string(r)) {
			return 0
		}
		if _, ok := seen[d]; !ok {
			seen[d] = uint16(len(parts))
			list := []rune(d)
			parts = append(append(parts, rune(len(list))), list...)
		}
		return seen[d]
	})
	if len(parts) > 0xFFFF {
		return fmt.Errorf("%d code points of compatibility decompositions do not fit 16 bits", len(parts))
	}
	writeBytes(b, "nfkdIndex", "the block in nfkdBlocks of each run of code points", index)
	writeNumbers(b, "nfkdBlocks", "uint16", "the index in compatible of the decomposition of each code point; 0: none beside the canonical one", nfkd.data)
	writeNumbers(b, "compatible", "rune", "compatibility decompositions, each after its length", parts)

	// The primary composites: code points that composing their decomposition gives back.
	var pairs [][3]rune
	for r := rune(0); r < maxRune; r++ {
		d := decomposition(r)
		if len(d) < 2 || !unicode.Is(hf.normal, r) || norm.NFC.String(string(d)) != string(r) {
			continue
		}
		head := []rune(norm.NFC.String(string(d[:len(d)-1])))
		if len(head) != 1 {
			return fmt.Errorf("U+%04X is composed of %d code points", r, 1+len(head))
		}
		pairs = append(pairs, [3]rune{head[0], d[len(d)-1], r})
	}
	slices.SortFunc(pairs, func(x, y [3]rune) int { return slices.Compare(x[:], y[:]) })
	fmt.Fprintf(b, "// composites: pairs of code points and what they compose to, in order.\nvar composites = [...][3]rune{")
	for i, p := range pairs {
		if i%6 == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(b, "{%#x, %#x, %#x},", p[0], p[1], p[2])
	}
	b.WriteString("\n}\n\n")
	return nil
}
