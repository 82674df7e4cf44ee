package simd

import "testing"

// TestAddNorm asserts that AddNorm has the bits of its parts at every length, between protected pages, with words and without, and
// where y is s.
func TestAddNorm(t *testing.T) {
	const longest = 1000
	const eps = 1e-12
	eachLevel(t, func(t *testing.T, k *Kernels) {
		var operands [5][]float32 // y, s, residual, gamma, beta
		var buffers [len(operands)]*buffer
		for i := range operands {
			operands[i], buffers[i] = normals(newRand(), longest), newBuffer(t, longest)
			for j := range operands[i] {
				operands[i][j] += float32(i) / 2
			}
		}
		bufWords := newBuffer(t, longest/2)
		for _, n := range rowLengths() {
			for _, rounds := range []bool{false, true} {
				for _, inPlace := range []bool{false, true} {
					where := place(n % int(places))
					var o [len(operands)][]float32
					for i := range o {
						o[i] = buffers[i].put(operands[i][:n], where)
					}
					wantS, wantY, wantWords := append([]float32(nil), o[1]...), make([]float32, n), make([]uint32, words(n))
					k.Add(wantS, o[2])
					wantMean, wantRstd := k.LayerNorm(wantY, wantS, o[3], o[4], eps)
					k.RoundRow(wantWords, wantY)

					got := asWords(bufWords.put(make([]float32, words(n)), where))
					given := got
					if !rounds {
						given = nil
					}
					y := o[0]
					if inPlace {
						y, wantS = o[1], wantY
					}
					mean, rstd := k.AddNorm(y, o[1], o[2], o[3], o[4], eps, given)
					if !same([]float32{mean, rstd}, []float32{wantMean, wantRstd}) || !same(o[1], wantS) || !same(y, wantY) {
						t.Fatalf("n=%d, rounds %v, in place %v: other bits than those of the parts", n, rounds, inPlace)
					}
					for p := range got {
						if rounds && got[p] != wantWords[p] || !rounds && got[p] != 0 {
							t.Fatalf("n=%d, rounds %v: word %d is %#x, want %#x", n, rounds, p, got[p], wantWords[p])
						}
					}
					for _, b := range append(buffers[:], bufWords) {
						if !b.intact() {
							t.Fatalf("n=%d: wrote outside its operands", n)
						}
					}
				}
			}
		}
	})
}
