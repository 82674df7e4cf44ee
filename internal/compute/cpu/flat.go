package cpu

import (
	"math"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/simd"
)

// flatTask is an operation on elements one by one; its jobs are runs of flatRun of them.
type flatTask struct {
	kind flatKind
	f    simd.Activation
	step simd.AdamStep
	sums []float64 // of each job; of flatDirection two, of x and of dst
	c    float32
	// clear says that Adam sets x to zeros while it is in the cache.
	clear bool

	dst, x, y, z []float32
}

type flatKind uint8

const (
	flatZero flatKind = iota
	flatCopy
	flatAdd
	flatActivate
	flatActivateGrad
	flatSumSquares
	flatAdam
	flatDirection
	flatAxpy
)

// flatRun is also the run whose squares are added up before their sum is added to the others.
const flatRun = compute.Run

func (t *flatTask) do(w *worker, job int) {
	from := job * flatRun
	to := min(from+flatRun, len(t.dst))
	dst := t.dst[from:to]
	switch t.kind {
	case flatZero:
		clear(dst)
	case flatCopy:
		copy(dst, t.x[from:to])
	case flatAdd:
		w.k.simd.Add(dst, t.x[from:to])
	case flatActivate:
		w.k.simd.Activate(t.f, dst, t.x[from:to])
	case flatActivateGrad:
		w.k.simd.ActivateBackward(t.f, dst, t.x[from:to], t.y[from:to])
	case flatSumSquares:
		t.sums[job] = w.k.simd.SumSquares(dst)
	case flatAdam:
		w.k.simd.Adam(dst, t.x[from:to], t.y[from:to], t.z[from:to], &t.step)
		if t.clear {
			clear(t.x[from:to])
		}
	case flatDirection:
		p := t.x[from:to]
		u := w.floats(len(dst))
		clear(u)
		w.k.simd.Adam(u, dst, t.y[from:to], t.z[from:to], &t.step)
		w.k.simd.Axpy(u, t.c, p)
		copy(dst, u)
		t.sums[2*job], t.sums[2*job+1] = w.k.simd.SumSquares(p), w.k.simd.SumSquares(u)
	case flatAxpy:
		w.k.simd.Axpy(dst, t.c, t.x[from:to])
	}
}

// runFlat runs d.flat, whose jobs process that many elements per nanosecond, and clears it. The caller holds the lock.
func (d *Device) runFlat(rate int) {
	n := len(d.flat.dst)
	d.run(&d.flat, (n+flatRun-1)/flatRun, n/rate)
	d.flat = flatTask{}
}

// Write copies src into dst.
func (d *Device) Write(dst compute.Buffer, src []float32) {
	to := target(dst, len(src), "Write.dst")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flat = flatTask{kind: flatCopy, dst: to, x: src}
	d.runFlat(rowRate)
}

// Read copies src into dst.
func (d *Device) Read(dst []float32, src compute.Buffer) error {
	from := source(src, len(dst), "Read.src")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flat = flatTask{kind: flatCopy, dst: dst, x: from}
	d.runFlat(rowRate)
	return nil
}

// Copy copies src into dst, of the same length.
func (d *Device) Copy(dst, src compute.Buffer) {
	to, from := target(dst, dst.Len, "Copy.dst"), source(src, dst.Len, "Copy.src")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flat = flatTask{kind: flatCopy, dst: to, x: from}
	d.runFlat(rowRate)
}

// Zero sets b to zeros.
func (d *Device) Zero(b compute.Buffer) {
	to := target(b, b.Len, "Zero.b")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flat = flatTask{kind: flatZero, dst: to}
	d.runFlat(rowRate)
}

// Add is dst += x.
func (d *Device) Add(dst, x compute.Buffer) {
	to, from := target(dst, dst.Len, "Add.dst"), source(x, dst.Len, "Add.x")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flat = flatTask{kind: flatAdd, dst: to, x: from}
	d.runFlat(rowRate)
}

// Activate is dst = f(x); dst may be x.
func (d *Device) Activate(f compute.Activation, dst, x compute.Buffer) {
	to, from := target(dst, dst.Len, "Activate.dst"), source(x, dst.Len, "Activate.x")
	g := activation(f)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flat = flatTask{kind: flatActivate, f: g, dst: to, x: from}
	d.runFlat(expRate)
}

// ActivateGrad is dx = dy∘f'(x); dx may be dy.
func (d *Device) ActivateGrad(f compute.Activation, dx, dy, x compute.Buffer) {
	to := target(dx, dx.Len, "ActivateGrad.dx")
	grad, from := source(dy, dx.Len, "ActivateGrad.dy"), source(x, dx.Len, "ActivateGrad.x")
	g := activation(f)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flat = flatTask{kind: flatActivateGrad, f: g, dst: to, x: grad, y: from}
	d.runFlat(expRate)
}

