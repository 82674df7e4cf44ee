// Package sweep fine-tunes a model with each of several settings and seeds, and compares the results (Devlin et al. 2018, §4.1,
// chose the learning rate of each task so).
//
// A [Recipe] is a finetune.Recipe and the values that its keys take in turn. Recipe.Prepare lists the runs and finds out which of
// them have been made; Sweep.Run makes the others. Each run has a folder, with run.json in it; the folder of the sweep gets
// sweep_results.json and sweep_results.tsv. The same recipe and folder go on where a sweep was interrupted, and a recipe with
// more values or seeds adds to it.
//
// Runs that differ only in how they train share their data, which is read and tokenized once.
package sweep

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-bert/bert/finetune"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/internal/textfile"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/train"
)

// The files of a sweep: RunFile in the folder of a run, the others in that of the sweep.
const (
	RunFile     = "run.json"
	ResultsFile = "sweep_results.json"
	TableFile   = "sweep_results.tsv"
)

// Recipe is a recipe of which some values vary. In JSON its keys are beside those of the finetune.Recipe.
type Recipe struct {
	finetune.Recipe
	// Axes are the keys that vary, with their values. There is a setting for each combination of values.
	Axes Axes `json:"sweep,omitzero"`
	// Seeds is the number of runs of each setting, with the seeds from the recipe's own on; 0: 1.
	Seeds int `json:"seeds,omitzero" zero:"at least 1"`
	// MedianStopping ends a run at an evaluation where its best is worse than the median, over the runs that have ended, of
	// their means up to there (Golovin et al. 2017, Google Vizier, §3.2.2). It counts with what it had reached. Which runs it
	// ends depends on the order in which they end, and so with Options.Parallel on chance.
	MedianStopping bool `json:"median_stopping,omitzero"`
}

// Axis is a key of a finetune.Recipe and the values that it takes, as texts that recipe.Set reads.
type Axis struct {
	Key    string
	Values []string
}

// Axes are in JSON an object with a list of values for each key, in order: {"learning_rate": [2e-5, 3e-5]}.
type Axes []Axis

// MarshalJSON writes the object.
func (a Axes) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, axis := range a {
		values := make([]recipe.Value, len(axis.Values))
		for j, v := range axis.Values {
			values[j] = recipe.Value(v)
		}
		key, err := json.Marshal(axis.Key)
		if err != nil {
			return nil, err
		}
		list, err := json.Marshal(values)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(list)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads the object.
func (a *Axes) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(err, errors.New("want an object with a list of values for each key"))
	}
	var axes Axes
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		var values []recipe.Value
		if err := dec.Decode(&values); err != nil {
			return err
		}
		axis := Axis{Key: t.(string)} // the decoder lets nothing else be a key
		for _, v := range values {
			axis.Values = append(axis.Values, string(v))
		}
		axes = append(axes, axis)
	}
	*a = axes
	return nil
}

// UnmarshalJSON reads an object. See recipe.Unmarshal for what is an error.
func (r *Recipe) UnmarshalJSON(data []byte) error { return recipe.Unmarshal(data, r) }

// ReadRecipe reads a recipe from a JSON file, as finetune.ReadRecipe does.
func ReadRecipe(file string) (Recipe, error) {
	var r Recipe
	err := recipe.ReadFile(file, &r)
	return r, err
}

// WithDefaults is r with the defaults filled in that depend on nothing else. Keys that vary have none.
func (r Recipe) WithDefaults() Recipe {
	given := r.BatchSize
	r.Recipe = r.Recipe.WithDefaults()
	r.Seeds = max(r.Seeds, 1)
	for _, axis := range r.Axes {
		_ = recipe.Clear(&r, axis.Key) // a key that is not known is for Validate to report
		if axis.Key == "token_budget" {
			r.BatchSize = given
		}
	}
	return r
}

// Validate reports the first value that is not valid, of r or of one of its runs, as a *recipe.Error.
func (r Recipe) Validate() error {
	_, err := r.runs()
	return err
}

