package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/glue"
	"github.com/go-bert/bert/task"
)

// modelFlags name a model to run.
type modelFlags struct {
	dir       string
	threads   int
	precision bert.Precision
	loaded    func(bert.LoadReport) // set by check
}

func (m *modelFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&m.dir, "model", "", "the model `DIR`: config.json, model.safetensors, vocab.txt or tokenizer.json; the name of one that bert pull fetched; or starter")
	markModel(cmd, "model")
	addThreads(cmd, &m.threads)
	addPrecision(cmd, &m.precision)
}

func addThreads(cmd *cobra.Command, threads *int) {
	cmd.Flags().IntVar(threads, "threads", 0, "compute on `N` threads; 0: as many as the machine has")
}

// check reports a model that is not named or not there, and numbers that can't be, and reads the model's configuration.
func (m *modelFlags) check(a *app) (bert.Config, error) {
	if m.dir == "" {
		return bert.Config{}, usagef("--model DIR is missing: want the folder of a model")
	}
	if err := checkThreads(m.threads); err != nil {
		return bert.Config{}, err
	}
	c, err := bert.LoadConfig(m.dir)
	if err != nil {
		return c, err
	}
	a.warnConfig(c, m.dir)
	m.loaded = a.warnAssumed
	return c, nil
}

// warnAssumed warns of what a model's configuration leaves open and Load decided.
func (a *app) warnAssumed(report bert.LoadReport) {
	for _, note := range report.Assumed {
		a.log.Warn(note)
	}
}

// options are those to open the model with.
func (m *modelFlags) options() task.Options {
	return task.Options{Model: bert.Options{Threads: m.threads, Precision: m.precision}, Loaded: m.loaded}
}

func checkThreads(threads int) error {
	if threads < 0 {
		return usagef("--threads is %d, want 0 for all or a positive number", threads)
	}
	return nil
}

// warnConfig warns of keys in a model's config.json that may have been meant to change something.
func (a *app) warnConfig(c bert.Config, where string) {
	for _, key := range c.Unknown {
		a.log.Warn(fmt.Sprintf("%s: config.json has the unknown key %q, which changes nothing here", where, key))
	}
}

// predictFlags are those of bert predict.
type predictFlags struct {
	model  modelFlags
	in     inputFlags
	data   dataFlags
	split  string
	output string
	out    outputFlags

	zeroShot   []string
	template   string
	multiLabel bool
}

// open opens the model.
func (f *predictFlags) open(ctx context.Context) (*task.Runner[task.Prediction], error) {
	if f.zeroShot == nil {
		return task.Open(ctx, f.model.dir, task.Predict(), f.model.options())
	}
	o := task.ZeroShotOptions{Labels: f.zeroShot, Template: f.template, MultiLabel: f.multiLabel}
	return task.Open(ctx, f.model.dir, task.ZeroShot(o), f.model.options())
}

