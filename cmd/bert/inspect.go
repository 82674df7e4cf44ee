package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/sentence"
)

func (a *app) inspectCommand() *cobra.Command {
	var (
		out    outputFlags
		config string
	)
	cmd := &cobra.Command{
		Use:   "inspect PATH [--config FILE] [flags]",
		Short: "List the tensors of a model and check them",
		Long: `inspect lists the tensors of a model: name, type, shape, L2 norm, smallest and largest value, and the numbers of NaNs and
infinities. Totals and the file's metadata follow, which tensors are missing or left over for the BERT that the
configuration describes, and how a sentence-transformers folder makes vectors of texts.

PATH is a model directory, a file of weights (safetensors, PyTorch or ONNX, also in shards) or the prefix of a TensorFlow
checkpoint. The format is recognized by the content. If the data of a TensorFlow checkpoint is missing, its index is listed and
the exit status is 1.

In a directory with several files of weights inspect takes the first of these: model.safetensors, pytorch_model.bin (or an
index of shards), the newest checkpoint that the file "checkpoint" names, bert_model.ckpt.index, the only other file.`,
		Example: `  bert inspect bert-base-uncased
  bert inspect uncased_L-12_H-768_A-12/bert_model.ckpt --json | jq .tensors[].name
  bert inspect pytorch_model.bin --config bert-base-uncased/config.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("%s, want one PATH of a model directory or a file of weights", count(len(args), "argument"))
			}
			return nil
		},
		Annotations: map[string]string{namesModel: ""},
		RunE:        func(_ *cobra.Command, args []string) error { return a.inspect(args[0], config, out.table(a)) },
	}
	cmd.Flags().StringVar(&config, "config", "", "compare with the configuration in `FILE` (default: the one beside the weights)")
	place(cmd, modelSection, "config")
	_ = cmd.MarkFlagFilename("config", "json") // the error is for a flag that does not exist
	cmd.ValidArgsFunction = completeModel(true)
	out.add(cmd)
	return cmd
}

// inspection is the result of bert inspect.
type inspection struct {
	Path     string             `json:"path"`
	Format   string             `json:"format"`
	Tensors  []inspectedTensor  `json:"tensors"`
	Elements int                `json:"elements"`
	Bytes    int                `json:"bytes"`
	Metadata map[string]string  `json:"metadata,omitempty"`
	Model    *inspectedModel    `json:"model,omitempty"`
	Pipeline *inspectedPipeline `json:"pipeline,omitempty"`
	Missing  string             `json:"missing_data,omitempty"`
}

type inspectedTensor struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
	// Nil if the data is missing.
	Norm *float64 `json:"norm,omitempty"`
	Min  *float64 `json:"min,omitempty"`
	Max  *float64 `json:"max,omitempty"`
	NaN  int      `json:"nan,omitempty"`
	Inf  int      `json:"inf,omitempty"`
}

// inspectedModel compares the tensors with a configuration.
type inspectedModel struct {
	Architecture string   `json:"architecture"`
	NewHead      []string `json:"new_head"`
	Missing      []string `json:"missing"`
	LeftOver     []string `json:"left_over"`
	Training     []string `json:"training"`
	// Int8 are the parameters that are int8 in the file, and Precision is that at which it is run where no other is asked for.
	Int8      []string `json:"int8,omitempty"`
	Precision string   `json:"precision,omitempty"`
	Problem   string   `json:"problem,omitempty"`
}

// inspectedPipeline is what a sentence-transformers folder does with texts.
type inspectedPipeline struct {
	Modules       []string          `json:"modules"`
	CrossEncoder  bool              `json:"cross_encoder"`
	MaxSeqLength  int               `json:"max_seq_length,omitempty"`
	LowerCase     bool              `json:"do_lower_case"`
	Prompts       map[string]string `json:"prompts,omitempty"`
	DefaultPrompt string            `json:"default_prompt_name,omitempty"`
	Similarity    string            `json:"similarity_fn_name"`
	TruncateDim   int               `json:"truncate_dim,omitempty"`
	Notes         []string          `json:"notes,omitempty"`
	Problem       string            `json:"problem,omitempty"`
}

// inspectPipeline describes the pipeline of the folder of a model, nil where there is none. hidden is the width of the model's
// hidden states, 0 if that is not known.
func inspectPipeline(path string, hidden int) *inspectedPipeline {
	dir, err := bert.ModelDir(path)
	if err != nil {
		return nil
	}
	p, err := sentence.Load(dir, hidden)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	in := &inspectedPipeline{Modules: []string{}}
	if err != nil {
		in.Problem = err.Error()
	}
	if p == nil {
		return in
	}
	for i := range p.Modules {
		in.Modules = append(in.Modules, cmp.Or(p.Modules[i].String(), p.Modules[i].Class()))
	}
	in.CrossEncoder, in.MaxSeqLength, in.LowerCase, in.DefaultPrompt = p.CrossEncoder, p.MaxSeqLength, p.LowerCase, p.DefaultPrompt
	in.Similarity, in.TruncateDim, in.Notes = p.Similarity.String(), p.TruncateDim, p.Notes
	for _, prompt := range p.Prompts {
		if in.Prompts == nil {
			in.Prompts = make(map[string]string, len(p.Prompts))
		}
		in.Prompts[prompt.Name] = prompt.Text
	}
	return in
}

func (a *app) inspect(path, configPath string, table bool) error {
	f, absent, err := checkpoint.List(path)
	if err != nil {
		return files.PathError(err)
	}
	defer f.Close()
	in := inspection{Path: path, Format: f.Format().String(), Metadata: f.Metadata(), Tensors: []inspectedTensor{}}
	types := make(map[string]int)
	tensors := f.Tensors()
	for i := range tensors {
		t := &tensors[i]
		in.Elements += t.Len()
		in.Bytes += t.Len() * t.DType.Size()
		types[t.DType.String()]++
		row := inspectedTensor{Name: t.Name, DType: t.DType.String(), Shape: t.Shape}
		if row.Shape == nil {
			row.Shape = []int{}
		}
		if len(t.Data) > 0 || t.Len() == 0 {
			s, err := t.Stats()
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			row.Norm, row.Min, row.Max, row.NaN, row.Inf = &s.Norm, &s.Min, &s.Max, s.NaN, s.Inf
		}
		in.Tensors = append(in.Tensors, row)
	}
	if absent != nil {
		in.Missing = absent.Error()
	}
	var hidden int
	in.Model, hidden, err = a.compareModel(path, configPath, tensors)
	if err != nil {
		return err
	}
	in.Pipeline = inspectPipeline(path, hidden)
	if table {
		err = writeOut(a.stdout, []byte(inspectionTable(screenOf(a.stdout), &in, types)))
	} else {
		err = jsonLine(a.stdout, in)
	}
	return errors.Join(err, absent)
}

// compareModel compares the tensors with the configuration. It returns nil if there is none, and the width of hidden states.
func (a *app) compareModel(path, configPath string, tensors []checkpoint.Tensor) (m *inspectedModel, hidden int, err error) {
	if configPath == "" {
		dir, err := bert.ModelDir(path)
		if err != nil {
			return nil, 0, err
		}
		if configPath, err = bert.FindConfig(dir); errors.Is(err, fs.ErrNotExist) {
			if err := bert.CheckTensors(tensors); err != nil {
				return unfit(err), 0, nil
			}
			return nil, 0, nil
		} else if err != nil {
			return nil, 0, err
		}
	}
	c, err := bert.LoadConfig(configPath)
	if err != nil {
		// The tensors are there to be listed all the same.
		return unfit(err), 0, nil
	}
	a.warnConfig(c, filepath.Dir(configPath))
	head, report, err := bert.Compare(c, tensors)
	m = &inspectedModel{
		Architecture: head.String(), NewHead: list(report.NewHead), Missing: list(report.Missing), LeftOver: list(report.LeftOver),
		Training: list(report.Training), Int8: report.Int8,
	}
	if len(m.Int8) > 0 {
		m.Precision = c.DefaultPrecision().String()
	}
	if err != nil {
		m.Problem = err.Error()
	}
	return m, c.HiddenSize, nil
}

// unfit is the comparison of tensors that can't be run.
func unfit(err error) *inspectedModel {
	return &inspectedModel{NewHead: list(nil), Missing: list(nil), LeftOver: list(nil), Training: list(nil), Problem: err.Error()}
}

// list makes nil an empty list, for JSON.
func list(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}

// pipelineText is a pipeline in a line, "" without one.
func pipelineText(p *inspectedPipeline) string {
	if p == nil {
		return ""
	}
	parts := []string{strings.Join(p.Modules, ", ")}
	if p.CrossEncoder {
		parts = append(parts, "a cross-encoder")
	}
	if p.MaxSeqLength > 0 {
		parts = append(parts, "at most "+count(p.MaxSeqLength, "token"))
	}
	if p.LowerCase {
		parts = append(parts, "lower-cased")
	}
	if len(p.Prompts) > 0 {
		parts = append(parts, "prompts "+strings.Join(slices.Sorted(maps.Keys(p.Prompts)), ", "))
	}
	if p.DefaultPrompt != "" {
		parts = append(parts, "by default "+p.DefaultPrompt)
	}
	text := "sentence-transformers: " + visible(strings.Join(parts, "; ")) + "\n"
	if p.Problem != "" {
		text += "its vectors can't be made here: " + visible(p.Problem) + "\n"
	}
	return text
}

// inspectionTable formats an inspection for people. It truncates nothing to the width of the screen.
func inspectionTable(s screen, in *inspection, types map[string]int) string {
	s.width = math.MaxInt32
	var b strings.Builder
	columns := []column{
		{head: "tensor"}, {head: "type"}, {head: "shape"}, {head: "norm", right: true}, {head: "min", right: true}, {head: "max", right: true}, {head: ""},
	}
	var rows [][]string
	for _, t := range in.Tensors {
		row := []string{visible(t.Name), t.DType, strings.ReplaceAll(fmt.Sprint(t.Shape), " ", ","), "", "", "", ""}
		if t.Norm != nil {
			row[3], row[4], row[5] = fmt.Sprintf("%.6g", *t.Norm), fmt.Sprintf("%.4g", *t.Min), fmt.Sprintf("%.4g", *t.Max)
		}
		var odd []string
		if t.NaN > 0 {
			odd = append(odd, thousands(t.NaN)+" NaN")
		}
		if t.Inf > 0 {
			odd = append(odd, thousands(t.Inf)+" infinite")
		}
		row[6] = s.style(red, strings.Join(odd, ", "))
		rows = append(rows, row)
	}
	b.WriteString(s.table(columns, rows))

	var kinds []string
	for _, name := range slices.Sorted(maps.Keys(types)) {
		kinds = append(kinds, fmt.Sprintf("%s %s", thousands(types[name]), name))
	}
	fmt.Fprintf(&b, "\n%s: %s (%s), %s numbers, %s\n", in.Format, count(len(in.Tensors), "tensor"), strings.Join(kinds, ", "), thousands(in.Elements), count(in.Bytes, "byte"))
	for _, key := range slices.Sorted(maps.Keys(in.Metadata)) {
		fmt.Fprintf(&b, "metadata: %s = %s\n", visible(key), visible(in.Metadata[key]))
	}
	b.WriteString(pipelineText(in.Pipeline))
	if in.Model == nil {
		b.WriteString("no configuration beside it: not compared with a BERT\n")
		return b.String()
	}
	m := in.Model
	if m.Problem != "" {
		fmt.Fprintf(&b, "it can't run here: %s\n", visible(m.Problem))
		return b.String()
	}
	for _, part := range []struct {
		what  string
		names []string
	}{
		{"missing", slices.Concat(m.Missing, m.NewHead)},
		{"left over", m.LeftOver},
	} {
		names := "nothing"
		if len(part.names) > 0 {
			names = visible(strings.Join(part.names, ", "))
		}
		fmt.Fprintf(&b, "%s for a %s: %s\n", part.what, m.Architecture, names)
	}
	if n := len(m.Int8); n > 0 {
		fmt.Fprintf(&b, "int8: %s, with scales; computed in %s by default\n", count(n, "weight"), m.Precision)
	}
	if n := len(m.Training); n > 0 {
		fmt.Fprintf(&b, "of the training, not of the model: %s, such as %s\n", count(n, "tensor"), visible(m.Training[0]))
	}
	return b.String()
}
