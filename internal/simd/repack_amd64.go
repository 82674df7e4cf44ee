//go:build !purego

package simd

func repackB16AVX2(dst, src []uint32, ld, n, k int) {
	repackRows16(dst, tiles16AVX2.nr(), src, ld, n, k)
}

func repackA16AVX2(dst, src []uint32, ld, m, k int) {
	repackRows16(dst, tiles16AVX2.mr, src, ld, m, k)
}

func repackB16AVX512(dst, src []uint32, ld, n, k int) {
	repackRows16AVX512(dst, tiles16AVX512.nr(), src, ld, n, k)
}

func repackA16AVX512(dst, src []uint32, ld, m, k int) {
	repackRows16AVX512(dst, tiles16AVX512.mr, src, ld, m, k)
}

// repackRows16AVX512 is repackRows16, a vector's width at a time.
func repackRows16AVX512(dst []uint32, width int, src []uint32, ld, n, k int) {
	const lanes = 16
	dst = dst[: words(k)*width : len(dst)]
	if n <= 0 || k <= 0 {
		clear(dst)
		return
	}
	checkWidth(n, width)
	_ = src[(k-1)*ld+words(n)-1]
	for at := 0; at < width; at += lanes {
		count := min(max(n-at, 0), lanes)
		repack16AVX512(&dst[at], width*elementSize, &src[min(at/2, words(n)-1)], ld*elementSize, count, min(lanes, width-at), k)
	}
}
