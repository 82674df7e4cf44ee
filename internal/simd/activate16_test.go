package simd

import (
	"math"
	"testing"
)

// coarseError bounds the relative error of an activation that is rounded in the same pass, as far as it is a normal number: that of
// log₂ Φ (1.1e-4), of 2^t (1.0e-4) and of float32.
const coarseError = 2.4e-4

// units16 is the distance of the bfloat16 number whose bits are half from want, in units in the last place of want as a bfloat16
// number.
func units16(half uint32, want float64) float64 {
	_, exponent := math.Frexp(want)
	return math.Abs(float64(math.Float32frombits(half<<16))-want) / math.Ldexp(1, exponent-8)
}

// TestActivateRoundAccuracy checks the words of activations over all of float32: where the value is a normal number, they are within
// half a unit in the last place and the value's error, at most 2^8 units of which are 1, of the true one.
func TestActivateRoundAccuracy(t *testing.T) {
	x := everyExponent()
	for i := range 1600 { // of a table the pieces are between these
		x = append(x, float32(i)/100, -float32(i)/100)
	}
	x = x[:len(x)/2*2]
	eachLevel(t, func(t *testing.T, k *Kernels) {
		got := make([]uint32, len(x)/2)
		for _, c := range curves {
			k.ActivateRound(c.f, got, x)
			worst := 0.0
			for i, v := range x {
				half := got[i/2] >> (16 * (i % 2)) & 0xffff
				want := c.value(float64(v))
				bound := 0.5
				switch c.f {
				case Identity, ReLU:
				case GELU:
					bound += coarseError * 0x1p8
				case GELUTanh: // which is coarse at some levels
					bound += max(coarseError*0x1p8, c.valueULPs(float64(v))*0x1p-15)
				default:
					bound += c.valueULPs(float64(v)) * 0x1p-15
				}
				nearest := nearest16(float32(want))
				switch size := math.Abs(want); {
				case want != want:
					if half&0x7fc0 != 0x7fc0 {
						t.Errorf("%s(%g) became %#04x, which is not a quiet NaN", c.name, v, half)
					}
				case size == 0: // of either sign
					if half&0x7fff != 0 {
						t.Errorf("%s(%g) became %#04x, want zero", c.name, v, half)
					}
				case nearest&0x7fff == 0x7f80:
					if half != nearest {
						t.Errorf("%s(%g) became %#04x, want %#04x", c.name, v, half, nearest)
					}
				case size < 0x1p-126*(1+coarseError): // zero for some
					if e := math.Abs(float64(math.Float32frombits(half<<16)) - want); e > 0x1p-126*(1+coarseError) {
						t.Errorf("%s(%g) became %#04x, want %g", c.name, v, half, want)
					}
				default:
					e := units16(half, want)
					worst = max(worst, e)
					if !(e <= bound) {
						t.Errorf("%s(%g) became %#04x, want %g: %.3f units in the last place, allowed are %.3f", c.name, v, half, want, e, bound)
					}
				}
			}
			t.Logf("%s: at most %.4f units in the last place", c.name, worst)
		}
	})
}

// TestActivateRoundRows checks rows of every length by the elements alone, between protected pages.
func TestActivateRoundRows(t *testing.T) {
	const longest = 1000
	x := normals(newRand(), longest)
	for i := range x {
		x[i] *= 3
	}
	eachLevel(t, func(t *testing.T, k *Kernels) {
		src, dst := newBuffer(t, longest), newBuffer(t, longest/2)
		for _, c := range curves {
			alone := make([]uint32, longest)
			for i := range x {
				k.ActivateRound(c.f, alone[i:i+1], x[i:i+1])
			}
			for _, n := range rowLengths() {
				where := place(n % int(places))
				got := asWords(dst.put(normals(newRand(), words(n)), where))
				k.ActivateRound(c.f, got, src.put(x[:n], where))
				for p, w := range got {
					want := alone[2*p]
					if 2*p+1 < n {
						want |= alone[2*p+1] << 16
					}
					if w != want {
						t.Fatalf("%s, n=%d: word %d is %#08x, want %#08x as of its elements alone", c.name, n, p, w, want)
					}
				}
				if !src.intact() || !dst.intact() {
					t.Fatalf("%s, n=%d: wrote outside its operands", c.name, n)
				}
			}
		}
	})
}
