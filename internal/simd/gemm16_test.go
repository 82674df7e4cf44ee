package simd

import (
	"math"
	"testing"
	"unsafe"
)

// asWords and asFloats give the same memory another type, so that words can stand in the buffers of float32.
func asWords(x []float32) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(x))), len(x))
}

func asFloats(w []uint32) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(w))), len(w))
}

// nearest16 is the number of upper half bits that is nearest to x, which is not NaN: of two as near, that whose last bit is
// zero. Beyond the largest stands 2^128, for infinity.
func nearest16(x float32) uint32 {
	size := func(upper uint32) float64 {
		if upper == 0x7f80 {
			return 0x1p128
		}
		return float64(math.Float32frombits(upper << 16))
	}
	bits := math.Float32bits(x)
	sign, below := bits>>31<<15, bits<<1>>17
	if below == 0x7f80 {
		return sign | below
	}
	magnitude := math.Abs(float64(x))
	toBelow, toAbove := magnitude-size(below), size(below+1)-magnitude
	if toAbove < toBelow || toAbove == toBelow && below%2 == 1 {
		below++
	}
	return sign | below
}

func subnormal(x float32) bool { return x != 0 && math.Abs(float64(x)) < 0x1p-126 }

// TestRoundRow checks the rounding of all kinds of numbers, and rows of every length by those of the longest.
func TestRoundRow(t *testing.T) {
	kinds := everyExponent()
	for exponent := uint32(1); exponent < 255; exponent++ { // ties, and what is next to them
		for _, m := range []uint32{0x8000, 0x7fff, 0x8001, 0x18000, 0x17fff, 0x18001, 0x7f8000, 0x7f7fff} {
			kinds = append(kinds, math.Float32frombits(exponent<<23|m), math.Float32frombits(1<<31|exponent<<23|m))
		}
	}
	for _, payload := range []uint32{1, 0x8000, 0xffff, 0x10000, 0x3fffff, 0x400000, 0x7fffff} { // quiet and signalling NaN
		kinds = append(kinds, math.Float32frombits(0x7f800000|payload), math.Float32frombits(0xff800000|payload))
	}
	if len(kinds)%2 == 0 {
		kinds = append(kinds, 1.5)
	}
	eachLevel(t, func(t *testing.T, k *Kernels) {
		got := make([]uint32, (len(kinds)+1)/2)
		k.RoundRow(got, kinds)
		for i, x := range kinds {
			half := got[i/2] >> (16 * (i % 2)) & 0xffff
			switch {
			case x != x:
				if half&0x7fc0 != 0x7fc0 {
					t.Errorf("a NaN of bits %#x becomes %#04x, which is not a quiet NaN", math.Float32bits(x), half)
				}
			case subnormal(x):
				if half != nearest16(x) && half != math.Float32bits(x)>>31<<15 {
					t.Errorf("%g becomes %#04x, want %#04x or zero", x, half, nearest16(x))
				}
			case half != nearest16(x):
				t.Errorf("%g becomes %#04x, want %#04x", x, half, nearest16(x))
			}
		}
		if got[len(got)-1]>>16 != 0 {
			t.Errorf("the element behind an odd row is %#04x", got[len(got)-1]>>16)
		}

		const longest = 1000
		x := normals(newRand(), longest)
		whole := make([]uint32, longest/2)
		k.RoundRow(whole, x)
		src, dst := newBuffer(t, longest), newBuffer(t, longest/2)
		for _, n := range rowLengths() {
			where := place(n % int(places))
			words := asWords(dst.put(normals(newRand(), (n+1)/2), where))
			k.RoundRow(words, src.put(x[:n], where))
			for p, w := range words {
				want := whole[p]
				if 2*p+1 == n {
					want &= 0xffff
				}
				if w != want {
					t.Fatalf("n=%d: word %d is %#08x, want %#08x as in the longest row", n, p, w, want)
				}
			}
			if !src.intact() || !dst.intact() {
				t.Fatalf("n=%d: wrote outside its operands", n)
			}
		}
	})
}

// blocked is a panel of A in blocks of Step16 words, made of one in words, [k][MR16], or the reverse.
func blocked(k *Kernels, panel []uint32, blocks bool) []uint32 {
	out := make([]uint32, len(panel))
	depth := len(panel) / k.MR16
	for p := range depth {
		block := p / k.Step16 * k.Step16
		width := min(k.Step16, depth-block)
		for i := range k.MR16 {
			inWords, inBlock := p*k.MR16+i, block*k.MR16+i*width+p-block
			if blocks {
				out[inBlock] = panel[inWords]
			} else {
				out[inWords] = panel[inBlock]
			}
		}
	}
	return out
}

