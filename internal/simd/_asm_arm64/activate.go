package main

// Coefficients from _asm/fit: Φ(−u)·exp(u²/2) = P(u)/Q(u) for 0 ≤ u ≤ 15, with a relative error of 6.3e-9. All are
// positive, so that no sum cancels.
var (
	tailP = []float64{0.500000003, 0.439284743, 0.183970151, 0.0408814804, 0.00415328521}
	tailQ = []float64{1, 1.67645449, 1.2055524, 0.47141138, 0.102480791, 0.0104106305}
)

const (
	tailMax    = 15  // Φ(−15) is zero in float32
	sigmoidMax = 104 // sigmoid(−104) is zero in float32, or the least number
	tanhMax    = 10  // tanh(10) is 1 in float32

	density       = 0.3989422804014327 // 1/√(2π)
	geluTanhCubic = 0.044715
	geluTanhScale = 1.5957691216057308 // 2·√(2/π), of the logit
	geluTanhMax   = 24                 // the logit of 24 is over sigmoidMax, and its square far from overflow
)

// An activation has a value and a slope, of a vector x.
type activation struct {
	name  string
	value func(g *gen, x vector) vector
	// backward returns dy·f'(x).
	backward func(g *gen, x, dy vector) vector
}

var activations = []activation{
	{"GELU", geluValue, timesSlope(geluSlope)},
	{"GELUTanh", geluTanhValue, timesSlope(geluTanhSlope)},
	{"ReLU", reluValue, reluBackward},
	{"Tanh", tanhValue, timesSlope(tanhSlope)},
	{"SiLU", siluValue, timesSlope(siluSlope)},
}

func emitActivate(g *gen) {
	for _, a := range activations {
		g.function("activate"+a.name, "(dst, x *float32, n int)", "is Kernels.Activate.")
		g.apply("dst", []string{"x"}, func(v []vector) vector { return a.value(g, v[0]) })
		g.ret()

		g.function("backward"+a.name, "(dx, dy, x *float32, n int)", "is Kernels.ActivateBackward.")
		g.apply("dx", []string{"x", "dy"}, func(v []vector) vector { return a.backward(g, v[0], v[1]) })
		g.ret()
	}
}

func timesSlope(slope func(g *gen, x vector) vector) func(g *gen, x, dy vector) vector {
	return func(g *gen, x, dy vector) vector { return g.mul(slope(g, x), dy) }
}

// normalTail returns, for u = min(|x|, tailMax), u itself, Φ(−u) and exp(−u²/2). The rounding error of u², which exp would
// magnify, is passed to exp.
func (g *gen) normalTail(x vector) (u, tail, e vector) {
	u = g.atMost(g.abs(x), g.constant(tailMax))
	square := g.mul(u, u)
	excess := g.copy(square)
	g.multiplySub(excess, u, u) // square − u²
	e = g.exp(g.mulC(square, -0.5), g.mulC(excess, 0.5))
	p := g.horner(u, tailP...)
	q := g.horner(u, tailQ...)
	return u, g.mul(g.div(p, q), e), e
}

// geluValue is max(x, 0) − u·Φ(−u): Φ(x) = 1 − Φ(−x), and where u is less than |x| the product is zero.
func geluValue(g *gen, x vector) vector {
	u, tail, _ := g.normalTail(x)
	y := g.atLeast(x, g.zero())
	g.multiplySub(y, u, tail)
	return y
}

// geluSlope is w = Φ(−u) − u·φ(u) for negative x and 1−w for others.
func geluSlope(g *gen, x vector) vector {
	u, w, e := g.normalTail(x)
	g.multiplySub(w, g.mul(u, e), g.constant(density))
	return g.bySign(x, w, g.sub(g.constant(1), w))
}

// sigmoid returns sigmoid(v), and 1/(1+e) and e for e = exp(−|v|).
func (g *gen) sigmoid(v vector) (s, r, e vector) {
	magnitude := g.atMost(g.abs(v), g.constant(sigmoidMax))
	e = g.exp(g.op2(fneg, magnitude), noVector)
	one := g.constant(1)
	r = g.div(one, g.add(e, one))
	return g.mul(g.bySign(v, e, one), r), r, e
}

func siluValue(g *gen, x vector) vector {
	s, _, _ := g.sigmoid(x)
	return g.mul(s, g.atLeast(x, g.constant(-sigmoidMax)))
}

func siluSlope(g *gen, x vector) vector {
	t := g.clamp(x, sigmoidMax)
	s, r, e := g.sigmoid(t)
	g.multiplyAdd(s, g.mul(e, t), g.mul(r, r)) // s + x·s·(1−s)
	return s
}

// clamp returns x, at least −most and at most most.
func (g *gen) clamp(x vector, most float64) vector {
	return g.atMost(g.atLeast(x, g.constant(-most)), g.constant(most))
}

// geluTanhLogit returns v with ½(1+tanh(v/2)) = sigmoid(v), and x².
func (g *gen) geluTanhLogit(x vector) (v, square vector) {
	square = g.mul(x, x)
	return g.mul(g.horner(square, geluTanhScale, geluTanhScale*geluTanhCubic), x), square
}

func geluTanhValue(g *gen, x vector) vector {
	factor := g.atLeast(x, g.constant(-geluTanhMax))
	v, _ := g.geluTanhLogit(g.atMost(factor, g.constant(geluTanhMax)))
	s, _, _ := g.sigmoid(v)
	return g.mul(s, factor)
}

func geluTanhSlope(g *gen, x vector) vector {
	t := g.clamp(x, geluTanhMax)
	v, square := g.geluTanhLogit(t)
	s, r, e := g.sigmoid(v)
	slope := g.horner(square, geluTanhScale, 3*geluTanhScale*geluTanhCubic)
	g.multiplyAdd(s, g.mul(g.mul(slope, t), e), g.mul(r, r)) // s + x·v'·s·(1−s)
	return s
}

// tanhValue is (1−e)/(1+e) for e = exp(−2|x|) with the sign of x; e−1 is taken from the parts of e, without cancellation.
func tanhValue(g *gen, x vector) vector {
	n, p := g.expParts(g.mulC(g.atMost(g.abs(x), g.constant(tanhMax)), -2), noVector)
	power := g.powerOf2(n)
	less := g.sub(power, g.constant(1))
	g.multiplyAdd(less, power, p) // e − 1
	return g.withSign(g.abs(g.div(less, g.addC(less, 2))), x)
}

// tanhSlope is 4e/(1+e)² for e = exp(−2|x|).
func tanhSlope(g *gen, x vector) vector {
	e := g.exp(g.mulC(g.atMost(g.abs(x), g.constant(sigmoidMax/2)), -2), noVector)
	one := g.constant(1)
	r := g.div(one, g.add(e, one))
	return g.mul(g.mul(g.mulC(e, 4), r), r)
}

func reluValue(g *gen, x vector) vector { return g.atLeast(x, g.zero()) }

func reluBackward(g *gen, x, dy vector) vector {
	mask := g.vector()
	g.compareZero(mask, x)
	return g.op3(bic, dy, mask)
}
