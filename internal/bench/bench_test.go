package bench

import (
	"errors"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/go-bert/bert/internal/compute"
)

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		s    Samples
		q    float64
		want float64
	}{
		{Samples{7}, 0.5, 7},
		{Samples{7}, 0.99, 7},
		{Samples{1, 2}, 0.5, 1.5},
		{Samples{1, 2, 4}, 0.5, 2},
		{Samples{1, 2, 4, 8}, 0.5, 3},
		{Samples{1, 2, 4, 8}, 0, 1},
		{Samples{1, 2, 4, 8}, 1, 8},
		{Samples{0, 10, 20, 30, 40}, 0.99, 39.6},
		{Samples{0, 10, 20, 30, 40}, 0.25, 10},
	} {
		if got := c.s.Quantile(c.q); math.Abs(got-c.want) > 1e-12*c.want {
			t.Errorf("quantile %v of %v is %v, want %v", c.q, c.s, got, c.want)
		}
	}
	if got := Samples(nil).Median(); !math.IsNaN(got) {
		t.Errorf("the median of nothing is %v, want NaN", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := Samples(rapid.SliceOfN(rapid.Float64Range(0, 100), 1, 50).Draw(t, "s"))
		slices.Sort(s)
		a, b := rapid.Float64Range(0, 1).Draw(t, "a"), rapid.Float64Range(0, 1).Draw(t, "b")
		low, high := s.Quantile(min(a, b)), s.Quantile(max(a, b))
		if low < s[0] || high > s[len(s)-1] || low > high+1e-9 {
			t.Fatalf("quantiles %v and %v of %v are %v and %v", min(a, b), max(a, b), s, low, high)
		}
	})
}

func TestTime(t *testing.T) {
	runs := 0
	s, err := Time(0, func() error { runs++; return nil })
	if err != nil || len(s) != minRuns || runs != minRuns+1 || !slices.IsSorted(s) {
		t.Errorf("%d runs, samples %v, error %v; want %d sorted samples after a warm-up run", runs, s, err, minRuns)
	}
	boom := errors.New("boom")
	for _, at := range []int{1, 3} {
		runs = 0
		_, err := Time(0, func() error {
			if runs++; runs == at {
				return boom
			}
			return nil
		})
		if err != boom || runs != at {
			t.Errorf("error %v after %d runs, want %v after %d", err, runs, boom, at)
		}
	}
}

func TestForwardOperations(t *testing.T) {
	// BERT-base at 128 tokens: a whole layer is 1.86 billion operations; eleven of them, then keys and values of 128 rows and
	// everything else for one row.
	if got, want := ForwardOperations(slices.Repeat([]int{768}, 12), 768, 3072, 128), 11*1862270976.0+127*2*2*768*768+14548992; got != want {
		t.Errorf("BERT-base: %.0f operations, want %.0f", got, want)
	}
	// With one token there is only one row: in each of two layers 4 products of 128×128, 2 of 128×512 and 2 of 128 for attention.
	if got, want := ForwardOperations([]int{128, 128}, 128, 512, 1), 2*2*float64(4*128*128+2*128*512+2*128); got != want {
		t.Errorf("Tiny, one token: %.0f operations, want %.0f", got, want)
	}
}

func TestMachine(t *testing.T) {
	for _, threads := range []int{1, 3} {
		m, err := Open(threads)
		if err != nil {
			t.Fatal(err)
		}
		if m.Threads() != threads || m.Level() == "" {
			t.Errorf("%d threads at level %q, want %d", m.Threads(), m.Level(), threads)
		}
		for _, p := range []compute.Precision{compute.Float32, compute.BFloat16} {
			if peak := m.PeakOperations(p, time.Millisecond); !(peak > 0) || math.IsInf(peak, 0) {
				t.Errorf("%d threads, precision %v: the peak is %v", threads, p, peak)
			}
		}
		ran := make([]bool, threads)
		m.parallel(func(thread int) { ran[thread] = true })
		if slices.Contains(ran, false) {
			t.Errorf("parallel ran threads %v", ran)
		}
	}
	if _, err := Open(-1); err == nil {
		t.Error("no error for -1 threads")
	}
	t.Setenv("BERT_SIMD", "mmx")
	if _, err := Open(1); err == nil {
		t.Error("no error for an unknown level")
	}
}

// TestKernels runs every kernel, whose operations panic if a size is wrong, and checks that it counts operations or bytes.
func TestKernels(t *testing.T) {
	m, err := Open(2)
	if err != nil {
		t.Fatal(err)
	}
	s := Sizes{Sequences: 3, Length: 5, Hidden: 24, Intermediate: 40, Heads: 2, Parameters: 100}
	for _, k := range append(Kernels(s), Adam(s)) {
		run, done := k.Prepare(m, compute.BFloat16)
		run()
		run()
		done()
		if (k.Operations > 0) == (k.Bytes > 0) || k.Shape == "" {
			t.Errorf("%s %s: %v operations, %v bytes, want one of them", k.Name, k.Shape, k.Operations, k.Bytes)
		}
		if k.Streams() {
			t.Errorf("%s %s: Streams is true", k.Name, k.Shape)
		}
	}
	base := Sizes{Hidden: 768, Intermediate: 3072, Heads: 12, Parameters: 110e6}
	if k := Adam(base); !k.Streams() {
		t.Errorf("adam %s: Streams is false", k.Shape)
	}
}

// TestThresholds runs the work of every threshold, and checks that its candidates include the compiled-in value.
func TestThresholds(t *testing.T) {
	m, err := Open(2)
	if err != nil {
		t.Fatal(err)
	}
	s := Sizes{Sequences: 3, Length: 5, Hidden: 24, Intermediate: 40, Heads: 2}
	for _, threshold := range Thresholds() {
		if !slices.Contains(threshold.Candidates, threshold.Compiled) {
			t.Errorf("%s: %d is not among %v", threshold.Name, threshold.Compiled, threshold.Candidates)
		}
		for _, p := range []compute.Precision{compute.Float32, compute.BFloat16} {
			for _, trial := range threshold.Try(m, p, s, 0) {
				if len(trial.Times) < minRuns || !slices.IsSorted(trial.Times) || trial.Times[0] <= 0 {
					t.Errorf("%s %d: the times are %v", threshold.Name, trial.Value, trial.Times)
				}
			}
		}
	}
}

// TestPeakMemory checks that the peak rises with an allocation, and that resetting it works.
func TestPeakMemory(t *testing.T) {
	ResetPeakMemory()
	before := PeakMemory()
	if before == 0 {
		t.Skip("the peak memory is unknown on this system")
	}
	const size = 64 << 20
	block := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		block[i] = 1
	}
	with := PeakMemory()
	if with < before+size*9/10 {
		t.Errorf("%d bytes, then %d with %d more", before, with, size)
	}
	runtime.KeepAlive(block)
	ResetPeakMemory()
	if after := PeakMemory(); runtime.GOOS == "linux" && after > with-size*9/10 {
		t.Errorf("%d bytes with %d more than needed, %d without", with, size, after)
	}
}
