package bertgraph

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert/internal/onnx"
)

// An array is a constant of a graph: a tensor, or what operators make of one. Its elements are computed when they are asked for.
type array struct {
	typ    onnx.ElementType
	shape  []int
	tensor *onnx.Tensor // the tensor of the graph that it comes from
	// whole says that it is that tensor, as it is.
	whole bool
	load  func(*budget) ([]byte, error)
	depth int // of the operators that make it
	// integers are what it was dequantized from, if it is a matrix and nothing but that.
	integers *integers
}

// maxDepth is the most operators between a tensor and a weight that is made of it.
const maxDepth = 32

// A budget is how many bytes may still be computed.
type budget struct{ left int }

var errTooMuch = errors.New("its weights would have many times the bytes of the file: they share data")

func (b *budget) bytes(n int) ([]byte, error) {
	if b.left -= n; b.left < 0 {
		return nil, errTooMuch
	}
	return make([]byte, n), nil
}

// arrayOf is a tensor of the graph, nil for one without elements here.
func arrayOf(t *onnx.Tensor) *array {
	a := &array{typ: t.Type, tensor: t, whole: true, load: func(*budget) ([]byte, error) { return t.Raw, nil }}
	n := t.Type.Size()
	if n == 0 {
		return nil
	}
	for _, d := range t.Shape {
		if d < 0 || d > math.MaxInt32 {
			return nil
		}
		a.shape = append(a.shape, int(d))
		if n *= d; n > math.MaxInt32*8 {
			return nil
		}
	}
	if n != int64(len(t.Raw)) {
		return nil
	}
	return a
}

func (a *array) len() int {
	n := 1
	for _, d := range a.shape {
		n *= d
	}
	return n
}

// float reports whether the elements are floating-point numbers, and quantized whether they are 8-bit integers.
func (a *array) float() bool {
	return slices.Contains([]onnx.ElementType{onnx.Float, onnx.Float16, onnx.BFloat16, onnx.Double}, a.typ)
}
func (a *array) quantized() bool { return a.typ == onnx.Int8 || a.typ == onnx.Uint8 }

// vector is a's only dimension that is not 1, 0 where there is another.
func (a *array) vector() int {
	n := 0
	for _, d := range a.shape {
		switch {
		case d == 1:
		case n != 0:
			return 0
		default:
			n = d
		}
	}
	return max(n, 1)
}

// zeros are n zeros of float32.
func zeros(shape ...int) *array {
	a := &array{typ: onnx.Float, shape: shape}
	a.load = func(b *budget) ([]byte, error) { return b.bytes(4 * a.len()) }
	return a
}

// reshaped has the same elements in another shape.
func (a *array) reshaped(shape ...int) *array {
	return &array{
		typ: a.typ, shape: shape, tensor: a.tensor, whole: a.whole && slices.Equal(a.shape, shape), load: a.load, depth: a.depth,
		integers: a.integers.reshaped(a.shape, shape),
	}
}

// transposed is a matrix with its rows as columns.
func (a *array) transposed() *array {
	rows, columns := a.shape[0], a.shape[1]
	return &array{typ: a.typ, shape: []int{columns, rows}, tensor: a.tensor, depth: a.depth + 1, integers: a.integers.transposed(), load: func(b *budget) ([]byte, error) {
		from, err := a.load(b)
		if err != nil {
			return nil, err
		}
		to, err := b.bytes(len(from))
		if err != nil {
			return nil, err
		}
		// In blocks, so that the rows read and written stay in the cache.
		const block = 32
		width := int(a.typ.Size())
		for r0 := 0; r0 < rows; r0 += block {
			for c0 := 0; c0 < columns; c0 += block {
				for r := r0; r < min(r0+block, rows); r++ {
					for c := c0; c < min(c0+block, columns); c++ {
						copy(to[(c*rows+r)*width:][:width], from[(r*columns+c)*width:][:width])
					}
				}
			}
		}
		return to, nil
	}}
}

// part is the elements from a row to before another of a matrix, or of a vector.
func (a *array) part(from, to int) *array {
	shape := slices.Clone(a.shape)
	shape[0] = to - from
	return &array{typ: a.typ, shape: shape, tensor: a.tensor, depth: a.depth + 1, integers: a.integers.part(from, to), load: func(b *budget) ([]byte, error) {
		data, err := a.load(b)
		if err != nil {
			return nil, err
		}
		row := len(data) / a.shape[0]
		return data[from*row : to*row], nil
	}}
}

// once computes the elements a single time.
func (a *array) once() *array {
	load := a.load
	var (
		data []byte
		err  error
		done bool
	)
	a.load = func(b *budget) ([]byte, error) {
		if !done {
			data, err = load(b)
			done = true
		}
		return data, err
	}
	return a
}

