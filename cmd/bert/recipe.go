package main

import (
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// finetuneFlags are those of bert finetune.
type finetuneFlags struct {
	data            dataFlags
	evalData        string
	validationShare float64
	vocabulary      vocabularyFlags // its model is the model to begin with
	config          string
	allowMissing    bool

	maxSeqLength     int
	truncation       *choice
	long             *choice
	docStride        int
	nullThreshold    string
	problemType      *choice
	labels           []string
	classWeights     string
	maxTrainExamples int
	maxEvalExamples  int
	showExamples     int
	threads          int
	precision        bert.Precision

	options   train.Options
	optimizer optimizerFlags

	out outputFlags
}

func newFinetuneFlags() *finetuneFlags {
	return &finetuneFlags{options: train.Options{Recipe: train.Recipe{}.WithDefaults()}}
}

// addModel defines the flags of the model to begin with.
func (f *finetuneFlags) addModel(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.vocabulary.model, "model", "", "begin with the model in `DIR`")
	flags.StringVar(&f.config, "config", "", "begin with random weights, for the configuration in `FILE` (config.json)")
	flags.StringVar(&f.vocabulary.vocab, "vocab", "", "the vocabulary `FILE`, one token a line; with --model: instead of the model's tokenizer")
	markModel(cmd, "model")
	_ = cmd.MarkFlagFilename("config", "json") // the errors are for flags that do not exist
	_ = cmd.MarkFlagFilename("vocab", "txt")
	f.vocabulary.addModes(cmd)
	flags.BoolVar(&f.allowMissing, "allow-missing", false, "with --model: let tensors that are missing begin with random values, and leave out those that are left over")
	cmd.MarkFlagsMutuallyExclusive("model", "config")
}

func (f *finetuneFlags) addOutput(cmd *cobra.Command, usage string) {
	cmd.Flags().StringVar(&f.options.Output, "output", "", usage)
	_ = cmd.MarkFlagDirname("output") // the error is for a flag that does not exist
}

// addRecipe defines the flags that most say how well a model learns.
func (f *finetuneFlags) addRecipe(cmd *cobra.Command) {
	o, flags := &f.options, cmd.Flags()
	flags.IntVar(&f.maxSeqLength, "max-seq-length", 128, "cut texts to `N` tokens, [CLS] and [SEP] included")
	flags.IntVar(&o.BatchSize, "train-batch-size", o.BatchSize, "`N` examples a step")
	flags.Float64Var(&o.LearningRate, "learning-rate", o.LearningRate, "the highest learning `RATE`")
	flags.Float64Var(&o.Epochs, "num-train-epochs", o.Epochs, "go through the data `N` times")
	flags.Float64Var(o.WarmupProportion, "warmup-proportion", *o.WarmupProportion, "the `SHARE` of the steps in which the rate rises")
	flags.IntVar(&f.maxTrainExamples, "max-train-examples", 0, "train on `N` examples drawn at random; 0: all")
	flags.IntVar(&f.maxEvalExamples, "max-eval-examples", 0, "evaluate on `N` examples drawn at random; 0: all")
	addThreads(cmd, &f.threads)
	addPrecision(cmd, &f.precision)
	flags.IntVar(o.SaveSteps, "save-steps", *o.SaveSteps, "write a checkpoint every `N` steps and at the end; 0: only when interrupted")
}

// addData defines the flags of a single task's data.
func (f *finetuneFlags) addData(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Float64Var(&f.validationShare, "validation-share", 0, "evaluate on a `SHARE` of the training data, taken out at random")
	f.data.addDetails(cmd)
	flags.StringSliceVar(&f.labels, "labels", nil, "the labels as `A,B`, in the order of their ids (default: those in the data, sorted)")
	flags.StringVar(&f.classWeights, "class-weights", "none", "weigh the loss by label: none, balanced, or `W1,W2` in the order of the labels")
	f.problemType = newChoice(task.SingleLabel.String(), task.SingleLabel.String(), task.MultiLabel.String(), task.Regression.String())
	addChoice(cmd, f.problemType, "problem-type", "of --task text: one label a text, several at once (between commas; a list in JSON), or a number")
	cmd.MarkFlagsMutuallyExclusive("eval-data", "validation-share")
}

