// Package checkpoint reads and writes files of named tensors. It knows file formats, not models.
//
// [Open] recognises a format by its content, never by its file name: [Safetensors], PyTorch's [Torch] and [TorchLegacy] (all
// three also as shards with an index), [TensorFlow] and [ONNX]. Other formats that it recognises are refused by name. Whatever
// a file claims is checked against the size of the file before it is used, and nothing in a file is ever executed.
//
// The formats:
//
//   - safetensors: https://github.com/huggingface/safetensors, README, "Format". An 8-byte little-endian header length, a JSON
//     header {"name": {"dtype", "shape", "data_offsets"}, "__metadata__": {string: string}}, and the data without holes.
//   - PyTorch: torch/serialization.py. A pickle, which is a program, and storages; see torch.go. A file may hold more than a
//     state_dict: tensors in nested containers are named by their paths, joined by dots ("model.bert.pooler.dense.bias",
//     "optimizer.state.0.exp_avg"), and values other than tensors become metadata under such names.
//   - TensorFlow: tensorflow/core/util/tensor_bundle. A sorted table, and files with the data; see bundle.go and table.go.
//   - ONNX: onnx/onnx.proto. A graph of operators whose constants are tensors; see onnx.go.
package checkpoint

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/mmap"
)

// A File is an open checkpoint: one file, or several shards as one. All methods except Close are safe for concurrent use.
//
// Where the system supports it, files are mapped, not read: opening is instant, pages are loaded as tensors are touched, and
// processes that open the same file share them. The files must therefore not be truncated or modified while they are open:
// touching a page that no longer exists kills the process with SIGBUS. Replacing a file by renaming, as the writers of this
// package do, is safe.
type File struct {
	tensors  []Tensor // by name
	metadata map[string]string
	format   Format
	absent   error // why tensors have no data
	notes    []string
	release  []func() error // one for each file on disk
}

// Open opens a checkpoint. path is a weight file, the index of a sharded one, the prefix of a TensorFlow checkpoint
// ("dir/bert_model.ckpt") or any of its files, or a model directory. In a directory Open takes the first of
//
//  1. model.safetensors, model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json (in the order of
//     Hugging Face's libraries);
//  2. the TensorFlow checkpoint that the file "checkpoint" says is the newest;
//  3. bert_model.ckpt.index, the name in google-research/bert's releases;
//  4. the only other file whose content is weights. If there are several, the error lists them;
//  5. model.onnx in the folder onnx, or the only file of weights there.
//
// Open checks the whole structure of the files: every tensor lies inside its file and has the size that its type and shape
// require; safetensors data do not overlap; TensorFlow tensors match the CRCs in the index. Values are not examined. An error
// is one line that names the file, the tensor and the problem.
func Open(path string) (*File, error) { return open(path, mmap.Map) }

// List is like Open, but tolerates missing data files of a TensorFlow checkpoint: their tensors have no Data, and absent says
// which file is missing.
func List(path string) (f *File, absent, err error) {
	f, err = openAny(path, mmap.Map)
	if err != nil {
		return nil, nil, err
	}
	return f, f.absent, nil
}

// Format returns the recognised format; for shards, that of the last.
func (f *File) Format() Format { return f.format }

// Tensors returns the tensors, sorted by name; none after Close.
func (f *File) Tensors() []Tensor { return slices.Clone(f.tensors) }

// Lookup returns the tensor with the given name; none after Close.
func (f *File) Lookup(name string) (*Tensor, bool) {
	i, ok := slices.BinarySearchFunc(f.tensors, name, func(t Tensor, name string) int { return strings.Compare(t.Name, name) })
	if !ok {
		return nil, false
	}
	t := f.tensors[i]
	return &t, true
}

// Metadata returns the free-form strings of the file's header, such as {"format": "pt"}. For shards it returns the union; where
// they differ, the first shard by name wins.
func (f *File) Metadata() map[string]string { return maps.Clone(f.metadata) }

// Notes are sentences that say where the tensors are not simply those of the file, as where weights were quantized.
func (f *File) Notes() []string { return slices.Clone(f.notes) }

// Close releases the memory of all tensors. Data and Float32View slices obtained earlier must not be used after it: the memory
// may be unmapped, and reading it then kills the process. A second Close does nothing.
func (f *File) Close() error {
	var errs []error
	for _, release := range f.release {
		errs = append(errs, release())
	}
	f.release, f.tensors = nil, nil
	return errors.Join(errs...)
}

// A loader loads a file of a known size and returns a function to release it: mmap.Map or mmap.Read.
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

// load loads one file until Close. The data are never empty.
func (f *File) load(path string, load loader) ([]byte, error) {
	file, err := files.Open(path)
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

// add adds the tensors of one file.
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
