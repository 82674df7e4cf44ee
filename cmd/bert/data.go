package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/finetune"
	"github.com/go-bert/bert/prune"
	"github.com/go-bert/bert/task"
)

// dataFlags say what labelled data is read and how.
type dataFlags struct {
	task    string
	path    string
	columns data.Columns
	format  *choice
	reading readingFlags
	// unlabelled leaves labels out that nobody needs.
	unlabelled bool
}

func (d *dataFlags) add(cmd *cobra.Command, dataUsage string) {
	f := cmd.Flags()
	f.StringVar(&d.task, "task", "", "`TASK`: "+strings.Join(task.Names(), ", "))
	_ = cmd.RegisterFlagCompletionFunc("task", cobra.FixedCompletions(task.Names(), cobra.ShellCompDirectiveNoFileComp))
	f.StringVar(&d.path, "data", "", dataUsage)
}

// addDetails defines the flags that are seldom needed.
func (d *dataFlags) addDetails(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&d.columns.Text, "text-column", "", "the `COLUMN` (or JSON key) of the text (default text)")
	f.StringVar(&d.columns.TextPair, "text-pair-column", "", "the `COLUMN` of the second text (default text_pair, where there is one)")
	f.StringVar(&d.columns.Label, "label-column", "", "the `COLUMN` of the label (default label)")
	f.BoolVar(&d.columns.NoHeader, "no-header", false, "the first line is data; columns are given by number, from 1")
	d.format = newChoice("auto", "auto", "csv", "tsv", "jsonl")
	addChoice(cmd, d.format, "data-format", "the format of the data; auto: by the file's name")
}

// readingFlags say how text is read.
type readingFlags struct {
	encoding string
	skipBad  bool
}

// encodingUsage is the help of --encoding.
const encodingUsage = "the text has the encoding `NAME`, such as latin-1, windows-1251, utf-16, shift_jis or gb18030 (default UTF-8)"

func (r *readingFlags) add(flags *pflag.FlagSet) {
	addEncoding(flags, &r.encoding)
	flags.BoolVar(&r.skipBad, "skip-bad", false, "leave bad records out and count them, instead of ending at the first")
}

func addEncoding(flags *pflag.FlagSet, encoding *string) {
	flags.Var(&encodingFlag{encoding}, "encoding", encodingUsage)
}

// encodingFlag is the name of an encoding.
type encodingFlag struct{ name *string }

func (e *encodingFlag) String() string {
	if e.name == nil {
		return ""
	}
	return *e.name
}
func (e *encodingFlag) Type() string { return "string" }
func (e *encodingFlag) Set(name string) error {
	*e.name = name
	return data.CheckEncoding(name)
}

func (d *dataFlags) lookup() (*task.Task, error) { return lookupTask(d.task, d.path) }

// lookupTask finds the task of --task and --data.
func lookupTask(name, path string) (*task.Task, error) {
	if name == "" {
		return nil, usagef("--task is missing: want one of %s", strings.Join(task.Names(), ", "))
	}
	if path == "" {
		return nil, usagef("--data PATH is missing: want the data of task %s", name)
	}
	t, err := task.Lookup(name)
	if err != nil {
		return nil, usageError{err}
	}
	return t, nil
}

// warnSkipped warns of bad records that were left out, and mentions comments.
func (a *app) warnSkipped(s finetune.Skipped) {
	if s.Count > 0 {
		a.log.Warn(fmt.Sprintf("%s: %s left out; the first: %v", s.Path, count(s.Count, "bad record"), s.First))
	}
	if s.Comments > 0 {
		a.log.Info(fmt.Sprintf("%s: %s passed over", s.Path, count(s.Comments, "comment line")))
	}
}

// read reads one part of the data for a model of spec s, and draws most examples of it (0: all).
func (d *dataFlags) read(ctx context.Context, a *app, t *task.Task, s *task.Spec, split data.Split, most int, seed uint64) (*data.Set, error) {
	o := data.ReadOptions{Split: split, TableOptions: data.TableOptions{
		Columns: d.columns, Encoding: d.reading.encoding, Stdin: a.stdin, SkipBad: d.reading.skipBad, Unlabelled: d.unlabelled,
	}}
	if d.format.value != "auto" {
		format, err := data.ParseFormat(d.format.value)
		if err != nil {
			return nil, usageError{err}
		}
		o.Format = format
	}
	set, err := t.Read(ctx, d.path, o)
	if err != nil {
		return nil, err
	}
	if !d.unlabelled {
		if err := s.CheckLabels(set, d.reading.skipBad); err != nil {
			return nil, err
		}
	}
	a.warnSkipped(finetune.Skipped{Path: d.path, Count: set.Skipped, First: set.FirstSkipped, Comments: set.Comments})
	if most > 0 {
		set.Examples = data.Draw(set.Examples, most, seed)
	}
	return set, nil
}

