package bert

import (
	"github.com/go-bert/bert/internal/compute"
)

// This file is encoder.go in reverse. Each step takes the gradient of the loss at its output, adds the gradients of its
// parameters, and leaves the gradient at its input. w.dHidden holds the gradient at the hidden states on the way down.
//
// Legend: B sequences, T tokens, H hidden, I intermediate, A heads.

// encodeBackward goes from the gradient at the last hidden states, in w.dHidden, to the embeddings.
func (w *workspace) encodeBackward() {
	for i := len(w.layers) - 1; i >= 0; i-- {
		w.blockBackward(i)
	}
	w.embedBackward()
}

// input is the hidden states that go into layer i.
func (w *workspace) input(i int) compute.Buffer {
	if i == 0 {
		return w.embeddingOut
	}
	return w.layers[i-1].out2
}

// blockBackward replaces the gradient at the output of layer i by the gradient at its input.
func (w *workspace) blockBackward(i int) {
	var (
		cfg     = &w.m.config
		p       = &w.w.layers[i]
		s       = &w.layers[i]
		H, I, A = cfg.HiddenSize, cfg.IntermediateSize, cfg.NumAttentionHeads
		T       = w.b.Tokens()
	)
	// out2 = LayerNorm(out1 + dropout(inner·W + b)); dSum is the gradient at out1 so far, branch the one at the product.
	branch := w.addNormBackward(w.dHidden, s.sum2, s.mean2, s.rstd2, w.outputDrop(i), p.outputNorm, w.dSum)
	w.device.Activate(w.act, rows(w.inner, T, I), rows(s.pre, T, I)) // computed again: [T,I] a layer need not be kept twice
	w.weightGrad(T, branch, &p.output, w.inner)
	w.op.linearInputGrad = compute.LinearInputGrad{
		Rows: T, DY: branch, W: p.output.matrix, F: w.act, Pre: rows(s.pre, T, I), DX: rows(w.dInner, T, I),
	}
	w.device.LinearInputGrad(&w.op.linearInputGrad)
	w.weightGrad(T, w.dInner, &p.intermediate, s.out1)
	w.inputGrad(T, w.dInner, &p.intermediate, w.dSum, true)

	// out1 = LayerNorm(x + dropout(context·W + b)); dHidden is now the gradient at x.
	branch = w.addNormBackward(w.dSum, s.sum1, s.mean1, s.rstd1, w.attentionDrop(i), p.attentionNorm, w.dHidden)
	w.weightGrad(T, branch, &p.attentionOutput, s.context)
	w.inputGrad(T, branch, &p.attentionOutput, w.dContext, false)

	w.op.attentionGrad = compute.AttentionGrad{
		Heads: A, HeadSize: H / A, Starts: w.b.Starts, QKV: rows(s.qkv, T, 3*H), Context: rows(s.context, T, H),
		LSE: rows(s.lse, T, A), Drop: w.probsDrop(i), DContext: rows(w.dContext, T, H), DQKV: rows(w.dQKV, T, 3*H),
	}
	w.device.AttentionGrad(&w.op.attentionGrad)
	w.weightGrad(T, w.dQKV, &p.qkv, w.input(i))
	w.inputGrad(T, w.dQKV, &p.qkv, w.dHidden, true)
}

// addNormBackward writes the gradient at the residual to ds and returns the gradient at what was added to it.
func (w *workspace) addNormBackward(dy, s, mean, rstd compute.Buffer, drop compute.Drop, p norm, ds compute.Buffer) compute.Buffer {
	H, T := w.m.config.HiddenSize, w.b.Tokens()
	ds = rows(ds, T, H)
	branch := ds
	var dx compute.Buffer
	if drop.Rate > 0 {
		dx = rows(w.dBranch, T, H)
		branch = dx
	}
	w.op.normGrad = compute.NormGrad{
		Rows: T, Width: H, DY: rows(dy, T, H), S: rows(s, T, H), Mean: rows(mean, T, 1), Rstd: rows(rstd, T, 1),
		Gamma: p.gamma.value, Drop: drop, DS: ds, DX: dx, DGamma: p.gamma.grad, DBeta: p.beta.grad,
	}
	w.device.NormGrad(&w.op.normGrad)
	return branch
}

func (w *workspace) embedBackward() {
	var (
		H = w.m.config.HiddenSize
		T = w.b.Tokens()
		p = w.w
	)
	w.op.embeddingGrad = compute.EmbeddingGrad{
		Width: H, IDs: w.b.IDs, PositionIDs: w.positions, TypeIDs: w.b.TypeIDs,
		DY: rows(w.dHidden, T, H), S: rows(w.embeddingSum, T, H),
		Mean: rows(w.embeddingMean, T, 1), Rstd: rows(w.embeddingRstd, T, 1),
		Gamma: p.embeddingNorm.gamma.value, Drop: w.embeddingDrop(),
		DWord: p.word.grad, DPosition: p.position.grad, DType: p.tokenType.grad,
		DGamma: p.embeddingNorm.gamma.grad, DBeta: p.embeddingNorm.beta.grad,
	}
	w.device.EmbeddingGrad(&w.op.embeddingGrad)
}

// poolBackward takes the gradient at the pooled vectors, in w.dPooled, and adds the gradient at the last hidden states to
// w.dHidden.
func (w *workspace) poolBackward() {
	H, T, B := w.m.config.HiddenSize, w.b.Tokens(), w.b.Len()
	d := rows(w.dPooled, B, H)
	w.device.ActivateGrad(compute.Tanh, d, d, rows(w.pooledPre, B, H))
	w.weightGrad(B, d, &w.w.pooler, w.first)
	first := rows(w.first, B, H) // its values are used up
	w.inputGrad(B, d, &w.w.pooler, first, false)
	w.device.ScatterAdd(rows(w.dHidden, T, H), first, w.firsts, H)
}
