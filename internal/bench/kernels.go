package bench

import (
	"fmt"
	"math/rand/v2"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/compute/cpu"
)

// Sizes are the sizes of a model and a batch.
//
// Legend: T = Sequences·Length tokens, H hidden, I intermediate, A heads, D = H/A head size, n tokens of a sequence.
type Sizes struct {
	Sequences, Length           int
	Hidden, Intermediate, Heads int
	// Parameters is the number of parameters that Adam updates.
	Parameters int
}

// Kernel is an operation at the sizes of a model.
type Kernel struct {
	Name  string
	Shape string
	// Operations is the number of floating-point operations of a run, Bytes the size of the operands it reads and writes. One of
	// them is 0: products are measured by operations, memory-bound kernels by bytes.
	Operations, Bytes float64

	prepare func(m *Machine, d *cpu.Device) (run func())
}

// Streams reports whether the operands are too large for any cache, so that memory bandwidth is the limit.
func (k *Kernel) Streams() bool {
	const largestCache = 64 << 20
	return k.Bytes > largestCache
}

// Prepare allocates the operands, for products of the given precision. run executes the operation once; done frees everything.
func (k *Kernel) Prepare(m *Machine, p compute.Precision) (run, done func()) {
	d := cpu.NewAt(m.kernels, m.threads, p)
	return k.prepare(m, d), d.Close
}

const dropRate = 0.1 // as in BERT's training

// Kernels returns the operations of a layer for a batch, forward and backward.
func Kernels(s Sizes) []Kernel {
	var (
		rows   = s.Sequences * s.Length
		h      = s.Hidden
		tokens = fmt.Sprintf("%d×%d×%d×%d", s.Sequences, s.Length, s.Heads, s.Hidden/s.Heads)
		pairs  = float64(rows) * float64(s.Length) * float64(h) // multiply-adds of the scores
		wide   = float64(rows) * float64(h)
	)
	return []Kernel{
		s.linear("linear", rows, h, 3*h, compute.Identity),
		s.linear("linear", rows, h, h, compute.Identity),
		s.linear("linear+gelu", rows, h, s.Intermediate, compute.GELU),
		s.linear("linear", rows, s.Intermediate, h, compute.Identity),
		s.feedForward(rows),
		s.linearInputGrad(rows, s.Intermediate, h),
		s.linearWeightGrad(rows, h, s.Intermediate),
		{"attention", tokens, 2 * 2 * pairs, 0, func(_ *Machine, d *cpu.Device) func() {
			op := attention(d, &s)
			return func() { d.Attention(op) }
		}},
		// Five products: the scores again, and two for each of the two products of the forward pass.
		{"attention-grad", tokens, 5 * 2 * pairs, 0, func(_ *Machine, d *cpu.Device) func() { return attentionGrad(d, &s) }},
		{"norm", shape(rows, h), 0, 4 * 4 * wide, func(_ *Machine, d *cpu.Device) func() { return norm(d, rows, h) }},
		{"norm-grad", shape(rows, h), 0, 4 * 4 * wide, func(_ *Machine, d *cpu.Device) func() { return normGrad(d, rows, h) }},
		{"softmax", shape(rows*s.Heads, s.Length), 0, 2 * 4 * float64(rows) * float64(s.Heads*s.Length), func(m *Machine, _ *cpu.Device) func() {
			return softmax(m, rows*s.Heads, s.Length)
		}},
		{"gelu", shape(rows, s.Intermediate), 0, 2 * 4 * float64(rows) * float64(s.Intermediate), func(_ *Machine, d *cpu.Device) func() {
			x, y := random(d, rows*s.Intermediate), alloc(d, rows*s.Intermediate)
			return func() { d.Activate(compute.GELU, y, x) }
		}},
	}
}

