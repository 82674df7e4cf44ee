// Package simd holds the primitives that everything numerical is made of: the tiles of a matrix product and operations on
// rows of float32. Each exists in plain Go, which is the reference and serves every machine, and as generated assembly
// for AVX-512 and AVX2 (amd64) and NEON (arm64).
//
// The assembly is written by the generators in _asm and _asm_arm64, modules of their own; go generate runs them, and
// BERT_CHECK_ASM=1 lets a test verify that what is committed is what they write. The tag purego leaves the assembly out.
//
// A level's primitives are one table, Kernels; Best picks the table of this machine, once. The results of a level depend
// on the values and lengths of its arguments alone: never on alignment, on how rows are grouped into calls, or on who
// calls.
//
// Legend: m, n, k sizes of a product C[m,n] = A[m,k]·B[k,n]; MR, NR rows and columns of a tile; ld… distance between the
// beginnings of two rows, in elements.
package simd

//go:generate go run -C _asm . -dir ..
//go:generate go run -C _asm_arm64 . -dir ..

// Kernels is the table of primitives of one level. Slices named together have the same length unless said otherwise;
// a destination may be the same slice as a source, but may not overlap it otherwise.
type Kernels struct {
	// Level says which instructions the table uses.
	Level Level

	// MR and NR are the rows and columns of the largest tile. Packed operands are laid out by them:
	//
	//	a panel of B:  [k][NR]  columns j…j+NR of B, zero where B has fewer
	//	a panel of A:  [k][MR]  rows i…i+MR of A, transposed, zero where A has fewer
	MR, NR int

	// PackB writes the panel of B from src, k rows of n ≤ NR columns: dst[p*NR+j] = src[p*ld+j]. dst has k*NR elements.
	PackB func(dst, src []float32, ld, n, k int)
	// PackBT writes the panel of B from its transpose, n ≤ NR rows of k columns: dst[p*NR+j] = src[j*ld+p].
	PackBT func(dst, src []float32, ld, n, k int)
	// PackA writes the panel of A from its transpose, k rows of m ≤ MR columns: dst[p*MR+i] = src[p*ld+i].
	PackA func(dst, src []float32, ld, m, k int)

	// Gemm computes the m×n block c[i*ldc+j] (n ≤ NR, any m) from a in place, a[i*lda+p], and one panel of B. With add
	// it adds to c, else it overwrites; k = 0 without add writes zeros. Each element is one chain of fused multiply-adds
	// in the order of p, which starts from c with add and from zero without, whatever m, n and the tile. So a row's
	// result does not depend on its neighbours, and a product cut along k into several calls has the same bits as one
	// call. (The plain Go level rounds the product first; it keeps the order.) Nothing outside the m rows of k elements
	// of a and the m rows of n elements of c is touched. next is the panel that is multiplied next, which some levels prefetch
	// meanwhile; nil means that all panels are in the cache. Finally bias, of n elements, is added to each row, unless it is
	// nil.
	Gemm func(m, n, k int, a []float32, lda int, b []float32, c []float32, ldc int, add bool, next, bias []float32)
	// GemmPacked is Gemm with a as ⌈m/MR⌉ consecutive panels of A, without a bias.
	GemmPacked func(m, n, k int, a []float32, b []float32, c []float32, ldc int, add bool, next []float32)

	// The same products of operands rounded to bfloat16, to nearest, ties to even; a NaN stays one. A rounded operand holds
	// elements of k in pairs: word p of a row is the elements 2p (lower half) and 2p+1 (upper half), zero beyond k. Its
	// panels are [⌈k/2⌉][NR16] words of B, and of A blocks of Step16 words of k, each [MR16][Step16], of the last what is left
	// of them: with a Step16 of one, [⌈k/2⌉][MR16].
	//
	// RoundRow writes a row of A: dst has ⌈len(src)/2⌉ words. PackB16, PackBT16 and PackA16 are PackB, PackBT and PackA of
	// float32 sources, rounded; k and ld count elements, dst has ⌈k/2⌉*NR16 or ⌈k/2⌉*MR16 words. RepackB16 and RepackA16 are PackB16
	// and PackA16 of sources that are rounded already: rows as RoundRow writes them, of which ld counts words. Gemm16 and GemmPacked16 are
	// Gemm and GemmPacked with k and lda counted in words; without add, the sums of Gemm16 start from bias, unless it is nil,
	// and with add there is none. The product of two rounded elements is exact.
	// With a Step16 of one a chain adds them up in float32 in the order of the words, of each the upper half's first. Else
	// it adds up the lower halves of Step16 words and their upper halves, both from zero, and adds the sum of both to the
	// element of C. All that Gemm promises holds, of a product cut along k if it is cut between blocks of Step16 words.
	//
	// Native16 says that the processor has instructions for it, which take subnormal operands, products and sums for zero;
	// else these count.
	MR16, NR16   int
	Step16       int
	Native16     bool
	RoundRow     func(dst []uint32, src []float32)
	PackB16      func(dst []uint32, src []float32, ld, n, k int)
	PackBT16     func(dst []uint32, src []float32, ld, n, k int)
	PackA16      func(dst []uint32, src []float32, ld, m, k int)
	RepackB16    func(dst, src []uint32, ld, n, k int)
	RepackA16    func(dst, src []uint32, ld, m, k int)
	Gemm16       func(m, n, k int, a []uint32, lda int, b []uint32, c []float32, ldc int, add bool, next []uint32, bias []float32)
	GemmPacked16 func(m, n, k int, a []uint32, b []uint32, c []float32, ldc int, add bool, next []uint32)

	// Int8 is products of int8.
	Int8 Integers

	Add   func(dst, x []float32)                      // dst += x
	Axpy  func(dst []float32, s float32, x []float32) // dst += s·x
	Scale func(dst []float32, s float32)              // dst *= s
	Dot   func(x, y []float32) float32                // Σ x·y
	// SumSquares is Σ x², accumulated in float64.
	SumSquares func(x []float32) float64
	// Prefetch asks for n elements of each of some rows of x, which are soon to be read or written, to be brought into the first cache
	// meanwhile. They need not be within x. Some levels do nothing.
	Prefetch func(x []float32, ld, rows, n int)

	// Activate writes dst = f(x), of a row, and ActivateBackward dx = dy·f'(x), where x is the input of the activation.
	// Infinities give the limits, and a NaN in x a NaN, but for the slope of ReLU, which is 0 where x ≤ 0, else 1.
	//
	// In units in the last place of the result, over all of float32: GELU is within 4, Tanh and SiLU within 3, GELUTanh
	// within 3 + 2·|v| for the argument v of its exponential. A subnormal result may be |x| such units farther away.
	// Slopes are within 3e-7.
	Activate         func(f Activation, dst, x []float32)
	ActivateBackward func(f Activation, dx, dy, x []float32)

	// ActivateRound is Activate and then RoundRow, in one pass and without the exact value of the activation: that has a relative
	// error of at most 2.4e-4, as far as it is a normal number. So the words are within 0.57 units in their last place of the true
	// value. dst has ⌈len(x)/2⌉ words.
	ActivateRound func(f Activation, dst []uint32, x []float32)

	// LayerNorm writes y = (x−mean)·rstd·gamma + beta with the biased variance, rstd = 1/√(var+eps), and returns both
	// statistics. The variance is of the differences from the mean, never E[x²]−E[x]².
	LayerNorm func(y, x, gamma, beta []float32, eps float32) (mean, rstd float32)
	// AddNorm is Add of residual to s, LayerNorm of s and, unless words is nil, RoundRow of y, in fewer passes and with their bits.
	// words has ⌈len(y)/2⌉ words.
	AddNorm func(y, s, residual, gamma, beta []float32, eps float32, words []uint32) (mean, rstd float32)
	// LayerNormBackward writes dx and adds to dgamma and dbeta. x is the input of the normalisation, mean and rstd what
	// LayerNorm returned. dx may be dy.
	LayerNormBackward func(dx, dy, x, gamma []float32, mean, rstd float32, dgamma, dbeta []float32)

	// Softmax replaces x by exp(s·x)/Σ exp(s·x) and returns log Σ exp(s·x), found with the maximum taken out. A row that
	// holds a NaN or whose maximum is infinite becomes NaN; the sum over an empty row is zero, its logarithm −Inf.
	Softmax func(x []float32, s float32) (lse float32)
	// SoftmaxAgain replaces x by exp(s·x−lse): the probabilities of Softmax, recomputed from its result. exp itself is
	// within one unit in the last place.
	SoftmaxAgain func(x []float32, s, lse float32)
	// LogSumExp is what Softmax with s = 1 returns, before it is rounded to float32: a loss is its difference from one of
	// the elements, which may be far smaller than both. x stays.
	LogSumExp func(x []float32) float64
	// SoftmaxBackward writes ds = s·p·(dp−d), where d = Σ p·dp. ds may be dp or p.
	SoftmaxBackward func(ds, p, dp []float32, s, d float32)

	// Dropout writes dst = x·scale where element i is kept, else 0; DropoutAdd adds to dst instead of overwriting it.
	// Which are kept is a function of the drop's key, the row and i alone; it is the same at every level. dst may be x.
	Dropout    func(dst, x []float32, d Drop, row uint64)
	DropoutAdd func(dst, x []float32, d Drop, row uint64)

	// Adam updates a run of parameters in one pass over memory:
	//
	//	g' = g·GradScale
	//	m  = Beta1·m + Rest1·g'
	//	v  = Beta2·v + Rest2·g'²
	//	p  = p − (Decay·p + StepSize·m/(√v·RootScale + Eps))
	//
	// The caller's choice of the constants makes it Google's AdamWeightDecayOptimizer (no bias correction) or AdamW.
	Adam func(p, g, m, v []float32, c *AdamStep)

	// peak16 is MultiplyAdds16 for steps > 0. It is nil without Native16.
	peak16 func(steps int) (operations int)

	// softmaxRows is SoftmaxRows of operands that are known to be long enough. It may be nil.
	softmaxRows func(x []float32, ld, rows, n int, s float32, lse []float32)

	// softmaxGrad16 is SoftmaxGrad16 with a threshold of draws that some may be below and some not. It may be nil.
	softmaxGrad16 func(p, ds []uint32, x, dp []float32, s, lse, d float32, drop Drop, row uint64)

	// gemmRoom16 is GemmRoom16 of operands that are known to be long enough and not empty. It may be nil.
	gemmRoom16 func(m, n, k int, a []uint32, lda int, b []uint32, c []float32, ldc int)

	// expRows16, roundRows and scaleRows are ExpRows16, RoundRows and ScaleRows of operands that are known to be long enough,
	// of rows that are not empty and, the first, of s ≥ 0. They may be nil.
	expRows16 func(dst []uint32, ldd int, x []float32, ld, rows, n int, s float32, inverse []float32)
	roundRows func(dst []uint32, ldd int, src []float32, ld, rows, n int, scale []float32)
	scaleRows func(dst []float32, ldd int, src []float32, ld, rows, n int, scale []float32)
}

