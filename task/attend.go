package task

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/go-bert/bert/explain"
	"github.com/go-bert/bert/internal/message"
)

// AttentionWeights is which numbers of attention are given.
type AttentionWeights uint8

const (
	// RawWeights are the probabilities.
	RawWeights AttentionWeights = iota
	// NormWeights are the probabilities times the length of what they move: see explain.HeadWeights.ValueNorms.
	NormWeights
	// RolloutWeights follow the probabilities through the layers: see explain.Rollout. Heads are joined.
	RolloutWeights
	// GradientWeights follow those that raise the model's answer: see explain.GradientRollout. Heads are joined.
	GradientWeights
)

var attentionWeightNames = [...]string{RawWeights: "raw", NormWeights: "norm", RolloutWeights: "rollout", GradientWeights: "gradient"}

// joined says that the weights are of all heads together.
func (w AttentionWeights) joined() bool { return w == RolloutWeights || w == GradientWeights }

func (w AttentionWeights) String() string {
	if int(w) >= len(attentionWeightNames) {
		return fmt.Sprintf("AttentionWeights(%d)", w)
	}
	return attentionWeightNames[w]
}

// AllAttentionWeights lists what ParseAttentionWeights reads.
func AllAttentionWeights() []string { return slices.Clone(attentionWeightNames[:]) }

// ParseAttentionWeights reads raw, norm, rollout or gradient.
func ParseAttentionWeights(name string) (AttentionWeights, error) {
	if i := slices.Index(attentionWeightNames[:], name); i >= 0 {
		return AttentionWeights(i), nil
	}
	return 0, fmt.Errorf("weights %s: want %s", message.Quote(name), strings.Join(attentionWeightNames[:], ", "))
}

// MarshalText writes String.
func (w AttentionWeights) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText is ParseAttentionWeights.
func (w *AttentionWeights) UnmarshalText(text []byte) (err error) {
	*w, err = ParseAttentionWeights(string(text))
	return err
}

// AttendOptions say what Attend gives. The zero value is all of it.
type AttendOptions struct {
	Weights AttentionWeights
	// Layers and Heads are those that are given, from 0; nil: all. They change no number. Heads that a layer does not have, as heads were
	// pruned, are left out.
	Layers, Heads []int
	// TopK is how many tokens are given for each that looks, those with the largest weights; 0: all.
	TopK int
	// Bare leaves out the first token, [CLS], and the separators, and scales each row to a sum of 1: see explain.WithoutTokens. The
	// statistics of heads are those of all tokens.
	Bare bool
	// Vectors adds the queries and keys of the heads, and Rollout the rollout of each layer.
	Vectors, Rollout bool
	// MaxLength is the most tokens of a text, which is truncated to them; 0: a text longer than the model's positions is an error.
	MaxLength int
	// Label and Quantity are of GradientWeights: what raises which number of the answer, as of ExplainOptions. A text is then read
	// as for an answer, whatever MaxLength says.
	Label    string
	Quantity Quantity
}

// Attended is what the tokens of an input attend to.
//
// Legend: n tokens.
type Attended struct {
	Tokens []string `json:"tokens"` // [n]
	// Second is where the second text of a pair begins, and [CLS] and [SEP] are of neither; 0: there is one text. Special are the
	// places of [CLS] and [SEP].
	Second  int              `json:"second,omitempty"`
	Special []int            `json:"special"`
	Weights AttentionWeights `json:"weights"`
	Bare    bool             `json:"bare,omitempty"`
	// Target is what the weights raise, of GradientWeights, From the tokens at which it is read, whose rows say where it comes from,
	// and Window the window of a long text.
	Target *Target `json:"target,omitempty"`
	From   []int   `json:"from,omitempty"`
	Window int     `json:"window,omitempty"`
	// RowError is how far a row of probabilities, of any layer and head, is from a sum of 1, at most. Of GradientWeights, whose
	// rows have no such sum, it is 0.
	RowError float32         `json:"row_error"`
	Layers   []AttendedLayer `json:"layers"`
	// Truncated says that the input was longer than MaxLength; DroppedTokens were cut.
	Truncated     bool `json:"truncated,omitempty"`
	DroppedTokens int  `json:"dropped_tokens,omitempty"`
}

