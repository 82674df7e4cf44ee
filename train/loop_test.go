package train

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/metric"
)

// A fakeTrainer simulates a model with one parameter. Its gradient depends on the examples and their order, on the dropout key
// and on the parameter, so any difference in a run changes the final parameter.
type fakeTrainer struct {
	Value, Moment float64
	grad          float64
	closed        bool

	loss, norm float64 // the results of badStep
	badStep    int     // counted from 1
	step       int
	updates    []bert.Update
	write      func(path string) error // instead of WriteState
}

func (f *fakeTrainer) Backward(batches []*bert.Batch, p bert.Pass) (bert.Loss, error) {
	f.step++
	sum := float64(p.Key%1000) / 1000
	for _, b := range batches {
		for i, id := range b.IDs {
			sum += float64(id) * float64(i%7+1) / 100
		}
	}
	f.grad = math.Sin(sum) + f.Value
	if f.step == f.badStep {
		return bert.Loss{Total: f.loss}, nil
	}
	return bert.Loss{Total: math.Abs(f.grad) + 0.1}, nil
}

func (f *fakeTrainer) GradNorm() (float64, error) {
	if f.step == f.badStep {
		return f.norm, nil
	}
	return math.Abs(f.grad), nil
}

func (f *fakeTrainer) Update(u bert.Update) error {
	f.updates = append(f.updates, u)
	f.Moment = u.Beta1*f.Moment + f.grad*u.GradScale
	f.Value -= u.StepSize * f.Moment
	return nil
}

func (f *fakeTrainer) WriteState(path string, _ map[string]string) error {
	if f.write != nil {
		return f.write(path)
	}
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o666)
}

func (f *fakeTrainer) ReadState(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return nil, json.Unmarshal(text, f)
}

func (f *fakeTrainer) Close() { f.closed = true }

// A fakeRun is a run of a fakeTrainer.
type fakeRun struct {
	Options
	trainer  fakeTrainer
	data     Data
	evaluate func(context.Context, Point) (Evaluation, error)
	ctx      context.Context
	events   []Event
	saved    float64 // the parameter at SaveModel
}

// newFakeRun returns a run of 25 steps on 50 examples in batches of 4: two epochs of 12.5 steps.
func newFakeRun(dir string) *fakeRun {
	data := make(lengths, 50)
	for i := range data {
		data[i] = 1 + i*i%9
	}
	f := &fakeRun{Options: defaults(), data: data, ctx: context.Background()}
	f.Output, f.BatchSize, f.LearningRate, f.LogSteps, f.SaveSteps = dir, 4, 0.1, 4, new(10)
	return f
}

func (f *fakeRun) run() (Result, error) {
	f.trainer = fakeTrainer{loss: f.trainer.loss, norm: f.trainer.norm, badStep: f.trainer.badStep, write: f.trainer.write}
	o := f.Options
	o.Observer = func(e Event) {
		f.events = append(f.events, e)
		if f.Observer != nil {
			f.Observer(e)
		}
	}
	o.SaveModel = func(string) error { f.saved = f.trainer.Value; return nil }
	return start(f.ctx, func(*run) (trainer, error) { return &f.trainer, nil }, f.data, f.evaluate, o)
}

func (f *fakeRun) mustRun(t *testing.T) Result {
	t.Helper()
	r, err := f.run()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// onStep makes f call a function after a step.
func (f *fakeRun) onStep(step int, do func()) {
	f.Observer = func(e Event) {
		if s, ok := e.(Stepped); ok && s.Step == step {
			do()
		}
	}
}

// evaluateAs makes f's evaluations return the numbers in turn, as the metric "score".
func (f *fakeRun) evaluateAs(scores ...float64) {
	f.evaluate = func(context.Context, Point) (Evaluation, error) {
		score := scores[0]
		scores = scores[1:]
		return Evaluation{Metrics: metric.Metrics{{Name: "score", Value: score}, {Name: "other", Value: 1}}, Loss: 10 - score}, nil
	}
}

// logged returns the lines of a run's events without the fields that depend on the clock.
func logged(t *testing.T, dir string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, eventsName))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		var fields map[string]any
		if err := json.Unmarshal(s.Bytes(), &fields); err != nil {
			t.Fatalf("%s: %v", s.Text(), err)
		}
		for _, name := range []string{"time", "seconds", "examples_per_second", "tokens_per_second", "share_of_peak"} {
			delete(fields, name)
		}
		lines = append(lines, string(mustJSON(t, fields)))
	}
	return lines
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func checkpointsIn(t *testing.T, dir string) []string {
	return names(t, filepath.Join(dir, "checkpoints"))
}

func wantNames(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
}

func wantError(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("there is no error, want %q", want)
		return
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error has several lines: %v", err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error is %q, want %q in it", err, w)
		}
	}
}