// panels16 is m rows of words, rounded already, as the panels that GemmPacked16 takes.
func panels16(k *Kernels, a []uint32, m, depth int) []uint32 {
	var out []uint32
	for from := 0; from < m && depth > 0; from += k.MR16 {
		panel := make([]uint32, k.MR16*depth)
		for i := range min(k.MR16, m-from) {
			for p := range depth {
				panel[p*k.MR16+i] = a[(from+i)*depth+p]
			}
		}
		out = append(out, blocked(k, panel, true)...)
	}
	return out
}

func TestPack16(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		const deepest, extra = 70, 3
		r := newRand()
		source := normals(r, (deepest+1)*(deepest+extra))
		bufDst, bufSrc := newBuffer(t, deepest*k.NR16), newBuffer(t, len(source))
		check := func(name string, f func(dst []uint32, src []float32, ld, n, k int), width, n, depth, rows, columns, pRow int) {
			t.Helper()
			for _, ld := range []int{columns, columns + extra} {
				where := place((n + depth) % int(places))
				src := bufSrc.put(spread(source, rows, columns, ld, ld), where)
				dst := asWords(bufDst.put(normals(r, (depth+1)/2*width), where))
				f(dst, src, ld, n, depth)
				element := func(p, j int) uint32 {
					switch {
					case j >= n || p >= depth:
						return 0
					case pRow == 1:
						return nearest16(src[p*ld+j])
					}
					return nearest16(src[j*ld+p])
				}
				for i, got := range dst {
					p, j := i/width, i%width
					if want := element(2*p, j) | element(2*p+1, j)<<16; got != want {
						t.Fatalf("%s n=%d k=%d ld=%d: [%d][%d] = %#08x, want %#08x", name, n, depth, ld, p, j, got, want)
					}
				}
				if !bufDst.intact() || !bufSrc.intact() {
					t.Fatalf("%s n=%d k=%d: wrote outside its operands", name, n, depth)
				}
			}
		}
		for depth := range deepest + 1 {
			for n := range k.NR16 + 1 {
				check("PackB16", k.PackB16, k.NR16, n, depth, depth, n, 1)
				check("PackBT16", k.PackBT16, k.NR16, n, depth, n, depth, 0)
			}
			for m := range k.MR16 + 1 {
				rows := func(dst []uint32, src []float32, ld, m, depth int) {
					k.PackA16(dst, src, ld, m, depth)
					copy(dst, blocked(k, dst, false))
				}
				check("PackA16", rows, k.MR16, m, depth, depth, m, 1)
			}
		}
	})
}

// TestRepack16 holds the packings of rows of words to those of the numbers that they were rounded from.
func TestRepack16(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		const deepest, extra = 70, 3
		r := newRand()
		bufDst, bufSrc := newBuffer(t, deepest*max(k.NR16, k.MR16)), newBuffer(t, deepest*(k.NR16+extra))
		check := func(name string, pack func(dst []uint32, src []float32, ld, n, k int), repack func(dst, src []uint32, ld, n, k int), width, n, depth int) {
			t.Helper()
			// Beside the columns of a panel a row may have others, of which one may share a word with the last.
			columns := n + n%2
			numbers := normals(r, (depth+1)*(columns+1))
			rows := make([]uint32, depth*(columns/2))
			for p := range depth {
				k.RoundRow(rows[p*(columns/2):][:columns/2], numbers[p*columns:][:columns])
			}
			want := make([]uint32, (depth+1)/2*width)
			pack(want, numbers, columns, n, depth)
			for _, ld := range []int{columns / 2, columns/2 + extra} {
				where := place((n + depth) % int(places))
				src := asWords(bufSrc.put(spread(asFloats(rows), depth, columns/2, columns/2, ld), where))
				dst := asWords(bufDst.put(normals(r, len(want)), where))
				repack(dst, src, ld, n, depth)
				for i := range want {
					if dst[i] != want[i] {
						t.Fatalf("%s n=%d k=%d ld=%d: word %d is %#08x, want %#08x", name, n, depth, ld, i, dst[i], want[i])
					}
				}
				if !bufDst.intact() || !bufSrc.intact() {
					t.Fatalf("%s n=%d k=%d: wrote outside its operands", name, n, depth)
				}
			}
		}
		for depth := range deepest + 1 {
			for n := range k.NR16 + 1 {
				check("RepackB16", k.PackB16, k.RepackB16, k.NR16, n, depth)
			}
			for m := range k.MR16 + 1 {
				check("RepackA16", k.PackA16, k.RepackA16, k.MR16, m, depth)
			}
		}
	})
}

