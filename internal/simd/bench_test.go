package simd

import (
	"fmt"
	"testing"
)

// The benchmarks are named by level and by the shapes of BERT-base: hidden size 768, intermediate size 3072, heads of 64,
// sequences of 128. Products report GFLOP/s, to be compared with BenchmarkPeak of the same level; rows report elements
// a nanosecond.

// benchmarkLevels runs f for every table of this machine.
func benchmarkLevels(b *testing.B, f func(b *testing.B, k *Kernels)) {
	for _, l := range Available() {
		k, _ := For(l)
		b.Run(l.String(), func(b *testing.B) { f(b, k) })
	}
}

// benchmarkTables runs f for every table of this machine, of which a level may have several for bfloat16.
func benchmarkTables(b *testing.B, f func(b *testing.B, k *Kernels)) {
	for _, k := range tables() {
		b.Run(tableName(k), func(b *testing.B) { f(b, k) })
	}
}

func reportRate(b *testing.B, perRun float64, unit string) {
	b.ReportMetric(perRun*float64(b.N)/float64(b.Elapsed().Nanoseconds()), unit)
}

// BenchmarkGemm runs products as a driver does that keeps a block of A in the second level of cache.
func BenchmarkGemm(b *testing.B) {
	const blockM, blockK = 252, 768
	for _, s := range []struct{ m, n, k int }{{4096, 768, 768}, {4096, 3072, 768}, {4096, 768, 3072}, {128, 768, 768}, {1, 768, 768}} {
		b.Run(fmt.Sprintf("m%dn%dk%d", s.m, s.n, s.k), func(b *testing.B) {
			benchmarkLevels(b, func(b *testing.B, k *Kernels) {
				lda, ldc := s.k+16, s.n+16 // not a multiple of a page
				a, c := make([]float32, s.m*lda), make([]float32, s.m*ldc)
				panels := make([]float32, s.n*s.k)
				fillForBenchmark(a, panels)
				for b.Loop() {
					for p := 0; p < s.k; p += blockK {
						for i := 0; i < s.m; i += blockM {
							for j := 0; j < s.n; j += k.NR {
								k.Gemm(min(blockM, s.m-i), k.NR, blockK, a[i*lda+p:], lda, panels[j*s.k+p*k.NR:], c[i*ldc+j:], ldc, p > 0, nil, nil)
							}
						}
					}
				}
				reportRate(b, 2*float64(s.m*s.n*s.k), "GFLOP/s")
			})
		})
	}
}

// BenchmarkGemmTile runs blocks that stay in the first level of cache, as attention's do.
func BenchmarkGemmTile(b *testing.B) {
	for _, s := range []struct{ m, k int }{{128, 64}, {40, 64}, {128, 128}, {14, 768}, {12, 768}, {4, 768}, {1, 768}} {
		b.Run(fmt.Sprintf("m%dk%d", s.m, s.k), func(b *testing.B) {
			benchmarkLevels(b, func(b *testing.B, k *Kernels) {
				a, c, panel := make([]float32, s.m*s.k), make([]float32, s.m*k.NR), make([]float32, s.k*k.NR)
				fillForBenchmark(a, panel)
				for b.Loop() {
					k.Gemm(s.m, k.NR, s.k, a, s.k, panel, c, k.NR, false, nil, nil)
				}
				reportRate(b, 2*float64(s.m*k.NR*s.k), "GFLOP/s")
			})
		})
	}
}

func BenchmarkGemmPacked(b *testing.B) {
	const m, depth = 252, 768
	benchmarkLevels(b, func(b *testing.B, k *Kernels) {
		a, c, panel := make([]float32, m*depth), make([]float32, m*k.NR), make([]float32, depth*k.NR)
		fillForBenchmark(a, panel)
		for b.Loop() {
			k.GemmPacked(m, k.NR, depth, a, panel, c, k.NR, false, nil)
		}
		reportRate(b, 2*float64(m*k.NR*depth), "GFLOP/s")
	})
}

// BenchmarkGemm16 is BenchmarkGemm of operands rounded to bfloat16.
func BenchmarkGemm16(b *testing.B) {
	const blockM, blockK = 252, 768 // words
	for _, s := range []struct{ m, n, k int }{{4096, 768, 768}, {4096, 3072, 768}, {4096, 768, 3072}, {128, 768, 768}, {1, 768, 768}} {
		b.Run(fmt.Sprintf("m%dn%dk%d", s.m, s.n, s.k), func(b *testing.B) {
			benchmarkTables(b, func(b *testing.B, k *Kernels) {
				depth := s.k / 2
				lda, ldc := depth+16, s.n+16
				a, c := make([]uint32, s.m*lda), make([]float32, s.m*ldc)
				panels := make([]uint32, s.n*depth)
				fillForBenchmark(asFloats(a), asFloats(panels))
				for b.Loop() {
					for p := 0; p < depth; p += blockK {
						for i := 0; i < s.m; i += blockM {
							for j := 0; j < s.n; j += k.NR16 {
								step := min(blockK, depth-p)
								k.Gemm16(min(blockM, s.m-i), k.NR16, step, a[i*lda+p:], lda, panels[j*depth+p*k.NR16:], c[i*ldc+j:], ldc, p > 0, nil, nil)
							}
						}
					}
				}
				reportRate(b, 2*float64(s.m*s.n*s.k), "GFLOP/s")
			})
		})
	}
}

