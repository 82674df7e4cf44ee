package onnx

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func testModel() *Model {
	return &Model{
		IRVersion: 8, ProducerName: "p", Opset: 17,
		Graph: Graph{
			Name: "g",
			Nodes: []Node{
				{
					Name: "n", OpType: "Op", Domain: "d", Inputs: []string{"x", "", "w"}, Outputs: []string{"y"},
					Attributes: []Attribute{IntAttr("i", -1), FloatAttr("f", 0.5), IntsAttr("l", 0, 2, 1)},
				},
			},
			Initializers: []Tensor{
				{Name: "w", Type: Float16, Shape: []int64{2, 1}, Raw: []byte("abcd")},
				{Name: "s", Type: Uint8, Raw: []byte("e")},
			},
			Inputs:  []ValueInfo{{Name: "x", Type: Int64, Shape: []Dim{{Param: "b"}, {Value: 3}}}},
			Outputs: []ValueInfo{{Name: "y", Type: Float}},
		},
	}
}

// TestWriteBytes pins the bytes of a file. protoc --decode=onnx.ModelProto onnx.proto prints them in readable form.
func TestWriteBytes(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, testModel()); err != nil {
		t.Fatal(err)
	}
	want := "0808" + "120170" + // ir_version, producer_name
		"3a8601" + // graph
		"0a43" + "0a0178" + "0a00" + "0a0177" + "120179" + "1a016e" + "22024f70" + // node: inputs, output, name, op_type
		"2a11" + "0a0169" + "18ffffffffffffffffff01" + "a00102" + // i
		"2a0b" + "0a0166" + "150000003f" + "a00101" + // f
		"2a0c" + "0a016c" + "4000" + "4002" + "4001" + "a00107" + // l
		"3a0164" + "120167" + // domain; the graph's name
		"2a0f" + "0802" + "0801" + "100a" + "420177" + "4a0461626364" + // initializers
		"2a08" + "1002" + "420173" + "4a0165" +
		"5a14" + "0a0178" + "120f" + "0a0d" + "0807" + "1209" + "0a03" + "120162" + "0a02" + "0803" + // input
		"620b" + "0a0179" + "1206" + "0a04" + "0801" + "1200" + // output
		"42021011" // opset_import
	if got := hex.EncodeToString(b.Bytes()); got != want {
		t.Errorf("the file is\n%s, want\n%s", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	want := testModel()
	var b bytes.Buffer
	if err := Write(&b, want); err != nil {
		t.Fatal(err)
	}
	got, err := Read(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, values := range [][]ValueInfo{want.Graph.Inputs, want.Graph.Outputs} { // of which only the names are read
		for i := range values {
			values[i] = ValueInfo{Name: values[i].Name}
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read\n%+v, want\n%+v", got, want)
	}
}

func TestWriteErrors(t *testing.T) {
	failure := errors.New("no elements")
	for want, tensor := range map[string]Tensor{
		`tensor "x": 3 bytes of data, want 4 for shape [4]`: {Name: "x", Type: Uint8, Shape: []int64{4}, Raw: []byte("abc")},
		`tensor "x": type 8 with shape [] can't be written`: {Name: "x", Type: String},
		`tensor "x": type 1 with shape [-1] can't be`:       {Name: "x", Type: Float, Shape: []int64{-1}},
		`tensor "x": no elements`:                           {Name: "x", Type: Uint8, Write: func() ([]byte, error) { return nil, failure }},
		"an ONNX file holds at most 2147483647":             {Name: "x", Type: Float, Shape: []int64{1 << 30}},
	} {
		err := Write(io.Discard, &Model{Graph: Graph{Initializers: []Tensor{tensor}}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
