package train

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Lines is an Observer that writes what happens as plain lines: of the steps, those that are logged.
func Lines(w io.Writer) Observer {
	return func(e Event) {
		if line := Line(e); line != "" {
			fmt.Fprintln(w, line)
		}
	}
}

// Line says what happened, in a line without a line break. It is empty for a step that is not logged and
// for the progress of an evaluation.
func Line(e Event) string {
	switch e := e.(type) {
	case Started:
		if e.Checkpoint != "" {
			return fmt.Sprintf("resuming from %s: step %d of %d, %d examples", e.Checkpoint, e.Step, e.Steps, e.Examples)
		}
		return fmt.Sprintf("training for %d steps on %d examples", e.Steps, e.Examples)
	case Stepped:
		if !e.Logged {
			return ""
		}
		peak := ""
		if e.ShareOfPeak > 0 {
			peak = fmt.Sprintf("  %.0f %% of peak", 100*e.ShareOfPeak)
		}
		var terms strings.Builder
		for i, t := range e.Terms {
			fmt.Fprintf(&terms, "%s%s %.4f", [...]string{" (", ", "}[min(i, 1)], t.Name, t.Value)
		}
		if len(e.Terms) > 0 {
			terms.WriteByte(')')
		}
		return fmt.Sprintf("step %d/%d  epoch %.2f  loss %.4f%s  rate %.3g  %.1f examples/s  %.0f tokens/s%s  %v left",
			e.Step, e.Steps, e.Epoch, e.MeanLoss, terms.String(), e.LearningRate, e.ExamplesPerSecond, e.TokensPerSecond, peak, seconds(e.Left))
	case Evaluated:
		best := ""
		if e.Best {
			best = "  (best so far)"
		}
		return fmt.Sprintf("evaluation at step %d/%d: %s%s", e.Step, e.Steps, e.Evaluation, best)
	case Saved:
		return "checkpoint " + e.Checkpoint
	case Note:
		return e.Text
	case Ended:
		r := e.Result
		text := fmt.Sprintf("trained for %d steps (%.2f epochs) in %v", r.Steps, r.Epochs, seconds(e.Elapsed))
		if r.StoppedEarly {
			text += ", stopped early"
		}
		if r.ModelStep != r.Steps {
			text += fmt.Sprintf(": the model is from step %d", r.ModelStep)
		}
		return text
	}
	return ""
}

// String returns the loss and the metrics in one line.
func (e Evaluation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "loss %.4f", e.Loss)
	for _, m := range e.Metrics {
		fmt.Fprintf(&b, "  %s %.4f", m.Name, m.Value)
	}
	return b.String()
}

// seconds rounds a duration for display.
func seconds(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}
