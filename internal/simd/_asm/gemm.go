package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A shape is how high tiles are: the rows of the highest with a vector in each, with two, and so on. The last is the largest
// tile, by whose rows and columns operands are packed; narrower ones serve the last columns.
type shape []int

func (s shape) rows() int    { return s[len(s)-1] }
func (s shape) vectors() int { return len(s) }

// floatTiles are those of float32. Their sums are as many as leave registers for a row of B and for elements of A, and at
// least eight, which in turns hide the latency of the multiply-adds. Wide and low ones take fewer loads for as many
// multiply-adds: 4×3 seven for 12, where 6×2 take eight, and 9×3 twelve for 27, where 14×2 take sixteen for 28. It tells
// where a sibling hyperthread takes its share of the processor. And the lines of rows of A whose distance is a large power of
// two fall into the same set of the first cache, which holds eight or twelve.
func (v *isa) floatTiles() shape {
	if v == avx2 {
		return shape{8, 4, 4}
	}
	return shape{14, 14, 9}
}

// wordTiles are those of bfloat16. What packs B for them packs it for AMX too, whose tiles are 32 columns wide.
func (v *isa) wordTiles() shape {
	if v == avx2 {
		return v.floatTiles()
	}
	return shape{14, 14}
}

// prefetchAhead is how many bytes ahead of its use the first tile of a block asks for B. Where no one has asked for the
// panel before, it comes from the third level of cache or from memory: measured on Zen 5, 4096 is 2 to 5 % better there than
// 1024. The later tiles do not ask: at AVX2 that was a load beside eight others for twelve multiply-adds, and a fifth of a
// tile's speed where the panel is in the cache already.
const prefetchAhead = 4096

// Tiles also ask for the panel to come, into the second cache: pace bytes a step, so that all tiles of a block together have
// asked for all of it. Had its first tile to wait for it alone, whose time is a fraction of the block's, it would need more
// than a core reads from beyond the second cache. askSteps is how many steps share a request where the loop is unrolled.
const askSteps = 2

// lineSteps is how many steps along k use up a cache line of each row of A. The loop of float32 asks for a line of each row
// of the next tile in as many: the first panel finds A in the third level of cache or in memory, and where C is narrow there
// are few more.
const lineSteps = 16

// rowsAsked is how many rows of C of the next tile the loop of float32 asks for in lineSteps. All at once they would take the
// places in which lines of A and B are waited for.
const rowsAsked = 2

// emitGemm writes a function for each height and each width of a tile. The driver in Go cuts m into tiles of nearly equal
// height, so there is no remainder of few rows, which would be too short of independent sums to hide the latency of the
// multiply-adds.
func emitGemm(g *gen) {
	g.shape = g.floatTiles()
	g.gemmTiles("gemm", "float32", inPlace, (*gen).stepFloats)
	g.gemmTiles("gemmPacked", "float32", packed, (*gen).stepFloats)
}

// emitGemm16 writes those of products of bfloat16.
func emitGemm16(g *gen) {
	g.shape = g.wordTiles()
	if g.isa == avx512bf16 {
		g.gemmTiles("gemm16x", "uint32", anyStrides, (*gen).stepWords)
	} else {
		g.gemmTiles("gemm16x", "uint32", anyStrides, (*gen).stepHalves)
	}
}

// operandA is what a tile knows of the strides of A. What it knows it need not add up at each step.
type operandA int

const (
	anyStrides operandA = iota
	inPlace             // ps is the size of an element
	packed              // rs is the size of an element, ps that of MR
)

func (g *gen) gemmTiles(name, element string, a operandA, step func(*gen, tileStep)) {
	for i, most := range g.shape {
		if a == packed {
			most = min(most, g.shape.rows())
		}
		for rows := 1; rows <= most; rows++ {
			g.gemmTile(name, element, rows, i+1, a, step)
		}
	}
}

