package cpu

import (
	"fmt"
	"math"

	"github.com/go-bert/bert/internal/compute"
)

// numbers is plain Go memory.
type numbers []float64

func (n numbers) Len() int { return len(n) }

// lossTarget is the n numbers that a loss is to write.
func lossTarget(l compute.Losses, n int, what string) []float64 {
	if l.None() {
		return nil
	}
	all := l.Numbers.(numbers)
	if l.Offset < 0 || n > len(all)-l.Offset {
		panic(fmt.Sprintf("cpu: %s has room for %d losses from %d on, want %d", what, len(all), l.Offset, n))
	}
	return all[l.Offset:][:n:n]
}

// checkWeights panics unless there are no weights or one for each row.
func checkWeights(weights []float32, rows int, what string) {
	if weights != nil && len(weights) != rows {
		misfit(what, len(weights), rows)
	}
}

// weightOf is the weight of a row, 1 without weights.
func weightOf(weights []float32, row int) float64 {
	if weights == nil {
		return 1
	}
	return float64(weights[row])
}

// crossEntropyTask is the loss and the gradient of each row; its jobs are runs of rows.
type crossEntropyTask struct {
	count, classes, run int
	logits, dlogits     []float32
	labels              []int32
	targets, weights    []float32
	scale               float32
	losses              []float64
}

func (t *crossEntropyTask) do(w *worker, job int) {
	for r := job * t.run; r < min((job+1)*t.run, t.count); r++ {
		logits := t.logits[r*t.classes:][:t.classes]
		var d []float32
		if t.dlogits != nil {
			d = t.dlogits[r*t.classes:][:t.classes]
		}
		weight := t.scale
		if t.weights != nil {
			weight *= t.weights[r]
		}
		loss := 0.0
		switch {
		case t.labels != nil && t.labels[r] >= 0:
			loss = crossEntropy(w, logits, d, int(t.labels[r]), weight)
		case t.targets != nil:
			loss = softCrossEntropy(w, logits, d, t.targets[r*t.classes:][:t.classes], weight)
		default:
			clear(d)
		}
		if t.losses == nil {
			continue
		}
		if t.weights != nil {
			loss *= float64(t.weights[r])
		}
		t.losses[r] = loss
	}
}

// crossEntropy returns −log p of the label and, unless d is nil, writes the gradient times weight to it. d may be logits.
func crossEntropy(w *worker, logits, d []float32, label int, weight float32) float64 {
	loss := w.k.simd.LogSumExp(logits) - float64(logits[label])
	if d != nil {
		copy(d, logits)
		w.k.simd.Softmax(d, 1)
		d[label]--
		w.k.simd.Scale(d, weight)
	}
	return loss
}

// softCrossEntropy is crossEntropy against a distribution: Σ t·(−log p), and p·Σt − t.
func softCrossEntropy(w *worker, logits, d, targets []float32, weight float32) float64 {
	mass, loss, lse := 0.0, 0.0, w.k.simd.LogSumExp(logits)
	for i, t := range targets {
		if t != 0 {
			mass += float64(t)
			loss += float64(t) * (lse - float64(logits[i]))
		}
	}
	if d == nil || mass == 0 {
		clear(d)
		return loss
	}
	copy(d, logits)
	w.k.simd.Softmax(d, 1)
	w.k.simd.Scale(d, float32(mass))
	w.k.simd.Axpy(d, -1, targets)
	w.k.simd.Scale(d, weight)
	return loss
}

