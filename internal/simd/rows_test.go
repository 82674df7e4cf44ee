package simd

import (
	"math"
	"testing"
)

// A rowOp is a primitive in which element i of the results depends on elements i of the operands alone. It reads and
// writes operands in place; those that it may not write are checked too.
type rowOp struct {
	name     string
	operands int
	run      func(k *Kernels, o [][]float32)
	// aliases are pairs of operands that may be the same slice, the written one first.
	aliases [][2]int
	// want gives element i of the results from that of the operands, and how far from it they may be.
	want func(i int, o []float64) (result []float64, bound float64)
}

var dropExample = Drop{Key: [2]uint32{1, 2}, Threshold: 6554, Scale: 65536. / (65536 - 6554)}

var adamExample = AdamStep{GradScale: 0.5, Beta1: 0.9, Rest1: 0.1, Beta2: 0.999, Rest2: 0.001, Decay: 1e-4, StepSize: 1e-3, RootScale: 1.5, Eps: 1e-6}

func rowOps() []rowOp {
	const eps = 0x1p-23
	ops := []rowOp{
		{
			name: "Add", operands: 2, aliases: [][2]int{{0, 1}},
			run: func(k *Kernels, o [][]float32) { k.Add(o[0], o[1]) },
			want: func(_ int, o []float64) ([]float64, float64) {
				return []float64{o[0] + o[1]}, eps * (math.Abs(o[0]) + math.Abs(o[1]))
			},
		},
		{
			name: "Axpy", operands: 2, aliases: [][2]int{{0, 1}},
			run: func(k *Kernels, o [][]float32) { k.Axpy(o[0], 0.75, o[1]) },
			want: func(_ int, o []float64) ([]float64, float64) {
				return []float64{o[0] + 0.75*o[1]}, eps * (math.Abs(o[0]) + math.Abs(o[1]))
			},
		},
		{
			name: "Scale", operands: 1,
			run: func(k *Kernels, o [][]float32) { k.Scale(o[0], -1.25) },
			want: func(_ int, o []float64) ([]float64, float64) {
				return []float64{-1.25 * o[0]}, eps * 2 * math.Abs(o[0])
			},
		},
		{
			name: "SoftmaxAgain", operands: 1,
			run: func(k *Kernels, o [][]float32) { k.SoftmaxAgain(o[0], 0.5, 1.5) },
			want: func(_ int, o []float64) ([]float64, float64) {
				e := math.Exp(0.5*o[0] - 1.5)
				return []float64{e}, 2 * eps * e
			},
		},
		{
			name: "SoftmaxBackward", operands: 3, aliases: [][2]int{{0, 1}, {0, 2}},
			run: func(k *Kernels, o [][]float32) { k.SoftmaxBackward(o[0], o[1], o[2], 0.125, 0.25) },
			want: func(_ int, o []float64) ([]float64, float64) {
				ds := 0.125 * o[1] * (o[2] - 0.25)
				return []float64{ds}, 2 * eps * math.Abs(ds)
			},
		},
		{
			name: "Dropout", operands: 2, aliases: [][2]int{{0, 1}},
			run: func(k *Kernels, o [][]float32) { k.Dropout(o[0], o[1], dropExample, 7) },
			want: func(i int, o []float64) ([]float64, float64) {
				if drawOf(dropExample.Key, 7, i) < dropExample.Threshold {
					return []float64{0}, 0
				}
				return []float64{o[1] * float64(dropExample.Scale)}, 2 * eps * math.Abs(o[1])
			},
		},
		{
			name: "DropoutAdd", operands: 2, aliases: [][2]int{{0, 1}},
			run: func(k *Kernels, o [][]float32) { k.DropoutAdd(o[0], o[1], dropExample, 1<<40) },
			want: func(i int, o []float64) ([]float64, float64) {
				if drawOf(dropExample.Key, 1<<40, i) < dropExample.Threshold {
					return []float64{o[0]}, 0
				}
				return []float64{o[0] + o[1]*float64(dropExample.Scale)}, 2 * eps * (math.Abs(o[0]) + math.Abs(o[1]))
			},
		},
		{
			name: "Adam", operands: 4,
			run: func(k *Kernels, o [][]float32) {
				squares := o[3]
				for i, v := range squares {
					squares[i] = float32(math.Abs(float64(v))) // the mean square is never negative
				}
				k.Adam(o[0], o[1], o[2], squares, &adamExample)
			},
			want: func(_ int, o []float64) ([]float64, float64) {
				c := adamExample
				g := o[1] * float64(c.GradScale)
				m := float64(c.Beta1)*o[2] + float64(c.Rest1)*g
				v := float64(c.Beta2)*math.Abs(o[3]) + float64(c.Rest2)*g*g
				p := o[0] - (float64(c.Decay)*o[0] + float64(c.StepSize)*m/(math.Sqrt(v)*float64(c.RootScale)+float64(c.Eps)))
				size := math.Abs(o[0]) + math.Abs(o[1]) + math.Abs(o[2]) + math.Abs(o[3]) + math.Abs(p)
				return []float64{p, o[1], m, v}, 4 * eps * size
			},
		},
	}
	for _, c := range curves {
		ops = append(ops, rowOp{
			name: "Activate/" + c.name, operands: 2, aliases: [][2]int{{0, 1}},
			run: func(k *Kernels, o [][]float32) { k.Activate(c.f, o[0], o[1]) },
			want: func(_ int, o []float64) ([]float64, float64) {
				y := c.value(o[1])
				return []float64{y}, max(c.valueULPs(o[1]), 1) * eps * math.Abs(y)
			},
		}, rowOp{
			name: "ActivateBackward/" + c.name, operands: 3, aliases: [][2]int{{0, 1}, {0, 2}},
			run: func(k *Kernels, o [][]float32) { k.ActivateBackward(c.f, o[0], o[1], o[2]) },
			want: func(_ int, o []float64) ([]float64, float64) {
				dx := o[1] * c.slope(o[2])
				return []float64{dx}, c.slopeError*math.Abs(o[1]) + eps*math.Abs(dx)
			},
		})
	}
	return ops
}

