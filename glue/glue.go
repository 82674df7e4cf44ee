// Package glue fine-tunes and measures a model on the tasks of the benchmark GLUE (Wang et al. 2018, arXiv:1804.07461), as
// Devlin et al. 2018, §4.1, do.
//
// A [Recipe] is a finetune.Recipe for all tasks, with other values for some. Suite.Run trains a model for each task, evaluates it
// on the development data, answers the test data, and writes the benchmark's table and what its server takes. The same recipe
// and folder go on where a run was interrupted, and leave what is done. SavePredictions writes the predictions of a single part.
package glue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/finetune"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// The files of a run: ScoresFile in the folder of a task, the others in that of all.
const (
	ScoresFile     = "glue.json"
	ResultsFile    = "glue_results.json"
	TableFile      = "glue_results.tsv"
	SubmissionsZIP = "submission.zip"
)

// Options say where a run goes and how it computes.
type Options struct {
	Output  string // a folder for each task, the table and the predictions
	Threads int    // 0: as many as the machine has
	// AllowOtherKernels is train.Options.AllowOtherKernels, for a training that was interrupted.
	AllowOtherKernels bool
	// SaveOutcomes is finetune.Options.SaveOutcomes, for each task.
	SaveOutcomes bool
	// Observer, if not nil, hears what happens.
	Observer func(Event)
}

// Event is something that happens in a run: LeftOut, Begun, Prepared, Trained, Ended, NoPart, Damaged, Skipped, Evaluating,
// Predicted or Packed. Each carries the name of its task, but for Packed.
type Event interface{ isEvent() }

// LeftOut is a task that is left out.
type LeftOut struct{ Task, Reason string }

// Begun is a task whose training begins or goes on.
type Begun struct{ Task, About string }

// Prepared says that a task's data and model are there.
type Prepared struct {
	Task string
	Job  *finetune.Job
}

// Trained is an event of a task's training.
type Trained struct {
	Task  string
	Event train.Event
}

// Ended says that the training of a task has ended, now or (Before) when it was run another time.
type Ended struct {
	Task   string
	Steps  int
	Before bool
}

// NoPart is a part of a task's data that is not there: it is not evaluated, or (Test) there are no predictions of it.
type NoPart struct {
	Task  string
	Split data.Split
	Test  bool
}

// Damaged is a record of scores that can't be read: the model is measured again, which gives the same.
type Damaged struct {
	Task, File string
	Err        error
}

// Skipped are bad records that were left out of the data to evaluate on.
type Skipped struct {
	Task    string
	Records finetune.Skipped
}

// Evaluating says how far an evaluation is.
type Evaluating struct {
	Task      string
	Split     data.Split
	Done, All int // examples
}

// Predicted says that the predictions of a part were written.
type Predicted struct {
	Task        string
	Split       data.Split
	File        string
	Predictions int
	// Truncated of the texts were cut to MaxSeqLength tokens and lost Dropped of them.
	Truncated, Dropped, MaxSeqLength int
}

// Packed says that the predictions were packed into one file, of which those of Missing would make a whole submission.
type Packed struct {
	File           string
	Files, Missing []string
}

func (LeftOut) isEvent()    {}
func (Begun) isEvent()      {}
func (Prepared) isEvent()   {}
func (Trained) isEvent()    {}
func (Ended) isEvent()      {}
func (NoPart) isEvent()     {}
func (Damaged) isEvent()    {}
func (Skipped) isEvent()    {}
func (Evaluating) isEvent() {}
func (Predicted) isEvent()  {}
func (Packed) isEvent()     {}

// InterruptedError says that a run was interrupted. What was under way is saved: the same run goes on from there.
type InterruptedError struct {
	Task string
	// Step is the step after which the training was interrupted, of Steps; 0: it was no training.
	Step, Steps int
	Cause       error
}

func (e *InterruptedError) Error() string {
	if e.Steps == 0 {
		return fmt.Sprintf("%s: interrupted: the same run goes on from there", e.Task)
	}
	return fmt.Sprintf("%s: interrupted after step %d of %d and saved: the same run goes on from there", e.Task, e.Step, e.Steps)
}

func (e *InterruptedError) Unwrap() error { return e.Cause }

// Suite is a run of the benchmark that is ready to begin.
type Suite struct {
	recipe  Recipe
	options Options
	tasks   []*member
}

