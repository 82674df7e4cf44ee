//go:build !purego

package simd

// Products of bfloat16 are products of float32 of a few words at a time, made wider in the first level of cache: the
// processors that this level is for have no instructions for them. Rounding and packing are plain Go.

const (
	wideWords = 32 // along k
	wideDepth = 2 * wideWords

	wideRows    = 6  // of a panel of A, as in tilesNEON
	wideColumns = 16 // of a panel of B
)

func packB16NEON(dst []uint32, src []float32, ld, n, k int) {
	packRows16(dst, wideColumns, src, ld, n, k)
}

func packA16NEON(dst []uint32, src []float32, ld, m, k int) {
	packRows16(dst, wideRows, src, ld, m, k)
}

func repackB16NEON(dst, src []uint32, ld, n, k int) { repackRows16(dst, wideColumns, src, ld, n, k) }

func repackA16NEON(dst, src []uint32, ld, m, k int) { repackRows16(dst, wideRows, src, ld, m, k) }

func packBT16NEON(dst []uint32, src []float32, ld, n, k int) {
	dst = dst[:words(k)*wideColumns]
	clear(dst)
	if k == 0 {
		return
	}
	for j := range n {
		for p, x := range src[j*ld:][:k] {
			dst[p/2*wideColumns+j] |= bfloat16(x) << (p % 2 * halfBits)
		}
	}
}

// gemm16NEON is Kernels.Gemm16.
func gemm16NEON(m, n, k int, a []uint32, lda int, b []uint32, c []float32, ldc int, add bool, _ []uint32, bias []float32) {
	if m <= 0 || n <= 0 {
		return
	}
	add = startFromBias(m, n, c, ldc, add, bias)
	if k > 0 {
		_ = a[(m-1)*lda+k-1]
	}
	gemmWide(m, n, k, a, lda, false, b, c, ldc, add)
}

// gemmPacked16NEON is Kernels.GemmPacked16.
func gemmPacked16NEON(m, n, k int, a, b []uint32, c []float32, ldc int, add bool, _ []uint32) {
	if m <= 0 || n <= 0 {
		return
	}
	if k > 0 {
		_ = a[(m+wideRows-1)/wideRows*wideRows*k-1]
	}
	gemmWide(m, n, k, a, 0, true, b, c, ldc, add)
}

// gemmWide computes a product of words; if a is packed, lda has no meaning.
func gemmWide(m, n, k int, a []uint32, lda int, packed bool, b []uint32, c []float32, ldc int, add bool) {
	checkWidth(n, wideColumns)
	b = b[:k*wideColumns]
	var panel [wideDepth * wideColumns]float32
	var rows [wideRows * wideDepth]float32
	for from := 0; ; from += wideWords {
		step := min(wideWords, k-from)
		if step > 0 {
			widenBNEON(&panel[0], &b[from*wideColumns], step)
		}
		for i := 0; i < m; i += wideRows {
			height := min(wideRows, m-i)
			block := c[i*ldc:]
			if packed {
				if step > 0 {
					widenANEON(&rows[0], &a[i*k+from*wideRows], step)
				}
				gemmPackedNEON(height, n, 2*step, rows[:], panel[:], block, ldc, add, nil)
				continue
			}
			if step > 0 {
				for r := range height {
					widenRowNEON(&rows[r*wideDepth], &a[(i+r)*lda+from], step)
				}
			}
			gemmInPlaceNEON(height, n, 2*step, rows[:], wideDepth, panel[:], block, ldc, add, nil, nil)
		}
		if add = true; from+step == k {
			return
		}
	}
}
