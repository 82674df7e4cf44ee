package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// bytesOf are the integers of words whose bits were inverted by offset.
func bytesOf(words []uint32, offset uint32) []int8 {
	q := make([]int8, 0, 4*len(words))
	for _, w := range words {
		w ^= offset
		q = append(q, int8(w), int8(w>>8), int8(w>>16), int8(w>>24))
	}
	return q
}

// TestQuantizeRow compares each level with plain Go, and that with what Integers says, at every length.
func TestQuantizeRow(t *testing.T) {
	kinds := everyExponent()
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	eachLevel(t, func(t *testing.T, k *Kernels) {
		r := newRand()
		const longest = 200
		bufSrc, bufDst := newBuffer(t, longest), newBuffer(t, longest)
		check := func(x []float32, where place, offset uint32) {
			t.Helper()
			size := byteWords(len(x))
			src, dst := bufSrc.put(x, where), asWords(bufDst.put(normals(r, size), where))
			scale := k.Int8.QuantizeRow(dst, src, offset)
			want := make([]uint32, size)
			wantScale := quantizeRowGeneric(want, x, offset)
			if !same([]float32{scale}, []float32{wantScale}) {
				t.Fatalf("n=%d: the scale is %g, want %g", len(x), scale, wantScale)
			}
			for p := range want {
				if dst[p] != want[p] {
					t.Fatalf("n=%d: word %d is %#08x, want %#08x", len(x), p, dst[p], want[p])
				}
			}
			if !bufSrc.intact() || !bufDst.intact() {
				t.Fatalf("n=%d: wrote outside its operands", len(x))
			}
			top := 0.0
			for _, v := range x {
				top = max(top, math.Abs(float64(v))) // NaN if one is
			}
			if top < 0x1p-100 || top > math.MaxFloat32 || top != top {
				return
			}
			for p, q := range bytesOf(want, offset) {
				switch {
				case q == -128:
					t.Fatalf("n=%d: −128", len(x))
				case p >= len(x):
					if q != 0 {
						t.Fatalf("n=%d: beyond the row there is %d", len(x), q)
					}
				case math.Abs(float64(x[p])/top*127-float64(q)) > 0.5+1e-5:
					t.Fatalf("n=%d: %g of %g becomes %d", len(x), x[p], top, q)
				}
			}
		}
		for n := range longest + 1 {
			for where := range places {
				check(normals(r, n), where, uint32(n%2)*0x80808080)
			}
		}
		for from := range kinds {
			check(kinds[from:min(from+20, len(kinds))], atEnd, 0)
		}
		for _, odd := range []float32{nan, inf} {
			for at := range 40 {
				x := normals(r, 40)
				x[at] = odd
				check(x, atStart, k.Int8.Offset)
			}
		}
		ties := make([]float32, 0, 129) // halves, which are rounded to even, and the top
		for i := range 128 {
			ties = append(ties, float32(i)-63.5)
		}
		check(append(ties, 127), unaligned, 0)
	})
}

// A product8 holds operands of bytes as Integers.Gemm of a table takes them. Its depth is in words.
type product8 struct {
	m, n, k int
	a, b    []uint32
	ints    []int32 // what the sums are to be, [m, n], from zero
	scaling Scaling
}

func asInts(x []float32) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(x))), len(x))
}

// byteOf draws an integer, the largest ones often.
func byteOf(r *rand.Rand) int8 {
	if r.IntN(4) == 0 {
		return int8(127 - 254*r.IntN(2))
	}
	return int8(r.IntN(255) - 127)
}

func newProduct8(k *Integers, m, n, depth int) product8 {
	r := newRand()
	p := product8{m: m, n: n, k: depth, a: make([]uint32, m*depth), b: make([]uint32, depth*k.NR), ints: make([]int32, m*n)}
	a, b := make([]int8, m*4*depth), make([]int8, n*4*depth)
	for i := range a {
		a[i] = byteOf(r)
		p.a[i/4] |= uint32(uint8(a[i])) << (i % 4 * 8)
	}
	for i := range p.a {
		p.a[i] ^= k.Offset
	}
	p.scaling = Scaling{Rows: normals(r, m), Columns: normals(r, n), Offsets: make([]int32, n), Bias: normals(r, n)}
	for j := range n {
		sum := int32(0)
		for q := range 4 * depth {
			b[j*4*depth+q] = byteOf(r)
			sum += int32(b[j*4*depth+q])
			p.b[q/4*k.NR+j] |= uint32(uint8(b[j*4*depth+q])) << (q % 4 * 8)
		}
		if k.Offset != 0 {
			p.scaling.Offsets[j] = -128 * sum
		}
	}
	for i := range m {
		for j := range n {
			for q := range 4 * depth {
				p.ints[i*n+j] += int32(a[i*4*depth+q]) * int32(b[j*4*depth+q])
			}
		}
	}
	return p
}

