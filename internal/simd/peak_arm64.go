//go:build arm64 && !purego

package simd

// peakChains is how many vectors a step of the generated loop multiplies and adds.
const peakChains = 24

// peak runs the loop of k's level and returns the operations of a step; 0 if there is none.
func (k *Kernels) peak(steps int) int {
	if steps <= 0 || k.Level != NEON {
		return 0
	}
	peakNEON(steps)
	return 2 * peakChains * tilesNEON.lanes
}
