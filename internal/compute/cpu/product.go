package cpu

import (
	"fmt"
	"math"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/simd"
)

// product is C[m, n] = A[m, k]·B[k, n] and the operations that follow it.
//
// B is packed into panels of NR columns, slice by slice where all of it would be too large. The jobs are blocks of rows
// of C × stripes of its columns. A job goes along k in steps of depth; a step's part of A, which stays in the second
// cache, meets one panel of B after the other. How C is cut changes no bit: an element is one chain of additions along k.
// A, B and C are float32; the panels of B and the copies of A are of words (operands.go). k counts elements. A product of int8
// (quantize.go) takes all of A and B in words, which are what k counts, and its sums stand in C until the last step.
type product struct {
	m, n, k int

	a       []float32 // [m, k], rows lda apart; or [k, m]
	lda     int
	aTurned bool // a is [k, m]

	b       []float32 // [k, n], rows ldb apart; or [n, k]; not used if panels are there
	ldb     int
	bTurned bool // b is [n, k]
	panels  []float32

	c   []float32 // [m, n], rows ldc apart, as are those of y and pre
	ldc int
	add bool // C += instead of =

	// After the last step: C += bias (unless a is [k, m]), then y = f(C), or C = C∘f'(pre).
	bias   []float32 // [n]
	f      simd.Activation
	y, pre []float32 // [m, n]

	sums   []float32 // [m]: += the sums of A along k, if a is [k, m]
	totals []float32 // [m]: of the slices so far

	with   *kernels     // nil: those of the device
	scales simd.Scaling // of a product of int8, of all of C: Bias is in bias

	inputScales []float32 // [k]: of a product of int8, what A's columns are multiplied by before they are quantized, or nil

	n0, n1, k0, k1  int // the slice at hand
	rows, cols      int // of a block and a stripe
	blocks, stripes int
}

const (
	// pad is what is added to a row of a copy so that rows do not fall into the same sets of the caches.
	pad = 16
	// turnRows is how many rows of a [k, m], whole words, are packed into all panels before the next: the panels share
	// their lines, which stay in the first cache.
	turnRows = 32
	// sumRows is how many rows are added up before the sum is added to the total: a multiple of turnRows that divides every step.
	sumRows = 128
)

// depth is the step along k in elements.
func (k *kernels) depth() int { return k.at.Depth * k.perWord }

// crowded reports whether rows ld apart fall into the same sets of the first cache: their distance is a multiple of 4,096
// bytes.
func crowded(ld int) bool { return ld%1024 == 0 }

// turnCrowded is crowded for turnRows rows, of which each has several lines in use.
func turnCrowded(ld int) bool { return ld%512 == 0 }

// Stride is the width, and a little more where such rows would crowd the caches: they would be copied at each product.
func (d *Device) Stride(width int) int {
	if turnCrowded(width) {
		return width + pad
	}
	return width
}

// strideOf is the stride of an operation's rows of width elements.
func strideOf(stride, width int, what string) int {
	if stride == 0 {
		return width
	}
	if stride < width {
		panic(fmt.Sprintf("cpu: %s is %d, want 0 or at least %d", what, stride, width))
	}
	return stride
}

// multiply computes d.product and clears it.
func (d *Device) multiply() {
	p := &d.product
	if p.with == nil {
		p.with = d.k
	}
	k, nr := p.with, p.with.panelCols
	if p.sums != nil {
		d.partials = grow(d.partials, p.m)
		p.totals = d.partials[:p.m]
		clear(p.totals)
	}
	if p.m > 0 && p.n > 0 && (p.k > 0 || !p.add) {
		sliceK, sliceN := p.k, p.n
		if wide := roundUp(p.n, nr); p.panels == nil && wide*k.words(p.k) > k.at.SliceWords {
			if sliceK = k.at.SliceWords / wide / k.at.Depth * k.depth(); sliceK == 0 {
				sliceK = min(p.k, 4*k.depth())
				sliceN = k.at.SliceWords / k.words(sliceK) / nr * nr
			}
		}
		for p.n0 = 0; p.n0 < p.n; p.n0 = p.n1 {
			p.n1 = min(p.n0+sliceN, p.n)
			for p.k0 = 0; ; p.k0 = p.k1 {
				p.k1 = min(p.k0+sliceK, p.k)
				d.multiplySlice(p)
				if p.k1 == p.k {
					break
				}
			}
		}
	}
	*p = product{}
}

