package cpu

import (
	"fmt"
	"slices"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/simd"
)

// Legend: n tokens of a sequence, D head size, A heads, H = A·D.

// attentionJob is one head of one sequence, or some of its queries.
type attentionJob struct {
	first, n int // the tokens of the sequence
	head     int
	row      int // of the result, that of the first query
	from, to int // the queries, counted within the sequence
	probs    int // where the probabilities of the head begin
}

// tileRows is the most queries whose scores, a row of n each, are held at a time.
const tileRows = 84

// tileOf is how many queries of a sequence of n make a tile: tileRows, or less so that all tiles are alike. It does not
// depend on how the work is shared, since the gradients of keys and values are added up tile by tile.
func tileOf(n, mr int) int {
	return roundUp(ceil(n, max(1, ceil(n, tileRows))), mr)
}

// scoreStride is the distance of two rows of scores of n tokens.
func scoreStride(n, nr int) int {
	ld := roundUp(n, nr)
	if crowded(ld) {
		ld += pad
	}
	return ld
}

// attentionJobs appends the jobs of a batch to jobs, those of the longest sequences first, so that no long one starts
// last. The queries of a head are divided into that many parts, each a multiple of tile; with firstOnly there is one.
func attentionJobs(jobs []attentionJob, starts []int, heads, parts, tile int, firstOnly bool) []attentionJob {
	probs := 0
	for b := range len(starts) - 1 {
		first, n := starts[b], starts[b+1]-starts[b]
		queries, row := n, first
		if firstOnly {
			queries, row = 1, b
		}
		run := max(1, roundUp(ceil(queries, parts), tile))
		for h := range heads {
			for from := 0; from < queries; from += run {
				jobs = append(jobs, attentionJob{first, n, h, row, from, min(from+run, queries), probs})
			}
			probs += n * n
		}
	}
	slices.SortStableFunc(jobs, func(a, b attentionJob) int { return b.n - a.n })
	return jobs
}

// attentionCost estimates one product of each head's scores, and how many probabilities there are.
func attentionCost(starts []int, heads, size int, firstOnly bool) (cost, probs int) {
	for b := range len(starts) - 1 {
		n := starts[b+1] - starts[b]
		queries := n
		if firstOnly {
			queries = 1
		}
		probs += heads * queries * n
	}
	return probs*size/productRate + probs/expRate, probs
}

// attentionRows is the number of queries: the tokens, or the sequences, which then have a token each at least.
func attentionRows(starts []int, firstOnly bool) int {
	sequences := len(starts) - 1
	if !firstOnly {
		return starts[sequences]
	}
	for b := range sequences {
		if starts[b] == starts[b+1] {
			panic(fmt.Sprintf("cpu: sequence %d has no first token", b))
		}
	}
	return sequences
}

// attentionTask is the forward pass. A job packs the keys and the values of its head; then, a tile of queries at a time,
// it takes their scores, the softmax of each row, and the product with the values.
type attentionTask struct {
	with                     *kernels // of its products
	coarse                   bool     // the softmax is as exact as rounded operands need: ExpRows16; but not that of probs
	heads, size              int
	qkv, context, lse, probs []float32 // context may be nil if there is operand
	operand                  []float32
	scale                    float32
	drop                     simd.Drop
	jobs                     []attentionJob
}

// headRows is the rows of a head of a sequence, ld apart.
type headRows struct {
	queries, keys, values []float32
	ld                    int
}

func (t *attentionTask) do(w *worker, index int) {
	job := &t.jobs[index]
	hidden := t.heads * t.size
	rows := t.qkv[job.first*3*hidden+job.head*t.size:]
	t.head(w, job, headRows{rows, rows[hidden:], rows[2*hidden:], 3 * hidden})
}

// head does a job, given the rows of its head.
func (t *attentionTask) head(w *worker, job *attentionJob, in headRows) {
	if t.with.rounds() {
		t.roundedHead(w, job, in)
		if t.coarse && t.probs != nil {
			t.probabilities(w, job, in)
		}
		return
	}
	k, nr := t.with, t.with.panelCols
	n, size, hidden := job.n, t.size, t.heads*t.size
	tile, ld := min(tileOf(n, k.panelRows), job.to-job.from), scoreStride(n, nr)

	keys, values := packedRows(w, in.keys, in.ld, n, size), packedColumns(w, in.values, in.ld, n, size)
	queries, scores := w.floats(tile*size), w.floats(tile*ld)
	lse := w.floats(tile)
	for from := job.from; from < job.to; from += tile {
		m := min(tile, job.to-from)
		k.packRows(queries, size, in.queries[from*in.ld:], in.ld, m, size)
		times(k, m, n, size, queries, size, keys, scores, ld)
		t.softmax(job, from, m, scores, ld, lse)
		times(k, m, size, n, scores, ld, values, t.context[(job.row+from)*hidden+job.head*size:], hidden)
	}
}

