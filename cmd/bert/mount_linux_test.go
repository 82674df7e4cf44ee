package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mountTmpfs mounts a file system of so many bytes, or makes one that is mounted read-only.
func mountTmpfs(dir string, size int, readOnly bool) (unmount func() error, err error) {
	flags := uintptr(0)
	if readOnly {
		flags = unix.MS_REMOUNT | unix.MS_RDONLY
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, fmt.Sprintf("size=%d", size)); err != nil {
		return nil, err
	}
	return func() error { return unix.Unmount(dir, unix.MNT_DETACH) }, nil
}
