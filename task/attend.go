package task

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/go-bert/bert"
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
)

var attentionWeightNames = [...]string{RawWeights: "raw", NormWeights: "norm", RolloutWeights: "rollout"}

func (w AttentionWeights) String() string {
	if int(w) >= len(attentionWeightNames) {
		return fmt.Sprintf("AttentionWeights(%d)", w)
	}
	return attentionWeightNames[w]
}

// AllAttentionWeights lists what ParseAttentionWeights reads.
func AllAttentionWeights() []string { return slices.Clone(attentionWeightNames[:]) }

// ParseAttentionWeights reads raw, norm or rollout.
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
	// Layers and Heads are those that are given, from 0; nil: all. They change no number.
	Layers, Heads []int
	// TopK is how many tokens are given for each that looks, those with the largest weights; 0: all.
	TopK int
	// MaxLength is the most tokens of a text, which is truncated to them; 0: a text longer than the model's positions is an error.
	MaxLength int
}

// Attended is what the tokens of an input attend to.
//
// Legend: n tokens.
type Attended struct {
	Tokens  []string         `json:"tokens"` // [n]
	Weights AttentionWeights `json:"weights"`
	// RowError is how far a row of probabilities, of any layer and head, is from a sum of 1, at most.
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
	// Rollout is of RolloutWeights: how much of each token's input is in each token after the layer.
	Rollout *AttendedRows `json:"rollout,omitempty"`
}

// AttendedHead is a head's share. The statistics are of the probabilities, and means over all tokens that look.
type AttendedHead struct {
	Head      int `json:"head"`
	PaperHead int `json:"paper_head"`
	// First is the share of the first token, [CLS], Separators that of all [SEP]; Self, Previous and Next are those of the token
	// itself and of its neighbours.
	First      float32      `json:"first"`
	Separators float32      `json:"separators"`
	Self       float32      `json:"self"`
	Previous   float32      `json:"previous"`
	Next       float32      `json:"next"`
	Entropy    float32      `json:"entropy"` // in nats
	Rows       AttendedRows `json:"rows"`
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

// Attend gives attention, of a model with whatever head, and statistics of each head.
func Attend(o AttendOptions) Use[Attended] {
	return Use[Attended]{asked: Encoding, start: func(e *engine, d *Description) (*work[Attended], error) {
		c := &d.Config
		encode := EncodeOptions{Pooling: NoPooling, Attention: true, MaxLength: o.MaxLength}
		if o.Weights == NormWeights {
			encode.Layers = upTo(c.NumHiddenLayers) // what goes into each layer
		}
		x, err := newEncoder(e, d, encode, NoPooling)
		if err != nil {
			return nil, err
		}
		a := &attender{encoder: x, options: o}
		a.separator, _ = d.Tokenizer.Token(d.Tokenizer.SeparatorID())
		switch {
		case int(o.Weights) >= len(attentionWeightNames):
			return nil, fmt.Errorf("there is no %v", o.Weights)
		case o.TopK < 0:
			return nil, fmt.Errorf("the %d largest weights, want at least 1, or 0 for all", o.TopK)
		case o.Weights == RolloutWeights && o.Heads != nil:
			return nil, fmt.Errorf("heads %v: %v joins all heads", o.Heads, o.Weights)
		}
		if a.layers, err = chosen("layer", o.Layers, c.NumHiddenLayers); err != nil {
			return nil, err
		}
		if a.heads, err = chosen("head", o.Heads, c.NumAttentionHeads); err != nil {
			return nil, err
		}
		a.weights = sync.OnceValues(a.readWeights)
		// As in Encode: a stream holds the answers of two groups.
		return &work[Attended]{prepare: x.prepareText, budget: max(1, e.tokens/2), answer: a.attend}, nil
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
	*encoder
	options   AttendOptions
	layers    []int // that are given
	heads     []int
	separator string
	weights   func() ([]explain.HeadWeights, error) // of all layers
}

// readWeights reads the parameters that ValueNorms needs.
func (a *attender) readWeights() ([]explain.HeadWeights, error) {
	c := a.model.Config()
	out := make([]explain.HeadWeights, c.NumHiddenLayers)
	for l := range out {
		w := &out[l]
		w.Heads = c.NumAttentionHeads
		for name, to := range map[string]*[]float32{
			"self.value.weight": &w.Value, "self.value.bias": &w.ValueBias, "output.dense.weight": &w.Output,
		} {
			suffix := fmt.Sprintf("encoder.layer.%d.attention.%s", l, name)
			i := slices.IndexFunc(a.model.Params(), func(p bert.Param) bool { return strings.HasSuffix(p.Name, suffix) })
			if i < 0 {
				return nil, fmt.Errorf("the model has no parameter %s", suffix)
			}
			var err error
			if *to, err = a.model.Values(a.model.Params()[i].Name); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (a *attender) attend(ctx context.Context, inputs []prepared) ([]Attended, error) {
	encoded, err := a.encodeAll(ctx, inputs)
	if err != nil {
		return nil, err
	}
	out := make([]Attended, len(encoded))
	for i := range encoded {
		if out[i], err = a.attended(&encoded[i]); err != nil {
			return nil, &InputError{i, err}
		}
	}
	return out, nil
}

func (a *attender) attended(e *Encoded) (Attended, error) {
	out := Attended{Tokens: e.Tokens, Weights: a.options.Weights, Truncated: e.Truncated, DroppedTokens: e.DroppedTokens}
	separators := make([]bool, len(e.Tokens))
	for i, token := range e.Tokens {
		separators[i] = token == a.separator
	}
	statistics, err := explain.HeadStatistics(e.Attention, separators)
	if err != nil {
		return out, err
	}
	for _, s := range statistics {
		out.RowError = max(out.RowError, float32(s.RowError))
	}
	var rollout [][][]float64
	if a.options.Weights == RolloutWeights {
		if rollout, err = explain.Rollout(e.Attention); err != nil {
			return out, err
		}
	}
	for _, l := range a.layers {
		layer := AttendedLayer{Layer: l, PaperLayer: l + 1}
		if rollout != nil {
			rows := a.rows(narrow(rollout[l]))
			layer.Rollout = &rows
			out.Layers = append(out.Layers, layer)
			continue
		}
		weights := e.Attention[l]
		if a.options.Weights == NormWeights {
			heads, err := a.weights()
			if err != nil {
				return out, err
			}
			if weights, err = heads[l].ValueNorms(weights, e.Layers[l].Values, 0); err != nil {
				return out, err
			}
		}
		for _, h := range a.heads {
			s := &statistics[l*len(e.Attention[l])+h]
			layer.Heads = append(layer.Heads, AttendedHead{
				Head: h, PaperHead: h + 1, First: float32(s.First), Separators: float32(s.Separators),
				Self: float32(s.Self), Previous: float32(s.Previous), Next: float32(s.Next), Entropy: float32(s.Entropy),
				Rows: a.rows(weights[h]),
			})
		}
		out.Layers = append(out.Layers, layer)
	}
	return out, nil
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

// rows are weights as the options ask for them.
func (a *attender) rows(weights [][]float32) AttendedRows {
	k := a.options.TopK
	if k == 0 {
		return AttendedRows{All: weights}
	}
	out := AttendedRows{Top: make([][]Link, len(weights))}
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
	return out
}
