package simd

import (
	"math"

	bf16 "github.com/go-bert/bert/internal/bfloat16"
)

// upperHalf masks the half of a word that holds its element of odd index; shifting the word by halfBits gives the other.
const (
	halfBits  = 16
	upperHalf = 0xffff0000
	lowerHalf = 0x0000ffff
)

// words is the number of words that hold k elements.
func words(k int) int { return (k + 1) / 2 }

// bfloat16 is the element that x becomes.
func bfloat16(x float32) uint32 { return uint32(bf16.Bits(x)) }

// pair is the word of the elements of index 2p and 2p+1.
func pair(even, odd float32) uint32 { return bfloat16(even) | bfloat16(odd)<<halfBits }

// halves are the elements of a word.
func halves(w uint32) (even, odd float32) {
	return math.Float32frombits(w << halfBits), math.Float32frombits(w & upperHalf)
}

func roundRowGeneric(dst []uint32, src []float32) {
	dst = dst[:length(words(len(src)), len(dst))]
	for p := range len(src) / 2 {
		dst[p] = pair(src[2*p], src[2*p+1])
	}
	if len(src)%2 != 0 {
		dst[len(dst)-1] = pair(src[len(src)-1], 0)
	}
}

func packB16Generic(dst []uint32, src []float32, ld, n, k int) {
	packRows16(dst, genericNR, src, ld, n, k)
}

func packA16Generic(dst []uint32, src []float32, ld, m, k int) {
	packRows16(dst, genericMR, src, ld, m, k)
}

// packRows16 writes a panel of the given width from k rows of n columns.
func packRows16(dst []uint32, width int, src []float32, ld, n, k int) {
	dst = dst[:words(k)*width]
	clear(dst)
	if n == 0 {
		return
	}
	for p := range k {
		row := dst[p/2*width:][:n]
		for j, x := range src[p*ld:][:n] {
			row[j] |= bfloat16(x) << (p % 2 * halfBits)
		}
	}
}

func packBT16Generic(dst []uint32, src []float32, ld, n, k int) {
	dst = dst[:words(k)*genericNR]
	clear(dst)
	if k == 0 {
		return
	}
	for j := range n {
		for p, x := range src[j*ld:][:k] {
			dst[p/2*genericNR+j] |= bfloat16(x) << (p % 2 * halfBits)
		}
	}
}

func repackB16Generic(dst, src []uint32, ld, n, k int) { repackRows16(dst, genericNR, src, ld, n, k) }

func repackA16Generic(dst, src []uint32, ld, m, k int) { repackRows16(dst, genericMR, src, ld, m, k) }

// repackRows16 is packRows16 of rows of words.
func repackRows16(dst []uint32, width int, src []uint32, ld, n, k int) {
	dst = dst[:words(k)*width]
	clear(dst)
	if n == 0 {
		return
	}
	for p := range k {
		row, from := dst[p/2*width:][:n], src[p*ld:][:words(n)]
		for j := range row {
			row[j] |= from[j/2] >> (j % 2 * halfBits) & lowerHalf << (p % 2 * halfBits)
		}
	}
}

func gemm16Generic(m, n, k int, a []uint32, lda int, b []uint32, c []float32, ldc int, add bool, _ []uint32, bias []float32) {
	add = startFromBias(m, n, c, ldc, add, bias)
	for i := 0; i < m; i += genericMR {
		var rows []uint32
		if k > 0 {
			rows = a[i*lda:]
		}
		tile16Generic(min(genericMR, m-i), n, k, rows, lda, 1, b, c[i*ldc:], ldc, add)
	}
}

// startFromBias copies bias to m rows of c, unless there is none or the product adds to c, and reports whether what follows adds
// to c.
func startFromBias(m, n int, c []float32, ldc int, add bool, bias []float32) bool {
	if add || bias == nil {
		return add
	}
	for i := range m {
		copy(c[i*ldc:][:n], bias[:n])
	}
	return true
}

func gemmPacked16Generic(m, n, k int, a, b []uint32, c []float32, ldc int, add bool, _ []uint32) {
	for i := 0; i < m; i += genericMR {
		tile16Generic(min(genericMR, m-i), n, k, a[i*k:], 1, genericMR, b, c[i*ldc:], ldc, add)
	}
}

// tile16Generic is tileGeneric of the elements of words, some words at a time. A product of two rounded elements is exact
// but for overflow and underflow, so only the sums are rounded.
func tile16Generic(m, n, k int, a []uint32, rs, ps int, b []uint32, c []float32, ldc int, add bool) {
	const most = 32 // words
	var rows [2 * most * genericMR]float32
	var panel [2 * most * genericNR]float32
	for {
		step := min(k, most)
		for p := range step {
			for i := range m {
				rows[2*p*genericMR+i+genericMR], rows[2*p*genericMR+i] = halves(a[i*rs+p*ps])
			}
			for j, w := range b[p*genericNR:][:genericNR] {
				panel[2*p*genericNR+j+genericNR], panel[2*p*genericNR+j] = halves(w)
			}
		}
		tileGeneric(m, n, 2*step, rows[:], 1, genericMR, panel[:], c, ldc, add)
		if k -= step; k == 0 {
			return
		}
		a, b, add = a[step*ps:], b[step*genericNR:], true
	}
}
