package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/compute/computetest"
	"github.com/go-bert/bert/internal/compute/cpu"
)

// sharedModel is the tiny model with an embedding of several runs, on a device or, of nil, the processor.
func sharedModel(dropout float64, d *bert.Device) (*bert.Model, error) {
	c := bert.DefaultConfig()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize, c.MaxPositionEmbeddings = 2000, 18, 2, 3, 30, 16
	c.HiddenDropoutProb, c.AttentionProbsDropoutProb = dropout, dropout
	return bert.New(c, bert.Options{Head: bert.SequenceClassification, Threads: 1, Seed: 3, Device: d})
}

// deferred is a device with memory of its own that does everything as late as it may. opened, if not nil, gets to know it.
func deferred(opened func(*computetest.Deferred)) *bert.Device {
	return bert.NewDevice(func(threads int, p bert.Precision) (compute.Device, error) {
		d, err := cpu.New(threads, p)
		if err != nil {
			return nil, err
		}
		later := computetest.Defer(d)
		if opened != nil {
			opened(later)
		}
		return later, nil
	})
}

// sharedRun is how ranks are started on one run. Rank 0 alone has the folder.
type sharedRun struct {
	dir    string
	ranks  int
	change func(*Options)
	device func(rank int) *bert.Device // nil: the processor
	// each changes the options of a rank; it may be nil. wrap puts something before its group.
	each func(rank int, o *Options)
	wrap func(g Group) Group
	ctx  func(rank int) context.Context
	eval func(rank int) Evaluator // nil: a tinyEvaluator
}

// start makes the run on all ranks. Each other rank has a folder of its own, to which it is not to write.
func (s sharedRun) start(t *testing.T) ([]Result, []error) {
	t.Helper()
	var (
		results = make([]Result, s.ranks)
		errs    = make([]error, s.ranks)
		wait    sync.WaitGroup
		groups  = NewLocalGroup(s.ranks)
	)
	for rank := range s.ranks {
		elsewhere := filepath.Join(t.TempDir(), "elsewhere")
		wait.Go(func() {
			var device *bert.Device
			if s.device != nil {
				device = s.device(rank)
			}
			m, err := sharedModel(0.1, device)
			if err != nil {
				errs[rank] = err
				groups[rank].Abort(err)
				return
			}
			defer m.Close()
			o := tinyOptions(s.dir, m)
			o.MicroBatchTokens, o.chunk = 30, 9000
			s.change(&o)
			if s.ranks > 1 {
				o.Group = groups[rank]
				if s.wrap != nil {
					o.Group = s.wrap(o.Group)
				}
			}
			if rank > 0 {
				o.Output = elsewhere
			}
			if s.each != nil {
				s.each(rank, &o)
			}
			ctx := context.Background()
			if s.ctx != nil {
				ctx = s.ctx(rank)
			}
			var eval Evaluator = tinyEvaluator{}
			if s.eval != nil {
				eval = s.eval(rank)
			}
			results[rank], errs[rank] = Run(ctx, m, tinyData{}, eval, o)
			if _, err := os.Stat(elsewhere); err == nil {
				t.Errorf("rank %d wrote to its folder", rank)
			}
		})
	}
	wait.Wait()
	return results, errs
}

// mustStart starts a run that is to end well.
func (s sharedRun) mustStart(t *testing.T) Result {
	t.Helper()
	results, errs := s.start(t)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for rank, r := range results {
		if fmt.Sprintf("%+v %+v", r, r.Evaluation) == "" || r.Steps != results[0].Steps || r.Loss != results[0].Loss || r.ModelStep != results[0].ModelStep {
			t.Errorf("rank %d has the result %+v, rank 0 %+v", rank, r, results[0])
		}
	}
	return results[0]
}

// sameShared compares the files of two runs: the model, the newest checkpoint, and the events but for times.
func sameShared(t *testing.T, got, want string) {
	t.Helper()
	sameFile(t, "model.safetensors", got, want)
	if a, b := checkpointsIn(t, got), checkpointsIn(t, want); !slices.Equal(a, b) {
		t.Errorf("checkpoints are %v, want %v", a, b)
	}
	for _, name := range checkpointsIn(t, want) {
		sameFile(t, filepath.Join("checkpoints", name, tensorsName), got, want)
	}
	if a, b := fmt.Sprint(logged(t, got)), fmt.Sprint(logged(t, want)); a != b {
		t.Errorf("events are %s, want %s", a, b)
	}
}

