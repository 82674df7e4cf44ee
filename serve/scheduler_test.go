package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/go-bert/bert/task"
)

// The tests of this file run the scheduler in bubbles of synctest, with lanes that no model is behind: time passes only while all wait,
// and a test ends only when all goroutines have.

// rig is a scheduler with a lane that answers the number n with -n, a second for each batch.
type rig struct {
	*scheduler
	t    *testing.T
	lane *lane

	mu      sync.Mutex
	batches [][]int
	fail    func(inputs []int) error // may panic
	most    int                      // batches at once
	now     int
}

func newRig(t *testing.T, o schedulerOptions) *rig {
	t.Helper()
	if o.batches == 0 {
		o.batches = 1
	}
	if o.batchTokens == 0 {
		o.batchTokens = 100
	}
	if o.maxTokens == 0 {
		o.maxTokens = 1000
	}
	if o.batchTime == 0 {
		o.batchTime = time.Hour
	}
	o.metrics = newMetrics("test", false)
	r := &rig{t: t}
	o.panicked = func(any, []byte) {}
	ctx, cancel := context.WithCancelCause(context.Background())
	r.scheduler = newScheduler(ctx, o)
	r.lane = r.newLane()
	t.Cleanup(func() {
		cancel(errDraining)
		r.scheduler.close()
		r.check()
	})
	return r
}

func (r *rig) newLane() *lane {
	return &lane{meter: new(meter), answer: func(ctx context.Context, inputs []any) ([]any, error) {
		numbers, answers := make([]int, len(inputs)), make([]any, len(inputs))
		for i, in := range inputs {
			numbers[i] = in.(int)
			answers[i] = -numbers[i]
		}
		r.mu.Lock()
		r.batches = append(r.batches, numbers)
		r.now++
		r.most = max(r.most, r.now)
		r.mu.Unlock()
		defer func() {
			r.mu.Lock()
			r.now--
			r.mu.Unlock()
		}()
		time.Sleep(time.Second)
		r.mu.Lock()
		fail := r.fail
		r.mu.Unlock()
		if fail != nil {
			if err := fail(numbers); err != nil {
				return nil, err
			}
		}
		return answers, nil
	}}
}

// check finds what a scheduler with nothing to do still holds.
func (r *rig) check() {
	r.t.Helper()
	r.scheduler.mu.Lock()
	defer r.scheduler.mu.Unlock()
	if r.reserved != 0 || r.waiting != [2]load{} || len(r.active) != 0 || len(r.queues) != 0 || len(r.inflight) != 0 || len(r.running) != 0 || len(r.rooms) != 0 {
		r.t.Errorf("left behind: %d tokens, %v waiting, %d and %d queues, %d in flight, %d running, %d calls for room",
			r.reserved, r.waiting, len(r.active), len(r.queues), len(r.inflight), len(r.running), len(r.rooms))
	}
}

// failing makes batches fail as f says; nil: they don't.
func (r *rig) failing(f func(inputs []int) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = f
}

// atOnce is the most batches that were computed at once.
func (r *rig) atOnce() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most
}

// requests are numbers, of 10 tokens each.
func requests(numbers ...int) []request {
	out := make([]request, len(numbers))
	for i, n := range numbers {
		out[i] = request{input: n, cost: 10}
	}
	return out
}

// keyed gives each number a key of its own.
func keyed(inputs []request) []request {
	for i := range inputs {
		inputs[i].keyed = true
		inputs[i].key[0], inputs[i].key[1] = byte(inputs[i].input.(int)), 1
	}
	return inputs
}

// ask submits and waits, and checks that the answers belong to the inputs.
func (r *rig) ask(ctx context.Context, inputs []request, o submitOptions) error {
	t, err := r.submit(ctx, r.lane, inputs, o)
	if err != nil {
		return err
	}
	if err := t.wait(ctx); err != nil {
		return err
	}
	for i := range inputs {
		if res := t.results[i]; res.err == nil && res.value != -inputs[i].input.(int) {
			r.t.Errorf("the answer to %v is %v", inputs[i].input, res.value)
		}
	}
	return nil
}

// later asks in a goroutine, once the ones before have been queued.
func (r *rig) later(inputs []request, o submitOptions) {
	go func() {
		if err := r.ask(context.Background(), inputs, o); err != nil {
			r.t.Errorf("%v: %v", inputs, err)
		}
	}()
	synctest.Wait()
}

