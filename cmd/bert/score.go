package main

import (
	"math"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/squad"
)

func (a *app) scoreCommand() *cobra.Command {
	var (
		version, odds string
		encoding      string
		o             squad.Options
		out           outputFlags
	)
	cmd := &cobra.Command{
		Use:   "score squad --version 1.1|2.0 DATA PREDICTIONS [--na-probs FILE]",
		Short: "Score predictions as SQuAD's official scripts do",
		Long: `score squad compares predictions with the answers in SQuAD's data and prints what the official evaluate-v1.1.py or
evaluate-v2.0.py prints, in percent.

DATA is a JSON file of SQuAD, PREDICTIONS a JSON object from question ids to answers, such as the predictions.json that
bert predict writes. --na-probs is an object from question ids to the score of having no answer, such as null_odds.json; it
adds the best scores that a threshold on it gives.`,
		Example: `  bert score squad --version 1.1 dev-v1.1.json predictions.json
  bert score squad --version 2.0 dev-v2.0.json predictions.json --na-probs null_odds.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			v, unknown := data.ParseSQuADVersion(version)
			switch {
			case len(args) == 0 || args[0] != "squad":
				return usagef("want bert score squad --version 1.1|2.0 DATA PREDICTIONS")
			case len(args) != 3:
				return usagef("want two files after squad: DATA and PREDICTIONS")
			case unknown != nil:
				return usagef("--version is %q, want %v or %v", version, data.SQuAD1, data.SQuAD2)
			case v == data.SQuAD1 && odds != "":
				return usagef("--na-probs needs --version %v", data.SQuAD2)
			}
			o.Version = v
			_, set, err := data.ReadSQuADAnswers(cmd.Context(), args[1], data.TableOptions{Encoding: encoding, Stdin: a.stdin})
			if err != nil {
				return err
			}
			predictions, err := squad.ReadAnswers(args[2])
			if err != nil {
				return err
			}
			if odds != "" {
				if o.NoAnswer, err = squad.ReadNullOdds(odds); err != nil {
					return err
				}
			}
			score, err := squad.Evaluate(set.Examples, predictions, o)
			if err != nil {
				return err
			}
			if score.Missing > 0 {
				a.log.Warn(count(score.Missing, "question") + " without a prediction, which score 0")
			}
			if !out.table(a) {
				return jsonLine(a.stdout, score)
			}
			return writeOut(a.stdout, []byte(score.String()))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&version, "version", "", "the `VERSION` of SQuAD: 1.1 or 2.0 (required)")
	addEncoding(flags, &encoding)
	flags.StringVar(&odds, "na-probs", "", "for version 2.0: the `FILE` with the score of having no answer, by question")
	flags.Float64Var(&o.Threshold, "na-prob-thresh", 1, "with --na-probs: questions with a score above `N` count as not answered")
	place(cmd, dataSection, "version", "na-probs", "encoding")
	place(cmd, evaluationSection, "na-prob-thresh")
	_ = cmd.MarkFlagFilename("na-probs", "json") // the error is for a flag that does not exist
	_ = cmd.RegisterFlagCompletionFunc("version", cobra.FixedCompletions([]cobra.Completion{data.SQuAD1.String(), data.SQuAD2.String()}, cobra.ShellCompDirectiveNoFileComp))
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return []cobra.Completion{"squad"}, cobra.ShellCompDirectiveNoFileComp
		}
		return []cobra.Completion{"json"}, cobra.ShellCompDirectiveFilterFileExt
	}
	out.add(cmd)
	return cmd
}

// parseThreshold parses the value of --null-score-diff-threshold.
func parseThreshold(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, usagef("--null-score-diff-threshold is %q, want a number", s)
	}
	return v, nil
}