// Ranks end with the bits of one process that computes the same parts: model, checkpoints, moments, events.
func TestRanksGiveTheSameBits(t *testing.T) {
	for name, c := range map[string]struct {
		ranks  []int
		change func(*Options)
	}{
		"google":                {[]int{2, 4}, func(o *Options) { o.Parts = 4 }},
		"adamw, 3 and 2 ranks":  {[]int{3, 2}, func(o *Options) { o.Parts, o.Optimizer = 6, AdamW }},
		"lamb":                  {[]int{2, 4}, func(o *Options) { o.Parts, o.Optimizer = 4, LAMB }},
		"bf16":                  {[]int{3, 2}, func(o *Options) { o.Parts, o.ReducePrecision = 6, bert.BFloat16 }},
		"fewer examples":        {[]int{4}, func(o *Options) { o.Parts, o.BatchSize, o.MaxSteps = 8, 5, 10 }},
		"token budget, best":    {[]int{2}, func(o *Options) { o.Parts, o.BatchSize, o.TokenBudget, o.BestMetric = 2, 0, 60, LossMetric }},
		"accumulation, a chunk": {[]int{2}, func(o *Options) { o.Parts, o.BatchSize, o.Accumulation, o.chunk = 2, 4, 2, 0 }},
		"owner of nothing":      {[]int{3}, func(o *Options) { o.Parts, o.MaxSteps, o.chunk = 3, 5, 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			one := sharedRun{dir: t.TempDir(), ranks: 1, change: c.change}
			one.mustStart(t)
			for _, ranks := range c.ranks {
				other := sharedRun{dir: t.TempDir(), ranks: ranks, change: c.change}
				other.mustStart(t)
				sameShared(t, other.dir, one.dir)
			}
		})
	}
}

// A device with memory of its own, which is copied from and to, gives the bits of the processor.
func TestRanksOnADevice(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"lamb": func(o *Options) { o.Parts, o.Optimizer, o.MaxSteps = 6, LAMB, 8 },
		"bf16": func(o *Options) { o.Parts, o.ReducePrecision, o.MaxSteps = 6, bert.BFloat16, 8 },
	} {
		one := sharedRun{dir: t.TempDir(), ranks: 1, change: change}
		one.mustStart(t)
		for _, ranks := range []int{1, 2} {
			s := sharedRun{dir: t.TempDir(), ranks: ranks, change: func(o *Options) { change(o); o.AllowOtherKernels = true }, device: func(int) *bert.Device { return deferred(nil) }}
			s.mustStart(t)
			t.Run(fmt.Sprint(name, ranks), func(t *testing.T) {
				sameFile(t, "model.safetensors", s.dir, one.dir)
				sameFile(t, filepath.Join("checkpoints", "step-8", tensorsName), s.dir, one.dir)
			})
		}
	}
}

// A step in parts is a step of the whole but for rounding.
func TestPartsAreTheWhole(t *testing.T) {
	norms := func(change func(*Options)) (loss, norm float64) {
		sharedRun{dir: t.TempDir(), ranks: 1, change: func(o *Options) {
			o.MaxSteps = 1
			o.Observer = func(e Event) {
				if e, ok := e.(Stepped); ok {
					loss, norm = e.Loss, e.GradNorm
				}
			}
			change(o)
		}}.mustStart(t)
		return loss, norm
	}
	// Dropout has other masks in parts: the loss is near that of the whole, and the same for each way of reducing.
	loss, norm := norms(func(o *Options) { o.Parts = 5 })
	whole, wholeNorm := norms(func(*Options) {})
	if math.Abs(loss-whole) > 0.1*whole || math.Abs(norm-wholeNorm) > 0.5*wholeNorm {
		t.Errorf("loss %v, norm %v; of the whole %v, %v", loss, norm, whole, wholeNorm)
	}
	for name, change := range map[string]func(*Options){
		"fast": func(o *Options) { o.FastReduce = true },
		"bf16": func(o *Options) { o.ReducePrecision = bert.BFloat16 },
	} {
		bound := map[string]float64{"fast": 1e-6, "bf16": 1e-2}[name]
		l, n := norms(func(o *Options) { o.Parts = 5; change(o) })
		if l != loss || !within(n, norm, bound) {
			t.Errorf("%s: loss %v, norm %v, want %v, %v", name, l, n, loss, norm)
		}
	}
}

