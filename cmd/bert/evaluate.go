package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/parts"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// evaluateFlags are those of bert evaluate.
type evaluateFlags struct {
	data          dataFlags
	instances     string
	model         modelFlags
	output        string
	split         string
	labels        []string
	maxSeqLength  int
	nullThreshold string
	maxExamples   int
	showExamples  int
	seed          uint64
	saveLogits    bool
	shard         shardFlags
	joined        *parts.Set // whose logits are taken instead of the model's
	out           outputFlags
}

func (a *app) evaluateCommand() *cobra.Command { return a.evaluateCommandOf(new(evaluateFlags)) }

// evaluateCommandOf is the command with its flags in f.
func (a *app) evaluateCommandOf(f *evaluateFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:         "evaluate (--task TASK --data PATH | --instances DIR) --model DIR [--output DIR] [flags]",
		Short:       "Evaluate a fine-tuned or pre-trained model",
		Annotations: map[string]string{needsAnswers: ""},
		Long: `evaluate runs a model on labelled texts and prints the official metrics of the task, the loss and a report. With --instances it
evaluates a pre-trained model on what bert instances made.

The report depends on the kind of task: a classifier gets precision, recall and F1 per class and the confusion matrix. The
result is also written to eval_results.json in --output, by default the model's folder.

The model's task.json says how texts are treated: labels, longest sequence, columns. A model without task.json takes texts up to
its number of positions; if its labels have no names (LABEL_0, LABEL_1), --labels names them.

With --instances the metrics are accuracy and loss of the masked LM and, if the instances are pairs and the model has the
classifier, of next-sentence prediction.

--shard I/N does part I of N of the examples, counted from 0, and writes what the model says of them to a file in the folder
--output. bert join computes the metrics of all once the parts are done: they are those of one run, to the bit. --shard env takes I
and N from the job array of Slurm or from srun, --shard env/N takes I from there or from an indexed Job of Kubernetes.`,
		Example: `  bert evaluate --task imdb --data aclImdb_v1.tar.gz --model imdb-model
  bert evaluate --task mnli --data glue/MNLI --split dev_mismatched --model mnli-model
  bert evaluate --task text --data test.tsv --model my-model --output results
  bert evaluate --task text --data test.tsv --model my-model --json | jq .eval_accuracy
  bert evaluate --instances held-out --model my-pretrained-model`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.instances != "" {
				return a.evaluateInstances(cmd.Context(), f)
			}
			return a.evaluate(cmd, f)
		},
	}
	f.model.add(cmd)
	flagsIn(cmd, dataSection, func(flags *pflag.FlagSet) {
		f.data.add(cmd, "the `PATH` of the labelled texts: a file, or the folder or archive of the task; - is stdin")
		flags.StringVar(&f.instances, "instances", "", "evaluate a pre-trained model on the instances in `DIR`")
		flags.StringVar(&f.split, "split", "", "the `SPLIT` of the task's data, such as train, dev, test or dev_mismatched (default: the task's own)")
		f.data.addDetails(cmd)
		f.data.reading.add(flags)
	})
	flagsIn(cmd, evaluationSection, func(flags *pflag.FlagSet) {
		flags.IntVar(&f.maxSeqLength, "max-seq-length", 0, "truncate texts to `N` tokens (default: as in task.json)")
		flags.StringVar(&f.nullThreshold, "null-score-diff-threshold", "", "for squad2: no answer if its score exceeds that of the best answer by `N` (default: as in task.json)")
		flags.IntVar(&f.maxExamples, "max-eval-examples", 0, "evaluate on `N` examples drawn at random (default: all)")
		flags.Uint64Var(&f.seed, "seed", 42, "the `SEED` for drawing examples")
		flags.StringSliceVar(&f.labels, "labels", nil, "names for the model's labels, `A,B`, in the order of their ids")
	})
	flagsIn(cmd, outputSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.output, "output", "", "write eval_results.json to `DIR` (default: the model's folder)")
		addSaveLogits(flags, &f.saveLogits)
		flags.IntVar(&f.showExamples, "show-examples", 0, "print the first `N` examples with tokens, ids, type ids and label")
	})
	f.shard.add(cmd, false)
	_ = cmd.MarkFlagDirname("instances") // the errors are for flags that do not exist
	_ = cmd.MarkFlagDirname("output")
	f.out.add(cmd)
	mainFlags(cmd, "model", "precision", "task", "data", "split", "instances", "max-seq-length", "labels", "output", "shard", "json", "threads")
	for _, flag := range []string{"task", "data", "split", "max-seq-length", "labels", "save-logits", "show-examples", "shard"} {
		cmd.MarkFlagsMutuallyExclusive("instances", flag)
	}
	return cmd
}

