package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/quantize"
	"github.com/go-bert/bert/task"
)

// quantizeFlags are those of bert quantize.
type quantizeFlags struct {
	keep, weightsOnly []string
	calibrate         string
	alpha             float64
	evaluate          bool
	data              dataFlags
	split             string
	texts             string
	maxExamples       int
	seed              uint64
	maxLoss           float64
	maxShard          byteSize
	threads           int
	loading           loading
	out               outputFlags
}

// quantizationJSON is the result of bert quantize without --evaluate.
type quantizationJSON struct {
	Model      string   `json:"model"`
	Dir        string   `json:"dir"`
	Head       string   `json:"head"`
	Parameters int      `json:"parameters"`
	Int8       int      `json:"int8"`  // parameters that are int8 in the file
	Bytes      int64    `json:"bytes"` // of the weights, about, and in float32
	Float32    int64    `json:"float32_bytes"`
	Calibrated int      `json:"calibrated_texts"`
	Copied     []string `json:"copied"`
}

// noLayers is the value of --weights-only for an empty list.
const noLayers = "none"

func (a *app) quantizeCommand() *cobra.Command {
	var f quantizeFlags
	cmd := &cobra.Command{
		Use:   "quantize MODEL OUT [flags]\n  bert quantize MODEL --evaluate (--task TASK --data PATH | --texts FILE) [flags]",
		Short: "Write a model with int8 weights, a quarter of the size",
		Long: `quantize writes a model to a new folder with int8 weights, about a quarter of the size of float32. Every command takes it as it
takes any other, and computes in int8 by itself: --precision float32 uses the numbers that the integers mean.

Weights are rounded by row, with a scale for each. The products of attention's output and of the feed-forward network are int8, with
inputs that are rounded token by token. Query, key and value cost the most accuracy: their weights are stored in int8 and multiplied in
floating point. So are the tables of embeddings. The pooler and the heads stay float32.

--keep names layers that stay float32 in the file too, --weights-only those whose weights alone are int8: by the numbers of blocks
(0,11), by kinds (` + strings.Join(bert.Int8Kinds(), ", ") + `) or by patterns of their names
(encoder.layer.*.output.dense).

--calibrate runs the model over texts and scales the columns of the layers' inputs, so that they lose little when they are rounded
(SmoothQuant). Then the products of query, key and value are int8 too, unless --weights-only says otherwise.

--evaluate writes nothing. It measures what int8 costs in each kind of layers and in each block: on a task's labelled data its main
metric, on texts the cosine to the vectors that the model makes in float32. Then it looks for flags with which the model loses at most
--max-loss.`,
		Example: `  bert quantize my-model my-model-int8
  bert quantize all-MiniLM-L6-v2 minilm-int8 --calibrate sentences.txt
  bert quantize my-model my-model-int8 --keep 11 --weights-only query,key,value,output
  bert quantize my-model --evaluate --task text --data dev.tsv`,
		Args:        modelAndFolder(&f.evaluate),
		Annotations: map[string]string{namesModel: ""},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.allOrNothing(cmd.Context(), func(ctx context.Context) error {
				if f.evaluate {
					return a.evaluateInt8(ctx, args[0], &f)
				}
				return a.quantize(ctx, args[0], args[1], &f)
			})
		},
	}
	flagsIn(cmd, modelSection, func(flags *pflag.FlagSet) {
		flags.StringSliceVar(&f.keep, "keep", nil, "the `LAYERS` that stay float32: numbers of blocks, kinds or patterns")
		flags.StringSliceVar(&f.weightsOnly, "weights-only", nil, "the `LAYERS` whose weights alone are int8, or none (default query,key,value, with --calibrate none)")
		flags.StringVar(&f.calibrate, "calibrate", "", "scale the inputs of layers by what they are for the texts of `FILE`, one per line")
		flags.Float64Var(&f.alpha, "alpha", quantize.DefaultAlpha, "with --calibrate: how much of the rounding goes to the weights, `A` in (0, 1]")
	})
	flagsIn(cmd, evaluationSection, func(flags *pflag.FlagSet) {
		flags.BoolVar(&f.evaluate, "evaluate", false, "measure what int8 costs in each kind of layers and each block")
		f.data.add(cmd, "the `PATH` of the labelled texts: a file, or the folder or archive of the task; - is stdin")
		flags.StringVar(&f.texts, "texts", "", "measure the cosine to float32 on the texts of `FILE`, one per line")
		flags.StringVar(&f.split, "split", "", "the `SPLIT` of the task's data, such as dev or test (default: the task's own)")
		flags.IntVar(&f.maxExamples, "max-eval-examples", 0, "evaluate on `N` examples drawn at random (default: all)")
		flags.Uint64Var(&f.seed, "seed", 42, "the `SEED` for drawing examples")
		flags.Float64Var(&f.maxLoss, "max-loss", quantize.DefaultMaxLoss, "the most that the recommended model may lose of the metric")
		f.data.addDetails(cmd)
		f.data.reading.add(flags)
	})
	addMaxShardSize(cmd, &f.maxShard)
	f.loading.add(cmd)
	addThreads(cmd, &f.threads)
	f.out.add(cmd)
	_ = cmd.MarkFlagFilename("calibrate") // the errors are for flags that do not exist
	_ = cmd.MarkFlagFilename("texts")
	cmd.MarkFlagsMutuallyExclusive("texts", "task")
	cmd.MarkFlagsMutuallyExclusive("texts", "data")
	cmd.ValidArgsFunction = completeModel(true)
	mainFlags(cmd, "keep", "weights-only", "calibrate", "evaluate", "task", "data", "texts", "max-loss", "json", "threads")
	return cmd
}

