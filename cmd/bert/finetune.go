package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/finetune"
	"github.com/go-bert/bert/hub"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/train"
)

// finetuneFlags are those of bert finetune.
type finetuneFlags struct {
	recipe       *recipeFlags
	options      finetune.Options
	showExamples int
	ranks        ranksFlag
	out          outputFlags
}

func (a *app) finetuneCommand() *cobra.Command {
	f := new(finetuneFlags)
	cmd := &cobra.Command{
		Use:   "finetune --task TASK --data PATH (--model DIR | --config FILE --vocab FILE) --output DIR [flags]",
		Short: "Fine-tune a model on labelled texts",
		Long: `finetune trains a model for a task: one with a new head on top (--model), or one that begins with random weights
(--config and --vocab).

--task imdb reads the film reviews of Maas et al. from the folder aclImdb or its .tar.gz: it trains on their training
part and evaluates on their test part. The tasks of GLUE (cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli) read the
benchmark's files from the task's folder; bert glue takes all of them. --task text reads a CSV, TSV or JSONL file with columns
for the text and the label, and for a second text if there is one: one label a text or, with --problem-type, any number of
labels (between commas; in JSON a list), or a number. --eval-data names the file to evaluate on, or --validation-share takes
a share of the training data for it.

Of a text with more than --max-seq-length tokens the beginning is read; with --long head-tail the beginning and the end, with
--long windows all, in windows that overlap. Each window is then trained on with the text's label, and the answer to a text is
the mean of its windows'.

The output folder becomes a model directory: config.json, model.safetensors, vocab.txt, tokenizer.json,
tokenizer_config.json, task.json and eval_results.json. events.jsonl and TensorBoard's event files record how the run
went, and recipe.json what it did: --recipe runs it again, with other values where flags are given. Checkpoints are written every
--save-steps. Ctrl-C ends the run after the current step and saves it; --resume goes on from the newest checkpoint, with the same
options, and ends with the same bits.`,
		Example: `  bert finetune --task imdb --data aclImdb_v1.tar.gz --model bert-base-uncased --output imdb-model
  bert finetune --task cola --data glue/CoLA --model bert-base-uncased --output cola-model --metric-for-best-model main
  bert finetune --task text --data train.tsv --eval-data dev.tsv --model bert-base-uncased --output my-model
  bert finetune --recipe my-model/recipe.json --learning-rate 5e-5 --output another-model
  bert finetune --task text --data reviews.csv --text-column body --label-column stars --validation-share 0.1 \
      --config small.json --vocab vocab.txt --learning-rate 1e-4 --num-train-epochs 10 --output my-model`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.finetune(cmd, f) },
	}
	f.recipe = &recipeFlags{cmd: cmd, fresh: func() any { return new(finetune.Recipe) }, defaults: new(finetune.Recipe{}.WithDefaults())}
	f.recipe.addTask()
	f.recipe.addModel()
	f.recipe.addComputeThreads(&f.options.Threads)
	f.recipe.addOutput(&f.options.Output, "write the model, events and checkpoints to `DIR`")
	f.recipe.addFeatures()
	f.recipe.addTraining()
	f.recipe.addSeed("`SEED` of everything random: drawn examples, new weights, the order of the examples, dropout")
	f.recipe.in(outputSection, func(flags *pflag.FlagSet) {
		flags.BoolVar(&f.options.Resume, "resume", false, "go on from the newest checkpoint in --output")
		addOtherKernels(flags, &f.options.AllowOtherKernels)
		addSaveLogits(flags, &f.options.SaveOutcomes)
		flags.IntVar(&f.showExamples, "show-examples", 0, "print the first `N` examples with tokens, ids, type ids and label")
	})
	f.recipe.addShared()
	f.ranks = addRanks(cmd)
	f.recipe.addFile()
	f.recipe.finish()
	f.out.add(cmd)
	mainFlags(cmd, "task", "data", "eval-data", "model", "output", "learning-rate", "num-train-epochs", "train-batch-size", "max-seq-length", "resume")
	return cmd
}

