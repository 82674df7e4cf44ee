package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/lazyregexp"
	"github.com/go-bert/bert/internal/proto"
)

// A TensorFlow bundle ("V2 checkpoint") consists of PREFIX.index, a table from tensor names to their entries, and the data in
// PREFIX.data-00000-of-00001 and so on: tensorflow/core/util/tensor_bundle and core/protobuf/tensor_bundle.proto. The field and
// type numbers below are from there and from framework/tensor_shape.proto, types.proto and versions.proto.

const indexSuffix = ".index"

// Fields of BundleHeaderProto, the value of the key "".
const (
	headerNumShards  = 1
	headerEndianness = 2 // 0 little, 1 big
	headerVersion    = 3 // VersionDef
	versionProducer  = 1
	versionConsumer  = 2 // the minimal version of a reader
	bundleVersion    = 1 // kTensorBundleVersion
)

// Fields of BundleEntryProto, the value of any other key.
const (
	entryDType   = 1
	entryShape   = 2 // TensorShapeProto
	entryShardID = 3
	entryOffset  = 4
	entrySize    = 5
	entryCRC     = 6 // masked CRC-32C of the tensor's bytes
	entrySlices  = 7

	shapeDim         = 2
	shapeUnknownRank = 3
	dimSize          = 1
)

// tfTypes are the DataType values of the supported types.
var tfTypes = map[DType]uint64{F32: 1, F64: 2, I32: 3, U8: 4, I16: 5, I8: 6, I64: 9, Bool: 10, BF16: 14, F16: 19}

// tfOthers names element types that checkpoints may hold and this package does not support.
var tfOthers = map[uint64]string{
	7: "string", 8: "complex64", 11: "qint8", 12: "quint8", 13: "qint32", 15: "qint16", 16: "quint16", 17: "uint16",
	18: "complex128", 20: "resource", 21: "variant", 22: "uint32", 23: "uint64",
}

// objectGraph is the string tensor by which TensorFlow 2's tf.train.Checkpoint finds its objects.
const objectGraph = "_CHECKPOINTABLE_OBJECT_GRAPH"

// A bundleEntry is the index entry of one tensor.
type bundleEntry struct {
	name         string
	dtype        DType
	shape        []int
	shard        int
	offset, size int
	crc          uint32
}

// addBundle adds the TensorFlow bundle whose index is at path. If a data file is missing, absent says so, and its tensors have
// no data.
func (f *File) addBundle(path string, index []byte, load loader) (absent, err error) {
	prefix, ok := strings.CutSuffix(path, indexSuffix)
	if !ok {
		return nil, fmt.Errorf("%s: the index of a TensorFlow checkpoint must be named PREFIX.index, since PREFIX is needed to find the data files", path)
	}
	shards, entries, err := parseBundleIndex(index)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := distinct(entries); err != nil {
		return nil, fmt.Errorf("%s: index: %w", path, err)
	}
	loaded := map[int][]byte{} // nil: missing
	for _, e := range entries {
		t := Tensor{Name: e.name, DType: e.dtype, Shape: e.shape}
		if e.size > 0 {
			name := shardName(prefix, e.shard, shards)
			data, ok := loaded[e.shard]
			if !ok {
				var missing error
				if data, missing, err = f.loadShard(name, load); err != nil {
					return nil, err
				}
				if absent == nil {
					absent = missing
				}
				loaded[e.shard] = data
			}
			if data != nil {
				if t.Data, err = e.slice(data); err != nil {
					return nil, fmt.Errorf("%s: tensor %s: %w", name, quoted(e.name), err)
				}
			}
		}
		f.tensors = append(f.tensors, t)
	}
	return absent, nil
}

// distinct checks that no byte belongs to two tensors. TensorFlow writes no such index, and the CRC of a byte that belonged
// to thousands would be computed as often.
func distinct(entries []bundleEntry) error {
	order := make([]*bundleEntry, len(entries))
	for i := range entries {
		order[i] = &entries[i]
	}
	slices.SortFunc(order, func(a, b *bundleEntry) int {
		return cmp.Or(cmp.Compare(a.shard, b.shard), cmp.Compare(a.offset, b.offset), cmp.Compare(a.size, b.size))
	})
	for i, e := range order[min(1, len(order)):] {
		if before := order[i]; e.shard == before.shard && e.size > 0 && e.offset < before.offset+before.size {
			return fmt.Errorf("tensors %s and %s share bytes of data file %d", quoted(before.name), quoted(e.name), e.shard)
		}
	}
	return nil
}

// loadShard loads a data file. missing is an error if the file does not exist or is only a Git LFS pointer.
func (f *File) loadShard(path string, load loader) (data []byte, missing, err error) {
	data, err = f.load(path, load)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: the data file is missing: the index holds only names and shapes", path), nil
	case err != nil:
		return nil, nil, err
	}
	if format := formatOf(sampleOf(data)); format != nil && format.name == lfsPointer {
		return nil, fmt.Errorf("%s: %s", path, format.refusal), nil
	}
	return data, nil, nil
}

