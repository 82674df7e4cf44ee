package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
)

// The index of a TensorFlow bundle is a LevelDB table: sorted keys with their values, in blocks. The format:
// https://github.com/google/leveldb/blob/main/doc/table_format.md; tensorflow/core/lib/io/format.h and block_builder.cc.
//
//	block    entries, restarts (uint32 each), number of restarts (uint32)
//	entry    length shared with the previous key, length not shared, length of the value (varints); rest of the key; value
//	trailer  type of compression (a byte), masked CRC-32C of block and type (uint32); one after each block
//	table    data blocks, metaindex block, index block, footer
//	index    a data block's last key, or one between it and the next block's first; value: the block's handle
//	handle   offset, size without the trailer (varints)
//	footer   handle of the metaindex, handle of the index, zeros up to 40 bytes; magic number (uint64)
const (
	tableMagic   = 0xdb4775248b80fb57
	tableFooter  = 48
	blockTrailer = 5

	// blockSize is the minimal size of all data blocks written here except the last (tensor_bundle.cc sets 256 KiB).
	blockSize = 256 << 10
	// restartInterval is the number of keys from one that is stored whole to the next; the others share bytes with the previous key.
	restartInterval = 16
)

// The types of compression.
const (
	notCompressed    = 0
	snappyCompressed = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC returns the CRC-32C of the concatenated parts, masked so that it can be stored in data that has a CRC of its own
// (tensorflow/core/lib/hash/crc32c.h, Mask).
func maskedCRC(parts ...[]byte) uint32 {
	crc := uint32(0)
	for _, p := range parts {
		crc = crc32.Update(crc, castagnoli, p)
	}
	return bits.RotateLeft32(crc, -15) + 0xa282ead8
}

// A keyValue is an entry of a table. The value aliases the file.
type keyValue struct {
	key   string
	value []byte
}

// readTable returns the entries of a table, in order, after checking the CRC of each block.
func readTable(file []byte) ([]keyValue, error) {
	if len(file) < tableFooter || binary.LittleEndian.Uint64(file[len(file)-8:]) != tableMagic {
		return nil, errors.New("no table footer at the end: truncated?")
	}
	footer := file[len(file)-tableFooter : len(file)-8]
	_, n, err := readHandle(footer) // of the metaindex, which lists filters and statistics that are not needed here
	if err != nil {
		return nil, inside("footer", err)
	}
	index, _, err := readHandle(footer[n:])
	if err != nil {
		return nil, inside("footer", err)
	}
	body := file[:len(file)-tableFooter]
	block, err := index.block(body)
	if err != nil {
		return nil, inside("index block", err)
	}
	// Keys share bytes with their predecessors: what they take is counted.
	var used ledger
	handles, err := readBlock(block, "", &ledger{})
	if err != nil {
		return nil, inside("index block", err)
	}
	var entries []keyValue
	end := uint64(0) // of the previous block: blocks must not overlap, so that no byte is read twice
	for i, h := range handles {
		where := fmt.Sprintf("block %d", i)
		handle, n, err := readHandle(h.value)
		if err == nil && n != len(h.value) {
			err = errors.New("bytes after the handle in the index")
		}
		if err == nil && handle.offset < end {
			err = errors.New("it overlaps the previous block")
		}
		if err != nil {
			return nil, inside(where, err)
		}
		block, err := handle.block(body)
		if err != nil {
			return nil, inside(where, err)
		}
		end = handle.offset + handle.size
		last := ""
		if len(entries) > 0 {
			last = entries[len(entries)-1].key
		}
		more, err := readBlock(block, last, &used)
		if err != nil {
			return nil, inside(where, err)
		}
		entries = append(entries, more...)
	}
	return entries, nil
}

// A blockHandle says where a block is.
type blockHandle struct{ offset, size uint64 }

func readHandle(b []byte) (h blockHandle, n int, err error) {
	var k int
	if h.offset, n = binary.Uvarint(b); n > 0 {
		if h.size, k = binary.Uvarint(b[n:]); k > 0 {
			return h, n + k, nil
		}
	}
	return h, 0, errors.New("a block handle is malformed")
}

func (h blockHandle) append(b []byte) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, h.offset), h.size)
}

// block returns the contents of the block.
func (h blockHandle) block(body []byte) ([]byte, error) {
	room := uint64(len(body))
	if h.offset > room || h.size > room-h.offset || room-h.offset-h.size < blockTrailer {
		return nil, fmt.Errorf("%d bytes at byte %d go beyond the end of the file: truncated?", h.size, h.offset)
	}
	block := body[h.offset : h.offset+h.size]
	trailer := body[h.offset+h.size:][:blockTrailer]
	if got, want := maskedCRC(block, trailer[:1]), binary.LittleEndian.Uint32(trailer[1:]); got != want {
		return nil, fmt.Errorf("the CRC is %08x, the file says %08x: damaged", got, want)
	}
	switch trailer[0] {
	case notCompressed:
		return block, nil
	case snappyCompressed:
		return nil, errors.New("compressed with Snappy, which is not supported: TensorFlow's own writer does not compress")
	default:
		return nil, fmt.Errorf("unknown compression %d", trailer[0])
	}
}

