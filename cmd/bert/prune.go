package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/pretrain"
	"github.com/go-bert/bert/prune"
	"github.com/go-bert/bert/task"
)

// pruneFlags are those of bert prune.
type pruneFlags struct {
	vocabFrom      []string
	imdbSplits     []string
	minCount       int64
	vocabSize      int
	dropCharacters bool
	keepLayers     string
	every          int
	heads, neurons amount
	evaluate       bool
	data           dataFlags
	evalData       string
	importance     int
	maxExamples    int
	seed           uint64
	maxShard       byteSize
	threads        int
	loading        loading
	out            outputFlags
}

// prunedJSON is the result of bert prune without --evaluate.
type prunedJSON struct {
	Model       string                  `json:"model"`
	Dir         string                  `json:"dir"`
	Head        string                  `json:"head"`
	DType       string                  `json:"dtype"`
	Before      prune.Size              `json:"before"`
	After       prune.Size              `json:"after"`
	Layers      []int                   `json:"layers,omitempty"` // that were kept, where some weren't
	PrunedHeads map[int][]int           `json:"pruned_heads,omitempty"`
	Vocabulary  *prune.VocabularyResult `json:"vocabulary,omitempty"`
	Importances *prune.Importances      `json:"importances,omitempty"`
	ScoreBefore *prune.Score            `json:"score_before,omitempty"`
	ScoreAfter  *prune.Score            `json:"score_after,omitempty"`
	Copied      []string                `json:"copied"`
}

// defaultImportance is how many examples importance is measured on.
const defaultImportance = 1000

// cuts are the shares of heads that --evaluate takes out.
var cuts = []float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8}

func (a *app) pruneCommand() *cobra.Command {
	var f pruneFlags
	cmd := &cobra.Command{
		Use:   "prune MODEL OUT [flags]\n  bert prune MODEL --evaluate --task TASK --data PATH [flags]",
		Short: "Write a smaller model: without tokens, layers, heads or neurons",
		Long: `prune writes a model to a new folder without parts that are not needed. Every command takes the result as it takes any other; fine-tuning
it some more makes good for most of what it lost.

--vocab-from keeps the tokens that texts use, and with --min-count those that they use often, with --vocab-size the most used. Without these two,
the texts have the same tokens as before, which is checked with the files that were written, and the model gives the same bits. Special and added
tokens are kept, and single characters, so that no other text becomes unknown: --drop-characters leaves out those that the texts don't use.

--keep-layers keeps some layers, --every each K-th, the first among them.

--heads takes out heads of attention and --neurons neurons of the feed-forward networks, as a number or a share: those that matter least for
labelled examples of a task, by the gradient of the loss at a mask (Michel et al. 2019). Heads are compared across layers, and every layer keeps
one; --neurons counts in each layer. The configuration lists the heads as pruned_heads, which transformers reads up to version 4.

With --task and --data, the model is evaluated before and after.

--evaluate writes nothing. It shows how much each head matters and what the model loses without tenths of them.`,
		Example: `  bert prune bert-base-multilingual-cased mbert-de --vocab-from german.txt.zst
  bert prune my-model my-model-6 --every 2
  bert prune my-model my-model-small --heads 30% --neurons 25% --task sst2 --data glue/SST-2
  bert prune my-model --evaluate --task text --data train.tsv --eval-data dev.tsv`,
		Args:        modelAndFolder(&f.evaluate),
		Annotations: map[string]string{namesModel: ""},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			return a.allOrNothing(cmd.Context(), func(ctx context.Context) error {
				if f.evaluate {
					return a.evaluatePruning(ctx, args[0], &f)
				}
				return a.prune(ctx, args[0], args[1], &f)
			})
		},
	}
	flagsIn(cmd, modelSection, func(flags *pflag.FlagSet) {
		flags.StringSliceVar(&f.vocabFrom, "vocab-from", nil, "keep the tokens that the texts of `FILE` use: text, plain or compressed, or IMDB; may be repeated")
		flags.Int64Var(&f.minCount, "min-count", 1, "with --vocab-from: keep tokens that occur at least `N` times")
		flags.IntVar(&f.vocabSize, "vocab-size", 0, "with --vocab-from: keep the `N` tokens that occur most (default: all that occur)")
		flags.BoolVar(&f.dropCharacters, "drop-characters", false, "with --vocab-from: leave out single characters that the texts don't use")
		flags.StringSliceVar(&f.imdbSplits, "imdb-splits", []string{"train", "unsup"}, "the `SPLITS` of IMDB to read")
		flags.StringVar(&f.keepLayers, "keep-layers", "", "keep the layers `A,B`, from 0")
		flags.IntVar(&f.every, "every", 0, "keep every `K`-th layer, the first among them")
		flags.Var(&f.heads, "heads", "take out heads: a number of all layers together, or a share, such as 0.3 or 30%")
		flags.Var(&f.neurons, "neurons", "take out neurons of each feed-forward network: a number, or a share")
	})
	flagsIn(cmd, evaluationSection, func(flags *pflag.FlagSet) {
		flags.BoolVar(&f.evaluate, "evaluate", false, "measure how much heads matter and what it costs to take them out")
		f.data.add(cmd, "the `PATH` of the labelled texts: a file, or the folder or archive of the task; - is stdin")
		flags.StringVar(&f.evalData, "eval-data", "", "evaluate on the data at `PATH`")
		flags.IntVar(&f.importance, "importance-examples", defaultImportance, "measure importance on `N` examples of the training data drawn at random; 0: all")
		flags.IntVar(&f.maxExamples, "max-eval-examples", 0, "evaluate on `N` examples drawn at random (default: all)")
		flags.Uint64Var(&f.seed, "seed", 42, "the `SEED` for drawing examples")
		f.data.addDetails(cmd)
		f.data.reading.add(flags)
	})
	addMaxShardSize(cmd, &f.maxShard)
	f.loading.add(cmd)
	addThreads(cmd, &f.threads)
	f.out.add(cmd)
	_ = cmd.MarkFlagFilename("vocab-from") // the errors are for flags that do not exist
	cmd.MarkFlagsMutuallyExclusive("keep-layers", "every")
	cmd.MarkFlagsMutuallyExclusive("min-count", "vocab-size")
	cmd.ValidArgsFunction = completeModel(true)
	mainFlags(cmd, "vocab-from", "min-count", "vocab-size", "keep-layers", "every", "heads", "neurons", "evaluate", "task", "data", "json", "threads")
	return cmd
}

