package archive

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// This file stores the matrices of a safetensors file as integers: groups of some numbers of a row, each group with a scale. What comes out of
// an archive are the numbers that these mean, in the type that the file has. A file is cut into segments:
//
//	uvarint   how many
//	each      kind, a byte; then
//	  plain   uvarint n, n bytes
//	  planes  uvarint n, n bytes, split: those of bfloat16
//	  rounded type, a byte; uvarint rows, columns, group; the scales of all groups, row by row, as bfloat16, split; the integers as
//	          bytes, row by row
//	  same    uvarint where, n: bytes of the base's file
//	  added   uvarint where, then as rounded: what is added to the numbers of a matrix of the base's file
//
// Each integer has a byte of its own, whatever its range: Zstandard's entropy coding makes about log2(range) bits of it, or less.

// segment kinds.
const (
	plainSegment byte = iota
	planesSegment
	roundedSegment
	sameSegment
	addedSegment
)

// The types of rounded numbers.
const (
	bfloat16 byte = iota
	float32s
)

// sizes are those of the types, in bytes.
var sizes = [...]int{bfloat16: 2, float32s: 4}

// typeNames are those of safetensors.
var typeNames = map[string]byte{"BF16": bfloat16, "F32": float32s}

// Rounding says how matrices are stored. The zero value stores all bits.
type Rounding struct {
	// Bits are those of an integer, 2 to 8; 0: no rounding.
	Bits int
	// Group is how many numbers of a row share a scale; 0: all of the row.
	Group int
}

func (r Rounding) check() error {
	switch {
	case r.Bits != 0 && (r.Bits < 2 || r.Bits > 8):
		return fmt.Errorf("integers of %d bits, want 2 to 8, or 0 for no rounding", r.Bits)
	case r.Group < 0:
		return fmt.Errorf("groups of %d numbers, want at least 1, or 0 for a row", r.Group)
	}
	return nil
}

// tensorHeader is what the header of a safetensors file says of a tensor.
type tensorHeader struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"`
}

// numbers is the type of those of a matrix of more than a row or column that has size bytes. whole reports whether the tensor is one.
func (t *tensorHeader) numbers(size int) (kind byte, whole bool) {
	kind, known := typeNames[t.DType]
	if !known || len(t.Shape) != 2 {
		return 0, false
	}
	rows, columns := t.Shape[0], t.Shape[1]
	return kind, rows > 1 && columns > 1 && rows <= size && columns <= size && rows*columns*sizes[kind] == size
}