// layers is what the flags say of layers, with the scales of a calibration.
func (a *app) int8Layers(ctx context.Context, dir string, f *quantizeFlags) (q bert.Quantize, texts int, err error) {
	q.Keep = f.keep
	switch {
	case slices.Equal(f.weightsOnly, []string{noLayers}) || f.weightsOnly == nil && f.calibrate != "":
		q.WeightsOnly = []string{}
	case f.weightsOnly != nil:
		q.WeightsOnly = f.weightsOnly
	}
	if err := a.checkLayers(dir, &q); err != nil {
		return q, 0, err
	}
	if f.calibrate == "" {
		return q, 0, nil
	}
	inputs, err := a.readTexts(ctx, f.calibrate, f.data.reading)
	if err != nil {
		return q, 0, err
	}
	a.log.Info(fmt.Sprintf("calibrating with %s of %s", count(len(inputs), "text"), f.calibrate))
	progress := a.newProgress()
	defer progress.close()
	q.InputScales, err = quantize.Calibrate(ctx, dir, inputs, quantize.CalibrateOptions{
		Alpha: f.alpha, Model: f.modelOptions(), Progress: progress.evaluated,
	})
	return q, len(inputs), err
}

// checkLayers reports a selection of layers that the model does not have, before anything is computed.
func (a *app) checkLayers(dir string, q *bert.Quantize) error {
	folder, err := bert.ModelDir(dir)
	if err != nil {
		return err
	}
	c, err := bert.LoadConfig(folder)
	if err != nil {
		return err
	}
	if c.Quantization != nil {
		return fmt.Errorf("%s: its weights are int8 already", dir)
	}
	if err := q.Check(&c, bert.NoHead); err != nil {
		return usageError{err}
	}
	return nil
}

func (f *quantizeFlags) modelOptions() bert.Options {
	return bert.Options{Threads: f.threads, GELU: f.loading.gelu, Base: f.loading.base}
}

// readTexts reads the texts of a file, one a line.
func (a *app) readTexts(ctx context.Context, path string, reading readingFlags) ([]data.Input, error) {
	in, err := (&inputFlags{file: path, reading: reading}).open(a, nil)
	if err != nil {
		return nil, err
	}
	defer in.close()
	var inputs []data.Input
	for {
		text, _, err := in.Read(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, text)
	}
	in.reportSkipped(a)
	if len(inputs) == 0 {
		return nil, fmt.Errorf("%s has no texts", path)
	}
	return inputs, nil
}

func (f *quantizeFlags) check() error {
	switch {
	case !(f.alpha > 0 && f.alpha <= 1):
		return usagef("--alpha is %v, want a number in (0, 1]", f.alpha)
	case !(f.maxLoss > 0):
		return usagef("--max-loss is %v, want a positive number", f.maxLoss)
	case f.maxExamples < 0:
		return usagef("--max-eval-examples can't be negative")
	case !f.evaluate && (f.data.task != "" || f.data.path != "" || f.texts != ""):
		return usagef("--task, --data and --texts are for --evaluate")
	}
	return checkThreads(f.threads)
}

// quantize writes the model in to the new folder out.
func (a *app) quantize(ctx context.Context, in, out string, f *quantizeFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	layers, texts, err := a.int8Layers(ctx, in, f)
	if err != nil {
		return err
	}
	shown := quantizationJSON{Model: in, Dir: out, Calibrated: texts}
	result, err := quantize.Run(ctx, in, out, quantize.Options{
		Layers: layers, MaxShardBytes: int64(f.maxShard), GELU: f.loading.gelu, Base: f.loading.base,
		Loaded: func(m *bert.Model) {
			a.warnConfig(m.Config(), in)
			a.describeConversion(m, in)
			c := m.Config()
			shown.Head, shown.Parameters = m.Head().String(), countParameters(m)
			uses, _ := layers.Uses(&c, m.Head()) // Run gives the error
			for _, l := range bert.Int8Layers(&c, m.Head()) {
				if uses[l.Name] {
					shown.Int8 += l.Shape[0] * l.Shape[1]
				}
			}
			saved, _ := quantize.Saved(&c, m.Head(), &layers)
			shown.Float32 = 4 * int64(shown.Parameters)
			shown.Bytes = shown.Float32 - saved
		},
	})
	if err != nil {
		return err
	}
	for _, note := range result.Notes {
		a.log.Warn(note)
	}
	shown.Copied = list(result.Copied)
	a.log.Info(fmt.Sprintf("written: %s, %s of weights in place of %s (%.0f %%): %s of %s parameters are int8",
		out, megabytes(shown.Bytes), megabytes(shown.Float32), 100*float64(shown.Bytes)/float64(max(1, shown.Float32)),
		thousands(shown.Int8), thousands(shown.Parameters)))
	if f.out.table(a) { // the messages are the table
		return nil
	}
	return jsonLine(a.stdout, shown)
}

