package beam

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/local"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/passert"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/pretrain"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

func TestMain(m *testing.M) {
	register.Function1x1(lineOf)
	register.Function1x1(sumOf)
	ptest.MainWithDefault(m, "prism")
}

// words are those of the vocabulary of the tests.
var words = strings.Fields("[PAD] [UNK] [CLS] [SEP] [MASK] the film was good bad joy dull funny . a b")

// corpus writes a corpus and a vocabulary, and returns their paths.
func corpus(t *testing.T) (c Corpus, vocabulary string) {
	t.Helper()
	dir := t.TempDir()
	vocabulary = filepath.Join(dir, "vocab.txt")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(vocabulary, strings.Join(words, "\n")+"\n")
	for f := range 3 {
		var b strings.Builder
		for i := range 200 {
			for j := range 2 + (i+f)%4 {
				for k := range 1 + (i*j+f)%7 {
					b.WriteString(words[5+(i+3*j+5*k+f)%8] + " ")
				}
				b.WriteString(".\n")
			}
			b.WriteString("\n")
		}
		path := filepath.Join(dir, fmt.Sprintf("corpus-%d.txt", f))
		write(path, b.String())
		c.Paths = append(c.Paths, path)
	}
	return c, vocabulary
}

// The pipeline makes the folder that bert instances makes, byte for byte, in either format.
func TestSet(t *testing.T) {
	c, vocabulary := corpus(t)
	tok, err := tokenizer.LoadVocab(vocabulary, tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*pretrain.InstanceOptions){
		func(o *pretrain.InstanceOptions) {},
		func(o *pretrain.InstanceOptions) { o.Dynamic, o.NextSentence, o.DupeFactor = true, false, 1 },
		func(o *pretrain.InstanceOptions) { o.Format, o.WholeWordMask = pretrain.TFRecord, true },
	} {
		o := pretrain.DefaultInstanceOptions()
		o.MaxSeqLength, o.MaxPredictions, o.DupeFactor, o.GroupBytes = 24, 4, 2, 2<<10
		change(&o)
		want, got := filepath.Join(t.TempDir(), "want"), filepath.Join(t.TempDir(), "got")
		job := pretrain.InstanceJob{Corpus: c.corpus(), Tokenizer: tok, Dir: want, Options: o}
		result, err := job.Run(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if result.Groups < 8 {
			t.Fatalf("only %d groups", result.Groups)
		}
		p, s := beam.NewPipelineWithRoot()
		files := Files(s, Groups(s, c, o), vocabulary, o)
		summaries := WriteSet(s, got, c, vocabulary, o, files)
		text, err := os.ReadFile(filepath.Join(want, "summary.json"))
		if err != nil {
			t.Fatal(err)
		}
		passert.Equals(s, summaries, string(text))
		if o.Format == pretrain.Own && !o.Dynamic {
			passert.Equals(s, beam.ParDo(s, sumOf, Instances(s, files)), sumsOf(t, want)...)
		}
		ptest.RunAndValidate(t, p)
		same(t, want, got)
	}
}

// same compares the files of two folders.
func same(t *testing.T, want, got string) {
	t.Helper()
	names := func(dir string) (names []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				names = append(names, e.Name())
			}
		}
		return names
	}
	if a, b := names(want), names(got); !slices.Equal(a, b) {
		t.Fatalf("files %v, want %v", b, a)
	}
	for _, name := range names(want) {
		a, errA := os.ReadFile(filepath.Join(want, name))
		b, errB := os.ReadFile(filepath.Join(got, name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs: %d bytes, want %d; %v, %v", name, len(b), len(a), errA, errB)
		}
	}
}

// sumOf is an instance as text.
func sumOf(x Instance) string {
	return fmt.Sprint(x.IDs, x.TypeIDs, x.Positions, x.MaskedIDs, x.Next)
}

// sumsOf are the instances of a set as texts.
func sumsOf(t *testing.T, dir string) (all []any) {
	t.Helper()
	set, err := pretrain.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	var x pretrain.Instance
	for i := range set.Len() {
		if err := set.Instance(i, 0, &x); err != nil {
			t.Fatal(err)
		}
		all = append(all, sumOf(Instance{x.IDs, x.TypeIDs, x.Positions, x.MaskedIDs, int32(x.Next)}))
	}
	return all
}

// lineOf is an answer as text.
func lineOf(a Answer) string { return a.Key + " " + a.Line + " " + a.Error }

// model makes a small classifier with random weights.
func model(t *testing.T) string {
	t.Helper()
	c := bert.DefaultConfig()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = len(words), 12, 2, 2, 20
	c.MaxPositionEmbeddings, c.Labels = 32, []string{"bad", "good"}
	m, err := bert.New(c, bert.Options{Head: bert.SequenceClassification, Seed: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dir := t.TempDir()
	tok, err := tokenizer.New(words, tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Save(dir, bert.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := tok.Save(dir, tokenizer.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// expected are the answers that a Runner gives to texts one at a time.
func expected[T any](t *testing.T, dir string, use task.Use[T], texts []Text) (lines []any) {
	t.Helper()
	r, err := task.Open(context.Background(), dir, use, task.Options{Model: bert.Options{Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, x := range texts {
		in, err := data.ParseInput([]byte(x.Line))
		if err != nil {
			t.Fatal(err)
		}
		answers, err := r.Do(context.Background(), []data.Input{in})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(answers[0])
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, lineOf(Answer{Key: x.Key, Line: string(text)}))
	}
	return lines
}

// Answers in a pipeline are those of a Runner, and a model is closed with its last worker.
func TestAnswers(t *testing.T) {
	dir := model(t)
	var texts []Text
	for i := range 1200 {
		line := strings.Join([]string{words[5+i%8], words[5+i/8%8], words[5+i/64%8]}, " ")
		switch i % 5 {
		case 1:
			line = fmt.Sprintf(`{"text": %q, "text_pair": "a b"}`, line)
		case 2:
			line += strings.Repeat(" film", 40)
		}
		texts = append(texts, Text{fmt.Sprint(i), line})
	}
	p, s, col := ptest.CreateList(texts)
	passert.Equals(s, beam.ParDo(s, lineOf, Predict(s, Model{Dir: dir}, col)), expected(t, dir, task.Predict(), texts)...)
	o := task.EncodeOptions{Pooling: task.MeanPooling, Normalize: true, MaxLength: 16}
	passert.Equals(s, beam.ParDo(s, lineOf, Encode(s, Model{Dir: dir, Threads: 1}, o, col)), expected(t, dir, task.Encode(o), texts)...)
	ptest.RunAndValidate(t, p)
}

// A bad text is left out and named, or fails the pipeline.
func TestBadTexts(t *testing.T) {
	dir := model(t)
	texts := []Text{{"1", "good"}, {"2", `{"text": `}, {"3", `{"ids": [2, 99, 3]}`}, {"4", "bad"}}
	good := expected(t, dir, task.Predict(), []Text{texts[0], texts[3]})
	p, s, col := ptest.CreateList(texts)
	passert.Equals(s, beam.ParDo(s, lineOf, Predict(s, Model{Dir: dir, SkipBad: true}, col)), append(good,
		"2  not JSON: it ends too early", "3  id 99, the number 2, is not in the vocabulary of 16")...)
	ptest.RunAndValidate(t, p)

	p, s, col = ptest.CreateList(texts)
	Predict(s, Model{Dir: dir}, col)
	if err := ptest.Run(p); err == nil || !strings.Contains(err.Error(), "not JSON") {
		t.Errorf("a bad text: %v", err)
	}
}
