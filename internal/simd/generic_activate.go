package simd

import "math"

func activateGeneric(f Activation, dst, x []float32) {
	dst = dst[:length(len(x), len(dst))]
	switch f {
	case Identity:
		copy(dst, x)
	case ReLU:
		for i, v := range x {
			dst[i] = max(v, 0)
		}
	case GELU:
		for i, v := range x {
			dst[i] = gelu(v)
		}
	case GELUTanh:
		for i, v := range x {
			dst[i] = timesSigmoid(v, geluTanhLogit(float64(v)))
		}
	case SiLU:
		for i, v := range x {
			dst[i] = timesSigmoid(v, float64(v))
		}
	case Tanh:
		for i, v := range x {
			dst[i] = float32(math.Tanh(float64(v)))
		}
	default:
		panic("simd: unknown activation")
	}
}

// activatedAtOnce is how many elements are between an activation and its rounding where these are two passes.
const activatedAtOnce = 256

func activateRoundGeneric(f Activation, dst []uint32, x []float32) {
	length(words(len(x)), len(dst))
	var part [activatedAtOnce]float32
	for len(x) > 0 {
		n := min(len(part), len(x))
		activateGeneric(f, part[:n], x[:n])
		roundRowGeneric(dst[:words(n)], part[:n])
		dst, x = dst[words(n):], x[n:]
	}
}

func activateBackwardGeneric(f Activation, dx, dy, x []float32) {
	n := length(len(x), len(dx), len(dy))
	dx, dy = dx[:n], dy[:n]
	switch f {
	case Identity:
		copy(dx, dy)
	case ReLU:
		for i, v := range x {
			if v <= 0 {
				dx[i] = 0
			} else {
				dx[i] = dy[i]
			}
		}
	case GELU:
		for i, v := range x {
			dx[i] = float32(float64(dy[i]) * geluSlope(v))
		}
	case GELUTanh:
		for i, v := range x {
			t := saturate(v)
			slope := 2 * sqrt2OverPi * (1 + 3*geluTanhCubic*t*t)
			dx[i] = float32(float64(dy[i]) * sigmoidSlope(t, geluTanhLogit(t), slope))
		}
	case SiLU:
		for i, v := range x {
			t := saturate(v)
			dx[i] = float32(float64(dy[i]) * sigmoidSlope(t, t, 1))
		}
	case Tanh:
		for i, v := range x {
			c := math.Cosh(float64(v))
			dx[i] = float32(float64(dy[i]) / (c * c))
		}
	default:
		panic("simd: unknown activation")
	}
}

const (
	geluTanhCubic = 0.044715
	sqrt2OverPi   = 0.7978845608028654 // √(2/π)
)

// saturated is a magnitude beyond which every activation and slope here has reached its limit in float32, but its square
// and cube are still finite.
const saturated = 1000

// saturate takes away the infinities, whose product with a zero would be NaN. A NaN stays.
func saturate(x float32) float64 { return min(max(float64(x), -saturated), saturated) }

func gelu(x float32) float32 {
	if x < -saturated {
		return 0
	}
	return float32(0.5 * float64(x) * math.Erfc(-float64(x)/math.Sqrt2))
}

// geluSlope is Φ(x) + x·φ(x).
func geluSlope(x float32) float64 {
	t := saturate(x)
	return 0.5*math.Erfc(-t/math.Sqrt2) + t*math.Exp(-0.5*t*t)/math.Sqrt(2*math.Pi)
}

// geluTanhLogit is v with ½(1+tanh(v/2)) = sigmoid(v).
func geluTanhLogit(x float64) float64 { return 2 * sqrt2OverPi * (x + geluTanhCubic*x*x*x) }

// timesSigmoid is x·sigmoid(v), where v has the sign of x.
func timesSigmoid(x float32, v float64) float32 {
	if x < -saturated {
		return 0
	}
	return float32(float64(x) / (1 + math.Exp(-v)))
}

// sigmoidSlope is the derivative of x·sigmoid(v(x)), where slope is v'(x).
func sigmoidSlope(x, v, slope float64) float64 {
	e := math.Exp(-math.Abs(v))
	r := 1 / (1 + e)
	s := r
	if v < 0 {
		s = e * r
	}
	return s + x*slope*e*r*r
}
