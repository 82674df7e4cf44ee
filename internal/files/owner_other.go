//go:build !unix

package files

import (
	"io/fs"
	"os"
)

// Ours reports whether a file or folder belongs to this user and no other one may write to it. Here the system's lists of
// rights decide that, which protect a user's own folders.
func Ours(fs.FileInfo) bool { return true }

// Links is the number of names of a file.
func Links(fs.FileInfo) int { return 1 }

// Owned reports whether a file belongs to this user.
func Owned(fs.FileInfo) bool { return true }

// OpenPart opens the file at path for reading and writing, to go on with what an earlier process left, or makes it. What
// is there but isn't a regular file is replaced and never written to.
func OpenPart(path string) (*os.File, error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		if err := os.Remove(path); err != nil {
			return nil, PathError(err)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	return f, PathError(err)
}
