//go:build amd64 && !purego

package simd

import "unsafe"

// Products of int8: _asm/gemm8.go. What AVX-512 has without its VNNI is slower than AVX2's products, which need its own.

var (
	int8AVX2 = Integers{
		MR: tiles8AVX2.mr, NR: tiles8AVX2.nr(), Native: true,
		QuantizeRow: quantizeRowAVX2, Gemm: gemm8AVX2, peak: peak8AVX2Operations,
	}
	int8AVX512 = Integers{
		MR: tiles8AVX2.mr, NR: tiles8AVX2.nr(), Native: true,
		QuantizeRow: quantizeRowAVX512, Gemm: gemm8AVX2, peak: peak8AVX2Operations,
	}
	int8VNNI = Integers{
		MR: tiles8VNNI.mr, NR: tiles8VNNI.nr(), Offset: 0x80808080, Native: true,
		QuantizeRow: quantizeRowAVX512, Gemm: gemm8VNNI, peak: peak8VNNIOperations,
	}
)

var (
	tiles8AVX2 = tileShape{mr: 5, lanes: 8, heights: []int{8, 5}}
	tiles8VNNI = tileShape{mr: 14, lanes: 16, heights: []int{14, 14}}
)

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

func gemm8AVX2(m, n, k int, a []uint32, lda int, b []uint32, c []float32, ldc int, add bool, to Scaling) {
	var r gemmRun
	if !setInt8(&r, &tiles8AVX2, m, n, k, a, lda, b, c, ldc, add, &to) {
		return
	}
	if r.vectors == 1 {
		gemm8x1AVX2(&r)
	} else {
		gemm8x2AVX2(&r)
	}
}

func gemm8VNNI(m, n, k int, a []uint32, lda int, b []uint32, c []float32, ldc int, add bool, to Scaling) {
	var r gemmRun
	if !setInt8(&r, &tiles8VNNI, m, n, k, a, lda, b, c, ldc, add, &to) {
		return
	}
	if r.vectors == 1 {
		gemm8x1AVX512VNNI(&r)
	} else {
		gemm8x2AVX512VNNI(&r)
	}
}

func quantizeRowAVX2(dst []uint32, src []float32, offset uint32) (scale float32) {
	dst = dst[:length(byteWords(len(src)), len(dst))]
	scale, factor, all := scaleOf(topBitsAVX2(unsafe.SliceData(src), len(src)))
	if all {
		fill(dst, offset)
		return scale
	}
	whole := len(src) / tilesAVX2.lanes * tilesAVX2.lanes
	quantizeAVX2(unsafe.SliceData(dst), unsafe.SliceData(src), whole, factor, offset)
	quantizeGeneric(dst[whole/4:], src[whole:], factor, offset)
	return scale
}

func quantizeRowAVX512(dst []uint32, src []float32, offset uint32) (scale float32) {
	dst = dst[:length(byteWords(len(src)), len(dst))]
	scale, factor, all := scaleOf(topBitsAVX512(unsafe.SliceData(src), len(src)))
	if all {
		fill(dst, offset)
		return scale
	}
	whole := len(src) / tilesAVX512.lanes * tilesAVX512.lanes
	quantizeAVX512(unsafe.SliceData(dst), unsafe.SliceData(src), whole, factor, offset)
	quantizeGeneric(dst[whole/4:], src[whole:], factor, offset)
	return scale
}

// peak8AVX2Operations and peak8VNNIOperations are Integers.peak; a step multiplies and adds peakChains vectors of bytes.
func peak8AVX2Operations(steps int) (operations int) {
	peak8AVX2(steps)
	return steps * 2 * peakChains * 4 * tiles8AVX2.lanes
}

func peak8VNNIOperations(steps int) (operations int) {
	peak8AVX512VNNI(steps)
	return steps * 2 * peakChains * 4 * tiles8VNNI.lanes
}

// kernelsAVX512VNNI is kernelsAVX512 with products of int8 by instructions for them.
var kernelsAVX512VNNI = func() Kernels {
	k := kernelsAVX512
	k.Int8 = int8VNNI
	return k
}()
