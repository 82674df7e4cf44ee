package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

// table encodes entries as a table.
func table(t testing.TB, entries ...keyValue) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := writeTable(&b, entries); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// message encodes a protocol buffer of field numbers and values: an int, a uint32 (fixed), a string or bytes.
func message(fields ...any) []byte {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		n := protowire.Number(fields[i].(int))
		switch v := fields[i+1].(type) {
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
		case uint32:
			b = protowire.AppendFixed32(protowire.AppendTag(b, n, protowire.Fixed32Type), v)
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
		default:
			panic(fmt.Sprintf("%T", v))
		}
	}
	return b
}

var goodHeader = keyValue{"", message(headerNumShards, 1)}

// entry is the entry of four bytes of U8.
func bytesEntry(fields ...any) []byte {
	return message(append([]any{entryDType, 4, entryShape, message(shapeDim, message(dimSize, 4)), entrySize, 4, entryCRC, maskedCRC([]byte("data"))}, fields...)...)
}

func TestOpenBadBundles(t *testing.T) {
	good := table(t, goodHeader, keyValue{"x", bytesEntry()})
	damaged := slices.Clone(good)
	damaged[3]++
	compressed := func() []byte {
		b := slices.Clone(good)
		// The data block is the first; it ends a trailer before the metaindex.
		size := bytes.Index(b, []byte("x"))
		for ; size < len(b); size++ {
			if binary.LittleEndian.Uint32(b[size+1:]) == maskedCRC(b[:size], []byte{notCompressed}) {
				break
			}
		}
		b[size] = snappyCompressed
		binary.LittleEndian.PutUint32(b[size+1:], maskedCRC(b[:size], []byte{snappyCompressed}))
		return b
	}()
	footerOnly := append(make([]byte, 40), good[len(good)-8:]...)
	for _, bad := range []struct {
		name, want string
		index      []byte
		data       string // of the one data file; "-": none
	}{
		{"a footer alone", "index: index block: 0 bytes at byte 0 go beyond the end of the file: truncated?", footerOnly, "data"},
		{"a short footer", "index: no table footer at the end: truncated?", good[len(good)-20:], "data"},
		{"a broken handle", "index: footer: a block handle is malformed", append(bytes.Repeat([]byte{0xff}, 40), good[len(good)-8:]...), "data"},
		{"a damaged block", "index: block 0: the CRC is ", damaged, "data"},
		{"a compressed block", "index: block 0: compressed with Snappy, which is not supported", compressed, "data"},
		{"no header", "index: no header: a LevelDB table, but not the index of a TensorFlow checkpoint", table(t, keyValue{"x", nil}), "data"},
		{"an empty table", "index: no header", table(t), "data"},
		{"big-endian", "index: header: written on a big-endian machine", table(t, keyValue{"", message(headerNumShards, 1, headerEndianness, 1)}), "data"},
		{"a later version", "index: header: needs a reader of version 2, this one has 1", table(t, keyValue{"", message(headerNumShards, 1, headerVersion, message(versionConsumer, 2))}), "data"},
		{"no shards", "index: header: 0 data files, want 1 to 99999", table(t, keyValue{"", nil}), "data"},
		{"keys out of order", `index: block 0: key "a" after "x": out of order`, table(t, goodHeader, keyValue{"x", bytesEntry()}, keyValue{"a", bytesEntry()}), "data"},
		{"no protocol buffer", `index: tensor "x": not a protocol buffer`, table(t, goodHeader, keyValue{"x", []byte("\xff")}), "data"},
		{"another wire type", `index: tensor "x": field 1 has the wrong wire type 5`, table(t, goodHeader, keyValue{"x", message(entryDType, uint32(1))}), "data"},
		{"strings", `index: tensor "x": elements of TensorFlow type string are not supported`, table(t, goodHeader, keyValue{"x", message(entryDType, 7)}), "data"},
		{"an unknown type", `index: tensor "x": elements of TensorFlow type 99 are not supported`, table(t, goodHeader, keyValue{"x", message(entryDType, 99)}), "data"},
		{"objects", "an object-based checkpoint (tf.train.Checkpoint of TensorFlow 2)", table(t, goodHeader, keyValue{objectGraph, message(entryDType, 7)}), "data"},
		{"slices", `index: tensor "x": stored in slices (a partitioned variable)`, table(t, goodHeader, keyValue{"x", bytesEntry(entrySlices, []byte{})}), "data"},
		{"an unknown rank", `index: tensor "x": a shape of unknown rank`, table(t, goodHeader, keyValue{"x", bytesEntry(entryShape, message(shapeUnknownRank, 1))}), "data"},
		{"a negative dimension", `index: tensor "x": a dimension of -1`, table(t, goodHeader, keyValue{"x", bytesEntry(entryShape, message(shapeDim, message(dimSize, -1)))}), "data"},
		{"another size", `index: tensor "x": 5 bytes, want 4 for U8 with shape [4]`, table(t, goodHeader, keyValue{"x", bytesEntry(entrySize, 5)}), "data"},
		{"a shape beyond memory", `index: tensor "x": shape [4 4611686018427387904 4611686018427387904] of U8 is larger than the address space`,
			table(t, goodHeader, keyValue{"x", bytesEntry(entryShape, message(shapeDim, message(dimSize, 1<<62), shapeDim, message(dimSize, 1<<62)))}), "data"},
		{"another shard", `index: tensor "x": in data file 1, but there are only 1`, table(t, goodHeader, keyValue{"x", bytesEntry(entryShardID, 1)}), "data"},
		{"an offset beyond any file", `index: tensor "x": 4 bytes at byte 18446744073709551615 exceed the size of any file`, table(t, goodHeader, keyValue{"x", bytesEntry(entryOffset, -1)}), "data"},
		{"an offset beyond the file", `data-00000-of-00001: tensor "x": 4 bytes at byte 1 go beyond the file's 4: truncated?`, table(t, goodHeader, keyValue{"x", bytesEntry(entryOffset, 1)}), "data"},
		{"truncated data", `data-00000-of-00001: tensor "x": 4 bytes at byte 0 go beyond the file's 3: truncated?`, good, "dat"},
		{"empty data", "data-00000-of-00001: the file is empty", good, ""},
		{"damaged data", `data-00000-of-00001: tensor "x": the CRC is `, good, "dato"},
		{"no data", "data-00000-of-00001: the data file is missing: the index holds only names and shapes", good, "-"},
		{"a pointer for data", "data-00000-of-00001: this is a Git LFS pointer, not the data: run git lfs pull", good, "version https://git-lfs.github.com/spec/v1\n"},
	} {
		dir := t.TempDir()
		path := writeFile(t, dir, "x.index", bad.index)
		if bad.data != "-" {
			writeFile(t, dir, "x.data-00000-of-00001", []byte(bad.data))
		}
		f, err := Open(path)
		if err == nil {
			f.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), filepath.Join(dir, "x.")) || !strings.Contains(err.Error(), bad.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line with the file and %q", bad.name, err, bad.want)
		}
	}
	path := writeFile(t, t.TempDir(), "weights", good)
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "must be named PREFIX.index") {
		t.Errorf("an index of another name: %v", err)
	}
}

