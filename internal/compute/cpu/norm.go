package cpu

import (
	"fmt"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/simd"
)

// normTask is s = residual + dropout(x), y = LayerNorm(s); its jobs are runs of rows.
type normTask struct {
	count, width, run                          int
	x, residual, gamma, beta, s, mean, rstd, y []float32
	eps                                        float32
	drop                                       simd.Drop
	operand                                    []float32
}

func (t *normTask) do(w *worker, job int) {
	i := job * t.run
	t.block(w.k, i, min(t.run, t.count-i), t.x[i*t.width:], t.width)
}

// block does m rows from i of the given x, whose rows are ldx apart, and which it overwrites if there is no s.
func (t *normTask) block(k *kernels, i, m int, x []float32, ldx int) {
	for r := i; r < i+m; r++ {
		from, to := r*t.width, (r+1)*t.width
		s := x[(r-i)*ldx:][:t.width]
		if t.s != nil {
			k.simd.Dropout(t.s[from:to], s, t.drop, uint64(r))
			s = t.s[from:to]
		} else if t.drop.Threshold != 0 {
			k.simd.Dropout(s, s, t.drop, uint64(r))
		}
		y := t.y[from:to]
		if t.residual == nil {
			t.mean[r], t.rstd[r] = k.simd.LayerNorm(y, s, t.gamma, t.beta, t.eps)
			k.leave(t.operand, r, y)
			continue
		}
		t.mean[r], t.rstd[r] = k.simd.AddNorm(y, s, t.residual[from:to], t.gamma, t.beta, t.eps, k.operandRow(t.operand, r, t.width))
	}
}

// leave writes row r of an operand, unless it is nil.
func (k *kernels) leave(operand []float32, r int, y []float32) {
	if operand != nil {
		k.simd.RoundRow(k.operandRow(operand, r, len(y)), y)
	}
}

// operandRow is row r of an operand of that width, or nil.
func (k *kernels) operandRow(operand []float32, r, width int) []uint32 {
	if operand == nil {
		return nil
	}
	return asWords(operand[r*k.operandSize(width):][:k.words(width)])
}

// norms is an operation without its input.
func (d *Device) norms(op *compute.Norm) normTask {
	n := op.Rows * op.Width
	return normTask{
		count: op.Rows, width: op.Width, run: rowRun(op.Width),
		residual: optional(op.Residual, n, "Norm.Residual"),
		gamma:    source(op.Gamma, op.Width, "Norm.Gamma"), beta: source(op.Beta, op.Width, "Norm.Beta"),
		s: optionalTarget(op.S, n, "Norm.S"), y: target(op.Y, n, "Norm.Y"),
		mean: target(op.Mean, op.Rows, "Norm.Mean"), rstd: target(op.Rstd, op.Rows, "Norm.Rstd"),
		eps: op.Eps, drop: dropOf(op.Drop),
		operand: d.operandTarget(op.Operand, op.Rows, op.Width, "Norm.Operand"),
	}
}

