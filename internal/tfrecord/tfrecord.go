// Package tfrecord implements the framing of TFRecord files (tensorflow/core/lib/io/record_writer.h). A file is a sequence
// of records, each of
//
//	length  uint64, little-endian
//	        uint32, the masked CRC-32C of length
//	data    [length]byte
//	        uint32, the masked CRC-32C of data
package tfrecord

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

const (
	head = 12
	foot = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC returns the CRC-32C of data, masked so that it can be stored next to the data it covers
// (tensorflow/core/lib/hash/crc32c.h, Mask).
func maskedCRC(data []byte) uint32 {
	crc := crc32.Checksum(data, castagnoli)
	return (crc>>15 | crc<<17) + 0xa282ead8
}

// Append appends a record with the given data to b.
func Append(b, data []byte) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, maskedCRC(b[at:]))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, maskedCRC(data))
}

// Sniff reports whether b begins like a TFRecord file.
func Sniff(b []byte) bool {
	return len(b) >= head && binary.LittleEndian.Uint32(b[8:]) == maskedCRC(b[:8])
}

// ErrCutOff is returned for a file that ends in the middle of a record.
var ErrCutOff = errors.New("the file is truncated")

// First returns the data of the first record of b and what follows the record. b must not be empty.
func First(b []byte) (data, rest []byte, err error) {
	if len(b) < head {
		return nil, nil, ErrCutOff
	}
	if !Sniff(b) {
		return nil, nil, errors.New("damaged, or not a TFRecord file: the checksum of a record's length is wrong")
	}
	size := binary.LittleEndian.Uint64(b)
	if b = b[head:]; uint64(len(b)) < size || uint64(len(b))-size < foot {
		return nil, nil, fmt.Errorf("%w: a record of %d bytes, only %d left", ErrCutOff, size, len(b))
	}
	data, b = b[:size:size], b[size:]
	if binary.LittleEndian.Uint32(b) != maskedCRC(data) {
		return nil, nil, errors.New("damaged: the checksum of a record is wrong")
	}
	return data, b[foot:], nil
}
