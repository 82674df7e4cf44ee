package serve

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/task"
)

// A call hands its inputs to the scheduler, which makes a job of each:
//
//	call ─ submit ─► ticket: cached │ shared with a job under way │ a new job ─► queue of its lane ─► batch ─► workers ─► ticket ─► call
//
// Jobs of one lane can be in a batch. A batch is the jobs that have waited longest, of the lane whose first has waited longest; whatever
// is bulk counts as having come Options.BulkDelay later than it did. So interactive jobs go ahead of bulk ones, and none waits for ever.
// Nothing waits for a batch to fill: a worker that is free takes what there is.
//
// The tokens of a call's new jobs are reserved together before any of them is queued, or none is. A job gives them back when it has been
// computed, or when nobody waits for it any more.
type scheduler struct {
	schedulerOptions
	ctx context.Context // of batches

	mu       sync.Mutex
	wake     sync.Cond // of workers that have nothing to do
	closed   bool
	active   []*queue // those that have jobs
	queues   map[*lane]*queue
	reserved int     // tokens of all jobs
	waiting  [2]load // of jobs that are queued: interactive, bulk
	rooms    []*room // calls that wait for tokens to be given back, in the order in which they came
	inflight map[cacheKey]*job
	running  map[*batch]struct{}
	failure  error // of the last batch of which no job had an answer, through no fault of an input

	ended sync.WaitGroup // of workers and of jobs that are computed beside them
}

type schedulerOptions struct {
	batches, batchTokens, maxTokens int
	batchTime, maxWait, bulkDelay   time.Duration
	sharing                         bool   // of jobs by calls
	cache                           *cache // nil: none
	metrics                         *metrics
	panicked                        func(value any, stack []byte)
}

// load is a number of jobs and their tokens.
type load struct{ jobs, tokens int }

// jobState is where a job is.
type jobState uint8

const (
	jobQueued jobState = iota
	jobRunning
	jobEnded
)

// job is an input on its way to an answer.
type job struct {
	lane    *lane // nil of a turn
	input   any
	cost    int
	key     cacheKey
	keyed   bool
	waiters []waiter

	state      jobState
	bulk       bool
	due        time.Time // when it counts as having come
	queue      *queue
	prev, next *job
	cancel     context.CancelFunc // of one that is computed beside the workers

	// A turn is leave to compute one batch of a job that has several.
	granted, finished chan struct{}
}

// waiter is who gets a job's answer: input i of a ticket.
type waiter struct {
	t *ticket
	i int
}

// queue is the jobs of a lane that wait, the interactive and the bulk ones, each in the order of due.
type queue struct {
	lane  *lane
	lists [2]struct{ head, tail *job }
	at    int // in scheduler.active, −1: not there
	load
}

// room is a call that waits for tokens to reserve.
type room struct {
	need    int
	granted chan struct{} // closed when they are reserved
}

// batch is jobs that are computed together.
type batch struct {
	jobs  []*job
	start time.Time
}

// ticket is the answers that a call waits for.
type ticket struct {
	s                  *scheduler
	results            []result
	jobs               []*job // of each input; nil of one that was cached
	pending            int
	partial            bool          // it waits for all, though one has failed
	done               chan struct{} // closed when there is nothing to wait for
	over               bool          // done is closed
	failed             int           // the first input that failed, −1
	submitted          time.Time
	firstStart, ending time.Time // of the jobs
}

type result struct {
	value  any
	err    error
	shared bool // it was computed for another
}

// request is an input to be answered.
type request struct {
	input any
	cost  int
	key   cacheKey
	keyed bool
}

// submitOptions say how a call's inputs are treated.
type submitOptions struct {
	bulk, stream, partial bool
}

