//go:build unix

package checkpoint

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapFile returns the bytes of a file of the given size, mapped, and what unmaps them.
func mapFile(f *os.File, size int) ([]byte, func() error, error) {
	data, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return readFile(f, size) // a file system without mappings
	}
	return data, func() error { return unix.Munmap(data) }, nil
}
