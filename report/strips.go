package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert/report/draw"
)

// StripPoint is a run in a strip.
type StripPoint struct {
	Name  string // where the pointer is
	Value float64
	State RunState
}

// RunState is how a run ended.
type RunState uint8

// The states.
const (
	RunEnded RunState = iota
	RunStopped
	RunFailed
)

// Strip is the runs of one setting.
type Strip struct {
	Name   string
	Points []StripPoint
}

// Strips is what a figure of strips shows.
type Strips struct {
	Name, Title    string
	XTitle, YTitle string
	Strips         []Strip
	Less           bool // the least number is the best
}

// StripsFigure draws each run of each setting as a dot, with the mean and, of five runs and more, the median.
func StripsFigure(s Strips) *Figure {
	t := Table{Columns: append(words(s.XTitle, "run"), append(numbers(s.YTitle), words("")...)...)}
	t.Columns[0].Text, t.Columns[1].Text = true, true
	best, bestMean := "", math.NaN()
	for _, strip := range s.Strips {
		mean, n := strip.mean()
		if n > 0 && (math.IsNaN(bestMean) || s.Less && mean < bestMean || !s.Less && mean > bestMean) {
			best, bestMean = strip.Name, mean
		}
		for _, p := range strip.Points {
			t.Rows = append(t.Rows, []string{strip.Name, p.Name, exactly(p.Value), [...]string{"", "stopped", "failed"}[p.State]})
		}
	}
	t.sampled()
	f := &Figure{Name: s.Name, Title: s.Title, Table: t, Width: figureWidth, Height: 340, Draw: s.draw}
	f.Finding = "No run has a result."
	if n := len(s.Strips); best != "" || !math.IsNaN(bestMean) {
		f.Finding = fmt.Sprintf("Of %d settings the mean is best at %s: %s.", n, best, draw.Number(bestMean))
	}
	return f
}

// mean is that of the runs with a number.
func (s *Strip) mean() (mean float64, n int) {
	sum := 0.0
	for _, p := range s.Points {
		if finite(p.Value) {
			sum += p.Value
			n++
		}
	}
	return sum / float64(n), n
}

func (s *Strips) draw(c draw.Canvas) {
	p := newPlot(c, figureWidth, 340, s.XTitle, s.YTitle)
	e := []entry{{name: "run", paint: draw.Series(0), mark: true}, {name: "mean", paint: draw.Series(1)}}
	var values []float64
	has := make(map[RunState]bool)
	median := false
	for _, strip := range s.Strips {
		median = median || len(strip.Points) >= 5
		for _, r := range strip.Points {
			values = append(values, r.Value)
			has[r.State] = true
		}
	}
	if median {
		e = append(e, entry{name: "median", paint: draw.Series(2), dash: []float64{4, 2}})
	}
	if has[RunStopped] {
		e = append(e, entry{name: "stopped", paint: draw.Series(0), mark: true, shape: draw.Triangle})
	}
	if has[RunFailed] {
		e = append(e, entry{name: "failed", paint: draw.Series(0), mark: true, shape: draw.Cross})
	}
	legend(c, draw.Point{X: p.area.X, Y: 4}, p.area.W, e)
	h := legendHeight(e, p.area.W)
	p.area.Y += h
	p.area.H -= h
	low, high, ok := span(values)
	if !ok {
		low, high = 0, 1
	}
	y := draw.Scale{}
	y.Min, y.Max = around(low, high, 0.08)
	p.scales(draw.Scale{Min: -0.5, Max: float64(len(s.Strips)) - 0.5}, y)
	p.xTicks = []draw.Tick{}
	room := p.area.W / float64(max(1, len(s.Strips)))
	every := int(math.Ceil(float64(len(s.Strips)) / 20))
	for i, strip := range s.Strips {
		if i%max(every, 1) == 0 {
			p.xTicks = append(p.xTicks, draw.Tick{Value: float64(i), Label: draw.Fit(strip.Name, smallSize, max(30, room*float64(max(every, 1))-4))})
		}
	}
	p.frame()
	for i, strip := range s.Strips {
		for k, r := range strip.Points {
			v := r.Value
			if !finite(v) {
				v = y.Min // what has no number stands on the axis
			}
			at := p.at(float64(i)+0.3*(float64(k)+0.5)/float64(len(strip.Points))-0.15, v)
			shape := [...]draw.Shape{draw.Disc, draw.Triangle, draw.Cross}[r.State]
			c.Group(r.Name+": "+draw.Number(r.Value), func() { draw.Mark(c, shape, at, 4, draw.Series(0)) })
		}
		mean, n := strip.mean()
		if n == 0 {
			continue
		}
		draw.Line(c, p.at(float64(i)-0.3, mean), p.at(float64(i)+0.3, mean), draw.Stroke{Paint: draw.Series(1), Width: 2})
		if n >= 5 {
			m := strip.median()
			draw.Line(c, p.at(float64(i)-0.3, m), p.at(float64(i)+0.3, m), draw.Stroke{Paint: draw.Series(2), Width: 2, Dash: []float64{4, 2}})
		}
	}
}

