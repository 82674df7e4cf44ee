package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/bench"
)

func (a *app) benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench infer|train|texts|tokenize|kernels|startup|ranks|calibrate [flags]",
		Short: "Measure the speed of this machine",
		Long: `bench measures the speed of inference, training, text classification, tokenization, single operations and startup on this
machine, and how fast ranks exchange data. It compares matrix products with the measured peak of the processor. Weights and ids are random: speed does not
depend on them.`,
		Example: `  bert bench infer
  bert bench infer --size mini --batch-sizes 1,8,32 --seq-lengths 128,512 --threads 1
  bert bench train --batch-sizes 32 --json
  bert bench tokenize --model bert-base-uncased --input reviews.txt
  BERT_SIMD=avx2 bert bench kernels --batch-sizes 32`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return usagef("what to measure is missing: want %s", sentenceList(names(cmd.Commands()), "or"))
		},
		Args: cobra.ArbitraryArgs,
	}
	cmd.AddCommand(
		a.benchInferCommand(), a.benchTrainCommand(), a.benchTokenizeCommand(), a.benchKernelsCommand(),
		a.benchTextsCommand(), a.benchStartupCommand(), a.benchRanksCommand(), a.benchCalibrateCommand(),
	)
	return cmd
}

func names(commands []*cobra.Command) []string {
	var names []string
	for _, c := range commands {
		names = append(names, c.Name())
	}
	return names
}

// benchFlags are the flags of all benchmarks.
type benchFlags struct {
	threads int
	seconds float64
	out     outputFlags
}

func (f *benchFlags) add(cmd *cobra.Command, seconds float64) {
	flagsIn(cmd, generalSection, func(flags *pflag.FlagSet) {
		flags.Float64Var(&f.seconds, "seconds", seconds, "measure for about `SECONDS` per line, but at least three runs")
	})
	addThreads(cmd, &f.threads)
	f.out.add(cmd)
}

// longestBench is a day in seconds. It keeps a duration from overflowing.
const longestBench = 24 * 60 * 60

func (f *benchFlags) check() error {
	if err := checkThreads(f.threads); err != nil {
		return err
	}
	if !(f.seconds >= 0 && f.seconds <= longestBench) {
		return usagef("--seconds is %v, want 0…%d", f.seconds, longestBench)
	}
	return nil
}

func (f *benchFlags) limit() time.Duration { return time.Duration(f.seconds * float64(time.Second)) }

// machine opens the machine and logs what it is.
func (f *benchFlags) machine(a *app) (*bench.Machine, error) {
	m, err := bench.Open(f.threads)
	if err != nil {
		return nil, err
	}
	a.log.Info(fmt.Sprintf("%s, %s", m.Level(), count(m.Threads(), "thread")))
	return m, nil
}

// longestPeak limits the time for measuring a peak: more time does not find a higher one.
const longestPeak = 500 * time.Millisecond

// peak measures the operations per second that no product can exceed.
func (f *benchFlags) peak(a *app, m *bench.Machine, p bert.Precision) float64 {
	if !m.Native(p) {
		a.warnEmulated(p)
	}
	peak := m.PeakOperations(p, min(f.limit(), longestPeak))
	a.log.Info(fmt.Sprintf("multiply-adds alone reach %.1f GFLOP/s", peak/1e9))
	return peak
}

// modelSizeFlags select a model by its files or by a published size.
type modelSizeFlags struct {
	model, config string
	size          *choice
	precision     bert.Precision // once the configuration is read, that unless it was given
	given         bool
	trains        bool // the command trains, for which not every precision is
}

// begin checks the flags of a benchmark, reads the configuration of its model, and opens the machine.
func (f *benchFlags) begin(a *app, sizes interface {
	load(a *app) (c bert.Config, name string, err error)
}) (c bert.Config, name string, machine *bench.Machine, err error) {
	if err = f.check(); err != nil {
		return c, "", nil, err
	}
	if c, name, err = sizes.load(a); err != nil {
		return c, "", nil, err
	}
	machine, err = f.machine(a)
	return c, name, machine, err
}

