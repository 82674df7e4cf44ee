package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Coefficients from fit: Φ(−u)·exp(u²/2) = P(u)/Q(u) for 0 ≤ u ≤ 15, with a relative error of 6.3e-9. All are positive, so
// that no sum cancels.
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

// An activation has a value and a slope, of a vector x. Both may hold constants in registers, in setup.
type activation struct {
	name  string
	value func(g *gen) func(x reg.Register) reg.VecVirtual
	// coarse is value for results that are rounded to a few bits. It may be nil.
	coarse func(g *gen) func(x reg.Register) reg.VecVirtual
	// backward returns dy·f'(x); dy loads it.
	backward func(g *gen) func(x reg.Register, dy func() reg.VecVirtual) reg.VecVirtual
	crowded  bool // AVX2 lacks registers for two vectors at a time
	short    bool // few instructions
}

var activations = []activation{
	{"GELU", geluValue, geluCoarse, timesSlope(geluSlope), false, false},
	{"GELUTanh", geluTanhValue, geluTanhCoarse, timesSlope(geluTanhSlope), true, false},
	{"ReLU", reluValue, nil, reluBackward, false, true},
	{"Tanh", tanhValue, nil, timesSlope(tanhSlope), false, false},
	{"SiLU", siluValue, nil, timesSlope(siluSlope), false, false},
}

func emitActivate(g *gen) {
	for i := range activations {
		a := &activations[i]
		g.function("activate"+a.name, "(dst, x *float32, n int)", "is Kernels.Activate.")
		dst, x := g.param("dst"), g.param("x")
		r := g.row(g.param("n"))
		f := a.value(g)
		if a.short {
			r.sweep(unrolled, func(c chunk) { c.store(f(c.load(x)), dst) })
		} else {
			r.apply(a.unroll(g), dst, []reg.Register{x}, nil,
				func(v []reg.VecVirtual, _ func() reg.VecVirtual) reg.VecVirtual { return f(v[0]) })
		}
		g.ret()

		g.function("backward"+a.name, "(dx, dy, x *float32, n int)", "is Kernels.ActivateBackward.")
		dx, dy, x := g.param("dx"), g.param("dy"), g.param("x")
		r = g.row(g.param("n"))
		b := a.backward(g)
		switch {
		case a.short:
			r.sweep(unrolled, func(c chunk) { c.store(b(c.load(x), func() reg.VecVirtual { return c.load(dy) }), dx) })
		case g.isa == avx2: // no register is free for dy earlier
			r.apply(a.unroll(g), dx, []reg.Register{x}, dy,
				func(v []reg.VecVirtual, dy func() reg.VecVirtual) reg.VecVirtual { return b(v[0], dy) })
		default:
			r.apply(1, dx, []reg.Register{x, dy}, nil, func(v []reg.VecVirtual, _ func() reg.VecVirtual) reg.VecVirtual {
				return b(v[0], func() reg.VecVirtual { return v[1] })
			})
		}
		g.ret()
	}
}

// unroll is the number of vectors computed at a time: two at AVX2, since one is a chain of about thirty operations.
func (a *activation) unroll(g *gen) int {
	if g.isa == avx2 && !a.crowded {
		return 2
	}
	return 1
}

func timesSlope(slope func(g *gen) func(x reg.Register) reg.VecVirtual) func(g *gen) func(x reg.Register, dy func() reg.VecVirtual) reg.VecVirtual {
	return func(g *gen) func(x reg.Register, dy func() reg.VecVirtual) reg.VecVirtual {
		f := slope(g)
		return func(x reg.Register, dy func() reg.VecVirtual) reg.VecVirtual { return g.mul(f(x), dy()) }
	}
}

// normalTail returns, for u = min(|x|, tailMax), u itself, Φ(−u) and exp(−u²/2). The rounding error of u², which exp would
// magnify, is passed to exp.
func (g *gen) normalTail(x, most reg.Register) (u, tail, e reg.VecVirtual) {
	u = g.atMost(g.abs(x), most)
	square := g.mul(u, u)
	low := g.reg()
	g.VMOVAPS(u, low)
	g.VFMSUB213PS(square, u, low)
	e = g.exp(g.mulC(square, -0.5), g.mulC(low, -0.5))
	p := g.horner(u, tailP...)
	q := g.horner(u, tailQ...)
	return u, g.mul(g.div(p, q), e), e
}

// geluValue is max(x, 0) − u·Φ(−u): Φ(x) = 1 − Φ(−x), and where u is less than |x| the product is zero.
func geluValue(g *gen) func(x reg.Register) reg.VecVirtual {
	most, zero := g.hold(f32(tailMax)), g.hold(0)
	return func(x reg.Register) reg.VecVirtual {
		u, tail, _ := g.normalTail(x, most)
		y := g.atLeast(x, zero)
		g.VFNMADD231PS(tail, u, y)
		return y
	}
}

// geluSlope is w = Φ(−u) − u·φ(u) for negative x and 1−w for others.
func geluSlope(g *gen) func(x reg.Register) reg.VecVirtual {
	most, one := g.hold(f32(tailMax)), g.hold(f32(1))
	return func(x reg.Register) reg.VecVirtual {
		u, w, e := g.normalTail(x, most)
		g.with(g.VFNMADD231PS, g.VFNMADD231PS_BCST, f32(density), g.mul(u, e), w)
		return g.bySign(x, w, g.sub(one, w))
	}
}

