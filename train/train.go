// Package train is the training loop of BERT (Devlin et al. 2018, appendix A.2 and A.3; google-research/bert
// run_classifier.py and optimization.py; Hugging Face trainer.py). It knows no task: [Data] gives it labelled examples,
// an [Evaluator] says how good the model is, and [Run] does what is between.
//
// A run writes into one folder:
//
//	events.jsonl               a line for the start, for every few steps, for each evaluation and for the end
//	events.out.tfevents.…      the same numbers for TensorBoard
//	checkpoints/step-N/        state.safetensors (parameters and moments), state.json (the rest)
//	config.json, model.…       the model at the end, by Options.SaveModel
//
// A run is a function of the model it begins with, the data and the options. Batches and dropout depend on (seed, step)
// alone, so a run that is killed and resumed gives the same bits as one that is not, on any number of threads.
package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/metric"
)

// Evaluator says how good the model is, usually on held-out data. When the context is cancelled it may stop early with
// an error; the evaluation is then made again when the run is resumed.
type Evaluator interface {
	Evaluate(ctx context.Context, m *bert.Model) (Evaluation, error)
}

// Evaluation is what an Evaluator found.
type Evaluation struct {
	Metrics metric.Metrics
	Loss    float64 // NaN where there is none
	// Stop ends the run with this evaluation, as Options.EarlyStop does: the Evaluator knows that there is no use in going
	// on, for instance beside other runs.
	Stop bool
}

// LossMetric is the name of Evaluation.Loss in Options.BestMetric.
const LossMetric = "loss"

// Options say how to train. Begin with DefaultOptions.
type Options struct {
	// Output is the folder of the run; it is made if it is not there.
	Output string
	// Resume goes on from the newest checkpoint in Output, or begins where there is none. Without it, a folder with a run
	// in it is an error.
	Resume bool
	// Fingerprint holds what the caller wants to be the same when the run is resumed, beside the options that are
	// compared anyway: hashes of the data and of the model it began with, for instance.
	Fingerprint map[string]string

	// Epochs is how often the data is gone through. MaxSteps, if not 0, is the length of the run instead.
	Epochs   float64
	MaxSteps int
	// BatchSize is the number of examples of a step; TokenBudget, instead of it, the most tokens. One of them is 0.
	BatchSize, TokenBudget int
	// GroupByLength puts examples of like length into the same batch.
	GroupByLength bool
	// MicroBatchSize and MicroBatchTokens are the most examples and tokens that go through the model together; 0 is no
	// limit. A larger batch goes through in parts whose gradients are added, which needs less memory and gives the
	// gradient of the whole (gradient accumulation).
	MicroBatchSize, MicroBatchTokens int
	// Seed decides the order of the examples and the dropout.
	Seed uint64

	Optimizer    Optimizer
	Schedule     Schedule
	LearningRate float64 // the peak
	WeightDecay  float64
	Beta1, Beta2 float64
	Epsilon      float64 // 0: the optimiser's own, 1e-6 (google) or 1e-8 (adamw)
	ClipNorm     float64 // the largest global norm of a gradient; 0: any
	// WarmupProportion is the share of the steps over which the rate rises. WarmupSteps, if not 0, is their number instead.
	WarmupProportion float64
	WarmupSteps      int

	// EvalSteps evaluates every so many steps (0: never), EvalEpochs at the end of each epoch. The end of the run is always
	// evaluated.
	EvalSteps  int
	EvalEpochs bool
	// BestMetric chooses the model of the evaluation where this metric was best, the first of equals, instead of the last
	// model. It is a name of Evaluation.Metrics, of which more is better unless Minimize is set; or "loss", of which less
	// is better.
	BestMetric string
	Minimize   bool
	// EarlyStop ends the run after so many evaluations in a row without a better BestMetric; 0: never.
	EarlyStop int

	// SaveSteps writes a checkpoint every so many steps and at the end. With 0 there is one only when the run is
	// interrupted, and of the best model.
	SaveSteps int
	// KeepCheckpoints is the number of checkpoints kept, the newest and beside them the best model's; 0: all.
	KeepCheckpoints int
	// LogSteps is the number of steps between two lines of the events; the loss of a line is the mean over them.
	LogSteps int

	// Operations, if not nil, counts the floating-point operations of a step's batches, forward and backward. Peak is how
	// many a second the machine can do at most. They are for Stepped alone, which tells what share of the peak the run reaches.
	Operations func(batches []*bert.Batch) float64
	Peak       float64

	// Report, if not nil, is told what happens, on the goroutine of Run.
	Report func(Event)
	// SaveModel, if not nil, writes the model directory at the end: weights, tokenizer, and what else belongs to it.
	SaveModel func(dir string) error
}

