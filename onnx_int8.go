package bert

import (
	"math"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/onnx"
)

// This file writes the layers of a model whose weights are int8: from operators that ONNX has, with the rounding of ours. A row of the
// input becomes integers by its own largest magnitude, where DynamicQuantizeLinear takes that of the whole batch, so that a text would
// have other results in another batch.

// uint8Zero is what stands for 0 among the integers of an input: ONNX Runtime is faster with bytes that have no sign.
const uint8Zero = 128

// int8 reports whether a parameter is int8 in the graph.
func (b *graphBuilder) int8(name string) bool {
	return b.inInt8 && b.byName[name].ints != nil
}

// integers is the values of a parameter that is int8, as an initializer [out, in], or turned [in, out], and the scales of its rows in a
// shape.
func (b *graphBuilder) integers(name string, turned bool, scaleShape ...int) (values, scales string) {
	p := b.byName[name]
	t := onnx.Tensor{Name: name + "_quantized", Type: onnx.Int8, Shape: dims64(p.Shape), Write: func() ([]byte, error) {
		return checkpoint.FromInt8(p.ints.Values), nil
	}}
	if turned {
		out, in := p.Shape[0], p.Shape[1]
		t.Name = name + "_transposed_quantized"
		t.Shape = dims64([]int{in, out})
		t.Write = func() ([]byte, error) {
			return checkpoint.Transpose(checkpoint.FromInt8(p.ints.Values), out, in, 1), nil
		}
	}
	return b.initializer(t), b.floats(name+"_scale", p.ints.Scales, scaleShape...)
}

// floats is a constant of float32.
func (b *graphBuilder) floats(name string, values []float32, shape ...int) string {
	return b.initializer(onnx.Tensor{Name: name, Type: onnx.Float, Shape: dims64(shape), Write: func() ([]byte, error) {
		return checkpoint.FromFloat32(checkpoint.F32, values)
	}})
}

// dequantized is a parameter that is int8 as the numbers that it means, [out, in].
func (b *graphBuilder) dequantized(scope, name string) string {
	values, scales := b.integers(name, false, b.byName[name].Shape[0])
	return b.node(scope, "DequantizeLinear", []string{values, scales}, onnx.IntAttr("axis", 0))
}

// lookUp is rows of a table of embeddings: of one that is int8 those alone become numbers.
func (b *graphBuilder) lookUp(scope, name, ids string) string {
	if !b.int8(name) {
		return b.node(scope, "Gather", []string{b.parameter(name), ids})
	}
	values, scales := b.integers(name, false, b.byName[name].Shape[0], 1)
	rows := b.node(scope, "Gather", []string{values, ids})
	rows = b.node(scope, "Cast", []string{rows}, onnx.IntAttr("to", int64(onnx.Float)))
	return b.node(scope, "Mul", []string{rows, b.node(scope, "Gather", []string{scales, ids})})
}

// table is a table of embeddings as a whole.
func (b *graphBuilder) table(scope, name string) string {
	if b.int8(name) {
		return b.dequantized(scope, name)
	}
	return b.parameter(name)
}

// int8Product is x·Wᵀ over every token, [B,S,in] → [B,S,out], of a weight that is int8.
func (b *graphBuilder) int8Product(scope, x, name string) string {
	q := b.byName[name].ints
	out := len(q.Scales)
	if b.have[name+"_quantized"] { // the word embedding as decoder, which stays one tensor
		weight := b.node(scope, "Cast", []string{name + "_quantized"}, onnx.IntAttr("to", int64(onnx.Float)))
		weight = b.node(scope, "Transpose", []string{weight}, onnx.IntsAttr("perm", 1, 0))
		return b.node(scope, "Mul", []string{b.node(scope, "MatMul", []string{x, weight}), b.floats(name+"_scale_flat", q.Scales, out)})
	}
	weight, scales := b.integers(name, true, out)
	if !q.inputs {
		// Not DequantizeLinear before the product: ONNX Runtime would make one of them that rounds the inputs too.
		weight = b.node(scope, "Cast", []string{weight}, onnx.IntAttr("to", int64(onnx.Float)))
		return b.node(scope, "Mul", []string{b.node(scope, "MatMul", []string{x, weight}), scales})
	}
	if q.inputScales != nil {
		x = b.node(scope, "Mul", []string{x, b.floats(name+"_input_scale", q.inputScales, len(q.inputScales))})
	}
	x, factor := b.roundedRows(scope, x)
	y := b.node(scope, "MatMulInteger", []string{x, weight, b.initializer(onnx.Tensor{Name: "/zero_uint8", Type: onnx.Uint8, Raw: []byte{uint8Zero}})})
	y = b.node(scope, "Cast", []string{y}, onnx.IntAttr("to", int64(onnx.Float)))
	y = b.node(scope, "Mul", []string{y, scales})
	return b.node(scope, "Div", []string{y, factor})
}

// roundedRows is x as integers, and what its rows were multiplied by, [B,S,1]: 127 over their largest magnitude. A value that several
// layers take is rounded once.
func (b *graphBuilder) roundedRows(scope, x string) (integers, factor string) {
	if r, ok := b.rounded[x]; ok {
		return r[0], r[1]
	}
	const least = 0x1p-100 // as of our own kernels, so that a row of zeros is one of zeros
	top := b.node(scope, "ReduceMax", []string{b.node(scope, "Abs", []string{x})}, onnx.IntsAttr("axes", -1))
	factor = b.node(scope, "Div", []string{b.number("most_int8", math.MaxInt8), b.node(scope, "Max", []string{top, b.number("least", least)})})
	integers = b.node(scope, "Round", []string{b.node(scope, "Mul", []string{x, factor})})
	integers = b.node(scope, "Add", []string{integers, b.number("zero_uint8_float", uint8Zero)})
	integers = b.node(scope, "Cast", []string{integers}, onnx.IntAttr("to", int64(onnx.Uint8)))
	b.rounded[x] = [2]string{integers, factor}
	return integers, factor
}
