package bert

import (
	"fmt"
	"slices"
)

// This file is about layers with fewer heads than the configuration's num_attention_heads, from which heads were taken out: pruned_heads of
// config.json, as Hugging Face's transformers wrote and read it up to version 4 (PreTrainedModel.prune_heads).
//
// Legend: H hidden, A heads, D = H/A.

// HeadSize is the width of a head, D. It is the same in all layers.
func (c *Config) HeadSize() int { return c.HiddenSize / c.NumAttentionHeads }

// Heads is the number of heads of a layer: NumAttentionHeads less those that were pruned.
func (c *Config) Heads(layer int) int { return c.NumAttentionHeads - len(c.PrunedHeads[layer]) }

// AttentionWidth is the width of a layer's queries, of its keys, of its values and of what its heads give together: HiddenSize, or less
// where heads were pruned.
func (c *Config) AttentionWidth(layer int) int { return c.Heads(layer) * c.HeadSize() }

// AttentionWidths are those of all layers.
func (c *Config) AttentionWidths() []int {
	widths := make([]int, c.NumHiddenLayers)
	for i := range widths {
		widths[i] = c.AttentionWidth(i)
	}
	return widths
}

// maxAttentionWidth is the largest of them.
func (c *Config) maxAttentionWidth() int {
	widest := 0
	for i := range c.NumHiddenLayers {
		widest = max(widest, c.AttentionWidth(i))
	}
	return widest
}

// headsOf lists the heads of a layer by the numbers that they had before any was pruned.
func (c *Config) headsOf(layer int) []int {
	var left []int
	for h := range c.NumAttentionHeads {
		if !slices.Contains(c.PrunedHeads[layer], h) {
			left = append(left, h)
		}
	}
	return left
}

// tidyPrunedHeads sorts the lists and leaves out what says nothing.
func (c *Config) tidyPrunedHeads() {
	for layer, heads := range c.PrunedHeads {
		if len(heads) == 0 {
			delete(c.PrunedHeads, layer)
			continue
		}
		slices.Sort(heads)
		c.PrunedHeads[layer] = slices.Compact(heads)
	}
	if len(c.PrunedHeads) == 0 {
		c.PrunedHeads = nil
	}
}

// checkPrunedHeads reports pruned heads that the model can't have had, and a layer without a head.
func (c *Config) checkPrunedHeads() error {
	for layer, heads := range c.PrunedHeads {
		if layer < 0 || layer >= c.NumHiddenLayers {
			return fmt.Errorf("pruned_heads has layer %d, want 0 to %d", layer, c.NumHiddenLayers-1)
		}
		for i, h := range heads {
			switch {
			case h < 0 || h >= c.NumAttentionHeads:
				return fmt.Errorf("pruned_heads has head %d of layer %d, want 0 to %d", h, layer, c.NumAttentionHeads-1)
			case slices.Contains(heads[:i], h):
				return fmt.Errorf("pruned_heads has head %d of layer %d twice", h, layer)
			}
		}
		if len(heads) == c.NumAttentionHeads {
			return fmt.Errorf("pruned_heads has all %d heads of layer %d: a layer needs one", len(heads), layer)
		}
	}
	return nil
}