// roundedHead is head of products of bfloat16, whose operands have room for whole tiles (simd.Kernels.GemmRoom16).
func (t *attentionTask) roundedHead(w *worker, job *attentionJob, in headRows) {
	k := t.with
	n, size, hidden := job.n, t.size, t.heads*t.size
	tile := min(tileOf(n, k.panelRows), job.to-job.from)
	high, wide, across := roundUp(tile, k.panelRows), roundUp(n, k.panelCols), roundUp(size, k.panelCols)
	ld, ldw := spread(wide), spread(k.room(n))

	keys, values := k.roomRows(w, in.keys, in.ld, n, size), k.roomColumns(w, in.values, in.ld, n, size)
	queries, scores := w.floats(high*k.room(size)), w.floats(high*ld)
	weights, results := w.floats(high*ldw), w.floats(high*across)
	k.clearRoom(queries, k.room(size), tile, size)
	k.clearRoom(weights, ldw, tile, n)
	statistics := w.floats(tile) // of rows: logarithms of sums, or what their weights are to be multiplied by

	for from := job.from; from < job.to; from += tile {
		m := min(tile, job.to-from)
		k.packRows(queries, k.room(size), in.queries[from*in.ld:], in.ld, m, size)
		k.simd.GemmRoom16(m, n, k.words(size), asWords(queries), k.room(size), asWords(keys), scores, ld)
		var scale []float32
		if t.coarse {
			scale = statistics[:m]
			k.simd.ExpRows16(asWords(weights), ldw, scores, ld, m, n, t.scale, scale)
		} else {
			t.softmax(job, from, m, scores, ld, statistics)
			k.packRows(weights, ldw, scores, ld, m, n)
		}
		k.simd.GemmRoom16(m, size, k.words(n), asWords(weights), ldw, asWords(values), results, across)
		if t.context != nil {
			context := t.context[(job.row+from)*hidden+job.head*size:]
			if t.coarse {
				k.simd.ScaleRows(context, hidden, results, across, m, size, scale)
			} else {
				for i := range m {
					copy(context[i*hidden:][:size], results[i*across:])
				}
			}
		}
		if t.operand != nil {
			ldo := k.operandSize(hidden)
			k.simd.RoundRows(asWords(t.operand[(job.row+from)*ldo+k.words(job.head*size):]), ldo, results, across, m, size, scale)
		}
	}
}

// probabilities computes those of a job once more where its context is coarse: from products of the device's precision, and exactly. So the
// context has the same bits whether or not they are asked for.
func (t *attentionTask) probabilities(w *worker, job *attentionJob, in headRows) {
	k, n, size := w.k, job.n, t.size
	tile, ld := min(tileOf(n, k.panelRows), job.to-job.from), scoreStride(n, k.panelCols)
	keys := packedRows(w, in.keys, in.ld, n, size)
	queries, scores := w.floats(tile*k.words(size)), w.floats(tile*ld)
	for from := job.from; from < job.to; from += tile {
		m := min(tile, job.to-from)
		k.packRows(queries, k.words(size), in.queries[from*in.ld:], in.ld, m, size)
		times(k, m, n, size, queries, k.words(size), keys, scores, ld)
		t.softmax(job, from, m, scores, ld, nil)
	}
}

// softmax takes the scores of m queries of a job, the first of which is from, to probabilities, of which it leaves what is asked for,
// and drops some. lse is memory for m numbers.
func (t *attentionTask) softmax(job *attentionJob, from, m int, scores []float32, ld int, lse []float32) {
	k, n := t.with, job.n
	if t.lse == nil {
		lse = nil // saves the logarithms
	} else {
		lse = lse[:m]
	}
	k.simd.SoftmaxRows(scores, ld, m, n, t.scale, lse)
	for i := range m {
		row := scores[i*ld:][:n]
		at := (job.row+from+i)*t.heads + job.head
		if t.lse != nil {
			t.lse[at] = lse[i]
		}
		if t.probs != nil {
			copy(t.probs[job.probs+(from+i)*n:][:n], row)
		}
		if t.drop.Threshold != 0 {
			k.simd.Dropout(row, row, t.drop, uint64(at))
		}
	}
}

// packedRows is the n rows of src, of size elements, as the B of a product with their transpose.
func packedRows(w *worker, src []float32, ld, n, size int) []float32 {
	nr, words := w.k.panelCols, w.k.words(size)
	dst := w.floats(roundUp(n, nr) * words)
	for j := 0; j < n; j += nr {
		w.k.packPanelBT(dst[j*words:][:nr*words], src[j*ld:], ld, min(nr, n-j), size)
	}
	return dst
}

