package bertgraph

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/onnx"
)

// microsoft is the domain of ONNX Runtime's own operators.
const microsoft = "com.microsoft"

// operands is a node with its operands.
type operands struct {
	*onnx.Node
	w *walk
}

// in is an operand, never nil.
func (o operands) in(i int) *value {
	if i < len(o.Inputs) && o.Inputs[i] != "" {
		if v := o.w.values[o.Inputs[i]]; v != nil {
			return v
		}
	}
	return &value{}
}

func (o operands) out(i int, v *value) {
	if i < len(o.Outputs) && o.Outputs[i] != "" {
		o.w.values[o.Outputs[i]] = v
	}
}

func (o operands) int(name string, otherwise int64) int64 {
	if a := o.Attribute(name); a != nil {
		return a.Int
	}
	return otherwise
}

// node follows the values through a node.
func (w *walk) node(n *onnx.Node) error {
	o := operands{n, w}
	if n.Domain == microsoft {
		w.result.Fused = true
	}
	switch n.OpType {
	case "Constant":
		if a := n.Attribute("value"); a != nil && a.Tensor != nil {
			o.out(0, &value{constant: arrayOf(a.Tensor)})
		}
		return nil
	case "MatMul", "FusedMatMul", "TransposeMatMul":
		return o.matMul()
	case "Gemm", "FusedGemm", "GemmFastGelu":
		return o.gemm()
	case "MatMulInteger":
		return o.integer(1, nil, o.in(3).constant, nil, false)
	case "MatMulIntegerToFloat": // A, B, scales, zero points, bias
		return o.integer(1, o.in(3).constant, o.in(5).constant, o.in(6).constant, false)
	case "DynamicQuantizeMatMul": // A, B, its scale and zero point, bias
		return o.integer(1, o.in(2).constant, o.in(3).constant, o.in(4).constant, false)
	case "QLinearMatMul":
		return o.integer(3, o.in(4).constant, o.in(5).constant, nil, false)
	case "QGemm":
		return o.qGemm()
	case "QLinearAdd", "QLinearMul":
		return o.quantizedArithmetic()
	case "MatMulNBits", "MatMulBnb4", "MatMulFpQ4":
		return errors.New("weights of less than 8 bits are not supported: export the model without quantization")
	case "Gather":
		return o.gather()
	case "Slice":
		if a := o.in(0).constant; a != nil && a.float() && isTable(a) { // as many positions as there are tokens
			o.out(0, &value{flow: &flow{kind: embedded, tables: []*table{{rows: tableOf(a)}}}})
			return nil
		}
		return o.first()
	case "LayerNormalization":
		f, err := o.normOf(o.in(0), 1, 2)
		if err == nil {
			o.out(0, &value{flow: f})
		}
		return err
	case "SkipLayerNormalization":
		return o.skipNorm()
	case "EmbedLayerNormalization", "QEmbedLayerNormalization":
		return o.embed()
	case "Attention":
		if n.Domain == microsoft {
			return o.fusedAttention(o.in(1).constant, o.in(2).constant)
		}
		return o.attention(nil)
	case "QAttention": // input, weight, bias, scales of both, mask, zero points of both
		a, ok := dequantize(o.in(1).constant, o.in(4).constant, o.in(7).constant, 1)
		if !ok {
			return errors.New("its weights are not 8-bit integers with scales")
		}
		w.result.Quantized = true
		return o.fusedAttention(a, o.in(2).constant)
	case "MultiHeadAttention":
		return o.attention(o.in(3).constant)
	case "BiasGelu", "FastGelu", "BiasAdd":
		return o.biasActivation()
	case "Tanh":
		if f := o.in(0).flow; f != nil && f.kind == product && f.lin.input.kind == first {
			if err := w.dense("pooler.dense", f.lin); err != nil {
				return err
			}
			o.out(0, &value{flow: &flow{kind: pooled}})
			return nil
		}
	case "DequantizeLinear":
		if done, err := o.dequantizeLinear(); done {
			return err
		}
	case "Add", "Mul", "Sub", "Div":
		return o.arithmetic()
	case "Cast", "Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten":
		if done := o.constantShape(); done {
			return nil
		}
	}
	return o.follow()
}

