package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitAttention writes what attention does to rows between products of bfloat16, for levels that round in one instruction.
func emitAttention(g *gen) {
	g.expRows16()
	g.roundRows()
	g.scaleRows()
}

// Coefficients from fit: 2^r for 0 ≤ r < 1, with a relative error of 7.5e-5, a fiftieth of what rounding to bfloat16 adds.
var coarseExp2Coefficients = []float64{0.999925219, 0.69583353, 0.226067166, 0.0780245226}

// coarseExp2 returns 2^v with a relative error of 7.5e-5, given the coefficients in registers.
func (g *gen) coarseExp2(v reg.Register, coefficients []reg.VecVirtual) reg.VecVirtual {
	const fraction = operand.U8(9) // v less the integer below it
	r, y := g.reg(), g.reg()
	g.VREDUCEPS(fraction, v, r)
	last := len(coefficients) - 1
	g.VMOVAPS(coefficients[last], y)
	for i := last - 1; i >= 0; i-- {
		g.VFMADD213PS(coefficients[i], r, y)
	}
	g.VSCALEFPS(v, y, y)
	return y
}

// A wordRow is the length of a row that becomes words, and the masks of its end.
type wordRow struct {
	*gen
	n    reg.GPVirtual
	ends pairTails // of elements
	end  tail      // of words
}

// wordRow makes the masks of rows of n elements.
func (g *gen) wordRow(n reg.GPVirtual) wordRow {
	left, first, lanes := g.GP64(), g.GP64(), g.GP64()
	g.MOVQ(n, left)
	g.ANDQ(operand.Imm(uint64(2*g.lanes-1)), left)
	g.LEAQ(operand.Mem{Base: left, Disp: 1}, first)
	g.SHRQ(operand.Imm(1), first)
	r := wordRow{gen: g, n: n, end: g.tailMask(first, reg.K4)}
	g.MOVQ(operand.I32(g.lanes), lanes)
	g.MOVQ(left, first)
	g.CMPQ(first, lanes)
	g.CMOVQGT(lanes, first)
	g.SUBQ(first, left)
	r.ends = pairTails{g.tailMask(first, reg.K2), g.tailMask(left, reg.K3)}
	return r
}

// sweep emits body for each vector of words of a row and the two vectors of elements that they come from. tails is nil for whole
// vectors. body returns the words, which are stored.
func (r wordRow) sweep(src, dst reg.GPVirtual, body func(first, second reg.VecVirtual, tails *pairTails) reg.VecVirtual) {
	loop, rest, done := r.label("pairs"), r.label("rest"), r.label("done")
	from, to, left := r.GP64(), r.GP64(), r.GP64()
	r.MOVQ(src, from)
	r.MOVQ(dst, to)
	r.MOVQ(r.n, left)
	r.Label(loop)
	r.SUBQ(operand.Imm(uint64(2*r.lanes)), left)
	r.JL(r.jmp(rest))
	first, second := r.loadPair(at(from, 0), nil)
	r.VMOVUPS(body(first, second, nil), at(to, 0))
	r.ADDQ(operand.I32(2*r.bytes), from)
	r.ADDQ(operand.I32(r.bytes), to)
	r.JMP(r.jmp(loop))
	r.Label(rest)
	r.ADDQ(operand.Imm(uint64(2*r.lanes)), left)
	r.JZ(r.jmp(done))
	first, second = r.loadPair(at(from, 0), &r.ends)
	r.storeTail(body(first, second, &r.ends), r.end, at(to, 0))
	r.Label(done)
}

