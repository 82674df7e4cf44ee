package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert"
)

// loading is how a model's files are read.
type loading struct {
	gelu bert.GELU
	base string
}

// gelus are the values of --gelu.
var gelus = []string{bert.GELUByOrigin.String(), bert.GELUErf.String(), bert.GELUTanh.String()}

// geluUsage is the help of --gelu.
const geluUsage = "what hidden_act gelu means; auto: tanh of a checkpoint of google-research/bert, erf of all others"

// geluValue is --gelu as a flag.
type geluValue bert.GELU

func (g *geluValue) String() string { return bert.GELU(*g).String() }
func (g *geluValue) Type() string   { return strings.Join(gelus, "|") }

func (g *geluValue) Set(name string) error {
	parsed, err := bert.ParseGELU(name)
	if err != nil {
		return fmt.Errorf("want one of %s", strings.Join(gelus, ", "))
	}
	*g = geluValue(parsed)
	return nil
}

// add defines the flags.
func (l *loading) add(cmd *cobra.Command) {
	const name = "gelu"
	flagsIn(cmd, modelSection, func(flags *pflag.FlagSet) {
		flags.Var((*geluValue)(&l.gelu), name, geluUsage)
		flags.StringVar(&l.base, "base", "", "of a LoRA adapter: the `DIR` of its base model (default: the one it names, if that is a folder)")
	})
	// The only error is a flag that does not exist or has a completion already.
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(gelus, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagDirname("base")
}
