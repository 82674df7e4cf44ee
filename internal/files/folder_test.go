package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// two writes the files a and b.
func two(dir string) error {
	return errors.Join(os.WriteFile(filepath.Join(dir, "a"), []byte("1"), 0o666), os.WriteFile(filepath.Join(dir, "b"), []byte("2"), 0o666))
}

// names lists what is in a folder.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

func TestFolder(t *testing.T) {
	parent := t.TempDir()
	for _, dir := range []string{"new", "empty", "deep/er", "link"} {
		path := filepath.Join(parent, dir)
		switch dir {
		case "empty":
			os.Mkdir(path, 0o777)
		case "link":
			os.Mkdir(filepath.Join(parent, "target"), 0o777)
			if err := os.Symlink("target", path); err != nil {
				t.Skip(err)
			}
		}
		if err := Folder(path, two, "a"); err != nil {
			t.Fatal(err)
		}
		if got := names(t, path); got != "a b" {
			t.Errorf("%s holds %q", dir, got)
		}
	}
	if got := names(t, parent); got != "deep empty link new target" {
		t.Errorf("beside the folders: %q", got)
	}
	if info, err := os.Lstat(filepath.Join(parent, "link")); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link became %v, %v", info, err)
	}
}

// A folder that holds something stays as it is, and so does one whose writer fails.
func TestFolderFails(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "full")
	os.Mkdir(dir, 0o777)
	os.WriteFile(filepath.Join(dir, "x"), nil, 0o666)
	var notEmpty *NotEmptyError
	if err := Folder(dir, two); !errors.As(err, &notEmpty) || notEmpty.Entry != "x" || !errors.Is(err, fs.ErrExist) {
		t.Errorf("a full folder: %v", err)
	}
	if got := names(t, dir); got != "x" {
		t.Errorf("the full folder holds %q", got)
	}

	broken := errors.New("broken")
	fresh := filepath.Join(parent, "fresh")
	err := Folder(fresh, func(temp string) error {
		return errors.Join(two(temp), &fs.PathError{Op: "open", Path: filepath.Join(temp, "c"), Err: broken})
	})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), filepath.Join(fresh, "c")) {
		t.Errorf("a failing writer: %v", err)
	}
	if got := names(t, parent); got != "full" {
		t.Errorf("after the failure: %q", got)
	}
}

// What a process that was killed left is removed, and only that.
func TestFolderCleans(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "model")
	mine, other := TempName(dir), TempName(filepath.Join(parent, "modell"))
	for _, left := range []string{mine, other} {
		if err := os.MkdirAll(filepath.Join(left, "sub"), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := Folder(dir, two); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, parent), filepath.Base(other)+" model"; got != want {
		t.Errorf("left: %q, want %q", got, want)
	}
}

// A folder that holds nothing but what killed processes left counts as empty.
func TestFolderLeftovers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	os.Mkdir(dir, 0o777)
	for _, name := range []string{LockName, filepath.Base(TempName("config.json"))} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := Folder(dir, two); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); got != "a b" {
		t.Errorf("the folder holds %q", got)
	}
}

// CheckFolder refuses what Folder would refuse, cleans up all the same, and makes nothing.
func TestCheckFolder(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "model")
	if err := CheckFolder(filepath.Join(parent, "none", "model")); err != nil {
		t.Error(err)
	}
	if err := CheckFolder(dir); err != nil {
		t.Error(err)
	}
	if got := names(t, parent); got != "" {
		t.Errorf("made %q", got)
	}
	os.Mkdir(dir, 0o777)
	os.Mkdir(TempName(dir), 0o777)
	for _, path := range []string{filepath.Join(dir, "x"), filepath.Join(parent, ".model"+LockName)} {
		os.WriteFile(path, nil, 0o666)
	}
	var notEmpty *NotEmptyError
	if err := CheckFolder(dir); !errors.As(err, &notEmpty) {
		t.Errorf("a full folder: %v", err)
	}
	if got := names(t, parent); got != "model" {
		t.Errorf("left: %q", got)
	}
	err := Folder(filepath.Join(parent, "other"), func(temp string) error {
		var busy *BusyError
		if err := CheckFolder(filepath.Join(parent, "other")); !errors.As(err, &busy) {
			t.Errorf("a folder that is being written: %v", err)
		}
		return two(temp)
	})
	if err != nil {
		t.Error(err)
	}
}

