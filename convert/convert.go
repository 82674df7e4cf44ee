// Package convert writes a model directory in another format: the weights, the configuration and what is beside them, such
// as the tokenizer's files.
package convert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/tokenizer"
)

// Format is a layout of model directories.
type Format uint8

const (
	// HuggingFace is config.json and model.safetensors.
	HuggingFace Format = iota
	// Google is google-research/bert's: bert_config.json and the TensorFlow checkpoint bert_model.ckpt.
	Google
	// PyTorch is config.json and pytorch_model.bin.
	PyTorch
	// ONNX is config.json and model.onnx, a graph in float32.
	ONNX
	// SentenceTransformers is HuggingFace with the pipeline that makes vectors of texts: the model's own or a new one.
	SentenceTransformers
)

// format is a row of the table of formats.
type format struct {
	name    string
	about   string
	weights checkpoint.Format
	shards  bool // the weights may be written as several files
	float32 bool // there is no other type of floating-point weights
	int8    bool // weights that are int8 stay so
	// pipeline says what becomes of the pipeline of a sentence-transformers folder.
	pipeline pipelineUse
	// check lists what the format's own programs would compute differently; it may be nil.
	check func(c bert.Config) []string
}

// pipelineUse says what becomes of a pipeline.
type pipelineUse uint8

const (
	leftBehind pipelineUse = iota // the format's programs don't know it
	carriedOn                     // where there is one
	needed                        // made where there is none
)

var formats = [...]format{
	HuggingFace: {name: "hf", about: "Hugging Face's: config.json, model.safetensors", weights: checkpoint.Safetensors, shards: true, int8: true, pipeline: carriedOn},
	Google:      {name: "tf", about: "google-research/bert's: bert_config.json, bert_model.ckpt", weights: checkpoint.TensorFlow, check: checkGoogle},
	PyTorch:     {name: "torch", about: "PyTorch's: config.json, pytorch_model.bin", weights: checkpoint.Torch, shards: true, pipeline: carriedOn},
	ONNX:        {name: "onnx", about: "an ONNX graph: config.json, model.onnx", weights: checkpoint.ONNX, float32: true, int8: true},
	SentenceTransformers: {
		name: "sentence-transformers", about: "Hugging Face's, with modules.json and the modules that make vectors of texts",
		weights: checkpoint.Safetensors, shards: true, int8: true, pipeline: needed,
	},
}

// Formats lists all formats.
func Formats() []Format {
	out := make([]Format, len(formats))
	for i := range formats {
		out[i] = Format(i)
	}
	return out
}

// String is the name that ParseFormat reads.
func (f Format) String() string {
	if int(f) >= len(formats) {
		return fmt.Sprintf("Format(%d)", uint8(f))
	}
	return formats[f].name
}

// About describes the format in a line.
func (f Format) About() string { return formats[f].about }

// Shards reports whether weights may be written as several files.
func (f Format) Shards() bool { return formats[f].shards }

// NewPipeline reports whether Options.Pooling and Normalize have a meaning.
func (f Format) NewPipeline() bool { return formats[f].pipeline == needed }

// Float32Only reports whether weights can be written in float32 alone.
func (f Format) Float32Only() bool { return formats[f].float32 }

// ParseFormat is the reverse of String.
func ParseFormat(name string) (Format, error) {
	var names []string
	for i, f := range formats {
		if f.name == name {
			return Format(i), nil
		}
		names = append(names, f.name)
	}
	return 0, fmt.Errorf("format %q: want one of %s", name, strings.Join(names, ", "))
}

// MarshalText writes String.
func (f Format) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText is ParseFormat.
func (f *Format) UnmarshalText(text []byte) (err error) {
	*f, err = ParseFormat(string(text))
	return err
}

// checkGoogle lists what google-research/bert's modeling.py does not read from bert_config.json.
func checkGoogle(c bert.Config) []string {
	var notes []string
	const eps = 1e-12
	if c.LayerNormEps != eps {
		notes = append(notes, fmt.Sprintf("google-research/bert has no layer_norm_eps and uses %g; this model has %g", eps, c.LayerNormEps))
	}
	switch known := []string{"relu", "tanh", "linear", "gelu_new", "gelu_pytorch_tanh", "gelu_fast"}; {
	case c.HiddenAct == "gelu" || c.HiddenAct == "gelu_python":
		notes = append(notes, "google-research/bert computes gelu by tanh's approximation; this model was made with the error function, so its results there differ a little")
	case !slices.Contains(known, c.HiddenAct):
		known = []string{"gelu", "relu", "tanh", "linear"}
		notes = append(notes, fmt.Sprintf("google-research/bert does not have the hidden_act %q of this model, only %s", c.HiddenAct, strings.Join(known, ", ")))
	}
	return notes
}

