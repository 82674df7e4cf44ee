//go:build unix

package textfile

import (
	"errors"
	"os"
	"syscall"
)

// wakeReader ends the open of a pipe that waits for a writer, by being one for a moment. It reports whether that can succeed: where
// the pipe may not be written to, the open waits until a writer comes.
func wakeReader(path string) bool {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return errors.Is(err, syscall.ENXIO) // nobody is in the open yet
	}
	f.Close()
	return true
}
