// Command serve measures bert serve beside other servers of the same weights, over loopback, and prints the medians as a Markdown table:
// text-embeddings-inference, infinity, and a plain server of FastAPI and transformers. The library's own pass over the same texts stands
// beside them, as the most that a server can do.
//
//	go run ./bench/serve --prepare                                  # makes the Python environments
//	go run ./bench/serve --model all-MiniLM-L6-v2 --tei text-embeddings-router --samples serve.jsonl --write docs/serving.md
//	go run ./bench/serve --model all-MiniLM-L6-v2 --programs bert --workloads sentences --connections 1,64 --rounds 1
//	go run ./bench/serve --model all-MiniLM-L6-v2 --soak 1000000    # memory and goroutines over a million requests
//	go run ./bench/serve --model all-MiniLM-L6-v2 --idle 10000      # memory of connections that say nothing
//
// The load comes from wrk (Debian: wrk), with one thread: each request has one text or pair, of the list of the workload in turn. Requests
// go to /v1/embeddings, or for pairs to /rerank, and every program gives its vectors as numbers in JSON. A pair's score comes from a head
// with random weights on the same encoder. Before anything is timed, each program's numbers are compared with the library's.
//
// A round asks each program in turn, and every second round in the opposite order; all are started before and stay idle meanwhile. bert's
// cache of results is off, since the texts come again. The Python programs come from the registry of Python packages, at the versions of
// interop/requirements; text-embeddings-inference is a program that --tei names. What can't be had is left out, and the output says so.
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
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "serve: %v\n", err)
		os.Exit(1)
	}
}

// options are the values of the flags.
type options struct {
	model       string
	data        string
	programs    []string
	workloads   []string
	connections []int
	texts       int
	rounds      int
	seconds     float64

	bert, tei, wrk string
	venv           string
	prepare        bool
	flags          []string // more of them, of bert serve

	soak, idle int
	clients    int

	samples string
	render  bool
	write   []string
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	f.SetOutput(stderr)
	list := func(to *[]string, name, usage string) {
		f.Func(name, usage, func(s string) error {
			*to = fields(s)
			return nil
		})
	}
	f.StringVar(&o.model, "model", "", "the `folder` of the model, such as all-MiniLM-L6-v2")
	f.StringVar(&o.data, "data", "", "the `folder` with glue/SST-2, glue/STS-B and imdb (default: data in $BERT_SHARED)")
	list(&o.programs, "programs", "a `list` of "+strings.Join(programNames(), ", ")+" (default: all)")
	list(&o.workloads, "workloads", "a `list` of "+strings.Join(workloadNames(), ", ")+" (default: all)")
	connections := f.String("connections", "1,8,64,256", "a `list` of numbers of connections")
	f.IntVar(&o.texts, "texts", 872, "the first `N` texts of each workload")
	f.IntVar(&o.rounds, "rounds", 3, "the number of rounds")
	f.Float64Var(&o.seconds, "seconds", 10, "the time of a sample")

	f.StringVar(&o.bert, "bert", "", "measure this `program` (default: build ./cmd/bert)")
	list(&o.flags, "flags", "a `list` of more flags of bert serve, such as --threads=1")
	f.StringVar(&o.tei, "tei", "", "the `program` text-embeddings-router (default: the one in $PATH)")
	f.StringVar(&o.wrk, "wrk", "wrk", "the `program` wrk")
	f.StringVar(&o.venv, "venv", "", "the `folder` of the Python environments (default: $BERT_INTEROP_VENV or bert-interop in the user's cache)")
	f.BoolVar(&o.prepare, "prepare", false, "make the Python environments, and measure nothing")

	f.IntVar(&o.soak, "soak", 0, "send `N` requests to bert, of all workloads, and report memory, goroutines and errors")
	f.IntVar(&o.clients, "clients", 64, "with --soak: the number of connections")
	f.IntVar(&o.idle, "idle", 0, "hold `N` idle connections to bert, and report their memory")

	f.StringVar(&o.samples, "samples", "", "add the samples to this `file`, and make the table of all that are in it")
	f.BoolVar(&o.render, "render", false, "make the table of --samples, and measure nothing")
	list(&o.write, "write", "put the table into these `files`, between the lines "+markBegin+" and "+markEnd)
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	for _, word := range fields(*connections) {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("--connections: %q is not a positive number", word)
		}
		o.connections = append(o.connections, n)
	}
	if o.data == "" {
		o.data = filepath.Join(os.Getenv("BERT_SHARED"), "data")
	}
	return o, o.check()
}

// check reports the first value that has no meaning.
func (o *options) check() error {
	for _, of := range []struct {
		flag        string
		given, want []string
	}{{"programs", o.programs, programNames()}, {"workloads", o.workloads, workloadNames()}} {
		for _, name := range of.given {
			if !slices.Contains(of.want, name) {
				return fmt.Errorf("--%s: %q is unknown: want %s", of.flag, name, strings.Join(of.want, ", "))
			}
		}
	}
	switch {
	case o.rounds < 1 || o.texts < 1 || o.clients < 1 || len(o.connections) == 0:
		return errors.New("--rounds, --texts, --clients and --connections must be positive")
	case o.soak < 0 || o.idle < 0:
		return errors.New("--soak and --idle must not be negative")
	case !(o.seconds > 0 && o.seconds <= 3600):
		return fmt.Errorf("--seconds is %v, want more than 0 and at most 3600", o.seconds)
	case o.render && o.samples == "":
		return errors.New("--render wants --samples")
	case o.model == "" && !o.render && !o.prepare:
		return errors.New("--model FOLDER is missing: want a sentence-transformers folder")
	}
	return nil
}

func fields(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' })
}

// wants says that a name is in a list, or the list is empty, which stands for all.
func wants(list []string, name string) bool { return len(list) == 0 || slices.Contains(list, name) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	d := &driver{options: o, stderr: stderr}
	if o.samples != "" {
		if d.samples, err = readSamples(o.samples); err != nil {
			return err
		}
	}
	if !o.render {
		temp, err := os.MkdirTemp("", "bert-serve-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		if err := d.open(ctx, temp); err != nil {
			return err
		}
		switch {
		case o.prepare:
			return nil
		case o.soak > 0:
			return d.soakAll(ctx, stdout)
		case o.idle > 0:
			return d.holdIdle(ctx, stdout)
		}
		if err := d.measureAll(ctx); err != nil {
			return err
		}
	}
	table := tableOf(d.samples)
	if _, err := io.WriteString(stdout, table); err != nil {
		return err
	}
	for _, path := range o.write {
		if err := writeBetweenMarks(path, table); err != nil {
			return err
		}
	}
	return nil
}

// note says what goes on.
func (d *driver) note(format string, args ...any) {
	fmt.Fprintf(d.stderr, "%s "+format+"\n", append([]any{time.Now().Format("15:04:05")}, args...)...)
}
