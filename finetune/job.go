package finetune

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// Options say where a run goes and how it computes: nothing that changes the result.
type Options struct {
	// Output is the folder that becomes the model directory.
	Output string
	// Resume goes on from the newest checkpoint in Output, or begins where there is none.
	Resume  bool
	Threads int // 0: as many as the machine has
	// AllowOtherKernels is train.Options.AllowOtherKernels. Without it, a run that is resumed computes as the processor did on
	// which it began, if this machine can.
	AllowOtherKernels bool
	// Stdin, if not nil, is what the path "-" of the data stands for.
	Stdin io.Reader
	// Datasets, if not nil, shares data sets with other jobs.
	Datasets *Datasets
	// Stop is train.Options.Stop.
	Stop func(train.Evaluated) bool
	// Group is train.Options.Group: the processes that share the run. All of them read the data and the model, by the same paths; Output is
	// rank 0's. Each prepares its Job at the same time, since they agree on what goes wrong.
	Group train.Group
	// SaveOutcomes writes what the model says of each example of the evaluation data beside the results (task.OutcomesFile).
	SaveOutcomes bool

	begun train.Begun // the run to resume
}

// device is the one on which the run in the folder began, nil for the machine's own.
func (o *Options) device(p bert.Precision) *bert.Device {
	if !o.Resume || o.AllowOtherKernels {
		return nil
	}
	d, _ := bert.OnKernels(o.begun.Kernels, p) // where it can't be had, train.Run says so
	return d
}

// leader says that this process writes to the folder.
func (o *Options) leader() bool { return o.Group == nil || o.Group.Rank() == 0 }

// Job is a run that is ready to begin. It is not for use by many goroutines.
type Job struct {
	parts   Parts
	options Options
	// recipe is what the job was made of; nil if NewJob made it.
	recipe   *Recipe
	training Training
	// fingerprint is what has to be the same when the run is resumed, beside the training.
	fingerprint map[string]string
	skipped     []Skipped
	evalSkipped int
	alike       []data.Alike
	unknown     []string
	notes       []string
	// bestThreshold says that the model takes the threshold of no answer that is the best of the evaluation.
	bestThreshold bool
	release       func()
}

// Parts are a model and the data that it learns.
type Parts struct {
	Model     *bert.Model
	Tokenizer *tokenizer.Tokenizer
	Spec      task.Spec
	Train     *task.Dataset
	Eval      *task.Dataset // nil: none
}

// Prepare reads the model and the data. The small files come first, so that mistakes in them are found at once. What is wrong
// with the recipe is a *recipe.Error, an output folder with a model in it a *train.OutputError, and a bad record of the data a
// *data.SourceError. The caller closes the job.
func (r Recipe) Prepare(ctx context.Context, o Options) (*Job, error) {
	var err error
	if o.begun, err = train.Recorded(o.Output, o.Resume, o.Group); err != nil {
		return nil, err
	}
	j, err := r.prepare(ctx, o)
	if err := train.Agree(o.Group, err); err != nil {
		if j != nil {
			err = errors.Join(err, j.Close())
		}
		return nil, err
	}
	return j, nil
}

// prepare is Prepare on this process.
func (r Recipe) prepare(ctx context.Context, o Options) (*Job, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if o.leader() {
		if err := train.CheckOutput(o.Output, o.Resume, r.Dir); err != nil {
			return nil, err
		}
	}
	if parts, err := r.DecideParts(o.begun, o.Group); err != nil {
		return nil, err
	} else if parts > 1 {
		r.Parts = parts // the recipe that is written makes the same run on one process
	}
	t, err := r.lookup()
	if err != nil {
		return nil, err
	}
	config, tok, err := r.load()
	if err != nil {
		return nil, err
	}
	key, err := r.dataKey()
	if err != nil {
		return nil, err
	}
	d, release, err := o.Datasets.get(ctx, key, func() (*sets, error) { return r.read(ctx, t, &config, tok, o.Stdin) })
	if err != nil {
		return nil, err
	}
	j := &Job{
		parts:   Parts{Tokenizer: tok, Spec: d.spec, Train: d.train, Eval: d.eval},
		options: o, recipe: &r, training: r.Training, skipped: d.skipped, evalSkipped: d.evalSkipped, alike: d.alike, unknown: config.Unknown, notes: r.notes(),
		bestThreshold: r.NullThreshold == nil, release: release,
	}
	if err := j.begin(ctx, config, d); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return j, nil
}

