package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/convert"
	"github.com/go-bert/bert/sentence"
)

// dtypes are the values of --dtype.
var dtypes = map[string]checkpoint.DType{"f32": checkpoint.F32, "f16": checkpoint.F16, "bf16": checkpoint.BF16}

type convertFlags struct {
	to           *choice
	dtype        *choice
	maxShard     byteSize
	allowMissing bool
	pooling      []string
	normalize    bool
	loading      loading
	out          outputFlags
}

// conversionJSON is the result of bert convert.
type conversionJSON struct {
	Model      string   `json:"model"`
	Head       string   `json:"head"`
	Parameters int      `json:"parameters"`
	Format     string   `json:"format"` // as in --to
	DType      string   `json:"dtype"`
	Dir        string   `json:"dir"`
	Copied     []string `json:"copied"`   // files of the tokenizer, the task and the pipeline
	Random     []string `json:"random"`   // tensors that were missing
	LeftOut    []string `json:"left_out"` // tensors that are no parameters of the model
}

func (a *app) convertCommand() *cobra.Command {
	var names []string
	help := ""
	for _, f := range convert.Formats() {
		names = append(names, f.String())
		help += fmt.Sprintf("  %-21v %s\n", f, f.About())
	}
	f := convertFlags{to: newChoice("", names...), dtype: newChoice("auto", "auto", "f32", "f16", "bf16")}
	cmd := &cobra.Command{
		Use:   "convert IN OUT --to " + strings.Join(names, "|") + " [flags]",
		Short: "Write a model in another format",
		Long: `convert reads a model in any format and writes it to a new folder in another. It reads safetensors, PyTorch files,
TensorFlow checkpoints and ONNX graphs, with Hugging Face's or Google's tensor names.

The formats to write are
` + help + `
Weights in float32, float16 or bfloat16 keep their bits, so converting a model there and back gives the same bits, unless
--dtype f16 or bf16 rounds them, to nearest. Every pre-training head whose tensors are in the file is converted, whatever class the configuration names. Tensors that are left
out, such as those of an optimizer or of other heads, are listed. A LoRA adapter is merged into its base model. 8-bit weights of an
ONNX graph are written as the numbers that they mean.

Tokenizer files and task.json are copied. Where vocab.txt is the only tokenizer file, the others are written, so that texts
are tokenized as before. hf, torch and sentence-transformers carry the pipeline of a sentence-transformers folder along. For a model
without one, sentence-transformers makes it: --pooling, by default the mean, and --normalize say how.`,
		Example: `  bert convert uncased_L-12_H-768_A-12 bert-base --to hf
  bert convert my-model my-model-tf --to tf
  bert convert bert-large bert-large-bf16 --to hf --dtype bf16 --max-shard-size 500MB
  bert convert my-bert my-encoder --to sentence-transformers --pooling mean --normalize`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("%s, want IN, a model, and OUT, a new folder", count(len(args), "argument"))
			}
			return nil
		},
		Annotations: map[string]string{namesModel: ""},
		RunE: func(cmd *cobra.Command, args []string) error {
			result, err := a.convert(cmd.Context(), args[0], args[1], &f)
			if err != nil || f.out.table(a) { // the messages are the table
				return err
			}
			return jsonLine(a.stdout, result)
		},
	}
	addChoice(cmd, f.to, "to", "the format to write (required)")
	addChoice(cmd, f.dtype, "dtype", "the type of the weights; auto: the type they are stored in")
	addMaxShardSize(cmd, &f.maxShard)
	cmd.Flags().StringSliceVar(&f.pooling, "pooling", nil, "with --to sentence-transformers: a new pipeline with the poolings `A,B`, such as mean or cls")
	cmd.Flags().BoolVar(&f.normalize, "normalize", false, "with --to sentence-transformers: vectors of a new pipeline have length 1")
	cmd.Flags().BoolVar(&f.allowMissing, "allow-missing", false, "initialize missing tensors at random, and name them")
	f.loading.add(cmd)
	place(cmd, outputSection, "to", "dtype", "pooling", "normalize")
	place(cmd, modelSection, "allow-missing")
	cmd.ValidArgsFunction = completeModel(true)
	f.out.add(cmd)
	return cmd
}

