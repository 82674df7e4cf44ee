package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// section is a group of flags in a command's help.
type section string

// The sections, in the order of the help. Each flag belongs to one; a flag without one is of the command itself.
const (
	modelSection      section = "Model"
	dataSection       section = "Data"
	trainingSection   section = "Training"
	evaluationSection section = "Evaluation"
	outputSection     section = "Output"
)

// The names of the annotations of a flag: its section, and that it is one of the few that the help shows first.
const (
	sectionAnnotation = "bert_section"
	mainAnnotation    = "bert_main"
)

// flagsIn adds to a command the flags that define defines, in a section of its help.
func flagsIn(cmd *cobra.Command, s section, define func(*pflag.FlagSet)) {
	set := pflag.NewFlagSet(string(s), pflag.ContinueOnError)
	set.SetNormalizeFunc(hyphens)
	define(set)
	set.VisitAll(func(f *pflag.Flag) {
		annotate(f, sectionAnnotation, string(s))
		cmd.Flags().AddFlag(f)
	})
}

// mainFlags marks the flags of a command that matter most, which its help shows without --help all.
func mainFlags(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		annotate(cmd.Flags().Lookup(name), mainAnnotation)
	}
}

func annotate(f *pflag.Flag, name string, values ...string) {
	if f.Annotations == nil {
		f.Annotations = make(map[string][]string)
	}
	f.Annotations[name] = values
}
