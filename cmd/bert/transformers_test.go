package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/tokenizer"
)

// TestGoldenTransformers lets Hugging Face's transformers.js load what bert convert --to onnx writes: configuration,
// tokenizer and graph. It must say what bert itself says, of a padded batch too.
func TestGoldenTransformers(t *testing.T) {
	modules := filepath.Dir(filepath.Dir(filepath.Dir(golden.Peers(t, "node", "node_modules", "@huggingface", "transformers"))))
	program, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("no node to run transformers.js with, which BERT_PEERS asks for")
	}
	dir := t.TempDir()
	ours := func(v any, args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if status := run(args, strings.NewReader(""), &stdout, &stderr); status != exitDone {
			t.Fatalf("%q: exit status %d: %s", args, status, &stderr)
		}
		for line := range bytes.Lines(stdout.Bytes()) {
			if err := json.Unmarshal(line, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	vocabulary := tinyVocabulary()
	for name, head := range map[string]bert.Head{"classifier": bert.SequenceClassification, "mlm": bert.MaskedLM, "encoder": bert.NoHead} {
		c := bert.DefaultConfig()
		c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = len(vocabulary), 12, 2, 2, 20
		c.MaxPositionEmbeddings, c.InitializerRange, c.Labels = 32, 0.5, []string{"bad", "good"}
		m, err := bert.New(c, bert.Options{Head: head, Seed: 1, Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		tok, err := tokenizer.New(vocabulary, tokenizer.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		from := filepath.Join(dir, "from-"+name)
		if err := m.Save(from, bert.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := tok.Save(from, tokenizer.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		ours(nil, "convert", from, filepath.Join(dir, name), "--to", "onnx")
	}
	texts := []string{"A good film,", "dull"}

	cmd := exec.Command(program, append([]string{filepath.Join("testdata", "transformers.mjs"), modules, dir + string(os.PathSeparator)}, texts...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, &stderr)
	}
	var theirs struct {
		Labels [][]struct {
			Label string
			Score float64
		}
		Tokens  []float64
		Vectors [][]float64
	}
	if err := json.Unmarshal(output, &theirs); err != nil {
		t.Fatal(err)
	}
	const bound = 1e-5 // relative to 1, which is about the largest of the values
	near := func(what string, got, want float64) {
		t.Helper()
		if !(math.Abs(got-want) <= bound*max(1, math.Abs(want))) {
			t.Errorf("%s is %.8g, ours is %.8g", what, got, want)
		}
	}
	for i, text := range texts {
		var prediction struct{ Probabilities map[string]float64 }
		ours(&prediction, "predict", "--model", filepath.Join(dir, "from-classifier"), text)
		if len(theirs.Labels[i]) != 2 {
			t.Errorf("%q has %d labels, want 2", text, len(theirs.Labels[i]))
		}
		for _, l := range theirs.Labels[i] {
			near("the probability of "+l.Label, l.Score, prediction.Probabilities[l.Label])
		}
		var encoded struct{ Pooled []float64 }
		ours(&encoded, "encode", "--model", filepath.Join(dir, "from-encoder"), "--pooling", "mean", text)
		if len(encoded.Pooled) == 0 || len(encoded.Pooled) != len(theirs.Vectors[i]) {
			t.Fatalf("%q has vectors of %d and %d", text, len(theirs.Vectors[i]), len(encoded.Pooled))
		}
		for j := range encoded.Pooled {
			near("an element of a vector", theirs.Vectors[i][j], encoded.Pooled[j])
		}
	}
	var filled struct {
		Candidates []struct{ Probability float64 }
	}
	ours(&filled, "fill-mask", "--model", filepath.Join(dir, "from-mlm"), "--top-k", "3", texts[0]+" [MASK]")
	if len(filled.Candidates) != 3 || len(theirs.Tokens) != 3 {
		t.Fatalf("%d and %d candidates, want 3", len(theirs.Tokens), len(filled.Candidates))
	}
	for i, c := range filled.Candidates {
		near("the probability of a token", theirs.Tokens[i], c.Probability)
	}
}
