package bert

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Pruning says what a smaller model keeps of a model. A list that is nil keeps all. The others are in order, without repetitions, and
// not empty.
//
// Legend: L layers, V vocabulary, I intermediate.
type Pruning struct {
	// Tokens are the rows of the word embedding, and of the masked LM's decoder and its bias: the new model's token i is Tokens[i] of
	// the old one. pad_token_id of the configuration has to be among them.
	Tokens []int32
	// Layers are the layers, from 0.
	Layers []int
	// Heads are the heads of each of the old model's layers, [L]: numbers from 0 among those that the layer has now.
	Heads [][]int
	// Neurons are those of each of the old model's feed-forward networks, [L], as many of each layer that is kept.
	Neurons [][]int
}

// Prune makes a model of what p keeps of m, with the same head. It has float32 parameters of its own, with the bits of those of m; int8
// weights become the numbers that they mean. o says what the new model computes on: its Device, Threads and Precision.
//
// Heads that are taken out are listed in Config.PrunedHeads. What neurons, layers and tokens are taken out, the configuration doesn't say: it
// has the sizes that are left.
func (m *Model) Prune(p Pruning, o Options) (*Model, error) {
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.done()
	k, err := p.keep(&m.config)
	if err != nil {
		return nil, err
	}
	c := m.config
	if err := k.configure(&c); err != nil {
		return nil, err
	}
	n, err := newModel(c, m.head, Options{Device: o.Device, Threads: o.Threads, Precision: o.Precision})
	if err != nil {
		return nil, err
	}
	if !m.pooler {
		n.dropPooler()
	}
	if err := n.take(m, k); err != nil {
		n.device.Close()
		return nil, err
	}
	n.report = LoadReport{DType: m.report.DType}
	return n, nil
}

// take gives the parameters of n the values of those of m that k keeps.
func (n *Model) take(m *Model, k *kept) error {
	if err := n.own(); err != nil {
		return err
	}
	byName := make(map[string]*parameter, len(m.params))
	for i := range m.params {
		byName[m.params[i].Name] = &m.params[i]
	}
	for i := range n.params {
		p := &n.params[i]
		name, rows, columns := k.source(p.Name)
		old, ok := byName[name]
		if !ok {
			panic("bert: no parameter " + name)
		}
		value, err := m.valueOf(old)
		if err != nil {
			return err
		}
		values, err := m.hostValues(value)
		if err != nil {
			return err
		}
		if rows != nil || columns != nil {
			values = chosenOf(values, old.Shape, rows, columns)
		}
		n.device.Write(p.value, values)
	}
	return nil
}

