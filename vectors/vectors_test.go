package vectors

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/checkpoint"
)

// npy is the bytes of a file in NumPy's format, version 1.
func npy(header string, data []byte) []byte {
	out := append([]byte(npyMagic), 1, 0)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(header)))
	return append(append(out, header...), data...)
}

// numbers32 is little-endian float32.
func numbers32(values ...float32) (out []byte) {
	for _, v := range values {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
	}
	return out
}

func TestParseNPY(t *testing.T) {
	// np.save of np.array([[1, 2, -3], [4.5, 5, 6]], dtype) by NumPy 2.4.6.
	const header = "{'descr': '%s', 'fortran_order': %s, 'shape': (2, 3), }"
	want := []float64{1, 2, -3, 4.5, 5, 6}
	for name, data := range map[string][]byte{
		"<f4": numbers32(1, 2, -3, 4.5, 5, 6),
		">f4": {0x3f, 0x80, 0, 0, 0x40, 0, 0, 0, 0xc0, 0x40, 0, 0, 0x40, 0x90, 0, 0, 0x40, 0xa0, 0, 0, 0x40, 0xc0, 0, 0},
		"<f2": {0x00, 0x3c, 0x00, 0x40, 0x00, 0xc2, 0x80, 0x44, 0x00, 0x45, 0x00, 0x46},
	} {
		s, err := parseNPY(bytes.NewReader(npy(fmt.Sprintf(header, name, "False"), data)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.Rows != 2 || s.Columns != 3 || !slices.Equal(s.Values, want) {
			t.Errorf("%s: %+v, want %v", name, s, want)
		}
	}
	// In Fortran's order the first column comes first.
	s, err := parseNPY(bytes.NewReader(npy(fmt.Sprintf(header, "<f4", "True"), numbers32(1, 4.5, 2, 5, -3, 6))))
	if err != nil || !slices.Equal(s.Values, want) {
		t.Errorf("in Fortran's order: %+v, %v", s, err)
	}
	whole := map[string][]byte{"|i1": {0xff, 2, 3, 4, 5, 6}, "|u1": {255, 2, 3, 4, 5, 6}, "<i2": {0xff, 0xff, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0}}
	for name, data := range whole {
		first := map[string]float64{"|i1": -1, "|u1": 255, "<i2": -1}[name]
		s, err := parseNPY(bytes.NewReader(npy(fmt.Sprintf(header, name, "False"), data)))
		if err != nil || !slices.Equal(s.Values, []float64{first, 2, 3, 4, 5, 6}) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	for bits, want := range map[uint16]float64{0x0001: 0x1p-24, 0x7bff: 65504, 0x8000: 0, 0x7c00: math.Inf(1), 0xfc00: math.Inf(-1), 0x3555: 0.333251953125} {
		if got := half(bits); got != want {
			t.Errorf("half %#x is %g, want %g", bits, got, want)
		}
	}
	if !math.IsNaN(half(0x7e00)) {
		t.Error("half 0x7e00 is a number")
	}
}

// np.save's own bytes: numpy.save(f, numpy.arange(6, dtype="<f8").reshape(3, 2)), NumPy 2.4.6.
const savedByNumPy = "k05VTVBZAQB2AHsnZGVzY3InOiAnPGY4JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDMsIDIpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAAAAAAAAAAAAAPA/AAAAAAAAAEAAAAAAAAAIQAAAAAAAABBAAAAAAAAAFEA="

func TestReadNPYOfNumPy(t *testing.T) {
	content, err := base64.StdEncoding.DecodeString(savedByNumPy)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.npy")
	if err := os.WriteFile(path, content, 0o666); err != nil {
		t.Fatal(err)
	}
	s, err := Read(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Rows != 3 || s.Columns != 2 || !slices.Equal(s.Values, []float64{0, 1, 2, 3, 4, 5}) || s.Records != nil {
		t.Errorf("%+v", s)
	}
}

func TestParseNPYRefuses(t *testing.T) {
	good := "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }"
	data := numbers32(1, 2)
	shaped := func(shape string) []byte {
		return npy("{'descr': '<f4', 'fortran_order': False, 'shape': "+shape+", }", data)
	}
	for _, c := range []struct {
		want    string
		content []byte
	}{
		{"no array of NumPy", []byte("1,2,3\n4,5,6\n")},
		{"version 9", append([]byte(npyMagic), 9, 0, 0, 0)},
		{"the header is cut off", npy(good, data)[:20]},
		{"4 bytes of data, want 8", npy(good, data[:4])},
		{"more than the 8 bytes", npy(good, append(slices.Clone(data), 0))},
		{"two dimensions", shaped("(2,)")},
		{`elements of type "<c8"`, npy("{'descr': '<c8', 'fortran_order': False, 'shape': (2, 1), }", data)},
		{"want descr, fortran_order", npy("{}", data)},
		{"larger than the address", shaped("(99999999999, 99999999999)")},
		{"larger than the address", shaped("(999999999999999999999999, 1)")},
		{"want 8000000000", shaped("(2000000000, 1)")}, // and no memory for them
	} {
		if _, err := parseNPY(bytes.NewReader(c.content)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadTable(t *testing.T) {
	for name, c := range map[string]struct {
		file, content string
		keep          []string
		values        []float64
		columns       string
	}{
		"header":    {"a.csv", "x,name,y\n1,one,2\n3,two,4e1\n", nil, []float64{1, 2, 3, 40}, "[name] [[one] [two]]"},
		"no header": {"a.tsv", "1\t2\n3\t4\n", nil, []float64{1, 2, 3, 4}, ""},
		"counted":   {"a.csv", "0,1\n1,2\n3,4\n", nil, []float64{1, 2, 3, 4}, ""},
		"pandas":    {"a.csv", ",0,1\n0,1,2\n1,3,4\n", nil, []float64{1, 2, 3, 4}, "[] [[0] [1]]"},
		"kept":      {"a.csv", "x,year,y\n1,1999,2\n3,2000,4\n", []string{"year"}, []float64{1, 2, 3, 4}, "[year] [[1999] [2000]]"},
		"json":      {"a.jsonl", `{"x":1,"word":"one","y":2}` + "\n" + `{"y":4,"word":"two","x":3}`, nil, []float64{1, 2, 3, 4}, "[word] [[one] [two]]"},
	} {
		s, err := Read(t.Context(), write(t, c.file, c.content), Options{Keep: c.keep})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		columns := ""
		if s.Records != nil {
			columns = fmt.Sprint(s.Records.Columns, " ", s.Records.Rows)
		}
		if s.Rows != 2 || s.Columns != 2 || !slices.Equal(s.Values, c.values) || columns != c.columns {
			t.Errorf("%s: %+v, columns %s", name, s, columns)
		}
	}
	for want, content := range map[string]string{
		`a.csv:3: "z" in column "x"`: "x,y\n1,2\nz,3\n",
		"no column of numbers":       "x,y\na,b\n",
		"want 2 as on the first":     "x,y\n1,2,3\n",
		"no records":                 "x,y\n",
		"empty file":                 "",
		"two columns are called":     "x,x\n1,2\n",
	} {
		if _, err := Read(t.Context(), write(t, "a.csv", content), Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := Read(t.Context(), write(t, "a.csv", "x,y\n1,2\n"), Options{Keep: []string{"z"}}); err == nil || !strings.Contains(err.Error(), `no column "z"; the columns are "x", "y"`) {
		t.Errorf("%v", err)
	}
}

func TestReadSafetensors(t *testing.T) {
	tensor := func(name string, shape ...int) checkpoint.Tensor {
		n := 1
		for _, d := range shape {
			n *= d
		}
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(i)
		}
		return checkpoint.Tensor{Name: name, DType: checkpoint.F32, Shape: shape, Data: numbers32(values...)}
	}
	save := func(tensors ...checkpoint.Tensor) string {
		path := filepath.Join(t.TempDir(), "a.safetensors")
		if err := checkpoint.WriteSafetensors(path, tensors, nil); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s, err := Read(t.Context(), save(tensor("bias", 3), tensor("vectors", 2, 3)), Options{})
	if err != nil || s.Rows != 2 || s.Columns != 3 || !slices.Equal(s.Values, []float64{0, 1, 2, 3, 4, 5}) {
		t.Errorf("%+v, %v", s, err)
	}
	two := save(tensor("a", 2, 3), tensor("b", 3, 2))
	if s, err = Read(t.Context(), two, Options{Tensor: "b"}); err != nil || s.Rows != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	for want, read := range map[string]func() (*Set, error){
		"2 tensors of two dimensions": func() (*Set, error) { return Read(t.Context(), two, Options{}) },
		`no tensor "c"`:               func() (*Set, error) { return Read(t.Context(), two, Options{Tensor: "c"}) },
		"no tensor of two dimensions": func() (*Set, error) { return Read(t.Context(), save(tensor("a", 4)), Options{}) },
		"want two dimensions":         func() (*Set, error) { return Read(t.Context(), save(tensor("a", 4)), Options{Tensor: "a"}) },
	} {
		if _, err := read(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// FuzzNPY: whatever the bytes are, there is an array whose numbers are all there, or one line that says what is wrong.
func FuzzNPY(f *testing.F) {
	f.Add(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }", numbers32(1, 2)))
	f.Add(npy("{'descr': '<f2', 'fortran_order': True, 'shape': (2, 2), }", make([]byte, 8)))
	f.Add(npy("{'descr': '|u1', 'fortran_order': True, 'shape': (0, 9), }", nil))
	f.Fuzz(func(t *testing.T, content []byte) {
		s, err := parseNPY(bytes.NewReader(content))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		if len(s.Values) != s.Rows*s.Columns || len(s.Values) > len(content) {
			t.Errorf("%d numbers for [%d,%d] in %d bytes", len(s.Values), s.Rows, s.Columns, len(content))
		}
	})
}
