package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/train"
)

// The files of bert sweep: sweepRunFile in the folder of a run, the others in that of all.
const (
	sweepRunFile = "run.json"
	sweepResults = "sweep_results.json"
	sweepTable   = "sweep_results.tsv"
)

// sweptFlags are the flags of finetune that take a list here.
var sweptFlags = []string{"learning-rate", "num-train-epochs", "train-batch-size", "warmup-proportion", "weight-decay", "max-seq-length"}

// sweepFlags are those of bert sweep, beside those of a run.
type sweepFlags struct {
	recipe         *finetuneFlags
	swept          map[string]*listFlag
	seeds          int
	parallel       int
	medianStopping bool
	keepModels     bool
}

func (a *app) sweepCommand() *cobra.Command {
	f := &sweepFlags{recipe: newFinetuneFlags(), swept: make(map[string]*listFlag)}
	cmd := &cobra.Command{
		Use:   "sweep --task TASK --data PATH (--model DIR | --config FILE --vocab FILE) --output DIR [flags]",
		Short: "Fine-tune with several settings and seeds, and compare",
		Long: `sweep fine-tunes a model with each combination of the values that ` + strings.Join(sweptFlags[:len(sweptFlags)-1], ", ") + ` and
` + sweptFlags[len(sweptFlags)-1] + ` have (lists between commas), with each of --seeds seeds, and writes one table of them: for each setting the mean of
the task's main metric over the seeds (or of --metric-for-best-model), its standard deviation and the best. The table goes
to stdout and to --output (` + sweepResults + `, ` + sweepTable + `). All other flags are those of finetune.

Each run has a folder in --output. The same command goes on where it was interrupted and leaves what is done; one with
more values or seeds adds to it. Of the models only that of the best run is kept, unless --keep-models.

--median-stopping ends a run at an evaluation where its best is worse than the median, over the runs that have ended, of
their means up to there (Golovin et al. 2017, Google Vizier, §3.2.2). A run that is stopped counts with what it had
reached. Which runs are stopped depends on the order in which they end, so with --parallel it can differ from run to run.`,
		Example: `  bert sweep --task rte --data glue/RTE --model bert-base-uncased --output rte-sweep \
      --learning-rate 2e-5,3e-5,5e-5 --num-train-epochs 2,3,4 --seeds 5`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.sweep(cmd, f) },
	}
	flags, o := cmd.Flags(), &f.recipe.options
	f.recipe.data.add(cmd, "the training data: a `PATH` of a file, or the folder or archive of the task")
	flags.StringVar(&f.recipe.evalData, "eval-data", "", "evaluate on the data at `PATH`")
	f.recipe.addModel(cmd)
	f.recipe.addOutput(cmd, "write a folder for each run and the table to `DIR`")
	f.recipe.addRecipe(cmd)
	flags.IntVar(&f.seeds, "seeds", 1, "`N` runs of each setting, with the seeds from --seed on")
	flags.Uint64Var(o.Seed, "seed", *o.Seed, "the first `SEED`")
	flags.IntVar(&f.parallel, "parallel", 1, "`N` runs at once, which share the threads")
	flags.BoolVar(&f.medianStopping, "median-stopping", false, "end runs that are worse than the median of those before")
	flags.BoolVar(&f.keepModels, "keep-models", false, "keep the models of all runs, not only of the best")
	f.recipe.addData(cmd)
	f.recipe.addDetails(cmd)
	f.recipe.out.add(cmd)
	for _, name := range sweptFlags {
		flag := flags.Lookup(name)
		f.swept[name] = &listFlag{one: flag.Value}
		flag.Value = f.swept[name]
		flag.Usage = strings.NewReplacer("`N`", "`N,…`", "`RATE`", "`RATE,…`", "`SHARE`", "`SHARE,…`").Replace(flag.Usage)
	}
	return cmd
}

// listFlag is a flag that takes several values of a flag that takes one.
type listFlag struct {
	one    pflag.Value
	values []string
}