// amount is a number or a share, as a flag.
type amount prune.Amount

func (m *amount) Type() string { return "N|SHARE" }

func (m *amount) String() string {
	switch {
	case m.Share > 0:
		return strconv.FormatFloat(m.Share, 'g', -1, 64)
	case m.N > 0:
		return strconv.Itoa(m.N)
	}
	return ""
}

func (m *amount) Set(text string) error {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		*m = amount{N: n}
		return nil
	}
	digits, percent := strings.CutSuffix(text, "%")
	share, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if percent {
		share /= 100
	}
	if err != nil || !(share > 0 && share < 1) {
		return errors.New("want a number, or a share such as 0.3 or 30%")
	}
	*m = amount{Share: share}
	return nil
}

// check reports mistakes in the flags that can be seen before anything is read.
func (f *pruneFlags) check(cmd *cobra.Command) error {
	var (
		changed = cmd.Flags().Changed
		none    amount
		chosen  = f.heads != none || f.neurons != none
		labels  = f.data.task != "" || f.data.path != ""
	)
	for _, flag := range []string{"min-count", "vocab-size", "drop-characters", "imdb-splits"} {
		if changed(flag) && len(f.vocabFrom) == 0 {
			return usagef("--%s is for --vocab-from", flag)
		}
	}
	switch {
	case f.minCount < 1:
		return usagef("--min-count is %d, want at least 1", f.minCount)
	case changed("vocab-size") && f.vocabSize < 1:
		return usagef("--vocab-size is %d, want at least 1", f.vocabSize)
	case changed("every") && f.every < 2:
		return usagef("--every is %d, want at least 2", f.every)
	case f.importance < 0 || f.maxExamples < 0:
		return usagef("--importance-examples and --max-eval-examples can't be negative")
	case slices.Contains(f.vocabFrom, stdinPath) || f.data.path == stdinPath || f.evalData == stdinPath:
		return usagef("what is pruned by is read more than once: want a file, not stdin")
	case f.evaluate && (chosen || len(f.vocabFrom) > 0 || f.keepLayers != "" || f.every > 0):
		return usagef("--evaluate writes none, and measures without tenths of the heads: want no other choice of parts")
	case f.evaluate && !labels:
		return usagef("--evaluate needs --task and --data")
	case chosen && !labels:
		return usagef("--heads and --neurons are chosen by labelled examples: want --task and --data")
	case !f.evaluate && !chosen && len(f.vocabFrom) == 0 && f.keepLayers == "" && f.every == 0:
		return usagef("nothing to leave out: want --vocab-from, --keep-layers, --every, --heads or --neurons")
	}
	return checkThreads(f.threads)
}

