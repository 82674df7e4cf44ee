package pretrain

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/train"
)

// Recipe is everything that decides the result of a pre-training (paper §3.1 and appendix A.2; google-research/bert
// run_pretraining.py). The least that it needs is Instances, and Config or Init.
//
// It is train.Recipe with other defaults: a learning rate of 5e-5, 100,000 steps unless Epochs or PhaseSteps say otherwise,
// and a checkpoint every 1,000. In JSON it is a flat object with the keys of the tags. A key that is not known or occurs twice
// is an error.
type Recipe struct {
	// Instances are the sets to train on, as Open takes them. The run has a phase for each, one after the other.
	Instances []string `json:"instances"`
	// PhaseSteps are the steps of each phase. One phase may do without.
	PhaseSteps []int `json:"phase_steps,omitempty"`

	// EvalInstances is the set to evaluate on; EvalShare, instead of it, the share of the last phase's instances that are
	// taken out at random to evaluate on (see Split). MaxEvalInstances, if not 0, takes that many of them, at equal distances.
	EvalInstances    string  `json:"eval_instances,omitzero"`
	EvalShare        float64 `json:"eval_share,omitzero"`
	MaxEvalInstances int     `json:"max_eval_instances,omitzero"`
	// Probe are texts with [MASK] in them, whose most probable tokens each evaluation records.
	Probe []string `json:"probe,omitempty"`

	// Config is the file of the configuration of a model that begins with random weights. Init is the model to begin with
	// instead; with both, they have to agree.
	Config string `json:"config,omitzero"`
	Init   string `json:"init,omitzero"`
	// AllowMissing lets tensors that Init lacks begin with random values, and leaves out those that are left over.
	AllowMissing bool           `json:"allow_missing,omitzero"`
	Precision    bert.Precision `json:"precision,omitzero"`

	// BatchSize is the number of instances of a batch, TokenBudget, instead of it, the most tokens: one number for all phases,
	// or one for each. Without either, a batch has 32 instances.
	BatchSize   PerPhase `json:"train_batch_size,omitempty"`
	TokenBudget PerPhase `json:"token_budget,omitempty"`
	// MaxSteps is the length of a run of one phase, instead of Epochs and PhaseSteps.
	MaxSteps int `json:"num_train_steps,omitzero"`

	// Training is the rest. Its BatchSize, TokenBudget and MaxSteps are not used: those above replace them.
	Training
}

// Training is the part of a Recipe that says how to train.
type Training = train.Recipe

// ReadRecipe reads a recipe from a JSON file. An error names the file and the line, and is a *recipe.Error or a
// *recipe.UnknownKeyError where a key is to blame. The recipe is not validated.
func ReadRecipe(file string) (Recipe, error) {
	var r Recipe
	err := recipe.ReadFile(file, &r)
	return r, err
}

// PerPhase is a number for all phases, or one for each. In JSON it is a number or a list of them.
type PerPhase []int

// MarshalJSON writes a number where there is one.
func (p PerPhase) MarshalJSON() ([]byte, error) {
	if len(p) == 1 {
		return json.Marshal(p[0])
	}
	return json.Marshal([]int(p))
}

// UnmarshalJSON reads a number or a list of numbers.
func (p *PerPhase) UnmarshalJSON(data []byte) error {
	var one int
	if json.Unmarshal(data, &one) == nil && string(data) != "null" {
		*p = PerPhase{one}
		return nil
	}
	return json.Unmarshal(data, (*[]int)(p))
}

// of is the number of a phase, 0 if there is none.
func (p PerPhase) of(phase int) int {
	switch len(p) {
	case 0:
		return 0
	case 1:
		return p[0]
	}
	return p[phase]
}

// The defaults of run_pretraining.py.
const (
	defaultLearningRate = 5e-5
	defaultSteps        = 100000
	defaultSaveSteps    = 1000
	defaultBatchSize    = 32
)

// WithDefaults is r with every default filled in that does not depend on another field.
func (r Recipe) WithDefaults() Recipe {
	if r.LearningRate == 0 {
		r.LearningRate = defaultLearningRate
	}
	if r.SaveSteps == nil {
		r.SaveSteps = new(defaultSaveSteps)
	}
	if len(r.BatchSize) == 0 && len(r.TokenBudget) == 0 {
		r.BatchSize = PerPhase{defaultBatchSize}
	}
	if r.MaxSteps == 0 && r.Epochs == 0 && len(r.PhaseSteps) == 0 {
		r.MaxSteps = defaultSteps
	}
	given := r.Training
	r.Training = r.Training.WithDefaults()
	r.Training.BatchSize, r.Epochs = given.BatchSize, given.Epochs
	return r
}

// training is what package train does in a recipe with its defaults.
func (r Recipe) training() train.Recipe {
	t := r.Training
	t.BatchSize, t.TokenBudget, t.MaxSteps = r.BatchSize.of(0), r.TokenBudget.of(0), r.MaxSteps
	for _, n := range r.PhaseSteps {
		t.MaxSteps += n
	}
	return t
}

