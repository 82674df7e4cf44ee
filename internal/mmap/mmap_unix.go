//go:build unix

package mmap

import (
	"os"

	"golang.org/x/sys/unix"
)

// Map returns the bytes of a file of the given size, mapped, and what unmaps them. f may be closed before that.
func Map(f *os.File, size int) (data []byte, release func() error, err error) {
	data, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return Read(f, size) // a file system without mappings
	}
	return data, func() error { return unix.Munmap(data) }, nil
}