func newScheduler(ctx context.Context, o schedulerOptions) *scheduler {
	s := &scheduler{
		schedulerOptions: o, ctx: ctx,
		queues: make(map[*lane]*queue), inflight: make(map[cacheKey]*job), running: make(map[*batch]struct{}),
	}
	s.wake.L = &s.mu
	for range o.batches {
		s.ended.Go(s.worker)
	}
	return s
}

// close ends the workers, after the batches at hand. Jobs that are queued then, or come later, fail.
func (s *scheduler) close() {
	s.mu.Lock()
	s.closed = true
	for len(s.active) > 0 {
		q := s.active[0]
		for q.jobs > 0 {
			j := q.first()
			s.take(j)
			s.end(j, result{err: context.Cause(s.ctx)})
		}
	}
	s.wake.Broadcast()
	s.mu.Unlock()
	s.ended.Wait()
}

// full reports whether a call would be refused whatever it asks, so that it needn't be tokenized.
func (s *scheduler) full() *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.maxWait > 0 || s.reserved < s.maxTokens {
		return nil
	}
	return s.overloaded(1)
}

// overloaded is the error of a call that there is no room for. s.mu is held.
func (s *scheduler) overloaded(need int) *Error {
	after := time.Second
	if rate := s.rate(); rate > 0 {
		over := s.reserved + need - s.maxTokens
		after = max(after, time.Duration(float64(over)/rate*float64(time.Second)))
	}
	return &Error{
		Kind: Overloaded, Index: -1, RetryAfter: after,
		Message: fmt.Sprintf("%s tokens wait or are computed, of at most %s: there is no room for %s more", message.Thousands(s.reserved), message.Thousands(s.maxTokens), message.Thousands(need)),
	}
}

// rate is how many tokens a second are computed, of those that wait; 0: not known. s.mu is held.
func (s *scheduler) rate() float64 {
	var tokens int
	var seconds float64
	for _, q := range s.active {
		if q.lane == nil {
			continue
		}
		r := q.lane.meter.rate()
		if r <= 0 {
			return 0
		}
		tokens += q.tokens
		seconds += float64(q.tokens) / r
	}
	for b := range s.running {
		if l := b.jobs[0].lane; l != nil && tokens == 0 {
			return l.meter.rate()
		}
	}
	if seconds == 0 {
		return 0
	}
	return float64(tokens) / seconds
}

// submit queues the inputs that need computing. It waits only where there is no room, for as long as it may.
func (s *scheduler) submit(ctx context.Context, l *lane, inputs []request, o submitOptions) (*ticket, error) {
	t := &ticket{
		s: s, results: make([]result, len(inputs)), jobs: make([]*job, len(inputs)), partial: o.partial, done: make(chan struct{}), failed: -1,
		submitted: time.Now(),
	}
	class := 0
	if o.bulk {
		class = 1
	}
	held := 0 // tokens that are reserved for the call
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		need := s.needed(inputs) - held
		switch {
		case s.closed || s.ctx.Err() != nil:
			s.giveBack(held)
			return nil, context.Cause(s.ctx)
		case ctx.Err() != nil:
			s.giveBack(held)
			return nil, context.Cause(ctx)
		case held+need > s.maxTokens:
			s.giveBack(held)
			return nil, errorf(TooManyInputs, "the request has %s tokens, want at most %s: ask for less at once", message.Thousands(held+need), message.Thousands(s.maxTokens))
		case need <= 0:
			s.giveBack(-need)
		case held > 0: // more than what it waited for, of which it keeps nothing while it waits for more
			s.giveBack(held)
			held = 0
			continue
		case len(s.rooms) == 0 && s.reserved+need <= s.maxTokens:
			if err := s.inTime(ctx, l, need, class); err != nil {
				return nil, err
			}
			s.reserved += need
		case s.maxWait == 0 && !o.stream:
			return nil, s.overloaded(need)
		default:
			if err := s.wait(ctx, need, o.stream); err != nil {
				return nil, err
			}
			held = need
			continue // what needs computing may have changed
		}
		break
	}
	now := time.Now()
	due := now
	if o.bulk {
		due = due.Add(s.bulkDelay)
	}
	queued := 0
	for i := range inputs {
		r := &inputs[i]
		if r.keyed {
			if v, ok := s.cache.get(r.key); ok {
				t.results[i] = result{value: v, shared: true}
				s.metrics.cached("cache")
				continue
			}
			if j := s.inflight[r.key]; j != nil && s.sharing {
				j.waiters = append(j.waiters, waiter{t, i})
				t.jobs[i] = j
				t.results[i].shared = true
				t.pending++
				s.metrics.cached("inflight")
				if !o.bulk && j.bulk && j.state == jobQueued {
					s.take(j)
					j.bulk, j.due = false, now
					s.put(j)
				}
				continue
			}
		}
		j := &job{lane: l, input: r.input, cost: r.cost, key: r.key, keyed: r.keyed, bulk: o.bulk, due: due, waiters: []waiter{{t, i}}}
		if r.keyed && s.sharing {
			s.inflight[r.key] = j
		}
		t.jobs[i] = j
		t.pending++
		l.hold()
		s.put(j)
		queued++
	}
	if t.pending == 0 {
		t.close()
	}
	for range min(queued, s.batches) {
		s.wake.Signal()
	}
	return t, nil
}

