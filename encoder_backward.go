package bert

import (
	"github.com/go-bert/bert/internal/compute"
)

// This file is encoder.go in reverse. Each step takes the gradient of the loss at its output, adds the gradients of its
// parameters, and leaves the gradient at its input. w.dHidden holds the gradient at the hidden states on the way down.
//
// Legend: B sequences, T tokens, R rows of a layer's output (T, or B), H hidden, I intermediate, S its stride, A heads of a layer,
// D their size, W = A·D.

// encodeBackward goes from the gradient at the last hidden states, in w.dHidden, to that at the embeddings' output, [T,H],
// which it returns. see, if not nil, is called after each layer.
func (w *workspace) encodeBackward(see func(layer int)) compute.Buffer {
	for i := len(w.layers) - 1; i >= 0; i-- {
		w.hiddenInto(i + 1)
		w.blockBackward(i)
		if see != nil {
			see(i)
		}
	}
	w.hiddenInto(0)
	return rows(w.dHidden, w.b.Tokens(), w.m.config.HiddenSize)
}

// input is the hidden states that go into layer i, or come out of the last one.
func (w *workspace) input(i int) compute.Buffer {
	if i == 0 {
		return w.embeddingOut
	}
	return w.layers[i-1].out2
}

// blockBackward replaces the gradient at the output of layer i by the gradient at its input.
func (w *workspace) blockBackward(i int) {
	var (
		cfg      = &w.m.config
		p        = &w.w.layers[i]
		s        = &w.layers[i]
		H        = cfg.HiddenSize
		A, D     = cfg.Heads(i), cfg.HeadSize()
		W        = A * D
		T        = w.b.Tokens()
		R, first = w.blockRows(i)
		dx       = w.dHidden // where the gradient at x goes that comes by the residual
	)
	// out2 = LayerNorm(out1 + dropout(inner·W + b)); dSum is the gradient at out1 so far, branch the one at the product.
	branch := w.addNormBackward(R, w.dHidden, s.sum2, s.mean2, s.rstd2, w.outputDrop(i), p.outputNorm, w.dSum, &p.output)
	if branch.operand.None() {
		w.innerBackward(i, R, branch)
	} else {
		w.innerBackwardRounded(i, R, branch)
	}

	// out1 = LayerNorm(x + dropout(context·W + b)).
	if first {
		dx = w.residual // its values are used up
	}
	branch = w.addNormBackward(R, w.dSum, s.sum1, s.mean1, s.rstd1, w.attentionDrop(i), p.attentionNorm, dx, &p.attentionOutput)
	w.weightGradOf(R, branch, &p.attentionOutput, operands{values: s.context})
	w.inputGradOf(R, branch, &p.attentionOutput, w.dContext, false)

	w.op.attentionGrad = compute.AttentionGrad{
		Heads: A, HeadSize: D, Starts: w.b.Starts, QKV: rows(s.qkv, T, 3*W), Context: rows(s.context, R, W),
		LSE: rows(s.lse, R, A), Drop: w.probsDrop(i), FirstOnly: first, DContext: rows(w.dContext, R, W),
	}
	var dQKV operands
	if w.dQKVOperand.None() || w.addsQKV(i) { // to the values
		dQKV.values = w.dQKV
		w.op.attentionGrad.DQKV = rows(w.dQKV, T, 3*W)
	} else {
		dQKV.operand = w.dQKVOperand
		w.op.attentionGrad.Operand = w.rowsOfOperand(w.dQKVOperand, T, 3*W)
		if !w.inputOnly {
			w.op.attentionGrad.DBias = p.qkv.biasGrad
		}
	}
	w.device.AttentionGrad(&w.op.attentionGrad)
	w.qkvInto(i)
	w.weightGradOf(T, dQKV, &p.qkv, operands{values: w.input(i)})
	w.inputGradOf(T, dQKV, &p.qkv, w.dHidden, !first)
	if first {
		w.device.ScatterAdd(rows(w.dHidden, T, H), rows(dx, R, H), w.firsts, H)
	}
}

// innerBackward goes back through a feed-forward network: from branch, the gradient at its output, [R,H], to that at its input, which it
// adds to dSum.
func (w *workspace) innerBackward(i, R int, branch operands) {
	p, s := &w.w.layers[i], &w.layers[i]
	S := p.output.inStride
	w.device.Activate(w.act, rows(w.inner, R, S), rows(s.pre, R, S)) // computed again: [R,I] a layer need not be kept twice
	w.weightGradOf(R, branch, &p.output, operands{values: w.inner})
	w.op.linearInputGrad = compute.LinearInputGrad{
		Rows: R, DY: branch.values, W: p.output.matrix, F: w.act, Pre: rows(s.pre, R, S), DX: rows(w.dInner, R, S), DXStride: S,
	}
	if w.neuronGrads != nil { // before the activation is gone back through
		w.op.linearInputGrad.F, w.op.linearInputGrad.Pre = compute.Identity, compute.Buffer{}
		w.device.LinearInputGrad(&w.op.linearInputGrad)
		w.neuronGrads(i)
		w.device.ActivateGrad(w.act, rows(w.dInner, R, S), rows(w.dInner, R, S), rows(s.pre, R, S))
	} else {
		w.device.LinearInputGrad(&w.op.linearInputGrad)
	}
	w.weightGrad(R, w.dInner, &p.intermediate, s.out1)
	w.inputGrad(R, w.dInner, &p.intermediate, w.dSum, true)
}

