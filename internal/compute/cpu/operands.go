package cpu

import (
	"unsafe"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/simd"
)

// kernels are the primitives of a device: those of products at its precision, and those of rows, which are the same at every
// precision.
//
// Products take packed operands in words. A word holds perWord successive elements of k: one at Float32, and at BFloat16 two,
// rounded. Both kinds of word have the size of a float32 and are in memory of that type, so that one driver and one scratch
// memory serve both; only these primitives read packed operands.
type kernels struct {
	simd      *simd.Kernels
	precision compute.Precision
	at        Thresholds

	perWord    int
	panelRows  int  // of a panel of A
	panelCols  int  // of a panel of B
	tiles      bool // products are in tile registers
	depthWords int  // the step along k
	blockRows  int  // the most rows of a block

	// These pack panels, and count k in elements: simd's PackB, PackBT and PackA, or those of bfloat16.
	packPanelB, packPanelBT, packPanelA func(dst, src []float32, ld, n, k int)
	// These pack panels of rows of words, of which ld counts words: simd's RepackB16 and RepackA16, where there are words.
	repackPanelB, repackPanelA func(dst, src []float32, ld, n, k int)
	// packRow writes a row of A that is not used in place: a copy, or rounded.
	packRow func(dst, src []float32)

	// These multiply a panel of B, and count k in words: simd's Gemm and GemmPacked, or those of bfloat16. The former's bias is
	// added at the end of sums, of the latter sums start from it.
	mulInPlace func(m, n, k int, a []float32, lda int, b, c []float32, ldc int, add bool, next, bias []float32)
	mulPacked  func(m, n, k int, a, b, c []float32, ldc int, add bool, next []float32)
	// mulBytes is there instead in products of int8.
	mulBytes func(m, n, k int, a []float32, lda int, b, c []float32, ldc int, add bool, next []float32, to simd.Scaling)
}

func newKernels(k *simd.Kernels, p compute.Precision, at Thresholds) *kernels {
	if p == compute.BFloat16 {
		depth, rows := at.block(k.Tiles16())
		return &kernels{
			simd: k, precision: p, at: at, perWord: 2, panelRows: k.MR16, panelCols: k.NR16,
			tiles: k.Tiles16(), depthWords: depth, blockRows: rows,
			packPanelB:   func(dst, src []float32, ld, n, size int) { k.PackB16(asWords(dst), src, ld, n, size) },
			packPanelBT:  func(dst, src []float32, ld, n, size int) { k.PackBT16(asWords(dst), src, ld, n, size) },
			packPanelA:   func(dst, src []float32, ld, m, size int) { k.PackA16(asWords(dst), src, ld, m, size) },
			repackPanelB: func(dst, src []float32, ld, n, size int) { k.RepackB16(asWords(dst), asWords(src), ld, n, size) },
			repackPanelA: func(dst, src []float32, ld, m, size int) { k.RepackA16(asWords(dst), asWords(src), ld, m, size) },
			packRow:      func(dst, src []float32) { k.RoundRow(asWords(dst), src) },
			mulInPlace: func(m, n, words int, a []float32, lda int, b, c []float32, ldc int, add bool, next, bias []float32) {
				k.Gemm16(m, n, words, asWords(a), lda, asWords(b), c, ldc, add, asWords(next), bias)
			},
			mulPacked: func(m, n, words int, a, b, c []float32, ldc int, add bool, next []float32) {
				k.GemmPacked16(m, n, words, asWords(a), asWords(b), c, ldc, add, asWords(next))
			},
		}
	}
	return &kernels{
		simd: k, precision: p, at: at, perWord: 1, panelRows: k.MR, panelCols: k.NR, depthWords: at.Depth, blockRows: at.BlockRows,
		packPanelB: k.PackB, packPanelBT: k.PackBT, packPanelA: k.PackA,
		packRow:    func(dst, src []float32) { copy(dst, src) },
		mulInPlace: k.Gemm, mulPacked: k.GemmPacked,
	}
}

