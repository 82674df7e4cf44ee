package cpu

import (
	"math"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/simd"
)

// scoreScale is 1/√D.
func scoreScale(size int) float32 { return float32(1 / math.Sqrt(float64(size))) }

// attentionGradTask is the backward pass. A job is one head of one sequence. With P the probabilities, found again from
// the scores and LSE, M the mask and factor of dropout, s = 1/√D, and d[i] = Σ_j P[i,j]·dP[i,j]:
//
//	dV = (P∘M)ᵀ·dO
//	dP = (dO·Vᵀ)∘M
//	dS = s·P∘(dP − d)
//	dQ = dS·K
//	dK = dSᵀ·Q
//
// d[i] is also dO[i]·O[i], O being the context (Dao et al. 2022, FlashAttention, appendix B.2), so that one tile of
// queries needs nothing of the others.
type attentionGradTask struct {
	heads, size                       int
	qkv, context, lse, dcontext, dqkv []float32 // dqkv may be nil if there is operand
	operand                           []float32 // dqkv as one; nil where there is none, and where a word has elements of two heads
	sums                              []float32 // the column sums of each job, [3, size], or nil
	scale                             float32
	drop                              simd.Drop
	jobs                              []attentionJob
}

func (t *attentionGradTask) do(w *worker, index int) {
	job := &t.jobs[index]
	k, nr := w.k, w.k.panelCols
	n, size, hidden := job.n, t.size, t.heads*t.size
	tile, ld := min(tileOf(n, k.panelRows), job.to), scoreStride(n, nr)
	wide := roundUp(size, nr)

	query := t.qkv[job.first*3*hidden+job.head*size:]
	// The gradients of queries, keys and values lie apart by so much, and their rows.
	apart, ldd := hidden, 3*hidden
	var dquery []float32
	if t.dqkv != nil {
		dquery = t.dqkv[job.first*3*hidden+job.head*size:]
	} else {
		apart, ldd = size, 3*size+pad
		dquery = w.floats(n * ldd)
	}
	context, dcontext := t.context[job.row*hidden+job.head*size:], t.dcontext[job.row*hidden+job.head*size:]

	keysT := packedRows(w, query[hidden:], 3*hidden, n, size)
	keys := packedColumns(w, query[hidden:], 3*hidden, n, size)
	valuesT := packedRows(w, query[2*hidden:], 3*hidden, n, size)
	rows, columns := w.floats(tile*k.words(size)), w.floats(k.words(tile)*wide)
	scores, dscores := w.floats(tile*ld), w.floats(tile*ld)
	turned := w.floats(roundUp(n, k.panelRows) * k.words(tile))
	probs, dprobs := roundedRows(w, tile, n), roundedRows(w, tile, n)

	for from := 0; from < job.to; from += tile {
		m := min(tile, job.to-from)
		q, do := query[from*3*hidden:], dcontext[from*hidden:]
		k.packRows(rows, k.words(size), q, 3*hidden, m, size)
		times(k, m, n, size, rows, k.words(size), keysT, scores, ld)
		k.packRows(rows, k.words(size), do, hidden, m, size)
		times(k, m, n, size, rows, k.words(size), valuesT, dscores, ld)
		for i := range m {
			if i%rowsAhead == 0 {
				t.ask(k, index+1, from+i)
			}
			p, dp := scores[i*ld:][:n], dscores[i*ld:][:n]
			at := (job.row+from+i)*t.heads + job.head
			d := k.simd.Dot(do[i*hidden:][:size], context[(from+i)*hidden:][:size])
			if k.rounds() {
				k.simd.SoftmaxGrad16(asWords(probs.row(i)), asWords(dprobs.row(i)), p, dp, t.scale, t.lse[at], d, t.drop, uint64(at))
				continue
			}
			k.simd.SoftmaxAgain(p, t.scale, t.lse[at])
			if t.drop.Threshold != 0 {
				k.simd.Dropout(dp, dp, t.drop, uint64(at))
			}
			k.simd.SoftmaxBackward(dp, p, dp, t.scale, d)
			if t.drop.Threshold != 0 {
				k.simd.Dropout(p, p, t.drop, uint64(at))
			}
		}
		a, da, lda := scores, dscores, ld
		if k.rounds() {
			a, da, lda = probs.words, dprobs.words, probs.ld
		}
		times(k, m, size, n, da, lda, keys, dquery[from*ldd:], ldd)

		packColumns(k, columns, do, hidden, m, size)
		turnedTimes(k, turned, n, size, m, a, lda, columns, dquery[2*apart:], ldd, from > 0)
		packColumns(k, columns, q, 3*hidden, m, size)
		turnedTimes(k, turned, n, size, m, da, lda, columns, dquery[apart:], ldd, from > 0)
	}
	for i := job.to; i < n; i++ { // nobody asked
		clear(dquery[i*ldd:][:size])
	}
	if t.sums != nil {
		sums := t.sums[index*3*size:][:3*size]
		clear(sums)
		for part := range 3 {
			for i := range n {
				k.simd.Add(sums[part*size:][:size], dquery[i*ldd+part*apart:][:size])
			}
		}
	}
	if t.operand != nil {
		ldo := k.operandSize(3 * hidden)
		for part := range 3 {
			k.packRows(t.operand[job.first*ldo+k.words(part*hidden+job.head*size):], ldo, dquery[part*apart:], ldd, n, size)
		}
	}
}