// begin makes the model, and what has to be known of the run before it begins.
func (j *Job) begin(ctx context.Context, config bert.Config, d *sets) (err error) {
	if j.training.BestMetric, err = j.recipe.bestMetric(&j.parts.Spec, d.eval != nil); err != nil {
		return err
	}
	if j.recipe.Config != "" { // before there is memory for it
		if err := config.CheckVocabulary(j.parts.Tokenizer.VocabSize()); err != nil {
			return fmt.Errorf("%s: %w (%s)", j.recipe.Config, err, j.recipe.Vocab)
		}
	}
	if j.parts.Model, err = j.recipe.model(ctx, config, &j.parts.Spec, &j.options); err != nil {
		return err
	}
	if err := j.parts.Model.CheckVocabulary(j.parts.Tokenizer.VocabSize()); err != nil {
		return fmt.Errorf("%s: %w", cmp.Or(j.recipe.Vocab, j.recipe.Dir), err)
	}
	j.fingerprint, err = j.parts.fingerprint(d.trainDigest, d.evalDigest)
	return err
}

// load reads the configuration and the tokenizer.
func (r *Recipe) load() (bert.Config, *tokenizer.Tokenizer, error) {
	path := r.Config
	dir, err := bert.ModelDir(sentence.EncoderDir(r.Dir))
	switch {
	case path == "" && err != nil:
		return bert.Config{}, nil, err
	case path == "":
		path = dir
	}
	config, err := bert.LoadConfig(path)
	if err != nil {
		return config, nil, err
	}
	if r.Config != "" && len(config.Unknown) > 0 {
		// Of a new model, unlike of a published one, a misspelt key would be found out only much later.
		return config, nil, fmt.Errorf("%s: unknown key %q: take it out, or correct its spelling", path, config.Unknown[0])
	}
	if r.Vocab == "" {
		tok, err := tokenizer.Load(bert.TokenizerDir(dir, ""))
		return config, tok, err
	}
	c := tokenizer.DefaultConfig()
	c.LowerCase = !r.Cased
	if r.Google {
		c = tokenizer.GoogleConfig(!r.Cased)
	}
	tok, err := tokenizer.LoadVocab(r.Vocab, c)
	return config, tok, err
}

// model makes the model to begin with.
func (r *Recipe) model(ctx context.Context, config bert.Config, d *task.Spec, options *Options) (*bert.Model, error) {
	o := bert.Options{
		Device: options.device(r.Precision), Threads: options.Threads, Precision: r.Precision, Dequantize: true, Head: d.Kind.Head(), Labels: d.Labels, ProblemType: d.Kind.ProblemType(),
		NewHead: true, AllowMissing: r.AllowMissing, GELU: r.GELU, Seed: *r.Training.WithDefaults().Seed,
	}
	if r.Config == "" {
		return bert.Load(ctx, sentence.EncoderDir(r.Dir), o)
	}
	m, err := bert.New(config, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Config, err)
	}
	return m, nil
}

