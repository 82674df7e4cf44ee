package files

import (
	"os"

	"golang.org/x/sys/unix"
)

// unnamed makes a file without a name; ok is false on file systems that can't.
func unnamed(dir string) (f *os.File, ok bool) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, false
	}
	return os.NewFile(uintptr(fd), dir+"/(scratch)"), true
}
