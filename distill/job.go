package distill

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/finetune"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// RecipeFile is the name of a run's recipe in its folder.
const RecipeFile = finetune.RecipeFile

// DefaultCacheBytes is the bound of a cache where Options.CacheBytes is 0.
const DefaultCacheBytes = 8 << 30

// Options say where a run goes and how it computes: nothing that changes the result.
type Options struct {
	// Output is the folder that becomes the model directory.
	Output string
	// Resume goes on from the newest checkpoint in Output, or begins where there is none.
	Resume bool
	// Threads is how many threads teacher and student each have; 0: as many as the machine has.
	Threads int
	// AllowOtherKernels is train.Options.AllowOtherKernels.
	AllowOtherKernels bool
	// Cache is a folder in which what the teacher says is kept, for this run and others; "": none. It has at most CacheBytes bytes; 0:
	// DefaultCacheBytes.
	Cache      string
	CacheBytes int64
	// Stdin, if not nil, is what the path "-" of data stands for.
	Stdin io.Reader
	// Resolve, if not nil, turns a model's name into a path, as hub.Resolve does.
	Resolve func(ctx context.Context, name string) (path string, err error)
	// Progress, if not nil, hears how far Prepare is with the words of an augmentation.
	Progress func(done, all int)
	// SaveOutcomes is finetune.Options.SaveOutcomes.
	SaveOutcomes bool
}

// Job is a run that is ready to begin. It is not for use by many goroutines.
type Job struct {
	recipe  Recipe // with its defaults
	options Options

	config  bert.Config // the teacher's
	dir     string      // likewise
	teacher *bert.Model
	id      [sha256.Size]byte // of the teacher
	student *student
	pieces  *pieces

	task  *finetune.Job     // nil: on text
	text  *textJob          // nil: for a task
	print map[string]string // the fingerprint

	answers   *teacher
	objective *objective
	notes     noteList
}

// noteList collects notes from any goroutine.
type noteList struct {
	mu   sync.Mutex
	list []string
}

func (n *noteList) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Contains(n.list, text) {
		n.list = append(n.list, text)
	}
}

// take gives the notes since the last call.
func (n *noteList) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.list
	n.list = nil
	return list
}

// Prepare reads teacher, student and data. What is wrong with the recipe is a *recipe.Error, an output folder with a model in it a
// *train.OutputError, a bad record of the data a *data.SourceError, and a student whose tokens are not the teacher's a *PiecesError. The
// caller closes the job.
func (r Recipe) Prepare(ctx context.Context, o Options) (_ *Job, err error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	j := &Job{recipe: r.WithDefaults(), options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.Close())
		}
	}()
	if j.dir, err = j.resolve(ctx, r.Teacher); err != nil {
		return nil, err
	}
	studentDir := ""
	if _, _, sized := parseSize(r.Student); r.Student != "" && !sized && !strings.HasSuffix(r.Student, ".json") {
		if studentDir, err = j.resolve(ctx, r.Student); err != nil {
			return nil, err
		}
	}
	for _, begun := range []string{j.dir, studentDir} {
		if err := train.CheckOutput(o.Output, o.Resume, begun); err != nil {
			return nil, err
		}
	}
	dir, err := bert.ModelDir(sentence.EncoderDir(j.dir))
	if err != nil {
		return nil, err
	}
	if j.config, err = bert.LoadConfig(dir); err != nil {
		return nil, err
	}
	tok, err := tokenizer.Load(bert.TokenizerDir(dir, ""))
	if err != nil {
		return nil, fmt.Errorf("the teacher: %w", err)
	}
	if j.student, err = newStudent(&j.recipe, studentDir, &j.config, tok); err != nil {
		return nil, err
	}
	j.pieces = newPieces(j.student.tokenizer, tok)
	if r.onText() {
		j.text = &textJob{Job: j}
		return j, j.text.prepare(ctx)
	}
	return j, j.prepareTask(ctx)
}

func (j *Job) resolve(ctx context.Context, name string) (string, error) {
	if j.options.Resolve == nil {
		return name, nil
	}
	return j.options.Resolve(ctx, name)
}

// Close lets go of the models.
func (j *Job) Close() error {
	if j.answers != nil {
		j.answers.close()
		j.answers = nil
	}
	if j.objective != nil {
		j.objective.close()
		j.objective = nil
	}
	var err error
	if j.teacher != nil {
		err = j.teacher.Close()
		j.teacher = nil
	}
	if j.task != nil {
		err = errors.Join(err, j.task.Close())
		j.task = nil
	}
	if j.text != nil {
		err = errors.Join(err, j.text.close())
		j.text = nil
	}
	return err
}

// Recipe is that of the job, with its defaults.
func (j *Job) Recipe() Recipe { return j.recipe }

// Teacher is the model to learn from, Student the one that learns, and is the trained one after Run.
func (j *Job) Teacher() *bert.Model { return j.teacher }
func (j *Job) Student() *bert.Model {
	if j.task != nil {
		return j.task.Parts().Model
	}
	return j.text.model
}

// Begun says that the student begins with the weights of a model of its own.
func (j *Job) Begun() bool { return j.student.dir != "" }

// Task is the part of the job that is a fine-tuning's; nil on plain text.
func (j *Job) Task() *finetune.Job { return j.task }

// Lines are the sequences of plain text, to train on and to evaluate on; 0 for a task.
func (j *Job) Lines() (training, held int) {
	if j.text == nil {
		return 0, 0
	}
	return j.text.lines()
}