// NewJob makes a job of a model and data that are in memory. The training's metric, if it has one, is a name of
// task.Spec.MetricNames or MainMetric. Closing the job closes the model.
func NewJob(p Parts, training Training, o Options) (*Job, error) {
	if err := training.Validate(); err != nil {
		return nil, err
	}
	if o.Output == "" {
		return nil, train.ErrNoOutput
	}
	j := &Job{parts: p, options: o, training: training, release: func() {}}
	var err error
	r := Recipe{Training: training}
	if j.training.BestMetric, err = r.bestMetric(&p.Spec, p.Eval != nil); err != nil {
		return nil, err
	}
	trainDigest, err := digestOf(p.Train)
	if err != nil {
		return nil, err
	}
	evalDigest := ""
	if p.Eval != nil {
		if evalDigest, err = digestOf(p.Eval); err != nil {
			return nil, err
		}
	}
	j.fingerprint, err = p.fingerprint(trainDigest, evalDigest)
	return j, err
}

// Close frees the model.
func (j *Job) Close() error {
	j.release()
	if j.parts.Model == nil {
		return nil
	}
	return j.parts.Model.Close()
}

// Parts are the model and the data. They are the job's.
func (j *Job) Parts() Parts { return j.parts }

// Skipped are the bad records and the comments that were left out, by file.
func (j *Job) Skipped() []Skipped { return j.skipped }

// AlikeLabels are labels of the training data that differ so little, from one another or from those of the model to begin with, that
// they are probably one. The model learns them as they are.
func (j *Job) AlikeLabels() []data.Alike { return j.alike }

// remarks are what was left out, for the record of the run.
func (j *Job) remarks() map[string]string {
	var records, comments []string
	for _, s := range j.skipped {
		if s.Count > 0 {
			records = append(records, fmt.Sprintf("%s: %d", s.Path, s.Count))
		}
		if s.Comments > 0 {
			comments = append(comments, fmt.Sprintf("%s: %d", s.Path, s.Comments))
		}
	}
	remarks := make(map[string]string)
	for name, of := range map[string][]string{"skipped_records": records, "comment_lines": comments} {
		if of != nil {
			remarks[name] = strings.Join(of, ", ")
		}
	}
	return remarks
}

// UnknownKeys are the keys of the model's config.json that mean nothing here.
func (j *Job) UnknownKeys() []string { return j.unknown }

// Notes are sentences about what the model that is written does not have of the one to begin with.
func (j *Job) Notes() []string { return j.notes }

// notes is Notes before the job is made.
func (r *Recipe) notes() []string {
	if r.Dir == "" {
		return nil
	}
	dir, err := bert.ModelDir(r.Dir)
	if err != nil {
		return nil // as loading will say
	}
	p, err := sentence.Load(dir, 0)
	switch {
	case err == nil && !p.CrossEncoder:
		return []string{fmt.Sprintf("the pipeline of %s (%v) makes vectors of texts: the fine-tuned model has its head in place of it", r.Dir, p)}
	case p != nil:
		return []string{fmt.Sprintf("the modules of %s are those of sentence-transformers: the fine-tuned model has its head in place of them", r.Dir)}
	}
	return nil
}

// Output is the folder that the job writes to.
func (j *Job) Output() string { return j.options.Output }

// BestMetric is the metric that the model is chosen by, or the main one of its task where none chooses.
func (j *Job) BestMetric() string {
	_, official := j.parts.Spec.MetricNames()
	return cmp.Or(j.training.BestMetric, official[0])
}

// Result is how a run ended.
type Result struct {
	Output   string // the model directory
	Training train.Result
	// Evaluation is that of the model that was saved; nil without data to evaluate on, and on other ranks of a group than 0.
	Evaluation *task.Result
}

