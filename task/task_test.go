package task

import (
	"fmt"
	"slices"
	"testing"

	"github.com/go-bert/bert/data"
)

// simple is an example as the tests write it: line, text, text pair, label.
func simple(e data.Example) string {
	return fmt.Sprintf("%d|%s|%s|%s", e.Source.Line, e.Text, e.TextPair, e.Label)
}

// Each row names parts that its data set has and metrics that its kind has.
func TestRows(t *testing.T) {
	for i := range tasks {
		row := &tasks[i]
		if row.Tables != nil {
			for _, split := range row.EvalSplits() {
				if _, ok := row.Tables[split]; !ok {
					t.Errorf("%s: no table for %s", row.Name, split)
				}
			}
		}
		d := row.Spec([]string{"a", "b"}, 32)
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", row.Name, err)
		}
		all, official := d.MetricNames()
		for _, name := range official {
			if !slices.Contains(all, name) {
				t.Errorf("%s: no metric %s among %v", row.Name, name, all)
			}
		}
	}
}

func TestTasks(t *testing.T) {
	for _, name := range Names() {
		task, err := Lookup(name)
		if err != nil || task.Name != name || task.About == "" {
			t.Errorf("Lookup(%q): %+v, %v", name, task, err)
		}
	}
	_, err := Lookup("imbd")
	wantError(t, err, `task "imbd" is not known: want imdb, text, squad, squad2, cola, sst2`)

	imdb, err := Lookup("imdb")
	if err != nil {
		t.Fatal(err)
	}
	set, err := imdb.Read(t.Context(), "../data/testdata/aclImdb", data.ReadOptions{Split: imdb.EvalSplit})
	if err != nil || len(set.Examples) != 2 {
		t.Errorf("imdb: %+v, %v", set, err)
	}
	if d := imdb.Spec(nil, 128); !slices.Equal(d.Labels, []string{"neg", "pos"}) || d.Positive != "pos" || d.Validate() != nil {
		t.Errorf("imdb: %+v", d)
	}

	_, err = imdb.Read(t.Context(), "../data/testdata/aclImdb", data.ReadOptions{TableOptions: data.TableOptions{Columns: data.Columns{Text: "x"}}})
	wantError(t, err, "the data set is no table")

	text, err := Lookup("text")
	if err != nil {
		t.Fatal(err)
	}
	path := writeFile(t, "a.csv", "review,label\ngood,yes\nbad\n")
	set, err = text.Read(t.Context(), path, data.ReadOptions{TableOptions: data.TableOptions{Columns: data.Columns{Text: "review"}, SkipBad: true}})
	if err != nil || len(set.Examples) != 1 || set.Skipped != 1 {
		t.Errorf("text: %+v, %v", set, err)
	}
	_, err = text.Read(t.Context(), "testdata", data.ReadOptions{})
	wantError(t, err, "testdata: a folder")
	_, err = text.Read(t.Context(), "testdata/none.csv", data.ReadOptions{})
	wantError(t, err, "testdata/none.csv: no such file")
}

// A new sentence task is one row: here one of GLUE's, whose parts have different columns.
func TestTaskOfTables(t *testing.T) {
	dir := t.TempDir()
	labelled := data.TableOptions{Columns: data.Columns{Text: "4", Label: "2", NoHeader: true}}
	row := Task{
		Name: "cola", Labels: []string{"0", "1"}, EvalSplit: data.Dev,
		Layout: data.Layout{Tables: map[data.Split]data.Table{
			data.Train: {File: "train.tsv", TableOptions: labelled}, data.Dev: {File: "dev.tsv", TableOptions: labelled},
			data.Test: {File: "test.tsv", TableOptions: data.TableOptions{Columns: data.Columns{Text: "sentence"}, Unlabelled: true}},
		}},
	}
	write(t, dir+"/dev.tsv", "gj04\t1\t\tgood .\ngj04\t0\t*\tbad .\n")
	write(t, dir+"/train.tsv", "gj04\t2\t\tgood .\n")
	set, err := row.Read(t.Context(), dir, data.ReadOptions{Split: data.Dev})
	if err != nil || len(set.Examples) != 2 || simple(set.Examples[1]) != "2|bad .||0" {
		t.Errorf("%+v, %v", set, err)
	}
	_, err = row.Read(t.Context(), dir, data.ReadOptions{})
	wantError(t, err, `train.tsv:1: label "2" is not one of "0", "1"`)
	write(t, dir+"/test.tsv", "index\tsentence\n0\tfine .\n")
	set, err = row.Read(t.Context(), dir, data.ReadOptions{Split: data.Test})
	if err != nil || len(set.Examples) != 1 || simple(set.Examples[0]) != "2|fine .||" {
		t.Errorf("%+v, %v", set, err)
	}
	_, err = row.Read(t.Context(), dir, data.ReadOptions{Split: "dev_mismatched"})
	wantError(t, err, `the data set has no split "dev_mismatched", want one of dev, test, train`)
	set, err = row.Read(t.Context(), dir+"/dev.tsv", data.ReadOptions{Split: data.Dev, TableOptions: data.TableOptions{Unlabelled: true}})
	if err != nil || simple(set.Examples[0]) != "1|good .||" {
		t.Errorf("%+v, %v", set, err)
	}
}
