package serve

import (
	"fmt"
	"unicode/utf8"
)

// OffsetUnit is what places in a text are counted in.
type OffsetUnit uint8

const (
	// Bytes of UTF-8, as Rust's and Go's strings count.
	Bytes OffsetUnit = iota
	// CodePoints of Unicode, as Python's strings count.
	CodePoints
	// UTF16 code units, as strings of JavaScript, Java and C# count.
	UTF16
)

var offsetUnits = [...]string{Bytes: "bytes", CodePoints: "codepoints", UTF16: "utf16"}

func (u OffsetUnit) String() string {
	if int(u) >= len(offsetUnits) {
		return fmt.Sprintf("OffsetUnit(%d)", u)
	}
	return offsetUnits[u]
}

// ParseOffsetUnit reads bytes, codepoints or utf16.
func ParseOffsetUnit(name string) (OffsetUnit, error) {
	for u, n := range offsetUnits {
		if n == name {
			return OffsetUnit(u), nil
		}
	}
	return 0, errorf(BadRequest, "offset unit %q: want bytes, codepoints or utf16", name)
}

// offsets turns places in bytes of a text into places in another unit. Places that rise are found in one pass.
type offsets struct {
	text  string
	unit  OffsetUnit
	bytes int // a place that is known
	count int // what it is in unit
}

func newOffsets(text string, unit OffsetUnit) *offsets { return &offsets{text: text, unit: unit} }

// at is the place of byte i, which begins a character or is the end of the text.
func (o *offsets) at(i int) int {
	if o.unit == Bytes {
		return i
	}
	if i < o.bytes {
		o.bytes, o.count = 0, 0
	}
	for o.bytes < min(i, len(o.text)) {
		r, n := utf8.DecodeRuneInString(o.text[o.bytes:])
		o.bytes += n
		o.count++
		if o.unit == UTF16 && r > 0xFFFF {
			o.count++
		}
	}
	return o.count
}
