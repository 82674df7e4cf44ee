package task

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/explain"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/tokenizer"
)

// ParseLayers reads the numbers of layers between commas, as in "-1,-2", or "all" for those of a model with this number of layers,
// from the embeddings on.
func ParseLayers(list string, layers int) ([]int, error) {
	if list == "all" {
		all := make([]int, layers+1)
		for i := range all {
			all[i] = i
		}
		return all, nil
	}
	var out []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil {
			return nil, fmt.Errorf("layers %q: want all, or numbers as in -1,-2", list)
		}
		out = append(out, n)
	}
	return out, nil
}

// EncodeOptions say what Encode gives. The zero value gives the vector of a sentence-transformers folder, and of another model the
// hidden states of its last layer.
type EncodeOptions struct {
	// Layers are the layers whose hidden states are given: 0 the embeddings, 1 the first layer; -1 the last layer, -2 the
	// one before. nil: the last one, but none at all where there is a vector or Attention.
	Layers []int
	// Pooling makes Encoded.Pooled: a mode of package sentence from the last of Layers. ModelPooling makes none where Layers or
	// Attention are asked for.
	Pooling Pooling
	// Normalize divides Encoded.Pooled by its length, so that the product of two vectors is their cosine. Without a vector it is
	// ErrNoVector.
	Normalize bool
	// Attention asks for the attention probabilities of all layers.
	Attention bool
	// MaxLength is the most tokens of a text, which is truncated to them; 0: what a sentence-transformers folder says, and of
	// another model a text longer than the model's positions is an error.
	MaxLength int
	// Prompt is put before each text, of a pair before the first. nil: the prompt of the name PromptName in a
	// sentence-transformers folder or, where that is "", the folder's default.
	Prompt     *string
	PromptName string
}

// ErrNoVector says that a vector is to be normalized where none is made.
var ErrNoVector = errors.New("there is no vector of the text to normalize: want a pooling")

// Encoded is what a model makes of an input.
//
// Legend: n tokens, H hidden, L layers, A heads.
type Encoded struct {
	Tokens    []string              `json:"tokens"`              // [n]; ids of a model without a vocabulary
	Layers    []LayerStates         `json:"layers,omitempty"`    // in the order asked for
	Pooled    []float32             `json:"pooled,omitempty"`    // the vector, [H], or as wide as a pipeline makes it
	Attention [][][][]float32       `json:"attention,omitempty"` // [L,A,n,n]: layer, head, from, to
	vectors   []explain.HeadVectors // [L], of Attend
	// Truncated says that the input was longer than MaxLength; DroppedTokens were cut.
	Truncated     bool `json:"truncated,omitempty"`
	DroppedTokens int  `json:"dropped_tokens,omitempty"`
}

// LayerStates are the hidden states of a layer.
type LayerStates struct {
	Index  int         `json:"index"`  // as it was asked for
	Values [][]float32 `json:"values"` // [n,H]
}

// Encode gives hidden states, vectors of texts and attention, of a model with whatever head.
func Encode(o EncodeOptions) Use[Encoded] {
	return Use[Encoded]{asked: Encoding, start: func(e *engine, d *Description) (*work[Encoded], error) {
		x, err := newEncoder(e, d, o, NoPooling)
		if err != nil {
			return nil, err
		}
		w := &work[Encoded]{prepare: x.prepareText, answer: x.encodeAll, byIDs: true}
		if len(x.layers) > 0 || o.Attention {
			// Answers can be larger than all that a pass needs, so a stream holds no more of them than a batch has. It holds
			// those of two groups.
			w.budget = max(1, e.tokens/2)
		}
		return w, nil
	}}
}

type encoder struct {
	*engine
	options  EncodeOptions
	layers   []int              // options.Layers as indices into bert.Output.Hidden
	pooled   int                // the layer that is pooled, likewise
	vectors  bool               // Encoded.vectors is asked for
	pipeline *sentence.Pipeline // that makes the vectors; nil: options.Pooling does

	// What a sentence-transformers folder or the caller says of texts.
	prompt       string
	promptTokens int // of which the pipeline makes no part of a vector
	lower        bool
}

