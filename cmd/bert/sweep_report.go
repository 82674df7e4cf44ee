package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert/sweep"
	"github.com/go-bert/bert/task"
)

// figure is a number with four places, NaN if there is none.
func figure(v *float64) string {
	if v == nil {
		return "NaN"
	}
	return strconv.FormatFloat(*v, 'f', 4, 64)
}

// sweepTable draws the table of a sweep.
func sweepTable(screen screen, s *sweep.Summary) string {
	var columns []column
	for _, name := range s.Names {
		columns = append(columns, column{head: name, right: true})
	}
	columns = append(columns, column{head: "mean", right: true}, column{head: "deviation", right: true}, column{head: "best", right: true},
		column{head: "runs", right: true}, column{head: ""})
	cell := func(v *float64) string {
		if v == nil {
			return ""
		}
		return figure(v)
	}
	var rows [][]string
	for _, r := range s.Rows {
		var notes []string
		if r.Stopped > 0 {
			notes = append(notes, fmt.Sprintf("%d stopped", r.Stopped))
		}
		if r.Failed > 0 {
			notes = append(notes, fmt.Sprintf("%d failed", r.Failed))
		}
		rows = append(rows, append(slices.Clone(r.Values),
			cell(r.Mean), cell(r.Deviation), cell(r.Best), strconv.Itoa(r.Runs), strings.Join(notes, ", ")))
	}
	return fmt.Sprintf("%s, %s\n\n", s.Task, task.MetricLabel(s.Metric)) + screen.table(columns, rows)
}
