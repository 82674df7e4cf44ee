package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// resumed are the steps of a run's resumptions with the steps that were lost.
func resumed(t *testing.T, dir string) string {
	t.Helper()
	list, err := ReadResumptions(dir)
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, r := range list {
		if r.Time.IsZero() {
			t.Errorf("a resumption without a time: %+v", r)
		}
		parts = append(parts, fmt.Sprintf("%d-%d", r.Step, r.Lost))
	}
	return strings.Join(parts, " ")
}

// Each resumption is recorded, beside events that are those of an undisturbed run. Those beyond the checkpoint from which a run goes
// on are forgotten.
func TestResumptions(t *testing.T) {
	whole := newFakeRun(t.TempDir())
	whole.LogSteps = 1
	whole.mustRun(t)
	if _, err := os.Stat(filepath.Join(whole.Output, ResumptionsFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of a run that was never resumed: %v", err)
	}
	f := newFakeRun(t.TempDir())
	f.LogSteps, f.KeepCheckpoints = 1, new(0)
	fail := func(step int) { // the step of this process
		t.Helper()
		f.trainer.badStep, f.trainer.loss = step, math.NaN()
		if _, err := f.run(); err == nil {
			t.Fatal("no error")
		}
		f.Resume = true
	}
	fail(9) // before there is a checkpoint
	fail(14)
	if got := resumed(t, f.Output); got != "" {
		t.Errorf("a run that began again has the resumptions %s", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.ctx, f.trainer.badStep = ctx, 0
	f.onStep(17, cancel)
	if _, err := f.run(); !errors.As(err, new(*InterruptedError)) {
		t.Fatal(err)
	}
	if got := resumed(t, f.Output); got != "10-3" {
		t.Errorf("after one resumption: %s", got)
	}
	f.ctx, f.Observer = context.Background(), nil
	fail(2)
	if got := resumed(t, f.Output); got != "10-3 17-0" {
		t.Errorf("after two: %s", got)
	}
	// The last checkpoint is gone, and with it what was known of it.
	if err := os.RemoveAll(filepath.Join(f.Output, checkpointsName, "step-17")); err != nil {
		t.Fatal(err)
	}
	f.trainer.badStep = 0
	f.mustRun(t)
	if got := resumed(t, f.Output); got != "10-3 10-8" {
		t.Errorf("after three, of which one is forgotten: %s", got)
	}
	got, want := logged(t, f.Output), logged(t, whole.Output)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the events are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	e, err := ReadEvents(f.Output)
	if err != nil || len(e.Resumptions) != 2 || e.Resumptions[1].Step != 10 {
		t.Errorf("the events have the resumptions %+v, %v", e.Resumptions, err)
	}
}

// A damaged record of resumptions is an error for who reads it, and keeps no run from going on.
func TestDamagedResumptions(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.trainer.badStep, f.trainer.loss = 14, math.NaN()
	if _, err := f.run(); err == nil {
		t.Fatal("no error")
	}
	path := filepath.Join(f.Output, ResumptionsFile)
	good := `{"time":"2026-03-01T12:00:00Z","step":3}` + "\n"
	for _, bad := range []string{"nonsense\n", good + `{"step":4}` + "\n", good + `{"time":"2026-03-01T12:00:00Z","step":-1}`, good + "\n"} {
		if err := os.WriteFile(path, []byte(bad), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := ReadResumptions(f.Output)
		line := 1 + strings.Count(bad, good)
		wantError(t, err, fmt.Sprintf("%s:%d: no resumption: want an object with time, step and lost_steps", path, line))
	}
	f.Resume, f.trainer.badStep = true, 0
	f.mustRun(t)
	if got := resumed(t, f.Output); got != "10-2" {
		t.Errorf("the resumptions are %s", got)
	}
}

// Details are in the events alone.
func TestDetails(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.EvalSteps, f.BestMetric = 10, LossMetric
	f.evaluate = func(_ context.Context, p Point) (Evaluation, error) {
		return Evaluation{Loss: float64(p.Step), Details: json.RawMessage(fmt.Sprintf(`{"matrix":[[%d]]}`, p.Step))}, nil
	}
	result := f.mustRun(t)
	if result.Evaluation == nil || result.Evaluation.Details != nil {
		t.Errorf("the result has %+v", result.Evaluation)
	}
	e, err := ReadEvents(f.Output)
	if err != nil || len(e.Evaluations) != 3 || string(e.Evaluations[1].Evaluation.Details) != `{"matrix":[[20]]}` {
		t.Errorf("the evaluations are %+v, %v", e.Evaluations, err)
	}
	state, err := os.ReadFile(filepath.Join(f.Output, checkpointsName, "step-10", stateName))
	if err != nil || bytes.Contains(state, []byte("matrix")) || !bytes.Contains(state, []byte("evaluation")) {
		t.Errorf("the checkpoint is %s, %v", state, err)
	}
}

// Any text is read as resumptions or refused.
func FuzzResumptions(f *testing.F) {
	f.Add([]byte(`{"time":"2026-03-01T12:00:00Z","step":3,"lost_steps":2}` + "\n"))
	f.Add([]byte("{}\n\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := parseResumptions(text)
		if err == nil {
			for _, r := range list {
				if r.Step < 0 || r.Lost < 0 || r.Time.IsZero() {
					t.Fatalf("%q is read as %+v", text, r)
				}
			}
		} else if !errors.As(err, new(*eventError)) || strings.Contains(err.Error(), "\n") {
			t.Fatalf("the error is %q", err)
		}
	})
}
