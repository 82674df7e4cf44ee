package glue

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/task"
)

// An example counts for each of the names in a field, once for the field, and not at all where the field is empty or not there.
func TestCategories(t *testing.T) {
	examples := []data.Example{
		{Label: "a", Fields: []string{"Negation; Double negation;Negation", "", ""}},
		{Label: "b", Fields: []string{"Negation", "News", ""}},
		{Label: "b", Fields: []string{" ; ", "News", ""}},
		{Label: "a"},
	}
	got, err := categories([]string{"Logic", "Domain", "Knowledge"}, examples, &task.ClassReport{Labels: []string{"a", "b"}, Predictions: []int{0, 0, 1, 1}})
	want := []Category{
		{"Logic", "", metric.ConfusionMatrix{{1, 0}, {1, 0}}}, {"Logic", "Double negation", metric.ConfusionMatrix{{1, 0}, {0, 0}}}, {"Logic", "Negation", metric.ConfusionMatrix{{1, 0}, {1, 0}}},
		{"Domain", "", metric.ConfusionMatrix{{0, 0}, {1, 1}}}, {"Domain", "News", metric.ConfusionMatrix{{0, 0}, {1, 1}}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
}

// What a run writes of its parts is read again; of AX, all categories of the file.
func TestReadParts(t *testing.T) {
	dir, r := setting(t)
	path := filepath.Join(dir, "data", "diagnostic", "diagnostic-full.tsv")
	text := "Logic\tDomain\tPremise\tHypothesis\tLabel\nNegation\tNews\ta film\tfilm\tentailment\n\tNews\ta joy\tbad\tcontradiction\n"
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	r.Names = []string{"mnli", "ax"}
	o := Options{Output: filepath.Join(dir, "out")}
	mustRun(t, r, o)
	parts, err := ReadParts(filepath.Join(o.Output, "ax"))
	if err != nil || len(parts) != 1 || parts[0].Examples != 2 || len(parts[0].Labels) != 3 {
		t.Fatalf("%+v, %v", parts, err)
	}
	var names []string
	for _, c := range parts[0].Categories {
		n := 0
		for _, row := range c.Confusion {
			for _, k := range row {
				n += k
			}
		}
		names = append(names, c.Field+":"+c.Name+strings.Repeat("*", n))
	}
	if got, want := strings.Join(names, " "), "Logic:* Logic:Negation* Domain:** Domain:News**"; got != want {
		t.Errorf("the categories are %s, want %s", got, want)
	}
	if parts, err := ReadParts(filepath.Join(o.Output, "mnli")); err != nil || len(parts) != 2 || len(parts[1].Confusion) != 3 || parts[0].Categories != nil {
		t.Errorf("of mnli: %+v, %v", parts, err)
	}
	if _, err := ReadParts(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a folder without: %v", err)
	}
	for text, want := range map[string]string{
		"{": "", `[{"split":"dev"}]`: "has no official metrics", `[{"official_metrics":["a"],"labels":["x"],"confusion_matrix":[[1,2]]}]`: "a row of 2",
		`[{"official_metrics":["a"],"labels":["x"],"confusion_matrix":[[-1]]}]`: "a negative number", `[{"official_metrics":["a"],"categories":[{"confusion_matrix":[[1]]}]}]`: "1 rows, want 0",
	} {
		if _, err := parseParts([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
