package bert

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/onnx"
)

// This file writes a model as an ONNX graph: encoder.go and the forward half of heads.go once more, as operators. A graph
// has no ragged batch, so here sequences are padded, and attention has a mask.
//
// Legend: B sequences, S tokens of the longest, N choices of an example, H hidden, A heads of a layer, D their size, C labels, V vocabulary.

// The version of the operators, the first with LayerNormalization, and of the file format that came with it
// (https://github.com/onnx/onnx/blob/main/docs/Versioning.md).
const (
	onnxOpset = 17
	onnxIR    = 8
)

// The names of the dimensions that may be of any length, as Hugging Face's exports have them.
const (
	batchDim    = "batch_size"
	choicesDim  = "num_choices"
	sequenceDim = "sequence_length"
)

// ExportONNX writes the model and its head as an ONNX file, for inference: without dropout and losses. It is in float32, but for the
// weights and the products that are int8 by the model's configuration (see onnx_int8.go). Other programs find in it what they know from Hugging Face's exports:
//
//	inputs, int64:   input_ids, attention_mask, token_type_ids: [B,S]; of MultipleChoice [B,N,S]
//	outputs, float32:
//	  NoHead                  last_hidden_state [B,S,H], pooler_output [B,H]
//	  PreTraining             prediction_logits [B,S,V], seq_relationship_logits [B,2]
//	  MaskedLM                logits [B,S,V]
//	  NextSentence            logits [B,2]
//	  SequenceClassification  logits [B,C]
//	  TokenClassification     logits [B,S,C]
//	  QuestionAnswering       start_logits [B,S], end_logits [B,S]
//	  MultipleChoice          logits [B,N]
//
// attention_mask is 1 for a token and 0 for padding; what comes out at padding means nothing. Parameters have their names
// in Hugging Face's files; those of dense layers over tokens, which stand there as [in, out], have "_transposed" behind.
//
// The file takes its place when it is complete. A model of more than 2 GiB is an error: one file can't hold it.
func (m *Model) ExportONNX(path string) error {
	if err := m.use(); err != nil {
		return err
	}
	defer m.done()
	return m.exportONNX(path, m.config.Quantization != nil)
}