// A fast reduction gives what the tree does but for rounding, on any number of ranks.
func TestFastReduce(t *testing.T) {
	run := func(ranks int, fast bool) map[string][]float32 {
		s := sharedRun{dir: t.TempDir(), ranks: ranks, change: func(o *Options) { o.Parts, o.MaxSteps, o.FastReduce = 4, 10, fast }}
		s.mustStart(t)
		return tensors(t, s.dir)
	}
	want := run(1, false)
	for _, ranks := range []int{1, 2, 4} {
		got := run(ranks, true)
		off, size := 0.0, 0.0
		for name := range want {
			for i, v := range want[name] {
				off += square(float64(got[name][i] - v))
				size += square(float64(v))
			}
		}
		if r := math.Sqrt(off / size); !(r < 1e-4) || size == 0 {
			t.Errorf("%d ranks: the parameters differ by %v of their norm", ranks, r)
		}
	}
}

// A run is resumed on another number of ranks, more than once, with the bits of one that was not interrupted.
func TestResumedOnOtherRanks(t *testing.T) {
	for _, optimizer := range []Optimizer{GoogleAdam, LAMB} {
		change := func(o *Options) { o.Parts, o.Optimizer = 4, optimizer }
		one := sharedRun{dir: t.TempDir(), ranks: 1, change: change}
		one.mustStart(t)
		dir := t.TempDir()
		for i, ranks := range []int{4, 1, 2} {
			s := sharedRun{dir: dir, ranks: ranks, change: func(o *Options) {
				change(o)
				o.Resume = i > 0
				if i > 0 {
					o.Parts = 0 // as it was
				}
			}}
			if i == 2 {
				s.mustStart(t)
				break
			}
			interrupt := newInterrupt(ranks)
			s.ctx = func(rank int) context.Context { return interrupt.ctx[rank] }
			s.each = func(rank int, o *Options) { o.Observer = interrupt.after(rank, ranks-1, 7+9*i) }
			_, errs := s.start(t)
			for rank, err := range errs {
				if e := (*InterruptedError)(nil); !errors.As(err, &e) || e.Step != 7+9*i {
					t.Fatalf("rank %d: %v", rank, err)
				}
			}
		}
		sameShared(t, dir, one.dir)
	}
}

// interrupt cancels the context of a rank.
type interrupt struct {
	ctx    []context.Context
	cancel []context.CancelCauseFunc
}

var errStop = errors.New("stop")

func newInterrupt(ranks int) *interrupt {
	i := &interrupt{make([]context.Context, ranks), make([]context.CancelCauseFunc, ranks)}
	for rank := range ranks {
		i.ctx[rank], i.cancel[rank] = context.WithCancelCause(context.Background())
	}
	return i
}

// after is the observer of a rank, which cancels its context after a step if it is the one to be cancelled.
func (i *interrupt) after(rank, of, step int) Observer {
	return func(e Event) {
		if s, ok := e.(Stepped); ok && rank == of && s.Step == step {
			i.cancel[rank](errStop)
		}
	}
}

// A rank that is interrupted interrupts all after the same step, with a checkpoint. Its own error has the cause, the others name it.
func TestInterruptedRank(t *testing.T) {
	for of := range 3 {
		interrupt := newInterrupt(3)
		s := sharedRun{
			dir: t.TempDir(), ranks: 3, change: func(o *Options) { o.SaveSteps = new(0) },
			ctx:  func(rank int) context.Context { return interrupt.ctx[rank] },
			each: func(rank int, o *Options) { o.Observer = interrupt.after(rank, of, 5) },
		}
		_, errs := s.start(t)
		for rank, err := range errs {
			e := (*InterruptedError)(nil)
			if !errors.As(err, &e) || e.Step != 5 {
				t.Fatalf("rank %d: %v", rank, err)
			}
			other := (*RankError)(nil)
			if rank == of && !errors.Is(err, errStop) || rank != of && (!errors.As(err, &other) || other.Rank != of) {
				t.Errorf("rank %d, of which %d was interrupted: %v", rank, of, e.Cause)
			}
		}
		wantNames(t, checkpointsIn(t, s.dir), "step-5")
	}
}

