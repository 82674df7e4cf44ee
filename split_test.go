package bert

import (
	"slices"
	"strings"
	"testing"
)

// headCase is a head with a type of problem, and so with losses of its own.
type headCase struct {
	name    string
	head    Head
	problem ProblemType
}

// headCases are all heads that have a loss.
var headCases = []headCase{
	{"pre-training", PreTraining, ProblemByLabels},
	{"masked LM", MaskedLM, ProblemByLabels},
	{"next sentence", NextSentence, ProblemByLabels},
	{"classes", SequenceClassification, SingleLabelClassification},
	{"labels", SequenceClassification, MultiLabelClassification},
	{"regression", SequenceClassification, RegressionProblem},
	{"tokens", TokenClassification, ProblemByLabels},
	{"answers", QuestionAnswering, ProblemByLabels},
	{"choices", MultipleChoice, ProblemByLabels},
}

// config is a small configuration for the case, without dropout.
func (h headCase) config() Config {
	c := smallConfig()
	c.HiddenDropoutProb, c.AttentionProbsDropoutProb = 0, 0
	c.ProblemType = h.problem
	if h.problem == RegressionProblem {
		c.Labels = c.Labels[:1]
	}
	return c
}

// batch has sequences of the given lengths, an even number, with labels of the case, of which some take no part.
func (h headCase) batch(lengths ...int) *Batch {
	c := h.config()
	b := testBatch(c, lengths...)
	b.Classes[0], b.NextSentence[0], b.MaskedIDs[0] = -1, -1, -1
	b.From[0], b.To[len(lengths)-1] = -1, int32(lengths[len(lengths)-1]) // outside
	switch {
	case h.problem == MultiLabelClassification:
		b.Values = b.Values[:0]
		for i := range len(lengths) * len(c.Labels) {
			b.Values = append(b.Values, float32(i%3%2))
		}
	case h.head == MultipleChoice:
		b.Choices = 2
		b.Classes = b.Classes[:len(lengths)/2]
		for i := range b.Classes {
			b.Classes[i] %= 2
		}
	}
	return b
}

// weigh gives the batch's sequences or examples unequal weights, one of them 0.
func (h headCase) weigh(b *Batch) {
	n := b.Len()
	if h.head == MultipleChoice {
		n /= b.Choices
	}
	for i := range n {
		b.Weights = append(b.Weights, []float32{1, 2, 0.5, 3, 0, 1.25}[(i+b.Tokens())%6])
	}
}

// join is batches as one.
func join(parts ...*Batch) *Batch {
	whole := &Batch{Choices: parts[0].Choices}
	for _, p := range parts {
		at := int32(whole.Tokens())
		for i := range p.Len() {
			from, to := p.Sequence(i)
			whole.Add(p.IDs[from:to], p.TypeIDs[from:to])
		}
		for _, pos := range p.MaskedPositions {
			whole.MaskedPositions = append(whole.MaskedPositions, at+pos)
		}
		whole.MaskedIDs = append(whole.MaskedIDs, p.MaskedIDs...)
		whole.SoftMaskedIDs = append(whole.SoftMaskedIDs, p.SoftMaskedIDs...)
		whole.NextSentence = append(whole.NextSentence, p.NextSentence...)
		whole.Classes = append(whole.Classes, p.Classes...)
		whole.SoftClasses = append(whole.SoftClasses, p.SoftClasses...)
		whole.Values = append(whole.Values, p.Values...)
		whole.Weights = append(whole.Weights, p.Weights...)
		whole.TokenClasses = append(whole.TokenClasses, p.TokenClasses...)
		whole.From, whole.To = append(whole.From, p.From...), append(whole.To, p.To...)
	}
	return whole
}

// run makes a backward pass of a new model over the batches, and returns the loss and the model, which holds the gradients.
func (h headCase) run(t *testing.T, precision Precision, p Pass, batches ...*Batch) (Loss, *Model) {
	t.Helper()
	m := newTestModelAt(t, precision, h.config(), h.head, 2)
	return backward(t, newTrainer(t, m), p, batches...), m
}

func (m *Model) grads() []float32 { return m.host(m.trainer.grads) }

