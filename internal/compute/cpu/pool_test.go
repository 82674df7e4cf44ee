package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/simd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// countTask counts how often each job is done.
type countTask struct{ done []atomic.Int32 }

func (t *countTask) do(_ *worker, job int) { t.done[job].Add(1) }

func generic(t testing.TB) *simd.Kernels {
	t.Helper()
	k, ok := simd.For(simd.Generic)
	if !ok {
		t.Fatal("no plain Go level")
	}
	return k
}

// TestPoolDoesEachJobOnce runs tasks of all sizes, with pauses in which the workers park, on fewer and on more workers
// than processors.
func TestPoolDoesEachJobOnce(t *testing.T) {
	for _, processors := range []int{1, 2} {
		for _, threads := range []int{1, 2, 3, 8} {
			func() {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
				p := newPool(newKernels(generic(t), compute.Float32, DefaultThresholds()), threads)
				defer func() {
					p.close()
					p.ended.Wait()
				}()
				for round := range 300 {
					count := &countTask{make([]atomic.Int32, round%40)}
					p.run(count, len(count.done))
					for j := range count.done {
						if n := count.done[j].Load(); n != 1 {
							t.Fatalf("%d processors, %d threads, round %d: job %d of %d was done %d times", processors, threads, round, j, len(count.done), n)
						}
					}
					if round%50 == 0 {
						time.Sleep(2 * DefaultThresholds().Spin)
					}
				}
			}()
		}
	}
}

// meetTask has two jobs, each of which ends only when both have begun.
type meetTask struct{ begun sync.WaitGroup }

func (t *meetTask) do(*worker, int) {
	t.begun.Done()
	t.begun.Wait()
}

// TestPoolWorksInParallel asserts that a second worker comes, awake or parked.
func TestPoolWorksInParallel(t *testing.T) {
	p := newPool(newKernels(generic(t), compute.Float32, DefaultThresholds()), 2)
	defer func() {
		p.close()
		p.ended.Wait()
	}()
	for round := range 100 {
		var meet meetTask
		meet.begun.Add(2)
		p.run(&meet, 2)
		if round%10 == 0 {
			time.Sleep(2 * DefaultThresholds().Spin)
		}
	}
}

func TestCloseTwice(t *testing.T) {
	d := NewAt(generic(t), 3, compute.Float32)
	d.Close()
	d.Close()
}

// TestForgottenDeviceEnds drops a device without closing it; its workers end when the collector has found it.
func TestForgottenDeviceEnds(t *testing.T) {
	ended := make(chan struct{})
	func() {
		d := NewAt(generic(t), 3, compute.Float32)
		b := alloc(d, 1<<20)
		d.Zero(b)
		p := d.pool
		go func() {
			p.ended.Wait()
			close(ended)
		}()
	}()
	for {
		runtime.GC()
		select {
		case <-ended:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestCallersTakeTurns runs operations of several goroutines on one device.
func TestCallersTakeTurns(t *testing.T) {
	d := NewAt(generic(t), 2, compute.Float32)
	defer d.Close()
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			const n = 50000
			x := alloc(d, n)
			one := make([]float32, n)
			for i := range one {
				one[i] = 1
			}
			ones := wrap(d, one)
			for i := range 20 {
				d.Add(x, ones)
				if got, want := must(d.SumSquares(x)), float64(n*(i+1)*(i+1)); got != want {
					t.Errorf("after %d additions the sum of squares is %v, want %v", i+1, got, want)
					return
				}
			}
		})
	}
	callers.Wait()
}

func TestNewRefusesNegativeThreads(t *testing.T) {
	if _, err := New(-1, compute.Float32); err == nil {
		t.Error("New(-1) gives no error")
	}
}

func TestNewTakesAllProcessors(t *testing.T) {
	d, err := New(0, compute.Float32)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got, want := d.Threads(), runtime.GOMAXPROCS(0); got != want {
		t.Errorf("%d threads, want %d", got, want)
	}
}
