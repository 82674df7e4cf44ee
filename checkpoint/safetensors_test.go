package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/go-bert/bert/internal/mmap"
)

// build makes a safetensors file from a header, unchanged, and data.
func build(header string, data string) []byte {
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), data...)
}

func writeFile(t testing.TB, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// equalTensors compares tensors by content, in any order.
func equalTensors(a, b []Tensor) error {
	byName := func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) }
	a, b = slices.SortedFunc(slices.Values(a), byName), slices.SortedFunc(slices.Values(b), byName)
	if len(a) != len(b) {
		return fmt.Errorf("%d tensors against %d", len(a), len(b))
	}
	for i, x := range a {
		y := b[i]
		if x.Name != y.Name || x.DType != y.DType || !slices.Equal(x.Shape, y.Shape) {
			return fmt.Errorf("%q %v %v against %q %v %v", x.Name, x.DType, x.Shape, y.Name, y.DType, y.Shape)
		}
		if !bytes.Equal(x.Data, y.Data) {
			return fmt.Errorf("tensor %q differs in its data", x.Name)
		}
	}
	return nil
}

// TestWriteSafetensorsBytes pins the bytes of a file.
func TestWriteSafetensorsBytes(t *testing.T) {
	tensors := []Tensor{
		{Name: "flags", DType: Bool, Shape: []int{3}, Data: []byte{1, 0, 1}},
		{Name: "b.half", DType: F16, Shape: []int{1, 2}, Data: []byte{0, 0x3c, 0, 0xbc}},
		{Name: "none", DType: F32, Shape: []int{0, 4}},
		{Name: "a <\"quoted\"> é", DType: F32, Shape: nil, Data: []byte{0, 0, 0x80, 0x3f}},
	}
	path := filepath.Join(t.TempDir(), "x")
	if err := WriteSafetensors(path, tensors, map[string]string{"format": "pt", "a": "b\n"}); err != nil {
		t.Fatal(err)
	}
	header := `{"__metadata__":{"a":"b\n","format":"pt"},` +
		`"a <\"quoted\"> é":{"dtype":"F32","shape":[],"data_offsets":[0,4]},` +
		`"none":{"dtype":"F32","shape":[0,4],"data_offsets":[4,4]},` +
		`"b.half":{"dtype":"F16","shape":[1,2],"data_offsets":[4,8]},` +
		`"flags":{"dtype":"BOOL","shape":[3],"data_offsets":[8,11]}}`
	header += strings.Repeat(" ", (8-len(header)%8)%8)
	want := build(header, "\x00\x00\x80\x3f"+"\x00\x3c\x00\xbc"+"\x01\x00\x01")
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("wrote %q\nwant  %q", got, want)
	}

	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := equalTensors(f.Tensors(), tensors); err != nil {
		t.Error(err)
	}
	if want := map[string]string{"format": "pt", "a": "b\n"}; !maps.Equal(f.Metadata(), want) {
		t.Errorf("metadata %v, want %v", f.Metadata(), want)
	}
	if x, ok := f.Lookup("b.half"); !ok || x.Name != "b.half" || x.Len() != 2 {
		t.Errorf("Lookup(b.half) = %v, %t", x, ok)
	}
	if x, ok := f.Lookup("b"); ok {
		t.Errorf("Lookup(b) = %v", x)
	}
	for range 2 {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, ok := f.Lookup("b.half"); ok || len(f.Tensors()) != 0 {
		t.Error("there are tensors after Close")
	}
}

