package archive

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// pack makes an archive of files with the given contents.
func pack(t testing.TB, files map[string]string) []byte {
	t.Helper()
	dir := fstest.MapFS{}
	var names []string
	for name, content := range files {
		dir[name] = &fstest.MapFile{Data: []byte(content)}
		names = append(names, name)
	}
	slices.Sort(names)
	var b bytes.Buffer
	if err := Write(&b, dir, names, Storage{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(data []byte) (*Reader, error) { return Open(bytes.NewReader(data), int64(len(data)), nil) }

var sample = map[string]string{
	"config.json":       `{"hidden_size": 256}`,
	"empty.txt":         "",
	"model.safetensors": strings.Repeat("\x01\x80\x02\x3f", 1000) + "odd", // an odd number of bytes
	"one.safetensors":   "x",
	"none.safetensors":  "",
}

// TestRoundTrip checks that files survive packing, and that the same files give the same bytes.
func TestRoundTrip(t *testing.T) {
	data := pack(t, sample)
	if !bytes.Equal(data, pack(t, sample)) {
		t.Error("the same files gave other bytes")
	}
	r, err := open(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Files()) != len(sample) {
		t.Errorf("%d files, want %d", len(r.Files()), len(sample))
	}
	for _, f := range r.Files() {
		var b bytes.Buffer
		n, err := f.WriteTo(&b)
		if want := sample[f.Name()]; err != nil || b.String() != want || n != f.Size() || f.Size() != int64(len(want)) {
			t.Errorf("%s: %d bytes, %v; want %d", f.Name(), b.Len(), err, len(want))
		}
	}
	other := map[string]string{"config.json": `{"hidden_size": 128}`}
	q, err := open(pack(t, other))
	if err != nil {
		t.Fatal(err)
	}
	if q.Digest() == r.Digest() {
		t.Error("other files have the same digest")
	}
}

// TestDamage checks that a changed byte either leaves the contents intact or causes an error.
func TestDamage(t *testing.T) {
	data := pack(t, map[string]string{"model.safetensors": strings.Repeat("\x01\x80\x02\x3f", 20)})
	for i := range data {
		damaged := bytes.Clone(data)
		damaged[i] ^= 0x10
		r, err := open(damaged)
		if err != nil {
			continue
		}
		for _, f := range r.Files() {
			var b bytes.Buffer
			if _, err := f.WriteTo(&b); err == nil && b.String() != strings.Repeat("\x01\x80\x02\x3f", 20) {
				t.Errorf("byte %d changed: other contents, no error", i)
			}
		}
	}
}

// TestOutside checks that an archive can't name a file outside its folder.
func TestOutside(t *testing.T) {
	data := pack(t, map[string]string{"xyzzy": ""})
	for _, name := range []string{"../zy", "xy//y", "/yzzy", "xyz/."} {
		if _, err := open(bytes.ReplaceAll(data, []byte("xyzzy"), []byte(name))); err == nil {
			t.Errorf("opened an archive with the file %q", name)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(pack(f, sample))
	f.Add(pack(f, map[string]string{"a": "b"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := open(data)
		if err != nil {
			return
		}
		for _, file := range r.Files() {
			if n, err := file.WriteTo(io.Discard); err == nil && n != file.Size() {
				t.Errorf("%q: %d bytes and no error, want %d", file.Name(), n, file.Size())
			}
		}
	})
}