// passThrough are operators whose result is the product of a dense layer if their operand is.
var passThrough = []string{"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Dropout", "QuantizeLinear", "DequantizeLinear", "Mul"}

// follow gives the results what the operands are, if they agree.
func (o operands) follow() error {
	var (
		f   *flow
		raw bool
		src source
	)
	for i := range o.Inputs {
		v := o.in(i)
		if v.flow != nil {
			switch {
			case f == nil || f == v.flow:
				f = v.flow
			default:
				var err error
				if f, err = o.w.join(f, v.flow); err != nil {
					return err
				}
			}
			raw = raw || v.raw
		}
		switch {
		case v.source == nowhere:
		case src == nowhere || src == v.source:
			src = v.source
		default:
			src = others
		}
	}
	if o.OpType == "Shape" || o.OpType == "Size" {
		f, src = nil, nowhere
	}
	v := &value{flow: f, source: src, raw: raw && slices.Contains(passThrough, o.OpType)}
	for i := range o.Outputs {
		if i == 0 || f == nil {
			o.out(i, v)
		}
	}
	if o.OpType == "Split" {
		for i := range o.Outputs {
			o.out(i, v)
		}
	}
	return nil
}

// join is what comes of two values.
func (w *walk) join(a, b *flow) (*flow, error) {
	for _, p := range [][2]*flow{{a, b}, {b, a}} {
		x, y := p[0], p[1]
		switch {
		case x.kind == norming && x.base == y: // in a LayerNorm
			return x, nil
		case x.kind == norming && x.after == y:
			return y, nil
		case x.kind == sum && y.kind == product && x.lin == y.lin:
			return x, nil
		}
	}
	return nil, errors.New("it joins two values in a way that no BERT does")
}

// matMul is the product with a constant, a dense layer, or of two values, in attention.
func (o operands) matMul() error {
	x, y := o.in(0), o.in(1)
	turned := o.int("transB", 0) == 1
	switch {
	case x.flow != nil && y.constant != nil && len(y.constant.shape) == 2 && y.constant.quantized(): // as numbers, whose scale comes after
		return o.integer(1, nil, nil, nil, turned)
	case x.flow != nil && y.constant != nil && len(y.constant.shape) == 2 && y.constant.float():
		a := y.constant
		if !turned {
			a = a.transposed()
		}
		return o.linear(x.flow, a, nil)
	case x.flow != nil && y.flow != nil && x.flow.kind == product && y.flow.kind == product:
		o.out(0, &value{flow: &flow{kind: scores, q: x.flow, k: y.flow}})
		return nil
	case x.flow != nil && y.flow != nil && x.flow.kind == scores && y.flow.kind == product:
		f, err := o.w.attention(x.flow.q, x.flow.k, y.flow)
		if err != nil {
			return err
		}
		o.out(0, &value{flow: f})
		return nil
	}
	return o.follow()
}

// linear adds a dense layer with a weight [out, in].
func (o operands) linear(input *flow, weight, bias *array) error {
	if input.unscaled != nil {
		return errScaled
	}
	l := &linear{input: o.settle(input), weight: weight}
	if bias != nil && bias.len() == weight.shape[0] {
		l.bias = bias.reshaped(bias.len())
	}
	if l.input == nil {
		return errors.New("a LayerNorm without its offset")
	}
	o.w.heads = append(o.w.heads, l)
	o.out(0, &value{flow: &flow{kind: product, lin: l}, raw: l.bias == nil})
	return nil
}

// errScaled is the error of hidden states whose columns are multiplied by a constant and which are not rounded to integers then.
var errScaled = errors.New("it takes hidden states times a constant, as no BERT does")

// settle ends a LayerNorm that has no offset.
func (o operands) settle(f *flow) *flow {
	if f.kind != norming {
		return f
	}
	if f.after == nil {
		f.after, _ = o.w.norm(f.base, f.gain, nil)
	}
	return f.after
}

