package computetest

import (
	"fmt"

	"github.com/go-bert/bert/internal/compute"
)

// Of the checks of a loss some have weights, some write the gradient to a buffer of its own, over the logits or nowhere.
type lossVariant struct{ weighted, apart, over bool }

func variantOf(i int) lossVariant { return lossVariant{i%2 == 0, i%3 == 0, i%3 == 1} }

// weights is rows weights, or none.
func (v lossVariant) weights(data *inputs, rows int) (weights []float32, wider []float64) {
	if !v.weighted {
		return nil, nil
	}
	weights = data.around(rows, 1)
	return weights, wide(weights)
}

// operation is a loss of logits that leaves count losses; issue runs it.
func (v lossVariant) operation(d compute.Device, logits []float32, count int, losses, dlogits []float64, scale, bound float64,
	issue func(from, to compute.Buffer, at compute.Losses)) operation {
	from, into := upload(d, logits), newLossRows(d, count)
	var to compute.Buffer
	switch {
	case v.apart:
		to = filled(d, len(logits))
	case v.over:
		to = from
	}
	results := []result{into.result(losses, bound)}
	if !to.None() {
		results = append(results, inBuffer(d, "dlogits", to, times(dlogits, repeat(scale, len(dlogits))), forward))
	}
	return operation{func() { issue(from, to, into.where) }, results}
}

func crossEntropyChecks() (checks []check) {
	const scale = 0.25
	i := 0
	for _, classes := range []int{1, 2, 5, 100, 3001} {
		for _, rows := range rowCounts {
			variant, hard, soft := variantOf(i), i%4 != 1, i%4 != 0 && i%4 != 3
			i++
			checks = append(checks, check{fmt.Sprintf("%dx%d", rows, classes), func(data *inputs, _ compute.Device) func(compute.Device) operation {
				logits := data.normal(rows*classes, 3)
				var labels []int32
				if hard {
					labels = data.indices(rows, classes)
					for r := range labels {
						if r%5 == 3 || soft && r%2 == 1 {
							labels[r] = -100
						}
					}
				}
				var (
					targets     []float32
					wideTargets []float64
				)
				if soft {
					targets = data.distributions(rows, classes)
					wideTargets = wide(targets)
				}
				weights, wideWeights := variant.weights(data, rows)
				losses, dlogits := crossEntropy(wide(logits), labels, wideTargets, wideWeights, rows, classes)
				return func(d compute.Device) operation {
					return variant.operation(d, logits, rows, losses, dlogits, scale, forward, func(from, to compute.Buffer, at compute.Losses) {
						d.CrossEntropy(&compute.CrossEntropy{
							Rows: rows, Classes: classes, Logits: from, Labels: labels, Targets: targets, Weights: weights,
							Scale: scale, DLogits: to, Losses: at,
						})
					})
				}
			}})
		}
	}
	return checks
}

// distributions is rows of probabilities, of which every seventh row is zeros.
func (in *inputs) distributions(rows, classes int) []float32 {
	x := make([]float32, rows*classes)
	for r := range rows {
		if r%7 == 5 {
			continue
		}
		row := x[r*classes:][:classes]
		sum := float32(0)
		for i := range row {
			row[i] = in.Float32()
			sum += row[i]
		}
		for i := range row {
			row[i] /= sum
		}
	}
	return x
}

// spanLossChecks computes both columns, one after the other in the same buffers.
func spanLossChecks() (checks []check) {
	const scale = 0.5
	for i, starts := range [][]int{{0}, {0, 1}, {0, 2, 2, 42, 43, 173}, {0, 5, 10}} {
		variant := variantOf(i)
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
			weights, wideWeights := variant.weights(data, count)
			first, dlogits := spanLoss(wide(logits), starts, 0, labels[0], wideWeights)
			last, d := spanLoss(wide(logits), starts, 1, labels[1], wideWeights)
			losses, dlogits := append(first, last...), plus(dlogits, d)
			return func(d compute.Device) operation {
				return variant.operation(d, logits, 2*count, losses, dlogits, scale, forward, func(from, to compute.Buffer, at compute.Losses) {
					for column := range 2 {
						d.SpanLoss(&compute.SpanLoss{
							Starts: starts, Logits: from, Column: column, Labels: labels[column], Weights: weights, Scale: scale, DLogits: to,
							Losses: compute.Losses{Numbers: at.Numbers, Offset: at.Offset + column*count},
						})
					}
				})
			}
		}})
	}
	return checks
}

func binaryCrossEntropyChecks() (checks []check) {
	const scale = 0.5
	for i, shape := range [][2]int{{0, 3}, {1, 1}, {2, 5}, {13, 20}} {
		variant, rows, classes := variantOf(i), shape[0], shape[1]
		checks = append(checks, check{fmt.Sprintf("%dx%d", rows, classes), func(data *inputs, _ compute.Device) func(compute.Device) operation {
			n := rows * classes
			logits, targets := data.normal(n, 3), data.normal(n, 1)
			for i, t := range targets {
				targets[i] = min(max(t, 0), 1)
			}
			weights, wideWeights := variant.weights(data, rows)
			losses, dlogits := binaryCrossEntropy(wide(logits), wide(targets), wideWeights, classes)
			return func(d compute.Device) operation {
				return variant.operation(d, logits, n, losses, dlogits, scale, aggregate, func(from, to compute.Buffer, at compute.Losses) {
					d.BinaryCrossEntropy(&compute.BinaryCrossEntropy{
						Rows: rows, Classes: classes, Logits: from, Targets: targets, Weights: weights, Scale: scale, DLogits: to, Losses: at,
					})
				})
			}
		}})
	}
	return checks
}

func squaredErrorChecks() (checks []check) {
	const scale = 0.5
	for i, rows := range rowCounts {
		variant := variantOf(i)
		checks = append(checks, check{fmt.Sprint(rows), func(data *inputs, _ compute.Device) func(compute.Device) operation {
			logits, targets := data.normal(rows, 2), data.normal(rows, 2)
			weights, wideWeights := variant.weights(data, rows)
			losses, dlogits := squaredError(wide(logits), wide(targets), wideWeights)
			return func(d compute.Device) operation {
				return variant.operation(d, logits, rows, losses, dlogits, scale, aggregate, func(from, to compute.Buffer, at compute.Losses) {
					d.SquaredError(&compute.SquaredError{Rows: rows, Logits: from, Targets: targets, Weights: weights, Scale: scale, DLogits: to, Losses: at})
				})
			}
		}})
	}
	return checks
}

func repeat(v float64, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = v
	}
	return x
}