// innerBackwardRounded is innerBackward where products take operands that are not the values: what is between the two products, and the
// gradient there, are nothing else.
func (w *workspace) innerBackwardRounded(i, R int, branch operands) {
	p, s := &w.w.layers[i], &w.layers[i]
	S, I := p.output.inStride, p.output.matrix.In
	inner, dInner := operands{operand: w.innerOperand}, operands{operand: w.dInnerOperand}
	w.op.linearInputGrad = compute.LinearInputGrad{
		Rows: R, Operand: branch.operand, W: p.output.matrix,
		F: w.act, Pre: rows(s.pre, R, S), DXStride: S,
		DXOperand: w.rowsOfOperand(dInner.operand, R, I),
	}
	if !w.inputOnly {
		w.op.linearInputGrad.Y, w.op.linearInputGrad.DBias = w.rowsOfOperand(inner.operand, R, I), p.intermediate.biasGrad
	}
	w.device.LinearInputGrad(&w.op.linearInputGrad)
	w.weightGradOf(R, branch, &p.output, inner)
	w.weightGradOf(R, dInner, &p.intermediate, operands{values: s.out1})
	w.inputGradOf(R, dInner, &p.intermediate, w.dSum, true)
}

// addNormBackward writes the gradient at the residual to ds and returns the gradient at what was added to it, [R,H], which d gave.
func (w *workspace) addNormBackward(R int, dy, s, mean, rstd compute.Buffer, drop compute.Drop, p norm, ds compute.Buffer, d *dense) operands {
	H := w.m.config.HiddenSize
	ds = rows(ds, R, H)
	var (
		branch    operands
		dx, dbias compute.Buffer
	)
	switch {
	case d != nil && w.neuronGrads == nil && !w.branchOperand.None():
		branch.operand = w.rowsOfOperand(w.branchOperand, R, H)
		if !w.inputOnly {
			dbias = d.biasGrad
		}
	case drop.Rate > 0:
		dx = rows(w.dBranch, R, H)
		branch.values = dx
	default:
		branch.values = ds
	}
	w.op.normGrad = compute.NormGrad{
		Rows: R, Width: H, DY: rows(dy, R, H), S: rows(s, R, H), Mean: rows(mean, R, 1), Rstd: rows(rstd, R, 1),
		Gamma: p.gamma.value, Drop: drop, DS: ds, DX: dx, Operand: branch.operand, DBias: dbias,
	}
	w.op.normGrad.DGamma, w.op.normGrad.DBeta = w.normGrads(p)
	w.device.NormGrad(&w.op.normGrad)
	return branch
}

// embedBackward goes on from encodeBackward to the tables of embeddings.
func (w *workspace) embedBackward() {
	var (
		H = w.m.config.HiddenSize
		T = w.b.Tokens()
		p = w.w

		ids, word = w.b.IDs, p.word.grad
	)
	if w.ownRows() { // which are no parameters
		ids, word = w.rowNumbers, rows(w.wordRows, T, H)
	}
	w.op.embeddingGrad = compute.EmbeddingGrad{
		Width: H, IDs: ids, PositionIDs: w.positions, TypeIDs: w.b.TypeIDs,
		DY: rows(w.dHidden, T, H), S: rows(w.embeddingSum, T, H),
		Mean: rows(w.embeddingMean, T, 1), Rstd: rows(w.embeddingRstd, T, 1),
		Gamma: p.embeddingNorm.gamma.value, Drop: w.embeddingDrop(),
		DWord: word, DPosition: p.position.grad, DType: p.tokenType.grad,
		DGamma: p.embeddingNorm.gamma.grad, DBeta: p.embeddingNorm.beta.grad,
	}
	w.device.EmbeddingGrad(&w.op.embeddingGrad)
}

// inputBackward goes on from encodeBackward to what the embeddings of position and type are added to, and returns the gradient
// there, [T,H].
func (w *workspace) inputBackward() compute.Buffer {
	return w.addNormBackward(w.b.Tokens(), w.dHidden, w.embeddingSum, w.embeddingMean, w.embeddingRstd, w.embeddingDrop(), w.w.embeddingNorm, w.dHidden, nil).values
}

// normGrads is where the gradients of a LayerNorm go.
func (w *workspace) normGrads(p norm) (gamma, beta compute.Buffer) {
	if w.inputOnly {
		H := w.m.config.HiddenSize
		return w.unused.Slice(0, H), w.unused.Slice(H, 2*H)
	}
	return p.gamma.grad, p.beta.grad
}

// poolBackward takes the gradient at the pooled vectors, in w.dPooled, and adds the gradient at the last hidden states to
// w.dHidden.
func (w *workspace) poolBackward() {
	H, T, B := w.m.config.HiddenSize, w.b.Tokens(), w.b.Len()
	d := rows(w.dPooled, B, H)
	w.device.ActivateGrad(compute.Tanh, d, d, rows(w.pooledPre, B, H))
	w.weightGrad(B, d, &w.w.pooler, w.first)
	if w.firstOnly { // dHidden is [B,H]
		w.inputGrad(B, d, &w.w.pooler, w.dHidden, false)
		return
	}
	first := rows(w.first, B, H) // its values are used up
	w.inputGrad(B, d, &w.w.pooler, first, false)
	w.device.ScatterAdd(rows(w.dHidden, T, H), first, w.firsts, H)
}
