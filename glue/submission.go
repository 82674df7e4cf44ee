package glue

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/task"
)

// submission is how the benchmark's server takes the predictions of a task.
type submission struct {
	task string
	// files are the names of the predictions of the parts without labels.
	files map[data.Split]string
	// least and most bound the numbers of a regression; both 0: it is none.
	least, most float64
}

// submissions has a row for each task, in the benchmark's order.
var submissions = []submission{
	{task: "cola", files: map[data.Split]string{data.Test: "CoLA.tsv"}},
	{task: "sst2", files: map[data.Split]string{data.Test: "SST-2.tsv"}},
	{task: "mrpc", files: map[data.Split]string{data.Test: "MRPC.tsv"}},
	{task: "stsb", files: map[data.Split]string{data.Test: "STS-B.tsv"}, most: 5},
	{task: "qqp", files: map[data.Split]string{data.Test: "QQP.tsv"}},
	{task: "mnli", files: map[data.Split]string{data.TestMatched: "MNLI-m.tsv", data.TestMismatched: "MNLI-mm.tsv"}},
	{task: "qnli", files: map[data.Split]string{data.Test: "QNLI.tsv"}},
	{task: "rte", files: map[data.Split]string{data.Test: "RTE.tsv"}},
	{task: "wnli", files: map[data.Split]string{data.Test: "WNLI.tsv"}},
	{task: "ax", files: map[data.Split]string{data.Test: "AX.tsv"}},
}

// Tasks are the names of the benchmark's tasks in its order. The last is ax, which has no training data: a model of mnli
// answers it.
func Tasks() []string {
	names := make([]string, len(submissions))
	for i, s := range submissions {
		names[i] = s.task
	}
	return names
}

// of is the row of a task, an empty one for a task of something else.
func of(name string) submission {
	i := slices.IndexFunc(submissions, func(s submission) bool { return s.task == name })
	if i < 0 {
		return submission{}
	}
	return submissions[i]
}

// SubmissionFile is the name of the file in which the benchmark's server takes the predictions of a part of a task's data; ""
// where it takes none.
func SubmissionFile(name string, split data.Split) string { return of(name).files[split] }

// Submissions lists the parts of a task's data that the benchmark's server takes predictions of.
func Submissions(name string) []data.Split { return slices.Sorted(maps.Keys(of(name).files)) }

// SavePredictions writes the predictions of a part of a task's data into dir, as the benchmark's server takes them: a header, and for
// each example its number from 0 and the label or, with three places and within the task's bounds, the number. It returns the
// path of the file, which is whole or not there.
func SavePredictions(dir, name string, split data.Split, predictions []task.Prediction) (string, error) {
	s := of(name)
	file := s.files[split]
	if file == "" {
		return "", fmt.Errorf("GLUE takes no predictions of task %s, part %q", name, split)
	}
	path := filepath.Join(dir, file)
	return path, files.PathError(files.WriteFile(path, 0o666, func(w io.Writer) error { return s.write(w, predictions) }))
}

func (s *submission) write(w io.Writer, predictions []task.Prediction) error {
	b := bufio.NewWriter(w)
	fmt.Fprint(b, "index\tprediction\n")
	for i, p := range predictions {
		answer := p.Label
		if p.Value != nil {
			v := *p.Value
			if s.most > s.least {
				v = max(s.least, min(s.most, v))
			}
			answer = strconv.FormatFloat(v, 'f', 3, 64)
		}
		fmt.Fprintf(b, "%d\t%s\n", i, answer)
	}
	return b.Flush()
}