// needed is the tokens of the inputs that are neither cached nor under way. s.mu is held.
func (s *scheduler) needed(inputs []request) int {
	need := 0
	var seen map[cacheKey]struct{}
	for i := range inputs {
		r := &inputs[i]
		if r.keyed {
			if s.cache.has(r.key) || s.sharing && s.inflight[r.key] != nil {
				continue
			}
			if s.sharing && len(inputs) > 1 {
				if _, ok := seen[r.key]; ok {
					continue
				}
				if seen == nil {
					seen = make(map[cacheKey]struct{}, len(inputs))
				}
				seen[r.key] = struct{}{}
			}
		}
		need += r.cost
	}
	return need
}

// inTime refuses a call whose deadline would be over before it is computed. s.mu is held.
func (s *scheduler) inTime(ctx context.Context, l *lane, need, class int) *Error {
	deadline, ok := ctx.Deadline()
	rate := l.meter.rate()
	if !ok || rate <= 0 {
		return nil
	}
	ahead := s.waiting[0].tokens
	if class > 0 {
		ahead += s.waiting[1].tokens
	}
	takes := time.Duration(float64(ahead+need) / rate * float64(time.Second))
	left := time.Until(deadline)
	if takes <= left || ahead == 0 {
		return nil
	}
	return &Error{
		Kind: Overloaded, Index: -1, RetryAfter: max(time.Second, takes-left),
		Message: fmt.Sprintf("%s tokens wait, which takes about %v: the request would not be answered in time", message.Thousands(ahead), takes.Round(10*time.Millisecond)),
	}
}

// wait reserves tokens when there is room. s.mu is held, but not while it waits.
func (s *scheduler) wait(ctx context.Context, need int, asLongAsItTakes bool) error {
	r := &room{need, make(chan struct{})}
	s.rooms = append(s.rooms, r)
	s.grant()
	var expired <-chan time.Time
	if !asLongAsItTakes {
		timer := time.NewTimer(s.maxWait)
		defer timer.Stop()
		expired = timer.C
	}
	s.mu.Unlock()
	var err error
	select {
	case <-r.granted:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-s.ctx.Done():
		err = context.Cause(s.ctx)
	case <-expired:
		err = &Error{Kind: Overloaded}
	}
	s.mu.Lock()
	select {
	case <-r.granted: // perhaps while the lock was waited for
		if err != nil {
			s.giveBack(need)
		}
	default:
		s.rooms = slices.DeleteFunc(s.rooms, func(other *room) bool { return other == r })
		s.grant() // those after it may have room
	}
	var e *Error
	if errors.As(err, &e) {
		return s.overloaded(need)
	}
	return err
}

