package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/bertgraph"
	"github.com/go-bert/bert/internal/lazyregexp"
	"github.com/go-bert/bert/internal/onnx"
)

// An ONNX graph holds a model's tensors, but exporters lose some of their names: an exporter that transposes the weight of a
// dense layer from PyTorch's [out, in] to MatMul's [in, out] names the result onnx::MatMul_123 or val_45. Biases keep their
// names, and the graph shows which bias is added to which product, so the weight can be named after the bias.

// isONNX reports whether a file may be an ONNX model. A ModelProto has no magic number. Its writers begin with field 1,
// ir_version, a small varint, followed by a string or a message: fields 2 to 8 (onnx/onnx.proto).
func isONNX(s sample) bool {
	return len(s.head) > 3 && s.head[0] == 1<<3 && s.head[1] > 0 && s.head[1] < 32 && s.head[2]&7 == 2 && s.head[2]>>3 >= 2 && s.head[2]>>3 <= 8
}

// onnxTypes are the supported ONNX element types.
var onnxTypes = map[onnx.ElementType]DType{
	onnx.Bool: Bool, onnx.Uint8: U8, onnx.Int8: I8, onnx.Int16: I16, onnx.Int32: I32, onnx.Int64: I64,
	onnx.Float16: F16, onnx.BFloat16: BF16, onnx.Float: F32, onnx.Double: F64,
}

// addONNX adds the tensors of an ONNX model: its initializers, under their names in a PyTorch model. A weight that the graph
// holds transposed is transposed back, in memory of its own. Constants of the computation (shapes, axes, factors) are left
// out.
func (f *File) addONNX(path string, data []byte, load loader) error {
	m, err := onnx.Read(data)
	if err != nil {
		return fmt.Errorf("%s: ONNX model: %w", path, err)
	}
	external, err := f.loadExternal(path, &m.Graph, load)
	if err != nil {
		return err
	}
	fileSize := len(data) + external
	tensors, err := graphTensors(&m.Graph, fileSize)
	found, unclear := bertgraph.Find(&m.Graph, fileSize)
	switch {
	case unclear == nil && (err != nil || !covered(found, tensors)):
		if tensors, err = computedTensors(found, tensors, fileSize); err == nil {
			f.notes = append(f.notes, graphNotes(found)...)
		}
	case unclear != nil && optimized(&m.Graph):
		err = fmt.Errorf("its graph is quantized or fused in a way that is not understood: %w", unclear)
	}
	if err != nil {
		return fmt.Errorf("%s: ONNX model: %w", path, err)
	}
	f.tensors = append(f.tensors, tensors...)
	return nil
}

// decoderByBias is the name that the decoder of a masked LM gets after its bias.
const decoderByBias = "cls.predictions.weight"

// covered reports whether all parameters of a BERT are among the tensors, under their names.
func covered(found *bertgraph.Result, tensors []Tensor) bool {
	shapes := make(map[string][]int, len(tensors))
	for i := range tensors {
		shapes[plainName(tensors[i].Name)] = tensors[i].Shape
	}
	if shape, ok := shapes[decoderByBias]; ok { // an untied decoder
		shapes["cls.predictions.decoder.weight"] = shape
	}
	for i := range found.Parameters {
		p := &found.Parameters[i]
		if shape, ok := shapes[p.Name]; !ok || !slices.Equal(shape, p.Shape) {
			return false
		}
	}
	return !found.Quantized && found.Positions == 0 && !found.NoTypes
}

// plainName is a name without what precedes a BERT's part of it.
func plainName(name string) string {
	for _, part := range []string{"embeddings.", "encoder.layer.", "pooler.dense.", "cls.", "classifier.", "qa_outputs."} {
		if at := strings.Index(name, part); at == 0 || at > 0 && name[at-1] == '.' {
			return name[at:]
		}
	}
	return name
}

// computedTensors are the parameters that were found by what the graph computes, and the tensors under parameters' names that it
// does not compute with. A matrix of 8-bit integers that are symmetric, with a scale for each row or one for all, stays one, and NAME_scale
// is the scales of its rows; others become the numbers that they mean.
func computedTensors(found *bertgraph.Result, named []Tensor, fileSize int) ([]Tensor, error) {
	var (
		tensors []Tensor
		used    = map[string]bool{decoderByBias: true} // names of the graph and of the parameters
	)
	for i := range found.Parameters {
		p := &found.Parameters[i]
		used[p.Name] = true
		if p.From != nil {
			used[p.From.Name] = true
		}
		values, scales, whole, err := found.Integers(p)
		if err != nil {
			return nil, err
		}
		if whole {
			data, err := FromFloat32(F32, scales)
			if err != nil {
				return nil, err
			}
			tensors = append(tensors, Tensor{Name: p.Name, DType: I8, Shape: p.Shape, Data: values}, Tensor{Name: p.Name + "_scale", DType: F32, Shape: []int{p.Shape[0]}, Data: data})
			continue
		}
		data, err := found.Data(p)
		if err != nil {
			return nil, err
		}
		dtype, ok := onnxTypes[p.Type]
		if !ok {
			return nil, fmt.Errorf("tensor %s: ONNX element type %d is not supported", p.Name, p.Type)
		}
		t := Tensor{Name: p.Name, DType: dtype, Shape: p.Shape, Data: data}
		if err := t.check(); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", p.Name, err)
		}
		tensors = append(tensors, t)
	}
	for _, t := range named {
		if plain := plainName(t.Name); !used[t.Name] && !used[plain] && !strings.ContainsAny(t.Name, ":/") && strings.Contains(t.Name, ".") && !ofQuantization().MatchString(t.Name) {
			t.Name = plain
			used[plain] = true
			tensors = append(tensors, t)
		}
	}
	if found.Quantized {
		fileSize *= 4 // each byte becomes a float32
	}
	return tensors, checkShared(tensors, fileSize)
}

