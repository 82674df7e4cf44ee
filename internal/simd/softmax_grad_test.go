package simd

import (
	"fmt"
	"testing"
)

// TestSoftmaxGrad16 holds SoftmaxGrad16 to the primitives that it stands for.
func TestSoftmaxGrad16(t *testing.T) {
	drops := []Drop{{}, {Key: [2]uint32{7, 9}, Threshold: 6554, Scale: 65536. / (65536 - 6554)}, {Key: [2]uint32{1, 2}, Threshold: 65535, Scale: 65536}}
	lengths := append(rowLengths(), 127, 128, 129, 512, 1024, 1056, 1057, 2100)
	eachLevel(t, func(t *testing.T, k *Kernels) {
		longest := 0
		for _, n := range lengths {
			longest = max(longest, n)
		}
		plain := *k
		plain.softmaxGrad16 = nil
		r := newRand()
		bufX, bufDP := newBuffer(t, longest), newBuffer(t, longest)
		bufP, bufDS := newBuffer(t, words(longest)), newBuffer(t, words(longest))
		for _, n := range lengths {
			for i, drop := range drops {
				what := fmt.Sprintf("n=%d drop %d", n, i)
				scores, gradients := normals(r, n), normals(r, n)
				if n > 5 {
					scores[1], scores[2], scores[3] = -300, 60, -80
				}
				const s, lse, d = 0.125, 3, 0.25
				row := uint64(n)<<32 + 5
				wantP, wantDS := make([]uint32, words(n)), make([]uint32, words(n))
				plain.SoftmaxGrad16(wantP, wantDS, append([]float32(nil), scores...), append([]float32(nil), gradients...), s, lse, d, drop, row)
				where := place(n % int(places))
				p, ds := asWords(bufP.put(normals(r, words(n)), where)), asWords(bufDS.put(normals(r, words(n)), where))
				k.SoftmaxGrad16(p, ds, bufX.put(scores, where), bufDP.put(gradients, where), s, lse, d, drop, row)
				for j := range wantP {
					if p[j] != wantP[j] || ds[j] != wantDS[j] {
						t.Fatalf("%s: word %d is %#08x, %#08x, want %#08x, %#08x", what, j, p[j], ds[j], wantP[j], wantDS[j])
					}
				}
				if !bufX.intact() || !bufDP.intact() || !bufP.intact() || !bufDS.intact() {
					t.Fatalf("%s: wrote outside its operands", what)
				}
			}
		}
	})
}
