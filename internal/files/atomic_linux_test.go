package files

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWriteFileOnAFullDisk writes more than fits on a file system of 64 KiB.
func TestWriteFileOnAFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("needs permission to mount a small tmpfs: %v", err)
	}
	defer func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	}()
	path := filepath.Join(disk, "weights")
	if err := WriteFile(path, 0o666, writeAll([]byte("old"))); err != nil {
		t.Fatal(err)
	}
	err := WriteFile(path, 0o666, writeAll(bytes.Repeat([]byte("x"), 1<<20)))
	var pathErr *os.PathError
	if !errors.Is(err, unix.ENOSPC) || !errors.As(err, &pathErr) || pathErr.Path != path {
		t.Errorf("error %v, want no space left at %s", err, path)
	}
	onlyFile(t, path, []byte("old"))
}
