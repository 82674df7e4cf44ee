//go:build unix

package testbound

import (
	"path/filepath"
	"syscall"
	"testing"
)

// Pipe makes a named pipe, which nobody writes to, and returns its path. Where there are none it skips the test.
func Pipe(t testing.TB, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		t.Skip(err)
	}
	return path
}
