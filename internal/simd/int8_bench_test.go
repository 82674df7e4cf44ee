package simd

import (
	"fmt"
	"testing"
)

// BenchmarkGemm8 runs products of int8 as a driver does that keeps a block of A in the second level of cache, their numbers made at
// the end: 10⁹ operations a second, to be compared with BenchmarkPeak8 of the same level.
func BenchmarkGemm8(b *testing.B) {
	const blockM = 192
	for _, s := range []struct{ m, n, k int }{
		{64, 768, 768}, {64, 3072, 768}, {64, 768, 3072}, {4096, 768, 768}, {4096, 3072, 768}, {4096, 768, 3072}, {1, 768, 768},
	} {
		b.Run(fmt.Sprintf("m%dn%dk%d", s.m, s.n, s.k), func(b *testing.B) {
			benchmarkTables(b, func(b *testing.B, table *Kernels) {
				k := &table.Int8
				words, blockK := s.k/4, min(768, s.k/4)
				lda, ldc := words+16, s.n+16 // not a multiple of a page
				a, c := make([]uint32, s.m*lda), make([]float32, s.m*ldc)
				panels := make([]uint32, (s.n+k.NR)*words)
				to := Scaling{Rows: make([]float32, s.m), Columns: make([]float32, s.n), Offsets: make([]int32, s.n), Bias: make([]float32, s.n)}
				for b.Loop() {
					for p := 0; p < words; p += blockK {
						for i := 0; i < s.m; i += blockM {
							m := min(blockM, s.m-i)
							for j := 0; j < s.n; j += k.NR {
								n := min(k.NR, s.n-j)
								var scaling Scaling
								if p+blockK >= words {
									scaling = Scaling{Rows: to.Rows[i:][:m], Columns: to.Columns[j:][:n], Offsets: to.Offsets[j:][:n], Bias: to.Bias[j:][:n]}
								}
								panel := panels[j*words+p*k.NR:]
								k.Gemm(m, n, blockK, a[i*lda+p:], lda, panel, c[i*ldc+j:], ldc, p > 0, panel[blockK*k.NR:], scaling)
							}
						}
					}
				}
				reportRate(b, 2*float64(s.m*s.n*s.k), "Gop/s")
			})
		})
	}
}

// BenchmarkPeak8 measures what multiply-adds of int8 alone reach.
func BenchmarkPeak8(b *testing.B) {
	const steps = 10000
	benchmarkTables(b, func(b *testing.B, k *Kernels) {
		operations := 0
		for b.Loop() {
			operations = k.MultiplyAdds8(steps)
		}
		reportRate(b, float64(operations), "Gop/s")
	})
}

// BenchmarkQuantizeRow makes integers of rows: elements a nanosecond.
func BenchmarkQuantizeRow(b *testing.B) {
	for _, n := range []int{768, 3072} {
		b.Run(fmt.Sprintf("n%d", n), func(b *testing.B) {
			benchmarkTables(b, func(b *testing.B, k *Kernels) {
				dst, src := make([]uint32, n/4), normals(newRand(), n)
				for b.Loop() {
					k.Int8.QuantizeRow(dst, src, k.Int8.Offset)
				}
				reportRate(b, float64(n), "elements/ns")
			})
		})
	}
}