func (l *listFlag) Type() string { return l.one.Type() + "s" }

func (l *listFlag) String() string {
	if l.values == nil {
		return l.one.String()
	}
	return strings.Join(l.values, ",")
}

// Set reads values between commas. Each is written as the flag of one value writes it, so that 2e-5 and 0.00002 are one.
func (l *listFlag) Set(list string) error {
	var values []string
	for text := range strings.SplitSeq(list, ",") {
		if err := l.one.Set(strings.TrimSpace(text)); err != nil {
			return err
		}
		if v := l.one.String(); !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	l.values = values
	return nil
}

// setting is a value for each flag that is swept, in the order of sweptFlags.
type setting []string

// sweepRun is a run: a setting and a seed.
type sweepRun struct {
	setting setting
	seed    uint64
	dir     string
	flags   *finetuneFlags
	cmd     *cobra.Command
	record  runRecord
}

// runRecord is run.json: what is known of a run, written anew at each evaluation and at its end.
type runRecord struct {
	Settings map[string]string `json:"settings"`
	Seed     uint64            `json:"seed"`
	Flags    map[string]string `json:"flags,omitempty"` // all that may change the result
	Metric   string            `json:"metric,omitempty"`

	Evaluations []runEvaluation `json:"evaluations"`

	Finished bool         `json:"finished"`
	Failed   string       `json:"failed,omitempty"` // why the run ended without a result
	Stopped  bool         `json:"stopped,omitempty"`
	Value    *float64     `json:"value"` // of Metric, of the run's model; null where there is none
	Metrics  task.Metrics `json:"metrics,omitempty"`
}

// runEvaluation is an evaluation on the way.
type runEvaluation struct {
	Step  int      `json:"step"`
	Epoch float64  `json:"epoch"`
	Value *float64 `json:"value"`
}

// sweeping is a sweep under way.
type sweeping struct {
	app    *app
	f      *sweepFlags
	swept  []string // names of flags with a list
	runs   []*sweepRun
	began  time.Time
	metric string
	mu     sync.Mutex // of all records, and done
	done   int
}

func (a *app) sweep(cmd *cobra.Command, f *sweepFlags) error {
	s := &sweeping{app: a, f: f, began: time.Now()}
	if err := s.plan(cmd); err != nil {
		return err
	}
	if err := os.MkdirAll(f.recipe.options.Output, 0o777); err != nil {
		return pathError(err)
	}
	todo, err := s.readRecords()
	if err != nil {
		return err
	}
	a.log.Info(fmt.Sprintf("%s of %s, %d done before", count(len(s.runs), "run"), count(len(s.runs)/f.seeds, "setting"), len(s.runs)-len(todo)))
	ctx, cancel := untilInterrupted(cmd.Context(), func(signal os.Signal) {
		a.log.Warn(fmt.Sprintf("%v: ending after this step, then saving; once more ends at once", signal))
	})
	defer cancel()
	if err := s.runAll(ctx, todo); err != nil {
		return err
	}
	return s.report()
}

// plan lists the runs.
func (s *sweeping) plan(cmd *cobra.Command) error {
	f := s.f
	switch {
	case f.seeds < 1:
		return usagef("--seeds is %d, want at least 1", f.seeds)
	case f.parallel < 1:
		return usagef("--parallel is %d, want at least 1", f.parallel)
	case f.recipe.options.Output == "":
		return usagef("--output DIR is missing: want the folder to write to")
	}
	t, err := f.recipe.data.lookup()
	if err != nil {
		return err
	}
	if t.EvalSplit == "" && f.recipe.evalData == "" && f.recipe.validationShare == 0 {
		return usagef("a sweep compares evaluations: want --eval-data or --validation-share")
	}
	settings := []setting{nil}
	for _, name := range sweptFlags {
		values := f.swept[name].values
		if values == nil {
			continue
		}
		s.swept = append(s.swept, name)
		var longer []setting
		for _, before := range settings {
			for _, v := range values {
				longer = append(longer, append(slices.Clip(before), v))
			}
		}
		settings = longer
	}
	threads := f.recipe.threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	for _, values := range settings {
		for i := range f.seeds {
			r := &sweepRun{setting: values, seed: *f.recipe.options.Seed + uint64(i)}
			r.dir = filepath.Join(f.recipe.options.Output, s.name(r))
			if err := s.prepare(cmd, r, max(1, threads/f.parallel)); err != nil {
				return err
			}
			s.runs = append(s.runs, r)
		}
	}
	return nil
}

// name is a run's folder: "learning-rate=2e-05,seed=42".
func (s *sweeping) name(r *sweepRun) string {
	var parts []string
	for i, flag := range s.swept {
		parts = append(parts, flag+"="+r.setting[i])
	}
	return strings.Join(append(parts, "seed="+strconv.FormatUint(r.seed, 10)), ",")
}

// prepare makes the flags of a run and checks them.
func (s *sweeping) prepare(cmd *cobra.Command, r *sweepRun, threads int) error {
	set := map[string]string{
		"seed": strconv.FormatUint(r.seed, 10), "output": r.dir, "resume": "true", "threads": strconv.Itoa(threads),
	}
	r.record = runRecord{Settings: make(map[string]string), Seed: r.seed, Flags: make(map[string]string), Evaluations: []runEvaluation{}}
	for i, name := range s.swept {
		set[name] = r.setting[i]
		r.record.Settings[name] = r.setting[i]
	}
	var err error
	if r.flags, r.cmd, err = variant(cmd, set); err != nil {
		return err
	}
	// These change nothing in what a run finds.
	without := []string{"output", "resume", "threads", "save-steps", "keep-checkpoints", "log-steps", "show-examples", "format", "json", "help"}
	r.cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if !slices.Contains(without, flag.Name) {
			r.record.Flags[flag.Name] = flag.Value.String()
		}
	})
	if s.f.medianStopping {
		r.record.Flags["median-stopping"] = "true"
	}
	return r.flags.check()
}

