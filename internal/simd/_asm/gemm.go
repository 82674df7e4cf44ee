package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tileRows is the number of rows of the largest tile of a level: with two vectors a row, as many as leave registers for
// a row of B and for two elements of A.
func (v *isa) tileRows() int {
	if v == avx2 {
		return 6
	}
	return 14
}

const tileVectors = 2 // vectors in a row of the largest tile

// prefetchAhead is how many bytes ahead of its use B is asked for. The first tile of a block has its panel from the third
// level of cache or from memory: measured on Zen 5, 4096 is 2 to 5 % better there than 1024. At AVX2 the asking is a load
// beside eight others for twelve multiply-adds, and a fifth of a tile's speed where the panel is in the cache already.
const prefetchAhead = 4096

// lineSteps is how many steps along k use up a cache line of each row of A. The loop of AVX2 asks for a line of each row of
// the next tile in as many: the first panel finds A in the third level of cache or in memory, and where C is narrow there
// are few more.
const lineSteps = 16

// emitGemm writes a function for each height and each width of a tile. The driver in Go cuts m into tiles of nearly equal
// height, so there is no remainder of few rows, which would be too short of independent sums to hide the latency of the
// multiply-adds.
func emitGemm(g *gen) { g.gemmTiles("gemm", "float32", (*gen).stepFloats) }

// emitGemm16 writes those of products of bfloat16.
func emitGemm16(g *gen) {
	if g.isa == avx512bf16 {
		g.gemmTiles("gemm16x", "uint32", (*gen).stepWords)
	} else {
		g.gemmTiles("gemm16x", "uint32", (*gen).stepHalves)
	}
}

func (g *gen) gemmTiles(name, element string, step func(*gen, tileStep)) {
	for vectors := 1; vectors <= tileVectors; vectors++ {
		for rows := 1; rows <= g.tileRows(); rows++ {
			g.gemmTile(name, element, rows, vectors, step)
		}
	}
}

// A tileStep is what one step along k works on.
type tileStep struct {
	rows     int
	b        reg.GPVirtual
	offB     int                            // where the row of B stands, in bytes behind b
	fetch    bool                           // ask for B
	rowA     func(i int) operand.Mem        // the element of A in row i
	acc      func(i, j int) reg.VecPhysical // the sums of row i in vector j
	rowB     []reg.VecPhysical
	elementA []reg.VecPhysical
}

// stepFloats adds the products of float32.
func (g *gen) stepFloats(t tileStep) { g.stepWhole(t, g.VFMADD231PS) }

// stepWords adds the products of both halves of words.
func (g *gen) stepWords(t tileStep) { g.stepWhole(t, g.VDPBF16PS) }

func (g *gen) stepWhole(t tileStep, multiplyAdd instruction) {
	for j, r := range t.rowB {
		g.VMOVUPS(at(t.b, t.offB+j*g.bytes), r)
	}
	if t.fetch {
		g.prefetchB(t)
	}
	for i := range t.rows {
		x := t.elementA[i%2]
		g.VBROADCASTSS(t.rowA(i), x)
		for j, r := range t.rowB {
			multiplyAdd(x, r, t.acc(i, j))
		}
	}
}

// stepHalves does it without an instruction for words: a bfloat16 is the upper half of a float32.
func (g *gen) stepHalves(t tileStep) {
	upper := func(r reg.Register) { g.with(g.VANDPS, g.VANDPS_BCST, upperHalf, r, r) }
	lower := func(r reg.Register) { g.VPSLLD(operand.Imm(halfBits), r, r) }
	for _, half := range []func(reg.Register){upper, lower} {
		for j, r := range t.rowB {
			g.VMOVUPS(at(t.b, j*g.bytes), r)
			half(r)
		}
		for i := range t.rows {
			x := t.elementA[i%2]
			g.VBROADCASTSS(t.rowA(i), x)
			half(x)
			for j, r := range t.rowB {
				g.VFMADD231PS(x, r, t.acc(i, j))
			}
		}
	}
	g.prefetchB(t)
}

func (g *gen) prefetchB(t tileStep) {
	for off := 0; off < len(t.rowB)*g.bytes; off += 64 {
		g.PREFETCHT0(at(t.b, t.offB+prefetchAhead+off))
	}
}

