package task

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// conllPredictions is the name of the file with the predictions of a task that labels words.
const conllPredictions = "predictions.txt"

// Submission is the name of the file in which the benchmark's scorer takes the predictions of a part of this task's data:
// GLUE's server, or for words conlleval. It is "" where there is none.
func (t *Task) Submission(split Split) string {
	if t.Kind == TokenClassification {
		return conllPredictions
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

// WriteSubmission writes the predictions of examples as the benchmark's scorer takes them. For GLUE's server that is a
// header, and for each example its number from 0 and the label or, with three places and within the task's bounds, the
// number; for conlleval, see WriteCoNLL.
func (t *Task) WriteSubmission(w io.Writer, examples []Example, predictions []Prediction) error {
	if t.Kind == TokenClassification {
		return WriteCoNLL(w, examples, predictions)
	}
	if t.glue == nil {
		return fmt.Errorf("task %s is none of GLUE's", t.Name)
	}
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
