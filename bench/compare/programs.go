package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// result is what a program says of a case.
type result struct {
	rate   float64 // sequences, or megabytes of text, a second
	memory float64 // the most bytes it had; 0: not known
	share  float64 // of the processor's peak; 0: not known
}

// program is one of those that are compared.
type program struct {
	name string
	ours bool
	// version says which it is; the error, why it can't be measured.
	version func(context.Context) (string, error)
	// run measures a case. It returns errors.ErrUnsupported for what the program does not do.
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

// output runs a command and returns what it wrote to stdout. An error ends with the last line of stderr.
func output(ctx context.Context, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		lines := strings.Split(strings.TrimSpace(string(exit.Stderr)), "\n")
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(name), err, lines[len(lines)-1])
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
	if c.work == tokenizing {
		if o.vocab == "" {
			return result{}, errors.ErrUnsupported
		}
		args = append(args, "--model", o.vocab, "--input", c.text)
	} else {
		args = append(args, "--size", c.size, "--batch-sizes", strconv.Itoa(c.batch), "--seq-lengths", strconv.Itoa(o.length), "--precision", o.precision)
	}
	out, err := output(ctx, nil, o.bert, args...)
	if err != nil {
		return result{}, err
	}
	return parseBert(out)
}

// runBertVocab learns what trainWordPiece does, and five special tokens. The time is that of the whole program, from its start
// until the vocabulary is on disk.
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

// trainWordPiece is run by node.
//
//go:embed train_wordpiece.mjs
var trainWordPiece string

// parseBert reads the line of JSON of bert bench.
func parseBert(out []byte) (result, error) {
	var line struct {
		Sequences float64 `json:"sequences_per_second"`
		Megabytes float64 `json:"megabytes_per_second"`
		Memory    float64 `json:"peak_rss_bytes"`
		Share     float64 `json:"share_of_peak"`
	}
	if err := json.Unmarshal(out, &line); err != nil {
		return result{}, fmt.Errorf("bert bench wrote %q: %w", out, err)
	}
	r := result{line.Sequences, line.Memory, line.Share}
	if line.Megabytes > 0 {
		r.rate = line.Megabytes
	}
	if !(r.rate > 0) {
		return result{}, fmt.Errorf("bert bench wrote %q: no rate in it", out)
	}
	return r, nil
}

// torchEnv lets PyTorch find the OpenBLAS that shares OpenMP's threads with it. Debian's default one has threads of its
// own, which fight with those: three to four times slower.
func (o *options) torchEnv(wait string) []string {
	env := []string{wait}
	if o.blas != "none" {
		env = append(env, "LD_LIBRARY_PATH="+o.blas)
	}
	return env
}

// How threads wait for work: without using the processor, or each bound to a core.
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
		return "", errors.New("it would use an OpenBLAS with threads of its own, which is several times slower: install libopenblas0-openmp, or name its folder with --blas")
	}
	return strings.TrimSpace(version), nil
}

func (o *options) torchScript(name string) string { return filepath.Join(o.peers, "torch", name) }

func (o *options) runTorch(ctx context.Context, c *benchCase) (result, error) {
	if c.ofText() {
		return result{}, errors.ErrUnsupported
	}
	mode := c.work
	if o.precision == "bf16" {
		mode += "-bf16"
	}
	steps := 3 // of training, until it is known how many fill the time
	if rate := o.trained[*c]; rate > 0 {
		steps = max(steps, int(o.seconds*rate/float64(c.batch)))
	}
	args := []string{
		o.torchScript("bench_torch.py"), mode, "--model", c.size, "--threads", strconv.Itoa(o.threads), "--batch", strconv.Itoa(c.batch),
		"--seq", strconv.Itoa(o.length), "--secs", fmt.Sprint(o.seconds), "--steps", strconv.Itoa(steps),
	}
	waits := []string{waitPassive}
	if c.batch == 1 { // either can be the faster one there
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

// median and memory are in the lines of bench_torch.py and ort_bench.mjs:
//
//	ort base.onnx thr=2 B=8 S=128: 8.91 seq/s [8.70-9.00] p50 897.868 ms p95 … n=6 maxRSS 812 MB
var (
	median = regexp.MustCompile(`\bp50 ([0-9.]+) ms\b`)
	memory = regexp.MustCompile(`\bmaxRSS ([0-9.]+) MB\b`)
	// speed is in the line of tok_bench.mjs, and of trainWordPiece.
	speed = regexp.MustCompile(`: ([0-9.]+) MB/s\b`)
)

// parsePeer reads the line of PyTorch and of ONNX Runtime. The rate is taken from the time of the median, which has more
// digits. Their megabytes are of 2²⁰ bytes.
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

// parseTokenizers reads the line of tok_bench.mjs and of trainWordPiece.
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

// field is the positive number that a pattern finds.
func field(out []byte, pattern *regexp.Regexp) (float64, error) {
	found := pattern.FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("the peer wrote %q: want %s in it", out, pattern)
	}
	v, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil || v <= 0 {
		return 0, fmt.Errorf("the peer wrote %q: %q is no positive number", out, found[1])
	}
	return v, nil
}

func (o *options) nodeScript(name string) string { return filepath.Join(o.peers, "node", name) }

// nodeModule is the version of an installed module, if a script and node are there to use it.
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
		if work != inferring {
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

// export makes the model for ONNX Runtime, unless it is there.
func (o *options) export(ctx context.Context, size string) error {
	if _, err := os.Stat(o.onnxModel(size)); err == nil {
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
	return os.Rename(filepath.Join(dir, size+".onnx"), o.onnxModel(size))
}

func (o *options) runONNX(ctx context.Context, c *benchCase) (result, error) {
	if c.work != inferring || o.precision != "float32" {
		return result{}, errors.ErrUnsupported
	}
	out, err := output(ctx, nil, "node", o.nodeScript("ort_bench.mjs"), o.onnxModel(c.size), strconv.Itoa(c.batch), strconv.Itoa(o.threads), fmt.Sprint(o.seconds), strconv.Itoa(o.length))
	if err != nil {
		return result{}, err
	}
	return parsePeer(out, c.batch)
}

func (o *options) tokenizersVersion(ctx context.Context) (string, error) {
	return o.nodeModule(ctx, "tokenizers", "tok_bench.mjs")
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
	env := []string{"RAYON_NUM_THREADS=" + strconv.Itoa(o.threads), "TOKENIZERS_PARALLELISM=true"}
	out, err := output(ctx, env, "node", args...)
	if err != nil {
		return result{}, err
	}
	return parseTokenizers(out)
}