// SumSquares is Σ x² in float64.
func (d *Device) SumSquares(x compute.Buffer) (float64, error) {
	from := source(x, x.Len, "SumSquares.x")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.growSums(ceil(len(from), flatRun))
	d.flat = flatTask{kind: flatSumSquares, dst: from, sums: d.sums}
	d.runFlat(rowRate)
	total := 0.0
	for _, s := range d.sums {
		total += s
	}
	return total, nil
}

// RunSquares is Σ x² of each run in float64.
func (d *Device) RunSquares(dst []float64, x compute.Buffer) error {
	from := source(x, x.Len, "RunSquares.x")
	if len(dst) != compute.Runs(len(from)) {
		panic("cpu: RunSquares: not an element for each run")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flat = flatTask{kind: flatSumSquares, dst: from, sums: dst}
	d.runFlat(rowRate)
	return nil
}

// growSums makes d.sums n long; its values are of no use.
func (d *Device) growSums(n int) {
	if n > cap(d.sums) {
		d.sums = make([]float64, n+n/4)
	}
	d.sums = d.sums[:n]
}

// adamStep are the constants of a step.
func adamStep(op *compute.Adam) simd.AdamStep {
	return simd.AdamStep{
		GradScale: op.GradScale,
		Beta1:     float32(op.Beta1),
		Rest1:     float32(1 - op.Beta1),
		Beta2:     float32(op.Beta2),
		Rest2:     float32(1 - op.Beta2),
		Decay:     op.Decay,
		StepSize:  op.StepSize,
		RootScale: op.RootScale,
		Eps:       op.Eps,
	}
}

// Adam updates parameters in one pass.
func (d *Device) Adam(op *compute.Adam) {
	n := op.P.Len
	p, g := target(op.P, n, "Adam.P"), source(op.G, n, "Adam.G")
	if op.Clear {
		g = target(op.G, n, "Adam.G")
	}
	m, v := target(op.M, n, "Adam.M"), target(op.V, n, "Adam.V")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flat = flatTask{kind: flatAdam, dst: p, x: g, y: m, z: v, step: adamStep(op), clear: op.Clear}
	d.runFlat(expRate)
}

// direction replaces g by the direction of LAMB, and leaves the squares of each run of p and of the direction in d.sums. The caller
// holds the lock.
func (d *Device) direction(op *compute.Adam, p, g, m, v []float32) {
	// Adam's step of a parameter of 0 is the direction without the decay, whose sign this turns.
	step := adamStep(op)
	step.Decay, step.StepSize = 0, -step.StepSize
	d.growSums(2 * ceil(len(g), flatRun))
	d.flat = flatTask{kind: flatDirection, dst: g, x: p, y: m, z: v, step: step, c: op.Decay, sums: d.sums}
	d.runFlat(expRate)
}

// Direction is the first half of LAMB.
func (d *Device) Direction(op *compute.Adam) {
	n := op.P.Len
	p, g := source(op.P, n, "Direction.P"), target(op.G, n, "Direction.G")
	m, v := target(op.M, n, "Direction.M"), target(op.V, n, "Direction.V")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.direction(op, p, g, m, v)
}

// Axpy is dst += c·x.
func (d *Device) Axpy(dst compute.Buffer, c float32, x compute.Buffer) {
	to, from := target(dst, dst.Len, "Axpy.dst"), source(x, dst.Len, "Axpy.x")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flat = flatTask{kind: flatAxpy, dst: to, x: from, c: c}
	d.runFlat(rowRate)
}

// LAMB updates a tensor in two passes: the direction, which takes the gradient's place, and the norms; then the step.
func (d *Device) LAMB(op *compute.LAMB) {
	n := op.P.Len
	p, g := target(op.P, n, "LAMB.P"), target(op.G, n, "LAMB.G")
	m, v := target(op.M, n, "LAMB.M"), target(op.V, n, "LAMB.V")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.direction(&op.Adam, p, g, m, v)
	var squaresP, squaresU float64
	for job := range len(d.sums) / 2 {
		squaresP += d.sums[2*job]
		squaresU += d.sums[2*job+1]
	}
	ratio := 1.0
	if squaresP > 0 && squaresU > 0 {
		ratio = math.Sqrt(squaresP) / math.Sqrt(squaresU)
	}
	d.flat = flatTask{kind: flatAxpy, dst: p, x: g, c: float32(-float64(op.Rate) * ratio)}
	d.runFlat(rowRate)
}