// TestOpenHeaders opens unusual files that the format allows.
func TestOpenHeaders(t *testing.T) {
	for name, file := range map[string]struct {
		content []byte
		tensors int
	}{
		"no tensors":                           {build("{}", ""), 0},
		"padding":                              {build("{}\n\t  ", ""), 0},
		"empty metadata":                       {build(`{"__metadata__":{}}`, ""), 0},
		"members in any order":                 {build(`{"x":{"shape":[2],"data_offsets":[0,2],"dtype":"U8"}}`, "ab"), 1},
		"tensors in any order":                 {build(`{"x":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},"y":{"dtype":"I8","shape":[],"data_offsets":[0,1]}}`, "abc"), 2},
		"scalars and nothings":                 {build(`{"x":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"y":{"dtype":"F64","shape":[0],"data_offsets":[1,1]},"z":{"dtype":"F64","shape":[2,0],"data_offsets":[0,0]}}`, "a"), 3},
		"the empty name":                       {build(`{"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, "a"), 1},
		"an index's first byte as the length":  {build("{}"+strings.Repeat(" ", '{'-2), ""), 0},
		"a pickle's first bytes as the length": {build("{}"+strings.Repeat(" ", 0x280-2), ""), 0},
	} {
		f, err := Open(writeFile(t, t.TempDir(), "x", file.content))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if n := len(f.Tensors()); n != file.tensors {
			t.Errorf("%s: %d tensors, want %d", name, n, file.tensors)
		}
		f.Close()
	}
}

// The largest int, and half of it rounded up, which overflows when doubled.
var maxInt, halfInt = strconv.Itoa(math.MaxInt), strconv.Itoa(math.MaxInt/2 + 1)

// badFiles are files that Open refuses, with a part of the expected error.
var badFiles = []struct {
	content []byte
	want    string
}{
	{nil, "the file is empty"},
	{[]byte("{"), "not JSON"},
	{[]byte("abc"), "3 bytes are too few"},
	{[]byte("abcdefgh"), "the header claims 7523094288207667809 bytes, the file has 8: truncated?"},
	{[]byte("Once upon a time"), "not a weight file: it does not begin like any known format"},
	{binary.LittleEndian.AppendUint64(nil, 0), "the header claims 0 bytes"},
	{build("", "{x"), "the header claims 0 bytes"},
	{append(binary.LittleEndian.AppendUint64(nil, 1<<60), "{}"...), "the header claims 1152921504606846976 bytes, the file has 10: truncated?"},
	{append(binary.LittleEndian.AppendUint64(nil, 1<<64-1), "{}"...), "the header claims 18446744073709551615 bytes"},
	{append(binary.LittleEndian.AppendUint64(nil, 3), "{}"...), "the header claims 3 bytes, the file has 10: truncated?"},
	{build(`[1]`, ""), "not a weight file"},
	{build(`{"x":`, ""), "not JSON at byte 5: unexpected EOF"},
	{build(`{x}`, ""), "not JSON"},
	{build(`{}{}`, ""), `"{" after the end of the object`},
	{build(`{} x`, ""), `"x" after the end of the object`},
	{build(`{}}`, ""), `"}" after the end of the object`},
	{build(`{} null`, ""), `"n" after the end of the object`},
	{build("{\"\xff\":1}", ""), "not UTF-8"},
	{build(`{"x":1}`, ""), `tensor "x": 1 where { should be`},
	{build(`{"x":null}`, ""), `tensor "x": null where { should be`},
	{build(`{"x":[]}`, ""), `tensor "x": [ where { should be`},
	{build(`{"__metadata__":[]}`, ""), "__metadata__: [ where { should be"},
	{build(`{"__metadata__":{"a":1}}`, ""), `__metadata__: "a": 1 where a string should be`},
	{build(`{"__metadata__":{"a":"1","a":"2"}}`, ""), `__metadata__: the key "a" appears twice`},
	{build(`{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, "ab"), `the key "x" appears twice`},
	{build(`{"x":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, "a"), `tensor "x": the key "dtype" appears twice`},
	{build(`{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"more":1}}`, "a"), `tensor "x": unknown key "more"`},
	{build(`{"x":{"shape":[1],"data_offsets":[0,1]}}`, "a"), `tensor "x": no dtype`},
	{build(`{"x":{"dtype":"U8","data_offsets":[0,1]}}`, "a"), `tensor "x": no shape`},
	{build(`{"x":{"dtype":"U8","shape":[1]}}`, "a"), `tensor "x": no data_offsets`},
	{build(`{"x":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}`, "a"), `tensor "x": dtype "F8_E4M3" is not supported, want one of BOOL U8 I8 I16 F16 BF16 I32 F32 F64 I64`},
	{build(`{"x":{"dtype":7,"shape":[1],"data_offsets":[0,1]}}`, "a"), `tensor "x": dtype: 7 where a string should be`},
	{build(`{"x":{"dtype":"U8","shape":1,"data_offsets":[0,1]}}`, "a"), `tensor "x": shape: 1 where [ should be`},
	{build(`{"x":{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}}`, "a"), `tensor "x": shape: 1 where a number should be`},
	{build(`{"x":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}`, "a"), `tensor "x": shape: -1 is not a whole number`},
	{build(`{"x":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}`, "a"), `tensor "x": shape: 1.0 is not a whole number`},
	{build(`{"x":{"dtype":"U8","shape":[1e0],"data_offsets":[0,1]}}`, "a"), `tensor "x": shape: 1e0 is not a whole number`},
	{build(`{"x":{"dtype":"U8","shape":[18446744073709551617],"data_offsets":[0,1]}}`, "a"), `tensor "x": shape: 18446744073709551617 is not a whole number`},
	{build(`{"x":{"dtype":"F32","shape":[`+maxInt+`],"data_offsets":[0,4]}}`, "abcd"), `tensor "x": shape [` + maxInt + `] of F32 is larger than the address space`},
	{build(`{"x":{"dtype":"U8","shape":[2,`+halfInt+`],"data_offsets":[0,0]}}`, ""), `tensor "x": shape [2 ` + halfInt + `] of U8 is larger than the address space`},
	{build(`{"x":{"dtype":"F32","shape":[0,`+maxInt+`,2],"data_offsets":[0,0]}}`, ""), `is larger than the address space`},
	{build(`{"x":{"dtype":"U8","shape":[1],"data_offsets":[0]}}`, "a"), `tensor "x": data_offsets: 1 numbers, want 2`},
	{build(`{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}`, "a"), `tensor "x": data_offsets: 3 numbers, want 2`},
	{build(`{"x":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}`, "a"), `tensor "x": data_offsets [1, 0] are not a range`},
	{build(`{"x":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}}`, "a"), `tensor "x": data_offsets: -1 is not a whole number`},
	{build(`{"x":{"dtype":"F32","shape":[2,3],"data_offsets":[0,20]}}`, strings.Repeat("a", 20)), `tensor "x": data_offsets [0, 20] hold 20 bytes, want 24 for F32 with shape [2 3]`},
	{build(`{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, "abc"), `tensor "x": data_offsets [0, 4] go beyond the 3 bytes of data in the file: truncated?`},
	{build(`{"x":{"dtype":"U8","shape":[2],"data_offsets":[`+strconv.Itoa(math.MaxInt-2)+`,`+maxInt+`]}}`, "ab"), `go beyond the 2 bytes of data`},
	{build(`{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"y":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, "abc"), `tensor "y": data_offsets [1, 3] overlap tensor "x", which ends at 2`},
	{build(`{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"y":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, "ab"), `tensor "y": data_offsets [0, 2] overlap tensor "x"`},
	{build(`{"x":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, "abc"), `tensor "x": data_offsets [1, 3] leave a hole after byte 0 of the data`},
	{build(`{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, "abc"), "1 bytes of data after the end of the last tensor"},
	{build(`{}`, "a"), "1 bytes of data after the end of the last tensor"},
	{build(`{"x\u0000y":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, "a"), `tensor "x\x00y": NUL in the name`},

	{[]byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"), "this is a Git LFS pointer, not the data: run git lfs pull"},
	{[]byte("PK\x03\x04" + strings.Repeat("\x00", 26) + "model/data.pkl"), "the archive's directory cannot be read (zip: not a valid zip file): truncated?"},
	{[]byte("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02"), "version: pickle, byte 2: the pickle ends in the middle of an instruction: truncated?"},
	{[]byte("\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00"), "Python pickle: not supported, because torch.save did not write it"},
	{[]byte("\x89HDF\r\n\x1a\n\x00\x00"), "HDF5 file: not supported"},
	{[]byte("\x08\x07\x12\x07pytorch\x1a"), "ONNX model: not a protocol buffer: field 3: unexpected EOF"},

	{[]byte(`{"hidden_size": 128}`), "JSON without a weight_map: not the index of a sharded checkpoint"},
	{[]byte(`{"weight_map": []}`), "index: weight_map: [ where { should be"},
	{[]byte(`{"weight_map": {"x": 1}}`), `index: weight_map: tensor "x": 1 where a file name should be`},
	{[]byte(`{"weight_map": {"x": "a", "x": "a"}}`), `index: weight_map: the key "x" appears twice`},
	{[]byte(`{"weight_map": {}} x`), `index: "x" after the end of the object`},
	{[]byte(`{"metadata": {`), "index: \"metadata\": "},
	{[]byte(`{"a\nb": {`), `index: "a\nb": `},
	{[]byte(`{"weight_map": {"x": "../a"}}`), `tensor "x": shard "../a" is not a file name in the index's folder`},
	{[]byte(`{"weight_map": {"x": ".."}}`), `shard ".." is not a file name`},
	{[]byte(`{"weight_map": {"x": "/etc/passwd"}}`), `shard "/etc/passwd" is not a file name`},
	{[]byte(`{"weight_map": {"x": "sub/a"}}`), `shard "sub/a" is not a file name`},
	{[]byte(`{"weight_map": {"x": "sub\\a"}}`), `shard "sub\\a" is not a file name`},
	{[]byte(`{"weight_map": {"x": ""}}`), `shard "" is not a file name`},
	{[]byte(`{"weight_map": {"x": "a\u0000"}}`), `shard "a\x00" is not a file name`},
	{[]byte(`{"weight_map": {"x": "."}}`), `a folder, want a regular file`},
	{[]byte(`{"weight_map": {"x": "missing"}}`), `shard "missing" is missing`},
}

func TestOpenBadFiles(t *testing.T) {
	for _, bad := range badFiles {
		path := writeFile(t, t.TempDir(), "weights", bad.content)
		f, err := Open(path)
		if err == nil {
			f.Close()
			t.Errorf("%.60q: no error, want %q", bad.content, bad.want)
			continue
		}
		if msg := err.Error(); !strings.Contains(msg, bad.want) || !strings.Contains(msg, filepath.Dir(path)) || strings.Contains(msg, "\n") {
			t.Errorf("%.60q: error %q, want one line with the file and %q", bad.content, msg, bad.want)
		}
	}
}

// TestOpenHeaderLimit opens a sparse file of 100 MB.
func TestOpenHeaderLimit(t *testing.T) {
	path := writeFile(t, t.TempDir(), "weights", append(binary.LittleEndian.AppendUint64(nil, maxHeader+1), '{'))
	if err := os.Truncate(path, maxHeader+100); err != nil {
		t.Skip(err)
	}
	if f, err := Open(path); err == nil || !strings.Contains(err.Error(), "the header claims 100000001 bytes, the format allows at most 100000000") {
		t.Errorf("Open: %v, %v", f, err)
	}
}

func TestOpenNoWeights(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing path: %v", err)
	}
	for _, step := range []struct{ name, content, want string }{
		{"config.json", "{}", "no weights here: no model.safetensors, no pytorch_model.bin, no TensorFlow checkpoint and no ONNX model"},
		{"tf_model.h5", "\x89HDF\r\n\x1a\n\x00\x00", "no weights here (tf_model.h5 is a HDF5 file, which is not supported)"},
	} {
		writeFile(t, dir, step.name, []byte(step.content))
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), dir+": ") || !strings.Contains(err.Error(), step.want) {
			t.Errorf("with %s: error %v, want %q", step.name, err, step.want)
		}
	}
	// In a directory, a broken link is an error, not a reason to take another file.
	if err := os.Symlink("nowhere", filepath.Join(dir, singleName)); err != nil {
		t.Skip(err)
	}
	if _, err := Open(dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), singleName) {
		t.Errorf("a broken link: %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	one := Tensor{Name: "x", DType: U8, Shape: []int{1}, Data: []byte{1}}
	change := func(f func(x *Tensor)) []Tensor {
		x := one
		f(&x)
		return []Tensor{x}
	}
	dir := t.TempDir()
	path := writeFile(t, dir, "model.safetensors", []byte("old"))
	for _, bad := range []struct {
		tensors  []Tensor
		metadata map[string]string
		want     string
	}{
		{[]Tensor{one, one}, nil, `tensor "x" appears twice`},
		{change(func(x *Tensor) { x.Data = nil }), nil, `tensor "x": U8 with shape [1] has 0 bytes of data, want 1`},
		{change(func(x *Tensor) { x.Shape = []int{-1} }), nil, `tensor "x": shape [-1] has a negative dimension`},
		{change(func(x *Tensor) { x.DType = 0 }), nil, `tensor "x": DType(0) is not an element type`},
		{change(func(x *Tensor) { x.DType = 200 }), nil, `tensor "x": DType(200) is not an element type`},
		{change(func(x *Tensor) { x.Name = "__metadata__" }), nil, `tensor "__metadata__": the name is reserved`},
		{change(func(x *Tensor) { x.Name = "\xff" }), nil, `tensor "\xff": the name is not UTF-8`},
		{change(func(x *Tensor) { x.Name = "a\x00" }), nil, `tensor "a\x00": NUL in the name`},
		{nil, map[string]string{"a": "\xff"}, `metadata "a": not UTF-8`},
	} {
		if err := WriteSafetensors(path, bad.tensors, bad.metadata); err == nil || !strings.Contains(err.Error(), path+": "+bad.want) {
			t.Errorf("WriteSafetensors: error %v, want %q", err, bad.want)
		}
		// A second tensor makes two shards.
		two := append(slices.Clone(bad.tensors), Tensor{Name: "y", DType: U8, Shape: []int{2}, Data: []byte{1, 2}}, Tensor{Name: "z", DType: U8, Shape: []int{1}, Data: []byte{1}})
		if err := WriteSharded(dir, "model", two, bad.metadata, 1); err == nil || !strings.Contains(err.Error(), path+": "+bad.want) {
			t.Errorf("WriteSharded: error %v, want %q", err, bad.want)
		}
	}
	for _, base := range []string{"", "..", "a/b", "a\x00"} {
		if err := WriteSharded(dir, base, []Tensor{one}, nil, 1); err == nil || !strings.Contains(err.Error(), "is not a file name") {
			t.Errorf("WriteSharded as %q: %v", base, err)
		}
	}
	if err := WriteSharded(dir, "model", []Tensor{one}, nil, 0); err == nil {
		t.Error("WriteSharded wrote shards of 0 bytes")
	}
	if names := list(t, dir); !slices.Equal(names, []string{"model.safetensors"}) {
		t.Errorf("the folder holds %v", names)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("the old file holds %q, %v", got, err)
	}
}

// list returns the names in a folder.
func list(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// drawTensors draws tensors of all types, including scalars and empty ones.
func drawTensors(t *rapid.T) []Tensor {
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[^\x00]{0,8}`), 0, 8, rapid.ID).Draw(t, "names")
	var tensors []Tensor
	for _, name := range names {
		x := Tensor{Name: name, DType: rapid.SampledFrom([]DType{Bool, U8, I8, I16, F16, BF16, I32, F32, F64, I64}).Draw(t, "dtype")}
		x.Shape = rapid.SliceOfN(rapid.IntRange(0, 4), 0, 3).Draw(t, "shape")
		x.Data = rapid.SliceOfN(rapid.Byte(), x.Len()*x.DType.Size(), x.Len()*x.DType.Size()).Draw(t, "data")
		tensors = append(tensors, x)
	}
	return tensors
}

// TestRoundTrip writes and reads random tensors, as one file and in shards, mapped and unmapped.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		tensors := drawTensors(r)
		metadata := rapid.MapOfN(rapid.StringMatching(`.{0,5}`), rapid.StringMatching(`.{0,5}`), 0, 3).Draw(r, "metadata")
		dir := filepath.Join(t.TempDir(), "whole")
		if err := os.MkdirAll(dir, 0o777); err != nil {
			r.Fatal(err)
		}
		path := filepath.Join(dir, "model.safetensors")
		if err := WriteSafetensors(path, tensors, metadata); err != nil {
			r.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			r.Fatal(err)
		}
		for name, load := range map[string]loader{"mapped": mmap.Map, "read": mmap.Read} {
			f, err := open(dir, load)
			if err != nil {
				r.Fatal(err)
			}
			if err := equalTensors(f.Tensors(), tensors); err != nil {
				r.Errorf("%s: %v", name, err)
			}
			if !maps.Equal(f.Metadata(), metadata) {
				r.Errorf("%s: metadata %q, want %q", name, f.Metadata(), metadata)
			}
			for _, x := range f.Tensors() {
				if view, ok := x.Float32View(); x.DType == F32 && littleEndianHost && (!ok || len(view) != x.Len()) {
					r.Errorf("%s: no view of tensor %q", name, x.Name)
				}
			}
			f.Close()
		}
		slices.Reverse(tensors)
		if err := WriteSafetensors(path, tensors, metadata); err != nil {
			r.Fatal(err)
		}
		if again, err := os.ReadFile(path); err != nil || !bytes.Equal(content, again) {
			r.Errorf("the order of the tensors changes the bytes (%v)", err)
		}

		limit := rapid.Int64Range(1, 300).Draw(r, "maxShardBytes")
		if err := WriteSharded(dir, "model", tensors, metadata, limit); err != nil {
			r.Fatal(err)
		}
		f, err := Open(dir)
		if err != nil {
			r.Fatal(err)
		}
		defer f.Close()
		if err := equalTensors(f.Tensors(), tensors); err != nil {
			r.Errorf("sharded: %v", err)
		}
		if !slices.IsSortedFunc(f.Tensors(), func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) }) {
			r.Error("sharded: the tensors are not sorted")
		}
		if !maps.Equal(f.Metadata(), metadata) {
			r.Errorf("sharded: metadata %q, want %q", f.Metadata(), metadata)
		}
	})
}

func TestDTypes(t *testing.T) {
	for d := Bool; d.valid(); d++ {
		if got, ok := parseDType(d.String()); !ok || got != d || d.Size() == 0 {
			t.Errorf("%v of %d bytes is read as %v, %t", d, d.Size(), got, ok)
		}
	}
	if none := DType(0); none.Size() != 0 || none.String() != "DType(0)" {
		t.Errorf("DType 0 is %v of %d bytes", none, none.Size())
	}
}

// FuzzOpen feeds arbitrary bytes to the parsers of safetensors and of indexes. Accepted tensors must fill the file without gaps,
// and be the same when written and read again.
func FuzzOpen(f *testing.F) {
	addHostile(f)
	for _, bad := range badFiles {
		f.Add(bad.content)
	}
	f.Add(build(`{"__metadata__":{"a":"b"},"x":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"y":{"dtype":"BOOL","shape":[],"data_offsets":[8,9]}}`, "12345678\x01"))
	f.Add([]byte(`{"metadata": {"total_size": 3}, "weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) == 0 || len(file) > 1<<16 {
			return
		}
		if isIndex(file) {
			shardOf, err := parseIndex(file)
			for name, shard := range shardOf {
				if err == nil && filepath.Base(shard) != shard {
					t.Errorf("tensor %q has shard %q", name, shard)
				}
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		tensors, metadata, err := parseSafetensors(file)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		sum := 0
		for _, x := range tensors {
			if len(x.Data) != x.Len()*x.DType.Size() {
				t.Errorf("tensor %q: %v with shape %v has %d bytes", x.Name, x.DType, x.Shape, len(x.Data))
			}
			sum += len(x.Data)
		}
		if n := binary.LittleEndian.Uint64(file); uint64(sum)+n+8 != uint64(len(file)) {
			t.Errorf("the tensors have %d bytes, the header %d, the file %d", sum, n, len(file))
		}
		sorted, header, err := encodeHeader(tensors, metadata)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range sorted {
			header = append(header, x.Data...)
		}
		again, metadataAgain, err := parseSafetensors(header)
		if err != nil {
			t.Fatal(err)
		}
		if err := equalTensors(tensors, again); err != nil {
			t.Error(err)
		}
		if !reflect.DeepEqual(metadata, metadataAgain) {
			t.Errorf("metadata %q comes back as %q", metadata, metadataAgain)
		}
	})
}

// Tensors that are written piece by piece give the same file; too many bytes, too few and errors leave none.
func TestWriteSafetensorsFrom(t *testing.T) {
	dir := t.TempDir()
	whole, pieces := filepath.Join(dir, "whole"), filepath.Join(dir, "pieces")
	tensors := []Tensor{
		{Name: "b", DType: F32, Shape: []int{3}, Data: []byte("abcdefghijkl")}, {Name: "a", DType: F32, Shape: []int{1}, Data: []byte("1234")},
		{Name: "c", DType: U8, Shape: []int{0}}, {Name: "d", DType: U8, Shape: []int{2}, Data: []byte("xy")},
	}
	metadata := map[string]string{"k": "v"}
	if err := WriteSafetensors(whole, tensors, metadata); err != nil {
		t.Fatal(err)
	}
	var without []Tensor
	for _, tensor := range tensors {
		tensor.Data = nil
		without = append(without, tensor)
	}
	order := ""
	if err := WriteSafetensorsFrom(pieces, without, metadata, func(i int, w io.Writer) error {
		order += tensors[i].Name
		for _, b := range tensors[i].Data {
			if _, err := w.Write([]byte{b}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(pieces)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := os.ReadFile(whole); err != nil || !bytes.Equal(got, want) || order != "abcd" {
		t.Errorf("%q in the order %s, want %q", got, order, want)
	}
	lost := errors.New("lost")
	for want, write := range map[string]func(w io.Writer) error{
		`tensor "a": 3 bytes of data, want 4`: func(w io.Writer) error { _, err := w.Write(make([]byte, 3)); return err },
		`tensor "a": 5 bytes of data, want 4`: func(w io.Writer) error { _, err := w.Write(make([]byte, 5)); return err },
		"lost":                                func(io.Writer) error { return lost },
	} {
		path := filepath.Join(dir, "broken")
		if err := WriteSafetensorsFrom(path, without, nil, func(_ int, w io.Writer) error { return write(w) }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: there is a file", want)
		}
	}
}