// describeData says on stderr what became of a part of the data.
func (a *app) describeData(what string, d *task.Dataset) {
	s := d.Stats()
	line := fmt.Sprintf("%s: %s, %s (mean %.1f, longest %d)", what,
		count(s.Examples, "example"), count(s.Tokens, "token"), float64(s.Tokens)/float64(max(s.Examples, s.Windows)), s.Longest)
	description := d.Spec()
	if s.Windows > 0 {
		line += fmt.Sprintf("; in %s of at most %d tokens", count(s.Windows, "window"), description.MaxSeqLength)
	}
	if s.Truncated > 0 {
		line += fmt.Sprintf("; %s (%.1f %%) cut to %d tokens", count(s.Truncated, "text"),
			100*float64(s.Truncated)/float64(s.Examples), description.MaxSeqLength)
		if description.Long == task.HeadTail {
			line += " of their beginning and end"
		}
		line += fmt.Sprintf(", %s dropped", count(s.Dropped, "token"))
	}
	if s.Empty > 0 {
		line += "; " + count(s.Empty, "empty text")
	}
	a.log.Info(line)
	if s.PerLabel == nil {
		return
	}
	var labels []string
	for i, n := range s.PerLabel {
		labels = append(labels, description.Labels[i]+" "+thousands(n))
	}
	if len(labels) > maxBars {
		labels = append(labels[:maxBars], fmt.Sprintf("and %d more", len(labels)-maxBars))
	}
	a.log.Info(what + " by label: " + strings.Join(labels, ", "))
}

// otherHeads are the tensors that were left out as they are of another head: warnAssumed names the rest.
func otherHeads(report bert.LoadReport) []string {
	return slices.DeleteFunc(slices.Clone(report.LeftOver), func(name string) bool { return slices.Contains(report.Unknown, name) })
}

// modelLine is a model in a line.
func modelLine(m *bert.Model, from string) string {
	c := m.Config()
	parameters := 0
	for _, p := range m.Params() {
		parameters += p.Len()
	}
	heads := fmt.Sprintf("%d heads", c.NumAttentionHeads)
	if c.PrunedHeads != nil {
		heads = fmt.Sprintf("up to %d heads, %d in all", c.NumAttentionHeads, prune.SizeOf(m).Heads)
	}
	return fmt.Sprintf("%s of %s parameters, %d layers of width %d with %s, %s",
		m.Head(), thousands(parameters), c.NumHiddenLayers, c.HiddenSize, heads, from)
}

// describeModel says on stderr what a model is.
func (a *app) describeModel(m *bert.Model, from string) {
	a.log.Info("model: " + modelLine(m, from))
	a.log.Info("device: " + m.Device())
	a.warnPrecision(m)
	report := m.Report()
	a.warnAssumed(report)
	if len(report.NewHead) > 0 {
		a.log.Warn("new, with random values: " + strings.Join(report.NewHead, ", "))
	}
	if len(report.Missing) > 0 {
		a.log.Warn("missing, so with random values: " + strings.Join(report.Missing, ", "))
	}
	if others := otherHeads(report); len(others) > 0 {
		a.log.Info("not used: " + strings.Join(others, ", "))
	}
	if n := len(report.Training); n > 0 {
		a.log.Info(fmt.Sprintf("not used: %s of an earlier training, such as %s", count(n, "tensor"), report.Training[0]))
	}
}

// sequenceLength is the longest sequence for a model: what was asked for, or where nothing was, no more than the model's
// positions.
func sequenceLength(cmd *cobra.Command, asked int, c bert.Config) (int, error) {
	switch {
	case asked < 3:
		return 0, usagef("--max-seq-length is %d, want at least 3: [CLS], a token and [SEP]", asked)
	case asked <= c.MaxPositionEmbeddings:
		return asked, nil
	case cmd.Flags().Changed("max-seq-length"):
		return 0, usagef("--max-seq-length is %d, the model has %d positions: want at most that", asked, c.MaxPositionEmbeddings)
	}
	return c.MaxPositionEmbeddings, nil
}