func TestRun(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.Optimizer, f.EvalEpochs, f.EvalSteps = AdamW, true, 9
	f.evaluateAs(1, 2, 3, 4)
	r := f.mustRun(t)
	if r.Steps != 25 || r.Epochs != 2 || r.Examples != 100 || r.ModelStep != 25 || r.StoppedEarly {
		t.Errorf("result is %+v", r)
	}
	if score, _ := r.Evaluation.Metrics.Get("score"); score != 4 {
		t.Errorf("score is %v, want the last, 4", score)
	}
	if !f.trainer.closed {
		t.Error("the trainer was not closed")
	}
	if f.saved != f.trainer.Value {
		t.Errorf("the model was saved with %v, it ended with %v", f.saved, f.trainer.Value)
	}

	var sum, unlogged float64
	var inLine, tokens int
	var evaluations, steps []int
	for _, e := range f.events {
		switch e := e.(type) {
		case Stepped:
			steps = append(steps, e.Step)
			sum += e.Loss
			unlogged += e.Loss
			inLine++
			if e.MeanLoss != unlogged/float64(inLine) {
				t.Errorf("step %d: mean loss is %v, want %v", e.Step, e.MeanLoss, unlogged/float64(inLine))
			}
			if want := e.Step%4 == 0 || e.Step == 25; e.Logged != want {
				t.Errorf("step %d: logged is %v", e.Step, e.Logged)
			}
			if e.Logged {
				unlogged, inLine = 0, 0
			}
			if want := f.rate(e.Step-1, 25); e.LearningRate != want {
				t.Errorf("step %d: rate is %v, want %v", e.Step, e.LearningRate, want)
			}
			if got, want := f.trainer.updates[e.Step-1], f.update(e.Step-1, e.LearningRate, e.GradNorm); got != want {
				t.Errorf("step %d: update is %+v, want %+v", e.Step, got, want)
			}
			tokens = int(e.Tokens)
		case Evaluated:
			evaluations = append(evaluations, e.Step)
		}
	}
	if len(steps) != 25 || !slices.IsSorted(steps) {
		t.Errorf("steps are %v", steps)
	}
	if !within(r.Loss, sum/25, 1e-12) {
		t.Errorf("mean loss is %v, want %v", r.Loss, sum/25)
	}
	// The first epoch ends in the middle of step 13.
	if want := []int{9, 13, 18, 25}; !slices.Equal(evaluations, want) {
		t.Errorf("evaluations after the steps %v, want %v", evaluations, want)
	}
	total := 0
	for _, n := range f.data.(lengths) {
		total += 2 * n
	}
	if tokens != total || r.Tokens != int64(total) {
		t.Errorf("%d tokens, result has %d, want %d", tokens, r.Tokens, total)
	}
	if _, ok := f.events[0].(Started); !ok {
		t.Errorf("first event is %+v", f.events[0])
	}
	if _, ok := f.events[len(f.events)-1].(Ended); !ok {
		t.Errorf("last event is %+v", f.events[len(f.events)-1])
	}
	wantNames(t, checkpointsIn(t, f.Output), "step-20", "step-25")
	lines := logged(t, f.Output)
	if len(lines) != 1+7+4+1 {
		t.Errorf("%d lines, want 13:\n%s", len(lines), strings.Join(lines, "\n"))
	}
}

// A run that is interrupted, in any way and anywhere, and resumed has the same parameters, events and result as an uninterrupted
// one.
func TestResumeEqualsUninterrupted(t *testing.T) {
	configure := map[string]func(*fakeRun){
		"last model":  func(f *fakeRun) { f.SaveSteps = new(6) },
		"by tokens":   func(f *fakeRun) { f.BatchSize, f.TokenBudget, f.GroupByLength = 0, 20, true },
		"seldom":      func(f *fakeRun) { f.SaveSteps = new(0) },
		"best model":  func(f *fakeRun) { f.EvalSteps, f.BestMetric, f.KeepCheckpoints = 3, "score", new(1) },
		"early stop":  func(f *fakeRun) { f.EvalSteps, f.BestMetric, f.EarlyStop = 3, "score", 4 },
		"micro batch": func(f *fakeRun) { f.MicroBatchSize, f.MicroBatchTokens = 3, 12 },
		"changing":    func(f *fakeRun) { f.data = changing{f.data.(lengths)} },
		"phases": func(f *fakeRun) {
			short, long := f.data.(lengths), lengths{9, 8, 7, 9, 8}
			f.data = Phases{{Data: changing{short}, Steps: 14}, {Data: changing{long}, Steps: 11, TokenBudget: 20}, {Data: short, Steps: 3}}
		},
	}
	for name, configure := range configure {
		t.Run(name, func(t *testing.T) {
			make := func() *fakeRun {
				f := newFakeRun(t.TempDir())
				configure(f)
				f.evaluate = func(context.Context, Point) (Evaluation, error) {
					details := json.RawMessage(fmt.Sprintf(`{"value":%v}`, f.trainer.Value))
					return Evaluation{Metrics: metric.Metrics{{Name: "score", Value: math.Sin(100 * f.trainer.Value)}}, Loss: f.trainer.Value, Details: details}, nil
				}
				return f
			}
			whole := make()
			want := whole.mustRun(t)
			var evaluations []int
			for _, e := range whole.events {
				if e, ok := e.(Evaluated); ok {
					evaluations = append(evaluations, e.Step)
				}
			}
			for at := range want.Steps + 1 {
				for _, during := range []string{"step", "evaluation"} {
					// Every fourth step, which covers all distances from a checkpoint, and every evaluation.
					if during == "step" && at%4 != 0 && at != want.Steps || during == "evaluation" && !slices.Contains(evaluations, at) {
						continue
					}
					f := make()
					ctx, cancel := context.WithCancel(context.Background())
					f.ctx = ctx
					if at == 0 {
						cancel()
					}
					evaluate := f.evaluate
					if during == "step" {
						f.onStep(at, cancel)
					} else {
						f.evaluate = func(ctx context.Context, p Point) (Evaluation, error) {
							if f.trainer.step == at {
								cancel()
								return Evaluation{}, ctx.Err()
							}
							return evaluate(ctx, p)
						}
					}
					_, err := f.run()
					cancel()
					if err != nil {
						var interrupted *InterruptedError
						if !errors.As(err, &interrupted) || interrupted.Step != at || !errors.Is(err, context.Canceled) {
							t.Fatalf("interrupted in %s %d: error is %v", during, at, err)
						}
						if want := filepath.Join(f.Output, "checkpoints", fmt.Sprint("step-", at)); interrupted.Checkpoint != want {
							t.Fatalf("checkpoint is %s, want %s", interrupted.Checkpoint, want)
						}
						wantError(t, err, fmt.Sprintf("after step %d of", at), interrupted.Checkpoint)
						f.ctx, f.Observer, f.evaluate, f.Resume = context.Background(), nil, evaluate, true
						got, err := f.run()
						if err != nil {
							t.Fatalf("interrupted in %s %d: %v", during, at, err)
						}
						if string(mustJSON(t, got)) != string(mustJSON(t, want)) {
							t.Errorf("interrupted in %s %d: result is %+v, want %+v", during, at, got, want)
						}
					}
					if f.trainer.Value != whole.trainer.Value || f.saved != whole.saved {
						t.Errorf("interrupted in %s %d: parameter is %v, want %v", during, at, f.trainer.Value, whole.trainer.Value)
					}
					if got, want := logged(t, f.Output), logged(t, whole.Output); !slices.Equal(got, want) {
						t.Errorf("interrupted in %s %d: events are\n%s\nwant\n%s", during, at, strings.Join(got, "\n"), strings.Join(want, "\n"))
					}
				}
			}
		})
	}
}

