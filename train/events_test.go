package train

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-bert/bert/metric"
)

func TestEvaluationJSON(t *testing.T) {
	e := Evaluation{Metrics: metric.Metrics{{Name: "z", Value: 0.1}, {Name: "a", Value: math.NaN()}, {Name: `q"`, Value: math.Inf(1)}}, Loss: 1.0 / 3}
	text := mustJSON(t, e)
	if want := `{"loss":0.3333333333333333,"metrics":{"z":0.1,"a":null,"q\"":null}}`; string(text) != want {
		t.Errorf("JSON is %s, want %s", text, want)
	}
	var back Evaluation
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.Loss != e.Loss || len(back.Metrics) != 3 || back.Metrics[0] != e.Metrics[0] || !math.IsNaN(back.Metrics[1].Value) || back.Metrics[2].Name != `q"` {
		t.Errorf("read back: %+v", back)
	}
	for _, bad := range []string{`{"metrics":[1]}`, `{"metrics":{"a":"b"}}`, `{"loss":"x"}`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s is read without an error", bad)
		}
	}
	if _, ok := e.Metrics.Get("b"); ok {
		t.Error("there is a metric b")
	}
}

func TestLines(t *testing.T) {
	var b strings.Builder
	report := Lines(&b)
	for _, e := range []Event{
		Started{Steps: 312, Examples: 5000},
		Started{Step: 20, Steps: 312, Examples: 5000, Checkpoint: "out/checkpoints/step-20"},
		Stepped{Step: 21, Steps: 312, Loss: 1},
		Stepped{Step: 30, Steps: 312, Epoch: 0.192, Loss: 9, MeanLoss: 0.69314, LearningRate: 1.871e-5, Logged: true, ExamplesPerSecond: 25.06, TokensPerSecond: 3203.4, Left: 252*time.Second + 300*time.Millisecond},
		Evaluated{Step: 157, Steps: 312, Evaluation: Evaluation{Metrics: metric.Metrics{{Name: "accuracy", Value: 0.85741}, {Name: "f1", Value: 0.8545}}, Loss: 0.4057}, Best: true},
		Saved{Checkpoint: "out/checkpoints/step-30"},
		Note{Text: "something"},
		Ended{Result{Steps: 312, Epochs: 1.9968, ModelStep: 157, StoppedEarly: true}, 8340 * time.Millisecond},
	} {
		report(e)
	}
	want := `training for 312 steps on 5000 examples
resuming from out/checkpoints/step-20: step 20 of 312, 5000 examples
step 30/312  epoch 0.19  loss 0.6931  rate 1.87e-05  25.1 examples/s  3203 tokens/s  4m12s left
evaluation at step 157/312: loss 0.4057  accuracy 0.8574  f1 0.8545  (best so far)
checkpoint out/checkpoints/step-30
something
trained for 312 steps (2.00 epochs) in 8.3s, stopped early: the model is from step 157
`
	if b.String() != want {
		t.Errorf("lines are\n%s\nwant\n%s", b.String(), want)
	}
}

func TestMeter(t *testing.T) {
	var m meter
	if e, tok, ops := m.rates(); e != 0 || tok != 0 || ops != 0 || m.left(5) != 0 {
		t.Error("an unused meter shows something")
	}
	// The first step has full weight.
	m.add(2*time.Second, 32, 1000, 6e9)
	if e, tok, ops := m.rates(); !within(e, 16, 1e-12) || !within(tok, 500, 1e-12) || !within(ops, 3e9, 1e-12) {
		t.Errorf("rates are %v, %v and %v, want 16, 500 and 3e9", e, tok, ops)
	}
	if left := m.left(10); (left - 20*time.Second).Abs() > time.Millisecond {
		t.Errorf("%v left, want 20s", left)
	}
	// The rate adapts to a change of speed.
	for range 100 {
		m.add(time.Second, 32, 1000, 6e9)
	}
	if e, _, _ := m.rates(); !within(e, 32, 0.01) {
		t.Errorf("rate is %v, want about 32", e)
	}
	if left := m.left(10); (left - 10*time.Second).Abs() > 100*time.Millisecond {
		t.Errorf("%v left, want 10s", left)
	}
}

// The events of a killed run may end anywhere.
func TestReadRecord(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.mustRun(t)
	path := filepath.Join(f.Output, eventsName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := strings.IndexByte(string(text), '\n') + 1
	for n := len(text); n >= 0; n -= 7 {
		if err := os.WriteFile(path, text[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		rec, err := readRecord(f.Output)
		if err != nil || rec == nil {
			t.Fatalf("%d bytes: %v, %v", n, rec, err)
		}
		if got, want := rec.options["seed"] == "42", n >= first; got != want {
			t.Errorf("%d bytes: options are %v", n, rec.options)
		}
		if got, want := rec.result != nil, n == len(text); got != want {
			t.Errorf("%d bytes: result is %+v", n, rec.result)
		}
	}
	if rec, err := readRecord(t.TempDir()); rec != nil || err != nil {
		t.Errorf("an empty folder has the record %+v, %v", rec, err)
	}
}
