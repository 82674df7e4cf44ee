//go:build amd64 && !purego

package simd

import "unsafe"

// packFunc copies k rows or columns, ld bytes apart, of n or fewer elements; see _asm/pack.go.
type packFunc func(dst, src *float32, ld, n, k int)

// A packLevel is one level's functions that copy operands.
type packLevel struct {
	mr, lanes int
	rows      [tileVectors]packFunc // by the vectors that hold columns, less one
	transpose packFunc
	columns   packFunc
}

// b is Kernels.PackB.
func (l *packLevel) b(dst, src []float32, ld, n, k int) {
	nr := tileVectors * l.lanes
	dst = dst[: k*nr : len(dst)]
	if n <= 0 || k <= 0 {
		clear(dst)
		return
	}
	checkWidth(n, nr)
	_ = src[(k-1)*ld+n-1]
	vectors := (n + l.lanes - 1) / l.lanes
	l.rows[vectors-1](unsafe.SliceData(dst), unsafe.SliceData(src), ld*floatSize, n-(vectors-1)*l.lanes, k)
}

// bt is Kernels.PackBT.
func (l *packLevel) bt(dst, src []float32, ld, n, k int) {
	nr := tileVectors * l.lanes
	dst = dst[: k*nr : len(dst)]
	if n <= 0 || k <= 0 {
		clear(dst)
		return
	}
	checkWidth(n, nr)
	_ = src[(n-1)*ld+k-1]
	l.transpose(&dst[0], &src[0], ld*floatSize, min(n, l.lanes), k)
	rest := max(n-l.lanes, 0)
	if rest > 0 {
		src = src[l.lanes*ld:]
	}
	l.transpose(&dst[l.lanes], &src[0], ld*floatSize, rest, k)
}

// a is Kernels.PackA.
func (l *packLevel) a(dst, src []float32, ld, m, k int) {
	dst = dst[: k*l.mr : len(dst)]
	if m <= 0 || k <= 0 {
		clear(dst)
		return
	}
	checkWidth(m, l.mr)
	_ = src[(k-1)*ld+m-1]
	l.columns(unsafe.SliceData(dst), unsafe.SliceData(src), ld*floatSize, m, k)
}

// checkWidth panics where an operand is wider than its panel.
func checkWidth(n, most int) {
	if n > most {
		panic("simd: operand is wider than a panel")
	}
}
