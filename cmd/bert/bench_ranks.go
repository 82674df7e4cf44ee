package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/cluster"
	"github.com/go-bert/bert/internal/bench"
	"github.com/go-bert/bert/train"
)

// ranksBenchFlags are those of bench ranks.
type ranksBenchFlags struct {
	seconds float64
	bytes   []int
	out     outputFlags
}

func (a *app) benchRanksCommand() *cobra.Command {
	var f ranksBenchFlags
	cmd := &cobra.Command{
		Use:   "ranks [flags]",
		Short: "Measure how fast the ranks of a launcher exchange data",
		Long: `ranks measures how long it takes until each of the processes that mpirun or srun has started has sent a number of bytes,
in equal shares to all others. A training step exchanges the gradients of a model, and then its parameters, in messages of
16,000,000 bytes: docs/cluster.md says how long it takes, and what of it is hidden behind the computation.`,
		Example: `  mpirun -n 2 bert bench ranks
  srun --mpi=pmix -n 8 bert bench ranks --bytes 8,1000000,100000000`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.benchRanks(&f) },
	}
	flagsIn(cmd, dataSection, func(flags *pflag.FlagSet) {
		flags.IntSliceVar(&f.bytes, "bytes", []int{8, 64_000, 1_000_000, 16_000_000}, "send `N,N…` bytes from each rank")
	})
	flagsIn(cmd, generalSection, func(flags *pflag.FlagSet) {
		flags.Float64Var(&f.seconds, "seconds", 2, "measure for about `SECONDS` per line, but at least three runs")
	})
	f.out.add(cmd)
	return cmd
}

// mostExchanged is the most bytes that bench ranks sends from a rank: they are in memory twice.
const mostExchanged = 1 << 30

// ranksMeasurement is a line of bench ranks.
type ranksMeasurement struct {
	Work        string  `json:"work"`
	Ranks       int     `json:"ranks"`
	Hosts       int     `json:"hosts"`
	Library     string  `json:"library"`
	Bytes       int     `json:"bytes"` // that each rank sends, and receives
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	GBPerSecond float64 `json:"gb_per_second"`
	Runs        int     `json:"runs"`
}

func (a *app) benchRanks(f *ranksBenchFlags) error {
	common := benchFlags{seconds: f.seconds}
	if err := common.check(); err != nil {
		return err
	}
	if len(f.bytes) == 0 || slices.Min(f.bytes) < 1 || slices.Max(f.bytes) > mostExchanged {
		return usagef("--bytes is %s, want numbers from 1 to %d", numbers(f.bytes), mostExchanged)
	}
	threads := 1 // nothing is computed
	return ranksFlag{newChoice(ranksMPI)}.run(a, &threads, func(shared train.Group) error {
		g := shared.(*cluster.Group)
		if g.Size() == 1 {
			return fmt.Errorf("there is one rank: start several, as in mpirun -n 2 bert bench ranks")
		}
		places, err := g.Places()
		if err != nil {
			return err
		}
		var rows [][]string
		for _, n := range f.bytes {
			samples, err := timeExchange(g, n, common.limit())
			if err != nil {
				return err
			}
			m := ranksMeasurement{
				Work: "ranks", Ranks: g.Size(), Hosts: cluster.Hosts(places), Library: g.Library(), Bytes: n,
				P50: 1e3 * samples.Median(), P99: 1e3 * samples.Quantile(0.99), GBPerSecond: float64(n) / samples.Median() / 1e9, Runs: len(samples),
			}
			if !f.out.table(a) {
				if err := jsonLine(a.stdout, m); err != nil {
					return err
				}
			}
			rows = append(rows, []string{thousands(n), milliseconds(m.P50), milliseconds(m.P99), fmt.Sprintf("%.3f GB/s", m.GBPerSecond)})
		}
		if !f.out.table(a) {
			return nil
		}
		columns := []column{{"bytes of each rank", true}, {"p50", true}, {"p99", true}, {"sent", true}}
		return writeOut(a.stdout, []byte(screenOf(a.stdout).table(columns, rows)))
	})
}

// timeExchange times exchanges in which each rank sends n bytes. The first rank decides how many there are, so that all make as many.
func timeExchange(g train.Group, n int, limit time.Duration) (bench.Samples, error) {
	send, receive := make([][]byte, g.Size()), make([][]byte, g.Size())
	others := g.Size() - 1
	length := func(from, to int) int { // as equal as they can be
		i := (to - from + g.Size()) % g.Size()
		return n*i/others - n*(i-1)/others
	}
	for i := range send {
		if i != g.Rank() {
			send[i], receive[i] = make([]byte, length(g.Rank(), i)), make([]byte, length(i, g.Rank()))
		}
	}
	var samples bench.Samples
	began := time.Now()
	for more := []byte{1}; more[0] == 1; {
		if err := g.Barrier(); err != nil {
			return nil, err
		}
		start := time.Now()
		if err := g.Exchange(send, receive); err != nil {
			return nil, err
		}
		samples = append(samples, time.Since(start).Seconds())
		if len(samples) > 3 && time.Since(began) > limit {
			more[0] = 0
		}
		if err := g.Broadcast(more, 0); err != nil {
			return nil, err
		}
	}
	samples = samples[1:] // the first one allocates memory and opens connections
	slices.Sort(samples)
	return samples, nil
}
