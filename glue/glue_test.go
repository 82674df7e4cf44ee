package glue

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/finetune"
	"github.com/go-bert/bert/internal/tinymodel"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/train"
)

// setting is a folder with a model and the data of three tasks, and a recipe of 2 steps for each.
func setting(t *testing.T) (dir string, r Recipe) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{
		"CoLA/train.tsv":                 "a\t1\t\ta joy\na\t0\t*\tjoy film bad\na\t1\t\tthe film was good\na\t0\t*\twas was\n",
		"CoLA/dev.tsv":                   "a\t1\t\ta film\na\t0\t*\tfilm film\n",
		"MNLI/train.tsv":                 "sentence1\tsentence2\tgold_label\na joy\tgood\tentailment\na joy\tbad\tcontradiction\na film\tgood\tneutral\na film\tfilm\tentailment\n",
		"MNLI/dev_matched.tsv":           "sentence1\tsentence2\tgold_label\na film\tgood film\tneutral\n",
		"MNLI/dev_mismatched.tsv":        "sentence1\tsentence2\tgold_label\na film\tfilm\tentailment\n",
		"MNLI/test_matched.tsv":          "sentence1\tsentence2\na film\tgood film\na film\tfilm\n",
		"diagnostic/diagnostic-full.tsv": "Premise\tHypothesis\tLabel\na film\tfilm\tentailment\na joy\tbad\tcontradiction\n",
	} {
		name = filepath.Join(dir, "data", filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tinymodel.Save(filepath.Join(dir, "base")); err != nil {
		t.Fatal(err)
	}
	return dir, Recipe{Recipe: finetune.Recipe{
		Data:     finetune.Data{Path: filepath.Join(dir, "data"), MaxSeqLength: 16},
		Model:    finetune.Model{Dir: filepath.Join(dir, "base")},
		Training: finetune.Training{LearningRate: 1e-3, Epochs: 1, BatchSize: 2},
	}}
}

func mustRun(t *testing.T, r Recipe, o Options) *Summary {
	t.Helper()
	s, err := r.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	summary, err := s.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return summary
}

func scores(t *testing.T, o Options, name string) []Part {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(o.Output, name, ScoresFile))
	if err != nil {
		t.Fatal(err)
	}
	var parts []Part
	if err := json.Unmarshal(text, &parts); err != nil {
		t.Fatal(err)
	}
	return parts
}