// The result of a run depends on every option in its fingerprint.
func TestOptionsDecide(t *testing.T) {
	base := newFakeRun(t.TempDir())
	base.mustRun(t)
	for name, change := range map[string]func(*Options){
		"seed":            func(o *Options) { o.Seed = new(uint64(43)) },
		"batch_size":      func(o *Options) { o.BatchSize = 5 },
		"group_by_length": func(o *Options) { o.GroupByLength = true },
		"no_shuffle":      func(o *Options) { o.NoShuffle = true },
		"optimizer":       func(o *Options) { o.Optimizer = AdamW },
		"schedule":        func(o *Options) { o.Schedule = Constant },
		"learning_rate":   func(o *Options) { o.LearningRate = 0.2 },
		"clip_norm":       func(o *Options) { o.ClipNorm = new(0.1) },
		"warmup_steps":    func(o *Options) { o.WarmupSteps = new(9) },
		"steps":           func(o *Options) { o.MaxSteps = 24 },
	} {
		f := newFakeRun(t.TempDir())
		change(&f.Options)
		f.mustRun(t)
		if f.trainer.Value == base.trainer.Value {
			t.Errorf("with a different %s the run ends with the same parameter", name)
		}
		f.Options = base.Options
		change(&f.Options)
		f.Resume = true
		_, err := f.run()
		wantError(t, err, "can't be resumed with other options", name+" was ")
		if errors.As(err, new(*FinishedError)) {
			t.Errorf("another %s: error is %v", name, err)
		}
	}
	again := newFakeRun(t.TempDir())
	again.SaveSteps, again.LogSteps, again.KeepCheckpoints = new(3), 1, new(1)
	if again.mustRun(t); again.trainer.Value != base.trainer.Value {
		t.Errorf("with other checkpoints and logs the run ends with %v, want %v", again.trainer.Value, base.trainer.Value)
	}
}

func TestBestModel(t *testing.T) {
	for _, test := range []struct {
		metric   string
		minimize bool
		scores   []float64 // after the steps 5, 10, 15, 20, 25
		best     int
	}{
		{"score", false, []float64{1, 3, 2, 3, 2}, 10},
		{"score", true, []float64{1, 3, 2, 1, 0.5}, 25},
		{"loss", false, []float64{1, 3, 4, 3, 2}, 15}, // the loss is 10 − score
		{"score", false, []float64{math.NaN(), 3, math.NaN(), 2, 1}, 10},
	} {
		t.Run(fmt.Sprint(test.metric, test.minimize, test.best), func(t *testing.T) {
			f := newFakeRun(t.TempDir())
			f.SaveSteps, f.EvalSteps, f.KeepCheckpoints = new(7), 5, new(1)
			f.BestMetric, f.Minimize = test.metric, test.minimize
			f.evaluateAs(test.scores...)
			values := map[int]float64{}
			f.Observer = func(e Event) {
				if s, ok := e.(Stepped); ok {
					values[s.Step] = f.trainer.Value
				}
			}
			r := f.mustRun(t)
			if r.ModelStep != test.best || f.saved != values[test.best] || f.trainer.Value != values[test.best] {
				t.Errorf("the model is from step %d, saved with %v, want step %d with %v", r.ModelStep, f.saved, test.best, values[test.best])
			}
			if score, _ := r.Evaluation.Metrics.Get("score"); score != test.scores[test.best/5-1] {
				t.Errorf("the result has the score %v, want %v", score, test.scores[test.best/5-1])
			}
			want := []string{"step-25"}
			if test.best != 25 {
				want = append(want, fmt.Sprint("step-", test.best))
			}
			wantNames(t, checkpointsIn(t, f.Output), want...)
		})
	}
}

func TestNoSuchMetric(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.EvalSteps, f.BestMetric = 5, "f1"
	f.evaluateAs(1)
	_, err := f.run()
	wantError(t, err, `no metric "f1"`, "loss, score, other")
}

func TestEarlyStop(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.EvalSteps, f.BestMetric, f.EarlyStop = 3, "score", 2
	f.evaluateAs(1, 2, 2, 3, 1, 2, 9)
	r := f.mustRun(t)
	if !r.StoppedEarly || r.Steps != 18 || r.ModelStep != 12 {
		t.Errorf("result is %+v, want a stop after step 18 with the model of 12", r)
	}
	wantNames(t, checkpointsIn(t, f.Output), "step-12", "step-18")
}