// giveBack lets others have tokens that were reserved. s.mu is held.
func (s *scheduler) giveBack(n int) {
	s.reserved -= n
	s.grant()
}

// grant reserves tokens for those that have waited longest. s.mu is held.
func (s *scheduler) grant() {
	for len(s.rooms) > 0 && s.reserved+s.rooms[0].need <= s.maxTokens {
		s.reserved += s.rooms[0].need
		close(s.rooms[0].granted)
		s.rooms[0] = nil
		s.rooms = s.rooms[1:]
	}
}

// put queues a job. s.mu is held.
func (s *scheduler) put(j *job) {
	q := s.queues[j.lane]
	if q == nil {
		q = &queue{lane: j.lane, at: -1}
		s.queues[j.lane] = q
	}
	if q.at < 0 {
		q.at = len(s.active)
		s.active = append(s.active, q)
	}
	j.queue = q
	l := &q.lists[j.class()]
	if j.prev = l.tail; j.prev != nil {
		j.prev.next = j
	} else {
		l.head = j
	}
	l.tail = j
	j.state = jobQueued
	q.jobs++
	q.tokens += j.cost
	w := &s.waiting[j.class()]
	w.jobs++
	w.tokens += j.cost
}

// take removes a job from its queue. s.mu is held.
func (s *scheduler) take(j *job) {
	q := j.queue
	l := &q.lists[j.class()]
	if j.prev != nil {
		j.prev.next = j.next
	} else {
		l.head = j.next
	}
	if j.next != nil {
		j.next.prev = j.prev
	} else {
		l.tail = j.prev
	}
	j.prev, j.next, j.queue = nil, nil, nil
	j.state = jobRunning
	w := &s.waiting[j.class()]
	w.jobs--
	w.tokens -= j.cost
	q.tokens -= j.cost
	if q.jobs--; q.jobs == 0 {
		last := len(s.active) - 1
		s.active[q.at] = s.active[last]
		s.active[q.at].at = q.at
		s.active[last] = nil
		s.active = s.active[:last]
		q.at = -1
		delete(s.queues, q.lane)
	}
}

func (j *job) class() int {
	if j.bulk {
		return 1
	}
	return 0
}

// first is the job of a queue that is due first.
func (q *queue) first() *job {
	a, b := q.lists[0].head, q.lists[1].head
	if a == nil || b != nil && b.due.Before(a.due) {
		return b
	}
	return a
}

// next waits for a batch. It is nil when the scheduler closes.
func (s *scheduler) next() *batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.closed {
			return nil
		}
		var q *queue
		for _, other := range s.active {
			if q == nil || other.first().due.Before(q.first().due) {
				q = other
			}
		}
		if q == nil {
			s.wake.Wait()
			continue
		}
		b := &batch{start: time.Now()}
		first := q.first()
		room := s.budget(q.lane)
		for q.jobs > 0 {
			j := q.first()
			// What is bulk and not yet due doesn't make an interactive batch longer.
			if len(b.jobs) > 0 && (j.cost > room || j.lane == nil || j.bulk && !first.bulk && j.due.After(b.start)) {
				break
			}
			s.take(j)
			b.jobs = append(b.jobs, j)
			room -= j.cost
			if j.lane == nil || room <= 0 {
				break
			}
		}
		for _, j := range b.jobs {
			for _, w := range j.waiters {
				if w.t.firstStart.IsZero() {
					w.t.firstStart = b.start
				}
			}
		}
		s.running[b] = struct{}{}
		return b
	}
}

// leastBatch is the number of tokens up to which a batch is not made smaller: its products would be slower.
const leastBatch = 256

// budget is the most tokens of the next batch of a lane.
func (s *scheduler) budget(l *lane) int {
	if l == nil {
		return 0
	}
	rate := l.meter.rate()
	if rate <= 0 {
		return s.batchTokens
	}
	return min(s.batchTokens, max(leastBatch, int(rate*s.batchTime.Seconds())))
}

