package checkpoint

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
)

// halves are the two 16-bit formats.
var halves = []struct {
	dtype              DType
	exponent, mantissa int // bits
}{{F16, 5, 10}, {BF16, 8, 7}}

// valueOf computes a finite or infinite value by the definition of a 16-bit binary format (IEEE 754-2008 §3.4).
func valueOf(bits uint16, exponentBits, mantissaBits int) float64 {
	bias := 1<<(exponentBits-1) - 1
	sign := 1 - 2*float64(bits>>15)
	exponent := int(bits&0x7fff) >> mantissaBits
	mantissa := int(bits) & (1<<mantissaBits - 1)
	switch exponent {
	case 0:
		return sign * math.Ldexp(float64(mantissa), 1-bias-mantissaBits)
	case 1<<exponentBits - 1:
		return sign * math.Inf(1)
	}
	return sign * math.Ldexp(float64(mantissa|1<<mantissaBits), exponent-bias-mantissaBits)
}

// TestHalfToFloat32 converts every 16-bit value and back.
func TestHalfToFloat32(t *testing.T) {
	for _, h := range halves {
		all := Tensor{Name: "all", DType: h.dtype, Shape: []int{1 << 16}, Data: make([]byte, 2<<16)}
		for i := range 1 << 16 {
			binary.LittleEndian.PutUint16(all.Data[2*i:], uint16(i))
		}
		values := make([]float32, 1<<16)
		if err := all.Float32(values); err != nil {
			t.Fatal(err)
		}
		back, err := FromFloat32(h.dtype, values)
		if err != nil {
			t.Fatal(err)
		}
		inf := uint16(1<<h.exponent-1) << h.mantissa
		for i, v := range values {
			bits, again := uint16(i), binary.LittleEndian.Uint16(back[2*i:])
			if bits&0x7fff > inf {
				if v == v || again&0x7fff <= inf || again&0x8000 != bits&0x8000 {
					t.Errorf("%v NaN %#04x becomes %g and then %#04x", h.dtype, bits, v, again)
				}
				continue
			}
			want := valueOf(bits, h.exponent, h.mantissa)
			if float64(v) != want || math.Signbit(float64(v)) != math.Signbit(want) {
				t.Errorf("%v %#04x is %g, want %g", h.dtype, bits, v, want)
			}
			if again != bits {
				t.Errorf("%v %#04x comes back as %#04x", h.dtype, bits, again)
			}
		}
	}
}

// TestFloat32ToHalfRounds tries, for any two neighbours, the midpoint, which is a tie, and the float32 values on either side of
// it: every point where the rounding direction changes.
func TestFloat32ToHalfRounds(t *testing.T) {
	for _, h := range halves {
		var src []float32
		var want []uint16
		inf := uint16(1<<h.exponent-1) << h.mantissa
		for below := range inf - 1 {
			low, high := valueOf(below, h.exponent, h.mantissa), valueOf(below+1, h.exponent, h.mantissa)
			tie := float32((low + high) / 2)
			if float64(tie) != (low+high)/2 {
				t.Fatalf("%v: the middle of %g and %g is no float32", h.dtype, low, high)
			}
			even := below + below&1
			for _, sign := range []float32{1, -1} {
				s := uint16(0)
				if sign < 0 {
					s = 0x8000
				}
				src = append(src, sign*math.Nextafter32(tie, 0), sign*tie, sign*math.Nextafter32(tie, math.MaxFloat32))
				want = append(want, s|below, s|even, s|(below+1))
			}
		}
		got, err := FromFloat32(h.dtype, src)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range src {
			if g := binary.LittleEndian.Uint16(got[2*i:]); g != want[i] {
				t.Fatalf("%v: %g (%#08x) becomes %#04x, want %#04x", h.dtype, v, math.Float32bits(v), g, want[i])
			}
		}
	}
}

func TestFloat32ToHalfSpecial(t *testing.T) {
	inf, nan := float32(math.Inf(1)), math.Float32frombits(0x7f800001) // a NaN whose payload is lost in 16 bits
	src := []float32{inf, -inf, nan, -nan, 0, math.Float32frombits(1 << 31), math.SmallestNonzeroFloat32}
	for d, want := range map[DType][]uint16{
		F16:  {0x7c00, 0xfc00, 0x7e00, 0xfe00, 0, 0x8000, 0},
		BF16: {0x7f80, 0xff80, 0x7fc0, 0xffc0, 0, 0x8000, 0},
	} {
		got, err := FromFloat32(d, src)
		if err != nil {
			t.Fatal(err)
		}
		for i := range src {
			if g := binary.LittleEndian.Uint16(got[2*i:]); g != want[i] {
				t.Errorf("%v: %#08x becomes %#04x, want %#04x", d, math.Float32bits(src[i]), g, want[i])
			}
		}
	}
}

func TestFromFloat32Overflow(t *testing.T) {
	// The first value that rounds to infinity: half a unit above the largest finite one.
	for d, first := range map[DType]float32{F16: 65520, BF16: math.Float32frombits(0x7f7f8000)} {
		if _, err := FromFloat32(d, []float32{0, math.Nextafter32(first, 0), -math.Nextafter32(first, 0)}); err != nil {
			t.Errorf("%v: %v", d, err)
		}
		for _, v := range []float32{first, -first, math.MaxFloat32} {
			_, err := FromFloat32(d, []float32{0, v, 0})
			if err == nil || !strings.Contains(err.Error(), "element 1") {
				t.Errorf("%v of %g: error %v, want one that names element 1", d, v, err)
			}
		}
	}
	for _, d := range []DType{I64, Bool, 0, 99} {
		if _, err := FromFloat32(d, []float32{1}); err == nil {
			t.Errorf("float32 values became %v", d)
		}
	}
}