// Tiles16 reports whether products of bfloat16 are done in tile registers.
func (k *Kernels) Tiles16() bool { return k.Step16 > 1 }

// SoftmaxRows does to the elements from i*ld to i*ld+n of x, for all i < rows, what Softmax does to a row, with the same
// bits. What Softmax returns for row i is written to lse[i], unless lse is nil, which saves a logarithm a row. Assembly
// works on one row while it waits for the maximum or the sum of another.
func (k *Kernels) SoftmaxRows(x []float32, ld, rows, n int, s float32, lse []float32) {
	if lse != nil {
		length(rows, len(lse))
	}
	if n == 0 {
		ld = 0 // x may be empty
	} else if rows > 0 {
		_ = x[(rows-1)*ld+n-1]
	}
	if k.softmaxRows != nil {
		k.softmaxRows(x, ld, rows, n, s, lse)
		return
	}
	for i := range rows {
		sum := k.Softmax(x[i*ld:][:n], s)
		if lse != nil {
			lse[i] = sum
		}
	}
}

// SoftmaxGrad16 goes back through a row of attention whose probabilities are those of SoftmaxAgain(x, s, lse) and then of Dropout(drop, row):
// given the gradient dp at what is left of them and the d of SoftmaxBackward, it writes what is left to p and the gradient at x to
// ds, both rounded as by RoundRow. x and dp are left with anything.
func (k *Kernels) SoftmaxGrad16(p, ds []uint32, x, dp []float32, s, lse, d float32, drop Drop, row uint64) {
	if k.softmaxGrad16 != nil && drop.Threshold < drawRange {
		k.softmaxGrad16(p, ds, x, dp, s, lse, d, drop, row)
		return
	}
	k.SoftmaxAgain(x, s, lse)
	if drop.Threshold != 0 {
		k.Dropout(dp, dp, drop, row)
	}
	k.SoftmaxBackward(dp, x, dp, s, d)
	if drop.Threshold != 0 {
		k.Dropout(x, x, drop, row)
	}
	n := words(len(x))
	k.RoundRow(p[:n], x)
	k.RoundRow(ds[:n], dp)
}

