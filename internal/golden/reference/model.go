// Package reference is BERT once more: in float64, in plain loops, its gradients by reverse-mode differentiation of a
// dozen elementary operations. It shares no code with the model and the kernels that it is compared with, and is written
// to be read beside the paper, not to be fast. Parameters have Hugging Face's names, weights are [out, in].
package reference

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Config has the keys of config.json that decide what a model computes.
type Config struct {
	Vocab      int     `json:"vocab_size"`
	Hidden     int     `json:"hidden_size"`
	Layers     int     `json:"num_hidden_layers"`
	Heads      int     `json:"num_attention_heads"`
	Inner      int     `json:"intermediate_size"`
	Activation string  `json:"hidden_act"`
	Positions  int     `json:"max_position_embeddings"`
	Types      int     `json:"type_vocab_size"`
	Eps        float64 `json:"layer_norm_eps"`
}

// Tensor is the values of a parameter, the last dimension running fastest.
type Tensor struct {
	Shape  []int
	Values []float64
}

// Params are the parameters of a model, or their gradients, by name.
type Params map[string]Tensor

// Sequence is the tokens of one sequence and its labels for every task.
type Sequence struct {
	IDs          []int   `json:"input_ids"`
	Types        []int   `json:"token_type_ids"`
	MLMPositions []int   `json:"mlm_positions"`
	MLMLabels    []int   `json:"mlm_labels"`
	NextSentence int     `json:"nsp_label"`
	Class        int     `json:"class_label"`
	Value        float64 `json:"regression_label"`
	TokenClasses []int   `json:"token_labels"`
	Start        int     `json:"qa_start"`
	End          int     `json:"qa_end"`
}

// pass is one forward pass.
type pass struct {
	tape
	config    Config
	params    map[string]*matrix
	sequences []Sequence
	starts    []int     // where each sequence begins among the tokens of all, and where the last ends
	hidden    []*matrix // [tokens, hidden]: the embeddings, then each layer's output
	probs     []*matrix // of the first layer: for each sequence and head [n, n], query by key
}

func newPass(c Config, params Params, sequences []Sequence) *pass {
	p := &pass{config: c, params: make(map[string]*matrix), sequences: sequences, starts: []int{0}}
	for name, t := range params {
		m := &matrix{rows: 1, cols: t.Shape[len(t.Shape)-1], value: t.Values, grad: make([]float64, len(t.Values))}
		if len(t.Shape) == 2 {
			m.rows = t.Shape[0]
		}
		p.params[name] = m
	}
	for _, s := range sequences {
		p.starts = append(p.starts, p.starts[len(p.starts)-1]+len(s.IDs))
	}
	x := p.embed()
	p.hidden = []*matrix{x}
	for i := range c.Layers {
		x = p.block(i, x)
		p.hidden = append(p.hidden, x)
	}
	return p
}

func (p *pass) last() *matrix { return p.hidden[len(p.hidden)-1] }

func (p *pass) linear(name string, x *matrix) *matrix {
	return p.add(p.product(x, p.transpose(p.params[name+".weight"])), p.params[name+".bias"])
}

func (p *pass) layerNorm(name string, x *matrix) *matrix {
	return p.add(p.times(p.normalize(x, p.config.Eps), p.params[name+".weight"]), p.params[name+".bias"])
}

func (p *pass) activate(x *matrix) *matrix {
	switch p.config.Activation {
	case "gelu": // x·Φ(x)
		return p.each(x, func(x float64) (float64, float64) {
			cdf := (1 + math.Erf(x/math.Sqrt2)) / 2
			return x * cdf, cdf + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
		})
	case "gelu_new", "gelu_pytorch_tanh": // its approximation (Hendrycks & Gimpel 2016, §2), as in google-research/bert modeling.py
		return p.each(x, func(x float64) (float64, float64) {
			factor := math.Sqrt(2 / math.Pi)
			th := math.Tanh(factor * (x + 0.044715*x*x*x))
			return x * (1 + th) / 2, (1+th)/2 + x/2*(1-th*th)*factor*(1+3*0.044715*x*x)
		})
	case "relu":
		return p.each(x, func(x float64) (float64, float64) {
			if x > 0 {
				return x, 1
			}
			return 0, 0
		})
	}
	panic("no activation " + p.config.Activation)
}

// embed is the sum of the embeddings of tokens, types and positions, normalized (paper, §3).
func (p *pass) embed() *matrix {
	var ids, types, positions []int
	for _, s := range p.sequences {
		ids, types = append(ids, s.IDs...), append(types, s.Types...)
		for i := range s.IDs {
			positions = append(positions, i)
		}
	}
	const e = "bert.embeddings."
	x := p.gather(p.params[e+"word_embeddings.weight"], ids)
	x = p.add(x, p.gather(p.params[e+"token_type_embeddings.weight"], types))
	x = p.add(x, p.gather(p.params[e+"position_embeddings.weight"], positions))
	return p.layerNorm(e+"LayerNorm", x)
}

