package checkpoint

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// five are tensors of 4, 2, 2, 9 and 1 bytes.
func five() []Tensor {
	return []Tensor{
		{Name: "e", DType: F32, Shape: []int{1}, Data: []byte("1234")},
		{Name: "d", DType: F16, Shape: []int{1}, Data: []byte("12")},
		{Name: "c", DType: U8, Shape: []int{2}, Data: []byte("12")},
		{Name: "b", DType: U8, Shape: []int{3, 3}, Data: []byte("123456789")},
		{Name: "a", DType: U8, Shape: []int{1}, Data: []byte("1")},
	}
}

// TestWriteSharded pins the layout: shards are filled in the order of the tensors, and a tensor larger than a shard gets its
// own.
func TestWriteSharded(t *testing.T) {
	dir := t.TempDir()
	if err := WriteSharded(dir, "model", five(), map[string]string{"format": "pt"}, 6); err != nil {
		t.Fatal(err)
	}
	names := []string{"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors", "model.safetensors.index.json"}
	if got := list(t, dir); !slices.Equal(got, names) {
		t.Errorf("the folder holds %q, want %q", got, names)
	}
	index, err := os.ReadFile(filepath.Join(dir, "model.safetensors.index.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "metadata": {
    "total_size": 18
  },
  "weight_map": {
    "a": "model-00003-of-00003.safetensors",
    "b": "model-00002-of-00003.safetensors",
    "c": "model-00003-of-00003.safetensors",
    "d": "model-00001-of-00003.safetensors",
    "e": "model-00001-of-00003.safetensors"
  }
}
`
	if string(index) != want {
		t.Errorf("the index is\n%s\nwant\n%s", index, want)
	}
	shard, err := Open(filepath.Join(dir, names[2]))
	if err != nil {
		t.Fatal(err)
	}
	defer shard.Close()
	if err := equalTensors(shard.Tensors(), []Tensor{five()[2], five()[4]}); err != nil {
		t.Error(err)
	}
	if shard.Metadata()["format"] != "pt" {
		t.Errorf("the metadata of a shard is %v", shard.Metadata())
	}
	byIndex, err := Open(filepath.Join(dir, names[3]))
	if err != nil {
		t.Fatal(err)
	}
	defer byIndex.Close()
	if err := equalTensors(byIndex.Tensors(), five()); err != nil {
		t.Error(err)
	}
}

// TestWriteShardedReplaces writes one checkpoint over another: left-over shards are removed, other files stay.
func TestWriteShardedReplaces(t *testing.T) {
	dir := t.TempDir()
	others := []string{"config.json", "model-00001-of-00003.safetensors.bak", "model-best.safetensors", "other-00001-of-00003.safetensors"}
	for _, name := range others {
		writeFile(t, dir, name, []byte("other"))
	}
	for _, step := range []struct {
		limit int64
		files []string
	}{
		{6, []string{"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors", "model.safetensors.index.json"}},
		{9, []string{"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors", "model.safetensors.index.json"}},
		{17, []string{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"}},
		{18, []string{"model.safetensors"}},
		{17, []string{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"}},
	} {
		tensors := five()
		tensors[0].Data[0] = byte(step.limit)
		if err := WriteSharded(dir, "model", tensors, nil, step.limit); err != nil {
			t.Fatal(err)
		}
		want := slices.Sorted(slices.Values(append(slices.Clone(others), step.files...)))
		if got := list(t, dir); !slices.Equal(got, want) {
			t.Errorf("in shards of %d bytes the folder holds %q, want %q", step.limit, got, want)
		}
		f, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := equalTensors(f.Tensors(), tensors); err != nil {
			t.Errorf("in shards of %d bytes: %v", step.limit, err)
		}
		f.Close()
	}
}

func TestWriteShardedNothing(t *testing.T) {
	dir := t.TempDir()
	if err := WriteSharded(dir, "model", nil, nil, 1); err != nil {
		t.Fatal(err)
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n := len(f.Tensors()); n != 0 {
		t.Errorf("%d tensors, want none", n)
	}
}

func TestWriteShardedFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, limit := range []int64{6, 18} {
		if err := WriteSharded("", "model", five(), nil, limit); err != nil {
			t.Fatal(err)
		}
		f, err := Open(".")
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		err = WriteSharded("missing", "model", five(), nil, limit)
		if !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "tmp") || !strings.Contains(err.Error(), "missing") {
			t.Errorf("in a folder that is not there: %v", err)
		}
	}
}

func TestOpenBadShards(t *testing.T) {
	const first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
	u8 := func(name string) string { return `"` + name + `":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}` }
	for _, bad := range []struct {
		index         string // the weight_map
		first, second []byte // nil: missing
		file, want    string // which file the error names
	}{
		{`"a":"` + first + `","b":"` + second + `"`, build("{"+u8("a")+"}", ""), nil,
			indexName, `shard "` + second + `" is missing`},
		{`"a":"` + first + `","b":"` + second + `"`, build("{"+u8("a")+"}", ""), build("{}", ""),
			second, `tensor "b" is missing, but the index ` + indexName + ` places it here`},
		{`"a":"` + first + `","b":"` + second + `"`, build("{"+u8("a")+"}", ""), build("{"+u8("b")+","+u8("c")+"}", ""),
			second, `tensor "c" is not in this shard according to the index ` + indexName},
		{`"a":"` + first + `","b":"` + second + `"`, build("{"+u8("a")+"}", ""), build("{"+u8("b")+","+u8("a")+"}", ""),
			second, `tensor "a" is not in this shard according to the index`},
		{`"a":"` + first + `","b":"` + second + `"`, build("{"+u8("a")+"}", ""), []byte("version https://git-lfs.github.com/spec/v1\n"),
			second, "Git LFS pointer"},
		{`"a":"` + first + `","b":"` + second + `"`, build("{"+u8("a")+"}", ""), build("{"+u8("b")+"}", "x"),
			second, "1 bytes of data after"},
		{`"a":"` + indexName + `"`, nil, nil,
			indexName, "not a weight file"},
	} {
		dir := t.TempDir()
		writeFile(t, dir, indexName, []byte(`{"weight_map": {`+bad.index+`}}`))
		for name, content := range map[string][]byte{first: bad.first, second: bad.second} {
			if content != nil {
				writeFile(t, dir, name, content)
			}
		}
		f, err := Open(dir)
		if err == nil {
			f.Close()
		}
		if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, bad.file)+": ") || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("error %v, want %s: %s", err, bad.file, bad.want)
		}
	}
}

// TestOpenPrefersTheSingleFile checks that a single file precedes shards, as in Hugging Face's libraries.
func TestOpenPrefersTheSingleFile(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, singleName, build("{}", ""))
	writeFile(t, dir, indexName, []byte("not looked at"))
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// TestWriteOverAnOpenFile overwrites an open checkpoint, as saving a model to where it was loaded from does.
func TestWriteOverAnOpenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := WriteSafetensors(path, five(), nil); err != nil {
		t.Fatal(err)
	}
	old, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := WriteSafetensors(path, old.Tensors()[1:], nil); err != nil {
		t.Fatal(err)
	}
	if err := equalTensors(old.Tensors(), five()); err != nil {
		t.Errorf("the open file changed: %v", err)
	}
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := equalTensors(again.Tensors(), five()[:4]); err != nil {
		t.Error(err)
	}
}
