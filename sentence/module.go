package sentence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/internal/message"
)

// Module is a step of a pipeline.
type Module struct {
	Name string // in modules.json
	Path string // of its folder in that of the pipeline, with slashes; "": the same folder
	Type string // the class in Python

	kind *kind
	step step // nil: it changes nothing
}

// String says what the module does; "" where it does nothing after the encoder.
func (m *Module) String() string {
	if m.step == nil {
		return ""
	}
	return m.step.String()
}

// Class is the last part of the module's type, such as Pooling.
func (m *Module) Class() string { return m.Type[strings.LastIndexByte(m.Type, '.')+1:] }

// step is what a module computes.
type step interface {
	apply(f *features) error
	String() string
}

// features are what modules hand on: the hidden states and, from the pooling on, the vector.
type features struct {
	tokens []float32 // token_embeddings, [n,H]; the caller's
	width  int       // H
	prompt int       // tokens of a prompt, the first ones
	vector []float32 // sentence_embedding, [D]; the pipeline's own
}

// widths are those that the features have before a module; 0: not known.
type widths struct{ tokens, vector int }

// kind is a row of the table of modules.
type kind struct {
	// class is the last part of the type: sentence_transformers.models.Pooling and
	// sentence_transformers.sentence_transformer.modules.pooling.Pooling are the same.
	class string
	// read reads the module's folder. nil: the encoder, which is somebody else's.
	read func(r *reader, m *Module, dir string) (step, error)
	// refused says why the module can't be run.
	refused string
}

// Reasons for which modules can't be run, after "which".
const (
	noBERT  = "is no BERT and can't be run here"
	notHere = "is not supported"
)

// kinds are the modules of sentence-transformers.
var kinds = []kind{
	{class: "Transformer"},
	{class: "BERT"}, // of releases before 1.0
	{class: "Pooling", read: readPooling},
	{class: "Dense", read: readDense},
	{class: "LayerNorm", read: readLayerNorm},
	{class: "Normalize", read: readNormalize},
	{class: "Dropout", read: readDropout},

	{class: "BoW", refused: noBERT},
	{class: "CLIPModel", refused: noBERT},
	{class: "StaticEmbedding", refused: noBERT},
	{class: "SparseStaticEmbedding", refused: noBERT},
	{class: "WordEmbeddings", refused: noBERT},
	{class: "Asym", refused: notHere},
	{class: "CNN", refused: notHere},
	{class: "LSTM", refused: notHere},
	{class: "LogitScore", refused: notHere},
	{class: "MLMTransformer", refused: notHere},
	{class: "Router", refused: notHere},
	{class: "SparseAutoEncoder", refused: notHere},
	{class: "SpladePooling", refused: notHere},
	{class: "WeightedLayerPooling", refused: notHere},
	{class: "WordWeights", refused: notHere},
}

// kindOf is the row of a type, nil of one that sentence-transformers doesn't have.
func kindOf(path string) *kind {
	if !strings.HasPrefix(path, "sentence_transformers.") {
		return nil
	}
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.class == path[strings.LastIndexByte(path, '.')+1:] })
	if i < 0 {
		return nil
	}
	return &kinds[i]
}

// entry is a module in modules.json.
type entry struct {
	Name, Path, Type string
	kwargs           json.RawMessage // nil: none
}

// encoder says that the module is an encoder.
func (e *entry) encoder() bool {
	k := kindOf(e.Type)
	return k != nil && k.read == nil && k.refused == ""
}

