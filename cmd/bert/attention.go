package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/report"
	"github.com/go-bert/bert/task"
)

func (a *app) attentionCommand() *cobra.Command {
	var (
		model   modelFlags
		in      inputFlags
		out     outputFlags
		page    attentionPage
		options task.AttendOptions
		weights = newChoice(task.RawWeights.String(), task.AllAttentionWeights()...)
		layers  string
		heads   string
	)
	cmd := &cobra.Command{
		Use:   "attention [--model DIR] [flags] [TEXT ...]",
		Short: "Show what the tokens of a text attend to",
		Long: `attention prints, for each layer and head, how much each token of a text attends to each token, and what the head does on the
whole: the shares of its attention that go to [CLS], to [SEP], to the token itself and to its neighbours, and its entropy.
Without --model it uses starter, the small English model that comes with the program.

Layers and heads are counted from 0, as in the model's files; "paper_layer" and "paper_head" count from 1, as papers do.
--layers and --heads select some, --top-k the tokens with the largest weights: all of them are 144 times the square of the
number of tokens for bert-base.

--weights norm multiplies the attention to a token by the length of the vector that it moves: much attention goes to [SEP],
whose vectors are next to nothing. --weights rollout follows the attention of all heads through the layers, with half of it
for the residual connection: how much of each input token is in each token after a layer.

A text with more tokens than the model has positions is an error, unless --max-seq-length truncates it.` + inputHelp,
		Example: `  bert attention "The film was not bad at all."
  bert attention --html attention.html "The film was not bad at all."
  bert attention --model bert-base-uncased --layers 7 --heads 10 --top-k 3 "The cat that the dogs chased was tired."
  bert attention --weights rollout --layers 11 --model bert-base-uncased --json "some text" | jq .layers[0].rollout`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if options.MaxLength < 0 {
				return usagef("--max-seq-length is %d, want at least 3", options.MaxLength)
			}
			if options.TopK < 0 || cmd.Flags().Changed("top-k") && options.TopK == 0 {
				return usagef("--top-k is %d, want at least 1", options.TopK)
			}
			if options.Layers, err = numberList("layers", layers); err != nil {
				return err
			}
			if options.Heads, err = numberList("heads", heads); err != nil {
				return err
			}
			if options.Weights, err = task.ParseAttentionWeights(weights.value); err != nil {
				return usageError{err}
			}
			if _, err := model.check(a); err != nil {
				return err
			}
			stream, err := in.open(a, args)
			if err != nil {
				return err
			}
			defer stream.close()
			r, err := task.Open(cmd.Context(), model.dir, task.Attend(options), model.options())
			if err != nil {
				return err
			}
			defer r.Close()
			a.warnNotes(r.Notes())
			a.warnPrecision(r.Model())
			if err := a.attention(cmd.Context(), r, stream, options.MaxLength, &page, out.table(a)); err != nil || page.path == "" {
				return err
			}
			return page.save(a, page.gathered.Page(modelTitle("Attention", model.dir), generator()))
		},
	}
	model.add(cmd)
	defaultModel(cmd)
	in.add(cmd)
	flagsIn(cmd, dataSection, func(flags *pflag.FlagSet) {
		flags.IntVar(&options.MaxLength, "max-seq-length", 0, "truncate texts to `N` tokens, including [CLS] and [SEP] (default: no limit)")
	})
	flagsIn(cmd, outputSection, func(flags *pflag.FlagSet) {
		addChoice(cmd, weights, "weights", "which weights: probabilities, those times the length of what they move, or through all layers")
		flags.StringVar(&layers, "layers", "", "print the layers `A,B`, from 0 (default all)")
		flags.StringVar(&heads, "heads", "", "print the heads `A,B`, from 0 (default all)")
		flags.IntVar(&options.TopK, "top-k", 0, "print the `N` tokens with the largest weights (default: all)")
	})
	out.add(cmd)
	page.add(cmd, "write a page with pictures of the first results to `FILE`")
	mainFlags(cmd, "model", "weights", "layers", "heads", "top-k", "max-seq-length", "input", "html", "json", "threads")
	return cmd
}