// runs lists the runs, whose recipes are valid.
func (r *Recipe) runs() ([]*Run, error) {
	if r.Seeds < 0 {
		return nil, recipe.Wrong(r, "seeds", "at least 1")
	}
	t, err := task.Lookup(r.Task)
	if err != nil {
		return nil, r.Recipe.Validate()
	}
	if t.EvalSplit == "" && r.EvalPath == "" && r.ValidationShare == 0 {
		return nil, &recipe.Error{Key: "eval_data", Reason: "a sweep compares evaluations", Want: "`eval_data` or `validation_share`"}
	}
	settings := [][]string{nil}
	for i, axis := range r.Axes {
		if axis.Key == "seed" {
			return nil, recipe.Wrong(r, "sweep", "`seeds` in place of the axis seed")
		}
		if slices.ContainsFunc(r.Axes[:i], func(a Axis) bool { return a.Key == axis.Key }) {
			return nil, recipe.Wrong(r, "sweep", "each key once")
		}
		values, err := axis.normalized()
		if err != nil {
			return nil, err
		}
		var longer [][]string
		for _, before := range settings {
			for _, v := range values {
				longer = append(longer, append(slices.Clip(before), v))
			}
		}
		settings = longer
	}
	var runs []*Run
	first := *r.Training.WithDefaults().Seed
	for _, values := range settings {
		for i := range max(r.Seeds, 1) {
			run, err := r.run(values, first+uint64(i))
			if err != nil {
				return nil, err
			}
			runs = append(runs, run)
		}
	}
	return runs, nil
}

// normalized are the axis's values, each once and as recipe.Text writes it: 2e-5 and 0.00002 are one.
func (a *Axis) normalized() ([]string, error) {
	if len(a.Values) == 0 {
		return nil, &recipe.Error{Key: a.Key, Want: "a list of values"}
	}
	var values []string
	for _, v := range a.Values {
		var r finetune.Recipe
		if err := r.Set(a.Key, v); err != nil {
			return nil, err
		}
		text, _ := recipe.Text(&r, a.Key)
		if !slices.Contains(values, text) {
			values = append(values, text)
		}
	}
	return values, nil
}

// Run is a run of a sweep: a setting and a seed.
type Run struct {
	Name   string // of its folder: "learning-rate=2e-05,seed=42"
	Recipe finetune.Recipe
	Values []string // of the axes, in their order
	record Record
	dir    string
	// damaged says that run.json is there and can't be read.
	damaged bool
	// unwritten is why the record could not be written during the run.
	unwritten error
}

// run makes the run of a setting and a seed.
func (r *Recipe) run(values []string, seed uint64) (*Run, error) {
	run := &Run{Recipe: r.Recipe, Values: values}
	run.record = Record{Settings: make(map[string]string), Seed: seed, Evaluations: []Evaluation{}}
	var name []string
	for i, axis := range r.Axes {
		if err := run.Recipe.Set(axis.Key, values[i]); err != nil {
			return nil, err
		}
		name = append(name, settingName(axis.Key)+"="+values[i])
		run.record.Settings[settingName(axis.Key)] = values[i]
	}
	run.Recipe.Seed = &seed
	run.Name = strings.Join(append(name, "seed="+strconv.FormatUint(seed, 10)), ",")
	if err := run.Recipe.Validate(); err != nil {
		return nil, err
	}
	run.record.Flags = decisive(run.Recipe)
	if r.MedianStopping {
		run.record.Flags["median-stopping"] = "true"
	}
	return run, nil
}

// Record is what is known of the run.
func (r *Run) Record() Record { return r.record }

// Options say where a sweep goes and how it computes.
type Options struct {
	Output   string // the folder of the sweep
	Parallel int    // runs at once, which share the threads; 0: 1
	Threads  int    // of all runs together; 0: as many as the machine has
	// AllowOtherKernels is train.Options.AllowOtherKernels, for the runs that were interrupted.
	AllowOtherKernels bool
	// KeepModels keeps the models of all runs, not only of the best.
	KeepModels bool
	// SaveOutcomes is finetune.Options.SaveOutcomes, for each run.
	SaveOutcomes bool
	// Observer, if not nil, hears what happens, one event at a time.
	Observer func(Event)
}

// Event is something that happens in a sweep: Damaged, Started, Prepared, Trained or Ended.
type Event interface{ isEvent() }

