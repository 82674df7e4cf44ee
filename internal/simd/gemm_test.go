package simd

import (
	"math"
	"testing"
)

// A product holds the operands of a product for one level, B packed.
type product struct {
	m, n, k int
	a, b, c []float32 // a[m,k], b[k][NR], c[m,n] to be added to
}

func newProduct(k *Kernels, m, n, depth int) product {
	r := newRand()
	p := product{m: m, n: n, k: depth, a: normals(r, m*depth), b: make([]float32, depth*k.NR), c: normals(r, m*n)}
	k.PackB(p.b, normals(r, depth*n), n, n, depth)
	return p
}

// check compares a result, rows ldc apart, with float64. Each of k steps rounds a sum that no partial sum of the
// magnitudes exceeds.
func (p product) check(t *testing.T, nr int, c []float32, ldc int, add bool) {
	t.Helper()
	for i := range p.m {
		for j := range p.n {
			var want, magnitude float64
			if add {
				want = float64(p.c[i*p.n+j])
				magnitude = math.Abs(want)
			}
			for q := range p.k {
				x := float64(p.a[i*p.k+q]) * float64(p.b[q*nr+j])
				want += x
				magnitude += math.Abs(x)
			}
			bound := float64(p.k) * 0x1p-23 * magnitude
			if got := float64(c[i*ldc+j]); !(math.Abs(got-want) <= bound) {
				t.Fatalf("m=%d n=%d k=%d add=%v: c[%d,%d] = %v, want %v ± %v", p.m, p.n, p.k, add, i, j, got, want, bound)
			}
		}
	}
}

// TestGemmShapes checks the largest block of each depth against float64, and every smaller block, wherever it stands in
// memory, bit by bit against the largest: neither neighbours nor tiles nor alignment show.
func TestGemmShapes(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		most, nr := 2*k.MR+1, k.NR
		const ldaExtra, ldcExtra = 3, 5
		depths := []int{0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33, 64, 70}
		bufA, bufB := newBuffer(t, most*(70+ldaExtra)), newBuffer(t, 70*nr)
		bufC, bufP := newBuffer(t, most*(nr+ldcExtra)), newBuffer(t, 3*k.MR*70)
		for _, depth := range depths {
			for _, add := range []bool{false, true} {
				p := newProduct(k, most, nr, depth)
				whole := append([]float32(nil), p.c...)
				k.Gemm(most, nr, depth, p.a, depth, p.b, whole, nr, add, nil, nil)
				p.check(t, nr, whole, nr, add)
				for m := 1; m <= most; m++ {
					for n := 1; n <= nr; n++ {
						where := place((m + n) % int(places))
						lda, ldc := depth+ldaExtra*(m%2), n+ldcExtra*(n%2)
						b := bufB.put(p.b, where)
						if m%4 == n%4 { // packed, with the panels' rows beyond m as they come
							a := bufP.put(packRows(k, p.a, m, depth), where)
							c := bufC.put(spread(p.c, m, n, nr, ldc), where)
							k.GemmPacked(m, n, depth, a, b, c, ldc, add, nil)
							compareBlock(t, "GemmPacked", c, ldc, whole, nr, m, n, depth)
						}
						a := bufA.put(spread(p.a, m, depth, depth, lda), where)
						c := bufC.put(spread(p.c, m, n, nr, ldc), where)
						k.Gemm(m, n, depth, a, lda, b, c, ldc, add, nil, nil)
						compareBlock(t, "Gemm", c, ldc, whole, nr, m, n, depth)
						if !bufA.intact() || !bufB.intact() || !bufC.intact() || !bufP.intact() {
							t.Fatalf("m=%d n=%d k=%d: wrote outside its operands", m, n, depth)
						}
					}
				}
			}
		}
	})
}

// TestGemmBias compares a product with a bias, and with a panel to come, with the product and the sums of its rows.
func TestGemmBias(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		most, nr := 2*k.MR+1, k.NR
		bufBias := newBuffer(t, nr)
		for _, depth := range []int{0, 1, 40} {
			p := newProduct(k, most, nr, depth)
			bias := p.c[:nr]
			for _, add := range []bool{false, true} {
				for m := 1; m <= most; m++ {
					for n := 1; n <= nr; n++ {
						want, got := spread(p.c, m, n, nr, n), spread(p.c, m, n, nr, n)
						k.Gemm(m, n, depth, p.a, depth, p.b, want, n, add, nil, nil)
						for i := range m {
							k.Add(want[i*n:][:n], bias[:n])
						}
						k.Gemm(m, n, depth, p.a, depth, p.b, got, n, add, p.b[:min(1, len(p.b))], bufBias.put(bias[:n], place((m+n)%int(places))))
						compareBlock(t, "Gemm", got, n, want, n, m, n, depth)
					}
				}
			}
		}
	})
}

// spread copies the m×n corner of x, rows ldx apart, to rows ld apart, with canaries between them. What it returns ends
// with the last element.
func spread(x []float32, m, n, ldx, ld int) []float32 {
	if m == 0 || n == 0 {
		return nil
	}
	y := make([]float32, (m-1)*ld+n)
	for i := range y {
		if row, j := i/ld, i%ld; j < n {
			y[i] = x[row*ldx+j]
		} else {
			y[i] = canary
		}
	}
	return y
}

