package simd

import (
	"math"
	"testing"
)

// eachRow calls f for each length with operands that stand in guarded memory in every place in turn. f returns its
// results, which may not depend on the place.
func eachRow(t *testing.T, operands, least int, f func(n int, o [][]float32) []float32) {
	t.Helper()
	r := newRand()
	initial := make([][]float32, operands)
	buffers := make([]*buffer, operands)
	for j := range initial {
		initial[j] = normals(r, 1000)
		buffers[j] = newBuffer(t, 1000)
	}
	for _, n := range rowLengths() {
		if n < least {
			continue
		}
		var first []float32
		for where := range places {
			o := make([][]float32, operands)
			for j := range o {
				o[j] = buffers[j].put(initial[j][:n], where)
			}
			results := f(n, o)
			for j := range o {
				if !buffers[j].intact() {
					t.Fatalf("n=%d: wrote outside operand %d", n, j)
				}
				results = append(results, o[j]...)
			}
			if where == 0 {
				first = append([]float32(nil), results...)
			} else if !same(results, first) {
				t.Fatalf("n=%d: the result depends on where the operands stand", n)
			}
		}
	}
}

// near fails unless |got − want| ≤ bound.
func near(t *testing.T, what string, n int, got, want, bound float64) {
	if !(math.Abs(got-want) <= bound) {
		t.Helper() // here, since it takes longer than all the rest
		t.Fatalf("n=%d: %s = %v, want %v ± %v", n, what, got, want, bound)
	}
}

// sumBound is the relative error, to the sum of magnitudes, that a sum of n products in 16 or more lanes may have.
func sumBound(n int) float64 { return float64(n/16+8) * 0x1p-24 }

func TestDot(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		eachRow(t, 2, 0, func(n int, o [][]float32) []float32 {
			var want, size float64
			for i := range o[0] {
				p := float64(o[0][i]) * float64(o[1][i])
				want += p
				size += math.Abs(p)
			}
			got := k.Dot(o[0], o[1])
			near(t, "dot", n, float64(got), want, size*sumBound(n))
			return []float32{got}
		})
	})
}

func TestSumSquares(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		eachRow(t, 1, 0, func(n int, o [][]float32) []float32 {
			var want float64
			for _, v := range o[0] {
				want += float64(v) * float64(v)
			}
			got := k.SumSquares(o[0])
			near(t, "sum", n, got, want, want*float64(n)*0x1p-53)
			upper := float32(got)
			return []float32{upper, float32(got - float64(upper))}
		})
		if got := k.SumSquares([]float32{3e30, 4e30}); math.Abs(got-25e60) > 1e54 {
			t.Errorf("the squares of large numbers sum to %v", got)
		}
	})
}

func TestLayerNorm(t *testing.T) {
	const eps, offset = 1e-12, 100
	eachLevel(t, func(t *testing.T, k *Kernels) {
		eachRow(t, 4, 1, func(n int, o [][]float32) []float32 {
			y, x, gamma, beta := o[0], o[1], o[2], o[3]
			for i := range x { // a mean far from zero, which E[x²]−E[x]² would not survive
				x[i] += offset
			}
			mean, rstd := k.LayerNorm(y, x, gamma, beta, eps)
			inPlace := append([]float32(nil), x...)
			k.LayerNorm(inPlace, inPlace, gamma, beta, eps)
			if !same(inPlace, y) {
				t.Fatalf("n=%d: in place the result differs", n)
			}
			wantMean, wantRstd := moments(x, eps)
			near(t, "mean", n, float64(mean), wantMean, 2*offset*sumBound(n))
			if n > 1 {
				near(t, "rstd", n, float64(rstd), wantRstd, wantRstd*1e-4)
			}
			// The result is checked with the statistics that were returned.
			for i := range y {
				xhat := (float64(x[i]) - float64(mean)) * float64(rstd)
				want := xhat*float64(gamma[i]) + float64(beta[i])
				near(t, "y", n, float64(y[i]), want, 0x1p-22*(math.Abs(xhat*float64(gamma[i]))+math.Abs(want)))
			}
			return []float32{mean, rstd}
		})
		mean, rstd := k.LayerNorm(nil, nil, nil, nil, 0.25)
		if mean != 0 || rstd != 2 {
			t.Errorf("of nothing: mean %v and rstd %v", mean, rstd)
		}
	})
}

func moments(x []float32, eps float64) (mean, rstd float64) {
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(len(x))
	var variance float64
	for _, v := range x {
		variance += (float64(v) - mean) * (float64(v) - mean)
	}
	return mean, 1 / math.Sqrt(variance/float64(len(x))+eps)
}