func (a *app) predictCommand() *cobra.Command {
	var f predictFlags
	cmd := &cobra.Command{
		Use:         "predict [--model DIR] [flags] [TEXT ...]",
		Short:       "Answer texts with a fine-tuned model",
		Annotations: map[string]string{needsAnswers: ""},
		Long: `predict prints, for each text, the label that the model gives it, and the probability, the logarithm of the probability and
the logit of every label; of a model that gives several labels, all with a probability above a half; of a regression the value.

Without --model it takes starter-sentiment, the classifier of film reviews that comes with the program: English, with the labels neg
and pos.

A text that is longer than what the model was fine-tuned for (max_seq_length in its task.json, else its positions) is
cut, or read in windows, as task.json says; the result then has "truncated": true, and stderr says how many were.

--zero-shot gives texts labels that no model was trained on: a model of natural language inference, like one of mnli, says for
each label whether "This text is LABEL." (or --template) follows from the text. One label holds, or with --multi-label any number.

With --task and --data the texts are a part of a task's data (--split, by default test where there is one). --output then writes
the predictions of a task of GLUE in the form that the benchmark's server takes, like CoLA.tsv, and those of ner in the columns
that conlleval reads, predictions.txt.

A model of ner finds entities: their types, where they stand in the text, in bytes, and the mean probability of their words'
labels. A text is split into words at white space and around punctuation; {"words": […]} are taken as they are, and then each
word's label comes too.` + inputHelp,
		Example: `  bert predict "A joy from start to finish."
  bert predict --model my-model "A joy from start to finish."
  bert predict --model my-model --input reviews.txt > labels.jsonl
  echo '{"text": "Is it raining?", "text_pair": "The sun shines."}' | bert predict --model my-model
  bert predict --model mnli-model --zero-shot politics,sports,food "The match ended in a draw."
  bert predict --model cola-model --task cola --data glue/CoLA --split test --output submission`,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if f.zeroShot != nil && !cmd.Flags().Changed("model") {
				return usagef("--model DIR is missing: --zero-shot is for a model of natural language inference")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.zeroShot == nil && (cmd.Flags().Changed("template") || f.multiLabel) {
				return usagef("--template and --multi-label are for --zero-shot: want the labels to choose from")
			}
			if f.zeroShot != nil && (f.data.task != "" || f.data.path != "") {
				return usagef("--zero-shot is for texts, not for the data of a task")
			}
			if f.data.task != "" || f.data.path != "" {
				return a.predictData(cmd, &f, args)
			}
			if f.split != "" || f.output != "" {
				return usagef("--split and --output are for the data of a task: want --task and --data too")
			}
			if _, err := f.model.check(a); err != nil {
				return err
			}
			stream, err := f.in.open(a, args)
			if err != nil {
				return err
			}
			defer stream.close()
			p, err := f.open(cmd.Context())
			if err != nil {
				return err
			}
			defer p.Close()
			a.warnPrecision(p.Model())
			if err := a.predict(cmd.Context(), p, stream, f.out.table(a), nil); err != nil {
				return err
			}
			stream.reportSkipped(a)
			return nil
		},
	}
	f.model.add(cmd)
	defaultModel(cmd)
	f.in.add(cmd)
	f.data.add(cmd, "with --task: the data at `PATH`, a file, or the folder or archive of the task")
	cmd.Flags().StringVar(&f.split, "split", "", "the `PART` of the task's data: train, dev, test")
	cmd.Flags().StringVar(&f.output, "output", "", "write the predictions to `DIR` in the files of the task's benchmark")
	_ = cmd.MarkFlagDirname("output") // the error is for a flag that does not exist
	cmd.Flags().StringSliceVar(&f.zeroShot, "zero-shot", nil, "choose from the labels `A,B`, with a model of natural language inference")
	cmd.Flags().StringVar(&f.template, "template", task.DefaultTemplate, "with --zero-shot: the `SENTENCE` that says what a label, {}, means")
	cmd.Flags().BoolVar(&f.multiLabel, "multi-label", false, "with --zero-shot: any number of the labels may hold")
	f.data.addDetails(cmd)
	f.out.add(cmd)
	return cmd
}

// predict answers what in reads and prints the answers, or hands them to keep.
func (a *app) predict(ctx context.Context, p *task.Runner[task.Prediction], in data.Inputs, table bool, keep func(task.Prediction)) error {
	var (
		cut     truncations
		screen  = screenOf(a.stdout)
		results = 0
	)
	err := p.Stream(ctx, in, func(item task.Item, answer task.Prediction) error {
		cut.add(answer.DroppedTokens)
		if keep != nil {
			keep(answer)
			return nil
		}
		if !table {
			return jsonLine(a.stdout, answer)
		}
		results++
		return writeOut(a.stdout, []byte(predictionTable(screen, &item, &answer, results > 1)))
	})
	if err != nil {
		return err
	}
	cut.report(a, p.MaxSeqLength())
	return nil
}

// predictData answers a part of a task's data.
func (a *app) predictData(cmd *cobra.Command, f *predictFlags, args []string) error {
	t, err := f.data.lookup()
	if err != nil {
		return err
	}
	if len(args) > 0 || f.in.file != "" {
		return usagef("both texts and the data of a task: want one of them")
	}
	if _, err := f.model.check(a); err != nil {
		return err
	}
	split := data.Split(f.split)
	if split == "" {
		split = predictedSplit(t)
	}
	if f.output != "" && predictionsFile(t, split) == "" {
		return usagef("--output: there is no form for predictions of task %s, part %q: want ner, squad, or GLUE's tests, like cola's test", t.Name, split)
	}
	d, tok, err := f.model.describe(cmd.Context(), t, nil)
	if err != nil {
		return err
	}
	if f.data.columns == (data.Columns{}) {
		f.data.columns = d.Columns
	}
	f.data.unlabelled, f.data.skipBad = true, f.in.skipBad
	examples, err := f.data.read(cmd.Context(), a, t, f.data.path, split, 0, 0)
	if err != nil {
		return err
	}
	m, err := f.model.load(tok, nil)
	if err != nil {
		return err
	}
	defer m.Close()
	p, err := task.NewRunner(m, tok, &d, task.Predict(), f.model.options())
	if err != nil {
		return err
	}
	if f.output == "" {
		return a.predict(cmd.Context(), p, &exampleInputs{examples: examples}, f.out.table(a), nil)
	}
	return a.submit(cmd.Context(), p, t, split, examples, f.output)
}

