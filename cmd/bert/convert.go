package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/atomicfile"
	"github.com/go-bert/bert/tokenizer"
)

// target is a format that models are converted to.
type target struct {
	name string
	what string // for the help
	save func(m *bert.Model, dir string, o bert.SaveOptions) error
	// shards: it may be written as several files.
	shards bool
	// float32: it has no other type of weights.
	float32 bool
	// check lists what the format's own programs would compute differently; it may be nil.
	check func(c bert.Config) []string
}

// targets are the values of --to.
var targets = []target{
	{name: "hf", what: "Hugging Face's: config.json, model.safetensors", save: saveAs(checkpoint.Safetensors), shards: true},
	{name: "tf", what: "google-research/bert's: bert_config.json, bert_model.ckpt", save: saveAs(checkpoint.TensorFlow), check: checkGoogle},
	{name: "torch", what: "PyTorch's: config.json, pytorch_model.bin", save: saveAs(checkpoint.Torch), shards: true},
	{name: "onnx", what: "an ONNX graph in float32: config.json, model.onnx", save: saveAs(checkpoint.ONNX), float32: true},
}

func saveAs(format checkpoint.Format) func(*bert.Model, string, bert.SaveOptions) error {
	return func(m *bert.Model, dir string, o bert.SaveOptions) error {
		o.Format = format
		return m.Save(dir, o)
	}
}

// checkGoogle lists what google-research/bert's modeling.py does not read from bert_config.json.
func checkGoogle(c bert.Config) []string {
	var notes []string
	const eps = 1e-12
	if c.LayerNormEps != eps {
		notes = append(notes, fmt.Sprintf("google-research/bert has no layer_norm_eps and uses %g; this model has %g", eps, c.LayerNormEps))
	}
	if known := []string{"gelu", "relu", "tanh", "linear"}; !slices.Contains(known, c.HiddenAct) {
		notes = append(notes, fmt.Sprintf("google-research/bert does not have the hidden_act %q of this model, only %s", c.HiddenAct, strings.Join(known, ", ")))
	}
	return notes
}

// dtypes are the values of --dtype.
var dtypes = map[string]checkpoint.DType{"f32": checkpoint.F32, "f16": checkpoint.F16, "bf16": checkpoint.BF16}

// carriedFiles are the files beside the weights that are copied unchanged: those of the tokenizer and the task.
var carriedFiles = []string{
	"vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "task.json",
}

type convertFlags struct {
	to           *choice
	dtype        *choice
	maxShard     byteSize
	allowMissing bool
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
	Copied     []string `json:"copied"`   // files of the tokenizer and the task
	Random     []string `json:"random"`   // tensors that were missing
	LeftOut    []string `json:"left_out"` // tensors that are no parameters of the model
}

func (a *app) convertCommand() *cobra.Command {
	var names []string
	help := ""
	for _, t := range targets {
		names = append(names, t.name)
		help += fmt.Sprintf("  %-6s %s\n", t.name, t.what)
	}
	f := convertFlags{to: newChoice("", names...), dtype: newChoice("auto", "auto", "f32", "f16", "bf16"), maxShard: byteSize(math.MaxInt64)}
	cmd := &cobra.Command{
		Use:   "convert IN OUT --to " + strings.Join(names, "|") + " [flags]",
		Short: "Write a model in another format",
		Long: `convert reads a model in any format and writes it to a new folder in another. It reads safetensors, PyTorch files,
TensorFlow checkpoints and ONNX graphs, with Hugging Face's or Google's tensor names.

The formats to write are
` + help + `
Weights in float32, float16 or bfloat16 keep their bits, so converting a model there and back gives the same bits, unless
--dtype f16 or bf16 rounds them, to nearest. Every pre-training head whose tensors are in the file is converted, whatever class the configuration names. Tensors that are left
out, such as those of an optimizer or of other heads, are listed.

Tokenizer files and task.json are copied. Where vocab.txt is the only tokenizer file, the others are written, so that texts
are tokenized as before.`,
		Example: `  bert convert uncased_L-12_H-768_A-12 bert-base --to hf
  bert convert my-model my-model-tf --to tf
  bert convert bert-large bert-large-bf16 --to hf --dtype bf16 --max-shard-size 500MB`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("%s, want IN, a model, and OUT, a new folder", count(len(args), "argument"))
			}
			return nil
		},
		Annotations: map[string]string{namesModel: ""},
		RunE: func(_ *cobra.Command, args []string) error {
			result, err := a.convert(args[0], args[1], &f)
			if err != nil || f.out.table(a) { // the messages are the table
				return err
			}
			return jsonLine(a.stdout, result)
		},
	}
	addChoice(cmd, f.to, "to", "the format to write (required)")
	addChoice(cmd, f.dtype, "dtype", "the type of the weights; auto: the type they are stored in")
	cmd.Flags().Var(&f.maxShard, "max-shard-size", "split the weights into files of at most `SIZE`, such as 500MB or 5GB, if the format allows it")
	cmd.Flags().BoolVar(&f.allowMissing, "allow-missing", false, "initialize missing tensors at random, and drop unknown ones")
	place(cmd, outputSection, "to", "dtype", "max-shard-size")
	place(cmd, modelSection, "allow-missing")
	cmd.ValidArgsFunction = completeModel(true)
	f.out.add(cmd)
	return cmd
}

