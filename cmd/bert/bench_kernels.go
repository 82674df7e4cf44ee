package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/bench"
)

func (a *app) benchKernelsCommand() *cobra.Command {
	var (
		f benchFlags
		s sizeFlags
	)
	cmd := &cobra.Command{
		Use:   "kernels [flags]",
		Short: "Measure the single operations of a model",
		Long: `kernels measures the operations of a layer, forward and backward, at the sizes of a model: products in operations per second,
passes over memory in bytes per second.

The share of the peak is that of multiply-adds for products, and that of memory bandwidth for operands of more than 64 MB;
smaller operands stay in a cache, which is faster. Shapes are rows × in × out for products, sequences × tokens × heads × head
size for attention.`,
		Example: `  bert bench kernels
  bert bench kernels --size large --batch-sizes 8 --seq-lengths 512 --threads 1
  BERT_SIMD=avx2 bert bench kernels --batch-sizes 32 --json`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return a.benchKernels(&f, &s) },
	}
	s.add(cmd, 1, 32)
	f.add(cmd, 0.5)
	return cmd
}

func (a *app) benchKernels(f *benchFlags, s *sizeFlags) error {
	c, name, machine, err := f.begin(a, s)
	if err != nil {
		return err
	}
	peak := f.peak(a, machine, s.precision)
	bandwidth := machine.MemoryBandwidth(min(f.limit(), longestPeak))
	a.log.Info(fmt.Sprintf("memory gives %.1f GB/s", bandwidth/1e9))

	out := &measurements{app: a, table: f.out.table(a), columns: kernelColumns}
	measure := func(k *bench.Kernel, batch int, length *int) error {
		bench.ResetPeakMemory()
		run, done := k.Prepare(machine, s.precision)
		defer done()
		samples, err := bench.Time(f.limit(), func() error { run(); return nil })
		if err != nil {
			return err
		}
		line := &measurement{
			Work: "kernels", Model: name, Kernel: k.Name, Shape: k.Shape, Batch: batch, SeqLength: length,
			Threads: machine.Threads(), Precision: s.precision.String(), Level: machine.Level(),
		}
		line.take(samples)
		switch {
		case k.Operations > 0:
			line.compute(k.Operations, peak)
		default:
			line.GBPerSecond = line.rate(k.Bytes / 1e9)
			if k.Streams() {
				share := *line.GBPerSecond * 1e9 / bandwidth
				line.ShareOfPeak = &share
			}
		}
		return out.add(line)
	}
	sizes := bench.Sizes{Hidden: c.HiddenSize, Intermediate: c.IntermediateSize, Heads: c.NumAttentionHeads}
	params := bert.Params(&c, bert.SequenceClassification)
	for i := range params {
		sizes.Parameters += params[i].Len()
	}
	err = s.each(func(batch, length int) error {
		sizes.Sequences, sizes.Length = batch, length
		for _, k := range bench.Kernels(sizes) {
			if err := measure(&k, batch, &length); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	adam := bench.Adam(sizes)
	if err := measure(&adam, 0, nil); err != nil { // it knows no batch
		return err
	}
	return out.close()
}

var kernelColumns = []benchColumn{
	{column{"kernel", false}, func(m *measurement) string { return m.Kernel }},
	number("shape", func(m *measurement) string { return m.Shape }),
	columnP50, columnP99, columnFLOPS,
	number("GB/s", func(m *measurement) string { return decimals(m.GBPerSecond, 1, "") }),
	columnShare,
}
