package main

import (
	"fmt"
	"strings"

	"github.com/go-bert/bert/glue"
	"github.com/go-bert/bert/task"
)

// glueTable draws the benchmark's table.
func glueTable(screen screen, s *glue.Summary) string {
	var rows [][]string
	for _, r := range s.Rows {
		var figures []string
		for _, m := range r.Metrics {
			figures = append(figures, fmt.Sprintf("%s %.1f", task.MetricLabel(m.Name), m.Value))
		}
		rows = append(rows, []string{r.Name, fmt.Sprintf("%.1f", r.Score), strings.Join(figures, ", ")})
	}
	out := screen.table([]column{{head: "task"}, {head: "score", right: true}, {head: "metrics"}}, rows)
	if s.Tasks > 0 {
		out += fmt.Sprintf("\nGLUE score of %s: %.1f (with the columns of Devlin et al. 2018: %.1f)\n", count(s.Tasks, "task"), s.Score, s.Paper)
	}
	return out
}
