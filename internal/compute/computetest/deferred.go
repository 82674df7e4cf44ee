package computetest

import (
	"slices"
	"sync"

	"github.com/go-bert/bert/internal/compute"
)

// Deferred is a device for tests that is as asynchronous as the contract allows: each operation waits in a queue until
// somebody reads or asks for a number. It hands them on to another device, whose bits it gives. It has no View, as a device
// with memory of its own; DeferredView has.
type Deferred struct {
	device compute.Device

	mu      sync.Mutex
	queue   []*call // the first waiting of which have been issued; the others are for use again
	waiting int
	next    int // of the queue, while it is worked off
	failure error
	noAlloc error
}

// Defer puts a queue before a device, which it takes over.
func Defer(d compute.Device) *Deferred { return &Deferred{device: d} }

// DeferredView is a Deferred whose buffers are in host memory.
type DeferredView struct{ *Deferred }

// View waits and returns the other device's view.
func (d DeferredView) View(b compute.Buffer) ([]float32, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.work(); err != nil {
		return nil, err
	}
	return d.device.(compute.Viewer).View(b)
}

var (
	_ compute.Device = (*Deferred)(nil)
	_ compute.Viewer = DeferredView{}
)

// Fail makes the device fail as one that was lost: what was issued is not done, and every call that waits returns err.
func (d *Deferred) Fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failure = err
}

// FailAlloc makes allocations fail with err, until it is called with nil.
func (d *Deferred) FailAlloc(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.noAlloc = err
}

// Waiting is the number of operations that were issued and are not done.
func (d *Deferred) Waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.waiting
}

// call is an operation in the queue, with copies of what it was given in host memory. One is used for operations of all
// kinds in turn, and so has room for each.
type call struct {
	run func(d compute.Device, c *call)

	linear           compute.Linear
	feedForward      compute.FeedForward
	linearInputGrad  compute.LinearInputGrad
	linearWeightGrad compute.LinearWeightGrad
	embedding        compute.Embedding
	embeddingGrad    compute.EmbeddingGrad
	norm             compute.Norm
	normGrad         compute.NormGrad
	attention        compute.Attention
	attentionGrad    compute.AttentionGrad
	crossEntropy     compute.CrossEntropy
	span             compute.SpanLoss
	binary           compute.BinaryCrossEntropy
	squared          compute.SquaredError
	adam             compute.Adam
	lamb             compute.LAMB

	dst, x, y    compute.Buffer
	factor       float32
	f            compute.Activation
	drop         compute.Drop
	rows, width  int
	packed       *packedLater
	packedInputs []compute.Buffer

	// Memory of the copies.
	starts []int
	ids    [3][]int32
	floats [2][]float32
}

// packedLater is what Pack will have made.
type packedLater struct{ compute.Packed }

// keep copies src into memory that is used again.
func keep[T any](memory *[]T, src []T) []T {
	if src == nil {
		return nil
	}
	*memory = append((*memory)[:0], src...)
	return *memory
}

// following copies the operation that follows another, if there is one.
func (c *call) following(op *compute.Norm) *compute.Norm {
	if op == nil {
		return nil
	}
	c.norm = *op
	return &c.norm
}

// issue puts an operation into the queue; fill completes it.
func (d *Deferred) issue(run func(d compute.Device, c *call), fill func(c *call)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting == len(d.queue) {
		d.queue = append(d.queue, new(call))
	}
	c := d.queue[d.waiting]
	c.run = run
	fill(c)
	d.waiting++
}

// work does what has been issued. The caller holds the lock.
func (d *Deferred) work() error {
	for d.next < d.waiting && d.failure == nil {
		c := d.queue[d.next]
		d.next++ // before it runs: one that panics is not done again
		c.run(d.device, c)
	}
	d.next, d.waiting = 0, 0
	return d.failure
}

func (d *Deferred) Name() string                         { return "deferred " + d.device.Name() }
func (d *Deferred) Threads() int                         { return d.device.Threads() }
func (d *Deferred) Precision() (compute.Precision, bool) { return d.device.Precision() }
func (d *Deferred) Stride(width int) int                 { return d.device.Stride(width) }
func (d *Deferred) OperandSize(width int) int            { return d.device.OperandSize(width) }

