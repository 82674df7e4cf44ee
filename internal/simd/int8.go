package simd

import "math"

// Integers are the primitives of products of int8. An operand is a row of A, or a column of B, as integers from −127 to 127 and
// the scale that makes numbers of them: x ≈ scale·q, where scale is the largest magnitude in it divided by 127. Sums of
// products are exact in int32, in any order, so that every level gives the same bits.
//
// A word holds four successive elements of k, the first in its lowest byte, zero beyond k. A panel of B is [⌈k/4⌉][NR] words.
// The bytes of B are the integers; those of A are the integers with the bits of Offset inverted.
type Integers struct {
	MR, NR int // of the largest tile
	// Offset is 0, or 0x80808080 where the instructions take the bytes of A without a sign: then they are 128 more.
	Offset uint32
	// Native says that these products are faster than those of float32.
	Native bool
	Tiles  bool // they are done in tile registers

	// QuantizeRow rounds x·(127/top) to integers, where top is the largest magnitude of the row: to nearest, ties to even.
	// dst has ⌈len(src)/4⌉ words, whose bits are inverted where those of offset are set. It returns the scale, top/127. A row
	// without a number above 2^-100 becomes zeros with a scale of 0, one that isn't finite zeros with a scale of NaN.
	QuantizeRow func(dst []uint32, src []float32, offset uint32) (scale float32)

	// Quantize is QuantizeRow of a row whose largest magnitude has the bits top; those of a NaN are above all others.
	Quantize func(dst []uint32, src []float32, top, offset uint32) (scale float32)

	// Gemm computes the m×n block c[i*ldc+j] (n ≤ NR, any m) from a, a[i*lda+p], and one panel of B. k and lda count words.
	// Sums are int32 in the memory of c: with add it adds to them, else it overwrites; k = 0 without add is a sum of zero. Then
	// to makes numbers of them, if it has scales. Sums overflow where k is more than MaxInt8Depth elements. Nothing outside the m
	// rows of k words of a and the m rows of n elements of c is touched. next is the panel that is multiplied next, which some levels
	// prefetch meanwhile, or nil.
	Gemm func(m, n, k int, a []uint32, lda int, b []uint32, c []float32, ldc int, add bool, next []uint32, to Scaling)

	// Activate writes f of the numbers that to makes of a row of sums to dst, which may be the same row, and returns the bits of the
	// largest magnitude. The row is the first of to, which has a bias, and f is not Identity. Its error is that of
	// Kernels.ActivateRound, without the rounding. It is nil where Gemm makes the numbers as fast.
	Activate func(f Activation, dst, sums []float32, to Scaling) (top uint32)

	// peak is MultiplyAdds8 for steps > 0, or nil.
	peak func(steps int) (operations int)
}

// MaxInt8Depth is how many products of int8 an int32 is sure to hold the sum of.
const MaxInt8Depth = math.MaxInt32 / (maxInt8 * maxInt8)

// Scaling makes numbers of the sums of a product of integers: (sum + Offsets[j])·(Columns[j]·Rows[i]) + Bias[j], rounded after
// each operation. The zero value leaves the sums as they are.
type Scaling struct {
	Rows, Columns []float32 // [m], [n]: the scales of A and of B
	// Offsets [n] takes from the sums what Integers.Offset adds: −128 times the sum of the column of B. Zeros without an offset.
	Offsets []int32
	Bias    []float32 // [n], or nil
}

// check panics unless s fits a block of m×n.
func (s *Scaling) check(m, n int) {
	if s.Columns == nil {
		return
	}
	_, _, _ = s.Rows[m-1], s.Columns[n-1], s.Offsets[n-1]
	if s.Bias != nil {
		_ = s.Bias[n-1]
	}
}

const (
	maxInt8   = 127
	infinity  = 0x7f800000 // its bits; those of a NaN are more
	leastInt8 = 0x1p-100   // of a row that is not all zeros
)

// scaleOf returns the scale of a row whose largest magnitude has the given bits, and what its elements are multiplied by. all says
// that they are all zero whatever they were.
func scaleOf(bits uint32) (scale, factor float32, all bool) {
	top := math.Float32frombits(bits)
	switch {
	case bits >= infinity:
		return float32(math.NaN()), 0, true
	case top < leastInt8:
		return 0, 0, true
	}
	return top / maxInt8, maxInt8 / top, false
}

// byteWords is the number of words that hold k bytes.
func byteWords(k int) int { return (k + 3) / 4 }
