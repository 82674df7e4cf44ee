package train

import (
	"github.com/go-bert/bert"
	"github.com/go-bert/bert/metric"
)

// An Objective is what a run minimises beside the loss of the labels, or in its place: a student's distance from its teacher, for
// instance. Run calls its methods from one goroutine.
//
// What it does in a step depends on the step, its batches and the parameters alone: so a run that is resumed has the bits of one
// that was not interrupted.
type Objective interface {
	// Parameters are learnt beside the model's, and are in the checkpoints, but not in the model.
	Parameters() []bert.Param
	// Begin is called once, with the trainer of the run, to give Parameters their first values. Those of a checkpoint, if there is
	// one, replace them.
	Begin(t *bert.Trainer) error
	// Lead is the number of steps by which Ahead is ahead of the run, 0 or more.
	Lead() int
	// Ahead is called with the batches of each step, in the order of the steps, up to Lead steps before Pass. They stay as they are
	// until that step has been made. It may begin what takes long.
	Ahead(step int, batches []*bert.Batch) error
	// Pass completes how a step, counted from 0, goes through its batches. p has its Key.
	Pass(step int, batches []*bert.Batch, p *bert.Pass) error
	// Terms are the parts of the loss that the last pass had beside that of the labels, by name. Their sum is added to it.
	Terms() metric.Metrics
}

// planned is a step whose batches are there.
type planned struct {
	examples []draw
	batches  []*bert.Batch // of micro
	tokens   int
	err      error // of making them

	micro []*bert.Batch // their memory
}

// next gives the step that is to be made now, and makes the batches of those that follow, as far as the objective looks ahead. The
// caller hands it back with r.done.
func (r *run) next() (*planned, error) {
	lead := 0
	if r.o.Objective != nil {
		lead = r.o.Objective.Lead()
	}
	for len(r.queue) <= lead {
		step := r.state.Step + len(r.queue)
		if step >= r.steps {
			break
		}
		p := r.plannedStep(step)
		r.queue = append(r.queue, p)
		if p.err != nil {
			break // an error of its turn: those before it are made
		}
	}
	p := r.queue[0]
	return p, p.err
}

// plannedStep makes the batches of a step.
func (r *run) plannedStep(step int) *planned {
	p := new(planned)
	if n := len(r.idle); n > 0 {
		p, r.idle = r.idle[n-1], r.idle[:n-1]
	}
	p.examples = append(p.examples[:0], r.batches.batch(step)...)
	p.batches, p.tokens, p.err = r.fill(&p.micro, p.examples)
	if p.err == nil && r.o.Objective != nil {
		p.err = r.o.Objective.Ahead(step, p.batches)
	}
	return p
}

// done takes back the step that was made, if it came from next.
func (r *run) done() {
	if len(r.queue) == 0 {
		return
	}
	r.idle = append(r.idle, r.queue[0])
	r.queue = append(r.queue[:0], r.queue[1:]...)
}
