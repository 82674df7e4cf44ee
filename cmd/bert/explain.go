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

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/report"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
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
		methods  []string
		compared task.CompareMethodsOptions
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
occlusion replaces one word after another by [MASK]. attention-gradient follows the attention that raises the answer through the
layers; attention and attention-norm are the attention of the last layer, which knows nothing of the answer.

--compare sets several methods beside one another, or all: the scores of each word, how far the methods agree (the correlation of
ranks), and how far the answer falls when [MASK] takes the place of more and more words, those first that a method scores
highest. A method whose words are no better than words at random explains nothing.

The score of a word is the sum of those of its pieces. [CLS], [SEP] and the positions stay as they are.` + inputHelp,
		Example: `  bert explain "A joy from start to finish."
  bert explain --target neg --quantity probability "A joy from start to finish."
  bert explain --html words.html "A joy from start to finish."
  bert explain --compare all --html methods.html "A joy from start to finish."
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
			compare := methods != nil
			if compared.Methods, err = task.ParseMethods(methods); err != nil {
				return usagef("--compare: %w", err)
			}
			path := &options.Path
			switch gradient := compare || options.Method == task.IntegratedGradients; {
			case !gradient && (cmd.Flags().Changed("points") || cmd.Flags().Changed("max-points")):
				return usagef("--points and --max-points are for --method ig")
			case path.Points < 1:
				return usagef("--points is %d, want at least 1", path.Points)
			case path.MaxPoints < path.Points && cmd.Flags().Changed("max-points"):
				return usagef("--max-points is %d, fewer than --points %d", path.MaxPoints, path.Points)
			case path.MaxPoints < path.Points:
				path.MaxPoints = path.Points
			}
			switch {
			case compare && (cmd.Flags().Changed("method") || cmd.Flags().Changed("baseline")):
				return usagef("--compare names the methods, of which each has its own baseline: want neither --method nor --baseline")
			case !compare && (cmd.Flags().Changed("orders") || cmd.Flags().Changed("seed")):
				return usagef("--orders and --seed are for --compare")
			case compared.Orders < 1:
				return usagef("--orders is %d, want at least 1", compared.Orders)
			}
			e := explaining{&model, &out, &page, options, nil}
			if compare {
				compared.Quantity, compared.Path = options.Quantity, options.Path
				e.compared = &compared
			}
			if of.task != "" || of.path != "" {
				of.reading = in.reading
				if len(args) > 0 || in.file != "" {
					return usagef("both texts and the data of a task: want one of them")
				}
				return a.explainData(cmd.Context(), &e, &of, data.Split(split))
			}
			if split != "" || options.Label == goldTarget {
				return usagef("--split and --target %s are for the data of a task: want --task and --data too", goldTarget)
			}
			model.given = true // gradients take float32 of a quantized model too
			if _, err := model.check(a); err != nil {
				return err
			}
			if compare {
				compared.Label = options.Label
				return explainTexts(cmd.Context(), a, &model, &in, args, task.CompareMethods(compared), e.comparisons(a), &page)
			}
			return explainTexts(cmd.Context(), a, &model, &in, args, task.Explain(options), e.explanations(a), &page)
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
		flags.StringSliceVar(&methods, "compare", nil, "set the `METHODS` A,B, or all, beside one another")
		flags.IntVar(&compared.Orders, "orders", 10, "with --compare: hold methods against `N` orders of the words at random")
		flags.Uint64Var(&compared.Seed, "seed", 0, "with --compare: the seed of the orders at random")
	})
	_ = cmd.RegisterFlagCompletionFunc("compare", cobra.FixedCompletions(append(task.Methods(), "all"), cobra.ShellCompDirectiveNoFileComp))
	out.add(cmd)
	page.add(cmd, "write a page with pictures of the first results to `FILE`")
	mainFlags(cmd, "model", "method", "compare", "baseline", "target", "quantity", "input", "task", "data", "split", "html", "json", "threads")
	return cmd
}

// explanationPage is the page of bert explain.
type explanationPage struct {
	pageFlag
	gathered report.Explanations
	compared report.MethodComparisons
}

// explaining is what bert explain does with the answers to texts.
type explaining struct {
	model    *modelFlags
	out      *outputFlags
	page     *explanationPage
	options  task.ExplainOptions
	compared *task.CompareMethodsOptions // nil: there is one method
}

// explainTexts explains the answers to texts by a use.
func explainTexts[T any](ctx context.Context, a *app, model *modelFlags, in *inputFlags, args []string, use task.Use[T], p printing[T], page *explanationPage) error {
	s, err := openStream(ctx, a, model, in, args, use)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.print(ctx, a, p); err != nil {
		return err
	}
	return page.end(a, model.dir)
}

