package report

import (
	"fmt"
	"math"

	"github.com/go-bert/bert/sweep"
)

// restName stands for what no setting explains by itself.
const restName = "settings together, and seeds"

// MainEffects are the shares of the variance of a sweep's results that each setting explains by itself: the variance of the means of
// its values. What remains is of settings together and of seeds. ok is false where the runs are no complete grid, with as many
// results for each combination of values, or where all results are equal: then there are no such shares.
func MainEffects(records []sweep.Record, keys []string) (shares []float64, ok bool) {
	var (
		cells  = make(map[string]int)
		levels = make([]map[string][]float64, len(keys))
		all    []float64
	)
	for k := range levels {
		levels[k] = make(map[string][]float64)
	}
	for i := range records {
		v := runValue(&records[i])
		cell := ""
		for k, key := range keys {
			value := records[i].Settings[key]
			cell += fmt.Sprintf("%q", value)
			level := levels[k][value]
			if finite(v) {
				level = append(level, v)
			}
			levels[k][value] = level // there also without a finite value
		}
		if finite(v) {
			cells[cell]++
			all = append(all, v)
		}
	}
	want := 1
	for k := range levels {
		want *= len(levels[k])
	}
	each := 0
	for _, n := range cells {
		if each == 0 {
			each = n
		}
		if n != each {
			return nil, false
		}
	}
	if len(keys) == 0 || len(all) == 0 || len(cells) != want {
		return nil, false
	}
	mean := meanOf(all)
	total := 0.0
	for _, v := range all {
		total += (v - mean) * (v - mean)
	}
	if !(total > 0) || math.IsInf(total, 0) {
		return nil, false
	}
	for k := range keys {
		sum := 0.0
		for _, value := range sortedKeys(levels[k]) {
			values := levels[k][value]
			d := meanOf(values) - mean
			sum += float64(len(values)) * d * d
		}
		shares = append(shares, sum/total)
	}
	return shares, true
}

func meanOf(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// effectsFigure are the shares of MainEffects as bars.
func effectsFigure(r *Run, runs []*Run, keys []string) []*Figure {
	shares, ok := MainEffects(r.Sweep, keys)
	if !ok || len(keys) < 2 {
		return nil
	}
	b := Bars{Name: "main-effects", Title: r.of("What the result depends on", runs), XTitle: "share of the variance"}
	rest, most := 1.0, 0
	for k, key := range keys {
		b.Bars = append(b.Bars, Bar{Name: key, Value: shares[k]})
		rest -= shares[k]
		if shares[k] > shares[most] {
			most = k
		}
	}
	b.Bars = append(b.Bars, Bar{Name: restName, Value: max(rest, 0)})
	b.Finding = fmt.Sprintf("%s by itself explains %s of the variance of the results, all settings by themselves %s.", keys[most], percent(shares[most]), percent(min(1-rest, 1)))
	return []*Figure{BarsFigure(b)}
}
