package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/train"
)

// recipeFlags are the flags of a command that runs a recipe. Each sets the key of its name: --learning-rate is learning_rate.
type recipeFlags struct {
	cmd   *cobra.Command
	fresh func() any // makes an empty recipe: a pointer to it
	// defaults is a recipe whose values the help gives as the defaults.
	defaults any
	flags    []*recipeFlag
	// instead lists keys of which a recipe has one. A flag for one of them replaces the others of a file.
	instead [][]string

	file  string
	print bool
}

// recipeFlag is a flag for a key of a recipe. It keeps the text; the recipe gets the value when all flags are known.
type recipeFlag struct {
	of      *recipeFlags
	key     string
	value   string
	kind    recipe.Kind
	choices []string
	list    bool // takes several values between commas, which are not for the recipe itself
	set     bool
}

func (f *recipeFlag) String() string { return f.value }

func (f *recipeFlag) Type() string {
	if f.list {
		return f.kind.String() + "s"
	}
	if f.choices != nil {
		return strings.Join(f.choices, "|")
	}
	return f.kind.String()
}

func (f *recipeFlag) Set(value string) error {
	values := []string{value}
	if f.list {
		values = strings.Split(value, ",")
	}
	for _, v := range values {
		if err := f.check(strings.TrimSpace(v)); err != nil {
			return err
		}
	}
	if f.kind == recipe.ListKind && f.set {
		value = f.value + "," + value // a list grows with each flag
	}
	f.value, f.set = value, true
	return nil
}

// values are those of a list.
func (f *recipeFlag) values() []string {
	values := strings.Split(f.value, ",")
	for i, v := range values {
		values[i] = strings.TrimSpace(v)
	}
	return values
}

// check reports a value that the key can't hold at all.
func (f *recipeFlag) check(value string) error {
	if f.choices != nil && !slices.Contains(f.choices, value) {
		return fmt.Errorf("want one of %s", strings.Join(f.choices, ", "))
	}
	err := recipe.Set(f.of.fresh(), f.key, value)
	var wrong *recipe.Error
	if errors.As(err, &wrong) {
		if wrong.Value == value { // a 0 that means nothing: see apply
			return nil
		}
		return fmt.Errorf("want %s", wrong.Want)
	}
	return err
}

// in defines flags in a section of the command's help.
func (f *recipeFlags) in(s section, define func(flags *pflag.FlagSet)) {
	flagsIn(f.cmd, s, func(flags *pflag.FlagSet) {
		flags.SortFlags = false
		define(flags)
	})
}

// add defines the flag of a key. choices are the values of one with few.
func (f *recipeFlags) add(flags *pflag.FlagSet, key, usage string, choices ...string) {
	value, ok := recipe.Text(f.defaults, key)
	if !ok {
		panic("there is no key " + key)
	}
	flag := &recipeFlag{of: f, key: key, value: value, choices: choices}
	flag.kind, _ = recipe.KindOf(f.defaults, key)
	f.flags = append(f.flags, flag)
	p := flags.VarPF(flag, strings.TrimPrefix(flagName(key), "--"), "", usage)
	if flag.kind == recipe.BoolKind {
		p.NoOptDefVal = "true"
	}
}

// addFile defines --recipe and --print-recipe.
func (f *recipeFlags) addFile() {
	f.in(outputSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.file, "recipe", "", "run the recipe in `FILE` (JSON, as --print-recipe writes it); flags override its values")
		flags.BoolVar(&f.print, "print-recipe", false, "print what the flags mean as a recipe, and run nothing")
	})
	_ = f.cmd.MarkFlagFilename("recipe", "json") // the error is for a flag that does not exist
}