// gemm is a dense layer with a bias.
func (o operands) gemm() error {
	x, y := o.in(0), o.in(1)
	if x.flow == nil || y.constant == nil || len(y.constant.shape) != 2 || !y.constant.float() {
		return o.follow()
	}
	for _, name := range []string{"alpha", "beta"} {
		if a := o.Attribute(name); a != nil && a.Float != 1 {
			return fmt.Errorf("its %s is %v, only 1 is supported", name, a.Float)
		}
	}
	a := y.constant
	if o.int("transB", 0) == 0 || o.OpType == "GemmFastGelu" {
		a = a.transposed()
	}
	return o.linear(x.flow, a, o.in(2).constant)
}

// integer is a dense layer whose weight, operand b, is a matrix [in, out] of 8-bit integers. Without a scale it waits for it.
func (o operands) integer(b int, scale, zero, bias *array, turned bool) error {
	x, a := o.in(0), o.in(b).constant
	if x.flow == nil || a == nil || len(a.shape) != 2 || !a.quantized() {
		if x.flow != nil && o.in(b).flow != nil { // attention between quantized operands
			return o.dynamicMatMul(x.flow, o.in(b).flow)
		}
		return o.follow()
	}
	o.w.result.Quantized = true
	l := &linear{input: o.settle(x.flow), stored: a, zero: zero, axis: 1, turned: !turned}
	if l.input != nil && l.input.unscaled != nil {
		l.input, l.columns = l.input.unscaled, l.input.columns
	}
	if turned {
		l.axis = 0
	}
	if l.input == nil {
		return errors.New("a LayerNorm without its offset")
	}
	if scale != nil {
		if !l.scaled(scale) {
			return errors.New("the scale of its weights is neither a number nor one for each output")
		}
		if bias != nil {
			l.bias = bias.reshaped(bias.len())
		}
	}
	o.w.heads = append(o.w.heads, l)
	o.out(0, &value{flow: &flow{kind: product, lin: l}, raw: l.bias == nil})
	return nil
}

func (o operands) dynamicMatMul(x, y *flow) error {
	switch {
	case x.kind == product && y.kind == product:
		o.out(0, &value{flow: &flow{kind: scores, q: x, k: y}})
		return nil
	case x.kind == scores && y.kind == product:
		f, err := o.w.attention(x.q, x.k, y)
		o.out(0, &value{flow: f})
		return err
	}
	return errors.New("a product of two values that no BERT has")
}

// scaled gives a layer of integers its scale.
func (l *linear) scaled(scale *array) bool {
	a, ok := dequantize(l.stored, scale, l.zero, l.axis)
	if !ok {
		return false
	}
	if l.turned {
		a = a.transposed()
	}
	if l.columns != nil {
		if a, ok = a.elementwise(l.columns, func(x, y float32) float32 { return x * y }); !ok {
			return false
		}
	}
	l.weight = a.once()
	return true
}

func dequantize(a, scale, zero *array, axis int) (*array, bool) {
	if a == nil || scale == nil || !a.quantized() {
		return nil, false
	}
	return a.dequantized(scale, zero, axis)
}

// qGemm is a dense layer of integers: A and its scale and zero point, B and its, the bias as an integer, and the output's.
func (o operands) qGemm() error {
	scaleA, scaleB, bias := o.in(1).constant, o.in(4).constant, o.in(6).constant
	if bias != nil && scaleA != nil && scaleB != nil && scaleA.len() == 1 {
		unit := scaleB.reshaped(scaleB.len())
		step, ok := unit.elementwise(scaleA.reshaped(1), func(x, y float32) float32 { return x * y })
		if !ok {
			return errors.New("its scales do not fit")
		}
		if bias, ok = bias.reshaped(bias.len()).elementwise(step, func(x, y float32) float32 { return x * y }); !ok {
			return errors.New("the scale of its bias does not fit")
		}
	}
	return o.integer(3, scaleB, o.in(5).constant, bias, o.int("transB", 0) == 1)
}

// isTable reports whether a constant may be an embedding table: a matrix, perhaps with a dimension of 1 before.
func isTable(a *array) bool {
	n := len(a.shape)
	return n >= 2 && a.shape[n-1] > 1 && a.len() == a.shape[n-1]*a.shape[n-2]
}

func tableOf(a *array) *array {
	n := len(a.shape)
	return a.reshaped(a.shape[n-2], a.shape[n-1])
}

