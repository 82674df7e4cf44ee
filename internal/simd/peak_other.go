//go:build (!amd64 && !arm64) || purego

package simd

func (k *Kernels) peak(int) int { return 0 }
