package sweep

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert/task"
)

// Summary is sweep_results.json.
type Summary struct {
	Task    string   `json:"task"`
	Metric  string   `json:"metric"`
	Rows    []Row    `json:"settings"` // the best mean first
	BestRun string   `json:"best_run,omitempty"`
	Runs    []Record `json:"runs"`
	// Names are those of what varies, in the order of Row.Values.
	Names []string `json:"-"`
}

// Row is a setting with what its runs found.
type Row struct {
	Settings  map[string]string `json:"settings"`
	Runs      int               `json:"runs"` // with a value
	Mean      *float64          `json:"mean"`
	Deviation *float64          `json:"deviation"` // of a sample: with n−1; null of a single run
	Best      *float64          `json:"best"`
	Stopped   int               `json:"stopped,omitempty"` // by the median rule
	Failed    int               `json:"failed,omitempty"`
	Values    []string          `json:"-"`
}

// better says whether a is the better value of the sweep's metric. None is worse than any.
func (s *Sweep) better(a, b *float64) bool {
	switch {
	case a == nil || b == nil:
		return a != nil && b == nil
	case task.LessIsBetter(s.metric):
		return *a < *b
	}
	return *a > *b
}

// best is the best run of those that have ended, the first of equals; nil: none has a value.
func (s *Sweep) best(runs []*Run) *Run {
	var best *Run
	for _, r := range runs {
		if r.record.Finished && r.record.Value != nil && (best == nil || s.better(r.record.Value, best.record.Value)) {
			best = r
		}
	}
	return best
}

func (s *Sweep) summarize() *Summary {
	out := &Summary{Task: s.recipe.Task, Metric: s.metric}
	for _, axis := range s.recipe.Axes {
		out.Names = append(out.Names, settingName(axis.Key))
	}
	for runs := range slices.Chunk(s.runs, s.recipe.Seeds) {
		row := Row{Settings: runs[0].record.Settings, Values: runs[0].Values}
		var values []float64
		for _, r := range runs {
			record := r.record
			record.Flags = nil // they are in the run's own file
			out.Runs = append(out.Runs, record)
			if r.record.Value != nil {
				values = append(values, *r.record.Value)
			}
			if r.record.Stopped {
				row.Stopped++
			}
			if r.record.Failed != "" {
				row.Failed++
			}
		}
		row.Runs = len(values)
		mean, deviation := meanDeviation(values)
		row.Mean, row.Deviation = existing(mean), existing(deviation)
		if best := s.best(runs); best != nil {
			row.Best = best.record.Value
		}
		out.Rows = append(out.Rows, row)
	}
	slices.SortStableFunc(out.Rows, func(a, b Row) int {
		switch {
		case s.better(a.Mean, b.Mean):
			return -1
		case s.better(b.Mean, a.Mean):
			return 1
		}
		return 0
	})
	if best := s.best(s.runs); best != nil {
		out.BestRun = best.Name
	}
	return out
}

// meanDeviation is the mean of values and the standard deviation of what they are a sample of; NaN where there is none.
func meanDeviation(values []float64) (mean, deviation float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	if len(values) == 0 {
		mean = math.NaN()
	}
	if len(values) < 2 {
		return mean, math.NaN()
	}
	squares := 0.0
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(squares / (n - 1))
}

// tsv is sweep_results.tsv.
func (s *Summary) tsv() string {
	var b strings.Builder
	b.WriteString(strings.Join(append(slices.Clone(s.Names), "metric", "runs", "mean", "deviation", "best", "stopped", "failed"), "\t") + "\n")
	for _, r := range s.Rows {
		fields := append(slices.Clone(r.Values), s.Metric, strconv.Itoa(r.Runs),
			rounded(r.Mean), rounded(r.Deviation), rounded(r.Best), strconv.Itoa(r.Stopped), strconv.Itoa(r.Failed))
		b.WriteString(strings.Join(fields, "\t") + "\n")
	}
	return b.String()
}

// rounded is a figure with six places, or nothing.
func rounded(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'f', 6, 64)
}
