package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/reg"
)

// AMX has eight registers of tiles, each up to 16 rows of 64 bytes, and an instruction that adds the product of two of them
// to a third (Intel's Software Developer's Manual, volume 1, chapter 18). How many rows and bytes each has is configured.
// The functions here use them so:
//
//	tmm0…3  sums of C: rows 0…15 and columns 0…15, columns 16…31 beside them, then both of rows 16…31
//	tmm4…5  rows of A: 16 words of each of rows 0…15, of rows 16…31
//	tmm6…7  16 rows of a panel of B, columns 0…15, 16…31
const (
	sums, rowsA, rowsB = 0, 4, 6

	registerRows = 16
	stepWords    = 16
	stepBytes    = 4 * stepWords
	panelBytes   = 2 * stepBytes // of a row of a panel of B

	// fetchRows is how many rows of C a step asks for, of the block after this one.
	fetchRows = 4
)

// A tmm is the number of a tile register, in a form that passes through the generator.
type tmm = operand.U8

// tileInstructions have an opcode in map 0F38, with VEX, W0 and 128 bits.
var tileInstructions = map[string]struct{ prefix, opcode byte }{
	"LDTILECFG":   {0, 0x49},
	"TILERELEASE": {0, 0x49},
	"TILEZERO":    {3, 0x49},
	"TILELOADD":   {3, 0x4b},
	"TILELOADDT1": {1, 0x4b},
	"TILESTORED":  {2, 0x4b},
	"TDPBF16PS":   {2, 0x5c},
	"TDPBSSD":     {3, 0x5e},
}

// tile appends an instruction; Go's order of operands, the destination last.
func (g *gen) tile(name string, ops ...operand.Op) {
	i := &ir.Instruction{Opcode: name, Operands: ops, ISA: []string{"AMX"}}
	for _, o := range ops {
		if m, ok := o.(operand.Mem); ok { // only its registers matter, which are read
			i.Inputs = append(i.Inputs, m)
		}
	}
	g.Instruction(i)
}

// encodeTiles runs when all registers are physical.
var encodeTiles = pass.InstructionPass(func(i *ir.Instruction) error {
	t, ok := tileInstructions[i.Opcode]
	if !ok {
		return nil
	}
	const register = 3 << 6
	var code []byte
	ops := i.Operands
	switch i.Opcode {
	case "TILERELEASE":
		code = append(vex(t.prefix, 0, 0, 0, 0), t.opcode, register)
	case "TILEZERO":
		code = append(vex(t.prefix, 0, 0, 0, 0), t.opcode, register|byte(ops[0].(tmm))<<3)
	case "TDPBF16PS", "TDPBSSD": // B, A, sums
		code = append(vex(t.prefix, 0, 0, 0, byte(ops[0].(tmm))), t.opcode, register|byte(ops[2].(tmm))<<3|byte(ops[1].(tmm)))
	case "LDTILECFG":
		code = inMemory(t.prefix, t.opcode, 0, ops[0].(operand.Mem))
	case "TILELOADD", "TILELOADDT1":
		code = inMemory(t.prefix, t.opcode, byte(ops[1].(tmm)), ops[0].(operand.Mem))
	case "TILESTORED":
		code = inMemory(t.prefix, t.opcode, byte(ops[0].(tmm)), ops[1].(operand.Mem))
	}
	for j, o := range ops {
		if t, ok := o.(tmm); ok {
			ops[j] = raw(fmt.Sprintf("TMM%d", t))
		}
	}
	asBytes(i, code)
	return nil
})

// inMemory encodes an instruction with an operand in memory, by a byte for its base, index and scale and 32 bits of
// displacement. Tiles that are loaded or stored always have an index, the distance of their rows.
func inMemory(prefix, opcode, number byte, m operand.Mem) []byte {
	const (
		none  = 4 // the index that means no index
		sib   = 4
		far   = 2 << 6
		scale = 0 // times one
	)
	base, index := m.Base.(reg.Physical).PhysicalIndex(), reg.Index(none)
	if m.Index != nil {
		index = m.Index.(reg.Physical).PhysicalIndex()
	}
	code := append(vex(prefix, 0, byte(index), byte(base), 0), opcode, far|number<<3|sib, scale|byte(index)&7<<3|byte(base)&7)
	for shift := 0; shift < 32; shift += 8 {
		code = append(code, byte(int32(m.Disp)>>shift))
	}
	return code
}