// CrossEntropy is the loss of a softmax in each row, against a label or a distribution.
func (d *Device) CrossEntropy(op *compute.CrossEntropy) {
	n := op.Rows * op.Classes
	if op.Labels != nil || op.Targets == nil {
		if len(op.Labels) != op.Rows {
			misfit("CrossEntropy.Labels", len(op.Labels), op.Rows)
		}
	}
	if op.Targets != nil && len(op.Targets) != n {
		misfit("CrossEntropy.Targets", len(op.Targets), n)
	}
	checkWeights(op.Weights, op.Rows, "CrossEntropy.Weights")
	for r, label := range op.Labels {
		if int(label) >= op.Classes {
			panic(fmt.Sprintf("cpu: CrossEntropy.Labels[%d] is %d, want less than %d", r, label, op.Classes))
		}
	}
	t := crossEntropyTask{
		count: op.Rows, classes: op.Classes, run: rowRun(op.Classes),
		logits: source(op.Logits, n, "CrossEntropy.Logits"), dlogits: optionalTarget(op.DLogits, n, "CrossEntropy.DLogits"),
		labels: op.Labels, targets: op.Targets, weights: op.Weights, scale: op.Scale,
		losses: lossTarget(op.Losses, op.Rows, "CrossEntropy.Losses"),
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crossEntropy = t
	d.run(&d.crossEntropy, ceil(t.count, t.run), n/expRate)
	d.crossEntropy = crossEntropyTask{}
}

// SpanLoss is the loss of a softmax over the tokens of each sequence.
func (d *Device) SpanLoss(op *compute.SpanLoss) {
	tokens := checkStarts(op.Starts)
	count := len(op.Starts) - 1
	if len(op.Labels) != count {
		misfit("SpanLoss.Labels", len(op.Labels), count)
	}
	if op.Column != 0 && op.Column != 1 {
		panic(fmt.Sprintf("cpu: SpanLoss.Column is %d, want 0 or 1", op.Column))
	}
	checkWeights(op.Weights, count, "SpanLoss.Weights")
	logits := source(op.Logits, 2*tokens, "SpanLoss.Logits")
	dlogits := optionalTarget(op.DLogits, 2*tokens, "SpanLoss.DLogits")
	losses := lossTarget(op.Losses, count, "SpanLoss.Losses")
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.pool.workers[0]
	for b, label := range op.Labels {
		first, n := op.Starts[b], op.Starts[b+1]-op.Starts[b]
		w.used, w.asked = 0, 0
		x := w.floats(n)
		loss := 0.0
		if label >= 0 && int(label) < n {
			for i := range x {
				x[i] = logits[2*(first+i)+op.Column]
			}
			weight := weightOf(op.Weights, b)
			loss = weight * crossEntropy(w, x, x, int(label), float32(op.Scale*weight))
		} else {
			clear(x)
		}
		if losses != nil {
			losses[b] = loss
		}
		if dlogits != nil {
			for i, v := range x {
				dlogits[2*(first+i)+op.Column] = v
			}
		}
	}
}

// BinaryCrossEntropy is −t·log σ(x) − (1−t)·log(1−σ(x)) of each element.
func (d *Device) BinaryCrossEntropy(op *compute.BinaryCrossEntropy) {
	n := op.Rows * op.Classes
	if len(op.Targets) != n {
		misfit("BinaryCrossEntropy.Targets", len(op.Targets), n)
	}
	checkWeights(op.Weights, op.Rows, "BinaryCrossEntropy.Weights")
	logits := source(op.Logits, n, "BinaryCrossEntropy.Logits")
	dlogits := optionalTarget(op.DLogits, n, "BinaryCrossEntropy.DLogits")
	losses := lossTarget(op.Losses, n, "BinaryCrossEntropy.Losses")
	d.mu.Lock()
	defer d.mu.Unlock()
	for r := range op.Rows {
		weight := weightOf(op.Weights, r)
		factor := op.Scale * weight
		for i := r * op.Classes; i < (r+1)*op.Classes; i++ {
			x, t := float64(logits[i]), float64(op.Targets[i])
			e := math.Exp(-math.Abs(x))
			if losses != nil {
				losses[i] = weight * (max(x, 0) - x*t + math.Log1p(e))
			}
			if dlogits != nil {
				sigmoid := 1 / (1 + e)
				if x < 0 {
					sigmoid = e / (1 + e)
				}
				dlogits[i] = float32(factor * (sigmoid - t))
			}
		}
	}
}

// SquaredError is (logit − target)² of each row.
func (d *Device) SquaredError(op *compute.SquaredError) {
	if len(op.Targets) != op.Rows {
		misfit("SquaredError.Targets", len(op.Targets), op.Rows)
	}
	checkWeights(op.Weights, op.Rows, "SquaredError.Weights")
	logits := source(op.Logits, op.Rows, "SquaredError.Logits")
	dlogits := optionalTarget(op.DLogits, op.Rows, "SquaredError.DLogits")
	losses := lossTarget(op.Losses, op.Rows, "SquaredError.Losses")
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, logit := range logits {
		weight := weightOf(op.Weights, i)
		e := float64(logit) - float64(op.Targets[i])
		if losses != nil {
			losses[i] = weight * (e * e)
		}
		if dlogits != nil {
			dlogits[i] = float32(2 * op.Scale * weight * e)
		}
	}
}
