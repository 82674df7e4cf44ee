// Package golden finds the reference data that Golden tests compare with. The data is no part of the repository: it is
// looked for in the folder that $BERT_SHARED names, by default "shared" beside the repository.
package golden

import (
	"os"
	"path/filepath"
	"testing"
)

// Shared returns the path of elem under $BERT_SHARED and skips the test where nothing stands there.
func Shared(t testing.TB, elem ...string) string {
	t.Helper()
	root := folder(t, "BERT_SHARED")
	if root == "" {
		root = filepath.Join(filepath.Dir(moduleRoot(t)), "shared")
	}
	return need(t, filepath.Join(append([]string{root}, elem...)...), "BERT_SHARED")
}

// Path returns the path of elem under $BERT_GOLDENS, by default golden/ in $BERT_SHARED, and skips the test where nothing
// stands there.
func Path(t testing.TB, elem ...string) string {
	t.Helper()
	root := folder(t, "BERT_GOLDENS")
	if root == "" {
		return Shared(t, append([]string{"golden"}, elem...)...)
	}
	return need(t, filepath.Join(append([]string{root}, elem...)...), "BERT_GOLDENS")
}

// Peers returns the path of elem under $BERT_PEERS, which holds other implementations to compare with, and skips the test
// where nothing stands there.
func Peers(t testing.TB, elem ...string) string {
	t.Helper()
	root := folder(t, "BERT_PEERS")
	if root == "" {
		t.Skipf("no %s to compare with (set BERT_PEERS)", filepath.Join(elem...))
	}
	return need(t, filepath.Join(append([]string{root}, elem...)...), "BERT_PEERS")
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

func need(t testing.TB, path, variable string) string {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no reference data at %s (set %s)", path, variable)
	}
	return path
}

// moduleRoot is the nearest folder above the test's own that holds go.mod.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
}
