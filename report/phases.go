package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert/report/draw"
	"github.com/go-bert/bert/train"
)

// chartBand is a stretch of the horizontal axis that is shaded.
type chartBand struct {
	name     string
	from, to float64
}

// drawBands shades every second band, and names all of them at the top.
func (p *plot) drawBands(bands []chartBand) {
	for i, b := range bands {
		from, to := p.x.At(max(b.from, p.x.Min)), p.x.At(min(b.to, p.x.Max))
		if !(to > from) {
			continue
		}
		if i%2 == 1 {
			p.c.Rect(draw.Rect{X: from, Y: p.area.Y, W: to - from, H: p.area.H}, draw.Panel, draw.Stroke{})
		}
		if name := draw.Fit(b.name, smallSize, to-from-8); name != "" {
			p.c.Text(draw.Point{X: (from + to) / 2, Y: p.area.Y + 10}, name, draw.TextStyle{Size: smallSize, Anchor: draw.Middle, Centred: true, Paint: draw.Muted})
		}
	}
}

// phaseSteps are the steps of each phase of a training, as its options say; nil where it has one phase.
func phaseSteps(e *train.Events) []int {
	parts := strings.Split(e.Options["phases"], "; ")
	if len(parts) < 2 || len(parts) > 100 {
		return nil
	}
	var steps []int
	for _, part := range parts {
		var n int
		if _, err := fmt.Sscanf(part, "%d steps of", &n); err != nil || n <= 0 {
			return nil
		}
		steps = append(steps, n)
	}
	return steps
}

// phaseBands are the phases of a training along an axis. Those of several runs would cover one another: there are none then.
func phaseBands(runs []*Run, o *Options) []chartBand {
	runs = slices.DeleteFunc(slices.Clone(runs), func(r *Run) bool { return r.Events == nil })
	if len(runs) != 1 {
		return nil
	}
	var (
		e     = runs[0].Events
		x     = stepX(e, o.Against)
		bands []chartBand
		from  = math.Inf(-1)
		end   = 0
	)
	for i, n := range phaseSteps(e) {
		end += n
		to := float64(end)
		if o.Against != Steps {
			// The last line of the phase.
			at, found := slices.BinarySearchFunc(e.Logged, end, func(s train.LoggedStep, step int) int { return cmp.Compare(s.Step, step) })
			if !found {
				at--
			}
			if at < 0 || at >= len(x) {
				break
			}
			to = x[at]
		}
		bands = append(bands, chartBand{fmt.Sprintf("phase %d", i+1), from, to})
		from = to
	}
	return bands
}