// chosenOf is the rows and columns of a matrix or, of a vector, the rows; nil are all.
func chosenOf(values []float32, shape, rows, columns []int) []float32 {
	width := 1
	if len(shape) == 2 {
		width = shape[1]
	}
	if rows == nil {
		rows = upTo(shape[0])
	}
	out := make([]float32, 0, len(rows)*width)
	for _, r := range rows {
		row := values[r*width:][:width]
		if columns == nil {
			out = append(out, row...)
			continue
		}
		for _, c := range columns {
			out = append(out, row[c])
		}
	}
	return out
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// kept is a Pruning that has been checked, as rows and columns of parameters. A nil list keeps all.
type kept struct {
	p        *Pruning
	headSize int
	tokens   []int   // [V] rows
	layers   []int   // of the old model
	heads    [][]int // of each of layers, among those it has
	widths   [][]int // of each of layers: rows of query, key and value, columns of what follows attention
	neurons  [][]int // of each of layers
}

// keep checks p.
func (p *Pruning) keep(c *Config) (*kept, error) {
	k := &kept{p: p, headSize: c.HeadSize(), layers: p.Layers}
	if p.Tokens != nil {
		k.tokens = make([]int, len(p.Tokens))
		for i, id := range p.Tokens {
			k.tokens[i] = int(id)
		}
		if err := inOrder("tokens", k.tokens, c.VocabSize); err != nil {
			return nil, err
		}
		if !slices.Contains(p.Tokens, int32(c.PadTokenID)) {
			return nil, fmt.Errorf("token %d is not kept, which is pad_token_id of the configuration", c.PadTokenID)
		}
	}
	if k.layers == nil {
		k.layers = upTo(c.NumHiddenLayers)
	}
	if err := inOrder("layers", k.layers, c.NumHiddenLayers); err != nil {
		return nil, err
	}
	for what, lists := range map[string][][]int{"heads": p.Heads, "neurons": p.Neurons} {
		if lists != nil && len(lists) != c.NumHiddenLayers {
			return nil, fmt.Errorf("%s of %d layers, the model has %d", what, len(lists), c.NumHiddenLayers)
		}
	}
	for _, l := range k.layers {
		var heads, width []int
		if p.Heads != nil && p.Heads[l] != nil {
			heads = p.Heads[l]
			if err := inOrder(fmt.Sprintf("heads of layer %d", l), heads, c.Heads(l)); err != nil {
				return nil, err
			}
			for _, h := range heads {
				for i := range k.headSize {
					width = append(width, h*k.headSize+i)
				}
			}
		}
		k.heads, k.widths = append(k.heads, heads), append(k.widths, width)
	}
	if p.Neurons == nil {
		return k, nil
	}
	for _, l := range k.layers {
		neurons := p.Neurons[l]
		if neurons == nil {
			neurons = upTo(c.IntermediateSize)
		}
		if err := inOrder(fmt.Sprintf("neurons of layer %d", l), neurons, c.IntermediateSize); err != nil {
			return nil, err
		}
		if first := k.layers[0]; l != first && len(neurons) != len(k.neurons[0]) {
			return nil, fmt.Errorf("%d neurons of layer %d and %d of layer %d: all layers have intermediate_size", len(k.neurons[0]), first, len(neurons), l)
		}
		k.neurons = append(k.neurons, neurons)
	}
	return k, nil
}

// inOrder reports a list that is empty, not in order, or has a number that is not below most.
func inOrder(what string, list []int, most int) error {
	if len(list) == 0 {
		return errors.New("none of the " + what + " is kept: want one at least")
	}
	for i, n := range list {
		switch {
		case n < 0 || n >= most:
			return fmt.Errorf("%d of the %s to keep, want 0 to %d", n, what, most-1)
		case i > 0 && n <= list[i-1]:
			return fmt.Errorf("%d after %d of the %s to keep: want them in order, each once", n, list[i-1], what)
		}
	}
	return nil
}

// configure makes c the configuration of what is kept of its model.
func (k *kept) configure(c *Config) error {
	pruned := make(map[int][]int)
	for i, l := range k.layers {
		gone := slices.Clone(c.PrunedHeads[l])
		if k.heads[i] != nil {
			for at, h := range c.headsOf(l) {
				if !slices.Contains(k.heads[i], at) {
					gone = append(gone, h)
				}
			}
		}
		pruned[i] = gone
	}
	c.PrunedHeads = pruned
	c.tidyPrunedHeads()
	c.NumHiddenLayers = len(k.layers)
	c.Quantization = nil
	if k.neurons != nil {
		c.IntermediateSize = len(k.neurons[0])
	}
	if k.tokens == nil {
		return nil
	}
	c.VocabSize = len(k.tokens)
	c.PadTokenID, _ = slices.BinarySearch(k.tokens, c.PadTokenID)
	// Other ids that change no computation: those of tokens that are left out say nothing any more.
	for _, key := range slices.Sorted(maps.Keys(c.Extra)) {
		var id int
		if !strings.HasSuffix(key, "_token_id") || json.Unmarshal(c.Extra[key], &id) != nil {
			continue
		}
		at, ok := slices.BinarySearch(k.tokens, id)
		switch {
		case string(c.Extra[key]) == "null":
		case !ok:
			c.dropExtra(key)
		default:
			if err := c.setExtra(key, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// source is where the values of a parameter of the new model are: in which parameter of the old one, and which of its rows and columns; nil
// are all.
func (k *kept) source(name string) (old string, rows, columns []int) {
	const layers = "encoder.layer."
	at := strings.Index(name, layers)
	if at < 0 {
		switch canonicalName(name) {
		case wordWeight, decoderWeight, outputBias:
			return name, k.tokens, nil
		}
		return name, nil, nil
	}
	number, rest, _ := strings.Cut(name[at+len(layers):], ".")
	i, err := strconv.Atoi(number)
	if err != nil || i >= len(k.layers) {
		panic("bert: no layer of parameter " + name)
	}
	old = fmt.Sprintf("%s%s%d.%s", name[:at], layers, k.layers[i], rest)
	var neurons []int
	if k.neurons != nil {
		neurons = k.neurons[i]
	}
	switch {
	case strings.HasPrefix(rest, "attention.self."):
		return old, k.widths[i], nil
	case rest == "attention.output.dense.weight":
		return old, nil, k.widths[i]
	case strings.HasPrefix(rest, "intermediate.dense."):
		return old, neurons, nil
	case rest == "output.dense.weight":
		return old, nil, neurons
	}
	return old, nil, nil
}
