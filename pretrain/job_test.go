package pretrain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/train"
)

// runFiles are what runs of the tests read: sets of instances and a configuration, made once for a test.
type runFiles struct{ short, long, packed, config string }

func makeRunFiles(t *testing.T) runFiles {
	t.Helper()
	dir := t.TempDir()
	f := runFiles{filepath.Join(dir, "short"), filepath.Join(dir, "long"), filepath.Join(dir, "packed"), filepath.Join(dir, "config.json")}
	for path, change := range map[string]func(*InstanceOptions){
		f.short:  func(o *InstanceOptions) { o.MaxSeqLength = 20 },
		f.long:   func(o *InstanceOptions) { o.Dynamic, o.DupeFactor = true, 1 },
		f.packed: func(o *InstanceOptions) { o.NextSentence = false },
	} {
		o := testOptions()
		change(&o)
		run(t, testJob(t, testText(12), path, o))
	}
	c := bert.DefaultConfig()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize, c.MaxPositionEmbeddings = len(testVocabulary()), 12, 2, 2, 20, 40
	writeConfig(t, f.config, c)
	return f
}

func writeConfig(t *testing.T, path string, c bert.Config) {
	t.Helper()
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// pretrainOnce runs a recipe.
func pretrainOnce(ctx context.Context, r Recipe, o Options, observe train.Observer) (*Result, error) {
	job, err := r.Prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	result, err := job.Run(ctx, observe)
	return result, errors.Join(err, job.Close())
}

func mustRead(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestJob: a run is a function of its recipe. It gives the same bits when it was interrupted on either side of a change of
// phases, on other numbers of threads, and from the recipe.json that it leaves.
func TestJob(t *testing.T) {
	f := makeRunFiles(t)
	r := Recipe{
		Instances: []string{f.short, f.long}, PhaseSteps: []int{12, 8}, Config: f.config, BatchSize: PerPhase{6, 4},
		EvalShare: 0.3, MaxEvalInstances: 10,
		Training: Training{LearningRate: 5e-3, Optimizer: train.LAMB, EvalSteps: 10, SaveSteps: new(5), BestMetric: "masked_lm_loss"},
	}
	whole := filepath.Join(t.TempDir(), "whole")
	var evaluating, steps int
	share := false
	result, err := pretrainOnce(t.Context(), r, Options{Output: whole, Threads: 1, Peak: func(p bert.Precision) (float64, error) {
		if p != bert.Float32 {
			t.Errorf("the peak of %v is asked for", p)
		}
		return 1e15, nil
	}}, func(e train.Event) {
		switch e := e.(type) {
		case train.Evaluating:
			evaluating++
		case train.Stepped:
			steps++
			share = share || e.ShareOfPeak > 0
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if steps != 20 || evaluating == 0 || !share {
		t.Errorf("heard of %d steps, %d times of an evaluation, of a share of the peak %v; want 20, some, true", steps, evaluating, share)
	}
	e := result.Evaluation
	if result.Output != whole || result.Training.Steps != 20 || e == nil || e.NextSentence == nil || e.Instances != 10 || e.GlobalStep != result.Training.ModelStep {
		t.Errorf("the result is %+v, %+v", result, e)
	}
	var saved Evaluation
	if err := json.Unmarshal(mustRead(t, whole, ResultsFile), &saved); err != nil || !reflect.DeepEqual(&saved, e) {
		t.Errorf("%s holds %+v, %v; want %+v", ResultsFile, saved, err, e)
	}
	if !bytes.Equal(mustRead(t, whole, "vocab.txt"), mustRead(t, f.short, "vocab.txt")) {
		t.Error("the vocabulary is not that of the instances")
	}
	same := func(t *testing.T, dir string) {
		t.Helper()
		for _, name := range []string{"model.safetensors", ResultsFile, RecipeFile} {
			if !bytes.Equal(mustRead(t, dir, name), mustRead(t, whole, name)) {
				t.Errorf("%s is another", name)
			}
		}
	}
	again, err := ReadRecipe(filepath.Join(whole, RecipeFile))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, r.WithDefaults()) {
		t.Errorf("%s holds\n%+v, want\n%+v", RecipeFile, again, r.WithDefaults())
	}
	dir := t.TempDir()
	if _, err := pretrainOnce(t.Context(), again, Options{Output: dir, Threads: 3}, nil); err != nil {
		t.Fatal(err)
	}
	same(t, dir)
	for _, at := range []int{7, 12, 15} {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := pretrainOnce(ctx, r, Options{Output: dir, Threads: 2}, func(e train.Event) {
			if e, ok := e.(train.Stepped); ok && e.Step == at {
				cancel()
			}
		})
		var interrupted *train.InterruptedError
		if !errors.As(err, &interrupted) || interrupted.Step != at {
			t.Fatalf("interrupted at step %d: %v", at, err)
		}
		if _, err := pretrainOnce(t.Context(), r, Options{Output: dir, Resume: true}, nil); err != nil {
			t.Fatal(err)
		}
		same(t, dir)
	}
	// A run that has ended is not begun again, and one with another recipe is not resumed.
	var finished *train.FinishedError
	if _, err := pretrainOnce(t.Context(), r, Options{Output: whole, Resume: true}, nil); !errors.As(err, &finished) {
		t.Errorf("resumed after its end: %v", err)
	}
	r.LearningRate = 1e-3
	if _, err := pretrainOnce(t.Context(), r, Options{Output: whole, Resume: true}, nil); err == nil || !strings.Contains(err.Error(), "learning_rate") {
		t.Errorf("resumed with another rate: %v", err)
	}
	same(t, whole)
}

// TestFingerprint: what checkpoints of earlier releases have to be resumed with.
func TestFingerprint(t *testing.T) {
	f := makeRunFiles(t)
	r := Recipe{Instances: []string{f.short, f.long}, EvalInstances: f.short, EvalShare: 0.25, MaxEvalInstances: 9}
	s, err := openSets(t.Context(), r.Instances, r.EvalInstances, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	c, err := bert.LoadConfig(f.config)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.fingerprint(&c, s)
	if err != nil {
		t.Fatal(err)
	}
	const (
		short = "561b47b03dc1b5cfcdd672e19b35cc3f0d193e21448fee4db9ea8c2a4cf887e6"
		long  = "ce5de2311402187523c475c1fca471cf2c47016b5e97c7431630a494bea93ca1"
	)
	want := map[string]string{
		"config": "dc731474a3264ce4", "head": "BertForPreTraining", "instances": short + "," + long,
		"eval_instances": short, "eval_share": "0.25", "max_eval_instances": "9",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the fingerprint is\n%v, want\n%v", got, want)
	}
}

// TestPrepare: what does not fit is said before anything is trained.
func TestPrepare(t *testing.T) {
	f := makeRunFiles(t)
	c, err := bert.LoadConfig(f.config)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	variant := func(name string, change func(*bert.Config)) string {
		changed := c
		change(&changed)
		path := filepath.Join(dir, name)
		writeConfig(t, path, changed)
		return path
	}
	misspelt := filepath.Join(dir, "misspelt.json")
	text := bytes.Replace(mustRead(t, filepath.Dir(f.config), "config.json"), []byte("{"), []byte(`{"hidden_sice": 3,`), 1)
	if err := os.WriteFile(misspelt, text, 0o666); err != nil {
		t.Fatal(err)
	}
	model := filepath.Join(dir, "model")
	if _, err := pretrainOnce(t.Context(), Recipe{Instances: []string{f.short}, Config: f.config, MaxSteps: 1}, Options{Output: model}, nil); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other")
	if err := os.CopyFS(other, os.DirFS(model)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"vocab.txt", "tokenizer.json"} {
		data := bytes.ReplaceAll(mustRead(t, model, name), []byte("film"), []byte("book"))
		if err := os.WriteFile(filepath.Join(other, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	var (
		length *LengthError
		output *train.OutputError
		wrong  *recipe.Error
	)
	for _, test := range []struct {
		name   string
		change func(*Recipe, *Options)
		as     any // nil: any error
		want   string
	}{
		{"no instances", func(r *Recipe, _ *Options) { r.Instances = []string{filepath.Join(dir, "none")} }, nil, "none: no such file or directory"},
		{"too long", func(r *Recipe, _ *Options) {
			r.Config = variant("few.json", func(c *bert.Config) { c.MaxPositionEmbeddings = 16 })
		}, &length, "short: the longest instance has 20 tokens, the model 16 positions: want shorter instances"},
		{"another vocabulary", func(r *Recipe, _ *Options) { r.Config, r.Init = "", other }, nil, `"book", in ` + f.short + ` it is "film"`},
		{"another size of the vocabulary", func(r *Recipe, _ *Options) {
			r.Config = variant("small.json", func(c *bert.Config) { c.VocabSize = 60 })
		}, nil, "small.json: vocab_size is 60, the vocabulary has 73 tokens: want that (" + f.short + ")"},
		{"an unknown key", func(r *Recipe, _ *Options) { r.Config = misspelt }, nil, `misspelt.json: unknown key "hidden_sice": take it out`},
		{"another configuration than the model's", func(r *Recipe, _ *Options) {
			r.Config, r.Init = variant("deep.json", func(c *bert.Config) { c.NumHiddenLayers = 3 }), model
		}, nil, "num_hidden_layers is 3, but 2 in the model"},
		{"no pairs to evaluate on", func(r *Recipe, _ *Options) { r.EvalInstances = f.packed }, nil, "these instances are no pairs, as those in"},
		{"an unknown metric", func(r *Recipe, _ *Options) { r.EvalInstances, r.BestMetric = f.short, "acc" }, &wrong,
			`metric_for_best_model is "acc", want one of loss, masked_lm_accuracy, masked_lm_loss, next_sentence_accuracy, next_sentence_loss`},
		{"a metric that packed instances have not", func(r *Recipe, _ *Options) {
			r.Instances, r.EvalInstances, r.BestMetric = []string{f.packed}, f.packed, "next_sentence_loss"
		}, &wrong, `want one of loss, masked_lm_accuracy, masked_lm_loss`},
		{"no output", func(_ *Recipe, o *Options) { o.Output = "" }, nil, "no output folder"},
		{"a model in the output", func(_ *Recipe, o *Options) { o.Output = model }, &output, "there is a model in this folder"},
		{"the model to begin with in the output", func(r *Recipe, o *Options) { r.Config, r.Init, o.Output = "", model, model }, &output, "this is the folder of the model to begin with"},
		{"an unknown name", func(r *Recipe, o *Options) {
			r.Config, r.Init, o.Resolve = "", "name", func(context.Context, string) (string, error) { return "", fs.ErrNotExist }
		}, nil, "file does not exist"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, o := Recipe{Instances: []string{f.short}, Config: f.config, MaxSteps: 1}, Options{Output: filepath.Join(dir, "out")}
			test.change(&r, &o)
			job, err := r.Prepare(t.Context(), o)
			if err == nil {
				job.Close()
			}
			wantError(t, err, test.want)
			if test.as != nil && !errors.As(err, test.as) {
				t.Errorf("the error is a %T", err)
			}
		})
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Recipe{Instances: []string{f.short}, Config: f.config}).Prepare(gone, Options{Output: filepath.Join(dir, "out")}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context's end: %v", err)
	}

	// Rows of the embedding beyond the vocabulary are padding.
	padded := Recipe{Instances: []string{f.short}, Config: variant("padded.json", func(c *bert.Config) { c.VocabSize += 55 })}
	if job, err := padded.Prepare(t.Context(), Options{Output: filepath.Join(dir, "out")}); err != nil {
		t.Errorf("a padded embedding: %v", err)
	} else if err := job.Close(); err != nil {
		t.Error(err)
	}

	// A name is resolved, and stays the name in recipe.json.
	named := filepath.Join(dir, "named")
	r := Recipe{Instances: []string{f.packed}, Init: "my-model", MaxSteps: 1}
	job, err := r.Prepare(t.Context(), Options{Output: named, Resolve: func(_ context.Context, name string) (string, error) {
		return model, map[bool]error{false: fs.ErrNotExist}[name == "my-model"]
	}})
	if err != nil {
		t.Fatal(err)
	}
	if h := job.Model().Head(); h != bert.MaskedLM || job.Evaluated() != nil || len(job.Training()) != 1 || job.Training()[0].Path() != f.packed {
		t.Errorf("a %v, evaluated on %v", h, job.Evaluated())
	}
	if result, err := job.Run(t.Context(), nil); err != nil || result.Evaluation != nil {
		t.Errorf("%+v, %v", result, err)
	}
	if err := job.Close(); err != nil {
		t.Error(err)
	}
	if _, err := job.Run(t.Context(), nil); !errors.Is(err, bert.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if text := string(mustRead(t, named, RecipeFile)); !strings.Contains(text, `"init": "my-model"`) {
		t.Errorf("%s is %s", RecipeFile, text)
	}
}

// TestEvaluator: an evaluator measures at the precision that it is asked for, and what it finds is what the run found.
func TestEvaluator(t *testing.T) {
	f := makeRunFiles(t)
	model := filepath.Join(t.TempDir(), "model")
	r := Recipe{Instances: []string{f.short}, Config: f.config, MaxSteps: 5, EvalInstances: f.long, Training: Training{LearningRate: 1e-2}}
	result, err := pretrainOnce(t.Context(), r, Options{Output: model}, nil)
	if err != nil {
		t.Fatal(err)
	}
	measure := func(instances string, o EvaluatorOptions) *Evaluation {
		t.Helper()
		e, err := OpenEvaluator(t.Context(), model, instances, o)
		if err != nil {
			t.Fatal(err)
		}
		done := 0
		got, err := e.Evaluate(t.Context(), func(n, _ int) { done = n })
		if err != nil {
			t.Fatal(err)
		}
		if done != got.Instances || e.Set().Path() != instances {
			t.Errorf("%s: told of %d instances of %d", e.Set().Path(), done, got.Instances)
		}
		if err := errors.Join(e.Close(), e.Close()); err != nil {
			t.Error(err)
		}
		if _, err := e.Evaluate(t.Context(), nil); !errors.Is(err, bert.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		return got
	}
	if got := measure(f.long, EvaluatorOptions{}); !reflect.DeepEqual(got, result.Evaluation) {
		t.Errorf("%+v, the run found %+v", got, result.Evaluation)
	}
	low := measure(f.long, EvaluatorOptions{Precision: bert.BFloat16, Threads: 1})
	if low.Precision != bert.BFloat16 || low.Loss == result.Evaluation.Loss || !strings.Contains(low.String(), "step 5 in bf16: ") {
		t.Errorf("in bf16: %v, want another loss than %v", low, result.Evaluation)
	}
	if got := measure(f.long, EvaluatorOptions{MaxInstances: 3}); got.Instances != 3 {
		t.Errorf("%d instances, want 3", got.Instances)
	}
	if got := measure(f.packed, EvaluatorOptions{}); got.NextSentence != nil {
		t.Errorf("of instances that are no pairs: %v", got)
	}
	if _, err := OpenEvaluator(t.Context(), filepath.Join(model, "none"), f.long, EvaluatorOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no model: %v", err)
	}
}

// TestOpenCancelled: files are not opened for a caller that has gone away.
func TestOpenCancelled(t *testing.T) {
	f := makeRunFiles(t)
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if s, err := Open(ctx, f.short); err != gone {
		t.Errorf("%v, %v; want the cause", s, err)
	}
}

// TestRecipe: keys are strict, mistakes name theirs, and a recipe survives JSON.
func TestRecipe(t *testing.T) {
	var r Recipe
	text := `{"instances": ["a", "b"], "phase_steps": [9, 1], "train_batch_size": [8, 4], "config": "c.json", "precision": "bf16",
		"optimizer": "lamb", "warmup_steps": 0, "eval_instances": "e", "save_steps": 0, "seed": 0}`
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	want := Recipe{
		Instances: []string{"a", "b"}, PhaseSteps: []int{9, 1}, BatchSize: PerPhase{8, 4}, Config: "c.json", Precision: bert.BFloat16, EvalInstances: "e",
		Training: Training{Optimizer: train.LAMB, WarmupSteps: new(0), SaveSteps: new(0), Seed: new(uint64(0))},
	}
	if !reflect.DeepEqual(r, want) {
		t.Fatalf("read\n%+v, want\n%+v", r, want)
	}
	if err := r.Validate(); err != nil {
		t.Error(err)
	}
	for _, r := range []Recipe{r, r.WithDefaults(), (Recipe{}).WithDefaults(), {TokenBudget: PerPhase{64}}} {
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var again Recipe
		if err := json.Unmarshal(data, &again); err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%s reads as\n%+v, %v; want\n%+v", data, again, err, r)
		}
	}
	d := (Recipe{}).WithDefaults()
	if d.LearningRate != 5e-5 || d.MaxSteps != 100000 || *d.SaveSteps != 1000 || !slices.Equal(d.BatchSize, PerPhase{32}) || d.Epochs != 0 || *d.Seed != 42 {
		t.Errorf("the defaults are %+v", d)
	}
	for _, given := range []Recipe{{PhaseSteps: []int{7}}, {Training: Training{Epochs: 2}}} {
		if d := given.WithDefaults(); d.MaxSteps != 0 {
			t.Errorf("%+v has %d steps by default", given, d.MaxSteps)
		}
	}

	var unknown *recipe.UnknownKeyError
	if err := json.Unmarshal([]byte(`{"instance": ["a"]}`), &r); !errors.As(err, &unknown) || unknown.Key != "instance" {
		t.Errorf("an unknown key: %v", err)
	}
	var wrong *recipe.Error
	for text, key := range map[string]string{
		`{"train_batch_size": "many"}`: "train_batch_size", `{"learning_rate": 0}`: "learning_rate", `{"precision": "fp8"}`: "precision", `{"instances": "a"}`: "instances",
	} {
		if err := json.Unmarshal([]byte(text), &r); !errors.As(err, &wrong) || wrong.Key != key {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := r.Set("token_budget", "100,200"); err != nil || !slices.Equal(r.TokenBudget, PerPhase{100, 200}) {
		t.Errorf("%v, %v", r.TokenBudget, err)
	}
	for _, test := range []struct {
		key    string
		change func(*Recipe)
	}{
		{"instances", func(r *Recipe) { r.Instances = nil }},
		{"instances", func(r *Recipe) { r.Instances[0] = "" }},
		{"config", func(r *Recipe) { r.Config = "" }},
		{"allow_missing", func(r *Recipe) { r.AllowMissing = true }},
		{"phase_steps", func(r *Recipe) { r.PhaseSteps = nil }},
		{"phase_steps", func(r *Recipe) { r.PhaseSteps = []int{1, 2, 3} }},
		{"phase_steps", func(r *Recipe) { r.PhaseSteps = []int{1, 0} }},
		{"num_train_steps", func(r *Recipe) { r.MaxSteps = 10 }},
		{"num_train_steps", func(r *Recipe) { r.Instances, r.PhaseSteps, r.MaxSteps = []string{"a"}, nil, -1 }},
		{"num_train_epochs", func(r *Recipe) { r.Epochs = 1 }},
		{"num_train_epochs", func(r *Recipe) { r.Instances, r.PhaseSteps, r.Epochs = []string{"a"}, nil, -1 }},
		{"max_steps", func(r *Recipe) { r.Training.MaxSteps = 10 }},
		{"train_batch_size", func(r *Recipe) { r.BatchSize = PerPhase{1, 2, 3} }},
		{"train_batch_size", func(r *Recipe) { r.BatchSize = PerPhase{0} }},
		{"train_batch_size", func(r *Recipe) { r.Training.BatchSize = 8 }},
		{"token_budget", func(r *Recipe) { r.BatchSize, r.TokenBudget = PerPhase{1}, PerPhase{64} }},
		{"token_budget", func(r *Recipe) { r.TokenBudget = PerPhase{64, 65, 66} }},
		{"token_budget", func(r *Recipe) { r.TokenBudget = PerPhase{64, -1} }},
		{"gradient_accumulation_steps", func(r *Recipe) { r.BatchSize, r.Accumulation = PerPhase{8, 4}, 2 }},
		{"eval_share", func(r *Recipe) { r.EvalShare = 1 }},
		{"eval_share", func(r *Recipe) { r.EvalInstances, r.EvalShare = "e", 0.5 }},
		{"max_eval_instances", func(r *Recipe) { r.MaxEvalInstances = -1 }},
		{"eval_steps", func(r *Recipe) { r.EvalSteps = 5 }},
		{"metric_for_best_model", func(r *Recipe) { r.BestMetric = "loss" }},
		{"learning_rate", func(r *Recipe) { r.LearningRate = -1 }},
		{"early_stopping_patience", func(r *Recipe) { r.EarlyStop = 2 }},
	} {
		r := Recipe{Instances: []string{"a", "b"}, PhaseSteps: []int{9, 1}, Config: "c"}
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		test.change(&r)
		if err := r.Validate(); !errors.As(err, &wrong) || wrong.Key != test.key {
			t.Errorf("%+v: %v; want a mistake in %s", r, err, test.key)
		}
	}
}
