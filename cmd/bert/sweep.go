package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/sweep"
	"github.com/go-bert/bert/train"
)

// sweptKeys are the keys whose flags take a list here.
var sweptKeys = []string{"learning_rate", "num_train_epochs", "train_batch_size", "warmup_proportion", "weight_decay", "max_seq_length"}

// sweepFlags are those of bert sweep.
type sweepFlags struct {
	recipe  *recipeFlags
	options sweep.Options
	out     outputFlags
}

func (a *app) sweepCommand() *cobra.Command {
	f := new(sweepFlags)
	var names []string
	for _, key := range sweptKeys {
		names = append(names, strings.ReplaceAll(key, "_", "-"))
	}
	cmd := &cobra.Command{
		Use:   "sweep --task TASK --data PATH (--model DIR | --config FILE --vocab FILE) --output DIR [flags]",
		Short: "Fine-tune with several settings and seeds, and compare",
		Long: `sweep fine-tunes a model with each combination of the values that ` + strings.Join(names[:len(names)-1], ", ") + ` and
` + names[len(names)-1] + ` have (lists between commas), with each of --seeds seeds, and writes one table of them: for each setting the mean of
the task's main metric over the seeds (or of --metric-for-best-model), its standard deviation and the best. The table goes
to stdout and to --output (` + sweep.ResultsFile + `, ` + sweep.TableFile + `). All other flags are those of finetune.

Each run has a folder in --output. The same command goes on where it was interrupted and leaves what is done; one with
more values or seeds adds to it. Of the models only that of the best run is kept, unless --keep-models. A --recipe may let any key
vary, as in {"sweep": {"optimizer": ["google", "adamw"]}}.

--median-stopping ends a run at an evaluation where its best is worse than the median, over the runs that have ended, of
their means up to there (Golovin et al. 2017, Google Vizier, §3.2.2). A run that is stopped counts with what it had
reached. Which runs are stopped depends on the order in which they end, so with --parallel it can differ from run to run.`,
		Example: `  bert sweep --task rte --data glue/RTE --model bert-base-uncased --output rte-sweep \
      --learning-rate 2e-5,3e-5,5e-5 --num-train-epochs 2,3,4 --seeds 5`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.sweep(cmd, f) },
	}
	f.recipe = &recipeFlags{cmd: cmd, fresh: func() any { return new(sweep.Recipe) }, defaults: new(sweep.Recipe{}.WithDefaults())}
	f.recipe.addTask()
	f.recipe.addModel()
	f.recipe.addComputeThreads(&f.options.Threads)
	f.recipe.addOutput(&f.options.Output, "write a folder for each run and the table to `DIR`")
	f.recipe.addFeatures()
	f.recipe.addTraining()
	f.recipe.addSeed("the first `SEED`")
	f.recipe.in(trainingSection, func(flags *pflag.FlagSet) {
		f.recipe.add(flags, "seeds", "`N` runs of each setting, with the seeds from --seed on")
		flags.IntVar(&f.options.Parallel, "parallel", 1, "`N` runs at once, which share the threads")
		f.recipe.add(flags, "median_stopping", "end runs that are worse than the median of those before")
	})
	f.recipe.in(outputSection, func(flags *pflag.FlagSet) {
		flags.BoolVar(&f.options.KeepModels, "keep-models", false, "keep the models of all runs, not only of the best")
	})
	f.recipe.in(outputSection, func(flags *pflag.FlagSet) { addOtherKernels(flags, &f.options.AllowOtherKernels) })
	f.recipe.addFile()
	for _, flag := range f.recipe.flags {
		if slices.Contains(sweptKeys, flag.key) {
			flag.list = true
			p := cmd.Flags().Lookup(strings.TrimPrefix(flagName(flag.key), "--"))
			p.Usage = strings.NewReplacer("`N`", "`N,…`", "`RATE`", "`RATE,…`", "`SHARE`", "`SHARE,…`").Replace(p.Usage)
		}
	}
	f.recipe.finish()
	f.out.add(cmd)
	mainFlags(cmd, "task", "data", "eval-data", "model", "output", "learning-rate", "num-train-epochs", "train-batch-size", "seeds", "parallel")
	return cmd
}

