package main

// Coefficients from _asm/fit: (exp(r) − 1 − r)/r² for |r| ≤ ½·ln 2, of which exp(r) gets a relative error of 3.1e-9.
var expCoefficients = []float64{0.499999934, 0.166665205, 0.0416683899, 0.00836873556, 0.00138145599}

const (
	log2e  = 1.4426950408889634
	ln2    = 0.6931471805599453
	ln2Hi  = 0.693147182464599609375 // ln 2 as float32; n·ln2Hi − x is exact in a fused multiply-add
	ln2Lo  = ln2 - ln2Hi
	expMin = -104 // exp is zero below
	expMax = 89   // and infinite above
)

// expParts splits exp(x+low) = 2^n·(1+p) with an integer n, returned as such, and |p| < 0.42. low is a small correction;
// noVector is none. x must be finite or NaN, which makes p NaN.
func (g *gen) expParts(x, low vector) (n, p vector) {
	scaled := g.mulC(x, log2e)
	n = g.op2(fcvtns, scaled)
	whole := g.op2(frintn, scaled)
	r := g.copy(x)
	g.multiplySub(r, whole, g.constant(ln2Hi))
	g.multiplySub(r, whole, g.constant(ln2Lo))
	if low != noVector {
		r = g.add(r, low)
	}
	q := g.horner(r, expCoefficients...)
	p = g.copy(r)
	g.multiplyAdd(p, g.mul(r, r), q)
	return n, p
}

const noVector vector = -1

// exp returns exp(x+low) for x that is NaN or not far outside of [expMin, expMax]; there it is zero or infinite. The
// error is less than one unit in the last place. 2^n may be subnormal or infinite, so it is multiplied in two steps.
func (g *gen) exp(x, low vector) vector {
	n, p := g.expParts(x, low)
	half, rest := g.vector(), g.vector()
	g.shiftSigned(half, n, 1)
	g.native("VSUB", "S4", rest, n, half)
	first := g.powerOf2(half)
	y := g.copy(first)
	g.multiplyAdd(y, p, first)
	return g.mul(y, g.powerOf2(rest))
}

// powerOf2 returns 2^n for integers −127 < n < 128.
func (g *gen) powerOf2(n vector) vector {
	r := g.vector()
	g.native("VADD", "S4", r, n, g.bits(127))
	g.shift("VSHL", r, r, 23)
	return r
}

func emitSoftmax(g *gen) {
	g.softmax("softmax", true)
	g.softmax("logSumExp", false)
	g.softmaxAgain()
	g.softmaxBackward()
}

// softmax writes the function that finds the maximum and the sum of exponentials, and, if store, replaces the row by the
// quotients. The argument of exp is s·(x − max), which is exactly zero for the maximum.
func (g *gen) softmax(name string, store bool) {
	g.function(name, "(x *float32, s float32, n int) (top, sum float32)",
		"returns the maximum of x and the sum of exp(s·(x − maximum)), s ≥ 0.")
	lowest := g.bits(0xff800000)
	tops := make([]vector, unrolled)
	for i := range tops {
		tops[i] = g.copy(lowest)
	}
	x := []string{"x"}
	g.sweep(unrolled, x, func(c chunk) {
		g.three(fmax, tops[c.turn], tops[c.turn], c.filled(c.load("x"), lowest))
	})
	top := g.reduce(fmax, fmaxp, tops)
	g.result32(top, "top")

	s, least := g.spread("s"), g.constant(expMin)
	sums := g.sums(unrolled)
	g.sweep(unrolled, x, func(c chunk) {
		v := g.mul(g.sub(c.load("x"), top), s)
		e := g.exp(g.atLeast(v, least), noVector)
		if store {
			c.store(e, "x")
		}
		g.three(fadd, sums[c.turn], sums[c.turn], c.clearTail(e))
	})
	sum := g.sum(sums)
	g.result32(sum, "sum")
	if store {
		inverse := g.div(g.constant(1), sum)
		g.sweep(unrolled, x, func(c chunk) { c.store(g.mul(c.load("x"), inverse), "x") })
	}
	g.ret()
}

func (g *gen) softmaxAgain() {
	g.function("softmaxAgain", "(x *float32, s, lse float32, n int)", "is Kernels.SoftmaxAgain.")
	s, negative := g.spread("s"), g.op2(fneg, g.spread("lse"))
	low, high := g.constant(expMin), g.constant(expMax)
	g.sweep(2, []string{"x"}, func(c chunk) {
		v := g.copy(negative)
		g.multiplyAdd(v, c.load("x"), s)
		c.store(g.exp(g.atMost(g.atLeast(v, low), high), noVector), "x")
	})
	g.ret()
}

func (g *gen) softmaxBackward() {
	g.function("softmaxBackward", "(ds, p, dp *float32, s, d float32, n int)", "is Kernels.SoftmaxBackward.")
	s, d := g.spread("s"), g.spread("d")
	g.sweep(unrolled, []string{"p", "dp", "ds"}, func(c chunk) {
		v := g.mul(c.load("p"), s)
		c.store(g.mul(v, g.sub(c.load("dp"), d)), "ds")
	})
	g.ret()
}
