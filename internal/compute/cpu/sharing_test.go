package cpu

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/go-bert/bert/internal/compute"
)

// A weight is laid out once for each form, for as long as somebody uses it.
func TestShareWeights(t *testing.T) {
	const out, in = 40, 24
	for _, p := range precisions {
		t.Run(p.String(), func(t *testing.T) {
			d, err := New(2, p)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			d.ShareWeights()
			values := func(first float32) compute.Buffer {
				x := slices.Repeat([]float32{0.5, -2, 3}, out*in/3)
				x[0] = first
				b, err := d.Wrap(x)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			pack := func(pack func(out, in int, weights ...compute.Buffer) (compute.Packed, error), out, in int, weights ...compute.Buffer) *packed {
				t.Helper()
				w, err := pack(out, in, weights...)
				if err != nil {
					t.Fatal(err)
				}
				return w.(*packed)
			}
			one, other := values(1), values(2)
			first := pack(d.Pack, out, in, one)
			if pack(d.Pack, out, in, values(1)) != first {
				t.Error("the same values were laid out twice")
			}
			if pack(d.Pack, out, in, one.Slice(0, 10*in), one.Slice(10*in, 40*in)) != first {
				t.Error("rows of two weights were laid out apart from the same rows of one")
			}
			if pack(d.Pack, out, in, other) == first || pack(d.Pack, in, out, one) == first {
				t.Error("other values, or another shape, are the same weight")
			}
			if exact := pack(d.PackFloat, out, in, one); (exact == first) != (p != compute.Int8) {
				t.Error("of Pack and PackFloat, one has the other's form")
			}
			runtime.KeepAlive(first)
			first = nil
			for deadline := time.Now().Add(time.Minute); ; runtime.GC() {
				d.sharing.mu.Lock()
				n := len(d.sharing.packed)
				d.sharing.mu.Unlock()
				if n == 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d weights are known that nobody uses", n)
				}
			}
			pack(d.Pack, out, in, one)
		})
	}
}

// Integers are the same weight if their scales are the same, too.
func TestShareIntegers(t *testing.T) {
	d, err := New(1, compute.Int8)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.ShareWeights()
	pack := func(scale float32, inputScales []float32) *packed {
		t.Helper()
		w, err := d.PackIntegers(2, 3, inputScales, compute.Integers{Values: []int8{1, 2, 3, 4, 5, 6}, Scales: []float32{1, scale}})
		if err != nil {
			t.Fatal(err)
		}
		return w.(*packed)
	}
	first := pack(2, nil)
	if pack(2, nil) != first {
		t.Error("the same integers were laid out twice")
	}
	if pack(3, nil) == first || pack(2, []float32{1, 1, 1}) == first {
		t.Error("other scales are the same weight")
	}
}
