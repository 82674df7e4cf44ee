package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/go-bert/bert/report/draw"
	"github.com/go-bert/bert/train"
)

// Pause is a stretch of a training in which time went by that neither steps nor evaluations took: it was interrupted and resumed,
// or the machine was busy with something else.
type Pause struct {
	Step int // after which the run went on
	Time time.Duration
}

// TimeSplit is where the time of a training went, as far as its events say.
type TimeSplit struct {
	Steps, Evaluations, Other time.Duration // Other: checkpoints, loading, pauses
	// Interrupted is the time from the last line before an interruption to when the run was resumed: what was lost, and waiting.
	Interrupted time.Duration
	Pauses      []Pause
}

// The least pause: shorter ones are checkpoints, or the speed, which is smoothed, is off.
const (
	pauseLeast = 30 * time.Second
	pauseTimes = 2 // the time of the steps and evaluations of the stretch
)

// SplitTime splits the time from the first line to the last. Steps between two lines took their examples divided by the speed of the
// second line.
func SplitTime(e *train.Events) TimeSplit {
	type line struct {
		at       time.Time
		step     int
		examples int64
		rate     float64
		spent    time.Duration // in the evaluation
	}
	var lines []line
	for _, s := range e.Logged {
		lines = append(lines, line{at: s.Time, step: s.Step, examples: s.Examples, rate: s.ExamplesPerSecond})
	}
	for _, v := range e.Evaluations {
		lines = append(lines, line{at: v.Time, step: v.Step, spent: v.Elapsed})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.step, b.step) })
	var (
		out      TimeSplit
		last     = e.Started
		examples int64
	)
	for _, l := range lines {
		known := l.spent
		if l.rate > 0 && l.examples > examples {
			known = time.Duration(float64(l.examples-examples) / l.rate * float64(time.Second))
		}
		gap := l.at.Sub(last)
		if last.IsZero() || l.at.IsZero() || gap < 0 {
			gap = 0
		}
		interrupted := interruptedBetween(e, last, l.at)
		last = l.at
		known = max(0, min(known, gap))
		if l.rate > 0 {
			examples = l.examples
			out.Steps += known
		} else {
			out.Evaluations += known
		}
		rest := gap - known
		interrupted = min(interrupted, rest)
		out.Interrupted += interrupted
		out.Other += rest - interrupted
		if rest >= pauseLeast && rest >= pauseTimes*known {
			out.Pauses = append(out.Pauses, Pause{l.step, rest})
		}
	}
	return out
}

// timeFigures is the split of each run's time.
func timeFigures(runs []*Run, _ *Options) []*Figure {
	var figures []*Figure
	for _, r := range trained(runs) {
		s := SplitTime(r.Events)
		all := s.Steps + s.Evaluations + s.Interrupted + s.Other
		if all <= 0 {
			continue
		}
		share := func(d time.Duration) float64 { return float64(d) / float64(all) }
		b := Bars{Name: "time", Title: r.of("Where the time went", runs), XTitle: "share of the time", Keep: true, Bars: []Bar{
			{Name: "steps", Value: share(s.Steps)}, {Name: "evaluations", Value: share(s.Evaluations)}, {Name: "other", Value: share(s.Other)},
		}}
		b.Finding = fmt.Sprintf("Of %s the steps took %s, evaluations %s; the rest is for loading, checkpoints and waiting.", rounded(all), percent(share(s.Steps)), percent(share(s.Evaluations)))
		if n := len(s.Pauses); n > 0 {
			longest := slices.MaxFunc(s.Pauses, func(a, b Pause) int { return cmp.Compare(a.Time, b.Time) })
			b.Finding += fmt.Sprintf(" The run stood still %s, the longest time before step %d for %s.", times(n), longest.Step, rounded(longest.Time))
		}
		if s.Interrupted > 0 {
			b.Bars = slices.Insert(b.Bars, 2, Bar{Name: "interrupted", Value: share(s.Interrupted)})
		}
		figures = append(figures, BarsFigure(b))
	}
	return figures
}

// rounded is a time to the second, or of less than ten to the hundredth or the thousandth.
func rounded(d time.Duration) time.Duration {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond)
	case d < 10*time.Second:
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(time.Second)
}

// pauseMarks are the places on a curve where a run went on after a pause.
func pauseMarks(r *Run, o *Options, y []float64) []chartMark {
	var marks []chartMark
	x := stepX(r.Events, o.Against)
	for _, p := range SplitTime(r.Events).Pauses {
		i, _ := slices.BinarySearchFunc(r.Events.Logged, p.Step, func(s train.LoggedStep, step int) int { return cmp.Compare(s.Step, step) })
		if i >= len(y) || resumedAround(r.Events, p.Step) {
			continue
		}
		marks = append(marks, chartMark{
			name: fmt.Sprintf("went on at step %d after %s", p.Step, p.Time.Round(time.Second)), legend: "went on after a pause",
			x: x[i], y: y[i], shape: draw.Triangle, radius: 4.5, paint: draw.Ink,
		})
	}
	return marks
}
