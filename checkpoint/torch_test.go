package checkpoint

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// program makes a pickle: a byte is an instruction; strings and numbers are pushed, ints as a tuple; a global is pushed by its
// name; bytes are copied.
func program(parts ...any) []byte {
	var p pickler
	for _, part := range parts {
		switch v := part.(type) {
		case int:
			p.op(byte(v))
		case rune:
			p.op(byte(v))
		case int64:
			p.int(int(v))
		case string:
			p.text(v)
		case global:
			p.global(v)
		case []int:
			p.ints(v)
		case []byte:
			p.op(v...)
		default:
			panic(fmt.Sprintf("%T", v))
		}
	}
	return append([]byte{opProto, 2}, append(p.buf, opStop)...)
}

// storageOf pushes a storage with four U8 elements and the key "0".
var storageOf = []any{opMark, "storage", global("torch.ByteStorage"), "0", "cpu", int64(4), opTuple, opBinPersID}

// tensorOf pushes a tensor of that storage.
func tensorOf(offset int64, shape, strides []int) []any {
	return slices.Concat([]any{global("torch._utils._rebuild_tensor_v2"), opMark}, storageOf,
		[]any{offset, shape, strides, opNewFalse, global("collections.OrderedDict"), opEmptyTuple, opReduce, opTuple, opReduce})
}

// state pickles a dict with one value.
func state(value ...any) []byte {
	return program(slices.Concat([]any{opEmptyDict, "x"}, value, []any{opSetItem})...)
}

