// Package train implements the training loop of BERT (Devlin et al. 2018, appendix A.2 and A.3; google-research/bert
// run_classifier.py and optimization.py; Hugging Face trainer.py). It is independent of tasks: [Data] supplies labelled
// examples, an [Evaluator] measures the model, and [Run] does everything else.
//
// A run writes to one folder:
//
//	events.jsonl               a line for the start, for every few steps, for each evaluation and for the end
//	events.out.tfevents.…      the same numbers for TensorBoard
//	checkpoints/step-N/        state.safetensors (parameters and moments), state.json (everything else)
//	config.json, model.…       the final model, written by Options.SaveModel
//
// A run is a function of the initial model, the data and the options. Batches and dropout depend only on (seed, step), so a run
// that is killed and resumed ends with the same bits as an uninterrupted one, on any number of threads.
package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/go-bert/bert"
)

// An Evaluator measures the model, usually on held-out data. When the context is cancelled it may return early with an error;
// the evaluation is then repeated when the run is resumed.
type Evaluator interface {
	Evaluate(ctx context.Context, m *bert.Model) (Evaluation, error)
}

// Evaluation is the result of an Evaluator.
type Evaluation struct {
	Metrics Metrics
	Loss    float64 // NaN if there is none
	// Stop ends the run after this evaluation, as Options.EarlyStop does. An Evaluator may set it if continuing is pointless,
	// for example in comparison with other runs.
	Stop bool
}

// Metrics are named numbers, in the order in which to display them. In JSON they are an object that keeps the order; a number
// that is not finite is null.
type Metrics []Metric

// Metric is a named measure of a model's quality.
type Metric struct {
	Name  string
	Value float64
}

// Get returns the value of the metric with the given name.
func (m Metrics) Get(name string) (value float64, ok bool) {
	for _, metric := range m {
		if metric.Name == name {
			return metric.Value, true
		}
	}
	return 0, false
}

// LossMetric is the name of Evaluation.Loss in Options.BestMetric.
const LossMetric = "loss"

// Options are the options of Run. Start with DefaultOptions.
type Options struct {
	// Output is the folder of the run. It is created if necessary.
	Output string
	// Resume continues from the newest checkpoint in Output, or starts the run if there is none. Without Resume, a folder that
	// contains a run is an error.
	Resume bool
	// Fingerprint holds values that must not change when the run is resumed, such as hashes of the data and of the initial
	// model. The options that affect the result are always compared.
	Fingerprint map[string]string

	// Epochs is the number of passes over the data. MaxSteps, if not 0, is the length of the run instead.
	Epochs   float64
	MaxSteps int
	// BatchSize is the number of examples of a step, TokenBudget the maximal number of tokens. Exactly one of them is not 0.
	BatchSize, TokenBudget int
	// GroupByLength puts examples of similar length into the same batch.
	GroupByLength bool
	// MicroBatchSize and MicroBatchTokens limit the examples and tokens that are processed together; 0 means no limit. A larger
	// batch is processed in parts whose gradients are added (gradient accumulation): this needs less memory and gives the
	// gradient of the whole batch.
	MicroBatchSize, MicroBatchTokens int
	// Seed determines the order of the examples and the dropout.
	Seed uint64

	Optimizer    Optimizer
	Schedule     Schedule
	LearningRate float64 // at the peak
	WeightDecay  float64
	Beta1, Beta2 float64
	Epsilon      float64 // 0 means the optimiser's default: 1e-6 (google, lamb) or 1e-8 (adamw)
	ClipNorm     float64 // the maximal global norm of a gradient; 0 means no limit
	// WarmupProportion is the share of the steps over which the rate rises. WarmupSteps, if not 0, is their number instead.
	WarmupProportion float64
	WarmupSteps      int

	// EvalSteps evaluates after every EvalSteps steps (0: never), EvalEpochs at the end of each epoch. The final model is always
	// evaluated.
	EvalSteps  int
	EvalEpochs bool
	// BestMetric selects the model whose evaluation has the best value of this metric (the first if several are equal), instead
	// of the last model. It is the name of one of Evaluation.Metrics, where greater is better unless Minimize is set; or "loss",
	// where less is better.
	BestMetric string
	Minimize   bool
	// EarlyStop ends the run after this many consecutive evaluations without a better BestMetric; 0 means never.
	EarlyStop int

	// SaveSteps writes a checkpoint after every SaveSteps steps and at the end. If it is 0, checkpoints are written only of the
	// best model and when the run is interrupted.
	SaveSteps int
	// KeepCheckpoints is the number of newest checkpoints to keep, in addition to that of the best model; 0 means all.
	KeepCheckpoints int
	// LogSteps is the number of steps between two lines of the events; the loss of a line is the mean over these steps.
	LogSteps int

	// Operations, if not nil, counts the floating-point operations of a step's batches, forward and backward. Peak is the
	// machine's maximum per second. They are used only for the speed and the share of the peak in Stepped.
	Operations func(batches []*bert.Batch) float64
	Peak       float64

	// Report, if not nil, is called with each event, on the goroutine of Run.
	Report func(Event)
	// SaveModel, if not nil, writes the model directory at the end: weights, tokenizer and other files.
	SaveModel func(dir string) error
}

