package train

import (
	"encoding/binary"

	"github.com/go-bert/bert/internal/bfloat16"
)

// round rounds numbers to bfloat16.
func round(values []float32) {
	for i, v := range values {
		values[i] = bfloat16.Float(bfloat16.Bits(v))
	}
}

// appendRounded appends numbers as bfloat16.
func appendRounded(b []byte, values []float32) []byte {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint16(b, bfloat16.Bits(v))
	}
	return b
}

// widen reads numbers that appendRounded wrote.
func widen(dst []float32, b []byte) {
	for i := range dst {
		dst[i] = bfloat16.Float(binary.LittleEndian.Uint16(b[2*i:]))
	}
}
