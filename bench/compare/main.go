// Command compare measures bert and today's other programs that run BERT, in turns, and prints the medians as Markdown tables: PyTorch with
// transformers and sentence-transformers, ONNX Runtime, OpenVINO, CTranslate2 and tokenizers.
//
//	go run ./bench/compare --prepare                             # makes the Python environment and the models
//	go run ./bench/compare --write README.md                     # what the README shows
//	go run ./bench/compare --set all --text sst2.txt,imdb.txt --samples all.jsonl --write docs/performance.md
//	go run ./bench/compare --set all --work infer --sizes tiny --precisions bf16 --rounds 5
//	go run ./bench/compare --model all-MiniLM-L6-v2 --work texts,start
//
// The programs come from the registry of Python packages at the versions of interop/requirements, into the environment that interop/venvs.py
// makes (7 GB; --venv names its folder). The models are of published shapes, with random weights, written by transformers and converted by
// each program's own tools (peers/models.py). A program or a model that can't be had is left out, and the output says so.
//
// Of a group of cases, which share a kind of work, a model and a precision, each program is one process (peers/worker.py; of bert's library
// this program itself), which stays until the group ends. First it has to show that it does the same work: its numbers are compared with
// bert's in float32. Then a round asks each in turn for a sample of each case, and every second round in the opposite order.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := error(nil)
	if args := os.Args[1:]; len(args) == 2 && args[0] == "worker" {
		err = serve(ctx, args[1], os.Stdin, os.Stdout)
	} else {
		err = run(ctx, args, os.Stdout, os.Stderr)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "compare: %v\n", err)
		os.Exit(1)
	}
}

// options are the values of the flags.
type options struct {
	set        string
	works      []string // empty: all of the set; likewise the next four
	sizes      []string
	batches    []int
	precisions []string
	programs   []string
	without    []string // variants, as work/variant

	prepare   bool
	venv      string
	folder    string
	bert      string // the program; "" builds it
	named     string // an encoder to measure in place of the one at random
	vocab     string
	files     []string
	allocator string

	length   int
	threads  int
	rounds   int
	seconds  float64
	patience time.Duration

	samples string
	render  bool
	write   []string
	format  string
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.set, "set", "readme", "the `set` of cases: readme or all; the next six flags choose among them")
	listVar(f, &o.works, "work", "a `list` of infer, texts, train, start, tokenize, vocab, encode")
	listVar(f, &o.sizes, "sizes", "a `list` of base, mini, tiny, minilm")
	batches := f.String("batch-sizes", "", "a `list` of batch sizes of infer and train")
	listVar(f, &o.precisions, "precisions", "a `list` of float32, bf16, int8")
	listVar(f, &o.programs, "programs", "a `list` of the other programs: PyTorch, ONNX Runtime, OpenVINO, CTranslate2, tokenizers")
	listVar(f, &o.without, "without", "a `list` of variants to leave out, such as train/compiled or texts/streams")

	f.BoolVar(&o.prepare, "prepare", false, "make the Python environment and the models, and measure nothing")
	f.StringVar(&o.venv, "venv", "", "the `folder` of the Python environments (default: $BERT_INTEROP_VENV or bert-interop in the user's cache)")
	f.StringVar(&o.folder, "folder", "", "the `folder` of the models (default: bert-compare in the user's cache)")
	f.StringVar(&o.bert, "bert", "", "measure this `program` (default: build ./cmd/bert)")
	f.StringVar(&o.named, "model", "", "measure the encoder in this `folder`, such as all-MiniLM-L6-v2, in place of minilm")
	f.StringVar(&o.vocab, "vocab", "", "the `folder` with vocab.txt for models at random (default: the starter model's vocabulary)")
	listVar(f, &o.files, "text", "a `list` of files with one text per line (default: the reviews of bert demo)")
	f.StringVar(&o.allocator, "allocator", findAllocator(), "the `library` that PyTorch allocates with: tcmalloc; none: the system's")

	f.IntVar(&o.length, "seq-length", 128, "the length of a sequence of infer and train, in `tokens`")
	f.IntVar(&o.threads, "threads", runtime.NumCPU(), "threads of each program")
	f.IntVar(&o.rounds, "rounds", 3, "the number of rounds")
	f.Float64Var(&o.seconds, "seconds", 1, "the time of a sample, which has one run at least")
	f.DurationVar(&o.patience, "patience", 2*time.Minute, "how long to wait, in all, for moments in which nothing else runs")

	f.StringVar(&o.samples, "samples", "", "add the samples to this `file`, and make the tables of all that are in it")
	f.BoolVar(&o.render, "render", false, "make the tables of --samples, and measure nothing")
	listVar(f, &o.write, "write", "put the tables into these `files`, between the lines <!-- bench/compare: short --> or full and <!-- bench/compare: end -->")
	f.StringVar(&o.format, "format", "full", "the tables to print: full or short")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	for _, word := range list(*batches) {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("--batch-sizes: %q is not a positive number", word)
		}
		o.batches = append(o.batches, n)
	}
	return o, o.check()
}

// check reports the first value that has no meaning.
func (o *options) check() error {
	var names, models, others, variants []string
	for i := range works {
		names = append(names, works[i].name)
	}
	for i := range shapes {
		models = append(models, shapes[i].name)
	}
	for i := range programs {
		if !programs[i].ours() && !slices.Contains(others, programs[i].name) {
			others = append(others, programs[i].name)
		}
		if !programs[i].ours() && programs[i].variant != "" {
			for _, work := range programs[i].works {
				variants = append(variants, work+"/"+programs[i].variant)
			}
		}
	}
	for _, of := range []struct {
		flag        string
		given, want []string
	}{
		{"set", []string{o.set}, []string{"readme", "all"}}, {"work", o.works, names}, {"sizes", o.sizes, models},
		{"precisions", o.precisions, allPrecisions}, {"programs", o.programs, others}, {"without", o.without, variants}, {"format", []string{o.format}, []string{"full", "short"}},
	} {
		for _, name := range of.given {
			if !slices.Contains(of.want, name) {
				return fmt.Errorf("--%s: %q is unknown: want %s", of.flag, name, strings.Join(of.want, ", "))
			}
		}
	}
	switch {
	case o.threads < 1 || o.rounds < 1 || o.length < 1:
		return errors.New("--threads, --rounds and --seq-length must be positive")
	case !(o.seconds > 0 && o.seconds <= 3600):
		return fmt.Errorf("--seconds is %v, want more than 0 and at most 3600", o.seconds)
	case o.render && o.samples == "":
		return errors.New("--render wants --samples")
	}
	return nil
}

func listVar(f *flag.FlagSet, to *[]string, name, usage string) {
	f.Func(name, usage, func(s string) error {
		*to = list(s)
		return nil
	})
}

func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' })
}

// encoder is the name of the encoder that is measured.
func (o *options) encoder() string {
	if o.named == "" {
		return encoderName
	}
	return filepath.Base(filepath.Clean(o.named))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	d := &driver{options: o, stderr: stderr, built: make(map[string]builtModel)}
	if o.samples != "" {
		if d.record, err = readRecord(o.samples); err != nil {
			return err
		}
	}
	if !o.render {
		temp, err := os.MkdirTemp("", "bert-compare-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		if err := d.prepareAll(ctx, temp); err != nil || o.prepare {
			return err
		}
		if err := d.measure(ctx); err != nil {
			return errors.Join(err, tables[o.format](stdout, &d.record)) // what there is until then
		}
	}
	for _, path := range o.write {
		if err := writeBetweenMarks(path, &d.record); err != nil {
			return err
		}
	}
	return tables[o.format](stdout, &d.record)
}
