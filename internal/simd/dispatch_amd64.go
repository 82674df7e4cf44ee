//go:build amd64 && !purego

package simd

import "golang.org/x/sys/cpu"

// tables lists the tables that this machine can run, the best first. There may be several of a level.
func tables() []*Kernels {
	if !cpu.X86.HasAVX2 || !cpu.X86.HasFMA {
		return []*Kernels{&genericKernels}
	}
	least := []*Kernels{&kernelsAVX2, &genericKernels}
	if cpu.X86.HasAVXVNNI {
		least = append([]*Kernels{&kernelsAVXVNNI}, least...)
	}
	if !cpu.X86.HasAVX512F || !cpu.X86.HasAVX512BW || !cpu.X86.HasAVX512DQ || !cpu.X86.HasAVX512VL {
		return least
	}
	tables := append([]*Kernels{&kernelsAVX512}, least...)
	if !cpu.X86.HasAVX512VNNI {
		return tables
	}
	if !cpu.X86.HasAVX512BF16 {
		return append([]*Kernels{&kernelsAVX512VNNI}, tables...)
	}
	tables = append([]*Kernels{&kernelsAVX512BF16}, tables...)
	switch {
	case !tilesPermitted():
		return tables
	case !cpu.X86.HasAMXInt8:
		return append([]*Kernels{&kernelsAMX}, tables...)
	}
	return append([]*Kernels{&kernelsAMXInt8, &kernelsAMX}, tables...)
}

// fast16 reports whether the instructions for bfloat16 beat those of float32, outside of tiles. Those of AMD do, at twice the rate.
// Intel's have half of the rate; of Intel's processors that have them some have tiles, whether or not they are permitted here, and the
// others lack VBMI.
func fast16() bool { return !cpu.X86.HasAMXTile && cpu.X86.HasAVX512VBMI }
