// Package bertgraph finds the parameters of a BERT in an ONNX graph by what the graph computes with them. Exporters and optimizers
// lose names, share equal tensors, turn, fuse and quantize weights; what stays is the computation.
//
// It follows values through the graph, from the embeddings through the blocks to the head. Operators that it does not know are
// taken to keep what a value is, if only one of their operands comes from the model. Nothing is guessed: a graph that does not
// come out as a BERT with all its layers gives no parameters, but the first thing that was not understood.
//
// The operators are those of ONNX (https://onnx.ai/onnx/operators) and of ONNX Runtime, in the domain com.microsoft
// (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md).
package bertgraph

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/onnx"
)

// A Parameter is a tensor of a BERT, under its name in Hugging Face's files without the encoder's prefix.
type Parameter struct {
	Name  string
	Type  onnx.ElementType
	Shape []int
	// From is the tensor of the graph that the elements come from, nil for zeros that the graph leaves out.
	From *onnx.Tensor
	load func(*budget) ([]byte, error)

	integers *integers
}

// Result is what was found in a graph.
type Result struct {
	Parameters []Parameter
	// Quantized says that weights were 8-bit integers, and Fused that operators of ONNX Runtime compute with them.
	Quantized, Fused bool
	// Positions is the number of tokens that the graph has position embeddings for, if it is folded for a fixed length.
	Positions int
	// NoTypes says that the embeddings of segments are folded into others: there is one segment.
	NoTypes bool

	budget *budget
}

// Data are the elements of a parameter, in row-major order and little-endian. All together may take a small multiple of the size of
// the file.
func (r *Result) Data(p *Parameter) ([]byte, error) {
	data, err := p.load(r.budget)
	if err != nil {
		return nil, fmt.Errorf("tensor %s: %w", p.Name, err)
	}
	return data, nil
}

// Find finds the parameters of a BERT in a graph whose files have fileSize bytes. The error says what of the graph is not
// understood.
func Find(g *onnx.Graph, fileSize int) (*Result, error) {
	w := &walk{
		values: make(map[string]*value), found: make(map[string]*array), outputs: make(map[string]bool),
		result: &Result{}, layers: -1,
	}
	for i := range g.Initializers {
		t := &g.Initializers[i]
		w.values[t.Name] = &value{constant: arrayOf(t)}
	}
	for _, in := range g.Inputs {
		if w.values[in.Name] == nil {
			w.values[in.Name] = &value{source: sourceOf(in.Name)}
		}
	}
	for _, out := range g.Outputs {
		w.outputs[out.Name] = true
	}
	for i := range g.Nodes {
		if err := w.node(&g.Nodes[i]); err != nil {
			n := &g.Nodes[i]
			return nil, fmt.Errorf("node %s (%s): %w", quoted(n.Name), quoted(n.OpType), err)
		}
	}
	if err := w.finish(); err != nil {
		return nil, err
	}
	const computed = 24 // bytes of a byte that is dequantized, with all steps in between
	times := 4
	if w.result.Quantized {
		times = computed
	}
	w.result.budget = &budget{times*fileSize + 1<<20}
	return w.result, nil
}

// sourceOf is what an input is by its name.
func sourceOf(name string) source {
	name = strings.ToLower(name)
	switch {
	case strings.Contains(name, "type") || strings.Contains(name, "segment"):
		return typeIDs
	case strings.Contains(name, "mask"):
		return others
	case strings.Contains(name, "id"):
		return tokenIDs
	}
	return others
}

func quoted(s string) string {
	const most = 60
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Sprintf("%q", s)
}

// walk is the way through a graph.
type walk struct {
	values  map[string]*value
	outputs map[string]bool
	result  *Result
	found   map[string]*array
	order   []string // of found
	layers  int      // blocks whose attention was met, less one
	heads   []*linear
	last    *flow // the hidden states of the last block
}

