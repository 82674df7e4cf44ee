package simd

// What attention does to rows between products of bfloat16.

// ExpRows16 takes rows of scores to weights that are proportional to their softmax, rounded to bfloat16: word p of row i, at
// i*ldd+p of dst, is the elements 2p and 2p+1 of w[i], zero beyond n, and w[i][j]·inverse[i] is what Softmax makes of element j of
// the n from i*ld of x with the factor s. x may be overwritten.
//
// The relative error of w·inverse is at most 2^-7 + 2^-12 + 2^-22·|s·(x−maximum)|, but that subnormal numbers may be zero: weights
// are rounded by up to 2^-8, and so may be their sum; the coarse exponential of assembly adds 2^-13.7 to each.
func (k *Kernels) ExpRows16(dst []uint32, ldd int, x []float32, ld, rows, n int, s float32, inverse []float32) {
	inverse = inverse[:rows]
	if rows <= 0 || n <= 0 {
		clear(inverse)
		return
	}
	_, _ = x[(rows-1)*ld+n-1], dst[(rows-1)*ldd+words(n)-1]
	if k.expRows16 != nil && s >= 0 {
		k.expRows16(dst, ldd, x, ld, rows, n, s, inverse)
		return
	}
	k.SoftmaxRows(x, ld, rows, n, s, nil)
	k.RoundRows(dst, ldd, x, ld, rows, n, nil)
	for i := range inverse {
		inverse[i] = 1
	}
}

// RoundRows is RoundRow of rows: of the elements from i*ld to i*ld+n of src, times scale[i] unless scale is nil, to dst from i*ldd.
// With a scale, src may be overwritten.
func (k *Kernels) RoundRows(dst []uint32, ldd int, src []float32, ld, rows, n int, scale []float32) {
	if rows <= 0 || n <= 0 {
		return
	}
	_, _ = src[(rows-1)*ld+n-1], dst[(rows-1)*ldd+words(n)-1]
	if scale != nil {
		scale = scale[:rows]
	}
	if k.roundRows != nil {
		k.roundRows(dst, ldd, src, ld, rows, n, scale)
		return
	}
	for i := range rows {
		row := src[i*ld:][:n]
		if scale != nil && scale[i] != 1 {
			k.Scale(row, scale[i])
		}
		k.RoundRow(dst[i*ldd:][:words(n)], row)
	}
}

// ScaleRows multiplies the elements from i*ld to i*ld+n of x by scale[i].
func (k *Kernels) ScaleRows(x []float32, ld, rows, n int, scale []float32) {
	if rows <= 0 || n <= 0 {
		return
	}
	_ = x[(rows-1)*ld+n-1]
	scale = scale[:rows]
	if k.scaleRows != nil {
		k.scaleRows(x, ld, rows, n, scale)
		return
	}
	for i, s := range scale {
		if s != 1 {
			k.Scale(x[i*ld:][:n], s)
		}
	}
}
