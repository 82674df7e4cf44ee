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
	words   bool // a is rounded already: rows of words, which lda counts

	b       []float32 // [k, n], rows ldb apart; or [n, k]; not used if panels are there
	ldb     int
	bTurned bool // b is [n, k]
	bWords  bool // b, [k, n], is rounded already: rows of words, which ldb counts
	panels  []float32

	c   []float32 // [m, n], rows ldc apart
	ldc int
	add bool // C += instead of =

	bias []float32 // [n]: C += bias, unless a is [k, m]

	// After the last step: y = f(C), or C = C∘f'(pre).
	f        simd.Activation
	y, pre   []float32 // [m, n], rows of y ldy apart, of pre ldp
	ldy, ldp int
	// out is what comes after the last step, rounded, in rows of words ldo apart. Then there is no y, and C may be nil.
	out []float32
	ldo int
	// With out and pre: again is f(pre), rounded, in rows as those of out, and colSums are the sums of each sumRows rows of C, a row of n
	// for each, to which the rows are added in their order. Both may be nil.
	again, colSums []float32

	norm *normTask // of C, which then may be nil; or nil
	row  int       // of norm, that of the first of C

	sums   []float32 // [m]: += the sums of A along k, if a is [k, m]
	totals []float32 // [m]: of the slices so far

	with   *kernels
	then   []float32    // the panel that is multiplied after the last; nil: the first again
	scales simd.Scaling // of a product of int8, of all of C: Bias is in bias

	// quantized says that of a product of int8 nothing is wanted but y, which is quantized next. tops are the bits of the largest
	// magnitudes of its rows so far, or nil.
	quantized bool
	tops      []uint32 // [m]

	largest     []uint32  // [m]: the bits of the largest magnitudes of A's rows, where they are known before it is quantized, or nil
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
	// rowsAhead is how many rows ahead parts of rows are asked for.
	rowsAhead = 4
	// sumRows is how many rows are added up before the sum is added to the total: a multiple of turnRows that divides every step.
	sumRows = 128
)

// depth is the step along k in elements.
func (k *kernels) depth() int { return k.depthWords * k.perWord }

// crowded reports whether rows ld apart fall into the same sets of the first cache: their distance is a multiple of 4,096
// bytes.
func crowded(ld int) bool { return ld%1024 == 0 }

// turnCrowded is crowded for turnRows rows, of which each has several lines in use.
func turnCrowded(ld int) bool { return ld%512 == 0 }

// spread is the distance of rows of that width that fall into as many different sets of the caches as there are: an odd number of lines.
func spread(width int) int { return ceil(width, lineFloats)/2*2*lineFloats + lineFloats }

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

// inBlocks reports whether each worker has rows enough to read all of B for them alone.
func (d *Device) inBlocks(p *product) bool { return p.m >= d.Threads()*d.k.at.FeedRows }