// Run trains the model, evaluates it and writes the model directory: the model, its tokenizer, task.json, eval_results.json and
// recipe.json, beside what train.Run writes. observe, which may be nil, hears what happens, first the notes about the tokenizer.
//
// Errors are those of train.Run. A run has ended when all of these files are written; resuming one that lacks some writes
// them, with the same bytes.
func (j *Job) Run(ctx context.Context, observe train.Observer) (*Result, error) {
	if observe == nil {
		observe = func(train.Event) {}
	}
	for _, note := range j.parts.Tokenizer.NotesFor(j.parts.Model) {
		observe(train.Note{Text: note.Text, Warning: true})
	}
	e := &evaluator{data: j.parts.Eval, skipped: j.evalSkipped, outcomes: j.options.SaveOutcomes}
	o := train.Options{
		Recipe: j.training, Output: j.options.Output, Resume: j.options.Resume, Fingerprint: j.fingerprint, Remarks: j.remarks(),
		EvalEpochs: j.parts.Eval != nil, Minimize: metric.LessIsBetter(j.training.BestMetric),
		Observer: func(event train.Event) {
			e.event(event)
			observe(event)
		},
		Stop: j.options.Stop, AllowOtherKernels: j.options.AllowOtherKernels, Group: j.options.Group,
		Begin: j.writeRecipe, SaveModel: j.save, Missing: j.missing,
	}
	result := &Result{Output: j.options.Output}
	var eval train.Evaluator
	if e.data != nil {
		eval = e
		o.SaveResults = func(ctx context.Context, dir string, trained train.Result) (err error) {
			result.Evaluation, err = j.results(ctx, e, trained, observe)
			if err != nil {
				return err
			}
			return result.Evaluation.Save(dir)
		}
	}
	trained, err := train.Run(ctx, j.parts.Model, j.parts.Train, eval, o)
	if err != nil {
		return nil, j.sources(err)
	}
	result.Training = trained
	return result, nil
}

// results is the evaluation of the trained model, by which it gets its threshold and its metrics.
func (j *Job) results(ctx context.Context, e *evaluator, trained train.Result, observe train.Observer) (measured *task.Result, err error) {
	// The evaluation was made before the run was resumed, if it is not here.
	if measured = e.of(trained.ModelStep); measured == nil {
		if measured, err = task.Evaluate(ctx, j.parts.Model, e.data, task.EvaluateOptions{
			GlobalStep: trained.ModelStep, Skipped: j.evalSkipped, Outcomes: j.options.SaveOutcomes,
			Progress: func(done, all int) {
				observe(train.Evaluating{Step: trained.ModelStep, Steps: trained.Steps, Done: done, All: all})
			},
		}); err != nil {
			return nil, err
		}
	}
	if r, ok := measured.Report.(*task.AnswerReport); ok && j.bestThreshold && j.parts.Spec.Unanswerable {
		if err := r.SetThreshold(r.BestThreshold); err != nil {
			return nil, err
		}
		j.parts.Spec.NullThreshold = r.BestThreshold
		if measured.Outcomes != nil {
			for i := range r.Predictions {
				measured.Outcomes.Examples[i].Answer = &r.Predictions[i].Answer.Text
			}
		}
	}
	if measured.Outcomes != nil {
		measured.Outcomes.AddTexts(e.data, j.parts.Tokenizer)
		if err := measured.Outcomes.AddExplanations(ctx, j.parts.Model, e.data, j.parts.Tokenizer); err != nil {
			return nil, err
		}
	}
	j.parts.Spec.Metrics = measured.Metrics()
	return measured, nil
}

// missing is the name of a file that the folder of a run that has ended lacks, or that doesn't belong to its end; "" if there
// is none.
func (j *Job) missing(dir string) string {
	names := []string{"config.json", "model.safetensors"}
	spec, err := task.LoadSpec(dir)
	if err != nil {
		return task.SpecFile
	}
	if j.parts.Eval != nil {
		if _, err := task.ReadResult(dir); err != nil {
			return task.ResultsFile
		}
		if spec.Metrics == nil {
			return task.SpecFile + " with metrics"
		}
		names = append(names, task.ResultFiles(&spec)...)
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			return name
		}
		if filepath.Ext(name) == ".json" {
			if content, err := os.ReadFile(path); err != nil || !json.Valid(content) {
				return "a whole " + name
			}
		}
	}
	if _, err := tokenizer.Load(dir); err != nil {
		return "the tokenizer"
	}
	return ""
}

// writeRecipe writes the job's recipe, if it has one, into its folder.
func (j *Job) writeRecipe(dir string) error {
	if j.recipe == nil {
		return nil
	}
	return jsonobject.Save(filepath.Join(dir, RecipeFile), j.recipe.WithDefaults())
}

