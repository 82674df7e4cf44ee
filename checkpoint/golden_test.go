package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/internal/mmap"
)

// filesIn returns the files under root whose names end in suffix. It skips the test if there are none.
func filesIn(t *testing.T, root, suffix string) []string {
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
	t.Run("goldens", func(t *testing.T) { readAndRewrite(t, filesIn(t, golden.Path(t), ".safetensors")) })
	t.Run("models", func(t *testing.T) { readAndRewrite(t, filesIn(t, golden.Shared(t, "models"), ".safetensors")) })
}

// readAndRewrite reads files, mapped and unmapped, writes their contents, and reads the result.
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

// TestGoldenHalf rounds the float32 model next to each -fp16 and -bf16 model: the bytes must be the same.
func TestGoldenHalf(t *testing.T) {
	found := false
	for _, path := range filesIn(t, golden.Path(t), "model.safetensors") {
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

// TestGoldenTorch compares files of current and older versions of torch.save with the safetensors file next to them.
func TestGoldenTorch(t *testing.T) {
	compared := 0
	for suffix, format := range map[string]Format{"pytorch_model.bin": Torch, "pytorch_model.legacy.bin": TorchLegacy} {
		for _, path := range filesIn(t, golden.Path(t, "model"), suffix) {
			f, err := Open(path)
			if err != nil {
				t.Error(err)
				continue
			}
			defer f.Close()
			if f.Format() != format {
				t.Errorf("%s: read as %v, want %v", path, f.Format(), format)
			}
			reference := filepath.Join(filepath.Dir(path), singleName)
			if !exists(reference) {
				continue // its names differ: the model's own tests compare it
			}
			want, err := Open(reference)
			if err != nil {
				t.Fatal(err)
			}
			defer want.Close()
			if err := equalTensors(f.Tensors(), want.Tensors()); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			compared++
		}
	}
	if compared == 0 {
		t.Skip("no file of PyTorch beside a model.safetensors")
	}
}

// TestGoldenTorchStrides reads a file with shared storages and transposed strides, in both of PyTorch's formats.
func TestGoldenTorchStrides(t *testing.T) {
	dir := golden.Path(t, "model", "c3", "pretraining-old-names")
	archive, err := Open(filepath.Join(dir, "pytorch_model.bin"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	legacy, err := Open(filepath.Join(dir, "pytorch_model.legacy.bin"))
	if err != nil {
		t.Fatal(err)
	}
	defer legacy.Close()
	if err := equalTensors(archive.Tensors(), legacy.Tensors()); err != nil {
		t.Error(err)
	}
	reference, err := Open(golden.Path(t, "model", "c3", "pretraining"))
	if err != nil {
		t.Fatal(err)
	}
	defer reference.Close()
	for _, names := range [][2]string{
		{"bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"},
		{"cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"},
		{"cls.predictions.decoder.bias", "cls.predictions.bias"},
		{"bert.encoder.layer.0.intermediate.dense.weight", "bert.encoder.layer.0.intermediate.dense.weight"},
	} {
		got, ok := archive.Lookup(names[0])
		want, wantOK := reference.Lookup(names[1])
		if !ok || !wantOK {
			t.Errorf("%v: %v %v", names, ok, wantOK)
			continue
		}
		if !slices.Equal(got.Shape, want.Shape) || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("tensor %q %v is not the reference's %q %v", names[0], got.Shape, names[1], want.Shape)
		}
	}
	ids, ok := archive.Lookup("bert.embeddings.position_ids")
	if !ok || ids.DType != I64 || ids.Data[8] != 1 {
		t.Errorf("position_ids: %+v, %v", ids, ok)
	}
}

// TestGoldenTorchLegacy reads a real checkpoint: a dict of two state_dicts and a number, saved on a GPU. The hash covers the
// names and bytes that PyTorch 1.13 reads from it, in the order of the names.
func TestGoldenTorchLegacy(t *testing.T) {
	f, err := Open(golden.Shared(t, "models", "torch-legacy-pickle"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	for _, x := range f.Tensors() {
		h.Write(append([]byte(x.Name), 0))
		h.Write(x.Data)
	}
	const want = "ad22def0ffa334eb405021b22a37a50b6e68db0748bc7865e9ff6123b5a368c4"
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("names and data have the hash %s, want %s", got, want)
	}
	word, ok := f.Lookup("state_dict_embeddings.word_embeddings.weight")
	if n := len(f.Tensors()); n != 59 || !ok || !slices.Equal(word.Shape, []int{7145, 64}) {
		t.Errorf("%d tensors, want 59; word embeddings %+v", n, word)
	}
	if m := f.Metadata(); !maps.Equal(m, map[string]string{"epoch": "5"}) {
		t.Errorf("metadata %v, want epoch 5", m)
	}
}

// TestGoldenTensorFlow reads a real bundle by each of its names. Its CRCs verify every byte.
func TestGoldenTensorFlow(t *testing.T) {
	dir := golden.Shared(t, "models", "bert4rec-tf")
	prefix := filepath.Join(dir, "model.ckpt-200000")
	for _, path := range []string{dir, prefix, prefix + ".index", prefix + ".data-00000-of-00001"} {
		f, err := Open(path)
		if err != nil {
			t.Error(err)
			continue
		}
		defer f.Close()
		step, ok := f.Lookup("global_step")
		if !ok || step.DType != I64 || binary.LittleEndian.Uint64(step.Data) != 200000 {
			t.Errorf("%s: global_step %+v, want 200000", path, step)
		}
		// 42 variables, each with Adam's two slots, and the step.
		if n := len(f.Tensors()); n != 3*42+1 || f.Format() != TensorFlow {
			t.Errorf("%s: %d tensors in a %v, want %d", path, n, f.Format(), 3*42+1)
		}
	}
}

// TestGoldenTensorFlowIndex lists Google's BERT-Medium from its index; the data file is missing.
func TestGoldenTensorFlowIndex(t *testing.T) {
	dir := golden.Shared(t, "models", "bert-medium-tf-index-only")
	f, absent, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n := len(f.Tensors()); n != 142 {
		t.Errorf("%d tensors, want 142", n)
	}
	word, ok := f.Lookup("bert/embeddings/word_embeddings")
	if !ok || word.DType != F32 || !slices.Equal(word.Shape, []int{30522, 512}) || word.Data != nil {
		t.Errorf("word embeddings are %+v", word)
	}
	const want = "bert_model.ckpt.data-00000-of-00001: the data file is missing"
	if absent == nil || !strings.Contains(absent.Error(), want) {
		t.Errorf("List: absent %v, want %q", absent, want)
	}
	if _, err := Open(dir); err == nil || err.Error() != absent.Error() {
		t.Errorf("Open: %v, want %v", err, absent)
	}
}

// TestGoldenTensorFlowBytes rewrites TensorFlow's own files: the bytes must be the same.
func TestGoldenTensorFlowBytes(t *testing.T) {
	for _, path := range filesIn(t, golden.Shared(t, "models"), ".index") {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := readTable(want)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := writeTable(&got, entries); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: written again, the table has other bytes", path)
		}
	}
	path := golden.Shared(t, "models", "bert4rec-tf", "model.ckpt-200000")
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	copied := filepath.Join(t.TempDir(), "model.ckpt")
	if err := WriteTensorFlow(copied, f.Tensors()); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{".index", ".data-00000-of-00001"} {
		want, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(copied + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s%s: written again, the file has other bytes", path, suffix)
		}
	}
}

// TestGoldenPointer opens the placeholder of a file that Git LFS did not fetch.
func TestGoldenPointer(t *testing.T) {
	for _, path := range filesIn(t, golden.Shared(t, "models"), ".LFS-POINTER") {
		if _, err := Open(path); err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), "run git lfs pull") {
			t.Errorf("error %v, want the advice to run git lfs pull", err)
		}
	}
}
