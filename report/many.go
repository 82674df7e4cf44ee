package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/sweep"
)

// sweeps are the runs that are sweeps.
func sweeps(runs []*Run) []*Run {
	return slices.DeleteFunc(slices.Clone(runs), func(r *Run) bool { return len(r.Sweep) == 0 })
}

// metricOf is the metric that a sweep compares.
func metricOf(records []sweep.Record) string {
	for _, r := range records {
		if r.Metric != "" {
			return r.Metric
		}
	}
	return ""
}

// bestOfSweep is the best value of a sweep, and the name of its metric.
func (r *Run) bestOfSweep() (best float64, name string, ok bool) {
	name = metricOf(r.Sweep)
	for _, x := range r.Sweep {
		if x.Value == nil {
			continue
		}
		if v := *x.Value; !ok || v > best && !metric.LessIsBetter(name) || v < best && metric.LessIsBetter(name) {
			best, ok = v, true
		}
	}
	return best, metric.Label(name), ok
}

// compareValues orders settings: numbers by their size, other values by the alphabet.
func compareValues(a, b string) int {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	switch {
	case errX == nil && errY == nil && x < y:
		return -1
	case errX == nil && errY == nil && x > y:
		return 1
	}
	return strings.Compare(a, b)
}

// runValue is what a run of a sweep found, NaN if nothing.
func runValue(r *sweep.Record) float64 {
	if r.Value == nil {
		return math.NaN()
	}
	return *r.Value
}

func runState(r *sweep.Record) RunState {
	switch {
	case r.Failed != "":
		return RunFailed
	case r.Stopped:
		return RunStopped
	}
	return RunEnded
}

// runName names a run by what was varied.
func runName(r *sweep.Record, keys []string) string {
	var parts []string
	for _, key := range keys {
		parts = append(parts, key+" "+r.Settings[key])
	}
	return strings.Join(append(parts, fmt.Sprintf("seed %d", r.Seed)), ", ")
}

// sweepFigures are strips for each setting that varies, parallel coordinates, and what the best of several runs is expected to be.
func sweepFigures(runs []*Run, _ *Options) []*Figure {
	var figures []*Figure
	for _, r := range sweeps(runs) {
		name := metricOf(r.Sweep)
		label := metric.Label(name)
		axes := make(map[string][]string)
		for i := range r.Sweep {
			for key, value := range r.Sweep[i].Settings {
				if !slices.Contains(axes[key], value) {
					axes[key] = append(axes[key], value)
				}
			}
		}
		keys := slices.DeleteFunc(sortedKeys(axes), func(key string) bool { return len(axes[key]) < 2 })
		for _, key := range keys {
			s := Strips{Name: "by-" + key, Title: r.of("Runs by "+key, runs), XTitle: key, YTitle: label, Less: metric.LessIsBetter(name)}
			slices.SortFunc(axes[key], compareValues)
			for _, value := range axes[key] {
				strip := Strip{Name: value}
				for i := range r.Sweep {
					if x := &r.Sweep[i]; x.Settings[key] == value {
						strip.Points = append(strip.Points, StripPoint{runName(x, keys), runValue(x), runState(x)})
					}
				}
				s.Strips = append(s.Strips, strip)
			}
			figures = append(figures, StripsFigure(s))
		}
		for i, row := range keys {
			for _, column := range keys[i+1:] {
				figures = append(figures, pairFigure(r, runs, axes, row, column, label))
			}
		}
		if len(keys) > 1 {
			p := Parallel{Name: "parallel", Title: r.of("Settings and results", runs), Axes: keys, ResultTitle: label}
			for i := range r.Sweep {
				x := &r.Sweep[i]
				run := ParallelRun{Name: runName(x, keys), Result: runValue(x)}
				for _, key := range keys {
					run.Values = append(run.Values, x.Settings[key])
				}
				p.Runs = append(p.Runs, run)
			}
			figures = append(figures, ParallelFigure(p))
			figures = append(figures, effectsFigure(r, runs, keys)...)
		}
		figures = append(figures, expectedFigure(r, runs, name)...)
	}
	return figures
}

// pairFigure is the mean result of each pair of values of two settings.
func pairFigure(r *Run, runs []*Run, axes map[string][]string, row, column, label string) *Figure {
	h := HeatMap{
		Name: "by-" + row + "-and-" + column, Title: r.of("Mean by "+row+" and "+column, runs), RowTitle: row, ColumnTitle: column, ValueTitle: label,
		Rows: axes[row], Columns: axes[column],
	}
	for _, a := range h.Rows {
		values := make([]float64, len(h.Columns))
		for j, b := range h.Columns {
			var strip Strip
			for i := range r.Sweep {
				if x := &r.Sweep[i]; x.Settings[row] == a && x.Settings[column] == b {
					strip.Points = append(strip.Points, StripPoint{Value: runValue(x)})
				}
			}
			values[j], _ = strip.mean() // NaN where there is none
		}
		h.Values = append(h.Values, values)
	}
	return HeatMapFigure(h)
}

// expectedFigure is the expected best of so many runs.
func expectedFigure(r *Run, runs []*Run, name string) []*Figure {
	var values []float64
	for i := range r.Sweep {
		if v := runValue(&r.Sweep[i]); finite(v) {
			values = append(values, v)
		}
	}
	if len(values) < 2 {
		return nil
	}
	less := metric.LessIsBetter(name)
	c := Curve{Name: "expected best " + metric.Label(name), Points: true, Best: -1}
	for b := 1; b <= len(values); b++ {
		c.X, c.Y = append(c.X, float64(b)), append(c.Y, ExpectedBest(values, b, less))
	}
	return []*Figure{CurvesFigure(Curves{
		Name: "expected-best", Title: r.of("What more runs would bring", runs), XTitle: "runs", YTitle: metric.Label(name), Curves: []Curve{c},
		Finding: fmt.Sprintf("The best of one run is expected to have %s, of %d runs %s.", exactlyShort(c.Y[0]), len(values), exactlyShort(c.Y[len(c.Y)-1])),
	})}
}

func exactlyShort(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
