package bert

import (
	"github.com/go-bert/bert/internal/compute"
)

// This file is the forward pass of paper §3, as google-research/bert modeling.py writes it (BertModel,
// transformer_model, attention_layer). encoder_backward.go goes the same way in reverse.
//
// Legend: B sequences, T tokens of all of them end to end, n tokens of one sequence, R rows of a layer's output (T, or B),
// H hidden, I intermediate, A heads of a layer, D their size, W = A·D: H, or less where heads were pruned.

// capture is called with each hidden state [T,H], 0 for the embeddings, then one for each layer; and, if w.probs is
// there, with the attention probabilities of each layer.
type capture func(layer int, hidden compute.Buffer)

// encode runs embeddings and layers and returns the last hidden states, [T,H] or with firstOnly [B,H].
func (w *workspace) encode(see capture) compute.Buffer {
	x := w.embed()
	if see != nil {
		see(0, x)
	}
	for i := range w.layers {
		x = w.block(i, x, w.operandRows(w.b.Tokens()))
		if see != nil {
			see(i+1, x)
		}
	}
	return x
}

// embed sums the embeddings of word, position and type, normalizes and drops out: [T,H].
func (w *workspace) embed() compute.Buffer {
	var (
		cfg = &w.m.config
		H   = cfg.HiddenSize
		T   = w.b.Tokens()
	)
	ids, word := w.b.IDs, w.w.word.value
	if w.ownRows() {
		ids, word = w.rowNumbers, rows(w.wordRows, T, H)
	}
	w.op.embedding = compute.Embedding{
		Width: H, IDs: ids, PositionIDs: w.positions, TypeIDs: w.b.TypeIDs,
		Word: word, Position: w.w.position.value, Type: w.w.tokenType.value,
		Gamma: w.w.embeddingNorm.gamma.value, Beta: w.w.embeddingNorm.beta.value, Eps: float32(cfg.LayerNormEps),
		Drop: w.embeddingDrop(),
		S:    rows(w.embeddingSum, T, H), Mean: rows(w.embeddingMean, T, 1), Rstd: rows(w.embeddingRstd, T, 1),
		Y: rows(w.embeddingOut, T, H), Operand: w.operandRows(T),
	}
	w.device.Embedding(&w.op.embedding)
	return w.op.embedding.Y
}

