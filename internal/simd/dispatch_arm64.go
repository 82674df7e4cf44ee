//go:build !purego

package simd

// tables lists the tables that this machine can run, the best first. Every arm64 processor has NEON and its fused
// multiply-adds.
func tables() []*Kernels { return []*Kernels{&kernelsNEON, &genericKernels} }