// numbers are the elements as float32.
func (a *array) numbers(b *budget) ([]float32, error) {
	data, err := a.load(b)
	if err != nil {
		return nil, err
	}
	if b.left -= 4 * a.len(); b.left < 0 {
		return nil, errTooMuch
	}
	out := make([]float32, a.len())
	for i := range out {
		switch a.typ {
		case onnx.Float:
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		case onnx.Double:
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:])))
		case onnx.Float16:
			out[i] = half(binary.LittleEndian.Uint16(data[2*i:]))
		case onnx.BFloat16:
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(data[2*i:])) << 16)
		case onnx.Int8:
			out[i] = float32(int8(data[i]))
		case onnx.Uint8:
			out[i] = float32(data[i])
		case onnx.Int32:
			out[i] = float32(int32(binary.LittleEndian.Uint32(data[4*i:])))
		case onnx.Int64:
			out[i] = float32(int64(binary.LittleEndian.Uint64(data[8*i:])))
		default:
			return nil, fmt.Errorf("a constant of element type %d, of which no weights are made", a.typ)
		}
	}
	return out, nil
}

// half is the value of a float16.
func half(bits uint16) float32 {
	sign, exponent, fraction := float64(1), int(bits>>10&31), float64(bits&1023)
	if bits>>15 == 1 {
		sign = -1
	}
	switch exponent {
	case 0:
		return float32(sign * math.Ldexp(fraction, -24))
	case 31:
		if fraction != 0 {
			return float32(math.NaN())
		}
		return float32(math.Inf(int(sign)))
	}
	return float32(sign * math.Ldexp(1024+fraction, exponent-25))
}

// elementwise is f of the elements of a and of another, which is broadcast to it as ONNX does: shapes are aligned at their ends.
func (a *array) elementwise(other *array, f func(x, y float32) float32) (*array, bool) {
	strides, ok := broadcast(a.shape, other.shape)
	if !ok || max(a.depth, other.depth) >= maxDepth {
		return nil, false
	}
	out := &array{typ: onnx.Float, shape: a.shape, tensor: a.tensor, depth: max(a.depth, other.depth) + 1}
	out.load = func(b *budget) ([]byte, error) {
		x, err := a.numbers(b)
		if err != nil {
			return nil, err
		}
		y, err := other.numbers(b)
		if err != nil {
			return nil, err
		}
		data, err := b.bytes(4 * len(x))
		if err != nil {
			return nil, err
		}
		index := make([]int, len(a.shape))
		at := 0
		for i := range x {
			binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(f(x[i], y[at])))
			for d := len(index) - 1; d >= 0; d-- {
				index[d]++
				at += strides[d]
				if index[d] < a.shape[d] {
					break
				}
				at -= strides[d] * a.shape[d]
				index[d] = 0
			}
		}
		return data, nil
	}
	return out.once(), true
}

// broadcast gives the strides by which elements of a small shape repeat along a large one.
func broadcast(large, small []int) ([]int, bool) {
	if len(small) > len(large) {
		return nil, false
	}
	strides := make([]int, len(large))
	size := 1
	for i := len(small) - 1; i >= 0; i-- {
		d := i + len(large) - len(small)
		switch {
		case small[i] == 1:
		case small[i] == large[d]:
			strides[d] = size
		default:
			return nil, false
		}
		size *= small[i]
	}
	return strides, true
}

// dequantized is scale·(a − zero), with one of each for all or one for each index along an axis (ONNX, DequantizeLinear). zero may
// be nil.
func (a *array) dequantized(scale, zero *array, axis int) (*array, bool) {
	along := func(v *array) *array {
		if v.len() == 1 {
			return v.reshaped()
		}
		if axis < 0 {
			axis += len(a.shape)
		}
		if axis < 0 || axis >= len(a.shape) || v.vector() != a.shape[axis] {
			return nil
		}
		shape := make([]int, len(a.shape)-axis)
		for i := range shape {
			shape[i] = 1
		}
		shape[0] = v.len()
		return v.reshaped(shape...)
	}
	out := a
	if zero != nil {
		z := along(zero)
		if z == nil {
			return nil, false
		}
		var ok bool
		if out, ok = out.elementwise(z, func(x, y float32) float32 { return x - y }); !ok {
			return nil, false
		}
	}
	s := along(scale)
	if s == nil {
		return nil, false
	}
	out, ok := out.elementwise(s, func(x, y float32) float32 { return x * y })
	if ok && a.quantized() && len(a.shape) >= 2 {
		if axis < 0 {
			axis += len(a.shape)
		}
		out.integers = (&integers{stored: a, scale: scale, zero: zero, axis: axis}).reshaped(a.shape, a.shape)
	}
	return out, ok
}
