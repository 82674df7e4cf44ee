package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/glue"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/train"
)

// glueFlags are those of bert glue.
type glueFlags struct {
	recipe  *recipeFlags
	perTask []string
	options glue.Options
	out     outputFlags
}

func (a *app) glueCommand() *cobra.Command {
	f := new(glueFlags)
	cmd := &cobra.Command{
		Use:   "glue --data DIR (--model DIR | --config FILE --vocab FILE) --output DIR [--tasks cola,sst2,…] [flags]",
		Short: "Fine-tune and measure a model on the tasks of GLUE",
		Long: `glue fine-tunes one model on each of GLUE's tasks, evaluates it on the development data and writes the benchmark's table to
stdout and to --output (` + glue.ResultsFile + `, ` + glue.TableFile + `). Where there is a task's test data it writes predictions in the form that
the benchmark's server takes, and packs them into ` + glue.SubmissionsZIP + `.

--data is a folder with GLUE's folders: CoLA, SST-2, MRPC, STS-B, QQP, MNLI, QNLI, RTE, WNLI and diagnostic. A task whose
data isn't there is left out with a warning. The flags of a run are those of finetune and hold for all tasks; --for changes one
of them for one task.

Each task has a folder in --output. The same command goes on where it was interrupted, and leaves what is done.`,
		Example: `  bert glue --data glue --model bert-base-uncased --output glue-base --num-train-epochs 3
  bert glue --data glue --model bert-base-uncased --output glue-base --tasks cola,rte --for cola:learning-rate=3e-5`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.glue(cmd, f) },
	}
	f.recipe = &recipeFlags{cmd: cmd, fresh: func() any { return new(glue.Recipe) }, defaults: new(glue.Recipe{}.WithDefaults())}
	f.recipe.in(dataSection, func(flags *pflag.FlagSet) {
		f.recipe.add(flags, "data", "the folder `DIR` of GLUE's tasks, each in its own")
		f.recipe.add(flags, "tasks", "only `TASKS`, between commas: "+strings.Join(glue.Tasks(), ", "))
	})
	_ = cmd.MarkFlagDirname("data") // the error is for a flag that does not exist
	f.recipe.addModel()
	f.recipe.addComputeThreads(&f.options.Threads)
	f.recipe.addOutput(&f.options.Output, "write a folder for each task, the table and the predictions to `DIR`")
	f.recipe.addFeatures()
	f.recipe.addTraining()
	f.recipe.addSeed("`SEED` of everything random: drawn examples, new weights, the order of the examples, dropout")
	f.recipe.in(trainingSection, func(flags *pflag.FlagSet) {
		flags.StringArrayVar(&f.perTask, "for", nil, "`TASK:FLAG=VALUE`: a flag of finetune for one task, like cola:learning-rate=3e-5; several times")
	})
	f.recipe.in(outputSection, func(flags *pflag.FlagSet) { addOtherKernels(flags, &f.options.AllowOtherKernels) })
	f.recipe.addFile()
	f.recipe.finish()
	f.out.add(cmd)
	mainFlags(cmd, "data", "tasks", "model", "output", "learning-rate", "num-train-epochs", "train-batch-size", "max-seq-length", "for", "seed")
	return cmd
}

// apply reads the flags into a recipe.
func (f *glueFlags) apply(a *app, r *glue.Recipe) error {
	if err := a.applyFinetune(f.recipe, r, &r.Recipe); err != nil {
		return err
	}
	for _, o := range f.perTask {
		name, setting, ok := strings.Cut(o, ":")
		flag, value, set := strings.Cut(strings.TrimLeft(setting, "-"), "=")
		if !ok || !set {
			return usagef("--for %q: want TASK:FLAG=VALUE, like cola:learning-rate=3e-5", o)
		}
		if r.For == nil {
			r.For = make(map[string]map[string]recipe.Value)
		}
		if r.For[name] == nil {
			r.For[name] = make(map[string]recipe.Value)
		}
		r.For[name][strings.ReplaceAll(flag, "-", "_")] = recipe.Value(value)
	}
	return nil
}