// Adam returns the update of the parameters, or of 32 million of them, which exceed any cache.
func Adam(s Sizes) Kernel {
	n := min(s.Parameters, 32<<20)
	return Kernel{"adam", shape(n), 0, 7 * 4 * float64(n), func(_ *Machine, d *cpu.Device) func() {
		op := compute.Adam{
			P: written(d, n), G: random(d, n), M: written(d, n), V: alloc(d, n),
			GradScale: 1, Beta1: 0.9, Beta2: 0.999, StepSize: 1e-5, RootScale: 1, Eps: 1e-6,
		}
		return func() { d.Adam(&op) }
	}}
}

func shape(dims ...int) string {
	s := fmt.Sprint(dims[0])
	for _, d := range dims[1:] {
		s += fmt.Sprintf("×%d", d)
	}
	return s
}

// randomNumbers returns n numbers in [−½, ½).
func randomNumbers(n int) []float32 {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	x := make([]float32, n)
	for i := range x {
		x[i] = r.Float32() - 0.5
	}
	return x
}

// random returns random numbers in a buffer that operations read.
func random(d *cpu.Device, n int) compute.Buffer { return must(d.Wrap(randomNumbers(n))) }

func alloc(d *cpu.Device, n int) compute.Buffer { return must(d.Alloc(n)) }

func pack(d *cpu.Device, out, in int, w compute.Buffer) compute.Packed {
	return must(d.Pack(out, in, w))
}

// must is v: the processor's device, whose memory is Go's, has no error to report.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// written returns random numbers in a buffer that operations write.
func written(d *cpu.Device, n int) compute.Buffer {
	b := alloc(d, n)
	d.Copy(b, random(d, n))
	return b
}

// stride returns the distance between an operand's rows. Between the two products of a feed-forward network it is the device's
// preferred one.
func (s Sizes) stride(d *cpu.Device, width int) int {
	if width == s.Intermediate {
		return d.Stride(width)
	}
	return width
}

func (s Sizes) linear(name string, rows, in, out int, f compute.Activation) Kernel {
	return Kernel{name, shape(rows, in, out), 2 * float64(rows) * float64(in) * float64(out), 0, func(_ *Machine, d *cpu.Device) func() {
		w := random(d, in*out)
		xs, ys := s.stride(d, in), s.stride(d, out)
		op := compute.Linear{
			Rows: rows, X: random(d, rows*xs), XStride: xs, W: compute.Matrix{Weight: w, Out: out, In: in, Packed: pack(d, out, in, w)},
			Bias: random(d, out), F: f, Y: alloc(d, rows*ys), YStride: ys,
		}
		return func() { d.Linear(&op) }
	}}
}

// feedForward is both products of a feed-forward network.
func (s Sizes) feedForward(rows int) Kernel {
	h, i := s.Hidden, s.Intermediate
	return Kernel{"feed-forward", shape(rows, h, i, h), 2 * 2 * float64(rows) * float64(h) * float64(i), 0, func(_ *Machine, d *cpu.Device) func() {
		up, down := random(d, h*i), random(d, h*i)
		op := compute.FeedForward{
			Rows: rows, X: random(d, rows*h), Y: alloc(d, rows*h), F: compute.GELU, Bias1: random(d, i), Bias2: random(d, h),
			W1: compute.Matrix{Weight: up, Out: i, In: h, Packed: pack(d, i, h, up)}, W2: compute.Matrix{Weight: down, Out: h, In: i, Packed: pack(d, h, i, down)},
		}
		return func() { d.FeedForward(&op) }
	}}
}

// operand is rows of an operand of that width, or none where the values are it.
func operand(d *cpu.Device, rows, width int) (b compute.Buffer) {
	if size := d.OperandSize(width); size > 0 {
		b = alloc(d, rows*size)
	}
	return b
}

// linearInputGrad is the gradient of a product's input, from out to in columns, with that of the activation before the product. Operands
// are what a backward pass has, and leaves.
func (s Sizes) linearInputGrad(rows, in, out int) Kernel {
	return Kernel{"linear-input-grad", shape(rows, out, in), 2 * float64(rows) * float64(in) * float64(out), 0, func(_ *Machine, d *cpu.Device) func() {
		dys, dxs := s.stride(d, out), s.stride(d, in)
		op := compute.LinearInputGrad{
			Rows: rows, DY: random(d, rows*dys), DYStride: dys, W: compute.Matrix{Weight: random(d, in*out), Out: out, In: in},
			F: compute.GELU, Pre: random(d, rows*dxs), DXStride: dxs, Operand: operand(d, rows, out), DXOperand: operand(d, rows, in),
		}
		if op.DXOperand.None() {
			op.DX = alloc(d, rows*dxs)
		} else {
			op.Y, op.DBias = operand(d, rows, in), alloc(d, in)
		}
		return func() { d.LinearInputGrad(&op) }
	}}
}

