package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"github.com/go-bert/bert/internal/mmap"
)

// A Tensor is a named array of numbers in row-major order.
type Tensor struct {
	Name  string
	DType DType
	Shape []int  // empty for a scalar; a dimension may be 0
	Data  []byte // the elements, little-endian, without gaps. In a File: read-only, and valid until its Close
}

// Len returns the number of elements: the product of the dimensions, 1 for a scalar.
func (t *Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Forget lets go of the memory of Data where it is a part of a mapped file: it is loaded again when it is touched. For values that
// are not needed for a while.
func (t *Tensor) Forget() { mmap.Forget(t.Data) }

// byteSize returns the length that Data must have. It fails if a dimension is negative or the product of the non-zero
// dimensions overflows an int. So no arithmetic of a caller on the shape can overflow, in whatever order it multiplies.
func byteSize(d DType, shape []int) (int, error) {
	n, zero := d.Size(), false
	for _, dim := range shape {
		switch {
		case dim < 0:
			return 0, fmt.Errorf("shape %s has a negative dimension", shapeText(shape))
		case dim == 0:
			zero = true
		case n > math.MaxInt/dim:
			return 0, fmt.Errorf("shape %s of %v is larger than the address space", shapeText(shape), d)
		default:
			n *= dim
		}
	}
	if zero {
		return 0, nil
	}
	return n, nil
}

// littleEndianHost is true if a []float32 has the same bytes in memory as Data.
var littleEndianHost = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// Float32View returns the elements without copying them if they are F32, are aligned to 4 bytes and the machine is
// little-endian; otherwise it returns false. The slice shares Data's memory: it is read-only and valid as long as Data.
func (t *Tensor) Float32View() ([]float32, bool) {
	if t.DType != F32 || !littleEndianHost || len(t.Data) != 4*t.Len() {
		return nil, false
	}
	if len(t.Data) == 0 {
		return []float32{}, true
	}
	p := unsafe.Pointer(unsafe.SliceData(t.Data))
	if uintptr(p)%4 != 0 {
		return nil, false
	}
	return unsafe.Slice((*float32)(p), len(t.Data)/4), true
}

// Int8View returns the elements, which must be I8, without copying them. The slice shares Data's memory: it is read-only and
// valid as long as Data.
func (t *Tensor) Int8View() []int8 {
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(t.Data))), len(t.Data))
}

// FromInt8 returns src as the Data of a tensor of type I8. The result shares memory with src.
func FromInt8(src []int8) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(src))), len(src))
}

// Float32 converts the elements, which must be F64, F32, F16 or BF16, into dst, whose length must be Len. F16 and BF16 convert
// exactly, including subnormals, infinities and the sign of zero. F64 is rounded to nearest, ties to even; a finite value
// beyond float32 is an error. A NaN stays a NaN.
func (t *Tensor) Float32(dst []float32) error {
	if n := t.Len(); len(dst) != n {
		return fmt.Errorf("tensor %s: shape %s has %d elements, the destination %d", quoted(t.Name), shapeText(t.Shape), n, len(dst))
	}
	if len(t.Data) != len(dst)*t.DType.Size() {
		return fmt.Errorf("tensor %s: %v with shape %s has %d bytes of data, want %d", quoted(t.Name), t.DType, shapeText(t.Shape), len(t.Data), len(dst)*t.DType.Size())
	}
	switch t.DType {
	case F64:
		if i := fromF64(dst, t.Data); i >= 0 {
			return fmt.Errorf("tensor %s: element %d, %g, is beyond float32", quoted(t.Name), i, math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*i:])))
		}
	case F32:
		fromF32(dst, t.Data)
	case F16:
		fromF16(dst, t.Data)
	case BF16:
		fromBF16(dst, t.Data)
	default:
		return fmt.Errorf("tensor %s: %v elements cannot be read as float32", quoted(t.Name), t.DType)
	}
	return nil
}

// Transpose returns the transpose [columns, rows] of a matrix [rows, columns]. width is the size of an element in bytes: 1, 2,
// 4 or 8.
func Transpose(data []byte, rows, columns, width int) []byte {
	out := make([]byte, len(data))
	switch width {
	case 1:
		transpose[[1]byte](out, data, rows, columns)
	case 2:
		transpose[[2]byte](out, data, rows, columns)
	case 4:
		transpose[[4]byte](out, data, rows, columns)
	default:
		transpose[[8]byte](out, data, rows, columns)
	}
	return out
}

// transpose works in blocks, so that the rows read and written stay in the cache. E is an array of bytes, which has no
// alignment.
func transpose[E any](dst, src []byte, rows, columns int) {
	const block = 32
	var (
		to   = unsafe.Slice((*E)(unsafe.Pointer(unsafe.SliceData(dst))), rows*columns)
		from = unsafe.Slice((*E)(unsafe.Pointer(unsafe.SliceData(src))), rows*columns)
	)
	for r0 := 0; r0 < rows; r0 += block {
		for c0 := 0; c0 < columns; c0 += block {
			for r := r0; r < min(r0+block, rows); r++ {
				for c := c0; c < min(c0+block, columns); c++ {
					to[c*rows+r] = from[r*columns+c]
				}
			}
		}
	}
}
