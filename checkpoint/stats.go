package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Stats summarise a tensor's elements. Norm, Min and Max are over the finite elements, and 0 if there are none.
type Stats struct {
	Norm     float64 // L2
	Min, Max float64
	NaN, Inf int // the numbers of NaNs and infinities
}

// Stats computes the statistics over all elements, in float64.
func (t *Tensor) Stats() (Stats, error) {
	size := t.DType.Size()
	if size == 0 || len(t.Data) != t.Len()*size {
		return Stats{}, fmt.Errorf("tensor %s: %d bytes of data do not fit %v with shape %s", quoted(t.Name), len(t.Data), t.DType, shapeText(t.Shape))
	}
	var (
		s       = Stats{Min: math.Inf(1), Max: math.Inf(-1)}
		squares float64
		block   [256]float64
	)
	for data := t.Data; len(data) > 0; {
		n := min(len(block), len(data)/size)
		floats(block[:n], t.DType, data)
		data = data[n*size:]
		for _, v := range block[:n] {
			switch {
			case v != v:
				s.NaN++
			case math.IsInf(v, 0):
				s.Inf++
			default:
				squares += v * v
				s.Min, s.Max = min(s.Min, v), max(s.Max, v)
			}
		}
	}
	if s.Min > s.Max {
		s.Min, s.Max = 0, 0
	}
	s.Norm = math.Sqrt(squares)
	return s, nil
}

// floats converts elements of any type to float64. An I64 beyond 2⁵³ is rounded.
func floats(dst []float64, d DType, data []byte) {
	var (
		le     = binary.LittleEndian
		single [256]float32
	)
	switch d {
	case F16:
		fromF16(single[:len(dst)], data)
	case BF16:
		fromBF16(single[:len(dst)], data)
	}
	for i := range dst {
		switch d {
		case F16, BF16:
			dst[i] = float64(single[i])
		case F32:
			dst[i] = float64(math.Float32frombits(le.Uint32(data[4*i:])))
		case F64:
			dst[i] = math.Float64frombits(le.Uint64(data[8*i:]))
		case I64:
			dst[i] = float64(int64(le.Uint64(data[8*i:])))
		case I32:
			dst[i] = float64(int32(le.Uint32(data[4*i:])))
		case I16:
			dst[i] = float64(int16(le.Uint16(data[2*i:])))
		case I8:
			dst[i] = float64(int8(data[i]))
		default: // U8, Bool
			dst[i] = float64(data[i])
		}
	}
}
