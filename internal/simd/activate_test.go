package simd

import (
	"math"
	"testing"
)

// ulps is the distance of got from want in units in the last place of want as a float32. NaN is no distance from NaN, and
// an infinity none from what rounds to it.
func ulps(got float32, want float64) float64 {
	rounded := float32(want)
	if got == rounded || got != got && want != want {
		return 0
	}
	_, exponent := math.Frexp(float64(rounded))
	unit := math.Ldexp(1, max(exponent-24, -149))
	return math.Abs(float64(got)-want) / unit
}

// everyExponent returns numbers of both signs and of all exponents, the special values among them.
func everyExponent() []float32 {
	r := newRand()
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	x := []float32{0, float32(math.Copysign(0, -1)), nan, inf, -inf, 1, -1, 40, -40, 1000, -1000, math.MaxFloat32, -math.MaxFloat32}
	for exponent := range uint32(255) {
		mantissas := []uint32{0, 1, 1<<23 - 1}
		for range 20 {
			mantissas = append(mantissas, r.Uint32()>>9)
		}
		if 120 <= exponent && exponent < 135 { // where the functions have their shape
			for range 400 {
				mantissas = append(mantissas, r.Uint32()>>9)
			}
		}
		for _, m := range mantissas {
			v := math.Float32frombits(exponent<<23 | m)
			x = append(x, v, -v)
		}
	}
	return x
}

// A curve is an activation in float64, with the largest errors of the assembly: of the value in units in the last place,
// of the slope relative to 1, for slopes are of that size where they matter and cross zero.
type curve struct {
	f            Activation
	name         string
	value, slope func(x float64) float64
	valueULPs    func(x float64) float64
	slopeError   float64
}

// sigmoidTail is where the exponential of the negative number has become zero in float32.
const sigmoidTail = 104

func constantly(c float64) func(float64) float64 { return func(float64) float64 { return c } }

// limits makes f of the infinities its limits, where the formula would give NaN.
func limits(f func(float64) float64, low, high float64) func(float64) float64 {
	return func(x float64) float64 {
		switch {
		case math.IsInf(x, -1):
			return low
		case math.IsInf(x, 1):
			return high
		}
		return f(x)
	}
}

func sigmoid64(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func density64(x float64) float64 { return math.Exp(-x*x/2) / math.Sqrt(2*math.Pi) }

func geluTanhArgument(x float64) float64 {
	return 2 * math.Sqrt(2/math.Pi) * (x + 0.044715*x*x*x)
}

var curves = []curve{
	{
		f:          Identity,
		name:       "Identity",
		value:      func(x float64) float64 { return x },
		slope:      constantly(1),
		valueULPs:  constantly(0),
		slopeError: 0,
	},
	{
		f:          GELU,
		name:       "GELU",
		value:      limits(func(x float64) float64 { return x * 0.5 * math.Erfc(-x/math.Sqrt2) }, 0, math.Inf(1)),
		slope:      limits(func(x float64) float64 { return 0.5*math.Erfc(-x/math.Sqrt2) + x*density64(x) }, 0, 1),
		valueULPs:  constantly(4),
		slopeError: 2e-7,
	},
	{
		f:     GELUTanh,
		name:  "GELUTanh",
		value: limits(func(x float64) float64 { return x * sigmoid64(geluTanhArgument(x)) }, 0, math.Inf(1)),
		slope: limits(func(x float64) float64 {
			v := geluTanhArgument(x)
			return sigmoid64(v) + x*2*math.Sqrt(2/math.Pi)*(1+3*0.044715*x*x)*sigmoid64(v)*sigmoid64(-v)
		}, 0, 1),
		// The argument of the exponential has a relative error, which its size magnifies.
		valueULPs:  func(x float64) float64 { return 3 + 2*min(math.Abs(geluTanhArgument(x)), sigmoidTail) },
		slopeError: 3e-7,
	},
	{
		f:          ReLU,
		name:       "ReLU",
		value:      func(x float64) float64 { return max(x, 0) },
		slope:      func(x float64) float64 { return map[bool]float64{true: 0, false: 1}[x <= 0] },
		valueULPs:  constantly(0),
		slopeError: 0,
	},
	{
		f:          Tanh,
		name:       "Tanh",
		value:      math.Tanh,
		slope:      func(x float64) float64 { return 1 / (math.Cosh(x) * math.Cosh(x)) },
		valueULPs:  constantly(3),
		slopeError: 3e-7,
	},
	{
		f:          SiLU,
		name:       "SiLU",
		value:      limits(func(x float64) float64 { return x * sigmoid64(x) }, 0, math.Inf(1)),
		slope:      limits(func(x float64) float64 { return sigmoid64(x) + x*sigmoid64(x)*sigmoid64(-x) }, 0, 1),
		valueULPs:  constantly(3),
		slopeError: 2e-7,
	},
}

// TestActivateAccuracy checks values and slopes over all of float32. Where a result is subnormal it is a product with a
// factor that has lost bits, so that |x| units of the smallest number are added to the bound.
func TestActivateAccuracy(t *testing.T) {
	x := everyExponent()
	y, ones := make([]float32, len(x)), make([]float32, len(x))
	for i := range ones {
		ones[i] = 1
	}
	eachLevel(t, func(t *testing.T, k *Kernels) {
		for _, c := range curves {
			k.Activate(c.f, y, x)
			for i, v := range x {
				want := c.value(float64(v))
				bound := max(c.valueULPs(float64(v)), 0.5)
				if math.Abs(want) < 0x1p-120 {
					bound += min(math.Abs(float64(v)), sigmoidTail)
				}
				if e := ulps(y[i], want); e != 0 && !(e <= bound) {
					t.Errorf("%s(%g) = %g, want %g: %.3g units in the last place, allowed are %.3g", c.name, v, y[i], want, e, bound)
				}
			}
			k.ActivateBackward(c.f, y, ones, x)
			for i, v := range x {
				want := c.slope(float64(v))
				if want != want && y[i] != y[i] {
					continue
				}
				if e := math.Abs(float64(y[i]) - want); !(e <= c.slopeError) {
					t.Errorf("slope of %s at %g = %g, want %g ± %g", c.name, v, y[i], want, c.slopeError)
				}
			}
		}
	})
}

// TestActivateKnown checks values that are not computed by this package's own formulas.
func TestActivateKnown(t *testing.T) {
	for _, c := range []struct {
		f       Activation
		x, want float64
	}{
		{GELU, 1, 0.84134474606854293},
		{GELU, -3, -0.0040496940948903014},
		{GELU, -40, 0},
		{GELUTanh, 1, 0.84119199060827673},
		{GELUTanh, -3, -0.0036373920817729943},
		{Tanh, 0.5, 0.46211715726000976},
		{SiLU, 1, 0.73105857863000488},
		{SiLU, -2, -0.23840584404423512},
	} {
		eachLevel(t, func(t *testing.T, k *Kernels) {
			x := []float32{float32(c.x)}
			k.Activate(c.f, x, x)
			if math.Abs(float64(x[0])-c.want) > 5e-7*math.Abs(c.want) {
				t.Errorf("activation %d of %g = %g, want %g", c.f, c.x, x[0], c.want)
			}
		})
	}
}
