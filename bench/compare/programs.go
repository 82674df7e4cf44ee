package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-bert/bert/internal/bench"
)

// A result is a program's result in a case.
type result struct {
	rate   float64 // sequences, texts, starts or megabytes of text per second
	memory float64 // peak memory in bytes; 0 if unknown
	share  float64 // of the processor's peak; 0 if unknown
	labels []int   // how often each label was given, in increasing order; nil unless texts are classified
}

// A program is one of the programs to compare.
type program struct {
	name string
	ours bool
	// version returns its version, or an error that says why it can't be measured.
	version func(context.Context) (string, error)
	// run measures a case. It returns errors.ErrUnsupported if the program can't do that work.
	run func(context.Context, *benchCase) (result, error)
}

func (o *options) programs() []*program {
	return []*program{
		{name: "bert", ours: true, version: o.bertVersion, run: o.runBert},
		{name: "PyTorch", version: o.torchVersion, run: o.runTorch},
		{name: "ONNX Runtime", version: o.onnxVersion, run: o.runONNX},
		{name: "tokenizers (Rust)", version: o.tokenizersVersion, run: o.runTokenizers},
	}
}

// output runs a command and returns its stdout. An error ends with the last line of stderr.
func output(ctx context.Context, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	return outputOf(cmd)
}

func outputOf(cmd *exec.Cmd) ([]byte, error) {
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		lines := strings.Split(strings.TrimSpace(string(exit.Stderr)), "\n")
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, lines[len(lines)-1])
	}
	return out, err
}

func (o *options) bertVersion(ctx context.Context) (string, error) {
	out, err := output(ctx, nil, o.bert, "version")
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "bert "), err
}

func (o *options) runBert(ctx context.Context, c *benchCase) (result, error) {
	if c.work == learning {
		return o.runBertVocab(ctx, c.text)
	}
	args := []string{"bench", c.work, "--threads", strconv.Itoa(o.threads), "--seconds", fmt.Sprint(o.seconds), "--json", "--quiet"}
	if slices.Contains(ofTexts, c.work) && o.vocab == "" {
		return result{}, errors.ErrUnsupported
	}
	switch c.work {
	case tokenizing:
		args = append(args, "--model", o.vocab, "--input", c.text)
	case classifying, starting:
		dir := o.modelFolder(c.size)
		if _, err := os.Stat(dir); err != nil {
			return result{}, fmt.Errorf("no model for texts, which PyTorch makes: %w", err)
		}
		args = append(args, "--model", dir, "--precision", o.precision)
		if c.work == classifying {
			args = append(args, "--input", c.text, "--batch-sizes", strconv.Itoa(c.batch))
		}
	default:
		args = append(args, "--size", c.size, "--batch-sizes", strconv.Itoa(c.batch), "--seq-lengths", strconv.Itoa(o.length), "--precision", o.precision)
	}
	out, err := output(ctx, nil, o.bert, args...)
	if err != nil {
		return result{}, err
	}
	return parseBert(out)
}

