package files

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// A file is written under a temporary name in the same folder, synced and renamed, so that it is complete or absent: a crash, a full
// disk or a failing writer leaves the old file unchanged.

// A temporary name is "." + the file's name + tempMark + random text.
const (
	tempMark = ".tmp-"
	randLen  = 26 // the length of rand.Text
)

// TempName returns an unused name in the folder of path, under which the new file or folder can be built.
func TempName(path string) string {
	dir, base := filepath.Split(path)
	return dir + "." + base + tempMark + rand.Text()
}

// IsTemp reports whether name, without its folder, was made by TempName. A process that is killed while it writes leaves such
// a file behind; the owner of the folder may remove it when no other process writes there.
func IsTemp(name string) bool {
	at := len(name) - randLen - len(tempMark)
	return at > 1 && name[0] == '.' && strings.HasPrefix(name[at:], tempMark)
}

// WriteFile replaces the contents of path with what write writes, or leaves path unchanged if write or the system fails. The
// writer is buffered. perm is the mode of the new file, before the umask; a symbolic link at path is replaced, not followed.
// The file and its folder are on disk when WriteFile returns nil. Errors name path, not the temporary file, which is removed.
// Several processes may write the same path at once: one of the files remains, complete.
func WriteFile(path string, perm fs.FileMode, write func(io.Writer) error) (err error) {
	temp := TempName(path)
	defer func() { err = rename(err, temp, path) }()

	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	// Deferred, so that a panic in write cleans up too. After the rename the temporary name is gone.
	renamed := false
	defer func() {
		if !renamed {
			f.Close()
			os.Remove(temp)
		}
	}()

	w := bufio.NewWriterSize(f, 1<<16)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	// Some network file systems report a failed write only here.
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	renamed = true
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the entries of a folder (created, renamed or removed files) durable. It does nothing where folders can't be
// synced.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync the folder: %w", err)
	}
	defer d.Close()
	// EINVAL and the like: the file system does not support this operation, and there is no alternative.
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("sync the folder: %w", err)
	}
	return nil
}

// rename replaces temp by path in err.
func rename(err error, temp, path string) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) && pathErr.Path == temp {
		pathErr.Path = path
	}
	var linkErr *os.LinkError
	if errors.As(err, &linkErr) && linkErr.Old == temp {
		return &fs.PathError{Op: linkErr.Op, Path: path, Err: linkErr.Err}
	}
	return err
}

// SameTarget reports whether two names of TempName's are for the same file.
func SameTarget(a, b string) bool {
	return IsTemp(a) && IsTemp(b) && a[:len(a)-randLen] == b[:len(b)-randLen]
}
