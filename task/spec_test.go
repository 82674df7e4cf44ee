package task

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/tokenizer"
)

func TestSpec(t *testing.T) {
	dir := t.TempDir()
	want := Spec{
		Task: "text", Kind: MultiLabel, Labels: []string{"<&>", "„b“"}, Positive: "<&>", MaxSeqLength: 64,
		Truncation: tokenizer.OnlySecond, TruncateLeft: true, Long: Windows, DocStride: 20, Official: []string{"macro_f1"},
		Columns: data.Columns{Text: "3", Label: "1", NoHeader: true},
		Metrics: metric.Metrics{{Name: "z", Value: 0.25}, {Name: "a", Value: 1e-9}, {Name: "loss", Value: math.Inf(1)}},
	}
	if err := want.Save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := LoadSpec(dir)
	if err != nil {
		t.Fatal(err)
	}
	if loss := value(t, got.Metrics, "loss"); !math.IsNaN(loss) {
		t.Errorf("an infinite loss is read back as %v", loss)
	}
	want.Metrics[2].Value, got.Metrics[2].Value = 0, 0
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read\n\t%+v\nwant\n\t%+v", got, want)
	}

	_, err = LoadSpec(filepath.Join(dir, "none"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no task.json: %v", err)
	}
	bad := want
	bad.Labels = nil
	wantError(t, bad.Save(dir), "labels is empty")
	wantError(t, want.Save(filepath.Join(dir, "none")), filepath.Join("none", "task.json")+": no such file")
}

func TestSpecDefaults(t *testing.T) {
	var d Spec
	if err := json.Unmarshal([]byte(`{"task": "imdb", "labels": ["neg", "pos"], "max_seq_length": 128}`), &d); err != nil {
		t.Fatal(err)
	}
	if d.Truncation != tokenizer.LongestFirst || d.TruncateLeft || d.Positive != "" || d.Columns != (data.Columns{}) || d.Metrics != nil {
		t.Errorf("%+v", d)
	}
}

func TestSpecErrors(t *testing.T) {
	const good = `"task": "t", "labels": ["a", "b"], "max_seq_length": 8`
	for content, want := range map[string]string{
		``:                             "not JSON: it ends too early",
		`[]`:                           "not a JSON object",
		`{}`:                           "task is empty",
		`{` + good + `} x`:             "something follows",
		`{` + good + `, "label": []}`:  `key "label" is not known`,
		`{` + good + `, "task": "u"}`:  `key "task" twice`,
		`{"task": 1}`:                  `task is "1", want a string`,
		`{"task": "t", "labels": "a"}`: `labels is "\"a\"", want a list of strings`,
		`{"task": "t", "labels": ["a", null], "max_seq_length": 8}`:                             "labels: number 2 is empty",
		`{"task": "t", "labels": ["a", "a"], "max_seq_length": 8}`:                              `labels: "a" twice`,
		`{"task": "t", "labels": ["a", "b"], "max_seq_length": 2}`:                              "max_seq_length is 2, want at least 3",
		`{"task": "t", "labels": ["a", "b"]}`:                                                   "max_seq_length is 0",
		`{` + good + `, "positive_label": "c"}`:                                                 `positive_label "c" is not one of "a", "b"`,
		`{` + good + `, "truncation": "longest"}`:                                               `truncation "longest"`,
		`{` + good + `, "truncation_side": "top"}`:                                              `truncation_side is "top", want left or right`,
		`{` + good + `, "columns": {"txt": "a"}}`:                                               `columns: key "txt" is not known`,
		`{` + good + `, "columns": 1}`:                                                          "columns: not a JSON object",
		`{` + good + `, "columns": {"no_header": "x"}}`:                                         `columns: no_header is "\"x\"", want true or false`,
		`{"max_seq_length": 1.5}`:                                                               `max_seq_length is "1.5", want a whole number`,
		`{` + good + `, "kind": "any"}`:                                                         `kind "any": want single_label_classification`,
		`{` + good + `, "kind": "multiple_choice"}`:                                             `labels is "a", "b", a model of multiple_choice has none`,
		`{` + good + `, "kind": "regression"}`:                                                  `labels is "a", "b", a regression has one`,
		`{` + good + `, "long_text": "all"}`:                                                    `long texts "all": want truncate, head-tail, windows`,
		`{` + good + `, "doc_stride": -1}`:                                                      "doc_stride is -1, want at least 1",
		`{"task": "t", "kind": "multiple_choice", "max_seq_length": 8, "long_text": "windows"}`: "long_text windows is not for multiple_choice",
		`{` + good + `, "metrics": {"a": "b"}}`:                                                 `a is "\"b\"", want a number`,
		`{` + good + `, "official_metrics": []}`:                                                "official_metrics is empty, want the names of metrics",
		`{` + good + `, "official_metrics": ["f1_score", "acuracy"]}`:                           `official_metrics: "acuracy" is no metric of single_label_classification, want some of eval_accuracy, f1_score`,
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, SpecFile), content)
		_, err := LoadSpec(dir)
		wantError(t, err, filepath.Join(dir, SpecFile)+": ", want)
	}
}

// A failing disk leaves the old file.
func TestSpecIsWrittenWhole(t *testing.T) {
	dir := t.TempDir()
	d := Spec{Task: "t", Labels: []string{"a", "b"}, MaxSeqLength: 8}
	if err := d.Save(dir); err != nil {
		t.Fatal(err)
	}
	d.Metrics = metric.Metrics{{Name: "x", Value: 1}}
	if err := d.Save(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files in the folder (%v), want task.json alone", len(entries), err)
	}
}

func FuzzSpec(f *testing.F) {
	f.Add([]byte(`{"task": "t", "labels": ["a", "b"], "max_seq_length": 8, "truncation": "only_first", "truncation_side": "left",
		"positive_label": "b", "kind": "multi_label_classification", "long_text": "windows", "doc_stride": 3, "columns": {"text": "1", "no_header": true}, "metrics": {"f1": 0.5, "loss": null}}`))
	f.Add([]byte(`{"task": null, "labels": [null], "columns": null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			return
		}
		var d Spec
		if err := d.UnmarshalJSON(data); err != nil {
			return
		}
		once, err := json.Marshal(d)
		if err != nil {
			t.Fatalf("read %+v, which can't be written: %v", d, err)
		}
		var again Spec
		if err := again.UnmarshalJSON(once); err != nil {
			t.Fatalf("wrote %s, which can't be read: %v", once, err)
		}
		twice, err := json.Marshal(again)
		if err != nil || string(once) != string(twice) {
			t.Fatalf("wrote %s, read and wrote %s, %v", once, twice, err)
		}
	})
}

// A spec without the step, or with null for it, is that of a model that was not trained here. It was taken for the
// smallest int.
func TestGlobalStep(t *testing.T) {
	for text, want := range map[string]int{"": 0, `,"metrics":{"loss":1}`: 0, `,"metrics":{"global_step":null}`: 0, `,"metrics":{"global_step":70}`: 70} {
		var d Spec
		if err := d.UnmarshalJSON([]byte(`{"task":"imdb","labels":["a","b"],"max_seq_length":9` + text + `}`)); err != nil {
			t.Fatal(err)
		}
		if got := d.GlobalStep(); got != want {
			t.Errorf("%s: step %d, want %d", text, got, want)
		}
	}
}
