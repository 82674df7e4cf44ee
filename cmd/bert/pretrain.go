package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/hub"
	"github.com/go-bert/bert/internal/bench"
	"github.com/go-bert/bert/pretrain"
	"github.com/go-bert/bert/train"
)

// pretrainFlags are those of bert pretrain.
type pretrainFlags struct {
	recipe    *recipeFlags
	instances []string
	probes    []string
	options   pretrain.Options
	ranks     ranksFlag
	out       outputFlags
}

func (a *app) pretrainCommand() *cobra.Command {
	var f pretrainFlags
	cmd := &cobra.Command{
		Use:   "pretrain --instances DIR (--config FILE | --init DIR) --output DIR [flags]",
		Short: "Pre-train a model on instances made of raw text",
		Long: `pretrain trains the masked language model and, where the instances are pairs, next-sentence prediction, as
google-research/bert run_pretraining.py does: from random weights (--config), or from those of any model (--init).

--instances names the folder that bert instances wrote. Given more than once, the run has a phase for each, of --phase-steps
steps: sequences of 128 tokens and then of 512, say. The learning rate has one schedule over all phases.

The model is evaluated at the end, and every --eval-steps, on --eval-instances or on a share of the training instances. With each
evaluation the run records which masked words are right, by place, frequency and piece, and what the model fills into each --probe.

The output folder becomes a model directory: config.json, model.safetensors, the instances' vocabulary, and
eval_results.json. recipe.json holds the values of the flags, and --recipe takes it; events.jsonl and TensorBoard's event
files record the run. Checkpoints are written every --save-steps. Ctrl-C ends the run after the current step and saves it;
--resume goes on from the newest checkpoint, with the same flags, and ends with the same bits.`,
		Example: `  bert pretrain --instances instances --eval-instances held-out --config 4x256.json --output model \
      --train-batch-size 256 --learning-rate 1e-3 --num-train-steps 20000 --eval-steps 1000 --probe "the capital of france is [MASK]."
  bert pretrain --instances short --instances long --phase-steps 9000,1000 --token-budget 16384 --config base.json --output model
  bert pretrain --instances my-text --init bert-base-uncased --num-train-epochs 3 --output my-bert
  bert pretrain --recipe model/recipe.json --seed 7 --output another`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.pretrain(cmd.Context(), &f) },
	}
	f.define(cmd)
	return cmd
}

