package train

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/recipe"
)

func TestRecipeValidate(t *testing.T) {
	if err := (Recipe{}).Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	if err := (Recipe{}).WithDefaults().Validate(); err != nil {
		t.Errorf("the defaults, filled in: %v", err)
	}
	for want, r := range map[string]Recipe{
		"num_train_epochs is -1":                    {Epochs: -1},
		"num_train_epochs is NaN":                   {Epochs: math.NaN()},
		"max_steps is -1":                           {MaxSteps: -1},
		"train_batch_size is -1":                    {BatchSize: -1},
		"token_budget is 9, want none beside":       {TokenBudget: 9, BatchSize: 9},
		"token_budget is -9":                        {TokenBudget: -9},
		"gradient_accumulation_steps is -1":         {Accumulation: -1},
		"gradient_accumulation_steps is 2000000000": {Accumulation: 2e9},
		"micro_batch_size is -1":                    {MicroBatchSize: -1},
		"micro_batch_tokens is -1":                  {MicroBatchTokens: -1},
		"learning_rate is -1, want a small":         {LearningRate: -1},
		"learning_rate is NaN":                      {LearningRate: math.NaN()},
		"adam_beta1 is 1":                           {Beta1: new(1.0)},
		"adam_beta2 is -1":                          {Beta2: new(-1.0)},
		"adam_epsilon is 1":                         {Epsilon: 1},
		"weight_decay is -0.5":                      {WeightDecay: new(-0.5)},
		"max_grad_norm is -1":                       {ClipNorm: new(-1.0)},
		"warmup_proportion is 1.5":                  {WarmupProportion: new(1.5)},
		"warmup_steps is -1":                        {WarmupSteps: new(-1)},
		"eval_steps is -1":                          {EvalSteps: -1},
		"early_stopping_patience is -2":             {EarlyStop: -2},
		"early_stopping_patience is 2, want 0, or a metric_for_best_model": {EarlyStop: 2},
		"optimizer is Optimizer(9), want one of google, adamw, lamb":       {Optimizer: 9},
		"lr_schedule is Schedule(9), want one of own, google":              {Schedule: 9},
		"save_steps is -1":       {SaveSteps: new(-1)},
		"keep_checkpoints is -1": {KeepCheckpoints: new(-1)},
		"log_steps is -1":        {LogSteps: -1},
		"parts is -1":            {Parts: -1},
		"parts is 100000":        {Parts: 1e5},
		"reduce_precision is int8, want float32 or bf16":            {ReducePrecision: bert.Int8},
		"reduce_precision is bf16, want float32 beside fast_reduce": {ReducePrecision: bert.BFloat16, FastReduce: true},
		"no_shuffle is true, want none beside group_by_length":      {NoShuffle: true, GroupByLength: true},
	} {
		err := r.Validate()
		wantError(t, err, want)
		var wrong *recipe.Error
		if !errors.As(err, &wrong) || !strings.HasPrefix(want, wrong.Key+" is "+wrong.Value) {
			t.Errorf("%v: error is %#v", want, err)
		}
	}
}

// A recipe as JSON has the keys that were set, and is read back the same.
func TestRecipeJSON(t *testing.T) {
	for text, r := range map[string]Recipe{
		`{}`: {},
		`{"train_batch_size":8,"num_train_epochs":3,"learning_rate":0.00002,"warmup_steps":0,"optimizer":"lamb","lr_schedule":"constant","weight_decay":0,"seed":0,"save_steps":0}`: {
			BatchSize: 8, Epochs: 3, LearningRate: 2e-5, WarmupSteps: new(0), Optimizer: LAMB, Schedule: Constant, WeightDecay: new(0.0),
			Seed: new(uint64(0)), SaveSteps: new(0),
		},
	} {
		if got := string(mustJSON(t, r)); got != text {
			t.Errorf("%+v is %s, want %s", r, got, text)
		}
		var back Recipe
		if err := json.Unmarshal([]byte(text), &back); err != nil || !reflect.DeepEqual(back, r) {
			t.Errorf("%s is read as %+v, %v", text, back, err)
		}
	}
	for text, want := range map[string]string{
		`{"learning_rat": 1}`:                `key "learning_rat" is not known`,
		`{"seed": 1, "seed": 1}`:             `key "seed" occurs twice`,
		`{"learning_rate": 0}`:               "learning_rate is 0, want a small positive number",
		`{"train_batch_size": 0}`:            "train_batch_size is 0, want at least 1",
		`{"num_train_epochs": "2"}`:          `num_train_epochs is "2", want a number`,
		`{"optimizer": "sgd"}`:               `optimizer is "sgd", want one of google, adamw, lamb`,
		`{"lr_schedule": "cosine"}`:          `lr_schedule is "cosine", want one of own, google, linear, constant`,
		`{"seed": -1}`:                       "seed is -1, want a whole number from 0 on",
		`{"group_by_length": 1, "seed": -1}`: "group_by_length is 1, want true or false",
	} {
		wantError(t, json.Unmarshal([]byte(text), new(Recipe)), want)
	}
}