// block is a layer of the encoder (Vaswani et al. 2017, §3.1).
func (p *pass) block(i int, x *matrix) *matrix {
	l := fmt.Sprintf("bert.encoder.layer.%d.", i)
	a := p.linear(l+"attention.output.dense", p.attention(i, x))
	a = p.layerNorm(l+"attention.output.LayerNorm", p.add(a, x))
	h := p.activate(p.linear(l+"intermediate.dense", a))
	return p.layerNorm(l+"output.LayerNorm", p.add(p.linear(l+"output.dense", h), a))
}

// attention is the multi-head self-attention of each sequence for itself: softmax(q·kᵀ/√d)·v.
func (p *pass) attention(layer int, x *matrix) *matrix {
	self := fmt.Sprintf("bert.encoder.layer.%d.attention.self.", layer)
	query, key, value := p.linear(self+"query", x), p.linear(self+"key", x), p.linear(self+"value", x)
	size := p.config.Hidden / p.config.Heads
	var contexts []*matrix
	for s := range p.sequences {
		var heads []*matrix
		for h := range p.config.Heads {
			of := func(m *matrix) *matrix { return p.columns(p.gather(m, p.tokens(s)), h*size, (h+1)*size) }
			scores := p.scale(p.product(of(query), p.transpose(of(key))), 1/math.Sqrt(float64(size)))
			probs := p.softmax(scores)
			if layer == 0 {
				p.probs = append(p.probs, probs)
			}
			heads = append(heads, p.product(probs, of(value)))
		}
		contexts = append(contexts, p.beside(heads))
	}
	return p.below(contexts)
}

// tokens are the rows of sequence s.
func (p *pass) tokens(s int) []int {
	var rows []int
	for r := p.starts[s]; r < p.starts[s+1]; r++ {
		rows = append(rows, r)
	}
	return rows
}

// pooled is tanh of a linear layer on each first token.
func (p *pass) pooled() *matrix {
	first := p.gather(p.last(), p.starts[:len(p.sequences)])
	return p.each(p.linear("bert.pooler.dense", first), func(x float64) (float64, float64) {
		y := math.Tanh(x)
		return y, 1 - y*y
	})
}

// Shapes are the parameters of a model with a head for labels: its names and their shapes. The decoder of masked
// language modelling is the word embedding.
func (c Config) Shapes(head string, labels int) map[string][]int {
	shapes := make(map[string][]int)
	norm := func(name string) { shapes[name+".weight"], shapes[name+".bias"] = []int{c.Hidden}, []int{c.Hidden} }
	dense := func(name string, out, in int) {
		shapes[name+".weight"], shapes[name+".bias"] = []int{out, in}, []int{out}
	}
	shapes["bert.embeddings.word_embeddings.weight"] = []int{c.Vocab, c.Hidden}
	shapes["bert.embeddings.position_embeddings.weight"] = []int{c.Positions, c.Hidden}
	shapes["bert.embeddings.token_type_embeddings.weight"] = []int{c.Types, c.Hidden}
	norm("bert.embeddings.LayerNorm")
	for i := range c.Layers {
		l := fmt.Sprintf("bert.encoder.layer.%d.", i)
		for _, part := range []string{"query", "key", "value"} {
			dense(l+"attention.self."+part, c.Hidden, c.Hidden)
		}
		dense(l+"attention.output.dense", c.Hidden, c.Hidden)
		norm(l + "attention.output.LayerNorm")
		dense(l+"intermediate.dense", c.Inner, c.Hidden)
		dense(l+"output.dense", c.Hidden, c.Inner)
		norm(l + "output.LayerNorm")
	}
	if !slices.Contains([]string{"token-classification", "question-answering"}, head) { // as in Hugging Face's models
		dense("bert.pooler.dense", c.Hidden, c.Hidden)
	}
	switch head {
	case "pretraining":
		shapes["cls.predictions.bias"] = []int{c.Vocab}
		dense("cls.predictions.transform.dense", c.Hidden, c.Hidden)
		norm("cls.predictions.transform.LayerNorm")
		dense("cls.seq_relationship", 2, c.Hidden)
	case "question-answering":
		dense("qa_outputs", 2, c.Hidden)
	default:
		dense("classifier", labels, c.Hidden)
	}
	return shapes
}

// decays reports whether weight decay is for the parameter.
func decays(name string) bool {
	return !strings.Contains(name, "LayerNorm") && !strings.HasSuffix(name, "bias")
}
