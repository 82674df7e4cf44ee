package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-bert/bert/internal/bench"
)

// A spec says what a worker is to be: its argument, in JSON.
type spec struct {
	Work      string   `json:"work"`
	Backend   string   `json:"backend"`
	Variant   string   `json:"variant"`
	Precision string   `json:"precision"`
	Folder    string   `json:"folder"` // the model
	Threads   int      `json:"threads"`
	Texts     []string `json:"texts,omitempty"` // to start with
	File      string   `json:"file,omitempty"`  // to learn a vocabulary from
	Size      int      `json:"size,omitempty"`  // of the vocabulary
}

// A question is a line of JSON to a worker: the name of a work, to time it, or checking.
type question struct {
	Ask       string    `json:"ask"`
	Seconds   float64   `json:"seconds"`
	Batch     int       `json:"batch"`
	Length    int       `json:"length"`
	File      string    `json:"file"`
	MaxLength int       `json:"max_length"`
	Texts     []string  `json:"texts"`  // to check
	IDs       [][]int32 `json:"ids"`    // to check passes over ids
	Labels    []int32   `json:"labels"` // of IDs, to check a loss
}

// checking asks for numbers that tell whether all do the same work: a vector for each text, its ids, or a loss.
const checking = "check"

// An answer is a line of JSON from a worker.
type answer struct {
	Ready     bool        `json:"ready"` // the first line
	Error     string      `json:"error"`
	Seconds   float64     `json:"seconds"` // the median of Runs
	Runs      int         `json:"runs"`
	PeakBytes int64       `json:"peak_bytes"` // 0: unknown
	Numbers   [][]float64 `json:"numbers"`
}

// An asker answers questions: a process that stays, or one that is started for each question.
type asker interface {
	ask(ctx context.Context, q *question) (*answer, error)
	// used is the processor time of its processes so far.
	used() time.Duration
	close()
}

// A worker is a process that is asked.
type worker struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  *bufio.Reader
	stderr *tail
}

// startWorker starts a process and waits until it is ready.
func startWorker(ctx context.Context, cmd *exec.Cmd) (*worker, error) {
	w := &worker{cmd: cmd, stderr: &tail{}}
	cmd.Stderr = w.stderr
	var err error
	if w.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.lines = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	a, err := w.read(ctx)
	if err == nil && !a.Ready {
		err = fmt.Errorf("%s did not begin with its being ready", filepath.Base(cmd.Path))
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *worker) ask(ctx context.Context, q *question) (*answer, error) {
	line, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	if _, err := w.in.Write(append(line, '\n')); err != nil {
		return nil, w.died(err)
	}
	return w.read(ctx)
}

// read reads an answer. The end of ctx ends the process.
func (w *worker) read(ctx context.Context) (*answer, error) {
	stop := context.AfterFunc(ctx, func() { _ = w.cmd.Process.Kill() }) // the error says that it has ended already
	defer stop()
	line, err := w.lines.ReadBytes('\n')
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, w.died(err)
	}
	a := new(answer)
	if err := json.Unmarshal(line, a); err != nil {
		return nil, fmt.Errorf("%q is no answer: %w", line, err)
	}
	if a.Error != "" {
		return nil, errors.New(a.Error)
	}
	return a, nil
}

// died ends a process that can't be asked any more, and is err with what the process said last.
func (w *worker) died(err error) error {
	w.close() // what it said is whole once it has been waited for
	if last := w.stderr.last(); last != "" {
		return fmt.Errorf("%w: %s", err, last)
	}
	return err
}

func (w *worker) used() time.Duration { return bench.ProcessTime(w.cmd.Process.Pid) }

// close ends the process, which ends by itself when there is nothing more to read.
func (w *worker) close() {
	_ = w.in.Close() // it is of a process that may have ended
	late := time.AfterFunc(10*time.Second, func() { _ = w.cmd.Process.Kill() })
	defer late.Stop()
	_ = w.cmd.Wait() // a process that was killed is no news
}

// A once starts a process for each question. The time is that until its first line, or, with whole, until its end.
type once struct {
	command func(q *question) (cmd *exec.Cmd, done func(), err error)
	// numbers makes those of a check from what the process wrote.
	numbers func(out []byte) ([][]float64, error)
	whole   bool
	spent   time.Duration
}

func (o *once) ask(ctx context.Context, q *question) (*answer, error) {
	cmd, done, err := o.command(q)
	if err != nil {
		return nil, err
	}
	defer done()
	var stderr tail
	cmd.Stderr = &stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	lines := bufio.NewReader(pipe)
	out, _ := lines.ReadBytes('\n') // a process that failed says so by its status
	took := time.Since(began)
	if q.Ask == checking {
		rest, _ := io.ReadAll(lines)
		out = append(out, rest...)
	} else {
		_, _ = io.Copy(io.Discard, lines)
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, stderr.last())
	}
	if o.whole {
		took = time.Since(began)
	}
	o.spent += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	a := &answer{Seconds: took.Seconds(), Runs: 1, PeakBytes: bench.PeakOf(cmd.ProcessState)}
	if q.Ask == checking {
		a.Numbers, err = o.numbers(out)
	}
	return a, err
}

func (o *once) used() time.Duration { return o.spent }
func (o *once) close()              {}

// A tail keeps the end of what is written to it.
type tail struct{ data []byte }

func (t *tail) Write(p []byte) (int, error) {
	const most = 4 << 10
	t.data = append(t.data, p...)
	t.data = t.data[max(0, len(t.data)-most):]
	return len(p), nil
}

// last is the last line.
func (t *tail) last() string {
	lines := bytes.Split(bytes.TrimSpace(t.data), []byte("\n"))
	return strings.TrimSpace(string(lines[len(lines)-1]))
}

// pythonNumbers reads those of worker.py.
func pythonNumbers(out []byte) ([][]float64, error) {
	var a answer
	if err := json.Unmarshal(out, &a); err != nil {
		return nil, fmt.Errorf("%q is no answer: %w", out, err)
	}
	if a.Error != "" {
		return nil, errors.New(a.Error)
	}
	return a.Numbers, nil
}

// bertNumbers reads those of bert encode and bert predict.
func bertNumbers(out []byte) (numbers [][]float64, err error) {
	for line := range bytes.Lines(out) {
		var a struct{ Pooled, Logits []float64 }
		if err := json.Unmarshal(line, &a); err != nil {
			return nil, fmt.Errorf("bert wrote %q: %w", line, err)
		}
		numbers = append(numbers, a.Pooled)
		if a.Pooled == nil {
			numbers[len(numbers)-1] = centred(a.Logits)
		}
	}
	return numbers, nil
}

// commandOf is a process with the environment of this one less what sets up numpy's own products, and more.
func commandOf(env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "OPENBLAS_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	return cmd
}