// DefaultOptions returns options for Google's optimiser with batches of 32, a rate of 2e-5 and a warm-up over a tenth of the
// steps, for 2 epochs (paper, appendix A.3), with a checkpoint every 100 steps and an evaluation at the end.
func DefaultOptions() Options {
	return Options{
		Epochs: 2, BatchSize: 32, Seed: 42,
		LearningRate: 2e-5, WeightDecay: 0.01, Beta1: 0.9, Beta2: 0.999, ClipNorm: 1, WarmupProportion: 0.1,
		SaveSteps: 100, KeepCheckpoints: 2, LogSteps: 10,
	}
}

// Validate returns an error for the first invalid option.
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
		{o.BatchSize > 0 && o.TokenBudget > 0, "there are both a batch size and a token budget: want one of them"},
		{o.MicroBatchSize < 0, fmt.Sprintf("the micro-batch size is %d, want at least 1", o.MicroBatchSize)},
		{o.MicroBatchTokens < 0, fmt.Sprintf("the token limit of a micro-batch is %d, want at least 1", o.MicroBatchTokens)},
		{int(o.Optimizer) >= len(optimizers), fmt.Sprintf("there is no %v", o.Optimizer)},
		{int(o.Schedule) >= len(scheduleNames), fmt.Sprintf("there is no %v", o.Schedule)},
		{!(o.LearningRate > 0 && o.LearningRate <= 1e3), fmt.Sprintf("the learning rate is %v, want a small positive number", o.LearningRate)},
		{!(o.WeightDecay >= 0 && o.WeightDecay < 1e3), fmt.Sprintf("the weight decay is %v, want 0 or a small positive number", o.WeightDecay)},
		{!(o.Beta1 >= 0 && o.Beta1 < 1), fmt.Sprintf("β1 is %v, want a number in [0, 1)", o.Beta1)},
		{!(o.Beta2 >= 0 && o.Beta2 < 1), fmt.Sprintf("β2 is %v, want a number in [0, 1)", o.Beta2)},
		{!(o.Epsilon >= 0 && o.Epsilon < 1), fmt.Sprintf("ε is %v, want a small positive number, or 0 for the optimiser's default", o.Epsilon)},
		{!(o.ClipNorm >= 0), fmt.Sprintf("the norm to clip at is %v, want a positive number, or 0 for no limit", o.ClipNorm)},
		{!(o.WarmupProportion >= 0 && o.WarmupProportion <= 1), fmt.Sprintf("the proportion of warm-up steps is %v, want a number in [0, 1]", o.WarmupProportion)},
		{o.WarmupSteps < 0, fmt.Sprintf("the number of warm-up steps is %d, want 0 or more", o.WarmupSteps)},
		{o.EvalSteps < 0, fmt.Sprintf("the number of steps between evaluations is %d, want 0 or more", o.EvalSteps)},
		{o.EarlyStop < 0, fmt.Sprintf("the number of evaluations for an early stop is %d, want 0 or more", o.EarlyStop)},
		{o.EarlyStop > 0 && o.BestMetric == "", "an early stop needs a metric to watch"},
		{o.Minimize && o.BestMetric == "", "there is no metric to minimise"},
		{o.SaveSteps < 0, fmt.Sprintf("the number of steps between checkpoints is %d, want 0 or more", o.SaveSteps)},
		{o.KeepCheckpoints < 0, fmt.Sprintf("the number of checkpoints to keep is %d, want 0 or more", o.KeepCheckpoints)},
		{o.LogSteps < 1, fmt.Sprintf("the number of steps between log lines is %d, want at least 1", o.LogSteps)},
	} {
		if c.wrong {
			return errors.New(c.text)
		}
	}
	return nil
}