// sigmoid returns sigmoid(v), and 1/(1+e) and e for e = exp(−|v|).
func (g *gen) sigmoid(v, most, one reg.Register) (s, r, e reg.VecVirtual) {
	magnitude := g.atMost(g.abs(v), most)
	e = g.exp(g.mulC(magnitude, -1), nil)
	r = g.div(one, g.add(e, one))
	return g.mul(g.bySign(v, e, one), r), r, e
}

func siluValue(g *gen) func(x reg.Register) reg.VecVirtual {
	most, least, one := g.hold(f32(sigmoidMax)), g.hold(f32(-sigmoidMax)), g.hold(f32(1))
	return func(x reg.Register) reg.VecVirtual {
		s, _, _ := g.sigmoid(x, most, one)
		return g.mul(s, g.atLeast(x, least))
	}
}

func siluSlope(g *gen) func(x reg.Register) reg.VecVirtual {
	most, least, one := g.hold(f32(sigmoidMax)), g.hold(f32(-sigmoidMax)), g.hold(f32(1))
	return func(x reg.Register) reg.VecVirtual {
		t := g.atMost(g.atLeast(x, least), most)
		s, r, e := g.sigmoid(t, most, one)
		g.VFMADD231PS(g.mul(e, t), g.mul(r, r), s) // s + x·s·(1−s)
		return s
	}
}

// geluTanhLogit returns v with ½(1+tanh(v/2)) = sigmoid(v), and x².
func (g *gen) geluTanhLogit(x reg.Register) (v, square reg.VecVirtual) {
	square = g.mul(x, x)
	return g.mul(g.horner(square, geluTanhScale, geluTanhScale*geluTanhCubic), x), square
}

func geluTanhValue(g *gen) func(x reg.Register) reg.VecVirtual {
	most, one := g.hold(f32(sigmoidMax)), g.hold(f32(1))
	low, high := g.hold(f32(-geluTanhMax)), g.hold(f32(geluTanhMax))
	return func(x reg.Register) reg.VecVirtual {
		factor := g.atLeast(x, low)
		v, _ := g.geluTanhLogit(g.atMost(factor, high))
		s, _, _ := g.sigmoid(v, most, one)
		return g.mul(s, factor)
	}
}

func geluTanhSlope(g *gen) func(x reg.Register) reg.VecVirtual {
	most, one := g.hold(f32(sigmoidMax)), g.hold(f32(1))
	low, high := g.hold(f32(-geluTanhMax)), g.hold(f32(geluTanhMax))
	return func(x reg.Register) reg.VecVirtual {
		t := g.atMost(g.atLeast(x, low), high)
		v, square := g.geluTanhLogit(t)
		s, r, e := g.sigmoid(v, most, one)
		slope := g.horner(square, geluTanhScale, 3*geluTanhScale*geluTanhCubic)
		g.VMULPS(t, slope, slope)
		g.VMULPS(e, slope, slope)
		g.VFMADD231PS(slope, g.mul(r, r), s) // s + x·v'·s·(1−s)
		return s
	}
}

// tanhValue is (1−e)/(1+e) for e = exp(−2|x|) with the sign of x; e−1 is taken from the parts of e, without cancellation.
func tanhValue(g *gen) func(x reg.Register) reg.VecVirtual {
	most, one, two := g.hold(f32(tanhMax)), g.hold(f32(1)), g.hold(f32(2))
	return func(x reg.Register) reg.VecVirtual {
		n, p := g.expParts(g.mulC(g.atMost(g.abs(x), most), -2), nil)
		g.VCVTPS2DQ(n, n)
		power := g.powerOf2(n)
		less := g.sub(power, one)
		g.VFMADD231PS(power, p, less) // e − 1
		return g.withSign(g.abs(g.div(less, g.add(less, two))), x)
	}
}

// tanhSlope is 4e/(1+e)² for e = exp(−2|x|).
func tanhSlope(g *gen) func(x reg.Register) reg.VecVirtual {
	most, one := g.hold(f32(sigmoidMax/2)), g.hold(f32(1))
	return func(x reg.Register) reg.VecVirtual {
		e := g.exp(g.mulC(g.atMost(g.abs(x), most), -2), nil)
		r := g.div(one, g.add(e, one))
		return g.mul(g.mul(g.mulC(e, 4), r), r)
	}
}

func reluValue(g *gen) func(x reg.Register) reg.VecVirtual {
	zero := g.hold(0)
	return func(x reg.Register) reg.VecVirtual { return g.atLeast(x, zero) }
}

func reluBackward(g *gen) func(x reg.Register, dy func() reg.VecVirtual) reg.VecVirtual {
	zero := g.hold(0)
	return func(x reg.Register, dy func() reg.VecVirtual) reg.VecVirtual {
		r := g.reg()
		if g.isa == avx2 {
			const lessOrEqual = operand.U8(2)
			g.VCMPPS(lessOrEqual, zero, x, r)
			g.VANDNPS(dy(), r, r)
			return r
		}
		const notLessOrEqual = operand.U8(6)
		k := g.K()
		g.VCMPPS(notLessOrEqual, zero, x, k)
		g.VMOVAPS_Z(dy(), k, r)
		return r
	}
}
