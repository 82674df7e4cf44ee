package serve

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"
)

// from16 is the value of a binary16 number.
func from16(h uint16) float64 {
	sign := 1.0
	if h&0x8000 != 0 {
		sign = -1
	}
	e, f := int(h>>10&31), float64(h&1023)
	switch e {
	case 0:
		return sign * math.Ldexp(f, -24)
	case 31:
		if f != 0 {
			return math.NaN()
		}
		return sign * math.Inf(1)
	}
	return sign * math.Ldexp(1024+f, e-25)
}

// Each number is rounded to the nearest of all that there are, of two to the even one.
func TestFloat16(t *testing.T) {
	for h := range uint32(0x7C00) {
		x, next := from16(uint16(h)), from16(uint16(h+1))
		if got := float16(float32(x)); got != uint16(h) {
			t.Fatalf("%g becomes %#x, want %#x", x, got, h)
		}
		if got := float16(float32(-x)); got != uint16(h)|0x8000 {
			t.Fatalf("%g becomes %#x, want %#x", -x, got, h|0x8000)
		}
		if h == 0x7BFF {
			next = 65536
		}
		middle := float32((x + next) / 2) // exactly
		even := uint16(h + h&1)
		below, above := math.Nextafter32(middle, 0), math.Nextafter32(middle, float32(math.Inf(1)))
		if a, b, c := float16(below), float16(middle), float16(above); a != uint16(h) || b != even || c != uint16(h+1) {
			t.Fatalf("around %g: %#x, %#x, %#x, want %#x, %#x, %#x", middle, a, b, c, h, even, h+1)
		}
	}
	if got := float16(float32(math.Inf(-1))); got != 0xFC00 {
		t.Errorf("-Inf becomes %#x", got)
	}
	if !math.IsNaN(from16(float16(float32(math.NaN())))) {
		t.Error("NaN becomes a number")
	}
}

func TestVectorFormats(t *testing.T) {
	v := []float32{0.5, -1, 0, 0.25, 0.1, -0.1, 1, 0.3, 0.7}
	f, err := parseVectorFormat("int8")
	if err != nil {
		t.Fatal(err)
	}
	b := f.append(nil, v)
	scale := math.Float32frombits(binary.LittleEndian.Uint32(b))
	for i, x := range v {
		if got := scale * float32(int8(b[4+i])); math.Abs(float64(got-x)) > float64(scale)/2+1e-6 {
			t.Errorf("%g becomes %g", x, got)
		}
	}
	if b := f.append(nil, []float32{0, 0}); string(b) != "\x00\x00\x00\x00\x00\x00" {
		t.Errorf("zeros become %x", b)
	}
	f, _ = parseVectorFormat("binary")
	if b := f.append(nil, v); string(b) != "\x9b\x80" {
		t.Errorf("bits %x, want 9b80", b)
	}
}

// What is appended is what encoding/json reads, and writes of numbers.
func TestJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s") + rapid.SampledFrom([]string{"", "\xff", "\u2028", "\x00\"\\\n\r\t\x7f"}).Draw(t, "end")
		var back string
		if err := json.Unmarshal(appendString(nil, s), &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") {
			t.Fatalf("%q is written as %s, read as %q: %v", s, appendString(nil, s), back, err)
		}
		x := math.Float32frombits(rapid.Uint32().Draw(t, "x"))
		if x != x || math.IsInf(float64(x), 0) {
			x = 0
		}
		want, _ := json.Marshal(x)
		if got := appendFloat32(nil, x); string(got) != string(want) {
			t.Fatalf("%s, want %s", got, want)
		}
		y := rapid.Float64().Draw(t, "y")
		want, _ = json.Marshal(y)
		if got := appendFloat64(nil, y); string(got) != string(want) {
			t.Fatalf("%s, want %s", got, want)
		}
	})
}

func TestOffsets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 20, -1).Draw(t, "text") + "é🎬a"
		points, units := newOffsets(text, CodePoints), newOffsets(text, UTF16)
		for i := range text {
			if got, want := points.at(i), len([]rune(text[:i])); got != want {
				t.Fatalf("byte %d of %q is code point %d, want %d", i, text, got, want)
			}
			if got, want := units.at(i), len(utf16.Encode([]rune(text[:i]))); got != want {
				t.Fatalf("byte %d of %q is unit %d, want %d", i, text, got, want)
			}
		}
		if got := points.at(0); got != 0 {
			t.Fatalf("back at byte 0: %d", got)
		}
	})
}