// tensors reads the header of a safetensors file: where its data begin, and its tensors by name.
func tensors(data []byte) (begin int, list map[string]tensorHeader, err error) {
	if len(data) < 8 {
		return 0, nil, errors.New("no safetensors file: it has no header")
	}
	n := binary.LittleEndian.Uint64(data)
	if n > uint64(len(data)-8) {
		return 0, nil, fmt.Errorf("no safetensors file: its header of %d bytes is longer than the file", n)
	}
	begin = 8 + int(n)
	var header map[string]json.RawMessage
	if err := json.Unmarshal(data[8:begin], &header); err != nil {
		return 0, nil, fmt.Errorf("no safetensors file: %w", err)
	}
	list = make(map[string]tensorHeader)
	for name, raw := range header {
		if name == "__metadata__" {
			continue
		}
		var t tensorHeader
		if err := json.Unmarshal(raw, &t); err != nil {
			return 0, nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		if t.Offsets[0] < 0 || t.Offsets[1] < t.Offsets[0] || t.Offsets[1] > len(data)-begin {
			return 0, nil, fmt.Errorf("tensor %q: data_offsets %v of a file of %d bytes", name, t.Offsets, len(data))
		}
		list[name] = t
	}
	return begin, list, nil
}

// cut cuts a safetensors file into segments as s says. base is the base's file, nil for none.
func cut(data []byte, s *Storage, base []byte) ([]byte, error) {
	begin, list, err := tensors(data)
	if err != nil {
		return nil, err
	}
	baseBegin, ofBase := 0, map[string]tensorHeader(nil)
	if base != nil {
		if baseBegin, ofBase, err = tensors(base); err != nil {
			return nil, fmt.Errorf("the base: %w", err)
		}
	}
	names := slices.SortedFunc(maps.Keys(list), func(a, b string) int {
		return cmp.Or(cmp.Compare(list[a].Offsets[0], list[b].Offsets[0]), cmp.Compare(list[a].Offsets[1], list[b].Offsets[1]))
	})
	var (
		out   []byte
		count = uint64(0)
		at    = 0
	)
	raw := func(kind byte, part []byte) {
		if len(part) == 0 {
			return
		}
		if kind == planesSegment {
			part = split(part)
		}
		out = append(binary.AppendUvarint(append(out, kind), uint64(len(part))), part...)
		count++
	}
	raw(plainSegment, data[:begin])
	for _, name := range names {
		t := list[name]
		if t.Offsets[0] < at {
			return nil, errors.New("tensors overlap")
		}
		raw(plainSegment, data[begin+at:begin+t.Offsets[0]])
		values := data[begin+t.Offsets[0] : begin+t.Offsets[1]]
		at = t.Offsets[1]
		r := s.Matrices
		if strings.Contains(name, "embeddings") {
			r = s.Embeddings
		}
		kind, whole := t.numbers(len(values))
		if b, ok := ofBase[name]; ok && b.DType == t.DType && slices.Equal(b.Shape, t.Shape) && b.Offsets[1]-b.Offsets[0] == len(values) {
			where := baseBegin + b.Offsets[0]
			own := base[where : where+len(values)]
			switch {
			case len(values) == 0:
				continue
			case bytes.Equal(own, values):
				out = binary.AppendUvarint(binary.AppendUvarint(append(out, sameSegment), uint64(where)), uint64(len(values)))
				count++
				continue
			case whole && s.Differences.Bits > 0:
				out = binary.AppendUvarint(append(out, addedSegment), uint64(where))
				out = appendRounded(out, values, own, kind, t.Shape[0], t.Shape[1], s.Differences)
				count++
				continue
			}
		}
		switch {
		case whole && r.Bits > 0:
			out = appendRounded(append(out, roundedSegment), values, nil, kind, t.Shape[0], t.Shape[1], r)
			count++
		case t.DType == "BF16":
			raw(planesSegment, values)
		default:
			raw(plainSegment, values)
		}
	}
	raw(plainSegment, data[begin+at:])
	return append(binary.AppendUvarint(nil, count), out...), nil
}

// appendRounded appends a matrix as integers; with a base, what has to be added to the base's numbers.
func appendRounded(out, values, base []byte, kind byte, rows, columns int, r Rounding) []byte {
	group := r.Group
	if group == 0 || group > columns {
		group = columns
	}
	out = append(out, kind)
	for _, n := range []int{rows, columns, group} {
		out = binary.AppendUvarint(out, uint64(n))
	}
	var (
		scales []byte
		ints   = make([]byte, 0, rows*columns)
		x      = make([]float32, columns)
	)
	for row := range rows {
		for i := range x {
			at := (row*columns + i) * sizes[kind]
			if x[i] = number(values[at:], kind); base != nil {
				x[i] -= number(base[at:], kind)
			}
		}
		for from := 0; from < columns; from += group {
			part := x[from:min(from+group, columns)]
			scale := scaleOf(part, r.Bits)
			scales = binary.LittleEndian.AppendUint16(scales, uint16(math.Float32bits(scale)>>16))
			for _, v := range part {
				ints = append(ints, byte(integer(v, scale, r.Bits)))
			}
		}
	}
	return append(append(out, split(scales)...), ints...)
}

// scaleOf is the scale, a bfloat16, with which numbers lose least by being rounded, of those with which the largest is at most a quarter of
// itself beyond the largest integer, or three quarters with 2 or 3 bits, and becomes that. With many bits it is the one with which the largest
// becomes the largest integer.
func scaleOf(x []float32, bits int) float32 {
	largest := float32(0)
	for _, v := range x {
		largest = max(largest, float32(math.Abs(float64(v))))
	}
	if largest == 0 {
		return 0
	}
	top := float32(int(1)<<(bits-1) - 1)
	full := upper(largest / top)
	if bits > 6 {
		return full
	}
	best, least, steps := full, math.Inf(1), 16
	if bits <= 3 {
		steps = 48
	}
	for step := range steps {
		scale := upper(largest / top * (1 - float32(step)/64))
		lost := 0.0
		for _, v := range x {
			d := float64(v) - float64(float32(integer(v, scale, bits))*scale)
			lost += d * d
		}
		if lost < least {
			best, least = scale, lost
		}
	}
	return best
}

// upper is the least bfloat16 that is not below a positive number.
func upper(x float32) float32 {
	bits := math.Float32bits(x)
	return math.Float32frombits((bits + 0xffff) &^ 0xffff)
}

// integer is a number over a scale, rounded to the nearest integer of so many bits.
func integer(v, scale float32, bits int) int8 {
	if scale == 0 {
		return 0
	}
	top := float64(int(1)<<(bits-1) - 1)
	return int8(min(top, max(-top, math.RoundToEven(float64(v)/float64(scale)))))
}

// number reads a number.
func number(b []byte, kind byte) float32 {
	if kind == bfloat16 {
		return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16)
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(b))
}

