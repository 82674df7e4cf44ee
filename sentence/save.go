package sentence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
)

// file is one of a pipeline's files: its content or, of weights, where that is.
type file struct {
	name    string // with slashes, in the folder
	content []byte
	source  string
	tensors []checkpoint.Tensor // in place of both, as safetensors
}

// Save writes the files of the pipeline into the folder of its encoder, which may hold that already: modules.json, the settings,
// and a folder for each module. It returns their names, with slashes.
func (p *Pipeline) Save(dir string) (names []string, err error) {
	for _, f := range p.files {
		if err := f.save(dir); err != nil {
			return names, err
		}
		names = append(names, f.name)
	}
	return names, nil
}

func (f *file) save(dir string) error {
	path := filepath.Join(dir, filepath.FromSlash(f.name))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return files.PathError(err)
	}
	if f.tensors != nil {
		return checkpoint.WriteSafetensors(path, f.tensors, nil)
	}
	var from io.Reader = bytes.NewReader(f.content)
	if f.source != "" {
		source, err := files.Open(f.source)
		if err != nil {
			return err
		}
		defer source.Close()
		from = source
	}
	return files.PathError(files.WriteFile(path, 0o666, func(w io.Writer) error {
		_, err := io.Copy(w, from)
		return err
	}))
}

// Options say what pipeline New makes.
type Options struct {
	Modes []Mode // nil: Mean
	// Dense, if not nil, follows the pooling.
	Dense        *Dense
	Normalize    bool
	Hidden       int // width of the encoder's hidden states
	MaxSeqLength int // 0: no limit of its own
}

// Dense is W·x + b, from the width of the pooled vector, P, to Out.
type Dense struct {
	Out    int
	Weight []float32 // W, [Out,P]
	Bias   []float32 // b, [Out]
}

// New makes the pipeline of a plain encoder: pooling and, if asked for, a dense layer and normalization. The vectors of several modes
// come in the order of the constants, each once. The files that it saves are read by every release of sentence-transformers that has
// the modes.
func New(o Options) (*Pipeline, error) {
	if o.Hidden < 1 {
		return nil, errors.New("the width of the hidden states is missing")
	}
	chosen := sortModes(o.Modes)
	if len(chosen) == 0 {
		chosen = []Mode{Mean}
	}
	if last := chosen[len(chosen)-1]; int(last) >= len(modes) {
		return nil, fmt.Errorf("there is no %v", last)
	}
	p := &Pipeline{MaxSeqLength: o.MaxSeqLength, includes: true, Modules: []Module{{Name: "0", Type: "Transformer"}}}
	add := func(class string, s step) (path string) {
		i := len(p.Modules)
		path = fmt.Sprintf("%d_%s", i, class)
		p.Modules = append(p.Modules, Module{Name: fmt.Sprint(i), Path: path, Type: class, step: s})
		return path
	}
	pool := add("Pooling", &pooling{modes: chosen, includePrompt: true})
	denseFolder := ""
	if d := o.Dense; d != nil {
		in := len(chosen) * o.Hidden
		if len(d.Weight) != d.Out*in || len(d.Bias) != d.Out || d.Out < 1 {
			return nil, fmt.Errorf("a dense layer %d → %d with %d weights and %d biases", in, d.Out, len(d.Weight), len(d.Bias))
		}
		denseFolder = add("Dense", &dense{in: in, out: d.Out, weight: slices.Clone(d.Weight), bias: slices.Clone(d.Bias), activation: Identity})
	}
	if o.Normalize {
		add("Normalize", &normalize{})
	}
	entries := make([]entry, len(p.Modules))
	for i := range p.Modules {
		m := &p.Modules[i]
		m.Type = "sentence_transformers.models." + m.Type
		m.kind = kindOf(m.Type)
		entries[i] = entry{Name: m.Name, Path: m.Path, Type: m.Type}
	}
	list, err := marshalModules(entries)
	if err != nil {
		return nil, err
	}
	config, err := jsonobject.Marshal(1+len(modes), func(i int) (string, any) {
		if i == 0 {
			return "word_embedding_dimension", o.Hidden
		}
		return modes[i-1].flag, slices.Contains(chosen, Mode(i-1))
	})
	if err != nil {
		return nil, err
	}
	length := any(nil)
	if o.MaxSeqLength > 0 {
		length = o.MaxSeqLength
	}
	for _, f := range []struct {
		name  string
		value any
	}{
		{modulesFile, list}, {settingsFiles[0], map[string]any{"max_seq_length": length, "do_lower_case": false}},
		{modelFile, map[string]any{"prompts": map[string]string{}, "default_prompt_name": nil, "similarity_fn_name": Cosine}},
		{pool + "/" + configFile, json.RawMessage(config)},
	} {
		content, err := json.MarshalIndent(f.value, "", "  ")
		if err != nil {
			return nil, err
		}
		p.files = append(p.files, file{name: f.name, content: append(content, '\n')})
	}
	if o.Dense != nil {
		if err := p.saveDense(denseFolder, p.Modules[2].step.(*dense)); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// saveDense adds the files of a dense layer.
func (p *Pipeline) saveDense(folder string, d *dense) error {
	config, err := json.MarshalIndent(map[string]any{
		"in_features": d.in, "out_features": d.out, "bias": true, "activation_function": "torch.nn.modules.linear.Identity",
	}, "", "  ")
	if err != nil {
		return err
	}
	weights := file{name: folder + "/model.safetensors"}
	for _, t := range []struct {
		name   string
		shape  []int
		values []float32
	}{{"linear.weight", []int{d.out, d.in}, d.weight}, {"linear.bias", []int{d.out}, d.bias}} {
		data, err := checkpoint.FromFloat32(checkpoint.F32, t.values)
		if err != nil {
			return err
		}
		weights.tensors = append(weights.tensors, checkpoint.Tensor{Name: t.name, DType: checkpoint.F32, Shape: t.shape, Data: data})
	}
	p.files = append(p.files, file{name: folder + "/" + configFile, content: append(config, '\n')}, weights)
	return nil
}

// marshalModules writes modules.json.
func marshalModules(entries []entry) (json.RawMessage, error) {
	list := make([]json.RawMessage, len(entries))
	for i, e := range entries {
		keys, values := []string{"idx", "name", "path", "type"}, []any{i, e.Name, e.Path, e.Type}
		if e.kwargs != nil {
			keys, values = append(keys, "kwargs"), append(values, e.kwargs)
		}
		var err error
		if list[i], err = jsonobject.Marshal(len(keys), func(j int) (string, any) { return keys[j], values[j] }); err != nil {
			return nil, err
		}
	}
	return json.MarshalIndent(list, "", "  ")
}