// set records a parameter.
func (w *walk) set(name string, a *array) error {
	if before, twice := w.found[name]; twice {
		if before.tensor == a.tensor {
			return nil
		}
		return fmt.Errorf("it computes with a second %s", name)
	}
	w.found[name] = a
	w.order = append(w.order, name)
	return nil
}

// dense records a layer under a name, its bias with zeros where the graph has none.
func (w *walk) dense(name string, l *linear) error {
	if l.name == name {
		return nil
	}
	if l.name != "" {
		return fmt.Errorf("it uses %s as %s too", l.name, name)
	}
	if l.weight == nil {
		return fmt.Errorf("the scale of the quantized %s is not found", name)
	}
	l.name = name
	return w.set(name+".weight", l.weight)
}

// bias records a layer's bias, which is known only at the end.
func (w *walk) bias(name string, l *linear) error {
	b := l.bias
	if b == nil {
		b = zeros(l.weight.shape[0])
	}
	return w.set(name, b)
}

// norm records a LayerNorm over a flow, and gives the flow after it. beta may be nil.
func (w *walk) norm(f *flow, gain, beta *array) (*flow, error) {
	n := gain.vector()
	if n < 2 || beta != nil && beta.vector() != n {
		return nil, errors.New("the gain and the offset of a LayerNorm are not vectors of one width")
	}
	if beta == nil {
		beta = zeros(n)
	}
	gain, beta = gain.reshaped(n), beta.reshaped(n)
	record := func(name string) error {
		if err := w.set(name+".weight", gain); err != nil {
			return err
		}
		return w.set(name+".bias", beta)
	}
	switch {
	case f.kind == embedded:
		if err := w.embeddings(f.tables); err != nil {
			return nil, err
		}
		out := &flow{kind: hidden}
		w.last = out
		return out, record("embeddings.LayerNorm")
	case f.kind == sum && f.lin.input.kind == context:
		name := fmt.Sprintf("encoder.layer.%d.attention.output.", f.lin.input.layer)
		if err := w.dense(name+"dense", f.lin); err != nil {
			return nil, err
		}
		return &flow{kind: hidden, layer: f.lin.input.layer, middle: true}, record(name + "LayerNorm")
	case f.kind == sum && f.lin.input.kind == product && f.lin.input.lin.input.kind == hidden && f.lin.input.lin.input.middle:
		inner := f.lin.input.lin
		layer := inner.input.layer
		if err := w.dense(fmt.Sprintf("encoder.layer.%d.intermediate.dense", layer), inner); err != nil {
			return nil, err
		}
		name := fmt.Sprintf("encoder.layer.%d.output.", layer)
		if err := w.dense(name+"dense", f.lin); err != nil {
			return nil, err
		}
		out := &flow{kind: hidden, layer: layer + 1}
		w.last = out
		return out, record(name + "LayerNorm")
	case f.kind == product && f.lin.input.kind == hidden && !f.lin.input.middle:
		const name = "cls.predictions.transform."
		if err := w.dense(name+"dense", f.lin); err != nil {
			return nil, err
		}
		return &flow{kind: transformed}, record(name + "LayerNorm")
	}
	return nil, errors.New("a LayerNorm that no BERT has there")
}

// embeddings names the tables of the embeddings.
func (w *walk) embeddings(tables []*table) error {
	var word, position, types *table
	var rest []*table
	for _, t := range tables {
		switch {
		case t.of == tokenIDs && word == nil:
			word = t
		case t.of == typeIDs && types == nil:
			types = t
		default:
			rest = append(rest, t)
		}
	}
	// Of what is left, the numbers are constants: positions, and types where all are 0.
	slices.SortStableFunc(rest, func(a, b *table) int { return b.rows.shape[0] - a.rows.shape[0] })
	for _, t := range rest {
		switch {
		case word == nil && !t.folded:
			word = t
		case position == nil:
			position = t
		case types == nil:
			types = t
		default:
			return errors.New("more than three embedding tables")
		}
	}
	switch {
	case word == nil:
		return errors.New("no table of word embeddings")
	case position == nil:
		return errors.New("no table of position embeddings")
	}
	for _, t := range tables {
		if t.rows.quantized() {
			return errors.New("a table of embeddings of 8-bit integers whose scale is not found")
		}
	}
	if types == nil {
		w.result.NoTypes = true
		types = &table{rows: zeros(1, word.rows.shape[1])}
	} else if types.folded {
		w.result.NoTypes = true
	}
	if position.folded {
		w.result.Positions = position.rows.shape[0]
	}
	for _, t := range []struct {
		name string
		*table
	}{{"word", word}, {"position", position}, {"token_type", types}} {
		if err := w.set("embeddings."+t.name+"_embeddings.weight", t.rows); err != nil {
			return err
		}
	}
	return nil
}

