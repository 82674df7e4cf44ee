package bert

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/compute/computetest"
)

// checkSlope compares the gradient that a pass leaves with the change of its loss along a direction: the gradient's own with
// noise, so that the change stands out from rounding. Bound: what float32 leaves of a difference quotient.
func checkSlope(t *testing.T, m *Model, tr *Trainer, lossAt func() float64) {
	t.Helper()
	const step, bound = 2e-3, 2e-2
	at := func() float64 {
		if err := tr.ZeroGrad(); err != nil {
			t.Fatal(err)
		}
		return lossAt()
	}
	at()
	grads, start := slices.Clone(m.host(tr.grads)), slices.Clone(m.host(m.values))
	r := rand.New(rand.NewPCG(1, 2))
	direction, slope, norm := make([]float64, len(grads)), 0.0, gradNorm(t, tr)
	for i, g := range grads {
		direction[i] = float64(g)/norm + r.NormFloat64()/math.Sqrt(float64(len(grads)))
		slope += direction[i] * float64(g)
	}
	moved := func(by float64) float64 {
		v := slices.Clone(start)
		for i := range v {
			v[i] += float32(by * direction[i])
		}
		m.device.Write(m.values, v)
		return at()
	}
	got := (moved(step) - moved(-step)) / (2 * step)
	m.device.Write(m.values, start)
	if !(math.Abs(got-slope) <= bound*math.Abs(slope)) || slope == 0 {
		t.Errorf("the loss changes by %g along the direction, the gradient says %g", got, slope)
	}
}

// soften replaces the batch's labels by distributions where they are softmax's; of every third row it leaves the label, and
// of every fifth neither.
func (h headCase) soften(b *Batch) bool {
	r := rand.New(rand.NewPCG(8, 8))
	c := h.config()
	fill := func(labels []int32, classes int) (soft []float32) {
		for i := range labels {
			row, sum := make([]float32, classes), float32(0)
			if i%3 != 0 && i%5 != 4 {
				for j := range row {
					row[j] = r.Float32()
					sum += row[j]
				}
				for j := range row {
					row[j] /= sum
				}
			}
			if i%3 != 0 {
				labels[i] = -1
			}
			soft = append(soft, row...)
		}
		return soft
	}
	switch h.name {
	case "classes":
		b.SoftClasses = fill(b.Classes, len(c.Labels))
	case "choices":
		b.SoftClasses = fill(b.Classes, b.Choices)
	case "tokens":
		b.SoftClasses = fill(b.TokenClasses, len(c.Labels))
	case "pre-training", "masked LM":
		b.SoftMaskedIDs = fill(b.MaskedIDs, c.VocabSize)
	default:
		return false
	}
	return true
}

// TestSoftTargets compares the gradient of batches of labels and distributions with the change of the loss, and with nothing
// but distributions that are labels in other words, those of labels to the bit.
func TestSoftTargets(t *testing.T) {
	for _, h := range headCases {
		b := h.batch(9, 3, 24, 12, 8, 7, 6, 5)
		hard := h.batch(9, 3, 24, 12, 8, 7, 6, 5)
		if !h.soften(b) {
			continue
		}
		t.Run(h.name, func(t *testing.T) {
			h.weigh(b)
			m := newTestModel(t, h.config(), h.head, 2)
			tr := newTrainer(t, m)
			checkSlope(t, m, tr, func() float64 { return backward(t, tr, Pass{}, b).Total })

			oneHot := h.batch(9, 3, 24, 12, 8, 7, 6, 5)
			encode := func(labels *[]int32, classes int) (soft []float32) {
				for _, l := range *labels {
					row := make([]float32, classes)
					if l >= 0 {
						row[l] = 1
					}
					soft = append(soft, row...)
				}
				*labels = nil
				return soft
			}
			switch {
			case heads[h.head].maskedLM:
				oneHot.SoftMaskedIDs = encode(&oneHot.MaskedIDs, m.config.VocabSize)
			case h.head == TokenClassification:
				oneHot.SoftClasses = encode(&oneHot.TokenClasses, len(m.config.Labels))
			case h.head == MultipleChoice:
				oneHot.SoftClasses = encode(&oneHot.Classes, oneHot.Choices)
			default:
				oneHot.SoftClasses = encode(&oneHot.Classes, len(m.config.Labels))
			}
			wantLoss, want := h.run(t, Float32, Pass{}, hard)
			gotLoss, got := h.run(t, Float32, Pass{}, oneHot)
			if gotLoss != wantLoss || !slices.Equal(got.grads(), want.grads()) {
				t.Errorf("distributions of one class give other bits than labels: loss %v, want %v", gotLoss, wantLoss)
			}
		})
	}
}

// quadratic is Σ weight·x²/2 of random weights and its gradient.
func quadratic(seed uint64, x []float32) (sum float64, gradient []float32) {
	r := rand.New(rand.NewPCG(seed, 3))
	gradient = make([]float32, len(x))
	for i, v := range x {
		w := r.NormFloat64() / math.Sqrt(float64(len(x)))
		sum += w * float64(v) * float64(v) / 2
		gradient[i] = float32(w * float64(v))
	}
	return sum, gradient
}

