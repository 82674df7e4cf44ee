package bert

import (
	"fmt"
	"slices"

	"github.com/go-bert/bert/internal/compute"
)

// weights are the parameters as the encoder uses them.
//
// Legend: V vocabulary, H hidden, W the width of a layer's heads together, I intermediate.
type weights struct {
	word, position, tokenType *parameter
	embeddingNorm             norm
	layers                    []layer
	pooler                    dense // [H, H]

	transform     dense // of the masked LM, [H, H]
	transformNorm norm
	decoder       dense // the word embedding again or, untied, a matrix of its own, [V, H], with a bias
	nextSentence  dense // [2, H]
	output        dense // of the other heads, [C, H]
}

// layer is one block of the encoder.
type layer struct {
	qkv             dense // query, key and value as one product, [3W, H]
	attentionOutput dense // [H, W]
	attentionNorm   norm
	intermediate    dense // [I, H]
	output          dense // [H, I]
	outputNorm      norm
}

// dense is a layer y = x·Wᵀ + b and, while there is a Trainer, its gradients.
type dense struct {
	matrix               compute.Matrix
	bias                 compute.Buffer
	weightGrad, biasGrad compute.Buffer
	inStride, outStride  int // from row to row of x and of y
}

// norm is a LayerNorm.
type norm struct{ gamma, beta *parameter }

// packing says which matrices are laid out for the device's kernels, once for many products.
type packing uint8

const (
	packNone   packing = iota // as in training, where weights change with each step
	packJoined                // those that consist of several parameters, which would have to be copied together otherwise
	packAll
)

// form is how the operands of a layer's product are taken at Int8; otherwise there is no difference.
type form uint8

// What a layer's products are at Int8, where neither the file nor Options.Quantize says so. Query, key and value cost the most
// accuracy: of all-MiniLM-L6-v2's vectors, the mean cosine to float32's is 0.9966 with them in int8 and 0.9984 without. The
// pooler and the heads are few, of few rows, and the last before the answer.
const (
	inFloat   form = iota
	inRounded      // query, key and value: bfloat16 where that is faster, as Device.PackRounded says
	inInt8         // attention's output and the feed-forward network
)

// link builds weights from the table. It fails where the device has no memory for what is packed or joined.
func (m *Model) link(pack packing) (*weights, error) {
	var failure error // the first
	packed := func(by form, out, in int, weights ...*parameter) compute.Packed {
		if failure != nil {
			return nil
		}
		var p compute.Packed
		p, failure = m.pack(m.formOf(weights, by), out, in, weights)
		return p
	}
	join := func(params []*parameter) compute.Buffer {
		if failure != nil {
			return compute.Buffer{}
		}
		var b compute.Buffer
		b, failure = m.join(params)
		return b
	}
	// floats is a parameter with its values on the device, whatever it is stored as.
	floats := func(p *parameter) *parameter {
		copied := *p
		if failure == nil {
			copied.value, failure = m.valueOf(p)
		}
		return &copied
	}
	byName := make(map[string]*parameter, len(m.params))
	for i := range m.params {
		byName[m.params[i].Name] = &m.params[i]
	}
	find := func(name string) *parameter {
		p, ok := byName[name]
		if !ok {
			panic("bert: no parameter " + name)
		}
		return p
	}
	var (
		c       = &m.config
		info    = heads[m.head]
		encoder = func(name string) *parameter { return find(info.prefix + name) }
		normOf  = func(name string) norm { return norm{find(name + ".weight"), find(name + ".bias")} }
	)
	// denseOf joins the parameters of the named layers, which follow one another in the table, to one layer.
	denseOf := func(by form, out, in int, names ...string) dense {
		d := dense{matrix: compute.Matrix{Out: out, In: in}, inStride: in, outStride: out}
		var weight, bias []*parameter
		for _, name := range names {
			weight = append(weight, find(name+".weight"))
			bias = append(bias, find(name+".bias"))
		}
		d.bias = join(bias)
		if pack == packAll || pack == packJoined && len(weight) > 1 {
			d.matrix.Packed = packed(by, out, in, weight...)
			return d
		}
		d.matrix.Weight = join(weight)
		if m.trainer != nil {
			d.weightGrad = consecutive(weight, func(p *parameter) compute.Buffer { return p.grad })
			d.biasGrad = consecutive(bias, func(p *parameter) compute.Buffer { return p.grad })
		}
		return d
	}

	h := c.HiddenSize
	w := weights{
		word:          encoder("embeddings.word_embeddings.weight"),
		position:      floats(encoder("embeddings.position_embeddings.weight")),
		tokenType:     floats(encoder("embeddings.token_type_embeddings.weight")),
		embeddingNorm: normOf(info.prefix + "embeddings.LayerNorm"),
	}
	for i := range c.NumHiddenLayers {
		l, width := fmt.Sprintf("%sencoder.layer.%d.", info.prefix, i), c.AttentionWidth(i)
		block := layer{
			qkv:             denseOf(inRounded, 3*width, h, l+"attention.self.query", l+"attention.self.key", l+"attention.self.value"),
			attentionOutput: denseOf(inInt8, h, width, l+"attention.output.dense"),
			attentionNorm:   normOf(l + "attention.output.LayerNorm"),
			intermediate:    denseOf(inInt8, c.IntermediateSize, h, l+"intermediate.dense"),
			output:          denseOf(inInt8, h, c.IntermediateSize, l+"output.dense"),
			outputNorm:      normOf(l + "output.LayerNorm"),
		}
		block.intermediate.outStride, block.output.inStride = m.innerStride(), m.innerStride()
		w.layers = append(w.layers, block)
	}
	if m.pooler {
		w.pooler = denseOf(inFloat, h, h, info.prefix+"pooler.dense")
	}
	if info.maskedLM {
		w.transform = denseOf(inFloat, h, h, "cls.predictions.transform.dense")
		w.transformNorm = normOf("cls.predictions.transform.LayerNorm")
		bias := find("cls.predictions.bias")
		decoder := w.word
		if c.UntiedDecoder {
			decoder = find(decoderWeight)
		}
		w.decoder = dense{
			matrix: compute.Matrix{Weight: decoder.value, Out: c.VocabSize, In: h},
			bias:   bias.value, weightGrad: decoder.grad, biasGrad: bias.grad, inStride: h, outStride: c.VocabSize,
		}
		if pack == packAll {
			w.decoder.matrix.Packed = packed(inFloat, c.VocabSize, h, decoder)
		}
	}
	if info.nextSentence {
		w.nextSentence = denseOf(inFloat, 2, h, "cls.seq_relationship")
	}
	if info.output != "" {
		w.output = denseOf(inFloat, m.head.outputs(c), h, info.output)
	}
	return &w, failure
}

