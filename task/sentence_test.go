package task

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/convert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/sentence"
)

// sentenceCase is a folder of sentence-transformers and what the library makes of texts: see testdata/sentence/make.py.
type sentenceCase struct {
	Name       string            `json:"name"`
	Model      string            `json:"model"` // the folder in testdata/sentence that Files are put over
	At         string            `json:"at"`    // where that lies
	Files      map[string]string `json:"files"`
	Prompt     *string           `json:"prompt"`
	PromptName string            `json:"prompt_name"`

	Vectors      [][]float64 `json:"vectors"`
	Similarities []float64   `json:"similarities"`
	Scores       []float64   `json:"scores"`
}

// sentenceTexts and sentencePairs are what the library was given.
var (
	sentenceTexts = []string{
		"the film was good", "a joy . a joy ! the film", "", "Bad Film, Dull!", "it is a very very long text and it goes on and on to the end", "m",
	}
	sentencePairs = []data.Input{{Text: "the film was good", TextPair: "a good film"}, {Text: "bad", TextPair: "a joy ! a joy !"}}
)

func readSentenceCases(t testing.TB) []sentenceCase {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "sentence", "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []sentenceCase
	if err := json.Unmarshal(content, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// write makes the folder.
func (c *sentenceCase) write(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, c.At), os.DirFS(filepath.Join("testdata", "sentence", c.Model))); err != nil {
		t.Fatal(err)
	}
	for name, content := range c.Files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if data, ok := strings.CutPrefix(content, "base64:"); ok {
			binary, err := base64.StdEncoding.DecodeString(data)
			if err != nil {
				t.Fatal(err)
			}
			content = string(binary)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// encodeAll opens a folder and encodes texts, together and one by one, which has to give the same bits.
func encodeAll(t testing.TB, dir string, o EncodeOptions, texts []string, model bert.Options) []Encoded {
	t.Helper()
	e, err := Open(t.Context(), dir, Encode(o), Options{Model: model, Tokens: 40})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	together, err := e.Do(t.Context(), data.Texts(texts...))
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		alone, err := e.Do(t.Context(), data.Texts(text))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(alone[0].Pooled, together[i].Pooled) {
			t.Errorf("text %d has other bits alone than in a batch", i)
		}
	}
	return together
}

// sentenceTolerance is for vectors of a few elements around 1, which both sides compute in float32.
const sentenceTolerance = 5e-6

func closeTo(a, b, tolerance float64) bool {
	return math.Abs(a-b) <= tolerance*max(1, math.Abs(b))
}

func (c *sentenceCase) checkVectors(t *testing.T, got []Encoded) {
	t.Helper()
	for i, want := range c.Vectors {
		if len(got[i].Pooled) != len(want) {
			t.Errorf("text %d: %d numbers, want %d", i, len(got[i].Pooled), len(want))
			continue
		}
		for j, x := range want {
			if !closeTo(float64(got[i].Pooled[j]), x, sentenceTolerance) {
				t.Errorf("text %d, element %d: %v, want %v", i, j, got[i].Pooled[j], x)
				break
			}
		}
	}
}

// TestSentenceTransformers holds folders to what sentence-transformers makes of them.
func TestSentenceTransformers(t *testing.T) {
	for _, c := range readSentenceCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			dir := c.write(t)
			o := EncodeOptions{Prompt: c.Prompt, PromptName: c.PromptName}
			if c.Vectors != nil {
				got := encodeAll(t, dir, o, sentenceTexts, bert.Options{Threads: 1})
				c.checkVectors(t, got)
				for i, x := range encodeAll(t, dir, o, sentenceTexts, bert.Options{Threads: 3}) {
					if !slices.Equal(x.Pooled, got[i].Pooled) {
						t.Errorf("text %d has other bits with three threads", i)
					}
				}
			}
			if c.Similarities != nil {
				r, err := Open(t.Context(), dir, Compare(o), Options{Model: bert.Options{Threads: 1}})
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				got, err := r.Do(t.Context(), sentencePairs)
				if err != nil {
					t.Fatal(err)
				}
				for i, want := range c.Similarities {
					if !closeTo(got[i].Of(), want, sentenceTolerance) || (got[i].Value == nil) != strings.HasSuffix(c.Name, "cosine") {
						t.Errorf("pair %d: %+v, want %v", i, got[i], want)
					}
				}
			}
			if c.Scores != nil {
				r, err := Open(t.Context(), dir, Predict(), Options{Model: bert.Options{Threads: 1}})
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				got, err := r.Do(t.Context(), sentencePairs)
				if err != nil {
					t.Fatal(err)
				}
				for i, want := range c.Scores {
					if got[i].Value == nil || !closeTo(*got[i].Value, want, sentenceTolerance) {
						t.Errorf("pair %d: %v, want %v", i, got[i], want)
					}
				}
			}
		})
	}
}

