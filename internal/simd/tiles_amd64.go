//go:build amd64 && !purego

package simd

import "unsafe"

// Products of bfloat16 and of int8 by AMX: _asm/tiles.go.

const (
	registerRows = 16               // of a tile, and its columns of float32
	tileWords    = registerRows     // of a row of A in a tile
	tileMR       = 2 * registerRows // a block takes four tiles of sums
	tileNR       = 2 * registerRows
)

// A tileConfig is the operand of LDTILECFG (Intel's Software Developer's Manual, volume 1, section 18.2).
type tileConfig struct {
	palette  uint8
	_        [15]uint8
	rowBytes [16]uint16
	rows     [16]uint8
}

func (c *tileConfig) bytes() *byte { return &c.palette }

// set gives the tile register t the given number of rows, and of words or numbers in each.
func (c *tileConfig) set(t, rows, columns int) {
	c.rowBytes[t], c.rows[t] = uint16(columns*elementSize), uint8(rows)
}

// configure fits the tile registers to a block of m rows and n columns and to steps of that many words.
func configure(m, n, words int) (c tileConfig) {
	c.palette = 1
	for i := range ceil(m, registerRows) {
		rows := min(registerRows, m-i*registerRows)
		c.set(4+i, rows, words)
		for j := range ceil(n, registerRows) {
			columns := min(registerRows, n-j*registerRows)
			c.set(2*i+j, rows, columns)
			c.set(6+j, words, columns)
		}
	}
	return c
}

func ceil(n, by int) int { return (n + by - 1) / by }

// A tileOperand is A: element (i, p) of block t is at t*as+i*rs+p/tileWords*ps+p%tileWords of a, in the last step along k
// at t*as+i*restRS+p/tileWords*ps+p%tileWords if that has fewer words.
type tileOperand struct {
	bytes              bool // words hold integers of 8 bits, not bfloat16
	a                  []uint32
	as, rs, ps, restRS int
}

// lineBytes is the size of a cache line.
const lineBytes = 64

// An upcoming panel is one that blocks prefetch while they compute: pace bytes of it, from at, in each step.
type upcoming struct {
	at   uintptr
	pace int
}

// after is u after that many blocks of k steps.
func (u upcoming) after(blocks, k int) upcoming {
	u.at += uintptr(blocks * k * u.pace)
	return u
}

// upcomingTiles is next, divided among the blocks, in whole lines per step.
func upcomingTiles(next []uint32, blocks int) upcoming {
	if next == nil {
		return upcoming{}
	}
	const lines = tileWords * tileNR * elementSize / lineBytes // of a step
	return upcoming{uintptr(unsafe.Pointer(unsafe.SliceData(next))), ceil(lines, blocks) * lineBytes}
}

// times computes the m×n block c: blocks of tileMR rows, and one of the remaining rows.
func (a tileOperand) times(m, n, k int, b []uint32, c []float32, ldc int, add bool, next []uint32, bias []float32) {
	whole, rest := m/tileMR, m%tileMR
	ahead := upcomingTiles(next, ceil(m, tileMR))
	if whole > 0 {
		a.blocks(whole, tileMR, n, k, b, c, ldc, add, ahead, bias)
	}
	if rest > 0 {
		a.a = a.a[whole*a.as:]
		a.blocks(1, rest, n, k, b, c[whole*tileMR*ldc:], ldc, add, ahead.after(whole, k/tileWords), bias)
	}
}

// blocks computes blocks of equal height m, one below the other.
func (a tileOperand) blocks(blocks, m, n, k int, b []uint32, c []float32, ldc int, add bool, next upcoming, bias []float32) {
	steps, rest := k/tileWords, k%tileWords
	if steps > 0 {
		a.multiply(blocks, m, n, tileWords, steps, b, c, ldc, add, next, bias)
	}
	if rest > 0 {
		a.a, a.rs = a.a[steps*a.ps:], a.restRS
		a.multiply(blocks, m, n, rest, 1, b[steps*tileWords*tileNR:], c, ldc, add || steps > 0, upcoming{}, bias)
	}
}