// innerStride is the distance of the rows between the two products of a feed-forward network, which are wide. It is the
// device's choice.
func (m *Model) innerStride() int { return m.device.Stride(m.config.IntermediateSize) }

// packed is w with those matrices laid out that were not, which forget is told of. At Int8 there are none: link packs all.
func (w *weights) packed(device compute.Device, forget func(compute.Buffer)) (*weights, error) {
	p := *w
	p.layers = slices.Clone(w.layers)
	var failure error // the first
	pack := func(d *dense) {
		if m := &d.matrix; m.Packed == nil && m.Out > 0 && failure == nil {
			m.Packed, failure = device.PackFloat(m.Out, m.In, m.Weight)
			forget(m.Weight)
		}
	}
	for i := range p.layers {
		l := &p.layers[i]
		for _, d := range []*dense{&l.qkv, &l.attentionOutput, &l.intermediate, &l.output} {
			pack(d)
		}
	}
	for _, d := range []*dense{&p.pooler, &p.transform, &p.decoder, &p.nextSentence, &p.output} {
		pack(d)
	}
	return &p, failure
}

// join is the values of several parameters as one buffer: in place where they follow one another in memory, else a copy.
func (m *Model) join(params []*parameter) (compute.Buffer, error) {
	if len(params) == 1 {
		return params[0].value, nil
	}
	if !m.values.None() {
		return consecutive(params, func(p *parameter) compute.Buffer { return p.value }), nil
	}
	n := 0
	for _, p := range params {
		n += p.Len()
	}
	joined, err := m.device.Alloc(n)
	if err != nil {
		return compute.Buffer{}, err
	}
	at := 0
	for _, p := range params {
		m.device.Copy(joined.Slice(at, at+p.Len()), p.value)
		at += p.Len()
	}
	return joined, nil
}

// consecutive is the one buffer that buffers of several parameters make up, which follow one another in memory.
func consecutive(params []*parameter, of func(*parameter) compute.Buffer) compute.Buffer {
	b := of(params[0])
	for _, p := range params[1:] {
		next := of(p)
		if next.Memory != b.Memory || next.Offset != b.Offset+b.Len {
			panic("bert: parameter " + p.Name + " does not follow the one before it")
		}
		b.Len += next.Len
	}
	return b
}