// listModules splits modules.json into its modules.
func listModules(data []byte) ([]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	t, err := d.Token()
	if err != nil {
		return nil, jsonobject.Error(err)
	}
	if t != json.Delim('[') {
		return nil, errors.New("not a JSON array, want a list of modules")
	}
	var list []json.RawMessage
	for d.More() {
		if len(list) == maxModules {
			return nil, fmt.Errorf("more than %d modules", maxModules)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, jsonobject.Error(err)
		}
		list = append(list, raw)
	}
	if _, err := d.Token(); err != nil {
		return nil, jsonobject.Error(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the list of modules")
	}
	if len(list) == 0 {
		return nil, errors.New("no module in it")
	}
	return list, nil
}

// parseModules reads modules.json. The order of modules is that of the file, as for the library, whatever idx says.
func parseModules(data []byte) ([]entry, error) {
	list, err := listModules(data)
	if err != nil {
		return nil, err
	}
	entries := make([]entry, len(list))
	for i, raw := range list {
		e := &entries[i]
		seen := make(map[string]bool)
		err := jsonobject.Parse(raw, func(key string, value json.RawMessage) error {
			seen[key] = true
			switch key {
			case "name":
				return jsonobject.Field(key, value, &e.Name)
			case "path":
				return jsonobject.Field(key, value, &e.Path)
			case "type":
				return jsonobject.Field(key, value, &e.Type)
			case "kwargs":
				e.kwargs = bytes.Clone(value)
			}
			return nil
		})
		for _, key := range []string{"name", "path", "type"} {
			if err == nil && !seen[key] {
				err = fmt.Errorf("no key %q", key)
			}
		}
		if err == nil && (strings.ContainsAny(e.Path, "\\\x00") || e.Path != "" && !filepath.IsLocal(filepath.FromSlash(e.Path))) {
			err = fmt.Errorf("path is %s, want a folder inside the model's", quote(e.Path))
		}
		if err == nil && slices.ContainsFunc(entries[:i], func(before entry) bool { return before.Name == e.Name }) {
			err = fmt.Errorf("name is %s, as that of a module before it", quote(e.Name))
		}
		if err != nil {
			return nil, fmt.Errorf("module %d: %w", i, err)
		}
		if e.Path == "." {
			e.Path = ""
		}
		e.Path = strings.TrimSuffix(e.Path, "/")
	}
	return entries, nil
}

// reader reads the modules of a pipeline one after another.
type reader struct {
	pipeline *Pipeline
	widths   widths
	pooled   bool // there is a vector
}

// read reads the whole pipeline. data is modules.json.
func (r *reader) read(entries []entry, data []byte) error {
	if err := r.pipeline.readModel(); err != nil {
		return err
	}
	for i := range entries {
		if err := r.module(i, &entries[i]); err != nil {
			return err
		}
	}
	return r.finish(entries, data)
}

// module reads module i.
func (r *reader) module(i int, e *entry) error {
	p := r.pipeline
	m := Module{Name: e.Name, Path: e.Path, Type: e.Type, kind: kindOf(e.Type)}
	dir := filepath.Join(p.Dir, filepath.FromSlash(e.Path))
	what := fmt.Sprintf("module %d is %s", i, message.Cut(e.Type))
	switch {
	case m.kind == nil:
		return r.unsupported("%s, which is no module of sentence-transformers that is known here", what)
	case m.kind.refused != "":
		return r.unsupported("%s, which %s", what, m.kind.refused)
	case i == 0 && !e.encoder():
		return r.unsupported("%s, want a Transformer first", what)
	case i > 0 && e.encoder():
		return r.unsupported("%s, but a pipeline has one encoder, its first module", what)
	}
	if e.encoder() {
		p.Encoder = dir
		p.Modules = append(p.Modules, m)
		return p.readSettings()
	}
	if p.CrossEncoder {
		return r.unsupported("%s, which is not supported after the encoder of a cross-encoder", what)
	}
	var err error
	if m.step, err = m.kind.read(r, &m, dir); err != nil {
		return err
	}
	p.Modules = append(p.Modules, m)
	return nil
}

// finish checks the whole, and lists the files to save.
func (r *reader) finish(entries []entry, modules []byte) error {
	p := r.pipeline
	if !r.pooled && !p.CrossEncoder {
		return r.unsupported("there is no Pooling in it, which makes one vector of those of the tokens")
	}
	if entries[0].Path != "" {
		entries[0].Path = ""
		var err error
		if modules, err = marshalModules(entries); err != nil {
			return err
		}
	}
	p.files = append([]file{{name: modulesFile, content: modules}}, p.files...)
	return nil
}

func (r *reader) unsupported(format string, args ...any) error {
	return &UnsupportedError{filepath.Join(r.pipeline.Dir, modulesFile), fmt.Sprintf(format, args...)}
}

// config reads the configuration of a module. The library drops keys that a module doesn't know, or ends with an error: here they
// are noted. Where there is no configuration the error is an fs.ErrNotExist; that in the folder of the encoder is none of a module.
func (r *reader) config(m *Module, dir string, fields map[string]any) (string, error) {
	path := filepath.Join(dir, configFile)
	if p := r.pipeline; p.Encoder != "" && (dir == p.Encoder || dir == filepath.Clean(p.Dir)) {
		return path, fmt.Errorf("%s: %w for the module %s in the folder of the encoder", dir, fs.ErrNotExist, m.Class())
	}
	data, err := files.ReadFile(path, maxFile)
	if err != nil {
		return path, err
	}
	r.pipeline.files = append(r.pipeline.files, file{name: m.Path + "/" + configFile, content: data})
	if err := r.pipeline.parse(path, data, fields); err != nil {
		return path, err
	}
	return path, nil
}

// parse reads an object of a file: fields are, by key, pointers, functions of the value, or nil for a key of no effect. A key that is
// not among them is noted, and a value that is null counts as missing.
func (p *Pipeline) parse(path string, data []byte, fields map[string]any) error {
	err := jsonobject.Parse(data, func(key string, value json.RawMessage) error {
		field, ok := fields[key]
		switch {
		case !ok:
			return p.note(path, key)
		case string(value) == "null" || field == nil:
			return nil
		}
		if parse, ok := field.(func(json.RawMessage) error); ok {
			if err := parse(value); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			return nil
		}
		return jsonobject.Field(key, value, field)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// maxNotes is far more than a folder in use gives.
const maxNotes = 100

// The names that modules have for what they hand on.
const (
	tokenEmbeddings   = "token_embeddings"
	sentenceEmbedding = "sentence_embedding"
)

// place is what a module reads and replaces: the vector or, if tokens, each hidden state.
type place struct{ tokens bool }

// place checks the names of what a module reads and writes.
func (r *reader) place(path, input, output string) (place, error) {
	if output == "" {
		output = input
	}
	if input != output || input != tokenEmbeddings && input != sentenceEmbedding {
		return place{}, &UnsupportedError{path, fmt.Sprintf("module_input_name is %s and module_output_name %s, want %s or %s for both",
			quote(input), quote(output), sentenceEmbedding, tokenEmbeddings)}
	}
	at := place{tokens: input == tokenEmbeddings}
	if !at.tokens && !r.pooled {
		return at, &UnsupportedError{path, "the module comes before a Pooling, so there is no vector of the text yet"}
	}
	return at, nil
}

// at is the width of what a module at the place is given.
func (w *widths) at(p place) *int {
	if p.tokens {
		return &w.tokens
	}
	return &w.vector
}

// fit checks that a module takes vectors as wide as they are.
func (r *reader) fit(path, key string, want int, p place) error {
	if err := checkWidth(path, key, want); err != nil {
		return err
	}
	if have := *r.widths.at(p); have != 0 && have != want {
		return fmt.Errorf("%s: %s is %d, but what comes before the module has %d numbers", path, key, want, have)
	}
	return nil
}

func checkWidth(path, key string, n int) error {
	if n < 1 || n > maxWidth {
		return fmt.Errorf("%s: %s is %d, want 1 to %d", path, key, n, maxWidth)
	}
	return nil
}

// maxWidth bounds the numbers of a vector.
const maxWidth = 1 << 20

// each replaces the vector, or each hidden state, by what f makes of it. f may return its argument, changed.
func (p place) each(f *features, change func(v []float32) []float32) {
	if !p.tokens {
		f.vector = change(f.vector)
		return
	}
	// The hidden states are the caller's.
	var out []float32
	width := f.width
	for at := 0; at < len(f.tokens); at += width {
		out = append(out, change(slices.Clone(f.tokens[at:at+width]))...)
	}
	if n := len(f.tokens) / width; n > 0 {
		f.width = len(out) / n
	}
	f.tokens = out
}

func (p place) String() string {
	if p.tokens {
		return " of each token"
	}
	return ""
}

// quote quotes a name of a file for a message.
func quote(name string) string { return message.Quote(name) }

func quoteAll(names []string) string { return message.QuoteAll(names) }