// rowLengths are all lengths around the sizes of vectors and of unrolled loops, and some longer ones.
func rowLengths() []int {
	var n []int
	for i := range 290 {
		n = append(n, i)
	}
	for i := 293; i <= 1000; i += 37 {
		n = append(n, i)
	}
	return append(n, 512, 768, 769, 1000)
}

// TestRowOps checks a long row against float64, and every shorter row, wherever it stands in memory and with operands
// that are the same slice, bit by bit against the long one.
func TestRowOps(t *testing.T) {
	const longest = 1000
	for _, op := range rowOps() {
		t.Run(op.name, func(t *testing.T) {
			r := newRand()
			initial := make([][]float32, op.operands)
			buffers := make([]*buffer, op.operands)
			for j := range initial {
				initial[j] = normals(r, longest)
				buffers[j] = newBuffer(t, longest)
			}
			eachLevel(t, func(t *testing.T, k *Kernels) {
				whole := op.runOn(k, initial, longest, func(_ int, x []float32) []float32 { return append([]float32(nil), x...) })
				op.check(t, initial, whole)
				for _, n := range rowLengths() {
					where := place(n % int(places))
					got := op.runOn(k, initial, n, func(j int, x []float32) []float32 { return buffers[j].put(x, where) })
					for j := range got {
						if !same(got[j], whole[j][:n]) {
							t.Fatalf("n=%d: operand %d differs from the beginning of the long row", n, j)
						}
						if !buffers[j].intact() {
							t.Fatalf("n=%d: wrote outside operand %d", n, j)
						}
					}
				}
				for _, pair := range op.aliases {
					op.checkAlias(t, k, initial, pair)
				}
			})
		})
	}
}

// runOn runs op on operands made from the first n elements of the initial ones.
func (op rowOp) runOn(k *Kernels, initial [][]float32, n int, place func(j int, x []float32) []float32) [][]float32 {
	o := make([][]float32, op.operands)
	for j := range o {
		o[j] = place(j, initial[j][:n])
	}
	op.run(k, o)
	return o
}