// sizeFlags select a model and the batches for it.
type sizeFlags struct {
	modelSizeFlags
	batches []int
	lengths []int
}

func (f *modelSizeFlags) add(cmd *cobra.Command) {
	names := make([]string, len(bench.ModelSizes))
	for i, s := range bench.ModelSizes {
		names[i] = s.Name
	}
	f.size = newChoice("base", names...)
	flagsIn(cmd, modelSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.model, "model", "", "measure the model in `DIR`")
		flags.StringVar(&f.config, "config", "", "measure a model with random weights and the sizes in `FILE`, a config.json")
		addChoice(cmd, f.size, "size", "measure a model with random weights and a published size")
	})
	cmd.MarkFlagsMutuallyExclusive("model", "config", "size")
	markModel(cmd, "model")
	_ = cmd.MarkFlagFilename("config", "json") // the error is for a flag that does not exist
	offered := precisions
	if f.trains {
		offered = trainPrecisions
	}
	addPrecision(cmd, &f.precision, &f.given, offered)
}

func (f *sizeFlags) add(cmd *cobra.Command, batches ...int) {
	f.modelSizeFlags.add(cmd)
	flagsIn(cmd, dataSection, func(flags *pflag.FlagSet) {
		flags.IntSliceVar(&f.batches, "batch-sizes", batches, "measure batches of `N,N…` sequences")
		flags.IntSliceVar(&f.lengths, "seq-lengths", []int{128}, "measure sequences of `N,N…` tokens")
	})
}

// load reads the configuration and returns its name.
func (f *modelSizeFlags) load(a *app) (c bert.Config, name string, err error) {
	switch {
	case f.model != "" || f.config != "":
		path := f.config
		if name = path; path == "" {
			name = f.model
			if path, err = bert.ModelDir(name); err != nil {
				return c, "", err
			}
		}
		if c, err = bert.LoadConfig(path); err != nil {
			return c, "", err
		}
		a.warnConfig(c, name)
		if !f.given && !f.trains && f.model != "" {
			f.precision = c.DefaultPrecision()
		}
	default:
		c, name = bert.DefaultConfig(), f.size.value
		for _, s := range bench.ModelSizes {
			if s.Name == name {
				c.NumHiddenLayers, c.HiddenSize, c.NumAttentionHeads, c.IntermediateSize = s.Layers, s.Hidden, s.Heads(), s.Intermediate()
			}
		}
	}
	return c, name, nil
}

// load reads the configuration, checks the batches against it, and returns its name.
func (f *sizeFlags) load(a *app) (c bert.Config, name string, err error) {
	if c, name, err = f.modelSizeFlags.load(a); err != nil {
		return c, "", err
	}
	if len(f.batches) == 0 || slices.Min(f.batches) < 1 {
		return c, "", usagef("--batch-sizes is %s, want positive numbers", numbers(f.batches))
	}
	if len(f.lengths) == 0 || slices.Min(f.lengths) < 1 || slices.Max(f.lengths) > c.MaxPositionEmbeddings {
		return c, "", usagef("--seq-lengths is %s, want numbers from 1 to the %d positions of the model", numbers(f.lengths), c.MaxPositionEmbeddings)
	}
	return c, name, nil
}

func numbers(list []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(list), "[]"), " ", ",")
}

// each calls do for each length and batch.
func (f *sizeFlags) each(do func(batch, length int) error) error {
	for _, length := range f.lengths {
		for _, batch := range f.batches {
			if err := do(batch, length); err != nil {
				return err
			}
		}
	}
	return nil
}

