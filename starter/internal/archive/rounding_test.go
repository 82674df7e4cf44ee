package archive

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"
)

// weights makes a safetensors file of a type, with a matrix, a vector and a table of few values.
func weights(t testing.TB, dtype string) (data []byte, matrix, rest [2]int) {
	t.Helper()
	kind, size := typeNames[dtype], sizes[typeNames[dtype]]
	r := rand.New(rand.NewPCG(1, 2))
	var body []byte
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	for _, tensor := range []struct {
		name  string
		shape []int
	}{{"a.weight", []int{7, 50}}, {"a.bias", []int{50}}, {"b.weight", []int{2, 3}}} {
		n := 1
		for _, d := range tensor.shape {
			n *= d
		}
		from := len(body)
		for i := range n {
			v := float32(r.NormFloat64())
			if tensor.name == "b.weight" && i < 3 {
				v = 0 // a row of zeros
			}
			body = appendNumber(body, v, kind)
		}
		header[tensor.name] = tensorHeader{dtype, tensor.shape, [2]int{from, len(body)}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	data = append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	begin := len(data)
	return append(data, body...), [2]int{begin, begin + 350*size}, [2]int{begin + 350*size, begin + 400*size}
}

// TestRounding: what comes out of an archive is within half a step of what went in, and what is no matrix has its bits.
func TestRounding(t *testing.T) {
	for _, dtype := range []string{"BF16", "F32"} {
		data, matrix, rest := weights(t, dtype)
		kind, size := typeNames[dtype], sizes[typeNames[dtype]]
		lost := math.Inf(1)
		for _, r := range []Rounding{{Bits: 3, Group: 16}, {Bits: 4, Group: 16}, {Bits: 8}} {
			var b bytes.Buffer
			if err := Write(&b, fstest.MapFS{"model.safetensors": {Data: data}}, []string{"model.safetensors"}, r); err != nil {
				t.Fatal(err)
			}
			a, err := open(b.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if _, err := a.Files()[0].WriteTo(&out); err != nil || out.Len() != len(data) {
				t.Fatalf("%d bytes, want %d: %v", out.Len(), len(data), err)
			}
			got := out.Bytes()
			if !bytes.Equal(got[:matrix[0]], data[:matrix[0]]) || !bytes.Equal(got[rest[0]:rest[1]], data[rest[0]:rest[1]]) {
				t.Errorf("%s, %+v: the header or the vector has changed", dtype, r)
			}
			sum := 0.0
			for row := range 7 {
				largest := 0.0
				for i := range 50 {
					largest = max(largest, math.Abs(float64(number(data[matrix[0]+(row*50+i)*size:], kind))))
				}
				step := largest / float64(int(1)<<(r.Bits-1)-1)
				for i := range 50 {
					at := matrix[0] + (row*50+i)*size
					d := math.Abs(float64(number(got[at:], kind)) - float64(number(data[at:], kind)))
					// Half a step is rounded, and as much again in bfloat16; with few bits up to a quarter of the largest is cut off.
					most := step
					if r.Bits <= 6 {
						most += largest / 4
					}
					if d > most {
						t.Errorf("%s, %+v: a number is off by %g, steps are of %g", dtype, r, d, step)
					}
					sum += d * d
				}
			}
			if sum >= lost {
				t.Errorf("%s, %+v: an error of %g, with fewer bits %g", dtype, r, sum, lost)
			}
			lost = sum
		}
	}
}

// TestRoundingSize: integers take about their bits.
func TestRoundingSize(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const rows, columns = 128, 256
	var body []byte
	for range rows * columns {
		body = appendNumber(body, float32(r.NormFloat64()), bfloat16)
	}
	text := fmt.Sprintf(`{"w":{"dtype":"BF16","shape":[%d,%d],"data_offsets":[0,%d]}}`, rows, columns, len(body))
	data := append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), body...)
	for bits, most := range map[int]float64{0: 12, 8: 7.8, 4: 4.4} {
		var b bytes.Buffer
		if err := Write(&b, fstest.MapFS{"m.safetensors": {Data: data}}, []string{"m.safetensors"}, Rounding{Bits: bits, Group: map[int]int{4: 64}[bits]}); err != nil {
			t.Fatal(err)
		}
		if got := float64(b.Len()*8) / (rows * columns); got > most {
			t.Errorf("%d bits: %.2f bits a number in the archive, want at most %v", bits, got, most)
		}
	}
}

// TestRoundingRefuses: options and files that can't be, and damage to the segments.
func TestRoundingRefuses(t *testing.T) {
	data, _, _ := weights(t, "BF16")
	for want, c := range map[string]struct {
		data []byte
		r    Rounding
	}{
		"integers of 9 bits":           {data, Rounding{Bits: 9}},
		"groups of -1 numbers":         {data, Rounding{Bits: 8, Group: -1}},
		"it has no header":             {data[:5], Rounding{Bits: 8}},
		"is longer than the file":      {data[:20], Rounding{Bits: 8}},
		"no safetensors file: invalid": {[]byte("\x02\x00\x00\x00\x00\x00\x00\x00{x"), Rounding{Bits: 8}},
		"data_offsets":                 {data[:len(data)-4], Rounding{Bits: 8}},
	} {
		err := Write(new(bytes.Buffer), fstest.MapFS{"m.safetensors": {Data: c.data}}, []string{"m.safetensors"}, c.r)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	segments, err := round(data, Rounding{Bits: 4, Group: 8})
	if err != nil {
		t.Fatal(err)
	}
	for i := range segments {
		if _, err := expand(segments[:i]); err == nil {
			t.Fatalf("%d of %d bytes of segments: want an error", i, len(segments))
		}
	}
	if _, err := expand(append(segments, 0)); err == nil {
		t.Error("a byte too many: want an error")
	}
}

func FuzzExpand(f *testing.F) {
	data, _, _ := weights(f, "BF16")
	for _, r := range []Rounding{{Bits: 8}, {Bits: 4, Group: 7}} {
		segments, err := round(data, r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(segments)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := expand(data)
		if err == nil && len(out) > 4*len(data)+4 {
			t.Errorf("%d bytes of segments have %d bytes of weights", len(data), len(out))
		}
	})
}

func FuzzRound(f *testing.F) {
	data, _, _ := weights(f, "F32")
	f.Add(data, 8, 0)
	f.Add(data, 4, 5)
	f.Fuzz(func(t *testing.T, data []byte, bits, group int) {
		r := Rounding{Bits: bits, Group: group}
		if r.check() != nil || bits == 0 {
			return
		}
		segments, err := round(data, r)
		if err != nil {
			return
		}
		out, err := expand(segments)
		if err != nil || len(out) != len(data) {
			t.Errorf("%d bytes come back as %d: %v", len(data), len(out), err)
		}
	})
}