// Options say how a model is converted. The zero value writes Hugging Face's format in the type that the weights are stored
// in.
type Options struct {
	Format Format
	// DType is the type of the weights: F32, F16 or BF16; 0: the one that they are stored in, or F32 if they have several or
	// another. HuggingFace, SentenceTransformers and ONNX keep weights that are int8 by the model's configuration.
	DType checkpoint.DType
	// Quantize, if not nil, makes the weights int8, for HuggingFace and SentenceTransformers.
	Quantize *bert.Quantize
	// MaxShardBytes is the most bytes of weights in a file; 0: one file.
	MaxShardBytes int64
	// AllowMissing initialises missing tensors at random.
	AllowMissing bool
	// GELU, Base and Threads are those of bert.Options.
	GELU    bert.GELU
	Base    string
	Threads int
	// Pooling are the modes of a new pipeline, for SentenceTransformers; nil: the model's own pipeline or, of a model without one,
	// the mean. Normalize makes the vectors of a new pipeline as long as 1.
	Pooling   []sentence.Mode
	Normalize bool
	// Loaded, if not nil, is given the model before anything is written.
	Loaded func(*bert.Model)
	// Change, if not nil, makes the model that is written of the one that was read, whose int8 weights are then the numbers that they
	// mean, and the tokenizer that is written in place of the model's own, or nil to copy that.
	Change func(*bert.Model) (*bert.Model, *tokenizer.Tokenizer, error)
	// Check, if not nil, is given the folder before it takes its place. Its error ends Run, and nothing is written.
	Check func(dir string) error
}

// Result says what was written.
type Result struct {
	DType  checkpoint.DType
	Copied []string // files beside the weights, those of the tokenizer, the task and the pipeline
	Notes  []string // what may not be expected, as sentences
}

// seed is that of the values of missing tensors.
const seed = 42

// carried are the files beside the weights that are copied unchanged: those of the tokenizer and the task.
var carried = []string{
	"vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "task.json",
}

