package checkpoint

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/go-bert/bert/internal/onnx"
)

// onnxFile encodes a model as a file.
func onnxFile(t testing.TB, g onnx.Graph) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := onnx.Write(&b, &onnx.Model{IRVersion: 8, ProducerName: "test", Opset: 17, Graph: g}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// bytesOf returns a tensor of bytes, which are easy to read in a test.
func bytesOf(name, data string, shape ...int64) onnx.Tensor {
	return onnx.Tensor{Name: name, Type: onnx.Int8, Shape: shape, Raw: []byte(data)}
}

func nodeOf(op string, inputs []string, output string, attributes ...onnx.Attribute) onnx.Node {
	return onnx.Node{OpType: op, Inputs: inputs, Outputs: []string{output}, Attributes: attributes}
}

// lines describes the tensors of a checkpoint, one per line.
func lines(f *File) string {
	var b strings.Builder
	for _, t := range f.Tensors() {
		fmt.Fprintf(&b, "%s %v %v %s\n", t.Name, t.DType, t.Shape, t.Data)
	}
	return b.String()
}

// TestONNXNames covers the ways in which exporters store a model.
func TestONNXNames(t *testing.T) {
	graph := onnx.Graph{
		Nodes: []onnx.Node{
			nodeOf("Identity", []string{"a.bias"}, "b.bias"),
			nodeOf("MatMul", []string{"x", "onnx::MatMul_1"}, "1"),
			nodeOf("Add", []string{"a.bias", "1"}, "2"), // the bias first, as PyTorch exports it
			nodeOf("MatMul", []string{"2", "val_2"}, "3"),
			nodeOf("Add", []string{"3", "b.bias"}, "4"),
			nodeOf("Gemm", []string{"4", "c.weight", "c.bias"}, "5", onnx.IntAttr("transB", 1)),
			nodeOf("Gemm", []string{"5", "d.weight_transposed", "d.bias"}, "6"),
			nodeOf("Gemm", []string{"6", "e.weight", "e.bias"}, "7", onnx.IntAttr("transB", 0)), // a transposed weight that keeps its name
			nodeOf("MatMul", []string{"7", "onnx::MatMul_9"}, "8"),
			nodeOf("Add", []string{"8", "7"}, "9"), // no bias
			nodeOf("Div", []string{"9", "/sqrt"}, "10"),
			nodeOf("Reshape", []string{"10", "shape"}, "11"),
			{OpType: "MatMul", Domain: "com.example", Inputs: []string{"x", "alien"}, Outputs: []string{"12"}},
			nodeOf("Add", []string{"12", "f.bias"}, "13"),
		},
		Initializers: []onnx.Tensor{
			bytesOf("onnx::MatMul_1", "abcdef", 2, 3), // a.weight
			bytesOf("val_2", "ghijkl", 3, 2),          // b.weight
			bytesOf("a.bias", "mno", 3),
			bytesOf("c.weight", "pq", 1, 2), bytesOf("c.bias", "r", 1),
			bytesOf("d.weight_transposed", "stuv", 2, 2), bytesOf("d.bias", "wx", 2),
			bytesOf("e.weight", "0123", 2, 2), bytesOf("e.bias", "45", 2),
			bytesOf("onnx::MatMul_9", "67", 1, 2),
			bytesOf("alien", "89", 1, 2), bytesOf("f.bias", "ab", 2),
			{Name: "/sqrt", Type: onnx.Float, Raw: []byte("abcd")},
			{Name: "shape", Type: onnx.Int64, Shape: []int64{2}, Raw: []byte("0123456789abcdef")},
			{Name: "position_ids.buffer", Type: onnx.Int64, Shape: []int64{1}, Raw: []byte("01234567")},
		},
	}
	f, err := Open(writeFile(t, t.TempDir(), "model.onnx", onnxFile(t, graph)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := `a.bias I8 [3] mno
a.weight I8 [3 2] adbecf
alien I8 [1 2] 89
b.bias I8 [3] mno
b.weight I8 [2 3] gikhjl
c.bias I8 [1] r
c.weight I8 [1 2] pq
d.bias I8 [2] wx
d.weight I8 [2 2] sutv
e.bias I8 [2] 45
e.weight I8 [2 2] 0213
f.bias I8 [2] ab
onnx::MatMul_9 I8 [1 2] 67
position_ids.buffer I64 [1] 01234567
`
	if got := lines(f); got != want {
		t.Errorf("the tensors are\n%swant\n%s", got, want)
	}
}

// onnxModel encodes a model with the given fields of its graph, numbered as in onnx.proto.
func onnxModel(graph ...any) []byte {
	return message(1, 8, 2, "test", 7, message(graph...))
}

// tensorMessage encodes a TensorProto of type float.
func tensorMessage(name string, fields ...any) []byte {
	return message(append([]any{8, name, 2, 1}, fields...)...)
}

// TestONNXElements covers the fields that may hold elements.
func TestONNXElements(t *testing.T) {
	packed := string(protowire.AppendVarint(protowire.AppendVarint(nil, 0x3c00), 1<<64-1))
	file := onnxModel(
		5, tensorMessage("raw.", 1, 2, 9, "abcdefgh"),
		5, tensorMessage("float.packed", 1, 2, 4, "abcdefgh"),
		5, tensorMessage("float.pieces", 1, message(1, 2)[1:], 4, "abcd", 4, "efgh"),
		5, message(8, "half.", 2, 10, 1, 2, 5, packed),
		5, message(8, "int64.", 2, 7, 1, 1, 7, 258),
		5, message(8, "double.", 2, 11, 10, "abcdefgh"),
		5, tensorMessage("none.", 1, 0, 1, 7),
		1, message(4, "Constant", 2, "constant.", 5, message(1, "value", 20, 4, 5, tensorMessage("", 9, "abcd"))),
	)
	f, err := Open(writeFile(t, t.TempDir(), "model.onnx", file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := "constant. F32 [] abcd\ndouble. F64 [] abcdefgh\nfloat.packed F32 [2] abcdefgh\nfloat.pieces F32 [2] abcdefgh\n" +
		"half. F16 [2] \x00\x3c\xff\xff\nint64. I64 [1] \x02\x01\x00\x00\x00\x00\x00\x00\nnone. F32 [0 7] \nraw. F32 [2] abcdefgh\n"
	if got := lines(f); got != want {
		t.Errorf("the tensors are\n%qwant\n%q", got, want)
	}
}

func externalTensor(location string, more ...any) []byte {
	fields := []any{1, 2, 14, 1, 13, message(1, "location", 2, location)}
	for i := 0; i < len(more); i += 2 {
		fields = append(fields, 13, message(1, more[i], 2, more[i+1]))
	}
	return tensorMessage("x.", fields...)
}

// TestONNXExternal reads elements stored in another file.
func TestONNXExternal(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "model.onnx.data", []byte("__abcdefgh"))
	for _, tensor := range [][]byte{
		externalTensor("model.onnx.data", "offset", "2", "length", "8", "checksum", "of old"),
		externalTensor("./model.onnx.data", "offset", "2"),
	} {
		f, err := Open(writeFile(t, dir, "model.onnx", onnxModel(5, tensor)))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := lines(f), "x. F32 [2] abcdefgh\n"; got != want {
			t.Errorf("the tensors are %q, want %q", got, want)
		}
		f.Close()
	}
}

// badONNX are models that Open refuses, with a part of the expected error.
var badONNX = []struct {
	file []byte
	want string
}{
	{message(1, 8, 2, "test"), "ONNX model: no graph"},
	{append(onnxModel(), message(7, "")...), "more than one graph"},
	{onnxModel(2, "name")[:12], "field 7: unexpected EOF"},
	{message(1, 8, 2, "test", 7, 1), "field 7 has the wrong wire type 0"},
	{append(onnxModel(), 0x0b), "field 1 has wire type 3"},
	{onnxModel(1, message(1, "x")), "graph: node 0: no op_type"},
	{onnxModel(5, tensorMessage("x", 1, 3, 9, "abcd")), `graph: tensor 0 "x": 4 bytes of data, want 12 for type 1 with shape [3]`},
	{onnxModel(5, tensorMessage("x", 1, 1<<62, 1, 1<<62, 9, "abcd")), `shape [4611686018427387904 4611686018427387904] is negative or too large`},
	{onnxModel(5, tensorMessage("x", 1, -1, 9, "abcd")), `shape [-1] is negative or too large`},
	{onnxModel(5, tensorMessage("x", 1, strings.Repeat("\x01", 65), 9, "abcd")), "more than 64 dimensions"},
	{onnxModel(5, tensorMessage("x", 3, "")), "is split into segments"},
	{onnxModel(5, message(8, "x", 2, 7, 1, 1<<40, 7, "\x01")), "1 bytes can't hold 1099511627776 numbers"},
	{onnxModel(5, message(8, "x", 2, 7, 1, 1, 7, "\x01\x02")), "more than 1 numbers"},
	{onnxModel(5, message(8, "x.", 2, 8, 1, 1, 6, "text")), `tensor "x.": ONNX element type 8 is not supported`},
	{onnxModel(5, tensorMessage("x", 9, "abcd"), 5, tensorMessage("x", 9, "abcd")), `tensor "x" appears twice`},
	{onnxModel(5, externalTensor("../model.onnx")), `tensor "x.": its data are in "../model.onnx", which is not a file name in the model's folder`},
	{onnxModel(5, externalTensor("/etc/passwd")), "is not a file name in the model's folder"},
	{onnxModel(5, externalTensor("sub/file")), "is not a file name in the model's folder"},
	{onnxModel(5, externalTensor("a\\b")), "is not a file name in the model's folder"},
	{onnxModel(5, externalTensor("missing")), `its data are in "missing", which is missing`},
	{onnxModel(5, externalTensor("weights", "offset", "1000")), `its 8 bytes at 1000 go beyond the `},
	{onnxModel(5, externalTensor("weights", "offset", "9223372036854775807")), `go beyond the `},
	{onnxModel(5, externalTensor("weights", "length", "9")), `9 bytes of data in "weights", want 8 for F32 with shape [2]`},
	{onnxModel(5, externalTensor("weights", "offset", "-1")), `external_data: offset is "-1", want a number of bytes`},
	{onnxModel(5, tensorMessage("x.", 14, 1)), "is in another file, which is not named"},
	{
		onnxModel(
			1, message(4, "MatMul", 1, "x", 1, "m", 2, "1"), 1, message(4, "Add", 1, "1", 1, "a.bias", 2, "2"),
			1, message(4, "MatMul", 1, "x", 1, "n", 2, "3"), 1, message(4, "Add", 1, "3", 1, "a.bias", 2, "4"),
			5, tensorMessage("m", 1, 1, 1, 1, 9, "abcd"), 5, tensorMessage("n", 1, 1, 1, 1, 9, "abcd"), 5, tensorMessage("a.bias", 1, 1, 9, "abcd"),
		),
		`"a.bias" is the bias of two products, with "m" and "n"`,
	},
	{
		onnxModel(
			1, message(4, "MatMul", 1, "x", 1, "m", 2, "1"), 1, message(4, "Add", 1, "1", 1, "a.bias", 2, "2"),
			5, tensorMessage("m", 1, 1, 1, 1, 9, "abcd"), 5, tensorMessage("a.weight", 1, 1, 9, "abcd"), 5, tensorMessage("a.bias", 1, 1, 9, "abcd"),
		),
		`the graph uses "m" where tensor "a.weight" belongs, but has a tensor of that name too`,
	},
}

func TestONNXBadFiles(t *testing.T) {
	for _, bad := range badONNX {
		path := writeFile(t, t.TempDir(), "weights", bad.file)
		f, err := Open(path)
		if err == nil {
			f.Close()
			t.Errorf("%.60q: no error, want %q", bad.file, bad.want)
			continue
		}
		if msg := err.Error(); !strings.Contains(msg, bad.want) || !strings.HasPrefix(msg, path) || strings.Contains(msg, "\n") {
			t.Errorf("%.60q: error %q, want one line with the file and %q", bad.file, msg, bad.want)
		}
	}
}

// FuzzONNX reads arbitrary bytes as an ONNX model in an otherwise empty folder: no other file may ever be opened.
func FuzzONNX(f *testing.F) {
	addHostile(f)
	for _, bad := range badONNX {
		f.Add(bad.file)
	}
	f.Add(onnxFile(f, onnx.Graph{
		Nodes: []onnx.Node{
			nodeOf("MatMul", []string{"x", "m"}, "1"), nodeOf("Add", []string{"a.bias", "1"}, "2"),
			nodeOf("Gemm", []string{"2", "n", "b.bias"}, "3", onnx.IntAttr("transB", 1), onnx.FloatAttr("alpha", 1), onnx.IntsAttr("y", 1, 2)),
		},
		Initializers: []onnx.Tensor{bytesOf("m", "abcdef", 2, 3), bytesOf("a.bias", "abc", 3), bytesOf("n", "abc", 1, 3), bytesOf("b.bias", "a", 1)},
		Outputs:      []onnx.ValueInfo{{Name: "3", Type: onnx.Float, Shape: []onnx.Dim{{Param: "batch"}, {Value: 1}}}},
	}))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		file := &File{}
		load := func(f *os.File, size int) ([]byte, func() error, error) {
			t.Errorf("%s is opened", f.Name())
			return nil, nil, os.ErrNotExist
		}
		if err := file.addONNX(filepath.Join(dir, "model.onnx"), data, load); err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		for _, x := range file.tensors {
			if len(x.Data) != x.Len()*x.DType.Size() {
				t.Errorf("tensor %q: %v with shape %v has %d bytes", x.Name, x.DType, x.Shape, len(x.Data))
			}
		}
	})
}
