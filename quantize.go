package bert

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/compute"
)

// This file makes a model's weights int8, and reads those that are. quantization.go is how config.json says so.
//
// Legend: O outputs, I inputs of a layer; of a table of embeddings O is its rows and I its width.

// Int8Layer is a layer whose weight may be int8: a dense layer of the encoder, a table of embeddings, or the decoder of a masked LM
// that is a matrix of its own.
type Int8Layer struct {
	// Name is the layer's without the encoder's prefix: "encoder.layer.0.attention.output.dense".
	Name string
	// Param is the parameter that is its weight, by its name in the table.
	Param string
	// Kind is one of Int8Kinds.
	Kind string
	// Block is the block of the encoder that it is in, counted from 0; −1 outside.
	Block int
	// Products says that its inputs can be int8 too, so that its products are. Otherwise its weight is only stored so.
	Products bool
	Shape    []int // [O, I]
}

// int8Kind is a kind of layers.
type int8Kind struct {
	kind, suffix string // of the layers' names
	products     bool
}

// int8Kinds are the kinds in the order in which data goes through them.
var int8Kinds = []int8Kind{
	{"embeddings", "_embeddings", false},
	{"query", ".attention.self.query", true},
	{"key", ".attention.self.key", true},
	{"value", ".attention.self.value", true},
	{"attention.output", ".attention.output.dense", true},
	{"intermediate", ".intermediate.dense", true},
	{"output", ".output.dense", true},
	{"decoder", "cls.predictions.decoder", false},
}

// kindOf is the kind of a layer, nil of one that isn't int8.
func kindOf(layer string) *int8Kind {
	for i := range int8Kinds {
		if strings.HasSuffix(layer, int8Kinds[i].suffix) {
			return &int8Kinds[i]
		}
	}
	return nil
}

// Int8Kinds lists the kinds of layers whose weights may be int8.
func Int8Kinds() []string {
	names := make([]string, len(int8Kinds))
	for i, k := range int8Kinds {
		names[i] = k.kind
	}
	return names
}

// Int8Layers lists the layers of a model whose weights may be int8, in the order of the table of parameters. The pooler and the
// heads are none: they are small, and the last before the answer.
func Int8Layers(c *Config, head Head) []Int8Layer {
	var layers []Int8Layer
	for _, p := range Params(c, head) {
		name, ok := strings.CutSuffix(canonicalName(p.Name), ".weight")
		if !ok || len(p.Shape) != 2 {
			continue
		}
		k := kindOf(name)
		if k == nil {
			continue
		}
		l := Int8Layer{Name: name, Param: p.Name, Kind: k.kind, Block: -1, Products: k.products, Shape: p.Shape}
		if rest, ok := strings.CutPrefix(name, "encoder.layer."); ok {
			number, _, _ := strings.Cut(rest, ".")
			l.Block, _ = strconv.Atoi(number)
		}
		layers = append(layers, l)
	}
	return layers
}

// Quantize says which weights of a model become int8, as [Options] at Int8 and [SaveOptions] take it. The zero value is good.
//
// A weight is rounded by rows: row o becomes integers from −127 to 127 and a scale, its largest magnitude over 127. So does each
// row of a table of embeddings.
//
// A list selects layers by the numbers of their blocks ("0", "11"), their kinds (Int8Kinds), or patterns of their names as path.Match
// has them, with points in place of slashes ("encoder.layer.*.output.dense").
type Quantize struct {
	// Keep are the layers that stay as they are.
	Keep []string
	// WeightsOnly are the layers whose weights are int8 and whose inputs are not: they are stored in a quarter of the size and
	// multiplied in float32. nil: query, key and value, which cost the most accuracy. Query, key and value of a block are one
	// product, so that all three are multiplied in int8 or none is.
	WeightsOnly []string
	// InputScales are what the columns of a layer's input are multiplied by before they are rounded, by Int8Layer.Name, as a
	// [Calibration] finds them; its weight's columns are divided by them. Query, key and value of a block have the same.
	InputScales map[string][]float32
}

// defaultWeightsOnly is Quantize.WeightsOnly of nil.
var defaultWeightsOnly = []string{"query", "key", "value"}

// int8Use is how a layer uses int8.
type int8Use uint8

const (
	useFloat   int8Use = iota // not at all
	useWeights                // its weight is stored so
	useInputs                 // its products too
)

// Check reports a selection that selects nothing, and scales that fit no layer.
func (q *Quantize) Check(c *Config, head Head) error {
	_, err := q.plan(c, head)
	return err
}