// TestPack16Kinds checks that the packings round all kinds of numbers as RoundRow does.
func TestPack16Kinds(t *testing.T) {
	kinds := everyExponent()
	eachLevel(t, func(t *testing.T, k *Kernels) {
		for from := 0; from < len(kinds); from += 64 {
			x := kinds[from:min(from+64, len(kinds))]
			want := make([]uint32, (len(x)+1)/2)
			k.RoundRow(want, x)
			for name, f := range map[string]func(dst []uint32) int{
				"PackB16":  func(dst []uint32) int { k.PackB16(dst, x, 1, 1, len(x)); return k.NR16 },
				"PackBT16": func(dst []uint32) int { k.PackBT16(dst, x, len(x), 1, len(x)); return k.NR16 },
				"PackA16": func(dst []uint32) int {
					k.PackA16(dst, x, 1, 1, len(x))
					copy(dst, blocked(k, dst[:len(want)*k.MR16], false))
					return k.MR16
				},
			} {
				dst := make([]uint32, len(want)*max(k.NR16, k.MR16))
				width := f(dst)
				for p, w := range want {
					if dst[p*width] != w {
						t.Fatalf("%s: %v and its neighbour become %#08x, want %#08x", name, x[2*p], dst[p*width], w)
					}
				}
			}
		}
	})
}

// A product16 holds the rounded operands of a product for one level, B packed. Its depth is in words.
type product16 struct {
	m, n, k int
	a, b    []uint32 // a[m,k], b[k][NR]
	c, bias []float32
}

// newProduct16 makes a product of the given depth in elements.
func newProduct16(k *Kernels, m, n, depth int) product16 {
	r := newRand()
	p := product16{m: m, n: n, k: (depth + 1) / 2, c: normals(r, m*n)}
	p.a, p.b = make([]uint32, m*p.k), make([]uint32, p.k*k.NR16)
	for i := range m {
		k.RoundRow(p.a[i*p.k:][:p.k], normals(r, depth))
	}
	k.PackB16(p.b, normals(r, depth*n), n, n, depth)
	return p
}

// check compares a result, rows ldc apart, with float64, and with the sums in float32 that it has to be. Each of 2k sums,
// and one more a step, rounds one that no partial sum of the magnitudes exceeds by more than rounding.
func (p product16) check(t *testing.T, kernels *Kernels, c []float32, ldc int, add bool) {
	t.Helper()
	for i := range p.m {
		for j := range p.n {
			var exact, magnitude float64
			var chain float32
			switch {
			case add:
				chain = p.c[i*p.n+j]
			case p.bias != nil:
				chain = p.bias[j]
			}
			exact = float64(chain)
			magnitude = math.Abs(exact)
			var halves [2]float32 // sums of the upper and the lower halves of a step
			for q := range p.k {
				x, y := p.a[i*p.k+q], p.b[q*kernels.NR16+j]
				for h, shift := range []int{0, 16} { // the upper half, then the lower one
					u := math.Float32frombits(x << shift & 0xffff0000)
					v := math.Float32frombits(y << shift & 0xffff0000)
					exact += float64(u) * float64(v)
					magnitude += math.Abs(float64(u) * float64(v))
					if kernels.Step16 == 1 {
						chain += float32(u * v)
					} else {
						halves[h] += float32(u * v)
					}
				}
				if kernels.Step16 > 1 && ((q+1)%kernels.Step16 == 0 || q+1 == p.k) {
					chain += float32(halves[1] + halves[0])
					halves = [2]float32{}
				}
			}
			got := c[i*ldc+j]
			bound := float64(3*p.k) * 0x1p-24 * magnitude * (1 + 0x1p-10)
			if !(math.Abs(float64(got)-exact) <= bound) {
				t.Fatalf("m=%d n=%d k=%d add=%v: c[%d,%d] = %v, want %v ± %v", p.m, p.n, p.k, add, i, j, got, exact, bound)
			}
			if got != chain {
				t.Fatalf("m=%d n=%d k=%d add=%v: c[%d,%d] = %v, want the chain %v", p.m, p.n, p.k, add, i, j, got, chain)
			}
		}
	}
}

