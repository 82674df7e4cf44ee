package checkpoint

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/go-bert/bert/internal/files"
)

// recordAlignment is the alignment of a record's data in an archive, so that it can be mapped
// (caffe2/serialize/inline_container.cc, kFieldAlignment).
const recordAlignment = 64

// WriteTorch writes tensors as torch.save writes a state_dict, an OrderedDict in the order of tensors. torch.load can read it,
// with weights_only too. Tensors whose Data is the same memory share a storage, as tied weights do in PyTorch's files. The file
// replaces the one at path atomically, once it is on disk: after an error the old file is unchanged.
func WriteTorch(path string, tensors []Tensor) error {
	if _, err := sortByName(tensors); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	program, storages, err := pickleState(tensors)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	base := filepath.Base(path)
	a := archiveWriter{folder: strings.TrimSuffix(base, filepath.Ext(base)) + "/"}
	return files.WriteFile(path, 0o666, func(w io.Writer) error {
		a.begin(w)
		a.record(pickleRecord, program)
		a.record("byteorder", []byte("little"))
		for i, data := range storages {
			a.record("data/"+strconv.Itoa(i), data)
		}
		a.record("version", []byte("3\n"))
		return a.end()
	})
}

// pickleState returns the pickle of a state_dict, and the data of its storages, whose keys are "0", "1" and so on.
func pickleState(tensors []Tensor) (program []byte, storages [][]byte, err error) {
	classes := make(map[DType]global, len(storageTypes))
	for class, dtype := range storageTypes {
		classes[dtype] = class
	}
	type memory struct {
		begin *byte
		len   int
		dtype DType
	}
	keys := map[memory]int{}
	var p pickler
	p.op(opProto, 2)
	p.global("collections.OrderedDict")
	p.op(opEmptyTuple, opReduce, opMark)
	for i := range tensors {
		t := &tensors[i]
		m := memory{unsafe.SliceData(t.Data), len(t.Data), t.DType}
		key, known := keys[m]
		if !known || len(t.Data) == 0 {
			key = len(storages)
			keys[m] = key
			storages = append(storages, t.Data)
		}
		strides := make([]int, len(t.Shape))
		n := 1
		for i, dim := range slices.Backward(t.Shape) {
			strides[i] = n
			n *= max(dim, 1)
		}
		p.text(t.Name)
		p.global("torch._utils._rebuild_tensor_v2")
		p.op(opMark)
		p.op(opMark)
		p.text("storage")
		p.global(classes[t.DType])
		p.text(strconv.Itoa(key))
		p.text("cpu")
		p.int(t.Len())
		p.op(opTuple, opBinPersID)
		p.int(0) // offset
		p.ints(t.Shape)
		p.ints(strides)
		p.op(opNewFalse) // requires_grad
		p.global("collections.OrderedDict")
		p.op(opEmptyTuple, opReduce) // no hooks
		p.op(opTuple, opReduce)
	}
	p.op(opSetItems, opStop)
	return p.buf, storages, nil
}

// A pickler writes those instructions of protocol 2 that torch.load supports with weights_only
// (torch/_weights_only_unpickler.py).
type pickler struct{ buf []byte }

func (p *pickler) op(ops ...byte) { p.buf = append(p.buf, ops...) }

func (p *pickler) global(g global) {
	dot := strings.LastIndexByte(string(g), '.')
	p.buf = fmt.Appendf(p.buf, "%c%s\n%s\n", opGlobal, g[:dot], g[dot+1:])
}

func (p *pickler) text(s string) {
	p.buf = append(binary.LittleEndian.AppendUint32(append(p.buf, opBinUnicode), uint32(len(s))), s...)
}

func (p *pickler) int(n int) {
	if n <= math.MaxInt32 {
		p.buf = binary.LittleEndian.AppendUint32(append(p.buf, opBinInt), uint32(n))
		return
	}
	p.buf = binary.LittleEndian.AppendUint64(append(p.buf, opLong1, 8), uint64(n))
}

func (p *pickler) ints(list []int) {
	p.op(opMark)
	for _, n := range list {
		p.int(n)
	}
	p.op(opTuple)
}

// An archiveWriter writes the records of an archive and keeps the first error.
type archiveWriter struct {
	folder string
	zip    *zip.Writer
	at     countingWriter
	err    error
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

func (a *archiveWriter) begin(w io.Writer) {
	a.at = countingWriter{w: w}
	a.zip = zip.NewWriter(&a.at)
}

// record writes an uncompressed record whose data is aligned to recordAlignment. An extra field is the padding, as in PyTorch's
// archives.
func (a *archiveWriter) record(name string, data []byte) {
	if a.err != nil {
		return
	}
	if a.err = a.zip.Flush(); a.err != nil {
		return
	}
	if uint64(len(data)) >= math.MaxUint32 {
		a.err = fmt.Errorf("record %q has %d bytes, want less than 4 GiB", name, len(data))
		return
	}
	const header, extraHeader = 30, 4 // the sizes of a record's header and of an extra field's
	name = a.folder + name
	begin := a.at.n + header + int64(len(name)) + extraHeader
	padding := (recordAlignment - begin%recordAlignment) % recordAlignment
	extra := append(binary.LittleEndian.AppendUint16([]byte("FB"), uint16(padding)), strings.Repeat("Z", int(padding))...)
	w, err := a.zip.CreateRaw(&zip.FileHeader{
		Name: name, Method: zip.Store, Extra: extra, CRC32: crc32.ChecksumIEEE(data),
		CompressedSize64: uint64(len(data)), UncompressedSize64: uint64(len(data)),
	})
	if err == nil {
		_, err = w.Write(data)
	}
	a.err = err
}

func (a *archiveWriter) end() error {
	if a.err != nil {
		return a.err
	}
	return a.zip.Close()
}
