//go:build (!amd64 && !arm64) || purego

package simd

// tables lists the tables that this machine can run, the best first.
func tables() []*Kernels { return []*Kernels{&genericKernels} }

func fast16() bool { return false }
