package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/report"
	"github.com/go-bert/bert/task"
)

// attentionFlags are the flags of bert attention.
type attentionFlags struct {
	model    modelFlags
	in       inputFlags
	out      outputFlags
	page     pageFlag
	options  task.AttendOptions
	weights  *choice
	quantity *choice
	layers   string
	heads    string
	views    []string
	before   string

	gathered report.Attentions
}

func (a *app) attentionCommand() *cobra.Command {
	f := attentionFlags{
		weights:  newChoice(task.RawWeights.String(), task.AllAttentionWeights()...),
		quantity: newChoice(task.Logit.String(), task.Quantities()...),
	}
	cmd := &cobra.Command{
		Use:   "attention [--model DIR] [flags] [TEXT ...]",
		Short: "Show what the tokens of a text attend to",
		Long: `attention prints, for each layer and head, how much each token of a text attends to each token, and what the head does on the
whole: the shares of its attention that go to [CLS], to [SEP], to the token itself and to its neighbours, and its entropy; of a
pair, the shares within and between the two texts. Without --model it uses starter, the small English model that comes with the
program.

Layers and heads are counted from 0, as in the model's files; "paper_layer" and "paper_head" count from 1, as papers do.
--layers and --heads select some, --top-k the tokens with the largest weights: all of them are 144 times the square of the
number of tokens for bert-base. --without-special leaves out [CLS] and [SEP], and scales each row to a sum of 1.

--weights norm multiplies the attention to a token by the length of the vector that it moves: much attention goes to [SEP],
whose vectors are next to nothing. --weights rollout follows the attention of all heads through the layers, with half of it
for the residual connection: how much of each input token is in each token after a layer. --weights gradient follows the
attention that raises the answer of a fine-tuned model, or the label --target (without --model, of starter-sentiment).

--view chooses the parts of the page that --html writes: head has lines between tokens, model a thumbnail of each head, atlas
what each head does on the whole; neuron has what a head's attention is made of, query and key, which JSON then has too, and
rollout adds the rollout to the heads.

--before DIR compares the heads with those of another model, such as the one before fine-tuning: a line for each head with what
it did and does in all texts, and how far the two differ token by token, those that changed the most first in a table.

A text with more tokens than the model has positions is an error, unless --max-seq-length truncates it.` + inputHelp,
		Example: `  bert attention "The film was not bad at all."
  bert attention --html attention.html "The film was not bad at all."
  bert attention --model bert-base-uncased --layers 7 --heads 10 --top-k 3 "The cat that the dogs chased was tired."
  bert attention --weights rollout --layers 11 --model bert-base-uncased --json "some text" | jq .layers[0].rollout
  bert attention --weights gradient --target neg "The film was not bad at all."
  bert attention --html neuron.html --view neuron --layers 7 --heads 10 --model bert-base-uncased "some text"
  bert attention --model my-model --before bert-base-uncased --input texts.txt --html atlas.html`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			if _, err := f.model.check(a); err != nil {
				return err
			}
			if f.before != "" {
				return a.headChanges(cmd.Context(), &f, args)
			}
			s, err := openStream(cmd.Context(), a, &f.model, &f.in, args, task.Attend(f.options))
			if err != nil {
				return err
			}
			defer s.Close()
			if err := s.print(cmd.Context(), a, f.printing(a)); err != nil || f.page.path == "" {
				return err
			}
			return f.page.save(a, f.gathered.Page(modelTitle("Attention", f.model.dir), generator()))
		},
	}
	f.model.add(cmd)
	defaultModel(cmd)
	f.in.add(cmd)
	flagsIn(cmd, dataSection, func(flags *pflag.FlagSet) {
		flags.IntVar(&f.options.MaxLength, "max-seq-length", 0, "truncate texts to `N` tokens, including [CLS] and [SEP] (default: no limit)")
	})
	flagsIn(cmd, modelSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.before, "before", "", "compare with the model in `DIR`, such as the one before fine-tuning")
	})
	markModel(cmd, "before")
	flagsIn(cmd, outputSection, func(flags *pflag.FlagSet) {
		addChoice(cmd, f.weights, "weights", "which weights: probabilities, those times the length of what they move, through all layers, or those that raise the answer")
		flags.StringVar(&f.layers, "layers", "", "print the layers `A,B`, from 0 (default all)")
		flags.StringVar(&f.heads, "heads", "", "print the heads `A,B`, from 0 (default all)")
		flags.IntVar(&f.options.TopK, "top-k", 0, "print the `N` tokens with the largest weights (default: all)")
		flags.BoolVar(&f.options.Bare, "without-special", false, "leave out [CLS] and [SEP], and scale each row to a sum of 1")
		flags.StringVar(&f.options.Label, "target", "", "with --weights gradient: the `LABEL` or choice that is raised (default: that of the answer)")
		addChoice(cmd, f.quantity, "quantity", "with --weights gradient: which number of the answer is raised")
		flags.StringSliceVar(&f.views, "view", nil, "the `PARTS` of a page, as in head,neuron: "+strings.Join(report.AttentionViews(), ", ")+" (default head,model,atlas)")
	})
	_ = cmd.RegisterFlagCompletionFunc("view", cobra.FixedCompletions(report.AttentionViews(), cobra.ShellCompDirectiveNoFileComp))
	f.out.add(cmd)
	f.page.add(cmd, "write a page with pictures of the first results to `FILE`")
	mainFlags(cmd, "model", "before", "weights", "layers", "heads", "top-k", "view", "without-special", "max-seq-length", "input", "html", "json", "threads")
	return cmd
}

