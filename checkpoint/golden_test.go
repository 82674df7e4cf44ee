package checkpoint

import (
	"bytes"
	"io/fs"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/internal/mmap"
)

// files returns the files under root whose names end in suffix; the test is skipped where there is none.
func files(t *testing.T, root, suffix string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, suffix) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Skipf("no %s under %s", suffix, root)
	}
	return found
}

func TestGoldenSafetensors(t *testing.T) {
	t.Run("goldens", func(t *testing.T) { readAndRewrite(t, files(t, golden.Path(t), ".safetensors")) })
	t.Run("models", func(t *testing.T) { readAndRewrite(t, files(t, golden.Shared(t, "models"), ".safetensors")) })
}

// readAndRewrite reads files mapped and not, writes what is in them, and reads that.
func readAndRewrite(t *testing.T, paths []string) {
	for _, path := range paths {
		mapped, err := Open(path)
		if err != nil {
			t.Error(err)
			continue
		}
		read, err := open(path, mmap.Read)
		if err != nil {
			t.Fatal(err)
		}
		if len(mapped.Tensors()) == 0 {
			t.Errorf("%s: no tensors", path)
		}
		if err := equalTensors(mapped.Tensors(), read.Tensors()); err != nil {
			t.Errorf("%s: mapped and read: %v", path, err)
		}
		copied := filepath.Join(t.TempDir(), "copy")
		if err := WriteSafetensors(copied, mapped.Tensors(), mapped.Metadata()); err != nil {
			t.Fatal(err)
		}
		again, err := Open(copied)
		if err != nil {
			t.Fatal(err)
		}
		if err := equalTensors(mapped.Tensors(), again.Tensors()); err != nil {
			t.Errorf("%s: rewritten: %v", path, err)
		}
		if !maps.Equal(mapped.Metadata(), again.Metadata()) {
			t.Errorf("%s: metadata %v, rewritten %v", path, mapped.Metadata(), again.Metadata())
		}
		for _, f := range []*File{mapped, read, again} {
			if err := f.Close(); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// TestGoldenHalf rounds the float32 model that stands beside each -fp16 and -bf16 model: the bytes must be the same.
func TestGoldenHalf(t *testing.T) {
	found := false
	for _, path := range files(t, golden.Path(t), "model.safetensors") {
		for suffix, dtype := range map[string]DType{"-fp16": F16, "-bf16": BF16} {
			full, ok := strings.CutSuffix(filepath.Dir(path), suffix)
			if !ok || !exists(filepath.Join(full, singleName)) {
				continue
			}
			found = true
			want, err := Open(filepath.Dir(path))
			if err != nil {
				t.Fatal(err)
			}
			defer want.Close()
			have, err := Open(full)
			if err != nil {
				t.Fatal(err)
			}
			defer have.Close()
			if n, m := len(want.Tensors()), len(have.Tensors()); n != m {
				t.Errorf("%s: %d tensors, %d in float32", path, n, m)
			}
			for _, w := range want.Tensors() {
				x, ok := have.Lookup(w.Name)
				if !ok || w.DType != dtype {
					t.Errorf("%s: %v tensor %q, in float32: %t", path, w.DType, w.Name, ok)
					continue
				}
				values := make([]float32, x.Len())
				if err := x.Float32(values); err != nil {
					t.Fatal(err)
				}
				got, err := FromFloat32(dtype, values)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, w.Data) {
					t.Errorf("%s: tensor %q rounds to other bits", path, w.Name)
				}
			}
		}
	}
	if !found {
		t.Skip("no model beside its -fp16 or -bf16 version under " + golden.Path(t))
	}
}

// TestGoldenForeign opens real files of the formats that are recognised only.
func TestGoldenForeign(t *testing.T) {
	goldens := func(t *testing.T) string { return golden.Path(t) }
	models := func(t *testing.T) string { return golden.Shared(t, "models") }
	for _, c := range []struct {
		folder       func(t *testing.T) string
		suffix, want string
	}{
		{goldens, ".legacy.bin", "PyTorch legacy pickle"},
		{goldens, "pytorch_model.bin", "PyTorch zip archive"},
		{models, "ckpt_5", "PyTorch legacy pickle"},
		{models, ".ckpt.index", "TensorFlow checkpoint"},
		{models, "-200000.index", "TensorFlow checkpoint"},
		{models, ".LFS-POINTER", "run git lfs pull"},
	} {
		t.Run(c.suffix, func(t *testing.T) {
			for _, path := range files(t, c.folder(t), c.suffix) {
				f, err := Open(path)
				if err == nil {
					f.Close()
				}
				if err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: error %v, want %q", path, err, c.want)
				}
			}
		})
	}
}
