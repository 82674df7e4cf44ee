package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Coefficients from fit: (exp(r) − 1 − r)/r² for |r| ≤ ½·ln 2, of which exp(r) gets a relative error of 3.1e-9.
var expCoefficients = []float64{0.499999934, 0.166665205, 0.0416683899, 0.00836873556, 0.00138145599}

const (
	log2e  = 1.4426950408889634
	ln2    = 0.6931471805599453
	ln2Hi  = 0.693147182464599609375 // ln 2 as float32; n·ln2Hi − x is exact in a fused multiply-add
	ln2Lo  = ln2 - ln2Hi
	expMin = -104 // exp is zero below
	expMax = 89   // and infinite above
)

// expParts splits exp(x+low) = 2^n·(1+p) with an integer n and |p| < 0.42; low, which may be nil, is a small correction.
// x must be finite or NaN.
func (g *gen) expParts(x, low reg.Register) (n, p reg.VecVirtual) {
	n = g.round(g.mulC(x, log2e))
	r := g.reg()
	g.VMOVAPS(x, r)
	g.with(g.VFNMADD231PS, g.VFNMADD231PS_BCST, f32(ln2Hi), n, r)
	g.with(g.VFNMADD231PS, g.VFNMADD231PS_BCST, f32(ln2Lo), n, r)
	if low != nil {
		g.VADDPS(low, r, r)
	}
	q := g.horner(r, expCoefficients...)
	p = r
	g.VFMADD231PS(g.mul(r, r), q, p)
	return n, p
}

// exp returns exp(x+low) for x that is NaN or not far outside of [expMin, expMax]; there it is zero or infinite. The
// error is less than one unit in the last place.
func (g *gen) exp(x, low reg.Register) reg.VecVirtual {
	n, p := g.expParts(x, low)
	if !g.vex() {
		y := g.addC(p, 1)
		g.VSCALEFPS(n, y, y)
		return y
	}
	// 2^n may be subnormal or infinite, so it is multiplied in two steps.
	g.VCVTPS2DQ(n, n)
	half := g.reg()
	g.VPSRAD(operand.Imm(1), n, half)
	g.VPSUBD(half, n, n)
	first, second := g.powerOf2(half), g.powerOf2(n)
	g.VFMADD213PS(first, first, p)
	g.VMULPS(second, p, p)
	return p
}

// Coefficients from fit: (2^r − 1)/r, of which 2^r gets a relative error of 8.6e-5 for 0 ≤ r ≤ 1, and of 1.0e-4 for |r| ≤ ½.
// 2^0 is 1 exactly.
var (
	exp2Above  = []float64{1, 0.695116788, 0.227644973, 0.0770670595}
	exp2Around = []float64{1, 0.693282929, 0.24221096, 0.0550089258}
)

// exp2Shift is what is added to a number to round it to an integer, and gives this, plus the bias of exponents, in the lowest bits.
const exp2Shift = 0x1.8p23 + 127

// exp2Coarse returns 2^t with a relative error of at most 1.1e-4, for results that are rounded to a few bits. At AVX2, t must be NaN
// or from −127 to 127, and the result is zero where t < −126.5; with AVX-512, t may be anything.
func (g *gen) exp2Coarse(t reg.Register) reg.VecVirtual {
	if !g.vex() {
		return g.exp2By(t, func(r reg.Register) reg.VecVirtual { return g.horner(r, exp2Above...) })
	}
	r := g.reg()
	power := g.addC(t, exp2Shift)
	g.VSUBPS(g.subC(power, exp2Shift), t, r)
	y := g.horner(r, exp2Around...)
	g.VPSLLD(operand.Imm(23), power, power)
	g.VMULPS(power, y, y)
	return y
}

// exp2By returns 2^t for any t with AVX-512, given a polynomial for 2^r of what t is above an integer, 0 ≤ r < 1.
func (g *gen) exp2By(t reg.Register, polynomial func(r reg.Register) reg.VecVirtual) reg.VecVirtual {
	const lessFloor = operand.U8(9)
	r := g.reg()
	g.VREDUCEPS(lessFloor, t, r)
	y := polynomial(r)
	g.VSCALEFPS(t, y, y) // by the floor of t
	return y
}

// powerOf2 returns 2^n for integers −127 < n < 128.
func (g *gen) powerOf2(n reg.Register) reg.VecVirtual {
	r := g.reg()
	g.with(g.VPADDD, g.VPADDD_BCST, 127, n, r)
	g.VPSLLD(operand.Imm(23), r, r)
	return r
}

// bounds are the registers that keep the argument of exp in its domain.
type bounds struct{ low, high reg.VecVirtual }

func (g *gen) expBounds() bounds { return bounds{g.hold(f32(expMin)), g.hold(f32(expMax))} }

func (g *gen) clamp(x reg.Register, b bounds) reg.VecVirtual {
	return g.atMost(g.atLeast(x, b.low), b.high)
}

func emitSoftmax(g *gen) {
	g.logSumExp()
	g.softmaxRows()
	g.softmaxAgain()
	g.softmaxBackward()
}

// logSumExp writes the function that finds the maximum and the sum of exponentials.
func (g *gen) logSumExp() {
	g.function("logSumExp", "(x *float32, s float32, n int) (top, sum float32)",
		"returns the maximum of x and the sum of exp(s·(x − maximum)), s ≥ 0.")
	x := g.param("x")
	r := g.row(g.param("n"))
	top, sum := g.softmaxOf([]reg.Register{x}, r, false)
	g.result(top[0], "top")
	g.result(sum[0], "sum")
	g.ret()
}