// runBertVocab learns the same vocabulary as trainWordPiece, and five special tokens. The time is that of the whole process, from
// its start until the vocabulary is on disk.
func (o *options) runBertVocab(ctx context.Context, text string) (result, error) {
	info, err := os.Stat(text)
	if err != nil {
		return result{}, err
	}
	temp, err := os.MkdirTemp("", "bert-compare-vocab-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(temp)
	begun := time.Now()
	_, err = output(ctx, nil, o.bert, "vocab", "--input", text, "--size", "30005", "--min-frequency", "1", "--limit-alphabet", "0",
		"--threads", strconv.Itoa(o.threads), "--output", temp, "--quiet")
	return result{rate: float64(info.Size()) / 1e6 / time.Since(begun).Seconds()}, err
}

// trainWordPiece is a script for node.
//
//go:embed train_wordpiece.mjs
var trainWordPiece string

// parseBert parses the JSON line of bert bench.
func parseBert(out []byte) (result, error) {
	var line struct {
		Sequences float64        `json:"sequences_per_second"`
		Megabytes float64        `json:"megabytes_per_second"`
		Memory    float64        `json:"peak_rss_bytes"`
		Share     float64        `json:"share_of_peak"`
		Beyond    float64        `json:"beyond_pass_ms"` // of startup
		Start     float64        `json:"p50_ms"`
		RSS       float64        `json:"rss_bytes"`
		Labels    map[string]int `json:"labels"`
	}
	if err := json.Unmarshal(out, &line); err != nil {
		return result{}, fmt.Errorf("bert bench wrote %q: %w", out, err)
	}
	r := result{rate: line.Sequences, memory: line.Memory, share: line.Share, labels: slices.Sorted(maps.Values(line.Labels))}
	if line.Beyond != 0 {
		r.rate, r.memory = 1e3/line.Start, line.RSS
	}
	if line.Megabytes > 0 {
		r.rate = line.Megabytes
	}
	if !(r.rate > 0) {
		return result{}, fmt.Errorf("bert bench wrote %q, which has no rate", out)
	}
	return r, nil
}

// torchEnv lets PyTorch find the OpenBLAS that shares OpenMP's threads with it. Debian's default one has its own threads, which
// compete with PyTorch's and make it three to four times slower.
func (o *options) torchEnv(wait string) []string {
	env := []string{wait}
	if o.blas != "none" {
		env = append(env, "LD_LIBRARY_PATH="+o.blas)
	}
	return env
}

// Settings of OpenMP: threads wait without using the processor, or are bound to cores.
const (
	waitPassive = "OMP_WAIT_POLICY=passive"
	waitBound   = "OMP_PROC_BIND=true"
)

func (o *options) torchVersion(ctx context.Context) (string, error) {
	const script = `import torch
print(torch.__version__)
try: print("pthread" if "openblas-pthread" in open("/proc/self/maps").read() else "")
except OSError: print()`
	if _, err := os.Stat(o.torchScript("bench_torch.py")); err != nil {
		return "", err
	}
	out, err := output(ctx, o.torchEnv(waitPassive), o.python, "-c", script)
	if err != nil {
		return "", err
	}
	version, threads, _ := strings.Cut(string(out), "\n")
	if strings.TrimSpace(threads) == "pthread" {
		return "", errors.New("it would use an OpenBLAS with its own threads, which is several times slower: install libopenblas0-openmp, or name its folder with --blas")
	}
	return strings.TrimSpace(version), nil
}

func (o *options) torchScript(name string) string { return filepath.Join(o.peers, "torch", name) }

func (o *options) runTorch(ctx context.Context, c *benchCase) (result, error) {
	if c.work != inferring && c.work != training {
		return result{}, errors.ErrUnsupported
	}
	mode := c.work
	if o.precision == "bf16" {
		mode += "-bf16"
	}
	steps := 3 // of training, until the speed is known
	if rate := o.trained[*c]; rate > 0 {
		steps = max(steps, int(o.seconds*rate/float64(c.batch)))
	}
	args := []string{
		o.torchScript("bench_torch.py"), mode, "--model", c.size, "--threads", strconv.Itoa(o.threads), "--batch", strconv.Itoa(c.batch),
		"--seq", strconv.Itoa(o.length), "--secs", fmt.Sprint(o.seconds), "--steps", strconv.Itoa(steps),
	}
	waits := []string{waitPassive}
	if c.batch == 1 { // either setting can be faster
		waits = append(waits, waitBound)
	}
	var best result
	for _, wait := range waits {
		out, err := output(ctx, o.torchEnv(wait), o.python, args...)
		if err != nil {
			return result{}, err
		}
		r, err := parsePeer(out, c.batch)
		if err != nil {
			return result{}, err
		}
		if r.rate > best.rate {
			best = r
		}
	}
	if c.work == training {
		o.trained[*c] = best.rate
	}
	return best, nil
}

// median and memory match parts of the lines of bench_torch.py and ort_bench.mjs:
//
//	ort base.onnx thr=2 B=8 S=128: 8.91 seq/s [8.70-9.00] p50 897.868 ms p95 … n=6 maxRSS 812 MB
var (
	median = regexp.MustCompile(`\bp50 ([0-9.]+) ms\b`)
	memory = regexp.MustCompile(`\bmaxRSS ([0-9.]+) MB\b`)
	// speed matches a part of the lines of tok_bench.mjs and trainWordPiece.
	speed = regexp.MustCompile(`: ([0-9.]+) MB/s\b`)
)

// parsePeer parses the lines of PyTorch and ONNX Runtime. It computes the rate from the median time, which has more digits. Their
// megabytes are 2²⁰ bytes.
func parsePeer(out []byte, batch int) (result, error) {
	ms, err := field(out, median)
	if err != nil {
		return result{}, err
	}
	r := result{rate: float64(batch) / ms * 1e3}
	if mb, err := field(out, memory); err == nil {
		r.memory = mb * (1 << 20)
	}
	return r, nil
}

// parseTokenizers parses the lines of tok_bench.mjs and trainWordPiece.
func parseTokenizers(out []byte) (result, error) {
	rate, err := field(out, speed)
	if err != nil {
		return result{}, err
	}
	r := result{rate: rate}
	if mb, err := field(out, memory); err == nil {
		r.memory = mb * (1 << 20)
	}
	return r, nil
}

// field returns the positive number that a pattern matches.
func field(out []byte, pattern *regexp.Regexp) (float64, error) {
	found := pattern.FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("the peer wrote %q, which does not match %s", out, pattern)
	}
	v, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil || v <= 0 {
		return 0, fmt.Errorf("the peer wrote %q: %q is not a positive number", out, found[1])
	}
	return v, nil
}