// AdamStep holds the constants of one step for one run of parameters.
type AdamStep struct {
	GradScale float32 // the factor of gradient clipping
	// Rest1 and Rest2 are 1−β1 and 1−β2, rounded once: 1 minus a float32 of 0.999 would be 1.3e-5 off.
	Beta1, Rest1 float32
	Beta2, Rest2 float32
	Decay        float32 // rate·decay; as 1 − rate·decay it would lose its digits
	StepSize     float32 // rate, over 1−Beta1^t with bias correction
	RootScale    float32 // 1, or 1/√(1−Beta2^t) with bias correction
	Eps          float32
}

// Activation names an activation function.
type Activation uint8

const (
	Identity Activation = iota
	GELU                // x·Φ(x), by erf
	GELUTanh            // the tanh form: 0.5·x·(1+tanh(√(2/π)·(x+0.044715·x³)))
	ReLU
	Tanh
	SiLU // x·sigmoid(x)
)

// Drop says which elements dropout drops. The zero value keeps all.
//
// Randomness is Philox4x32-10 (Salmon et al., 2011) as a pure function of a counter, so that a mask is computed again in
// the backward pass rather than stored, and no result depends on who computes which row. One block of the generator
// has four 32-bit words, two 16-bit draws each. The draw of element i of a row: with g = i/128, q = (i%128)/16 and
// l = i%16, the block of counter (g·16+l, 0, row low, row high) under Key; of its word q/2 the low half if q is even,
// the high half if odd. The element is dropped if its draw is < Threshold.
type Drop struct {
	Key       [2]uint32
	Threshold uint32  // of 65,536; 0 drops none and leaves Scale aside
	Scale     float32 // 65536/(65536−Threshold)
}
