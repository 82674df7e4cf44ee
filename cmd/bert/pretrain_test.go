package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/pretrain"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// TestPretrainIsTheLibrary: bert pretrain and a Go program that has the same recipe make the same files, to the bit.
func TestPretrainIsTheLibrary(t *testing.T) {
	dir := t.TempDir()
	tok, err := tokenizer.New(tinyVocabulary(), tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	instances := filepath.Join(dir, "instances")
	o := pretrain.DefaultInstanceOptions()
	o.MaxSeqLength, o.DupeFactor, o.Dynamic = 16, 1, true
	o.MaxPredictions = 4
	job := pretrain.InstanceJob{
		Corpus:    &pretrain.Corpus{Paths: []string{"-"}, Stdin: strings.NewReader(strings.Repeat("the film was good .\nit was a joy !\n\na bad , dull film\n\n", 40))},
		Tokenizer: tok, Dir: instances, Options: o,
	}
	if _, err := job.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := bert.DefaultConfig()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize, c.MaxPositionEmbeddings = tok.VocabSize(), 12, 2, 2, 20, 16
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "config.json")
	if err := os.WriteFile(config, data, 0o666); err != nil {
		t.Fatal(err)
	}

	r := pretrain.Recipe{
		Instances: []string{instances}, EvalShare: 0.25, Config: config, TokenBudget: pretrain.PerPhase{120}, Precision: bert.BFloat16,
		Training: pretrain.Training{
			Epochs: 1.5, Accumulation: 2, LearningRate: 3e-3, Optimizer: train.AdamW, WarmupSteps: new(0), WeightDecay: new(0.0),
			EvalSteps: 3, BestMetric: "masked_lm_accuracy", Seed: new(uint64(7)),
		},
	}
	library := filepath.Join(dir, "library")
	prepared, err := r.Prepare(t.Context(), pretrain.Options{Output: library, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer prepared.Close()
	result, err := prepared.Run(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}

	program := filepath.Join(dir, "program")
	var stdout, stderr bytes.Buffer
	status := run([]string{
		"pretrain", "--instances", instances, "--eval-share", "0.25", "--config", config, "--token-budget", "120", "--precision", "bf16",
		"--num-train-epochs", "1.5", "--gradient-accumulation-steps", "2", "--learning-rate", "3e-3", "--optimizer", "adamw", "--warmup-steps", "0",
		"--weight-decay", "0", "--eval-steps", "3", "--metric-for-best-model", "masked_lm_accuracy", "--seed", "7", "--output", program, "--json",
	}, strings.NewReader(""), &stdout, &stderr)
	if status != exitDone {
		t.Fatalf("status %d: %s", status, &stderr)
	}
	for _, name := range []string{"model.safetensors", pretrain.ResultsFile, pretrain.RecipeFile, "config.json", "vocab.txt"} {
		var files [2][]byte
		for i, dir := range []string{library, program} {
			if files[i], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(files[0], files[1]) {
			t.Errorf("%s differs", name)
		}
	}
	var printed pretrain.Evaluation
	if err := json.NewDecoder(&stdout).Decode(&printed); err != nil || printed.Loss != result.Evaluation.Loss {
		t.Errorf("the program printed a loss of %v, %v; want %v", printed.Loss, err, result.Evaluation.Loss)
	}
	if rest, err := io.ReadAll(&stdout); err != nil || strings.TrimSpace(string(rest)) != "" {
		t.Errorf("and %q, %v", rest, err)
	}
}

// TestPretrainFlags: each key of a recipe has a flag of its name, with the library's default, and each flag that is no key says
// nothing about the result.
func TestPretrainFlags(t *testing.T) {
	cmd := (&app{}).pretrainCommand()
	defaults := pretrain.Recipe{}.WithDefaults()
	keys := recipe.Keys(&defaults)
	for _, key := range keys {
		if key == "max_steps" { // num_train_steps replaces it
			continue
		}
		flag := cmd.Flags().Lookup(strings.TrimPrefix(flagName(key), "--"))
		if flag == nil {
			t.Errorf("the key %s has no flag", key)
			continue
		}
		if want, _ := recipe.Text(&defaults, key); key != "instances" && key != "probe" && key != "num_train_steps" && flag.DefValue != want {
			t.Errorf("--%s has the default %q, want the library's, %q", flag.Name, flag.DefValue, want)
		}
	}
	own := []string{"output", "resume", "allow-other-kernels", "recipe", "print-recipe", "threads", "ranks", "format", "json"}
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if !slices.Contains(keys, strings.ReplaceAll(flag.Name, "-", "_")) && !slices.Contains(own, flag.Name) {
			t.Errorf("--%s is no key of a recipe", flag.Name)
		}
	})
}