// An evaluator can end the run, and so can the options. A run that was resumed knows that one of them did.
func TestStops(t *testing.T) {
	n := 0
	for name, configure := range map[string]func(*fakeRun){
		"evaluator": func(f *fakeRun) {
			f.evaluate = func(context.Context, Point) (Evaluation, error) {
				n++
				return Evaluation{Loss: 1, Stop: n == 2}, nil
			}
		},
		"options": func(f *fakeRun) {
			f.evaluateAs(5, 6)
			f.BestMetric = "score"
			f.Stop = func(e Evaluated) bool {
				n++
				score, _ := e.Evaluation.Metrics.Get("score")
				if e.Step != 3*n || score != float64(4+n) || !e.Best || e.Epoch == 0 {
					t.Errorf("evaluation %d: asked about %+v", n, e)
				}
				return n == 2
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			n = 0
			f := newFakeRun(t.TempDir())
			f.EvalSteps = 3
			configure(f)
			r := f.mustRun(t)
			if !r.StoppedEarly || r.Steps != 6 || r.ModelStep != 6 || n != 2 || !r.Evaluation.Stop {
				t.Errorf("result is %+v after %d evaluations, want a stop after step 6", r, n)
			}
			f.Resume = true
			_, err := f.run()
			wantError(t, err, "ended at step 6")
		})
	}
}

// An evaluation learns where it is made, and its progress reaches the observer.
func TestEvaluating(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.EvalSteps, f.MaxSteps = 3, 5
	var points []int
	f.evaluate = func(_ context.Context, at Point) (Evaluation, error) {
		points = append(points, at.Step)
		if want := float64(at.Step) * 4 / 50; at.Epoch != want {
			t.Errorf("step %d: epoch is %v, want %v", at.Step, at.Epoch, want)
		}
		at.Progress(1, 2)
		at.Progress(2, 2)
		return Evaluation{}, nil
	}
	f.mustRun(t)
	if want := []int{3, 5}; !slices.Equal(points, want) {
		t.Errorf("evaluated after the steps %v, want %v", points, want)
	}
	var progress []Evaluating
	for _, e := range f.events {
		if e, ok := e.(Evaluating); ok {
			progress = append(progress, e)
		}
	}
	if want := []Evaluating{{3, 5, 1, 2}, {3, 5, 2, 2}, {5, 5, 1, 2}, {5, 5, 2, 2}}; !slices.Equal(progress, want) {
		t.Errorf("progress is %v, want %v", progress, want)
	}
}

func TestKeepCheckpoints(t *testing.T) {
	for keep, want := range map[int][]string{
		0: {"step-3", "step-6", "step-9", "step-12", "step-15", "step-18", "step-21", "step-24", "step-25"},
		1: {"step-25"},
		3: {"step-21", "step-24", "step-25"},
	} {
		f := newFakeRun(t.TempDir())
		f.SaveSteps, f.KeepCheckpoints = new(3), new(keep)
		f.mustRun(t)
		wantNames(t, checkpointsIn(t, f.Output), want...)
	}
}

// A checkpoint that a killed process was removing is gone before the run has ended: after that it would be taken for one to keep.
func TestKeepCheckpointsAtTheEnd(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.SaveSteps, f.KeepCheckpoints = new(3), new(1)
	f.SaveResults = func(_ context.Context, dir string, _ Result) error {
		return os.CopyFS(filepath.Join(dir, "checkpoints", "step-24"), os.DirFS(filepath.Join(dir, "checkpoints", "step-25")))
	}
	ended := false
	f.Observer = func(e Event) {
		if _, ok := e.(Ended); ok {
			ended = true
			wantNames(t, checkpointsIn(t, f.Output), "step-25")
		}
	}
	f.mustRun(t)
	if !ended {
		t.Error("the run has not ended")
	}
}

func TestNonFinite(t *testing.T) {
	for _, test := range []struct {
		loss, norm float64
		want       string
	}{{math.NaN(), 1, "loss is NaN"}, {math.Inf(1), 1, "loss is +Inf"}, {0.5, math.NaN(), "loss is 0.5, but the norm of its gradient is NaN"}} {
		f := newFakeRun(t.TempDir())
		f.trainer.loss, f.trainer.norm, f.trainer.badStep = test.loss, test.norm, 13
		var before float64
		f.onStep(12, func() { before = f.trainer.Value })
		_, err := f.run()
		checkpoint := filepath.Join(f.Output, "checkpoints", "step-10")
		wantError(t, err, "step 13: "+test.want, "examples [", "the last checkpoint is "+checkpoint)
		var nonFinite *NonFiniteError
		if !errors.As(err, &nonFinite) {
			t.Fatalf("error is %T", err)
		}
		if want := examplesOf(batchesOf(t, f.data, f.Options).batch(12)); fmt.Sprint(nonFinite.Examples) != fmt.Sprint(want) || len(want) != 4 {
			t.Errorf("the batch is %v, want %v", nonFinite.Examples, want)
		}
		if f.trainer.Value != before {
			t.Errorf("the parameter was changed from %v to %v", before, f.trainer.Value)
		}
		f.trainer.badStep, f.Observer, f.Resume = 0, nil, true
		if r := f.mustRun(t); r.Steps != 25 {
			t.Errorf("the resumed run made %d steps", r.Steps)
		}
	}
	f := newFakeRun(t.TempDir())
	f.trainer.loss, f.trainer.badStep = math.NaN(), 1
	_, err := f.run()
	wantError(t, err, "step 1: loss is NaN", "there is no checkpoint yet")
}

