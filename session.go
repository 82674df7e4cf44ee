package bert

import (
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert/internal/compute"
)

// Session runs forward passes. It owns the memory of a pass and uses it again, so it serves one goroutine at a time: give
// each its own.
type Session struct {
	m     *Model
	space *workspace
	out   Output
	back  *workspace // of InputGradient, nil before the first

	batch        [1]*Batch    // of the loss
	denominators Denominators // likewise

	// The outputs' memory, kept between passes.
	logits, nextLogits, pooled, last []float32
	gradient                         []float32
	hidden, attentions, qkv          [][]float32
}

// NewSession makes a session. It needs no closing, and its first pass gives ErrClosed if the model is closed.
func (m *Model) NewSession() *Session { return &Session{m: m, space: newWorkspace(m, false)} }

// Outputs says what Forward returns beside the head's logits.
type Outputs struct {
	LastHidden bool // the last hidden states
	Hidden     bool // every layer's hidden states, the embeddings first
	Attentions bool // every layer's attention probabilities
	QKV        bool // every layer's queries, keys and values
	Pooled     bool // the pooled vectors, of a head that has a pooler
	Loss       bool // the loss of the batch's labels
}

// Output is what a forward pass gives. Its slices belong to the session and are good until its next pass.
//
// Legend: B sequences, T tokens, n tokens of one sequence, M masked tokens, H hidden, A heads of a layer, D their size, L layers, C labels,
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
	QKV        [][]float32 // [L] of [T,3AD]: a token's query, key and value, of which each is [A,D]
	Loss       Loss
}