// exportONNX is ExportONNX of a model in use, with those of its weights in int8 that are or not.
func (m *Model) exportONNX(path string, inInt8 bool) error {
	b := graphBuilder{m: m, inInt8: inInt8, byName: make(map[string]*parameter), have: make(map[string]bool), rounded: make(map[string][2]string)}
	for i := range m.params {
		b.byName[m.params[i].Name] = &m.params[i]
	}
	b.model()
	return files.WriteFile(path, 0o666, func(w io.Writer) error {
		err := onnx.Write(w, &onnx.Model{IRVersion: onnxIR, ProducerName: "bert", Opset: onnxOpset, Graph: b.graph})
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
}

// graphBuilder adds nodes and tensors to a graph. Values are named by strings. A method that adds a computation takes the
// scope of its nodes, a path like that of the modules of Hugging Face's model, and the names of its operands, and returns
// the name of its result.
type graphBuilder struct {
	m      *Model
	inInt8 bool // weights that are int8 are so in the graph
	graph  onnx.Graph
	byName map[string]*parameter
	have   map[string]bool // names of nodes and initializers that are there
	// rounded are values as integers, and what their rows were multiplied by.
	rounded map[string][2]string
}

func (b *graphBuilder) model() {
	var (
		c    = &b.m.config
		info = heads[b.m.head]
		dims = []onnx.Dim{{Param: batchDim}, {Param: sequenceDim}}
	)
	if b.m.head == MultipleChoice {
		dims = []onnx.Dim{{Param: batchDim}, {Param: choicesDim}, {Param: sequenceDim}}
	}
	b.graph.Name = b.m.head.String()
	for _, name := range []string{"input_ids", "attention_mask", "token_type_ids"} {
		b.graph.Inputs = append(b.graph.Inputs, onnx.ValueInfo{Name: name, Type: onnx.Int64, Shape: dims})
	}
	hidden := b.encode()
	tokens, sequences := dims[:2], dims[:1]
	output := func(value, name string, dims []onnx.Dim, width int) {
		shape := append([]onnx.Dim(nil), dims...)
		if width > 0 {
			shape = append(shape, onnx.Dim{Value: int64(width)})
		}
		b.rename(value, name)
		b.graph.Outputs = append(b.graph.Outputs, onnx.ValueInfo{Name: name, Type: onnx.Float, Shape: shape})
	}

	input := hidden // of the head
	if b.m.pooler {
		first := b.node("/pooler", "Gather", []string{hidden, b.index(0)}, onnx.IntAttr("axis", 1))
		input = b.node("/pooler", "Tanh", []string{b.rowsDense("/pooler/dense", first, info.prefix+"pooler.dense")})
	}
	switch b.m.head {
	case NoHead:
		output(hidden, "last_hidden_state", tokens, c.HiddenSize)
		if b.m.pooler {
			output(input, "pooler_output", sequences, c.HiddenSize)
		}
	case PreTraining:
		output(b.maskedLM(hidden), "prediction_logits", tokens, c.VocabSize)
		output(b.rowsDense("/cls/seq_relationship", input, "cls.seq_relationship"), "seq_relationship_logits", sequences, 2)
	case MaskedLM:
		output(b.maskedLM(hidden), "logits", tokens, c.VocabSize)
	case NextSentence:
		output(b.rowsDense("/cls/seq_relationship", input, "cls.seq_relationship"), "logits", sequences, 2)
	case SequenceClassification:
		output(b.rowsDense("/classifier", input, info.output), "logits", sequences, len(c.Labels))
	case TokenClassification:
		output(b.dense("/classifier", input, info.output), "logits", tokens, len(c.Labels))
	case QuestionAnswering:
		logits := b.dense("/qa_outputs", input, info.output) // [B,S,2]
		for i, name := range []string{"start_logits", "end_logits"} {
			output(b.node("", "Gather", []string{logits, b.index(i)}, onnx.IntAttr("axis", -1)), name, tokens, 0)
		}
	case MultipleChoice:
		scores := b.rowsDense("/classifier", input, info.output) // [B·N,1]
		choices := b.node("", "Gather", []string{b.node("", "Shape", []string{"input_ids"}), b.ints("axis_1", 1)})
		shape := b.node("", "Concat", []string{b.ints("infer", -1), choices}, onnx.IntAttr("axis", 0))
		output(b.node("", "Reshape", []string{scores, shape}), "logits", dims[:2], 0)
	}
}

// encode is the encoder: [B,S,H], of multiple choice [B·N,S,H].
func (b *graphBuilder) encode() string {
	var (
		c      = &b.m.config
		prefix = heads[b.m.head].prefix
		e      = prefix + "embeddings."
		ids    = "input_ids"
		mask   = "attention_mask"
		types  = "token_type_ids"
		axis   = int64(1) // of the tokens, in the inputs
	)
	if b.m.head == MultipleChoice {
		axis = 2
	}
	length := b.node("/embeddings", "Gather", []string{b.node("/embeddings", "Shape", []string{ids}), b.ints(fmt.Sprintf("axis_%d", axis), axis)})
	if b.m.head == MultipleChoice {
		flat := b.node("", "Concat", []string{b.ints("infer", -1), length}, onnx.IntAttr("axis", 0))
		for _, input := range []*string{&ids, &mask, &types} {
			*input = b.node("", "Reshape", []string{*input, flat})
		}
	}

	word := b.lookUp("/embeddings/word_embeddings", e+"word_embeddings.weight", ids)
	token := b.node("/embeddings/token_type_embeddings", "Gather", []string{b.table("/embeddings/token_type_embeddings", e+"token_type_embeddings.weight"), types})
	// Positions 0 to S−1. A longer batch than there are positions fails at the addition, as it must.
	position := b.node("/embeddings/position_embeddings", "Slice",
		[]string{b.table("/embeddings/position_embeddings", e+"position_embeddings.weight"), b.ints("position_0", 0), length, b.ints("axis_0", 0)})
	x := b.node("/embeddings", "Add", []string{word, token})
	x = b.node("/embeddings", "Add", []string{x, position})
	x = b.norm("/embeddings/LayerNorm", x, e+"LayerNorm")

	// The mask is added to the scores, [B,1,1,S]: 0 for a token and the lowest float32 for padding, beside which no score
	// counts, so that its share is exactly 0. It is not −∞, so that a sequence that is all padding gives numbers still.
	mask = b.node("/mask", "Unsqueeze", []string{mask, b.ints("axes_1_2", 1, 2)})
	mask = b.node("/mask", "Cast", []string{mask}, onnx.IntAttr("to", int64(onnx.Float)))
	mask = b.node("/mask", "Sub", []string{b.number("one", 1), mask})
	mask = b.node("/mask", "Mul", []string{mask, b.number("lowest", -math.MaxFloat32)})
	for i := range c.NumHiddenLayers {
		x = b.block(fmt.Sprintf("/encoder/layer.%d", i), x, mask, fmt.Sprintf("%sencoder.layer.%d.", prefix, i), int64(c.Heads(i)))
	}
	return x
}

// block is a layer of the encoder of A heads, [B,S,H] → [B,S,H], whose parameters' names begin with prefix.
func (b *graphBuilder) block(scope, x, mask, prefix string, A int64) string {
	var (
		D    = int64(b.m.config.HeadSize())
		self = scope + "/attention/self"
	)
	// heads is a product of x, split into heads: [B,S,H] → [B,S,A,D], its dimensions then in another order.
	heads := func(name string, order ...int64) string {
		y := b.dense(self+"/"+name, x, prefix+"attention.self."+name)
		y = b.node(self+"/"+name, "Reshape", []string{y, b.ints(fmt.Sprintf("shape_heads_%d", A), 0, 0, A, D)})
		return b.node(self+"/"+name, "Transpose", []string{y}, onnx.IntsAttr("perm", order...))
	}
	query, key, value := heads("query", 0, 2, 1, 3), heads("key", 0, 2, 3, 1), heads("value", 0, 2, 1, 3)
	scores := b.node(self, "MatMul", []string{query, key}) // [B,A,S,S]: query, key
	scores = b.node(self, "Div", []string{scores, b.number("sqrt_head_size", float32(math.Sqrt(float64(D))))})
	scores = b.node(self, "Add", []string{scores, mask})
	probs := b.node(self, "Softmax", []string{scores}, onnx.IntAttr("axis", -1))
	context := b.node(self, "MatMul", []string{probs, value}) // [B,A,S,D]
	context = b.node(self, "Transpose", []string{context}, onnx.IntsAttr("perm", 0, 2, 1, 3))
	context = b.node(self, "Reshape", []string{context, b.ints(fmt.Sprintf("shape_hidden_%d", A), 0, 0, A*D)})

	y := b.dense(scope+"/attention/output/dense", context, prefix+"attention.output.dense")
	x = b.norm(scope+"/attention/output/LayerNorm", b.node(scope+"/attention/output", "Add", []string{y, x}), prefix+"attention.output.LayerNorm")
	y = b.dense(scope+"/intermediate/dense", x, prefix+"intermediate.dense")
	y = b.activation(scope+"/intermediate/intermediate_act_fn", y)
	y = b.dense(scope+"/output/dense", y, prefix+"output.dense")
	return b.norm(scope+"/output/LayerNorm", b.node(scope+"/output", "Add", []string{y, x}), prefix+"output.LayerNorm")
}

// maskedLM is the masked language model's logits at every token, [B,S,H] → [B,S,V].
func (b *graphBuilder) maskedLM(hidden string) string {
	const (
		scope = "/cls/predictions"
		name  = "cls.predictions."
	)
	x := b.dense(scope+"/transform/dense", hidden, name+"transform.dense")
	x = b.activation(scope+"/transform/transform_act_fn", x)
	x = b.norm(scope+"/transform/LayerNorm", x, name+"transform.LayerNorm")
	if b.m.config.UntiedDecoder {
		x = b.product(scope+"/decoder", x, decoderWeight)
	} else {
		// The decoder is the word embedding, which stays one tensor: a runtime turns it when it loads the file.
		word := heads[b.m.head].prefix + "embeddings.word_embeddings.weight"
		if b.int8(word) {
			x = b.int8Product(scope+"/decoder", x, word)
		} else {
			decoder := b.node(scope+"/decoder", "Transpose", []string{b.parameter(word)}, onnx.IntsAttr("perm", 1, 0))
			x = b.node(scope+"/decoder", "MatMul", []string{x, decoder})
		}
	}
	return b.node(scope+"/decoder", "Add", []string{x, b.parameter(name + "bias")})
}

// dense is a layer over every token: [B,S,in] → [B,S,out].
func (b *graphBuilder) dense(scope, x, name string) string {
	x = b.product(scope, x, name+".weight")
	return b.node(scope, "Add", []string{x, b.parameter(name + ".bias")})
}

// product is x·Wᵀ over every token.
func (b *graphBuilder) product(scope, x, weight string) string {
	if b.int8(weight) {
		return b.int8Product(scope, x, weight)
	}
	return b.node(scope, "MatMul", []string{x, b.transposed(weight)})
}

// rowsDense is a layer over a vector of every sequence: [B,in] → [B,out].
func (b *graphBuilder) rowsDense(scope, x, name string) string {
	return b.node(scope, "Gemm", []string{x, b.parameter(name + ".weight"), b.parameter(name + ".bias")}, onnx.IntAttr("transB", 1))
}

func (b *graphBuilder) norm(scope, x, name string) string {
	return b.node(scope, "LayerNormalization", []string{x, b.parameter(name + ".weight"), b.parameter(name + ".bias")},
		onnx.IntAttr("axis", -1), onnx.FloatAttr("epsilon", float32(b.m.config.LayerNormEps)))
}

// activation is hidden_act, from the operators that opset 17 has: Gelu came with 20.
func (b *graphBuilder) activation(scope, x string) string {
	op := func(op string, inputs ...string) string { return b.node(scope, op, inputs) }
	half, one := b.number("half", 0.5), b.number("one", 1)
	switch activations[b.m.config.HiddenAct] {
	case compute.GELU: // x·½·(1 + erf(x/√2))
		y := op("Erf", op("Div", x, b.number("sqrt_2", math.Sqrt2)))
		return op("Mul", op("Mul", x, op("Add", y, one)), half)
	case compute.GELUTanh: // ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
		cube := op("Mul", op("Mul", op("Mul", x, x), x), b.number("gelu_cubic", 0.044715))
		y := op("Tanh", op("Mul", op("Add", x, cube), b.number("sqrt_2_over_pi", float32(math.Sqrt(2/math.Pi)))))
		return op("Mul", op("Mul", x, half), op("Add", y, one))
	case compute.ReLU:
		return op("Relu", x)
	case compute.SiLU:
		return op("Mul", x, op("Sigmoid", x))
	case compute.Tanh:
		return op("Tanh", x)
	case compute.Identity:
		return x
	}
	panic("bert: no operators for hidden_act " + b.m.config.HiddenAct)
}

// node adds a node with one output, named after scope and operator.
func (b *graphBuilder) node(scope, op string, inputs []string, attributes ...onnx.Attribute) string {
	name := scope + "/" + op
	for i := 1; b.have[name]; i++ {
		name = fmt.Sprintf("%s/%s_%d", scope, op, i)
	}
	b.have[name] = true
	result := name + "_output_0"
	b.graph.Nodes = append(b.graph.Nodes, onnx.Node{Name: name, OpType: op, Inputs: inputs, Outputs: []string{result}, Attributes: attributes})
	return result
}

// rename gives a value of the graph the name of an output.
func (b *graphBuilder) rename(value, name string) {
	for i := range b.graph.Nodes {
		for _, names := range [][]string{b.graph.Nodes[i].Inputs, b.graph.Nodes[i].Outputs} {
			for j := range names {
				if names[j] == value {
					names[j] = name
				}
			}
		}
	}
}

// parameter is a parameter as an initializer.
func (b *graphBuilder) parameter(name string) string {
	p := b.byName[name]
	return b.initializer(onnx.Tensor{Name: name, Type: onnx.Float, Shape: dims64(p.Shape), Write: func() ([]byte, error) {
		value, err := b.m.valueOf(p)
		if err != nil {
			return nil, err
		}
		t, err := b.m.tensor(name, p.Shape, value, checkpoint.F32)
		return t.Data, err
	}})
}

// transposed is a matrix [out, in] as an initializer [in, out], the second operand of a MatMul. It is turned here and not by
// a node, since programs that quantize a graph look for an initializer there.
func (b *graphBuilder) transposed(name string) string {
	p := b.byName[name]
	name += "_transposed"
	shape := dims64([]int{p.Shape[1], p.Shape[0]})
	return b.initializer(onnx.Tensor{Name: name, Type: onnx.Float, Shape: shape, Write: func() ([]byte, error) {
		t, err := b.m.transposed(p, name, checkpoint.F32)
		return t.Data, err
	}})
}

// initializer adds a tensor, unless one of the name is there.
func (b *graphBuilder) initializer(t onnx.Tensor) string {
	if !b.have[t.Name] {
		b.have[t.Name] = true
		b.graph.Initializers = append(b.graph.Initializers, t)
	}
	return t.Name
}

// number is a constant of float32.
func (b *graphBuilder) number(name string, v float32) string {
	raw := binary.LittleEndian.AppendUint32(nil, math.Float32bits(v))
	return b.initializer(onnx.Tensor{Name: "/" + name, Type: onnx.Float, Raw: raw})
}

// index is a constant of int64 without dimensions: taken at it, a dimension is gone.
func (b *graphBuilder) index(i int) string {
	raw := binary.LittleEndian.AppendUint64(nil, uint64(i))
	return b.initializer(onnx.Tensor{Name: fmt.Sprintf("/index_%d", i), Type: onnx.Int64, Raw: raw})
}

// ints is a constant list of int64.
func (b *graphBuilder) ints(name string, v ...int64) string {
	var raw []byte
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(x))
	}
	return b.initializer(onnx.Tensor{Name: "/" + name, Type: onnx.Int64, Shape: []int64{int64(len(v))}, Raw: raw})
}

func dims64(shape []int) []int64 {
	dims := make([]int64, len(shape))
	for i, d := range shape {
		dims[i] = int64(d)
	}
	return dims
}
