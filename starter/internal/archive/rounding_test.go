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
			if err := Write(&b, fstest.MapFS{"model.safetensors": {Data: data}}, []string{"model.safetensors"}, Storage{Matrices: r}); err != nil {
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
					// Half a step is rounded, and as much again in bfloat16; with few bits up to a quarter of the largest is cut off, and with
					// 2 or 3 up to three quarters.
					most := step
					switch {
					case r.Bits <= 3:
						most += largest * 3 / 4
					case r.Bits <= 6:
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
		if err := Write(&b, fstest.MapFS{"m.safetensors": {Data: data}}, []string{"m.safetensors"}, Storage{Matrices: Rounding{Bits: bits, Group: map[int]int{4: 64}[bits]}}); err != nil {
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
		err := Write(new(bytes.Buffer), fstest.MapFS{"m.safetensors": {Data: c.data}}, []string{"m.safetensors"}, Storage{Matrices: c.r})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	segments, err := cut(data, &Storage{Matrices: Rounding{Bits: 4, Group: 8}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range segments {
		if _, err := expand(segments[:i], nil); err == nil {
			t.Fatalf("%d of %d bytes of segments: want an error", i, len(segments))
		}
	}
	if _, err := expand(append(segments, 0), nil); err == nil {
		t.Error("a byte too many: want an error")
	}
}

func FuzzExpand(f *testing.F) {
	data, _, _ := weights(f, "BF16")
	for _, r := range []Rounding{{Bits: 8}, {Bits: 4, Group: 7}} {
		segments, err := cut(data, &Storage{Matrices: r}, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(segments)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := expand(data, nil)
		if err == nil && len(out) > 4*len(data)+4 {
			t.Errorf("%d bytes of segments have %d bytes of weights", len(data), len(out))
		}
	})
}

func FuzzCut(f *testing.F) {
	data, _, _ := weights(f, "F32")
	f.Add(data, 8, 0)
	f.Add(data, 4, 5)
	f.Fuzz(func(t *testing.T, data []byte, bits, group int) {
		r := Rounding{Bits: bits, Group: group}
		if r.check() != nil || bits == 0 {
			return
		}
		segments, err := cut(data, &Storage{Matrices: r}, nil)
		if err != nil {
			return
		}
		out, err := expand(segments, nil)
		if err != nil || len(out) != len(data) {
			t.Errorf("%d bytes come back as %d: %v", len(data), len(out), err)
		}
	})
}

// TestBase: what an archive has in common with its base is not stored, and comes out all the same; a matrix that is close to the base's
// comes out closer to what went in than the base's is.
func TestBase(t *testing.T) {
	for _, dtype := range []string{"BF16", "F32"} {
		data, matrix, rest := weights(t, dtype)
		kind, size := typeNames[dtype], sizes[typeNames[dtype]]
		folder := func(weights []byte) fstest.MapFS {
			return fstest.MapFS{"model.safetensors": {Data: weights}, "vocab.txt": {Data: bytes.Repeat([]byte("word\n"), 10)}}
		}
		names := []string{"model.safetensors", "vocab.txt"}
		var b bytes.Buffer
		if err := Write(&b, folder(data), names, Storage{Matrices: Rounding{Bits: 5}}); err != nil {
			t.Fatal(err)
		}
		base, err := open(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		from, err := base.contents("model.safetensors")
		if err != nil {
			t.Fatal(err)
		}
		// A model that has learnt a little more: the first matrix and the vector differ, the second matrix is the base's.
		r := rand.New(rand.NewPCG(5, 6))
		more := bytes.Clone(from)
		for at := matrix[0]; at < rest[1]; at += size {
			copy(more[at:], appendNumber(nil, number(more[at:], kind)+float32(r.NormFloat64())/16, kind))
		}
		for _, differences := range []Rounding{{}, {Bits: 2, Group: 16}, {Bits: 8}} {
			var b bytes.Buffer
			if err := Write(&b, folder(more), names, Storage{Base: base, Differences: differences}); err != nil {
				t.Fatal(err)
			}
			a, err := Open(bytes.NewReader(b.Bytes()), int64(b.Len()), base)
			if err != nil {
				t.Fatal(err)
			}
			got, err := a.contents("model.safetensors")
			if err != nil || len(got) != len(more) {
				t.Fatalf("%d bytes, want %d: %v", len(got), len(more), err)
			}
			if !bytes.Equal(got[:matrix[0]], more[:matrix[0]]) || !bytes.Equal(got[rest[0]:], more[rest[0]:]) {
				t.Errorf("%s, %+v: the header, the vector or what is the base's has changed", dtype, differences)
			}
			// Two bits lose about a fifth of the squares of differences that are distributed normally, eight bits less than a thousandth,
			// of which bfloat16 is most: numbers of 1 are rounded by 2⁻⁹ at most, and the differences are of 1/16.
			lost, all := 0.0, 0.0
			for at := matrix[0]; at < matrix[1]; at += size {
				v := float64(number(more[at:], kind))
				d, e := float64(number(got[at:], kind))-v, float64(number(from[at:], kind))-v
				lost, all = lost+d*d, all+e*e
			}
			if most := map[int]float64{0: 0, 2: 0.3, 8: 0.004}[differences.Bits]; lost > most*all {
				t.Errorf("%s, %+v: %.4f of the difference is lost, want at most %v", dtype, differences, lost/all, most)
			}
			if words, err := a.contents("vocab.txt"); err != nil || !bytes.Equal(words, folder(nil)["vocab.txt"].Data) {
				t.Errorf("vocab.txt: %q, %v", words, err)
			}
			// Without its base, or with another, it is an error.
			others := pack(t, map[string]string{"model.safetensors": "", "vocab.txt": "another"})
			other, err := open(others)
			if err != nil {
				t.Fatal(err)
			}
			for _, wrong := range []*Reader{nil, other} {
				a, err := Open(bytes.NewReader(b.Bytes()), int64(b.Len()), wrong)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range a.Files() {
					if _, err := f.WriteTo(new(bytes.Buffer)); err == nil {
						t.Errorf("%s came out without its base", f.Name())
					}
				}
			}
		}
	}
	if err := Write(new(bytes.Buffer), fstest.MapFS{}, nil, Storage{Differences: Rounding{Bits: 2}}); err == nil {
		t.Error("differences without a base: want an error")
	}
}

// TestBaseSegments: segments that refer to more than the base has are refused.
func TestBaseSegments(t *testing.T) {
	data, _, _ := weights(t, "BF16")
	other := bytes.Clone(data)
	for i := len(other) - 700; i < len(other); i += 2 {
		other[i] ^= 1
	}
	segments, err := cut(other, &Storage{Differences: Rounding{Bits: 4}}, data)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := expand(segments, data); err != nil || len(out) != len(other) {
		t.Fatalf("%d bytes, %v; want %d", len(out), err, len(other))
	}
	for n := range len(data) {
		if _, err := expand(segments, data[:n]); err == nil {
			t.Fatalf("%d of %d bytes of the base: want an error", n, len(data))
		}
	}
}
