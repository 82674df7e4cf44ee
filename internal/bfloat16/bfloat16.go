// Package bfloat16 converts single numbers: the upper half of a float32's bits.
package bfloat16

import "math"

// Bits rounds x to nearest, ties to even. A NaN stays one, quiet, with the upper bits of its payload.
func Bits(x float32) uint16 {
	bits := math.Float32bits(x)
	if x != x {
		const quiet = 1 << 6
		return uint16(bits>>16) | quiet
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

// Float is the number that has these bits, which is exact.
func Float(bits uint16) float32 { return math.Float32frombits(uint32(bits) << 16) }