// archive makes an archive from records, given as names and contents.
func archive(t testing.TB, method uint16, records ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(records); i += 2 {
		w, err := z.CreateHeader(&zip.FileHeader{Name: records[i], Method: method})
		if err == nil {
			_, err = io.WriteString(w, records[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// legacy makes a file as before PyTorch 1.6: a state, the keys of its storages, and the bytes that follow.
func legacy(state, keys []byte, data string) []byte {
	return slices.Concat([]byte(legacyMagic), program(int64(legacyVersion)),
		program(opEmptyDict, "little_endian", opNewTrue, opSetItem), state, keys, []byte(data))
}

var (
	goodState = state(tensorOf(0, []int{2, 2}, []int{2, 1})...)
	goodKeys  = program(opEmptyList, "0", opAppend)
	goodData  = "\x04\x00\x00\x00\x00\x00\x00\x00data"
)

// badPrograms are pickles that Open refuses, with a part of the expected error.
var badPrograms = []struct {
	name    string
	program []byte
	want    string
}{
	// Dangerous calls.
	{"os.system", state(global("os.system"), "echo", opTuple1, opReduce), `byte 9: it names "os.system", which is not a tensor, storage or container: refused, and nothing was run`},
	{"posix.system", state(global("posix.system"), "echo", opTuple1, opReduce), `it names "posix.system"`},
	{"builtins.eval", state(global("builtins.eval"), "1", opTuple1, opReduce), `it names "builtins.eval"`},
	{"by a name on the stack", state("builtins", "exec", opStackGlobal), `it names "builtins.exec"`},
	{"a module's attribute", state(global("torch.nn.modules.linear.Linear"), opEmptyTuple, opNewObj), `it names "torch.nn.modules.linear.Linear"`},
	{"torch.load", state(global("torch.load"), "x", opTuple1, opReduce), `it names "torch.load"`},
	{"a known class called", state(global("torch.FloatStorage"), opEmptyTuple, opReduce), "torch.FloatStorage is called: refused"},
	{"a constant called", state(global("torch.float32"), opEmptyTuple, opReduce), "torch.float32 is called: refused"},
	{"a text called", state("x", opEmptyTuple, opReduce), "a str is called"},
	{"attributes of a tensor", state(slices.Concat(tensorOf(0, []int{4}, []int{1}), []any{opEmptyDict, opBuild})...), "a tensor where a dict should be"},
	{"an instance", state(opMark, []byte("iposix\nsystem\n")), `instruction 0x69 ('i') is not supported`},
	{"an extension", state([]byte("\x82\x01")), "instruction 0x82"},

	// Broken programs.
	{"an endless text", state([]byte("X\xff\xff\xff\xff")), "the pickle ends in the middle of an instruction: truncated?"},
	{"an endless text of 64 bits", state([]byte("\x8d\xff\xff\xff\xff\xff\xff\xff\xff")), "the pickle ends in the middle of an instruction: truncated?"},
	{"an endless name", state([]byte("cposix")), "the pickle ends in the middle of an instruction: truncated?"},
	{"another protocol", append([]byte{opProto, 6}, goodState...), "protocol 6, want at most 5"},
	{"an empty stack", program(opTuple1), "the stack is empty"},
	{"no mark", program(opTuple), "no mark on the stack"},
	{"a mark in a tuple", program(opMark, opTuple1), "a mark where a value should be"},
	{"a mark noted", program(opMark, []byte{opBinPut, 0}), "a mark where a value should be"},
	{"nothing noted", program([]byte{opBinGet, 7}), "nothing is memoized under 7"},
	{"a key without a value", program(opEmptyDict, opMark, "x", opSetItems), "a key without a value"},
	{"an item of no dict", program(opEmptyList, "x", "y", opSetItem), "a list where a dict should be"},
	{"an item of no list", program(opEmptyDict, "x", opAppend), "a dict where a list should be"},
	{"two values", program("x", "y"), "2 values at the end, want one"},
	{"no value", program(), "0 values at the end, want one"},

	// Storages and tensors.
	{"another persistent object", state(opMark, "module", "a", "b", "c", "d", opTuple, opBinPersID), `a persistent object of kind "module": only storages are supported`},
	{"a persistent number", state(int64(1), opBinPersID), "1 does not refer to a storage"},
	{"complex numbers", state(opMark, "storage", global("torch.Size"), "0", "cpu", int64(1), opTuple, opBinPersID), "a storage of the unknown class torch.Size"},
	{"a storage without a size", state(opMark, "storage", global("torch.ByteStorage"), "0", "cpu", opNone, opTuple, opBinPersID), "a storage without a key or a size"},
	{"a view of a storage", state(opMark, "storage", global("torch.ByteStorage"), "0", "cpu", int64(1), "view", opTuple, opBinPersID), `storage "0" is a view of another`},
	{"a storage beyond memory", state(opMark, "storage", global("torch.LongStorage"), "0", "cpu", int64(math.MaxInt64), opTuple, opBinPersID), `storage "0" of 9223372036854775807 elements is larger than the address space`},
	{"a storage of two types", program(slices.Concat([]any{opMark}, storageOf, []any{opMark, "storage", global("torch.CharStorage"), "0", "cpu", int64(4), opTuple, opBinPersID, opTuple})...), `storage "0" has 4 elements of I8 here and 4 of U8 before`},
	{"a storage alone", state(storageOf...), `"x" is a storage, not a tensor`},
	{"strides for other dimensions", state(tensorOf(0, []int{2, 2}, []int{1})...), "1 strides for 2 dimensions"},
	{"a shape of texts", state(slices.Concat([]any{global("torch._utils._rebuild_tensor"), opMark}, storageOf, []any{int64(0), "x", opTuple1, []int{1}, opTuple, opReduce})...), "size: a str where a non-negative integer should be"},
	{"a shape of many dimensions", state(tensorOf(0, make([]int, 65), make([]int, 65))...), "65 dimensions, want at most 64"},
	{"a tensor of nothing", state(global("torch._utils._rebuild_tensor_v2"), opEmptyTuple, opReduce), "0 arguments, want at least 4"},
	{"beyond the storage", state(tensorOf(1, []int{4}, []int{1})...), `tensor "x": shape [4] with strides [1] from element 1 goes beyond its storage of 4 elements`},
	{"strides beyond the storage", state(tensorOf(0, []int{2, 2}, []int{3, 1})...), "goes beyond its storage of 4 elements"},
	{"strides that overflow", state(tensorOf(0, []int{3, 3}, []int{math.MaxInt64 / 2, math.MaxInt64 / 2})...), "goes beyond its storage of 4 elements"},
	{"an offset that overflows", state(tensorOf(math.MaxInt64, []int{2}, []int{1})...), "goes beyond its storage of 4 elements"},
	{"a shape that overflows", state(tensorOf(0, []int{1 << 40, 1 << 40}, []int{0, 0})...), "is larger than the address space"},

	// Containers.
	{"one tensor", program(tensorOf(0, []int{4}, []int{1})...), "the file holds a tensor, want a dict of tensors"},
	{"the same name", program(opEmptyDict, opMark, "x.y", int64(1), "x", opEmptyDict, "y", int64(2), opSetItem, opSetItems), `"x.y" appears twice`},
	{"a tensor as a key", program(slices.Concat([]any{opEmptyDict}, tensorOf(0, []int{4}, []int{1}), []any{int64(1), opSetItem})...), "a tensor is the key of a dict: want a str or an int"},
	{"an object", program(global("transformers.models.bert.modeling_bert.BertModel"), opEmptyTuple, opNewObj, opEmptyDict, opBuild), "the file holds an object of class transformers.models.bert.modeling_bert.BertModel, not a dict of tensors: refused, and nothing was run"},
	{"a dict in itself", program(opEmptyDict, []byte{opBinPut, 0}, "x", []byte{opBinGet, 0}, opSetItem), "its containers are nested too deeply or refer to one another too often"},
	{"NUL in a name", program(opEmptyDict, "x\x00", int64(1), opSetItem), `NUL in the name "x\x00"`},
	{"billion laughs", func() []byte { // each list holds the previous one twice: 2⁴⁰ visits
		parts := []any{opEmptyList, []byte{opBinPut, 0}}
		for range 40 {
			parts = append(parts, doubled...)
		}
		return program(parts...)
	}(), "its containers are nested too deeply or refer to one another too often"},
}

// doubled makes a pair of the topmost value and the one memoized under 0, which are the same, and memoizes the pair.
var doubled = []any{[]byte{opBinGet, 0}, opTuple2, []byte{opBinPut, 0}}

func TestOpenBadPickles(t *testing.T) {
	for _, bad := range badPrograms {
		for format, file := range map[string][]byte{
			"archive": archive(t, zip.Store, "model/data.pkl", string(bad.program), "model/data/0", "data"),
			"legacy":  legacy(bad.program, goodKeys, goodData),
		} {
			path := writeFile(t, t.TempDir(), "weights", file)
			f, err := Open(path)
			if err == nil {
				f.Close()
			}
			// Without the storage, the legacy file fails before its tensors are read.
			if err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), bad.want) && (format == "archive" || !strings.Contains(err.Error(), "is not a storage of the state")) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s, %s: error %v, want one line with the file and %q", bad.name, format, err, bad.want)
			}
		}
	}
}

func TestOpenBadTorchFiles(t *testing.T) {
	good := archive(t, zip.Store, "m/data.pkl", string(goodState), "m/data/0", "data")
	encrypted := slices.Clone(good)
	for _, signature := range []string{"PK\x03\x04", "PK\x01\x02"} { // in the directory the flags are two bytes further on
		at := bytes.Index(encrypted, []byte(signature))
		encrypted[at+6+2*int(signature[2]&1)] |= 1
	}
	for _, bad := range []struct {
		name string
		file []byte
		want string
	}{
		{"no pickle", archive(t, zip.Store, "weights.npy", "x"), "a zip archive without NAME/data.pkl: torch.save did not write it"},
		{"a truncated archive", good[:len(good)-10], "the archive's directory cannot be read (zip: not a valid zip file): truncated?"},
		{"a compressed pickle", archive(t, zip.Deflate, "m/data.pkl", string(goodState), "m/data/0", "data"), `record "m/data.pkl": compressed (method 8)`},
		{"an encrypted record", encrypted, `record "m/data.pkl": encrypted`},
		{"no storage", archive(t, zip.Store, "m/data.pkl", string(goodState)), `record "m/data/0" is missing`},
		{"a short storage", archive(t, zip.Store, "m/data.pkl", string(goodState), "m/data/0", "dat"), `record "m/data/0" has 3 bytes, want 4 for 4 elements of U8`},
		{"a record twice", archive(t, zip.Store, "m/data.pkl", string(goodState), "m/data/0", "data", "m/data/0", "data"), `record "m/data/0" appears twice`},
		{"bytes after the pickle", archive(t, zip.Store, "m/data.pkl", string(goodState)+"x", "m/data/0", "data"), "m/data.pkl: 1 bytes after the end of the pickle"},
		{"big-endian", archive(t, zip.Store, "m/data.pkl", string(goodState), "m/byteorder", "big", "m/data/0", "data"), `the byte order is "big", only "little" is supported`},

		{"another version", slices.Concat([]byte(legacyMagic), program(int64(1002))), "the version of the format is 1002, want 1001"},
		{"a big-endian machine", slices.Concat([]byte(legacyMagic), program(int64(1001)), program(opEmptyDict, "little_endian", opNewFalse, opSetItem)), "written on a big-endian machine"},
		{"no keys", legacy(goodState, nil, ""), "keys of the storages: pickle, byte 0: the pickle ends in the middle"},
		{"keys that are no list", legacy(goodState, program("0"), goodData), "keys of the storages: a str, want a list"},
		{"unknown keys", legacy(goodState, program(opEmptyList, "1", opAppend), goodData), `keys of the storages: "1" is not a storage of the state, or appears twice`},
		{"a key twice", legacy(goodState, program(opEmptyList, opMark, "0", "0", opAppends), goodData), `keys of the storages: "0" is not a storage of the state, or appears twice`},
		{"too few keys", legacy(goodState, program(opEmptyList), ""), "1 storages of the state are not in the file"},
		{"no data", legacy(goodState, goodKeys, ""), `storage "0" is missing: truncated?`},
		{"another length", legacy(goodState, goodKeys, "\x05"+goodData[1:]), `storage "0" has 5 elements, the pickle says 4`},
		{"short data", legacy(goodState, goodKeys, goodData[:10]), `storage "0": its 4 bytes go beyond the end of the file: truncated?`},
		{"more data", legacy(goodState, goodKeys, goodData+"x"), "1 bytes after the last storage"},
	} {
		path := writeFile(t, t.TempDir(), "weights", bad.file)
		f, err := Open(path)
		if err == nil {
			f.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), bad.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line with the file and %q", bad.name, err, bad.want)
		}
	}
}

// TestOpenPickles reads less common states that torch.save may write.
func TestOpenPickles(t *testing.T) {
	x := tensorOf(0, []int{4}, []int{1})
	dict := func(items ...any) []byte {
		return program(slices.Concat([]any{opEmptyDict, opMark}, items, []any{opSetItems})...)
	}
	for _, good := range []struct {
		name     string
		program  []byte
		want     map[string]string // of each tensor
		metadata string
	}{
		{"rows", goodState, map[string]string{"x": "[2 2] data"}, "map[]"},
		{"columns", state(tensorOf(0, []int{2, 2}, []int{1, 2})...), map[string]string{"x": "[2 2] dtaa"}, "map[]"},
		{"a part", state(tensorOf(1, []int{2}, []int{2})...), map[string]string{"x": "[2] aa"}, "map[]"},
		{"a scalar", state(tensorOf(3, nil, nil)...), map[string]string{"x": "[] a"}, "map[]"},
		{"a dimension of one", state(tensorOf(0, []int{1, 4}, []int{77, 1})...), map[string]string{"x": "[1 4] data"}, "map[]"},
		{"nothing", state(tensorOf(9, []int{0, 2}, []int{1, 1})...), map[string]string{"x": "[0 2] "}, "map[]"},
		{"a parameter", state(slices.Concat([]any{global("torch._utils._rebuild_parameter"), opMark}, x, []any{opNewTrue, opNone, opTuple, opReduce})...), map[string]string{"x": "[4] data"}, "map[]"},
		{"places", dict(slices.Concat([]any{"model", opEmptyDict, "w"}, x, []any{opSetItem, "list", opEmptyList}, x, []any{opAppend, "tuple"}, x, []any{opTuple1, int64(7)}, x)...),
			map[string]string{"model.w": "[4] data", "list.0": "[4] data", "tuple.0": "[4] data", "7": "[4] data"}, "map[]"},
		{"other values", dict(slices.Concat([]any{"w"}, x, []any{"epoch", int64(3), "minus", []byte("\x8a\x01\xff"), "zero", []byte("\x8a\x00"), "rate", []byte("G\x3f\xe0\x00\x00\x00\x00\x00\x00"),
			"best", opNewTrue, "none", opNone, "type", global("torch.float16"), "shape", global("torch.Size"), []int{2, 3}, opTuple1, opReduce})...),
			map[string]string{"w": "[4] data"}, "map[best:True epoch:3 minus:-1 none:None rate:0.5 shape.0:2 shape.1:3 type:torch.float16 zero:0]"},
		{"an ordered dict with attributes", program(slices.Concat([]any{global("collections.OrderedDict"), opEmptyTuple, opReduce, "x"}, x, []any{opSetItem, opEmptyDict, "_metadata", opEmptyDict, opSetItem, opBuild})...),
			map[string]string{"x": "[4] data"}, "map[]"},
		{"Python 2's ordered dict", program(slices.Concat([]any{global("collections.OrderedDict"), opEmptyList, opEmptyList, []byte("U\x01x"), opAppend}, x, []any{opAppend, opAppend, opTuple1, opReduce})...),
			map[string]string{"x": "[4] data"}, "map[]"},
		{"protocol 4", slices.Concat([]byte("\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00"), state(slices.Concat([]any{[]byte("\x8c\x01y\x94"), opEmptyDict}, []any{[]byte("\x8c\x01y"), []byte("\x8d\x01\x00\x00\x00\x00\x00\x00\x00z"), opSetItem, opTuple2})...)[2:]),
			map[string]string{}, "map[x.0:y x.1.y:z]"},
		{"values that are no tensors", dict(slices.Concat([]any{"w"}, x, []any{
			"device", global("torch.device"), "cuda", int64(0), opTuple2, opReduce,
			"scalar", global("numpy.core.multiarray.scalar"), global("numpy.dtype"), "f8", opNewFalse, opNewTrue, opTuple3, opReduce, []byte("C\x02ab"), opTuple2, opReduce,
			"array", global("numpy.core.multiarray._reconstruct"), global("numpy.ndarray"), opTuple1, opReduce, []byte("B\x01\x00\x00\x00a"), opBuild,
			"set", []byte{opEmptySet, opMark}, "a", []byte{opAddItems}, "frozen", []byte{opMark}, "a", []byte{opFrozenSet},
			"args", global("argparse.Namespace"), opEmptyTuple, opNewObj, opEmptyDict, "lr", int64(1), opSetItem, opBuild,
			"seed", []byte("\x8a\x09123456789"), "python 2", []byte("U\x01\xff"),
			"keyed", opEmptyDict, opEmptyTuple, int64(1), opSetItem, opNone, int64(2), opSetItem,
		})...), map[string]string{"w": "[4] data"}, "map[args:argparse.Namespace array:numpy.core.multiarray._reconstruct device:torch.device frozen:frozenset keyed.None:2 keyed.a tuple 0:1 python 2:bytes scalar:numpy.core.multiarray.scalar seed:int set:set]"},
		{"dicts of other classes", dict(slices.Concat([]any{
			"default", global("collections.defaultdict"), global("builtins.dict"), opTuple1, opReduce, "w"}, x, []any{opSetItem,
			"own", global("somebody.Dict"), opEmptyTuple, opNewObj, "w"}, x, []any{opSetItem})...),
			map[string]string{"default.w": "[4] data", "own.w": "[4] data"}, "map[]"},
		{"a tensor of a class", state(slices.Concat([]any{global("torch._tensor._rebuild_from_type_v2"), opMark, global("torch._utils._rebuild_tensor_v2"), global("somebody.Tensor"), opMark}, storageOf,
			[]any{int64(0), []int{4}, []int{1}, opNewFalse, opNone, opTuple, opEmptyDict, opTuple, opReduce})...), map[string]string{"x": "[4] data"}, "map[]"},
		{"an expanded tensor", state(tensorOf(0, []int{3, 4}, []int{0, 1})...), map[string]string{"x": "[3 4] datadatadata"}, "map[]"},
		{"one expanded beyond the file", dict(slices.Concat([]any{"x"}, tensorOf(0, []int{1 << 40}, []int{0}), []any{"w"}, x)...),
			map[string]string{"w": "[4] data"}, "map[x:an expanded tensor of shape [1099511627776], left out]"},
	} {
		for format, file := range map[string][]byte{
			"archive": archive(t, zip.Store, "model/data.pkl", string(good.program), "model/data/0", "data"),
			"legacy":  legacy(good.program, goodKeys, goodData),
		} {
			if len(good.want) == 0 && format == "legacy" {
				continue // it has no storage
			}
			f, err := Open(writeFile(t, t.TempDir(), "weights", file))
			if err != nil {
				t.Errorf("%s, %s: %v", good.name, format, err)
				continue
			}
			got := map[string]string{}
			for _, x := range f.Tensors() {
				got[x.Name] = fmt.Sprint(x.Shape) + " " + string(x.Data)
			}
			if fmt.Sprint(got) != fmt.Sprint(good.want) || fmt.Sprint(f.Metadata()) != good.metadata {
				t.Errorf("%s, %s: %v, %v, want %v, %v", good.name, format, got, f.Metadata(), good.want, good.metadata)
			}
			f.Close()
		}
	}
}

// TestWriteTorchRoundTrip writes random tensors and reads them.
func TestWriteTorchRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pytorch_model.bin")
	rapid.Check(t, func(r *rapid.T) {
		tensors := drawTensors(r)
		if err := WriteTorch(path, tensors); err != nil {
			r.Fatal(err)
		}
		f, err := Open(path)
		if err != nil {
			r.Fatal(err)
		}
		defer f.Close()
		if err := equalTensors(f.Tensors(), tensors); err != nil {
			r.Error(err)
		}
	})
}

