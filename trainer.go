package bert

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/go-bert/bert/internal/compute"
)

// Trainer holds what training adds to a model: gradients, Adam's two moments, and the memory of a forward and a backward
// pass. A model has one Trainer at a time; sessions may run between its calls, and see its changes. It serves one goroutine.
// After Close, of it or of the model, all its methods that can give ErrClosed do.
type Trainer struct {
	m     *Model
	space *workspace
	extra []parameter    // learnt beside the model's
	grads compute.Buffer // of all parameters, in the order of the table, and then of extra
	m1    compute.Buffer // the first moment of the owned ones, likewise
	m2    compute.Buffer // the second

	segments []segment        // the owned parameters
	whole    bool             // they are all
	layers   []int            // where the parameters of each layer of the encoder begin, and where those of the last one end
	held     []compute.Buffer // gradients that were set aside, of which the first holding are in use
	holding  int

	p            Pass         // of the call at hand
	denominators Denominators // likewise
	activations  Activations
	gradient     []float32 // at the embeddings' output
}

// NewTrainer prepares a model for training. The parameters get memory of their own, if they were read from a file in
// place. A model that has a trainer gives ErrTrainerExists, one at Int8 ErrInferenceOnly.
//
// extra are parameters that are learnt beside the model's and are no part of it, such as a projection that a loss of Pass.Between
// needs. Their names differ from the model's. They begin as zeros, whatever their Init is; Parameters gives access to them, and
// Gradients to their gradients, both after the model's. Norm, update and state have them too. They go with the Trainer.
func (m *Model) NewTrainer(extra ...Param) (*Trainer, error) {
	return m.newTrainer(TrainerOptions{}, extra)
}

// TrainerOptions says how a Trainer is made. The zero value is that of NewTrainer.
type TrainerOptions struct {
	// Owned are the parameters that this Trainer changes, and whose moments it has; nil: all. Machines that share a run can own a part
	// each. The ranges don't overlap, are in ascending order, and cut a parameter between its runs alone: see Model.Runs.
	Owned []Range
}

// NewTrainerWith is NewTrainer with options.
func (m *Model) NewTrainerWith(o TrainerOptions) (*Trainer, error) { return m.newTrainer(o, nil) }

func (m *Model) newTrainer(o TrainerOptions, extra []Param) (*Trainer, error) {
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.done()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.trainer != nil {
		return nil, ErrTrainerExists
	}
	if p, _ := m.device.Precision(); !p.Trains() {
		return nil, fmt.Errorf("%w, not %v", ErrInferenceOnly, p)
	}
	if err := m.config.checkTraining(); err != nil {
		return nil, err
	}
	if err := m.own(); err != nil {
		return nil, err
	}
	t := &Trainer{m: m, whole: o.Owned == nil, layers: m.layerBounds()}
	if err := t.takeExtra(extra); err != nil {
		return nil, err
	}
	all := 0
	for p := range t.parameters() {
		all += p.Len()
	}
	owned, err := t.own(o.Owned)
	if err != nil {
		return nil, err
	}
	m.weights, m.unpacked, m.packed, m.passed = nil, nil, packNone, false // what was packed of them is no longer needed
	for _, b := range []struct {
		buffer *compute.Buffer
		n      int
	}{{&t.grads, all}, {&t.m1, owned}, {&t.m2, owned}} {
		if *b.buffer, err = m.device.Alloc(b.n); err != nil {
			return nil, fmt.Errorf("memory for gradients and moments of %d parameters: %w", all, err)
		}
	}
	at := 0
	for p := range t.parameters() {
		p.grad = t.grads.Slice(at, at+p.Len())
		at += p.Len()
	}
	m.trainer = t
	w, err := m.link(packNone)
	if err != nil {
		m.letGo()
		return nil, err
	}
	m.weights = w
	t.space = newWorkspace(m, true)
	t.space.w = w
	t.activations.w = t.space
	return t, nil
}

// takeExtra makes the parameters beside the model's.
func (t *Trainer) takeExtra(extra []Param) error {
	for i, p := range extra {
		taken := func(other Param) bool { return other.Name == p.Name }
		if slices.ContainsFunc(t.m.Params(), taken) || slices.ContainsFunc(extra[:i], taken) {
			return fmt.Errorf("there are two parameters %s", p.Name)
		}
		value, err := t.m.device.Alloc(p.Len())
		if err != nil {
			return fmt.Errorf("memory for parameter %s: %w", p.Name, err)
		}
		t.extra = append(t.extra, parameter{Param: p, value: value})
	}
	return nil
}

