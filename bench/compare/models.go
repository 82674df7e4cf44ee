package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const module = "github.com/go-bert/bert"

// moduleFolder is the folder of this module's sources.
func moduleFolder(ctx context.Context) (string, error) {
	out, err := output(exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module))
	return strings.TrimSpace(string(out)), err
}

// output runs a command and returns its stdout. An error ends with the last line of stderr.
func output(cmd *exec.Cmd) ([]byte, error) {
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t := tail{exit.Stderr}
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, t.last())
	}
	return out, err
}

// buildBert builds the program.
func buildBert(ctx context.Context, path string) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, module+"/cmd/bert")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if _, err := output(build); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	return nil
}

// environment makes the Python environment of the peers, unless it is there, as interop/run.sh makes those of its tools.
func (d *driver) environment(ctx context.Context) error {
	make := exec.CommandContext(ctx, "python3", filepath.Join(d.sources, "interop", "venvs.py"), "peers")
	make.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	if d.venv != "" {
		make.Env = append(make.Env, "BERT_INTEROP_VENV="+d.venv)
	}
	var out bytes.Buffer
	make.Stdout, make.Stderr = &out, d.stderr
	if err := make.Run(); err != nil {
		return fmt.Errorf("the Python environment of the peers can't be had: %w", err)
	}
	d.python = strings.TrimSpace(out.String())
	return d.versionsOf(ctx)
}

// packages are those whose versions are told.
var packages = []struct{ program, name string }{
	{torchName, "torch"}, {"transformers", "transformers"}, {"sentence-transformers", "sentence-transformers"}, {"ONNX Runtime", "onnxruntime"},
	{"OpenVINO", "openvino"}, {"NNCF", "nncf"}, {"CTranslate2", "ctranslate2"}, {"tokenizers", "tokenizers"},
}

func (d *driver) versionsOf(ctx context.Context) error {
	const script = "import sys; from importlib.metadata import version\nfor name in sys.argv[1:]: print(version(name).split('+')[0])"
	args := []string{"-c", script}
	for _, p := range packages {
		args = append(args, p.name)
	}
	out, err := output(exec.CommandContext(ctx, d.python, args...))
	if err != nil {
		return err
	}
	for i, version := range strings.Fields(string(out)) {
		d.machine.Versions = append(d.machine.Versions, packages[i].program+" "+version)
	}
	return nil
}

// tuning is the environment that PyTorch's guide to tuning on processors recommends: threads of Intel's OpenMP, bound to cores, and an
// allocator that keeps its memory.
func (d *driver) tuning() []string {
	var preload []string
	openMP := filepath.Join(filepath.Dir(d.python), "..", "lib", "libiomp5.so")
	var env []string
	if _, err := os.Stat(openMP); err == nil {
		preload = append(preload, openMP)
		env = append(env, "KMP_AFFINITY=granularity=fine,compact,1,0", "KMP_BLOCKTIME=1")
	}
	if d.allocator != "" {
		preload = append(preload, d.allocator)
	}
	return append(env, "LD_PRELOAD="+strings.Join(preload, ":"))
}

// findAllocator is the path of tcmalloc, or "".
func findAllocator() string {
	for _, pattern := range []string{"/usr/lib/*/libtcmalloc_minimal.so.4", "/usr/lib64/libtcmalloc_minimal.so.4", "/usr/lib/*/libtcmalloc.so.4"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 { // the error is for a bad pattern
			return found[0]
		}
	}
	return ""
}

// A modelJob is what peers/models.py is asked for: its argument, in JSON.
type modelJob struct {
	Folder     string `json:"folder"`
	Source     string `json:"source"`     // a model to copy; "": one at random
	Vocabulary string `json:"vocabulary"` // the folder with vocab.txt, of a model at random
	Layers     int    `json:"layers"`
	Hidden     int    `json:"hidden"`
	Heads      int    `json:"heads"`
	Encoder    bool   `json:"encoder"`
	Texts      string `json:"texts"` // to calibrate int8
}

