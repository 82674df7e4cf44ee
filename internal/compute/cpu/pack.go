package cpu

import (
	"fmt"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/simd"
)

// packed is a weight [out, in] as the right operand Wᵀ of products: panels of NR of its rows, each [in][NR], in words.
type packed struct {
	level     simd.Level
	precision compute.Precision
	out, in   int
	panels    []float32
	// At Int8: of the columns, and what those of the left operand are multiplied by before it is quantized, or nil.
	scales      simd.Scaling
	inputScales []float32
}

// Pack lays out a weight for many products.
func (d *Device) Pack(out, in int, weights ...compute.Buffer) (compute.Packed, error) {
	if d.int8 != nil {
		return d.once(compute.Int8, out, in, bytesOfBuffers(weights), func() (*packed, error) { return d.packInt8(out, in, weights) })
	}
	return d.PackFloat(out, in, weights...)
}

// PackFloat is Pack, but not in int8.
func (d *Device) PackFloat(out, in int, weights ...compute.Buffer) (compute.Packed, error) {
	return d.packFor(d.k, out, in, weights)
}

// PackRounded is PackFloat, but at Int8 for bfloat16 where its products are fast.
func (d *Device) PackRounded(out, in int, weights ...compute.Buffer) (compute.Packed, error) {
	if d.half != nil {
		return d.packFor(d.half, out, in, weights)
	}
	return d.packFor(d.k, out, in, weights)
}

func (d *Device) packFor(k *kernels, out, in int, weights []compute.Buffer) (compute.Packed, error) {
	return d.once(k.precision, out, in, bytesOfBuffers(weights), func() (*packed, error) { return d.packFloats(k, out, in, weights), nil })
}

func (d *Device) packFloats(k *kernels, out, in int, weights []compute.Buffer) *packed {
	d.mu.Lock()
	defer d.mu.Unlock()
	weights = k.whole(out, in, weights)
	nr := k.panelCols
	p := &packed{level: k.simd.Level, precision: k.precision, out: out, in: in, panels: pages(roundUp(out, nr)*k.words(in), hugePage)}
	rows := 0
	for _, w := range weights {
		d.pack = packTask{with: k, dst: p.panels[rows*k.words(in):], src: source(w, w.Len, "weight to pack"), ld: in, transposed: true, n: w.Len / max(in, 1), k: in}
		d.run(&d.pack, d.pack.jobs(nr), w.Len/packRate)
		rows += d.pack.n
	}
	d.pack = packTask{}
	return p
}

// whole is weights [out, in] as such of which no panel holds rows of two.
func (k *kernels) whole(out, in int, weights []compute.Buffer) []compute.Buffer {
	nr := k.panelCols
	whole := true
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
	if whole {
		return weights
	}
	joint := aligned(out * in)
	at := 0
	for _, w := range weights {
		at += copy(joint[at:], source(w, w.Len, "weight to pack"))
	}
	return []compute.Buffer{{Memory: &memory{data: joint}, Len: len(joint)}}
}

// weightPanels is what Pack made of w, or nil.
func (d *Device) weightPanels(w compute.Matrix) *packed {
	if w.Packed == nil {
		return nil
	}
	p := w.Packed.(*packed)
	precision, _ := d.Precision()
	known := p.precision == d.k.precision || p.precision == precision || d.half != nil && p.precision == d.half.precision
	if p.level != d.k.simd.Level || !known || p.out != w.Out || p.in != w.In {
		panic(fmt.Sprintf("cpu: weight packed as [%d, %d] for %v %v, want [%d, %d] for %v %v",
			p.out, p.in, p.level, p.precision, w.Out, w.In, d.k.simd.Level, precision))
	}
	return p
}

// packTask packs B[k, n] into ⌈n/NR⌉ panels, each [k][NR], in words. src is B, or its transpose [n, k], with rows ld apart.
type packTask struct {
	with       *kernels // nil: those of the device
	dst, src   []float32
	ld         int
	transposed bool
	words      bool // src is rounded already: rows of words, which ld counts
	n, k       int
}

const (
	// packRun is how many rows of a panel make a job where B is transposed: whole words.
	packRun = 768
	// packBand is how many rows of B make a job where it is not: whole words. They go into all panels before the next, so
	// that memory is read along the rows; down a panel each line would come from another page.
	packBand = 32
)

// jobs is the number of jobs: runs of packRun rows of each panel, or packBand rows of B.
func (t *packTask) jobs(nr int) int {
	if !t.transposed {
		return ceil(t.k, packBand)
	}
	return ceil(t.n, nr) * ceil(t.k, packRun)
}

func (t *packTask) do(w *worker, job int) {
	with := t.with
	if with == nil {
		with = w.k
	}
	nr, words := with.panelCols, with.words
	if !t.transposed {
		p := job * packBand
		k := min(packBand, t.k-p)
		for j := 0; j < t.n; j += nr {
			if t.words {
				with.repackPanelB(t.dst[j*words(t.k)+words(p)*nr:][:words(k)*nr], t.src[p*t.ld+words(j):], t.ld, min(nr, t.n-j), k)
				continue
			}
			with.packPanelB(t.dst[j*words(t.k)+words(p)*nr:][:words(k)*nr], t.src[p*t.ld+j:], t.ld, min(nr, t.n-j), k)
		}
		return
	}
	runs := ceil(t.k, packRun)
	j, p := job/runs*nr, job%runs*packRun
	n, k := min(nr, t.n-j), min(packRun, t.k-p)
	with.packPanelBT(t.dst[j*words(t.k)+words(p)*nr:][:words(k)*nr], t.src[j*t.ld+p:], t.ld, n, k)
}