func (d *Device) multiplySlice(p *product) {
	nr := p.with.panelCols
	n, k := p.n1-p.n0, p.k1-p.k0
	wide := roundUp(n, nr)
	given := p.panels != nil
	if !given {
		d.packed = grow(d.packed, wide*d.k.words(k))
		p.panels = d.packed
		at := p.k0*p.ldb + p.n0
		if p.bTurned {
			at = p.n0*p.ldb + p.k0
		}
		d.pack = packTask{dst: d.packed, src: p.b[at:], ld: p.ldb, transposed: p.bTurned, n: n, k: k}
		d.run(&d.pack, d.pack.jobs(nr), n*k/packRate)
		d.pack = packTask{}
	}
	threads := d.Threads()
	cost := p.m * wide * k / productRate
	if cost < d.k.at.Grain {
		threads = 1
	}
	p.cut(p.with, threads)
	d.run(p, p.blocks*p.stripes, cost)
	if !given {
		p.panels = nil
	}
}

// cut chooses the blocks and stripes of a slice with which all workers are expected to finish first. Costs are in elements of
// C: a job costs its own elements, copyCols for each row of A that is copied, and jobCost; and when all others have finished,
// part of one job may still remain.
func (p *product) cut(k *kernels, threads int) {
	const copyCols, jobCost, tail = 16, 256, 4
	panels := ceil(p.n1-p.n0, k.panelCols)
	copying := 0
	if p.copied(k) {
		copying = copyCols
	}
	maxStripes := min(panels, 8*threads)
	if threads == 1 {
		maxStripes = 1
	}
	least := ceil(p.m, k.at.BlockRows)
	best := math.MaxInt
	for blocks := least; blocks <= min(p.m, least+2*(threads-1)); blocks++ {
		rows := min(p.m, roundUp(ceil(p.m, blocks), k.panelRows))
		for stripes := 1; stripes <= maxStripes; stripes++ {
			cols := ceil(panels, stripes) * k.panelCols
			jobs := ceil(p.m, rows) * ceil(panels*k.panelCols, cols)
			cost := rows*(cols+copying) + jobCost
			if cost = cost*ceil(jobs, threads) + cost/tail; cost < best {
				best = cost
				p.rows, p.cols = rows, cols
			}
		}
	}
	p.blocks = ceil(p.m, p.rows)
	p.stripes = ceil(p.n1-p.n0, p.cols)
}

// copied reports whether a is to be copied: to be turned, rounded, or for its stride.
func (p *product) copied(k *kernels) bool {
	return p.aTurned || k.rounds() || p.m > 1 && crowded(p.lda)
}

