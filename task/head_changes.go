package task

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-bert/bert/explain"
)

// HeadMeans is what a head does on the whole: shares of its attention, as those of AttendedHead, and its entropy.
type HeadMeans struct {
	First      float32 `json:"first"`
	Separators float32 `json:"separators"`
	Self       float32 `json:"self"`
	Previous   float32 `json:"previous"`
	Next       float32 `json:"next"`
	Entropy    float32 `json:"entropy"` // in nats
}

// HeadChange is what has become of a head from one model to another, as by fine-tuning.
type HeadChange struct {
	Layer      int       `json:"layer"`
	PaperLayer int       `json:"paper_layer"`
	Head       int       `json:"head"`
	PaperHead  int       `json:"paper_head"`
	Before     HeadMeans `json:"before"`
	After      HeadMeans `json:"after"`
	// Divergence is how far the two heads differ in what they attend to, token by token: see explain.HeadDivergences.
	Divergence float32 `json:"divergence"` // in nats, at most log 2
}

// HeadChanges gathers what the heads of two models do in the same texts. The zero value is ready.
//
// Legend: L layers, A heads, n tokens.
type HeadChanges struct {
	before, after explain.Atlas
	divergences   []float64 // [L·A]: sums over tokens
}

// Tokens is of how many tokens the changes are.
func (c *HeadChanges) Tokens() int { return c.after.Tokens() }

// Add adds a text, of which both have the same tokens and all of RawWeights.
func (c *HeadChanges) Add(before, after *Attended) error {
	if !slices.Equal(before.Tokens, after.Tokens) {
		return fmt.Errorf("one model reads the text as %d tokens, the other as %d: want models with one vocabulary", len(before.Tokens), len(after.Tokens))
	}
	b, err := before.probabilities()
	if err != nil {
		return err
	}
	a, err := after.probabilities()
	if err != nil {
		return err
	}
	divergences, err := explain.HeadDivergences(b, a)
	if err != nil {
		return err
	}
	n := len(after.Tokens)
	for _, side := range []struct {
		atlas     *explain.Atlas
		attention [][][][]float32
	}{{&c.before, b}, {&c.after, a}} {
		statistics, err := explain.HeadStatistics(side.attention, after.separators())
		if err != nil {
			return err
		}
		if err := side.atlas.Add(statistics, n); err != nil {
			return err
		}
	}
	if c.divergences == nil {
		c.divergences = make([]float64, len(divergences))
	}
	for i, d := range divergences {
		c.divergences[i] += d * float64(n)
	}
	return nil
}

// Heads are the changes, by layer and head: means over all tokens.
func (c *HeadChanges) Heads() []HeadChange {
	var out []HeadChange
	before := c.before.Heads()
	for i, s := range c.after.Heads() {
		out = append(out, HeadChange{
			Layer: s.Layer, PaperLayer: s.Layer + 1, Head: s.Head, PaperHead: s.Head + 1,
			Before: headMeans(&before[i]), After: headMeans(&s), Divergence: float32(c.divergences[i] / float64(c.Tokens())),
		})
	}
	return out
}

func headMeans(s *explain.HeadStatistic) HeadMeans {
	return HeadMeans{
		First: float32(s.First), Separators: float32(s.Separators), Self: float32(s.Self), Previous: float32(s.Previous), Next: float32(s.Next),
		Entropy: float32(s.Entropy),
	}
}

// separators says which tokens are, [n].
func (a *Attended) separators() []bool {
	out := marks(len(a.Tokens), a.Special)
	out[0] = false
	return out
}

// probabilities are those of all layers and heads, [L,A,n,n].
func (a *Attended) probabilities() ([][][][]float32, error) {
	if a.Weights != RawWeights || a.Bare {
		return nil, fmt.Errorf("weights %v, want %v of all tokens", a.Weights, RawWeights)
	}
	var out [][][][]float32
	for _, l := range a.Layers {
		var heads [][][]float32
		for _, h := range l.Heads {
			if h.Rows.All == nil {
				return nil, errors.New("the largest weights alone, want all")
			}
			heads = append(heads, h.Rows.All)
		}
		out = append(out, heads)
	}
	return out, nil
}
