package cpu

import (
	"slices"
	"testing"
	"time"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/simd"
)

// TestThresholdsChangeNoBit multiplies with other thresholds, in every direction.
func TestThresholdsChangeNoBit(t *testing.T) {
	const rows, in, out = 67, 83, 129
	values := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(i*i%1013)/512 - 1
		}
		return x
	}
	x, w, dy := values(rows*in), values(out*in), values(rows*out)
	for _, level := range simd.Available() {
		k, _ := simd.For(level)
		for _, p := range precisions {
			var want []float32
			for _, at := range []Thresholds{
				DefaultThresholds(),
				{Depth: 16, BlockRows: 14, TileDepth: 16, TileRows: 20, FeedRows: 1, FinishCols: 64, SliceWords: 4096, Grain: 0, Spin: 0},
				{Depth: 32, BlockRows: 384, TileDepth: 64, TileRows: 500, FeedRows: 1 << 30, FinishCols: 1024, SliceWords: 4096, Grain: 1 << 40, Spin: time.Millisecond},
			} {
				d := NewWith(k, 3, p, at)
				matrix := compute.Matrix{Weight: wrap(d, w), Out: out, In: in}
				y, dx, dw := alloc(d, rows*out), alloc(d, rows*in), alloc(d, out*in)
				d.Linear(&compute.Linear{Rows: rows, X: wrap(d, x), W: matrix, Y: y})
				d.LinearInputGrad(&compute.LinearInputGrad{Rows: rows, DY: wrap(d, dy), W: matrix, DX: dx})
				d.LinearWeightGrad(&compute.LinearWeightGrad{Rows: rows, Out: out, In: in, DY: wrap(d, dy), X: wrap(d, x), DW: dw})
				z, context := alloc(d, rows*in), alloc(d, rows*in)
				back := compute.Matrix{Weight: wrap(d, w), Out: in, In: out}
				row := matrix.Weight.Slice(0, in)
				d.FeedForward(&compute.FeedForward{
					Rows: rows, X: wrap(d, x), W1: matrix, F: compute.GELU, W2: back,
					Norm: &compute.Norm{Rows: rows, Width: in, Eps: 1e-6, Gamma: row, Beta: row, Mean: alloc(d, rows), Rstd: alloc(d, rows), Y: z},
				})
				d.Attention(&compute.Attention{
					Heads: 1, HeadSize: in, Starts: []int{0, 5, 7, 20, 40, 41, rows}, Context: context,
					Product: &compute.Linear{Rows: rows, X: wrap(d, x), W: compute.Matrix{Weight: wrap(d, values(3*in*in)), Out: 3 * in, In: in}},
				})
				got := slices.Concat(view(d, y), view(d, dx), view(d, dw), view(d, z), view(d, context))
				d.Close()
				if want == nil {
					want = got
				}
				if !slices.Equal(got, want) {
					t.Errorf("%v %v: other bits with %+v", level, p, at)
				}
			}
		}
	}
}
