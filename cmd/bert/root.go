package main

import (
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/parts"
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
	rank           int    // among the processes that share a run; 0: the first of them, or alone
	place          string // begins the messages of one of several: "rank 1 on node7: "
	warned         map[string]bool
	part           *parts.Done // of the part of the work that is being done; nil: all of it is
	cached         string      // the folder of a model that a flag names by its name, in a cache: nothing is written into it
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
		{"Use a model", []*cobra.Command{a.predictCommand(), a.fillMaskCommand(), a.encodeCommand(), a.tokenizeCommand(), a.joinCommand()}},
		{"Serve models", []*cobra.Command{a.serveCommand()}},
		{"Look into a model", []*cobra.Command{a.explainCommand(), a.attentionCommand(), a.projectCommand()}},
		{"Fine-tune and evaluate", []*cobra.Command{
			a.demoCommand(), a.finetuneCommand(), a.distillCommand(), a.evaluateCommand(), a.glueCommand(), a.sweepCommand(), a.reportCommand(), a.scoreCommand(),
		}},
		{"Pre-train", []*cobra.Command{a.vocabCommand(), a.instancesCommand(), a.pretrainCommand()}},
		{"Fetch, convert, shrink and inspect models", []*cobra.Command{
			a.pullCommand(), a.convertCommand(), a.quantizeCommand(), a.pruneCommand(), a.inspectCommand(),
		}},
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
			return offered(cmd, run(cmd, args))
		}
		a.prepare(cmd, verb+" ")
	}
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
