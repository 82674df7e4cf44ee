package task

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/tokenizer"
)

// Pooling makes one vector of a sequence.
type Pooling uint8

const (
	// NoPooling gives no such vector, only layers.
	NoPooling Pooling = iota
	// CLSPooling takes the hidden state of the first token, [CLS].
	CLSPooling
	// MeanPooling takes the mean of the hidden states of all tokens, [CLS] and [SEP] included.
	MeanPooling
	// PoolerPooling takes what the model's pooler makes of [CLS] for next-sentence prediction and classifiers (tanh of a
	// dense layer).
	PoolerPooling
	// MaxPooling takes, in each place, the largest value of the hidden states of all tokens, [CLS] and [SEP] included.
	MaxPooling
)

var poolingNames = [...]string{NoPooling: "none", CLSPooling: "cls", MeanPooling: "mean", PoolerPooling: "pooler", MaxPooling: "max"}

func (p Pooling) String() string {
	if int(p) >= len(poolingNames) {
		return fmt.Sprintf("Pooling(%d)", p)
	}
	return poolingNames[p]
}

// Poolings lists what ParsePooling reads.
func Poolings() []string { return slices.Clone(poolingNames[:]) }

// ParsePooling reads none, cls, mean, max or pooler.
func ParsePooling(name string) (Pooling, error) {
	if i := slices.Index(poolingNames[:], name); i >= 0 {
		return Pooling(i), nil
	}
	return 0, fmt.Errorf("pooling %q: want %s", name, strings.Join(poolingNames[:], ", "))
}

// MarshalText writes String.
func (p Pooling) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is ParsePooling.
func (p *Pooling) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePooling(string(text))
	return err
}

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

// EncodeOptions say what Encode gives.
type EncodeOptions struct {
	// Layers are the layers whose hidden states are given: 0 the embeddings, 1 the first layer; -1 the last layer, -2 the
	// one before. nil: the last one, but none at all where there is a Pooling or Attention.
	Layers []int
	// Pooling makes Encoded.Pooled: of CLSPooling, MeanPooling and MaxPooling from the last of Layers.
	Pooling Pooling
	// Normalize divides Encoded.Pooled by its length, so that the product of two vectors is their cosine.
	Normalize bool
	// Attention asks for the attention probabilities of all layers.
	Attention bool
	// MaxLength is the most tokens of a text, which is truncated to them; 0: a text longer than the model's positions is an error.
	MaxLength int
}

// Encoded is what a model makes of an input.
//
// Legend: n tokens, H hidden, L layers, A heads.
type Encoded struct {
	Tokens    []string        `json:"tokens"`              // [n]
	Layers    []LayerStates   `json:"layers,omitempty"`    // in the order asked for
	Pooled    []float32       `json:"pooled,omitempty"`    // [H]
	Attention [][][][]float32 `json:"attention,omitempty"` // [L,A,n,n]: layer, head, from, to
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
	return Use[Encoded]{Encoding, func(e *engine, d *Description) (*work[Encoded], error) {
		x, err := newEncoder(e, d, o)
		if err != nil {
			return nil, err
		}
		// Answers can be larger than all that a pass needs, so a stream holds no more of them than a batch has.
		return &work[Encoded]{
			prepare: x.prepareOne, window: e.tokens,
			answer: func(ctx context.Context, inputs []prepared) ([]Encoded, error) {
				return x.encodeAll(ctx, flatten(inputs))
			},
		}, nil
	}}
}

type encoder struct {
	*engine
	options EncodeOptions
	layers  []int // options.Layers as indices into bert.Output.Hidden
	pooled  int   // the layer that is pooled, likewise
}

