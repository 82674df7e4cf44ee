package bert

import (
	"fmt"
	"strings"
)

// Init says how a new parameter begins (google-research/bert modeling.py, create_initializer; Hugging Face
// _init_weights).
type Init uint8

const (
	InitNormal Init = iota // normal, mean 0, standard deviation initializer_range
	InitZero
	InitOne
)

// Param is a row of the table of parameters: everything known about one tensor.
type Param struct {
	// Name is the tensor's in Hugging Face's files.
	Name string
	// Google is its name in google-research/bert's checkpoints, "" where those have no such tensor.
	Google string
	// GoogleTransposed says that Google's kernel is [in, out] where Shape is [out, in].
	GoogleTransposed bool
	// Shape is the tensor's in Hugging Face's files: of a dense layer [out, in].
	Shape []int
	Init  Init
	// Decay says that weight decay applies: to all but biases and LayerNorm (google-research/bert optimization.py,
	// exclude_from_weight_decay).
	Decay bool
	// Head says that the tensor belongs to the head, and so may be missing from a model that is given a new one.
	Head bool
}

// Len is the number of elements.
func (p *Param) Len() int {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

// decoderWeight is the masked LM's decoder where it is not the word embedding.
const decoderWeight = "cls.predictions.decoder.weight"

// Params is the table of the parameters of a model, in the order in which data goes through them. The weights of a
// layer's query, key and value follow one another, and so do their biases: each three are one matrix and one vector
// to the encoder. A head that isn't one of the constants has none.
//
// Legend: V vocabulary, H hidden, W the width of a layer's heads together (H, or less where heads were pruned), I intermediate,
// P positions, S segments, C labels.
func Params(c *Config, head Head) []Param {
	if head.check() != nil {
		return nil
	}
	var (
		info = heads[head]
		t    = paramTable{prefix: info.prefix}
		h    = c.HiddenSize
	)
	const e = "embeddings."
	t.add(Param{Name: e + "word_embeddings.weight", Google: e + "word_embeddings", Shape: []int{c.VocabSize, h}, Decay: true})
	t.add(Param{Name: e + "position_embeddings.weight", Google: e + "position_embeddings", Shape: []int{c.MaxPositionEmbeddings, h}, Decay: true})
	t.add(Param{Name: e + "token_type_embeddings.weight", Google: e + "token_type_embeddings", Shape: []int{c.TypeVocabSize, h}, Decay: true})
	t.layerNorm(e+"LayerNorm", h)
	for i := range c.NumHiddenLayers {
		l, width := fmt.Sprintf("encoder.layer.%d.", i), c.AttentionWidth(i)
		for _, part := range []string{"weight", "bias"} {
			for _, name := range []string{"query", "key", "value"} {
				t.dense(l+"attention.self."+name, part, width, h)
			}
		}
		t.denseBoth(l+"attention.output.dense", h, width)
		t.layerNorm(l+"attention.output.LayerNorm", h)
		t.denseBoth(l+"intermediate.dense", c.IntermediateSize, h)
		t.denseBoth(l+"output.dense", h, c.IntermediateSize)
		t.layerNorm(l+"output.LayerNorm", h)
	}
	if info.pooler {
		t.denseBoth("pooler.dense", h, h)
	}

	t.prefix, t.head = "", true
	if info.maskedLM {
		const m = "cls.predictions."
		t.denseBoth(m+"transform.dense", h, h)
		t.layerNorm(m+"transform.LayerNorm", h)
		if c.UntiedDecoder {
			t.add(Param{Name: decoderWeight, Shape: []int{c.VocabSize, h}, Decay: true})
		}
		t.add(Param{Name: m + "bias", Google: "cls/predictions/output_bias", Shape: []int{c.VocabSize}, Init: InitZero})
	}
	if info.nextSentence {
		// Google's next-sentence weight is stored [out, in] already, unlike its kernels.
		t.add(Param{Name: "cls.seq_relationship.weight", Google: "cls/seq_relationship/output_weights", Shape: []int{2, h}, Decay: true})
		t.add(Param{Name: "cls.seq_relationship.bias", Google: "cls/seq_relationship/output_bias", Shape: []int{2}, Init: InitZero})
	}
	if info.output != "" {
		// run_classifier.py and run_squad.py store the output weights [out, in]; run_squad.py under cls/squad/.
		n := head.outputs(c)
		t.add(Param{Name: info.output + ".weight", Google: info.google + "output_weights", Shape: []int{n, h}, Decay: true})
		t.add(Param{Name: info.output + ".bias", Google: info.google + "output_bias", Shape: []int{n}, Init: InitZero})
	}
	return t.rows
}

type paramTable struct {
	rows   []Param
	prefix string
	head   bool
}

// add completes a row: the prefix of the encoder's tensors, and Google's name from Hugging Face's if none is given in
// full.
func (t *paramTable) add(p Param) {
	if !t.head {
		p.Name = t.prefix + p.Name
		p.Google = "bert/" + strings.ReplaceAll(p.Google, ".", "/")
	}
	p.Head = t.head
	t.rows = append(t.rows, p)
}

// dense adds the weight [out, in] or the bias [out] of a dense layer.
func (t *paramTable) dense(name, part string, out, in int) {
	google := strings.ReplaceAll(strings.Replace(name, "encoder.layer.", "encoder.layer_", 1), ".", "/")
	if part == "bias" {
		t.add(Param{Name: name + ".bias", Google: google + "/bias", Shape: []int{out}, Init: InitZero})
		return
	}
	t.add(Param{Name: name + ".weight", Google: google + "/kernel", GoogleTransposed: true, Shape: []int{out, in}, Decay: true})
}

func (t *paramTable) denseBoth(name string, out, in int) {
	t.dense(name, "weight", out, in)
	t.dense(name, "bias", out, in)
}

// layerNorm adds gain and offset, [width] each; Google calls them gamma and beta.
func (t *paramTable) layerNorm(name string, width int) {
	google := strings.ReplaceAll(strings.Replace(name, "encoder.layer.", "encoder.layer_", 1), ".", "/")
	t.add(Param{Name: name + ".weight", Google: google + "/gamma", Shape: []int{width}, Init: InitOne})
	t.add(Param{Name: name + ".bias", Google: google + "/beta", Shape: []int{width}, Init: InitZero})
}