func (op rowOp) check(t *testing.T, initial, got [][]float32) {
	t.Helper()
	operands := make([]float64, op.operands)
	for i := range initial[0] {
		for j := range operands {
			operands[j] = float64(initial[j][i])
		}
		want, bound := op.want(i, operands)
		for j := range operands {
			w := operands[j] // operands without a result stay
			if j < len(want) {
				w = want[j]
			}
			if e := math.Abs(float64(got[j][i]) - w); !(e <= bound) || j >= len(want) && e != 0 {
				t.Fatalf("[%d] of operand %d: got %v, want %v ± %v, from %v", i, j, got[j][i], w, bound, operands)
			}
		}
	}
}

// checkAlias compares the result on one slice for both operands with that on two equal ones.
func (op rowOp) checkAlias(t *testing.T, k *Kernels, initial [][]float32, pair [2]int) {
	t.Helper()
	equal := append([][]float32(nil), initial...)
	equal[pair[0]] = equal[pair[1]]
	for _, n := range []int{1, 16, 77, 300} {
		fresh := func(_ int, x []float32) []float32 { return append([]float32(nil), x...) }
		want := op.runOn(k, equal, n, fresh)
		got := make([][]float32, op.operands)
		for j := range got {
			got[j] = fresh(j, equal[j][:n])
		}
		got[pair[0]] = got[pair[1]]
		op.run(k, got)
		if !same(got[pair[0]], want[pair[0]]) {
			t.Fatalf("n=%d: operands %v as one slice give another result than as two", n, pair)
		}
	}
}

// TestRowsUnequal checks that a wrong length is found before memory is touched.
func TestRowsUnequal(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		defer func() {
			if recover() == nil {
				t.Error("operands of unequal length were accepted")
			}
		}()
		k.Add(make([]float32, 3), make([]float32, 2))
	})
	eachLevel(t, func(t *testing.T, k *Kernels) {
		defer func() {
			if recover() == nil {
				t.Error("a row of 3 elements was rounded to one word")
			}
		}()
		k.RoundRow(make([]uint32, 1), make([]float32, 3))
	})
}

// TestNoAllocation calls every entry of the tables.
func TestNoAllocation(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		const n = 100
		x, y, z, w := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
		panel := make([]float32, k.NR*n)
		words, wordPanel := make([]uint32, n/2), make([]uint32, k.NR16*n)
		step := adamExample
		allocations := testing.AllocsPerRun(10, func() {
			k.PackB(panel, x, 1, 1, n)
			k.PackBT(panel, x, n, 1, n)
			k.PackA(panel, x, 1, 1, n)
			k.Gemm(1, 1, n, x, n, panel, y, 1, true, nil, nil)
			k.GemmPacked(1, 1, n, panel, panel, y, 1, true, nil)
			k.RoundRow(words, x)
			k.PackB16(wordPanel, x, 1, 1, n)
			k.PackBT16(wordPanel, x, n, 1, n)
			k.PackA16(wordPanel, x, 1, 1, n)
			k.Gemm16(1, 1, n/2, words, n/2, wordPanel, y, 1, true, nil, nil)
			k.GemmPacked16(1, 1, n/2, wordPanel, wordPanel, y, 1, true, nil)
			k.Add(x, y)
			k.Axpy(x, 2, y)
			k.Scale(x, 2)
			k.Dot(x, y)
			k.SumSquares(x)
			k.Activate(GELU, x, y)
			k.ActivateRound(GELU, words, x)
			k.ActivateBackward(GELU, x, y, z)
			k.LayerNorm(x, y, z, w, 1e-12)
			k.AddNorm(x, y, z, w, w, 1e-12, words)
			k.LayerNormBackward(x, x, y, z, 0, 1, z, w)
			k.Softmax(x, 1)
			k.SoftmaxRows(x, n/4, 4, n/4, 1, w[:4])
			k.SoftmaxAgain(x, 1, 1)
			k.LogSumExp(x)
			k.SoftmaxBackward(x, y, z, 1, 1)
			k.Dropout(x, y, dropExample, 1)
			k.DropoutAdd(x, y, dropExample, 1)
			k.Adam(x, y, z, w, &step)
		})
		if allocations != 0 {
			t.Errorf("%v allocations", allocations)
		}
	})
}