// Uses says of each layer whether its weight becomes int8, by Int8Layer.Name. The errors are those of Check.
func (q *Quantize) Uses(c *Config, head Head) (map[string]bool, error) {
	plan, err := q.plan(c, head)
	uses := make(map[string]bool, len(plan))
	for name, use := range plan {
		uses[name] = use != useFloat
	}
	return uses, err
}

// plan says how each layer uses int8, by Int8Layer.Name.
func (q *Quantize) plan(c *Config, head Head) (map[string]int8Use, error) {
	layers := Int8Layers(c, head)
	keep, err := selectLayers(layers, q.Keep)
	if err != nil {
		return nil, err
	}
	weightsOnly := q.WeightsOnly
	if weightsOnly == nil {
		weightsOnly = defaultWeightsOnly
	}
	stored, err := selectLayers(layers, weightsOnly)
	if err != nil {
		return nil, err
	}
	uses := make(map[string]int8Use, len(layers))
	for _, l := range layers {
		switch {
		case keep[l.Name]:
			uses[l.Name] = useFloat
		case stored[l.Name] || !l.Products:
			uses[l.Name] = useWeights
		default:
			uses[l.Name] = useInputs
		}
	}
	for i := range c.NumHiddenLayers {
		names := attentionInputs(i)
		if slices.ContainsFunc(names, func(n string) bool { return uses[n] != useInputs }) {
			for _, n := range names {
				uses[n] = min(uses[n], useWeights)
			}
		}
	}
	for name, scales := range q.InputScales {
		i := slices.IndexFunc(layers, func(l Int8Layer) bool { return l.Name == name })
		switch {
		case i < 0 || !layers[i].Products:
			return nil, fmt.Errorf("input scales for %s, which is no dense layer of the encoder", quoteShort(name))
		case len(scales) != layers[i].Shape[1]:
			return nil, fmt.Errorf("%d input scales for %s, want %d", len(scales), name, layers[i].Shape[1])
		case !positive(scales):
			return nil, fmt.Errorf("the input scales for %s are not all positive numbers", name)
		}
	}
	return uses, nil
}

// attentionInputs are the layers of a block that make one product: query, key and value.
func attentionInputs(block int) []string {
	l := fmt.Sprintf("encoder.layer.%d.attention.self.", block)
	return []string{l + "query", l + "key", l + "value"}
}

