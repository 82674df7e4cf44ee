//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// lockFile takes the lock by making the file at path. A process that is killed leaves it.
func lockFile(path, dir string) (release func() error, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return nil, busy(path, dir, path)
	}
	if err != nil {
		return nil, PathError(err)
	}
	_, err = fmt.Fprintln(f, os.Getpid())
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(PathError(err), os.Remove(path))
	}
	return func() error { return os.Remove(path) }, nil
}

// tryAcquire takes the lock by making a file beside path, since Hugging Face's tools leave theirs. A process that is
// killed leaves it.
func tryAcquire(path string) (release func(), err error) {
	path += ".held"
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	switch {
	case err == nil:
		f.Close()
		return func() { os.Remove(path) }, nil
	case errors.Is(err, fs.ErrExist):
		return nil, nil
	default:
		return nil, PathError(err)
	}
}