// TestGemm16Shapes is TestGemmShapes of words.
func TestGemm16Shapes(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		most, nr := 2*k.MR16+1, k.NR16
		const deepest, ldaExtra, ldcExtra = 35, 3, 5
		bufA, bufB := newBuffer(t, most*(deepest+ldaExtra)), newBuffer(t, deepest*nr)
		bufC, bufP := newBuffer(t, most*(nr+ldcExtra)), newBuffer(t, 3*k.MR16*deepest)
		bufBias := newBuffer(t, nr)
		for _, elements := range []int{0, 1, 2, 3, 4, 5, 8, 15, 16, 33, 70} {
			for _, start := range []string{"zero", "bias", "c"} {
				add := start == "c"
				p := newProduct16(k, most, nr, elements)
				depth := p.k
				whole := append([]float32(nil), p.c...)
				if start == "bias" {
					p.bias = normals(newRand(), nr)
				}
				k.Gemm16(most, nr, depth, p.a, depth, p.b, whole, nr, add, p.b, p.bias)
				p.check(t, k, whole, nr, add)
				for m := 1; m <= most; m++ {
					for n := 1; n <= nr; n++ {
						where := place((m + n) % int(places))
						lda, ldc := depth+ldaExtra*(m%2), n+ldcExtra*(n%2)
						b := asWords(bufB.put(asFloats(p.b), where))
						if m%4 == n%4 && p.bias == nil {
							a := asWords(bufP.put(asFloats(panels16(k, p.a, m, depth)), where))
							c := bufC.put(spread(p.c, m, n, nr, ldc), where)
							k.GemmPacked16(m, n, depth, a, b, c, ldc, add, nil)
							compareBlock(t, "GemmPacked16", c, ldc, whole, nr, m, n, depth)
						}
						a := asWords(bufA.put(spread(asFloats(p.a), m, depth, depth, lda), where))
						c := bufC.put(spread(p.c, m, n, nr, ldc), where)
						bias := bufBias.put(p.c[:n], where)
						if copy(bias, p.bias); p.bias == nil {
							bias = nil
						}
						k.Gemm16(m, n, depth, a, lda, b, c, ldc, add, nil, bias)
						compareBlock(t, "Gemm16", c, ldc, whole, nr, m, n, depth)
						if !bufA.intact() || !bufB.intact() || !bufC.intact() || !bufP.intact() || !bufBias.intact() {
							t.Fatalf("m=%d n=%d k=%d: wrote outside its operands", m, n, depth)
						}
					}
				}
			}
		}
	})
}

// TestGemm16Deep checks shapes of real models, odd depths, and that cutting k between steps leaves the bits alone.
func TestGemm16Deep(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		for _, elements := range []int{767, 768, 3072} {
			p := newProduct16(k, 40, k.NR16, elements)
			c := make([]float32, p.m*p.n)
			p.bias = normals(newRand(), p.n)
			k.Gemm16(p.m, p.n, p.k, p.a, p.k, p.b, c, p.n, false, nil, p.bias)
			p.check(t, k, c, p.n, false)

			cut := make([]float32, p.m*p.n)
			most := 251 / k.Step16 * k.Step16
			for from := 0; from < p.k; from += most {
				step := min(most, p.k-from)
				var bias []float32
				if from == 0 {
					bias = p.bias
				}
				k.Gemm16(p.m, p.n, step, p.a[from:], p.k, p.b[from*k.NR16:], cut, p.n, from > 0, nil, bias)
			}
			if !same(c, cut) {
				t.Errorf("k=%d: cut along k the result differs", elements)
			}
		}
	})
}

