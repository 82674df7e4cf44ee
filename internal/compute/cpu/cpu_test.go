package cpu

import (
	"math"
	"math/rand/v2"
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
	thresholds := DefaultThresholds()
	thresholds.SliceWords = 1 << 18 // so that operands of moderate size are taken in parts, as large ones are
	d := NewWith(k, threads, p, thresholds)
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
		if raceEnabled && p == compute.BFloat16 {
			continue // its jobs are shared out as those of float32
		}
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

// TestDeferred runs the suite on a device that does everything as late as it may: what the suite asserts of order and host
// memory has to hold of it too. Which kernels it has makes no difference.
func TestDeferred(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("what a device defers is the same on every processor")
	}
	best, err := simd.Best()
	if err != nil {
		t.Fatal(err)
	}
	if best.Level == simd.Generic {
		t.Skip("plain Go is slow")
	}
	computetest.Run(t, compute.Float32, []computetest.Kind{{
		Name: "deferred", Open: func(t testing.TB, threads int) compute.Device {
			return computetest.DeferredView{Deferred: computetest.Defer(at(t, best.Level, threads, compute.Float32))}
		},
	}})
}

// levels are those with instructions of their own; plain Go where it is built for that alone, since a device's operations are the same
// at all of them, and simd's tests compare plain Go's kernels with the others. Under the race detector and with -short, as on an emulated
// processor, it is the best alone.
func levels(t testing.TB) []simd.Level {
	all := simd.Available()
	if len(all) > 1 {
		all = slices.DeleteFunc(slices.Clone(all), func(l simd.Level) bool { return l == simd.Generic })
	}
	if !raceEnabled && !testing.Short() {
		return all
	}
	best, err := simd.Best()
	if err != nil {
		t.Fatal(err)
	}
	return []simd.Level{best.Level}
}

var precisions = []compute.Precision{compute.Float32, compute.BFloat16, compute.Int8}