// TestBetween adds gradients of a loss of its own at everything that a pass shows, and compares what comes back with the
// change of that loss and of the labels' together, dropout included.
func TestBetween(t *testing.T) {
	all := append([]headCase{{"no head", NoHead, ProblemByLabels}}, headCases...)
	for _, h := range all {
		for _, test := range []struct {
			name        string
			unlabelled  bool
			hidden, qkv []int
			logits      bool
		}{
			{name: "logits", logits: true},
			{name: "every hidden state", hidden: []int{0, 1, 2}},
			{name: "the first layer", hidden: []int{1}, logits: true},
			{name: "queries, keys and values", qkv: []int{0, 1}},
			{name: "those of the first layer", qkv: []int{0}, logits: true},
			{name: "unlabelled", unlabelled: true, hidden: []int{0, 2}, qkv: []int{1}, logits: true},
			{name: "unlabelled logits", unlabelled: true, logits: true},
		} {
			if h.head == NoHead && !test.unlabelled {
				continue
			}
			t.Run(h.name+"/"+test.name, func(t *testing.T) {
				c := h.config()
				c.HiddenDropoutProb, c.AttentionProbsDropoutProb = 0.3, 0.2
				m := newTestModel(t, c, h.head, 2)
				tr := newTrainer(t, m)
				batches := []*Batch{h.batch(9, 3, 24, 5), h.batch(4, 11)}
				if test.unlabelled {
					for i, b := range batches {
						batches[i] = &Batch{IDs: b.IDs, TypeIDs: b.TypeIDs, Starts: b.Starts, MaskedPositions: b.MaskedPositions}
					}
				}
				own := 0.0
				add := func(seed uint64, x []float32, err error, to func([]float32) error) {
					if err != nil {
						t.Fatal(err)
					}
					loss, gradient := quadratic(seed, x)
					own += loss
					for _, part := range [][]float32{gradient, gradient} { // in two halves, which add up
						for i := range part {
							part[i] /= 2
						}
						if err := to(part); err != nil {
							t.Fatal(err)
						}
						for i := range part {
							part[i] *= 2
						}
					}
				}
				calls := 0
				p := Pass{Key: 42, Unlabelled: test.unlabelled, Hidden: test.hidden, QKV: test.qkv, Between: func(i int, a *Activations) error {
					calls++
					for _, layer := range test.hidden {
						x, err := a.Hidden(layer)
						add(uint64(10*i+layer), x, err, func(g []float32) error { return a.AddHidden(layer, g) })
					}
					for _, layer := range test.qkv {
						x, err := a.QKV(layer)
						if want := 3 * batches[i].Tokens() * c.HiddenSize; len(x) != want {
							t.Fatalf("%d queries, keys and values, want %d", len(x), want)
						}
						add(uint64(10*i+layer+100), x, err, func(g []float32) error { return a.AddQKV(layer, g) })
					}
					if !test.logits {
						return nil
					}
					x, err := a.Logits()
					if h.head != NoHead && len(x) == 0 {
						t.Error("no logits")
					}
					add(uint64(10*i+5), x, err, a.AddLogits)
					x, err = a.NextSentenceLogits()
					if h.head == PreTraining && len(x) == 0 {
						t.Error("no next-sentence logits")
					}
					add(uint64(10*i+6), x, err, a.AddNextSentenceLogits)
					x, err = a.Pooled()
					add(uint64(10*i+7), x, err, a.AddPooled)
					return nil
				}}
				checkSlope(t, m, tr, func() float64 {
					own, calls = 0, 0
					loss := backward(t, tr, p, batches...)
					if calls != len(batches) {
						t.Fatalf("Between was called %d times for %d batches", calls, len(batches))
					}
					if test.unlabelled && loss != (Loss{}) {
						t.Errorf("the loss without labels is %v", loss)
					}
					return loss.Total + own
				})
			})
		}
	}
}

