package report

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/go-bert/bert/sweep"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/train"
)

// someQuestions are those of someAnswers.
func someQuestions(t testing.TB) *task.Outcomes {
	t.Helper()
	o, err := task.ReadOutcomes(folder(t, map[string]string{task.OutcomesFile: someAnswers}))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// someLabels are outcomes of three labels, of which the last is rare and has low probabilities.
func someLabels() *task.Outcomes {
	o := &task.Outcomes{Kind: task.MultiLabel, Labels: []string{"a", "b", "rare"}}
	for i := range 40 {
		x := task.Outcome{Probabilities: []float32{0.1 + 0.02*float32(i), 0.9 - 0.02*float32(i), 0.05}}
		if i >= 20 {
			x.Labels = append(x.Labels, 0)
		}
		if i < 15 {
			x.Labels = append(x.Labels, 1)
		}
		if i == 7 {
			x.Labels, x.Probabilities[2] = append(x.Labels, 2), 0.3
		}
		o.Examples = append(o.Examples, x)
	}
	return o
}

func TestAveragedThresholds(t *testing.T) {
	o := someLabels()
	f := averagedThresholds(o)
	// The rows are what a count of each threshold by itself finds.
	for s, row := range f.Table.Rows {
		threshold := float64(s) / 100
		var all [3]float64
		macro := 0.0
		for j := range o.Labels {
			var n [3]float64 // right, said, true
			for _, x := range o.Examples {
				has, said := false, float64(x.Probabilities[j]) > threshold
				for _, l := range x.Labels {
					has = has || l == j
				}
				for k, is := range []bool{has && said, said, has} {
					if is {
						n[k]++
						all[k]++
					}
				}
			}
			if n[1]+n[2] > 0 {
				macro += f1Of(n[:]) / 3
			}
		}
		if row[0] != exactly(threshold) || row[1] != exactly(f1Of(all[:])) || row[2] != exactly(macro) {
			t.Fatalf("row %d is %v, want %v and %v", s, row, f1Of(all[:]), macro)
		}
	}
	if !strings.Contains(f.Finding, "At 0.5, which the model uses") {
		t.Errorf("the finding is %q", f.Finding)
	}
}

func TestTruncation(t *testing.T) {
	o := &task.Outcomes{Kind: task.SingleLabel, Labels: []string{"a", "b"}}
	for _, x := range []struct{ tokens, dropped, label int }{{10, 0, 0}, {10, 0, 0}, {90, 10, 0}, {90, 10, 1}, {50, 50, 1}, {49, 51, 0}} {
		o.Examples = append(o.Examples, task.Outcome{Tokens: x.tokens, Dropped: x.dropped, Label: &x.label, LogProbabilities: []float32{-0.1, -2.4}})
	}
	list := truncationFigure(o, classRight)
	if len(list) != 1 {
		t.Fatalf("there are %d figures", len(list))
	}
	if f := list[0]; f.Finding != "Of the texts that the model read whole 100 % are right, of those that were cut 50 %." {
		t.Errorf("the finding is %q", f.Finding)
	}
	got := ""
	for _, row := range list[0].Table.Rows {
		got += fmt.Sprintf("%s: %s of %s; ", row[0], row[1], row[len(row)-1])
	}
	if got != "whole: 1 of 2; up to a tenth cut: 0.5 of 2; up to a half cut: 0 of 1; more than half cut: 1 of 1; " {
		t.Errorf("the rows are %s", got)
	}
	if truncationFigure(&task.Outcomes{Examples: o.Examples[:2]}, classRight) != nil || truncationFigure(&task.Outcomes{Examples: o.Examples[2:]}, classRight) != nil {
		t.Error("whole texts, or cut ones, are compared with nothing")
	}
}

func TestMainEffects(t *testing.T) {
	grid := func(of func(a, b, seed float64) float64) (out []sweep.Record) {
		for a := range 3 {
			for b := range 2 {
				for seed := range 2 {
					out = append(out, sweep.Record{Settings: map[string]string{"a": fmt.Sprint(a), "b": fmt.Sprint(b)}, Value: new(of(float64(a), float64(b), float64(seed)))})
				}
			}
		}
		return out
	}
	keys := []string{"a", "b"}
	// The variances of 0, 1, 2 and of 0, 3 are 2/3 and 9/4.
	shares, ok := MainEffects(grid(func(a, b, _ float64) float64 { return a + 3*b }), keys)
	if want := (2.0 / 3) / (2.0/3 + 9.0/4); !ok || math.Abs(shares[0]-want) > 1e-12 || math.Abs(shares[1]-(1-want)) > 1e-12 {
		t.Errorf("of a sum the shares are %v, want %v and %v", shares, want, 1-want)
	}
	// What depends on both together, or on the seed, is of neither.
	if shares, ok = MainEffects(grid(func(a, b, _ float64) float64 { return (a - 1) * (b - 0.5) }), keys); !ok || math.Abs(shares[0])+math.Abs(shares[1]) > 1e-12 {
		t.Errorf("of a product the shares are %v", shares)
	}
	if shares, ok = MainEffects(grid(func(_, _, seed float64) float64 { return seed }), keys); !ok || math.Abs(shares[0])+math.Abs(shares[1]) > 1e-12 {
		t.Errorf("of the seed the shares are %v", shares)
	}
	all := grid(func(a, b, _ float64) float64 { return a + b })
	for what, records := range map[string][]sweep.Record{
		"a run less":    all[1:],
		"a cell less":   all[2:],
		"equal results": grid(func(_, _, _ float64) float64 { return 1 }),
		"nothing":       nil,
	} {
		if shares, ok := MainEffects(records, keys); ok {
			t.Errorf("of %s the shares are %v", what, shares)
		}
	}
}

func TestGLUEDifferences(t *testing.T) {
	a := folder(t, map[string]string{"glue_results.json": `{"rows":[{"name":"CoLA","task":"cola","split":"dev","score":50},{"name":"RTE","task":"rte","split":"dev","score":60}],"tasks":2,"score":55}`})
	b := folder(t, map[string]string{"glue_results.json": `{"rows":[{"name":"CoLA","task":"cola","split":"dev","score":48},{"name":"WNLI","task":"wnli","split":"dev","score":56}],"tasks":2,"score":52}`})
	p := pageOf(t, Options{}, a, b)
	if got := names(p); got != "glue glue-differences" {
		t.Fatalf("the figures are %s", got)
	}
	f := p.Figures()[1]
	if !strings.HasSuffix(f.Finding, "in 0 parts, worse in 1; its mean is 3 points lower.") {
		t.Errorf("the finding is %q", f.Finding)
	}
	if rows := f.Table.Rows; len(rows) != 3 || rows[0][1] != "-2" || rows[1][1] != "" || rows[2][1] != "" {
		t.Errorf("the rows are %v", rows)
	}
	rendered(t, p)
	if got := names(pageOf(t, Options{}, a)); got != "glue" {
		t.Errorf("of one run the figures are %s", got)
	}
}

func TestSplitTime(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	e := &train.Events{
		Started: start,
		Logged: []train.LoggedStep{
			{Time: at(12), Step: 10, Examples: 100, ExamplesPerSecond: 10},
			{Time: at(30), Step: 20, Examples: 200, ExamplesPerSecond: 10},
			{Time: at(640), Step: 30, Examples: 300, ExamplesPerSecond: 10}, // after ten minutes
		},
		Evaluations: []train.LoggedEvaluation{{Time: at(17), Step: 10, Elapsed: 4 * time.Second}},
	}
	s := SplitTime(e)
	if s.Steps != 30*time.Second || s.Evaluations != 4*time.Second || s.Other != 606*time.Second {
		t.Errorf("the split is %+v", s)
	}
	if len(s.Pauses) != 1 || s.Pauses[0] != (Pause{30, 600 * time.Second}) {
		t.Errorf("the pauses are %+v", s.Pauses)
	}
	r := &Run{Name: "run", Events: e}
	if f := timeFigures([]*Run{r}, &Options{})[0]; !strings.Contains(f.Finding, "Of 10m40s the steps took 4.7 %") || !strings.Contains(f.Finding, "stood still once") {
		t.Errorf("the finding is %q", f.Finding)
	}
	if marks := goneOn(r, &Options{}, []float64{3, 2, 1}); len(marks) != 1 || marks[0].x != 30 || marks[0].y != 1 || marks[0].legend != "went on after a pause" {
		t.Errorf("the marks are %+v", marks)
	}
	// What is known of a resumption takes the place of the pause. It is on the line between two logged steps.
	e.Resumptions = []train.Resumption{{Time: at(620), Step: 25, Lost: 2}}
	if s := SplitTime(e); s.Interrupted != 590*time.Second || s.Other != 16*time.Second || s.Steps != 30*time.Second {
		t.Errorf("of a run that was resumed: %+v", s)
	}
	if marks := goneOn(r, &Options{}, []float64{3, 2, 1}); len(marks) != 1 || marks[0].x != 25 || marks[0].y != 1.5 || !strings.Contains(marks[0].name, "resumed after step 25; 2 steps beyond") {
		t.Errorf("the marks are %+v", marks)
	}
	if marks := goneOn(r, &Options{Against: Hours}, []float64{3, 2, 1}); len(marks) != 1 || marks[0].x != at(640).Sub(start).Hours() || marks[0].y != 1 {
		t.Errorf("against hours the marks are %+v", marks)
	}
	if got := resumedFinding([]*Run{r}); got != "The run was resumed after step 25; 2 logged steps were made again." {
		t.Errorf("the finding is %q", got)
	}
	if f := timeFigures([]*Run{r}, &Options{})[0]; len(f.Table.Rows) != 4 || f.Table.Rows[2][0] != "interrupted" {
		t.Errorf("the table is %v", f.Table.Rows)
	}
	e.Resumptions = nil
	// Clocks that go back, or are missing, take no time.
	for i := range e.Logged {
		e.Logged[i].Time = e.Logged[i].Time.Add(-time.Duration(i) * time.Hour)
	}
	if s := SplitTime(e); s.Steps < 0 || s.Other < 0 {
		t.Errorf("with a clock that goes back: %+v", s)
	}
	if s := SplitTime(&train.Events{}); s.Steps+s.Evaluations+s.Other != 0 || s.Pauses != nil {
		t.Errorf("of nothing: %+v", s)
	}
}