// stdinPath stands for standard input.
const stdinPath = "-"

// examples reads the labelled data of the flags for a model; nil where there is none.
func (a *app) pruneExamples(ctx context.Context, dir string, f *pruneFlags) (*prune.Examples, error) {
	if f.data.task == "" && f.data.path == "" {
		return nil, nil
	}
	t, err := f.data.lookup()
	if err != nil {
		return nil, err
	}
	d, err := task.Describe(ctx, dir)
	if err != nil {
		return nil, err
	}
	x := new(prune.Examples)
	if x.Spec, err = d.For(t, nil); err != nil {
		return nil, err
	}
	if f.data.columns == (data.Columns{}) {
		f.data.columns = x.Spec.Columns
	}
	read := func(path string, split data.Split, most int) ([]data.Example, error) {
		from := f.data
		from.path = path
		set, err := from.read(ctx, a, t, &x.Spec, split, most, f.seed)
		if err != nil {
			return nil, err
		}
		return set.Examples, nil
	}
	if x.Importance, err = read(f.data.path, data.Train, f.importance); err != nil {
		return nil, err
	}
	switch {
	case f.evalData != "":
		x.Evaluation, err = read(f.evalData, t.EvalSplit, f.maxExamples)
	case t.EvalSplit != "":
		x.Evaluation, err = read(f.data.path, t.EvalSplit, f.maxExamples)
	case f.evaluate:
		a.log.Warn("no --eval-data: the model is evaluated on the data by which importance is measured")
		x.Evaluation, err = read(f.data.path, data.Train, f.maxExamples)
	}
	return x, err
}

// prune writes the smaller model of in to the new folder out.
func (a *app) prune(ctx context.Context, in, out string, f *pruneFlags) error {
	o := prune.Options{
		Heads: prune.Amount(f.heads), Neurons: prune.Amount(f.neurons),
		MaxShardBytes: int64(f.maxShard), GELU: f.loading.gelu, Base: f.loading.base, Threads: f.threads,
	}
	var err error
	if o.Layers, err = f.layers(in); err != nil {
		return err
	}
	if len(f.vocabFrom) > 0 {
		corpus := &pretrain.Corpus{Paths: f.vocabFrom, IMDBSplits: f.imdbSplits, Encoding: f.data.reading.encoding}
		o.Vocabulary = &prune.Vocabulary{Texts: corpus.Lines, MinCount: f.minCount, Size: f.vocabSize, DropCharacters: f.dropCharacters}
	}
	if o.Examples, err = a.pruneExamples(ctx, in, f); err != nil {
		return err
	}
	shown := prunedJSON{Model: in, Dir: out, Layers: o.Layers}
	o.Loaded = func(m *bert.Model) {
		a.warnConfig(m.Config(), in)
		a.describeConversion(m, in)
		shown.Head = m.Head().String()
	}
	progress := a.newProgress()
	defer progress.close()
	o.Progress = func(stage prune.Stage, done, all int) { progress.at(string(stage), done, all) }
	r, err := prune.Run(ctx, in, out, o)
	progress.close()
	if err != nil {
		return err
	}
	for _, note := range r.Notes {
		a.log.Warn(note)
	}
	shown.DType, shown.Copied = r.DType.String(), list(r.Copied)
	shown.Before, shown.After, shown.PrunedHeads, shown.Vocabulary, shown.Importances = r.Before, r.After, r.PrunedHeads, r.Vocabulary, r.Importances
	shown.ScoreBefore, shown.ScoreAfter = r.ScoreBefore, r.ScoreAfter
	a.describePruning(&shown)
	if !f.out.table(a) {
		return jsonLine(a.stdout, shown)
	}
	if r.Importances == nil { // the messages are the table
		return nil
	}
	return writeOut(a.stdout, []byte(importanceTable(screenOf(a.stdout), r.Importances)))
}

// layers are those to keep; nil: all.
func (f *pruneFlags) layers(dir string) ([]int, error) {
	if f.every == 0 {
		return numberList("keep-layers", f.keepLayers)
	}
	folder, err := bert.ModelDir(dir)
	if err != nil {
		return nil, err
	}
	c, err := bert.LoadConfig(folder)
	if err != nil {
		return nil, err
	}
	return prune.Every(f.every, c.NumHiddenLayers), nil
}