// define defines the flags.
func (f *pretrainFlags) define(cmd *cobra.Command) {
	defaults := pretrain.Recipe{}.WithDefaults()
	defaults.MaxSteps = 0 // its default depends on other flags
	r := &recipeFlags{cmd: cmd, fresh: func() any { return new(pretrain.Recipe) }, defaults: &defaults, instead: [][]string{
		{"eval_instances", "eval_share"},
		{"train_batch_size", "token_budget"},
		{"group_by_length", "no_shuffle"},
		{"num_train_steps", "num_train_epochs", "phase_steps"},
		{"warmup_proportion", "warmup_steps"},
	}}
	f.recipe = r
	r.in(dataSection, func(flags *pflag.FlagSet) {
		flags.StringArrayVar(&f.instances, "instances", nil, "train on the instances in `DIR`; once for each phase")
		r.add(flags, "eval_instances", "evaluate on the instances in `DIR`")
	})
	r.in(modelSection, func(flags *pflag.FlagSet) {
		r.add(flags, "config", "begin with random weights, for the configuration in `FILE` (config.json)")
		r.add(flags, "init", "begin with the weights of the model in `DIR`")
		r.add(flags, "allow_missing", "with --init: let tensors that are missing begin with random values, and name them")
	})
	r.in(outputSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.options.Output, "output", "", "write the model, events and checkpoints to `DIR`")
		flags.BoolVar(&f.options.Resume, "resume", false, "go on from the newest checkpoint in --output")
		addOtherKernels(flags, &f.options.AllowOtherKernels)
		r.add(flags, "save_steps", "write a checkpoint every `N` steps and at the end; 0: only when interrupted")
		r.add(flags, "keep_checkpoints", "keep the newest `N` checkpoints, and the best; 0: all")
		r.add(flags, "log_steps", "record the loss every `N` steps")
	})
	r.in(trainingSection, func(flags *pflag.FlagSet) {
		r.add(flags, "train_batch_size", "`N` instances a step; N,N…: of each phase")
		r.add(flags, "token_budget", "batches of at most `N` tokens instead; N,N…: of each phase")
		r.add(flags, "learning_rate", "the highest learning `RATE`")
		r.add(flags, "num_train_steps", "train for `N` steps (default: 100,000, unless --num-train-epochs or --phase-steps say otherwise)")
		r.add(flags, "num_train_epochs", "go through the instances `N` times")
		r.add(flags, "phase_steps", "the steps of each phase, `N,N…`")
		r.add(flags, "warmup_proportion", "the `SHARE` of the steps in which the rate rises")
		r.add(flags, "warmup_steps", "the number `N` of steps in which the rate rises")
		r.add(flags, "seed", "`SEED` of what is drawn at random: new weights, the order of the instances, dropout")
		r.add(flags, "precision", "take the operands of matrix products so; all else is float32", trainPrecisions...)
		r.add(flags, "gradient_accumulation_steps", "add up the gradients of `N` batches before each step")
		r.add(flags, "micro_batch_size", "let batches go through the model in parts of at most `N` instances, to save memory; 0: whole")
		r.add(flags, "micro_batch_tokens", "let batches go through the model in parts of at most `N` tokens, to save memory; 0: whole")
		r.add(flags, "parts", partsUsage)
		r.add(flags, "group_by_length", "put instances of similar length into the same batch")
		r.add(flags, "no_shuffle", "take the instances in the order of the set, in each epoch")
		r.add(flags, "optimizer", "google: as google-research/bert, without bias correction; adamw: as PyTorch; lamb: for very large batches",
			train.GoogleAdam.String(), train.AdamW.String(), train.LAMB.String())
		r.add(flags, "lr_schedule", "how the learning rate falls; own: as the optimizer's authors have it",
			train.OwnSchedule.String(), train.GoogleLinear.String(), train.Linear.String(), train.Constant.String())
		r.add(flags, "weight_decay", "the weight decay `RATE`, for all but biases and LayerNorm")
		r.add(flags, "max_grad_norm", "clip gradients to the global `NORM`; 0: never")
		r.add(flags, "adam_beta1", "how slowly the mean of gradients changes, as `β1`")
		r.add(flags, "adam_beta2", "how slowly the mean of squared gradients changes, as `β2`")
		r.add(flags, "adam_epsilon", "the `ε` beside the root of the mean of squared gradients; 0: the optimizer's own")
	})
	addThreads(cmd, &f.options.Threads)
	r.in(evaluationSection, func(flags *pflag.FlagSet) {
		r.add(flags, "eval_share", "evaluate on a `SHARE` of the (last) instances, taken out at random")
		r.add(flags, "max_eval_instances", "evaluate on `N` instances at equal distances; 0: all")
		r.add(flags, "eval_steps", "evaluate every `N` steps, besides the end")
		flags.StringArrayVar(&f.probes, "probe", nil, "record with each evaluation what the model fills into `TEXT` with [MASK]; once for each text")
		r.add(flags, "metric_for_best_model", "keep the model with the best `METRIC`, as in masked_lm_accuracy (more is better), loss; empty: the last")
		r.add(flags, "early_stopping_patience", "end after `N` evaluations without a better --metric-for-best-model; 0: never")
	})
	r.addShared()
	f.ranks = addRanks(cmd)
	f.out.add(cmd)
	r.addFile()
	r.finish()
	for _, name := range []string{"instances", "eval-instances", "output"} {
		_ = cmd.MarkFlagDirname(name) // the errors are for flags that do not exist
	}
	completeModelName(cmd, "init")
	_ = cmd.MarkFlagFilename("config", "json")
	mainFlags(cmd, "instances", "eval-instances", "config", "init", "output", "train-batch-size", "learning-rate", "num-train-steps", "phase-steps", "resume")
}

// read makes the recipe of the flags.
func (f *pretrainFlags) read() (pretrain.Recipe, error) {
	var r pretrain.Recipe
	if err := f.recipe.apply(&r); err != nil {
		return r, err
	}
	if len(f.instances) > 0 {
		r.Instances = f.instances
	}
	if len(f.probes) > 0 {
		r.Probe = f.probes
	}
	if len(r.Instances) == 0 {
		return r, usagef("--instances DIR is missing: want the folder that bert instances wrote")
	}
	if r.Config == "" && r.Init == "" {
		return r, usagef("neither --config FILE nor --init DIR is given: want a model to begin with")
	}
	return r, flagNamed(r.Validate())
}

func (a *app) pretrain(ctx context.Context, f *pretrainFlags) error {
	r, err := f.read()
	if err != nil {
		return err
	}
	if f.recipe.print {
		return a.printRecipe(r.WithDefaults())
	}
	if f.options.Output == "" {
		return usagef("--output DIR is missing: want the folder to write the model to")
	}
	if err := checkThreads(f.options.Threads); err != nil {
		return err
	}
	return f.ranks.run(a, &f.options.Threads, func(g train.Group) error {
		f.options.Group = g
		return a.pretrainJob(ctx, f, &r)
	})
}

