package computetest

import (
	"fmt"
	"math"

	"github.com/go-bert/bert/internal/compute"
)

func memoryChecks() (checks []check) {
	for _, n := range []int{0, 1, 100, 70000} {
		checks = append(checks, check{fmt.Sprint(n), func(data *inputs, _ compute.Device) func(compute.Device) operation {
			x, y := data.normal(n, 1), data.normal(n, 1)
			return func(d compute.Device) operation {
				fresh, zeroed, copied, added := d.Alloc(n), filled(d, n), filled(d, n), upload(d, y)
				part := filled(d, n+2)
				return operation{func() {
					d.Zero(zeroed)
					d.Copy(copied, d.Wrap(x))
					d.Write(part.Slice(1, n+1), x)
					d.Write(added, y)
					d.Add(added, copied)
				}, []result{
					inBuffer(d, "fresh", fresh, make([]float64, n), exact),
					inBuffer(d, "zeroed", zeroed, make([]float64, n), exact),
					inBuffer(d, "copied", copied, wide(x), exact),
					inBuffer(d, "part", part.Slice(1, n+1), wide(x), exact),
					inBuffer(d, "added", added, plus(wide(x), wide(y)), forward),
				}}
			}
		}})
	}
	return checks
}

func activateChecks() (checks []check) {
	for f := compute.Identity; f <= compute.SiLU; f++ {
		for _, n := range []int{0, 1, 5, 100, 70000} {
			checks = append(checks, check{fmt.Sprintf("%d-%d", f, n), func(data *inputs, _ compute.Device) func(compute.Device) operation {
				x, dy := data.normal(n, 2), data.normal(n, 1)
				y, dx := make([]float64, n), make([]float64, n)
				for i, v := range x {
					y[i] = activate(f, float64(v))
					dx[i] = float64(dy[i]) * slope(f, float64(v))
				}
				return func(d compute.Device) operation {
					from, to := upload(d, x), filled(d, n)
					grad, there := filled(d, n), filled(d, n)
					return operation{func() {
						d.Activate(f, to, from)
						d.ActivateGrad(f, grad, d.Wrap(dy), from)
						d.Write(there, dy)
						d.ActivateGrad(f, there, there, from)
					}, []result{
						inBuffer(d, "y", to, y, forward), inBuffer(d, "dx", grad, dx, forward), inBuffer(d, "dx in place", there, dx, forward),
					}}
				}
			}})
		}
	}
	return checks
}

func rowsChecks() (checks []check) {
	shaped(func(name string, rows, width int, drop compute.Drop) {
		checks = append(checks, check{name, func(data *inputs, probe compute.Device) func(compute.Device) operation {
			table, x := data.normal(words*width, 1), data.normal(rows*width, 1)
			indices := data.indices(rows, words)
			gathered, scattered := make([]float64, rows*width), wide(table)
			for i, row := range indices {
				addTo(gathered[i*width:][:width], 1, wide(table[int(row)*width:][:width]))
				addTo(scattered[int(row)*width:][:width], 1, wide(x[i*width:][:width]))
			}
			dropped := times(wide(x), mask(probe, rows, width, drop))
			return func(d compute.Device) operation {
				from, to, gather, scatter := upload(d, x), filled(d, rows*width), filled(d, rows*width), upload(d, table)
				there := upload(d, x)
				return operation{func() {
					d.Dropout(to, from, rows, width, drop)
					d.Write(there, x)
					d.Dropout(there, there, rows, width, drop)
					d.Gather(gather, d.Wrap(table), indices, width)
					d.Write(scatter, table)
					d.ScatterAdd(scatter, from, indices, width)
				}, []result{
					inBuffer(d, "dropout", to, dropped, forward), inBuffer(d, "dropout in place", there, dropped, forward),
					inBuffer(d, "gather", gather, gathered, exact), inBuffer(d, "scatter", scatter, scattered, gradient),
				}}
			}
		}})
	})
	return checks
}

func sumSquaresChecks() (checks []check) {
	for _, n := range []int{0, 1, 5, 100, 70000, 300000} {
		checks = append(checks, check{fmt.Sprint(n), func(data *inputs, _ compute.Device) func(compute.Device) operation {
			x := data.normal(n, 1)
			want := dot(wide(x), wide(x))
			return func(d compute.Device) operation {
				from, sum := d.Wrap(x), new(float64)
				return operation{func() { *sum = d.SumSquares(from) }, []result{inVariable("sum", sum, want, 1e-12)}}
			}
		}})
	}
	return checks
}

func adamChecks() (checks []check) {
	for i, n := range []int{0, 1, 5, 100, 70000} {
		checks = append(checks, check{fmt.Sprint(n), func(data *inputs, _ compute.Device) func(compute.Device) operation {
			p, g, m, v := data.normal(n, 0.02), data.normal(n, 0.1), data.normal(n, 0.01), data.normal(n, 0.01)
			for i := range v {
				v[i] *= v[i]
			}
			op := compute.Adam{GradScale: 0.5, Beta1: 0.9, Beta2: 0.999, Decay: 2e-7, StepSize: 2e-5, RootScale: 1, Eps: 1e-6}
			if i%2 == 1 {
				op.StepSize, op.RootScale = 2e-4, 31.6 // bias correction in the first steps
			}
			wantP, wantM, wantV := wide(p), wide(m), wide(v)
			for i := range n {
				g := float64(g[i]) * float64(op.GradScale)
				wantM[i] = float64(op.Beta1)*wantM[i] + (1-float64(op.Beta1))*g
				wantV[i] = float64(op.Beta2)*wantV[i] + (1-float64(op.Beta2))*g*g
				step := wantM[i] / (math.Sqrt(wantV[i])*float64(op.RootScale) + float64(op.Eps))
				wantP[i] -= wantP[i]*float64(op.Decay) + float64(op.StepSize)*step
			}
			return func(d compute.Device) operation {
				op := op
				op.P, op.G, op.M, op.V = upload(d, p), d.Wrap(g), upload(d, m), upload(d, v)
				return operation{func() { d.Adam(&op) }, []result{
					inBuffer(d, "p", op.P, wantP, forward), inBuffer(d, "m", op.M, wantM, forward), inBuffer(d, "v", op.V, wantV, forward),
				}}
			}
		}})
	}
	return checks
}
