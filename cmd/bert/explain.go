package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/report"
	"github.com/go-bert/bert/task"
)

func (a *app) explainCommand() *cobra.Command {
	var (
		model    modelFlags
		in       inputFlags
		of       dataFlags
		split    string
		out      outputFlags
		page     explanationPage
		options  task.ExplainOptions
		method   = newChoice(task.IntegratedGradients.String(), task.Methods()...)
		baseline = newChoice(task.DefaultBaseline.String(), task.Baselines()...)
		quantity = newChoice(task.Logit.String(), task.Quantities()...)
	)
	cmd := &cobra.Command{
		Use:         "explain [--model DIR] [flags] [TEXT ...]",
		Short:       "Show which words an answer comes from",
		Annotations: map[string]string{needsAnswers: ""},
		Long: `explain says how much each word of a text adds to the answer of a fine-tuned model. Without --model it uses
starter-sentiment, the small classifier of English film reviews that comes with the program.

What is explained is the logit of the answer: of the label; of each label of a multi-label model; of each word in an entity;
of the first and the last token of an answer to a question, and of both; of the choice; or the number of a regression.
--target names another label; with --task and --data, --target gold takes each text's own. --quantity margin explains by how much the logit is above that of the strongest rival,
--quantity probability the probability.

--method ig (integrated gradients) follows the answer from a text of which [PAD] takes the place of each word to the text
itself. The scores add up to the difference between the two, but for "delta": the number of points on the way is doubled, from
--points to --max-points, until delta is at most 1 % of the difference, or 0.001. A delta that stays larger is marked.
grad-input is the gradient times the embeddings and grad-norm the length of the gradient: one pass each, and not exact.
occlusion replaces one word after another by [MASK].

The score of a word is the sum of those of its pieces. [CLS], [SEP] and the positions stay as they are.` + inputHelp,
		Example: `  bert explain "A joy from start to finish."
  bert explain --target neg --quantity probability "A joy from start to finish."
  bert explain --html words.html "A joy from start to finish."
  bert explain --method occlusion --model my-model --input reviews.txt --json > words.jsonl
  echo '{"question": "Who wrote it?", "context": "Ann wrote it."}' | bert explain --model squad-model`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if options.Method, err = task.ParseMethod(method.value); err != nil {
				return usageError{err}
			}
			if options.Baseline, err = task.ParseBaseline(baseline.value); err != nil {
				return usageError{err}
			}
			if options.Quantity, err = task.ParseQuantity(quantity.value); err != nil {
				return usageError{err}
			}
			path := &options.Path
			switch gradient := options.Method == task.IntegratedGradients; {
			case !gradient && (cmd.Flags().Changed("points") || cmd.Flags().Changed("max-points")):
				return usagef("--points and --max-points are for --method ig")
			case path.Points < 1:
				return usagef("--points is %d, want at least 1", path.Points)
			case path.MaxPoints < path.Points && cmd.Flags().Changed("max-points"):
				return usagef("--max-points is %d, fewer than --points %d", path.MaxPoints, path.Points)
			case path.MaxPoints < path.Points:
				path.MaxPoints = path.Points
			}
			if of.task != "" || of.path != "" {
				of.reading = in.reading
				if len(args) > 0 || in.file != "" {
					return usagef("both texts and the data of a task: want one of them")
				}
				return a.explainData(cmd.Context(), &model, &of, data.Split(split), options, &page, out.table(a))
			}
			if split != "" || options.Label == goldTarget {
				return usagef("--split and --target %s are for the data of a task: want --task and --data too", goldTarget)
			}
			model.given = true // gradients take float32 of a quantized model too
			if _, err := model.check(a); err != nil {
				return err
			}
			stream, err := in.open(a, args)
			if err != nil {
				return err
			}
			defer stream.close()
			r, err := task.Open(cmd.Context(), model.dir, task.Explain(options), model.options())
			if err != nil {
				return err
			}
			defer r.Close()
			a.warnNotes(r.Notes())
			a.warnPrecision(r.Model())
			if err := a.explainTexts(cmd.Context(), r, stream, &page, out.table(a)); err != nil {
				return err
			}
			stream.reportSkipped(a)
			return page.end(a, model.dir)
		},
	}
	model.add(cmd)
	defaultModel(cmd)
	in.add(cmd)
	flagsIn(cmd, dataSection, func(flags *pflag.FlagSet) {
		of.add(cmd, "with --task: the `PATH` of the data, a file or the folder or archive of the task")
		flags.StringVar(&split, "split", "", "the `SPLIT` of the task's data: train, dev or test")
		of.addDetails(cmd)
	})
	flagsIn(cmd, outputSection, func(flags *pflag.FlagSet) {
		addChoice(cmd, method, "method", "how words get their scores")
		addChoice(cmd, baseline, "baseline", "what takes the place of words; auto: pad for ig, mask for occlusion")
		flags.StringVar(&options.Label, "target", "", "explain the `LABEL` or choice; gold: that of the data (default: that of the answer)")
		addChoice(cmd, quantity, "quantity", "which number of the answer is explained")
		flags.IntVar(&options.Path.Points, "points", 32, "with --method ig: begin with `N` points on the path")
		flags.IntVar(&options.Path.MaxPoints, "max-points", 512, "with --method ig: take at most `N` points")
	})
	out.add(cmd)
	page.add(cmd, "write a page with pictures of the first results to `FILE`")
	mainFlags(cmd, "model", "method", "baseline", "target", "quantity", "input", "task", "data", "split", "html", "json", "threads")
	return cmd
}

// explanationPage is the page of bert explain.
type explanationPage struct {
	pageFlag
	gathered report.Explanations
}