// save writes the model directory. The weights come last: where they are, what says how to use them is.
func (j *Job) save(dir string) error {
	if err := j.parts.Tokenizer.Save(dir, tokenizer.SaveOptions{MaxLength: j.parts.Model.Config().MaxPositionEmbeddings}); err != nil {
		return err
	}
	if err := j.parts.Spec.Save(dir); err != nil {
		return err
	}
	return j.parts.Model.Save(dir, bert.SaveOptions{})
}

// sources adds to a loss that is not finite where the examples of its batch are.
func (j *Job) sources(err error) error {
	var e *train.NonFiniteError
	if !errors.As(err, &e) {
		return err
	}
	const most = 5
	var places []string
	for _, i := range e.Examples[:min(len(e.Examples), most)] {
		places = append(places, j.parts.Train.Source(i).String())
	}
	more := ""
	if n := len(e.Examples) - most; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("%w (%s%s)", err, strings.Join(places, ", "), more)
}

// evaluator measures the model for train.Run and keeps what that does not need.
type evaluator struct {
	data       *task.Dataset
	skipped    int // records of the data
	outcomes   bool
	last, best *task.Result
}

func (e *evaluator) Evaluate(ctx context.Context, m *bert.Model, at train.Point) (train.Evaluation, error) {
	o := task.EvaluateOptions{GlobalStep: at.Step, Skipped: e.skipped, Outcomes: e.outcomes, Progress: at.Progress}
	if at.Share != nil {
		o.Share = at.Share
	}
	r, err := task.Evaluate(ctx, m, e.data, o)
	if err != nil {
		return train.Evaluation{}, err
	}
	e.last = r
	out := train.Evaluation{Loss: r.Loss}
	for _, m := range r.Metrics() {
		if m.Name != train.LossMetric && m.Name != "global_step" { // the run has both anyway
			out.Metrics = append(out.Metrics, m)
		}
	}
	if brief := r.Brief(); brief != nil {
		out.Details, err = json.Marshal(brief)
	}
	return out, err
}

func (e *evaluator) event(event train.Event) {
	if event, ok := event.(train.Evaluated); ok && event.Best {
		e.best = e.last
	}
}

// of is the evaluation after a step, nil if it was not made here.
func (e *evaluator) of(step int) *task.Result {
	for _, r := range []*task.Result{e.last, e.best} {
		if r != nil && r.GlobalStep == step {
			return r
		}
	}
	return nil
}

// fingerprint is what has to be the same when the run is resumed, beside the training: the model's configuration and the
// features of the data. Checkpoints have had these names and values since before there were recipes.
func (p *Parts) fingerprint(trainDigest, evalDigest string) (map[string]string, error) {
	c := p.Model.Config()
	config, err := json.Marshal(&c)
	if err != nil {
		return nil, err
	}
	f := map[string]string{
		"task":           p.Spec.Task,
		"labels":         strings.Join(p.Spec.Labels, ","),
		"kind":           p.Spec.Kind.String(),
		"max_seq_length": fmt.Sprint(p.Spec.MaxSeqLength),
		"config":         digest(config),
		"train_data":     trainDigest,
	}
	if p.Eval != nil {
		f["eval_data"] = evalDigest
	}
	return f, nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// digestOf hashes the features, labels and weights of a data set.
func digestOf(d *task.Dataset) (string, error) {
	var (
		h = sha256.New()
		b bert.Batch
	)
	for i := range d.Len() {
		b.Reset()
		if err := d.Append(&b, i); err != nil {
			return "", err
		}
		for _, part := range []any{
			int64(len(b.IDs)), b.IDs, b.TypeIDs, b.Classes, b.Weights, b.Values, b.TokenClasses, b.From, b.To,
		} {
			if err := binary.Write(h, binary.LittleEndian, part); err != nil {
				return "", err
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}
