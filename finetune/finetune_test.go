package finetune

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/tinymodel"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// setting is a folder with a model and data, and a recipe of 6 steps for them.
func setting(t *testing.T) (dir string, r Recipe) {
	t.Helper()
	dir = t.TempDir()
	if err := tinymodel.Save(filepath.Join(dir, "base")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "train.tsv"), "label\ttext\nfun\ta joy\nfun\tgood film\nfun\twas good!\ndull\tdull film\ndull\tbad, bad\ndull\twas the film dull?\n")
	write(t, filepath.Join(dir, "dev.tsv"), "label\ttext\nfun\ta good joy\ndull\ta bad film\n")
	return dir, Recipe{
		Data:     Data{Task: "text", Path: filepath.Join(dir, "train.tsv"), EvalPath: filepath.Join(dir, "dev.tsv"), MaxSeqLength: 16},
		Model:    Model{Dir: filepath.Join(dir, "base")},
		Training: Training{LearningRate: 1e-3, Epochs: 2, BatchSize: 2, SaveSteps: new(2)},
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func mustPrepare(t *testing.T, r Recipe, o Options) *Job {
	t.Helper()
	j, err := r.Prepare(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func mustRun(t *testing.T, r Recipe, o Options) *Result {
	t.Helper()
	result, err := mustPrepare(t, r, o).Run(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestValidate(t *testing.T) {
	_, good := setting(t)
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Recipe){
		"task is missing: want one of imdb":                           func(r *Recipe) { r.Task = "" },
		`task is "glue", want one of imdb`:                            func(r *Recipe) { r.Task = "glue" },
		"data is missing":                                             func(r *Recipe) { r.Path = "" },
		"validation_share is 1, want a share in":                      func(r *Recipe) { r.EvalPath, r.ValidationShare = "", 1 },
		"dev.tsv\", want none beside validation_share":                func(r *Recipe) { r.ValidationShare = 0.5 },
		"data_format is Format(9)":                                    func(r *Recipe) { r.Format = 9 },
		`encoding is "utf-9", want the name of an encoding`:           func(r *Recipe) { r.Encoding = "utf-9" },
		"truncation is Truncation(9)":                                 func(r *Recipe) { r.Truncation = 9 },
		"long is LongText(9)":                                         func(r *Recipe) { r.Long = 9 },
		"max_seq_length is 2, want at least 3":                        func(r *Recipe) { r.MaxSeqLength = 2 },
		"max_train_examples is -1":                                    func(r *Recipe) { r.MaxTrainExamples = -1 },
		"max_eval_examples is -1":                                     func(r *Recipe) { r.MaxEvalExamples = -1 },
		"doc_stride is -1":                                            func(r *Recipe) { r.DocStride = -1 },
		"problem_type: task text is a":                                func(r *Recipe) { r.ProblemType = new(task.MultipleChoice) },
		"model is missing: want the model to begin with, or a config": func(r *Recipe) { r.Dir = "" },
		"base\", want none beside config":                             func(r *Recipe) { r.Config = "x" },
		"vocab is missing":                                            func(r *Recipe) { r.Dir, r.Config = "", "x" },
		"cased is true, want none without a vocab":                    func(r *Recipe) { r.Cased = true },
		"google is true, want none without a vocab":                   func(r *Recipe) { r.Google = true },
		"precision is Precision(9)":                                   func(r *Recipe) { r.Precision = 9 },
		"learning_rate is -1":                                         func(r *Recipe) { r.LearningRate = -1 },
	} {
		r := good
		change(&r)
		err := r.Validate()
		var wrong *recipe.Error
		if err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &wrong) || !slices.Contains(recipe.Keys(&r), wrong.Key) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}

// What is left out of the data is in the job, in the first line of the events and in the results, and the rest is what is trained on:
// with the same bits as without the bad records.
func TestSkipped(t *testing.T) {
	dir, r := setting(t)
	plain := mustRun(t, r, Options{Output: filepath.Join(dir, "plain")})
	if s := read(t, filepath.Join(dir, "plain", "eval_results.json")); strings.Contains(s, "skipped") || plain.Evaluation.Skipped != 0 {
		t.Errorf("%s", s)
	}
	training, dev := read(t, r.Path), read(t, r.EvalPath)
	write(t, r.Path, training+"\nshort\nfun\tcaf\xe9\n")
	write(t, r.EvalPath, dev+"Fun\ta joy\n")
	_, err := r.Prepare(t.Context(), Options{Output: filepath.Join(dir, "out")})
	if e := new(data.SourceError); !errors.As(err, &e) || !e.Skippable || e.Source.Line != 9 {
		t.Errorf("%v", err)
	}
	r.SkipBad = true
	j := mustPrepare(t, r, Options{Output: filepath.Join(dir, "out")})
	var got []string
	for _, s := range j.Skipped() {
		got = append(got, fmt.Sprintf("%s %d", filepath.Base(s.Path), s.Count))
	}
	if want := []string{"train.tsv 2", "dev.tsv 1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	result, err := j.Run(t.Context(), nil)
	if err != nil || result.Evaluation.Skipped != 1 || result.Evaluation.Loss != plain.Evaluation.Loss {
		t.Fatalf("%+v, %v", result, err)
	}
	saved, err := task.ReadResult(filepath.Join(dir, "out"))
	if err != nil || saved.Skipped != 1 || saved.Examples != 2 {
		t.Errorf("%+v, %v", saved, err)
	}
	events := read(t, filepath.Join(dir, "out", "events.jsonl"))
	if first, _, _ := strings.Cut(events, "\n"); !strings.Contains(first, `"skipped_records":"`+r.Path+`: 2, `+r.EvalPath+`: 1"`) {
		t.Errorf("events begin with %s", first)
	}
}

// Labels that differ from one another, or from the model's, in next to nothing are pointed out once each.
func TestAlikeLabels(t *testing.T) {
	dir, r := setting(t)
	r.EvalPath, r.BatchSize = "", 100 // more than there are
	mustRun(t, r, Options{Output: filepath.Join(dir, "first")})
	r.Dir = filepath.Join(dir, "first") // of dull and fun
	write(t, r.Path, strings.Replace(read(t, r.Path), "dull\t", "Dull\t", -1)+"fun \tanother\n")
	j := mustPrepare(t, r, Options{Output: filepath.Join(dir, "second")})
	if got, want := fmt.Sprint(j.AlikeLabels()), `[labels "fun " and "fun" differ by blanks alone labels "Dull" and "dull" differ by letter case alone]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A recipe with a value for every key is written and read back.
func TestRecipeJSON(t *testing.T) {
	_, r := setting(t)
	r.ProblemType, r.Labels, r.ClassWeights, r.Long, r.Truncation = new(task.SingleLabel), []string{"fun", "dull"}, "1,2", task.Windows, tokenizer.OnlyFirst
	r.Encoding = "latin-1"
	r.Format, r.Precision, r.NullThreshold, r.Optimizer = data.TSV, bert.BFloat16, new(0.0), train.LAMB
	text, err := recipe.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "r.json")
	write(t, name, string(text))
	if back, err := ReadRecipe(name); err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("%s\nis read as %+v, %v", text, back, err)
	}
	for _, want := range []string{`"precision": "bf16"`, `"long": "windows"`, `"data_format": "tsv"`, `"optimizer": "lamb"`, `"null_score_diff_threshold": 0`, `"learning_rate": 0.001`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s\nwant %s in it", text, want)
		}
	}
	if text, _ := recipe.Marshal(Recipe{}); string(text) != "{}\n" {
		t.Errorf("the zero recipe is %s", text)
	}
	// No key is there twice, and Set knows all.
	keys := recipe.Keys(&r)
	slices.Sort(keys)
	if unique := slices.Compact(slices.Clone(keys)); len(unique) != len(keys) {
		t.Errorf("keys are %v", keys)
	}
	for _, key := range keys {
		value, _ := recipe.Text(&r, key)
		if value == "" || value == "0" {
			continue
		}
		if err := new(Recipe).Set(key, value); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	write(t, name, "{\n\"task\": \"text\",\n\"batch\": 3}")
	_, err = ReadRecipe(name)
	var unknown *recipe.UnknownKeyError
	if !errors.As(err, &unknown) || unknown.Key != "batch" || !strings.HasPrefix(err.Error(), name+":3: ") {
		t.Errorf("error is %v", err)
	}
}

// A run's recipe.json runs again, to the same bits.
func TestRunAgain(t *testing.T) {
	dir, r := setting(t)
	r.BestMetric, r.Accumulation, r.MaxTrainExamples = MainMetric, 2, 5
	first := mustRun(t, r, Options{Output: filepath.Join(dir, "first")})
	if first.Training.Steps != 2 || first.Evaluation == nil || first.Evaluation.Examples != 2 || first.Evaluation.GlobalStep != first.Training.ModelStep {
		t.Errorf("%+v", first)
	}
	again, err := ReadRecipe(filepath.Join(first.Output, RecipeFile))
	if err != nil {
		t.Fatal(err)
	}
	if again.WeightDecay == nil || *again.Seed != 42 {
		t.Errorf("the defaults are not in %+v", again)
	}
	second := mustRun(t, again, Options{Output: filepath.Join(dir, "second"), Threads: 1})
	for _, name := range []string{"model.safetensors", task.ResultsFile, RecipeFile, task.SpecFile} {
		if read(t, filepath.Join(first.Output, name)) != read(t, filepath.Join(second.Output, name)) {
			t.Errorf("%s differs", name)
		}
	}
}

// A job that was interrupted goes on to the same bits, with the same events but for those of the part before.
func TestInterrupted(t *testing.T) {
	dir, r := setting(t)
	whole := mustRun(t, r, Options{Output: filepath.Join(dir, "whole"), SaveOutcomes: true})
	ctx, cancel := context.WithCancel(context.Background())
	o := Options{Output: filepath.Join(dir, "cut"), SaveOutcomes: true}
	_, err := mustPrepare(t, r, o).Run(ctx, func(e train.Event) {
		if s, ok := e.(train.Stepped); ok && s.Step == 3 {
			cancel()
		}
	})
	var interrupted *train.InterruptedError
	if !errors.As(err, &interrupted) || interrupted.Step != 3 {
		t.Fatalf("error is %v", err)
	}
	o.Resume = true
	evaluating := 0
	result, err := mustPrepare(t, r, o).Run(context.Background(), func(e train.Event) {
		switch e := e.(type) {
		case train.Started:
			if e.Step != 3 {
				t.Errorf("it goes on from step %d", e.Step)
			}
		case train.Evaluating:
			evaluating++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if evaluating == 0 {
		t.Error("no progress of evaluations")
	}
	for _, name := range []string{"model.safetensors", task.OutcomesFile} {
		if got, want := read(t, filepath.Join(result.Output, name)), read(t, filepath.Join(whole.Output, name)); got != want {
			t.Errorf("%s is another", name)
		}
	}
	if outcomes := read(t, filepath.Join(whole.Output, task.OutcomesFile)); !strings.Contains(outcomes, `"scored_words":`) {
		t.Errorf("the outcomes have no scores of words: %s", outcomes)
	}
	if list, err := train.ReadResumptions(result.Output); err != nil || len(list) != 1 || list[0].Step != 3 {
		t.Errorf("the resumptions are %+v, %v", list, err)
	}
	_, err = mustPrepare(t, r, o).Run(context.Background(), nil)
	var finished *train.FinishedError
	if !errors.As(err, &finished) || finished.Result.Steps != 6 {
		t.Errorf("error is %v", err)
	}
}

// A folder that another run writes to is a type of error, and so is one with a model in it.
func TestOutputErrors(t *testing.T) {
	dir, r := setting(t)
	o := Options{Output: filepath.Join(dir, "out")}
	first, second := mustPrepare(t, r, o), mustPrepare(t, r, o)
	_, err := first.Run(context.Background(), func(e train.Event) {
		if _, ok := e.(train.Started); ok {
			_, err := second.Run(context.Background(), nil)
			var busy *train.BusyError
			if !errors.As(err, &busy) || busy.Dir != o.Output || busy.PID != os.Getpid() {
				t.Errorf("error is %v", err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var output *train.OutputError
	if _, err := r.Prepare(context.Background(), o); !errors.As(err, &output) || output.Begun {
		t.Errorf("error is %v", err)
	}
	if _, err := r.Prepare(context.Background(), Options{Output: r.Dir}); !errors.As(err, &output) || !output.Begun {
		t.Errorf("error is %v", err)
	}
	if _, err := r.Prepare(context.Background(), Options{}); err == nil {
		t.Error("a job without a folder is prepared")
	}
}

// What only the files show.
func TestPrepareErrors(t *testing.T) {
	dir, good := setting(t)
	write(t, filepath.Join(dir, "one.tsv"), "label\ttext\nfun\ta joy\nfun\n")
	for want, change := range map[string]func(*Recipe){
		"max_seq_length is 33, the model has 32 positions: want at most that":                                           func(r *Recipe) { r.MaxSeqLength = 33 },
		`metric_for_best_model is "f2", want one of eval_accuracy`:                                                      func(r *Recipe) { r.BestMetric = "f2" },
		`metric_for_best_model is "loss", but evaluations need data to evaluate on: want eval_data or validation_share`: func(r *Recipe) { r.EvalPath, r.BestMetric = "", "loss" },
		"eval_steps is 2, but evaluations need data":                                                                    func(r *Recipe) { r.EvalPath, r.EvalSteps = "", 2 },
		`class_weights: class weights "1,2,3"`:                                                                          func(r *Recipe) { r.ClassWeights = "1,2,3" },
		"labels is for tasks that have labels; the answers of a regression have none":                                   func(r *Recipe) { r.ProblemType, r.Labels = new(task.Regression), []string{"a"} },
		"validation_share is 0.1, which of 6 examples is less than one":                                                 func(r *Recipe) { r.EvalPath, r.ValidationShare = "", 0.1 },
		"one.tsv:3: ":        func(r *Recipe) { r.Path = filepath.Join(dir, "one.tsv") },
		"no such file":       func(r *Recipe) { r.Path = filepath.Join(dir, "none.tsv") },
		"none: no such file": func(r *Recipe) { r.Dir = filepath.Join(dir, "none") },
	} {
		r := good
		change(&r)
		output := filepath.Join(dir, "out")
		if _, err := r.Prepare(context.Background(), Options{Output: output}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
		if _, err := os.Stat(output); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the folder was made", want)
		}
	}
	r := good
	r.Path, r.SkipBad, r.Labels = filepath.Join(dir, "one.tsv"), true, []string{"dull", "fun"}
	j := mustPrepare(t, r, Options{Output: filepath.Join(dir, "out")})
	if s := j.Skipped(); len(s) != 1 || s[0].Path != r.Path || s[0].Count != 1 || s[0].First == nil {
		t.Errorf("skipped %+v", s)
	}
}

// Jobs with the same data share it, whichever way they train, and also when they are prepared at the same time.
func TestDatasets(t *testing.T) {
	dir, r := setting(t)
	other := r
	other.LearningRate, other.Seed, other.Precision = 1, new(uint64(7)), bert.BFloat16
	longer := r
	longer.MaxSeqLength = 20
	drawn := r
	drawn.MaxTrainExamples = 3
	drawnOtherwise := drawn
	drawnOtherwise.Seed = new(uint64(7))
	var d Datasets
	recipes := []Recipe{r, other, longer, drawn, drawnOtherwise, r}
	for _, r := range recipes {
		if err := d.Expect(r); err != nil {
			t.Fatal(err)
		}
	}
	jobs := make([]*Job, len(recipes))
	var wait sync.WaitGroup
	for i, r := range recipes {
		wait.Go(func() {
			var err error
			if jobs[i], err = r.Prepare(context.Background(), Options{Output: filepath.Join(dir, fmt.Sprint(i)), Datasets: &d}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		return
	}
	if d.Made() != 4 {
		t.Errorf("data was made %d times, want 4", d.Made())
	}
	if jobs[0].Parts().Train != jobs[1].Parts().Train || jobs[0].Parts().Train != jobs[5].Parts().Train || jobs[0].Parts().Train == jobs[2].Parts().Train {
		t.Error("the wrong jobs share their data")
	}
	for _, j := range jobs {
		if err := errors.Join(j.Close(), j.Close()); err != nil {
			t.Error(err)
		}
	}
	if len(d.entries) != 0 {
		t.Errorf("%d data sets are kept", len(d.entries))
	}
	// Without Expect they are.
	mustPrepare(t, r, Options{Output: filepath.Join(dir, "x"), Datasets: &d}).Close()
	mustPrepare(t, r, Options{Output: filepath.Join(dir, "x"), Datasets: &d})
	if d.Made() != 5 {
		t.Errorf("data was made %d times, want 5", d.Made())
	}
	// An error is not kept.
	missing := r
	missing.Path = filepath.Join(dir, "later.tsv")
	if _, err := missing.Prepare(context.Background(), Options{Output: filepath.Join(dir, "x"), Datasets: &d}); err == nil {
		t.Error("there is no error")
	}
	write(t, missing.Path, read(t, r.Path))
	mustPrepare(t, missing, Options{Output: filepath.Join(dir, "x"), Datasets: &d})
}

// A job of parts in memory gives the bits of one of files.
func TestNewJob(t *testing.T) {
	dir, r := setting(t)
	want := mustRun(t, r, Options{Output: filepath.Join(dir, "files")})
	p := mustPrepare(t, r, Options{Output: filepath.Join(dir, "unused")}).Parts()
	j, err := NewJob(p, r.Training, Options{Output: filepath.Join(dir, "memory")})
	if err != nil {
		t.Fatal(err)
	}
	got, err := j.Run(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := read(t, filepath.Join(want.Output, "model.safetensors")), read(t, filepath.Join(got.Output, "model.safetensors")); a != b {
		t.Error("the models differ")
	}
	if _, err := os.Stat(filepath.Join(got.Output, RecipeFile)); err == nil {
		t.Error("a job without a recipe wrote one")
	}
	for want, training := range map[string]Training{"learning_rate is -1": {LearningRate: -1}, `metric_for_best_model is "f2"`: {BestMetric: "f2"}} {
		if _, err := NewJob(p, training, Options{Output: filepath.Join(dir, "no")}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}

// Each evaluation on the way records its confusion matrix; that of the model is the one of its results.
func TestEvaluationsOnTheWay(t *testing.T) {
	dir, r := setting(t)
	r.EvalSteps = 1
	result := mustRun(t, r, Options{Output: filepath.Join(dir, "out")})
	e, err := train.ReadEvents(result.Output)
	if err != nil || len(e.Evaluations) < 2 {
		t.Fatalf("%+v, %v", e, err)
	}
	report := result.Evaluation.Report.(*task.ClassReport)
	for _, v := range e.Evaluations {
		b, err := task.ParseBrief(v.Evaluation.Details)
		if err != nil || !slices.Equal(b.Labels, report.Labels) {
			t.Fatalf("step %d: %+v, %v", v.Step, b, err)
		}
		accuracy, _ := v.Evaluation.Metrics.Get("eval_accuracy")
		if got := b.Confusion.Report().Accuracy; got != accuracy {
			t.Errorf("step %d: the matrix has an accuracy of %v, the metrics of %v", v.Step, got, accuracy)
		}
		if v.Step == result.Training.ModelStep && !reflect.DeepEqual(b.Confusion, report.Confusion) {
			t.Errorf("step %d: the matrix is %v, that of the results %v", v.Step, b.Confusion, report.Confusion)
		}
	}
}

// The fingerprint has the names that checkpoints of older runs have.
func TestFingerprint(t *testing.T) {
	dir, r := setting(t)
	var options map[string]string
	j := mustPrepare(t, r, Options{Output: filepath.Join(dir, "out")})
	if _, err := j.Run(context.Background(), func(e train.Event) {
		if s, ok := e.(train.Started); ok {
			options = s.Options
		}
	}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config", "eval_data", "train_data"} {
		if len(options[name]) != 16 {
			t.Errorf("%s is %q", name, options[name])
		}
		delete(options, name)
	}
	if !slices.Contains([]string{"purego", "avx2", "avx512", "neon"}, options["kernels"]) { // it depends on the machine
		t.Errorf("kernels are %q", options["kernels"])
	}
	delete(options, "kernels")
	want := `{"batch_size":"2","best_metric":"","beta1":"0.9","beta2":"0.999","clip_norm":"1","epsilon":"1e-06","examples":"6","group_by_length":"false",` +
		`"kind":"single_label_classification","labels":"dull,fun","learning_rate":"0.001","max_seq_length":"16","micro_batch_size":"0","micro_batch_tokens":"0",` +
		`"optimizer":"google","precision":"float32","schedule":"google","seed":"42","steps":"6","task":"text","token_budget":"0","warmup_steps":"0","weight_decay":"0.01"}`
	if text, err := json.Marshal(options); err != nil || string(text) != want {
		t.Errorf("%s, %v, want %s", text, err, want)
	}
}

func testTokenizer(t *testing.T) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.New(tinymodel.Vocabulary(), tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestClassWeights(t *testing.T) {
	var examples []data.Example
	for i := range 10 {
		examples = append(examples, data.Example{Input: data.Input{Text: "good"}, Label: []string{"neg", "pos"}[min(i/8, 1)]})
	}
	d, err := task.NewDataset(t.Context(), testTokenizer(t), task.Spec{Task: "made", Labels: []string{"neg", "pos"}, MaxSeqLength: 16}, examples)
	if err != nil {
		t.Fatal(err)
	}
	for choice, want := range map[string][]float32{"": nil, "none": nil, "balanced": {10.0 / (2 * 8), 10.0 / (2 * 2)}, "1, 2.5": {1, 2.5}} {
		if got, err := classWeights(d, choice); err != nil || !slices.Equal(got, want) || d.SetClassWeights(got) != nil {
			t.Errorf("%q: %v, %v; want %v", choice, got, err, want)
		}
	}
	for choice, want := range map[string]string{
		"some": `class weights "some": want none, balanced or 2 numbers, for neg, pos`, "1": "2 numbers", "1,2,3": "2 numbers",
		"1,x": `"x" is no positive number`, "1,-2": "want a positive number", "0,1": "want a positive number", "NaN,1": "want a positive number",
		"Inf,1": "want a positive number", "1e99,1": "no positive number",
	} {
		weights, err := classWeights(d, choice)
		if err == nil {
			err = d.SetClassWeights(weights)
		}
		if err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%q: %v, want %s", choice, err, want)
		}
	}
}

// A run goes on with the kernels that it began with, whichever the machine would choose, and ends with their bits.
func TestKernels(t *testing.T) {
	dir, r := setting(t)
	names := []string{"model.safetensors", task.ResultsFile, task.SpecFile}
	t.Setenv("BERT_SIMD", "purego")
	whole := mustRun(t, r, Options{Output: filepath.Join(dir, "whole")})
	for _, allow := range []bool{false, true} {
		t.Setenv("BERT_SIMD", "purego")
		ctx, cancel := context.WithCancel(context.Background())
		o := Options{Output: filepath.Join(dir, fmt.Sprint("cut ", allow))}
		_, err := mustPrepare(t, r, o).Run(ctx, func(e train.Event) {
			if s, ok := e.(train.Stepped); ok && s.Step == 3 {
				cancel()
			}
		})
		if !errors.As(err, new(*train.InterruptedError)) {
			t.Fatalf("error is %v", err)
		}
		t.Setenv("BERT_SIMD", "")
		o.Resume, o.AllowOtherKernels = true, allow
		j := mustPrepare(t, r, o)
		if got := j.Parts().Model.Kernels(); !allow && got != "purego" {
			t.Errorf("the kernels are %s", got)
		}
		result, err := j.Run(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if !allow && read(t, filepath.Join(result.Output, name)) != read(t, filepath.Join(whole.Output, name)) {
				t.Errorf("%s differs", name)
			}
		}
	}
}

// What is missing of a run that has ended is made again, byte for byte.
func TestMissing(t *testing.T) {
	dir, r := setting(t)
	r.BestMetric = MainMetric
	o := Options{Output: filepath.Join(dir, "out")}
	mustRun(t, r, o)
	o.Resume = true
	for _, name := range []string{task.ResultsFile, task.SpecFile, "model.safetensors", "config.json", "vocab.txt tokenizer.json"} {
		want := make(map[string]string)
		for _, file := range strings.Fields(name) {
			path := filepath.Join(o.Output, file)
			want[path] = read(t, path)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		mustRun(t, r, o)
		for path, content := range want {
			if read(t, path) != content {
				t.Errorf("%s differs", path)
			}
		}
		if _, err := mustPrepare(t, r, o).Run(context.Background(), nil); !errors.As(err, new(*train.FinishedError)) {
			t.Errorf("%s: error is %v, want a FinishedError", name, err)
		}
	}
	// As a release that wrote results after the end of the run left it, when it was killed in between.
	spec, err := task.LoadSpec(o.Output)
	if err != nil {
		t.Fatal(err)
	}
	want := read(t, filepath.Join(o.Output, task.SpecFile))
	spec.Metrics = nil
	if err := spec.Save(o.Output); err != nil {
		t.Fatal(err)
	}
	mustRun(t, r, o)
	if read(t, filepath.Join(o.Output, task.SpecFile)) != want {
		t.Error("task.json differs")
	}
}