// AttendedLayer is a layer's share. Numbers count from 0 as in the model's files, and from 1 as in papers.
type AttendedLayer struct {
	Layer      int            `json:"layer"`
	PaperLayer int            `json:"paper_layer"`
	Heads      []AttendedHead `json:"heads,omitempty"`
	// Rollout is how much of each token's input is in each token after the layer, or of GradientWeights how much it matters there:
	// of a token itself, beyond what it is of itself before the first layer.
	Rollout *AttendedRows `json:"rollout,omitempty"`
}

// AttendedHead is a head's share. The statistics are of the probabilities, and means over all tokens that look.
type AttendedHead struct {
	Head      int `json:"head"`
	PaperHead int `json:"paper_head"`
	// First is the share of the first token, [CLS], Separators that of all [SEP]; Self, Previous and Next are those of the token
	// itself and of its neighbours.
	First      float32 `json:"first"`
	Separators float32 `json:"separators"`
	Self       float32 `json:"self"`
	Previous   float32 `json:"previous"`
	Next       float32 `json:"next"`
	Entropy    float32 `json:"entropy"` // in nats
	// Blocks are the shares within and between the texts of a pair.
	Blocks *AttendedBlocks `json:"blocks,omitempty"`
	Rows   AttendedRows    `json:"rows"`
	// Queries and Keys are of AttendOptions.Vectors: a head's attention is softmax(q·k/√D).
	Queries [][]float32 `json:"queries,omitempty"` // [n,D]
	Keys    [][]float32 `json:"keys,omitempty"`
}

// AttendedBlocks are explain.PairBlocks.
type AttendedBlocks struct {
	FirstToFirst   float32 `json:"first_to_first"`
	FirstToSecond  float32 `json:"first_to_second"`
	SecondToFirst  float32 `json:"second_to_first"`
	SecondToSecond float32 `json:"second_to_second"`
}

// AttendedRows has a row for each token that looks: its weights of all tokens, or with AttendOptions.TopK the largest.
type AttendedRows struct {
	All [][]float32 `json:"all,omitempty"` // [n,n]
	Top [][]Link    `json:"top,omitempty"` // [n,TopK]: the largest first
	// Dropped is the largest share of a row's weights that Top leaves out.
	Dropped float32 `json:"dropped,omitempty"`
}

// Link is a token that is attended to.
type Link struct {
	To     int     `json:"to"`
	Weight float32 `json:"weight"`
}

// Attend gives attention, of a model with whatever head, and statistics of each head. GradientWeights are of models that answer.
func Attend(o AttendOptions) Use[Attended] {
	asked := Encoding
	if o.Weights == GradientWeights {
		asked = Predicting
	}
	return Use[Attended]{asked: asked, gradients: o.Weights == GradientWeights, start: func(e *engine, d *Description) (*work[Attended], error) {
		a := &attender{options: o}
		c := &d.Config
		var err error
		switch {
		case int(o.Weights) >= len(attentionWeightNames):
			return nil, fmt.Errorf("there is no %v", o.Weights)
		case o.TopK < 0:
			return nil, fmt.Errorf("the %d largest weights, want at least 1, or 0 for all", o.TopK)
		case o.Weights.joined() && o.Heads != nil:
			return nil, fmt.Errorf("heads %v: %v joins all heads", o.Heads, o.Weights)
		case o.Weights.joined() && o.Vectors:
			return nil, fmt.Errorf("queries and keys: %v joins all heads", o.Weights)
		case o.Weights != GradientWeights && (o.Label != "" || o.Quantity != Logit):
			return nil, fmt.Errorf("label %s, %v: %v knows nothing of an answer, want %v", message.Quote(o.Label), o.Quantity, o.Weights, GradientWeights)
		}
		if a.layers, err = chosen("layer", o.Layers, c.NumHiddenLayers); err != nil {
			return nil, err
		}
		if a.heads, err = chosen("head", o.Heads, c.NumAttentionHeads); err != nil {
			return nil, err
		}
		if o.Weights == GradientWeights {
			x, err := newExplainer(e, d, ExplainOptions{Method: AttentionGradient, Label: o.Label, Quantity: o.Quantity})
			if err != nil {
				return nil, err
			}
			a.engine, a.explainer = e, x
			return &work[Attended]{prepare: x.prepare, answer: answering(x, a.raising), budget: 1}, nil
		}
		encode := EncodeOptions{Pooling: NoPooling, Attention: true, MaxLength: o.MaxLength}
		if o.Weights == NormWeights {
			encode.Layers = upTo(c.NumHiddenLayers) // what goes into each layer
		}
		if a.encoder, err = newEncoder(e, d, encode, NoPooling); err != nil {
			return nil, err
		}
		a.encoder.vectors = o.Vectors
		a.engine, a.weights = e, sync.OnceValues(e.headWeights)
		// As in Encode: a stream holds the answers of two groups.
		return &work[Attended]{prepare: a.encoder.prepareText, budget: max(1, e.tokens/2), answer: a.attend}, nil
	}}
}