// TestWriteTensorFlowRoundTrip writes random tensors into a folder with an older checkpoint and reads them.
func TestWriteTensorFlowRoundTrip(t *testing.T) {
	dir := t.TempDir()
	prefix := filepath.Join(dir, "model.ckpt")
	writeFile(t, dir, "model.ckpt.data-00001-of-00002", []byte("old"))
	writeFile(t, dir, "model.ckpt-1.data-00001-of-00002", []byte("another's"))
	rapid.Check(t, func(r *rapid.T) {
		tensors := slices.DeleteFunc(drawTensors(r), func(x Tensor) bool { return x.Name == "" })
		if err := WriteTensorFlow(prefix, tensors); err != nil {
			r.Fatal(err)
		}
		f, err := Open(prefix)
		if err != nil {
			r.Fatal(err)
		}
		defer f.Close()
		if err := equalTensors(f.Tensors(), tensors); err != nil {
			r.Error(err)
		}
	})
	want := []string{"model.ckpt-1.data-00001-of-00002", "model.ckpt.data-00000-of-00001", "model.ckpt.index"}
	if got := list(t, dir); !slices.Equal(got, want) {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
}

// TestReadShards reads a bundle with two data files.
func TestReadShards(t *testing.T) {
	dir := t.TempDir()
	index := table(t, keyValue{"", message(headerNumShards, 2)},
		keyValue{"a", bytesEntry(entryShardID, 1, entryOffset, 1)}, keyValue{"b", bytesEntry()})
	path := writeFile(t, dir, "x.index", index)
	writeFile(t, dir, "x.data-00000-of-00002", []byte("data"))
	second := writeFile(t, dir, "x.data-00001-of-00002", []byte("-data"))
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, x := range f.Tensors() {
		if string(x.Data) != "data" {
			t.Errorf("tensor %q holds %q", x.Name, x.Data)
		}
	}
	if err := os.Remove(second); err != nil {
		t.Fatal(err)
	}
	listed, absent, err := List(path)
	if err != nil {
		t.Fatal(err)
	}
	defer listed.Close()
	a, _ := listed.Lookup("a")
	b, _ := listed.Lookup("b")
	if a.Data != nil || string(b.Data) != "data" || absent == nil || !strings.HasPrefix(absent.Error(), second) {
		t.Errorf("without the second file: %+v, %+v, %v", a, b, absent)
	}
}

// TestTableBlocks writes and reads a table of many blocks.
func TestTableBlocks(t *testing.T) {
	var entries []keyValue
	for i := range 3000 {
		entries = append(entries, keyValue{fmt.Sprintf("layer/%05d/kernel", i), bytes.Repeat([]byte{byte(i)}, 300)})
	}
	file := table(t, entries...)
	got, err := readTable(file)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, entries, func(a, b keyValue) bool { return a.key == b.key && bytes.Equal(a.value, b.value) }) {
		t.Error("the entries differ")
	}
	if blocks := len(file) / blockSize; blocks < 3 {
		t.Errorf("%d blocks are too few to test anything", blocks)
	}
}