// readBlock returns the entries of a block. Their keys must be in order and, unless last is "", follow last.
func readBlock(block []byte, last string, used *ledger) ([]keyValue, error) {
	if len(block) < 4 {
		return nil, errors.New("too short to be a block")
	}
	restarts := uint64(binary.LittleEndian.Uint32(block[len(block)-4:]))
	if restarts > uint64(len(block)-4)/4 {
		return nil, fmt.Errorf("%d restarts do not fit into the block", restarts)
	}
	rest := block[:len(block)-4-4*int(restarts)]
	var (
		entries []keyValue
		key     []byte
	)
	for len(rest) > 0 {
		var lengths [3]uint64 // of the shared and the other part of the key, and of the value
		for i := range lengths {
			v, n := binary.Uvarint(rest)
			if n <= 0 {
				return nil, fmt.Errorf("the entry after key %s is malformed", quoted(key))
			}
			lengths[i], rest = v, rest[n:]
		}
		shared, own, value := lengths[0], lengths[1], lengths[2]
		if shared > uint64(len(key)) || own > uint64(len(rest)) || value > uint64(len(rest))-own {
			return nil, fmt.Errorf("the entry after key %s is malformed", quoted(key))
		}
		if shared+own > maxKey {
			return nil, fmt.Errorf("the key after %s has %d bytes, want at most %d", quoted(key), shared+own, maxKey)
		}
		key = append(key[:shared], rest[:own]...)
		if err := used.name(string(key), true); err != nil {
			return nil, err
		}
		e := keyValue{string(key), rest[own : own+value : own+value]}
		if first := len(entries) == 0 && last == ""; !first && e.key <= last {
			return nil, fmt.Errorf("key %s after %s: out of order", quoted(e.key), quoted(last))
		}
		entries = append(entries, e)
		last, rest = e.key, rest[own+value:]
	}
	return entries, nil
}

// writeTable writes entries, whose keys must be in order, byte for byte as TensorFlow does (core/lib/io/table_builder.cc).
func writeTable(w io.Writer, entries []keyValue) error {
	t := tableWriter{w: w}
	index := blockBuilder{interval: 1} // every key is whole, so that a search can begin at any of them
	for len(entries) > 0 {
		data := blockBuilder{interval: restartInterval}
		n := 0
		for n < len(entries) && data.size() < blockSize {
			data.add(entries[n])
			n++
		}
		key := successor(entries[n-1].key)
		if n < len(entries) {
			key = separator(entries[n-1].key, entries[n].key)
		}
		index.add(keyValue{key, t.block(data.finish()).append(nil)})
		entries = entries[n:]
	}
	meta := blockBuilder{interval: restartInterval}
	footer := t.block(meta.finish()).append(nil)
	footer = t.block(index.finish()).append(footer)
	footer = append(footer, make([]byte, tableFooter-8-len(footer))...)
	t.write(binary.LittleEndian.AppendUint64(footer, tableMagic))
	return t.err
}

// separator returns a short key k with a ≤ k < b, given a < b (FindShortestSeparator).
func separator(a, b string) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	if i < min(len(a), len(b)) && a[i] < 0xff && a[i]+1 < b[i] {
		return a[:i] + string([]byte{a[i] + 1})
	}
	return a
}

// successor returns a short key that is not less than a (FindShortSuccessor).
func successor(a string) string {
	for i := range len(a) {
		if a[i] != 0xff {
			return a[:i] + string([]byte{a[i] + 1})
		}
	}
	return a
}

// A tableWriter writes blocks and keeps the first error.
type tableWriter struct {
	w   io.Writer
	at  uint64
	err error
}

func (t *tableWriter) write(b []byte) {
	if t.err == nil {
		_, t.err = t.w.Write(b)
	}
	t.at += uint64(len(b))
}

func (t *tableWriter) block(block []byte) blockHandle {
	h := blockHandle{t.at, uint64(len(block))}
	kind := []byte{notCompressed}
	t.write(block)
	t.write(binary.LittleEndian.AppendUint32(kind, maskedCRC(block, kind)))
	return h
}

// A blockBuilder collects the entries of a block.
type blockBuilder struct {
	interval int // of restarts
	buf      []byte
	restarts []uint32
	count    int
	last     string
}

func (b *blockBuilder) add(e keyValue) {
	shared := 0
	if b.count%b.interval == 0 {
		b.restarts = append(b.restarts, uint32(len(b.buf)))
	} else {
		for shared < min(len(b.last), len(e.key)) && b.last[shared] == e.key[shared] {
			shared++
		}
	}
	b.buf = binary.AppendUvarint(b.buf, uint64(shared))
	b.buf = binary.AppendUvarint(b.buf, uint64(len(e.key)-shared))
	b.buf = binary.AppendUvarint(b.buf, uint64(len(e.value)))
	b.buf = append(append(b.buf, e.key[shared:]...), e.value...)
	b.count, b.last = b.count+1, e.key
}

// size returns the current size of the block in bytes.
func (b *blockBuilder) size() int { return len(b.buf) + 4*len(b.restarts) + 4 }

// finish returns the block. Even an empty one has a restart.
func (b *blockBuilder) finish() []byte {
	if len(b.restarts) == 0 {
		b.restarts = []uint32{0}
	}
	for _, r := range b.restarts {
		b.buf = binary.LittleEndian.AppendUint32(b.buf, r)
	}
	return binary.LittleEndian.AppendUint32(b.buf, uint32(len(b.restarts)))
}

// isTable reports whether a file ends like a table.
func isTable(tail []byte) bool {
	return bytes.HasSuffix(tail, binary.LittleEndian.AppendUint64(nil, tableMagic))
}
