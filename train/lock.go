package train

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// lockName is the lock file in the folder of a run.
const lockName = ".lock"

// busy is the error for a folder that another process holds.
func busy(dir, advice string) *BusyError {
	e := &BusyError{Output: dir, Advice: advice}
	if text, err := os.ReadFile(filepath.Join(dir, lockName)); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			e.PID = pid
		}
	}
	return e
}
