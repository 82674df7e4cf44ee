package cpu

import (
	"fmt"

	"github.com/go-bert/bert/internal/compute"
)

// attendTask is attention with the product before it. A job is some whole sequences: it computes their queries, keys and values and
// then, while those are in the cache, their attention.
type attendTask struct {
	product   product // whole, with all panels; C may be nil
	attention attentionTask
	starts    []int
	firstOnly bool
	groups    []attentionGroup
	rows      int // of a block of the product
}

// attentionGroup is the sequences from…to of a batch, whose probabilities begin at probs.
type attentionGroup struct{ from, to, probs int }

func (t *attendTask) do(w *worker, index int) {
	g := &t.groups[index]
	first := t.starts[g.from]
	m := t.starts[g.to] - first
	p := t.product.part(first, m)
	if p.c == nil {
		p.c, p.ldc = w.floats(m*p.n), p.n
	}
	if p.with.mulBytes != nil {
		p.quantize(w)
	}
	taken := w.mark()
	for i := 0; i < m; i += t.rows {
		p.floatBlock(w, i, min(t.rows, m-i), 0, p.n)
		w.release(taken)
	}
	probs := g.probs
	for b := g.from; b < g.to; b++ {
		job := attentionJob{first: t.starts[b], n: t.starts[b+1] - t.starts[b], row: t.starts[b], probs: probs}
		if job.to = job.n; t.firstOnly {
			job.row, job.to = b, 1
		}
		if job.n == 0 {
			continue
		}
		for job.head = range t.attention.heads {
			t.attention.head(w, &job, p.c[(job.first-first)*p.n:])
			w.release(taken)
			job.probs += job.n * job.n
		}
		probs = job.probs
	}
}

// attentionGroups appends the groups of a batch to groups: as many sequences as most tokens hold, or one.
func attentionGroups(groups []attentionGroup, starts []int, heads, most int) []attentionGroup {
	g := attentionGroup{}
	probs := 0
	for b := range len(starts) - 1 {
		if b > g.from && starts[b+1]-starts[g.from] > most {
			groups = append(groups, g)
			g = attentionGroup{from: b, probs: probs}
		}
		g.to = b + 1
		n := starts[b+1] - starts[b]
		probs += heads * n * n
	}
	if g.to > g.from {
		groups = append(groups, g)
	}
	return groups
}

// longest is the most tokens of a group.
func longest(groups []attentionGroup, starts []int) (n int) {
	for _, g := range groups {
		n = max(n, starts[g.to]-starts[g.from])
	}
	return n
}

// queriesKeysValues is the product before attention, whose result is to be [tokens, width].
func (d *Device) queriesKeysValues(op *compute.Linear, tokens, width int, qkv compute.Buffer) product {
	if op.Rows != tokens || op.W.Out != width || op.F != compute.Identity || !op.Pre.None() || !op.Y.None() || op.Norm != nil {
		panic(fmt.Sprintf("cpu: Attention.Product is not one of %d×%d and nothing else", tokens, width))
	}
	p := product{
		m: tokens, n: width, k: op.W.In, bias: optional(op.Bias, width, "Attention.Product.Bias"),
		c: optionalTarget(qkv, tokens*width, "Attention.QKV"), ldc: width,
	}
	d.left(&p, op.X, op.XStride, op.Operand, "Attention.Product.X")
	d.right(&p, op.W, "Attention.Product.W")
	p.whole()
	return p
}

// attend runs an attention task after its product: together by groups of sequences if there are enough of them, else one after
// the other. The caller holds the lock.
func (d *Device) attend(p *product, t attentionTask, op *compute.Attention) (done bool) {
	threads := d.Threads()
	d.groups = attentionGroups(d.groups[:0], op.Starts, t.heads, d.k.at.BlockRows)
	// The longest group may be left to one worker at the end.
	most := longest(d.groups, op.Starts)
	if d.inBlocks(p) && p.k > 0 && (threads == 1 || most*threads*2 <= p.m) {
		d.packWhole(p)
		d.attending = attendTask{
			product: *p, attention: t, starts: op.Starts, firstOnly: op.FirstOnly, groups: d.groups,
			rows: roundUp(ceil(most, ceil(most, d.k.at.BlockRows)), p.with.panelRows),
		}
		d.run(&d.attending, len(d.groups), p.m*p.n*p.k/productRate)
		d.attending = attendTask{}
		return true
	}
	if p.c == nil {
		d.results = grow(d.results, p.m*p.n)
		p.c = d.results[:p.m*p.n]
	}
	d.product = *p
	d.multiply()
	return false
}