// TestLayerNormAccuracy checks rows of ordinary statistics from end to end.
func TestLayerNormAccuracy(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		for _, n := range []int{2, 64, 768, 1024, 4096} {
			x := normals(newRand(), n)
			gamma, beta, y := make([]float32, n), make([]float32, n), make([]float32, n)
			for i := range gamma {
				gamma[i] = 1
			}
			k.LayerNorm(y, x, gamma, beta, 1e-12)
			mean, rstd := moments(x, 1e-12)
			for i := range y {
				near(t, "y", n, float64(y[i]), (float64(x[i])-mean)*rstd, 1e-6*(1+math.Abs(float64(y[i]))))
			}
		}
	})
}

func TestLayerNormBackward(t *testing.T) {
	const mean, rstd = 0.125, 1.5
	eachLevel(t, func(t *testing.T, k *Kernels) {
		for _, destination := range []string{"dx", "dy", "x"} {
			eachRow(t, 6, 0, func(n int, o [][]float32) []float32 {
				dx, dy, x, gamma, dgamma, dbeta := o[0], o[1], o[2], o[3], o[4], o[5]
				want := layerNormGradient64(dy, x, gamma, mean, rstd)
				before := append(append([]float32(nil), dgamma...), dbeta...)
				dyBefore, xBefore := append([]float32(nil), dy...), append([]float32(nil), x...)
				switch destination {
				case "dy":
					dx = dy
				case "x":
					dx = x
				}
				k.LayerNormBackward(dx, dy, x, gamma, mean, rstd, dgamma, dbeta)
				for i := range dx {
					xhat := (float64(xBefore[i]) - mean) * rstd
					d := float64(dyBefore[i])
					near(t, "dx", n, float64(dx[i]), want[i], 1e-5)
					near(t, "dgamma", n, float64(dgamma[i]), float64(before[i])+d*xhat, 0x1p-22*(math.Abs(d*xhat)+math.Abs(float64(before[i]))))
					near(t, "dbeta", n, float64(dbeta[i]), float64(before[n+i])+d, 0x1p-23*(math.Abs(d)+math.Abs(float64(before[n+i]))))
				}
				return nil
			})
		}
	})
}

func layerNormGradient64(dy, x, gamma []float32, mean, rstd float64) []float64 {
	var sum, dot float64
	n := float64(len(x))
	dx := make([]float64, len(x))
	for i := range x {
		dx[i] = float64(dy[i]) * float64(gamma[i])
		sum += dx[i]
		dot += dx[i] * (float64(x[i]) - mean) * rstd
	}
	for i := range dx {
		dx[i] = rstd * (dx[i] - sum/n - (float64(x[i])-mean)*rstd*dot/n)
	}
	return dx
}

func TestSoftmax(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		for _, s := range []float32{0.125, 1, 30, -2} {
			eachRow(t, 1, 1, func(n int, o [][]float32) []float32 {
				x := o[0]
				before := append([]float32(nil), x...)
				top, sum := math.Inf(-1), 0.0
				for _, v := range x {
					top = max(top, float64(s)*float64(v))
				}
				for _, v := range x {
					sum += math.Exp(float64(s)*float64(v) - top)
				}
				results := []float32{}
				if s == 1 {
					lse := k.LogSumExp(x)
					near(t, "log of the sum", n, lse, top+math.Log(sum), 5e-7)
					results = append(results, float32(lse))
				}
				lse := k.Softmax(x, s)
				near(t, "log of the sum", n, float64(lse), top+math.Log(sum), 5e-7+0x1p-24*math.Abs(top+math.Log(sum)))
				for i, v := range before {
					away := top - float64(s)*float64(v) // its rounding error is magnified by exp
					want := math.Exp(-away) / sum
					near(t, "probability", n, float64(x[i]), want, want*(1e-6+0x1p-23*away)+0x1p-149)
				}
				return append(results, lse)
			})
		}
	})
}

