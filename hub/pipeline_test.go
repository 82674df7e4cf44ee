package hub

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A sentence-transformers folder comes with the files of its modules, and with nothing else of its folders.
func TestPullPipeline(t *testing.T) {
	pipeline := map[string]string{
		"modules.json":                      `[{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Dense"}, {"path": "3_Dense"}, {"path": "../x"}, {"path": "4_Normalize"}]`,
		"config_sentence_transformers.json": "{}",
		"sentence_bert_config.json":         `{"max_seq_length": 256}`,
		"1_Pooling/config.json":             `{"pooling_mode_mean_tokens": true}`,
		"2_Dense/config.json":               `{"in_features": 4}`,
		"2_Dense/model.safetensors":         "weights",
		"3_Dense/config.json":               `{"in_features": 8}`,
		"3_Dense/pytorch_model.bin":         "others",
	}
	all := maps.Clone(modelFiles)
	maps.Copy(all, pipeline)
	for _, name := range []string{"2_Dense/pytorch_model.bin", "1_Pooling/README.md", "onnx/config.json"} {
		all[name] = "not wanted"
	}
	s := newServer(t, all)
	h := s.hub(t)
	snapshot, err := pull(t, h, "org/model")
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(slices.Values(slices.Concat(wantNames, slices.Collect(maps.Keys(pipeline)))))
	if got := slices.Sorted(slices.Values(snapshot.Files)); !slices.Equal(got, want) {
		t.Errorf("the files are %q, want %q", got, want)
	}
	for _, name := range want {
		if data, err := os.ReadFile(filepath.Join(snapshot.Dir, filepath.FromSlash(name))); err != nil || string(data) != all[name] {
			t.Errorf("%s is not what the server has: %v", name, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "copy")
	if err := snapshot.CopyTo(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "2_Dense", "model.safetensors")); err != nil || string(data) != "weights" {
		t.Errorf("the copy of a module is %q: %v", data, err)
	}

	// A damaged file of a module is noticed, and fetched again.
	damaged := filepath.Join(snapshot.Dir, "1_Pooling", "config.json")
	blob, err := filepath.EvalSymlinks(damaged)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blob, []byte("{}"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := pull(t, h, "org/model"); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(damaged); err != nil || string(data) != all["1_Pooling/config.json"] {
		t.Errorf("after another pull, the damaged file is %q: %v", data, err)
	}
}