// Filling in the defaults is idempotent and shares no memory, and accumulation does not grow.
func TestWithDefaults(t *testing.T) {
	r := Recipe{Accumulation: 4, BatchSize: 8, WarmupSteps: new(3)}
	once := r.WithDefaults()
	twice := once.WithDefaults()
	if !reflect.DeepEqual(once, twice) {
		t.Errorf("once %+v, twice %+v", once, twice)
	}
	if once.stepExamples() != 32 || once.microExamples() != 8 || once.stepTokens() != 0 || once.microTokens() != 0 {
		t.Errorf("a step has %d examples in parts of %d", once.stepExamples(), once.microExamples())
	}
	*twice.Seed, *twice.WarmupSteps = 1, 4
	if *once.Seed != 42 || *r.WarmupSteps != 3 {
		t.Error("a copy shares its pointers")
	}
}

// The fingerprints are those of checkpoints from before there were recipes, so that such runs can be resumed. Options then had the batch size of a step, accumulation included.
func TestRecipeFingerprint(t *testing.T) {
	for want, r := range map[string]Recipe{
		`{"batch_size":"32","best_metric":"","beta1":"0.9","beta2":"0.999","clip_norm":"1","epsilon":"1e-06","examples":"320","group_by_length":"false","learning_rate":"2e-05","micro_batch_size":"0","micro_batch_tokens":"0","optimizer":"google","schedule":"google","seed":"42","steps":"20","token_budget":"0","warmup_steps":"2","weight_decay":"0.01"}`: {},
		`{"batch_size":"16","best_metric":"loss","beta1":"0","beta2":"0.99","clip_norm":"0","early_stop":"3","epsilon":"1e-08","eval_epochs":"true","eval_steps":"5","examples":"320","group_by_length":"true","learning_rate":"0.001","micro_batch_size":"4","micro_batch_tokens":"0","minimize":"true","optimizer":"adamw","schedule":"constant","seed":"0","steps":"20","token_budget":"0","warmup_steps":"7","weight_decay":"0"}`: {
			BatchSize: 4, Accumulation: 4, LearningRate: 1e-3, GroupByLength: true, Optimizer: AdamW, Schedule: Constant, WarmupSteps: new(7),
			WeightDecay: new(0.0), ClipNorm: new(0.0), Beta1: new(0.0), Beta2: new(0.99), Seed: new(uint64(0)),
			BestMetric: "loss", EvalSteps: 5, EarlyStop: 3,
		},
		`{"batch_size":"0","best_metric":"","beta1":"0.9","beta2":"0.999","clip_norm":"1","epsilon":"1e-06","examples":"320","group_by_length":"false","learning_rate":"2e-05","micro_batch_size":"0","micro_batch_tokens":"100","optimizer":"lamb","schedule":"google","seed":"42","steps":"20","token_budget":"300","warmup_steps":"0","weight_decay":"0.01"}`: {
			TokenBudget: 100, Accumulation: 3, Optimizer: LAMB, WarmupProportion: new(0.0),
		},
		`{"batch_size":"32","best_metric":"","beta1":"0.9","beta2":"0.999","clip_norm":"1","epsilon":"1e-06","examples":"320","group_by_length":"false","learning_rate":"2e-05","micro_batch_size":"0","micro_batch_tokens":"0","no_shuffle":"true","optimizer":"google","schedule":"google","seed":"42","steps":"20","token_budget":"0","warmup_steps":"2","weight_decay":"0.01"}`:                   {NoShuffle: true},
		`{"batch_size":"32","best_metric":"","beta1":"0.9","beta2":"0.999","clip_norm":"1","epsilon":"1e-06","examples":"320","group_by_length":"false","learning_rate":"2e-05","micro_batch_size":"0","micro_batch_tokens":"0","optimizer":"google","parts":"4","reduce_precision":"bf16","schedule":"google","seed":"42","steps":"20","token_budget":"0","warmup_steps":"2","weight_decay":"0.01"}`: {Parts: 4, ReducePrecision: bert.BFloat16},
	} {
		o := Options{Recipe: r, EvalEpochs: true}.resolved()
		got, err := o.fingerprint(320, 20)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(mustJSON(t, got)); text != want {
			t.Errorf("%+v:\n%s\nwant\n%s", r, text, want)
		}
	}
}
