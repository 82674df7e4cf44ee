package simd

import "math/bits"

// Philox4x32 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3, SC11), table 2.
const (
	philoxM0     = 0xD2511F53
	philoxM1     = 0xCD9E8D57
	philoxW0     = 0x9E3779B9
	philoxW1     = 0xBB67AE85
	philoxRounds = 10
)

func philox(c [4]uint32, key [2]uint32) [4]uint32 {
	for range philoxRounds {
		hi0, lo0 := bits.Mul32(philoxM0, c[0])
		hi1, lo1 := bits.Mul32(philoxM1, c[2])
		c = [4]uint32{hi1 ^ c[1] ^ key[0], lo1, hi0 ^ c[3] ^ key[1], lo0}
		key[0] += philoxW0
		key[1] += philoxW1
	}
	return c
}

// The shape of a group of draws: dropGroup elements of a row take dropLanes blocks of the generator, of eight draws each.
const (
	dropGroup = 128
	dropLanes = 16
	drawRange = 1 << 16 // draws are less
)

func dropoutGeneric(dst, x []float32, d Drop, row uint64) {
	dst = dst[:length(len(x), len(dst))]
	if d.Threshold == 0 || d.Threshold >= drawRange {
		dropAllOrNone(dst, x, d)
		return
	}
	eachDraw(len(x), d.Key, row, func(i int, draw uint32) {
		if draw < d.Threshold {
			dst[i] = 0
		} else {
			dst[i] = x[i] * d.Scale
		}
	})
}

func dropoutAddGeneric(dst, x []float32, d Drop, row uint64) {
	dst = dst[:length(len(x), len(dst))]
	if d.Threshold == 0 {
		addGeneric(dst, x)
		return
	}
	eachDraw(len(x), d.Key, row, func(i int, draw uint32) {
		if draw >= d.Threshold {
			dst[i] += float32(x[i] * d.Scale)
		}
	})
}

// dropAllOrNone is dropout where no draw needs to be made: for thresholds of zero and of more than the largest draw.
func dropAllOrNone(dst, x []float32, d Drop) {
	if d.Threshold == 0 {
		copy(dst, x)
	} else {
		clear(dst)
	}
}

// eachDraw calls f with the draw of each element of a row of n.
func eachDraw(n int, key [2]uint32, row uint64, f func(i int, draw uint32)) {
	for group := 0; group < n; group += dropGroup {
		for l := range min(dropLanes, n-group) {
			block := uint32(group/dropGroup*dropLanes + l)
			w := philox([4]uint32{block, 0, uint32(row), uint32(row >> 32)}, key)
			for q := range dropGroup / dropLanes {
				i := group + q*dropLanes + l
				if i >= n {
					break
				}
				f(i, w[q/2]>>(16*(q%2))&0xffff)
			}
		}
	}
}
