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
	if p.with.mulBytes != nil {
		p.quantize(w)
	}
	if m > 0 && t.attention.with.rounds() && t.attention.size%p.with.panelCols == 0 {
		t.byHeads(w, g, &p)
		return
	}
	if p.c == nil {
		p.c, p.ldc = w.floats(m*p.n), p.n
	}
	taken := w.mark()
	for i := 0; i < m; i += t.rows {
		p.floatBlock(w, i, min(t.rows, m-i), 0, p.n)
		w.release(taken)
	}
	hidden := t.attention.heads * t.attention.size
	for head := range t.attention.heads {
		rows := p.c[head*t.attention.size:]
		t.attend(w, g, head, headRows{rows, rows[hidden:], rows[2*hidden:], p.ldc})
	}
}

// byHeads computes the queries, keys and values of one head after the other, all of whose panels are its own, and its attention.
func (t *attendTask) byHeads(w *worker, g *attentionGroup, p *product) {
	heads, size := t.attention.heads, t.attention.size
	p.take(w, t.attention.operand != nil) // the operand may be that of the product
	c, ldc := p.c, p.ldc
	if c == nil {
		ldc = spread(3 * size)
		c = w.floats(p.m * ldc)
	}
	taken := w.mark()
	for head := range heads {
		var parts [3][]float32
		for i := range parts {
			from := (i*heads + head) * size
			at := from
			if p.c == nil {
				at = i * size
			}
			parts[i] = c[at:]
			q := p.columns(from, size)
			q.c, q.ldc = parts[i], ldc
			switch {
			case i < 2:
				q.then = p.panel(from+heads*size, 0)
			case head+1 < heads:
				q.then = p.panel((head+1)*size, 0)
			default:
				q.then = p.panel(0, 0)
			}
			for r := 0; r < p.m; r += t.rows {
				q.floatBlock(w, r, min(t.rows, p.m-r), 0, size)
				w.release(taken)
			}
		}
		t.attend(w, g, head, headRows{parts[0], parts[1], parts[2], ldc})
	}
}

// attend does the attention of a head of a group, given the rows of the group.
func (t *attendTask) attend(w *worker, g *attentionGroup, head int, in headRows) {
	taken := w.mark()
	probs := g.probs
	first := t.starts[g.from]
	for b := g.from; b < g.to; b++ {
		n := t.starts[b+1] - t.starts[b]
		job := attentionJob{first: t.starts[b], n: n, head: head, row: t.starts[b], to: n, probs: probs + head*n*n}
		if t.firstOnly {
			job.row, job.to = b, 1
		}
		if n > 0 {
			at := (t.starts[b] - first) * in.ld
			t.attention.head(w, &job, headRows{in.queries[at:], in.keys[at:], in.values[at:], in.ld})
			w.release(taken)
		}
		probs += t.attention.heads * n * n
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
	d.groups = attentionGroups(d.groups[:0], op.Starts, t.heads, p.with.blockRows)
	// The longest group may be left to one worker at the end.
	most := longest(d.groups, op.Starts)
	if d.inBlocks(p) && p.k > 0 && (threads == 1 || most*threads*2 <= p.m) {
		d.packWhole(p)
		d.attending = attendTask{
			product: *p, attention: t, starts: op.Starts, firstOnly: op.FirstOnly, groups: d.groups,
			rows: roundUp(ceil(most, ceil(most, p.with.blockRows)), p.with.panelRows),
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
