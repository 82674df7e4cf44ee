package report

import (
	"fmt"
	"math"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/report/draw"
	"github.com/go-bert/bert/task"
)

// bootstrapSeed is that of all intervals, so that the same run has the same page.
const bootstrapSeed = 1

// maxBootstrap is the number of examples up to which intervals are drawn: a thousand draws of so many take some seconds.
const maxBootstrap = 100_000

// confusion is the matrix of eval_results.json with its labels; nil where it has none.
func (r *Run) confusion() (labels []string, m metric.ConfusionMatrix) {
	if r.Result == nil {
		return nil, nil
	}
	ok, err := r.Result.Detail("labels", &labels)
	if !ok || err != nil {
		return nil, nil
	}
	if ok, err = r.Result.Detail("confusion_matrix", &m); !ok || err != nil || len(m) != len(labels) {
		return nil, nil
	}
	for _, row := range m {
		if len(row) != len(labels) {
			return nil, nil
		}
		for _, n := range row {
			if n < 0 {
				return nil, nil
			}
		}
	}
	return labels, m
}

// classes are the scores by label, or type, of eval_results.json.
func (r *Run) classes() (labels []string, scores []metric.Score) {
	if labels, m := r.confusion(); m != nil {
		return labels, m.Report().Classes
	}
	if r.Result == nil {
		return nil, nil
	}
	var rows []struct {
		Label                 string
		Precision, Recall, F1 float64
		Support               int
	}
	for _, key := range []string{"classes", "types"} {
		if ok, err := r.Result.Detail(key, &rows); ok && err == nil {
			for _, c := range rows {
				labels = append(labels, c.Label)
				score := metric.Score{Precision: c.Precision, Recall: c.Recall, F1: c.F1, Support: c.Support, Predicted: -1}
				if c.Precision > 0 && c.Precision <= 1 && c.Recall <= 1 && c.Support < 1<<40 { // of what was predicted, as many are right as of what is there
					score.Predicted = int(math.Round(c.Recall * float64(c.Support) / c.Precision))
				}
				scores = append(scores, score)
			}
			return labels, scores
		}
	}
	return nil, nil
}

// averages are those of the scores by label of eval_results.json.
func (r *Run) averages() []Average {
	var list []Average
	for _, name := range []string{"micro", "macro", "weighted"} {
		var row struct {
			Precision, Recall, F1 float64
			Support               int
		}
		if ok, err := r.Result.Detail(name+"_average", &row); ok && err == nil {
			list = append(list, Average{name + " average", metric.Score{Precision: row.Precision, Recall: row.Recall, F1: row.F1, Support: row.Support, Predicted: -1}})
		}
	}
	return list
}

// of ends a title where there are several runs.
func (r *Run) of(title string, runs []*Run) string {
	if len(runs) > 1 {
		return title + ": " + r.Name
	}
	return title
}

func confusions(runs []*Run, o *Options) []*Figure {
	var figures []*Figure
	for _, r := range runs {
		if labels, m := r.confusion(); m != nil {
			f := ConfusionFigure(Confusion{Labels: labels, Counts: m, Normalization: o.Normalization, Title: r.of("Confusion matrix", runs)})
			figures = append(figures, withExamples(f, r.Outcomes))
		}
	}
	return figures
}

func classScores(runs []*Run, _ *Options) []*Figure {
	var figures []*Figure
	for _, r := range runs {
		if labels, scores := r.classes(); len(scores) > 0 {
			what := "label"
			if ok, _ := r.Result.Detail("types", new(any)); ok {
				what = "type"
			}
			f := ClassesFigure(Classes{Labels: labels, Scores: scores, What: what, Averages: r.averages()})
			f.Title = r.of(f.Title, runs)
			figures = append(figures, f)
		}
	}
	return figures
}

