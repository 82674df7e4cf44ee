package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/glue"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/parts"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// modelFlags are the flags of a model to run.
type modelFlags struct {
	dir       string
	threads   int
	precision bert.Precision // once check has run, that of the configuration unless it was given
	given     bool
	loading   loading
	loaded    func(bert.LoadReport) // set by check
}

func (m *modelFlags) add(cmd *cobra.Command) {
	flagsIn(cmd, modelSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&m.dir, "model", "", "the model: its `DIR`, the name of one that bert pull fetched, or starter")
	})
	markModel(cmd, "model")
	addPrecision(cmd, &m.precision, &m.given, precisions)
	m.loading.add(cmd)
	addThreads(cmd, &m.threads)
}

func addThreads(cmd *cobra.Command, threads *int) {
	flagsIn(cmd, generalSection, func(flags *pflag.FlagSet) {
		flags.IntVar(threads, "threads", 0, "compute on `N` threads (default: as many as the machine has)")
	})
}

// check checks the flags and reads the model's configuration.
func (m *modelFlags) check(a *app) (bert.Config, error) {
	if m.dir == "" {
		return bert.Config{}, usagef("--model DIR is missing: want the folder of a model")
	}
	if err := checkThreads(m.threads); err != nil {
		return bert.Config{}, err
	}
	dir, err := bert.ModelDir(m.dir)
	if err != nil {
		return bert.Config{}, err
	}
	if _, err := bert.FindConfig(dir); m.loading.base != "" && errors.Is(err, fs.ErrNotExist) {
		dir = m.loading.base // of an adapter without a configuration
	}
	c, err := bert.LoadConfig(dir)
	if err != nil {
		return c, err
	}
	a.warnConfig(c, dir)
	if !m.given {
		m.precision = c.DefaultPrecision()
	}
	m.loaded = a.warnAssumed
	return c, nil
}

// warnAssumed warns of what Load assumed because the model's files do not say, and of tensors of no BERT.
func (a *app) warnAssumed(report bert.LoadReport) {
	if n := len(report.Unknown); n > 0 {
		const most = 10
		names := strings.Join(report.Unknown[:min(n, most)], ", ")
		if n > most {
			names += fmt.Sprintf(" and %d more", n-most)
		}
		a.log.Warn("left out, as it belongs to no BERT: " + names)
	}
	for _, note := range report.Assumed {
		a.log.Warn(note)
	}
}

// options returns the options to open the model with.
func (m *modelFlags) options() task.Options {
	return task.Options{
		Model:  bert.Options{Threads: m.threads, Precision: m.precision, Dequantize: true, GELU: m.loading.gelu, Base: m.loading.base},
		Loaded: m.loaded,
	}
}

func checkThreads(threads int) error {
	if threads < 0 {
		return usagef("--threads is %d, want 0 for all or a positive number", threads)
	}
	return nil
}

// warnConfig warns of unknown keys in a model's config.json.
func (a *app) warnConfig(c bert.Config, where string) { a.warnUnknown(c.Unknown, where) }

// warnUnknown warns of unknown keys in the config.json of a folder: they may have been meant to change something.
func (a *app) warnUnknown(keys []string, where string) {
	for i, key := range keys {
		if i == maxWarnings {
			a.warnOnce(fmt.Sprintf("%s: config.json has %s more, which are ignored", where, count(len(keys)-i, "unknown key")))
			break
		}
		a.warnOnce(fmt.Sprintf("%s: config.json has the unknown key %s, which is ignored", where, quoted(key)))
	}
}

// warnNotes shows what a user should know about a tokenizer. Every command that uses one calls it, unless the notes are events
// of its run.
func (a *app) warnNotes(notes []tokenizer.Note) {
	for _, note := range notes {
		text := note.Text
		if note.Kind == tokenizer.NoteCasedVocabulary {
			text += "; with --vocab, give --cased"
		}
		a.warnOnce(text)
	}
}

// warnOnce shows a warning that the parts of a command may have in common once.
func (a *app) warnOnce(text string) {
	if a.warned[text] {
		return
	}
	if a.warned == nil {
		a.warned = make(map[string]bool)
	}
	a.warned[text] = true
	a.log.Warn(text)
}

// maxWarnings is the number of warnings of one sort beyond which the others are only counted.
const maxWarnings = 10

// predictFlags are the flags of bert predict.
type predictFlags struct {
	model  modelFlags
	in     inputFlags
	data   dataFlags
	split  string
	output string
	shard  shardFlags
	joined *parts.Set // whose predictions are taken instead of the model's
	out    outputFlags

	pictures pictureFlags

	zeroShot   []string
	template   string
	multiLabel bool
}

// use is what the model is asked for.
func (f *predictFlags) use() task.Use[task.Prediction] {
	if f.zeroShot == nil {
		return task.Predict()
	}
	return task.ZeroShot(task.ZeroShotOptions{Labels: f.zeroShot, Template: f.template, MultiLabel: f.multiLabel})
}

func (a *app) predictCommand() *cobra.Command { return a.predictCommandOf(new(predictFlags)) }