// measurement is a line of JSON. A rate is that of the median run. What does not apply is null.
type measurement struct {
	Work  string `json:"work"`
	Model string `json:"model,omitempty"`
	// Kernel and Shape name the operation of bench kernels.
	Kernel string `json:"kernel,omitempty"`
	Shape  string `json:"shape,omitempty"`

	Batch     int    `json:"batch"`
	SeqLength *int   `json:"seq_length"`
	Threads   int    `json:"threads"`
	Precision string `json:"precision,omitempty"`
	Level     string `json:"level,omitempty"`

	SequencesPerSecond *float64 `json:"sequences_per_second"`
	TokensPerSecond    *float64 `json:"tokens_per_second"`
	MegabytesPerSecond *float64 `json:"megabytes_per_second,omitempty"` // of text
	P50                float64  `json:"p50_ms"`
	P99                float64  `json:"p99_ms"`
	GFLOPS             *float64 `json:"gflops"`
	GBPerSecond        *float64 `json:"gb_per_second,omitempty"` // of memory
	ShareOfPeak        *float64 `json:"share_of_peak"`
	PeakRSS            *int64   `json:"peak_rss_bytes"`
	// Labels counts the predicted labels, for bench texts.
	Labels map[string]int `json:"labels,omitempty"`
	// For bench startup: the pass alone, the rest of the startup, and the memory of a process beside another one.
	FirstPass  *float64 `json:"first_pass_ms,omitempty"`
	Pass       *float64 `json:"pass_ms,omitempty"`
	BeyondPass *float64 `json:"beyond_pass_ms,omitempty"`
	RSS        *int64   `json:"rss_bytes,omitempty"`
	PSS        *int64   `json:"pss_bytes,omitempty"`
	Runs       int      `json:"runs"`
}

// take sets the times of the runs, and the memory.
func (m *measurement) take(s bench.Samples) {
	m.P50, m.P99, m.Runs = 1e3*s.Median(), 1e3*s.Quantile(0.99), len(s)
	if peak := bench.PeakMemory(); peak > 0 {
		m.PeakRSS = &peak
	}
}

// rate returns the amount per second, for an amount per run.
func (m *measurement) rate(amount float64) *float64 {
	r := amount / (m.P50 / 1e3)
	return &r
}

// compute sets the rate of a run's operations and its share of the peak.
func (m *measurement) compute(operations, peak float64) {
	m.GFLOPS = m.rate(operations / 1e9)
	share := *m.GFLOPS * 1e9 / peak
	m.ShareOfPeak = &share
}

// measurements prints each measurement as a line of JSON, or all of them as a table at the end.
type measurements struct {
	app     *app
	columns []benchColumn
	rows    [][]string // of the table
	table   bool
}

// benchColumn is a column of a table of measurements.
type benchColumn struct {
	column
	text func(m *measurement) string
}

func number(head string, text func(m *measurement) string) benchColumn {
	return benchColumn{column{head, true}, text}
}

// decimals formats a number; nil does not apply.
func decimals(v *float64, digits int, unit string) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf("%.*f%s", digits, *v, unit)
}

// memory formats a size; nil is not known.
func memory(bytes *int64) string {
	if bytes == nil {
		return ""
	}
	return fmt.Sprintf("%.0f MB", float64(*bytes)/1e6)
}

func milliseconds(ms float64) string { return fmt.Sprintf("%.2f ms", ms) }

var (
	columnP50   = number("p50", func(m *measurement) string { return milliseconds(m.P50) })
	columnP99   = number("p99", func(m *measurement) string { return milliseconds(m.P99) })
	columnFLOPS = number("GFLOP/s", func(m *measurement) string { return decimals(m.GFLOPS, 1, "") })
	columnShare = number("of peak", func(m *measurement) string {
		if m.ShareOfPeak == nil {
			return ""
		}
		return fmt.Sprintf("%.1f %%", 100**m.ShareOfPeak)
	})
	columnMemory = number("memory", func(m *measurement) string { return memory(m.PeakRSS) })
)

func (t *measurements) add(m *measurement) error {
	if !t.table {
		return jsonLine(t.app.stdout, m)
	}
	row := make([]string, len(t.columns))
	for i, c := range t.columns {
		row[i] = c.text(m)
	}
	t.rows = append(t.rows, row)
	return nil
}

// close prints the table.
func (t *measurements) close() error {
	if !t.table {
		return nil
	}
	columns := make([]column, len(t.columns))
	for i, c := range t.columns {
		columns[i] = c.column
	}
	return writeOut(t.app.stdout, []byte(screenOf(t.app.stdout).table(columns, t.rows)))
}