// A folder that convert writes gives the vectors of the one that it was given.
func TestSentenceTransformersConverted(t *testing.T) {
	converted := 0
	for _, c := range readSentenceCases(t) {
		if !slices.Contains([]string{
			"whole folder", "encoder in a folder", "default prompt, without it", "dense of PyTorch", "layer norm and dropout", "lower-cased",
			"length of another name", "first dimensions",
		}, c.Name) {
			continue
		}
		converted++
		t.Run(c.Name, func(t *testing.T) {
			dir := c.write(t)
			for _, format := range []convert.Format{convert.HuggingFace, convert.PyTorch, convert.SentenceTransformers} {
				out := filepath.Join(t.TempDir(), "out")
				if _, err := convert.Run(t.Context(), dir, out, convert.Options{Format: format}); err != nil {
					t.Fatal(err)
				}
				c.checkVectors(t, encodeAll(t, out, EncodeOptions{Prompt: c.Prompt, PromptName: c.PromptName}, sentenceTexts, bert.Options{Threads: 1}))
			}
			for _, format := range []convert.Format{convert.Google, convert.ONNX} {
				out := filepath.Join(t.TempDir(), "out")
				r, err := convert.Run(t.Context(), dir, out, convert.Options{Format: format})
				if err != nil {
					t.Fatal(err)
				}
				if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, "left behind: this format has no place for it") {
					t.Errorf("%v: notes %q", format, notes)
				}
				if _, err := os.Stat(filepath.Join(out, "modules.json")); err == nil {
					t.Errorf("%v: modules.json is there", format)
				}
			}
		})
	}
	if converted != 8 {
		t.Errorf("%d cases were converted, want 8", converted)
	}
}

// A new pipeline of a plain BERT gives what the poolings do.
func TestNewPipeline(t *testing.T) {
	plain := filepath.Join("testdata", "sentence", "encoder")
	for name, o := range map[string]convert.Options{
		"mean":      {},
		"max":       {Pooling: []sentence.Mode{sentence.Max}},
		"lasttoken": {Pooling: []sentence.Mode{sentence.LastToken}, Normalize: true},
	} {
		o.Format = convert.SentenceTransformers
		out := filepath.Join(t.TempDir(), "out")
		if _, err := convert.Run(t.Context(), plain, out, o); err != nil {
			t.Fatal(err)
		}
		pooling, err := ParsePooling(name)
		if err != nil {
			t.Fatal(err)
		}
		got := encodeAll(t, out, EncodeOptions{}, sentenceTexts, bert.Options{Threads: 1})
		want := encodeAll(t, plain, EncodeOptions{Pooling: pooling, Normalize: o.Normalize, MaxLength: 20}, sentenceTexts, bert.Options{Threads: 1})
		for i := range want {
			if !slices.Equal(got[i].Pooled, want[i].Pooled) || got[i].DroppedTokens != want[i].DroppedTokens {
				t.Errorf("%s, text %d: %v, want %v", name, i, got[i], want[i])
			}
		}
	}
	_, err := convert.Run(t.Context(), plain, filepath.Join(t.TempDir(), "out"), convert.Options{Normalize: true})
	wantError(t, err, "a pipeline is made for sentence-transformers only")
}

