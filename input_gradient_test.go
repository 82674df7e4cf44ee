package bert

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// pull adds a gradient at the logits, which is the same in each pass, and so is that of Σ pull·logits.
func pull(a *Activations) error {
	at := func(values []float32) []float32 {
		r := rand.New(rand.NewPCG(5, 6))
		g := make([]float32, len(values))
		for i := range g {
			g[i] = float32(r.NormFloat64())
		}
		return g
	}
	logits, err := a.Logits()
	if err != nil {
		return err
	}
	if err := a.AddLogits(at(logits)); err != nil {
		return err
	}
	next, err := a.NextSentenceLogits()
	if err != nil {
		return err
	}
	return a.AddNextSentenceLogits(at(next))
}

// pulled is Σ pull·logits of an output.
func pulled(out *Output, both bool) float64 {
	s := 0.0
	add := func(values []float32) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, v := range values {
			s += float64(float32(r.NormFloat64())) * float64(v)
		}
	}
	add(out.Logits)
	if both {
		add(out.NextSentenceLogits)
	}
	return s
}

// withRows is b with the rows of its word embeddings in place of the look-up.
func withRows(t *testing.T, m *Model, b *Batch) *Batch {
	t.Helper()
	own := *b
	var err error
	if own.Embeddings, err = m.WordEmbeddings(b.IDs); err != nil {
		t.Fatal(err)
	}
	return &own
}

// TestEmbeddingsOfABatch: the rows that a batch brings give the bits of those that are looked up, and other rows others.
func TestEmbeddingsOfABatch(t *testing.T) {
	for _, h := range headCases {
		m := newTestModel(t, h.config(), h.head, 2)
		b := h.batch(9, 3, 24, 5)
		own := withRows(t, m, b)
		s := m.NewSession()
		logits := func(b *Batch) []float32 {
			out, err := s.Forward(b, Outputs{LastHidden: true})
			if err != nil {
				t.Fatal(err)
			}
			return slices.Concat(out.Logits, out.NextSentenceLogits, out.LastHidden)
		}
		want := logits(b)
		if !slices.Equal(logits(own), want) {
			t.Errorf("%s: rows give other bits than ids", h.name)
		}
		ids := slices.Clone(own.IDs)
		own.IDs = make([]int32, len(ids)) // which are not looked up
		if !slices.Equal(logits(own), want) {
			t.Errorf("%s: ids matter beside rows", h.name)
		}
		own.Embeddings[0]++
		if slices.Equal(logits(own), want) {
			t.Errorf("%s: other rows give the same", h.name)
		}
		if !slices.Equal(logits(b), want) {
			t.Errorf("%s: rows are left for the next batch", h.name)
		}
	}
}

// TestInputGradient compares the gradient at the word embeddings with the change of the logits when they are moved. Bound: what
// float32 leaves of a difference quotient.
func TestInputGradient(t *testing.T) {
	const step, bound = 1e-2, 2e-2
	for _, h := range headCases {
		c := h.config()
		c.HiddenDropoutProb, c.AttentionProbsDropoutProb = 0.3, 0.2 // which play no part
		m := newTestModel(t, c, h.head, 2)
		s := m.NewSession()
		b := withRows(t, m, h.batch(9, 3, 24, 5))
		got, err := s.InputGradient(b, pull)
		if err != nil {
			t.Fatal(err)
		}
		gradient := slices.Clone(got)
		norm := 0.0
		for _, g := range gradient {
			norm += float64(g) * float64(g)
		}
		norm = math.Sqrt(norm)
		rows := slices.Clone(b.Embeddings)
		at := func(by float64) float64 {
			for i, g := range gradient {
				b.Embeddings[i] = rows[i] + float32(by*float64(g)/norm)
			}
			out, err := s.Forward(b, Outputs{})
			if err != nil {
				t.Fatal(err)
			}
			return pulled(out, h.head == PreTraining)
		}
		if slope := (at(step) - at(-step)) / (2 * step); !(math.Abs(slope-norm) <= bound*norm) || norm == 0 {
			t.Errorf("%s: the logits change by %g along the gradient, whose norm is %g", h.name, slope, norm)
		}
	}
}

