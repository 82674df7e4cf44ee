package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/bench"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

func (a *app) benchStartupCommand() *cobra.Command {
	var (
		f benchFlags
		s modelSizeFlags
	)
	cmd := &cobra.Command{
		Use:         "startup [flags]",
		Short:       "Measure the time from starting bert to the first prediction",
		Annotations: map[string]string{needsAnswers: ""},
		Long: `startup starts bert predict repeatedly and measures the time until it has printed the label of one short sentence. The files
are in the page cache, because they have just been read.

Two predictions are measured for comparison: the first one of a model that has just been opened (first pass), which reads the
weights from the mapped file, and a later one (pass).

The resident and the proportional memory are those of a process while another one has the same model open. Pages that the two
share, those of the mapped file, count half in the proportional memory.`,
		Example: `  bert bench startup
  bert bench startup --model my-model --threads 1 --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.benchStartup(cmd.Context(), &f, &s) },
	}
	s.add(cmd)
	f.add(cmd, 5)
	return cmd
}

// leastStarts is how many starts are measured, however long they take.
const leastStarts = 5

// startupSentence is what is predicted.
const startupSentence = "a joy from start to finish ."

func (a *app) benchStartup(ctx context.Context, f *benchFlags, s *modelSizeFlags) error {
	c, name, machine, err := f.begin(a, s)
	if err != nil {
		return err
	}
	dir := s.model
	if dir == "" {
		temp, err := os.MkdirTemp("", "bert-startup-")
		if err != nil {
			return files.PathError(err)
		}
		defer os.RemoveAll(temp)
		dir = filepath.Join(temp, "model")
		if err := s.write(dir, c); err != nil {
			return err
		}
	}
	first, pass, err := passOf(ctx, dir, f, s.precision)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	start := func() (*firstPrediction, error) {
		return startPredict(ctx, program, []string{
			"bert", "predict", "--model", dir, "--threads", strconv.Itoa(machine.Threads()), "--precision", s.precision.String(), "--json", "--quiet",
		})
	}
	other, err := start()
	if err != nil {
		return err
	}
	defer other.end()
	var pages bench.Pages
	known := false
	// The end of a process is not counted, which bench.Time would do.
	var samples bench.Samples
	for begun := time.Now(); len(samples) < leastStarts || time.Since(begun) < f.limit(); {
		from := time.Now()
		p, err := start()
		if err != nil {
			return err
		}
		samples = append(samples, time.Since(from).Seconds())
		pages, known = bench.PagesOf(p.cmd.Process.Pid)
		if err := p.end(); err != nil {
			return err
		}
	}
	slices.Sort(samples)
	line := &measurement{
		Work: "startup", Model: name, Batch: 1, Threads: machine.Threads(), Precision: s.precision.String(), Level: machine.Level(),
	}
	line.P50, line.P99, line.Runs = 1e3*samples.Median(), 1e3*samples.Quantile(0.99), len(samples)
	beyond := line.P50 - first
	line.FirstPass, line.Pass, line.BeyondPass = &first, &pass, &beyond
	if known {
		line.RSS, line.PSS = &pages.Resident, &pages.Proportional
	}
	out := &measurements{app: a, table: f.out.table(a), columns: startupColumns}
	if err := out.add(line); err != nil {
		return err
	}
	return out.close()
}

var startupColumns = []benchColumn{
	{column{"model", false}, func(m *measurement) string { return visible(m.Model) }},
	columnP50, columnP99,
	number("first pass", func(m *measurement) string { return milliseconds(*m.FirstPass) }),
	number("pass", func(m *measurement) string { return milliseconds(*m.Pass) }),
	number("beyond", func(m *measurement) string { return milliseconds(*m.BeyondPass) }),
	number("resident", func(m *measurement) string { return memory(m.RSS) }),
	number("proportional", func(m *measurement) string { return memory(m.PSS) }),
}

// write makes a model directory with random weights and a vocabulary of the configuration's size.
func (s *modelSizeFlags) write(dir string, c bert.Config) error {
	vocabulary := append([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}, strings.Fields(startupSentence)...)
	for i := len(vocabulary); i < c.VocabSize; i++ {
		vocabulary = append(vocabulary, fmt.Sprintf("word%d", i))
	}
	t, err := tokenizer.New(vocabulary[:min(len(vocabulary), c.VocabSize)], tokenizer.DefaultConfig())
	if err != nil {
		return err
	}
	m, err := bert.New(c, bert.Options{Head: bert.SequenceClassification, Seed: benchSeed})
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Save(dir, bert.SaveOptions{}); err != nil {
		return err
	}
	return t.Save(dir, tokenizer.SaveOptions{})
}

// passOf is the time in milliseconds that a prediction takes, in the median: the first of a model that has just been opened,
// and one of a model that has made some.
func passOf(ctx context.Context, dir string, f *benchFlags, precision bert.Precision) (first, warm float64, err error) {
	texts := data.Texts(startupSentence)
	var firsts, others bench.Samples
	for range leastStarts {
		p, err := task.Open(ctx, dir, task.Predict(), task.Options{Model: bert.Options{Threads: f.threads, Precision: precision, Dequantize: true}})
		if err != nil {
			return 0, 0, err
		}
		predict := func() error {
			_, err := p.Do(ctx, texts)
			return err
		}
		from := time.Now()
		err = predict()
		firsts = append(firsts, time.Since(from).Seconds())
		if len(firsts) == leastStarts && err == nil {
			if err = predict(); err == nil { // the second pass packs the weights
				others, err = bench.Time(f.limit()/10, predict)
			}
		}
		if err = errors.Join(err, p.Close()); err != nil {
			return 0, 0, err
		}
	}
	slices.Sort(firsts)
	return 1e3 * firsts.Median(), 1e3 * others.Median(), nil
}

// firstPrediction is a process that has printed one and waits for more.
type firstPrediction struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// startPredict starts the program and returns when it has printed a prediction.
func startPredict(ctx context.Context, program string, args []string) (*firstPrediction, error) {
	cmd := exec.CommandContext(ctx, program)
	cmd.Args = args
	var messages strings.Builder
	cmd.Stderr = &messages
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &firstPrediction{cmd, stdin}
	if _, err = io.WriteString(stdin, startupSentence+"\n"); err == nil {
		_, err = bufio.NewReader(stdout).ReadString('\n')
	}
	if err != nil {
		_ = p.end()
		if text := strings.TrimSpace(messages.String()); text != "" {
			return nil, fmt.Errorf("it printed no prediction: %s", text)
		}
		return nil, fmt.Errorf("it printed no prediction: %w", err)
	}
	return p, nil
}

// end closes the process's input and waits for its end.
func (p *firstPrediction) end() error {
	p.stdin.Close()
	return p.cmd.Wait()
}