func (s *Strip) median() float64 {
	var values []float64
	for _, p := range s.Points {
		if finite(p.Value) {
			values = append(values, p.Value)
		}
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// ExpectedBest is the expected best of b runs, drawn with replacement from those whose values these are (Dodge et al. 2019,
// arXiv:1909.03004): Σᵢ v₍ᵢ₎·((i/n)^b − ((i−1)/n)^b). 0.5, 0.7 and 0.9 give 0.789 for two runs. less says that the least is the
// best.
func ExpectedBest(values []float64, b int, less bool) float64 {
	sorted := slices.Clone(values)
	slices.SortFunc(sorted, func(x, y float64) int {
		if less {
			return cmp.Compare(y, x)
		}
		return cmp.Compare(x, y)
	})
	n, sum := float64(len(sorted)), 0.0
	for i, v := range sorted {
		sum += v * (math.Pow(float64(i+1)/n, float64(b)) - math.Pow(float64(i)/n, float64(b)))
	}
	return sum
}

// ParallelRun is a line of parallel coordinates.
type ParallelRun struct {
	Name   string
	Values []string // by axis
	Result float64
}

// Parallel is what parallel coordinates show: what each run was given, and what it found.
type Parallel struct {
	Name, Title string
	Axes        []string
	Runs        []ParallelRun
	ResultTitle string
}

// ParallelFigure draws an axis for each setting and one for the result, and a line for each run, in the colour of its result.
// Values that are numbers are in their order, others by the alphabet, at equal distances.
func ParallelFigure(p Parallel) *Figure {
	t := Table{Columns: append(words("run"), append(words(p.Axes...), numbers(p.ResultTitle)...)...)}
	t.Columns[0].Text = true
	values := make([]float64, 0, len(p.Runs))
	for _, r := range p.Runs {
		t.Rows = append(t.Rows, append(append([]string{r.Name}, r.Values...), exactly(r.Result)))
		values = append(values, r.Result)
	}
	t.sampled()
	low, high, _ := span(values)
	return &Figure{
		Name: p.Name, Title: p.Title, Table: t, Width: figureWidth, Height: 320, Draw: p.draw,
		Finding: fmt.Sprintf("%d runs, with %s from %s to %s.", len(p.Runs), p.ResultTitle, draw.Number(low), draw.Number(high)),
	}
}

func (p *Parallel) draw(c draw.Canvas) {
	const top, bottom, side = 40.0, 290.0, 60.0
	n := len(p.Axes)
	x := func(axis int) float64 { return side + (figureWidth-2*side)*float64(axis)/float64(max(n, 1)) }
	places := make([]map[string]float64, n)
	for a := range p.Axes {
		var names []string
		for _, r := range p.Runs {
			if !slices.Contains(names, r.Values[a]) {
				names = append(names, r.Values[a])
			}
		}
		slices.SortFunc(names, compareValues)
		places[a] = make(map[string]float64)
		for i, name := range names {
			y := (top + bottom) / 2
			if len(names) > 1 {
				y = bottom - (bottom-top)*float64(i)/float64(len(names)-1)
			}
			places[a][name] = y
		}
	}
	var results []float64
	for _, r := range p.Runs {
		results = append(results, r.Result)
	}
	low, high, ok := span(results)
	if !ok {
		low, high = 0, 1
	}
	y := draw.Scale{From: bottom, To: top}
	y.Min, y.Max = around(low, high, 0)
	order := make([]int, len(p.Runs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p.Runs[a].Result, p.Runs[b].Result) })
	for _, i := range order {
		r := &p.Runs[i]
		if !finite(r.Result) {
			continue
		}
		var points []draw.Point
		for a, v := range r.Values {
			points = append(points, draw.Point{X: x(a), Y: places[a][v]})
		}
		points = append(points, draw.Point{X: x(n), Y: y.At(r.Result)})
		share := (r.Result - y.Min) / (y.Max - y.Min)
		c.Group(r.Name+": "+draw.Number(r.Result), func() {
			c.Polyline(points, draw.Stroke{Paint: draw.Fixed(draw.Sequential(0.1 + 0.75*share)), Width: 1.8})
		})
	}
	axis := draw.Stroke{Paint: draw.Muted, Width: 1.2}
	for a, name := range append(slices.Clone(p.Axes), p.ResultTitle) {
		draw.Line(c, draw.Point{X: x(a), Y: top}, draw.Point{X: x(a), Y: bottom}, axis)
		c.Text(draw.Point{X: x(a), Y: 20}, draw.Fit(name, smallSize, 110), draw.TextStyle{Size: smallSize, Anchor: draw.Middle, Bold: true})
	}
	for a := range places {
		for _, name := range slices.SortedFunc(keysOf(places[a]), compareValues) {
			if a > 0 { // lines end here
				w := draw.Width(draw.Fit(name, smallSize, 80), smallSize, false)
				c.Rect(draw.Rect{X: x(a) - 9 - 1.1*w, Y: places[a][name] - 8, W: 1.1*w + 6, H: 16}, draw.Paper.Alpha(0.85), draw.Stroke{})
			}
			c.Text(draw.Point{X: x(a) - 6, Y: places[a][name]}, draw.Fit(name, smallSize, 80), draw.TextStyle{Size: smallSize, Anchor: draw.End, Centred: true})
		}
	}
	for _, t := range y.Ticks(5) {
		c.Text(draw.Point{X: x(n) + 6, Y: y.At(t.Value)}, t.Label, draw.TextStyle{Size: smallSize, Centred: true, Paint: draw.Muted})
	}
}
