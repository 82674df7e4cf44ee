package unidata

import (
	"cmp"
	"slices"
)

// What follows serves the general pipeline, which has normalizers and regular expressions of its own.

// DecomposeCompatible returns the compatibility decomposition (NFKD) of r if it differs from the canonical one, or nil.
func DecomposeCompatible(r rune) []rune {
	at := nfkdBlocks[int(nfkdIndex[r>>blockBits])<<blockBits|int(r&blockMask)]
	if at == 0 {
		return nil
	}
	n := compatible[at]
	return compatible[int(at)+1:][:n]
}

// Compose returns the code point that a and b compose to in NFC, if there is one.
func Compose(a, b rune) (rune, bool) {
	const leadCount = 19
	switch {
	case leadBase <= a && a < leadBase+leadCount && vowelBase <= b && b < vowelBase+vowelCount:
		return hangulBase + ((a-leadBase)*vowelCount+b-vowelBase)*tailCount, true
	case hangulBase <= a && a < hangulEnd && (a-hangulBase)%tailCount == 0 && tailBase < b && b < tailBase+tailCount:
		return a + b - tailBase, true
	}
	at, ok := slices.BinarySearchFunc(composites[:], [2]rune{a, b}, func(c [3]rune, pair [2]rune) int {
		return cmp.Or(cmp.Compare(c[0], pair[0]), cmp.Compare(c[1], pair[1]))
	})
	if !ok {
		return 0, false
	}
	return composites[at][2], true
}

// IsCombiningMark reports whether r has category M in Unicode 9.0.
func IsCombiningMark(r rune) bool { return in(markRanges[:], r) }

// IsNumeric reports whether r has category N in Unicode 17.0, as Rust's char::is_numeric does.
func IsNumeric(r rune) bool { return in(numericRanges[:], r) }

// CategoryRanges returns the ranges of a category of Unicode 16.0, given by one or two letters, in order; nil if there is no such
// category. Cn and C, which have the unassigned code points, are not among them.
func CategoryRanges(name string) [][2]rune {
	if len(name) == 0 || len(name) > 2 || name == "C" {
		return nil
	}
	var ranges [][2]rune
	for _, c := range categoryRanges {
		switch {
		case c.category[:len(name)] != name:
		case len(ranges) > 0 && ranges[len(ranges)-1][1] == c.first-1:
			ranges[len(ranges)-1][1] = c.last
		default:
			ranges = append(ranges, [2]rune{c.first, c.last})
		}
	}
	return ranges
}

// ScriptRanges returns the ranges of a script of Unicode 16.0, or nil for a script that is not in the tables.
func ScriptRanges(name string) [][2]rune {
	switch name {
	case "Han":
		return hanRanges[:]
	case "Hiragana":
		return hiraganaRanges[:]
	case "Katakana":
		return katakanaRanges[:]
	case "Hangul":
		return hangulRanges[:]
	}
	return nil
}

// WordRanges returns the characters that \w matches in Oniguruma with Unicode 16.0: those of IsWord but for the joiners U+200C and
// U+200D. Outside of a class in brackets it matches the six Latin-1 characters of category No too: latin.
func WordRanges(latin bool) [][2]rune {
	var ranges [][2]rune
	if latin {
		ranges = append(ranges, [2]rune{0xB2, 0xB3}, [2]rune{0xB9, 0xB9}, [2]rune{0xBC, 0xBE})
	}
	for _, r := range wordRanges {
		if r != [2]rune{0x200C, 0x200D} {
			ranges = append(ranges, r)
		}
	}
	return ranges
}