// addDetails defines the flags of a run that are seldom needed.
func (f *finetuneFlags) addDetails(cmd *cobra.Command) {
	o, flags := &f.options, cmd.Flags()
	f.data.addSkipBad(cmd)
	f.long = newChoice(task.TruncateLong.String(), task.LongTexts()...)
	addChoice(cmd, f.long, "long", "of a longer text read the beginning (truncate), the beginning and the end (head-tail), or all in windows")
	flags.IntVar(&f.docStride, "doc-stride", 0, "with --long windows: begin one every `N` tokens; 0: every half window")
	flags.StringVar(&f.nullThreshold, "null-score-diff-threshold", "best", "of squad2: no answer where it scores more than the best answer by `N`; best: the best on the evaluation data")
	f.truncation = newChoice(tokenizer.LongestFirst.String(), truncationNames()...)
	addChoice(cmd, f.truncation, "truncation", "which text of a pair gives up tokens")

	flags.IntVar(&o.MaxSteps, "max-steps", 0, "train for `N` steps, whatever --num-train-epochs says")
	flags.IntVar(&o.Accumulation, "gradient-accumulation-steps", 1, "add up the gradients of `N` batches before each step")
	flags.IntVar(&o.TokenBudget, "token-budget", 0, "batches of at most `N` tokens, instead of --train-batch-size")
	flags.BoolVar(&o.GroupByLength, "group-by-length", false, "put texts of like length into the same batch")
	f.optimizer.add(cmd, o)

	flags.IntVar(&o.EvalSteps, "eval-steps", 0, "evaluate every `N` steps too, beside the end of each epoch")
	flags.StringVar(&o.BestMetric, "metric-for-best-model", "", "keep the model with the best `METRIC`, as in eval_accuracy, f1_score, loss; main: the task's own; empty: the last")
	flags.IntVar(&o.EarlyStop, "early-stopping-patience", 0, "end after `N` evaluations without a better --metric-for-best-model; 0: never")
	flags.IntVar(o.KeepCheckpoints, "keep-checkpoints", *o.KeepCheckpoints, "keep the newest `N` checkpoints, and the best; 0: all")
	flags.IntVar(&o.LogSteps, "log-steps", o.LogSteps, "record the loss every `N` steps")
	cmd.MarkFlagsMutuallyExclusive("train-batch-size", "token-budget")
}

// variant is the flags of finetune as cmd has them, a command with several runs, but for what set says of one run. The
// command that is returned knows which flags were given.
func variant(cmd *cobra.Command, set map[string]string) (*finetuneFlags, *cobra.Command, error) {
	f := newFinetuneFlags()
	run := &cobra.Command{Use: "finetune"}
	run.SetGlobalNormalizationFunc(hyphens)
	f.add(run)
	var err error
	cmd.Flags().Visit(func(given *pflag.Flag) {
		flag := run.Flags().Lookup(given.Name)
		if _, own := set[given.Name]; flag == nil || own || err != nil {
			return
		}
		if list, ok := given.Value.(pflag.SliceValue); ok {
			err = flag.Value.(pflag.SliceValue).Replace(list.GetSlice())
			flag.Changed = true
		} else {
			err = run.Flags().Set(given.Name, given.Value.String())
		}
	})
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if err == nil {
			if err = run.Flags().Set(name, set[name]); err != nil {
				err = usageError{err}
			}
		}
	}
	return f, run, err
}

// check reports mistakes in the flags that can be seen before anything is read, and fills in the options.
func (f *finetuneFlags) check() error {
	o := &f.options
	switch {
	case f.vocabulary.model == "" && f.config == "":
		return usagef("neither --model DIR nor --config FILE is given: want a model to begin with")
	case f.config != "" && f.vocabulary.vocab == "":
		return usagef("--vocab FILE is missing: --config needs it")
	case f.vocabulary.vocab == "" && (f.vocabulary.cased || f.vocabulary.google):
		return usagef("--cased and --google are for --vocab: the model in --model says itself how it tokenizes")
	case o.Output == "":
		return usagef("--output DIR is missing: want the folder to write the model to")
	case f.maxTrainExamples < 0 || f.maxEvalExamples < 0:
		return usagef("--max-train-examples and --max-eval-examples can't be negative")
	case !(f.validationShare >= 0 && f.validationShare < 1):
		return usagef("--validation-share is %v, want a share in [0, 1)", f.validationShare)
	case o.Accumulation < 1:
		return usagef("--gradient-accumulation-steps is %d, want at least 1", o.Accumulation)
	case f.showExamples < 0:
		return usagef("--show-examples is %d, want 0 or more", f.showExamples)
	case f.docStride < 0:
		return usagef("--doc-stride is %d, want at least 1, or 0 for half of a window", f.docStride)
	case o.BatchSize < 1:
		return usagef("--train-batch-size is %d, want at least 1", o.BatchSize)
	}
	if err := checkThreads(f.threads); err != nil {
		return err
	}
	if err := f.optimizer.fill(o); err != nil {
		return err
	}
	if o.TokenBudget > 0 {
		o.BatchSize = 0
	}
	if o.LearningRate == 0 {
		return usagef("--learning-rate is 0, want a small positive number")
	}
	if err := o.Validate(); err != nil {
		return flagNamed(err)
	}
	return nil
}