// newInt8Kernels are those of products of int8, whose operands are words from the beginning: see quantize.go.
func newInt8Kernels(k *simd.Kernels, at Thresholds) *kernels {
	depth, rows := at.block(k.Int8.Tiles)
	return &kernels{
		simd: k, precision: compute.Int8, at: at, perWord: 1, panelRows: k.Int8.MR, panelCols: k.Int8.NR,
		tiles: k.Int8.Tiles, depthWords: depth, blockRows: rows,
		mulBytes: func(m, n, words int, a []float32, lda int, b, c []float32, ldc int, add bool, next []float32, to simd.Scaling) {
			k.Int8.Gemm(m, n, words, asWords(a), lda, asWords(b), c, ldc, add, asWords(next), to)
		},
	}
}

// finishCols is how many columns are completed before the next.
func (k *kernels) finishCols() int { return max(k.panelCols, k.at.FinishCols/k.panelCols*k.panelCols) }

// asWords is the memory of s as words of bfloat16 or int8.
func asWords(s []float32) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}

// words is how many words hold size elements.
func (k *kernels) words(size int) int { return ceil(size, k.perWord) }

// rounds reports whether operands are rounded to bfloat16: then A is used in place only if it consists of words.
func (k *kernels) rounds() bool { return k.precision == compute.BFloat16 }

// operandSize is compute.Device.OperandSize: of words, which begin an odd number of cache lines apart, so that successive rows are
// in different sets of the caches.
func (k *kernels) operandSize(width int) int {
	if !k.rounds() {
		return 0
	}
	return spread(k.words(width))
}

// OperandSize is how many elements of a buffer a row of an operand takes.
func (d *Device) OperandSize(width int) int { return d.k.operandSize(width) }

// operand is rows of an operand that an operation reads, or nil for no buffer.
func (d *Device) operand(b compute.Buffer, rows, width int, what string) []float32 {
	return optional(b, rows*d.OperandSize(width), what)
}

// operandTarget is rows of an operand that an operation writes, or nil for no buffer.
func (d *Device) operandTarget(b compute.Buffer, rows, width int, what string) []float32 {
	return optionalTarget(b, rows*d.OperandSize(width), what)
}

// room is words rounded up to whole steps of products of bfloat16, as GemmRoom16 has its operands.
func (k *kernels) room(size int) int { return roundUp(k.words(size), k.simd.Step16) }

// clearRoom clears what rows of A have room for beyond their words.
func (k *kernels) clearRoom(rows []float32, ld, m, size int) {
	words, room := k.words(size), k.room(size)
	if words < room {
		for i := range m {
			clear(rows[i*ld:][words:room])
		}
	}
}

// roomRows is packedRows with the room of GemmRoom16.
func (k *kernels) roomRows(w *worker, src []float32, ld, n, size int) []float32 {
	nr, words, room := k.panelCols, k.words(size), k.room(size)
	dst := w.floats(roundUp(n, nr) * room)
	for j := 0; j < n; j += nr {
		panel := dst[j*room:][:nr*room]
		k.packPanelBT(panel[:nr*words], src[j*ld:], ld, min(nr, n-j), size)
		clear(panel[nr*words:])
	}
	return dst
}

// roomColumns is packedColumns with the room of GemmRoom16.
func (k *kernels) roomColumns(w *worker, src []float32, ld, n, size int) []float32 {
	nr, words, room := k.panelCols, k.words(n), k.room(n)
	dst := w.floats(roundUp(size, nr) * room)
	for j := 0; j < size; j += nr {
		panel := dst[j*room:][:nr*room]
		k.packPanelB(panel[:nr*words], src[j:], ld, min(nr, size-j), n)
		clear(panel[nr*words:])
	}
	return dst
}

// packRows packs m rows of A, of n elements, into rows of words ldd apart.
func (k *kernels) packRows(dst []float32, ldd int, src []float32, lds, m, n int) {
	if k.rounds() {
		k.simd.RoundRows(asWords(dst), ldd, src, lds, m, n, nil)
		return
	}
	for i := range m {
		k.packRow(dst[i*ldd:][:k.words(n)], src[i*lds:][:n])
	}
}
