//go:build !purego

package simd

import "testing"

// BenchmarkPeak measures what multiply-adds alone reach.
func BenchmarkPeak(b *testing.B) {
	const steps, chains = 10000, 12
	benchmarkLevels(b, func(b *testing.B, k *Kernels) {
		peak, lanes := peakAVX2, gemmAVX2.lanes
		switch k.Level {
		case Generic:
			b.Skip("has no vectors")
		case AVX512:
			peak, lanes = peakAVX512, gemmAVX512.lanes
		}
		for b.Loop() {
			peak(steps)
		}
		reportRate(b, 2*steps*chains*float64(lanes), "GFLOP/s")
	})
}
