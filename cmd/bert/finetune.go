package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

func (a *app) finetuneCommand() *cobra.Command {
	f := newFinetuneFlags()
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
tokenizer_config.json, task.json and eval_results.json; events.jsonl and TensorBoard's event files tell how the run
went. Checkpoints are written every --save-steps. Ctrl-C ends the run after the step it is at and saves it; --resume goes on
from the newest checkpoint, with the same options, and ends with the same bits.`,
		Example: `  bert finetune --task imdb --data aclImdb_v1.tar.gz --model bert-base-uncased --output imdb-model
  bert finetune --task cola --data glue/CoLA --model bert-base-uncased --output cola-model --metric-for-best-model main
  bert finetune --task text --data train.tsv --eval-data dev.tsv --model bert-base-uncased --output my-model
  bert finetune --task text --data reviews.csv --text-column body --label-column stars --validation-share 0.1 \
      --config small.json --vocab vocab.txt --learning-rate 1e-4 --num-train-epochs 10 --output my-model`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.finetune(cmd, f) },
	}
	f.add(cmd)
	return cmd
}

func (f *finetuneFlags) add(cmd *cobra.Command) {
	o, flags := &f.options, cmd.Flags()
	f.data.add(cmd, "the training data: a `PATH` of a file, or the folder or archive of the task")
	flags.StringVar(&f.evalData, "eval-data", "", "evaluate on the data at `PATH`")
	f.addModel(cmd)
	f.addOutput(cmd, "write the model, events and checkpoints to `DIR`")
	f.addRecipe(cmd)
	flags.Uint64Var(o.Seed, "seed", *o.Seed, "`SEED` of what is drawn at random: examples, new weights, their order, dropout")
	flags.BoolVar(&o.Resume, "resume", false, "go on from the newest checkpoint in --output")
	f.addData(cmd)
	f.addDetails(cmd)
	flags.IntVar(&f.showExamples, "show-examples", 0, "print the first `N` examples with tokens, ids, type ids and label")
	f.out.add(cmd)
}

func (a *app) finetune(cmd *cobra.Command, f *finetuneFlags) error {
	t, err := f.data.lookup()
	if err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	if err := f.setKind(cmd, t); err != nil {
		return err
	}
	if err := checkNewModel(&f.options, "--model", f.vocabulary.model); err != nil {
		return err
	}
	j, err := f.prepare(a, cmd, t)
	if err != nil {
		return err
	}
	defer j.model.Close()
	from := "random weights"
	if f.config == "" {
		from = "weights from " + f.vocabulary.model
	}
	a.describeModel(j.model, from)
	a.describeData("training data", j.train)
	if j.eval != nil {
		a.describeData("evaluation data", j.eval)
	} else {
		a.log.Warn("no evaluation data: nothing will say how good the model is (--eval-data or --validation-share)")
	}
	if err := j.train.ShowExamples(a.stderr, j.tokenizer, f.showExamples); err != nil {
		return err
	}
	result, err := a.train(cmd.Context(), j)
	if err != nil {
		return a.explain(err, j.options.Output, j.eval != nil)
	}
	if result != nil {
		if err := f.out.printResult(a, result); err != nil {
			return err
		}
	}
	a.log.Info("saved in " + j.options.Output)
	next := "bert predict --model " + quoteArgument(j.options.Output)
	if in := j.description.Kind.InputJSON(); in != "" {
		next = "echo " + quoteArgument(in) + " | " + next
	} else {
		next += ` "a text"`
	}
	a.log.Info("next: " + next)
	return nil
}

// setKind makes the task of the kind that --problem-type asks for.
func (f *finetuneFlags) setKind(cmd *cobra.Command, t *task.Task) error {
	if !cmd.Flags().Changed("problem-type") {
		return nil
	}
	kind, err := task.ParseKind(f.problemType.value)
	if err == nil {
		err = t.SetKind(kind)
	}
	if err != nil {
		return usageError{fmt.Errorf("--problem-type: %w", err)}
	}
	return nil
}

// prepare reads everything and makes the job, whose model the caller closes. The small files come first, so that mistakes
// in them are seen at once.
func (f *finetuneFlags) prepare(a *app, cmd *cobra.Command, t *task.Task) (*job, error) {
	config, tok, err := f.load(a)
	if err != nil {
		return nil, err
	}
	if !cmd.Flags().Changed("max-seq-length") {
		f.maxSeqLength = t.Kind.MaxSeqLength()
	}
	length, err := sequenceLength(cmd, f.maxSeqLength, config)
	if err != nil {
		return nil, err
	}
	training, held, err := f.read(a, t)
	if err != nil {
		return nil, err
	}
	labels, err := f.labelsOf(t, training, &config)
	if err != nil {
		return nil, err
	}
	j := &job{tokenizer: tok, description: t.Describe(labels, length), options: f.options}
	j.description.Columns, j.description.DocStride = f.data.columns, f.docStride
	if j.bestThreshold = f.nullThreshold == "best"; !j.bestThreshold {
		if j.description.NullThreshold, err = parseThreshold(f.nullThreshold); err != nil {
			return nil, err
		}
	}
	if j.description.Long, err = task.ParseLongText(f.long.value); err != nil {
		return nil, usageError{err}
	}
	if j.description.Truncation, err = tokenizer.ParseTruncation(f.truncation.value); err != nil {
		return nil, usageError{err}
	}
	if err := j.build(f, training, held); err != nil {
		return nil, err
	}
	if err := f.checkMetric(j); err != nil {
		return nil, err
	}
	if j.model, err = f.model(config, &j.description); err != nil {
		return nil, err
	}
	if err = j.model.CheckVocabulary(tok.VocabSize()); err != nil {
		err = fmt.Errorf("%s: %w", cmp.Or(f.vocabulary.vocab, f.vocabulary.model), err)
	} else {
		j.options.Fingerprint, err = j.fingerprint()
	}
	if err != nil {
		return nil, errors.Join(err, j.model.Close())
	}
	return j, nil
}

// explain makes of the ways in which a run may end what the user can do then.
func (a *app) explain(err error, output string, evaluated bool) error {
	var (
		interrupted *train.InterruptedError
		finished    *train.FinishedError
	)
	switch {
	case errors.As(err, &interrupted):
		return fmt.Errorf("interrupted after step %d of %d and saved in %s; to go on: %s",
			interrupted.Step, interrupted.Steps, interrupted.Checkpoint, a.resumeCommand())
	case errors.As(err, &finished):
		a.log.Info(fmt.Sprintf("%s: the run in this folder has ended at step %d: nothing to resume", output, finished.Result.Steps))
		if _, err := os.Stat(filepath.Join(output, task.ResultsFile)); err != nil && evaluated {
			a.log.Warn("it was ended before its model could be evaluated: bert evaluate does that")
		}
		return nil
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("interrupted; the model is saved in %s, but not evaluated", output)
	}
	return err
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

// load reads the configuration and the tokenizer.
func (f *finetuneFlags) load(a *app) (bert.Config, *tokenizer.Tokenizer, error) {
	config, err := a.loadConfig(f.config, f.vocabulary.model)
	if err != nil {
		return config, nil, err
	}
	tok, err := f.vocabulary.load()
	return config, tok, err
}

// loadConfig reads the configuration of a new model, in a file, or of one to begin with.
func (a *app) loadConfig(file, model string) (bert.Config, error) {
	path := cmp.Or(file, model)
	config, err := bert.LoadConfig(path)
	if err != nil {
		return config, err
	}
	if file != "" && len(config.Unknown) > 0 {
		// Of a new model, unlike of somebody else's, a misspelt key would be found out only much later.
		return config, fmt.Errorf("%s: unknown key %q: take it out, or correct its spelling", path, config.Unknown[0])
	}
	a.warnConfig(config, path)
	return config, nil
}

// model makes the model to begin with.
func (f *finetuneFlags) model(config bert.Config, d *task.Description) (*bert.Model, error) {
	head := d.Kind.Head()
	o := bert.Options{
		Threads: f.threads, Precision: f.precision, Head: &head, Labels: d.Labels, ProblemType: d.Kind.ProblemType(),
		AllowMissing: f.allowMissing, Seed: *f.options.Seed,
	}
	if f.config != "" {
		m, err := bert.New(config, head, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.config, err)
		}
		return m, nil
	}
	return bert.Load(f.vocabulary.model, o)
}

// read reads the examples to train on and those to evaluate on.
func (f *finetuneFlags) read(a *app, t *task.Task) (training, held []task.Example, err error) {
	seed := *f.options.Seed
	if training, err = f.data.read(a, t, f.data.path, task.Train, 0, seed); err != nil {
		return nil, nil, err
	}
	switch {
	case f.validationShare > 0:
		n := int(f.validationShare * float64(len(training)))
		if n < 1 {
			return nil, nil, usagef("--validation-share %v of %s is less than one", f.validationShare, count(len(training), "example"))
		}
		training, held = task.SplitValidation(training, n, seed)
		if f.maxEvalExamples > 0 {
			held = task.Draw(held, f.maxEvalExamples, seed)
		}
	case f.evalData != "":
		held, err = f.data.read(a, t, f.evalData, t.EvalSplit, f.maxEvalExamples, seed)
	case t.OnePart(f.data.path):
	case t.EvalSplit != "":
		held, err = f.data.read(a, t, f.data.path, t.EvalSplit, f.maxEvalExamples, seed)
	}
	if f.maxTrainExamples > 0 {
		training = task.Draw(training, f.maxTrainExamples, seed)
	}
	return training, held, err
}

// labelsOf gives the labels in the order of their ids: the task's, those of the flag, or those in the data; these in the
// order of the model, if it was made for the same ones.
func (f *finetuneFlags) labelsOf(t *task.Task, training []task.Example, c *bert.Config) ([]string, error) {
	switch {
	case !t.HasLabels() && f.labels != nil && t.Labels == nil:
		return nil, usagef("--labels is for tasks that have labels; the answers of a %v are none", t.Kind)
	case !t.HasLabels() && t.Labels == nil:
		return nil, nil
	case t.Labels != nil && f.labels != nil:
		return nil, usagef("--labels is for data without labels of its own; those of task %s are %s", t.Name, strings.Join(t.Labels, ", "))
	case t.Labels != nil:
		return t.Labels, nil
	case f.labels != nil:
		return f.labels, task.CheckLabels(training, f.labels)
	}
	labels, err := task.LabelsOf(training)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.data.path, err)
	}
	mine, models := slices.Sorted(slices.Values(labels)), slices.Sorted(slices.Values(c.Labels))
	if slices.Equal(mine, models) {
		return c.Labels, nil
	}
	return labels, nil
}

// build makes the features.
func (j *job) build(f *finetuneFlags, training, held []task.Example) (err error) {
	if j.train, err = task.NewDataset(j.tokenizer, j.description, training); err != nil {
		return err
	}
	weights, err := j.train.ClassWeights(f.classWeights)
	if err != nil {
		return usageError{err}
	}
	if err := j.train.SetClassWeights(weights); err != nil {
		return err
	}
	if held == nil {
		return nil
	}
	j.options.EvalEpochs = true
	j.eval, err = task.NewDataset(j.tokenizer, j.description, held)
	return err
}

// mainMetric stands for the task's main official metric.
const mainMetric = "main"

// checkMetric reports a metric to choose the model by that no evaluation will have.
func (f *finetuneFlags) checkMetric(j *job) error {
	metric := f.options.BestMetric
	names, official := j.description.MetricNames()
	if metric == mainMetric {
		metric = official[0]
	}
	j.options.BestMetric, j.options.Minimize = metric, task.LessIsBetter(metric)
	if j.eval == nil {
		if metric != "" || f.options.EvalSteps > 0 {
			return usagef("--metric-for-best-model and --eval-steps need data to evaluate on: --eval-data or --validation-share")
		}
		return nil
	}
	if metric != "" && !slices.Contains(names, metric) {
		return usagef("--metric-for-best-model is %q, want one of %s", metric, strings.Join(names, ", "))
	}
	return nil
}