func (p *product) do(w *worker, job int) {
	k, nr := p.with, p.with.panelCols
	i := job / p.stripes * p.rows
	m := min(p.rows, p.m-i)
	from := p.n0 + job%p.stripes*p.cols
	to := min(from+p.cols, p.n1)
	var scratch, rows, part []float32
	if p.copied(k) {
		scratch = w.floats(roundUp(m, k.panelRows) * (min(k.at.Depth, k.words(p.k)) + pad))
	}
	if p.aTurned {
		rows = w.floats(turnRows * (m + pad))
		if p.sums != nil && from == 0 { // of the jobs of these rows the first adds them up
			part = w.floats(m)
		}
	}
	panelAt := func(j, at int) []float32 {
		return p.panels[((j-p.n0)*k.words(p.k1-p.k0) + k.words(at-p.k0)*nr):]
	}
	following := panelAt(p.n0, p.k0) // the first panel of the next job
	if to < p.n1 {
		following = panelAt(to, p.k0)
	}
	run := max(nr, k.at.FinishCols/nr*nr)
	for at := p.k0; ; at += k.depth() {
		size := min(k.depth(), p.k1-at)
		words := k.words(size)
		a, lda := scratch, 0
		if p.aTurned {
			p.turn(k, scratch, rows, part, i, m, at, size)
		} else {
			a, lda = p.left(k, scratch, i, m, at, size)
		}
		for j := from; j < to; {
			finish := min(j+run, to)
			first := j
			for ; j < finish; j += nr {
				n := min(nr, finish-j)
				b := panelAt(j, at)[:words*nr]
				next := following
				if j+nr < to {
					next = panelAt(j+nr, at)
				} else if at+size < p.k1 {
					next = panelAt(from, at+size)
				}
				c := p.c[i*p.ldc+j:]
				add := p.add || at > 0
				switch last := at+size == p.k; {
				case k.mulBytes != nil:
					var s simd.Scaling
					if last {
						s = p.scaling(i, j, m, n)
					}
					k.mulBytes(m, n, words, a, lda, b, c, p.ldc, add, next, s)
				case p.aTurned:
					k.mulPacked(m, n, words, a, b, c, p.ldc, add, next)
				default:
					var bias []float32
					if p.bias != nil && last && !k.rounds() {
						bias = p.bias[j:][:n]
					}
					k.mulInPlace(m, n, words, a, lda, b, c, p.ldc, add, next, bias)
				}
			}
			j = finish
			if at+size == p.k {
				p.finish(k, i, m, first, finish)
			}
		}
		if at+size == p.k1 {
			break
		}
	}
}

// scaling makes numbers of the block of C at row i and column j.
func (p *product) scaling(i, j, m, n int) simd.Scaling {
	s := simd.Scaling{Rows: p.scales.Rows[i:][:m], Columns: p.scales.Columns[j:][:n], Offsets: p.scales.Offsets[j:][:n]}
	if p.bias != nil {
		s.Bias = p.bias[j:][:n]
	}
	return s
}

// left returns the block of A of m rows from i and size columns from at: in place, or copied to words with a stride that suits
// the caches.
func (p *product) left(k *kernels, scratch []float32, i, m, at, size int) (a []float32, lda int) {
	if !p.copied(k) {
		return p.a[i*p.lda+at:], p.lda
	}
	lda = min(k.at.Depth, k.words(p.k)) + pad
	k.packRows(scratch, lda, p.a[i*p.lda+at:], p.lda, m, size)
	return scratch, lda
}

// turn packs the block of m rows from i and size columns from at of A, which is [k, m], into panels, and adds up the
// columns in part meanwhile, unless it is nil. rows is memory for turnRows rows.
func (p *product) turn(k *kernels, panels, rows, part []float32, i, m, at, size int) {
	for q := 0; q < size; q += turnRows {
		count := min(turnRows, size-q)
		src, ld := p.a[(at+q)*p.lda+i:], p.lda
		if turnCrowded(ld) {
			for r := range count {
				copy(rows[r*(m+pad):][:m], src[r*ld:])
			}
			src, ld = rows, m+pad
		}
		for r := 0; r < m; r += k.panelRows {
			k.packPanelA(panels[r*k.words(size)+k.words(q)*k.panelRows:][:k.words(count)*k.panelRows], src[r:], ld, min(k.panelRows, m-r), count)
		}
		if part != nil {
			p.sum(k, part, src, ld, i, at+q, count)
		}
	}
}

// sum adds count rows of src, which are the columns from i of A and begin with its row from, to the sums of A along k:
// sumRows of them are added up in part, then to the total, and this in the end to what was there.
func (p *product) sum(k *kernels, part, src []float32, ld, i, from, count int) {
	if from%sumRows == 0 {
		clear(part)
	}
	for r := range count {
		k.simd.Add(part, src[r*ld:][:len(part)])
	}
	to := from + count
	if to%sumRows == 0 || to == p.k {
		k.simd.Add(p.totals[i:][:len(part)], part)
	}
	if to == p.k {
		k.simd.Add(p.sums[i:][:len(part)], p.totals[i:][:len(part)])
	}
}