// expRows16 adds up the words that it writes, so that what the sum divides is what the product after it adds up.
func (g *gen) expRows16() {
	g.function("expRows16", "(dst *uint32, ldd int, x *float32, ld, rows, n int, s float32, inverse *float32)",
		"writes exp(s·(x − maximum)) of rows, ld bytes apart, as words, ldd bytes apart, and of each row one over their sum; s ≥ 0 and n > 0.")
	dst, ldd, x, ld, rows, inverse := g.param("dst"), g.param("ldd"), g.param("x"), g.param("ld"), g.param("rows"), g.param("inverse")
	n := g.param("n")
	whole, words := g.row(n), g.wordRow(n)
	round := g.joiner()
	s := g.mulC(g.spread("s"), log2e)
	lowest := g.hold(0xff800000)
	one, ones := g.hold(f32(1)), g.hold(0x3f803f80) // a number, a word
	var coefficients []reg.VecVirtual
	for _, c := range coarseExp2Coefficients {
		coefficients = append(coefficients, g.hold(f32(c)))
	}
	g.Label("row")
	g.DECQ(rows)
	g.JL(g.jmp("end"))
	tops := make([]reg.VecVirtual, unrolled)
	for i := range tops {
		tops[i] = g.reg()
		g.VMOVAPS(lowest, tops[i])
	}
	whole.sweep(unrolled, func(c chunk) {
		if v := c.load(x); c.mask == nil {
			g.VMAXPS(v, tops[c.turn], tops[c.turn])
		} else {
			g.VMAXPS(v, tops[0], c.mask.r, tops[0])
		}
	})
	top := g.reduce(g.VMAXPS, tops)
	sum := g.sums(1)
	words.sweep(x, dst, func(first, second reg.VecVirtual, tails *pairTails) reg.VecVirtual {
		e, f := g.coarseExp2(g.mul(g.sub(first, top), s), coefficients), g.coarseExp2(g.mul(g.sub(second, top), s), coefficients)
		if tails != nil {
			g.VMOVAPS_Z(e, tails.first.r, e)
			g.VMOVAPS_Z(f, tails.second.r, f)
		}
		w := g.reg()
		round.join(e, f, w)
		g.VDPBF16PS(w, ones, sum[0])
		return w
	})
	total := g.reduce(g.VADDPS, sum).AsX()
	g.VDIVSS(total, one.AsX(), total)
	g.VMOVSS(total, at(inverse, 0))
	g.ADDQ(operand.Imm(4), inverse)
	g.ADDQ(ld, x)
	g.ADDQ(ldd, dst)
	g.JMP(g.jmp("row"))
	g.Label("end")
	g.ret()
}

func (g *gen) roundRows() {
	g.function("roundRows", "(dst *uint32, ldd int, src *float32, ld, rows, n int, scale *float32)",
		"rounds rows, ld bytes apart, each times a number of scale unless that is nil, to words, ldd bytes apart.")
	dst, ldd, src, ld, rows := g.param("dst"), g.param("ldd"), g.param("src"), g.param("ld"), g.param("rows")
	scale, step := g.param("scale"), g.GP64()
	g.MOVQ(operand.I32(4), step)
	g.TESTQ(scale, scale)
	g.JNZ(g.jmp("scaled"))
	g.LEAQ(g.constant(f32(1)), scale)
	g.XORQ(step, step)
	g.Label("scaled")
	words := g.wordRow(g.param("n"))
	round := g.joiner()
	factor := g.reg()
	g.Label("row")
	g.DECQ(rows)
	g.JL(g.jmp("end"))
	g.VBROADCASTSS(at(scale, 0), factor)
	words.sweep(src, dst, func(first, second reg.VecVirtual, tails *pairTails) reg.VecVirtual {
		if tails == nil {
			g.VMULPS(factor, first, first)
			g.VMULPS(factor, second, second)
		} else { // zeros stay without a sign
			g.VMULPS_Z(factor, first, tails.first.r, first)
			g.VMULPS_Z(factor, second, tails.second.r, second)
		}
		w := g.reg()
		round.join(first, second, w)
		return w
	})
	g.ADDQ(step, scale)
	g.ADDQ(ld, src)
	g.ADDQ(ldd, dst)
	g.JMP(g.jmp("row"))
	g.Label("end")
	g.ret()
}

func (g *gen) scaleRows() {
	g.function("scaleRows", "(x *float32, ld, rows, n int, scale *float32)", "multiplies each of some rows, ld bytes apart, by a number.")
	x, ld, rows, scale := g.param("x"), g.param("ld"), g.param("rows"), g.param("scale")
	r := g.row(g.param("n"))
	factor := g.reg()
	g.Label("row")
	g.DECQ(rows)
	g.JL(g.jmp("end"))
	g.VBROADCASTSS(at(scale, 0), factor)
	r.sweep(unrolled, func(c chunk) { c.store(g.mul(c.load(x), factor), x) })
	g.ADDQ(operand.Imm(4), scale)
	g.ADDQ(ld, x)
	g.JMP(g.jmp("row"))
	g.Label("end")
	g.ret()
}