// Started is the first event.
type Started struct {
	Runs, Settings int
	Done           int // runs that have ended before
}

// Damaged is a record of a run that can't be read: the run goes on from its checkpoints, or is made again, as if it hadn't ended.
type Damaged struct{ Run, File string }

// Prepared says that a run's data and model are there.
type Prepared struct {
	Run string // its name
	Job *finetune.Job
}

// Trained is an event of a run.
type Trained struct {
	Run   string // its name
	Event train.Event
}

// Ended says that a run has ended.
type Ended struct {
	Run        string // its name
	Record     Record
	Done, Runs int // of the sweep
}

func (Damaged) isEvent()  {}
func (Started) isEvent()  {}
func (Prepared) isEvent() {}
func (Trained) isEvent()  {}
func (Ended) isEvent()    {}

// InterruptedError says that a sweep was interrupted. What was under way is saved: the same sweep goes on from there.
type InterruptedError struct {
	Done, Runs int
	Cause      error
}

func (e *InterruptedError) Error() string {
	return fmt.Sprintf("interrupted after %d of %d runs and saved: the same sweep goes on from there", e.Done, e.Runs)
}

func (e *InterruptedError) Unwrap() error { return e.Cause }

// OtherRunError says that the folder of a run holds one of another recipe.
type OtherRunError struct {
	File    string // run.json
	Key     string
	Was, Is string
}

func (e *OtherRunError) Error() string {
	return fmt.Sprintf("%s: this run was made with %s %q, not %q: choose another folder for the sweep", e.File, e.Key, e.Was, e.Is)
}

// Sweep is a sweep that is ready to run.
type Sweep struct {
	recipe  Recipe
	options Options
	runs    []*Run
	todo    []*Run
	data    finetune.Datasets

	mu     sync.Mutex // of the records, done and metric
	done   int
	metric string

	observing sync.Mutex
}

// Prepare lists the runs and reads what is known of them.
func (r Recipe) Prepare(o Options) (*Sweep, error) {
	if o.Output == "" {
		return nil, errors.New("there is no output folder")
	}
	runs, err := r.runs()
	if err != nil {
		return nil, err
	}
	s := &Sweep{recipe: r.WithDefaults(), options: o, runs: runs}
	for _, run := range runs {
		run.dir = filepath.Join(o.Output, run.Name)
	}
	return s, s.readRecords()
}

// readRecords reads what is known of the runs.
func (s *Sweep) readRecords() error {
	s.todo, s.done = nil, 0
	for _, run := range s.runs {
		if err := s.readRecord(run); err != nil {
			return err
		}
	}
	return nil
}

// Runs are the runs of the sweep: those of a setting follow one another, by seed.
func (s *Sweep) Runs() []*Run { return s.runs }

// Datasets are the data sets that the runs share.
func (s *Sweep) Datasets() *finetune.Datasets { return &s.data }

// mostRecordBytes is more than any run.json has.
const mostRecordBytes = 256 << 20

// readRecord reads what is known of a run.
func (s *Sweep) readRecord(r *Run) error {
	path := filepath.Join(r.dir, RunFile)
	r.damaged = false
	data, err := files.ReadFile(path, mostRecordBytes)
	if errors.Is(err, fs.ErrNotExist) {
		s.todo = append(s.todo, r)
		return nil
	}
	if err != nil {
		return err
	}
	var before Record
	if json.Unmarshal(data, &before) != nil || before.Flags == nil {
		return s.readDamaged(r, path)
	}
	if key, was, is, differ := before.differs(&r.record); differ {
		return &OtherRunError{path, key, was, is}
	}
	r.record = before
	if before.Finished {
		s.metric = before.Metric
		s.done++
	} else {
		s.todo = append(s.todo, r)
	}
	return nil
}

// readDamaged takes a run whose record at path is damaged for one that has not ended, if its own recipe shows that it is this
// sweep's: its files are then made as they were. Otherwise nothing is touched.
func (s *Sweep) readDamaged(r *Run, path string) error {
	made, err := finetune.ReadRecipe(filepath.Join(r.dir, finetune.RecipeFile))
	was := Record{Flags: decisive(made)}
	is := Record{Flags: decisive(r.Recipe)}
	if _, _, _, differ := was.differs(&is); err != nil || differ {
		return fmt.Errorf("%s: the record of this run is damaged, and nothing shows that the run is one of this sweep: remove the folder if it is, or choose another for the sweep", path)
	}
	r.damaged = true
	s.todo = append(s.todo, r)
	return nil
}

