package pretrain

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// RecipeFile is the name of a run's Recipe in its folder.
const RecipeFile = "recipe.json"

// Options say where a run goes and what it runs on. But for Stop they don't change its result.
type Options struct {
	// Output is the folder of the run, which becomes a model directory. It is made if it is not there.
	Output string
	// Resume goes on from the newest checkpoint in Output, or begins where there is none.
	Resume bool
	// Threads is the number of threads that compute; 0: as many as there are processors.
	Threads int
	// Resolve, if not nil, turns Recipe.Init into what bert.Load takes, as hub.Resolve does.
	Resolve func(ctx context.Context, name string) (path string, err error)
	// Peak, if not nil, is asked at the beginning of a run how many floating-point operations a second the machine can do at
	// most at a precision. The run's events then say what share of it the run reaches.
	Peak func(bert.Precision) (float64, error)
	// AllowOtherKernels is train.Options.AllowOtherKernels. Without it, a run that is resumed computes as the processor did on
	// which it began, if this machine can.
	AllowOtherKernels bool
	// Stop is train.Options.Stop.
	Stop func(train.Evaluated) bool
	// Group is train.Options.Group: the processes that share the run. All of them read the instances and the model, by the same paths; Output
	// is rank 0's. Each prepares its Job at the same time, since they agree on what goes wrong.
	Group train.Group

	begun train.Begun // the run to resume
}

// leader says that this process writes to the folder.
func (o *Options) leader() bool { return o.Group == nil || o.Group.Rank() == 0 }

// A Job is a pre-training that is ready to run. It holds a model and mapped files until Close.
type Job struct {
	recipe  Recipe // with its defaults
	options Options
	init    string // the path of Recipe.Init; "": random weights

	sets  *sets
	model *bert.Model
	data  train.Data
	eval  Source // nil: none
	// probes are those of Recipe.Probe.
	probes *probes

	fingerprint map[string]string
}

// Prepare opens the instances and the model of a recipe, and checks that all fit together. What is wrong with a value of the
// recipe is a *recipe.Error. The caller closes the job.
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
func (r Recipe) prepare(ctx context.Context, o Options) (_ *Job, err error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if parts, err := r.DecideParts(o.begun, o.Group); err != nil {
		return nil, err
	} else if parts > 1 {
		r.Parts = parts // the recipe that is written makes the same run on one process
	}
	j := &Job{recipe: r.WithDefaults(), options: o, init: r.Init}
	if r.Init != "" && o.Resolve != nil {
		if j.init, err = o.Resolve(ctx, r.Init); err != nil {
			return nil, err
		}
	}
	if o.leader() {
		if err := train.CheckOutput(o.Output, o.Resume, j.init); err != nil {
			return nil, err
		}
	}
	config, modelDir, err := j.loadConfig()
	if err != nil {
		return nil, err
	}
	if j.sets, err = openSets(ctx, r.Instances, r.EvalInstances, modelDir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.Close())
		}
	}()
	if err := j.sets.check(&config); err != nil {
		return nil, err
	}
	head := j.sets.head()
	if err := j.recipe.checkMetric(head); err != nil {
		return nil, err
	}
	if err := j.divide(head); err != nil {
		return nil, err
	}
	if j.probes, err = newProbes(&j.recipe, j.sets.tokenizer, config.MaxPositionEmbeddings); err != nil {
		return nil, err
	}
	if j.fingerprint, err = j.recipe.fingerprint(&config, j.sets); err != nil {
		return nil, err
	}
	tokens := j.sets.tokenizer.VocabSize()
	if j.init == "" { // before there is memory for it
		if err := config.CheckVocabulary(tokens); err != nil {
			return nil, fmt.Errorf("%s: %w (%s)", r.Config, err, j.sets.from)
		}
	}
	if j.model, err = j.open(ctx, config, head); err != nil {
		return nil, err
	}
	if err := j.model.CheckVocabulary(tokens); err != nil {
		return nil, fmt.Errorf("%s: %w", r.Init, err)
	}
	return j, nil
}

// Close lets go of the model and the instances. Only Recipe serves after it.
func (j *Job) Close() error {
	var err error
	if j.model != nil {
		err = j.model.Close()
	}
	err = errors.Join(err, j.sets.close())
	j.model, j.sets = nil, new(sets)
	return err
}

// Recipe is that of the job, with its defaults.
func (j *Job) Recipe() Recipe { return j.recipe }

// Model is the model to train. After Run it is the trained one.
func (j *Job) Model() *bert.Model { return j.model }

// Training are the sets to train on, one for each phase.
func (j *Job) Training() []*Set { return j.sets.training }

// Held is the set of Recipe.EvalInstances, nil without.
func (j *Job) Held() *Set { return j.sets.held }

// Evaluated are the instances to evaluate on: of Held, or those that Recipe.EvalShare takes out of the last phase's. It is nil
// where there are none.
func (j *Job) Evaluated() Source { return j.eval }

