package reference

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Schedule is a training run: a step for each batch, a warm-up and then a linear decay to zero.
type Schedule struct {
	Optimizer string // "google" or "adamw"
	Rate      float64
	Warmup    int
}

// Step is what a training step had before its update.
type Step struct {
	Loss, GradNorm, Rate float64
}

// Train takes a step for each batch and returns the parameters after the last. No dropout.
func Train(c Config, params Params, task Task, batches [][]Sequence, s Schedule) ([]Step, Params, error) {
	type moments struct{ m, v []float64 }
	now, state := make(Params), make(map[string]moments)
	for name, t := range params {
		now[name] = Tensor{t.Shape, slices.Clone(t.Values)}
		state[name] = moments{make([]float64, len(t.Values)), make([]float64, len(t.Values))}
	}
	update, ok := optimizers[s.Optimizer]
	if !ok {
		return nil, nil, fmt.Errorf("no optimizer %q", s.Optimizer)
	}
	var steps []Step
	for i, batch := range batches {
		r := Run(c, now, task, Inputs{Sequences: batch})
		norm := r.Gradients.Norm()
		step := update.begin(s, i, len(batches), norm)
		for _, name := range slices.Sorted(maps.Keys(now)) {
			decay := 0.0
			if decays(name) {
				decay = 0.01
			}
			x, g, m := now[name].Values, r.Gradients[name].Values, state[name]
			for j := range x {
				grad := g[j] * step.clip
				m.m[j] = 0.9*m.m[j] + 0.1*grad
				m.v[j] = 0.999*m.v[j] + 0.001*grad*grad
				x[j] = update.apply(x[j], m.m[j], m.v[j], decay, step)
			}
		}
		steps = append(steps, Step{r.Loss, norm, step.rate})
	}
	return steps, now, nil
}

// stepping is what the updates of all elements in a step share.
type stepping struct {
	rate, clip float64
	number     int // from 1
}

// optimizer is Adam (Kingma & Ba 2015) with decoupled weight decay in one of two forms.
type optimizer struct {
	begin func(s Schedule, step, total int, norm float64) stepping
	apply func(x, m, v, decay float64, s stepping) float64
}

var optimizers = map[string]optimizer{
	// google-research/bert optimization.py: no bias correction, ε added to √v, the decay a part of the update. The rate
	// decays from step 0.
	"google": {
		begin: func(s Schedule, step, total int, norm float64) stepping {
			rate := s.Rate * (1 - float64(step)/float64(total))
			if step < s.Warmup {
				rate = s.Rate * float64(step) / float64(s.Warmup)
			}
			return stepping{rate, min(1, 1/norm), step + 1}
		},
		apply: func(x, m, v, decay float64, s stepping) float64 {
			return x - s.rate*(m/(math.Sqrt(v)+1e-6)+decay*x)
		},
	},
	// torch.optim.AdamW (Loshchilov & Hutter 2019) with torch's clipping and Hugging Face's schedule, which decays from
	// the end of the warm-up.
	"adamw": {
		begin: func(s Schedule, step, total int, norm float64) stepping {
			rate := s.Rate * float64(total-step) / float64(total-s.Warmup)
			if step < s.Warmup {
				rate = s.Rate * float64(step) / float64(s.Warmup)
			}
			return stepping{rate, min(1, 1/(norm+1e-6)), step + 1}
		},
		apply: func(x, m, v, decay float64, s stepping) float64 {
			x -= s.rate * decay * x
			m /= 1 - math.Pow(0.9, float64(s.number))
			v /= 1 - math.Pow(0.999, float64(s.number))
			return x - s.rate*m/(math.Sqrt(v)+1e-8)
		},
	},
}
