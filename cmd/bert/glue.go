package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/atomicfile"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// The files of bert glue: glueScores in the folder of a task, the others in that of all.
const (
	glueScores     = "glue.json"
	glueResults    = "glue_results.json"
	glueTable      = "glue_results.tsv"
	glueSubmission = "submission.zip"
)

// glueFlags are those of bert glue, beside those of a run.
type glueFlags struct {
	recipe  *finetuneFlags
	data    string
	tasks   []string
	perTask []string
	out     outputFlags
}

func (a *app) glueCommand() *cobra.Command {
	f := glueFlags{recipe: newFinetuneFlags()}
	cmd := &cobra.Command{
		Use:   "glue --data DIR (--model DIR | --config FILE --vocab FILE) --output DIR [--tasks cola,sst2,…] [flags]",
		Short: "Fine-tune and measure a model on the tasks of GLUE",
		Long: `glue fine-tunes one model on each of GLUE's tasks, evaluates it on the development data and writes the benchmark's table to
stdout and to --output (` + glueResults + `, ` + glueTable + `). Where there is a task's test data it writes predictions in the form that
the benchmark's server takes, and packs them into ` + glueSubmission + `.

--data is a folder with GLUE's folders: CoLA, SST-2, MRPC, STS-B, QQP, MNLI, QNLI, RTE, WNLI and diagnostic. A task whose
data isn't there is left out with a word. The flags of a run are those of finetune and hold for all tasks; --for changes one
of them for one task.

Each task has a folder in --output. The same command goes on where it was interrupted, and leaves what is done.`,
		Example: `  bert glue --data glue --model bert-base-uncased --output glue-base --num-train-epochs 3
  bert glue --data glue --model bert-base-uncased --output glue-base --tasks cola,rte --for cola:learning-rate=3e-5`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.glue(cmd, &f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.data, "data", "", "the folder `DIR` of GLUE's tasks, each in its own")
	flags.StringSliceVar(&f.tasks, "tasks", nil, "only `TASKS`, between commas: "+strings.Join(task.GLUETasks(), ", "))
	_ = cmd.MarkFlagDirname("data") // the error is for a flag that does not exist
	f.recipe.addModel(cmd)
	f.recipe.addOutput(cmd, "write a folder for each task, the table and the predictions to `DIR`")
	f.recipe.addRecipe(cmd)
	flags.Uint64Var(f.recipe.options.Seed, "seed", *f.recipe.options.Seed, "`SEED` of what is drawn at random: examples, new weights, their order, dropout")
	flags.StringArrayVar(&f.perTask, "for", nil, "`TASK:FLAG=VALUE`: a flag of finetune for one task, like cola:learning-rate=3e-5; several times")
	f.recipe.addDetails(cmd)
	f.out.add(cmd)
	return cmd
}

// gluePart is how good a model is on a part of a task's data.
type gluePart struct {
	Split    task.Split   `json:"split"`
	Official []string     `json:"official_metrics"`
	Metrics  task.Metrics `json:"metrics"`
}

// score is the part's score: the mean of its official metrics.
func (p *gluePart) score() float64 {
	sum := 0.0
	for _, name := range p.Official {
		sum += p.Metrics.Value(name)
	}
	return sum / float64(len(p.Official))
}

// glueTask is what bert glue knows of a task.
type glueTask struct {
	row    *task.Task
	folder string     // of its data; "": not there
	output string     // its folder in --output
	parts  []gluePart // evaluated
	files  []string   // of predictions
}

func (a *app) glue(cmd *cobra.Command, f *glueFlags) error {
	tasks, err := f.check()
	if err != nil {
		return err
	}
	overrides, err := f.overrides(tasks)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.recipe.options.Output, 0o777); err != nil {
		return pathError(err)
	}
	// One job's mistakes in flags are those of all, and better known before the first.
	for _, t := range tasks {
		run, _, err := variant(cmd, t.flags(f, overrides))
		if err == nil {
			err = run.check()
		}
		if err != nil {
			return err
		}
	}
	done := 0
	for _, t := range tasks {
		why := t.missing(tasks)
		if why != "" {
			a.log.Warn(fmt.Sprintf("%s: left out: %s", t.row.Name, why))
			continue
		}
		if t.row.Has(t.folder, task.Train) {
			if err := a.glueTrain(cmd, f, t, overrides); err != nil {
				return fmt.Errorf("%s: %w", t.row.Name, err)
			}
		}
		if err := a.glueMeasure(cmd.Context(), f, t, tasks); err != nil {
			return fmt.Errorf("%s: %w", t.row.Name, err)
		}
		done++
	}
	if done == 0 {
		return fmt.Errorf("%s: no task of GLUE to train on: want folders like %s", f.data, filepath.Join(f.data, "CoLA"))
	}
	return a.glueReport(f, tasks)
}

