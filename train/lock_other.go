//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// lock locks the folder until release is called. If the process is killed earlier, the lock file stays and must be removed by
// hand.
func lock(dir string) (release func() error, err error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return nil, busy(dir, "wait for it to end, or remove "+path+" if it was killed")
	}
	if err != nil {
		return nil, pathError(err)
	}
	_, err = fmt.Fprintln(f, os.Getpid())
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(pathError(err), os.Remove(path))
	}
	return func() error { return os.Remove(path) }, nil
}