// TestBetweenErrors asserts what Between can't do, and that its error ends the pass and leaves nothing for the next.
func TestBetweenErrors(t *testing.T) {
	h := headCases[0]
	m := newTestModel(t, h.config(), h.head, 1)
	tr := newTrainer(t, m)
	b := h.batch(9, 3)
	want := backward(t, tr, Pass{}, b)
	grads := slices.Clone(m.grads())
	for _, layer := range []int{-1, 3} {
		if _, err := tr.Backward([]*Batch{b}, Pass{Hidden: []int{layer}}); err == nil {
			t.Errorf("hidden states %d are accepted", layer)
		}
	}
	for _, layer := range []int{-1, 2} {
		if _, err := tr.Backward([]*Batch{b}, Pass{QKV: []int{layer}}); err == nil {
			t.Errorf("queries, keys and values of layer %d are accepted", layer)
		}
	}
	stop := errors.New("stop")
	_, err := tr.Backward([]*Batch{b}, Pass{Hidden: []int{1}, Between: func(_ int, a *Activations) error {
		if _, err := a.Hidden(2); err == nil {
			t.Error("hidden states that Pass.Hidden does not list are shown")
		}
		if _, err := a.QKV(0); err == nil {
			t.Error("queries, keys and values that Pass.QKV does not list are shown")
		}
		if err := a.AddQKV(0, nil); err == nil {
			t.Error("a gradient at queries, keys and values that Pass.QKV does not list is accepted")
		}
		if err := a.AddLogits(make([]float32, 1)); err == nil {
			t.Error("a gradient of the wrong length is accepted")
		}
		x, err := a.Hidden(1)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.AddHidden(1, x); err != nil {
			t.Fatal(err)
		}
		return stop
	}})
	if !errors.Is(err, stop) {
		t.Errorf("the error is %v", err)
	}
	if err := tr.ZeroGrad(); err != nil {
		t.Fatal(err)
	}
	if got := backward(t, tr, Pass{}, b); got != want || !slices.Equal(m.grads(), grads) {
		t.Error("after an error, a pass gives other bits")
	}
}

// TestEmbeddingGradient compares the gradient at the embeddings' output, without dropout, with the change of the loss when
// that output is moved. Bound: what float32 leaves of a difference quotient.
func TestEmbeddingGradient(t *testing.T) {
	const step, bound = 1e-2, 2e-2
	for _, h := range headCases {
		c := h.config()
		c.HiddenDropoutProb, c.AttentionProbsDropoutProb = 0.3, 0.2
		m := newTestModel(t, c, h.head, 2)
		tr := newTrainer(t, m)
		b := h.batch(9, 3, 24, 5)
		var gradient []float32
		p := Pass{NoDropout: true, EmbeddingGradient: func(i int, g []float32) error {
			gradient = slices.Clone(g)
			return nil
		}}
		loss := backward(t, tr, p, b)
		if n := b.Tokens() * c.HiddenSize; len(gradient) != n {
			t.Fatalf("%s: a gradient of %d values, want %d", h.name, len(gradient), n)
		}
		out, err := m.NewSession().Forward(b, Outputs{Loss: true})
		if err != nil {
			t.Fatal(err)
		}
		if out.Loss != loss {
			t.Errorf("%s: the loss without dropout is %v, in inference %v", h.name, loss, out.Loss)
		}
		slope, norm := 0.0, 0.0
		for _, g := range gradient {
			norm += float64(g) * float64(g)
		}
		norm = math.Sqrt(norm)
		w := tr.space
		at := func(by float64) float64 {
			if err := errors.Join(w.begin(b), w.expectLosses([]*Batch{b})); err != nil {
				t.Fatal(err)
			}
			x := slices.Clone(m.host(w.embed()))
			for i, g := range gradient {
				x[i] += float32(by * float64(g) / norm)
			}
			m.device.Write(rows(w.embeddingOut, b.Tokens(), c.HiddenSize), x)
			hidden := rows(w.embeddingOut, b.Tokens(), c.HiddenSize)
			for i := range w.layers {
				hidden = w.block(i, hidden, compute.Buffer{})
			}
			w.headForward(hidden)
			var d Denominators
			m.denominators(&d, []*Batch{b})
			w.headLoss(&d, false)
			loss, err := w.takeLoss(&d, []*Batch{b})
			if err != nil {
				t.Fatal(err)
			}
			return loss.Total
		}
		slope = (at(step) - at(-step)) / (2 * step)
		if !(math.Abs(slope-norm) <= bound*norm) {
			t.Errorf("%s: the loss changes by %g along the gradient, whose norm is %g", h.name, slope, norm)
		}
	}
}

// TestSteadyPassAllocatesNothing takes a pass with soft targets, weights and gradients of the caller's.
func TestSteadyPassAllocatesNothing(t *testing.T) {
	for _, h := range headCases {
		m := newTestModel(t, h.config(), h.head, 2)
		tr := newTrainer(t, m)
		b := h.batch(9, 3, 24, 5)
		h.soften(b)
		h.weigh(b)
		batches := []*Batch{b}
		p := Pass{
			Hidden: []int{1}, QKV: []int{0},
			Between: func(_ int, a *Activations) error {
				x, err := a.Hidden(1)
				if err != nil {
					return err
				}
				if err := a.AddHidden(1, x); err != nil {
					return err
				}
				if x, err = a.QKV(0); err != nil {
					return err
				}
				return a.AddQKV(0, x)
			},
			EmbeddingGradient: func(int, []float32) error { return nil },
		}
		step := func() {
			if _, err := tr.Backward(batches, p); err != nil {
				t.Fatal(err)
			}
		}
		if n := computetest.SteadyAllocations(step); n != 0 {
			t.Errorf("%s: a pass allocates %v times", h.name, n)
		}
	}
}
