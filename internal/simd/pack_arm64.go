//go:build !purego

package simd

import "unsafe"

// packFunc copies k rows of the vectors it is for, ld bytes apart; see _asm_arm64/pack.go.
type packFunc func(dst, src *float32, ld, last, k int)

// The functions that copy rows, by the vectors that hold columns, less one.
var (
	packBRows = [tileVectors]packFunc{packB1NEON, packB2NEON, packB3NEON, packB4NEON}
	packARows = [...]packFunc{packA1NEON, packA2NEON}
)

// packBNEON is Kernels.PackB.
func packBNEON(dst, src []float32, ld, n, k int) {
	packByRows(packBRows[:], tileCols, dst, src, ld, n, k)
}

// packANEON is Kernels.PackA.
func packANEON(dst, src []float32, ld, m, k int) {
	packByRows(packARows[:], tileRows, dst, src, ld, m, k)
}

// packByRows copies k rows of n columns to a panel of the given width.
func packByRows(byVectors []packFunc, width int, dst, src []float32, ld, n, k int) {
	dst = dst[: k*width : len(dst)]
	if n <= 0 || k <= 0 {
		clear(dst)
		return
	}
	checkWidth(n, width)
	_ = src[(k-1)*ld+n-1]
	vectors := (n + lanesNEON - 1) / lanesNEON
	byVectors[vectors-1](unsafe.SliceData(dst), unsafe.SliceData(src), ld*floatSize, n-(vectors-1)*lanesNEON, k)
}

// packBTNEON is Kernels.PackBT.
func packBTNEON(dst, src []float32, ld, n, k int) {
	dst = dst[: k*tileCols : len(dst)]
	if n <= 0 || k <= 0 {
		clear(dst)
		return
	}
	checkWidth(n, tileCols)
	_ = src[(n-1)*ld+k-1]
	for j := 0; j < tileCols; j += lanesNEON {
		rows := min(max(n-j, 0), lanesNEON)
		from := src
		if rows > 0 {
			from = src[j*ld:]
		}
		packBTRowsNEON(&dst[j], &from[0], ld*floatSize, rows, k)
	}
}

// checkWidth panics where an operand is wider than its panel.
func checkWidth(n, most int) {
	if n > most {
		panic("simd: operand is wider than a panel")
	}
}
