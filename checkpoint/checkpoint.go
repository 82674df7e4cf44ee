// Package checkpoint reads and writes files of named tensors. It knows file formats, not models.
//
// [Open] recognises a format by its content, never by its name: safetensors, alone or in shards behind an index. Formats it
// recognises but does not read yet (PyTorch, TensorFlow, ONNX) are refused by name.
//
// The format: https://github.com/huggingface/safetensors, README, "Format". An 8-byte little-endian header length, a JSON
// header {"name": {"dtype", "shape", "data_offsets"}, "__metadata__": {string: string}}, and the data without holes.
package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/mmap"
)

// The names under which Hugging Face's libraries look for weights in a model directory.
const (
	singleName = "model.safetensors"
	indexName  = "model.safetensors.index.json"
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
	release  []func() error // one for each file behind this one
}

// Open opens a checkpoint. path is a file, or a model directory, which must hold model.safetensors or
// model.safetensors.index.json (the first is taken if both are there, as in Hugging Face's libraries).
//
// The structure of the files is checked whole: every tensor lies inside its file and has the size of its type and shape, and
// no two overlap. Values are not looked at. An error is one line with the file, the tensor and what is wrong.
func Open(path string) (*File, error) { return open(path, mmap.Map) }

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

func open(path string, load loader) (_ *File, err error) {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist) && foreignFormat(path+".index") == tensorFlowBundle.name:
		return nil, fmt.Errorf("%s: %s", path, tensorFlowBundle.refusal)
	case err != nil:
		return nil, err
	case info.IsDir():
		if path, err = weightsIn(path); err != nil {
			return nil, err
		}
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
	if isIndex(data) {
		err = f.addShards(path, data, load)
	} else {
		err = f.add(path, data)
		f.sort()
	}
	if err != nil {
		return nil, err
	}
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
	tensors, metadata, err := parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
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

// weightsIn finds the file to open in a model directory.
func weightsIn(dir string) (string, error) {
	for _, name := range []string{singleName, indexName} {
		if path := filepath.Join(dir, name); exists(path) {
			return path, nil
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var found []string
	for _, e := range entries {
		if name := foreignFormat(filepath.Join(dir, e.Name())); name != "" {
			found = append(found, fmt.Sprintf("%s is a %s", e.Name(), name))
		}
	}
	hint := ""
	if len(found) > 0 {
		hint = " (" + strings.Join(found, ", ") + ": not supported yet by this version)"
	}
	return "", fmt.Errorf("%s: no weights: neither %s nor %s is there%s", dir, singleName, indexName, hint)
}

// exists is true of a broken symbolic link too: then the file is missed by its name.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
