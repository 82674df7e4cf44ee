package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/metric"
)

// A trainer is the part of bert.Trainer that the loop needs.
type trainer interface {
	Backward(batches []*bert.Batch, p bert.Pass) (bert.Loss, error)
	GradNorm() (float64, error)
	Update(u bert.Update) error
	WriteState(path string, metadata map[string]string) error
	ReadState(path string) (map[string]string, error)
	Close()
}

// A run is a run in progress.
type run struct {
	o        Options
	data     Data
	evaluate func(context.Context, Point) (Evaluation, error) // nil without an Evaluator
	batches  batches
	steps    int
	options  map[string]string // fingerprint

	t           trainer
	queue       []*planned // the steps to come whose batches are there
	idle        []*planned // those that were made, whose memory is used again
	checkpoints checkpoints
	events      *eventLog
	board       *board

	state state
	saved int // the step of the newest checkpoint, or -1
	// passing says that the newest checkpoint is one of an interruption, which another replaces.
	passing bool
	before  []Evaluated // the evaluations before this run was resumed
	reached int         // the last step that the events had before it was resumed
	meter   meter
	begun   time.Time
}

// start prepares the folder, goes through the run and cleans up.
func start(ctx context.Context, newTrainer func() (trainer, error), data Data, evaluate func(context.Context, Point) (Evaluation, error), o Options) (_ Result, err error) {
	if err := o.Validate(); err != nil {
		return Result{}, err
	}
	o = o.resolved()
	if evaluate == nil && (o.EvalSteps > 0 || o.EvalEpochs || o.BestMetric != "") {
		return Result{}, errors.New("the options ask for evaluations, but there is no evaluator")
	}
	r := &run{o: o, data: data, evaluate: evaluate, saved: -1, begun: time.Now(),
		checkpoints: checkpoints(filepath.Join(o.Output, checkpointsName))}
	if err := r.plan(); err != nil {
		return Result{}, err
	}
	release, err := files.Claim(o.Output)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = cmp.Or(err, release()) }()
	if err := files.RemoveTemporary(string(r.checkpoints), ""); err != nil {
		return Result{}, err
	}
	found, err := r.find()
	if err != nil {
		return Result{}, err
	}
	if o.Begin != nil {
		if err := o.Begin(o.Output); err != nil {
			return Result{}, files.PathError(err)
		}
	}
	if r.t, err = newTrainer(); err != nil {
		return Result{}, err
	}
	defer r.t.Close()
	if err := r.open(found); err != nil {
		return Result{}, err
	}
	defer func() { err = cmp.Or(err, r.close()) }()
	if err := r.loop(ctx); err != nil {
		return Result{}, err
	}
	return r.finish(ctx)
}

// plan determines the batches and the number of steps.
func (r *run) plan() (err error) {
	if r.batches, err = newBatches(r.data, &r.o.Recipe); err != nil {
		return err
	}
	r.steps = r.o.MaxSteps
	if r.steps == 0 {
		r.steps = r.batches.steps(r.o.Epochs)
	}
	if r.steps < 1 {
		return fmt.Errorf("%d examples for %v epochs do not fill one batch: want smaller batches or more epochs", r.data.Len(), r.o.Epochs)
	}
	if r.options, err = r.o.fingerprint(r.data.Len(), r.steps); err != nil {
		return err
	}
	if phases, ok := r.data.(Phases); ok {
		r.options["phases"] = phases.String()
	}
	return nil
}

