package main

import (
	"math"
	"testing"
)

// ended is a run with these values after its epochs.
func ended(stopped bool, values ...float64) *sweepRun {
	r := new(sweepRun)
	for i, v := range values {
		r.record.Evaluations = append(r.record.Evaluations, runEvaluation{Step: 10 * (i + 1), Epoch: float64(i + 1), Value: existing(v)})
	}
	r.record.Finished, r.record.Stopped = true, stopped
	return r
}

// The rule compares a run's best so far with the median of the others' means up to the same epoch.
func TestMedianStopping(t *testing.T) {
	others := []*sweepRun{
		ended(false, 0.2, 0.6, 0.9), // means 0.2, 0.4
		ended(false, 0.4, 0.8, 0.9), // 0.4, 0.6
		ended(false, 0.6, 1.0, 0.9), // 0.6, 0.8
		ended(true, 0.0, 0.0),       // stopped: doesn't count
		ended(true),
	}
	for _, c := range []struct {
		metric string
		values []float64
		others int
		want   bool
	}{
		{"accuracy", []float64{0.39}, 5, true},
		{"accuracy", []float64{0.4}, 5, false}, // strictly worse
		{"accuracy", []float64{0.45, 0.59}, 5, true},
		{"accuracy", []float64{0.61, 0.1}, 5, false}, // its best
		{"accuracy", []float64{math.NaN()}, 5, true},
		{"accuracy", []float64{0.1}, 2, false}, // too few have ended
		{"loss", []float64{0.41}, 5, true},
		{"loss", []float64{0.39}, 5, false},
	} {
		r := ended(false, c.values...)
		r.record.Finished = false
		s := &sweeping{runs: append([]*sweepRun{r}, others[:c.others]...)}
		if got := s.worseThanMedian(r, c.metric); got != c.want {
			t.Errorf("%s %v beside %d: %v, want %v", c.metric, c.values, c.others, got, c.want)
		}
	}
}

func TestMeanDeviation(t *testing.T) {
	mean, deviation := meanDeviation([]float64{1, 2, 4})
	if math.Abs(mean-7.0/3) > 1e-15 || math.Abs(deviation-math.Sqrt(7.0/3)) > 1e-15 {
		t.Errorf("%v, %v", mean, deviation)
	}
	if mean, deviation := meanDeviation([]float64{5}); mean != 5 || !math.IsNaN(deviation) {
		t.Errorf("%v, %v of one", mean, deviation)
	}
	if mean, deviation := meanDeviation(nil); !math.IsNaN(mean) || !math.IsNaN(deviation) {
		t.Errorf("%v, %v of none", mean, deviation)
	}
	if m := median([]float64{4, 1, 3, 2}); m != 2.5 {
		t.Errorf("median %v", m)
	}
}

// A list's values are written as the flag writes them, each once.
func TestListFlag(t *testing.T) {
	f := newFinetuneFlags()
	cmd := (&app{}).sweepCommand()
	flag := cmd.Flags().Lookup("learning-rate")
	if err := flag.Value.Set("2e-5, 0.00002,3e-5"); err != nil || flag.Value.String() != "2e-05,3e-05" {
		t.Errorf("%v, %v", flag.Value, err)
	}
	if err := flag.Value.Set("2e-5,fast"); err == nil || flag.Value.String() != "2e-05,3e-05" {
		t.Errorf("after a bad value: %v, %v", flag.Value, err)
	}
	if got := cmd.Flags().Lookup("num-train-epochs").Value.String(); got != "2" {
		t.Errorf("epochs %s, want %v", got, f.options.Epochs)
	}
}