func (d *Deferred) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.device.Close()
}

// refusal is the error of a call that may fail at once.
func (d *Deferred) refusal() error {
	if d.failure != nil {
		return d.failure
	}
	return d.noAlloc
}

func (d *Deferred) Alloc(n int) (compute.Buffer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.refusal(); err != nil {
		return compute.Buffer{}, err
	}
	return d.device.Alloc(n)
}

func (d *Deferred) AllocNumbers(n int) (compute.Numbers, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.refusal(); err != nil {
		return nil, err
	}
	return d.device.AllocNumbers(n)
}

func (d *Deferred) Wrap(data []float32) (compute.Buffer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.refusal(); err != nil {
		return compute.Buffer{}, err
	}
	return d.device.Wrap(data)
}

func (d *Deferred) Pack(out, in int, weights ...compute.Buffer) (compute.Packed, error) {
	return d.packLater(compute.Device.Pack, out, in, weights)
}

func (d *Deferred) PackFloat(out, in int, weights ...compute.Buffer) (compute.Packed, error) {
	return d.packLater(compute.Device.PackFloat, out, in, weights)
}

func (d *Deferred) PackRounded(out, in int, weights ...compute.Buffer) (compute.Packed, error) {
	return d.packLater(compute.Device.PackRounded, out, in, weights)
}

func (d *Deferred) packLater(pack func(d compute.Device, out, in int, weights ...compute.Buffer) (compute.Packed, error), out, in int, weights []compute.Buffer) (compute.Packed, error) {
	d.mu.Lock()
	err := d.refusal()
	d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	p := new(packedLater)
	d.issue(func(d compute.Device, c *call) {
		packed, err := pack(d, c.rows, c.width, c.packedInputs...)
		if err != nil {
			panic(err)
		}
		c.packed.Packed = packed
	}, func(c *call) {
		c.packed, c.rows, c.width = p, out, in
		keep(&c.packedInputs, weights)
	})
	return p, nil
}

// PackIntegers copies what it is given, since the caller may change it before the device packs it.
func (d *Deferred) PackIntegers(out, in int, inputScales []float32, weights ...compute.Integers) (compute.Packed, error) {
	d.mu.Lock()
	err := d.refusal()
	d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	inputScales, weights = slices.Clone(inputScales), slices.Clone(weights)
	for i, w := range weights {
		weights[i] = compute.Integers{Values: slices.Clone(w.Values), Scales: slices.Clone(w.Scales)}
	}
	p := new(packedLater)
	d.issue(func(d compute.Device, _ *call) {
		packed, err := d.PackIntegers(out, in, inputScales, weights...)
		if err != nil {
			panic(err)
		}
		p.Packed = packed
	}, func(*call) {})
	return p, nil
}

// unwrapped is a weight as the other device knows it.
func unwrapped(m compute.Matrix) compute.Matrix {
	if p, ok := m.Packed.(*packedLater); ok {
		m.Packed = p.Packed
	}
	return m
}

func (d *Deferred) Read(dst []float32, src compute.Buffer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.work(); err != nil {
		return err
	}
	return d.device.Read(dst, src)
}

func (d *Deferred) ReadNumbers(dst []float64, src compute.Numbers) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.work(); err != nil {
		return err
	}
	return d.device.ReadNumbers(dst, src)
}

func (d *Deferred) SumSquares(x compute.Buffer) (float64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.work(); err != nil {
		return 0, err
	}
	return d.device.SumSquares(x)
}

func (d *Deferred) RunSquares(dst []float64, x compute.Buffer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.work(); err != nil {
		return err
	}
	return d.device.RunSquares(dst, x)
}

func (d *Deferred) Write(dst compute.Buffer, src []float32) {
	d.issue(func(d compute.Device, c *call) { d.Write(c.dst, c.floats[0]) }, func(c *call) {
		c.dst = dst
		c.floats[0] = append(c.floats[0][:0], src...)
	})
}

