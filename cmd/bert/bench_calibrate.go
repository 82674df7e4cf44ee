package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert/internal/bench"
)

func (a *app) benchCalibrateCommand() *cobra.Command {
	var (
		f benchFlags
		s sizeFlags
	)
	cmd := &cobra.Command{
		Use:   "calibrate [flags]",
		Short: "Measure other values of the sizes at which work is split",
		Long: `calibrate tries several values for each of the sizes at which products and passes over memory are split into jobs, and
prints the time that the work takes with each.

It changes nothing: the values are constants in the source of the program. Change one where another value is better by more
than the noise, at several sizes of model and batch and on several machines.`,
		Example: `  bert bench calibrate
  bert bench calibrate --size mini --batch-sizes 8 --threads 1 --json`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return a.benchCalibrate(&f, &s) },
	}
	s.add(cmd, 8)
	f.add(cmd, 5)
	return cmd
}

// calibration is a line of JSON: a value of a threshold.
type calibration struct {
	Work      string `json:"work"`
	Model     string `json:"model"`
	Batch     int    `json:"batch"`
	SeqLength int    `json:"seq_length"`
	Threads   int    `json:"threads"`
	Precision string `json:"precision"`
	Level     string `json:"level"`

	Threshold string  `json:"threshold"`
	Value     int     `json:"value"`
	Unit      string  `json:"unit"`
	P50       float64 `json:"p50_ms"`
	Least     float64 `json:"least_ms"`
	// Relative is the median over that of the value compiled in.
	Relative float64 `json:"relative"`
	Compiled bool    `json:"compiled"`
	Best     bool    `json:"best"` // of the medians
	Runs     int     `json:"runs"`
}

func (a *app) benchCalibrate(f *benchFlags, s *sizeFlags) error {
	c, name, machine, err := f.begin(a, s)
	if err != nil {
		return err
	}
	var (
		table = f.out.table(a)
		rows  [][]string
		sizes = bench.Sizes{Hidden: c.HiddenSize, Intermediate: c.IntermediateSize, Heads: c.NumAttentionHeads}
	)
	err = s.each(func(batch, length int) error {
		sizes.Sequences, sizes.Length = batch, length
		for _, t := range bench.Thresholds() {
			a.log.Info(fmt.Sprintf("%s, %d × %s: %s", name, batch, count(length, "token"), t.Name))
			trials := t.Try(machine, s.precision, sizes, f.limit())
			best, compiled := trials[0], trials[0]
			for _, trial := range trials {
				if trial.Times.Median() < best.Times.Median() {
					best = trial
				}
				if trial.Value == t.Compiled {
					compiled = trial
				}
			}
			for _, trial := range trials {
				line := calibration{
					Work: "calibrate", Model: name, Batch: batch, SeqLength: length,
					Threads: machine.Threads(), Precision: s.precision.String(), Level: machine.Level(),
					Threshold: t.Name, Value: trial.Value, Unit: t.Unit,
					P50: 1e3 * trial.Times.Median(), Least: 1e3 * trial.Times[0], Relative: trial.Times.Median() / compiled.Times.Median(),
					Compiled: trial.Value == t.Compiled, Best: trial.Value == best.Value, Runs: len(trial.Times),
				}
				if table {
					rows = append(rows, line.row())
				} else if err := jsonLine(a.stdout, line); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil || !table {
		return err
	}
	columns := []column{{"threshold", false}, {"value", true}, {"unit", false}, {"batch", true}, {"p50", true}, {"least", true}, {"relative", true}, {"", false}}
	return writeOut(a.stdout, []byte(screenOf(a.stdout).table(columns, rows)))
}

// row is a line of the table.
func (c *calibration) row() []string {
	mark := ""
	switch {
	case c.Compiled && c.Best:
		mark = "compiled in, best"
	case c.Compiled:
		mark = "compiled in"
	case c.Best:
		mark = "best"
	}
	return []string{
		c.Threshold, thousands(c.Value), c.Unit, fmt.Sprint(c.Batch), milliseconds(c.P50), milliseconds(c.Least), fmt.Sprintf("%.3f", c.Relative), mark,
	}
}
