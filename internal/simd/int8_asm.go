//go:build (amd64 || arm64) && !purego

package simd

import "unsafe"

// setInt8 is setInPlace for words, with what makes numbers of the sums.
func setInt8(r *gemmRun, t *tileShape, m, n, k int, a []uint32, lda int, b []uint32, c []float32, ldc int, add bool, to *Scaling) bool {
	if !setInPlace(r, t, m, n, k, a, lda, b, c, ldc, add, nil, nil) {
		return false
	}
	to.check(m, n)
	r.a, r.b, r.c = unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(unsafe.SliceData(b)), unsafe.Pointer(unsafe.SliceData(c))
	r.rowScales, r.scales = unsafe.Pointer(unsafe.SliceData(to.Rows)), unsafe.Pointer(unsafe.SliceData(to.Columns))
	r.offsets, r.bias = unsafe.Pointer(unsafe.SliceData(to.Offsets)), unsafe.Pointer(unsafe.SliceData(to.Bias))
	return true
}

// withInt8 is k with other products of int8.
func (k Kernels) withInt8(i Integers) Kernels {
	k.Int8 = i
	return k
}