// member is what a run knows of a task.
type member struct {
	row    *task.Task
	recipe finetune.Recipe
	folder string // of its data; "": not there
	output string // its folder
	step   int    // of its model
	parts  []Part // evaluated
	files  []string
}

// Part is how good a model is on a part of a task's data, an element of ScoresFile.
type Part struct {
	Split    data.Split     `json:"split"`
	Official []string       `json:"official_metrics"`
	Metrics  metric.Metrics `json:"metrics"`
	Skipped  int            `json:"skipped_records,omitzero"` // bad records that were left out
	// Precision is that of the products; without it they were in float32.
	Precision bert.Precision `json:"precision,omitzero"`

	// What follows is not there in files of earlier releases. Labels and Confusion [label][prediction] are those of a task with labels.
	Examples  int                    `json:"examples,omitzero"`
	Labels    []string               `json:"labels,omitempty"`
	Confusion metric.ConfusionMatrix `json:"confusion_matrix,omitempty"`
	// Categories are those of the diagnostic set, in the order of data.DiagnosticFields.
	Categories []Category `json:"categories,omitempty"`
}

// Category is the part of the examples that have something in common.
type Category struct {
	Field string `json:"field"` // a column of the data, such as Logic
	// Name is what the examples have in the column, such as Negation; "": anything.
	Name      string                 `json:"name,omitempty"`
	Confusion metric.ConfusionMatrix `json:"confusion_matrix"`
}

// score is the part's score: the mean of its official metrics.
func (p *Part) score() float64 {
	sum := 0.0
	for _, name := range p.Official {
		sum += value(p.Metrics, name)
	}
	return sum / float64(len(p.Official))
}

// value is the metric of a name, NaN if there is none.
func value(m metric.Metrics, name string) float64 {
	if v, ok := m.Get(name); ok {
		return v
	}
	return math.NaN()
}

func (s *Suite) observe(e Event) {
	if s.options.Observer != nil {
		s.options.Observer(e)
	}
}

// Run trains and measures what is not done yet, and writes the table of all and the submission. When ctx is cancelled it ends a
// training after its step, saves it, and returns an *InterruptedError.
//
// Another process that writes to the folder is a *train.BusyError.
func (s *Suite) Run(ctx context.Context) (_ *Summary, err error) {
	release, err := files.Claim(s.options.Output)
	if err != nil {
		return nil, err
	}
	defer func() { err = cmp.Or(err, release()) }()
	for _, m := range s.tasks {
		if err := files.Clean(m.output); err != nil {
			return nil, err
		}
	}
	if err := jsonobject.Save(filepath.Join(s.options.Output, finetune.RecipeFile), s.recipe.WithDefaults()); err != nil {
		return nil, err
	}
	done := 0
	for _, m := range s.tasks {
		if why := s.missing(m); why != "" {
			s.observe(LeftOut{m.row.Name, why})
			continue
		}
		if err := s.do(ctx, m); err != nil {
			return nil, interrupted(m.row.Name, err)
		}
		done++
	}
	if done == 0 {
		return nil, fmt.Errorf("%s: no task of GLUE to train on: want folders like %s", s.recipe.Path, filepath.Join(s.recipe.Path, "CoLA"))
	}
	return s.report()
}

// interrupted is the error of a task, an *InterruptedError if it was interrupted.
func interrupted(name string, err error) error {
	var training *train.InterruptedError
	switch {
	case errors.As(err, &training):
		return &InterruptedError{name, training.Step, training.Steps, err}
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return &InterruptedError{Task: name, Cause: err}
	}
	return fmt.Errorf("%s: %w", name, err)
}

func (s *Suite) do(ctx context.Context, m *member) error {
	if m.row.Has(m.folder, data.Train) {
		if err := s.train(ctx, m); err != nil {
			return err
		}
	}
	return s.measure(ctx, m)
}

// missing says why a task is left out; "": it isn't.
func (s *Suite) missing(m *member) string {
	switch {
	case m.folder == "":
		return "its data isn't there"
	case m.row.Has(m.folder, data.Train):
		return ""
	case !m.untrained():
		return "there is no training data in " + m.folder
	case s.trained(m).parts == nil:
		return "it needs the model of mnli, and there is none"
	}
	return ""
}

// untrained says that the task has no training data, not even elsewhere.
func (m *member) untrained() bool {
	_, ok := m.row.Tables[data.Train]
	return !ok
}