// multiply computes steps of the given number of words. Rows that are no distance apart are one row: so every row of sums starts
// from the bias.
func (a *tileOperand) multiply(blocks, m, n, words, steps int, b []uint32, c []float32, ldc int, add bool, next upcoming, bias []float32) {
	const size = elementSize
	config := configure(m, n, words)
	pa, pb, pc := unsafe.SliceData(a.a), unsafe.SliceData(b), unsafe.SliceData(c)
	first, fs, ldf := unsafe.SliceData(bias), 0, 0
	if add {
		first, fs, ldf = pc, m*ldc*size, ldc*size
	}
	// Not through a table of functions: the configuration would escape to the heap.
	switch high, wide := m > registerRows, n > registerRows; {
	case a.bytes && high && wide:
		byteTiles2x2AMX(config.bytes(), blocks, pa, a.as*size, a.rs*size, a.ps*size, pb, steps, pc, m*ldc*size, ldc*size, first, fs, ldf, next.at, next.pace/lineBytes)
	case a.bytes && high:
		byteTiles2x1AMX(config.bytes(), blocks, pa, a.as*size, a.rs*size, a.ps*size, pb, steps, pc, m*ldc*size, ldc*size, first, fs, ldf, next.at, next.pace/lineBytes)
	case a.bytes && wide:
		byteTiles1x2AMX(config.bytes(), blocks, pa, a.as*size, a.rs*size, a.ps*size, pb, steps, pc, m*ldc*size, ldc*size, first, fs, ldf, next.at, next.pace/lineBytes)
	case a.bytes:
		byteTiles1x1AMX(config.bytes(), blocks, pa, a.as*size, a.rs*size, a.ps*size, pb, steps, pc, m*ldc*size, ldc*size, first, fs, ldf, next.at, next.pace/lineBytes)
	case high && wide:
		tiles2x2AMX(config.bytes(), blocks, pa, a.as*size, a.rs*size, a.ps*size, pb, steps, pc, m*ldc*size, ldc*size, first, fs, ldf, next.at, next.pace/lineBytes)
	case high:
		tiles2x1AMX(config.bytes(), blocks, pa, a.as*size, a.rs*size, a.ps*size, pb, steps, pc, m*ldc*size, ldc*size, first, fs, ldf, next.at, next.pace/lineBytes)
	case wide:
		tiles1x2AMX(config.bytes(), blocks, pa, a.as*size, a.rs*size, a.ps*size, pb, steps, pc, m*ldc*size, ldc*size, first, fs, ldf, next.at, next.pace/lineBytes)
	default:
		tiles1x1AMX(config.bytes(), blocks, pa, a.as*size, a.rs*size, a.ps*size, pb, steps, pc, m*ldc*size, ldc*size, first, fs, ldf, next.at, next.pace/lineBytes)
	}
}

// gemm16Tiles is Kernels.Gemm16.
func gemm16Tiles(m, n, k int, a []uint32, lda int, b []uint32, c []float32, ldc int, add bool, next []uint32, bias []float32) {
	if !tilesFit(m, n, k, b, c, ldc, add, bias) {
		return
	}
	_ = a[(m-1)*lda+k-1]
	tileOperand{a: a, as: tileMR * lda, rs: lda, ps: tileWords, restRS: lda}.times(m, n, k, b, c, ldc, add, next, bias)
}

// gemmRoom16Tiles is Kernels.GemmRoom16.
func gemmRoom16Tiles(m, n, k int, a []uint32, lda int, b []uint32, c []float32, ldc int) {
	const size = elementSize
	blocks, panels, steps := ceil(m, tileMR), ceil(n, tileNR), ceil(k, tileWords)
	config := configure(tileMR, tileNR, tileWords)
	tileGridAMX(config.bytes(), blocks, panels, unsafe.SliceData(a), tileMR*lda*size, lda*size, unsafe.SliceData(b), steps, unsafe.SliceData(c), tileMR*ldc*size, ldc*size)
}

