// Package unidata holds the Unicode tables of package tokenizer. They are pinned: they do not depend on the Go release, and they
// match the tables of the original tokenizers, including their old Unicode versions and mistakes.
package unidata

// Properties are the properties of a code point that tokenization needs, as bits.
type Properties uint8

const (
	// Drop: cleaning removes it: NUL, U+FFFD and control characters other than tab, newline and carriage return.
	Drop Properties = 1 << iota
	// Space: white space, which separates words. A code point with both Drop and Space is dropped if the text is cleaned.
	Space
	// Punct: punctuation, a word of its own.
	Punct
	// CJK: an ideograph, a word of its own if Chinese characters are handled.
	CJK
	// Mark: category Mn, which stripping accents removes.
	Mark
	// Decomposes: its canonical decomposition differs from itself.
	Decomposes
	// Lowers: its lower case differs from itself.
	Lowers
	// Combines: its canonical combining class is not 0.
	Combines
)

// Table is the Unicode table of one tokenizer.
type Table struct{ index string }

var (
	// HF is that of huggingface/tokenizers 0.23.2: categories of Unicode 8.0, decompositions of 9.0, lower case of 17.0.
	HF = Table{hfIndex}
	// Google is that of google-research/bert under a Python with Unicode 15.0.
	Google = Table{googleIndex}
)

const blockMask = 1<<blockBits - 1

// Properties returns the properties of r, which must be from 0 to U+10FFFF.
func (t Table) Properties(r rune) Properties {
	return Properties(propertyBlocks[int(t.index[r>>blockBits])<<blockBits|int(r&blockMask)])
}

// CombiningClass returns the canonical combining class of r, for a code point with property Combines.
func CombiningClass(r rune) uint8 {
	return cccBlocks[int(cccIndex[r>>blockBits])<<blockBits|int(r&blockMask)]
}

// Lower returns the lower case of r, for a code point with property Lowers. It is one code point, except for U+0130 (İ), where
// dot says that U+0307 follows.
func Lower(r rune) (lower rune, dot bool) {
	return lowered[lowerBlocks[int(lowerIndex[r>>blockBits])<<blockBits|int(r&blockMask)]], r == 0x130
}

// Hangul syllables decompose by arithmetic: The Unicode Standard, section 3.12.
const (
	hangulBase, hangulEnd         = 0xAC00, 0xD7A4
	leadBase, vowelBase, tailBase = 0x1100, 0x1161, 0x11A7
	vowelCount, tailCount         = 21, 28
)

// Decompose returns the canonical decomposition (NFD) of r, for a code point with property Decomposes: n code points in
// canonical order.
func Decompose(r rune) (d [4]rune, n int) {
	if hangulBase <= r && r < hangulEnd {
		s := r - hangulBase
		d[0] = leadBase + s/(vowelCount*tailCount)
		d[1] = vowelBase + s%(vowelCount*tailCount)/tailCount
		if tail := s % tailCount; tail != 0 {
			d[2] = tailBase + tail
			return d, 3
		}
		return d, 2
	}
	at := nfdBlocks[int(nfdIndex[r>>blockBits])<<blockBits|int(r&blockMask)]
	n = int(at&3) + 1
	copy(d[:n], parts[at>>2:])
	return d, n
}

// IsWord reports whether r matches \w in Rust's regex, with Unicode 16.0.
func IsWord(r rune) bool { return in(wordRanges[:], r) }

// IsCased and IsCaseIgnorable report the derived properties that the rule of the final sigma needs: The Unicode Standard,
// table 3-17.
func IsCased(r rune) bool         { return in(casedRanges[:], r) }
func IsCaseIgnorable(r rune) bool { return in(caseIgnorableRanges[:], r) }

func in(ranges [][2]rune, r rune) bool {
	lo, hi := 0, len(ranges)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch {
		case r < ranges[mid][0]:
			hi = mid
		case r > ranges[mid][1]:
			lo = mid + 1
		default:
			return true
		}
	}
	return false
}