// attention records the layers of an attention, and gives the flow of its context.
func (w *walk) attention(q, k, v *flow) (*flow, error) {
	for _, f := range []*flow{q, k, v} {
		if f == nil || f.kind != product || f.lin.input.kind != hidden || f.lin.input.middle || f.lin.input.layer != q.lin.input.layer {
			return nil, errors.New("an attention whose queries, keys and values do not come from one layer's hidden states")
		}
	}
	layer := q.lin.input.layer
	for i, f := range []*flow{q, k, v} {
		name := fmt.Sprintf("encoder.layer.%d.attention.self.%s", layer, [...]string{"query", "key", "value"}[i])
		if err := w.dense(name, f.lin); err != nil {
			return nil, err
		}
	}
	w.layers = max(w.layers, layer)
	return &flow{kind: context, layer: layer}, nil
}

// finish names the heads, and checks that the encoder is whole.
func (w *walk) finish() error {
	if w.layers < 0 || w.last == nil || w.last.layer != w.layers+1 {
		return fmt.Errorf("its layers do not come out as those of a BERT: %d with attention", w.layers+1)
	}
	masked := w.found["cls.predictions.transform.dense.weight"] != nil
	for _, l := range w.heads {
		if l.name != "" {
			continue
		}
		hint := strings.ToLower(w.hint(l))
		var name string
		switch {
		case l.input.kind == transformed:
			name = decoderName
		case l.input.kind == pooled && (masked || strings.Contains(hint, "seq_relationship")):
			name = "cls.seq_relationship"
		case l.input.kind == pooled:
			name = "classifier"
		case l.input.kind == hidden && l.input == w.last && (strings.Contains(hint, "qa_outputs") || w.outputs["start_logits"]):
			name = "qa_outputs"
		case l.input.kind == hidden && l.input == w.last:
			name = "classifier"
		default:
			continue // of a head that is none of BERT's
		}
		if name == decoderName {
			if err := w.decoder(l); err != nil {
				return err
			}
			continue
		}
		if err := w.dense(name, l); err != nil {
			return err
		}
	}
	for _, l := range w.heads {
		if l.name != "" && l.name != decoderName {
			if err := w.bias(l.name+".bias", l); err != nil {
				return err
			}
		}
	}
	for _, name := range w.order {
		a := w.found[name]
		w.result.Parameters = append(w.result.Parameters, Parameter{Name: name, Type: a.typ, Shape: a.shape, From: a.tensor, load: a.load, integers: a.integers})
	}
	return nil
}

const decoderName = "cls.predictions.decoder"

// decoder records the decoder of the masked LM, which may be the word embedding.
func (w *walk) decoder(l *linear) error {
	if l.weight == nil {
		return errors.New("the scale of the quantized decoder is not found")
	}
	l.name = decoderName
	if word := w.found["embeddings.word_embeddings.weight"]; l.weight.tensor == nil || word == nil || word.tensor != l.weight.tensor {
		if err := w.set(decoderName+".weight", l.weight); err != nil {
			return err
		}
	}
	return w.bias("cls.predictions.bias", l)
}

// hint is the names of a layer's tensors.
func (w *walk) hint(l *linear) string {
	hint := ""
	for _, a := range []*array{l.weight, l.bias} {
		if a != nil && a.tensor != nil {
			hint += " " + a.tensor.Name
		}
	}
	return hint
}