// Whatever fails on one rank ends all, at any moment, with one reason; and the run can be resumed to the bits of one that did not fail.
func TestFailingRank(t *testing.T) {
	lost := errors.New("lost")
	change := func(o *Options) { o.Parts, o.MaxSteps, o.BestMetric = 2, 12, LossMetric }
	one := sharedRun{dir: t.TempDir(), ranks: 1, change: change}
	one.mustStart(t)
	for name, break_ := range map[string]func(rank int, o *Options){
		"the folder": func(rank int, o *Options) { o.Begin = func(string) error { return lost } },
		"the results": func(rank int, o *Options) {
			o.SaveResults = func(context.Context, string, Result) error { return lost }
		},
		"the model":  func(rank int, o *Options) { o.SaveModel = func(string) error { return lost } },
		"validation": func(rank int, o *Options) { o.LearningRate *= 1 + float64(rank) },
		"more steps": func(rank int, o *Options) { o.MaxSteps += rank },
		"parts":      func(rank int, o *Options) { o.Parts = 3 },
		"invalid": func(rank int, o *Options) {
			if rank == 1 {
				o.Epsilon = -1
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := sharedRun{dir: t.TempDir(), ranks: 2, change: change, each: break_}
			_, errs := s.start(t)
			reason := map[string]string{
				"validation": "rank 1 has not the same run as rank 0: learning_rate of rank 0", "more steps": "steps of rank 0 \"12\" and of rank 1 \"13\"",
				"parts": "parts is 3, want a multiple of the 2 ranks", "invalid": "adam_epsilon is -1",
			}[name]
			if reason == "" {
				reason = "lost"
			}
			for rank, err := range errs {
				wantError(t, err, reason)
				if other := (*RankError)(nil); reason == "lost" && errors.As(err, &other) != (rank == 1) {
					t.Errorf("rank %d: %v", rank, err)
				}
			}
			again := sharedRun{dir: s.dir, ranks: 2, change: func(o *Options) { change(o); o.Resume = true }}
			again.mustStart(t)
			sameShared(t, s.dir, one.dir)
		})
	}
}

// evaluatorFunc is an Evaluator.
type evaluatorFunc func(ctx context.Context, m *bert.Model, at Point) (Evaluation, error)

func (f evaluatorFunc) Evaluate(ctx context.Context, m *bert.Model, at Point) (Evaluation, error) {
	return f(ctx, m, at)
}

// An evaluation that fails on one rank ends all; one that is interrupted interrupts all, at the step before it.
func TestFailingEvaluation(t *testing.T) {
	lost := errors.New("lost")
	for name, fail := range map[string]func(*interrupt) error{
		"failed":      func(*interrupt) error { return lost },
		"interrupted": func(i *interrupt) error { i.cancel[1](errStop); return errStop },
	} {
		interrupt := newInterrupt(2)
		s := sharedRun{
			dir: t.TempDir(), ranks: 2, change: func(o *Options) { o.SaveSteps = new(0) },
			ctx: func(rank int) context.Context { return interrupt.ctx[rank] },
			eval: func(rank int) Evaluator {
				return evaluatorFunc(func(ctx context.Context, m *bert.Model, at Point) (Evaluation, error) {
					if got, err := at.Share.Gather([]byte{byte(rank)}); err != nil || len(got) != 2 || got[1][0] != 1 {
						t.Errorf("%v, %v", got, err)
					}
					if rank == 1 && at.Step == 20 {
						return Evaluation{}, fail(interrupt)
					}
					return tinyEvaluator{}.Evaluate(ctx, m, at)
				})
			},
		}
		_, errs := s.start(t)
		for rank, err := range errs {
			if name == "failed" {
				wantError(t, err, "evaluation after step 20: ", "lost")
			} else if e := (*InterruptedError)(nil); !errors.As(err, &e) || e.Step != 20 {
				t.Errorf("rank %d: %v", rank, err)
			}
		}
	}
}

// failingGroup fails at a call.
type failingGroup struct {
	Group
	calls *int
	at    int // counted from 1; 0: never
	err   error
}

func (g *failingGroup) next() error {
	*g.calls++
	if *g.calls == g.at {
		return g.err
	}
	return nil
}

func (g *failingGroup) Broadcast(b []byte, root int) error {
	if err := g.next(); err != nil {
		return err
	}
	return g.Group.Broadcast(b, root)
}

func (g *failingGroup) Exchange(send, receive [][]byte) error {
	if err := g.next(); err != nil {
		return err
	}
	return g.Group.Exchange(send, receive)
}