// A builtModel is a model in the forms of all peers.
type builtModel struct {
	folder  string
	encoder bool
}

// model makes a model, unless it is there.
func (d *driver) model(ctx context.Context, name string) (builtModel, error) {
	if m, ok := d.built[name]; ok {
		return m, nil
	}
	job := modelJob{Folder: filepath.Join(d.folder, "random", name), Texts: d.reviews}
	if name == d.encoder() && d.named != "" {
		job.Folder, job.Source, job.Encoder = filepath.Join(d.folder, "named", name), d.named, true
	} else {
		for _, s := range shapes {
			if s.name == name {
				job.Layers, job.Hidden, job.Heads, job.Encoder = s.layers, s.hidden, s.heads, s.encoder
			}
		}
		var err error
		if job.Vocabulary, err = d.vocabulary(ctx); err != nil {
			return builtModel{}, err
		}
	}
	argument, err := json.Marshal(job)
	if err != nil {
		return builtModel{}, err
	}
	fmt.Fprintf(d.stderr, "model %s in %s\n", name, job.Folder)
	cmd := commandOf([]string{"PYTHONDONTWRITEBYTECODE=1"}, d.python, filepath.Join(d.sources, "bench", "compare", "peers", "models.py"), string(argument))
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	out, err := output(cmd)
	if err != nil {
		return builtModel{}, err
	}
	for line := range bytes.Lines(out) {
		var form struct{ Form, Error string }
		if err := json.Unmarshal(line, &form); err != nil {
			return builtModel{}, fmt.Errorf("models.py wrote %q: %w", line, err)
		}
		if form.Error != "" {
			if form.Form == "model" {
				return builtModel{}, fmt.Errorf("model %s: %s", name, form.Error)
			}
			d.leaveOut("%s of model %s: %s", form.Form, name, form.Error)
		}
	}
	d.built[name] = builtModel{job.Folder, job.Encoder}
	return d.built[name], nil
}

// vocabulary is a folder with vocab.txt for models at random: the user's, or the starter model's.
func (d *driver) vocabulary(ctx context.Context) (string, error) {
	if d.vocab != "" {
		return d.vocab, nil
	}
	starter := filepath.Join(d.folder, "starter")
	if _, err := os.Stat(starter); err == nil {
		return starter, nil
	}
	_, err := output(exec.CommandContext(ctx, d.bert, "convert", "starter", starter, "--to", "hf", "--quiet"))
	return starter, err
}

// demoTexts writes the reviews of bert demo, a line each: what int8 is calibrated with, and the texts if none are named.
func (d *driver) demoTexts() error {
	table, err := os.ReadFile(filepath.Join(d.sources, "cmd", "bert", "demo", "reviews.tsv"))
	if err != nil {
		return err
	}
	var texts bytes.Buffer
	for line := range bytes.Lines(table) {
		fields := bytes.SplitN(line, []byte("\t"), 3)
		if len(fields) == 3 && string(fields[0]) != "split" {
			texts.Write(fields[2])
		}
	}
	d.reviews = filepath.Join(d.folder, "reviews.txt")
	if err := os.MkdirAll(d.folder, 0o777); err != nil {
		return err
	}
	return os.WriteFile(d.reviews, texts.Bytes(), 0o666)
}

// readText describes a file of texts.
func readText(path string) (textFile, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return textFile{}, err
	}
	content = bytes.TrimRight(content, "\n")
	if len(content) == 0 {
		return textFile{}, fmt.Errorf("%s: no text in it", path)
	}
	lines := 1 + bytes.Count(content, []byte("\n"))
	return textFile{Path: path, Lines: lines, Bytes: len(content) - (lines - 1)}, nil
}

// name is the file's name without its folders.
func (t *textFile) name() string { return filepath.Base(t.Path) }
