package distill

import (
	"errors"
	"runtime"
	"sync"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/compute/cpu"
)

// matrices multiplies matrices in host memory, on a device of its own and in memory that is used again. It serves one goroutine.
//
// Legend: R rows, I inputs, O outputs.
type matrices struct {
	device    *cpu.Device
	out, bias compute.Buffer // of results
}

// newMatrices opens the device, with the kernels of a name where this machine has them: so that a run that is resumed elsewhere has
// the same bits.
func newMatrices(kernels string, threads int) (*matrices, error) {
	if kernels != "" && cpu.HasKernels(kernels, bert.Float32) {
		d, err := cpu.NewOn(kernels, threads, bert.Float32)
		return &matrices{device: d}, err
	}
	d, err := cpu.New(threads, bert.Float32)
	return &matrices{device: d}, err
}

func (m *matrices) close() {
	if m.device != nil {
		m.device.Close()
	}
}

// linear is y = x·wᵀ + b: [R,I], [O,I], [O] or nil → [R,O].
func (m *matrices) linear(y, x, w, b []float32, rows, out, in int) error {
	op := compute.Linear{Rows: rows, XStride: in, YStride: out, W: compute.Matrix{Out: out, In: in}}
	err := errors.Join(m.wrap(&op.X, x[:rows*in]), m.wrap(&op.W.Weight, w[:out*in]))
	if err == nil && b != nil {
		err = m.wrap(&op.Bias, b[:out])
	}
	if err == nil {
		op.Y, err = m.room(&m.out, rows*out)
	}
	if err != nil {
		return err
	}
	m.device.Linear(&op)
	return m.device.Read(y[:rows*out], op.Y)
}

// inputGrad is dx = dy·w: [R,O], [O,I] → [R,I].
func (m *matrices) inputGrad(dx, dy, w []float32, rows, out, in int) error {
	op := compute.LinearInputGrad{Rows: rows, DYStride: out, DXStride: in, W: compute.Matrix{Out: out, In: in}}
	err := errors.Join(m.wrap(&op.DY, dy[:rows*out]), m.wrap(&op.W.Weight, w[:out*in]))
	if err == nil {
		op.DX, err = m.room(&m.out, rows*in)
	}
	if err != nil {
		return err
	}
	m.device.LinearInputGrad(&op)
	return m.device.Read(dx[:rows*in], op.DX)
}

// weightGrad is dw = dyᵀ·x and, unless it is nil, db = the column sums of dy: [R,O], [R,I] → [O,I], [O].
func (m *matrices) weightGrad(dw, db, dy, x []float32, rows, out, in int) error {
	op := compute.LinearWeightGrad{Rows: rows, Out: out, In: in, DYStride: out, XStride: in}
	err := errors.Join(m.wrap(&op.DY, dy[:rows*out]), m.wrap(&op.X, x[:rows*in]))
	if err == nil {
		op.DW, err = m.room(&m.out, out*in)
	}
	if err == nil && db != nil {
		op.DBias, err = m.room(&m.bias, out)
	}
	if err != nil {
		return err
	}
	m.device.Zero(op.DW)
	if db != nil {
		m.device.Zero(op.DBias)
	}
	m.device.LinearWeightGrad(&op)
	if db != nil {
		if err := m.device.Read(db[:out], op.DBias); err != nil {
			return err
		}
	}
	return m.device.Read(dw[:out*in], op.DW)
}

// wrap makes a buffer of memory that isn't written.
func (m *matrices) wrap(to *compute.Buffer, data []float32) (err error) {
	*to, err = m.device.Wrap(data)
	return err
}

// room is n elements of a buffer that grows.
func (m *matrices) room(b *compute.Buffer, n int) (compute.Buffer, error) {
	if n > b.Len {
		grown, err := m.device.Alloc(n + n/8)
		if err != nil {
			return compute.Buffer{}, err
		}
		*b = grown
	}
	return b.Slice(0, n), nil
}

// crew does jobs that don't depend on one another, each by one of its goroutines. What a job leaves depends on the job alone.
type crew struct{ workers []*worker }

// worker is what a job may use: products, and memory.
type worker struct {
	*matrices
	memory [][]float32
}

func newCrew(kernels string, threads int) (*crew, error) {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	c := new(crew)
	for range threads {
		m, err := newMatrices(kernels, 1)
		if err != nil {
			c.close()
			return nil, err
		}
		c.workers = append(c.workers, &worker{matrices: m})
	}
	return c, nil
}

func (c *crew) close() {
	for _, w := range c.workers {
		w.close()
	}
}

// take is memory i of a worker, of n elements whose values are left over.
func (w *worker) take(i, n int) []float32 {
	for len(w.memory) <= i {
		w.memory = append(w.memory, nil)
	}
	if cap(w.memory[i]) < n {
		w.memory[i] = make([]float32, n+n/8)
	}
	return w.memory[i][:n]
}

// do does n jobs and returns the error of the first that failed.
func (c *crew) do(n int, job func(w *worker, i int) error) error {
	workers := c.workers[:min(len(c.workers), max(n, 1))]
	if len(workers) == 1 {
		for i := range n {
			if err := job(workers[0], i); err != nil {
				return err
			}
		}
		return nil
	}
	var (
		waiting sync.WaitGroup
		errs    = make([]error, n)
	)
	for k, w := range workers {
		waiting.Go(func() {
			for i := k; i < n; i += len(workers) {
				errs[i] = job(w, i)
			}
		})
	}
	waiting.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