// check reports mistakes in the flags, and lists the tasks.
func (f *glueFlags) check() ([]*glueTask, error) {
	switch {
	case f.data == "":
		return nil, usagef("--data DIR is missing: want the folder of GLUE's tasks")
	case f.recipe.options.Output == "":
		return nil, usagef("--output DIR is missing: want the folder to write to")
	}
	if info, err := os.Stat(f.data); err != nil {
		return nil, pathError(err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s: a file, want the folder of GLUE's tasks", f.data)
	}
	for _, name := range f.tasks {
		if !slices.Contains(task.GLUETasks(), name) {
			return nil, usagef("--tasks: %q is none of %s", name, strings.Join(task.GLUETasks(), ", "))
		}
	}
	var tasks []*glueTask
	for _, name := range task.GLUETasks() {
		if f.tasks != nil && !slices.Contains(f.tasks, name) {
			continue
		}
		row, err := task.Lookup(name)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, &glueTask{row: row, folder: row.Folder(f.data), output: filepath.Join(f.recipe.options.Output, name)})
	}
	return tasks, nil
}

// overrides reads --for: values of flags by task.
func (f *glueFlags) overrides(tasks []*glueTask) (map[string]map[string]string, error) {
	out := make(map[string]map[string]string)
	for _, o := range f.perTask {
		name, setting, ok := strings.Cut(o, ":")
		flag, value, set := strings.Cut(strings.TrimLeft(setting, "-"), "=")
		if !ok || !set {
			return nil, usagef("--for %q: want TASK:FLAG=VALUE, like cola:learning-rate=3e-5", o)
		}
		if !slices.ContainsFunc(tasks, func(t *glueTask) bool { return t.row.Name == name }) {
			return nil, usagef("--for %q: task %q is not among those of this run", o, name)
		}
		if out[name] == nil {
			out[name] = make(map[string]string)
		}
		out[name][flag] = value
	}
	return out, nil
}

// flags are those of finetune for the task, beside those of all.
func (t *glueTask) flags(f *glueFlags, overrides map[string]map[string]string) map[string]string {
	set := map[string]string{"task": t.row.Name, "data": t.folder, "output": t.output, "resume": "true"}
	for name, value := range overrides[t.row.Name] {
		set[name] = value
	}
	return set
}

// missing says why a task is left out; "": it isn't.
func (t *glueTask) missing(tasks []*glueTask) string {
	switch {
	case t.folder == "":
		return "its data isn't there"
	case t.row.Has(t.folder, task.Train):
		return ""
	case !t.untrained():
		return "there is no training data in " + t.folder
	case t.trained(tasks).parts == nil:
		return "it needs the model of mnli, and there is none"
	}
	return ""
}

// untrained says that the task has no training data, not even elsewhere.
func (t *glueTask) untrained() bool {
	_, ok := t.row.Tables[task.Train]
	return !ok
}

// trained is the task whose model answers t: itself, or mnli.
func (t *glueTask) trained(tasks []*glueTask) *glueTask {
	if !t.untrained() {
		return t
	}
	for _, other := range tasks {
		if other.row.Name == "mnli" {
			return other
		}
	}
	return &glueTask{row: t.row}
}

// glueTrain trains the task's model, or the rest of it.
func (a *app) glueTrain(cmd *cobra.Command, f *glueFlags, t *glueTask, overrides map[string]map[string]string) error {
	run, flags, err := variant(cmd, t.flags(f, overrides))
	if err != nil {
		return err
	}
	if err := run.check(); err != nil {
		return err
	}
	a.log.Info(fmt.Sprintf("%s: %s", t.row.Name, t.row.About))
	j, err := run.prepare(a, flags, t.row)
	if err != nil {
		return err
	}
	defer j.model.Close()
	a.describeData("training data", j.train)
	if j.eval != nil {
		a.describeData("evaluation data", j.eval)
	}
	_, err = a.train(cmd.Context(), j)
	var (
		finished    *train.FinishedError
		interrupted *train.InterruptedError
	)
	switch {
	case errors.As(err, &finished):
		a.log.Info(fmt.Sprintf("%s: trained before, %d steps", t.row.Name, finished.Result.Steps))
		return nil
	case errors.As(err, &interrupted):
		return fmt.Errorf("interrupted after step %d of %d and saved; the same command goes on", interrupted.Step, interrupted.Steps)
	}
	return err
}

