package cpu

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-bert/bert/internal/compute"
)

func TestZZ(t *testing.T) {
	for _, p := range []compute.Precision{compute.BFloat16, compute.Int8} {
		d, _ := New(1, p)
		report := func(name string, work float64, do func()) {
			do()
			var ts []float64
			for range 100 {
				t0 := time.Now()
				do()
				ts = append(ts, time.Since(t0).Seconds())
			}
			slices.Sort(ts)
			fmt.Printf("%v %s: min %.2f ms (%.0f), quarter %.2f, median %.2f\n", p, name, ts[0]*1e3, work/ts[0]/1e9, ts[10]*1e3, ts[20]*1e3)
		}
		const rows, h, i = 4096, 768, 3072
		w1, w2 := random(d, h*i), random(d, h*i)
		x, y, res := random(d, rows*h), alloc(d, rows*h), random(d, rows*h)
		op := compute.FeedForward{
			Rows: rows, X: x, F: compute.GELU,
			W1:    compute.Matrix{Weight: w1, Out: i, In: h, Packed: pack(d, i, h, w1)},
			W2:    compute.Matrix{Weight: w2, Out: h, In: i, Packed: pack(d, h, i, w2)},
			Bias1: random(d, i), Bias2: random(d, h),
			Norm: &compute.Norm{Rows: rows, Width: h, Residual: res, Gamma: random(d, h), Beta: random(d, h), Y: y, Mean: alloc(d, rows), Rstd: alloc(d, rows), Eps: 1e-12},
		}
		if d.OperandSize(h) > 0 {
			op.Operand = alloc(d, rows*d.OperandSize(h))
			op.Norm.Operand = alloc(d, rows*d.OperandSize(h))
		}
		if false {report("ff", 2*2*rows*h*i, func() { d.FeedForward(&op) })
		}; op.F = compute.Identity
		report("ff without GELU", 2*2*rows*h*i, func() { d.FeedForward(&op) })
		if true { continue }; w3 := random(d, h*h)
		lin := compute.Linear{Rows: rows, X: x, W: compute.Matrix{Weight: w3, Out: h, In: h, Packed: pack(d, h, h, w3)}, Bias: random(d, h), Norm: op.Norm, Operand: op.Operand}
		report("out+norm", 2*rows*h*h, func() { d.Linear(&lin) })
		d.Close()
	}
}

func BenchmarkZZFeed(b *testing.B) {
	for _, p := range []compute.Precision{compute.BFloat16, compute.Int8} {
		withThreadsAt(b, p, p.String(), "GFLOP/s", func(d *Device) (func(), float64) {
			const rows, h, i = 4096, 768, 3072
			w1, w2 := random(d, h*i), random(d, h*i)
			x, y, res := random(d, rows*h), alloc(d, rows*h), random(d, rows*h)
			op := compute.FeedForward{
				Rows: rows, X: x, F: compute.GELU,
				W1:    compute.Matrix{Weight: w1, Out: i, In: h, Packed: pack(d, i, h, w1)},
				W2:    compute.Matrix{Weight: w2, Out: h, In: i, Packed: pack(d, h, i, w2)},
				Bias1: random(d, i), Bias2: random(d, h),
				Norm: &compute.Norm{Rows: rows, Width: h, Residual: res, Gamma: random(d, h), Beta: random(d, h), Y: y, Mean: alloc(d, rows), Rstd: alloc(d, rows), Eps: 1e-12},
			}
			if d.OperandSize(h) > 0 {
				op.Operand = alloc(d, rows*d.OperandSize(h))
				op.Norm.Operand = alloc(d, rows*d.OperandSize(h))
			}
			return func() { d.FeedForward(&op) }, 2 * 2 * rows * h * i
		})
	}
}
