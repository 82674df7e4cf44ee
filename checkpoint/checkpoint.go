// Package checkpoint reads and writes files of named tensors. It knows file formats, not models.
//
// [Open] recognises a format by its content, never by its name: [Safetensors], PyTorch's [Torch] and [TorchLegacy] (both also
// in shards behind an index), [TensorFlow], [ONNX]. Other formats it recognises are refused by name. Nothing that a file says is
// believed before it is checked against the size of the file, and nothing in it is ever run.
//
// The formats:
//
//   - safetensors: https://github.com/huggingface/safetensors, README, "Format". An 8-byte little-endian header length, a JSON
//     header {"name": {"dtype", "shape", "data_offsets"}, "__metadata__": {string: string}}, and the data without holes.
//   - PyTorch: torch/serialization.py. A pickle, which is a program, and storages; see torch.go. A file may hold more than a
//     state_dict: tensors in nested containers are named by their places, joined by dots ("model.bert.pooler.dense.bias",
//     "optimizer.state.0.exp_avg"), and values that are no tensors are metadata under such names.
//   - TensorFlow: tensorflow/core/util/tensor_bundle. A sorted table, and the data behind it; see bundle.go and table.go.
//   - ONNX: onnx/onnx.proto. A graph of operators, whose constants are tensors; see onnx.go.
package checkpoint

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/mmap"
)

// A File is an open checkpoint: one file, or several shards as one. It may be used by many goroutines at once, but for Close.
//
// Where the system can, its files are mapped, not read: opening is instant, pages come in as tensors are touched, and
// processes that open the same file share them. So the files must not be cut short or written into while they are open: a
// touched page that is no longer there kills the process with SIGBUS. Replacing a file by renaming, as the writers of this
// package do, is safe.
type File struct {
	tensors  []Tensor // by name
	metadata map[string]string
	format   Format
	absent   error          // why tensors have no data
	release  []func() error // one for each file behind this one
}

// Open opens a checkpoint. path is a file of weights, the index of one in shards, the prefix of a TensorFlow checkpoint
// ("dir/bert_model.ckpt") or any of its files, or a model directory. What is taken in a directory is the first of
//
//  1. model.safetensors, model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json (in the order of
//     Hugging Face's libraries);
//  2. the TensorFlow checkpoint that the file "checkpoint" says is the newest;
//  3. bert_model.ckpt.index, the name in google-research/bert's releases;
//  4. the only other file that is weights by its content. Several are an error that names them.
//
// The structure of the files is checked whole: every tensor lies inside its file and has the size of its type and shape; those
// of safetensors do not overlap, those of TensorFlow have the CRC that the index says. Values are not looked at. An error is
// one line with the file, the tensor and what is wrong.
func Open(path string) (*File, error) { return open(path, mmap.Map) }

// List is Open for who asks what is in a checkpoint: if data files of a TensorFlow checkpoint aren't there, their tensors have
// no Data, and absent says so.
func List(path string) (f *File, absent, err error) {
	f, err = openAny(path, mmap.Map)
	if err != nil {
		return nil, nil, err
	}
	return f, f.absent, nil
}

// Format returns the format that the checkpoint was recognised as; of shards, that of the last.
func (f *File) Format() Format { return f.format }

// Tensors returns the tensors, sorted by name; none after Close.
func (f *File) Tensors() []Tensor { return slices.Clone(f.tensors) }

// Lookup returns the tensor of a name; none after Close.
func (f *File) Lookup(name string) (*Tensor, bool) {
	i, ok := slices.BinarySearchFunc(f.tensors, name, func(t Tensor, name string) int { return strings.Compare(t.Name, name) })
	if !ok {
		return nil, false
	}
	t := f.tensors[i]
	return &t, true
}

// Metadata returns the free-form texts of the file's header, such as {"format": "pt"}. Of several shards it returns the
// union; where they differ, the first shard's text in the order of the shards' names.
func (f *File) Metadata() map[string]string { return maps.Clone(f.metadata) }

// Close releases the memory of all tensors. Data and Float32View slices handed out before must not be touched any more: the
// memory may be unmapped, and reading it then is a fault that kills the process. A second Close does nothing.
func (f *File) Close() error {
	var errs []error
	for _, release := range f.release {
		errs = append(errs, release())
	}
	f.release, f.tensors = nil, nil
	return errors.Join(errs...)
}

// A loader gives the bytes of a file of a known size, and what releases them: mmap.Map or mmap.Read.
type loader func(f *os.File, size int) (data []byte, release func() error, err error)

func open(path string, load loader) (*File, error) {
	f, err := openAny(path, load)
	if err != nil {
		return nil, err
	}
	if f.absent != nil {
		return nil, errors.Join(f.absent, f.Close())
	}
	return f, nil
}

func openAny(path string, load loader) (_ *File, err error) {
	if path, err = locate(path); err != nil {
		return nil, err
	}
	f := &File{metadata: map[string]string{}}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	data, err := f.load(path, load)
	if err != nil {
		return nil, err
	}
	switch format := formatOf(sampleOf(data)); {
	case format != nil && format.format == TensorFlow:
		f.format = TensorFlow
		f.absent, err = f.addBundle(path, data, load)
	case format != nil && format.format == ONNX:
		f.format = ONNX
		err = f.addONNX(path, data, load)
	case isIndex(data):
		err = f.addShards(path, data, load)
	default:
		err = f.add(path, data)
	}
	if err != nil {
		return nil, err
	}
	f.sort()
	return f, nil
}

// load brings the bytes of one file into memory, until Close. They are never empty.
func (f *File) load(path string, load loader) ([]byte, error) {
	// Before the file is opened, because opening a named pipe would wait for somebody to write to it.
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	switch size := info.Size(); {
	case size == 0:
		return nil, fmt.Errorf("%s: the file is empty", path)
	case size > math.MaxInt:
		return nil, fmt.Errorf("%s: %d bytes are more than this machine can address", path, size)
	}
	data, release, err := load(file, int(info.Size()))
	if err != nil {
		return nil, err
	}
	f.release = append(f.release, release)
	return data, nil
}

// add takes in the tensors of one file.
func (f *File) add(path string, data []byte) error {
	tensors, metadata, format, err := parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f.format = format
	f.tensors = append(f.tensors, tensors...)
	for k, v := range metadata {
		if _, ok := f.metadata[k]; !ok {
			f.metadata[k] = v
		}
	}
	return nil
}

func (f *File) sort() {
	slices.SortFunc(f.tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
}
