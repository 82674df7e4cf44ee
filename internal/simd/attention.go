package simd

// What attention does to rows between products of bfloat16.

// GemmRoom16 is Gemm16 of all panels of B at once, which follow one another, without a bias and not adding to c, of operands with room
// for whole tiles: a and c have m rows rounded up to MR16, those of c n columns rounded up to NR16, and rows of a and panels k words
// rounded up to Step16. Of a and the panels words beyond k are zero; rows of a beyond m may hold anything. What c gets beyond m rows
// of n columns is of no use.
func (k *Kernels) GemmRoom16(m, n, words int, a []uint32, lda int, b []uint32, c []float32, ldc int) {
	if m <= 0 || n <= 0 {
		return
	}
	up := func(x, by int) int { return (x + by - 1) / by * by }
	wide, deep := up(n, k.NR16), up(words, k.Step16)
	_ = c[(up(m, k.MR16)-1)*ldc+wide-1]
	_ = b[:wide*deep]
	if words > 0 {
		_ = a[(up(m, k.MR16)-1)*lda+deep-1]
		if k.gemmRoom16 != nil {
			k.gemmRoom16(m, n, words, a, lda, b, c, ldc)
			return
		}
	}
	for j := 0; j < n; j += k.NR16 {
		k.Gemm16(m, min(k.NR16, n-j), words, a, lda, b[j*deep:][:k.NR16*deep], c[j:], ldc, false, nil, nil)
	}
}

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

// ScaleRows writes the elements from i*ld to i*ld+n of src, times scale[i], to dst from i*ldd. dst may be src.
func (k *Kernels) ScaleRows(dst []float32, ldd int, src []float32, ld, rows, n int, scale []float32) {
	if rows <= 0 || n <= 0 {
		return
	}
	_, _ = src[(rows-1)*ld+n-1], dst[(rows-1)*ldd+n-1]
	scale = scale[:rows]
	if k.scaleRows != nil {
		k.scaleRows(dst, ldd, src, ld, rows, n, scale)
		return
	}
	for i, s := range scale {
		row := dst[i*ldd:][:n]
		copy(row, src[i*ld:])
		if s != 1 {
			k.Scale(row, s)
		}
	}
}