// DefaultOptions are Google's optimiser with batches of 32, a rate of 2e-5 and a warm-up of a tenth, for 2 epochs (paper
// appendix A.3), a checkpoint every 100 steps, and an evaluation at the end.
func DefaultOptions() Options {
	return Options{
		Epochs: 2, BatchSize: 32, Seed: 42,
		LearningRate: 2e-5, WeightDecay: 0.01, Beta1: 0.9, Beta2: 0.999, ClipNorm: 1, WarmupProportion: 0.1,
		SaveSteps: 100, KeepCheckpoints: 2, LogSteps: 10,
	}
}

// Validate reports the first thing wrong with o.
func (o *Options) Validate() error {
	for _, c := range []struct {
		wrong bool
		text  string
	}{
		{o.Output == "", "there is no output folder"},
		{o.MaxSteps < 0, fmt.Sprintf("the number of steps is %d, want at least 1", o.MaxSteps)},
		{o.MaxSteps == 0 && !(o.Epochs > 0 && o.Epochs <= 1e6), fmt.Sprintf("the number of epochs is %v, want more than 0 and at most a million", o.Epochs)},
		{o.BatchSize < 0 || o.BatchSize > math.MaxInt32, fmt.Sprintf("the batch size is %d, want at least 1", o.BatchSize)},
		{o.TokenBudget < 0 || o.TokenBudget > math.MaxInt32, fmt.Sprintf("the token budget is %d, want at least 1", o.TokenBudget)},
		{o.BatchSize == 0 && o.TokenBudget == 0, "there is neither a batch size nor a token budget"},
		{o.BatchSize > 0 && o.TokenBudget > 0, "there is both a batch size and a token budget: want one of them"},
		{o.MicroBatchSize < 0, fmt.Sprintf("the micro-batch size is %d, want at least 1", o.MicroBatchSize)},
		{o.MicroBatchTokens < 0, fmt.Sprintf("the micro-batch's tokens are %d, want at least 1", o.MicroBatchTokens)},
		{int(o.Optimizer) >= len(optimizers), fmt.Sprintf("there is no %v", o.Optimizer)},
		{int(o.Schedule) >= len(scheduleNames), fmt.Sprintf("there is no %v", o.Schedule)},
		{!(o.LearningRate > 0 && o.LearningRate <= 1e3), fmt.Sprintf("the learning rate is %v, want a small positive number", o.LearningRate)},
		{!(o.WeightDecay >= 0 && o.WeightDecay < 1e3), fmt.Sprintf("the weight decay is %v, want 0 or a small positive number", o.WeightDecay)},
		{!(o.Beta1 >= 0 && o.Beta1 < 1), fmt.Sprintf("β1 is %v, want a number in [0, 1)", o.Beta1)},
		{!(o.Beta2 >= 0 && o.Beta2 < 1), fmt.Sprintf("β2 is %v, want a number in [0, 1)", o.Beta2)},
		{!(o.Epsilon >= 0 && o.Epsilon < 1), fmt.Sprintf("ε is %v, want a small positive number, or 0 for the optimiser's own", o.Epsilon)},
		{!(o.ClipNorm >= 0), fmt.Sprintf("the norm to clip at is %v, want a positive number, or 0 for none", o.ClipNorm)},
		{!(o.WarmupProportion >= 0 && o.WarmupProportion <= 1), fmt.Sprintf("the warm-up's proportion is %v, want a share in [0, 1]", o.WarmupProportion)},
		{o.WarmupSteps < 0, fmt.Sprintf("the warm-up's steps are %d, want 0 or more", o.WarmupSteps)},
		{o.EvalSteps < 0, fmt.Sprintf("the steps between evaluations are %d, want 0 or more", o.EvalSteps)},
		{o.EarlyStop < 0, fmt.Sprintf("the evaluations to stop after are %d, want 0 or more", o.EarlyStop)},
		{o.EarlyStop > 0 && o.BestMetric == "", "stopping early needs the metric to watch"},
		{o.Minimize && o.BestMetric == "", "there is no metric to minimise"},
		{o.SaveSteps < 0, fmt.Sprintf("the steps between checkpoints are %d, want 0 or more", o.SaveSteps)},
		{o.KeepCheckpoints < 0, fmt.Sprintf("the number of checkpoints to keep is %d, want 0 or more", o.KeepCheckpoints)},
		{o.LogSteps < 1, fmt.Sprintf("the steps between lines of the log are %d, want at least 1", o.LogSteps)},
	} {
		if c.wrong {
			return errors.New(c.text)
		}
	}
	return nil
}