// worker computes batches.
func (s *scheduler) worker() {
	for {
		b := s.next()
		if b == nil {
			return
		}
		first := b.jobs[0]
		switch {
		case first.lane == nil:
			close(first.granted)
			<-first.finished
		case first.cost > s.batchTokens:
			// It is computed in several batches, each of which takes its turn: see turn.
			ctx, cancel := context.WithCancel(s.ctx)
			s.mu.Lock()
			delete(s.running, b)
			first.cancel = cancel
			if len(first.waiters) == 0 {
				cancel()
			}
			s.mu.Unlock()
			s.ended.Go(func() {
				defer cancel()
				s.compute(context.WithValue(ctx, turnKey{}, first), b.jobs)
			})
			continue
		default:
			s.compute(context.WithValue(s.ctx, turnKey{}, (*job)(nil)), b.jobs)
			took := time.Since(b.start)
			tokens := 0
			for _, j := range b.jobs {
				tokens += j.cost
			}
			first.lane.meter.add(tokens, took)
			s.metrics.batch(len(b.jobs), tokens)
		}
		s.mu.Lock()
		delete(s.running, b)
		s.mu.Unlock()
	}
}

// turnKey is the key of contexts of batches: of the job that takes turns, or of none for a batch that has its worker.
type turnKey struct{}