// evaluateInt8 measures what int8 costs.
func (a *app) evaluateInt8(ctx context.Context, dir string, f *quantizeFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	if f.texts == "" && f.data.task == "" {
		return usagef("--evaluate needs --task and --data, or --texts")
	}
	d, err := task.Describe(ctx, dir)
	if err != nil {
		return err
	}
	a.warnConfig(d.Config, dir)
	measure, err := a.int8Measure(ctx, dir, d, f)
	if err != nil {
		return err
	}
	layers, _, err := a.int8Layers(ctx, dir, f)
	if err != nil {
		return err
	}
	head := d.Head
	if f.texts != "" {
		head = bert.NoHead
	}
	result, err := quantize.Evaluate(ctx, d.Config, head, measure, quantize.EvaluateOptions{
		Model: f.modelOptions(), Layers: layers, MaxLoss: f.maxLoss,
		Progress: func(done, all int, what string) {
			a.log.Info(fmt.Sprintf("measuring %d of %d: %s", done+1, all, what))
		},
	})
	if err != nil {
		return err
	}
	if !f.out.table(a) {
		return jsonLine(a.stdout, result)
	}
	return writeOut(a.stdout, []byte(int8Table(screenOf(a.stdout), result, f.calibrate)))
}

// int8Measure is what the flags ask to measure by.
func (a *app) int8Measure(ctx context.Context, dir string, d *task.Description, f *quantizeFlags) (quantize.Measure, error) {
	if f.texts != "" {
		texts, err := a.readTexts(ctx, f.texts, f.data.reading)
		if err != nil {
			return nil, err
		}
		return quantize.OnTexts(dir, texts), nil
	}
	t, err := f.data.lookup()
	if err != nil {
		return nil, err
	}
	spec, err := d.For(t, nil)
	if err != nil {
		return nil, err
	}
	if f.data.columns == (data.Columns{}) {
		f.data.columns = spec.Columns
	}
	split := data.Split(t.EvalSplit)
	if f.split != "" {
		split = data.Split(f.split)
	}
	set, err := f.data.read(ctx, a, t, &spec, split, f.maxExamples, f.seed)
	if err != nil {
		return nil, err
	}
	dataset, err := task.NewDataset(ctx, d.Tokenizer, spec, set.Examples)
	if err != nil {
		return nil, err
	}
	a.describeData("evaluation data", dataset)
	return quantize.OnData(dir, dataset), nil
}

// int8Table is an evaluation for people.
func int8Table(s screen, e *quantize.Evaluation, calibration string) string {
	columns := []column{{"layers in int8", false}, {"products", false}, {e.Metric, true}, {"lost", true}, {"least", true}, {"size", true}, {"saved", true}}
	row := func(l *quantize.Line) []string {
		products, least := "float32", ""
		if l.Products {
			products = "int8"
		}
		if l.Least != 0 {
			least = fmt.Sprintf("%.5f", l.Least)
		}
		return []string{
			l.Layers, products, fmt.Sprintf("%.5f", l.Value), fmt.Sprintf("%.5f", l.Lost), least,
			megabytes(e.Bytes - l.Saved), fmt.Sprintf("%.0f %%", 100*float64(l.Saved)/float64(max(1, e.Bytes))),
		}
	}
	var rows [][]string
	for i := range e.Lines {
		rows = append(rows, row(&e.Lines[i]))
	}
	rows = append(rows, []string{"nothing", "float32", fmt.Sprintf("%.5f", e.Float32), "0.00000", "", megabytes(e.Bytes), "0 %"})
	weightsOnly := strings.Join(e.WeightsOnly, ",")
	if weightsOnly == "" {
		weightsOnly = noLayers
	}
	flags := " --weights-only " + weightsOnly
	if len(e.Keep) > 0 {
		flags = " --keep " + strings.Join(e.Keep, ",") + flags
	}
	if calibration != "" {
		flags = " --calibrate " + calibration + flags
	}
	return s.table(columns, rows) + fmt.Sprintf("\nrecommended for a loss of at most %v: bert quantize MODEL OUT%s\nIt loses %.5f and has %s of weights.\n",
		e.MaxLoss, flags, e.Recommended.Lost, megabytes(e.Bytes-e.Recommended.Saved))
}
