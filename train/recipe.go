package train

import (
	"math"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/recipe"
)

// maxParts is more than there are ever ranks.
const maxParts = 1 << 16

// Recipe is everything about training that decides the result, beside the model and the data. The zero value is Google's
// optimiser with batches of 32, a rate of 2e-5 and a warm-up of a tenth, for 2 epochs (Devlin et al. 2018, appendix A.3), with a
// checkpoint every 100 steps and an evaluation at the end. A field that is a pointer has a meaning for 0, and a default for
// nil: new(0.0) is a weight decay of 0.
//
// In JSON it is a flat object with the keys of the tags. A key that is not known or occurs twice is an error.
type Recipe struct {
	// BatchSize is the number of examples of a batch (0: 32); TokenBudget, instead of it, the most tokens. Without MaxSteps, a batch larger
	// than the data is all of it.
	BatchSize   int `json:"train_batch_size,omitzero" zero:"at least 1"`
	TokenBudget int `json:"token_budget,omitzero"`
	// Accumulation is the number of batches whose gradients are added up before each step; 0: 1. Each goes through the model
	// by itself, which needs the memory of one and gives the gradient of all.
	Accumulation int `json:"gradient_accumulation_steps,omitzero" zero:"at least 1"`
	// MicroBatchSize and MicroBatchTokens are the most examples and tokens that go through the model together; 0 is no
	// limit. A larger batch goes through in parts whose gradients are added, to the same gradient in less memory.
	MicroBatchSize   int `json:"micro_batch_size,omitzero"`
	MicroBatchTokens int `json:"micro_batch_tokens,omitzero"`
	// Parts is into how many parts a step's examples are divided, to about the same number of tokens each. The parts go through the model one after the
	// other, or on the ranks of a group at once; with the same number of parts, a run has the same bits on any number of ranks that
	// divides it. 0: that of the run that is resumed, or of the ranks of Options.Group, or 1.
	Parts int `json:"parts,omitzero"`
	// FastReduce lets the group add up gradients in any order, as fast as it can: results then depend on the number of ranks, and on the
	// group. ReducePrecision BFloat16 rounds the gradients of parts, and their sums but for the last, to bfloat16, and so halves what
	// ranks send; bits are still the same on any number of ranks.
	FastReduce      bool           `json:"fast_reduce,omitzero"`
	ReducePrecision bert.Precision `json:"reduce_precision,omitzero"`
	// GroupByLength puts examples of similar length into the same batch.
	GroupByLength bool `json:"group_by_length,omitzero"`
	// NoShuffle takes the examples of each epoch in the order of the data, instead of one that the seed decides.
	NoShuffle bool `json:"no_shuffle,omitzero"`

	// Epochs is the number of passes over the data; 0: 2. MaxSteps, if not 0, is the length of the run instead.
	Epochs   float64 `json:"num_train_epochs,omitzero" zero:"more than 0"`
	MaxSteps int     `json:"max_steps,omitzero"`

	LearningRate float64 `json:"learning_rate,omitzero" zero:"a small positive number"` // the peak; 0: 2e-5
	// WarmupProportion is the share of the steps over which the rate rises; nil: 0.1. WarmupSteps, if not nil, is their
	// number instead.
	WarmupProportion *float64  `json:"warmup_proportion,omitzero"`
	WarmupSteps      *int      `json:"warmup_steps,omitzero"`
	Optimizer        Optimizer `json:"optimizer,omitzero"`
	Schedule         Schedule  `json:"lr_schedule,omitzero"`
	WeightDecay      *float64  `json:"weight_decay,omitzero"`  // nil: 0.01
	ClipNorm         *float64  `json:"max_grad_norm,omitzero"` // the largest global norm of a gradient; 0: any; nil: 1
	Beta1            *float64  `json:"adam_beta1,omitzero"`    // nil: 0.9
	Beta2            *float64  `json:"adam_beta2,omitzero"`    // nil: 0.999
	Epsilon          float64   `json:"adam_epsilon,omitzero"`  // 0: the optimiser's own, 1e-6 (google, lamb) or 1e-8 (adamw)

	// Seed decides the order of the examples, unless NoShuffle is set, and the dropout; nil: 42.
	Seed *uint64 `json:"seed,omitzero"`

	// EvalSteps is the number of steps between two evaluations; 0: none but at the end of the run, which is always evaluated,
	// and with Options.EvalEpochs of each epoch.
	EvalSteps int `json:"eval_steps,omitzero"`
	// BestMetric chooses the model of the evaluation where this metric was best, the first of equals, instead of the last
	// model. It is a name of Evaluation.Metrics, of which more is better unless Options.Minimize is set; or "loss", of which
	// less is better.
	BestMetric string `json:"metric_for_best_model,omitzero"`
	// EarlyStop ends the run after this number of evaluations in a row without a better BestMetric; 0: never.
	EarlyStop int `json:"early_stopping_patience,omitzero"`

	// SaveSteps is the number of steps between two checkpoints, of which there is one at the end too; nil: 100. With 0 there
	// is one only when the run is interrupted, and of the best model.
	SaveSteps *int `json:"save_steps,omitzero"`
	// KeepCheckpoints is the number of checkpoints kept, the newest and beside them the best model's; 0: all; nil: 2.
	KeepCheckpoints *int `json:"keep_checkpoints,omitzero"`
	// LogSteps is the number of steps between two lines of the events, whose loss is the mean over them; 0: 10.
	LogSteps int `json:"log_steps,omitzero" zero:"at least 1"`
}