// A call of the group that fails on one rank, whichever it is, ends all ranks, and leaves a folder that can be resumed.
func TestFailingCalls(t *testing.T) {
	change := func(o *Options) { o.Parts, o.MaxSteps, o.EvalSteps, o.SaveSteps, o.chunk = 2, 4, 2, new(2), 20000 }
	one := sharedRun{dir: t.TempDir(), ranks: 1, change: change}
	one.mustStart(t)
	calls := make([]int, 2)
	wrap := func(of, at int, err error) func(g Group) Group {
		return func(g Group) Group {
			f := &failingGroup{Group: g, calls: &calls[g.Rank()], err: err}
			if g.Rank() == of {
				f.at = at
			}
			return f
		}
	}
	count := sharedRun{dir: t.TempDir(), ranks: 2, change: change, wrap: wrap(0, 0, nil)}
	count.mustStart(t)
	n := calls[0]
	if n < 40 || n != calls[1] {
		t.Fatalf("%v calls", calls)
	}
	lost := errors.New("lost")
	step := 7 // as many as there is time for
	if testing.Short() {
		step = 29
	}
	for at := 1; at <= n; at += step {
		of := at / step % 2
		clear(calls)
		s := sharedRun{dir: t.TempDir(), ranks: 2, change: change, wrap: wrap(of, at, lost)}
		_, errs := s.start(t)
		for rank, err := range errs {
			wantError(t, err, "lost")
			if e := (*GroupError)(nil); !errors.As(err, &e) || e.Rank != rank {
				t.Errorf("call %d of rank %d fails: rank %d has %v", at, of, rank, err)
			}
		}
		again := sharedRun{dir: s.dir, ranks: 2, change: func(o *Options) { change(o); o.Resume = true }}
		if _, errs := again.start(t); errors.Join(errs...) != nil {
			// It may have been in the last calls, after the end was written.
			if e := (*FinishedError)(nil); !errors.As(errs[0], &e) {
				t.Fatalf("call %d of rank %d: resumed: %v", at, of, errs)
			}
		}
		sameShared(t, s.dir, one.dir)
	}
}

// failingData fails at an example, from a number of draws on.
type failingData struct {
	tinyData
	left *int
}

func (d failingData) Append(b *bert.Batch, i int) error {
	if *d.left--; *d.left < 0 {
		return errors.New("unreadable")
	}
	return d.tinyData.Append(b, i)
}

