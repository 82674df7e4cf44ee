package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A task is an operation cut into jobs that may be done in any order, by anyone.
type task interface {
	do(w *worker, job int)
}

// A worker is one of those who do jobs; the caller of an operation is the first.
type worker struct {
	k      *kernels
	number int // in its pool
	parked atomic.Bool
	wake   chan struct{}

	_    [64]byte     // other workers take from the share too: it has a cache line of its own
	next atomic.Int64 // the next job of its share
	end  int64        // of the share; written while the task is closed and nobody is in it
	_    [64]byte

	scratch     []float32
	used, asked int // of scratch; in all, by the job at hand
}

// floats is n elements of the worker's own, until the end of the job; their values are of no use.
func (w *worker) floats(n int) []float32 {
	rounded := roundUp(n, lineFloats)
	w.asked += rounded
	if w.used+rounded > len(w.scratch) {
		w.scratch = scratch(w.asked + w.asked/4) // slices given out stay valid: they hold the former one
		w.used = 0
	}
	s := w.scratch[w.used : w.used+n : w.used+n]
	w.used += rounded
	return s
}

// A mark is how much the job at hand has taken.
type mark struct{ used, asked int }

func (w *worker) mark() mark { return mark{w.used, w.asked} }

// release gives back what the job has taken since m.
func (w *worker) release(m mark) { w.used, w.asked = m.used, m.asked }

// do does a job.
func (w *worker) do(t task, job int) {
	w.used, w.asked = 0, 0
	t.do(w, job)
}

// A pool is goroutines that wait for tasks: for a time awake, since the operations of a model follow one another
// closely and waking takes longer than many of them, and then parked, so that an idle service costs nothing.
//
// Nobody waits for a worker that has not come: a worker joins a task while it is open, and the caller, who does jobs like
// the others, closes it when none is left and waits for those who had joined. So a worker that has no processor for a
// while delays nothing.
//
// The jobs of a task are shared out beforehand, to each a run of them: of successive jobs the later finds in the cache what
// the former has used, and can tell which comes next. Who has done its share helps the others with theirs.
type pool struct {
	workers []*worker // the first is the caller
	// spin is how long a worker without work, or a caller without other workers' results, stays awake. A worker yields
	// meanwhile: where fewer processors are free than there are workers, it would keep the caller from going on.
	spin  time.Duration
	ended sync.WaitGroup
	idle  chan struct{} // told by the last to leave a task if the caller is parked

	// What is being done. Written while the task is closed and nobody is in it.
	task task

	_     [64]byte      // the word below is fought for: it has a cache line of its own
	state atomic.Uint64 // see the constants
	_     [64]byte
}

// The state of a pool: the number of workers who have joined the task, the flags, and above them the number of the task.
const (
	joined  uint64 = 1<<20 - 1
	open    uint64 = 1 << 20 // workers may join
	waiting uint64 = 1 << 21 // the caller is parked
	closing uint64 = 1 << 22 // the workers are to end
	serial  uint64 = 1 << 23
)

// spinChecks is how often who spins looks before looking at the clock.
const spinChecks = 128

// What an operation costs is estimated in nanoseconds of one worker with AVX2, by elements a nanosecond.
const (
	productRate = 60 // multiplications
	packRate    = 5
	rowRate     = 3 // operations on rows
	expRate     = 3 // exponentials, random numbers
)

// run does the jobs 0…jobs of t, alone if all of them cost little.
func (d *Device) run(t task, jobs, cost int) {
	if cost < d.k.at.Grain {
		d.pool.alone(t, jobs)
	} else {
		d.pool.run(t, jobs)
	}
}

// ceil is a/b, rounded up.
func ceil(a, b int) int { return (a + b - 1) / b }

// roundUp is the next multiple of b.
func roundUp(a, b int) int { return ceil(a, b) * b }

func newPool(k *kernels, threads int) *pool {
	p := &pool{workers: make([]*worker, threads), idle: make(chan struct{}, 1)}
	if runtime.GOMAXPROCS(0) >= threads {
		p.spin = k.at.Spin
	}
	for i := range p.workers {
		p.workers[i] = &worker{k: k, number: i, wake: make(chan struct{}, 1)}
	}
	p.ended.Add(threads - 1)
	for _, w := range p.workers[1:] {
		go p.work(w)
	}
	return p
}

// run does the jobs 0…jobs of t and returns when they are done.
func (p *pool) run(t task, jobs int) {
	if len(p.workers) == 1 || jobs <= 1 {
		p.alone(t, jobs)
		return
	}
	p.task = t
	for i, w := range p.workers {
		w.next.Store(int64(i * jobs / len(p.workers)))
		w.end = int64((i + 1) * jobs / len(p.workers))
	}
	state := p.state.Load() // nobody has joined, and only the caller opens
	p.state.Store(state&^(serial-1) + serial | state&closing | open)

	wanted := min(jobs, len(p.workers)) - 1
	for _, w := range p.workers[1:] {
		if wanted == 0 {
			break
		}
		if w.parked.Load() && w.parked.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
		wanted--
	}
	p.take(p.workers[0])
	p.state.And(^open)
	p.wait()
	p.task = nil // the workers hold the pool, which must not hold the device
}

// alone does the jobs 0…jobs of t in the caller's goroutine.
func (p *pool) alone(t task, jobs int) {
	for j := range jobs {
		p.workers[0].do(t, j)
	}
}

// take does jobs until there are none: those of w's share, then those of the others'.
func (p *pool) take(w *worker) {
	for i := range p.workers {
		share := p.workers[(w.number+i)%len(p.workers)]
		for {
			j := share.next.Add(1) - 1
			if j >= share.end {
				break
			}
			w.do(p.task, int(j))
		}
	}
}

// wait returns when nobody is left in the closed task.
func (p *pool) wait() {
	if p.state.Load()&joined == 0 {
		return
	}
	for start := time.Now(); time.Since(start) < p.spin; {
		for range spinChecks {
			if p.state.Load()&joined == 0 {
				return
			}
		}
	}
	if p.state.Or(waiting)&joined != 0 {
		<-p.idle
	}
}

// work is the life of a worker.
func (p *pool) work(w *worker) {
	defer p.ended.Done()
	seen := uint64(0) // the last task it joined
	for {
		s, ok := p.await(w, seen)
		if !ok {
			return
		}
		if !p.state.CompareAndSwap(s, s+1) {
			continue
		}
		seen = s / serial
		p.take(w)
		if p.state.Add(^uint64(0))&(joined|waiting) == waiting {
			p.idle <- struct{}{}
		}
	}
}

// await returns the state when there is a task to join that w has not seen, or false when the pool closes.
func (p *pool) await(w *worker, seen uint64) (state uint64, ok bool) {
	for {
		start := time.Now()
		for {
			for range spinChecks {
				s := p.state.Load()
				if s&closing != 0 {
					return 0, false
				}
				if s&open != 0 && s/serial != seen {
					return s, true
				}
			}
			if time.Since(start) >= p.spin {
				break
			}
			yield()
		}
		// Whoever turns parked back decides: the caller, who then sends, or the worker, who looks once more after saying
		// that it parks, as the caller looks at parked after opening a task.
		w.parked.Store(true)
		s := p.state.Load()
		if (s&closing != 0 || s&open != 0 && s/serial != seen) && w.parked.CompareAndSwap(true, false) {
			continue
		}
		<-w.wake
	}
}

// close tells the workers to end.
func (p *pool) close() {
	if p.state.Or(closing)&closing != 0 {
		return
	}
	for _, w := range p.workers[1:] {
		if w.parked.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
	}
}
