//go:build amd64 && !purego

package simd

// peakChains is how many vectors a step of the generated loops multiplies and adds.
const peakChains = 14

// peak runs the loop of k's level and returns the operations of a step; 0 if there is none.
func (k *Kernels) peak(steps int) int {
	switch {
	case steps <= 0:
		return 0
	case k.Level == AVX512 || k.Level == AMX:
		peakAVX512(steps)
		return 2 * peakChains * tilesAVX512.lanes
	case k.Level == AVX2:
		peakAVX2(steps)
		return 2 * peakChains * tilesAVX2.lanes
	}
	return 0
}

// peak16AVX512BF16 is Kernels.peak16.
func peak16AVX512BF16(steps int) (operations int) {
	peakAVX512BF16(steps)
	return steps * 2 * peakChains * 2 * tilesAVX512.lanes
}
