//go:build !purego

package simd

import "unsafe"

const (
	floatSize   = int(unsafe.Sizeof(float32(0)))
	lanesNEON   = 4
	tileRows    = 6 // of the largest tile
	tileVectors = 4 // in a row of it
	tileCols    = tileVectors * lanesNEON
)

// gemmNEON is Kernels.Gemm. It cuts m into the fewest tiles, of heights that differ by at most one.
func gemmNEON(m, n, k int, a []float32, lda int, b, c []float32, ldc int, add bool, _, bias []float32) {
	if m <= 0 || n <= 0 {
		return
	}
	checkProduct(m, n, k, b, c, ldc)
	if k > 0 {
		_ = a[(m-1)*lda+k-1]
	}
	tiles := (m + tileRows - 1) / tileRows
	low := m / tiles
	high := m % tiles // tiles of one row more
	runTiles(high, low+1, n, k, a, (low+1)*lda, lda, false, b, c, ldc, add)
	done := high * (low + 1)
	runTiles(tiles-high, low, n, k, a[min(done*lda, len(a)):], low*lda, lda, false, b, c[done*ldc:], ldc, add)
	addBias(func(dst, x []float32) { addNEON(unsafe.SliceData(dst), unsafe.SliceData(x), len(dst)) }, m, n, c, ldc, bias)
}

// gemmPackedNEON is Kernels.GemmPacked.
func gemmPackedNEON(m, n, k int, a, b, c []float32, ldc int, add bool, _ []float32) {
	if m <= 0 || n <= 0 {
		return
	}
	checkProduct(m, n, k, b, c, ldc)
	whole, rest := m/tileRows, m%tileRows
	const panel = tileRows // times k
	if k > 0 {
		_ = a[(m+tileRows-1)/tileRows*panel*k-1]
	}
	runTiles(whole, tileRows, n, k, a, panel*k, 0, true, b, c, ldc, add)
	if rest > 0 {
		runTiles(1, rest, n, k, a[whole*panel*k:], panel*k, 0, true, b, c[whole*tileRows*ldc:], ldc, add)
	}
}

// checkProduct panics where the assembly would leave its slices.
func checkProduct(m, n, k int, b, c []float32, ldc int) {
	checkWidth(n, tileCols)
	if k > 0 {
		_ = b[k*tileCols-1]
	}
	_ = c[(m-1)*ldc+n-1]
}

// runTiles computes tiles of equal height, as apart in A; rs is the distance of its rows, if it is not packed.
func runTiles(tiles, rows, n, k int, a []float32, as, rs int, packed bool, b, c []float32, ldc int, add bool) {
	if tiles == 0 {
		return
	}
	vectors := (n + lanesNEON - 1) / lanesNEON
	gemmTilesNEON(rows, vectors, tiles, unsafe.SliceData(a), as*floatSize, rs*floatSize, unsafe.SliceData(b), k,
		unsafe.SliceData(c), ldc*floatSize, n-(vectors-1)*lanesNEON, add, packed)
}