// BenchmarkGemmTile16 is BenchmarkGemmTile of operands rounded to bfloat16.
func BenchmarkGemmTile16(b *testing.B) {
	for _, s := range []struct{ m, k int }{{128, 64}, {40, 64}, {128, 128}, {14, 768}, {12, 768}, {4, 768}, {1, 768}} {
		b.Run(fmt.Sprintf("m%dk%d", s.m, s.k), func(b *testing.B) {
			benchmarkTables(b, func(b *testing.B, k *Kernels) {
				depth := s.k / 2
				a, c, panel := make([]uint32, s.m*depth), make([]float32, s.m*k.NR16), make([]uint32, depth*k.NR16)
				fillForBenchmark(asFloats(a), asFloats(panel))
				for b.Loop() {
					k.Gemm16(s.m, k.NR16, depth, a, depth, panel, c, k.NR16, false, nil, nil)
				}
				reportRate(b, 2*float64(s.m*k.NR16*s.k), "GFLOP/s")
			})
		})
	}
}

func BenchmarkGemmPacked16(b *testing.B) {
	const m, depth = 252, 768 // words
	benchmarkTables(b, func(b *testing.B, k *Kernels) {
		a, c, panel := make([]uint32, m*depth), make([]float32, m*k.NR16), make([]uint32, depth*k.NR16)
		fillForBenchmark(asFloats(a), asFloats(panel))
		for b.Loop() {
			k.GemmPacked16(m, k.NR16, depth, a, panel, c, k.NR16, false, nil)
		}
		reportRate(b, 4*float64(m*k.NR16*depth), "GFLOP/s")
	})
}

// BenchmarkPack16 measures what rounds operands to bfloat16.
func BenchmarkPack16(b *testing.B) {
	for _, c := range []struct {
		name     string
		elements func(k *Kernels) int
		run      func(k *Kernels, dst []uint32, src []float32)
	}{
		{"Row768", func(k *Kernels) int { return 768 }, func(k *Kernels, dst []uint32, src []float32) { k.RoundRow(dst[:384], src[:768]) }},
		{"B/ld768k768", func(k *Kernels) int { return 768 * k.NR16 }, func(k *Kernels, dst []uint32, src []float32) { k.PackB16(dst, src, 768, k.NR16, 768) }},
		{"BT/ld768k768", func(k *Kernels) int { return 768 * k.NR16 }, func(k *Kernels, dst []uint32, src []float32) { k.PackBT16(dst, src, 768, k.NR16, 768) }},
		{"BT/ld768k64", func(k *Kernels) int { return 64 * k.NR16 }, func(k *Kernels, dst []uint32, src []float32) { k.PackBT16(dst, src, 768, k.NR16, 64) }},
		{"A/ld768k768", func(k *Kernels) int { return 768 * k.MR16 }, func(k *Kernels, dst []uint32, src []float32) { k.PackA16(dst, src, 768, k.MR16, 768) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			benchmarkTables(b, func(b *testing.B, k *Kernels) {
				dst, src := make([]uint32, 384*k.NR16), make([]float32, 768*768)
				fillForBenchmark(src)
				for b.Loop() {
					c.run(k, dst, src)
				}
				reportRate(b, float64(c.elements(k)), "elements/ns")
			})
		})
	}
}

func BenchmarkPack(b *testing.B) {
	for _, c := range []struct {
		name string
		run  func(k *Kernels, dst, src []float32)
	}{
		{"B/ld768k768", func(k *Kernels, dst, src []float32) { k.PackB(dst, src, 768, k.NR, 768) }},
		{"BT/ld768k768", func(k *Kernels, dst, src []float32) { k.PackBT(dst, src, 768, k.NR, 768) }},
		{"BT/ld768k64", func(k *Kernels, dst, src []float32) { k.PackBT(dst[:64*k.NR], src, 768, k.NR, 64) }},
		{"A/ld768k768", func(k *Kernels, dst, src []float32) { k.PackA(dst, src, 768, k.MR, 768) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			benchmarkLevels(b, func(b *testing.B, k *Kernels) {
				dst, src := make([]float32, 768*k.NR), make([]float32, 768*768)
				fillForBenchmark(src)
				elements := 768 * k.NR
				switch c.name {
				case "BT/ld768k64":
					elements = 64 * k.NR
				case "A/ld768k768":
					elements = 768 * k.MR
				}
				for b.Loop() {
					c.run(k, dst, src)
				}
				reportRate(b, float64(elements), "elements/ns")
			})
		})
	}
}

var addNormWords [384]uint32

