package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/bench"
	"github.com/go-bert/bert/tokenizer"
)

func (a *app) benchTokenizeCommand() *cobra.Command {
	var (
		f  benchFlags
		v  vocabularyFlags
		in inputFlags
	)
	cmd := &cobra.Command{
		Use:   "tokenize (--model DIR | --vocab FILE) [flags]",
		Short: "Measure a tokenizer",
		Long: `tokenize measures how fast texts are tokenized to ids and offsets, with [CLS] and [SEP], without truncation. The texts are
those of --input or the reviews of bert demo, and are read beforehand. A run tokenizes all of them, several times if they are
less than a megabyte.`,
		Example: `  bert bench tokenize --vocab vocab.txt
  bert bench tokenize --model bert-base-uncased --input reviews.txt --threads 1 --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			t, err := v.load()
			if err != nil {
				return err
			}
			inputs, err := benchInputs(cmd.Context(), a, &in)
			if err != nil {
				return err
			}
			return a.benchTokenize(&f, t, inputs)
		},
	}
	v.add(cmd)
	in.add(cmd)
	f.add(cmd, 5)
	return cmd
}

// benchInputs reads the input, or takes the demonstration's.
func benchInputs(ctx context.Context, a *app, in *inputFlags) ([]data.Input, error) {
	if in.file == "" {
		training, held, err := demoReviews()
		if err != nil {
			return nil, err
		}
		var texts []data.Input
		for _, e := range append(training, held...) {
			texts = append(texts, data.Input{Text: e.Text})
		}
		return texts, nil
	}
	stream, err := in.open(a, nil)
	if err != nil {
		return nil, err
	}
	defer stream.close()
	var texts []data.Input
	for {
		input, at, err := stream.Read(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if input.IDs != nil {
			if err := stream.Skip(&data.SourceError{Source: at, Err: fmt.Errorf("ids in place of a text: nothing to tokenize")}); err != nil {
				return nil, err
			}
			continue
		}
		texts = append(texts, input)
	}
	stream.reportSkipped(a)
	if len(texts) == 0 {
		return nil, fmt.Errorf("%s: no text in it", in.file)
	}
	return texts, nil
}

func (a *app) benchTokenize(f *benchFlags, t *tokenizer.Tokenizer, texts []data.Input) error {
	threads := f.threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	size := 0
	for _, in := range texts {
		size += len(in.Text) + len(in.TextPair)
	}
	// Enough that starting the threads does not count.
	const least = 1 << 20
	rounds := max(1, (least+size)/(size+1))
	all := make([]data.Input, 0, rounds*len(texts))
	for range rounds {
		all = append(all, texts...)
	}
	a.log.Info(fmt.Sprintf("%s, %s, %s", count(threads, "thread"), count(len(all), "text"), count(rounds*size, "byte")))

	w := newTokenizing(t, all, threads)
	bench.ResetPeakMemory()
	samples, err := bench.Time(f.limit(), w.run)
	if err != nil {
		return err
	}
	line := &measurement{Work: "tokenize", Batch: len(all), Threads: threads}
	line.take(samples)
	line.SequencesPerSecond, line.TokensPerSecond = line.rate(float64(len(all))), line.rate(float64(w.tokens.Load()))
	line.MegabytesPerSecond = line.rate(float64(rounds*size) / 1e6)
	out := &measurements{app: a, table: f.out.table(a), columns: tokenizeColumns}
	if err := out.add(line); err != nil {
		return err
	}
	return out.close()
}

var tokenizeColumns = []benchColumn{
	number("texts", func(m *measurement) string { return fmt.Sprint(m.Batch) }),
	number("threads", func(m *measurement) string { return fmt.Sprint(m.Threads) }),
	number("MB/s", func(m *measurement) string { return decimals(m.MegabytesPerSecond, 2, "") }),
	number("texts/s", func(m *measurement) string { return decimals(m.SequencesPerSecond, 0, "") }),
	number("tokens/s", func(m *measurement) string { return decimals(m.TokensPerSecond, 0, "") }),
	columnP50, columnP99, columnMemory,
}

// tokenizing tokenizes texts on several threads, each with memory of its own that it uses again.
type tokenizing struct {
	tokenizer *tokenizer.Tokenizer
	texts     []data.Input
	errs      []error // of the threads

	next, tokens atomic.Int64
}

func newTokenizing(t *tokenizer.Tokenizer, texts []data.Input, threads int) *tokenizing {
	return &tokenizing{tokenizer: t, texts: texts, errs: make([]error, threads)}
}

// run tokenizes all texts and counts their tokens.
func (w *tokenizing) run() error {
	w.next.Store(0)
	w.tokens.Store(0)
	var ended sync.WaitGroup
	for thread := range w.errs {
		ended.Go(func() { w.errs[thread] = w.share() })
	}
	ended.Wait()
	for _, err := range w.errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// share takes texts, some at a time, until there are none left.
func (w *tokenizing) share() error {
	const run = 64
	var dst tokenizer.Encoding // the thread's own: in one slice of all threads' they would share cache lines
	tokens := 0
	defer func() { w.tokens.Add(int64(tokens)) }()
	for {
		to := int(w.next.Add(run))
		from := to - run
		if from >= len(w.texts) {
			return nil
		}
		for i := from; i < min(to, len(w.texts)); i++ {
			if err := encodeInput(w.tokenizer, &dst, &w.texts[i], tokenizer.Options{}); err != nil {
				return err
			}
			tokens += dst.Len()
		}
	}
}