// Run reads the model in, any path that bert.Load takes, and writes it to the folder out, which must be new or empty; another
// is a *files.NotEmptyError, which is an fs.ErrExist. The folder appears whole or not at all. Float32, float16 and bfloat16
// weights keep their bits unless they are rounded to another type.
func Run(ctx context.Context, in, out string, o Options) (*Result, error) {
	if err := files.CheckFolder(out); err != nil {
		return nil, err
	}
	if (o.Pooling != nil || o.Normalize) && !o.Format.NewPipeline() {
		return nil, fmt.Errorf("a pipeline is made for %v only, not for %v", SentenceTransformers, o.Format)
	}
	folder, err := bert.ModelDir(in)
	if err != nil {
		return nil, err
	}
	in = sentence.EncoderDir(in)
	from, err := bert.ModelDir(in)
	if err != nil {
		return nil, err
	}
	loading := bert.Options{
		Head: bert.HeadOfTensors, AllowMissing: o.AllowMissing, Seed: seed, GELU: o.GELU, Base: o.Base, Threads: o.Threads, Dequantize: o.Change != nil,
	}
	if o.Quantize != nil {
		loading.Precision = bert.Int8 // so that what is int8 already stays so
	}
	m, err := bert.Load(ctx, in, loading)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if o.Quantize != nil && m.Config().Quantization != nil {
		return nil, fmt.Errorf("%s: its weights are int8 already", in)
	}
	var (
		f = formats[o.Format]
		r = &Result{DType: o.DType}
	)
	pipeline, err := r.pipeline(folder, bert.TokenizerDir(from, o.Base), m.Config(), o)
	if err != nil {
		return nil, err
	}
	if o.Loaded != nil {
		o.Loaded(m)
	}
	read := m.Report().DType
	var tokens *tokenizer.Tokenizer // in place of the model's own
	if o.Change != nil {
		changed, t, err := o.Change(m)
		if err != nil {
			return nil, err
		}
		if changed != m {
			defer changed.Close()
		}
		m, tokens = changed, t
	}
	if f.check != nil {
		r.Notes = append(r.Notes, f.check(m.Config())...)
	}
	stored := o.DType
	switch inInt8 := m.Config().Quantization != nil && o.DType == 0; {
	case o.Quantize != nil, inInt8 && f.int8:
		r.DType = checkpoint.I8
	case inInt8:
		r.Notes = append(r.Notes, "the weights are int8: written as the numbers that they mean")
		r.DType, stored = checkpoint.F32, checkpoint.F32
	case f.float32:
		r.DType, stored = checkpoint.F32, checkpoint.F32
	case o.DType == 0:
		r.keep(read)
		stored = r.DType
	}
	err = files.Folder(out, func(dir string) error {
		if err := m.Save(dir, bert.SaveOptions{DType: stored, Quantize: o.Quantize, Format: f.weights, MaxShardBytes: o.MaxShardBytes}); err != nil {
			return err
		}
		if err := r.carry(bert.TokenizerDir(from, o.Base), dir, o.Format, m, tokens); err != nil {
			return err
		}
		if pipeline != nil {
			names, err := pipeline.Save(dir)
			r.Copied = append(r.Copied, names...)
			if err != nil {
				return err
			}
		}
		if o.Check != nil {
			return o.Check(dir)
		}
		return nil
	}, bert.ConfigFiles()...)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// keep chooses the type of weights that are stored in a type; 0 is several.
func (r *Result) keep(stored checkpoint.DType) {
	switch stored {
	case checkpoint.F32, checkpoint.F16, checkpoint.BF16:
		r.DType = stored
		return
	case 0:
		r.Notes = append(r.Notes, "the weights are stored in several types: written as F32")
	default:
		r.Notes = append(r.Notes, fmt.Sprintf("the weights are stored as %v: rounded to F32", stored))
	}
	r.DType = checkpoint.F32
}

// written are the files that tokenizer.Save writes.
var written = []string{"vocab.txt", "tokenizer.json", "tokenizer_config.json"}

// carry copies the files beside the weights. tokens, if not nil, takes the place of the tokenizer.
func (r *Result) carry(from, to string, format Format, m *bert.Model, tokens *tokenizer.Tokenizer) error {
	if tokens != nil {
		if err := tokens.Save(to, tokenizer.SaveOptions{MaxLength: m.Config().MaxPositionEmbeddings}); err != nil {
			return err
		}
		r.Copied = append(r.Copied, written...)
	}
	for _, name := range carried {
		if tokens != nil && (slices.Contains(written, name) || name == "added_tokens.json") { // whose ids are those of the old tokenizer
			continue
		}
		data, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return files.PathError(err)
		}
		err = files.WriteFile(filepath.Join(to, name), 0o666, func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		})
		if err != nil {
			return files.PathError(err)
		}
		r.Copied = append(r.Copied, name)
	}
	has := func(name string) bool { return slices.Contains(r.Copied, name) }
	if !has("vocab.txt") && !has("tokenizer.json") {
		r.Notes = append(r.Notes, from+" has no tokenizer: neither vocab.txt nor tokenizer.json is there to copy")
		return nil
	}
	t := tokens
	if t == nil {
		var err error
		if t, err = tokenizer.Load(from); err != nil {
			r.Notes = append(r.Notes, fmt.Sprintf("the tokenizer's files are copied, but can't be used (%v)", err))
			return nil
		}
	}
	for _, note := range t.NotesFor(m) {
		r.Notes = append(r.Notes, note.Text)
	}
	if !has("tokenizer.json") && !has("tokenizer_config.json") {
		// How vocab.txt alone is used depends on the files beside it, so the settings are written out.
		r.Copied = append(r.Copied, "tokenizer.json", "tokenizer_config.json")
		return t.Save(to, tokenizer.SaveOptions{MaxLength: m.Config().MaxPositionEmbeddings})
	}
	if format == Google && !has("vocab.txt") {
		return r.writeVocabulary(to, t)
	}
	return nil
}

// writeVocabulary writes the vocabulary of a tokenizer.json as the file that google-research/bert reads.
func (r *Result) writeVocabulary(dir string, t *tokenizer.Tokenizer) error {
	var text bytes.Buffer
	if err := t.WriteVocabulary(&text); err != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("google-research/bert needs vocab.txt, which the tokenizer can't be written as: %v", err))
		return nil
	}
	if !t.OnlyVocabulary() {
		r.Notes = append(r.Notes, "vocab.txt has the tokens of tokenizer.json, but google-research/bert splits texts in another way than that says")
	}
	r.Copied = append(r.Copied, "vocab.txt")
	return files.PathError(files.WriteFile(filepath.Join(dir, "vocab.txt"), 0o666, func(w io.Writer) error {
		_, err := text.WriteTo(w)
		return err
	}))
}
