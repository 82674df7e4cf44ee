//go:build amd64 && !purego

package simd

var kernelsAVX2 = Kernels{
	Level: AVX2,
	MR:    6,
	NR:    16,

	PackB:      packAVX2.b,
	PackBT:     packAVX2.bt,
	PackA:      packAVX2.a,
	Gemm:       gemmAVX2.inPlace,
	GemmPacked: gemmAVX2.packed,

	Add:        addGeneric,
	Axpy:       axpyGeneric,
	Scale:      scaleGeneric,
	Dot:        dotGeneric,
	SumSquares: sumSquaresGeneric,

	Activate:         activateGeneric,
	ActivateBackward: activateBackwardGeneric,

	LayerNorm:         layerNormGeneric,
	LayerNormBackward: layerNormBackwardGeneric,

	Softmax:         softmaxGeneric,
	SoftmaxAgain:    softmaxAgainGeneric,
	LogSumExp:       logSumExpGeneric,
	SoftmaxBackward: softmaxBackwardGeneric,

	Dropout:    dropoutGeneric,
	DropoutAdd: dropoutAddGeneric,

	Adam: adamGeneric,
}

var kernelsAVX512 = Kernels{
	Level: AVX512,
	MR:    14,
	NR:    32,

	PackB:      packAVX512.b,
	PackBT:     packAVX512.bt,
	PackA:      packAVX512.a,
	Gemm:       gemmAVX512.inPlace,
	GemmPacked: gemmAVX512.packed,

	Add:        addGeneric,
	Axpy:       axpyGeneric,
	Scale:      scaleGeneric,
	Dot:        dotGeneric,
	SumSquares: sumSquaresGeneric,

	Activate:         activateGeneric,
	ActivateBackward: activateBackwardGeneric,

	LayerNorm:         layerNormGeneric,
	LayerNormBackward: layerNormBackwardGeneric,

	Softmax:         softmaxGeneric,
	SoftmaxAgain:    softmaxAgainGeneric,
	LogSumExp:       logSumExpGeneric,
	SoftmaxBackward: softmaxBackwardGeneric,

	Dropout:    dropoutGeneric,
	DropoutAdd: dropoutAddGeneric,

	Adam: adamGeneric,
}
