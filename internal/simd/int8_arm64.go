//go:build !purego

package simd

import "unsafe"

// Products of int8 by the dot product of Armv8.2 and by the matrix multiplication of Armv8.6: _asm_arm64/gemm8.go.

var (
	int8Dot = Integers{
		MR: tilesNEON.mr, NR: tilesNEON.nr(), Native: true,
		QuantizeRow: quantizeRowNEON, Quantize: quantizeTopNEON, Gemm: gemm8Dot, peak: peak8DotOperations,
	}
	int8Square = Integers{
		MR: tilesNEON.mr, NR: tilesNEON.nr(), Native: true,
		QuantizeRow: quantizeRowNEON, Quantize: quantizeTopNEON, Gemm: gemm8Square, peak: peak8SquareOperations,
	}
)

func gemm8Dot(m, n, k int, a []uint32, lda int, b []uint32, c []float32, ldc int, add bool, _ []uint32, to Scaling) {
	var r gemmRun
	if !setInt8(&r, &tilesNEON, m, n, k, a, lda, b, c, ldc, add, &to) {
		return
	}
	switch r.vectors {
	case 1:
		gemm8x1NEON(&r)
	case 2:
		gemm8x2NEON(&r)
	case 3:
		gemm8x3NEON(&r)
	case 4:
		gemm8x4NEON(&r)
	}
}

func gemm8Square(m, n, k int, a []uint32, lda int, b []uint32, c []float32, ldc int, add bool, _ []uint32, to Scaling) {
	var r gemmRun
	if !setInt8(&r, &tilesNEON, m, n, k, a, lda, b, c, ldc, add, &to) {
		return
	}
	switch r.vectors {
	case 1:
		gemm8square1NEON(&r)
	case 2:
		gemm8square2NEON(&r)
	case 3:
		gemm8square3NEON(&r)
	case 4:
		gemm8square4NEON(&r)
	}
}

func quantizeRowNEON(dst []uint32, src []float32, offset uint32) (scale float32) {
	return quantizeTopNEON(dst, src, topBitsNEON(unsafe.SliceData(src), len(src)), offset)
}

func quantizeTopNEON(dst []uint32, src []float32, top, offset uint32) (scale float32) {
	dst = dst[:length(byteWords(len(src)), len(dst))]
	scale, factor, all := scaleOf(top)
	if all {
		fill(dst, offset)
		return scale
	}
	const atOnce = 16
	whole := len(src) / atOnce * atOnce
	quantizeNEON(unsafe.SliceData(dst), unsafe.SliceData(src), whole, factor, offset)
	quantizeGeneric(dst[whole/4:], src[whole:], factor, offset)
	return scale
}

// peak8DotOperations and peak8SquareOperations are Integers.peak. A square takes eight multiply-adds for each of its sums.
func peak8SquareOperations(steps int) (operations int) {
	peak8SquareNEON(steps)
	return steps * 2 * peakChains * 8 * tilesNEON.lanes
}

func peak8DotOperations(steps int) (operations int) {
	peak8NEON(steps)
	return steps * 2 * peakChains * 4 * tilesNEON.lanes
}

// The table of NEON with products of int8 by instructions for them.
var (
	kernelsDot    = kernelsNEON.withInt8(int8Dot)
	kernelsSquare = kernelsNEON.withInt8(int8Square)
)