func (o *options) nodeScript(name string) string { return filepath.Join(o.peers, "node", name) }

// nodeModule returns the version of an installed module, if the script and node exist too.
func (o *options) nodeModule(ctx context.Context, module, script string) (string, error) {
	if _, err := os.Stat(o.nodeScript(script)); err != nil {
		return "", err
	}
	if _, err := output(ctx, nil, "node", "--version"); err != nil {
		return "", err
	}
	data, err := os.ReadFile(o.nodeScript(filepath.Join("node_modules", module, "package.json")))
	if err != nil {
		return "", err
	}
	var manifest struct {
		Version string `json:"version"`
	}
	return manifest.Version, json.Unmarshal(data, &manifest)
}

func (o *options) onnxVersion(ctx context.Context) (string, error) {
	version, err := o.nodeModule(ctx, "onnxruntime-node", "ort_bench.mjs")
	if err != nil {
		return "", err
	}
	for _, work := range o.works {
		if work != inferring && (work != classifying && work != starting || o.vocab == "") {
			continue
		}
		for _, size := range o.sizes {
			if err := o.export(ctx, size); err != nil {
				return "", fmt.Errorf("exporting %s: %w", size, err)
			}
		}
	}
	return version, nil
}

func (o *options) onnxModel(size string) string { return filepath.Join(o.onnx, size+".onnx") }

// modelFolder returns the directory of the same model for bert.
func (o *options) modelFolder(size string) string { return filepath.Join(o.onnx, size) }

// export makes the model for ONNX Runtime and, with --vocab, for bert, unless they exist.
func (o *options) export(ctx context.Context, size string) error {
	_, err := os.Stat(o.onnxModel(size))
	if err == nil && o.vocab != "" {
		_, err = os.Stat(o.modelFolder(size))
	}
	if err == nil {
		return nil
	}
	if err := os.MkdirAll(o.onnx, 0o777); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.onnx, "export-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := output(ctx, o.torchEnv(waitPassive), o.python, o.torchScript("export_onnx.py"), size, dir); err != nil {
		return err
	}
	if o.vocab != "" {
		if err := o.makeFolder(dir, size); err != nil {
			return err
		}
	}
	return os.Rename(filepath.Join(dir, size+".onnx"), o.onnxModel(size))
}

// makeFolder makes a model directory from the exported weights.
func (o *options) makeFolder(exported, size string) error {
	at := slices.IndexFunc(bench.ModelSizes, func(s bench.ModelSize) bool { return s.Name == size })
	if at < 0 {
		return fmt.Errorf("%q is not the size of a model", size)
	}
	s := bench.ModelSizes[at]
	config, err := json.Marshal(map[string]any{
		"architectures": []string{"BertForSequenceClassification"}, "num_labels": 2,
		"vocab_size":        30522, // as in export_onnx.py
		"num_hidden_layers": s.Layers, "hidden_size": s.Hidden, "num_attention_heads": s.Heads(), "intermediate_size": s.Intermediate(),
	})
	if err != nil {
		return err
	}
	made := filepath.Join(exported, "folder")
	if err := os.Mkdir(made, 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(made, "config.json"), config, 0o666); err != nil {
		return err
	}
	for _, name := range []string{"tokenizer.json", "vocab.txt"} {
		data, err := os.ReadFile(filepath.Join(o.vocab, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(made, name), data, 0o666)
		}
		if err != nil {
			return err
		}
	}
	if err := os.Rename(filepath.Join(exported, size+".safetensors"), filepath.Join(made, "model.safetensors")); err != nil {
		return err
	}
	if err := os.RemoveAll(o.modelFolder(size)); err != nil {
		return err
	}
	return os.Rename(made, o.modelFolder(size))
}