// selectLayers is the names of the layers that a list selects.
func selectLayers(layers []Int8Layer, list []string) (map[string]bool, error) {
	selected := make(map[string]bool)
	for _, item := range list {
		block, err := strconv.Atoi(item)
		if err != nil || block < 0 {
			block = -2 // none
		}
		found := slices.Contains(Int8Kinds(), item) // that this model has no such layer is no mistake
		for _, l := range layers {
			matched, err := path.Match(strings.ReplaceAll(item, ".", "/"), strings.ReplaceAll(l.Name, ".", "/"))
			if err != nil {
				return nil, fmt.Errorf("layers %s: %w", quoteShort(item), err)
			}
			if matched || l.Block == block || l.Kind == item {
				selected[l.Name], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("there are no layers %s: want the number of a block, one of %s, or a pattern of names such as encoder.layer.*.output.dense",
				quoteShort(item), strings.Join(Int8Kinds(), ", "))
		}
	}
	return selected, nil
}

func positive(scales []float32) bool {
	return !slices.ContainsFunc(scales, func(s float32) bool { return !(s > 0 && s <= math.MaxFloat32) })
}

// integers are a parameter's values as int8. Nothing changes them.
type integers struct {
	compute.Integers
	inputScales []float32 // [I], or nil: what the layer's input is multiplied by
	inputs      bool      // the layer's products are int8 too
}

// floats are the numbers that q means, from a row to before another.
func (q *integers) floats(dst []float32, from, to int) {
	if len(q.Scales) == 0 {
		return
	}
	in := len(q.Values) / len(q.Scales)
	for r := from; r < to; r++ {
		row, scale := dst[(r-from)*in:][:in], q.Scales[r]
		for j, v := range q.Values[r*in:][:in] {
			row[j] = float32(v) * scale
		}
		if q.inputScales != nil {
			for j, s := range q.inputScales {
				row[j] *= s
			}
		}
	}
}

// quantizeValues rounds the values [O, I] of a parameter.
func quantizeValues(p *Param, values, inputScales []float32) (*integers, error) {
	rows, in := p.Shape[0], p.Shape[1]
	q := &integers{inputScales: inputScales}
	q.Values, q.Scales = make([]int8, rows*in), make([]float32, rows)
	scaled := make([]float32, in)
	for r := range rows {
		row := values[r*in:][:in]
		if inputScales != nil {
			for j, v := range row {
				scaled[j] = v / inputScales[j]
			}
			row = scaled
		}
		q.Scales[r] = compute.QuantizeRow(q.Values[r*in:][:in], row)
		switch {
		case q.Scales[r] == 0:
			q.Scales[r] = 1 // of zeros any will do, and readers want a positive one
		case !positive(q.Scales[r : r+1]):
			return nil, &NotFiniteError{Sequence: -1, Tensor: p.Name, Count: max(1, countNotFinite(values))}
		}
	}
	return q, nil
}

func countNotFinite(values []float32) (n int) {
	for _, x := range values {
		if !finite(x) {
			n++
		}
	}
	return n
}

// planOf is how the layers use int8 and the scales of their inputs, by the names of parameters.
func (q *Quantize) planOf(c *Config, head Head) (map[string]int8Use, map[string][]float32, error) {
	uses, err := q.plan(c, head)
	if err != nil {
		return nil, nil, err
	}
	byParam, scales := make(map[string]int8Use), make(map[string][]float32)
	for _, l := range Int8Layers(c, head) {
		byParam[l.Param] = uses[l.Name]
		if uses[l.Name] == useInputs {
			scales[l.Param] = q.InputScales[l.Name]
		}
	}
	return byParam, scales, nil
}

// quantize makes int8 of the model's parameters as q says.
func (m *Model) quantize(q *Quantize) error {
	uses, scales, err := q.planOf(&m.config, m.head)
	if err != nil {
		return err
	}
	for i := range m.params {
		p := &m.params[i]
		ints, err := m.planned(p, uses[p.Name], scales[p.Name])
		if err != nil {
			return err
		}
		if ints == nil {
			if p.value, err = m.valueOf(p); err != nil {
				return err
			}
		} else {
			p.value = compute.Buffer{}
		}
		p.ints = ints
	}
	m.config.Quantization = m.quantization()
	return nil
}

// planned is a parameter as int8, nil where it is to be float. Values that are int8 already stay as they are, unless their input is
// scaled.
func (m *Model) planned(p *parameter, use int8Use, inputScales []float32) (*integers, error) {
	if use == useFloat {
		return nil, nil
	}
	if p.ints != nil && inputScales == nil {
		q := *p.ints
		q.inputs = use == useInputs
		return &q, nil
	}
	b, err := m.valueOf(p)
	if err != nil {
		return nil, err
	}
	values, err := m.hostValues(b)
	if err != nil {
		return nil, err
	}
	q, err := quantizeValues(&p.Param, values, inputScales)
	if err != nil {
		return nil, err
	}
	q.inputs = use == useInputs
	return q, nil
}

// valueOf is the values of a parameter on the device. Those that are int8 there are made anew for each call.
func (m *Model) valueOf(p *parameter) (compute.Buffer, error) {
	if !p.value.None() || p.ints == nil {
		return p.value, nil
	}
	values := make([]float32, p.Len())
	p.ints.floats(values, 0, len(p.ints.Scales))
	return m.device.Wrap(values)
}

// formOf is the form of a product with the given weights: what the model says of them, or by where it doesn't say.
func (m *Model) formOf(weights []*parameter, by form) form {
	switch {
	case m.config.Quantization == nil:
		return by
	case !slices.ContainsFunc(weights, func(p *parameter) bool { return p.ints == nil || !p.ints.inputs }):
		return inInt8
	case by == inInt8:
		return inFloat
	}
	return by
}

// pack lays a layer's weights out for the device's kernels.
func (m *Model) pack(by form, out, in int, weights []*parameter) (compute.Packed, error) {
	if precision, _ := m.device.Precision(); by == inInt8 && precision == Int8 && !slices.ContainsFunc(weights, func(p *parameter) bool { return p.ints == nil }) {
		rows := make([]compute.Integers, len(weights))
		for i, p := range weights {
			rows[i] = p.ints.Integers
		}
		return m.device.PackIntegers(out, in, weights[0].ints.inputScales, rows...)
	}
	values := make([]compute.Buffer, len(weights))
	for i, p := range weights {
		var err error
		if values[i], err = m.valueOf(p); err != nil {
			return nil, err
		}
	}
	pack := m.device.PackFloat
	switch by {
	case inInt8:
		pack = m.device.Pack
	case inRounded:
		pack = m.device.PackRounded
	}
	packed, err := pack(out, in, values...)
	for _, v := range values {
		m.forget(v)
	}
	return packed, err
}

// The names of what stands beside an int8 weight NAME.weight: compressed-tensors' for the scales of its rows, TensorRT Model
// Optimizer's for those of its input.
const (
	scaleSuffix      = "_scale"          // NAME.weight_scale, [O, 1], [O] or a single number
	inputScaleSuffix = "pre_quant_scale" // NAME.pre_quant_scale, [I]
)

// pairScales gives the int8 weights of the catalogue their scales, and takes these out of it.
func (k *catalogue) pairScales() {
	for name, s := range k.sources {
		layer, ok := strings.CutSuffix(name, "weight")
		if !ok || s.DType != checkpoint.I8 {
			continue
		}
		if scale, ok := k.sources[name+scaleSuffix]; ok {
			s.scale = scale.Tensor
			delete(k.sources, name+scaleSuffix)
		}
		if scale, ok := k.sources[layer+inputScaleSuffix]; ok {
			s.inputScale = scale.Tensor
			delete(k.sources, layer+inputScaleSuffix)
		}
		k.sources[name] = s
	}
}

// TensorScaleError is the error of an int8 weight without usable scales.
type TensorScaleError struct {
	Path   string // of the model or its file
	Name   string // of the weight, in the file
	Reason string
}

func (e *TensorScaleError) Error() string {
	text := fmt.Sprintf("tensor %s has type I8: %s", shortName(e.Name), e.Reason)
	if e.Path != "" {
		text = e.Path + ": " + text
	}
	return text
}

// integers are the values of s [O, I]. Rows with −128, of which the kernels can't be sure to have the negative, are rounded again, to −127
// to 127; requantized says so.
func (s source) integers() (q *integers, requantized bool, err error) {
	fail := func(format string, args ...any) (*integers, bool, error) {
		return nil, false, &TensorScaleError{Name: s.Name, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case len(s.Shape) != 2:
		return fail("only matrices may be")
	case s.transposed:
		return fail("such a weight has to be [out, in]")
	case s.scale == nil:
		return fail("its scales, %s, are missing", s.Name+scaleSuffix)
	}
	rows, in := s.Shape[0], s.Shape[1]
	q = new(integers)
	if q.Scales, err = scalesOf(s.scale, rows, true); err != nil {
		return fail("%v", err)
	}
	if s.inputScale != nil {
		if q.inputScales, err = scalesOf(s.inputScale, in, false); err != nil {
			return fail("%v", err)
		}
	}
	q.Values = s.Int8View()
	const lowest = -128
	if !slices.Contains(q.Values, lowest) {
		return q, false, nil
	}
	q.Values = slices.Clone(q.Values)
	for r := range rows {
		row := q.Values[r*in:][:in]
		if !slices.Contains(row, lowest) {
			continue
		}
		for j, v := range row {
			row[j] = int8(math.RoundToEven(float64(v) * 127 / 128))
		}
		q.Scales[r] *= 128. / 127
	}
	return q, true, nil
}

// scalesOf is n scales of a tensor, of which one for all will do where that is allowed.
func scalesOf(t *checkpoint.Tensor, n int, one bool) ([]float32, error) {
	if !slices.Contains([]checkpoint.DType{checkpoint.F16, checkpoint.BF16, checkpoint.F32}, t.DType) {
		return nil, fmt.Errorf("its scales, %s, have type %v, want a floating-point type", shortName(t.Name), t.DType)
	}
	if shape := t.Shape; !(one && t.Len() == 1 && len(shape) <= 2 || slices.Equal(shape, []int{n}) || slices.Equal(shape, []int{n, 1})) {
		return nil, fmt.Errorf("its scales, %s, have shape %v, want [%d]", shortName(t.Name), t.Shape, n)
	}
	scales := make([]float32, t.Len())
	if err := t.Float32(scales); err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(scales, func(s float32) bool { return !positive([]float32{s}) }); i >= 0 {
		return nil, fmt.Errorf("scale %d in %s is %v, want a positive number", i, shortName(t.Name), scales[i])
	}
	if len(scales) == 1 {
		scales = slices.Repeat(scales, n)
	}
	return scales, nil
}

// readIntegers gives p the int8 values of s: as they are at Int8, else as the numbers that they mean.
func (m *Model) readIntegers(p *parameter, s source) error {
	q, requantized, err := s.integers()
	if err != nil {
		return err
	}
	if requantized {
		m.requantized = append(m.requantized, p.Name)
	}
	p.ints = q
	kind := kindOf(canonicalLayer(p.Name))
	if precision, _ := m.device.Precision(); precision == Int8 && kind != nil {
		if m.config.Quantization != nil && kind.products {
			q.inputs = m.config.Quantization.use(canonicalLayer(p.Name), true) == useInputs
		}
		return nil
	}
	if p.value, err = m.device.Alloc(p.Len()); err != nil {
		return err
	}
	values := make([]float32, p.Len())
	q.floats(values, 0, p.Shape[0])
	m.device.Write(p.value, values)
	p.ints = nil
	return nil
}

// canonicalLayer is the layer of a weight as Int8Layer.Name has it.
func canonicalLayer(param string) string {
	return strings.TrimSuffix(canonicalName(param), ".weight")
}

// checkIntegers reports what of the int8 weights does not fit together, once all are read.
func (m *Model) checkIntegers() error {
	byName := make(map[string]*parameter, len(m.params))
	for i := range m.params {
		byName[canonicalLayer(m.params[i].Name)] = &m.params[i]
	}
	for i := range m.config.NumHiddenLayers {
		names := attentionInputs(i)
		first := byName[names[0]]
		for _, name := range names[1:] {
			p := byName[name]
			if first.ints.use() == useInputs && p.ints.use() == useInputs && !slices.Equal(first.ints.inputScales, p.ints.inputScales) {
				return &TensorScaleError{Name: p.Name, Reason: fmt.Sprintf("query, key and value have one input, but %s.%s differs from that of %s", name, inputScaleSuffix, names[0])}
			}
		}
	}
	return nil
}

// storedIntegers is a parameter's int8 values as tensors to be written.
func storedIntegers(name string, shape []int, q *integers) ([]checkpoint.Tensor, error) {
	scales, err := checkpoint.FromFloat32(checkpoint.F32, q.Scales)
	if err != nil {
		return nil, err
	}
	tensors := []checkpoint.Tensor{
		{Name: name, DType: checkpoint.I8, Shape: shape, Data: checkpoint.FromInt8(q.Values)},
		{Name: name + scaleSuffix, DType: checkpoint.F32, Shape: []int{shape[0], 1}, Data: scales},
	}
	if q.inputScales != nil {
		scales, err := checkpoint.FromFloat32(checkpoint.F32, q.inputScales)
		if err != nil {
			return nil, err
		}
		layer := strings.TrimSuffix(name, "weight")
		tensors = append(tensors, checkpoint.Tensor{Name: layer + inputScaleSuffix, DType: checkpoint.F32, Shape: []int{shape[1]}, Data: scales})
	}
	return tensors, nil
}

// saveInt8 is the tensors of a model whose weights are int8 already, or become so as q says, and what its configuration says of them.
func (m *Model) saveInt8(q *Quantize) ([]checkpoint.Tensor, *Quantization, error) {
	var (
		uses   map[string]int8Use
		scales map[string][]float32
		err    error
	)
	if q != nil {
		if uses, scales, err = q.planOf(&m.config, m.head); err != nil {
			return nil, nil, err
		}
	}
	var (
		tensors []checkpoint.Tensor
		final   = make(map[string]int8Use, len(uses))
	)
	for i := range m.params {
		p := &m.params[i]
		ints := p.ints
		if q != nil {
			if ints, err = m.planned(p, uses[p.Name], scales[p.Name]); err != nil {
				return nil, nil, err
			}
		}
		if ints == nil {
			value, err := m.valueOf(p)
			if err != nil {
				return nil, nil, err
			}
			t, err := m.tensor(p.Name, p.Shape, value, checkpoint.F32)
			if err != nil {
				return nil, nil, err
			}
			tensors = append(tensors, t)
			continue
		}
		final[canonicalLayer(p.Name)] = ints.use()
		stored, err := storedIntegers(p.Name, p.Shape, ints)
		if err != nil {
			return nil, nil, err
		}
		tensors = append(tensors, stored...)
	}
	return tensors, newQuantization(&m.config, m.head, final), nil
}

// use is how the layer uses int8.
func (q *integers) use() int8Use {
	switch {
	case q == nil:
		return useFloat
	case q.inputs:
		return useInputs
	}
	return useWeights
}

// quantization describes the model's int8 weights.
func (m *Model) quantization() *Quantization {
	uses := make(map[string]int8Use)
	for i := range m.params {
		p := &m.params[i]
		uses[canonicalLayer(p.Name)] = p.ints.use()
	}
	return newQuantization(&m.config, m.head, uses)
}