func (s Sizes) linearWeightGrad(rows, in, out int) Kernel {
	return Kernel{"linear-weight-grad", shape(out, rows, in), 2 * float64(rows) * float64(in) * float64(out), 0, func(_ *Machine, d *cpu.Device) func() {
		dys, xs := s.stride(d, out), s.stride(d, in)
		op := compute.LinearWeightGrad{
			Rows: rows, Out: out, In: in, DY: random(d, rows*dys), DYStride: dys, X: random(d, rows*xs), XStride: xs,
			DYOperand: operand(d, rows, out), XOperand: operand(d, rows, in), DW: alloc(d, in*out),
		}
		if op.DYOperand.None() {
			op.DBias = alloc(d, out)
		}
		return func() { d.LinearWeightGrad(&op) }
	}}
}

func attention(d *cpu.Device, s *Sizes) *compute.Attention {
	rows := s.Sequences * s.Length
	op := &compute.Attention{
		Heads: s.Heads, HeadSize: s.Hidden / s.Heads, QKV: random(d, rows*3*s.Hidden), Context: alloc(d, rows*s.Hidden),
	}
	for b := range s.Sequences + 1 {
		op.Starts = append(op.Starts, b*s.Length)
	}
	return op
}

func attentionGrad(d *cpu.Device, s *Sizes) func() {
	rows := s.Sequences * s.Length
	forward := attention(d, s)
	forward.Drop, forward.LSE = compute.Drop{Rate: dropRate, Key: 1}, alloc(d, rows*s.Heads)
	d.Attention(forward)
	op := compute.AttentionGrad{
		Heads: forward.Heads, HeadSize: forward.HeadSize, Starts: forward.Starts, QKV: forward.QKV, Context: forward.Context,
		LSE: forward.LSE, Drop: forward.Drop, DContext: random(d, rows*s.Hidden), Operand: operand(d, rows, 3*s.Hidden),
	}
	if op.Operand.None() {
		op.DQKV = alloc(d, rows*3*s.Hidden)
	} else {
		op.DBias = alloc(d, 3*s.Hidden)
	}
	return func() { d.AttentionGrad(&op) }
}

func norm(d *cpu.Device, rows, width int) func() {
	n := rows * width
	op := compute.Norm{
		Rows: rows, Width: width, Eps: 1e-12, X: random(d, n), Residual: random(d, n), Gamma: random(d, width), Beta: random(d, width),
		S: alloc(d, n), Mean: alloc(d, rows), Rstd: alloc(d, rows), Y: alloc(d, n),
	}
	return func() { d.Norm(&op) }
}

func normGrad(d *cpu.Device, rows, width int) func() {
	n := rows * width
	op := compute.NormGrad{
		Rows: rows, Width: width, DY: random(d, n), S: random(d, n), Mean: alloc(d, rows), Rstd: random(d, rows), Gamma: random(d, width),
		Drop: compute.Drop{Rate: dropRate, Key: 1}, DS: alloc(d, n), DX: alloc(d, n), DGamma: alloc(d, width), DBeta: alloc(d, width),
	}
	return func() { d.NormGrad(&op) }
}

// softmax is the softmax of attention's scores, here for all heads at once and without the products around it.
func softmax(m *Machine, rows, n int) func() {
	x := randomNumbers(rows * n)
	return func() {
		m.parallel(func(thread int) {
			from, to := rows*thread/m.threads, rows*(thread+1)/m.threads
			for i := from; i < to; i++ {
				m.kernels.Softmax(x[i*n:][:n], 1)
			}
		})
	}
}