func (a *app) evaluate(cmd *cobra.Command, f *evaluateFlags) (err error) {
	t, err := f.data.lookup()
	if err != nil {
		return err
	}
	if f.maxExamples < 0 || f.showExamples < 0 {
		return usagef("--max-eval-examples and --show-examples can't be negative")
	}
	part, err := f.shard.part(f.output, &f.out)
	if err != nil {
		return err
	}
	config, err := f.model.check(a)
	if err != nil {
		return err
	}
	description, tok, err := f.describe(cmd, t, config)
	if err != nil {
		return err
	}
	m, err := f.model.load(tok, f.labels)
	if err != nil {
		return err
	}
	defer m.Close()
	split := data.Split(cmp.Or(f.split, string(t.EvalSplit)))
	set, err := f.data.read(cmd.Context(), a, t, &description, split, f.maxExamples, f.seed)
	if err != nil {
		return err
	}
	if f.joined != nil {
		if err := sameInput(f.joined.Job, f.data.path, set.Examples); err != nil {
			return err
		}
	}
	if !part.IsZero() {
		return a.evaluatePart(cmd, f, part, m, tok, description, set)
	}
	dataset, err := task.NewDataset(cmd.Context(), tok, description, set.Examples)
	if err != nil {
		return err
	}
	a.warnNotes(tok.NotesFor(m))
	a.describeModel(m, "weights from "+f.model.dir)
	a.describeData("evaluation data", dataset)
	if err := showExamples(a.stderr, dataset, tok, f.showExamples); err != nil {
		return err
	}
	release, err := f.claim()
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, release()) }()
	progress := a.newProgress()
	defer progress.close()
	result, err := f.measure(cmd.Context(), m, dataset, task.EvaluateOptions{
		GlobalStep: description.GlobalStep(), Skipped: set.Skipped, Outcomes: f.saveLogits, Progress: progress.evaluated,
	})
	progress.close()
	if err != nil {
		return err
	}
	if result.Outcomes != nil {
		result.Outcomes.AddTexts(dataset, tok)
		if err := result.Outcomes.AddExplanations(cmd.Context(), m, dataset, tok); err != nil {
			return err
		}
	}
	if err := f.out.printResult(a, result); err != nil {
		return err
	}
	return f.save(a, result)
}

// measure evaluates the model, or takes what it said when its parts were done.
func (f *evaluateFlags) measure(ctx context.Context, m *bert.Model, d *task.Dataset, o task.EvaluateOptions) (*task.Result, error) {
	if f.joined == nil {
		return task.Evaluate(ctx, m, d, o)
	}
	l, err := joinedLogits(ctx, f.joined)
	if err != nil {
		return nil, err
	}
	return task.Measure(m, d, l, o)
}

// describe says how texts are treated: as in the model's task.json, but for what the flags say.
func (f *evaluateFlags) describe(cmd *cobra.Command, t *task.Task, c bert.Config) (task.Spec, *tokenizer.Tokenizer, error) {
	d, tok, err := f.model.describe(cmd.Context(), t, f.labels)
	if err != nil {
		return d, nil, err
	}
	if f.data.columns == (data.Columns{}) {
		f.data.columns = d.Columns
	}
	if f.maxSeqLength != 0 {
		if d.MaxSeqLength, err = sequenceLength(cmd, f.maxSeqLength, c); err != nil {
			return d, nil, err
		}
	}
	if f.nullThreshold != "" {
		d.NullThreshold, err = parseThreshold(f.nullThreshold)
	}
	return d, tok, err
}

// save writes eval_results.json. A model's folder that can't be written to is no failure: nobody asked for the file there. A
// folder in a cache is other programs' too, and stays as it is.
func (f *evaluateFlags) save(a *app, r interface{ Save(dir string) error }) error {
	dir := f.output
	if dir == "" {
		var err error
		if dir, err = bert.ModelDir(f.model.dir); err != nil {
			return err
		}
	}
	if f.output == "" && dir == a.cached {
		return nil
	}
	err := f.saveIn(dir, r)
	if f.output == "" && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) || errors.As(err, new(*files.BusyError))) {
		a.log.Warn(fmt.Sprintf("%s is not written: %v (--output DIR names another folder)", task.ResultsFile, err))
		return nil
	}
	if err == nil {
		a.log.Info(fmt.Sprintf("saved %s in %s", task.ResultsFile, dir))
		a.writeReport(dir)
	}
	return err
}

// saveIn writes eval_results.json into a folder, which is this process's until then. With --output it has been since the
// beginning.
func (f *evaluateFlags) saveIn(dir string, r interface{ Save(dir string) error }) (err error) {
	if f.output == "" {
		release, err := files.Claim(dir)
		if err != nil {
			return err
		}
		defer func() { err = cmp.Or(err, release()) }()
	}
	return r.Save(dir)
}

// claim takes the folder of --output, so that nothing is computed for a folder that is another process's.
func (f *evaluateFlags) claim() (release func() error, err error) {
	if f.output == "" {
		return func() error { return nil }, nil
	}
	return files.Claim(f.output)
}

// printResult prints an evaluation.
func (o *outputFlags) printResult(a *app, r *task.Result) error {
	if !o.table(a) {
		return jsonLine(a.stdout, r)
	}
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		return err
	}
	return writeOut(a.stdout, []byte(b.String()))
}