// trained is the task whose model answers m: itself, or mnli.
func (s *Suite) trained(m *member) *member {
	if !m.untrained() {
		return m
	}
	for _, other := range s.tasks {
		if other.row.Name == "mnli" {
			return other
		}
	}
	return &member{row: m.row}
}

// train trains the task's model, or the rest of it.
func (s *Suite) train(ctx context.Context, m *member) (err error) {
	name := m.row.Name
	s.observe(Begun{name, m.row.About})
	j, err := m.recipe.Prepare(ctx, finetune.Options{
		Output: m.output, Resume: true, Threads: s.options.Threads, AllowOtherKernels: s.options.AllowOtherKernels,
		SaveOutcomes: s.options.SaveOutcomes,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	s.observe(Prepared{name, j})
	result, err := j.Run(ctx, func(e train.Event) { s.observe(Trained{name, e}) })
	var finished *train.FinishedError
	switch {
	case errors.As(err, &finished):
		m.step = finished.Result.ModelStep
		s.observe(Ended{name, finished.Result.Steps, true})
		return nil
	case err != nil:
		return err
	}
	m.step = result.Training.ModelStep
	s.observe(Ended{name, result.Training.Steps, false})
	return nil
}

// measure evaluates the task's model on the parts of its data that have labels, and answers those that have none.
func (s *Suite) measure(ctx context.Context, m *member) (err error) {
	if err := os.MkdirAll(m.output, 0o777); err != nil {
		return files.PathError(err)
	}
	model := &trainedModel{of: s.trained(m), row: m.row, threads: s.options.Threads, otherKernels: s.options.AllowOtherKernels}
	defer func() { err = errors.Join(err, model.close()) }()
	found, err := s.readScores(m, model.of.recipe.Precision)
	if err != nil {
		return err
	}
	if !found {
		if err := s.evaluate(ctx, m, model); err != nil {
			return err
		}
	}
	return s.predict(ctx, m, model)
}

// readScores reads glue.json. Scores of another precision than the recipe's, and those of a damaged file, are to be made again. The
// predictions are too, and are removed before there are new scores, by which they would be taken for new ones.
func (s *Suite) readScores(m *member, precision bert.Precision) (found bool, err error) {
	path := filepath.Join(m.output, ScoresFile)
	text, err := files.ReadFile(path, mostScoreBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	parts, err := parseParts(text)
	other := false
	for _, p := range parts {
		other = other || p.Precision != precision
	}
	switch {
	case err != nil:
		s.observe(Damaged{m.row.Name, path, err})
	case !other:
		m.parts = parts
		return true, nil
	}
	for _, split := range Submissions(m.row.Name) {
		err := os.Remove(filepath.Join(m.output, SubmissionFile(m.row.Name, split)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, files.PathError(err)
		}
	}
	return false, nil
}

// mostScoreBytes is more than any glue.json has.
const mostScoreBytes = 16 << 20

// evaluate evaluates all parts with labels and writes what it finds into the task's folder.
func (s *Suite) evaluate(ctx context.Context, m *member, model *trainedModel) error {
	for _, split := range m.row.EvalSplits() {
		if !m.row.Has(m.folder, split) {
			s.observe(NoPart{Task: m.row.Name, Split: split})
			continue
		}
		if err := model.open(ctx); err != nil {
			return err
		}
		examples, skipped, err := s.read(ctx, m, split, &model.spec)
		if err != nil {
			return err
		}
		dataset, err := task.NewDataset(ctx, model.tokenizer, model.spec, examples)
		if err != nil {
			return err
		}
		r, err := task.Evaluate(ctx, model.model, dataset, task.EvaluateOptions{
			GlobalStep: model.of.step, Skipped: skipped,
			Progress: func(done, all int) { s.observe(Evaluating{m.row.Name, split, done, all}) },
		})
		if err != nil {
			return err
		}
		p := Part{Split: split, Official: r.Official, Metrics: r.Metrics(), Skipped: r.Skipped, Precision: r.Precision, Examples: r.Examples}
		if c, ok := r.Report.(*task.ClassReport); ok {
			p.Labels, p.Confusion = c.Labels, c.Confusion
			if p.Categories, err = categories(m.row.Tables[split].Fields, examples, c); err != nil {
				return err
			}
		}
		m.parts = append(m.parts, p)
	}
	return jsonobject.Save(filepath.Join(m.output, ScoresFile), m.parts)
}

// read reads a part to evaluate on, and says how many bad records were left out.
func (s *Suite) read(ctx context.Context, m *member, split data.Split, spec *task.Spec) ([]data.Example, int, error) {
	set, err := m.row.Read(ctx, m.folder, data.ReadOptions{
		Split: split, TableOptions: data.TableOptions{Encoding: m.recipe.Encoding, SkipBad: m.recipe.SkipBad},
	})
	if err != nil {
		return nil, 0, err
	}
	if err := spec.CheckLabels(set, m.recipe.SkipBad); err != nil {
		return nil, 0, err
	}
	if set.Skipped > 0 {
		s.observe(Skipped{m.row.Name, finetune.Skipped{Path: m.folder, Count: set.Skipped, First: set.FirstSkipped}})
	}
	if m.recipe.MaxEvalExamples > 0 {
		return data.Draw(set.Examples, m.recipe.MaxEvalExamples, *m.recipe.WithDefaults().Seed), set.Skipped, nil
	}
	return set.Examples, set.Skipped, nil
}

// predict answers the parts without labels that are not answered yet.
func (s *Suite) predict(ctx context.Context, m *member, model *trainedModel) error {
	for _, split := range Submissions(m.row.Name) {
		if !m.row.Has(m.folder, split) {
			s.observe(NoPart{Task: m.row.Name, Split: split, Test: true})
			continue
		}
		path := filepath.Join(m.output, SubmissionFile(m.row.Name, split))
		m.files = append(m.files, path)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := model.open(ctx); err != nil {
			return err
		}
		set, err := m.row.Read(ctx, m.folder, data.ReadOptions{Split: split, TableOptions: data.TableOptions{Unlabelled: true, Encoding: m.recipe.Encoding}})
		if err != nil {
			return err
		}
		runner, err := task.NewRunner(model.model, model.tokenizer, &model.spec, task.Predict(), task.Options{})
		if err != nil {
			return err
		}
		e := Predicted{Task: m.row.Name, Split: split, MaxSeqLength: runner.MaxSeqLength()}
		var predictions []task.Prediction
		err = runner.Stream(ctx, &inputs{set.Examples}, func(_ task.Item, answer task.Prediction) error {
			predictions = append(predictions, answer)
			if answer.DroppedTokens > 0 {
				e.Truncated++
				e.Dropped += answer.DroppedTokens
			}
			return nil
		})
		if err != nil {
			return err
		}
		if e.File, err = SavePredictions(m.output, m.row.Name, split, predictions); err != nil {
			return err
		}
		e.Predictions = len(predictions)
		s.observe(e)
	}
	return nil
}

// inputs are the inputs of examples. One that the model can't take ends them.
type inputs struct{ examples []data.Example }

func (in *inputs) Read(context.Context) (data.Input, data.Source, error) {
	if len(in.examples) == 0 {
		return data.Input{}, data.Source{}, io.EOF
	}
	x := in.examples[0]
	in.examples = in.examples[1:]
	return x.Input, x.Source, nil
}

func (in *inputs) Skip(err error) error { return err }

// trainedModel is a task's fine-tuned model, opened when it is needed, as it answers the task row.
type trainedModel struct {
	of      *member
	row     *task.Task
	threads int
	// otherKernels lets the model be measured by other kernels than those that it was trained by.
	otherKernels bool

	model     *bert.Model
	tokenizer *tokenizer.Tokenizer
	spec      task.Spec
}

func (t *trainedModel) open(ctx context.Context) error {
	if t.model != nil {
		return nil
	}
	dir := t.of.output
	d, err := task.Describe(ctx, dir)
	if err != nil {
		return err
	}
	t.tokenizer = d.Tokenizer
	if t.spec, err = d.For(t.row, nil); err != nil {
		return err
	}
	o := bert.Options{Threads: t.threads, Precision: t.of.recipe.Precision}
	kernels := train.RecordedKernels(dir)
	if kernels != "" && !t.otherKernels {
		o.Device, _ = bert.OnKernels(kernels, o.Precision)
	}
	m, err := bert.Load(ctx, dir, o)
	if err != nil {
		return err
	}
	if is := m.Kernels(); kernels != "" && is != "" && is != kernels && !t.otherKernels {
		return errors.Join(&train.KernelsError{Output: dir, Was: kernels, Is: is}, m.Close())
	}
	if err := m.CheckVocabulary(t.tokenizer.VocabSize()); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", dir, err), m.Close())
	}
	t.model = m
	return nil
}

func (t *trainedModel) close() error {
	if t.model == nil {
		return nil
	}
	return t.model.Close()
}
