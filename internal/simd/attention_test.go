package simd

import (
	"math"
	"testing"
	"unsafe"
)

// wordsIn is guarded memory as words.
func wordsIn(s []float32) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}

// ofWords are the n elements of a row of words. It fails if there is anything behind them.
func ofWords(t *testing.T, row []uint32, n int) []float32 {
	t.Helper()
	x := make([]float32, 0, n+1)
	for _, w := range row {
		even, odd := halves(w)
		x = append(x, even, odd)
	}
	if len(x) > n && math.Float32bits(x[n]) != 0 {
		t.Fatalf("n=%d: behind the last element is %v", n, x[n])
	}
	return x[:n]
}

// eachBlock calls f for each length with rows of sources, of words and of a number each, which stand in guarded memory in every place
// in turn, and compares the bits of the words and the numbers with those of other places, strides and numbers of rows.
func eachBlock(t *testing.T, spread float64, f func(n int, dst []uint32, ldd int, src []float32, ld, rows int, numbers []float32)) {
	t.Helper()
	const most = 5
	lengths := rowLengths()
	longest := 0
	for _, n := range lengths {
		longest = max(longest, n)
	}
	r := newRand()
	initial := normals(r, longest)
	source, target, number := newBuffer(t, most*(longest+3)), newBuffer(t, most*(longest+3)), newBuffer(t, most)
	for _, n := range lengths {
		if n == 0 {
			continue
		}
		var first []float32
		for where := range places {
			rows := most - int(where)
			ld, ldd := n+int(where), words(n)+2*int(where)
			x := make([]float32, (rows-1)*ld+n)
			for i := range rows {
				for j, v := range initial[:n] {
					x[i*ld+j] = float32(spread*float64(i+1)) * v
				}
			}
			src := source.put(x, where)
			dst := target.put(make([]float32, (rows-1)*ldd+words(n)), where)
			numbers := number.put(normals(newRand(), most)[:rows], where)
			f(n, wordsIn(dst), ldd, src, ld, rows, numbers)
			if !source.intact() || !target.intact() || !number.intact() {
				t.Fatalf("n=%d: wrote outside an operand", n)
			}
			var results []float32
			for i := range most - int(places) + 1 {
				results = append(append(results, dst[i*ldd:][:words(n)]...), numbers[i])
			}
			if where == 0 {
				first = results
			} else if !same(results, first) {
				t.Fatalf("n=%d: the result depends on the place, the stride or the number of rows", n)
			}
			for i := range rows - 1 {
				for _, v := range dst[i*ldd+words(n) : (i+1)*ldd] {
					if v != 0 {
						t.Fatalf("n=%d: wrote between the rows of words", n)
					}
				}
			}
		}
	}
}

// TestExpRows16 compares weights with a softmax in float64, and what they add up to with one.
func TestExpRows16(t *testing.T) {
	const s = 0.75
	eachLevel(t, func(t *testing.T, k *Kernels) {
		eachBlock(t, 9, func(n int, dst []uint32, ldd int, x []float32, ld, rows int, inverse []float32) {
			scores := append([]float32(nil), x...)
			k.ExpRows16(dst, ldd, x, ld, rows, n, s, inverse)
			for i := range rows {
				row := scores[i*ld:][:n]
				top, sum, total := math.Inf(-1), 0.0, 0.0
				for _, v := range row {
					top = max(top, s*float64(v))
				}
				for _, v := range row {
					sum += math.Exp(s*float64(v) - top)
				}
				for j, w := range ofWords(t, dst[i*ldd:][:words(n)], n) {
					away := top - s*float64(row[j])
					want := math.Exp(-away) / sum
					got := float64(w) * float64(inverse[i])
					total += got
					near(t, "weight", n, got, want, want*(0x1p-7+0x1p-12+0x1p-22*away)+0x1p-126)
				}
				bound := 0x1p-8
				if k.expRows16 != nil {
					bound = float64(n/32+8) * 0x1p-24
				}
				near(t, "sum of weights", n, total, 1, bound)
			}
		})
	})
}

