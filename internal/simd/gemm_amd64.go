//go:build amd64 && !purego

package simd

import "unsafe"

// An element is what operands of products consist of: a number, or a word of two of bfloat16.
type element interface{ float32 | uint32 }

const elementSize = 4

// gemmTile computes tiles that lie below one another; see _asm/gemm.go.
type gemmTile[E element] func(tiles int, a *E, as, rs, ps int, b *E, k int, c *float32, ldc, last int, add bool, next uintptr, pace int, bias *float32)

// A gemmLevel is one level's tiles by width in vectors and height in rows, both less one. Narrow ones may be higher than
// the largest, of mr rows.
type gemmLevel[E element] struct {
	mr, lanes int
	tiles     [][]gemmTile[E]
	panels    [][]gemmTile[E] // those of packed A; nil where tiles serve both
}

// An upcoming panel is one that tiles ask for beside their work: pace bytes of it, from at, at each step.
type upcoming struct {
	at   uintptr
	pace int
}

// upcoming is next, of which each of so many tiles asks for a part; without it they ask for what they have, b.
func (g *gemmLevel[E]) upcoming(next, b []E, tiles int) upcoming {
	if next == nil {
		return upcoming{at: uintptr(unsafe.Pointer(unsafe.SliceData(b)))}
	}
	row := len(g.tiles) * g.lanes * elementSize
	return upcoming{uintptr(unsafe.Pointer(unsafe.SliceData(next))), (row + tiles - 1) / tiles}
}

// after is u once so many tiles of k steps have asked.
func (u upcoming) after(tiles, k int) upcoming {
	u.at += uintptr(tiles * k * u.pace)
	return u
}

// inPlace is Kernels.Gemm. It cuts m into the fewest tiles, of heights that differ by at most one.
func (g *gemmLevel[E]) inPlace(m, n, k int, a []E, lda int, b []E, c []float32, ldc int, add bool, next []E, bias []float32) {
	if m <= 0 || n <= 0 {
		return
	}
	g.check(m, n, k, b, c, ldc)
	if k > 0 {
		_ = a[(m-1)*lda+k-1]
	}
	if bias != nil {
		_ = bias[n-1]
	}
	most := len(g.tiles[(n-1)/g.lanes])
	tiles := (m + most - 1) / most
	low := m / tiles
	high := m % tiles // tiles of one row more
	ahead := g.upcoming(next, b, tiles)
	g.run(g.tiles, high, low+1, n, k, a, low*lda+lda, lda, 1, b, c, ldc, add, ahead, bias)
	done := high * (low + 1)
	g.run(g.tiles, tiles-high, low, n, k, a[min(done*lda, len(a)):], low*lda, lda, 1, b, c[done*ldc:], ldc, add, ahead.after(high, k), bias)
}

// packed is Kernels.GemmPacked.
func (g *gemmLevel[E]) packed(m, n, k int, a, b []E, c []float32, ldc int, add bool, next []E) {
	if m <= 0 || n <= 0 {
		return
	}
	g.check(m, n, k, b, c, ldc)
	whole, rest := m/g.mr, m%g.mr
	panel := g.mr * k
	if k > 0 {
		_ = a[(m+g.mr-1)/g.mr*panel-1]
	}
	tiles := g.panels
	if tiles == nil {
		tiles = g.tiles
	}
	ahead := g.upcoming(next, b, max(1, whole))
	g.run(tiles, whole, g.mr, n, k, a, panel, 1, g.mr, b, c, ldc, add, ahead, nil)
	if rest > 0 {
		g.run(tiles, 1, rest, n, k, a[whole*panel:], panel, 1, g.mr, b, c[whole*g.mr*ldc:], ldc, add, ahead.after(whole, k), nil)
	}
}

// inPlace16 is Kernels.Gemm16, whose tiles ask for no other panel.
func (g *gemmLevel[E]) inPlace16(m, n, k int, a []E, lda int, b []E, c []float32, ldc int, add bool, _ []E) {
	g.inPlace(m, n, k, a, lda, b, c, ldc, add, nil, nil)
}

// packed16 is Kernels.GemmPacked16.
func (g *gemmLevel[E]) packed16(m, n, k int, a, b []E, c []float32, ldc int, add bool, _ []E) {
	g.packed(m, n, k, a, b, c, ldc, add, nil)
}

// check panics where the assembly would leave its slices.
func (g *gemmLevel[E]) check(m, n, k int, b []E, c []float32, ldc int) {
	nr := len(g.tiles) * g.lanes
	checkWidth(n, nr)
	if k > 0 {
		_ = b[k*nr-1]
	}
	_ = c[(m-1)*ldc+n-1]
}

// run computes tiles of a family, of equal height. The element (i, p) of tile t of A stands at a[t*as+i*rs+p*ps].
func (g *gemmLevel[E]) run(family [][]gemmTile[E], tiles, rows, n, k int, a []E, as, rs, ps int, b []E, c []float32, ldc int, add bool, ahead upcoming, bias []float32) {
	if tiles == 0 {
		return
	}
	vectors := (n + g.lanes - 1) / g.lanes
	family[vectors-1][rows-1](tiles,
		unsafe.SliceData(a), as*elementSize, rs*elementSize, ps*elementSize, unsafe.SliceData(b), k,
		unsafe.SliceData(c), ldc*elementSize, n-(vectors-1)*g.lanes, add, ahead.at, ahead.pace, unsafe.SliceData(bias))
}
