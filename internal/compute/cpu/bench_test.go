package cpu

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/go-bert/bert/internal/compute"
)

// withThreads runs f on devices of 1 thread and of all processors. f prepares an operation and returns it with the
// number of floating-point operations, which become GFLOP/s, or of bytes, which become GB/s.
func withThreads(b *testing.B, name, unit string, f func(d *Device) (do func(), work float64)) {
	withThreadsAt(b, compute.Float32, name, unit, f)
}

// withPrecisions is withThreads at each precision, of GFLOP/s.
func withPrecisions(b *testing.B, name string, f func(d *Device) (do func(), work float64)) {
	for _, p := range precisions {
		withThreadsAt(b, p, fmt.Sprintf("%s/%v", name, p), "GFLOP/s", f)
	}
}

func withThreadsAt(b *testing.B, p compute.Precision, name, unit string, f func(d *Device) (do func(), work float64)) {
	counts := []int{1}
	if n := runtime.GOMAXPROCS(0); n > 1 {
		counts = append(counts, n)
	}
	for _, threads := range counts {
		b.Run(fmt.Sprintf("%s/threads=%d", name, threads), func(b *testing.B) {
			d, err := New(threads, p)
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			do, work := f(d)
			do()
			for b.Loop() {
				do()
			}
			b.ReportMetric(work*float64(b.N)/b.Elapsed().Seconds()/1e9, unit)
		})
	}
}

func random(d *Device, n int) compute.Buffer {
	x := make([]float32, n)
	for i := range x {
		x[i] = rand.Float32() - 0.5
	}
	return wrap(d, x)
}

// productSizes are rows, in, out of BERT's products.
var productSizes = [][3]int{
	{4096, 768, 768}, {4096, 768, 3072}, {4096, 3072, 768}, {4096, 1024, 1024},
	{1024, 768, 768}, {1024, 768, 3072}, {1024, 3072, 768},
	{128, 768, 768}, {128, 768, 3072}, {128, 3072, 768}, {128, 128, 512}, {128, 128, 128},
	{16, 768, 768}, {16, 128, 128}, {1, 768, 768}, {1, 128, 128}, {640, 768, 30522},
}

func BenchmarkLinear(b *testing.B) {
	for _, s := range productSizes {
		rows, in, out := s[0], s[1], s[2]
		for _, f := range []compute.Activation{compute.Identity, compute.GELU} {
			if f == compute.GELU && out != 4*in {
				continue
			}
			name := fmt.Sprintf("%dx%dx%d", rows, in, out)
			if f == compute.GELU {
				name += "-gelu"
			}
			withPrecisions(b, name, func(d *Device) (func(), float64) {
				w := random(d, in*out)
				op := compute.Linear{
					Rows: rows, X: random(d, rows*in), W: compute.Matrix{Weight: w, Out: out, In: in, Packed: pack(d, out, in, w)},
					Bias: random(d, out), F: f, Y: alloc(d, rows*out),
				}
				return func() { d.Linear(&op) }, 2 * float64(rows) * float64(in) * float64(out)
			})
		}
	}
}

// BenchmarkLinearTraining packs the weight each time and keeps the input of the activation.
func BenchmarkLinearTraining(b *testing.B) {
	for _, s := range productSizes {
		rows, in, out := s[0], s[1], s[2]
		withPrecisions(b, fmt.Sprintf("%dx%dx%d", rows, in, out), func(d *Device) (func(), float64) {
			op := compute.Linear{Rows: rows, X: random(d, rows*in), W: compute.Matrix{Weight: random(d, in*out), Out: out, In: in}, Bias: random(d, out), Y: alloc(d, rows*out)}
			if out == 4*in {
				op.F, op.Pre = compute.GELU, alloc(d, rows*out)
			}
			return func() { d.Linear(&op) }, 2 * float64(rows) * float64(in) * float64(out)
		})
	}
}

