package task

import (
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/metric"
)

func TestReadResult(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadResult(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	path := filepath.Join(dir, ResultsFile)
	write(t, path, `{"f1": 0.5, "auc": null, "loss": 2, "official_metrics": ["auc"], "examples": 8, "truncated": 2,
		"compute_precision": "bf16", "labels": ["a", "b"], "confusion_matrix": [[3, 1], [0, 4]], "later": {}}`)
	r, err := ReadResult(dir)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := r.Metrics.Get("f1"); !ok || v != 0.5 || len(r.Metrics) != 3 {
		t.Errorf("metrics %v", r.Metrics)
	}
	if main, ok := r.Main(); !ok || main.Name != "auc" || !math.IsNaN(main.Value) {
		t.Errorf("main metric %v, %v", main, ok)
	}
	if r.Examples != 8 || r.Truncated != 2 || r.Windows != 0 || r.Precision != bert.BFloat16 || len(r.Details) != 3 {
		t.Errorf("%+v", r)
	}
	var matrix metric.ConfusionMatrix
	if ok, err := r.Detail("confusion_matrix", &matrix); !ok || err != nil || matrix[0][1] != 1 {
		t.Errorf("confusion matrix %v, %v, %v", matrix, ok, err)
	}
	if ok, err := r.Detail("classes", &matrix); ok || err != nil {
		t.Errorf("classes, which aren't there: %v, %v", ok, err)
	}
	if ok, err := r.Detail("labels", &matrix); !ok || err == nil {
		t.Errorf("labels as a matrix: %v, %v", ok, err)
	}
	for text, want := range map[string]string{
		`{"f1": 1}`:                           `no key "official_metrics": not the result of evaluating a task`,
		`{`:                                   "not JSON",
		`{"f1": "x", "official_metrics": []}`: `f1 is "\"x\"", want a number`,
		`{"f1": 1, "f1": 2}`:                  `key "f1" twice`,
		`{"official_metrics": ["f1"], "examples": 1.5}`:              "examples is \"1.5\", want a whole number",
		`{"official_metrics": ["f1"], "compute_precision": "fp128"}`: "fp128",
	} {
		write(t, path, text)
		_, err := ReadResult(dir)
		wantError(t, err, path+": ", want)
	}
}

func FuzzReadResult(f *testing.F) {
	f.Add([]byte(`{"f1": 0.5, "official_metrics": ["f1"], "examples": 8, "labels": ["a"]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		var r SavedResult
		if r.UnmarshalJSON(content) == nil {
			r.Main()
		}
	})
}
