// Package train implements the training loop of BERT (Devlin et al. 2018, appendix A.2 and A.3; google-research/bert
// run_classifier.py and optimization.py; Hugging Face trainer.py). It is independent of tasks: [Data] supplies labelled
// examples, an [Evaluator] measures the model, and [Run] does everything else.
//
// A run writes to one folder:
//
//	events.jsonl               a line for the start, for every few steps, for each evaluation and for the end
//	resumptions.jsonl          a line for each time that the run was resumed
//	events.out.tfevents.…      the same numbers for TensorBoard
//	checkpoints/step-N/        state.safetensors (parameters and moments), state.json (everything else)
//	config.json, model.…       the final model, written by Options.SaveModel
//
// A run is a function of the initial model, the data and the options. Batches and dropout depend only on (seed, step), so a run
// that is killed and resumed ends with the same bits as an uninterrupted one, on any number of threads.
//
// Processes share a run by a [Group]: see Options.Group. Recipe.Parts divides each step into parts, whose gradients are added up
// along one tree, so that the bits do not depend on how many processes there are either. Rank 0 alone writes to the folder.
package train

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/recipe"
)

// An Evaluator measures the model, usually on held-out data. When the context is cancelled it may return early with an error;
// the evaluation is then repeated when the run is resumed.
type Evaluator interface {
	Evaluate(ctx context.Context, m *bert.Model, at Point) (Evaluation, error)
}

// Point is where in a run an evaluation is made.
type Point struct {
	Step  int     // steps made
	Epoch float64 // how far into the data
	// Progress tells the run's Observer how many examples of how many have been evaluated. Calling it is optional.
	Progress func(done, all int)
	// Share, if not nil, is this process's part in the evaluation: all ranks of the group make it, and each may compute a share of it, as long
	// as all find the same Evaluation. An Evaluator that takes no notice computes the whole on each rank.
	Share *Share
}

// Evaluation is the result of an Evaluator.
type Evaluation struct {
	Metrics metric.Metrics
	Loss    float64 // NaN where there is none
	// Stop ends the run with this evaluation, as Recipe.EarlyStop may. Options.Stop sets it too.
	Stop bool
	// Details are what else the Evaluator found, as JSON for its line in events.jsonl; nil: nothing. They decide nothing, and neither
	// checkpoints nor a Result have them.
	Details json.RawMessage
}

// LossMetric is the name of Evaluation.Loss in Recipe.BestMetric.
const LossMetric = "loss"

// Options say how Run trains: the Recipe decides the result, and the rest where it goes and who hears of it.
type Options struct {
	Recipe

	// Output is the folder of the run; it is made if it is not there.
	Output string
	// Resume continues from the newest checkpoint in Output, or starts the run if there is none. Without Resume, a folder that
	// contains a run is an error.
	Resume bool
	// Group, if not nil, is the processes that share the run: each calls Run with its rank of the group, and with the same options, data
	// and model. The folder is rank 0's alone, and so are Begin, SaveResults, SaveModel, Missing, Stop and what is remarked: they are not called
	// on the others, which need not see the folder. The Observer of each rank hears of the run. What happens to one rank
	// happens to all: the context of any of them interrupts the run after the same step, and an error of one ends it, as a *RankError on
	// the others. A group that fails itself, as when a process is lost, is a *GroupError: then the run is resumed from a checkpoint.
	Group Group

	// Fingerprint holds what the caller wants to be the same when the run is resumed, beside the recipe, which is
	// compared anyway: hashes of the data and of the model it began with, for instance.
	Fingerprint map[string]string
	// Remarks are what else the first line of events.jsonl is to say beside the options. Nothing compares them.
	Remarks map[string]string

	// EvalEpochs evaluates at the end of each epoch.
	EvalEpochs bool
	// Minimize says that less of Recipe.BestMetric is better. Of LossMetric it always is.
	Minimize bool

	// Operations, if not nil, counts the floating-point operations of a step's batches, forward and backward. Peak is how
	// many a second the machine can do at most. They are for Stepped alone, which gives the share of the peak that the run
	// reaches.
	Operations func(batches []*bert.Batch) float64
	Peak       float64

	// Observer, if not nil, hears what happens.
	Observer Observer
	// Stop, if not nil, is asked after each evaluation whether the run ends with it, as Recipe.EarlyStop may decide too: for
	// instance because other runs are better. Its answer is kept in Evaluation.Stop.
	Stop func(Evaluated) bool
	// AllowOtherKernels resumes a run whose steps were computed by kernels with other bits, as another processor has them:
	// see KernelsError.
	AllowOtherKernels bool
	// Begin, if not nil, is called once the folder is there, locked and known to be this run's, to write what belongs beside
	// the events. An error ends the run.
	Begin func(dir string) error
	// SaveResults, if not nil, writes at the end what the run found out: evaluations, for instance. Then SaveModel, if not
	// nil, writes the model directory: weights, tokenizer, and what else belongs to it. A run has ended when both are done:
	// if it dies before, resuming it calls both again, with the same model and result.
	SaveResults func(ctx context.Context, dir string, r Result) error
	SaveModel   func(dir string) error
	// Missing, if not nil, says what of the files of SaveResults and SaveModel is not in dir, "" if nothing. It is asked when a
	// run that has ended is resumed. If something is missing, the end of the run is made again.
	Missing func(dir string) string

	digest func() (string, error) // of the model to begin with, which ranks compare
	chunk  int                    // the parameters that ranks exchange together; 0: chunkElements. For tests.
}

