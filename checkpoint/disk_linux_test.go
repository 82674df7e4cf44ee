package checkpoint

import (
	"errors"
	"os"
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
		t.Skipf("needs permission to mount a small tmpfs: %v", err)
	}
	defer func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	}()
	tensors := five()
	tensors = append(tensors, Tensor{Name: "large", DType: U8, Shape: []int{100_000}, Data: make([]byte, 100_000)})
	larger := append(slices.Clone(tensors), Tensor{Name: "larger", DType: U8, Shape: []int{100_000}, Data: make([]byte, 100_000)})
	for _, c := range []struct {
		what, name string
		write      func(tensors []Tensor) error
	}{
		{"one file", "model", func(tensors []Tensor) error { return WriteSharded(disk, "model", tensors, nil, 1<<20) }},
		{"shards", "model", func(tensors []Tensor) error { return WriteSharded(disk, "model", tensors, nil, 1000) }},
		{"an archive", "pytorch_model", func(tensors []Tensor) error { return WriteTorchSharded(disk, "pytorch_model", tensors, 1<<20) }},
		{"a bundle", "bert_model.ckpt", func(tensors []Tensor) error { return WriteTensorFlow(filepath.Join(disk, "bert_model.ckpt"), tensors) }},
	} {
		for _, name := range list(t, disk) { // left by the previous case
			if err := os.Remove(filepath.Join(disk, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.write(tensors); err != nil {
			t.Fatal(err)
		}
		before := list(t, disk)
		err := c.write(larger)
		if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), filepath.Join(disk, c.name)) {
			t.Errorf("%s: error %v, want no space left, and the file", c.what, err)
		}
		if after := list(t, disk); !slices.Equal(before, after) {
			t.Errorf("%s: the folder holds %q, before %q", c.what, after, before)
		}
		f, err := Open(disk)
		if err != nil {
			t.Fatal(err)
		}
		if err := equalTensors(f.Tensors(), tensors); err != nil {
			t.Errorf("%s: the old checkpoint changed: %v", c.what, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
