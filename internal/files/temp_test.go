package files

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestTempFolder: what dead processes left goes; what is another process's, another program's, or has just been made, stays.
func TestTempFolder(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	if os.TempDir() != temp {
		t.Skip("the folder for temporary files is not that of TMPDIR")
	}
	alive, remove, err := TempFolder("made")
	if err != nil {
		t.Fatal(err)
	}
	mkdir := func(name string, age time.Duration, files ...string) string {
		dir := filepath.Join(temp, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(dir, then, then); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	gone := []string{mkdir("made-killed", 0, LockName, "weights"), mkdir("made-old", 48*time.Hour, "weights")}
	stays := []string{alive, mkdir("made-new", 0), mkdir("other-killed", 48*time.Hour, LockName)}
	link := filepath.Join(temp, "made-link")
	if err := os.Symlink(stays[2], link); err != nil {
		t.Log(err)
	}
	second, removeSecond, err := TempFolder("made")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range gone {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	}
	for _, dir := range append(stays, second) {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
	remove()
	removeSecond()
	for _, dir := range []string{alive, second} {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	}
}
