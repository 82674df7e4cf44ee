package glue

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/task"
)

// categories counts labels and predictions by what examples have in fields: of each field all examples that have anything, then the
// names, in the order of the alphabet. An example with several names, between semicolons, counts for each.
func categories(fields []string, examples []data.Example, r *task.ClassReport) ([]Category, error) {
	var out []Category
	for k, field := range fields {
		var (
			whole  = Category{Field: field, Confusion: newMatrix(len(r.Labels))}
			byName = make(map[string]*Category)
			names  []string
		)
		for i := range examples {
			if k >= len(examples[i].Fields) {
				continue
			}
			label, err := data.LabelID(examples[i].Label, r.Labels)
			if err != nil {
				return nil, err
			}
			said, some := r.Predictions[i], false
			var seen []string
			for name := range strings.SplitSeq(examples[i].Fields[k], ";") {
				name = strings.TrimSpace(name)
				if name == "" || slices.Contains(seen, name) {
					continue
				}
				seen, some = append(seen, name), true
				c := byName[name]
				if c == nil {
					c = &Category{Field: field, Name: name, Confusion: newMatrix(len(r.Labels))}
					byName[name], names = c, append(names, name)
				}
				c.Confusion[label][said]++
			}
			if some {
				whole.Confusion[label][said]++
			}
		}
		if len(names) == 0 {
			continue
		}
		out = append(out, whole)
		slices.Sort(names)
		for _, name := range names {
			out = append(out, *byName[name])
		}
	}
	return out, nil
}

func newMatrix(n int) metric.ConfusionMatrix {
	m := make(metric.ConfusionMatrix, n)
	for i := range m {
		m[i] = make([]int, n)
	}
	return m
}

// ReadParts reads ScoresFile from the folder of a task. Where it isn't there the error is an fs.ErrNotExist.
func ReadParts(dir string) ([]Part, error) {
	path := filepath.Join(dir, ScoresFile)
	content, err := files.ReadFile(path, mostScoreBytes)
	if err != nil {
		return nil, err
	}
	parts, err := parseParts(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return parts, nil
}

// parseParts reads the content of ScoresFile.
func parseParts(content []byte) ([]Part, error) {
	var parts []Part
	if err := json.Unmarshal(content, &parts); err != nil {
		return nil, err
	}
	for i := range parts {
		p := &parts[i]
		if len(p.Official) == 0 {
			return nil, fmt.Errorf("part %q has no official metrics", p.Split)
		}
		err := checkMatrix(p.Confusion, len(p.Labels))
		for _, c := range p.Categories {
			if err == nil {
				err = checkMatrix(c.Confusion, len(p.Labels))
			}
		}
		if err != nil {
			return nil, fmt.Errorf("part %q: %w", p.Split, err)
		}
	}
	return parts, nil
}

// checkMatrix reports a matrix that isn't one of so many labels.
func checkMatrix(m metric.ConfusionMatrix, labels int) error {
	if len(m) != labels {
		return fmt.Errorf("a confusion matrix of %d rows, want %d as there are labels", len(m), labels)
	}
	for _, row := range m {
		if len(row) != labels {
			return fmt.Errorf("a confusion matrix with a row of %d, want %d as there are labels", len(row), labels)
		}
		for _, n := range row {
			if n < 0 {
				return errors.New("a confusion matrix with a negative number")
			}
		}
	}
	return nil
}