func (a *app) glue(cmd *cobra.Command, f *glueFlags) error {
	var r glue.Recipe
	if err := f.apply(a, &r); err != nil {
		return err
	}
	if f.recipe.print {
		return a.printRecipe(r.WithDefaults())
	}
	if r.Path == "" {
		return usagef("--data DIR is missing: want the folder of GLUE's tasks")
	}
	if err := checkFinetune(&r.Recipe, f.options.Output, f.options.Threads); err != nil {
		return err
	}
	show := &glueProgress{app: a}
	defer show.close()
	f.options.Observer = show.event
	s, err := r.Prepare(f.options)
	if err != nil {
		return glueError(err)
	}
	ctx, cancel := a.untilInterruptedStep(cmd.Context())
	defer cancel()
	summary, err := s.Run(ctx)
	show.close()
	if err != nil {
		return glueError(err)
	}
	for _, name := range glue.Tasks() {
		dir := filepath.Join(f.options.Output, name)
		if _, err := os.Stat(filepath.Join(dir, train.EventsFile)); err == nil {
			a.writeReport(dir)
		}
	}
	a.writeReport(f.options.Output)
	if !f.out.table(a) {
		return jsonLine(a.stdout, summary)
	}
	return writeOut(a.stdout, []byte(glueTable(screenOf(a.stdout), summary)))
}

// glueError puts an error into the words of the command line.
func glueError(err error) error {
	var (
		interrupted *glue.InterruptedError
		unknown     *recipe.UnknownKeyError
	)
	switch {
	case errors.As(err, &interrupted) && interrupted.Steps > 0:
		return fmt.Errorf("%s: interrupted after step %d of %d and saved; the same command goes on", interrupted.Task, interrupted.Step, interrupted.Steps)
	case errors.As(err, &interrupted):
		return fmt.Errorf("%s: interrupted; the same command goes on", interrupted.Task)
	case errors.As(err, &unknown):
		return usagef("--for: there is no flag %s for a task", flagName(unknown.Key))
	}
	return otherKernels(flagNamed(err))
}

// glueProgress shows what happens in a run of the benchmark.
type glueProgress struct {
	app      *app
	progress *progress // of a training or an evaluation; nil: neither is under way
}

func (g *glueProgress) close() {
	if g.progress != nil {
		g.progress.close()
		g.progress = nil
	}
}

func (g *glueProgress) event(e glue.Event) {
	a := g.app
	switch e := e.(type) {
	case glue.LeftOut:
		a.log.Warn(fmt.Sprintf("%s: left out: %s", e.Task, e.Reason))
	case glue.Begun:
		a.log.Info(fmt.Sprintf("%s: %s", e.Task, e.About))
	case glue.Prepared:
		a.warnJob(e.Job)
		p := e.Job.Parts()
		a.describeData("training data", p.Train)
		if p.Eval != nil {
			a.describeData("evaluation data", p.Eval)
		}
		g.progress = a.newProgress()
		_, g.progress.official = p.Spec.MetricNames()
	case glue.Trained:
		g.progress.event(e.Event)
	case glue.Ended:
		g.close()
		if e.Before {
			a.log.Info(fmt.Sprintf("%s: trained before, %d steps", e.Task, e.Steps))
		}
	case glue.NoPart:
		what := "not evaluated"
		if e.Test {
			what = "no predictions"
		}
		a.log.Info(fmt.Sprintf("%s: %s: the part %s isn't there", e.Task, what, e.Split))
	case glue.Damaged:
		a.log.Warn(fmt.Sprintf("%s: it is damaged: measuring the model again", e.File))
	case glue.Skipped:
		a.warnSkipped(e.Records)
	case glue.Evaluating:
		if g.progress == nil {
			g.progress = a.newProgress()
		}
		if g.progress.evaluated(e.Done, e.All); e.Done == e.All {
			g.close()
		}
	case glue.Predicted:
		cut := truncations{all: e.Predictions, texts: e.Truncated, tokens: e.Dropped}
		cut.report(a, e.MaxSeqLength)
		a.log.Info(fmt.Sprintf("%s in %s", count(e.Predictions, "prediction"), e.File))
	case glue.Packed:
		line := fmt.Sprintf("%s in %s", count(len(e.Files), "file"), e.File)
		if len(e.Missing) > 0 {
			line += "; the benchmark's server also wants " + strings.Join(e.Missing, ", ")
		}
		a.log.Info(line)
	}
}
