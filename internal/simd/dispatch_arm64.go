//go:build !purego

package simd

import "golang.org/x/sys/cpu"

// tables lists the tables that this machine can run, the best first. Every arm64 processor has NEON and its fused
// multiply-adds; those since Armv8.2 may have the dot product, those since Armv8.6 the matrix multiplication.
func tables() []*Kernels {
	if !cpu.ARM64.HasASIMDDP {
		return []*Kernels{&kernelsNEON, &genericKernels}
	}
	if !cpu.ARM64.HasI8MM {
		return []*Kernels{&kernelsDot, &kernelsNEON, &genericKernels}
	}
	return []*Kernels{&kernelsSquare, &kernelsDot, &kernelsNEON, &genericKernels}
}

func fast16() bool { return false }