// softmaxRows writes the function that replaces rows by the quotients. It treats some at a time, so that the processor has
// work on one while it waits for the maximum or the sum of another.
func (g *gen) softmaxRows() {
	g.function("softmaxRows", "(x *float32, ld, rows int, s float32, n int, stats *float32)",
		"is softmax of rows, ld bytes apart; it writes the maximum and the sum of each to stats.")
	x, ld, rows, stats := g.param("x"), g.param("ld"), g.param("rows"), g.param("stats")
	r := g.row(g.param("n"))
	for _, count := range []int{g.softmaxGroup(), 1} {
		loop, done := g.label("rows"), g.label("end")
		g.Label(loop)
		g.SUBQ(operand.Imm(uint64(count)), rows)
		g.JL(g.jmp(done))
		group := []reg.Register{x}
		for i := 1; i < count; i++ {
			next := g.GP64()
			g.LEAQ(operand.Mem{Base: group[i-1], Index: ld, Scale: 1}, next)
			group = append(group, next)
		}
		top, sum := g.softmaxOf(group, r, true)
		for i := range group {
			g.VMOVSS(top[i].AsX(), at(stats, 8*i))
			g.VMOVSS(sum[i].AsX(), at(stats, 8*i+4))
		}
		g.ADDQ(operand.I32(8*count), stats)
		g.LEAQ(operand.Mem{Base: group[count-1], Index: ld, Scale: 1}, x)
		g.JMP(g.jmp(loop))
		g.Label(done)
		if count > 1 {
			g.ADDQ(operand.Imm(uint64(count)), rows)
		}
	}
	g.ret()
}

// softmaxGroup is how many rows softmaxRows treats at a time: as many as have registers for their sums.
func (v *isa) softmaxGroup() int {
	if v == avx2 {
		return 2
	}
	return 4
}

// softmaxOf returns the maximum and the sum of exponentials of each of some rows of equal length, in every lane. The
// argument of exp is s·(x − maximum), which is exactly zero for the maximum. What is added to which sum when depends on
// the length alone.
func (g *gen) softmaxOf(x []reg.Register, r row, store bool) (top, sum []reg.VecVirtual) {
	lowest := g.hold(0xff800000)
	unroll := unrolled / len(x)
	tops := make([][]reg.VecVirtual, len(x))
	for i := range tops {
		for range unroll {
			t := g.reg()
			g.VMOVAPS(lowest, t)
			tops[i] = append(tops[i], t)
		}
	}
	r.sweep(unroll, func(c chunk) {
		for i, t := range tops {
			v := c.load(x[i])
			switch {
			case c.mask == nil:
				g.VMAXPS(v, t[c.turn], t[c.turn])
			case g.isa == avx2:
				g.VBLENDVPS(c.mask.r, v, lowest, v)
				g.VMAXPS(v, t[0], t[0])
			default:
				g.VMAXPS(v, t[0], c.mask.r, t[0])
			}
		}
	})
	for _, t := range tops {
		top = append(top, g.reduce(g.VMAXPS, t))
	}

	s := g.spread("s")
	least := g.hold(f32(expMin))
	sums := make([][]reg.VecVirtual, len(x))
	for i := range sums {
		sums[i] = g.sums(2)
	}
	r.sweep(2, func(c chunk) {
		for i, t := range sums {
			v := g.mul(g.sub(c.load(x[i]), top[i]), s)
			e := g.exp(g.atLeast(v, least), nil)
			if store {
				c.store(e, x[i])
			}
			c.clearTail(e)
			g.VADDPS(e, t[c.turn], t[c.turn])
		}
	})
	for _, t := range sums {
		sum = append(sum, g.reduce(g.VADDPS, t))
	}
	if store {
		one := g.hold(f32(1))
		inverse := make([]reg.VecVirtual, len(x))
		for i := range inverse {
			inverse[i] = g.div(one, sum[i])
		}
		r.sweep(unroll, func(c chunk) {
			for i := range x {
				c.store(g.mul(c.load(x[i]), inverse[i]), x[i])
			}
		})
	}
	return top, sum
}

func (g *gen) softmaxAgain() {
	g.function("softmaxAgain", "(x *float32, s, lse float32, n int)", "is Kernels.SoftmaxAgain.")
	x := g.param("x")
	s, lse := g.spread("s"), g.spread("lse")
	b := g.expBounds()
	r := g.row(g.param("n"))
	sweep := r.sweep
	if g.isa == avx2 {
		sweep = r.sweepTogether
	}
	sweep(2, func(c chunk) {
		v := c.load(x)
		g.VFMSUB213PS(lse, s, v)
		c.store(g.exp(g.clamp(v, b), nil), x)
	})
	g.ret()
}

func (g *gen) softmaxBackward() {
	g.function("softmaxBackward", "(ds, p, dp *float32, s, d float32, n int)", "is Kernels.SoftmaxBackward.")
	ds, p, dp := g.param("ds"), g.param("p"), g.param("dp")
	s, d := g.spread("s"), g.spread("d")
	g.row(g.param("n")).sweep(unrolled, func(c chunk) {
		v := g.mul(c.load(p), s)
		c.store(g.mul(v, g.sub(c.load(dp), d)), ds)
	})
	g.ret()
}