func TestFolderInUse(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.onStep(3, func() {
		for _, resume := range []bool{false, true} {
			second := newFakeRun(f.Output)
			second.Resume = resume
			_, err := second.run()
			wantError(t, err, f.Output, fmt.Sprintf("process %d is writing", os.Getpid()))
		}
	})
	f.mustRun(t)
	if _, err := os.Stat(filepath.Join(f.Output, files.LockName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock is still there: %v", err)
	}
	f.Observer = nil
	_, err := f.run()
	wantError(t, err, f.Output, "this folder contains a run")
}

func TestResumeFinished(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.evaluateAs(math.NaN())
	want := f.mustRun(t)
	before := logged(t, f.Output)
	f.Resume = true
	_, err := f.run()
	var finished *FinishedError
	if !errors.As(err, &finished) {
		t.Fatalf("error is %v, want a FinishedError", err)
	}
	wantError(t, err, f.Output, "ended at step 25")
	if got := mustJSON(t, finished.Result); string(got) != string(mustJSON(t, want)) {
		t.Errorf("result is %s, want %s", got, mustJSON(t, want))
	}
	if !slices.Equal(logged(t, f.Output), before) {
		t.Error("the events have changed")
	}
}

// Resume can also start a run, so that a job can always be started with the same command.
func TestResumeNothing(t *testing.T) {
	f := newFakeRun(filepath.Join(t.TempDir(), "new", "folder"))
	f.Resume = true
	want := f.mustRun(t)
	if want.Steps != 25 {
		t.Errorf("%d steps", want.Steps)
	}
	value := f.trainer.Value

	// A run that stopped before its first checkpoint starts over, if its options are the same.
	f = newFakeRun(t.TempDir())
	f.trainer.badStep, f.trainer.loss = 7, math.NaN()
	if _, err := f.run(); err == nil {
		t.Fatal("no error")
	}
	other := *f
	other.Resume, other.Seed = true, new(uint64(1))
	_, err := other.run()
	wantError(t, err, `seed was "42" and is now "1"`)
	f.Resume, f.trainer.badStep = true, 0
	if f.mustRun(t); f.trainer.Value != value {
		t.Errorf("parameter is %v, want %v", f.trainer.Value, value)
	}
	if n := len(logged(t, f.Output)); n != 9 {
		t.Errorf("%d lines, want 9", n)
	}
}

// Resuming a run discards what it wrote after its last checkpoint, even if the resumed run gets less far.
func TestEventsAreCut(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.LogSteps, f.trainer.loss = 1, math.NaN()
	f.trainer.badStep = 20
	if _, err := f.run(); err == nil {
		t.Fatal("no error")
	}
	if n := len(logged(t, f.Output)); n != 1+19 {
		t.Fatalf("%d lines, want 20", n)
	}
	f.Resume, f.trainer.badStep = true, 3 // step 13
	if _, err := f.run(); err == nil {
		t.Fatal("no error")
	}
	if lines := logged(t, f.Output); len(lines) != 1+12 {
		t.Errorf("%d lines, want 13:\n%s", len(lines), strings.Join(lines, "\n"))
	}
}

func TestFingerprint(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.Fingerprint = map[string]string{"data": "abc"}
	ctx, cancel := context.WithCancel(context.Background())
	f.ctx = ctx
	f.onStep(3, cancel)
	if _, err := f.run(); err == nil {
		t.Fatal("no error")
	}
	f.ctx, f.Resume, f.Fingerprint = context.Background(), true, map[string]string{"data": "abd"}
	_, err := f.run()
	wantError(t, err, `data was "abc" and is now "abd"`)

	// Without the events, the options in the checkpoint are compared.
	if err := os.Remove(filepath.Join(f.Output, eventsName)); err != nil {
		t.Fatal(err)
	}
	_, err = f.run()
	wantError(t, err, `data was "abc" and is now "abd"`)
	f.Fingerprint = maps.Clone(f.Fingerprint)
	f.Fingerprint["data"] = "abc"
	f.events = nil
	f.mustRun(t)
	if !slices.ContainsFunc(f.events, func(e Event) bool { n, ok := e.(Note); return ok && strings.Contains(n.Text, "lacks lines") }) {
		t.Error("no note about the missing lines")
	}

	f = newFakeRun(t.TempDir())
	f.Fingerprint = map[string]string{"seed": "1"}
	_, err = f.run()
	wantError(t, err, `"seed"`, "is reserved")
}

func TestDamagedCheckpoint(t *testing.T) {
	tensors := filepath.Join("step-20", tensorsName)
	state := filepath.Join("step-20", stateName)
	change := func(from, to string) func(string) error {
		return func(path string) error {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if !strings.Contains(string(text), from) {
				return fmt.Errorf("no %q in %s", from, text)
			}
			return os.WriteFile(path, []byte(strings.Replace(string(text), from, to, 1)), 0o666)
		}
	}
	for name, test := range map[string]struct {
		file   string
		damage func(path string) error
		want   string
	}{
		"cut tensors":     {tensors, func(path string) error { return os.Truncate(path, 5) }, "has 5 bytes"},
		"changed tensors": {tensors, change(`"Value":`, `"Valve":`), "have changed"},
		"no tensors":      {tensors, os.Remove, "no such file"},
		"no state":        {state, os.Remove, "no such file"},
		"cut state":       {state, func(path string) error { return os.Truncate(path, 40) }, "not the JSON of a checkpoint"},
		"empty state":     {state, func(path string) error { return os.WriteFile(path, []byte("{}"), 0o666) }, "it contains no state"},
		"changed state":   {state, change(`"examples": 80`, `"examples": 81`), "have changed"},
		"other state": {state, func(path string) error {
			return os.Rename(filepath.Join(filepath.Dir(path), "..", "step-10", stateName), path)
		}, "belongs to step 10"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeRun(t.TempDir())
			f.trainer.badStep, f.trainer.loss = 23, math.NaN()
			if _, err := f.run(); err == nil {
				t.Fatal("no error")
			}
			if err := test.damage(filepath.Join(f.Output, "checkpoints", test.file)); err != nil {
				t.Fatal(err)
			}
			f.Resume, f.trainer.badStep, f.events = true, 0, nil
			f.mustRun(t)
			from := "going on from " + filepath.Join(f.Output, "checkpoints", "step-10")
			if name == "other state" { // step-10 is now damaged too
				from = "are damaged: going on from the beginning"
			}
			wantError(t, errors.New(oneWarning(t, f)), "checkpoint "+filepath.Join(f.Output, "checkpoints", "step-20")+" (", "damaged",
				filepath.Join(f.Output, "checkpoints", test.file), test.want, from)
			sameAsWhole(t, f, newFakeRun(t.TempDir()))
		})
	}
}

