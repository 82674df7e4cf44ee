package glue

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
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/internal/textfile"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/task"
)

// Row is a line of the table: a part of a task.
type Row struct {
	Name    string         `json:"name"` // as the benchmark's table has it
	Task    string         `json:"task"`
	Split   data.Split     `json:"split"`
	Metrics metric.Metrics `json:"metrics"` // the official ones, times 100
	Score   float64        `json:"score"`   // their mean; NaN if one does not exist
}

// Summary is the table, glue_results.json.
type Summary struct {
	Rows []Row `json:"rows"`

	// Score is the mean over Tasks tasks, that of a task being the mean over its parts and metrics, as the benchmark's
	// leaderboard has it; ax isn't among them. Paper is the mean that Devlin et al. 2018 give in table 1: over the columns,
	// the two of mnli being two, without wnli, F1 alone of mrpc and qqp and Spearman's coefficient alone of stsb.
	Tasks        int     `json:"tasks"`
	PaperColumns int     `json:"paper_columns"`
	Score        float64 `json:"score"`
	Paper        float64 `json:"paper_average"`
}

func (s *Suite) summarize() *Summary {
	var out Summary
	for _, m := range s.tasks {
		sum := 0.0
		for _, p := range m.parts {
			row := Row{Name: partName(m.row, p.Split), Task: m.row.Name, Split: p.Split, Score: 100 * p.score()}
			for _, name := range p.Official {
				row.Metrics = append(row.Metrics, metric.Metric{Name: name, Value: 100 * value(p.Metrics, name)})
			}
			out.Rows = append(out.Rows, row)
			sum += row.Score
			if m.row.Name == "wnli" || m.untrained() {
				continue
			}
			column := p.Official[0]
			if m.row.Kind == task.Regression {
				column = "spearman"
			}
			out.Paper += 100 * value(p.Metrics, column)
			out.PaperColumns++
		}
		if len(m.parts) > 0 && !m.untrained() {
			out.Score += sum / float64(len(m.parts))
			out.Tasks++
		}
	}
	out.Score /= float64(out.Tasks)
	out.Paper /= float64(out.PaperColumns)
	return &out
}

// partName is what the benchmark calls a part: CoLA, MNLI-m, MNLI-mm.
func partName(row *task.Task, split data.Split) string {
	for _, s := range Submissions(row.Name) {
		if strings.TrimPrefix(string(s), "test") == strings.TrimPrefix(string(split), "dev") {
			return strings.TrimSuffix(SubmissionFile(row.Name, s), ".tsv")
		}
	}
	return row.Name
}

// MarshalJSON writes null for a mean that doesn't exist.
func (s Summary) MarshalJSON() ([]byte, error) {
	type plain Summary
	return json.Marshal(struct {
		plain
		Score *float64 `json:"score"`
		Paper *float64 `json:"paper_average"`
	}{plain(s), existing(s.Score), existing(s.Paper)})
}

// MarshalJSON writes null for a score that doesn't exist.
func (r Row) MarshalJSON() ([]byte, error) {
	type plain Row
	return json.Marshal(struct {
		plain
		Score *float64 `json:"score"`
	}{plain(r), existing(r.Score)})
}

// existing is nil for a number that JSON can't hold.
func existing(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// report writes the table and the submission.
func (s *Suite) report() (*Summary, error) {
	dir := s.options.Output
	summary := s.summarize()
	if err := jsonobject.Save(filepath.Join(dir, ResultsFile), summary); err != nil {
		return nil, err
	}
	if err := textfile.Save(filepath.Join(dir, TableFile), summary.tsv()); err != nil {
		return nil, err
	}
	return summary, s.pack(filepath.Join(dir, SubmissionsZIP))
}

// tsv is glue_results.tsv.
func (s *Summary) tsv() string {
	var b strings.Builder
	b.WriteString("task\tsplit\tmetric\tvalue\n")
	for _, r := range s.Rows {
		for _, m := range r.Metrics {
			fmt.Fprintf(&b, "%s\t%s\t%s\t%.4f\n", r.Task, r.Split, m.Name, m.Value)
		}
	}
	fmt.Fprintf(&b, "score\t%d tasks\tmean\t%.4f\n", s.Tasks, s.Score)
	return b.String()
}

// pack puts the predictions into one zip, as the benchmark's server takes them.
func (s *Suite) pack(path string) error {
	e := Packed{File: path}
	for _, m := range s.tasks {
		e.Files = append(e.Files, m.files...)
	}
	if len(e.Files) == 0 {
		return nil
	}
	for _, name := range Tasks() {
		for _, split := range Submissions(name) {
			file := SubmissionFile(name, split)
			if !slices.ContainsFunc(e.Files, func(path string) bool { return filepath.Base(path) == file }) {
				e.Missing = append(e.Missing, file)
			}
		}
	}
	err := files.WriteFile(path, 0o666, func(w io.Writer) error {
		z := zip.NewWriter(w)
		for _, file := range e.Files {
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
		return files.PathError(err)
	}
	s.observe(e)
	return nil
}