func BenchmarkRow(b *testing.B) {
	rows := []struct {
		name string
		n    int
		run  func(k *Kernels, o [4][]float32)
	}{
		{"Add", 768, func(k *Kernels, o [4][]float32) { k.Add(o[0], o[1]) }},
		{"Dot", 64, func(k *Kernels, o [4][]float32) { k.Dot(o[0], o[1]) }},
		{"SumSquares", 768, func(k *Kernels, o [4][]float32) { k.SumSquares(o[0]) }},
		{"GELU", 3072, func(k *Kernels, o [4][]float32) { k.Activate(GELU, o[0], o[1]) }},
		{"GELURounded", 3072, func(k *Kernels, o [4][]float32) { k.ActivateRound(GELU, asWords(o[0][:1536]), o[1]) }},
		{"GELUBackward", 3072, func(k *Kernels, o [4][]float32) { k.ActivateBackward(GELU, o[0], o[1], o[2]) }},
		{"GELUTanhRounded", 3072, func(k *Kernels, o [4][]float32) { k.ActivateRound(GELUTanh, asWords(o[0][:1536]), o[1]) }},
		{"GELUTanh", 3072, func(k *Kernels, o [4][]float32) { k.Activate(GELUTanh, o[0], o[1]) }},
		{"Tanh", 768, func(k *Kernels, o [4][]float32) { k.Activate(Tanh, o[0], o[1]) }},
		{"SiLU", 3072, func(k *Kernels, o [4][]float32) { k.Activate(SiLU, o[0], o[1]) }},
		{"LayerNorm", 768, func(k *Kernels, o [4][]float32) { k.LayerNorm(o[0], o[1], o[2], o[3], 1e-12) }},
		{"AddNormRounded", 768, func(k *Kernels, o [4][]float32) {
			k.AddNorm(o[0], o[1], o[2], o[3], o[3], 1e-12, addNormWords[:])
		}},
		{"LayerNormBackward", 768, func(k *Kernels, o [4][]float32) {
			k.LayerNormBackward(o[0], o[1], o[1], o[2], 0, 1, o[3], o[3])
		}},
		{"Softmax", 128, func(k *Kernels, o [4][]float32) { k.Softmax(o[0], 0.125) }},
		{"Softmax", 512, func(k *Kernels, o [4][]float32) { k.Softmax(o[0], 0.125) }},
		{"SoftmaxAgain", 128, func(k *Kernels, o [4][]float32) { k.SoftmaxAgain(o[0], 0.125, 1) }},
		{"SoftmaxBackward", 128, func(k *Kernels, o [4][]float32) { k.SoftmaxBackward(o[0], o[1], o[2], 0.125, 1) }},
		{"LogSumExp", 30522, func(k *Kernels, o [4][]float32) { k.LogSumExp(o[0]) }},
		{"Dropout", 768, func(k *Kernels, o [4][]float32) { k.Dropout(o[0], o[1], dropExample, 3) }},
		{"DropoutAdd", 768, func(k *Kernels, o [4][]float32) { k.DropoutAdd(o[0], o[1], dropExample, 3) }},
		{"Adam", 4096, func(k *Kernels, o [4][]float32) { k.Adam(o[0], o[1], o[2], o[3], &adamExample) }},
	}
	for _, r := range rows {
		b.Run(fmt.Sprintf("%s%d", r.name, r.n), func(b *testing.B) {
			benchmarkLevels(b, func(b *testing.B, k *Kernels) {
				var o [4][]float32
				for i := range o {
					o[i] = make([]float32, r.n)
				}
				fillForBenchmark(o[:]...)
				for b.Loop() {
					r.run(k, o)
				}
				reportRate(b, float64(r.n), "elements/ns")
			})
		})
	}
}

// fillForBenchmark writes small positive numbers, so that repeated sums stay far from subnormal and infinite ones.
func fillForBenchmark(operands ...[]float32) {
	for _, x := range operands {
		for i := range x {
			x[i] = float32(i%7+1) / 8
		}
	}
}

// BenchmarkSoftmaxRows compares the call for many rows with one call for each, on the scores of a tile of queries.
func BenchmarkSoftmaxRows(b *testing.B) {
	const rows = 14
	for _, n := range []int{32, 64, 128, 512} {
		ld := n + 16
		for _, c := range []struct {
			name string
			run  func(k *Kernels, x, lse []float32)
		}{
			{"rows", func(k *Kernels, x, lse []float32) { k.SoftmaxRows(x, ld, rows, n, 0.125, nil) }},
			{"rowsLSE", func(k *Kernels, x, lse []float32) { k.SoftmaxRows(x, ld, rows, n, 0.125, lse) }},
			{"each", func(k *Kernels, x, lse []float32) {
				for i := range rows {
					lse[i] = k.Softmax(x[i*ld:][:n], 0.125)
				}
			}},
		} {
			b.Run(fmt.Sprintf("n%d/%s", n, c.name), func(b *testing.B) {
				benchmarkLevels(b, func(b *testing.B, k *Kernels) {
					x, lse := make([]float32, rows*ld), make([]float32, rows)
					fillForBenchmark(x)
					for b.Loop() {
						c.run(k, x, lse)
					}
					reportRate(b, float64(rows*n), "elements/ns")
				})
			})
		}
	}
}
