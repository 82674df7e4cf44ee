package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/bench"
	"github.com/go-bert/bert/task"
)

const countHelp = `

Each line gives the rates of the median run. Operations are those of the products, two for each multiply-add, counted
from the sizes; a backward pass counts twice its forward pass. The memory is the most that the process had while the
line was measured, the model included.`

func (a *app) benchInferCommand() *cobra.Command {
	var (
		f benchFlags
		s sizeFlags
	)
	cmd := &cobra.Command{
		Use:   "infer [flags]",
		Short: "Measure the forward pass of a classifier",
		Long:  `infer measures the forward pass of a model that classifies sequences, from ids to logits.` + countHelp,
		Example: `  bert bench infer
  bert bench infer --size tiny --batch-sizes 1,8,32 --threads 1
  bert bench infer --model my-model --seq-lengths 64,128,512 --json`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return a.benchModel("infer", &f, &s, inferRun, 1) },
	}
	s.add(cmd, 1, 8, 32)
	f.add(cmd, 5)
	return cmd
}

func (a *app) benchTrainCommand() *cobra.Command {
	var (
		f benchFlags
		s sizeFlags
	)
	cmd := &cobra.Command{
		Use:   "train [flags]",
		Short: "Measure a training step of a classifier",
		Long: `train measures whole steps of fine-tuning a model that classifies sequences: forward, backward with the dropout of the
configuration (0.1 of the published sizes), the norm of the gradient, and Adam.` + countHelp,
		Example: `  bert bench train
  bert bench train --size mini --batch-sizes 16,32 --seq-lengths 128,512 --json`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return a.benchModel("train", &f, &s, trainRun, 3) },
	}
	s.trains = true
	s.add(cmd, 32)
	f.add(cmd, 5)
	return cmd
}

// benchModel measures runs over batches; a run does so many times the operations of a forward pass.
func (a *app) benchModel(work string, f *benchFlags, s *sizeFlags, prepare func(*bert.Model, *bert.Batch) (func() error, func(), error), passes float64) error {
	c, name, machine, err := f.begin(a, s)
	if err != nil {
		return err
	}
	m, err := s.open(c, f.threads)
	if err != nil {
		return err
	}
	defer m.Close()
	c = m.Config()
	peak := f.peak(a, machine, s.precision)
	out := &measurements{app: a, table: f.out.table(a), columns: modelColumns}
	err = s.each(func(batch, length int) error {
		a.log.Info(fmt.Sprintf("%s, %d × %s", name, batch, count(length, "token")))
		b, err := randomBatch(&c, batch, length)
		if err != nil {
			return err
		}
		run, done, err := prepare(m, b)
		if err != nil {
			return err
		}
		defer done()
		bench.ResetPeakMemory()
		samples, err := bench.Time(f.limit(), run)
		if err != nil {
			return err
		}
		line := &measurement{
			Work: work, Model: name, Batch: batch, SeqLength: &length,
			Threads: machine.Threads(), Precision: s.precision.String(), Level: machine.Level(),
		}
		line.take(samples)
		line.SequencesPerSecond, line.TokensPerSecond = line.rate(float64(batch)), line.rate(float64(batch*length))
		line.compute(passes*float64(batch)*bench.ForwardOperations(c.AttentionWidths(), c.HiddenSize, c.IntermediateSize, length), peak)
		return out.add(line)
	})
	if err != nil {
		return err
	}
	return out.close()
}

var modelColumns = []benchColumn{
	{column{"model", false}, func(m *measurement) string { return visible(m.Model) }},
	number("batch", func(m *measurement) string { return fmt.Sprint(m.Batch) }),
	number("tokens", func(m *measurement) string { return fmt.Sprint(*m.SeqLength) }),
	number("sequences/s", func(m *measurement) string { return decimals(m.SequencesPerSecond, 2, "") }),
	columnP50, columnP99, columnFLOPS, columnShare, columnMemory,
}

// open loads or makes the model, with the head that classifies sequences. What its file lacks begins at random: speed does
// not depend on it.
func (f *sizeFlags) open(c bert.Config, threads int) (*bert.Model, error) {
	o := bert.Options{Threads: threads, Precision: f.precision, Dequantize: true, Head: bert.SequenceClassification, Seed: benchSeed}
	if f.model != "" {
		o.AllowMissing = true
		return bert.Load(context.Background(), f.model, o)
	}
	return bert.New(c, o)
}

// benchSeed is the seed of weights, ids and dropout.
const benchSeed = 1

// randomBatch has sequences of random ids, each with a target of the kind that the model learns.
func randomBatch(c *bert.Config, sequences, length int) (*bert.Batch, error) {
	kind, err := task.KindOf(bert.SequenceClassification, c)
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(benchSeed, uint64(sequences*length)))
	b := &bert.Batch{}
	ids := make([]int32, length)
	for range sequences {
		for i := range ids {
			ids[i] = r.Int32N(int32(c.VocabSize))
		}
		b.Add(ids, nil)
		switch kind {
		case task.MultiLabel:
			for range c.NumLabels() {
				b.Values = append(b.Values, float32(r.IntN(2)))
			}
		case task.Regression:
			b.Values = append(b.Values, r.Float32())
		default:
			b.Classes = append(b.Classes, r.Int32N(int32(c.NumLabels())))
		}
	}
	return b, nil
}

func inferRun(m *bert.Model, b *bert.Batch) (run func() error, done func(), err error) {
	s := m.NewSession()
	return func() error {
		_, err := s.Forward(b, bert.Outputs{})
		return err
	}, func() {}, nil
}

func trainRun(m *bert.Model, b *bert.Batch) (run func() error, done func(), err error) {
	t, err := m.NewTrainer()
	if err != nil {
		return nil, nil, err
	}
	batches, step := []*bert.Batch{b}, uint64(0)
	return func() error {
		step++
		if _, err := t.Backward(batches, bert.Pass{Key: benchSeed + step}); err != nil {
			return err
		}
		// Google's optimiser, with the norm of the gradient clipped to 1.
		norm, err := t.GradNorm()
		if err != nil {
			return err
		}
		return t.Update(bert.Update{
			GradScale: 1 / max(1, norm), Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, StepSize: 2e-5, RootScale: 1, Decay: 2e-5 * 0.01,
		})
	}, t.Close, nil
}
