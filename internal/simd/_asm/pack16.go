package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitPack16 writes the functions that round operands to bfloat16 and pair them in words.
func emitPack16(g *gen) {
	g.shape = g.wordTiles()
	g.roundRow()
	for vectors := 1; vectors <= g.shape.vectors(); vectors++ {
		g.packB16(vectors)
	}
	g.packBT16()
	g.packA16()
	if g.isa == avx512 {
		g.repack16()
	}
}

// A rounder writes words of elements rounded to bfloat16.
type rounder struct {
	*gen
	index reg.VecVirtual // of the words that zip or join picks, where it needs one
}

// zipper is a rounder that pairs the lanes of two vectors.
func (g *gen) zipper() rounder {
	r := rounder{gen: g}
	if g.rounds() {
		r.index = g.zipIndex()
	}
	return r
}

// zipIndex picks the words of the lower and the upper half of a vector in turns.
func (g *gen) zipIndex() reg.VecVirtual {
	index := g.reg()
	g.VMOVUPS(g.wordTable("zip", func(i int) int { return i/2 + i%2*g.lanes }), index)
	return index
}

// joiner is a rounder that pairs neighbours.
func (g *gen) joiner() rounder {
	r := rounder{gen: g}
	if g.isa == avx512 {
		r.index = g.reg()
		g.VMOVUPS(g.wordTable("join", func(i int) int { return 2*i + 1 }), r.index)
	}
	return r
}

