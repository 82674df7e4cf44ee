package computetest

import (
	"fmt"
	"math"
	"strings"

	"github.com/go-bert/bert/internal/compute"
)

func memoryChecks() (checks []check) {
	for _, n := range []int{0, 1, 100, 70000} {
		checks = append(checks, check{fmt.Sprint(n), func(data *inputs, _ compute.Device) func(compute.Device) operation {
			x, y := data.normal(n, 1), data.normal(n, 1)
			return func(d compute.Device) operation {
				fresh, zeroed, copied, added := alloc(d, n), filled(d, n), filled(d, n), upload(d, y)
				part := filled(d, n+2)
				return operation{func() {
					d.Zero(zeroed)
					d.Copy(copied, wrap(d, x))
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
						d.ActivateGrad(f, grad, wrap(d, dy), from)
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
					d.Gather(gather, wrap(d, table), indices, width)
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
				from, sum := wrap(d, x), new(float64)
				return operation{func() { *sum = sumSquares(d, from) }, []result{inVariable("sum", sum, want, 1e-12)}}
			}
		}})
	}
	return checks
}

// adamCase is a step of Adam on n elements and what it should give: the moments, and what it takes off the parameters.
type adamCase struct {
	op               compute.Adam
	p, g, m, v       []float32
	wantM, wantV     []float64
	wantP, direction []float64 // before and what is taken off
}

// newAdamCase makes one. In the first step of a run the moments are 0 before, so that they are nothing but 1−Beta1 and 1−Beta2
// times their terms.
func newAdamCase(data *inputs, n int, op compute.Adam, first bool) *adamCase {
	c := &adamCase{op: op, p: data.normal(n, 0.02), g: data.normal(n, 0.1), m: make([]float32, n), v: make([]float32, n)}
	if !first {
		c.m, c.v = data.normal(n, 0.01), data.normal(n, 0.01)
		for i := range c.v {
			c.v[i] *= c.v[i]
		}
	}
	c.wantP, c.wantM, c.wantV, c.direction = wide(c.p), wide(c.m), wide(c.v), make([]float64, n)
	for i := range n {
		g := float64(c.g[i]) * float64(op.GradScale)
		c.wantM[i] = op.Beta1*c.wantM[i] + (1-op.Beta1)*g
		c.wantV[i] = op.Beta2*c.wantV[i] + (1-op.Beta2)*g*g
		step := c.wantM[i] / (math.Sqrt(c.wantV[i])*float64(op.RootScale) + float64(op.Eps))
		c.direction[i] = c.wantP[i]*float64(op.Decay) + float64(op.StepSize)*step
	}
	return c
}

// on is the operation on a device. The gradient is in memory of its own, as LAMB overwrites it.
func (c *adamCase) on(d compute.Device) compute.Adam {
	op := c.op
	op.P, op.G, op.M, op.V = upload(d, c.p), upload(d, c.g), upload(d, c.m), upload(d, c.v)
	return op
}

func (c *adamCase) results(d compute.Device, op *compute.Adam) []result {
	return []result{
		inBuffer(d, "p", op.P, c.wantP, forward), inBuffer(d, "m", op.M, c.wantM, forward), inBuffer(d, "v", op.V, c.wantV, forward),
	}
}

func adamChecks() (checks []check) {
	for i, n := range []int{0, 1, 5, 100, 70000} {
		checks = append(checks, check{fmt.Sprint(n), func(data *inputs, _ compute.Device) func(compute.Device) operation {
			op := compute.Adam{GradScale: 0.5, Beta1: 0.9, Beta2: 0.999, Decay: 2e-7, StepSize: 2e-5, RootScale: 1, Eps: 1e-6}
			first := i%2 == 1
			if first {
				op.StepSize, op.RootScale = 2e-4, 31.6 // the bias correction
			}
			c := newAdamCase(data, n, op, first)
			addTo(c.wantP, -1, c.direction)
			return func(d compute.Device) operation {
				op := c.on(d)
				results := c.results(d, &op)
				if op.Clear = i%2 == 0; op.Clear {
					results = append(results, inBuffer(d, "g", op.G, make([]float64, n), exact))
				}
				return operation{func() { d.Adam(&op) }, results}
			}
		}})
	}
	return checks
}

func lambChecks() (checks []check) {
	for i, n := range []int{0, 1, 5, 100, 70000} {
		for _, zero := range []string{"", "p", "u"} { // what has a norm of 0
			name := strings.TrimSpace(fmt.Sprint(n, " ", zero))
			checks = append(checks, check{name, func(data *inputs, _ compute.Device) func(compute.Device) operation {
				op := compute.Adam{GradScale: 0.5, Beta1: 0.9, Beta2: 0.999, Decay: 0.01, StepSize: 1, RootScale: 1, Eps: 1e-6}
				first := i%2 == 1
				if first {
					op.StepSize, op.RootScale = 10, 31.6
				}
				if zero == "u" {
					op.StepSize, op.Decay = 0, 0
				}
				c := newAdamCase(data, n, op, first)
				if zero == "p" {
					addTo(c.direction, -float64(op.Decay), c.wantP)
					clear(c.p)
					clear(c.wantP)
				}
				const rate = 2e-3
				ratio := 1.0
				if p, u := dot(c.wantP, c.wantP), dot(c.direction, c.direction); p > 0 && u > 0 {
					ratio = math.Sqrt(p / u)
				}
				addTo(c.wantP, -rate*ratio, c.direction)
				return func(d compute.Device) operation {
					lamb := compute.LAMB{Adam: c.on(d), Rate: rate}
					return operation{func() { d.LAMB(&lamb) }, c.results(d, &lamb.Adam)}
				}
			}}, check{strings.TrimSpace(name + " in parts"), func(data *inputs, _ compute.Device) func(compute.Device) operation {
				op := compute.Adam{GradScale: 0.5, Beta1: 0.9, Beta2: 0.999, Decay: 0.01, StepSize: 1, RootScale: 1, Eps: 1e-6}
				if zero == "u" {
					op.StepSize, op.Decay = 0, 0
				}
				c := newAdamCase(data, n, op, false)
				if zero == "p" {
					clear(c.p)
				}
				return func(d compute.Device) operation { return lambInParts(d, c, 2e-3) }
			}})
		}
	}
	return checks
}

// lambInParts is LAMB of two parts of a tensor, cut between runs, each by Direction and Axpy with the norms of both: it should give the
// bits of LAMB.
func lambInParts(d compute.Device, c *adamCase, rate float32) operation {
	whole := compute.LAMB{Adam: c.on(d), Rate: rate}
	d.LAMB(&whole)
	var (
		n     = whole.P.Len
		cut   = min(n, compute.Run)
		op    = c.on(d)
		parts [2]compute.Adam
	)
	for i, at := range [][2]int{{0, cut}, {cut, n}} {
		part := op
		for _, b := range []*compute.Buffer{&part.P, &part.G, &part.M, &part.V} {
			*b = b.Slice(at[0], at[1])
		}
		parts[i] = part
	}
	return operation{func() {
		squares := func(of func(*compute.Adam) compute.Buffer) float64 {
			sum := 0.0
			for i := range parts {
				runs := make([]float64, compute.Runs(parts[i].P.Len))
				if err := d.RunSquares(runs, of(&parts[i])); err != nil {
					panic(err)
				}
				for _, s := range runs {
					sum += s
				}
			}
			return sum
		}
		for i := range parts {
			d.Direction(&parts[i])
		}
		ratio := 1.0
		p, u := squares(func(op *compute.Adam) compute.Buffer { return op.P }), squares(func(op *compute.Adam) compute.Buffer { return op.G })
		if p > 0 && u > 0 {
			ratio = math.Sqrt(p) / math.Sqrt(u)
		}
		for i := range parts {
			d.Axpy(parts[i].P, float32(-float64(rate)*ratio), parts[i].G)
		}
	}, []result{
		inBuffer(d, "p", op.P, wide(download(d, whole.P)), 0), inBuffer(d, "m", op.M, wide(download(d, whole.M)), 0), inBuffer(d, "v", op.V, wide(download(d, whole.V)), 0),
	}}
}
