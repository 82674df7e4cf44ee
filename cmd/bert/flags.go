package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// section is a group of flags in a command's help.
type section string

// The sections. Each flag belongs to one; a flag without one is the command's own.
const (
	modelSection      section = "Model"
	dataSection       section = "Data"
	lossSection       section = "Losses"
	trainingSection   section = "Training"
	evaluationSection section = "Evaluation"
	outputSection     section = "Output"
	networkSection    section = "Network"
	limitsSection     section = "Limits"
	operationSection  section = "Operation"
	generalSection    section = "General"
)

// sections are the sections in the order of the help; "" is that of the command's own flags.
var sections = [...]section{"", modelSection, dataSection, lossSection, trainingSection, evaluationSection, outputSection, networkSection, limitsSection, operationSection, generalSection}

// The names of the annotations of a flag: its section, and whether it is one of the few that the help shows first.
const (
	sectionAnnotation = "bert_section"
	mainAnnotation    = "bert_main"
)

// flagsIn adds the flags that define defines to a command, in a section of its help. Flags that define adds to the command
// itself, as addChoice does, belong to the section too.
func flagsIn(cmd *cobra.Command, s section, define func(*pflag.FlagSet)) {
	cmd.Flags().SortFlags = false // sorting at each call is a third of the time that the command line takes
	before := make(map[string]bool)
	cmd.Flags().VisitAll(func(f *pflag.Flag) { before[f.Name] = true })
	set := pflag.NewFlagSet(string(s), pflag.ContinueOnError)
	set.SetNormalizeFunc(hyphens)
	set.SortFlags = false
	define(set)
	set.VisitAll(func(f *pflag.Flag) {
		annotate(f, sectionAnnotation, string(s))
		cmd.Flags().AddFlag(f)
	})
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if _, placed := f.Annotations[sectionAnnotation]; !placed && !before[f.Name] {
			annotate(f, sectionAnnotation, string(s))
		}
	})
}

// place puts flags that a command has already into a section of its help.
func place(cmd *cobra.Command, s section, names ...string) {
	for _, name := range names {
		annotate(cmd.Flags().Lookup(name), sectionAnnotation, string(s))
	}
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

func sectionOf(f *pflag.Flag) section {
	if s := f.Annotations[sectionAnnotation]; len(s) > 0 {
		return section(s[0])
	}
	return ""
}

func isMain(f *pflag.Flag) bool {
	_, ok := f.Annotations[mainAnnotation]
	return ok
}

// flagsOf returns a command's flags, those of all commands included, in the order in which they were defined.
func flagsOf(cmd *cobra.Command) []*pflag.Flag {
	cmd.InheritedFlags() // which adds them to the command's
	var flags []*pflag.Flag
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			flags = append(flags, f)
		}
	})
	return flags
}

// flagHead is a flag as it is typed, such as "--model DIR".
func flagHead(f *pflag.Flag) string {
	head := "--" + f.Name
	if f.Shorthand != "" {
		head = "-" + f.Shorthand + ", " + head
	}
	if value, _ := pflag.UnquoteUsage(f); value != "" {
		head += " " + value
	}
	return head
}

// flagText explains a flag, with its default unless that is zero or the text gives it.
func flagText(f *pflag.Flag) string {
	_, text := pflag.UnquoteUsage(f)
	value := strings.Trim(f.DefValue, "[]")
	if slices.Contains([]string{"", "0", "false"}, value) || strings.Contains(text, "(default") {
		return text
	}
	if _, err := strconv.ParseFloat(value, 64); err == nil {
		value = strings.Replace(value, "e-0", "e-", 1) // 2e-5
	}
	if strings.Contains(value, " ") {
		value = fmt.Sprintf("%q", value)
	}
	return fmt.Sprintf("%s (default %s)", text, value)
}

// hyphens makes --max_seq_length mean --max-seq-length.
func hyphens(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
}

// choice is a flag whose value is one of a few words.
type choice struct {
	value   string
	choices []string
}

func newChoice(value string, choices ...string) *choice { return &choice{value, choices} }

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return strings.Join(c.choices, "|") }

func (c *choice) Set(s string) error {
	for _, known := range c.choices {
		if s == known {
			c.value = s
			return nil
		}
	}
	return fmt.Errorf("want one of %s", strings.Join(c.choices, ", "))
}

// addChoice defines a choice and its completion for the shell.
func addChoice(cmd *cobra.Command, c *choice, name, usage string) {
	cmd.Flags().Var(c, name, usage)
	// The only error is a flag that does not exist or has a completion already.
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(c.choices, cobra.ShellCompDirectiveNoFileComp))
}
