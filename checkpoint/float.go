package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// FromFloat32 returns src as the Data of a tensor of type F64, F32, F16 or BF16. F16 and BF16 are rounded to nearest, ties to
// even, subnormals included; a NaN stays a NaN. A finite value that would become infinite is an error, since a model saved
// with it would be silently broken.
//
// The result may share memory with src. For F32 on little-endian machines it does, so that a model is saved without a copy.
func FromFloat32(d DType, src []float32) ([]byte, error) {
	var data []byte
	overflow := -1
	switch d {
	case F64:
		data = make([]byte, 8*len(src))
		for i, v := range src {
			binary.LittleEndian.PutUint64(data[8*i:], math.Float64bits(float64(v)))
		}
	case F32:
		if littleEndianHost {
			return float32Bytes(src), nil
		}
		data = make([]byte, 4*len(src))
		for i, v := range src {
			binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(v))
		}
	case F16:
		data = make([]byte, 2*len(src))
		overflow = toF16(data, src)
	case BF16:
		data = make([]byte, 2*len(src))
		overflow = toBF16(data, src)
	default:
		return nil, fmt.Errorf("float32 values cannot be stored as %v", d)
	}
	if overflow >= 0 {
		return nil, fmt.Errorf("element %d, %g, is beyond %v", overflow, src[overflow], d)
	}
	return data, nil
}

// float32Bytes returns the memory of s as bytes.
func float32Bytes(s []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), 4*len(s))
}

func fromF32(dst []float32, data []byte) {
	if littleEndianHost {
		copy(float32Bytes(dst), data)
		return
	}
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
}

// fromF64 returns the index of a finite element beyond float32, or −1.
func fromF64(dst []float32, data []byte) int {
	for i := range dst {
		v := math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
		dst[i] = float32(v)
		if math.IsInf(float64(dst[i]), 0) && !math.IsInf(v, 0) {
			return i
		}
	}
	return -1
}

func fromBF16(dst []float32, data []byte) {
	data = data[:2*len(dst)]
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(data[2*i:])) << 16)
	}
}

// A binary16 has a sign bit, 5 exponent bits with bias 15 and 10 mantissa bits; a binary32 has 1, 8 with bias 127, and 23.
const (
	mantissaGap = 23 - 10
	biasGap     = (127 - 15) << 23
	inf32       = 0xff << 23
)

func fromF16(dst []float32, data []byte) {
	data = data[:2*len(dst)]
	for i := range dst {
		h := uint32(binary.LittleEndian.Uint16(data[2*i:]))
		v := h & 0x7fff << mantissaGap
		switch exponent := h & 0x7c00; exponent {
		case 0:
			// Zero and subnormals, m·2⁻²⁴: in the mantissa of a number in [2⁻¹⁴, 2⁻¹³) m counts units of 2⁻²⁴, so
			// subtracting 2⁻¹⁴ leaves the value, exact and normalised.
			v = math.Float32bits(math.Float32frombits(v|113<<23) - 0x1p-14)
		case 0x7c00:
			v |= inf32
		default:
			v += biasGap
		}
		dst[i] = math.Float32frombits(v | h&0x8000<<16)
	}
}

// toF16 returns the index of a finite element that became infinite, or −1.
func toF16(data []byte, src []float32) int {
	data = data[:2*len(src)]
	overflow := -1
	for i, x := range src {
		b := math.Float32bits(x)
		sign := uint16(b >> 16 & 0x8000)
		b &^= 1 << 31
		var h uint16
		switch {
		case b >= inf32:
			h = 0x7c00
			if b > inf32 {
				h |= 0x200 | uint16(b>>mantissaGap)&0x3ff // quiet, so that it cannot lose its last mantissa bit
			}
		case b >= 0x477ff000: // 65520, halfway between the largest binary16 and 2¹⁶: from here on IEEE rounds to infinity
			h, overflow = 0x7c00, i
		case b < 113<<23: // below 2⁻¹⁴
			// The unit in the last place of 0.5 is 2⁻²⁴, that of a binary16 subnormal: the addition rounds to it.
			h = uint16(math.Float32bits(math.Float32frombits(b)+0.5) - math.Float32bits(0.5))
		default:
			// Add just under half a unit, or half a unit if the last kept bit is odd: this carries exactly where ties-to-even
			// rounds up.
			h = uint16((b - biasGap + 1<<(mantissaGap-1) - 1 + b>>mantissaGap&1) >> mantissaGap)
		}
		binary.LittleEndian.PutUint16(data[2*i:], sign|h)
	}
	return overflow
}

// toBF16 returns the index of a finite element that became infinite, or −1.
func toBF16(data []byte, src []float32) int {
	data = data[:2*len(src)]
	overflow := -1
	for i, x := range src {
		b := math.Float32bits(x)
		if b&^(1<<31) > inf32 {
			b |= 1 << 22 // quiet, so that the NaN does not lose its last mantissa bit
		} else {
			finite := b&inf32 != inf32
			b += 1<<15 - 1 + b>>16&1
			if finite && b&inf32 == inf32 {
				overflow = i
			}
		}
		binary.LittleEndian.PutUint16(data[2*i:], uint16(b>>16))
	}
	return overflow
}
