package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/golden"
)

func TestCheck(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "models", "tiny"), 0o777); err != nil {
		t.Fatal(err)
	}
	skip := func(variable string, elem ...string) string {
		path := filepath.Join(append([]string{root}, elem...)...)
		return "    x_test.go:1: " + golden.Skip{Path: path, Root: root, Variable: variable}.String() + "\n"
	}
	pattern := func(elem ...string) string {
		return "    x_test.go:1: " + golden.Skip{Path: filepath.Join(append([]string{root}, elem...)...)}.String() + "\n"
	}
	for _, c := range []struct {
		test, action, output string
		want                 int
	}{
		{"TestGoldenX", "pass", "", 0},
		{"TestGoldenX", "fail", "    x_test.go:1: wrong\n", 1},
		{"TestX", "skip", "    x_test.go:1: no node\n", 0},
		{"TestGoldenX", "skip", "    x_test.go:1: no node\n", 1},
		{"TestX/golden/TestGoldenY", "skip", "    x_test.go:1: no node\n", 1},
		{"TestGoldenX", "skip", "", 1},
		{"TestGoldenX", "skip", skip("BERT_SHARED", "data"), 0},
		{"TestGoldenX", "skip", skip("BERT_SHARED", "data", "imdb"), 0},
		{"TestGoldenX", "skip", skip("BERT_SHARED", "models", "tiny"), 1},
		{"TestGoldenX", "skip", skip("BERT_SHARED", "models", "tiny", "misspelt"), 1},
		{"TestX", "skip", skip("BERT_SHARED", "models", "tiny"), 1},
		{"TestGoldenX", "skip", skip("BERT_GOLDENS", "models", "tiny", "left out"), 0},
		{"TestGoldenX", "skip", skip("BERT_GOLDENS", "models", "tiny"), 1},
		{"TestGoldenX", "skip", pattern("models", "*", "*.index"), 0},
		{"TestGoldenX", "skip", pattern("models", "*"), 1},
	} {
		var in, out strings.Builder
		enc := json.NewEncoder(&in)
		for _, e := range []event{{Action: "run", Package: "p", Test: c.test}, {Action: "output", Package: "p", Test: c.test, Output: c.output}, {Action: c.action, Package: "p", Test: c.test}, {Action: "pass", Package: "p", Test: "TestOther"}} {
			if err := enc.Encode(e); err != nil {
				t.Fatal(err)
			}
		}
		got, err := check(strings.NewReader(in.String()), &out)
		if err != nil || got != c.want {
			t.Errorf("%s %s %q: %d failures, want %d (%v):\n%s", c.test, c.action, c.output, got, c.want, err, out.String())
		}
	}
	if _, err := check(strings.NewReader(""), new(strings.Builder)); err == nil {
		t.Error("no tests at all are no error")
	}
}