func TestMissingBestCheckpoint(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.EvalSteps, f.BestMetric = 5, "score"
	f.evaluateAs(9, 8, 7, 6, 5)
	f.trainer.badStep, f.trainer.loss = 23, math.NaN()
	if _, err := f.run(); err == nil {
		t.Fatal("no error")
	}
	if err := os.RemoveAll(filepath.Join(f.Output, "checkpoints", "step-5")); err != nil {
		t.Fatal(err)
	}
	f.Resume, f.trainer.badStep, f.events = true, 0, nil
	f.evaluateAs(9, 8, 7, 6, 5)
	r := f.mustRun(t)
	wantError(t, errors.New(oneWarning(t, f)), "step-20 (its best model's, ", "step-10 (its best model's, ", "are damaged: going on from the beginning")
	if r.ModelStep != 5 {
		t.Errorf("the model is from step %d, want 5", r.ModelStep)
	}
	whole := newFakeRun(t.TempDir())
	whole.EvalSteps, whole.BestMetric = 5, "score"
	whole.evaluateAs(9, 8, 7, 6, 5)
	sameAsWhole(t, f, whole)
}

// A checkpoint that can't be written leaves nothing behind, and earlier ones are intact.
func TestFailedCheckpoint(t *testing.T) {
	f := newFakeRun(t.TempDir())
	full := errors.New("no space left on device")
	f.trainer.write = func(path string) error {
		if f.trainer.step == 10 {
			return (*fakeTrainer).WriteState(&fakeTrainer{Value: f.trainer.Value, Moment: f.trainer.Moment}, path, nil)
		}
		if err := os.WriteFile(path, []byte("half"), 0o666); err != nil {
			return err
		}
		return full
	}
	_, err := f.run()
	if !errors.Is(err, full) {
		t.Fatal(err)
	}
	wantError(t, err, "can't write checkpoint "+filepath.Join(f.Output, "checkpoints", "step-20"),
		"the last checkpoint is "+filepath.Join(f.Output, "checkpoints", "step-10"))
	wantNames(t, checkpointsIn(t, f.Output), "step-10")
	f.trainer.write, f.Resume = nil, true
	f.mustRun(t)
}

