package simd

import "math"

var genericInt8 = Integers{
	MR: genericMR, NR: genericNR, QuantizeRow: quantizeRowGeneric, Quantize: quantizeTopGeneric, Gemm: gemm8Generic,
}

func quantizeRowGeneric(dst []uint32, src []float32, offset uint32) (scale float32) {
	return quantizeTopGeneric(dst, src, topBits(src), offset)
}

func quantizeTopGeneric(dst []uint32, src []float32, top, offset uint32) (scale float32) {
	dst = dst[:length(byteWords(len(src)), len(dst))]
	scale, factor, all := scaleOf(top)
	if all {
		fill(dst, offset)
		return scale
	}
	quantizeGeneric(dst, src, factor, offset)
	return scale
}

// topBits returns the bits of the largest magnitude. Those of a NaN are above all others.
func topBits(x []float32) (bits uint32) {
	const magnitude = 0x7fffffff
	for _, v := range x {
		bits = max(bits, math.Float32bits(v)&magnitude)
	}
	return bits
}

func quantizeGeneric(dst []uint32, src []float32, factor float32, offset uint32) {
	fill(dst, 0)
	for p, v := range src {
		q := int8(math.RoundToEven(float64(float32(v * factor))))
		dst[p/4] |= uint32(uint8(q)) << (p % 4 * 8)
	}
	for p := range dst {
		dst[p] ^= offset
	}
}

func fill(dst []uint32, w uint32) {
	for p := range dst {
		dst[p] = w
	}
}

func gemm8Generic(m, n, k int, a []uint32, lda int, b []uint32, c []float32, ldc int, add bool, _ []uint32, to Scaling) {
	if m <= 0 || n <= 0 {
		return
	}
	checkGenericWidth(n)
	to.check(m, n)
	for i := range m {
		var row []uint32
		if k > 0 {
			row = a[i*lda:][:k]
		}
		var s [genericNR]int32
		out := c[i*ldc:][:n]
		if add {
			for j, v := range out {
				s[j] = int32(math.Float32bits(v))
			}
		}
		s0, s1, s2, s3 := s[0], s[1], s[2], s[3]
		for p, x := range row {
			w := b[p*genericNR:][:genericNR]
			x0, x1, x2, x3 := int32(int8(x)), int32(int8(x>>8)), int32(int8(x>>16)), int32(x)>>24
			s0 += x0*int32(int8(w[0])) + x1*int32(int8(w[0]>>8)) + x2*int32(int8(w[0]>>16)) + x3*(int32(w[0])>>24)
			s1 += x0*int32(int8(w[1])) + x1*int32(int8(w[1]>>8)) + x2*int32(int8(w[1]>>16)) + x3*(int32(w[1])>>24)
			s2 += x0*int32(int8(w[2])) + x1*int32(int8(w[2]>>8)) + x2*int32(int8(w[2]>>16)) + x3*(int32(w[2])>>24)
			s3 += x0*int32(int8(w[3])) + x1*int32(int8(w[3]>>8)) + x2*int32(int8(w[3]>>16)) + x3*(int32(w[3])>>24)
		}
		s = [genericNR]int32{s0, s1, s2, s3}
		for j := range out {
			if to.Columns == nil {
				out[j] = math.Float32frombits(uint32(s[j]))
				continue
			}
			v := float32(float32(s[j]+to.Offsets[j]) * float32(to.Columns[j]*to.Rows[i]))
			if to.Bias != nil {
				v += to.Bias[j]
			}
			out[j] = v
		}
	}
}

func checkGenericWidth(n int) {
	if n > genericNR {
		panic("simd: operand is wider than a panel")
	}
}
