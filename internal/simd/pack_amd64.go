//go:build amd64 && !purego

package simd

import "unsafe"

// packFunc copies k rows or columns, ld bytes apart, of n or fewer elements; see _asm/pack.go.
type packFunc[E element] func(dst *E, src *float32, ld, n, k int)

// A packLevel is one level's functions that copy operands.
type packLevel[E element] struct {
	mr, lanes int
	depth     int           // elements of k in an element of a panel
	rows      []packFunc[E] // by the vectors that hold columns, less one
	transpose packFunc[E]
	columns   packFunc[E]
	row       func(dst *E, src *float32, n int) // of words only
}

// elements is how many elements of a panel hold k of an operand.
func (l *packLevel[E]) elements(k int) int { return (k + l.depth - 1) / l.depth }

// round is Kernels.RoundRow.
func (l *packLevel[E]) round(dst []E, src []float32) {
	length(l.elements(len(src)), len(dst))
	l.row(unsafe.SliceData(dst), unsafe.SliceData(src), len(src))
}

// b is Kernels.PackB or PackB16.
func (l *packLevel[E]) b(dst []E, src []float32, ld, n, k int) {
	nr := len(l.rows) * l.lanes
	dst = dst[: l.elements(k)*nr : len(dst)]
	if n <= 0 || k <= 0 {
		clear(dst)
		return
	}
	checkWidth(n, nr)
	_ = src[(k-1)*ld+n-1]
	vectors := (n + l.lanes - 1) / l.lanes
	l.rows[vectors-1](unsafe.SliceData(dst), unsafe.SliceData(src), ld*elementSize, n-(vectors-1)*l.lanes, k)
}

// bt is Kernels.PackBT or PackBT16.
func (l *packLevel[E]) bt(dst []E, src []float32, ld, n, k int) {
	nr := len(l.rows) * l.lanes
	dst = dst[: l.elements(k)*nr : len(dst)]
	if n <= 0 || k <= 0 {
		clear(dst)
		return
	}
	checkWidth(n, nr)
	_ = src[(n-1)*ld+k-1]
	for at := 0; at < nr; at += l.lanes {
		count := min(max(n-at, 0), l.lanes)
		l.transpose(&dst[at], &src[min(at, n-1)*ld], ld*elementSize, count, k)
	}
}

// a is Kernels.PackA or PackA16.
func (l *packLevel[E]) a(dst []E, src []float32, ld, m, k int) {
	dst = dst[: l.elements(k)*l.mr : len(dst)]
	if m <= 0 || k <= 0 {
		clear(dst)
		return
	}
	checkWidth(m, l.mr)
	_ = src[(k-1)*ld+m-1]
	l.columns(unsafe.SliceData(dst), unsafe.SliceData(src), ld*elementSize, m, k)
}

// checkWidth panics where an operand is wider than its panel.
func checkWidth(n, most int) {
	if n > most {
		panic("simd: operand is wider than a panel")
	}
}