// Validate reports the first thing wrong with o. Of the recipe that is a *recipe.Error.
func (o *Options) Validate() error {
	if err := o.Recipe.Validate(); err != nil {
		return err
	}
	switch {
	case o.Output == "":
		return errors.New("there is no output folder")
	case o.Minimize && o.BestMetric == "":
		return errors.New("there is no metric to minimise")
	}
	return nil
}

// resolved is o with the defaults of its recipe filled in. The loop and its parts see only such options.
func (o Options) resolved() Options {
	o.Recipe = o.Recipe.WithDefaults()
	return o
}

// fingerprint is what has to be the same when a run is resumed, by name. The names and values are in the checkpoints of
// runs that began before there were recipes: they say what happens in a step, whichever keys asked for it.
func (o *Options) fingerprint(examples, steps int) (map[string]string, error) {
	f := map[string]string{
		"examples":           strconv.Itoa(examples),
		"steps":              strconv.Itoa(steps),
		"batch_size":         strconv.Itoa(o.stepExamples()),
		"token_budget":       strconv.Itoa(o.stepTokens()),
		"group_by_length":    strconv.FormatBool(o.GroupByLength),
		"micro_batch_size":   strconv.Itoa(o.microExamples()),
		"micro_batch_tokens": strconv.Itoa(o.microTokens()),
		"seed":               strconv.FormatUint(*o.Seed, 10),
		"optimizer":          o.Optimizer.String(),
		"schedule":           o.schedule().String(),
		"learning_rate":      formatFloat(o.LearningRate),
		"weight_decay":       formatFloat(*o.WeightDecay),
		"beta1":              formatFloat(*o.Beta1),
		"beta2":              formatFloat(*o.Beta2),
		"epsilon":            formatFloat(o.epsilon()),
		"clip_norm":          formatFloat(*o.ClipNorm),
		"warmup_steps":       strconv.Itoa(o.warmup(steps)),
		"best_metric":        o.BestMetric,
	}
	// Steps in one part are those of earlier runs.
	if o.Parts > 1 {
		f["parts"] = strconv.Itoa(o.Parts)
		if o.FastReduce {
			f["fast_reduce"] = "true"
		}
		if o.ReducePrecision != bert.Float32 {
			f["reduce_precision"] = o.ReducePrecision.String()
		}
	}
	// Earlier runs all shuffled, and say nothing of it.
	if o.NoShuffle {
		f["no_shuffle"] = "true"
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

// precisionKey and kernelsKey are the names of the model's precision and kernels (bert.Model.Kernels) in the fingerprint.
const (
	precisionKey = "precision"
	kernelsKey   = "kernels"
)

// RecordedKernels are the kernels (bert.Model.Kernels) of the newest checkpoint of the run in a folder; "" where there is none,
// or where it doesn't say.
func RecordedKernels(output string) string { return recordedOptions(output)[kernelsKey] }

// recordedOptions are those of the newest checkpoint of the run in a folder; nil where there is none.
func recordedOptions(output string) map[string]string {
	c := checkpoints(filepath.Join(output, checkpointsName))
	steps, err := c.list()
	if err != nil {
		return nil // Run reports what is wrong with the folder
	}
	for _, step := range slices.Backward(steps) {
		if s, err := c.readState(step); err == nil {
			return s.Options
		}
	}
	return nil
}

// Begun is what a run that is resumed has to go on with.
type Begun struct {
	Kernels string // RecordedKernels
	Parts   int    // Recipe.Parts; 0 where there is no run
}

// Recorded is Begun of the run in a folder, if it is to be resumed. The folder is that of the group's rank 0: all ranks call it. A nil group is
// a process alone.
func Recorded(output string, resume bool, g Group) (Begun, error) {
	var (
		b Begun
		p = newPeers(g)
	)
	if p.leader() && resume {
		options := recordedOptions(output)
		b.Kernels = options[kernelsKey]
		if rec, err := readRecord(output); options == nil && err == nil && rec != nil {
			options = rec.options
		}
		if options != nil {
			b.Parts, _ = strconv.Atoi(cmp.Or(options["parts"], "1"))
		}
	}
	return b, p.follow(&b)
}

// DecideParts is Recipe.Parts with the default filled in: that of the run that is resumed, begun, or of the ranks of the group, or 1. The
// error is a *recipe.Error.
func (r Recipe) DecideParts(begun Begun, g Group) (int, error) {
	size := 1
	if g != nil {
		size = g.Size()
	}
	parts := cmp.Or(r.Parts, begun.Parts, size)
	if parts%size == 0 {
		return parts, nil
	}
	e := &recipe.Error{Key: "parts", Value: strconv.Itoa(parts), Want: fmt.Sprintf("a multiple of the %d ranks", size)}
	if r.Parts == 0 {
		e.Reason = "as in the run that is resumed"
	}
	return 0, e
}

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
	// StoppedEarly says that Recipe.EarlyStop or Evaluation.Stop ended the run.
	StoppedEarly bool `json:"stopped_early"`
	// ModelStep is the step whose model the run gave: the best one's if Recipe.BestMetric is set, otherwise the last.
	ModelStep int `json:"model_step"`
	// Evaluation is the evaluation of that model; nil without an Evaluator.
	Evaluation *Evaluation `json:"evaluation,omitempty"`
}

// Run trains m. At its end m holds the model that the run gave: the last, or with Recipe.BestMetric the best.
//
// When ctx is cancelled, Run finishes the step, writes a checkpoint and returns an *InterruptedError. A loss or a gradient that
// is not finite is a *NonFiniteError, and resuming a run that has ended a *FinishedError. After any error the earlier
// checkpoints are intact, and m holds the parameters of some step.
//
// A run is resumed from the newest checkpoint that is whole. If newer ones are damaged, a Note says so.
//
// A folder is locked while a run writes into it: a second run gets a *BusyError. eval may be nil.
func Run(ctx context.Context, m *bert.Model, data Data, eval Evaluator, o Options) (Result, error) {
	// The precision affects the bits just as the options do.
	precision, _ := m.Precision()
	fingerprint := map[string]string{precisionKey: precision.String()}
	if kernels := m.Kernels(); kernels != "" {
		fingerprint[kernelsKey] = kernels
	}
	for name, value := range o.Fingerprint {
		if name == precisionKey || name == kernelsKey {
			return Result{}, Agree(o.Group, takenName(name))
		}
		fingerprint[name] = value
	}
	o.Fingerprint = fingerprint

	var evaluate func(context.Context, Point) (Evaluation, error)
	if eval != nil {
		evaluate = func(ctx context.Context, at Point) (Evaluation, error) { return eval.Evaluate(ctx, m, at) }
	}
	newTrainer := func(r *run) (trainer, error) {
		if r.o.Parts > 1 || !r.peers.alone() {
			p, err := newParallel(m, r)
			if err != nil {
				return nil, err // not a nil *parallel in an interface
			}
			r.parallel = p
			return p, nil
		}
		t, err := m.NewTrainer()
		if err != nil {
			return nil, err
		}
		return t, nil
	}
	o.digest = func() (string, error) { return digest(m) }
	return start(ctx, newTrainer, data, evaluate, o)
}

// digest is a hash of a model's parameters.
func digest(m *bert.Model) (string, error) {
	h := sha256.New()
	for _, p := range m.Params() {
		values, err := m.Values(p.Name)
		if err != nil {
			return "", err
		}
		h.Write(bytesOf(values))
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
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
	Output      string
	Result      Result      // the result of that run
	Evaluations []Evaluated // of that run, without how long they took
}

func (e *FinishedError) Error() string {
	return fmt.Sprintf("%s: the run in this folder has ended at step %d: there is nothing to resume", e.Output, e.Result.Steps)
}

// KernelsError reports that a run can't be resumed with the same bits, because its checkpoint was made by kernels whose sums
// have other bits than those of the model (bert.Model.Kernels).
type KernelsError struct {
	Output  string
	Was, Is string
}

func (e *KernelsError) Error() string {
	return fmt.Sprintf("%s: this run was computed by the kernels %s and would be continued by %s, with other bits: resume it on a machine that has %s, or allow other kernels", e.Output, e.Was, e.Is, e.Was)
}

// BusyError says that another process is writing into the folder of a run.
type BusyError = files.BusyError
