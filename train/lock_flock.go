//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package train

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lock locks the folder until release is called or the process ends in any way.
func lock(dir string) (release func() error, err error) {
	path := filepath.Join(dir, lockName)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return nil, pathError(err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, busy(dir, "wait for it to end, or choose another")
			}
			return nil, fmt.Errorf("%s: can't be locked: %w", path, err)
		}
		// A run that ends removes its file. If that happened just now, this lock is on a file that no other process can find.
		if same, err := isAt(f, path); err != nil || !same {
			f.Close()
			if err != nil {
				return nil, pathError(err)
			}
			continue
		}
		if err := f.Truncate(0); err == nil {
			fmt.Fprintln(f, os.Getpid()) // for the message of another run; the lock does not depend on it
		}
		return func() error {
			return errors.Join(os.Remove(path), f.Close())
		}, nil
	}
}

// isAt reports whether f is the file at path.
func isAt(f *os.File, path string) (bool, error) {
	here, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return os.SameFile(here, there), err
}
