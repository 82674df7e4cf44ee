package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/finetune"
	"github.com/go-bert/bert/glue"
	"github.com/go-bert/bert/internal/tinymodel"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/sweep"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/train"
)

// librarySetting is a folder with a small model, a table and two tasks of GLUE.
func librarySetting(t *testing.T) (dir string, base finetune.Recipe) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{
		"train.tsv":            "label\ttext\nfun\ta joy\nfun\tgood film\nfun\twas good!\ndull\tdull film\ndull\tbad, bad\ndull\twas the film dull?\n",
		"dev.tsv":              "label\ttext\nfun\ta good joy\ndull\ta bad film\n",
		"glue/CoLA/train.tsv":  "a\t1\t\ta joy\na\t0\t*\tjoy film bad\na\t1\t\tthe film was good\na\t0\t*\twas was\n",
		"glue/CoLA/dev.tsv":    "a\t1\t\ta film\na\t0\t*\tfilm film\n",
		"glue/CoLA/test.tsv":   "index\tsentence\n0\ta film\n1\tfilm film\n",
		"glue/STS-B/train.tsv": "sentence1\tsentence2\tscore\na joy\tgood\t4.0\na joy\tbad\t1.0\n",
		"glue/STS-B/dev.tsv":   "sentence1\tsentence2\tscore\na film\tfilm\t5.0\na joy\tfilm\t1.0\n",
	} {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tinymodel.Save(filepath.Join(dir, "base")); err != nil {
		t.Fatal(err)
	}
	return dir, finetune.Recipe{
		Data:     finetune.Data{Task: "text", Path: filepath.Join(dir, "train.tsv"), EvalPath: filepath.Join(dir, "dev.tsv"), MaxSeqLength: 16},
		Model:    finetune.Model{Dir: filepath.Join(dir, "base")},
		Training: finetune.Training{LearningRate: 1e-3, Epochs: 3, BatchSize: 2, Optimizer: train.AdamW, WeightDecay: new(0.0), BestMetric: finetune.MainMetric},
	}
}

// program runs bert and returns its stdout.
func program(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if status := run(args, strings.NewReader(""), &stdout, &stderr); status != exitDone {
		t.Fatalf("bert %s: status %d, %s", strings.Join(args, " "), status, stderr.String())
	}
	return stdout.String()
}

// sameFiles compares files of two folders, byte for byte.
func sameFiles(t *testing.T, a, b string, names ...string) {
	t.Helper()
	for _, name := range names {
		x, errX := os.ReadFile(filepath.Join(a, name))
		y, errY := os.ReadFile(filepath.Join(b, name))
		if err := errors.Join(errX, errY); err != nil || !bytes.Equal(x, y) {
			t.Errorf("%s differs, or %v", name, err)
		}
	}
}