// Run makes the runs that are not made yet and writes the table of all. After an error no other run begins. When ctx is cancelled
// it ends the runs that are under way after their step, saves them, and returns an *InterruptedError.
//
// Another process that writes to the folder is a *train.BusyError.
func (s *Sweep) Run(ctx context.Context) (_ *Summary, err error) {
	release, err := files.Claim(s.options.Output)
	if err != nil {
		return nil, err
	}
	defer func() { err = cmp.Or(err, release()) }()
	if err := s.readRecords(); err != nil { // another process may have been at work since Prepare
		return nil, err
	}
	for _, r := range s.runs {
		if r.damaged {
			s.observe(Damaged{r.Name, filepath.Join(r.dir, RunFile)})
		}
		if r.record.Finished {
			if err := files.Clean(r.dir); err != nil {
				return nil, err
			}
		}
	}
	if err := jsonobject.Save(filepath.Join(s.options.Output, finetune.RecipeFile), s.recipe); err != nil {
		return nil, err
	}
	for _, r := range s.todo {
		if err := s.data.Expect(r.Recipe); err != nil {
			return nil, err
		}
	}
	s.observe(Started{Runs: len(s.runs), Settings: len(s.runs) / s.recipe.Seeds, Done: s.done})
	if err := s.runAll(ctx); err != nil {
		return nil, err
	}
	s.todo = nil
	if err := s.tidy(); err != nil { // the process that made the last run may have been killed before
		return nil, err
	}
	summary := s.summarize()
	if err := jsonobject.Save(filepath.Join(s.options.Output, ResultsFile), summary); err != nil {
		return nil, err
	}
	return summary, textfile.Save(filepath.Join(s.options.Output, TableFile), summary.tsv())
}

func (s *Sweep) observe(e Event) {
	if s.options.Observer == nil {
		return
	}
	s.observing.Lock()
	defer s.observing.Unlock()
	s.options.Observer(e)
}

