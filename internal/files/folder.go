package files

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// NotEmptyError says that a folder which is to be written whole holds something already.
type NotEmptyError struct {
	Dir, Entry string
}

func (e *NotEmptyError) Error() string {
	return fmt.Sprintf("%s: the folder is not empty (%s is in it): want a new one", e.Dir, e.Entry)
}

// Unwrap makes it an fs.ErrExist.
func (e *NotEmptyError) Unwrap() error { return fs.ErrExist }

// Folder makes the folder dir hold what write writes into the folder that it is given, all of it or nothing: the files are
// written aside and take their place by one rename. dir must not exist, or be empty; what a process that was killed left of
// an earlier attempt is removed first. One process at a time does this for a folder; for another the error is a *BusyError.
//
// Where the folder beside dir can't be written to, or dir is a mounted file system, the files are written into dir under a
// temporary name and renamed one by one, those named last after all others: the files without which nothing takes dir for
// what it is to be.
func Folder(dir string, write func(dir string) error, last ...string) (err error) {
	dir = filepath.Clean(dir)
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return PathError(err)
	}
	inside, temp, release, err := claim(dir)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, release()) }()
	if err := os.Mkdir(temp, 0o777); err != nil {
		return PathError(err)
	}
	defer os.RemoveAll(temp) // nothing is there after the rename
	if err := write(temp); err != nil {
		return renamed(err, temp, dir)
	}
	if err := SyncDir(temp); err != nil {
		return err
	}
	if inside {
		return moveInto(dir, temp, last)
	}
	// Package os renames no folder over another, not even an empty one. What killed processes left in it goes first.
	if err := clearOut(dir); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return PathError(err)
	}
	if err := os.Rename(temp, dir); err != nil {
		return renamed(err, temp, dir)
	}
	return SyncDir(parent)
}

// CheckFolder reports what Folder would refuse dir for, before the work of filling it begins, and removes what a process that
// was killed left.
func CheckFolder(dir string) error {
	dir = filepath.Clean(dir)
	if _, err := os.Stat(filepath.Dir(dir)); err != nil {
		return CheckEmpty(dir) // there is nothing yet, or the system says what is wrong
	}
	_, _, release, err := claim(dir)
	if err != nil {
		return err
	}
	return release()
}

// claim takes the lock of a folder that is to be written, removes what a killed process left, and checks that the folder is
// new or empty. temp is where to write.
func claim(dir string) (inside bool, temp string, release func() error, err error) {
	parent := filepath.Dir(dir)
	if inside, err = inPlace(dir); err != nil {
		return false, "", nil, err
	}
	lock, clean := filepath.Join(parent, "."+filepath.Base(dir)+LockName), parent
	temp = TempName(dir)
	if inside {
		lock, clean = filepath.Join(dir, LockName), dir
		temp = TempName(filepath.Join(dir, "new"))
	}
	if release, err = lockFile(lock, dir); err != nil {
		return false, "", nil, err
	}
	if err = RemoveTemporary(clean, filepath.Base(temp)); err == nil {
		err = CheckEmpty(dir)
	}
	if err != nil {
		return false, "", nil, errors.Join(err, release())
	}
	return inside, temp, release, nil
}

// inPlace reports whether dir has to be filled file by file, since it can't be replaced as a whole.
func inPlace(dir string) (bool, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, PathError(err)
	}
	if !info.IsDir() {
		return false, fmt.Errorf("%s: a file, want a new folder", dir)
	}
	// A link to a folder stays a link.
	if here, err := os.Lstat(dir); err != nil || here.Mode()&fs.ModeSymlink != 0 {
		return true, PathError(err)
	}
	if isMount(dir) {
		return true, nil
	}
	probe := TempName(dir)
	if err := os.Mkdir(probe, 0o777); err != nil {
		return true, nil
	}
	return false, PathError(os.Remove(probe))
}

// RemoveTemporary removes the files and folders in dir that a process which was killed left of the file whose temporary
// name is temp. The caller holds the folder's lock. temp "" stands for any file.
func RemoveTemporary(dir, temp string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return PathError(err)
	}
	for _, e := range entries {
		if !IsTemp(e.Name()) || temp != "" && !SameTarget(e.Name(), temp) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return PathError(err)
		}
	}
	return nil
}

// CheckEmpty reports a folder that exists and holds anything but a lock and what a killed writer left aside. The error is a
// *NotEmptyError.
func CheckEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return PathError(err)
	}
	for _, e := range entries {
		if e.Name() != LockName && !IsTemp(e.Name()) {
			return &NotEmptyError{dir, e.Name()}
		}
	}
	return nil
}

// clearOut removes what CheckEmpty does not count from a folder, unless another process is writing there.
func clearOut(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, LockName)); err == nil {
		release, err := Lock(dir)
		if err != nil {
			return err
		}
		if err := release(); err != nil {
			return PathError(err)
		}
	}
	return RemoveTemporary(dir, "")
}

// moveInto moves the files of temp into dir, those of last after the others, in its order.
func moveInto(dir, temp string, last []string) error {
	entries, err := os.ReadDir(temp)
	if err != nil {
		return PathError(err)
	}
	for _, e := range inOrder(entries, last) {
		if err := os.Rename(filepath.Join(temp, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			return renamed(err, temp, dir)
		}
	}
	if err := os.Remove(temp); err != nil {
		return PathError(err)
	}
	return SyncDir(dir)
}

// inOrder sorts entries so that those of last come after the others, in its order.
func inOrder(entries []fs.DirEntry, last []string) []fs.DirEntry {
	slices.SortStableFunc(entries, func(a, b fs.DirEntry) int {
		return cmp.Compare(slices.Index(last, a.Name()), slices.Index(last, b.Name()))
	})
	return entries
}

// renamed puts the path of the folder in the place of the temporary one in an error.
func renamed(err error, temp, dir string) error {
	var link *os.LinkError
	if errors.As(err, &link) {
		return fmt.Errorf("%s: %w", link.New, link.Err)
	}
	return replaceText{err, temp, dir}
}

// replaceText is an error whose text names another path.
type replaceText struct {
	err       error
	temp, dir string
}

func (e replaceText) Error() string { return strings.ReplaceAll(e.err.Error(), e.temp, e.dir) }
func (e replaceText) Unwrap() error { return e.err }
