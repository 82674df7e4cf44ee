package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// allOrNothing runs what writes a folder that appears whole or not at all. The first SIGINT or SIGTERM ends it.
func (a *app) allOrNothing(ctx context.Context, run func(context.Context) error) error {
	ctx, stop := untilInterrupted(ctx, func(s os.Signal) {
		a.log.Warn(fmt.Sprintf("%v: ending; again to end at once", s))
	})
	defer stop()
	err := run(ctx)
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted: nothing was written")
	}
	return err
}

// modelAndFolder are the arguments of a command that writes a model made of another, or evaluates that and writes none.
func modelAndFolder(evaluate *bool) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch n := len(args); {
		case *evaluate && n != 1:
			return usagef("%s, want one MODEL to evaluate: --evaluate writes none", count(n, "argument"))
		case !*evaluate && n != 2:
			return usagef("%s, want MODEL and OUT, a new folder", count(n, "argument"))
		}
		return nil
	}
}

// addMaxShardSize defines --max-shard-size of a command that writes a model.
func addMaxShardSize(cmd *cobra.Command, size *byteSize) {
	*size = math.MaxInt64
	flagsIn(cmd, outputSection, func(flags *pflag.FlagSet) {
		flags.Var(size, "max-shard-size", "split the weights into files of at most `SIZE`, such as 500MB or 5GB, if the format allows it")
	})
}
