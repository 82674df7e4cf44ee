package serve

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/tinymodel"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/tokenizer"
)

// small is a model for tests: random weights that are large enough for answers to differ. The seed of the tagger gives all labels.
type small struct {
	name    string
	head    bert.Head
	labels  []string
	problem bert.ProblemType
	vectors bool   // it is a folder of sentence-transformers
	seed    uint64 // of its weights
}

// smallModels are those that testdata/make.py makes goldens with.
var smallModels = []small{
	{name: "encoder", head: bert.NoHead, vectors: true, seed: 1},
	{name: "classifier", head: bert.SequenceClassification, labels: []string{"joy", "anger", "none"}, seed: 2},
	{name: "multilabel", head: bert.SequenceClassification, labels: []string{"toxic", "spam"}, problem: bert.MultiLabelClassification, seed: 3},
	{name: "regression", head: bert.SequenceClassification, labels: []string{"LABEL_0"}, problem: bert.RegressionProblem, seed: 4},
	{name: "reranker", head: bert.SequenceClassification, labels: []string{"LABEL_0"}, seed: 5},
	{name: "nli", head: bert.SequenceClassification, labels: []string{"contradiction", "neutral", "entailment"}, seed: 6},
	{name: "tagger", head: bert.TokenClassification, labels: []string{"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}, seed: 34},
	{name: "reader", head: bert.QuestionAnswering, seed: 8},
	{name: "masked", head: bert.MaskedLM, seed: 9},
	{name: "chooser", head: bert.MultipleChoice, seed: 10},
}

// save writes the model's directory.
func (s *small) save(dir string) (err error) {
	c := bert.DefaultConfig()
	vocabulary := append(tinymodel.Vocabulary(), strings.Fields("é ana lives in paris ##s ##ing 日 𝕏 😀 who where it 1 2")...)
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = len(vocabulary), 12, 2, 2, 20
	c.MaxPositionEmbeddings, c.InitializerRange = 32, 0.7
	c.ProblemType = s.problem
	if s.labels != nil {
		c.Labels = s.labels
	}
	config := tokenizer.DefaultConfig()
	config.ModelMaxLength = c.MaxPositionEmbeddings
	no := false
	config.StripAccents = &no
	tok, err := tokenizer.New(vocabulary, config)
	if err != nil {
		return err
	}
	m, err := bert.New(c, bert.Options{Head: s.head, Seed: s.seed, Threads: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if err := m.Save(dir, bert.SaveOptions{}); err != nil {
		return err
	}
	if s.vectors {
		p, err := sentence.New(sentence.Options{Normalize: true, Hidden: c.HiddenSize, MaxSeqLength: c.MaxPositionEmbeddings})
		if err != nil {
			return err
		}
		if _, err := p.Save(dir); err != nil {
			return err
		}
		const settings = `{"prompts":{"query":"who: "},"default_prompt_name":null,"similarity_fn_name":"cosine"}`
		if err := os.WriteFile(filepath.Join(dir, "config_sentence_transformers.json"), []byte(settings), 0o666); err != nil {
			return err
		}
	}
	return tok.Save(dir, tokenizer.SaveOptions{MaxLength: c.MaxPositionEmbeddings})
}

// smallDir is the directory of a small model.
func smallDir(t testing.TB, name string) string {
	t.Helper()
	i := slices.IndexFunc(smallModels, func(s small) bool { return s.name == name })
	dir := filepath.Join(t.TempDir(), name)
	if err := errors.Join(os.Mkdir(dir, 0o777), smallModels[i].save(dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

var saveTo = flag.String("models", "", "write the small models into this folder, for testdata/make.py")

// TestSaveModels writes the small models where that is asked for.
func TestSaveModels(t *testing.T) {
	if *saveTo == "" {
		t.Skip("no folder for the small models is given")
	}
	for i := range smallModels {
		dir := filepath.Join(*saveTo, smallModels[i].name)
		if err := errors.Join(os.MkdirAll(dir, 0o777), smallModels[i].save(dir)); err != nil {
			t.Fatal(err)
		}
	}
}

// smallServer serves small models by their names, in this order.
func smallServer(t testing.TB, o Options, names ...string) *Server {
	t.Helper()
	for _, name := range names {
		o.Models = append(o.Models, ModelSpec{Name: name, Path: smallDir(t, name)})
	}
	return started(t, o)
}
