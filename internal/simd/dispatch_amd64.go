//go:build amd64 && !purego

package simd

import "golang.org/x/sys/cpu"

// tables lists the tables that this machine can run, the best first. There may be several of a level.
func tables() []*Kernels {
	if !cpu.X86.HasAVX2 || !cpu.X86.HasFMA {
		return []*Kernels{&genericKernels}
	}
	if !cpu.X86.HasAVX512F || !cpu.X86.HasAVX512BW || !cpu.X86.HasAVX512DQ || !cpu.X86.HasAVX512VL {
		return []*Kernels{&kernelsAVX2, &genericKernels}
	}
	if !cpu.X86.HasAVX512VNNI {
		return []*Kernels{&kernelsAVX512, &kernelsAVX2, &genericKernels}
	}
	if !cpu.X86.HasAVX512BF16 {
		return []*Kernels{&kernelsAVX512VNNI, &kernelsAVX512, &kernelsAVX2, &genericKernels}
	}
	if !tilesPermitted() {
		return []*Kernels{&kernelsAVX512BF16, &kernelsAVX512, &kernelsAVX2, &genericKernels}
	}
	return []*Kernels{&kernelsAMX, &kernelsAVX512BF16, &kernelsAVX512, &kernelsAVX2, &genericKernels}
}
