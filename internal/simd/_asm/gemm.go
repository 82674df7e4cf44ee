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
// level of cache or from memory: measured on Zen 5, 4096 is 2 to 5 % better there than 1024.
const prefetchAhead = 4096

// emitGemm writes a function for each height and each width of a tile. The driver in Go cuts m into tiles of nearly equal
// height, so there is no remainder of few rows, which would be too short of independent sums to hide the latency of the
// multiply-adds.
func emitGemm(g *gen) {
	for vectors := 1; vectors <= tileVectors; vectors++ {
		for rows := 1; rows <= g.tileRows(); rows++ {
			g.gemmTile(rows, vectors)
		}
	}
}

// gemmTile writes the function that computes tiles of the given height that lie below one another. The element (i, p) of
// A stands rs·i+ps·p bytes behind a, so that it serves A in place and packed A.
func (g *gen) gemmTile(rows, vectors int) {
	g.function(fmt.Sprintf("gemm%dx%d", rows, vectors),
		"(tiles int, a *float32, as, rs, ps int, b *float32, k int, c *float32, ldc, last int, add bool)",
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
	rowA := g.rows(a, rs, rows)

	c := g.param("c")
	tile, fresh, loop, store, partial, next := g.label("tile"), g.label("fresh"), g.label("loop"), g.label("store"), g.label("partial"), g.label("next")
	var mask tail
	if g.isa == avx512 {
		mask = g.tailMask(g.param("last"), reg.K1)
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

	g.Label(loop)
	for j, r := range rowB {
		g.VMOVUPS(at(b, j*g.bytes), r)
	}
	for off := 0; off < vectors*g.bytes; off += 64 {
		g.PREFETCHT0(at(b, prefetchAhead+off))
	}
	for i := range rows {
		x := elementA[i%2]
		g.VBROADCASTSS(rowA(i), x)
		for j, r := range rowB {
			g.VFMADD231PS(x, r, acc(i, j))
		}
	}
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