// newEncoder resolves ModelPooling: to the pipeline of the model or, without one, to plain.
func newEncoder(e *engine, d *Description, o EncodeOptions, plain Pooling) (*encoder, error) {
	c := &d.Config
	switch n := o.MaxLength; {
	case n != 0 && n < minSeqLength:
		return nil, fmt.Errorf("the longest sequence is %d, want at least %d", n, minSeqLength)
	case n > c.MaxPositionEmbeddings:
		return nil, fmt.Errorf("the longest sequence is %d, the model has %d positions", n, c.MaxPositionEmbeddings)
	case int(o.Pooling) >= len(Poolings()):
		return nil, fmt.Errorf("there is no %v", o.Pooling)
	}
	x := &encoder{engine: e, options: o, pooled: c.NumHiddenLayers}
	if err := x.choose(d, plain); err != nil {
		return nil, err
	}
	asked := slices.Clone(o.Layers)
	if o.Layers == nil && !x.vector() && !o.Attention {
		asked = []int{-1}
	}
	x.options.Layers = asked
	for _, l := range asked {
		i := l
		if l < 0 {
			i += c.NumHiddenLayers + 1
		}
		if i < 0 || i > c.NumHiddenLayers {
			return nil, fmt.Errorf("layer %d: the model has 0 (its embeddings) to %d", l, c.NumHiddenLayers)
		}
		x.layers = append(x.layers, i)
		x.pooled = i
	}
	if err := x.readTexts(d); err != nil {
		return nil, err
	}
	// Answers can be larger than all that a pass needs: the attention of 512 tokens in BERT-base has 150 MB. So they count
	// in tokens too, of which each needs about four times the width of a feed-forward block.
	e.finish = func(s *sequence) error {
		n := len(s.ids)
		floats := n * c.HiddenSize * len(x.layers)
		if o.Attention {
			floats += c.NumHiddenLayers * c.NumAttentionHeads * n * n
		}
		if x.vectors {
			floats += c.NumHiddenLayers * n * 3 * c.HiddenSize
		}
		s.cost += floats / (4 * c.IntermediateSize)
		return nil
	}
	return x, nil
}

// choose decides what makes the vectors.
func (e *encoder) choose(d *Description, plain Pooling) error {
	own := e.options.Pooling == ModelPooling && e.options.Layers == nil && !e.options.Attention
	switch {
	case d.pipelineErr != nil && (own || d.Pipeline == nil): // which names the file
		return d.pipelineErr
	case own && d.vectors():
		e.pipeline = d.Pipeline
	case e.options.Pooling == ModelPooling:
		e.options.Pooling = plain
	}
	if e.options.Normalize && !e.vector() {
		return ErrNoVector
	}
	return nil
}

// vector says that each text gets a vector.
func (e *encoder) vector() bool { return e.pipeline != nil || e.options.Pooling != NoPooling }

// readTexts takes what is said of texts: by the options or, where they are silent, by a sentence-transformers folder.
func (e *encoder) readTexts(d *Description) (err error) {
	var (
		o         = &e.options
		c         = &d.Config
		truncates = o.MaxLength > 0
		length    = cmp.Or(o.MaxLength, c.MaxPositionEmbeddings)
	)
	switch {
	case o.Prompt != nil && o.PromptName != "":
		return errors.New("both a prompt and the name of one: want one of them")
	case o.Prompt != nil:
		e.prompt = *o.Prompt
	case o.PromptName != "" && !d.vectors():
		return &sentence.PromptError{Name: o.PromptName}
	}
	var t tokenizer.Config
	if d.Tokenizer != nil { // or inputs are ids
		t = d.Tokenizer.Config()
	}
	if p := d.Pipeline; d.vectors() {
		if o.Prompt == nil {
			if e.prompt, err = p.Prompt(o.PromptName); err != nil {
				return err
			}
		}
		e.lower = p.LowerCase && !t.LowerCase
		if !truncates { // as the library does
			truncates = true
			switch {
			case p.MaxSeqLength > 0:
				length = min(length, p.MaxSeqLength)
			case t.ModelMaxLength >= minSeqLength:
				length = min(length, t.ModelMaxLength)
			}
		}
	}
	e.engine.options = tokenizer.Options{MaxLength: length}
	if !truncates {
		e.engine.options.Truncation = tokenizer.DoNotTruncate
	}
	if d.vectors() && d.Tokenizer != nil {
		e.engine.options.TruncateLeft = d.Tokenizer.DefaultOptions().TruncateLeft
	}
	if d.Tokenizer == nil || e.pipeline == nil || e.pipeline.IncludesPrompt() || e.prompt == "" {
		return nil
	}
	// The prompt's tokens are those that it has alone, without [SEP].
	var scratch tokenizer.Encoding
	alone := data.Input{}
	if err := e.encode(&scratch, e.text(&alone)); err != nil {
		return fmt.Errorf("the prompt: %w", err)
	}
	e.promptTokens = scratch.Len()
	if n := scratch.Len(); n > 0 && e.tokenizer.IsSpecial(scratch.IDs[n-1]) {
		e.promptTokens--
	}
	return nil
}