// TestSoftmaxRows checks rows that stand between canaries, some of which are not finite, bit by bit against Softmax.
func TestSoftmaxRows(t *testing.T) {
	const most = 35
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	eachLevel(t, func(t *testing.T, k *Kernels) {
		lengths := []int{0, 1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 100, 127, 128, 129, 200}
		bufX, bufLSE := newBuffer(t, most*210), newBuffer(t, most)
		for _, n := range lengths {
			x := normals(newRand(), most*n)
			for i, v := range map[int]float32{2: nan, 5: inf, 8: -inf, 11: -inf, 30: nan} {
				if n > 0 {
					x[i*n+n/2] = v
				}
			}
			for rows := range most + 1 {
				if rows > 9 && (rows+n)%5 != 0 {
					continue
				}
				ld := n + rows%3*5
				where, s := place(rows%int(places)), []float32{0.125, -0.5, 1}[rows%3]
				got := bufX.put(spread(x, rows, n, n, ld), where)
				want := append([]float32(nil), got...)
				var lse, wantLSE []float32
				if rows%4 != 3 {
					lse = bufLSE.put(make([]float32, rows), where)
				}
				for i := range rows {
					wantLSE = append(wantLSE, k.Softmax(want[min(i*ld, len(want)):][:n], s))
				}
				k.SoftmaxRows(got, ld, rows, n, s, lse)
				if !same(got, want) {
					t.Fatalf("n=%d ld=%d rows=%d: differs from Softmax of each row", n, ld, rows)
				}
				for i, v := range got {
					if i%ld >= n && math.Float32bits(v) != math.Float32bits(canary) {
						t.Fatalf("n=%d ld=%d rows=%d: wrote between the rows", n, ld, rows)
					}
				}
				if lse != nil && !same(lse, wantLSE) {
					t.Fatalf("n=%d rows=%d: lse = %v, want %v as from Softmax", n, rows, lse, wantLSE)
				}
				if !bufX.intact() || lse != nil && !bufLSE.intact() {
					t.Fatalf("n=%d rows=%d: wrote outside its operands", n, rows)
				}
			}
		}
	})
}

func TestSoftmaxRowsShort(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		for _, c := range []struct{ elements, rows, lse int }{{29, 3, 3}, {30, 3, 2}, {0, 1, 1}} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%d rows of 10 elements in %d, and %d results, were accepted", c.rows, c.elements, c.lse)
					}
				}()
				k.SoftmaxRows(make([]float32, c.elements), 10, c.rows, 10, 1, make([]float32, c.lse))
			}()
		}
	})
}

func TestSoftmaxLimits(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	eachLevel(t, func(t *testing.T, k *Kernels) {
		for _, c := range []struct {
			x    []float32
			s    float32
			want []float32
			lse  float32
		}{
			{[]float32{}, 1, []float32{}, -inf},
			{[]float32{-123.4}, 0.3, []float32{1}, float32(float64(float32(0.3)) * float64(float32(-123.4)))},
			{[]float32{-inf, 3, -inf}, 1, []float32{0, 1, 0}, 3},
			{[]float32{-inf, -3, -inf}, 0.1, []float32{0, 1, 0}, float32(float64(float32(0.1)) * -3)},
			{[]float32{math.MaxFloat32, -math.MaxFloat32}, 0.5, []float32{1, 0}, math.MaxFloat32 / 2},
			{[]float32{-300, -300, -700}, 1, []float32{0.5, 0.5, 0}, float32(math.Ln2 - 300)},
			{[]float32{-inf, -inf}, 1, []float32{nan, nan}, nan},
			{[]float32{1, nan, 2}, 1, []float32{nan, nan, nan}, nan},
			{[]float32{nan, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, 1, nil, nan},
			{[]float32{1, inf}, 1, []float32{nan, nan}, nan},
			{[]float32{5, -5}, 0, []float32{0.5, 0.5}, math.Ln2},
		} {
			x := append([]float32(nil), c.x...)
			if lse := k.LogSumExp(x); c.s == 1 && !same([]float32{float32(lse)}, []float32{c.lse}) {
				t.Errorf("LogSumExp(%v) = %v, want %v", c.x, lse, c.lse)
			}
			lse := k.Softmax(x, c.s)
			if c.want == nil {
				for range c.x {
					c.want = append(c.want, nan)
				}
			}
			if !same(x, c.want) || !same([]float32{lse}, []float32{c.lse}) {
				t.Errorf("Softmax(%v, %v) = %v and %v, want %v and %v", c.x, c.s, x, lse, c.want, c.lse)
			}
		}
	})
}

// TestExpAccuracy checks exp, through SoftmaxAgain, over all of float32.
func TestExpAccuracy(t *testing.T) {
	x := everyExponent()
	for i := float32(-105); i < 90; i += 0.0371 {
		x = append(x, i)
	}
	eachLevel(t, func(t *testing.T, k *Kernels) {
		y := append([]float32(nil), x...)
		k.SoftmaxAgain(y, 1, 0)
		for i, v := range x {
			if e := ulps(y[i], math.Exp(float64(v))); e > 1 || y[i] != y[i] && v == v {
				t.Errorf("exp(%g) = %g, want %g: %.3g units in the last place", v, y[i], math.Exp(float64(v)), e)
			}
		}
	})
}
