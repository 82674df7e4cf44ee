package bfloat16

import (
	"math"
	"testing"
)

// TestBits holds numbers to the nearest of their two neighbours, computed in float64; halfway, the even one.
func TestBits(t *testing.T) {
	for i := range uint32(1 << 20) {
		bits := i * 4099 // all exponents, many mantissas
		x := math.Float32frombits(bits)
		got := Float(Bits(x))
		if x != x {
			if got == got || Bits(x)&0x40 == 0 {
				t.Fatalf("%#x became %#x, want a quiet NaN", bits, Bits(x))
			}
			continue
		}
		low := Float(uint16(bits >> 16))
		high := Float(uint16(bits>>16) + 1) // away from zero
		if math.IsInf(float64(high), 0) || math.IsInf(float64(x), 0) {
			continue
		}
		below, above := math.Abs(float64(x)-float64(low)), math.Abs(float64(high)-float64(x))
		want := low
		if above < below || above == below && bits>>16&1 == 1 {
			want = high
		}
		if math.Float32bits(got) != math.Float32bits(want) {
			t.Fatalf("%#x became %v, want %v", bits, got, want)
		}
	}
	if !math.IsInf(float64(Float(Bits(math.MaxFloat32))), 1) || Bits(float32(math.Inf(-1))) != 0xff80 {
		t.Error("the largest number, or an infinity, is not infinite")
	}
}
