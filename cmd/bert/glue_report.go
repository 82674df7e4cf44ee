package main

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/glue"
	"github.com/go-bert/bert/internal/atomicfile"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/task"
)

// glueRow is a line of the table: a part of a task.
type glueRow struct {
	Name    string         `json:"name"` // as the benchmark's table has it
	Task    string         `json:"task"`
	Split   data.Split     `json:"split"`
	Metrics metric.Metrics `json:"metrics"` // the official ones, times 100
	Score   float64        `json:"score"`   // their mean
}

// glueSummary is the table.
type glueSummary struct {
	Rows []glueRow `json:"rows"`
	// Score is the mean over Tasks tasks, that of a task being the mean over its parts and metrics, as the benchmark's
	// leaderboard has it; ax isn't among them. Paper is the mean that Devlin et al. 2018 give in table 1: over the columns,
	// the two of mnli being two, without wnli, F1 alone of mrpc and qqp and Spearman's coefficient alone of stsb.
	Score        float64 `json:"score"`
	Tasks        int     `json:"tasks"`
	Paper        float64 `json:"paper_average"`
	PaperColumns int     `json:"paper_columns"`
}

func summarize(tasks []*glueTask) glueSummary {
	var s glueSummary
	for _, t := range tasks {
		sum := 0.0
		for _, p := range t.parts {
			row := glueRow{Name: partName(t.row, p.Split), Task: t.row.Name, Split: p.Split, Score: 100 * p.score()}
			for _, name := range p.Official {
				row.Metrics = append(row.Metrics, metric.Metric{Name: name, Value: 100 * metricOf(p.Metrics, name)})
			}
			s.Rows = append(s.Rows, row)
			sum += row.Score
			if t.row.Name == "wnli" || t.untrained() {
				continue
			}
			column := p.Official[0]
			if t.row.Kind == task.Regression {
				column = "spearman"
			}
			s.Paper += 100 * metricOf(p.Metrics, column)
			s.PaperColumns++
		}
		if len(t.parts) > 0 && !t.untrained() {
			s.Score += sum / float64(len(t.parts))
			s.Tasks++
		}
	}
	s.Score /= float64(s.Tasks)
	s.Paper /= float64(s.PaperColumns)
	return s
}

// partName is what the benchmark calls a part: CoLA, MNLI-m, MNLI-mm.
func partName(row *task.Task, split data.Split) string {
	for _, s := range glue.Submissions(row.Name) {
		if strings.TrimPrefix(string(s), "test") == strings.TrimPrefix(string(split), "dev") {
			return strings.TrimSuffix(glue.SubmissionFile(row.Name, s), ".tsv")
		}
	}
	return row.Name
}

// MarshalJSON writes null for a mean that doesn't exist.
func (s glueSummary) MarshalJSON() ([]byte, error) {
	type plain glueSummary
	return json.Marshal(struct {
		plain
		Score *float64 `json:"score"`
		Paper *float64 `json:"paper_average"`
	}{plain(s), existing(s.Score), existing(s.Paper)})
}

// MarshalJSON writes null for a score that doesn't exist.
func (r glueRow) MarshalJSON() ([]byte, error) {
	type plain glueRow
	return json.Marshal(struct {
		plain
		Score *float64 `json:"score"`
	}{plain(r), existing(r.Score)})
}

// existing is nil for a number that JSON has not.
func existing(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// glueReport writes the table and the submission.
func (a *app) glueReport(f *glueFlags, tasks []*glueTask) error {
	dir := f.recipe.options.Output
	s := summarize(tasks)
	if err := writeJSONFile(filepath.Join(dir, glueResults), s); err != nil {
		return err
	}
	var tsv strings.Builder
	tsv.WriteString("task\tsplit\tmetric\tvalue\n")
	for _, r := range s.Rows {
		for _, m := range r.Metrics {
			fmt.Fprintf(&tsv, "%s\t%s\t%s\t%.4f\n", r.Task, r.Split, m.Name, m.Value)
		}
	}
	fmt.Fprintf(&tsv, "score\t%d tasks\tmean\t%.4f\n", s.Tasks, s.Score)
	err := atomicfile.WriteFile(filepath.Join(dir, glueTable), 0o666, func(w io.Writer) error {
		_, err := io.WriteString(w, tsv.String())
		return err
	})
	if err != nil {
		return pathError(err)
	}
	if err := a.packSubmission(filepath.Join(dir, glueSubmission), tasks); err != nil {
		return err
	}
	if !f.out.table(a) {
		return jsonLine(a.stdout, s)
	}
	return writeOut(a.stdout, []byte(s.table(screenOf(a.stdout))))
}

func (s *glueSummary) table(screen screen) string {
	var rows [][]string
	for _, r := range s.Rows {
		var figures []string
		for _, m := range r.Metrics {
			figures = append(figures, fmt.Sprintf("%s %.1f", metric.Label(m.Name), m.Value))
		}
		rows = append(rows, []string{r.Name, fmt.Sprintf("%.1f", r.Score), strings.Join(figures, ", ")})
	}
	out := screen.table([]column{{head: "task"}, {head: "score", right: true}, {head: "metrics"}}, rows)
	if s.Tasks > 0 {
		out += fmt.Sprintf("\nGLUE score of %s: %.1f (with the columns of Devlin et al. 2018: %.1f)\n", count(s.Tasks, "task"), s.Score, s.Paper)
	}
	return out
}

// packSubmission puts the predictions into one zip, as the benchmark's server takes them.
func (a *app) packSubmission(path string, tasks []*glueTask) error {
	var (
		files   []string
		missing []string
	)
	for _, t := range tasks {
		files = append(files, t.files...)
	}
	for _, name := range glue.Tasks() {
		row, err := task.Lookup(name)
		if err != nil {
			return err
		}
		for _, split := range glue.Submissions(row.Name) {
			file := glue.SubmissionFile(row.Name, split)
			if !slices.ContainsFunc(files, func(path string) bool { return filepath.Base(path) == file }) {
				missing = append(missing, file)
			}
		}
	}
	if len(files) == 0 {
		return nil
	}
	err := atomicfile.WriteFile(path, 0o666, func(w io.Writer) error {
		z := zip.NewWriter(w)
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			entry, err := z.Create(filepath.Base(file))
			if err != nil {
				return err
			}
			if _, err := entry.Write(data); err != nil {
				return err
			}
		}
		return z.Close()
	})
	if err != nil {
		return pathError(err)
	}
	line := fmt.Sprintf("%s in %s", count(len(files), "file"), path)
	if len(missing) > 0 {
		line += "; the benchmark's server also wants " + strings.Join(missing, ", ")
	}
	a.log.Info(line)
	return nil
}