// predictCommandOf is the command with its flags in f.
func (a *app) predictCommandOf(f *predictFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:         "predict [--model DIR] [flags] [TEXT ...]",
		Short:       "Label texts, find entities or answer questions",
		Annotations: map[string]string{needsAnswers: ""},
		Long: `predict runs a fine-tuned model on texts and prints its answers: labels with their probabilities, a number, entities, or
the answer to a question. Without --model it uses starter-sentiment, the small classifier of English film reviews that comes
with the program; its labels are neg and pos.

Each label has a probability, its logarithm and a logit. A multi-label model gives every label with a probability above 0.5,
a regression model a value. A model with a next-sentence head says of a pair of texts whether the second follows the first.

A text that is longer than those the model was fine-tuned on (max_seq_length in task.json, else its number of positions) is
truncated or split into windows, as task.json says. The result of a truncated text has "truncated": true, and a warning counts
such texts.

--zero-shot assigns labels that the model was never trained on. It needs a model of natural language inference, such as one
fine-tuned on mnli, and asks it for each label whether "This text is LABEL." (or --template) follows from the text. The labels
exclude each other unless --multi-label is given.

With --task and --data the texts are a split of a task's data: --split, by default test if there is one. --output then writes
the predictions in the files of the benchmark: those that GLUE's server takes, such as CoLA.tsv; for ner predictions.txt, in
the columns of conlleval; for squad predictions.json.

A named-entity model gives the type, the byte offsets and the score of each entity; the score is the mean probability of the
labels of its words. Texts are split into words at white space and punctuation. For a JSON line with "words" each word gets a
label too.` + shardHelp + inputHelp,
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
			if f.shard.shard != "" && (f.pictures.dir != "" || f.pictures.page != "") {
				return usagef("--plot and --html draw the answers of one run: want them without --shard")
			}
			if f.data.task != "" || f.data.path != "" {
				return a.predictData(cmd, f, args)
			}
			if f.split != "" || f.output != "" && f.shard.shard == "" {
				return usagef("--split and --output are for the data of a task: want --task and --data too")
			}
			if _, err := f.model.check(a); err != nil {
				return err
			}
			return a.inParts(cmd, &f.shard, f.output, &f.in, &f.out, args, "model", f.model.fingerprint, func() error {
				p, err := openStream(cmd.Context(), a, &f.model, &f.in, args, f.use())
				if err != nil {
					return err
				}
				defer p.Close()
				if err := a.predict(cmd.Context(), p.Runner, p.in, f, nil); err != nil {
					return err
				}
				p.in.reportSkipped(a)
				return nil
			})
		},
	}
	f.model.add(cmd)
	defaultModel(cmd)
	f.in.add(cmd)
	flagsIn(cmd, dataSection, func(flags *pflag.FlagSet) {
		f.data.add(cmd, "with --task: the `PATH` of the data, a file or the folder or archive of the task; - is stdin")
		flags.StringVar(&f.split, "split", "", "the `SPLIT` of the task's data: train, dev or test")
		f.data.addDetails(cmd)
	})
	flagsIn(cmd, modelSection, func(flags *pflag.FlagSet) {
		flags.StringSliceVar(&f.zeroShot, "zero-shot", nil, "choose from the labels `A,B`, with a model of natural language inference")
		flags.StringVar(&f.template, "template", task.DefaultTemplate, "with --zero-shot: the `SENTENCE` that states a label, {}")
		flags.BoolVar(&f.multiLabel, "multi-label", false, "with --zero-shot: labels do not exclude each other")
	})
	flagsIn(cmd, outputSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.output, "output", "", "with --task: write the predictions to `DIR`, in the files of the task's benchmark; with --shard: the part")
	})
	f.shard.add(cmd, false)
	_ = cmd.MarkFlagDirname("output") // the error is for a flag that does not exist
	f.pictures.add(cmd)
	f.out.add(cmd)
	mainFlags(cmd, "model", "precision", "zero-shot", "input", "task", "data", "split", "output", "shard", "json", "threads")
	return cmd
}

// predict runs the model on the inputs and prints the answers, or passes them to keep if that is not nil. It draws them if f says so.
func (a *app) predict(ctx context.Context, p *task.Runner[task.Prediction], in data.Inputs, f *predictFlags, keep func(task.Prediction)) (err error) {
	defer func() { err = errors.Join(err, f.pictures.close()) }()
	err = printAnswers(ctx, a, p, in, printing[task.Prediction]{
		table: f.out.table(a), show: predictionTable, dropped: func(p *task.Prediction) int { return p.DroppedTokens }, unprinted: keep != nil,
		each: func(item *task.Item, answer *task.Prediction) error {
			if keep != nil {
				keep(*answer)
			}
			return f.pictures.draw(item, answer)
		},
	})
	if err != nil {
		return err
	}
	return f.pictures.end(a, f.model.dir)
}