// find looks for a run in the folder and returns the state from which to continue, or nil to start a new run.
func (r *run) find() (*state, error) {
	rec, err := readRecord(r.o.Output)
	if err != nil {
		return nil, err
	}
	steps, err := r.checkpoints.list()
	if err != nil {
		return nil, err
	}
	if !r.o.Resume {
		if rec != nil || len(steps) > 0 {
			return nil, fmt.Errorf("%s: this folder contains a run: resume it, or choose another folder", r.o.Output)
		}
		return nil, nil
	}
	model, missing := -1, ""
	if rec != nil {
		r.reached = rec.reached
	}
	if rec != nil && rec.options != nil {
		if err := r.compare(rec.options); err != nil {
			return nil, err
		}
		if rec.result != nil {
			if r.o.Missing != nil {
				missing = r.o.Missing(r.o.Output)
			}
			if missing == "" {
				return nil, r.finished(rec)
			}
			model = rec.result.ModelStep
		}
	}
	s, damaged, err := r.checkpoints.usable(model)
	if err != nil {
		return nil, err
	}
	from := "from the beginning"
	if s != nil {
		if err := r.compare(s.Options); err != nil {
			return nil, err
		}
		if err := r.compareKernels(s.Options); err != nil {
			return nil, err
		}
		r.before = rec.upTo(s.EventsBytes)
		if n := len(r.before); n > 0 && s.Last != nil && r.before[n-1].Step == s.Last.Step {
			r.before[n-1].Evaluation.Stop = s.Last.Evaluation.Stop // which the events of earlier releases lack
		}
		from = "from " + r.checkpoints.path(s.Step)
	}
	if missing != "" {
		r.report(Note{Text: fmt.Sprintf("%s: the run has ended, but %s is missing: going on %s", r.o.Output, missing, from), Warning: true})
	}
	if len(damaged) > 0 {
		is := "is"
		if len(damaged) > 1 {
			is = "are"
		}
		r.report(Note{Text: fmt.Sprintf("checkpoint %s %s damaged: going on %s", strings.Join(damaged, ", "), is, from), Warning: true})
	}
	// What is newer will be written again.
	return s, r.checkpoints.removeAll(slices.DeleteFunc(steps, func(step int) bool { return s != nil && step <= s.Step }))
}

// finished is the error for a run that has ended. It removes what a process that was killed after the end left to remove.
func (r *run) finished(rec *record) error {
	superfluous, err := r.checkpoints.superfluous(*r.o.KeepCheckpoints, rec.result.ModelStep, true)
	if err != nil {
		return err
	}
	// The run may have been made with another number of checkpoints to keep: only those go that were kept for another reason.
	before, err := r.checkpoints.superfluous(*r.o.KeepCheckpoints, rec.result.ModelStep, false)
	if err != nil {
		return err
	}
	for _, step := range superfluous {
		s, err := r.checkpoints.readState(step)
		if !slices.Contains(before, step) || err == nil && s.Interrupted {
			if err := r.checkpoints.remove(step); err != nil {
				return err
			}
		}
	}
	if err := r.checkpoints.removeEmpty(); err != nil {
		return err
	}
	return &FinishedError{Output: r.o.Output, Result: *rec.result, Evaluations: rec.upTo(math.MaxInt64)}
}

// compareKernels returns an error if the checkpoint's steps were computed with other bits than those of this run will be.
// Checkpoints of earlier releases don't say.
func (r *run) compareKernels(begun map[string]string) error {
	was, is := begun[kernelsKey], r.options[kernelsKey]
	if was == "" || is == "" || was == is || r.o.AllowOtherKernels {
		return nil
	}
	return &KernelsError{r.o.Output, was, is}
}

// compare returns an error that lists the options in which this run differs from the one in the folder.
func (r *run) compare(begun map[string]string) error {
	names := slices.Concat(slices.Collect(maps.Keys(begun)), slices.Collect(maps.Keys(r.options)))
	names = slices.DeleteFunc(names, func(name string) bool { return name == kernelsKey })
	slices.Sort(names)
	var differ []string
	for _, name := range slices.Compact(names) {
		if was, is := begun[name], r.options[name]; was != is {
			differ = append(differ, fmt.Sprintf("%s was %q and is now %q", name, was, is))
		}
	}
	if differ == nil {
		return nil
	}
	return fmt.Errorf("%s: the run in this folder can't be resumed with other options: %s", r.o.Output, strings.Join(differ, ", "))
}

// open restores the state of a checkpoint, if there is one, and opens the logs.
func (r *run) open(found *state) (err error) {
	checkpoint := ""
	if found != nil {
		r.state, r.saved, r.passing = *found, found.Step, found.Interrupted
		r.state.Interrupted = false
		checkpoint = r.checkpoints.path(found.Step)
		if _, err := r.t.ReadState(r.checkpoints.tensors(found.Step)); err != nil {
			return fmt.Errorf("checkpoint %s: %w", checkpoint, err)
		}
	}
	r.state.Options = r.options
	events, short, err := openEventLog(r.o.Output, r.state.EventsBytes)
	if err != nil {
		return err
	}
	r.events = events
	if r.board, err = openBoard(r.o.Output, time.Now(), r.o.Resume, r.state.Step+1); err != nil {
		return cmp.Or(err, r.events.close())
	}
	if err := r.resumption(found != nil); err != nil {
		return cmp.Or(err, r.close())
	}
	started := Started{Step: r.state.Step, Steps: r.steps, Epoch: r.state.Epoch, Examples: r.data.Len(), Evaluations: r.before, Checkpoint: checkpoint, Options: r.options}
	if len(r.o.Remarks) > 0 {
		started.Options = maps.Clone(r.options)
		maps.Copy(started.Options, r.o.Remarks)
	}
	if found == nil {
		err = r.emit(started)
	} else {
		r.report(started) // it is in the log already
	}
	if short && err == nil {
		err = r.emit(Note{Text: fmt.Sprintf("%s lacks lines of steps before %d", r.events.file.Name(), r.state.Step), Warning: true})
	}
	if err != nil {
		r.close()
	}
	return err
}