// facts are the headline numbers.
func (r *Run) facts() []Fact {
	var facts []Fact
	add := func(name, value string, i *metric.Interval, number func(float64) string) {
		f := Fact{Name: name, Value: value}
		if i != nil && finite(i.Low) {
			f.Interval = "95 %: " + number(i.Low) + " – " + number(i.High)
		}
		facts = append(facts, f)
	}
	if s := r.Result; s != nil {
		intervals := r.intervals()
		names := append([]string(nil), s.Official...)
		for _, more := range []string{"eval_accuracy", "f1_score", "auc", "macro_f1", "matthews", "HasAns_f1", "NoAns_f1"} {
			if _, ok := s.Metrics.Get(more); ok && !contains(names, more) && len(names) < 5 {
				names = append(names, more)
			}
		}
		for _, name := range names {
			if v, ok := s.Metrics.Get(name); ok {
				add(metric.Label(name), draw.Number(v), intervals[name], draw.Number)
			}
		}
		if v, ok := s.Metrics.Get("loss"); ok {
			add("loss", draw.Number(v), nil, nil)
		}
		add("examples", message.Thousands(s.Examples), nil, nil)
		if base, ok := r.majority(); ok {
			add("accuracy of the most frequent label", draw.Number(base), nil, nil)
		}
	}
	if p := r.Pretrain; p != nil {
		add("masked LM accuracy", draw.Number(p.MaskedLMAccuracy), new(metric.Wilson(int(math.Round(p.MaskedLMAccuracy*float64(p.MaskedTokens))), p.MaskedTokens)), draw.Number)
		add("masked LM loss", draw.Number(p.MaskedLMLoss), nil, nil)
		if n := p.NextSentence; n != nil {
			add("next sentence accuracy", draw.Number(n.NextSentenceAccuracy), new(metric.Wilson(int(math.Round(n.NextSentenceAccuracy*float64(p.Instances))), p.Instances)), draw.Number)
		}
		add("instances", message.Thousands(p.Instances), nil, nil)
	}
	if g := r.GLUE; g != nil {
		add(fmt.Sprintf("GLUE score of %d tasks", g.Tasks), draw.Number(g.Score), nil, nil)
	}
	if v, name, ok := r.bestOfSweep(); ok {
		add("best "+name, draw.Number(v), nil, nil)
		add("runs", message.Thousands(len(r.Sweep)), nil, nil)
	}
	return facts
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// majority is the accuracy of saying the most frequent label each time.
func (r *Run) majority() (float64, bool) {
	_, m := r.confusion()
	most, all := 0, 0
	for _, row := range m {
		sum := 0
		for _, n := range row {
			sum += n
		}
		most = max(most, sum)
		all += sum
	}
	return float64(most) / float64(max(all, 1)), all > 0
}

// intervals are those of the metrics by name, as far as the files have the numbers for them.
func (r *Run) intervals() map[string]*metric.Interval {
	out := make(map[string]*metric.Interval)
	if _, m := r.confusion(); m != nil {
		confusionIntervals(out, m, r.positive())
	}
	if o := r.Outcomes; o != nil && len(o.Examples) <= maxBootstrap {
		if k := kindOf(o.Kind); k.intervals != nil {
			k.intervals(o, out)
		}
	}
	if r.Result != nil && out["eval_accuracy"] == nil && r.Spec != nil && r.Spec.Kind == task.MultipleChoice {
		if v, ok := r.Result.Metrics.Get("eval_accuracy"); ok {
			out["eval_accuracy"] = new(metric.Wilson(int(math.Round(v*float64(r.Result.Examples))), r.Result.Examples))
		}
	}
	return out
}

// positive is the number of the positive label of two, −1 where there is none.
func (r *Run) positive() int {
	labels, _ := r.confusion()
	var name string
	if ok, err := r.Result.Detail("positive_label", &name); !ok || err != nil {
		return -1
	}
	for i, l := range labels {
		if l == name {
			return i
		}
	}
	return -1
}

// confusionIntervals are those of metrics that the matrix alone decides.
func confusionIntervals(out map[string]*metric.Interval, m metric.ConfusionMatrix, positive int) {
	right, all := 0, 0
	for i, row := range m {
		right += row[i]
		for _, n := range row {
			all += n
		}
	}
	out["eval_accuracy"] = new(metric.Wilson(right, all))
	if all <= 0 || all > maxBootstrap {
		return
	}
	type cell struct{ row, column int }
	cells := make([]cell, 0, all) // of each example
	for i, row := range m {
		for j, n := range row {
			for range min(n, all-len(cells)) {
				cells = append(cells, cell{i, j})
			}
		}
	}
	drawn := make(metric.ConfusionMatrix, len(m))
	for i := range drawn {
		drawn[i] = make([]int, len(m))
	}
	of := func(value func() float64) *metric.Interval {
		return new(metric.Bootstrap(len(cells), bootstrapSeed, func(times []int) float64 {
			for i := range drawn {
				clear(drawn[i])
			}
			for k, n := range times {
				drawn[cells[k].row][cells[k].column] += n
			}
			return value()
		}))
	}
	out["matthews"] = of(func() float64 { return drawn.Matthews() })
	if positive >= 0 {
		out["f1_score"] = of(func() float64 { return drawn.Binary(positive).F1() })
		return
	}
	if len(m) <= 100 {
		out["macro_f1"] = of(func() float64 { return drawn.Report().Macro.F1 })
	}
}