// gather is the rows of an embedding table, or the first tokens' hidden states.
func (o operands) gather() error {
	a := o.in(0).constant
	if a == nil || !isTable(a) || !a.float() && !a.quantized() || o.int("axis", 0) != 0 || len(a.shape) != 2 {
		if a != nil {
			v := &value{source: o.in(1).source} // of a constant of the computation
			if a.float() && len(a.shape) == 2 && a.shape[1] == 1 && v.source != nowhere {
				v.rowScales = a
			}
			o.out(0, v)
			return nil
		}
		return o.first()
	}
	o.out(0, &value{flow: &flow{kind: embedded, tables: []*table{{rows: a, of: o.in(1).source}}}})
	return nil
}

// first follows hidden states from which a part is taken.
func (o operands) first() error {
	f := o.in(0).flow
	if f != nil && f.unscaled != nil {
		return errScaled
	}
	if f != nil {
		f = o.settle(f)
	}
	if f != nil && f.kind == hidden && !f.middle {
		o.out(0, &value{flow: &flow{kind: first, layer: f.layer}})
		return nil
	}
	return o.follow()
}

// normOf is a LayerNorm over a value.
func (o operands) normOf(x *value, gain, beta int) (*flow, error) {
	g := o.in(gain).constant
	if x.flow == nil || g == nil || !g.float() {
		return nil, errors.New("a LayerNorm of what is not understood")
	}
	return o.w.norm(o.settle(x.flow), g, o.in(beta).constant)
}

// skipNorm adds two values and perhaps a bias, and normalizes the sum.
func (o operands) skipNorm() error {
	s, err := o.added(o.in(0), o.in(1))
	if err != nil {
		return err
	}
	if bias := o.in(4).constant; bias != nil {
		if s.kind != sum || s.lin.bias != nil {
			return errors.New("a bias of no dense layer")
		}
		s.lin.bias = bias.reshaped(bias.len())
	}
	f, err := o.normOf(&value{flow: s}, 2, 3)
	if err != nil {
		return err
	}
	o.out(0, &value{flow: f})
	o.out(3, &value{flow: s})
	return nil
}

// added is the sum of two values.
func (o operands) added(x, y *value) (*flow, error) {
	if x.flow == nil || y.flow == nil {
		return nil, errors.New("a sum with what is not understood")
	}
	if x.flow.unscaled != nil || y.flow.unscaled != nil {
		return nil, errScaled
	}
	a, b := o.settle(x.flow), o.settle(y.flow)
	if a == nil || b == nil {
		return nil, errors.New("a LayerNorm without its offset")
	}
	if a.kind != product {
		a, b = b, a
	}
	switch {
	case a.kind == embedded && b.kind == embedded:
		if len(a.tables)+len(b.tables) > 3 {
			return nil, errors.New("more than three tables of embeddings")
		}
		return &flow{kind: embedded, tables: slices.Concat(a.tables, b.tables)}, nil
	case a.kind == product && b.kind == hidden:
		return &flow{kind: sum, lin: a.lin}, nil
	case a == b:
		return a, nil
	}
	return o.w.join(a, b)
}

// embed is the embeddings with their LayerNorm in one operator.
func (o operands) embed() error {
	tables := make([]*array, 5)
	for i := range tables { // word, position, type, gain, offset
		tables[i] = o.in(2 + i).constant
		if o.OpType == "QEmbedLayerNormalization" && tables[i] != nil { // the scales after the mask, then the zero points
			a, ok := dequantize(tables[i], o.in(8+i).constant, o.in(13+i).constant, 0)
			if !ok {
				return errors.New("its tables are not 8-bit integers with scales")
			}
			o.w.result.Quantized = true
			tables[i] = a
		}
	}
	if tables[0] == nil || tables[1] == nil || tables[3] == nil || !isTable(tables[0]) || !isTable(tables[1]) {
		return errors.New("its tables are no constants")
	}
	f := &flow{kind: embedded, tables: []*table{{rows: tables[0], of: tokenIDs}, {rows: tables[1]}}}
	if tables[2] != nil && isTable(tables[2]) {
		f.tables = append(f.tables, &table{rows: tables[2], of: typeIDs})
	}
	out, err := o.w.norm(f, tables[3], tables[4])
	if err != nil {
		return err
	}
	o.out(0, &value{flow: out})
	return nil
}

