package report

import (
	"fmt"
	"slices"
	"strings"
)

// AttentionView is a part of a page of attention.
type AttentionView uint8

const (
	// HeadView has the lines between tokens, of any heads of a layer.
	HeadView AttentionView = iota
	// ModelView has a thumbnail of each layer and head.
	ModelView
	// NeuronView has what a head's attention is made of: query and key, number by number, and their product.
	NeuronView
	// RolloutView has the attention through all layers.
	RolloutView
	// AtlasView has what each head does on the whole.
	AtlasView
)

var attentionViewNames = [...]string{HeadView: "head", ModelView: "model", NeuronView: "neuron", RolloutView: "rollout", AtlasView: "atlas"}

// DefaultAttentionViews are those of a page that is asked for none.
func DefaultAttentionViews() []AttentionView { return []AttentionView{HeadView, ModelView, AtlasView} }

func (v AttentionView) String() string {
	if int(v) >= len(attentionViewNames) {
		return fmt.Sprintf("AttentionView(%d)", v)
	}
	return attentionViewNames[v]
}

// AttentionViews lists what ParseAttentionView reads.
func AttentionViews() []string { return slices.Clone(attentionViewNames[:]) }

// ParseAttentionView reads head, model, neuron, rollout or atlas.
func ParseAttentionView(name string) (AttentionView, error) {
	if i := slices.Index(attentionViewNames[:], name); i >= 0 {
		return AttentionView(i), nil
	}
	return 0, fmt.Errorf("view %q: want %s", name, strings.Join(attentionViewNames[:], ", "))
}

// MarshalText writes String.
func (v AttentionView) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText is ParseAttentionView.
func (v *AttentionView) UnmarshalText(text []byte) (err error) {
	*v, err = ParseAttentionView(string(text))
	return err
}