// ask asks for what a job takes and gives of some rows from row on. Of a head they are too short, and too far apart, for the processor to
// see what comes next.
func (t *attentionGradTask) ask(k *kernels, index, row int) {
	if index == len(t.jobs) || row >= t.jobs[index].to {
		return
	}
	job := &t.jobs[index]
	hidden := t.heads * t.size
	count, at := min(rowsAhead, job.to-row), job.head*t.size
	for part := range 3 {
		k.simd.Prefetch(t.qkv[(job.first+row)*3*hidden+part*hidden+at:], 3*hidden, count, t.size)
		if t.dqkv != nil {
			k.simd.Prefetch(t.dqkv[(job.first+row)*3*hidden+part*hidden+at:], 3*hidden, count, t.size)
		}
	}
	k.simd.Prefetch(t.context[(job.row+row)*hidden+at:], hidden, count, t.size)
	k.simd.Prefetch(t.dcontext[(job.row+row)*hidden+at:], hidden, count, t.size)
}

// turnedTimes is C[m, n] = Aᵀ·B or C += Aᵀ·B, of A[size, m], where it is to be rounded in rows of words, and the panels of B; turned takes
// the panels of A.
func turnedTimes(k *kernels, turned []float32, m, n, size int, a []float32, lda int, panels, c []float32, ldc int, add bool) {
	words := k.words(size)
	for i := 0; i < m; i += k.panelRows {
		panel := turned[i*words:][:k.panelRows*words]
		if k.rounds() {
			k.repackPanelA(panel, a[k.words(i):], lda, min(k.panelRows, m-i), size)
		} else {
			k.packPanelA(panel, a[i:], lda, min(k.panelRows, m-i), size)
		}
	}
	for j := 0; j < n; j += k.panelCols {
		k.mulPacked(m, min(k.panelCols, n-j), words, turned, panels[j*words:][:k.panelCols*words], c[j:], ldc, add, nil)
	}
}

// AttentionGrad goes back through Attention.
func (d *Device) AttentionGrad(op *compute.AttentionGrad) {
	tokens := checkStarts(op.Starts)
	hidden := op.Heads * op.HeadSize
	cost, _ := attentionCost(op.Starts, op.Heads, op.HeadSize, op.FirstOnly)
	rows := attentionRows(op.Starts, op.FirstOnly)
	t := attentionGradTask{
		heads: op.Heads, size: op.HeadSize,
		qkv:      source(op.QKV, tokens*3*hidden, "AttentionGrad.QKV"),
		context:  source(op.Context, rows*hidden, "AttentionGrad.Context"),
		lse:      source(op.LSE, rows*op.Heads, "AttentionGrad.LSE"),
		dcontext: source(op.DContext, rows*hidden, "AttentionGrad.DContext"),
		scale:    scoreScale(op.HeadSize),
		drop:     dropOf(op.Drop),
	}
	operand := d.operandTarget(op.Operand, tokens, 3*hidden, "AttentionGrad.Operand")
	if operand == nil || !op.DQKV.None() {
		t.dqkv = target(op.DQKV, tokens*3*hidden, "AttentionGrad.DQKV")
	}
	dbias := optionalTarget(op.DBias, 3*hidden, "AttentionGrad.DBias")
	d.mu.Lock()
	defer d.mu.Unlock()
	if op.HeadSize%d.k.perWord == 0 {
		t.operand = operand
	} else if t.dqkv == nil {
		d.results = grow(d.results, tokens*3*hidden)
		t.dqkv = d.results[:tokens*3*hidden]
	}
	d.jobs = attentionJobs(d.jobs[:0], op.Starts, op.Heads, 1, 1, op.FirstOnly)
	t.jobs = d.jobs
	if dbias != nil {
		d.partials = grow(d.partials, len(t.jobs)*3*t.size)
		t.sums = d.partials[:len(t.jobs)*3*t.size]
	}
	d.attentionGrad = t
	d.run(&d.attentionGrad, len(t.jobs), 5*cost)
	d.attentionGrad = attentionGradTask{}
	if dbias != nil {
		for i := range t.jobs {
			for part := range 3 {
				d.k.simd.Add(dbias[part*hidden+t.jobs[i].head*t.size:][:t.size], t.sums[(3*i+part)*t.size:][:t.size])
			}
		}
	}
	if operand != nil && t.operand == nil {
		for r := range tokens {
			d.k.leave(operand, r, t.dqkv[r*3*hidden:][:3*hidden])
		}
	}
}