// readRecords reads what is known of the runs, and lists those that have not ended.
func (s *sweeping) readRecords() (todo []*sweepRun, err error) {
	for _, r := range s.runs {
		path := filepath.Join(r.dir, sweepRunFile)
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			todo = append(todo, r)
			continue
		}
		if err != nil {
			return nil, pathError(err)
		}
		var before runRecord
		if err := json.Unmarshal(data, &before); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for name, value := range r.record.Flags {
			if was := before.Flags[name]; was != value {
				return nil, fmt.Errorf("%s: this run was made with --%s %q, not %q: choose another --output", path, name, was, value)
			}
		}
		r.record = before
		if before.Finished {
			s.metric = before.Metric
			s.done++
		} else {
			todo = append(todo, r)
		}
	}
	return todo, nil
}

// runAll does the runs, as many at once as --parallel says. After the first error no other begins.
func (s *sweeping) runAll(ctx context.Context, todo []*sweepRun) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wait  sync.WaitGroup
		queue = make(chan *sweepRun)
	)
	for range min(s.f.parallel, len(todo)) {
		wait.Go(func() {
			for r := range queue {
				if err := s.do(ctx, r); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, r := range todo {
		if ctx.Err() != nil {
			break
		}
		select {
		case queue <- r:
		case <-ctx.Done():
		}
	}
	close(queue)
	wait.Wait()
	if ctx.Err() == nil {
		return nil
	}
	err := context.Cause(ctx)
	var interrupted *train.InterruptedError
	if errors.Is(err, context.Canceled) || errors.As(err, &interrupted) {
		return fmt.Errorf("interrupted after %d of %s and saved; the same command goes on", s.done, count(len(s.runs), "run"))
	}
	return err
}

// do does a run, or the rest of it, and writes what it found.
func (s *sweeping) do(ctx context.Context, r *sweepRun) error {
	if ctx.Err() != nil {
		return nil
	}
	name := s.name(r)
	t, err := r.flags.data.lookup()
	if err == nil {
		err = r.flags.setKind(r.cmd, t)
	}
	if err != nil {
		return err
	}
	j, err := r.flags.prepare(s.app, r.cmd, t)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer j.model.Close()
	metric := j.options.BestMetric
	if metric == "" {
		_, official := j.description.MetricNames()
		metric = official[0]
	}
	if err := os.MkdirAll(r.dir, 0o777); err != nil {
		return pathError(err)
	}
	s.mu.Lock()
	s.metric, r.record.Metric = metric, metric
	s.mu.Unlock()

	result, err := j.run(ctx, s.watch(r, metric))
	var (
		notFinite *train.NonFiniteError
		finished  *train.FinishedError
	)
	switch {
	case errors.As(err, &notFinite):
		s.app.log.Warn(fmt.Sprintf("%s: %v", name, err))
		return s.finish(r, nil, err.Error())
	case errors.As(err, &finished):
		// It ended, but what it found wasn't written: it is made again.
		if err := os.RemoveAll(r.dir); err != nil {
			return pathError(err)
		}
		r.record.Evaluations = []runEvaluation{}
		j.model.Close()
		return s.do(ctx, r)
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	}
	return s.finish(r, result, "")
}

// watch keeps the evaluations of a run, and ends it where the median rule says so.
func (s *sweeping) watch(r *sweepRun, metric string) watcher {
	return watcher{stop: func(e train.Evaluated) bool {
		value, ok := e.Evaluation.Metrics.Get(metric)
		if !ok && metric == train.LossMetric {
			value = e.Evaluation.Loss
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		// A resumed run may evaluate again where it did before.
		kept := slices.DeleteFunc(r.record.Evaluations, func(x runEvaluation) bool { return x.Step >= e.Step })
		r.record.Evaluations = append(kept, runEvaluation{e.Step, e.Epoch, existing(value)})
		if s.f.medianStopping && s.worseThanMedian(r, metric) {
			r.record.Stopped = true
		}
		if err := writeJSONFile(filepath.Join(r.dir, sweepRunFile), &r.record); err != nil {
			s.app.log.Warn(err.Error()) // the run's own files say what is wrong with the folder
		}
		return r.record.Stopped
	}}
}

// medianRuns is the number of ended runs that the median rule needs.
const medianRuns = 3

// worseThanMedian is the median stopping rule: the best of a run so far is worse than the median of the running means of
// the runs that went to their end. How far a run is, is counted in epochs, since the steps of an epoch may differ.
func (s *sweeping) worseThanMedian(r *sweepRun, metric string) bool {
	sign := 1.0
	if task.LessIsBetter(metric) {
		sign = -1
	}
	best, at := math.Inf(-1), 0.0
	for _, e := range r.record.Evaluations {
		if e.Value != nil {
			best = max(best, sign**e.Value)
		}
		at = e.Epoch
	}
	var means []float64
	for _, other := range s.runs {
		if !other.record.Finished || other.record.Stopped || other.record.Failed != "" {
			continue
		}
		sum, n := 0.0, 0
		for _, e := range other.record.Evaluations {
			if e.Value != nil && e.Epoch <= at+1e-9 {
				sum += sign * *e.Value
				n++
			}
		}
		if n > 0 {
			means = append(means, sum/float64(n))
		}
	}
	return len(means) >= medianRuns && best < median(means)
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// finish writes what a run found and removes the models that aren't kept.
func (s *sweeping) finish(r *sweepRun, result *task.Result, failed string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.record.Finished, r.record.Failed = true, failed
	line := "failed"
	if result != nil {
		r.record.Metrics = result.Metrics()
		v := result.Metrics().Value(r.record.Metric)
		r.record.Value = existing(v)
		line = fmt.Sprintf("%s %.4f", task.MetricLabel(r.record.Metric), v)
		if r.record.Stopped {
			line += ", stopped early"
		}
	}
	if err := writeJSONFile(filepath.Join(r.dir, sweepRunFile), &r.record); err != nil {
		return err
	}
	s.done++
	left := ""
	if n := len(s.runs) - s.done; n > 0 {
		left = fmt.Sprintf("; %s left", count(n, "run"))
	}
	s.app.log.Info(fmt.Sprintf("run %d/%d: %s: %s%s", s.done, len(s.runs), s.name(r), line, left))
	return s.tidy()
}

// better says whether a is the better value of the sweep's metric. None is worse than any.
func (s *sweeping) better(a, b *float64) bool {
	switch {
	case a == nil || b == nil:
		return a != nil && b == nil
	case task.LessIsBetter(s.metric):
		return *a < *b
	}
	return *a > *b
}

// best is the best run of those that have ended, the first of equals; nil: none has a value.
func (s *sweeping) best(runs []*sweepRun) *sweepRun {
	var best *sweepRun
	for _, r := range runs {
		if r.record.Finished && r.record.Value != nil && (best == nil || s.better(r.record.Value, best.record.Value)) {
			best = r
		}
	}
	return best
}

// tidy removes the checkpoints of runs that have ended, and the models of all but the best.
func (s *sweeping) tidy() error {
	best := s.best(s.runs)
	for _, r := range s.runs {
		if !r.record.Finished {
			continue
		}
		remove := []string{"checkpoints"}
		if r != best && !s.f.keepModels {
			remove = append(remove, "model.safetensors")
		}
		for _, name := range remove {
			if err := os.RemoveAll(filepath.Join(r.dir, name)); err != nil {
				return pathError(err)
			}
		}
	}
	return nil
}

// settingRow is a line of the table.
type settingRow struct {
	Settings  map[string]string `json:"settings"`
	Runs      int               `json:"runs"` // with a value
	Mean      *float64          `json:"mean"`
	Deviation *float64          `json:"deviation"` // of a sample: with n−1; null of a single run
	Best      *float64          `json:"best"`
	Stopped   int               `json:"stopped,omitempty"` // by the median rule
	Failed    int               `json:"failed,omitempty"`
	values    setting
}

// sweepSummary is sweep_results.json.
type sweepSummary struct {
	Task    string       `json:"task"`
	Metric  string       `json:"metric"`
	Rows    []settingRow `json:"settings"` // the best mean first
	BestRun string       `json:"best_run,omitempty"`
	Runs    []runRecord  `json:"runs"`
}

func (s *sweeping) summarize() sweepSummary {
	out := sweepSummary{Task: s.f.recipe.data.task, Metric: s.metric}
	for at := 0; at < len(s.runs); at += s.f.seeds {
		runs := s.runs[at : at+s.f.seeds]
		row := settingRow{Settings: runs[0].record.Settings, values: runs[0].setting}
		var values []float64
		for _, r := range runs {
			out.Runs = append(out.Runs, r.record)
			out.Runs[len(out.Runs)-1].Flags = nil // they are in the run's own file
			if r.record.Value != nil {
				values = append(values, *r.record.Value)
			}
			if r.record.Stopped {
				row.Stopped++
			}
			if r.record.Failed != "" {
				row.Failed++
			}
		}
		row.Runs = len(values)
		mean, deviation := meanDeviation(values)
		row.Mean, row.Deviation = existing(mean), existing(deviation)
		if best := s.best(runs); best != nil {
			row.Best = best.record.Value
		}
		out.Rows = append(out.Rows, row)
	}
	slices.SortStableFunc(out.Rows, func(a, b settingRow) int {
		switch {
		case s.better(a.Mean, b.Mean):
			return -1
		case s.better(b.Mean, a.Mean):
			return 1
		}
		return 0
	})
	if best := s.best(s.runs); best != nil {
		out.BestRun = s.name(best)
	}
	return out
}

// meanDeviation is the mean of values and the standard deviation of what they are a sample of; NaN where there is none.
func meanDeviation(values []float64) (mean, deviation float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	if len(values) == 0 {
		mean = math.NaN()
	}
	if len(values) < 2 {
		return mean, math.NaN()
	}
	squares := 0.0
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(squares / (n - 1))
}