// TestWriteTorchShares writes tied weights once, at addresses that can be mapped.
func TestWriteTorchShares(t *testing.T) {
	data := make([]byte, 4000)
	for i := range data {
		data[i] = byte(i)
	}
	path := filepath.Join(t.TempDir(), "model.pt")
	tied := []Tensor{
		{Name: "decoder", DType: F32, Shape: []int{1000}, Data: data},
		{Name: "embedding", DType: F32, Shape: []int{10, 100}, Data: data},
		{Name: "other", DType: F16, Shape: []int{3}, Data: []byte("abcdef")},
	}
	if err := WriteTorch(path, tied); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(file, data); n != 1 {
		t.Errorf("the shared data are stored %d times", n)
	}
	if at := bytes.Index(file, data); at%recordAlignment != 0 {
		t.Errorf("they begin at byte %d, not a multiple of %d", at, recordAlignment)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := equalTensors(f.Tensors(), tied); err != nil {
		t.Error(err)
	}
	if x, ok := f.Lookup("decoder"); !ok {
		t.Error("no decoder")
	} else if _, inPlace := x.Float32View(); !inPlace {
		t.Error("the decoder cannot be read in place")
	}
}

// TestTorchReadsOurFiles has PyTorch read a file, if PyTorch is installed.
func TestTorchReadsOurFiles(t *testing.T) {
	t.Parallel() // it waits for Python
	const script = `
import sys
try:
    import torch
    from torch import _weights_only_unpickler
except ImportError:
    sys.exit(77)
for o in [{}, {"weights_only": True}]:
    s = torch.load(sys.argv[1], **o)
    print(type(s).__name__, *["%s %s %s %s" % (k, v.dtype, list(v.shape), v.double().sum().item()) for k, v in s.items()], sep="; ")
print(s["w"].data_ptr() == s["tied"].data_ptr())
`
	path := filepath.Join(t.TempDir(), "model.pt")
	w := []byte("\x00\x00\x80\x3f\x00\x00\x00\x40")
	err := WriteTorch(path, []Tensor{
		{Name: "w", DType: F32, Shape: []int{1, 2}, Data: w}, {Name: "tied", DType: F32, Shape: []int{1, 2}, Data: w},
		{Name: "half", DType: F16, Shape: []int{1}, Data: []byte("\x00\x3c")}, {Name: "b", DType: BF16, Shape: []int{1}, Data: []byte("\x80\x3f")},
		{Name: "ids", DType: I64, Shape: nil, Data: binary.LittleEndian.AppendUint64(nil, 7)}, {Name: "none", DType: F32, Shape: []int{0, 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for _, python := range []string{"python3", "/usr/bin/python3"} { // another Python may come before the system's in PATH
		out, err = exec.Command(python, "-c", script, path).CombinedOutput()
		var exit *exec.ExitError
		if missing := errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) || errors.As(err, &exit) && exit.ExitCode() == 77; !missing {
			break
		}
		out = nil
	}
	if out == nil {
		t.Skip("no Python with PyTorch 1.13 or later")
	}
	line := "OrderedDict; w torch.float32 [1, 2] 3.0; tied torch.float32 [1, 2] 3.0; half torch.float16 [1] 1.0; b torch.bfloat16 [1] 1.0; ids torch.int64 [] 7.0; none torch.float32 [0, 2] 0.0\n"
	if want := line + line + "True\n"; err != nil || string(out) != want {
		t.Errorf("PyTorch says %q, %v, want %q", out, err, want)
	}
}

// FuzzPickle feeds arbitrary bytes to the unpickler and gives it storages of the sizes it asks for.
func FuzzPickle(f *testing.F) {
	addHostile(f)
	for _, bad := range badPrograms {
		f.Add(bad.program)
	}
	f.Add(goodState)
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 1<<14 {
			return
		}
		storages := map[string]*storage{}
		value, _, err := unpickle(program, storages, len(program))
		size := 0
		if err == nil {
			for _, s := range storages {
				if s.len > 1<<12 {
					return
				}
				s.data = make([]byte, s.len*s.dtype.Size())
				size += len(s.data)
			}
			var tensors []Tensor
			tensors, _, err = viewed(value, len(program), len(program)+size)
			checkTensors(t, tensors)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("error of several lines: %q", err)
		}
	})
}

// FuzzTorch feeds arbitrary bytes to the parsers of PyTorch's files.
func FuzzTorch(f *testing.F) {
	addHostile(f)
	f.Add(archive(f, zip.Store, "m/data.pkl", string(goodState), "m/data/0", "data"))
	f.Add(archive(f, zip.Store, "m/data.pkl", string(goodState), "m/byteorder", "little", "m/data/0", "data", "m/version", "3\n"))
	f.Add(archive(f, zip.Deflate, "m/data.pkl", string(goodState), "m/data/0", "data"))
	f.Add(legacy(goodState, goodKeys, goodData))
	f.Add(legacy(state(tensorOf(0, []int{2, 2}, []int{1, 2})...), goodKeys, goodData))
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) > 1<<16 {
			return
		}
		for _, parse := range []func([]byte) ([]Tensor, map[string]string, error){parseTorchZip, func(file []byte) ([]Tensor, map[string]string, error) {
			if !bytes.HasPrefix(file, []byte(legacyMagic)) {
				file = append([]byte(legacyMagic), file...)
			}
			return parseTorchLegacy(file)
		}} {
			tensors, _, err := parse(file)
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			checkTensors(t, tensors)
		}
	})
}

func checkTensors(t *testing.T, tensors []Tensor) {
	t.Helper()
	names := map[string]bool{}
	for i := range tensors {
		if err := tensors[i].check(); err != nil && tensors[i].Name != metadataKey {
			t.Errorf("tensor %q: %v", tensors[i].Name, err)
		}
		if names[tensors[i].Name] {
			t.Errorf("tensor %q appears twice", tensors[i].Name)
		}
		names[tensors[i].Name] = true
	}
}
