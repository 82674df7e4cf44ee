package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Coefficients from fit, of Φ(−u)·exp(u²/2) = P(u)/Q(u) for 0 ≤ u ≤ 13.3, with a relative error of 2.3e-5. All are positive.
var (
	coarseP = []float64{0.500011468, 0.277118423, 0.0620391286}
	coarseQ = []float64{1, 1.35283787, 0.699906945, 0.155321092}
)

// coarseMax is where 2^(−u²/2·log₂e) is zero at AVX2, but its argument over −127.
const coarseMax = 13.26

// A logTail is 32 parabolas for log₂ of a function of u ≥ 0, by the multiple of 1/perUnit that is nearest to u. From the last on the
// function times u is zero in float32.
type logTail struct {
	name    string
	perUnit float64
	// u·factor + shift has the number of the parabola in its lowest bits.
	factor, shift float64
	coefficients  [3][pieces]float64 // from the constant on
}

const pieces = 32

// The relative errors are at most 1.1e-4, between ¼ and ¾, and far less elsewhere; and at most 8.3e-5.
var (
	normalLogTail = logTail{"normalLogTail", 2, 1, 0x1.8p22, [3][pieces]float64{
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
	}}
	tanhLogTail = logTail{"tanhLogTail", 3, 3, 0x1.8p23, [3][pieces]float64{
		{
			-1.00000708, -1.00131519, -1.01061659, -1.03303968, -1.07805643, -1.16869983, -1.34514312, -1.6585086,
			-2.15850516, -2.88281385, -3.85411739, -5.08492081, -6.58535435, -8.3686345, -10.4523572, -12.8572268,
			-15.6054382, -18.7197044, -22.2228719, -26.1378128, -30.4874029, -35.2945186, -40.5820361, -46.3728316,
			-52.6897815, -59.5557619, -66.9936493, -75.0263198, -83.6766497, -92.9675154, -102.921793, -113.562359,
		},
		{
			-1.150333, -1.13719341, -1.09994623, -1.046171, -0.969331363, -0.849122224, -0.657492332, -0.369120048,
			0.0301009966, 0.540788353, 1.15384107, 1.85689659, 2.63955657, 3.4954, 4.42138867, 5.41640761,
			6.48013898, 7.61251275, 8.81351704, 10.0831503, 11.4214124, 12.8283034, 14.3038231, 15.8479717,
			17.4607492, 19.1421554, 20.8921905, 22.7108544, 24.5981471, 26.5540686, 28.578619, 30.6717982,
		},
		{
			-0.471707307, -0.505443642, -0.543083354, -0.575433685, -0.60827941, -0.648174333, -0.70024018, -0.766615366,
			-0.846333775, -0.936376955, -1.03313354, -1.13355174, -1.23563108, -1.33833026, -1.44121739, -1.54415029,
			-1.64709202, -1.75003509, -1.85297831, -1.95592155, -2.05886479, -2.16180803, -2.26475127, -2.36769451,
			-2.47063775, -2.57358099, -2.67652423, -2.77946747, -2.88241071, -2.98535395, -3.08829719, -3.19124043,
		},
	}}
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
	if g.vex() {
		zero, most := g.hold(0), g.hold(f32(coarseMax))
		return func(x reg.Register) reg.VecVirtual {
			u := g.atMost(g.abs(x), most)
			p, q := g.horner(u, coarseP...), g.horner(u, coarseQ...)
			e := g.exp2Coarse(g.mul(g.mulC(u, -log2e/2), u))
			y := g.atLeast(x, zero)
			g.VFNMADD231PS(g.mul(g.div(p, q), e), u, y)
			return y
		}
	}
	return g.byLogTail(&normalLogTail)
}

// geluTanhCoarse is geluCoarse for GELUTanh.
func geluTanhCoarse(g *gen) func(x reg.Register) reg.VecVirtual {
	if g.vex() {
		return geluTanhValue(g)
	}
	return g.byLogTail(&tanhLogTail)
}

// byLogTail is max(x, 0) − u·f(u) for u = |x|, where t is of f.
func (g *gen) byLogTail(t *logTail) func(x reg.Register) reg.VecVirtual {
	zero, most := g.hold(0), g.hold(f32((pieces-1)/t.perUnit))
	factor, shift := g.hold(f32(t.factor)), g.hold(f32(t.shift))
	var low, high [len(t.coefficients)]reg.VecVirtual // halves of the tables
	for i := range t.coefficients {
		low[i], high[i] = g.reg(), g.reg()
		table := g.logTailTable(t, i)
		g.VMOVUPS(table, low[i])
		g.VMOVUPS(table.Offset(g.bytes), high[i])
	}
	return func(x reg.Register) reg.VecVirtual {
		const leastMagnitude = operand.U8(10)
		u := g.reg()
		g.VRANGEPS(leastMagnitude, most, x, u)
		piece := g.reg()
		if t.factor == 1 {
			g.VADDPS(shift, u, piece)
		} else {
			g.VMOVAPS(shift, piece)
			g.VFMADD231PS(factor, u, piece)
		}
		var c [len(t.coefficients)]reg.VecVirtual
		for i := range c {
			c[i] = g.reg()
			g.VMOVAPS(piece, c[i])
			g.VPERMI2PS(high[i], low[i], c[i])
		}
		exponent := c[2]
		g.VFMADD213PS(c[1], u, exponent)
		g.VFMADD213PS(c[0], u, exponent)
		y := g.atLeast(x, zero)
		g.VFNMADD231PS(g.exp2Coarse(exponent), u, y)
		return y
	}
}

// logTailTable has the coefficients of one power.
func (g *gen) logTailTable(t *logTail, power int) operand.Mem {
	name := fmt.Sprintf("%s%d", t.name, power)
	m, ok := g.named[name]
	if ok {
		return m
	}
	m = g.StaticGlobal(name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for _, c := range t.coefficients[power] {
		g.AppendDatum(operand.U32(f32(c)))
	}
	g.named[name] = m
	return m
}
