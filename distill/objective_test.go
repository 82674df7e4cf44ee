package distill

import (
	"math"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/metric"
)

// distance makes an objective of every loss, and the trainer of its student.
func distance(t *testing.T, teacher, student *bert.Model, labelWeight float64) (*objective, *bert.Trainer) {
	t.Helper()
	r := Recipe{Losses: Losses{
		LabelWeight: labelWeight, LogitWeight: 1, HiddenWeight: 0.5, AttentionWeight: 0.1, RelationWeight: 2, CosineWeight: 1, SentenceWeight: 1, SentenceCosineWeight: 0.5,
	}}.WithDefaults()
	m := &models{teacher: teacher.Config(), student: student.Config(), head: student.Head(), layers: []layerPair{{0, 0}, {1, 2}}}
	var err error
	if m.vectors, err = newVectors(t.TempDir(), &m.teacher, &m.student); err != nil {
		t.Fatal(err)
	}
	terms, ofTeacher, ofStudent, err := newTerms(&r, m)
	if err != nil {
		t.Fatal(err)
	}
	answers := newTeacher(teacher, ofTeacher, nil, nil, [32]byte{})
	t.Cleanup(answers.close)
	o, err := newObjective(answers, student, terms, ofStudent, labelWeight, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.close)
	tr, err := student.NewTrainer(o.Parameters()...)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Begin(tr); err != nil {
		t.Fatal(err)
	}
	return o, tr
}

// backward is a pass of step 0, and the gradients that it leaves.
func backward(t *testing.T, o *objective, tr *bert.Trainer, batches ...*bert.Batch) (loss float64, terms metric.Metrics, gradients []float64) {
	t.Helper()
	if err := tr.ZeroGrad(); err != nil {
		t.Fatal(err)
	}
	if err := o.Ahead(0, batches); err != nil {
		t.Fatal(err)
	}
	p := bert.Pass{NoDropout: true}
	if err := o.Pass(0, batches, &p); err != nil {
		t.Fatal(err)
	}
	got, err := tr.Backward(batches, p)
	if err != nil {
		t.Fatal(err)
	}
	loss = got.Total
	for _, term := range o.Terms() {
		loss += term.Value
	}
	for _, v := range tr.Gradients() {
		values := make([]float32, v.Len())
		if err := v.Read(values); err != nil {
			t.Fatal(err)
		}
		for _, x := range values {
			gradients = append(gradients, float64(x))
		}
	}
	return loss, o.Terms(), gradients
}

// TestObjective: with all losses at once the loss of a step is the same however its batch is split; its gradient is how the loss changes
// along it, at the student's parameters and at the projections; and labels have their weight.
func TestObjective(t *testing.T) {
	teacher := tinyModel(t, tinyConfig(2, 8), bert.SequenceClassification, 3)
	student := tinyModel(t, tinyConfig(1, 4), bert.SequenceClassification, 5)
	whole := tinyBatch(5, 9, 2, 7)
	whole.Classes = []int32{0, 2, -1, 1}
	first, rest := tinyBatch(5, 9), new(bert.Batch)
	first.Classes, rest.Classes = []int32{0, 2}, []int32{-1, 1}
	for i := 2; i < 4; i++ {
		from, to := whole.Sequence(i)
		rest.Add(whole.IDs[from:to], nil)
	}
	rest.Choices = 2

	o, tr := distance(t, teacher, student, 0.25)
	loss, terms, gradients := backward(t, o, tr, whole)
	if len(terms) != len(o.terms) || len(terms) < 7 {
		t.Fatalf("the terms are %v", terms)
	}
	split, splitTerms, splitGradients := backward(t, o, tr, first, rest)
	if math.Abs(split-loss) > 1e-6*loss {
		t.Errorf("split, the loss is %v, want %v", split, loss)
	}
	for i, term := range terms {
		if v := splitTerms[i].Value; !(term.Value > 0) || math.Abs(v-term.Value) > 1e-6*term.Value {
			t.Errorf("split, the term %s is %v, want %v", term.Name, v, term.Value)
		}
	}
	top, norm := 0.0, 0.0
	for _, g := range gradients {
		top = math.Max(top, math.Abs(g))
		norm += g * g
	}
	norm = math.Sqrt(norm)
	for i, g := range gradients {
		if math.Abs(splitGradients[i]-g) > 1e-5*top {
			t.Fatalf("split, gradient %d is %v, want %v", i, splitGradients[i], g)
		}
	}

	// Along the gradient the loss changes by its norm. Bound: what float32 leaves of a difference quotient.
	const step, bound = 2e-3, 2e-2
	var starts [][]float32
	for _, v := range tr.Parameters() {
		values := make([]float32, v.Len())
		if err := v.Read(values); err != nil {
			t.Fatal(err)
		}
		starts = append(starts, values)
	}
	moved := func(by float64) float64 {
		at, i := 0, 0
		for _, v := range tr.Parameters() {
			values := make([]float32, v.Len())
			for j, x := range starts[i] {
				values[j] = x + float32(by*gradients[at]/norm)
				at++
			}
			if err := v.Write(values); err != nil {
				t.Fatal(err)
			}
			i++
		}
		loss, _, _ := backward(t, o, tr, whole)
		return loss
	}
	if slope := (moved(step) - moved(-step)) / (2 * step); math.Abs(slope-norm) > bound*norm {
		t.Errorf("the loss changes by %v along its gradient, whose norm is %v", slope, norm)
	}
	moved(0)
	tr.Close()

	// The labels' part is in proportion to its weight, and the terms don't depend on it.
	parts := make(map[float64]float64)
	for _, w := range []float64{0, 0.25, 1} {
		o, tr := distance(t, teacher, student, w)
		loss, again, _ := backward(t, o, tr, whole)
		tr.Close()
		for i, term := range terms {
			loss -= again[i].Value
			if math.Abs(again[i].Value-term.Value) > 1e-6*term.Value {
				t.Errorf("with labels of weight %v the term %s is %v, want %v", w, term.Name, again[i].Value, term.Value)
			}
		}
		parts[w] = loss
	}
	if parts[0] != 0 && math.Abs(parts[0]) > 1e-12 || !(parts[1] > 0) || math.Abs(parts[0.25]-parts[1]/4) > 1e-6*parts[1] {
		t.Errorf("the labels' parts by weight are %v", parts)
	}
}