// TestExactOperands asserts that rounding does not show where nothing is to be rounded: all operands are small integers, the
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
		if raceEnabled && level == simd.Generic {
			continue // slow there, with instructions that the detector sees
		}
		t.Run(level.String(), func(t *testing.T) {
			var want [][]float32
			for _, p := range []compute.Precision{compute.Float32, compute.BFloat16} {
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
		{2, compute.Int8, "purego int8, 2 threads"},
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

// TestInt8Levels asserts that a product of int8 has the same bits at every level and with either packing of its parts.
func TestInt8Levels(t *testing.T) {
	const rows, in, out = 37, 3 * 1031, 200 // two steps of words along in, an end of each kind
	x, w, bias := make([]float32, rows*in), make([]float32, out*in), make([]float32, out)
	r := rand.New(rand.NewPCG(3, 4))
	for _, s := range [][]float32{x, w, bias} {
		for i := range s {
			s[i] = float32(r.NormFloat64())
		}
	}
	clear(x[5*in:][:in])
	x[7*in+3] = float32(math.NaN())
	var want []float32
	for _, level := range simd.Available() {
		for _, cut := range []int{out, out / 2, 96} {
			d := at(t, level, 2, compute.Int8)
			weight := wrap(d, w)
			parts := []compute.Buffer{weight.Slice(0, cut*in), weight.Slice(cut*in, out*in)}
			y := alloc(d, rows*out)
			d.Linear(&compute.Linear{Rows: rows, X: wrap(d, x), W: compute.Matrix{Out: out, In: in, Packed: pack(d, out, in, parts...)}, Bias: wrap(d, bias), Y: y})
			got := view(d, y)
			if want == nil {
				want = got
			}
			for i, v := range got {
				row := i / out
				switch {
				case row == 7:
					if v == v {
						t.Fatalf("%v: of a row with a NaN, element %d is %g", level, i%out, v)
					}
				case row == 5 && v != bias[i%out]:
					t.Fatalf("%v: of a row of zeros, element %d is %g, want %g", level, i%out, v, bias[i%out])
				case math.Float32bits(v) != math.Float32bits(want[i]):
					t.Fatalf("%v, cut at %d: [%d][%d] is %g, want %g", level, cut, row, i%out, v, want[i])
				}
			}
		}
	}
}

// TestPackFloat asserts that a device of int8 leaves what PackFloat laid out as it is at Float32.
func TestPackFloat(t *testing.T) {
	const rows, in, out = 9, 100, 70
	x, w := make([]float32, rows*in), make([]float32, out*in)
	for i := range x {
		x[i] = float32(i%19) / 7
	}
	for i := range w {
		w[i] = float32(i%23) / 9
	}
	var results [2][]float32
	for i, p := range []compute.Precision{compute.Float32, compute.Int8} {
		d := at(t, levels(t)[0], 2, p)
		y := alloc(d, rows*out)
		d.Linear(&compute.Linear{Rows: rows, X: wrap(d, x), W: compute.Matrix{Out: out, In: in, Packed: must(d.PackFloat(out, in, wrap(d, w)))}, Y: y})
		results[i] = view(d, y)
	}
	if !slices.Equal(results[0], results[1]) {
		t.Error("the bits differ from those of Float32")
	}
}

// TestPackRounded asserts that a device of int8 gives the bits of BFloat16 for what PackRounded laid out where these products are fast,
// else those of Float32, and that it is found by its kernels' name.
func TestPackRounded(t *testing.T) {
	const rows, in, out = 9, 100, 70
	x, w := make([]float32, rows*in), make([]float32, out*in)
	for i := range x {
		x[i] = float32(i%19) / 7
	}
	for i := range w {
		w[i] = float32(i%23) / 9
	}
	for _, level := range simd.Available() {
		table, _ := simd.For(level)
		as := compute.Float32
		if table.Fast16() {
			as = compute.BFloat16
		}
		var results [2][]float32
		for i, p := range []compute.Precision{as, compute.Int8} {
			d := at(t, level, 2, p)
			y := alloc(d, rows*out)
			d.Linear(&compute.Linear{Rows: rows, X: wrap(d, x), W: compute.Matrix{Out: out, In: in, Packed: must(d.PackRounded(out, in, wrap(d, w)))}, Y: y})
			results[i] = view(d, y)
			if !HasKernels(d.Kernels(), p) {
				t.Errorf("%v at %v: no kernels %s", level, p, d.Kernels())
			} else if found, err := NewOn(d.Kernels(), 1, p); err != nil || found.Kernels() != d.Kernels() {
				t.Errorf("%v at %v: kernels %s are not found by their name (%v)", level, p, d.Kernels(), err)
			} else {
				found.Close()
			}
		}
		if !slices.Equal(results[0], results[1]) {
			t.Errorf("%v: the bits differ from those of %v", level, as)
		}
	}
}

// TestPackRefusesWideInt8 asserts that no sum of products can overflow.
func TestPackRefusesWideInt8(t *testing.T) {
	d := at(t, simd.Generic, 1, compute.Int8)
	const in = simd.MaxInt8Depth + 1
	if _, err := d.Pack(1, in, alloc(d, in)); err == nil {
		t.Error("no error")
	}
}

func TestNewRefusesUnknownPrecision(t *testing.T) {
	if _, err := New(1, compute.Int8+1); err == nil {
		t.Error("no error")
	}
}

// TestPackIntegers asserts that a weight that was quantized before gives the bits of one that Pack quantizes, at every level and in
// whatever parts, and that scaling the input's columns is multiplying them.
func TestPackIntegers(t *testing.T) {
	const rows, in, out = 19, 3 * 341, 100
	x, w, scales, scaled := make([]float32, rows*in), make([]float32, out*in), make([]float32, in), make([]float32, rows*in)
	r := rand.New(rand.NewPCG(5, 6))
	for i := range w {
		w[i] = float32(r.NormFloat64())
	}
	clear(w[3*in:][:in])
	for j := range scales {
		scales[j] = float32(math.Exp(r.NormFloat64()))
	}
	for i := range x {
		x[i] = float32(r.NormFloat64())
		scaled[i] = x[i] * scales[i%in]
	}
	q := compute.Integers{Values: make([]int8, out*in), Scales: make([]float32, out)}
	for o := range out {
		if q.Scales[o] = compute.QuantizeRow(q.Values[o*in:][:in], w[o*in:][:in]); q.Scales[o] == 0 {
			q.Scales[o] = 1
		}
	}
	for _, level := range simd.Available() {
		d := at(t, level, 2, compute.Int8)
		linear := func(x []float32, p compute.Packed) []float32 {
			y := alloc(d, rows*out)
			d.Linear(&compute.Linear{Rows: rows, X: wrap(d, x), W: compute.Matrix{Out: out, In: in, Packed: p}, Y: y})
			return view(d, y)
		}
		for _, cut := range []int{0, 33, 64} {
			parts := []compute.Integers{{Values: q.Values[:cut*in], Scales: q.Scales[:cut]}, {Values: q.Values[cut*in:], Scales: q.Scales[cut:]}}
			if !slices.Equal(linear(x, must(d.PackIntegers(out, in, nil, parts...))), linear(x, pack(d, out, in, wrap(d, w)))) {
				t.Errorf("%v, cut at %d: the bits differ from those of Pack", level, cut)
			}
		}
		if !slices.Equal(linear(x, must(d.PackIntegers(out, in, scales, q))), linear(scaled, must(d.PackIntegers(out, in, nil, q)))) {
			t.Errorf("%v: the bits differ from those of a scaled input", level)
		}
	}
}

// TestQuantizeRow asserts that the rounding in plain Go is that of the kernels, for rows of every magnitude.
func TestQuantizeRow(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for i := range 2000 {
		src := make([]float32, 1+r.IntN(70))
		size := math.Ldexp(1, r.IntN(280)-150)
		for j := range src {
			src[j] = float32(r.NormFloat64() * size)
		}
		switch i % 20 {
		case 0:
			src[r.IntN(len(src))] = float32(math.NaN())
		case 1:
			src[r.IntN(len(src))] = float32(math.Inf(1 - 2*r.IntN(2)))
		case 2:
			clear(src)
		}
		got := make([]int8, len(src))
		scale := compute.QuantizeRow(got, src)
		for _, k := range simd.Available() {
			words := make([]uint32, (len(src)+3)/4)
			want := at(t, k, 1, compute.Int8).k.simd.Int8.QuantizeRow(words, src, 0)
			if math.Float32bits(scale) != math.Float32bits(want) && !(scale != scale && want != want) {
				t.Fatalf("%v: the scale of %v is %g, want %g", k, src, scale, want)
			}
			for j, q := range got {
				if q != int8(words[j/4]>>(j%4*8)) {
					t.Fatalf("%v: element %d of %v is %d, want %d", k, j, src, q, int8(words[j/4]>>(j%4*8)))
				}
			}
		}
	}
}