// finish registers what can be registered once the flags are the command's.
func (f *recipeFlags) finish() {
	for _, flag := range f.flags {
		if flag.choices != nil {
			// The only error is a flag that does not exist or has a completion already.
			name := strings.TrimPrefix(flagName(flag.key), "--")
			_ = f.cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(flag.choices, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	for _, keys := range f.instead {
		var names []string
		for _, key := range keys {
			names = append(names, strings.TrimPrefix(flagName(key), "--"))
		}
		f.cmd.MarkFlagsMutuallyExclusive(names...)
	}
}

// given says whether the flag of a key was.
func (f *recipeFlags) given(key string) bool {
	return f.cmd.Flags().Changed(strings.TrimPrefix(flagName(key), "--"))
}

// apply reads the file, if one is named, into r and sets what the flags say.
func (f *recipeFlags) apply(r any) error {
	if f.file != "" {
		if err := recipe.ReadFile(f.file, r); err != nil {
			return err
		}
	}
	for _, keys := range f.instead {
		if slices.ContainsFunc(keys, f.given) {
			for _, key := range keys {
				if err := recipe.Clear(r, key); err != nil {
					return err
				}
			}
		}
	}
	for _, flag := range f.flags {
		if !f.given(flag.key) || flag.list {
			continue
		}
		if err := recipe.Set(r, flag.key, flag.value); err != nil {
			return flagNamed(err)
		}
	}
	return nil
}

// printRecipe prints a recipe as a file for --recipe.
func (a *app) printRecipe(r any) error {
	data, err := recipe.Marshal(r)
	if err != nil {
		return err
	}
	return writeOut(a.stdout, data)
}

// addModel defines the flags of the model to begin with.
func (f *recipeFlags) addModel() {
	f.in(modelSection, func(flags *pflag.FlagSet) {
		f.add(flags, "model", "begin with the model in `DIR`")
		f.add(flags, "config", "begin with random weights, for the configuration in `FILE` (config.json)")
		f.add(flags, "vocab", "the vocabulary `FILE`, one token a line; with --model: instead of the model's tokenizer")
		f.add(flags, "cased", "with --vocab: keep upper case and accents")
		f.add(flags, "google", "with --vocab: tokenize as google-research/bert does where Hugging Face's library differs")
		f.add(flags, "allow_missing", "with --model: give missing tensors random values, and name them")
		f.add(flags, "gelu", geluUsage, gelus...)
		f.add(flags, "precision", "number format of matrix products; everything else is float32", trainPrecisions...)
	})
	markModel(f.cmd, "model")
	_ = f.cmd.MarkFlagFilename("config", "json") // the errors are for flags that do not exist
	_ = f.cmd.MarkFlagFilename("vocab", "txt")
	f.instead = append(f.instead, []string{"model", "config"})
}

// addTask defines the flags of a single task's data.
func (f *recipeFlags) addTask() {
	f.in(dataSection, func(flags *pflag.FlagSet) {
		f.add(flags, "task", "`TASK`: "+strings.Join(task.Names(), ", "))
		f.add(flags, "data", "the training data: the `PATH` of a file, or of the task's folder or archive; - is stdin")
		f.add(flags, "eval_data", "evaluate on the data at `PATH`")
		f.add(flags, "validation_share", "evaluate on a `SHARE` of the training data, taken out at random")
		f.add(flags, "text_column", "the `COLUMN` (or JSON key) of the text (default text)")
		f.add(flags, "text_pair_column", "the `COLUMN` of the second text (default text_pair, where there is one)")
		f.add(flags, "label_column", "the `COLUMN` of the label (default label)")
		f.add(flags, "no_header", "the first line is data; columns are given by number, from 1")
		f.add(flags, "data_format", "the format of the data; auto: by the file's name", "auto", "csv", "tsv", "jsonl")
		f.add(flags, "labels", "the labels as `A,B`, in the order of their ids (default: those in the data, sorted)")
		f.add(flags, "class_weights", "weigh the loss by label: none, balanced, or `W1,W2` in the order of the labels (default none)")
		f.add(flags, "problem_type", "of --task text: one label a text (the default), several at once (between commas; a list in JSON), or a number",
			task.SingleLabel.String(), task.MultiLabel.String(), task.Regression.String())
	})
	_ = f.cmd.RegisterFlagCompletionFunc("task", cobra.FixedCompletions(task.Names(), cobra.ShellCompDirectiveNoFileComp))
	f.instead = append(f.instead, []string{"eval_data", "validation_share"})
}

// addFeatures defines the flags that say which examples are used and how texts become features.
func (f *recipeFlags) addFeatures() {
	f.in(dataSection, func(flags *pflag.FlagSet) {
		f.add(flags, "encoding", encodingUsage)
		f.add(flags, "skip_bad", "leave bad records out and count them, instead of ending at the first")
		f.add(flags, "max_train_examples", "train on `N` examples drawn at random; 0: all")
		f.add(flags, "max_eval_examples", "evaluate on `N` examples drawn at random; 0: all")
		f.add(flags, "max_seq_length", "cut texts to `N` tokens, [CLS] and [SEP] included (default 128; of squad 384)")
		f.add(flags, "long", "of a longer text read the beginning (truncate), the beginning and the end (head-tail), or all in windows", task.LongTexts()...)
		f.add(flags, "doc_stride", "with --long windows: begin one every `N` tokens; 0: every half window")
		f.add(flags, "null_score_diff_threshold", "of squad2: no answer where it scores more than the best answer by `N`; best: the best on the evaluation data")
		f.add(flags, "truncation", "which text of a pair gives up tokens", truncationNames()...)
	})
}

// addTraining defines the flags of training.
func (f *recipeFlags) addTraining() {
	f.in(trainingSection, func(flags *pflag.FlagSet) {
		f.add(flags, "train_batch_size", "`N` examples a step")
		f.add(flags, "learning_rate", "the highest learning `RATE`")
		f.add(flags, "num_train_epochs", "go through the data `N` times")
		f.add(flags, "warmup_proportion", "the `SHARE` of the steps in which the rate rises")
		f.add(flags, "max_steps", "train for `N` steps, whatever --num-train-epochs says")
		f.add(flags, "gradient_accumulation_steps", "add up the gradients of `N` batches before each step")
		f.add(flags, "token_budget", "batches of at most `N` tokens, instead of --train-batch-size")
		f.add(flags, "micro_batch_tokens", "let batches go through the model in parts of at most `N` tokens, to save memory; 0: whole")
		f.add(flags, "parts", partsUsage)
		f.add(flags, "group_by_length", "put texts of similar length into the same batch")
		f.add(flags, "no_shuffle", "take the examples in the order of the data, in each epoch")
		f.add(flags, "optimizer", "google: as google-research/bert, without bias correction; adamw: as PyTorch; lamb: for very large batches",
			train.GoogleAdam.String(), train.AdamW.String(), train.LAMB.String())
		f.add(flags, "lr_schedule", "how the learning rate falls; own: as the optimizer's authors have it",
			train.OwnSchedule.String(), train.GoogleLinear.String(), train.Linear.String(), train.Constant.String())
		f.add(flags, "weight_decay", "the weight decay `RATE`, for all but biases and LayerNorm")
		f.add(flags, "max_grad_norm", "clip gradients to the global `NORM`; 0: never")
	})
	f.in(evaluationSection, func(flags *pflag.FlagSet) {
		f.add(flags, "eval_steps", "evaluate every `N` steps too, beside the end of each epoch")
		f.add(flags, "metric_for_best_model", "keep the model with the best `METRIC`, as in eval_accuracy, f1_score, loss; main: the task's own; empty: the last")
		f.add(flags, "early_stopping_patience", "end after `N` evaluations without a better --metric-for-best-model; 0: never")
	})
	f.in(outputSection, func(flags *pflag.FlagSet) {
		f.add(flags, "save_steps", "write a checkpoint every `N` steps and at the end; 0: only when interrupted")
		f.add(flags, "keep_checkpoints", "keep the newest `N` checkpoints, and the best; 0: all")
		f.add(flags, "log_steps", "record the loss every `N` steps")
	})
	f.instead = append(f.instead, []string{"train_batch_size", "token_budget"}, []string{"group_by_length", "no_shuffle"})
}

// partsUsage explains --parts.
const partsUsage = "compute each step in `N` parts, which ranks divide among themselves; with the same parts, any number of ranks gives the same bits (default: as in the run that is resumed, or one for each rank)"

// addShared defines the flags that matter where several processes share a run.
func (f *recipeFlags) addShared() {
	f.in(trainingSection, func(flags *pflag.FlagSet) {
		f.add(flags, "fast_reduce", "let MPI add up the gradients of ranks in any order: the bits depend on the number of ranks")
		f.add(flags, "reduce_precision", "exchange gradients so", bert.Float32.String(), bert.BFloat16.String())
	})
}

// addSeed defines --seed.
func (f *recipeFlags) addSeed(usage string) {
	f.in(trainingSection, func(flags *pflag.FlagSet) { f.add(flags, "seed", usage) })
}

// addOutput defines --output.
func (f *recipeFlags) addOutput(output *string, usage string) {
	f.in(outputSection, func(flags *pflag.FlagSet) { flags.StringVar(output, "output", "", usage) })
	_ = f.cmd.MarkFlagDirname("output") // the error is for a flag that does not exist
}

// addComputeThreads defines --threads.
func (f *recipeFlags) addComputeThreads(threads *int) {
	f.in(modelSection, func(flags *pflag.FlagSet) {
		flags.IntVar(threads, "threads", 0, "compute on `N` threads (default: as many as the machine has)")
	})
}