func (d *Deferred) Zero(b compute.Buffer) {
	d.issue(func(d compute.Device, c *call) { d.Zero(c.dst) }, func(c *call) { c.dst = b })
}

func (d *Deferred) Copy(dst, src compute.Buffer) {
	d.issue(func(d compute.Device, c *call) { d.Copy(c.dst, c.x) }, func(c *call) { c.dst, c.x = dst, src })
}

func (d *Deferred) Add(dst, x compute.Buffer) {
	d.issue(func(d compute.Device, c *call) { d.Add(c.dst, c.x) }, func(c *call) { c.dst, c.x = dst, x })
}

func (d *Deferred) Activate(f compute.Activation, dst, x compute.Buffer) {
	d.issue(func(d compute.Device, c *call) { d.Activate(c.f, c.dst, c.x) }, func(c *call) { c.f, c.dst, c.x = f, dst, x })
}

func (d *Deferred) ActivateGrad(f compute.Activation, dx, dy, x compute.Buffer) {
	d.issue(func(d compute.Device, c *call) { d.ActivateGrad(c.f, c.dst, c.y, c.x) }, func(c *call) {
		c.f, c.dst, c.y, c.x = f, dx, dy, x
	})
}

func (d *Deferred) Dropout(dst, x compute.Buffer, rows, width int, drop compute.Drop) {
	d.issue(func(d compute.Device, c *call) { d.Dropout(c.dst, c.x, c.rows, c.width, c.drop) }, func(c *call) {
		c.dst, c.x, c.rows, c.width, c.drop = dst, x, rows, width, drop
	})
}

func (d *Deferred) Gather(dst, src compute.Buffer, rows []int32, width int) {
	d.issue(func(d compute.Device, c *call) { d.Gather(c.dst, c.x, c.ids[0], c.width) }, func(c *call) {
		c.dst, c.x, c.width = dst, src, width
		c.ids[0] = append(c.ids[0][:0], rows...)
	})
}

func (d *Deferred) ScatterAdd(dst, src compute.Buffer, rows []int32, width int) {
	d.issue(func(d compute.Device, c *call) { d.ScatterAdd(c.dst, c.x, c.ids[0], c.width) }, func(c *call) {
		c.dst, c.x, c.width = dst, src, width
		c.ids[0] = append(c.ids[0][:0], rows...)
	})
}

func (d *Deferred) Linear(op *compute.Linear) {
	d.issue(func(d compute.Device, c *call) {
		c.linear.W = unwrapped(c.linear.W)
		d.Linear(&c.linear)
	}, func(c *call) {
		c.linear = *op
		c.linear.Norm = c.following(op.Norm)
	})
}

func (d *Deferred) FeedForward(op *compute.FeedForward) {
	d.issue(func(d compute.Device, c *call) {
		c.feedForward.W1, c.feedForward.W2 = unwrapped(c.feedForward.W1), unwrapped(c.feedForward.W2)
		d.FeedForward(&c.feedForward)
	}, func(c *call) {
		c.feedForward = *op
		c.feedForward.Norm = c.following(op.Norm)
	})
}

func (d *Deferred) LinearInputGrad(op *compute.LinearInputGrad) {
	d.issue(func(d compute.Device, c *call) {
		c.linearInputGrad.W = unwrapped(c.linearInputGrad.W)
		d.LinearInputGrad(&c.linearInputGrad)
	}, func(c *call) { c.linearInputGrad = *op })
}

func (d *Deferred) LinearWeightGrad(op *compute.LinearWeightGrad) {
	d.issue(func(d compute.Device, c *call) { d.LinearWeightGrad(&c.linearWeightGrad) }, func(c *call) { c.linearWeightGrad = *op })
}

func (d *Deferred) Embedding(op *compute.Embedding) {
	d.issue(func(d compute.Device, c *call) { d.Embedding(&c.embedding) }, func(c *call) {
		c.embedding = *op
		e := &c.embedding
		e.IDs, e.PositionIDs, e.TypeIDs = keep(&c.ids[0], e.IDs), keep(&c.ids[1], e.PositionIDs), keep(&c.ids[2], e.TypeIDs)
	})
}

