package cpu

import (
	"slices"
	"testing"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/compute/computetest"
	"github.com/go-bert/bert/internal/simd"
)

// at opens the device at a level for the length of a test.
func at(t testing.TB, level simd.Level, threads int, p compute.Precision) *Device {
	t.Helper()
	k, ok := simd.For(level)
	if !ok {
		t.Skipf("no level %v here", level)
	}
	d := NewAt(k, threads, p)
	t.Cleanup(d.Close)
	return d
}

// must is v: the processor's device does not fail.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func alloc(d *Device, n int) compute.Buffer         { return must(d.Alloc(n)) }
func wrap(d *Device, data []float32) compute.Buffer { return must(d.Wrap(data)) }
func view(d *Device, b compute.Buffer) []float32    { return must(d.View(b)) }
func pack(d *Device, out, in int, w ...compute.Buffer) compute.Packed {
	return must(d.Pack(out, in, w...))
}

func TestDevice(t *testing.T) {
	for _, p := range precisions {
		t.Run(p.String(), func(t *testing.T) {
			var kinds []computetest.Kind
			for _, level := range levels(t) {
				kinds = append(kinds, computetest.Kind{
					Name: level.String(), Open: func(t testing.TB, threads int) compute.Device { return at(t, level, threads, p) },
				})
			}
			computetest.Run(t, p, kinds)
		})
	}
}

// TestDeferred runs the suite on a device that does everything as late as it may, of plain Go: what the suite asserts of
// order and host memory has to hold of it too.
func TestDeferred(t *testing.T) {
	if raceEnabled {
		t.Skip("plain Go is slow under the race detector")
	}
	computetest.Run(t, compute.Float32, []computetest.Kind{{
		Name: "deferred", Open: func(t testing.TB, threads int) compute.Device {
			return computetest.DeferredView{Deferred: computetest.Defer(at(t, simd.Generic, threads, compute.Float32))}
		},
	}})
}

// levels are those there are here. Under the race detector and with -short, as on an emulated processor, it is the best
// alone: what is above the kernels is the same at all of them, plain Go kernels take many times longer there, and simd's tests
// compare those with the best.
func levels(t testing.TB) []simd.Level {
	if !raceEnabled && !testing.Short() {
		return simd.Available()
	}
	best, err := simd.Best()
	if err != nil {
		t.Fatal(err)
	}
	return []simd.Level{best.Level}
}

var precisions = []compute.Precision{compute.Float32, compute.BFloat16}

// TestExactOperands asserts that no precision shows where nothing is to be rounded: all operands are small integers, the
// sums of their products are integers below 2²⁴, and attention's queries are zero, so that each probability is 2⁻⁷.
func TestExactOperands(t *testing.T) {
	const rows, heads, size = 128, 2, 100
	const in, out = heads * size, 3001 // several steps along out
	integers := func(n, period int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(i*i%period%17 - 8)
		}
		return x
	}
	x, w, dy := integers(rows*in, 1009), integers(out*in, 1013), integers(rows*out, 1019)
	qkv := integers(rows*3*in, 1021)
	for i := range rows {
		clear(qkv[i*3*in:][:in])
	}
	for _, level := range simd.Available() {
		t.Run(level.String(), func(t *testing.T) {
			var want [][]float32
			for _, p := range precisions {
				d := at(t, level, 2, p)
				weight := compute.Matrix{Weight: wrap(d, w), Out: out, In: in}
				y, packedY, dx, dw, context := alloc(d, rows*out), alloc(d, rows*out), alloc(d, rows*in), alloc(d, out*in), alloc(d, rows*in)
				linear := compute.Linear{Rows: rows, X: wrap(d, x), W: weight, Y: y}
				d.Linear(&linear)
				linear.W.Packed, linear.Y = pack(d, out, in, weight.Weight), packedY
				d.Linear(&linear)
				d.LinearInputGrad(&compute.LinearInputGrad{Rows: rows, DY: wrap(d, dy), W: weight, DX: dx})
				d.LinearWeightGrad(&compute.LinearWeightGrad{Rows: rows, Out: out, In: in, DY: wrap(d, dy), X: wrap(d, x), DW: dw})
				d.Attention(&compute.Attention{Heads: heads, HeadSize: size, Starts: []int{0, rows}, QKV: wrap(d, qkv), Context: context})
				var got [][]float32
				for _, b := range []compute.Buffer{y, packedY, dx, dw, context} {
					values := make([]float32, b.Len)
					if err := d.Read(values, b); err != nil {
						t.Fatal(err)
					}
					got = append(got, values)
				}
				if want == nil {
					want = got
				}
				for i, name := range []string{"Linear", "Linear, packed", "LinearInputGrad", "LinearWeightGrad", "Attention"} {
					if !slices.Equal(got[i], want[i]) {
						t.Errorf("%s: %v gives other bits than %v", name, p, precisions[0])
					}
				}
			}
		})
	}
}

func TestName(t *testing.T) {
	for _, c := range []struct {
		threads int
		p       compute.Precision
		want    string
	}{
		{1, compute.Float32, "purego, 1 thread"},
		{2, compute.Float32, "purego, 2 threads"},
		{2, compute.BFloat16, "purego bf16, 2 threads"},
	} {
		if got := at(t, simd.Generic, c.threads, c.p).Name(); got != c.want {
			t.Errorf("the name is %q, want %q", got, c.want)
		}
	}
}

// TestPackedAtOtherPrecision asserts that a device refuses panels of words that are not its own.
func TestPackedAtOtherPrecision(t *testing.T) {
	d, other := at(t, simd.Generic, 1, compute.Float32), at(t, simd.Generic, 1, compute.BFloat16)
	w := alloc(d, 4)
	op := compute.Linear{Rows: 1, X: alloc(d, 2), W: compute.Matrix{Weight: w, Out: 2, In: 2, Packed: pack(other, 2, 2, w)}, Y: alloc(d, 2)}
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	d.Linear(&op)
}

func TestNewRefusesUnknownPrecision(t *testing.T) {
	if _, err := New(1, compute.BFloat16+1); err == nil {
		t.Error("no error")
	}
}