// check reads the flags into the options.
func (f *attentionFlags) check(cmd *cobra.Command) (err error) {
	o := &f.options
	if o.Layers, err = numberList("layers", f.layers); err != nil {
		return err
	}
	if o.Heads, err = numberList("heads", f.heads); err != nil {
		return err
	}
	if o.Weights, err = task.ParseAttentionWeights(f.weights.value); err != nil {
		return usageError{err}
	}
	if o.Quantity, err = task.ParseQuantity(f.quantity.value); err != nil {
		return usageError{err}
	}
	for _, name := range f.views {
		view, err := report.ParseAttentionView(name)
		if err != nil {
			return usagef("--view: %w", err)
		}
		f.gathered.Views = append(f.gathered.Views, view)
	}
	o.Vectors, o.Rollout = slices.Contains(f.gathered.Views, report.NeuronView), slices.Contains(f.gathered.Views, report.RolloutView)
	gradient := o.Weights == task.GradientWeights
	switch {
	case o.MaxLength < 0:
		return usagef("--max-seq-length is %d, want at least 3", o.MaxLength)
	case o.TopK < 0 || cmd.Flags().Changed("top-k") && o.TopK == 0:
		return usagef("--top-k is %d, want at least 1", o.TopK)
	case !gradient && (cmd.Flags().Changed("target") || cmd.Flags().Changed("quantity")):
		return usagef("--target and --quantity are for --weights %v", task.GradientWeights)
	case gradient && o.MaxLength > 0:
		return usagef("--max-seq-length: with --weights %v a text is read as the model's task.json says", task.GradientWeights)
	case f.before != "" && (o.Weights != task.RawWeights || o.TopK > 0 || o.Bare || o.Layers != nil || o.Heads != nil || f.views != nil):
		return usagef("--before compares all heads by all of their probabilities: want no other choice of weights")
	}
	return nil
}

func (f *attentionFlags) printing(a *app) printing[task.Attended] {
	return printing[task.Attended]{
		table: f.out.table(a), show: attentionTable, dropped: func(at *task.Attended) int { return at.DroppedTokens }, longest: f.options.MaxLength,
		each: func(item *task.Item, answer *task.Attended) error {
			if f.page.path != "" {
				f.gathered.Add(&item.Input, answer)
			}
			return nil
		},
	}
}

// headChanges prints what has become of each head from the model --before.
func (a *app) headChanges(ctx context.Context, f *attentionFlags, args []string) error {
	s, err := openStream(ctx, a, &f.model, &f.in, args, task.Attend(f.options))
	if err != nil {
		return err
	}
	defer s.Close()
	other := f.model
	other.dir = f.before
	if _, err := other.check(a); err != nil {
		return err
	}
	before, err := task.Open(ctx, other.dir, task.Attend(f.options), other.options())
	if err != nil {
		return err
	}
	defer before.Close()
	a.warnNotes(before.Notes())
	var changes task.HeadChanges
	p := f.printing(a)
	p.unprinted = true
	p.each = func(item *task.Item, answer *task.Attended) error {
		was, err := before.Do(ctx, []data.Input{item.Input})
		if err == nil {
			err = changes.Add(&was[0], answer)
		}
		if err != nil {
			return &data.SourceError{Source: item.Source, Err: err}
		}
		return nil
	}
	if err := s.print(ctx, a, p); err != nil {
		return err
	}
	heads := changes.Heads()
	if f.out.table(a) {
		err = writeOut(a.stdout, []byte(headChangeTable(screenOf(a.stdout), heads)))
	}
	for i := 0; err == nil && i < len(heads) && !p.table; i++ {
		err = jsonLine(a.stdout, heads[i])
	}
	if err != nil || f.page.path == "" {
		return err
	}
	return f.page.save(a, report.HeadChangesPage(heads, changes.Tokens(), fmt.Sprintf("Heads of %s since %s", baseName(f.model.dir), baseName(f.before)), generator()))
}

