package task

import (
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/tokenizer"
)

// Rows of the data set: four choices, each [CLS] sent1 [SEP] sent2 ending [SEP], and a model that learns them.
func TestGoldenSWAG(t *testing.T) {
	swag, err := Lookup("swag")
	if err != nil {
		t.Fatal(err)
	}
	read, err := swag.Read(t.Context(), golden.Shared(t, "data", "swag", "sample-10rows.csv"), data.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var labels []string
	for _, x := range read.Examples {
		labels = append(labels, x.Label)
	}
	if got := strings.Join(labels, ""); got[:7] != "0313030" || len(got) != 10 {
		t.Errorf("the labels are %s", got)
	}
	tok, err := tokenizer.LoadVocab(golden.Shared(t, "vocab", "bert-base-uncased", "vocab.txt"), tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	dataset, err := NewDataset(t.Context(), tok, swag.Spec(nil, 64), read.Examples)
	if err != nil {
		t.Fatal(err)
	}
	var b bert.Batch
	if err := dataset.Append(&b, 1); err != nil {
		t.Fatal(err)
	}
	from, to := b.Sequence(3)
	const want = "[CLS] a drum line passes by walking down the street playing their instruments . [SEP] " +
		"members of the procession continue to play marching , interspersed . [SEP]"
	if got := strings.Join(tok.Tokens(b.IDs[from:to]), " "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if b.Len() != 4 || b.Choices != 4 || b.Classes[0] != 3 || b.TypeIDs[from] != 0 || b.TypeIDs[to-1] != 1 {
		t.Errorf("%d sequences of %d choices, class %v", b.Len(), b.Choices, b.Classes)
	}
	c := tinyConfig()
	c.VocabSize, c.MaxPositionEmbeddings, c.InitializerRange, c.HiddenDropoutProb = tok.VocabSize(), 64, 0.1, 0
	m, err := bert.New(c, bert.MultipleChoice, bert.Options{Threads: 1, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	learn(t, m, dataset, 30)
	r, err := Evaluate(t.Context(), m, dataset, EvaluateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if acc := value(t, r.Metrics(), "eval_accuracy"); acc != 1 {
		t.Errorf("after learning ten rows by heart the accuracy is %v", acc)
	}
}