// glueMeasure evaluates the task's model on the parts of its data that have labels, and answers those that have none.
func (a *app) glueMeasure(ctx context.Context, f *glueFlags, t *glueTask, tasks []*glueTask) error {
	if err := os.MkdirAll(t.output, 0o777); err != nil {
		return pathError(err)
	}
	m := modelFlags{dir: t.trained(tasks).output, threads: f.recipe.threads}
	opened := &glueModel{flags: m, row: t.row}
	defer opened.close()

	err := readGlueScores(filepath.Join(t.output, glueScores), &t.parts)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		if err := a.glueEvaluate(ctx, f, t, opened); err != nil {
			return err
		}
	}
	for _, split := range t.row.Submissions() {
		if !t.row.Has(t.folder, split) {
			a.log.Info(fmt.Sprintf("%s: no predictions: the part %s isn't there", t.row.Name, split))
			continue
		}
		path := filepath.Join(t.output, t.row.Submission(split))
		t.files = append(t.files, path)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := opened.open(); err != nil {
			return err
		}
		p, err := task.NewPredictor(opened.model, opened.tokenizer, opened.description, m.options())
		if err != nil {
			return err
		}
		data, err := t.row.Read(t.folder, task.ReadOptions{Split: split, TableOptions: task.TableOptions{Unlabelled: true}})
		if err != nil {
			return err
		}
		if err := a.submit(ctx, p, t.row, split, data.Examples, t.output); err != nil {
			return err
		}
	}
	return nil
}

// glueEvaluate evaluates all parts with labels and writes what it finds into the task's folder.
func (a *app) glueEvaluate(ctx context.Context, f *glueFlags, t *glueTask, opened *glueModel) error {
	for _, split := range t.row.EvalSplits() {
		if !t.row.Has(t.folder, split) {
			a.log.Info(fmt.Sprintf("%s: not evaluated: the part %s isn't there", t.row.Name, split))
			continue
		}
		if err := opened.open(); err != nil {
			return err
		}
		read := dataFlags{task: t.row.Name, path: t.folder, format: newChoice("auto", "auto"), skipBad: f.recipe.data.skipBad}
		examples, err := read.read(a, t.row, t.folder, split, f.recipe.maxEvalExamples, *f.recipe.options.Seed)
		if err != nil {
			return err
		}
		data, err := task.NewDataset(opened.tokenizer, opened.description, examples)
		if err != nil {
			return err
		}
		progress := a.newProgress()
		step := max(0, opened.description.Metrics.Value("global_step"))
		r, err := task.Evaluate(ctx, opened.model, data, task.EvaluateOptions{GlobalStep: int(step), Progress: progress.evaluated})
		progress.close()
		if err != nil {
			return err
		}
		t.parts = append(t.parts, gluePart{split, r.Official, r.Metrics()})
	}
	return writeJSONFile(filepath.Join(t.output, glueScores), t.parts)
}

// glueModel is a fine-tuned model that is opened when it is needed.
type glueModel struct {
	flags       modelFlags
	row         *task.Task
	model       *bert.Model
	tokenizer   *tokenizer.Tokenizer
	description task.Description
}

func (g *glueModel) open() error {
	if g.model != nil {
		return nil
	}
	c, err := bert.LoadConfig(g.flags.dir)
	if err != nil {
		return err
	}
	if g.tokenizer, err = tokenizer.Load(g.flags.dir); err != nil {
		return err
	}
	if g.description, err = g.flags.describe(g.row, c, g.tokenizer, nil); err != nil {
		return err
	}
	g.model, err = g.flags.load(g.tokenizer, nil)
	return err
}

func (g *glueModel) close() {
	if g.model != nil {
		g.model.Close()
	}
}

func readGlueScores(path string, parts *[]gluePart) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, parts); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, p := range *parts {
		if len(p.Official) == 0 {
			return fmt.Errorf("%s: part %q has no official metrics", path, p.Split)
		}
	}
	return nil
}

// writeJSONFile writes v, indented, to a file that is whole or not there.
func writeJSONFile(path string, v any) error {
	return pathError(atomicfile.WriteFile(path, 0o666, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}))
}