func (o *options) runONNX(ctx context.Context, c *benchCase) (result, error) {
	switch {
	case o.precision != "float32":
		return result{}, errors.ErrUnsupported
	case c.work == classifying || c.work == starting:
		return o.classifyONNX(ctx, c)
	case c.work != inferring:
		return result{}, errors.ErrUnsupported
	}
	out, err := output(ctx, nil, "node", o.nodeScript("ort_bench.mjs"), o.onnxModel(c.size), strconv.Itoa(c.batch), strconv.Itoa(o.threads), fmt.Sprint(o.seconds), strconv.Itoa(o.length))
	if err != nil {
		return result{}, err
	}
	return parsePeer(out, c.batch)
}

// classifyScript classifies texts with ONNX Runtime and tokenizers.
//
//go:embed classify.js
var classifyScript string

// classifyONNX measures classifying texts, or the time to the first label.
func (o *options) classifyONNX(ctx context.Context, c *benchCase) (result, error) {
	if o.vocab == "" {
		return result{}, errors.ErrUnsupported
	}
	seconds := o.seconds
	if c.work == starting {
		seconds = 0
	}
	cmd := exec.CommandContext(ctx, "node", "-", o.nodeScript(""), o.onnxModel(c.size), filepath.Join(o.vocab, "tokenizer.json"), c.text,
		strconv.Itoa(c.batch), strconv.Itoa(o.threads), fmt.Sprint(seconds))
	cmd.Env = append(os.Environ(), o.rayon()...)
	cmd.Stdin = strings.NewReader(classifyScript)
	out, err := outputOf(cmd)
	if err != nil {
		return result{}, err
	}
	if c.work == starting {
		ms, err := field(out, first)
		return result{rate: 1e3 / ms}, err
	}
	return parseTexts(out)
}

// first, textCount and labelCounts match parts of the output of classify.js.
var (
	first       = regexp.MustCompile(`(?m)^first ([0-9.]+) ms$`)
	textCount   = regexp.MustCompile(`(?m)^texts ([0-9]+) `)
	labelCounts = regexp.MustCompile(`\blabels ([0-9 ]+);`)
)

// parseTexts parses the second line of classify.js.
func parseTexts(out []byte) (result, error) {
	n, err := field(out, textCount)
	if err != nil {
		return result{}, err
	}
	r, err := parsePeer(out, int(n))
	if err != nil {
		return result{}, err
	}
	if found := labelCounts.FindSubmatch(out); found != nil {
		for _, word := range strings.Fields(string(found[1])) {
			if n, _ := strconv.Atoi(word); n > 0 { // the pattern permits only digits
				r.labels = append(r.labels, n)
			}
		}
		slices.Sort(r.labels)
	}
	return r, nil
}

func (o *options) tokenizersVersion(ctx context.Context) (string, error) {
	return o.nodeModule(ctx, "tokenizers", "tok_bench.mjs")
}

// rayon gives tokenizers the same number of threads.
func (o *options) rayon() []string {
	return []string{"RAYON_NUM_THREADS=" + strconv.Itoa(o.threads), "TOKENIZERS_PARALLELISM=true"}
}

func (o *options) runTokenizers(ctx context.Context, c *benchCase) (result, error) {
	var args []string
	switch {
	case c.work == learning:
		args = []string{"--input-type=module", "--eval", trainWordPiece, o.nodeScript(""), c.text}
	case c.work == tokenizing && o.vocab != "":
		args = []string{o.nodeScript("tok_bench.mjs"), "rust", filepath.Join(o.vocab, "tokenizer.json"), c.text}
	default:
		return result{}, errors.ErrUnsupported
	}
	out, err := output(ctx, o.rayon(), "node", args...)
	if err != nil {
		return result{}, err
	}
	return parseTokenizers(out)
}
