package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/bench"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// A server answers a question in a worker of bert's library.
type server func(ctx context.Context, q *question) (*answer, error)

// serve is the worker: questions from in, answers to out.
func serve(ctx context.Context, argument string, in io.Reader, out io.Writer) error {
	var s spec
	if err := json.Unmarshal([]byte(argument), &s); err != nil {
		return fmt.Errorf("%q says no worker: %w", argument, err)
	}
	open := map[string]func(context.Context, *spec) (server, error){
		inferring: serveModel, encoding: serveModel, running: serveModel, training: serveTraining, tokenizing: serveTokenizer,
	}[s.Work]
	if open == nil {
		return fmt.Errorf("no worker does %q", s.Work)
	}
	answers := json.NewEncoder(out)
	do, err := open(ctx, &s)
	if err != nil {
		return answers.Encode(&answer{Error: err.Error()})
	}
	if err := answers.Encode(&answer{Ready: true}); err != nil {
		return err
	}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var q question
		if err := json.Unmarshal(line, &q); err != nil {
			return err
		}
		a, err := do(ctx, &q)
		if err != nil {
			a = &answer{Error: err.Error()}
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

// A clock times runs of the same work, as Clock in peers/worker.py: the first time after a run that allocates, and, unless a run is as
// long as half of the time, after a tenth of the time, which fills caches.
type clock struct{ known map[string]float64 }

func (c *clock) time(work string, seconds float64, run func() error) (*answer, error) {
	known, again := c.known[work]
	began := time.Now()
	if !again {
		if err := run(); err != nil {
			return nil, err
		}
	}
	if known < seconds/2 {
		for time.Since(began).Seconds() < seconds/10 {
			if err := run(); err != nil {
				return nil, err
			}
		}
	}
	bench.ResetPeakMemory()
	var samples bench.Samples
	for began = time.Now(); len(samples) == 0 || time.Since(began).Seconds() < seconds; {
		from := time.Now()
		if err := run(); err != nil {
			return nil, err
		}
		samples = append(samples, time.Since(from).Seconds())
	}
	slices.Sort(samples)
	if c.known == nil {
		c.known = make(map[string]float64)
	}
	c.known[work] = samples.Median()
	return &answer{Seconds: samples.Median(), Runs: len(samples), PeakBytes: bench.PeakMemory()}, nil
}

func readTexts(path string) ([]string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimRight(string(content), "\n"), "\n"), nil
}

// centred is the logits less their mean, which log-probabilities share.
func centred(logits []float64) []float64 {
	var sum float64
	for _, v := range logits {
		sum += v
	}
	out := make([]float64, len(logits))
	for i, v := range logits {
		out[i] = v - sum/float64(len(logits))
	}
	return out
}

func widened(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// serveModel measures passes over ids, and texts to the logits of a classifier or the vectors of an encoder.
func serveModel(ctx context.Context, s *spec) (server, error) {
	c, err := bert.LoadConfig(s.Folder)
	if err != nil {
		return nil, err
	}
	p, err := bert.ParsePrecision(s.Precision)
	if err != nil {
		return nil, err
	}
	o := task.Options{Model: bert.Options{Threads: s.Threads, Precision: p}}
	if c.NumLabels() > 0 && slices.Equal(c.Architectures, []string{"BertForSequenceClassification"}) {
		r, err := task.Open(ctx, s.Folder, task.Predict(), o)
		if err != nil {
			return nil, err
		}
		return modelServer(r, bert.Outputs{LastHidden: s.Variant == allStates}, func(p task.Prediction) []float64 { return centred(widened(p.Logits)) }), nil
	}
	r, err := task.Open(ctx, s.Folder, task.Encode(task.EncodeOptions{Pooling: task.MeanPooling, Normalize: true, MaxLength: min(textLength, c.MaxPositionEmbeddings)}), o)
	if err != nil {
		return nil, err
	}
	return modelServer(r, bert.Outputs{LastHidden: true}, func(e task.Encoded) []float64 { return widened(e.Pooled) }), nil
}

func modelServer[T any](r *task.Runner[T], want bert.Outputs, numbers func(T) []float64) server {
	var (
		clock   clock
		session = r.Model().NewSession()
		words   = r.Model().Config().VocabSize
	)
	return func(ctx context.Context, q *question) (*answer, error) {
		texts := q.Texts
		if q.Ask == encoding || q.Ask == running {
			var err error
			if texts, err = readTexts(q.File); err != nil {
				return nil, err
			}
		}
		inputs := data.Texts(texts...)
		switch q.Ask {
		case checking:
			a := new(answer)
			if q.IDs != nil {
				inputs = nil
				for _, ids := range q.IDs {
					inputs = append(inputs, data.Input{IDs: ids})
				}
			}
			answers, err := r.Do(ctx, inputs)
			for i := range answers {
				a.Numbers = append(a.Numbers, numbers(answers[i]))
			}
			return a, err
		case inferring:
			b := randomBatch(words, 0, q.Batch, q.Length)
			return clock.time(fmt.Sprint(q.Batch, q.Length), q.Seconds, func() error {
				_, err := session.Forward(b, want)
				return err
			})
		}
		return clock.time(q.File, q.Seconds, func() error {
			_, err := r.Do(ctx, inputs)
			return err
		})
	}
}

// randomBatch has sequences of random ids and, with labels, a class for each.
func randomBatch(words, labels, sequences, length int) *bert.Batch {
	r := rand.New(rand.NewPCG(1, uint64(sequences*length)))
	b := &bert.Batch{}
	ids := make([]int32, length)
	first := min(1000, words/2) // those before are special or unused
	for range sequences {
		for i := range ids {
			ids[i] = int32(first + r.IntN(words-first))
		}
		b.Add(ids, nil)
		if labels > 0 {
			b.Classes = append(b.Classes, r.Int32N(int32(labels)))
		}
	}
	return b
}

// serveTraining measures steps of fine-tuning: forward, backward with the dropout of the configuration, the norm of the gradient clipped to
// 1, and Adam with the decay of weights.
func serveTraining(ctx context.Context, s *spec) (server, error) {
	p, err := bert.ParsePrecision(s.Precision)
	if err != nil {
		return nil, err
	}
	m, err := bert.Load(ctx, s.Folder, bert.Options{Threads: s.Threads, Precision: p, Head: bert.SequenceClassification})
	if err != nil {
		return nil, err
	}
	t, err := m.NewTrainer()
	if err != nil {
		return nil, err
	}
	var (
		clock clock
		key   uint64
		c     = m.Config()
	)
	step := func(b *bert.Batch, p bert.Pass) (bert.Loss, error) {
		loss, err := t.Backward([]*bert.Batch{b}, p)
		if err != nil {
			return loss, err
		}
		norm, err := t.GradNorm()
		if err != nil {
			return loss, err
		}
		const rate, decay = 2e-5, 0.01
		// The corrections of the moments are a factor of the step's size, which costs no time.
		return loss, t.Update(bert.Update{GradScale: 1 / max(1, norm), Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, StepSize: rate, RootScale: 1, Decay: rate * decay})
	}
	return func(_ context.Context, q *question) (*answer, error) {
		if q.Ask == checking {
			b := &bert.Batch{Classes: q.Labels}
			for _, ids := range q.IDs {
				b.Add(ids, nil)
			}
			loss, err := t.Backward([]*bert.Batch{b}, bert.Pass{NoDropout: true})
			if err != nil {
				return nil, err
			}
			return &answer{Numbers: [][]float64{{loss.Total}}}, t.ZeroGrad()
		}
		b := randomBatch(c.VocabSize, c.NumLabels(), q.Batch, q.Length)
		return clock.time(fmt.Sprint(q.Batch, q.Length), q.Seconds, func() error {
			key++
			_, err := step(b, bert.Pass{Key: key})
			return err
		})
	}, nil
}

// serveTokenizer measures texts to ids, types and offsets, without truncation.
func serveTokenizer(_ context.Context, s *spec) (server, error) {
	t, err := tokenizer.Load(bert.TokenizerDir(s.Folder, ""))
	if err != nil {
		return nil, err
	}
	var clock clock
	return func(_ context.Context, q *question) (*answer, error) {
		if q.Ask == checking {
			a := new(answer)
			for _, text := range q.Texts {
				var e tokenizer.Encoding
				if err := t.Encode(&e, text, tokenizer.Options{}); err != nil {
					return nil, err
				}
				ids := make([]float64, len(e.IDs))
				for i, id := range e.IDs {
					ids[i] = float64(id)
				}
				a.Numbers = append(a.Numbers, ids)
			}
			return a, nil
		}
		texts, err := readTexts(q.File)
		if err != nil {
			return nil, err
		}
		return clock.time(q.File, q.Seconds, func() error { return tokenizeAll(t, texts, s.Threads) })
	}, nil
}

// tokenizeAll tokenizes texts on several threads.
func tokenizeAll(t *tokenizer.Tokenizer, texts []string, threads int) error {
	errs := make(chan error, threads)
	size := max(1, (len(texts)+threads-1)/threads)
	parts := 0
	for part := range slices.Chunk(texts, size) {
		parts++
		go func() {
			var e tokenizer.Encoding
			for _, text := range part {
				if err := t.Encode(&e, text, tokenizer.Options{}); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	var failed error
	for range parts {
		if err := <-errs; err != nil {
			failed = err
		}
	}
	return failed
}

// agreement is the least cosine of two answers to a check, row by row; of single numbers 1 less their relative difference; of ids 1 where
// they are equal and 0 elsewhere.
func agreement(work string, a, b [][]float64) float64 {
	if len(a) != len(b) || len(a) == 0 {
		return 0
	}
	least := 1.0
	for i := range a {
		switch {
		case len(a[i]) != len(b[i]) || len(a[i]) == 0:
			return 0
		case work == tokenizing:
			if !slices.Equal(a[i], b[i]) {
				return 0
			}
		case len(a[i]) == 1:
			least = min(least, 1-math.Abs(a[i][0]-b[i][0])/math.Abs(b[i][0]))
		default:
			least = min(least, cosine(a[i], b[i]))
		}
	}
	return least
}

func cosine(a, b []float64) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab, aa, bb = ab+a[i]*b[i], aa+a[i]*a[i], bb+b[i]*b[i]
	}
	return ab / math.Sqrt(aa*bb)
}