// A model that was trained in bfloat16 is scored in bfloat16, and glue.json says so: its figures are those of the run's own
// evaluation. Without a record of the precision they were computed in float32, and are computed again.
func TestPrecision(t *testing.T) {
	dir, r := setting(t)
	r.Precision = bert.BFloat16
	o := Options{Output: filepath.Join(dir, "out")}
	mustRun(t, r, o)
	for _, name := range []string{"cola", "mnli", "ax"} {
		for _, p := range scores(t, o, name) {
			if p.Precision != bert.BFloat16 {
				t.Errorf("%s %s: precision is %v", name, p.Split, p.Precision)
			}
		}
	}
	saved, err := task.ReadResult(filepath.Join(o.Output, "cola"))
	if err != nil {
		t.Fatal(err)
	}
	trained, _ := saved.Metrics.Get("loss")
	scored, _ := scores(t, o, "cola")[0].Metrics.Get("loss")
	if scored != trained || math.IsNaN(scored) {
		t.Errorf("the loss is %v, in eval_results.json %v", scored, trained)
	}

	path := filepath.Join(o.Output, "cola", ScoresFile)
	if err := os.WriteFile(path, []byte(`[{"split": "dev", "official_metrics": ["matthews"], "metrics": {"matthews": 0.5, "loss": 9}}]`), 0o666); err != nil {
		t.Fatal(err)
	}
	mustRun(t, r, o)
	if again, _ := scores(t, o, "cola")[0].Metrics.Get("loss"); again != scored {
		t.Errorf("the loss is %v, want %v again", again, scored)
	}
	// The predictions of another precision are made again, also where the process died after it had the scores.
	predictions := filepath.Join(o.Output, "mnli", SubmissionFile("mnli", data.TestMatched))
	want, err := os.ReadFile(predictions)
	if err == nil {
		err = errors.Join(os.WriteFile(predictions, []byte("of another precision"), 0o666),
			os.WriteFile(filepath.Join(o.Output, "mnli", ScoresFile), []byte(`[{"split": "dev_matched", "official_metrics": ["eval_accuracy"], "metrics": {"eval_accuracy": 0.5, "loss": 9}}]`), 0o666))
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Observer = func(e Event) {
		if e, ok := e.(Evaluating); ok && e.Task == "mnli" && e.Split == data.DevMismatched && e.Done == e.All {
			cancel()
		}
	}
	s, err := r.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(ctx); !errors.As(err, new(*InterruptedError)) {
		t.Fatalf("error is %v", err)
	}
	o.Observer = nil
	if loss, _ := scores(t, o, "mnli")[0].Metrics.Get("loss"); loss == 9 {
		t.Fatal("the process did not get to the scores")
	}
	mustRun(t, r, o)
	if got, err := os.ReadFile(predictions); err != nil || string(got) != string(want) {
		t.Errorf("predictions are %q, %v, want %q", got, err, want)
	}
	r.Precision = bert.Float32
	single := Options{Output: filepath.Join(dir, "single")}
	mustRun(t, r, single)
	if text, err := os.ReadFile(filepath.Join(single.Output, "cola", ScoresFile)); err != nil || strings.Contains(string(text), `"precision": "`) {
		t.Errorf("%s, %v", text, err)
	}
}

// The step in glue.json is that of the model, also where the run died before it saved its metrics.
func TestGlobalStep(t *testing.T) {
	dir, r := setting(t)
	r.Names = []string{"cola"}
	o := Options{Output: filepath.Join(dir, "out")}
	first := mustRun(t, r, o)
	spec, err := task.LoadSpec(filepath.Join(o.Output, "cola"))
	if err != nil {
		t.Fatal(err)
	}
	spec.Metrics = nil
	if err := errors.Join(spec.Save(filepath.Join(o.Output, "cola")), os.Remove(filepath.Join(o.Output, "cola", ScoresFile))); err != nil {
		t.Fatal(err)
	}
	if again := mustRun(t, r, o); !reflect.DeepEqual(again, first) {
		t.Errorf("%+v, want %+v", again, first)
	}
	if step, _ := scores(t, o, "cola")[0].Metrics.Get("global_step"); step != 2 {
		t.Errorf("the step is %v, want 2", step)
	}
}

// A run that was interrupted goes on; its events carry the names of the tasks.
func TestInterrupted(t *testing.T) {
	dir, r := setting(t)
	r.For = map[string]map[string]recipe.Value{"mnli": {"num_train_epochs": "3"}}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o := Options{Output: filepath.Join(dir, "out"), Observer: func(e Event) {
		if e, ok := e.(Trained); ok && e.Task == "mnli" {
			if s, ok := e.Event.(train.Stepped); ok && s.Step == 3 {
				cancel()
			}
		}
	}}
	s, err := r.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Run(ctx)
	var interrupted *InterruptedError
	if !errors.As(err, &interrupted) || interrupted.Task != "mnli" || interrupted.Step != 3 || interrupted.Steps != 6 {
		t.Fatalf("error is %v", err)
	}
	var events []Event
	o.Observer = func(e Event) {
		switch e.(type) {
		case Trained, Prepared, Evaluating, Begun, LeftOut:
		default:
			events = append(events, e)
		}
	}
	got := mustRun(t, r, o)
	want := []Event{
		Ended{"cola", 2, true}, NoPart{"cola", data.Test, true},
		Ended{"mnli", 6, false}, Predicted{Task: "mnli", Split: data.TestMatched, File: filepath.Join(o.Output, "mnli", "MNLI-m.tsv"), Predictions: 2, MaxSeqLength: 16},
		NoPart{"mnli", data.TestMismatched, true}, NoPart{"ax", data.Test, true},
	}
	if len(events) != len(want)+1 || !reflect.DeepEqual(events[:len(want)], want) {
		t.Errorf("events are %+v", events)
	} else if p, ok := events[len(want)].(Packed); !ok || len(p.Files) != 1 || len(p.Missing) != 10 {
		t.Errorf("the last event is %+v", events[len(want)])
	}
	if whole := mustRun(t, r, Options{Output: filepath.Join(dir, "whole")}); !reflect.DeepEqual(got, whole) || len(got.Rows) != 4 || got.Tasks != 2 {
		t.Errorf("%+v, want %+v", got, whole)
	}
}

func TestRecipe(t *testing.T) {
	dir, r := setting(t)
	r.Names = []string{"mnli", "cola"}
	r.For = map[string]map[string]recipe.Value{"cola": {"learning_rate": "3e-5", "optimizer": "adamw"}}
	text, err := recipe.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Recipe
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("%s\nis read as %+v, %v", text, back, err)
	}
	s, err := r.Prepare(Options{Output: filepath.Join(dir, "out")})
	if err != nil || len(s.tasks) != 2 || s.tasks[0].recipe.LearningRate != 3e-5 || s.tasks[0].recipe.Optimizer != train.AdamW || s.tasks[1].recipe.LearningRate != 1e-3 {
		t.Errorf("%+v, %v", s, err)
	}
	for want, change := range map[string]func(*Recipe){
		"data is missing":                        func(r *Recipe) { r.Path = "" },
		`task is "cola", want none`:              func(r *Recipe) { r.Task = "cola" },
		`tasks: "squad" is none of cola, sst2`:   func(r *Recipe) { r.Names = []string{"squad"} },
		`for: task "cola" is not among`:          func(r *Recipe) { r.Names = []string{"mnli"} },
		`key "rate" is not known`:                func(r *Recipe) { r.For["cola"] = map[string]recipe.Value{"rate": "1"} },
		`learning_rate is "fast", want a number`: func(r *Recipe) { r.For["cola"] = map[string]recipe.Value{"learning_rate": "fast"} },
		"weight_decay is -1":                     func(r *Recipe) { r.For["cola"] = map[string]recipe.Value{"weight_decay": "-1"} },
		"model is missing":                       func(r *Recipe) { r.Dir = "" },
	} {
		_, r := setting(t)
		r.For = make(map[string]map[string]recipe.Value)
		r.For["cola"] = map[string]recipe.Value{}
		change(&r)
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}

// A score of a metric that does not exist is null in JSON.
func TestSummaryJSON(t *testing.T) {
	s := &Suite{}
	row, err := task.Lookup("cola")
	if err != nil {
		t.Fatal(err)
	}
	s.tasks = []*member{{row: row, parts: []Part{{Split: data.Dev, Official: []string{"matthews"}, Metrics: metric.Metrics{{Name: "matthews", Value: math.NaN()}}}}}}
	text, err := json.Marshal(s.summarize())
	if want := `{"rows":[{"name":"CoLA","task":"cola","split":"dev","metrics":{"matthews":null},"score":null}],"tasks":1,"paper_columns":1,"score":null,"paper_average":null}`; err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
}
