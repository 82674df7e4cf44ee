package bert

import (
	"github.com/go-bert/bert/internal/compute"
)

// This file holds the heads: from hidden states to logits, from logits to a loss, and back. The masked LM and the
// next-sentence classifier are those of google-research/bert run_pretraining.py (get_masked_lm_output,
// get_next_sentence_output), the classifiers those of run_classifier.py and run_squad.py, with Hugging Face's dropout.
//
// Legend: B sequences, T tokens, M masked tokens, H hidden, C labels, V vocabulary.

// pooledOnly reports whether the head takes the pooled vectors alone, and so the first tokens' hidden states.
func (h Head) pooledOnly() bool { return heads[h].pooler && !heads[h].maskedLM }

// headForward computes the head's logits from the last hidden states, [T,H] or with firstOnly [B,H].
func (w *workspace) headForward(hidden compute.Buffer) {
	var (
		info    = heads[w.m.head]
		H       = w.m.config.HiddenSize
		B, T, M = w.b.Len(), w.b.Tokens(), len(w.b.MaskedPositions)
		none    compute.Buffer
		input   = hidden
	)
	if info.pooler {
		input = w.pool(hidden)
	}
	if info.output != "" {
		n := w.headRows(B, T)
		in := rows(w.headInput, n, H)
		w.device.Dropout(in, input, n, H, w.headDrop())
		w.linear(n, in, &w.w.output, compute.Identity, none, w.logits)
	}
	if info.nextSentence {
		w.linear(B, input, &w.w.nextSentence, compute.Identity, none, w.nextLogits)
	}
	if info.maskedLM && M > 0 {
		masked := rows(w.masked, M, H)
		w.device.Gather(masked, hidden, w.b.MaskedPositions, H)
		w.linear(M, masked, &w.w.transform, w.act, w.transformPre, w.transformSum)
		s := rows(w.transformSum, M, H)
		w.op.norm = compute.Norm{
			Rows: M, Width: H, Eps: float32(w.m.config.LayerNormEps), X: s,
			Gamma: w.w.transformNorm.gamma.value, Beta: w.w.transformNorm.beta.value, S: s,
			Mean: rows(w.transformMean, M, 1), Rstd: rows(w.transformRstd, M, 1), Y: rows(w.transformed, M, H),
		}
		w.device.Norm(&w.op.norm)
		w.linear(M, w.transformed, &w.w.decoder, compute.Identity, none, w.maskedLogits)
	}
}

// lossTerms is what the terms of a loss are divided by.
type lossTerms struct {
	rows         float64 // of the head's main loss: weights, tokens or sequences that take part
	masked       float64
	nextSentence float64
}

// MaskedLMEpsilon is what the masked LM's loss of a PreTraining head adds to the number of masked tokens before dividing by
// it (google-research/bert run_pretraining.py, get_masked_lm_output).
const MaskedLMEpsilon = 1e-5

// lossTerms sums over the batches that make up one step, so that gradients added up over several batches are those of one
// large batch.
func (m *Model) lossTerms(batches []*Batch) lossTerms {
	var t lossTerms
	for _, b := range batches {
		t.masked += float64(len(b.MaskedPositions))
		t.nextSentence += float64(b.Len())
		switch {
		case m.head == TokenClassification:
			for _, c := range b.TokenClasses {
				if c >= 0 {
					t.rows++
				}
			}
		case m.head == QuestionAnswering:
			t.rows += float64(b.Len())
		case m.head == SequenceClassification && m.config.problemType() != SingleLabelClassification:
			t.rows += float64(b.Len())
		default:
			for i, c := range b.Classes {
				switch {
				case c < 0:
				case len(b.Weights) > 0:
					t.rows += float64(b.Weights[i])
				default:
					t.rows++
				}
			}
		}
	}
	if m.head == PreTraining {
		t.masked += MaskedLMEpsilon
	}
	return t
}

