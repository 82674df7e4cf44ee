package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLimits reads the lowest limits of a control group and of those above it.
func TestLimits(t *testing.T) {
	root := t.TempDir()
	self := filepath.Join(root, "self")
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("self", "12:cpu:/old\n0::/a/b\n")
	if l := limitsIn(root, self); l != (limits{}) {
		t.Errorf("without files the limits are %+v, want none", l)
	}
	write("a/b/memory.max", "max\n")
	write("a/memory.max", "1000\n")
	write("memory.max", "2000\n")
	write("a/b/cpu.max", "150000 100000\n")
	write("a/cpu.max", "max 100000\n")
	write("old/memory.max", "1\n")
	if l := limitsIn(root, self); l != (limits{cpus: 1.5, bytes: 1000}) {
		t.Errorf("the limits are %+v, want 1.5 processors and 1000 bytes", l)
	}
	if l := limitsIn(root, filepath.Join(root, "none")); l != (limits{}) {
		t.Errorf("where there are no control groups the limits are %+v", l)
	}
}