// fingerprint returns the values, by name, that must not change when a run is resumed.
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
	// The evaluations affect the result only if they select the model.
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
	return fmt.Errorf("the caller's fingerprint uses the name %q, which is reserved", name)
}

func formatFloat(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func (o *Options) minimize() bool { return o.Minimize || o.BestMetric == LossMetric }

// measure returns the number by which the best model is selected.
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
	return 0, fmt.Errorf("there is no metric %q to select the best model by, want one of %s", o.BestMetric, names)
}

// Result is the result of a run.
type Result struct {
	Steps    int     `json:"step"`  // including those before a resumption
	Epochs   float64 `json:"epoch"` // passes over the data
	Examples int64   `json:"examples"`
	Tokens   int64   `json:"tokens"`
	// Loss is the mean of the steps' losses.
	Loss float64 `json:"loss"`
	// StoppedEarly says that Options.EarlyStop or Evaluation.Stop ended the run.
	StoppedEarly bool `json:"stopped_early"`
	// ModelStep is the step of the resulting model: the best one if Options.BestMetric is set, otherwise the last.
	ModelStep int `json:"model_step"`
	// Evaluation is the evaluation of that model; nil without an Evaluator.
	Evaluation *Evaluation `json:"evaluation,omitempty"`
}

// Run trains m. Afterwards m holds the resulting model: the last one or, with Options.BestMetric, the best.
//
// When ctx is cancelled, Run finishes the step, writes a checkpoint and returns an *InterruptedError. A loss or a gradient that
// is not finite is a *NonFiniteError, and resuming a run that has ended a *FinishedError. After any error the earlier
// checkpoints are intact, and m holds the parameters of some step.
//
// The folder is locked while a run writes to it. eval may be nil.
func Run(ctx context.Context, m *bert.Model, data Data, eval Evaluator, o Options) (Result, error) {
	// The precision affects the bits just as the options do.
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

// InterruptedError reports that a run was interrupted, and the checkpoint from which it can be resumed.
type InterruptedError struct {
	Step, Steps int
	Checkpoint  string // its folder
	Cause       error  // the cause of the context's cancellation
}

func (e *InterruptedError) Error() string {
	return fmt.Sprintf("interrupted after step %d of %d and saved in %s: resume the run to continue", e.Step, e.Steps, e.Checkpoint)
}

func (e *InterruptedError) Unwrap() error { return e.Cause }

// NonFiniteError reports that the loss or the gradient of a step is infinite or not a number. The parameters were not updated.
type NonFiniteError struct {
	Step           int // counted from 1
	Loss, GradNorm float64
	Examples       []int  // in the batch
	Checkpoint     string // the folder of the newest checkpoint, or ""
}

func (e *NonFiniteError) Error() string {
	what := fmt.Sprintf("loss is %v", e.Loss)
	if !math.IsNaN(e.Loss) && !math.IsInf(e.Loss, 0) {
		what = fmt.Sprintf("loss is %v, but the norm of its gradient is %v", e.Loss, e.GradNorm)
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
	return fmt.Sprintf("step %d: %s; the batch consists of examples %s; %s. Check these examples, or try a lower learning rate", e.Step, what, examples, last)
}

// FinishedError reports that there is nothing to resume, because the run in the folder has ended.
type FinishedError struct {
	Output string
	Result Result // the result of that run
}

func (e *FinishedError) Error() string {
	return fmt.Sprintf("%s: the run in this folder has ended at step %d: there is nothing to resume", e.Output, e.Result.Steps)
}
