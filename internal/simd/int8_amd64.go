//go:build amd64 && !purego

package simd

import "unsafe"

// Products of int8: _asm/gemm8.go, and _asm/tiles.go for AMX. What AVX-512 has without its VNNI is slower than AVX2's products, which
// need its own.

var (
	int8AVX2 = Integers{
		MR: tiles8AVX2.mr, NR: tiles8AVX2.nr(), Native: true,
		QuantizeRow: quantizeRowAVX2, Quantize: quantizeTopAVX2, Activate: activateSumsAVX2,
		Gemm: gemm8AVX2, peak: peak8AVX2Operations,
	}
	int8AVX512 = Integers{
		MR: tiles8AVX2.mr, NR: tiles8AVX2.nr(), Native: true,
		QuantizeRow: quantizeRowAVX512, Quantize: quantizeTopAVX512, Activate: activateSumsAVX512,
		Gemm: gemm8AVX2, peak: peak8AVX2Operations,
	}
	int8AVXVNNI = Integers{
		MR: tiles8AVXVNNI.mr, NR: tiles8AVXVNNI.nr(), Offset: 0x80808080, Native: true,
		QuantizeRow: quantizeRowAVX2, Quantize: quantizeTopAVX2, Activate: activateSumsAVX2,
		Gemm: gemm8AVXVNNI, peak: peak8AVXVNNIOperations,
	}
	int8VNNI = Integers{
		MR: tiles8VNNI.mr, NR: tiles8VNNI.nr(), Offset: 0x80808080, Native: true,
		QuantizeRow: quantizeRowAVX512, Quantize: quantizeTopAVX512, Activate: activateSumsAVX512,
		Gemm: gemm8VNNI, peak: peak8VNNIOperations,
	}
	int8AMX = Integers{
		MR: tileMR, NR: tileNR, Native: true, Tiles: true,
		QuantizeRow: quantizeRowAVX512, Quantize: quantizeTopAVX512, Activate: activateSumsAVX512,
		Gemm: gemm8Tiles, peak: peak8TilesOperations,
	}
)

var (
	tiles8AVX2    = tileShape{mr: 5, lanes: 8, heights: []int{8, 5}}
	tiles8AVXVNNI = tileShape{mr: 6, lanes: 8, heights: []int{12, 6}}
	tiles8VNNI    = tileShape{mr: 14, lanes: 16, heights: []int{14, 14}}
)

func gemm8AVX2(m, n, k int, a []uint32, lda int, b []uint32, c []float32, ldc int, add bool, _ []uint32, to Scaling) {
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

func gemm8AVXVNNI(m, n, k int, a []uint32, lda int, b []uint32, c []float32, ldc int, add bool, _ []uint32, to Scaling) {
	var r gemmRun
	if !setInt8(&r, &tiles8AVXVNNI, m, n, k, a, lda, b, c, ldc, add, &to) {
		return
	}
	if r.vectors == 1 {
		gemm8x1AVXVNNI(&r)
	} else {
		gemm8x2AVXVNNI(&r)
	}
}

func gemm8VNNI(m, n, k int, a []uint32, lda int, b []uint32, c []float32, ldc int, add bool, _ []uint32, to Scaling) {
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

// gemm8Tiles adds up the sums in tiles, and leaves it to AVX-512 to make numbers of them, without words to multiply.
func gemm8Tiles(m, n, k int, a []uint32, lda int, b []uint32, c []float32, ldc int, add bool, next []uint32, to Scaling) {
	if m <= 0 || n <= 0 {
		return
	}
	to.check(m, n)
	if tilesFit(m, n, k, b, c, ldc, add, nil) {
		_ = a[(m-1)*lda+k-1]
		tileOperand{bytes: true, a: a, as: tileMR * lda, rs: lda, ps: tileWords, restRS: lda}.times(m, n, k, b, c, ldc, add, next, nil)
	}
	if to.Columns != nil {
		gemm8VNNI(m, n, 0, nil, 0, nil, c, ldc, true, nil, to)
	}
}

func quantizeRowAVX2(dst []uint32, src []float32, offset uint32) (scale float32) {
	return quantizeTopAVX2(dst, src, topBitsAVX2(unsafe.SliceData(src), len(src)), offset)
}

func quantizeTopAVX2(dst []uint32, src []float32, top, offset uint32) (scale float32) {
	dst = dst[:length(byteWords(len(src)), len(dst))]
	scale, factor, all := scaleOf(top)
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
	return quantizeTopAVX512(dst, src, topBitsAVX512(unsafe.SliceData(src), len(src)), offset)
}

func quantizeTopAVX512(dst []uint32, src []float32, top, offset uint32) (scale float32) {
	dst = dst[:length(byteWords(len(src)), len(dst))]
	scale, factor, all := scaleOf(top)
	if all {
		fill(dst, offset)
		return scale
	}
	whole := len(src) / tilesAVX512.lanes * tilesAVX512.lanes
	quantizeAVX512(unsafe.SliceData(dst), unsafe.SliceData(src), whole, factor, offset)
	quantizeGeneric(dst[whole/4:], src[whole:], factor, offset)
	return scale
}

// These are Integers.peak. A step multiplies and adds peakChains vectors of bytes, or four tiles.
func peak8AVX2Operations(steps int) (operations int) {
	peak8AVX2(steps)
	return steps * 2 * peakChains * 4 * tiles8AVX2.lanes
}

func peak8AVXVNNIOperations(steps int) (operations int) {
	peak8AVXVNNI(steps)
	return steps * 2 * peakChains * 4 * tiles8AVXVNNI.lanes
}

func peak8VNNIOperations(steps int) (operations int) {
	peak8AVX512VNNI(steps)
	return steps * 2 * peakChains * 4 * tiles8VNNI.lanes
}

func peak8TilesOperations(steps int) (operations int) {
	config := configure(tileMR, tileNR, tileWords)
	peakByteTilesAMX(config.bytes(), steps)
	const products = 4
	return steps * products * 2 * registerRows * registerRows * 4 * tileWords
}

// The tables of these levels with products of int8 by instructions for them.
var (
	kernelsAVXVNNI    = kernelsAVX2.withInt8(int8AVXVNNI)
	kernelsAVX512VNNI = kernelsAVX512.withInt8(int8VNNI)
	kernelsAMXInt8    = kernelsAMX.withInt8(int8AMX)
)
