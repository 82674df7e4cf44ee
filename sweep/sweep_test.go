package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-bert/bert/finetune"
	"github.com/go-bert/bert/internal/tinymodel"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/train"
)

// setting is a folder with a model and data, and a sweep of 4 runs.
func setting(t *testing.T) (dir string, r Recipe) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{
		"train.tsv": "label\ttext\nfun\ta joy\nfun\tgood film\nfun\twas good!\ndull\tdull film\ndull\tbad, bad\ndull\twas the film dull?\n",
		"dev.tsv":   "label\ttext\nfun\ta good joy\ndull\ta bad film\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := tinymodel.Save(filepath.Join(dir, "base")); err != nil {
		t.Fatal(err)
	}
	return dir, Recipe{
		Recipe: finetune.Recipe{
			Data:     finetune.Data{Task: "text", Path: filepath.Join(dir, "train.tsv"), EvalPath: filepath.Join(dir, "dev.tsv"), MaxSeqLength: 16},
			Model:    finetune.Model{Dir: filepath.Join(dir, "base")},
			Training: finetune.Training{Epochs: 2, BatchSize: 2},
		},
		Axes:  Axes{{"learning_rate", []string{"1e-3", "0.01", "0.001"}}},
		Seeds: 2,
	}
}

func mustPrepare(t *testing.T, r Recipe, o Options) *Sweep {
	t.Helper()
	s, err := r.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The runs of a sweep share their data, which is tokenized once for all of them, and their events carry their names.
func TestSharedData(t *testing.T) {
	dir, r := setting(t)
	events := make(map[string]int)
	var started Started
	ended := 0
	s := mustPrepare(t, r, Options{Output: filepath.Join(dir, "out"), Parallel: 2, Observer: func(e Event) {
		switch e := e.(type) {
		case Started:
			started = e
		case Trained:
			events[e.Run]++
		case Ended:
			ended++
			if e.Done != ended || e.Runs != 4 || !e.Record.Finished || e.Record.Value == nil {
				t.Errorf("%+v", e)
			}
		}
	}})
	summary, err := s.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if made := s.Datasets().Made(); made != 1 {
		t.Errorf("data was read and tokenized %d times for 4 runs", made)
	}
	if started != (Started{Runs: 4, Settings: 2}) || ended != 4 || len(events) != 4 || events["learning-rate=0.001,seed=43"] < 6 {
		t.Errorf("%+v, %d ended, events %v", started, ended, events)
	}
	if len(summary.Rows) != 2 || len(summary.Runs) != 4 || summary.Metric != "eval_accuracy" || summary.Rows[0].Runs != 2 {
		t.Errorf("%+v", summary)
	}

	// Lengths of their own need features of their own.
	r.Axes = append(r.Axes, Axis{"max_seq_length", []string{"8", "16"}})
	s = mustPrepare(t, r, Options{Output: filepath.Join(dir, "two")})
	if _, err := s.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if made := s.Datasets().Made(); made != 2 {
		t.Errorf("data was read and tokenized %d times for two lengths", made)
	}
}

// A sweep that was interrupted goes on, to the same files, but not with runs of another recipe.
func TestInterrupted(t *testing.T) {
	dir, r := setting(t)
	whole := Options{Output: filepath.Join(dir, "whole")}
	if _, err := mustPrepare(t, r, whole).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var steps atomic.Int64
	o := Options{Output: filepath.Join(dir, "cut"), Observer: func(e Event) {
		if e, ok := e.(Trained); ok {
			if _, ok := e.Event.(train.Stepped); ok && steps.Add(1) == 9 {
				cancel()
			}
		}
	}}
	_, err := mustPrepare(t, r, o).Run(ctx)
	var interrupted *InterruptedError
	if !errors.As(err, &interrupted) || interrupted.Done != 1 || interrupted.Runs != 4 || !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v", err)
	}
	o.Observer = nil
	if _, err := mustPrepare(t, r, o).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{ResultsFile, TableFile, "learning-rate=0.01,seed=42/" + RunFile, "learning-rate=0.01,seed=43/" + task.ResultsFile} {
		if read(t, filepath.Join(whole.Output, name)) != read(t, filepath.Join(o.Output, name)) {
			t.Errorf("%s differs", name)
		}
	}
	// What changes no result may change.
	r.LogSteps, r.SaveSteps = 3, new(0)
	mustPrepare(t, r, whole)
	r.Optimizer = train.AdamW
	_, err = r.Prepare(whole)
	var other *OtherRunError
	if !errors.As(err, &other) || other.Key != "optimizer" || other.Was != "google" || other.Is != "adamw" {
		t.Errorf("error is %v", err)
	}
	r.Optimizer, r.WarmupSteps = train.GoogleAdam, new(0)
	if _, err = r.Prepare(whole); !errors.As(err, &other) || other.Key != "warmup-steps" || other.Was != "" || other.Is != "0" {
		t.Errorf("error is %v", err)
	}
}