func (a *app) finetune(cmd *cobra.Command, f *finetuneFlags) error {
	var r finetune.Recipe
	if err := a.applyFinetune(f.recipe, &r, &r); err != nil {
		return err
	}
	if f.recipe.print {
		return a.printRecipe(r.WithDefaults())
	}
	if _, err := lookupTask(r.Task, r.Path); err != nil {
		return err
	}
	if err := checkFinetune(&r, f.options.Output, f.options.Threads); err != nil {
		return err
	}
	if f.showExamples < 0 {
		return usagef("--show-examples is %d, want 0 or more", f.showExamples)
	}
	f.options.Stdin = a.stdin
	return f.ranks.run(a, &f.options.Threads, func(g train.Group) error {
		f.options.Group = g
		return a.finetuneJob(cmd.Context(), f, &r)
	})
}

// finetuneJob runs a recipe, as one of the ranks if there are several.
func (a *app) finetuneJob(ctx context.Context, f *finetuneFlags, r *finetune.Recipe) error {
	j, err := r.Prepare(ctx, f.options)
	if err != nil {
		return prepareError(err)
	}
	defer j.Close()
	p := j.Parts()
	from := "random weights"
	if r.Config == "" {
		from = "weights from " + r.Dir
	}
	a.warnJob(j)
	a.describeModel(p.Model, from)
	a.describeData("training data", p.Train)
	if p.Eval != nil {
		a.describeData("evaluation data", p.Eval)
	} else {
		a.log.Warn("no evaluation data: nothing will say how good the model is (--eval-data or --validation-share)")
	}
	if a.rank == 0 {
		if err := showExamples(a.stderr, p.Train, p.Tokenizer, f.showExamples); err != nil {
			return err
		}
	}
	result, err := a.runJob(ctx, j)
	if err != nil {
		if err = a.explain(err, j.Output()); err == nil { // the run had ended, perhaps without its page
			a.writeReport(j.Output())
		}
		return err
	}
	a.writeReport(j.Output())
	if result.Evaluation != nil {
		if err := f.out.printResult(a, result.Evaluation); err != nil {
			return err
		}
	}
	a.log.Info("saved in " + j.Output())
	next := "bert predict --model " + quoteArgument(j.Output())
	if in := p.Spec.Kind.InputJSON(); in != "" {
		next = "echo " + quoteArgument(in) + " | " + next
	} else {
		next += ` "a text"`
	}
	a.log.Info("next: " + next)
	return nil
}

// applyFinetune reads the flags of a command into a recipe, of which r is the part of finetune.
func (a *app) applyFinetune(f *recipeFlags, whole any, r *finetune.Recipe) error {
	if err := f.apply(whole); err != nil {
		return err
	}
	if r.Dir == "" || f.given("model") {
		return nil // withModel has found it
	}
	dir, err := a.modelPath(f.cmd, r.Dir, true)
	var unknown *hub.NotFoundError
	if errors.As(err, &unknown) {
		return fmt.Errorf("%s: %w", f.file, explainUnknown(unknown))
	}
	if err == nil {
		r.Dir = dir
	}
	return err
}

// checkFinetune reports mistakes that can be found before anything is read, in the words of the command line.
func checkFinetune(r *finetune.Recipe, output string, threads int) error {
	switch {
	case r.Dir == "" && r.Config == "":
		return usagef("neither --model DIR nor --config FILE is given: want a model to begin with")
	case r.Config != "" && r.Vocab == "":
		return usagef("--vocab FILE is missing: --config needs it")
	case r.Vocab == "" && (r.Cased || r.Google):
		return usagef("--cased and --google are for --vocab: the model in --model says itself how it tokenizes")
	case output == "":
		return usagef("--output DIR is missing: want the folder to write to")
	}
	if err := checkThreads(threads); err != nil {
		return err
	}
	return nil
}

