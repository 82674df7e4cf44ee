//go:build !purego

package simd

import "testing"

// BenchmarkPeak measures what multiply-adds alone reach, and those of words.
func BenchmarkPeak(b *testing.B) {
	const steps, chains = 10000, 14
	benchmarkTables(b, func(b *testing.B, k *Kernels) {
		peak, lanes, products := peakAVX2, gemmAVX2.lanes, 1
		switch {
		case k.Level == Generic:
			b.Skip("has no vectors")
		case k.Native16:
			peak, lanes, products = peakAVX512BF16, gemmAVX512.lanes, 2
		case k.Level == AVX512:
			peak, lanes = peakAVX512, gemmAVX512.lanes
		}
		for b.Loop() {
			peak(steps)
		}
		reportRate(b, 2*steps*chains*float64(lanes*products), "GFLOP/s")
	})
}