// packRows packs the first m rows of a[·,depth].
func packRows(k *Kernels, a []float32, m, depth int) []float32 {
	transposed := make([]float32, depth*m)
	for i := range m {
		for p := range depth {
			transposed[p*m+i] = a[i*depth+p]
		}
	}
	panels := make([]float32, (m+k.MR-1)/k.MR*k.MR*depth)
	for i := 0; i < m && depth > 0; i += k.MR {
		k.PackA(panels[i*depth:], transposed[i:], m, min(k.MR, m-i), depth)
	}
	return panels
}

func compareBlock(t *testing.T, name string, c []float32, ldc int, whole []float32, ldw, m, n, depth int) {
	t.Helper()
	for i := range c {
		row, j := i/ldc, i%ldc
		want := canary
		if j < n {
			want = whole[row*ldw+j]
		}
		if math.Float32bits(c[i]) != math.Float32bits(want) {
			t.Fatalf("%s m=%d n=%d k=%d: c[%d,%d] = %v, want %v as in the largest block", name, m, n, depth, row, j, c[i], want)
		}
	}
}

// TestGemmDeep checks shapes of real models, and that cutting k leaves the bits alone.
func TestGemmDeep(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		for _, depth := range []int{768, 3072} {
			p := newProduct(k, 40, k.NR, depth)
			c := make([]float32, p.m*p.n)
			k.Gemm(p.m, p.n, p.k, p.a, p.k, p.b, c, p.n, false, nil, nil)
			p.check(t, k.NR, c, p.n, false)

			cut := make([]float32, p.m*p.n)
			for from := 0; from < depth; from += 500 {
				step := min(500, depth-from)
				k.Gemm(p.m, p.n, step, p.a[from:], p.k, p.b[from*k.NR:], cut, p.n, from > 0, nil, nil)
			}
			if !same(c, cut) {
				t.Errorf("k=%d: cut along k the result differs", depth)
			}
		}
	})
}

// TestGemmNonFinite checks that nothing beyond the operands' own NaN and infinities is mixed in, and that they stay.
func TestGemmNonFinite(t *testing.T) {
	inf := float32(math.Inf(1))
	nan := float32(math.NaN())
	eachLevel(t, func(t *testing.T, k *Kernels) {
		const m, n, depth = 5, 3, 2
		a := []float32{1, 2, inf, 0, nan, 0, 0, 0, -inf, inf}
		b := make([]float32, depth*k.NR)
		k.PackB(b, []float32{1, 2, 0, 1, 3, 1}, n, n, depth)
		c := make([]float32, m*n)
		k.Gemm(m, n, depth, a, depth, b, c, n, false, nil, nil)
		want := []float32{3, 8, 2, inf, inf, nan, nan, nan, nan, 0, 0, 0, nan, nan, nan}
		if !same(c, want) {
			t.Errorf("got %v, want %v", c, want)
		}
	})
}

func TestGemmNothing(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		k.Gemm(0, k.NR, 4, nil, 4, make([]float32, 4*k.NR), nil, k.NR, false, nil, nil)
		k.GemmPacked(0, k.NR, 4, nil, make([]float32, 4*k.NR), nil, k.NR, false, nil)
		c := []float32{7, 7}
		k.Gemm(2, 1, 0, nil, 0, nil, c, 1, true, nil, nil)
		if !same(c, []float32{7, 7}) {
			t.Errorf("k=0 with add changed c to %v", c)
		}
		k.Gemm(2, 1, 0, nil, 0, nil, c, 1, false, nil, nil)
		if !same(c, []float32{0, 0}) {
			t.Errorf("k=0 without add left %v", c)
		}
	})
}

func TestPack(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		const deepest, extra = 70, 3
		r := newRand()
		source := normals(r, (deepest+1)*(deepest+extra))
		bufDst, bufSrc := newBuffer(t, deepest*k.NR), newBuffer(t, len(source))
		check := func(name string, f func(dst, src []float32, ld, n, k int), width, n, depth, rows, columns, pRow int) {
			t.Helper()
			for _, ld := range []int{columns, columns + extra} {
				where := place((n + depth) % int(places))
				src := bufSrc.put(spread(source, rows, columns, ld, ld), where)
				garbage := make([]float32, depth*width)
				for i := range garbage {
					garbage[i] = -1
				}
				dst := bufDst.put(garbage, where)
				f(dst, src, ld, n, depth)
				for i, got := range dst {
					p, j := i/width, i%width
					var want float32
					if j < n && pRow == 1 {
						want = src[p*ld+j]
					} else if j < n {
						want = src[j*ld+p]
					}
					if got != want {
						t.Fatalf("%s n=%d k=%d ld=%d: [%d][%d] = %v, want %v", name, n, depth, ld, p, j, got, want)
					}
				}
				if !bufDst.intact() || !bufSrc.intact() {
					t.Fatalf("%s n=%d k=%d: wrote outside its operands", name, n, depth)
				}
			}
		}
		for depth := range deepest + 1 {
			for n := range k.NR + 1 {
				check("PackB", k.PackB, k.NR, n, depth, depth, n, 1)
				check("PackBT", k.PackBT, k.NR, n, depth, n, depth, 0)
			}
			for m := range k.MR + 1 {
				check("PackA", k.PackA, k.MR, m, depth, depth, m, 1)
			}
		}
	})
}