// parameters ranges over the model's parameters and those beside them, in the order of the gradients.
func (t *Trainer) parameters() iter.Seq[*parameter] {
	return func(yield func(*parameter) bool) {
		for _, list := range [][]parameter{t.m.params, t.extra} {
			for i := range list {
				if !yield(&list[i]) {
					return
				}
			}
		}
	}
}

// Close gives back the trainer's memory; the model keeps what it has learnt.
func (t *Trainer) Close() {
	m := t.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.trainer != t {
		return
	}
	m.letGo()
	*t = Trainer{m: m}
}

// letGo takes the trainer from the model. The caller holds the lock.
func (m *Model) letGo() {
	for i := range m.params {
		m.params[i].grad = compute.Buffer{}
	}
	m.trainer, m.weights, m.packed, m.passed = nil, nil, packNone, false
}

// use begins a call that needs the device, which t.m.done ends.
func (t *Trainer) use() error {
	if t.space == nil {
		return fmt.Errorf("the trainer is %w", ErrClosed)
	}
	return t.m.use()
}

// Backward runs the model forward and back over the batches and adds the gradient of their loss to the gradients. The loss
// is that of the batches taken together as one, so that a batch can be split to save memory.
//
// A batch that is split, its sequences in the same order, gives without dropout
//
//   - the loss of the whole, to the bit;
//   - at Float32 the gradients of the whole, to the bit, of the weights of dense layers and of embeddings;
//   - all other gradients (of biases, of LayerNorms, of the word embedding where a masked LM ties its decoder to it, and at
//     BFloat16 of every parameter) but for the order of their sums: within 2e-6 of the largest gradient.
//
// With dropout the parts have masks of their own, which depend on Pass.Key and a batch's index.
//
// If a batch is wrong, the error is a [BatchError] and the gradients are as they were. Other errors are those of p, of its
// functions, of the device, and ErrClosed.
func (t *Trainer) Backward(batches []*Batch, p Pass) (Loss, error) {
	if err := t.use(); err != nil {
		return Loss{}, err
	}
	m, w := t.m, t.space
	defer m.done()
	if err := p.check(m); err != nil {
		return Loss{}, err
	}
	t.p = p
	defer func() { t.p = Pass{} }() // it may refer to much
	for i, b := range batches {
		if err := b.check(&m.config); err != nil {
			return Loss{}, inBatch(i, err)
		}
		if err := t.checkTargets(b); err != nil {
			return Loss{}, inBatch(i, err)
		}
	}
	switch {
	case p.Unlabelled:
	case p.Denominators != nil:
		t.denominators = *p.Denominators
	default:
		m.denominators(&t.denominators, batches)
	}
	w.noDropout = p.NoDropout
	w.firstOnly = m.pooledOnly() && !slices.Contains(p.Hidden, m.config.NumHiddenLayers) && !slices.Contains(p.QKV, m.config.NumHiddenLayers-1)
	if !p.Unlabelled {
		if err := w.expectLosses(batches); err != nil {
			return Loss{}, err
		}
	}
	for i, b := range batches {
		w.key = mix(p.Key, uint64(i))
		if err := t.pass(i, b, i == len(batches)-1); err != nil {
			w.added.forget()
			w.b = nil
			return Loss{}, err
		}
	}
	if p.Unlabelled {
		return Loss{}, nil
	}
	return w.takeLoss(&t.denominators, batches)
}

// checkTargets reports what is wrong with b's labels.
func (t *Trainer) checkTargets(b *Batch) error {
	switch {
	case !t.p.Unlabelled:
		return b.checkLabels(&t.m.config, t.m.head)
	case heads[t.m.head].maskedLM:
		return b.checkMaskedPositions()
	default:
		return nil
	}
}