// chosen checks numbers of layers or heads; nil are all.
func chosen(what string, numbers []int, all int) ([]int, error) {
	if numbers == nil {
		return upTo(all), nil
	}
	for _, n := range numbers {
		if n < 0 || n >= all {
			return nil, fmt.Errorf("%s %d: the model has 0 to %d", what, n, all-1)
		}
	}
	return numbers, nil
}

type attender struct {
	*encoder             // of weights that need no answer
	explainer *explainer // of GradientWeights
	engine    *engine
	options   AttendOptions
	layers    []int // that are given
	heads     []int
	weights   func() ([]explain.HeadWeights, error) // of all layers
}

// special are the places of [CLS] and [SEP].
func (e *engine) special(ids []int32) []int {
	places := []int{0}
	for i, id := range ids {
		if i > 0 && e.tokenizer != nil && id == e.tokenizer.SeparatorID() {
			places = append(places, i)
		}
	}
	return places
}

// attended is what is known of a sequence before its attention.
func (a *attender) attended(tokens []string, s *sequence) Attended {
	out := Attended{
		Tokens: tokens, Special: a.engine.special(s.ids), Weights: a.options.Weights, Bare: a.options.Bare, Truncated: s.dropped > 0, DroppedTokens: s.dropped,
	}
	out.Second = max(0, slices.Index(s.typeIDs, 1))
	return out
}

func (a *attender) attend(ctx context.Context, inputs []prepared) ([]Attended, error) {
	encoded, err := a.encoder.encodeAll(ctx, inputs)
	if err != nil {
		return nil, err
	}
	out := make([]Attended, len(encoded))
	for i, s := range flatten(inputs) {
		out[i] = a.attended(encoded[i].Tokens, &s)
		if err = a.fill(&out[i], &encoded[i]); err != nil {
			return nil, &InputError{i, err}
		}
	}
	return out, nil
}

// marks has true at places.
func marks(n int, places []int) []bool {
	out := make([]bool, n)
	for _, p := range places {
		out[p] = true
	}
	return out
}

// texts says which text each token is of, −1: neither; nil: there is one text.
func (a *Attended) texts() []int {
	if a.Second == 0 {
		return nil
	}
	out := make([]int, len(a.Tokens))
	for i := range out {
		if i >= a.Second {
			out[i] = 1
		}
	}
	for _, i := range a.Special {
		out[i] = -1
	}
	return out
}