func (r *run) close() error { return cmp.Or(r.events.close(), r.board.close()) }

// emit reports an event and writes it to the logs.
func (r *run) emit(e Event) error {
	r.report(e)
	now := time.Now()
	return cmp.Or(r.events.write(e, now), r.board.write(e, now))
}

func (r *run) report(e Event) {
	if r.o.Observer != nil {
		r.o.Observer(e)
	}
}

// loop runs until the run ends. All decisions depend on the state alone, so that a resumed run continues as if it had never been
// interrupted.
func (r *run) loop(ctx context.Context) error {
	for {
		// The checkpoint comes before the evaluation, which may take long and is repeated if it is interrupted.
		if r.saveDue() {
			if err := r.save(); err != nil {
				return err
			}
		}
		if r.evaluationDue() {
			if err := r.evaluation(ctx); err != nil {
				if ctx.Err() != nil {
					return r.interrupted(ctx)
				}
				return fmt.Errorf("evaluation after step %d: %w", r.state.Step, err)
			}
		}
		if r.state.Step == r.steps || r.stoppedEarly() {
			return nil
		}
		if ctx.Err() != nil {
			return r.interrupted(ctx)
		}
		if err := r.step(); err != nil {
			return err
		}
	}
}

func (r *run) saveDue() bool {
	s := r.state.Step
	return *r.o.SaveSteps > 0 && s > 0 && !r.isSaved() && (s%*r.o.SaveSteps == 0 || s == r.steps)
}

// isSaved reports whether there is a checkpoint of this step, but for one of an interruption.
func (r *run) isSaved() bool { return r.saved == r.state.Step && !r.passing }

func (r *run) evaluationDue() bool {
	s := r.state.Step
	if r.evaluate == nil || s == 0 || r.state.Last != nil && r.state.Last.Step == s {
		return false
	}
	return s == r.steps || r.o.EvalSteps > 0 && s%r.o.EvalSteps == 0 ||
		r.o.EvalEpochs && math.Floor(r.batches.epochs(s)) > math.Floor(r.batches.epochs(s-1))
}

func (r *run) stoppedEarly() bool {
	return r.o.EarlyStop > 0 && r.state.NotBetter >= r.o.EarlyStop || r.state.Last != nil && r.state.Last.Evaluation.Stop
}