// headChangeTable shows the heads, those that changed the most first.
func headChangeTable(s screen, heads []task.HeadChange) string {
	heads = slices.Clone(heads)
	slices.SortStableFunc(heads, func(x, y task.HeadChange) int { return cmp.Compare(y.Divergence, x.Divergence) })
	right := func(head string) column { return column{head: head, right: true} }
	change := func(before, after float32) string { return fmt.Sprintf("%.1f → %.1f %%", 100*before, 100*after) }
	var rows [][]string
	for _, h := range heads {
		b, a := &h.Before, &h.After
		rows = append(rows, []string{
			fmt.Sprintf("%d-%d", h.Layer, h.Head), fmt.Sprintf("%.4f", h.Divergence), change(b.First, a.First), change(b.Separators, a.Separators),
			change(b.Self, a.Self), change(b.Previous, a.Previous), change(b.Next, a.Next), fmt.Sprintf("%.2f → %.2f", b.Entropy, a.Entropy),
		})
	}
	return s.table([]column{
		{head: "layer-head"}, right("divergence"), right("[CLS]"), right("[SEP]"), right("itself"), right("previous"), right("next"), right("entropy"),
	}, rows)
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

// attentionTable shows what each head does on the whole or, of all heads together, what the first token takes in. JSON has all weights.
func attentionTable(s screen, in *task.Item, at *task.Attended, below bool) string {
	var b strings.Builder
	writeInput(&b, s, in, at.DroppedTokens, below)
	switch at.Weights {
	case task.RolloutWeights:
		for _, l := range at.Layers {
			b.WriteString(s.style(bold, fmt.Sprintf("layer %d: what is in %s", l.Layer, visible(at.Tokens[0]))) + "\n")
			b.WriteString(s.bars(tokenBars(at, rowOf(l.Rollout, 0))))
		}
		return b.String()
	case task.GradientWeights:
		last := at.Layers[len(at.Layers)-1]
		b.WriteString(s.style(bold, fmt.Sprintf("layer %d: what matters for the %v of %s", last.Layer, at.Target.Quantity, visible(at.Target.Name()))) + "\n")
		sums, all := make([]float32, len(at.Tokens)), float32(0)
		for _, from := range at.From {
			for _, link := range rowOf(last.Rollout, from) {
				sums[link.To] += link.Weight
				all += link.Weight
			}
		}
		var row []task.Link
		for to, w := range sums {
			if last.Rollout.Top == nil || w > 0 {
				row = append(row, task.Link{To: to, Weight: w / max(all, 1e-30)})
			}
		}
		b.WriteString(s.bars(tokenBars(at, row)))
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
			})
			last := &rows[len(rows)-1]
			if c := h.Blocks; c != nil {
				*last = append(*last, percent(c.FirstToFirst), percent(c.FirstToSecond), percent(c.SecondToFirst), percent(c.SecondToSecond))
			}
			*last = append(*last, fmt.Sprintf("%s → %s  %.3g", visible(at.Tokens[from]), visible(at.Tokens[link.To]), link.Weight))
		}
	}
	right := func(head string) column { return column{head: head, right: true} }
	columns := []column{
		{head: "layer-head"}, right("[CLS]"), right("[SEP]"), right("itself"), right("previous"), right("next"), right("entropy"),
	}
	if at.Second > 0 {
		columns = append(columns, right("1→1"), right("1→2"), right("2→1"), right("2→2"))
	}
	b.WriteString(s.table(append(columns, column{head: "largest weight"}), rows))
	return b.String()
}

// tokenBars are the tokens of a row with their weights.
func tokenBars(at *task.Attended, row []task.Link) []barRow {
	var bars []barRow
	for _, link := range row {
		bars = append(bars, barRow{at.Tokens[link.To], float64(link.Weight), false})
	}
	return bars
}

// rowOf is the row of a token.
func rowOf(r *task.AttendedRows, from int) []task.Link {
	if r.Top != nil {
		return r.Top[from]
	}
	var row []task.Link
	for to, w := range r.All[from] {
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
