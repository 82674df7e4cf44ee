package cpu

import (
	"fmt"
	"math"

	"github.com/go-bert/bert/internal/compute"
)

// crossEntropyTask is the loss and the gradient of each row; its jobs are runs of rows.
type crossEntropyTask struct {
	count, classes, run int
	logits, dlogits     []float32
	labels              []int32
	weights             []float32
	scale               float32
	losses              []float64 // −log p of each row
}

func (t *crossEntropyTask) do(w *worker, job int) {
	for r := job * t.run; r < min((job+1)*t.run, t.count); r++ {
		logits := t.logits[r*t.classes:][:t.classes]
		var d []float32
		if t.dlogits != nil {
			d = t.dlogits[r*t.classes:][:t.classes]
		}
		label := t.labels[r]
		if label < 0 {
			clear(d)
			t.losses[r] = 0
			continue
		}
		weight := t.scale
		if t.weights != nil {
			weight *= t.weights[r]
		}
		t.losses[r] = crossEntropy(w, logits, d, int(label), weight)
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

// CrossEntropy is Scale·Σ Weight[r]·(−log p[r, Labels[r]]).
func (d *Device) CrossEntropy(op *compute.CrossEntropy) float64 {
	n := op.Rows * op.Classes
	if len(op.Labels) != op.Rows {
		misfit("CrossEntropy.Labels", len(op.Labels), op.Rows)
	}
	if op.Weights != nil && len(op.Weights) != op.Rows {
		misfit("CrossEntropy.Weights", len(op.Weights), op.Rows)
	}
	if op.RowLoss != nil && len(op.RowLoss) != op.Rows {
		misfit("CrossEntropy.RowLoss", len(op.RowLoss), op.Rows)
	}
	for r, label := range op.Labels {
		if int(label) >= op.Classes {
			panic(fmt.Sprintf("cpu: CrossEntropy.Labels[%d] is %d, want less than %d", r, label, op.Classes))
		}
	}
	t := crossEntropyTask{
		count: op.Rows, classes: op.Classes, run: rowRun(op.Classes),
		logits: source(op.Logits, n, "CrossEntropy.Logits"), dlogits: optionalTarget(op.DLogits, n, "CrossEntropy.DLogits"),
		labels: op.Labels, weights: op.Weights, scale: op.Scale,
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.growSums(op.Rows)
	t.losses = d.sums
	d.crossEntropy = t
	d.run(&d.crossEntropy, ceil(t.count, t.run), n/expRate)
	d.crossEntropy = crossEntropyTask{}
	total := 0.0
	for r, loss := range d.sums {
		if op.RowLoss != nil {
			op.RowLoss[r] = float32(loss)
		}
		if op.Labels[r] < 0 {
			continue
		}
		if op.Weights != nil {
			loss *= float64(op.Weights[r])
		}
		total += loss
	}
	return total * float64(op.Scale)
}

// SpanLoss is (mean CE of the starts + mean CE of the ends)/2.
func (d *Device) SpanLoss(op *compute.SpanLoss) float64 {
	tokens := checkStarts(op.Starts)
	count := len(op.Starts) - 1
	if len(op.From) != count {
		misfit("SpanLoss.From", len(op.From), count)
	}
	if len(op.To) != count {
		misfit("SpanLoss.To", len(op.To), count)
	}
	logits := source(op.Logits, 2*tokens, "SpanLoss.Logits")
	dlogits := optionalTarget(op.DLogits, 2*tokens, "SpanLoss.DLogits")
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.pool.workers[0]
	loss := 0.0
	for column, labels := range [2][]int32{op.From, op.To} {
		taking := 0
		for b, label := range labels {
			if label >= 0 && int(label) < op.Starts[b+1]-op.Starts[b] {
				taking++
			}
		}
		sum := 0.0
		for b, label := range labels {
			first, n := op.Starts[b], op.Starts[b+1]-op.Starts[b]
			takes := label >= 0 && int(label) < n
			w.used, w.asked = 0, 0
			x := w.floats(n)
			if takes {
				for i := range x {
					x[i] = logits[2*(first+i)+column]
				}
				sum += crossEntropy(w, x, x, int(label), float32(float64(op.Scale)/float64(2*taking)))
			} else {
				clear(x)
			}
			if dlogits != nil {
				for i, v := range x {
					dlogits[2*(first+i)+column] = v
				}
			}
		}
		if taking > 0 {
			loss += sum / float64(2*taking)
		}
	}
	return loss * float64(op.Scale)
}

// BinaryCrossEntropy is the mean of −t·log σ(x) − (1−t)·log(1−σ(x)), times Scale.
func (d *Device) BinaryCrossEntropy(op *compute.BinaryCrossEntropy) float64 {
	n := op.Rows * op.Classes
	if len(op.Targets) != n {
		misfit("BinaryCrossEntropy.Targets", len(op.Targets), n)
	}
	logits := source(op.Logits, n, "BinaryCrossEntropy.Logits")
	dlogits := optionalTarget(op.DLogits, n, "BinaryCrossEntropy.DLogits")
	if n == 0 {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	factor := float64(op.Scale) / float64(n)
	sum := 0.0
	for i, logit := range logits {
		x, t := float64(logit), float64(op.Targets[i])
		e := math.Exp(-math.Abs(x))
		sum += max(x, 0) - x*t + math.Log1p(e)
		if dlogits != nil {
			sigmoid := 1 / (1 + e)
			if x < 0 {
				sigmoid = e / (1 + e)
			}
			dlogits[i] = float32(factor * (sigmoid - t))
		}
	}
	return sum * factor
}

// SquaredError is the mean of (logit − target)², times Scale.
func (d *Device) SquaredError(op *compute.SquaredError) float64 {
	if len(op.Targets) != op.Rows {
		misfit("SquaredError.Targets", len(op.Targets), op.Rows)
	}
	logits := source(op.Logits, op.Rows, "SquaredError.Logits")
	dlogits := optionalTarget(op.DLogits, op.Rows, "SquaredError.DLogits")
	if op.Rows == 0 {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	factor := float64(op.Scale) / float64(op.Rows)
	sum := 0.0
	for i, logit := range logits {
		e := float64(logit) - float64(op.Targets[i])
		sum += e * e
		if dlogits != nil {
			dlogits[i] = float32(2 * factor * e)
		}
	}
	return sum * factor
}
