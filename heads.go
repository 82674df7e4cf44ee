package bert

import (
	"github.com/go-bert/bert/internal/compute"
)

// This file holds the heads: from hidden states to logits, and back. The losses in between are in losses.go. The masked LM and the
// next-sentence classifier are those of google-research/bert run_pretraining.py (get_masked_lm_output,
// get_next_sentence_output), the classifiers those of run_classifier.py and run_squad.py, with Hugging Face's dropout.
//
// Legend: B sequences, T tokens, M masked tokens, H hidden, C labels, V vocabulary.

// headForward computes the head's logits from the last hidden states, [T,H] or with firstOnly [B,H].
func (w *workspace) headForward(hidden compute.Buffer) {
	var (
		info    = heads[w.m.head]
		H       = w.m.config.HiddenSize
		B, T, M = w.b.Len(), w.b.Tokens(), len(w.b.MaskedPositions)
		none    compute.Buffer
		input   = hidden
	)
	if w.m.pooler {
		input = w.pool(hidden)
	}
	if info.output != "" {
		n := w.headRows(B, T)
		in := rows(w.headInput, n, H)
		w.device.Dropout(in, input, n, H, w.headDrop())
		w.linear(n, in, none, &w.w.output, compute.Identity, none, w.logits)
	}
	if info.nextSentence {
		w.linear(B, input, none, &w.w.nextSentence, compute.Identity, none, w.nextLogits)
	}
	if info.maskedLM && M > 0 {
		masked := rows(w.masked, M, H)
		w.device.Gather(masked, hidden, w.b.MaskedPositions, H)
		w.linear(M, masked, none, &w.w.transform, w.act, w.transformPre, w.transformSum)
		s := rows(w.transformSum, M, H)
		w.op.norm = compute.Norm{
			Rows: M, Width: H, Eps: float32(w.m.config.LayerNormEps), X: s,
			Gamma: w.w.transformNorm.gamma.value, Beta: w.w.transformNorm.beta.value, S: s,
			Mean: rows(w.transformMean, M, 1), Rstd: rows(w.transformRstd, M, 1), Y: rows(w.transformed, M, H),
		}
		w.device.Norm(&w.op.norm)
		w.linear(M, w.transformed, none, &w.w.decoder, compute.Identity, none, w.maskedLogits)
	}
}

// zeroLogits sets the gradients at the logits to zero, in their place, where there is no loss.
func (w *workspace) zeroLogits() {
	info := heads[w.m.head]
	if info.output != "" {
		w.device.Zero(w.outputLogits())
	}
	if info.nextSentence {
		w.device.Zero(w.nextSentenceLogits())
	}
	if info.maskedLM && len(w.b.MaskedPositions) > 0 {
		w.device.Zero(w.maskedLMLogits())
	}
}

// The logits of the batch, and after the loss the gradients at them.
func (w *workspace) outputLogits() compute.Buffer {
	return rows(w.logits, w.headRows(w.b.Len(), w.b.Tokens()), w.m.head.outputs(&w.m.config))
}
func (w *workspace) nextSentenceLogits() compute.Buffer { return rows(w.nextLogits, w.b.Len(), 2) }
func (w *workspace) maskedLMLogits() compute.Buffer {
	return rows(w.maskedLogits, len(w.b.MaskedPositions), w.m.config.VocabSize)
}

// headBackward goes from the gradients at the logits, which headLoss left in their place, to the gradient at the last
// hidden states, in w.dHidden.
func (w *workspace) headBackward() {
	var (
		info    = heads[w.m.head]
		H       = w.m.config.HiddenSize
		B, T, M = w.b.Len(), w.b.Tokens(), len(w.b.MaskedPositions)
		dHidden = rows(w.dHidden, T, H)
	)
	if !w.firstOnly {
		w.device.Zero(dHidden)
	}
	if info.output != "" {
		n := w.headRows(B, T)
		w.weightGrad(n, w.logits, &w.w.output, w.headInput)
		d := dHidden
		if info.pooler {
			d = rows(w.dPooled, B, H)
		}
		w.inputGrad(n, w.logits, &w.w.output, d, false)
		w.device.Dropout(d, d, n, H, w.headDrop())
	}
	if info.nextSentence {
		w.weightGrad(B, w.nextLogits, &w.w.nextSentence, w.pooled)
		w.inputGrad(B, w.nextLogits, &w.w.nextSentence, w.dPooled, false)
	}
	if info.maskedLM && M > 0 {
		// The decoder's weight is the word embedding: its gradient gets this share here and the rest from the input.
		w.weightGrad(M, w.maskedLogits, &w.w.decoder, w.transformed)
		d := rows(w.dTransformed, M, H)
		w.inputGrad(M, w.maskedLogits, &w.w.decoder, d, false)
		w.op.normGrad = compute.NormGrad{
			Rows: M, Width: H, DY: d, S: rows(w.transformSum, M, H),
			Mean: rows(w.transformMean, M, 1), Rstd: rows(w.transformRstd, M, 1), Gamma: w.w.transformNorm.gamma.value,
			DS: d,
		}
		w.op.normGrad.DGamma, w.op.normGrad.DBeta = w.normGrads(w.w.transformNorm)
		w.device.NormGrad(&w.op.normGrad)
		w.device.ActivateGrad(w.act, d, d, rows(w.transformPre, M, H))
		w.weightGrad(M, d, &w.w.transform, w.masked)
		masked := rows(w.masked, M, H) // its values are used up
		w.inputGrad(M, d, &w.w.transform, masked, false)
		w.device.ScatterAdd(dHidden, masked, w.b.MaskedPositions, H)
	}
	if w.m.pooler {
		if info.output == "" && !info.nextSentence { // nothing of the loss comes this way
			w.device.Zero(rows(w.dPooled, B, H))
		}
		w.added.pooled.into(w, rows(w.dPooled, B, H))
		w.poolBackward()
	}
}