// TestExpRows16Special asserts that rows that are not numbers become NaN, that what lies far below the maximum is zero, and that
// equal scores have equal weights whose sum is exact.
func TestExpRows16Special(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	eachLevel(t, func(t *testing.T, k *Kernels) {
		weights := func(x ...float32) (w []float32, inverse float32) {
			dst := make([]uint32, words(len(x)))
			var numbers [1]float32
			k.ExpRows16(dst, len(dst), append([]float32(nil), x...), len(x), 1, len(x), 1, numbers[:])
			return ofWords(t, dst, len(x)), numbers[0]
		}
		for _, n := range []int{1, 2, 31, 32, 33, 70} {
			for _, at := range []int{0, n / 2, n - 1} {
				for _, bad := range []float32{nan, inf} {
					x := make([]float32, n)
					x[at] = bad
					w, inverse := weights(x...)
					var sum float32
					for _, v := range w {
						sum += v
					}
					if v := sum * inverse; v == v {
						t.Errorf("n=%d: of a row with %v, the weights add up to %v", n, bad, v)
					}
				}
				x := make([]float32, n)
				for i := range x {
					x[i] = -3e38
				}
				x[at] = 3e38
				if w, inverse := weights(x...); w[at]*inverse != 1 || n > 1 && w[(at+1)%n] != 0 {
					t.Errorf("n=%d: of one large score, the weights are %v, times %v", n, w, inverse)
				}
				for i := range x {
					x[i] = -inf
				}
				x[at] = 2
				if w, inverse := weights(x...); w[at]*inverse != 1 || n > 1 && w[(at+1)%n] != 0 {
					t.Errorf("n=%d: beside infinite scores, the weights are %v, times %v", n, w, inverse)
				}
			}
			x := make([]float32, n)
			for i := range x {
				x[i] = 1.5
			}
			w, inverse := weights(x...)
			for i, v := range w {
				if v != w[0] || math.Abs(float64(v)*float64(inverse)*float64(n)-1) > 0x1p-8 {
					t.Errorf("n=%d: weight %d of equal ones is %v, times %v", n, i, v, inverse)
				}
			}
		}
		k.ExpRows16(nil, 0, nil, 0, 0, 5, 1, nil)
		numbers := []float32{1, 1}
		k.ExpRows16(nil, 0, nil, 0, 2, 0, 1, numbers)
	})
}

// TestRoundRows asserts the bits of RoundRow, with and without factors, and that ScaleRows multiplies.
func TestRoundRows(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		for _, scaled := range []bool{false, true} {
			eachBlock(t, 1, func(n int, dst []uint32, ldd int, src []float32, ld, rows int, numbers []float32) {
				x := append([]float32(nil), src...)
				scale := numbers
				if !scaled {
					scale = nil
				}
				k.RoundRows(dst, ldd, src, ld, rows, n, scale)
				again := append([]float32(nil), x...)
				k.ScaleRows(again, ld, again, ld, rows, n, numbers)
				want := make([]uint32, words(n))
				for i := range rows {
					row := x[i*ld:][:n]
					if !scaled && !same(src[i*ld:][:n], row) {
						t.Fatalf("n=%d: row %d of the source has changed", n, i)
					}
					product := make([]float32, n)
					for j := range row {
						product[j] = row[j] * numbers[i]
					}
					if !same(again[i*ld:][:n], product) {
						t.Fatalf("n=%d: row %d is not multiplied by %v", n, i, numbers[i])
					}
					if scaled {
						row = product
					}
					k.RoundRow(want, row)
					for p, w := range dst[i*ldd:][:len(want)] {
						if w != want[p] {
							t.Fatalf("n=%d: word %d of row %d is %#x, want %#x", n, p, i, w, want[p])
						}
					}
				}
			})
		}
	})
}