// slice returns the tensor's bytes in its shard, after checking their CRC.
func (e *bundleEntry) slice(shard []byte) ([]byte, error) {
	if e.offset > len(shard) || e.size > len(shard)-e.offset {
		return nil, fmt.Errorf("%d bytes at byte %d go beyond the file's %d: truncated?", e.size, e.offset, len(shard))
	}
	data := shard[e.offset : e.offset+e.size : e.offset+e.size]
	if got := maskedCRC(data); got != e.crc {
		return nil, fmt.Errorf("the CRC is %08x, the index says %08x: damaged, or of another checkpoint", got, e.crc)
	}
	return data, nil
}

func shardName(prefix string, i, n int) string {
	return fmt.Sprintf("%s.data-%05d-of-%05d", prefix, i, n)
}

// dataName matches the names of a bundle's data files after the prefix.
var dataName = lazyregexp.New(`\.data-\d{5}-of-\d{5}$`)

// parseBundleIndex reads an index: the number of shards, and the tensors by name.
func parseBundleIndex(index []byte) (shards int, entries []bundleEntry, err error) {
	table, err := readTable(index)
	if err != nil {
		return 0, nil, inside("index", err)
	}
	if len(table) == 0 || table[0].key != "" {
		return 0, nil, errors.New("index: no header: a LevelDB table, but not the index of a TensorFlow checkpoint")
	}
	if shards, err = parseBundleHeader(table[0].value); err != nil {
		return 0, nil, inside("index: header", err)
	}
	for _, kv := range table[1:] {
		if kv.key == objectGraph {
			return 0, nil, errors.New("an object-based checkpoint (tf.train.Checkpoint of TensorFlow 2), which is not supported: save it with tf.compat.v1.train.Saver")
		}
		e := bundleEntry{name: kv.key}
		if err := e.parse(kv.value, shards); err != nil {
			return 0, nil, fmt.Errorf("index: tensor %s: %w", quoted(kv.key), err)
		}
		entries = append(entries, e)
	}
	return shards, entries, nil
}

func parseBundleHeader(b []byte) (shards int, err error) {
	var numShards, endianness, producer, consumer uint64
	err = proto.Fields(b, func(f proto.Field) error {
		switch f.Number {
		case headerNumShards:
			return number(f, &numShards)
		case headerEndianness:
			return number(f, &endianness)
		case headerVersion:
			return each(f, func(f proto.Field) error {
				switch f.Number {
				case versionProducer:
					return number(f, &producer)
				case versionConsumer:
					return number(f, &consumer)
				}
				return nil
			})
		}
		return nil
	})
	switch {
	case err != nil:
		return 0, err
	case endianness != 0:
		return 0, errors.New("written on a big-endian machine, which is not supported")
	case consumer > bundleVersion:
		return 0, fmt.Errorf("needs a reader of version %d, this one has %d (the writer had %d)", consumer, bundleVersion, producer)
	case numShards == 0 || numShards > 99999:
		return 0, fmt.Errorf("%d data files, want 1 to 99999", numShards)
	}
	return int(numShards), nil
}

func (e *bundleEntry) parse(b []byte, shards int) error {
	var dtype, shard, offset, size uint64
	err := proto.Fields(b, func(f proto.Field) error {
		switch f.Number {
		case entryDType:
			return number(f, &dtype)
		case entryShape:
			return each(f, e.parseShape)
		case entryShardID:
			return number(f, &shard)
		case entryOffset:
			return number(f, &offset)
		case entrySize:
			return number(f, &size)
		case entryCRC:
			var err error
			e.crc, err = f.Fixed32()
			return err
		case entrySlices:
			return errors.New("stored in slices (a partitioned variable), which is not supported")
		}
		return nil
	})
	if err != nil {
		return err
	}
	for d, n := range tfTypes {
		if n == dtype {
			e.dtype = d
		}
	}
	if e.dtype == 0 {
		name := tfOthers[dtype]
		if name == "" {
			name = fmt.Sprint(dtype)
		}
		return fmt.Errorf("elements of TensorFlow type %s are not supported", name)
	}
	want, err := byteSize(e.dtype, e.shape)
	switch {
	case err != nil:
		return err
	case size != uint64(want):
		return fmt.Errorf("%d bytes, want %d for %v with shape %s", size, want, e.dtype, shapeText(e.shape))
	case shard >= uint64(shards):
		return fmt.Errorf("in data file %d, but there are only %d (counted from 0)", shard, shards)
	case offset > math.MaxInt-size:
		return fmt.Errorf("%d bytes at byte %d exceed the size of any file", size, offset)
	case strings.ContainsRune(e.name, 0):
		return errors.New("NUL in the name")
	}
	e.shard, e.offset, e.size = int(shard), int(offset), want
	return nil
}

