package cpu

import (
	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/simd"
)

// feedForwardTask is both products of a feed-forward network. A job takes a block of rows through the first and then through the
// second, with the hidden layer in the worker's own memory: as float32, or rounded or quantized as the second product takes it.
type feedForwardTask struct {
	first, second product // whole, with all panels
	rows          int     // of a block
	ld            int     // of the hidden layer
}

func (t *feedForwardTask) do(w *worker, job int) {
	i := job * t.rows
	m := min(t.rows, t.first.m-i)
	first, second := t.first.part(i, m), t.second.part(i, m)
	link(&first, &second, w.floats(m*t.ld), t.ld)
	first.then, second.then = second.panels, first.panels
	if first.with.mulBytes != nil {
		first.quantize(w)
	}
	if first.quantized && second.inputScales == nil {
		first.tops = asWords(w.floats(m))
		clear(first.tops)
		second.largest = first.tops
	}
	first.block(w, 0, m, 0, first.n)
	if second.with.mulBytes != nil {
		second.quantize(w)
	}
	second.block(w, 0, m, 0, second.n)
}

// link lets the second product take what the first leaves in hidden, rows ld apart. The first leaves the input of its activation in
// C if there is one.
func link(first, second *product, hidden []float32, ld int) {
	second.a, second.lda = hidden, ld
	switch {
	case second.with.rounds():
		first.out, first.ldo, second.words = hidden, ld, true
	case first.c != nil:
		first.y, first.ldy = hidden, ld
	default:
		first.c, first.ldc = hidden, ld
		if first.f != simd.Identity {
			first.y, first.ldy = hidden, ld
			first.quantized = first.with.mulBytes != nil && second.with.mulBytes != nil && first.bias != nil && first.with.simd.Int8.Activate != nil
		}
	}
}

// whole makes the slice at hand all of p.
func (p *product) whole() { p.n0, p.n1, p.k0, p.k1 = 0, p.n, 0, p.k }

// FeedForward is y = f(x·W1ᵀ + bias1)·W2ᵀ + bias2.
func (d *Device) FeedForward(op *compute.FeedForward) {
	hidden := op.W1.Out
	if op.W2.In != hidden {
		misfit("FeedForward.W2.In", op.W2.In, hidden)
	}
	ps := strideOf(op.PreStride, hidden, "FeedForward.PreStride")
	first := product{
		m: op.Rows, n: hidden, k: op.W1.In,
		bias: optional(op.Bias1, hidden, "FeedForward.Bias1"), f: activation(op.F),
		c: optionalTarget(op.Pre, op.Rows*ps, "FeedForward.Pre"), ldc: ps,
	}
	second := product{
		m: op.Rows, n: op.W2.Out, k: hidden,
		bias: optional(op.Bias2, op.W2.Out, "FeedForward.Bias2"),
		ldc:  op.W2.Out,
	}
	if op.Norm == nil || !op.Y.None() {
		second.c = target(op.Y, op.Rows*op.W2.Out, "FeedForward.Y")
	}
	norm := d.following(op.Norm, op.Rows, op.W2.Out, second.c)
	d.left(&first, op.X, 0, op.Operand, "FeedForward.X")
	d.right(&first, op.W1, "FeedForward.W1")
	d.right(&second, op.W2, "FeedForward.W2")
	first.whole()
	second.whole()
	ld := d.OperandSize(hidden)
	if ld == 0 {
		ld = d.Stride(hidden)
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	d.follow(&second, norm, op.Norm)
	if !d.inBlocks(&first) || first.k == 0 || first.n == 0 || second.n == 0 {
		// All workers together read the weights once.
		d.hidden = grow(d.hidden, op.Rows*ld)
		link(&first, &second, d.hidden, ld)
		d.product = first
		d.multiply()
		d.product = second
		d.multiply()
		return
	}
	d.packWhole(&first, &second)
	first.cut(d.Threads(), first.with.feedRows(ld), 1)
	d.feedForward = feedForwardTask{first, second, first.rows, ld}
	d.run(&d.feedForward, first.blocks, 2*first.m*first.n*first.k/productRate)
	d.feedForward = feedForwardTask{}
	d.norm = normTask{}
}

// feedRows is the most rows of a block whose hidden layer has rows of so many words: it takes at most twice the memory of a step of A,
// 1.2 MB; or what a block has in tiles.
func (k *kernels) feedRows(words int) int {
	if k.tiles {
		return k.blockRows
	}
	return min(k.blockRows, max(k.panelRows, 2*k.at.Depth*k.blockRows/words))
}

// packWhole packs the weights of products that have no panels.
func (d *Device) packWhole(products ...*product) {
	size := func(p *product) int {
		if p.panels != nil {
			return 0
		}
		return roundUp(p.n, p.with.panelCols) * p.with.words(p.k)
	}
	total := 0
	for _, p := range products {
		total += size(p)
	}
	d.packed = grow(d.packed, total)
	at := 0
	for _, p := range products {
		if n := size(p); n > 0 {
			d.packSlice(p, d.packed[at:][:n])
			at += n
		}
	}
}