// TestScaleRowsInPlace checks what ScaleRows writes and that it touches nothing but its rows.
func TestScaleRowsInPlace(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		eachRow(t, 2, 2, func(n int, o [][]float32) []float32 {
			const rows, gap = 2, 1
			x, y := o[0], o[1]
			width := (n - gap*(rows-1)) / rows
			scale := []float32{2, 3}
			between := y[width]
			k.ScaleRows(y, width+gap, x, width+gap, rows, width, scale)
			if y[width] != between {
				t.Fatalf("n=%d: wrote between the rows", n)
			}
			for i, s := range scale {
				for j := range width {
					if at := i*(width+gap) + j; y[at] != s*x[at] {
						t.Fatalf("n=%d: element %d of row %d is %v, want %v times %v", n, j, i, y[at], s, x[at])
					}
				}
			}
			k.ScaleRows(x, width+gap, x, width+gap, rows, width, scale)
			if !same(x[:width], y[:width]) {
				t.Fatalf("n=%d: in place the result differs", n)
			}
			return nil
		})
	})
}

// TestGemmRoom16 asserts the bits of Gemm16, panel by panel, and that what is behind whole tiles stays, wherever operands stand.
func TestGemmRoom16(t *testing.T) {
	type size struct{ m, n, k int }
	sizes := []size{{0, 3, 1}, {3, 0, 1}, {1, 1, 0}, {1, 1, 1}, {1, 40, 16}, {5, 32, 17}, {31, 31, 32}, {32, 64, 16}, {33, 65, 50}, {64, 128, 32}, {70, 100, 33}}
	eachLevel(t, func(t *testing.T, k *Kernels) {
		up := func(x, by int) int { return (x + by - 1) / by * by }
		most := 0
		for _, s := range sizes {
			most = max(most, (up(s.m, k.MR16)+1)*(up(s.n, k.NR16)+s.k+k.Step16+4))
		}
		left, right, result := newBuffer(t, most), newBuffer(t, up(128, k.NR16)*64), newBuffer(t, most)
		for _, s := range sizes {
			deep, wide, high := up(s.k, k.Step16), up(s.n, k.NR16), up(s.m, k.MR16)
			var first []float32
			for where := range places {
				lda, ldc := deep+int(where), wide+2*int(where)
				a := left.put(make([]float32, max(0, (high-1)*lda+deep)), where)
				b := right.put(make([]float32, wide*deep), where)
				c := result.put(make([]float32, max(0, (high-1)*ldc+wide)), where)
				r := newRand()
				for i := range high {
					row := wordsIn(a)[i*lda:][:deep]
					for p := range row[:s.k] {
						row[p] = pair(float32(r.NormFloat64()), float32(r.NormFloat64()))
						if i >= s.m { // rows that are of no use may hold anything
							row[p] = math.Float32bits(canary)
						}
					}
				}
				for j := 0; j < wide; j += k.NR16 {
					for i := range wordsIn(b)[j*deep:][:k.NR16*s.k] {
						wordsIn(b)[j*deep:][i] = pair(float32(r.NormFloat64()), float32(r.NormFloat64()))
					}
				}
				k.GemmRoom16(s.m, s.n, s.k, wordsIn(a), lda, wordsIn(b), c, ldc)
				if !left.intact() || !right.intact() || !result.intact() {
					t.Fatalf("%v: wrote outside an operand", s)
				}
				var got []float32
				for i := range s.m {
					if i+1 < high {
						for _, v := range c[i*ldc+wide : (i+1)*ldc] {
							if v != 0 {
								t.Fatalf("%v: wrote between the rows", s)
							}
						}
					}
					got = append(got, c[i*ldc:][:s.n]...)
				}
				if where > 0 {
					if !same(got, first) {
						t.Fatalf("%v: the result depends on the place or the stride", s)
					}
					continue
				}
				first = got
				want := make([]float32, s.m*s.n)
				for j := 0; j < s.n && s.m > 0; j += k.NR16 {
					k.Gemm16(s.m, min(k.NR16, s.n-j), s.k, wordsIn(a), lda, wordsIn(b)[j*deep:], want[j:], s.n, false, nil, nil)
				}
				if !same(got, want) {
					t.Fatalf("%v: the bits differ from those of Gemm16", s)
				}
			}
		}
	})
}