// finish applies the operations that follow the product to columns from…to of m rows from i.
func (p *product) finish(k *kernels, i, m, from, to int) {
	bias := p.bias
	if !k.rounds() {
		bias = nil // Gemm has added it
	}
	if bias == nil && p.y == nil && p.pre == nil {
		return
	}
	for r := i; r < i+m; r++ {
		begin, end := r*p.ldc+from, r*p.ldc+to
		c := p.c[begin:end]
		if bias != nil {
			k.simd.Add(c, bias[from:to])
		}
		if p.y != nil {
			k.simd.Activate(p.f, p.y[begin:end], c)
		}
		if p.pre != nil {
			k.simd.ActivateBackward(p.f, c, c, p.pre[begin:end])
		}
	}
}

// Linear is y = f(x·Wᵀ + bias).
func (d *Device) Linear(op *compute.Linear) {
	w := op.W
	xs, ys := strideOf(op.XStride, w.In, "Linear.XStride"), strideOf(op.YStride, w.Out, "Linear.YStride")
	p := product{
		m: op.Rows, n: w.Out, k: w.In,
		a: source(op.X, op.Rows*xs, "Linear.X"), lda: xs,
		ldb: w.In, bTurned: true,
		bias: optional(op.Bias, w.Out, "Linear.Bias"),
		f:    activation(op.F),
		c:    target(op.Y, op.Rows*ys, "Linear.Y"), ldc: ys,
	}
	if packed := d.weightPanels(w); packed != nil {
		p.panels = packed.panels
		switch {
		case packed.precision == compute.Int8:
			p.with, p.scales, p.inputScales = d.int8, packed.scales, packed.inputScales
		case packed.precision != d.k.precision:
			p.with = d.half
		}
	} else {
		p.b = source(w.Weight, w.Out*w.In, "Linear.W")
	}
	if pre := optionalTarget(op.Pre, op.Rows*ys, "Linear.Pre"); pre != nil {
		p.c, p.y = pre, p.c
	} else if op.F != compute.Identity {
		p.y = p.c
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.with != nil && p.with == d.int8 {
		d.quantizeLeft(&p)
	}
	d.product = p
	d.multiply()
}

// LinearInputGrad is dx = (dy·W)∘f'(pre), or dx += dy·W.
func (d *Device) LinearInputGrad(op *compute.LinearInputGrad) {
	w := op.W
	dys, dxs := strideOf(op.DYStride, w.Out, "LinearInputGrad.DYStride"), strideOf(op.DXStride, w.In, "LinearInputGrad.DXStride")
	p := product{
		m: op.Rows, n: w.In, k: w.Out,
		a: source(op.DY, op.Rows*dys, "LinearInputGrad.DY"), lda: dys,
		b: source(w.Weight, w.Out*w.In, "LinearInputGrad.W"), ldb: w.In,
		c: target(op.DX, op.Rows*dxs, "LinearInputGrad.DX"), ldc: dxs, add: op.Add,
		f: activation(op.F),
	}
	if op.F != compute.Identity {
		if op.Add {
			panic("cpu: LinearInputGrad adds to DX only without an activation")
		}
		p.pre = source(op.Pre, op.Rows*dxs, "LinearInputGrad.Pre")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.product = p
	d.multiply()
}

// LinearWeightGrad is dW += dyᵀ·x and dbias += the column sums of dy.
func (d *Device) LinearWeightGrad(op *compute.LinearWeightGrad) {
	dys, xs := strideOf(op.DYStride, op.Out, "LinearWeightGrad.DYStride"), strideOf(op.XStride, op.In, "LinearWeightGrad.XStride")
	p := product{
		m: op.Out, n: op.In, k: op.Rows,
		a: source(op.DY, op.Rows*dys, "LinearWeightGrad.DY"), lda: dys, aTurned: true,
		b: source(op.X, op.Rows*xs, "LinearWeightGrad.X"), ldb: xs,
		c: target(op.DW, op.Out*op.In, "LinearWeightGrad.DW"), ldc: op.In, add: true,
		sums: optionalTarget(op.DBias, op.Out, "LinearWeightGrad.DBias"),
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.product = p
	d.multiply()
}