func TestSeparator(t *testing.T) {
	for _, c := range [][3]string{
		{"abcd", "abzz", "abd"}, {"abcd", "abdd", "abcd"}, {"ab", "abc", "ab"}, {"a\xff", "b", "a\xff"}, {"", "b", ""}, {"ax", "cx", "b"},
	} {
		if got := separator(c[0], c[1]); got != c[2] || got < c[0] || got >= c[1] {
			t.Errorf("separator(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
	for a, want := range map[string]string{"abc": "b", "\xff\x01z": "\xff\x02", "\xff": "\xff", "": ""} {
		if got := successor(a); got != want {
			t.Errorf("successor(%q) = %q, want %q", a, got, want)
		}
	}
}

func TestWriteTensorFlowRefuses(t *testing.T) {
	dir := t.TempDir()
	prefix := filepath.Join(dir, "x")
	one := Tensor{Name: "x", DType: U8, Shape: []int{1}, Data: []byte{1}}
	if err := WriteTensorFlow(prefix, []Tensor{one}); err != nil {
		t.Fatal(err)
	}
	before := list(t, dir)
	noName := one
	noName.Name = ""
	short := one
	short.Data = nil
	for _, bad := range []struct {
		tensors []Tensor
		want    string
	}{
		{[]Tensor{one, one}, `tensor "x" appears twice`},
		{[]Tensor{noName}, `tensor "": the name has 0 bytes`},
		{[]Tensor{short}, `tensor "x": U8 with shape [1] has 0 bytes of data, want 1`},
	} {
		if err := WriteTensorFlow(prefix, bad.tensors); err == nil || !strings.Contains(err.Error(), prefix+".index: "+bad.want) {
			t.Errorf("error %v, want %q", err, bad.want)
		}
	}
	if err := WriteTensorFlow(filepath.Join(dir, "missing", "x"), []Tensor{one}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("into a missing folder: %v", err)
	}
	if after := list(t, dir); !slices.Equal(before, after) {
		t.Errorf("the folder holds %q, before %q", after, before)
	}
	f, err := Open(prefix)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// FuzzBundleIndex feeds arbitrary bytes to the index parser. An accepted index has valid sizes and sorted entries; written and
// read again, it is the same.
func FuzzBundleIndex(f *testing.F) {
	addHostile(f)
	good := table(f, goodHeader, keyValue{"x", bytesEntry()}, keyValue{"xy", bytesEntry(entryOffset, 4)})
	f.Add(good)
	f.Add(good[1:])
	f.Add(table(f, goodHeader))
	f.Add(table(f))
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) > 1<<16 {
			return
		}
		// Only the contents of the single data block are fuzzed, so that the fuzzer gets past the CRCs.
		for _, index := range [][]byte{file, withBlock(file)} {
			shards, entries, err := parseBundleIndex(index)
			if err != nil {
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("error of several lines: %q", err)
				}
				continue
			}
			for i, e := range entries {
				want, err := byteSize(e.dtype, e.shape)
				if err != nil || e.size != want || e.shard >= shards || e.offset < 0 || e.offset+e.size < 0 {
					t.Errorf("tensor %q: %+v, %v", e.name, e, err)
				}
				if i > 0 && e.name <= entries[i-1].name {
					t.Errorf("%q after %q", e.name, entries[i-1].name)
				}
			}
			kv, err := readTable(index)
			if err != nil {
				t.Fatal(err)
			}
			again, err := readTable(table(t, kv...))
			if err != nil || !slices.EqualFunc(kv, again, func(a, b keyValue) bool { return a.key == b.key && bytes.Equal(a.value, b.value) }) {
				t.Errorf("written and read again, the table differs: %v", err)
			}
		}
	})
}

// withBlock encodes a table whose data block holds the bytes.
func withBlock(block []byte) []byte {
	var b bytes.Buffer
	t := tableWriter{w: &b}
	index := blockBuilder{interval: 1}
	index.add(keyValue{"z", t.block(block).append(nil)})
	meta := blockBuilder{interval: 1}
	footer := t.block(meta.finish()).append(nil)
	footer = t.block(index.finish()).append(footer)
	footer = append(footer, make([]byte, tableFooter-8-len(footer))...)
	t.write(binary.LittleEndian.AppendUint64(footer, tableMagic))
	return b.Bytes()
}
