package bench

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/compute/cpu"
	"github.com/go-bert/bert/internal/simd"
)

// Machine is a number of threads with an instruction level.
type Machine struct {
	kernels *simd.Kernels
	threads int
}

// Open returns the machine with the given number of threads; 0 means all. It fails if BERT_SIMD asks for a level that the machine
// lacks.
func Open(threads int) (*Machine, error) {
	if threads < 0 {
		return nil, fmt.Errorf("%d threads, want 0 (all) or more", threads)
	}
	k, err := simd.Best()
	if err != nil {
		return nil, err
	}
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return &Machine{k, threads}, nil
}

// Threads returns the number of threads.
func (m *Machine) Threads() int { return m.threads }

// Level returns the name of the instruction level: amx, avx512, avx2, neon or purego.
func (m *Machine) Level() string { return m.kernels.Level.String() }

// Native reports whether the level has instructions for products of a precision.
func (m *Machine) Native(p compute.Precision) bool {
	switch p {
	case compute.BFloat16:
		return m.kernels.Native16
	case compute.Int8:
		return m.kernels.Int8.Native
	}
	return true
}

// PeakOperations takes the best of peakTries tries, since other processes can only make a try slower.
const peakTries = 15

// PeakOperations returns the operations per second of all threads together when they execute nothing but multiply-adds of
// registers: of floating-point numbers, or at Int8 of integers. It measures for about the time limit.
func (m *Machine) PeakOperations(p compute.Precision, limit time.Duration) float64 {
	do := m.kernels.MultiplyAdds
	switch p {
	case compute.BFloat16:
		do = m.kernels.MultiplyAdds16
	case compute.Int8:
		do = m.kernels.MultiplyAdds8
	}
	// Find a number of steps that fills a try.
	steps, try := 1000, limit/peakTries
	for {
		begun := time.Now()
		do(steps)
		if d := time.Since(begun); d >= try/2 || steps > 1<<40 {
			break
		}
		steps *= 2
	}
	best := 0.0
	for range peakTries {
		done := make([]int, m.threads)
		d := m.parallel(func(thread int) { done[thread] = do(steps) })
		sum := 0
		for _, n := range done {
			sum += n
		}
		best = max(best, float64(sum)/d.Seconds())
	}
	return best
}

// streamed is the number of elements of MemoryBandwidth's arrays, which have 128 MiB each.
const streamed = 32 << 20

// MemoryBandwidth returns the bytes per second that all threads together move between memory and registers, with two reads per
// write, as in x += y. It measures for about the time limit and takes the best run.
func (m *Machine) MemoryBandwidth(limit time.Duration) float64 {
	d := cpu.NewAt(m.kernels, m.threads, compute.Float32)
	defer d.Close()
	x, y := alloc(d, streamed), alloc(d, streamed)
	// Pages that were never written are all the same page of zeros.
	one := make([]float32, 1<<16)
	for i := range one {
		one[i] = 1
	}
	for at := 0; at < streamed; at += len(one) {
		d.Write(x.Slice(at, at+len(one)), one)
		d.Write(y.Slice(at, at+len(one)), one)
	}
	best := 0.0
	for i, begun := 0, time.Now(); i < minRuns || time.Since(begun) < limit; i++ {
		from := time.Now()
		d.Add(x, y)
		best = max(best, 3*4*streamed/time.Since(from).Seconds())
	}
	return best
}

// parallel runs f on all threads at once and returns the time from the common start to the end of the last.
func (m *Machine) parallel(f func(thread int)) time.Duration {
	var (
		ready, ended sync.WaitGroup
		start        = make(chan struct{})
	)
	ready.Add(m.threads)
	for thread := range m.threads {
		ended.Go(func() {
			ready.Done()
			<-start
			f(thread)
		})
	}
	ready.Wait()
	begun := time.Now()
	close(start)
	ended.Wait()
	return time.Since(begun)
}
