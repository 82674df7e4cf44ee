package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/report/draw"
	"github.com/go-bert/bert/train"
)

// goneOn are the places on the curve of a run's logged steps, whose numbers are y, where the run was resumed, and where it went on
// after a pause of which no resumption is known.
func goneOn(r *Run, o *Options, y []float64) []chartMark {
	var marks []chartMark
	x := stepX(r.Events, o.Against)
	for _, p := range r.Events.Resumptions {
		i, _ := slices.BinarySearchFunc(r.Events.Logged, p.Step, func(s train.LoggedStep, step int) int { return cmp.Compare(s.Step, step) })
		if i >= len(y) {
			continue
		}
		m := chartMark{
			name: fmt.Sprintf("resumed after step %d", p.Step), legend: "resumed", x: x[i], y: y[i], shape: draw.Square, radius: 4.5, paint: draw.Ink,
		}
		if p.Lost > 0 {
			m.name += fmt.Sprintf("; %d steps beyond it were made again", p.Lost)
		}
		if o.Against == Steps {
			m.x = float64(p.Step)
			if i > 0 && r.Events.Logged[i].Step > p.Step {
				// Between the two lines around it.
				from, to := r.Events.Logged[i-1].Step, r.Events.Logged[i].Step
				m.y = y[i-1] + (y[i]-y[i-1])*float64(p.Step-from)/float64(to-from)
			}
		}
		marks = append(marks, m)
	}
	return append(marks, pauseMarks(r, o, y)...)
}

// goneOnAlong is goneOn of the curve of a number of the logged steps, smoothed as it is drawn.
func goneOnAlong(r *Run, o *Options, smoothing float64, of func(train.LoggedStep) float64) []chartMark {
	y := make([]float64, len(r.Events.Logged))
	for i, s := range r.Events.Logged {
		y[i] = of(s)
	}
	if smoothing > 0 {
		y = Smooth(y, smoothing)
	}
	return goneOn(r, o, y)
}

// resumedAround says that a run was resumed between the line of a step, the first after a pause, and the one before.
func resumedAround(e *train.Events, step int) bool {
	before := 0
	for _, s := range e.Logged {
		if s.Step < step {
			before = s.Step
		}
	}
	return slices.ContainsFunc(e.Resumptions, func(r train.Resumption) bool { return before <= r.Step && r.Step <= step })
}

// interruptedBetween is the time from one line to the last resumption before the next, 0 where there is none.
func interruptedBetween(e *train.Events, last, next time.Time) time.Duration {
	longest := time.Duration(0)
	for _, r := range e.Resumptions {
		if d := r.Time.Sub(last); !last.IsZero() && r.Time.Before(next) {
			longest = max(longest, d)
		}
	}
	return longest
}

// resumedFinding says where runs were resumed, "" where none was.
func resumedFinding(runs []*Run) string {
	text := ""
	for _, r := range runs {
		if r.Events == nil || len(r.Events.Resumptions) == 0 {
			continue
		}
		const most = 5
		list := r.Events.Resumptions
		var steps []string
		lost := 0
		for i, x := range list {
			lost += x.Lost
			if i < most {
				steps = append(steps, message.Thousands(x.Step))
			}
		}
		more := ""
		if n := len(list) - most; n > 0 {
			more = fmt.Sprintf(" and %d more times", n)
		}
		if text != "" {
			text += " "
		}
		who := "The run"
		if len(runs) > 1 {
			who = r.Name
		}
		text += fmt.Sprintf("%s was resumed after step %s%s", who, strings.Join(steps, ", "), more)
		if lost > 0 {
			text += fmt.Sprintf("; %s logged steps were made again", message.Thousands(lost))
		}
		text += "."
	}
	return text
}

// stopMark marks the evaluation with which a training stopped early.
func stopMark(r *Run, c *Curve) []chartMark {
	e := r.Events
	last := len(c.X) - 1
	if e.Result == nil || !e.Result.StoppedEarly || last < 0 || !finite(c.Y[last]) {
		return nil
	}
	return []chartMark{{
		name: fmt.Sprintf("stopped early at step %d", e.Result.Steps), legend: "stopped early", x: c.X[last], y: c.Y[last],
		shape: draw.Cross, radius: 6, paint: draw.Ink,
	}}
}
