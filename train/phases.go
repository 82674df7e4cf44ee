package train

import (
	"fmt"
	"math"
	"strings"

	"github.com/go-bert/bert"
)

// Phase is a part of a run with its own data. BERT, for example, is pre-trained on sequences of 128 tokens and, for the last tenth
// of the steps, of 512 (paper, appendix A.2).
type Phase struct {
	Data  Data
	Steps int // at least 1
	// BatchSize or TokenBudget, if not 0, replace those of Recipe.
	BatchSize, TokenBudget int
}

// Phases are Data that Run goes through one after the other, each for its Steps: one learning rate schedule, one
// optimiser and one count of steps over all. Recipe.MaxSteps is 0 or the sum of the phases' steps; Recipe.Epochs has no
// effect. The epochs of a phase are counted from 0, and an example's number is that of its phase's data, after those of the
// phases before.
type Phases []Phase

// Len returns the number of examples of all phases.
func (p Phases) Len() int {
	n := 0
	for i := range p {
		n += p[i].Data.Len()
	}
	return n
}

// find returns the data that contain example i, and its index there.
func (p Phases) find(i int) (Data, int) {
	for k := range p[:len(p)-1] {
		n := p[k].Data.Len()
		if i < n {
			return p[k].Data, i
		}
		i -= n
	}
	return p[len(p)-1].Data, i
}

// Length returns the number of tokens of example i.
func (p Phases) Length(i int) int {
	data, i := p.find(i)
	return data.Length(i)
}

// Append adds the version of example i for epoch 0.
func (p Phases) Append(b *bert.Batch, i int) error { return p.AppendEpoch(b, i, 0) }

// AppendEpoch adds the version of example i for an epoch of its phase.
func (p Phases) AppendEpoch(b *bert.Batch, i, epoch int) error {
	data, i := p.find(i)
	return appendExample(data, b, i, epoch)
}

// appendExample adds the version of an example for an epoch, if its data have versions.
func appendExample(data Data, b *bert.Batch, i, epoch int) error {
	if d, ok := data.(EpochData); ok {
		return d.AppendEpoch(b, i, epoch)
	}
	return data.Append(b, i)
}

// String describes the phases for the fingerprint: steps, examples and batch of each.
func (p Phases) String() string {
	var parts []string
	for _, phase := range p {
		parts = append(parts, fmt.Sprintf("%d steps of %d examples, batch %d, tokens %d",
			phase.Steps, phase.Data.Len(), phase.BatchSize, phase.TokenBudget))
	}
	return strings.Join(parts, "; ")
}

// phased puts the steps of the phases end to end.
type phased struct {
	parts []phasePart
	out   []draw
}

// A phasePart is a phase with its place in the run.
type phasePart struct {
	batches
	first, end   int   // steps
	firstExample int32 // its number in Phases
}

func newPhased(phases Phases, r *Recipe) (*phased, error) {
	if len(phases) == 0 {
		return nil, fmt.Errorf("there are no phases")
	}
	p := new(phased)
	step, example := 0, 0
	for i, phase := range phases {
		if _, nested := phase.Data.(Phases); nested {
			return nil, fmt.Errorf("phase %d consists of phases itself", i+1)
		}
		if phase.Steps < 1 {
			return nil, fmt.Errorf("phase %d has %d steps, want at least 1", i+1, phase.Steps)
		}
		own := *r
		own.MaxSteps = phase.Steps
		own.Seed = new(phaseSeed(*r.Seed, i))
		if phase.BatchSize > 0 || phase.TokenBudget > 0 {
			if r.Accumulation > 1 {
				return nil, fmt.Errorf("phase %d has a batch size of its own, which gradient accumulation does not go with: limit the micro-batch's tokens instead", i+1)
			}
			own.BatchSize, own.TokenBudget = phase.BatchSize, phase.TokenBudget
		}
		if own.BatchSize > 0 && own.TokenBudget > 0 {
			return nil, fmt.Errorf("phase %d has both a batch size and a token budget: want one of them", i+1)
		}
		b, err := newBatches(phase.Data, &own)
		if err != nil {
			return nil, fmt.Errorf("phase %d: %w", i+1, err)
		}
		p.parts = append(p.parts, phasePart{b, step, step + phase.Steps, int32(example)})
		step += phase.Steps
		if example += phase.Data.Len(); example > math.MaxInt32 {
			return nil, fmt.Errorf("there are %d examples in %d phases, want at most %d", example, i+1, math.MaxInt32)
		}
	}
	if r.MaxSteps != 0 && r.MaxSteps != step {
		return nil, fmt.Errorf("the phases have %d steps, but the number of steps is %d", step, r.MaxSteps)
	}
	return p, nil
}

// steps returns the sum of the phases' steps.
func (p *phased) steps(float64) int { return p.parts[len(p.parts)-1].end }

// epochs returns the sum of the phases' epochs.
func (p *phased) epochs(step int) float64 {
	sum := 0.0
	for _, part := range p.parts {
		if step > part.first {
			sum += part.epochs(min(step, part.end) - part.first)
		}
	}
	return sum
}

func (p *phased) batch(step int) []draw {
	i := 0
	for step >= p.parts[i].end {
		i++
	}
	part := &p.parts[i]
	p.out = append(p.out[:0], part.batch(step-part.first)...)
	for k := range p.out {
		p.out[k].example += part.firstExample
	}
	return p.out
}