// TestGemm8 asserts that every level gives the integers, and the numbers made of them, to the bit, between protected pages.
func TestGemm8(t *testing.T) {
	eachLevel(t, func(t *testing.T, table *Kernels) {
		k := &table.Int8
		most := 2*k.MR + 3
		const deepest, extra = 40, 5
		bufA, bufB := newBuffer(t, most*(deepest+extra)), newBuffer(t, deepest*k.NR)
		bufC, bufRows := newBuffer(t, most*(k.NR+extra)), newBuffer(t, most)
		var columns [3]*buffer
		for i := range columns {
			columns[i] = newBuffer(t, k.NR)
		}
		depths := []int{0, 1, 2, 17, deepest}
		if emulated {
			depths = []int{0, 1, 17}
			if table.Level == AMX { // several steps of tiles
				depths = append(depths, deepest)
			}
		}
		for _, depth := range depths {
			for _, m := range []int{1, 2, 3, k.MR - 1, k.MR, k.MR + 1, most} {
				for n := 1; n <= k.NR; n++ {
					if emulated && n < k.NR-1 && n%5 != 1 {
						continue
					}
					for variant := range 4 {
						name := fmt.Sprintf("m=%d n=%d k=%d variant=%d", m, n, depth, variant)
						where := place((m + n + depth + variant) % int(places))
						add, scaled, biased := variant&1 != 0, variant < 3, variant != 1
						p := newProduct8(k, m, n, depth)
						lda, ldc := depth+m%2*extra, n+variant%2*extra
						if depth == 0 {
							lda = 0
						}
						a := asWords(bufA.put(spread(asFloats(p.a), m, depth, depth, lda), where))
						b := asWords(bufB.put(asFloats(p.b), where))
						before := make([]float32, m*n) // int32
						for i := range before {
							before[i] = math.Float32frombits(uint32(i * 7919))
						}
						c := bufC.put(spread(before, m, n, n, ldc), where)
						var to Scaling
						if scaled {
							to = p.scaling
							to.Rows, to.Columns = bufRows.put(to.Rows, where), columns[0].put(to.Columns, where)
							offsets := columns[1].put(make([]float32, n), where)
							to.Offsets = asInts(offsets)
							copy(to.Offsets, p.scaling.Offsets)
							to.Bias = columns[2].put(to.Bias, where)
							if !biased {
								to.Bias = nil
							}
						}
						k.Gemm(m, n, depth, a, lda, b, c, ldc, add, b[:min(1, len(b))], to)
						for i := range m {
							for j := range n {
								sum := p.ints[i*n+j]
								if add {
									sum += int32(i*n+j) * 7919
								}
								want := math.Float32frombits(uint32(sum - p.scaling.Offsets[j]))
								if scaled {
									want = float32(float32(sum) * float32(p.scaling.Columns[j]*p.scaling.Rows[i]))
									if biased {
										want += p.scaling.Bias[j]
									}
								}
								if got := c[i*ldc+j]; math.Float32bits(got) != math.Float32bits(want) {
									t.Fatalf("%s: [%d][%d] is %g (%#x), want %g (%#x)", name, i, j, got, math.Float32bits(got), want, math.Float32bits(want))
								}
							}
						}
						for _, buf := range []*buffer{bufA, bufB, bufC, bufRows, columns[0], columns[1], columns[2]} {
							if buf.from < buf.to && !buf.intact() {
								t.Fatalf("%s: wrote outside its operands", name)
							}
						}
					}
				}
			}
		}
	})
}

// TestGemm8Deepest asserts that sums of the largest products fit, as deep as they are promised to.
func TestGemm8Deepest(t *testing.T) {
	const depth = MaxInt8Depth / 4
	eachLevel(t, func(t *testing.T, table *Kernels) {
		k := &table.Int8
		a, b := make([]uint32, depth), make([]uint32, depth*k.NR)
		fill(a, 0x7f7f7f7f^k.Offset)
		fill(b, 0x81818181)
		to := Scaling{Rows: []float32{1}, Columns: []float32{1}, Offsets: make([]int32, 1)}
		if k.Offset != 0 {
			column := int32(-127 * 4 * depth)
			to.Offsets[0] = -128 * column // which wraps around, as the sums with an offset do
		}
		c := make([]float32, 1)
		k.Gemm(1, 1, depth, a, depth, b, c, 1, false, nil, to)
		if want := float32(-127 * 127 * 4 * depth); c[0] != want {
			t.Errorf("the sum is %g, want %g", c[0], want)
		}
	})
}