// A tileStep is what one step along k works on.
type tileStep struct {
	rows     int
	b        reg.GPVirtual
	offB     int                            // where the row of B stands, in bytes behind b
	fetch    bool                           // ask for B
	next     reg.GPVirtual                  // what to ask for of the panel to come, or nil
	pace     reg.GPVirtual                  // of next, a step
	every    uint8                          // how many steps to ask for
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
	g.prefetchB(t)
	for i := range t.rows {
		x := t.elementA[i%len(t.elementA)]
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
			x := t.elementA[i%len(t.elementA)]
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
	if t.fetch {
		for off := 0; off < len(t.rowB)*g.bytes; off += 64 {
			g.PREFETCHT0(at(t.b, t.offB+prefetchAhead+off))
		}
	}
	if t.next != nil {
		g.PREFETCHT1(at(t.next, 0))
		g.LEAQ(operand.Mem{Base: t.next, Index: t.pace, Scale: t.every}, t.next)
	}
}

// addBias adds a row to each row of sums, unless there is none. It uses rowB, and at AVX2 spare for the mask.
func (g *gen) addBias(rows, vectors int, acc func(i, j int) reg.VecPhysical, rowB []reg.VecPhysical, spare reg.VecPhysical) {
	none := g.label("none")
	bias := g.param("bias")
	g.TESTQ(bias, bias)
	g.JZ(g.jmp(none))
	mask := tail{reg.K1}
	if g.isa == avx2 {
		mask = g.tailMask(g.param("last"), spare)
	}
	for j := range vectors - 1 {
		g.VMOVUPS(at(bias, j*g.bytes), rowB[j])
	}
	g.loadTail(at(bias, (vectors-1)*g.bytes), mask, rowB[vectors-1])
	for i := range rows {
		for j := range vectors {
			g.VADDPS(rowB[j], acc(i, j), acc(i, j))
		}
	}
	g.Label(none)
}

// gemmTile writes the function that computes tiles of the given height that lie below one another. The element (i, p) of
// A stands rs·i+ps·p bytes behind a.
func (g *gen) gemmTile(name, element string, rows, vectors int, kind operandA, step func(*gen, tileStep)) {
	g.function(fmt.Sprintf("%s%dx%d", name, rows, vectors),
		fmt.Sprintf("(tiles int, a *%[1]s, as, rs, ps int, b *%[1]s, k int, c *float32, ldc, last int, add bool, next uintptr, pace int, bias *float32)", element),
		fmt.Sprintf("computes tiles of %d×%d vectors, the last of which has last columns. Strides are in bytes.", rows, vectors))

	acc := func(i, j int) reg.VecPhysical { return g.vec[i*vectors+j] }
	free := g.vec[rows*vectors:]
	rowB, elementA := free[:vectors], free[vectors:]
	elementA = elementA[:min(2, len(elementA))]

	const size = 4 // of an element
	var ps operand.Op
	step1 := size // ps, if it is known
	switch kind {
	case anyStrides:
		ps = g.param("ps")
	case inPlace:
		ps = operand.Imm(size)
	case packed:
		step1 = size * g.shape.rows()
		ps = operand.Imm(uint64(step1))
	}
	a := g.GP64()
	var odd map[int]reg.GPVirtual
	rowA := func(i int) operand.Mem { return at(a, size*i) }
	if kind != packed {
		var rs reg.GPVirtual
		if rows > 1 {
			rs = g.param("rs")
		}
		odd = g.oddMultiples(rs, rows)
		rowA = g.rowsBy(a, odd)
	}

	c := g.param("c")
	tile, fresh, loop, store, partial, below := g.label("tile"), g.label("fresh"), g.label("loop"), g.label("store"), g.label("partial"), g.label("next")
	var mask tail
	if g.isa != avx2 {
		mask = g.tailMask(g.param("last"), reg.K1)
	}

	// Tiles of float32 go along k by lines of A, and ask for B in the first of a block alone, which goes by steps: the others
	// find it in the cache.
	perLine := kind != anyStrides
	var next, pace reg.GPVirtual
	var asking operand.Mem // how often the rows of C are still to be asked for
	if perLine {
		next, pace = g.param("next"), g.param("pace")
		asking = g.AllocLocal(8)
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

	rowC := g.GP64() // of the next tile
	g.MOVQ(c, rowC)
	for range rows {
		g.ADDQ(g.paramAddr("ldc"), rowC)
	}
	askC := func() {
		for off := 0; off < vectors*g.bytes; off += 64 {
			g.PREFETCHT0(at(rowC, off))
		}
		g.ADDQ(g.paramAddr("ldc"), rowC)
	}
	if !perLine {
		for range rows {
			askC()
		}
	}

	if perLine {
		warm := g.label("warm") // no panel is to come where B is in the cache
		g.TESTQ(pace, pace)
		g.JZ(g.jmp(warm))
		g.CMPQ(c, g.paramAddr("c"))
		g.JEQ(g.jmp(loop))
		g.Label(warm)
		var ahead reg.GPVirtual
		if kind == inPlace {
			ahead = g.GP64()
			g.MOVQ(a, ahead)
			g.ADDQ(g.paramAddr("as"), ahead)
		}
		many, rest, asked := g.label("many"), g.label("rest"), g.label("asked")
		g.MOVQ(operand.U32(uint64((rows+rowsAsked-1)/rowsAsked)), asking)
		g.SUBQ(operand.Imm(lineSteps), k)
		g.JL(g.jmp(rest))
		g.Label(many)
		g.DECQ(asking)
		g.JL(g.jmp(asked))
		for range rowsAsked {
			askC()
		}
		g.Label(asked)
		for p := range lineSteps {
			rowA := func(i int) operand.Mem { return rowA(i).Offset(p * step1) }
			upcoming := next
			if p%askSteps != 0 {
				upcoming = nil
			}
			step(g, tileStep{rows, b, p * g.shape.vectors() * g.bytes, false, upcoming, pace, askSteps, rowA, acc, rowB, elementA})
			if i := p * rows / lineSteps; kind == inPlace && (p+1)*rows/lineSteps > i {
				g.PREFETCHT0(g.rowsBy(ahead, odd)(i))
			}
		}
		g.ADDQ(operand.I32(lineSteps*step1), a)
		if kind == inPlace {
			g.ADDQ(operand.Imm(size*lineSteps), ahead)
		}
		g.ADDQ(operand.I32(lineSteps*g.shape.vectors()*g.bytes), b)
		g.SUBQ(operand.Imm(lineSteps), k)
		g.JGE(g.jmp(many))
		g.Label(rest)
		g.ADDQ(operand.Imm(lineSteps), k)
		g.JZ(g.jmp(store))
	}

	g.Label(loop)
	step(g, tileStep{rows, b, 0, true, next, pace, 1, rowA, acc, rowB, elementA})
	g.ADDQ(ps, a)
	g.ADDQ(operand.I32(g.shape.vectors()*g.bytes), b)
	g.DECQ(k)
	g.JNZ(g.jmp(loop))

	g.Label(store)
	if name == "gemm" {
		g.addBias(rows, vectors, acc, rowB, elementA[0])
	}
	last, ldc := g.param("last"), g.param("ldc")
	g.CMPQ(last, operand.Imm(uint64(g.lanes)))
	g.JNE(g.jmp(partial))
	for i := range rows {
		for j := range vectors {
			g.VMOVUPS(acc(i, j), at(c, j*g.bytes))
		}
		g.ADDQ(ldc, c)
	}
	g.JMP(g.jmp(below))

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

	g.Label(below)
	as := g.param("as")
	g.ADDQ(as, g.paramAddr("a"))
	g.DECQ(g.paramAddr("tiles"))
	g.JNZ(g.jmp(tile))
	g.ret()
}
