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
	integers   compute.Integers // in place of src: of a weight that is quantized already
	tops       []uint32         // the bits of the largest magnitudes of rows, or nil
	columns    []float32        // what the elements of a row are multiplied by before, or nil
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
		var scaled []float32
		if t.columns != nil {
			scaled = w.floats(t.k)
		}
		for r := from; r < to; r++ {
			src := scaleColumns(scaled, t.src[r*t.ld:][:t.k], t.columns)
			dst := asWords(t.dst[r*t.dstLD:][:words])
			if t.tops != nil {
				t.scales[r] = t.ints.Quantize(dst, src, t.tops[r], t.ints.Offset)
			} else {
				t.scales[r] = t.ints.QuantizeRow(dst, src, t.ints.Offset)
			}
		}
		return
	}
	row := asWords(w.floats(words))
	panel := asWords(t.dst[from*words:][:words*t.ints.NR])
	for r := from; r < to; r++ {
		if t.src != nil {
			t.scales[r] = t.ints.QuantizeRow(row, t.src[r*t.ld:][:t.k], 0)
		} else {
			packBytes(row, t.integers.Values[r*t.ld:][:t.k])
			t.scales[r] = t.integers.Scales[r]
		}
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

// scaleColumns is row times columns, in scaled; or row, where columns is nil.
func scaleColumns(scaled, row, columns []float32) []float32 {
	if columns == nil {
		return row
	}
	columns = columns[:len(row)]
	for j, x := range row {
		scaled[j] = x * columns[j]
	}
	return scaled
}

// packBytes puts four integers into each word, zeros beyond the last.
func packBytes(words []uint32, q []int8) {
	clear(words)
	for p, v := range q {
		words[p/4] |= uint32(uint8(v)) << (p % 4 * 8)
	}
}

// int8Words is the number of words that k elements take.
func int8Words(k int) int { return ceil(k, 4) }

// int8Stride is the distance in words of the rows of a left operand.
func int8Stride(k int) int { return spread(int8Words(k)) }

// newPackedInt8 is room for a weight in int8.
func (k *kernels) newPackedInt8(out, in int) (*packed, error) {
	if in > simd.MaxInt8Depth {
		return nil, fmt.Errorf("cpu: a weight of %d inputs: products of %v have at most %d", in, compute.Int8, simd.MaxInt8Depth)
	}
	return &packed{
		level: k.simd.Level, precision: compute.Int8, out: out, in: in, panels: pages(roundUp(out, k.panelCols)*int8Words(in), hugePage),
		scales: simd.Scaling{Columns: make([]float32, out), Offsets: make([]int32, out)},
	}, nil
}

// packInt8 is Pack at Int8.
func (d *Device) packInt8(out, in int, weights []compute.Buffer) (*packed, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.int8
	p, err := k.newPackedInt8(out, in)
	if err != nil {
		return nil, err
	}
	weights = k.whole(out, in, weights)
	words, nr := int8Words(in), k.panelCols
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

// PackIntegers lays out a weight that is quantized already for products at Int8.
func (d *Device) PackIntegers(out, in int, inputScales []float32, weights ...compute.Integers) (compute.Packed, error) {
	var joint compute.Integers
	for i, w := range weights {
		if len(w.Values) != len(w.Scales)*in {
			panic(fmt.Sprintf("cpu: weight %d to pack has %d integers, want %d rows of %d", i, len(w.Values), len(w.Scales), in))
		}
		if len(weights) == 1 {
			joint = w
			break
		}
		joint.Values, joint.Scales = append(joint.Values, w.Values...), append(joint.Scales, w.Scales...)
	}
	switch {
	case d.int8 == nil:
		panic(fmt.Sprintf("cpu: integers to pack for products at %v", d.k.precision))
	case len(joint.Scales) != out:
		panic(fmt.Sprintf("cpu: weights to pack have %d rows, want %d", len(joint.Scales), out))
	case inputScales != nil && len(inputScales) != in:
		misfit("PackIntegers.inputScales", len(inputScales), in)
	}
	values := [][]byte{[]byte("integers"), bytesOf(joint.Values), bytesOf(joint.Scales), bytesOf(inputScales)}
	return d.once(compute.Int8, out, in, values, func() (*packed, error) { return d.packIntegers(out, in, inputScales, joint) })
}

func (d *Device) packIntegers(out, in int, inputScales []float32, joint compute.Integers) (*packed, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.int8
	p, err := k.newPackedInt8(out, in)
	if err != nil {
		return nil, err
	}
	if inputScales != nil {
		p.inputScales = append([]float32(nil), inputScales...)
	}
	d.quantize = quantizeTask{
		ints: &k.simd.Int8, integers: joint, ld: in, count: out, k: in,
		dst: p.panels, run: k.panelCols, scales: p.scales.Columns, offsets: p.scales.Offsets,
	}
	d.run(&d.quantize, ceil(out, k.panelCols), len(joint.Values)/packRate)
	d.quantize = quantizeTask{}
	return p, nil
}

// quantizeLeft quantizes the left operand of p.
func (d *Device) quantizeLeft(p *product) {
	words, ld := int8Words(p.k), int8Stride(p.k)
	d.words, d.scales = grow(d.words, p.m*ld), grow(d.scales, p.m)
	run := rowRun(p.k)
	d.quantize = quantizeTask{
		ints: &d.k.simd.Int8, src: p.a, columns: p.inputScales, ld: p.lda, count: p.m, k: p.k,
		dst: d.words, dstLD: ld, run: run, scales: d.scales,
	}
	d.run(&d.quantize, ceil(p.m, run), p.m*p.k/rowRate)
	d.quantize = quantizeTask{}
	p.a, p.lda, p.k, p.scales.Rows = d.words, ld, words, d.scales[:p.m]
}

// quantize quantizes the left operand of p, which is a worker's.
func (p *product) quantize(w *worker) {
	words, ld := int8Words(p.k), int8Stride(p.k)
	a, scales := w.floats(p.m*ld), w.floats(p.m)
	t := quantizeTask{
		ints: &p.with.simd.Int8, src: p.a, columns: p.inputScales, tops: p.largest, ld: p.lda, count: p.m, k: p.k,
		dst: a, dstLD: ld, run: p.m, scales: scales,
	}
	t.do(w, 0)
	p.a, p.lda, p.k, p.k1, p.scales.Rows = a, ld, words, words, scales
}
