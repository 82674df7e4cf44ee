package quantize

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/internal/tinymodel"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/task"
)

func tinyModel(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	if err := tinymodel.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

var texts = data.Texts("the film was a joy", "dull", "good, good film!", "was it bad?")

// TestRun asserts that a folder appears whole, with the tokenizer and weights of about a quarter, and only once.
func TestRun(t *testing.T) {
	dir := tinyModel(t)
	scales, err := Calibrate(t.Context(), dir, texts, CalibrateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "int8")
	r, err := Run(t.Context(), dir, out, Options{Layers: bert.Quantize{WeightsOnly: []string{}, InputScales: scales}})
	if err != nil {
		t.Fatal(err)
	}
	if r.DType != checkpoint.I8 || !slices.Contains(r.Copied, "vocab.txt") {
		t.Errorf("the result is %+v", r)
	}
	d, err := task.Describe(t.Context(), out)
	if err != nil {
		t.Fatal(err)
	}
	if p := d.Config.DefaultPrecision(); p != bert.Int8 {
		t.Errorf("the precision is %v", p)
	}
	if _, err := Run(t.Context(), dir, out, Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the error of a folder that is there is %v", err)
	}
	again := filepath.Join(t.TempDir(), "again")
	if _, err := Run(t.Context(), out, again, Options{}); err == nil || !strings.Contains(err.Error(), "int8 already") {
		t.Errorf("the error of a model that is int8 is %v", err)
	}
	for _, path := range []string{again, filepath.Join(t.TempDir(), "bad")} {
		if _, err := Run(t.Context(), dir, path, Options{Layers: bert.Quantize{Keep: []string{"7"}}}); err == nil {
			t.Error("layers that there are not are no error")
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is there", path)
		}
	}
}

// TestEvaluate asserts what the lines of an evaluation are, that they are what their layers cost, and that the recommendation keeps to the
// loss that is allowed.
func TestEvaluate(t *testing.T) {
	dir := tinyModel(t)
	d, err := task.Describe(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	measure := OnTexts(dir, texts)
	e, err := Evaluate(t.Context(), d.Config, bert.NoHead, measure, EvaluateOptions{Progress: func(done, all int, _ string) {
		if done != steps || done >= all {
			t.Errorf("progress %d of %d, want %d", done, all, steps)
		}
		steps++
	}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i, l := range e.Lines {
		names = append(names, l.Layers)
		if i > 0 && l.Lost > e.Lines[i-1].Lost {
			t.Errorf("%s lost more than the line before", l.Layers)
		}
		if l.Saved <= 0 || math.Abs(e.Float32-l.Value-l.Lost) > 1e-12 {
			t.Errorf("line %+v", l)
		}
	}
	slices.Sort(names)
	want := []string{
		"all", "attention.output", "block 0", "block 1", "embeddings", "intermediate", "output", "query, key, value", "query, key, value, weights only",
	}
	if !slices.Equal(names, want) || e.Metric != "cosine" || math.Abs(e.Float32-1) > 1e-6 {
		t.Errorf("lines %q of %s, %g in float32", names, e.Metric, e.Float32)
	}
	// A metric that int8 products ruin, and one that everything does.
	for name, ruined := range map[string]func(bert.Quantize) bool{
		"query":      func(q bert.Quantize) bool { return !slices.Contains(q.WeightsOnly, "query") },
		"embeddings": func(q bert.Quantize) bool { return !slices.Contains(q.Keep, "embeddings") },
		"all":        func(q bert.Quantize) bool { return !slices.Contains(q.Keep, "intermediate") },
	} {
		e, err := Evaluate(t.Context(), d.Config, bert.NoHead, func(_ context.Context, o bert.Options) (Score, error) {
			s := Score{Metric: "test", Value: 1}
			if o.Quantize != nil && ruined(*o.Quantize) {
				s.Value = 0.5
			}
			return s, nil
		}, EvaluateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if e.Recommended.Lost != 0 || ruined(bert.Quantize{Keep: e.Keep, WeightsOnly: e.WeightsOnly}) {
			t.Errorf("%s: recommended are --keep %v --weights-only %v", name, e.Keep, e.WeightsOnly)
		}
	}
}

// TestGoldenMiniLMQuantized holds all-MiniLM-L6-v2 with int8 weights, calibrated with 400 sentences of STS-B's training data, and with
// all products in int8, to the vectors of its authors and to STS-B's labels.
func TestGoldenMiniLMQuantized(t *testing.T) {
	if testing.Short() {
		t.Skip("encodes 3,000 sentences")
	}
	var (
		dir  = golden.Models(t, "minilm")
		stsb = golden.Shared(t, "data", "glue", "STS-B")
		path = golden.Shared(t, "golden", "minilm", "texts.txt")
	)
	sts, err := task.Lookup("stsb")
	if err != nil {
		t.Fatal(err)
	}
	train, err := sts.Read(t.Context(), stsb, data.ReadOptions{Split: data.Train})
	if err != nil {
		t.Fatal(err)
	}
	var sentences []string
	for _, x := range data.Draw(train.Examples, 200, 1) {
		sentences = append(sentences, x.Text, x.TextPair)
	}
	scales, err := Calibrate(t.Context(), dir, data.Texts(sentences...), CalibrateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "int8")
	if _, err := Run(t.Context(), dir, out, Options{Layers: bert.Quantize{WeightsOnly: []string{}, InputScales: scales}}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(out, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 24e6 {
		t.Errorf("the weights take %d bytes, want a quarter of 90.9 MB", info.Size())
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	texts := data.Texts(strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")...)
	// The vectors to compare with are those of the float32 model: TestGoldenMiniLM in package task holds them to the authors'.
	measure := OnTexts(dir, texts)
	score, err := measure(t.Context(), bert.Options{Precision: bert.Int8, Quantize: &bert.Quantize{WeightsOnly: []string{}, InputScales: scales}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the mean cosine is %.5f, the least %.5f", score.Value, score.Least)
	if score.Value < 0.998 || score.Least < 0.985 {
		t.Error("want a mean of at least 0.998 and a least of at least 0.985")
	}
	dev, err := sts.Read(t.Context(), stsb, data.ReadOptions{Split: data.Dev})
	if err != nil {
		t.Fatal(err)
	}
	inputs, labels, scores := make([]data.Input, len(dev.Examples)), make([]float64, len(dev.Examples)), make([]float64, len(dev.Examples))
	for i, x := range dev.Examples {
		inputs[i] = x.Input
		if err := json.Unmarshal([]byte(x.Label), &labels[i]); err != nil {
			t.Fatal(err)
		}
	}
	c, err := task.Open(t.Context(), out, task.Compare(task.EncodeOptions{}), task.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := c.Do(t.Context(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		scores[i] = got[i].Of()
	}
	spearman, err := metric.Spearman(labels, scores)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Spearman's correlation is %.5f", spearman)
	if math.Abs(spearman-0.86733) > 3e-3 {
		t.Errorf("Spearman's correlation is %.5f, want 0.86733 to within 0.003", spearman)
	}
}
