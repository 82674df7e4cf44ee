package checkpoint

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/testbound"
)

// hostile are files that claim more than they hold, as generators: of about size bytes, so that large ones hold the readers to
// their bounds, and small ones are seeds for fuzzing. name is that of the file.
var hostile = []struct {
	what, name string
	content    func(size int) []byte
	want       string // in the error; "" for a file that is read
}{
	{"metadata keys", "x", func(size int) []byte {
		return header(size, `"__metadata__":{`, func(i int) string { return fmt.Sprintf(`"%x":"",`, i) }, `"":""}`)
	}, "more than 131072 entries beside the tensors"},
	{"one metadata value", "x", func(size int) []byte {
		return build(`{"__metadata__":{"a":"`+strings.Repeat("a", size)+`"}}`, "")
	}, ""},
	{"one metadata value of escapes", "x", func(size int) []byte {
		return build(`{"__metadata__":{"a":"`+strings.Repeat(`\u0041`, size/6)+`"}}`, "")
	}, ""},
	{"tensors of nothing", "x", func(size int) []byte {
		return header(size, "", func(i int) string { return fmt.Sprintf(`"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},`, i) },
			`"":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`)
	}, "more than 65536 tensors"},
	{"dimensions", "x", func(size int) []byte {
		return build(`{"x":{"dtype":"U8","shape":[`+strings.Repeat("1,", size/2)+`1],"data_offsets":[0,1]}}`, "a")
	}, "more than 64 numbers"},
	{"digits", "x", func(size int) []byte {
		return build(`{"x":{"dtype":"U8","shape":[`+strings.Repeat("9", size)+`],"data_offsets":[0,1]}}`, "a")
	}, "is not a whole number"},
	{"a long dtype", "x", func(size int) []byte {
		return build(`{"x":{"dtype":"`+strings.Repeat("F", size)+`","shape":[1],"data_offsets":[0,1]}}`, "a")
	}, "is not supported"},
	{"a long name", "x", func(size int) []byte {
		return build(`{"`+strings.Repeat("é", size/2)+`":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, "a")
	}, "bytes, want at most 1024"},
	{"a long number for a string", "x", func(size int) []byte {
		return build(`{"x":{"dtype":`+strings.Repeat("9", size)+`}}`, "a")
	}, "where a string should be"},
	{"brackets", "x", func(size int) []byte { return build(`{"x":`+strings.Repeat("[", size), "") }, "where { should be"},
	{"spaces", "x", func(size int) []byte { return build("{"+strings.Repeat(" ", size), "") }, "unexpected EOF"},

	{"an index of shards: tensors", "x.index.json", func(size int) []byte {
		return header(size, `"weight_map":{`, func(i int) string { return fmt.Sprintf(`"%x":"a",`, i) }, `"":"a"}`)[8:]
	}, "more than 65536 tensors"},
	{"an index of shards: other keys", "x.index.json", func(size int) []byte {
		return header(size, ``, func(i int) string { return fmt.Sprintf(`"%x":0,`, i) }, `"":0`)[8:]
	}, "more than 131072 entries"},
	{"an index of shards: nesting", "x.index.json", func(size int) []byte {
		return []byte(`{"metadata":` + strings.Repeat("[", size/2) + strings.Repeat("]", size/2) + `}`)
	}, "a malformed value"},
	{"an index of shards: one value", "x.index.json", func(size int) []byte {
		return []byte(`{"metadata":` + strings.Repeat("9", size) + `,"weight_map":{}}`)
	}, ""},
	{"an index of shards: a long file name", "x.index.json", func(size int) []byte {
		return []byte(`{"weight_map":{"a":"` + strings.Repeat("9", size) + `"}}`)
	}, "is not a file name"},

	{"keys that share bytes", "x.index", func(size int) []byte { return sharedKeys(size, maxKey-8) }, "names of more than"},
	{"long keys that share bytes", "x.index", func(size int) []byte { return sharedKeys(size, 4093) }, "bytes, want at most 1024"},
	{"short keys that share bytes", "x.index", func(size int) []byte { return sharedKeys(size, 4) }, "more than 65536 tensors"},
	{"a TensorFlow shape", "x.index", func(size int) []byte {
		return rawTable(keyValue{"", goodHeader.value}, keyValue{"x", message(entryDType, 4, entryShape, bytes.Repeat(message(shapeDim, message(dimSize, 1)), size/4))})
	}, "more than 64 dimensions"},

	{"dicts", "x", func(size int) []byte { return torchOf(bytes.Repeat([]byte("}"), size)) }, "values at once"},
	{"lists", "x", func(size int) []byte { return torchOf(bytes.Repeat([]byte("]"), size)) }, "values at once"},
	{"marks", "x", func(size int) []byte { return torchOf(bytes.Repeat([]byte("("), size)) }, "values at once"},
	{"numbers", "x", func(size int) []byte { return torchOf(bytes.Repeat([]byte("K\xff"), size/2)) }, "values at once"},
	{"empty strings", "x", func(size int) []byte { return torchOf(bytes.Repeat([]byte("U\x00"), size/2)) }, "values at once"},
	{"lists in a list", "x", func(size int) []byte { return torchOf([]byte("]"), bytes.Repeat([]byte("]a"), size/2)) }, "builds more objects"},
	{"nested lists", "x", func(size int) []byte {
		return torchOf(bytes.Repeat([]byte("]"), size/2), bytes.Repeat([]byte("a"), size/2))
	}, "values at once"},
	{"nested tuples", "x", func(size int) []byte { return torchOf([]byte("N"), bytes.Repeat([]byte{opTuple1}, size)) }, "builds more objects"},
	{"tuples from marks", "x", func(size int) []byte { return torchOf([]byte("]"), bytes.Repeat([]byte("(ta"), size/3)) }, "builds more objects"},
	{"a list in the memo", "x", func(size int) []byte {
		return torchOf([]byte("]\x94"), bytes.Repeat([]byte{opBinGet, 0, opMemoize, 'a'}, size/4))
	}, "builds more objects"},
	{"memo entries", "x", func(size int) []byte { return torchOf([]byte("]"), bytes.Repeat([]byte{opMemoize}, size)) }, "builds more objects"},
	{"frames", "x", func(size int) []byte { return torchOf(bytes.Repeat([]byte("\x95........"), size/9)) }, "0 values at the end"},
	{"builds", "x", func(size int) []byte { return torchOf([]byte("}"), bytes.Repeat([]byte("Nb"), size/2)) }, "instructions"},
	{"values in a dict", "x", func(size int) []byte {
		return torchOf([]byte("}"), bytes.Repeat([]byte("NNs"), size/3))
	}, "builds more objects"},
	{"dicts that hold one another twice", "x", func(int) []byte {
		b := []byte("(}\x94")
		for i := range 40 {
			b = append(b, '}', opMemoize, '(', 'K', 1, opBinGet, byte(i), 'K', 2, opBinGet, byte(i), 'u')
		}
		return torchOf(b, []byte("t"))
	}, "refer to one another too often"},
	{"values under a long key", "x", func(size int) []byte {
		key := strings.Repeat("k", 1000)
		b := append([]byte{'}', opBinUnicode}, binary.LittleEndian.AppendUint32(nil, uint32(len(key)))...)
		b = append(append(b, key...), ']', '(')
		return torchOf(b, bytes.Repeat([]byte("N"), min(size, 100_000)), []byte("es"))
	}, "names of more than"},
	{"one long string many times", "x", func(size int) []byte {
		b := append([]byte{']', '(', opBinUnicode}, binary.LittleEndian.AppendUint32(nil, uint32(size/2))...)
		b = append(append(b, strings.Repeat("s", size/2)...), opMemoize)
		return torchOf(b, bytes.Repeat([]byte{opBinGet, 0}, min(size/4, 100_000)), []byte("e"))
	}, "refer to one another too often"},
	{"a long name of a class", "x", func(size int) []byte {
		return torchOf([]byte("c"), bytes.Repeat([]byte("n"), size), []byte("\nx\n"))
	}, "want a dict of tensors"},
	{"a long key of a storage", "x", func(size int) []byte {
		b := append([]byte{opMark, opShortBinString, 7}, "storage"...)
		b = append(b, "ctorch\nByteStorage\n"...)
		b = append(append(b, opBinUnicode), binary.LittleEndian.AppendUint32(nil, uint32(size))...)
		b = append(b, strings.Repeat("k", size)...)
		return torchOf(b, []byte("NK\xffN"), []byte{opTuple, opBinPersID})
	}, "1 storages of the state are not in the file"},
	{"views of one storage", "x", func(size int) []byte { return views(size/2, size/1000) }, "they share data"},
	{"transposed views of one storage", "x", func(size int) []byte { return transposedViews(size / 2) }, "not in row-major order"},
	{"an archive of many records", "x", func(size int) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for i := 0; b.Len() < size/2; i++ {
			w, err := z.CreateRaw(&zip.FileHeader{Name: fmt.Sprintf("%x", i)})
			if err != nil {
				panic(err)
			}
			io.WriteString(w, "")
		}
		z.Close()
		return b.Bytes()
	}, "the archive's directory has more than"},
	{"an archive with a long name", "x", func(size int) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for i := range max(1, size/130_000) {
			z.CreateRaw(&zip.FileHeader{Name: fmt.Sprint(i) + strings.Repeat("n", 65_000)})
		}
		z.Close()
		return b.Bytes()
	}, "archive"},

	{"nodes of nothing", "x.onnx", func(size int) []byte { return graphOf(bytes.Repeat(message(1, message(4, "A")), size/5)) }, "more parts than"},
	{"attributes of nothing", "x.onnx", func(size int) []byte {
		return graphOf(message(1, append(message(4, "A"), bytes.Repeat(message(5, ""), size/2)...)))
	}, "more parts than"},
	{"inputs of nothing", "x.onnx", func(size int) []byte {
		return graphOf(message(1, append(message(4, "A"), bytes.Repeat(message(1, ""), size/2)...)))
	}, "more parts than"},
	{"packed ints", "x.onnx", func(size int) []byte {
		return graphOf(message(1, message(4, "A", 5, message(8, strings.Repeat("\x01", size)))))
	}, "more parts than"},
	{"ints that are not packed", "x.onnx", func(size int) []byte {
		return graphOf(message(1, message(4, "A", 5, bytes.Repeat(message(8, 1), size/2))))
	}, "more parts than"},
	{"initializers of nothing", "x.onnx", func(size int) []byte { return graphOf(bytes.Repeat(message(5, ""), size/2)) }, "more parts than"},
	{"dimensions", "x.onnx", func(size int) []byte { return graphOf(message(5, message(1, strings.Repeat("\x01", size)))) }, "more than 64 dimensions"},
	{"numbers of one byte", "x.onnx", func(size int) []byte {
		return graphOf(message(5, message(1, size, 2, 7, 7, strings.Repeat("\x01", size))))
	}, "more parts than"},
	{"floats one by one", "x.onnx", func(size int) []byte {
		return graphOf(message(5, append(message(1, size/5, 2, 1, 8, "x.weight"), bytes.Repeat(message(4, uint32(1)), size/5)...)))
	}, ""},
	{"names for one tensor", "x.onnx", func(size int) []byte {
		n := size / 2
		parts := [][]byte{message(5, message(1, n, 2, 2, 8, "a.weight", 9, strings.Repeat("w", n)))}
		for i := range min(n/40, 50_000) {
			parts = append(parts, message(1, message(1, "a.weight", 2, fmt.Sprintf("name%d.weight", i), 4, "Identity")))
		}
		return graphOf(parts...)
	}, "they share data"},
	{"a chain of names", "x.onnx", func(size int) []byte {
		parts := [][]byte{message(5, message(1, 4, 2, 2, 8, "0.weight", 9, "wwww"))}
		for i := range size / 40 {
			parts = append(parts, message(1, message(1, fmt.Sprintf("%x.weight", i), 2, fmt.Sprintf("%x.weight", i+1), 4, "Identity")))
		}
		return graphOf(parts...)
	}, "more parts than"},
	{"a long name", "x.onnx", func(size int) []byte {
		return graphOf(message(5, message(1, 4, 2, 2, 8, strings.Repeat("n", size), 9, "www")))
	}, "want 4 for type 2"},
}

// addHostile adds small hostile files to the corpus of a fuzz test.
func addHostile(f *testing.F) {
	for _, h := range hostile {
		f.Add(h.content(300))
	}
}

// header is a safetensors header of about size bytes: begin, members and end.
func header(size int, begin string, member func(i int) string, end string) []byte {
	var b strings.Builder
	b.WriteString("{" + begin)
	for i := 0; b.Len() < size; i++ {
		b.WriteString(member(i))
	}
	b.WriteString(end + "}")
	return build(b.String(), "")
}

// torchOf is a legacy file whose state is a pickle of these instructions.
func torchOf(parts ...[]byte) []byte {
	file := []byte(legacyMagic)
	file = append(file, program(int64(legacyVersion))...)
	file = append(file, program(opEmptyDict)...)
	file = append(file, opProto, 2)
	file = append(file, bytes.Join(parts, nil)...)
	file = append(file, opStop)
	return append(file, program(opEmptyList)...)
}

// views is a file of n tensors that are each the whole of one storage.
func views(bytesOf, n int) []byte {
	return tensorsOf(bytesOf, n, []int{bytesOf}, []int{1})
}

func transposedViews(bytesOf int) []byte {
	side := 1
	for side*side*4 <= bytesOf {
		side *= 2
	}
	return tensorsOf(side*side, 8, []int{side, side}, []int{1, side})
}

func tensorsOf(bytesOf, n int, shape, strides []int) []byte {
	parts := []any{opEmptyDict}
	for i := range n {
		parts = append(parts, fmt.Sprintf("%x", i), global("torch._utils._rebuild_tensor_v2"), opMark, opMark, "storage",
			global("torch.ByteStorage"), "0", "cpu", int64(bytesOf), opTuple, opBinPersID, int64(0), shape, strides, opNewFalse,
			opEmptyDict, opTuple, opReduce, opSetItem)
	}
	file := slices.Concat([]byte(legacyMagic), program(int64(legacyVersion)), program(opEmptyDict), program(parts...),
		program(opEmptyList, "0", opAppend))
	file = binary.LittleEndian.AppendUint64(file, uint64(bytesOf))
	return append(file, make([]byte, bytesOf)...)
}

// graphOf is an ONNX model whose graph has these fields.
func graphOf(fields ...[]byte) []byte {
	return message(1, 8, 2, "test", 7, bytes.Join(fields, nil))
}

// rawTable is a table of one block, in which keys need not be in order.
func rawTable(entries ...keyValue) []byte {
	var b bytes.Buffer
	if err := writeTable(&b, entries); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// sharedKeys is an index of size bytes whose keys have length bytes each, almost all of them shared with the one before.
func sharedKeys(size, length int) []byte {
	block := binary.AppendUvarint(nil, 0)
	block = binary.AppendUvarint(block, 0)
	block = binary.AppendUvarint(block, uint64(len(goodHeader.value)))
	block = append(block, goodHeader.value...)
	stem := strings.Repeat("k", length-4)
	block = binary.AppendUvarint(block, 0)
	block = binary.AppendUvarint(block, uint64(length))
	block = binary.AppendUvarint(block, 0)
	block = append(append(block, stem...), 0, 0, 0, 0)
	for i := uint32(1); len(block) < size; i++ {
		var key [4]byte
		binary.BigEndian.PutUint32(key[:], i)
		same := 3
		if byte(i) == 0 {
			same = 0
		}
		block = binary.AppendUvarint(block, uint64(len(stem)+same))
		block = binary.AppendUvarint(block, uint64(4-same))
		block = binary.AppendUvarint(block, 0)
		block = append(block, key[same:]...)
	}
	block = binary.LittleEndian.AppendUint32(block, 0)
	block = binary.LittleEndian.AppendUint32(block, 1)
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

// boundSize is about the size of the hostile files in bytes.
const boundSize = 16_000_000

// TestBound holds each reader to the memory and the time of docs/security.md.
func TestBound(t *testing.T) {
	for _, h := range hostile {
		t.Run(h.what+" in "+h.name, func(t *testing.T) {
			u := testbound.Read(t, testbound.Default, func(dir string) (string, error) {
				path := filepath.Join(dir, h.name)
				return path, os.WriteFile(path, h.content(boundSize), 0o666)
			}, openAndClose)
			if !strings.Contains(u.Err, h.want) || (h.want == "") != (u.Err == "") {
				t.Errorf("error %q, want %q", u.Err, h.want)
			}
		})
	}
}

// TestBoundSharedData opens indexes and models whose tensors are the same bytes of one data file.
func TestBoundSharedData(t *testing.T) {
	const size, entries = 16_000_000, 4000
	t.Run("TensorFlow", func(t *testing.T) {
		u := testbound.Read(t, testbound.Default, func(dir string) (string, error) {
			data := make([]byte, size)
			crc := maskedCRC(data)
			list := []keyValue{goodHeader}
			for i := range entries {
				list = append(list, keyValue{fmt.Sprintf("%08d", i), message(entryDType, 4, entryShape, message(shapeDim, message(dimSize, size)), entrySize, size, entryCRC, crc)})
			}
			path := filepath.Join(dir, "x.index")
			if err := os.WriteFile(path, rawTable(list...), 0o666); err != nil {
				return "", err
			}
			return dir, os.WriteFile(filepath.Join(dir, "x.data-00000-of-00001"), data, 0o666)
		}, openAndClose)
		if !strings.Contains(u.Err, "share bytes of data file 0") {
			t.Errorf("error %q", u.Err)
		}
	})
	t.Run("ONNX", func(t *testing.T) {
		u := testbound.Read(t, testbound.Default, func(dir string) (string, error) {
			var fields [][]byte
			for i := range entries {
				fields = append(fields, message(5, message(1, size, 2, 2, 8, fmt.Sprintf("%d.weight", i),
					13, message(1, "location", 2, "data"), 14, 1)))
			}
			if err := os.WriteFile(filepath.Join(dir, "x.onnx"), graphOf(fields...), 0o666); err != nil {
				return "", err
			}
			return dir, os.WriteFile(filepath.Join(dir, "data"), make([]byte, size), 0o666)
		}, openAndClose)
		if !strings.Contains(u.Err, "they share data") {
			t.Errorf("error %q", u.Err)
		}
	})
}

func openAndClose(path string) error {
	f, err := Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// Files that are no regular files are refused at once, as weights, as a shard, as data of a bundle and of a graph.
func TestOpenOfDevices(t *testing.T) {
	write := func(dir, name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		open, device string
		content      []byte
	}{
		{"model.safetensors", "model.safetensors", nil},
		{"pytorch_model.bin", "pytorch_model.bin", nil},
		{"x.index.json", "shard", []byte(`{"weight_map":{"a":"shard"}}`)},
		{"x.index", "x.data-00000-of-00001", rawTable(goodHeader, keyValue{"x", bytesEntry()})},
		{"x.onnx", "data", graphOf(message(5, message(1, 4, 2, 2, 8, "a.weight", 13, message(1, "location", 2, "data"), 14, 1)))},
	} {
		for _, kind := range []string{"pipe", "/dev/zero", "folder"} {
			dir := t.TempDir()
			if c.content != nil {
				write(dir, c.open, c.content)
			}
			var err error
			switch path := filepath.Join(dir, c.device); kind {
			case "pipe":
				testbound.Pipe(t, dir, c.device)
			case "folder":
				err = os.Mkdir(path, 0o777)
			default:
				err = os.Symlink(kind, path)
			}
			if err != nil {
				t.Skip(err)
			}
			_, err = Open(filepath.Join(dir, c.open))
			var wrong *files.KindError
			if !errors.As(err, &wrong) && (kind != "folder" || c.content != nil) {
				t.Errorf("%s as %s: %v", kind, c.device, err)
			}
		}
	}
}