// tileKinds are the elements of which a word of 32 bits holds several. Tiles of words, and what moves them, are the same whatever
// the words hold, as is the size of a sum.
var tileKinds = []struct {
	name    string // of functions
	product string // adds up the products of the elements of words
	holds   string
}{
	{"tiles", "TDPBF16PS", "two numbers of bfloat16, and sums of float32"},
	{"byteTiles", "TDPBSSD", "four integers of 8 bits, and sums of 32"},
}

// emitTiles writes what AMX has beside avx512bf16: products, the packing of A that those of bfloat16 take, and the loops of
// products alone.
func emitTiles(g *gen) {
	for _, kind := range tileKinds {
		for rows := 1; rows <= 2; rows++ {
			for columns := 1; columns <= 2; columns++ {
				g.tileProduct(fmt.Sprintf("%s%dx%d", kind.name, rows, columns), kind.product, kind.holds, rows, columns)
			}
		}
	}
	g.tileGrid()
	g.packTiles()
	g.repackTiles()
	g.peakTiles("peakTiles", "TDPBF16PS")
	g.peakTiles("peakByteTiles", "TDPBSSD")
}

// tileProduct writes the function that computes blocks that lie below one another, of rows × columns tiles. Step q of A
// is ps·q bytes after a, its rows rs bytes apart. A is loaded with the hint that it need not stay in the first cache, which is for
// the panel: every block comes back to that. Each step prefetches lines of the panel that is multiplied next: otherwise the
// first block would wait longer for that panel than it computes.
func (g *gen) tileProduct(name, product, holds string, rows, columns int) {
	g.function(name,
		"(config *byte, blocks int, a *uint32, as, rs, ps int, b *uint32, steps int, c *float32, cs, ldc int, first *float32, fs, ldf int, next uintptr, lines int)",
		fmt.Sprintf("computes blocks of %d×%d tiles, from steps > 0 of 16 words of %s. The sums start from first, or from zero if it is nil. Strides are in bytes, as, cs and fs those of a block.", rows, columns, holds))

	g.tile("LDTILECFG", at(g.param("config"), 0))
	c := g.param("c")
	rs, ps, ldc := g.param("rs"), g.param("ps"), g.param("ldc")
	ldb := g.GP64()
	g.MOVQ(operand.I32(panelBytes), ldb)
	tile := func(base, ld reg.Register, off int) operand.Mem {
		return operand.Mem{Base: base, Index: ld, Scale: 1, Disp: off}
	}
	// lower is where the second row of tiles begins.
	lower := func(base, ld reg.GPVirtual) reg.GPVirtual {
		r := g.GP64()
		g.MOVQ(ld, r)
		g.SHLQ(operand.Imm(4), r)
		g.ADDQ(base, r)
		return r
	}
	eachSum := func(base, ld reg.GPVirtual, f func(t tmm, m operand.Mem)) {
		row := base
		for i := range rows {
			if i > 0 {
				row = lower(base, ld)
			}
			for j := range columns {
				f(tmm(sums+2*i+j), tile(row, ld, j*stepBytes))
			}
		}
	}

	next := g.param("next")
	g.Label("block")
	first := g.param("first")
	g.TESTQ(first, first)
	g.JZ(g.jmp("fresh"))
	eachSum(first, g.param("ldf"), func(t tmm, m operand.Mem) { g.tile("TILELOADD", m, t) })
	g.ADDQ(g.param("fs"), first)
	g.MOVQ(first, g.paramAddr("first"))
	g.JMP(g.jmp("start"))
	g.Label("fresh")
	for i := range rows {
		for j := range columns {
			g.tile("TILEZERO", tmm(sums+2*i+j))
		}
	}
	g.Label("start")
	steps, b := g.param("steps"), g.param("b")
	left := []reg.GPVirtual{g.param("a")}
	if rows == 2 {
		left = append(left, lower(left[0], rs))
	}
	below, end := g.GP64(), lower(c, ldc) // the rows of C of the next block
	g.MOVQ(c, below)
	g.ADDQ(g.paramAddr("cs"), below)
	g.ADDQ(g.paramAddr("cs"), end)
	if rows == 2 {
		end = lower(end, ldc)
	}
	g.Label("loop")
	fetched := g.label("fetched")
	g.CMPQ(below, end)
	g.JGE(g.jmp(fetched))
	for range fetchRows {
		for j := range columns {
			g.PREFETCHT0(at(below, j*stepBytes))
		}
		g.ADDQ(ldc, below)
	}
	g.Label(fetched)
	lines, asked := g.param("lines"), g.label("asked")
	g.TESTQ(lines, lines)
	g.JZ(g.jmp(asked))
	ask := g.label("ask")
	g.Label(ask)
	g.PREFETCHT1(at(next, 0))
	g.ADDQ(operand.Imm(64), next)
	g.DECQ(lines)
	g.JNZ(g.jmp(ask))
	g.Label(asked)
	for i, from := range left {
		g.tile("TILELOADDT1", tile(from, rs, 0), tmm(rowsA+i))
		for j := range columns {
			if i == 0 {
				g.tile("TILELOADD", tile(b, ldb, j*stepBytes), tmm(rowsB+j))
			}
			g.tile(product, tmm(rowsB+j), tmm(rowsA+i), tmm(sums+2*i+j))
		}
	}
	for _, from := range left {
		g.ADDQ(ps, from)
	}
	g.ADDQ(operand.I32(stepWords*panelBytes), b)
	g.DECQ(steps)
	g.JNZ(g.jmp("loop"))
	eachSum(c, ldc, func(t tmm, m operand.Mem) { g.tile("TILESTORED", t, m) })
	as := g.param("as")
	g.ADDQ(as, g.paramAddr("a"))
	g.ADDQ(g.paramAddr("cs"), c)
	g.DECQ(g.paramAddr("blocks"))
	g.JNZ(g.jmp("block"))
	g.tile("TILERELEASE")
	g.ret()
}