// fingerprint is what has to be the same when a run is resumed, by name.
func (o *Options) fingerprint(examples, steps int) (map[string]string, error) {
	f := map[string]string{
		"examples":           strconv.Itoa(examples),
		"steps":              strconv.Itoa(steps),
		"batch_size":         strconv.Itoa(o.BatchSize),
		"token_budget":       strconv.Itoa(o.TokenBudget),
		"group_by_length":    strconv.FormatBool(o.GroupByLength),
		"micro_batch_size":   strconv.Itoa(o.MicroBatchSize),
		"micro_batch_tokens": strconv.Itoa(o.MicroBatchTokens),
		"seed":               strconv.FormatUint(o.Seed, 10),
		"optimizer":          o.Optimizer.String(),
		"schedule":           o.schedule().String(),
		"learning_rate":      formatFloat(o.LearningRate),
		"weight_decay":       formatFloat(o.WeightDecay),
		"beta1":              formatFloat(o.Beta1),
		"beta2":              formatFloat(o.Beta2),
		"epsilon":            formatFloat(o.epsilon()),
		"clip_norm":          formatFloat(o.ClipNorm),
		"warmup_steps":       strconv.Itoa(o.warmup(steps)),
		"best_metric":        o.BestMetric,
	}
	// Only where a model is chosen does it matter to the result when it is evaluated.
	if o.BestMetric != "" {
		f["minimize"] = strconv.FormatBool(o.minimize())
		f["eval_steps"] = strconv.Itoa(o.EvalSteps)
		f["eval_epochs"] = strconv.FormatBool(o.EvalEpochs)
		f["early_stop"] = strconv.Itoa(o.EarlyStop)
	}
	for name, value := range o.Fingerprint {
		if _, taken := f[name]; taken {
			return nil, takenName(name)
		}
		f[name] = value
	}
	return f, nil
}

// precisionKey is the name of the model's precision in the fingerprint.
const precisionKey = "precision"

func takenName(name string) error {
	return fmt.Errorf("the caller's fingerprint has the name %q, which is that of an option", name)
}