// pretrainJob runs a recipe, as one of the ranks if there are several.
func (a *app) pretrainJob(ctx context.Context, f *pretrainFlags, r *pretrain.Recipe) error {
	o := f.options
	o.Resolve = func(ctx context.Context, name string) (string, error) {
		path, err := a.modelPath(f.recipe.cmd, name, true)
		var unknown *hub.NotFoundError
		if errors.As(err, &unknown) {
			return "", explainUnknown(unknown)
		}
		return path, err
	}
	o.Peak = func(p bert.Precision) (float64, error) { return a.measurePeak(p, o.Threads) }
	job, err := r.Prepare(ctx, o)
	if err != nil {
		return explainPretraining(err)
	}
	defer job.Close() // the model is saved by then
	a.describeJob(job)

	progress := a.newProgress()
	defer progress.close()
	stepwise, cancel := a.untilInterruptedStep(ctx)
	defer cancel()
	result, err := job.Run(stepwise, progress.event)
	progress.close()
	if err != nil {
		if err = a.explain(err, o.Output); err == nil { // the run had ended, perhaps without its page
			a.writeReport(o.Output)
		}
		return err
	}
	a.writeReport(o.Output)
	if result.Evaluation != nil {
		if err := f.out.printPretraining(a, result.Evaluation); err != nil {
			return err
		}
	}
	a.log.Info("saved in " + o.Output)
	a.log.Info(fmt.Sprintf("next: bert fill-mask --model %s %q", quoteArgument(o.Output), "a text with a [MASK]"))
	return nil
}

// explainPretraining names the flags that help against what is wrong with a run or an evaluation.
func explainPretraining(err error) error {
	var (
		output *train.OutputError
		length *pretrain.LengthError
	)
	switch {
	case errors.As(err, &output) && output.Begun:
		return usagef("--output is the folder of --init: want another one")
	case errors.As(err, &output):
		return fmt.Errorf("%w (--resume)", err)
	case errors.As(err, &length):
		return fmt.Errorf("%w (bert instances --max-seq-length)", err)
	}
	return explainInstances(flagNamed(err))
}

// measurePeak measures how many operations a second the machine can do at most.
func (a *app) measurePeak(p bert.Precision, threads int) (float64, error) {
	machine, err := bench.Open(threads)
	if err != nil {
		return 0, err
	}
	peak := machine.PeakOperations(p, 300*time.Millisecond)
	a.log.Info(fmt.Sprintf("multiply-adds alone reach %.1f GFLOP/s", peak/1e9))
	return peak, nil
}

// describeJob says on stderr what a run trains, and on what.
func (a *app) describeJob(job *pretrain.Job) {
	r := job.Recipe()
	for _, set := range job.Training() {
		a.describeSet("training on", set, true)
	}
	if set := job.Held(); set != nil {
		a.describeSet("evaluating on", set, false)
	}
	switch held := job.Evaluated(); {
	case held == nil:
		a.log.Warn("no instances to evaluate on: nothing will say how good the model is (--eval-instances or --eval-share)")
	case r.EvalShare > 0:
		a.log.Info(fmt.Sprintf("evaluating on %s held out", count(held.Len(), "instance")))
	}
	from := "random weights"
	if r.Init != "" {
		a.warnConfig(job.Model().Config(), r.Init)
		from = "weights from " + r.Init
	}
	a.describeModel(job.Model(), from)
}

// describeSet says on stderr what a set of instances is.
func (a *app) describeSet(what string, set *pretrain.Set, training bool) {
	info := set.Info()
	line := fmt.Sprintf("%s %s: %s, %s (mean %.1f, longest %d)", what, set.Path(), count(info.Instances, "instance"),
		count(int(info.Tokens), "token"), float64(info.Tokens)/float64(info.Instances), info.Longest)
	if info.Options.Dynamic && training {
		line += ", masked afresh each epoch"
	}
	if !set.Paired() {
		line += ", no pairs: no next-sentence prediction"
	}
	a.log.Info(line)
}

// evaluateInstances measures a pre-trained model.
func (a *app) evaluateInstances(ctx context.Context, f *evaluateFlags) (err error) {
	if f.maxExamples < 0 {
		return usagef("--max-eval-examples is %d, want 0 or more", f.maxExamples)
	}
	if _, err := f.model.check(a); err != nil {
		return err
	}
	e, err := pretrain.OpenEvaluator(ctx, f.model.dir, f.instances, pretrain.EvaluatorOptions{
		MaxInstances: f.maxExamples, Threads: f.model.threads, Precision: f.model.precision, Dequantize: true,
	})
	if err != nil {
		return explainPretraining(err)
	}
	defer e.Close() // read only: nothing is lost
	a.warnNotes(e.Notes())
	a.describeSet("evaluating on", e.Set(), false)
	a.describeModel(e.Model(), "weights from "+f.model.dir)
	release, err := f.claim()
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, release()) }()
	progress := a.newProgress()
	defer progress.close()
	result, err := e.Evaluate(ctx, progress.evaluated)
	progress.close()
	if err != nil {
		return err
	}
	if err := f.out.printPretraining(a, result); err != nil {
		return err
	}
	return f.save(a, result)
}

// printPretraining prints an evaluation of masked language modelling.
func (o *outputFlags) printPretraining(a *app, r *pretrain.Evaluation) error {
	if !o.table(a) {
		return jsonLine(a.stdout, r)
	}
	return writeOut(a.stdout, []byte(r.String()+"\n"))
}