// attentionPage is the page of bert attention.
type attentionPage struct {
	pageFlag
	gathered report.Attentions
}

// numberList reads numbers from 0 between commas; "" is nil.
func numberList(flag, list string) ([]int, error) {
	if list == "" {
		return nil, nil
	}
	var out []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 0 {
			return nil, usagef("--%s %s: want numbers from 0 between commas, as in 0,3", flag, list)
		}
		out = append(out, n)
	}
	return out, nil
}

func (a *app) attention(ctx context.Context, r *task.Runner[task.Attended], in *source, maxSeqLength int, page *attentionPage, table bool) error {
	var (
		cut     truncations
		screen  = screenOf(a.stdout)
		lines   = jsonWriter{w: a.stdout}
		results = 0
	)
	err := r.Stream(ctx, in, func(item task.Item, answer task.Attended) error {
		cut.add(answer.DroppedTokens)
		if page.path != "" {
			page.gathered.Add(&item.Input, &answer)
		}
		if !table {
			return lines.line(answer)
		}
		results++
		return writeOut(a.stdout, []byte(attentionTable(screen, &item, &answer, results > 1)))
	})
	if err != nil {
		return err
	}
	cut.report(a, maxSeqLength)
	in.reportSkipped(a)
	return nil
}

// attentionTable shows what each head does on the whole or, of a rollout, what the first token takes in. JSON has all weights.
func attentionTable(s screen, in *task.Item, at *task.Attended, below bool) string {
	var b strings.Builder
	if below {
		b.WriteByte('\n')
	}
	b.WriteString(inputLine(s, &in.Input) + "\n")
	if at.Weights == task.RolloutWeights {
		for _, l := range at.Layers {
			b.WriteString(s.style(bold, fmt.Sprintf("layer %d: what is in %s", l.Layer, visible(at.Tokens[0]))) + "\n")
			var bars []barRow
			for _, link := range firstRow(l.Rollout) {
				bars = append(bars, barRow{at.Tokens[link.To], float64(link.Weight), false})
			}
			b.WriteString(s.bars(bars))
		}
		return b.String()
	}
	percent := func(share float32) string { return fmt.Sprintf("%.1f %%", 100*share) }
	var rows [][]string
	for _, l := range at.Layers {
		for _, h := range l.Heads {
			from, link := heaviest(&h.Rows)
			rows = append(rows, []string{
				fmt.Sprintf("%d-%d", l.Layer, h.Head), percent(h.First), percent(h.Separators), percent(h.Self), percent(h.Previous), percent(h.Next),
				fmt.Sprintf("%.2f", h.Entropy),
				fmt.Sprintf("%s → %s  %.3g", visible(at.Tokens[from]), visible(at.Tokens[link.To]), link.Weight),
			})
		}
	}
	right := func(head string) column { return column{head: head, right: true} }
	b.WriteString(s.table([]column{
		{head: "layer-head"}, right("[CLS]"), right("[SEP]"), right("itself"), right("previous"), right("next"), right("entropy"), {head: "largest weight"},
	}, rows))
	return b.String()
}

// firstRow is the row of the first token.
func firstRow(r *task.AttendedRows) []task.Link {
	if r.Top != nil {
		return r.Top[0]
	}
	var row []task.Link
	for to, w := range r.All[0] {
		row = append(row, task.Link{To: to, Weight: w})
	}
	return row
}

// heaviest is the largest weight and the token that looks.
func heaviest(r *task.AttendedRows) (from int, largest task.Link) {
	largest.Weight = -1
	for i, row := range r.Top {
		if row[0].Weight > largest.Weight {
			from, largest = i, row[0]
		}
	}
	for i, row := range r.All {
		for to, w := range row {
			if w > largest.Weight {
				from, largest = i, task.Link{To: to, Weight: w}
			}
		}
	}
	return from, largest
}