// TestInputGradientIsTheTrainers: where each token occurs once, a trainer's gradients of the word embedding are those at the
// input. A session leaves the trainer's alone, and needs none.
func TestInputGradientIsTheTrainers(t *testing.T) {
	for _, h := range headCases {
		if heads[h.head].maskedLM { // whose decoder adds to the word embedding's
			continue
		}
		m := newTestModel(t, h.config(), h.head, 2)
		b := h.batch(7, 7)
		for i := range b.IDs {
			b.IDs[i] = int32(i)
		}
		s := m.NewSession()
		without, err := s.InputGradient(b, pull)
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Clone(without)

		tr := newTrainer(t, m)
		backward(t, tr, Pass{Unlabelled: true, NoDropout: true, Between: func(_ int, a *Activations) error { return pull(a) }}, b)
		grads := slices.Clone(m.grads())
		word := m.host(m.weights.word.grad)
		if !slices.Equal(word[:len(want)], want) {
			t.Errorf("%s: the trainer has other gradients of the word embedding", h.name)
		}
		again, err := s.InputGradient(b, pull)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(again, want) || !slices.Equal(m.grads(), grads) {
			t.Errorf("%s: beside a trainer the gradient differs, or the trainer's change", h.name)
		}
		// A batch's rows are no parameters: they get no gradient in the table.
		if err := tr.ZeroGrad(); err != nil {
			t.Fatal(err)
		}
		backward(t, tr, Pass{Unlabelled: true, NoDropout: true, Between: func(_ int, a *Activations) error { return pull(a) }}, withRows(t, m, b))
		for i, g := range m.host(m.weights.word.grad) {
			if g != 0 {
				t.Fatalf("%s: value %d of the word embedding has the gradient %g", h.name, i, g)
			}
		}
		if position := m.host(m.weights.position.grad); !slices.ContainsFunc(position, func(g float32) bool { return g != 0 }) {
			t.Errorf("%s: positions have no gradient", h.name)
		}
		tr.Close()
		if again, err = s.InputGradient(b, pull); err != nil || !slices.Equal(again, want) {
			t.Errorf("%s: after a trainer the gradient differs: %v", h.name, err)
		}
	}
}

// TestInputGradientBatched: a sequence has the same bits alone, in a batch, on any number of threads and on a device that does
// everything late.
func TestInputGradientBatched(t *testing.T) {
	h := headCases[slices.IndexFunc(headCases, func(h headCase) bool { return h.head == SequenceClassification })]
	ones := func(a *Activations) error {
		logits, err := a.Logits()
		for i := range logits {
			logits[i] = float32(i%len(h.config().Labels)) - 1
		}
		return errors.Join(err, a.AddLogits(logits))
	}
	lengths := []int{9, 3, 24, 5}
	b := h.batch(lengths...)
	m := newTestModel(t, h.config(), h.head, 1)
	all, err := m.NewSession().InputGradient(b, ones)
	if err != nil {
		t.Fatal(err)
	}
	s := m.NewSession()
	for i := range lengths {
		from, to := b.Sequence(i)
		var single Batch
		single.Add(b.IDs[from:to], b.TypeIDs[from:to])
		got, err := s.InputGradient(&single, ones)
		if err != nil {
			t.Fatal(err)
		}
		width := m.config.HiddenSize
		if !slices.Equal(got, all[from*width:to*width]) {
			t.Errorf("sequence %d has other bits alone", i)
		}
	}
	for _, threads := range []int{2, 5} {
		got, err := newTestModel(t, h.config(), h.head, threads).NewSession().InputGradient(b, ones)
		if err != nil || !slices.Equal(got, all) {
			t.Errorf("%d threads: other bits, %v", threads, err)
		}
	}
	device := onDevice(t, deferred(false, nil), h.config(), h.head, Float32)
	plain := onDevice(t, nil, h.config(), h.head, Float32)
	want, err := plain.NewSession().InputGradient(b, ones)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := device.NewSession().InputGradient(b, ones); err != nil || !slices.Equal(got, want) {
		t.Errorf("a late device: other bits, %v", err)
	}
}

