package files

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

func writeAll(content []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}
}

// onlyFile checks that path is the only file in its folder, and that it holds want.
func onlyFile(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s holds %d bytes %.20q, want %d bytes %.20q", path, len(got), got, len(want), want)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("the folder holds %v, want one file", entries)
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weights")
	for _, content := range []string{"first", "", strings.Repeat("longer than the buffer", 10_000)} {
		if err := WriteFile(path, 0o600, writeAll([]byte(content))); err != nil {
			t.Fatal(err)
		}
		onlyFile(t, path, []byte(content))
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm()&0o177 != 0 {
		t.Errorf("mode %v, %v; want at most 0600", info.Mode(), err)
	}
}

func TestWriteFileInWorkingFolder(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := WriteFile("weights", 0o666, writeAll([]byte("new"))); err != nil {
		t.Fatal(err)
	}
	onlyFile(t, filepath.Join(dir, "weights"), []byte("new"))
}

func TestWriteFileKeepsTheOldFile(t *testing.T) {
	failure := errors.New("failure")
	long := bytes.Repeat([]byte("x"), 1<<20)
	for name, write := range map[string]func(io.Writer) error{
		"at once":           func(io.Writer) error { return failure },
		"after a few bytes": func(w io.Writer) error { w.Write([]byte("new")); return failure },
		"after many bytes":  func(w io.Writer) error { w.Write(long); return failure },
		"by a panic":        func(w io.Writer) error { w.Write(long); panic(failure) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "weights")
			if err := os.WriteFile(path, []byte("old"), 0o666); err != nil {
				t.Fatal(err)
			}
			err := func() (err error) {
				defer func() {
					if r := recover(); r != nil {
						err = r.(error)
					}
				}()
				return WriteFile(path, 0o666, write)
			}()
			if !errors.Is(err, failure) {
				t.Errorf("error %v, want %v", err, failure)
			}
			onlyFile(t, path, []byte("old"))
		})
	}
}

func TestWriteFileErrorsNameThePath(t *testing.T) {
	dir := t.TempDir()
	occupied := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(occupied, "full"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "missing", "weights"), occupied} {
		err := WriteFile(path, 0o666, writeAll([]byte("new")))
		var pathErr *fs.PathError
		if !errors.As(err, &pathErr) || pathErr.Path != path || strings.Contains(err.Error(), tempMark) {
			t.Errorf("WriteFile(%s): %v, want an error that names the path alone", path, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v; want only the one that existed before", entries, err)
	}
}

func TestWriteFileAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weights")
	var group sync.WaitGroup
	for i := range byte(8) {
		group.Go(func() {
			if err := WriteFile(path, 0o666, writeAll(bytes.Repeat([]byte{'a' + i}, 100_000))); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	onlyFile(t, path, bytes.Repeat(got[:1], 100_000))
}

func TestIsTemp(t *testing.T) {
	if name := filepath.Base(TempName(filepath.Join("dir", "model.safetensors"))); !IsTemp(name) {
		t.Errorf("IsTemp(%q) is false", name)
	}
	for _, name := range []string{"", ".", "model.safetensors", ".tmp-", ".tmp-" + strings.Repeat("A", randLen), "x.tmp-" + strings.Repeat("A", randLen)} {
		if IsTemp(name) {
			t.Errorf("IsTemp(%q) is true", name)
		}
	}
}