// A cross-encoder is evaluated by its scores, and one that was fine-tuned here by its values.
func TestSentenceTransformersEvaluated(t *testing.T) {
	cases := readSentenceCases(t)
	i := slices.IndexFunc(cases, func(c sentenceCase) bool { return c.Name == "cross-encoder: older key, tanh" })
	dir := cases[i].write(t)
	stsb, err := Lookup("stsb")
	if err != nil {
		t.Fatal(err)
	}
	for _, saved := range []bool{false, true} {
		d, err := Describe(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.For(stsb, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]string{false: "Tanh", true: "Identity"}[saved]; s.Activation.String() != want || d.Saved != saved {
			t.Errorf("saved %v: the activation is %v, want %s", d.Saved, s.Activation, want)
		}
		if err := s.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// A cross-encoder with a module after its head is refused, and so is a classifier of which it can't be known; vectors are another matter.
func TestSentenceTransformersRefused(t *testing.T) {
	whole := sentenceCase{Model: "cross", Files: map[string]string{
		"modules.json": `[{"name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
			{"name": "1", "path": "1_LogitScore", "type": "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"}]`,
		"config_sentence_transformers.json": `{"model_type": "CrossEncoder"}`,
	}}
	wantError(t, opens(t, whole.write(t), Predict()), "modules.json: module 1 is sentence_transformers.cross_encoder.modules.logit_score.LogitScore, which is not supported")
	whole.Files["modules.json"] = `[`
	wantError(t, opens(t, whole.write(t), Predict()), "modules.json: not JSON")
	wantError(t, opens(t, whole.write(t), Encode(EncodeOptions{Pooling: MeanPooling})), "modules.json: not JSON")
	delete(whole.Files, "config_sentence_transformers.json")
	whole.Files["modules.json"] = `[{"name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
		{"name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]`
	wantError(t, opens(t, whole.write(t), Encode(EncodeOptions{})), filepath.Join("1_Pooling", "config.json")+": ")
}

// TestGoldenCasesPipeline gives the vector of a folder with a Dense layer, and nothing else. The numbers are those of
// sentence-transformers 6.2.
func TestGoldenCasesPipeline(t *testing.T) {
	dir := golden.Shared(t, "cases", "61b-st-dense", "m")
	want := sentenceCase{Vectors: [][]float64{{1, 0.5035958, -0.9110727, -0.9902589, 0.9999996, -0.2376714, -0.5158318, -0.9984944}}}
	got := encodeAll(t, dir, EncodeOptions{}, []string{"the cat"}, bert.Options{Threads: 1})
	want.checkVectors(t, got)
	if got[0].Layers != nil {
		t.Errorf("%d layers, want none", len(got[0].Layers))
	}
}

// goldenMiniLM are the texts of ../shared/golden/minilm and the vectors that sentence-transformers gives all-MiniLM-L6-v2 of them.
func goldenMiniLM(t *testing.T) (texts []string, vectors [][]float32) {
	t.Helper()
	content, err := os.ReadFile(golden.Shared(t, "golden", "minilm", "texts.txt"))
	if err != nil {
		t.Fatal(err)
	}
	texts = strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	raw, err := os.ReadFile(golden.Shared(t, "golden", "minilm", "vectors.f32"))
	if err != nil {
		t.Fatal(err)
	}
	const width = 384
	if len(raw) != 4*width*len(texts) {
		t.Fatalf("%d bytes of vectors for %d texts", len(raw), len(texts))
	}
	all := make([]float32, width*len(texts))
	stored := checkpoint.Tensor{DType: checkpoint.F32, Shape: []int{len(texts), width}, Data: raw}
	if err := stored.Float32(all); err != nil {
		t.Fatal(err)
	}
	for i := range texts {
		vectors = append(vectors, all[i*width:(i+1)*width])
	}
	return texts, vectors
}

// TestGoldenMiniLM holds a published model to sentence-transformers: the largest difference is at most 1e-5.
func TestGoldenMiniLM(t *testing.T) {
	dir := golden.Models(t, "minilm")
	texts, want := goldenMiniLM(t)
	e, err := Open(t.Context(), dir, Encode(EncodeOptions{}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	got, err := e.Do(t.Context(), data.Texts(texts...))
	if err != nil {
		t.Fatal(err)
	}
	largest, truncated := 0.0, 0
	for i := range got {
		if got[i].Truncated {
			truncated++
		}
		for j, x := range want[i] {
			largest = max(largest, math.Abs(float64(got[i].Pooled[j]-x)))
		}
	}
	t.Logf("the largest difference is %.2g; %d of %d texts were truncated", largest, truncated, len(texts))
	if largest > 1e-5 || truncated == 0 {
		t.Errorf("the largest difference is %.2g, want at most 1e-5; %d texts truncated, want some", largest, truncated)
	}
}

// TestGoldenMiniLMAtInt8 computes the vectors at int8: the mean cosine to those of the model's authors is at least 0.998.
func TestGoldenMiniLMAtInt8(t *testing.T) {
	texts, want := goldenMiniLM(t)
	e, err := Open(t.Context(), golden.Models(t, "minilm"), Encode(EncodeOptions{}), Options{Model: bert.Options{Precision: bert.Int8}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	got, err := e.Do(t.Context(), data.Texts(texts...))
	if err != nil {
		t.Fatal(err)
	}
	mean, least := 0.0, 1.0
	for i := range got {
		c := Cosine(got[i].Pooled, want[i])
		mean += c / float64(len(got))
		least = min(least, c)
	}
	t.Logf("of %d texts the mean cosine is %.5f, the least %.5f", len(got), mean, least)
	if mean < 0.998 || least < 0.985 {
		t.Errorf("the mean cosine is %.5f, want at least 0.998; the least is %.5f, want at least 0.985", mean, least)
	}
}

// TestGoldenMiniLMInt8 runs 8-bit exports of the model in its folder: the mean cosine to the vectors of the original is at least 0.985.
func TestGoldenMiniLMInt8(t *testing.T) {
	if testing.Short() {
		t.Skip("loads two models")
	}
	texts, want := goldenMiniLM(t)
	for _, name := range []string{"minilm-int8-a.onnx", "minilm-int8-b.onnx"} {
		graph, original := golden.Models(t, name), golden.Models(t, "minilm")
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(original)); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, "model.safetensors")); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(graph)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "model.onnx"), content, 0o666); err != nil {
			t.Fatal(err)
		}
		e, err := Open(t.Context(), dir, Encode(EncodeOptions{}), Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Do(t.Context(), data.Texts(texts...))
		if err != nil {
			t.Fatal(err)
		}
		mean := 0.0
		for i := range got {
			mean += Cosine(got[i].Pooled, want[i]) / float64(len(got))
		}
		t.Logf("%s: the mean cosine is %.5f", name, mean)
		if mean < 0.985 {
			t.Errorf("%s: the mean cosine is %.5f, want at least 0.985", name, mean)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestGoldenMiniLMSimilarity scores STS-B: Spearman's correlation is that of sentence-transformers, 0.8673, and at int8 at most 0.3
// points from it.
func TestGoldenMiniLMSimilarity(t *testing.T) {
	if testing.Short() {
		t.Skip("encodes 3,000 sentences")
	}
	dir := golden.Models(t, "minilm")
	stsb, err := Lookup("stsb")
	if err != nil {
		t.Fatal(err)
	}
	set, err := stsb.Read(t.Context(), golden.Shared(t, "data", "glue", "STS-B"), data.ReadOptions{Split: data.Dev})
	if err != nil {
		t.Fatal(err)
	}
	inputs := make([]data.Input, len(set.Examples))
	labels := make([]float64, len(set.Examples))
	for i, x := range set.Examples {
		inputs[i] = x.Input
		if err := json.Unmarshal([]byte(x.Label), &labels[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range []struct {
		precision bert.Precision
		bound     float64
	}{{bert.Float32, 1e-4}, {bert.Int8, 3e-3}} {
		c, err := Open(t.Context(), dir, Compare(EncodeOptions{}), Options{Model: bert.Options{Precision: at.precision}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Do(t.Context(), inputs)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		scores := make([]float64, len(got))
		for i := range got {
			scores[i] = got[i].Of()
		}
		spearman, err := metric.Spearman(labels, scores)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v: Spearman's correlation of %d pairs is %.5f", at.precision, len(scores), spearman)
		if math.Abs(spearman-0.8673) > at.bound {
			t.Errorf("%v: Spearman's correlation is %.5f, want 0.8673 to within %g", at.precision, spearman, at.bound)
		}
	}
}