// gemmPacked16Tiles is Kernels.GemmPacked16.
func gemmPacked16Tiles(m, n, k int, a, b []uint32, c []float32, ldc int, add bool, next []uint32) {
	if !tilesFit(m, n, k, b, c, ldc, add, nil) {
		return
	}
	panel := tileMR * k
	_ = a[ceil(m, tileMR)*panel-1]
	tileOperand{a: a, as: panel, rs: tileWords, ps: tileMR * tileWords, restRS: k % tileWords}.times(m, n, k, b, c, ldc, add, next, nil)
}

// tilesFit reports whether there are products to add up, and panics where the assembly would leave its slices. If there are
// none, it writes the empty sums.
func tilesFit(m, n, k int, b []uint32, c []float32, ldc int, add bool, bias []float32) bool {
	if m <= 0 || n <= 0 {
		return false
	}
	checkWidth(n, tileNR)
	_ = c[(m-1)*ldc+n-1]
	if bias != nil {
		_ = bias[n-1]
	}
	if k <= 0 {
		for i := 0; i < m && !add; i++ {
			row := c[i*ldc:][:n]
			clear(row[copy(row, bias):])
		}
		return false
	}
	_ = b[k*tileNR-1]
	return true
}

// packA16Tiles is Kernels.PackA16.
func packA16Tiles(dst []uint32, src []float32, ld, m, k int) {
	packTiles(dst, m, k, (k-1)*ld+m <= len(src), func(tile *uint32, rs, p, i, rows, count int) {
		packTilesAMX(tile, rs, &src[p*ld+i], ld*elementSize, rows, count)
	})
}

// repackA16Tiles is Kernels.RepackA16.
func repackA16Tiles(dst, src []uint32, ld, m, k int) {
	packTiles(dst, m, k, (k-1)*ld+words(m) <= len(src), func(tile *uint32, rs, p, i, rows, count int) {
		repackTilesAMX(tile, rs, &src[p*ld+i/2], ld*elementSize, rows, count)
	})
}

// packTiles calls pack for each tile of a panel of A, with the distance of its rows in bytes: count rows from p of the source, of
// which rows columns from i are turned. Tiles beyond m are zero. It panics where the assembly would leave its slices, which within tells of
// the source.
func packTiles(dst []uint32, m, k int, within bool, pack func(tile *uint32, rs, p, i, rows, count int)) {
	dst = dst[: ceil(k, 2)*tileMR : len(dst)]
	if m <= 0 || k <= 0 {
		clear(dst)
		return
	}
	checkWidth(m, tileMR)
	if !within {
		panic("simd: a source is too short")
	}
	for p := 0; p < k; p += 2 * tileWords {
		count := min(2*tileWords, k-p)
		width := ceil(count, 2)
		block := dst[p/2*tileMR:][:tileMR*width]
		for i := 0; i < tileMR; i += registerRows {
			if i >= m {
				clear(block[i*width:])
				break
			}
			pack(&block[i*width], width*elementSize, p, i, min(m-i, registerRows), count)
		}
	}
}

// peak16Tiles is Kernels.peak16.
func peak16Tiles(steps int) (operations int) {
	config := configure(tileMR, tileNR, tileWords)
	peakTilesAMX(config.bytes(), steps)
	const products = 4
	return steps * products * 2 * registerRows * registerRows * 2 * tileWords
}

// kernelsAMX is kernelsAVX512BF16 with products of bfloat16 in tiles.
var kernelsAMX = func() Kernels {
	k := kernelsAVX512BF16
	k.Level = AMX
	k.MR16, k.NR16, k.Step16 = tileMR, tileNR, tileWords
	k.PackA16 = packA16Tiles
	k.RepackA16 = repackA16Tiles
	k.Gemm16 = gemm16Tiles
	k.GemmPacked16 = gemmPacked16Tiles
	k.gemmRoom16 = gemmRoom16Tiles
	k.peak16 = peak16Tiles
	return k
}()
