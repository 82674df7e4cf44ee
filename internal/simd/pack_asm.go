//go:build (amd64 || arm64) && !purego

package simd

import "unsafe"

// A packFunc copies k rows or columns, ld bytes apart. A row has n elements, or several vectors of which the last has n
// elements; see pack.go of the generators.
type packFunc[E element] func(dst *E, src *float32, ld, n, k int)

// A packLevel is one level's functions that copy operands.
type packLevel[E element] struct {
	shape     *tileShape
	depth     int                               // elements of k in an element of a panel: 1 or 2
	rows      []packFunc[E]                     // of B, by its vectors, less one
	columns   []packFunc[E]                     // of A, by its vectors, less one
	transpose packFunc[E]                       // a vector's width of B
	row       func(dst *E, src *float32, n int) // words only
}

// elements is how many elements of a panel hold k of an operand.
func (l *packLevel[E]) elements(k int) int {
	if l.depth == 1 {
		return k
	}
	return words(k)
}

// round is Kernels.RoundRow.
func (l *packLevel[E]) round(dst []E, src []float32) {
	length(l.elements(len(src)), len(dst))
	l.row(unsafe.SliceData(dst), unsafe.SliceData(src), len(src))
}

// b is Kernels.PackB or PackB16.
func (l *packLevel[E]) b(dst []E, src []float32, ld, n, k int) {
	dst = l.panel(dst, l.shape.nr(), src, ld, n, k)
	if dst != nil {
		f, last := ofVectors(l.rows, n, l.shape.lanes)
		f(unsafe.SliceData(dst), unsafe.SliceData(src), ld*elementSize, last, k)
	}
}

// a is Kernels.PackA or PackA16.
func (l *packLevel[E]) a(dst []E, src []float32, ld, m, k int) {
	dst = l.panel(dst, l.shape.mr, src, ld, m, k)
	if dst != nil {
		f, last := ofVectors(l.columns, m, l.shape.lanes)
		f(unsafe.SliceData(dst), unsafe.SliceData(src), ld*elementSize, last, k)
	}
}

// panel returns the part of dst that k rows of a panel of the given width take, or nil if there is nothing to copy. It panics
// if n columns of k rows exceed src or the panel.
func (l *packLevel[E]) panel(dst []E, width int, src []float32, ld, n, k int) []E {
	dst = dst[: l.elements(k)*width : len(dst)]
	if n <= 0 || k <= 0 {
		clear(dst)
		return nil
	}
	checkWidth(n, width)
	_ = src[(k-1)*ld+n-1]
	return dst
}

// ofVectors returns the function for the number of vectors that n columns take, and the columns in the last of them.
func ofVectors[E element](functions []packFunc[E], n, lanes int) (f packFunc[E], last int) {
	whole := 0
	for n > lanes {
		n -= lanes
		whole++
	}
	return functions[whole], n
}

// bt is Kernels.PackBT or PackBT16.
func (l *packLevel[E]) bt(dst []E, src []float32, ld, n, k int) {
	nr, lanes := l.shape.nr(), l.shape.lanes
	dst = dst[: l.elements(k)*nr : len(dst)]
	if n <= 0 || k <= 0 {
		clear(dst)
		return
	}
	checkWidth(n, nr)
	_ = src[(n-1)*ld+k-1]
	for at := 0; at < nr; at += lanes {
		count := min(max(n-at, 0), lanes)
		l.transpose(&dst[at], &src[min(at, n-1)*ld], ld*elementSize, count, k)
	}
}

// checkWidth panics if an operand is wider than its panel.
func checkWidth(n, most int) {
	if n > most {
		panic("simd: operand is wider than a panel")
	}
}
