package report

import (
	"fmt"
	"math"

	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/report/draw"
	"github.com/go-bert/bert/task"
)

// cutNames are the groups of texts by how much of them was cut.
var cutNames = []string{"whole", "up to a tenth cut", "up to a half cut", "more than half cut"}

// cutGroup is the number of the group of an example.
func cutGroup(x *task.Outcome) int {
	switch share := float64(x.Dropped) / float64(max(x.Dropped+x.Tokens, 1)); {
	case x.Dropped <= 0:
		return 0
	case share <= 0.1:
		return 1
	case share <= 0.5:
		return 2
	}
	return 3
}

// truncationFigure is the share of right answers by how much of the text was cut. Where nothing was cut, or everything, there is
// nothing to compare.
func truncationFigure(o *task.Outcomes, right func(*task.Outcomes, *task.Outcome) (bool, bool)) []*Figure {
	hits, all := make([]int, len(cutNames)), make([]int, len(cutNames))
	for i := range o.Examples {
		x := &o.Examples[i]
		if ok, counts := right(o, x); counts {
			g := cutGroup(x)
			all[g]++
			if ok {
				hits[g]++
			}
		}
	}
	cut, cutRight := 0, 0
	d := Dots{Name: "truncation", Title: "Right answers by what was cut", XTitle: "share that is right", Series: []string{"right"}, Extra: []ExtraColumn{{Column: Column{Name: "examples", Number: true}}}}
	for g, name := range cutNames {
		if g > 0 {
			cut, cutRight = cut+all[g], cutRight+hits[g]
		}
		if all[g] == 0 {
			continue
		}
		i := metric.Wilson(hits[g], all[g])
		d.Rows = append(d.Rows, DotRow{name, []float64{float64(hits[g]) / float64(all[g])}, []*metric.Interval{&i}})
		d.Extra[0].Cells = append(d.Extra[0].Cells, fmt.Sprint(all[g]))
	}
	if cut == 0 || all[0] == 0 {
		return nil
	}
	d.Finding = fmt.Sprintf("Of the texts that the model read whole %s are right, of those that were cut %s.",
		percent(float64(hits[0])/float64(all[0])), percent(float64(cutRight)/float64(cut)))
	return []*Figure{DotsFigure(d)}
}

// averagedThresholds is F1 against the threshold of several labels at once: of all decisions together (micro), and the mean of the
// labels' (macro), in which a rare label weighs as much as a frequent one.
func averagedThresholds(o *task.Outcomes) *Figure {
	const steps = 100
	type counts struct{ right, said, true int }
	var (
		c     = len(o.Labels)
		t     = Table{Columns: numbers("threshold", "micro F1", "macro F1")}
		names = [2]string{"micro F1", "macro F1"}
		x     []float64
		y     [2][]float64
		best  [2]int
	)
	f1 := func(n counts) float64 {
		if n.said+n.true == 0 {
			return 0
		}
		return 2 * float64(n.right) / float64(n.said+n.true)
	}
	// What is said at a threshold is what has a probability above it: counted by the last such threshold, then summed from the end.
	labels := make([][steps]counts, c)
	for i := range o.Examples {
		has := make([]bool, c)
		for _, j := range o.Examples[i].Labels {
			has[j] = true
		}
		for j, p := range o.Examples[i].Probabilities {
			n := &labels[j]
			if has[j] {
				n[0].true++
			}
			if last := min(int(math.Ceil(float64(p)*steps)), steps) - 1; last >= 0 {
				n[last].said++
				if has[j] {
					n[last].right++
				}
			}
		}
	}
	for j := range labels {
		n := &labels[j]
		for s := steps - 2; s >= 0; s-- {
			n[s].right += n[s+1].right
			n[s].said += n[s+1].said
		}
		for s := range n {
			n[s].true = n[0].true
		}
	}
	for s := range steps {
		var all counts
		sum := 0.0
		for j := range labels {
			n := labels[j][s]
			all = counts{all.right + n.right, all.said + n.said, all.true + n.true}
			sum += f1(n)
		}
		x = append(x, float64(s)/steps)
		for k, v := range [2]float64{f1(all), sum / float64(max(c, 1))} {
			y[k] = append(y[k], v)
			if v > y[k][best[k]] {
				best[k] = s
			}
		}
		t.Rows = append(t.Rows, []string{exactly(x[s]), exactly(y[0][s]), exactly(y[1][s])})
	}
	ch := &chart{xTitle: "threshold", yTitle: "F1", x: draw.Scale{Min: 0, Max: 1}, y: draw.Scale{Min: 0, Max: 1}}
	for k, name := range names {
		ch.lines = append(ch.lines, chartLine{name, x, y[k], draw.Stroke{Paint: draw.Series(k), Width: 1.8, Dash: draw.SeriesDash(k)}})
		ch.marks = append(ch.marks, chartMark{name: "best " + name, legend: "best " + name, x: x[best[k]], y: y[k][best[k]], shape: draw.Star, radius: 5.5, paint: draw.Series(k), label: draw.Number(y[k][best[k]])})
	}
	ch.lines = append(ch.lines, chartLine{"threshold in use", []float64{0.5, 0.5}, []float64{0, 1}, draw.Stroke{Paint: draw.Muted, Width: 1.2, Dash: []float64{5, 4}}})
	f := &Figure{
		Name: "macro-threshold", Title: "F1 by threshold: all decisions, and the mean of the labels", Table: t, Draw: ch.draw, Text: ch.text,
		Finding: fmt.Sprintf("Macro F1 is best at a threshold of %s: %s; micro F1 at %s: %s. At 0.5, which the model uses, they are %s and %s.",
			draw.Number(x[best[1]]), draw.Number(y[1][best[1]]), draw.Number(x[best[0]]), draw.Number(y[0][best[0]]), draw.Number(y[1][steps/2]), draw.Number(y[0][steps/2])),
	}
	f.Width, f.Height = ch.size()
	return f
}