func (e *bundleEntry) parseShape(f proto.Field) error {
	switch f.Number {
	case shapeUnknownRank:
		var unknown uint64
		if err := number(f, &unknown); err != nil {
			return err
		}
		if unknown != 0 {
			return errors.New("a shape of unknown rank")
		}
	case shapeDim:
		var size uint64
		if err := each(f, func(f proto.Field) error {
			if f.Number == dimSize {
				return number(f, &size)
			}
			return nil
		}); err != nil {
			return err
		}
		if size > math.MaxInt {
			return fmt.Errorf("a dimension of %d", int64(size))
		}
		if len(e.shape) == maxDims {
			return fmt.Errorf("more than %d dimensions", maxDims)
		}
		e.shape = append(e.shape, int(size))
	}
	return nil
}

// number reads a varint.
func number(f proto.Field, v *uint64) (err error) {
	*v, err = f.Varint()
	return err
}

// each calls visit for each field of a message field.
func each(f proto.Field, visit func(proto.Field) error) error {
	return f.Message(func(message []byte) error { return proto.Fields(message, visit) })
}

// WriteTensorFlow writes tensors as a TensorFlow bundle with one data file, prefix.index and prefix.data-00000-of-00001, which
// tf.train.load_checkpoint and google-research/bert's init_checkpoint can read. Tensors are sorted by name.
//
// Existing files of those names are replaced, and left-over data files of prefix are removed. Both files are on disk under
// temporary names before that begins: a full disk leaves the old checkpoint. A crash while they are renamed leaves the old
// checkpoint, the new one, or no index, never a mixture.
func WriteTensorFlow(prefix string, tensors []Tensor) error {
	entries := make([]keyValue, 0, len(tensors)+1)
	header := protowire.AppendVarint(protowire.AppendTag(nil, headerNumShards, protowire.VarintType), 1)
	version := protowire.AppendVarint(protowire.AppendTag(nil, versionProducer, protowire.VarintType), bundleVersion)
	header = protowire.AppendBytes(protowire.AppendTag(header, headerVersion, protowire.BytesType), version)
	entries = append(entries, keyValue{"", header})

	sorted, err := sortByName(tensors)
	if err != nil {
		return fmt.Errorf("%s: %w", prefix+indexSuffix, err)
	}
	offset := 0
	for i := range sorted {
		t := &sorted[i]
		if t.Name == "" || len(t.Name) > maxKey {
			return fmt.Errorf("%s: tensor %q: the name has %d bytes, want 1 to %d", prefix+indexSuffix, t.Name, len(t.Name), maxKey)
		}
		entries = append(entries, keyValue{t.Name, t.bundleEntry(offset)})
		offset += len(t.Data)
	}

	dir, index, data := filepath.Dir(prefix), prefix+indexSuffix, shardName(prefix, 0, 1)
	staging := files.TempName(index)
	if err := os.Mkdir(staging, 0o777); err != nil {
		return withPath(err, dir)
	}
	defer os.RemoveAll(staging)
	err = files.WriteFile(filepath.Join(staging, filepath.Base(data)), 0o666, func(w io.Writer) error {
		for _, t := range sorted {
			if _, err := w.Write(t.Data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return withPath(err, data)
	}
	err = files.WriteFile(filepath.Join(staging, filepath.Base(index)), 0o666, func(w io.Writer) error {
		return writeTable(w, entries)
	})
	if err != nil {
		return withPath(err, index)
	}
	if err := publish(staging, dir, []string{filepath.Base(data)}, index); err != nil {
		return err
	}
	return removeData(prefix, filepath.Base(data))
}

// bundleEntry encodes the BundleEntryProto of a tensor at an offset in the data file. As in TensorFlow's own files, zero
// fields are omitted, except the CRC.
func (t *Tensor) bundleEntry(offset int) []byte {
	e := protowire.AppendVarint(protowire.AppendTag(nil, entryDType, protowire.VarintType), tfTypes[t.DType])
	var shape []byte
	for _, d := range t.Shape {
		var dim []byte
		if d != 0 {
			dim = protowire.AppendVarint(protowire.AppendTag(nil, dimSize, protowire.VarintType), uint64(d))
		}
		shape = protowire.AppendBytes(protowire.AppendTag(shape, shapeDim, protowire.BytesType), dim)
	}
	e = protowire.AppendBytes(protowire.AppendTag(e, entryShape, protowire.BytesType), shape)
	if offset != 0 {
		e = protowire.AppendVarint(protowire.AppendTag(e, entryOffset, protowire.VarintType), uint64(offset))
	}
	if len(t.Data) != 0 {
		e = protowire.AppendVarint(protowire.AppendTag(e, entrySize, protowire.VarintType), uint64(len(t.Data)))
	}
	return protowire.AppendFixed32(protowire.AppendTag(e, entryCRC, protowire.Fixed32Type), maskedCRC(t.Data))
}

// removeData removes the data files of a bundle, except keep.
func removeData(prefix, keep string) error {
	dir, base := filepath.Dir(prefix), filepath.Base(prefix)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), base)
		if ok && rest != "" && dataName().FindString(rest) == rest && e.Name() != keep {
			if err := remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
