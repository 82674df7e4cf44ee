package serve

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"
)

// This file writes JSON without reflection. Vectors are most of what a server writes.

const (
	contentJSON   = "application/json"
	contentNDJSON = "application/x-ndjson"
	contentBytes  = "application/octet-stream"
	contentText   = "text/plain; charset=utf-8"
)

// appendInt appends a number.
func appendInt(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }

// appendFloat32 appends the shortest number that reads as x. x has to be finite.
func appendFloat32(b []byte, x float32) []byte { return appendFloat(b, float64(x), 32) }

// appendFloat64 appends the shortest number that reads as x. x has to be finite.
func appendFloat64(b []byte, x float64) []byte { return appendFloat(b, x, 64) }

// appendFloat writes as encoding/json does, whose exponents have no zero before them.
func appendFloat(b []byte, x float64, bits int) []byte {
	format := byte('f')
	if abs := math.Abs(x); abs != 0 && (bits == 64 && (abs < 1e-6 || abs >= 1e21) || bits == 32 && (float32(abs) < 1e-6 || float32(abs) >= 1e21)) {
		format = 'e'
	}
	b = strconv.AppendFloat(b, x, format, -1, bits)
	if n := len(b); format == 'e' && n >= 4 && b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' {
		b[n-2] = b[n-1]
		b = b[:n-1]
	}
	return b
}

// appendVector appends a list of numbers.
func appendVector(b []byte, v []float32) []byte {
	b = append(b, '[')
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendFloat32(b, x)
	}
	return append(b, ']')
}

// appendBase64 appends a vector as a string of base64 of float32, little-endian.
func appendBase64(b []byte, v []float32) []byte {
	raw := appendBytes(make([]byte, 0, 4*len(v)), v)
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, raw)
	return append(b, '"')
}

// appendBytes appends a vector as float32, little-endian.
func appendBytes(b []byte, v []float32) []byte {
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// appendString appends a string in quotes.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n > 1 {
				if r != '\u2028' && r != '\u2029' { // which end a line in JavaScript
					i += n
					continue
				}
				b = append(b, s[start:i]...)
				b = append(b, `\u202`...)
				b = append(b, hex[r&15])
			} else {
				b = append(b, s[start:i]...)
				b = append(b, `\ufffd`...)
			}
			i += n
			start = i
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// appendJSON appends what encoding/json makes of v.
func appendJSON(b []byte, v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	return append(b, raw...), err
}