// apply reads the flags into a recipe: the lists of swept keys into its axes, in the place of those of a file.
func (f *sweepFlags) apply(a *app, r *sweep.Recipe) error {
	if err := a.applyFinetune(f.recipe, r, &r.Recipe); err != nil {
		return err
	}
	for _, key := range sweptKeys {
		if !f.recipe.given(key) {
			continue
		}
		if err := recipe.Clear(r, key); err != nil {
			return err
		}
		axis := sweep.Axis{Key: key}
		for _, flag := range f.recipe.flags {
			if flag.key == key {
				axis.Values = flag.values()
			}
		}
		if i := slices.IndexFunc(r.Axes, func(x sweep.Axis) bool { return x.Key == key }); i >= 0 {
			r.Axes[i] = axis
		} else {
			r.Axes = append(r.Axes, axis)
		}
	}
	return nil
}

func (a *app) sweep(cmd *cobra.Command, f *sweepFlags) error {
	var r sweep.Recipe
	if err := f.apply(a, &r); err != nil {
		return err
	}
	if f.recipe.print {
		return a.printRecipe(r.WithDefaults())
	}
	if f.options.Parallel < 1 {
		return usagef("--parallel is %d, want at least 1", f.options.Parallel)
	}
	if f.options.Output == "" {
		return usagef("--output DIR is missing: want the folder to write to")
	}
	if _, err := lookupTask(r.Task, r.Path); err != nil {
		return err
	}
	if err := checkFinetune(&r.Recipe, f.options.Output, f.options.Threads); err != nil {
		return err
	}
	f.options.Observer = a.sweepEvent
	s, err := r.Prepare(f.options)
	if err != nil {
		return sweepError(err)
	}
	ctx, cancel := a.untilInterruptedStep(cmd.Context())
	defer cancel()
	summary, err := s.Run(ctx)
	if err != nil {
		return sweepError(err)
	}
	a.writeReport(f.options.Output)
	if !f.out.table(a) {
		err = jsonLine(a.stdout, summary)
	} else {
		err = writeOut(a.stdout, []byte(sweepTable(screenOf(a.stdout), summary)))
	}
	if err == nil && summary.BestRun != "" {
		a.log.Info("the best run's model is in " + filepath.Join(f.options.Output, summary.BestRun))
	}
	return err
}

// sweepError puts an error into the words of the command line.
func sweepError(err error) error {
	var (
		interrupted *sweep.InterruptedError
		other       *sweep.OtherRunError
	)
	switch {
	case errors.As(err, &interrupted):
		return fmt.Errorf("interrupted after %d of %s and saved; the same command goes on", interrupted.Done, count(interrupted.Runs, "run"))
	case errors.As(err, &other):
		return fmt.Errorf("%s: this run was made with --%s %q, not %q: choose another --output", other.File, other.Key, other.Was, other.Is)
	}
	return otherKernels(flagNamed(err))
}

// sweepEvent shows what happens in a sweep.
func (a *app) sweepEvent(e sweep.Event) {
	switch e := e.(type) {
	case sweep.Damaged:
		a.log.Warn(fmt.Sprintf("%s: it is damaged: the run goes on as if it had not ended", e.File))
	case sweep.Started:
		a.log.Info(fmt.Sprintf("%s of %s, %d done before", count(e.Runs, "run"), count(e.Settings, "setting"), e.Done))
	case sweep.Prepared:
		a.warnJob(e.Job)
	case sweep.Trained:
		if note, ok := e.Event.(train.Note); ok && note.Warning {
			if !a.warned[note.Text] { // runs share a model
				a.warnOnce(note.Text)
			}
		}
	case sweep.Ended:
		r := &e.Record
		line := "failed"
		switch {
		case r.Failed != "":
			a.log.Warn(fmt.Sprintf("%s: %s", e.Run, r.Failed))
		default:
			line = fmt.Sprintf("%s %s", metric.Label(r.Metric), figure(r.Value))
			if r.Stopped {
				line += ", stopped early"
			}
		}
		left := ""
		if n := e.Runs - e.Done; n > 0 {
			left = fmt.Sprintf("; %s left", count(n, "run"))
		}
		a.log.Info(fmt.Sprintf("run %d/%d: %s: %s%s", e.Done, e.Runs, e.Run, line, left))
	}
}
