package checkpoint

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// Since PyTorch 1.6 torch.save writes an archive of uncompressed records (caffe2/serialize/inline_container.h):
//
//	NAME/data.pkl    a pickle that refers to storages by their keys
//	NAME/byteorder   "little" or "big", since 2.1
//	NAME/data/KEY    the bytes of a storage
//	NAME/version     the version of the archive's format
//
// Before that it wrote one file (torch/serialization.py, _legacy_save): pickles of a magic number, the version, the machine's
// type sizes, the state and the list of its storages' keys; then each storage, as an int64 with the number of its elements
// followed by the elements.

// legacyMagic is the pickle of the magic number, with which a legacy file begins.
const legacyMagic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."

const legacyVersion = 1001

const pickleRecord = "data.pkl"

// parseTorchZip reads an archive of torch.save. It does not check the CRCs of the records: neither does PyTorch, which may also
// write none (torch.serialization.set_crc32_options).
func parseTorchZip(file []byte) ([]Tensor, map[string]string, error) {
	archive, err := zip.NewReader(&directoryReader{file: file, left: maxDirectory}, int64(len(file)))
	if errors.Is(err, errDirectory) {
		return nil, nil, errDirectory
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the archive's directory cannot be read (%w): truncated?", err)
	}
	records := make(map[string]*zip.File, len(archive.File))
	folder, found := "", false
	for _, r := range archive.File {
		if records[r.Name] != nil {
			return nil, nil, fmt.Errorf("record %s appears twice", quoted(r.Name))
		}
		records[r.Name] = r
		if name, ok := strings.CutSuffix(r.Name, "/"+pickleRecord); ok && !strings.Contains(name, "/") {
			folder, found = name+"/", true
		}
	}
	if !found {
		return nil, nil, errors.New("a zip archive without NAME/data.pkl: torch.save did not write it")
	}
	record := func(name string) ([]byte, error) {
		r := records[folder+name]
		if r == nil {
			return nil, fmt.Errorf("record %s is missing", quoted(folder+name))
		}
		data, err := stored(file, r)
		return data, inside("record "+quoted(folder+name), err)
	}
	if records[folder+"byteorder"] != nil {
		order, err := record("byteorder")
		if err != nil {
			return nil, nil, err
		}
		if string(order) != "little" {
			return nil, nil, fmt.Errorf("the byte order is %.20q, only \"little\" is supported", order)
		}
	}
	program, err := record(pickleRecord)
	if err != nil {
		return nil, nil, err
	}
	storages := map[string]*storage{}
	value, n, err := unpickle(program, storages, len(file))
	if err == nil && n != len(program) {
		err = fmt.Errorf("%d bytes after the end of the pickle", len(program)-n)
	}
	if err != nil {
		return nil, nil, inside(clip(folder)+pickleRecord, err)
	}
	for _, key := range slices.Sorted(maps.Keys(storages)) {
		s := storages[key]
		if s.data, err = record("data/" + key); err != nil {
			return nil, nil, err
		}
		if want := s.len * s.dtype.Size(); len(s.data) != want {
			return nil, nil, fmt.Errorf("record %s has %d bytes, want %d for %d elements of %v", quoted(folder+"data/"+key), len(s.data), want, s.len, s.dtype)
		}
	}
	return viewed(value, len(program), len(file))
}

// maxDirectory limits the bytes of an archive's directory, of which an entry has 46 and the name of its record. PyTorch's
// have a hundred for each tensor.
const maxDirectory = 8 << 20

var errDirectory = fmt.Errorf("the archive's directory has more than %d bytes, which no checkpoint needs", maxDirectory)

// A directoryReader reads an archive until more has been read than a directory has.
type directoryReader struct {
	file []byte
	left int
}

