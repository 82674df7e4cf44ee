//go:build arm64 && !purego

package simd

// dropNEON is Dropout or, with add, DropoutAdd where draws have to be made. The assembly takes whole groups of draws only, so
// the rest of a row is copied to and from memory of that size.
func dropNEON(dst, x []float32, d Drop, row uint64, add bool) {
	groups := len(x) / dropGroup
	if groups > 0 {
		dropGroups(&dst[0], &x[0], groups, 0, d, row, add)
	}
	if done := groups * dropGroup; done < len(x) {
		var rest, result [dropGroup]float32
		copy(rest[:], x[done:])
		copy(result[:], dst[done:])
		dropGroups(&result[0], &rest[0], 1, groups, d, row, add)
		copy(dst[done:], result[:])
	}
}

// dropGroups computes groups of a row, beginning with the group first.
func dropGroups(dst, x *float32, groups, first int, d Drop, row uint64, add bool) {
	block := uint32(first * dropLanes)
	if add {
		dropoutAddNEON(dst, x, groups, block, d.Key[0], d.Key[1], d.Threshold, d.Scale, uint32(row), uint32(row>>32))
	} else {
		dropoutNEON(dst, x, groups, block, d.Key[0], d.Key[1], d.Threshold, d.Scale, uint32(row), uint32(row>>32))
	}
}
