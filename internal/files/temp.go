package files

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// TempFolder makes a folder of this process's own among the system's temporary files, and removes those of the same prefix that
// processes of the user left which were killed. remove removes the folder.
func TempFolder(prefix string) (dir string, remove func(), err error) {
	parent := os.TempDir()
	removeLeft(parent, prefix+"-")
	if dir, err = os.MkdirTemp(parent, prefix+"-"); err != nil {
		return "", nil, PathError(err)
	}
	release, err := Lock(dir)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, func() {
		os.RemoveAll(dir)
		_ = release() // the file is gone with the folder
	}, nil
}

// removeLeft removes the folders of dead processes. What can't be removed is left: nothing depends on it.
func removeLeft(parent, prefix string) {
	entries, _ := os.ReadDir(parent)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) || !Owned(info) {
			continue
		}
		dir := filepath.Join(parent, e.Name())
		// A folder without a lock has just been made, unless it is old.
		if _, err := os.Lstat(filepath.Join(dir, LockName)); err != nil && time.Since(info.ModTime()) < 24*time.Hour {
			continue
		}
		release, err := Lock(dir)
		if err != nil {
			continue // its process is alive
		}
		os.RemoveAll(dir)
		_ = release()
	}
}
