package distill

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/train"
)

// objective is the distance between student and teacher, for train.Run: the sum of the terms that have a weight.
type objective struct {
	teacher     *teacher
	student     *bert.Model
	terms       []weighted
	labelWeight float64
	seed        uint64
	need        need // of the student
	projections []*projection
	computing

	waiting []*question // of the steps to come, the next first
	values  []float64   // the terms of the last pass

	gradient *said // memory
}

// weighted is a term with its weight.
type weighted struct {
	term
	name   string
	weight float64
}

// newTerms makes the terms of a recipe, and what they ask of both models.
func newTerms(r *Recipe, m *models) (list []weighted, ofTeacher, ofStudent need, err error) {
	for _, info := range terms {
		w := *info.weight(&r.Losses)
		if w == 0 {
			continue
		}
		t, err := info.make(r, m)
		if err != nil {
			return nil, need{}, need{}, err
		}
		t.asks(&ofTeacher, &ofStudent)
		list = append(list, weighted{t, info.name, w})
	}
	if len(list) == 0 {
		return nil, need{}, need{}, errNoTerm
	}
	return list, ofTeacher, ofStudent, nil
}

// newObjective makes the objective of a student. threads is how many its terms compute on.
func newObjective(t *teacher, student *bert.Model, terms []weighted, n need, labelWeight float64, seed uint64, threads int) (*objective, error) {
	o := &objective{teacher: t, student: student, terms: terms, need: n, labelWeight: labelWeight, seed: seed, values: make([]float64, len(terms))}
	var err error
	if o.matrices, err = newMatrices(student.Kernels(), threads); err != nil {
		return nil, err
	}
	if o.crew, err = newCrew(student.Kernels(), threads); err != nil {
		o.matrices.close()
		return nil, err
	}
	for _, t := range terms {
		for _, p := range t.params() {
			if !slices.Contains(o.projections, p) {
				o.projections = append(o.projections, p)
			}
		}
	}
	return o, nil
}

func (o *objective) close() {
	o.matrices.close()
	o.crew.close()
}

// Parameters are those of the projections.
func (o *objective) Parameters() []bert.Param {
	var list []bert.Param
	for _, p := range o.projections {
		list = append(list, p.params()...)
	}
	return list
}

// Begin gives the projections their first values.
func (o *objective) Begin(t *bert.Trainer) error {
	o.waiting = nil // of a run that was interrupted
	for _, p := range o.projections {
		if err := p.begin(t, o.seed); err != nil {
			return err
		}
	}
	return nil
}

// Lead is how far the teacher is ahead.
func (o *objective) Lead() int { return lead }

// Ahead lets the teacher begin to answer the batches of a step.
func (o *objective) Ahead(step int, batches []*bert.Batch) error {
	o.waiting = append(o.waiting, o.teacher.ask(step, batches))
	return nil
}

// Pass waits for the teacher, and lets the terms take part in the pass of a step.
func (o *objective) Pass(step int, batches []*bert.Batch, p *bert.Pass) error {
	if len(o.waiting) == 0 || o.waiting[0].step != step {
		return fmt.Errorf("the teacher was not asked about step %d", step)
	}
	q := o.waiting[0]
	o.waiting = slices.Delete(o.waiting, 0, 1)
	if <-q.answered; q.err != nil {
		return q.err
	}
	clear(o.values)
	rows := o.rows(batches)
	p.Hidden, p.QKV = o.need.Hidden, o.need.QKV
	if err := o.labels(batches, p); err != nil {
		return err
	}
	p.Between = func(i int, a *bert.Activations) error { return o.between(batches[i], q.answers[i], a, rows) }
	return nil
}

// rows are the divisors of the terms.
func (o *objective) rows(batches []*bert.Batch) []float64 {
	rows := make([]float64, len(o.terms))
	for k, t := range o.terms {
		for _, b := range batches {
			rows[k] += t.rows(b)
		}
	}
	return rows
}

// labels gives the loss of the labels its weight, by the divisors of its terms.
func (o *objective) labels(batches []*bert.Batch, p *bert.Pass) error {
	if p.Unlabelled = o.labelWeight == 0; p.Unlabelled || o.labelWeight == 1 {
		return nil
	}
	d, err := o.student.Denominators(batches...)
	if err != nil {
		return err
	}
	for _, field := range []*float64{&d.Rows, &d.Starts, &d.Ends, &d.MaskedLM, &d.NextSentence} {
		*field /= o.labelWeight
	}
	p.Denominators = &d
	return nil
}

// between adds the gradients of the terms at what the student says of a batch.
func (o *objective) between(b *bert.Batch, teacher *said, a *bert.Activations, rows []float64) error {
	student := &said{hidden: make(map[int][]float32), qkv: make(map[int][]float32)}
	var err error
	if o.need.Logits {
		if student.logits, err = a.Logits(); err != nil {
			return err
		}
	}
	for _, layer := range o.need.Hidden {
		if student.hidden[layer], err = a.Hidden(layer); err != nil {
			return err
		}
	}
	for _, layer := range o.need.QKV {
		if student.qkv[layer], err = a.QKV(layer); err != nil {
			return err
		}
	}
	o.room(student)
	for k, t := range o.terms {
		if rows[k] == 0 {
			continue // as where no token of a batch has an answer
		}
		scale := t.weight / rows[k]
		loss, err := t.add(&o.computing, b, teacher, student, o.gradient, scale)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		o.values[k] += scale * loss
	}
	if o.need.Logits {
		err = a.AddLogits(o.gradient.logits)
	}
	for _, layer := range o.need.Hidden {
		err = errors.Join(err, a.AddHidden(layer, o.gradient.hidden[layer]))
	}
	for _, layer := range o.need.QKV {
		err = errors.Join(err, a.AddQKV(layer, o.gradient.qkv[layer]))
	}
	return err
}

// room makes gradients of zeros for what the student said.
func (o *objective) room(of *said) {
	if o.gradient == nil {
		o.gradient = &said{hidden: make(map[int][]float32), qkv: make(map[int][]float32)}
	}
	zeros := func(has []float32, n int) []float32 {
		has = slices.Grow(has[:0], n)[:n]
		clear(has)
		return has
	}
	o.gradient.logits = zeros(o.gradient.logits, len(of.logits))
	for layer, x := range of.hidden {
		o.gradient.hidden[layer] = zeros(o.gradient.hidden[layer], len(x))
	}
	for layer, x := range of.qkv {
		o.gradient.qkv[layer] = zeros(o.gradient.qkv[layer], len(x))
	}
}

// Terms are those of the last pass, with their weights.
func (o *objective) Terms() metric.Metrics {
	list := make(metric.Metrics, len(o.terms))
	for k, t := range o.terms {
		list[k] = metric.Metric{Name: t.name, Value: o.values[k]}
	}
	return list
}

var _ train.Objective = (*objective)(nil)
