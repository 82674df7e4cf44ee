package explain

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert/internal/random"
)

// Removal is f where more and more groups of coordinates take the values of the baseline, those of an order one after another: at
// the shares 0, 1/steps, 2/steps, … 1 of the groups. The result is [len(orders)][steps+1]. A good explanation puts groups first
// without which f falls at once (Samek et al. 2017, arXiv:1509.06321; DeYoung et al. 2020, arXiv:1911.03429).
func Removal(ctx context.Context, f Function, x, baseline []float64, groups [][]int, orders [][]int, steps int) ([][]float64, error) {
	switch {
	case len(x) != len(baseline):
		return nil, errors.New("the point and the baseline differ in length")
	case steps < 1:
		return nil, fmt.Errorf("%d steps, want at least 1", steps)
	}
	without := func(removed []int) []float64 {
		p := append([]float64(nil), x...)
		for _, g := range removed {
			for _, d := range groups[g] {
				p[d] = baseline[d]
			}
		}
		return p
	}
	all := make([]int, len(groups))
	for g := range all {
		all[g] = g
	}
	points := [][]int{nil, all} // what is removed: these, which all orders have, and others
	at := make([][]int, len(orders))
	for o, order := range orders {
		if len(order) != len(groups) {
			return nil, fmt.Errorf("an order of %d groups, want %d", len(order), len(groups))
		}
		before := -1
		for s := range steps + 1 {
			switch removed := RemovedAt(s, steps, len(groups)); {
			case removed == 0:
				at[o] = append(at[o], 0)
			case removed == len(groups):
				at[o] = append(at[o], 1)
			case removed == before:
				at[o] = append(at[o], at[o][s-1])
			default:
				at[o] = append(at[o], len(points))
				points = append(points, order[:removed])
				before = removed
			}
		}
	}
	var values []float64
	for chunk := range slices.Chunk(points, chunkOf(len(x))) {
		rows := make([][]float64, len(chunk))
		for i, removed := range chunk {
			rows[i] = without(removed)
		}
		some, err := f.Values(ctx, rows)
		if err != nil {
			return nil, err
		}
		values = append(values, some...)
	}
	out := make([][]float64, len(orders))
	for o := range out {
		out[o] = make([]float64, steps+1)
		for s, i := range at[o] {
			out[o][s] = values[i]
		}
	}
	return out, nil
}

// RemovedAt is how many of so many groups Removal removes at a step.
func RemovedAt(step, steps, groups int) int {
	return int(math.Round(float64(step) * float64(groups) / float64(steps)))
}

// MeanFall is how far a curve of Removal lies below where it begins, on average over its steps: the larger, the better the order.
func MeanFall(curve []float64) float64 {
	fall := 0.0
	for _, v := range curve[1:] {
		fall += (curve[0] - v) / float64(len(curve)-1)
	}
	return fall
}

// Shuffled is 0 to n−1 in an order at random, which depends on the seed and on its number alone.
func Shuffled(n int, seed uint64, number int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	stream := random.New(seed, 'o', uint64(number))
	stream.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}
