package train

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// lockName is the file in the folder of a run that says that a process is writing there.
const lockName = ".lock"

// lockedError says who has the folder.
func lockedError(dir, advice string) error {
	who := "another run"
	if text, err := os.ReadFile(filepath.Join(dir, lockName)); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			who = fmt.Sprintf("another run (process %d)", pid)
		}
	}
	return fmt.Errorf("%s: %s is writing into this folder: %s", dir, who, advice)
}