// fill adds the layers of a sequence.
func (a *attender) fill(out *Attended, e *Encoded) error {
	statistics, err := explain.HeadStatistics(e.Attention, out.separators())
	if err != nil {
		return err
	}
	for _, s := range statistics {
		out.RowError = max(out.RowError, float32(s.RowError))
	}
	var rollout [][][]float64
	if a.options.Weights == RolloutWeights || a.options.Rollout {
		if rollout, err = explain.Rollout(e.Attention); err != nil {
			return err
		}
	}
	texts := out.texts()
	firsts := make([]int, len(e.Attention)) // of each layer in statistics
	for l := 1; l < len(firsts); l++ {
		firsts[l] = firsts[l-1] + len(e.Attention[l-1])
	}
	for _, l := range a.layers {
		layer := AttendedLayer{Layer: l, PaperLayer: l + 1}
		if rollout != nil {
			if layer.Rollout, err = a.rows(out, narrow(rollout[l])); err != nil {
				return err
			}
		}
		if a.options.Weights == RolloutWeights {
			out.Layers = append(out.Layers, layer)
			continue
		}
		weights := e.Attention[l]
		if a.options.Weights == NormWeights {
			heads, err := a.weights()
			if err != nil {
				return err
			}
			if weights, err = heads[l].ValueNorms(weights, e.Layers[l].Values, 0); err != nil {
				return err
			}
		}
		for _, h := range a.heads {
			if h >= len(e.Attention[l]) {
				continue
			}
			s := &statistics[firsts[l]+h]
			head := AttendedHead{
				Head: h, PaperHead: h + 1, First: float32(s.First), Separators: float32(s.Separators),
				Self: float32(s.Self), Previous: float32(s.Previous), Next: float32(s.Next), Entropy: float32(s.Entropy),
			}
			rows, err := a.rows(out, weights[h])
			if err != nil {
				return err
			}
			head.Rows = *rows
			if texts != nil {
				b, err := explain.NewPairBlocks(e.Attention[l][h], texts)
				if err != nil {
					return err
				}
				head.Blocks = &AttendedBlocks{float32(b.FirstToFirst), float32(b.FirstToSecond), float32(b.SecondToFirst), float32(b.SecondToSecond)}
			}
			if a.options.Vectors {
				if head.Queries, err = e.vectors[l].Queries(h); err != nil {
					return err
				}
				if head.Keys, err = e.vectors[l].Keys(h); err != nil {
					return err
				}
			}
			layer.Heads = append(layer.Heads, head)
		}
		out.Layers = append(out.Layers, layer)
	}
	return nil
}

// raising is the attention that raises the answer to an input: the first of what Explain explains or, of a question, both ends of the
// answer together.
func (a *attender) raising(ctx context.Context, in *prepared, logits [][]float32) (Attended, error) {
	x := a.explainer
	aims, err := x.aims(in, logits)
	if err != nil {
		return Attended{}, err
	}
	if len(aims) == 0 {
		return Attended{}, errors.New("the answer has nothing to follow back: no word is in an entity")
	}
	aim := &aims[0]
	if last := &aims[len(aims)-1]; last.target.Side == bothSides {
		aim = last
	}
	s := &in.sequences[aim.sequence]
	passes, _, err := (&modelFunction{x.engine, s, aim}).attention(ctx)
	if err != nil {
		return Attended{}, err
	}
	rollout, err := explain.GradientRollout(passes, 0)
	if err != nil {
		return Attended{}, err
	}
	out := a.attended(x.tokenizer.Tokens(s.ids), s)
	out.Target, out.From, out.Truncated, out.DroppedTokens = &aim.target, slices.Compact(slices.Clone(aim.tokens)), in.dropped > 0, in.dropped
	if !x.kind.choices {
		out.Window = aim.sequence
	}
	for _, l := range a.layers {
		layer := AttendedLayer{Layer: l, PaperLayer: l + 1}
		for i, row := range rollout[l] {
			row[i]-- // what a token is of itself before the first layer
		}
		if layer.Rollout, err = a.rows(&out, narrow(rollout[l])); err != nil {
			return out, err
		}
		out.Layers = append(out.Layers, layer)
	}
	return out, nil
}

// rows are weights as the options ask for them.
func (a *attender) rows(of *Attended, weights [][]float32) (*AttendedRows, error) {
	if a.options.Bare {
		var err error
		if weights, err = explain.WithoutTokens(weights, marks(len(of.Tokens), of.Special)); err != nil {
			return nil, err
		}
	}
	k := a.options.TopK
	if k == 0 {
		return &AttendedRows{All: weights}, nil
	}
	out := &AttendedRows{Top: make([][]Link, len(weights))}
	for i, row := range weights {
		order := upTo(len(row))
		slices.SortStableFunc(order, func(x, y int) int {
			switch {
			case row[x] > row[y]:
				return -1
			case row[x] < row[y]:
				return 1
			}
			return 0
		})
		kept, all := 0.0, 0.0
		for n, j := range order {
			all += float64(row[j])
			if n < k {
				kept += float64(row[j])
				out.Top[i] = append(out.Top[i], Link{j, row[j]})
			}
		}
		if all > 0 && len(row) > k {
			out.Dropped = max(out.Dropped, float32(1-kept/all))
		}
	}
	return out, nil
}
