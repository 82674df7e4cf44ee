package glue

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/task"
)

// The server takes predictions of parts without labels of tasks that there are.
func TestSubmissions(t *testing.T) {
	for _, name := range Tasks() {
		row, err := task.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(Submissions(name)) == 0 {
			t.Errorf("%s: no submission", name)
		}
		for _, split := range Submissions(name) {
			if _, ok := row.Tables[split]; !ok || !row.Unlabelled(split) || SubmissionFile(name, split) == "" {
				t.Errorf("%s: %s is no part without labels", name, split)
			}
		}
	}
	if SubmissionFile("imdb", data.Test) != "" || Submissions("imdb") != nil || SubmissionFile("cola", data.Dev) != "" {
		t.Error("a submission of imdb, or of labelled data")
	}
}

func TestSavePredictions(t *testing.T) {
	dir := t.TempDir()
	one, six := 1.23456, 6.0
	for name, c := range map[string]struct {
		split       data.Split
		predictions []task.Prediction
		file, want  string
	}{
		"mnli": {
			data.TestMismatched, []task.Prediction{{Label: "neutral"}, {Label: "entailment"}},
			"MNLI-mm.tsv", "index\tprediction\n0\tneutral\n1\tentailment\n",
		},
		"stsb": {data.Test, []task.Prediction{{Value: &one}, {Value: &six}}, "STS-B.tsv", "index\tprediction\n0\t1.235\n1\t5.000\n"},
	} {
		path, err := SavePredictions(dir, name, c.split, c.predictions)
		if err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(written) != c.want || path != filepath.Join(dir, c.file) {
			t.Errorf("%s: %q, want %q in %s", path, written, c.want, c.file)
		}
	}
	if _, err := SavePredictions(dir, "cola", data.Dev, nil); err == nil {
		t.Error("predictions of labelled data")
	}
	if names := Tasks(); len(names) != 10 || !slices.Contains(names, "ax") {
		t.Errorf("tasks %v", names)
	}
}
