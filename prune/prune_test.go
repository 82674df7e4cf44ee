package prune

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/convert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/tinymodel"
	"github.com/go-bert/bert/quantize"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// lines are texts as a corpus.
func lines(texts ...string) func(context.Context) iter.Seq2[[]byte, error] {
	return func(context.Context) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for _, text := range texts {
				if !yield([]byte(text), nil) {
					return
				}
			}
		}
	}
}

// tiny makes a model directory.
func tiny(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	if err := tinymodel.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// classifier makes a model directory of a classifier of funny and dull texts, with a head of random weights and five layers.
func classifier(t *testing.T, head bert.Head) (dir string, spec task.Spec) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "classifier")
	c := bert.DefaultConfig()
	vocabulary := tinymodel.Vocabulary()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = len(vocabulary), 12, 5, 3, 20
	c.MaxPositionEmbeddings, c.Labels, c.InitializerRange = 32, []string{"fun", "dull"}, 0.3
	tok, err := tokenizer.New(vocabulary, tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	m, err := bert.New(c, bert.Options{Head: head, Seed: 3, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	text, err := task.Lookup("text")
	if err != nil {
		t.Fatal(err)
	}
	spec = text.Spec(c.Labels, 16)
	if err := errors.Join(m.Save(dir, bert.SaveOptions{}), tok.Save(dir, tokenizer.SaveOptions{}), spec.Save(dir)); err != nil {
		t.Fatal(err)
	}
	return dir, spec
}

var labelled = []data.Example{
	{Input: data.Input{Text: "a joy"}, Label: "fun"}, {Input: data.Input{Text: "the film was a joy"}, Label: "fun"},
	{Input: data.Input{Text: "dull film"}, Label: "dull"}, {Input: data.Input{Text: "bad, bad film"}, Label: "dull"},
}

// logits are a model's answers to texts.
func logits(t *testing.T, dir string, texts ...string) [][]float32 {
	t.Helper()
	m, err := bert.Load(t.Context(), dir, bert.Options{Head: bert.HeadOfTensors, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var (
		out [][]float32
		e   tokenizer.Encoding
		s   = m.NewSession()
	)
	for _, text := range texts {
		if err := tok.Encode(&e, text, tok.DefaultOptions()); err != nil {
			t.Fatal(err)
		}
		b := new(bert.Batch)
		b.Add(e.IDs, e.TypeIDs)
		r, err := s.Forward(b, bert.Outputs{LastHidden: true})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, slices.Concat(r.Logits, r.LastHidden))
	}
	return out
}

func sameLogits(t *testing.T, a, b [][]float32) {
	t.Helper()
	for i := range a {
		if !slices.Equal(a[i], b[i]) {
			t.Errorf("text %d: other bits", i)
		}
	}
}

func run(t *testing.T, in string, o Options) (string, *Result) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	o.Threads = 1
	r, err := Run(t.Context(), in, out, o)
	if err != nil {
		t.Fatal(err)
	}
	return out, r
}

// TestRunVocabulary: with a smaller vocabulary, the texts that it was kept for have the same tokens and bits, and no text becomes unknown.
func TestRunVocabulary(t *testing.T) {
	in, _ := classifier(t, bert.SequenceClassification)
	texts := []string{"the film was a joy", "dull, dull film!", "", "quite bad?"}
	out, r := run(t, in, Options{Vocabulary: &Vocabulary{Texts: lines(texts...)}})
	v := r.Vocabulary
	if v == nil || v.Before != 68 || v.After >= v.Before || v.After != r.After.Vocabulary || v.Special != 5 || v.Characters != 52+4 || v.Lacking != 0 {
		t.Fatalf("%+v", v)
	}
	if c := v.Corpus; c.Lines != 3 || c.Changed != 0 || c.TokensBefore != c.TokensAfter || c.TokensBefore == 0 || c.UnknownAfter != 0 {
		t.Errorf("%+v", c)
	}
	sameLogits(t, logits(t, out, texts...), logits(t, in, texts...))
	tok, err := tokenizer.Load(out)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := tok.ID("good"); ok {
		t.Error("a token is kept that the texts don't use")
	}
	var e tokenizer.Encoding
	if err := tok.Encode(&e, "good", tokenizer.Options{}); err != nil || slices.Contains(e.IDs, tok.UnknownID()) {
		t.Errorf("a word that was known is unknown: %v", err)
	}
	if _, err := task.LoadSpec(out); err != nil {
		t.Errorf("task.json is not carried along: %v", err)
	}
	for _, name := range []string{"vocab.txt", "tokenizer.json", "tokenizer_config.json"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil || !slices.Contains(r.Copied, name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	vocab, err := tokenizer.LoadVocab(filepath.Join(out, "vocab.txt"), tokenizer.DefaultConfig())
	if err != nil || vocab.VocabSize() != v.After {
		t.Errorf("vocab.txt has %d tokens, want %d: %v", vocab.VocabSize(), v.After, err)
	}

	// Without the characters, what the texts don't use is unknown.
	out, r = run(t, in, Options{Vocabulary: &Vocabulary{Texts: lines(texts...), DropCharacters: true}})
	if r.Vocabulary.Characters != 0 || r.Vocabulary.Corpus.Changed != 0 {
		t.Errorf("%+v", r.Vocabulary)
	}
	sameLogits(t, logits(t, out, texts...), logits(t, in, texts...))

	// Rare tokens are split, which is counted.
	_, r = run(t, in, Options{Vocabulary: &Vocabulary{Texts: lines(texts...), MinCount: 2}})
	if c := r.Vocabulary.Corpus; c.Changed != 2 || c.FirstChanged != 1 || c.TokensAfter <= c.TokensBefore || c.UnknownAfter != 0 {
		t.Errorf("%+v", c)
	}
	_, r = run(t, in, Options{Vocabulary: &Vocabulary{Texts: lines(texts...), Size: 62}})
	if r.After.Vocabulary != 62 {
		t.Errorf("%d tokens, want 62", r.After.Vocabulary)
	}
}

// TestRunNothing: where nothing is left out, the weights keep their bits.
func TestRunNothing(t *testing.T) {
	in := tiny(t)
	out, _ := run(t, in, Options{})
	for _, name := range []string{"model.safetensors", "vocab.txt", "tokenizer.json"} {
		was, err := os.ReadFile(filepath.Join(in, name))
		if err != nil {
			t.Fatal(err)
		}
		if is, err := os.ReadFile(filepath.Join(out, name)); err != nil || !bytes.Equal(is, was) {
			t.Errorf("%s is another: %v", name, err)
		}
	}
}

// TestRunParts leaves out everything at once, and asserts that the result loads, is fine-tuned no worse than any model, quantised, converted.
func TestRunParts(t *testing.T) {
	in, spec := classifier(t, bert.SequenceClassification)
	o := Options{
		Vocabulary: &Vocabulary{Texts: lines("the film was a joy", "dull film bad, a")}, Layers: Every(2, 5),
		Heads: Amount{N: 4}, Neurons: Amount{Share: 0.25}, Examples: &Examples{Spec: spec, Importance: labelled, Evaluation: labelled},
	}
	stages := make(map[Stage]bool)
	o.Progress = func(s Stage, _, _ int) { stages[s] = true }
	out, r := run(t, in, o)
	if r.After.Layers != 3 || r.After.Heads != 5 || r.After.Intermediate != 15 || r.Before.Heads != 15 {
		t.Errorf("%+v, before %+v", r.After, r.Before)
	}
	if r.ScoreBefore == nil || r.ScoreAfter == nil || r.ScoreBefore.Metric != "eval_accuracy" || r.Importances.Examples != len(labelled) {
		t.Errorf("%+v, %+v, %+v", r.ScoreBefore, r.ScoreAfter, r.Importances)
	}
	if !stages[Counting] || !stages[Measuring] || !stages[Evaluating] || !stages[Checking] {
		t.Errorf("stages %v", stages)
	}
	want := logits(t, out, "the film was dull")
	for _, format := range []convert.Format{convert.PyTorch, convert.ONNX} {
		other := filepath.Join(t.TempDir(), "other")
		if _, err := convert.Run(t.Context(), out, other, convert.Options{Format: format}); err != nil {
			t.Fatal(err)
		}
		sameLogits(t, logits(t, other, "the film was dull"), want)
	}
	small := filepath.Join(t.TempDir(), "int8")
	if _, err := quantize.Run(t.Context(), out, small, quantize.Options{}); err != nil {
		t.Fatal(err)
	}
	// From int8 weights comes a model of the numbers that they mean.
	again, r := run(t, small, Options{Layers: []int{0, 1, 2}})
	if r.DType.String() != "F32" {
		t.Errorf("weights of type %v", r.DType)
	}
	m, err := bert.Load(t.Context(), again, bert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if c := m.Config(); c.Quantization != nil || fmt.Sprint(c.PrunedHeads) == "map[]" {
		t.Errorf("quantization %v, pruned_heads %v", c.Quantization, c.PrunedHeads)
	}
	tr, err := m.NewTrainer()
	if err != nil {
		t.Fatal(err)
	}
	tr.Close()
}

// TestMeasure: importance is the mean over examples of the magnitudes of the gradients at masks.
func TestMeasure(t *testing.T) {
	in, spec := classifier(t, bert.SequenceClassification)
	m, err := bert.Load(t.Context(), in, bert.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	tok, err := tokenizer.Load(in)
	if err != nil {
		t.Fatal(err)
	}
	d, err := task.NewDataset(t.Context(), tok, spec, labelled)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Measure(t.Context(), m, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, loss := 0.0, 0.0
	for i := range d.Len() {
		var b bert.Batch
		if err := d.Append(&b, i); err != nil {
			t.Fatal(err)
		}
		g, err := m.NewSession().MaskGradients(&b)
		if err != nil {
			t.Fatal(err)
		}
		want += math.Abs(g.Heads[2][1]) / 4
		loss += g.Loss.Total / 4
	}
	if math.Abs(got.Heads[2][1]-want) > 1e-12 || math.Abs(got.Loss-loss) > 1e-9 || want == 0 {
		t.Errorf("importance %v, want %v; loss %v, want %v", got.Heads[2][1], want, got.Loss, loss)
	}
	for l, layer := range got.Normalized() {
		sum := 0.0
		for _, x := range layer {
			sum += x * x
		}
		if math.Abs(sum-1) > 1e-12 {
			t.Errorf("layer %d: squares sum to %v", l, sum)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Measure(ctx, m, d, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// TestLeast checks what is taken out: the least of all layers together once they are normalized, but never all of a layer.
func TestLeast(t *testing.T) {
	i := &Importances{Heads: [][]float64{{3, 4, 0.1}, {30, 1, 2}, {1, 1, 1}}, Neurons: [][]float64{{3, 1, 2, 1}, {0, 5, 0, 1}}}
	for n, want := range map[int]string{
		0: "[[0 1 2] [0 1 2] [0 1 2]]",
		1: "[[0 1] [0 1 2] [0 1 2]]",
		3: "[[0 1] [0] [0 1 2]]",
		6: "[[1] [0] [2]]",
	} {
		if got, err := i.LeastHeads(n); err != nil || fmt.Sprint(got) != want {
			t.Errorf("without %d heads: %v, %v, want %s", n, got, err, want)
		}
	}
	for _, n := range []int{-1, 7} {
		if _, err := i.LeastHeads(n); err == nil {
			t.Errorf("%d heads: want an error", n)
		}
	}
	if got, err := i.LeastNeurons(2); err != nil || fmt.Sprint(got) != "[[0 2] [1 3]]" {
		t.Errorf("without 2 neurons: %v, %v", got, err)
	}
	if _, err := i.LeastNeurons(4); err == nil {
		t.Error("all neurons: want an error")
	}
}

// TestEvaluate: the first cut is the model as it is, and each next one has fewer parameters.
func TestEvaluate(t *testing.T) {
	in, spec := classifier(t, bert.SequenceClassification)
	e, err := Evaluate(t.Context(), in, &Examples{Spec: spec, Importance: labelled, Evaluation: labelled}, []float64{0.2, 0.5, 0.9, 0.95}, bert.Options{Threads: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var heads []int
	for i, c := range e.Cuts {
		heads = append(heads, c.Heads)
		if i > 0 && c.Parameters >= e.Cuts[i-1].Parameters || math.Abs(c.Lost-(e.Cuts[0].Score.Value-c.Score.Value)) > 1e-12 {
			t.Errorf("cut %d: %+v", i, c)
		}
	}
	if !slices.Equal(heads, []int{0, 3, 8, 10}) {
		t.Errorf("cuts of %v heads", heads)
	}
	if text, err := json.Marshal(e); err != nil || !strings.HasPrefix(string(text), `{"size":{"parameters":`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestRunRefuses(t *testing.T) {
	in, spec := classifier(t, bert.SequenceClassification)
	broken := errors.New("broken")
	for want, o := range map[string]Options{
		"there are none": {Heads: Amount{N: 1}},
		"13 heads to take out of 15, want 0 to 10":              {Heads: Amount{N: 13}, Examples: &Examples{Spec: spec, Importance: labelled}},
		"20 neurons to take out of 20 of each layer":            {Neurons: Amount{N: 20}, Examples: &Examples{Spec: spec, Importance: labelled}},
		"5 of the layers to keep, want 0 to 4":                  {Layers: []int{1, 5}},
		"a vocabulary of 20 tokens is too small":                {Vocabulary: &Vocabulary{Texts: lines("a"), Size: 20}},
		"the texts that the vocabulary is to be kept for are e": {Vocabulary: &Vocabulary{Texts: lines("", " ")}},
		"line 2 of the texts":                                   {Vocabulary: &Vocabulary{Texts: lines("a", "\xff")}},
		"broken": {Vocabulary: &Vocabulary{Texts: func(context.Context) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) { yield(nil, broken) }
		}}},
	} {
		out := filepath.Join(t.TempDir(), "out")
		if _, err := Run(t.Context(), in, out, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something was written", want)
		}
	}
	// The texts change between the two times that they are read.
	reads := 0
	out := filepath.Join(t.TempDir(), "out")
	_, err := Run(t.Context(), in, out, Options{Vocabulary: &Vocabulary{Texts: func(ctx context.Context) iter.Seq2[[]byte, error] {
		if reads++; reads == 1 {
			return lines("a joy")(ctx)
		}
		return lines("a", "good film")(ctx)
	}}})
	var changed *ChangedError
	if !errors.As(err, &changed) || changed.Check.FirstChanged != 2 {
		t.Errorf("other texts the second time: %v", err)
	}
	if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
		t.Error("something was written")
	}
}

// TestPipeline: a sentence-transformers folder stays one.
func TestPipeline(t *testing.T) {
	in := tiny(t)
	st := filepath.Join(t.TempDir(), "st")
	if _, err := convert.Run(t.Context(), in, st, convert.Options{Format: convert.SentenceTransformers, Normalize: true}); err != nil {
		t.Fatal(err)
	}
	out, _ := run(t, st, Options{Vocabulary: &Vocabulary{Texts: lines("a good film")}})
	vectors := func(dir string) []float32 {
		r, err := task.Open(t.Context(), dir, task.Encode(task.EncodeOptions{}), task.Options{Model: bert.Options{Threads: 1}})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		e, err := r.Do(t.Context(), data.Texts("a good film"))
		if err != nil {
			t.Fatal(err)
		}
		return e[0].Pooled
	}
	if got := vectors(out); len(got) == 0 || !slices.Equal(got, vectors(st)) {
		t.Error("the vector of a text has changed")
	}
}