// convert writes the model in to the new folder out.
func (a *app) convert(in, out string, f *convertFlags) (result *conversionJSON, err error) {
	i := slices.IndexFunc(targets, func(t target) bool { return t.name == f.to.value })
	if i < 0 {
		return nil, usagef("--to is missing: want one of %s", strings.Join(f.to.choices, ", "))
	}
	to := targets[i]
	if !to.shards && f.maxShard != math.MaxInt64 {
		return nil, usagef("--max-shard-size is not for --to %s, which is one file", to.name)
	}
	if to.float32 && f.dtype.value != "auto" && dtypes[f.dtype.value] != checkpoint.F32 {
		return nil, usagef("--dtype %s is not for --to %s, which is float32", f.dtype.value, to.name)
	}
	if err := checkNew(out); err != nil {
		return nil, err
	}
	from, err := bert.ModelDir(in)
	if err != nil {
		return nil, err
	}
	m, err := bert.Load(context.Background(), in, bert.Options{Head: bert.HeadOfTensors, AllowMissing: f.allowMissing, Seed: 42})
	if err != nil {
		return nil, suggestAllowMissing(err)
	}
	defer m.Close()
	a.warnConfig(m.Config(), from)
	a.describeConversion(m, in)
	if to.check != nil {
		for _, note := range to.check(m.Config()) {
			a.log.Warn(note)
		}
	}
	o := bert.SaveOptions{DType: dtypes[f.dtype.value], MaxShardBytes: int64(f.maxShard)}
	switch {
	case to.float32:
		o.DType = checkpoint.F32
	case o.DType == 0:
		o.DType = a.keptType(m.Report().DType)
	}

	_, statErr := os.Stat(out)
	if err := os.MkdirAll(out, 0o777); err != nil {
		return nil, pathError(err)
	}
	defer func() {
		if err != nil && errors.Is(statErr, fs.ErrNotExist) {
			os.RemoveAll(out)
		}
	}()
	if err := to.save(m, out, o); err != nil {
		return nil, pathError(err)
	}
	files, err := a.carry(from, out)
	if err != nil {
		return nil, pathError(err)
	}
	a.log.Info(fmt.Sprintf("written: %s as %v%s", out, o.DType, strings.Join(append([]string{""}, files...), ", ")))
	report := m.Report()
	return &conversionJSON{
		Model: in, Head: m.Head().String(), Parameters: countParameters(m), Format: to.name, DType: o.DType.String(), Dir: out,
		Copied: list(files), Random: list(slices.Concat(report.NewHead, report.Missing)), LeftOut: list(slices.Concat(report.LeftOver, report.Training)),
	}, nil
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
		{"left out", report.LeftOver},
	} {
		if len(part.names) > 0 {
			a.log.Warn(part.what + ": " + strings.Join(part.names, ", "))
		}
	}
	if n := len(report.Training); n > 0 {
		a.log.Info(fmt.Sprintf("left out: %s of the training, such as %s", count(n, "tensor"), report.Training[0]))
	}
}

// keptType returns the type for writing weights that are stored in a type; 0 is several types.
func (a *app) keptType(stored checkpoint.DType) checkpoint.DType {
	switch stored {
	case checkpoint.F32, checkpoint.F16, checkpoint.BF16:
		return stored
	case 0:
		a.log.Warn("the weights are stored in several types: written as F32")
	default:
		a.log.Warn(fmt.Sprintf("the weights are stored as %v: rounded to F32", stored))
	}
	return checkpoint.F32
}

// checkNew returns an error for a path that exists, unless it is an empty folder.
func checkNew(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return pathError(err)
	case len(entries) > 0:
		return fmt.Errorf("%s: the folder is not empty (%s is in it): want a new one, so that no two models mix", dir, entries[0].Name())
	}
	return nil
}

// carry copies the files beside the weights and returns their names.
func (a *app) carry(from, to string) (copied []string, err error) {
	for _, name := range carriedFiles {
		data, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		err = atomicfile.WriteFile(filepath.Join(to, name), 0o666, func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		})
		if err != nil {
			return nil, err
		}
		copied = append(copied, name)
	}
	has := func(name string) bool { return slices.Contains(copied, name) }
	switch {
	case has("tokenizer.json") || has("tokenizer_config.json"):
	case !has("vocab.txt"):
		a.log.Warn(from + " has no tokenizer: neither vocab.txt nor tokenizer.json is there to copy")
	default:
		// How vocab.txt alone is used depends on the files beside it, so the settings are written out.
		t, err := tokenizer.Load(from)
		if err != nil {
			a.log.Warn(fmt.Sprintf("vocab.txt is copied, but is no tokenizer's (%v)", err))
			return copied, nil
		}
		if err := t.Save(to); err != nil {
			return nil, err
		}
		copied = append(copied, "tokenizer.json", "tokenizer_config.json")
	}
	return copied, nil
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