// tileGrid writes the function that computes blocks of 2 × 2 whole tiles, side by side and one below the other, without setting the
// registers up for each panel: for small products, whose operands are in the first cache.
func (g *gen) tileGrid() {
	g.function("tileGrid", "(config *byte, blocks, panels int, a *uint32, as, rs int, b *uint32, steps int, c *float32, cs, ldc int)",
		"computes blocks of 2×2 whole tiles of rows of A with panels of B that follow one another, from steps > 0 of 16 words of two numbers of bfloat16. Strides are in bytes, as and cs those of a block.")
	g.tile("LDTILECFG", at(g.param("config"), 0))
	rs, ldc, ldb := g.param("rs"), g.param("ldc"), g.GP64()
	g.MOVQ(operand.I32(panelBytes), ldb)
	tile := func(base, ld reg.Register, off int) operand.Mem {
		return operand.Mem{Base: base, Index: ld, Scale: 1, Disp: off}
	}
	lower := func(base, ld reg.GPVirtual) reg.GPVirtual {
		r := g.GP64()
		g.MOVQ(ld, r)
		g.SHLQ(operand.Imm(4), r)
		g.ADDQ(base, r)
		return r
	}
	g.Label("block")
	b, c, panels := g.param("b"), g.param("c"), g.param("panels")
	below := lower(c, ldc)
	g.Label("panel")
	upper := g.param("a")
	left := []reg.GPVirtual{upper, lower(upper, rs)}
	steps := g.param("steps")
	for t := range 4 {
		g.tile("TILEZERO", tmm(sums+t))
	}
	g.Label("step")
	for i, from := range left {
		g.tile("TILELOADD", tile(from, rs, 0), tmm(rowsA+i))
		for j := range 2 {
			if i == 0 {
				g.tile("TILELOADD", tile(b, ldb, j*stepBytes), tmm(rowsB+j))
			}
			g.tile("TDPBF16PS", tmm(rowsB+j), tmm(rowsA+i), tmm(sums+2*i+j))
		}
		g.ADDQ(operand.I32(stepBytes), from)
	}
	g.ADDQ(operand.I32(stepWords*panelBytes), b)
	g.DECQ(steps)
	g.JNZ(g.jmp("step"))
	for i, row := range []reg.GPVirtual{c, below} {
		for j := range 2 {
			g.tile("TILESTORED", tmm(sums+2*i+j), tile(row, ldc, j*stepBytes))
		}
		g.ADDQ(operand.I32(panelBytes), row)
	}
	g.DECQ(panels)
	g.JNZ(g.jmp("panel"))
	stride := g.param("as")
	g.ADDQ(stride, g.paramAddr("a"))
	stride = g.param("cs")
	g.ADDQ(stride, g.paramAddr("c"))
	g.DECQ(g.paramAddr("blocks"))
	g.JNZ(g.jmp("block"))
	g.tile("TILERELEASE")
	g.ret()
}