// packedColumns is the n rows of src, of size elements, as the B of a product.
func packedColumns(w *worker, src []float32, ld, n, size int) []float32 {
	dst := w.floats(roundUp(size, w.k.panelCols) * w.k.words(n))
	packColumns(w.k, dst, src, ld, n, size)
	return dst
}

func packColumns(k *kernels, dst, src []float32, ld, n, size int) {
	nr, words := k.panelCols, k.words(n)
	for j := 0; j < size; j += nr {
		k.packPanelB(dst[j*words:][:words*nr], src[j:], ld, min(nr, size-j), n)
	}
}

// times is C[m, n] = A[m, size]·B, of the rows of A, in words lda apart, and the panels of B.
func times(k *kernels, m, n, size int, a []float32, lda int, panels, c []float32, ldc int) {
	words := k.words(size)
	for j := 0; j < n; j += k.panelCols {
		k.mulInPlace(m, min(k.panelCols, n-j), words, a, lda, panels[j*words:][:k.panelCols*words], c[j:], ldc, false, nil, nil)
	}
}

// scratchRows is memory for rows of A that are not used in place.
type scratchRows struct {
	words []float32
	ld    int
}

// roundedRows is memory for m rows of scores of n tokens where they are to be rounded, else none.
func roundedRows(w *worker, m, n int) scratchRows {
	if !w.k.rounds() {
		return scratchRows{}
	}
	ld := scoreStride(w.k.words(n), w.k.panelCols)
	return scratchRows{w.floats(m * ld), ld}
}

// row is that of a number.
func (r scratchRows) row(i int) []float32 { return r.words[i*r.ld:][:r.ld] }

// Attention is multi-head self-attention inside each sequence.
func (d *Device) Attention(op *compute.Attention) {
	tokens := checkStarts(op.Starts)
	hidden := op.Heads * op.HeadSize
	cost, probs := attentionCost(op.Starts, op.Heads, op.HeadSize, op.FirstOnly)
	rows := attentionRows(op.Starts, op.FirstOnly)
	if op.FirstOnly && !op.Probs.None() {
		panic("cpu: Attention.Probs with FirstOnly")
	}
	if op.Context.None() && op.Operand.None() && rows > 0 {
		panic("cpu: Attention without Context or Operand")
	}
	t := attentionTask{
		heads: op.Heads, size: op.HeadSize,
		context: optionalTarget(op.Context, rows*hidden, "Attention.Context"),
		operand: d.operandTarget(op.Operand, rows, hidden, "Attention.Operand"),
		lse:     optionalTarget(op.LSE, rows*op.Heads, "Attention.LSE"),
		probs:   optionalTarget(op.Probs, probs, "Attention.Probs"),
		scale:   scoreScale(op.HeadSize),
		drop:    dropOf(op.Drop),
		with:    d.k,
	}
	if t.lse == nil && t.drop.Threshold == 0 {
		if d.half != nil {
			t.with = d.half
		}
		t.coarse = t.with.rounds()
	}
	var p product
	if op.Product == nil {
		t.qkv = source(op.QKV, tokens*3*hidden, "Attention.QKV")
	} else {
		p = d.queriesKeysValues(op.Product, tokens, 3*hidden, op.QKV)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	operand := t.operand
	if operand != nil && op.HeadSize%d.k.perWord != 0 { // a word has elements of two heads
		if t.operand = nil; t.context == nil {
			d.hidden = grow(d.hidden, rows*hidden)
			t.context = d.hidden[:rows*hidden]
		}
	}
	if op.Product == nil || !d.attend(&p, t, op) {
		if op.Product != nil {
			t.qkv = p.c
		}
		d.attendHeads(t, op, 2*cost)
	}
	if operand != nil && t.operand == nil {
		for r := range rows {
			d.k.leave(operand, r, t.context[r*hidden:][:hidden])
		}
	}
}

// attendHeads runs an attention task by heads. The caller holds the lock.
func (d *Device) attendHeads(t attentionTask, op *compute.Attention, cost int) {
	parts := 1
	if threads := d.Threads(); threads > 1 {
		const jobsEach = 4 // for a worker: enough for all to end at about the same time
		parts = ceil(jobsEach*threads, op.Heads*max(1, len(op.Starts)-1))
	}
	d.jobs = attentionJobs(d.jobs[:0], op.Starts, op.Heads, parts, roundUp(tileRows/2, t.with.panelRows), op.FirstOnly)
	t.jobs = d.jobs
	d.attention = t
	d.run(&d.attention, len(t.jobs), cost)
	d.attention = attentionTask{}
}