// explanations are answers by one method.
func (e *explaining) explanations(a *app) printing[task.Explanation] {
	incomplete := 0
	return printing[task.Explanation]{
		table: e.out.table(a), show: explanationTable, dropped: func(x *task.Explanation) int { return x.DroppedTokens },
		each: func(item *task.Item, x *task.Explanation) error {
			for _, t := range x.Targets {
				if t.Complete != nil && !*t.Complete {
					incomplete++
				}
			}
			if e.page.path == "" {
				return nil
			}
			return e.page.gathered.Add(&item.Input, x)
		},
		end: func() {
			if incomplete > 0 {
				a.log.Warn(fmt.Sprintf("the scores of %s do not add up to what they explain: see delta; --max-points takes more points", count(incomplete, "explanation")))
			}
		},
	}
}

// comparisons are answers by several methods.
func (e *explaining) comparisons(a *app) printing[task.MethodComparison] {
	return printing[task.MethodComparison]{
		table: e.out.table(a), show: comparisonTable, dropped: func(x *task.MethodComparison) int { return x.DroppedTokens },
		each: func(item *task.Item, x *task.MethodComparison) error {
			if e.page.path != "" {
				e.page.compared.Add(&item.Input, x)
			}
			return nil
		},
	}
}

func (p *explanationPage) end(a *app, model string) error {
	switch {
	case p.path == "":
		return nil
	case p.compared.Texts() > 0:
		return p.save(a, p.compared.Page(modelTitle("Methods of explanation", model), generator()))
	}
	return p.save(a, p.gathered.Page(modelTitle("Explanations", model), generator()))
}

// goldTarget is the value of --target for the labels of the data.
const goldTarget = "gold"

// explainData explains the answers to a split of a task's data.
func (a *app) explainData(ctx context.Context, e *explaining, of *dataFlags, split data.Split) error {
	model := e.model
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
	gold := e.options.Label == goldTarget && !slices.Contains(d.Labels, goldTarget)
	of.unlabelled = !gold
	set, err := of.read(ctx, a, t, &d, cmp.Or(split, t.EvalSplit), 0, 0)
	if err != nil {
		return err
	}
	examples := set.Examples
	if gold {
		e.options.Label = ""
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
	if e.compared != nil {
		e.compared.Label = e.options.Label
		err = explainExamples(ctx, a, m, tok, &d, examples, task.CompareMethods(*e.compared), e.comparisons(a), model)
	} else {
		err = explainExamples(ctx, a, m, tok, &d, examples, task.Explain(e.options), e.explanations(a), model)
	}
	if err != nil {
		return err
	}
	return e.page.end(a, model.dir)
}

// explainExamples explains the answers to examples by a use.
func explainExamples[T any](
	ctx context.Context, a *app, m *bert.Model, tok *tokenizer.Tokenizer, d *task.Spec, examples []data.Example, use task.Use[T], p printing[T], model *modelFlags,
) error {
	r, err := task.NewRunner(m, tok, d, use, model.options())
	if err != nil {
		return err
	}
	defer r.Close()
	a.warnNotes(r.Notes())
	return printAnswers(ctx, a, r, &exampleInputs{examples: examples}, p)
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

// comparisonTable shows the scores of the words by each method, as shares of the method's largest, and then how far the methods
// agree with the first and how far the number falls.
func comparisonTable(s screen, in *task.Item, c *task.MethodComparison, below bool) string {
	var b strings.Builder
	writeInput(&b, s, in, c.DroppedTokens, below)
	if len(c.Targets) == 0 {
		b.WriteString("  (nothing to explain)\n")
	}
	columns := []column{{head: "word"}}
	for _, m := range c.Methods {
		columns = append(columns, column{head: m.String(), right: true})
	}
	for i := range c.Targets {
		t := &c.Targets[i]
		fmt.Fprintf(&b, "  %s  %s %.4f\n", s.style(bold, visible(t.Target.Name())), t.Target.Quantity, t.Value)
		var rows [][]string
		most := make([]float64, len(c.Methods))
		for _, w := range t.Words {
			for k, v := range w.Scores {
				most[k] = max(most[k], math.Abs(float64(v)))
			}
		}
		for _, w := range t.Words[:min(len(t.Words), maxWords)] {
			row := []string{visible(w.Text)}
			for k, v := range w.Scores {
				row = append(row, fmt.Sprintf("%+.2f", float64(v)/max(most[k], 1e-30)))
			}
			rows = append(rows, row)
		}
		if n := len(t.Words) - maxWords; n > 0 {
			rows = append(rows, append([]string{fmt.Sprintf("(%s more)", thousands(n))}, make([]string, len(c.Methods))...))
		}
		ranks, falls := []string{"agrees with " + c.Methods[0].String()}, []string{"falls by"}
		for k := range c.Methods {
			rank := "–"
			if r := t.Correlations[0][k]; r != nil {
				rank = fmt.Sprintf("%.2f", *r)
			}
			ranks = append(ranks, rank)
			fall := "–"
			if t.Removal.Falls != nil {
				fall = fmt.Sprintf("%.3f", t.Removal.Falls[k])
			}
			falls = append(falls, fall)
		}
		b.WriteString(s.table(columns, append(rows, ranks, falls)))
		b.WriteString(s.style(dim, fmt.Sprintf("  without words at random it falls by %.3f", t.Removal.RandomFall)) + "\n")
	}
	return b.String()
}
