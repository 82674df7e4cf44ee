// Package golden finds the reference data that Golden tests compare with. A small part of it is committed, in
// testdata/golden. The rest is not in the repository: $BERT_SHARED names its folder, by default "shared" beside the
// repository, and $BERT_GOLDENS names a folder to use instead of golden/ in that.
//
// A Golden test may be skipped only because this package does not find its data: skipcheck, which .ci/run calls, fails
// otherwise. A test that can't compare something for another reason leaves it out without skipping.
package golden

//go:generate go run ./generate ../../testdata/golden
//go:generate go test ../../tokenizer -run ^TestCommittedTokenizations$ -update

import (
	"os"
	"path/filepath"
	"testing"
)

// Shared returns the path of elem under $BERT_SHARED and skips the test where nothing is there.
func Shared(t testing.TB, elem ...string) string {
	t.Helper()
	return need(t, shared(t), "BERT_SHARED", elem)
}

// Path returns the path of elem in the goldens: under $BERT_GOLDENS, by default golden/ in $BERT_SHARED, or else in
// testdata/golden. It skips the test where nothing is there.
func Path(t testing.TB, elem ...string) string {
	t.Helper()
	if found := Folders(t, elem...); len(found) > 0 {
		return found[0]
	}
	if os.Getenv("BERT_GOLDENS") == "" {
		return Shared(t, append([]string{"golden"}, elem...)...)
	}
	return need(t, goldens(t), "BERT_GOLDENS", elem)
}

// Folders returns every path of elem in the goldens: that of Path and that in testdata/golden, as far as they are there.
// A test of the committed goldens uses all of them, so that it runs everywhere and covers other goldens too.
func Folders(t testing.TB, elem ...string) []string {
	t.Helper()
	var found []string
	roots := []string{goldens(t), committed(t)}
	for i, root := range roots {
		if path := filepath.Join(append([]string{root}, elem...)...); exists(path) && (i == 0 || root != roots[0]) {
			found = append(found, path)
		}
	}
	return found
}

// Committed returns the path of elem in testdata/golden, which has to be there.
func Committed(t testing.TB, elem ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{committed(t)}, elem...)...)
	if !exists(path) {
		t.Fatalf("%s is missing, though it is part of the repository: run go generate ./internal/golden", path)
	}
	return path
}

// Match returns the files that match a pattern (filepath.Match), which not all goldens have, and skips the test where there
// is none.
func Match(t testing.TB, elem ...string) []string {
	t.Helper()
	pattern := filepath.Join(elem...)
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Skip(Skip{Path: pattern})
	}
	return found
}

// Peers returns the path of elem under $BERT_PEERS, which holds other implementations to compare with, and skips the test
// where nothing is there.
func Peers(t testing.TB, elem ...string) string {
	t.Helper()
	root := folder(t, "BERT_PEERS")
	if root == "" {
		root = "$BERT_PEERS"
	}
	return need(t, root, "BERT_PEERS", elem)
}

// Models returns the path of elem under $BERT_MODELS, which holds published models, by default models/ in $BERT_SHARED, and skips
// the test where nothing is there.
func Models(t testing.TB, elem ...string) string {
	t.Helper()
	root := folder(t, "BERT_MODELS")
	if root == "" {
		root = filepath.Join(shared(t), "models")
	}
	return need(t, root, "BERT_MODELS", elem)
}

func need(t testing.TB, root, variable string, elem []string) string {
	t.Helper()
	path := filepath.Join(append([]string{root}, elem...)...)
	if !exists(path) {
		t.Skip(Skip{path, root, variable})
	}
	return path
}

func shared(t testing.TB) string {
	t.Helper()
	if root := folder(t, "BERT_SHARED"); root != "" {
		return root
	}
	return filepath.Join(filepath.Dir(moduleRoot(t)), "shared")
}

func goldens(t testing.TB) string {
	t.Helper()
	if root := folder(t, "BERT_GOLDENS"); root != "" {
		return root
	}
	return filepath.Join(shared(t), "golden")
}

func committed(t testing.TB) string {
	t.Helper()
	return filepath.Join(moduleRoot(t), "testdata", "golden")
}

// folder is the value of an environment variable; a relative path counts from the module's root, not from the folder of
// the package under test.
func folder(t testing.TB, variable string) string {
	t.Helper()
	dir := os.Getenv(variable)
	if dir != "" && !filepath.IsAbs(dir) {
		dir = filepath.Join(moduleRoot(t), dir)
	}
	return dir
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// moduleRoot is the nearest folder above the test's own that holds go.mod.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if exists(filepath.Join(dir, "go.mod")) {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
}
