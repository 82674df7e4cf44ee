package cpu

import (
	"unsafe"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/simd"
)

// kernels is the primitives of a device. Those of products are of its precision and stand before the ones of
// simd.Kernels with the same names.
//
// They take packed operands in words, of which each holds perWord successive elements of k: at Float32 one; at BFloat16
// two, rounded. Both kinds of word have the size of a float32 and lie in memory of that type, so that one driver and one
// scratch memory serve both; no one but these primitives looks into packed operands.
type kernels struct {
	*simd.Kernels
	precision compute.Precision
	at        Thresholds
	perWord   int
	MR, NR    int // of panels of A and B

	// The packing primitives count k in elements, the others in words. Only at Float32 does Gemm add a bias.
	PackB, PackBT, PackA func(dst, src []float32, ld, n, k int)
	Gemm                 func(m, n, k int, a []float32, lda int, b, c []float32, ldc int, add bool, next, bias []float32)
	GemmPacked           func(m, n, k int, a, b, c []float32, ldc int, add bool, next []float32)
	// packRow writes a row of A that is not used in place: a copy, or rounded.
	packRow func(dst, src []float32)
}

func newKernels(k *simd.Kernels, p compute.Precision, at Thresholds) *kernels {
	if p == compute.BFloat16 {
		return &kernels{
			Kernels: k, precision: p, at: at, perWord: 2, MR: k.MR16, NR: k.NR16,
			PackB:  func(dst, src []float32, ld, n, size int) { k.PackB16(asWords(dst), src, ld, n, size) },
			PackBT: func(dst, src []float32, ld, n, size int) { k.PackBT16(asWords(dst), src, ld, n, size) },
			PackA:  func(dst, src []float32, ld, m, size int) { k.PackA16(asWords(dst), src, ld, m, size) },
			Gemm: func(m, n, size int, a []float32, lda int, b, c []float32, ldc int, add bool, next, _ []float32) {
				k.Gemm16(m, n, size, asWords(a), lda, asWords(b), c, ldc, add, asWords(next))
			},
			GemmPacked: func(m, n, size int, a, b, c []float32, ldc int, add bool, next []float32) {
				k.GemmPacked16(m, n, size, asWords(a), asWords(b), c, ldc, add, asWords(next))
			},
			packRow: func(dst, src []float32) { k.RoundRow(asWords(dst), src) },
		}
	}
	return &kernels{
		Kernels: k, precision: p, at: at, perWord: 1, MR: k.MR, NR: k.NR,
		PackB: k.PackB, PackBT: k.PackBT, PackA: k.PackA, Gemm: k.Gemm, GemmPacked: k.GemmPacked,
		packRow: func(dst, src []float32) { copy(dst, src) },
	}
}

// asWords is the memory of s as words of bfloat16.
func asWords(s []float32) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}

// words is how many words hold size elements.
func (k *kernels) words(size int) int { return ceil(size, k.perWord) }

// rounds reports whether operands are rounded: then A is never used in place.
func (k *kernels) rounds() bool { return k.precision != compute.Float32 }

// packRows packs m rows of A, of n elements, into rows of words ldd apart.
func (k *kernels) packRows(dst []float32, ldd int, src []float32, lds, m, n int) {
	for i := range m {
		k.packRow(dst[i*ldd:][:k.words(n)], src[i*lds:][:n])
	}
}