// packTiles writes the function that turns a step of up to 16 rows of A.
func (g *gen) packTiles() {
	g.function("packTiles", "(dst *uint32, rs int, src *float32, ld, m, k int)",
		"rounds 0 < k ≤ 32 rows, ld bytes apart, of m ≤ 16 columns to 16 rows of words, rs bytes apart.")
	dst, rs, src, ld, k := g.param("dst"), g.param("rs"), g.param("src"), g.param("ld"), g.param("k")
	mask := g.tailMask(g.param("m"), reg.K1)
	words := g.GP64()
	g.LEAQ(operand.Mem{Base: k, Disp: 1}, words)
	g.SHRQ(operand.Imm(1), words)
	within := g.tailMask(words, reg.K2)
	r := g.zipper()
	in := make([]reg.VecVirtual, stepWords)
	for p := range in {
		in[p] = g.reg()
		g.zero(in[p])
	}
	for p := range in {
		g.CMPQ(k, operand.Imm(uint64(2*p)))
		g.JLE(g.jmp("turn"))
		even, odd := g.reg(), g.reg()
		g.loadTail(at(src, 0), mask, even)
		g.zero(odd)
		zip := g.label("zip")
		g.CMPQ(k, operand.Imm(uint64(2*p+1)))
		g.JLE(g.jmp(zip))
		g.loadTail(operand.Mem{Base: src, Index: ld, Scale: 1}, mask, odd)
		g.Label(zip)
		r.zip(even, odd, in[p])
		g.LEAQ(operand.Mem{Base: src, Index: ld, Scale: 2}, src)
	}
	g.Label("turn")
	for _, row := range g.transpose(in) {
		g.storeTail(row, within, at(dst, 0))
		g.ADDQ(rs, dst)
	}
	g.ret()
}

// repackTiles is packTiles of rows of words.
func (g *gen) repackTiles() {
	g.function("repackTiles", "(dst *uint32, rs int, src *uint32, ld, m, k int)",
		"turns 0 < k ≤ 32 rows of words, ld bytes apart, of m ≤ 16 columns to 16 rows of words, rs bytes apart.")
	dst, rs, src, ld, k := g.param("dst"), g.param("rs"), g.param("src"), g.param("ld"), g.param("k")
	w := g.wordPairs(g.param("m"))
	words := g.GP64()
	g.LEAQ(operand.Mem{Base: k, Disp: 1}, words)
	g.SHRQ(operand.Imm(1), words)
	within := g.tailMask(words, reg.K4)
	in := make([]reg.VecVirtual, stepWords)
	for p := range in {
		in[p] = g.reg()
		g.zero(in[p])
	}
	for p := range in {
		g.CMPQ(k, operand.Imm(uint64(2*p)))
		g.JLE(g.jmp("turn"))
		w.loadFirst(at(src, 0), in[p])
		zip := g.label("zip")
		g.CMPQ(k, operand.Imm(uint64(2*p+1)))
		g.JLE(g.jmp(zip))
		w.loadSecond(operand.Mem{Base: src, Index: ld, Scale: 1}, in[p])
		g.Label(zip)
		w.zip(in[p])
		g.LEAQ(operand.Mem{Base: src, Index: ld, Scale: 2}, src)
	}
	g.Label("turn")
	for _, row := range g.transpose(in) {
		g.storeTail(row, within, at(dst, 0))
		g.ADDQ(rs, dst)
	}
	g.ret()
}

// peakTiles writes the loop that the benchmarks compare products with.
func (g *gen) peakTiles(name, product string) {
	g.function(name, "(config *byte, steps int)",
		"does four products of whole tiles a step and nothing else, to measure what the processor can do.")
	n := g.param("steps")
	g.tile("LDTILECFG", at(g.param("config"), 0)) // which clears all tiles
	g.Label("loop")
	for i := range 4 {
		g.tile(product, tmm(rowsB+i%2), tmm(rowsA+i/2), tmm(sums+i))
	}
	g.DECQ(n)
	g.JNZ(g.jmp("loop"))
	g.tile("TILERELEASE")
	g.ret()
}