// block is one layer of the encoder, [T,H] → [T,H]: self-attention and a feed-forward network, each added to its input
// and normalized after (post-LayerNorm). Of the last one only the first tokens' rows may be asked for: [T,H] → [B,H]. operand is x as
// one, or none.
func (w *workspace) block(i int, x, operand compute.Buffer) compute.Buffer {
	var (
		cfg      = &w.m.config
		p        = &w.w.layers[i]
		s        = &w.layers[i]
		H        = cfg.HiddenSize
		A, D     = cfg.Heads(i), cfg.HeadSize()
		W        = A * D
		T        = w.b.Tokens()
		R, first = w.blockRows(i)
	)
	// Query, key and value are one product: [T,H] → [T,3W].
	w.see(i, "attention.self.query", T, x, &p.qkv)
	w.op.linear = compute.Linear{Rows: T, X: rows(x, T, H), Operand: operand, W: p.qkv.matrix, Bias: p.qkv.bias}
	if operand = w.operandRows(R); first {
		operand = optionalRows(w.firstOperand, R, w.device.OperandSize(H))
	}
	// The context's rows, which take less room where heads were pruned, can't take the place of those that the product still reads.
	context := operand
	if W < H {
		context = optionalRows(w.narrowOperand, R, w.device.OperandSize(W))
	}
	qkv := optionalRows(w.qkv, T, 3*W)
	if !s.qkv.None() {
		qkv = rows(s.qkv, T, 3*W)
	}
	w.op.attention = compute.Attention{
		Heads: A, HeadSize: D, Starts: w.b.Starts, Product: &w.op.linear, QKV: qkv,
		Drop: w.probsDrop(i), FirstOnly: first,
		Context: optionalRows(s.context, R, W), Operand: context, LSE: optionalRows(s.lse, R, A), Probs: w.layerProbs(A),
	}
	w.device.Attention(&w.op.attention)

	if first {
		residual := rows(w.residual, R, H)
		w.device.Gather(residual, x, w.firsts, H)
		x = residual
	}
	w.op.linear = compute.Linear{
		Rows: R, X: w.op.attention.Context, Operand: context, W: p.attentionOutput.matrix, Bias: p.attentionOutput.bias,
		Y: optionalRows(s.sum1, R, H), Norm: w.addNorm(R, s.sum1, x, w.attentionDrop(i), p.attentionNorm, s.mean1, s.rstd1, s.out1, operand),
	}
	w.device.Linear(&w.op.linear)

	w.see(i, "intermediate.dense", R, s.out1, &p.intermediate)
	// The input of the activation is kept for the way back, and nothing else of [R,I].
	w.op.feedForward = compute.FeedForward{
		Rows: R, X: rows(s.out1, R, H), Operand: operand, W1: p.intermediate.matrix, Bias1: p.intermediate.bias, F: w.act,
		Pre: optionalRows(s.pre, R, p.intermediate.outStride), PreStride: p.intermediate.outStride,
		W2: p.output.matrix, Bias2: p.output.bias,
		Y: optionalRows(s.sum2, R, H), Norm: w.addNorm(R, s.sum2, s.out1, w.outputDrop(i), p.outputNorm, s.mean2, s.rstd2, s.out2, operand),
	}
	w.device.FeedForward(&w.op.feedForward)
	return rows(s.out2, R, H)
}

// see shows the input of a block's layer to whoever wants to see it.
func (w *workspace) see(block int, layer string, n int, x compute.Buffer, d *dense) {
	if w.observe != nil {
		w.observe(block, layer, rows(x, n, d.inStride), n, d.matrix.In, d.inStride)
	}
}

// blockRows is the number of rows that layer i gives: a row a token, or with firstOnly, of the last layer, a row a
// sequence.
func (w *workspace) blockRows(i int) (rows int, firstOnly bool) {
	if w.firstOnly && i == len(w.layers)-1 {
		return w.b.Len(), true
	}
	return w.b.Tokens(), false
}

// addNorm ends a sub-layer, after its last product, whose result is s: s = residual + dropout(s), y = LayerNorm(s), all [R,H].
// Without a backward pass s is none.
func (w *workspace) addNorm(R int, s, residual compute.Buffer, drop compute.Drop, p norm, mean, rstd, y, operand compute.Buffer) *compute.Norm {
	H := w.m.config.HiddenSize
	w.op.norm = compute.Norm{
		Rows: R, Width: H, Eps: float32(w.m.config.LayerNormEps), Residual: rows(residual, R, H), Drop: drop,
		Gamma: p.gamma.value, Beta: p.beta.value, S: optionalRows(s, R, H), Mean: rows(mean, R, 1), Rstd: rows(rstd, R, 1),
		Y: rows(y, R, H), Operand: operand,
	}
	return &w.op.norm
}

// pool is the vector of each sequence, [B,H]: tanh of a dense layer over its first token. hidden is [T,H], or with
// firstOnly [B,H].
func (w *workspace) pool(hidden compute.Buffer) compute.Buffer {
	var (
		H, B  = w.m.config.HiddenSize, w.b.Len()
		first = rows(w.first, B, H)
		none  compute.Buffer
	)
	if w.firstOnly {
		w.device.Copy(first, hidden)
	} else {
		w.device.Gather(first, hidden, w.firsts, H)
	}
	w.linear(B, first, none, &w.w.pooler, compute.Tanh, w.pooledPre, w.pooled)
	return rows(w.pooled, B, H)
}