func newEncoder(e *engine, d *Description, o EncodeOptions) (*encoder, error) {
	c := &d.Config
	switch n := o.MaxLength; {
	case n != 0 && n < minSeqLength:
		return nil, fmt.Errorf("the longest sequence is %d, want at least %d", n, minSeqLength)
	case n > c.MaxPositionEmbeddings:
		return nil, fmt.Errorf("the longest sequence is %d, the model has %d positions", n, c.MaxPositionEmbeddings)
	case int(o.Pooling) >= len(poolingNames):
		return nil, fmt.Errorf("there is no %v", o.Pooling)
	}
	asked := slices.Clone(o.Layers)
	if o.Layers == nil && o.Pooling == NoPooling && !o.Attention {
		asked = []int{-1}
	}
	x := &encoder{engine: e, options: o, pooled: c.NumHiddenLayers}
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
	e.options = tokenizer.Options{MaxLength: o.MaxLength}
	if o.MaxLength == 0 {
		e.options = tokenizer.Options{MaxLength: c.MaxPositionEmbeddings, Truncation: tokenizer.DoNotTruncate}
	}
	// Answers can be larger than all that a pass needs: the attention of 512 tokens in BERT-base has 150 MB. So they count
	// in tokens too, of which each needs about four times the width of a feed-forward block.
	e.finish = func(s *sequence) error {
		n := len(s.ids)
		floats := n * c.HiddenSize * len(x.layers)
		if o.Attention {
			floats += c.NumHiddenLayers * c.NumAttentionHeads * n * n
		}
		s.cost += floats / (4 * c.IntermediateSize)
		return nil
	}
	return x, nil
}

func (e *encoder) encodeAll(ctx context.Context, s []sequence) ([]Encoded, error) {
	answers := make([]Encoded, len(s))
	want := bert.Outputs{Pooled: e.options.Pooling == PoolerPooling, Attentions: e.options.Attention}
	states := e.layers
	if e.options.Pooling != NoPooling && e.options.Pooling != PoolerPooling {
		states = append(slices.Clip(states), e.pooled)
	}
	last := e.model.Config().NumHiddenLayers
	want.LastHidden = slices.Contains(states, last)
	want.Hidden = slices.ContainsFunc(states, func(l int) bool { return l != last })
	err := forward(ctx, e.withSession, sequences(s), e.tokens, want, func(indices []int, b *bert.Batch, out *bert.Output) error {
		probabilities := 0 // before this sequence, in each layer
		for i, at := range indices {
			answers[at] = e.encoded(s[at], b, i, out, probabilities)
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
// sequence's attention begins.
func (e *encoder) encoded(s sequence, b *bert.Batch, i int, out *bert.Output, probabilities int) Encoded {
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
		answer = Encoded{Tokens: e.tokenizer.Tokens(s.ids), Truncated: s.dropped > 0, DroppedTokens: s.dropped}
	)
	for j, l := range e.layers {
		answer.Layers = append(answer.Layers, LayerStates{e.options.Layers[j], rows(states(l), n, h)})
	}
	switch e.options.Pooling {
	case CLSPooling:
		answer.Pooled = slices.Clone(states(e.pooled)[:h])
	case MeanPooling:
		answer.Pooled = mean(states(e.pooled), h)
	case MaxPooling:
		answer.Pooled = largest(states(e.pooled), h)
	case PoolerPooling:
		answer.Pooled = slices.Clone(out.Pooled[i*h : (i+1)*h])
	}
	if e.options.Normalize {
		normalize(answer.Pooled)
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
	return answer
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

// mean is the mean of the rows of values [n,width].
func mean(values []float32, width int) []float32 {
	sum := make([]float64, width)
	for i, x := range values {
		sum[i%width] += float64(x)
	}
	out := make([]float32, width)
	for i, x := range sum {
		out[i] = float32(x / float64(len(values)/width))
	}
	return out
}

// largest has the largest values in the columns of values [n,width].
func largest(values []float32, width int) []float32 {
	out := slices.Clone(values[:width])
	for i, x := range values {
		out[i%width] = max(out[i%width], x)
	}
	return out
}

// normalize gives v the length 1; one without a length stays as it is.
func normalize(v []float32) {
	squares := 0.0
	for _, x := range v {
		squares += float64(x) * float64(x)
	}
	if squares == 0 {
		return
	}
	for i, x := range v {
		v[i] = float32(float64(x) / math.Sqrt(squares))
	}
}