// loadConfig reads the configuration of the model to begin with, and finds its folder. If there are both a configuration and
// a model, they have to agree.
func (j *Job) loadConfig() (c bert.Config, modelDir string, err error) {
	r := &j.recipe
	var asked bert.Config
	if r.Config != "" {
		if asked, err = bert.LoadConfig(r.Config); err != nil {
			return c, "", err
		}
		if len(asked.Unknown) > 0 {
			// Of a new model, unlike of somebody else's, a misspelt key would be noticed only much later.
			return c, "", fmt.Errorf("%s: unknown key %q: take it out, or correct its spelling", r.Config, asked.Unknown[0])
		}
	}
	if j.init == "" {
		return asked, "", nil
	}
	if modelDir, err = bert.ModelDir(j.init); err != nil {
		return c, "", err
	}
	if c, err = bert.LoadConfig(modelDir); err != nil || r.Config == "" {
		return c, modelDir, err
	}
	key, want, got, err := differentKey(&asked, &c)
	if err == nil && key != "" {
		err = fmt.Errorf("%s: %s is %s, but %s in the model %s to begin with: leave the configuration out, or begin without the model", r.Config, key, want, got, r.Init)
	}
	return c, modelDir, err
}

// differentKey is the first key, by name, that says something else about the computation in one configuration than in another.
func differentKey(a, b *bert.Config) (key, inA, inB string, err error) {
	keys := func(c bert.Config) (map[string]json.RawMessage, error) {
		c.Architectures, c.Labels, c.ProblemType, c.Extra = nil, nil, bert.ProblemByLabels, nil
		data, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		m := make(map[string]json.RawMessage)
		return m, json.Unmarshal(data, &m)
	}
	of, err := keys(*a)
	if err != nil {
		return "", "", "", err
	}
	other, err := keys(*b)
	if err != nil {
		return "", "", "", err
	}
	all := maps.Clone(of)
	maps.Copy(all, other)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if string(of[k]) != string(other[k]) {
			return k, cmp.Or(string(of[k]), "not set"), cmp.Or(string(other[k]), "not set"), nil
		}
	}
	return "", "", "", nil
}

// divide makes what is trained and evaluated on.
func (j *Job) divide(head bert.Head) (err error) {
	r := &j.recipe
	var sources []Source
	for _, set := range j.sets.training {
		sources = append(sources, set)
	}
	if j.sets.held != nil {
		j.eval = j.sets.held
	}
	if r.EvalShare > 0 {
		last := len(sources) - 1
		if sources[last], j.eval, err = Split(sources[last], r.EvalShare, *r.Seed); err != nil {
			return fmt.Errorf("%s: %w", r.Instances[last], err)
		}
	}
	if j.eval != nil && r.MaxEvalInstances > 0 {
		j.eval = Spread(j.eval, r.MaxEvalInstances)
	}
	var phases train.Phases
	for i, s := range sources {
		d, err := NewData(s, head)
		if err != nil {
			return err
		}
		phase := train.Phase{Data: d}
		if len(r.PhaseSteps) > 0 {
			phase.Steps = r.PhaseSteps[i]
		}
		if len(r.BatchSize) > 1 {
			phase.BatchSize = r.BatchSize[i]
		}
		if len(r.TokenBudget) > 1 {
			phase.TokenBudget = r.TokenBudget[i]
		}
		phases = append(phases, phase)
	}
	if j.data = phases; len(phases) == 1 {
		j.data = phases[0].Data
	}
	return nil
}

// open makes the model to begin with.
func (j *Job) open(ctx context.Context, config bert.Config, head bert.Head) (*bert.Model, error) {
	r := &j.recipe
	o := bert.Options{Threads: j.options.Threads, Precision: r.Precision, Dequantize: true, Head: head, NewHead: true, AllowMissing: r.AllowMissing, Seed: *r.Seed}
	if j.options.Resume && !j.options.AllowOtherKernels {
		o.Device, _ = bert.OnKernels(j.options.begun.Kernels, r.Precision) // without it train.Run says so
	}
	if j.init != "" {
		return bert.Load(ctx, j.init, o)
	}
	m, err := bert.New(config, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Config, err)
	}
	return m, nil
}

// fingerprint is what has to be the same when the run is resumed, beside what package train compares. Runs of earlier releases
// are resumed by these very strings.
func (r Recipe) fingerprint(c *bert.Config, s *sets) (map[string]string, error) {
	config, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(config)
	fields := map[string]string{"config": hex.EncodeToString(sum[:8]), "head": s.head().String()}
	var digests []string
	for _, set := range s.training {
		digests = append(digests, set.Info().SHA256)
	}
	fields["instances"] = strings.Join(digests, ",")
	if s.held != nil {
		fields["eval_instances"] = s.held.Info().SHA256
	}
	if r.EvalShare > 0 {
		fields["eval_share"] = fmt.Sprint(r.EvalShare)
	}
	if r.MaxEvalInstances > 0 {
		fields["max_eval_instances"] = fmt.Sprint(r.MaxEvalInstances)
	}
	return fields, nil
}

