package checkpoint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOpenDirectory adds one weight file after another to a folder, from the last that Open looks for to the first.
func TestOpenDirectory(t *testing.T) {
	dir := t.TempDir()
	named := func(name string) []Tensor { return []Tensor{{Name: name, DType: U8, Shape: []int{1}, Data: []byte{1}}} }
	safetensors := func(name string) error { return WriteSafetensors(filepath.Join(dir, name), named(name), nil) }
	bundle := func(name string) error { return WriteTensorFlow(filepath.Join(dir, name), named(name)) }
	note := func(path string) error {
		return os.WriteFile(filepath.Join(dir, "checkpoint"), []byte("model_checkpoint_path: \""+path+"\"\nall_model_checkpoint_paths: \"other\"\n"), 0o666)
	}
	for _, step := range []struct {
		name  string
		write func() error
		want  string // the tensor that Open finds, or the error
	}{
		{"weights of any name", func() error { return safetensors("some.weights") }, "some.weights"},
		{"files that are no weights", func() error { return os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o666) }, "some.weights"},
		{"two of any name", func() error { return bundle("model.ckpt-1") }, "several weight files: model.ckpt-1.index, some.weights; give the path"},
		{"Google's name", func() error { return bundle("bert_model.ckpt") }, "bert_model.ckpt"},
		{"TensorFlow's note", func() error { return note("model.ckpt-1") }, "model.ckpt-1"},
		{"a note of another place", func() error { return note("/somewhere/else/model.ckpt-1") }, "model.ckpt-1"},
		{"a note of what is gone", func() error { return note("model.ckpt-2") }, `checkpoint: names "model.ckpt-2" as the newest checkpoint, but model.ckpt-2.index is missing`},
		{"a broken note", func() error { return note("\"") }, "checkpoint: model_checkpoint_path is"},
		{"PyTorch's shards", func() error {
			return WriteTorchSharded(dir, "pytorch_model", append(named("a torch shard"), named("b")...), 1)
		}, "a torch shard"},
		{"PyTorch's file", func() error { return WriteTorch(filepath.Join(dir, "pytorch_model.bin"), named("torch")) }, "torch"},
		{"shards", func() error { return WriteSharded(dir, "model", append(named("a shard"), named("b")...), nil, 1) }, "a shard"},
		{"one file", func() error { return safetensors("model.safetensors") }, "model.safetensors"},
		// The name says where to look, the content what it is.
		{"another format of that name", func() error { return WriteTorch(filepath.Join(dir, "model.safetensors"), named("torch by content")) }, "torch by content"},
	} {
		if err := step.write(); err != nil {
			t.Fatal(err)
		}
		f, err := Open(dir)
		if err != nil {
			if !strings.HasPrefix(err.Error(), dir) || !strings.Contains(err.Error(), step.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: error %v, want one line with the folder and %q", step.name, err, step.want)
			}
			continue
		}
		if x := f.Tensors()[0]; x.Name != step.want {
			t.Errorf("%s: tensor %q, want %q", step.name, x.Name, step.want)
		}
		f.Close()
	}
}

// TestFormatAt recognises the files of a folder without reading them whole.
func TestFormatAt(t *testing.T) {
	dir := t.TempDir()
	if f := formatAt(filepath.Join(dir, "missing")); f != nil {
		t.Errorf("a missing file is a %s", f.name)
	}
	if f := formatAt(dir); f != nil {
		t.Errorf("a folder is a %s", f.name)
	}
	for content, want := range map[string]string{
		"": "", "short": "", "nothing that is known": "", string(build("{}", "")): "safetensors", legacyMagic: "PyTorch legacy pickle",
		"version https://git-lfs.github.com/spec/v1\n": lfsPointer, strings.Repeat("x", 1000) + string(table(t)): "TensorFlow checkpoint",
	} {
		got := ""
		if f := formatAt(writeFile(t, dir, "x", []byte(content))); f != nil {
			got = f.name
		}
		if got != want {
			t.Errorf("%.20q is a %q, want %q", content, got, want)
		}
	}
}
