//go:build (amd64 || arm64) && !purego

package simd

import "unsafe"

// An element is what operands of products consist of: a number, or a word of two of bfloat16.
type element interface{ float32 | uint32 }

const elementSize = 4

// A gemmRun holds the arguments of the assembly for a product with one panel of B: tiles one below the other in C, of one height
// and then, if lowTiles is not zero, of another. The assembly refers to the fields by name (go_asm.h) and overwrites some
// integers. Strides are in bytes.
type gemmRun struct {
	vectors int // of a tile's row
	last    int // columns of the last of them

	tiles, rows, as, cs             int // as and cs are the strides of tiles in A and C
	lowTiles, lowRows, lowAs, lowCs int

	a      unsafe.Pointer // element (i, p) of a tile is rs·i + ps·p from the tile's beginning
	rs, ps int
	b      unsafe.Pointer // a panel
	k      int
	c      unsafe.Pointer
	ldc    int
	bias   unsafe.Pointer // a row that is added to each row at the end, or with which the sums of words begin, or nil

	rowScales, scales, offsets unsafe.Pointer // of a Scaling, or nil

	next uintptr // the panel that is multiplied next, which tiles prefetch
	pace int     // bytes of it per step

	fetch  int  // 1 if b may not be in the cache: then the first tile prefetches it
	add    bool // add to C
	packed bool // A is packed
}

// A tileShape is the rows of the highest tile of each width in vectors. Narrow tiles may be higher than the widest tile, which
// has mr rows, those of a panel of A.
type tileShape struct {
	mr, lanes int
	heights   []int
}

// nr is the columns of a panel of B.
func (s *tileShape) nr() int { return len(s.heights) * s.lanes }

// setInPlace sets r for Kernels.Gemm or Gemm16 and reports whether there is anything to compute. It cuts m into the fewest tiles,
// whose heights differ by at most one. The caller sets the pointers: if they were stored through r, operands on the stack
// would escape to the heap.
func setInPlace[E element](r *gemmRun, s *tileShape, m, n, k int, a []E, lda int, b []E, c []float32, ldc int, add bool, next []E, bias []float32) bool {
	if m <= 0 || n <= 0 {
		return false
	}
	s.check(m, n, k, len(b), c, ldc)
	if k > 0 {
		_ = a[(m-1)*lda+k-1]
	}
	if bias != nil {
		_ = bias[n-1]
	}
	most := s.heights[(n-1)/s.lanes]
	tiles := (m + most - 1) / most
	low := m / tiles
	high := m % tiles // tiles of one row more
	set(r, s, n, k, b, ldc, add, next, tiles)
	r.rs, r.ps = lda*elementSize, elementSize
	r.tiles, r.rows, r.as, r.cs = tiles-high, low, low*r.rs, low*r.ldc
	if high > 0 {
		r.lowTiles, r.lowRows, r.lowAs, r.lowCs = r.tiles, r.rows, r.as, r.cs
		r.tiles, r.rows, r.as, r.cs = high, low+1, r.as+r.rs, r.cs+r.ldc
	}
	return true
}

// setPacked is setInPlace for Kernels.GemmPacked or GemmPacked16.
func setPacked[E element](r *gemmRun, s *tileShape, m, n, k int, a, b []E, c []float32, ldc int, add bool, next []E) bool {
	if m <= 0 || n <= 0 {
		return false
	}
	s.check(m, n, k, len(b), c, ldc)
	whole, rest := m/s.mr, m%s.mr
	if k > 0 {
		_ = a[(m+s.mr-1)/s.mr*s.mr*k-1]
	}
	set(r, s, n, k, b, ldc, add, next, max(1, whole))
	r.packed = true
	r.rs, r.ps = elementSize, s.mr*elementSize
	r.tiles, r.rows, r.as, r.cs = whole, s.mr, k*r.ps, s.mr*r.ldc
	if whole == 0 {
		r.tiles, r.rows, r.cs = 1, rest, rest*r.ldc
	} else if rest > 0 {
		r.lowTiles, r.lowRows, r.lowAs, r.lowCs = 1, rest, r.as, rest*r.ldc
	}
	return true
}

// set sets what does not depend on the layout of A. The tiles divide the prefetching of next among them; if it is nil, they
// prefetch b, which is in the cache.
func set[E element](r *gemmRun, s *tileShape, n, k int, b []E, ldc int, add bool, next []E, tiles int) {
	r.vectors = (n + s.lanes - 1) / s.lanes
	r.last = n - (r.vectors-1)*s.lanes
	r.k, r.ldc, r.add = k, ldc*elementSize, add
	if next == nil {
		next = b
	} else {
		r.pace = (s.nr()*elementSize + tiles - 1) / tiles
		r.fetch = 1
	}
	r.next = uintptr(unsafe.Pointer(unsafe.SliceData(next)))
}

// check panics where the assembly would leave its slices.
func (s *tileShape) check(m, n, k, b int, c []float32, ldc int) {
	checkWidth(n, s.nr())
	if k*s.nr() > b {
		panic("simd: a panel of B is shorter than k rows")
	}
	_ = c[(m-1)*ldc+n-1]
}