// text is an input as the tokenizer gets it.
func (e *encoder) text(in *data.Input) *data.Input {
	if in.IDs != nil || e.prompt == "" && !e.lower {
		return in
	}
	own := *in
	own.Text = e.prompt + in.Text
	if e.lower {
		own.Text, own.TextPair = e.tokenizer.LowerCase(own.Text), e.tokenizer.LowerCase(own.TextPair)
	}
	return &own
}

// prepareText makes a sequence of an input.
func (e *encoder) prepareText(scratch *tokenizer.Encoding, in *data.Input) (prepared, error) {
	return e.prepare(scratch, in, *e.text(in))
}

// encodeAll answers all sequences of inputs, in their order.
func (e *encoder) encodeAll(ctx context.Context, inputs []prepared) ([]Encoded, error) {
	s := flatten(inputs)
	prompts := make([]int, 0, len(s)) // tokens of a prompt; ready-made ids have none that is known
	for i := range inputs {
		for range inputs[i].sequences {
			n := e.promptTokens
			if inputs[i].input.IDs != nil {
				n = 0
			}
			prompts = append(prompts, n)
		}
	}
	answers := make([]Encoded, len(s))
	want := bert.Outputs{Pooled: e.options.Pooling == PoolerPooling, Attentions: e.options.Attention, QKV: e.vectors}
	states := e.layers
	if e.vector() && e.options.Pooling != PoolerPooling {
		states = append(slices.Clip(states), e.pooled)
	}
	last := e.model.Config().NumHiddenLayers
	want.LastHidden = slices.Contains(states, last)
	want.Hidden = slices.ContainsFunc(states, func(l int) bool { return l != last })
	err := forward(ctx, e.withSession, sequences(s), e.tokens, want, func(indices []int, b *bert.Batch, out *bert.Output) error {
		probabilities := 0 // before this sequence, in each layer
		for i, at := range indices {
			var err error
			if answers[at], err = e.encoded(s[at], b, i, out, probabilities, prompts[at]); err != nil {
				return &sequenceError{at, err}
			}
			n := len(s[at].ids)
			probabilities += e.model.Config().NumAttentionHeads * n * n
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answers, nil
}

// encoded copies what is asked for of sequence i of a batch out of the session's memory. probabilities is where the
// sequence's attention begins, prompt the number of its tokens that are a prompt's.
func (e *encoder) encoded(s sequence, b *bert.Batch, i int, out *bert.Output, probabilities, prompt int) (answer Encoded, err error) {
	var (
		c        = e.model.Config()
		h        = c.HiddenSize
		from, to = b.Sequence(i)
		n        = to - from
		states   = func(l int) []float32 {
			if l == c.NumHiddenLayers {
				return out.LastHidden[from*h : to*h]
			}
			return out.Hidden[l][from*h : to*h]
		}
	)
	answer = Encoded{Tokens: e.names(s.ids), Truncated: s.dropped > 0, DroppedTokens: s.dropped}
	for j, l := range e.layers {
		answer.Layers = append(answer.Layers, LayerStates{e.options.Layers[j], rows(states(l), n, h)})
	}
	switch mode, ok := e.options.Pooling.mode(); {
	case e.pipeline != nil:
		if answer.Pooled, err = e.pipeline.Vector(states(e.pooled), h, prompt); err != nil {
			return answer, err
		}
	case ok:
		answer.Pooled = mode.Pool(states(e.pooled), h)
	case e.options.Pooling == PoolerPooling:
		answer.Pooled = slices.Clone(out.Pooled[i*h : (i+1)*h])
	}
	if e.options.Normalize {
		sentence.Normalize(answer.Pooled)
	}
	for _, qkv := range out.QKV {
		answer.vectors = append(answer.vectors, explain.HeadVectors{Tokens: n, Heads: c.NumAttentionHeads, QKV: slices.Clone(qkv[from*3*h : to*3*h])})
	}
	if e.options.Attention {
		for _, layer := range out.Attentions {
			heads := make([][][]float32, c.NumAttentionHeads)
			for a := range heads {
				at := probabilities + a*n*n
				heads[a] = rows(layer[at:at+n*n], n, n)
			}
			answer.Attention = append(answer.Attention, heads)
		}
	}
	return answer, nil
}

// rows copies values [n,width] and cuts them into rows.
func rows(values []float32, n, width int) [][]float32 {
	own := slices.Clone(values)
	out := make([][]float32, n)
	for i := range out {
		out[i] = own[i*width : (i+1)*width : (i+1)*width]
	}
	return out
}

// narrow rounds rows to float32.
func narrow(rows [][]float64) [][]float32 {
	out := make([][]float32, len(rows))
	for i, row := range rows {
		out[i] = make([]float32, len(row))
		for j, v := range row {
			out[i][j] = float32(v)
		}
	}
	return out
}