func (d *Deferred) EmbeddingGrad(op *compute.EmbeddingGrad) {
	d.issue(func(d compute.Device, c *call) { d.EmbeddingGrad(&c.embeddingGrad) }, func(c *call) {
		c.embeddingGrad = *op
		e := &c.embeddingGrad
		e.IDs, e.PositionIDs, e.TypeIDs = keep(&c.ids[0], e.IDs), keep(&c.ids[1], e.PositionIDs), keep(&c.ids[2], e.TypeIDs)
	})
}

func (d *Deferred) Norm(op *compute.Norm) {
	d.issue(func(d compute.Device, c *call) { d.Norm(&c.norm) }, func(c *call) { c.norm = *op })
}

func (d *Deferred) NormGrad(op *compute.NormGrad) {
	d.issue(func(d compute.Device, c *call) { d.NormGrad(&c.normGrad) }, func(c *call) { c.normGrad = *op })
}

func (d *Deferred) Attention(op *compute.Attention) {
	d.issue(func(d compute.Device, c *call) {
		c.linear.W = unwrapped(c.linear.W)
		d.Attention(&c.attention)
	}, func(c *call) {
		c.attention = *op
		c.attention.Starts = keep(&c.starts, op.Starts)
		if op.Product != nil {
			c.linear = *op.Product
			c.attention.Product = &c.linear
		}
	})
}

func (d *Deferred) AttentionGrad(op *compute.AttentionGrad) {
	d.issue(func(d compute.Device, c *call) { d.AttentionGrad(&c.attentionGrad) }, func(c *call) {
		c.attentionGrad = *op
		c.attentionGrad.Starts = keep(&c.starts, op.Starts)
	})
}

func (d *Deferred) CrossEntropy(op *compute.CrossEntropy) {
	d.issue(func(d compute.Device, c *call) { d.CrossEntropy(&c.crossEntropy) }, func(c *call) {
		c.crossEntropy = *op
		e := &c.crossEntropy
		e.Labels, e.Targets, e.Weights = keep(&c.ids[0], e.Labels), keep(&c.floats[0], e.Targets), keep(&c.floats[1], e.Weights)
	})
}

func (d *Deferred) SpanLoss(op *compute.SpanLoss) {
	d.issue(func(d compute.Device, c *call) { d.SpanLoss(&c.span) }, func(c *call) {
		c.span = *op
		c.span.Starts, c.span.Labels, c.span.Weights = keep(&c.starts, op.Starts), keep(&c.ids[0], op.Labels), keep(&c.floats[0], op.Weights)
	})
}

func (d *Deferred) BinaryCrossEntropy(op *compute.BinaryCrossEntropy) {
	d.issue(func(d compute.Device, c *call) { d.BinaryCrossEntropy(&c.binary) }, func(c *call) {
		c.binary = *op
		c.binary.Targets, c.binary.Weights = keep(&c.floats[0], op.Targets), keep(&c.floats[1], op.Weights)
	})
}

func (d *Deferred) SquaredError(op *compute.SquaredError) {
	d.issue(func(d compute.Device, c *call) { d.SquaredError(&c.squared) }, func(c *call) {
		c.squared = *op
		c.squared.Targets, c.squared.Weights = keep(&c.floats[0], op.Targets), keep(&c.floats[1], op.Weights)
	})
}

func (d *Deferred) Adam(op *compute.Adam) {
	d.issue(func(d compute.Device, c *call) { d.Adam(&c.adam) }, func(c *call) { c.adam = *op })
}

func (d *Deferred) LAMB(op *compute.LAMB) {
	d.issue(func(d compute.Device, c *call) { d.LAMB(&c.lamb) }, func(c *call) { c.lamb = *op })
}

func (d *Deferred) Direction(op *compute.Adam) {
	d.issue(func(d compute.Device, c *call) { d.Direction(&c.adam) }, func(c *call) { c.adam = *op })
}

func (d *Deferred) Axpy(dst compute.Buffer, factor float32, x compute.Buffer) {
	d.issue(func(d compute.Device, c *call) { d.Axpy(c.dst, c.factor, c.x) }, func(c *call) { c.dst, c.factor, c.x = dst, factor, x })
}