func (r *directoryReader) ReadAt(p []byte, at int64) (n int, err error) {
	if at < 0 || at > int64(len(r.file)) {
		return 0, io.EOF
	}
	n = copy(p, r.file[at:])
	if r.left -= n; r.left < 0 {
		return 0, errDirectory
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

// stored returns the bytes of an uncompressed record.
func stored(file []byte, r *zip.File) ([]byte, error) {
	const encrypted = 1
	switch {
	case r.Method != zip.Store:
		return nil, fmt.Errorf("compressed (method %d), which torch.save never does and is not supported", r.Method)
	case r.Flags&encrypted != 0:
		return nil, errors.New("encrypted, which is not supported")
	case r.CompressedSize64 != r.UncompressedSize64:
		return nil, fmt.Errorf("%d bytes are stored, want %d", r.CompressedSize64, r.UncompressedSize64)
	}
	at, err := r.DataOffset()
	if err != nil {
		return nil, fmt.Errorf("its header cannot be read: %w", err)
	}
	if size := uint64(len(file)); uint64(at) > size || r.UncompressedSize64 > size-uint64(at) {
		return nil, fmt.Errorf("%d bytes at byte %d go beyond the end of the file: truncated?", r.UncompressedSize64, at)
	}
	end := at + int64(r.UncompressedSize64)
	return file[at:end:end], nil
}

// parseTorchLegacy reads a file of torch.save before PyTorch 1.6.
func parseTorchLegacy(file []byte) ([]Tensor, map[string]string, error) {
	at := len(legacyMagic)
	storages := map[string]*storage{}
	next := func(what string) (any, error) {
		v, n, err := unpickle(file[at:], storages, len(file))
		at += n
		return v, inside(what, err)
	}
	version, err := next("version")
	if err == nil && version != int64(legacyVersion) {
		err = fmt.Errorf("the version of the format is %s, want %d", kindOf(version), legacyVersion)
	}
	if err != nil {
		return nil, nil, err
	}
	sizes, err := next("machine")
	if err != nil {
		return nil, nil, err
	}
	if d, ok := sizes.(*dict); ok {
		for i, key := range d.keys {
			if key == "little_endian" && d.values[i] == false {
				return nil, nil, errors.New("written on a big-endian machine, which is not supported")
			}
		}
	}
	begin := at
	value, err := next("state")
	if err != nil {
		return nil, nil, err
	}
	length := at - begin
	keys, err := next("keys of the storages")
	if err != nil {
		return nil, nil, err
	}
	order, ok := keys.(*array)
	if !ok {
		return nil, nil, fmt.Errorf("keys of the storages: %s, want a list", kindOf(keys))
	}
	left := len(storages)
	for _, k := range order.items {
		key, _ := k.(string)
		s := storages[key]
		if s == nil || s.data != nil {
			return nil, nil, fmt.Errorf("keys of the storages: %s is not a storage of the state, or appears twice", quoted(key))
		}
		if len(file)-at < 8 {
			return nil, nil, fmt.Errorf("storage %s is missing: truncated?", quoted(key))
		}
		n := binary.LittleEndian.Uint64(file[at:])
		at += 8
		if n != uint64(s.len) {
			return nil, nil, fmt.Errorf("storage %s has %d elements, the pickle says %d", quoted(key), n, s.len)
		}
		size := s.len * s.dtype.Size()
		if size > len(file)-at {
			return nil, nil, fmt.Errorf("storage %s: its %d bytes go beyond the end of the file: truncated?", quoted(key), size)
		}
		s.data = file[at : at+size : at+size]
		at += size
		left--
	}
	if left > 0 {
		return nil, nil, fmt.Errorf("%d storages of the state are not in the file", left)
	}
	if at != len(file) {
		return nil, nil, fmt.Errorf("%d bytes after the last storage", len(file)-at)
	}
	return viewed(value, length, len(file))
}

// viewed turns a state into named tensors, with all other values as metadata. The sizes of the pickle and of the file bound the
// work.
func viewed(state any, pickleSize, fileSize int) ([]Tensor, map[string]string, error) {
	f := flattener{names: map[string]bool{}, metadata: map[string]string{}, visits: min(pickleSize, maxSteps), fileSize: fileSize}
	if err := f.add(nil, state); err != nil {
		return nil, nil, err
	}
	// Tensors whose elements are not in row-major order are copied. Many could be copies of one storage, so their total is limited.
	room := copyLimit * fileSize
	tensors := make([]Tensor, 0, len(f.tensors))
	for _, v := range f.tensors {
		t, copied, err := v.view.tensor(v.name, room)
		if errors.Is(err, errExpanded) {
			f.metadata[v.name] = fmt.Sprintf("an expanded tensor of shape %s, left out", shapeText(v.view.shape))
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", quoted(v.name), err)
		}
		tensors = append(tensors, t)
		room -= copied
	}
	if err := checkShared(tensors, fileSize); err != nil {
		return nil, nil, err
	}
	return tensors, f.metadata, nil
}

// errExpanded is the error of a tensor that repeats its elements so often that it has far more bytes than the file. Buffers are
// stored so, parameters never.
var errExpanded = errors.New("an expanded tensor")

// tensor returns the view as a tensor: a slice of its storage if its elements are in row-major order, otherwise a copy of at
// most room bytes.
func (v *view) tensor(name string, room int) (t Tensor, copied int, err error) {
	size, err := byteSize(v.storage.dtype, v.shape)
	if err != nil {
		return t, 0, err
	}
	t = Tensor{Name: name, DType: v.storage.dtype, Shape: v.shape, Data: []byte{}}
	if size == 0 {
		return t, 0, nil
	}
	last, inOrder, expected := v.offset, true, 1
	for i, dim := range slices.Backward(v.shape) {
		if dim == 1 {
			continue // its stride is never used
		}
		if v.strides[i] != 0 && dim-1 > (math.MaxInt-last)/v.strides[i] {
			return t, 0, fmt.Errorf("shape %s with strides %s goes beyond its storage of %d elements", shapeText(v.shape), shapeText(v.strides), v.storage.len)
		}
		last += (dim - 1) * v.strides[i]
		inOrder = inOrder && v.strides[i] == expected
		expected *= dim
	}
	n := size / v.storage.dtype.Size()
	switch {
	case last >= v.storage.len:
		return t, 0, fmt.Errorf("shape %s with strides %s from element %d goes beyond its storage of %d elements", shapeText(v.shape), shapeText(v.strides), v.offset, v.storage.len)
	case n > v.storage.len && size > room:
		return t, 0, errExpanded
	}
	e := v.storage.dtype.Size()
	if inOrder {
		t.Data = v.storage.data[v.offset*e : v.offset*e+size : v.offset*e+size]
		return t, 0, nil
	}
	if size > room {
		return t, 0, fmt.Errorf("the tensors that are not in row-major order have more than %d times the bytes of the file", copyLimit)
	}
	t.Data = v.gather(make([]byte, 0, size))
	return t, size, nil
}

// gather appends the elements of the view in row-major order.
func (v *view) gather(data []byte) []byte {
	e := v.storage.dtype.Size()
	index := make([]int, len(v.shape))
	for at := v.offset; ; {
		data = append(data, v.storage.data[at*e:(at+1)*e]...)
		i := len(index) - 1
		for ; i >= 0; i-- {
			index[i]++
			at += v.strides[i]
			if index[i] < v.shape[i] {
				break
			}
			at -= index[i] * v.strides[i]
			index[i] = 0
		}
		if i < 0 {
			return data
		}
	}
}
