package testbound

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A reader is measured: its memory, its time, its error and the size of what it read.
func TestRead(t *testing.T) {
	u := Read(t, Bound{Memory: 1 << 30, Time: time.Minute}, func(dir string) (string, error) {
		path := filepath.Join(dir, "x")
		return path, os.WriteFile(path, make([]byte, 1000), 0o666)
	}, func(path string) error {
		if filepath.Base(path) != "x" {
			return errors.New("another path")
		}
		memory := make([]byte, 100<<20)
		for i := range memory {
			memory[i] = byte(i)
		}
		for begin := time.Now(); time.Since(begin) < 50*time.Millisecond; {
		}
		return errors.New(strings.Repeat("x", int(memory[3])))
	})
	if u.Size != 1000 || u.Err != "xxx" || u.Peak < 100<<20 || u.Peak > 200<<20 || u.CPU < 20*time.Millisecond {
		t.Errorf("measured %+v", u)
	}
}