// turn waits until a batch may be computed: it is task.Options.Turn.
func (s *scheduler) turn(ctx context.Context) (done func(), err error) {
	of, known := ctx.Value(turnKey{}).(*job)
	if known && of == nil { // a worker computes it
		return func() {}, nil
	}
	t := &job{due: time.Now(), granted: make(chan struct{}), finished: make(chan struct{})}
	if known && of.bulk {
		t.bulk, t.due = true, t.due.Add(s.bulkDelay)
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, context.Cause(s.ctx)
	}
	s.put(t)
	s.wake.Signal()
	s.mu.Unlock()
	select {
	case <-t.granted:
		return func() { close(t.finished) }, nil
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.state == jobQueued {
		s.take(t)
	} else {
		close(t.finished) // the worker that took it meanwhile goes on
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, context.Cause(s.ctx)
}

// compute answers jobs. Where they fail together, each is tried alone, so that a bad input fails alone.
func (s *scheduler) compute(ctx context.Context, jobs []*job) {
	left := jobs
	answered := false
	// broken is an error through no fault of an input, where no other job of the batch has an answer.
	broken := func(err error) error {
		if answered || ctx.Err() != nil {
			return nil
		}
		return err
	}
	for len(left) > 0 {
		values, err := s.answer(ctx, left)
		var input *task.InputError
		switch {
		case err == nil:
			results := make([]result, len(left))
			for i := range values {
				results[i].value = values[i]
			}
			s.finish(left, results, nil)
			return
		case errors.As(err, &input) && input.Index >= 0 && input.Index < len(left):
			answered = true
			s.finish(left[input.Index:input.Index+1], []result{{err: input.Err}}, nil)
			left = slices.Delete(slices.Clone(left), input.Index, input.Index+1)
		case len(left) == 1 || ctx.Err() != nil:
			results := make([]result, len(left))
			for i := range results {
				results[i].err = err
			}
			s.finish(left, results, broken(err))
			return
		default:
			s.metrics.retries.Inc()
			for i := range left {
				if values, err := s.answer(ctx, left[i:i+1]); err != nil {
					s.finish(left[i:i+1], []result{{err: err}}, broken(err))
				} else {
					answered = true
					s.finish(left[i:i+1], []result{{value: values[0]}}, nil)
				}
			}
			return
		}
	}
}

// answer calls the lane. A panic is an error.
func (s *scheduler) answer(ctx context.Context, jobs []*job) (values []any, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.panicked(p, debug.Stack())
			values, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	inputs := make([]any, len(jobs))
	for i, j := range jobs {
		inputs[i] = j.input
	}
	values, err = jobs[0].lane.answer(ctx, inputs)
	if err == nil && len(values) != len(jobs) {
		return nil, fmt.Errorf("%d answers to %d inputs", len(values), len(jobs))
	}
	return values, err
}

// finish gives jobs' answers to those that wait for them. failure says that the batch failed.
func (s *scheduler) finish(jobs []*job, results []result, failure error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = failure
	for i, j := range jobs {
		s.end(j, results[i])
	}
}

// end ends a job that is in no queue. s.mu is held.
func (s *scheduler) end(j *job, r result) {
	j.state = jobEnded
	if j.lane == nil {
		return
	}
	s.giveBack(j.cost)
	j.lane.release()
	if j.keyed {
		if s.inflight[j.key] == j {
			delete(s.inflight, j.key)
		}
		if r.err == nil {
			s.cache.put(j.key, r.value)
		}
	}
	now := time.Now()
	for _, w := range j.waiters {
		w.t.deliver(w.i, r, now)
	}
	j.waiters, j.input = nil, nil
}

// deliver takes the answer to input i. s.mu is held.
func (t *ticket) deliver(i int, r result, now time.Time) {
	r.shared = t.results[i].shared
	t.results[i] = r
	t.jobs[i] = nil
	t.pending--
	t.ending = now
	if r.err != nil && (t.failed < 0 || i < t.failed) {
		t.failed = i
	}
	if t.pending == 0 || r.err != nil && !t.partial {
		t.close()
	}
}

// close says that there is nothing to wait for. s.mu is held.
func (t *ticket) close() {
	if !t.over {
		t.over = true
		close(t.done)
	}
}

// wait waits for the answers, or until ctx ends; then nothing is computed for it any more. The error is that of ctx, or, unless the
// ticket is partial, that of an input.
func (t *ticket) wait(ctx context.Context) error {
	var err error
	select {
	case <-t.done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if err == nil && t.failed >= 0 && !t.partial {
		err = asError(t.results[t.failed].err).atInput(t.failed)
	}
	if t.pending > 0 {
		t.abandon()
	}
	return err
}

// abandon drops the jobs that only this ticket waits for. s.mu is held.
func (t *ticket) abandon() {
	s := t.s
	t.over = true // nobody reads done
	for _, j := range t.jobs {
		if j == nil {
			continue
		}
		j.waiters = slices.DeleteFunc(j.waiters, func(w waiter) bool { return w.t == t })
		if len(j.waiters) > 0 {
			continue
		}
		switch j.state {
		case jobQueued:
			s.take(j)
			if j.keyed && s.inflight[j.key] == j {
				delete(s.inflight, j.key)
			}
			s.metrics.abandoned.Inc()
			s.end(j, result{err: context.Canceled})
		case jobRunning:
			if j.cancel != nil {
				// Whoever asks the same from now on has it computed anew.
				if j.keyed && s.inflight[j.key] == j {
					delete(s.inflight, j.key)
				}
				j.cancel()
			}
		}
	}
	t.jobs, t.pending = nil, 0
}

// stuck is for how long the batch has been computed that began first.
func (s *scheduler) stuck() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var longest time.Duration
	for b := range s.running {
		longest = max(longest, time.Since(b.start))
	}
	return longest
}

// broken is the error of the last batch, if it failed through no fault of an input.
func (s *scheduler) broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// cacheSize is the memory of the answers that are kept.
func (s *scheduler) cacheSize() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cache == nil {
		return 0
	}
	return s.cache.size
}

// loads are the jobs that wait and their tokens, and the tokens of all jobs.
func (s *scheduler) loads() (waiting load, reserved int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return load{s.waiting[0].jobs + s.waiting[1].jobs, s.waiting[0].tokens + s.waiting[1].tokens}, s.reserved
}