func (r *rig) wantBatches(want ...[]int) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := fmt.Sprint(r.batches); got != fmt.Sprint(want) {
		r.t.Errorf("batches %v, want %v", got, want)
	}
}

func TestSchedulerDoesNotWaitToFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, schedulerOptions{})
		start := time.Now()
		if err := r.ask(t.Context(), requests(1), submitOptions{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("a lone input took %v, its batch a second", took)
		}
		// What comes while a batch is computed is in the next one.
		r.later(requests(2), submitOptions{})
		r.later(requests(3), submitOptions{})
		r.later(requests(4, 5), submitOptions{})
		time.Sleep(5 * time.Second)
		r.wantBatches([]int{1}, []int{2}, []int{3, 4, 5})
	})
}

func TestSchedulerOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, schedulerOptions{bulkDelay: 3500 * time.Millisecond, batchTokens: 20})
		r.later(requests(1), submitOptions{})                            // computed till 1 s
		r.later(requests(101, 102, 103, 104), submitOptions{bulk: true}) // due at 3.5 s
		for i := range 5 {
			r.later(requests(10*i+2, 10*i+3), submitOptions{})
			time.Sleep(900 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		// The last interactive ones came at 3.6 s, after the bulk ones were due.
		r.wantBatches([]int{1}, []int{2, 3}, []int{12, 13}, []int{22, 23}, []int{32, 33}, []int{101, 102}, []int{103, 104}, []int{42, 43})
	})
}

// An interactive batch is not made longer by what may wait.
func TestSchedulerBulkDoesNotRideAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, schedulerOptions{bulkDelay: time.Hour})
		r.later(requests(1), submitOptions{})
		r.later(requests(101), submitOptions{bulk: true})
		r.later(requests(2), submitOptions{})
		time.Sleep(5 * time.Second)
		r.wantBatches([]int{1}, []int{2}, []int{101})
	})
}

func TestSchedulerLanesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, schedulerOptions{batchTokens: 20})
		other := r.newLane()
		first := r.lane
		for i := range 4 {
			r.lane = first
			r.later(requests(2*i+1), submitOptions{})
			time.Sleep(time.Millisecond)
			r.lane = other
			r.later(requests(2*i+2), submitOptions{})
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		r.wantBatches([]int{1}, []int{2, 4}, []int{3, 5}, []int{6, 8}, []int{7})
	})
}

func TestSchedulerReservesWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, schedulerOptions{maxTokens: 50})
		r.later(requests(1, 2, 3), submitOptions{})
		err := r.ask(t.Context(), requests(4, 5, 6), submitOptions{})
		if e := asError(err); e.Kind != Overloaded || e.RetryAfter <= 0 {
			t.Errorf("30 tokens where there is room for 20: %v, want Overloaded, to try again later", err)
		}
		r.later(requests(7, 8), submitOptions{})
		if err := r.ask(t.Context(), requests(1, 2, 3, 4, 5, 6), submitOptions{}); asError(err).Kind != TooManyInputs {
			t.Errorf("60 tokens where there is never room for more than 50: %v, want TooManyInputs", err)
		}
		time.Sleep(5 * time.Second)
		r.wantBatches([]int{1, 2, 3}, []int{7, 8})
	})
}

func TestSchedulerWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, schedulerOptions{maxTokens: 30, maxWait: 2500 * time.Millisecond})
		r.later(requests(1, 2, 3), submitOptions{})
		r.later(requests(4, 5, 6), submitOptions{}) // when the first are done
		r.later(requests(7), submitOptions{})       // which does not go before those, and comes in when they are done, after 2 s
		time.Sleep(5 * time.Second)
		r.wantBatches([]int{1, 2, 3}, []int{4, 5, 6}, []int{7})
	})
}

func TestSchedulerGivesUpWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, schedulerOptions{maxTokens: 10, maxWait: 500 * time.Millisecond})
		r.later(requests(1), submitOptions{})
		start := time.Now()
		err := r.ask(t.Context(), requests(2), submitOptions{})
		if took := time.Since(start); asError(err).Kind != Overloaded || took != 500*time.Millisecond {
			t.Errorf("after %v: %v, want Overloaded after 500 ms", took, err)
		}
		// A stream waits as long as it takes.
		if err := r.ask(t.Context(), requests(3), submitOptions{stream: true}); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		r.later(requests(4), submitOptions{})
		time.AfterFunc(100*time.Millisecond, cancel)
		if err := r.ask(ctx, requests(5), submitOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("gone while it waited for room: %v", err)
		}
		time.Sleep(2 * time.Second)
		r.wantBatches([]int{1}, []int{3}, []int{4})
	})
}

func TestSchedulerDropsWhoHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, schedulerOptions{maxTokens: 40})
		r.later(requests(1), submitOptions{})
		ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, errDeadline)
		defer cancel()
		if err := r.ask(ctx, requests(2, 3, 4), submitOptions{}); !errors.Is(err, errDeadline) {
			t.Errorf("%v, want the cause", err)
		}
		r.later(requests(5, 6, 7), submitOptions{}) // for which there is room again
		time.Sleep(5 * time.Second)
		r.wantBatches([]int{1}, []int{5, 6, 7})
	})
}

func TestSchedulerComputesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, schedulerOptions{sharing: true, cache: newCache(1 << 20), maxTokens: 30})
		r.later(requests(1), submitOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() { gone <- r.ask(ctx, keyed(requests(2, 3, 2)), submitOptions{}) }()
		synctest.Wait()
		r.later(keyed(requests(3, 2)), submitOptions{}) // for which there would be no room otherwise
		cancel()                                        // who asked first doesn't want them any more
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want canceled", err)
		}
		time.Sleep(2 * time.Second)
		r.wantBatches([]int{1}, []int{2, 3})
		start := time.Now()
		if err := r.ask(t.Context(), keyed(requests(2, 3)), submitOptions{}); err != nil || time.Since(start) != 0 {
			t.Errorf("from the cache: %v after %v", err, time.Since(start))
		}
	})
}

// A bulk job that an interactive call wants too is interactive.
func TestSchedulerHastens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, schedulerOptions{sharing: true, bulkDelay: time.Hour})
		r.later(requests(1), submitOptions{})
		r.later(keyed(requests(101, 102)), submitOptions{bulk: true})
		r.later(keyed(requests(102)), submitOptions{})
		time.Sleep(5 * time.Second)
		r.wantBatches([]int{1}, []int{102}, []int{101})
	})
}

func TestSchedulerPoison(t *testing.T) {
	for name, fail := range map[string]func(i int) error{
		"named":  func(i int) error { return &task.InputError{Index: i, Err: errors.New("bad")} },
		"silent": func(int) error { return errors.New("bad") },
		"panic":  func(int) error { panic("bad") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, schedulerOptions{})
				r.failing(func(inputs []int) error {
					if i := slices.Index(inputs, 13); i >= 0 {
						return fail(i)
					}
					return nil
				})
				r.later(requests(1), submitOptions{})
				r.later(requests(2), submitOptions{})
				errs := make(chan error)
				go func() { errs <- r.ask(t.Context(), requests(3, 13, 4), submitOptions{}) }()
				synctest.Wait()
				r.later(requests(5, 6), submitOptions{})
				if e := asError(<-errs); e.Index != 1 {
					t.Errorf("%v, want the error of input 1", e)
				}
				time.Sleep(20 * time.Second)
				if err := r.broken(); err != nil {
					t.Errorf("others of the batch were answered, but the server has failed: %v", err)
				}
				// Of a call that takes what it can get, the others are answered.
				ticket, err := r.submit(t.Context(), r.lane, requests(7, 13, 8), submitOptions{partial: true})
				if err != nil {
					t.Fatal(err)
				}
				if err := ticket.wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				if ticket.results[0].value != -7 || ticket.results[1].err == nil || ticket.results[2].value != -8 {
					t.Errorf("%+v", ticket.results)
				}
			})
		})
	}
}

func TestSchedulerTellsThatItFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, schedulerOptions{})
		r.failing(func([]int) error { return errors.New("no memory") })
		if err := r.ask(t.Context(), requests(1, 2), submitOptions{}); err == nil || r.broken() == nil {
			t.Errorf("%v; broken: %v", err, r.broken())
		}
		time.Sleep(5 * time.Second)
		r.failing(nil)
		if err := r.ask(t.Context(), requests(3), submitOptions{}); err != nil || r.broken() != nil {
			t.Errorf("%v; broken: %v", err, r.broken())
		}
	})
}

