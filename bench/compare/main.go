// Command compare measures bert beside PyTorch, ONNX Runtime and the tokenizers of Hugging Face, in turns, and prints the
// medians as Markdown tables.
//
//	go run ./bench/compare --peers ../peers --rounds 5
//	go run ./bench/compare --peers ../peers --work infer --sizes tiny,mini --threads 1
//	go run ./bench/compare --peers ../peers --work tokenize --vocab bert-base-uncased --text reviews.txt
//	go run ./bench/compare --peers ../peers --work vocab --text reviews.txt
//
// The peers are scripts in a folder of their own: torch/bench_torch.py, torch/export_onnx.py, node/ort_bench.mjs and
// node/tok_bench.mjs, the latter two beside a node_modules. A peer that is not installed is left out and named.
//
// A round measures each case with each program, one after the other, so that what else the machine does at the time meets
// all of them alike. Every measurement is a process of its own with a warm-up.
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

// options are what the flags say.
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
	length  int
	threads int
	rounds  int
	seconds float64

	precision string
	vocab     string
	texts     []string

	trained map[benchCase]float64 // what PyTorch's training reached in the last round
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{trained: make(map[benchCase]float64)}
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(stderr)
	shared := os.Getenv("BERT_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "shared")
	}
	f.StringVar(&o.bert, "bert", "", "measure this `program`; without, the one that go build makes of ./cmd/bert")
	f.StringVar(&o.peers, "peers", filepath.Join(shared, "peers"), "the `folder` of the peers' scripts; $BERT_SHARED/peers, if that is set,")
	f.StringVar(&o.python, "python", "/usr/bin/python3", "the `program` that has PyTorch")
	f.StringVar(&o.blas, "blas", debianBLAS(), "the `folder` with the OpenBLAS for PyTorch, which has to use OpenMP; none: PyTorch's own")
	f.StringVar(&o.onnx, "onnx", "", "keep the models exported for ONNX Runtime in this `folder` (default: a temporary one)")
	works := f.String("work", "infer,train,tokenize", "what to measure, a `list`: these, and vocab")
	sizes := f.String("sizes", "base", "a `list` of tiny, mini, small, medium, base")
	infer := f.String("batch-sizes", "1,8,32", "a `list` for inference")
	train := f.String("train-batch-sizes", "32", "a `list` for training")
	f.IntVar(&o.length, "seq-length", 128, "`tokens` of a sequence")
	f.IntVar(&o.threads, "threads", runtime.NumCPU(), "threads of each program")
	f.IntVar(&o.rounds, "rounds", 5, "measure everything so many times")
	f.Float64Var(&o.seconds, "seconds", 5, "measure each case of a round for so long; a training step: at least three times")
	f.StringVar(&o.precision, "precision", "float32", "float32 or bf16")
	f.StringVar(&o.vocab, "vocab", "", "the `folder` of a tokenizer.json, for tokenize")
	texts := f.String("text", "", "a `list` of files with a text a line, for tokenize and vocab")
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
	for _, w := range o.works {
		if all := []string{inferring, training, tokenizing, learning}; !slices.Contains(all, w) {
			return nil, fmt.Errorf("--work: %q is not known: want one of %s", w, strings.Join(all, ", "))
		}
	}
	switch {
	case o.threads < 1 || o.rounds < 1 || o.length < 1:
		return nil, errors.New("--threads, --rounds and --seq-length have to be positive")
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
			return nil, fmt.Errorf("--%s: %q is no positive number", name, word)
		}
		all = append(all, n)
	}
	return all, nil
}

// debianBLAS is where Debian's libopenblas0-openmp is, "none" without.
func debianBLAS() string {
	if found, _ := filepath.Glob("/usr/lib/*/openblas-openmp"); len(found) > 0 { // the error is for a bad pattern
		return found[0]
	}
	return "none"
}

// The works that are compared.
const (
	inferring  = "infer"
	training   = "train"
	tokenizing = "tokenize"
	learning   = "vocab" // a vocabulary from a text
)

// benchCase is a line of a table.
type benchCase struct {
	work  string
	size  string // of the model
	batch int
	text  string // a file, of tokenize and vocab
}

// ofText says that a case is about a text and no model.
func (c *benchCase) ofText() bool { return c.work == tokenizing || c.work == learning }

func (c *benchCase) String() string {
	if c.ofText() {
		return c.work + " " + filepath.Base(c.text)
	}
	return fmt.Sprintf("%s %s, batch %d", c.work, c.size, c.batch)
}

func (o *options) cases() (cases []benchCase) {
	for _, work := range o.works {
		switch work {
		case tokenizing, learning:
			for _, text := range o.texts {
				cases = append(cases, benchCase{work: work, text: text})
			}
			continue
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
		return errors.New("nothing to measure; tokenize needs --vocab and --text, vocab --text")
	}
	if slices.Contains(o.works, tokenizing) && (o.vocab == "" || len(o.texts) == 0) {
		t.absent = append(t.absent, "tokenize: --vocab or --text is not given")
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