// wordTable has a vector of 16-bit numbers f(i).
func (g *gen) wordTable(name string, f func(i int) int) operand.Mem {
	m, ok := g.named[name]
	if ok {
		return m
	}
	m = g.StaticGlobal(name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 2 * g.lanes {
		g.AppendDatum(operand.U16(f(i)))
	}
	g.named[name] = m
	return m
}

const (
	halfBits  = 16
	upperHalf = 0xffff0000
)

// zip writes words whose lower halves are the lanes of even, and whose upper halves are those of odd. It clobbers both.
func (r rounder) zip(even, odd, dst reg.VecVirtual) {
	if r.rounds() {
		r.VCVTNE2PS2BF16(even, odd, dst)
		r.VPERMW(dst, r.index, dst)
		return
	}
	r.roundUpper(even)
	r.roundUpper(odd)
	r.VPSRLD(operand.Imm(halfBits), even, even)
	if r.isa == avx2 {
		const oddWords = operand.U8(0xaa)
		r.VPBLENDW(oddWords, odd, even, dst)
		return
	}
	const orAnd = operand.U8(0xf8) // even | odd&upperHalf
	r.VPTERNLOGD_BCST(orAnd, r.constant(upperHalf), odd, even)
	r.VMOVAPS(even, dst)
}

// join writes words of neighbours: first those of first, then those of second. It clobbers both.
func (r rounder) join(first, second, dst reg.VecVirtual) {
	if r.rounds() {
		r.VCVTNE2PS2BF16(first, second, dst)
		return
	}
	r.roundUpper(first)
	r.roundUpper(second)
	if r.isa == avx2 {
		r.VPSRLD(operand.Imm(halfBits), first, first)
		r.VPSRLD(operand.Imm(halfBits), second, second)
		r.VPACKUSDW(second, first, first)
		const swapMiddle = operand.U8(0xd8) // VPACKUSDW works in 128-bit halves
		r.VPERMQ(swapMiddle, first, dst)
		return
	}
	r.VPERMT2W(second, r.index, first)
	r.VMOVAPS(first, dst)
}

// roundUpper rounds the lanes of x to their upper halves; the lower ones are left with anything.
func (r rounder) roundUpper(x reg.VecVirtual) {
	const (
		one       = 1
		half      = 0x7fff // less one, which is added where it makes a tie even
		quiet     = 1 << 22
		unordered = operand.U8(3) // true where an operand is NaN
	)
	up := r.reg()
	r.VPSRLD(operand.Imm(halfBits), x, up)
	if r.isa == avx2 {
		r.VPAND(r.constant(one), up, up)
	} else {
		r.VPANDD_BCST(r.constant(one), up, up)
	}
	r.with(r.VPADDD, r.VPADDD_BCST, half, up, up)
	r.VPADDD(x, up, up)
	if r.isa == avx2 {
		isNaN := r.reg()
		r.VCMPPS(unordered, x, x, isNaN)
		r.VORPS(r.constant(quiet), x, x)
		r.VBLENDVPS(isNaN, x, up, x)
		return
	}
	isNaN := r.K()
	r.VCMPPS(unordered, x, x, isNaN)
	r.VORPS_BCST(r.constant(quiet), x, isNaN, up)
	r.VMOVAPS(up, x)
}

// pairTails are the masks of the two vectors of elements of a partly filled vector of words.
type pairTails struct{ first, second tail }

// pairTails makes the masks of the elements of left < 2·lanes elements. It clobbers left.
func (g *gen) pairTails(left reg.GPVirtual) pairTails {
	lanes, count := g.GP64(), g.GP64()
	g.MOVQ(operand.I32(g.lanes), lanes)
	g.MOVQ(left, count)
	g.CMPQ(count, lanes)
	g.CMOVQGT(lanes, count)
	g.SUBQ(count, left)
	if g.isa == avx2 {
		return pairTails{g.tailMask(count, g.YMM()), g.tailMask(left, g.YMM())}
	}
	return pairTails{g.tailMask(count, reg.K1), g.tailMask(left, reg.K2)}
}

// loadPair loads the elements of a vector of words, all or those within the masks.
func (g *gen) loadPair(m operand.Mem, tails *pairTails) (first, second reg.VecVirtual) {
	first, second = g.reg(), g.reg()
	if tails == nil {
		g.VMOVUPS(m, first)
		g.VMOVUPS(m.Offset(g.bytes), second)
	} else {
		g.loadTail(m, tails.first, first)
		g.loadTail(m.Offset(g.bytes), tails.second, second)
	}
	return first, second
}

func (g *gen) roundRow() {
	g.roundedRow("roundRow", "is Kernels.RoundRow.", false, nil)
}

// roundedRow writes a function that rounds f of the elements of a row, two vectors at a time, whose instructions alternate if
// together is set. prepare returns f; without it, the elements are rounded themselves.
func (g *gen) roundedRow(name, doc string, together bool, prepare func(g *gen) func(x reg.Register) reg.VecVirtual) {
	g.function(name, "(dst *uint32, src *float32, n int)", doc)
	dst, src, n := g.param("dst"), g.param("src"), g.param("n")
	var f func(x reg.Register) reg.VecVirtual
	if prepare != nil {
		f = prepare(g)
	}
	r := g.joiner()
	words := g.reg()
	join := func(tails *pairTails) {
		v := [2]reg.VecVirtual{}
		v[0], v[1] = g.loadPair(at(src, 0), tails)
		if f != nil {
			bodies := []func(){func() { v[0] = f(v[0]) }, func() { v[1] = f(v[1]) }}
			if together {
				g.together(bodies...)
			} else {
				bodies[0]()
				bodies[1]()
			}
		}
		r.join(v[0], v[1], words)
	}
	g.Label("loop")
	g.SUBQ(operand.Imm(uint64(2*g.lanes)), n)
	g.JL(g.jmp("rest"))
	join(nil)
	g.VMOVUPS(words, at(dst, 0))
	g.ADDQ(operand.I32(2*g.bytes), src)
	g.ADDQ(operand.I32(g.bytes), dst)
	g.JMP(g.jmp("loop"))
	g.Label("rest")
	g.ADDQ(operand.Imm(uint64(2*g.lanes)), n)
	g.JZ(g.jmp("done"))
	count := g.GP64()
	g.LEAQ(operand.Mem{Base: n, Disp: 1}, count)
	g.SHRQ(operand.Imm(1), count)
	tails := g.pairTails(n)
	join(&tails)
	g.storeTail(words, g.tailMask(count, tails.first.r), at(dst, 0))
	g.Label("done")
	g.ret()
}

// pairsOfRows emits body for each two of k > 0 rows, ld bytes apart, after load has loaded the first of them to even and
// the second to odd. Of an odd k the last odd row is zero. To know which is last, load and body are emitted twice.
func (g *gen) pairsOfRows(src, ld, k reg.GPVirtual, vectors int, load func(row reg.Register, v []reg.VecVirtual), body func(even, odd []reg.VecVirtual, last bool)) {
	even, odd := make([]reg.VecVirtual, vectors), make([]reg.VecVirtual, vectors)
	for j := range vectors {
		even[j], odd[j] = g.reg(), g.reg()
	}
	next := g.GP64()
	g.SUBQ(operand.Imm(2), k)
	g.JLE(g.jmp("last"))
	g.Label("loop")
	g.LEAQ(operand.Mem{Base: src, Index: ld, Scale: 1}, next)
	load(src, even)
	load(next, odd)
	body(even, odd, false)
	g.LEAQ(operand.Mem{Base: src, Index: ld, Scale: 2}, src)
	g.SUBQ(operand.Imm(2), k)
	g.JG(g.jmp("loop"))
	g.Label("last")
	load(src, even)
	for _, r := range odd {
		g.zero(r)
	}
	g.JL(g.jmp("single"))
	g.ADDQ(ld, src)
	load(src, odd)
	g.Label("single")
	body(even, odd, true)
	g.ret()
}

func (g *gen) packB16(vectors int) {
	g.function(fmt.Sprintf("packB16x%d", vectors), "(dst *uint32, src *float32, ld, last, k int)",
		fmt.Sprintf("rounds k > 0 rows, ld bytes apart, of %d vectors, the last of which has last columns.", vectors))
	dst, src, ld, k := g.param("dst"), g.param("src"), g.param("ld"), g.param("k")
	mask := g.tailMask(g.param("last"), g.maskRegister())
	r := g.zipper()
	words := make([]reg.VecVirtual, g.shape.vectors())
	for j := range words {
		words[j] = g.reg()
		if j >= vectors {
			g.zero(words[j])
		}
	}
	load := func(row reg.Register, v []reg.VecVirtual) {
		for j := range vectors - 1 {
			g.VMOVUPS(at(row, j*g.bytes), v[j])
		}
		g.loadTail(at(row, (vectors-1)*g.bytes), mask, v[vectors-1])
	}
	g.pairsOfRows(src, ld, k, vectors, load, func(even, odd []reg.VecVirtual, last bool) {
		for j := range vectors {
			r.zip(even[j], odd[j], words[j])
		}
		for j, w := range words {
			g.VMOVUPS(w, at(dst, j*g.bytes))
		}
		g.ADDQ(operand.I32(g.shape.vectors()*g.bytes), dst)
	})
}

// packA16 writes whole vectors but for the last row, as packA does.
func (g *gen) packA16() {
	g.function("packA16x1", "(dst *uint32, src *float32, ld, m, k int)", "rounds k > 0 rows, ld bytes apart, of m columns to a panel of A.")
	dst, src, ld, k := g.param("dst"), g.param("src"), g.param("ld"), g.param("k")
	mask := g.tailMask(g.param("m"), g.maskRegister())
	r := g.zipper()
	words := g.reg()
	load := func(row reg.Register, v []reg.VecVirtual) { g.loadTail(at(row, 0), mask, v[0]) }
	g.pairsOfRows(src, ld, k, 1, load, func(even, odd []reg.VecVirtual, last bool) {
		r.zip(even[0], odd[0], words)
		if !last {
			g.VMOVUPS(words, at(dst, 0))
			g.ADDQ(operand.I32(g.shape.rows()*4), dst)
			return
		}
		height := g.GP64()
		g.MOVQ(operand.I32(g.shape.rows()), height)
		g.storeTail(words, g.tailMask(height, mask.r), at(dst, 0))
	})
}

// packBT16 rounds each row as roundRow does and transposes square blocks of words.
func (g *gen) packBT16() {
	g.function("packBT16", "(dst *uint32, src *float32, ld, n, k int)",
		"transposes n rows, ld bytes apart, of k columns into one vector's width of a panel; lanes from n on get zero.")
	dst, src, n, k := g.param("dst"), g.param("src"), g.param("n"), g.param("k")
	row := g.rows(src, g.param("ld"), g.lanes)
	r := g.joiner()
	words := g.GP64() // of the last block

	block := func(tails *pairTails) {
		in := make([]reg.VecVirtual, g.lanes)
		for i := range in {
			in[i] = g.reg()
			g.zero(in[i])
		}
		shuffle := g.label("shuffle")
		for i := range in {
			g.CMPQ(n, operand.Imm(uint64(i)))
			g.JEQ(g.jmp(shuffle))
			first, second := g.loadPair(row(i), tails)
			r.join(first, second, in[i])
		}
		g.Label(shuffle)
		for p, w := range g.transpose(in) {
			if tails != nil && p > 0 {
				g.CMPQ(words, operand.Imm(uint64(p)))
				g.JEQ(g.jmp("done"))
			}
			g.VMOVUPS(w, at(dst, p*g.shape.vectors()*g.bytes))
		}
	}

	g.Label("loop")
	g.SUBQ(operand.Imm(uint64(2*g.lanes)), k)
	g.JL(g.jmp("rest"))
	block(nil)
	g.ADDQ(operand.Imm(uint64(2*g.bytes)), src)
	g.ADDQ(operand.I32(g.lanes*g.shape.vectors()*g.bytes), dst)
	g.JMP(g.jmp("loop"))
	g.Label("rest")
	g.ADDQ(operand.Imm(uint64(2*g.lanes)), k)
	g.JZ(g.jmp("done"))
	g.LEAQ(operand.Mem{Base: k, Disp: 1}, words)
	g.SHRQ(operand.Imm(1), words)
	tails := g.pairTails(k)
	block(&tails)
	g.Label("done")
	g.ret()
}

// wordPairs pairs the words of two rows that are rounded already: those of a vector of columns.
type wordPairs struct {
	*gen
	index                reg.VecVirtual
	first, second, pairs reg.Register // masks: of the words of a row as the lower and as the upper half of a vector, of halves
}

// wordPairs prepares the masks of n ≤ lanes columns.
func (g *gen) wordPairs(n reg.GPVirtual) wordPairs {
	w := wordPairs{gen: g, index: g.zipIndex(), first: reg.K1, second: reg.K2, pairs: reg.K3}
	count, bits := g.GP64(), g.GP64()
	g.LEAQ(operand.Mem{Base: n, Disp: 1}, count)
	g.SHRQ(operand.Imm(1), count)
	g.ones(count, bits)
	g.KMOVW(bits.As32(), w.first)
	g.SHLQ(operand.Imm(uint64(g.lanes/2)), bits)
	g.KMOVW(bits.As32(), w.second)
	g.LEAQ(operand.Mem{Base: n, Index: n, Scale: 1}, count)
	g.ones(count, bits)
	g.KMOVD(bits.As32(), w.pairs)
	return w
}

// ones sets bits to as many ones as count says, 0 to 32.
func (g *gen) ones(count, bits reg.GPVirtual) {
	g.MOVQ(count, reg.RCX)
	g.MOVQ(operand.U32(1), bits)
	g.SHLQ(reg.CL, bits)
	g.DECQ(bits)
}

// loadFirst loads the words of the first row of a pair, loadSecond those of the second.
func (w wordPairs) loadFirst(row operand.Mem, v reg.Register) { w.VMOVUPS_Z(row, w.first, v) }
func (w wordPairs) loadSecond(row operand.Mem, v reg.Register) {
	w.VMOVUPS(row.Offset(-w.bytes/2), w.second, v)
}

// zip makes words of the two rows in v; columns beyond the last get zero.
func (w wordPairs) zip(v reg.Register) { w.VPERMW_Z(v, w.index, w.pairs, v) }

// repack16 writes the function that makes panels of rows of words.
func (g *gen) repack16() {
	g.function("repack16", "(dst *uint32, ds int, src *uint32, ld, n, width, k int)",
		"pairs k > 0 rows of words, ld bytes apart, to rows of width ≤ 16 words, ds bytes apart, of which n are not zero.")
	dst, ds, src, ld, k := g.param("dst"), g.param("ds"), g.param("src"), g.param("ld"), g.param("k")
	w := g.wordPairs(g.param("n"))
	within := g.tailMask(g.param("width"), reg.K4)
	v := g.reg()
	g.SUBQ(operand.Imm(2), k)
	g.JL(g.jmp("last"))
	g.Label("loop")
	w.loadFirst(at(src, 0), v)
	w.loadSecond(operand.Mem{Base: src, Index: ld, Scale: 1}, v)
	w.zip(v)
	g.storeTail(v, within, at(dst, 0))
	g.LEAQ(operand.Mem{Base: src, Index: ld, Scale: 2}, src)
	g.ADDQ(ds, dst)
	g.SUBQ(operand.Imm(2), k)
	g.JGE(g.jmp("loop"))
	g.Label("last")
	g.ADDQ(operand.Imm(2), k)
	g.JZ(g.jmp("done"))
	w.loadFirst(at(src, 0), v)
	w.zip(v)
	g.storeTail(v, within, at(dst, 0))
	g.Label("done")
	g.ret()
}
