package train

import (
	"cmp"
	"context"
	"encoding/json"
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
	"github.com/go-bert/bert/recipe"
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

	peers    *peers
	parallel *parallel // t, where steps are computed in parts; else nil
	failure  error     // of this rank alone, until the ranks agree on it

	t           trainer
	micro       []*bert.Batch
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
//
// Of a group, rank 0 alone does what has to do with the folder, and the others do as it does. Whatever may fail on a rank is followed by an
// agreement, so that all ranks end together.
func start(ctx context.Context, newTrainer func(*run) (trainer, error), data Data, evaluate func(context.Context, Point) (Evaluation, error), o Options) (_ Result, err error) {
	r := &run{peers: newPeers(o.Group), data: data, evaluate: evaluate, saved: -1, begun: time.Now(),
		checkpoints: checkpoints(filepath.Join(o.Output, checkpointsName))}
	err = o.Validate()
	r.o = o.resolved()
	if err == nil && evaluate == nil && (o.EvalSteps > 0 || o.EvalEpochs || o.BestMetric != "") {
		err = errors.New("the options ask for evaluations, but there is no evaluator")
	}
	if err := r.agree(err); err != nil {
		return Result{}, err
	}
	if err := r.plan(); err != nil {
		return Result{}, err
	}
	release := func() error { return nil }
	defer func() { err = cmp.Or(err, release()) }()
	var found *state
	if err := r.lead(func() (err error) {
		if release, err = claim(r.o.Output); err != nil {
			return err
		}
		if err := files.RemoveTemporary(string(r.checkpoints), ""); err != nil {
			return err
		}
		if found, err = r.find(); err != nil || r.o.Begin == nil {
			return err
		}
		return files.PathError(r.o.Begin(r.o.Output))
	}); err != nil {
		return Result{}, err
	}
	r.t, err = newTrainer(r)
	if err == nil {
		defer r.t.Close()
	}
	if err := r.agree(err); err != nil {
		return Result{}, err
	}
	defer func() { err = cmp.Or(err, r.close()) }()
	if err := r.open(found); err != nil {
		return Result{}, err
	}
	if err := r.loop(ctx); err != nil {
		return Result{}, err
	}
	return r.finish(ctx)
}

// claim locks the folder of the run. After an error there is nothing to release.
func claim(output string) (release func() error, err error) {
	if release, err = files.Claim(output); err != nil {
		release = func() error { return nil }
	}
	return release, err
}

// agree ends all ranks if one of them has an error, or had one since they agreed last.
func (r *run) agree(err error) error {
	return r.peers.agree(false, cmp.Or(r.failure, err))
}

// lead does on rank 0 what that alone does, and ends all ranks if it fails.
func (r *run) lead(do func() error) error {
	var err error
	if r.peers.leader() {
		err = do()
	}
	return r.agree(err)
}

// later keeps an error of this rank for the next agreement. A process that is alone ends with it.
func (r *run) later(err error) error {
	if r.peers.alone() {
		return err
	}
	r.failure = cmp.Or(r.failure, err)
	return r.peers.broken
}

// plan determines the batches and the number of steps, which are to be the same on all ranks.
func (r *run) plan() error {
	begun, err := Recorded(r.o.Output, r.o.Resume, r.o.Group)
	if err != nil {
		return err
	}
	if r.o.Parts, err = r.o.DecideParts(begun, r.o.Group); err == nil {
		err = r.planSteps()
	}
	return r.compareRanks(err)
}

// compareRanks compares what decides the run with that of rank 0.
func (r *run) compareRanks(err error) error {
	if r.peers.alone() {
		return err
	}
	mine := maps.Clone(r.options)
	if err == nil && r.o.digest != nil {
		mine["model"], err = r.o.digest()
	}
	if err := r.agree(err); err != nil {
		return err
	}
	// What decides when the ranks do something together has to be the same, even where it does not decide the result.
	for _, key := range recipe.Keys(&r.o.Recipe) {
		if _, has := mine[key]; !has {
			mine[key], _ = recipe.Text(&r.o.Recipe, key)
		}
	}
	mine["resume"], mine["evaluated"], mine["eval_epochs"] = fmt.Sprint(r.o.Resume), fmt.Sprint(r.evaluate != nil), fmt.Sprint(r.o.EvalEpochs)
	text, err := json.Marshal(mine)
	if err != nil {
		return r.later(err)
	}
	all, err := r.peers.gather(text)
	if err != nil {
		return err
	}
	for rank, text := range all {
		var first, other map[string]string
		if err := cmp.Or(json.Unmarshal(all[0], &first), json.Unmarshal(text, &other)); err != nil {
			return err
		}
		if r.o.AllowOtherKernels {
			delete(first, kernelsKey)
			delete(other, kernelsKey)
		}
		if differ := differences(first, other, "of rank 0", fmt.Sprintf("of rank %d", rank)); differ != "" {
			return fmt.Errorf("rank %d has not the same run as rank 0: %s", rank, differ)
		}
	}
	return nil
}

// planSteps is plan for this process.
func (r *run) planSteps() (err error) {
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
	was, is := maps.Clone(begun), maps.Clone(r.options)
	delete(was, kernelsKey)
	delete(is, kernelsKey)
	differ := differences(was, is, "was", "is now")
	if differ == "" {
		return nil
	}
	return fmt.Errorf("%s: the run in this folder can't be resumed with other options: %s", r.o.Output, differ)
}

// differences lists the names that have other values in one set of options than in another: "seed was "1" and is now "2"".
func differences(a, b map[string]string, ofA, ofB string) string {
	names := slices.Sorted(maps.Keys(a))
	names = slices.AppendSeq(names, maps.Keys(b))
	slices.Sort(names)
	var differ []string
	for _, name := range slices.Compact(names) {
		if a[name] != b[name] {
			differ = append(differ, fmt.Sprintf("%s %s %q and %s %q", name, ofA, a[name], ofB, b[name]))
		}
	}
	return strings.Join(differ, ", ")
}

// open restores the state of a checkpoint, if there is one, on all ranks, and opens the logs.
func (r *run) open(found *state) error {
	if err := r.peers.follow(&found); err != nil {
		return err
	}
	checkpoint := ""
	if found != nil {
		r.state, r.saved, r.passing = *found, found.Step, found.Interrupted
		r.state.Interrupted = false
		checkpoint = r.checkpoints.path(found.Step)
		if err := r.readState(found.Step); err != nil {
			return fmt.Errorf("checkpoint %s: %w", checkpoint, err)
		}
	}
	r.state.Options = r.options
	started := Started{Step: r.state.Step, Steps: r.steps, Epoch: r.state.Epoch, Examples: r.data.Len(), Evaluations: r.before, Checkpoint: checkpoint, Options: r.options}
	if !r.peers.leader() {
		r.report(started)
	}
	return r.lead(func() error { return r.openLogs(started, found != nil) })
}

// readState restores the parameters and the moments of a checkpoint on all ranks.
func (r *run) readState(step int) error {
	read := func() error {
		_, err := r.t.ReadState(r.checkpoints.tensors(step))
		return err
	}
	if r.parallel == nil {
		return read()
	}
	err := r.parallel.moveMoments(read, r.parallel.distribute)
	return r.agree(cmp.Or(err, r.parallel.broadcastParameters()))
}

// openLogs opens the logs of a run, and tells of its start.
func (r *run) openLogs(started Started, resumed bool) (err error) {
	events, short, err := openEventLog(r.o.Output, r.state.EventsBytes)
	if err != nil {
		return err
	}
	r.events = events
	if r.board, err = openBoard(r.o.Output, time.Now(), r.o.Resume, r.state.Step+1); err != nil {
		return err
	}
	if err := r.resumption(resumed); err != nil {
		return err
	}
	if len(r.o.Remarks) > 0 {
		started.Options = maps.Clone(r.options)
		maps.Copy(started.Options, r.o.Remarks)
	}
	if !resumed {
		err = r.emit(started)
	} else {
		r.report(started) // it is in the log already
	}
	if short && err == nil {
		err = r.emit(Note{Text: fmt.Sprintf("%s lacks lines of steps before %d", r.events.file.Name(), r.state.Step), Warning: true})
	}
	return err
}

// close closes the logs that are open.
func (r *run) close() (err error) {
	if r.events != nil {
		err = r.events.close()
	}
	if r.board != nil {
		err = cmp.Or(err, r.board.close())
	}
	return err
}

// emit reports an event and, on rank 0, writes it to the logs.
func (r *run) emit(e Event) error {
	r.report(e)
	if !r.peers.leader() {
		return nil
	}
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
				if c := (*cancelledError)(nil); errors.As(err, &c) {
					return r.interrupted(ctx, c)
				}
				return fmt.Errorf("evaluation after step %d: %w", r.state.Step, err)
			}
		}
		if r.state.Step == r.steps || r.stoppedEarly() {
			return nil
		}
		if err := r.step(ctx); err != nil {
			if c := (*cancelledError)(nil); errors.As(err, &c) {
				return r.interrupted(ctx, c)
			}
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

// computed is what is known of a step when its gradients are.
type computed struct {
	loss    float64
	norm    float64       // of the gradients
	tokens  int           // of all examples
	batches []*bert.Batch // those that this process has computed
}

// gradients computes the gradients of the next step. A cancelled context gives a cancelledError, before anything is computed.
func (r *run) gradients(ctx context.Context, examples []draw) (c computed, err error) {
	if r.parallel != nil {
		return r.parallel.gradients(ctx, r, examples)
	}
	if ctx.Err() != nil {
		return c, &cancelledError{}
	}
	if c.batches, c.tokens, err = r.fill(&r.micro, examples); err != nil {
		return c, err
	}
	loss, err := r.t.Backward(c.batches, bert.Pass{Key: dropoutKey(*r.o.Seed, r.state.Step)})
	if err != nil {
		return c, ofExamples(examples, err)
	}
	c.loss = loss.Total
	c.norm, err = r.t.GradNorm()
	return c, err
}

// ofExamples adds to an error, if there is one, which examples it is about.
func ofExamples(examples []draw, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("examples %v: %w", indices(examples), err)
}

// step trains on the examples of one step.
func (r *run) step(ctx context.Context) error {
	begun := time.Now()
	s := &r.state
	examples := r.batches.batch(s.Step)
	c, err := r.gradients(ctx, examples)
	if err != nil {
		return fmt.Errorf("step %d: %w", s.Step+1, err)
	}
	if !finite(c.loss) || !finite(c.norm) {
		return r.nonFinite(c.loss, c.norm, examples)
	}
	rate := r.o.rate(s.Step, r.steps)
	update := r.o.update(s.Step, rate, c.norm)
	if r.parallel != nil {
		err = r.parallel.apply(update)
	} else {
		err = r.t.Update(update)
	}
	if err := r.later(err); err != nil {
		return fmt.Errorf("step %d: %w", s.Step+1, err)
	}

	s.Step++
	s.Epoch = r.batches.epochs(s.Step)
	s.Examples += int64(len(examples))
	s.Tokens += int64(c.tokens)
	s.LossSum += c.loss
	s.UnloggedSteps++
	s.UnloggedLossSum += c.loss
	operations := 0.0
	if r.o.Operations != nil {
		operations = r.o.Operations(c.batches)
	}
	r.meter.add(time.Since(begun), len(examples), c.tokens, operations)
	e := Stepped{
		Step: s.Step, Steps: r.steps, Epoch: s.Epoch,
		Loss: c.loss, MeanLoss: s.UnloggedLossSum / float64(s.UnloggedSteps), LearningRate: rate, GradNorm: c.norm,
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
	return r.later(r.emit(e))
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

// fill makes the batches of a step, or of a part of it, from its examples: one, or as many as the limits of a micro-batch require. Their
// memory is used again for the next step.
func (r *run) fill(memory *[]*bert.Batch, examples []draw) (batches []*bert.Batch, tokens int, err error) {
	micro := *memory
	n, inLast := 0, 0 // batches, and examples in the last of them
	mostExamples, mostTokens := r.o.microExamples(), r.o.microTokens()
	for _, e := range examples {
		i := int(e.example)
		length := r.data.Length(i)
		full := n == 0 ||
			mostExamples > 0 && inLast == mostExamples ||
			mostTokens > 0 && micro[n-1].Tokens()+length > mostTokens
		if full {
			if n == len(micro) {
				micro = append(micro, new(bert.Batch))
				*memory = micro
			}
			micro[n].Reset()
			n, inLast = n+1, 0
		}
		b := micro[n-1]
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
	return micro[:n], tokens, nil
}

// evaluation evaluates the model and determines whether it is the best so far.
func (r *run) evaluation(ctx context.Context) error {
	begun := time.Now()
	s := &r.state
	at := Point{Step: s.Step, Epoch: s.Epoch, Progress: func(done, all int) {
		r.report(Evaluating{Step: s.Step, Steps: r.steps, Done: done, All: all})
	}}
	if !r.peers.alone() {
		at.Share = &Share{r.peers}
	}
	got, err := r.evaluate(ctx, at)
	if err := r.peers.agree(err != nil && ctx.Err() != nil, cmp.Or(r.failure, err)); err != nil {
		return err
	}
	event := Evaluated{Step: s.Step, Steps: r.steps, Epoch: s.Epoch, Evaluation: got}
	if err := r.lead(func() (err error) {
		if r.o.BestMetric != "" {
			if event.Best, err = r.better(got); err != nil {
				return err
			}
		}
		if r.o.Stop != nil && r.o.Stop(event) {
			event.Evaluation.Stop = true
		}
		return nil
	}); err != nil {
		return err
	}
	decided := struct{ Best, Stop bool }{event.Best, event.Evaluation.Stop}
	if err := r.peers.follow(&decided); err != nil {
		return err
	}
	event.Best, event.Evaluation.Stop = decided.Best, decided.Stop
	better := event.Best
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
	if err := r.later(r.emit(event)); err != nil {
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
	// None is written of what a rank has failed to compute.
	if err := r.agree(nil); err != nil {
		return err
	}
	err := r.writeState()
	if err := r.agree(err); err != nil {
		return err
	}
	r.saved, r.passing = r.state.Step, r.state.Interrupted
	if err := r.lead(func() error { return r.prune(false) }); err != nil {
		return err
	}
	return r.later(r.emit(Saved{r.state.Step, r.steps, r.checkpoints.path(r.state.Step), time.Since(begun)}))
}

// writeState writes the checkpoint. All ranks take part, since each has moments of its own.
func (r *run) writeState() error {
	write := func() error {
		if err := r.events.sync(); err != nil {
			return err
		}
		r.state.EventsBytes = r.events.size
		err := r.checkpoints.save(r.t, &r.state)
		if err != nil && r.saved >= 0 {
			return fmt.Errorf("%w; the last checkpoint is %s", err, r.checkpoints.path(r.saved))
		}
		return err
	}
	if r.parallel == nil {
		return write()
	}
	return r.parallel.moveMoments(write, r.parallel.collect)
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
func (r *run) interrupted(ctx context.Context, by *cancelledError) error {
	if r.saved != r.state.Step {
		r.state.Interrupted = true
		if err := r.save(); err != nil {
			return fmt.Errorf("interrupted after step %d: %w", r.state.Step, err)
		}
	}
	return &InterruptedError{r.state.Step, r.steps, r.checkpoints.path(r.state.Step), r.cause(ctx, by)}
}

// cause is why a rank is interrupted: by its own context, or because another one was.
func (r *run) cause(ctx context.Context, by *cancelledError) error {
	if ctx.Err() == nil {
		return &RankError{by.rank, by.Error()}
	}
	return context.Cause(ctx)
}

// finish restores the best model, if there is one, saves results and model, and only then records that the run has ended.
func (r *run) finish(ctx context.Context) (Result, error) {
	s := &r.state
	if *r.o.SaveSteps > 0 && !r.isSaved() {
		if err := r.save(); err != nil {
			return Result{}, err
		}
	}
	if err := r.agree(nil); err != nil {
		return Result{}, err
	}
	result := Result{
		Steps: s.Step, Epochs: s.Epoch, Examples: s.Examples, Tokens: s.Tokens, Loss: s.LossSum / float64(s.Step),
		StoppedEarly: r.stoppedEarly(), ModelStep: s.Step,
	}
	model := s.Last
	if s.Best != nil {
		model = s.Best
		if best := s.Best.Step; best != s.Step {
			if err := r.lead(func() error {
				if _, err := r.checkpoints.read(best); err != nil {
					return fmt.Errorf("checkpoint %s of the best model can't be read: %w; resume the run to go on from an older one", r.checkpoints.path(best), err)
				}
				return nil
			}); err != nil {
				return Result{}, err
			}
			if err := r.readState(best); err != nil {
				return Result{}, err
			}
			result.ModelStep = best
		}
	}
	if model != nil {
		result.Evaluation = &model.Evaluation
	}
	if err := r.write(ctx, result); err != nil {
		if c := (*cancelledError)(nil); errors.As(err, &c) {
			return Result{}, r.interruptedAtEnd(ctx, c, result.ModelStep)
		}
		return Result{}, err
	}
	if err := r.later(r.emit(Ended{result, time.Since(r.begun)})); err != nil {
		return Result{}, err
	}
	return result, r.lead(func() error {
		if err := r.events.sync(); err != nil {
			return err
		}
		// Prune once more, now that the run can't be resumed: the last evaluation may have found a new best model.
		return r.prune(true)
	})
}

// write lets rank 0 write what the run gives. If its context is cancelled meanwhile, the error is a cancelledError.
func (r *run) write(ctx context.Context, result Result) error {
	var err error
	isCancelled := false
	if r.peers.leader() && r.o.SaveResults != nil {
		if err = r.o.SaveResults(ctx, r.o.Output, result); err != nil {
			isCancelled = ctx.Err() != nil
			err = fmt.Errorf("can't save the results: %w", err)
		}
	}
	if err := r.peers.agree(isCancelled, err); err != nil {
		return err
	}
	return r.lead(func() error {
		if r.o.SaveModel != nil {
			if err := r.o.SaveModel(r.o.Output); err != nil {
				return fmt.Errorf("can't save the model: %w", err)
			}
		}
		// What a process that was killed at its last checkpoint left to remove goes before the run has ended: finished leaves it alone.
		return r.prune(false)
	})
}

// interruptedAtEnd is interrupted for a run that has made its last step and has restored the model of step model.
func (r *run) interruptedAtEnd(ctx context.Context, by *cancelledError, model int) error {
	if model == r.state.Step {
		return r.interrupted(ctx, by)
	}
	// There is a checkpoint, at least the best model's, and the parameters of the last step may be gone.
	return &InterruptedError{r.saved, r.steps, r.checkpoints.path(r.saved), r.cause(ctx, by)}
}