// fusedAttention is query, key and value in one matrix [in, 3·out], with their bias, and the attention over them.
func (o operands) fusedAttention(weight, bias *array) error {
	x := o.in(0).flow
	if x == nil || weight == nil || len(weight.shape) != 2 || weight.shape[1]%3 != 0 || bias != nil && bias.len() != weight.shape[1] {
		return errors.New("an attention whose weights are not one matrix of query, key and value")
	}
	if a := o.Attribute("unidirectional"); a != nil && a.Int != 0 {
		return errors.New("an attention to earlier tokens alone, which no BERT has")
	}
	var (
		parts  [3]*flow
		n      = weight.shape[1] / 3
		joined = weight.transposed().once()
		input  = o.settle(x)
	)
	if input == nil {
		return errors.New("a LayerNorm without its offset")
	}
	for i := range parts {
		l := &linear{input: input, weight: joined.part(i*n, (i+1)*n)}
		if bias != nil {
			l.bias = bias.reshaped(bias.len()).part(i*n, (i+1)*n)
		}
		o.w.heads = append(o.w.heads, l)
		parts[i] = &flow{kind: product, lin: l}
	}
	f, err := o.w.attention(parts[0], parts[1], parts[2])
	if err != nil {
		return err
	}
	o.out(0, &value{flow: f})
	return nil
}

// attention is that over queries, keys and values, with one bias for all of them or none.
func (o operands) attention(bias *array) error {
	parts := [3]*flow{o.in(0).flow, o.in(1).flow, o.in(2).flow}
	if bias != nil {
		n := bias.len() / 3
		for i, f := range parts {
			if f == nil || f.kind != product || f.lin.bias != nil || bias.len() != 3*n {
				return errors.New("a bias of no queries, keys and values")
			}
			f.lin.bias = bias.reshaped(bias.len()).part(i*n, (i+1)*n)
		}
	}
	f, err := o.w.attention(parts[0], parts[1], parts[2])
	if err != nil {
		return err
	}
	o.out(0, &value{flow: f})
	return nil
}

// biasActivation adds a bias and applies an activation.
func (o operands) biasActivation() error {
	x := o.in(0)
	if x.flow == nil || x.flow.kind != product {
		return o.follow()
	}
	if bias := o.in(1).constant; bias != nil {
		if x.flow.lin.bias != nil {
			return errors.New("a second bias of a dense layer")
		}
		x.flow.lin.bias = bias.reshaped(bias.len())
	}
	o.out(0, &value{flow: x.flow})
	return nil
}

// dequantizeLinear dequantizes a constant, or rows of one that were taken before.
func (o operands) dequantizeLinear() (done bool, err error) {
	x, scale, zero := o.in(0), o.in(1).constant, o.in(2).constant
	axis := int(o.int("axis", 1))
	switch {
	case x.constant != nil && (x.constant.quantized() || x.constant.typ == onnx.Int32) && scale != nil:
		if x.constant.len() > 1 {
			o.w.result.Quantized = true
		}
		if len(x.constant.shape) < 2 {
			axis = 0
		}
		a, ok := x.constant.dequantized(scale, zero, axis)
		if !ok {
			return true, errors.New("its scale does not fit, as of weights quantized by blocks")
		}
		o.out(0, &value{constant: a})
		return true, nil
	case x.flow.integers() && scale != nil:
		f, ok := o.w.dequantizedTable(x.flow, scale, zero, axis)
		if !ok {
			return true, errors.New("the scale of a table of embeddings does not fit")
		}
		o.out(0, &value{flow: f})
		return true, nil
	}
	return false, nil
}

// integers reports whether f is rows of a table of 8-bit integers.
func (f *flow) integers() bool {
	return f != nil && f.kind == embedded && len(f.tables) == 1 && f.tables[0].rows.quantized()
}

// ofIntegers reports whether f is the product of integers of an input.
func (f *flow) ofIntegers(input *flow) bool {
	return f != nil && f.kind == product && f.lin.stored != nil && input != nil && (f.lin.input == input || f.lin.input == input.unscaled)
}

