package main

import (
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// app is what the commands share: the streams, and the values of the flags that all commands have.
type app struct {
	args           []string // of the command line
	stdin          io.Reader
	stdout, stderr io.Writer
	log            *slog.Logger
	verbs          []verbGroup
	verb           string // the running command; "" while the command line is parsed
	quiet, verbose bool
	cached         string // the folder of a model that a flag names by its name, in a cache: nothing is written into it
}

// verbGroup is a group of commands in the help.
type verbGroup struct {
	title    string
	commands []*cobra.Command
}

// name begins each message: "bert predict".
func (a *app) name() string { return strings.TrimSuffix("bert "+a.verb, " ") }

// firstSteps are the commands to begin with.
var firstSteps = []helpRow{
	{"bert demo", "fine-tune a small model on film reviews and try it: under a minute, no files needed"},
	{`bert predict "A joy to watch."`, "label a text, with a model that comes with the program"},
	{`bert fill-mask "It was [MASK]."`, "guess the hidden word"},
	{"bert help finetune", "train a model on your own texts"},
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "bert VERB [flags] [arguments]",
		Short: "BERT from one static binary: pre-train, fine-tune, evaluate, predict",
		Long: `bert pre-trains, fine-tunes, evaluates and runs BERT models, on the CPU and without Python. Models are directories as Hugging
Face's tools read and write them: config.json, model.safetensors, vocab.txt, tokenizer.json.

Data comes from stdin or files. Results go to stdout, as tables on a terminal and otherwise as JSON, one object a line.
Messages and progress go to stderr. The exit status is 0 for success, 1 for a failure and 2 for a mistake in the command
line.`,
		Example: "bert demo\nbert predict \"A joy to watch.\"\nbert fill-mask \"It was [MASK].\"\nbert help finetune",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return a.help(cmd, nil)
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.DisableDefaultCmd = true // completion.go has ours
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetGlobalNormalizationFunc(hyphens)
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		_ = a.help(cmd, cmd.Flags().Args()) // there is no better place to report that stdout is closed
	})
	general := root.PersistentFlags()
	general.SortFlags = false
	general.BoolVar(&a.quiet, "quiet", false, "print warnings and errors only")
	general.BoolVar(&a.verbose, "verbose", false, "print details")
	general.BoolP("help", "h", false, "print this help; --help all: all of it")
	general.VisitAll(func(f *pflag.Flag) { annotate(f, sectionAnnotation, string(generalSection)) })
	root.MarkFlagsMutuallyExclusive("quiet", "verbose")

	help := a.helpCommand()
	a.verbs = []verbGroup{
		{"Use a model", []*cobra.Command{a.predictCommand(), a.fillMaskCommand(), a.encodeCommand(), a.tokenizeCommand()}},
		{"Fine-tune and evaluate", []*cobra.Command{
			a.demoCommand(), a.finetuneCommand(), a.evaluateCommand(), a.glueCommand(), a.sweepCommand(), a.scoreCommand(),
		}},
		{"Pre-train", []*cobra.Command{a.vocabCommand(), a.instancesCommand(), a.pretrainCommand()}},
		{"Fetch, convert and inspect models", []*cobra.Command{a.pullCommand(), a.convertCommand(), a.inspectCommand()}},
		{"The program", []*cobra.Command{a.benchCommand(), a.completionCommand(), a.manCommand(), a.versionCommand(), help}},
	}
	for _, group := range a.verbs {
		root.AddCommand(group.commands...)
	}
	root.SetHelpCommand(help)
	a.prepare(root, "")
	return root
}

// prepare sets what the commands below a command have in common.
func (a *app) prepare(parent *cobra.Command, prefix string) {
	for _, cmd := range parent.Commands() {
		cmd.Flags().SortFlags = false
		cmd.InheritedFlags().SortFlags = false
		cmd.DisableFlagsInUseLine = true
		verb, run := prefix+cmd.Name(), a.withModel(cmd.RunE)
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.verb = verb // an error from here on is not about parsing the flags
			return run(cmd, args)
		}
		a.prepare(cmd, verb+" ")
	}
}

func unknownCommand(parent *cobra.Command, name string) error {
	hint := parent.CommandPath() + " --help lists the verbs"
	parent.SuggestionsMinimumDistance = 2
	if s := parent.SuggestionsFor(name); len(s) > 0 {
		hint = "did you mean " + strings.Join(s, " or ") + "?"
	}
	return usagef("there is no command %q: %s", name, hint)
}

// flagError explains a mistake in a flag: where it belongs to other verbs, which; else the flag that it resembles.
func flagError(cmd *cobra.Command, err error) error {
	help := strings.TrimSpace(cmd.CommandPath() + " --help lists the flags")
	if _, flags, ok := strings.Cut(err.Error(), "unknown shorthand flag: "); ok {
		if _, name, ok := strings.Cut(flags, " in -"); ok && len(name) > 1 && resembles(cmd, name) != "" {
			return usagef("there is no flag -%s: did you mean --%s?", name, resembles(cmd, name))
		}
	}
	name, unknown := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !unknown {
		return usagef("%w (%s)", err, help)
	}
	name = strings.ReplaceAll(name, "_", "-")
	if verbs := verbsWith(cmd.Root(), name); len(verbs) > 0 {
		return usagef("--%s is a flag of %s, not of %s: %s", name, sentenceList(verbs, "and"), strings.TrimPrefix(cmd.CommandPath(), "bert "), help)
	}
	if best := resembles(cmd, name); best != "" {
		return usagef("there is no flag --%s: did you mean --%s?", name, best)
	}
	return usagef("there is no flag --%s: %s", name, help)
}

// resembles returns the flag of a command whose name is nearest to name; "" if none is near.
func resembles(cmd *cobra.Command, name string) string {
	best, least := "", max(2, len(name)/3)+1
	for _, f := range flagsOf(cmd) {
		d := editDistance(name, f.Name)
		if strings.HasPrefix(f.Name, name) || strings.HasSuffix(f.Name, name) {
			d = min(d, 1)
		}
		if d < least {
			best, least = f.Name, d
		}
	}
	return best
}

// verbsWith lists the commands below root that have a flag, sorted.
func verbsWith(root *cobra.Command, name string) []string {
	var verbs []string
	walk(root, func(cmd *cobra.Command) {
		if f := cmd.LocalNonPersistentFlags().Lookup(name); f != nil && !f.Hidden {
			verbs = append(verbs, strings.TrimPrefix(cmd.CommandPath(), root.Name()+" "))
		}
	})
	slices.Sort(verbs)
	return verbs
}

// walk calls f for a command and all below it.
func walk(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, c := range cmd.Commands() {
		walk(c, f)
	}
}

// sentenceList joins words with a conjunction: "a, b and c".
func sentenceList(words []string, conjunction string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " " + conjunction + " " + words[last]
}

// editDistance is the number of letters to insert, delete or change to turn a into b (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// noArguments is the Args of a command that has flags only.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q: %s takes flags only", args[0], cmd.CommandPath())
	}
	return nil
}