// Resuming a run removes the temporary files of a killed process.
func TestLeftovers(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.trainer.badStep, f.trainer.loss = 13, math.NaN()
	if _, err := f.run(); err == nil {
		t.Fatal("no error")
	}
	for _, path := range []string{filepath.Join(f.Output, "model.safetensors"), filepath.Join(f.Output, "checkpoints", "step-20")} {
		if err := os.MkdirAll(filepath.Join(files.TempName(path), "x"), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(f.Output, ".notes.tmp-mine"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	f.trainer.badStep, f.Resume = 0, true
	f.mustRun(t)
	wantNames(t, checkpointsIn(t, f.Output), "step-20", "step-25")
	var left []string
	for _, name := range names(t, f.Output) {
		if name[0] == '.' {
			left = append(left, name)
		}
	}
	wantNames(t, left, ".notes.tmp-mine")
}

// brokenData return an error, or a wrong length, for one example.
type brokenData struct {
	lengths
	err    error
	longer int
}

func (d brokenData) Append(b *bert.Batch, i int) error {
	if i == 17 {
		if d.err != nil {
			return d.err
		}
		b.IDs = append(b.IDs, make([]int32, d.longer)...)
	}
	return d.lengths.Append(b, i)
}

func TestBrokenData(t *testing.T) {
	f := newFakeRun(t.TempDir())
	broken := errors.New("line 18: no label")
	f.data = brokenData{lengths: f.data.(lengths), err: broken}
	_, err := f.run()
	wantError(t, err, "step ", "example 17: line 18: no label")
	if !errors.Is(err, broken) {
		t.Errorf("error is %v", err)
	}
	f = newFakeRun(t.TempDir())
	f.data = brokenData{lengths: f.data.(lengths), longer: 3}
	_, err = f.run()
	wantError(t, err, "example 17 has 5 tokens, but Length returned 2")
}

func TestEvaluationFails(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.EvalSteps = 10
	broken := errors.New("no such file")
	f.evaluate = func(context.Context, Point) (Evaluation, error) { return Evaluation{}, broken }
	_, err := f.run()
	wantError(t, err, "evaluation after step 10: no such file")
	if !errors.Is(err, broken) {
		t.Errorf("error is %v", err)
	}
	wantNames(t, checkpointsIn(t, f.Output), "step-10")
}

func TestUnusableOutput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := newFakeRun(filepath.Join(file, "run")).run()
	wantError(t, err, file, "not a directory")
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"output folder":         func(o *Options) { o.Output = "" },
		"no metric to minimise": func(o *Options) { o.Minimize = true },
		"learning_rate is -1":   func(o *Options) { o.LearningRate = -1 },
		"there is no evaluator": func(o *Options) { o.EvalSteps = 1 },
		"do not fill one batch": func(o *Options) { o.BatchSize, o.Epochs = 1000, 0.5 },
	} {
		f := newFakeRun(filepath.Join(t.TempDir(), "run"))
		change(&f.Options)
		_, err := f.run()
		wantError(t, err, want)
		if f.Output != "" {
			if _, err := os.Stat(f.Output); err == nil {
				t.Errorf("%s: the folder was made", want)
			}
		}
	}
}

// The limits of a micro-batch split the batches of a step, but not more than necessary.
func TestMicroBatches(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.BatchSize, f.MicroBatchTokens, f.MicroBatchSize = 16, 21, 5
	r := &run{o: f.Options, data: f.data}
	var micro []*bert.Batch
	examples := batchesOf(t, f.data, f.Options).batch(0)
	for range 2 { // the second time with the same memory
		got, tokens, err := r.fill(&micro, examples)
		if err != nil {
			t.Fatal(err)
		}
		var ids []int32
		total := 0
		for i, b := range got {
			if b.Tokens() > 21 || b.Len() > 5 || b.Len() == 0 {
				t.Errorf("part %d has %d examples of %d tokens", i, b.Len(), b.Tokens())
			}
			if i > 0 {
				prev := got[i-1]
				if prev.Len() < 5 && prev.Tokens()+f.data.Length(int(b.IDs[0])) <= 21 {
					t.Errorf("the first example of part %d had room in part %d", i, i-1)
				}
			}
			for s := range b.Len() {
				from, _ := b.Sequence(s)
				ids = append(ids, b.IDs[from])
			}
			total += b.Tokens()
		}
		if !slices.Equal(ids, examplesOf(examples)) || total != tokens {
			t.Errorf("the parts have the examples %v of %d tokens, want %v of %d", ids, total, examples, tokens)
		}
	}
}

// oneWarning is the text of the only warning of a run.
func oneWarning(t *testing.T, f *fakeRun) string {
	t.Helper()
	var warnings []string
	for _, e := range f.events {
		if note, ok := e.(Note); ok && note.Warning {
			warnings = append(warnings, note.Text)
		}
	}
	if len(warnings) != 1 {
		t.Fatalf("warnings are %q, want one", warnings)
	}
	return warnings[0]
}

// sameAsWhole runs whole and wants the model, the events and the checkpoints of f.
func sameAsWhole(t *testing.T, f, whole *fakeRun) {
	t.Helper()
	whole.mustRun(t)
	if f.trainer.Value != whole.trainer.Value || f.saved != whole.saved {
		t.Errorf("parameter is %v, saved as %v, want %v and %v", f.trainer.Value, f.saved, whole.trainer.Value, whole.saved)
	}
	if got, want := logged(t, f.Output), logged(t, whole.Output); !slices.Equal(got, want) {
		t.Errorf("events are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got, want := slices.Contains(names(t, f.Output), checkpointsName), slices.Contains(names(t, whole.Output), checkpointsName); got != want {
		t.Errorf("there is a folder of checkpoints: %v, want %v", got, want)
	}
	wantNames(t, checkpointsIn(t, f.Output), checkpointsIn(t, whole.Output)...)
}

// The newest checkpoint is damaged, in each way, in a run that keeps its best model.
func TestDamagedWithBest(t *testing.T) {
	if testing.Short() {
		t.Skip("trains again and again, on one goroutine")
	}
	scores := map[int]float64{5: 1, 10: 3, 15: 2, 20: 4, 25: 3.5}
	begin := func(keep int) *fakeRun {
		f := newFakeRun(t.TempDir())
		f.SaveSteps, f.EvalSteps, f.KeepCheckpoints, f.BestMetric = new(5), 5, new(keep), "score"
		f.evaluate = func(_ context.Context, at Point) (Evaluation, error) {
			return Evaluation{Metrics: metric.Metrics{{Name: "score", Value: scores[at.Step]}}}, nil
		}
		return f
	}
	damages := map[string]func(path string) error{
		"removed": os.Remove,
		"emptied": func(path string) error { return os.Truncate(path, 0) },
		"cut":     func(path string) error { return os.Truncate(path, 7) },
		"changed": func(path string) error {
			content, err := os.ReadFile(path)
			if err == nil {
				content[len(content)/2] ^= 1
				err = os.WriteFile(path, content, 0o666)
			}
			return err
		},
		"a folder": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o777)) },
	}
	for _, keep := range []int{1, 2} {
		for _, stop := range []int{6, 16, 21} {
			for how, damage := range damages {
				for _, name := range []string{stateName, tensorsName} {
					t.Run(fmt.Sprintf("keep %d, stop at %d, %s %s", keep, stop, name, how), func(t *testing.T) {
						f := begin(keep)
						f.trainer.badStep, f.trainer.loss = stop, math.NaN()
						if _, err := f.run(); err == nil {
							t.Fatal("no error")
						}
						newest := filepath.Join(f.Output, "checkpoints", fmt.Sprint("step-", stop-1))
						if err := damage(filepath.Join(newest, name)); err != nil {
							t.Fatal(err)
						}
						f.Resume, f.trainer.badStep, f.events = true, 0, nil
						f.mustRun(t)
						if text := oneWarning(t, f); !strings.Contains(text, newest) || !strings.Contains(text, "damaged: going on from ") {
							t.Errorf("warning is %q", text)
						}
						sameAsWhole(t, f, begin(keep))
					})
				}
			}
		}
	}
}

