package bert

import (
	"fmt"

	"github.com/go-bert/bert/internal/compute"
)

// Session runs forward passes. It owns the memory of a pass and uses it again, so it serves one goroutine at a time: give
// each its own.
type Session struct {
	m     *Model
	space *workspace
	out   Output

	// The outputs' memory, kept between passes.
	logits, nextLogits, pooled, last []float32
	hidden, attentions               [][]float32
}

// NewSession makes a session. It needs no closing.
func (m *Model) NewSession() *Session { return &Session{m: m, space: newWorkspace(m, false)} }

// Outputs says what Forward brings back beside the head's logits.
type Outputs struct {
	LastHidden bool // the last hidden states
	Hidden     bool // every layer's hidden states, the embeddings first
	Attentions bool // every layer's attention probabilities
	Pooled     bool // the pooled vectors, of a head that has a pooler
	Loss       bool // the loss of the batch's labels
}

// Output is what a forward pass gives. Its slices belong to the session and are good until its next pass.
//
// Legend: B sequences, T tokens, n tokens of one sequence, M masked tokens, H hidden, A heads, L layers, C labels,
// V vocabulary.
type Output struct {
	// Logits are the head's: [B,C] of SequenceClassification ([B] of a regression), [T,C] of TokenClassification, [T,2] of
	// QuestionAnswering, [B] of MultipleChoice, [M,V] of PreTraining and MaskedLM, [B,2] of NextSentence; none of NoHead.
	Logits []float32
	// NextSentenceLogits are PreTraining's, [B,2].
	NextSentenceLogits []float32

	Pooled     []float32   // [B,H]
	LastHidden []float32   // [T,H]
	Hidden     [][]float32 // [L+1] of [T,H]
	Attentions [][]float32 // [L] of, for each sequence, [A,n,n]: head, query, key
	Loss       Loss
}

// Loss is the loss of a batch.
type Loss struct {
	Total                  float64
	MaskedLM, NextSentence float64 // the two terms of a pre-training head's loss
}

// Forward runs the model over a batch, without dropout. A sequence's results are the same, to the bit, whatever else is
// in the batch. The error is for what is wrong with the batch.
func (s *Session) Forward(b *Batch, want Outputs) (*Output, error) {
	m, w := s.m, s.space
	info := heads[m.head]
	if err := b.check(&m.config); err != nil {
		return nil, err
	}
	switch {
	case want.Pooled && !info.pooler:
		return nil, fmt.Errorf("a %v has no pooler: take the mean or the first of the hidden states", m.head)
	case want.Loss:
		if err := b.checkLabels(&m.config, m.head); err != nil {
			return nil, err
		}
	case info.maskedLM:
		if err := b.checkMaskedPositions(); err != nil {
			return nil, err
		}
	}
	weights, err := m.prepare(b.Tokens())
	if err != nil {
		return nil, err
	}
	w.w = weights
	w.firstOnly = m.head.pooledOnly() && !want.LastHidden && !want.Hidden && !want.Attentions
	w.begin(b)
	s.out = Output{}

	var see capture
	s.hidden = s.hidden[:0]
	s.attentions = s.attentions[:0]
	w.probs = compute.Buffer{}
	if want.Attentions {
		w.probs = s.device().Alloc(s.attentionSize(b))
	}
	if want.Hidden || want.Attentions {
		see = func(layer int, hidden compute.Buffer) {
			if want.Hidden {
				s.hidden = append(s.hidden, s.read(nil, hidden))
			}
			if want.Attentions && layer > 0 {
				s.attentions = append(s.attentions, s.read(nil, w.probs))
			}
		}
	}
	hidden := w.encode(see)
	w.headForward(hidden)

	if want.Hidden {
		s.out.Hidden = s.hidden
	}
	if want.Attentions {
		s.out.Attentions = s.attentions
	}
	if want.LastHidden {
		s.last = s.read(s.last, hidden)
		s.out.LastHidden = s.last
	}
	var (
		B = b.Len()
		M = len(b.MaskedPositions)
	)
	if want.Pooled {
		s.pooled = s.read(s.pooled, rows(w.pooled, B, m.config.HiddenSize))
		s.out.Pooled = s.pooled
	}
	if info.nextSentence {
		s.nextLogits = s.read(s.nextLogits, rows(w.nextLogits, B, 2))
		s.out.NextSentenceLogits = s.nextLogits
		s.out.Logits = s.nextLogits
	}
	if info.maskedLM {
		if M > 0 {
			s.logits = s.read(s.logits, rows(w.maskedLogits, M, m.config.VocabSize))
		} else {
			s.logits = s.logits[:0]
		}
		s.out.Logits = s.logits
	}
	if info.output != "" {
		s.logits = s.read(s.logits, rows(w.logits, w.headRows(B, b.Tokens()), m.head.outputs(&m.config)))
		s.out.Logits = s.logits
	}
	if want.Loss {
		s.out.Loss = w.headLoss(m.lossTerms([]*Batch{b}), false)
	}
	w.b = nil
	return &s.out, nil
}

func (s *Session) device() compute.Device { return s.m.device }

// read copies a buffer into dst, which is made longer if need be.
func (s *Session) read(dst []float32, b compute.Buffer) []float32 {
	if cap(dst) < b.Len {
		dst = make([]float32, b.Len)
	}
	dst = dst[:b.Len]
	s.device().Read(dst, b)
	return dst
}

// attentionSize is the number of attention probabilities of one layer: Σ A·n².
func (s *Session) attentionSize(b *Batch) int {
	size := 0
	for i := range b.Len() {
		from, to := b.Sequence(i)
		size += s.m.config.NumAttentionHeads * (to - from) * (to - from)
	}
	return size
}