// While one writes a folder, another can't.
func TestFolderBusy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	err := Folder(dir, func(temp string) error {
		var busy *BusyError
		if err := Folder(dir, two); !errors.As(err, &busy) || busy.Dir != dir || busy.PID != os.Getpid() {
			t.Errorf("a second writer: %v", err)
		}
		return two(temp)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Where a folder can't be replaced, its files are moved into it one by one, those of last after the others.
func TestMoveInto(t *testing.T) {
	dir := t.TempDir()
	temp := TempName(filepath.Join(dir, "new"))
	os.Mkdir(temp, 0o777)
	for _, name := range []string{"config.json", "vocab.txt", "model.safetensors"} {
		os.WriteFile(filepath.Join(temp, name), nil, 0o666)
	}
	entries, _ := os.ReadDir(temp)
	order := inOrder(entries, []string{"model.safetensors", "config.json"})
	var got []string
	for _, e := range order {
		got = append(got, e.Name())
	}
	if want := []string{"vocab.txt", "model.safetensors", "config.json"}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
	if err := moveInto(dir, temp, nil); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); got != "config.json model.safetensors vocab.txt" {
		t.Errorf("the folder holds %q", got)
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "small")
	os.WriteFile(path, []byte("12345"), 0o666)
	if data, err := ReadFile(path, 5); err != nil || string(data) != "12345" {
		t.Errorf("%q, %v", data, err)
	}
	var size *SizeError
	if _, err := ReadFile(path, 4); !errors.As(err, &size) || size.Path != path {
		t.Errorf("a larger file: %v", err)
	}
	var kind *KindError
	if _, err := ReadFile(dir, 5); !errors.As(err, &kind) || !kind.Mode.IsDir() {
		t.Errorf("a folder: %v", err)
	}
	if _, err := ReadFile(os.DevNull, 5); !errors.As(err, &kind) {
		t.Errorf("a device: %v", err)
	}
	if _, err := ReadFile(filepath.Join(dir, "none"), 5); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestScratch(t *testing.T) {
	dir := t.TempDir()
	f, remove, err := Scratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("x"); err != nil {
		t.Error(err)
	}
	f.Close()
	remove()
	if got := names(t, dir); got != "" {
		t.Errorf("left: %q", got)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	release, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	var busy *BusyError
	if _, err := Lock(dir); !errors.As(err, &busy) || busy.PID != os.Getpid() {
		t.Errorf("locked twice: %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if got := names(t, dir); got != "" {
		t.Errorf("left: %q", got)
	}
	again, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// TestBeside removes what a killed process left of the named file alone, and writes even where the folder is taken.
func TestBeside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	left, other := TempName(filepath.Join(dir, "page.html")), TempName(filepath.Join(dir, "other"))
	write := func(name string) func() error {
		return func() error { return os.WriteFile(filepath.Join(dir, name), nil, 0o666) }
	}
	for _, path := range []string{left, other} {
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := Beside(dir, []string{"page.html"}, write("page.html")); err != nil {
		t.Fatal(err)
	}
	release, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Beside(dir, nil, write("busy")), release()); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{left: false, other: true, filepath.Join(dir, "page.html"): true, filepath.Join(dir, "busy"): true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", filepath.Base(path), err, want)
		}
	}
	if err := Beside(filepath.Join(dir, "a", "b"), nil, func() error { return nil }); err != nil {
		t.Error(err)
	}
}