func BenchmarkLinearInputGrad(b *testing.B) {
	for _, s := range productSizes {
		rows, in, out := s[0], s[1], s[2]
		withPrecisions(b, fmt.Sprintf("%dx%dx%d", rows, in, out), func(d *Device) (func(), float64) {
			op := compute.LinearInputGrad{Rows: rows, DY: random(d, rows*out), W: compute.Matrix{Weight: random(d, in*out), Out: out, In: in}, DX: alloc(d, rows*in)}
			if in == 4*out {
				op.F, op.Pre = compute.GELU, random(d, rows*in)
			}
			return func() { d.LinearInputGrad(&op) }, 2 * float64(rows) * float64(in) * float64(out)
		})
	}
}

func BenchmarkLinearWeightGrad(b *testing.B) {
	for _, s := range productSizes {
		rows, in, out := s[0], s[1], s[2]
		withPrecisions(b, fmt.Sprintf("%dx%dx%d", rows, in, out), func(d *Device) (func(), float64) {
			op := compute.LinearWeightGrad{Rows: rows, Out: out, In: in, DY: random(d, rows*out), X: random(d, rows*in), DW: alloc(d, in*out), DBias: alloc(d, out)}
			return func() { d.LinearWeightGrad(&op) }, 2 * float64(rows) * float64(in) * float64(out)
		})
	}
}

// attentionSizes are sequences, tokens of each, heads and head size.
var attentionSizes = [][4]int{{32, 128, 12, 64}, {8, 512, 12, 64}, {1, 128, 12, 64}, {1, 512, 12, 64}, {1, 16, 2, 64}}

func attentionStarts(count, n int) (starts []int) {
	for b := range count + 1 {
		starts = append(starts, b*n)
	}
	return starts
}

func BenchmarkAttention(b *testing.B) {
	for _, s := range attentionSizes {
		for _, rate := range []float32{0, 0.1} {
			withPrecisions(b, fmt.Sprintf("%dx%dx%dx%d-rate%v", s[0], s[1], s[2], s[3], rate), func(d *Device) (func(), float64) {
				tokens, hidden := s[0]*s[1], s[2]*s[3]
				op := compute.Attention{Heads: s[2], HeadSize: s[3], Starts: attentionStarts(s[0], s[1]), QKV: random(d, tokens*3*hidden), Drop: compute.Drop{Rate: rate, Key: 1}, Context: alloc(d, tokens*hidden)}
				return func() { d.Attention(&op) }, 4 * float64(tokens) * float64(s[1]*hidden)
			})
		}
	}
}

func BenchmarkAttentionGrad(b *testing.B) {
	for _, s := range attentionSizes {
		for _, rate := range []float32{0, 0.1} {
			withPrecisions(b, fmt.Sprintf("%dx%dx%dx%d-rate%v", s[0], s[1], s[2], s[3], rate), func(d *Device) (func(), float64) {
				tokens, hidden := s[0]*s[1], s[2]*s[3]
				drop := compute.Drop{Rate: rate, Key: 1}
				qkv, context, lse := random(d, tokens*3*hidden), alloc(d, tokens*hidden), alloc(d, tokens*s[2])
				starts := attentionStarts(s[0], s[1])
				d.Attention(&compute.Attention{Heads: s[2], HeadSize: s[3], Starts: starts, QKV: qkv, Drop: drop, Context: context, LSE: lse})
				op := compute.AttentionGrad{Heads: s[2], HeadSize: s[3], Starts: starts, QKV: qkv, Drop: drop, Context: context, LSE: lse, DContext: random(d, tokens*hidden), DQKV: alloc(d, tokens*3*hidden)}
				return func() { d.AttentionGrad(&op) }, 10 * float64(tokens) * float64(s[1]*hidden)
			})
		}
	}
}