// multiply computes d.product and clears it.
func (d *Device) multiply() {
	p := &d.product
	if p.with.mulBytes != nil {
		d.quantizeLeft(p)
	}
	sliceN, sliceK := p.slice()
	norm := p.norm
	if norm != nil && !(d.inBlocks(p) && sliceN == p.n && sliceK == p.k) {
		p.norm = nil // no job has whole rows
		if p.c == nil {
			d.results = grow(d.results, p.m*p.n)
			p.c, p.ldc = d.results, p.n
		}
		norm.x = p.c
	}
	after := norm != nil && p.norm == nil
	if p.sums != nil {
		d.partials = grow(d.partials, p.m)
		p.totals = d.partials[:p.m]
		clear(p.totals)
	}
	if p.m > 0 && p.n > 0 && (p.k > 0 || !p.add) {
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
	switch {
	case after:
		d.runNorm()
	case norm != nil:
		d.norm = normTask{}
	}
}

// slice is how many columns and rows of B are packed at a time.
func (p *product) slice() (n, k int) {
	with := p.with
	nr, most := with.panelCols, with.at.SliceWords
	wide := roundUp(p.n, nr)
	if p.panels != nil || wide*with.words(p.k) <= most {
		return p.n, p.k
	}
	if p.out != nil { // only whole sums can be rounded
		return max(nr, most/with.words(p.k)/nr*nr), p.k
	}
	if k = most / wide / with.depthWords * with.depth(); k > 0 {
		return p.n, k
	}
	k = min(p.k, 4*with.depth())
	return most / with.words(k) / nr * nr, k
}

func (d *Device) multiplySlice(p *product) {
	nr := p.with.panelCols
	n, k := p.n1-p.n0, p.k1-p.k0
	wide := roundUp(n, nr)
	given := p.panels != nil
	if !given {
		d.packed = grow(d.packed, wide*d.k.words(k))
		d.packSlice(p, d.packed)
	}
	threads := d.Threads()
	cost := p.m * wide * k / productRate
	if cost < d.k.at.Grain {
		threads = 1
	}
	stripes := 8 * threads
	if p.norm != nil {
		stripes = 1
	}
	p.cut(threads, p.with.blockRows, stripes)
	if p.colSums != nil {
		p.cutSums(threads)
	}
	d.run(p, p.blocks*p.stripes, cost)
	if !given {
		p.panels = nil
	}
}

// packSlice packs the slice of b at hand to panels.
func (d *Device) packSlice(p *product, panels []float32) {
	n, k := p.n1-p.n0, p.k1-p.k0
	at := p.k0*p.ldb + p.n0
	switch {
	case p.bTurned:
		at = p.n0*p.ldb + p.k0
	case p.bWords:
		at = p.k0*p.ldb + p.with.words(p.n0)
	}
	p.panels = panels
	d.pack = packTask{dst: panels, src: p.b[at:], ld: p.ldb, transposed: p.bTurned, words: p.bWords, n: n, k: k}
	d.run(&d.pack, d.pack.jobs(d.k.panelCols), n*k/packRate)
	d.pack = packTask{}
}

// cut chooses the blocks, of at most so many rows, and at most so many stripes of a slice with which all workers are expected to
// finish first. Costs are in elements of C: a job costs its own elements, copyCols for each row of A that is copied, and jobCost;
// and when all others have finished, part of one job may still remain.
func (p *product) cut(threads, maxRows, maxStripes int) {
	const copyCols, jobCost, tail = 16, 256, 4
	k := p.with
	panels := ceil(p.n1-p.n0, k.panelCols)
	copying := 0
	if p.copied(k) {
		copying = copyCols
	}
	maxStripes = min(panels, maxStripes)
	if threads == 1 {
		maxStripes = 1
	}
	least := ceil(p.m, maxRows)
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

// cutSums makes blocks of whole runs of rows whose columns are added up together.
func (p *product) cutSums(threads int) {
	panels := ceil(p.n1-p.n0, p.with.panelCols)
	p.rows = 2 * sumRows
	p.blocks = ceil(p.m, p.rows)
	p.cols = ceil(panels, min(panels, ceil(4*threads, p.blocks))) * p.with.panelCols
	p.stripes = ceil(p.n1-p.n0, p.cols)
}

// copied reports whether a is to be copied: to be turned, rounded, or for its stride.
func (p *product) copied(k *kernels) bool {
	return p.aTurned || !p.words && (k.rounds() || p.m > 1 && crowded(p.lda))
}

func (p *product) do(w *worker, job int) {
	i, from := job/p.stripes*p.rows, p.n0+job%p.stripes*p.cols
	p.block(w, i, min(p.rows, p.m-i), from, min(from+p.cols, p.n1))
}

// panel is that of column j, from element at on.
func (p *product) panel(j, at int) []float32 {
	return p.panels[(j-p.n0)*p.with.words(p.k1-p.k0)+p.with.words(at-p.k0)*p.with.panelCols:]
}

// following is the first panel that is multiplied after those of columns up to to.
func (p *product) following(to int) []float32 {
	switch {
	case to < p.n1:
		return p.panel(to, p.k0)
	case p.then != nil:
		return p.then
	}
	return p.panel(p.n0, p.k0)
}

// block computes columns from…to of m rows from i, and what follows.
func (p *product) block(w *worker, i, m, from, to int) {
	switch {
	case p.out != nil:
		p.roundedBlock(w, i, m, from, to)
	case p.norm == nil:
		p.floatBlock(w, i, m, from, to)
	case p.c != nil:
		p.floatBlock(w, i, m, from, to)
		p.norm.block(w.k, p.row+i, m, p.c[i*p.ldc:], p.ldc)
	default:
		q := p.part(i, m)
		q.ldc = spread(p.n)
		q.c = w.floats(m * q.ldc)
		q.floatBlock(w, 0, m, from, to)
		p.norm.block(w.k, q.row, m, q.c, q.ldc)
	}
}

// floatBlock is block where the result is not rounded, without the Norm that may follow.
func (p *product) floatBlock(w *worker, i, m, from, to int) {
	k, nr := p.with, p.with.panelCols
	high := roundUp(m, k.panelRows)
	var scratch, rows, part []float32
	if p.copied(k) {
		scratch = w.floats(high * (k.words(min(p.stride(), p.k)) + pad))
	}
	if p.aTurned {
		rows = w.floats(turnRows * (m + pad))
		if p.sums != nil && from == 0 { // of the jobs of these rows the first adds them up
			part = w.floats(m)
		}
	}
	following := p.following(to)
	chunk := p.chunk(to - from)
	var sums []float32
	lds := spread(min(chunk, to-from))
	if p.apart() {
		sums = w.floats(m * lds)
	}
	for first := from; first < to; first += chunk {
		last := min(first+chunk, to)
		for at := p.k0; ; at += p.stride() {
			end := min(at+p.stride(), p.k1)
			a, lda := scratch, 0
			if p.aTurned {
				for q := at; q < end; q += k.depth() {
					p.turn(k, scratch[high*k.words(q-at):], rows, part, i, m, q, min(k.depth(), end-q))
				}
			} else {
				a, lda = p.left(k, scratch, i, m, at, end-at)
			}
			for j := first; j < last; {
				begin, finish := j, min(j+k.finishCols(), last)
				for ; j < finish; j += nr {
					n := min(nr, finish-j)
					c, ldc := p.c[i*p.ldc+j:], p.ldc
					if sums != nil {
						c, ldc = sums[j-first:], lds
					}
					for q := at; ; q += k.depth() {
						size := min(k.depth(), end-q)
						words := k.words(size)
						b := p.panel(j, q)[:words*nr]
						next := following
						switch {
						case q+size < end:
							next = p.panel(j, q+size)
						case j+nr < last:
							next = p.panel(j+nr, at)
						case end < p.k1:
							next = p.panel(first, end)
						case last < to:
							next = p.panel(last, p.k0)
						}
						add := p.add || q > 0
						switch {
						case k.mulBytes != nil:
							var s simd.Scaling
							if q+size == p.k && !p.quantized {
								s = p.scaling(i, j, m, n)
							}
							k.mulBytes(m, n, words, a[q-at:], lda, b, c, ldc, add, next, s)
						case p.aTurned:
							k.mulPacked(m, n, words, a[high*k.words(q-at):], b, c, ldc, add, next)
						default:
							k.mulInPlace(m, n, words, a[k.words(q-at):], lda, b, c, ldc, add, next, p.biasOf(j, n, q, size))
						}
						if q+size == end {
							break
						}
					}
				}
				if end == p.k {
					for r := 0; r < m && sums != nil; r++ {
						copy(p.c[(i+r)*p.ldc+begin:(i+r)*p.ldc+finish], sums[r*lds+begin-first:])
					}
					p.finish(k, i, m, begin, finish)
				}
			}
			if end == p.k1 {
				break
			}
		}
	}
}

// stride is how far along k all columns at hand are taken before any goes on, in elements: a step, or in tiles, whose steps are short,
// several of which A is copied for, so that the copy is as large as a block of float32.
func (p *product) stride() int {
	k := p.with
	if k.tiles && p.copied(k) {
		return max(1, k.at.Depth*k.at.BlockRows/k.blockRows/k.depthWords) * k.depth()
	}
	return k.depth()
}

// apart reports whether the sums of a chunk are kept beside C until they are whole: where they are taken up again in each of several short
// steps, and the rows of C share few sets of the caches.
func (p *product) apart() bool {
	k := p.with
	whole := p.k0 == 0 && p.k1 == p.k
	return k.tiles && !p.aTurned && !p.copied(k) && !p.add && !p.quantized && whole && p.k > k.depth() && p.ldc%(2*lineFloats) == 0
}

// chunk is how many of a block's columns are taken through all steps along k before the next. Where A is copied for each step, and where
// a step is as long as that of float32, it is all of them; in tiles, whose steps are short, as many as keep the sums of the block
// in the second cache between two steps, and more where A itself is larger.
func (p *product) chunk(cols int) int {
	k := p.with
	if !k.tiles || p.copied(k) {
		return cols
	}
	return k.finishCols() * max(1, ceil(p.k1-p.k0, k.depth())/2)
}

// biasOf is the bias of n columns from j in the step that takes it, of size elements from at, and nil in the others.
func (p *product) biasOf(j, n, at, size int) []float32 {
	takes := at+size == p.k
	if p.with.rounds() {
		takes = at == 0
	}
	if p.bias == nil || !takes {
		return nil
	}
	return p.bias[j:][:n]
}

// roundedBlock is block where the result is rounded. It completes a run of columns before the next, so that sums need no more
// memory than fits in the cache.
func (p *product) roundedBlock(w *worker, i, m, from, to int) {
	k, nr, run := p.with, p.with.panelCols, p.with.finishCols()
	a, lda := p.a[i*p.lda:], p.lda
	if !p.words {
		lda = k.words(p.k) + pad
		a = w.floats(m * lda)
		k.packRows(a, lda, p.a[i*p.lda:], p.lda, m, p.k)
	}
	sums, ldc := p.c, p.ldc
	if p.c == nil {
		ldc = run + pad
		sums = w.floats(m * ldc)
	}
	following := p.following(to)
	for first := from; first < to; first += run {
		finish := min(first+run, to)
		c := sums
		if p.c != nil {
			c = p.c[i*ldc+first:]
		}
		for at := 0; ; at += k.depth() {
			size := min(k.depth(), p.k-at)
			words := k.words(size)
			for j := first; j < finish; j += nr {
				n := min(nr, finish-j)
				next := following
				switch {
				case j+nr < finish:
					next = p.panel(j+nr, at)
				case at+size < p.k:
					next = p.panel(first, at+size)
				case finish < to:
					next = p.panel(finish, 0)
				}
				k.mulInPlace(m, n, words, a[k.words(at):], lda, p.panel(j, at)[:words*nr], c[j-first:], ldc, at > 0, next, p.biasOf(j, n, at, size))
			}
			if at+size == p.k {
				break
			}
		}
		p.leave(k, c, ldc, i, m, first, finish)
	}
}

// leave writes columns from…to of m rows from i of out, and what else there is to be, given C.
func (p *product) leave(k *kernels, c []float32, ldc, i, m, from, to int) {
	n := to - from
	var sums []float32
	words := k.words(n)
	for r := range m {
		y := c[r*ldc:][:n]
		at := (i+r)*p.ldo + k.words(from)
		if p.pre == nil && p.colSums == nil {
			k.simd.ActivateRound(p.f, asWords(p.out[at:][:words]), y)
			continue
		}
		if ahead := i + r + rowsAhead; ahead < i+m { // these parts of rows are too short, and too far apart, for the processor to see what comes next
			if p.pre != nil {
				k.simd.Prefetch(p.pre[ahead*p.ldp+from:], 0, 1, n)
			}
			k.simd.Prefetch(p.out[ahead*p.ldo+k.words(from):], 0, 1, words)
			if p.again != nil {
				k.simd.Prefetch(p.again[ahead*p.ldo+k.words(from):], 0, 1, words)
			}
		}
		if p.pre != nil {
			pre := p.pre[(i+r)*p.ldp+from:][:n]
			if p.again != nil {
				k.simd.ActivateRound(p.f, asWords(p.again[at:][:words]), pre)
			}
			k.simd.ActivateBackward(p.f, y, y, pre)
		}
		if p.colSums != nil {
			if r%sumRows == 0 {
				sums = p.colSums[(i+r)/sumRows*p.n+from:][:n]
				clear(sums)
			}
			k.simd.Add(sums, y)
		}
		k.packRow(p.out[at:][:words], y)
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
	if p.words {
		return p.a[i*p.lda+k.words(at):], p.lda
	}
	if !p.copied(k) {
		return p.a[i*p.lda+at:], p.lda
	}
	lda = k.words(min(p.stride(), p.k)) + pad
	k.packRows(scratch, lda, p.a[i*p.lda+at:], p.lda, m, size)
	return scratch, lda
}

// turn packs the block of m rows from i and size columns from at of A, which is [k, m], into panels, and adds up the
// columns in part meanwhile, unless it is nil. rows is memory for turnRows rows.
func (p *product) turn(k *kernels, panels, rows, part []float32, i, m, at, size int) {
	for q := 0; q < size; q += turnRows {
		count := min(turnRows, size-q)
		if p.words {
			src := p.a[(at+q)*p.lda+k.words(i):]
			for r := 0; r < m; r += k.panelRows {
				k.repackPanelA(panels[r*k.words(size)+k.words(q)*k.panelRows:][:k.words(count)*k.panelRows], src[k.words(r):], p.lda, min(k.panelRows, m-r), count)
			}
			continue
		}
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
	if p.quantized {
		p.finishQuantized(k, i, m, from, to)
		return
	}
	if p.y == nil && p.pre == nil {
		return
	}
	for r := i; r < i+m; r++ {
		begin, end := r*p.ldc+from, r*p.ldc+to
		c := p.c[begin:end]
		if p.y != nil {
			k.simd.Activate(p.f, p.y[r*p.ldy+from:r*p.ldy+to], c)
		}
		if p.pre != nil {
			k.simd.ActivateBackward(p.f, c, c, p.pre[r*p.ldp+from:r*p.ldp+to])
		}
	}
}

// finishQuantized is finish where sums of integers are left and y is quantized next.
func (p *product) finishQuantized(k *kernels, i, m, from, to int) {
	s := p.scaling(i, from, m, to-from)
	for r := range m {
		row := s
		row.Rows = s.Rows[r:]
		top := k.simd.Int8.Activate(p.f, p.y[(i+r)*p.ldy+from:][:to-from], p.c[(i+r)*p.ldc+from:][:to-from], row)
		if p.tops != nil {
			p.tops[i+r] = max(p.tops[i+r], top)
		}
	}
}

// part is the product of m rows from i.
func (p *product) part(i, m int) product {
	q := *p
	q.m = m
	from := func(s []float32, ld int) []float32 {
		if s == nil {
			return nil
		}
		return s[i*ld:]
	}
	q.a, q.c, q.pre, q.y, q.out = from(p.a, p.lda), from(p.c, p.ldc), from(p.pre, p.ldp), from(p.y, p.ldy), from(p.out, p.ldo)
	q.scales.Rows = from(p.scales.Rows, 1)
	q.row += i
	return q
}

// columns is the part of a whole product that gives n columns from a panel's first on.
func (p *product) columns(from, n int) product {
	q := *p
	q.n, q.n1, q.panels = n, n, p.panel(from, 0)
	if p.bias != nil {
		q.bias = p.bias[from:][:n]
	}
	if p.scales.Columns != nil {
		q.scales.Columns, q.scales.Offsets = p.scales.Columns[from:][:n], p.scales.Offsets[from:][:n]
	}
	return q
}

// take makes A words of the worker's: rounded once where each of several products of its columns would round it, and a copy where
// what follows is written to its rows.
func (p *product) take(w *worker, overwritten bool) {
	k := p.with
	if !k.rounds() || p.words && !overwritten {
		return
	}
	words := k.words(p.k)
	lda := spread(words)
	a := w.floats(p.m * lda)
	if p.words {
		for i := range p.m {
			copy(a[i*lda:][:words], p.a[i*p.lda:])
		}
	} else {
		k.packRows(a, lda, p.a, p.lda, p.m, p.k)
	}
	p.a, p.lda, p.words = a, lda, true
}

// right sets the right operand of a product to Wᵀ.
func (d *Device) right(p *product, w compute.Matrix, what string) {
	p.with, p.ldb, p.bTurned = d.k, w.In, true
	packed := d.weightPanels(w)
	if packed == nil {
		p.b = source(w.Weight, w.Out*w.In, what)
		return
	}
	p.panels = packed.panels
	switch {
	case packed.precision == compute.Int8:
		p.with, p.scales, p.inputScales = d.int8, packed.scales, packed.inputScales
	case packed.precision != d.k.precision:
		p.with = d.half
	}
}

// left sets the left operand of a product to x, or to what an operation has made of it; what names either in a panic.
func (d *Device) left(p *product, x compute.Buffer, stride int, operand compute.Buffer, what string) {
	if a := d.operand(operand, p.m, p.k, what); a != nil {
		p.a, p.lda, p.words = a, d.OperandSize(p.k), true
		return
	}
	p.lda = strideOf(stride, p.k, what)
	p.a = source(x, p.m*p.lda, what)
}

// Linear is y = f(x·Wᵀ + bias).
func (d *Device) Linear(op *compute.Linear) {
	w := op.W
	ys := strideOf(op.YStride, w.Out, "Linear.YStride")
	if op.Norm != nil && (ys != w.Out || op.F != compute.Identity) {
		panic("cpu: Linear with a Norm has no stride and no activation")
	}
	p := product{
		m: op.Rows, n: w.Out, k: w.In,
		bias: optional(op.Bias, w.Out, "Linear.Bias"),
		f:    activation(op.F),
		ldc:  ys, ldy: ys,
	}
	if op.Norm == nil || !op.Y.None() {
		p.c = target(op.Y, op.Rows*ys, "Linear.Y")
	}
	norm := d.following(op.Norm, op.Rows, w.Out, p.c)
	d.left(&p, op.X, op.XStride, op.Operand, "Linear.X")
	d.right(&p, w, "Linear.W")
	if pre := optionalTarget(op.Pre, op.Rows*ys, "Linear.Pre"); pre != nil {
		p.c, p.y = pre, p.c
	} else if op.F != compute.Identity {
		p.y = p.c
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.follow(&p, norm, op.Norm)
	d.product = p
	d.multiply()
}

// LinearInputGrad is dx = (dy·W)∘f'(pre), or dx += dy·W.
func (d *Device) LinearInputGrad(op *compute.LinearInputGrad) {
	w := op.W
	dxs := strideOf(op.DXStride, w.In, "LinearInputGrad.DXStride")
	p := product{
		m: op.Rows, n: w.In, k: w.Out,
		b: source(w.Weight, w.Out*w.In, "LinearInputGrad.W"), ldb: w.In,
		c: optionalTarget(op.DX, op.Rows*dxs, "LinearInputGrad.DX"), ldc: dxs, ldp: dxs, add: op.Add,
		f: activation(op.F), with: d.k,
		out: d.operandTarget(op.DXOperand, op.Rows, w.In, "LinearInputGrad.DXOperand"), ldo: d.OperandSize(w.In),
		again: d.operandTarget(op.Y, op.Rows, w.In, "LinearInputGrad.Y"),
	}
	d.left(&p, op.DY, op.DYStride, op.Operand, "LinearInputGrad.DY")
	if op.F != compute.Identity {
		p.pre = source(op.Pre, op.Rows*dxs, "LinearInputGrad.Pre")
	}
	dbias := optionalTarget(op.DBias, w.In, "LinearInputGrad.DBias")
	switch {
	case op.Add && (p.pre != nil || p.out != nil):
		panic("cpu: LinearInputGrad adds to DX only, and without an activation")
	case p.again != nil && (p.pre == nil || p.out == nil):
		panic("cpu: LinearInputGrad.Y without an activation or without a DXOperand")
	case dbias != nil && p.out == nil:
		panic("cpu: LinearInputGrad.DBias without a DXOperand")
	case p.c == nil && p.out == nil && p.m*p.n > 0:
		misfit("LinearInputGrad.DX", 0, op.Rows*dxs)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	chunks := ceil(p.m, sumRows)
	if dbias != nil {
		d.partials = grow(d.partials, chunks*p.n)
		p.colSums = d.partials[:chunks*p.n]
	}
	d.product = p
	d.multiply()
	if dbias != nil {
		d.addSums(dbias, chunks)
	}
}

// LinearWeightGrad is dW += dyᵀ·x and dbias += the column sums of dy.
func (d *Device) LinearWeightGrad(op *compute.LinearWeightGrad) {
	p := product{
		m: op.Out, n: op.In, k: op.Rows,
		a: d.operand(op.DYOperand, op.Rows, op.Out, "LinearWeightGrad.DYOperand"), lda: d.OperandSize(op.Out), aTurned: true,
		b: d.operand(op.XOperand, op.Rows, op.In, "LinearWeightGrad.XOperand"), ldb: d.OperandSize(op.In),
		c: target(op.DW, op.Out*op.In, "LinearWeightGrad.DW"), ldc: op.In, add: true, with: d.k,
	}
	dys := strideOf(op.DYStride, op.Out, "LinearWeightGrad.DYStride")
	dbias := optionalTarget(op.DBias, op.Out, "LinearWeightGrad.DBias")
	var dy []float32
	if p.words = p.a != nil; !p.words || dbias != nil {
		dy = source(op.DY, op.Rows*dys, "LinearWeightGrad.DY")
	}
	if !p.words {
		p.a, p.lda, p.sums = dy, dys, dbias
	}
	if p.bWords = p.b != nil; !p.bWords {
		p.ldb = strideOf(op.XStride, op.In, "LinearWeightGrad.XStride")
		p.b = source(op.X, op.Rows*p.ldb, "LinearWeightGrad.X")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.product = p
	d.multiply()
	if p.words && dbias != nil {
		d.sumColumns(dbias, dy, dys, op.Rows)
	}
}

// sumsTask adds up the rows of x, [rows, width], by columns: sumRows of them to a row of to. Its jobs are these.
type sumsTask struct {
	to, x           []float32
	rows, width, ld int
}

func (t *sumsTask) do(w *worker, job int) {
	sums := t.to[job*t.width:][:t.width]
	clear(sums)
	for r := job * sumRows; r < min((job+1)*sumRows, t.rows); r++ {
		w.k.simd.Add(sums, t.x[r*t.ld:][:t.width])
	}
}

// sumColumns adds the column sums of x, rows ld apart, to sums, with the bits of a product that adds up its A. The caller holds the lock.
func (d *Device) sumColumns(sums, x []float32, ld, rows int) {
	chunks, width := ceil(rows, sumRows), len(sums)
	d.partials = grow(d.partials, chunks*width)
	d.sumRows = sumsTask{to: d.partials, x: x, rows: rows, width: width, ld: ld}
	d.run(&d.sumRows, chunks, rows*width/rowRate)
	d.sumRows = sumsTask{}
	d.addSums(sums, chunks)
}

// addSums adds so many rows of d.partials to sums, as turn does.
func (d *Device) addSums(sums []float32, chunks int) {
	width := len(sums)
	if chunks == 0 {
		return
	}
	// That the total begins with the first sum and not with zero changes no bit: a sum that began with zero isn't −0.
	total := d.partials[:width]
	for c := 1; c < chunks; c++ {
		d.k.simd.Add(total, d.partials[c*width:][:width])
	}
	d.k.simd.Add(sums, total)
}