// Forward runs the model over a batch, without dropout. A sequence's results are the same, to the bit, whatever else is
// in the batch. The error is a [BatchError] if the batch is wrong, a [NotFiniteError] if an output is no finite number,
// ErrClosed, or that of the device.
func (s *Session) Forward(b *Batch, want Outputs) (*Output, error) {
	m, w := s.m, s.space
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.done()
	info := heads[m.head]
	if err := b.check(&m.config); err != nil {
		return nil, err
	}
	switch {
	case want.Pooled && !m.pooler:
		return nil, fmt.Errorf("this %v has no pooler: take the mean or the first of the hidden states", m.head)
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
	w.firstOnly = m.pooledOnly() && !want.LastHidden && !want.Hidden && !want.Attentions && !want.QKV
	if err := w.begin(b); err != nil {
		return nil, err
	}
	defer func() { w.b = nil }()
	s.out = Output{}

	// read copies a buffer into dst, which is made longer if need be.
	read := func(dst []float32, b compute.Buffer) []float32 {
		dst = slices.Grow(dst[:0], b.Len)[:b.Len]
		if err == nil {
			err = m.device.Read(dst, b)
		}
		return dst
	}
	var see capture
	s.hidden = s.hidden[:0]
	s.attentions, s.qkv = s.attentions[:0], s.qkv[:0]
	w.probs, w.qkv = compute.Buffer{}, compute.Buffer{}
	if want.QKV {
		if w.qkv, err = m.device.Alloc(b.Tokens() * 3 * m.config.maxAttentionWidth()); err != nil {
			return nil, fmt.Errorf("memory for queries, keys and values: %w", err)
		}
	}
	if want.Attentions {
		if w.probs, err = m.device.Alloc(attentionSize(b, m.config.maxAttentionWidth()/m.config.HeadSize())); err != nil {
			return nil, fmt.Errorf("memory for the attention probabilities: %w", err)
		}
	}
	if want.Hidden || want.Attentions || want.QKV {
		see = func(layer int, hidden compute.Buffer) {
			if want.Hidden {
				s.hidden = append(s.hidden, read(nil, hidden))
			}
			if want.Attentions && layer > 0 {
				s.attentions = append(s.attentions, read(nil, w.layerProbs(m.config.Heads(layer-1))))
			}
			if want.QKV && layer > 0 {
				s.qkv = append(s.qkv, read(nil, rows(w.qkv, b.Tokens(), 3*m.config.AttentionWidth(layer-1))))
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
	if want.QKV {
		s.out.QKV = s.qkv
	}
	if want.LastHidden {
		s.last = read(s.last, hidden)
		s.out.LastHidden = s.last
	}
	if want.Pooled {
		s.pooled = read(s.pooled, rows(w.pooled, b.Len(), m.config.HiddenSize))
		s.out.Pooled = s.pooled
	}
	if info.nextSentence {
		s.nextLogits = read(s.nextLogits, w.nextSentenceLogits())
		s.out.NextSentenceLogits = s.nextLogits
		s.out.Logits = s.nextLogits
	}
	if info.maskedLM {
		s.logits = s.logits[:0]
		if len(b.MaskedPositions) > 0 {
			s.logits = read(s.logits, w.maskedLMLogits())
		}
		s.out.Logits = s.logits
	}
	if info.output != "" {
		s.logits = read(s.logits, w.outputLogits())
		s.out.Logits = s.logits
	}
	if err == nil {
		err = s.checkFinite(b)
	}
	if err == nil && want.Loss {
		s.out.Loss, err = s.loss(b)
	}
	if err != nil {
		return nil, err
	}
	return &s.out, nil
}

// checkFinite reports the first sequence with an output that is no finite number.
func (s *Session) checkFinite(b *Batch) error {
	var (
		head   = s.m.head
		perRow = perSequence // of the logits
		width  = 1
	)
	switch {
	case heads[head].maskedLM:
		perRow, width = perMaskedToken, s.m.config.VocabSize
	case heads[head].perToken:
		perRow, width = perToken, head.outputs(&s.m.config)
	case heads[head].output != "":
		width = head.outputs(&s.m.config)
	case heads[head].nextSentence:
		width = 2
	}
	hidden := s.m.config.HiddenSize
	check := func(values []float32, of rowsOf, width int) error {
		i := notFinite(values)
		if i < 0 {
			return nil
		}
		sequence, _ := of.place(b, i/width)
		return s.m.blame(&NotFiniteError{Sequence: sequence})
	}
	if err := check(s.out.Logits, perRow, width); err != nil {
		return err
	}
	if err := check(s.out.NextSentenceLogits, perSequence, 2); err != nil {
		return err
	}
	if err := check(s.out.Pooled, perSequence, hidden); err != nil {
		return err
	}
	for _, states := range s.out.Hidden {
		if err := check(states, perToken, hidden); err != nil {
			return err
		}
	}
	if err := check(s.out.LastHidden, perToken, hidden); err != nil {
		return err
	}
	for i, qkv := range s.out.QKV {
		if err := check(qkv, perToken, 3*s.m.config.AttentionWidth(i)); err != nil {
			return err
		}
	}
	for layer, probs := range s.out.Attentions {
		at, heads := notFinite(probs), s.m.config.Heads(layer)
		for i := 0; at >= 0; i++ {
			from, to := b.Sequence(i)
			if at -= heads * (to - from) * (to - from); at < 0 {
				return s.m.blame(&NotFiniteError{Sequence: i})
			}
		}
	}
	return nil
}

// notFinite is the index of the first NaN or infinity, −1 where there is none.
func notFinite(values []float32) int {
	for i, x := range values {
		if math.Float32bits(x)&0x7f800000 == 0x7f800000 {
			return i
		}
	}
	return -1
}

// blame finds the parameter that holds a NaN or an infinity.
func (m *Model) blame(e *NotFiniteError) error {
	for i := range m.params {
		if m.params[i].ints != nil {
			continue // integers with positive scales
		}
		values, err := m.hostValues(m.params[i].value)
		if err != nil {
			return err
		}
		for _, x := range values {
			if !finite(x) {
				e.Count++
			}
		}
		if e.Count > 0 {
			e.Tensor = m.params[i].Name
			break
		}
	}
	return e
}

// loss is the loss of the batch that went forward.
func (s *Session) loss(b *Batch) (Loss, error) {
	s.batch[0] = b
	defer func() { s.batch[0] = nil }()
	if err := s.space.expectLosses(s.batch[:]); err != nil {
		return Loss{}, err
	}
	s.m.denominators(&s.denominators, s.batch[:])
	s.space.headLoss(&s.denominators, false)
	return s.space.takeLoss(&s.denominators, s.batch[:])
}

// attentionSize is the number of attention probabilities of one layer of so many heads: Σ A·n².
func attentionSize(b *Batch, heads int) int {
	size := 0
	for i := range b.Len() {
		from, to := b.Sequence(i)
		size += heads * (to - from) * (to - from)
	}
	return size
}
