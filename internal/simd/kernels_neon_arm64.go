//go:build !purego

package simd

import (
	"math"
	"unsafe"
)

var kernelsNEON = Kernels{
	Level: NEON,
	MR:    tileRows,
	NR:    tileCols,

	PackB:      packBNEON,
	PackBT:     packBTNEON,
	PackA:      packANEON,
	Gemm:       gemmNEON,
	GemmPacked: gemmPackedNEON,

	MR16:         tileRows,
	NR16:         tileCols,
	Step16:       1,
	RoundRow:     roundRowGeneric,
	PackB16:      packB16NEON,
	PackBT16:     packBT16NEON,
	PackA16:      packA16NEON,
	Gemm16:       gemm16NEON,
	GemmPacked16: gemmPacked16NEON,

	Add: func(dst, x []float32) {
		n := length(len(dst), len(x))
		addNEON(unsafe.SliceData(dst), unsafe.SliceData(x), n)
	},
	Axpy: func(dst []float32, s float32, x []float32) {
		n := length(len(dst), len(x))
		axpyNEON(unsafe.SliceData(dst), s, unsafe.SliceData(x), n)
	},
	Scale: func(dst []float32, s float32) {
		scaleNEON(unsafe.SliceData(dst), s, len(dst))
	},
	Dot: func(x, y []float32) float32 {
		n := length(len(x), len(y))
		return dotNEON(unsafe.SliceData(x), unsafe.SliceData(y), n)
	},
	SumSquares: func(x []float32) float64 {
		return sumSquaresNEON(unsafe.SliceData(x), len(x))
	},

	Activate: func(f Activation, dst, x []float32) {
		n := length(len(dst), len(x))
		d, s := unsafe.SliceData(dst), unsafe.SliceData(x)
		switch f {
		case GELU:
			activateGELUNEON(d, s, n)
		case GELUTanh:
			activateGELUTanhNEON(d, s, n)
		case ReLU:
			activateReLUNEON(d, s, n)
		case Tanh:
			activateTanhNEON(d, s, n)
		case SiLU:
			activateSiLUNEON(d, s, n)
		default:
			activateGeneric(f, dst, x)
		}
	},
	ActivateBackward: func(f Activation, dx, dy, x []float32) {
		n := length(len(dx), len(dy), len(x))
		d, e, s := unsafe.SliceData(dx), unsafe.SliceData(dy), unsafe.SliceData(x)
		switch f {
		case GELU:
			backwardGELUNEON(d, e, s, n)
		case GELUTanh:
			backwardGELUTanhNEON(d, e, s, n)
		case ReLU:
			backwardReLUNEON(d, e, s, n)
		case Tanh:
			backwardTanhNEON(d, e, s, n)
		case SiLU:
			backwardSiLUNEON(d, e, s, n)
		default:
			activateBackwardGeneric(f, dx, dy, x)
		}
	},

	LayerNorm: func(y, x, gamma, beta []float32, eps float32) (mean, rstd float32) {
		n := length(len(y), len(x), len(gamma), len(beta))
		if n == 0 {
			return layerNormGeneric(y, x, gamma, beta, eps)
		}
		return layerNormNEON(&y[0], &x[0], &gamma[0], &beta[0], n, eps)
	},
	LayerNormBackward: func(dx, dy, x, gamma []float32, mean, rstd float32, dgamma, dbeta []float32) {
		n := length(len(dx), len(dy), len(x), len(gamma), len(dgamma), len(dbeta))
		if n > 0 {
			layerNormBackwardNEON(&dx[0], &dy[0], &x[0], &gamma[0], mean, rstd, &dgamma[0], &dbeta[0], n)
		}
	},

	Softmax: func(x []float32, s float32) (lse float32) {
		if s < 0 { // the assembly looks for the maximum of x, not of s·x
			scaleNEON(unsafe.SliceData(x), -1, len(x))
			s = -s
		}
		top, sum := softmaxNEON(unsafe.SliceData(x), s, len(x))
		return float32(float64(s)*float64(top) + math.Log(float64(sum))) // the product is exact, so fusing changes nothing
	},
	SoftmaxAgain: func(x []float32, s, lse float32) {
		softmaxAgainNEON(unsafe.SliceData(x), s, lse, len(x))
	},
	LogSumExp: func(x []float32) float64 {
		top, sum := logSumExpNEON(unsafe.SliceData(x), 1, len(x))
		return float64(top) + math.Log(float64(sum))
	},
	SoftmaxBackward: func(ds, p, dp []float32, s, d float32) {
		n := length(len(ds), len(p), len(dp))
		softmaxBackwardNEON(unsafe.SliceData(ds), unsafe.SliceData(p), unsafe.SliceData(dp), s, d, n)
	},

	Dropout: func(dst, x []float32, d Drop, row uint64) {
		length(len(dst), len(x))
		if d.Threshold == 0 || d.Threshold >= drawRange {
			dropAllOrNone(dst, x, d)
			return
		}
		dropNEON(dst, x, d, row, false)
	},
	DropoutAdd: func(dst, x []float32, d Drop, row uint64) {
		n := length(len(dst), len(x))
		switch {
		case d.Threshold == 0:
			addNEON(unsafe.SliceData(dst), unsafe.SliceData(x), n)
		case d.Threshold < drawRange:
			dropNEON(dst, x, d, row, true)
		}
	},

	Adam: func(p, g, m, v []float32, c *AdamStep) {
		n := length(len(p), len(g), len(m), len(v))
		adamNEON(unsafe.SliceData(p), unsafe.SliceData(g), unsafe.SliceData(m), unsafe.SliceData(v), n, &c.GradScale)
	},
}

// dropNEON is Dropout or DropoutAdd where draws have to be made. The assembly knows whole groups of draws only, so what is
// left of a row goes through memory of that size.
func dropNEON(dst, x []float32, d Drop, row uint64, add bool) {
	groups := len(x) / dropGroup
	if groups > 0 {
		dropGroups(&dst[0], &x[0], groups, 0, d, row, add)
	}
	if done := groups * dropGroup; done < len(x) {
		var rest, result [dropGroup]float32
		copy(rest[:], x[done:])
		copy(result[:], dst[done:])
		dropGroups(&result[0], &rest[0], 1, groups, d, row, add)
		copy(dst[done:], result[:])
	}
}

// dropGroups does so many groups of a row, from the first on.
func dropGroups(dst, x *float32, groups, first int, d Drop, row uint64, add bool) {
	block := uint32(first * dropLanes)
	if add {
		dropoutAddNEON(dst, x, groups, block, d.Key[0], d.Key[1], d.Threshold, d.Scale, uint32(row), uint32(row>>32))
	} else {
		dropoutNEON(dst, x, groups, block, d.Key[0], d.Key[1], d.Threshold, d.Scale, uint32(row), uint32(row>>32))
	}
}