// convert writes the model in to the new folder out.
func (a *app) convert(ctx context.Context, in, out string, f *convertFlags) (*conversionJSON, error) {
	format, err := convert.ParseFormat(f.to.value)
	switch {
	case err != nil:
		return nil, usagef("--to is missing: want one of %s", strings.Join(f.to.choices, ", "))
	case !format.Shards() && f.maxShard != math.MaxInt64:
		return nil, usagef("--max-shard-size is not for --to %v, which is one file", format)
	case format.Float32Only() && f.dtype.value != "auto" && dtypes[f.dtype.value] != checkpoint.F32:
		return nil, usagef("--dtype %s is not for --to %v, which is float32", f.dtype.value, format)
	case !format.NewPipeline() && (f.pooling != nil || f.normalize):
		return nil, usagef("--pooling and --normalize are for --to %v, not for --to %v", convert.SentenceTransformers, format)
	}
	var pooling []sentence.Mode
	for _, name := range f.pooling {
		mode, err := sentence.ParseMode(name)
		if err != nil {
			return nil, usagef("--pooling: %v", err)
		}
		pooling = append(pooling, mode)
	}
	shown := &conversionJSON{Model: in, Format: format.String(), Dir: out}
	options := convert.Options{
		Format: format, DType: dtypes[f.dtype.value], MaxShardBytes: int64(f.maxShard), AllowMissing: f.allowMissing,
		GELU: f.loading.gelu, Base: f.loading.base, Pooling: pooling, Normalize: f.normalize,
		Loaded: func(m *bert.Model) {
			a.warnConfig(m.Config(), in)
			a.describeConversion(m, in)
			report := m.Report()
			shown.Head, shown.Parameters = m.Head().String(), countParameters(m)
			shown.Random, shown.LeftOut = list(slices.Concat(report.NewHead, report.Missing)), list(slices.Concat(report.LeftOver, report.Training))
		},
	}
	var result *convert.Result
	err = a.allOrNothing(ctx, func(ctx context.Context) (err error) {
		result, err = convert.Run(ctx, in, out, options)
		return err
	})
	if err != nil {
		return nil, suggestAllowMissing(err)
	}
	for _, note := range result.Notes {
		a.log.Warn(note)
	}
	shown.DType, shown.Copied = result.DType.String(), list(result.Copied)
	a.log.Info(fmt.Sprintf("written: %s as %v%s", out, result.DType, strings.Join(append([]string{""}, result.Copied...), ", ")))
	return shown, nil
}

func countParameters(m *bert.Model) int {
	n := 0
	for _, p := range m.Params() {
		n += p.Len()
	}
	return n
}

// describeConversion reports what was read, and which of it is not written.
func (a *app) describeConversion(m *bert.Model, in string) {
	report := m.Report()
	a.log.Info(fmt.Sprintf("read: %s, a %v of %s parameters", in, m.Head(), thousands(countParameters(m))))
	a.warnAssumed(report)
	for _, part := range []struct {
		what  string
		names []string
	}{
		{"missing, so with random values", slices.Concat(report.NewHead, report.Missing)},
		{"left out", otherHeads(report)},
	} {
		if len(part.names) > 0 {
			a.log.Warn(part.what + ": " + strings.Join(part.names, ", "))
		}
	}
	if n := len(report.Training); n > 0 {
		a.log.Info(fmt.Sprintf("left out: %s of the training, such as %s", count(n, "tensor"), report.Training[0]))
	}
}

// byteSize is a number of bytes, written as Hugging Face's max_shard_size: "500MB", "5GB", "2GiB", or a plain number.
type byteSize int64

func (s *byteSize) Type() string { return "SIZE" }

func (s *byteSize) String() string {
	if *s == math.MaxInt64 {
		return ""
	}
	return strconv.FormatInt(int64(*s), 10)
}

func (s *byteSize) Set(text string) error {
	units := []struct {
		suffix string
		bytes  int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"", 1}}
	for _, u := range units {
		digits, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 1 || n > math.MaxInt64/u.bytes {
			break
		}
		*s = byteSize(n * u.bytes)
		return nil
	}
	return errors.New("want a size such as 500MB, 5GB or 2GiB")
}
