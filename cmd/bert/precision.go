package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert"
)

// precisions are the values of --precision, trainPrecisions those of commands that train.
var (
	precisions      = []string{bert.Float32.String(), bert.BFloat16.String(), bert.Int8.String()}
	trainPrecisions = []string{bert.Float32.String(), bert.BFloat16.String()}
)

// precisionValue is --precision as a flag.
type precisionValue struct {
	*bert.Precision
	given *bool    // whether it was; may be nil
	names []string // of those that the command has
}

func (p precisionValue) Type() string { return strings.Join(p.names, "|") }

func (p precisionValue) Set(name string) error {
	parsed, err := bert.ParsePrecision(name)
	if err != nil || !slices.Contains(p.names, name) {
		return fmt.Errorf("want one of %s", strings.Join(p.names, ", "))
	}
	*p.Precision = parsed
	if p.given != nil {
		*p.given = true
	}
	return nil
}

// addPrecision defines --precision, of the names of precisions or trainPrecisions, with the default *p. given, if not nil, tells
// whether it was given: a model whose weights are int8 has another default.
func addPrecision(cmd *cobra.Command, p *bert.Precision, given *bool, names []string) {
	const name = "precision"
	flagsIn(cmd, modelSection, func(flags *pflag.FlagSet) {
		usage := "number format of matrix products; everything else is float32"
		if slices.Contains(names, bert.Int8.String()) {
			usage += ". int8: of most of them (default float32, of a quantized model int8)"
		}
		flags.Var(precisionValue{p, given, names}, name, usage)
	})
	// The only error is a flag that does not exist or has a completion already.
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
}

// warnPrecision warns of a precision that makes a model slower on this machine: it is usually asked for to make it faster.
func (a *app) warnPrecision(m *bert.Model) {
	if p, native := m.Precision(); !native {
		a.warnEmulated(p)
	}
}

func (a *app) warnEmulated(p bert.Precision) {
	a.log.Warn(fmt.Sprintf("%v is emulated here, because this processor or level has no instructions for it: it is slower than %v", p, bert.Float32))
}
