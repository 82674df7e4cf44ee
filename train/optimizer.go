package train

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert"
)

// Optimizer is a variant of Adam. All variants decay the weights independently of the gradient, for the parameters with
// bert.Param.Decay, and clip the global norm of the gradient before updating the moments.
type Optimizer uint8

const (
	// GoogleAdam is AdamWeightDecayOptimizer of google-research/bert optimization.py: Adam without bias correction.
	GoogleAdam Optimizer = iota
	// AdamW is Loshchilov and Hutter's AdamW with bias correction, as in PyTorch and Hugging Face.
	AdamW
	// LAMB scales each tensor's step to the norm of the tensor, which permits very large batches (You et al. 2020,
	// arXiv:1904.00962, Algorithm 2). As in the authors' code, biases and LayerNorm use Adam's step.
	LAMB
)

// optimizerInfo is a row of the table of optimisers.
type optimizerInfo struct {
	name           string
	epsilon        float64 // the default
	biasCorrection bool
	trustRatio     bool    // whether the step of each tensor is scaled
	clipEpsilon    float64 // added to the norm by which clipping divides
	schedule       Schedule
}

var optimizers = [...]optimizerInfo{
	GoogleAdam: {name: "google", epsilon: 1e-6, schedule: GoogleLinear},
	AdamW:      {name: "adamw", epsilon: 1e-8, biasCorrection: true, clipEpsilon: 1e-6, schedule: Linear},
	LAMB:       {name: "lamb", epsilon: 1e-6, biasCorrection: true, trustRatio: true, schedule: GoogleLinear},
}

// String returns the name that ParseOptimizer accepts: google, adamw or lamb.
func (o Optimizer) String() string {
	if int(o) >= len(optimizers) {
		return fmt.Sprintf("Optimizer(%d)", uint8(o))
	}
	return optimizers[o].name
}

// ParseOptimizer returns the optimiser with the given name.
func ParseOptimizer(name string) (Optimizer, error) {
	names := optimizerNames()
	if i := slices.Index(names, name); i >= 0 {
		return Optimizer(i), nil
	}
	return 0, fmt.Errorf("optimizer is %q, want one of %s", name, strings.Join(names, ", "))
}

func optimizerNames() []string {
	names := make([]string, len(optimizers))
	for i, info := range optimizers {
		names[i] = info.name
	}
	return names
}

// MarshalText writes String.
func (o Optimizer) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads a name that ParseOptimizer takes.
func (o *Optimizer) UnmarshalText(text []byte) (err error) {
	*o, err = ParseOptimizer(string(text))
	return err
}

// update is the step that follows the given number of steps, at a learning rate and the global norm of the gradient.
func (r *Recipe) update(step int, rate, gradNorm float64) bert.Update {
	info := &optimizers[r.Optimizer]
	beta1, beta2, clipNorm := *r.Beta1, *r.Beta2, *r.ClipNorm
	u := bert.Update{
		GradScale: 1,
		Beta1:     beta1, Beta2: beta2, Eps: r.epsilon(),
		StepSize: rate, RootScale: 1,
		Decay: rate * *r.WeightDecay,
	}
	// tf.clip_by_global_norm divides by the norm itself, torch.nn.utils.clip_grad_norm_ by a little more.
	if norm := gradNorm + info.clipEpsilon; clipNorm > 0 && norm > clipNorm {
		u.GradScale = clipNorm / norm
	}
	if info.trustRatio {
		u.LAMB, u.LayerRate = true, rate
		u.StepSize, u.Decay = 1, *r.WeightDecay
	}
	if info.biasCorrection {
		t := float64(step + 1)
		u.StepSize /= 1 - math.Pow(beta1, t)
		u.RootScale = 1 / math.Sqrt(1-math.Pow(beta2, t))
	}
	return u
}

func (r *Recipe) epsilon() float64 {
	if r.Epsilon == 0 {
		return optimizers[r.Optimizer].epsilon
	}
	return r.Epsilon
}
