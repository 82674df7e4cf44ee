package simd

// genericKernels is the plain Go table: the reference that the other levels are tested against, and what serves a machine
// for which there is no assembly. It rounds every product before it adds (the explicit float32 conversions forbid the
// compiler to fuse), and takes sums and transcendental functions in float64, so that its results depend on the architecture
// no more than those of package math do.
var genericKernels = Kernels{
	Level: Generic,
	MR:    genericMR,
	NR:    genericNR,

	PackB:      packBGeneric,
	PackBT:     packBTGeneric,
	PackA:      packAGeneric,
	Gemm:       gemmGeneric,
	GemmPacked: gemmPackedGeneric,

	MR16:         genericMR,
	NR16:         genericNR,
	Step16:       1,
	RoundRow:     roundRowGeneric,
	PackB16:      packB16Generic,
	PackBT16:     packBT16Generic,
	PackA16:      packA16Generic,
	RepackB16:    repackB16Generic,
	RepackA16:    repackA16Generic,
	Gemm16:       gemm16Generic,
	GemmPacked16: gemmPacked16Generic,

	Int8: genericInt8,

	Add:        addGeneric,
	Axpy:       axpyGeneric,
	Scale:      scaleGeneric,
	Dot:        dotGeneric,
	SumSquares: sumSquaresGeneric,
	Prefetch:   prefetchGeneric,

	Activate:         activateGeneric,
	ActivateRound:    activateRoundGeneric,
	ActivateBackward: activateBackwardGeneric,

	LayerNorm:         layerNormGeneric,
	AddNorm:           addNormGeneric,
	LayerNormBackward: layerNormBackwardGeneric,

	Softmax:         softmaxGeneric,
	SoftmaxAgain:    softmaxAgainGeneric,
	LogSumExp:       logSumExpGeneric,
	SoftmaxBackward: softmaxBackwardGeneric,

	Dropout:    dropoutGeneric,
	DropoutAdd: dropoutAddGeneric,

	Adam: adamGeneric,
}

// The plain Go tile: sixteen sums fit the registers of arm64.
const (
	genericMR = 4
	genericNR = 4
)

func packBGeneric(dst, src []float32, ld, n, k int) {
	dst = dst[:k*genericNR]
	if n == 0 || k == 0 {
		clear(dst)
		return
	}
	for p := range k {
		row := dst[p*genericNR:][:genericNR]
		clear(row[copy(row, src[p*ld:][:n]):])
	}
}

func packBTGeneric(dst, src []float32, ld, n, k int) {
	dst = dst[:k*genericNR]
	if n == 0 || k == 0 {
		clear(dst)
		return
	}
	for j := range genericNR {
		if j >= n {
			for p := range k {
				dst[p*genericNR+j] = 0
			}
			continue
		}
		for p, x := range src[j*ld:][:k] {
			dst[p*genericNR+j] = x
		}
	}
}

func packAGeneric(dst, src []float32, ld, m, k int) {
	dst = dst[:k*genericMR]
	if m == 0 || k == 0 {
		clear(dst)
		return
	}
	for p := range k {
		row := dst[p*genericMR:][:genericMR]
		clear(row[copy(row, src[p*ld:][:m]):])
	}
}

func gemmGeneric(m, n, k int, a []float32, lda int, b, c []float32, ldc int, add bool, _, bias []float32) {
	for i := 0; i < m; i += genericMR {
		var rows []float32
		if k > 0 {
			rows = a[i*lda:]
		}
		tileGeneric(min(genericMR, m-i), n, k, rows, lda, 1, b, c[i*ldc:], ldc, add)
	}
	addBias(addGeneric, m, n, c, ldc, bias)
}

// addBias adds bias to m rows of c, unless it is nil.
func addBias(add func(dst, x []float32), m, n int, c []float32, ldc int, bias []float32) {
	if bias == nil {
		return
	}
	for i := range m {
		add(c[i*ldc:][:n], bias[:n])
	}
}

func gemmPackedGeneric(m, n, k int, a, b, c []float32, ldc int, add bool, _ []float32) {
	for i := 0; i < m; i += genericMR {
		tileGeneric(min(genericMR, m-i), n, k, a[i*k:], 1, genericMR, b, c[i*ldc:], ldc, add)
	}
}

// tileGeneric computes one tile of at most MR×NR, where the element (i, p) of A stands at a[i*rs+p*ps].
func tileGeneric(m, n, k int, a []float32, rs, ps int, b, c []float32, ldc int, add bool) {
	if m < genericMR {
		for i := range m {
			var row []float32
			if k > 0 {
				row = a[i*rs:]
			}
			rowGeneric(n, k, row, ps, b, c[i*ldc:], add)
		}
		return
	}
	var s [genericMR][genericNR]float32
	if add {
		for i := range s {
			copy(s[i][:], c[i*ldc:][:n])
		}
	}
	s00, s01, s02, s03 := s[0][0], s[0][1], s[0][2], s[0][3]
	s10, s11, s12, s13 := s[1][0], s[1][1], s[1][2], s[1][3]
	s20, s21, s22, s23 := s[2][0], s[2][1], s[2][2], s[2][3]
	s30, s31, s32, s33 := s[3][0], s[3][1], s[3][2], s[3][3]
	b = b[:k*genericNR]
	for p := 0; len(b) >= genericNR; p += ps {
		b0, b1, b2, b3 := b[0], b[1], b[2], b[3]
		b = b[genericNR:]
		x := a[p]
		s00 += float32(x * b0)
		s01 += float32(x * b1)
		s02 += float32(x * b2)
		s03 += float32(x * b3)
		x = a[p+rs]
		s10 += float32(x * b0)
		s11 += float32(x * b1)
		s12 += float32(x * b2)
		s13 += float32(x * b3)
		x = a[p+2*rs]
		s20 += float32(x * b0)
		s21 += float32(x * b1)
		s22 += float32(x * b2)
		s23 += float32(x * b3)
		x = a[p+3*rs]
		s30 += float32(x * b0)
		s31 += float32(x * b1)
		s32 += float32(x * b2)
		s33 += float32(x * b3)
	}
	s = [genericMR][genericNR]float32{
		{s00, s01, s02, s03},
		{s10, s11, s12, s13},
		{s20, s21, s22, s23},
		{s30, s31, s32, s33},
	}
	for i := range s {
		copy(c[i*ldc:][:n], s[i][:])
	}
}

// rowGeneric computes one row of a tile; the element p of A stands at a[p*ps].
func rowGeneric(n, k int, a []float32, ps int, b, c []float32, add bool) {
	var s [genericNR]float32
	if add {
		copy(s[:], c[:n])
	}
	s0, s1, s2, s3 := s[0], s[1], s[2], s[3]
	b = b[:k*genericNR]
	for p := 0; len(b) >= genericNR; p += ps {
		x := a[p]
		s0 += float32(x * b[0])
		s1 += float32(x * b[1])
		s2 += float32(x * b[2])
		s3 += float32(x * b[3])
		b = b[genericNR:]
	}
	s = [genericNR]float32{s0, s1, s2, s3}
	copy(c[:n], s[:])
}