func TestInputGradientErrors(t *testing.T) {
	h := headCases[slices.IndexFunc(headCases, func(h headCase) bool { return h.head == SequenceClassification })]
	m := newTestModel(t, h.config(), h.head, 1)
	s := m.NewSession()
	b := withRows(t, m, h.batch(4, 3))
	want, err := s.InputGradient(b, pull)
	if err != nil {
		t.Fatal(err)
	}
	want = slices.Clone(want)
	var bad *BatchError
	short := *b
	short.Embeddings = b.Embeddings[1:]
	if _, err := s.InputGradient(&short, pull); !errors.As(err, &bad) {
		t.Errorf("a row too short: %v", err)
	}
	if _, err := s.Forward(&short, Outputs{}); !errors.As(err, &bad) {
		t.Errorf("a row too short, forward: %v", err)
	}
	if _, err := m.WordEmbeddings([]int32{0, int32(m.config.VocabSize)}); !errors.As(err, &bad) || bad.Token != 1 {
		t.Errorf("an unknown id: %v", err)
	}
	stop := errors.New("stop")
	_, err = s.InputGradient(b, func(a *Activations) error {
		if err := pull(a); err != nil {
			t.Fatal(err)
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Errorf("the error is %v", err)
	}
	if got, err := s.InputGradient(b, pull); err != nil || !slices.Equal(got, want) {
		t.Errorf("after an error a pass gives other bits: %v", err)
	}
	nothing, err := s.InputGradient(b, func(*Activations) error { return nil })
	if err != nil || slices.ContainsFunc(nothing, func(g float32) bool { return g != 0 }) {
		t.Errorf("of nothing: %v, %v", nothing[:4], err)
	}
	broken := withRows(t, m, b)
	broken.Embeddings[4*m.config.HiddenSize] = float32(math.NaN()) // of the second sequence
	var e *NotFiniteError
	if _, err := s.InputGradient(broken, func(a *Activations) error { return a.AddLogits(make([]float32, 2*len(h.config().Labels))) }); !errors.As(err, &e) || e.Sequence != 1 {
		t.Errorf("a row of NaN: %v", err)
	}
	m.Close()
	if _, err := s.InputGradient(b, pull); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := m.WordEmbeddings([]int32{1}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestAttentionGradients: the gradients of each layer's values, which a trainer has, follow from what AttentionGradients gives: with P
// the probabilities of a head and dO the gradient at what it gives, dV = Pᵀ·dO; a value's weights have Σ dV⊗x, its bias Σ dV.
func TestAttentionGradients(t *testing.T) {
	for _, h := range headCases {
		if heads[h.head].maskedLM { // whose Between differs; the layers are the same
			continue
		}
		m := newTestModel(t, h.config(), h.head, 2)
		c := &m.config
		H, A := c.HiddenSize, c.NumAttentionHeads
		D := H / A
		b := h.batch(7, 4)
		s := m.NewSession()
		out, err := s.Forward(b, Outputs{Hidden: true, Attentions: true, QKV: true})
		if err != nil {
			t.Fatal(err)
		}
		hidden, probs, qkv := out.Hidden, out.Attentions, out.QKV
		got, err := s.AttentionGradients(b, pull)
		if err != nil {
			t.Fatal(err)
		}
		for l := range got {
			// The backward pass computes with other panels of the weights: the same numbers but for rounding.
			for i, v := range got[l].QKV {
				if math.Abs(float64(v-qkv[l][i])) > 1e-5*max(1, math.Abs(float64(v))) {
					t.Fatalf("%s, layer %d: value %d of the queries, keys and values is %g, forward %g", h.name, l, i, v, qkv[l][i])
				}
			}
		}
		tr := newTrainer(t, m)
		backward(t, tr, Pass{Unlabelled: true, NoDropout: true, Between: func(_ int, a *Activations) error { return pull(a) }}, b)
		for l := range got {
			bias, weight := make([]float64, H), make([]float64, H*H)
			at := 0
			for i := range b.Len() {
				from, to := b.Sequence(i)
				n := to - from
				for a := range A {
					for k := range n { // dV of a token
						for d := range D {
							dv := 0.0
							for q := range n {
								dv += float64(probs[l][at+(a*n+q)*n+k]) * float64(got[l].Context[(from+q)*H+a*D+d])
							}
							o := a*D + d
							bias[o] += dv
							for x := range H {
								weight[o*H+x] += dv * float64(hidden[l][(from+k)*H+x])
							}
						}
					}
				}
				at += A * n * n
			}
			layer := &m.weights.layers[l].qkv
			for what, c := range map[string]struct {
				want []float64
				has  []float32
			}{
				"bias": {bias, m.host(layer.biasGrad)[2*H:]}, "weight": {weight, m.host(layer.weightGrad)[2*H*H:]},
			} {
				size := 0.0
				for _, v := range c.want {
					size = max(size, math.Abs(v))
				}
				for i, v := range c.want {
					if math.Abs(float64(c.has[i])-v) > 1e-4*size {
						t.Fatalf("%s, layer %d: %s %d of the values has the gradient %g, want %g", h.name, l, what, i, c.has[i], v)
					}
				}
				if size == 0 {
					t.Errorf("%s, layer %d: no gradient", h.name, l)
				}
			}
		}
		tr.Close()
	}
}

// TestAttentionGradientsBatched: a sequence has the same bits alone.
func TestAttentionGradientsBatched(t *testing.T) {
	h := headCases[slices.IndexFunc(headCases, func(h headCase) bool { return h.head == TokenClassification })]
	m := newTestModel(t, h.config(), h.head, 2)
	width := len(h.config().Labels)
	ones := func(a *Activations) error { // a gradient that is the same for each token
		logits, err := a.Logits()
		for i := range logits {
			logits[i] = float32(i%width) - 1
		}
		return errors.Join(err, a.AddLogits(logits))
	}
	b := h.batch(9, 3, 24)
	s := m.NewSession()
	all, err := s.AttentionGradients(b, ones)
	if err != nil {
		t.Fatal(err)
	}
	H := m.config.HiddenSize
	for i := range b.Len() {
		from, to := b.Sequence(i)
		var single Batch
		single.Add(b.IDs[from:to], b.TypeIDs[from:to])
		got, err := s.AttentionGradients(&single, ones)
		if err != nil {
			t.Fatal(err)
		}
		for l := range got {
			if !slices.Equal(got[l].QKV, all[l].QKV[from*3*H:to*3*H]) || !slices.Equal(got[l].Context, all[l].Context[from*H:to*H]) {
				t.Errorf("sequence %d, layer %d: other bits alone", i, l)
			}
		}
	}
	// On a device that does everything late.
	want, err := onDevice(t, nil, h.config(), h.head, Float32).NewSession().AttentionGradients(b, ones)
	if err != nil {
		t.Fatal(err)
	}
	late, err := onDevice(t, deferred(false, nil), h.config(), h.head, Float32).NewSession().AttentionGradients(b, ones)
	if err != nil {
		t.Fatal(err)
	}
	for l := range want {
		if !slices.Equal(late[l].QKV, want[l].QKV) || !slices.Equal(late[l].Context, want[l].Context) {
			t.Errorf("layer %d: a late device gives other bits", l)
		}
	}
	m.Close()
	if _, err := s.AttentionGradients(b, ones); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