// describePruning says what was left out.
func (a *app) describePruning(r *prunedJSON) {
	if v := r.Vocabulary; v != nil {
		c := &v.Corpus
		a.log.Info(fmt.Sprintf("vocabulary: %s of %s tokens are kept: %s special, %s and %s; the texts use %s",
			thousands(v.After), thousands(v.Before), thousands(v.Special), count(v.Characters, "single character"), count(v.After-v.Special-v.Characters, "other"),
			thousands(v.Used)))
		if c.Changed == 0 {
			a.log.Info(fmt.Sprintf("checked: all %s lines have the same %s tokens", thousands(int(c.Lines)), thousands(int(c.TokensBefore))))
		} else {
			a.log.Info(fmt.Sprintf("checked: %s of %s lines have other tokens, the first line %s; %s tokens in place of %s (%+.2f %%), of them unknown %s in place of %s",
				thousands(int(c.Changed)), thousands(int(c.Lines)), thousands(int(c.FirstChanged)), thousands(int(c.TokensAfter)), thousands(int(c.TokensBefore)),
				100*(float64(c.TokensAfter)/float64(max(1, c.TokensBefore))-1), thousands(int(c.UnknownAfter)), thousands(int(c.UnknownBefore))))
		}
		if v.Lacking > 0 {
			a.log.Warn(fmt.Sprintf("%s with a character that has no token of its own are kept; other texts with such characters may still become unknown", count(v.Lacking, "token")))
		}
	}
	if n := r.Before.Layers - r.After.Layers; n > 0 {
		a.log.Info(fmt.Sprintf("layers: %s of %s are kept: %s", thousands(r.After.Layers), thousands(r.Before.Layers), spaced(r.Layers)))
	}
	if i := r.Importances; i != nil {
		a.log.Info(fmt.Sprintf("importance: measured on %s, with a loss of %.4f", count(i.Examples, "example"), i.Loss))
		a.log.Info(fmt.Sprintf("heads: %d of %d are kept; neurons: %s of %s of each layer", r.After.Heads, r.Before.Heads, thousands(r.After.Intermediate), thousands(r.Before.Intermediate)))
	}
	if b, s := r.ScoreBefore, r.ScoreAfter; b != nil && s != nil {
		a.log.Info(fmt.Sprintf("%s: %.4f in place of %.4f; evaluated in %.1f s in place of %.1f s", s.Metric, s.Value, b.Value, s.Seconds, b.Seconds))
	}
	a.log.Info(fmt.Sprintf("written: %s as %s, %s parameters in place of %s (%.0f %%)", r.Dir, r.DType, thousands(r.After.Parameters), thousands(r.Before.Parameters),
		100*float64(r.After.Parameters)/float64(max(1, r.Before.Parameters))))
}

// importanceTable shows the normalized importance of the heads: a layer a row.
func importanceTable(s screen, i *prune.Importances) string {
	columns := []column{{"layer", true}}
	most := 0
	for _, layer := range i.Heads {
		most = max(most, len(layer))
	}
	for h := range most {
		columns = append(columns, column{"head " + strconv.Itoa(h), true})
	}
	var rows [][]string
	for l, layer := range i.Normalized() {
		row := []string{strconv.Itoa(l)}
		for h := range most {
			cell := ""
			if h < len(layer) {
				cell = fmt.Sprintf("%.3f", layer[h])
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return s.table(columns, rows)
}

// evaluatePruning measures what it costs to take heads out.
func (a *app) evaluatePruning(ctx context.Context, dir string, f *pruneFlags) error {
	x, err := a.pruneExamples(ctx, dir, f)
	if err != nil {
		return err
	}
	progress := a.newProgress()
	defer progress.close()
	e, err := prune.Evaluate(ctx, dir, x, cuts, bert.Options{Threads: f.threads, GELU: f.loading.gelu, Base: f.loading.base}, func(stage prune.Stage, done, all int) {
		progress.at(string(stage), done, all)
	})
	progress.close()
	if err != nil {
		return err
	}
	if !f.out.table(a) {
		return jsonLine(a.stdout, e)
	}
	s := screenOf(a.stdout)
	columns := []column{{"heads taken out", true}, {"parameters", true}, {e.Cuts[0].Score.Metric, true}, {"lost", true}, {"loss", true}, {"seconds", true}}
	var rows [][]string
	for _, c := range e.Cuts {
		rows = append(rows, []string{
			fmt.Sprintf("%d of %d", c.Heads, e.Size.Heads), thousands(c.Parameters), fmt.Sprintf("%.4f", c.Score.Value), fmt.Sprintf("%.4f", c.Lost),
			fmt.Sprintf("%.4f", c.Score.Loss), fmt.Sprintf("%.2f", c.Score.Seconds),
		})
	}
	return writeOut(a.stdout, []byte(importanceTable(s, e.Importances)+"\n"+s.table(columns, rows)))
}
