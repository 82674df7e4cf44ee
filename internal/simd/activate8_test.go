package simd

import (
	"math"
	"testing"
)

// TestActivateSums compares Integers.Activate with its parts: the numbers of sums of a row, which Gemm makes of them without words to
// multiply, and the activation in float64. It does rows of every length, between protected pages, and in place.
func TestActivateSums(t *testing.T) {
	const longest = 200
	eachLevel(t, func(t *testing.T, table *Kernels) {
		k := &table.Int8
		if k.Activate == nil {
			t.Skip("Gemm makes numbers as fast")
		}
		r := newRand()
		sums, columns, offsets, bias := make([]float32, longest), normals(r, longest), make([]float32, longest), normals(r, longest)
		for i := range sums {
			sums[i] = math.Float32frombits(uint32(int32(r.IntN(200001) - 100000)))
			offsets[i] = math.Float32frombits(uint32(int32(r.IntN(2001) - 1000)))
		}
		var buffers [5]*buffer
		for i := range buffers {
			buffers[i] = newBuffer(t, longest)
		}
		for n := range longest + 1 {
			where := place(n % int(places))
			for i, c := range curves {
				if c.f == Identity {
					continue
				}
				scale := []float32{2e-5, 1e-4, 0, float32(math.NaN())}[(n+i)%4]
				to := Scaling{
					Rows: []float32{scale}, Columns: buffers[1].put(columns[:n], where), Bias: buffers[3].put(bias[:n], where),
					Offsets: asInts(buffers[2].put(offsets[:n], where)),
				}
				x := append([]float32(nil), sums[:n]...)
				for from := 0; from < n; from += k.NR {
					until := min(from+k.NR, n)
					k.Gemm(1, until-from, 0, nil, 0, nil, x[from:], longest, true, nil, Scaling{
						Rows: to.Rows, Columns: to.Columns[from:until], Bias: to.Bias[from:until], Offsets: to.Offsets[from:until],
					})
				}
				row, dst := buffers[0].put(sums[:n], where), buffers[4].put(make([]float32, n), where)
				top := k.Activate(c.f, dst, row, to)
				for j, v := range x {
					want := c.value(float64(v))
					bound := c.valueULPs(float64(v)) * 0x1p-23
					if c.f == GELU || c.f == GELUTanh {
						bound = max(bound, coarseError)
					}
					if e := math.Abs(float64(dst[j]) - want); !(e <= bound*math.Abs(want)+0x1p-126) && (want == want || dst[j] == dst[j]) {
						t.Fatalf("n=%d: %s(%g) = %g, want %g", n, c.name, v, dst[j], want)
					}
				}
				if largest := topBits(dst); top != largest {
					t.Fatalf("n=%d, %s: the largest is %#x, want %#x", n, c.name, top, largest)
				}
				if again := k.Activate(c.f, row, row, to); again != top || !same(row, dst) {
					t.Fatalf("n=%d, %s: in place the result is another", n, c.name)
				}
				for _, b := range buffers {
					if !b.intact() {
						t.Fatalf("n=%d, %s: wrote outside its operands", n, c.name)
					}
				}
			}
		}
	})
}

// TestQuantize asserts that Quantize is QuantizeRow with a largest magnitude that is known.
func TestQuantize(t *testing.T) {
	const most = 100
	eachLevel(t, func(t *testing.T, k *Kernels) {
		r := newRand()
		for n := range most {
			x := normals(r, n)
			want, got := make([]uint32, byteWords(n)), make([]uint32, byteWords(n))
			wantScale := k.Int8.QuantizeRow(want, x, k.Int8.Offset)
			scale := k.Int8.Quantize(got, x, topBits(x), k.Int8.Offset)
			if scale != wantScale || !same(asFloats(got), asFloats(want)) {
				t.Fatalf("n=%d: another row than that of QuantizeRow", n)
			}
		}
	})
}
