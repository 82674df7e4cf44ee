//go:build unix

package files

import (
	"io/fs"
	"os"
	"syscall"
)

// Ours reports whether a file or folder belongs to this user, or to root, which may do anything, and no other one may write
// to it.
func Ours(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && (s.Uid == 0 || int(s.Uid) == os.Geteuid()) && info.Mode().Perm()&0o022 == 0
}

// Links is the number of names of a file.
func Links(info fs.FileInfo) int {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Nlink)
	}
	return 1
}

// Owned reports whether a file belongs to this user.
func Owned(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}

// OpenPart opens the file at path for reading and writing, to go on with what an earlier process left, or makes it. What
// is there but isn't a file of ours alone (a link, symbolic or hard, or another user's file) is replaced and never written
// to.
func OpenPart(path string) (*os.File, error) {
	if info, err := os.Lstat(path); err == nil && !alone(info) {
		if err := os.Remove(path); err != nil {
			return nil, PathError(err)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o666)
	if err != nil {
		return nil, PathError(err)
	}
	// Somebody may have been faster.
	info, err := f.Stat()
	if err == nil && !alone(info) {
		err = &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
	}
	if err != nil {
		f.Close()
		return nil, PathError(err)
	}
	return f, nil
}

// alone reports whether a file is regular, ours, and has one name.
func alone(info fs.FileInfo) bool { return info.Mode().IsRegular() && Owned(info) && Links(info) == 1 }
