package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// A foreignFile is a format that is recognised but not read.
type foreignFile struct {
	name    string
	matches func(file sample) bool
	refusal string
}

// A sample is what formats are recognised by: the first bytes and the last.
type sample struct {
	head []byte // up to sampleHead bytes
	tail []byte // up to sampleTail bytes
}

const sampleHead, sampleTail = 128, 8

func sampleOf(file []byte) sample {
	return sample{file[:min(len(file), sampleHead)], file[max(0, len(file)-sampleTail):]}
}

func unsupported(name string) string {
	return name + ": not supported yet by this version, which reads safetensors"
}

// tensorFlowBundle stands apart because TensorFlow's users name a checkpoint by a prefix that is no file.
var tensorFlowBundle = foreignFile{
	name: "TensorFlow checkpoint",
	// The footer of a table file: tensorflow/core/lib/io/format.h, kTableMagicNumber.
	matches: func(s sample) bool {
		return bytes.Equal(s.tail, []byte{0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb})
	},
	refusal: unsupported("TensorFlow checkpoint"),
}

// foreignFiles is asked in order. A format that gets its reader leaves this table: parse calls the reader, or open does if
// the format has several files, as it does for an index of shards.
var foreignFiles = []foreignFile{
	{
		name: "Git LFS pointer",
		matches: func(s sample) bool {
			return bytes.HasPrefix(s.head, []byte("version https://git-lfs.github.com/spec/"))
		},
		refusal: "this is a Git LFS pointer, not the data: run git lfs pull",
	},
	{
		name: "PyTorch zip archive",
		// torch.save writes NAME/data.pkl first; its name begins at byte 30 of the local file header.
		matches: func(s sample) bool {
			return bytes.HasPrefix(s.head, []byte("PK\x03\x04")) && bytes.Contains(s.head, []byte("/data.pkl"))
		},
		refusal: unsupported("PyTorch zip archive"),
	},
	{
		name:    "zip archive",
		matches: func(s sample) bool { return bytes.HasPrefix(s.head, []byte("PK\x03\x04")) },
		refusal: unsupported("zip archive"),
	},
	{
		name: "PyTorch legacy pickle",
		// Protocol 2, then the magic number of torch/serialization.py as a ten-byte LONG1.
		matches: func(s sample) bool {
			return bytes.HasPrefix(s.head, []byte("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."))
		},
		refusal: unsupported("PyTorch legacy pickle"),
	},
	{
		name: "Python pickle",
		// PROTO 2 to 5, then an opcode, none of which is 0.
		matches: func(s sample) bool {
			return len(s.head) > 2 && s.head[0] == 0x80 && s.head[1] >= 2 && s.head[1] <= 5 && s.head[2] != 0
		},
		refusal: unsupported("Python pickle"),
	},
	tensorFlowBundle,
	{
		name:    "HDF5 file",
		matches: func(s sample) bool { return bytes.HasPrefix(s.head, []byte("\x89HDF\r\n\x1a\n")) },
		refusal: unsupported("HDF5 file"),
	},
	{
		name:    "ONNX model",
		matches: isONNX,
		refusal: unsupported("ONNX model"),
	},
}

// safetensorsStart reports whether a header of permitted length and the brace after it stand at the beginning. That excludes
// the magic numbers above, and they it.
func safetensorsStart(head []byte) bool {
	return len(head) > 8 && head[8] == '{' && binary.LittleEndian.Uint64(head) <= maxHeader
}

// foreign finds the format of a file that is not safetensors; nil if it is safetensors or nothing known.
func foreign(s sample) *foreignFile {
	if safetensorsStart(s.head) {
		return nil
	}
	for i := range foreignFiles {
		if foreignFiles[i].matches(s) {
			return &foreignFiles[i]
		}
	}
	return nil
}

// foreignFormat names the format of the regular file at path, for a hint; "" if it is not known or cannot be read.
func foreignFormat(path string) string {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() < sampleTail {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	s := sample{make([]byte, sampleHead), make([]byte, sampleTail)}
	n, err := io.ReadFull(f, s.head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return ""
	}
	s.head = s.head[:n]
	if _, err := f.Seek(-sampleTail, io.SeekEnd); err != nil {
		return ""
	}
	if _, err := io.ReadFull(f, s.tail); err != nil {
		return ""
	}
	if format := foreign(s); format != nil {
		return format.name
	}
	return ""
}

// parse reads the tensors of one file of any format but an index. They lie in file.
func parse(file []byte) ([]Tensor, map[string]string, error) {
	if format := foreign(sampleOf(file)); format != nil {
		return nil, nil, errors.New(format.refusal)
	}
	return parseSafetensors(file)
}