// TestGemm16Packings checks that all ways to round operands lead to the same product, of an odd depth.
func TestGemm16Packings(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		const depth = 77
		m, n := k.MR16, k.NR16
		r := newRand()
		a, b := normals(r, m*depth), normals(r, depth*n)
		turned := func(x []float32, rows, columns int) []float32 {
			y := make([]float32, len(x))
			for i, v := range x {
				y[i%columns*rows+i/columns] = v
			}
			return y
		}
		rows, panelA := make([]uint32, m*words(depth)), make([]uint32, m*words(depth))
		for i := range m {
			k.RoundRow(rows[i*words(depth):][:words(depth)], a[i*depth:][:depth])
		}
		k.PackA16(panelA, turned(a, m, depth), m, m, depth)
		panel, fromTurned := make([]uint32, n*words(depth)), make([]uint32, n*words(depth))
		k.PackB16(panel, b, n, n, depth)
		k.PackBT16(fromTurned, turned(b, depth, n), depth, n, depth)
		c, d := make([]float32, m*n), make([]float32, m*n)
		k.Gemm16(m, n, words(depth), rows, words(depth), panel, c, n, false, nil, nil)
		k.GemmPacked16(m, n, words(depth), panelA, fromTurned, d, n, false, nil)
		if !same(c, d) {
			t.Error("packed operands give another product")
		}
	})
}

// TestGemm16NonFinite is TestGemmNonFinite of words.
func TestGemm16NonFinite(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	eachLevel(t, func(t *testing.T, k *Kernels) {
		const m, n, depth = 5, 3, 3
		a := []float32{1, 2, 1, inf, 0, 1, nan, 0, 1, 0, 0, 1, -inf, inf, math.MaxFloat32}
		b := make([]uint32, words(depth)*k.NR16)
		k.PackB16(b, []float32{1, 2, 0, 1, 3, 1, 1, 1, 1}, n, n, depth)
		rows := make([]uint32, m*words(depth))
		for i := range m {
			k.RoundRow(rows[i*words(depth):][:words(depth)], a[i*depth:][:depth])
		}
		c := make([]float32, m*n)
		k.Gemm16(m, n, words(depth), rows, words(depth), b, c, n, false, nil, nil)
		want := []float32{4, 9, 3, inf, inf, nan, nan, nan, nan, 1, 1, 1, nan, nan, nan}
		if !same(c, want) {
			t.Errorf("got %v, want %v", c, want)
		}
	})
}

// TestGemm16Subnormal checks what the instructions for bfloat16 do with subnormal numbers, which is to take them for zero
// as operands, products and sums, and that without them they count.
func TestGemm16Subnormal(t *testing.T) {
	upper := func(x float32) uint32 { return math.Float32bits(x) &^ 0xffff }
	for _, c := range []struct {
		name    string
		a, b, c float32
		want    float32 // where subnormal numbers count
		flushed float32
	}{
		{"operand", 0x1p-130, 0x1p100, 0, 0x1p-30, 0},
		{"product", 0x1p-70, -0x1p-70, 0, -0x1p-140, 0},
		{"sum", 0x1p-63, 0x1p-63, -0x1.8p-126, -0x1p-127, 0},
		{"addend", 1, 0, 0x1p-140, 0x1p-140, 0},
		{"normal", 0x1p-63, 0x1p-63, 0, 0x1p-126, 0x1p-126},
	} {
		eachLevel(t, func(t *testing.T, k *Kernels) {
			b := make([]uint32, k.NR16)
			b[0] = upper(c.b)
			got := []float32{c.c}
			k.Gemm16(1, 1, 1, []uint32{upper(c.a)}, 1, b, got, 1, true, nil, nil)
			want := c.want
			if k.Native16 {
				want = c.flushed
			}
			if got[0] != want {
				t.Errorf("%s: %g + %g·%g = %g, want %g", c.name, c.c, c.a, c.b, got[0], want)
			}
		})
	}
}

func TestGemm16Nothing(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		k.Gemm16(0, k.NR16, 4, nil, 4, make([]uint32, 4*k.NR16), nil, k.NR16, false, nil, nil)
		k.GemmPacked16(0, k.NR16, 4, nil, make([]uint32, 4*k.NR16), nil, k.NR16, false, nil)
		k.RoundRow(nil, nil)
		c := []float32{7, 0x1p-140}
		k.Gemm16(2, 1, 0, nil, 0, nil, c, 1, true, nil, nil)
		if !same(c, []float32{7, 0x1p-140}) {
			t.Errorf("k=0 with add changed c to %v", c)
		}
		k.Gemm16(2, 1, 0, nil, 0, nil, c, 1, false, nil, []float32{3})
		if !same(c, []float32{3, 3}) {
			t.Errorf("k=0 with a bias of 3 left %v", c)
		}
		k.Gemm16(2, 1, 0, nil, 0, nil, c, 1, false, nil, nil)
		if !same(c, []float32{0, 0}) {
			t.Errorf("k=0 without add left %v", c)
		}
	})
}
