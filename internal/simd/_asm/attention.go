package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitAttention writes what attention and its backward pass do to rows between products of bfloat16, for levels that round in one instruction.
func emitAttention(g *gen) {
	g.expRows16()
	g.roundRows()
	g.scaleRows()
	g.keptMasks()
	g.softmaxGrad16()
}

// Coefficients from fit: 2^r for 0 ≤ r < 1, with a relative error of 7.5e-5, a fiftieth of what rounding to bfloat16 adds.
var coarseExp2Coefficients = []float64{0.999925219, 0.69583353, 0.226067166, 0.0780245226}

// coarseExp2 returns 2^v with a relative error of 7.5e-5, given the coefficients in registers.
func (g *gen) coarseExp2(v reg.Register, coefficients []reg.VecVirtual) reg.VecVirtual {
	return g.exp2By(v, func(r reg.Register) reg.VecVirtual {
		y := g.reg()
		last := len(coefficients) - 1
		g.VMOVAPS(coefficients[last], y)
		for i := last - 1; i >= 0; i-- {
			g.VFMADD213PS(coefficients[i], r, y)
		}
		return y
	})
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

// sweep emits body for each vector of words of rows that stand in turns at from and to, and the two vectors of elements that they come
// from. tails is nil for whole vectors. body returns the words, which are stored. It clobbers from and to.
func (r wordRow) sweep(from, to reg.GPVirtual, src, dst []operand.Mem, body func(i int, first, second reg.VecVirtual, tails *pairTails) reg.VecVirtual) {
	loop, rest, done := r.label("pairs"), r.label("rest"), r.label("done")
	left := r.GP64()
	r.MOVQ(r.n, left)
	r.Label(loop)
	r.SUBQ(operand.Imm(uint64(2*r.lanes)), left)
	r.JL(r.jmp(rest))
	for i, m := range src {
		first, second := r.loadPair(m, nil)
		r.VMOVUPS(body(i, first, second, nil), dst[i])
	}
	r.ADDQ(operand.I32(2*r.bytes), from)
	r.ADDQ(operand.I32(r.bytes), to)
	r.JMP(r.jmp(loop))
	r.Label(rest)
	r.ADDQ(operand.Imm(uint64(2*r.lanes)), left)
	r.JZ(r.jmp(done))
	for i, m := range src {
		first, second := r.loadPair(m, &r.ends)
		r.storeTail(body(i, first, second, &r.ends), r.end, dst[i])
	}
	r.Label(done)
}

// grouped emits body for groups of expGroup of some rows, and then for single rows. left holds their number, which it clobbers.
func (g *gen) grouped(left reg.GPVirtual, body func(count int)) {
	for _, count := range []int{expGroup, 1} {
		loop, done := g.label("rows"), g.label("end")
		g.Label(loop)
		g.SUBQ(operand.Imm(uint64(count)), left)
		g.JL(g.jmp(done))
		body(count)
		g.JMP(g.jmp(loop))
		g.Label(done)
		if count > 1 {
			g.ADDQ(operand.Imm(uint64(count)), left)
		}
	}
}

// expGroup is how many rows expRows16 treats at a time.
const expGroup = 4

// rowAddresses are those of some rows from base on, odd multiples of whose distance are in registers.
func (g *gen) rowAddresses(base reg.GPVirtual, odd map[int]reg.GPVirtual, count int) []operand.Mem {
	at := g.rowsBy(base, odd)
	m := make([]operand.Mem, count)
	for i := range m {
		m[i] = at(i)
	}
	return m
}

// reduceRows combines all lanes of each of one or expGroup registers, in a fixed order that is the same for both, and returns the
// results in successive lanes. It clobbers s.
func (g *gen) reduceRows(f instruction, s []reg.VecVirtual) reg.VecVirtual {
	// A lane of a quarter meets the one two lanes on, and the result its neighbour; then the quarters two on, and their neighbours.
	pairs := func(a, b reg.VecVirtual) reg.VecVirtual { // a0+a2, a1+a3, b0+b2, b1+b3 of each quarter
		low, high := g.reg(), g.reg()
		g.VUNPCKLPD(b, a, low)
		g.VUNPCKHPD(b, a, high)
		f(high, low, low)
		return low
	}
	last := len(s) - 1
	ab := pairs(s[0], s[min(1, last)])
	cd := ab
	if last > 0 {
		cd = pairs(s[2], s[3])
	}
	const even, odd = operand.U8(0x88), operand.U8(0xdd)
	r, t := g.reg(), g.reg()
	g.VSHUFPS(even, cd, ab, r)
	g.VSHUFPS(odd, cd, ab, t)
	f(t, r, r)
	upper := g.YMM()
	g.VEXTRACTF64X4(operand.Imm(1), r, upper)
	f(upper, r.AsY(), r.AsY())
	g.VEXTRACTF128(operand.Imm(1), r.AsY(), upper.AsX())
	f(upper.AsX(), r.AsX(), r.AsX())
	return r
}

// expRows16 finds the maxima of all rows first, which it leaves in inverse, so that nothing waits for them. It adds up the words that it
// writes, so that what the sum divides is what the product after it adds up.
func (g *gen) expRows16() {
	g.function("expRows16", "(dst *uint32, ldd int, x *float32, ld, rows, n int, s float32, inverse *float32)",
		"writes exp(s·(x − maximum)) of rows, ld bytes apart, as words, ldd bytes apart, and of each row one over their sum; s ≥ 0 and n > 0.")
	store := func(r reg.VecVirtual, count int, to reg.GPVirtual) {
		if count == 1 {
			g.VMOVSS(r.AsX(), at(to, 0))
		} else {
			g.VMOVUPS(r.AsX(), at(to, 0))
		}
		g.ADDQ(operand.Imm(uint64(4*count)), to)
	}
	n, ld := g.param("n"), g.param("ld")
	odd := g.oddMultiples(ld, expGroup)

	x, rows, inverse := g.param("x"), g.param("rows"), g.param("inverse")
	whole := g.row(n)
	lowest := g.hold(0xff800000)
	g.grouped(rows, func(count int) {
		group := g.rowAddresses(x, odd, count)
		unroll := 2
		tops := make([][]reg.VecVirtual, count)
		for i := range tops {
			for range unroll {
				t := g.reg()
				g.VMOVAPS(lowest, t)
				tops[i] = append(tops[i], t)
			}
		}
		next := g.GP64()
		g.LEAQ(operand.Mem{Base: x, Index: ld, Scale: uint8(count)}, next)
		many, one, rest, done := g.label("many"), g.label("one"), g.label("rest"), g.label("done")
		left := g.GP64()
		g.MOVQ(n, left)
		g.Label(many)
		g.SUBQ(operand.Imm(uint64(unroll*g.lanes)), left)
		g.JL(g.jmp(one))
		for u := range unroll {
			for i, m := range group {
				g.VMAXPS(m.Offset(u*g.bytes), tops[i][u], tops[i][u])
			}
		}
		g.ADDQ(operand.I32(unroll*g.bytes), x)
		g.JMP(g.jmp(many))
		g.Label(one)
		g.ADDQ(operand.Imm(uint64(g.lanes)), left)
		g.JL(g.jmp(rest))
		for i, m := range group {
			g.VMAXPS(m, tops[i][0], tops[i][0])
		}
		g.ADDQ(operand.I32(g.bytes), x)
		g.SUBQ(operand.Imm(uint64(g.lanes)), left)
		g.Label(rest)
		g.ADDQ(operand.Imm(uint64(g.lanes)), left)
		g.JZ(g.jmp(done))
		for i, m := range group {
			v := g.reg()
			g.loadTail(m, whole.mask, v)
			g.VMAXPS(v, tops[i][0], whole.mask.r, tops[i][0])
		}
		g.Label(done)
		g.MOVQ(next, x)
		var top []reg.VecVirtual
		for _, t := range tops {
			g.VMAXPS(t[1], t[0], t[0])
			top = append(top, t[0])
		}
		store(g.reduceRows(g.VMAXPS, top), count, inverse)
	})

	x, rows, inverse = g.param("x"), g.param("rows"), g.param("inverse")
	dst, ldd := g.param("dst"), g.param("ldd")
	oddTo := g.oddMultiples(ldd, expGroup)
	words := g.wordRow(n)
	round := g.joiner()
	s := g.mulC(g.spread("s"), log2e)
	one, ones := g.hold(f32(1)), g.hold(0x3f803f80) // a number, a word
	var coefficients []reg.VecVirtual
	for _, c := range coarseExp2Coefficients {
		coefficients = append(coefficients, g.hold(f32(c)))
	}
	g.grouped(rows, func(count int) {
		top, sum := make([]reg.VecVirtual, count), g.sums(count)
		for i := range top {
			top[i] = g.reg()
			g.VBROADCASTSS(at(inverse, 4*i), top[i])
		}
		from, to := g.GP64(), g.GP64()
		g.MOVQ(x, from)
		g.MOVQ(dst, to)
		words.sweep(from, to, g.rowAddresses(from, odd, count), g.rowAddresses(to, oddTo, count), func(i int, first, second reg.VecVirtual, tails *pairTails) reg.VecVirtual {
			e, f := g.coarseExp2(g.mul(g.sub(first, top[i]), s), coefficients), g.coarseExp2(g.mul(g.sub(second, top[i]), s), coefficients)
			if tails != nil {
				g.VMOVAPS_Z(e, tails.first.r, e)
				g.VMOVAPS_Z(f, tails.second.r, f)
			}
			w := g.reg()
			round.join(e, f, w)
			g.VDPBF16PS(w, ones, sum[i])
			return w
		})
		total := g.reduceRows(g.VADDPS, sum)
		g.VDIVPS(total.AsX(), one.AsX(), total.AsX())
		store(total, count, inverse)
		g.LEAQ(operand.Mem{Base: x, Index: ld, Scale: uint8(count)}, x)
		g.LEAQ(operand.Mem{Base: dst, Index: ldd, Scale: uint8(count)}, dst)
	})
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
	from, to := g.GP64(), g.GP64()
	g.MOVQ(src, from)
	g.MOVQ(dst, to)
	words.sweep(from, to, []operand.Mem{at(from, 0)}, []operand.Mem{at(to, 0)}, func(_ int, first, second reg.VecVirtual, tails *pairTails) reg.VecVirtual {
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
	g.function("scaleRows", "(dst *float32, ldd int, src *float32, ld, rows, n int, scale *float32)",
		"writes each of some rows, ld bytes apart, times a number, to rows ldd bytes apart.")
	dst, ldd, src, ld, rows, scale := g.param("dst"), g.param("ldd"), g.param("src"), g.param("ld"), g.param("rows"), g.param("scale")
	r := g.row(g.param("n"))
	factor := g.reg()
	g.Label("row")
	g.DECQ(rows)
	g.JL(g.jmp("end"))
	g.VBROADCASTSS(at(scale, 0), factor)
	r.sweep(unrolled, func(c chunk) { c.store(g.mul(c.load(src), factor), dst) })
	g.ADDQ(operand.Imm(4), scale)
	g.ADDQ(ld, src)
	g.ADDQ(ldd, dst)
	g.JMP(g.jmp("row"))
	g.Label("end")
	g.ret()
}
