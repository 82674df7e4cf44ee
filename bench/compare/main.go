// Command compare measures bert, PyTorch, ONNX Runtime and Hugging Face's tokenizers in turns, and prints the medians as Markdown
// tables.
//
//	go run ./bench/compare --peers ../peers --rounds 5
//	go run ./bench/compare --peers ../peers --work infer --sizes tiny,mini --threads 1
//	go run ./bench/compare --peers ../peers --work tokenize --vocab bert-base-uncased --text reviews.txt
//	go run ./bench/compare --peers ../peers --work vocab --text reviews.txt
//	go run ./bench/compare --peers ../peers --work texts,startup --sizes tiny,base --vocab bert-base-uncased --text sentences.txt
//
// The peers are scripts in a separate folder: torch/bench_torch.py, torch/export_onnx.py, node/ort_bench.mjs and
// node/tok_bench.mjs, the latter two with a node_modules. classify.js, in this folder, classifies texts with these modules. A peer
// that is not installed is left out, and the output says so.
//
// A round measures each case with each program in turn, so that other load on the machine affects all of them alike. Every
// measurement is a separate process with a warm-up.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintf(os.Stderr, "compare: %v\n", err)
		os.Exit(1)
	}
}

// options are the values of the flags.
type options struct {
	bert    string // the program; "" builds it
	peers   string
	python  string
	blas    string
	onnx    string
	works   []string
	sizes   []string
	infer   []int // batch sizes
	train   []int
	labels  []int // batch sizes of texts
	length  int
	threads int
	rounds  int
	seconds float64

	precision string
	vocab     string
	texts     []string

	trained map[benchCase]float64 // PyTorch's training rate in the last round
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{trained: make(map[benchCase]float64)}
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(stderr)
	shared := os.Getenv("BERT_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "shared")
	}
	f.StringVar(&o.bert, "bert", "", "measure this `program` (default: build ./cmd/bert)")
	f.StringVar(&o.peers, "peers", filepath.Join(shared, "peers"), "the `folder` of the peers' scripts; $BERT_SHARED/peers, if BERT_SHARED is set")
	f.StringVar(&o.python, "python", "/usr/bin/python3", "the Python `program` with PyTorch")
	f.StringVar(&o.blas, "blas", debianBLAS(), "the `folder` with the OpenBLAS for PyTorch, which must use OpenMP; none: PyTorch's default")
	f.StringVar(&o.onnx, "onnx", "", "keep the models exported for ONNX Runtime in this `folder` (default: a temporary one)")
	works := f.String("work", "infer,train,tokenize,texts,startup", "a `list` of what to measure: these and vocab")
	sizes := f.String("sizes", "base", "a `list` of tiny, mini, small, medium, base")
	infer := f.String("batch-sizes", "1,8,32", "a `list` for inference")
	train := f.String("train-batch-sizes", "32", "a `list` for training")
	labels := f.String("text-batch-sizes", "8,32", "a `list` for texts to labels")
	f.IntVar(&o.length, "seq-length", 128, "the length of a sequence in `tokens`")
	f.IntVar(&o.threads, "threads", runtime.NumCPU(), "threads of each program")
	f.IntVar(&o.rounds, "rounds", 5, "the number of rounds")
	f.Float64Var(&o.seconds, "seconds", 5, "the time for each case of a round; training measures at least three steps")
	f.StringVar(&o.precision, "precision", "float32", "float32 or bf16")
	f.StringVar(&o.vocab, "vocab", "", "the `folder` of tokenizer.json and vocab.txt, for tokenize, texts and startup")
	texts := f.String("text", "", "a `list` of files with one text per line, for all works except infer and train")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	o.works, o.sizes, o.texts = list(*works), list(*sizes), list(*texts)
	var err error
	if o.infer, err = counts("batch-sizes", *infer); err != nil {
		return nil, err
	}
	if o.train, err = counts("train-batch-sizes", *train); err != nil {
		return nil, err
	}
	if o.labels, err = counts("text-batch-sizes", *labels); err != nil {
		return nil, err
	}
	for _, w := range o.works {
		if !slices.Contains(known, w) {
			return nil, fmt.Errorf("--work: %q is unknown: want some of %s", w, strings.Join(known, ", "))
		}
	}
	switch {
	case o.threads < 1 || o.rounds < 1 || o.length < 1:
		return nil, errors.New("--threads, --rounds and --seq-length must be positive")
	case !(o.seconds > 0):
		return nil, fmt.Errorf("--seconds is %v, want more than 0", o.seconds)
	case o.precision != "float32" && o.precision != "bf16":
		return nil, fmt.Errorf("--precision is %q, want float32 or bf16", o.precision)
	}
	return o, nil
}