func BenchmarkNorm(b *testing.B) {
	for _, rows := range []int{4096, 128, 8} {
		const width = 768
		for _, rate := range []float32{0, 0.1} {
			withThreads(b, fmt.Sprintf("%dx%d-rate%v", rows, width, rate), "GB/s", func(d *Device) (func(), float64) {
				n := rows * width
				op := compute.Norm{Rows: rows, Width: width, Eps: 1e-12, X: random(d, n), Residual: random(d, n), Drop: compute.Drop{Rate: rate}, Gamma: random(d, width), Beta: random(d, width), S: alloc(d, n), Mean: alloc(d, rows), Rstd: alloc(d, rows), Y: alloc(d, n)}
				return func() { d.Norm(&op) }, 4 * 4 * float64(n)
			})
		}
	}
}

func BenchmarkNormGrad(b *testing.B) {
	for _, rows := range []int{4096, 128} {
		const width = 768
		withThreads(b, fmt.Sprintf("%dx%d-rate0.1", rows, width), "GB/s", func(d *Device) (func(), float64) {
			n := rows * width
			op := compute.NormGrad{Rows: rows, Width: width, DY: random(d, n), S: random(d, n), Mean: random(d, rows), Rstd: random(d, rows), Gamma: random(d, width), Drop: compute.Drop{Rate: 0.1}, DS: alloc(d, n), DX: alloc(d, n), DGamma: alloc(d, width), DBeta: alloc(d, width)}
			return func() { d.NormGrad(&op) }, 4 * 4 * float64(n)
		})
	}
}

func BenchmarkEmbeddingGrad(b *testing.B) {
	const rows, width, words = 4096, 768, 30522
	withThreads(b, fmt.Sprintf("%dx%d", rows, width), "GB/s", func(d *Device) (func(), float64) {
		n := rows * width
		ids, positions := make([]int32, rows), make([]int32, rows)
		for i := range ids {
			ids[i], positions[i] = rand.Int32N(words), int32(i%128)
		}
		op := compute.EmbeddingGrad{Width: width, IDs: ids, PositionIDs: positions, TypeIDs: make([]int32, rows), DY: alloc(d, n), S: random(d, n), Mean: random(d, rows), Rstd: random(d, rows), Gamma: random(d, width), DWord: alloc(d, words*width), DPosition: alloc(d, 512*width), DType: alloc(d, 2*width), DGamma: alloc(d, width), DBeta: alloc(d, width)}
		return func() { d.EmbeddingGrad(&op) }, 4 * 9 * float64(n)
	})
}

func BenchmarkCrossEntropy(b *testing.B) {
	const rows, classes = 640, 30522
	withThreads(b, fmt.Sprintf("%dx%d", rows, classes), "GB/s", func(d *Device) (func(), float64) {
		op := compute.CrossEntropy{Rows: rows, Classes: classes, Logits: random(d, rows*classes), Labels: make([]int32, rows), Scale: 1, DLogits: alloc(d, rows*classes)}
		return func() { d.CrossEntropy(&op) }, 4 * 2 * rows * classes
	})
}

// parameters is what BERT-base has.
const parameters = 110e6

func BenchmarkAdam(b *testing.B) {
	withThreads(b, "110M", "GB/s", func(d *Device) (func(), float64) {
		op := compute.Adam{P: alloc(d, parameters), G: alloc(d, parameters), M: alloc(d, parameters), V: alloc(d, parameters), GradScale: 1, Beta1: 0.9, Beta2: 0.999, StepSize: 1e-5, RootScale: 1, Eps: 1e-6}
		return func() { d.Adam(&op) }, 4 * 7 * parameters
	})
}

func BenchmarkSumSquares(b *testing.B) {
	withThreads(b, "110M", "GB/s", func(d *Device) (func(), float64) {
		x := alloc(d, parameters)
		return func() { d.SumSquares(x) }, 4 * parameters
	})
}

func BenchmarkZero(b *testing.B) {
	withThreads(b, "110M", "GB/s", func(d *Device) (func(), float64) {
		x := alloc(d, parameters)
		return func() { d.Zero(x) }, 4 * parameters
	})
}
