// Command bert pre-trains, fine-tunes, evaluates and uses BERT models, from one static binary.
//
//	bert predict --model DIR "A joy to watch."       label texts
//	bert fill-mask --model DIR "Paris is in [MASK]." guess hidden words
//	bert encode --model DIR "some text"              hidden states and vectors
//	bert tokenize --model DIR "some text"            ids, offsets, windows
//	bert join DIR                                    put the parts of one of these together (--shard)
//	bert serve --model DIR                           models behind a port, for clients of other servers
//	bert demo                                        fine-tune a small model and try it
//	bert finetune --task text --data train.tsv …     fine-tune on labelled texts
//	bert evaluate --task text --data eval.tsv …      evaluate a model
//	bert glue --data glue --model DIR …              fine-tune and evaluate on all of GLUE
//	bert sweep --learning-rate 2e-5,5e-5 …           compare settings and seeds
//	bert report DIR                                  make a page with pictures of a run
//	bert score squad …                               score predictions
//	bert vocab --input text.gz --output DIR          learn a vocabulary
//	bert instances --input text.gz --vocab DIR …     make pre-training data from text
//	bert pretrain --instances DIR --config FILE …    pre-train a model on it
//	bert pull NAME                                   fetch a model from a hub
//	bert convert IN OUT --to torch                   write a model in another format
//	bert prune MODEL OUT --every 2                   write a smaller model
//	bert inspect DIR                                 list the tensors of a model
//	bert bench infer                                 measure the speed of this machine
//	bert completion bash, bert man DIR               shell completion, manual pages
//
// This package is the only one that knows flags, the terminal and progress bars. help.go, man.go and completion.go show the
// same commands and flags; docs/output.md describes what is printed. The exit status is 0 for success, 1 for a failure and
// 2 for a mistake in the command line. A failure is one line on stderr.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// run runs the command line and returns its exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) (status int) {
	a := &app{args: args, stdin: stdin, stdout: stdout, stderr: stderr}
	defer func() {
		if p := recover(); p != nil {
			stack := debug.Stack()
			if carried, ok := p.(interface{ Panic() (any, []byte) }); ok { // from another goroutine, by task.Runner.Stream
				p, stack = carried.Panic()
			}
			if a.verbose {
				fmt.Fprintf(stderr, "%s\n", stack)
			}
			a.fail(fmt.Errorf("a bug in bert: %v; please report it at https://github.com/go-bert/bert/issues with the command (--verbose shows where)", p))
			status = exitFailed
		}
	}()
	a.log = newLogger(a)
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	if err == nil {
		return exitDone
	}
	if a.verb == "" { // parsing the command line failed
		a.verb = strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), root.Name()), " ")
		err = usageError{exclusive(err)}
	}
	if !errors.As(err, new(reported)) {
		a.fail(err)
	}
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// fail prints a failure as one line.
func (a *app) fail(err error) {
	verb := "bert"
	if a.verb != "" {
		verb += " " + a.verb
	}
	fmt.Fprintf(a.stderr, "%s: %s%s\n", verb, a.place, oneLine(err.Error()))
}

// oneLine joins a message into one line and replaces control characters, which may come from a user's file.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return ' '
		case isControl(r):
			return '�'
		}
		return r
	}, strings.TrimSpace(s))
}

// untilInterrupted returns a context that the first SIGINT or SIGTERM cancels, so that the caller can finish in an orderly
// way. note is called before that. A second signal ends the process at once.
func untilInterrupted(ctx context.Context, note func(os.Signal)) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			note(s)
			cancel()
		case <-ctx.Done():
		}
		// From here on a signal has its default effect and ends the process.
		signal.Stop(signals)
	}()
	return ctx, cancel
}
