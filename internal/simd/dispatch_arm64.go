//go:build !purego

package simd

import "golang.org/x/sys/cpu"

// tables lists the tables that this machine can run, the best first. Every arm64 processor has NEON and its fused
// multiply-adds; those since Armv8.2 may have the dot product.
func tables() []*Kernels {
	if !cpu.ARM64.HasASIMDDP {
		return []*Kernels{&kernelsNEON, &genericKernels}
	}
	return []*Kernels{&kernelsDot, &kernelsNEON, &genericKernels}
}

func fast16() bool { return false }
