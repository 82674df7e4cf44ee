package vectors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"strconv"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/lazyregexp"
	"github.com/go-bert/bert/internal/message"
)

// readNPY reads an array of two dimensions in NumPy's format
// (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
func readNPY(path string) (*Set, error) {
	f, err := files.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := parseNPY(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

const (
	npyMagic     = "\x93NUMPY"
	maxNPYHeader = 1 << 16
)

// The keys of a header, which is a Python dict such as {'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }.
var (
	npyType  = lazyregexp.New(`'descr':\s*'([^']*)'`)
	npyOrder = lazyregexp.New(`'fortran_order':\s*(True|False)`)
	npyShape = lazyregexp.New(`'shape':\s*\(\s*(\d+)\s*,\s*(\d+)\s*,?\s*\)`)
)

// npyNumbers are the types of elements by their names: sizes, and how bytes become numbers.
var npyNumbers = map[string]struct {
	size int
	read func([]byte) float64
}{
	"<f2": {2, func(b []byte) float64 { return half(binary.LittleEndian.Uint16(b)) }},
	"<f4": {4, func(b []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) }},
	"<f8": {8, func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }},
	">f4": {4, func(b []byte) float64 { return float64(math.Float32frombits(binary.BigEndian.Uint32(b))) }},
	">f8": {8, func(b []byte) float64 { return math.Float64frombits(binary.BigEndian.Uint64(b)) }},
	"|b1": {1, func(b []byte) float64 { return float64(b[0]) }},
	"|u1": {1, func(b []byte) float64 { return float64(b[0]) }},
	"|i1": {1, func(b []byte) float64 { return float64(int8(b[0])) }},
	"<u2": {2, func(b []byte) float64 { return float64(binary.LittleEndian.Uint16(b)) }},
	"<i2": {2, func(b []byte) float64 { return float64(int16(binary.LittleEndian.Uint16(b))) }},
	"<u4": {4, func(b []byte) float64 { return float64(binary.LittleEndian.Uint32(b)) }},
	"<i4": {4, func(b []byte) float64 { return float64(int32(binary.LittleEndian.Uint32(b))) }},
	"<u8": {8, func(b []byte) float64 { return float64(binary.LittleEndian.Uint64(b)) }},
	"<i8": {8, func(b []byte) float64 { return float64(int64(binary.LittleEndian.Uint64(b))) }},
}

// half is an IEEE 754 binary16.
func half(bits uint16) float64 {
	sign, exponent, fraction := 1.0, int(bits>>10&31), float64(bits&1023)
	if bits>>15 == 1 {
		sign = -1
	}
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction == 0 {
			return math.Inf(int(sign))
		}
		return math.NaN()
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}

// parseNPY reads an array. Memory grows with what the file really has.
func parseNPY(r io.Reader) (*Set, error) {
	var begin [8]byte
	if _, err := io.ReadFull(r, begin[:]); err != nil || string(begin[:6]) != npyMagic {
		return nil, fmt.Errorf("no array of NumPy: it doesn't begin with %q", npyMagic)
	}
	var length uint32
	switch begin[6] {
	case 1:
		var short [2]byte
		if _, err := io.ReadFull(r, short[:]); err != nil {
			return nil, errNPYShort
		}
		length = uint32(binary.LittleEndian.Uint16(short[:]))
	case 2, 3:
		var long [4]byte
		if _, err := io.ReadFull(r, long[:]); err != nil {
			return nil, errNPYShort
		}
		length = binary.LittleEndian.Uint32(long[:])
	default:
		return nil, fmt.Errorf("version %d of NumPy's format, want 1 to 3", begin[6])
	}
	if length > maxNPYHeader {
		return nil, fmt.Errorf("a header of %d bytes, want at most %d", length, maxNPYHeader)
	}
	header := make([]byte, length)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, errNPYShort
	}
	kind, order, shape := npyType().FindSubmatch(header), npyOrder().FindSubmatch(header), npyShape().FindSubmatch(header)
	switch {
	case kind == nil || order == nil || !bytes.Contains(header, []byte("'shape'")):
		return nil, fmt.Errorf("header %s, want descr, fortran_order and shape of numbers", message.Quote(string(header)))
	case shape == nil:
		return nil, fmt.Errorf("header %s, want an array of two dimensions: vectors, and their numbers", message.Quote(string(bytes.TrimSpace(header))))
	}
	number, ok := npyNumbers[string(kind[1])]
	if !ok {
		return nil, fmt.Errorf("elements of type %s, want floating-point or whole numbers", message.Quote(string(kind[1])))
	}
	rows, errRows := strconv.Atoi(string(shape[1]))
	columns, errColumns := strconv.Atoi(string(shape[2]))
	if errRows != nil || errColumns != nil || columns > 0 && rows > math.MaxInt/16/columns {
		return nil, fmt.Errorf("a shape of (%s, %s), which is larger than the address space", shape[1], shape[2])
	}
	n := rows * columns
	raw, err := io.ReadAll(io.LimitReader(r, int64(n*number.size)+1))
	if err != nil {
		return nil, files.PathError(err)
	}
	if len(raw) != n*number.size {
		if len(raw) > n*number.size {
			return nil, fmt.Errorf("more than the %d bytes of data that a shape of (%d, %d) has", n*number.size, rows, columns)
		}
		return nil, fmt.Errorf("%d bytes of data, want %d for a shape of (%d, %d): the file is cut off", len(raw), n*number.size, rows, columns)
	}
	s := &Set{Rows: rows, Columns: columns, Values: make([]float64, n)}
	for i := range n {
		to := i
		if string(order[1]) == "True" { // the first dimension varies fastest
			to = i%rows*columns + i/rows
		}
		s.Values[to] = number.read(raw[i*number.size:])
	}
	return s, nil
}

var errNPYShort = errors.New("the header is cut off")
