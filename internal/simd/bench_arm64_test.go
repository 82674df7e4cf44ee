//go:build !purego

package simd

import "testing"

// BenchmarkPeak measures what multiply-adds alone reach.
func BenchmarkPeak(b *testing.B) {
	const steps, chains = 10000, 24
	benchmarkTables(b, func(b *testing.B, k *Kernels) {
		if k.Level == Generic {
			b.Skip("has no vectors")
		}
		for b.Loop() {
			peakNEON(steps)
		}
		reportRate(b, 2*steps*chains*lanesNEON, "GFLOP/s")
	})
}