func formatFloat(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func (o *Options) minimize() bool { return o.Minimize || o.BestMetric == LossMetric }

// measure is the number by which the best model is chosen.
func (o *Options) measure(e Evaluation) (float64, error) {
	if v, ok := e.Metrics.Get(o.BestMetric); ok {
		return v, nil
	}
	if o.BestMetric == LossMetric {
		return e.Loss, nil
	}
	names := LossMetric
	for _, m := range e.Metrics {
		names += ", " + m.Name
	}
	return 0, fmt.Errorf("there is no metric %q to choose the best model by, only %s", o.BestMetric, names)
}

// Result is how a run ended.
type Result struct {
	Steps    int     `json:"step"`  // made, those before a resumption among them
	Epochs   float64 `json:"epoch"` // gone through
	Examples int64   `json:"examples"`
	Tokens   int64   `json:"tokens"`
	// Loss is the mean of the steps' losses.
	Loss float64 `json:"loss"`
	// StoppedEarly says that Options.EarlyStop or Evaluation.Stop ended the run.
	StoppedEarly bool `json:"stopped_early"`
	// ModelStep is the step whose model the run gave: the best one's if Options.BestMetric is set, otherwise the last.
	ModelStep int `json:"model_step"`
	// Evaluation is that of the model; nil without an Evaluator.
	Evaluation *Evaluation `json:"evaluation,omitempty"`
}

// Run trains m. At its end m holds the model that the run gave: the last, or with Options.BestMetric the best.
//
// When ctx is cancelled, Run finishes the step, writes a checkpoint and returns an *InterruptedError. A loss or a gradient
// that is not finite gives a *NonFiniteError, and a run to be resumed that has ended before a *FinishedError. After any
// error the checkpoints written before are whole, and m holds the parameters of some step.
//
// A folder is locked while a run writes into it. eval may be nil.
func Run(ctx context.Context, m *bert.Model, data Data, eval Evaluator, o Options) (Result, error) {
	// The precision decides the bits as much as any option does.
	precision, _ := m.Precision()
	fingerprint := map[string]string{precisionKey: precision.String()}
	for name, value := range o.Fingerprint {
		if name == precisionKey {
			return Result{}, takenName(name)
		}
		fingerprint[name] = value
	}
	o.Fingerprint = fingerprint

	var evaluate func(context.Context) (Evaluation, error)
	if eval != nil {
		evaluate = func(ctx context.Context) (Evaluation, error) { return eval.Evaluate(ctx, m) }
	}
	newTrainer := func() (trainer, error) {
		t, err := m.NewTrainer()
		if err != nil {
			return nil, err // not a nil *bert.Trainer in an interface
		}
		return t, nil
	}
	return start(ctx, newTrainer, data, evaluate, o)
}

// InterruptedError says that a run was interrupted and where it can go on.
type InterruptedError struct {
	Step, Steps int
	Checkpoint  string // the folder it was saved in
	Cause       error  // of the context
}

func (e *InterruptedError) Error() string {
	return fmt.Sprintf("interrupted after step %d of %d and saved in %s: resume the run to go on from there", e.Step, e.Steps, e.Checkpoint)
}

func (e *InterruptedError) Unwrap() error { return e.Cause }

// NonFiniteError says that the loss or the gradient of a step was infinite or not a number. The step was not made.
type NonFiniteError struct {
	Step           int // counted from 1
	Loss, GradNorm float64
	Examples       []int  // of the batch
	Checkpoint     string // the folder of the newest one, or ""
}

func (e *NonFiniteError) Error() string {
	what := fmt.Sprintf("loss is %v", e.Loss)
	if !math.IsNaN(e.Loss) && !math.IsInf(e.Loss, 0) {
		what = fmt.Sprintf("loss is %v, but the norm of its gradient %v", e.Loss, e.GradNorm)
	}
	const most = 64
	examples := fmt.Sprint(e.Examples)
	if n := len(e.Examples); n > most {
		examples = fmt.Sprintf("%v and %d more", e.Examples[:most], n-most)
	}
	last := "there is no checkpoint yet"
	if e.Checkpoint != "" {
		last = "the last checkpoint is " + e.Checkpoint
	}
	return fmt.Sprintf("step %d: %s; the batch is examples %s; %s. Look at these examples, or try a lower learning rate", e.Step, what, examples, last)
}

// FinishedError says that there was nothing to resume, because the run in the folder had ended.
type FinishedError struct {
	Output string
	Result Result // of that run
}

func (e *FinishedError) Error() string {
	return fmt.Sprintf("%s: the run in this folder ended at step %d: there is nothing to resume", e.Output, e.Result.Steps)
}
