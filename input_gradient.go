package bert

import (
	"fmt"

	"github.com/go-bert/bert/internal/compute"
)

// This file is for those who ask what a model makes of its input: gradients there, and rows to put in its place.
//
// Legend: B sequences, T tokens, H hidden.

// InputGradient runs a batch forward and back, without dropout, and returns a gradient at its input, [T,H]: at the word
// embeddings of its tokens, or at Batch.Embeddings, to which those of position and type are added. It is the gradient of what
// between adds at the batch's logits and pooled vectors, as [Pass.Between] does; labels play no part. No parameter gets a
// gradient, and there need be no Trainer. The slice is good until the session's next pass.
//
// A sequence's gradient is the same, to the bit, whatever else is in the batch. Errors are those of Forward and of between,
// and ErrInferenceOnly.
func (s *Session) InputGradient(b *Batch, between func(*Activations) error) ([]float32, error) {
	return s.inputGradient(b, between, s.m.pooledOnly(), nil)
}

// AttentionGradient is what a pass forward and back leaves of a layer's attention.
//
// Legend: T tokens, A heads of a width of D, W = A·D.
type AttentionGradient struct {
	QKV []float32 // [T,3W]: a row is a token's query, key and value, of which each is [A,D]
	// Context is the gradient at what the heads give, [T,W]: a row is [A,D].
	Context []float32
}

// AttentionGradients runs a batch as InputGradient does, and returns for each layer what its heads' probabilities and the
// gradient at them follow from: with P the probabilities softmax(Q·Kᵀ/√D) of a head and dO its part of Context, ∂/∂P = dO·Vᵀ.
func (s *Session) AttentionGradients(b *Batch, between func(*Activations) error) ([]AttentionGradient, error) {
	var (
		c   = &s.m.config
		out = make([]AttentionGradient, c.NumHiddenLayers)
	)
	_, err := s.inputGradient(b, between, false, func(w *workspace, layer int) error {
		T, W, g := w.b.Tokens(), c.AttentionWidth(layer), &out[layer]
		g.QKV, g.Context = make([]float32, T*3*W), make([]float32, T*W)
		if err := w.device.Read(g.QKV, rows(w.layers[layer].qkv, T, 3*W)); err != nil {
			return err
		}
		return w.device.Read(g.Context, rows(w.dContext, T, W))
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// inputGradient is InputGradient. firstOnly computes the last layer for the first tokens alone; after, if not nil, is called after
// the backward pass of each layer.
func (s *Session) inputGradient(b *Batch, between func(*Activations) error, firstOnly bool, after func(w *workspace, layer int) error) ([]float32, error) {
	m := s.m
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.done()
	if err := b.check(&m.config); err != nil {
		return nil, err
	}
	if heads[m.head].maskedLM {
		if err := b.checkMaskedPositions(); err != nil {
			return nil, err
		}
	}
	w, err := s.backward()
	if err != nil {
		return nil, err
	}
	w.firstOnly = firstOnly
	if err := w.begin(b); err != nil {
		return nil, err
	}
	defer func() {
		w.added.forget()
		w.b = nil
	}()
	w.headForward(w.encode(nil))
	a := Activations{w: w}
	if err := between(&a); err != nil {
		return nil, err
	}
	w.zeroLogits()
	w.added.logits.into(w, a.logits())
	w.added.nextLogits.into(w, a.nextLogits())
	w.headBackward()
	var failed error
	w.encodeBackward(func(layer int) {
		if after != nil && failed == nil {
			failed = after(w, layer)
		}
	})
	if failed != nil {
		return nil, failed
	}
	gradient, err := a.read(&s.gradient, w.inputBackward())
	if err != nil {
		return nil, err
	}
	if i := notFinite(gradient); i >= 0 {
		sequence, _ := perToken.place(b, i/m.config.HiddenSize)
		return nil, m.blame(&NotFiniteError{Sequence: sequence})
	}
	return gradient, nil
}

// backward is the memory of passes forward and back of which no parameter gets a gradient, and which drop nothing out.
func (s *Session) backward() (*workspace, error) {
	m := s.m
	if p, _ := m.device.Precision(); !p.Trains() {
		return nil, fmt.Errorf("%w, not %v", ErrInferenceOnly, p)
	}
	weights, err := m.weightsForBackward()
	if err != nil {
		return nil, err
	}
	if s.back == nil {
		w := newWorkspace(m, true)
		w.noDropout, w.inputOnly = true, true
		if w.unused, err = m.device.Alloc(2 * m.config.HiddenSize); err != nil {
			return nil, fmt.Errorf("memory for a backward pass: %w", err)
		}
		s.back = w
	}
	s.back.w = weights
	return s.back, nil
}

// weightsForBackward are the weights as products of a backward pass take them: not packed.
func (m *Model) weightsForBackward() (*weights, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.trainer != nil {
		return m.weights, nil
	}
	if m.unpacked == nil {
		w, err := m.link(packNone)
		if err != nil {
			return nil, fmt.Errorf("memory for weights: %w", err)
		}
		m.unpacked = w
	}
	return m.unpacked, nil
}

// WordEmbeddings are the rows of the word embedding of ids, [T,H]. The error is a [BatchError] where an id is outside the
// vocabulary.
func (m *Model) WordEmbeddings(ids []int32) ([]float32, error) {
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.done()
	for i, id := range ids {
		if id < 0 || int(id) >= m.config.VocabSize {
			return nil, badToken(0, i, "id %d is outside the model's vocabulary of %d", id, m.config.VocabSize)
		}
	}
	var table compute.Buffer
	for i := range m.params {
		if m.params[i].Name == heads[m.head].prefix+"embeddings.word_embeddings.weight" {
			var err error
			if table, err = m.valueOf(&m.params[i]); err != nil {
				return nil, err
			}
		}
	}
	h := m.config.HiddenSize
	out := make([]float32, len(ids)*h)
	if len(ids) == 0 {
		return out, nil
	}
	gathered, err := m.device.Alloc(len(out))
	if err != nil {
		return nil, fmt.Errorf("memory for the embeddings of %d tokens: %w", len(ids), err)
	}
	m.device.Gather(gathered, table, ids, h)
	return out, m.device.Read(out, gathered)
}
