// Package sentence is what a sentence-transformers folder does with the hidden states of its encoder to make the vector of a text:
// pooling, dense layers, normalization. It knows neither the encoder nor the tokenizer.
//
// [Load] reads such a folder: modules.json, the configuration and the weights of each module, config_sentence_transformers.json
// and sentence_bert_config.json. [Pipeline.Vector] computes. [New] makes a pipeline for a plain BERT, and [Pipeline.Save] writes
// one into a folder, for sentence-transformers to read. [CrossEncoder] says how a cross-encoder's score is made.
//
// The reference is sentence-transformers 6.2 (sentence_transformers/base/model.py, base/modules and
// sentence_transformer/modules) for its own files and those of its earlier releases.
//
// Legend: n tokens, H width of a hidden state, D width of a vector.
package sentence

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/go-bert/bert/internal/files"
)

// Pipeline makes vectors of texts, or says how a cross-encoder makes scores. It is immutable and safe for concurrent use.
type Pipeline struct {
	// Dir is the folder with modules.json, and Encoder that of the encoder, which often is the same; "" of a new pipeline.
	Dir, Encoder string
	// Modules are in the order of modules.json. The encoder is the first.
	Modules []Module
	// CrossEncoder says that the folder is one of a cross-encoder: there are no vectors.
	CrossEncoder bool

	// MaxSeqLength is the most tokens of a text, which the library truncates to them; 0: the limit of the tokenizer and the model.
	MaxSeqLength int
	// LowerCase says that texts are lower-cased, whatever the tokenizer does.
	LowerCase bool
	// Prompts are texts to put before an input, in the order of the file. DefaultPrompt is the name of the one that is put before
	// each text unless another is asked for; "": none.
	Prompts       []Prompt
	DefaultPrompt string
	// Similarity compares vectors.
	Similarity Similarity
	// TruncateDim is the number of elements that are kept of a vector; 0: all.
	TruncateDim int
	// Notes are sentences that say what the files hold that is of no effect here.
	Notes []string

	score       string // activation_fn of config_sentence_transformers.json
	includes    bool   // the pooling takes the prompt's tokens too
	files       []file // that Save writes
	unsupported *UnsupportedError
}

// Prompt is a text with a name.
type Prompt struct{ Name, Text string }

// UnsupportedError says of a folder of sentence-transformers what can't be run here.
type UnsupportedError struct {
	File string
	What string // as a sentence without a capital
}

func (e *UnsupportedError) Error() string { return e.File + ": " + e.What }

// The files of a folder, beside those of its modules.
const (
	modulesFile = "modules.json"
	modelFile   = "config_sentence_transformers.json"
	configFile  = "config.json" // of a module
)

// Limits on the files. A folder in use has up to ten modules; prompts of a model may be some hundred.
const (
	maxFile    = 4 << 20 // bytes
	maxModules = 100
	maxPrompts = 10_000
)

// EncoderDir is the folder of the encoder of a sentence-transformers folder: dir itself or the folder in it that modules.json names. A
// path that is no such folder stays as it is.
func EncoderDir(dir string) string {
	data, err := files.ReadFile(filepath.Join(dir, modulesFile), maxFile)
	if err != nil {
		return dir
	}
	entries, err := parseModules(data)
	if err != nil || !entries[0].encoder() {
		return dir
	}
	return filepath.Join(dir, filepath.FromSlash(entries[0].Path))
}

// Load reads the pipeline of a folder with modules.json, or of the folder of the encoder of one. hidden is the width of the
// encoder's hidden states; 0: not known. Without a modules.json the error is an fs.ErrNotExist. A folder with something that is
// not supported is an *UnsupportedError, beside a pipeline that has the settings for texts and gives no vectors. Any other error is
// about a broken file.
func Load(dir string, hidden int) (*Pipeline, error) {
	path := filepath.Join(dir, modulesFile)
	data, err := files.ReadFile(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		if above, ok := folderOf(dir); ok {
			return Load(above, hidden)
		}
	}
	if err != nil {
		return nil, err
	}
	entries, err := parseModules(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	p := &Pipeline{Dir: dir, includes: true}
	r := &reader{pipeline: p, widths: widths{tokens: hidden}}
	if err = r.read(entries, data); err == nil {
		return p, nil
	}
	if errors.As(err, &p.unsupported) {
		return p, err
	}
	if errors.Is(err, fs.ErrNotExist) { // of a module's folder: only a missing modules.json means that there is no pipeline
		err = fmt.Errorf("%v: %s wants it", err, modulesFile)
	}
	return nil, err
}

// folderOf is the sentence-transformers folder that a folder is the encoder of.
func folderOf(dir string) (above string, ok bool) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", false
	}
	above = filepath.Dir(abs)
	return above, above != abs && EncoderDir(above) == abs
}

// Vector makes the vector [D] of a text from the hidden states [n,H] of its tokens. prompt is the number of tokens, from the
// first on, that belong to a prompt.
func (p *Pipeline) Vector(states []float32, hidden, prompt int) ([]float32, error) {
	if p.unsupported != nil {
		return nil, p.unsupported
	}
	if p.CrossEncoder {
		return nil, errors.New("a cross-encoder gives scores of pairs of texts, not vectors")
	}
	f := features{tokens: states, width: hidden, prompt: prompt}
	for i := range p.Modules {
		if step := p.Modules[i].step; step != nil {
			if err := step.apply(&f); err != nil {
				return nil, err
			}
		}
	}
	if n := p.TruncateDim; n > 0 && n < len(f.vector) {
		f.vector = f.vector[:n:n]
	}
	return f.vector, nil
}

// IncludesPrompt says that the tokens of a prompt are pooled like the others: Vector needs to know their number only otherwise.
func (p *Pipeline) IncludesPrompt() bool { return p.includes }

// Prompt is the text of a prompt; that of DefaultPrompt for "".
func (p *Pipeline) Prompt(name string) (string, error) {
	if name == "" {
		if name = p.DefaultPrompt; name == "" {
			return "", nil
		}
	}
	var names []string
	for _, prompt := range p.Prompts {
		if prompt.Name == name {
			return prompt.Text, nil
		}
		names = append(names, prompt.Name)
	}
	return "", &PromptError{name, names}
}

// PromptError says that a model has no prompt of a name.
type PromptError struct {
	Name string
	Have []string
}

func (e *PromptError) Error() string {
	if len(e.Have) == 0 {
		return fmt.Sprintf("there is no prompt %s: the model has none", quote(e.Name))
	}
	return fmt.Sprintf("there is no prompt %s: want one of %s", quote(e.Name), quoteAll(e.Have))
}

// String is the pipeline in a line: what each module does after the encoder.
func (p *Pipeline) String() string {
	var steps []string
	for i := range p.Modules {
		if s := p.Modules[i].String(); s != "" {
			steps = append(steps, s)
		}
	}
	if p.TruncateDim > 0 {
		steps = append(steps, fmt.Sprintf("the first %d elements", p.TruncateDim))
	}
	if p.CrossEncoder {
		steps = append(steps, "cross-encoder")
	}
	return strings.Join(steps, ", ")
}
