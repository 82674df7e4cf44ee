package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Coefficients from fit. At AVX2 those of Φ(−u)·exp(u²/2) = P(u)/Q(u) for 0 ≤ u ≤ 13.3, with a relative error of 2.3e-5; all are
// positive. With AVX-512 those of parabolas for log₂ Φ(−u), the constants first, one for all u that are nearest to a multiple of ½.
// The relative error of Φ is at most 1.1e-4, between ¼ and ¾, and far less elsewhere.
var (
	coarseP = []float64{0.500011468, 0.277118423, 0.0620391286}
	coarseQ = []float64{1, 1.35283787, 0.699906945, 0.155321092}

	logTail = [3][32]float64{
		{
			-1.00002392, -1.0042567, -1.03177002, -1.08678198, -1.1639002, -1.25565084, -1.35558647, -1.45900748,
			-1.56277974, -1.66493841, -1.76432327, -1.86030347, -1.9525865, -2.04109085, -2.12586313, -2.20702479,
			-2.28473817, -2.35918522, -2.43055419, -2.49903162, -2.56479759, -2.62802311, -2.68886884, -2.74748469,
			-2.80400988, -2.85857332, -2.91129419, -2.96228256, -3.01164008, -3.05946061, -3.10583088, -3.15083108,
		},
		{
			-1.14936207, -1.12086456, -1.04691045, -0.958240259, -0.869587272, -0.787651833, -0.714700409, -0.650863696,
			-0.595380015, -0.547204809, -0.505284542, -0.468665383, -0.436525068, -0.408171519, -0.383028783, -0.360619656,
			-0.340548893, -0.322488492, -0.306165315, -0.291350961, -0.277853539, -0.265511044, -0.254186031, -0.243761312,
			-0.234136497, -0.22522518, -0.216952658, -0.209254067, -0.202072851, -0.195359504, -0.189070525, -0.183167552,
		},
		{
			-0.478101258, -0.527196517, -0.577356983, -0.613206013, -0.638727214, -0.657038392, -0.670360807, -0.680216432,
			-0.687635488, -0.693316635, -0.697738112, -0.701231578, -0.704030472, -0.706301633, -0.708166125, -0.709713095,
			-0.711009108, -0.712104527, -0.713037931, -0.713839211, -0.714531782, -0.715134168, -0.715661163, -0.716124686,
			-0.716534418, -0.71689828, -0.717222804, -0.71751341, -0.717774623, -0.718010244, -0.718223486, -0.718417073,
		},
	}
)

const (
	coarseMax  = 13.26    // where 2^(−u²/2·log₂e) is zero at AVX2, but its argument over exp2Min
	logTailMax = 15.5     // Φ(−15.5) is zero in float32
	logTailBit = 0x1.8p22 // the number of a parabola is in the lowest bits of u plus this
)

// emitActivate16 writes the activations whose results are rounded to bfloat16.
func emitActivate16(g *gen) {
	for i := range activations {
		a := &activations[i]
		g.roundedRow("activateRound"+a.name, "is Kernels.ActivateRound.", a.unroll(g) > 1, a.rounded)
	}
}

// rounded is coarse or, where there is none, value.
func (a *activation) rounded(g *gen) func(x reg.Register) reg.VecVirtual {
	if a.coarse != nil {
		return a.coarse(g)
	}
	return a.value(g)
}

// geluCoarse is geluValue with a relative error of at most 2.2e-4, over all results that are normal numbers.
func geluCoarse(g *gen) func(x reg.Register) reg.VecVirtual {
	zero := g.hold(0)
	if g.vex() {
		most := g.hold(f32(coarseMax))
		return func(x reg.Register) reg.VecVirtual {
			u := g.atMost(g.abs(x), most)
			p, q := g.horner(u, coarseP...), g.horner(u, coarseQ...)
			e := g.exp2Coarse(g.mul(g.mulC(u, -log2e/2), u))
			y := g.atLeast(x, zero)
			g.VFNMADD231PS(g.mul(g.div(p, q), e), u, y)
			return y
		}
	}
	most, shift := g.hold(f32(logTailMax)), g.hold(f32(logTailBit))
	var low, high [len(logTail)]reg.VecVirtual // halves of the tables
	for i := range logTail {
		low[i], high[i] = g.reg(), g.reg()
		table := g.logTailTable(i)
		g.VMOVUPS(table, low[i])
		g.VMOVUPS(table.Offset(g.bytes), high[i])
	}
	return func(x reg.Register) reg.VecVirtual {
		const leastMagnitude = operand.U8(10)
		u := g.reg()
		g.VRANGEPS(leastMagnitude, most, x, u)
		number := g.add(u, shift)
		var c [len(logTail)]reg.VecVirtual
		for i := range c {
			c[i] = g.reg()
			g.VMOVAPS(number, c[i])
			g.VPERMI2PS(high[i], low[i], c[i])
		}
		t := c[2]
		g.VFMADD213PS(c[1], u, t)
		g.VFMADD213PS(c[0], u, t)
		y := g.atLeast(x, zero)
		g.VFNMADD231PS(g.exp2Coarse(t), u, y)
		return y
	}
}

// logTailTable is the table of one coefficient.
func (g *gen) logTailTable(i int) operand.Mem {
	name := [len(logTail)]string{"logTail0", "logTail1", "logTail2"}[i]
	m, ok := g.named[name]
	if ok {
		return m
	}
	m = g.StaticGlobal(name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for _, c := range logTail[i] {
		g.AppendDatum(operand.U32(f32(c)))
	}
	g.named[name] = m
	return m
}