// An input of many sequences takes turns, so that others go between its batches.
func TestSchedulerLongInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, schedulerOptions{batchTokens: 20, bulkDelay: time.Minute})
		long := &lane{meter: new(meter)}
		var turns atomic.Int64
		long.answer = func(ctx context.Context, inputs []any) ([]any, error) {
			for range 3 {
				done, err := r.turn(ctx)
				if err != nil {
					return nil, err
				}
				r.mu.Lock()
				r.batches = append(r.batches, []int{1000})
				r.mu.Unlock()
				time.Sleep(time.Second)
				turns.Add(1)
				done()
			}
			return []any{-inputs[0].(int)}, nil
		}
		go func() {
			ticket, err := r.submit(t.Context(), long, []request{{input: 9, cost: 60}}, submitOptions{})
			if err == nil {
				err = ticket.wait(t.Context())
			}
			if err != nil || ticket.results[0].value != -9 {
				t.Errorf("%v", err)
			}
		}()
		synctest.Wait()
		r.later(requests(1), submitOptions{})
		time.Sleep(1500 * time.Millisecond)
		r.later(requests(2), submitOptions{})
		time.Sleep(10 * time.Second)
		r.wantBatches([]int{1000}, []int{1}, []int{1000}, []int{2}, []int{1000})
		if most := r.atOnce(); most != 1 || turns.Load() != 3 {
			t.Errorf("%d batches at once, %d turns", most, turns.Load())
		}
		// Who has gone gets no further turns.
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		ticket, err := r.submit(ctx, long, []request{{input: 9, cost: 60}}, submitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := ticket.wait(ctx); err == nil {
			t.Error("no error")
		}
		time.Sleep(10 * time.Second)
		if n := turns.Load(); n != 5 {
			t.Errorf("%d turns, want 5: the one that was computed is the last", n)
		}
	})
}

func TestSchedulerRefusesWhatComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, schedulerOptions{batchTokens: 10})
		r.later(requests(1), submitOptions{})
		time.Sleep(2 * time.Second) // 10 tokens a second
		r.later(requests(2, 3, 4, 5), submitOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		err := r.ask(ctx, requests(6), submitOptions{})
		if e := asError(err); e.Kind != Overloaded || time.Since(start) != 0 {
			t.Errorf("after %v: %v, want Overloaded at once", time.Since(start), err)
		}
		if e := asError(err); e.RetryAfter < time.Second || e.RetryAfter > 10*time.Second {
			t.Errorf("retry after %v, of a queue of 3 seconds", e.RetryAfter)
		}
		time.Sleep(10 * time.Second)
	})
}

func TestSchedulerRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, schedulerOptions{batchTokens: 10, maxTokens: 100})
		r.later(requests(1), submitOptions{})
		time.Sleep(2 * time.Second) // 10 tokens a second
		r.later(requests(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), submitOptions{})
		err := r.ask(t.Context(), requests(11, 12, 13, 14, 15), submitOptions{})
		if e := asError(err); e.Kind != Overloaded || e.RetryAfter != 5*time.Second {
			t.Errorf("%v after %v, want Overloaded: 50 tokens take 5 seconds", err, e.RetryAfter)
		}
		time.Sleep(20 * time.Second)
	})
}

func TestSchedulerBatchTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, schedulerOptions{batchTokens: 100_000, maxTokens: 1_000_000, batchTime: 30 * time.Second})
		r.ask(t.Context(), requests(slices.Repeat([]int{1}, 100)...), submitOptions{}) // 1,000 tokens a second
		r.later(requests(slices.Repeat([]int{2}, 5000)...), submitOptions{})
		time.Sleep(time.Minute)
		r.mu.Lock()
		defer r.mu.Unlock()
		if n := 10 * len(r.batches[1]); n < 20_000 || n > 30_000 {
			t.Errorf("%d tokens in a batch, want about as many as are computed in 30 seconds", n)
		}
	})
}

func TestSchedulerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(context.Background())
		r := newRig(t, schedulerOptions{maxTokens: 20, maxWait: time.Hour})
		r.scheduler.ctx = ctx
		errs := make(chan error, 3)
		for _, inputs := range [][]request{requests(1), requests(2), requests(3)} {
			go func() { errs <- r.ask(context.Background(), inputs, submitOptions{}) }()
			synctest.Wait()
		}
		cancel(errDraining)
		r.scheduler.close()
		ended := 0
		for range 3 {
			if errors.Is(<-errs, errDraining) {
				ended++
			}
		}
		if ended != 2 {
			t.Errorf("%d calls were given up, want 2: one was being computed", ended)
		}
		if err := r.ask(t.Context(), requests(4), submitOptions{}); !errors.Is(err, errDraining) {
			t.Errorf("after close: %v", err)
		}
	})
}

