package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// byteTiles is the shape of tiles of int8. AVX2 needs four registers beside sums and a row of B. Twelve sums keep two units with
// a latency of five cycles busy.
func (v *isa) byteTiles() shape {
	switch v {
	case avx2:
		return shape{8, 5}
	case avxvnni:
		return shape{12, 6}
	}
	return shape{14, 14}
}

// dotsBytes reports whether the level has an instruction that adds up the products of the four bytes of words.
func (v *isa) dotsBytes() bool { return v == avxvnni || v == avx512vnni }

// dotBytes adds to sums the products of the bytes of words, those of first without a sign. Go's assembler knows the instruction of
// AVX-512 alone.
func (g *gen) dotBytes(second, first, sums operand.Op) {
	if g.isa == avxvnni {
		g.missing(vexDot, second, first, sums)
		return
	}
	g.VPDPBUSD(second, first, sums)
}

// emitGemm8 writes the functions for products of int8, four elements of k in a word.
func emitGemm8(g *gen) {
	g.shape = g.byteTiles()
	step := (*gen).stepSigned
	if g.dotsBytes() {
		step = (*gen).stepBytes
	}
	for vectors := range g.shape {
		g.gemmWidth("gemm8x", vectors+1, false, (*tileLoop).clear, step, (*tileLoop).scale)
	}
	g.peak8()
}

// stepBytes adds the products of the four bytes of words: those of A have no sign.
func (g *gen) stepBytes(t tileStep) {
	g.stepWhole(t, func(ops ...operand.Op) { g.dotBytes(ops[1], ops[0], ops[2]) })
}

// ones are two words of 16 bits.
const ones = 1<<16 | 1

// stepSigned does the same with instructions that multiply bytes without a sign by signed ones and add up pairs in 16 bits: it
// multiplies |x| by w with the sign of x. No sum is more than 2·127·127, which 16 bits hold.
func (g *gen) stepSigned(t tileStep) {
	product, one := t.spare[0], t.spare[1]
	x, magnitude := t.elementA[0], t.elementA[1]
	g.VMOVUPS(g.constant(ones), one)
	for j, r := range t.rowB {
		g.VMOVUPS(at(t.b, t.offB+j*g.bytes), r)
	}
	g.prefetchB(t)
	for i := range t.rows {
		g.VBROADCASTSS(t.rowA(i), x)
		g.VPABSB(x, magnitude)
		for j, r := range t.rowB {
			g.VPSIGNB(x, r, product)
			g.VPMADDUBSW(product, magnitude, product)
			g.VPMADDWD(one, product, product)
			g.VPADDD(product, t.acc(i, j), t.acc(i, j))
		}
	}
}

// scale makes numbers of the sums, unless there are no scales: see Scaling.
func (l *tileLoop) scale() {
	none := l.label("unscaled")
	scales := l.load("scales")
	l.TESTQ(scales, scales)
	l.JZ(l.jmp(none))
	l.loadRow(l.load("offsets"))
	for i := range l.most {
		for j, r := range l.rowB {
			l.VPADDD(r, l.acc(i, j), l.acc(i, j))
			l.VCVTDQ2PS(l.acc(i, j), l.acc(i, j))
		}
	}
	l.loadRow(scales)
	rows := l.load("rowScales")
	of, both := l.element[0], l.element[1]
	l.eachRow(func(i int) {
		l.VBROADCASTSS(at(rows, i*elementSize), of)
		for j, r := range l.rowB {
			l.VMULPS(of, r, both)
			l.VMULPS(both, l.acc(i, j), l.acc(i, j))
		}
	})
	done := l.load("rows")
	l.SHLQ(operand.Imm(2), done)
	l.ADDQ(done, l.field("rowScales"))
	l.addBias()
	l.Label(none)
}

// peak8 writes the loop that the benchmarks compare products of int8 with.
func (g *gen) peak8() {
	g.function("peak8", "(steps int)",
		"does 14 multiply-adds of whole vectors of bytes a step and nothing else, to measure what the processor can do.")
	n := g.param("steps")
	vnni := g.dotsBytes()
	chains := peakChains
	if !vnni {
		chains /= 2 // registers for products
	}
	acc := g.sums(chains)
	x := g.reg()
	g.zero(x)
	var products []reg.VecVirtual
	if !vnni {
		products = g.sums(chains)
	}
	g.Label("loop")
	for i := range peakChains {
		r := acc[i%chains]
		if vnni {
			g.dotBytes(x, x, r)
			continue
		}
		product := products[i%chains]
		g.VPSIGNB(x, x, product)
		g.VPMADDUBSW(product, x, product)
		g.VPMADDWD(x, product, product)
		g.VPADDD(product, r, r)
	}
	g.DECQ(n)
	g.JNZ(operand.LabelRef("loop"))
	g.ret()
}

// emitQuantize writes the parts of Integers.QuantizeRow.
func emitQuantize(g *gen) {
	g.topBits()
	g.quantize()
}

func (g *gen) topBits() {
	g.function("topBits", "(src *float32, n int) (bits uint32)", "returns the bits of the largest magnitude.")
	src, n := g.param("src"), g.param("n")
	const unroll = 4
	tops := g.sums(unroll)
	g.row(n).sweep(unroll, func(c chunk) {
		g.VPMAXSD(c.abs(c.load(src)), tops[c.turn], tops[c.turn])
	})
	g.result(g.reduce(g.VPMAXSD, tops), "bits")
	g.ret()
}

func (g *gen) quantize() {
	g.function("quantize", "(dst *uint32, src *float32, n int, factor float32, offset uint32)",
		"rounds x·factor to bytes and inverts the bits of offset. n is a multiple of a vector's lanes.")
	dst, src, n := g.param("dst"), g.param("src"), g.param("n")
	factor, offset := g.spread("factor"), g.spread("offset")
	v := g.reg()
	g.Label("loop")
	g.SUBQ(operand.Imm(uint64(g.lanes)), n)
	g.JL(g.jmp("done"))
	g.VMULPS(at(src, 0), factor, v)
	g.VCVTPS2DQ(v, v)
	bytes := g.XMM()
	if g.isa == avx2 {
		upper := g.XMM()
		g.VEXTRACTF128(operand.Imm(1), v, upper)
		g.VPACKSSDW(upper, v.AsX(), bytes)
		g.VPACKSSWB(bytes, bytes, bytes)
		g.VPXOR(offset.AsX(), bytes, bytes)
		g.VMOVQ(bytes, at(dst, 0))
	} else {
		g.VPMOVSDB(v, bytes)
		g.VPXORD(offset.AsX(), bytes, bytes)
		g.VMOVDQU32(bytes, at(dst, 0))
	}
	g.ADDQ(operand.Imm(uint64(g.lanes)), dst)
	g.ADDQ(operand.I32(g.bytes), src)
	g.JMP(g.jmp("loop"))
	g.Label("done")
	g.ret()
}