// dequantizedTable is such rows with their scale.
func (w *walk) dequantizedTable(f *flow, scale, zero *array, axis int) (*flow, bool) {
	t := *f.tables[0]
	w.result.Quantized = true
	a, ok := t.rows.dequantized(scale, zero, min(axis, 1))
	t.rows = a
	return &flow{kind: embedded, tables: []*table{&t}}, ok
}

// constantShape follows operators that change the shape of a constant, or its type.
func (o operands) constantShape() bool {
	a := o.in(0).constant
	if a == nil {
		return false
	}
	switch o.OpType {
	case "Identity":
		o.out(0, o.in(0))
		return true
	case "Cast":
		if a.float() || a.quantized() {
			o.out(0, o.in(0)) // numbers are the same in float32
			return true
		}
	case "Transpose":
		perm := o.Attribute("perm")
		if len(a.shape) == 2 && a.depth < maxDepth && (perm == nil || slices.Equal(perm.Ints, []int64{1, 0})) {
			t := a.transposed()
			t.tensor = a.tensor
			o.out(0, &value{constant: t})
			return true
		}
	case "Unsqueeze", "Squeeze", "Reshape", "Flatten":
		if a.vector() > 0 && a.len() == a.vector() {
			o.out(0, &value{constant: a.reshaped(a.len())})
			return true
		}
		if isTable(a) && o.OpType != "Reshape" && o.OpType != "Flatten" {
			o.out(0, &value{constant: tableOf(a)})
			return true
		}
	}
	return false
}

// arithmetic is addition and the like: of constants, of a bias, of scales, of a LayerNorm's gain and offset, of a residual.
func (o operands) arithmetic() error {
	x, y := o.in(0), o.in(1)
	if x.constant != nil && y.constant != nil {
		return o.constants(x.constant, y.constant)
	}
	v, c := x, y.constant // a value and a constant
	if c == nil {
		v, c = y, x.constant
	}
	f := v.flow
	switch {
	case c == nil && x.flow != nil && y.flow != nil && o.OpType == "Add":
		s, err := o.added(x, y)
		if err != nil {
			return err
		}
		o.out(0, &value{flow: s})
		return nil
	case c == nil && o.OpType == "Mul" && (x.flow.integers() && y.rowScales != nil || y.flow.integers() && x.rowScales != nil):
		rows, scales := x.flow, y.rowScales // of a table of embeddings
		if scales == nil {
			rows, scales = y.flow, x.rowScales
		}
		table, ok := o.w.dequantizedTable(rows, scales, nil, 0)
		if !ok {
			return errors.New("the scale of a table of embeddings does not fit")
		}
		o.out(0, &value{flow: table})
		return nil
	case c == nil && (o.OpType == "Mul" || o.OpType == "Div") && x.flow.ofIntegers(y.flow):
		o.out(0, x) // times the scale of the input, or over its inverse
		return nil
	case c == nil && (o.OpType == "Mul" || o.OpType == "Div") && y.flow.ofIntegers(x.flow):
		o.out(0, y)
		return nil
	case c == nil && o.OpType == "Mul" && (x.scale != nil || y.scale != nil):
		// A product of integers times its scale.
		scale, value := x.scale, y
		if scale == nil {
			scale, value = y.scale, x
		}
		if p := value.flow; p != nil && p.kind == product && p.lin.stored != nil && p.lin.weight == nil {
			if !p.lin.scaled(scale) {
				return errors.New("the scale of quantized weights is neither a number nor one for each output")
			}
			o.out(0, value)
			return nil
		}
	case c == nil:
	case o.OpType == "Mul" && f == nil && v.source == nowhere && c.float():
		o.out(0, &value{scale: c}) // of an input's scale and a weight's
		return nil
	case f == nil:
	case o.OpType == "Mul" && f.kind == product && f.lin.stored != nil && f.lin.weight == nil:
		if !f.lin.scaled(c) {
			return errors.New("the scale of quantized weights is neither a number nor one for each output")
		}
		o.out(0, v)
		return nil
	case o.OpType == "Add" && f.kind == product && v.raw && f.lin.bias == nil && f.lin.width() == c.len() && c.float():
		f.lin.bias = c.reshaped(c.len())
		o.out(0, &value{flow: f})
		return nil
	case o.OpType == "Add" && f.kind == embedded && c.len() > 1 && len(f.tables) > 2:
		return errors.New("more than three tables of embeddings")
	case o.OpType == "Add" && f.kind == embedded && isTable(c) && c.float():
		o.out(0, &value{flow: &flow{kind: embedded, tables: append(slices.Clip(f.tables), &table{rows: tableOf(c), folded: true})}})
		return nil
	case o.OpType == "Add" && f.kind == embedded && c.vector() > 1 && c.float(): // one row for all tokens
		o.out(0, &value{flow: &flow{kind: embedded, tables: append(slices.Clip(f.tables), &table{rows: c.reshaped(1, c.len()), folded: true})}})
		return nil
	case o.OpType == "Mul" && (f.kind == embedded || f.kind == sum || f.kind == product && !v.raw) && c.vector() > 1 && c.float():
		o.out(0, &value{flow: &flow{kind: norming, base: f, gain: c}})
		return nil
	case (o.OpType == "Add" || o.OpType == "Sub" && c == x.constant) && f.kind == norming && c.vector() > 1 && c.float():
		if f.after != nil {
			return errors.New("a second offset of a LayerNorm")
		}
		after, err := o.w.norm(f.base, f.gain, c)
		if err != nil {
			return err
		}
		f.after = after
		o.out(0, &value{flow: after})
		return nil
	case o.OpType == "Mul" && f.kind == hidden && f.unscaled == nil && c.vector() > 1 && c.float():
		o.out(0, &value{flow: &flow{kind: hidden, layer: f.layer, middle: f.middle, unscaled: f, columns: c.reshaped(c.len())}})
		return nil
	case f.kind != scores && c.len() > 1:
		return fmt.Errorf("a constant of shape %v that no BERT has there", c.shape)
	}
	return o.follow()
}

