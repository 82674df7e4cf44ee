package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// Format is a file format that this package reads.
type Format uint8

// The formats. The zero Format is none of them.
const (
	Safetensors Format = iota + 1
	Torch              // the archive of torch.save since PyTorch 1.6
	TorchLegacy        // the output of older versions of torch.save
	TensorFlow         // a bundle, "V2 checkpoint": an index and data files
	ONNX               // a graph with its parameters
)

var formatNames = [...]string{
	Safetensors: "safetensors", Torch: "PyTorch archive", TorchLegacy: "PyTorch legacy pickle", TensorFlow: "TensorFlow checkpoint",
	ONNX: "ONNX model",
}

// String returns the format's name in prose: "safetensors", "TensorFlow checkpoint".
func (f Format) String() string {
	if f == 0 || int(f) >= len(formatNames) {
		return fmt.Sprintf("Format(%d)", uint8(f))
	}
	return formatNames[f]
}

// A fileFormat is a recognised format. It is read by parse, or refused with refusal. TensorFlow bundles and ONNX models may be
// several files; File.addBundle and File.addONNX read them.
type fileFormat struct {
	name    string // in prose; that of format, if it is set
	format  Format
	matches func(file sample) bool
	parse   func(file []byte) ([]Tensor, map[string]string, error)
	refusal string
}

// A sample is the part of a file by which formats are recognised: the first bytes and the last.
type sample struct {
	head []byte // up to sampleHead bytes
	tail []byte // up to sampleTail bytes
}

const sampleHead, sampleTail = 128, 8

func sampleOf(file []byte) sample {
	return sample{file[:min(len(file), sampleHead)], file[max(0, len(file)-sampleTail):]}
}

// lfsPointer is the placeholder of a file that Git LFS has not fetched.
const lfsPointer = "Git LFS pointer"

// fileFormats is searched in order.
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
		refusal: "Python pickle: not supported, because torch.save did not write it",
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
	return name + ": not supported; safetensors, PyTorch files, TensorFlow checkpoints and ONNX models are"
}

// safetensorsStart reports whether a file begins with a permitted header length and a brace. This excludes the magic numbers
// above, and vice versa.
func safetensorsStart(head []byte) bool {
	return len(head) > 8 && head[8] == '{' && binary.LittleEndian.Uint64(head) <= maxHeader
}

// formatOf finds the format of a file; nil if it is unknown.
func formatOf(s sample) *fileFormat {
	for i := range fileFormats {
		if fileFormats[i].matches(s) {
			return &fileFormats[i]
		}
	}
	return nil
}

// formatAt finds the format of the regular file at path; nil if it is unknown or the file can't be read.
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

// parse reads the tensors of a file that is neither an index, a bundle nor an ONNX model. They alias file, or are copies.
func parse(file []byte) ([]Tensor, map[string]string, Format, error) {
	f := formatOf(sampleOf(file))
	switch {
	case f == nil: // for its error: what is wrong with the file
		tensors, metadata, err := parseSafetensors(file)
		return tensors, metadata, Safetensors, err
	case f.parse == nil:
		return nil, nil, f.format, errors.New(f.refusal)
	}
	tensors, metadata, err := f.parse(file)
	return tensors, metadata, f.format, err
}