// gemmTile writes the function that computes tiles of the given height that lie below one another. The element (i, p) of
// A stands rs·i+ps·p bytes behind a, so that it serves A in place and packed A.
func (g *gen) gemmTile(name, element string, rows, vectors int, step func(*gen, tileStep)) {
	g.function(fmt.Sprintf("%s%dx%d", name, rows, vectors),
		fmt.Sprintf("(tiles int, a *%[1]s, as, rs, ps int, b *%[1]s, k int, c *float32, ldc, last int, add bool)", element),
		fmt.Sprintf("computes tiles of %d×%d vectors, the last of which has last columns. Strides are in bytes.", rows, vectors))

	acc := func(i, j int) reg.VecPhysical { return g.vec[i*vectors+j] }
	fixed := g.tileRows() * tileVectors
	rowB := g.vec[fixed : fixed+vectors]
	elementA := g.vec[fixed+tileVectors : fixed+tileVectors+2]

	ps := g.param("ps")
	a := g.GP64()
	var rs reg.GPVirtual
	if rows > 1 {
		rs = g.param("rs")
	}
	odd := g.oddMultiples(rs, rows)
	rowA := g.rowsBy(a, odd)

	c := g.param("c")
	tile, fresh, loop, store, partial, next := g.label("tile"), g.label("fresh"), g.label("loop"), g.label("store"), g.label("partial"), g.label("next")
	var mask tail
	if g.isa != avx2 {
		mask = g.tailMask(g.param("last"), reg.K1)
	}

	// AVX2 goes along k by lines of A, and asks for B in the first tile alone: the others find it in the cache.
	perLine := g.isa == avx2 && element == "float32"
	var isFirst reg.GPVirtual
	if perLine {
		isFirst = g.GP64()
		g.MOVQ(operand.I32(1), isFirst)
	}

	g.Label(tile)
	g.Load(g.Param("a"), a)
	b := g.param("b")
	k := g.param("k")
	g.CMPB(g.paramAddr("add"), operand.Imm(0))
	g.JEQ(g.jmp(fresh))
	if g.isa == avx2 {
		mask = g.tailMask(g.param("last"), elementA[0])
	}
	row := g.GP64()
	g.MOVQ(c, row)
	for i := range rows {
		for j := range vectors - 1 {
			g.VMOVUPS(at(row, j*g.bytes), acc(i, j))
		}
		g.loadTail(at(row, (vectors-1)*g.bytes), mask, acc(i, vectors-1))
		if i < rows-1 {
			g.ADDQ(g.paramAddr("ldc"), row)
		}
	}
	start := g.label("start")
	g.JMP(g.jmp(start))
	g.Label(fresh)
	for i := range rows {
		for j := range vectors {
			g.zero(acc(i, j))
		}
	}
	g.Label(start)
	g.TESTQ(k, k)
	g.JZ(g.jmp(store))

	// The rows of C of the next tile.
	below, ldc := g.GP64(), g.param("ldc")
	g.MOVQ(c, below)
	for range rows {
		g.ADDQ(ldc, below)
	}
	for range rows {
		for off := 0; off < vectors*g.bytes; off += 64 {
			g.PREFETCHT0(at(below, off))
		}
		g.ADDQ(ldc, below)
	}

	if perLine {
		ahead := g.GP64()
		g.MOVQ(a, ahead)
		g.ADDQ(g.paramAddr("as"), ahead)
		first, many, rest := g.label("first"), g.label("many"), g.label("rest")
		lines := func(label string, fetch bool) {
			g.Label(label)
			for p := range lineSteps {
				step(g, tileStep{rows, b, p * tileVectors * g.bytes, fetch, rowA, acc, rowB, elementA})
				g.ADDQ(ps, a)
				if i := p * rows / lineSteps; (p+1)*rows/lineSteps > i {
					g.PREFETCHT0(g.rowsBy(ahead, odd)(i))
				}
			}
			g.ADDQ(operand.Imm(4*lineSteps), ahead)
			g.ADDQ(operand.I32(lineSteps*tileVectors*g.bytes), b)
			g.SUBQ(operand.Imm(lineSteps), k)
			g.JGE(g.jmp(label))
		}
		g.SUBQ(operand.Imm(lineSteps), k)
		g.JL(g.jmp(rest))
		g.TESTQ(isFirst, isFirst)
		g.JNZ(g.jmp(first))
		lines(many, false)
		g.JMP(g.jmp(rest))
		lines(first, true)
		g.XORQ(isFirst, isFirst)
		g.Label(rest)
		g.ADDQ(operand.Imm(lineSteps), k)
		g.JZ(g.jmp(store))
	}

	g.Label(loop)
	step(g, tileStep{rows, b, 0, !perLine, rowA, acc, rowB, elementA})
	g.ADDQ(ps, a)
	g.ADDQ(operand.I32(tileVectors*g.bytes), b)
	g.DECQ(k)
	g.JNZ(g.jmp(loop))

	g.Label(store)
	last := g.param("last")
	g.Load(g.Param("ldc"), ldc)
	g.CMPQ(last, operand.Imm(uint64(g.lanes)))
	g.JNE(g.jmp(partial))
	for i := range rows {
		for j := range vectors {
			g.VMOVUPS(acc(i, j), at(c, j*g.bytes))
		}
		g.ADDQ(ldc, c)
	}
	g.JMP(g.jmp(next))

	g.Label(partial)
	if g.isa == avx2 {
		mask = g.tailMask(last, elementA[0])
	}
	for i := range rows {
		for j := range vectors - 1 {
			g.VMOVUPS(acc(i, j), at(c, j*g.bytes))
		}
		g.storeTail(acc(i, vectors-1), mask, at(c, (vectors-1)*g.bytes))
		g.ADDQ(ldc, c)
	}

	g.Label(next)
	as := g.param("as")
	g.ADDQ(as, g.paramAddr("a"))
	g.DECQ(g.paramAddr("tiles"))
	g.JNZ(g.jmp(tile))
	g.ret()
}
