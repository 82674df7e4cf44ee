//go:build unix

package files

import (
	"io/fs"
	"os"
	"syscall"
)

// Ours reports whether a file or folder belongs to this user and no other one may write to it.
func Ours(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0
}

// Links is the number of names of a file.
func Links(info fs.FileInfo) int {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Nlink)
	}
	return 1
}
