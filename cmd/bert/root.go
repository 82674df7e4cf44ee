package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// app is what the commands share: the streams, and what the flags of all commands say.
type app struct {
	args           []string // of the command line
	stdin          io.Reader
	stdout, stderr io.Writer
	log            *slog.Logger
	verb           string // the command under way; "" while the command line is read
	quiet, verbose bool
	cached         string // the folder of a model that a flag names by its name, in a cache: nothing is written into it
}

// name is how messages begin: "bert predict".
func (a *app) name() string { return strings.TrimSuffix("bert "+a.verb, " ") }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "bert",
		Short: "BERT from one static binary: tokenize, encode, predict, fine-tune, evaluate",
		Long: `bert takes BERT models all the way, on the processor and without Python: it tokenizes, encodes, classifies, fills
masks, fine-tunes and evaluates. Models are the directories that Hugging Face's tools read and write: config.json,
model.safetensors, vocab.txt, tokenizer.json.

Data comes from stdin or files, results go to stdout: as JSON lines when piped, as tables on a terminal. Messages and
progress go to stderr. The exit status is 0 when done, 1 after a failure, 2 for wrong usage.`,
		Example: `  bert demo
  bert finetune --task text --data train.tsv --eval-data dev.tsv --model bert-base-uncased --output my-model
  bert predict --model my-model "A joy from start to finish."
  bert help finetune`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SuggestionsMinimumDistance = 2
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetGlobalNormalizationFunc(hyphens)
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().BoolVar(&a.quiet, "quiet", false, "print warnings and errors only")
	root.PersistentFlags().BoolVar(&a.verbose, "verbose", false, "print details")
	root.PersistentFlags().SortFlags = false
	root.MarkFlagsMutuallyExclusive("quiet", "verbose")
	root.AddCommand(
		a.demoCommand(),
		a.vocabCommand(),
		a.instancesCommand(),
		a.pretrainCommand(),
		a.finetuneCommand(),
		a.evaluateCommand(),
		a.predictCommand(),
		a.glueCommand(),
		a.sweepCommand(),
		a.scoreCommand(),
		a.fillMaskCommand(),
		a.encodeCommand(),
		a.tokenizeCommand(),
		a.convertCommand(),
		a.inspectCommand(),
		a.pullCommand(),
		a.benchCommand(),
		a.versionCommand(),
	)
	for _, cmd := range root.Commands() {
		cmd.Flags().SortFlags = false
		cmd.InheritedFlags().SortFlags = false
		cmd.DisableFlagsInUseLine = true
		f := a.withModel(cmd.RunE)
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.verb = cmd.Name() // what fails from here on is no mistake in the flags
			return f(cmd, args)
		}
	}
	return root
}

// hyphens makes --max_seq_length mean --max-seq-length.
func hyphens(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
}

func unknownCommand(root *cobra.Command, name string) error {
	hint := "bert help lists the commands"
	if s := root.SuggestionsFor(name); len(s) > 0 {
		hint = "did you mean " + strings.Join(s, " or ") + "?"
	}
	return usagef("there is no command %q: %s", name, hint)
}

// flagError says what is wrong with a flag in our words, and what the flag may have been meant to be.
func flagError(cmd *cobra.Command, err error) error {
	help := strings.TrimSpace(cmd.CommandPath() + " --help lists the flags")
	name, unknown := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !unknown {
		return usagef("%w (%s)", err, help)
	}
	name = strings.ReplaceAll(name, "_", "-")
	best, least := "", max(2, len(name)/3)+1
	visit := func(f *pflag.Flag) {
		d := editDistance(name, f.Name)
		if strings.HasPrefix(f.Name, name) || strings.HasSuffix(f.Name, name) {
			d = min(d, 1)
		}
		if !f.Hidden && d < least {
			best, least = f.Name, d
		}
	}
	cmd.Flags().VisitAll(visit)
	cmd.InheritedFlags().VisitAll(visit)
	if best != "" {
		return usagef("there is no flag --%s: did you mean --%s?", name, best)
	}
	return usagef("there is no flag --%s: %s", name, help)
}

// editDistance is the number of letters to put in, take out or change that makes a into b (Levenshtein).
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

// noArguments says which flag takes what stands there as an argument.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q: %s takes flags only", args[0], cmd.CommandPath())
	}
	return nil
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
