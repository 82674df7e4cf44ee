package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// Format is a format of files that this package reads.
type Format uint8

// The formats. The zero Format is none of them.
const (
	Safetensors Format = iota + 1
	Torch              // the archive of torch.save since PyTorch 1.6
	TorchLegacy        // what torch.save wrote before
	TensorFlow         // a bundle, "V2 checkpoint": an index and files with data
	ONNX               // a graph with its parameters
)

var formatNames = [...]string{
	Safetensors: "safetensors", Torch: "PyTorch archive", TorchLegacy: "PyTorch legacy pickle", TensorFlow: "TensorFlow checkpoint",
	ONNX: "ONNX model",
}

// String names the format for people: "safetensors", "TensorFlow checkpoint".
func (f Format) String() string {
	if f == 0 || int(f) >= len(formatNames) {
		return fmt.Sprintf("Format(%d)", uint8(f))
	}
	return formatNames[f]
}

// A fileFormat is a format that is recognised. It is read by parse, or refused with refusal. A bundle of TensorFlow and a model
// of ONNX may be several files and are read by File.addBundle and File.addONNX.
type fileFormat struct {
	name    string // for people; the format's own if format is set
	format  Format
	matches func(file sample) bool
	parse   func(file []byte) ([]Tensor, map[string]string, error)
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

// lfsPointer is what stands in the place of a file that was not fetched.
const lfsPointer = "Git LFS pointer"

// fileFormats is asked in order.
var fileFormats = []fileFormat{
	{
		name: lfsPointer,
		matches: func(s sample) bool {
			return bytes.HasPrefix(s.head, []byte("version https://git-lfs.github.com/spec/"))
		},
		refusal: "this is a Git LFS pointer, not the data: run git lfs pull",
	},
	{
		format: Safetensors, name: Safetensors.String(),
		matches: func(s sample) bool { return safetensorsStart(s.head) },
		parse:   parseSafetensors,
	},
	{
		format: Torch, name: Torch.String(),
		matches: func(s sample) bool { return bytes.HasPrefix(s.head, []byte("PK\x03\x04")) },
		parse:   parseTorchZip,
	},
	{
		format: TorchLegacy, name: TorchLegacy.String(),
		matches: func(s sample) bool { return bytes.HasPrefix(s.head, []byte(legacyMagic)) },
		parse:   parseTorchLegacy,
	},
	{
		name: "Python pickle",
		// PROTO 2 to 5, then an opcode, none of which is 0.
		matches: func(s sample) bool {
			return len(s.head) > 2 && s.head[0] == opProto && s.head[1] >= 2 && s.head[1] <= highestProtocol && s.head[2] != 0
		},
		refusal: "Python pickle: not read, as torch.save did not write it",
	},
	{format: TensorFlow, name: TensorFlow.String(), matches: func(s sample) bool { return isTable(s.tail) }},
	{
		name:    "HDF5 file",
		matches: func(s sample) bool { return bytes.HasPrefix(s.head, []byte("\x89HDF\r\n\x1a\n")) },
		refusal: unsupported("HDF5 file"),
	},
	{format: ONNX, name: ONNX.String(), matches: isONNX},
}

func unsupported(name string) string {
	return name + ": not read by this version, which reads safetensors, PyTorch's files, TensorFlow's checkpoints and ONNX models"
}

// safetensorsStart reports whether a header of permitted length and the brace after it stand at the beginning. That excludes
// the magic numbers above, and they it.
func safetensorsStart(head []byte) bool {
	return len(head) > 8 && head[8] == '{' && binary.LittleEndian.Uint64(head) <= maxHeader
}

// formatOf finds the format of a file; nil if it is none that is known.
func formatOf(s sample) *fileFormat {
	for i := range fileFormats {
		if fileFormats[i].matches(s) {
			return &fileFormats[i]
		}
	}
	return nil
}

// formatAt finds the format of the regular file at path; nil if it is not known or cannot be read.
func formatAt(path string) *fileFormat {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() < sampleTail {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	s := sample{make([]byte, sampleHead), make([]byte, sampleTail)}
	n, err := io.ReadFull(f, s.head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	s.head = s.head[:n]
	if _, err := f.Seek(-sampleTail, io.SeekEnd); err != nil {
		return nil
	}
	if _, err := io.ReadFull(f, s.tail); err != nil {
		return nil
	}
	return formatOf(s)
}

// parse reads the tensors of one file of any format but an index. They lie in file, or are copies.
func parse(file []byte) ([]Tensor, map[string]string, Format, error) {
	f := formatOf(sampleOf(file))
	switch {
	case f == nil: // says what is wrong with a file that is nothing
		tensors, metadata, err := parseSafetensors(file)
		return tensors, metadata, Safetensors, err
	case f.parse == nil:
		return nil, nil, f.format, errors.New(f.refusal)
	}
	tensors, metadata, err := f.parse(file)
	return tensors, metadata, f.format, err
}
