package task

import (
	"fmt"
	"slices"
	"testing"
)

func TestLabelsOf(t *testing.T) {
	labelled := func(labels ...string) []Example {
		var examples []Example
		for i, l := range labels {
			examples = append(examples, Example{Label: l, Source: Source{File: "a.csv", Line: i + 2}})
		}
		return examples
	}
	for _, c := range []struct{ labels, want []string }{
		{[]string{"pos", "neg", "pos"}, []string{"neg", "pos"}},
		{[]string{"10", "9", "-1", "9"}, []string{"-1", "9", "10"}},
		{[]string{"1", "01"}, []string{"01", "1"}},
		{[]string{"10", "9", "x"}, []string{"10", "9", "x"}},
	} {
		got, err := LabelsOf(labelled(c.labels...))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("labels of %q: %q, %v; want %q", c.labels, got, err, c.want)
		}
	}
	_, err := LabelsOf(labelled(slices.Repeat([]string{"pos"}, 5000)...))
	wantError(t, err, `all 5,000 examples have the label "pos": a classifier needs two`)
	_, err = LabelsOf(labelled("pos", ""))
	wantError(t, err, "a.csv:3: no label")
	_, err = LabelsOf(nil)
	wantError(t, err, "no examples")

	known := []string{"neg", "pos"}
	if err := CheckLabels(labelled("pos", "neg"), known); err != nil {
		t.Error(err)
	}
	wantError(t, CheckLabels(labelled("pos", "Pos"), known), `a.csv:3: label "Pos" is not one of "neg", "pos"`)
	var many []string
	for i := range 500 {
		many = append(many, fmt.Sprint("label", i))
	}
	wantError(t, CheckLabels(labelled("pos"), many), `"label19" and 480 more`)
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 25000: "25,000", -1234567: "-1,234,567", -100: "-100"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) is %s, want %s", n, got, want)
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
	data, err := imdb.Read("testdata/aclImdb", ReadOptions{Split: imdb.EvalSplit})
	if err != nil || len(data.Examples) != 2 {
		t.Errorf("imdb: %+v, %v", data, err)
	}
	if d := imdb.Describe(nil, 128); !slices.Equal(d.Labels, []string{"neg", "pos"}) || d.Positive != "pos" || d.Validate() != nil {
		t.Errorf("imdb: %+v", d)
	}

	_, err = imdb.Read("testdata/aclImdb", ReadOptions{TableOptions: TableOptions{Columns: Columns{Text: "x"}}})
	wantError(t, err, "task imdb is no table")

	text, err := Lookup("text")
	if err != nil {
		t.Fatal(err)
	}
	path := writeFile(t, "a.csv", "review,label\ngood,yes\nbad\n")
	data, err = text.Read(path, ReadOptions{TableOptions: TableOptions{Columns: Columns{Text: "review"}, SkipBad: true}})
	if err != nil || len(data.Examples) != 1 || data.Skipped != 1 {
		t.Errorf("text: %+v, %v", data, err)
	}
	_, err = text.Read("testdata", ReadOptions{})
	wantError(t, err, "testdata: a folder")
	_, err = text.Read("testdata/none.csv", ReadOptions{})
	wantError(t, err, "testdata/none.csv: no such file")
}

// A new sentence task is one row: here one of GLUE's, whose parts have different columns.
func TestTaskOfTables(t *testing.T) {
	dir := t.TempDir()
	labelled := TableOptions{Columns: Columns{Text: "4", Label: "2", NoHeader: true}}
	row := Task{
		Name: "cola", Labels: []string{"0", "1"}, EvalSplit: Dev,
		Tables: map[Split]Table{
			Train: {File: "train.tsv", TableOptions: labelled}, Dev: {File: "dev.tsv", TableOptions: labelled},
			Test: {File: "test.tsv", TableOptions: TableOptions{Columns: Columns{Text: "sentence"}, Unlabelled: true}},
		},
	}
	write(t, dir+"/dev.tsv", "gj04\t1\t\tgood .\ngj04\t0\t*\tbad .\n")
	write(t, dir+"/train.tsv", "gj04\t2\t\tgood .\n")
	data, err := row.Read(dir, ReadOptions{Split: Dev})
	if err != nil || len(data.Examples) != 2 || simple(data.Examples[1]) != "2|bad .||0" {
		t.Errorf("%+v, %v", data, err)
	}
	_, err = row.Read(dir, ReadOptions{})
	wantError(t, err, `train.tsv:1: label "2" is not one of "0", "1"`)
	write(t, dir+"/test.tsv", "index\tsentence\n0\tfine .\n")
	data, err = row.Read(dir, ReadOptions{Split: Test})
	if err != nil || len(data.Examples) != 1 || simple(data.Examples[0]) != "2|fine .||" {
		t.Errorf("%+v, %v", data, err)
	}
	_, err = row.Read(dir, ReadOptions{Split: "dev_mismatched"})
	wantError(t, err, `task cola has no split "dev_mismatched"`)
	data, err = row.Read(dir+"/dev.tsv", ReadOptions{Split: Dev, TableOptions: TableOptions{Unlabelled: true}})
	if err != nil || simple(data.Examples[0]) != "1|good .||" {
		t.Errorf("%+v, %v", data, err)
	}
}
