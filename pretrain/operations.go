package pretrain

import "github.com/go-bert/bert"

// Operations counts the floating-point operations that a step of pre-training needs for its batches: two for each multiply-add
// in the products of the layers, of attention and of the masked language model's head. Activations, norms, embeddings and the
// next-sentence head are left out, being less than a hundredth. The backward pass has twice as many as the forward pass, two
// products for each.
func Operations(c *bert.Config, batches []*bert.Batch) float64 {
	sum := 0.0
	for _, b := range batches {
		for i := range b.Len() {
			from, to := b.Sequence(i)
			sum += encoderOperations(c, to-from)
		}
		sum += maskedLMOperations(c.HiddenSize, c.VocabSize, len(b.MaskedPositions))
	}
	return 3 * sum
}

// encoderOperations are those of the encoder's forward pass for a sequence of n tokens.
func encoderOperations(c *bert.Config, n int) float64 {
	h, i, t := float64(c.HiddenSize), float64(c.IntermediateSize), float64(n)
	sum := 0.0
	for _, width := range c.AttentionWidths() {
		w := float64(width)
		// Of a token in a layer: query, key, value and output; the two products of the feed-forward network; scores and context.
		sum += 4*h*w + 2*h*i + 2*t*w
	}
	return 2 * t * sum
}

// maskedLMOperations are those of the masked language model's head for a number of masked tokens: its dense layer and the
// product with the vocabulary.
func maskedLMOperations(hidden, vocabulary, masked int) float64 {
	h, v, m := float64(hidden), float64(vocabulary), float64(masked)
	return 2 * m * h * (h + v)
}
