package task

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/golden"
)

// The models of these cases have the weights of one small model, in files as other programs write them.

// TestGoldenCasesPredict predicts with a classifier whose files differ in what doesn't matter.
func TestGoldenCasesPredict(t *testing.T) {
	want := []float32{0.7116413, 0.085767105} // transformers, of 57-tie-false-classifier, where all read the file
	for _, test := range []struct {
		name   string
		labels string
		note   string // a part of what was assumed or left out
	}{
		{"50-zero-size", "bad good", "bert.encoder.layer.0.extra empty"},
		{"57-tie-false-classifier", "bad good", ""},
		{"55a-id2label-noncontiguous", "LABEL_0 bad", "no name for 0"},
		{"55b-id2label-int-values", "0 1", ""},
		{"55c-label2id-mismatch", "LABEL_0 LABEL_1", "id2label decides"},
		{"44d-train-ckpt-numpy-scalar", "bad good", ""},
		{"44f-train-ckpt-defaultdict", "bad good", ""},
		{"48a-metadata-null", "bad good", ""},
		{"68-nvidia-dense-act", "bad good", ""},
		{"71b-expanded", "bad good", ""},
		{"170d-onnx-fixed-shape", "bad good", "position embeddings for no more"},
		{"52d-tf-nvidia-amp", "LABEL_0 LABEL_1", "gelu is taken as tanh's approximation"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := golden.Shared(t, "cases", test.name, "m")
			var report bert.LoadReport
			o := Options{Model: bert.Options{Threads: 1}, Loaded: func(r bert.LoadReport) { report = r }}
			p, err := Open(t.Context(), dir, Predict(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			answers, err := p.Do(t.Context(), data.Texts("the cat is good"))
			if err != nil {
				t.Fatal(err)
			}
			tolerance := 2e-6 // relative, as the order of sums differs
			if test.name == "52d-tf-nvidia-amp" {
				tolerance = 1e-2 // the other form of gelu
			}
			for i, x := range answers[0].Logits {
				if math.Abs(float64(x-want[i])) > tolerance*math.Abs(float64(want[0])) {
					t.Errorf("logits %v, want %v", answers[0].Logits, want)
				}
			}
			if labels := strings.Join(p.Model().Config().Labels, " "); labels != test.labels {
				t.Errorf("labels %s, want %s", labels, test.labels)
			}
			notes := strings.Join(report.Assumed, "; ") + strings.Join(report.Unknown, " ")
			if !strings.Contains(notes, test.note) || (notes == "") != (test.note == "") {
				t.Errorf("notes %q, want %q", notes, test.note)
			}
		})
	}
}

// TestGoldenCasesEncode needs neither a pooler nor a class of Hugging Face's.
func TestGoldenCasesEncode(t *testing.T) {
	encode := func(dir string, o EncodeOptions) ([]Encoded, error) {
		e, err := Open(t.Context(), dir, Encode(o), Options{Model: bert.Options{Threads: 1}})
		if err != nil {
			return nil, err
		}
		defer e.Close()
		return e.Do(t.Context(), data.Texts("the cat"))
	}
	want, err := encode(golden.Shared(t, "cases", "base"), EncodeOptions{Pooling: MeanPooling})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"69a-bertmodel-no-pooler", "182-colbert"} {
		dir := golden.Shared(t, "cases", name, "m")
		got, err := encode(dir, EncodeOptions{Pooling: MeanPooling})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i, x := range got[0].Pooled {
			if x != want[0].Pooled[i] {
				t.Fatalf("%s: element %d is %v, want %v", name, i, x, want[0].Pooled[i])
			}
		}
		_, err = encode(dir, EncodeOptions{Pooling: PoolerPooling})
		if (err == nil) != (name == "182-colbert") || err != nil && !strings.Contains(err.Error(), "has no pooler") {
			t.Errorf("%s: the pooler gives %v", name, err)
		}
	}
}

// TestGoldenCasesFillMask reads a masked LM of which one of two tied tensors is there.
func TestGoldenCasesFillMask(t *testing.T) {
	dir := golden.Shared(t, "cases", "47b-mlm-decoder-bias-only", "m")
	f, err := Open(t.Context(), dir, FillMask(3), Options{Model: bert.Options{Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	masks, err := f.Do(t.Context(), data.Texts("the [MASK]"))
	if err != nil || len(masks[0]) != 1 || masks[0][0].Candidates[0].Token != "##z" {
		t.Errorf("%+v, %v", masks, err)
	}
}

// TestGoldenCasesRefused refuses by name what can't be run.
func TestGoldenCasesRefused(t *testing.T) {
	for name, want := range map[string]string{
		"153-distilbert-config": "a model of type distilbert",
		"54-model-type-roberta": "a model of type roberta",
		"58-relative-key":       `position_embedding_type is "relative_key"`,
		"66-lora-adapter":       `a LORA adapter of "bert-base"`,
	} {
		dir := golden.Shared(t, "cases", name, "m")
		for what, err := range map[string]error{
			"predict": opens(t, dir, Predict()), "encode": opens(t, dir, Encode(EncodeOptions{})),
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %s: %v, want %q", name, what, err, want)
			}
		}
	}
}

// opens opens a model for a use, and closes it.
func opens[T any](t *testing.T, dir string, use Use[T]) error {
	r, err := Open(t.Context(), dir, use, Options{Model: bert.Options{Threads: 1}})
	if err != nil {
		return err
	}
	return r.Close()
}

// TestGoldenCasesNaN names the text and the tensor where the embedding of a word is broken.
func TestGoldenCasesNaN(t *testing.T) {
	dir := golden.Shared(t, "cases", "119-nan-weights", "m")
	vocab, err := os.ReadFile(filepath.Join(dir, "vocab.txt"))
	if err != nil {
		t.Fatal(err)
	}
	word := strings.Split(string(vocab), "\n")[90]
	for _, pooling := range []Pooling{MeanPooling, PoolerPooling, NoPooling} {
		e, err := Open(t.Context(), dir, Encode(EncodeOptions{Pooling: pooling}), Options{Model: bert.Options{Threads: 1}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Do(t.Context(), data.Texts("the cat", "cat "+word, "a"))
		var input *InputError
		var broken *bert.NotFiniteError
		if !errors.As(err, &input) || input.Index != 1 || !errors.As(err, &broken) || broken.Tensor != "embeddings.word_embeddings.weight" || !errors.Is(err, bert.ErrNotFinite) {
			t.Errorf("%v: %v", pooling, err)
		}
		if _, err := e.Do(t.Context(), data.Texts("the cat")); err != nil {
			t.Errorf("%v: without the word: %v", pooling, err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}
