package cpu

import (
	"fmt"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/simd"
)

// Products of int8: both operands are quantized before the product, row by row (simd.Integers), a weight once and for all, and
// an activation before each product, since its scale has to be known before its first element is. From there on they are
// words, and the driver of the other products takes them in place.

// quantizeTask makes words and scales of count rows. Of a weight each row is a column of panels, otherwise rows are dstLD words
// apart. Its jobs are panels, or runs of rows.
type quantizeTask struct {
	ints       *simd.Integers
	src        []float32
	ld         int
	count, k   int // rows, and elements of each
	dst        []float32
	dstLD, run int // run rows make a job
	scales     []float32
	offsets    []int32 // of a weight, else nil
}

func (t *quantizeTask) do(w *worker, job int) {
	from := job * t.run
	to := min(from+t.run, t.count)
	words := int8Words(t.k)
	if t.offsets == nil {
		for r := from; r < to; r++ {
			t.scales[r] = t.ints.QuantizeRow(asWords(t.dst[r*t.dstLD:][:words]), t.src[r*t.ld:][:t.k], t.ints.Offset)
		}
		return
	}
	row := asWords(w.floats(words))
	panel := asWords(t.dst[from*words:][:words*t.ints.NR])
	for r := from; r < to; r++ {
		t.scales[r] = t.ints.QuantizeRow(row, t.src[r*t.ld:][:t.k], 0)
		var sum int32
		for p, bytes := range row {
			panel[p*t.ints.NR+r-from] = bytes
			sum += int32(int8(bytes)) + int32(int8(bytes>>8)) + int32(int8(bytes>>16)) + int32(int8(bytes>>24))
		}
		if t.ints.Offset != 0 {
			t.offsets[r] = -128 * sum // modulo 2^32, as are the sums that it completes
		}
	}
}

// int8Words is the number of words that k elements take.
func int8Words(k int) int { return ceil(k, 4) }

// packInt8 is Pack at Int8.
func (d *Device) packInt8(out, in int, weights []compute.Buffer) (compute.Packed, error) {
	if in > simd.MaxInt8Depth {
		return nil, fmt.Errorf("cpu: a weight of %d inputs: products of %v have at most %d", in, compute.Int8, simd.MaxInt8Depth)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.int8
	weights = k.whole(out, in, weights)
	words, nr := int8Words(in), k.panelCols
	p := &packed{
		level: k.simd.Level, precision: compute.Int8, out: out, in: in, panels: aligned(roundUp(out, nr) * words),
		scales: simd.Scaling{Columns: make([]float32, out), Offsets: make([]int32, out)},
	}
	at := 0
	for _, w := range weights {
		n := w.Len / max(in, 1)
		d.quantize = quantizeTask{
			ints: &k.simd.Int8, src: source(w, w.Len, "weight to pack"), ld: in, count: n, k: in,
			dst: p.panels[at*words:], run: nr, scales: p.scales.Columns[at:], offsets: p.scales.Offsets[at:],
		}
		d.run(&d.quantize, ceil(n, nr), w.Len/packRate)
		at += n
	}
	d.quantize = quantizeTask{}
	return p, nil
}

// quantizeLeft quantizes the left operand of p.
func (d *Device) quantizeLeft(p *product) {
	words := int8Words(p.k)
	ld := words
	if crowded(ld) {
		ld += pad
	}
	d.words, d.scales = grow(d.words, p.m*ld), grow(d.scales, p.m)
	run := rowRun(p.k)
	d.quantize = quantizeTask{
		ints: &d.k.simd.Int8, src: p.a, ld: p.lda, count: p.m, k: p.k,
		dst: d.words, dstLD: ld, run: run, scales: d.scales,
	}
	d.run(&d.quantize, ceil(p.m, run), p.m*p.k/rowRate)
	d.quantize = quantizeTask{}
	p.a, p.lda, p.k, p.scales.Rows = d.words, ld, words, d.scales[:p.m]
}

// quantize quantizes the left operand of p, which is a worker's.
func (p *product) quantize(w *worker) {
	ints, words := &p.with.simd.Int8, int8Words(p.k)
	ld := words
	if crowded(ld) {
		ld += pad
	}
	a, scales := w.floats(p.m*ld), w.floats(p.m)
	for r := range p.m {
		scales[r] = ints.QuantizeRow(asWords(a[r*ld:][:words]), p.a[r*p.lda:][:p.k], ints.Offset)
	}
	p.a, p.lda, p.k, p.k1, p.scales.Rows = a, ld, words, words, scales
}