func (p *explanationPage) end(a *app, model string) error {
	if p.path == "" {
		return nil
	}
	return p.save(a, p.gathered.Page(modelTitle("Explanations", model), generator()))
}

// goldTarget is the value of --target for the labels of the data.
const goldTarget = "gold"

// explainData explains the answers to a split of a task's data.
func (a *app) explainData(ctx context.Context, model *modelFlags, of *dataFlags, split data.Split, options task.ExplainOptions, page *explanationPage, table bool) error {
	t, err := of.lookup()
	if err != nil {
		return err
	}
	model.given = true // gradients take float32 of a quantized model too
	if _, err := model.check(a); err != nil {
		return err
	}
	d, tok, err := model.describe(ctx, t, nil)
	if err != nil {
		return err
	}
	if of.columns == (data.Columns{}) {
		of.columns = d.Columns
	}
	gold := options.Label == goldTarget && !slices.Contains(d.Labels, goldTarget)
	of.unlabelled = !gold
	set, err := of.read(ctx, a, t, &d, cmp.Or(split, t.EvalSplit), 0, 0)
	if err != nil {
		return err
	}
	examples := set.Examples
	if gold {
		options.Label = ""
		for i := range examples {
			if examples[i].Target, err = task.GoldTarget(d.Kind, &examples[i]); err != nil {
				return &data.SourceError{Source: examples[i].Source, Err: err}
			}
		}
	}
	m, err := model.load(tok, nil)
	if err != nil {
		return err
	}
	defer m.Close()
	r, err := task.NewRunner(m, tok, &d, task.Explain(options), model.options())
	if err != nil {
		return err
	}
	defer r.Close()
	a.warnNotes(r.Notes())
	if err := a.explainTexts(ctx, r, &exampleInputs{examples: examples}, page, table); err != nil {
		return err
	}
	return page.end(a, model.dir)
}

func (a *app) explainTexts(ctx context.Context, r *task.Runner[task.Explanation], in data.Inputs, page *explanationPage, table bool) error {
	var (
		cut        truncations
		incomplete int
		screen     = screenOf(a.stdout)
		lines      = jsonWriter{w: a.stdout}
		results    = 0
	)
	err := r.Stream(ctx, in, func(item task.Item, answer task.Explanation) error {
		cut.add(answer.DroppedTokens)
		for _, t := range answer.Targets {
			if t.Complete != nil && !*t.Complete {
				incomplete++
			}
		}
		if page.path != "" {
			if err := page.gathered.Add(&item.Input, &answer); err != nil {
				return err
			}
		}
		if !table {
			return lines.line(answer)
		}
		results++
		return writeOut(a.stdout, []byte(explanationTable(screen, &item, &answer, results > 1)))
	})
	if err != nil {
		return err
	}
	if incomplete > 0 {
		a.log.Warn(fmt.Sprintf("the scores of %s do not add up to what they explain: see delta; --max-points takes more points", count(incomplete, "explanation")))
	}
	cut.report(a, r.MaxSeqLength())
	return nil
}

// maxWords is the number of words that a table shows, those with the largest scores by amount.
const maxWords = 40

// explanationTable shows the words of each target, in the order of the text.
func explanationTable(s screen, in *task.Item, e *task.Explanation, below bool) string {
	var b strings.Builder
	writeInput(&b, s, in, e.DroppedTokens, below)
	if len(e.Targets) == 0 {
		b.WriteString("  (nothing to explain)\n")
	}
	for _, t := range e.Targets {
		b.WriteString("  " + s.style(bold, visible(t.Name())) + fmt.Sprintf("  %s %.4f", t.Target.Quantity, t.Value))
		if t.Delta != nil {
			style := dim
			if t.Wrong() {
				style = red
			}
			b.WriteString(s.style(dim, fmt.Sprintf("; without words %.4f; %s; ", *t.BaselineValue, count(t.Points, "point"))) +
				s.style(style, fmt.Sprintf("delta %.2g", *t.Delta)))
		}
		b.WriteString("\n" + s.scores(t.Words))
	}
	return b.String()
}

// scores draws a row for each word: bars to the right raise the number, those to the left lower it.
func (s screen) scores(words []task.WordScore) string {
	left := 0
	if len(words) > maxWords {
		order := make([]int, len(words))
		for i := range order {
			order[i] = i
		}
		size := func(i int) float64 { return math.Abs(float64(words[i].Score)) }
		slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(size(j), size(i)) })
		left = len(words) - maxWords
		order = order[:maxWords]
		slices.Sort(order)
		shown := make([]task.WordScore, 0, maxWords)
		for _, i := range order {
			shown = append(shown, words[i])
		}
		words = shown
	}
	name, most := 0, float32(0)
	for _, w := range words {
		name = max(name, cells(visible(w.Text)))
		most = max(most, w.Score, -w.Score)
	}
	name = min(name, s.width/2)
	const number = len("  -0.0000  ")
	half := max(3, min(20, (s.width-2-name-number)/2))
	var b strings.Builder
	for _, w := range words {
		share := 0.0
		if most > 0 {
			share = float64(w.Score / most)
		}
		full := int(math.Round(math.Abs(share) * float64(half)))
		line := strings.Repeat(" ", half)
		style := green
		if share < 0 {
			line, style = strings.Repeat(" ", half-full)+strings.Repeat("█", full), red
		} else {
			line += strings.Repeat("█", full)
		}
		fmt.Fprintf(&b, "  %s  %7.4f  %s\n", fit(visible(w.Text), name), w.Score, s.style(style, line))
	}
	if left > 0 {
		b.WriteString(s.style(dim, "  and "+count(left, "word")+" with smaller scores, which --json prints") + "\n")
	}
	return b.String()
}