// UnmarshalJSON reads an object. See recipe.Unmarshal for what is an error.
func (r *Recipe) UnmarshalJSON(data []byte) error { return recipe.Unmarshal(data, r) }

// Set sets the field of a JSON key to a value written as text. See recipe.Set.
func (r *Recipe) Set(key, value string) error { return recipe.Set(r, key, value) }

// Validate reports the first value that is not valid, as a *recipe.Error. It reads no file.
func (r Recipe) Validate() error {
	given := r
	r = r.WithDefaults()
	phases := len(r.Instances)
	evaluated := r.EvalInstances != "" || r.EvalShare != 0
	oneForEach := fmt.Sprintf("one for each of the %d sets of instances", phases)
	positive := func(list []int) bool { return len(list) == 0 || slices.Min(list) >= 1 }
	for _, c := range []struct {
		key   string
		valid bool
		want  string
	}{
		{"instances", phases > 0 && !slices.Contains(r.Instances, ""), "the folders of the instances to train on"},
		{"config", r.Config != "" || r.Init != "", "a configuration, or `init`, the model to begin with"},
		{"precision", r.Precision.Trains(), "float32 or bf16"},
		{"allow_missing", !r.AllowMissing || r.Init != "", "false without `init`"},
		{"phase_steps", phases < 2 || len(r.PhaseSteps) == phases, oneForEach},
		{"phase_steps", len(r.PhaseSteps) == 0 || len(r.PhaseSteps) == phases, oneForEach},
		{"phase_steps", positive(r.PhaseSteps), "positive numbers"},
		{"num_train_steps", r.MaxSteps >= 0, "at least 1"},
		{"num_train_steps", given.MaxSteps == 0 || len(r.PhaseSteps) == 0, "none beside `phase_steps`"},
		{"num_train_epochs", r.Epochs == 0 || r.MaxSteps == 0 && len(r.PhaseSteps) == 0, "none beside `num_train_steps` and `phase_steps`"},
		{"max_steps", r.Training.MaxSteps == 0, "none: the length of a pre-training is `num_train_steps`"},
		{"train_batch_size", len(r.BatchSize) < 2 || len(r.BatchSize) == phases, "one number, or " + oneForEach},
		{"train_batch_size", positive(r.BatchSize), "positive numbers"},
		{"token_budget", len(r.TokenBudget) == 0 || len(r.BatchSize) == 0, "none beside `train_batch_size`"},
		{"token_budget", len(r.TokenBudget) < 2 || len(r.TokenBudget) == phases, "one number, or " + oneForEach},
		{"token_budget", positive(r.TokenBudget), "positive numbers"},
		{"gradient_accumulation_steps", r.Accumulation <= 1 || len(r.BatchSize) < 2 && len(r.TokenBudget) < 2,
			"1 where phases have batches of their own: `micro_batch_tokens` saves memory too"},
		{"eval_share", r.EvalShare == 0 || r.EvalShare > 0 && r.EvalShare < 1, "a share in (0, 1)"},
		{"eval_share", r.EvalShare == 0 || r.EvalInstances == "", "none beside `eval_instances`"},
		{"max_eval_instances", r.MaxEvalInstances >= 0, "0 or more"},
		{"eval_steps", r.EvalSteps <= 0 || evaluated, "0 without instances to evaluate on: `eval_instances` or `eval_share`"},
		{"probe", len(r.Probe) == 0 || evaluated, "none without instances to evaluate on: `eval_instances` or `eval_share`"},
		{"metric_for_best_model", r.BestMetric == "" || evaluated, "none without instances to evaluate on: `eval_instances` or `eval_share`"},
	} {
		if !c.valid {
			return recipe.Wrong(&r, c.key, c.want)
		}
	}
	if r.Training.BatchSize != 0 || r.Training.TokenBudget != 0 {
		return &recipe.Error{Key: "train_batch_size", Value: "in Recipe.Training", Want: "Recipe.BatchSize or Recipe.TokenBudget"}
	}
	return r.training().Validate()
}

// checkMetric reports a metric to choose the model by that no evaluation of a model with the head has.
func (r Recipe) checkMetric(head bert.Head) error {
	sample := new(Evaluation)
	if head == bert.PreTraining {
		sample.NextSentence = new(NextSentence)
	}
	names := append([]string{train.LossMetric}, sample.Metrics().Names()...)
	if r.BestMetric != "" && !slices.Contains(names, r.BestMetric) {
		return recipe.Wrong(&r, "metric_for_best_model", "one of "+strings.Join(names, ", "))
	}
	return nil
}

// minimize says that less of the metric to choose the model by is better.
func (r Recipe) minimize() bool { return strings.HasSuffix(r.BestMetric, "_loss") }