// share is 1/n, and 0 for the loss of nothing.
func share(n float64) float32 {
	if n == 0 {
		return 0
	}
	return float32(1 / n)
}

// headLoss is the loss of the batch's labels, its part of the terms. With gradient, the logits are replaced by their
// gradients.
func (w *workspace) headLoss(terms lossTerms, gradient bool) Loss {
	var (
		info = heads[w.m.head]
		cfg  = &w.m.config
		b    = w.b
		B, M = b.Len(), len(b.MaskedPositions)
		loss Loss
	)
	dOf := func(logits compute.Buffer) compute.Buffer {
		if gradient {
			return logits
		}
		return compute.Buffer{}
	}
	crossEntropy := func(logits compute.Buffer, rows, classes int, labels []int32, weights []float32, n float64) float64 {
		logits = logits.Slice(0, rows*classes)
		w.op.crossEntropy = compute.CrossEntropy{
			Rows: rows, Classes: classes, Logits: logits, Labels: labels, Weights: weights, Scale: share(n), DLogits: dOf(logits),
		}
		return w.device.CrossEntropy(&w.op.crossEntropy)
	}
	if info.maskedLM && M > 0 {
		loss.MaskedLM = crossEntropy(w.maskedLogits, M, cfg.VocabSize, b.MaskedIDs, nil, terms.masked)
	}
	if info.nextSentence {
		loss.NextSentence = crossEntropy(w.nextLogits, B, 2, b.NextSentence, nil, terms.nextSentence)
	}
	loss.Total = loss.MaskedLM + loss.NextSentence
	if info.output == "" {
		return loss
	}

	C := w.m.head.outputs(cfg)
	n := w.headRows(B, b.Tokens())
	logits := rows(w.logits, n, C)
	// part is the batch's share of the rows where an operation takes the mean over its own.
	part := share(terms.rows) * float32(B)
	switch {
	case w.m.head == TokenClassification:
		loss.Total = crossEntropy(w.logits, n, C, b.TokenClasses, nil, terms.rows)
	case w.m.head == MultipleChoice:
		loss.Total = crossEntropy(w.logits, B/b.Choices, b.Choices, b.Classes, nil, terms.rows)
	case w.m.head == QuestionAnswering:
		w.op.spanLoss = compute.SpanLoss{
			Starts: b.Starts, Logits: logits, From: b.From, To: b.To, Scale: part, DLogits: dOf(logits),
		}
		loss.Total = w.device.SpanLoss(&w.op.spanLoss)
	case cfg.problemType() == RegressionProblem:
		w.op.squared = compute.SquaredError{Rows: B, Logits: logits, Targets: b.Values, Scale: part, DLogits: dOf(logits)}
		loss.Total = w.device.SquaredError(&w.op.squared)
	case cfg.problemType() == MultiLabelClassification:
		w.op.binary = compute.BinaryCrossEntropy{
			Rows: B, Classes: C, Logits: logits, Targets: b.Values, Scale: part, DLogits: dOf(logits),
		}
		loss.Total = w.device.BinaryCrossEntropy(&w.op.binary)
	default:
		var weights []float32
		if len(b.Weights) > 0 {
			weights = b.Weights
		}
		loss.Total = crossEntropy(w.logits, B, C, b.Classes, weights, terms.rows)
	}
	return loss
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
			DS: d, DGamma: w.w.transformNorm.gamma.grad, DBeta: w.w.transformNorm.beta.grad,
		}
		w.device.NormGrad(&w.op.normGrad)
		w.device.ActivateGrad(w.act, d, d, rows(w.transformPre, M, H))
		w.weightGrad(M, d, &w.w.transform, w.masked)
		masked := rows(w.masked, M, H) // its values are used up
		w.inputGrad(M, d, &w.w.transform, masked, false)
		w.device.ScatterAdd(dHidden, masked, w.b.MaskedPositions, H)
	}
	if info.pooler {
		w.poolBackward()
	}
}