// runAll does the runs, as many at once as Options.Parallel says.
func (s *Sweep) runAll(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wait  sync.WaitGroup
		queue = make(chan *Run)
	)
	for range min(max(s.options.Parallel, 1), len(s.todo)) {
		wait.Go(func() {
			for r := range queue {
				if err := s.do(ctx, r); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, r := range s.todo {
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
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &interrupted) {
		return &InterruptedError{s.done, len(s.runs), err}
	}
	return err
}

// threads are those of one of the runs that share the machine.
func (s *Sweep) threads() int {
	threads := s.options.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return max(1, threads/max(s.options.Parallel, 1))
}

// do does a run, or the rest of it, and writes what it found.
func (s *Sweep) do(ctx context.Context, r *Run) error {
	if ctx.Err() != nil {
		return nil
	}
	found, failed, err := s.train(ctx, r)
	if err != nil {
		return fmt.Errorf("%s: %w", r.Name, err)
	}
	return s.finish(r, found, failed)
}

// train trains and evaluates the model of a run, or what is left of that. failed is why it has no metrics.
func (s *Sweep) train(ctx context.Context, r *Run) (found metric.Metrics, failed string, err error) {
	by := ""
	j, err := r.Recipe.Prepare(ctx, finetune.Options{
		Output: r.dir, Resume: true, Threads: s.threads(), Datasets: &s.data, AllowOtherKernels: s.options.AllowOtherKernels,
		SaveOutcomes: s.options.SaveOutcomes,
		Stop:         func(e train.Evaluated) bool { return s.evaluated(r, by, e) },
	})
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	by = j.BestMetric()
	if err := os.MkdirAll(r.dir, 0o777); err != nil {
		return nil, "", files.PathError(err)
	}
	s.mu.Lock()
	s.metric, r.record.Metric = by, by
	s.mu.Unlock()
	s.observe(Prepared{r.Name, j})

	trained, err := j.Run(ctx, func(e train.Event) {
		if e, ok := e.(train.Started); ok {
			s.resumed(r, by, e.Step, e.Evaluations)
		}
		s.observe(Trained{r.Name, e})
	})
	var (
		notFinite *train.NonFiniteError
		finished  *train.FinishedError
	)
	switch {
	case errors.As(err, &notFinite):
		return nil, err.Error(), nil
	case errors.As(err, &finished):
		// It ended, but that wasn't written here.
		stopped := r.record.Stopped && finished.Result.StoppedEarly // which the events of earlier releases lack
		s.resumed(r, by, finished.Result.Steps, finished.Evaluations)
		r.record.Stopped = r.record.Stopped || stopped
		saved, err := task.ReadResult(r.dir)
		if err != nil {
			return nil, "", err
		}
		return saved.Metrics, "", nil
	case err != nil:
		return nil, "", err
	}
	return trained.Evaluation.Metrics(), "", r.unwritten
}

// resumed sets the evaluations of a run to those up to a step, before which it was resumed. Those that the run's events have count
// more than those of run.json, which may be ahead of the checkpoint, or behind.
func (s *Sweep) resumed(r *Run, by string, step int, evaluations []train.Evaluated) {
	s.mu.Lock()
	defer s.mu.Unlock()
	recorded := r.record.Evaluations
	r.record.Evaluations = []Evaluation{}
	stopped := false
	for _, e := range evaluations {
		r.record.Evaluations = append(r.record.Evaluations, Evaluation{e.Step, e.Epoch, measured(by, e.Evaluation)})
		stopped = e.Evaluation.Stop
	}
	for _, e := range recorded {
		if e.Step <= step && !slices.ContainsFunc(r.record.Evaluations, func(x Evaluation) bool { return x.Step == e.Step }) {
			r.record.Evaluations = append(r.record.Evaluations, e)
		}
	}
	slices.SortFunc(r.record.Evaluations, func(a, b Evaluation) int { return a.Step - b.Step })
	r.record.Stopped = stopped
}

// measured is an evaluation's value of a metric, nil where there is none.
func measured(by string, e train.Evaluation) *float64 {
	value, ok := e.Metrics.Get(by)
	if !ok && by == train.LossMetric {
		value = e.Loss
	}
	return existing(value)
}

// evaluated keeps an evaluation of a run, and says whether the median rule ends the run.
func (s *Sweep) evaluated(r *Run, by string, e train.Evaluated) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A resumed run may evaluate again where it did before.
	kept := slices.DeleteFunc(r.record.Evaluations, func(x Evaluation) bool { return x.Step >= e.Step })
	r.record.Evaluations = append(kept, Evaluation{e.Step, e.Epoch, measured(by, e.Evaluation)})
	r.record.Stopped = s.recipe.MedianStopping && worseThanMedian(r, s.runs, by)
	r.unwritten = jsonobject.Save(filepath.Join(r.dir, RunFile), &r.record)
	return r.record.Stopped
}

// finish writes what a run found and removes the models that aren't kept.
func (s *Sweep) finish(r *Run, found metric.Metrics, failed string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.record.Finished, r.record.Failed = true, failed
	if found != nil {
		r.record.Metrics = found
		if v, ok := r.record.Metrics.Get(r.record.Metric); ok {
			r.record.Value = existing(v)
		}
	}
	if err := jsonobject.Save(filepath.Join(r.dir, RunFile), &r.record); err != nil {
		return err
	}
	s.done++
	s.observe(Ended{r.Name, r.record, s.done, len(s.runs)})
	return s.tidy()
}

// tidy removes the checkpoints of runs that have ended, and the models of all but the best.
func (s *Sweep) tidy() error {
	best := s.best(s.runs)
	for _, r := range s.runs {
		if !r.record.Finished {
			continue
		}
		remove := []string{"checkpoints"}
		if r != best && !s.options.KeepModels {
			remove = append(remove, "model.safetensors")
		}
		for _, name := range remove {
			if err := os.RemoveAll(filepath.Join(r.dir, name)); err != nil {
				return files.PathError(err)
			}
		}
	}
	return nil
}