func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' })
}

func counts(name, s string) (all []int, err error) {
	for _, word := range list(s) {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("--%s: %q is not a positive number", name, word)
		}
		all = append(all, n)
	}
	return all, nil
}

// debianBLAS returns the folder of Debian's libopenblas0-openmp, or "none".
func debianBLAS() string {
	if found, _ := filepath.Glob("/usr/lib/*/openblas-openmp"); len(found) > 0 { // the error is for a bad pattern
		return found[0]
	}
	return "none"
}

// The kinds of work to compare.
const (
	inferring   = "infer"
	training    = "train"
	tokenizing  = "tokenize"
	classifying = "texts"
	starting    = "startup"
	learning    = "vocab" // learning a vocabulary from a text
)

var known = []string{inferring, training, tokenizing, classifying, starting, learning}

// ofTexts are the works that need --vocab and --text.
var ofTexts = []string{tokenizing, classifying, starting}

// A benchCase is a line of a table.
type benchCase struct {
	work  string
	size  string // of the model
	batch int
	text  string // a file, for work on texts
}

func (c *benchCase) String() string {
	if c.batch == 0 {
		return c.name()
	}
	return fmt.Sprintf("%s, batch %d", c.name(), c.batch)
}

// name returns the case without the batch size.
func (c *benchCase) name() string {
	words := []string{c.work}
	if c.size != "" {
		words = append(words, c.size)
	}
	if c.text != "" {
		words = append(words, filepath.Base(c.text))
	}
	return strings.Join(words, " ")
}

func (o *options) cases() (cases []benchCase) {
	for _, work := range o.works {
		switch work {
		case tokenizing, learning:
			for _, text := range o.texts {
				cases = append(cases, benchCase{work: work, text: text})
			}
			continue
		case classifying:
			for _, size := range o.sizes {
				for _, text := range o.texts {
					for _, n := range o.labels {
						cases = append(cases, benchCase{work: work, size: size, text: text, batch: n})
					}
				}
			}
		case starting:
			for _, size := range o.sizes {
				if len(o.texts) > 0 {
					cases = append(cases, benchCase{work: work, size: size, text: o.texts[0]})
				}
			}
		case inferring:
			for _, size := range o.sizes {
				for _, n := range o.infer {
					cases = append(cases, benchCase{work: work, size: size, batch: n})
				}
			}
		case training:
			for _, size := range o.sizes {
				for _, n := range o.train {
					cases = append(cases, benchCase{work: work, size: size, batch: n})
				}
			}
		}
	}
	return cases
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "bert-compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if o.onnx == "" {
		o.onnx = temp
	}
	if o.bert == "" {
		o.bert = filepath.Join(temp, "bert")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", o.bert, "github.com/go-bert/bert/cmd/bert")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stderr = stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("go build: %w", err)
		}
	}
	t := &table{options: o, cases: o.cases()}
	if len(t.cases) == 0 {
		return fmt.Errorf("nothing to measure; %s need --vocab and --text, vocab --text", strings.Join(ofTexts, ", "))
	}
	for _, work := range ofTexts {
		if slices.Contains(o.works, work) && (o.vocab == "" || len(o.texts) == 0) {
			t.absent = append(t.absent, work+": --vocab or --text is missing")
		}
	}
	for _, p := range o.programs() {
		version, err := p.version(ctx)
		if err != nil {
			if p.ours {
				return err
			}
			t.absent = append(t.absent, fmt.Sprintf("%s: %v", p.name, err))
			continue
		}
		t.programs = append(t.programs, p)
		t.versions = append(t.versions, p.name+" "+version)
	}
	for _, a := range t.absent {
		fmt.Fprintf(stderr, "left out: %s\n", a)
	}
	t.measure(ctx, stderr)
	return t.write(stdout)
}
