package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/bench"
	"github.com/go-bert/bert/task"
)

// textsFlags are those of bench texts.
type textsFlags struct {
	benchFlags
	dir       string
	precision bert.Precision
	given     bool
	batches   []int
	in        inputFlags
}

func (a *app) benchTextsCommand() *cobra.Command {
	var f textsFlags
	cmd := &cobra.Command{
		Use:         "texts --model DIR [flags]",
		Short:       "Measure text classification",
		Annotations: map[string]string{needsAnswers: ""},
		Long: `texts measures how fast texts are classified, with the tokenizer, the model and the softmax. A run classifies all texts, in
batches in their order, without padding. The texts are those of --input or the reviews of bert demo, and are read beforehand.`,
		Example: `  bert bench texts --model my-model --input sentences.txt --batch-sizes 8,32
  bert bench texts --model my-model --input sentences.txt --threads 1 --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.benchTexts(cmd.Context(), &f) },
	}
	flagsIn(cmd, modelSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.dir, "model", "", "the model: its `DIR`, the name of one that bert pull fetched, or starter")
	})
	markModel(cmd, "model")
	flagsIn(cmd, dataSection, func(flags *pflag.FlagSet) {
		flags.IntSliceVar(&f.batches, "batch-sizes", []int{8, 32}, "measure batches of `N,N…` texts")
	})
	addPrecision(cmd, &f.precision, &f.given, precisions)
	f.in.add(cmd)
	f.add(cmd, 5)
	return cmd
}

func (a *app) benchTexts(ctx context.Context, f *textsFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	if len(f.batches) == 0 || slices.Min(f.batches) < 1 {
		return usagef("--batch-sizes is %s, want positive numbers", numbers(f.batches))
	}
	model := modelFlags{dir: f.dir, threads: f.threads, precision: f.precision, given: f.given}
	c, err := model.check(a)
	if err != nil {
		return err
	}
	texts, err := benchInputs(ctx, a, &f.in)
	if err != nil {
		return err
	}
	machine, err := f.machine(a)
	if err != nil {
		return err
	}
	o := model.options()
	o.Tokens = slices.Max(f.batches) * c.MaxPositionEmbeddings // no batch is cut
	p, err := task.Open(ctx, f.dir, task.Predict(), o)
	if err != nil {
		return err
	}
	defer p.Close()
	a.warnPrecision(p.Model())
	out := &measurements{app: a, table: f.out.table(a), columns: textsColumns}
	for _, batch := range f.batches {
		a.log.Info(fmt.Sprintf("%s, %s at a time", count(len(texts), "text"), thousands(batch)))
		labels := make(map[string]int)
		bench.ResetPeakMemory()
		samples, err := bench.Time(f.limit(), func() error {
			clear(labels)
			for part := range slices.Chunk(texts, batch) {
				answers, err := p.Do(ctx, part)
				if err != nil {
					return err
				}
				for i := range answers {
					labels[answers[i].Label]++
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		line := &measurement{
			Work: "texts", Model: f.dir, Batch: batch,
			Threads: machine.Threads(), Precision: model.precision.String(), Level: machine.Level(), Labels: labels,
		}
		line.take(samples)
		line.SequencesPerSecond = line.rate(float64(len(texts)))
		if err := out.add(line); err != nil {
			return err
		}
	}
	return out.close()
}

var textsColumns = []benchColumn{
	{column{"model", false}, func(m *measurement) string { return visible(m.Model) }},
	number("batch", func(m *measurement) string { return fmt.Sprint(m.Batch) }),
	number("texts/s", func(m *measurement) string { return decimals(m.SequencesPerSecond, 1, "") }),
	columnP50, columnP99, columnMemory,
}
