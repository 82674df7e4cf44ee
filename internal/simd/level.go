package simd

// Level is a set of instructions that a table of kernels is written in.
type Level uint8

const (
	Generic Level = iota // plain Go
	AVX2                 // AVX2 and FMA
	AVX512               // AVX-512 F, BW, DQ, VL
)
