package train

import (
	"encoding/binary"
	"math"
)

// roundedBits is a number as bfloat16, to nearest, ties to even.
func roundedBits(v float32) uint16 {
	bits := math.Float32bits(v)
	if v != v {
		return uint16(bits>>16) | 0x40 // a NaN stays one
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

// round rounds numbers to bfloat16.
func round(values []float32) {
	for i, v := range values {
		values[i] = math.Float32frombits(uint32(roundedBits(v)) << 16)
	}
}

// appendRounded appends numbers as bfloat16.
func appendRounded(b []byte, values []float32) []byte {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint16(b, roundedBits(v))
	}
	return b
}

// widen reads numbers that appendRounded wrote.
func widen(dst []float32, b []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
	}
}
