package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-bert/bert/internal/atomicfile"
	"github.com/go-bert/bert/metric"
)

// report writes the table of a sweep.
func (s *sweeping) report() error {
	out := s.f.recipe.options.Output
	summary := s.summarize()
	if err := writeJSONFile(filepath.Join(out, sweepResults), summary); err != nil {
		return err
	}
	err := atomicfile.WriteFile(filepath.Join(out, sweepTable), 0o666, func(w io.Writer) error {
		_, err := io.WriteString(w, summary.tsv(s.swept))
		return err
	})
	if err != nil {
		return pathError(err)
	}
	a := s.app
	if !s.f.recipe.out.table(a) {
		err = jsonLine(a.stdout, summary)
	} else {
		err = writeOut(a.stdout, []byte(summary.table(screenOf(a.stdout), s.swept)))
	}
	if err == nil && summary.BestRun != "" {
		a.log.Info("the best run's model is in " + filepath.Join(out, summary.BestRun))
	}
	return err
}

func (s *sweepSummary) tsv(swept []string) string {
	var b strings.Builder
	b.WriteString(strings.Join(append(append([]string{}, swept...), "metric", "runs", "mean", "deviation", "best", "stopped", "failed"), "\t") + "\n")
	for _, r := range s.Rows {
		fields := append(append([]string{}, r.values...), s.Metric, strconv.Itoa(r.Runs),
			rounded(r.Mean, 6), rounded(r.Deviation, 6), rounded(r.Best, 6), strconv.Itoa(r.Stopped), strconv.Itoa(r.Failed))
		b.WriteString(strings.Join(fields, "\t") + "\n")
	}
	return b.String()
}

// rounded is a figure with so many places, or nothing.
func rounded(v *float64, places int) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'f', places, 64)
}

func (s *sweepSummary) table(screen screen, swept []string) string {
	var columns []column
	for _, name := range swept {
		columns = append(columns, column{head: name, right: true})
	}
	columns = append(columns, column{head: "mean", right: true}, column{head: "deviation", right: true}, column{head: "best", right: true},
		column{head: "runs", right: true}, column{head: ""})
	var rows [][]string
	for _, r := range s.Rows {
		var notes []string
		if r.Stopped > 0 {
			notes = append(notes, fmt.Sprintf("%d stopped", r.Stopped))
		}
		if r.Failed > 0 {
			notes = append(notes, fmt.Sprintf("%d failed", r.Failed))
		}
		rows = append(rows, append(append([]string{}, r.values...),
			rounded(r.Mean, 4), rounded(r.Deviation, 4), rounded(r.Best, 4), strconv.Itoa(r.Runs), strings.Join(notes, ", ")))
	}
	return fmt.Sprintf("%s, %s\n\n", s.Task, metric.Label(s.Metric)) + screen.table(columns, rows)
}
