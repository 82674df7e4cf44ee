package checkpoint

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWriteOnAFullDisk saves a model that does not fit over one that does, on a file system of 256 KiB.
func TestWriteOnAFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("needs the right to mount a small tmpfs: %v", err)
	}
	defer func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	}()
	tensors := five()
	tensors = append(tensors, Tensor{Name: "large", DType: U8, Shape: []int{100_000}, Data: make([]byte, 100_000)})
	larger := append(slices.Clone(tensors), Tensor{Name: "larger", DType: U8, Shape: []int{100_000}, Data: make([]byte, 100_000)})
	for _, limit := range []int64{1 << 20, 1000} { // one file, shards
		if err := WriteSharded(disk, "model", tensors, nil, limit); err != nil {
			t.Fatal(err)
		}
		before := list(t, disk)
		err := WriteSharded(disk, "model", larger, nil, limit)
		if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), filepath.Join(disk, "model")) {
			t.Errorf("in shards of %d bytes: error %v, want no space left, and the file", limit, err)
		}
		if after := list(t, disk); !slices.Equal(before, after) {
			t.Errorf("in shards of %d bytes: the folder holds %q, before %q", limit, after, before)
		}
		f, err := Open(disk)
		if err != nil {
			t.Fatal(err)
		}
		if err := equalTensors(f.Tensors(), tensors); err != nil {
			t.Errorf("in shards of %d bytes: the old checkpoint changed: %v", limit, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