func TestFloat64(t *testing.T) {
	src := []float32{0, float32(math.Copysign(0, -1)), 1.5, math.MaxFloat32, math.SmallestNonzeroFloat32, float32(math.Inf(-1))}
	for _, d := range []DType{F32, F64} {
		data, err := FromFloat32(d, src)
		if err != nil {
			t.Fatal(err)
		}
		x := Tensor{DType: d, Shape: []int{len(src)}, Data: data}
		got := make([]float32, len(src))
		if err := x.Float32(got); err != nil {
			t.Fatal(err)
		}
		for i := range src {
			if math.Float32bits(got[i]) != math.Float32bits(src[i]) {
				t.Errorf("%v: %g comes back as %g", d, src[i], got[i])
			}
		}
	}

	f64 := func(values ...float64) *Tensor {
		x := &Tensor{Name: "x", DType: F64, Shape: []int{len(values)}}
		for _, v := range values {
			x.Data = binary.LittleEndian.AppendUint64(x.Data, math.Float64bits(v))
		}
		return x
	}
	got := make([]float32, 3)
	if err := f64(1+0x1p-24, 1+0x3p-24, math.NaN()).Float32(got); err != nil || got[0] != 1 || got[1] != 1+0x1p-22 || got[2] == got[2] {
		t.Errorf("ties and NaN become %v, %v; want [1 1+2⁻²² NaN]", got, err)
	}
	err := f64(0, -1e39, 0).Float32(got)
	if err == nil || !strings.Contains(err.Error(), `tensor "x": element 1, -1e+39`) {
		t.Errorf("−1e39: error %v", err)
	}
}

// TestBigEndianHost runs the code paths of big-endian machines, which must give the same results on a little-endian one.
func TestBigEndianHost(t *testing.T) {
	defer func(host bool) { littleEndianHost = host }(littleEndianHost)
	littleEndianHost = false
	TestFloat64(t)
	data, err := FromFloat32(F32, []float32{1})
	if err != nil || string(data) != "\x00\x00\x80\x3f" {
		t.Errorf("1 is % x, %v; want little-endian", data, err)
	}
	if _, ok := (&Tensor{DType: F32, Shape: []int{1}, Data: data}).Float32View(); ok {
		t.Error("view on a big-endian machine")
	}
}

func TestFloat32Refuses(t *testing.T) {
	for name, x := range map[string]Tensor{
		"elements, the destination 2": {DType: F32, Shape: []int{3}, Data: make([]byte, 12)},
		"bytes of data":               {DType: F32, Shape: []int{2}, Data: make([]byte, 7)},
		"I64 elements":                {DType: I64, Shape: []int{2}, Data: make([]byte, 16)},
	} {
		x.Name = "x"
		err := x.Float32(make([]float32, 2))
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), `tensor "x"`) {
			t.Errorf("error %v, want one with %q", err, name)
		}
	}
}

func TestFloat32View(t *testing.T) {
	if !littleEndianHost {
		t.Skip("views need a little-endian machine")
	}
	values := []float32{1, -2, 3}
	data, err := FromFloat32(F32, values)
	if err != nil {
		t.Fatal(err)
	}
	view, ok := (&Tensor{DType: F32, Shape: []int{3}, Data: data}).Float32View()
	if !ok || len(view) != 3 || &view[0] != &values[0] {
		t.Errorf("the view %v, %t is not the memory it was made of", view, ok)
	}
	shifted := append(make([]byte, 1, 16), data...)[1:]
	if view, ok := (&Tensor{DType: F32, Shape: []int{3}, Data: shifted}).Float32View(); ok {
		t.Errorf("view %v of unaligned memory", view)
	}
	got := make([]float32, 3)
	if err := (&Tensor{DType: F32, Shape: []int{3}, Data: shifted}).Float32(got); err != nil || got[1] != -2 {
		t.Errorf("unaligned data is read as %v, %v", got, err)
	}
	if view, ok := (&Tensor{DType: F32, Shape: []int{0, 3}}).Float32View(); !ok || len(view) != 0 {
		t.Errorf("view of no elements: %v, %t", view, ok)
	}
	for _, x := range []Tensor{{DType: F16, Shape: []int{2}, Data: data[:4]}, {DType: F32, Shape: []int{2}, Data: data}} {
		if _, ok := x.Float32View(); ok {
			t.Errorf("view of %v with shape %v and %d bytes", x.DType, x.Shape, len(x.Data))
		}
	}
}

// benchmarkElements is a tenth of BERT-base.
const benchmarkElements = 11_000_000

func BenchmarkFloat32(b *testing.B) {
	src := make([]float32, benchmarkElements)
	for i := range src {
		src[i] = float32(math.Sin(float64(i))) * 0.05
	}
	dst := make([]float32, len(src))
	for _, d := range []DType{F16, BF16, F64} {
		data, err := FromFloat32(d, src)
		if err != nil {
			b.Fatal(err)
		}
		x := Tensor{DType: d, Shape: []int{len(src)}, Data: data}
		b.Run("From"+d.String(), func(b *testing.B) {
			b.SetBytes(int64(4 * len(src)))
			for b.Loop() {
				if err := x.Float32(dst); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("To"+d.String(), func(b *testing.B) {
			b.SetBytes(int64(4 * len(src)))
			for b.Loop() {
				if _, err := FromFloat32(d, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