// Norm is s = residual + dropout(x), y = LayerNorm(s).
func (d *Device) Norm(op *compute.Norm) {
	t := d.norms(op)
	t.x = source(op.X, op.Rows*op.Width, "Norm.X")
	if t.s == nil {
		misfit("Norm.S", 0, op.Rows*op.Width)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.norm = t
	d.runNorm()
}

// runNorm runs d.norm and clears it.
func (d *Device) runNorm() {
	t := &d.norm
	d.run(t, ceil(t.count, t.run), t.count*t.width/rowRate)
	*t = normTask{}
}

// following is the operation that follows a product of rows×width whose result goes to y, which may be nil; empty for no operation.
func (d *Device) following(op *compute.Norm, rows, width int, y []float32) normTask {
	if op == nil {
		return normTask{}
	}
	if op.Rows != rows || op.Width != width {
		panic(fmt.Sprintf("cpu: Norm of %d×%d after a product of %d×%d", op.Rows, op.Width, rows, width))
	}
	if op.S.None() && y != nil { // which it would overwrite
		misfit("Norm.S", 0, rows*width)
	}
	return d.norms(op)
}

// follow lets an operation follow a product, unless there is none. The caller holds the lock.
func (d *Device) follow(p *product, t normTask, op *compute.Norm) {
	if op != nil {
		d.norm = t
		p.norm = &d.norm
	}
}

// normGradTask is dy' = before(dy), ds = the gradient of LayerNorm at s, dx = after(ds), where before and after are
// dropouts. Its jobs are runs of rows; each leaves its own sums for gamma and beta.
type normGradTask struct {
	count, width, run                int
	dy, s, mean, rstd, gamma, ds, dx []float32
	before, after                    simd.Drop
	operand                          []float32 // after(ds) as one
	dbias                            []float32 // += the column sums of after(ds), if there is one
	partials                         []float32 // a row [sums, width] for each job
	sums                             int       // 2, or 3 with those of dbias
}

// A job of normGradTask has at least gradRun rows, and more if there would be more than gradJobs jobs. Both are the same
// for any number of workers, since they say how the sums of gamma and beta are cut.
const (
	gradRun  = 32
	gradJobs = 256
)

func (t *normGradTask) do(w *worker, job int) {
	k := w.k
	part := t.partials[job*t.sums*t.width:][:t.sums*t.width]
	clear(part)
	dgamma, dbeta, dbias := part[:t.width], part[t.width:2*t.width], part[2*t.width:]
	var row []float32
	if t.dx == nil && t.after.Threshold != 0 {
		row = w.floats(t.width)
	}
	for r := job * t.run; r < min((job+1)*t.run, t.count); r++ {
		from, to := r*t.width, (r+1)*t.width
		dy, ds := t.dy[from:to], t.ds[from:to]
		if t.before.Threshold != 0 {
			k.simd.Dropout(ds, dy, t.before, uint64(r))
			dy = ds
		}
		k.simd.LayerNormBackward(ds, dy, t.s[from:to], t.gamma, t.mean[r], t.rstd[r], dgamma, dbeta)
		dx := ds
		if t.dx != nil {
			dx = t.dx[from:to]
			k.simd.Dropout(dx, ds, t.after, uint64(r))
		} else if row != nil {
			dx = row
			k.simd.Dropout(dx, ds, t.after, uint64(r))
		}
		if len(dbias) > 0 {
			k.simd.Add(dbias, dx)
		}
		k.leave(t.operand, r, dx)
	}
}

// runNormGrad runs d.normGrad, adds the sums to dgamma and dbeta, and clears it.
func (d *Device) runNormGrad(dgamma, dbeta []float32) {
	t := &d.normGrad
	t.run = max(gradRun, ceil(t.count, gradJobs))
	jobs := ceil(t.count, t.run)
	if t.sums = 2; t.dbias != nil {
		t.sums = 3
	}
	d.partials = grow(d.partials, jobs*t.sums*t.width)
	t.partials = d.partials
	d.run(t, jobs, t.count*t.width/rowRate)
	for j := range jobs {
		part := t.partials[j*t.sums*t.width:][:t.sums*t.width]
		d.k.simd.Add(dgamma, part[:t.width])
		d.k.simd.Add(dbeta, part[t.width:2*t.width])
		if t.dbias != nil {
			d.k.simd.Add(t.dbias, part[2*t.width:])
		}
	}
	*t = normGradTask{}
}

// NormGrad goes back through Norm.
func (d *Device) NormGrad(op *compute.NormGrad) {
	n := op.Rows * op.Width
	t := normGradTask{
		count: op.Rows, width: op.Width,
		dy: source(op.DY, n, "NormGrad.DY"), s: source(op.S, n, "NormGrad.S"),
		mean: source(op.Mean, op.Rows, "NormGrad.Mean"), rstd: source(op.Rstd, op.Rows, "NormGrad.Rstd"),
		gamma: source(op.Gamma, op.Width, "NormGrad.Gamma"),
		ds:    target(op.DS, n, "NormGrad.DS"), dx: optionalTarget(op.DX, n, "NormGrad.DX"),
		after:   dropOf(op.Drop),
		operand: d.operandTarget(op.Operand, op.Rows, op.Width, "NormGrad.Operand"),
		dbias:   optionalTarget(op.DBias, op.Width, "NormGrad.DBias"),
	}
	dgamma, dbeta := target(op.DGamma, op.Width, "NormGrad.DGamma"), target(op.DBeta, op.Width, "NormGrad.DBeta")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.normGrad = t
	d.runNormGrad(dgamma, dbeta)
}

// embeddingTask is s = word + position + type, y = dropout(LayerNorm(s)); its jobs are runs of tokens.
type embeddingTask struct {
	width, run                    int
	ids, positions, types         []int32
	word, position, kind          []float32
	gamma, beta, s, mean, rstd, y []float32
	eps                           float32
	drop                          simd.Drop
	operand                       []float32
}

func (t *embeddingTask) do(w *worker, job int) {
	k := w.k
	for r := job * t.run; r < min((job+1)*t.run, len(t.ids)); r++ {
		from, to := r*t.width, (r+1)*t.width
		s, y := t.s[from:to], t.y[from:to]
		copy(s, t.word[int(t.ids[r])*t.width:])
		k.simd.Add(s, t.position[int(t.positions[r])*t.width:][:t.width])
		k.simd.Add(s, t.kind[int(t.types[r])*t.width:][:t.width])
		t.mean[r], t.rstd[r] = k.simd.LayerNorm(y, s, t.gamma, t.beta, t.eps)
		if t.drop.Threshold != 0 {
			k.simd.Dropout(y, y, t.drop, uint64(r))
		}
		k.leave(t.operand, r, y)
	}
}

// Embedding is s = word + position + type, y = dropout(LayerNorm(s)).
func (d *Device) Embedding(op *compute.Embedding) {
	tokens := len(op.IDs)
	n := tokens * op.Width
	checkTokens(tokens, op.PositionIDs, op.TypeIDs)
	checkIndices(op.IDs, tableRows(op.Word, op.Width, "Embedding.Word"), "Embedding.IDs")
	checkIndices(op.PositionIDs, tableRows(op.Position, op.Width, "Embedding.Position"), "Embedding.PositionIDs")
	checkIndices(op.TypeIDs, tableRows(op.Type, op.Width, "Embedding.Type"), "Embedding.TypeIDs")
	t := embeddingTask{
		width: op.Width, run: rowRun(op.Width),
		ids: op.IDs, positions: op.PositionIDs, types: op.TypeIDs,
		word:     source(op.Word, op.Word.Len, "Embedding.Word"),
		position: source(op.Position, op.Position.Len, "Embedding.Position"),
		kind:     source(op.Type, op.Type.Len, "Embedding.Type"),
		gamma:    source(op.Gamma, op.Width, "Embedding.Gamma"), beta: source(op.Beta, op.Width, "Embedding.Beta"),
		s: target(op.S, n, "Embedding.S"), y: target(op.Y, n, "Embedding.Y"),
		mean: target(op.Mean, tokens, "Embedding.Mean"), rstd: target(op.Rstd, tokens, "Embedding.Rstd"),
		eps: op.Eps, drop: dropOf(op.Drop), operand: d.operandTarget(op.Operand, tokens, op.Width, "Embedding.Operand"),
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.embedding = t
	d.run(&d.embedding, ceil(tokens, t.run), n/rowRate)
	d.embedding = embeddingTask{}
}

// EmbeddingGrad goes back through Embedding.
func (d *Device) EmbeddingGrad(op *compute.EmbeddingGrad) {
	tokens := len(op.IDs)
	n := tokens * op.Width
	checkTokens(tokens, op.PositionIDs, op.TypeIDs)
	checkIndices(op.IDs, tableRows(op.DWord, op.Width, "EmbeddingGrad.DWord"), "EmbeddingGrad.IDs")
	checkIndices(op.PositionIDs, tableRows(op.DPosition, op.Width, "EmbeddingGrad.DPosition"), "EmbeddingGrad.PositionIDs")
	checkIndices(op.TypeIDs, tableRows(op.DType, op.Width, "EmbeddingGrad.DType"), "EmbeddingGrad.TypeIDs")
	dy := target(op.DY, n, "EmbeddingGrad.DY")
	t := normGradTask{
		count: tokens, width: op.Width,
		dy: dy, ds: dy, s: source(op.S, n, "EmbeddingGrad.S"),
		mean: source(op.Mean, tokens, "EmbeddingGrad.Mean"), rstd: source(op.Rstd, tokens, "EmbeddingGrad.Rstd"),
		gamma:  source(op.Gamma, op.Width, "EmbeddingGrad.Gamma"),
		before: dropOf(op.Drop),
	}
	dgamma, dbeta := target(op.DGamma, op.Width, "EmbeddingGrad.DGamma"), target(op.DBeta, op.Width, "EmbeddingGrad.DBeta")
	scatter := scatterTask{src: dy, width: op.Width, tables: [3]scatterTable{
		{target(op.DWord, op.DWord.Len, "EmbeddingGrad.DWord"), op.IDs},
		{target(op.DPosition, op.DPosition.Len, "EmbeddingGrad.DPosition"), op.PositionIDs},
		{target(op.DType, op.DType.Len, "EmbeddingGrad.DType"), op.TypeIDs},
	}}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.normGrad = t
	d.runNormGrad(dgamma, dbeta)
	d.scatterRows = scatter
	d.scatter(3 * tokens)
}

func checkTokens(tokens int, positions, types []int32) {
	if len(positions) != tokens {
		misfit("the list of position ids", len(positions), tokens)
	}
	if len(types) != tokens {
		misfit("the list of type ids", len(types), tokens)
	}
}