// prepareError puts what is wrong with a recipe or its output folder into the words of the command line.
func prepareError(err error) error {
	var output *train.OutputError
	switch {
	case errors.As(err, &output) && output.Begun:
		return usagef("--output is the folder of --model: want another one")
	case errors.As(err, &output):
		return fmt.Errorf("%s: there is a model in this folder: choose another, or --resume its run", output.Output)
	}
	return flagNamed(err)
}

// warnJob warns of what was left out when a job was prepared.
func (a *app) warnJob(j *finetune.Job) {
	a.warnUnknown(j.UnknownKeys(), "the model")
	for _, note := range j.Notes() {
		a.log.Warn(note)
	}
	for _, s := range j.Skipped() {
		a.warnSkipped(s)
	}
	for i, alike := range j.AlikeLabels() {
		if i == maxWarnings {
			a.log.Warn(fmt.Sprintf("%s of labels more differ as little", count(len(j.AlikeLabels())-i, "pair")))
			break
		}
		a.log.Warn(fmt.Sprintf("%v: to the model they are two", alike))
	}
}

// runJob runs a job and shows how far it is. The first signal ends it after the current step.
func (a *app) runJob(ctx context.Context, j *finetune.Job) (*finetune.Result, error) {
	progress := a.newProgress()
	spec := j.Parts().Spec
	_, progress.official = spec.MetricNames()
	defer progress.close()
	ctx, cancel := a.untilInterruptedStep(ctx)
	defer cancel()
	return j.Run(ctx, progress.event)
}

// untilInterruptedStep gives the context of a run: the first signal ends the run after the current step.
func (a *app) untilInterruptedStep(ctx context.Context) (context.Context, context.CancelFunc) {
	return untilInterrupted(ctx, func(s os.Signal) {
		a.log.Warn(fmt.Sprintf("%v: ending after this step, then saving; once more ends at once", s))
	})
}

// explain says what the user can do after a run ended as it did.
func (a *app) explain(err error, output string) error {
	var (
		interrupted *train.InterruptedError
		finished    *train.FinishedError
		kernels     *train.KernelsError
	)
	switch {
	case errors.As(err, &interrupted):
		return reworded{fmt.Sprintf("interrupted after step %d of %d and saved in %s; to go on: %s",
			interrupted.Step, interrupted.Steps, interrupted.Checkpoint, a.resumeCommand()), err}
	case errors.As(err, &finished):
		a.log.Info(fmt.Sprintf("%s: the run in this folder has ended at step %d: nothing to resume", output, finished.Result.Steps))
		return nil
	case errors.As(err, &kernels):
		return otherKernels(err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("interrupted; to go on: %s", a.resumeCommand())
	}
	return err
}

// reworded is an error in the words of the command line.
type reworded struct {
	text string
	error
}

func (e reworded) Error() string { return e.text }
func (e reworded) Unwrap() error { return e.error }

// otherKernels adds the flag that helps against a *train.KernelsError.
func otherKernels(err error) error {
	if errors.As(err, new(*train.KernelsError)) {
		return fmt.Errorf("%w (--allow-other-kernels)", err)
	}
	return err
}

// addOtherKernels defines --allow-other-kernels.
func addOtherKernels(flags *pflag.FlagSet, allow *bool) {
	flags.BoolVar(allow, "allow-other-kernels", false, "resume a run on a processor without the instructions that it began with: the bits of the result change")
}

// addSaveLogits defines --save-logits.
func addSaveLogits(flags *pflag.FlagSet, save *bool) {
	flags.BoolVar(save, "save-logits", false, "write what the model says of each example to "+task.OutcomesFile+", for bert report")
}

// resumeCommand is the command line that goes on with this run.
func (a *app) resumeCommand() string {
	words := []string{"bert"}
	for _, arg := range a.args {
		words = append(words, quoteArgument(arg))
	}
	if !slices.Contains(a.args, "--resume") {
		words = append(words, "--resume")
	}
	return strings.Join(words, " ")
}

// quoteArgument writes an argument as a POSIX shell takes it.
func quoteArgument(arg string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=+./,:@%", r)
	}
	if arg != "" && strings.IndexFunc(arg, func(r rune) bool { return !plain(r) }) < 0 {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
