//go:build unix

package mmap

import (
	"os"

	"golang.org/x/sys/unix"
)

// Map maps a file of the given size into memory. release unmaps it; f may be closed earlier.
func Map(f *os.File, size int) (data []byte, release func() error, err error) {
	data, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return Read(f, size) // a file system that can't map files
	}
	unregister := register(data)
	return data, func() error {
		unregister()
		return unix.Munmap(data)
	}, nil
}