// What bert finetune does and what a Go program does with the same recipe is the same, to the bit: the model, its evaluation, the
// files beside it and its answers.
func TestLibraryFinetunes(t *testing.T) {
	ctx := context.Background()
	dir, r := librarySetting(t)
	theirs, ours := filepath.Join(dir, "program"), filepath.Join(dir, "library")
	printed := program(t, "finetune", "--task", "text", "--data", r.Path, "--eval-data", r.EvalPath, "--max-seq-length", "16", "--model", r.Dir,
		"--learning-rate", "1e-3", "--num-train-epochs", "3", "--train-batch-size", "2", "--optimizer", "adamw", "--weight-decay", "0",
		"--metric-for-best-model", "main", "--output", theirs, "--quiet")
	j, err := r.Prepare(ctx, finetune.Options{Output: ours})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	result, err := j.Run(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	sameFiles(t, theirs, ours, "model.safetensors", "config.json", "vocab.txt", "tokenizer.json", task.ResultsFile, task.SpecFile, finetune.RecipeFile)
	if text, err := json.Marshal(result.Evaluation); err != nil || string(text) != strings.TrimSpace(printed) {
		t.Errorf("%s, %v, the program printed %s", text, err, printed)
	}

	predicted := program(t, "predict", "--model", theirs, "a joy", "so dull")
	p, err := task.Open(ctx, ours, task.Predict(), task.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	answers, err := p.Do(ctx, data.Texts("a joy", "so dull"))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, answer := range answers {
		if err := jsonLine(&b, answer); err != nil {
			t.Fatal(err)
		}
	}
	if b.String() != predicted {
		t.Errorf("%s\nthe program printed %s", b.String(), predicted)
	}
}

func TestLibrarySweeps(t *testing.T) {
	dir, base := librarySetting(t)
	base.LearningRate, base.Epochs = 0, 1
	theirs, ours := filepath.Join(dir, "program"), filepath.Join(dir, "library")
	printed := program(t, "sweep", "--task", "text", "--data", base.Path, "--eval-data", base.EvalPath, "--model", base.Dir,
		"--learning-rate", "1e-3,1e-2", "--num-train-epochs", "1", "--train-batch-size", "2", "--max-seq-length", "16", "--optimizer", "adamw",
		"--weight-decay", "0", "--metric-for-best-model", "main", "--seeds", "2", "--output", theirs, "--quiet")
	r := sweep.Recipe{Recipe: base, Seeds: 2, Axes: sweep.Axes{
		{Key: "learning_rate", Values: []string{"1e-3", "1e-2"}}, {Key: "num_train_epochs", Values: []string{"1"}},
		{Key: "train_batch_size", Values: []string{"2"}}, {Key: "weight_decay", Values: []string{"0"}}, {Key: "max_seq_length", Values: []string{"16"}},
	}}
	s, err := r.Prepare(sweep.Options{Output: ours})
	if err != nil {
		t.Fatal(err)
	}
	summary, err := s.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	sameFiles(t, theirs, ours, sweep.ResultsFile, sweep.TableFile, filepath.Join(summary.BestRun, "model.safetensors"))
	for _, one := range s.Runs() {
		sameFiles(t, theirs, ours, filepath.Join(one.Name, sweep.RunFile), filepath.Join(one.Name, task.ResultsFile))
	}
	var b bytes.Buffer
	if err := jsonLine(&b, summary); err != nil || b.String() != printed {
		t.Errorf("%s, %v, the program printed %s", b.String(), err, printed)
	}
}

func TestLibraryRunsGLUE(t *testing.T) {
	dir, base := librarySetting(t)
	base.Task, base.Path, base.EvalPath, base.BestMetric = "", filepath.Join(dir, "glue"), "", ""
	theirs, ours := filepath.Join(dir, "program"), filepath.Join(dir, "library")
	printed := program(t, "glue", "--data", base.Path, "--model", base.Dir, "--max-seq-length", "16", "--learning-rate", "1e-3", "--num-train-epochs", "3",
		"--train-batch-size", "2", "--optimizer", "adamw", "--weight-decay", "0", "--tasks", "cola,stsb", "--for", "stsb:seed=7", "--output", theirs, "--quiet")
	r := glue.Recipe{Recipe: base, Names: []string{"cola", "stsb"}, For: map[string]map[string]recipe.Value{"stsb": {"seed": "7"}}}
	s, err := r.Prepare(glue.Options{Output: ours})
	if err != nil {
		t.Fatal(err)
	}
	summary, err := s.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	sameFiles(t, theirs, ours, glue.ResultsFile, glue.TableFile, finetune.RecipeFile, "cola/CoLA.tsv", "cola/glue.json", "cola/model.safetensors",
		"cola/eval_results.json", "stsb/glue.json", "stsb/model.safetensors")
	var b bytes.Buffer
	if err := jsonLine(&b, summary); err != nil || b.String() != printed {
		t.Errorf("%s, %v, the program printed %s", b.String(), err, printed)
	}
}

// A list's values are checked one by one, each flag is a key of its recipe, and the help gives the library's defaults.
func TestRecipeFlags(t *testing.T) {
	cmd := (&app{}).sweepCommand()
	flag := cmd.Flags().Lookup("learning-rate")
	if err := flag.Value.Set("2e-5, 0.00002,3e-5"); err != nil || flag.Value.String() != "2e-5, 0.00002,3e-5" {
		t.Errorf("%v, %v", flag.Value, err)
	}
	if err := flag.Value.Set("2e-5,fast"); err == nil || !strings.Contains(err.Error(), "want a number") || flag.Value.String() != "2e-5, 0.00002,3e-5" {
		t.Errorf("after a bad value: %v, %v", flag.Value, err)
	}
	labels := cmd.Flags().Lookup("labels")
	if err := errors.Join(labels.Value.Set("a,b"), labels.Value.Set("c")); err != nil || labels.Value.String() != "a,b,c" {
		t.Errorf("--labels a,b --labels c is %s, %v", labels.Value, err)
	}
	for name, want := range map[string]string{
		"num-train-epochs": "2", "train-batch-size": "32", "learning-rate": "2e-05", "weight-decay": "0.01", "seed": "42", "optimizer": "google",
		"max-seq-length": "0", "seeds": "1", "null-score-diff-threshold": "best", "data-format": "auto", "skip-bad": "false",
	} {
		if got := cmd.Flags().Lookup(name).DefValue; got != want {
			t.Errorf("--%s is %s by default, want %s", name, got, want)
		}
	}
	for _, key := range recipe.Keys(new(finetune.Recipe)) {
		name := strings.TrimPrefix(flagName(key), "--")
		has := cmd.Flags().Lookup(name) != nil
		switch key {
		case "micro_batch_size", "warmup_steps", "adam_beta1", "adam_beta2", "adam_epsilon", // for recipes alone
			"fast_reduce", "reduce_precision": // for runs that ranks share
			if has {
				t.Errorf("--%s is a flag: take it off this list", name)
			}
		default:
			if !has {
				t.Errorf("key %s has no flag", key)
			}
		}
	}
}