// quantizedArithmetic is the addition or the product of 8-bit integers, each with its scale and its zero point.
func (o operands) quantizedArithmetic() error {
	plain := onnx.Node{Name: o.Name, OpType: strings.TrimPrefix(o.OpType, "QLinear"), Outputs: o.Outputs}
	for i := 0; i <= 3; i += 3 {
		v := o.in(i)
		if v.constant != nil {
			a, ok := dequantize(v.constant, o.in(i+1).constant, o.in(i+2).constant, len(v.constant.shape)-1)
			if !ok {
				return errors.New("a constant that is no 8-bit integer with its scale")
			}
			o.w.result.Quantized = true
			v = &value{constant: a}
		} else if scale := o.in(i + 1).constant; v.flow.integers() && scale != nil {
			f, ok := o.w.dequantizedTable(v.flow, scale, o.in(i+2).constant, 1)
			if !ok {
				return errors.New("the scale of a table of embeddings does not fit")
			}
			v = &value{flow: f}
		}
		name := fmt.Sprintf("\x00%d", i) // no name of the graph
		o.w.values[name] = v
		plain.Inputs = append(plain.Inputs, name)
	}
	return operands{&plain, o.w}.arithmetic()
}

// width is the number of a layer's outputs.
func (l *linear) width() int {
	switch {
	case l.weight != nil:
		return l.weight.shape[0]
	case l.turned:
		return l.stored.shape[1]
	}
	return l.stored.shape[0]
}

// constants computes with two constants, as far as weights are: those that are quantized by the graph's own operators, and those
// whose scale is a constant of it.
func (o operands) constants(x, y *array) error {
	f := map[string]func(x, y float32) float32{
		"Add": func(x, y float32) float32 { return x + y }, "Sub": func(x, y float32) float32 { return x - y },
		"Mul": func(x, y float32) float32 { return x * y }, "Div": func(x, y float32) float32 { return x / y },
	}[o.OpType]
	a, b := x, y
	if y.len() > x.len() {
		swapped := f
		a, b, f = y, x, func(x, y float32) float32 { return swapped(y, x) }
	}
	if out, ok := a.elementwise(b, f); ok {
		if a.quantized() && a.len() > 1 {
			o.w.result.Quantized = true
		}
		o.out(0, &value{constant: out})
	}
	return nil
}