// predictedSplit is the part of a task's data whose labels nobody knows or, without one, the only one.
func predictedSplit(t *task.Task) data.Split {
	if s := glue.Submissions(t.Name); len(s) > 0 {
		return s[0]
	}
	return t.EvalSplit
}

// predictionsFile is the name of the file in which the scorer of a task's benchmark takes the predictions of a part; "" where there
// is none.
func predictionsFile(t *task.Task, split data.Split) string {
	return cmp.Or(glue.SubmissionFile(t.Name, split), t.Kind.PredictionsFile())
}

// submit writes the predictions of a part of a task to dir, in the form of its benchmark.
func (a *app) submit(ctx context.Context, p *task.Runner[task.Prediction], t *task.Task, split data.Split, examples []data.Example, dir string) error {
	var predictions []task.Prediction
	keep := func(answer task.Prediction) { predictions = append(predictions, answer) }
	if err := a.predict(ctx, p, &exampleInputs{examples: examples}, false, keep); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return pathError(err)
	}
	var (
		path string
		err  error
	)
	if glue.SubmissionFile(t.Name, split) != "" {
		path, err = glue.SavePredictions(dir, t.Name, split, predictions)
	} else {
		path, err = task.SavePredictions(dir, t.Kind, examples, predictions)
	}
	if err != nil {
		return err
	}
	a.log.Info(fmt.Sprintf("%s in %s", count(len(predictions), "prediction"), path))
	return nil
}

// exampleInputs are the inputs of examples that were read already. An input that the model can't take ends them.
type exampleInputs struct{ examples []data.Example }

func (e *exampleInputs) Read(context.Context) (data.Input, data.Source, error) {
	if len(e.examples) == 0 {
		return data.Input{}, data.Source{}, io.EOF
	}
	x := e.examples[0]
	e.examples = e.examples[1:]
	return x.Input, x.Source, nil
}

func (e *exampleInputs) Skip(err error) error { return err }

// truncations counts the texts that were cut.
type truncations struct{ all, texts, tokens int }

func (c *truncations) add(dropped int) {
	c.all++
	if dropped > 0 {
		c.texts++
		c.tokens += dropped
	}
}

// report says on stderr what was cut.
func (c *truncations) report(a *app, maxSeqLength int) {
	if c.texts > 0 {
		a.log.Warn(fmt.Sprintf("%s of %s cut to %d tokens; %s dropped",
			thousands(c.texts), count(c.all, "text"), maxSeqLength, count(c.tokens, "token")))
	}
}

// inputLine shows what a result is about.
func inputLine(s screen, in *data.Input) string {
	text := in.Text
	if in.TextPair != "" {
		text += " | " + in.TextPair
	}
	if in.Words != nil {
		text = strings.Join(in.Words, " ")
	}
	if in.IDs != nil {
		text = fmt.Sprintf("ids %v", in.IDs)
	}
	return s.style(cyan, strings.TrimRight(fit(visible(text), s.width), " "))
}

// maxBars is the number of labels that a table shows bars for: the most probable ones.
const maxBars = 10

func predictionTable(s screen, in *task.Item, p *task.Prediction, below bool) string {
	var b strings.Builder
	if below {
		b.WriteByte('\n')
	}
	answer := p.Label
	switch {
	case p.Answer != nil:
		answer = p.String()
	case p.Value != nil:
		answer = fmt.Sprintf("%.4f", *p.Value)
	case p.Entities != nil:
		answer = "entities: " + thousands(len(p.Entities))
	case p.Labels != nil && len(p.Labels) == 0:
		answer = "(none)"
	case p.Labels != nil:
		answer = strings.Join(p.Labels, ", ")
	}
	b.WriteString(inputLine(s, &in.Input) + "\n  " + s.style(bold, visible(answer)))
	if p.Windows > 0 {
		b.WriteString(s.style(dim, fmt.Sprintf("  (%s)", count(p.Windows, "window"))))
	}
	if p.Truncated {
		b.WriteString(s.style(dim, fmt.Sprintf("  (cut: %s dropped)", count(p.DroppedTokens, "token"))))
	}
	b.WriteByte('\n')
	scores := slices.Clone(p.Probabilities)
	if len(scores) > maxBars {
		slices.SortStableFunc(scores, func(a, b task.Score) int {
			switch {
			case a.Value > b.Value:
				return -1
			case a.Value < b.Value:
				return 1
			}
			return 0
		})
		scores = scores[:maxBars]
	}
	bars := make([]barRow, len(scores))
	for i, score := range scores {
		bars[i] = barRow{score.Label, score.Value, score.Label == p.Label || slices.Contains(p.Labels, score.Label)}
	}
	for _, e := range p.Entities {
		bars = append(bars, barRow{e.Type + "  " + e.Text, e.Score, true})
	}
	b.WriteString(s.bars(bars))
	return b.String()
}