// TestSplit splits a batch, in which some labels take no part and others have weights. The loss and, at Float32, the gradients
// of all weights but those of LayerNorms and of a tied embedding are those of the whole, to the bit; the others but for the
// order of sums. Bound relative to the largest gradient.
func TestSplit(t *testing.T) {
	if testing.Short() {
		t.Skip("the same on every processor, and one call after another")
	}
	const bound = 2e-6
	atEachPrecision(t, func(t *testing.T, precision Precision) {
		for _, h := range headCases {
			for _, weighted := range []bool{false, true} {
				parts := []*Batch{h.batch(9, 1, 24, 17), h.batch(13, 2, 6, 6, 3, 4), h.batch(5, 5, 20, 9)}
				if weighted {
					for _, b := range parts {
						h.weigh(b)
					}
				}
				wantLoss, want := h.run(t, precision, Pass{}, join(parts...))
				gotLoss, got := h.run(t, precision, Pass{}, parts...)
				if gotLoss != wantLoss || gotLoss.Total == 0 {
					t.Errorf("%s, weighted %v: the loss is %v, of the whole %v", h.name, weighted, gotLoss, wantLoss)
				}
				near(t, h.name+": gradients", got.grads(), want.grads(), bound, 0)
				if precision != Float32 {
					continue
				}
				for i := range got.params {
					p := &got.params[i]
					tied := heads[h.head].maskedLM && strings.HasSuffix(p.Name, "word_embeddings.weight")
					if !strings.HasSuffix(p.Name, ".weight") || strings.Contains(p.Name, "LayerNorm") || tied {
						continue
					}
					if !slices.Equal(got.host(p.grad), want.host(want.params[i].grad)) {
						t.Errorf("%s, weighted %v: the gradient of %s has other bits than that of the whole", h.name, weighted, p.Name)
					}
				}
			}
		}
	})
}

// TestSharedStep gives the parts of a step to machines of their own: with the sum of their denominators, their losses and
// gradients add up to those of the whole.
func TestSharedStep(t *testing.T) {
	const bound = 2e-6 // relative to the largest gradient
	for _, h := range headCases {
		parts := []*Batch{h.batch(9, 1, 24, 17), h.batch(13, 2, 6, 6)}
		for _, b := range parts {
			h.weigh(b)
		}
		wantLoss, want := h.run(t, Float32, Pass{}, join(parts...))
		var sum Denominators
		for _, b := range parts {
			d, err := want.Denominators(b)
			if err != nil {
				t.Fatal(err)
			}
			sum.Add(d)
		}
		if whole, err := want.Denominators(parts...); err != nil || whole != sum {
			t.Errorf("%s: the denominators are %v, %v, those of the parts add up to %v", h.name, whole, err, sum)
		}
		loss, grads := 0.0, make([]float32, want.values.Len)
		for _, b := range parts {
			l, m := h.run(t, Float32, Pass{Denominators: &sum}, b)
			loss += l.Total
			for i, g := range m.grads() {
				grads[i] += g
			}
		}
		nearFloat(t, h.name+": loss", loss, wantLoss.Total, 1e-12)
		near(t, h.name+": gradients", grads, want.grads(), bound, 0)
	}
}

// TestWeights compares a batch in which some sequences count twice with one that has them twice.
func TestWeights(t *testing.T) {
	const bound = 2e-6 // relative to the largest gradient
	for _, h := range headCases {
		a, b := h.batch(9, 1, 24, 17), h.batch(13, 2)
		twice := join(a, a, b)
		for part, weight := range map[*Batch]float32{a: 2, b: 1} {
			n := part.Len()
			if h.head == MultipleChoice {
				n /= part.Choices
			}
			part.Weights = slices.Repeat([]float32{weight}, n)
		}
		wantLoss, want := h.run(t, Float32, Pass{}, twice)
		gotLoss, got := h.run(t, Float32, Pass{}, join(a, b))
		nearFloat(t, h.name+": loss", gotLoss.Total, wantLoss.Total, bound)
		near(t, h.name+": gradients", got.grads(), want.grads(), bound, 0)
		out, err := got.NewSession().Forward(join(a, b), Outputs{Loss: true})
		if err != nil {
			t.Fatal(err)
		}
		nearFloat(t, h.name+": loss of a session", out.Loss.Total, gotLoss.Total, bound)
	}
}
