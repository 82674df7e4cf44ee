//go:build unix

package files

import (
	"os"
	"path/filepath"
	"syscall"
)

// isMount reports whether dir is the root of a mounted file system.
func isMount(dir string) bool {
	here, err := os.Stat(dir)
	if err != nil {
		return false
	}
	above, err := os.Stat(filepath.Join(dir, ".."))
	if err != nil {
		return false
	}
	a, ok := here.Sys().(*syscall.Stat_t)
	b, same := above.Sys().(*syscall.Stat_t)
	return ok && same && a.Dev != b.Dev
}
