package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/cluster"
	"github.com/go-bert/bert/train"
)

// ranksFlag is --ranks: whether this process shares its run with others that a launcher has started.
type ranksFlag struct{ *choice }

// The values of --ranks.
const (
	ranksAuto = "auto"
	ranksMPI  = "mpi"
	ranksNone = "none"
)

func addRanks(cmd *cobra.Command) ranksFlag {
	f := ranksFlag{newChoice(ranksAuto, ranksAuto, ranksMPI, ranksNone)}
	flagsIn(cmd, trainingSection, func(*pflag.FlagSet) {
		addChoice(cmd, f.choice, "ranks", "share the run with the other processes that mpirun or srun has started: where there are several (auto), always (mpi), never (none)")
	})
	return f
}

// run joins the group of ranks, if there is one, and calls do with it, or with nil. threads, if 0, becomes this rank's share of the
// cores of its machine. The first rank says what all have come to; the others print nothing, but for a failure of the group.
func (f ranksFlag) run(a *app, threads *int, do func(train.Group) error) error {
	launched, found := cluster.Detect(os.Environ())
	if f.value == ranksNone || f.value == ranksAuto && !launched.Shared() {
		return do(nil)
	}
	if found {
		a.beRank(launched.Rank)
	}
	g, err := cluster.Open(cluster.Options{Launched: launched, Report: func(reason error) {
		a.fail(fmt.Errorf("the ranks have lost one another: %w", reason))
	}})
	if err != nil {
		if f.value == ranksAuto {
			err = fmt.Errorf("%w (--ranks none trains in each process by itself)", err)
		}
		return err
	}
	a.beRank(g.Rank())
	places, err := g.Places()
	if err != nil {
		g.Abort(err)
		return reported{err}
	}
	if *threads == 0 {
		*threads = cluster.Threads(places, g.Rank())
	}
	a.log.Info(fmt.Sprintf("%s on %s, %s here, %s", count(g.Size(), "rank"), count(cluster.Hosts(places), "host"), count(*threads, "thread"), g.Library()))
	err = do(g)
	if errors.As(err, new(*train.GroupError)) {
		return reported{err} // by Abort
	}
	return a.leave(g, places, err)
}

// leave ends a run that all ranks have ended, with or without an error. What the first rank has come to is what the run has: that a
// run had ended before, for instance, is an error to the others. They wait for its word, without using a core.
func (a *app) leave(g *cluster.Group, places []cluster.Place, err error) error {
	done := []byte{0}
	if err == nil {
		done[0] = 1
	}
	left := errors.Join(g.Broadcast(done, 0), g.Close())
	var of *train.RankError
	switch {
	case a.rank > 0 && done[0] == 1:
		return left
	case a.rank > 0:
		return reported{cmp.Or(err, errors.New("the first rank has failed"))}
	case errors.As(err, &of) && of.Rank < len(places):
		a.place = rankName(of.Rank, places[of.Rank].Host)
		return errors.New(of.Reason)
	}
	return cmp.Or(err, left)
}

// reported is an error that has been printed.
type reported struct{ error }

func (e reported) Unwrap() error { return e.error }

// beRank makes this process a rank of a group: messages say which, and ranks other than the first print failures alone.
func (a *app) beRank(rank int) {
	host, err := os.Hostname()
	if err != nil {
		host = "a host without a name"
	}
	a.rank, a.place = rank, rankName(rank, host)
	if rank > 0 {
		a.quiet, a.stdout = true, io.Discard
	}
}

// rankName begins a message about a rank.
func rankName(rank int, host string) string { return fmt.Sprintf("rank %d on %s: ", rank, host) }
