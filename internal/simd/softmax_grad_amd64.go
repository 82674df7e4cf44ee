//go:build !purego

package simd

// softmaxGradOf is Kernels.softmaxGrad16.
func softmaxGradOf(p, ds []uint32, x, dp []float32, s, lse, d float32, drop Drop, row uint64) {
	const (
		group = 128 // elements of a turn of the generator
		most  = 1024
	)
	var kept [most / 16]uint16
	scale := drop.Scale
	if drop.Threshold == 0 {
		for i := range kept {
			kept[i] = 0xffff
		}
		scale = 1
	}
	n := length(len(x), len(dp))
	_, _ = p[:words(n)], ds[:words(n)]
	for from := 0; from < n; from += most {
		count := min(most, n-from)
		if drop.Threshold != 0 {
			keptMasksAVX512BF16(&kept[0], ceil(count, group), uint32(from/group*16), drop.Key[0], drop.Key[1], drop.Threshold, uint32(row), uint32(row>>32))
		}
		softmaxGrad16AVX512BF16(&p[from/2], &ds[from/2], &x[from], &dp[from], count, s, lse, d, scale, &kept[0])
	}
}
