package cpu

import (
	"fmt"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/simd"
)

// packed is a weight [out, in] as the right operand Wᵀ of products: panels of NR of its rows, each [in][NR].
type packed struct {
	level   simd.Level
	out, in int
	panels  []float32
}

// Pack lays out a weight for many products.
func (d *Device) Pack(out, in int, weights ...compute.Buffer) compute.Packed {
	nr := d.k.NR
	whole := true // no panel holds rows of two weights
	rows := 0
	for i, w := range weights {
		if w.Len%max(in, 1) != 0 {
			panic(fmt.Sprintf("cpu: weight %d to pack has %d elements, not whole rows of %d", i, w.Len, in))
		}
		whole = whole && rows%nr == 0
		rows += w.Len / max(in, 1)
	}
	if rows != out {
		panic(fmt.Sprintf("cpu: weights to pack have %d rows, want %d", rows, out))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !whole {
		joint := aligned(out * in)
		at := 0
		for _, w := range weights {
			at += copy(joint[at:], source(w, w.Len, "weight to pack"))
		}
		weights = []compute.Buffer{{Memory: &memory{data: joint}, Len: len(joint)}}
	}
	p := &packed{d.k.Level, out, in, aligned((out + nr - 1) / nr * nr * in)}
	rows = 0
	for _, w := range weights {
		d.pack = packTask{dst: p.panels[rows*in:], src: source(w, w.Len, "weight to pack"), ld: in, transposed: true, n: w.Len / max(in, 1), k: in}
		d.run(&d.pack, d.pack.jobs(nr), w.Len/packRate)
		rows += d.pack.n
	}
	d.pack = packTask{}
	return p
}

// weightPanels is what Pack made of w, or nil.
func (d *Device) weightPanels(w compute.Matrix) []float32 {
	if w.Packed == nil {
		return nil
	}
	p := w.Packed.(*packed)
	if p.level != d.k.Level || p.out != w.Out || p.in != w.In {
		panic(fmt.Sprintf("cpu: weight packed as [%d, %d] for %v, want [%d, %d] for %v", p.out, p.in, p.level, w.Out, w.In, d.k.Level))
	}
	return p.panels
}

// packTask packs B[k, n] into ⌈n/NR⌉ panels, each [k][NR]. src is B, or its transpose [n, k], with rows ld apart.
type packTask struct {
	dst, src   []float32
	ld         int
	transposed bool
	n, k       int
}

// packRows is how many rows of B are packed at a time: enough to make a job, few enough that all their pages have a place
// in the translation buffer while the panels are gone through.
const packRows = 32

// jobs is the number of jobs: a panel each of a transposed source, else packRows rows of all panels.
func (t *packTask) jobs(nr int) int {
	if t.transposed {
		return (t.n + nr - 1) / nr
	}
	return (t.k + packRows - 1) / packRows
}

func (t *packTask) do(w *worker, job int) {
	nr := w.k.NR
	if t.transposed {
		j := job * nr
		w.k.PackBT(t.dst[j*t.k:][:t.k*nr], t.src[j*t.ld:], t.ld, min(nr, t.n-j), t.k)
		return
	}
	p := job * packRows
	rows := min(packRows, t.k-p)
	for j := 0; j < t.n; j += nr {
		w.k.PackB(t.dst[j*t.k+p*nr:][:rows*nr], t.src[p*t.ld+j:], t.ld, min(nr, t.n-j), rows)
	}
}