// An example that one rank can't read ends all in the step, with a name; so does a model whose loss is not finite, on all ranks alike.
func TestFailingStep(t *testing.T) {
	groups := NewLocalGroup(3)
	errs := make([]error, 3)
	var wait sync.WaitGroup
	for rank := range groups {
		dir := t.TempDir()
		wait.Go(func() {
			m, err := sharedModel(0, nil)
			if err != nil {
				groups[rank].Abort(err)
				return
			}
			defer m.Close()
			o := tinyOptions(dir, m)
			o.Group = groups[rank]
			left := math.MaxInt
			if rank == 1 {
				left = 20
			}
			_, errs[rank] = Run(context.Background(), m, failingData{left: &left}, nil, withoutEvaluation(o))
		})
	}
	wait.Wait()
	wantError(t, errs[1], "step ", "unreadable")
	for _, rank := range []int{0, 2} {
		wantError(t, errs[rank], "step ", "rank 1: ", "unreadable")
	}

	s := sharedRun{dir: t.TempDir(), ranks: 2, change: func(o *Options) { o.LearningRate, o.ClipNorm, o.MaxSteps = 1e3, new(0.0), 200 }}
	_, errs = s.start(t)
	for rank, err := range errs {
		if e := (*NonFiniteError)(nil); !errors.As(err, &e) || len(e.Examples) != 8 {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
}

// A device that is lost in the middle of a step, of a rank with one part or with several, ends all ranks with its name.
func TestFailingDevice(t *testing.T) {
	lost := errors.New("lost")
	for _, parts := range []int{2, 6} {
		for _, fast := range []bool{false, true} {
			var of *computetest.Deferred
			s := sharedRun{
				dir: t.TempDir(), ranks: 2, change: func(o *Options) { o.Parts, o.FastReduce = parts, fast },
				device: func(rank int) *bert.Device {
					if rank == 1 {
						return deferred(func(d *computetest.Deferred) { of = d })
					}
					return deferred(nil)
				},
				each: func(rank int, o *Options) {
					if rank == 1 {
						o.Observer = func(e Event) {
							if e, ok := e.(Stepped); ok && e.Step == 5 {
								of.Fail(lost)
							}
						}
					}
				},
			}
			_, errs := s.start(t)
			if !errors.Is(errs[1], lost) {
				t.Errorf("rank 1: %v", errs[1])
			}
			if e := (*RankError)(nil); !errors.As(errs[0], &e) || e.Rank != 1 || !strings.Contains(e.Reason, "lost") || !strings.Contains(errs[0].Error(), "step 6") {
				t.Errorf("rank 0: %v", errs[0])
			}
			wantNames(t, checkpointsIn(t, s.dir), "step-4")
		}
	}
}

func withoutEvaluation(o Options) Options {
	o.EvalSteps, o.EvalEpochs, o.BestMetric = 0, false, ""
	return o
}

// Each rank has the moments of its share of the parameters alone.
func TestMomentsAreShared(t *testing.T) {
	m, err := sharedModel(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	runs := m.Runs()
	all := runs[len(runs)-1].To
	for _, ranks := range []int{1, 2, 3, 4} {
		for _, elements := range []int{1, 9000, chunkElements} {
			l := newLayout(runs, ranks, elements)
			next := all
			for _, c := range l.chunks {
				if c.To != next || c.Len() > max(elements, bert.RunLen) {
					t.Fatalf("%d ranks: chunk %v after %d", ranks, c.Range, next)
				}
				next = c.From
			}
			covered := 0
			for rank := range ranks {
				n := 0
				for _, r := range l.owned[rank] {
					n += r.Len()
				}
				covered += n
				if most := all/ranks + 2*bert.RunLen; n > most {
					t.Errorf("rank %d of %d owns %d of %d parameters, want at most %d", rank, ranks, n, all, most)
				}
				tr, err := m.NewTrainerWith(bert.TrainerOptions{Owned: l.owned[rank]})
				if err != nil {
					t.Fatal(err)
				}
				moments := 0
				for _, v := range tr.OwnedMoments(bert.Range{To: all}, false) {
					moments += v.Len()
				}
				tr.Close()
				if moments != n {
					t.Errorf("rank %d of %d has %d moments of %d parameters", rank, ranks, moments, n)
				}
			}
			if next != 0 || covered != all {
				t.Errorf("%d ranks own %d of %d parameters", ranks, covered, all)
			}
		}
	}
}

func TestTree(t *testing.T) {
	sum := func(n int) string {
		leaves := make([]string, n)
		for i := range leaves {
			leaves[i] = fmt.Sprint(i)
		}
		return fold(leaves, func(a, b string) string { return "(" + a + b + ")" })
	}
	for n, want := range map[int]string{1: "0", 2: "(01)", 3: "((01)2)", 6: "(((01)(23))(45))", 7: "(((01)(23))((45)6))"} {
		if got := sum(n); got != want {
			t.Errorf("%d parts: %s, want %s", n, got, want)
		}
	}
	// Ranks that add up what they hold and then what they have been sent go along the same tree.
	for n := 1; n <= 24; n++ {
		for ranks := 1; ranks <= n; ranks++ {
			if n%ranks != 0 {
				continue
			}
			var (
				tree  = stack{n: n}
				texts []string
			)
			push := func(s *stack, texts []string, node nodes, text string) []string {
				texts = append(texts, text)
				for range s.push(node) {
					last := len(texts) - 1
					texts[last-1] = "(" + texts[last-1] + texts[last] + ")"
					texts = texts[:last]
				}
				return texts
			}
			for rank := range ranks {
				own, mine := stack{n: n}, []string(nil)
				parts := partsOf(n, rank, ranks)
				for i := parts.from; i < parts.to; i++ {
					mine = push(&own, mine, nodes{i, i + 1}, fmt.Sprint(i))
				}
				if !slices.Equal(own.list, held(n, parts)) {
					t.Errorf("rank %d of %d holds %v", rank, ranks, own.list)
				}
				for i, text := range mine {
					texts = push(&tree, texts, own.list[i], text)
				}
			}
			if len(texts) != 1 || texts[0] != sum(n) {
				t.Errorf("%d ranks add up %d parts as %v, want %s", ranks, n, texts, sum(n))
			}
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		lengths []int
		parts   int
		want    []int
	}{
		{[]int{1, 1, 1, 1}, 2, []int{2, 4}},
		{[]int{5, 1, 1, 1}, 2, []int{1, 4}},
		{[]int{1, 1, 1, 5}, 2, []int{3, 4}},
		{[]int{9, 9}, 4, []int{1, 2, 2, 2}},
		{nil, 2, []int{0, 0}},
		{[]int{3, 3, 3, 3, 3, 3, 3}, 3, []int{2, 5, 7}},
		{[]int{100, 1, 1, 1}, 4, []int{1, 2, 3, 4}},
	} {
		if got := cut(c.lengths, c.parts); !slices.Equal(got, c.want) {
			t.Errorf("%v in %d parts ends at %v, want %v", c.lengths, c.parts, got, c.want)
		}
	}
}

func TestRound(t *testing.T) {
	inf := float32(math.Inf(1))
	for v, want := range map[float32]float32{0: 0, 1: 1, 1 + 1.0/256: 1, 1 + 3.0/256: 1 + 4.0/256, -1.0078125: -1.0078125, inf: inf, 3.4e38: inf, 1e-40: 9.1835e-41} {
		got := []float32{v}
		round(got)
		wide := []float32{0}
		widen(wide, appendRounded(nil, []float32{v}))
		if math.Abs(float64(got[0]-want)) > 1e-5*math.Abs(float64(want)) || wide[0] != got[0] {
			t.Errorf("%v is rounded to %v, %v, want %v", v, got[0], wide[0], want)
		}
	}
	nan := []float32{float32(math.NaN()), math.Float32frombits(0x7f800001)}
	round(nan)
	if nan[0] == nan[0] || nan[1] == nan[1] {
		t.Errorf("NaNs are rounded to %v", nan)
	}
}

// Parts are in the fingerprint, and what they were goes on where nothing else is said.
func TestRecordedParts(t *testing.T) {
	s := sharedRun{dir: t.TempDir(), ranks: 2, change: func(o *Options) { o.MaxSteps = 2 }}
	s.mustStart(t)
	b, err := Recorded(s.dir, true, nil)
	if err != nil || b.Parts != 2 || b.Kernels == "" {
		t.Errorf("%+v, %v", b, err)
	}
	if b, err := Recorded(s.dir, false, nil); err != nil || b != (Begun{}) {
		t.Errorf("%+v, %v", b, err)
	}
	if options := recordedOptions(s.dir); options["parts"] != "2" || slices.Contains(slices.Collect(maps.Keys(options)), "fast_reduce") {
		t.Errorf("%v", options)
	}
	_, err = Recipe{}.DecideParts(b, NewLocalGroup(3)[0])
	wantError(t, err, "parts is 2, as in the run that is resumed: want a multiple of the 3 ranks")
	again := sharedRun{dir: s.dir, ranks: 1, change: func(o *Options) { o.MaxSteps, o.Resume, o.Parts = 2, true, 4 }}
	_, errs := again.start(t)
	if !strings.Contains(fmt.Sprint(errs[0]), `parts was "2" and is now "4"`) {
		t.Errorf("%v", errs)
	}
}

// BenchmarkReduce is the exchange of the gradients and the parameters of a model of 11 million, by ranks in one process: what it costs beside
// the network. Bytes are those of the gradients.
func BenchmarkReduce(b *testing.B) {
	c := bert.DefaultConfig()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = 30522, 256, 4, 4, 1024
	for name, how := range map[string]reduction{"float32": {}, "bf16": {rounded: true}, "fast": {fast: true}} {
		for _, ranks := range []int{2, 4} {
			b.Run(fmt.Sprintf("%s/%d", name, ranks), func(b *testing.B) {
				reducers := make([]*reducer, ranks)
				for rank, g := range NewLocalGroup(ranks) {
					m, err := bert.New(c, bert.Options{Head: bert.MaskedLM, Threads: 1})
					if err != nil {
						b.Fatal(err)
					}
					defer m.Close()
					l := newLayout(m.Runs(), ranks, chunkElements)
					t, err := m.NewTrainerWith(bert.TrainerOptions{Owned: l.owned[rank]})
					if err != nil {
						b.Fatal(err)
					}
					reducers[rank] = newReducer(t, newPeers(g), l, ranks, how)
				}
				b.SetBytes(4 * int64(reducers[0].l.chunks[0].To))
				for b.Loop() {
					var wait sync.WaitGroup
					for _, r := range reducers {
						wait.Go(func() {
							r.begin(0, false)
							if err := errors.Join(r.end(), r.gatherParameters()); err != nil {
								b.Error(err)
							}
						})
					}
					wait.Wait()
				}
			})
		}
	}
}
