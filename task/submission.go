package task

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// scored is a codec whose kind has a scorer of its own, which takes predictions from files.
type scored interface {
	file() string // the name of the main one
	save(dir string, examples []Example, predictions []Prediction) error
}

// Submission is the name of the file in which the benchmark's scorer takes the predictions of a part of this task's data:
// GLUE's server, for words conlleval, for questions SQuAD's scripts. It is "" where there is none.
func (t *Task) Submission(split Split) string {
	if s, ok := kinds[t.Kind].codec.(scored); ok {
		return s.file()
	}
	if t.glue == nil {
		return ""
	}
	return t.glue.files[split]
}

// Submissions lists the parts of this task's data that GLUE's server takes predictions of.
func (t *Task) Submissions() []Split {
	if t.glue == nil {
		return nil
	}
	return sortedSplits(t.glue.files)
}

// EvalSplits lists the parts of the task's data to evaluate on: of mnli two, of others the one that EvalSplit is.
func (t *Task) EvalSplits() []Split {
	if _, ok := t.Tables[DevMismatched]; ok {
		return []Split{DevMatched, DevMismatched}
	}
	return []Split{t.EvalSplit}
}

// SavePredictions writes the predictions of examples, a part of the task's data, into dir as the benchmark's scorer takes them
// (WriteCoNLL, SaveAnswers; for GLUE's server a header, and for each example its number from 0 and the label or, with three
// places and within the task's bounds, the number), and returns the path of the file that Submission names.
func (t *Task) SavePredictions(dir string, split Split, examples []Example, predictions []Prediction) (string, error) {
	name := t.Submission(split)
	if name == "" {
		return "", fmt.Errorf("task %s has no form for predictions of its part %q", t.Name, split)
	}
	path := filepath.Join(dir, name)
	if s, ok := kinds[t.Kind].codec.(scored); ok {
		return path, s.save(dir, examples, predictions)
	}
	return path, saveFile(path, func(w io.Writer) error { return t.writeGLUE(w, predictions) })
}

func (t *Task) writeGLUE(w io.Writer, predictions []Prediction) error {
	b := bufio.NewWriter(w)
	fmt.Fprint(b, "index\tprediction\n")
	for i, p := range predictions {
		answer := p.Label
		if p.Value != nil {
			v := *p.Value
			if t.glue.most > t.glue.least {
				v = max(t.glue.least, min(t.glue.most, v))
			}
			answer = strconv.FormatFloat(v, 'f', 3, 64)
		}
		fmt.Fprintf(b, "%d\t%s\n", i, answer)
	}
	return b.Flush()
}

// Folder is where the task stands in a folder of GLUE's tasks, each in its own; "" where it isn't there.
func (t *Task) Folder(dir string) string {
	if t.glue == nil {
		return ""
	}
	for _, name := range t.glue.folders {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return path
		}
	}
	return ""
}

// Has says whether there is a file of a part in the task's folder.
func (t *Task) Has(folder string, split Split) bool {
	table, ok := t.Tables[split]
	if !ok {
		return false
	}
	_, err := os.Stat(table.in(folder).File)
	return err == nil
}

// GLUETasks are the names of the tasks of GLUE in the benchmark's order; the last is ax, which has no training data and is
// answered by a model of mnli.
func GLUETasks() []string {
	var names []string
	for _, t := range glueTasks {
		names = append(names, t.Name)
	}
	return names
}
