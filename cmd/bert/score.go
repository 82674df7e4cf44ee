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
		o             squad.Options
		out           outputFlags
	)
	cmd := &cobra.Command{
		Use:   "score squad --version 1.1|2.0 DATA PREDICTIONS [--na-probs FILE]",
		Short: "Score predictions as a data set's official script does",
		Long: `score squad scores PREDICTIONS, a JSON object with the answer to each question's id, against DATA, a JSON file of SQuAD, and prints
what the official evaluate-v1.1.py or evaluate-v2.0.py prints, in percent. --na-probs names an object of numbers that say how probable no
answer is, like null_odds.json, and adds the best scores that a threshold on them gives.`,
		Example: `  bert score squad --version 1.1 dev-v1.1.json predictions.json
  bert score squad --version 2.0 dev-v2.0.json predictions.json --na-probs null_odds.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			v, unknown := data.ParseSQuADVersion(version)
			switch {
			case len(args) == 0 || args[0] != "squad":
				return usagef("want bert score squad --version 1.1|2.0 DATA PREDICTIONS")
			case len(args) != 3:
				return usagef("want two files, DATA and PREDICTIONS, behind squad")
			case unknown != nil:
				return usagef("--version is %q, want %v or %v", version, data.SQuAD1, data.SQuAD2)
			case v == data.SQuAD1 && odds != "":
				return usagef("--na-probs is for --version %v", data.SQuAD2)
			}
			o.Version = v
			_, examples, err := data.ReadSQuADAnswers(cmd.Context(), args[1])
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
			score, err := squad.Evaluate(examples, predictions, o)
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
	flags.StringVar(&version, "version", "", "the `VERSION` of SQuAD: 1.1 or 2.0")
	flags.StringVar(&odds, "na-probs", "", "of version 2.0: how probable no answer is, in `FILE`")
	flags.Float64Var(&o.Threshold, "na-prob-thresh", 1, "with --na-probs: above `N` an answer counts as none")
	out.add(cmd)
	return cmd
}

// parseThreshold reads the value of --null-score-diff-threshold.
func parseThreshold(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, usagef("--null-score-diff-threshold is %q, want a number", s)
	}
	return v, nil
}
