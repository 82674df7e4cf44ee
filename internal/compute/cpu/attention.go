package cpu

import (
	"slices"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/simd"
)

// Legend: n tokens of a sequence, D head size, A heads, H = A·D.

// attentionJob is one head of one sequence, or some of its queries.
type attentionJob struct {
	first, n int // the tokens of the sequence
	head     int
	from, to int // the queries, counted within the sequence
	probs    int // where the probabilities of the head begin
}

// tileRows is the most queries whose scores, a row of n each, are held at a time.
const tileRows = 84

// tileOf is how many queries of a sequence of n make a tile: tileRows, or less so that all tiles are alike. It does not
// depend on who does what, since the gradients of keys and values are added up tile by tile.
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

// attentionJobs appends the jobs of a batch to jobs, those of the longest sequences first, so that no long one is begun
// last. The queries of a head are divided into so many parts, of a multiple of tile.
func attentionJobs(jobs []attentionJob, starts []int, heads, parts, tile int) []attentionJob {
	probs := 0
	for b := range len(starts) - 1 {
		first, n := starts[b], starts[b+1]-starts[b]
		run := max(1, roundUp(ceil(n, parts), tile))
		for h := range heads {
			for from := 0; from < n; from += run {
				jobs = append(jobs, attentionJob{first, n, h, from, min(from+run, n), probs})
			}
			probs += n * n
		}
	}
	slices.SortStableFunc(jobs, func(a, b attentionJob) int { return b.n - a.n })
	return jobs
}

// attentionCost estimates one product of each head's scores, and how many probabilities there are.
func attentionCost(starts []int, heads, size int) (cost, probs int) {
	for b := range len(starts) - 1 {
		n := starts[b+1] - starts[b]
		probs += heads * n * n
	}
	return probs*size/productRate + probs/expRate, probs
}

// attentionTask is the forward pass. A job packs the keys and the values of its head; then, a tile of queries at a time,
// it takes their scores, the softmax of each row, and the product with the values.
type attentionTask struct {
	heads, size              int
	qkv, context, lse, probs []float32
	scale                    float32
	drop                     simd.Drop
	jobs                     []attentionJob
}

func (t *attentionTask) do(w *worker, index int) {
	job := &t.jobs[index]
	k, nr := w.k, w.k.NR
	n, size, hidden := job.n, t.size, t.heads*t.size
	tile, ld := tileOf(n, k.MR), scoreStride(n, nr)

	query := t.qkv[job.first*3*hidden+job.head*size:]
	keys := packedRows(w, query[hidden:], 3*hidden, n, size)
	values := packedColumns(w, query[2*hidden:], 3*hidden, n, size)
	queries, scores := w.floats(tile*size), w.floats(tile*ld)

	for from := job.from; from < job.to; from += tile {
		m := min(tile, job.to-from)
		copyRows(queries, size, query[from*3*hidden:], 3*hidden, m, size)
		times(k, m, n, size, queries, size, keys, scores, ld)
		for i := range m {
			row := scores[i*ld:][:n]
			lse := k.Softmax(row, t.scale)
			at := (job.first+from+i)*t.heads + job.head
			if t.lse != nil {
				t.lse[at] = lse
			}
			if t.probs != nil {
				copy(t.probs[job.probs+(from+i)*n:][:n], row)
			}
			if t.drop.Threshold != 0 {
				k.Dropout(row, row, t.drop, uint64(at))
			}
		}
		times(k, m, size, n, scores, ld, values, t.context[(job.first+from)*hidden+job.head*size:], hidden)
	}
}

// packedRows is the n rows of src, of size elements, as the B of a product with their transpose.
func packedRows(w *worker, src []float32, ld, n, size int) []float32 {
	nr := w.k.NR
	dst := w.floats(roundUp(n, nr) * size)
	for j := 0; j < n; j += nr {
		w.k.PackBT(dst[j*size:][:nr*size], src[j*ld:], ld, min(nr, n-j), size)
	}
	return dst
}

// packedColumns is the n rows of src, of size elements, as the B of a product.
func packedColumns(w *worker, src []float32, ld, n, size int) []float32 {
	dst := w.floats(roundUp(size, w.k.NR) * n)
	packColumns(w.k, dst, src, ld, n, size)
	return dst
}

func packColumns(k *simd.Kernels, dst, src []float32, ld, n, size int) {
	nr := k.NR
	for j := 0; j < size; j += nr {
		k.PackB(dst[j*n:][:n*nr], src[j:], ld, min(nr, size-j), n)
	}
}

// times is C[m, n] = A[m, size]·B, of the panels of B.
func times(k *simd.Kernels, m, n, size int, a []float32, lda int, panels, c []float32, ldc int) {
	for j := 0; j < n; j += k.NR {
		k.Gemm(m, min(k.NR, n-j), size, a, lda, panels[j*size:][:k.NR*size], c[j:], ldc, false)
	}
}

func copyRows(dst []float32, ldd int, src []float32, lds, m, n int) {
	for i := range m {
		copy(dst[i*ldd:][:n], src[i*lds:])
	}
}

// Attention is multi-head self-attention inside each sequence.
func (d *Device) Attention(op *compute.Attention) {
	tokens := checkStarts(op.Starts)
	hidden := op.Heads * op.HeadSize
	cost, probs := attentionCost(op.Starts, op.Heads, op.HeadSize)
	t := attentionTask{
		heads: op.Heads, size: op.HeadSize,
		qkv:     source(op.QKV, tokens*3*hidden, "Attention.QKV"),
		context: target(op.Context, tokens*hidden, "Attention.Context"),
		lse:     optionalTarget(op.LSE, tokens*op.Heads, "Attention.LSE"),
		probs:   optionalTarget(op.Probs, probs, "Attention.Probs"),
		scale:   scoreScale(op.HeadSize),
		drop:    dropOf(op.Drop),
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	parts := 1
	if threads := d.Threads(); threads > 1 {
		const jobsEach = 4 // for a worker: enough for all to end at about the same time
		parts = ceil(jobsEach*threads, op.Heads*max(1, len(op.Starts)-1))
	}
	d.jobs = attentionJobs(d.jobs[:0], op.Starts, op.Heads, parts, tileRows/2)
	t.jobs = d.jobs
	d.attention = t
	d.run(&d.attention, len(t.jobs), 2*cost)
	d.attention = attentionTask{}
}
