package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/task"
)

func (a *app) fillMaskCommand() *cobra.Command {
	var (
		model modelFlags
		in    inputFlags
		out   outputFlags
		topK  int
	)
	cmd := &cobra.Command{
		Use:   "fill-mask [--model DIR] [--top-k N] [flags] [TEXT ...]",
		Short: "Guess the words hidden by [MASK]",
		Long: `fill-mask prints the most probable tokens for each [MASK] in a text. Without --model it uses starter, the small English
model that comes with the program.

Each [MASK] gives one result, with the position of the [MASK] among the tokens of the text ([CLS] is 0). If a text has
several, "line" is the number of the text. The model needs its masked-LM head. A text with more tokens than the model has
positions is an error: nothing is truncated.` + inputHelp,
		Example: `  bert fill-mask "The acting was [MASK]."
  bert fill-mask --model bert-base-uncased "Paris is the [MASK] of France."
  bert fill-mask --model bert-base-uncased --top-k 1 --input cloze.txt --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := model.check(a); err != nil {
				return err
			}
			if topK < 1 {
				return usagef("--top-k is %d, want at least 1", topK)
			}
			f, err := openStream(cmd.Context(), a, &model, &in, args, task.FillMask(topK))
			if err != nil {
				return err
			}
			defer f.Close()
			return a.fillMask(cmd.Context(), f, out.table(a))
		},
	}
	model.add(cmd)
	defaultModel(cmd)
	in.add(cmd)
	flagsIn(cmd, outputSection, func(flags *pflag.FlagSet) {
		flags.IntVar(&topK, "top-k", 5, "print the `N` most probable tokens")
	})
	out.add(cmd)
	return cmd
}

// maskJSON is the result for a [MASK].
type maskJSON struct {
	Line       int             `json:"line,omitempty"`
	Position   int             `json:"position"`
	Candidates []candidateJSON `json:"candidates"`
}

type candidateJSON struct {
	Token       string  `json:"token"`
	Probability float32 `json:"probability"`
}

func (a *app) fillMask(ctx context.Context, f *stream[[]task.Mask], table bool) error {
	var (
		screen  = screenOf(a.stdout)
		results = 0
	)
	err := f.Stream(ctx, f.in, func(item task.Item, masks []task.Mask) error {
		for _, m := range masks {
			if table {
				results++
				if err := writeOut(a.stdout, []byte(maskTable(screen, &item, m, results > 1))); err != nil {
					return err
				}
				continue
			}
			line := maskJSON{Position: m.Position, Candidates: make([]candidateJSON, len(m.Candidates))}
			if len(masks) > 1 {
				line.Line = item.Source.Line
			}
			for i, c := range m.Candidates {
				line.Candidates[i] = candidateJSON{c.Token, float32(c.Probability)}
			}
			if err := jsonLine(a.stdout, line); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.in.reportSkipped(a)
	return nil
}

func maskTable(s screen, in *task.Item, m task.Mask, below bool) string {
	var b strings.Builder
	if below {
		b.WriteByte('\n')
	}
	b.WriteString(inputLine(s, &in.Input) + "\n  " + s.style(dim, fmt.Sprintf("token %d", m.Position)) + "\n")
	bars := make([]barRow, len(m.Candidates))
	for i, c := range m.Candidates {
		bars[i] = barRow{c.Token, c.Probability, i == 0}
	}
	b.WriteString(s.bars(bars))
	return b.String()
}