// predictData predicts a split of a task's data.
func (a *app) predictData(cmd *cobra.Command, f *predictFlags, args []string) (err error) {
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
	part, err := f.shard.part(f.output, &f.out)
	if err != nil {
		return err
	}
	split := data.Split(f.split)
	if split == "" {
		split = predictedSplit(t)
	}
	if f.output != "" && part.IsZero() && predictionsFile(t, split) == "" {
		return usagef("--output: there is no form for predictions of task %s, part %q: want ner, squad, or GLUE's tests, like cola's test", t.Name, split)
	}
	d, tok, err := f.model.describe(cmd.Context(), t, nil)
	if err != nil {
		return err
	}
	if f.data.columns == (data.Columns{}) {
		f.data.columns = d.Columns
	}
	f.data.unlabelled, f.data.reading = true, f.in.reading
	set, err := f.data.read(cmd.Context(), a, t, &d, split, 0, 0)
	if err != nil {
		return err
	}
	if f.joined != nil {
		return a.submitParts(cmd.Context(), f, t, split, set.Examples)
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
	a.warnNotes(p.Notes())
	if !part.IsZero() {
		return a.predictPart(cmd, f, part, p, set.Examples)
	}
	if f.output == "" {
		return a.predict(cmd.Context(), p, &exampleInputs{examples: set.Examples}, f, nil)
	}
	release, err := files.Claim(f.output)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, release()) }()
	return a.submit(cmd.Context(), p, t, split, set.Examples, f)
}

// predictedSplit returns the split of a task to predict by default: the one that its benchmark scores, else the one for
// evaluation.
func predictedSplit(t *task.Task) data.Split {
	if s := glue.Submissions(t.Name); len(s) > 0 {
		return s[0]
	}
	return t.EvalSplit
}

// submit writes the predictions for a split of a task to dir, in the files of its benchmark.
func predictionsFile(t *task.Task, split data.Split) string {
	return cmp.Or(glue.SubmissionFile(t.Name, split), t.Kind.PredictionsFile())
}

// submit writes the predictions of a part of a task to dir, in the form of its benchmark.
func (a *app) submit(ctx context.Context, p *task.Runner[task.Prediction], t *task.Task, split data.Split, examples []data.Example, f *predictFlags) error {
	var predictions []task.Prediction
	keep := func(answer task.Prediction) { predictions = append(predictions, answer) }
	if err := a.predict(ctx, p, &exampleInputs{examples: examples}, f, keep); err != nil {
		return err
	}
	return a.savePredictions(f.output, t, split, examples, predictions)
}

// savePredictions writes predictions in the form of their task's benchmark.
func (a *app) savePredictions(dir string, t *task.Task, split data.Split, examples []data.Example, predictions []task.Prediction) error {
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

// exampleInputs yields the inputs of examples. It skips nothing: an input that the model cannot take is an error.
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

// truncations counts truncated texts.
type truncations struct{ all, texts, tokens int }

func (c *truncations) add(dropped int) {
	c.all++
	if dropped > 0 {
		c.texts++
		c.tokens += dropped
	}
}

// report warns of truncated texts.
func (c *truncations) report(a *app, maxSeqLength int) {
	if a.part != nil {
		n := &a.part.Counts
		n.Results, n.Truncated, n.Dropped, n.Longest = c.all, c.texts, c.tokens, maxSeqLength
	}
	if c.texts > 0 {
		a.log.Warn(fmt.Sprintf("%s of %s truncated to %d tokens; %s dropped",
			thousands(c.texts), count(c.all, "text"), maxSeqLength, count(c.tokens, "token")))
	}
}

// writeInput begins what a table shows of an item: the input, and how much of it was cut. below says that it is not the first.
func writeInput(b *strings.Builder, s screen, in *task.Item, dropped int, below bool) {
	if below {
		b.WriteByte('\n')
	}
	b.WriteString(inputLine(s, &in.Input))
	if dropped > 0 {
		b.WriteString(s.style(dim, fmt.Sprintf("  (cut: %s dropped)", count(dropped, "token"))))
	}
	b.WriteByte('\n')
}

// inputLine shows the input of a result.
func inputLine(s screen, in *data.Input) string {
	text := in.Text
	if in.IsPair() {
		text += " | " + in.TextPair
	}
	if in.Words != nil {
		text = strings.Join(in.Words[:min(len(in.Words), s.width)], " ")
	}
	if in.IDs != nil {
		text = fmt.Sprintf("ids %v", in.IDs[:min(len(in.IDs), s.width)])
	}
	text = text[:min(len(text), 16*s.width)] // of which fit shows the beginning
	return s.style(cyan, strings.TrimRight(fit(visible(text), s.width), " "))
}

// maxEntities is the number of entities that a table shows.
const maxEntities = 1000

// maxBars is the number of labels that a table shows, the most probable ones.
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
	case p.Values != nil:
		answer = p.String()
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
	for i, e := range p.Entities {
		if i == maxEntities {
			break
		}
		bars = append(bars, barRow{e.Type + "  " + e.Text, e.Score, true})
	}
	b.WriteString(s.bars(bars))
	if n := len(p.Entities) - maxEntities; n > 0 {
		b.WriteString(s.style(dim, "  and "+thousands(n)+" more, which --json prints") + "\n")
	}
	return b.String()
}