// Result is how a run ended.
type Result struct {
	Output   string // the model directory
	Training train.Result
	// Evaluation is that of the model that was saved; nil without instances to evaluate on, and on other ranks of a group than 0.
	Evaluation *Evaluation
}

// Run trains the model, evaluates it and writes the model directory: the model, the vocabulary of the instances,
// eval_results.json and recipe.json, besides what train.Run writes. observe, which may be nil, hears what happens, first the notes
// about the tokenizer.
//
// Errors are those of train.Run. A run has ended when all of these files are written; resuming one that lacks some writes
// them, with the same bytes.
func (j *Job) Run(ctx context.Context, observe train.Observer) (*Result, error) {
	if j.model == nil {
		return nil, fmt.Errorf("the job is %w", bert.ErrClosed)
	}
	if observe == nil {
		observe = func(train.Event) {}
	}
	for _, note := range j.sets.tokenizer.NotesFor(j.model) {
		observe(train.Note{Text: note.Text, Warning: true})
	}
	o := train.Options{
		Recipe: j.recipe.training(), Minimize: j.recipe.minimize(),
		Output: j.options.Output, Resume: j.options.Resume, Fingerprint: j.fingerprint,
		Observer: observe, Stop: j.options.Stop, AllowOtherKernels: j.options.AllowOtherKernels, Group: j.options.Group,
		Begin: j.begin, SaveModel: j.save, Missing: j.missing,
	}
	if j.options.Peak != nil {
		precision, _ := j.model.Precision()
		peak, err := j.options.Peak(precision)
		if err != nil {
			return nil, err
		}
		c := j.model.Config()
		o.Peak = peak
		o.Operations = func(batches []*bert.Batch) float64 { return Operations(&c, batches) }
	}
	var (
		result   = &Result{Output: o.Output}
		eval     train.Evaluator
		measured = &measurer{source: j.eval, tokenizer: j.sets.tokenizer, probes: j.probes, results: make(map[int]*Evaluation)}
	)
	if j.eval != nil {
		eval = measured
		o.SaveResults = func(ctx context.Context, dir string, trained train.Result) (err error) {
			result.Evaluation = measured.results[trained.ModelStep]
			if result.Evaluation == nil { // made before the run was resumed
				at := train.Point{Step: trained.ModelStep, Progress: func(done, all int) {
					observe(train.Evaluating{Step: trained.ModelStep, Steps: trained.Steps, Done: done, All: all})
				}}
				if result.Evaluation, err = measured.measure(ctx, j.model, at); err != nil {
					return err
				}
			}
			return result.Evaluation.Save(dir)
		}
	}
	trained, err := train.Run(ctx, j.model, j.data, eval, o)
	if err != nil {
		return nil, err
	}
	result.Training = trained
	return result, nil
}

// save writes the model directory. The weights come last: where they are, what says how to use them is.
func (j *Job) save(dir string) error {
	return cmp.Or(j.sets.tokenizer.Save(dir, tokenizer.SaveOptions{MaxLength: j.model.Config().MaxPositionEmbeddings}), j.model.Save(dir, bert.SaveOptions{}))
}

// missing is the name of a file that the folder of a run that has ended lacks; "" if there is none.
func (j *Job) missing(dir string) string {
	names := []string{"config.json", "model.safetensors"}
	if j.eval != nil {
		names = append(names, ResultsFile)
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

// begin writes the recipe, with its defaults, into the folder of the run, and what the instances are.
func (j *Job) begin(dir string) error {
	if err := j.saveRecipe(dir); err != nil {
		return err
	}
	return saveTrainingSets(dir, j.sets.training)
}

func (j *Job) saveRecipe(dir string) error {
	data, err := recipe.Marshal(j.recipe)
	if err != nil {
		return err
	}
	return files.WriteFile(filepath.Join(dir, RecipeFile), 0o666, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// measurer measures the model for train.Run and keeps what it found.
type measurer struct {
	source    Source
	tokenizer *tokenizer.Tokenizer
	probes    *probes
	results   map[int]*Evaluation // by step
}

func (e *measurer) measure(ctx context.Context, m *bert.Model, at train.Point) (*Evaluation, error) {
	return Evaluate(ctx, m, e.source, EvaluateOptions{GlobalStep: at.Step, Tokenizer: e.tokenizer, Progress: at.Progress, Share: at.Share})
}

// Evaluate measures the model for package train.
func (e *measurer) Evaluate(ctx context.Context, m *bert.Model, at train.Point) (train.Evaluation, error) {
	r, err := e.measure(ctx, m, at)
	if err != nil {
		return train.Evaluation{}, err
	}
	e.results[at.Step] = r
	details := Details{Breakdown: r.Breakdown}
	if details.Probes, err = e.probes.fill(m); err != nil {
		return train.Evaluation{}, err
	}
	out := train.Evaluation{Loss: r.Loss, Metrics: r.Metrics()}
	out.Details, err = json.Marshal(details)
	return out, err
}