// appendNumber appends a number, to nearest where it is rounded.
func appendNumber(out []byte, v float32, kind byte) []byte {
	bits := math.Float32bits(v)
	if kind == bfloat16 {
		return binary.LittleEndian.AppendUint16(out, uint16((bits+0x7fff+bits>>16&1)>>16))
	}
	return binary.LittleEndian.AppendUint32(out, bits)
}

// errSegments is the error of segments that make no file.
var errSegments = errors.New("the segments of the weights are broken")

// expand makes the file of its segments. base is the base's file, nil for none.
func expand(data, base []byte) ([]byte, error) {
	next := func() (int, bool) {
		v, n := binary.Uvarint(data)
		if n <= 0 || v > maxSize {
			return 0, false
		}
		data = data[n:]
		return int(v), true
	}
	take := func(n int) ([]byte, bool) {
		if n < 0 || n > len(data) {
			return nil, false
		}
		part := data[:n]
		data = data[n:]
		return part, true
	}
	var out []byte
	count, ok := next()
	for range count {
		var kind []byte
		if kind, ok = take(1); !ok {
			break
		}
		switch kind[0] {
		case plainSegment, planesSegment:
			var part []byte
			n, has := next()
			if part, ok = take(n); kind[0] == planesSegment {
				part = join(part)
			}
			ok = ok && has
			out = append(out, part...)
		case roundedSegment:
			out, ok = expandRounded(out, nil, next, take)
		case sameSegment:
			where, has := next()
			n, all := next()
			if ok = has && all && where <= len(base) && n <= len(base)-where; ok {
				out = append(out, base[where:where+n]...)
			}
		case addedSegment:
			var where int
			if where, ok = next(); ok && where < len(base) {
				out, ok = expandRounded(out, base[where:], next, take)
			} else {
				ok = false
			}
		default:
			ok = false
		}
		if !ok {
			break
		}
		if len(out) > maxSize {
			return nil, errSegments
		}
	}
	if !ok || len(data) > 0 {
		return nil, errSegments
	}
	return out, nil
}

// expandRounded appends a matrix that next and take read. With a base it is added to the numbers that that begins with.
func expandRounded(out, base []byte, next func() (int, bool), take func(int) ([]byte, bool)) ([]byte, bool) {
	kind, ok := take(1)
	if !ok || int(kind[0]) >= len(sizes) {
		return out, false
	}
	var shape [3]int // rows, columns, group
	for i := range shape {
		if shape[i], ok = next(); !ok || shape[i] < 1 {
			return out, false
		}
	}
	rows, columns, group := shape[0], shape[1], shape[2]
	if rows > maxSize/columns {
		return out, false
	}
	groups := (columns + group - 1) / group
	scales, ok := take(2 * rows * groups)
	if !ok {
		return out, false
	}
	ints, ok := take(rows * columns)
	if !ok {
		return out, false
	}
	size := sizes[kind[0]]
	if base != nil && len(base) < rows*columns*size {
		return out, false
	}
	scales = join(scales)
	out = slices.Grow(out, rows*columns*size)
	for row := range rows {
		for i := range columns {
			scale := number(scales[2*(row*groups+i/group):], bfloat16)
			v := float32(float32(int8(ints[row*columns+i])) * scale) // a product of its own, on every processor
			if base != nil {
				v += number(base[(row*columns+i)*size:], kind[0])
			}
			out = appendNumber(out, v, kind[0])
		}
	}
	return out, true
}