// WithDefaults is r with every default filled in that does not depend on another field: no pointer but WarmupSteps is nil. The
// pointers are not r's.
func (r Recipe) WithDefaults() Recipe {
	if r.BatchSize == 0 && r.TokenBudget == 0 {
		r.BatchSize = 32
	}
	fill(&r.Accumulation, 1)
	fill(&r.Epochs, 2)
	fill(&r.LearningRate, 2e-5)
	fill(&r.LogSteps, 10)
	point(&r.WarmupProportion, 0.1)
	point(&r.WeightDecay, 0.01)
	point(&r.ClipNorm, 1)
	point(&r.Beta1, 0.9)
	point(&r.Beta2, 0.999)
	point(&r.Seed, 42)
	point(&r.SaveSteps, 100)
	point(&r.KeepCheckpoints, 2)
	if r.WarmupSteps != nil {
		r.WarmupSteps = new(*r.WarmupSteps)
	}
	return r
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// point makes a field point to a copy of what it points to, or to the default value.
func point[T any](field **T, value T) {
	if *field != nil {
		value = **field
	}
	*field = &value
}

// UnmarshalJSON reads an object. See recipe.Unmarshal for what is an error.
func (r *Recipe) UnmarshalJSON(data []byte) error { return recipe.Unmarshal(data, r) }

// Set sets the field of a JSON key to a value written as text. See recipe.Set.
func (r *Recipe) Set(key, value string) error { return recipe.Set(r, key, value) }

// Validate reports the first value that is not valid, as a *recipe.Error.
func (r Recipe) Validate() error {
	given := r
	r = r.WithDefaults()
	for _, c := range []struct {
		key   string
		valid bool
		want  string
	}{
		{"max_steps", r.MaxSteps >= 0, "at least 1, or 0 for `num_train_epochs`"},
		{"num_train_epochs", r.MaxSteps > 0 || r.Epochs > 0 && r.Epochs <= 1e6, "more than 0 and at most a million"},
		{"train_batch_size", r.BatchSize >= 0 && r.BatchSize <= math.MaxInt32, "at least 1"},
		{"token_budget", r.TokenBudget >= 0 && r.TokenBudget <= math.MaxInt32, "at least 1"},
		{"token_budget", given.BatchSize == 0 || given.TokenBudget == 0, "none beside `train_batch_size`"},
		{"gradient_accumulation_steps", r.Accumulation >= 1 && r.Accumulation <= math.MaxInt32/max(r.BatchSize, r.TokenBudget, 1), "at least 1, and fewer than 2³¹ examples or tokens a step"},
		{"micro_batch_size", r.MicroBatchSize >= 0, "at least 1"},
		{"micro_batch_tokens", r.MicroBatchTokens >= 0, "at least 1"},
		{"parts", r.Parts >= 0 && r.Parts <= maxParts, "at most 65536, or 0 for as many as there are ranks"},
		{"reduce_precision", r.ReducePrecision.Trains(), "float32 or bf16"},
		{"reduce_precision", r.ReducePrecision == bert.Float32 || !r.FastReduce, "float32 beside `fast_reduce`"},
		{"no_shuffle", !r.NoShuffle || !r.GroupByLength, "none beside `group_by_length`"},
		{"optimizer", int(r.Optimizer) < len(optimizers), "one of " + strings.Join(optimizerNames(), ", ")},
		{"lr_schedule", int(r.Schedule) < len(scheduleNames), "one of " + strings.Join(scheduleNames[:], ", ")},
		{"learning_rate", r.LearningRate > 0 && r.LearningRate <= 1e3, "a small positive number"},
		{"weight_decay", *r.WeightDecay >= 0 && *r.WeightDecay < 1e3, "0 or a small positive number"},
		{"adam_beta1", *r.Beta1 >= 0 && *r.Beta1 < 1, "a number in [0, 1)"},
		{"adam_beta2", *r.Beta2 >= 0 && *r.Beta2 < 1, "a number in [0, 1)"},
		{"adam_epsilon", r.Epsilon >= 0 && r.Epsilon < 1, "a small positive number, or 0 for the optimizer's own"},
		{"max_grad_norm", *r.ClipNorm >= 0, "a positive number, or 0 for none"},
		{"warmup_proportion", *r.WarmupProportion >= 0 && *r.WarmupProportion <= 1, "a share in [0, 1]"},
		{"warmup_steps", r.WarmupSteps == nil || *r.WarmupSteps >= 0, "0 or more"},
		{"eval_steps", r.EvalSteps >= 0, "0 or more"},
		{"early_stopping_patience", r.EarlyStop >= 0, "0 or more"},
		{"early_stopping_patience", r.EarlyStop == 0 || r.BestMetric != "", "0, or a `metric_for_best_model` to watch"},
		{"save_steps", *r.SaveSteps >= 0, "0 or more"},
		{"keep_checkpoints", *r.KeepCheckpoints >= 0, "0 or more"},
		{"log_steps", r.LogSteps >= 1, "at least 1"},
	} {
		if !c.valid {
			return recipe.Wrong(&r, c.key, c.want)
		}
	}
	return nil
}

// The following are of a recipe with its defaults.

// stepExamples and stepTokens are the examples, or the most tokens, of a step; one of them is 0.
func (r *Recipe) stepExamples() int { return r.BatchSize * r.Accumulation }
func (r *Recipe) stepTokens() int   { return r.TokenBudget * r.Accumulation }

// microExamples and microTokens are the most that go through the model together; 0: any number.
func (r *Recipe) microExamples() int {
	if r.MicroBatchSize == 0 && r.Accumulation > 1 {
		return r.BatchSize
	}
	return r.MicroBatchSize
}

func (r *Recipe) microTokens() int {
	if r.MicroBatchTokens == 0 && r.Accumulation > 1 {
		return r.TokenBudget
	}
	return r.MicroBatchTokens
}