// run.json says what decides a run in the words that it had before there were recipes, so that such sweeps go on.
func TestDecisive(t *testing.T) {
	got, err := json.Marshal(decisive(finetune.Recipe{
		Data:     finetune.Data{Task: "text", Path: "train.tsv", EvalPath: "dev.tsv", Labels: []string{"dull", "fun"}},
		Model:    finetune.Model{Dir: "base"},
		Training: finetune.Training{LearningRate: 2e-5, Epochs: 1, BatchSize: 4, Accumulation: 2},
	}))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"allow-missing":"false","cased":"false","class-weights":"none","config":"","data":"train.tsv","data-format":"auto","doc-stride":"0",` +
		`"early-stopping-patience":"0","eval-data":"dev.tsv","eval-steps":"0","google":"false","gradient-accumulation-steps":"2","group-by-length":"false",` +
		`"label-column":"","labels":"[dull,fun]","learning-rate":"2e-05","long":"truncate","lr-schedule":"own","max-eval-examples":"0","max-grad-norm":"1",` +
		`"max-seq-length":"128","max-steps":"0","max-train-examples":"0","metric-for-best-model":"","model":"base","no-header":"false",` +
		`"null-score-diff-threshold":"best","num-train-epochs":"1","optimizer":"google","precision":"float32","problem-type":"single_label_classification",` +
		`"seed":"42","skip-bad":"false","task":"text","text-column":"","text-pair-column":"","token-budget":"0","train-batch-size":"4","truncation":"longest_first",` +
		`"validation-share":"0","vocab":"","warmup-proportion":"0.1","weight-decay":"0.01"}`
	if string(got) != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if v := decisive(finetune.Recipe{Training: finetune.Training{TokenBudget: 100, Beta1: new(0.5)}}); v["train-batch-size"] != "32" || v["token-budget"] != "100" || v["adam-beta1"] != "0.5" {
		t.Errorf("%v", v)
	}
}

func TestRecipe(t *testing.T) {
	_, r := setting(t)
	r.Axes = append(r.Axes, Axis{"optimizer", []string{"google", "adamw"}})
	r.MedianStopping = true
	text, err := recipe.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Recipe
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("%s\nis read as %+v, %v", text, back, err)
	}
	var compact map[string]json.RawMessage
	if err := json.Unmarshal(text, &compact); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(strings.Fields(string(compact["sweep"])), ""); got != `{"learning_rate":[1e-3,0.01,0.001],"optimizer":["google","adamw"]}` {
		t.Errorf("axes are %s", got)
	}
	varied := Recipe{Recipe: r.Recipe, Axes: Axes{{"token_budget", []string{"50", "60"}}}}
	varied.BatchSize = 0
	if full := varied.WithDefaults(); full.BatchSize != 0 || full.TokenBudget != 0 || full.Validate() != nil {
		t.Errorf("with defaults %+v, %v", full, full.Validate())
	}
	runs, err := r.runs()
	if err != nil || len(runs) != 8 || runs[3].Name != "learning-rate=0.001,optimizer=adamw,seed=43" || *runs[3].Recipe.Seed != 43 || runs[3].Recipe.Optimizer != train.AdamW {
		t.Errorf("%d runs, %v", len(runs), err)
	}
	for want, change := range map[string]func(*Recipe){
		"seeds is -1":                                     func(r *Recipe) { r.Seeds = -1 },
		"task is missing":                                 func(r *Recipe) { r.Task = "" },
		"learning_rate is 0":                              func(r *Recipe) { r.Axes = Axes{{"learning_rate", []string{"0"}}} },
		`learning_rate is "fast", want a number`:          func(r *Recipe) { r.Axes = Axes{{"learning_rate", []string{"1", "fast"}}} },
		"learning_rate is -1":                             func(r *Recipe) { r.Axes = Axes{{"learning_rate", []string{"-1"}}} },
		"learning_rate is missing: want a list of values": func(r *Recipe) { r.Axes = Axes{{"learning_rate", nil}} },
		"want seeds in place of":                          func(r *Recipe) { r.Axes = Axes{{"seed", []string{"1"}}} },
		"want each key once":                              func(r *Recipe) { r.Axes = append(r.Axes, r.Axes[0]) },
		`key "rate" is not known`:                         func(r *Recipe) { r.Axes = Axes{{"rate", []string{"1"}}} },
		"a sweep compares evaluations: want eval_data or validation_share": func(r *Recipe) { r.EvalPath = "" },
		"token_budget is 9, want none beside train_batch_size":             func(r *Recipe) { r.TokenBudget = 9 },
	} {
		r := r
		change(&r)
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}

// ended is a run with these values after its epochs.
func ended(stopped bool, values ...float64) *Run {
	r := new(Run)
	for i, v := range values {
		r.record.Evaluations = append(r.record.Evaluations, Evaluation{Step: 10 * (i + 1), Epoch: float64(i + 1), Value: existing(v)})
	}
	r.record.Finished, r.record.Stopped = true, stopped
	return r
}

// The rule compares a run's best so far with the median of the others' means up to the same epoch.
func TestMedianStopping(t *testing.T) {
	others := []*Run{
		ended(false, 0.2, 0.6, 0.9), // means 0.2, 0.4
		ended(false, 0.4, 0.8, 0.9), // 0.4, 0.6
		ended(false, 0.6, 1.0, 0.9), // 0.6, 0.8
		ended(true, 0.0, 0.0),       // stopped: doesn't count
		ended(true),
	}
	for _, c := range []struct {
		metric string
		values []float64
		others int
		want   bool
	}{
		{"accuracy", []float64{0.39}, 5, true},
		{"accuracy", []float64{0.4}, 5, false}, // strictly worse
		{"accuracy", []float64{0.45, 0.59}, 5, true},
		{"accuracy", []float64{0.61, 0.1}, 5, false}, // its best
		{"accuracy", []float64{math.NaN()}, 5, true},
		{"accuracy", []float64{0.1}, 2, false}, // too few have ended
		{"loss", []float64{0.41}, 5, true},
		{"loss", []float64{0.39}, 5, false},
	} {
		r := ended(false, c.values...)
		r.record.Finished = false
		if got := worseThanMedian(r, append([]*Run{r}, others[:c.others]...), c.metric); got != c.want {
			t.Errorf("%s %v beside %d: %v, want %v", c.metric, c.values, c.others, got, c.want)
		}
	}
}

func TestMeanDeviation(t *testing.T) {
	mean, deviation := meanDeviation([]float64{1, 2, 4})
	if math.Abs(mean-7.0/3) > 1e-15 || math.Abs(deviation-math.Sqrt(7.0/3)) > 1e-15 {
		t.Errorf("%v, %v", mean, deviation)
	}
	if mean, deviation := meanDeviation([]float64{5}); mean != 5 || !math.IsNaN(deviation) {
		t.Errorf("%v, %v of one", mean, deviation)
	}
	if mean, deviation := meanDeviation(nil); !math.IsNaN(mean) || !math.IsNaN(deviation) {
		t.Errorf("%v, %v of none", mean, deviation)
	}
	if m := median([]float64{4, 1, 3, 2}); m != 2.5 {
		t.Errorf("median %v", m)
	}
}

// The record of a run may be ahead of the checkpoint from which it is resumed, and even say that the median rule has stopped it.
func TestRecordAhead(t *testing.T) {
	dir, r := setting(t)
	r.MedianStopping, r.Axes[0].Values, r.Seeds = true, []string{"1e-3", "0.01"}, 1
	r.SaveSteps, r.Epochs = new(1), 3
	whole := Options{Output: filepath.Join(dir, "whole")}
	if _, err := mustPrepare(t, r, whole).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o := Options{Output: filepath.Join(dir, "cut"), Observer: func(e Event) {
		if e, ok := e.(Trained); ok {
			if s, ok := e.Event.(train.Stepped); ok && s.Step == 5 {
				cancel()
			}
		}
	}}
	if _, err := mustPrepare(t, r, o).Run(ctx); !errors.As(err, new(*InterruptedError)) {
		t.Fatalf("error is %v", err)
	}
	run := filepath.Join(o.Output, "learning-rate=0.001,seed=42", RunFile)
	var record Record
	if err := json.Unmarshal([]byte(read(t, run)), &record); err != nil {
		t.Fatal(err)
	}
	record.Stopped = true
	record.Evaluations = append(record.Evaluations, Evaluation{6, 2, new(0.125)})
	text, err := json.Marshal(&record)
	if err == nil {
		err = os.WriteFile(run, text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	o.Observer = nil
	if _, err := mustPrepare(t, r, o).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{ResultsFile, TableFile, "learning-rate=0.001,seed=42/" + RunFile} {
		if got, want := read(t, filepath.Join(o.Output, name)), read(t, filepath.Join(whole.Output, name)); got != want {
			t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
		}
	}
	// A second process is told who is at work.
	o.Observer = func(Event) {
		if _, err := mustPrepare(t, r, Options{Output: o.Output}).Run(context.Background()); !errors.As(err, new(*train.BusyError)) {
			t.Errorf("error is %v, want a BusyError", err)
		}
	}
	if _, err := mustPrepare(t, r, o).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
}
