package task

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/data"
)

func TestWriteCoNLL(t *testing.T) {
	examples := []data.Example{
		{Input: data.Input{Words: []string{"a", "b"}}, Labels: []string{"O", "B-X"}},
		{Input: data.Input{Words: []string{"c"}}},
	}
	path, err := SavePredictions(t.TempDir(), TokenClassification, examples, []Prediction{{Labels: []string{"B-X", "I-X"}}, {Labels: []string{"O"}}})
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "a O B-X\nb B-X I-X\n\nc O\n\n"; string(written) != want {
		t.Errorf("%q, want %q", written, want)
	}
	var b strings.Builder
	wantError(t, WriteCoNLL(&b, examples, []Prediction{{}, {}}), "2 words, 2 tags and 0 predictions")
	wantError(t, WriteCoNLL(&b, examples, nil), "0 predictions for 2 sentences")
}

func TestTagLabels(t *testing.T) {
	if got := tagLabels([]string{"B-X", "O", "I-Y"}); !slices.Equal(got, []string{"B-X", "O", "I-Y", "I-X", "B-Y"}) {
		t.Errorf("%q", got)
	}
	if got := tagLabels([]string{"NN", "VB"}); !slices.Equal(got, []string{"NN", "VB"}) {
		t.Errorf("%q", got)
	}
}