// step trains on one batch.
func (r *run) step() error {
	begun := time.Now()
	s := &r.state
	plan, err := r.next()
	if err != nil {
		return fmt.Errorf("step %d: %w", s.Step+1, err)
	}
	examples, batches, tokens := plan.examples, plan.batches, plan.tokens
	pass := bert.Pass{Key: dropoutKey(*r.o.Seed, s.Step)}
	if r.o.Objective != nil {
		if err := r.o.Objective.Pass(s.Step, batches, &pass); err != nil {
			return fmt.Errorf("step %d: %w", s.Step+1, err)
		}
	}
	loss, err := r.t.Backward(batches, pass)
	if err != nil {
		return fmt.Errorf("step %d, examples %v: %w", s.Step+1, indices(examples), err)
	}
	var terms metric.Metrics
	if r.o.Objective != nil {
		terms = r.o.Objective.Terms()
		for _, term := range terms {
			loss.Total += term.Value
		}
	}
	norm, err := r.t.GradNorm()
	if err != nil {
		return fmt.Errorf("step %d: %w", s.Step+1, err)
	}
	if !finite(loss.Total) || !finite(norm) {
		return r.nonFinite(loss.Total, norm, examples)
	}
	rate := r.o.rate(s.Step, r.steps)
	if err := r.t.Update(r.o.update(s.Step, rate, norm)); err != nil {
		return fmt.Errorf("step %d: %w", s.Step+1, err)
	}

	s.Step++
	s.Epoch = r.batches.epochs(s.Step)
	s.Examples += int64(len(examples))
	s.Tokens += int64(tokens)
	s.LossSum += loss.Total
	s.UnloggedSteps++
	s.UnloggedLossSum += loss.Total
	operations := 0.0
	if r.o.Operations != nil {
		operations = r.o.Operations(batches)
	}
	r.meter.add(time.Since(begun), len(examples), tokens, operations)
	r.done()
	e := Stepped{
		Step: s.Step, Steps: r.steps, Epoch: s.Epoch,
		Loss: loss.Total, Terms: terms, MeanLoss: s.UnloggedLossSum / float64(s.UnloggedSteps), LearningRate: rate, GradNorm: norm,
		Examples: s.Examples, Tokens: s.Tokens,
		Logged: s.Step%r.o.LogSteps == 0 || s.Step == r.steps,
		Left:   r.meter.left(r.steps - s.Step),
	}
	e.ExamplesPerSecond, e.TokensPerSecond, e.OperationsPerSecond = r.meter.rates()
	if r.o.Peak > 0 {
		e.ShareOfPeak = e.OperationsPerSecond / r.o.Peak
	}
	if e.Logged {
		s.UnloggedSteps, s.UnloggedLossSum = 0, 0
	}
	return r.emit(e)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// indices returns the indices of the examples of a batch.
func indices(examples []draw) []int {
	list := make([]int, len(examples))
	for i, d := range examples {
		list[i] = int(d.example)
	}
	return list
}

func (r *run) nonFinite(loss, norm float64, examples []draw) error {
	e := &NonFiniteError{Step: r.state.Step + 1, Loss: loss, GradNorm: norm, Examples: indices(examples)}
	if r.saved >= 0 {
		e.Checkpoint = r.checkpoints.path(r.saved)
	}
	return e
}

// fill makes the batches of a step from its examples: one, or as many as the limits of a micro-batch require, in the memory of p.
func (r *run) fill(p *planned) (batches []*bert.Batch, tokens int, err error) {
	n, inLast := 0, 0 // batches, and examples in the last of them
	mostExamples, mostTokens := r.o.microExamples(), r.o.microTokens()
	for _, e := range p.examples {
		i := int(e.example)
		length := r.data.Length(i)
		full := n == 0 ||
			mostExamples > 0 && inLast == mostExamples ||
			mostTokens > 0 && p.micro[n-1].Tokens()+length > mostTokens
		if full {
			if n == len(p.micro) {
				p.micro = append(p.micro, new(bert.Batch))
			}
			p.micro[n].Reset()
			n, inLast = n+1, 0
		}
		b := p.micro[n-1]
		before := b.Tokens()
		if err := appendExample(r.data, b, i, int(e.epoch)); err != nil {
			return nil, 0, fmt.Errorf("example %d: %w", i, err)
		}
		if got := b.Tokens() - before; got != length {
			return nil, 0, fmt.Errorf("example %d has %d tokens, but Length returned %d", i, got, length)
		}
		inLast++
		tokens += length
	}
	return p.micro[:n], tokens, nil
}

// evaluation evaluates the model and determines whether it is the best so far.
func (r *run) evaluation(ctx context.Context) error {
	begun := time.Now()
	s := &r.state
	got, err := r.evaluate(ctx, Point{Step: s.Step, Epoch: s.Epoch, Progress: func(done, all int) {
		r.report(Evaluating{Step: s.Step, Steps: r.steps, Done: done, All: all})
	}})
	if err != nil {
		return err
	}
	better := false
	if r.o.BestMetric != "" {
		if better, err = r.better(got); err != nil {
			return err
		}
	}
	event := Evaluated{Step: s.Step, Steps: r.steps, Epoch: s.Epoch, Evaluation: got, Best: better}
	if r.o.Stop != nil && r.o.Stop(event) {
		event.Evaluation.Stop = true
	}
	now := &evaluated{s.Step, event.Evaluation}
	now.Evaluation.Details = nil // a checkpoint doesn't have them
	s.Last = now
	if r.o.BestMetric != "" {
		s.NotBetter++
		if better {
			s.Best, s.NotBetter = now, 0
		}
	}
	event.Elapsed = time.Since(begun)
	if err := r.emit(event); err != nil {
		return err
	}
	if better && !r.isSaved() {
		return r.save()
	}
	return nil
}

// better reports whether an evaluation is better than the best so far. NaN is never better.
func (r *run) better(e Evaluation) (bool, error) {
	v, err := r.o.measure(e)
	if err != nil || math.IsNaN(v) {
		return false, err
	}
	if r.state.Best == nil {
		return true, nil
	}
	best, err := r.o.measure(r.state.Best.Evaluation)
	if r.o.minimize() {
		return v < best, err
	}
	return v > best, err
}

// save writes a checkpoint and removes superfluous ones.
func (r *run) save() error {
	begun := time.Now()
	if err := r.events.sync(); err != nil {
		return err
	}
	r.state.EventsBytes = r.events.size
	if err := r.checkpoints.save(r.t, &r.state); err != nil {
		if r.saved >= 0 {
			return fmt.Errorf("%w; the last checkpoint is %s", err, r.checkpoints.path(r.saved))
		}
		return err
	}
	r.saved, r.passing = r.state.Step, r.state.Interrupted
	if err := r.prune(false); err != nil {
		return err
	}
	return r.emit(Saved{r.state.Step, r.steps, r.checkpoints.path(r.state.Step), time.Since(begun)})
}

// prune removes superfluous checkpoints.
func (r *run) prune(ended bool) error {
	best := -1
	if r.state.Best != nil {
		best = r.state.Best.Step
	}
	steps, err := r.checkpoints.superfluous(*r.o.KeepCheckpoints, best, ended)
	if err != nil {
		return err
	}
	if err := r.checkpoints.removeAll(steps); err != nil || !ended {
		return err
	}
	return r.checkpoints.removeEmpty()
}

// interrupted saves the run, so that it can be resumed, and returns an InterruptedError.
func (r *run) interrupted(ctx context.Context) error {
	if r.saved != r.state.Step {
		r.state.Interrupted = true
		if err := r.save(); err != nil {
			return fmt.Errorf("interrupted after step %d: %w", r.state.Step, err)
		}
	}
	return &InterruptedError{r.state.Step, r.steps, r.checkpoints.path(r.state.Step), context.Cause(ctx)}
}

// finish restores the best model, if there is one, saves results and model, and only then records that the run has ended.
func (r *run) finish(ctx context.Context) (Result, error) {
	s := &r.state
	if *r.o.SaveSteps > 0 && !r.isSaved() {
		if err := r.save(); err != nil {
			return Result{}, err
		}
	}
	result := Result{
		Steps: s.Step, Epochs: s.Epoch, Examples: s.Examples, Tokens: s.Tokens, Loss: s.LossSum / float64(s.Step),
		StoppedEarly: r.stoppedEarly(), ModelStep: s.Step,
	}
	model := s.Last
	if s.Best != nil {
		model = s.Best
		if best := s.Best.Step; best != s.Step {
			if _, err := r.checkpoints.read(best); err != nil {
				return Result{}, fmt.Errorf("checkpoint %s of the best model can't be read: %w; resume the run to go on from an older one", r.checkpoints.path(best), err)
			}
			if _, err := r.t.ReadState(r.checkpoints.tensors(best)); err != nil {
				return Result{}, err
			}
			result.ModelStep = best
		}
	}
	if model != nil {
		result.Evaluation = &model.Evaluation
	}
	if r.o.SaveResults != nil {
		if err := r.o.SaveResults(ctx, r.o.Output, result); err != nil {
			if ctx.Err() != nil {
				return Result{}, r.interruptedAtEnd(ctx, result.ModelStep)
			}
			return Result{}, fmt.Errorf("can't save the results: %w", err)
		}
	}
	if r.o.SaveModel != nil {
		if err := r.o.SaveModel(r.o.Output); err != nil {
			return Result{}, fmt.Errorf("can't save the model: %w", err)
		}
	}
	// What a process that was killed at its last checkpoint left to remove goes before the run has ended: finished leaves it alone.
	if err := r.prune(false); err != nil {
		return Result{}, err
	}
	if err := r.emit(Ended{result, time.Since(r.begun)}); err != nil {
		return Result{}, err
	}
	if err := r.events.sync(); err != nil {
		return Result{}, err
	}
	// Prune once more, now that the run can't be resumed: the last evaluation may have found a new best model.
	return result, r.prune(true)
}

// interruptedAtEnd is interrupted for a run that has made its last step and has restored the model of step model.
func (r *run) interruptedAtEnd(ctx context.Context, model int) error {
	if model == r.state.Step {
		return r.interrupted(ctx)
	}
	// There is a checkpoint, at least the best model's, and the parameters of the last step may be gone.
	return &InterruptedError{r.saved, r.steps, r.checkpoints.path(r.saved), context.Cause(ctx)}
}