// A run that was interrupted at any step, even again and again, has the checkpoints of one that was not.
func TestInterruptedCheckpoints(t *testing.T) {
	if testing.Short() {
		t.Skip("trains again and again, on one goroutine")
	}
	begin := func(save, keep int) *fakeRun {
		f := newFakeRun(t.TempDir())
		f.SaveSteps, f.EvalSteps, f.KeepCheckpoints, f.BestMetric = new(save), 3, new(keep), "score"
		f.evaluate = func(ctx context.Context, at Point) (Evaluation, error) {
			if ctx.Err() != nil {
				return Evaluation{}, ctx.Err()
			}
			return Evaluation{Metrics: metric.Metrics{{Name: "score", Value: float64(at.Step * 7 % 11)}}}, nil
		}
		return f
	}
	for _, save := range []int{0, 4, 6} {
		for keep := range 3 {
			f := begin(save, keep)
			f.Resume = true
			for step := 1; step <= 25; step++ {
				ctx, cancel := context.WithCancel(context.Background())
				f.ctx = ctx
				f.onStep(step, cancel)
				if _, err := f.run(); !errors.As(err, new(*InterruptedError)) {
					t.Fatalf("interrupted at step %d: %v", step, err)
				}
			}
			f.ctx, f.Observer = context.Background(), nil
			f.mustRun(t)
			sameAsWhole(t, f, begin(save, keep))
		}
	}
}

// What a run has to write at its end is written before the run counts as ended, and written again where it is missing.
func TestResultsBeforeEnd(t *testing.T) {
	for _, save := range []int{0, 10} {
		f := newFakeRun(t.TempDir())
		f.SaveSteps = new(save)
		full := errors.New("no space left on device")
		var results []Result
		fail := true
		f.SaveResults = func(_ context.Context, dir string, r Result) error {
			results = append(results, r)
			if fail {
				return full
			}
			return os.WriteFile(filepath.Join(dir, "results"), mustJSON(t, r), 0o666)
		}
		f.Missing = func(dir string) string {
			if _, err := os.Stat(filepath.Join(dir, "results")); err != nil {
				return "results"
			}
			return ""
		}
		if _, err := f.run(); !errors.Is(err, full) {
			t.Fatal(err)
		}
		f.Resume, fail = true, false
		f.mustRun(t)
		want := f.trainer.Value
		if len(results) != 2 || string(mustJSON(t, results[0])) != string(mustJSON(t, results[1])) {
			t.Errorf("results are %+v", results)
		}
		if _, err := f.run(); !errors.As(err, new(*FinishedError)) {
			t.Fatalf("error is %v, want a FinishedError", err)
		}
		before := logged(t, f.Output)
		if err := os.Remove(filepath.Join(f.Output, "results")); err != nil {
			t.Fatal(err)
		}
		f.events = nil
		f.mustRun(t)
		if text := oneWarning(t, f); !strings.Contains(text, "the run has ended, but results is missing: going on from") {
			t.Errorf("warning is %q", text)
		}
		if f.trainer.Value != want || len(results) != 3 || !slices.Equal(logged(t, f.Output), before) {
			t.Errorf("parameter is %v, want %v; results are %+v", f.trainer.Value, want, results)
		}
	}
}

func TestOtherKernels(t *testing.T) {
	begin := func(kernels string) *fakeRun {
		f := newFakeRun(t.TempDir())
		f.Fingerprint = map[string]string{kernelsKey: kernels}
		if kernels == "" { // as in earlier releases
			f.Fingerprint = nil
		}
		f.trainer.badStep, f.trainer.loss = 13, math.NaN()
		if _, err := f.run(); err == nil {
			t.Fatal("no error")
		}
		f.Resume, f.trainer.badStep = true, 0
		return f
	}
	for _, test := range []struct {
		was, is string
		allow   bool
		same    bool
	}{{"avx512", "avx512", false, true}, {"avx512", "avx2", false, false}, {"avx512", "avx2", true, true}, {"", "avx2", false, true}} {
		f := begin(test.was)
		if got := RecordedKernels(f.Output); got != test.was {
			t.Errorf("recorded kernels are %q, want %q", got, test.was)
		}
		f.Fingerprint, f.AllowOtherKernels = map[string]string{kernelsKey: test.is}, test.allow
		_, err := f.run()
		if test.same {
			if err != nil {
				t.Errorf("%+v: %v", test, err)
			}
			if got := RecordedKernels(f.Output); got != test.is {
				t.Errorf("recorded kernels are %q, want %q", got, test.is)
			}
			continue
		}
		var other *KernelsError
		if !errors.As(err, &other) || other.Was != test.was || other.Is != test.is {
			t.Errorf("%+v: error is %v, want a KernelsError", test, err)
		}
		wantError(t, err, "avx512", "avx2")
	}
}

// A run that is resumed knows what it has evaluated, and where it is.
func TestStartedKnows(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.EvalSteps = 4
	f.evaluateAs(1, math.NaN(), 3, 1, math.NaN(), 3, 4, 5, 6, 7)
	f.trainer.badStep, f.trainer.loss = 13, math.NaN()
	if _, err := f.run(); err == nil {
		t.Fatal("no error")
	}
	f.Resume, f.trainer.badStep, f.events = true, 0, nil
	f.mustRun(t)
	s, ok := f.events[0].(Started)
	if !ok || s.Step != 10 || s.Epoch != 0.8 || len(s.Evaluations) != 2 {
		t.Fatalf("the first event is %+v", f.events[0])
	}
	for i, e := range s.Evaluations {
		score, _ := e.Evaluation.Metrics.Get("score")
		if want := []float64{1, math.NaN()}[i]; e.Step != 4*(i+1) || e.Epoch != 0.32*float64(i+1) || score != want && !math.IsNaN(want+score) {
			t.Errorf("evaluation %d is %+v", i, e)
		}
	}
}