// pass is a forward and a backward pass over a batch, the last one or not.
func (t *Trainer) pass(i int, b *Batch, last bool) error {
	w, p := t.space, &t.p
	if err := w.begin(b); err != nil {
		return err
	}
	w.headForward(w.encode(nil))
	if p.Between != nil {
		t.activations.layers, t.activations.qkv = p.Hidden, p.QKV
		if err := p.Between(i, &t.activations); err != nil {
			return err
		}
	}
	if p.Unlabelled {
		w.zeroLogits()
	} else {
		w.headLoss(&t.denominators, true)
	}
	if p.Between != nil {
		w.added.logits.into(w, t.activations.logits())
		w.added.nextLogits.into(w, t.activations.nextLogits())
	}
	w.headBackward()
	var settled func(layer int)
	if last && p.Settled != nil {
		settled = func(layer int) { p.Settled(t.layers[layer]) }
		settled(len(t.layers) - 1)
	}
	gradient := w.encodeBackward(settled)
	if p.EmbeddingGradient != nil {
		values, err := t.activations.read(&t.gradient, gradient)
		if err != nil {
			return err
		}
		if err := p.EmbeddingGradient(i, values); err != nil {
			return err
		}
	}
	w.embedBackward()
	w.b = nil
	if settled != nil {
		p.Settled(0)
	}
	return nil
}

// GradNorm is the global norm of the gradients: the root of the sum of all their squares.
func (t *Trainer) GradNorm() (float64, error) {
	if err := t.use(); err != nil {
		return 0, err
	}
	defer t.m.done()
	squares, err := t.m.device.SumSquares(t.grads)
	return math.Sqrt(squares), err
}

// Update holds the constants of one step of Adam or LAMB. With g' = g·GradScale,
//
//	m = Beta1·m + (1−Beta1)·g',  v = Beta2·v + (1−Beta2)·g'²,  p = p − (Decay·p + StepSize·m/(√v·RootScale + Eps)).
//
// Decay holds for the parameters of which the table says so and is 0 for the others. Package train has the optimisers
// that are made of it.
type Update struct {
	GradScale    float64 // the factor of gradient clipping
	Beta1, Beta2 float64
	Eps          float64
	StepSize     float64 // the rate, with Adam's bias correction of the first moment if there is one
	RootScale    float64 // 1, or the root of the bias correction of the second moment
	Decay        float64 // the rate times the weight decay

	// LAMB multiplies the step of each parameter, called u, by LayerRate·‖p‖/‖u‖ (You et al. 2020, arXiv:1904.00962,
	// Algorithm 2), or by LayerRate alone where a norm is 0 and, as in the authors' code, for parameters without decay.
	// StepSize and Decay then leave the rate out.
	LAMB      bool
	LayerRate float64
}

// Update changes the owned parameters by the gradients and zeroes these, of all parameters. LAMB, whose norms are those of whole
// parameters, needs a Trainer that owns all: for a part there are Directions and Apply.
func (t *Trainer) Update(u Update) error {
	if err := t.use(); err != nil {
		return err
	}
	defer t.m.done()
	if u.LAMB && !t.whole {
		return errors.New("LAMB of a part of the parameters needs the norms of the rest: use Directions and Apply")
	}
	op := &t.space.op
	for i := range t.segments {
		s := &t.segments[i]
		op.adam = t.adam(s, &u)
		if u.LAMB && s.p.Decay {
			op.lamb = compute.LAMB{Adam: op.adam, Rate: float32(u.LayerRate)}
			t.m.device.LAMB(&op.lamb)
			if t.whole {
				t.m.device.Zero(op.adam.G)
			}
		} else {
			op.adam.Clear = t.whole // in the cache
			t.m.device.Adam(&op.adam)
		}
	}
	if !t.whole {
		t.m.device.Zero(t.grads)
	}
	return nil
}

// adam is the operation of an update on a segment.
func (t *Trainer) adam(s *segment, u *Update) compute.Adam {
	decay, stepSize := float32(0), u.StepSize
	if s.p.Decay {
		decay = float32(u.Decay)
	} else if u.LAMB {
		stepSize *= u.LayerRate
	}
	n := s.To - s.From
	return compute.Adam{
		P: s.values(), G: t.grads.Slice(s.From, s.To), M: t.m1.Slice(s.at, s.at+n), V: t.m2.Slice(s.at, s.at+n),
		GradScale: float32(u.GradScale), Beta1: u.Beta1, Beta2: u.Beta2, Decay: decay,
		StepSize: float32(stepSize), RootScale: float32(u.RootScale), Eps: float32(u.Eps),
	}
}

// ZeroGrad sets the gradients to zero.
func (t *Trainer) ZeroGrad() error {
	if err := t.use(); err != nil {
		return err
	}
	defer t.m.done()
	t.m.device.Zero(t.grads)
	return nil
}
