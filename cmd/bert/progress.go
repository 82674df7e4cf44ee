package main

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/train"
)

// progress shows the progress of a run: bars on a terminal, plain lines elsewhere, nothing with --quiet.
type progress struct {
	app        *app
	official   []string      // the metrics of an evaluation to show; nil: the first few
	stderr     io.Writer     // the app's own, which the bars replace while they are shown
	bars       *mpb.Progress // nil: plain lines
	steps      *mpb.Bar
	evaluation *mpb.Bar
	status     atomic.Pointer[string] // shown beside steps
	lastLine   time.Time              // when an evaluation last logged a line
}

func (a *app) newProgress() *progress {
	p := &progress{app: a, stderr: a.stderr}
	if !a.quiet && isTerminal(a.stderr) {
		p.bars = mpb.New(mpb.WithOutput(a.stderr), mpb.WithAutoRefresh())
		a.stderr = p.bars // so that log lines go above the bars
	}
	return p
}

// close removes the bars from the terminal.
func (p *progress) close() {
	if p.bars == nil {
		return
	}
	for _, bar := range []*mpb.Bar{p.evaluation, p.steps} {
		if bar != nil {
			bar.Abort(true)
		}
	}
	p.bars.Wait()
	p.app.stderr = p.stderr
	p.bars = nil
}

// event shows an event of a training run.
func (p *progress) event(e train.Event) {
	if now, ok := e.(train.Evaluating); ok {
		p.evaluated(now.Done, now.All)
		return
	}
	stepped, isStep := e.(train.Stepped)
	if evaluated, ok := e.(train.Evaluated); ok {
		// A few metrics are enough here: events.jsonl has all of them, and the last evaluation is printed at the end.
		evaluated.Evaluation.Metrics = p.few(evaluated.Evaluation.Metrics)
		e = evaluated
	}
	if note, ok := e.(train.Note); ok && note.Warning {
		p.app.warnOnce(note.Text)
	} else if line := train.Line(e); line != "" && (!isStep || p.bars == nil) {
		p.app.log.Info(line)
	}
	if p.bars == nil {
		return
	}
	if started, ok := e.(train.Started); ok {
		p.steps = p.newBar("training", started.Steps, func() string {
			if s := p.status.Load(); s != nil {
				return *s
			}
			return ""
		})
		p.steps.SetCurrent(int64(started.Step))
	}
	if isStep {
		peak := ""
		if stepped.ShareOfPeak > 0 {
			peak = fmt.Sprintf("  %.0f %% of peak", 100*stepped.ShareOfPeak)
		}
		status := fmt.Sprintf("loss %.4f  rate %.2g  %.1f examples/s  %s tokens/s%s  %s left",
			stepped.MeanLoss, stepped.LearningRate, stepped.ExamplesPerSecond, thousands(int(stepped.TokensPerSecond)), peak, shortTime(stepped.Left))
		p.status.Store(&status)
		// The last step does not complete the bar, which stays while the model is evaluated.
		p.steps.SetCurrent(int64(stepped.Step))
	}
}

// few selects the metrics of an evaluation that fit on a line.
func (p *progress) few(all metric.Metrics) metric.Metrics {
	var out metric.Metrics
	for _, name := range p.official {
		if v, ok := all.Get(name); ok {
			out = append(out, metric.Metric{Name: name, Value: v})
		}
	}
	for _, m := range all {
		if _, shown := out.Get(m.Name); !shown && len(out) < 3 {
			out = append(out, m)
		}
	}
	return out
}

// evaluated shows the progress of an evaluation.
func (p *progress) evaluated(done, all int) { p.at("evaluating", done, all) }

// at shows the progress of what goes through examples, of which all is the number. Where that is 0, it goes through the lines of texts, of which
// nobody knows how many there are.
func (p *progress) at(what string, done, all int) {
	if p.bars == nil || all == 0 {
		now := time.Now()
		if done == all {
			p.lastLine = time.Time{}
			return
		}
		if p.lastLine.IsZero() {
			p.lastLine = now
		}
		// A short evaluation needs no line; a long one should show that it is still running.
		if now.Sub(p.lastLine) > 30*time.Second {
			p.lastLine = now
			of := fmt.Sprintf("%s of %s examples", thousands(done), thousands(all))
			if all == 0 {
				of = thousands(done) + " lines"
			}
			p.app.log.Info(what + ": " + of)
		}
		return
	}
	if p.evaluation == nil {
		p.evaluation = p.newBar(what, all, func() string { return "" })
	}
	p.evaluation.SetCurrent(int64(done))
	if done == all {
		p.evaluation.Abort(true)
		p.evaluation = nil
	}
}

func (p *progress) newBar(name string, total int, status func() string) *mpb.Bar {
	return p.bars.New(int64(total+1), // one more, so that it never completes by itself
		mpb.BarStyle().Lbound("").Filler("█").Tip("█").Padding("░").Rbound(""),
		mpb.BarWidth(24),
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Any(func(s decor.Statistics) string {
			return fmt.Sprintf("%s %s/%s ", name, thousands(int(s.Current)), thousands(total))
		})),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + status() })),
	)
}

// shortTime formats a duration as 45s, 2m10s or 1h05m.
func shortTime(d time.Duration) string {
	switch {
	case d >= time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	default:
		return d.Round(time.Second).String()
	}
}