// Whatever comes, goes and fails: each call ends, with its answers, an error of its own, or a refusal; and nothing is left behind. That
// nothing waits for ever is what the bubble would report.
func TestSchedulerProperties(t *testing.T) {
	type asked struct {
		numbers         []int
		keyed           bool
		options         submitOptions
		pause, patience time.Duration
	}
	rapid.Check(t, func(rt *rapid.T) {
		o := schedulerOptions{
			batches: rapid.IntRange(1, 3).Draw(rt, "batches"), maxTokens: rapid.IntRange(50, 300).Draw(rt, "maxTokens"),
			batchTokens: 60, bulkDelay: 3 * time.Second, sharing: rapid.Bool().Draw(rt, "sharing"), batchTime: time.Hour,
		}
		if rapid.Bool().Draw(rt, "waits") {
			o.maxWait = 2 * time.Second
		}
		if rapid.Bool().Draw(rt, "caches") {
			o.cache = newCache(2000)
		}
		list := make([]asked, rapid.IntRange(1, 30).Draw(rt, "calls"))
		for i := range list {
			list[i] = asked{
				numbers:  rapid.SliceOfN(rapid.IntRange(1, 20), 1, 8).Draw(rt, "inputs"),
				keyed:    rapid.Bool().Draw(rt, "keyed"),
				options:  submitOptions{bulk: rapid.Bool().Draw(rt, "bulk"), stream: rapid.Bool().Draw(rt, "stream"), partial: rapid.Bool().Draw(rt, "partial")},
				pause:    time.Duration(rapid.IntRange(0, 800).Draw(rt, "pause")) * time.Millisecond,
				patience: time.Duration(rapid.IntRange(1, 9000).Draw(rt, "patience")) * time.Millisecond,
			}
		}
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, o)
			r.failing(func(inputs []int) error {
				switch i := slices.Index(inputs, 13); {
				case i < 0:
					return nil
				case len(inputs)%2 == 0:
					panic("bad")
				default:
					return &task.InputError{Index: i, Err: errors.New("bad")}
				}
			})
			var calls sync.WaitGroup
			for _, a := range list {
				inputs := requests(a.numbers...)
				for i := range inputs {
					inputs[i].cost = 1 + a.numbers[i]
				}
				if a.keyed {
					inputs = keyed(inputs)
				}
				time.Sleep(a.pause)
				calls.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), a.patience)
					defer cancel()
					err := r.ask(ctx, inputs, a.options)
					switch e := asError(err); {
					case err == nil:
						if !a.options.partial && slices.Contains(a.numbers, 13) {
							t.Errorf("%v: no error", a.numbers)
						}
					case e.Kind == Overloaded, e.Kind == Deadline, e.Kind == TooManyInputs:
					case e.Index < 0 || a.numbers[e.Index] != 13:
						t.Errorf("%v: %v", a.numbers, err)
					}
				})
				r.scheduler.mu.Lock()
				if r.reserved > o.maxTokens {
					t.Errorf("%d tokens reserved, of %d", r.reserved, o.maxTokens)
				}
				r.scheduler.mu.Unlock()
			}
			calls.Wait()
			time.Sleep(time.Minute)
			if most := r.atOnce(); most > o.batches {
				t.Errorf("%d batches at once, want at most %d", most, o.batches)
			}
			r.scheduler.close()
			r.check()
			if t.Failed() {
				rt.Errorf("see above")
			}
		})
	})
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(10_000)
	for i := range 100 {
		var key cacheKey
		key[0] = byte(i)
		c.put(key, task.Encoded{Pooled: make([]float32, 25)})
		if c.size > c.most {
			t.Fatalf("%d bytes, want at most %d", c.size, c.most)
		}
	}
	if _, ok := c.get(cacheKey{99}); !ok || c.has(cacheKey{0}) || len(c.byKey) != c.recent.Len() || c.recent.Len() < 20 {
		t.Errorf("%d answers in %d bytes", c.recent.Len(), c.size)
	}
	c.put(cacheKey{200}, task.Encoded{Pooled: make([]float32, 1000)})
	if c.has(cacheKey{200}) {
		t.Error("a large answer drives out all others")
	}
}