// Output is the folder that the job writes to.
func (j *Job) Output() string { return j.options.Output }

// Terms are the names of the losses with their weights, that of the labels first, if it has one.
func (j *Job) Terms() []string {
	var list []string
	if w := j.recipe.LabelWeight; w != 0 {
		list = append(list, fmt.Sprintf("label %g", w))
	}
	for _, t := range j.objective.terms {
		list = append(list, fmt.Sprintf("%s %g", t.name, t.weight))
	}
	return list
}

// loadTeacher loads the teacher with a head.
func (j *Job) loadTeacher(ctx context.Context, head bert.Head) (err error) {
	o := bert.Options{Threads: j.options.Threads, Precision: j.recipe.TeacherPrecision, Head: head, Device: j.device(j.recipe.TeacherPrecision)}
	if j.teacher, err = bert.Load(ctx, sentence.EncoderDir(j.dir), o); err != nil {
		return fmt.Errorf("the teacher: %w", err)
	}
	j.config = j.teacher.Config() // as it is computed: a file may leave keys open
	if j.id, err = digest(j.teacher); err != nil {
		return err
	}
	return j.teacher.Prepare()
}

// device is the one on which the run in the folder began, nil for the machine's own.
func (j *Job) device(p bert.Precision) *bert.Device {
	if !j.options.Resume || j.options.AllowOtherKernels {
		return nil
	}
	d, _ := bert.OnKernels(train.RecordedKernels(j.options.Output), p) // where it can't be had, train.Run says so
	return d
}

// makeStudent makes the model that learns.
func (j *Job) makeStudent(ctx context.Context, o bert.Options) (*bert.Model, error) {
	o.Threads, o.Precision, o.Seed, o.Device = j.options.Threads, j.recipe.Precision, *j.recipe.Seed, j.device(j.recipe.Precision)
	return j.student.make(ctx, o, j.teacher, j.pieces)
}

// learn makes the objective of a student with a head, and starts the teacher.
func (j *Job) learn(student *bert.Model, m *models) error {
	m.teacher, m.student, m.head = j.config, student.Config(), student.Head()
	l, L := m.student.NumHiddenLayers, m.teacher.NumHiddenLayers
	var err error
	if m.layers, err = parseLayerMap(j.recipe.LayerMap, l, L); err != nil {
		return err
	}
	if j.recipe.SentenceWeight > 0 || j.recipe.SentenceCosineWeight > 0 {
		if m.vectors, err = newVectors(j.dir, &m.teacher, &m.student); err != nil {
			return err
		}
	}
	terms, ofTeacher, ofStudent, err := newTerms(&j.recipe, m)
	if err != nil {
		return err
	}
	if j.objective, err = newObjective(nil, student, terms, ofStudent, j.recipe.LabelWeight, *j.recipe.Seed, j.options.Threads); err != nil {
		return err
	}
	var kept *cache
	if j.options.Cache != "" {
		bound := j.options.CacheBytes
		if bound <= 0 {
			bound = DefaultCacheBytes
		}
		asked := sha256.Sum256(fmt.Appendf(slices.Clone(j.id[:]), "%v", ofTeacher))
		if kept, err = openCache(j.options.Cache, asked, bound, j.notes.add); err != nil {
			return err
		}
	}
	j.answers = newTeacher(j.teacher, ofTeacher, j.pieces, kept, j.id)
	j.objective.teacher = j.answers
	return nil
}

// describe makes the fingerprint: what has to be the same when the run is resumed, beside what others compare.
func (j *Job) describe() error {
	r := j.recipe
	r.AugmentModel = "" // a path: taskObjective has the model's digest
	parts, err := recipe.Marshal(&struct {
		Losses
		Augmentation
		Layers     string     `json:"student_layers"`
		Embeddings Embeddings `json:"student_embeddings"`
	}{r.Losses, r.Augmentation, r.StudentLayers, r.Embeddings})
	if err != nil {
		return err
	}
	j.print = map[string]string{
		"teacher": hex.EncodeToString(j.id[:8]), "distill": strings.Join(strings.Fields(string(parts)), " "),
	}
	return nil
}

// Result is how a run ended.
type Result struct {
	Output   string // the model directory
	Training train.Result
	// Evaluation is that of the model that was saved; nil without data to evaluate on, and on plain text.
	Evaluation *task.Result
}

// Run trains the student, evaluates it and writes its model directory: for a task as finetune.Job.Run does; on plain text without
// task.json and eval_results.json and, where vectors of sentences were learnt, with the pipeline of sentence-transformers that makes them.
// observe, which may be nil, hears what happens. Errors are those of train.Run.
func (j *Job) Run(ctx context.Context, observe train.Observer) (*Result, error) {
	if j.teacher == nil {
		return nil, fmt.Errorf("the job is %w", bert.ErrClosed)
	}
	if observe == nil {
		observe = func(train.Event) {}
	}
	heard := func(e train.Event) {
		for _, note := range j.notes.take() {
			observe(train.Note{Text: note, Warning: true})
		}
		observe(e)
	}
	if j.text != nil {
		trained, err := j.text.run(ctx, heard)
		if err != nil {
			return nil, err
		}
		return &Result{Output: j.options.Output, Training: trained}, nil
	}
	r, err := j.task.Run(ctx, heard)
	if err != nil {
		return nil, err
	}
	return &Result{r.Output, r.Training, r.Evaluation}, nil
}
