package train

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// lockName is the lock file in the folder of a run.
const lockName = ".lock"

// lockedError returns an error that names the process that holds the lock.
func lockedError(dir, advice string) error {
	who := "another run"
	if text, err := os.ReadFile(filepath.Join(dir, lockName)); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			who = fmt.Sprintf("another run (process %d)", pid)
		}
	}
	return fmt.Errorf("%s: %s is writing to this folder: %s", dir, who, advice)
}