// ofQuantization are the names of what quantizers put beside a tensor.
var ofQuantization = lazyregexp.New(`_(scale|zero_point|quantized|q|qdq|f)$`)

func graphNotes(found *bertgraph.Result) []string {
	var notes []string
	if found.Quantized {
		notes = append(notes, "the graph's weights are 8-bit integers: results differ a little from the original model's and from the graph's own")
	}
	if found.Positions > 0 {
		notes = append(notes, fmt.Sprintf("the graph is for %d tokens: it has position embeddings for no more", found.Positions))
	}
	if found.NoTypes {
		notes = append(notes, "the graph has no embeddings of segments of their own: there is one segment")
	}
	return notes
}

// optimized reports whether a graph is one that a quantizer or ONNX Runtime's optimizer made.
func optimized(g *onnx.Graph) bool {
	return slices.ContainsFunc(g.Nodes, func(n onnx.Node) bool {
		return n.Domain != "" && n.Domain != "ai.onnx" && strings.HasPrefix(n.Domain, "com.microsoft") ||
			slices.Contains([]string{"MatMulInteger", "DynamicQuantizeLinear", "QuantizeLinear", "DequantizeLinear", "QLinearMatMul"}, n.OpType)
	})
}

// loadExternal loads the elements of tensors that are stored in other files. Such a file must be in the model's folder: no
// other file is ever opened, whatever the model says. size is that of the files in bytes.
func (f *File) loadExternal(path string, g *onnx.Graph, load loader) (size int, err error) {
	files := map[string][]byte{}
	for i := range g.Initializers {
		t := &g.Initializers[i]
		if t.External == nil {
			continue
		}
		fail := func(format string, args ...any) (int, error) {
			return 0, fmt.Errorf("%s: tensor %s: %s", path, quoted(t.Name), fmt.Sprintf(format, args...))
		}
		name := strings.TrimPrefix(t.External.Location, "./")
		if !filepath.IsLocal(name) || strings.ContainsAny(name, "/\\\x00") || len(name) > maxFileName {
			return fail("its data are in %s, which is not a file name in the model's folder", quoted(t.External.Location))
		}
		dtype, shape, err := typeAndShape(t)
		if err != nil {
			return fail("%v", err)
		}
		bytes, err := byteSize(dtype, shape)
		if err != nil {
			return fail("%v", err)
		}
		data, ok := files[name]
		if !ok {
			data, err = f.load(filepath.Join(filepath.Dir(path), name), load)
			if errors.Is(err, fs.ErrNotExist) {
				return fail("its data are in %q, which is missing", name)
			}
			if err != nil {
				return 0, err
			}
			files[name] = data
			size += len(data)
		}
		offset, length := t.External.Offset, t.External.Length
		if length >= 0 && length != int64(bytes) {
			return fail("%d bytes of data in %q, want %d for %v with shape %s", length, name, bytes, dtype, shapeText(shape))
		}
		if offset > int64(len(data)) || int64(bytes) > int64(len(data))-offset {
			return fail("its %d bytes at %d go beyond the %d bytes of %q: truncated?", bytes, offset, len(data), name)
		}
		t.Raw = data[offset:][:bytes:bytes]
	}
	return size, nil
}

func typeAndShape(t *onnx.Tensor) (DType, []int, error) {
	dtype, ok := onnxTypes[t.Type]
	if !ok {
		return 0, nil, fmt.Errorf("ONNX element type %d is not supported", t.Type)
	}
	shape := make([]int, len(t.Shape))
	for i, d := range t.Shape {
		shape[i] = int(d)
		if int64(shape[i]) != d {
			return 0, nil, errors.New("its shape is larger than the address space")
		}
	}
	return dtype, shape, nil
}

