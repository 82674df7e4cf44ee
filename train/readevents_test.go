package train

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-bert/bert/metric"
)

// someEvents are the lines of a short run.
func someEvents(t testing.TB) []byte {
	t.Helper()
	var b []byte
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i, e := range []Event{
		Started{Steps: 20, Examples: 50, Options: map[string]string{"seed": "42"}},
		Stepped{Step: 10, Epoch: 0.5, MeanLoss: 0.7, LearningRate: 2e-5, GradNorm: 1.5, Examples: 25, Tokens: 500, TokensPerSecond: 90, Logged: true},
		Stepped{Step: 11, Logged: false},
		Evaluated{Step: 10, Epoch: 0.5, Evaluation: Evaluation{Loss: 0.6, Metrics: metric.Metrics{{Name: "f1", Value: 0.8}}}, Best: true, Elapsed: 1500 * time.Millisecond},
		Ended{Result: Result{Steps: 20, Epochs: 1, ModelStep: 10}, Elapsed: time.Minute},
	} {
		var err error
		if b, err = appendLine(b, e, at.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestReadEvents(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadEvents(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of an empty folder: %v", err)
	}
	all := someEvents(t)
	if err := os.WriteFile(filepath.Join(dir, EventsFile), all, 0o666); err != nil {
		t.Fatal(err)
	}
	e, err := ReadEvents(dir)
	if err != nil {
		t.Fatal(err)
	}
	if e.Steps != 20 || e.Examples != 50 || e.Options["seed"] != "42" || e.Started.Hour() != 12 || e.Cut {
		t.Errorf("the run is %+v", e)
	}
	if len(e.Logged) != 1 || e.Logged[0].Loss != 0.7 || e.Logged[0].Tokens != 500 || e.Logged[0].Step != 10 {
		t.Errorf("the steps are %+v", e.Logged)
	}
	if len(e.Evaluations) != 1 || !e.Evaluations[0].Best || e.Evaluations[0].Elapsed != 1500*time.Millisecond || e.Evaluations[0].Evaluation.Metrics[0].Value != 0.8 {
		t.Errorf("the evaluations are %+v", e.Evaluations)
	}
	if e.Result == nil || e.Result.ModelStep != 10 || e.Elapsed != time.Minute {
		t.Errorf("the end is %+v after %v", e.Result, e.Elapsed)
	}
}

// A run may be killed at any byte: what was whole before it is read.
func TestReadEventsOfKilledRuns(t *testing.T) {
	all := someEvents(t)
	ends := []int{0}
	for i, c := range all {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	for n := range len(all) {
		e, err := ParseEvents(bytes.NewReader(all[:n]))
		if err != nil {
			t.Fatalf("cut at byte %d: %v", n, err)
		}
		if e.Cut == slices.Contains(ends, n) {
			t.Fatalf("cut at byte %d: Cut is %v", n, e.Cut)
		}
		if e.Result != nil {
			t.Fatalf("cut at byte %d: the run has ended", n)
		}
	}
}

func TestReadEventsRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"{}\n": ":1: not an event", "nonsense\n": ":1: not JSON", "[]\n": ":1: not an event",
		string(someEvents(t)) + `{"event":"step","time":"2026-03-01T12:00:00Z","step":"ten"}` + "\n": ":5: a value of another type",
		`{"event":"step","x":"` + strings.Repeat("x", 1<<20) + "\"}\n":                               ":1: longer",
	} {
		if _, err := ParseEvents(strings.NewReader(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
	// Lines of a later version are left out.
	if _, err := ParseEvents(strings.NewReader(`{"event":"new","time":"2026-03-01T12:00:00Z"}` + "\n")); err != nil {
		t.Error(err)
	}
}

func FuzzParseEvents(f *testing.F) {
	f.Add(someEvents(f))
	f.Add([]byte("{\"event\":\"evaluation\",\"loss\":null,\"metrics\":{\"a\":null},\"seconds\":1e300}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := ParseEvents(bytes.NewReader(text))
		if err != nil {
			if strings.Contains(err.Error(), "unmarshal") || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is %q", err)
			}
			return
		}
		if len(e.Logged)+len(e.Evaluations) > bytes.Count(text, []byte("\n")) {
			t.Errorf("%d steps and %d evaluations of %d lines", len(e.Logged), len(e.Evaluations), bytes.Count(text, []byte("\n")))
		}
	})
}
