package computetest

import (
	"fmt"

	"github.com/go-bert/bert/internal/compute"
)

func crossEntropyChecks() (checks []check) {
	i := 0
	for _, classes := range []int{1, 2, 5, 100, 3001} {
		for _, rows := range rowCounts {
			hasWeights, gradients, hasRows := i%2 == 0, i%3, i%2 == 1
			i++
			checks = append(checks, check{fmt.Sprintf("%dx%d", rows, classes), func(data *inputs, _ compute.Device) func(compute.Device) operation {
				logits, labels := data.normal(rows*classes, 3), data.indices(rows, classes)
				for r := range labels {
					if r%5 == 3 {
						labels[r] = -100
					}
				}
				const scale = 0.25
				var weights []float32
				var wideWeights []float64
				if hasWeights {
					weights = data.around(rows, 1)
					wideWeights = wide(weights)
				}
				loss, dlogits, rowLoss := crossEntropy(wide(logits), labels, wideWeights, classes)
				for i := range dlogits {
					dlogits[i] *= scale
				}
				return func(d compute.Device) operation {
					op := compute.CrossEntropy{Rows: rows, Classes: classes, Labels: labels, Weights: weights, Scale: scale, Logits: upload(d, logits)}
					got := new(float64)
					results := []result{inVariable("loss", got, loss*scale, forward)}
					switch gradients {
					case 0:
						op.DLogits = op.Logits
					case 1:
						op.DLogits = filled(d, rows*classes)
					}
					if gradients != 2 {
						results = append(results, inBuffer(d, "dlogits", op.DLogits, dlogits, forward))
					}
					if hasRows {
						op.RowLoss = make([]float32, rows)
						results = append(results, result{"rows", func() []float64 { return wide(op.RowLoss) }, rowLoss, forward})
					}
					return operation{func() { *got = d.CrossEntropy(&op) }, results}
				}
			}})
		}
	}
	return checks
}

func spanLossChecks() (checks []check) {
	for i, starts := range [][]int{{0}, {0, 1}, {0, 2, 2, 42, 43, 173}, {0, 5, 10}} {
		checks = append(checks, check{fmt.Sprintf("%d-%d", len(starts)-1, starts[len(starts)-1]), func(data *inputs, _ compute.Device) func(compute.Device) operation {
			tokens, count := starts[len(starts)-1], len(starts)-1
			logits := data.normal(2*tokens, 3)
			labels := [2][]int32{make([]int32, count), make([]int32, count)}
			for b := range count {
				n := int32(starts[b+1] - starts[b])
				labels[0][b], labels[1][b] = data.Int32N(n+1), data.Int32N(n+2)-1 // some outside
				if i == 3 {
					labels[1][b] = n // none inside
				}
			}
			const scale = 0.5
			loss, dlogits := spanLoss(wide(logits), starts, labels)
			for i := range dlogits {
				dlogits[i] *= scale
			}
			return func(d compute.Device) operation {
				op := compute.SpanLoss{Starts: starts, Logits: upload(d, logits), From: labels[0], To: labels[1], Scale: scale}
				got := new(float64)
				results := []result{inVariable("loss", got, loss*scale, forward)}
				switch i % 3 {
				case 0:
					op.DLogits = filled(d, 2*tokens)
				case 1:
					op.DLogits = op.Logits
				}
				if i%3 != 2 {
					results = append(results, inBuffer(d, "dlogits", op.DLogits, dlogits, forward))
				}
				return operation{func() { *got = d.SpanLoss(&op) }, results}
			}
		}})
	}
	return checks
}

func binaryCrossEntropyChecks() (checks []check) {
	for i, shape := range [][2]int{{0, 3}, {1, 1}, {2, 5}, {13, 20}} {
		checks = append(checks, check{fmt.Sprintf("%dx%d", shape[0], shape[1]), func(data *inputs, _ compute.Device) func(compute.Device) operation {
			n := shape[0] * shape[1]
			logits, targets := data.normal(n, 3), data.normal(n, 1)
			for i, t := range targets {
				targets[i] = min(max(t, 0), 1)
			}
			const scale = 0.5
			loss, dlogits := binaryCrossEntropy(wide(logits), wide(targets))
			return lossOperation(n, i, logits, loss*scale, times(dlogits, repeat(scale, n)), func(d compute.Device, logits, dlogits compute.Buffer) func() float64 {
				op := compute.BinaryCrossEntropy{Rows: shape[0], Classes: shape[1], Logits: logits, Targets: targets, Scale: scale, DLogits: dlogits}
				return func() float64 { return d.BinaryCrossEntropy(&op) }
			})
		}})
	}
	return checks
}

func squaredErrorChecks() (checks []check) {
	for i, rows := range rowCounts {
		checks = append(checks, check{fmt.Sprint(rows), func(data *inputs, _ compute.Device) func(compute.Device) operation {
			logits, targets := data.normal(rows, 2), data.normal(rows, 2)
			const scale = 0.5
			loss, dlogits := squaredError(wide(logits), wide(targets))
			return lossOperation(rows, i, logits, loss*scale, times(dlogits, repeat(scale, rows)), func(d compute.Device, logits, dlogits compute.Buffer) func() float64 {
				op := compute.SquaredError{Rows: rows, Logits: logits, Targets: targets, Scale: scale, DLogits: dlogits}
				return func() float64 { return d.SquaredError(&op) }
			})
		}})
	}
	return checks
}

// lossOperation is a loss of n logits; variant says where its gradient goes: to a buffer of its own, over the logits, or
// nowhere.
func lossOperation(n, variant int, logits []float32, loss float64, dlogits []float64, open func(d compute.Device, logits, dlogits compute.Buffer) func() float64) func(compute.Device) operation {
	return func(d compute.Device) operation {
		from := upload(d, logits)
		var to compute.Buffer
		got := new(float64)
		results := []result{inVariable("loss", got, loss, aggregate)}
		switch variant % 3 {
		case 0:
			to = filled(d, n)
		case 1:
			to = from
		}
		if !to.None() {
			results = append(results, inBuffer(d, "dlogits", to, dlogits, forward))
		}
		run := open(d, from, to)
		return operation{func() { *got = run() }, results}
	}
}

func repeat(v float64, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = v
	}
	return x
}