// graphTensors returns the tensors of a graph, under their names in PyTorch. fileSize is the size of its files in bytes.
func graphTensors(g *onnx.Graph, fileSize int) ([]Tensor, error) {
	var (
		used   ledger
		names  []string // of values, in the order of the file
		values = map[string]*onnx.Tensor{}
	)
	add := func(name string, t *onnx.Tensor) error {
		if err := used.name(name, true); err != nil {
			return err
		}
		if values[name] != nil {
			return fmt.Errorf("tensor %s appears twice", quoted(name))
		}
		names = append(names, name)
		values[name] = t
		return nil
	}
	for i := range g.Initializers {
		if err := add(g.Initializers[i].Name, &g.Initializers[i]); err != nil {
			return nil, err
		}
	}

	// weights are the matrices whose names follow from the bias that is added to their product.
	type weight struct {
		value      string // in values
		transposed bool   // [in, out]
	}
	var (
		weights = map[string]weight{}
		product = map[string]string{} // the matrix of a MatMul, by the name of its result
	)
	name := func(matrix, bias string, transposed bool) error {
		base, ok := strings.CutSuffix(bias, ".bias")
		if !ok || values[bias] == nil || len(values[matrix].Shape) != 2 {
			return nil
		}
		if before, ok := weights[base+".weight"]; ok && before != (weight{matrix, transposed}) {
			return fmt.Errorf("%s is the bias of two products, with %s and %s", quoted(bias), quoted(before.value), quoted(matrix))
		}
		weights[base+".weight"] = weight{matrix, transposed}
		return nil
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if n.Domain != "" && n.Domain != "ai.onnx" || len(n.Outputs) == 0 {
			continue
		}
		in := func(i int) string {
			if i < len(n.Inputs) {
				return n.Inputs[i]
			}
			return ""
		}
		var err error
		switch n.OpType {
		case "Constant":
			if value := n.Attribute("value"); value != nil && value.Tensor != nil {
				err = add(n.Outputs[0], value.Tensor)
			}
		case "Identity": // exporters store equal tensors once
			if t := values[in(0)]; t != nil {
				err = add(n.Outputs[0], t)
			}
		case "MatMul":
			if values[in(1)] != nil {
				product[n.Outputs[0]] = in(1)
			}
		case "Add":
			if matrix, ok := product[in(0)]; ok {
				err = name(matrix, in(1), true)
			} else if matrix, ok := product[in(1)]; ok {
				err = name(matrix, in(0), true)
			}
		case "Gemm":
			if values[in(1)] != nil {
				transB := n.Attribute("transB")
				err = name(in(1), in(2), transB == nil || transB.Int == 0)
			}
		}
		if err != nil {
			return nil, err
		}
	}

	var (
		tensors    []Tensor
		named      = map[string]bool{}         // values already added under the name of their bias
		transposed = map[*onnx.Tensor][]byte{} // each is transposed once, however often the graph uses it
		room       = copyLimit * fileSize
	)
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		w := weights[name]
		if other := values[name]; other != nil && name != w.value {
			return nil, fmt.Errorf("the graph uses %s where tensor %s belongs, but has a tensor of that name too", quoted(w.value), quoted(name))
		}
		named[w.value] = true
		t, err := initializerOf(name, values[w.value])
		if err != nil {
			return nil, err
		}
		if w.transposed {
			source := values[w.value]
			if transposed[source] == nil {
				if room -= len(t.Data); room < 0 {
					return nil, fmt.Errorf("its transposed weights have more than %d times the bytes of the file: they share data", copyLimit)
				}
				transposed[source] = Transpose(t.Data, t.Shape[0], t.Shape[1], t.DType.Size())
			}
			t.Shape[0], t.Shape[1], t.Data = t.Shape[1], t.Shape[0], transposed[source]
		}
		tensors = append(tensors, t)
	}
	for _, name := range names {
		if named[name] || isConstant(name, values[name]) {
			continue
		}
		t, err := initializerOf(name, values[name])
		if err != nil {
			return nil, err
		}
		tensors = append(tensors, t)
	}
	return tensors, checkShared(tensors, fileSize)
}

// isConstant reports whether a tensor is a constant of the computation, not a learnt parameter: its name does not look like a
// parameter's, and it is a single number or of a type that weights don't have.
func isConstant(name string, t *onnx.Tensor) bool {
	if strings.Contains(name, ".") && !strings.ContainsAny(name, "/:") {
		return false
	}
	switch t.Type {
	case onnx.Float, onnx.Float16, onnx.BFloat16, onnx.Double:
		return int64(len(t.Raw)) <= t.Type.Size()
	case onnx.Int8, onnx.Uint8: // a quantized weight
		return len(t.Raw) <= 1
	}
	return true
}

func initializerOf(name string, t *onnx.Tensor) (Tensor, error) {
	dtype, shape, err := typeAndShape(t)
	if err != nil {
		return Tensor{}, fmt.Errorf("tensor %s: %w", quoted(name), err)
	}
	out := Tensor{Name: name, DType: dtype, Shape: shape, Data: t.Raw}
	if err := out.check(); err != nil {
		return Tensor{}, fmt.Errorf("tensor %s: %w", quoted(name), err)
	}
	return out, nil
}
