package simd

import "testing"

// BenchmarkPeak measures what multiply-adds alone reach, and those of pairs of bfloat16.
func BenchmarkPeak(b *testing.B) {
	const steps = 10000
	benchmarkTables(b, func(b *testing.B, k *Kernels) {
		operations := 0
		for b.Loop() {
			if k.Native16 {
				operations = k.MultiplyAdds16(steps)
			} else {
				operations = k.MultiplyAdds(steps)
			}
		}
		reportRate(b, float64(operations), "GFLOP/s")
	})
}

// TestMultiplyAdds checks the count: in proportion to the steps, and with vectors a multiple of their width.
func TestMultiplyAdds(t *testing.T) {
	lanes := map[Level]int{Generic: 1, AVX2: 8, AVX512: 16, AMX: 16, NEON: 4}
	for _, k := range testedTables() {
		one, ten := k.MultiplyAdds(1), k.MultiplyAdds(10)
		if one == 0 || one%(2*lanes[k.Level]) != 0 || ten != 10*one {
			t.Errorf("%s: %d operations in a step, %d in ten", tableName(k), one, ten)
		}
		want := one
		switch {
		case k.Level == AMX:
			want = 4 * 2 * 16 * 16 * 32
		case k.Native16:
			want = 2 * one
		}
		if got, ten := k.MultiplyAdds16(1), k.MultiplyAdds16(10); got != want || ten != 10*want {
			t.Errorf("%s: %d operations of bfloat16 in a step, %d in ten, want %d in one", tableName(k), got, ten, want)
		}
		if want = one; k.Int8.peak != nil {
			want = 4 * one // a word holds four integers
		}
		switch {
		case k.Level == AMX && k.Int8.Offset == 0:
			want = 4 * 2 * 16 * 16 * 64
		case k.Level == AVX512 && k.Int8.Offset == 0: // with AVX2's instructions
			want /= 2
		case k == testedTables()[0] && tableName(k) == "neon+dot": // perhaps squares
			if k.MultiplyAdds8(1) == 2*want {
				want *= 2
			}
		}
		if got, ten := k.MultiplyAdds8(1), k.MultiplyAdds8(10); got != want || ten != 10*want {
			t.Errorf("%s: %d operations of int8 in a step, %d in ten, want %d in one", tableName(k), got, ten, want)
		}
		if k.MultiplyAdds(0) != 0 || k.MultiplyAdds16(0) != 0 || k.MultiplyAdds8(0) != 0 {
			t.Errorf("%s: operations in no step", tableName(k))
		}
	}
}
